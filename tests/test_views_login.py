"""What the app bar says of the login to Kite, by how it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.fake_relay import FakeRelay
from tests.page_support import flow, status

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

Open = Callable[..., Page]
ASK = """async ([login, simulated, dead, role]) => {
  const {loginText} = await import("http://js.test/login.js")
  return loginText({login, simulated}, {dead, reason: "desk not reachable, retrying"}, role)
}"""


@pytest.mark.parametrize(
    ("login", "simulated", "text", "state", "title"),
    [
        ({"state": "LOGIN_REQUIRED", "cause": "expired at 06:00 IST"}, False, "LOGIN", "warn", "expired at 06:00 IST"),
        ({"state": "LOGIN_REQUIRED", "cause": "logged out"}, True, "LOGIN", "warn", "logged out"),
        ({"state": "EXPIRED", "cause": "x"}, False, "LOGIN", "warn", "x"),
        ({"state": "REVOKED", "cause": "x"}, False, "LOGIN", "warn", "x"),
        ({"state": "UNCONFIGURED", "cause": "no secret"}, False, "not set up", "warn", "no secret"),
        ({"state": "EXCHANGING", "cause": "x"}, False, "logging in", "", "x"),
        ({"state": "VALID", "cause": "logged in", "user_id": "AB1234"}, False, "AB1234", "", "as AB1234: logged in"),
        ({"state": "VALID", "cause": "x", "user_id": ""}, False, "logged in", "", "x"),
        ({"state": "VALID", "cause": "x", "user_id": ""}, True, "no login", "", "needs no login"),
        ({"state": "VALID", "cause": "x", "user_id": "SIM001"}, True, "SIM001", "", "SIM001"),
        ({}, False, "—", "", "desk not reachable"),
    ],
)
def test_the_button_says_how_the_login_stands(
    javascript: Any, login: dict[str, str], simulated: bool, text: str, state: str, title: str
) -> None:
    said = javascript.evaluate(ASK, [login, simulated, False, "operator"])
    assert (said["text"], said["state"]) == (text, state)
    assert title in said["title"]


def test_of_a_desk_that_is_not_heard_nothing_is_said(javascript: Any) -> None:
    said = javascript.evaluate(ASK, [{"state": "VALID", "cause": "x", "user_id": "AB1234"}, False, True, "operator"])
    assert (said["text"], said["title"]) == ("—", "desk not reachable, retrying")


@pytest.mark.parametrize(
    ("role", "text", "off", "title"),
    [
        ("operator", "LOGIN", False, "Log in to Kite in a window of its own: logged out"),
        ("viewer", "login needed", True, "ask an operator to log in to Kite: logged out"),
        ("", "", True, "logged out"),
    ],
)
def test_who_may_not_log_in_is_told_whom_to_ask(javascript: Any, role: str, text: str, off: bool, title: str) -> None:
    said = javascript.evaluate(ASK, [{"state": "LOGIN_REQUIRED", "cause": "logged out"}, False, False, role])
    assert (said["text"], said["off"], said["title"]) == (text, off, title)


LOOK = """async ([looks]) => {
  const {LoginWindow} = await import("http://js.test/login.js")
  const opened = {closed: false}
  const login = new LoginWindow(opened, {state: "LOGIN_REQUIRED", cause: "no token yet"}, 0)
  return looks.map(([at, closed, state, cause]) => {
    opened.closed = closed
    return login.look({state, cause}, at)
  })
}"""
STILL = ("LOGIN_REQUIRED", "no token yet")


@pytest.mark.parametrize(
    ("looks", "seen"),
    [
        ([(500, False, *STILL), (1000, True, *STILL), (3400, True, *STILL), (3500, True, *STILL)],
         ["open", "open", "open", "closed"]),
        ([(500, True, *STILL), (1500, True, "VALID", "logged in")], ["open", "done"]),
        ([(500, False, "EXCHANGING", "x")], ["done"]),
        ([(500, True, "LOGIN_REQUIRED", "login failed: Kite ended the login with status 'cancelled'")], ["done"]),
        ([(600_000, False, *STILL), (600_001, False, *STILL)], ["open", "done"]),
    ],
)  # fmt: skip
def test_a_window_that_was_closed_is_told_from_one_that_has_done_its_work(
    javascript: Any, looks: list[tuple[int, bool, str, str]], seen: list[str]
) -> None:
    assert javascript.evaluate(LOOK, [looks]) == seen


# -- on the page ---------------------------------------------------------------------------------------------------


def without_login(relay: FakeRelay, reason: str = "no token yet") -> None:
    """As a desk is in the morning."""
    relay.feed_state, relay.reason = "LOGIN_REQUIRED", f"login required: {reason}"
    relay.login = {"state": "LOGIN_REQUIRED", "cause": reason, "user_id": ""}
    relay.tell()


def test_a_login_window_that_is_closed_early_is_noticed(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    without_login(relay)
    button = page.get_by_role("button", name="LOGIN", exact=True)
    button.wait_for()
    with page.context.expect_page() as opened:
        button.click()
    flow(page, "() => __tapedeck.page.loginWatch !== null")
    opened.value.close()
    page.get_by_text("the login window was closed").wait_for()
    assert relay.desk.posted == ["/api/auth/login"]


def test_a_viewer_is_not_offered_what_would_be_refused(open_page: Open, relay: FakeRelay) -> None:
    relay.desk.role = "viewer"
    page = open_page(width=1280, height=800)
    assert page.evaluate("() => __tapedeck.page.role === undefined"), "nobody asks before it matters"
    without_login(relay)
    flow(page, "() => __tapedeck.text('login') === 'login needed'")
    button = page.locator("[data-td=login]").first
    assert button.is_disabled()
    assert button.get_attribute("title") == "ask an operator to log in to Kite: no token yet"
    assert button.evaluate("(e) => e.scrollWidth <= e.clientWidth")
    relay.login = {"state": "VALID", "cause": "logged in", "user_id": "AB1234"}
    relay.tell()
    flow(page, "() => __tapedeck.text('login') === 'AB1234'")
    assert button.is_enabled()


WORDS = {
    "LOGIN_REQUIRED": "LOGIN REQUIRED", "BACKOFF": "RECONNECTING", "CONNECTING": "CONNECTING", "STALE": "STALE",
    "STANDBY": "STANDBY", "IDLE": "IDLE",
}  # fmt: skip
PLACES = """() => {
  const root = __tapedeck.page.find(".feed").getRootNode()
  const parts = [".tape", ".simulated", ".phase", ".feed", ".login", ".clock", ".icons"]
  const box = (one) => { const {left, width} = root.querySelector(one).getBoundingClientRect(); return [left, width] }
  return parts.map(box)
}"""
CUT = """() => [...__tapedeck.page.find(".feed").querySelectorAll("span"), __tapedeck.page.find(".login")]
  .filter((e) => e.scrollWidth > e.clientWidth && getComputedStyle(e).display !== "none").map((e) => e.textContent)"""


@pytest.mark.parametrize("width", [1280, 1440, 1680, 2560])
def test_every_word_of_the_feed_is_read_in_full_and_moves_nothing(
    open_page: Open, relay: FakeRelay, width: int
) -> None:
    page = open_page(width=width)
    places = page.evaluate(PLACES)
    relay.feed_age = 4999.0
    for state, word in WORDS.items():
        relay.feed_state, relay.reason = state, "why"
        relay.login = {"state": "LOGIN_REQUIRED", "cause": "x", "user_id": ""}
        relay.tell()
        flow(page, "(word) => __tapedeck.text('feed') === word", word)
        assert page.evaluate(CUT) == [], state
        assert page.evaluate(PLACES) == places, state
    assert status(page, "feed-age") == "", "the longer words have the room of the age, which the title tells"
    assert "last heard 4999 s ago" in (page.locator(".feed [data-td=feed]").get_attribute("title") or "")


def test_a_desk_that_is_gone_is_named_in_full(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(width=1280, clock=True, expect=("/api/stream' failed",))
    places = page.evaluate(PLACES)
    relay.refusing = True
    relay.hang_up()
    flow(page, "() => !__tapedeck.connected")
    page.clock.fast_forward(6000)
    flow(page, "() => __tapedeck.text('feed') === 'DESK OFFLINE'")
    assert page.evaluate(CUT) == []
    assert page.evaluate(PLACES) == places


def test_without_a_login_the_day_chart_says_so_and_not_that_it_is_being_fetched(
    open_page: Open, relay: FakeRelay
) -> None:
    page = open_page()
    word = "() => __tapedeck.page.parts('detail')[0].day.firstElementChild.textContent"
    page.evaluate("() => { __tapedeck.page.parts('source')[0].fetching = true }")
    flow(page, f"() => ({word})() !== ''")
    without_login(relay)
    flow(page, f"() => ({word})() === 'login required: no token yet'")


@pytest.mark.parametrize(("state", "word"), [("UNCONFIGURED", "NOT SET UP"), ("LOGIN_REQUIRED", "LOGIN REQUIRED")])
def test_the_badge_tells_a_desk_without_a_key_from_one_that_needs_a_login(
    javascript: Any, state: str, word: str
) -> None:
    said = javascript.evaluate(
        """async (state) => {
          const {feedTexts} = await import("http://js.test/bars.js")
          const market = {feedState: "LOGIN_REQUIRED", login: {state}, connected: true}
          return feedTexts(market, {state: "blank", reason: "why", age: Infinity}).feed
        }""",
        state,
    )
    assert (said["text"], said["title"]) == (word, "why")
