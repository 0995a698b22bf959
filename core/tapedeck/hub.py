"""The one mutable market: last values, a ring of every tick, and how fresh they are.

State
-----
source, epoch, instruments   where the numbers come from; a change of source empties everything, epoch + 1
table                        last value per instrument (see `_hub_table`), its sessions (`_hub_sessions`)
ring, head                   the newest TICK rows; row `i` of the market's life lies at `i % ring_size`
feed_state, feed_reason      what the feed last said of itself
counters                     ticks, batches, late, duplicates, ahead, refused, stray_depth, untracked, joins

The hub knows no viewer: readers hold a cursor, and a reader that was too slow is told how much it lost.
One short lock guards everything; every array handed out is a copy.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tapedeck._hub_quote import FeedView, quote_row
from tapedeck._hub_sessions import NEVER, SlotSessions, ist_day, phase_of, stand_in
from tapedeck._hub_table import FRESH_TTL, RAW_TICK, MarketTable, Moment, take
from tapedeck.clock import Clock
from tapedeck.errors import StaleData
from tapedeck.feed import STATES
from tapedeck.instruments import Instruments
from tapedeck.schema import TICK, Batch, Instrument
from tapedeck.sessions import Phase

__all__ = ["FRESH_TTL", "LATE_AFTER", "FeedView", "Hub", "View"]

#: A feed older than this is shown in amber, in seconds; older than FRESH_TTL its numbers are blank.
LATE_AFTER = 3.0


class View(NamedTuple):
    """Last values of some slots, copied: TICK rows, DEPTH rows, whether each is confirmed and has a book."""

    ticks: np.ndarray
    depth: np.ndarray
    confirmed: np.ndarray
    depth_known: np.ndarray


class LivePrices(NamedTuple):
    """By slot the token and its last price, NaN where that may not be shown as live; at `now`, of `epoch`."""

    tokens: np.ndarray
    prices: np.ndarray
    now: int
    epoch: int


class Hub:
    """Everything the desk knows of the market now; written by the feed, read by everybody.

    Row indexes grow for ever: a cursor is the number of rows published before it.
    """

    def __init__(self, clock: Clock, *, ring_size: int = 1 << 18) -> None:
        if ring_size < 1:
            raise ValueError(f"ring_size was {ring_size}; it must be at least 1")
        self._clock = clock
        self._lock = threading.Lock()
        self._ring = np.zeros(ring_size, TICK).view(RAW_TICK)
        self.source = ""
        self.epoch = 0
        self.instruments = Instruments.from_instruments([])
        self.feed_state, self.feed_reason = "IDLE", ""
        self.feed_since = clock.monotonic()
        self._alive_at = self._tick_at = -math.inf
        self._head = self._base = 0
        self._counters: Counter[str] = Counter()
        self._clear()

    def _clear(self) -> None:
        self._table = MarketTable()
        self._sessions = SlotSessions()
        self._released = np.zeros(0, bool)
        self._base = self._head

    # -- writing: the feed and the desk --------------------------------------------------------------------------

    def open_source(self, source: str, instruments: Instruments) -> None:
        """Start over with another source: nothing of the old one is kept, the epoch grows by one.

        Cursors from before stay valid and report a loss, so that no reader joins two sources by accident.
        """
        with self._lock:
            # One row nobody will ever see: even a reader that had read everything is told to start over.
            self._head += 1 if self.epoch else 0
            self.source, self.instruments = source, instruments
            self.epoch += 1
            self._alive_at = -math.inf
            self._clear()

    def adopt_instruments(self, instruments: Instruments) -> None:
        """Take another day's instrument file of the same source.

        Values stay, but not those of a token that now means something else: the exchanges use the tokens of
        expired contracts again.
        """
        with self._lock:
            self.instruments = instruments
            tokens = self._table.tokens[: self._table.size].tolist()
            before, now = self._sessions.instruments, [self._describe(token) for token in tokens]
            reused = [slot for slot, (old, new) in enumerate(zip(before, now, strict=True)) if _other(old, new)]
            self._table.forget(np.array(reused, np.intp))
            self._sessions.replace(now, self._clock.now())

    def publish(self, batch: Batch) -> int:
        """Take in what one frame carried, in order; the index of the ring after it.

        For the feed alone: it also proves that the feed is alive.
        """
        with self._lock:
            self._alive_at = self._clock.monotonic()
            self._counters["batches"] += 1
            self._counters["refused"] += batch.refused
            if len(batch.ticks):
                self._take_in(batch.ticks, batch.depth)
            return self._head

    def _take_in(self, ticks: np.ndarray, depth: np.ndarray) -> None:
        now = self._clock.now()
        slots = self._slots(ticks["instrument_token"], now)
        if (slots < 0).any():
            self._counters["untracked"] += int((slots < 0).sum())
            depth = take(depth, np.flatnonzero(self._table.find(depth["instrument_token"]) >= 0))
            ticks, slots = take(ticks, np.flatnonzero(slots >= 0)), slots[slots >= 0]
        if not len(ticks):
            return
        s = self._sessions
        s.roll(now)
        start = s.session_start
        if self._released.any():
            start = np.where(self._released, NEVER, start)
        self._append(ticks)
        self._tick_at = self._alive_at
        moment = Moment(now, self._alive_at, s.day, s.day_end, start)
        self._counters.update(self._table.apply(slots, ticks, depth, moment, self._head))
        self._counters["ticks"] += len(ticks)

    def _append(self, ticks: np.ndarray) -> None:
        size = len(self._ring)
        kept = np.ascontiguousarray(ticks[-size:]).view(RAW_TICK)
        at = (self._head + len(ticks) - len(kept)) % size
        first = min(len(kept), size - at)
        self._ring[at : at + first] = kept[:first]
        self._ring[: len(kept) - first] = kept[first:]
        self._head += len(ticks)

    def _slots(self, tokens: np.ndarray, now: int) -> np.ndarray:
        """Slots of tokens, made where missing; -1 when the table is full."""
        slots = self._table.find(tokens)
        if (slots < 0).any():
            fresh = self._table.add(tokens)
            self._sessions.add([self._describe(token) for token in fresh.tolist()], now)
            self._released = np.concatenate([self._released, np.zeros(len(fresh), bool)])
            slots = self._table.find(tokens)
        return slots

    def _describe(self, token: int) -> Instrument:
        return self.instruments.find(token) or stand_in(token)

    def alive(self) -> None:
        """A frame of any kind came: the feed is alive now."""
        self._alive_at = self._clock.monotonic()

    def feed_status(self, state: str, reason: str = "") -> None:
        """What the feed says of itself; `state` is one of `feed.STATES`."""
        if state not in STATES:
            raise ValueError(f"feed state was {state!r}; allowed: {', '.join(STATES)}")
        with self._lock:
            if state != self.feed_state:
                self.feed_since = self._clock.monotonic()
            self.feed_state, self.feed_reason = state, reason

    def connected(self) -> None:
        """There is a new upstream connection: nothing is proven current on it yet."""
        with self._lock:
            self._table.forget_confirmations()

    def subscribed(self, tokens: Iterable[int]) -> None:
        """These instruments are on the upstream connection from now on; no effect on those that were."""
        with self._lock:
            slots = self._slots(_tokens(tokens), self._clock.now())
            self._released[slots[slots >= 0]] = False

    def unsubscribed(self, tokens: Iterable[int]) -> None:
        """These instruments left the upstream connection: what is held of them is not current any more."""
        with self._lock:
            slots = self._table.find(_tokens(tokens))
            slots = slots[slots >= 0]
            self._released[slots] = True
            self._table.forget_confirmations(slots)

    # -- reading: a cursor each ----------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Index after the newest row of the ring."""
        return self._head

    def join(self, tokens: Iterable[int] | None = None) -> tuple[np.ndarray, int]:
        """Last values (all that have one, or of these tokens) and the cursor from which `since` continues."""
        with self._lock:
            self._counters["joins"] += 1
            size = self._table.size
            slots = np.arange(size) if tokens is None else self._table.find(_tokens(tokens))
            slots = slots[slots >= 0]
            slots = slots[self._table.seen[slots]]
            return take(self._table.last, slots), self._head

    def since(self, cursor: int) -> tuple[np.ndarray, int, int]:
        """Rows published after `cursor`, the next cursor, and how many rows the reader was too late for.

        Every packet is here, late ones and duplicates included.

        Raises
        ------
        ValueError
            If the cursor was not one of this hub: beyond the head or negative.
        """
        with self._lock:
            self._check(cursor)
            first = max(cursor, self._head - len(self._ring), self._base)
            size = len(self._ring)
            count = self._head - first
            at = first % size
            rows = np.concatenate([self._ring[at : at + count], self._ring[: max(0, at + count - size)]])
            return rows.view(TICK), self._head, first - cursor

    def changed(self, cursor: int) -> tuple[np.ndarray, int]:
        """Slots whose last value changed after `cursor`, and the next cursor: the conflated `since`.

        A reset of the confirmations moves no version: compare `confirmed()` for it.
        """
        with self._lock:
            self._check(cursor)
            return np.flatnonzero(self._table.version[: self._table.size] > cursor), self._head

    def _check(self, cursor: int) -> None:
        if not 0 <= cursor <= self._head:
            raise ValueError(f"cursor was {cursor}; this hub's cursors lie between 0 and {self._head}")

    @property
    def size(self) -> int:
        """Number of slots; they are numbered from 0 and never move within an epoch."""
        return self._table.size

    def slots(self, tokens: Iterable[int]) -> np.ndarray:
        """Slot of each token, made where it has none; -1 when the table is full."""
        with self._lock:
            return self._slots(_tokens(tokens), self._clock.now())

    def view(self, slots: np.ndarray) -> View:
        """Copies of what these slots hold."""
        with self._lock:
            t = self._table
            confirmed = t.confirmed_on[slots] == ist_day(self._clock.now())
            return View(take(t.last, slots), take(t.book, slots), confirmed, t.book_known[slots])

    @property
    def last(self) -> np.ndarray:
        """Copy of all last values, TICK rows by slot."""
        with self._lock:
            return self._table.last[: self._table.size].copy()

    @property
    def book(self) -> np.ndarray:
        """Copy of all books, DEPTH rows by slot; zeros where none came."""
        with self._lock:
            return self._table.book[: self._table.size].copy()

    def confirmed(self) -> np.ndarray:
        """By slot: whether the value was proven current, on this connection, in today's session."""
        with self._lock:
            return self._table.confirmed_on[: self._table.size] == ist_day(self._clock.now())

    def live_prices(self) -> LivePrices:
        """Every slot's last price where it is confirmed, in session and on a feed that is alive; copies."""
        with self._lock:
            now, t, size = self._clock.now(), self._table, self._table.size
            self._sessions.roll(now)
            held = np.array([phase.held for phase in self._sessions.phases(now)], bool)
            live = t.confirmed_on[:size] == ist_day(now)
            # A market without slots has no groups to ask.
            live &= held[self._sessions.group] if size and not self._feed().why_blank() else False
            return LivePrices(
                t.tokens[:size].copy(), np.where(live, t.last["last_price"][:size], np.nan), now, self.epoch
            )

    def phases(self) -> tuple[np.ndarray, list[Phase]]:
        """Group number of every slot, and the phase of each group now: slots of a group share their hours."""
        with self._lock:
            now = self._clock.now()
            self._sessions.roll(now)
            return self._sessions.group.copy(), self._sessions.phases(now)

    def official(self, slots: np.ndarray, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Official price of each of these ticks and its date as the number yyyymmdd; NaN where unknown."""
        with self._lock:
            self._sessions.roll(self._clock.now())
            return self._sessions.official(slots, ticks)

    @property
    def counters(self) -> dict[str, int]:
        """Copy of all counts since the start of the process."""
        with self._lock:
            return dict(self._counters)

    # -- reading: one number, held to its age ------------------------------------------------------------------

    def now(self) -> int:
        """Market time, UTC nanoseconds."""
        return self._clock.now()

    def age(self) -> float:
        """Real seconds since the last frame of the feed; infinite when none came."""
        return self._clock.monotonic() - self._alive_at

    def quiet(self) -> float:
        """Real seconds without a tick on a feed that is alive while some market trades continuously; else 0.

        Heartbeats prove the connection, not that the exchange still fills it: a socket may stay mute after the
        morning's token roll. Nothing is blanked for it, since a market may rightly stand still.
        """
        if self.feed_state != "LIVE" or not any(phase.name == "LIVE" for phase in self.phases()[1]):
            return 0.0
        return self._clock.monotonic() - max(self._tick_at, self.feed_since)

    def feed(self) -> FeedView:
        """State, reason, age and source of the feed, taken together."""
        with self._lock:
            return self._feed()

    def _feed(self) -> FeedView:
        simulated = "sim" in self.source.split(":")
        return FeedView(self.feed_state, self.feed_reason, self.age(), self.source, simulated, self.epoch)

    def quote(self, key_or_token: str | int, *, stale: str = "raise") -> dict[str, Any]:
        """The instrument's numbers, live, as one plain dict.

        With `stale="mark"` a row that is not fresh is returned marked: `fresh` False, `reason` in words, and
        None for every number but, outside the session, `official_close` with its `official_date`.

        Raises
        ------
        StaleData
            If the numbers cannot be shown as live and `stale` was "raise".
        UnknownInstrument
            If today's instrument file does not name it.
        """
        if stale not in ("raise", "mark"):
            raise ValueError(f"stale was {stale!r}; allowed: raise, mark")
        instrument = self.instruments.get(key_or_token)
        row = self._row(instrument)
        if stale == "raise" and not row["fresh"]:
            raise StaleData(f"{instrument.key} has no live numbers: {row['reason']}", reason=row["reason"])
        return row

    def quotes(self, keys: Iterable[str | int]) -> list[dict[str, Any]]:
        """One row per key, in their order, as `quote` with `stale="mark"`.

        Raises
        ------
        UnknownInstrument
            Naming the first key that today's instrument file does not have.
        """
        return [self._row(self.instruments.get(key)) for key in keys]

    def _row(self, instrument: Instrument) -> dict[str, Any]:
        tick = depth = None
        confirmed, official = False, (math.nan, math.nan)
        with self._lock:
            now, t = self._clock.now(), self._table
            self._sessions.roll(now)
            slot = int(t.find(_tokens([instrument.instrument_token]))[0])
            if slot >= 0 and t.seen[slot]:
                at = np.array([slot])
                ticks = take(t.last, at)
                confirmed = bool(t.confirmed_on[slot] == ist_day(now))
                price, when = self._sessions.official(at, ticks)
                tick, official = ticks[0], (float(price[0]), float(when[0]))
                depth = take(t.book, at)[0] if t.book_known[slot] else None
            feed = self._feed()
        phase = phase_of(instrument, now)
        return quote_row(
            instrument, tick, depth, feed=feed, phase=phase, confirmed=confirmed, official=official, now=now
        )


def _other(old: Instrument, new: Instrument) -> bool:
    """Whether one token means another contract than before; what the file merely left out is not another."""
    if str(old.instrument_token) in (old.tradingsymbol, new.tradingsymbol):  # a stand-in
        return False
    return (old.exchange, old.tradingsymbol, old.expiry) != (new.exchange, new.tradingsymbol, new.expiry)


def _tokens(tokens: Iterable[int]) -> np.ndarray:
    """Tokens as numbers of the wire; what cannot be one becomes 0, which no instrument has."""
    if isinstance(tokens, np.ndarray):
        return tokens.astype(np.uint32)
    return np.array([token if 0 <= token < 1 << 32 else 0 for token in map(int, tokens)], np.uint32)
