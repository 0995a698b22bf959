"""What the symbol search asks the desk, and how it shows each kind of answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from dashboards.answers import EXCHANGES as DESK_EXCHANGES
from tapedeck.instruments import KINDS
from tapedeck.views.search_box import EXCHANGES, TYPES
from tests.page_support import flow
from tests.search_support import CALL, INFY, NIFTY, PUT, TCS, Answers, Field, open_field, row

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def field(browser: Browser, answers: Answers) -> Iterator[Field]:
    yield from open_field(browser, answers)


def test_the_filters_are_of_what_the_desk_knows() -> None:
    assert set(EXCHANGES) - {""} <= set(DESK_EXCHANGES)
    assert tuple(TYPES) == ("", *KINDS)


def test_a_mistyped_name_lists_what_the_desk_takes_it_for_with_the_shared_letters_marked(field: Field) -> None:
    field.find("relaince", row("RELIANCE", name="RELIANCE INDUSTRIES"))
    marks = field.page.evaluate("[...root.querySelectorAll('mark')].map((e) => e.textContent)")
    assert marks == ["REL", "REL"]


def test_a_contract_says_expiry_strike_and_lot_and_a_share_its_name(field: Field) -> None:
    field.find("nifty", NIFTY, CALL, PUT, INFY)
    lines = field.page.evaluate(
        "[...root.querySelectorAll('.hit')].map((e) => [...e.children].map((s) => s.textContent).join('|'))"
    )
    assert lines == [
        "NIFTY 50|NIFTY 50|NSEINDEX|25,123.45|+1.01%|+",
        "NIFTY26N2424500CE|NIFTY|24 NOV 26 (W)|24,500|65|NFOCE|||+",
        "NIFTY26DEC24500PE|NIFTY|29 DEC 26|24,500|65|NFOPE|||+",
        "INFY|INFOSYS|NSEEQ|1,525.00|+1.01%|+",
    ]
    assert field.page.evaluate("[...root.querySelectorAll('.symbol mark')].map((e) => e.textContent)") == ["NIFTY"] * 3


def test_words_are_marked_where_words_begin(field: Field) -> None:
    field.find("nifty 24500 ce", CALL, row("RELIANCE"))
    assert field.page.evaluate("[...root.querySelectorAll('.symbol mark')].map((e) => e.textContent)") == [
        "NIFTY",
        "24500CE",
    ]


def test_the_newest_answer_wins_whichever_comes_first(field: Field, answers: Answers) -> None:
    answers.found |= {"inf": [TCS], "infy": [INFY]}
    answers.holding = True
    for text in ("inf", "infy"):
        field.type(text)
        flow(field.page, "(n) => search.finder.onTheirWay.size === n", arg=len(text) - 2)
    field.release("infy")
    field.shows(INFY)
    field.release("inf")
    flow(field.page, "search.finder.dropped === 1")
    field.shows(INFY)


def test_a_slow_desk_is_asked_two_questions_at_a_time_and_the_last_one_for_sure(field: Field, answers: Answers) -> None:
    answers.found["infosys"] = [INFY]
    answers.holding = True
    for length in range(2, 8):
        field.type("infosys"[:length])
        flow(field.page, "search.finder.timer === null")
    assert [question["q"] for question in answers.asked] == ["in", "inf"]
    field.release("in")
    flow(field.page, "[...search.finder.onTheirWay].some((path) => path.includes('infosys'))")
    field.release("infosys")
    field.shows(INFY)
    assert [question["q"] for question in answers.asked] == ["in", "inf", "infosys"]


def test_what_is_typed_in_one_go_is_asked_once_and_kept_for_half_a_minute(browser: Browser, answers: Answers) -> None:
    answers.found |= {"infy": [INFY], "tcs": [TCS]}
    for field in open_field(browser, answers):
        field.page.clock.install(time=0)
        field.page.clock.pause_at(1000)
        field.page.evaluate("search.focus()")
        for letter in "infy":
            field.input.press(letter)
        field.page.clock.run_for(119)
        assert answers.asked == []
        field.page.clock.run_for(1)
        field.shows(INFY)
        field.type("tcs")
        field.page.clock.run_for(200)
        field.shows(TCS)
        field.type("infy")
        field.shows(INFY)
        assert [question["q"] for question in answers.asked] == ["infy", "tcs"]
        field.page.clock.run_for(30_000)
        field.type("tcs ")
        field.page.clock.run_for(200)
        flow(field.page, "search.finder.phase === 'found'")
        assert [question["q"] for question in answers.asked] == ["infy", "tcs", "tcs"]


def test_kept_answers_are_bounded_and_forgotten_with_the_source(field: Field, answers: Answers) -> None:
    field.find("infy", INFY)
    field.page.evaluate("for (let i = 0; i < 100; i++) search.finder.keep(`q${i}`, [])")
    assert field.page.evaluate("search.finder.answers.size") == 40
    answers.found["infy"] = [TCS]
    field.page.evaluate("search.heard('forget')")
    field.shows(TCS)
    assert field.page.evaluate("search.finder.answers.size") == 1


def test_a_failure_is_told_in_the_desks_words_and_can_be_tried_again(field: Field, answers: Answers) -> None:
    answers.trouble = 400, {"error": "bad_request", "reason": "q was <b>odd</b>"}
    field.type("infy")
    field.says("Not searched: q was <b>odd</b>.")
    answers.trouble = None
    answers.found["infy"] = [INFY]
    field.page.get_by_role("button", name="Try again").click()
    field.shows(INFY)
    assert field.has_focus()


def test_an_unreachable_desk_is_said_and_enter_tries_again(field: Field, answers: Answers) -> None:
    answers.holding = True
    field.type("infy")
    flow(field.page, "search.finder.onTheirWay.size === 1")
    field.holds("infy").abort()
    field.says("Not searched: the desk is not reachable.")
    answers.holding, answers.found["infy"] = False, [INFY]
    field.press("Enter")
    field.shows(INFY)


def test_a_desk_that_is_not_ready_is_asked_again_by_itself(field: Field, answers: Answers) -> None:
    answers.trouble = 503, {"error": "not_ready", "reason": "instruments are being fetched"}
    field.type("infy")
    field.says("instruments are being fetched")
    answers.trouble = None
    answers.found["infy"] = [INFY]
    field.shows(INFY)


def test_nothing_found_says_what_to_try_and_which_filter_is_in_the_way(field: Field, answers: Answers) -> None:
    field.type("zzz")
    field.says("Nothing is called like that")
    field.page.get_by_role("radio", name="Calls").click()
    field.says("Nothing among Calls is called like that.")
    answers.found["zzz"] = [INFY]
    field.page.evaluate("search.finder.forget()")
    field.page.get_by_role("button", name="Search everything").click()
    field.shows(INFY)


def test_a_day_on_which_nothing_expires_is_told_above_what_is_found_instead(field: Field, answers: Answers) -> None:
    answers.notes["nifty 24500 3 dec"] = "no expiry on 3 Dec; nearest 1 Dec"
    field.find("nifty 24500 3 dec", CALL)
    remark = field.page.locator("[data-search-remark]")
    assert remark.text_content() == "no expiry on 3 Dec; nearest 1 Dec"
    field.says("1 result: no expiry on 3 Dec; nearest 1 Dec")
    field.find("nifty", NIFTY)
    assert not remark.is_visible()
    field.type("zzz")
    field.says("Nothing is called like that")
    field.find("nifty", NIFTY)
    assert field.note.text_content() == "", "no old sentence lies behind the results"


def test_filters_go_with_the_question_and_are_chosen_by_keys_too(field: Field, answers: Answers) -> None:
    field.find("nifty", NIFTY, CALL)
    field.page.get_by_role("radio", name="Puts").click()
    field.page.get_by_role("radio", name="NFO").click()
    flow(field.page, "search.finder.phase === 'found' && search.finder.path.includes('NFO')")
    assert answers.asked[-1] == {"q": "nifty", "limit": "30", "type": "PE", "exchange": "NFO"}
    assert field.has_focus()
    field.press("Tab")
    field.page.keyboard.press("ArrowLeft")
    flow(field.page, "search.finder.path.includes('type=CE')")
    assert field.page.evaluate("root.activeElement.textContent") == "Calls"
    assert field.opened
    field.page.keyboard.press("Escape")
    assert field.has_focus()


def test_a_price_is_fresh_or_blank_and_never_of_what_the_page_does_not_follow(field: Field) -> None:
    field.find("in", INFY, CALL)
    prices = "[...root.querySelectorAll('.hit')].map((e) => [e.dataset.mode, e.querySelector('.last').textContent])"
    assert field.page.evaluate(prices) == [["live", "1,525.00"], ["", ""]]
    field.page.evaluate("page.market.gap(page.now() - 6000)")
    flow(field.page, "root.querySelector('.hit').dataset.mode === 'blank'")
    assert field.page.evaluate(prices) == [["blank", "—"], ["", ""]]


def test_outside_text_is_never_markup(field: Field) -> None:
    nasty = row("<img src=x onerror=hack()>", name="<b>bold</b> & co")
    field.find("<b>", nasty)
    assert field.page.evaluate("root.querySelectorAll('.hit img, .hit .name b').length") == 0
    assert field.page.locator(".hit .name").text_content() == "<b>bold</b> & co"
