"""One watchlist, many viewers: what an update costs the server through the relay and in the usual Panel ways."""

from __future__ import annotations

import time

from benchmarks.harness import Result, against, limit
from benchmarks.market import tokens
from benchmarks.page_viewers import sessions_process
from benchmarks.processes import Child
from benchmarks.servers import ROWS, WAYS, page_server, relay_server
from benchmarks.viewers import Viewers

VIEWERS, RATE_HZ, SECONDS = 500, 4, 4.0
PAGE_VIEWERS, PAGE_PERIOD_MS, PAGE_SECONDS = 5, 500, 3.0
SETTLE_S = 1.0
GOAL = 500.0
PEERS = {
    "cells": "Tabulator.patch cell by cell",
    "slices": "Tabulator.patch with slices",
    "value": "Tabulator.value = df",
}


def through_relay() -> float:
    """CPU seconds of the relay's server per viewer and update; publishing and encoding included."""
    with Child(relay_server, ROWS) as server, Viewers(server.ready, rate=RATE_HZ, processes=1) as viewers:
        viewers.join([tokens(ROWS)] * VIEWERS)
        time.sleep(SETTLE_S)
        before = server.ask("mark")
        time.sleep(SECONDS)
        after = server.ask("mark")
        read = len(viewers.seen().between(before.at, after.at).at)
    return (after.cpu_s - before.cpu_s) / read


def through_page() -> dict[str, tuple[float, float]]:
    """CPU seconds and bytes of the page's server per viewer and update, for each of the ways."""
    found = {}
    with Child(page_server, PAGE_PERIOD_MS) as server, Child(sessions_process, server.ready) as clients:
        clients.ask("open", PAGE_VIEWERS)
        for way in WAYS:
            server.ask("way", way)
            time.sleep(SETTLE_S)
            before, seen = server.ask("mark"), clients.ask("seen")
            time.sleep(PAGE_SECONDS)
            after, seen_after = server.ask("mark"), clients.ask("seen")
            updates = after.counts["updates"] - before.counts["updates"]
            read = seen_after.patches - seen.patches
            if seen_after.sessions != PAGE_VIEWERS or read < updates - PAGE_VIEWERS:
                raise RuntimeError(f"{seen_after.sessions} sessions read {read} patches of {updates} updates")
            found[way] = (after.cpu_s - before.cpu_s) / updates, (seen_after.bytes - seen.bytes) / updates
    return found


def run() -> list[Result]:
    """Microseconds of server CPU per viewer and update, against the three ways of a page; bytes of each."""
    ours_s, page = through_relay(), through_page()
    name = f"{ROWS} rows to each of {VIEWERS}"
    results = [
        against(
            f"{name}, per viewer, against {way}",
            ours_s,
            peer=PEERS[way],
            peer_s=page[way][0],
            goal=GOAL if way == "cells" else None,
        )
        for way in WAYS
    ]
    return [*results, *(limit(f"bytes of {PEERS[way]}", page[way][1], "B") for way in WAYS)]
