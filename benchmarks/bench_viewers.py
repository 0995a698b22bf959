"""Thousands of viewers on one relay: cores, how late an update is read, memory per viewer."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from benchmarks.harness import Result, limit
from benchmarks.market import tokens
from benchmarks.processes import Child, Mark
from benchmarks.servers import ROWS, relay_server
from benchmarks.viewers import Seen, Viewers

STEPS = (50, 500, 2000)
RATE_HZ = 4
#: What viewers with rows of their own choose from.
CHOICE = 500
SETTLE_S, SECONDS = 1.0, 3.0
GOAL_CORES, GOAL_MS = 0.5, 100.0
#: Nearly the asked 4: a server that is too slow would look cheap by sending less.
GOAL_RATE = 3.8
#: Memory is judged by so many viewers: the first few make what all share.
MEMORY_STEP = 500


class Step(NamedTuple):
    """What so many viewers cost and get."""

    viewers: int
    cores: float
    us_each: float
    frames_per_s: float
    seen: Seen
    rss_mb: float


def same_rows(count: int) -> list[list[int]]:
    """Everybody wants the same rows."""
    return [tokens(ROWS)] * count


def own_rows(count: int) -> list[list[int]]:
    """Everybody wants rows of its own."""
    rng, all_of_them = np.random.default_rng(7), np.array(tokens(CHOICE))
    return [rng.choice(all_of_them, ROWS, replace=False).tolist() for _ in range(count)]


def climb(shares: int, wishes: list[list[int]]) -> tuple[Mark, list[Step]]:
    """What the server used before anybody came, and what each step of viewers costs; those of a step stay."""
    steps = []
    with Child(relay_server, shares) as server, Viewers(server.ready, rate=RATE_HZ) as viewers:
        time.sleep(SETTLE_S)
        start = server.ask("mark")
        for count in STEPS:
            viewers.join(wishes[viewers.count : count])
            time.sleep(SETTLE_S)
            steps.append(measure(server, viewers))
    return start, steps


def measure(server: Child, viewers: Viewers) -> Step:
    """What the viewers there are cost for some seconds."""
    viewers.seen()
    before = server.ask("mark")
    time.sleep(SECONDS)
    after = server.ask("mark")
    seen = viewers.seen().between(before.at, after.at)
    cpu_s, seconds, read = after.cpu_s - before.cpu_s, after.at - before.at, len(seen.at)
    return Step(viewers.count, cpu_s / seconds, cpu_s / read * 1e6, read / viewers.count / seconds, seen, after.rss_mb)


def results_of(name: str, start: Mark, steps: list[Step]) -> list[Result]:
    """Lines of the table; only the last step is judged, the others show how flat it is."""
    found = []
    for step in steps:
        last = step.viewers == STEPS[-1]
        who = f"{step.viewers:,} viewers, {name}"
        p50, p95 = step.seen.late_ms()
        found += [
            limit(f"{who}: server", step.cores, "core", at_most=GOAL_CORES if last else None),
            limit(f"{who}: server, per viewer and update", step.us_each, "us"),
            limit(f"{who}: frames to each", step.frames_per_s, "/s", at_least=GOAL_RATE if last else None),
            limit(f"{who}: read after, p50", p50, "ms"),
            limit(f"{who}: read after, p95", p95, "ms", at_most=GOAL_MS if last else None),
        ]
    grown = next(step.rss_mb for step in steps if step.viewers == MEMORY_STEP) - start.rss_mb
    return [*found, limit(f"{MEMORY_STEP} viewers, {name}: memory each", grown / MEMORY_STEP * 1e3, "kB")]


def run() -> list[Result]:
    """Cores, latencies and memory of 50, 500 and 2,000 viewers of 50 rows at 4 Hz: the same rows, and own ones."""
    return [
        *results_of("same rows", *climb(ROWS, same_rows(STEPS[-1]))),
        *results_of(f"own rows of {CHOICE}", *climb(CHOICE, own_rows(STEPS[-1]))),
    ]
