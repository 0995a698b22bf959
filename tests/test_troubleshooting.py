"""Every message that the troubleshooting page explains is one that the code really says."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import requests

from dashboards.kite_login import Journeys
from tapedeck import auth, feed
from tapedeck.clock import ManualClock, ist_ns
from tapedeck.errors import ConfigError
from tapedeck.kite.account import KiteAccount
from tapedeck.kite.handshake import failure
from tapedeck.kite.rest import map_error
from tapedeck.settings import load
from tapedeck.views.bars import status_strip
from tests.fake_relay import SNAPSHOT, FakeDesk, FakeRelay, make_instruments

pytest_plugins = ["tests.page_fixtures"]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "troubleshooting.md"
NOW = ist_ns(date(2026, 11, 23), "10:00")


def explained() -> list[str]:
    """First cells of the page's tables."""
    return re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


# -- the login -------------------------------------------------------------------------------------------------------


def login_required(*events: auth.Event, problem: str = "") -> str:
    """What a feed says of a login that went through these events, on a desk with that problem of its key."""
    machine = auth.Auth()
    for event in (auth.Configured(problem), *events):
        machine.handle(event, NOW)
    said = feed.Feed(rng=random.Random(1))
    said.handle(feed.Start("", True, machine.status.why_blank), 0.0)
    return said.status.reason


FOUND = auth.TokenFound("f", NOW - 1)


def without_secret() -> str:
    account = KiteAccount(
        "key", "", rest_root="http://r", login_root="http://l", tokens=None, clock=ManualClock(NOW, monotonic=0.0)
    )
    with pytest.raises(ConfigError) as refused:
        account.login_url()
    return str(refused.value)


def unusable_key() -> str:
    return load({"ZERODHA_API_KEY": "your_api_key"}).kite_problem


def key_astray() -> str:
    with TemporaryDirectory() as folder:
        (Path(folder) / ".env").write_text("ZERODHA_API_KEY: kq8v3x1m5t7z9w2b\n", encoding="utf-8")
        return load({}, folder=Path(folder)).kite_problem


def way_back(state: str, *, owner: str = "login:a") -> str:
    journeys = Journeys(ManualClock(NOW, monotonic=0.0))
    begun = journeys.begin("login:a")
    return journeys.end(begun if state == "own" else state, owner)


# -- the feed --------------------------------------------------------------------------------------------------------


def feed_after(*events: tuple[float, Any]) -> str:
    """The feed's reason after what happened at these seconds."""
    machine = feed.Feed(rng=random.Random(1))
    machine.handle(feed.Start("f", True), 0.0)
    for at, event in events:
        machine.handle(event, at)
    return machine.status.reason


def refused() -> feed.ConnectFailed:
    return failure(ConnectionRefusedError(), "f")


# -- the page ----------------------------------------------------------------------------------------------------------

LOOK = """async ([welcome, frame, change, key, at]) => {
  const {Market} = await import("http://js.test/market.js")
  const market = new Market(0)
  market.connected = true
  market.welcome(welcome)
  market.frame(Uint8Array.from(atob(frame), (c) => c.charCodeAt(0)).buffer, 1000)
  Object.assign(market, change)
  const verdict = market.verdict(at)
  return market.view(key, verdict).reason
}"""


def page_says(javascript: Any, *, key: str = "NSE:INFY", at: float = 1500, prepare: Any = None, **change: Any) -> str:
    """The reason at a cell, `at` milliseconds after the page began."""
    relay = FakeRelay(FakeDesk(make_instruments(4)))
    if prepare is not None:
        prepare(relay)
    keys = list(relay.desk.by_key)
    frame = base64.b64encode(relay.frame(SNAPSHOT, relay.rows)).decode()
    return javascript.evaluate(LOOK, [relay.welcome([*keys, "NSE:GONE"]), frame, change, key, at])


def standby(relay: FakeRelay) -> None:
    relay.feed_state = "STANDBY"


def nothing_yet(relay: FakeRelay) -> None:
    relay.rows = relay.rows[:0]


def no_close(relay: FakeRelay) -> None:
    relay.rows["flags"] = 0
    relay.rows["official_close"] = 0


SAID: dict[str, Callable[[Any], str]] = {
    "login required: no token yet": lambda _: login_required(),
    "login required: expired at 06:00 IST": lambda _: login_required(auth.TokenFound("f", NOW - 24 * 3600 * 10**9)),
    "login required: Kite refused the token (403)": lambda _: login_required(FOUND, auth.ApiFailed("token", "f")),
    "login required: logged out": lambda _: login_required(FOUND, auth.LoggedOut()),
    "login required: Kite ended the login with status 'cancelled'": lambda _: login_required(
        auth.LoginEnded("Kite ended the login with status 'cancelled'")
    ),
    "login required: the token file was removed": lambda _: login_required(FOUND, auth.TokenGone()),
    "not set up: ZERODHA_API_KEY is a placeholder": lambda _: login_required(problem=unusable_key()),
    "not set up: .env line 1 is not NAME=value": lambda _: login_required(problem=key_astray()),
    "ZERODHA_API_SECRET is empty; a login to Kite cannot be finished without it": lambda _: without_secret(),
    "this login was not begun here, took over five minutes or was used before: click LOGIN again": lambda _: way_back(
        "other"
    ),
    "this login was begun in another browser: click LOGIN in this one": lambda _: way_back("own", owner="login:b"),
    "the address had no state: begin with LOGIN on the desk's page": lambda _: way_back(""),
    "Kite could not be reached (ConnectionError)": lambda _: str(map_error(requests.exceptions.ConnectionError())),
    "Kite did not answer in time": lambda _: str(map_error(requests.exceptions.ReadTimeout())),
    "no heartbeat for 5 s": lambda _: feed_after(
        (0.1, feed.Connected("f")), (0.2, feed.FrameArrived()), (5.3, feed.Timer())
    ),
    "no answer to the handshake for 2 s": lambda _: feed_after((2.1, feed.Timer()), (2.2, feed.Closed())),
    "connection refused": lambda _: feed_after((0.1, refused())),
    "Kite answered 429": lambda _: feed_after((0.1, feed.ConnectFailed(status=429, token="f"))),
    "another desk owns the feed": lambda page: page_says(page, prepare=standby),
    "desk not reachable, retrying": lambda page: page_says(page, at=9000, connected=False),
    "desk silent, waiting": lambda page: page_says(page, at=9000),
    "catching up": lambda page: page_says(page, at=9000, gapSince=1000, sequence=-1, arrivedAt=8900),
    "session ended · reload": lambda _: str(status_strip({}, source="kite").object),
    "logged out: reload the page to log in": lambda page: page_says(page, loggedOut=True),
    "not in today's instrument list": lambda page: page_says(page, key="NSE:GONE"),
    "subscribing": lambda page: page_says(page, key="NSE:NEW", awaiting=True),
    "waiting for the first tick": lambda page: page_says(page, prepare=nothing_yet),
    "no official price yet": lambda page: page_says(page, prepare=no_close),
}


def test_the_page_explains_what_is_exercised_here_and_nothing_else() -> None:
    assert sorted(explained()) == sorted(SAID)


@pytest.mark.browser
@pytest.mark.parametrize("message", list(SAID))
def test_what_is_explained_is_what_is_said(javascript: Any, message: str) -> None:
    assert message in SAID[message](javascript)
