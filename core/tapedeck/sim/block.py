"""Rows of one kind through a day, and their state at any second.

State of a Block, made once and never changed: the state of every row at the start of every minute. Besides, the
trades of the last few minutes looked at, under a lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from tapedeck.clock import SECOND
from tapedeck.schema import MODE_FULL, empty_ticks
from tapedeck.sim.book import build_depth
from tapedeck.sim.noise import SECONDS, Bank
from tapedeck.sim.tape import Minutes, Rows, Trades, sum_minutes, trades

Array = np.ndarray[Any, Any]

#: Minutes of trades kept.
_FRAMES = 6
#: Rows summed up at a time: keeps the scratch arrays small.
_CHUNK = 16


class Starts(NamedTuple):
    """State of each (row, minute) when the minute begins; one more column for the end of the day."""

    price: Array  # ticks; the previous close before the first trade
    high: Array  # ticks; 0 before the first trade
    low: Array
    done: Array  # lots traded
    turnover: Array  # ticks times lots
    last_volume: Array  # lots of the last trade's second
    traded: Array  # second of the last trade, -1 before it
    updated: Array  # second of the last update, -1 before it
    updates: Array  # how many there were


class State(NamedTuple):
    """State of some rows at one second each, in ticks and lots; as Starts."""

    price: Array
    high: Array
    low: Array
    done: Array
    turnover: Array
    last_volume: Array
    traded: Array
    updated: Array


class _Frame(NamedTuple):
    """Trades of one minute: row `r` owns `begin[r]:begin[r + 1]`; the rest is the state after each of them."""

    trades: Trades
    high: Array
    low: Array
    turnover: Array


class Block:
    """Rows with their sums. Thread-safe."""

    def __init__(self, rows: Rows, bank: Bank, start_ns: int, seed: int, sums: Minutes | None = None) -> None:
        self.rows, self._bank, self._start_ns, self._seed = rows, bank, start_ns, seed
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, _Frame] = OrderedDict()
        sums = sums or sum_all(rows, bank)
        self.starts = _starts(rows, bank, sums)
        self.first = _first_trade(sums)
        self.day_lots = rows.volume.sum(axis=1, dtype=np.int64)
        self.lots_a_minute = self.day_lots / max(int((rows.pattern > 0).sum(axis=1).max(initial=1)), 1)

    def updates(self, row: Array, second: Array) -> Array:
        """How often each row was updated up to and including a second of the day (-1: before it)."""
        minute, column = _split(second)
        return self.starts.updates[row, minute] + self._bank.moved[self.rows.pattern[row, minute], column]

    def state(self, row: Array, second: Array) -> State:
        """State of rows after a second of the day (-1: before it)."""
        minute, column = _split(second)
        found = State(*(np.empty(len(row), np.int64) for _ in State._fields))
        for m in np.unique(minute):
            mine = minute == m
            part = self._in_minute(row[mine], int(m), column[mine])
            for into, values in zip(found, part, strict=True):
                into[mine] = values
        return found

    def _in_minute(self, row: Array, minute: int, column: Array) -> State:
        frame, bank, starts = self._frame(minute), self._bank, self.starts
        pattern = self.rows.pattern[row, minute]
        so_far = bank.upto[pattern, column].astype(np.int64)
        moved = bank.last_move[pattern, column].astype(np.int64)
        updated = np.where(moved >= 0, minute * SECONDS + moved, starts.updated[row, minute])
        old = State(*(getattr(starts, name)[row, minute] for name in State._fields))._replace(updated=updated)
        if not len(frame.trades.price):
            return old
        traded = so_far > 0
        at = np.where(traded, frame.trades.start[row] + so_far - 1, 0)
        new = frame.trades
        return State(
            price=np.where(traded, new.price[at], old.price),
            high=np.where(traded, frame.high[at], old.high),
            low=np.where(traded, frame.low[at], old.low),
            done=old.done + np.where(traded, new.done[at], 0),
            turnover=old.turnover + np.where(traded, frame.turnover[at], 0),
            last_volume=np.where(traded, new.volume[at], old.last_volume),
            traded=np.where(traded, minute * SECONDS + new.second[at], old.traded),
            updated=updated,
        )

    def _frame(self, minute: int) -> _Frame:
        with self._lock:
            found = self._frames.pop(minute, None)
            if found is None:
                found = self._build_frame(minute)
            self._frames[minute] = found
            while len(self._frames) > _FRAMES:
                self._frames.popitem(last=False)
            return found

    def _build_frame(self, minute: int) -> _Frame:
        every = np.arange(len(self.rows.token))
        found = trades(self.rows, self._bank, every, np.full(len(every), minute))
        owner = np.repeat(every, np.diff(found.start))
        high_before, low_before = self.starts.high[owner, minute], self.starts.low[owner, minute]
        # Running extremes of each row: rows are lifted above all earlier ones, so that one pass suffices.
        lift = owner << 34
        high = np.maximum.accumulate(np.maximum(found.price, high_before) + lift) - lift
        low_now = np.where(low_before > 0, np.minimum(found.price, low_before), found.price)
        low = lift - np.maximum.accumulate(lift - low_now) if len(owner) else low_now
        running = np.cumsum(found.price * found.volume)
        base = np.concatenate([[0], running])[found.start[:-1]]
        return _Frame(found, high, low, running - base[owner])

    def ticks(self, row: Array, second: Array, state: State) -> Array:
        """TICK rows of a state as Kite would send them; `received_at` is left 0."""
        rows = self.rows
        tick, lot = rows.tick[row], rows.lot[row]
        out = empty_ticks(len(row))
        out["instrument_token"], out["mode"] = rows.token[row], MODE_FULL
        seen, traded = state.updated >= 0, state.traded >= 0
        out["exchange_timestamp"] = np.where(seen, self._start_ns + state.updated * SECOND, rows.before[row])
        out["last_trade_time"] = np.where(traded, self._start_ns + state.traded * SECOND, rows.traded_before[row])
        out["last_price"] = np.round(state.price * tick, 2)
        out["volume_traded"] = state.done * lot
        average = np.round(state.turnover * tick / np.maximum(state.done, 1), 2)
        out["average_traded_price"] = np.where(traded, average, 0.0)
        out["last_traded_quantity"] = self._last_quantity(row, state) * lot
        out["open"] = np.where(traded, np.round(self.first[row] * tick, 2), 0.0)
        out["high"] = np.where(traded, np.round(state.high * tick, 2), 0.0)
        out["low"] = np.where(traded, np.round(state.low * tick, 2), 0.0)
        out["close"] = np.round(rows.previous[row] * tick, 2)
        oi = self.open_interest(row, state.done)
        start = rows.oi_start[row]
        known = start >= 0
        out["oi"] = np.where(known, oi, 0)
        out["oi_day_high"] = np.where(known, np.maximum(start, oi), 0)
        out["oi_day_low"] = np.where(known, np.minimum(start, oi), 0)
        return out

    def _last_quantity(self, row: Array, state: State) -> Array:
        """Lots of the last trade: a part of its second's, because a busy second holds several trades."""
        part = 2 + (state.traded * 7 + row * 13) % 5
        return np.where(state.traded >= 0, np.maximum(state.last_volume // part, np.minimum(state.last_volume, 1)), 0)

    def open_interest(self, row: Array, done: Array) -> Array:
        """Open interest in units once `done` lots have traded: it moves with the day's volume. -1: has none."""
        rows = self.rows
        start, end, lot = rows.oi_start[row], rows.oi_end[row], rows.lot[row]
        share = done / np.maximum(self.day_lots[row], 1)
        return start + np.rint((end - start) * share / lot).astype(np.int64) * lot

    def depth(self, row: Array, state: State) -> tuple[Array, Array, Array]:
        """DEPTH rows of a state and the totals of waiting buy and sell orders."""
        rows, at = self.rows, np.maximum(state.updated, 0)
        return build_depth(
            seed=self._seed, token=rows.token[row], level=rows.levels(row, at // SECONDS, at % SECONDS),
            half=rows.half[row], low=rows.low[row], high=rows.high[row], tick=rows.tick[row], lot=rows.lot[row],
            minute_lots=self.lots_a_minute[row], second=state.updated,
        )  # fmt: skip


def _split(second: Array) -> tuple[Array, Array]:
    """Minute, and how many of its seconds are over, of a second of the day; before the day: none of the first."""
    return np.maximum(second, 0) // SECONDS, np.where(second < 0, 0, second % SECONDS + 1)


def sum_all(rows: Rows, bank: Bank) -> Minutes:
    """Sums of every minute of all rows."""
    count = len(rows.token)
    parts = [sum_minutes(rows, bank, np.arange(n, min(n + _CHUNK, count))) for n in range(0, count, _CHUNK)]
    return Minutes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _first_trade(sums: Minutes) -> Array:
    """Price of each row's first trade in ticks, 0 when it has none."""
    traded = sums.first > 0
    at = np.argmax(traded, axis=1)
    every = np.arange(len(at))
    return np.where(traded[every, at], sums.first[every, at], 0)


def _starts(rows: Rows, bank: Bank, sums: Minutes) -> Starts:
    count, minutes = sums.first.shape
    traded = sums.last > 0
    none = np.zeros((count, 1), np.int64)
    # Column of the last minute with a trade before each one; 0 stands for none, as minutes are counted from 1.
    recent = np.maximum.accumulate(
        np.concatenate([none, np.where(traded, np.arange(1, minutes + 1), 0)], axis=1), axis=1
    )
    every = np.arange(count)[:, None]

    def held(values: Array, before: Array | int) -> Array:
        kept = values[every, np.maximum(recent - 1, 0)]
        return np.where(recent > 0, kept, np.asarray(before).reshape(-1, 1)).astype(np.int32)

    moved = bank.moved[rows.pattern, SECONDS].astype(np.int64)
    last_move = bank.last_move[rows.pattern, SECONDS].astype(np.int64)
    at = np.where(last_move >= 0, np.arange(minutes) * SECONDS + last_move, -1)
    low = np.where(traded, sums.low, np.iinfo(np.int32).max)
    low = np.minimum.accumulate(np.concatenate([none + np.iinfo(np.int32).max, low], axis=1), axis=1)
    return Starts(
        price=held(sums.last, rows.previous),
        high=np.maximum.accumulate(np.concatenate([none, np.maximum(sums.high, 0)], axis=1), axis=1).astype(np.int32),
        low=np.where(low == np.iinfo(np.int32).max, 0, low).astype(np.int32),
        done=np.concatenate([none, np.cumsum(sums.volume, axis=1)], axis=1),
        turnover=np.concatenate([none, np.cumsum(sums.turnover, axis=1)], axis=1),
        last_volume=held(sums.last_volume, 0),
        traded=held(np.where(traded, np.arange(minutes) * SECONDS + sums.last_second, -1), -1),
        updated=np.maximum.accumulate(np.concatenate([none - 1, at], axis=1), axis=1).astype(np.int32),
        updates=np.concatenate([none, np.cumsum(moved, axis=1)], axis=1).astype(np.int32),
    )
