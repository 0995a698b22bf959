"""The feed's socket against a small real websocket server that misbehaves on demand."""

from __future__ import annotations

import json
import socket as net
import subprocess
import sys
import threading
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from tapedeck.clock import SystemClock
from tapedeck.errors import ConfigError, FeedError, LoginRequired, SubscriptionLimit
from tapedeck.kite.login import Credentials
from tapedeck.kite.socket import FeedSocket
from tests.socket_exchange import FAST, TOKEN, Desk, Exchange
from tests.support import wait_until


@pytest.fixture
def exchange():
    server = Exchange()
    yield server
    server.stop()


@pytest.fixture
def make(exchange):
    desks = []

    def make_desk(**options) -> Desk:
        desk = Desk(exchange, **options)
        desks.append(desk)
        return desk

    yield make_desk
    for desk in desks:
        desk.socket.close()


@pytest.fixture
def desk(make) -> Desk:
    desk = make()
    desk.socket.start()
    desk.wait_for("LIVE")
    return desk


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_the_handshake_is_what_kite_expects(exchange, desk):
    request = exchange.requests[0]
    assert parse_qs(urlsplit(request.path).query) == {"api_key": ["kitekey"], "access_token": [TOKEN]}
    assert " " not in request.path
    assert request.headers["X-Kite-Version"] == "3"
    assert "Sec-WebSocket-Extensions" not in request.headers
    assert desk.headers[0].get("x-tapedeck-sim") == desk.headers[0].get("X-Tapedeck-Sim") == "{}"


def test_frames_arrive_stamped_and_heartbeats_only_prove_life(exchange, make):
    exchange.on_open = [b"\x00\x01\x00\x00", b"\x01"]
    desk = make()
    before = SystemClock().now()
    desk.socket.start()
    wait_until(lambda: desk.payloads and desk.alive > 2)
    assert desk.payloads == [b"\x00\x01\x00\x00"]
    assert before <= desk.stamps[0] <= SystemClock().now()
    assert desk.order[:2] == ["connect", "frame"]
    assert desk.socket.counters["heartbeats"] >= 1


