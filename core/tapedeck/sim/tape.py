"""The events of a day: which second of which minute trades, at what price and how much, for any set of rows.

`Rows` holds what is decided minute by minute; `events` works trades out from it, `Minutes` sums them up. The same
arithmetic serves the live day and the history, so that they agree to the last paisa.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapedeck.clock import SECOND
from tapedeck.sim.noise import AT_ASK, EXACT, SECONDS, Bank
from tapedeck.sim.plan import Course
from tapedeck.sim.universe import INDICES

Array = np.ndarray[Any, Any]

#: The market moves in steps of this length; each instrument has its own step of the second.
STEP_NS = SECOND // 4
#: A latent price this close below a tick counts as on it, so that rounding errors do not move a quote.
_EDGE = 1e-7
#: A latent price within so many ticks of a circuit limit is locked there.
_LOCKED = 0.5


def steps_of(token: Array) -> Array:
    """The quarter of the second, 0 to 3, in which each instrument moves; an index moves last, after its members."""
    number = np.asarray(token, np.uint64) >> np.uint64(8)
    own = (number * np.uint64(2654435761) >> np.uint64(7)) & np.uint64(3)
    return np.where(np.asarray(token, np.int64) & 0xFF == INDICES, 3, own.astype(np.int64))


def seen_second(token: Array, market_ns: int, start_ns: int, minutes: int) -> Array:
    """Last second of the day whose events are known of each instrument at a market time; -1 before the first."""
    second = ((market_ns - start_ns) // STEP_NS - steps_of(token)) // 4
    return np.clip(second, -1, minutes * SECONDS - 1)


class Levels(Protocol):
    """What a kind of instrument must know: its latent price in ticks at any second of any minute."""

    def __call__(self, row: Array, minute: Array, second: Array) -> Array:
        """Latent prices in ticks, not rounded; all arguments are equally long."""
        ...


@dataclass(frozen=True)
class Linear:
    """Latent prices of rows with a Course of their own: shares and futures."""

    course: Course
    tick: Array

    def __call__(self, row: Array, minute: Array, second: Array) -> Array:
        return self.course.prices(row, minute, second) / self.tick[row]


@dataclass(frozen=True)
class Rows:
    """What was decided about some instruments for a day; the first axis of every array is the row.

    `pattern` is the bank's row of each minute, `volume` what trades in it (in lots); `low` and `high` are the
    circuit limits and `previous` the previous close in ticks; `half` is half the spread as a share of the price;
    `before` and `traded_before` are the times (ns) of yesterday's last update and last trade.
    """

    token: Array
    tick: Array
    lot: Array
    low: Array
    high: Array
    previous: Array
    half: Array
    pattern: Array
    volume: Array
    oi_start: Array
    oi_end: Array
    before: Array
    traded_before: Array
    levels: Levels


class Trades(NamedTuple):
    """Trades one after the other; `start` is where each pair of (row, minute) begins, one more at the end."""

    start: Array
    second: Array
    price: Array  # ticks
    volume: Array  # lots traded in that second
    done: Array  # lots traded since the start of the minute


class Minutes(NamedTuple):
    """Sums of each (row, minute); prices in ticks, quantities in lots, -1 where nothing traded."""

    first: Array
    high: Array
    low: Array
    last: Array
    turnover: Array
    volume: Array
    last_volume: Array
    last_second: Array


def quotes(level: Array, half: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Best bid and ask in ticks around latent prices.

    At its upper limit a price has no sellers (ask -1), at its lower one no buyers (bid 0): all others wait at the
    limit.
    """
    inside = np.clip(level, low, high)
    gap = inside * half
    bid = np.floor(inside - gap + _EDGE).astype(np.int64)
    ask = np.floor(inside + gap + _EDGE).astype(np.int64) + 1
    top, bottom = level >= high - _LOCKED, level <= low + _LOCKED
    bid = np.where(top, high, np.where(bottom | (bid < low), 0, bid))
    return bid, np.where(top | (ask > high), -1, np.where(bottom, low, ask))


