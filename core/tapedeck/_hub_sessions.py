"""What the session calendar says of every slot at once: it is asked per group of instruments, never per tick.

State: the instrument of each slot, its group (same segment and class today, hence the same phases), one
instrument that stands for each group, today's session start per slot.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np

from tapedeck import sessions
from tapedeck.clock import DAY, IST_OFFSET_NS, ist_midnight, to_ist
from tapedeck.schema import SEGMENT_EXCHANGE, Instrument

#: Start of a session that does not take place.
NEVER = np.iinfo(np.int64).max
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_INDEX_SEGMENT = 9


def ist_day(ns: int) -> int:
    """Number of the day in India, counted from 1970-01-01."""
    return (ns + IST_OFFSET_NS) // DAY


def day_of(number: int) -> date:
    """Date of a day number."""
    return date.fromordinal(_EPOCH_ORDINAL + number)


def stand_in(token: int) -> Instrument:
    """Instrument for a token that no dump names: all that is known is its segment."""
    segment = token & 0xFF
    exchange = "NSE" if segment == _INDEX_SEGMENT else SEGMENT_EXCHANGE.get(segment, "")
    return Instrument(token, str(token), exchange, segment="INDICES" if segment == _INDEX_SEGMENT else exchange)


def phase_of(instrument: Instrument, now: int) -> sessions.Phase:
    """Phase of an instrument; of one without a session calendar: CLOSED, not covered, and no warning."""
    segment, session_class = sessions.resolve(instrument, now)
    if segment in sessions.SEGMENTS:
        return sessions.phase(segment, now, session_class=session_class)
    start = ist_midnight(day_of(ist_day(now)))
    reason = f"no session calendar for {instrument.exchange or 'its exchange'}"
    return sessions.Phase(
        "CLOSED", to_ist(start), to_ist(start + DAY), "CLOSED", reason, "", segment, session_class, covered=False
    )


def yyyymmdd(day: date) -> int:
    """A date as one number."""
    return day.year * 10_000 + day.month * 100 + day.day


class SlotSessions:
    """Groups slots by session rules and answers for whole arrays of slots."""

    def __init__(self) -> None:
        self.instruments: list[Instrument] = []
        self.group = np.zeros(0, np.int32)
        self.members: list[Instrument] = []
        self.day = -1
        self.day_end = 0
        self.session_start = np.zeros(0, np.int64)
        self._ids: dict[tuple[str, str], int] = {}
        self._starts: list[int] = []
        # Facts of a date, not of now: kept for the few days that last trades fall on.
        self._windows: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._previous: dict[tuple[int, int], int] = {}

    def add(self, instruments: Iterable[Instrument], now: int) -> None:
        """Take in the instruments of the next slots, in slot order."""
        self.roll(now)
        added = list(instruments)
        self.instruments += added
        self.group = np.concatenate([self.group, np.fromiter(map(self._group, added), np.int32, len(added))])
        self._lay_out()

    def replace(self, instruments: Iterable[Instrument], now: int) -> None:
        """The same slots are described by newer instruments."""
        self.instruments = list(instruments)
        self.day = -1
        self.roll(now)

    def roll(self, now: int) -> None:
        """Make groups and session starts those of the day `now` lies in: classes change with expiries."""
        day = ist_day(now)
        if day == self.day:
            return
        self.day = day
        self.day_end = ist_midnight(day_of(day + 1))
        self.members, self._ids, self._starts, self._windows, self._previous = [], {}, [], {}, {}
        self.group = np.fromiter(map(self._group, self.instruments), np.int32, len(self.instruments))
        self._lay_out()

    def _group(self, instrument: Instrument) -> int:
        key = sessions.resolve(instrument, self.day_end - 1)
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = len(self.members)
            self.members.append(instrument)
            start = sessions.session_start_ns(instrument, day_of(self.day))
            self._starts.append(NEVER if start is None else start)
        return number

    def _lay_out(self) -> None:
        self.session_start = np.array(self._starts, np.int64)[self.group] if self._starts else np.zeros(0, np.int64)

    def phases(self, now: int) -> list[sessions.Phase]:
        """Phase of each group at `now`, in the order of the group numbers."""
        return [phase_of(member, now) for member in self.members]

    def official(self, slots: np.ndarray, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Official price of each tick and its date as the number yyyymmdd; NaN where it cannot be dated.

        The last price where its trade was part of the official close of its day, else the packet's previous
        close, dated with the trading day before the packet's. `ticks` are those of `slots`.
        """
        price, when = np.full(len(ticks), np.nan), np.full(len(ticks), np.nan)
        stamp, groups = ticks["exchange_timestamp"], self.group[slots]
        # An index has no trades: its packets of the closing auction and later carry the closing value.
        is_index = (ticks["instrument_token"] & 0xFF) == _INDEX_SEGMENT
        basis = np.where(is_index, stamp, ticks["last_trade_time"])
        for group, day, rows in _by_day(groups, stamp):
            price[rows] = ticks["close"][rows]
            when[rows] = self._previous_day(group, day)
        for group, day, rows in _by_day(groups, basis):
            closed = rows[self._in_close(group, day, basis[rows])]
            price[closed] = ticks["last_price"][closed]
            when[closed] = yyyymmdd(day_of(day))
        when[np.isnan(price)] = np.nan
        return price, when

    def _in_close(self, group: int, day: int, at: np.ndarray) -> np.ndarray:
        """Which of these instants of one day belong to the official close."""
        windows = self._windows.get((group, day))
        if windows is None:
            windows = self._windows[group, day] = _close_windows(self.members[group], day_of(day))
        inside = np.zeros(len(at), bool)
        for start, end in windows:
            inside |= (at >= start) & (at < end)
        return inside

    def _previous_day(self, group: int, day: int) -> int:
        found = self._previous.get((group, day))
        if found is None:
            segment = sessions.resolve(self.members[group], self.day_end - 1)[0]
            previous = sessions.previous_trading_day(day_of(day), segment if segment in sessions.SEGMENTS else "NSE")
            found = self._previous[group, day] = yyyymmdd(previous)
        return found


def _by_day(groups: np.ndarray, stamps: np.ndarray) -> Iterable[tuple[int, int, np.ndarray]]:
    """Group, day number and row numbers of the rows that have a time."""
    timed = np.flatnonzero(stamps > 0)
    if not len(timed):
        return
    days = (stamps[timed] + IST_OFFSET_NS) // DAY
    keys = groups[timed] * np.int64(1 << 32) + days
    for key in np.unique(keys):
        yield int(key >> 32), int(key & 0xFFFFFFFF), timed[keys == key]


def _close_windows(instrument: Instrument, day: date) -> list[tuple[int, int]]:
    segment, session_class = sessions.resolve(instrument, ist_midnight(day))
    if segment not in sessions.SEGMENTS or not sessions.covered(day):
        return []
    spans = sessions.spans(day, segment, session_class)
    windows = [(s.start_ns, s.end_ns) for s in spans if sessions.is_official_close(instrument, s.start_ns)]
    if instrument.is_index and windows:
        return [(windows[0][0], ist_midnight(day) + DAY)]
    return windows
