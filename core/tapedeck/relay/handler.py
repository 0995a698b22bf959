"""The websocket of one viewer of the stream, on the server's Tornado loop.

Frames come ready for the wire, and go straight into the socket while nothing waits before them: 15 us of CPU for
8 KB, where `write_message` takes 45 (it copies the message, and makes a task and a future of it for every viewer).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tornado.httputil import HTTPServerRequest
from tornado.iostream import SSLIOStream, StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

from tapedeck.relay.frames import MAX_TEXT
from tapedeck.relay.listener import Listener
from tapedeck.relay.wire import Packet

if TYPE_CHECKING:
    from tapedeck.relay.server import Relay

#: Bytes the system may hold that are not on their way yet. By itself it takes up to 4 MB, minutes of a watchlist:
#: a viewer that stopped reading would be noticed late, and read old numbers as new ones when it goes on.
NOT_SENT_BYTES = 16 * 1024
#: A viewer whose machine has not confirmed within so many seconds what was sent is behind: what is on a slow line
#: arrives old, and the page would count its age from the arrival.
BEHIND_S = 1.0


class StreamHandler(WebSocketHandler):
    """The websocket of one viewer. Mount it with a dict of `relay` and `allowed`."""

    def initialize(self, relay: Relay, allowed: Callable[[HTTPServerRequest], bool]) -> None:
        """Take what the routes table gives; `allowed` says whether Host, Origin and access permit a request."""
        self._relay = relay
        self._allowed = allowed
        self._listener: Listener | None = None
        #: Bytes the system took directly, without the stream; how many it had altogether at some time, and when.
        self._direct = 0
        self._mark, self._mark_at = 0, 0.0

    def prepare(self) -> None:
        """Refuse with 403 whoever is not allowed to look."""
        if not self._allowed(self.request):
            raise HTTPError(403)

    def check_origin(self, origin: str) -> bool:
        """Whether a page of that origin may open the stream: what `allowed` says, which was asked already."""
        return self._allowed(self.request)

    def get_compression_options(self) -> None:
        """None: compression costs more per viewer than everything else together (141 -> 449 us)."""
        return None

    @property
    def max_message_size(self) -> int:
        """Bytes a viewer's message may have."""
        return 2 * MAX_TEXT

    def open(self, *args: str, **kwargs: str) -> None:
        """Join the relay, or be told to come later."""
        self.set_nodelay(True)
        self._limit_waiting()
        self._listener = self._relay.join(self)
        if self._listener is None:
            self.close(1013, "too many viewers")

    def on_message(self, message: str | bytes) -> None:
        """Pass on what the viewer says."""
        if self._listener is not None:
            self._relay.hear(self._listener, message)

    def on_close(self) -> None:
        """Leave nothing behind."""
        if self._listener is not None:
            self._relay.leave(self._listener)
            self._listener = None

    def _stream(self) -> Any:
        """The connection's stream; None when it is closed or closing."""
        connection = self.ws_connection
        return None if connection is None or connection.is_closing() else getattr(connection, "stream", None)

    def _limit_waiting(self) -> None:
        stream, option = self._stream(), getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if stream is not None and option is not None and stream.socket.family in (socket.AF_INET, socket.AF_INET6):
            stream.socket.setsockopt(socket.IPPROTO_TCP, option, NOT_SENT_BYTES)

    def send(self, packets: list[Packet]) -> None:
        """Write messages, in order; on a closed connection nothing."""
        stream = self._stream()
        if stream is None:
            self.on_close()
            return
        wires = [packet.wire for packet in packets]
        sent = _send_now(stream, wires)
        self._direct += sent
        try:
            for wire in wires:
                if sent < len(wire):
                    # What waits is not copied: all viewers' buffers refer to the same bytes.
                    stream.write(memoryview(wire)[sent:])
                sent = max(0, sent - len(wire))
        except StreamClosedError:
            self.on_close()

    def busy(self, now: float) -> bool:
        """Whether something written before has not left this process, or not reached the other machine in time."""
        stream = self._stream()
        if stream is None:
            return False
        if stream.writing():
            return True
        if now - self._mark_at < BEHIND_S:
            return False
        if self._arrived(stream) < self._mark:
            return True
        self._mark, self._mark_at = self._handed_over(stream), now
        return False

    def drained(self) -> int:
        """Bytes that have reached the other machine."""
        stream = self._stream()
        return 0 if stream is None else self._arrived(stream)

    def _handed_over(self, stream: Any) -> int:
        """Bytes the system has taken so far."""
        # Tornado has no public word for its part of them; a test would notice if the name changed.
        return self._direct + stream._total_write_done_index

    def _arrived(self, stream: Any) -> int:
        return self._handed_over(stream) - _unconfirmed(stream)

    def abort(self) -> None:
        """Cut the connection: a viewer that reads nothing would not hear a polite word."""
        stream = getattr(self.ws_connection, "stream", None)
        if stream is not None:
            stream.close()


def _send_now(stream: Any, wires: list[bytes]) -> int:
    """How many bytes of the frames the system took at once, in one call."""
    if stream.writing() or isinstance(stream, SSLIOStream):
        return 0  # others are first; and TLS has its own way of writing
    try:
        return stream.socket.sendmsg(wires)
    except OSError:
        return 0  # full, or gone: the stream's own write finds out which


def _unconfirmed(stream: Any) -> int:
    """Bytes the system has that the other machine has not confirmed; 0 where the system does not say."""
    try:
        return struct.unpack("i", fcntl.ioctl(stream.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    except OSError:
        return 0
