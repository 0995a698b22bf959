"""What the checks of a start found: a row for every setting and every check, as a table and as a document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

OK, WARNING, ERROR = "ok", "warning", "error"
#: Said when nothing is an error; scripts look for it.
ALL_VALID = "All critical settings are valid"
#: Widest value and source of the table; a longer one is cut.
WIDEST = 44


class Row(NamedTuple):
    """One setting or one check. `level` is `ok`, `warning` or `error`; `value` is as shown, masked.

    `name` and `message` read as one sentence; an `ok` row has no remedy, and may have no message.
    """

    level: str
    name: str
    value: str = ""
    source: str = ""
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """Every row, in the order of the settings; nothing in it is secret."""

    rows: tuple[Row, ...]

    @property
    def errors(self) -> tuple[Row, ...]:
        """Rows of parts that do not work."""
        return tuple(row for row in self.rows if row.level == ERROR)

    @property
    def warnings(self) -> tuple[Row, ...]:
        """Rows that deserve a look."""
        return tuple(row for row in self.rows if row.level == WARNING)

    @property
    def worst(self) -> str:
        """`error`, `warning` or `ok`."""
        return ERROR if self.errors else WARNING if self.warnings else OK

    @property
    def counts(self) -> str:
        """How many errors and warnings there are, in words; empty when there are none."""
        found = ((self.errors, ERROR), (self.warnings, WARNING))
        return ", ".join(f"{len(rows)} {word}{'' if len(rows) == 1 else 's'}" for rows, word in found if rows)

    @property
    def summary(self) -> str:
        """One line: whether all that is critical is valid, and how much is wrong."""
        if self.errors:
            return f"Settings and checks: {self.counts}"
        return "; ".join(filter(None, [ALL_VALID, self.counts]))

    def table(self, *, every: bool = True) -> str:
        """Aligned text, two lines for a row with a remedy; only what is wrong when not `every`."""
        rows = self.rows if every else (*self.errors, *self.warnings)
        cells = [(row.level, row.name, _cut(row.value or "-"), _cut(row.source or "-"), row) for row in rows]
        widths = [max((len(cell[n]) for cell in cells), default=0) for n in range(4)]
        lines = []
        for *texts, row in cells:
            columns = "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True))
            lines.append(f"{columns}  {row.message}".rstrip())
            if row.remedy:
                lines.append(f"{' ' * widths[0]}  -> {row.remedy}")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The same for programs: `worst`, `summary` and `rows`, each with the fields of a Row."""
        return {"worst": self.worst, "summary": self.summary, "rows": [row._asdict() for row in self.rows]}


def build_report(rows: Iterable[Row]) -> Report:
    """A report of the rows, each of whose texts is made one line without anything a terminal would obey."""
    return Report(tuple(Row(*(_line(text) for text in row)) for row in rows))


def _line(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
