"""Fixtures every test may use; and in CI a skipped test is a failed one."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tapedeck.sim.login import DEFAULT_API_SECRET
from tests.canary import leaked, tokens_of_the_simulator

_SECRETS = tokens_of_the_simulator() | {DEFAULT_API_SECRET}
_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of recorded candles, named by TAPEDECK_TEST_DATA, by default `../shared/data` beside the repository."""
    folder = Path(os.environ.get("TAPEDECK_TEST_DATA") or _ROOT.parent / "shared" / "data")
    if not (folder / "NIFTY_50_minute_2024Q1.parquet").exists():
        # A clone without the recordings can run all the rest; in CI this is a failure (`_not_in_ci`).
        pytest.skip(f"recorded candles were not found in {folder}; name their folder in TAPEDECK_TEST_DATA")
    return folder


#: With several processes (`-n`), each of these goes to one of them, in this order, and first: whole pages keep a core
#: busy, so never more than two at once. Every other file is a group of its own.
_PAGES = (
    ("test_desk_page", "test_market_lists", "test_views_detail"),
    ("test_dashboard_page", "test_market_states", "test_desk_rounds", "test_access_page"),
)
_GROUP = {name: f"pages-{n}" for n, names in enumerate(_PAGES) for name in names}
_ORDER = {name: n for n, name in enumerate(_GROUP)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its group; whole pages come first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_GROUP.get(item.path.stem, item.path.stem)))
    items.sort(key=lambda item: _ORDER.get(item.path.stem, len(_ORDER)))


def _not_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where CI is set: a suite that ran nothing must not look green."""
    # Said here and not by an option: pytest has none that makes skips fail.
    if os.environ.get("CI") and report.skipped:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {why}"


def _no_secret(report: pytest.TestReport) -> None:
    """Fail a test that passed but printed or logged a secret of the simulated exchange."""
    if report.outcome == "passed":
        found = leaked((text for _, text in report.sections), _SECRETS)
        if found:
            report.outcome = "failed"
            report.longrepr = f"what was printed or logged held secrets: {', '.join(found)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _not_in_ci(report)
    _no_secret(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _not_in_ci(report)
    return report
