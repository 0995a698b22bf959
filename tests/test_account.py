"""The owner of Kite's token: time, the token file, observers, and what Kite says."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import threading
from datetime import date

import pytest

from tapedeck.auth import EXCHANGING, EXPIRED, LOGIN_REQUIRED, REVOKED, UNCONFIGURED, VALID
from tapedeck.clock import DAY, SECOND, ManualClock, SwitchableClock, SystemClock, ist_ns
from tapedeck.errors import BadAnswer, ConfigError, InputRefused, LoginRequired, NetworkFailed
from tapedeck.kite import login
from tapedeck.kite.account import TIMELINE, KiteAccount
from tapedeck.kite.login import Credentials, TokenFile
from tests.rest_exchange import RestExchange, refusal, success
from tests.running import ROOT
from tests.support import wait_until

KEY, SECRET, TOKEN, OTHER = "kitekey", "the-api-secret", "the-access-token", "the-other-token"
REQUEST_TOKEN = "therequesttoken"
NOW = ist_ns(date(2026, 11, 23), "10:00")
SIX = ist_ns(date(2026, 11, 24), "06:00")
GRANTED = {"access_token": TOKEN, "login_time": "2026-11-23 10:00:00", "user_id": "AB1234"}


@pytest.fixture
def kite():
    server = RestExchange()
    yield server
    server.close()


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def tokens(tmp_path):
    return TokenFile(tmp_path / "data" / "token.json")


@pytest.fixture
def make(kite, clock, tokens):
    made = []

    def make(**options):
        options = {"tokens": TokenFile(tokens.path), "clock": clock} | options
        account = KiteAccount(
            options.pop("api_key", KEY), options.pop("api_secret", SECRET), rest_root=options.pop("root", kite.root),
            login_root="http://127.0.0.1:1/connect/login", **options,
        )  # fmt: skip
        made.append(account)
        return account

    yield make
    for account in made:
        account.close()


def states(account):
    return [step.to_state for step in account.timeline]


# -- taking a token up -----------------------------------------------------------------------------------------


@pytest.mark.timezones
def test_the_saved_token_is_taken_up_at_the_start(make, tokens):
    tokens.save(Credentials(KEY, TOKEN, NOW - SECOND, "AB1234"))
    account = make()
    assert account.status.state == UNCONFIGURED
    account.start()
    assert account.credentials() == Credentials(KEY, TOKEN)
    status = account.status
    assert (status.state, status.user_id, status.expires_at) == (VALID, "AB1234", SIX)
    assert (status.cause, status.since) == ("found in the token file", NOW)
    assert status.fingerprint == Credentials(KEY, TOKEN).fingerprint
    assert states(account) == [LOGIN_REQUIRED, VALID]


def test_without_a_file_a_login_is_needed(make):
    account = make()
    account.start()
    assert account.credentials() is None
    assert (account.status.state, account.status.cause) == (LOGIN_REQUIRED, "no token yet")
    assert make(tokens=None).force_recheck().state == UNCONFIGURED


@pytest.mark.parametrize(
    ("content", "says"), [("{", "does not hold a token"), ({"api_key": "x", "access_token": TOKEN}, "another API key")]
)
def test_a_file_that_is_no_use_is_told_and_a_login_is_needed(make, tokens, content, says):
    tokens.path.parent.mkdir()
    tokens.path.write_text(content if isinstance(content, str) else json.dumps(content))
    account = make()
    account.start()
    assert account.status.state == LOGIN_REQUIRED
    assert says in account.status.last_failure


def test_a_file_that_breaks_takes_no_working_token_away(make, tokens):
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account = make()
    account.start()
    tokens.path.write_text("{")
    account.tick()
    assert account.status.state == VALID
    assert "does not hold a token" in account.status.last_failure


@pytest.mark.timezones
def test_a_token_of_unknown_age_is_as_old_as_its_file_and_is_checked(make, tokens, kite, clock):
    kite.answer = success({"user_id": "AB1234"})
    tokens.save(Credentials(KEY, TOKEN))
    account = make()
    account.start()
    assert account.status.expires_at == SIX
    wait_until(lambda: account.status.user_id == "AB1234")
    assert [request.path for request in kite.requests] == ["/user/profile"]
    assert account.status.last_success == NOW


@pytest.mark.timezones
def test_a_file_of_two_days_ago_holds_an_expired_token(make, tokens):
    tokens.save(Credentials(KEY, TOKEN))
    old = SystemClock().now() - 2 * DAY
    os.utime(tokens.path, ns=(old, old))
    account = make()
    account.start()
    assert states(account) == [LOGIN_REQUIRED, EXPIRED, LOGIN_REQUIRED]
    assert account.status.cause == "expired at 06:00 IST"
    assert account.credentials() is None


# -- another process --------------------------------------------------------------------------------------------


def test_a_token_that_another_process_saved_is_used_within_a_second(make, tokens):
    account = make()
    account.start()
    valid, gone = threading.Event(), threading.Event()
    account.observe(lambda status: (valid if status.state == VALID else gone).set())
    write = (
        "import sys\nfrom tapedeck.kite.login import Credentials, TokenFile\n"
        "TokenFile(sys.argv[1]).save(Credentials(*sys.argv[2:4], int(sys.argv[4])))\n"
    )
    command = [sys.executable, "-c", write, str(tokens.path), KEY, TOKEN, str(NOW)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert valid.wait(10), account.status
    assert account.credentials() == Credentials(KEY, TOKEN)
    tokens.path.unlink()
    assert gone.wait(10)
    assert (account.status.state, account.status.cause) == (LOGIN_REQUIRED, "the token file was removed")


def test_a_folder_that_cannot_be_watched_is_looked_at(make, tokens, monkeypatch, caplog):
    def watch(*_, **__):
        raise OSError(28, "inotify watch limit reached")
        yield

    monkeypatch.setattr(login.watchfiles, "watch", watch)
    account = make()
    account.start()
    valid = threading.Event()
    account.observe(lambda status: valid.set())
    tokens.save(Credentials(KEY, TOKEN, NOW))
    assert valid.wait(10)
    assert "cannot be watched" in caplog.text


def test_a_folder_that_was_taken_away_and_made_again_is_still_seen(make, tokens):
    account = make()
    account.start()
    tokens.path.parent.rmdir()
    valid = threading.Event()
    account.observe(lambda status: valid.set())
    tokens.save(Credentials(KEY, TOKEN, NOW))
    assert valid.wait(10)


def test_a_tick_sees_a_new_file_without_any_thread(make, tokens):
    account = make()
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account.tick()
    assert account.status.state == VALID
    tokens.clear()
    account.tick()
    assert account.status.state == LOGIN_REQUIRED


def test_a_refused_token_is_not_believed_again_until_it_is_saved_anew(make, tokens):
    saved = Credentials(KEY, TOKEN, NOW)
    tokens.save(saved)
    account = make()
    account.start()
    account.mark_api_failure(LoginRequired("Kite answered 403"), saved.fingerprint)
    assert (account.status.state, account.status.cause) == (LOGIN_REQUIRED, "Kite refused the token (403)")
    assert account.credentials() is None
    for _ in range(3):
        account.tick()
    assert states(account) == [LOGIN_REQUIRED, VALID, REVOKED, LOGIN_REQUIRED]
    tokens.save(saved)
    account.tick()
    assert account.status.state == VALID


# -- 06:00 --------------------------------------------------------------------------------------------------------


@pytest.mark.timezones
def test_at_six_the_token_is_expired_even_before_the_next_tick(make, tokens, clock):
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account = make()
    account.start()
    told = []
    account.observe(lambda status: told.append((status.state, account.credentials())))
    clock.set(SIX - 1)
    account.tick()
    assert account.credentials() is not None
    clock.set(SIX)
    assert account.credentials() is None
    account.tick()
    account.tick()
    assert told == [(EXPIRED, None), (LOGIN_REQUIRED, None)]
    assert account.status.cause == "expired at 06:00 IST"
    assert [step.at for step in account.timeline][-2:] == [SIX, SIX]


def test_the_clock_may_be_switched_at_any_time(make, tokens, clock):
    switch = SwitchableClock(ManualClock(NOW - 30 * DAY))
    account = make(clock=switch)
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account.start()
    assert account.status.expires_at == SIX
    switch.switch(ManualClock(SIX))
    account.tick()
    assert account.status.state == LOGIN_REQUIRED


# -- logging in ------------------------------------------------------------------------------------------------------


@pytest.mark.timezones
def test_a_login_is_saved_before_it_is_told(make, tokens, kite):
    kite.answer = success(GRANTED)
    account = make()
    account.start()
    told = []
    account.observe(lambda status: told.append((status.state, tokens.path.exists(), account.credentials())))
    status = account.exchange(REQUEST_TOKEN)
    assert (status.state, status.user_id, status.expires_at, status.cause) == (VALID, "AB1234", SIX, "logged in")
    assert told == [(EXCHANGING, False, None), (VALID, True, Credentials(KEY, TOKEN))]
    saved = tokens.load()
    assert (saved, saved.issued_at, saved.user_id) == (Credentials(KEY, TOKEN), NOW, "AB1234")
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(tokens.path.parent.stat().st_mode) == 0o700
    account.tick()
    assert len(told) == 2, "its own file is no news"


@pytest.mark.timezones
def test_a_token_granted_this_instant_is_good_whatever_the_clocks_say(make, tokens, kite):
    for said in ("2026-11-20 10:00:00", "2027-01-01 10:00:00"):
        kite.answer = success(GRANTED | {"login_time": said, "access_token": TOKEN + said[:4]})
        status = make().exchange(REQUEST_TOKEN)
        assert (status.state, status.expires_at) == (VALID, SIX)
        assert tokens.load().issued_at == NOW


def test_the_same_token_again_is_no_news_but_for_the_login_itself(make, tokens, kite):
    kite.answer = success(GRANTED)
    account = make()
    account.start()
    account.exchange(REQUEST_TOKEN)
    told = []
    account.observe(lambda status: told.append(status.state))
    account.update_token(Credentials(KEY, TOKEN, NOW))
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account.tick()
    assert told == []
    account.exchange(REQUEST_TOKEN)
    assert told == [EXCHANGING, VALID]


def test_a_login_under_way_and_one_that_fails_leave_the_token_before_it(make, tokens, kite):
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account = make()
    account.start()
    during = []
    account.observe(lambda status: during.append((status.state, account.credentials())))
    kite.answer = refusal(403, "TokenException", f"Token is invalid: {REQUEST_TOKEN} {SECRET}")
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
def test_a_login_that_could_not_be_finished_is_not_begun(make, kite, options, says):
    account = make(**options)
    account.start()
    for ask in (account.login_url, lambda: account.exchange(REQUEST_TOKEN)):
        with pytest.raises(ConfigError, match=says):
            ask()
    assert kite.requests == []
    assert account.status.state == (LOGIN_REQUIRED if options.get("api_secret") == "" else UNCONFIGURED)


def test_a_token_is_used_without_a_secret_to_log_in_with(make, tokens):
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account = make(api_secret="")
    account.start()
    assert account.status.state == VALID


def test_an_empty_request_token_ends_as_a_failed_login(make):
    account = make()
    with pytest.raises(InputRefused):
        account.exchange("")
    assert states(account) == [LOGIN_REQUIRED, EXCHANGING, LOGIN_REQUIRED]


def test_two_logins_at_once_are_refused_and_so_is_a_logout_meanwhile(make, kite):
    kite.answer = success(GRANTED)
    account = make()
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


def test_a_disk_that_is_full_costs_the_file_and_not_the_login(make, kite, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    kite.answer = success(GRANTED)
    status = make().exchange(REQUEST_TOKEN)
    assert status.state == VALID
    assert "could not be saved" in status.last_failure
    assert "No space left" in status.last_failure


def test_a_token_of_another_key_is_not_taken(make):
    with pytest.raises(InputRefused, match="API key 'foreign'"):
        make().update_token(Credentials("foreign", TOKEN))


def test_a_token_that_a_program_hands_over_is_saved(make, tokens):
    assert make().update_token(Credentials(KEY, TOKEN, NOW)).cause == "handed over by a program"
    assert tokens.load() == Credentials(KEY, TOKEN)


# -- logging out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [success(True), refusal(503, "NetworkException", f"down {TOKEN}")])
def test_a_logout_forgets_the_token_everywhere_even_if_kite_is_down(make, tokens, kite, answer, caplog):
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account = make()
    account.start()
    kite.answer = answer
    status = account.logout()
    assert (status.state, status.cause) == (LOGIN_REQUIRED, "logged out")
    assert account.credentials() is None
    assert not tokens.path.exists()
    [request] = kite.requests
    assert (request.method, request.path) == ("DELETE", "/session/token")
    assert request.query == {"api_key": [KEY], "access_token": [TOKEN]}
    assert TOKEN not in caplog.text
    account.logout()
    assert len(kite.requests) == 1


# -- what Kite says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [NetworkFailed("Kite did not answer in time"), BadAnswer("not JSON"), OSError(5, TOKEN)]
)
def test_no_failure_but_a_refusal_ends_a_token(make, tokens, error):
    saved = Credentials(KEY, TOKEN, NOW)
    tokens.save(saved)
    account = make()
    account.start()
    for _ in range(5):
        account.mark_api_failure(error, saved.fingerprint)
    assert (account.status.state, account.status.failures) == (VALID, 5)
    assert TOKEN not in account.status.last_failure
    account.mark_api_success(saved.fingerprint)
    assert (account.status.failures, account.status.last_success) == (0, NOW)


def test_a_refusal_of_another_token_ends_nothing(make, tokens):
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account = make()
    account.start()
    account.mark_api_failure(LoginRequired("403"), Credentials(KEY, OTHER).fingerprint)
    account.mark_api_failure(LoginRequired("there is no access token"), "")
    assert (account.status.state, account.status.failures) == (VALID, 0)


def test_rechecks_at_once_wait_for_each_other(make, tokens, kite):
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account = make()
    account.start()
    kite.answer = success({"user_id": "AB1234"})
    both = [threading.Thread(target=account.force_recheck) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(kite.requests) == 2
    assert account.status.user_id == "AB1234"


# -- observers ---------------------------------------------------------------------------------------------------------


def test_observers_are_told_in_order_and_may_ask_and_act(make, tokens, clock, caplog):
    account = make()
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
    tokens.save(Credentials(KEY, TOKEN, NOW))
    account.start()
    assert told == last == states(account) == [LOGIN_REQUIRED, VALID, REVOKED, LOGIN_REQUIRED]
    assert "a broken observer" in caplog.text


def test_the_timeline_keeps_the_newest(make, clock):
    account = make(tokens=None)
    for n in range(TIMELINE):
        account.update_token(Credentials(KEY, f"token-{n}", NOW))
    assert len(account.timeline) == TIMELINE
    assert {step.to_state for step in account.timeline} == {VALID}


def test_closing_ends_the_thread_whatever_came_before(make):
    account = make()
    account.close()
    started = make()
    started.start()
    started.start()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("tapedeck-token-watch") == 1
    started.close()
    started.close()
    assert "tapedeck-token-watch" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.timezones
def test_no_secret_is_in_a_log_a_repr_a_status_or_an_error(make, tokens, kite, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    kite.answer = success(GRANTED)
    account = make()
    account.start()
    account.observe(lambda status: None)
    account.exchange(REQUEST_TOKEN)
    kite.answer = refusal(403, "TokenException", f"refused {TOKEN}")
    account.force_recheck()
    kite.answer = success(GRANTED | {"access_token": OTHER})
    account.exchange(REQUEST_TOKEN)
    kite.answer = success(True)
    account.logout()
    assert kite.requests[-1].query["access_token"] == [OTHER]
    kite.answer = refusal(403, "TokenException", f"refused {REQUEST_TOKEN} {SECRET}")
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
