from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tapedeck.clock import SECOND, to_ns
from tapedeck.schema import MODE_FULL, MODE_LTP, MODE_QUOTE
from tapedeck.sim.clock import LoopClock
from tapedeck.sim.subscriptions import MAX_TOKENS, TOO_MANY, Subscriptions
from tapedeck.sim.websocket import MAX_BACKLOG, encode_frame, unmask
from tests.sim_support import INFY, NIFTY, TCS, Sim, Stream
from tests.support import wait_until


@pytest.fixture
def sim() -> Iterator[Sim]:
    """A server at 10:00 that beats when told to."""
    with Sim() as sim:
        yield sim


# Handshake


def test_the_handshake_tells_the_clock_and_that_it_is_simulated(sim: Sim) -> None:
    with sim.stream() as stream:
        answer = stream.connection.response
        assert answer is not None
        document = json.loads(answer.headers["X-Tapedeck-Sim"])
    assert document["source"] == "sim:7:2026-11-23"
    assert LoopClock.from_document(document, real=sim.real).now() == sim.clock.now()


def test_a_wrong_key_or_token_gets_403_on_the_upgrade(sim: Sim) -> None:
    for url in (sim.ws_url("wrong"), sim.ws_url().replace("simkey", "other"), sim.address.replace("http", "ws", 1)):
        with pytest.raises(InvalidStatus) as caught, connect(url, proxy=None):
            pass
        assert caught.value.response.status_code == 403
    log = sim.connections()
    assert (log["total"], log["refused"]) == (0, 3)
    assert {row["status"] for row in log["connections"]} == {403}


def test_what_all_official_clients_send_is_accepted(sim: Sim) -> None:
    base, _, query = sim.ws_url().partition("?")
    swapped = "&".join(reversed(query.split("&"))) + "&uid=1795405470000"
    options = {"origin": "https://some.example", "additional_headers": {"X-Kite-Version": "3"}}
    with connect(f"{base}?{swapped}", proxy=None, **options) as ws:  # type: ignore[arg-type]
        ws.ping().wait(10)


def test_a_fourth_connection_of_one_key_is_refused(sim: Sim) -> None:
    streams = [sim.stream() for _ in range(3)]
    with pytest.raises(InvalidStatus) as caught:
        sim.stream()
    assert caught.value.response.status_code == 429
    streams.pop().close()
    streams.append(sim.stream())
    for stream in streams:
        stream.close()
    assert sim.connections()["max_simultaneous"] == 3


# Ticks


def test_a_cached_tick_in_quote_mode_comes_at_once(sim: Sim) -> None:
    tokens = [sim.token(key) for key in (INFY, NIFTY)]
    with sim.stream() as stream:
        stream.send({"a": "subscribe", "v": tokens})
        ticks = stream.batch().ticks
        assert sorted(ticks["instrument_token"]) == sorted(tokens)
        assert set(ticks["mode"]) == {MODE_QUOTE}
        assert (ticks["last_price"] > 0).all()


def test_each_mode_carries_what_kite_sends_in_it(sim: Sim) -> None:
    keys = (INFY, TCS, NIFTY)
    with sim.stream(*keys) as stream:
        for mode, code in (("ltp", MODE_LTP), ("full", MODE_FULL)):
            stream.send({"a": "mode", "v": [mode, [sim.token(key) for key in keys]]})
            batch = stream.batch()
            assert set(batch.ticks["mode"]) == {code}
            assert len(batch.ticks) == 3
            assert batch.refused == 0
        assert set(batch.depth["instrument_token"]) == {sim.token(INFY), sim.token(TCS)}
        assert (batch.ticks["exchange_timestamp"] > 0).all()


def test_afterwards_only_what_changed_is_sent(sim: Sim) -> None:
    keys = [row.key for row in sim.server.exchange.today.loaded.instruments[:200]]
    with sim.stream(*keys, mode="full") as stream:
        day = sim.server.exchange.today.loaded.day
        tokens = np.array(sorted(sim.token(key) for key in keys), "u4")
        for _ in range(8):
            before = sim.server.exchange.streamer.step_ns
            sim.beat()
            now = sim.server.exchange.streamer.step_ns
            assert now - before == SECOND // 4
            changed = tokens[day.changed(tokens, before, now)]
            if len(changed):
                assert stream.batch().ticks["instrument_token"].tolist() == changed.tolist()


