"""The login to Kite as a person does it, in a browser and without one, against the simulated exchange's login page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import Browser

from dashboards.access import find_port
from tapedeck.cli import main
from tests.page_support import flow
from tests.running import Program, roots_of, start_desk, start_sim
from tests.support import wait_until
from tests.visitor import Visitor

pytest_plugins = ["tests.page_fixtures"]
KEY = "NSE:INFY"
START = "2026-11-23T10:00:00"


class Pair:
    """A simulated exchange and a desk with its key, each told the other's address."""

    def __init__(self, data: Path, *sim_arguments: str, **settings: str) -> None:
        self.data = data
        port = find_port("127.0.0.1", 0)
        redirect = f"http://127.0.0.1:{port}/api/auth/callback"
        self.sim = start_sim("--redirect-url", redirect, *(sim_arguments or ("--start", START)))
        self.desk = start_desk("--port", str(port), data=data, environment=self.settings(self.sim) | settings)

    @staticmethod
    def settings(sim: Program) -> dict[str, str]:
        key = {"ZERODHA_API_KEY": "simkey", "ZERODHA_API_SECRET": "simsecret"}
        return roots_of(sim) | key | {"TAPEDECK_KITE_LOGIN": f"{sim.address}/connect/login"}

    def visitor(self) -> Visitor:
        """A browser that opened the printed address."""
        visitor = Visitor(self.desk.address)
        visitor.navigate(self.desk.page.removeprefix(self.desk.address))
        visitor.navigate("/login")
        return visitor

    def auth(self) -> dict[str, Any]:
        """How the login stands, as the desk says."""
        return self.desk.json("/api/auth/validate")

    def feed(self) -> str:
        """The feed's state."""
        return self.desk.json("/api/system/health")["feed"]["state"]

    def connections(self) -> dict[str, Any]:
        """The exchange's own log."""
        return self.sim.json("/sim/connections")

    def stop(self) -> None:
        """End both."""
        self.desk.stop()
        self.sim.stop()


def post(visitor: Visitor, path: str) -> requests.Response:
    """What a page's script does."""
    return visitor.ask("POST", path, json={}, headers={"X-XSRFToken": visitor.xsrf()})


def consent(visitor: Visitor) -> str:
    """Begin a login and consent at the exchange: the path that the browser is sent back to."""
    begun = post(visitor, "/api/auth/login")
    assert begun.status_code == 200, begun.text
    answer = requests.get(begun.json()["login_url"], params={"auto": "1"}, allow_redirects=False, timeout=10)
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


def log_in(visitor: Visitor) -> requests.Response:
    return visitor.navigate(consent(visitor))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    both = Pair(tmp_path_factory.mktemp("journey"))
    yield both
    both.stop()


@pytest.fixture
def visitor(pair: Pair) -> Iterator[Visitor]:
    """A browser at a desk that nobody has logged in to Kite."""
    pair.sim.post("/sim/faults", {"fault": "clear"})
    found = pair.visitor()
    assert post(found, "/api/auth/logout").status_code == 200
    assert pair.auth()["state"] == "LOGIN_REQUIRED"
    yield found
    found.session.close()


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_from_the_button_over_the_window_to_live_numbers(pair: Pair, visitor: Visitor, browser: Browser) -> None:
    before = pair.connections()["total"]
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(40_000)
    page = context.new_page()
    page.goto(pair.desk.page)
    button = page.get_by_role("button", name="LOGIN", exact=True)
    button.wait_for()
    with context.expect_page() as opened:
        button.click()
    window = opened.value
    consent_button = window.get_by_role("button", name="Login")
    consent_button.wait_for()
    assert "SIMULATED" in window.inner_text("body")
    with window.expect_event("close"):
        consent_button.click()
    flow(page, "window.__tapedeck?.state === 'live' && window.__tapedeck.rows > 0")
    assert page.locator("[data-td=login]").first.text_content() == "SIM001"
    assert page.url.startswith(pair.desk.address)
    assert "token" not in page.url
    log = pair.connections()
    assert (log["total"] - before, log["max_simultaneous"], log["open"]) == (1, 1, 1)
    report = pair.desk.json("/api/system/report")
    valid = next(one for one in report["auth"]["timeline"] if one["to"] == "VALID")
    live = next(one for one in report["feed"]["timeline"] if one["state"] == "LIVE")
    took = datetime.fromisoformat(live["at"]) - datetime.fromisoformat(valid["at"])
    assert 0 <= took.total_seconds() < 5
    context.close()


