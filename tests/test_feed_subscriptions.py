"""What is wanted is what the exchange is told, in the fewest words; silence of an instrument is reported."""

from __future__ import annotations

import pytest

from tapedeck import feed
from tapedeck.errors import SubscriptionLimit
from tapedeck.feed import (
    Closed,
    Connected,
    FrameArrived,
    PacketsSeen,
    Release,
    Report,
    Send,
    SessionChanged,
    Start,
    Stop,
    Subscribe,
    Subscribed,
    Timer,
    Unsubscribed,
    WakeAt,
)  # fmt: skip
from tests.feed_support import Bench

pytest_plugins = ["tests.feed_support"]

# -- subscriptions -------------------------------------------------------------------------------------------


def test_everything_wanted_is_said_after_each_connect_with_numbers_for_tokens(bench):
    bench(Subscribe("page", (408065, 256265), "full"))
    bench(Subscribe("chain", (884737,), "ltp"))
    for _ in range(2):
        bench(Start(token="t1"))
        bench(Connected("t1"))
        assert bench.texts() == [
            {"a": "subscribe", "v": [408065, 256265, 884737]},
            {"a": "mode", "v": ["ltp", [884737]]},
            {"a": "mode", "v": ["full", [408065, 256265]]},
        ]
        assert bench.of(Subscribed) == [Subscribed((408065, 256265, 884737))]
        bench(Stop())
        bench(Closed())


def test_while_connected_only_differences_are_said(bench):
    bench(Subscribe("a", (1, 2, 3), "quote"))
    bench.live()
    bench(Subscribe("b", (3, 4), "full"))
    bench(Release("a", (1,)))
    bench(Timer())
    assert bench.texts() == [
        {"a": "unsubscribe", "v": [1]},
        {"a": "subscribe", "v": [4]},
        {"a": "mode", "v": ["full", [3, 4]]},
    ]
    assert bench.of(Unsubscribed) == [Unsubscribed((1,))]
    bench(Release("b"))
    bench(Timer())
    assert bench.texts() == [{"a": "unsubscribe", "v": [4]}, {"a": "mode", "v": ["quote", [3]]}]


def test_a_change_that_cancels_out_says_nothing(bench):
    bench.live()
    bench(Subscribe("a", (1,)))
    bench(Release("a"))
    bench(Timer())
    assert not bench.of(Send)


def test_an_instrument_stays_while_any_listener_wants_it(bench):
    bench.live()
    bench(Subscribe("a", (1,)))
    bench(Subscribe("b", (1,)))
    bench(Timer())
    bench(Release("a"))
    bench(Timer())
    assert not bench.of(Send)
    bench(Release("b"))
    bench(Timer())
    assert bench.texts() == [{"a": "unsubscribe", "v": [1]}]


def test_many_instruments_are_said_in_chunks(bench):
    bench(Subscribe("all", tuple(range(1, 3001))))
    bench.live()
    bench(Closed())
    bench(Timer(), after=0.5)
    bench(Connected("t1"))
    sizes = [len(text["v"]) if text["a"] == "subscribe" else len(text["v"][1]) for text in bench.texts()]
    assert sizes == [500] * 12


def test_the_limit_is_a_clear_error_and_changes_nothing():
    bench = Bench(limit=3)
    bench(Subscribe("a", (1, 2)))
    with pytest.raises(SubscriptionLimit, match="which would make 4 on the one connection; Kite allows 3"):
        bench(Subscribe("b", (2, 3, 4)))
    assert bench.feed.subscriptions.modes() == {1: "full", 2: "full"}
    assert bench.feed.subscriptions.listeners() == {"a": 2}
    bench(Subscribe("b", (2, 3)))
    assert len(bench.feed.subscriptions) == 3


def test_at_the_limit_the_wire_is_emptied_before_it_is_filled():
    bench = Bench(limit=2)
    bench(Subscribe("a", (1, 2)))
    bench.live()
    bench(Release("a"))
    bench(Subscribe("a", (3, 4)))
    bench(Timer())
    assert [text["a"] for text in bench.texts()] == ["unsubscribe", "subscribe", "mode"]


@pytest.mark.parametrize(("tokens", "mode"), [((0,), "full"), ((-1,), "full"), ((1 << 32,), "full"), ((1,), "fulll")])
def test_nonsense_is_refused_before_anything_changes(bench, tokens, mode):
    with pytest.raises(ValueError, match="allowed"):
        bench(Subscribe("a", (5, *tokens), mode))
    assert len(bench.feed.subscriptions) == 0


def test_a_listener_that_asks_again_takes_the_new_mode(bench):
    bench(Subscribe("a", (1, 2), "full"))
    bench(Subscribe("a", (1,), "ltp"))
    assert bench.feed.subscriptions.modes() == {1: "ltp", 2: "full"}
    bench(Release("a", (1, 99)))
    bench(Release("nobody"))
    assert bench.feed.subscriptions.modes() == {2: "full"}


# -- first packets -------------------------------------------------------------------------------------------


def test_an_instrument_without_a_first_packet_is_reported_after_five_seconds(bench):
    bench(Subscribe("a", (1, 2)))
    bench.live()
    bench(PacketsSeen((1,)))
    for _ in range(4):
        bench(FrameArrived(), after=1)
        bench(Timer())
        assert bench.feed.status.silent == ()
    bench(FrameArrived(), after=1)
    bench(Timer())
    assert bench.feed.status.silent == (2,)
    assert bench.of(Report)
    bench(PacketsSeen((2,)))
    assert bench.feed.status.silent == ()


def test_the_timer_for_first_packets_is_asked_for(bench):
    bench(Subscribe("a", (1,)))
    bench.live()
    due = bench.now + 5
    bench(FrameArrived(), after=4)
    bench(Timer())
    assert [action.when for action in bench.of(WakeAt)] == [due]


def test_outside_the_session_silence_is_no_news(bench):
    bench(Subscribe("a", (1,)))
    bench.live(in_session=False)
    bench(FrameArrived(), after=4)
    bench(FrameArrived(), after=4)
    bench(Timer())
    assert bench.feed.status.silent == ()
    bench(SessionChanged(True))
    bench(FrameArrived(), after=4)
    bench(Timer())
    assert bench.feed.status.silent == ()
    bench(FrameArrived(), after=1)
    bench(Timer())
    assert bench.feed.status.silent == (1,)
    bench(Release("a"))
    bench(Timer())
    assert bench.feed.status.silent == ()


def test_the_names_of_the_states_are_a_closed_list(bench):
    assert feed.STATES == ("IDLE", "CONNECTING", "LIVE", "STALE", "BACKOFF", "LOGIN_REQUIRED", "STANDBY")
    assert bench.state in feed.STATES
