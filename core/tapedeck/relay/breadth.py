"""The market at a glance, as arithmetic on records: what may be counted, breadth, rankings, open-interest build-up.

Pure functions: RECORD arrays in, arrays and positions out. Rows are given in the order in which ties are to be
shown. Percents are rounded to 4 decimals before they are ranked, so rows that read alike are ordered by name.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tapedeck.clock import DAY, IST_OFFSET_NS
from tapedeck.relay.frames import CONFIRMED, HELD

#: Class of the open interest's build-up -> direction of the price, direction of the open interest.
BUILD_UPS = {
    "long_buildup": (1, 1),
    "short_buildup": (-1, 1),
    "short_covering": (1, -1),
    "long_unwinding": (-1, -1),
}
_MS = 1_000_000


class Shown(NamedTuple):
    """What may be shown of each row: NaN where nothing may.

    `held`: the market is in session and the numbers are live; else they are official ones of the day `date`
    (yyyymmdd, None when there are none). `current` marks the rows that have numbers of that kind. `direction` is
    the sign of the price change. Rupees and units; `percent` of the previous close, `value` = volume x average price.
    """

    held: bool
    date: int | None
    current: np.ndarray
    direction: np.ndarray
    percent: np.ndarray
    last_price: np.ndarray
    volume_traded: np.ndarray
    value: np.ndarray
    oi: np.ndarray


class Breadth(NamedTuple):
    """How many rose, fell and stood still, and of how many that cannot be said."""

    advances: int
    declines: int
    unchanged: int
    unknown: int


def judge(records: np.ndarray, decides: np.ndarray | None = None, *, alive: bool = True) -> Shown:
    """What may be shown of each record, live or official, never both.

    The rows marked in `decides` (all by default) say which: live when any of them is held to the freshness limit,
    else official, of the newest day that any of them is dated. All others are left out. Live numbers need a feed
    that is `alive`; a row that has not traded today has no change, and its numbers are left out too. Open interest
    is live only: no packet carries the official one.
    """
    decides = np.ones(len(records), bool) if decides is None else decides
    held = bool((records["flags"][decides] & HELD).any())
    stamp = _day(records["exchange_timestamp_ms"])
    if held:
        date, last = None, records["last_price"]
        current = _live(records) if alive else np.zeros(len(records), bool)
        counted = current & ~(_day(records["last_trade_time_ms"]) < stamp)
    else:
        last, dates = records["official_close"], records["official_date"]
        # The day's other numbers are only of use when they are of the very day the official price is dated.
        current = (records["flags"] & HELD == 0) & (last > 0) & (_yyyymmdd(stamp) == dates)
        date = int(dates[current & decides].max()) if (current & decides).any() else None
        counted = current = current & (dates == date) if date else np.zeros(len(records), bool)
    return _numbers(records, last, current, counted, held=held, date=date)


def _live(records: np.ndarray) -> np.ndarray:
    both = CONFIRMED | HELD
    return (records["flags"] & both == both) & (records["last_price"] > 0)


def _numbers(
    records: np.ndarray, last: np.ndarray, current: np.ndarray, counted: np.ndarray, *, held: bool, date: int | None
) -> Shown:
    def of(values: np.ndarray) -> np.ndarray:
        return np.where(counted, values, np.nan)

    close = np.where(records["close"] > 0, records["close"], np.nan)
    last = of(last)
    volume = of(records["volume_traded"])
    return Shown(
        held=held,
        date=date,
        current=current,
        direction=np.sign(last - close),
        percent=rounded((last - close) / close * 100, 4),
        last_price=rounded(last, 6),
        volume_traded=volume,
        value=rounded(volume * records["average_traded_price"], 0),
        oi=of(records["oi"]) if held else np.full(len(records), np.nan),
    )


def breadth(shown: Shown, among: np.ndarray) -> Breadth:
    """Advances and declines against the previous close, among the marked rows."""
    direction = shown.direction[among]
    up, down, still = (int((direction == sign).sum()) for sign in (1, -1, 0))
    return Breadth(up, down, still, len(direction) - up - down - still)


def top(values: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` largest values of the marked rows, largest first; NaN is left out."""
    rows = np.flatnonzero(among & ~np.isnan(values))
    return rows[np.argsort(-values[rows], kind="stable")[:count]]


def oi_change(shown: Shown, previous: np.ndarray) -> np.ndarray:
    """Change of the open interest since the previous day, per cent of that day's; NaN where either is unknown."""
    return rounded((shown.oi - previous) / np.where(previous > 0, previous, np.nan) * 100, 4)


def build_up(shown: Shown, previous: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Positions of the `count` largest changes of open interest in each class of `BUILD_UPS`, largest first.

    `previous` is the previous day's open interest, NaN where unknown. A row whose price or open interest did not
    change is in no class.
    """
    percent = oi_change(shown, previous)
    grown = np.sign(shown.oi - previous)
    return {
        name: top(np.abs(percent), (shown.direction == price) & (grown == oi), count)
        for name, (price, oi) in BUILD_UPS.items()
    }


def rounded(values: np.ndarray, decimals: int) -> np.ndarray:
    """Values to so many decimals, without a negative zero: what is equal is written equal."""
    return np.round(values, decimals) + 0.0


def _day(ms: np.ndarray) -> np.ndarray:
    """Number of the day in India of each time, counted from 1970-01-01; NaN stays."""
    return np.floor((ms + IST_OFFSET_NS // _MS) / (DAY // _MS))


def _yyyymmdd(days: np.ndarray) -> np.ndarray:
    """Day numbers as the number yyyymmdd; NaN stays."""
    known = ~np.isnan(days)
    date = np.where(known, days, 0).astype(np.int64).view("M8[D]")
    month = date.astype("M8[M]")
    months = month.astype(np.int64)
    number = (months // 12 + 1970) * 10_000 + (months % 12 + 1) * 100 + (date - month).astype(np.int64) + 1
    return np.where(known, number, np.nan)
