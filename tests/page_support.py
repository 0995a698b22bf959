"""Pages served from a fake desk, and what is on their screen."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from typing import Any

import panel as pn
from playwright.sync_api import Page
from tornado.ioloop import IOLoop

from dashboards import app, client, theme
from tapedeck.clock import SystemClock
from tests.fake_relay import FakeRelay

#: How long a page is waited for, milliseconds. No test passes by it: it only ends those that would wait for ever.
PATIENCE_MS = 40_000

DRAWN = """() => window.__tapedeck?.page?.due && new Promise((done) => {
  requestAnimationFrame(done)
  setTimeout(done, 250)
})"""


class Served:
    """The pages of a fake desk on a port of this process; `loop` runs in a thread of its own."""

    def __init__(self, relay: FakeRelay, *, port: int = 0) -> None:
        self.relay = relay
        self.sessions = 0
        self.pages: list[weakref.ref[Any]] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,), name="served", daemon=True)
        self._thread.start()
        assert self._ready.wait(20), "the server did not start"

    def _run(self, port: int) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        self.loop = IOLoop.current()
        self.server = pn.serve(
            {route: self._count(make) for route, make in app.build(self.relay.desk).items()},
            port=port, address="127.0.0.1", websocket_origin=[f"127.0.0.1:{port}"] if port else None,
            loop=self.loop, start=False, show=False, verbose=False,
            extra_patterns=[*self.relay.routes(), client.ROUTE], static_dirs=theme.STATIC,
            check_unused_sessions_milliseconds=200, unused_session_lifetime_milliseconds=8000,
        )  # fmt: skip
        self.server.start()
        self.relay.start()
        self.loop.add_callback(self._ready.set)
        self.loop.start()
        self.loop.close(all_fds=True)

    def _count(self, make: Callable[[], Any]) -> Callable[[], Any]:
        def session() -> Any:
            self.sessions += 1
            page = make()
            self.pages.append(weakref.ref(page))
            return page

        return session

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        async def end() -> None:
            self.relay.stop()
            self.server.stop()
            # Let the closing handshakes of the websockets be written before the loop ends.
            await asyncio.sleep(0.05)
            self.loop.stop()

        if self._thread.is_alive():
            self.loop.add_callback(end)
            self._thread.join(10)
            assert not self._thread.is_alive(), "the server did not stop"


def cell(page: Page, key: str, field: str) -> str:
    """Text on screen of one cell of the table."""
    return page.evaluate(
        """([key, field]) => {
          const entry = __tapedeck.tables[0].entries.find((e) => e.key === key)
          return entry.row.cells.find((c) => c.column.field === field).element.textContent
        }""",
        [key, field],
    )


def texts(page: Page, field: str) -> set[str]:
    """Texts on screen of one column: every row that is in the document."""
    return set(
        page.evaluate(
            """(field) => [...__tapedeck.tables[0].view.shadow_el.querySelectorAll(
                 `.tabulator-row .tabulator-cell[tabulator-field=${field}]`)].map((e) => e.textContent)""",
            field,
        )
    )


def status(page: Page, name: str) -> str:
    """Text of one status element of the bars."""
    return page.locator(f'[data-td="{name}"]').first.text_content() or ""


def digits_on_screen(page: Page) -> str:
    """Every digit shown where a number of the market belongs: table, tape, clock, ages."""
    return page.evaluate(
        """() => {
          const found = []
          const walk = (root) => {
            for (const e of root.querySelectorAll("*")) {
              if (e.shadowRoot) walk(e.shadowRoot)
              const cell = ".tabulator-row .tabulator-cell:not([tabulator-field=symbol], [tabulator-field=name])"
              const number = e.matches(`${cell}, [data-field], [data-number]`) && e.offsetParent !== null
              if (number && /[0-9]/.test(e.textContent)) found.push(e.textContent)
            }
          }
          walk(document)
          return found.join(" ")
        }"""
    )


def flow(page: Page, condition: str, arg: Any = None, *, timeout: float | None = None) -> None:
    """Wait until a JavaScript condition holds on the page; `timeout` in milliseconds.

    Looked at twenty times a second. Playwright would look at every frame, and so have the page paint sixty a second:
    ten pages that wait would take all there is of a small machine.
    """
    page.wait_for_function(condition, arg=arg, polling=50, timeout=timeout)
    # What made it true may not be drawn yet: the next frame does that.
    page.evaluate(DRAWN)


def settle(page: Page, predicate: Callable[[], Any], timeout: float = PATIENCE_MS / 1000) -> None:
    """Wait until `predicate` is true; meanwhile the browser's events are heard, which this thread hands out."""
    clock = SystemClock()
    deadline = clock.monotonic() + timeout
    while not predicate():
        assert clock.monotonic() < deadline, f"not true within {timeout} s"
        page.wait_for_timeout(20)