def test_what_is_streamed_is_what_the_quote_says(sim: Sim) -> None:
    with sim.stream(INFY, mode="full") as stream:
        tick = stream_until_change(sim, stream)[-1]
        quote = sim.kite().quote(INFY)[INFY]
    assert tick["last_price"] == quote["last_price"]
    assert tick["volume_traded"] == quote["volume"]


def test_unsubscribing_ends_it_and_subscribing_again_starts_with_a_cached_tick(sim: Sim) -> None:
    with sim.stream(INFY) as stream:
        stream.send({"a": "unsubscribe", "v": [sim.token(INFY)]})
        wait_until(lambda: sim.connections()["connections"][0]["subscribed"]["tokens"] == 0)
        sim.beat(10)
        stream.send({"a": "subscribe", "v": [sim.token(INFY)]})
        frames = [stream.frame()]
        while len(frames[-1]) == 1:
            frames.append(stream.frame())
        assert len(frames[-1]) == 2 + 2 + 44


def test_two_servers_with_the_same_seed_send_the_same_bytes() -> None:
    def recorded() -> list[bytes | str]:
        with Sim(start="2026-11-23T11:00:00") as sim, sim.stream(INFY, TCS, NIFTY, mode="full") as stream:
            sim.beat(40)
            sim.call(sim.server.exchange.streamer.drop, 1000, "enough")
            return stream.until_closed()[0]

    first = recorded()
    assert len(first) > 5
    assert first == recorded()


def test_no_two_ticks_go_back_in_time(sim: Sim) -> None:
    with sim.stream(INFY, mode="full") as stream:
        sim.beat(60)
        sim.call(sim.server.exchange.streamer.drop, 1000, "enough")
        times = stream.ticks_until_closed()["exchange_timestamp"]
        assert len(times) > 5
        assert (np.diff(times) >= 0).all()
        assert times[-1] <= sim.clock.now()


def stream_until_change(sim: Sim, stream: Stream) -> np.ndarray:
    """The ticks of the first beat in which something changed."""
    sent = sim.server.exchange.streamer.ticks_sent
    while sim.server.exchange.streamer.ticks_sent == sent:
        sim.beat()
    return stream.batch().ticks


# Heartbeats and text


def test_a_heartbeat_comes_every_second_without_any_subscription(sim: Sim) -> None:
    with sim.stream() as stream:
        sim.beat(12)
        assert [stream.frame() for _ in range(3)] == [b"\x00"] * 3
        assert stream.silent()


def test_tokens_as_strings_are_accepted_and_get_heartbeats_only(sim: Sim) -> None:
    with sim.stream() as stream:
        stream.send({"a": "subscribe", "v": [str(sim.token(INFY))]})
        stream.connection.ping().wait(10)
        sim.beat(8)
        assert [stream.frame(), stream.frame()] == [b"\x00", b"\x00"]


def test_unknown_tokens_are_accepted_and_get_heartbeats_only(sim: Sim) -> None:
    with sim.stream() as stream:
        stream.send({"a": "subscribe", "v": [1, 4294967295]})
        stream.connection.ping().wait(10)
        sim.beat(8)
        assert [stream.frame(), stream.frame()] == [b"\x00", b"\x00"]


@pytest.mark.parametrize(
    "message",
    ["junk", "[]", '{"a":"subscribe"}', '{"a":"dance","v":[]}', '{"a":"mode","v":["best",[1]]}',
     '{"a":"mode","v":["full"]}', '{"a":"subscribe","v":[1.5]}', '{"a":"subscribe","v":[null]}', "[" * 5000],
)  # fmt: skip
def test_a_malformed_message_gets_an_error_frame_and_the_connection_stays(sim: Sim, message: str) -> None:
    with sim.stream() as stream:
        stream.send(message)
        answer = json.loads(stream.frame())
        assert answer["type"] == "error"
        assert answer["data"].startswith("Invalid message")
        stream.connection.ping().wait(10)


def test_more_than_3000_instruments_are_refused_and_the_first_3000_stay(sim: Sim) -> None:
    with sim.stream() as stream:
        stream.send({"a": "subscribe", "v": list(range(1, MAX_TOKENS + 2))})
        assert json.loads(stream.frame()) == {"type": "error", "data": TOO_MANY}
        assert sim.connections()["connections"][0]["subscribed"]["tokens"] == MAX_TOKENS


