"""The login to Kite as a table: every state, every event, where it leads and what is said of it."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapedeck.auth import (
    AT_SIX,
    DEAD_KEPT,
    EXCHANGING,
    EXPIRED,
    LOGIN_REQUIRED,
    REFUSED,
    REVOKED,
    STATES,
    UNCONFIGURED,
    VALID,
    Announce,
    ApiFailed,
    ApiSucceeded,
    Auth,
    CheckProfile,
    Configured,
    DropToken,
    FileFailed,
    LoggedOut,
    LoginEnded,
    LoginFailed,
    LoginStarted,
    Recheck,
    Timer,
    TokenFound,
    TokenGone,
    UseToken,
    next_expiry,
)
from tapedeck.clock import DAY, IST, SECOND, ist_ns, to_ist, to_ns

pytestmark = pytest.mark.timezones

MONDAY = date(2026, 11, 23)
NOW = ist_ns(MONDAY, "10:00")
SIX = ist_ns(date(2026, 11, 24), "06:00")
OLD = NOW - 2 * DAY


def unconfigured() -> Auth:
    return Auth()


def login_required() -> Auth:
    auth = unconfigured()
    auth.handle(Configured(), NOW)
    return auth


def valid() -> Auth:
    auth = login_required()
    auth.handle(TokenFound("one", NOW, "AB1234"), NOW)
    return auth


def exchanging() -> Auth:
    auth = login_required()
    auth.handle(LoginStarted(), NOW)
    return auth


def exchanging_over_a_valid_one() -> Auth:
    auth = valid()
    auth.handle(LoginStarted(), NOW)
    return auth


def path(actions) -> list[str]:
    """States gone through, from the first to the last; empty when nothing was announced."""
    steps = [action.transition for action in actions if isinstance(action, Announce)]
    for before, after in pairwise(steps):
        assert before.to_state == after.from_state
    return [steps[0].from_state, *(step.to_state for step in steps)] if steps else []


def rest(actions) -> list[object]:
    return [action for action in actions if not isinstance(action, Announce)]


THROUGH_EXPIRED, THROUGH_REVOKED = [EXPIRED, LOGIN_REQUIRED], [REVOKED, LOGIN_REQUIRED]
NO, DROP = [], [DropToken()]

# state it is in -> event -> (states gone through, what else is to be done)
TABLE = {
    unconfigured: {
        Configured("the key is missing"): (NO, NO),
        Configured(): ([LOGIN_REQUIRED], NO),
        TokenFound("one", NOW): (NO, NO),
        TokenGone(): (NO, NO),
        FileFailed("unreadable"): (NO, NO),
        LoginStarted(): (NO, NO),
        LoginFailed("no"): (NO, NO),
        LoginEnded("cancelled"): (NO, NO),
        ApiSucceeded("one"): (NO, NO),
        ApiFailed("token", "one"): (NO, NO),
        ApiFailed("network", "one"): (NO, NO),
        Timer(): (NO, NO),
        Recheck(): (NO, NO),
        LoggedOut(): (NO, NO),
    },
    login_required: {
        Configured("the key is missing"): ([UNCONFIGURED], NO),
        Configured(): (NO, NO),
        TokenFound("one", NOW): ([VALID], [UseToken("one")]),
        TokenFound("one", NOW, certain=False): ([VALID], [UseToken("one"), CheckProfile("one")]),
        TokenFound("one", OLD): (THROUGH_EXPIRED, NO),
        TokenGone(): (NO, NO),
        FileFailed("unreadable"): (NO, NO),
        LoginStarted(): ([EXCHANGING], NO),
        LoginFailed("no"): (NO, NO),
        LoginEnded("cancelled"): ([LOGIN_REQUIRED], NO),
        ApiSucceeded("one"): (NO, NO),
        ApiFailed("token", "one"): (NO, NO),
        ApiFailed("token", ""): (NO, NO),
        ApiFailed("network", "one"): (NO, NO),
        Timer(): (NO, NO),
        Recheck(): (NO, NO),
        LoggedOut(): (NO, NO),
    },
    exchanging: {
        Configured("the key is missing"): ([UNCONFIGURED], NO),
        Configured(): (NO, NO),
        TokenFound("one", NOW, source="login"): ([VALID], [UseToken("one")]),
        TokenFound("one", OLD, source="login"): (THROUGH_EXPIRED, NO),
        TokenFound("one", NOW): (NO, [UseToken("one")]),
        TokenFound("one", OLD): (NO, NO),
        TokenGone(): (NO, NO),
        FileFailed("unreadable"): (NO, NO),
        LoginStarted(): (NO, NO),
        LoginFailed("no"): ([LOGIN_REQUIRED], NO),
        LoginEnded("cancelled"): (NO, NO),
        ApiSucceeded("one"): (NO, NO),
        ApiFailed("token", "one"): (NO, NO),
        ApiFailed("network", "one"): (NO, NO),
        Timer(): (NO, NO),
        Recheck(): (NO, NO),
        LoggedOut(): (NO, NO),
    },
    exchanging_over_a_valid_one: {
        Configured("the key is missing"): ([UNCONFIGURED], DROP),
        Configured(): (NO, NO),
        TokenFound("two", NOW, source="login"): ([VALID], [UseToken("two")]),
        TokenFound("one", NOW, source="login"): ([VALID], NO),
        TokenFound("two", OLD, source="login"): ([VALID], NO),
        TokenFound("two", NOW): (NO, [UseToken("two")]),
        TokenFound("one", NOW): (NO, NO),
        TokenGone(): (NO, DROP),
        FileFailed("unreadable"): (NO, NO),
        LoginStarted(): (NO, NO),
        LoginFailed("no"): ([VALID], NO),
        LoginEnded("cancelled"): (NO, NO),
        ApiSucceeded("one"): (NO, NO),
        ApiFailed("token", "one"): (NO, DROP),
        ApiFailed("token", "two"): (NO, NO),
        ApiFailed("network", "one"): (NO, NO),
        Timer(): (NO, NO),
        Recheck(): (NO, [CheckProfile("one")]),
        LoggedOut(): (NO, DROP),
    },
    valid: {
        Configured("the key is missing"): ([UNCONFIGURED], DROP),
        Configured(): (NO, NO),
        TokenFound("one", NOW): (NO, NO),
        TokenFound("one", NOW, source="login", renewed=True): (NO, NO),
        TokenFound("two", NOW): ([VALID], [UseToken("two")]),
        TokenFound("two", OLD): (NO, NO),
        TokenGone(): ([LOGIN_REQUIRED], DROP),
        FileFailed("unreadable"): (NO, NO),
        LoginStarted(): ([EXCHANGING], NO),
        LoginFailed("no"): (NO, NO),
        LoginEnded("cancelled"): (NO, NO),
        ApiSucceeded("one"): (NO, NO),
        ApiSucceeded("two"): (NO, NO),
        ApiFailed("token", "one"): (THROUGH_REVOKED, DROP),
        ApiFailed("token", "two"): (NO, NO),
        ApiFailed("network", "one"): (NO, NO),
        ApiFailed("rate", "one"): (NO, NO),
        ApiFailed("answer", "one"): (NO, NO),
        Timer(): (NO, NO),
        Recheck(): (NO, [CheckProfile("one")]),
        LoggedOut(): ([LOGIN_REQUIRED], DROP),
    },
}
ROWS = [(make, event, *expected) for make, events in TABLE.items() for event, expected in events.items()]


@pytest.mark.parametrize(
    ("make", "event", "through", "others"), ROWS, ids=[f"{make.__name__}-{event}" for make, event, *_ in ROWS]
)
def test_every_event_in_every_state(make, event, through, others):
    auth = make()
    before = auth.status
    actions = auth.handle(event, NOW)
    assert path(actions) == ([before.state, *through] if through else [])
    assert rest(actions) == others
    assert auth.status.state == (through[-1] if through else before.state)
    if not through:
        assert (auth.status.since, auth.status.cause) == (before.since, before.cause) or before.state == UNCONFIGURED


def test_the_table_has_every_event_in_every_state():
    kinds = {type(event) for events in TABLE.values() for event in events}
    assert len(kinds) == 12
    for make, events in TABLE.items():
        assert {type(event) for event in events} == kinds, make.__name__
    assert {make().status.state for make in TABLE} == set(STATES) - {EXPIRED, REVOKED}


# -- 06:00 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issued", "dies"),
    [
        ("2026-11-23 05:59:59.999999", "2026-11-23 06:00"),
        ("2026-11-23 06:00:00", "2026-11-24 06:00"),
        ("2026-11-23 08:50:00", "2026-11-24 06:00"),
        ("2026-11-23 23:59:59", "2026-11-24 06:00"),
        ("2026-11-24 00:00:00", "2026-11-24 06:00"),
        ("2026-12-31 10:00:00", "2027-01-01 06:00"),
    ],
)
def test_a_token_dies_at_the_next_six_in_india(issued, dies):
    ns = to_ns(datetime.fromisoformat(issued).replace(tzinfo=IST))
    assert next_expiry(ns) == to_ns(datetime.fromisoformat(dies).replace(tzinfo=IST))


@given(st.integers(0, 4_000_000_000 * SECOND))
def test_every_token_dies_at_a_six_within_a_day(issued):
    dies = next_expiry(issued)
    assert issued < dies <= issued + DAY
    assert to_ist(dies).strftime("%H:%M:%S.%f") == "06:00:00.000000"
    assert next_expiry(dies) == dies + DAY
    assert next_expiry(dies - 1) == dies


def test_at_six_and_not_before_the_token_is_expired_and_a_login_is_needed():
    auth = valid()
    assert auth.due == auth.status.expires_at == SIX
    assert auth.handle(Timer(), SIX - 1) == []
    drop, expired, required = auth.handle(Timer(), SIX)
    assert drop == DropToken()
    assert (expired.transition.at, expired.transition.cause) == (SIX, AT_SIX)
    assert (expired.status.state, required.status.state) == (EXPIRED, LOGIN_REQUIRED)
    assert auth.status.cause == "expired at 06:00 IST"
    assert auth.status.expires_at == 0
    assert auth.status.fingerprint == auth.status.user_id == ""
    assert auth.due is None
    assert auth.handle(Timer(), SIX + 1) == []


def test_after_six_no_other_event_finds_the_token_valid_either():
    for event in (ApiSucceeded("one"), ApiFailed("network", "one"), Recheck(), TokenFound("one", NOW), FileFailed("x")):
        auth = valid()
        assert path(auth.handle(event, SIX)) == [VALID, EXPIRED, LOGIN_REQUIRED]
        assert auth.status.last_success == 0


def test_the_token_of_yesterday_is_told_once_and_never_used():
    auth = login_required()
    assert path(auth.handle(TokenFound("old", OLD), NOW)) == [LOGIN_REQUIRED, EXPIRED, LOGIN_REQUIRED]
    assert auth.handle(TokenFound("old", OLD), NOW) == []
    assert auth.handle(TokenFound("old", OLD, renewed=True), NOW) == []
    assert path(auth.handle(TokenFound("older", OLD), NOW)) == [LOGIN_REQUIRED, EXPIRED, LOGIN_REQUIRED]


def test_a_token_that_died_at_six_is_not_believed_again():
    auth = valid()
    auth.handle(Timer(), SIX)
    assert auth.handle(TokenFound("one", NOW), SIX) == []
    assert path(auth.handle(TokenFound("two", SIX), SIX)) == [LOGIN_REQUIRED, VALID]


def test_a_login_that_ended_at_kite_says_so_and_ends_no_other_one():
    auth = login_required()
    (announced,) = auth.handle(LoginEnded("Kite ended the login with status 'cancelled'"), NOW)
    assert announced.status.cause == "login failed: Kite ended the login with status 'cancelled'"
    assert auth.status.failures == 0, "Kite's answers are counted, and this was none"
    other = exchanging()
    assert other.handle(LoginEnded("cancelled"), NOW) == []
    assert path(other.handle(TokenFound("one", NOW, source="login"), NOW)) == [EXCHANGING, VALID]


def test_an_old_token_that_dies_during_a_login_is_gone_when_that_fails():
    auth = exchanging_over_a_valid_one()
    assert auth.handle(Timer(), SIX) == [DropToken()]
    assert auth.status.state == EXCHANGING
    assert path(auth.handle(LoginFailed("no"), SIX)) == [EXCHANGING, LOGIN_REQUIRED]
    assert auth.status.cause == "login failed: no"


# -- refusals and failures -----------------------------------------------------------------------------------


def test_a_refused_token_is_not_believed_again_until_somebody_saves_it_anew():
    auth = valid()
    actions = auth.handle(ApiFailed("token", "one", "Kite says: Incorrect `api_key` or `access_token`."), NOW)
    assert path(actions) == [VALID, REVOKED, LOGIN_REQUIRED]
    assert auth.status.cause == REFUSED
    assert (auth.status.failures, auth.status.last_failure[:10]) == (1, "Kite says:")
    assert auth.handle(TokenFound("one", NOW), NOW) == []
    assert path(auth.handle(TokenFound("one", NOW, renewed=True), NOW)) == [LOGIN_REQUIRED, VALID]
    assert path(auth.handle(ApiFailed("token", "one"), NOW)) == [VALID, REVOKED, LOGIN_REQUIRED]
    auth.handle(LoginStarted(), NOW)
    assert path(auth.handle(TokenFound("one", NOW, source="login"), NOW)) == [EXCHANGING, VALID]


@pytest.mark.parametrize("event", [TokenGone(), LoggedOut()])
def test_a_token_that_was_given_up_is_not_believed_again_either(event):
    auth = valid()
    auth.handle(event, NOW)
    assert auth.handle(TokenFound("one", NOW), NOW) == []
    assert auth.status.cause == event.why


def test_failures_are_counted_until_the_next_success():
    auth = valid()
    for n in range(1, 4):
        assert auth.handle(ApiFailed("network", "one", "Kite did not answer in time"), NOW) == []
        assert (auth.status.failures, auth.status.last_failure) == (n, "Kite did not answer in time")
    auth.handle(ApiSucceeded("one", "CD5678"), NOW + SECOND)
    status = auth.status
    assert (status.failures, status.last_failure, status.last_success) == (0, "", NOW + SECOND)
    assert (status.state, status.user_id, status.since) == (VALID, "CD5678", NOW)


def test_a_login_that_failed_leaves_the_earlier_token_and_says_why():
    auth = exchanging_over_a_valid_one()
    [announced] = auth.handle(LoginFailed("Kite says: Token is invalid"), NOW + SECOND)
    assert announced.transition.cause == "login failed: Kite says: Token is invalid"
    assert (auth.status.state, auth.status.fingerprint, auth.status.failures) == (VALID, "one", 1)


def test_a_file_that_failed_is_told_and_changes_nothing():
    auth = valid()
    auth.handle(FileFailed("token.json does not hold a token"), NOW)
    assert (auth.status.state, auth.status.last_failure) == (VALID, "token.json does not hold a token")


def test_a_setting_that_is_wrong_is_the_cause_that_is_shown():
    auth = unconfigured()
    auth.handle(Configured("ZERODHA_API_KEY is empty"), NOW)
    assert (auth.status.state, auth.status.cause, auth.status.since) == (UNCONFIGURED, "ZERODHA_API_KEY is empty", NOW)
    assert path(auth.handle(Configured(), NOW)) == [UNCONFIGURED, LOGIN_REQUIRED]


def test_dead_tokens_are_remembered_but_not_without_end():
    auth = login_required()
    for n in range(DEAD_KEPT + 1):
        auth.handle(TokenFound(f"t{n}", OLD), NOW)
    assert auth.handle(TokenFound(f"t{DEAD_KEPT}", OLD), NOW) == []
    assert path(auth.handle(TokenFound("t0", OLD), NOW)) == [LOGIN_REQUIRED, EXPIRED, LOGIN_REQUIRED]
