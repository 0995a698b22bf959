"""Alarm for source files over 500 lines: a sign that a room holds two responsibilities."""

from __future__ import annotations

import sys
from pathlib import Path

LIMIT = 500
ROOTS = ("core", "dashboards", "tests", "benchmarks")
SUFFIXES = {".py", ".js", ".css"}


def main() -> int:
    """Number of files over the limit, after printing each."""
    long = [
        (len(path.read_text(encoding="utf-8").splitlines()), path)
        for root in ROOTS
        for path in sorted(Path(root).rglob("*"))
        if path.suffix in SUFFIXES and "__pycache__" not in path.parts
    ]
    over = [(n, path) for n, path in long if n > LIMIT]
    for n, path in over:
        sys.stdout.write(f"{path}: {n} lines, over {LIMIT}; split it by responsibility\n")
    return len(over)


if __name__ == "__main__":
    raise SystemExit(min(main(), 1))
