"""The line of each instrument's day: its last price at the end of every minute, where the desk knew it live.

State: the epoch and the day the lines are of, one row of minutes per instrument, which row a slot of the hub has,
when the last sample was taken, and how many instruments there was no room for.

A minute without a live price stays NaN until an official candle of it comes; nothing is carried over a dead feed.
The table is bounded: 6,000 instruments of 900 minutes in four bytes, 22 MB, made as instruments come.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from tapedeck import sessions
from tapedeck._hub_sessions import day_of, ist_day
from tapedeck.clock import IST_OFFSET_NS, MINUTE, Clock, ist_midnight
from tapedeck.hub import FRESH_TTL, Hub
from tapedeck.schema import Instrument

#: First and last minute of the day that has a place: 09:00 to 24:00 in India, the hours of every market.
OPENS_AT = 9 * 60
MINUTES = 15 * 60
#: Instruments there is room for: twice what one connection carries.
MOST = 6000
_FIRST_ROWS = 256
_NO_ROW, _NO_ROOM = -1, -2


class Line(NamedTuple):
    """One instrument's day: its first and last session instant, UTC ms, and the price at the end of every step.

    None where the price is not known; without a session today there are neither times nor prices.
    """

    start_ms: int | None
    end_ms: int | None
    prices: list[float | None]


class DayLines:
    """Minutes of today, by instrument. Sampled by one thread, filled by another, read by any."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub, self._clock = hub, clock
        self._lock = threading.Lock()
        self._of = (0, 0)
        self._clear()

    def _clear(self) -> None:
        self._table = np.full((0, MINUTES), np.nan, np.float32)
        self._rows: dict[int, int] = {}
        self._slot_rows = np.zeros(0, np.intp)
        self._held: dict[tuple[str, str], np.ndarray] = {}
        self._last = (-1, -np.inf)
        self._refused: set[int] = set()

    def _open(self) -> tuple[int, int]:
        """Start over when source or day have changed; market time and the minute of the table it lies in."""
        now = self._clock.now()
        of = self._hub.epoch, ist_day(now)
        if of != self._of:
            self._clear()
            self._of = of
        return now, minute_of(now)

    @property
    def of(self) -> tuple[int, int]:
        """Epoch and day number of what is held now: what was fetched for another pair does not belong here."""
        with self._lock:
            self._open()
            return self._of

    def describe(self) -> dict[str, int]:
        """For the health answer: instruments with a line, room, and how many found none."""
        with self._lock:
            return {"instruments": len(self._rows), "most": MOST, "unrecorded": len(self._refused)}

    # -- writing -------------------------------------------------------------------------------------------------

    def sample(self) -> None:
        """Note what every instrument is at now; a price that is not live makes the minute unknown again."""
        live = self._hub.live_prices()
        real = self._clock.monotonic()
        with self._lock:
            _, minute = self._open()
            if live.epoch != self._of[0] or ist_day(live.now) != self._of[1] or not 0 <= minute < MINUTES:
                return
            rows = self._rows_of(live.tokens, live.prices)
            rows, prices = rows[rows >= 0], live.prices[rows >= 0].astype(np.float32)
            before, at = self._last
            if before >= 0 and minute > before + 1 and real - at <= FRESH_TTL:
                # Market time that runs fast leaves minutes out between two samples of a feed that never stopped.
                kept = np.where(np.isnan(prices), np.nan, self._table[rows, before])
                self._table[rows, before + 1 : minute] = kept[:, None]
            self._table[rows, minute] = prices
            self._last = minute, real

    def _rows_of(self, tokens: np.ndarray, prices: np.ndarray) -> np.ndarray:
        """Row of each slot; made for those that have a live price for the first time."""
        fresh = len(tokens) - len(self._slot_rows)
        if fresh:
            self._slot_rows = np.concatenate([self._slot_rows, np.full(fresh, _NO_ROW)])
        for slot in np.flatnonzero((self._slot_rows == _NO_ROW) & ~np.isnan(prices)).tolist():
            row = self._row(int(tokens[slot]))
            self._slot_rows[slot] = _NO_ROOM if row is None else row
        return self._slot_rows

    def _row(self, token: int) -> int | None:
        row = self._rows.get(token)
        if row is None:
            row = len(self._rows)
            if row >= MOST:
                self._refused.add(token)
                return None
            if row >= len(self._table):
                more = min(max(len(self._table), _FIRST_ROWS), MOST - len(self._table))
                self._table = np.concatenate([self._table, np.full((more, MINUTES), np.nan, np.float32)])
            self._rows[token] = row
        return row

    def fill(self, instrument: Instrument, candles: np.ndarray, *, of: tuple[int, int], until: int) -> None:
        """Take official minutes of the day for those the desk did not see; what it saw itself stays.

        `candles` are CANDLE rows by rising time; only those complete at `until`, UTC ns, count. Between two of
        them a minute without a candle had no trade, and the price stood where it was; after the last nothing is
        known. `of` is what `of` was when they were asked for.
        """
        done = candles[(candles["date"] + MINUTE <= until) & (candles["date"] >= _start(of[1]))]
        with self._lock:
            self._open()
            if of != self._of or not len(done):
                return
            row = self._row(instrument.instrument_token)
            if row is None:
                return
            minutes = (done["date"] - _start(of[1])) // MINUTE
            official = np.full(MINUTES, np.nan, np.float32)
            official[minutes[0] : minutes[-1] + 1] = done["close"][
                np.searchsorted(minutes, np.arange(minutes[0], minutes[-1] + 1), side="right") - 1
            ]
            official[~self._held_minutes(instrument)] = np.nan
            line = self._table[row]
            line[:] = np.where(np.isnan(line), official, line)

    # -- reading -------------------------------------------------------------------------------------------------

    def missing(self, instrument: Instrument) -> int:
        """How many minutes of continuous trading before this one are not known."""
        with self._lock:
            _, minute = self._open()
            traded = self._held_minutes(instrument, ("LIVE",))[: max(0, minute)]
            row = self._rows.get(instrument.instrument_token)
            unknown = traded if row is None else traded & np.isnan(self._table[row, : len(traded)])
            return int(unknown.sum())

    def line(self, instrument: Instrument, step_s: int) -> Line:
        """The instrument's day up to now. `step_s` is whole minutes.

        The newest step may still be running: its price is the one of now.
        """
        with self._lock:
            _, minute = self._open()
            held = np.flatnonzero(self._held_minutes(instrument))
            if not len(held):
                return Line(None, None, [])
            first, last = int(held[0]), int(held[-1]) + 1
            start_ms, end_ms = ((_start(self._of[1]) + at * MINUTE) // 1_000_000 for at in (first, last))
            end = min(last, minute + 1)
            if end <= first:
                return Line(start_ms, end_ms, [])
            step = step_s // 60
            ends = np.minimum(np.arange(first + step, end + step, step), end) - 1
            row = self._rows.get(instrument.instrument_token)
            prices = np.full(len(ends), np.nan) if row is None else self._table[row, ends].astype(np.float64)
        return Line(start_ms, end_ms, _rounded(prices))

    def _held_minutes(self, instrument: Instrument, names: Iterable[str] = ()) -> np.ndarray:
        """By minute of the table: whether the instrument is in session, or in one of the named phases."""
        day = day_of(self._of[1])
        segment, session_class = sessions.resolve(instrument, ist_midnight(day))
        if segment not in sessions.SEGMENTS:
            return np.zeros(MINUTES, bool)
        key = (segment, f"{session_class} {' '.join(names)}")
        if key not in self._held:
            minutes = self._held[key] = np.zeros(MINUTES, bool)
            for span in sessions.spans(day, segment, session_class):
                if span.name in (names or ("PRE_OPEN", "LIVE", "CLOSING_AUCTION")):
                    start, end = (max(0, ns - _start(self._of[1])) for ns in (span.start_ns, span.end_ns))
                    minutes[start // MINUTE : -(-end // MINUTE)] = True
        return self._held[key]


def minute_of(now: int) -> int:
    """Place of an instant in a row of minutes; negative before 09:00."""
    return (now + IST_OFFSET_NS) // MINUTE % (24 * 60) - OPENS_AT


def _start(day: int) -> int:
    """UTC ns of the first minute of a day's row."""
    return ist_midnight(day_of(day)) + OPENS_AT * MINUTE


def _rounded(prices: np.ndarray) -> list[float | None]:
    """Prices without the noise of four bytes: they hold seven digits, and no tick is finer than that."""
    whole = np.where(np.abs(prices) < 1000, np.round(prices, 4), np.round(prices, 2))
    return [None if price != price else price for price in whole.tolist()]