# -- every other way back ----------------------------------------------------------------------------------------------


def test_a_login_without_a_browser_goes_the_same_way(pair: Pair, visitor: Visitor) -> None:
    done = log_in(visitor)
    assert done.status_code == 200
    assert "Logged in to Kite" in done.text
    assert done.headers["Referrer-Policy"] == "no-referrer"
    assert done.headers["Cache-Control"] == "no-store"
    auth = pair.auth()
    assert (auth["state"], auth["user_id"], auth["cause"]) == ("VALID", "SIM001", "logged in")
    assert auth["expires_at"] == "2026-11-24T06:00:00+05:30"
    wait_until(lambda: pair.feed() == "LIVE")
    wait_until(lambda: pair.desk.json(f"/api/quotes?i={KEY}")["quotes"][KEY]["fresh"])


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        (lambda path: path.partition("&state=")[0], 403, "had no state"),
        (lambda path: path.partition("&state=")[0] + "&state=" + "x" * 32, 403, "was not begun here"),
        (lambda path: path.replace("status=success", "status=cancelled"), 200, "ended the login with status"),
        (lambda path: path.replace("request_token=", "request_token=%3Cb%3E"), 400, "no request token"),
    ],
)
def test_a_way_back_that_is_not_right_logs_nobody_in(
    pair: Pair, visitor: Visitor, change: Any, status: int, why: str
) -> None:
    answer = visitor.navigate(change(consent(visitor)))
    assert answer.status_code == status
    assert why in answer.text
    assert "<b>" not in answer.text
    assert pair.auth()["state"] == "LOGIN_REQUIRED"


