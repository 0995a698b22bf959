"""Viewers of the stream that cost next to nothing: thousands of websockets read by one epoll loop in a process.

A viewer is a real connection: handshake, hello, and every byte is read. Of a frame with changes it notes when it was
read and the first record's `last_price`, into which the server writes the real time of the change: the difference is
how long it was on its way. Both processes read the same clock of the machine.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from array import array
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import LiteralString, NamedTuple

import numpy as np

from benchmarks.processes import PATIENCE_S, Child, allow_many_files
from tapedeck.clock import SystemClock
from tapedeck.relay.frames import DELTA, HEADER, RECORD, SNAPSHOT

PATH = "/api/stream"
TEXT, BINARY, CLOSE = 1, 2, 8
#: Connections made before those already there are read again.
AT_ONCE = 20
_KIND = struct.Struct("<H")
_COUNT = struct.Struct("<I")
_NUMBER = struct.Struct("<d")


def _offset(dtype: np.dtype, name: LiteralString) -> int:
    """Where a field of a record begins, in bytes."""
    assert dtype.fields is not None
    return dtype.fields[name][1]


_KIND_AT, _COUNT_AT = _offset(HEADER, "kind"), _offset(HEADER, "record_count")
_PRICE_AT = HEADER.itemsize + _offset(RECORD, "last_price")


class Messages:
    """Cuts the bytes of a websocket server into messages. State: the bytes of the unfinished one."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 15)
        self._filled = 0

    def room(self) -> memoryview:
        """Where the next bytes go."""
        if len(self._buffer) - self._filled < 1 << 14:
            self._buffer = self._buffer + bytearray(len(self._buffer))
        return memoryview(self._buffer)[self._filled :]

    def received(self, count: int) -> Iterator[tuple[int, memoryview]]:
        """Kind (opcode) and content of every message that is whole now, after `count` bytes were put into the room.

        A content is valid until the next one is asked for. Fragmented messages are not expected.
        """
        self._filled += count
        view, at = memoryview(self._buffer), 0
        while (end := self._end(at)) and end[1] <= self._filled:
            yield self._buffer[at] & 15, view[end[0] : end[1]]
            at = end[1]
        left = self._filled - at
        if at and left:
            self._buffer[:left] = self._buffer[at : self._filled]
        self._filled = left

    def _end(self, at: int) -> tuple[int, int] | None:
        """Where the content of the message at `at` begins and ends; None while its head is not whole."""
        if self._filled - at < 10:
            short = self._filled - at >= 2 and self._buffer[at + 1] < 126
            return (at + 2, at + 2 + self._buffer[at + 1]) if short else None
        size = self._buffer[at + 1]
        if size < 126:
            return at + 2, at + 2 + size
        if size == 126:
            return at + 4, at + 4 + int.from_bytes(self._buffer[at + 2 : at + 4])
        return at + 10, at + 10 + int.from_bytes(self._buffer[at + 2 : at + 10])


class Seen(NamedTuple):
    """What viewers saw, an entry per frame with changes: when it was read and how old it was then, in seconds."""

    at: np.ndarray
    age: np.ndarray

    def between(self, since: float, until: float) -> Seen:
        """What was read between two moments."""
        chosen = (self.at >= since) & (self.at < until)
        return Seen(self.at[chosen], self.age[chosen])

    def late_ms(self) -> tuple[float, float]:
        """Milliseconds from the change in the server to the reading: median and 95th percentile."""
        return percentiles(self.age)


def percentiles(seconds: np.ndarray) -> tuple[float, float]:
    """Median and 95th percentile, in milliseconds."""
    p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
    return float(p50), float(p95)


def frame_of(kind: int, payload: bytes) -> bytes:
    """A client's message: masked, as a client's must be, with a mask of zeros."""
    size = len(payload)
    head = bytes([0x80 | kind, 0x80 | size]) if size < 126 else bytes([0x80 | kind, 0xFE]) + size.to_bytes(2)
    return head + bytes(4) + payload


