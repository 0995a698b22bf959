"""The phase of any instrument or market segment at any instant, from effective-dated facts."""

from __future__ import annotations

import difflib
import warnings
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from tapedeck._session_days import Span, day_spans, day_tiles, future_class, trades_on
from tapedeck._session_rules import (
    CLOSED,
    CLOSING_AUCTION,
    LIVE,
    PHASES,
    POST_CLOSE,
    PRE_OPEN,
    Facts,
    Segment,
    Tile,
    facts,
)
from tapedeck.clock import DAY, IST_OFFSET_NS, ist_date, ist_midnight, to_ist, to_ns
from tapedeck.errors import ConfigError, CoverageWarning
from tapedeck.schema import Instrument

__all__ = [
    "PHASES", "SEGMENTS", "Phase", "Segment", "Span", "class_of", "coverage", "covered", "is_official_close",
    "is_trading_day", "last_covered_trading_day", "market_status", "next_trading_day", "next_transition", "phase",
    "previous_trading_day", "resolve", "session_start_ns", "spans", "trading_days",
]  # fmt: skip

#: Name -> Segment: the markets that phases are known for.
SEGMENTS: Mapping[str, Segment]

_COARSE = {
    name: PRE_OPEN if name == PRE_OPEN else LIVE if name in (LIVE, CLOSING_AUCTION) else CLOSED for name in PHASES
}
#: The sub-phases in which a trade can only be one at the official closing price. In the entry phase of the
#: closing auction nothing trades until the uncrossing, which may follow the random close at once.
_OFFICIAL = {
    (CLOSING_AUCTION, "order_entry_limit_only"),
    (CLOSING_AUCTION, "matching"),
    (CLOSING_AUCTION, "closing_value"),
    (POST_CLOSE, "buffer"),
    (POST_CLOSE, "post_close"),
}


@dataclass(frozen=True, slots=True)
class Phase:
    """What a market is doing, from `since` (inclusive) until `until` (exclusive), both in Indian time.

    `next` is the name of the phase that follows; `reason` says why when it is not an ordinary day; `covered`
    is False where the calendar knows neither holidays nor hours and a plain weekday was assumed.
    """

    name: str
    since: datetime
    until: datetime
    next: str
    reason: str
    sub: str
    segment: str
    session_class: str
    covered: bool = True

    @property
    def coarse(self) -> str:
        """`PRE_OPEN`, `LIVE` (the closing auction included) or `CLOSED`."""
        return _COARSE[self.name]

    @property
    def held(self) -> bool:
        """Whether numbers are held to the freshness limit; otherwise the official close is shown, dated."""
        return _COARSE[self.name] != CLOSED


def phase(instrument_or_segment: Instrument | str, at: int | datetime, *, session_class: str | None = None) -> Phase:
    """The phase of an instrument, a segment (`NSE_EQ`) or one of Kite's exchanges (`NSE`) at an instant.

    `at` is UTC nanoseconds or a tz-aware datetime. A segment without `session_class` is taken in its default
    class (`other` for cash shares). Outside the calendar's coverage a CoverageWarning is given.

    Raises
    ------
    ConfigError
        If the segment or the class was unknown.
    """
    ns = to_ns(at)
    ordinal = (ns + IST_OFFSET_NS) // DAY
    segment, cls = _resolve(instrument_or_segment, ordinal, session_class)
    found = _at(segment, cls, ns, ordinal)
    if not found.covered:
        _warn(found.since.date() if segment in facts().segments else segment)
    return found


def market_status(at: int | datetime, segment: str = "NSE") -> str:
    """`PRE_OPEN`, `LIVE` or `CLOSED`: the coarse status of a segment in its default class."""
    return phase(segment, at).coarse


