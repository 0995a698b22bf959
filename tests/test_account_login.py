"""The owner of Kite's token: logging in and out, and who is told."""

from __future__ import annotations

import logging
import os
import stat
import threading
from itertools import pairwise

import pytest

from tapedeck.auth import EXCHANGING, LOGIN_REQUIRED, REVOKED, UNCONFIGURED, VALID
from tapedeck.errors import ConfigError, InputRefused, LoginRequired
from tapedeck.kite.account import TIMELINE
from tapedeck.kite.login import Credentials
from tests.account_support import GRANTED, KEY, NOW, OTHER, REQUEST_TOKEN, SECRET, SIX, TOKEN, states
from tests.rest_exchange import refusal, success

pytest_plugins = ["tests.account_fixtures"]


# -- logging in ------------------------------------------------------------------------------------------------------


@pytest.mark.timezones
def test_a_login_is_saved_before_it_is_told(make_account, token_file, kite_server):
    kite_server.answer = success(GRANTED)
    account = make_account()
    account.start()
    told = []
    account.observe(lambda status: told.append((status.state, token_file.path.exists(), account.credentials())))
    status = account.exchange(REQUEST_TOKEN)
    assert (status.state, status.user_id, status.expires_at, status.cause) == (VALID, "AB1234", SIX, "logged in")
    assert told == [(EXCHANGING, False, None), (VALID, True, Credentials(KEY, TOKEN))]
    saved = token_file.load()
    assert (saved, saved.issued_at, saved.user_id) == (Credentials(KEY, TOKEN), NOW, "AB1234")
    assert stat.S_IMODE(token_file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(token_file.path.parent.stat().st_mode) == 0o700
    account.tick()
    assert len(told) == 2, "its own file is no news"


@pytest.mark.timezones
def test_a_token_granted_this_instant_is_good_whatever_the_clocks_say(make_account, token_file, kite_server):
    for said in ("2026-11-20 10:00:00", "2027-01-01 10:00:00"):
        kite_server.answer = success(GRANTED | {"login_time": said, "access_token": TOKEN + said[:4]})
        status = make_account().exchange(REQUEST_TOKEN)
        assert (status.state, status.expires_at) == (VALID, SIX)
        assert token_file.load().issued_at == NOW


def test_the_same_token_again_is_no_news_but_for_the_login_itself(make_account, token_file, kite_server):
    kite_server.answer = success(GRANTED)
    account = make_account()
    account.start()
    account.exchange(REQUEST_TOKEN)
    told = []
    account.observe(lambda status: told.append(status.state))
    account.update_token(Credentials(KEY, TOKEN, NOW))
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account.tick()
    assert told == []
    account.exchange(REQUEST_TOKEN)
    assert told == [EXCHANGING, VALID]


def test_a_login_under_way_and_one_that_fails_leave_the_token_before_it(make_account, token_file, kite_server):
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account = make_account()
    account.start()
    during = []
    account.observe(lambda status: during.append((status.state, account.credentials())))
    kite_server.answer = refusal(403, "TokenException", f"Token is invalid: {REQUEST_TOKEN} {SECRET}")
    with pytest.raises(LoginRequired):
        account.exchange(REQUEST_TOKEN)
    assert during == [(EXCHANGING, Credentials(KEY, TOKEN)), (VALID, Credentials(KEY, TOKEN))]
    assert account.status.cause == "login failed: Kite says: Token is invalid: *** ***"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"api_secret": ""}, "ZERODHA_API_SECRET is empty"),
        ({"api_key": ""}, "ZERODHA_API_KEY is empty"),
        ({"problem": "ZERODHA_API_KEY was a placeholder"}, "was a placeholder"),
    ],
)
def test_a_login_that_could_not_be_finished_is_not_begun(make_account, kite_server, options, says):
    account = make_account(**options)
    account.start()
    for ask in (account.login_url, lambda: account.exchange(REQUEST_TOKEN)):
        with pytest.raises(ConfigError, match=says):
            ask()
    assert kite_server.requests == []
    assert account.status.state == (LOGIN_REQUIRED if options.get("api_secret") == "" else UNCONFIGURED)


def test_a_token_is_used_without_a_secret_to_log_in_with(make_account, token_file):
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account = make_account(api_secret="")
    account.start()
    assert account.status.state == VALID


def test_an_empty_request_token_ends_as_a_failed_login(make_account):
    account = make_account()
    with pytest.raises(InputRefused):
        account.exchange("")
    assert states(account) == [LOGIN_REQUIRED, EXCHANGING, LOGIN_REQUIRED]


def test_a_login_that_ends_at_kite_is_told_and_takes_no_token_away(make_account, token_file):
    account = make_account()
    account.start()
    told = []
    account.observe(lambda status: told.append((status.state, status.cause)))
    cause = "login failed: Kite ended the login with status 'cancelled'"
    assert account.login_ended("Kite ended the login with status 'cancelled'").cause == cause
    assert told == [(LOGIN_REQUIRED, cause)]
    assert account.timeline[-1].cause == cause
    account.update_token(Credentials(KEY, TOKEN, NOW))
    assert account.login_ended("Kite ended the login with status 'cancelled'").state == VALID
    assert account.credentials() is not None
    assert [state for state, _ in told] == [LOGIN_REQUIRED, VALID]


def test_two_logins_at_once_are_refused_and_so_is_a_logout_meanwhile(make_account, kite_server):
    kite_server.answer = success(GRANTED)
    account = make_account()
    refused = []

    def again(status):
        for attempt in (lambda: account.exchange(REQUEST_TOKEN), account.logout):
            with pytest.raises(InputRefused, match="at this moment"):
                attempt()
            refused.append(status.state)

    unobserve = account.observe(lambda status: again(status) if status.state == EXCHANGING else None)
    assert account.exchange(REQUEST_TOKEN).state == VALID
    assert refused == [EXCHANGING, EXCHANGING]
    unobserve()
    unobserve()
    assert account.logout().state == LOGIN_REQUIRED