def test_subscriptions_reach_the_server_from_any_thread_and_are_repeated_after_a_drop(exchange, desk):
    threads = [
        threading.Thread(target=desk.socket.subscribe, args=(f"viewer {i}", range(1, 40), "quote")) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.socket.subscribe("page", np.array([7, 8], np.uint32))
    wait_until(lambda: desk.socket.status.subscribed == 39)
    for i in range(8):
        desk.socket.release(f"viewer {i}")
    wait_until(lambda: desk.socket.status.subscribed == 2)
    wait_until(lambda: any(text["a"] == "unsubscribe" for text in exchange.texts[0]))
    assert desk.subscribed == {7, 8}
    exchange.drop()
    wait_until(lambda: len(exchange.texts) == 2 and len(exchange.texts[1]) == 2)
    assert exchange.texts[1] == [{"a": "subscribe", "v": [7, 8]}, {"a": "mode", "v": ["full", [7, 8]]}]
    assert exchange.most_open == 1


def test_the_limit_is_refused_in_the_caller(make):
    desk = make(limit=5)
    desk.socket.subscribe("a", [1, 2, 3])
    with pytest.raises(SubscriptionLimit, match="allows 5"):
        desk.socket.subscribe("b", [4, 5, 6])
    assert desk.socket.listeners == {"a": 3}


def test_a_mute_server_is_stale_and_replaced_by_a_new_connection(exchange, desk):
    exchange.mute = True
    desk.wait_for("STALE")
    assert "no heartbeat" in desk.statuses[desk.read].reason
    exchange.mute = False
    desk.wait_for("LIVE")
    assert exchange.most_open == 1
    assert desk.socket.status.connections == 2


def test_a_server_that_never_reads_nor_closes_is_left_without_a_goodbye(exchange, desk):
    blocked = threading.Event()
    exchange.loop.call_soon_threadsafe(blocked.wait, 10)  # the server's loop stands still: nothing is answered
    desk.wait_for("STALE")
    wait_until(lambda: desk.socket.counters["closes"] == 1, timeout=2)
    wait_until(lambda: desk.socket.counters["attempts"] >= 3, timeout=5)
    assert desk.socket.counters["connects"] == 1
    blocked.set()
    desk.wait_for("LIVE")


def test_a_hanging_handshake_is_given_up_and_tried_again(exchange, make):
    exchange.hang = True
    desk = make()
    desk.socket.start()
    wait_until(lambda: len(exchange.requests) >= 2)
    assert any("handshake" in status.reason for status in desk.statuses)
    exchange.hang = False
    desk.wait_for("LIVE")


def test_403_is_one_attempt_and_a_new_token_brings_the_feed_back(exchange, make):
    exchange.answer = 403
    desk = make()
    desk.socket.start()
    desk.wait_for("LOGIN_REQUIRED")
    asked = desk.asked
    wait_until(lambda: desk.asked > asked + 3)  # the provider goes on being asked, the server does not
    assert len(exchange.requests) == 1
    exchange.answer = 101
    desk.token = "another"
    desk.socket.token_changed()
    desk.wait_for("LIVE")
    assert len(exchange.requests) == 2


def test_a_login_that_returned_the_refused_token_is_worth_exactly_one_more_attempt(exchange, make):
    exchange.answer = 403
    desk = make()
    desk.socket.start()
    desk.wait_for("LOGIN_REQUIRED")
    desk.socket.token_changed()
    wait_until(lambda: len(exchange.requests) == 2)
    desk.wait_for("LOGIN_REQUIRED")
    asked = desk.asked
    wait_until(lambda: desk.asked > asked + 3)
    assert len(exchange.requests) == 2


def test_a_new_token_is_found_even_if_nobody_says_so(exchange, make):
    desk = make()
    desk.token = None
    desk.socket.start()
    desk.wait_for("LOGIN_REQUIRED")
    assert exchange.requests == []
    desk.token = TOKEN
    desk.wait_for("LIVE")


def test_a_new_token_replaces_the_living_connection_and_the_same_one_does_not(exchange, desk):
    desk.socket.token_changed()
    desk.token = "another"
    desk.socket.token_changed()
    wait_until(lambda: desk.socket.status.connections == 2 and desk.socket.status.state == "LIVE")
    assert "another" in exchange.requests[1].path
    assert len(exchange.requests) == 2
    assert exchange.most_open == 1


@pytest.mark.parametrize("status", [302, 400, 429, 500, 503])
def test_any_other_answer_is_retried(exchange, make, status):
    exchange.answer = status
    exchange.headers = {"Location": f"{exchange.root}/elsewhere"} if status == 302 else {}
    desk = make()
    desk.socket.start()
    wait_until(lambda: len(exchange.requests) >= 3)
    assert all(request.path.startswith("/?") for request in exchange.requests)
    exchange.answer, exchange.headers = 101, {}
    desk.wait_for("LIVE")
    assert any(f"answered {status}" in status_.reason for status_ in desk.statuses)


def test_nobody_listening_is_retried(make):
    with net.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        desk = make(root=f"ws://127.0.0.1:{unused.getsockname()[1]}")
        desk.socket.start()
        wait_until(lambda: desk.socket.counters["attempts"] >= 3)
    assert "connection refused" in desk.socket.status.reason


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00" * 64, b""])
def test_a_server_of_another_kind_is_retried(make, garbage):
    with net.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        desk = make(root=f"ws://127.0.0.1:{server.getsockname()[1]}")
        desk.socket.start()
        for _ in range(2):
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(garbage)
    assert desk.socket.counters["connects"] == 0


@pytest.mark.parametrize("code", [None, 1000, 1001, 1011])
def test_a_lost_connection_is_opened_again(exchange, desk, code):
    exchange.drop(code=code)
    wait_until(lambda: desk.socket.status.connections == 2 and desk.socket.status.state == "LIVE")
    assert "BACKOFF" in desk.states
    assert exchange.most_open == 1


def test_garbage_frames_and_texts_are_tolerated(exchange, desk):
    order = {"type": "order", "data": {"order_id": "1"}}
    for message in (
        b"", b"\xff" * 3, b"\x00\x05", "{", "[]", "7", '{"no":"type"}', '{"type":"news","data":"x"}',
        json.dumps(order), '{"type":"error","data":"Can\'t subscribe to more than 3000 instruments."}',
    ):  # fmt: skip
        exchange.send(message)
    wait_until(lambda: desk.socket.counters["text"] == 7)
    assert desk.payloads == [b"\xff" * 3, b"\x00\x05"]
    assert desk.socket.counters["malformed"] == 5
    assert desk.socket.last_message == ("error", "Can't subscribe to more than 3000 instruments.")
    assert desk.socket.status.connections == 1


def test_a_whole_market_fits_one_frame_and_more_than_that_is_a_new_connection(exchange, desk):
    exchange.send(bytes(558_002))
    wait_until(lambda: desk.payloads)
    exchange.send(bytes(5 << 20))
    wait_until(lambda: desk.socket.status.connections == 2 and desk.socket.status.state == "LIVE")
    assert [len(payload) for payload in desk.payloads] == [558_002]


def test_a_sink_that_fails_never_ends_the_feed(exchange, desk):
    desk.fail_sink = True
    for _ in range(20):
        exchange.send(b"\x00\x00")
    wait_until(lambda: desk.socket.counters["sink_errors"] == 20)
    desk.fail_sink = False
    exchange.send(b"\x00\x00")
    wait_until(lambda: len(desk.payloads) == 21)
    assert desk.socket.status.connections == 1


def test_callbacks_that_fail_never_end_the_feed(exchange):
    def fail(*_):
        raise RuntimeError("the desk broke")

    socket = FeedSocket(
        root=exchange.root, credentials=lambda: Credentials("k", "t"), sink=fail, clock=SystemClock(), in_session=fail,
        on_alive=fail, on_status=fail, on_connect=fail, on_subscribed=fail, on_unsubscribed=fail, timings=FAST,
    )  # fmt: skip
    socket.subscribe("a", [1])
    socket.start()
    wait_until(lambda: socket.status.state == "LIVE" and socket.counters["callback_errors"] > 5)
    socket.close()


def test_a_token_file_that_cannot_be_read_is_a_login_required(exchange):
    def fail():
        raise LoginRequired("the token file is broken")

    socket = FeedSocket(
        root=exchange.root, credentials=fail, sink=print, clock=SystemClock(), in_session=lambda: True, timings=FAST
    )
    socket.start()
    wait_until(lambda: socket.status.state == "LOGIN_REQUIRED")
    socket.close()
    assert exchange.requests == []


def test_instruments_without_a_first_packet_are_named_until_they_speak(exchange, desk):
    desk.socket.subscribe("a", [11, 12, 13])
    exchange.send(b"\x00\x02")
    wait_until(lambda: desk.socket.status.silent == (11, 12, 13))
    seen = threading.Event()
    sink = desk.socket._sink

    def parsing_sink(payload, received_at):
        sink(payload, received_at)
        desk.socket.seen(np.array([12, 13, 99], np.uint32))
        seen.set()

    desk.socket._sink = parsing_sink
    exchange.send(b"\x00\x02")
    assert seen.wait(5)
    wait_until(lambda: desk.socket.status.silent == (11,))


def test_standing_by_holds_no_connection(exchange, desk):
    desk.socket.stand_by("owned by another process")
    desk.wait_for("STANDBY")
    wait_until(lambda: exchange.now_open == 0)
    desk.socket.resume()
    desk.wait_for("LIVE")
    assert exchange.most_open == 1


def test_the_session_is_asked_again_and_again(exchange, make):
    slow = replace(FAST, wait_outside=600.0, first_wait=600.0)
    exchange.answer = 503
    desk = make(timings=slow)
    desk.in_session = False
    desk.socket.start()
    wait_until(lambda: desk.socket.status.state == "BACKOFF")
    exchange.answer = 101
    desk.in_session = True
    desk.wait_for("LIVE")


def test_closing_joins_the_thread_and_leaves_nothing_behind(exchange, desk):
    assert "tapedeck-feed" in names()
    desk.socket.close()
    desk.socket.close()
    assert "tapedeck-feed" not in names()
    assert desk.socket.status.state == "IDLE"
    wait_until(lambda: exchange.now_open == 0)
    desk.socket.subscribe("late", [1])
    desk.socket.token_changed()
    with pytest.raises(FeedError, match="closed"):
        desk.socket.start()


@pytest.mark.parametrize("trouble", ["hang", "mute", "503"])
def test_closing_is_quick_whatever_the_server_does(exchange, make, trouble):
    desk = make()
    exchange.hang, exchange.mute = trouble == "hang", trouble == "mute"
    exchange.answer = 503 if trouble == "503" else 101
    desk.socket.start()
    wait_until(lambda: exchange.requests)
    desk.socket.close()
    assert "tapedeck-feed" not in names()


def test_closing_before_the_first_byte_leaves_nothing_behind(exchange, make):
    for _ in range(20):
        desk = make()
        desk.socket.start()
        desk.socket.close()
    assert "tapedeck-feed" not in names()
    wait_until(lambda: exchange.now_open == 0)
    assert exchange.most_open <= 1


def test_closing_from_a_callback_ends_the_thread(exchange, make):
    desk = make()
    desk.socket._on_alive = desk.socket.close
    desk.socket.start()
    wait_until(lambda: "tapedeck-feed" not in names())


def test_a_script_that_forgets_to_close_still_ends(exchange):
    script = f"""
from tapedeck.clock import SystemClock
from tapedeck.kite.login import Credentials
from tapedeck.kite.socket import FeedSocket
FeedSocket(root={exchange.root!r}, credentials=lambda: Credentials("k", "t"), sink=print, clock=SystemClock(),
           in_session=lambda: True).start()
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=30, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("root", ["http://ws.kite.trade", "ws.kite.trade", "wss://", "wss://h/?access_token=SECRET"])
def test_an_address_that_is_no_websocket_is_refused_without_repeating_it(exchange, root):
    with pytest.raises(ConfigError, match="allowed: wss") as caught:
        Desk(exchange, root=root)
    assert "SECRET" not in str(caught.value)
