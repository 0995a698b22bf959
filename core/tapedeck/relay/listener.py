"""One viewer of the stream: two cursors, a wish list and at most one unfinished write.

State: what it asked for and what that resolved to, the content it has seen, what it is owed (welcome, snapshot,
errors), whether and since when its last write is unfinished, how many updates were merged for it.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import Protocol
from weakref import WeakValueDictionary

import numpy as np

from tapedeck.relay.books import Book
from tapedeck.relay.frames import DEFAULT_RATE
from tapedeck.relay.wire import Packet

#: A viewer may send this many messages at once, and so many a second in the long run.
MESSAGE_BURST, MESSAGES_PER_S = 30.0, 10.0
#: Answers to refused messages that wait for a slow viewer; the oldest goes first.
MAX_ERRORS = 4


class Outlet(Protocol):
    """Where a listener's messages go."""

    def send(self, packets: list[Packet]) -> None:
        """Write messages, in order."""
        ...

    def busy(self, now: float) -> bool:
        """Whether something written before has not left yet, or not arrived in time."""
        ...

    def drained(self) -> int:
        """Bytes that have arrived: grows while a viewer that was `busy` reads on, however slowly."""
        ...

    def ping(self) -> None:
        """Let the network find out whether the other side is still there."""
        ...

    def abort(self) -> None:
        """End the connection without waiting for the other side."""
        ...

    def close(self, code: int, reason: str) -> None:
        """End the connection politely."""
        ...


class Focus:
    """Which slots of a subscription come at the full rate (`fast`), and the `rest`, which come once a second."""

    def __init__(self, fast: np.ndarray, rest: np.ndarray) -> None:
        self.fast = fast
        self.rest = rest


class Subscription:
    """A set of slots; listeners that want the same set share one, and with it every frame."""

    def __init__(self, slots: np.ndarray) -> None:
        self.slots = slots
        self._focuses: WeakValueDictionary[bytes, Focus] = WeakValueDictionary()

    def focus(self, slots: np.ndarray) -> Focus | None:
        """The shared focus on those of these slots that belong to it; None when that is all of it."""
        fast = np.intersect1d(self.slots, slots)
        if len(fast) == len(self.slots):
            return None
        key = fast.tobytes()
        found = self._focuses.get(key)
        if found is None:
            rest = np.setdiff1d(self.slots, fast, assume_unique=True)
            found = self._focuses[key] = Focus(fast, rest)
        return found


class Subscriptions:
    """Every distinct subscription that some listener holds."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Subscription] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, slots: np.ndarray) -> Subscription:
        """The shared subscription to these slots, in any order."""
        ordered = np.unique(slots)
        key = ordered.tobytes()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Subscription(ordered)
        return found


class Needs(IntEnum):
    """How much of what a listener asked for is still to be looked up, before it can be served."""

    NOTHING = 0
    #: Which of its slots are in focus, and which books it watches.
    FOCUS = 1
    #: The slots of its tokens as well.
    SLOTS = 2
    #: What its keys mean as well: the instruments may be others now.
    NAMES = 3


class Listener:
    """What the relay keeps per viewer."""

    def __init__(self, name: str, outlet: Outlet, subscription: Subscription, now: float) -> None:
        self.name = name
        self.outlet = outlet
        self.asked: tuple[str | int, ...] = ()
        self.tokens: frozenset[int] = frozenset()
        self.unknown: list[str | int] = []
        self.subscription = subscription
        self.needs = Needs.NOTHING
        #: Grows with everything it asks for: whoever looks it up a bit at a time sees that it changed its mind.
        self.wish = 0
        #: What it wants at the full rate: None is everything.
        self.focus_asked: tuple[str | int, ...] | None = None
        self.focus: Focus | None = None
        self.depth_asked: tuple[str | int, ...] = ()
        #: Per book and per topic the number of the text it was sent; -1 is none.
        self.depth: dict[Book, int] = {}
        self.topics: dict[str, int] = {}
        self.rate = DEFAULT_RATE
        #: Content it has seen: of its focus, and of everything. The second is never ahead of the first.
        self.cursor = 0
        self.whole_cursor = 0
        #: The second whose one delivery of everything it has had.
        self.second = -1
        self.merged_to = 0
        self.beat = 0
        #: Shifts its beats, so that not all of one rate are served in the same beat.
        self.turn = 0
        self.said_hello = False
        self.paused = False
        self.owes_welcome = False
        self.owes_snapshot = False
        self.errors: deque[str] = deque(maxlen=MAX_ERRORS)
        self.sent_at = now
        #: When its unfinished write last got on, and how far it was then.
        self.progress_at = now
        self.drained = 0
        self.frame_at = now
        self.state_number = -1
        self.conflated = self.conflated_told = 0
        self._allowance, self._allowance_at = MESSAGE_BURST, now
        self.refused_in_a_row = 0

    def may_speak(self, now: float) -> bool:
        """Whether one more message from this viewer is within its allowance."""
        gained = (now - self._allowance_at) * MESSAGES_PER_S
        self._allowance = min(MESSAGE_BURST, self._allowance + gained)
        self._allowance_at = now
        if self._allowance < 1.0:
            self.refused_in_a_row += 1
            return False
        self._allowance -= 1.0
        self.refused_in_a_row = 0
        return True

    def take_due(self, beat: int, beat_hz: int) -> bool:
        """Whether one of its `rate` beats a second has come since this was asked."""
        before, self.beat = self.beat + self.turn, beat
        return (beat + self.turn) * self.rate // beat_hz != before * self.rate // beat_hz

    def is_owed(self, heard_before: float) -> bool:
        """Whether it gets something in a beat that is not one of its own, a sign of life among others."""
        owed = self.owes_snapshot or self.owes_welcome or self.errors or self.topics
        return bool(owed or self.paused or not self.said_hello or self.frame_at <= heard_before)

    def need(self, what: Needs) -> None:
        """It asked for something that is to be looked up before it is served again."""
        self.needs = max(self.needs, what)
        self.wish += 1

    def change_focus(self, focus: Focus | None) -> None:
        """Another focus: what was not in the old one may be as old as the last delivery of everything."""
        if focus is not self.focus:
            self.focus = focus
            self.cursor = self.whole_cursor

    def is_stalled(self, now: float, limit_s: float) -> bool:
        """Whether not one byte of its unfinished write has left for so long."""
        drained = self.outlet.drained()
        if drained != self.drained:
            self.drained, self.progress_at = drained, now
        return now - self.progress_at > limit_s

    def ping(self, now: float) -> None:
        """Ask for a sign of life; one that never comes makes it a viewer without progress."""
        self.sent_at = self.progress_at = now
        self.outlet.ping()

    def send(self, packets: list[Packet], now: float) -> None:
        """Send messages; what has not left of them is unfinished from now on."""
        self.sent_at = self.progress_at = now
        self.outlet.send(packets)

    def owe_snapshot(self) -> None:
        """Everything is to be sent again: all records, then every book and topic once."""
        self.owes_snapshot = True
        self.depth = dict.fromkeys(self.depth, -1)
        self.topics = dict.fromkeys(self.topics, -1)
