"""The market overview under the hand: keyboard, tabs, an order that waits, and a picture that does not move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.overview_support import SHARES, OverviewPage, overview, row

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

Open = Callable[..., OverviewPage]
FOCUSED = """() => {
  const e = root.getRootNode().activeElement
  return e && [e.closest(".slot")?.ariaLabel ?? "", e.dataset.at ?? e.id]
}"""


#: What lies, even in part, outside of what it belongs to.
OUTSIDE = """() => {
  const pairs = [[".row:not([data-empty])", ".slot"], [".heat-tile", ".map"], [".slot, .heat", ".body"],
                 ["header > *, .count", "header"]]
  return pairs.flatMap(([inner, outer]) => [...root.querySelectorAll(inner)].filter((element) => {
    const [a, b] = [element.getBoundingClientRect(), element.closest(outer).getBoundingClientRect()]
    return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1
  }).map((element) => `${inner}: ${element.className} ${element.textContent}`))
}"""


@pytest.fixture
def show(javascript: Any) -> Open:
    """Opens an overview of a size, scheme and palette."""
    return lambda **how: OverviewPage(javascript, **how)


def press(page: OverviewPage, *keys: str) -> None:
    for key in keys:
        page.page.keyboard.press(key)


def turned(n: int) -> list[dict[str, Any]]:
    """Gainers whose order has moved on by `n`."""
    names = SHARES[:10]
    return [row(symbol, 9.0 - at, last_price=100.0 + n) for at, symbol in enumerate(names[n:] + names[:n])]


def test_arrows_move_between_rows_and_lists_and_enter_selects(show: Open) -> None:
    page = show(width=2200, height=340).show(overview())
    page.run("() => root.querySelector('.row').focus()")
    press(page, "ArrowDown", "ArrowDown", "ArrowUp", "ArrowRight")
    assert page.run(FOCUSED) == ["Losers", "1"]
    press(page, "End", "ArrowDown")
    assert page.run(FOCUSED) == ["Losers", "9"]
    press(page, "Home", "ArrowUp", "Enter")
    assert page.run(FOCUSED) == ["Losers", "0"]
    assert page.run("() => page.chosen") == ["NSE:MUTHOOTFIN"]


def test_each_list_is_one_stop_of_the_tab_key_and_so_is_the_heat_map(show: Open) -> None:
    page = show(width=2200).show(overview())
    page.run("() => root.querySelector('.row').focus()")
    stops = []
    for _ in range(5):
        press(page, "Tab")
        stops.append(page.run(FOCUSED))
    assert [name for name, _ in stops] == ["Losers", "Most active", "OI build-up", "OI build-up", ""]
    assert page.run("() => root.getRootNode().activeElement.className") == "heat-tile"


def test_arrows_move_over_the_heat_map_to_the_next_tile_in_their_direction(show: Open) -> None:
    page = show(width=1440, height=500).show(overview())
    page.run("() => root.querySelector('.heat-tile').focus()")
    box = "() => { const {x, y} = root.getRootNode().activeElement.getBoundingClientRect(); return [x, y] }"
    x, y = page.run(box)
    press(page, "ArrowRight")
    right = page.run(box)
    assert right[0] > x
    press(page, "ArrowLeft", "ArrowDown")
    assert page.run(box)[1] > y
    press(page, "Enter")
    assert page.run("() => [page.chosen.length, root.querySelectorAll('.heat-tile[aria-current=true]').length]") == [
        1,
        1,
    ]
    assert page.texts(".info span:not(:empty)")[0] == page.run(
        "() => root.getRootNode().activeElement.querySelector('b').textContent"
    )


def test_a_narrow_dock_has_tabs_that_arrows_turn_and_the_workspace_remembers(show: Open) -> None:
    page = show(width=600, height=200).show(overview())
    assert page.texts("[role=tab]") == ["Gainers", "Losers", "Active", "OI"]
    page.run("() => root.querySelector('[role=tab][aria-selected=true]').focus()")
    press(page, "ArrowRight", "ArrowRight")
    assert page.run(FOCUSED)[1] == "movers-tab-active"
    assert page.rows("Most active")[0][0] == "ICICIPRULI"
    press(page, "End", "ArrowRight")
    assert page.run(FOCUSED)[1] == "movers-tab-gainers"
    assert page.run("() => page.workspace.document.layout.movers") == "gainers,oi,active,losers"
    selected = page.run("() => [...root.querySelectorAll('[role=tab]')].map((e) => [e.ariaSelected, e.tabIndex])")
    assert selected == [["true", 0], ["false", -1], ["false", -1], ["false", -1]]


def test_what_was_chosen_elsewhere_is_followed(show: Open) -> None:
    page = show(width=600, height=200).show(overview())
    elsewhere = {"movers": "nonsense,losers", "build_up": "toString"}
    page.run("(layout) => { page.workspace.document = {layout}; part.draw(page) }", elsewhere)
    assert page.rows("Losers")[0][0] == "MUTHOOTFIN"


def test_the_order_waits_while_the_pointer_is_in_the_list_and_the_numbers_go_on(show: Open) -> None:
    page = show().show(overview(gainers=turned(0)))
    page.page.locator('.slot[aria-label="Gainers"] .row').nth(3).hover()
    page.show(overview(gainers=turned(1)))
    rows = page.rows("Gainers")
    assert [cells[0] for cells in rows] == list(SHARES[: len(rows)])
    assert {cells[1] for cells in rows} == {"101.00"}
    assert page.texts(".slot:first-child .measure")[0] == "order paused"
    page.page.mouse.move(1100, 10)
    assert [cells[0] for cells in page.rows("Gainers")] == list(SHARES[1 : len(rows) + 1])
    assert page.texts(".slot:first-child .measure")[0] == "Volume"


def test_a_share_that_has_left_the_list_under_the_pointer_is_blank(show: Open) -> None:
    page = show().show(overview(gainers=turned(0)))
    page.page.locator('.slot[aria-label="Gainers"] .row').first.hover()
    empty: dict[str, Any] = {"losers": [], "active": [], "oi": {kind: [] for kind in overview()["oi"]}}
    page.show(overview(gainers=turned(0)[1:], **empty))
    assert page.rows("Gainers")[0] == [SHARES[0], "—", "—", "—"]
    assert page.rows("Gainers")[1][1] == "100.00"


def test_the_order_waits_for_a_hand_on_the_keyboard_but_not_for_ever(show: Open) -> None:
    page = show().show(overview(gainers=turned(0)))
    page.run("() => root.querySelector('.row').focus()")
    press(page, "ArrowDown")
    page.show(overview(gainers=turned(2)))
    assert page.rows("Gainers")[0][0] == SHARES[0]
    page.run("() => { page.clock += 5001; part.draw(page) }")
    assert page.rows("Gainers")[0][0] == SHARES[2]


def test_twenty_messages_move_nothing_and_make_nothing_anew(show: Open) -> None:
    page = show()
    page.show(overview())
    page.run(
        """() => {
          window.before = [...root.querySelectorAll("*")]
          window.shifts = []
          const note = (list) => shifts.push(...list.getEntries().map((entry) => entry.value))
          new PerformanceObserver(note).observe({type: "layout-shift"})
        }"""
    )
    for n in range(20):
        breadth = {"advances": 9 + 7 * n, "declines": 190 - 7 * n, "unchanged": n % 12, "unknown": 6 + n % 3}
        heat = [[key, (percent or 0) * (1 if n % 2 else -1), n * 1000.0] for key, percent, _ in overview()["heatmap"]]
        page.show(overview(breadth=breadth, gainers=turned(n % 10), heatmap=heat, oi_known=n * 10))
    assert page.run("() => shifts") == []
    after = page.run(
        """() => {
          const after = [...root.querySelectorAll("*")]
          return [after.length - before.length, after.findIndex((element, at) => element !== before[at])]
        }"""
    )
    assert after == [0, -1]


def test_what_has_not_changed_is_not_written_again(show: Open) -> None:
    page = show().show(overview())
    page.run(
        """() => {
          window.written = 0
          const everything = {subtree: true, childList: true, attributes: true, characterData: true}
          new MutationObserver((list) => { written += list.length }).observe(root, everything)
          for (let n = 0; n < 10; n++) part.draw(page)
        }"""
    )
    page.show(overview())
    assert page.run("() => written") == 0


@pytest.mark.parametrize(
    ("width", "height", "lists"),
    [
        (600, 160, 1), (820, 272, 1), (1120, 272, 2), (1440, 272, 3), (2200, 500, 4), (1200, 500, 4), (1000, 800, 4),
        (700, 860, 4), (390, 700, 2),
    ],
)  # fmt: skip
def test_every_size_shows_whole_rows_and_every_tile_inside(show: Open, width: int, height: int, lists: int) -> None:
    page = show(width=width, height=height).show(overview())
    assert len(page.texts(".slot")) == lists
    assert page.run(OUTSIDE) == []
    sizes = page.run("() => part.movers.slots.map((slot) => [slot.element.clientWidth, slot.rows.length])")
    assert min(px for px, _ in sizes) >= 240
    assert min(rows for _, rows in sizes) >= 4


def test_a_dock_that_is_resized_lays_itself_out_anew(show: Open) -> None:
    page = show(width=2200, height=500).show(overview())
    page.run("async () => { host.style.width = '700px'; host.style.height = '200px'; await settled() }")
    assert page.texts("[role=tab]") == ["Gainers", "Losers", "Active", "OI"]
    assert page.rows("Gainers")[0][1] == "1,525.50"


def test_every_control_has_a_name_and_every_tab_a_panel(show: Open) -> None:
    page = show(width=600).show(overview())
    nameless, panels = page.run(
        """() => [
          [...root.querySelectorAll("button, select")].filter((e) => !(e.ariaLabel ?? e.textContent).trim()).length,
          [...root.querySelectorAll("[role=tab]")].map((e) => e.getAttribute("aria-controls")),
        ]"""
    )
    assert nameless == 0
    assert page.run("(ids) => ids.every((id) => root.querySelector(`[role=tabpanel]#${id}`))", panels)