def connect(port: int, wish: Sequence[int], rate: int, *, receive_buffer: int = 0) -> tuple[socket.socket, bytes]:
    """A connection that has said hello, and what came together with the handshake's answer."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE_S)
    sock.connect(("127.0.0.1", port))
    sock.sendall(
        f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = sock.recv(4096)
        if not more:
            raise RuntimeError(f"the server closed the connection during the handshake: {answer[:200]!r}")
        answer += more
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(f"the server did not accept a viewer: {head[:200]!r}")
    hello = {"a": "hello", "v": list(wish), "rate": rate}
    sock.sendall(frame_of(TEXT, json.dumps(hello, separators=(",", ":")).encode()))
    return sock, rest


class Crowd:
    """Viewers in this process; close it. State: sockets and unfinished bytes, what was seen when, snapshots."""

    def __init__(self, port: int, rate: int) -> None:
        self._port, self._rate = port, rate
        self._clock = SystemClock()
        self._poll = select.epoll()
        self._viewers: dict[int, tuple[socket.socket, Messages]] = {}
        self._stalled: list[socket.socket] = []
        self._notes = array("d")
        self.snapshots = 0

    def join(self, wishes: list[list[int]]) -> int:
        """One more viewer for every wish; how many there are once all have their snapshot."""
        wanted = self.snapshots + len(wishes)
        for i, wish in enumerate(wishes):
            sock, rest = connect(self._port, wish, self._rate)
            sock.setblocking(False)
            messages = Messages()
            messages.room()[: len(rest)] = rest
            self._viewers[sock.fileno()] = (sock, messages)
            self._poll.register(sock.fileno(), select.EPOLLIN)
            self._look(messages, len(rest))
            if i % AT_ONCE == 0:
                self.read(0)
        until = time.monotonic() + PATIENCE_S
        while self.snapshots < wanted:
            if time.monotonic() > until:
                raise RuntimeError(f"{self.snapshots} of {wanted} viewers had a snapshot after {PATIENCE_S:g} s")
            self.read(0.05)
        return len(self._viewers)

    def stall(self, wish: list[int], rate: int) -> None:
        """One more viewer that says hello and never reads."""
        self._stalled.append(connect(self._port, wish, rate, receive_buffer=4096)[0])

    def end_stall(self) -> None:
        """The viewers that never read go away."""
        while self._stalled:
            self._stalled.pop().close()

    def read(self, timeout: float, *, also: int = -1) -> bool:
        """Read what has come, waiting at most `timeout` seconds for it; whether `also` (a file) is readable."""
        called = False
        for number, _ in self._poll.poll(timeout):
            if number == also:
                called = True
                continue
            sock, messages = self._viewers[number]
            try:
                count = sock.recv_into(messages.room())
            except BlockingIOError:
                continue
            except OSError:
                count = 0
            if not count:
                self._drop(number)
            else:
                self._look(messages, count)
        return called

    def watch(self, number: int) -> None:
        """Also wait for this file in `read`."""
        self._poll.register(number, select.EPOLLIN)

    def _look(self, messages: Messages, count: int) -> None:
        for opcode, content in messages.received(count):
            if opcode != BINARY:
                continue
            (kind,) = _KIND.unpack_from(content, _KIND_AT)
            if kind == DELTA and _COUNT.unpack_from(content, _COUNT_AT)[0]:
                self._notes.append(self._clock.monotonic())
                self._notes.append(_NUMBER.unpack_from(content, _PRICE_AT)[0])
            elif kind == SNAPSHOT:
                self.snapshots += 1

    def _drop(self, number: int) -> None:
        self._poll.unregister(number)
        self._viewers.pop(number)[0].close()

    def seen(self) -> tuple[int, Seen]:
        """How many still listen, and what was seen since this was asked last."""
        at, stamp = np.array(self._notes).reshape(-1, 2).T
        self._notes = array("d")
        return len(self._viewers), Seen(at, at - stamp)

    def close(self) -> None:
        """Everybody leaves."""
        self.end_stall()
        for number in list(self._viewers):
            self._drop(number)
        self._poll.close()


def viewers_process(line: Connection, port: int, rate: int) -> None:
    """The process: answers `join`, `stall`, `end_stall` and `seen` until its line ends."""
    allow_many_files()
    crowd = Crowd(port, rate)
    crowd.watch(line.fileno())
    line.send("ready")
    while True:
        if not crowd.read(1.0, also=line.fileno()):
            continue
        try:
            word, *arguments = line.recv()
        except EOFError:
            return
        line.send(getattr(crowd, word)(*arguments))


class Viewers:
    """Viewers of a stream in some processes; use it in `with`."""

    def __init__(self, port: int, *, rate: int, processes: int = 2) -> None:
        self._children: list[Child] = []
        try:
            for _ in range(processes):
                self._children.append(Child(viewers_process, port, rate))
        except BaseException:
            self.close()
            raise
        self.count = 0

    def join(self, wishes: list[list[int]]) -> None:
        """One more viewer for every wish, shared among the processes; back when each has its snapshot.

        Raises
        ------
        RuntimeError
            If some did not get one, or earlier ones were lost.
        """
        many = len(self._children)
        for i, child in enumerate(self._children):
            child.say("join", wishes[i::many])
        self.count += len(wishes)
        joined = sum(child.answer() for child in self._children)
        if joined != self.count:
            raise RuntimeError(f"{joined} viewers are connected instead of {self.count}")

    def seen(self) -> Seen:
        """What all of them saw since this was asked last.

        Raises
        ------
        RuntimeError
            If some were cut off.
        """
        for child in self._children:
            child.say("seen")
        counts, parts = zip(*(child.answer() for child in self._children), strict=True)
        if sum(counts) != self.count:
            raise RuntimeError(f"{sum(counts)} viewers still listened instead of {self.count}")
        return Seen(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def ask(self, word: str, *arguments: object) -> object:
        """What the first process answers: `stall` with a wish and a rate, or `end_stall`."""
        return self._children[0].ask(word, *arguments)

    def close(self) -> None:
        """Everybody leaves."""
        for child in self._children:
            child.close()

    def __enter__(self) -> Viewers:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()
