"""Logging in and out on screen: without a script, in the desk's looks, and the page says when its login has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tapedeck.settings import parse_start
from tapedeck.users import OPERATOR, VIEWER, Users
from tests.inside import Inside
from tests.page_support import flow, status
from tests.support import wait_until

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser
PASSWORDS = {"asha": "correct horse battery", "bob": "another long one"}
LIVE = "window.__tapedeck?.state === 'live' && window.__tapedeck.rows > 0"


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Inside]:
    folder = tmp_path_factory.mktemp("desk")
    users = Users(folder)
    users.add("asha", PASSWORDS["asha"], role=OPERATOR)
    users.add("bob", PASSWORDS["bob"], role=VIEWER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        running = Inside(folder, sim_start=parse_start("2026-11-23T10:00:00"))
        wait_until(lambda: running.get("/readyz").status_code == 200)
        yield running
        running.close()


@pytest.fixture
def open_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    contexts: list[BrowserContext] = []

    def open_(**options: object) -> BrowserContext:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)  # type: ignore[arg-type]
        context.set_default_timeout(60_000)
        contexts.append(context)
        return context

    yield open_
    for context in contexts:
        context.close()


def log_in(page: Page, name: str) -> None:
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(PASSWORDS[name])
    page.keyboard.press("Enter")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_login_needs_no_script_and_nothing_from_elsewhere_and_anybody_can_read_it(desk, open_context, scheme):
    page = open_context(java_script_enabled=False, color_scheme=scheme).new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("request", lambda asked: complaints.append(asked.url) if desk.address not in asked.url else None)
    page.goto(desk.address + "/")
    expect(page.get_by_label("User")).to_be_focused()
    log_in(page, "asha")
    page.wait_for_url(desk.address + "/")
    page.goto(desk.address + "/login")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(desk.address + "/login")
    assert [said for said in complaints if not said.startswith(("data:", "blob:"))] == []
    read = open_context(color_scheme=scheme).new_page()
    read.goto(desk.address + "/login")
    found = Axe().run(read).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_a_viewer_is_told_that_nothing_is_saved_and_after_the_logout_every_number_is_blank(desk, open_context):
    context = open_context()
    page = context.new_page()
    page.goto(desk.address + "/")
    log_in(page, "bob")
    flow(page, LIVE)
    page.get_by_role("button", name="Dark or light").click()
    page.get_by_text("not saved: view only: bob is a viewer").wait_for()
    other = context.new_page()
    other.goto(desk.address + "/login")
    other.get_by_role("button", name="Log out").click()
    flow(page, "window.__tapedeck.state === 'blank'", timeout=6_000)
    assert "logged out" in page.evaluate("window.__tapedeck.reason")
    # Logged in again in the other tab: the page finds back by itself.
    log_in(other, "bob")
    flow(page, LIVE, timeout=30_000)


def test_an_operators_change_is_saved_from_the_page(desk, open_context):
    page = open_context().new_page()
    page.goto(desk.address + "/")
    log_in(page, "asha")
    flow(page, LIVE)
    before = desk.json("/api/workspace")["revision"]
    page.get_by_role("button", name="Dark or light").click()
    wait_until(lambda: desk.json("/api/workspace")["revision"] > before)
    assert status(page, "phase") == "LIVE"