def test_an_order_update_reaches_every_connection(sim: Sim) -> None:
    with sim.stream() as one, sim.stream() as two:
        url = f"{sim.address}/sim/message"
        assert requests.post(url, json={"data": {"order_id": "42"}}, timeout=10).json() == {"sent": 2}
        for stream in (one, two):
            update = json.loads(stream.frame())
            assert update["type"] == "order"
            assert update["data"]["order_id"] == "42"
            assert len(update["data"]) > 30
        assert requests.post(url, json={"type": "message", "data": "hello"}, timeout=10).ok
        assert json.loads(one.frame()) == {"type": "message", "data": "hello"}
        assert requests.post(url, json={"type": "rumour"}, timeout=10).status_code == 400


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.builds(
                lambda a, v: json.dumps({"a": a, "v": v}),
                st.sampled_from(["subscribe", "unsubscribe", "mode", "x"]),
                st.one_of(
                    st.lists(st.one_of(st.integers(-5, 12), st.text(max_size=3), st.none()), max_size=6),
                    st.tuples(st.sampled_from(["ltp", "quote", "full"]), st.lists(st.integers(1, 9), max_size=6)),
                ),
            ),
        ),
        max_size=12,
    )
)
def test_no_sequence_of_messages_breaks_the_subscriptions(messages: list[str]) -> None:
    subscriptions = Subscriptions()
    for text in messages:
        assert isinstance(subscriptions.handle(text), str | None)
        tokens, modes = subscriptions.arrays()
        assert tokens.tolist() == sorted(subscriptions.modes)
        assert subscriptions.unsent <= set(subscriptions.modes)
        assert subscriptions.counts()["tokens"] == len(tokens) == len(modes)


# The day


def test_when_the_day_ends_everybody_is_sent_away_and_finds_the_next_day() -> None:
    with Sim(start="2026-11-23T16:00:50") as sim, sim.stream(INFY) as stream:
        sim.beat(seconds=20)
        assert stream.until_closed()[1] == 1001
        wait_until(lambda: (sim.beat(), sim.server.exchange.today.loaded)[1], timeout=60)
        assert sim.server.exchange.today.loaded.day.date == date(2026, 11, 25)
        with sim.stream(INFY, mode="full") as again:
            assert again.connection.response is not None
            assert json.loads(again.connection.response.headers["X-Tapedeck-Sim"])["source"] == "sim:7:2026-11-25"
        assert sim.kite().ltp(INFY)[INFY]["last_price"] > 0


# Slow readers


def test_a_reader_that_does_not_read_costs_a_bounded_amount_of_memory(sim: Sim) -> None:
    streamer = sim.server.exchange.streamer
    with sim.stream() as stream:
        stream.connection.socket.setsockopt(1, 8, 4096)
        connection = wait_until(lambda: streamer._connections)[0]
        sent = sim.call(lambda: [connection.socket.send(bytes(100_000)) for _ in range(400)])
        assert not all(sent)
        assert connection.socket.backlog <= MAX_BACKLOG
        # What changes meanwhile is skipped, counted, and not lost: the cursor stays behind.
        sim.call(connection.subscriptions.handle, json.dumps({"a": "subscribe", "v": [sim.token(INFY)]}))
        behind = connection.cursor_ns
        connection.subscriptions.unsent.clear()
        connection.socket.backlog = MAX_BACKLOG
        sim.beat(40)
        assert streamer.skipped > 0
        assert connection.entry.skipped == streamer.skipped
        assert behind <= connection.cursor_ns < streamer.step_ns
        stream.connection.socket.close()


@settings(max_examples=100, deadline=None)
@given(payload=st.binary(max_size=300), mask=st.binary(min_size=4, max_size=4))
def test_unmasking_is_its_own_inverse(payload: bytes, mask: bytes) -> None:
    assert unmask(unmask(payload, mask), mask) == payload
    assert unmask(payload, mask) == bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


@pytest.mark.parametrize(("size", "head"), [(5, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_frame_headers_grow_with_the_payload(size: int, head: int) -> None:
    frame = encode_frame(b"x" * size)
    assert len(frame) == head + size
    assert frame[0] == 0x82


def test_market_times_on_the_wire_are_whole_seconds_of_the_day(sim: Sim) -> None:
    with sim.stream(INFY, mode="full") as stream:
        tick = stream_until_change(sim, stream)[0]
    assert tick["exchange_timestamp"] % SECOND == 0
    assert to_ns(int(tick["exchange_timestamp"])) <= sim.clock.now()
