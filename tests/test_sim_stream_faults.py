from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from kiteconnect import exceptions as kite_errors
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tapedeck.clock import ManualClock
from tapedeck.kite import packets
from tapedeck.sim.faults import GARBAGE_KINDS, LASTING, Faults, garbage_frame
from tapedeck.sim.load import LoadSource
from tests.sim_support import INFY, NIFTY, TCS, Sim, Stream
from tests.support import wait_until


@pytest.fixture
def sim() -> Iterator[Sim]:
    """A server at 11:00 that beats when told to, without rate limits."""
    with Sim(start="2026-11-23T11:00:00", rate_limits=False) as sim:
        yield sim


@pytest.mark.parametrize("code", [None, 1000, 1011])
def test_drop_closes_with_or_without_a_close_frame_and_lets_back_in(sim: Sim, code: int | None) -> None:
    with sim.stream() as stream:
        assert sim.fault("drop", code=code).ok
        assert stream.until_closed()[1] == code
    with sim.stream(INFY):
        log = sim.connections()
        assert [row["close_reason"] for row in log["connections"]] == ["dropped", ""]
        assert log["max_simultaneous"] == 1


def test_hang_sends_nothing_while_the_connection_stays_and_goes_on_afterwards(sim: Sim) -> None:
    with sim.stream(INFY, mode="full") as stream:
        sim.fault("hang")
        sim.beat(20)
        pong = stream.connection.ping()
        assert stream.silent()
        assert not pong.wait(0.1), "a hung server answers no ping either"
        assert sim.connections()["open"] == 1
        sim.fault("clear")
        sim.beat(8)
        assert stream.frame()


def test_hang_can_leave_handshakes_and_requests_unanswered_until_cleared(sim: Sim) -> None:
    url, kite = sim.ws_url(), sim.kite()
    sim.fault("hang", handshakes=True, rest=True)
    kite.timeout = 0.2
    with pytest.raises(OSError, match="timed out"):
        kite.profile()
    with pytest.raises(TimeoutError), connect(url, proxy=None, open_timeout=0.2):
        pass
    wait_until(lambda: sim.connections()["refused"] == 1)
    row = sim.connections()["connections"][0]
    assert (row["status"], row["close_reason"]) == (0, "left unanswered")
    sim.fault("clear")
    kite.timeout = 10
    assert kite.profile()


def test_half_open_neither_reads_nor_writes(sim: Sim) -> None:
    with sim.stream(INFY) as stream:
        sim.fault("half_open")
        stream.send({"a": "subscribe", "v": [sim.token(TCS)]})
        sim.beat(12)
        assert stream.silent()
        assert sim.connections()["connections"][0]["subscribed"]["tokens"] == 1
        sim.fault("clear")
        wait_until(lambda: sim.connections()["connections"][0]["subscribed"]["tokens"] == 2)
        assert stream.frame()


def test_half_open_still_notices_that_the_peer_left(sim: Sim) -> None:
    with sim.stream() as stream:
        sim.fault("half_open")
        stream.connection.socket.close()
        wait_until(lambda: sim.connections()["open"] == 0)


def test_slow_delays_every_write(sim: Sim) -> None:
    with sim.stream() as stream:
        sim.fault("slow", delay_ms=60_000)
        sim.beat(4)
        assert stream.silent()
        sim.fault("clear")
        assert stream.frame() == b"\x00"


@pytest.mark.parametrize("kind", [kind for kind in GARBAGE_KINDS if kind != "websocket"])
def test_garbage_arrives_beside_the_good_frames(sim: Sim, kind: str) -> None:
    with sim.stream(INFY, TCS, NIFTY, mode="full") as stream:
        sim.fault("garbage", kind=kind)
        sim.beat(40)
        sim.fault("drop", code=1000)
        frames, _ = stream.until_closed()
        if kind == "text":
            assert any(isinstance(frame, str) for frame in frames)
        binary = [frame for frame in frames if isinstance(frame, bytes) and len(frame) > 1]
        batches = [packets.parse(frame) for frame in binary]
        assert any(len(batch.ticks) and not batch.refused for batch in batches)
        if kind in ("truncated", "lengths"):
            assert any(batch.refused for batch in batches)


def test_garbage_of_the_framing_itself_makes_the_client_give_up(sim: Sim) -> None:
    with sim.stream(INFY, TCS, NIFTY) as stream:
        sim.fault("garbage", kind="websocket")
        sim.beat(40)
        assert stream.until_closed()[1] is None


def test_garbage_is_the_same_for_the_same_seed() -> None:
    for kind in GARBAGE_KINDS:
        one, two = (garbage_frame(kind, b"\x00\x01\x00\x08" + bytes(8), np.random.default_rng(3)) for _ in range(2))
        assert one == two


