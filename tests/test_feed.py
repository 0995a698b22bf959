"""The feed's decisions, event by event."""

from __future__ import annotations

import json
import random

import pytest

from tapedeck import feed
from tapedeck.errors import SubscriptionLimit
from tapedeck.feed import (
    Closed,
    Connect,
    Connected,
    ConnectFailed,
    Disconnect,
    Feed,
    FrameArrived,
    PacketsSeen,
    Release,
    Report,
    Send,
    SessionChanged,
    Standby,
    Start,
    Stop,
    Subscribe,
    Subscribed,
    Timer,
    TokenChanged,
    Unsubscribed,
    WakeAt,
)  # fmt: skip


class Bench:
    """A feed and what it answered, with a clock moved by hand."""

    def __init__(self, *, limit: int = 3000, seed: int = 7) -> None:
        self.feed = Feed(rng=random.Random(seed), limit=limit)
        self.now = 100.0
        self.actions: list = []

    def __call__(self, event, *, after: float = 0.0) -> list:
        self.now += after
        self.actions = self.feed.handle(event, self.now)
        return self.actions

    def of(self, kind) -> list:
        return [action for action in self.actions if isinstance(action, kind)]

    def texts(self) -> list:
        return [json.loads(action.text) for action in self.of(Send)]

    @property
    def state(self) -> str:
        return self.feed.status.state

    def live(self, *, token: str = "t1", in_session: bool = True) -> None:
        self(Start(token=token, in_session=in_session))
        self(Connected(token))
        self(FrameArrived())
        assert self.state == "LIVE"

    def waits(self, event) -> float:
        """Seconds the feed waits after a failure; the attempt that follows is started."""
        self(event)
        assert not self.of(Connect)
        retry_at = self.feed.status.retry_at
        assert retry_at is not None
        seconds = retry_at - self.now
        self.now = retry_at
        self(Timer())
        assert self.of(Connect)
        return seconds


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_happens_before_the_start(bench):
    assert bench(Timer()) == []
    assert bench(Closed()) == []
    assert bench(FrameArrived()) == []
    assert bench.state == "IDLE"


def test_a_start_with_a_token_connects_at_once_and_the_first_frame_makes_it_live(bench):
    bench(Start(token="t1"))
    assert bench.of(Connect) == [Connect(1)]
    assert bench.state == "CONNECTING"
    bench(Connected("t1"), after=0.1)
    assert bench.state == "CONNECTING"
    bench(FrameArrived(), after=0.1)
    assert bench.state == "LIVE"
    assert bench.feed.status.since == bench.now


def test_without_a_token_nothing_is_attempted(bench):
    bench(Start(token="", in_session=True))
    assert not bench.of(Connect)
    assert bench.state == "LOGIN_REQUIRED"
    assert bench.feed.status.attempts == 0
    bench(Timer(), after=3600)
    assert not bench.of(Connect)
    bench(TokenChanged("t1"))
    assert bench.of(Connect)


def test_a_provider_that_has_no_token_at_the_attempt_counts_no_attempt(bench):
    bench(Start(token="t1"))
    bench(ConnectFailed(token=""))
    assert bench.state == "LOGIN_REQUIRED"
    assert bench.feed.status.attempts == 0


def test_any_frame_keeps_the_feed_alive(bench):
    bench.live()
    for _ in range(100):
        bench(FrameArrived(), after=4.9)
        bench(Timer())
        assert bench.state == "LIVE"


def test_five_seconds_without_a_frame_are_stale_and_force_the_line_down(bench):
    bench.live()
    bench(Timer(), after=4.99)
    assert bench.state == "LIVE"
    bench(Timer(), after=0.01)
    assert bench.state == "STALE"
    assert "no heartbeat for 5 s" in bench.feed.status.reason
    assert bench.of(Disconnect)[0].force
    assert bench.of(Report)
    bench(Closed(1006))
    assert bench.state == "STALE"
    bench(Timer(), after=0.5)
    assert bench.of(Connect)


