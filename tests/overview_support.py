"""The overview part alone in a browser: a page that a test writes, and messages as the desk would send them."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page

from tapedeck.index_members import nifty50
from tapedeck.views import style
from tapedeck.views.overview_tiles import overview_tiles
from tapedeck.views.relay_client import TAG

SHARES = (
    "BAJAJFINSV", "ICICIPRULI", "MUTHOOTFIN", "M&MFIN", "BAJAJ-AUTO", "MRF", "BOSCHLTD", "INFY", "TCS", "SBIN",
    "RELIANCE", "HINDPETRO",
)  # fmt: skip
KINDS = ("long_buildup", "short_buildup", "short_covering", "long_unwinding")
#: The viewer's palettes as css; the second is that of `js/shell.js`.
PALETTES = {
    "standard": "",
    "colour-blind": ":root { --td-alt-dark-up: #56B4E9; --td-alt-dark-down: #E69F00; "
    "--td-alt-light-up: #0369A1; --td-alt-light-down: #9A4A00 }",
}
LIVE = {"state": "live", "age": 0.2, "reason": "", "dead": False}

_MOUNT = """async ([html, sheets, spec, css, scheme, width, height]) => {
  const {Overview} = await import("http://js.test/overview.js")
  window.part?.stop()
  document.head.replaceChildren(Object.assign(document.createElement("style"), {textContent: css}))
  document.body.className = `mui-${scheme}`
  const host = document.createElement("div")
  host.style.cssText = `width: ${width}px; height: ${height}px`
  document.body.replaceChildren(host)
  const shadow = host.attachShadow({mode: "open"})
  for (const sheet of sheets) shadow.append(Object.assign(document.createElement("style"), {textContent: sheet}))
  const content = document.createElement("div")
  content.innerHTML = html
  shadow.append(content)
  window.host = host
  window.root = shadow.querySelector(".tile")
  window.page = {
    overview: null, selected: "", chosen: [], clock: 100000,
    verdict: {state: "live", age: 0.2, reason: "", dead: false},
    market: {epoch: 1, replay: false, marketNow: () => 1795408200000},
    workspace: {document: {layout: {}}, change(fields) { Object.assign(this.document, structuredClone(fields)) }},
    stream: {connects: 1, paused: false, wished: [], wish(...wish) { this.wished.push(wish) }},
    now() { return this.clock },
    select(key) { this.selected = key; this.chosen.push(key); window.part.draw(this) },
  }
  window.part = new Overview({shadow_el: shadow, el: host}, spec, window.page)
  const frame = () => new Promise(requestAnimationFrame)
  window.settled = async () => { for (let n = 0; n < 3; n++) await frame() }
  window.part.draw(window.page)
  await document.fonts.ready
  await window.settled()
}"""


class OverviewPage:
    """An overview of some size; `show` sends it a message, `read` and `rows` say what is on its screen."""

    def __init__(
        self, page: Page, *, width: int = 1120, height: int = 272, scheme: str = "dark", palette: str = "standard"
    ) -> None:
        self.page = page
        pane = overview_tiles(nifty50())
        spec = json.loads(next(tag for tag in pane.tags if tag.startswith(TAG))[len(TAG) :])
        css = style.SCHEME_CSS + PALETTES[palette] + "body { margin: 0; background: var(--td-background) }"
        page.set_viewport_size({"width": width, "height": height})
        page.mouse.move(0, 0)
        sheets = [style.TILE_CSS, style.OVERVIEW_CSS]
        page.evaluate(_MOUNT, [pane.object, sheets, spec, css, scheme, width, height])

    def show(self, message: dict[str, Any] | None, **verdict: Any) -> OverviewPage:
        """Let the page have this newest message and this verdict (live by default), and draw."""
        self.page.evaluate(
            """async ([message, verdict]) => {
              Object.assign(page, {overview: message, verdict})
              part.draw(page)
              await settled()
            }""",
            [message, LIVE | verdict],
        )
        return self

    def run(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def texts(self, selector: str) -> list[str]:
        """Texts of every element that matches and can be seen, in their order."""
        return self.run(
            """(selector) => [...root.querySelectorAll(selector)]
                 .filter((e) => e.checkVisibility({visibilityProperty: true})).map((e) => e.textContent.trim())""",
            selector,
        )

    def rows(self, name: str) -> list[list[str]]:
        """Cells of the rows on screen of the list with this name."""
        return self.run(
            """(name) => [...root.querySelectorAll(`.slot[aria-label="${name}"] .row`)]
                 .filter((row) => row.checkVisibility({visibilityProperty: true}))
                 .map((row) => [...row.children].map((cell) => cell.textContent))""",
            name,
        )

    @property
    def chip(self) -> str:
        return self.texts("[data-chip]")[0]

    @property
    def mode(self) -> str:
        return self.run("() => root.dataset.mode")

    def number_texts(self) -> str:
        """Everything on screen that a number of the market could stand in."""
        return " ".join(self.texts("[data-number], .symbol, .heat-tile span, .count small, .info"))


def row(symbol: str, percent: float | None, **more: Any) -> dict[str, Any]:
    """A row of a ranking."""
    numbers = {"last_price": 1525.5, "volume_traded": 1_234_567, "value": 18_834_320_000, "oi": 5_000_000}
    return {"key": f"NSE:{symbol}", "symbol": symbol, "percent": percent, "oi_percent": 12.34, **numbers, **more}


def overview(**more: Any) -> dict[str, Any]:
    """A message of a live market; `more` replaces its fields."""
    rankings = {
        "gainers": [row(symbol, 6.1 - n / 2) for n, symbol in enumerate(SHARES[:10])],
        "losers": [row(symbol, -6.1 + n / 2) for n, symbol in enumerate(SHARES[2:12])],
        "active": [row(symbol, n / 4 - 1) for n, symbol in enumerate(SHARES[1:11])],
    }
    heatmap = [[one.key, round((n * 37 % 80) / 10 - 4, 4), 100.0 + n] for n, one in enumerate(nifty50().members)]
    return {
        "type": "overview",
        "epoch": 1,
        "universe": {"name": "NSE shares with derivatives", "count": 206, "current": 200},
        "held": True,
        "date": None,
        "problem": "",
        "breadth": {"advances": 120, "declines": 74, "unchanged": 6, "unknown": 6},
        **rankings,
        "oi_universe": {"name": "their near-month futures", "count": 206, "current": 206},
        "oi_held": True,
        "oi_reason": "",
        "oi": {kind: [row(one, 1.5 - at) for one in SHARES[at : at + 8]] for at, kind in enumerate(KINDS)},
        "oi_known": 206,
        "heatmap": heatmap,
        **more,
    }  # fmt: skip
