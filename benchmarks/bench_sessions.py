"""Opening the Market page of the real desk: what one more session costs the server."""

from __future__ import annotations

import time

from benchmarks.harness import Result, limit
from benchmarks.page_viewers import sessions_process
from benchmarks.processes import Child, RunningDesk

#: The first sessions make what all of them share.
FIRST, SESSIONS = 3, 20
IDLE_S, SETTLE_S = 3.0, 0.5


def run() -> list[Result]:
    """CPU milliseconds and memory per session of the page, the desk's own work taken off."""
    with RunningDesk() as desk, Child(sessions_process, desk.port, desk.headers) as clients:
        clients.ask("open", FIRST)
        time.sleep(SETTLE_S)
        idle = desk.mark()
        time.sleep(IDLE_S)
        before = desk.mark()
        opened = clients.ask("open", SESSIONS).sessions
        after = desk.mark()
        time.sleep(SETTLE_S)
        grown = desk.mark().rss_mb - before.rss_mb
        if opened != FIRST + SESSIONS:
            raise RuntimeError(f"{opened} sessions are open instead of {FIRST + SESSIONS}")
    cores = (before.cpu_s - idle.cpu_s) / (before.at - idle.at)
    cpu_s = after.cpu_s - before.cpu_s - cores * (after.at - before.at)
    return [
        limit("a session of the Market page", cpu_s / SESSIONS * 1e3, "ms of CPU"),
        limit("a session of the Market page, memory", grown / SESSIONS, "MB"),
        limit("from the request to the whole document", (after.at - before.at) / SESSIONS * 1e3, "ms"),
        limit("the desk beside it", cores, "core"),
    ]