def next_transition(
    at: int | datetime, segment: str = "NSE", *, session_class: str | None = None
) -> tuple[datetime, str]:
    """When the coarse status changes next (Indian time), and what it becomes."""
    now = phase(segment, at, session_class=session_class)
    later = now
    while later.coarse == now.coarse:
        ns = to_ns(later.until)
        later = _at(now.segment, now.session_class, ns, (ns + IST_OFFSET_NS) // DAY)
    return later.since, later.coarse


def spans(day: date, segment: str, session_class: str | None = None) -> tuple[Span, ...]:
    """Stretches of `day` from its first phase to its last, contiguous (a break is CLOSED, `break`).

    Empty on a day without a session.
    """
    segment, cls = _named(facts(), segment, session_class)
    day = _day(day)
    if not facts().covers(day):
        _warn(day)
    return day_spans(facts(), segment, cls, day)


def session_start_ns(instrument: Instrument | str, day: date) -> int | None:
    """First instant of that date at which the market is PRE_OPEN or LIVE, UTC ns; None when there is none."""
    day = _day(day)
    segment, cls = _resolve(instrument, day.toordinal() - _EPOCH_ORDINAL, None)
    if segment not in facts().segments:
        return None
    return next((s.start_ns for s in spans(day, segment, cls) if s.name in (PRE_OPEN, LIVE)), None)


def is_official_close(instrument: Instrument | str, last_trade_time_ns: int) -> bool:
    """Whether a trade at that time was made at the official closing price: the auction's uncrossing or after it."""
    if last_trade_time_ns <= 0:
        return False
    ordinal = (last_trade_time_ns + IST_OFFSET_NS) // DAY
    segment, cls = _resolve(instrument, ordinal, None)
    found = _at(segment, cls, last_trade_time_ns, ordinal)
    return (found.name, found.sub) in _OFFICIAL


def covered(day: date) -> bool:
    """Whether holidays and hours of that date are known; otherwise every weekday counts as a plain one."""
    return facts().covers(_day(day))


def coverage() -> tuple[date, date]:
    """First and last date whose holidays and hours are known."""
    known = facts()
    return known.first, known.last


def is_trading_day(day: date, segment: str = "NSE") -> bool:
    """Whether the segment has continuous trading on that date, if only for an hour."""
    known = facts()
    return trades_on(known, *_named(known, segment, None), _day(day))


def trading_days(first: date, last: date, segment: str = "NSE") -> list[date]:
    """Trading days from `first` to `last`, both included. Outside the coverage: every weekday."""
    first, last = _day(first), _day(last)
    days = (first + timedelta(n) for n in range((last - first).days + 1))
    return [day for day in days if is_trading_day(day, segment)]


def previous_trading_day(day: date, segment: str = "NSE") -> date:
    """The last trading day before that date."""
    return _step(_day(day), -1, segment)


def next_trading_day(day: date, segment: str = "NSE") -> date:
    """The first trading day after that date."""
    return _step(_day(day), 1, segment)


def last_covered_trading_day(today: date, segment: str = "NSE") -> date:
    """The last trading day up to and including `today` that the calendar covers.

    Raises
    ------
    ValueError
        If `today` was before the calendar's first day.
    """
    known, today = facts(), _day(today)
    day = min(today, known.last)
    while day >= known.first:
        if is_trading_day(day, segment):
            return day
        day -= timedelta(1)
    raise ValueError(f"no covered trading day up to {today}; the calendar covers {known.first} to {known.last}")


def class_of(instrument: Instrument, day: date | None = None) -> str:
    """The class whose hours an instrument follows; with `day`, the one it has on that date.

    A share without `session_class` is `other`: that it has derivatives is known only from the whole dump.
    Empty for an exchange without a calendar.
    """
    known = facts()
    segment = known.by_name.get(instrument.exchange)
    given = instrument.session_class
    if segment is None:
        return given
    default = segment.classes[0]
    if default == "option" and given in ("", "option", "future"):
        return _derivative_class(known, segment.name, instrument, day)
    if given == "cas" and instrument.tradingsymbol in known.cas_excluded.get(segment.name, ()):
        return "other"
    if given in segment.classes:
        return given
    if "index" in segment.classes and (instrument.is_index or instrument.segment == "INDICES"):
        return "index"
    by_name = known.class_of_commodity.get(instrument.name, default)
    return by_name if by_name in segment.classes else default


def resolve(instrument: Instrument, at: int | datetime) -> tuple[str, str]:
    """Segment and class an instrument has on the day of `at`: whoever shares them shares every phase of that day.

    `phase(segment, at, session_class=cls)` of the result is `phase(instrument, at)`.
    """
    return _resolve(instrument, (to_ns(at) + IST_OFFSET_NS) // DAY, None)


_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def __getattr__(name: str) -> Any:
    # Lazily, so that importing the package does not read the facts.
    if name == "SEGMENTS":
        return facts().segments
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _day(day: date) -> date:
    """A plain date; of a tz-aware datetime the date in India."""
    return ist_date(to_ns(day)) if isinstance(day, datetime) else day


def _step(day: date, direction: int, segment: str) -> date:
    while True:
        day += timedelta(direction)
        if is_trading_day(day, segment):
            return day


def _warn(what: date | str) -> None:
    known = facts()
    about = f"{what} has no session calendar" if isinstance(what, str) else f"{what} is outside the session calendar"
    message = f"{about} ({known.first} to {known.last}); holidays and hours are not known"
    warnings.warn(message, CoverageWarning, stacklevel=3)


def _resolve(what: Instrument | str, ordinal: int, session_class: str | None) -> tuple[str, str]:
    if isinstance(what, str):
        return _named(facts(), what, session_class)
    segment = facts().by_name.get(what.exchange)
    if segment is None:
        return what.exchange, ""
    if session_class:
        return _named(facts(), what.exchange, session_class)
    return segment.name, class_of(what, date.fromordinal(ordinal + _EPOCH_ORDINAL))


@lru_cache(maxsize=256)
def _named(known: Facts, segment: str, session_class: str | None) -> tuple[str, str]:
    """Segment and class by name, the default class where none is said or the segment has not the one asked for."""
    found = known.by_name.get(segment)
    if found is None:
        raise ConfigError(f"segment was {segment!r}; {_suggest(segment, known.by_name)}")
    if session_class and session_class not in known.classes:
        raise ConfigError(f"session class was {session_class!r}; {_suggest(session_class, known.classes)}")
    return found.name, session_class if session_class in found.classes else found.classes[0]


def _suggest(word: str, allowed: Any) -> str:
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"allowed: {', '.join(sorted(allowed))}" + (f". Did you mean {close[0]!r}?" if close else "")


def _derivative_class(known: Facts, segment: str, instrument: Instrument, day: date | None) -> str:
    future = instrument.instrument_type == "FUT"
    if day is None or instrument.expiry is None:
        return "future" if future else "option"
    if instrument.expiry == day and instrument.name in known.index_underlyings:
        return "index_future_expiring_today" if future else "index_contract_expiring_today"
    return future_class(known, segment, instrument.expiry, day) if future else "option"


def _at(segment: str, cls: str, ns: int, ordinal: int) -> Phase:
    starts, phases = _day_table(facts(), segment, cls, ordinal)
    return phases[bisect_right(starts, ns) - 1]


@lru_cache(maxsize=4096)
def _day_table(known: Facts, segment: str, cls: str, ordinal: int) -> tuple[list[int], list[Phase]]:
    """The phases that touch a day, and when each begins within it; the time is looked up in it on every call."""
    day = date.fromordinal(ordinal + _EPOCH_ORDINAL)
    midnight = ist_midnight(day)
    if segment not in known.segments:
        ends = to_ist(midnight), to_ist(midnight + DAY)
        reason = f"no session calendar for {segment or 'an unnamed exchange'}"
        return [midnight], [Phase(CLOSED, *ends, CLOSED, reason, "", segment, cls, False)]
    tiles = _tiles(known, segment, cls, day)
    since, _ = _reach(known, segment, cls, day, -1)
    until, beyond = _reach(known, segment, cls, day, 1)
    edges = [to_ist(ns) for ns in (since, *(midnight + t.start for t in tiles[1:]), until)]
    is_covered = known.covers(day)
    phases = [
        Phase(t.name, edges[i], edges[i + 1], following.name, t.reason, t.sub, segment, cls, is_covered)
        for i, (t, following) in enumerate(zip(tiles, (*tiles[1:], beyond), strict=True))
    ]
    return [midnight + t.start for t in tiles], phases


def _tiles(known: Facts, segment: str, cls: str, day: date) -> tuple[Tile, ...]:
    """The day's tiles, marked where the date is not covered."""
    tiles = day_tiles(known, segment, cls, day)
    if known.covers(day):
        return tiles
    reason = f"outside the session calendar ({known.first} to {known.last})"
    return tuple(t._replace(reason=reason) for t in tiles)


def _reach(known: Facts, segment: str, cls: str, day: date, direction: int) -> tuple[int, Tile]:
    """Where the phase at the last (or with -1 first) edge of a day really ends (began), and the tile beyond it."""
    last, first = (-1, 0) if direction > 0 else (0, -1)
    tile = _tiles(known, segment, cls, day)[last]
    while True:
        day += timedelta(direction)
        tiles = _tiles(known, segment, cls, day)
        edge, midnight = tiles[first], ist_midnight(day)
        if (edge.name, edge.sub, edge.reason) != (tile.name, tile.sub, tile.reason):
            return midnight + (0 if direction > 0 else DAY), edge
        if len(tiles) > 1:
            return midnight + (edge.end if direction > 0 else edge.start), tiles[first + direction]
