"""The panel about the selected instrument: its numbers, book, chart and facts, in every state."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date

import panel as pn
import pytest
from bokeh.document import Document
from playwright.sync_api import Page

from tapedeck.schema import Instrument
from tapedeck.views.detail import CONTRACT, FACTS, OPEN_INTEREST, STATISTICS, detail_panel
from tapedeck.views.relay_client import TAG
from tapedeck.views.style import TOKENS
from tests.fake_relay import MARKET_MS, FakeDesk, FakeRelay, make_instruments
from tests.page_support import Served, flow, settle

pytest_plugins = ["tests.page_fixtures"]

INFY, TCS, NIFTY = "NSE:INFY", "NSE:TCS", "NSE:NIFTY 50"
FUTURE, OPTION = "NFO:RELIANCE26NOVFUT", "NFO:NIFTY26N2425000CE"
CONTRACTS = [
    Instrument(315906, "NIFTY26N2425000CE", "NFO", name="NIFTY", segment="NFO-OPT", instrument_type="CE", lot_size=65,
               expiry=date(2026, 11, 24), strike=25000.0),
    Instrument(316162, "RELIANCE26NOVFUT", "NFO", name="RELIANCE", segment="NFO-FUT", instrument_type="FUT",
               lot_size=500, expiry=date(2026, 12, 1)),
]  # fmt: skip
MINUTE = 60_000

Open = Callable[..., Page]


@pytest.fixture
def relay() -> FakeRelay:
    """A few shares, a future, an option; the day of INFY and of the future so far is known."""
    relay = FakeRelay(FakeDesk([*make_instruments(4), *CONTRACTS]))
    day = {"start_ms": relay.desk.open_ms, "end_ms": relay.desk.open_ms + 375 * MINUTE, "previous_oi": None}
    prices = [round(1510 + i / 4, 2) for i in range(46)]
    relay.desk.days[INFY] = day | {"prices": prices, "previous_oi_date": None}
    relay.desk.days[FUTURE] = day | {"prices": prices, "previous_oi_date": 20261120}
    for key in (FUTURE, OPTION):
        relay.rows["oi"][relay.slot[key]] = 12_345_600
    return relay


def select(page: Page, key: str) -> None:
    """Select an instrument and wait until its panel is no longer loading."""
    page.evaluate("(key) => __tapedeck.page.select(key)", key)
    flow(page, "() => !['loading', 'none'].includes(__tapedeck.page.parts('detail')[0].tile.dataset.mode)")


def shown(page: Page, selector: str) -> str:
    """Text of one element of the panel."""
    return page.evaluate("(css) => __tapedeck.page.parts('detail')[0].tile.querySelector(css).textContent", selector)


def field(page: Page, name: str) -> str:
    return shown(page, f'[data-field="{name}"], [data-fact="{name}"]')


def await_text(page: Page, selector: str, text: str) -> None:
    """Wait for a text of the panel."""
    there = "([css, text]) => __tapedeck.page.parts('detail')[0].tile.querySelector(css).textContent === text"
    flow(page, there, [selector, text])


def ladder(page: Page) -> list[list[str]]:
    """The book's rows as they are read."""
    return page.evaluate(
        """() => [...__tapedeck.page.parts('detail')[0].tile.querySelectorAll('tr[data-level]')]
             .map((row) => [...row.cells].map((cell) => cell.textContent))"""
    )


def line(page: Page) -> list[float | None]:
    """Prices of the day chart; None where there is a gap."""
    return page.evaluate(
        "() => __tapedeck.page.parts('source')[0].prices.map((v) => (Number.isNaN(v) ? null : v))",
    )


def steady(page: Page) -> None:
    """From now on the page takes jumps of market time for what they are, not for a market that runs faster."""
    page.evaluate("() => { __tapedeck.page.market.learnSpeed = () => {} }")


# -- as Python makes it -----------------------------------------------------------------------------------------------


