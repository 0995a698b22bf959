"""What viewers ask for, and making it so: upstream subscriptions, cursors, focus, books and topics.

What a viewer says is checked and subscribed at once (`obey`), so that it can be refused; the slots of what it wants
are looked up at the next beat, a part at a time (`settle`), so that nobody's 3,000 instruments hold up the others.

State of `WishBook`: the instruments that names are looked up in, the texts about them, and every distinct
subscription and book that some listener holds.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

import numpy as np

from tapedeck.errors import FrameError, TapedeckError
from tapedeck.hub import Hub
from tapedeck.relay.board import Board
from tapedeck.relay.books import Books
from tapedeck.relay.frames import MAX_ITEMS, Message
from tapedeck.relay.listener import Listener, Needs, Subscriptions
from tapedeck.relay.names import Names
from tapedeck.relay.topics import Topics

Asked = tuple[str | int, ...]

#: Slots looked up in one go, about 1 ms when the hub has to make them.
AT_ONCE = 300


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
        self.names = Names(self.instruments)
        self.subscriptions = Subscriptions()
        #: What listeners hold before they say hello. Kept, so that they all share it.
        self.nothing = self.subscriptions.of(np.zeros(0, np.intp))
        self.books = Books(board)

    def is_of_another_day(self) -> bool:
        """Whether the hub has been given another instrument file."""
        return self.instruments is not self._hub.instruments

    def start_over(self, listeners: Iterable[Listener]) -> None:
        """Slots and names may mean other instruments now, and texts about them are out of date."""
        self.instruments = self._hub.instruments
        self.names = Names(self.instruments)
        self.subscriptions = Subscriptions()
        self.nothing = self.subscriptions.of(np.zeros(0, np.intp))
        self.books.start_over()
        for listener in listeners:
            if listener.said_hello:
                listener.need(Needs.NAMES)

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
        listener.focus_asked, listener.depth_asked = None, ()
        listener.rate, listener.paused = message.rate, False

    def _narrow(self, listener: Listener, action: str, items: Asked) -> None:
        if not listener.said_hello:
            raise FrameError(f"{action} came before hello, which would undo it; say hello first")
        if action == "topics":
            listener.topics = self._topics.want(listener.name, items)
            return
        if action == "focus":
            listener.focus_asked = items
        else:
            listener.depth_asked, listener.depth = items, {}
        listener.need(Needs.FOCUS)

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
        self._exchange(listener.name, added, removed)
        listener.asked, listener.tokens = asked, tokens
        listener.unknown = [item for item, token in resolved.items() if token is None]
        listener.said_hello = listener.owes_welcome = True
        listener.need(Needs.SLOTS)
        listener.needs = Needs.SLOTS  # names were looked up just now
        listener.owe_snapshot()

    def _exchange(self, name: str, added: frozenset[int], removed: frozenset[int]) -> None:
        """Let go first: near the limit another list fits only in the room of the one before."""
        if removed:
            self._upstream.release(name, sorted(removed))
        try:
            if added:
                self._upstream.subscribe(name, sorted(added), "full")
        except TapedeckError:
            if removed:
                self._upstream.subscribe(name, sorted(removed), "full")
            raise

    # -- looking up ----------------------------------------------------------------------------------------------

    def settle(self, listener: Listener) -> Iterator[None]:
        """Look up what the listener needs, with pauses; if it changes its mind meanwhile, it needs it again."""
        if listener.needs >= Needs.NAMES:
            self._name_again(listener)
        wish = listener.wish
        if listener.needs >= Needs.SLOTS:
            tokens = sorted(listener.tokens)
            slots = yield from self._find_slots(tokens)
            yield from self.names.prepare(tokens)
            if listener.wish != wish:
                return
            listener.subscription = self.subscriptions.of(slots[slots >= 0])
            listener.depth = {}
        self._find_focus(listener)
        self._find_books(listener)
        listener.needs = Needs.NOTHING

    def _name_again(self, listener: Listener) -> None:
        try:
            self.resubscribe(listener, listener.asked)
        except TapedeckError as refused:
            listener.errors.append(str(refused))
            self.resubscribe(listener, ())

    def _find_slots(self, tokens: list[int]) -> Generator[None, None, np.ndarray]:
        parts = [np.zeros(0, np.intp)]
        for first in range(0, len(tokens), AT_ONCE):
            parts.append(self._hub.slots(tokens[first : first + AT_ONCE]))
            yield
        return np.concatenate(parts)

    def _chosen(self, listener: Listener, asked: Asked) -> np.ndarray:
        """Slots of those of these items that the listener is subscribed to, in the order they were named."""
        tokens = [token for token in map(self._token, asked) if token in listener.tokens]
        slots = self._hub.slots(token for token in dict.fromkeys(tokens) if token is not None)
        return slots[slots >= 0]

    def _find_focus(self, listener: Listener) -> None:
        asked = listener.focus_asked
        wanted = None if asked is None else listener.subscription.focus(self._chosen(listener, asked))
        listener.change_focus(wanted)

    def _find_books(self, listener: Listener) -> None:
        books = map(self.books.of, self._chosen(listener, listener.depth_asked).tolist())
        listener.depth = {book: listener.depth.get(book, -1) for book in books}