def test_a_connection_that_never_sends_a_frame_is_stale_too(bench):
    bench(Start(token="t1"))
    bench(Connected("t1"))
    bench(Timer(), after=5)
    assert bench.state == "STALE"


def test_a_process_that_slept_looks_once_more_before_it_judges(bench):
    bench.live()
    bench(Timer(), after=60)
    assert bench.state == "LIVE"
    assert bench.of(WakeAt)[0].when <= bench.now + 0.5
    bench(Timer(), after=0.5)
    assert bench.state == "STALE"


def test_frames_that_waited_while_the_process_slept_keep_the_line(bench):
    bench.live()
    bench(Timer(), after=60)
    bench(FrameArrived(), after=0.01)
    bench(Timer(), after=1)
    assert bench.state == "LIVE"


def test_the_second_look_is_granted_again_after_a_frame(bench):
    bench.live()
    for _ in range(3):
        bench(Timer(), after=60)
        assert bench.state == "LIVE"
        bench(FrameArrived())


def test_403_asks_for_a_login_after_exactly_one_attempt(bench):
    bench(Start(token="t1", in_session=True))
    bench(ConnectFailed(403, token="t1"))
    assert bench.state == "LOGIN_REQUIRED"
    for _ in range(100):
        bench(Timer(), after=60)
        bench(SessionChanged(False))
        bench(SessionChanged(True))
        bench(TokenChanged("t1"))
        assert not bench.of(Connect)
    assert bench.feed.status.attempts == 1


def test_a_new_token_after_403_connects_at_once(bench):
    bench(Start(token="t1"))
    bench(ConnectFailed(403, token="t1"))
    bench(TokenChanged("t2"))
    assert bench.of(Connect)
    bench(Connected("t2"))
    bench(FrameArrived())
    assert bench.state == "LIVE"


def test_the_refused_token_is_not_tried_again_after_it_was_gone_for_a_while(bench):
    bench(Start(token="t1"))
    bench(ConnectFailed(403, token="t1"))
    bench(TokenChanged(""))
    bench(TokenChanged("t1"))
    assert not bench.of(Connect)
    assert bench.state == "LOGIN_REQUIRED"


def test_a_403_for_an_older_token_does_not_stop_the_newer_one(bench):
    bench(Start(token="t1"))
    bench(TokenChanged("t2"))
    assert bench.of(Disconnect)
    bench(ConnectFailed(403, token="t1"))
    assert bench.of(Connect)


def test_a_login_with_the_same_token_disturbs_nothing(bench):
    bench.live()
    assert bench(TokenChanged("t1")) == []
    assert bench.state == "LIVE"


def test_a_refused_token_that_a_new_login_returned_is_tried_once_more(bench):
    bench(Start(token="t1"))
    bench(ConnectFailed(403, token="t1"))
    assert bench.state == "LOGIN_REQUIRED"
    bench(TokenChanged("t1"))
    assert not bench.of(Connect)
    bench(TokenChanged("t1", renewed=True))
    assert bench.of(Connect)
    bench(ConnectFailed(403, token="t1"))
    assert bench.state == "LOGIN_REQUIRED"
    assert not bench.of(Connect)


def test_a_new_token_replaces_a_living_line_without_waiting(bench):
    bench.live()
    bench(TokenChanged("t2"))
    assert [action.force for action in bench.of(Disconnect)] == [False]
    assert not bench.of(Connect)
    bench(Closed(1000))
    assert bench.of(Connect)


def test_a_logout_closes_the_line(bench):
    bench.live()
    bench(TokenChanged(""))
    assert bench.of(Disconnect)
    bench(Closed(1000))
    assert bench.state == "LOGIN_REQUIRED"


