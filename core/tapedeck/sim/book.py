"""The order book: five levels a side around a latent price, quantities and orders, never crossed."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapedeck.schema import DEPTH, DEPTH_LEVELS
from tapedeck.sim.noise import bell, key, mixed, uniform
from tapedeck.sim.tape import quotes

Array = np.ndarray[Any, Any]

#: Quantity waiting at a level of an average share, as a part of what it trades in a minute.
_LEVEL_SHARE = 0.35
#: All waiting orders against those at the five levels shown.
_BEHIND = 14.0
#: Quantities near the top of the book change with every update, those behind it every few seconds.
_CALM = np.array([0, 1, 2, 3, 3], np.uint64)


def build_depth(
    *, seed: int, token: Array, level: Array, half: Array, low: Array, high: Array, tick: Array, lot: Array,
    minute_lots: Array, second: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """DEPTH rows and the totals of waiting buy and sell orders, in units.

    `level` is the latent price in ticks at the last update, `second` when that was: -1 for rows that have no book
    yet, whose levels are all zero. At a circuit limit one side is empty.
    """
    bid, ask = quotes(level, half, low, high)
    steps = _steps(seed, token, half)
    known = (second >= 0)[:, None]
    buy = bid[:, None] - steps
    sell = ask[:, None] + steps
    buy = np.where(known & (bid > 0)[:, None] & (buy >= low[:, None]), buy, 0)
    sell = np.where(known & (ask > 0)[:, None] & (sell <= high[:, None]), sell, 0)
    depth = np.zeros(len(token), DEPTH)
    depth["instrument_token"] = token
    scale = np.maximum(minute_lots * _LEVEL_SHARE, 1.5)
    totals = [
        _fill(depth[side], seed, n, token, prices, scale, second, tick, lot)
        for n, (side, prices) in enumerate((("buy", buy), ("sell", sell)))
    ]
    return depth, totals[0], totals[1]


def _steps(seed: int, token: Array, half: Array) -> Array:
    """Ticks from the best price to each level: one each in a liquid book, wider gaps in a thin one."""
    wide = uniform(mixed(key(seed, 20), token[:, None], np.arange(1, DEPTH_LEVELS)[None, :]))
    gaps = 1 + np.floor(wide * np.minimum(half * 2e4, 4.0)[:, None]).astype(np.int64)
    return np.concatenate([np.zeros((len(token), 1), np.int64), np.cumsum(gaps, axis=1)], axis=1)


def _fill(
    side: Array, seed: int, number: int, token: Array, prices: Array, scale: Array, second: Array,
    tick: Array, lot: Array,
) -> Array:  # fmt: skip
    held = second.astype(np.uint64)[:, None] >> _CALM[None, :]
    luck = mixed(key(seed, 21, number), token[:, None], prices, held)
    there = prices > 0
    lots = 1 + np.floor(-np.log(1.0 - uniform(luck)) * scale[:, None] * (1.0 + 0.25 * np.arange(DEPTH_LEVELS)))
    lots = np.where(there, lots, 0).astype(np.int64)
    typical = np.maximum(scale[:, None] * 0.25, 1.0)
    side["price"] = np.round(prices * tick[:, None], 2)
    side["quantity"] = lots * lot[:, None]
    side["orders"] = np.where(there, np.minimum(1 + np.floor(lots / typical), lots), 0)
    mood = np.exp(0.15 * bell(mixed(key(seed, 22, number), token, second >> 5)))
    total = np.cumsum(lots, axis=1)[:, -1] + np.floor(np.where(there[:, 0], scale * _BEHIND * mood, 0.0)).astype(
        np.int64
    )
    return total * lot
