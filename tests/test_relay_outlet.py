"""What a viewer's websocket carries: every message whole and in order, however much the kernel takes at once."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.client import connect as open_socket

from tests.relay_support import Served, served
from tests.support import wait_until

SIZES = (0, 1, 125, 126, 65_535, 65_536, 200_000)


def outlet(server: Served) -> Any:
    """The handler of the newest viewer."""
    wait_until(lambda: server.relay.client_count)
    return server.on_loop(lambda: list(server.relay._listeners.values())[-1].outlet)


def of_size(size: int) -> list[str | bytes]:
    return ["x" * size, bytes(size)]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_arrives_as_what_it_was(size: int):
    with served() as server, open_socket(server.url, compression=None, proxy=None) as ws:
        handler = outlet(server)
        server.on_loop(lambda: handler.send(of_size(size)))
        assert [ws.recv(timeout=10), ws.recv(timeout=10)] == of_size(size)


def test_what_the_kernel_does_not_take_at_once_follows_in_order():
    said = [f"{i} ₹" for i in range(20)]
    large: list[str | bytes] = [bytes([i]) * 700_000 for i in range(3)]
    wide: dict[str, Any] = {"compression": None, "proxy": None, "max_size": None, "max_queue": 1}
    with served(sndbuf=16_384) as server, open_socket(server.url, **wide) as ws:
        handler = outlet(server)
        server.on_loop(lambda: handler.send(large))
        assert server.on_loop(handler.busy)
        server.on_loop(lambda: handler.send([*said]))
        assert [ws.recv(timeout=10) for _ in range(23)] == [*large, *said]
        wait_until(lambda: not server.on_loop(handler.busy))


@pytest.mark.parametrize("end", [lambda handler: handler.abort(), lambda handler: handler.close(1001, "bye")])
def test_writing_to_a_connection_that_ended_is_no_error_and_the_viewer_is_forgotten(end: Callable[[Any], None]):
    with served() as server, open_socket(server.url, compression=None, proxy=None):
        handler = outlet(server)

        def end_and_send() -> None:
            end(handler)
            handler.send(["too late", b"too late"])

        server.on_loop(end_and_send)
        assert server.relay.client_count == 0


def test_a_viewer_whose_machine_has_vanished_is_found_by_writing_to_it():
    with served() as server:
        ws = open_socket(server.url, compression=None, proxy=None)
        handler = outlet(server)
        ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        ws.socket.close()  # a reset, not a goodbye

        def gone() -> bool:
            server.on_loop(lambda: handler.send([bytes(100_000)]))
            return server.relay.client_count == 0

        wait_until(gone)
