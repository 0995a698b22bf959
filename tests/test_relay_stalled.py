"""A viewer whose TCP window is closed: bounded memory, nobody else notices, it is told, and in the end cut off."""

from __future__ import annotations

import json
import resource
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapedeck.relay.client import StreamClient, connect
from tapedeck.relay.frames import RECORD, SNAPSHOT, parse_frame
from tests.relay_support import Served, served
from tests.support import wait_until

COUNT = 3000
#: What one beat may leave waiting: welcome, state and snapshot of everything.
ONE_BEAT = COUNT * (RECORD.itemsize + 260) + 8192
MB = 1 << 20


class Stalled:
    """A websocket that says hello and then reads nothing; its receive buffer is as small as can be."""

    def __init__(self, server: Served, count: int = COUNT) -> None:
        self.count = count
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", server.port))
        key = b64encode(b"0123456789abcdef").decode()
        self.socket.sendall(
            f"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in self.socket.recv(200)
        self.say({"a": "hello", "v": [256 * i + 1 for i in range(1, count + 1)], "rate": 10})
        wait_until(lambda: self.listener(server) is not None)

    def __enter__(self) -> Stalled:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.socket.close()

    def say(self, message: dict[str, Any]) -> None:
        payload = json.dumps(message).encode()
        # Masked with zeros: allowed, and the bytes stay readable.
        self.socket.sendall(b"\x81" + bytes([0x80 | 126]) + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload)

    def listener(self, server: Served) -> Any:
        """What the relay keeps of it."""
        everybody = server.on_loop(lambda: list(server.relay._listeners.values()))
        return next((one for one in everybody if len(one.tokens) == self.count), None)

    def messages(self) -> Iterator[str | bytes]:
        """Read on, from where it stopped."""
        stream = self.socket.makefile("rb")
        while head := stream.read(2):
            size = head[1]
            if size >= 126:
                size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
            content = stream.read(size)
            yield content if head[0] & 0xF == 2 else content.decode()


@contextmanager
def quick_one() -> Iterator[tuple[Served, StreamClient]]:
    """A server of many instruments and a viewer of two of them, who reads at once."""
    # The hub's ring is small, so that it has all its memory before anything is measured.
    with served(COUNT, ring_size=COUNT) as server:
        server.publish(*range(COUNT))
        with connect(server.url, ["NSE:S1", "NSE:S2"], rate=10) as quick:
            wait_until(lambda: len(quick.table) == 2)
            # However slow this machine is: five seconds are five when the test says so.
            server.clock.hold()
            yield server, quick


def step(server: Served, quick: StreamClient, price: float) -> None:
    """Everything changes; come back when the quick viewer has seen it."""
    server.publish(*(np.arange(COUNT) + price))
    server.hub.alive()
    wait_until(lambda: quick.table["last_price"][0] == price)


def waiting(server: Served, stalled: Stalled) -> int:
    """Bytes this process holds for the stalled viewer."""
    listener = stalled.listener(server)
    return len(listener.outlet.ws_connection.stream._write_buffer)


def resident() -> int:
    """Bytes of memory this process uses now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


# Only Linux tells a process its own memory there; CI runs on Linux, where a skip would be a failure.
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own account of memory")
def test_a_stalled_viewer_costs_bounded_memory_and_delays_nobody():
    with quick_one() as (server, quick), ExitStack() as stack:
        for i in range(10):
            step(server, quick, 1000.0 + i)
        before, frames, held = resident(), quick.ask(lambda mirror: mirror.frames), []
        stalled = stack.enter_context(Stalled(server))
        wait_until(lambda: waiting(server, stalled))
        for i in range(60):
            step(server, quick, 2000.0 + i)
            held.append(waiting(server, stalled))
        assert 100_000 < max(held) < ONE_BEAT
        assert len(set(held)) == 1, "nothing queues"
        assert resident() - before < 8 * MB
        # The other one was sent every single change, and never made to wait.
        assert quick.ask(lambda mirror: mirror.frames) - frames >= 60
        assert quick.header is not None
        assert quick.header.conflated == 0
        assert (quick.connects, quick.refused) == (1, 0)
        assert server.relay.stats["conflated"] >= 60
        assert stalled.listener(server).conflated >= 60
        assert server.relay.stats["dropped_slow"] == 0


def test_a_viewer_that_reads_on_in_time_is_told_and_gets_only_the_newest():
    with quick_one() as (server, quick), Stalled(server) as stalled:
        for i in range(20):
            step(server, quick, 1000.0 + i)
        server.clock.push(4.0)
        step(server, quick, 3000.0)
        notice, frames = None, []
        for message in stalled.messages():
            if isinstance(message, bytes):
                frames.append(parse_frame(message))
            elif notice is None and json.loads(message)["type"] == "notice":
                notice = json.loads(message)
            if notice is not None and frames[-1].records["last_price"].max(initial=0.0) == 3000.0 + COUNT - 1:
                break
        assert notice is not None
        assert notice["conflated"] >= 20
        assert frames[0].kind == SNAPSHOT
        assert len([frame for frame in frames if len(frame.records)]) <= 4, "what came between was merged"
        assert server.relay.stats["dropped_slow"] == 0


def test_a_viewer_without_progress_for_five_seconds_is_cut_off_and_leaves_nothing():
    with quick_one() as (server, quick), Stalled(server) as stalled:
        for i in range(5):
            step(server, quick, 1000.0 + i)
        wait_until(lambda: server.relay.stats["conflated"] > 0)
        server.clock.push(4.5)
        step(server, quick, 2000.0)
        assert server.relay.stats["dropped_slow"] == 0
        server.clock.push(1.0)
        wait_until(lambda: server.relay.stats["dropped_slow"] == 1)
        step(server, quick, 3000.0)
        assert server.relay.client_count == 1
        assert list(map(len, server.wishes.held.values())) == [2]
        while stalled.socket.recv(1 << 16):
            pass  # what the system still had; then the end


def test_what_a_slow_line_has_not_delivered_in_time_counts_as_behind():
    """Little is on its way, so the process holds nothing; but it would arrive old and look new."""
    with quick_one() as (server, quick), Stalled(server, count=3) as stalled:
        listener = stalled.listener(server)
        for i in range(12):
            step(server, quick, 1000.0 + i)
        assert waiting(server, stalled) == 0
        assert listener.conflated == 0
        server.clock.push(1.1)
        step(server, quick, 2000.0)
        server.clock.push(1.1)
        for i in range(5):
            step(server, quick, 3000.0 + i)
        assert waiting(server, stalled) == 0
        assert listener.conflated > 0
        newest = None
        for message in stalled.messages():
            newest = parse_frame(message) if isinstance(message, bytes) else newest
            if newest is not None and len(newest.records) and newest.records["last_price"][0] == 3004.0:
                break
        assert newest is not None
        assert newest.conflated > 0
        assert server.relay.stats["dropped_slow"] == 0


def test_a_machine_that_has_vanished_is_noticed_though_nothing_waits_here():
    with quick_one() as (server, quick), Stalled(server, count=3) as stalled:
        for i in range(12):
            step(server, quick, 1000.0 + i)
        for i in range(3):
            server.clock.push(1.1)
            step(server, quick, 2000.0 + i)
        assert waiting(server, stalled) == 0
        assert server.relay.stats["dropped_slow"] == 0
        server.clock.push(5.1)
        wait_until(lambda: server.relay.stats["dropped_slow"] == 1)
        assert server.relay.client_count == 1
