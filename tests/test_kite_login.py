"""The way to Kite's login and back: a state opens it once, to the login of the desk that set out, for five minutes."""

from __future__ import annotations

import re

import pytest

from dashboards.kite_login import JOURNEY_S, MAX_JOURNEYS, Journeys, outcome_page
from tapedeck.clock import ManualClock


def test_a_terminal_that_waits_is_given_its_token_and_the_address_stays() -> None:
    page, policy = outcome_page("the address had no state", request_token="abcd1234EFGH")
    assert "If you began with <code>tapedeck login</code>, paste this into the terminal:" in page
    assert "readonly value='abcd1234EFGH'" in page
    assert "replaceState" not in page
    assert "data-done=" not in page
    assert policy != outcome_page("")[1], "its script is another one"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(0, monotonic=50.0)


@pytest.fixture
def journeys(clock: ManualClock) -> Journeys:
    return Journeys(clock)


def test_a_journey_ends_once(journeys: Journeys) -> None:
    state = journeys.begin("login:a")
    assert journeys.end(state, "login:a") == ""
    assert "used before" in journeys.end(state, "login:a")


def test_the_state_of_another_browser_opens_nothing_and_stays_good_for_its_own(journeys: Journeys) -> None:
    state = journeys.begin("login:a")
    assert "begun in another browser" in journeys.end(state, "login:b")
    assert journeys.end(state, "login:a") == ""


@pytest.mark.parametrize(("state", "why"), [("", "had no state"), ("x" * 32, "was not begun here")])
def test_a_way_back_that_nobody_set_out_for_is_refused(journeys: Journeys, state: str, why: str) -> None:
    journeys.begin("login:a")
    assert why in journeys.end(state, "login:a")


def test_a_journey_is_over_after_five_minutes(journeys: Journeys, clock: ManualClock) -> None:
    in_time, late = journeys.begin("login:a"), journeys.begin("login:a")
    clock.advance(JOURNEY_S - 1)
    assert journeys.end(in_time, "login:a") == ""
    clock.advance(2)
    assert "over five minutes" in journeys.end(late, "login:a")


def test_what_is_kept_is_bounded_and_no_state_itself(journeys: Journeys) -> None:
    states = [journeys.begin(f"login:{n}") for n in range(MAX_JOURNEYS + 5)]
    assert len(journeys) == MAX_JOURNEYS
    assert journeys.end(states[0], "login:0") != ""
    assert journeys.end(states[-1], f"login:{MAX_JOURNEYS + 4}") == ""
    assert not any(state in repr(vars(journeys)) for state in states)


def test_the_page_at_the_end_says_what_happened_and_only_a_good_one_closes_itself() -> None:
    good, policy = outcome_page("")
    bad, _ = outcome_page("Kite says: <b>invalid</b> checksum")
    assert "Logged in to Kite" in good
    assert 'data-done="1"' in good
    assert "data-done=" not in bad.replace("dataset.done", "")
    assert "Kite says: &lt;b&gt;invalid&lt;/b&gt; checksum" in bad
    assert re.search(r"default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+';", policy)
