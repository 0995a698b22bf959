"""Index values second by second, from the last prices of their members; and the volatility index.

An index is published once its members' opening auction is over, in every second of continuous trading in which it
has changed, and once more after their closing auction: in between it stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapedeck.clock import SECOND
from tapedeck.schema import MODE_FULL, empty_ticks
from tapedeck.sim.noise import AT_BID, SECONDS, Bank
from tapedeck.sim.plan import DayPlan
from tapedeck.sim.prices import Daily
from tapedeck.sim.tape import Linear, Rows, trade_prices
from tapedeck.sim.timeline import Hours, Timeline
from tapedeck.sim.universe import Index, index_value

Array = np.ndarray[Any, Any]

#: Index values are rounded to this many rupees; the volatility index to the second number.
_ROUND, _VIX_ROUND = 0.05, 0.0025
#: How often the volatility index is worked out, seconds.
_VIX_EVERY = 3
#: An index that does not move is published again after at most so many seconds.
_REPEAT = 15


@dataclass(frozen=True)
class IndexPaths:
    """Values of some indices by second of the day, in hundredths of a point; rows as `token`.

    `updated` is the second of the last publication (-1: not yet today), `updates` how many there were.
    """

    token: Array
    previous: Array
    value: Array
    open: Array
    high: Array
    low: Array
    updated: Array
    updates: Array
    before: Array
    start_ns: int

    def ticks(self, row: Array, second: Array) -> Array:
        """TICK rows after a second of the day (-1: before it); `received_at` is left 0."""
        at = np.maximum(second, 0)
        updated = np.where(second >= 0, self.updated[row, at], -1)
        seen = updated >= 0
        out = empty_ticks(len(row))
        out["instrument_token"], out["mode"] = self.token[row], MODE_FULL
        out["exchange_timestamp"] = np.where(seen, self.start_ns + updated.astype(np.int64) * SECOND, self.before[row])
        out["last_price"] = np.where(seen, self.value[row, at], self.previous[row]) / 100.0
        for name, values in (("high", self.high), ("low", self.low)):
            out[name] = np.where(seen, values[row, at], 0) / 100.0
        out["open"] = np.where(seen, self.open[row], 0) / 100.0
        out["close"] = self.previous[row] / 100.0
        return out

    def count(self, row: Array, second: Array) -> Array:
        """How often each index was published up to and including a second of the day."""
        return np.where(second >= 0, self.updates[row, np.maximum(second, 0)], 0)


def member_path(rows: Rows, bank: Bank, row: int) -> Array:
    """Last traded price of one share in each second of the day, rupees; the previous close before its first trade.

    The same as its trades one by one, three times as fast, because every second is worked out in one go.
    """
    minute = np.flatnonzero(bank.trades[rows.pattern[row]])
    codes = bank.codes[rows.pattern[row, minute]].ravel()
    course = rows.levels.course if isinstance(rows.levels, Linear) else None
    if course is None:
        raise TypeError("only shares are members of an index")
    level = course.whole_minutes(row, minute).ravel() / rows.tick[row]
    at = np.flatnonzero(codes >= AT_BID)
    price = trade_prices(level[at], codes[at], rows.half[row], rows.low[row], rows.high[row])
    second = (minute[:, None] * SECONDS + np.arange(SECONDS)).ravel()[at]
    return held_path(second, price, int(rows.previous[row]), rows.pattern.shape[1] * SECONDS) * rows.tick[row]


def held_path(at: Array, values: Array, before: int, seconds: int) -> Array:
    """Values that change at the seconds `at`, held until the next change."""
    return np.repeat(np.concatenate([[before], values]), np.diff(np.concatenate([[0], at, [seconds]])))


def build_index_paths(
    plan: DayPlan, indices: list[Index], path_of: Callable[[int], Array], before: Timeline, *, vix: bool
) -> IndexPaths:
    """Paths of `indices`, and of the volatility index after them if asked.

    `path_of` gives a member's last price in every second of the day, rupees.
    """
    timeline, seconds = plan.timeline, plan.timeline.minutes * SECONDS
    hours = timeline.hours["index"]
    total = np.zeros((len(indices), seconds))
    wanted = sorted({m for index in indices for m in index.members})
    for member in wanted:
        path = path_of(member)
        for n, index in enumerate(indices):
            if member in index.members:
                total[n] += path * index.quantity[index.members.index(member)]
    gate = _published(timeline, hours)
    values = [_hundredths(row, _ROUND) for row in total]
    if hours.close_print is not None:
        for n, index in enumerate(indices):
            values[n][hours.close_print :] = _rounded(index_close(plan, index, plan.number), _ROUND)
    previous = [_rounded(index_close(plan, index, plan.number - 1), _ROUND) for index in indices]
    gates, tokens = [gate] * len(indices), [index.instrument_token for index in indices]
    if vix:
        tokens.append(plan.universe.vix_token)
        previous.append(_rounded(float(plan.daily.vix_previous[plan.number]), _VIX_ROUND))
        values.append(_vix_path(plan, hours))
        gates.append(_vix_gate(timeline))
    before_ns = before.start_ns + (before.hours["index"].close_print or 0) * SECOND
    return _assembled(tokens, previous, values, gates, before_ns, timeline, hours)


def index_close(plan: DayPlan, index: Index, number: int) -> float:
    """Official close of an index on a day, not rounded: from its members' official closes."""
    return index_value(index, plan.daily.close[number] if number >= 0 else plan.daily.previous[0])


