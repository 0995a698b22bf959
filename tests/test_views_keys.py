"""The keyboard: which key does what where, and that the help sheet says the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from tapedeck.views import style
from tests.page_support import PATIENCE_MS, flow
from tests.search_support import JS

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

URL = "http://desk.test/"
DOCUMENT = """<!doctype html><html lang="en"><head><title>Keys</title><style>
body {{ {variables} background: var(--td-background); }} {css}
</style></head><body><main>
<div id="table" tabindex="0">rows</div><div id="deep"></div><p id="text">some text</p><textarea></textarea>
<div id="editable" contenteditable="true">editable</div><input id="box" type="checkbox" aria-label="box">
<button id="button">button</button><div role="menu" tabindex="0" id="menu">menu</div>
</main></body></html>"""
START = """async () => {
  const {BINDINGS, capsOf, chordOf, helpSheet, onKey} = await import("/js/keys.js")
  const done = []
  const recorder = (name) => new Proxy({}, {get: (_, method) => (...given) => done.push([name, method, ...given])})
  const root = document.querySelector("#deep").attachShadow({mode: "open"})
  root.innerHTML = '<input data-td-filter type="search" aria-label="Filter"><p>deep text</p>'
  const filter = root.querySelector("input")
  const table = {
    view: {el: document.querySelector("#table")}, selection: recorder("selection"),
    move: (...given) => done.push(["table", "move", ...given]), copy: () => done.push(["table", "copy"]),
  }
  const sheet = document.body.appendChild(helpSheet())
  const page = {
    aside: false, go: (path) => done.push(["page", "go", path]),
    tables: () => [table], parts: (kind) => [recorder(kind)], find: (selector) => root.querySelector(selector),
    shell: {
      toggleTheme: () => done.push(["shell", "theme"]), cycleDensity: () => done.push(["shell", "density"]),
      toggleHelp: () => { done.push(["shell", "help"]); sheet.open ? sheet.close() : sheet.showModal() },
    },
  }
  filter.addEventListener("input", () => done.push(["filter", filter.value]))
  document.addEventListener("keydown", onKey(page))
  Object.assign(window, {done, filter, sheet, page, BINDINGS, capsOf, chordOf, onKey})
}"""


def open_keys(browser: Browser, scheme: str = "dark") -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    document = DOCUMENT.format(variables=style.variables(scheme), css=style.RELAY_CSS)
    page.route(URL, lambda route: route.fulfill(body=document, content_type="text/html"))
    page.route(f"{URL}js/*", _module)
    page.goto(URL)
    page.evaluate(START)
    yield page
    context.close()
    assert problems == []


def _module(route: Route) -> None:
    route.fulfill(path=JS / route.request.url.rsplit("/", 1)[1], content_type="text/javascript")


@pytest.fixture
def keys(browser: Browser) -> Iterator[Page]:
    yield from open_keys(browser)


def pressed(page: Page, *keys: str) -> list[Any]:
    """What these keys did, one after the other, where the focus is."""
    page.evaluate("done.length = 0")
    for key in keys:
        page.keyboard.press(key)
    return page.evaluate("done")


def test_no_key_is_bound_twice_and_every_binding_says_what_it_does(keys: Page) -> None:
    bindings = keys.evaluate("BINDINGS.map(({group, keys, what, do: act}) => [group, keys, what, typeof act])")
    chords = [chord for _, several, _, _ in bindings for chord in several]
    assert sorted(chords) == sorted(set(chords))
    assert {kind for *_, kind in bindings} == {"function"}
    assert all(group and what for group, _, what, _ in bindings)


def test_the_sheet_has_every_binding_under_its_group(keys: Page) -> None:
    shown = keys.evaluate(
        """[...sheet.querySelectorAll("section")].flatMap((section) => [...section.querySelectorAll("dl > div")].map(
             (line) => [section.querySelector("h3").textContent, line.querySelector("dd").textContent,
                        [...line.querySelectorAll("kbd")].map((cap) => cap.textContent)]))"""
    )
    table = keys.evaluate("BINDINGS.map(({group, keys, what}) => [group, what, keys.map((key) => capsOf(key))])")
    assert [line[:2] for line in shown] == [line[:2] for line in table]
    for (*_, caps), (*_, chords) in zip(shown, table, strict=True):
        assert {cap for chord in chords for cap in chord} == set(caps)
    assert list(dict.fromkeys(group for group, *_ in shown)) == ["Go to", "View", "Watchlist"]


@pytest.mark.parametrize(
    ("key", "did"),
    [
        ("/", ["search", "focus"]),
        (",", ["page", "go", "system"]),
        ("[", ["lists", "step", -1]),
        ("]", ["lists", "step", 1]),
        ("Enter", ["grid", "show", "context"]),
        ("2", ["grid", "tab", 2]),
        ("ArrowDown", ["table", "move", 1, {"extend": False}]),
        ("ArrowUp", ["table", "move", -1, {"extend": False}]),
        ("Shift+ArrowDown", ["table", "move", 1, {"extend": True}]),
        ("PageDown", ["table", "move", 10, {"extend": False}]),
        ("Shift+PageUp", ["table", "move", -10, {"extend": True}]),
        ("Home", ["table", "move", "first", {"extend": False}]),
        ("Shift+End", ["table", "move", "last", {"extend": True}]),
        ("Alt+ArrowUp", ["lists", "shift", -1]),
        ("Alt+ArrowDown", ["lists", "shift", 1]),
        ("Delete", ["lists", "removeSelected"]),
        ("Backspace", ["lists", "removeSelected"]),
        ("Control+c", ["table", "copy"]),
        ("Meta+c", ["table", "copy"]),
        ("d", ["grid", "toggle", "context"]),
        ("m", ["grid", "toggle", "dock"]),
        ("t", ["shell", "theme"]),
        ("s", ["shell", "density"]),
        ("?", ["shell", "help"]),
    ],
)
def test_each_key_does_what_the_table_says(keys: Page, key: str, did: list[Any]) -> None:
    assert pressed(keys, key) == [did]


@pytest.mark.parametrize(
    "key", ["Control+d", "Alt+d", "Shift+d", "Meta+m", "Control+/", "Shift+Delete", "x", "Space", "4"]
)
def test_a_key_with_a_modifier_or_without_a_binding_is_the_browsers(keys: Page, key: str) -> None:
    keys.evaluate("document.addEventListener('keydown', (event) => { window.kept = !event.defaultPrevented })")
    assert pressed(keys, key) == []
    assert keys.evaluate("kept")


def test_caps_lock_and_foreign_keyboards_write_the_same_keys(keys: Page) -> None:
    chord = "(given) => chordOf(new KeyboardEvent('keydown', given))"
    assert keys.evaluate(chord, {"key": "D"}) == "d"
    assert keys.evaluate(chord, {"key": "/", "shiftKey": True}) == "/"
    assert keys.evaluate(chord, {"key": "1", "shiftKey": True}) == "1"
    written = {"key": "[", "ctrlKey": True, "altKey": True, "modifierAltGraph": True}
    assert keys.evaluate(chord, written) == "["
    assert keys.evaluate("capsOf('Mod+c', true).concat(capsOf('Mod+c', false))") == ["⌘", "C", "Ctrl", "C"]


@pytest.mark.parametrize("where", ["textarea", "#editable", "input[type=search]"])
def test_nothing_fires_while_text_is_typed(keys: Page, where: str) -> None:
    keys.locator(where).focus()
    did = pressed(keys, "d", "/", "?", "1", "[", "Delete", "Backspace", "Home", "Enter", "Control+c", "Control+a")
    assert [one for one in did if one[0] != "filter"] == []


def test_single_keys_count_beside_a_check_box_or_a_button(keys: Page) -> None:
    for where in ("#box", "#button"):
        keys.locator(where).focus()
        assert pressed(keys, "d", "ArrowDown", "Enter", "Delete") == [["grid", "toggle", "context"]]


def test_arrows_belong_to_a_menu_that_has_the_focus(keys: Page) -> None:
    keys.locator("#menu").focus()
    assert pressed(keys, "ArrowDown", "Home", "Enter", "Delete") == []


def test_what_a_part_has_handled_is_left_alone(keys: Page) -> None:
    keys.evaluate("document.querySelector('#table').addEventListener('keydown', (event) => event.preventDefault())")
    keys.locator("#table").focus()
    assert pressed(keys, "ArrowDown", "d") == []


def test_f_goes_to_the_filter_whose_arrows_move_rows_and_escape_clears_it(keys: Page) -> None:
    assert pressed(keys, "f") == []
    keys.keyboard.type("in")
    assert keys.evaluate("filter.value") == "in"
    assert pressed(keys, "ArrowDown") == [["table", "move", 1, {"extend": False}]]
    assert pressed(keys, "Escape") == [["filter", ""]]
    assert keys.evaluate("[filter.value, document.activeElement.tagName]") == ["", "BODY"]


def test_escape_clears_the_filter_from_anywhere_and_else_does_nothing(keys: Page) -> None:
    assert pressed(keys, "Escape") == []
    keys.evaluate("filter.value = 'in'")
    assert pressed(keys, "Escape", "Escape") == [["filter", ""]]


def test_marked_text_is_copied_by_the_browser(keys: Page) -> None:
    for paragraph in ("document.querySelector('#text')", "filter.nextSibling"):
        keys.evaluate(f"document.getSelection().selectAllChildren({paragraph})")
        assert pressed(keys, "Control+c") == []
    keys.evaluate("document.getSelection().removeAllRanges()")
    assert pressed(keys, "Control+c") == [["table", "copy"]]


def test_all_rows_are_selected_only_from_within_the_table(keys: Page) -> None:
    assert pressed(keys, "Control+a") == []
    keys.evaluate("document.getSelection().removeAllRanges()")
    keys.locator("#table").focus()
    assert pressed(keys, "Control+a") == [["selection", "all"]]


def test_holding_a_key_moves_on_but_toggles_once(keys: Page) -> None:
    held = """(key) => {
      done.length = 0
      for (const repeat of [false, true, true]) document.body.dispatchEvent(
        new KeyboardEvent("keydown", {key, repeat, bubbles: true, composed: true, cancelable: true}))
      return done.length
    }"""
    assert keys.evaluate(held, "ArrowDown") == 3
    assert keys.evaluate(held, "t") == 1


def test_a_page_without_these_parts_takes_every_key(keys: Page) -> None:
    assert keys.evaluate(
        """() => {
          const act = onKey({tables: () => [], parts: () => [], find: () => null})
          for (const {keys} of BINDINGS) for (const key of keys) {
            const parts = key.split("+")
            act(new KeyboardEvent("keydown", {key: parts.pop(), ctrlKey: parts.includes("Mod"),
              altKey: parts.includes("Alt"), shiftKey: parts.includes("Shift"), cancelable: true}))
          }
          return done.length
        }"""
    ) == 0  # fmt: skip


def test_the_sheet_holds_the_focus_and_closes_by_keys_button_and_backdrop(keys: Page) -> None:
    def opened() -> bool:
        return keys.evaluate("sheet.open")

    keys.keyboard.press("?")
    assert opened()
    assert keys.evaluate("sheet.matches(':modal') && sheet.contains(document.activeElement)")
    assert pressed(keys, "d", "ArrowDown", "/") == []
    keys.locator("dialog h3").first.click()
    assert pressed(keys, "d") == []
    keys.keyboard.press("?")
    assert not opened()
    for close in ("key", "button", "backdrop"):
        keys.evaluate("sheet.showModal()")
        if close == "key":
            keys.keyboard.press("Escape")
        elif close == "button":
            keys.get_by_role("button", name="Close").click()
        else:
            keys.mouse.click(5, 5)
        flow(keys, "!sheet.open")


def test_the_sheet_is_named_and_fits_the_screen_in_two_columns(keys: Page) -> None:
    keys.keyboard.press("?")
    assert keys.get_by_role("dialog", name="Keyboard").is_visible()
    lefts = keys.evaluate("[...sheet.querySelectorAll('section')].map((e) => e.getBoundingClientRect().left)")
    assert len(set(lefts)) == 2
    assert keys.evaluate("sheet.scrollHeight <= sheet.clientHeight + 1")
    keys.set_viewport_size({"width": 480, "height": 700})
    assert keys.evaluate("sheet.scrollWidth <= sheet.clientWidth")


def test_single_keys_can_be_turned_off_for_good_and_named_keys_stay(keys: Page) -> None:
    keys.evaluate("sheet.showModal()")
    keys.get_by_role("checkbox", name="Keys of a single letter").uncheck()
    keys.keyboard.press("?")
    assert not keys.evaluate("sheet.open")
    assert pressed(keys, "d", "/", "?", "1", "[") == []
    assert pressed(keys, "ArrowDown", "Alt+ArrowDown") == [
        ["table", "move", 1, {"extend": False}],
        ["lists", "shift", 1],
    ]
    keys.reload()
    keys.evaluate(START)
    assert pressed(keys, "d") == []
    assert not keys.evaluate("sheet.querySelector('input').checked")
    keys.evaluate("void (Storage.prototype.getItem = () => { throw new Error('forbidden') })")
    assert pressed(keys, "d") == [["grid", "toggle", "context"]]
