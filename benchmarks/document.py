"""`python -m benchmarks.document [RUN]`: put the newest run, or that file's, into docs/benchmarks.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import FOLDER, usual

DOCUMENT = FOLDER.parent / "docs" / "benchmarks.md"
LATEST = FOLDER / "results" / "latest.json"
BEGIN, END = "<!-- results: written by python -m benchmarks.document -->", "<!-- end of results -->"


def markdown(run: Mapping[str, Any]) -> str:
    """A run, as `harness.save` wrote it: where and when, and a table per benchmark."""
    about = run["about"]
    at = datetime.fromisoformat(about["at"])
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    lines = [
        f"{at:%d %B %Y, %H:%M} IST, commit {about['commit']}. {about['processor']}, {about['cores']} cores, "
        f"{about['system'].split('-')[0]}, Python {about['python']}; {versions}.",
    ]
    for module, results in run["results"].items():
        lines += ["", f"### {module}", "", "| | value | peer | ratio | goal |", "|---|---:|---|---:|---|"]
        lines += [_row(result) for result in results]
    return "\n".join(lines) + "\n"


def _row(result: Mapping[str, Any]) -> str:
    value = f"{_number(result['value'])} {result['unit']}"
    peer = f"{result['peer']}: {_number(result['peer_value'])} {result['unit']}" if result["peer"] else ""
    ratio = "" if result["ratio"] is None else f"{_number(result['ratio'])} x"
    verdict = {None: "", True: ", met", False: ", **missed**"}[result["met"]]
    return f"| {result['name']} | {value} | {peer} | {ratio} | {result['goal']}{verdict} |"


def _number(value: float) -> str:
    """Three significant digits, thousands grouped."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def replaced(document: str, results: str) -> str:
    """The document with these results between its two marks.

    Raises
    ------
    ValueError
        If the marks are not there once each.
    """
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"the document must have {BEGIN!r} and {END!r} once each")
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{results}\n{END}{rest.partition(END)[2]}"


def main(given: Sequence[str]) -> int:
    """Rewrite the document from the newest run or the file given; 1 when that run lacks a usual benchmark."""
    run = json.loads((Path(given[0]) if given else LATEST).read_text())
    missing = sorted(set(usual()) - set(run["results"]))
    if missing:
        print(f"the run has no results of {', '.join(missing)}; run all of them: python -m benchmarks")
        return 1
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(encoding="utf-8"), markdown(run)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
