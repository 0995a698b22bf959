"""A page with the symbol search alone, and a desk whose answers the test gives, when it wants to."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page, Route

import tapedeck.views
from tapedeck.views import style
from tapedeck.views.search_box import search_box
from tests.fake_relay import SNAPSHOT, FakeDesk, FakeRelay, make_instruments
from tests.page_support import PATIENCE_MS, flow
from tests.support import wait_until

EXAMPLES = ("nifty 26000 ce", "infy fut", "mcx gold dec", "state bank")
JS = Path(tapedeck.views.__file__).parent / "js"
URL = "http://desk.test/"
DOCUMENT = """<!doctype html><html lang="en"><head><title>Search</title><style>
html, body {{ margin: 0; height: 100%; background: var(--td-background); }} body {{ {variables} }}
header {{ height: 39px; overflow: hidden; padding: 5px 140px 6px; box-sizing: border-box; background: var(--td-panel);
  border-bottom: 1px solid var(--td-line); transform: translateZ(0); contain: paint; }}
</style></head><body><header id="bar"><div id="host"></div></header><main><button id="other">other</button></main>
</body></html>"""
START = """async ({html, css, spec, welcome, snapshot, lists}) => {
  const {Market} = await import("/js/market.js")
  const {Page} = await import("/js/page.js")
  const {Workspace} = await import("/js/workspace.js")
  const {Search} = await import("/js/search.js")
  const root = document.querySelector("#host").attachShadow({mode: "open"})
  root.innerHTML = html
  const sheet = new CSSStyleSheet()
  sheet.replaceSync(css)
  root.adoptedStyleSheets = [sheet]
  const page = {
    market: new Market(0), picked: [], base: new URL("/", location.href), now: () => performance.now(),
    ask: Page.prototype.ask, select(key) { this.picked.push(key) },
    get list() { return this.workspace.list("") ?? {name: "", keys: []} },
    get verdict() { return this.market.verdict(this.now()) },
  }
  page.workspace = new Workspace({lists}, (path, options) => page.ask(path, options), () => {})
  const bytes = Uint8Array.from(atob(snapshot), (c) => c.charCodeAt(0)).buffer
  page.market.connected = true
  page.market.welcome(welcome)
  page.hear = () => page.market.frame(bytes, page.now())
  page.hear()
  const search = new Search({shadow_el: root}, spec, page)
  Object.assign(window, {page, search, root})
  search.draw(page)
  setInterval(() => search.draw(page), 250)
}"""


def row(symbol: str, exchange: str = "NSE", **more: Any) -> dict[str, Any]:
    """One instrument as the desk answers."""
    return {
        "key": f"{exchange}:{symbol}", "tradingsymbol": symbol, "name": symbol, "exchange": exchange,
        "segment": exchange, "instrument_type": "EQ", "expiry": None, "strike": 0.0, "tick_size": 0.05, "lot_size": 1,
    } | more  # fmt: skip


def option(symbol: str, expiry: str, strike: float, kind: str = "CE") -> dict[str, Any]:
    return row(
        symbol, "NFO", name="NIFTY", segment="NFO-OPT", instrument_type=kind, expiry=expiry, strike=strike, lot_size=65
    )


INFY, TCS = row("INFY", name="INFOSYS"), row("TCS", name="TATA CONSULTANCY SERV LT")
NIFTY = row("NIFTY 50", segment="INDICES", tick_size=0.0, lot_size=0)
CALL = option("NIFTY26N2424500CE", "2026-11-24", 24500)
PUT = option("NIFTY26DEC24500PE", "2026-12-29", 24500, "PE")
MANY = [row(f"SHARE{i:02d}", name=f"SHARE NUMBER {i}") for i in range(30)]


class Answers:
    """The desk's side: answers by question, every question asked, and questions held until they are let go."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.notes: dict[str, str] = {}
        self.trouble: tuple[int, dict[str, str]] | None = None
        self.asked: list[dict[str, str]] = []
        self.saved: list[dict[str, Any]] = []
        self.holding = False
        self.held: dict[str, Route] = {}

    def serve(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.path == "/api/workspace":
            document = json.loads(route.request.post_data or "{}")
            self.saved.append(document)
            return route.fulfill(json=document | {"revision": len(self.saved)})
        question = {name: values[0] for name, values in parse_qs(address.query).items()}
        self.asked.append(question)
        if self.holding:
            self.held[question["q"]] = route
            return None
        return self.answer(route, question["q"])

    def answer(self, route: Route, query: str) -> None:
        if self.trouble:
            return route.fulfill(status=self.trouble[0], json=self.trouble[1])
        rows, note = self.found.get(query.lower(), []), self.notes.get(query.lower(), "")
        return route.fulfill(json={"query": query, "listed": 9, "note": note, "instruments": rows})


class Field:
    """The search field of an open page, and what its popup shows."""

    def __init__(self, page: Page, answers: Answers) -> None:
        self.page = page
        self.answers = answers
        self.input = page.get_by_role("combobox")
        self.list = page.get_by_role("listbox")
        self.hits = page.locator("[role=option]")
        self.note = page.locator("[data-search-note] p")
        self.said = page.locator("[data-search-said]")
        self.count = page.locator("[data-search-count]")

    def type(self, text: str) -> None:
        self.page.evaluate("search.focus()")
        self.input.fill(text)

    def find(self, text: str, *rows: dict[str, Any]) -> None:
        """Type, and wait until the answer is listed."""
        self.answers.found[text.lower()] = list(rows)
        self.type(text)
        self.shows(*rows)

    def shows(self, *rows: dict[str, Any]) -> None:
        flow(
            self.page,
            "(symbols) => [...root.querySelectorAll('.hit .symbol')].map((e) => e.textContent).join('|') === symbols",
            arg="|".join(one["tradingsymbol"] for one in rows),
        )

    def says(self, text: str) -> None:
        flow(self.page, "(text) => root.querySelector('[data-search-said]').textContent.includes(text)", arg=text)

    def holds(self, query: str) -> Route:
        """Take this question out of those that are held, when it has come."""
        wait_until(lambda: self.page.evaluate("true") and query in self.answers.held)
        return self.answers.held.pop(query)

    def release(self, query: str) -> None:
        """Answer a question that is held."""
        self.answers.answer(self.holds(query), query)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.input.press(key)

    @property
    def active(self) -> str:
        """Symbol of the active hit; "" without one."""
        return self.page.evaluate(
            """() => {
              const id = root.querySelector("input").getAttribute("aria-activedescendant")
              const item = id && root.getElementById(id)
              return item ? (item.querySelector(".symbol, q")).textContent : ""
            }"""
        )

    @property
    def opened(self) -> bool:
        return self.page.evaluate("root.querySelector('.popup').matches(':popover-open')")

    @property
    def picked(self) -> list[str]:
        return self.page.evaluate("page.picked")

    @property
    def keys(self) -> list[str]:
        return self.page.evaluate("page.list.keys")

    def has_focus(self) -> bool:
        return self.page.evaluate("root.activeElement === root.querySelector('input')")


def _module(route: Route) -> None:
    route.fulfill(path=JS / route.request.url.rsplit("/", 1)[1], content_type="text/javascript")


def open_field(browser: Browser, answers: Answers, *, width: int = 1440, scheme: str = "dark") -> Iterator[Field]:
    """A page with nothing but the search in a bar that cuts off what hangs over; no script may have failed."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    document = DOCUMENT.format(variables=style.variables(scheme))
    page.route(URL, lambda route: route.fulfill(body=document, content_type="text/html"))
    page.route(f"{URL}api/**", answers.serve)
    page.route(f"{URL}js/*", _module)
    page.goto(URL)
    relay = FakeRelay(FakeDesk(make_instruments(4)))
    pane = search_box(EXAMPLES)
    page.evaluate(
        START,
        {
            "html": pane.object, "css": style.SEARCH_CSS, "spec": {"examples": list(EXAMPLES)},
            "welcome": relay.welcome(list(relay.desk.by_key)),
            "snapshot": base64.b64encode(relay.frame(SNAPSHOT, relay.rows)).decode(),
            "lists": [{"name": "Watchlist", "keys": ["NSE:TCS"]}],
        },
    )  # fmt: skip
    yield Field(page, answers)
    context.close()
    assert problems == []
