"""What a listener knows of books and topics: the newest of each, and never shown as live when it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.errors import FrameError, UnknownInstrument
from tapedeck.instruments import Instruments
from tapedeck.relay.client import StreamClient, connect
from tapedeck.relay.mirror import KEPT_TOPICS, Mirror
from tests.hub_support import FRIDAY, at
from tests.relay_support import HELLO, Rumour, Served, Stage, Viewer, served
from tests.support import wait_until

WISH = '{"a": "depth", "v": ["NSE:S1", "NSE:S2"]}'
LISTEN = '{"a": "topics", "v": ["overview"]}'


def stage_with_viewer() -> tuple[Stage, Viewer]:
    stage = Stage(topics={"overview": Rumour()})
    viewer = stage.viewer(HELLO)
    viewer.mirror.connected = True
    viewer.say(WISH)
    viewer.say(LISTEN)
    stage.publish(10.0, 20.0)
    stage.beat()
    return stage, viewer


def depth(stage: Stage, viewer: Viewer, key: str | int = "NSE:S1") -> dict[str, Any]:
    return viewer.mirror.depth(key, stage.clock.monotonic())


def overview(stage: Stage, viewer: Viewer) -> dict[str, Any]:
    return viewer.mirror.topic("overview", stage.clock.monotonic())


def test_the_newest_book_is_kept_by_key_and_by_token():
    stage, viewer = stage_with_viewer()
    stage.publish(11.0)
    stage.beat()
    book = depth(stage, viewer)
    assert book == depth(stage, viewer, 257)
    assert (book["fresh"], book["reason"], book["source"]) == (True, "", "kite")
    assert book["buy"] == [(10.95, 3, 0)] * 5
    assert depth(stage, viewer, "NSE:S2")["buy"][0] == (19.95, 3, 0)
    book["buy"].clear()
    assert len(depth(stage, viewer)["buy"]) == 5, "what is given away is a copy"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda stage: stage.hub.feed_status("LOGIN_REQUIRED", "login required"), "login required"),
        (lambda stage: stage.hub.connected(), "not confirmed on this connection yet"),
        (lambda stage: stage.clock.set(at(FRIDAY, "15:35")), "outside the session"),
    ],
)
def test_a_book_is_blank_with_the_reason_when_its_instrument_is(spoil, reason):
    stage, viewer = stage_with_viewer()
    spoil(stage)
    stage.beat()
    book = depth(stage, viewer)
    assert (book["fresh"], book["reason"]) == (False, reason)
    assert (book["known"], book["buy"], book["sell"]) == (False, [], [])


def test_a_silent_desk_blanks_books_and_topics_by_itself():
    stage, viewer = stage_with_viewer()
    assert overview(stage, viewer)["message"] is not None
    stage.clock.advance(5.2)
    assert (depth(stage, viewer)["reason"], depth(stage, viewer)["buy"]) == ("desk silent", [])
    said = overview(stage, viewer)
    assert (said["fresh"], said["reason"], said["message"]) == (False, "desk silent", None)


def test_reasons_before_anything_came():
    mirror = Mirror()
    with pytest.raises(UnknownInstrument):
        mirror.depth("NSE:S1", 0.0)
    assert mirror.topic("overview", 0.0)["reason"] == "connecting to the desk"
    stage = Stage()
    viewer = stage.viewer(HELLO)
    stage.publish(1.0)
    stage.beat()
    assert depth(stage, viewer)["reason"] == "no book yet"
    assert depth(stage, viewer, "NSE:S2")["reason"] == "not confirmed on this connection yet"
    assert overview(stage, viewer)["reason"] == "nothing heard yet"
    viewer.mirror.watch(["NSE:S2"])
    viewer.mirror.listen([])
    assert depth(stage, viewer)["reason"] == "its book is not watched"
    assert overview(stage, viewer)["reason"] == "it is not listened to"


def test_a_packet_without_a_book_says_so():
    stage, viewer = stage_with_viewer()
    viewer.mirror.apply(
        json.dumps(
            {
                "type": "depth", "instrument_token": 257, "known": False, "buy": [], "sell": [],
                "total_buy_quantity": 7, "total_sell_quantity": None, "oi_day_high": None, "oi_day_low": None,
            }
        ),
        stage.clock.monotonic(),
    )  # fmt: skip
    book = depth(stage, viewer)
    assert (book["fresh"], book["reason"]) == (False, "the newest packet had no book")
    assert book["total_buy_quantity"] == 7


def test_official_prices_of_a_topic_stay_outside_the_session():
    stage, viewer = stage_with_viewer()
    viewer.mirror.apply('{"type": "overview", "held": false, "date": 20261119}', stage.clock.monotonic())
    said = overview(stage, viewer)
    assert (said["fresh"], said["reason"]) == (False, "outside the session")
    assert said["message"]["date"] == 20261119


def test_another_source_or_a_new_connection_forgets_everything_said_before():
    stage, viewer = stage_with_viewer()
    viewer.mirror.forget()
    assert viewer.mirror._books == viewer.mirror._topics == {}
    viewer.say('{"a": "snapshot"}')
    stage.beat()
    assert depth(stage, viewer)["fresh"]
    assert overview(stage, viewer)["fresh"]
    stage.hub.open_source("sim:7:2026-11-20", Instruments(stage.instruments[1:]))
    stage.beat()
    with pytest.raises(UnknownInstrument):
        depth(stage, viewer)
    assert list(viewer.mirror._books) == [513]
    assert overview(stage, viewer)["message"]["epoch"] == 2


def test_a_book_that_is_not_sent_any_more_does_not_stay():
    stage, viewer = stage_with_viewer()
    viewer.mirror.watch(["NSE:S2"])
    assert list(viewer.mirror._books) == [513]
    stage.publish(11.0, 21.0)
    stage.beat()
    assert list(viewer.mirror._books) == [513], "what was on its way already is not kept either"
    viewer.say('{"a": "unsubscribe", "v": ["NSE:S2"]}')
    stage.beat()
    assert viewer.mirror._books == {}


@pytest.mark.parametrize("token", ["Infinity", "NaN", '"x"', "null", "[1]"])
def test_a_token_that_is_no_number_is_refused(token):
    with pytest.raises(FrameError):
        Mirror().apply(f'{{"type": "depth", "instrument_token": {token}}}', 0.0)


def test_whoever_invents_topics_is_not_remembered():
    mirror = Mirror()
    for i in range(100):
        mirror.apply(json.dumps({"type": f"topic {i}"}), 0.0)
    assert len(mirror._topics) == KEPT_TOPICS
    assert len(mirror.texts) == 0


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())
book_fields = ("instrument_token", "known", "buy", "sell", "total_buy_quantity", "oi_day_high", "oi_day_low")


@given(said=st.dictionaries(st.sampled_from([*book_fields, "total_sell_quantity"]), values))
@settings(max_examples=300, deadline=None)
def test_a_book_that_makes_no_sense_is_refused_and_changes_nothing(said):
    mirror = Mirror()
    mirror._tokens = {257: 257}
    try:
        mirror.apply(json.dumps(said | {"type": "depth"}), 0.0)
    except FrameError:
        assert mirror._books == {}


# -- over a socket -------------------------------------------------------------------------------------------------


def wishes(server: Served) -> list[tuple]:
    """What the server has understood of everybody's wishes."""
    everybody = server.on_loop(lambda: list(server.relay._listeners.values()))
    return [(one.focus_asked, one.depth_asked, tuple(one.topics), one.paused) for one in everybody]