def test_the_panel_is_one_pane_of_text_and_an_empty_chart_that_never_tells_python() -> None:
    column = detail_panel()
    text, chart = column
    spec = json.loads(next(tag for tag in text.tags if tag.startswith(TAG))[len(TAG) :])
    assert (spec["kind"], spec["chart"]) == ("detail", chart.object.id)
    document = Document()
    document.add_root(chart.get_root(document))
    plot = chart.object
    [source] = [renderer.data_source for renderer in plot.renderers]
    assert json.loads(source.tags[0][len(TAG) :]) == {"kind": "source", "follow": "selected", "step": 60, "pace": 1000}
    assert dict(source.data) == {"x": [], "y": []}
    written = {plot, source, plot.x_range, plot.y_range, plot.toolbar, plot.renderers[0], plot.renderers[0].glyph}
    assert not any(model.syncable for model in written)
    assert "td-context" in column.css_classes


def test_the_chart_is_a_small_part_of_what_a_session_makes() -> None:
    document = Document()
    document.add_root(pn.pane.Bokeh(detail_panel()[1].object).get_root(document))
    assert len(list(document.models)) <= 22, "axes, grids and formatters are made in the browser"


def test_every_statistic_and_fact_has_a_label_and_says_what_it_is() -> None:
    html = detail_panel()[0].object
    for name, label, hint in (*STATISTICS, *OPEN_INTEREST, *FACTS, *CONTRACT):
        assert f'title="{hint}"><dt data-label="{name}">{label}</dt>' in html
    names = re.findall(r'data-(?:field|fact)="(\w+)"', html)
    assert len(names) == len(set(names))


# -- what it shows ----------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_the_book_is_shown_with_spread_middle_and_who_waits(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    assert shown(page, '[data-book="spread"]') == "waiting for the book"
    assert ladder(page)[0] == ["—"] * 6
    buy, sell = [[1524.95, 120, 3], [1524.9, 250_000, 4]], [[1525.05, 340, 1], [1525.1, 80, 2], [1525.15, 5, 1]]
    relay.show_book(INFY, buy=buy, sell=sell, total_buy_quantity=300_000, total_sell_quantity=100_000)
    await_text(page, '[data-book="spread"]', "spread 0.10 · 0.66 bps · mid 1,525.00")
    assert ladder(page)[:3] == [
        ["3", "120", "1,524.95", "1,525.05", "340", "1"],
        ["4", "2.50 L", "1,524.90", "1,525.10", "80", "2"],
        ["", "", "", "1,525.15", "5", "1"],
    ]
    assert [shown(page, f'[data-total="{side}-quantity"]') for side in ("buy", "sell")] == ["2.50 L", "425"]
    assert [shown(page, f'[data-book="{side}"]') for side in ("buy", "sell")] == ["3.00 L · 75%", "25% · 1.00 L"]
    settle(page, lambda: {"a": "depth", "v": [INFY]} in relay.received)


