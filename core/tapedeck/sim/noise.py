"""Reproducible randomness: keyed generators, counter-based hashes, and the bank of one-minute patterns.

Nothing here depends on the order in which instruments are asked for: a draw is a function of its integer keys.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

#: Trades a second of each activity level, from one a second to a few a day.
RATES = (0.97, 0.85, 0.7, 0.55, 0.42, 0.32, 0.24, 0.17, 0.12, 0.08, 0.05, 0.03, 0.018, 0.01, 0.005, 0.0025, 0.001)
#: Patterns per activity level, and bridges to choose from.
PATTERNS, BRIDGES = 256, 512
SECONDS = 60
#: Codes of a second: nothing, the quote moved, a trade at the bid, at the ask, at exactly the latent price.
QUIET, QUOTE, AT_BID, AT_ASK, EXACT = 0, 1, 2, 3, 4
_GOLDEN, _M1, _M2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def generator(*keys: int) -> np.random.Generator:
    """A generator that is a function of `keys` alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([k & _MASK for k in keys])))


def _finish(h: Array) -> Array:
    h = (h ^ (h >> np.uint64(30))) * np.uint64(_M1)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(_M2)
    return h ^ (h >> np.uint64(31))


def key(*parts: int) -> int:
    """One 64-bit number of several integers, to start a hash with."""
    h = 0
    for part in parts:
        h = (h + (part & _MASK) + 1) * _GOLDEN & _MASK
        h = (h ^ (h >> 30)) * _M1 & _MASK
        h = (h ^ (h >> 27)) * _M2 & _MASK
        h ^= h >> 31
    return h


def mixed(start: int, *parts: Array | int) -> Array:
    """64-bit hash of the broadcast integer arrays, as uint64; at least one of `parts` must be an array."""
    h = np.full(1, start, np.uint64)
    for part in parts:
        word = np.atleast_1d(np.asarray(part)).astype(np.uint64)
        h = _finish((h + word) * np.uint64(_GOLDEN))
    return h


def uniform(h: Array) -> Array:
    """Numbers in [0, 1) of hashes."""
    return (h >> np.uint64(11)).astype(np.float64) * 2.0**-53


def bell(h: Array) -> Array:
    """Roughly normal numbers of hashes: the sum of four 16-bit parts, variance 1, never beyond 3.5."""
    parts = h.view(np.uint16).reshape(*h.shape, 4)
    total = parts[..., 0].astype(np.float64) + parts[..., 1] + parts[..., 2] + parts[..., 3]
    return (total / 65536.0 - 2.0) * 1.7320508075688772


class Bank(NamedTuple):
    """One-minute patterns: row `p` says in which seconds of a minute something happens.

    `trade_*` are the trades of all rows one after the other (row `p` owns `offset[p]:offset[p + 1]`); `upto` and
    `moved` have one column more than there are seconds: column `c` is the state after `c` seconds.
    """

    codes: Array  # (rows, 60) int8
    offset: Array  # (rows + 1,) int64
    trade_second: Array
    trade_code: Array
    trade_share: Array  # cumulative share of the minute's volume
    trades: Array  # (rows,) int64
    upto: Array  # (rows, 61) int16: trades so far
    moved: Array  # (rows, 61) int16: updates so far
    last_move: Array  # (rows, 61) int16: second of the last update, -1 before it
    bridge: Array  # (BRIDGES, 60) float64, zero at its end


class Rows:
    """Where in the bank the patterns of each kind begin."""

    SILENT = 0
    EXACT = 1  # + second: one trade at exactly the latent price
    CUT = EXACT + SECONDS  # + second: quotes up to and including that second
    ENTRY = CUT + SECONDS  # + level * PATTERNS + n: quotes only
    ACTIVE = ENTRY + len(RATES) * PATTERNS  # + level * PATTERNS + n: trades and quotes
    COUNT = ACTIVE + len(RATES) * PATTERNS


def level_of(rate: Array) -> Array:
    """The activity level whose rate is nearest, on a log scale, to trades a second."""
    edges = -np.log(np.sqrt(np.array(RATES[:-1]) * np.array(RATES[1:])))
    return np.searchsorted(edges, -np.log(np.maximum(rate, 1e-9)))


def build_bank(seed: int) -> Bank:
    """The patterns of a market: the same for every day and instrument, which only choose among them."""
    draw = generator(seed, 0xBA)
    codes = np.zeros((Rows.COUNT, SECONDS), np.int8)
    seconds = np.arange(SECONDS)
    codes[Rows.EXACT + seconds, seconds] = EXACT
    cut = draw.random((SECONDS, SECONDS)) < 0.5
    codes[Rows.CUT : Rows.ENTRY] = np.where(cut & (seconds[None, :] <= seconds[:, None]), QUOTE, QUIET)
    for level, rate in enumerate(RATES):
        chance = draw.random((PATTERNS, SECONDS))
        buyer = draw.random((PATTERNS, SECONDS)) < 0.5
        quoted = rate + (1.0 - rate) * min(0.5, 2.0 * rate)
        active = np.where(chance < rate, np.where(buyer, AT_ASK, AT_BID), np.where(chance < quoted, QUOTE, QUIET))
        first = Rows.ACTIVE + level * PATTERNS
        codes[first : first + PATTERNS] = active
        first = Rows.ENTRY + level * PATTERNS
        codes[first : first + PATTERNS] = np.where(active > QUIET, QUOTE, QUIET)
    return _indexed(codes, draw)


def _indexed(codes: Array, draw: np.random.Generator) -> Bank:
    trade = codes >= AT_BID
    row, second = np.nonzero(trade)
    trades = trade.sum(axis=1).astype(np.int64)
    offset = np.concatenate([[0], np.cumsum(trades)])
    weight = np.where(trade, draw.lognormal(0.0, 0.9, codes.shape), 0.0)
    cumulative = np.cumsum(weight, axis=1)
    share = cumulative[row, second] / np.maximum(cumulative[row, -1], 1e-300)
    zero = np.zeros((len(codes), 1), np.int16)
    upto = np.concatenate([zero, np.cumsum(trade, axis=1, dtype=np.int16)], axis=1)
    moved = np.concatenate([zero, np.cumsum(codes > QUIET, axis=1, dtype=np.int16)], axis=1)
    last = np.maximum.accumulate(np.where(codes > QUIET, np.arange(SECONDS), -1), axis=1).astype(np.int16)
    walk = np.cumsum(draw.standard_normal((BRIDGES, SECONDS)), axis=1) / np.sqrt(SECONDS)
    bridge = walk - walk[:, -1:] * ((np.arange(SECONDS) + 1) / SECONDS)
    bridge[:, -1] = 0.0
    return Bank(
        codes=codes, offset=offset, trade_second=second, trade_code=codes[row, second], trade_share=share,
        trades=trades, upto=upto, moved=moved, last_move=np.concatenate([zero - 1, last], axis=1), bridge=bridge,
    )  # fmt: skip
