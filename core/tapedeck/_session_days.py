"""One day of one segment and class, made from the session facts: its phases, its contracts' classes."""

from __future__ import annotations

import calendar as months
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from tapedeck._session_rules import (
    CLOSED,
    CLOSING_AUCTION,
    HOLIDAY,
    LIVE,
    POST_CLOSE,
    PRE_OPEN,
    WEEKEND,
    Facts,
    Holiday,
    Special,
    Tile,
)
from tapedeck.clock import DAY, ist_midnight

#: What lies between two phases of a day when the document leaves a gap: (before, after) -> name, sub-phase.
_GAPS = {
    (PRE_OPEN, LIVE): (PRE_OPEN, "buffer"),
    (LIVE, CLOSING_AUCTION): (CLOSING_AUCTION, "stale"),
    (LIVE, POST_CLOSE): (POST_CLOSE, "close_calculation"),
    (CLOSING_AUCTION, POST_CLOSE): (POST_CLOSE, "buffer"),
}
_BREAK = (CLOSED, "break")


class Span(NamedTuple):
    """A stretch of one phase, UTC nanoseconds, end exclusive."""

    start_ns: int
    end_ns: int
    name: str
    sub: str


@lru_cache(maxsize=8192)
def day_tiles(facts: Facts, segment: str, cls: str, day: date) -> tuple[Tile, ...]:
    """What 00:00 to 24:00 of that date looks like: tiles in order, without gap or overlap."""
    holiday = facts.holidays.get((facts.segments[segment].calendar, day))
    special = facts.specials.get((segment, day))
    if special is not None and special.closed:
        holiday = Holiday(special.reason, "")
    spans = _contiguous(_raw(facts, segment, cls, day, special, holiday), special.reason if special else "")
    before, after = _idle(day, bool(spans), holiday, special)
    tiles = [Tile(0, spans[0].start if spans else DAY, *before), *spans]
    if spans and spans[-1].end < DAY:
        tiles.append(Tile(spans[-1].end, DAY, *after))
    return tuple(t for t in tiles if t.start < t.end)


def _raw(
    facts: Facts, segment: str, cls: str, day: date, special: Special | None, holiday: Holiday | None
) -> list[Tile]:
    """The phases of the day as the document gives them, in order of time."""
    if special is not None and special.spans:
        return sorted(special.spans)
    by_rules = special is not None and special.use_rules
    if not by_rules and (day.weekday() >= 5 or (holiday is not None and not holiday.open_half)):
        return []
    tiles = sorted(t for rule in facts.active(segment, cls, day) for t in rule.spans)
    if holiday is None or by_rules:
        return tiles
    low, high = (0, facts.boundary) if holiday.open_half == "morning" else (facts.boundary, DAY)
    clipped = [t._replace(start=max(t.start, low), end=min(t.end, high)) for t in tiles]
    return [t for t in clipped if t.start < t.end]


def _contiguous(tiles: list[Tile], reason: str) -> list[Tile]:
    """The phases joined: gaps between them named, neighbours of the same name made one."""
    joined: list[Tile] = []
    for tile in tiles:
        name, sub = tile.name, tile.sub
        if not name:  # a buffer: before the open or after the close
            name = PRE_OPEN if joined and joined[-1].name == PRE_OPEN else POST_CLOSE
        if joined and joined[-1].end < tile.start:
            gap = _GAPS.get((joined[-1].name, name), _BREAK)
            joined.append(Tile(joined[-1].end, tile.start, *gap, reason))
        if joined and (joined[-1].name, joined[-1].sub) == (name, sub):
            joined[-1] = joined[-1]._replace(end=max(tile.end, joined[-1].end))
        else:
            joined.append(Tile(max(tile.start, joined[-1].end if joined else 0), tile.end, name, sub, reason))
    return joined


def _idle(
    day: date, trades: bool, holiday: Holiday | None, special: Special | None
) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """Name, sub-phase and reason of the time before and after the day's phases."""
    closed = (CLOSED, "", "")
    if holiday is not None and (special is None or not special.use_rules):
        shut = (HOLIDAY, "", holiday.reason)
        if not trades:
            return shut, shut
        return closed if holiday.open_half == "morning" else shut, closed if holiday.open_half == "evening" else shut
    if not trades and day.weekday() >= 5:
        return (WEEKEND, "", ""), (WEEKEND, "", "")
    return closed, closed


def day_spans(facts: Facts, segment: str, cls: str, day: date) -> tuple[Span, ...]:
    """From the day's first phase to its last, contiguous, with breaks; empty when nothing happens."""
    midnight = ist_midnight(day)
    tiles = day_tiles(facts, segment, cls, day)
    return tuple(
        Span(midnight + t.start, midnight + t.end, t.name, t.sub)
        for t in tiles
        if t.name not in (HOLIDAY, WEEKEND) and (t.name != CLOSED or t.sub)
    )


def trades_on(facts: Facts, segment: str, cls: str, day: date) -> bool:
    """Whether there is continuous trading on that date."""
    return any(t.name == LIVE for t in day_tiles(facts, segment, cls, day))


@lru_cache(maxsize=512)
def monthly_expiry(facts: Facts, segment: str, year: int, month: int) -> date | None:
    """The last trading day of the month's contracts; None where no rule is known."""
    last = date(year, month, months.monthrange(year, month)[1])
    for segments, weekday, first, end in facts.expiry_weekdays:
        if segment in segments and first <= last and date(year, month, 1) <= end:
            day = last - timedelta((last.weekday() - weekday) % 7)
            while not _expiry_day(facts, segment, day):
                day -= timedelta(1)
            return day
    return None


def _expiry_day(facts: Facts, segment: str, day: date) -> bool:
    # A day with nothing but a Muhurat hour does not count for expiries.
    special = facts.specials.get((segment, day))
    short = special is not None and bool(special.spans)
    return not short and trades_on(facts, segment, facts.segments[segment].classes[0], day)


@lru_cache(maxsize=4096)
def future_class(facts: Facts, segment: str, expiry: date, day: date) -> str:
    """`future_m1` or `future_far` of a contract on that date."""
    front = monthly_expiry(facts, segment, day.year, day.month)
    if front is None:
        return "future_far"
    if day > front:
        following = date(day.year, day.month, 28) + timedelta(7)
        front = monthly_expiry(facts, segment, following.year, following.month) or front
    ahead = (expiry.year - front.year) * 12 + expiry.month - front.month
    if ahead <= 0:
        return "future_m1"
    return (
        "future_m1" if ahead == 1 and _days_left(facts, segment, day, front) <= facts.next_month_days else "future_far"
    )


def _days_left(facts: Facts, segment: str, day: date, expiry: date) -> int:
    """Trading days from that date to the expiry, both counted."""
    cls = facts.segments[segment].classes[0]
    return sum(trades_on(facts, segment, cls, day + timedelta(n)) for n in range((expiry - day).days + 1))
