"""What the app bar says of the login to Kite, by how it stands."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

ASK = """async ([login, simulated, dead]) => {
  const {loginText} = await import("http://js.test/login.js")
  return loginText({login, simulated}, {dead, reason: "desk not reachable, retrying"})
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
    said = javascript.evaluate(ASK, [login, simulated, False])
    assert (said["text"], said["state"]) == (text, state)
    assert title in said["title"]


def test_of_a_desk_that_is_not_heard_nothing_is_said(javascript: Any) -> None:
    said = javascript.evaluate(ASK, [{"state": "VALID", "cause": "x", "user_id": "AB1234"}, False, True])
    assert (said["text"], said["title"]) == ("—", "desk not reachable, retrying")
