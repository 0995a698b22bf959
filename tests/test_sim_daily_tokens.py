"""Access tokens of the simulated exchange that die at 06:00 as Kite's do, and its count of refused ones."""

from __future__ import annotations

import pytest
from kiteconnect import exceptions as kite_errors
from websockets.exceptions import InvalidStatus

from tests.running import start_sim
from tests.sim_support import INFY, Sim, Stream

pytestmark = pytest.mark.timezones

BEFORE = "2026-11-24T05:59:58"


def refusals(sim: Sim) -> dict[str, int]:
    return sim.connections()["token_refusals"]


def test_at_six_the_token_is_dead_for_requests_sockets_and_handshakes() -> None:
    with Sim(start=BEFORE, daily_tokens=True, rate_limits=False) as sim:
        kite = sim.kite()
        url = sim.ws_url(kite.access_token)
        assert kite.profile()
        with Stream(url) as open_one:
            sim.beat(4)
            assert sim.connections()["open"] == 1
            sim.beat(4)
            assert open_one.until_closed()[1] is None
            assert sim.connections()["open"] == 0
            assert sim.connections()["connections"][-1]["close_reason"] == "token expired"
        with pytest.raises(kite_errors.TokenException) as caught:
            kite.profile()
        assert caught.value.code == 403
        with pytest.raises(InvalidStatus) as answered:
            Stream(url)
        assert answered.value.response.status_code == 403
        assert refusals(sim) == {"handshake": 1, "request": 1, "login": 0}
        again = sim.kite()
        assert again.access_token != kite.access_token
        assert again.profile()


def test_a_request_is_refused_at_six_even_before_the_stream_has_beaten() -> None:
    with Sim(start=BEFORE, daily_tokens=True, rate_limits=False) as sim:
        kite = sim.kite()
        sim.real.advance(2)  # type: ignore[attr-defined]
        with pytest.raises(kite_errors.TokenException):
            kite.profile()


def test_the_night_that_market_time_leaves_out_has_a_six_o_clock_too() -> None:
    with Sim(start="2026-11-23T16:00:59", daily_tokens=True, rate_limits=False) as sim, sim.stream(INFY) as stream:
        kite = sim.kite()
        sim.beat(8)
        stream.until_closed()
        with pytest.raises(kite_errors.TokenException):
            kite.profile()


def test_tokens_live_through_the_night_unless_they_are_asked_to_die() -> None:
    with Sim(start=BEFORE, rate_limits=False) as sim, sim.stream(INFY):
        kite = sim.kite()
        sim.beat(8)
        assert kite.profile()
        assert sim.connections()["open"] == 1


def test_all_logins_of_one_day_give_the_same_token_to_a_restarted_exchange_too() -> None:
    tokens = []
    for start in ("2026-11-23T06:00:00", "2026-11-23T15:00:00", BEFORE, "2026-11-24T06:00:00"):
        with Sim(start=start, daily_tokens=True) as sim:
            tokens.append(sim.kite().access_token)
    assert tokens[0] == tokens[1] == tokens[2] != tokens[3]


def test_a_token_is_revoked_in_mid_session_with_its_sockets() -> None:
    with Sim(rate_limits=False, daily_tokens=True) as sim, sim.stream(INFY) as stream:
        kite = sim.kite()
        assert kite.invalidate_access_token() is True
        assert stream.until_closed()[1] is None
        for ask in (kite.profile, kite.invalidate_access_token):
            with pytest.raises(kite_errors.TokenException):
                ask()
        assert refusals(sim)["request"] == 2
        assert sim.kite().access_token != kite.access_token


def test_refused_logins_are_counted() -> None:
    with Sim() as sim:
        token = sim.request_token()
        kite = sim.kite(login=False)
        with pytest.raises(kite_errors.TokenException):
            kite.generate_session(token, "guess")
        kite.generate_session(token, "simsecret")
        with pytest.raises(kite_errors.TokenException):
            kite.generate_session(token, "simsecret")
        assert refusals(sim) == {"handshake": 0, "request": 0, "login": 2}


@pytest.mark.once
def test_the_command_has_the_option() -> None:
    sim = start_sim("--start", BEFORE, "--daily-tokens")
    try:
        assert sim.json("/sim/connections")["token_refusals"] == {"handshake": 0, "request": 0, "login": 0}
    finally:
        sim.stop()
