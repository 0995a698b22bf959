"""Real browser pages that come and go: does the desk keep anything of them?"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.browser import ARGUMENTS, CHROMIUM, HEIGHT, WIDTH
from benchmarks.harness import Result, limit
from benchmarks.processes import RunningDesk

ROUNDS, PAGES = 10, 4
#: Memory is compared after these rounds: the first ones make what all share.
SETTLED = 3
LIVE = "window.__tapedeck?.state === 'live' && window.__tapedeck.rows > 0"
#: Sessions of closed pages are given up after ten seconds, and looked for every three.
FORGET_MS = 15_000


def one_round(chromium: Browser, address: str) -> None:
    """So many pages, live, and gone again."""
    context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    context.set_default_timeout(60_000)
    pages = [context.new_page() for _ in range(PAGES)]
    for page in pages:
        page.goto(address, wait_until="commit")
    for page in pages:
        page.wait_for_function(LIVE)
    context.close()


def health(desk: RunningDesk) -> dict[str, Any]:
    """What the desk says of itself."""
    asked = urllib.request.Request(f"http://127.0.0.1:{desk.port}/api/system/health", headers=desk.headers)
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


def run() -> list[Result]:
    """Growth of the desk's memory over the later rounds, and what is left of its viewers."""
    sizes: list[float] = []
    with RunningDesk("--start", "2026-11-23T10:00:00") as desk, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        resting = chromium.new_page()
        for _ in range(ROUNDS):
            one_round(chromium, desk.page)
            resting.wait_for_timeout(FORGET_MS)
            sizes.append(desk.mark().rss_mb)
        said = health(desk)
        chromium.close()
    grown = sizes[-1] - sizes[SETTLED - 1]
    return [
        limit(f"{ROUNDS} rounds of {PAGES} pages: growth after round {SETTLED}", grown, "MB", at_most=10),
        limit("resident memory after the last round", sizes[-1], "MB"),
        limit("viewers left", said["relay"]["viewers"], "viewers", at_most=0),
        limit("instruments left on the connection", said["feed"]["subscribed"], "instruments", at_most=0),
        limit("connections to the exchange, all rounds", said["feed"]["connections"], "connection", at_most=1),
    ]
