"""A viewer that stops reading: what the others notice, and what the server keeps for it."""

from __future__ import annotations

import statistics
import time

from benchmarks.harness import Result, limit
from benchmarks.market import tokens
from benchmarks.processes import Child, Mark
from benchmarks.servers import ROWS, relay_server
from benchmarks.viewers import Seen, Viewers

VIEWERS, RATE_HZ = 200, 4
#: The stalled viewer wants this many rows ten times a second: unread, 4.8 MB a second would pile up for it.
SHARES, STALLED_RATE_HZ = 3000, 10
#: Short enough for the stalled viewer to be there all the time: after 5 s it is cut off.
ROUNDS, SECONDS, SETTLE_S = 3, 2.5, 1.0
#: What the kernel may hold per viewer, so that unread bytes stay in the server at once.
SEND_BUFFER = 64 * 1024
GOAL_RATIO, GOAL_MB = 1.5, 8.0


def window(server: Child, viewers: Viewers) -> tuple[Mark, Seen]:
    """What the server had used at the end of some seconds, and what the viewers saw in them."""
    began = server.ask("mark").at
    time.sleep(SECONDS)
    after = server.ask("mark")
    return after, viewers.seen().between(began, after.at)


def alternate(server: Child, viewers: Viewers) -> tuple[list[Seen], list[Seen], list[Mark]]:
    """What the others saw without and with a stalled viewer, taking turns, and what the server had used after each."""
    alone, beside, marks = [], [], []
    for _ in range(ROUNDS):
        mark, seen = window(server, viewers)
        alone.append(seen)
        marks.append(mark)
        viewers.ask("stall", tokens(SHARES), STALLED_RATE_HZ)
        time.sleep(SETTLE_S)
        mark, seen = window(server, viewers)
        beside.append(seen)
        marks.append(mark)
        viewers.ask("end_stall")
        time.sleep(SETTLE_S)
    if marks[-1].counts["conflated"] < ROUNDS:
        raise RuntimeError(f"the stalled viewer did not stall: {marks[-1].counts}")
    return alone, beside, marks


def p95_ms(parts: list[Seen]) -> float:
    """95th percentile from change to reading in milliseconds: the median of those of the parts, for a noisy one."""
    return statistics.median(part.late_ms()[1] for part in parts)


def run() -> list[Result]:
    """The others' 95th percentile with and without it, their ratio, and how much the server grew."""
    with Child(relay_server, SHARES, SEND_BUFFER) as server, Viewers(server.ready, rate=RATE_HZ) as viewers:
        viewers.join([tokens(ROWS)] * VIEWERS)
        time.sleep(SETTLE_S)
        alone, beside, marks = alternate(server, viewers)
    without, beside_it = p95_ms(alone), p95_ms(beside)
    grown = max(mark.rss_mb for mark in marks) - marks[0].rss_mb
    name = f"p95 of {VIEWERS} viewers"
    return [
        limit(f"{name} without it", without, "ms"),
        limit(f"{name} beside it", beside_it, "ms"),
        limit(f"{name} beside it, of that without it", beside_it / without, "times", at_most=GOAL_RATIO),
        limit("memory the server grew by", grown, "MB", at_most=GOAL_MB),
        limit("updates merged for it", marks[-1].counts["conflated"], "updates"),
    ]
