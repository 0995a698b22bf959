"""Candles of the simulated market, from the same trades as the live day.

State of a History: bounded caches of whole days' minutes, of day bars, and of the index paths last looked at.

A bar covers the trades of its minute. The opening auction belongs to the first bar; the closing auction and the
prints of the post-close session have bars of their own. A minute without a trade has no bar.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from datetime import date
from typing import Any, Generic, TypeVar

import numpy as np

from tapedeck.clock import MINUTE, ist_date, ist_midnight
from tapedeck.errors import InputRefused
from tapedeck.schema import CANDLE, INTERVALS
from tapedeck.sim import contracts
from tapedeck.sim.contracts import Contract
from tapedeck.sim.daybars import estimated_day
from tapedeck.sim.days import Days
from tapedeck.sim.indices import IndexPaths, build_index_paths, member_path
from tapedeck.sim.noise import SECONDS
from tapedeck.sim.tape import Minutes, Rows, seen_second, sum_minutes
from tapedeck.sim.timeline import Hours, Timeline
from tapedeck.sim.universe import INDICES

Array = np.ndarray[Any, Any]
K = TypeVar("K")
V = TypeVar("V")

#: Trading days for which minutes are served, back from the day asked on.
MINUTE_DAYS = 250
#: Day bars from here on are summed up from their trades, older ones estimated: late enough to be quick, early
#: enough that a bar within `MINUTE_DAYS` of any plausible day does not change as time goes by.
SUMMED_FROM = date(2025, 11, 3)
#: Whole days of minutes (20 kB each), day bars, and index paths (1 MB each) kept.
_MINUTES, _DAYS, _PATHS = 1000, 60_000, 4


class Kept(Generic[K, V]):
    """The values last used, at most `size` of them. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, name: K) -> V | None:
        """The value kept under a name."""
        with self._lock:
            if name in self._values:
                self._values.move_to_end(name)
            return self._values.get(name)

    def put(self, name: K, value: V) -> V:
        """Keep a value; the one longest unused goes when there are too many."""
        with self._lock:
            self._values[name] = value
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