def trade_prices(level: Array, code: Array, half: Array, low: Array, high: Array) -> Array:
    """Prices of trades in ticks: at the bid, at the ask or at the latent price itself, within the limits."""
    # The same as choosing from quotes(), with half the work.
    ask = code == AT_ASK
    inside = np.clip(level, low, high)
    gap = inside * half
    price = np.floor(inside + np.where(ask, gap, -gap) + _EDGE).astype(np.int64) + ask
    special = (code == EXACT) | (level >= high - _LOCKED) | (level <= low + _LOCKED)
    if special.any():
        locked = np.where(level >= high - _LOCKED, high, np.where(level <= low + _LOCKED, low, price))
        price = np.where(code == EXACT, np.rint(level).astype(np.int64), locked)
    return np.clip(price, low, high)


def trades(rows: Rows, bank: Bank, row: Array, minute: Array) -> Trades:
    """All trades of pairs of (row, minute), in the order of the pairs."""
    pattern = rows.pattern[row, minute]
    count = bank.trades[pattern]
    start = np.concatenate([[0], np.cumsum(count)])
    pair = np.repeat(np.arange(len(row)), count)
    place = np.arange(start[-1]) - np.repeat(start[:-1], count)
    at = bank.offset[pattern][pair] + place
    second, code = bank.trade_second[at], bank.trade_code[at]
    owner = row[pair]
    level = rows.levels(owner, minute[pair], second)
    price = trade_prices(level, code, rows.half[owner], rows.low[owner], rows.high[owner])
    # Every trade is at least one lot; the rest of the minute's volume follows the pattern's shares.
    spare = np.maximum(rows.volume[row, minute].astype(np.int64) - count, 0)[pair]
    done = place + 1 + np.floor(spare * bank.trade_share[at] + 1e-9).astype(np.int64)
    volume = np.diff(done, prepend=0)
    volume[start[:-1][count > 0]] = done[start[:-1][count > 0]]
    return Trades(start, second, price, volume, done)


def sum_minutes(rows: Rows, bank: Bank, chosen: Array, until: int | None = None) -> Minutes:
    """Sums of every minute of the chosen rows, (chosen, minutes), up to and without second `until` of the day."""
    shape = (len(chosen), rows.pattern.shape[1])
    out = Minutes(*(np.full(shape, -1, np.int64) for _ in Minutes._fields))
    out.turnover[:] = out.volume[:] = 0
    local, minute = np.nonzero(bank.trades[rows.pattern[chosen]])
    found = trades(rows, bank, chosen[local], minute)
    if until is not None:
        found, local, minute = _cut(found, local, minute, until)
    add_up(out, found, local, minute)
    return out


def add_up(out: Minutes, found: Trades, local: Array, minute: Array) -> None:
    """Writes the sums of trades into `out` at (local, minute), the pairs the trades belong to."""
    if not len(local):
        return
    begin, end = found.start[:-1], found.start[1:] - 1
    out.first[local, minute] = found.price[begin]
    out.last[local, minute] = found.price[end]
    out.high[local, minute] = np.maximum.reduceat(found.price, begin)
    out.low[local, minute] = np.minimum.reduceat(found.price, begin)
    out.turnover[local, minute] = np.add.reduceat(found.price * found.volume, begin)
    out.volume[local, minute] = found.done[end]
    out.last_volume[local, minute] = found.volume[end]
    out.last_second[local, minute] = found.second[end]


def _cut(found: Trades, local: Array, minute: Array, until: int) -> tuple[Trades, Array, Array]:
    """Trades before a second of the day; a pair that lost all of them is dropped."""
    pair = np.repeat(np.arange(len(local)), np.diff(found.start))
    keep = minute[pair] * SECONDS + found.second < until
    left = np.bincount(pair[keep], minlength=len(local))
    alive = left > 0
    start = np.concatenate([[0], np.cumsum(left[alive])])
    cut = Trades(start, found.second[keep], found.price[keep], found.volume[keep], found.done[keep])
    return cut, local[alive], minute[alive]
