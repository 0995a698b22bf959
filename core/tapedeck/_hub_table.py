"""The last value of every instrument, in dense slots, and the rules by which a packet may replace it.

State, one entry per slot
-------------------------
tokens        instrument_token of the slot, in order of first sight
last          TICK row: the newest value, narrower packets merged into wider ones
book          DEPTH row; shown only while `book_known`
book_known    whether the newest packet carried a book
version       index of the ring (head) after the batch that last changed what the slot shows
confirmed_on  IST day number of the session in which this connection proved the value current; 0 = not
seen          whether a packet ever came
primed        whether a packet came since subscribing on this connection (Kite's first one is a cached tick)
full_at, quote_at   monotonic seconds of the last packet at least that wide

Not thread-safe by itself: the hub holds its lock around every call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tapedeck.clock import SECOND
from tapedeck.schema import DEPTH, MODE_FULL, MODE_LTP, MODE_QUOTE, TICK, empty_ticks

#: A number is held to this real age, in seconds; fields a narrower mode no longer carries likewise.
FRESH_TTL = 5.0
#: More tokens than this are not one desk's market but garbage: refused and counted.
MAX_SLOTS = 1 << 17
#: An exchange time further ahead of market time than this proves nothing: some clock is wrong.
AHEAD_NS = 300 * SECOND

_INDEX_SEGMENT = 9
_FULL_ONLY = ("exchange_timestamp", "last_trade_time", "oi", "oi_day_high", "oi_day_low")
_QUOTE_UP = (
    "last_traded_quantity", "average_traded_price", "volume_traded", "total_buy_quantity", "total_sell_quantity",
    "open", "high", "low", "close",
)  # fmt: skip
_ABSENT = empty_ticks(1)[0]
# Indexing rows of a structured array copies field by field (45 us for 500 rows); as plain bytes it is 2 us.
RAW_TICK = np.dtype((np.void, TICK.itemsize))
RAW_DEPTH = np.dtype((np.void, DEPTH.itemsize))


class Moment(NamedTuple):
    """When a batch is applied: market time, real time, and today's sessions per slot."""

    now: int
    monotonic: float
    day: int
    day_end: int
    session_start: np.ndarray