class History:
    """Serves candles. Thread-safe."""

    def __init__(self, days: Days) -> None:
        self._days, self._universe = days, days.universe
        self._minutes: Kept[tuple[int, int], Array] = Kept(_MINUTES)
        self._bars: Kept[tuple[int, int], Array] = Kept(_DAYS)
        self._paths: Kept[tuple[int, int], IndexPaths] = Kept(_PATHS)
        self._share = {s.instrument_token: n for n, s in enumerate(self._universe.stocks)}
        self._index = {i.instrument_token: i for i in self._universe.indices}

    def candles(
        self, token: int, contract: Contract | None, interval: str, start_ns: int, end_ns: int, *, now_ns: int, oi: bool
    ) -> Array:
        """CANDLE rows of bars that start within [start_ns, end_ns]; `contract` is the token's, None for cash.

        Raises
        ------
        InputRefused
            If there was no such interval.
        """
        if interval not in INTERVALS:
            raise InputRefused(f"interval was {interval!r}; allowed: {', '.join(INTERVALS)}")
        numbers = self._numbers(contract, start_ns, min(end_ns, now_ns), now_ns, interval)
        parts = [self._day_part(token, contract, interval, n, now_ns) for n in numbers]
        found = np.concatenate([np.zeros(0, CANDLE), *parts])
        found = found[(found["date"] >= start_ns) & (found["date"] <= end_ns)]
        if not oi:
            found["oi"] = -1
        return found

    def _numbers(self, contract: Contract | None, start_ns: int, end_ns: int, now_ns: int, interval: str) -> range:
        """Days that may have bars in the range."""
        days = self._days.daily.days
        first, last = ist_date(start_ns), ist_date(end_ns)
        if contract is not None:
            first = max(first, contracts.listed_from(self._universe, contract))
            last = min(last, contract.expiry)
        begin, end = bisect_left(days, first), bisect_right(days, last)
        if interval != "day":
            begin = max(begin, self._today(now_ns) - MINUTE_DAYS)
        return range(begin, end)

    def _today(self, now_ns: int) -> int:
        """Number of the last trading day up to a market time."""
        return bisect_right(self._days.daily.days, ist_date(now_ns)) - 1

    def _day_part(self, token: int, contract: Contract | None, interval: str, number: int, now_ns: int) -> Array:
        if interval == "day":
            return self._day_bar(token, contract, number, now_ns)
        timeline = self._days.timeline(self._days.daily.days[number])
        minutes = self._minute_bars(token, contract, number, timeline, now_ns)
        return regrouped(minutes, self._hours(token, contract, timeline), timeline, INTERVALS[interval] // 60)

    def _day_bar(self, token: int, contract: Contract | None, number: int, now_ns: int) -> Array:
        today, days = self._today(now_ns), self._days.daily.days
        if number < today and (kept := self._bars.get((token, number))) is not None:
            return kept
        summed = min(today - MINUTE_DAYS, bisect_left(days, SUMMED_FROM))
        if number < summed and contract is None:
            bar = estimated_day(self._days, self._share.get(token), self._index.get(token), number)
            return self._bars.put((token, number), bar)
        timeline = self._days.timeline(days[number])
        running = now_ns < timeline.start_ns + timeline.minutes * MINUTE
        minutes = self._minute_bars(token, contract, number, timeline, now_ns, folded=False)
        bar = _one_bar(minutes, ist_midnight(timeline.day))
        if len(bar) and not running:
            self._official(bar, token, contract, number)
        return bar if running else self._bars.put((token, number), bar)

    def _official(self, bar: Array, token: int, contract: Contract | None, number: int) -> None:
        """The official close in a finished day's bar, which then also spans it."""
        bar["close"] = self._days.official_close(token, contract, number)
        bar["high"] = np.maximum(bar["high"], bar["close"])
        bar["low"] = np.minimum(bar["low"], bar["close"])

    def _hours(self, token: int, contract: Contract | None, timeline: Timeline) -> Hours:
        if contract is not None:
            return timeline.hours[self._days.class_of(contract, timeline.day)]
        if token & 0xFF == INDICES:
            return timeline.hours["index"]
        return timeline.hours["cas" if self._universe.stocks[self._share[token]].lot else "other"]

    def _minute_bars(
        self, token: int, contract: Contract | None, number: int, timeline: Timeline, now_ns: int, *,
        folded: bool = True,
    ) -> Array:  # fmt: skip
        """Bars of a day's minutes as known at `now_ns`; with `folded`, the opening auction in the first bar."""
        second = int(seen_second(np.array([token]), now_ns, timeline.start_ns, timeline.minutes)[0])
        whole = second == timeline.minutes * SECONDS - 1
        bars = self._minutes.get((token, number)) if whole else None
        if bars is None:
            if token & 0xFF == INDICES:
                bars = _path_bars(self._index_paths(token, number), second, timeline)
            else:
                rows = self._rows(token, contract, number)
                sums = sum_minutes(rows, self._days.bank, np.array([0]), None if whole else second + 1)
                bars = _trade_bars(rows, sums, timeline)
            if whole:
                self._minutes.put((token, number), bars)
        return with_auction(bars, self._hours(token, contract, timeline), timeline) if folded else bars.copy()

    def _rows(self, token: int, contract: Contract | None, number: int) -> Rows:
        day = self._days.daily.days[number]
        lister = self._days.lister(day)
        if contract is None:
            return lister.shares(np.array([self._share[token]]))
        chosen = contracts.with_orders(self._universe, [contract], day)
        return lister.futures(chosen) if contract.kind == "FUT" else lister.options(chosen)

    def _index_paths(self, token: int, number: int) -> IndexPaths:
        found = self._paths.get((token, number))
        if found is not None:
            return found
        lister = self._days.lister(self._days.daily.days[number])
        index = self._index.get(token)
        if index is None:
            found = build_index_paths(lister.plan, [], {}.__getitem__, lister.before, vix=True)
        else:
            rows = lister.shares(np.array(index.members))
            place = {member: n for n, member in enumerate(index.members)}
            found = build_index_paths(
                lister.plan, [index], lambda m: member_path(rows, self._days.bank, place[m]), lister.before, vix=False
            )
        return self._paths.put((token, number), found)


def _trade_bars(rows: Rows, sums: Minutes, timeline: Timeline) -> Array:
    """One bar per minute with a trade, from the sums of a single row."""
    traded = np.flatnonzero(sums.first[0] > 0)
    bars = np.zeros(len(traded), CANDLE)
    bars["date"] = timeline.start_ns + traded * MINUTE
    tick, lot = rows.tick[0], int(rows.lot[0])
    for name, values in (("open", sums.first), ("high", sums.high), ("low", sums.low), ("close", sums.last)):
        bars[name] = np.round(values[0, traded] * tick, 2)
    bars["volume"] = sums.volume[0, traded] * lot
    start, end = int(rows.oi_start[0]), int(rows.oi_end[0])
    if start >= 0:
        share = np.cumsum(sums.volume[0])[traded] / max(int(rows.volume[0].sum()), 1)
        bars["oi"] = start + np.rint((end - start) * share / lot).astype(np.int64) * lot
    return bars


def _path_bars(paths: IndexPaths, second: int, timeline: Timeline) -> Array:
    """One bar per minute in which an index was published up to a second of the day; volume 0."""
    at = np.flatnonzero(np.diff(paths.updates[0, : second + 1], prepend=0))
    begin = np.flatnonzero(np.diff(at // SECONDS, prepend=-1))
    minute = at[begin] // SECONDS
    bars = np.zeros(len(minute), CANDLE)
    if not len(minute):
        return bars
    seen = paths.value[0, at]
    end = np.append(begin[1:], len(at)) - 1
    bars["date"] = timeline.start_ns + minute * MINUTE
    bars["open"], bars["close"] = seen[begin] / 100.0, seen[end] / 100.0
    bars["high"] = np.maximum.reduceat(seen, begin) / 100.0
    bars["low"] = np.minimum.reduceat(seen, begin) / 100.0
    return bars


def with_auction(bars: Array, hours: Hours, timeline: Timeline) -> Array:
    """The bars with everything before continuous trading put into its first minute; none before that has begun."""
    first = timeline.start_ns + hours.first // 60 * MINUTE
    early = bars["date"] <= first
    if not early.any() or bars["date"][early][-1] < first:
        late = bars[~early].copy()
        if len(late) and early.any():  # nothing traded in the first minute itself: the auction is its bar
            return np.concatenate([_one_bar(bars[early], first), late])
        return late
    return np.concatenate([_one_bar(bars[early], first), bars[~early]])


def regrouped(bars: Array, hours: Hours, timeline: Timeline, minutes: int) -> Array:
    """Bars of several minutes, counted from the start of the day's continuous trading."""
    if minutes == 1 or not len(bars):
        return bars
    first = timeline.start_ns + hours.first // 60 * MINUTE
    group = (bars["date"] - first) // (minutes * MINUTE)
    begin = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    end = np.append(begin[1:], len(bars)) - 1
    out = np.zeros(len(begin), CANDLE)
    out["date"] = first + group[begin] * (minutes * MINUTE)
    out["open"], out["close"], out["oi"] = bars["open"][begin], bars["close"][end], bars["oi"][end]
    out["high"] = np.maximum.reduceat(bars["high"], begin)
    out["low"] = np.minimum.reduceat(bars["low"], begin)
    out["volume"] = np.add.reduceat(bars["volume"], begin)
    return out


def _one_bar(bars: Array, start_ns: int) -> Array:
    """All bars as one that starts at `start_ns`; empty when there were none."""
    out = np.zeros(min(len(bars), 1), CANDLE)
    if len(bars):
        out["date"], out["open"], out["close"] = start_ns, bars["open"][0], bars["close"][-1]
        out["high"], out["low"] = bars["high"].max(), bars["low"].min()
        out["volume"], out["oi"] = bars["volume"].sum(), bars["oi"][-1]
    return out
