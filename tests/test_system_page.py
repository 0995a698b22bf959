"""The System page on the screen of a real browser: filled, refreshed, marked when old, copied, left by key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.fake_relay import FakeRelay
from tests.page_support import flow, settle
from tests.system_support import StubDesk, row, stub_report
from tests.test_market_states import serious

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

Open = Callable[..., Page]
FILLED = "() => window.__tapedeck?.page.parts('system')[0]?.report && __tapedeck.state === 'live'"
SYSTEM = "__tapedeck.page.parts('system')[0].root"
#: What a refresh writes to, and where it stands.
PARTS = "[data-tile], th, dt, dd, .lane b, .lane small, h3, .head > *:not(.stale)"
BOXES = f"""() => [...{SYSTEM}.querySelectorAll("{PARTS}")]
  .map((e) => {{ const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height].map(Math.round).join() }})"""
VIEWER = {"user": "meera", "role": "viewer"}


def text(page: Page, selector: str) -> str:
    return page.evaluate(f"(s) => {SYSTEM}.querySelector(s).textContent", selector)


def texts(page: Page, selector: str) -> list[str]:
    return page.evaluate(f"(s) => [...{SYSTEM}.querySelectorAll(s)].map((e) => e.textContent)", selector)


def fact(page: Page, name: str) -> str:
    return text(page, f'[data-fact="{name}"]')


def shown(page: Page, name: str, expected: str) -> None:
    flow(page, f"""([s, expected]) => {SYSTEM}.querySelector(s).textContent === expected""",
         [f'[data-fact="{name}"]', expected])  # fmt: skip


def test_the_page_is_filled_kept_current_and_marked_when_it_is_not(open_page: Open, relay: FakeRelay) -> None:
    desk = relay.desk
    page = open_page("system", clock=True, live=False, expect=("503",))
    flow(page, "() => window.__tapedeck?.page.parts('system').length === 1")
    flow(page, "() => document.querySelector('#skeleton') === null")
    page.clock.fast_forward(7000)
    flow(page, f"() => /there is nothing to show/.test({SYSTEM}.querySelector('[data-stale]').textContent)")
    assert text(page, "[data-stale]").startswith("Not current: the desk is closing, for 7 s")

    desk.report = stub_report(access=VIEWER)
    flow(page, FILLED)
    check_what_is_shown(page)
    # No list of the market is followed for a page that shows none.
    assert [order["v"] for order in relay.received if order["a"] == "hello"][-1] == [
        "NSE:NIFTY 50", "NSE:NIFTY BANK", "NSE:INDIA VIX",
    ]  # fmt: skip
    assert page.evaluate("() => location.search") == ""
    check_refresh(page, relay)
    check_stale(page, relay)


def check_what_is_shown(page: Page) -> None:
    assert texts(page, ".settings .level") == ["error", "warning", "ok", "ok"]
    assert text(page, "[data-account]") == "meera · viewer"
    assert text(page, ".settings tr.why") == "a key is set without its secretset ZERODHA_API_SECRET"
    assert fact(page, "auth.state") == "VALID"
    assert fact(page, "auth.since") == "23 Nov 09:00:00"
    assert fact(page, "auth.expires_at").endswith("at 24 Nov 06:00:00")
    assert fact(page, "feed.state") == "LIVE"
    assert fact(page, "feed.subscribed") == "53"
    assert texts(page, '[data-rows="auth.timeline"] b') == [
        "EXCHANGING → VALID", "LOGIN_REQUIRED → EXCHANGING", "EXPIRED → LOGIN_REQUIRED",
    ]  # fmt: skip
    assert texts(page, '[data-rows="feed.timeline"] li')[2] == "23 Nov 09:58:57STALE no heartbeat for 5 s"
    assert texts(page, ".lane [data-number]") == ["0 of 1 a second", "2 of 3 a second", "1 of 10 a second"]
    assert text(page, '.lane[data-state="warn"] small').startswith("held back 40 s")
    assert len(page.evaluate(f"() => [...{SYSTEM}.querySelectorAll('.meter i[data-on]')].map(() => 1)")) == 3
    assert texts(page, '[data-rows="storage"] dd') == ["data", "812 B", "5.3 GB", "84.0 MB", "5.4 GB", "83.0 GB"]
    assert "NSE EQ F&O, indices" in texts(page, ".phases td:first-child")
    assert all(left and left != "—" for left in texts(page, ".phases [data-until]"))
    assert page.evaluate(f"() => {SYSTEM}.querySelector('[data-recheck]').hidden"), "nothing is there to check again"


def check_refresh(page: Page, relay: FakeRelay) -> None:
    """Two seconds later the page shows the next report, and nothing has moved."""
    before, asked = page.evaluate(BOXES), relay.desk.reports
    changed = StubDesk()
    changed.hub.feed_state, changed.hub.feed_reason = "BACKOFF", "connection refused by a server far away " * 5
    changed.socket.status.subscribed = 3000
    report = stub_report(changed, access=VIEWER)
    report["auth"] |= {"failures": 12345, "state": "LOGIN_REQUIRED", "cause": "Kite refused the token (403) " * 9}
    report["quota"]["historical"] |= {"last_second": 3, "waiting": 16, "last_minute": 180}
    relay.desk.report = report
    shown(page, "auth.failures", "12,345")
    assert relay.desk.reports > asked
    assert fact(page, "auth.state") == "LOGIN_REQUIRED"
    assert page.evaluate(f"() => {SYSTEM}.querySelector('[data-fact=\"feed.state\"]').dataset.state") == "warn"
    assert page.evaluate(BOXES) == before
    relay.desk.report = stub_report()
    shown(page, "auth.state", "VALID")


def check_stale(page: Page, relay: FakeRelay) -> None:
    """What is older than six seconds does not look like now, and comes back by itself."""
    relay.desk.report = None
    page.clock.fast_forward(7000)
    flow(page, f"() => {SYSTEM}.querySelector('[data-stale]').textContent !== ''")
    assert text(page, "[data-stale]").startswith("Not current: the desk is closing, for ")
    assert text(page, "[data-stale]").endswith("shown is how it was at 10:00:00")
    assert set(texts(page, "[data-tile] [data-until], [data-tile] [data-status], .lane [data-number]")) == {"—"}
    assert [fact(page, name) for name in ("feed.state", "auth.state", "feed.age_s", "auth.expires_at")] == ["—"] * 4
    modes = page.evaluate(f"() => [...{SYSTEM}.querySelectorAll('[data-tile]')].map((tile) => tile.dataset.mode)")
    assert set(modes) == {"blank"}
    relay.desk.report = stub_report()
    page.clock.fast_forward(2500)
    shown(page, "feed.state", "LIVE")
    assert texts(page, ".lane [data-number]")[1] == "2 of 3 a second"
    assert text(page, "[data-stale]") == ""


def test_the_page_fits_is_readable_is_copied_and_is_left_by_a_key(open_page: Open, relay: FakeRelay) -> None:
    many = StubDesk()
    many.check_report.rows = [
        *many.check_report.rows, *(row("ok", f"TAPEDECK_SETTING_{n:02d}", "x" * 60, ".env line 3") for n in range(30)),
    ]  # fmt: skip
    relay.desk.report = stub_report(many, can_recheck=True)
    page = open_page("system", live=False)
    flow(page, FILLED)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for scheme in ("dark", "light"):
        flow(page, "(scheme) => document.documentElement.dataset.scheme === scheme", scheme)
        for width, height in ((1280, 800), (1440, 900), (2560, 1440), (900, 700)):
            page.set_viewport_size({"width": width, "height": height})
            flow(page, "(width) => innerWidth === width", width)
            photograph(page, f"system-{scheme}-{width}")
            wide = f"""() => [...{SYSTEM}.querySelectorAll(".head, .columns, .tile > header, .scroll, .timeline")]
              .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.className)"""
            assert page.evaluate(wide) == []
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert serious(page, scheme) == []
        page.keyboard.press("t")
    page.set_viewport_size({"width": 1440, "height": 900})
    check_copy(page)
    check_acts(page, relay)
    check_ways(page)


def check_copy(page: Page) -> None:
    copy = page.get_by_role("button", name="Copy as text")
    copy.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith("== Tapedeck")
    assert "== Versions" in copied
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')) }")
    page.locator("[data-copy]").click()
    dialog = page.get_by_role("dialog", name="The page as text")
    dialog.wait_for()
    chosen = "() => { const a = " + SYSTEM + ".activeElement; return a.value.slice(a.selectionStart, a.selectionEnd) }"
    assert page.evaluate(chosen).startswith("== Tapedeck"), "the text is selected"
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def check_acts(page: Page, relay: FakeRelay) -> None:
    """Checking again goes at once; a logout, which takes everybody's numbers away, asks first."""
    page.get_by_role("button", name="Recheck").click()
    settle(page, lambda: relay.desk.posted == ["/api/system/recheck"])
    page.get_by_role("button", name="Log out of Kite").click()
    again = page.get_by_role("button", name="Press again")
    again.wait_for()
    assert relay.desk.posted == ["/api/system/recheck"]
    again.click()
    settle(page, lambda: relay.desk.posted == ["/api/system/recheck", "/api/auth/logout"])
    page.get_by_role("button", name="Log out of Kite").wait_for()


def check_ways(page: Page) -> None:
    """To the market and back, by key and by link; an instrument of the tape leads to the market's page of it."""
    assert page.locator("a.brand").get_attribute("href") == "./"
    page.keyboard.press("?")
    page.get_by_text("System page and back").wait_for()
    page.keyboard.press("Escape")
    page.locator('[data-key="NSE:NIFTY 50"]').click()
    page.wait_for_url("**/?i=NSE*")
    flow(page, "() => window.__tapedeck?.state === 'live' && __tapedeck.rows > 0")
    assert page.evaluate("() => __tapedeck.page.selected") == "NSE:NIFTY 50"
    page.get_by_role("link", name="System").click()
    page.wait_for_url("**/system")
    flow(page, FILLED)
    settle(page, lambda: page.evaluate("() => __tapedeck.page.aside"))
    page.keyboard.press(",")
    page.wait_for_url(lambda url: not url.endswith("system"))


def photograph(page: Page, name: str) -> None:
    """Keep a picture for a person to look at, where one is asked for."""
    folder = os.environ.get("TAPEDECK_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")
