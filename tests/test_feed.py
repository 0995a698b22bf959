"""The feed's decisions, event by event."""

from __future__ import annotations

import pytest

from tapedeck.feed import (
    Closed,
    Connect,
    Connected,
    ConnectFailed,
    Disconnect,
    FrameArrived,
    Report,
    SessionChanged,
    Standby,
    Start,
    Stop,
    Timer,
    TokenChanged,
    WakeAt,
)  # fmt: skip

pytest_plugins = ["tests.feed_support"]


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
