"""Server side of one websocket (RFC 6455, no extensions) over a stream taken from the HTTP server.

Written here because a simulator must do what no websocket library allows: fall silent while the TCP
connection stays up, leave pings unanswered, and send frames that are wrong on purpose.

State: the frames waiting to be written, their size, and why the socket closed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable

from tornado.iostream import IOStream, StreamClosedError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE = 1 << 20
#: Bytes that may wait for one slow reader; a frame that would exceed it is not taken.
MAX_BACKLOG = 4 << 20
#: Real seconds the peer has to answer our close frame.
CLOSE_TIMEOUT = 1.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ProtocolError(Exception):
    """The peer broke RFC 6455; `code` is the close code it gets."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def accept_key(key: str) -> str:
    """Value of `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1", "replace") + _GUID).digest()).decode()


def encode_frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """One unmasked, unfragmented frame as bytes."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, size)
    elif size < 65536:
        head = struct.pack(">BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
    return head + payload


def unmask(payload: bytes, mask: bytes) -> bytes:
    """`payload` xor the four-byte `mask`, repeated."""
    if not payload:
        return b""
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


class WebSocket:
    """One open websocket.

    `silent()` says that nothing at all may be written, `deaf()` that nothing may be read, `delay()` how many
    seconds every write waits: the faults, asked at every use.
    """

    def __init__(
        self,
        stream: IOStream,
        *,
        silent: Callable[[], bool] = lambda: False,
        deaf: Callable[[], bool] = lambda: False,
        delay: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.stream = stream
        self.backlog = 0
        self.reason = ""
        self._silent, self._deaf, self._delay = silent, deaf, delay
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._writer = asyncio.ensure_future(self._write())
        self._ended = asyncio.Event()
        stream.set_close_callback(self._end)

    @property
    def closed(self) -> bool:
        """Whether the socket is closed or has been told to close."""
        return self._closing or self.stream.closed()

    def send(self, payload: bytes, opcode: int = BINARY) -> bool:
        """Queue one frame; False when it was not taken: closed, silent, or the reader is too far behind."""
        return self.send_raw(encode_frame(payload, opcode))

    def send_raw(self, data: bytes) -> bool:
        """Queue bytes as they are, a broken frame for instance; False when they were not taken."""
        if self.closed or self._silent() or self.backlog + len(data) > MAX_BACKLOG:
            return False
        self._push(data)
        return True

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Say goodbye with a close frame (none when `code` is None) and close the connection soon after."""
        if self.closed:
            return
        self.reason = self.reason or reason or f"server closed {code}"
        if code is None or self._silent():
            self.abort(reason)
            return
        self._push(encode_frame(struct.pack(">H", code) + reason.encode()[:120], CLOSE))
        self._closing = True
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.abort, reason)

    def abort(self, reason: str = "") -> None:
        """Close the TCP connection at once, without a word."""
        self.reason = self.reason or reason or "aborted"
        self.stream.close()
        self._end()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, and close it when that takes longer than the peer is given."""
        try:
            await asyncio.wait_for(self._ended.wait(), CLOSE_TIMEOUT)
        except TimeoutError:
            self.abort()

    async def messages(self) -> AsyncIterator[str]:
        """Text messages of the peer until the connection ends; pings and closes are dealt with here.

        Binary messages are ignored: Kite's clients send none.
        """
        try:
            while True:
                opcode, payload = await self._read_message()
                if opcode == CLOSE:
                    await self._answer_close(payload)
                    return
                if opcode == TEXT:
                    try:
                        text = payload.decode()
                    except UnicodeDecodeError:
                        raise ProtocolError(1007, "text was not UTF-8") from None
                    yield text
        except StreamClosedError:
            self.reason = self.reason or "peer closed the connection"
        except ProtocolError as exc:
            self.close(exc.code, str(exc))
            await self.wait_closed()

    def _end(self) -> None:
        self._closing = True
        self._writer.cancel()
        self._queue.clear()
        self._ended.set()

    def _push(self, data: bytes) -> None:
        self._queue.append(data)
        self.backlog += len(data)
        self._wake.set()

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    data = self._queue.popleft()
                    waited = 0.0
                    while waited < self._delay():  # asked again and again, so that clearing the fault works at once
                        await asyncio.sleep(0.05)
                        waited += 0.05
                    if not self._silent():
                        await self.stream.write(data)
                    self.backlog -= len(data)
                self._wake.clear()
                await self._wake.wait()
        except StreamClosedError:
            self.reason = self.reason or "peer closed the connection"

    async def _answer_close(self, payload: bytes) -> None:
        code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
        self.reason = self.reason or f"peer closed {code}"
        already, self._closing = self._closing, True
        if not already and not self._silent():
            try:
                await asyncio.wait_for(self.stream.write(encode_frame(payload[:2], CLOSE)), CLOSE_TIMEOUT)
            except (TimeoutError, StreamClosedError):
                pass  # it left without waiting for the answer
        if not self._silent():
            self.abort()

    async def _hearing(self) -> None:
        while self._deaf() and not self.stream.closed():
            await asyncio.sleep(0.05)

    async def _read_message(self) -> tuple[int, bytes]:
        """The next whole message or close; fragments are joined, pings answered on the way."""
        kind, parts, size = -1, [], 0
        while True:
            final, opcode, payload = await self._read_frame()
            if opcode == CLOSE:
                return opcode, payload
            if opcode == PING:
                self.send(payload, PONG)
                continue
            if opcode == PONG:
                continue
            if (opcode == CONTINUATION) == (kind == -1):
                raise ProtocolError(1002, "fragment out of place")
            kind = opcode if kind == -1 else kind
            parts.append(payload)
            size += len(payload)
            if size > MAX_MESSAGE:
                raise ProtocolError(1009, "message too long")
            if final:
                return kind, b"".join(parts)

    async def _read_frame(self) -> tuple[bool, int, bytes]:
        await self._hearing()
        first, second = await self.stream.read_bytes(2)
        await self._hearing()
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x70 or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise ProtocolError(1002, "reserved bits or opcode")
        if not second & 0x80:
            raise ProtocolError(1002, "client frames must be masked")
        if opcode >= CLOSE and (size > 125 or not first & 0x80):
            raise ProtocolError(1002, "control frame too long or fragmented")
        if size == 126:
            size = struct.unpack(">H", await self.stream.read_bytes(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", await self.stream.read_bytes(8))[0]
        if size > MAX_MESSAGE:
            raise ProtocolError(1009, "message too long")
        mask = await self.stream.read_bytes(4)
        payload = await self.stream.read_bytes(size) if size else b""
        return bool(first & 0x80), opcode, unmask(payload, mask)
