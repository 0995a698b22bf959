"""The simulated exchange's market time: one trading day after another, at any speed.

A pure function of the real time that has passed, so that a desk can compute the same time from a small
document instead of asking again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from tapedeck import sessions
from tapedeck.clock import SECOND, Clock, SystemClock, ist_date, ist_ns

#: At this time of day the clock leaves a day; the next one begins before its pre-open session.
JUMP_AT = "16:01"
RESUME_AT = "08:59:30"
#: Market time from one jump to the next.
LOOP_NS = ist_ns(date(2026, 1, 1), JUMP_AT) - ist_ns(date(2026, 1, 1), RESUME_AT)


class LoopClock:
    """Market clock that at 16:01:00 IST jumps to 08:59:30 of the next covered trading day.

    After the last covered day it goes back to the first day it started on. Market time runs `speed` times
    as fast as real time, jumps excepted. `origin` is the `monotonic()` of the start, by default now; `real`
    is the clock that `monotonic()` is read from.
    """

    def __init__(
        self,
        start_ns: int,
        *,
        speed: float = 1.0,
        origin: float | None = None,
        seed: int = 7,
        real: Clock | None = None,
    ) -> None:
        if not 0 < speed <= 100_000:
            raise ValueError(f"speed was {speed}; it must be above 0 and at most 100000")
        self._real = SystemClock() if real is None else real
        self.start_ns = int(start_ns)
        self.speed = float(speed)
        self.seed = seed
        self.origin = self._real.monotonic() if origin is None else origin
        first = ist_date(self.start_ns)
        jump = ist_ns(first, JUMP_AT)
        if jump <= self.start_ns:
            first += timedelta(days=1)
            jump = ist_ns(first, JUMP_AT)
        self._first_day = first
        self._first_ns = jump - self.start_ns

    @cached_property
    def _days(self) -> tuple[date, ...]:
        """Days visited after the first jump, in order; the list is gone through again and again."""
        return later_days(self._first_day)

    def now(self) -> int:
        """Market time, UTC nanoseconds since the epoch."""
        return self.at(self.elapsed())

    def monotonic(self) -> float:
        """Real time in seconds from an arbitrary start."""
        return self._real.monotonic()

    def elapsed(self) -> float:
        """Real seconds since the start; never negative."""
        return max(0.0, self._real.monotonic() - self.origin)

    def at(self, elapsed_s: float) -> int:
        """Market time, UTC nanoseconds, when `elapsed_s` real seconds have passed since the start."""
        passed = int(elapsed_s * self.speed * SECOND)
        if passed < self._first_ns:
            return self.start_ns + passed
        loops, into = divmod(passed - self._first_ns, LOOP_NS)
        return ist_ns(self._days[loops % len(self._days)], RESUME_AT) + into

    def to_jump(self) -> tuple[float, date]:
        """Real seconds until the next jump, and the day it leads to."""
        passed = int(self.elapsed() * self.speed * SECOND)
        if passed < self._first_ns:
            left, day = self._first_ns - passed, self._days[0]
        else:
            loops, into = divmod(passed - self._first_ns, LOOP_NS)
            left, day = LOOP_NS - into, self._days[(loops + 1) % len(self._days)]
        return left / SECOND / self.speed, day

    def document(self) -> dict[str, Any]:
        """What another process needs to run the same clock, with where it stands now. Small and JSON-safe."""
        elapsed = self.elapsed()
        market_ns = self.at(elapsed)
        day = ist_date(market_ns).isoformat()
        return {
            "seed": self.seed,
            "source": f"sim:{self.seed}:{day}",
            "market_ns": market_ns,
            "start_ns": self.start_ns,
            "elapsed_s": round(elapsed, 6),
            "speed": self.speed,
            "date": day,
        }

    @classmethod
    def from_document(cls, doc: Mapping[str, Any], *, real: Clock | None = None) -> LoopClock:
        """Clock that runs in step with the sender of `doc`, late by as long as the document was under way."""
        real = SystemClock() if real is None else real
        origin = real.monotonic() - float(doc["elapsed_s"])
        return cls(
            int(doc["start_ns"]), speed=float(doc["speed"]), origin=origin, seed=int(doc.get("seed", 7)), real=real
        )


def later_days(first: date) -> tuple[date, ...]:
    """Covered trading days after `first`, then `first` itself if it was one; never empty."""
    last = sessions.last_covered_trading_day(date.max)
    days = sessions.trading_days(first + timedelta(days=1), last) if first < last else []
    if first <= last and sessions.is_trading_day(first):
        days = [*days, first]
    return tuple(days) or (last,)


def default_start_ns(today: date) -> int:
    """09:14:30 IST of the last covered trading day not after `today`: half a minute before the opening."""
    return ist_ns(sessions.last_covered_trading_day(today), "09:14:30")
