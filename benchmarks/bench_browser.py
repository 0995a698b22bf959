"""The Market page in a real browser: from a stamp in the server to the painted number, and how busy the viewer is."""

from __future__ import annotations

import numpy as np

from benchmarks.browser import Browser
from benchmarks.harness import Result, limit
from benchmarks.live_page import market_page_server, tabulator_page_server
from benchmarks.market import tokens
from benchmarks.page_viewers import sessions_process
from benchmarks.processes import Child
from benchmarks.viewers import Viewers, percentiles

ROWS, MANY_ROWS = 50, 500
RATE_HZ = 4
SECONDS = 6.0
#: Longer where a percentile is wanted: four changes a second.
AGES_SECONDS = 15.0
#: Other viewers beside the browser. The usual page cannot hold its rate with 49.
OTHERS, PLAIN_OTHERS = 49, 9

LIVE = "window.__tapedeck?.state === 'live' && __tapedeck.tables[0]?.byKey.get('NSE:S1')?.mode === 'live'"
ENTRY = "__tapedeck.tables[0].byKey.get('NSE:S1')"
OUR_CELL = f"{ENTRY}.row.cells.find((c) => c.column.field === 'last_price').element"
OUR_STAMP = f"() => {ENTRY}.numbers.last_price"
PLAIN_TABLE = """(() => {
  const find = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.matches(".tabulator-row")) return e
      const found = e.shadowRoot && find(e.shadowRoot)
      if (found) return found
    }
  }
  return find(document)
})()"""
PLAIN_CELL = f"{PLAIN_TABLE}.querySelector('[tabulator-field=last_price]')"
PLAIN_STAMP = f"() => Number({PLAIN_CELL}.textContent.replaceAll(',', ''))"


def ours(*, steady: bool, others: int) -> np.ndarray:
    """Ages of painted numbers on the Market page."""
    with Child(market_page_server, ROWS, True, steady) as server, Viewers(server.ready, rate=RATE_HZ) as viewers:
        viewers.join([tokens(ROWS)] * others)
        with Browser(server.ready) as browser:
            browser.page.wait_for_function(LIVE)
            browser.page.wait_for_timeout(1500)
            return browser.ages(OUR_CELL, OUR_STAMP, AGES_SECONDS)


def plain(*, steady: bool, others: int) -> np.ndarray:
    """Ages of painted numbers on a page whose sessions patch a Tabulator."""
    with Child(tabulator_page_server, 1000 // RATE_HZ, steady) as server, Child(sessions_process, server.ready) as some:
        if others:
            some.ask("open", others)
        with Browser(server.ready) as browser:
            browser.page.wait_for_function(f"() => {PLAIN_TABLE} && {PLAIN_CELL}")
            browser.page.wait_for_timeout(1500)
            return browser.ages(PLAIN_CELL, PLAIN_STAMP, AGES_SECONDS)


def painted(
    name: str, ages: np.ndarray, peer: str = "", peer_ages: np.ndarray | None = None, *, goal: bool
) -> list[Result]:
    """Median and 95th percentile in milliseconds, beside the usual way where it was measured."""
    results = []
    theirs = (None, None) if peer_ages is None else percentiles(peer_ages)
    for part, value, other in zip(("p50", "p95"), percentiles(ages), theirs, strict=True):
        judged = limit(f"{name}, {part}", value, "ms", at_most=40 if goal and part == "p95" else None)
        ratio = None if other is None else other / value
        results.append(Result(judged.name, value, "ms", peer or None, other, ratio, judged.goal, judged.met))
    return results


def busy() -> list[Result]:
    """Main thread and smoothness with 500 rows of 11 columns that all change, the table alone and the whole page."""
    results = []
    for tiles, name in ((False, "table alone"), (True, "whole page")):
        with Child(market_page_server, MANY_ROWS, tiles, True) as server, Browser(server.ready) as browser:
            browser.page.wait_for_function(LIVE)
            browser.page.wait_for_timeout(3000)
            share = browser.busy(SECONDS) * 100
            smooth = browser.smooth(SECONDS)
        goals = {"at_most": None if tiles else 12.0}
        results.append(
            limit(f"{MANY_ROWS} rows x 11 columns at {RATE_HZ} Hz, {name}: main thread", share, "%", **goals)
        )
        results.append(limit(f"{name}: frames a second", smooth.fps, "fps", at_least=None if tiles else 58.0))
        results.append(limit(f"{name}: longest gap between frames", smooth.longest_ms, "ms"))
    return results


def run() -> list[Result]:
    """Milliseconds from stamp to paint with 1 and with 50 viewers and from change to screen; the viewer's load."""
    return [
        *painted("stamp to paint, 1 viewer", ours(steady=True, others=0), "Tabulator.patch, 1 viewer",
                 plain(steady=True, others=0), goal=True),
        *painted("stamp to paint, 50 viewers", ours(steady=True, others=OTHERS), "Tabulator.patch, 10 viewers",
                 plain(steady=True, others=PLAIN_OTHERS), goal=True),
        *painted("change to screen at 4 Hz, 1 viewer", ours(steady=False, others=0), "Tabulator.patch, 1 viewer",
                 plain(steady=False, others=0), goal=False),
        *painted("change to screen at 4 Hz, 50 viewers", ours(steady=False, others=OTHERS), goal=False),
        *busy(),
    ]  # fmt: skip