def test_a_disk_that_is_full_costs_the_file_and_not_the_login(make_account, kite_server, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    kite_server.answer = success(GRANTED)
    status = make_account().exchange(REQUEST_TOKEN)
    assert status.state == VALID
    assert "could not be saved" in status.last_failure
    assert "No space left" in status.last_failure


def test_a_token_of_another_key_is_not_taken(make_account):
    with pytest.raises(InputRefused, match="API key 'foreign'"):
        make_account().update_token(Credentials("foreign", TOKEN))


def test_a_token_that_a_program_hands_over_is_saved(make_account, token_file):
    assert make_account().update_token(Credentials(KEY, TOKEN, NOW)).cause == "handed over by a program"
    assert token_file.load() == Credentials(KEY, TOKEN)


# -- logging out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [success(True), refusal(503, "NetworkException", f"down {TOKEN}")])
def test_a_logout_forgets_the_token_even_if_kite_is_down(make_account, token_file, kite_server, answer, caplog):
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account = make_account()
    account.start()
    kite_server.answer = answer
    status = account.logout()
    assert (status.state, status.cause) == (LOGIN_REQUIRED, "logged out")
    assert account.credentials() is None
    assert not token_file.path.exists()
    [request] = kite_server.requests
    assert (request.method, request.path) == ("DELETE", "/session/token")
    assert request.query == {"api_key": [KEY], "access_token": [TOKEN]}
    assert TOKEN not in caplog.text
    account.logout()
    assert len(kite_server.requests) == 1


# -- observers ---------------------------------------------------------------------------------------------------------


def test_observers_are_told_in_order_and_may_ask_and_act(make_account, token_file, caplog):
    account = make_account()
    told = []

    def act(status):
        told.append(status.state)
        if status.state == VALID:
            account.mark_api_failure(LoginRequired("403"), status.fingerprint)
            assert account.status.state == LOGIN_REQUIRED, "done already, told later"

    def fail(status):
        raise RuntimeError("a broken observer")

    account.observe(fail)
    account.observe(act)
    last = []
    account.observe(lambda status: last.append(status.state))
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account.start()
    assert told == last == states(account) == [LOGIN_REQUIRED, VALID, REVOKED, LOGIN_REQUIRED]
    assert "a broken observer" in caplog.text


def test_everything_at_once_leaves_one_story(make_account, token_file, kite_server):
    kite_server.answer = success(GRANTED)
    account = make_account()
    told = []
    account.observe(lambda status: told.append((status.since, status.state, status.cause)))
    account.start()
    used = Credentials(KEY, TOKEN, NOW)

    def log_in():
        try:
            account.exchange(REQUEST_TOKEN)
        except InputRefused:
            pass  # another one was at it

    def log_out():
        try:
            account.logout()
        except InputRefused:
            pass  # a login was at it

    work = (
        log_in,
        log_out,
        account.tick,
        lambda: account.update_token(Credentials(KEY, OTHER, NOW)),
        lambda: token_file.save(used),
        lambda: account.mark_api_failure(LoginRequired("403"), used.fingerprint),
        lambda: account.mark_api_success(used.fingerprint),
    )
    threads = [threading.Thread(target=lambda todo=todo: [todo() for _ in range(15)]) for todo in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account.close()
    account.tick()
    story = account.timeline
    assert all(before.to_state == after.from_state for before, after in pairwise(story))
    assert told[-len(story) :] == [(step.at, step.to_state, step.cause) for step in story]
    assert (account.status.state == VALID) == (account.credentials() is not None)
    assert account.status.state in (VALID, LOGIN_REQUIRED)


def test_the_timeline_keeps_the_newest(make_account):
    account = make_account(tokens=None)
    for n in range(TIMELINE):
        account.update_token(Credentials(KEY, f"token-{n}", NOW))
    assert len(account.timeline) == TIMELINE
    assert {step.to_state for step in account.timeline} == {VALID}


def test_closing_ends_the_thread_whatever_came_before(make_account):
    account = make_account()
    account.close()
    started = make_account()
    started.start()
    started.start()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("tapedeck-token-watch") == 1
    started.close()
    started.close()
    assert "tapedeck-token-watch" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.timezones
def test_no_secret_is_in_a_log_a_repr_a_status_or_an_error(make_account, token_file, kite_server, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    kite_server.answer = success(GRANTED)
    account = make_account()
    account.start()
    account.observe(lambda status: None)
    account.exchange(REQUEST_TOKEN)
    kite_server.answer = refusal(403, "TokenException", f"refused {TOKEN}")
    account.force_recheck()
    kite_server.answer = success(GRANTED | {"access_token": OTHER})
    account.exchange(REQUEST_TOKEN)
    kite_server.answer = success(True)
    account.logout()
    assert kite_server.requests[-1].query["access_token"] == [OTHER]
    kite_server.answer = refusal(403, "TokenException", f"refused {REQUEST_TOKEN} {SECRET}")
    with pytest.raises(LoginRequired) as caught:
        account.exchange(REQUEST_TOKEN)
    shown = [
        caplog.text,
        repr(account),
        repr(account.status),
        repr(account.timeline),
        str(caught.value),
        *capfd.readouterr(),
    ]
    for secret in (TOKEN, OTHER, SECRET, REQUEST_TOKEN):
        assert not [text for text in shown if secret in text]
