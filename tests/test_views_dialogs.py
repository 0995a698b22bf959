"""The dialogs of the watchlist alone in a browser: pasted symbols, columns, files, an address that names no list."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tapedeck.views import style

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

#: Runs a script with `page` (what a dialog needs of it), `asked` (the desk's questions) and `changed`.
ALONE = """async ([css, listed, script]) => {
  const dialogs = await import("http://js.test/dialogs.js")
  document.body.replaceChildren(Object.assign(document.createElement("style"), {textContent: css}))
  const asked = [], changed = [], said = []
  const page = {
    shell: {element: document.body, say: (text) => said.push(text)}, market: {byKey: new Map()},
    tables: () => [{wantedColumns: () => ["c0", "c1"]}],
    workspace: {
      document: {columns: null},
      change(fields) { changed.push(fields); Object.assign(this.document, fields) },
    },
    async ask(path) {
      asked.push(path)
      const query = new URL(path, "http://desk.test").searchParams
      const given = query.getAll("i")
      if (given.length) return {listed: Object.fromEntries(given.map((key) => [key, listed.includes(key)]))}
      const rows = listed.map((key) => ({key, exchange: key.split(":")[0], symbol: key.split(":")[1]}))
      const fits = (row) => (query.get("exchange") ?? row.exchange) === row.exchange
      return {instruments: rows.filter((row) => fits(row) && row.symbol.startsWith(query.get("q").slice(0, 7)))}
    },
  }
  const wait = (ms) => new Promise((done) => setTimeout(done, ms))
  const until = async (true_) => { for (let i = 0; i < 400 && !true_(); i++) await wait(10) }
  const main = () => [...document.querySelectorAll("dialog button.main")].map((one) => one.textContent)
  const buttons = () => [...document.querySelectorAll("dialog button")]
  const press = (text) => buttons().find((one) => one.textContent === text).click()
  const names = ["page", "dialogs", "asked", "changed", "said", "until", "main", "press"]
  return await new Function(...names, `return (async () => {${script}})()`)(
    page, dialogs, asked, changed, said, until, main, press)
}"""


@pytest.fixture
def alone(javascript: Page) -> Any:
    def run(script: str, *listed: str) -> Any:
        javascript.set_viewport_size({"width": 1440, "height": 900})
        return javascript.evaluate(ALONE, [style.SCHEME_CSS + style.RELAY_CSS, list(listed), script])

    return run


def test_a_contract_pasted_without_its_exchange_is_found_at_its_own(alone: Any) -> None:
    script = """
      dialogs.pasteDialog(page, () => {}, {text: "NIFTY26DEC26000CE, INFYY"})
      press("Check and add")
      await until(() => document.querySelector(".report label"))
      return [...document.querySelectorAll(".report label")].map((one) => one.textContent)"""
    assert alone(script, "NFO:NIFTY26DEC26000CE", "NSE:GOLDBEES") == [
        "NSE:NIFTY26DEC26000CE is not listed; take NFO:NIFTY26DEC26000CE",
        "NSE:INFYY is not listed, and nothing comes near",
    ]


def test_one_button_is_the_next_step_and_other_text_begins_anew(alone: Any) -> None:
    script = """
      const seen = [], added = []
      dialogs.pasteDialog(page, (keys) => added.push(keys), {text: "INFY, XX"})
      seen.push(main())
      press("Check and add")
      await until(() => document.querySelector(".report button"))
      seen.push(main())
      const area = document.querySelector("textarea")
      area.value = "INFY"
      area.dispatchEvent(new Event("input"))
      seen.push(main(), document.querySelector(".report").textContent)
      press("Check and add")
      await until(() => added.length)
      return [seen, added, document.querySelectorAll("dialog[open]").length]"""
    seen, added, dialogs = alone(script, "NSE:INFY")
    assert seen == [["Check and add"], ["Add these"], ["Check and add"], ""]
    assert (added, dialogs) == ([["NSE:INFY"]], 0)


def test_the_last_column_stays_and_says_why(alone: Any) -> None:
    script = """
      const columns = [0, 1, 2].map((n) => ({field: `c${n}`, title: `C${n}`, hint: ""}))
      dialogs.chooseColumns(page, columns)
      const boxes = [...document.querySelectorAll("input")]
      for (const box of boxes) if (box.checked) box.click()
      const ticked = boxes.map((box) => box.checked)
      const problem = document.querySelector(".problem").textContent
      boxes[2].click()
      return [changed.map((one) => one.columns), ticked, problem, document.querySelector(".problem").textContent]"""
    saved, ticked, problem, after = alone(script)
    assert saved == [["c1"], ["c1", "c2"]]
    assert ticked == [False, True, False]
    assert problem.startswith("one column stays")
    assert after == ""


def test_the_buttons_of_a_long_dialog_are_in_sight_and_boxes_stand_beside_their_labels(alone: Any) -> None:
    script = """
      const columns = Array.from({length: 40}, (_, n) => ({field: `c${n}`, title: `C${n}`, hint: "what it is"}))
      dialogs.chooseColumns(page, columns)
      const box = (selector) => document.querySelector(selector).getBoundingClientRect()
      const [input, text] = [box("label input"), box("label span")]
      return {bottom: box(".foot").bottom, dialog: box("dialog").bottom, left: input.right <= text.left,
              apart: Math.abs((input.top + input.bottom) / 2 - (text.top + text.bottom) / 2)}"""
    seen = alone(script)
    assert seen["bottom"] <= seen["dialog"] <= 900
    assert seen["left"]
    assert seen["apart"] <= 2


@pytest.mark.parametrize(
    ("text", "is_text"),
    [
        ("INFY\r\nTCS\t5\n", True),
        ("naïve, ₹", True),
        ("", True),
        ("\x89PNG\r\n\x1a\n\x00", False),
        ("a\x00b\x00", False),
    ],
)
def test_a_file_of_bytes_is_no_text(javascript: Page, text: str, is_text: bool) -> None:
    script = """async (text) => (await import("http://js.test/symbols.js")).isText(text)"""
    assert javascript.evaluate(script, text) is is_text


def test_a_word_with_letters_no_symbol_has_is_told_and_not_asked_for(javascript: Page) -> None:
    script = """async () => (await import("http://js.test/symbols.js")).parseSymbols("naïve, INFY, a\\ufffdb")"""
    assert javascript.evaluate(script) == {"keys": ["NSE:INFY"], "unread": ["naïve", "a\ufffdb"]}


def test_an_address_with_an_unknown_list_is_told_once_and_put_right(javascript: Page) -> None:
    script = """async (lists) => {
      const {Lists} = await import("http://js.test/lists.js")
      const said = []
      for (const list of lists) {
        const values = {list}
        const page = {
          list: {name: "Mine"}, shell: {say: (text) => said.push(text)},
          ui: {get: (name) => values[name], set: (changes) => Object.assign(values, changes)},
        }
        Lists.prototype.checkAddress.call({page})
        said.push(values.list)
      }
      return said
    }"""
    assert javascript.evaluate(script, ["Nope", "mine", ""]) == ["no list named Nope", "", "mine", ""]


def test_a_cell_without_a_hint_shows_none(javascript: Page) -> None:
    script = """async () => {
      const {definitions} = await import("http://js.test/columns.js")
      const specs = [{field: "last_price", title: "Last", kind: "price", width: 9, hint: ""}]
      const [column] = definitions(specs, ["last_price"], {tooltipElement: () => null})
      return column.tooltip({}, {})
    }"""
    assert javascript.evaluate(script) == "", "Tabulator would write the word false"