def test_a_terminals_login_is_finished_beside_a_desk_that_the_browser_has_open(
    pair: Pair, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = consent(visitor).partition("&state=")[0]
    page = visitor.navigate(path)
    token = parse_qs(urlsplit(path).query)["request_token"][0]
    assert (page.status_code, token in page.text) == (403, True)
    assert (page.headers["Referrer-Policy"], page.headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert pair.auth()["state"] == "LOGIN_REQUIRED"
    for name, value in (Pair.settings(pair.sim) | {"TAPEDECK_DATA": str(pair.data)}).items():
        monkeypatch.setenv(name, value)
    assert main(["login", "--request-token", token]) == 0
    wait_until(lambda: pair.auth()["state"] == "VALID")
    assert token not in capsys.readouterr().out


@pytest.mark.parametrize("bad", ["%3Cb%3Eabcdefgh", "short", ""])
def test_what_is_no_request_token_is_not_shown(pair: Pair, visitor: Visitor, bad: str) -> None:
    page = visitor.navigate(f"/api/auth/callback?status=success&request_token={bad}")
    assert page.status_code == 403
    assert "paste this" not in page.text


def test_a_login_that_ends_at_kite_is_told_to_every_page(pair: Pair, visitor: Visitor) -> None:
    visitor.navigate(consent(visitor).replace("status=success", "status=cancelled"))
    cause = "Kite ended the login with status 'cancelled'"
    assert (pair.auth()["state"], pair.auth()["cause"]) == ("LOGIN_REQUIRED", f"login failed: {cause}")
    wait_until(lambda: pair.desk.json("/api/system/health")["feed"]["reason"] == f"login required: {cause}")
    log_in(visitor)
    visitor.navigate(consent(visitor).replace("status=success", "status=cancelled"))
    assert pair.auth()["state"] == "VALID", "a token that is good stays"


def test_the_way_back_is_open_once_and_to_the_browser_that_set_out(pair: Pair, visitor: Visitor) -> None:
    stranger = pair.visitor()
    path = consent(visitor)
    assert "begun in another browser" in stranger.navigate(path).text
    assert Visitor(pair.desk.address).get(path).status_code == 401
    assert pair.auth()["state"] == "LOGIN_REQUIRED"
    assert visitor.navigate(path).status_code == 200
    assert pair.auth()["state"] == "VALID"
    again = visitor.navigate(path)
    assert (again.status_code, "used before" in again.text) == (403, True)
    stranger.session.close()


def test_a_request_token_that_was_used_is_refused_by_the_exchange(pair: Pair, visitor: Visitor) -> None:
    used = parse_qs(urlsplit(consent(visitor)).query)
    mine = {"status": "success", "request_token": used["request_token"][0]}
    first = {**mine, "state": used["state"][0]}
    assert visitor.get("/api/auth/callback", params=first).status_code == 200
    fresh = parse_qs(urlsplit(consent(visitor)).query)["state"][0]
    second = visitor.get("/api/auth/callback", params=mine | {"state": fresh})
    assert second.status_code == 502
    assert "Kite says: Token is invalid" in second.text
    assert pair.auth()["state"] == "VALID", "the token of before is still good"


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/auth/login"), ("GET", "/api/auth/logout")])
def test_a_login_and_a_logout_are_posted(pair: Pair, visitor: Visitor, method: str, path: str) -> None:
    assert visitor.ask(method, path).status_code == 405


@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/logout", "/api/system/recheck"])
def test_another_site_cannot_post_through_this_browser(pair: Pair, visitor: Visitor, path: str) -> None:
    assert visitor.ask("POST", path, json={}).status_code == 403
    foreign = {"Origin": "http://evil.example", "X-XSRFToken": visitor.xsrf()}
    assert visitor.ask("POST", path, json={}, headers=foreign).status_code == 403


# -- a token that ends -----------------------------------------------------------------------------------------------


def test_a_token_revoked_in_mid_session_blanks_at_once_and_a_new_login_brings_it_back(
    pair: Pair, visitor: Visitor
) -> None:
    log_in(visitor)
    wait_until(lambda: pair.feed() == "LIVE")
    attempts = pair.connections()["refused"]
    pair.sim.post("/sim/faults", {"fault": "expire"})
    wait_until(lambda: pair.auth()["cause"] == "Kite refused the token (403)")
    wait_until(lambda: pair.feed() == "LOGIN_REQUIRED")
    blank = pair.desk.json(f"/api/quotes?i={KEY}")["quotes"][KEY]
    assert (blank["last_price"], blank["reason"]) == (None, "login required: Kite refused the token (403)")
    assert pair.connections()["refused"] - attempts == 1, "one attempt, no storm"
    log_in(visitor)
    wait_until(lambda: pair.feed() == "LIVE")


def test_a_refusal_over_rest_ends_a_live_socket_too(pair: Pair, visitor: Visitor) -> None:
    log_in(visitor)
    wait_until(lambda: pair.feed() == "LIVE")
    pair.sim.post("/sim/faults", {"fault": "http_403"})
    assert pair.connections()["open"] == 1
    assert post(visitor, "/api/system/recheck").status_code == 200
    assert pair.auth()["cause"] == "Kite refused the token (403)"
    wait_until(lambda: pair.feed() == "LOGIN_REQUIRED" and pair.connections()["open"] == 0)


def test_what_the_desk_says_and_logs_holds_no_secret(pair: Pair, visitor: Visitor) -> None:
    path = consent(visitor)
    visitor.navigate(path)
    query = parse_qs(urlsplit(path).query)
    token = json.loads((pair.data / "token.json").read_text(encoding="utf-8"))["access_token"]
    secrets = [query["request_token"][0], query["state"][0], token, "simsecret"]
    assert all(len(secret) > 8 for secret in secrets)
    said = [pair.desk.output.partition("READY")[2], visitor.heard[-1]]
    said += [pair.desk.get(path).text for path in ("/api/auth/validate", "/api/system/report", "/api/system/health")]
    assert [secret for secret in secrets if any(secret in text for text in said)] == []
