"""The owner of Kite's token: time, the token file, and what Kite says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from tapedeck.auth import EXPIRED, LOGIN_REQUIRED, REVOKED, UNCONFIGURED, VALID
from tapedeck.clock import DAY, SECOND, ManualClock, SwitchableClock, SystemClock
from tapedeck.errors import BadAnswer, LoginRequired, NetworkFailed
from tapedeck.kite import login
from tapedeck.kite.login import Credentials
from tests.account_support import KEY, NOW, OTHER, SIX, TOKEN, states
from tests.rest_exchange import refusal, success
from tests.running import ROOT
from tests.support import wait_until

pytest_plugins = ["tests.account_fixtures"]


# -- taking a token up -----------------------------------------------------------------------------------------


@pytest.mark.timezones
def test_the_saved_token_is_taken_up_at_the_start(make_account, token_file):
    token_file.save(Credentials(KEY, TOKEN, NOW - SECOND, "AB1234"))
    account = make_account()
    assert account.status.state == UNCONFIGURED
    account.start()
    assert account.credentials() == Credentials(KEY, TOKEN)
    status = account.status
    assert (status.state, status.user_id, status.expires_at) == (VALID, "AB1234", SIX)
    assert (status.cause, status.since) == ("found in the token file", NOW)
    assert status.fingerprint == Credentials(KEY, TOKEN).fingerprint
    assert states(account) == [LOGIN_REQUIRED, VALID]


def test_without_a_file_a_login_is_needed(make_account):
    account = make_account()
    account.start()
    assert account.credentials() is None
    assert (account.status.state, account.status.cause) == (LOGIN_REQUIRED, "no token yet")
    assert make_account(tokens=None).force_recheck().state == UNCONFIGURED


@pytest.mark.parametrize(
    ("content", "says"), [("{", "does not hold a token"), ({"api_key": "x", "access_token": TOKEN}, "another API key")]
)
def test_a_file_that_is_no_use_is_told_and_a_login_is_needed(make_account, token_file, content, says):
    token_file.path.parent.mkdir()
    token_file.path.write_text(content if isinstance(content, str) else json.dumps(content))
    account = make_account()
    account.start()
    assert account.status.state == LOGIN_REQUIRED
    assert says in account.status.last_failure


def test_a_file_that_breaks_takes_no_working_token_away(make_account, token_file):
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account = make_account()
    account.start()
    token_file.path.write_text("{")
    account.tick()
    assert account.status.state == VALID
    assert "does not hold a token" in account.status.last_failure


@pytest.mark.timezones
def test_a_token_of_unknown_age_is_as_old_as_its_file_and_is_checked(make_account, token_file, kite_server):
    kite_server.answer = success({"user_id": "AB1234"})
    token_file.save(Credentials(KEY, TOKEN))
    account = make_account()
    account.start()
    assert account.status.expires_at == SIX
    wait_until(lambda: account.status.user_id == "AB1234")
    assert [request.path for request in kite_server.requests] == ["/user/profile"]
    assert account.status.last_success == NOW


@pytest.mark.timezones
def test_a_file_of_two_days_ago_holds_an_expired_token(make_account, token_file):
    token_file.save(Credentials(KEY, TOKEN))
    old = SystemClock().now() - 2 * DAY
    os.utime(token_file.path, ns=(old, old))
    account = make_account()
    account.start()
    assert states(account) == [LOGIN_REQUIRED, EXPIRED, LOGIN_REQUIRED]
    assert account.status.cause == "expired at 06:00 IST"
    assert account.credentials() is None


# -- another process --------------------------------------------------------------------------------------------


def test_a_token_that_another_process_saved_is_used_within_a_second(make_account, token_file):
    account = make_account()
    account.start()
    valid, gone = threading.Event(), threading.Event()
    account.observe(lambda status: (valid if status.state == VALID else gone).set())
    write = (
        "import sys\nfrom tapedeck.kite.login import Credentials, TokenFile\n"
        "TokenFile(sys.argv[1]).save(Credentials(*sys.argv[2:4], int(sys.argv[4])))\n"
    )
    command = [sys.executable, "-c", write, str(token_file.path), KEY, TOKEN, str(NOW)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert valid.wait(10), account.status
    assert account.credentials() == Credentials(KEY, TOKEN)
    token_file.path.unlink()
    assert gone.wait(10)
    assert (account.status.state, account.status.cause) == (LOGIN_REQUIRED, "the token file was removed")


def test_a_folder_that_cannot_be_watched_is_looked_at(make_account, token_file, monkeypatch, caplog):
    def watch(*_, **__):
        raise OSError(28, "inotify watch limit reached")
        yield

    monkeypatch.setattr(login.watchfiles, "watch", watch)
    account = make_account()
    account.start()
    valid = threading.Event()
    account.observe(lambda status: valid.set())
    token_file.save(Credentials(KEY, TOKEN, NOW))
    assert valid.wait(10)
    assert "cannot be watched" in caplog.text


def test_a_folder_that_was_taken_away_and_made_again_is_still_seen(make_account, token_file):
    token_file.save(Credentials(KEY, OTHER, NOW))
    account = make_account()
    account.start()
    valid, gone = threading.Event(), threading.Event()
    account.observe(lambda status: (valid if status.state == VALID else gone).set())
    shutil.rmtree(token_file.folder)
    assert gone.wait(10)
    token_file.save(Credentials(KEY, TOKEN, NOW))
    assert valid.wait(10)


def test_a_tick_sees_a_new_file_without_any_thread(make_account, token_file):
    account = make_account()
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account.tick()
    assert account.status.state == VALID
    token_file.clear()
    account.tick()
    assert account.status.state == LOGIN_REQUIRED


def test_a_refused_token_is_not_believed_again_until_it_is_saved_anew(make_account, token_file):
    saved = Credentials(KEY, TOKEN, NOW)
    token_file.save(saved)
    account = make_account()
    account.start()
    account.mark_api_failure(LoginRequired("Kite answered 403"), saved.fingerprint)
    assert (account.status.state, account.status.cause) == (LOGIN_REQUIRED, "Kite refused the token (403)")
    assert account.credentials() is None
    for _ in range(3):
        account.tick()
    assert states(account) == [LOGIN_REQUIRED, VALID, REVOKED, LOGIN_REQUIRED]
    token_file.save(saved)
    account.tick()
    assert account.status.state == VALID


# -- 06:00 --------------------------------------------------------------------------------------------------------


@pytest.mark.timezones
def test_at_six_the_token_is_expired_even_before_the_next_tick(make_account, token_file, hand_clock):
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account = make_account()
    account.start()
    told = []
    account.observe(lambda status: told.append((status.state, account.credentials())))
    hand_clock.set(SIX - 1)
    account.tick()
    assert account.credentials() is not None
    hand_clock.set(SIX)
    assert account.credentials() is None
    account.tick()
    account.tick()
    assert told == [(EXPIRED, None), (LOGIN_REQUIRED, None)]
    assert account.status.cause == "expired at 06:00 IST"
    assert [step.at for step in account.timeline][-2:] == [SIX, SIX]


def test_the_clock_may_be_switched_at_any_time(make_account, token_file):
    switch = SwitchableClock(ManualClock(NOW - 30 * DAY))
    account = make_account(clock=switch)
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account.start()
    assert account.status.expires_at == SIX
    switch.switch(ManualClock(SIX))
    account.tick()
    assert account.status.state == LOGIN_REQUIRED


# -- what Kite says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [NetworkFailed("Kite did not answer in time"), BadAnswer("not JSON"), OSError(5, TOKEN)]
)
def test_no_failure_but_a_refusal_ends_a_token(make_account, token_file, error):
    saved = Credentials(KEY, TOKEN, NOW)
    token_file.save(saved)
    account = make_account()
    account.start()
    for _ in range(5):
        account.mark_api_failure(error, saved.fingerprint)
    assert (account.status.state, account.status.failures) == (VALID, 5)
    assert TOKEN not in account.status.last_failure
    account.mark_api_success(saved.fingerprint)
    assert (account.status.failures, account.status.last_success) == (0, NOW)


def test_a_refusal_of_another_token_ends_nothing(make_account, token_file):
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account = make_account()
    account.start()
    account.mark_api_failure(LoginRequired("403"), Credentials(KEY, OTHER).fingerprint)
    account.mark_api_failure(LoginRequired("there is no access token"), "")
    assert (account.status.state, account.status.failures) == (VALID, 0)


def test_a_recheck_may_be_had_without_waiting_for_it(make_account, token_file, kite_server):
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account = make_account()
    account.recheck_soon()
    account.start()
    kite_server.answer = refusal(403, "TokenException", "Incorrect `api_key` or `access_token`.")
    told = threading.Event()
    account.observe(lambda status: told.set())
    account.recheck_soon()
    assert told.wait(10)
    assert account.status.cause == "Kite refused the token (403)"
    assert len(kite_server.requests) == 1


def test_rechecks_at_once_wait_for_each_other(make_account, token_file, kite_server):
    token_file.save(Credentials(KEY, TOKEN, NOW))
    account = make_account()
    account.start()
    kite_server.answer = success({"user_id": "AB1234"})
    both = [threading.Thread(target=account.force_recheck) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(kite_server.requests) == 2
    assert account.status.user_id == "AB1234"
