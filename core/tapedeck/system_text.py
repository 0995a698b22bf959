"""The report of a desk as text for a bug report: headings, aligned columns, nothing cut off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tapedeck.views.text import size

BLANK = "-"
#: Changes per timeline; a page shows more.
NEWEST = 20
_QUOTA = ("limit_per_s", "last_second", "last_minute", "waiting", "held_s", "waited", "waited_s", "turned_away",
          "refusals", "total")  # fmt: skip


def system_text(report: Mapping[str, Any]) -> str:
    """`system_report`'s answer as lines to copy; a section without content says so."""
    auth, feed, storage = report["auth"], report["feed"], report["storage"]
    head = [("at", report["at"]), ("source", report["source"]), ("simulated", report["simulated"])]
    head += [("not ready", reason) for reason in report["not_ready"]]
    sections = [
        ("Tapedeck", _pairs(head)),
        ("Settings", _settings(report["settings"])),
        ("Kite login", [*_pairs(_plain(auth)), *_changes(auth["timeline"], "at", "from", "to", "cause")]),
        ("Feed", [*_pairs(_plain(feed)), *_changes(feed["timeline"], "at", "state", "reason")]),
        ("Sessions", _sessions(report["phases"])),
        ("REST quota", _quota(report["quota"])),
        ("Storage", _storage(storage)),
        ("Versions", _pairs(report["versions"].items())),
    ]
    return "\n\n".join("\n".join([f"== {title}", *(lines or ["nothing known"])]) for title, lines in sections) + "\n"


def _plain(section: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name.replace("_", " "), value) for name, value in section.items() if name != "timeline"]


def _settings(rows: Sequence[Mapping[str, str]]) -> list[str]:
    lines = _table([("level", "setting", "value", "source"), *((r["level"], r["name"], r["value"], r["source"])
                   for r in rows)]) if rows else []  # fmt: skip
    troubles = [f"{row['name']}: {row['message']}" + (f"; {row['remedy']}" if row["remedy"] else "")
                for row in rows if row["level"] != "ok"]  # fmt: skip
    return lines + troubles


def _sessions(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    table = [("segment", "hours", "status", "phase", "until", "then", "status changes", "to")]
    for row in rows:
        sub = f" ({row['sub_phase']})" if row["sub_phase"] else ""
        why = f": {row['reason']}" if row["reason"] else ""
        hours = "all" if row["all_classes"] else "+".join(row["classes"])
        table.append((row["segment"], hours, row["status"], f"{row['phase']}{sub}{why}",
                      row["until"], row["next_phase"], row["next_transition"], row["next_status"]))  # fmt: skip
    return _table(table) if len(table) > 1 else []


def _quota(kinds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    table = [("kind", *(name.replace("_", " ") for name in _QUOTA))]
    table += [(kind, *(said.get(name, BLANK) for name in _QUOTA)) for kind, said in kinds.items()]
    return _table(table) if kinds else []


def _storage(storage: Mapping[str, Any]) -> list[str]:
    if not storage:
        return []
    pairs = [("folder", storage["folder"]), *((name, size(count)) for name, count in storage["bytes"].items())]
    counted = "" if storage["complete"] else " and more: not all files were counted"
    pairs += [("total", size(storage["total"]) + counted), ("free", size(storage["free"]))]
    return _pairs([*pairs, *([("problem", storage["problem"])] if storage["problem"] else [])])


def _changes(timeline: Sequence[Mapping[str, Any]], *names: str) -> list[str]:
    return _table([tuple(one[name] for name in names) for one in timeline[:NEWEST]], indent="  ")


def _pairs(pairs: Iterable[tuple[str, Any]]) -> list[str]:
    return _table([(name, value) for name, value in pairs])


def _table(rows: Sequence[Sequence[Any]], *, indent: str = "") -> list[str]:
    texts = [[_said(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))] if texts else []
    return [
        indent + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    ]  # fmt: skip


def _said(value: Any) -> str:
    if value is None or value == "":
        return BLANK
    if isinstance(value, bool):
        return "yes" if value else "no"
    # One line each, whatever a server said.
    return " ".join(str(value).split())
