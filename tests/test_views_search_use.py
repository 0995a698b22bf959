"""The symbol search by keyboard, pointer and screen reader: picking, adding, leaving, and room for its popup."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.page_support import flow
from tests.search_support import CALL, EXAMPLES, INFY, MANY, TCS, Answers, Field, open_field, option

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def field(browser: Browser, answers: Answers) -> Iterator[Field]:
    yield from open_field(browser, answers)


def test_keys_go_through_the_list_and_round(field: Field) -> None:
    field.find("share", *MANY)
    assert field.active == "SHARE00"
    seen = []
    for key in ("ArrowDown", "PageDown", "End", "ArrowDown", "ArrowUp", "PageUp", "Home"):
        field.press(key)
        seen.append(field.active)
    assert seen == ["SHARE01", "SHARE11", "SHARE29", "SHARE00", "SHARE29", "SHARE19", "SHARE00"]
    field.press("End")
    inside = """() => {
      const list = root.querySelector("[role=listbox]").getBoundingClientRect()
      const item = root.querySelector("[role=option][aria-selected=true]").getBoundingClientRect()
      return item.top >= list.top && item.bottom <= list.bottom
    }"""
    assert field.page.evaluate(inside)
    assert field.page.evaluate("document.scrollingElement.scrollTop") == 0
    assert field.has_focus()


def test_enter_opens_the_active_hit_and_gives_the_focus_back(field: Field) -> None:
    field.page.locator("#other").focus()
    field.find("in", TCS, INFY)
    field.press("ArrowDown", "Enter")
    assert field.picked == ["NSE:INFY"]
    assert (field.opened, field.input.input_value()) == (False, "")
    assert field.page.evaluate("document.activeElement.id") == "other"


def test_enter_before_the_answer_opens_the_best_hit_when_it_comes(field: Field, answers: Answers) -> None:
    field.find("tcs", TCS)
    answers.found["infy"] = [INFY]
    answers.holding = True
    field.type("infy")
    field.press("Enter")
    flow(field.page, "search.finder.onTheirWay.size === 1")
    assert field.picked == []
    field.release("infy")
    flow(field.page, "page.picked.length === 1")
    assert field.picked == ["NSE:INFY"]


def test_typing_on_takes_an_early_enter_back(field: Field, answers: Answers) -> None:
    answers.found["infy"] = [INFY]
    answers.holding = True
    field.type("inf")
    field.press("Enter")
    flow(field.page, "search.finder.onTheirWay.size === 1")
    field.type("infy")
    flow(field.page, "search.finder.onTheirWay.size === 2")
    field.release("infy")
    field.shows(INFY)
    assert field.picked == []


@pytest.mark.parametrize("key", ["Shift+Enter", "Control+Enter"])
def test_a_hit_is_added_to_the_current_list_once(field: Field, answers: Answers, key: str) -> None:
    field.find("infy", INFY)
    field.press(key)
    field.says("NSE:INFY added to Watchlist")
    assert (field.keys, field.opened, field.picked) == (["NSE:TCS", "NSE:INFY"], True, [])
    field.press(key)
    field.says("NSE:INFY is already in Watchlist")
    assert field.keys == ["NSE:TCS", "NSE:INFY"]
    flow(field.page, "!page.workspace.dirty.size && !page.workspace.saving")
    assert [document["lists"][0]["keys"] for document in answers.saved] == [["NSE:TCS", "NSE:INFY"]]


def test_the_button_of_a_row_adds_it_and_shows_what_is_there(field: Field) -> None:
    field.find("t", TCS, INFY)
    adds = field.page.locator("[data-add]")
    assert adds.all_text_contents() == ["✓", "+"]
    field.hits.nth(1).hover()
    adds.nth(1).click()
    assert field.keys == ["NSE:TCS", "NSE:INFY"]
    assert adds.all_text_contents() == ["✓", "✓"]
    assert field.has_focus()


def test_a_full_list_and_a_page_without_lists_say_so(field: Field) -> None:
    field.find("infy", INFY)
    field.page.evaluate(
        "page.workspace.change({lists: [{name: 'Full', keys: Array.from({length: 1000}, (_, i) => `NSE:S${i}`)}]})"
    )
    field.press("Shift+Enter")
    field.says("Full is full: 1000 instruments")
    field.page.evaluate("page.workspace.change({lists: []})")
    field.press("Shift+Enter")
    field.says("there is no list to add to")


def test_escape_closes_then_leaves(field: Field) -> None:
    field.page.locator("#other").focus()
    field.find("infy", INFY)
    field.press("Escape")
    assert (field.opened, field.has_focus(), field.input.input_value()) == (False, True, "infy")
    field.press("ArrowDown")
    assert field.opened
    field.press("Escape", "Escape")
    assert (field.has_focus(), field.input.input_value()) == (False, "")
    assert field.page.evaluate("document.activeElement.id") == "other"


def test_leaving_the_field_shuts_the_popup_and_stops_asking(field: Field, answers: Answers) -> None:
    field.type("infy")
    field.page.locator("#other").focus()
    assert not field.opened
    assert field.page.evaluate("[search.finder.timer, search.finder.path]") == [None, ""]
    assert answers.asked == []


def test_an_empty_field_offers_what_was_picked_lately_and_questions_to_try(field: Field) -> None:
    expired = option("NIFTY26NOV24500CE", "2026-11-20", 24500)
    for one in (expired, *MANY[:11], INFY):
        field.page.evaluate("(row) => import('/js/picks.js').then(({rememberPick}) => rememberPick(row))", one)
    field.page.evaluate("search.focus()")
    recent = field.page.get_by_role("group", name="Recent").locator(".symbol")
    assert recent.all_text_contents() == ["INFY", *(f"SHARE{i:02d}" for i in range(10, 1, -1))]
    assert field.page.get_by_role("group", name="Try").locator("q").all_text_contents() == list(EXAMPLES)
    assert field.active == ""
    field.press("ArrowDown", "Enter")
    assert field.picked == ["NSE:INFY"]


def test_an_expired_contract_is_not_offered_again(field: Field) -> None:
    for one in (option("NIFTY26NOV24500CE", "2026-11-20", 24500), CALL):
        field.page.evaluate("(row) => import('/js/picks.js').then(({rememberPick}) => rememberPick(row))", one)
    field.page.evaluate("search.focus()")
    field.shows(CALL)


def test_an_example_is_typed_when_it_is_chosen(field: Field, answers: Answers) -> None:
    answers.found[EXAMPLES[0]] = [CALL]
    field.page.evaluate("search.focus()")
    field.page.get_by_text(EXAMPLES[0]).first.click()
    field.shows(CALL)
    assert field.input.input_value() == EXAMPLES[0]


@pytest.mark.parametrize("stored", ["{", "null", '[null, 1, {"key": 2}]'])
def test_a_spoilt_or_forbidden_store_offers_only_the_examples(field: Field, stored: str) -> None:
    field.page.evaluate("(text) => localStorage.setItem('tapedeck.picks', text)", stored)
    field.page.evaluate("search.focus()")
    assert field.hits.count() == len(EXAMPLES)
    field.page.evaluate(
        "void (Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error('forbidden') })"
    )
    field.find("infy", INFY)
    field.press("Enter")
    assert field.picked == ["NSE:INFY"]


@pytest.mark.parametrize("width", [1280, 1440, 800, 500])
def test_the_popup_is_whole_whatever_the_bar_cuts_off(browser: Browser, answers: Answers, width: int) -> None:
    for field in open_field(browser, answers, width=width):
        field.find("share", *MANY)
        box = field.page.locator(".popup").bounding_box()
        bar = field.page.locator("#bar").bounding_box()
        assert box is not None
        assert bar is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 900
        assert box["height"] > 400
        # What is seen at its lower corner is the popup itself.
        assert field.page.evaluate(
            "([x, y]) => root.querySelector('.popup').contains(root.elementFromPoint(x, y))",
            [box["x"] + box["width"] - 20, box["y"] + box["height"] - 10],
        )
        assert box["y"] + box["height"] > bar["y"] + bar["height"] + 300
        expected = 300 if width >= 1400 else 180 if width >= 600 else 160
        assert field.page.locator(".search").bounding_box()["width"] == expected  # type: ignore[index]


def test_the_popup_follows_the_field_and_keeps_its_size(field: Field, answers: Answers) -> None:
    field.find("infy", INFY)
    before = field.page.locator(".popup").bounding_box()
    field.type("zzz")
    field.says("Nothing is called like that")
    assert field.page.locator(".popup").bounding_box() == before
    field.page.set_viewport_size({"width": 1300, "height": 700})
    flow(field.page, "root.querySelector('.popup').getBoundingClientRect().bottom <= 700")


def test_it_is_a_combobox_with_a_listbox_for_screen_readers(field: Field) -> None:
    state = """() => {
      const input = root.querySelector("input")
      const list = root.getElementById(input.getAttribute("aria-controls"))
      const active = root.getElementById(input.getAttribute("aria-activedescendant"))
      return [input.getAttribute("aria-expanded"), list.getAttribute("role"),
              active?.getAttribute("aria-label") ?? null, root.querySelectorAll("[aria-selected=true]").length]
    }"""
    assert field.page.evaluate(state) == ["false", "listbox", None, 0]
    field.find("n", CALL, INFY, TCS)
    spoken = "NIFTY26N2424500CE, NIFTY, NFO, call, expires 24 NOV 26, weekly, strike 24,500, lot 65"
    assert field.page.evaluate(state) == ["true", "listbox", spoken, 1]
    field.says("3 results")
    field.press("ArrowDown")
    assert field.page.evaluate(state)[2:] == ["INFY, INFOSYS, NSE, equity, last 1,525.00, +1.01%", 1]
    field.press("End")
    assert "in the list" in field.page.evaluate(state)[2]
    # Nothing inside an option takes the focus: its button is for the pointer, Shift and Enter does the same.
    assert field.page.evaluate("root.querySelectorAll('[role=option] :is(button, a, [tabindex])').length") == 0
    groups = field.page.get_by_role("radiogroup")
    assert [groups.nth(n).get_by_role("radio", checked=True).count() for n in range(groups.count())] == [1, 1]


def test_elements_made_anew_are_served_again(field: Field) -> None:
    field.find("infy", INFY)
    field.page.evaluate("root.innerHTML = root.innerHTML")
    field.page.evaluate("search.draw(page)")
    field.find("tcs", TCS)
    assert field.opened


def test_in_the_app_bar_slash_finds_enter_opens_and_the_keyboard_goes_on(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.keyboard.press("/")
    page.keyboard.type("tata")
    flow(page, "__tapedeck.page.parts('search')[0].options.some(({row}) => row?.key === 'NSE:TCS')")
    popup = page.locator(".popup").bounding_box()
    assert popup is not None
    assert popup["y"] < 40
    assert popup["height"] > 400
    page.keyboard.press("Enter")
    flow(page, "__tapedeck.page.selected === 'NSE:TCS'")
    page.keyboard.press("ArrowDown")
    flow(page, "__tapedeck.page.selected === 'NSE:RELIANCE'")
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keyboard").is_visible()
