"""Messages about the whole market beside `state`: made once for everybody who asked, and only while somebody did.

State of `Topics`, per topic: who listens, the newest text and its number, when it was made; `failures`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Protocol

from tapedeck.errors import FrameError
from tapedeck.relay.board import Board
from tapedeck.relay.wire import Packet

#: Sent in place of a topic that could not be made.
FAILED = "this could not be worked out; the log of the desk says why"

log = logging.getLogger("tapedeck.relay")


class Topic(Protocol):
    """Something a viewer may ask to be told; called on the relay's loop only."""

    #: Least seconds between two messages.
    period_s: float

    def listen(self, on: bool) -> None:
        """Somebody listens from now on, or nobody any more."""
        ...

    def build(self, board: Board) -> str:
        """What there is to say now, as JSON text; sent when it differs from the text before."""
        ...


class _Kept:
    """One topic and what was last said of it."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.listeners: set[str] = set()
        self.packet = Packet("")
        self.number = 0
        self.made_at = -1e9
        self.failing = False

    def forget(self) -> None:
        self.packet, self.made_at = Packet(""), -1e9


class Topics:
    """Every topic of one relay, by name."""

    def __init__(self, topics: Mapping[str, Topic]) -> None:
        self._kept = {name: _Kept(topic) for name, topic in topics.items()}
        self.built = 0
        self.failures = 0

    def listeners(self, name: str) -> int:
        """How many listen to this topic."""
        return len(self._kept[name].listeners)

    def want(self, listener: str, names: tuple[str | int, ...]) -> dict[str, int]:
        """Let the listener have these topics and no others; the number of the text it was sent of each: -1, none.

        Raises
        ------
        FrameError
            If there is no such topic; nothing changes then.
        """
        for name in names:
            if name not in self._kept:
                raise FrameError(
                    f"topic was {str(name)[:40]!r}; allowed: {', '.join(self._kept) or 'none on this desk'}"
                )
        wanted = [str(name) for name in names]
        for name in wanted:
            self._join(self._kept[name], listener)
        for name, kept in self._kept.items():
            if name not in wanted:
                self._leave(kept, listener)
        return dict.fromkeys(wanted, -1)

    def _join(self, kept: _Kept, listener: str) -> None:
        if not kept.listeners:
            # What was said when somebody last listened may be long out of date.
            kept.forget()
            kept.topic.listen(True)
        kept.listeners.add(listener)

    def _leave(self, kept: _Kept, listener: str) -> None:
        if listener in kept.listeners:
            kept.listeners.discard(listener)
            if not kept.listeners:
                kept.topic.listen(False)

    def start_over(self) -> None:
        """The numbers come from elsewhere now: nothing said before is true any more."""
        for kept in self._kept.values():
            kept.forget()

    def refresh(self, board: Board, now: float) -> Iterator[None]:
        """Make every text that somebody waits for and whose time has come; a pause after each."""
        for name, kept in self._kept.items():
            if kept.listeners and now - kept.made_at >= kept.topic.period_s:
                kept.made_at = now
                self._make(name, kept, board)
                yield

    def _make(self, name: str, kept: _Kept, board: Board) -> None:
        try:
            text = kept.topic.build(board)
        except Exception:
            self.failures += 1
            if not kept.failing:
                log.exception("topic %s could not be made; tried again every %g s", name, kept.topic.period_s)
            kept.failing = True
            # What was said before may not be true any more, and a reader could not tell.
            self._say(kept, json.dumps({"type": name, "problem": FAILED}))
            return
        kept.failing = False
        self.built += 1
        self._say(kept, text)

    @staticmethod
    def _say(kept: _Kept, text: str) -> None:
        if text != kept.packet.content:
            kept.packet = Packet(text)
            kept.number += 1

    def news(self, seen: dict[str, int]) -> list[Packet]:
        """Texts that a listener has not been sent yet, given the numbers it has seen, which are brought up to date."""
        out = []
        for name, number in seen.items():
            kept = self._kept[name]
            if kept.packet.content and kept.number != number:
                seen[name] = kept.number
                out.append(kept.packet)
        return out
