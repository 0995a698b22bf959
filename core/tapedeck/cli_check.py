"""`tapedeck check`: every setting and everything around the desk, as a table; the exit status says how bad it is."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from tapedeck.check_report import ALL_VALID
from tapedeck.clock import SystemClock
from tapedeck.session_file import use_session_file
from tapedeck.settings import load

HELP = "look at every setting and what the desk needs; say what is wrong and what to do"


def declare(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("--strict", action="store_true", help="exit with 1 when there are warnings")
    add("--kite", action="store_true", help="also ask Kite for its time and whether it takes the saved token")
    add("--json", action="store_true", help="print a JSON document instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the report. Exit status 0, 1 for warnings when strict, 2 for errors."""
    from tapedeck.checks import check  # loads Kite's client; `tapedeck --help` does without

    settings = use_session_file(load(os.environ, folder=Path.cwd()))
    report = check(settings, clock=SystemClock(), ask_kite=args.kite)
    status = 2 if report.errors else 1 if args.strict and report.warnings else 0
    if args.json:
        print(json.dumps(report.document(), indent=2, ensure_ascii=False))
        return status
    print(report.table())
    print()
    if status == 0:
        print(ALL_VALID)
    if report.counts:
        print(report.counts)
    return status
