"""What a viewer's websocket carries: every message whole and in order, however much the kernel takes at once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader
from websockets.sync.client import connect as open_socket

from tapedeck.relay.wire import Packet, seal
from tests.relay_support import Served, served
from tests.support import wait_until

SIZES = (0, 1, 125, 126, 65_535, 65_536, 200_000)


def outlet(server: Served) -> Any:
    """The handler of the newest viewer."""
    wait_until(lambda: server.relay.client_count)
    return server.on_loop(lambda: list(server.relay._listeners.values())[-1].outlet)


def is_busy(server: Served, handler: Any) -> bool:
    return handler.busy(server.clock.monotonic())


def packets(messages: Iterable[str | bytes]) -> list[Packet]:
    return [Packet(message) for message in messages]


def of_size(size: int) -> list[str | bytes]:
    return ["x" * size, bytes(size)]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_arrives_as_what_it_was(size: int):
    with served() as server, open_socket(server.url, compression=None, proxy=None) as ws:
        handler = outlet(server)
        server.on_loop(lambda: handler.send(packets(of_size(size))))
        assert [ws.recv(timeout=10), ws.recv(timeout=10)] == of_size(size)


def test_what_the_kernel_does_not_take_at_once_follows_in_order():
    said = [f"{i} ₹" for i in range(20)]
    large: list[str | bytes] = [bytes([i]) * 700_000 for i in range(3)]
    wide: dict[str, Any] = {"compression": None, "proxy": None, "max_size": None, "max_queue": 1}
    with served(sndbuf=16_384) as server, open_socket(server.url, **wide) as ws:
        handler = outlet(server)
        server.on_loop(lambda: handler.send(packets(large)))
        assert server.on_loop(lambda: is_busy(server, handler))
        server.on_loop(lambda: handler.send(packets(said)))
        assert [ws.recv(timeout=10) for _ in range(23)] == [*large, *said]
        wait_until(lambda: not server.on_loop(lambda: is_busy(server, handler)))


@pytest.mark.parametrize("end", [lambda handler: handler.abort(), lambda handler: handler.close(1001, "bye")])
def test_writing_to_a_connection_that_ended_is_no_error_and_the_viewer_is_forgotten(end: Callable[[Any], None]):
    with served() as server, open_socket(server.url, compression=None, proxy=None):
        handler = outlet(server)

        def end_and_send() -> None:
            end(handler)
            handler.send(packets(["too late", b"too late"]))

        server.on_loop(end_and_send)
        assert server.relay.client_count == 0


def test_a_viewer_whose_machine_has_vanished_is_found_by_writing_to_it():
    with served() as server:
        ws = open_socket(server.url, compression=None, proxy=None)
        handler = outlet(server)
        ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        ws.socket.close()  # a reset, not a goodbye

        def gone() -> bool:
            server.on_loop(lambda: handler.send(packets([bytes(100_000)])))
            return server.relay.client_count == 0

        wait_until(gone)


def test_pings_go_between_messages_and_are_answered():
    with served() as server, open_socket(server.url, compression=None, proxy=None, max_size=None) as ws:
        handler = outlet(server)
        pongs = [ws.ping() for _ in range(3)]
        server.on_loop(lambda: [handler.send(packets(of_size(size))) for size in SIZES])
        pongs += [ws.ping()]
        server.on_loop(handler.ping)
        assert [ws.recv(timeout=10) for _ in range(2 * len(SIZES))] == [m for size in SIZES for m in of_size(size)]
        assert all(pong.wait(10) for pong in pongs)
        assert server.relay.client_count == 1


def test_what_waits_for_many_viewers_is_held_once():
    large = Packet(bytes(3_000_000))
    wide: dict[str, Any] = {"compression": None, "proxy": None, "max_size": None}
    with served(sndbuf=4096) as server, ExitStack() as stack:
        sockets = [stack.enter_context(open_socket(server.url, **wide)) for _ in range(5)]
        wait_until(lambda: server.relay.client_count == 5)
        handlers = server.on_loop(lambda: [one.outlet for one in server.relay._listeners.values()])

        def send_and_look() -> set[int]:
            for handler in handlers:
                handler.send([large])
            buffers = [handler.ws_connection.stream._write_buffer._buffers for handler in handlers]
            return {id(view.obj) for buffer in buffers for is_view, view in buffer if is_view}

        assert server.on_loop(send_and_look) == {id(large.wire)}
        for ws in sockets:
            assert ws.recv(timeout=10) == large.content


def test_progress_is_seen_while_a_viewer_reads_slowly():
    with served(sndbuf=4096) as server:
        wide: dict[str, Any] = {"compression": None, "proxy": None, "max_size": None, "max_queue": 1}
        with open_socket(server.url, **wide) as ws:
            handler = outlet(server)
            server.on_loop(lambda: handler.send(packets([bytes(200_000)] * 40)))
            assert server.on_loop(lambda: is_busy(server, handler))
            before = server.on_loop(handler.drained)
            assert len(ws.recv(timeout=10)) == 200_000
            wait_until(lambda: ws.recv(timeout=10) and server.on_loop(handler.drained) > before)
            assert server.on_loop(handler.drained) > 0


def test_the_system_holds_little_for_a_viewer_that_does_not_read():
    """Tens of kilobytes, not the 4 MB it would take by itself: old numbers must not look new when it reads on."""
    with served() as server, open_socket(server.url, compression=None, proxy=None, max_queue=1):
        handler = outlet(server)
        taken = 0
        small = packets([bytes(8_000)])
        while not server.on_loop(lambda: is_busy(server, handler)):
            server.on_loop(lambda: handler.send(small))
            taken += 8_000
        assert taken < 1_500_000
        server.on_loop(handler.abort)


@pytest.mark.parametrize("content", ["", "₹" * 41, b"x" * 125, b"x" * 126, "x" * 65_535, b"x" * 65_536])
def test_a_frame_of_the_wire_is_read_by_another_implementation(content: str | bytes):
    stream = StreamReader()
    stream.feed_data(seal(content))
    parsing = Frame.parse(stream.read_exact, mask=False, max_size=None, extensions=[])
    with pytest.raises(StopIteration) as done:
        next(parsing)
    frame = done.value.value
    assert frame.fin
    assert frame.opcode == (Opcode.BINARY if isinstance(content, bytes) else Opcode.TEXT)
    assert frame.data == (content if isinstance(content, bytes) else content.encode())
