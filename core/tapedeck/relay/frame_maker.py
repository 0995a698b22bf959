"""The frames of one beat: made once, shared by every listener with the same wishes and the same past.

State of a `FrameMaker`, which lives as long as its beat: what is known of this beat, the frames made so far.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from tapedeck.clock import Clock
from tapedeck.hub import FeedView
from tapedeck.relay.board import Board
from tapedeck.relay.frames import DELTA, HEARTBEAT, SNAPSHOT, Header, build_frame, empty_records
from tapedeck.relay.listener import Listener
from tapedeck.relay.wire import Packet

#: Every listener hears something at least this often, in seconds: a little under the promised second.
HEARTBEAT_S = 0.9
#: A frame is sent to listeners at most this long after it was made, in seconds.
STAMP_S = 0.05


class Beat(NamedTuple):
    """One beat: its number and second, its time, the newest content, the feed, whether its state is news."""

    number: int
    second: int
    now: float
    sequence: int
    feed: FeedView
    urgent: bool


class FrameMaker:
    """Makes the frames of one beat."""

    def __init__(self, board: Board, clock: Clock, beat: Beat, stats: Counter[str]) -> None:
        self._board, self._clock, self._beat, self._stats = board, clock, beat, stats
        self._built: dict[tuple, Packet | None] = {}
        self._stamped_at = beat.now

    def has_news(self, listener: Listener) -> bool:
        """Whether a frame for this listener would carry content that was not counted as merged before."""
        slots = listener.subscription.slots
        if listener.focus is not None and listener.second == self._beat.second:
            slots = listener.focus.fast
        return self._board.has_news(slots, listener.merged_to)

    def frame(self, listener: Listener, due: bool) -> Packet | None:
        """The frame a listener gets now, None if nothing; its cursors are moved."""
        beat = self._beat
        self._keep_honest()
        alive = beat.urgent or beat.now - listener.frame_at >= HEARTBEAT_S
        if not (alive or due or listener.owes_snapshot):
            return None
        whole = listener.owes_snapshot or listener.focus is None or listener.second != beat.second
        if listener.owes_snapshot:
            listener.cursor = listener.whole_cursor = -1
        past = (listener.cursor, listener.whole_cursor if whole else None)
        key = (listener.subscription, listener.focus, past, listener.conflated)
        if key not in self._built:
            self._built[key] = self._content(listener, whole)
        frame = self._built[key]
        if frame is None and alive:
            frame = self._sign_of_life(listener.conflated)
        listener.owes_snapshot = False
        listener.cursor = listener.merged_to = beat.sequence
        if whole:
            listener.whole_cursor, listener.second = beat.sequence, beat.second
        if frame is not None:
            listener.frame_at = beat.now
        return frame

    def _keep_honest(self) -> None:
        """With very many listeners a beat takes its time: a frame says the age of the feed when it is sent."""
        now = self._clock.monotonic()
        if now - self._stamped_at > STAMP_S:
            self._stamped_at = now
            self._built.clear()

    def _gather(self, listener: Listener, whole: bool) -> np.ndarray:
        board, focus = self._board, listener.focus
        if focus is None or listener.whole_cursor < 0:
            return board.gather(listener.subscription.slots, listener.whole_cursor)
        fast = board.gather(focus.fast, listener.cursor)
        return np.concatenate([fast, board.gather(focus.rest, listener.whole_cursor)]) if whole else fast

    def _content(self, listener: Listener, whole: bool) -> Packet | None:
        """A frame of everything after the cursors; None when that is nothing."""
        records = self._gather(listener, whole)
        if listener.whole_cursor < 0:
            return self._build(SNAPSHOT, records, listener.conflated)
        return self._build(DELTA, records, listener.conflated) if len(records) else None

    def _sign_of_life(self, conflated: int) -> Packet:
        key = (HEARTBEAT, conflated)
        frame = self._built.get(key)
        if frame is None:
            frame = self._built[key] = self._build(HEARTBEAT, empty_records(0), conflated)
        return frame

    def _build(self, kind: int, records: np.ndarray, conflated: int) -> Packet:
        self._stats["built"] += 1
        beat = self._beat
        header = Header(
            epoch=self._board.epoch,
            sequence=beat.sequence,
            feed_state=beat.feed.state,
            market_time_ms=self._clock.now() / 1e6,
            feed_age_s=beat.feed.age + (self._stamped_at - beat.now),
            simulated=beat.feed.simulated,
            replay=beat.feed.source.startswith("tape"),
            conflated=conflated,
        )
        return Packet(build_frame(kind, records, header))
