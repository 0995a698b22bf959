"""The stream over real sockets: a Tornado server on one thread, clients on others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as open_socket

from tapedeck.relay.client import connect
from tapedeck.relay.frames import CONFIRMED, HELD, parse_frame
from tests.relay_support import served, shares
from tests.support import wait_until


def keys(count: int, first: int = 1) -> list[str]:
    return [f"NSE:S{i}" for i in range(first, first + count)]


def live_price(client, key: str) -> float | None:
    return client.quote(key)["last_price"]


def test_snapshot_and_deltas_add_up_to_the_hub():
    with served(200) as server:
        rng = np.random.default_rng(7)
        server.publish(*rng.random(200))
        with connect(server.url, keys(150), rate=10) as early:
            assert early.wait(lambda mirror: len(mirror.table) == 150)
            for _ in range(60):
                first = int(rng.integers(0, 190))
                server.publish(*rng.random(10), first=first)
            with connect(server.url, keys(200), rate=10) as late:
                for _ in range(60):
                    first = int(rng.integers(0, 190))
                    server.publish(*rng.random(10), first=first)
                want = {int(row["instrument_token"]): float(row["last_price"]) for row in server.hub.last}
                for client in (early, late):

                    def settled(mirror, want=want) -> bool:
                        rows = {int(row["instrument_token"]): float(row["last_price"]) for row in mirror.table}
                        return bool(rows) and all(want[token] == price for token, price in rows.items())

                    assert client.wait(settled)
                assert len(early.table) == 150
                assert len(late.table) == 200
                assert (late.table["flags"] & (CONFIRMED | HELD) == CONFIRMED | HELD).all()
                assert late.quote("NSE:S1")["source"] == "sim:7:2026-11-20"
                assert (early.refused, late.refused) == (0, 0)


def test_feed_age_grows_and_blanks_when_the_desk_falls_silent():
    with served(3) as server, connect(server.url, keys(3), rate=10) as client:
        server.publish(1.0, 2.0, 3.0)
        assert client.wait(lambda mirror: len(mirror.table) == 3 and mirror.table["last_price"][0] == 1.0)
        assert client.feed_age() < 5
        assert client.why_blank() == ""
        server.hub.feed_status("LOGIN_REQUIRED", "login required")
        wait_until(lambda: client.why_blank() == "login required")
        assert live_price(client, "NSE:S1") is None
        assert client.quote("NSE:S1")["reason"] == "login required"


def test_a_client_comes_back_by_itself_with_a_snapshot():
    with served(3) as server, connect(server.url, keys(2), rate=10) as client:
        server.publish(1.0, 2.0, 3.0)
        wait_until(lambda: client.header is not None and live_price(client, "NSE:S1") == 1.0)
        client.subscribe("NSE:S3")
        wait_until(lambda: len(client.table) == 3)
        client.unsubscribe("NSE:S1")
        wait_until(lambda: len(client.table) == 2)
        server.on_loop(lambda: [one.outlet.abort() for one in list(server.relay._listeners.values())])
        server.publish(10.0, 20.0, 30.0)
        wait_until(lambda: client.connects == 2 and client.header is not None)
        wait_until(lambda: client.table["last_price"].tolist() == [20.0, 30.0])
        wait_until(lambda: list(server.wishes.held.values()) == [{513, 769}])


def test_a_paused_client_is_blank_until_it_resumes():
    with served(2) as server, connect(server.url, keys(2), rate=10) as client:
        server.publish(1.0, 2.0)
        wait_until(lambda: client.header is not None and live_price(client, "NSE:S1") == 1.0)
        client.pause()
        wait_until(lambda: server.on_loop(lambda: [one.paused for one in server.relay._listeners.values()]) == [True])
        frames = server.relay.stats["frames"]
        server.publish(5.0, 6.0)
        wait_until(lambda beats=server.relay.stats["beats"]: server.relay.stats["beats"] > beats + 12)
        assert server.relay.stats["frames"] == frames
        client.resume()
        wait_until(lambda: live_price(client, "NSE:S1") == 5.0)
        assert client.connects == 1


def test_who_is_not_allowed_gets_403_and_no_listener():
    def allowed(request) -> bool:
        return request.headers.get("Origin", "http://127.0.0.1") == "http://127.0.0.1"

    with served(1, allowed=allowed) as server:
        with pytest.raises(InvalidStatus) as refused:
            open_socket(server.url, origin="http://evil.example", proxy=None)
        assert refused.value.response.status_code == 403
        assert server.relay.stats["viewers_total"] == 0
        with open_socket(server.url, origin="http://127.0.0.1", proxy=None):
            wait_until(lambda: server.relay.client_count == 1)


def test_the_stream_is_not_compressed_even_when_asked():
    with served(1) as server, open_socket(server.url, compression="deflate", proxy=None) as ws:
        assert "Sec-WebSocket-Extensions" not in ws.response.headers


def test_garbage_over_the_wire_is_answered_and_harms_nobody():
    with served(2) as server, connect(server.url, keys(2), rate=10) as other:
        with open_socket(server.url, proxy=None) as ws:
            for text in ("", "{", '{"a":7}', b"\x00\xff", json.dumps({"a": "hello", "v": [None]})):
                ws.send(text)
                answer = json.loads(ws.recv(timeout=10))
                assert answer["type"] == "error"
                assert answer["message"]
        with open_socket(server.url, proxy=None) as ws:
            ws.send("x" * 300_000)
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=10)
            assert ws.close_code == 1009
        server.publish(7.0, 8.0)
        wait_until(lambda: other.header is not None and live_price(other, "NSE:S2") == 8.0)


def test_a_desk_that_closes_says_so():
    with served(1) as server, open_socket(server.url, proxy=None) as ws:
        wait_until(lambda: server.relay.client_count == 1)
        server.relay.close()
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=10)
        assert ws.close_code == 1001


def test_the_address_is_shown_without_its_token():
    client = connect("ws://127.0.0.1:9/api/stream?token=SECRET", ["NSE:S1"])
    try:
        wait_until(lambda: client.problem)
        assert "SECRET" not in repr(client) + client.problem
        assert client.why_blank() == "connecting to the desk"
    finally:
        client.close()


def test_a_first_frame_is_whole_for_many_instruments():
    with served(3000) as server, open_socket(server.url, max_size=None, proxy=None) as ws:
        server.publish(*range(3000))
        ws.send(json.dumps({"a": "hello", "v": [one.key for one in shares(3000)]}))
        frame = None
        while frame is None:
            message = ws.recv(timeout=10)
            frame = parse_frame(message) if isinstance(message, bytes) else None
        assert len(frame.records) == 3000
        assert frame.records["last_price"].tolist() == list(range(3000))