def client_of(server: Served) -> StreamClient:
    return connect(server.url, ["NSE:S1", "NSE:S2", "NSE:S3"], rate=10)


def test_focus_books_and_topics_are_asked_for_again_after_a_reconnect():
    with served(3, topics={"overview": Rumour()}) as server, client_of(server) as client:
        client.focus("NSE:S1", 513)
        client.watch_books("NSE:S1")
        client.listen("overview")
        server.publish(1.0, 2.0, 3.0)
        wait_until(lambda: len(client.table) == 3)
        wait_until(lambda: client.depth("NSE:S1")["fresh"])
        wait_until(lambda: client.topic("overview")["fresh"])
        assert wishes(server) == [(("NSE:S1", 513), ("NSE:S1",), ("overview",), False)]
        server.on_loop(lambda: [one.outlet.abort() for one in list(server.relay._listeners.values())])
        wait_until(lambda: client.connects == 2 and client.header is not None)
        wait_until(lambda: wishes(server) == [(("NSE:S1", 513), ("NSE:S1",), ("overview",), False)])
        wait_until(lambda: client.depth("NSE:S1")["fresh"])
        client.unfocus()
        wait_until(lambda: wishes(server) == [(None, ("NSE:S1",), ("overview",), False)])
        client.watch_books()
        client.listen()
        wait_until(lambda: wishes(server) == [(None, (), (), False)])
        assert client.depth("NSE:S1")["reason"] == "its book is not watched"
        assert client.topic("overview")["message"] is None
        assert client.ask(lambda mirror: list(mirror.texts)) == [], "nothing was refused"


def test_nothing_is_said_before_hello_whoever_asks_early():
    with served(3, topics={"overview": Rumour()}) as server:
        for _ in range(10):
            with client_of(server) as client:
                client.subscribe("NSE:S1")
                client.focus("NSE:S1")
                client.watch_books("NSE:S1")
                client.listen("overview")
                client.pause()
                want = (("NSE:S1",), ("NSE:S1",), ("overview",), True)
                wait_until(lambda want=want: wishes(server) == [want])
            wait_until(lambda: server.relay.client_count == 0)
        assert server.relay.stats["refused_messages"] == 0


def test_more_books_than_a_listener_may_have_are_refused_at_once():
    with served(1) as server, connect(server.url, ["NSE:S1"]) as client:
        client.watch_books("NSE:S1")
        with pytest.raises(FrameError, match="11 books were wanted; one listener may have 10"):
            client.watch_books(*range(1, 12))
        wait_until(lambda: wishes(server) and wishes(server)[0][1] == ("NSE:S1",))
