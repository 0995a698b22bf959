"""How much of everything is traded and held: trades a second, lots a day, open interest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from tapedeck.sim.contracts import Contract
from tapedeck.sim.universe import Stock, Universe

Array = np.ndarray[Any, Any]

#: A share with this turnover (rupees a day) trades nearly every second.
_BUSY_TURNOVER = 4e9
_BUSIEST = 0.97
#: Volume of the second and third future against the first.
_FAR = (1.0, 0.12, 0.012)
#: The same for the expiries of an option chain, nearest first.
_TIERS = (1.0, 0.35, 0.14, 0.07, 0.035, 0.02, 0.012, 0.008)
#: Option lots a day at the money in the nearest expiry; for shares a part of the share's own volume.
_CHAIN_LOTS = {"NIFTY": 900_000.0, "BANKNIFTY": 120_000.0}
_STOCK_CHAIN_SHARE = 0.5
#: Lots a day at which an option trades nearly every second.
_BUSY_LOTS = 500_000.0
#: At-the-money volatility of an index against the volatility index, and how a share's follows it.
_INDEX_VOLATILITY = {"NIFTY": 0.96, "BANKNIFTY": 1.12}
_USUAL_VIX = 13.5


def share_rates(stocks: Sequence[Stock]) -> Array:
    """Trades a second of shares in the middle of a day."""
    turnover = np.array([s.price * s.volume for s in stocks])
    return _BUSIEST * np.minimum(1.0, (turnover / _BUSY_TURNOVER) ** 1.1)


def futures(universe: Universe, chosen: Sequence[Contract]) -> tuple[Array, Array]:
    """Trades a second and lots a day of futures."""
    near = _near_lots(universe)
    turnover = {s.tradingsymbol: s.price * s.volume for s in universe.stocks}
    rate, lots = [], []
    for c in chosen:
        far = _FAR[min(c.order, len(_FAR) - 1)]
        size = turnover.get(c.underlying)
        busy = near[c.underlying] / 20_000.0 if size is None else 0.7 * size / _BUSY_TURNOVER
        rate.append(_BUSIEST * min(1.0, busy) * far**0.8)
        lots.append(near[c.underlying] * far)
    return np.array(rate), np.array(lots)


def _near_lots(universe: Universe) -> dict[str, float]:
    lots = {i.underlying: i.lots_a_day for i in universe.indices if i.underlying}
    return lots | {s.tradingsymbol: 0.6 * s.volume / s.lot for s in universe.stocks if s.lot}


def options(universe: Universe, chosen: Sequence[Contract], spot: Array, day: date) -> tuple[Array, Array]:
    """Trades a second and lots a day of options, given the prices of their underlyings."""
    volatility = np.array([_yearly_volatility(universe, c.underlying) for c in chosen])
    days = np.array([max((c.expiry - day).days, 0) for c in chosen], float)
    width = volatility * np.sqrt((days + 1.5) / 365.0)
    strike = np.array([c.strike for c in chosen])
    away = np.log(strike / spot) / width
    call = np.array([c.kind == "CE" for c in chosen])
    inside = np.where(call, away < 0, away > 0)
    shape = np.exp(-0.45 * away * away * np.where(inside, 2.0, 1.0))
    round_number = np.where(np.mod(strike, 100.0) == 0, 1.0, 0.7)
    tier = np.array([_TIERS[min(c.order, len(_TIERS) - 1)] * (1.6 if c.monthly and c.order else 1.0) for c in chosen])
    near = {s.tradingsymbol: _STOCK_CHAIN_SHARE * s.volume / max(s.lot, 1) for s in universe.stocks} | _CHAIN_LOTS
    lots = np.array([near[c.underlying] for c in chosen]) * tier * shape * round_number
    return _BUSIEST * np.minimum(1.0, (lots / _BUSY_LOTS) ** 0.9), lots


def open_interest(universe: Universe, chosen: Sequence[Contract], spot: Array, day: date) -> Array:
    """Open interest in lots at the start of a day: built up since the listing, let go in the last days."""
    if chosen and chosen[0].kind == "FUT":
        lots = futures(universe, chosen)[1] * 5.0
    else:
        lots = options(universe, chosen, spot, day)[1] * 0.6 + 40.0
    left = np.array([max((c.expiry - day).days, 0) for c in chosen], float)
    life = np.array([91.0 if c.monthly else 35.0 for c in chosen])
    grown = 1.0 - np.exp(-np.maximum(life - left, 0.5) / (0.35 * life))
    return np.maximum(lots * grown * np.minimum(1.0, 0.35 + 0.13 * left), 1.0)


def volatility_scale(universe: Universe, underlying: str) -> float:
    """At-the-money volatility (fraction) per point of the volatility index."""
    known = _INDEX_VOLATILITY.get(underlying)
    return known / 100.0 if known else _yearly_volatility(universe, underlying) / _USUAL_VIX


def _yearly_volatility(universe: Universe, underlying: str) -> float:
    if underlying in _INDEX_VOLATILITY:
        return _INDEX_VOLATILITY[underlying] * _USUAL_VIX / 100.0
    return universe.stocks[universe.place[underlying]].volatility
