"""Daily prices of every share: a market factor, sectors and own news, clustered and fat-tailed.

`Daily` is worked out once for all days; a day's numbers depend on the seed and on earlier dates only, except
that the level is set so that every share costs what `universe.yaml` says on its `as_of` date.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from tapedeck import sessions
from tapedeck.clock import MINUTE
from tapedeck.errors import CoverageWarning
from tapedeck.sim.noise import generator
from tapedeck.sim.universe import Universe

Array = np.ndarray[Any, Any]

YEAR = 252.0
#: Yearly volatility of the market factor and of a sector beside it.
MARKET_VOLATILITY, SECTOR_VOLATILITY = 0.145, 0.08
#: Share of a day's variance that falls between the close and the next open.
OVERNIGHT = 0.25
#: Circuit limits: the operating range of a day, as a fraction of the previous close.
BAND = 0.10
#: GARCH(1,1) weights of yesterday's surprise and of yesterday's variance.
_SURPRISE, _MEMORY = 0.10, 0.87
#: Degrees of freedom of the daily surprises.
_TAILS = 5.0
_DRIFT = 0.10 / YEAR
#: More shares than this in a day would not fit the 32 bits of a Kite packet.
_MOST = 3.5e9


@dataclass(frozen=True)
class Daily:
    """Arrays of (day, share), or (day,) for the market: all that is fixed about a day before it begins.

    `sigma_*` are the standard deviations of the day's move inside the session; `previous` is the close of the
    day before; `minutes` how long continuous trading lasts.
    """

    days: list[date]
    position: dict[date, int]
    tick: Array
    previous: Array
    open: Array
    close: Array
    volume: Array
    sigma_market: Array
    sigma_sector: Array
    sigma_own: Array
    vix_previous: Array
    vix_open: Array
    vix_close: Array
    minutes: Array

    def limits(self, day: int) -> tuple[Array, Array]:
        """Lower and upper circuit limits of all shares on that day, in whole ticks."""
        return circuit(self.previous[day], self.tick[day])


def circuit(previous: Array, tick: Array) -> tuple[Array, Array]:
    """Lowest and highest permitted price in whole ticks, given previous close and tick size in rupees."""
    low = np.ceil(previous * (1.0 - BAND) / tick - 1e-6)
    high = np.floor(previous * (1.0 + BAND) / tick + 1e-6)
    return np.maximum(low, 1.0).astype(np.int64), high.astype(np.int64)


def trading_days(first: date) -> list[date]:
    """Every trading day from `first` to the end of the calendar's coverage; plain weekdays before it starts."""
    last = sessions.last_covered_trading_day(date(9999, 1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)
        days = sessions.trading_days(first, last)
    fixed = {(1, 26), (5, 1), (8, 15), (10, 2), (12, 25)}
    return [day for day in days if sessions.covered(day) or (day.month, day.day) not in fixed]


def build_daily(universe: Universe, seed: int) -> Daily:
    """Daily prices of a universe under a seed."""
    days = trading_days(universe.history_from)
    returns = _returns(universe, seed, days)
    night, total = returns["night"], np.clip(returns["total"], np.log(1.0 - BAND), np.log(1.0 + BAND))
    path = np.cumsum(total, axis=0)
    anchor = max(n for n, day in enumerate(days) if day <= universe.as_of)
    level = np.log(np.array([stock.price for stock in universe.stocks])) - path[anchor]
    close = np.exp(level + path)
    before = np.concatenate([np.exp(level)[None, :], close[:-1]])
    tick = _ticks(universe, days, before)
    opening = before * np.exp(np.clip(night, np.log(1.0 - BAND), np.log(1.0 + BAND)))
    previous, opened, closed = _rounded(before, opening, close, tick)
    minutes = np.array([_minutes(day) for day in days], float)
    vix_previous, vix_open, vix_close = _vix(universe, seed, days, returns)
    return Daily(
        days=days,
        position={day: n for n, day in enumerate(days)},
        tick=tick,
        previous=previous,
        open=opened,
        close=closed,
        volume=_volumes(universe, seed, days, returns, minutes),
        sigma_market=returns["market"] * np.sqrt(1.0 - OVERNIGHT),
        sigma_sector=returns["sector"] * np.sqrt(1.0 - OVERNIGHT),
        sigma_own=returns["own"] * np.sqrt(1.0 - OVERNIGHT),
        vix_previous=vix_previous,
        vix_open=vix_open,
        vix_close=vix_close,
        minutes=minutes,
    )


def _rounded(before: Array, opening: Array, close: Array, tick: Array) -> tuple[Array, Array, Array]:
    """Previous close, open and close of every day on the day's ticks and within its circuit limits."""
    previous, opened, closed = np.empty_like(close), np.empty_like(close), np.empty_like(close)
    last = np.round(np.round(before[0] / tick[0]) * tick[0], 2)
    for n in range(len(close)):
        previous[n] = last
        low, high = circuit(last, tick[n])
        opened[n] = np.round(np.clip(np.rint(opening[n] / tick[n]), low, high) * tick[n], 2)
        closed[n] = last = np.round(np.clip(np.rint(close[n] / tick[n]), low, high) * tick[n], 2)
    return previous, opened, closed


def sectors(universe: Universe) -> tuple[list[str], Array]:
    """Names of the sectors in order of first appearance, and the sector's number of every share."""
    names = list(dict.fromkeys(stock.sector for stock in universe.stocks))
    return names, np.array([names.index(stock.sector) for stock in universe.stocks])


def _returns(universe: Universe, seed: int, days: list[date]) -> dict[str, Array]:
    """Log-returns by day and share, overnight and in all, and the standard deviations they were drawn with."""
    names, sector_of = sectors(universe)
    beta = np.array([stock.beta for stock in universe.stocks])
    yearly = np.array([stock.volatility for stock in universe.stocks])
    explained = (beta * MARKET_VOLATILITY) ** 2 + SECTOR_VOLATILITY**2
    own = np.sqrt(np.maximum(yearly**2 - explained, (0.4 * yearly) ** 2))
    scale = np.concatenate([[MARKET_VOLATILITY], np.full(len(names), SECTOR_VOLATILITY), own]) / np.sqrt(YEAR)
    count, first = len(scale), 1 + len(names)
    surprise = np.empty((len(days), 2, count))
    for n, day in enumerate(days):
        surprise[n] = generator(seed, 1, day.toordinal()).standard_t(_TAILS, (2, count))
    surprise *= np.sqrt((_TAILS - 2.0) / _TAILS)
    parts = np.array([[np.sqrt(OVERNIGHT)], [np.sqrt(1.0 - OVERNIGHT)]])
    variance, sigma = np.ones(count), np.empty((len(days), count))
    moves = np.empty((len(days), 2, count))
    for n in range(len(days)):
        sigma[n] = np.sqrt(variance) * scale
        moves[n] = surprise[n] * parts * sigma[n]
        shock = np.minimum((moves[n].sum(axis=0) / scale) ** 2, 25.0)
        variance = np.minimum(1.0 - _SURPRISE - _MEMORY + _SURPRISE * shock + _MEMORY * variance, 9.0)
    share = beta * moves[:, :, :1] + moves[:, :, 1:first][:, :, sector_of] + moves[:, :, first:]
    return {
        "night": share[:, 0],
        "total": share.sum(axis=1) + _DRIFT - 0.5 * (yearly / np.sqrt(YEAR)) ** 2,
        "market": sigma[:, 0],
        "sector": sigma[:, 1:first],
        "own": sigma[:, first:],
        "market_night": moves[:, 0, 0],
        "market_total": moves[:, :, 0].sum(axis=1),
        "typical": yearly / np.sqrt(YEAR),
    }


def _ticks(universe: Universe, days: list[date], before: Array) -> Array:
    """Tick size by day and share: the bucket of a month is set by the close before its first day."""
    ticks = np.empty_like(before)
    current = before[0]
    for n, day in enumerate(days):
        if n and (day.year, day.month) != (days[n - 1].year, days[n - 1].month):
            current = before[n]
        ticks[n] = universe.tick("cash", current, day)
    return ticks


def _volumes(universe: Universe, seed: int, days: list[date], returns: dict[str, Array], minutes: Array) -> Array:
    usual = np.array([stock.volume for stock in universe.stocks])
    noise = np.empty((len(days), 1 + len(usual)))
    for n, day in enumerate(days):
        noise[n] = generator(seed, 2, day.toordinal()).standard_normal(1 + len(usual))
    moved = np.minimum(np.abs(returns["total"]) / returns["typical"], 5.0)
    log_volume = 0.12 * noise[:, :1] + 0.28 * noise[:, 1:] + 0.35 * (moved - 0.75)
    volume = usual * np.exp(log_volume) * (minutes / 375.0)[:, None]
    return np.minimum(np.rint(volume), _MOST).astype(np.int64)


def _vix(universe: Universe, seed: int, days: list[date], returns: dict[str, Array]) -> tuple[Array, Array, Array]:
    """Previous close, open and close of the volatility index: mean-reverting, up when the market falls."""
    noise = generator(seed, 3).standard_normal((4096, 2))[: len(days)]
    opened, closed = np.empty(len(days)), np.empty(len(days))
    log_vix = np.log(universe.vix_mean)
    previous = np.empty(len(days))
    usual = MARKET_VOLATILITY / np.sqrt(YEAR)
    for n in range(len(days)):
        previous[n] = log_vix
        target = np.log(universe.vix_mean) + 0.7 * np.log(returns["market"][n] / usual)
        night = -3.5 * returns["market_night"][n] + 0.008 * noise[n, 0]
        opened[n] = log_vix + night
        log_vix = np.clip(
            log_vix + 0.05 * (target - log_vix) - 3.5 * returns["market_total"][n] + 0.03 * noise[n, 1],
            np.log(8.5), np.log(80.0),
        )  # fmt: skip
        closed[n] = log_vix
    return np.round(np.exp(previous), 2), np.round(np.exp(opened), 2), np.round(np.exp(closed), 2)


def _minutes(day: date) -> float:
    """Minutes of continuous trading of an ordinary share."""
    if not sessions.covered(day):
        return 375.0
    spans = sessions.spans(day, "NSE_EQ", "other")
    return sum(span.end_ns - span.start_ns for span in spans if span.name == "LIVE") / MINUTE


def previous_day(daily: Daily, n: int) -> date:
    """The trading day before day number `n`; before the first one, the day before."""
    return daily.days[n - 1] if n else daily.days[0] - timedelta(1)