@pytest.mark.browser
def test_a_book_with_nobody_on_one_side_says_so(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    relay.show_book(INFY, sell=[])
    await_text(page, '[data-book="spread"]', "no sellers")
    relay.show_book(INFY, known=False, buy=[], sell=[])
    await_text(page, '[data-book="spread"]', "the newest packet had no book")
    assert ladder(page)[0] == ["—"] * 6


@pytest.mark.browser
def test_an_index_has_no_book_and_says_so_in_its_place(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, NIFTY)
    assert shown(page, '[data-book="why"]') == "an index has no order book"
    assert field(page, "age") == "value of 10:00:00"
    assert (field(page, "last"), field(page, "type"), field(page, "lot_value")) == ("25,123.45", "Index", "—")
    assert page.get_by_text("five levels").is_hidden()


@pytest.mark.browser
def test_the_days_statistics_are_computed_from_the_shown_numbers(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    relay.publish(INFY, last_price=1530, open=1515, high=1540, low=1500, close=1500, average_traded_price=1520,
                  volume_traded=2_000_000, last_trade_time_ms=MARKET_MS - 12 * MINUTE)  # fmt: skip
    await_text(page, '[data-field="last"]', "1,530.00")
    expected = {
        "change": "+30.00", "percent": "+2.00%", "open": "1,515.00", "close": "1,500.00", "average": "1,520.00",
        "volume": "20.00 L", "value": "₹304.00 Cr", "gap": "+1.00%", "range": "2.67%", "age": "last trade 12m ago",
        "type": "Equity", "token": "257", "lot_value": "₹1,530", "tick": "0.05",
    }  # fmt: skip
    assert {name: field(page, name) for name in expected} == expected
    marks = "() => Object.values(__tapedeck.page.parts('detail')[0].marks).map((one) => one.style.transform)"
    assert sorted(page.evaluate(marks)) == ["translateX(50%)", "translateX(75%)"]
    assert field(page, "source") == "source sim:7:2026-11-23 (simulated)"
    assert field(page, "times").endswith("exchange time 10:00:00")


@pytest.mark.browser
def test_a_contract_shows_expiry_days_left_and_open_interest_against_the_day_before(
    open_page: Open, relay: FakeRelay
) -> None:
    page = open_page(clock=True)
    select(page, OPTION)
    assert (field(page, "expiry"), field(page, "left"), field(page, "strike")) == (
        "24 NOV 26 (W)",
        "tomorrow",
        "25,000",
    )
    select(page, FUTURE)
    assert (field(page, "expiry"), field(page, "left"), field(page, "lot")) == ("1 DEC 26", "in 8 days", "500")
    await_text(page, '[data-label="oi_change"]', "OI vs 20 Nov")
    assert field(page, "oi_change") == "—"
    relay.desk.days[FUTURE]["previous_oi"] = 12_000_000
    for _ in range(20):
        page.clock.run_for(1000)
        relay.tell()
    await_text(page, '[data-field="oi_change"]', "+3.46 L")
    relay.show_book(FUTURE, oi_day_high=12_500_000, oi_day_low=11_800_000)
    await_text(page, '[data-field="oi_high"]', "1.25 Cr")


# -- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_without_a_selection_it_says_how_to_make_one(open_page: Open) -> None:
    page = open_page()
    page.evaluate("() => __tapedeck.page.select('')")
    assert page.get_by_text("Nothing selected").is_visible()
    assert not re.search(r"\d", field(page, "last") + field(page, "times"))
    assert page.locator(".td-day").is_hidden()


@pytest.mark.browser
def test_a_closed_market_shows_the_dated_official_price_and_no_book(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    relay.show_book(INFY)
    await_text(page, '[data-book="spread"]', "spread 0.10 · 0.66 bps · mid 1,525.00")
    relay.mark(held=False, phase="CLOSED")
    await_text(page, "[data-chip]", "close 23 Nov")
    assert (field(page, "last"), field(page, "age")) == ("1,525.00", "official close 23 Nov")
    assert shown(page, '[data-book="spread"]') == "market closed: no order book"
    assert ladder(page)[0] == ["—"] * 6
    assert field(page, "dated") == "23 Nov"


@pytest.mark.browser
def test_a_dead_feed_blanks_every_number_with_the_reason(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    relay.show_book(INFY)
    relay.feed_age = 3.4
    flow(page, "() => __tapedeck.page.parts('detail')[0].tile.dataset.mode === 'late'")
    assert shown(page, "[data-chip]").startswith("late 3.")
    relay.feed_age = 7.2
    await_text(page, "[data-chip]", "no heartbeat 7 s")
    assert shown(page, '[data-book="spread"]') == "no heartbeat 7 s"
    numbers = page.evaluate(
        """() => [...__tapedeck.page.parts("detail")[0].tile.querySelectorAll("[data-number]")]
             .map((one) => one.textContent)"""
    )
    assert set(numbers) == {"—"}
    assert shown(page, "[data-pill]") == ""
    assert field(page, "name") == "INFOSYS"


@pytest.mark.browser
def test_a_replay_is_framed_and_carries_its_clock(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    relay.replay = True
    flow(page, "() => __tapedeck.page.parts('detail')[0].tile.hasAttribute('data-replay')")
    assert shown(page, "[data-watermark]").startswith("REPLAY 10:0")


@pytest.mark.browser
def test_a_price_of_an_earlier_day_is_dated_and_makes_no_change(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, TCS)
    relay.publish(TCS, last_trade_time_ms=MARKET_MS - 3 * 24 * 60 * MINUTE)
    await_text(page, '[data-field="age"]', "last trade 20 Nov")
    assert (field(page, "last"), field(page, "change"), shown(page, "[data-pill]")) == ("1,639.00", "—", "")


# -- another instrument -----------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_no_number_of_the_one_before_stands_under_the_new_name(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    relay.show_book(INFY)
    await_text(page, '[data-book="spread"]', "spread 0.10 · 0.66 bps · mid 1,525.00")
    flow(page, "() => __tapedeck.page.parts('source')[0].prices.length === 46")
    at_once = page.evaluate(
        """(key) => {
          __tapedeck.page.select(key)
          const {tile} = __tapedeck.page.parts("detail")[0]
          const text = (css) => tile.querySelector(css).textContent
          const {plot} = __tapedeck.page.parts("detail")[0].chart
          return [text("h2"), text("[data-field=last]"), text("[data-cell=price]"), text("[data-pill]"),
                  __tapedeck.page.parts("source")[0].prices.length,
                  getComputedStyle(Bokeh.index.find_one_by_id(plot.id).el).visibility]
        }""",
        TCS,
    )
    assert at_once == ["TCS", "1,639.00", "—", "", 0, "hidden"]


@pytest.mark.browser
def test_an_old_book_does_not_come_back_with_its_instrument(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    relay.show_book(INFY)
    await_text(page, '[data-book="spread"]', "spread 0.10 · 0.66 bps · mid 1,525.00")
    relay.books.clear()
    select(page, TCS)
    select(page, INFY)
    assert shown(page, '[data-book="spread"]') == "waiting for the book"


@pytest.mark.browser
def test_the_panel_moves_nothing_while_its_numbers_change(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    relay.show_book(INFY)
    flow(page, "() => __tapedeck.page.parts('source')[0].prices.length === 46")
    page.evaluate(
        """() => {
          window.shifts = []
          const left = __tapedeck.page.parts("detail")[0].view.el.getBoundingClientRect().left
          const mine = (source) => source.currentRect.right > left
          const seen = (list) => window.shifts.push(...list.getEntries().flatMap((one) => one.sources.filter(mine)))
          new PerformanceObserver(seen).observe({type: "layout-shift"})
        }"""
    )
    for price in (9.95, 1525.5, 98765.75, 1524.0):
        relay.publish(INFY, last_price=price, high=price + 5, low=price - 5, volume_traded=price * 1000)
        relay.show_book(INFY, buy=[[price, 10_000_000, 9999]], sell=[])
        await_text(page, "[data-book=spread]", "no sellers")
        flow(page, "(price) => __tapedeck.page.market.byKey.get('NSE:INFY').values[0] === price", price)
    relay.mark(held=False, phase="CLOSED")
    await_text(page, "[data-chip]", "close 23 Nov")
    assert page.evaluate("() => window.shifts.map((one) => JSON.stringify(one.currentRect))") == []


# -- chart ------------------------------------------------------------------------------------------------------------


def bokeh_socket(page: Page) -> list[str]:
    """What the page sends to its session from now on, however it is opened."""
    sent: list[str] = []
    page.on(
        "websocket", lambda socket: socket.on("framesent", lambda data: "/ws" in socket.url and sent.append(str(data)))
    )
    return sent


@pytest.mark.browser
def test_the_chart_follows_in_the_browser_and_python_hears_nothing_of_it(
    open_page: Open, relay: FakeRelay, served: Served
) -> None:
    page = open_page()
    sent = bokeh_socket(page)
    page.reload()
    flow(page, "() => window.__tapedeck?.state === 'live' && window.__tapedeck.rows > 0")
    select(page, INFY)
    flow(page, "() => __tapedeck.page.parts('source')[0].prices.length === 46")
    models = page.evaluate("() => [...__tapedeck.page.parts('detail')[0].chart.plot.references()].map((one) => one.id)")
    steady(page)
    for minute in range(1, 4):
        relay.market_ms = MARKET_MS + minute * MINUTE
        relay.publish(INFY, last_price=1525 + minute)
        flow(page, "(n) => __tapedeck.page.parts('source')[0].prices.length === n", 46 + minute)
    page.evaluate("() => __tapedeck.page.shell.toggleTheme()")
    flow(page, "() => __tapedeck.page.parts('detail')[0].chart.made.hours.major_label_text_color === '#5B6775'")
    assert line(page)[45:] == [1525.0, 1526.0, 1527.0, 1528.0]
    assert not [one for one in sent if any(f'"{model}"' in one for model in models)]
    charts = served.pages[-1]().select(pn.pane.Bokeh)  # type: ignore[union-attr]
    assert [dict(chart.object.renderers[0].data_source.data) for chart in charts] == [{"x": [], "y": []}]


@pytest.mark.browser
def test_a_gap_of_the_feed_stays_a_gap_in_the_line(open_page: Open, relay: FakeRelay) -> None:
    relay.desk.days[INFY]["prices"][10:13] = [None, None, None]
    page = open_page()
    select(page, INFY)
    flow(page, "() => __tapedeck.page.parts('source')[0].prices.length === 46")
    steady(page)
    relay.desk.days[INFY]["prices"] += [None, None, None, 1530.0]
    relay.feed_age = 9.0
    flow(page, "() => __tapedeck.page.parts('detail')[0].tile.dataset.mode === 'blank'")
    relay.market_ms = MARKET_MS + 4 * MINUTE
    relay.feed_age = 0.2
    relay.publish(INFY, last_price=1530)
    flow(page, "() => __tapedeck.page.parts('source')[0].prices.length === 50")
    assert line(page)[9:14] == [1512.25, None, None, None, 1513.25]
    assert line(page)[46:] == [None, None, None, 1530.0]


@pytest.mark.browser
def test_the_chart_wears_the_pages_colours_in_both_schemes(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    select(page, INFY)
    flow(page, "() => __tapedeck.page.parts('source')[0].prices.length === 46")
    worn = """(ink) => {
      const {plot, made} = __tapedeck.page.parts("detail")[0].chart
      const {line_color} = plot.renderers[0].glyph
      return (line_color.value ?? line_color) === ink.up && made.prices.major_label_text_color === ink.muted &&
             made.rows.grid_line_color === ink.hairline
    }"""
    flow(page, worn, TOKENS["dark"])
    page.evaluate("() => __tapedeck.page.shell.toggleTheme()")
    flow(page, worn, TOKENS["light"])


# -- hands and ears ---------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_the_key_is_copied_from_the_keyboard_and_the_panel_is_a_landmark(open_page: Open) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    select(page, INFY)
    assert page.get_by_role("region", name="Instrument NSE:INFY").count() == 1
    page.get_by_role("button", name="Copy NSE:INFY").focus()
    page.keyboard.press("Enter")
    await_text(page, "[data-said]", "copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == INFY


@pytest.mark.browser
def test_a_name_from_outside_is_text(open_page: Open, relay: FakeRelay) -> None:
    name = "<img src=x onerror=alert(1)> & SONS"
    relay.desk.by_key[TCS] = Instrument(513, "TCS", "NSE", name=name, segment="NSE")
    page = open_page()
    select(page, TCS)
    assert field(page, "name") == name
    assert page.evaluate("() => __tapedeck.page.parts('detail')[0].tile.querySelector('img')") is None
