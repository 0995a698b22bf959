"""Order books and messages about the market: made once, sent to who asked, never shown when not fresh."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pytest

from tapedeck.clock import SECOND
from tapedeck.errors import SubscriptionLimit
from tapedeck.instruments import Instruments
from tapedeck.schema import Batch, Instrument
from tests.hub_support import FRIDAY, at
from tests.relay_support import HELLO, Rumour, Stage, Viewer, full, texts


def depth(*keys: str | int) -> str:
    return json.dumps({"a": "depth", "v": list(keys)})


def kinds(viewer: Viewer) -> list[str]:
    """What came since the last call, in order."""
    return [json.loads(m)["type"] if isinstance(m, str) else "frame" for m in viewer.take()]


def books(viewer: Viewer) -> list[dict]:
    return texts(viewer, "depth")


# -- depth ---------------------------------------------------------------------------------------------------------


def test_a_book_comes_after_the_wish_after_a_snapshot_and_when_it_changed():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.publish(10.0)
    stage.beat()
    viewer.take()
    viewer.say(depth("NSE:S1"))
    stage.beat()
    (book,) = books(viewer)
    assert book == {
        "type": "depth", "instrument_token": 257, "key": "NSE:S1", "known": True,
        "buy": [[9.95, 3, 0]] * 5, "sell": [], "total_buy_quantity": None, "total_sell_quantity": None,
        "oi_day_high": None, "oi_day_low": None,
    }  # fmt: skip
    stage.beat(3)
    assert books(viewer) == [], "nothing changed"
    stage.publish(11.0, 20.0)
    stage.beat()
    assert [one["buy"][0][0] for one in books(viewer)] == [10.95]
    viewer.say('{"a": "snapshot"}')
    stage.beat()
    assert kinds(viewer)[-2:] == ["frame", "depth"]


def test_a_book_is_encoded_once_per_content_whoever_listens():
    stage = Stage()
    viewers = [stage.viewer(HELLO.replace("10}", f"{rate}}}")) for rate in (10, 10, 10, 2, 1)]
    for viewer in viewers:
        viewer.say(depth("NSE:S1", 513))
    stage.publish(1.0, 2.0)
    stage.beat()
    assert stage.relay.stats["depth_built"] == 2
    assert stage.relay.stats["depth"] == 10
    stage.publish(1.5, 2.5)
    stage.beat(10)
    assert stage.relay.stats["depth_built"] == 4, "the slower ones are sent the very same text later"
    assert stage.relay.stats["depth"] == 20


def test_a_slow_viewer_gets_only_the_newest_book():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(depth("NSE:S1"))
    stage.beat()
    viewer.take()
    viewer.stuck = True
    for i in range(20):
        stage.publish(float(i + 1))
        stage.beat()
    viewer.stuck = False
    stage.beat()
    assert [one["buy"][0][0] for one in books(viewer)] == [19.95]


def test_a_book_outside_the_focus_still_comes_at_the_full_rate():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(depth("NSE:S1"))
    viewer.say('{"a": "focus", "v": []}')
    stage.beat(10)
    viewer.take()
    for i in range(5):
        stage.publish(float(i + 1))
        stage.beat()
    assert len(books(viewer)) == 5


def test_books_of_what_is_not_subscribed_wait_until_it_is():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(depth("NSE:S5", "NSE:NOPE", 257))
    stage.publish(1.0, 2.0, 3.0, 4.0, 5.0)
    stage.beat()
    assert [one["key"] for one in books(viewer)] == ["NSE:S1"]
    viewer.say('{"a": "subscribe", "v": ["NSE:S5"]}')
    stage.beat()
    assert [one["key"] for one in books(viewer)] == ["NSE:S5", "NSE:S1"], "in the order they were named"
    viewer.say('{"a": "unsubscribe", "v": ["NSE:S1"]}')
    stage.beat()
    assert [one["key"] for one in books(viewer)] == ["NSE:S5"]
    viewer.say(HELLO)
    stage.beat()
    assert books(viewer) == [], "hello ends the wish"
    viewer.say(depth())
    stage.publish(9.0)
    stage.beat()
    assert books(viewer) == []


def test_a_book_that_is_not_fresh_is_not_known():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(depth("NSE:S1"))
    stage.beat()
    assert [(one["known"], one["buy"]) for one in books(viewer)] == [(False, [])], "no packet yet"
    stage.publish(1.0)
    stage.beat()
    assert [one["known"] for one in books(viewer)] == [True]
    stage.hub.connected()
    stage.beat()
    assert [(one["known"], one["buy"]) for one in books(viewer)] == [(False, [])], "not confirmed on this connection"
    # A packet without a book proves the price, not the book.
    quote = full(stage.instruments[:1], [2.0], stage.clock.now())
    quote.ticks["total_buy_quantity"], quote.ticks["oi_day_high"] = 700, 50
    stage.hub.publish(Batch(quote.ticks, quote.depth[:0]))
    stage.beat()
    (book,) = books(viewer)
    assert (book["known"], book["buy"], book["total_buy_quantity"]) == (False, [], 700)
    assert (book["oi_day_high"], book["oi_day_low"]) == (50, None)
    stage.clock.set(at(FRIDAY, "15:35"))
    stage.beat()
    (book,) = books(viewer)
    assert (book["known"], book["total_buy_quantity"]) == (False, None)


def test_empty_levels_are_left_out_and_the_others_keep_their_order():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(depth("NSE:S1"))
    batch = full(stage.instruments[:1], [100.0], stage.clock.now())
    batch.depth["buy"][0] = [(99.0, 5, 2), (98.0, 0, 0), (0.0, 0, 0), (0.0, 0, 0), (0.0, 0, 0)]
    batch.depth["sell"][0] = [(101.0, 7, 1), (0.0, 9, 4), (0.0, 0, 0), (0.0, 0, 0), (0.0, 0, 0)]
    stage.hub.publish(batch)
    stage.beat()
    (book,) = books(viewer)
    assert book["buy"] == [[99.0, 5, 2], [98.0, 0, 0]]
    assert book["sell"] == [[101.0, 7, 1], [0.0, 9, 4]]


def test_books_follow_a_change_of_source():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(depth("NSE:S3", "NSE:S1"))
    stage.publish(1.0, 2.0, 3.0)
    stage.beat()
    viewer.take()
    stage.hub.open_source("sim:7:2026-11-20", Instruments(stage.instruments[2:]))
    stage.hub.publish(full(stage.instruments[4:1:-1], [50.0, 40.0, 30.0], stage.clock.now()))
    stage.beat()
    assert [(one["key"], one["buy"][0][0]) for one in books(viewer)] == [("NSE:S3", 29.95)]


def test_nobody_is_sent_books_while_paused():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(depth("NSE:S1"))
    stage.beat()
    viewer.say('{"a": "pause"}')
    stage.publish(4.0)
    viewer.take()
    stage.beat(3)
    assert viewer.take() == []
    viewer.say('{"a": "resume"}')
    stage.beat()
    assert kinds(viewer)[-2:] == ["frame", "depth"]


# -- topics --------------------------------------------------------------------------------------------------------


def topics(*names: str) -> str:
    return json.dumps({"a": "topics", "v": list(names)})


def test_a_topic_is_made_once_a_second_while_somebody_listens_and_sent_when_it_changed():
    rumour = Rumour()
    stage = Stage(topics={"overview": rumour})
    one, two = stage.viewer(HELLO), stage.viewer(HELLO)
    stage.beat(30)
    assert (rumour.heard, rumour.built) == ([], 0)
    one.take(), two.take()
    one.say(topics("overview"))
    stage.beat()
    assert texts(one, "overview") == [{"type": "overview", "epoch": 1, "best": 0.0}]
    assert texts(two, "overview") == []
    two.say(topics("overview"))
    stage.beat()
    assert len(texts(two, "overview")) == 1, "who comes later is told what was said last"
    for i in range(50):
        stage.publish(float(i))
        stage.beat()
    assert rumour.built == 6
    assert len(texts(one, "overview")) == len(texts(two, "overview")) == 5
    stage.beat(30)
    assert rumour.built == 9
    assert texts(one, "overview") != [], "the last change"
    stage.beat(30)
    assert texts(one, "overview") == [], "nothing new to say"


def test_listening_begins_with_the_first_and_ends_with_the_last():
    rumour = Rumour()
    stage = Stage(topics={"overview": rumour})
    one, two = stage.viewer(HELLO), stage.viewer(HELLO)
    one.say(topics("overview"))
    two.say(topics("overview"))
    one.say(topics("overview"))
    assert rumour.heard == [True]
    one.say(topics())
    assert rumour.heard == [True]
    two.say(HELLO)
    assert rumour.heard == [True, False]
    one.say(topics("overview"))
    stage.relay.leave(one.listener)
    assert rumour.heard == [True, False, True, False]
    two.say(topics("overview"))
    stage.relay.close()
    assert rumour.heard[-1] is False


def test_a_topic_is_sent_again_after_a_snapshot_and_after_the_wish():
    stage = Stage(topics={"overview": Rumour()})
    viewer = stage.viewer(HELLO)
    viewer.say(topics("overview"))
    viewer.say(depth("NSE:S1"))
    stage.beat()
    assert kinds(viewer) == ["welcome", "state", "frame", "depth", "overview"]
    viewer.say('{"a": "snapshot"}')
    stage.beat()
    assert kinds(viewer) == ["frame", "depth", "overview"]
    viewer.say(topics("overview"))
    stage.beat()
    assert kinds(viewer) == ["overview"]


def test_an_old_text_is_never_repeated_to_who_comes_after_a_break():
    stage = Stage(topics={"overview": Rumour()})
    viewer = stage.viewer(HELLO)
    viewer.say(topics("overview"))
    stage.publish(5.0)
    stage.beat()
    viewer.say(topics())
    stage.publish(9.0)
    stage.beat()
    viewer.take()
    viewer.say(topics("overview"))
    stage.beat()
    assert [one["best"] for one in texts(viewer, "overview")] == [9.0]


def test_a_topic_starts_over_with_its_source():
    stage = Stage(topics={"overview": Rumour()})
    viewer = stage.viewer(HELLO)
    viewer.say(topics("overview"))
    stage.publish(5.0)
    stage.beat()
    viewer.take()
    stage.hub.open_source("sim:7:2026-11-20", Instruments(stage.instruments))
    stage.beat()
    assert texts(viewer, "overview") == [{"type": "overview", "epoch": 2, "best": 0.0}]


@pytest.mark.parametrize("names", [["weather"], ["overview", "weather"], [7], [""]])
def test_an_unknown_topic_is_answered_with_the_allowed_ones_and_changes_nothing(names):
    rumour = Rumour()
    stage = Stage(topics={"overview": rumour})
    viewer = stage.viewer(HELLO)
    stage.beat()
    viewer.take()
    viewer.say(json.dumps({"a": "topics", "v": names}))
    stage.beat()
    (error,) = texts(viewer, "error")
    assert "allowed" in error["message"]
    assert rumour.heard == []


def test_a_topic_that_cannot_be_had_is_answered_and_leaves_no_listener():
    class Greedy(Rumour):
        def listen(self, on: bool) -> None:
            raise SubscriptionLimit("3 instruments are all one connection may carry")

    stage = Stage(topics={"overview": Greedy()})
    viewer = stage.viewer(HELLO)
    viewer.say(topics("overview"))
    stage.beat()
    assert "one connection" in texts(viewer, "error")[0]["message"]
    assert stage.relay._topics.listeners("overview") == 0


def test_a_topic_that_fails_is_counted_and_harms_nobody():
    rumour = Rumour()
    stage = Stage(topics={"overview": rumour})
    viewer = stage.viewer(HELLO)
    viewer.say(topics("overview"))
    rumour.wrong = True
    for i in range(30):
        stage.publish(float(i))
        stage.beat()
    assert stage.relay.stats["topic_failures"] == 3
    assert len(viewer.frames()) == 30
    rumour.wrong = False
    stage.beat(10)
    assert [one["best"] for one in texts(viewer, "overview")] == [29.0]


def test_a_desk_without_topics_says_so():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(topics("overview"))
    stage.beat()
    assert texts(viewer, "error")[0]["message"] == "topic was 'overview'; allowed: none on this desk"


def test_the_welcome_names_expiry_and_strike():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.hub.open_source("kite", Instruments([*stage.instruments, option()]))
    viewer.say('{"a": "hello", "v": ["NFO:S126NOV1400CE"]}')
    stage.beat()
    (one,) = texts(viewer, "welcome")[-1]["instruments"]
    assert (one["exchange"], one["tradingsymbol"]) == ("NFO", "S126NOV1400CE")
    assert (one["expiry"], one["strike"], one["instrument_type"]) == ("2026-11-24", None, "CE")


def option() -> Instrument:
    """A contract whose strike the dump gave as no number."""
    return Instrument(
        2562, "S126NOV1400CE", "NFO", expiry=date(2026, 11, 24), strike=np.nan, instrument_type="CE", segment="NFO-OPT"
    )


def test_late_packets_do_not_wind_a_book_back():
    stage = Stage()
    viewer = stage.viewer(HELLO)
    viewer.say(depth("NSE:S1"))
    stage.publish(5.0)
    stage.beat()
    viewer.take()
    stage.hub.publish(full(stage.instruments[:1], [4.0], stage.clock.now() - 60 * SECOND))
    stage.beat()
    assert books(viewer) == []
