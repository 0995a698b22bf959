"""What a viewer looks at comes at its full rate, everything else once a second, and nothing is ever lost."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.instruments import Instruments
from tapedeck.relay.books import depth_message
from tapedeck.relay.frames import DELTA, HEARTBEAT, SNAPSHOT
from tests.relay_support import Stage, Viewer, price, shares, texts

ALL = '{"a": "hello", "v": ["NSE:S1", "NSE:S2", "NSE:S3", "NSE:S4", "NSE:S5"], "rate": 10}'


def focus(*keys: str | int) -> str:
    return json.dumps({"a": "focus", "v": list(keys)})


def tokens(viewer: Viewer) -> list[set[int]]:
    """Tokens in each delta since the last call."""
    return [set(frame.records["instrument_token"].tolist()) for frame in viewer.frames() if frame.kind == DELTA]


def settled(stage: Stage, *says: str) -> Viewer:
    """A viewer of everything that has had its snapshot, at the beginning of a second."""
    viewer = stage.viewer(ALL)
    for said in says:
        viewer.say(said)
    stage.beat(10 - stage.relay.stats["beats"] % 10)
    viewer.take()
    return viewer


def test_what_is_looked_at_comes_at_once_and_the_rest_once_a_second():
    stage = Stage()
    viewer = settled(stage, focus("NSE:S1", 513))
    stage.publish(1.0, 2.0, 3.0, 4.0, 5.0)
    stage.beat()
    assert tokens(viewer) == [{257, 513}]
    stage.publish(1.5)
    stage.beat()
    assert tokens(viewer) == [{257}]
    stage.beat(7)
    assert tokens(viewer) == []
    stage.beat()
    assert tokens(viewer) == [{769, 1025, 1281}]
    assert viewer.mirror.table["last_price"].tolist() == [1.5, 2.0, 3.0, 4.0, 5.0]


def test_an_empty_focus_sends_everything_once_a_second():
    stage = Stage()
    viewer = settled(stage, focus())
    for i in range(30):
        stage.publish(float(i), 2.0 * i)
        stage.beat()
    assert tokens(viewer) == [{257, 513}] * 3
    assert price(viewer, 513) == 58.0


def test_what_comes_into_view_is_brought_up_to_date_with_the_next_beat():
    stage = Stage()
    viewer = settled(stage, focus("NSE:S1"))
    stage.publish(7.0, first=4)
    stage.beat(2)
    assert np.isnan(price(viewer, 1281))
    viewer.say(focus("NSE:S5"))
    stage.beat()
    assert price(viewer, 1281) == 7.0


def test_hello_ends_a_focus_and_subscribing_keeps_it():
    stage = Stage()
    viewer = stage.viewer('{"a": "hello", "v": ["NSE:S1", "NSE:S2"], "rate": 10}')
    viewer.say(focus("NSE:S1", "NSE:S3", "NSE:NOPE"))
    viewer.say('{"a": "subscribe", "v": ["NSE:S3", "NSE:S4"]}')
    stage.beat(10)
    viewer.take()
    stage.publish(1.0, 2.0, 3.0, 4.0)
    stage.beat()
    assert tokens(viewer) == [{257, 769}], "named before it was subscribed, S3 is in focus now"
    viewer.say('{"a": "unsubscribe", "v": ["NSE:S1"]}')
    stage.beat(9)
    viewer.take()
    stage.publish(1.1, 2.2, 3.3, 4.4)
    stage.beat()
    assert tokens(viewer) == [{769}]
    viewer.say(ALL)
    stage.beat()
    viewer.take()
    stage.publish(1.0, 2.0, 3.0, 4.0)
    stage.beat()
    assert tokens(viewer) == [{257, 513, 769, 1025}]


def test_viewers_with_the_same_focus_and_the_same_past_share_their_frames():
    stage = Stage()
    viewers = [settled(stage, focus("NSE:S2", "NSE:S1")) for _ in range(10)]
    viewers += [settled(stage, focus(257, "NSE:S2", "NSE:NOPE")) for _ in range(10)]
    stage.beat(10)
    for viewer in viewers:
        viewer.take()
    built = stage.relay.stats["built"]
    for i in range(20):
        stage.publish(*(float(i + j) for j in range(5)))
        stage.beat()
        assert len({id(viewer.messages[-1]) for viewer in viewers}) == 1
    assert stage.relay.stats["built"] == built + 20
    # One that looked elsewhere for a moment comes back to the common past within a second.
    viewers[0].say(focus("NSE:S3"))
    stage.beat()
    viewers[0].say(focus("NSE:S1", "NSE:S2"))
    stage.beat(10)
    stage.publish(1.0, 2.0)
    stage.beat()
    assert len({id(viewer.messages[-1]) for viewer in viewers}) == 1


def test_a_quiet_focus_hears_a_sign_of_life_every_second():
    stage = Stage()
    viewer = settled(stage, focus())
    for _ in range(60):
        stage.publish(1.0)  # the very same value again
        stage.beat()
        assert viewer.mirror.why_blank(stage.clock.monotonic()) == ""
    kinds = {frame.kind for frame in viewer.frames()}
    assert kinds == {DELTA, HEARTBEAT}


def test_a_snapshot_brings_everything_whatever_the_focus():
    stage = Stage()
    viewer = settled(stage, focus("NSE:S1"))
    stage.publish(1.0, 2.0, 3.0, 4.0, 5.0)
    viewer.say('{"a": "snapshot"}')
    stage.beat()
    (frame,) = viewer.frames()
    assert (frame.kind, len(frame.records)) == (SNAPSHOT, 5)


def test_a_slow_viewer_is_told_only_of_what_it_would_have_been_sent():
    stage = Stage()
    viewer = settled(stage, focus("NSE:S1"))
    viewer.stuck = True
    stage.publish(3.0, first=2)
    stage.beat(5)
    assert stage.relay.stats["conflated"] == 0, "it would have come at the end of the second anyway"
    stage.beat(5)
    assert stage.relay.stats["conflated"] == 1
    viewer.stuck = False
    stage.beat()
    assert texts(viewer, "notice")[0]["conflated"] == 1
    assert price(viewer, 769) == 3.0


def test_a_viewer_stuck_at_the_turn_of_the_second_gets_everything_when_it_reads_again():
    stage = Stage()
    viewer = settled(stage, focus("NSE:S1"))
    stage.publish(1.0, 2.0)
    stage.beat(9)
    viewer.stuck = True
    stage.beat(2)
    viewer.stuck = False
    viewer.take()
    stage.beat()
    assert tokens(viewer) == [{513}]


def test_an_early_focus_is_refused_because_hello_would_undo_it():
    stage = Stage()
    viewer = stage.viewer(focus("NSE:S1"))
    stage.beat()
    assert "say hello first" in texts(viewer, "error")[0]["message"]


keys = st.sets(st.integers(1, 6), max_size=6)
who = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.lists(st.integers(0, 5), min_size=1, max_size=6)),
        st.tuples(st.just("beat"), st.integers(1, 7)),
        st.tuples(st.just("focus"), st.tuples(who, keys)),
        st.tuples(st.just("depth"), st.tuples(who, keys)),
        st.tuples(st.just("stick"), who),
        st.tuples(st.just("free"), who),
        st.tuples(st.just("pause"), who),
        st.tuples(st.just("resume"), who),
        st.tuples(st.just("subscribe"), st.tuples(who, keys)),
        st.tuples(st.just("unsubscribe"), st.tuples(who, keys)),
        st.tuples(st.just("connect"), st.none()),
        st.tuples(st.just("source"), st.none()),
    ),
    max_size=40,
)


@given(steps=steps, rates=st.tuples(*[st.integers(1, 10)] * 3))
@settings(max_examples=200, deadline=None)
def test_whatever_is_looked_at_nothing_is_lost_after_a_second(steps, rates):
    stage = Stage(6, drop_after_s=1e9)
    viewers = [stage.viewer(json.dumps({"a": "hello", "v": ["NSE:S1", "NSE:S2"], "rate": rate})) for rate in rates]
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
        elif step in ("focus", "depth", "subscribe", "unsubscribe"):
            viewers[what[0]].say(json.dumps({"a": step, "v": [f"NSE:S{i}" for i in sorted(what[1])]}))
        elif step == "connect":
            stage.hub.connected()
        else:
            stage.hub.open_source(f"sim:{number}", Instruments(shares(6)))
        stage.clock.advance(1.0)  # nobody talks too much
    for viewer in viewers:
        viewer.stuck = False
        viewer.say('{"a": "resume"}') if viewer.listener.paused else None
    stage.beat(11)
    for viewer in viewers:
        board = stage.relay._board
        held = np.sort(board.take(viewer.listener.subscription.slots), order="instrument_token")
        assert np.array_equal(viewer.mirror.table.view("V160"), held.view("V160"))
        assert viewer.mirror.header is not None
        assert viewer.mirror.header.epoch == stage.hub.epoch
        for book in viewer.listener.depth:
            newest = json.loads(depth_message(board, book.slot, stage.hub.instruments))
            kept = viewer.mirror._books[newest["instrument_token"]]
            assert kept["known"] == newest["known"]
            assert [list(level) for level in kept["buy"]] == newest["buy"]
