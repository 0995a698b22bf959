"""Synthetic full-mode packets at a steady rate, for benchmarks of whoever receives them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tapedeck.clock import SECOND, Clock
from tapedeck.kite import packets
from tapedeck.schema import Batch

#: Packets in one frame, as in a connection's largest.
MAX_FRAME = 3000
#: A pause is not made up for beyond this much real time.
MAX_DEBT_S = 0.25


class LoadSource:
    """Ticks for one connection's instruments in turn, prices walking a rupee or so at random.

    State: the ticks as last sent, whose turn it is, and the real time up to which ticks were made.
    """

    def __init__(self, batch: Batch, tokens: np.ndarray, rng: np.random.Generator, clock: Clock) -> None:
        self.tokens = tokens
        self._ticks = batch.ticks.copy()
        self._depth = batch.depth
        self._tradable = (self._ticks["instrument_token"] & 0xFF) != 9
        #: Row of `depth` that belongs to a tick; meaningless for an index.
        self._book = np.cumsum(self._tradable) - 1
        self._rng = rng
        self._clock = clock
        self._next = 0
        self._made_until = clock.monotonic()

    def frames(self, ticks_per_s: float, market_ns: int) -> Iterator[tuple[bytes, int]]:
        """Frames due now, each with its number of ticks; none when nothing is subscribed."""
        now = self._clock.monotonic()
        self._made_until = max(self._made_until, now - MAX_DEBT_S)
        due = int((now - self._made_until) * ticks_per_s)
        self._made_until += due / ticks_per_s
        while due > 0 and len(self._ticks):
            count = min(due, MAX_FRAME)
            due -= count
            yield self._frame(count, market_ns), count

    def _frame(self, count: int, market_ns: int) -> bytes:
        rows = (self._next + np.arange(count)) % len(self._ticks)
        self._next = int(rows[-1]) + 1
        ticks = self._ticks[rows]
        walk = self._rng.integers(-2, 3, count) * 0.05
        ticks["last_price"] = np.maximum(np.nan_to_num(ticks["last_price"], nan=100.0) + walk, 0.05)
        ticks["exchange_timestamp"] = market_ns // SECOND * SECOND
        ticks["volume_traded"] += 1
        self._ticks[rows] = ticks
        return packets.encode(ticks, self._depth[self._book[rows[self._tradable[rows]]]])