def test_http_403_refuses_handshakes_and_requests_but_not_the_login(sim: Sim) -> None:
    kite, url = sim.kite(), sim.ws_url()
    sim.fault("http_403")
    with pytest.raises(kite_errors.TokenException):
        kite.profile()
    with pytest.raises(InvalidStatus) as caught:
        Stream(url)
    assert caught.value.response.status_code == 403
    assert sim.kite().access_token
    sim.fault("clear")
    assert kite.profile()


def test_http_429_refuses_everything(sim: Sim) -> None:
    kite, url = sim.kite(), sim.ws_url()
    sim.fault("http_429")
    with pytest.raises(kite_errors.NetworkException, match="Too many requests"):
        kite.profile()
    with pytest.raises(InvalidStatus) as caught:
        Stream(url)
    assert caught.value.response.status_code == 429


def test_expire_ends_the_sockets_and_only_a_new_login_helps(sim: Sim) -> None:
    kite, url = sim.kite(), sim.ws_url()
    with sim.stream() as stream:
        sim.fault("expire")
        assert stream.until_closed()[1] is None
    with pytest.raises(kite_errors.TokenException):
        kite.profile()
    with pytest.raises(InvalidStatus):
        Stream(url)
    with sim.stream(INFY):
        assert sim.kite().access_token != kite.access_token


def test_duplicate_sends_the_same_frame_twice(sim: Sim) -> None:
    with sim.stream(INFY, TCS, NIFTY, mode="full") as stream:
        sim.fault("duplicate")
        sim.beat(8)
        frames = [frame for frame in (stream.frame() for _ in range(4)) if len(frame) > 1]
        assert frames[0] == frames[1]
        assert frames[2] == frames[3]
        assert frames[0] != frames[2]


def test_out_of_order_sends_an_older_state_after_the_newer_one(sim: Sim) -> None:
    with sim.stream(INFY, mode="full") as stream:
        sim.beat(20)
        wait_until(lambda: sim.connections()["ticks_sent"] > 5)
        sim.fault("out_of_order", lag_s=3)
        sim.beat(20)
        sim.fault("drop", code=1000)
        assert (np.diff(stream.ticks_until_closed()["exchange_timestamp"]) < 0).any()


def test_heartbeat_only_is_mute_but_alive(sim: Sim) -> None:
    with sim.stream(INFY, TCS, NIFTY, mode="full") as stream:
        sim.fault("heartbeat_only")
        stream.send({"a": "subscribe", "v": [sim.token(INFY)]})
        sim.beat(12)
        assert [stream.frame() for _ in range(2)] == [b"\x00"] * 2
        sim.fault("clear")
        sim.beat()
        assert sim.token(INFY) in stream.batch().ticks["instrument_token"]


def test_a_fault_ends_by_itself_after_its_duration(sim: Sim) -> None:
    with sim.stream() as stream:
        sim.fault("hang", duration_s=5)
        sim.beat(16)
        assert stream.silent()
        assert [row["fault"] for row in sim.get("/sim/faults").json()["active"]] == ["hang"]
        sim.beat(4)
        assert sim.get("/sim/faults").json()["active"] == []
        assert stream.frame() == b"\x00"


def test_load_sends_full_packets_of_the_subscribed_instruments_at_the_rate_asked_for(sim: Sim) -> None:
    with sim.stream(INFY, TCS, NIFTY) as stream:
        sim.fault("load", ticks_per_s=30_000)
        sim.call(sim.server.exchange.streamer.beat_load)
        for _ in range(10):
            sim.real.advance(0.05)  # type: ignore[attr-defined]
            sim.call(sim.server.exchange.streamer.beat_load)
        batches = [stream.batch() for _ in range(10)]
        assert sum(len(batch.ticks) for batch in batches) == pytest.approx(15_000, abs=2)
        assert {batch.refused for batch in batches} == {0}
        assert set(batches[0].ticks["instrument_token"]) == {sim.token(key) for key in (INFY, TCS, NIFTY)}


def test_a_load_that_was_held_up_is_not_made_up_for() -> None:
    clock = ManualClock()
    batch = packets.parse(bytes.fromhex("0001 0008 0003e909 000227ef"))
    source = LoadSource(batch, batch.ticks["instrument_token"], np.random.default_rng(1), clock)
    clock.advance(60)
    assert sum(count for _, count in source.frames(10_000, 0)) == 2500


def test_every_lasting_fault_starts_with_its_defaults_and_can_be_cleared() -> None:
    faults = Faults(ManualClock())
    for name in LASTING:
        assert faults.start({"fault": name})[0] == name
    assert len(faults.document()["active"]) == len(LASTING)
    faults.start({"fault": "clear"})
    assert faults.document()["active"] == []
