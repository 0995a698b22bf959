"""The simulator's record of every websocket handshake and refused token: the oracle of "one connection".

State: the newest handshakes, the open ones among them, and counters that never forget.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tapedeck.clock import Clock

#: Handshakes remembered; the counters go on counting beyond it.
REMEMBERED = 1000
#: The peer will send nothing more: its FIN has come (Linux), or the connection was reset.
HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL


@dataclass(eq=False, slots=True)
class Entry:
    """One handshake. `status` is the HTTP answer (0 while it was left unanswered), 101 = opened.

    `opened_ns`/`closed_ns` are market time, `opened_s`/`closed_s` real seconds since the server started.
    """

    id: int
    api_key: str
    status: int
    opened_ns: int
    opened_s: float
    closed_ns: int | None = None
    closed_s: float | None = None
    close_reason: str = ""
    subscribed: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    sent: int = 0

    def document(self) -> dict[str, Any]:
        """The entry as JSON-safe dict."""
        return {name: getattr(self, name) for name in self.__slots__}


def hung_up(sock: socket.socket) -> bool:
    """Whether the kernel knows that the peer of this socket is gone."""
    poll = select.poll()
    poll.register(sock.fileno(), HUNG_UP)
    return any(events & HUNG_UP for _, events in poll.poll(0))


class ConnectionLog:
    """Who connected, when, how it ended. Times come from `clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self._entries: deque[Entry] = deque(maxlen=REMEMBERED)
        self._open: dict[int, tuple[Entry, socket.socket | None]] = {}
        self.total = self.refused = self.max_simultaneous = self._last_id = 0
        self._token_refusals = {"handshake": 0, "request": 0, "login": 0}

    def open_of(self, api_key: str) -> int:
        """Connections open now under that API key."""
        return sum(entry.api_key == api_key for entry, _ in self._open.values())

    def opened(self, api_key: str, sock: socket.socket | None = None) -> Entry:
        """Entry of a connection that was accepted. Sweep first, or a dead one is counted beside it."""
        entry = self._add(api_key, 101)
        self._open[entry.id] = (entry, sock)
        self.total += 1
        self.max_simultaneous = max(self.max_simultaneous, len(self._open))
        return entry

    def refuse(self, api_key: str, status: int, reason: str) -> Entry:
        """Entry of a handshake answered with `status`, or with nothing (0)."""
        entry = self._add(api_key, status)
        self._end(entry, reason)
        self.refused += 1
        return entry

    def refuse_token(self, what: str) -> None:
        """Count a token that was refused: at a `handshake`, in a `request`, or a request token at the `login`."""
        self._token_refusals[what] += 1

    def closed(self, entry: Entry, reason: str) -> None:
        """Note the end of a connection; the first reason stays."""
        if self._open.pop(entry.id, None) is not None:
            self._end(entry, reason)

    def sweep(self) -> list[Entry]:
        """Close the entries whose peer is known to the kernel to be gone, and return them.

        Called before a new connection is counted, because the loop may look at the new socket before it has
        looked at the old one's end.
        """
        poll = select.poll()
        watched = {}
        gone = []
        for entry, sock in self._open.values():
            if sock is None:
                continue
            if sock.fileno() < 0:
                gone.append(entry)
            else:
                watched[sock.fileno()] = entry
                poll.register(sock.fileno(), HUNG_UP)
        gone += [watched[fd] for fd, events in poll.poll(0) if events & HUNG_UP] if watched else []
        for entry in gone:
            self.closed(entry, "peer closed the connection")
        return gone

    def document(self) -> dict[str, Any]:
        """Everything remembered, oldest first, with the counters."""
        return {
            "connections": [entry.document() for entry in self._entries],
            "open": len(self._open),
            "max_simultaneous": self.max_simultaneous,
            "total": self.total,
            "refused": self.refused,
            "token_refusals": dict(self._token_refusals),
        }

    def _add(self, api_key: str, status: int) -> Entry:
        self._last_id += 1
        entry = Entry(self._last_id, api_key[:64], status, self._clock.now(), self._since_start())
        self._entries.append(entry)
        return entry

    def _end(self, entry: Entry, reason: str) -> None:
        entry.closed_ns, entry.closed_s, entry.close_reason = self._clock.now(), self._since_start(), reason

    def _since_start(self) -> float:
        return round(self._clock.monotonic() - self._start, 6)
