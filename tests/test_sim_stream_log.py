from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tapedeck.clock import ManualClock
from tapedeck.sim.log import REMEMBERED, ConnectionLog
from tests.sim_support import INFY, Sim
from tests.support import wait_until


@pytest.fixture
def sim() -> Iterator[Sim]:
    with Sim(rate_limits=False) as sim:
        yield sim


def raw_websocket(url: str) -> socket.socket:
    """A websocket opened by hand, so that it can be torn down in any way."""
    parts = urlsplit(url)
    sock = socket.create_connection((str(parts.hostname), int(parts.port or 0)), 10)
    sock.sendall(
        f"GET /?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(4096)
    assert head.startswith(b"HTTP/1.1 101")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, "the answer of RFC 6455's own example"
    return sock


def close(sock: socket.socket, how: str) -> None:
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == "close frame":
        # Says goodbye and is back before the answer; the old TCP connection is still there.
        sock.sendall(bytes([0x88, 0x82, 0, 0, 0, 0]) + struct.pack(">H", 1000))
        return
    elif how == "half closed":
        sock.shutdown(socket.SHUT_WR)
        return
    sock.close()


@pytest.mark.parametrize("how", ["closed", "reset", "close frame", "half closed"])
def test_one_that_leaves_and_is_back_at_once_is_never_counted_twice(sim: Sim, how: str) -> None:
    url = sim.ws_url()
    old = []
    sock = raw_websocket(url)
    for _ in range(40):
        close(sock, how)
        old.append(sock)
        sock = raw_websocket(url)
    sock.close()
    for dead in old:
        dead.close()
    wait_until(lambda: sim.connections()["open"] == 0)
    log = sim.connections()
    rows = log["connections"]
    assert log["max_simultaneous"] == 1
    assert log["total"] == 41
    assert all(row["status"] == 101 and row["closed_ns"] is not None for row in rows)
    assert all(before["closed_s"] <= after["opened_s"] for before, after in itertools.pairwise(rows))


def test_two_at_once_are_counted_as_two(sim: Sim) -> None:
    with sim.stream(), sim.stream():
        assert sim.connections()["open"] == 2
    wait_until(lambda: sim.connections()["open"] == 0)
    assert sim.connections()["max_simultaneous"] == 2


def test_every_row_says_who_when_how_and_what(sim: Sim) -> None:
    with sim.stream(INFY, mode="full") as stream:
        sim.beat(8)
        assert stream.frame()
    wait_until(lambda: sim.connections()["open"] == 0)
    (row,) = sim.connections()["connections"]
    assert row["api_key"] == "simkey"
    assert row["status"] == 101
    assert row["subscribed"] == {"tokens": 1, "ltp": 0, "quote": 0, "full": 1}
    assert row["close_reason"] == "peer closed 1000"
    assert row["closed_ns"] - row["opened_ns"] == 2_000_000_000
    assert row["sent"] >= 2


def test_no_token_is_in_the_log(sim: Sim) -> None:
    token = str(sim.kite().access_token)
    with sim.stream(INFY):
        assert token not in sim.get("/sim/connections").text


def test_a_malformed_handshake_is_refused_and_logged(sim: Sim) -> None:
    answer = sim.get("/?api_key=simkey", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    assert answer.status_code == 400
    assert sim.connections()["connections"][0]["status"] == 400


def test_the_log_remembers_a_bounded_number_and_counts_all() -> None:
    log = ConnectionLog(ManualClock())
    for _ in range(REMEMBERED + 50):
        log.closed(log.opened("key"), "done")
        log.refuse("key", 403, "no")
    document = log.document()
    assert len(document["connections"]) == REMEMBERED
    assert (document["total"], document["refused"], document["open"]) == (REMEMBERED + 50, REMEMBERED + 50, 0)


def test_the_first_reason_stays() -> None:
    log = ConnectionLog(ManualClock())
    entry = log.opened("key")
    log.closed(entry, "dropped")
    log.closed(entry, "peer closed the connection")
    assert entry.close_reason == "dropped"
