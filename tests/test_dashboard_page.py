"""The Market page on the screen of a real browser, fed by a relay that does what the test tells it."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.fake_relay import FakeDesk, FakeRelay, make_instruments
from tests.page_support import Served, cell, digits_on_screen, flow, settle, status, texts
from tests.support import wait_until

pytestmark = [
    pytest.mark.browser,
    # Bokeh 3.9 builds a ColumnDataSource with reset_index(inplace=True), which pandas 3.1 will drop.
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index"),
]
pytest_plugins = ["tests.page_fixtures"]

Open = Callable[..., Page]
REFUSED = "/api/stream' failed"
LIVE = "__tapedeck.state === 'live'"
SHOWS = """([key, field, text]) => {
  const entry = __tapedeck.tables[0].entries.find((e) => e.key === key)
  return entry.row.cells.find((c) => c.column.field === field)?.element.textContent === text
}"""
ORDER = "() => __tapedeck.tables[0].tabulator.rowManager.getDisplayRows().map((row) => row.data.key)"
TOP = "() => __tapedeck.tables[0].tabulator.rowManager.element.scrollTop"


def test_a_change_reaches_its_cell_and_its_row_and_nothing_else(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    tcs = cell(page, "NSE:TCS", "last_price")
    assert cell(page, "NSE:INFY", "last_price") == "1,525.00"
    relay.publish("NSE:INFY", last_price=1540.5, volume_traded=23_456_789)
    flow(page, SHOWS, ["NSE:INFY", "last_price", "1,540.50"])
    assert cell(page, "NSE:INFY", "change") == "+30.75"
    assert cell(page, "NSE:INFY", "percent") == "+2.04%"
    assert cell(page, "NSE:INFY", "volume_traded") == "2.35 Cr"
    assert cell(page, "NSE:TCS", "last_price") == tcs
    row = page.evaluate("() => __tapedeck.tables[0].tabulator.getData().find((row) => row.key === 'NSE:INFY')")
    assert (row["last_price"], row["volume_traded"]) == (1540.5, 23_456_789)


def test_the_page_is_the_shell_that_was_promised(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    assert status(page, "phase") == "LIVE"
    assert status(page, "phase-next") == "→ CLOSED"
    assert status(page, "feed") == "LIVE"
    assert page.get_by_text("SIMULATED", exact=True).is_visible()
    assert status(page, "source") == "sim:7:2026-11-23"
    assert status(page, "clock").startswith("10:00:")
    assert page.locator('[data-key="NSE:NIFTY 50"] [data-field=last_price]').text_content() == "25,123.45"
    assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")
    heights = page.evaluate(
        """() => {
          const box = (e) => e.getBoundingClientRect().height
          const table = __tapedeck.tables[0]
          return [box(table.entries[0].row.element), box(table.view.shadow_el.querySelector(".tabulator-header"))]
        }"""
    )
    assert heights == [28, 24]
    assert status(page, "login") == "no login"
    assert status(page, "cpu") == "3 %"
    flow(page, "() => document.querySelector('#skeleton') === null")
    relay.coarse, relay.next_phase = "CLOSED", "PRE_OPEN"
    relay.tell()
    page.get_by_text("Market closed: official prices, dated").wait_for()


def test_bars_and_columns_fit_at_every_width(open_page: Open) -> None:
    page = open_page(width=2560)
    for width in (2560, 1280, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        fits = """(width) => { const {view, entries} = __tapedeck.tables[0]; return view.el.clientWidth > width * 0.7
          && innerWidth === width && Math.abs(entries[0].row.element.clientWidth - view.el.clientWidth) < 16 }"""
        flow(page, fits, width)
        check_widths(page, width)


def check_widths(page: Page, width: int) -> None:
    """Nothing is cut off, and the columns for wide screens are there when they should be."""
    overflow = page.evaluate(
        """() => {
          const out = []
          const bars = ".top, .right, .lists, .tile > header, .tabulator-tableholder"
          const walk = (root) => { for (const e of root.querySelectorAll("*")) {
            if (e.shadowRoot) walk(e.shadowRoot)
            if (e.matches(bars) && e.scrollWidth > e.clientWidth + 1) out.push(e.className)
          } }
          walk(document)
          return out
        }"""
    )  # fmt: skip
    assert overflow == []
    shown = page.evaluate(
        "() => __tapedeck.tables[0].tabulator.columnManager.columnsByIndex.filter((c) => c.visible).map((c) => c.field)"
    )
    assert ("oi_change" in shown) == (width == 2560)


def test_pre_open_becomes_live_on_screen_without_reload(open_page: Open, relay: FakeRelay, served: Served) -> None:
    relay.coarse, relay.next_phase, relay.until_ms = "PRE_OPEN", "LIVE", relay.market_ms + 30_000
    page = open_page()
    assert status(page, "phase") == "PRE_OPEN"
    flow(page, "() => /^0:[0-2][0-9]$/.test(__tapedeck.text('phase-left'))")
    relay.coarse, relay.next_phase, relay.until_ms = "LIVE", "CLOSED", relay.market_ms + 6 * 3_600_000
    relay.tell()
    page.locator('[data-td="phase"][data-state=LIVE]').wait_for()
    assert served.sessions == 1


def test_a_feed_that_dies_blanks_every_number_and_says_why(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(clock=True)
    relay.feed_age = 3.5
    flow(page, "() => __tapedeck.state === 'late' && __tapedeck.text('feed') === 'LATE'")
    relay.feed_age = 6.2
    flow(page, "() => __tapedeck.state === 'blank' && /6 s/.test(__tapedeck.text('notice'))")
    assert digits_on_screen(page) == ""
    assert status(page, "notice") == "Numbers are blank: no heartbeat 6 s"
    assert texts(page, "last_price") == {"—"}
    data = page.evaluate("() => __tapedeck.tables[0].tabulator.getData()")
    assert {row["last_price"] for row in data} == {None}
    relay.feed_age = 0.2
    flow(page, SHOWS, ["NSE:INFY", "last_price", "1,525.00"])


def test_a_change_that_rounds_to_nothing_has_no_colour(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    relay.publish("NSE:INFY", last_price=100_000.0, close=100_001.0)
    flow(page, SHOWS, ["NSE:INFY", "percent", "0.00%"])
    directions = """() => __tapedeck.tables[0].entries[0].row.cells
      .filter((c) => ["change", "percent"].includes(c.column.field)).map((c) => c.element.dataset.direction)"""
    assert page.evaluate(directions) == ["down", ""]


def test_the_closing_auction_is_named_while_prices_stand(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    relay.mark(phase="CLOSING_AUCTION")
    page.get_by_text("Closing auction: last prices stand until they are matched").wait_for()
    assert cell(page, "NSE:INFY", "last_price") == "1,525.00"


def test_outside_the_session_the_official_price_is_dated(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    relay.mark(held=False, phase="CLOSED")
    flow(page, SHOWS, ["NSE:INFY", "last_trade_time_ms", "close 23 Nov"])
    assert cell(page, "NSE:INFY", "last_price") == "1,525.00"
    assert cell(page, "NSE:INFY", "bid_price") == "—"
    mode = "() => __tapedeck.tables[0].entries[0].row.element.dataset.mode"
    assert page.evaluate(mode) == "closed"


def test_login_required_is_named_on_the_badge(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    relay.feed_state, relay.reason = "LOGIN_REQUIRED", "login required"
    relay.tell()
    page.get_by_text("LOGIN REQUIRED", exact=True).wait_for()
    assert digits_on_screen(page) == ""
    colour = page.locator(".feed").evaluate("(e) => getComputedStyle(e).color")
    assert colour == "rgb(255, 180, 84)", "health is amber, never green or red"


def test_a_desk_that_is_gone_blanks_the_page_and_returns_by_itself(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(clock=True, expect=(REFUSED,))
    relay.refusing = True
    relay.hang_up()
    flow(page, "() => !__tapedeck.connected")
    page.clock.fast_forward(6000)
    flow(page, "() => __tapedeck.state === 'blank'")
    assert digits_on_screen(page) == ""
    assert status(page, "notice") == "Numbers are blank: desk not reachable, retrying"
    assert status(page, "clock") == "--:--:--"
    relay.refusing = False
    flow(page, LIVE)
    assert cell(page, "NSE:INFY", "last_price") == "1,525.00"
    assert page.evaluate("() => __tapedeck.reconnects") == 1


def test_a_connection_that_falls_silent_is_given_up_for_a_new_one(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(clock=True)
    relay.beating = False
    page.clock.fast_forward(5500)
    flow(page, "() => __tapedeck.state === 'blank'")
    page.clock.fast_forward(1000)
    flow(page, "() => __tapedeck.reconnects === 1")
    relay.beating = True
    flow(page, LIVE)


def test_the_page_outlives_its_session_and_the_server(open_page: Open, served: Served, relay: FakeRelay) -> None:
    page = open_page(
        expect=("WebSocket connection to", "not connected so cannot send", "CONNECTION_REFUSED", "network error")
    )
    port = served.port
    served.stop()
    flow(page, "() => __tapedeck.sessionLost")
    again = FakeRelay(FakeDesk(make_instruments()))
    # A desk that was started anew counts its epochs and frames from the beginning, as the one before did.
    again.run, again.rows["last_price"][0] = "run-2", 1600.0
    revived = Served(again, port=port)
    try:
        flow(page, SHOWS, ["NSE:INFY", "last_price", "1,600.00"])
        assert page.get_by_role("button", name="reload").is_visible()
        page.evaluate("() => __tapedeck.tables[0].move(1)")
        page.get_by_role("button", name="Dark or light").click()
        page.get_by_role("button", name="reload").click()
        flow(page, "window.__tapedeck?.state === 'live' && !__tapedeck.sessionLost")
        page.goto("about:blank")
    finally:
        revived.stop()


def test_a_new_source_leaves_no_number_of_the_old_one(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    relay.epoch, relay.sequence = 2.0, 0.0
    relay.desk.source, relay.desk.simulated = "kite", False
    relay.rows["flags"] = 0
    relay.do(lambda: [listener.on_message('{"a": "hello", "v": []}') for listener in list(relay.listeners)])
    flow(page, "() => __tapedeck.source === 'kite' && __tapedeck.text('source') === 'kite'")
    assert digits_on_screen(page) == ""
    assert not page.get_by_text("SIMULATED", exact=True).is_visible()


def test_a_hidden_tab_rests_and_starts_from_a_snapshot(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(clock=True)
    hide = """(state) => {
      Object.defineProperty(document, "visibilityState", {value: state, configurable: true})
      document.dispatchEvent(new Event("visibilitychange"))
    }"""
    page.evaluate(hide, "hidden")
    wait_until(lambda: {"a": "pause"} in relay.received)
    page.clock.fast_forward(3_600_000)
    relay.publish("NSE:INFY", last_price=1601.0)
    shown = page.evaluate(f"(state) => {{ ({hide})(state); return __tapedeck.state }}", "visible")
    assert shown == "blank", "what was missed may not be shown, not even until the snapshot is there"
    flow(page, SHOWS, ["NSE:INFY", "last_price", "1,601.00"])
    assert {"a": "resume"} in relay.received
    assert page.evaluate("() => __tapedeck.reconnects") == 0


def test_numbers_change_without_moving_anything(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    boxes = """() => __tapedeck.tables[0].entries.slice(0, 10).flatMap((e) => e.row.cells
      .filter((c) => c.element.offsetParent)
      .map((c) => { const b = c.element.getBoundingClientRect(); return [b.x, b.y, b.width, b.height] }))"""
    before = page.evaluate(boxes)
    for price in (7.05, 99_999.95, 1_23_456.7, 100.0):
        relay.publish("NSE:INFY", last_price=price, close=100.0, volume_traded=price * 1e5, bid_price=price)
    relay.publish("NSE:NIFTY 50", last_price=99_999.95)
    flow(page, SHOWS, ["NSE:INFY", "percent", "0.00%"])
    assert page.evaluate(boxes) == before


def test_scroll_and_selection_stay_where_they_are(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(height=500)
    page.evaluate("() => __tapedeck.tables[0].tabulator.rowManager.element.scrollTo(0, 600)")
    page.evaluate("() => __tapedeck.page.select('NSE:SHARE19')")
    flow(page, "() => __tapedeck.tables[0].entries[23].row.element.classList.contains('td-selected')")
    for price in range(1500, 1520):
        relay.publish("NSE:INFY", last_price=float(price))
        relay.publish("NSE:SHARE21", last_price=float(price))
    flow(page, SHOWS, ["NSE:SHARE21", "last_price", "1,519.00"])
    assert page.evaluate(TOP) == 600
    assert page.evaluate("() => __tapedeck.tables[0].selection.chosen()") == ["NSE:SHARE19"]
    page.evaluate("() => __tapedeck.tables[0].tabulator.rowManager.element.scrollTo(0, 0)")
    flow(page, SHOWS, ["NSE:INFY", "last_price", "1,519.00"])


@pytest.mark.parametrize("relay", [200], indirect=True)
def test_no_cell_is_wrong_after_scrolling_and_sorting(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    wrong = """() => {
      const table = __tapedeck.tables[0]
      return table.entries.filter((e) => e.row.element?.parentNode).flatMap((e) => e.row.cells
        .filter((c) => table.specs.has(c.column.field) && c.column.visible)
        .filter((c) => !["text", "spark", "range"].includes(table.specs.get(c.column.field).kind))
        .filter((c) => c.element.textContent !== table.cellText({_cell: c}))
        .map((c) => [e.key, c.column.field, c.element.textContent]))
    }"""
    for step, top in enumerate((0, 3000, 700, 4500, 0)):
        for slot in (0, 30, 110, 199):
            relay.rows["last_price"][slot] += 1 + step
        relay.publish("NSE:INFY", last_price=2000.0 + step)
        flow(page, "(price) => __tapedeck.tables[0].entries[0].numbers.last_price === price", 2000.0 + step)
        page.evaluate("(top) => __tapedeck.tables[0].tabulator.rowManager.element.scrollTo(0, top)", top)
        flow(page, f"() => ({TOP})() === {top}")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.evaluate(wrong) == []
    page.evaluate("() => __tapedeck.tables[0].tabulator.setSort('last_price', 'desc')")
    relay.publish("NSE:SHARE150", last_price=1e6)
    flow(page, f"() => ({ORDER})()[0] === 'NSE:SHARE150'")
    assert page.evaluate(wrong) == []


def test_a_live_order_is_kept_right_but_never_under_the_pointer(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    page.locator('.tabulator-col[tabulator-field="percent"]').click()
    page.mouse.move(700, 20)
    relay.publish("NSE:TCS", last_price=9e5)
    flow(page, f"() => ({ORDER})()[0] === 'NSE:TCS'")
    page.mouse.move(700, 300)
    page.get_by_text("order paused").wait_for()
    second = page.evaluate(ORDER)[1]
    relay.publish(second, last_price=9e8)
    flow(page, SHOWS, [second, "last_price", "90,00,00,000.00"])
    sorted_at = "() => performance.now() - __tapedeck.tables[0].sortedAt > 1500"
    flow(page, sorted_at)
    assert page.evaluate(ORDER)[0] == "NSE:TCS"
    page.mouse.move(700, 20)
    flow(page, f"(second) => ({ORDER})()[0] === second", second)


def test_the_keyboard_filters_moves_and_explains(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("f")
    page.keyboard.type("infos")
    flow(page, f"() => ({ORDER})().join() === 'NSE:INFY'")
    page.keyboard.press("Escape")
    flow(page, f"() => ({ORDER})().length === 50")
    selected = "() => __tapedeck.page.selected"
    moves = (("Home", "INFY"), ("ArrowDown", "TCS"), ("ArrowUp", "INFY"), ("End", "SHARE45"))
    for key, expected in moves:
        page.keyboard.press(key)
        flow(page, f"(expected) => ({selected})() === 'NSE:' + expected", expected)
    assert page.evaluate(TOP) > 0
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keyboard").wait_for(state="hidden")


def test_the_changed_cell_flashes_unless_motion_is_unwanted(open_page: Open, relay: FakeRelay) -> None:
    watch = """() => {
      window.flashed = []
      const look = {attributes: true, subtree: true, attributeFilter: ["data-flash"]}
      new MutationObserver((changes) => {
        for (const {target} of changes) {
          if (target.dataset.flash) flashed.push([target.getAttribute("tabulator-field"), target.dataset.flash])
          else flashed.push("over")
        }
      }).observe(__tapedeck.tables[0].tabulator.element, look)
    }"""
    page = open_page()
    page.evaluate(watch)
    relay.publish("NSE:INFY", last_price=1530.0)
    flow(page, "() => flashed.length === 2")
    assert page.evaluate("() => flashed") == [["last_price", "up"], "over"]
    page.emulate_media(reduced_motion="reduce")
    relay.publish("NSE:INFY", last_price=1520.0)
    flow(page, SHOWS, ["NSE:INFY", "last_price", "1,520.00"])
    assert page.evaluate("() => flashed.length") == 2


def test_the_light_theme_is_kept_over_a_reload(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    background = "() => getComputedStyle(__tapedeck.tables[0].tabulator.element).backgroundColor"
    assert page.evaluate(background) == "rgb(15, 19, 24)"
    page.get_by_role("button", name="Dark or light").click()
    flow(page, f"() => ({background})() === 'rgb(255, 255, 255)'")
    settle(page, lambda: relay.desk.workspace.saved["theme"] == "light")
    page.reload()
    flow(page, "window.__tapedeck?.state === 'live'")
    flow(page, f"() => ({background})() === 'rgb(255, 255, 255)'")


def test_before_the_first_number_the_page_stands_and_then_says_what_it_waits_for(
    open_page: Open, relay: FakeRelay
) -> None:
    relay.refusing = True
    page = open_page(clock=True, live=False, expect=(REFUSED,))
    flow(page, "window.__tapedeck?.rows === 50 && __tapedeck.state === 'loading'")
    assert texts(page, "last_price") == {""}
    assert status(page, "notice") == "Connecting to the desk"
    page.clock.fast_forward(6000)
    flow(page, "() => __tapedeck.state === 'blank'")
    assert texts(page, "last_price") == {"—"}


def test_viewers_that_left_leave_nothing_behind(open_page: Open, served: Served, relay: FakeRelay) -> None:
    def forgotten() -> bool:
        gc.collect()
        return all(page() is None for page in served.pages)

    pages = [open_page() for _ in range(3)]
    assert len(relay.listeners) == 3
    assert not forgotten()
    for page in pages:
        page.close()
    wait_until(lambda: not relay.listeners)
    wait_until(forgotten, timeout=40, every=0.25)


def test_a_resize_does_not_leave_the_browser_spinning(open_page: Open) -> None:
    page = open_page()
    for width in (1300, 1500):
        page.set_viewport_size({"width": width, "height": 800})
        flow(page, "(width) => innerWidth === width && __tapedeck.tables[0].width > width * 0.7", width)
        flow(page, "() => !__tapedeck.tables[0].view._resize_pending")
    assert cell(page, "NSE:INFY", "last_price") == "1,525.00"


def test_python_hears_nothing_while_numbers_change(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    flow(page, "() => __tapedeck.page.stream.said.depth && __tapedeck.page.stream.said.focus")
    page.evaluate(
        """() => {
          window.sent = []
          const send = WebSocket.prototype.send
          WebSocket.prototype.send = function (data) {
            sent.push([this.url, String(data).slice(0, 80)])
            send.call(this, data)
          }
        }"""
    )
    frames = page.evaluate("() => __tapedeck.frames")
    for price in range(1500, 1540):
        relay.publish("NSE:INFY", last_price=float(price))
    flow(page, "(frames) => __tapedeck.frames >= frames + 40", frames)
    assert page.evaluate("() => sent") == []
