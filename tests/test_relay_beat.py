"""What every beat sends to whom: encoded once, merged for the slow, silent for nobody."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.clock import SECOND
from tapedeck.instruments import Instruments
from tapedeck.relay.frames import CONFIRMED, DELTA, HEARTBEAT, HELD, RECORD, SNAPSHOT
from tapedeck.sessions import PHASES
from tests.hub_support import FRIDAY, MONDAY, at
from tests.relay_support import HELLO, Stage, full, price, shares, texts


def test_hello_is_answered_by_welcome_state_and_snapshot_in_that_order():
    stage = Stage()
    stage.publish(1.0, 2.0)
    viewer = stage.viewer('{"a": "hello", "v": ["NSE:S1", 513, "NSE:NOPE", 7]}')
    stage.beat()
    welcome, state, snapshot = viewer.messages
    said = json.loads(welcome)
    assert (said["type"], said["version"], said["epoch"], said["record_size"]) == ("welcome", 1, 1, RECORD.itemsize)
    assert (said["source"], said["simulated"], said["unknown"]) == ("kite", False, ["NSE:NOPE", 7])
    assert [one["key"] for one in said["instruments"]] == ["NSE:S1", "NSE:S2"]
    assert said["instruments"][0] == {
        "instrument_token": 257, "key": "NSE:S1", "tradingsymbol": "S1", "exchange": "NSE", "name": "SHARE 1",
        "expiry": None, "strike": 0.0, "tick_size": 0.05, "lot_size": 1, "segment": "", "instrument_type": "EQ",
    }  # fmt: skip
    assert json.loads(state)["type"] == "state"
    frame = viewer.frames()[0]
    assert isinstance(snapshot, bytes)
    assert frame.kind == SNAPSHOT
    assert frame.records["last_price"].tolist() == [1.0, 2.0]
    assert frame.records["flags"].tolist() == [CONFIRMED | HELD | 4] * 2
    assert {PHASES[code] for code in frame.records["phase"]} == {"LIVE"}


def test_only_what_changed_and_was_asked_for_is_sent():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.beat()
    viewer.take()
    stage.publish(5.0, 6.0, first=2)  # S3, which is watched, and S4, which is not
    stage.beat()
    (frame,) = viewer.frames()
    assert frame.kind == DELTA
    assert frame.records["instrument_token"].tolist() == [769]
    stage.beat()
    assert viewer.frames() == []


def test_fifty_viewers_of_the_same_instruments_share_one_frame():
    stage = Stage()
    viewers = [stage.viewer(HELLO) for _ in range(49)]
    # The order in which instruments are named makes no difference.
    viewers.append(stage.viewer('{"a": "hello", "v": ["NSE:S3", "NSE:S2", "NSE:S1"], "rate": 10}'))
    stage.beat()
    assert stage.relay.stats["built"] == 1
    assert stage.relay.stats["frames"] == 50
    stage.publish(1.0, 2.0, 3.0)
    stage.beat()
    assert stage.relay.stats["built"] == 2
    assert stage.relay.stats["frames"] == 100
    assert len({id(viewer.messages[-1]) for viewer in viewers}) == 1
    assert all(price(viewer, 769) == 3.0 for viewer in viewers)


def test_changed_instruments_are_encoded_once_whoever_watches_them():
    stage = Stage()
    for i in range(1, 6):
        stage.viewer(json.dumps({"a": "hello", "v": [f"NSE:S{j}" for j in range(1, i + 1)], "rate": 10}))
    stage.publish(1.0, 2.0, 3.0, 4.0, 5.0)
    stage.beat()
    before = stage.relay.stats["records"]
    stage.publish(1.5, 2.5, 3.5, 4.5, 5.5)
    stage.beat()
    assert stage.relay.stats["records"] == before + 5


def test_each_viewer_is_served_at_its_own_rate_and_loses_nothing():
    stage = Stage()
    fast, slow = stage.viewer(HELLO), stage.viewer(HELLO.replace("10}", "4}"))
    stage.beat()
    fast.take(), slow.take()
    for i in range(100):
        stage.publish(float(i))
        stage.beat()
    assert len(fast.frames()) == 100
    assert len(slow.frames()) == 40
    stage.beat(3)
    assert price(slow, 257) == price(fast, 257) == 99.0


def test_a_quiet_market_still_sends_a_sign_of_life_at_least_once_a_second():
    stage = Stage()
    viewers = [stage.viewer(HELLO.replace("10}", f"{rate}}}")) for rate in (1, 4, 10)]
    stage.publish(1.0, 2.0, 3.0)
    stage.beat()
    assert [frame.kind for viewer in viewers for frame in viewer.frames()] == [SNAPSHOT] * 3
    heard = [stage.clock.monotonic()] * 3
    for _ in range(600):
        stage.beat()
        for i, viewer in enumerate(viewers):
            for frame in viewer.frames():
                assert frame.kind == HEARTBEAT
                assert frame.feed_age_s < 0.2
                heard[i] = stage.clock.monotonic()
            assert stage.clock.monotonic() - heard[i] <= 1.0
            assert viewer.mirror.why_blank(stage.clock.monotonic()) == ""


def test_frames_carry_the_age_of_the_feed_and_its_state_at_once():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.publish(1.0, 2.0, 3.0)
    stage.beat(alive=False)
    viewer.take()
    stage.beat(20, alive=False)
    assert viewer.frames()[-1].feed_age_s == pytest.approx(2.0, abs=0.11)
    stage.hub.feed_status("STALE", "silent")
    stage.beat(alive=False)
    assert [frame.feed_state for frame in viewer.frames()] == ["STALE"]
    stage.beat(47, alive=False)
    assert viewer.mirror.state["feed"]["reason"] == "no heartbeat 6 s"
    assert viewer.mirror.quote("NSE:S1", stage.clock.monotonic())["reason"] == "no heartbeat 6 s"


def test_a_dead_relay_blanks_the_numbers_by_itself():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.publish(1.0, 2.0, 3.0)
    stage.beat()
    viewer.mirror.connected = True
    assert viewer.mirror.quote("NSE:S1", stage.clock.monotonic())["last_price"] == 1.0
    stage.clock.advance(5.2)
    row = viewer.mirror.quote("NSE:S1", stage.clock.monotonic())
    assert (row["last_price"], row["reason"]) == (None, "desk silent")


# -- the desk changes ----------------------------------------------------------------------------------------------


def test_a_change_of_source_begins_with_a_welcome_and_a_snapshot_of_the_new_one():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.viewer('{"a": "hello", "v": ["NSE:S1"]}')
    stage.publish(1.0, 2.0, 3.0)
    stage.beat()
    viewer.take()
    # The same slots now mean other instruments, in another order.
    stage.hub.open_source("sim:7:2026-11-20", Instruments(stage.instruments[2:]))
    stage.hub.publish(full(stage.instruments[4:1:-1], [50.0, 40.0, 30.0], stage.clock.now()))
    stage.beat()
    messages = list(viewer.messages)
    welcome = texts(viewer, "welcome")[0]
    assert (welcome["epoch"], welcome["source"], welcome["simulated"]) == (2, "sim:7:2026-11-20", True)
    assert [one["key"] for one in welcome["instruments"]] == ["NSE:S3"]
    assert welcome["unknown"] == ["NSE:S1", "NSE:S2"]
    assert isinstance(messages[-1], bytes)
    assert viewer.mirror.header is not None
    assert (viewer.mirror.header.kind, viewer.mirror.header.epoch) == (SNAPSHOT, 2)
    assert viewer.mirror.header.simulated
    assert viewer.mirror.table["last_price"].tolist() == [30.0]
    assert stage.wishes.held[viewer.listener.name] == {769}


def test_instruments_that_come_later_are_found_without_asking_again():
    stage = Stage()
    stage.hub.open_source("kite", Instruments([]))
    viewer = stage.viewer(HELLO)
    stage.beat()
    assert texts(viewer, "welcome")[0]["unknown"] == ["NSE:S1", "NSE:S2", 769]
    stage.hub.adopt_instruments(Instruments(stage.instruments))
    stage.beat()
    assert texts(viewer, "welcome")[0]["unknown"] == []
    stage.publish(1.0)
    stage.beat()
    assert price(viewer, 257) == 1.0


def test_a_new_connection_takes_back_what_was_confirmed_on_the_old_one():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.publish(1.0, 2.0, 3.0)
    stage.beat()
    viewer.take()
    stage.hub.connected()
    stage.beat()
    (frame,) = viewer.frames()
    assert [flags & CONFIRMED for flags in frame.records["flags"]] == [0, 0, 0]
    stage.publish(1.0)
    stage.beat()
    (frame,) = viewer.frames()
    assert frame.records["flags"].tolist() == [CONFIRMED | HELD | 4]


@pytest.mark.timezones
def test_at_a_change_of_phase_every_record_of_that_class_is_sent_and_the_state_at_once(caplog):
    stage = Stage()
    stage.clock.set(at(FRIDAY, "15:14:59"))
    viewer = stage.viewer(HELLO)
    stage.publish(1.0, 2.0, 3.0)
    stage.beat(2)
    viewer.take()
    with caplog.at_level(logging.INFO, "tapedeck.relay"):
        stage.clock.set(at(FRIDAY, "15:15"))
        stage.beat()
        assert [PHASES[code] for code in viewer.mirror.table["phase"]] == ["CLOSING_AUCTION"] * 3
        assert (viewer.mirror.table["flags"] & HELD).all()
        stage.clock.set(at(FRIDAY, "15:35"))
        viewer.take()
        stage.beat()
    states = texts(viewer, "state")
    assert len(states) == 1
    assert states[0]["phases"]["NSE_EQ"]["name"] == "POST_CLOSE"
    nfo = states[0]["phases"]["NFO"]
    assert (nfo["name"], nfo["coarse_next"]) == ("LIVE", "CLOSED")
    assert nfo["coarse_until_ms"] > states[0]["market_time_ms"]
    assert not (viewer.mirror.table["flags"] & HELD).any()
    assert viewer.mirror.table["official_close"].tolist() == [100.0] * 3
    assert viewer.mirror.table["official_date"].tolist() == [20261119] * 3
    assert any("NSE_EQ cas" in record.getMessage() for record in caplog.records)
    row = viewer.mirror.quote("NSE:S1", stage.clock.monotonic())
    assert (row["fresh"], row["last_price"], row["official_close"]) == (False, None, 100.0)


@pytest.mark.timezones
def test_over_the_night_no_record_stays_confirmed():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.publish(1.0, 2.0, 3.0)
    stage.beat()
    assert (viewer.mirror.table["flags"] & CONFIRMED).all()
    stage.clock.set(at(MONDAY, "09:00"))
    stage.beat()
    assert not (viewer.mirror.table["flags"] & CONFIRMED).any()
    assert (viewer.mirror.table["flags"] & HELD).all()
    assert viewer.mirror.quote("NSE:S1", stage.clock.monotonic())["last_price"] is None
    stage.hub.publish(full(stage.instruments[:1], [1.5], stage.clock.now() + SECOND))
    stage.beat()
    assert viewer.mirror.quote("NSE:S1", stage.clock.monotonic())["last_price"] == 1.5


def test_transitions_are_logged_though_nobody_watches(caplog):
    stage = Stage()
    stage.clock.set(at(FRIDAY, "09:14:59"))
    stage.beat()
    with caplog.at_level(logging.INFO, "tapedeck.relay"):
        stage.clock.set(at(FRIDAY, "09:15"))
        stage.beat()
    assert any("09:15:00" in record.getMessage() for record in caplog.records)


def test_state_carries_the_counters_of_the_desk():
    stage = Stage(counters=lambda: {"connections": 1})
    viewer = stage.viewer(HELLO)
    for _ in range(30):
        stage.publish(1.0, 2.0, 3.0)
        stage.beat()
    counters = viewer.mirror.state["counters"]
    assert counters["connections"] == 1
    assert counters["viewers"] == 1
    assert counters["ticks_per_s"] == pytest.approx(30.0, rel=0.1)


def test_closing_lets_everybody_go():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.relay.close()
    stage.relay.close()
    assert viewer.ended.startswith("1001")
    assert stage.wishes.held == {}
    assert stage.relay.join(viewer) is None


# -- everything together -------------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.lists(st.integers(0, 5), min_size=1, max_size=6)),
        st.tuples(st.just("beat"), st.integers(1, 4)),
        st.tuples(st.just("stick"), st.integers(0, 2)),
        st.tuples(st.just("free"), st.integers(0, 2)),
        st.tuples(st.just("pause"), st.integers(0, 2)),
        st.tuples(st.just("resume"), st.integers(0, 2)),
        st.tuples(st.just("want"), st.tuples(st.integers(0, 2), st.sets(st.integers(1, 6), max_size=6))),
        st.tuples(st.just("connect"), st.none()),
        st.tuples(st.just("source"), st.none()),
    ),
    max_size=30,
)


@given(steps=steps)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_every_viewer_ends_with_what_a_newcomer_sees(steps):
    stage = Stage(6, drop_after_s=1e9)
    wants = [{1, 2, 3}, {1, 2, 3}, {4, 5, 6}]

    def hello(keys: set[int], rate: int = 10) -> str:
        return json.dumps({"a": "hello", "v": [f"NSE:S{i}" for i in sorted(keys)], "rate": rate})

    viewers = [stage.viewer(hello(wants[i], rate)) for i, rate in enumerate((10, 3, 1))]
    number = 0.0
    for step, what in steps:
        if step == "publish":
            for i in what:
                number += 1
                stage.publish(number, first=i)
        elif step == "beat":
            stage.beat(what)
        elif step in ("stick", "free"):
            viewers[what].stuck = step == "stick"
        elif step in ("pause", "resume"):
            viewers[what].say(json.dumps({"a": step}))
        elif step == "want":
            wants[what[0]] = what[1]
            viewers[what[0]].say(hello(what[1], viewers[what[0]].listener.rate))
        elif step == "connect":
            stage.hub.connected()
        else:
            stage.hub.open_source(f"sim:{number}", Instruments(shares(6)))
    for viewer in viewers:
        viewer.stuck = False
        viewer.say('{"a": "resume"}') if viewer.listener.paused else None
    stage.beat(11)
    for viewer, keys in zip(viewers, wants, strict=True):
        newcomer = stage.viewer(hello(keys))
        stage.beat()
        assert np.array_equal(viewer.mirror.table.view("V160"), newcomer.mirror.table.view("V160"))
        assert viewer.mirror.header is not None
        assert viewer.mirror.header.epoch == stage.hub.epoch
        assert viewer.mirror.source == stage.hub.source
