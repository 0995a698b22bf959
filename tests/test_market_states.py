"""Every state of the Market page, in both schemes and at three widths: photographed, checked for what must not be.

The pictures go to `.pytest_cache/pages/` (or the folder in TAPEDECK_SHOTS) to be compared by eye with the look's rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.fake_relay import FakeRelay
from tests.page_support import digits_on_screen, flow, settle

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

Open = Callable[..., Page]
SHOTS = Path(os.environ.get("TAPEDECK_SHOTS", ".pytest_cache/pages"))
SIZES = {1280: 800, 1440: 900, 2560: 1440}
TILES = """() => [...__tapedeck.page.targets.values()].flatMap((target) =>
  [...(target.view?.shadow_el?.querySelectorAll("[data-tile]") ?? [])])"""
MODES = f"() => ({TILES})().map((tile) => tile.dataset.mode)"


@pytest.fixture
def relay(relay: FakeRelay) -> FakeRelay:
    """With what the desk knows of the day so far; one share has a gap."""
    for i, key in enumerate(relay.desk.by_key):
        start = float(relay.rows["close"][i])
        prices: list[float | None] = [round(start * (1 + ((i * 7 + n * 5) % 23 - 11) / 900), 2) for n in range(15)]
        if key == "NSE:TCS":
            prices[5:8] = [None] * 3
        relay.desk.days[key] = {
            "start_ms": relay.desk.open_ms, "end_ms": relay.desk.open_ms + 375 * 60_000, "prices": prices,
            "previous_oi": None, "previous_oi_date": None,
        }  # fmt: skip
    return relay


def prepare(relay: FakeRelay) -> None:
    """A whole market: overview and a book."""
    relay.show_overview()
    relay.show_book("NSE:INFY")


def loading(page: Page, relay: FakeRelay) -> None:
    """Nothing: the relay refuses, and the first seconds pass."""


def live(page: Page, relay: FakeRelay) -> None:
    prepare(relay)
    flow(page, f"() => ({MODES})().every((mode) => mode === 'live')")


def late(page: Page, relay: FakeRelay) -> None:
    live(page, relay)
    relay.feed_age = 3.6
    flow(page, "() => __tapedeck.state === 'late'")


def blank(page: Page, relay: FakeRelay) -> None:
    live(page, relay)
    relay.feed_age, relay.feed_state, relay.reason = 7.2, "STALE", ""
    relay.tell()
    flow(page, "() => __tapedeck.state === 'blank'")


def closed(page: Page, relay: FakeRelay) -> None:
    relay.coarse, relay.next_phase = "CLOSED", "PRE_OPEN"
    prepare(relay)
    relay.mark(held=False, phase="CLOSED")
    relay.show_overview(held=False, date=20261123, oi_held=False, oi_reason="futures have no official price")
    relay.show_book("NSE:INFY", known=False, buy=[], sell=[])
    relay.tell()
    flow(page, f"() => ({MODES})().every((mode) => mode === 'closed')")


def replay(page: Page, relay: FakeRelay) -> None:
    relay.desk.source, relay.desk.simulated, relay.replay = "tape:2026-11-20", False, True
    live(page, relay)
    flow(page, "() => __tapedeck.page.market.replay")


STATES = {"loading": loading, "live": live, "late": late, "blank": blank, "closed": closed, "replay": replay}


def photograph(page: Page, name: str) -> Path:
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    page.screenshot(path=path)
    return path


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_shown_as_what_it_is(open_page: Open, relay: FakeRelay, state: str) -> None:
    relay.refusing = state == "loading"
    page = open_page(live=state != "loading", clock=state == "loading", expect=("/api/stream' failed",))
    flow(page, "window.__tapedeck?.rows === 50")
    STATES[state](page, relay)
    for scheme in ("dark", "light"):
        flow(page, "(scheme) => document.documentElement.dataset.scheme === scheme", scheme)
        for width, height in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            flow(page, "([w, h]) => innerWidth === w && innerHeight === h", [width, height])
            page.evaluate("() => { __tapedeck.page.draw(); return new Promise(requestAnimationFrame) }")
            photograph(page, f"{state}-{scheme}-{width}")
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing is pushed aside"
        page.evaluate("() => __tapedeck.page.shell.toggleTheme()")
    shown = digits_on_screen(page)
    assert bool(shown) == (state not in ("loading", "blank"))
    frames = page.evaluate(f"() => ({TILES})().filter((tile) => tile.hasAttribute('data-replay')).length")
    assert frames == (0 if state != "replay" else len(page.evaluate(MODES)))


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_no_serious_violation(open_page: Open, relay: FakeRelay, scheme: str) -> None:
    relay.desk.workspace.saved["theme"] = scheme
    page = open_page()
    live(page, relay)
    found = [serious(page, "page")]
    page.keyboard.press("/")
    page.keyboard.type("nif")
    page.get_by_role("option").first.wait_for()
    found.append(serious(page, "search"))
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").wait_for()
    found.append(serious(page, "help"))
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Columns", exact=True).click()
    found.append(serious(page, "columns"))
    page.get_by_role("button", name="Done").click()
    page.set_viewport_size({"width": 900, "height": 800})
    found.append(serious(page, "narrow"))
    assert [violation for part in found for violation in part] == []


def serious(page: Page, part: str) -> list[str]:
    """Serious and critical violations, one line each."""
    result = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        f"{part}: {one['id']} at {node['target']}: {node.get('failureSummary', '')[:160]}"
        for one in result.response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:4]
    ]


SHIFTS = """() => {
  window.shifts = []
  const name = (source) => source.node?.className || source.node?.nodeName
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) shifts.push(`${entry.value} ${entry.sources.map(name)}`)
  }).observe({type: "layout-shift", buffered: false})
}"""


@pytest.mark.parametrize("width", list(SIZES))
def test_nothing_moves_while_the_market_does(open_page: Open, relay: FakeRelay, width: int) -> None:
    page = open_page(width=width, height=SIZES[width])
    live(page, relay)
    page.evaluate("() => new Promise((done) => setTimeout(done, 600))")
    page.evaluate(SHIFTS)
    frames = page.evaluate("() => __tapedeck.frames")
    for i in range(12):
        for key in ("NSE:INFY", "NSE:TCS", "NSE:NIFTY 50", "NSE:INDIA VIX"):
            relay.publish(key, last_price=[9.05, 99_999.95, 1_234.5, 7.0][i % 4], bid_price=99_999.0 + i)
        relay.show_overview(
            breadth={"advances": 3 + 60 * (i % 3), "declines": 197 - 60 * (i % 3), "unchanged": 0, "unknown": i}
        )
        relay.show_book("NSE:INFY", total_buy_quantity=10 ** (i % 9))
        relay.counters["ticks_per_s"] = 10.0 ** (i % 5)
        relay.tell()
    flow(page, "(frames) => __tapedeck.frames >= frames + 48", frames)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("() => shifts") == []


def test_a_strike_without_a_trade_for_ten_minutes_stays_shown_with_its_age(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    relay.publish("NSE:SHARE07", last_trade_time_ms=relay.market_ms - 600_000)
    age = """() => { const {row} = __tapedeck.tables[0].byKey.get("NSE:SHARE07")
      return row.cells.find((c) => c.column.field === "last_trade_time_ms").element.textContent }"""
    flow(page, f"() => ({age})() === '10m'")
    mode = "() => __tapedeck.tables[0].byKey.get('NSE:SHARE07').row.element.dataset.mode"
    assert page.evaluate(mode) == "live"
    assert digits_on_screen(page)
    relay.feed_age, relay.feed_state = 6.0, "STALE"
    relay.tell()
    flow(page, "() => __tapedeck.state === 'blank'")
    assert digits_on_screen(page) == ""


def test_a_part_that_fails_is_blank_and_the_others_go_on(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(expect=("the part detail failed",))
    live(page, relay)
    page.evaluate("() => { __tapedeck.page.parts('detail')[0].draw = () => { throw new Error('broken') } }")
    flow(page, "() => __tapedeck.page.failures > 0")
    relay.publish("NSE:INFY", last_price=1533.0)
    flow(page, "() => __tapedeck.tables[0].byKey.get('NSE:INFY').numbers.last_price === 1533")
    detail = page.evaluate_handle("() => __tapedeck.page.parts('detail')[0].view.el")
    assert detail.get_property("dataset").get_property("failed").json_value() == "this part of the page failed: reload"
    assert not page.get_by_role("region", name="Order book").is_visible()


def test_a_narrow_page_shows_one_part_at_a_time(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(width=900, height=800)
    prepare(relay)
    tabs = page.get_by_role("tablist", name="Parts of the page")
    assert tabs.is_visible()
    parts: dict[str, Any] = {
        "Watchlist": page.locator(".tabulator-row").first,
        "Details": page.get_by_role("region", name="Order book"),
        "Market": page.get_by_text("NIFTY 50 by approximate weight"),
    }
    for name, part in parts.items():
        tabs.get_by_role("tab", name=name).click()
        settle(page, part.is_visible)
        others = [other for title, other in parts.items() if title != name]
        assert not any(other.is_visible() for other in others), name
    flow(page, "() => location.search.includes('tab=dock')")
    photograph(page, "narrow-market")


def test_rows_have_three_heights_and_keep_their_numbers(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    height = "() => __tapedeck.tables[0].entries[0].row.element.getBoundingClientRect().height"
    for expected in (36, 24, 28):
        page.keyboard.press("s")
        flow(page, f"(expected) => ({height})() === expected", expected)
        assert "1,525.00" in digits_on_screen(page)
    settle(page, lambda: relay.desk.workspace.saved["density"] == "normal")


def test_the_colour_blind_pair_replaces_green_and_red(open_page: Open) -> None:
    page = open_page()
    colour = """() => { const {row} = __tapedeck.tables[0].byKey.get("NSE:INFY")
      return getComputedStyle(row.cells.find((c) => c.column.field === "percent").element).color }"""
    assert page.evaluate(colour) == "rgb(61, 190, 139)"
    page.get_by_role("button", name="Colours for colour-blind eyes").click()
    flow(page, f"() => ({colour})() === 'rgb(86, 180, 233)'")
