"""What viewers ask for, and making it so: upstream subscriptions, cursors, focus, books and topics.

State of `WishBook`: the instruments that names are looked up in, and every distinct subscription and book that
some listener holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from tapedeck.errors import FrameError
from tapedeck.hub import Hub
from tapedeck.relay.board import Board
from tapedeck.relay.books import Books
from tapedeck.relay.frames import MAX_ITEMS, Message
from tapedeck.relay.listener import Listener, Subscriptions
from tapedeck.relay.topics import Topics

Asked = tuple[str | int, ...]


class Upstream(Protocol):
    """Where instruments are subscribed on behalf of listeners."""

    def subscribe(self, listener: str, tokens: Iterable[int], mode: str = "full") -> None:
        """Add instruments to what the listener wants."""
        ...

    def release(self, listener: str, tokens: Iterable[int] | None = None) -> None:
        """Take instruments, or all of them, from what the listener wants."""
        ...


class WishBook:
    """Obeys what viewers say."""

    def __init__(self, hub: Hub, upstream: Upstream, board: Board, topics: Topics) -> None:
        self._hub, self._upstream, self._topics = hub, upstream, topics
        self.instruments = hub.instruments
        self.subscriptions = Subscriptions()
        #: What listeners hold before they say hello. Kept, so that they all share it.
        self.nothing = self.subscriptions.of(np.zeros(0, np.intp))
        self.books = Books(board)

    def is_of_another_day(self) -> bool:
        """Whether the hub has been given another instrument file."""
        return self.instruments is not self._hub.instruments

    def start_over(self) -> None:
        """Slots mean other instruments from now on, and texts about them are out of date."""
        self.instruments = self._hub.instruments
        self.subscriptions = Subscriptions()
        self.nothing = self.subscriptions.of(np.zeros(0, np.intp))
        self.books.start_over()

    def obey(self, listener: Listener, message: Message) -> None:
        """Do what the message asks.

        Raises
        ------
        TapedeckError
            If it cannot be done; the listener keeps what it had.
        """
        action = message.action
        if action == "pause":
            listener.paused = True
        elif action in ("resume", "snapshot"):
            listener.paused = listener.paused and action != "resume"
            listener.owe_snapshot()
        elif action in ("focus", "depth", "topics"):
            self._narrow(listener, action, message.items)
        elif action == "hello":
            self._hello(listener, message)
        else:
            self.resubscribe(listener, self._wanted(listener, message))

    def forget(self, listener: Listener) -> None:
        """The viewer is gone: nothing is wanted for it any more."""
        self._upstream.release(listener.name)
        listener.topics = self._topics.want(listener.name, ())

    def _hello(self, listener: Listener, message: Message) -> None:
        self.resubscribe(listener, message.items)
        listener.topics = self._topics.want(listener.name, ())
        listener.focus_asked, listener.depth_asked, listener.depth = None, (), {}
        listener.change_focus(None)
        listener.rate, listener.paused = message.rate, False

    def _narrow(self, listener: Listener, action: str, items: Asked) -> None:
        if not listener.said_hello:
            raise FrameError(f"{action} came before hello, which would undo it; say hello first")
        if action == "topics":
            listener.topics = self._topics.want(listener.name, items)
        elif action == "focus":
            listener.focus_asked = items
            self._find_focus(listener)
        else:
            listener.depth_asked = items
            self._find_books(listener)

    def _wanted(self, listener: Listener, message: Message) -> Asked:
        if message.action == "subscribe":
            return tuple(dict.fromkeys(listener.asked + message.items))
        gone = set(message.items) | {self._token(item) for item in message.items} - {None}
        return tuple(item for item in listener.asked if item not in gone and self._token(item) not in gone)

    def _token(self, item: str | int) -> int | None:
        found = self._hub.instruments.find(item)
        return None if found is None else found.instrument_token

    def resubscribe(self, listener: Listener, asked: Asked) -> None:
        """Make the upstream and the cursors those of what is wanted now; nothing changes if that is refused."""
        if len(asked) > MAX_ITEMS:
            raise FrameError(f"{len(asked)} instruments were wanted; one viewer may have {MAX_ITEMS}")
        resolved = {item: self._token(item) for item in asked}
        tokens = frozenset(token for token in resolved.values() if token is not None)
        added, removed = tokens - listener.tokens, listener.tokens - tokens
        if added:
            self._upstream.subscribe(listener.name, sorted(added), "full")
        if removed:
            self._upstream.release(listener.name, sorted(removed))
        slots = self._hub.slots(sorted(tokens))
        listener.asked, listener.tokens = asked, tokens
        listener.unknown = [item for item, token in resolved.items() if token is None]
        listener.subscription = self.subscriptions.of(slots[slots >= 0])
        listener.said_hello = listener.owes_welcome = True
        self._find_focus(listener)
        self._find_books(listener)
        listener.owe_snapshot()

    def _slots(self, listener: Listener, asked: Asked) -> np.ndarray:
        """Slots of those of these items that the listener is subscribed to, in the order they were named."""
        tokens = [token for token in map(self._token, asked) if token in listener.tokens]
        slots = self._hub.slots(token for token in dict.fromkeys(tokens) if token is not None)
        return slots[slots >= 0]

    def _find_focus(self, listener: Listener) -> None:
        asked = listener.focus_asked
        wanted = None if asked is None else listener.subscription.focus(self._slots(listener, asked))
        listener.change_focus(wanted)

    def _find_books(self, listener: Listener) -> None:
        slots = self._slots(listener, listener.depth_asked).tolist()
        listener.depth = {self.books.of(slot): -1 for slot in slots}
