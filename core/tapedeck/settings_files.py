"""The files settings are read from, `.env` and `desk.toml`, and where in them each one stands."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, NamedTuple

from dotenv.parser import parse_stream

from tapedeck.settings_values import HIDDEN, Problem, show_plain

ENV_FILE = ".env"
TOML_FILE = "desk.toml"
#: A settings file is a page; whatever is larger is something else.
LARGEST = 1_000_000


class Layer(NamedTuple):
    """Settings from one source: text by name, and for a file the line of each."""

    name: str
    values: Mapping[str, str]
    lines: Mapping[str, int] = {}

    def source(self, name: str) -> str:
        """`.env line 3`, or the source's own name."""
        line = self.lines.get(name)
        return f"{self.name} line {line}" if line else self.name


class Files(NamedTuple):
    """What the files said, the stronger first, and what was wrong with them."""

    layers: tuple[Layer, ...] = ()
    problems: tuple[Problem, ...] = ()


def load_files(folder: Path, secrets: frozenset[str]) -> Files:
    """What `.env` and `desk.toml` of the folder say; a file that is not there says nothing. Never raises.

    A file that others may read is a problem when one of the names in `secrets` is in it.
    """
    layers: list[Layer] = []
    problems: list[Problem] = []
    for name, parse in ((ENV_FILE, parse_env), (TOML_FILE, parse_toml)):
        try:
            text, mode = _read(folder / name)
        except FileNotFoundError:
            continue
        except UnicodeDecodeError as wrong:
            line = wrong.object.count(b"\n", 0, wrong.start) + 1
            problems.append(_broken(name, line, "is not UTF-8 text", "Save it as UTF-8"))
            continue
        except OSError as failed:
            why = f"cannot be read ({failed.strerror})"
            problems.append(_broken(name, 0, why, f"Make {name} a file that this user may read, or remove it"))
            continue
        layer, found = parse(text)
        layers.append(layer)
        problems += found
        if mode & 0o077 and any(layer.values.get(secret) for secret in secrets):
            why = f"holds a secret and may be read by others (mode {mode:04o})"
            problems.append(Problem("warning", name, "", name, why, f"chmod 600 {name}"))
    return Files(tuple(layers), tuple(problems))


def parse_env(text: str) -> tuple[Layer, list[Problem]]:
    """A `.env` file: `NAME=value` lines, with or without quotes and `export`; `$NAME` is not replaced.

    A line that is something else, or a name without `=`, is a problem. The last of two of one name counts, and that
    there are two is a problem as well.
    """
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems, at = [], 0
    for binding in parse_stream(io.StringIO(text)):
        # Blank lines and line ends before a statement belong to it; after an error the library loses count of lines.
        statement = binding.original.string
        lead = len(statement) - len(statement.lstrip())
        line = 1 + len(re.findall(r"\r\n|\n|\r", text[: at + lead]))
        at += len(statement)
        if binding.error or (binding.key is not None and binding.value is None):
            # The line itself is not repeated: it may be a secret.
            problems.append(
                _broken(ENV_FILE, line, "is not NAME=value", f"Correct line {line} of .env, or put # before it")
            )
        elif binding.key is not None:
            if first := lines.get(binding.key):
                problems.append(_twice(binding.key, first, line))
            values[binding.key] = binding.value or ""
            lines[binding.key] = line
    return Layer(ENV_FILE, values, lines), problems


def parse_toml(text: str) -> tuple[Layer, list[Problem]]:
    """A `desk.toml` file: settings by name, at the top or under `[desk]`, which is the stronger."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        at = re.search(r"at line (\d+)", str(wrong))
        line = int(at[1]) if at else text.count("\n") + 1
        return Layer(TOML_FILE, {}), [
            _broken(TOML_FILE, line, "is not TOML, so nothing of the file is used", f"Correct line {line} of desk.toml")
        ]
    table = document.pop("desk", {})
    entries = {**document, **table} if isinstance(table, dict) else {**document, "desk": table}
    lines = {name: line for name in entries if (line := _line_of(name, text))}
    values: dict[str, str] = {}
    problems = []
    for name, value in entries.items():
        read = _plain(value)
        if read is None:
            why = f"was a {type(value).__name__}; allowed: text, a number, true, false or a time"
            source = f"{TOML_FILE} line {lines[name]}" if name in lines else TOML_FILE
            problems.append(Problem("warning", name, "", source, why, f"Remove {name} from desk.toml"))
        else:
            values[name] = read
    return Layer(TOML_FILE, values, lines), problems


def _plain(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value) if isinstance(value, str | int | float) else None


def _line_of(name: str, text: str) -> int:
    found = re.search(rf"^[ \t]*(?:\[[ \t]*)?[\"']?{re.escape(name)}[\"']?[ \t]*[=.\]]", text, re.M)
    return text.count("\n", 0, found.start()) + 1 if found else 0


def _read(path: Path) -> tuple[str, int]:
    # Not blocking: a pipe in its place would hold the start for ever.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "not a file")
        if info.st_size > LARGEST:
            raise OSError(errno.EFBIG, "too large")
        data = file.read(LARGEST)
        if b"\0" in data:
            # Two bytes a character, or no text at all: none of its names would be found.
            raise UnicodeDecodeError("utf-8", data, data.index(0), data.index(0) + 1, "a zero byte")
        return data.decode("utf-8-sig"), stat.S_IMODE(info.st_mode)


def _twice(name: str, first: int, line: int) -> Problem:
    name = show_plain(name)
    why = f"is in line {first} and in line {line} of .env, of which the last counts"
    return Problem("warning", name, HIDDEN, f"{ENV_FILE} line {line}", why, f"Remove one of the two lines of {name}")


def _broken(name: str, line: int, why: str, remedy: str) -> Problem:
    return Problem("error", name, "", f"{name} line {line}" if line else name, why, remedy)
