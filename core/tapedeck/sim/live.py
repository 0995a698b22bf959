"""One simulated trading day, asked for at any market time.

State of a MarketDay: one Block of shares, the paths of the indices, and Blocks of derivatives that are made when
first asked for. Nothing depends on the order of questions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np

from tapedeck.errors import UnknownInstrument
from tapedeck.schema import DEPTH, TICK, Batch
from tapedeck.sim.block import Block
from tapedeck.sim.contracts import Contract, on_index
from tapedeck.sim.days import Days
from tapedeck.sim.indices import build_index_paths, held_path
from tapedeck.sim.noise import SECONDS
from tapedeck.sim.tape import Minutes, Rows, add_up, seen_second, trades

Array = np.ndarray[Any, Any]

_INDEX = -1


class MarketDay:
    """One day of the market. Thread-safe."""

    def __init__(self, days: Days, day: date, futures: Sequence[Contract], options: Sequence[Contract]) -> None:
        self.date = day
        self._lister = days.lister(day)
        self._bank, self._plan, self._seed = days.bank, self._lister.plan, days.seed
        self._timeline = self._plan.timeline
        self._lock = threading.Lock()
        self._blocks: list[Block | None] = []
        self._makers: list[Callable[[], Rows]] = []
        universe = days.universe
        shares = self._lister.shares(np.arange(len(universe.stocks)))
        block, paths = self._share_block(shares)
        self._indices = build_index_paths(
            self._plan, list(universe.indices), paths.__getitem__, self._lister.before, vix=True
        )
        groups = _grouped(futures, options)
        makers = [self._maker(group) for group in groups]
        self._blocks = [block, *([None] * len(groups))]
        self._makers = [lambda: shares, *makers]
        parts = [shares.token, *(np.array([c.token for c in group]) for group in groups), self._indices.token]
        owner = np.repeat([*range(len(parts) - 1), _INDEX], [len(p) for p in parts])
        row = np.concatenate([np.arange(len(p)) for p in parts])
        self.tokens: Array = np.concatenate(parts).astype(np.uint32)
        order = np.argsort(self.tokens, kind="stable")
        self._sorted, self._owner, self._row = self.tokens[order], owner[order], row[order]

    def snapshot(self, tokens: Sequence[int] | Array, market_ns: int) -> Batch:
        """What Kite would have sent last about each token: full ticks, and depth of all but indices.

        Raises
        ------
        UnknownInstrument
            If a token is not listed on this day.
        """
        place, second = self._at(tokens, market_ns)
        owner, row = self._owner[place], self._row[place]
        ticks, depth = np.zeros(len(place), TICK), np.zeros(len(place), DEPTH)
        for part in np.unique(owner):
            mine = np.flatnonzero(owner == part)
            if part == _INDEX:
                ticks[mine] = self._indices.ticks(row[mine], second[mine])
                continue
            block = self._block(int(part))
            state = block.state(row[mine], second[mine])
            found = block.ticks(row[mine], second[mine], state)
            depth[mine], found["total_buy_quantity"], found["total_sell_quantity"] = block.depth(row[mine], state)
            ticks[mine] = found
        return Batch(ticks, depth[owner != _INDEX], 0)

    def changed(self, tokens: Sequence[int] | Array, since_ns: int, until_ns: int) -> Array:
        """Which tokens were updated in (since_ns, until_ns], a bool for each.

        Raises
        ------
        UnknownInstrument
            If a token is not listed on this day.
        """
        place, after = self._at(tokens, until_ns)
        _, before = self._at(tokens, since_ns, place)
        owner, row = self._owner[place], self._row[place]
        out = np.zeros(len(place), bool)
        for part in np.unique(owner):
            mine = np.flatnonzero(owner == part)
            count = self._indices.count if part == _INDEX else self._block(int(part)).updates
            out[mine] = count(row[mine], after[mine]) > count(row[mine], before[mine])
        return out

    def warm(self) -> None:
        """Make all derivatives now (half a second) instead of when one is first asked for."""
        for part in range(len(self._blocks)):
            self._block(part)

    def _at(self, tokens: Sequence[int] | Array, market_ns: int, place: Array | None = None) -> tuple[Array, Array]:
        """Places of tokens, and the last second of the day whose events each of them has seen."""
        if place is None:
            asked = np.asarray(tokens)
            place = np.minimum(np.searchsorted(self._sorted, asked), len(self._sorted) - 1)
            if (self._sorted[place] != asked).any():
                missing = int(asked[self._sorted[place] != asked][0])
                raise UnknownInstrument(f"instrument_token was {missing}, which is not listed on {self.date}")
        timeline = self._timeline
        return place, seen_second(self._sorted[place], market_ns, timeline.start_ns, timeline.minutes)

    def _block(self, part: int) -> Block:
        found = self._blocks[part]
        if found is not None:
            return found
        with self._lock:
            found = self._blocks[part]
            if found is None:
                rows = self._makers[part]()
                found = self._blocks[part] = Block(rows, self._bank, self._timeline.start_ns, self._seed)
            return found

    def _maker(self, group: list[Contract]) -> Callable[[], Rows]:
        make = self._lister.futures if group[0].kind == "FUT" else self._lister.options
        return lambda: make(group)

    def _share_block(self, rows: Rows) -> tuple[Block, dict[int, Array]]:
        """The block of shares and the price paths of all shares (rupees), both from one pass over the trades."""
        shape, bank = rows.pattern.shape, self._bank
        sums = Minutes(*(np.full(shape, -1, np.int64) for _ in Minutes._fields))
        sums.turnover[:] = sums.volume[:] = 0
        members = {m for index in self._lister.universe.indices for m in index.members}
        paths: dict[int, Array] = {}
        for n in range(shape[0]):
            minute = np.flatnonzero(bank.trades[rows.pattern[n]])
            found = trades(rows, bank, np.full(len(minute), n), minute)
            add_up(sums, found, np.full(len(minute), n), minute)
            if n in members:
                at = np.repeat(minute, np.diff(found.start)) * SECONDS + found.second
                path = held_path(at, found.price, int(rows.previous[n]), shape[1] * SECONDS)
                paths[n] = path * rows.tick[n]
        return Block(rows, bank, self._timeline.start_ns, self._seed, sums), paths


def _grouped(futures: Sequence[Contract], options: Sequence[Contract]) -> list[list[Contract]]:
    """Contracts that are made together: all futures, the options of each index, those of all shares."""
    chains = sorted({c.chain for c in options})
    indices = [chain for chain in chains if any(c.chain == chain and on_index(c.underlying) for c in options)]
    groups = [list(futures), *([c for c in options if c.chain == chain] for chain in indices)]
    groups.append([c for c in options if c.chain not in indices])
    return [group for group in groups if group]
