"""The named watchlists in a browser: adding, removing, ordering, pasting, files, columns; saved for every tab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.fake_relay import FakeRelay
from tests.page_support import cell, flow, settle

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

Open = Callable[..., Page]
ORDER = "() => __tapedeck.tables[0].tabulator.rowManager.getDisplayRows().map((row) => row.data.key)"
SHOWN = "(keys) => JSON.stringify(__tapedeck.tables[0].selection.order()) === JSON.stringify(keys)"


@pytest.fixture
def relay(relay: FakeRelay) -> FakeRelay:
    """Two short lists instead of one of everything."""
    relay.desk.workspace.saved["lists"] = [
        {"name": "Mine", "keys": ["NSE:INFY", "NSE:TCS", "NSE:SBIN"]},
        {"name": "Banks", "keys": ["NSE:SBIN", "NSE:NIFTY BANK"]},
    ]
    return relay


def lists_of(relay: FakeRelay) -> dict[str, list[str]]:
    return {one["name"]: one["keys"] for one in relay.desk.workspace.saved["lists"]}


def menu(page: Page, item: str) -> None:
    page.get_by_role("button", name="List menu").click()
    page.get_by_role("button", name=item).click()


def test_a_tab_shows_its_list_live_and_stands_in_the_address(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    flow(page, SHOWN, ["NSE:INFY", "NSE:TCS", "NSE:SBIN"])
    page.get_by_role("tab", name="Banks").click()
    flow(page, SHOWN, ["NSE:SBIN", "NSE:NIFTY BANK"])
    flow(page, "() => __tapedeck.tables[0].byKey.get('NSE:NIFTY BANK')?.mode === 'live'")
    settle(page, lambda: cell(page, "NSE:NIFTY BANK", "last_price") == "54,321.00")
    flow(page, "() => location.search.includes('list=Banks')")
    page.reload()
    flow(page, "window.__tapedeck?.state === 'live' && __tapedeck.rows === 2")
    assert page.get_by_role("tab", name="Banks").get_attribute("aria-selected") == "true"
    page.get_by_role("tab", name="Banks").press("ArrowLeft")
    flow(page, SHOWN, ["NSE:INFY", "NSE:TCS", "NSE:SBIN"])


def test_a_new_list_is_made_renamed_and_deleted_with_a_way_back(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    page.get_by_role("button", name="New list", exact=True).click()
    page.get_by_label("Name of the list").fill("banks")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("there is a list banks already").wait_for()
    page.get_by_label("Name of the list").fill("Ideas")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("This list is empty").wait_for()
    settle(page, lambda: lists_of(relay).get("Ideas") == [])
    menu(page, "Rename…")
    page.get_by_label("Name of the list").fill("Plans")
    page.keyboard.press("Enter")
    settle(page, lambda: "Plans" in lists_of(relay))
    menu(page, "Delete list")
    settle(page, lambda: "Plans" not in lists_of(relay))
    page.get_by_role("button", name="Undo").click()
    settle(page, lambda: "Plans" in lists_of(relay))


def test_rows_are_removed_moved_and_brought_back(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    page.keyboard.press("Home")
    page.keyboard.press("Alt+ArrowDown")
    flow(page, SHOWN, ["NSE:TCS", "NSE:INFY", "NSE:SBIN"])
    settle(page, lambda: lists_of(relay)["Mine"] == ["NSE:TCS", "NSE:INFY", "NSE:SBIN"])
    page.get_by_text("NSE:INFY moved").wait_for()
    page.get_by_role("button", name="Undo").click()
    flow(page, SHOWN, ["NSE:INFY", "NSE:TCS", "NSE:SBIN"])
    page.keyboard.press("Alt+ArrowDown")
    flow(page, SHOWN, ["NSE:TCS", "NSE:INFY", "NSE:SBIN"])
    page.keyboard.press("Delete")
    flow(page, SHOWN, ["NSE:TCS", "NSE:SBIN"])
    assert page.evaluate("__tapedeck.page.selected") == "NSE:SBIN", "the next row is selected"
    page.get_by_role("button", name="Undo").click()
    flow(page, SHOWN, ["NSE:TCS", "NSE:INFY", "NSE:SBIN"])
    page.locator(".tabulator-row", has_text="SBIN").hover()
    page.get_by_role("button", name="Move to the top: NSE:SBIN").click()
    flow(page, SHOWN, ["NSE:SBIN", "NSE:TCS", "NSE:INFY"])
    flow(page, "() => __tapedeck.tables[0].byKey.get('NSE:INFY').mode === 'live'")
    settle(page, lambda: cell(page, "NSE:INFY", "last_price") == "1,525.00")


def test_a_row_is_dragged_to_its_new_place(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    flow(page, SHOWN, ["NSE:INFY", "NSE:TCS", "NSE:SBIN"])
    page.mouse.move(700, 20)
    box = """(key) => { const {row} = __tapedeck.tables[0].byKey.get(key)
      return row.cells.find((c) => c.column.field === "percent").element.getBoundingClientRect().toJSON() }"""
    start, end = page.evaluate(box, "NSE:INFY"), page.evaluate(box, "NSE:SBIN")

    def drag() -> None:
        page.mouse.move(start["x"] + 20, start["y"] + 10)
        page.mouse.down()
        # A row is taken up once the button has been held for a moment.
        flow(page, "() => !!__tapedeck.tables[0].tabulator.modules.moveRow.moving")
        page.mouse.move(end["x"] + 20, end["y"] + 14, steps=8)
        page.mouse.move(end["x"] + 20, end["y"] + 24, steps=4)

    drag()
    page.keyboard.press("Escape")
    lines = "() => [...__tapedeck.tables[0].view.shadow_el.querySelectorAll('.tabulator-row')].map((e) => e.innerText)"
    symbols = [line.split("\n")[0] for line in page.evaluate(lines)]
    assert symbols == ["INFY", "TCS", "SBIN"], "Escape puts the row back"
    page.mouse.up()
    flow(page, SHOWN, ["NSE:INFY", "NSE:TCS", "NSE:SBIN"])
    drag()
    page.mouse.up()
    flow(page, SHOWN, ["NSE:TCS", "NSE:SBIN", "NSE:INFY"])
    settle(page, lambda: lists_of(relay)["Mine"] == ["NSE:TCS", "NSE:SBIN", "NSE:INFY"])
    page.get_by_role("button", name="Undo").click()
    settle(page, lambda: lists_of(relay)["Mine"] == ["NSE:INFY", "NSE:TCS", "NSE:SBIN"])


def test_a_sorted_table_does_not_pretend_to_be_movable(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    page.locator('.tabulator-col[tabulator-field="last_price"]').click()
    flow(page, "() => __tapedeck.page.ui.get('sort') === 'last_price.desc'")
    page.keyboard.press("Alt+ArrowDown")
    page.get_by_text("the table is sorted: clear the sort to move rows").wait_for()
    page.locator("[data-clear-sort]").click()
    flow(page, SHOWN, ["NSE:INFY", "NSE:TCS", "NSE:SBIN"])
    assert lists_of(relay)["Mine"] == ["NSE:INFY", "NSE:TCS", "NSE:SBIN"]


def test_pasted_symbols_are_looked_up_and_the_unknown_named(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    menu(page, "Paste symbols…")
    page.get_by_role("textbox", name="Symbols").fill("RELIANCE, nse:share07\nNIFTY 50\tSHARE0\nINFY, XYZ:9")
    page.get_by_role("button", name="Check and add").click()
    page.get_by_text("“XYZ:9” is no symbol: left out").wait_for()
    page.get_by_text("NSE:SHARE0 is not listed; take NSE:SHARE00").wait_for()
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Add these").click()
    wanted = ["NSE:INFY", "NSE:TCS", "NSE:SBIN", "NSE:RELIANCE", "NSE:SHARE07", "NSE:NIFTY 50", "NSE:SHARE00"]
    flow(page, SHOWN, wanted)
    settle(page, lambda: lists_of(relay)["Mine"] == wanted)


def test_a_csv_goes_out_with_its_time_and_source_and_comes_back(
    open_page: Open, relay: FakeRelay, tmp_path: Path
) -> None:
    page = open_page()
    with page.expect_download() as waiting:
        menu(page, "Export CSV")
    file = tmp_path / "list.csv"
    waiting.value.save_as(file)
    lines = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
    head = lines[0]
    assert head[:3] == ["instrument", "name", "last_price"]
    assert [line[0] for line in lines[1:]] == ["NSE:INFY", "NSE:TCS", "NSE:SBIN"]
    assert lines[1][2] == "1525"
    assert lines[1][head.index("state")] == "live"
    assert lines[1][head.index("as_of")].startswith("23 Nov 10:00")
    assert lines[1][head.index("source")] == "sim:7:2026-11-23"
    page.get_by_role("tab", name="Banks").click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Check and add").click()
    settle(page, lambda: lists_of(relay)["Banks"] == ["NSE:SBIN", "NSE:NIFTY BANK", "NSE:INFY", "NSE:TCS"])


def test_selected_rows_are_copied_as_tabs_and_lines(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Control+c")
    page.get_by_text("2 rows copied").wait_for()
    text = page.evaluate("() => navigator.clipboard.readText()")
    head, *rows = [line.split("\t") for line in text.splitlines()]
    assert [row[0] for row in rows] == ["NSE:INFY", "NSE:TCS"]
    assert rows[0][head.index("last_price")] == "1525"


def test_selected_rows_do_not_follow_into_another_list(open_page: Open, relay: FakeRelay) -> None:
    relay.desk.workspace.saved["lists"][1]["keys"] = ["NSE:SBIN", "NSE:TCS", "NSE:NIFTY BANK"]
    page = open_page()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Home")
    assert page.evaluate("__tapedeck.tables[0].selection.chosen().length") == 3
    page.locator(".tabulator-row", has_text="TCS").click()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("]")
    flow(page, SHOWN, ["NSE:SBIN", "NSE:TCS", "NSE:NIFTY BANK"])
    marked = "() => [...__tapedeck.tables[0].view.shadow_el.querySelectorAll('.td-selected')].length"
    assert page.evaluate(marked) == 1
    page.keyboard.press("Delete")
    settle(page, lambda: lists_of(relay)["Banks"] == ["NSE:TCS", "NSE:NIFTY BANK"])


def test_columns_are_chosen_and_kept(open_page: Open, relay: FakeRelay) -> None:
    page = open_page()
    visible = """() => __tapedeck.tables[0].tabulator.columnManager.columnsByIndex
      .filter((c) => c.visible).map((c) => c.field)"""
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_role("checkbox", name="OI %").check()
    page.get_by_role("checkbox", name="Bid best bid").uncheck()
    page.get_by_role("button", name="Done").click()
    shown = page.evaluate(visible)
    assert "oi_percent" in shown
    assert "bid_price" not in shown
    settle(page, lambda: "oi_percent" in (relay.desk.workspace.saved["columns"] or []))
    page.reload()
    flow(page, "window.__tapedeck?.state === 'live'")
    flow(page, f"(shown) => JSON.stringify(({visible})()) === JSON.stringify(shown)", shown)
    page.get_by_role("button", name="Columns", exact=True).click()
    boxes = page.get_by_role("checkbox", checked=True)
    for _ in range(boxes.count()):
        boxes.first.click()
    page.get_by_text("one column stays").wait_for()
    assert boxes.count() == 1, "the last box stays ticked"
    settle(page, lambda: len(relay.desk.workspace.saved["columns"]) == 1)
    page.get_by_role("button", name="By width (default)").click()
    settle(page, lambda: relay.desk.workspace.saved["columns"] is None)


def test_another_tab_sees_the_change_and_both_changes_survive(open_page: Open, relay: FakeRelay) -> None:
    page, other = open_page(expect=("409 (Conflict)",)), open_page()
    page.keyboard.press("Home")
    page.keyboard.press("Delete")
    flow(other, SHOWN, ["NSE:TCS", "NSE:SBIN"])
    # Saved by somebody else between our reading and our saving: the lists are ours, the density is theirs.
    relay.beating = False
    relay.desk.workspace.change(density="compact")
    page.keyboard.press("Delete")
    settle(page, lambda: lists_of(relay)["Mine"] == ["NSE:SBIN"])
    assert relay.desk.workspace.saved["density"] == "compact"


def test_what_cannot_be_saved_is_said_and_saved_later(open_page: Open, relay: FakeRelay) -> None:
    page = open_page(expect=("503",))
    relay.desk.workspace.refusing = True
    page.keyboard.press("Home")
    page.keyboard.press("Delete")
    page.get_by_text("not saved yet: the desk is not reachable").wait_for()
    relay.desk.workspace.refusing = False
    settle(page, lambda: lists_of(relay)["Mine"] == ["NSE:TCS", "NSE:SBIN"])
    page.get_by_text("not saved yet").wait_for(state="hidden")


def test_rows_out_of_sight_are_asked_for_once_a_second_only(open_page: Open, relay: FakeRelay) -> None:
    relay.desk.workspace.saved["lists"][0]["keys"] = [key for key in relay.desk.by_key if "NIFTY" not in key]
    page = open_page(height=500)

    def focused() -> Any:
        wishes = [order["v"] for order in relay.received if order["a"] == "focus"]
        return wishes and wishes[-1]

    settle(page, lambda: focused() and "NSE:INFY" in focused())
    assert "NSE:NIFTY 50" in focused(), "the tape is always in sight"
    assert "NSE:SHARE45" not in focused()
    page.evaluate("() => __tapedeck.tables[0].tabulator.rowManager.element.scrollTo(0, 99999)")
    settle(page, lambda: "NSE:SHARE45" in focused() and "NSE:SHARE00" not in focused())


PARSE = """async (text) => {
  const {parseSymbols} = await import("http://js.test/symbols.js")
  return parseSymbols(text).keys
}"""


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("infy", ["NSE:INFY"]),
        (
            "NSE:NIFTY 50, nfo:nifty26novfut;  mcx:gold26decfut",
            ["NSE:NIFTY 50", "NFO:NIFTY26NOVFUT", "MCX:GOLD26DECFUT"],
        ),
        ("- TCS\n* M&M\n• BAJAJ-AUTO\n\nTCS", ["NSE:TCS", "NSE:M&M", "NSE:BAJAJ-AUTO"]),
        ("Symbol,Qty\nINFY,5\nTCS,7", ["NSE:INFY", "NSE:TCS"]),
        ("tradingsymbol\texchange\nGOLD26DECFUT\tMCX", ["MCX:GOLD26DECFUT"]),
        ('"NSE:A ""B""",x', ['NSE:A "B"', "NSE:X"]),
        ("RELIANCE.NS", ["NSE:RELIANCE"]),
        ("HTTP://EVIL", []),
        ("", []),
    ],
)
def test_symbols_of_any_text_are_understood(javascript: Page, text: str, keys: list[str]) -> None:
    assert javascript.evaluate(PARSE, text) == keys
