"""Fair values of options: Black-76 on the future with a smile that moves with the volatility index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tapedeck.clock import DAY, SECOND
from tapedeck.sim.noise import SECONDS
from tapedeck.sim.plan import Course

Array = np.ndarray[Any, Any]

RATE = 0.065
YEAR_NS = 365 * DAY
#: An option has at least this much time left, however close its expiry: half a minute.
_LAST = 30 * SECOND / YEAR_NS
#: Smile against moneyness in standard deviations; the days under which it no longer narrows.
_SKEW, _CURVE, _SMILE_DAYS = -0.055, 0.016, 2.0
_STEP = 1.0 / 512.0


def _normal_table() -> tuple[Array, Array]:
    # Cumulative normal on a grid by Simpson's rule; linear in between is good to 4e-7.
    x = np.arange(-8.0, 8.0 + _STEP / 2, _STEP)
    density = np.exp(-0.5 * x * x)
    middle = np.exp(-0.5 * (x[:-1] + _STEP / 2) ** 2)
    total = np.concatenate([[0.0], np.cumsum((density[:-1] + 4.0 * middle + density[1:]) * (_STEP / 6.0))])
    table = total / total[-1]
    return table, np.append(np.diff(table), 0.0)


_NORMAL, _RISE = _normal_table()


def normal_cdf(x: Array) -> Array:
    """Cumulative standard normal, absolute error below 1e-6."""
    place = np.clip((x + 8.0) * 512.0, 0.0, len(_NORMAL) - 1.0)
    whole = place.astype(np.int64)
    return _NORMAL[whole] + (place - whole) * _RISE[whole]


def implied_volatility(at_the_money: Array, forward: Array, strike: Array, years: Array) -> Array:
    """Volatility (fraction a year) of a strike: skewed towards low strikes, higher in both wings."""
    width = at_the_money * np.sqrt(np.maximum(years, _SMILE_DAYS / 365.0))
    moneyness = np.clip(np.log(strike / forward) / width, -6.0, 6.0)
    return at_the_money * np.clip(1.0 + _SKEW * moneyness + _CURVE * moneyness * moneyness, 0.6, 2.5)


def black76(forward: Array, strike: Array, years: Array, volatility: Array, call: Array) -> Array:
    """Premium in rupees of calls (`call` True) and puts on a future, discounted at `RATE`."""
    width = volatility * np.sqrt(years)
    d1 = np.log(forward / strike) / width + 0.5 * width
    side = np.where(call, 1.0, -1.0)
    value = side * (forward * normal_cdf(side * d1) - strike * normal_cdf(side * (d1 - width)))
    return np.exp(-RATE * years) * np.maximum(value, 0.0)


def fair_value(forward: Array, strike: Array, years: Array, at_the_money: Array, call: Array) -> Array:
    """Premium in rupees on the surface given by the at-the-money volatility."""
    left = np.maximum(years, _LAST)
    return black76(forward, strike, left, implied_volatility(at_the_money, forward, strike, left), call)


@dataclass(frozen=True)
class OptionLevels:
    """Latent premiums of option rows in ticks; `underlying` is the row's underlying in `spot`.

    `carry` takes the underlying to the forward of the row's expiry (ns), `scale` the volatility index (per cent,
    by minute) to the at-the-money volatility of the row.
    """

    underlying: Array
    spot: Course
    strike: Array
    call: Array
    carry: Array
    expiry: Array
    scale: Array
    vix: Array
    tick: Array
    start_ns: int

    def __call__(self, row: Array, minute: Array, second: Array) -> Array:
        """Latent premiums in ticks, not rounded; all arguments are equally long."""
        forward = self.spot.prices(self.underlying[row], minute, second) * self.carry[row]
        now = (minute * SECONDS + second + 1) * float(SECOND)
        years = (self.expiry[row] - self.start_ns - now) / YEAR_NS
        part = (second + 1) / SECONDS
        vix = self.vix[minute] * (1.0 - part) + self.vix[minute + 1] * part
        value = fair_value(forward, self.strike[row], years, vix * self.scale[row], self.call[row])
        return value / self.tick[row]
