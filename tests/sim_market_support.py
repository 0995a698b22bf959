"""What the tests of the simulated market share: one market, and a day seen tick by tick."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np

from tapedeck.clock import MINUTE, SECOND, ist_midnight
from tapedeck.schema import CANDLE, Instrument
from tapedeck.sim.market import Market, MarketDay

STEP = SECOND // 4
#: An expiry day under the closing auction, and days without it: a plain one and one in two parts.
TODAY, PLAIN, DRILL = date(2026, 11, 23), date(2026, 5, 13), date(2024, 3, 2)


@lru_cache(maxsize=1)
def market() -> Market:
    """The market of seed 7, once per process: everything about it is a function of its arguments."""
    return Market(7)


@lru_cache(maxsize=4)
def listed(day: date) -> dict[str, Instrument]:
    """Instruments of a day by key."""
    return {i.key: i for i in market().instruments(day)}


def token(key: str, day: date = TODAY) -> int:
    """Token of a key such as NSE:INFY."""
    return listed(day)[key].instrument_token


def tick(day: MarketDay, name: int, at: int) -> np.void:
    """The tick of one token at a market time."""
    return day.snapshot([name], at).ticks[0]


def streamed(day: MarketDay, name: int, begin: int, end: int) -> np.ndarray:
    """Ticks that a listener to one token gets in (begin, end], after the one at `begin`."""
    found = [day.snapshot([name], begin).ticks]
    for at in range(begin + STEP, end + 1, STEP):
        if day.changed([name], at - STEP, at)[0]:
            found.append(day.snapshot([name], at).ticks)
    return np.concatenate(found)


def built(ticks: np.ndarray) -> np.ndarray:
    """Minute bars of streamed ticks by exchange time: last prices, and the growth of the day's volume."""
    bars = []
    fresh = ticks[1:]
    before = max(int(ticks["volume_traded"][0]), 0)
    minute = fresh["exchange_timestamp"] // MINUTE
    for m in np.unique(minute):
        mine = fresh[minute == m]
        traded = mine[mine["last_trade_time"] // MINUTE == m] if mine["volume_traded"][0] >= 0 else mine
        if not len(traded):
            continue
        price, after = traded["last_price"], max(int(traded["volume_traded"][-1]), 0)
        bars.append((m * MINUTE, price[0], price.max(), price.min(), price[-1], after - before, -1))
        before = after
    return np.array(bars, CANDLE)


def day_minutes(name: int, day: date, **options: bool) -> np.ndarray:
    """Minute bars of a whole day."""
    midnight = ist_midnight(day)
    end = midnight + 24 * 60 * MINUTE
    return market().candles(name, "minute", midnight, end - 1, now_ns=end, **options)