def test_a_closing_handshake_that_takes_too_long_is_cut_short(bench):
    bench.live()
    bench(TokenChanged("t2"))
    bench(Timer(), after=0.5)
    assert [action.force for action in bench.of(Disconnect)] == [True]


def test_a_handshake_without_an_answer_is_given_up_after_two_seconds(bench):
    bench(Start(token="t1", in_session=True))
    bench(Timer(), after=1.99)
    assert not bench.of(Disconnect)
    bench(Timer(), after=0.01)
    assert bench.of(Disconnect)
    bench(Closed())
    assert bench.state == "BACKOFF"
    assert "handshake" in bench.feed.status.reason


@pytest.mark.parametrize(
    "failure",
    [
        ConnectFailed(429, token="t1"),
        ConnectFailed(503, token="t1"),
        ConnectFailed(error="refused", token="t1"),
        Closed(),
    ],
)
def test_in_session_every_failure_is_retried_for_ever_within_two_seconds(bench, failure):
    bench(Start(token="t1", in_session=True))
    waits = [bench.waits(failure) for _ in range(60)]
    assert 0.25 <= waits[0] <= 0.5
    assert max(waits) <= 2.0
    assert min(waits[2:]) >= 1.0
    assert len(set(waits)) == 60  # jittered


def test_outside_the_session_the_wait_grows_to_thirty_seconds(bench):
    bench(Start(token="t1", in_session=False))
    waits = [bench.waits(ConnectFailed(503, token="t1")) for _ in range(60)]
    assert waits[0] <= 0.5
    assert min(waits[7:]) >= 15.0
    assert max(waits) <= 30.0


def test_the_start_of_the_session_shortens_a_running_wait(bench):
    bench(Start(token="t1", in_session=False))
    for _ in range(10):
        bench.waits(ConnectFailed(503, token="t1"))
    bench(ConnectFailed(503, token="t1"))
    assert bench.feed.status.retry_at - bench.now > 2.0
    bench(SessionChanged(True))
    assert bench.feed.status.retry_at - bench.now <= 2.0


def test_a_server_that_says_how_long_to_wait_is_obeyed_within_reason(bench):
    bench(Start(token="t1", in_session=True))
    assert bench.waits(ConnectFailed(429, token="t1", retry_after=9.0)) == 9.0
    assert bench.waits(ConnectFailed(429, token="t1", retry_after=9000.0)) == 30.0
    assert bench.waits(ConnectFailed(429, token="t1")) <= 2.0


def test_a_server_that_accepts_and_closes_is_not_hammered(bench):
    bench(Start(token="t1", in_session=True))
    waits = []
    for _ in range(10):
        bench(Connected("t1"))
        bench(FrameArrived())
        waits.append(bench.waits(Closed(1000)))
    assert min(waits[3:]) >= 1.0


def test_a_line_that_lived_makes_failures_forgotten(bench):
    bench(Start(token="t1", in_session=True))
    for _ in range(10):
        bench.waits(ConnectFailed(503, token="t1"))
    bench(Connected("t1"))
    for _ in range(6):
        bench(FrameArrived(), after=1)
    assert bench.waits(Closed(1006)) <= 0.5


def test_standing_by_closes_and_waits_until_it_is_started_again(bench):
    bench.live()
    bench(Standby("another process owns it"))
    assert bench.state == "STANDBY"
    assert bench.of(Disconnect)
    bench(Closed(1000))
    bench(Timer(), after=60)
    assert bench.state == "STANDBY"
    assert not bench.of(Connect)
    bench(Start(token="t1"))
    assert bench.of(Connect)


def test_a_stop_during_the_handshake_ends_in_idle(bench):
    bench(Start(token="t1"))
    bench(Stop())
    assert bench.of(Disconnect)
    bench(Connected("t1"))  # the handshake was faster
    assert bench.of(Disconnect)
    bench(Closed())
    assert bench.state == "IDLE"
    bench(Timer(), after=60)
    assert not bench.of(Connect)


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