def index_open_close(daily: Daily, index: Index, number: int) -> tuple[float, float]:
    """Official open and close of an index on a day, as published."""
    opened, closed = index_value(index, daily.open[number]), index_value(index, daily.close[number])
    return _rounded(opened, _ROUND) / 100.0, _rounded(closed, _ROUND) / 100.0


def _rounded(value: float, step: float) -> int:
    return round(round(value / step) * step * 100.0)


def _hundredths(values: Array, step: float) -> Array:
    return np.rint(np.rint(values / step) * (step * 100.0)).astype(np.int64)


def _published(timeline: Timeline, hours: Hours) -> Array:
    gate = np.zeros(timeline.minutes * SECONDS, bool)
    for begin, end in hours.continuous:
        gate[begin:end] = True
    return gate


def _vix_gate(timeline: Timeline) -> Array:
    """Seconds in which the volatility index is worked out: as long as options trade, but no longer than shares do."""
    gate = np.zeros(timeline.minutes * SECONDS, bool)
    for begin, end in timeline.hours["option"].continuous:
        gate[begin : min(end, timeline.hours["other"].last) : _VIX_EVERY] = True
    return gate


def _vix_path(plan: DayPlan, hours: Hours) -> Array:
    levels = plan.vix()
    part = (np.arange(SECONDS) + 1) / SECONDS
    path = (levels[:-1, None] + np.diff(levels)[:, None] * part[None, :]).ravel()
    values = _hundredths(path, _VIX_ROUND)
    if hours.close_print is not None:
        values[hours.close_print :] = _rounded(float(plan.daily.vix_close[plan.number]), _VIX_ROUND)
    return values


def _assembled(
    tokens: list[int], previous: list[int], values: list[Array], gates: list[Array], before_ns: int,
    timeline: Timeline, hours: Hours,
) -> IndexPaths:  # fmt: skip
    shape = (len(tokens), timeline.minutes * SECONDS)
    value, high, low, updated, updates = (np.zeros(shape, np.int32) for _ in range(5))
    opened = np.zeros(len(tokens), np.int64)
    for n, (path, gate) in enumerate(zip(values, gates, strict=True)):
        # A change is published at once, an unchanged value now and then; the auctions' values in any case.
        shown = np.flatnonzero(gate)
        moved = shown[(np.diff(path[shown], prepend=-1) != 0) | (shown % _REPEAT == 0)]
        prints = [at for at in (hours.open_print, hours.close_print) if at is not None]
        at = np.sort(np.concatenate([moved, np.array(prints, np.int64)]))
        seen = path[at]
        opened[n] = seen[0]
        value[n] = held_path(at, seen, previous[n], shape[1])
        high[n] = held_path(at, np.maximum.accumulate(seen), 0, shape[1])
        low[n] = held_path(at, np.minimum.accumulate(seen), 0, shape[1])
        updated[n] = held_path(at, at, -1, shape[1])
        updates[n] = held_path(at, np.arange(1, len(at) + 1), 0, shape[1])
    return IndexPaths(
        token=np.array(tokens, np.int64), previous=np.array(previous, np.int64), value=value, open=opened, high=high,
        low=low, updated=updated, updates=updates, before=np.full(len(tokens), before_ns, np.int64),
        start_ns=timeline.start_ns,
    )  # fmt: skip
