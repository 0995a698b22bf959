"""The hub's last values as stream records: each changed instrument is encoded once, whoever listens.

State
-----
epoch, cursor      how far the hub has been read
records, extras    RECORD row of every slot of the hub, and what of its newest packet a record has no room for
version            per slot: number of the content that last changed its record
confirmed, phase   per slot: what the record says, to notice a change that no packet made
phases             phase of every (segment, class) in use, to notice transitions
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tapedeck import sessions
from tapedeck.hub import Hub
from tapedeck.relay.frames import RECORD, empty_records, encode_records, phase_codes
from tapedeck.schema import DEPTH
from tapedeck.sessions import Phase

#: The whole book of a slot, and the day's extremes of its open interest (-1 where absent).
EXTRA = np.dtype([("depth", DEPTH), ("oi_day_high", "<i8"), ("oi_day_low", "<i8")])

_RAW = np.dtype((np.void, RECORD.itemsize))
_RAW_DEPTH = np.dtype((np.void, DEPTH.itemsize))


class Transition(NamedTuple):
    """A market went from one phase to another."""

    segment: str
    session_class: str
    before: Phase
    after: Phase


class Board:
    """Slot-aligned records of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._instruments = hub.instruments
        self.phases: dict[tuple[str, str], Phase] = {}
        self.markets: dict[str, Phase] = {}
        self._start_over(hub.epoch)

    def _start_over(self, epoch: int) -> None:
        self.epoch = epoch
        self._cursor = 0
        self.records = empty_records(0)
        self.extras = np.zeros(0, EXTRA)
        self.version = np.zeros(0, np.int64)
        self._confirmed = np.zeros(0, bool)
        self._phase = np.zeros(0, np.uint8)
        self._held = np.zeros(0, bool)

    def follow_source(self) -> bool:
        """Forget everything if the hub has begun a new epoch; whether it had."""
        epoch = self._hub.epoch
        if epoch == self.epoch:
            return False
        self._start_over(epoch)
        return True

    def look_at_markets(self, now: int) -> list[Transition]:
        """Ask the calendar for every market and every class in use; the transitions since it was asked last."""
        self.markets = {name: sessions.phase(name, now) for name in sessions.SEGMENTS}
        return self._note([*self.markets.values(), *self._hub.phases()[1]])

    def _note(self, phases: list[Phase]) -> list[Transition]:
        found = []
        for phase in phases:
            key = (phase.segment, phase.session_class)
            before = self.phases.get(key)
            if before is not None and (before.name, before.sub) != (phase.name, phase.sub):
                found.append(Transition(*key, before, phase))
            self.phases[key] = phase
        return found

    def refresh(self, number: int) -> int:
        """Encode what changed, as content number `number`; how many records that were.

        What was read across a change of source is thrown away: the next beat starts over.
        """
        try:
            return self._refresh(number)
        except IndexError:
            if self._hub.epoch == self.epoch:
                raise
            return 0

    def _refresh(self, number: int) -> int:
        hub = self._hub
        changed, cursor = hub.changed(self._cursor)
        # Asked after `changed`, so it knows at least the slots named there.
        group, phases = hub.phases()
        self._make_room(len(group))
        codes, holds = phase_codes(phases)
        phase, held = codes[group], holds[group]
        dirty = (phase != self._phase) | (held != self._held) | (hub.confirmed()[: len(group)] != self._confirmed)
        dirty |= self.version == 0
        if hub.instruments is not self._instruments:
            # Another day's file: sessions, official closes and even what a token means may be others.
            self._instruments = hub.instruments
            dirty[:] = True
        dirty[changed] = True
        slots = np.flatnonzero(dirty)
        if len(slots):
            self._encode(slots, phase[slots], held[slots])
        if hub.epoch != self.epoch:
            return 0
        self._cursor, self._phase, self._held = cursor, phase, held
        self.version[slots] = number
        return len(slots)

    def _make_room(self, size: int) -> None:
        more = size - len(self.version)
        if more <= 0:
            return
        self.records = np.concatenate([self.records, empty_records(more)])
        self.extras = np.concatenate([self.extras, np.zeros(more, EXTRA)])
        self.version = np.concatenate([self.version, np.zeros(more, np.int64)])
        self._confirmed = np.concatenate([self._confirmed, np.zeros(more, bool)])
        self._phase = np.concatenate([self._phase, np.zeros(more, np.uint8)])
        self._held = np.concatenate([self._held, np.zeros(more, bool)])

    def _encode(self, slots: np.ndarray, phase: np.ndarray, held: np.ndarray) -> None:
        view = self._hub.view(slots)
        price, when = np.full(len(slots), np.nan), np.full(len(slots), np.nan)
        idle = np.flatnonzero(~(held & view.confirmed))
        if len(idle):
            price[idle], when[idle] = self._hub.official(slots[idle], view.ticks[idle])
        rows = encode_records(
            view.ticks,
            view.depth,
            confirmed=view.confirmed,
            depth_known=view.depth_known,
            phase=phase,
            held=held,
            official=(price, when),
        )
        self.records.view(_RAW)[slots] = rows.view(_RAW)
        self._confirmed[slots] = view.confirmed
        self.extras["depth"].view(_RAW_DEPTH)[slots] = view.depth.view(_RAW_DEPTH)
        for name in ("oi_day_high", "oi_day_low"):
            self.extras[name][slots] = view.ticks[name]

    def has_news(self, slots: np.ndarray, after: int) -> bool:
        """Whether any of these slots changed after content number `after`."""
        return bool((self.version[slots] > after).any())

    def gather(self, slots: np.ndarray, after: int) -> np.ndarray:
        """Records of these slots that changed after content number `after`; all of them with -1."""
        return self.take(slots[self.version[slots] > after])

    def take(self, slots: np.ndarray) -> np.ndarray:
        """Records of these slots, copied."""
        return self.records.view(_RAW)[slots].view(RECORD)
