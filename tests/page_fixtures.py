"""Fixtures for tests that look at the screen: a browser, a fake desk's pages, and the client's own modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, sync_playwright

import tapedeck.views
from benchmarks.browser import CHROMIUM
from tests.fake_relay import FakeDesk, FakeRelay, make_instruments
from tests.page_support import PATIENCE_MS, Served, flow

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
JS = Path(tapedeck.views.__file__).parent / "js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium. Not for the whole session: while it is there, nobody else can `asyncio.run`."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def relay(request: pytest.FixtureRequest) -> FakeRelay:
    """A relay of 50 instruments, or as many as the test asks for by indirect parameter."""
    return FakeRelay(FakeDesk(make_instruments(getattr(request, "param", 50))))


@pytest.fixture
def served(relay: FakeRelay) -> Iterator[Served]:
    server = Served(relay)
    yield server
    server.stop()


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Opens the page and waits until it is live; at the end no console may have complained.

    `clock=True` puts the page's time into the test's hands (`page.clock`). Nothing but this machine can be
    reached, and nothing but the desk may be asked. `path` is another page's than the Market's.
    `expect` names complaints that belong to the test, such as a websocket that is refused on purpose.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    expected: list[str] = []

    def outside(request: Request) -> None:
        if not request.url.startswith((served.url, "blob:", "data:")):
            complaints.append(f"asked for {request.url}")

    def open_(
        path: str = "",
        *,
        width: int = 1440,
        height: int = 900,
        clock: bool = False,
        live: bool = True,
        expect: tuple[str, ...] = (),
    ) -> Page:
        expected.extend(expect)
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", outside)
        page = context.new_page()
        if clock:
            page.clock.install()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.goto(served.url + path)
        if live:
            flow(page, "window.__tapedeck?.state === 'live' && window.__tapedeck.rows > 0")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [said for said in complaints if not any(part in said for part in expected)] == []


@pytest.fixture(scope="module")
def javascript(browser: Browser) -> Iterator[Page]:
    """An empty page in which `import("http://js.test/format.js")` gives the client's own modules."""
    context = browser.new_context()
    page = context.new_page()

    def serve(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        route.fulfill(
            body=(JS / name).read_text(encoding="utf-8"),
            headers={"content-type": "text/javascript", "access-control-allow-origin": "*"},
        )

    page.route("http://js.test/**", serve)
    yield page
    context.close()
