"""The page on the real desk and the simulated exchange, seen in a browser."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.page_support import cell, digits_on_screen, flow, status
from tests.running import Program, roots_of, start_desk, start_sim
from tests.support import wait_until

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser
#: The feed is live and every row that is on screen shows a price.
LIVE = """() => {
  const table = window.__tapedeck?.tables[0]
  if (window.__tapedeck?.state !== "live" || table?.entries.length !== 50) return false
  const cells = table.entries.map((e) => e.row.cells.find((c) => c.column.field === "last_price")?.element)
  return cells.filter(Boolean).length > 20 && cells.every((cell) => !cell || /[0-9]/.test(cell.textContent))
}"""


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[[Program], Page]]:
    """Opens a desk's page in a context of its own, marked so that a reload would be noticed."""
    contexts: list[BrowserContext] = []

    def open_(desk: Program) -> Page:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(desk.page, wait_until="commit")
        page.evaluate("window.sameLoad = true")
        return page

    yield open_
    for context in contexts:
        context.close()


def same_load(page: Page) -> bool:
    return bool(page.evaluate("window.sameLoad === true"))


def test_the_day_opens_on_screen_without_a_reload_and_prices_move(look, tmp_path):
    desk = start_desk("--sim", "--start", "2026-11-23T09:14:30", data=tmp_path)
    try:
        page = look(desk)
        flow(page, "window.__tapedeck?.text('phase') === 'PRE_OPEN'")
        assert "SIMULATED" in status(page, "simulated")
        flow(page, "window.__tapedeck?.text('phase') === 'LIVE'", timeout=40_000)
        flow(page, LIVE)
        before = [cell(page, key, "last_price") for key in ("NSE:INFY", "NSE:RELIANCE", "NSE:NIFTY 50")]
        flow(
            page,
            """(before) => ["NSE:INFY", "NSE:RELIANCE", "NSE:NIFTY 50"].every((key, i) => {
                const entry = __tapedeck.tables[0].entries.find((e) => e.key === key)
                return entry.row.cells.find((c) => c.column.field === "last_price").element.textContent !== before[i]
            })""",
            arg=before,
        )
        assert same_load(page)
        assert "09:15:00 IST: NSE_EQ other went from PRE_OPEN" in desk.output
    finally:
        desk.stop()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["hung", "killed"])
def test_every_number_blanks_when_the_exchange_is_gone_and_returns_with_it(look, tmp_path, how):
    sim = start_sim("--start", "2026-11-23T10:00:00")
    desk = start_desk(data=tmp_path, environment=roots_of(sim))
    again = None
    try:
        page = look(desk)
        flow(page, LIVE)
        assert digits_on_screen(page)
        sim.signal(how)
        flow(page, "window.__tapedeck.state !== 'live' && window.__tapedeck.state !== 'late'", timeout=6_000)
        wait_until(lambda: not digits_on_screen(page), timeout=1)
        assert page.evaluate("window.__tapedeck.reason")
        if how is signal.SIGSTOP:
            sim.signal(signal.SIGCONT)
        else:
            again = start_sim("--start", "2026-11-23T10:01:00", port=sim.port)
        flow(page, LIVE, timeout=6_000)
        wait_until(lambda: digits_on_screen(page))
        assert same_load(page)
    finally:
        desk.stop()
        sim.stop()
        if again is not None:
            again.stop()


def test_a_quiet_hour_at_sixty_times_the_speed_never_blanks_a_healthy_page(look, tmp_path):
    # From before 09:00 to 10:00: order entry, matching, the buffer in which nothing changes, and the open. A quarter of
    # an hour more than that: a page on a busy machine takes as many seconds to start.
    desk = start_desk("--sim", "--start", "2026-11-23T08:44:30", "--speed", "60", data=tmp_path)
    try:
        page = look(desk)
        flow(page, LIVE)
        page.evaluate(
            """() => {
              window.seen = {blank: [], phases: new Set(), looks: 0}
              const look = () => {
                const {state, reason} = window.__tapedeck
                const texts = __tapedeck.tables[0].entries.map(
                  (e) => e.row.cells.find((c) => c.column.field === "last_price")?.element.textContent)
                window.seen.looks += 1
                window.seen.phases.add(window.__tapedeck.text("phase"))
                if (state !== "live" && state !== "late") window.seen.blank.push(`${state}: ${reason}`)
                const empty = texts.filter((text) => text !== undefined && !/[0-9]/.test(text)).length
                if (empty) window.seen.blank.push(`${empty} prices blank at ${window.__tapedeck.text("clock")}`)
              }
              window.looking = setInterval(look, 100)
            }"""
        )
        flow(page, "window.__tapedeck.text('clock') > '10:00:00'", timeout=100_000)
        seen = page.evaluate("({...window.seen, phases: [...window.seen.phases]})")
        assert seen["blank"] == []
        assert {"PRE_OPEN", "LIVE"} <= set(seen["phases"])
        assert seen["looks"] > 100
        assert same_load(page)
    finally:
        desk.stop()


def test_a_killed_desk_blanks_the_page_and_the_next_one_finds_it_as_it_was(look, tmp_path):
    desk = start_desk("--sim", "--start", "2026-11-23T10:00:00", data=tmp_path)
    again = None
    try:
        page = look(desk)
        flow(page, LIVE)
        page.keyboard.press("]")
        flow(page, "__tapedeck.page.list.name === 'Indices'")
        page.keyboard.press("[")
        flow(page, LIVE)
        page.get_by_role("button", name="Dark or light").click()
        page.evaluate("() => __tapedeck.page.select('NSE:TITAN')")
        page.evaluate("() => __tapedeck.tables[0].tabulator.rowManager.element.scrollTo(0, 300)")
        wait_until(lambda: desk.json("/api/workspace")["theme"] == "light")
        port = desk.port
        desk.signal(signal.SIGKILL)
        flow(page, "() => __tapedeck.state === 'blank'", timeout=6_000)
        wait_until(lambda: not digits_on_screen(page), timeout=1)
        assert "desk not reachable" in page.evaluate("window.__tapedeck.reason")
        again = start_desk("--sim", "--start", "2026-11-23T10:01:00", "--port", str(port), data=tmp_path)
        flow(page, LIVE, timeout=10_000)
        assert same_load(page)
        kept = """() => [__tapedeck.page.selected, __tapedeck.tables[0].tabulator.rowManager.element.scrollTop,
          __tapedeck.page.list.name, document.documentElement.dataset.scheme]"""
        assert page.evaluate(kept) == ["NSE:TITAN", 300, "Watchlist", "light"]
        page.keyboard.press("End")
        page.keyboard.press("Delete")
        wait_until(lambda: len(again.json("/api/workspace")["lists"][0]["keys"]) == 49)
    finally:
        desk.stop()
        if again is not None:
            again.stop()
