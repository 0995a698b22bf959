"""What viewers may ask, what the slow cost, and that no message brings the relay down."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.relay.frames import DELTA, SNAPSHOT
from tapedeck.relay.listener import MAX_ERRORS
from tests.relay_support import HELLO, Rumour, Stage, price, texts

# -- slow viewers --------------------------------------------------------------------------------------------------


def test_a_viewer_that_does_not_read_gets_the_newest_values_later_and_is_told():
    stage = Stage()
    slow, fast = stage.viewer(HELLO), stage.viewer(HELLO)
    stage.beat()
    slow.stuck = True
    sends = slow.sends
    for i in range(20):
        stage.publish(float(i), 2.0 * i)
        stage.beat()
    assert slow.sends == sends, "nothing queues for it"
    assert price(fast, 257) == 19.0
    assert len([m for m in fast.messages if isinstance(m, bytes)]) == 21
    slow.stuck = False
    slow.take()
    stage.beat()
    messages = list(slow.messages)
    assert price(slow, 257) == 19.0
    assert price(slow, 513) == 38.0
    (frame,) = slow.frames()
    assert frame.conflated == 20
    assert frame.kind == DELTA
    notices = [json.loads(m) for m in messages if isinstance(m, str) and '"notice"' in m]
    assert [notice["conflated"] for notice in notices] == [20]
    assert stage.relay.stats["conflated"] == 20


def test_beats_without_news_are_not_counted_as_merged():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.beat()
    viewer.stuck = True
    stage.publish(1.0)
    stage.beat(10)
    assert stage.relay.stats["conflated"] == 1


def test_a_viewer_that_reads_nothing_for_five_seconds_is_cut_off_and_forgotten():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.publish(1.0)
    stage.beat()
    viewer.stuck = True
    stage.beat(49)
    assert viewer.ended == ""
    stage.beat(3)
    assert viewer.ended == "aborted"
    assert stage.relay.stats["dropped_slow"] == 1
    assert stage.relay.client_count == 0
    assert stage.wishes.held == {}


def test_a_viewer_that_reads_on_however_slowly_is_kept():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.beat()
    viewer.stuck = True
    for i in range(200):
        stage.publish(float(i))
        viewer.left += i % 40 == 0  # one byte every four seconds
        stage.beat()
    assert viewer.ended == ""
    assert stage.relay.stats["conflated"] == 200
    stage.beat(9)
    assert viewer.ended == "", "its last byte left less than five seconds ago"
    stage.beat(3)
    assert viewer.ended == "aborted"
    assert stage.relay.stats["dropped_slow"] == 1


def test_a_viewer_that_reads_again_in_time_is_told_how_far_it_was_behind():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.beat()
    viewer.stuck = True
    for i in range(45):
        stage.publish(float(i))
        stage.beat()
    viewer.stuck = False
    viewer.take()
    stage.beat()
    (notice,) = texts(viewer, "notice")
    assert notice["conflated"] == 45
    assert "reads slowly" in notice["message"]
    assert price(viewer, 257) == 44.0
    stage.beat(100)
    assert viewer.ended == ""


# -- wishes --------------------------------------------------------------------------------------------------------


def test_upstream_subscriptions_follow_the_viewers_wishes():
    stage = Stage()
    one, two = stage.viewer(HELLO), stage.viewer('{"a": "hello", "v": ["NSE:S1"]}')
    assert stage.wishes.held == {one.listener.name: {257, 513, 769}, two.listener.name: {257}}
    one.say('{"a": "unsubscribe", "v": [513, "NSE:S3", "NSE:S5"]}')
    two.say('{"a": "subscribe", "v": ["NSE:S4", 257]}')
    assert stage.wishes.held == {one.listener.name: {257}, two.listener.name: {257, 1025}}
    stage.beat()
    assert one.mirror.table["instrument_token"].tolist() == [257]
    assert two.mirror.table["instrument_token"].tolist() == [257, 1025]
    one.say('{"a": "hello", "v": []}')
    assert stage.wishes.held[one.listener.name] == set()
    stage.relay.leave(one.listener)
    stage.relay.leave(one.listener)
    assert list(stage.wishes.held) == [two.listener.name]


def test_more_than_the_connection_carries_is_answered_and_changes_nothing():
    stage = Stage(limit=3)
    viewer = stage.viewer(HELLO)
    stage.beat()
    viewer.take()
    viewer.say('{"a": "subscribe", "v": ["NSE:S4"]}')
    stage.publish(9.0)
    stage.beat()
    assert [one["message"] for one in texts(viewer, "error")] == ["3 instruments are all one connection may carry"]
    assert price(viewer, 257) == 9.0
    assert stage.wishes.held[viewer.listener.name] == {257, 513, 769}


def test_one_viewer_may_not_gather_more_than_its_share_by_many_messages():
    stage = Stage()
    viewer = stage.viewer(json.dumps({"a": "hello", "v": list(range(1, 3001))}))
    viewer.say(json.dumps({"a": "subscribe", "v": [5000]}))
    stage.beat()
    assert "one viewer may have 3000" in texts(viewer, "error")[0]["message"]


def test_snapshot_pause_and_resume():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.publish(1.0, 2.0, 3.0)
    stage.beat()
    viewer.take()
    viewer.say('{"a": "snapshot"}')
    stage.beat()
    assert [frame.kind for frame in viewer.frames()] == [SNAPSHOT]
    viewer.say('{"a": "pause"}')
    stage.publish(4.0)
    stage.beat(250)
    assert viewer.take() == [], "a hidden tab is sent nothing: what it holds grows old by itself"
    assert viewer.pings == 2, "but the network finds out when it is gone"
    viewer.say('{"a": "resume"}')
    stage.beat()
    (frame,) = viewer.frames()
    assert frame.kind == SNAPSHOT
    assert price(viewer, 257) == 4.0
    stage.publish(5.0)
    stage.beat()
    assert [frame.kind for frame in viewer.frames()] == [DELTA]


def test_who_talks_too_much_is_refused_and_in_the_end_cut_off():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    for _ in range(100):
        viewer.say('{"a": "snapshot"}')
    stage.beat()
    assert len(texts(viewer, "error")) == MAX_ERRORS, "answers do not queue without end"
    assert viewer.ended == ""
    stage.clock.advance(2)
    viewer.say('{"a": "snapshot"}')
    stage.beat()
    assert texts(viewer, "error") == []
    for _ in range(300):
        viewer.say("rubbish")
    assert viewer.ended == "aborted"
    assert stage.wishes.held == {}


def test_what_a_viewer_says_after_its_end_is_not_done():
    stage = Stage(topics={"overview": Rumour()})
    viewer = stage.viewer(HELLO)
    stage.relay.leave(viewer.listener)
    viewer.say(HELLO)
    viewer.say('{"a": "topics", "v": ["overview"]}')
    stage.beat()
    assert stage.wishes.held == {}
    assert stage.relay._topics.listeners("overview") == 0
    assert viewer.messages == []


def test_nobody_hears_anything_before_hello():
    stage = Stage()
    viewer = stage.viewer()
    stage.publish(1.0)
    stage.beat(30)
    assert viewer.take() == []
    assert stage.wishes.held == {}


@given(said=st.lists(st.one_of(st.text(max_size=60), st.binary(max_size=20), st.sampled_from([
    HELLO, '{"a":"pause"}', '{"a":"resume"}', '{"a":"snapshot"}', '{"a":"hello","v":[99999999]}',
    '{"a":"subscribe","v":["NSE:S5",0]}', '{"a":"unsubscribe","v":["NSE:S1"]}', '{"a":"subscribe","v":[[]]}',
    '{"a":"hello","v":{}}', '{"a":null}', '{"a":"hello","rate":1e400}', '{"a":"focus","v":[257,"NSE:S9"]}',
    '{"a":"focus","v":[]}', '{"a":"depth","v":["NSE:S1",513,4294967295]}', '{"a":"depth","v":[]}',
    '{"a":"topics","v":["overview"]}', '{"a":"topics","v":["weather"]}', '{"a":"topics","v":[0]}',
])), max_size=25))  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_no_message_brings_the_relay_down(said):
    stage = Stage(topics={"overview": Rumour()})
    rude, other = stage.viewer(), stage.viewer(HELLO)
    for i, text in enumerate(said):
        before = stage.relay.stats["refused_messages"]
        rude.say(text)
        refused = stage.relay.stats["refused_messages"] > before
        stage.publish(float(i))
        stage.clock.advance(0.1)
        stage.beat()
        assert refused == bool(texts(rude, "error"))
    stage.publish(77.0)
    stage.beat()
    assert price(other, 257) == 77.0
