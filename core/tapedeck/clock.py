"""Clocks: market time in UTC nanoseconds and real time in seconds, never mixed.

The only module that reads the machine's clock. `now()` is market time: the simulator's or a replay's may
run fast, start on another day and jump. `monotonic()` is real time: ages, timeouts, back-off and rate
limits use nothing else.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta, timezone
from typing import Protocol
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
#: India has had one offset since 1945 and no daylight saving: day arithmetic may use a constant.
IST_OFFSET_NS = 19_800 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Clock(Protocol):
    """What every part of the desk is given instead of the machine's clock."""

    def now(self) -> int:
        """Market time, UTC nanoseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Real time in seconds from an arbitrary start; never goes back, and goes on while the machine sleeps."""
        ...


#: Linux stops CLOCK_MONOTONIC while the machine sleeps: a laptop opened again would call hour-old numbers fresh.
_REAL = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _real_seconds() -> float:
    return time.clock_gettime(_REAL)


class SystemClock:
    """The machine's own clock: market time is real time."""

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return _real_seconds()


class OffsetClock:
    """Market time that started at `start_ns` and runs `speed` times as fast as real time.

    `origin` is the `monotonic()` of the start; by default the moment of construction.
    """

    def __init__(self, start_ns: int, *, speed: float = 1.0, origin: float | None = None) -> None:
        self.start_ns = start_ns
        self.speed = speed
        self.origin = _real_seconds() if origin is None else origin

    def now(self) -> int:
        return self.start_ns + int((_real_seconds() - self.origin) * self.speed * SECOND)

    def monotonic(self) -> float:
        return _real_seconds()


class ManualClock:
    """A clock that stands still until it is told to move: for tests, replays and backtests.

    `advance` moves market and real time together; `set` moves market time alone.
    """

    def __init__(self, now_ns: int = 0, *, monotonic: float = 0.0) -> None:
        self._now = now_ns
        self._monotonic = monotonic

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float, *, speed: float = 1.0) -> None:
        """Let `seconds` of real time pass, and `speed` times as much market time."""
        self._monotonic += seconds
        self._now += round(seconds * speed * SECOND)

    def set(self, now_ns: int) -> None:
        """Jump to a market time; real time stands still."""
        self._now = now_ns


class SwitchableClock:
    """One clock handed to everybody, whose market time can be re-pointed while the desk runs.

    The desk learns the simulator's clock at every handshake; nobody has to be told.
    """

    def __init__(self, inner: Clock) -> None:
        self._inner = inner

    def now(self) -> int:
        return self._inner.now()

    def monotonic(self) -> float:
        return self._inner.monotonic()

    def switch(self, inner: Clock) -> None:
        """Follow another clock from now on."""
        self._inner = inner


def to_ns(at: int | datetime) -> int:
    """UTC nanoseconds of a tz-aware datetime; an integer is taken as such already.

    Raises
    ------
    ValueError
        If the datetime was naive: its zone would be a guess.
    """
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ValueError(f"time was naive ({at.isoformat()}); give it a zone, such as tapedeck.clock.IST")
        delta = at - _EPOCH
        return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1000 + getattr(at, "nanosecond", 0)
    return int(at)


def wall_to_ns(at: datetime) -> int:
    """UTC nanoseconds of a datetime as a person gives it: without an offset it is Indian wall time."""
    return to_ns(at if at.tzinfo else at.replace(tzinfo=IST))


def to_ist(ns: int) -> datetime:
    """tz-aware Asia/Kolkata datetime of UTC nanoseconds, truncated to microseconds."""
    return (_EPOCH + timedelta(microseconds=ns // 1000)).astimezone(IST)


def ist_date(ns: int) -> date:
    """Calendar date in India at that instant."""
    return date.fromordinal(719_163 + (ns + IST_OFFSET_NS) // DAY)


def ist_midnight(day: date) -> int:
    """UTC nanoseconds of 00:00 in India on that date."""
    return (day.toordinal() - 719_163) * DAY - IST_OFFSET_NS


def ist_ns(day: date, hhmm: str) -> int:
    """UTC nanoseconds of a wall-clock time in India, such as `"09:15"` or `"09:14:30"`."""
    parts = [int(p) for p in hhmm.split(":")] + [0, 0]
    return ist_midnight(day) + (parts[0] * 3600 + parts[1] * 60 + parts[2]) * SECOND