def take(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Copy of the chosen rows of a structured array."""
    return rows.view(np.dtype((np.void, rows.dtype.itemsize)))[index].view(rows.dtype)


def _same_bytes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    n, size = len(a), a.dtype.itemsize
    return (a.view(np.uint8).reshape(n, size) == b.view(np.uint8).reshape(n, size)).all(axis=1)


def _rounds(slots: np.ndarray) -> Iterator[np.ndarray | slice]:
    """Parts of a batch in which no slot occurs twice, in the order the packets came."""
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    new = np.ones(len(slots), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    if new.all():
        yield slice(None)
        return
    starts = np.flatnonzero(new)
    nth = np.arange(len(slots)) - np.repeat(starts, np.diff(starts, append=len(slots)))
    for k in range(int(nth.max()) + 1):
        yield np.sort(order[nth == k])


class MarketTable:
    """Last-value table with a vectorised token -> slot lookup."""

    def __init__(self, capacity: int = 1024) -> None:
        self.size = 0
        self.tokens = np.zeros(0, np.uint32)
        self.last = np.zeros(0, TICK)
        self.book = np.zeros(0, DEPTH)
        self.book_known = np.zeros(0, bool)
        self.version = np.zeros(0, np.int64)
        self.confirmed_on = np.zeros(0, np.int32)
        self.seen = np.zeros(0, bool)
        self.primed = np.zeros(0, bool)
        self.full_at = np.zeros(0)
        self.quote_at = np.zeros(0)
        self._sorted = np.zeros(0, np.uint32)
        self._order = np.zeros(0, np.intp)
        self._grow(capacity)

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self.last)
        for name in ("tokens", "book", "book_known", "version", "confirmed_on", "seen", "primed"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros(more, old.dtype)]))
        for name in ("full_at", "quote_at"):
            setattr(self, name, np.concatenate([getattr(self, name), np.full(more, -np.inf)]))
        self.last = np.concatenate([self.last, empty_ticks(more)])

    def find(self, tokens: np.ndarray) -> np.ndarray:
        """Slot of each token, -1 where it has none."""
        if not self.size:
            return np.full(len(tokens), -1, np.intp)
        at = self._sorted.searchsorted(tokens)
        at[at == self.size] = 0
        return np.where(self._sorted[at] == tokens, self._order[at], -1)

    def add(self, tokens: np.ndarray) -> np.ndarray:
        """Give every token without a slot one; the tokens that were new, in slot order."""
        fresh = np.unique(tokens[self.find(tokens) < 0]).astype(np.uint32)[: MAX_SLOTS - self.size]
        if not len(fresh):
            return fresh
        size = self.size + len(fresh)
        if size > len(self.last):
            self._grow(max(size, 2 * len(self.last)))
        self.tokens[self.size : size] = fresh
        self.last["instrument_token"][self.size : size] = fresh
        self.book["instrument_token"][self.size : size] = fresh
        self.size = size
        self._order = np.argsort(self.tokens[:size], kind="stable")
        self._sorted = self.tokens[:size][self._order]
        return fresh

    def forget_confirmations(self, slots: np.ndarray | slice = slice(None)) -> None:
        """Nothing in these slots is proven current any more; the values stay, dated."""
        self.confirmed_on[slots] = 0
        self.primed[slots] = False

    def forget(self, slots: np.ndarray) -> None:
        """These slots hold nothing any more, as if no packet had ever come."""
        self.forget_confirmations(slots)
        self.seen[slots] = self.book_known[slots] = False
        self.full_at[slots] = self.quote_at[slots] = -np.inf
        blank = empty_ticks(len(slots))
        blank["instrument_token"] = self.tokens[slots]
        self.last.view(RAW_TICK)[slots] = blank.view(RAW_TICK)

    def apply(self, slots: np.ndarray, ticks: np.ndarray, depth: np.ndarray, moment: Moment, head: int) -> Counter[str]:
        """Let packets replace last values; how many were late, duplicates, ahead of time or had a stray book.

        `slots` are those of `ticks`, all >= 0; `head` is the ring's index after this batch.
        """
        counts: Counter[str] = Counter()
        carrier = (ticks["mode"] == MODE_FULL) & ((ticks["instrument_token"] & 0xFF) != _INDEX_SEGMENT)
        book_row = np.where(carrier, np.cumsum(carrier) - 1, -1)
        if carrier.sum() != len(depth) or (depth["instrument_token"] != ticks["instrument_token"][carrier]).any():
            counts["stray_depth"] += len(depth)
            book_row[:] = -1
        for part in _rounds(slots):
            rows = ticks[part].copy() if isinstance(part, slice) else take(ticks, part)
            self._apply_unique(slots[part], rows, depth, book_row[part], moment, head, counts)
        return counts

    def _apply_unique(
        self,
        slots: np.ndarray,
        rows: np.ndarray,
        depth: np.ndarray,
        book_row: np.ndarray,
        moment: Moment,
        head: int,
        counts: Counter[str],
    ) -> None:
        old = take(self.last, slots)
        mode = rows["mode"]
        narrow = mode < MODE_FULL
        stamp, held = np.where(narrow, 0, rows["exchange_timestamp"]), old["exchange_timestamp"]
        horizon = moment.now + AHEAD_NS
        # A held time ahead of the clock must not hold back every packet after it.
        late = (stamp > 0) & (stamp < held) & (held <= horizon)
        if narrow.any():
            self._keep_wider(rows, old, narrow)
        same = self._unchanged(rows, old) & self.seen[slots]
        before = self.confirmed_on[slots]
        confirmed = self._confirmations(slots, stamp, narrow, same, late, before, moment)
        if narrow.any():
            self._drop_unvouched(slots, rows, narrow & (confirmed == moment.day), before == moment.day, moment)
        same_book = self._write_books(slots, depth, book_row, ~late)
        duplicate = same & same_book & (mode == old["mode"]) & ~late
        self._write(slots, rows, ~late, moment)
        self.confirmed_on[slots] = confirmed
        self.primed[slots] = True
        changed = (~late & ~duplicate) | (confirmed != before)
        self.version[slots[changed]] = head
        counts["late"] += int(late.sum())
        counts["duplicates"] += int(duplicate.sum())
        counts["ahead"] += int((stamp > horizon).sum())

    @staticmethod
    def _keep_wider(rows: np.ndarray, old: np.ndarray, narrow: np.ndarray) -> None:
        """Fields a narrower packet does not carry keep what a wider one said."""
        ltp = rows["mode"] == MODE_LTP
        for name in _FULL_ONLY:
            rows[name][narrow] = old[name][narrow]
        if ltp.any():
            for name in _QUOTE_UP:
                rows[name][ltp] = old[name][ltp]

    @staticmethod
    def _unchanged(rows: np.ndarray, old: np.ndarray) -> np.ndarray:
        """Which rows say nothing new: equal in all but arrival and mode."""
        probe = rows.copy()
        probe["received_at"] = old["received_at"]
        probe["mode"] = old["mode"]
        return _same_bytes(probe, old)

    def _confirmations(
        self,
        slots: np.ndarray,
        stamp: np.ndarray,
        narrow: np.ndarray,
        same: np.ndarray,
        late: np.ndarray,
        before: np.ndarray,
        moment: Moment,
    ) -> np.ndarray:
        """Day number each slot is confirmed for after this packet.

        A packet with a time proves itself by it. One without is proven by a change after the cached first
        one, within the session: Kite sends only on change, so an equal packet is the cached one again.
        """
        start = moment.session_start[slots]
        in_session = (stamp >= start) & (stamp < moment.day_end) & (stamp <= moment.now + AHEAD_NS)
        pushed = self.primed[slots] & ~same & (moment.now >= start)
        proven = np.where(narrow, pushed | (before == moment.day), in_session)
        return np.where(proven, moment.day, np.where(late, before, 0)).astype(np.int32)

    def _drop_unvouched(
        self, slots: np.ndarray, rows: np.ndarray, shown: np.ndarray, before: np.ndarray, moment: Moment
    ) -> None:
        """Wider fields live on beside a narrower live price only while they were live themselves just now."""
        limit = moment.monotonic - FRESH_TTL
        wide_gone = shown & ~(before & (self.full_at[slots] >= limit))
        quote_gone = shown & (rows["mode"] == MODE_LTP) & ~(before & (self.quote_at[slots] >= limit))
        for gone, names in ((wide_gone, _FULL_ONLY), (quote_gone, _QUOTE_UP)):
            if gone.any():
                for name in names:
                    rows[name][gone] = _ABSENT[name]

    def _write_books(self, slots: np.ndarray, depth: np.ndarray, book_row: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """Store the books that came; which slots' books are what they were."""
        has = book_row >= 0
        same = has == self.book_known[slots]
        put = has & keep
        if put.any():
            fresh = take(depth, book_row[put])
            same[put] &= _same_bytes(fresh, take(self.book, slots[put]))
            self.book.view(RAW_DEPTH)[slots[put]] = fresh.view(RAW_DEPTH)
        self.book_known[slots[keep]] = has[keep]
        return same

    def _write(self, slots: np.ndarray, rows: np.ndarray, keep: np.ndarray, moment: Moment) -> None:
        if not keep.all():
            slots, rows = slots[keep], take(rows, np.flatnonzero(keep))
        self.last.view(RAW_TICK)[slots] = rows.view(RAW_TICK)
        self.seen[slots] = True
        self.full_at[slots[rows["mode"] == MODE_FULL]] = moment.monotonic
        self.quote_at[slots[rows["mode"] >= MODE_QUOTE]] = moment.monotonic
