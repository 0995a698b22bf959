"""Day bars of days too long ago to be summed up from trades: open, close and volume exact, high and low estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tapedeck.clock import ist_midnight
from tapedeck.schema import CANDLE
from tapedeck.sim.indices import index_open_close
from tapedeck.sim.noise import key, mixed, uniform
from tapedeck.sim.prices import circuit
from tapedeck.sim.universe import Index

if TYPE_CHECKING:
    from tapedeck.sim.days import Days

Array = np.ndarray[Any, Any]


def estimated_day(days: Days, share: int | None, index: Index | None, number: int) -> Array:
    """One CANDLE row of a day: of a share by position, of an index, or (both None) of the volatility index."""
    daily, day = days.daily, days.daily.days[number]
    out = np.zeros(1, CANDLE)
    out["date"] = ist_midnight(day)
    market = float(daily.sigma_market[number])
    if share is not None:
        stock = days.universe.stocks[share]
        opened, closed = float(daily.open[number, share]), float(daily.close[number, share])
        sigma = float(np.hypot(stock.beta * market, daily.sigma_own[number, share]))
        tick = float(daily.tick[number, share])
        out["volume"] = daily.volume[number, share]
        bounds = circuit(daily.previous[number, [share]], daily.tick[number, [share]])
        low, high = (float(bound[0] * tick) for bound in bounds)
        name = stock.instrument_token
    elif index is not None:
        opened, closed = index_open_close(daily, index, number)
        sigma, tick, low, high, name = 1.05 * market, 0.05, 0.0, np.inf, index.instrument_token
    else:
        opened, closed = float(daily.vix_open[number]), float(daily.vix_close[number])
        sigma, tick, low, high, name = 3.0 * market, 0.01, 0.0, np.inf, days.universe.vix_token
    luck = uniform(mixed(key(days.seed, 16, day.toordinal()), np.array([name]), np.array([[0], [1]]))).ravel()
    # Extremes of a Brownian bridge between open and close.
    span = np.log(closed / opened)
    reach = np.sqrt(span * span - 2.0 * sigma * sigma * np.log(1.0 - luck))
    top = opened * np.exp(0.5 * (span + reach[0]))
    bottom = opened * np.exp(0.5 * (span - reach[1]))
    out["open"], out["close"] = opened, closed
    out["high"] = max(round(float(min(np.rint(top / tick) * tick, high)), 2), opened, closed)
    out["low"] = min(round(float(max(np.rint(bottom / tick) * tick, low)), 2), opened, closed)
    return out
