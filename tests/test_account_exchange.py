"""Kite's account against the simulated exchange, with the real client: what goes wrong between the two."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import requests

from tapedeck.auth import EXCHANGING, EXPIRED, LOGIN_REQUIRED, REVOKED, VALID
from tapedeck.errors import LoginRequired, NetworkFailed
from tapedeck.kite.account import KiteAccount
from tapedeck.kite.login import Credentials, TokenFile, parse_request_token
from tapedeck.kite.rest import KiteRest
from tests.account_support import states
from tests.sim_support import Sim

KEY, SECRET = "simkey", "simsecret"


@pytest.fixture
def sim() -> Iterator[Sim]:
    with Sim(start="2026-11-24T05:50:00", daily_tokens=True, rate_limits=False) as sim:
        yield sim


@pytest.fixture
def account(sim: Sim, tmp_path) -> Iterator[KiteAccount]:
    account = account_of(sim, tmp_path)
    account.start()
    yield account
    account.close()


def account_of(sim: Sim, folder, **options) -> KiteAccount:
    usual = {"rest_root": sim.address, "login_root": f"{sim.address}/connect/login", "clock": sim.clock}
    tokens = TokenFile(folder / "token.json")
    return KiteAccount(KEY, options.pop("api_secret", SECRET), tokens=tokens, **usual | options)


def consent(account: KiteAccount, **params: str) -> requests.Response:
    """What a person does with the login page, to the redirect that the browser would follow."""
    url = account.login_url(params or None)
    assert "SIMULATED" in requests.get(url, timeout=10).text
    return requests.get(url + "&auto=1", allow_redirects=False, timeout=10)


def log_in(account: KiteAccount) -> Credentials:
    account.exchange(parse_request_token(consent(account).headers["Location"]))
    credentials = account.credentials()
    assert credentials is not None
    return credentials


def refusals(sim: Sim) -> dict[str, int]:
    return sim.connections()["token_refusals"]


@pytest.mark.timezones
def test_the_whole_login(sim: Sim, account: KiteAccount) -> None:
    assert account.status.state == LOGIN_REQUIRED
    back = consent(account, state="a b&c")
    assert back.headers["Location"].endswith("state=a+b%26c")
    status = account.exchange(parse_request_token(back.headers["Location"]))
    assert (status.state, status.user_id, status.cause) == (VALID, "SIM001", "logged in")
    assert status.expires_at - sim.clock.now() == 600 * 1_000_000_000
    assert states(account) == [LOGIN_REQUIRED, EXCHANGING, VALID]
    assert account.force_recheck().last_success == sim.clock.now()


def test_a_wrong_secret_is_a_wrong_checksum_and_is_refused(sim: Sim, tmp_path) -> None:
    account = account_of(sim, tmp_path, api_secret="a-wrong-secret")
    with pytest.raises(LoginRequired, match="Invalid `checksum`"):
        log_in(account)
    assert states(account) == [LOGIN_REQUIRED, EXCHANGING, LOGIN_REQUIRED]
    assert account.status.cause.startswith("login failed: Kite says: Invalid `checksum`.")
    assert not (tmp_path / "token.json").exists()
    assert refusals(sim)["login"] == 1


def test_a_request_token_works_once_and_the_second_time_costs_nothing(sim: Sim, account: KiteAccount) -> None:
    request_token = parse_request_token(consent(account).headers["Location"])
    account.exchange(request_token)
    with pytest.raises(LoginRequired):
        account.exchange(request_token)
    assert account.status.state == VALID
    assert account.force_recheck().failures == 0
    assert refusals(sim) == {"handshake": 0, "request": 0, "login": 1}


@pytest.mark.timezones
def test_at_six_the_token_expires_and_nothing_is_asked_with_it_any_more(sim: Sim, account: KiteAccount) -> None:
    first = log_in(account)
    sim.real.advance(599)  # type: ignore[attr-defined]
    account.tick()
    assert account.force_recheck().state == VALID
    sim.real.advance(1)  # type: ignore[attr-defined]
    rest = KiteRest(KEY, lambda: getattr(account.credentials(), "access_token", None), sim.address)
    with pytest.raises(LoginRequired):
        rest.fetch_profile()
    rest.close()
    account.tick()
    assert states(account)[-2:] == [EXPIRED, LOGIN_REQUIRED]
    assert account.force_recheck().cause == "expired at 06:00 IST"
    assert refusals(sim) == {"handshake": 0, "request": 0, "login": 0}
    second = log_in(account)
    assert second != first
    assert account.force_recheck().state == VALID
    again = account_of(sim, TokenFile(account._tokens.path).folder)
    again.start()
    assert again.credentials() == second
    again.close()


def test_a_recheck_finds_a_token_that_was_revoked_in_mid_session(sim: Sim, account: KiteAccount) -> None:
    log_in(account)
    sim.kite().invalidate_access_token()
    told = []
    account.observe(lambda status: told.append(status.state))
    status = account.force_recheck()
    assert (status.state, status.cause) == (LOGIN_REQUIRED, "Kite refused the token (403)")
    assert told == [REVOKED, LOGIN_REQUIRED]
    account.force_recheck()
    account.tick()
    assert refusals(sim)["request"] == 1, "a refused token is not tried again"
    assert log_in(account)
    assert account.force_recheck().failures == 0


def test_a_request_that_is_refused_ends_the_token_for_everybody(sim: Sim, account: KiteAccount) -> None:
    used = log_in(account)
    sim.fault("expire")
    rest = KiteRest(KEY, lambda: used.access_token, sim.address)
    with pytest.raises(LoginRequired) as refused:
        rest.fetch_quote(["NSE:INFY"])
    rest.close()
    account.mark_api_failure(refused.value, used.fingerprint)
    assert account.credentials() is None
    assert states(account)[-2:] == [REVOKED, LOGIN_REQUIRED]
    fresh = log_in(account)
    account.mark_api_failure(refused.value, used.fingerprint)
    assert account.credentials() == fresh, "a late answer about the old token"


def test_neither_limits_nor_a_dead_exchange_expire_a_token(sim: Sim, account: KiteAccount, tmp_path) -> None:
    used = log_in(account)
    sim.fault("http_429")
    assert "Too many requests" in account.force_recheck().last_failure
    sim.fault("clear")
    sim.fault("hang", rest=True)
    impatient = account_of(sim, tmp_path, timeout=0.2)
    impatient.tick()
    for n in (1, 2):
        status = impatient.force_recheck()
        assert (status.state, status.failures) == (VALID, n)
        assert status.last_failure == "Kite did not answer in time"
    with pytest.raises(NetworkFailed):
        impatient.exchange("arequesttoken")
    assert impatient.credentials() == used
    sim.fault("clear")
    assert (impatient.force_recheck().failures, impatient.status.state) == (0, VALID)


def test_logging_in_again_gives_the_same_token_and_changes_nothing(sim: Sim, account: KiteAccount, tmp_path) -> None:
    other = account_of(sim, tmp_path)
    first = log_in(account)
    other.tick()
    told = []
    other.observe(lambda status: told.append(status))
    account.observe(lambda status: told.append(status.state))
    assert log_in(account) == first
    other.tick()
    assert told == [EXCHANGING, VALID]
    assert other.credentials() == first


def test_a_logout_is_one_for_everybody(sim: Sim, account: KiteAccount, tmp_path) -> None:
    used = log_in(account)
    other = account_of(sim, tmp_path)
    other.tick()
    with sim.stream() as stream:
        assert account.logout().cause == "logged out"
        stream.until_closed()
    other.tick()
    assert (other.status.state, other.status.cause) == (LOGIN_REQUIRED, "the token file was removed")
    rest = KiteRest(KEY, lambda: used.access_token, sim.address)
    with pytest.raises(LoginRequired):
        rest.fetch_profile()
    rest.close()
    assert log_in(account) != used
    other.tick()
    assert other.status.state == VALID


def test_no_token_is_in_any_log(sim: Sim, account: KiteAccount, caplog, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    request_token = parse_request_token(consent(account).headers["Location"])
    caplog.clear()  # the browser's part of it, played with a client that logs addresses
    account.exchange(request_token)
    used = account.credentials()
    assert used is not None
    account.force_recheck()
    account.logout()
    with pytest.raises(LoginRequired):
        account.exchange(request_token)
    shown = [caplog.text, *capfd.readouterr(), repr(account.timeline), repr(account.status), repr(used)]
    for secret in (used.access_token, request_token, SECRET):
        assert not [text for text in shown if secret in text]
