"""Servers of whole pages for a browser: the Market page on the real relay, and a Tabulator that every session patches.

Every last price is the real time of its change, so that a browser can tell how old a number is once it is painted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from benchmarks.market import NoUpstream, StampedHub, open_clock, open_hub, publish
from benchmarks.processes import mark
from benchmarks.servers import _answer, numbers, update_table
from benchmarks.viewers import PATH
from tapedeck.clock import SystemClock
from tapedeck.hub import Hub
from tapedeck.relay.overview import Overview
from tapedeck.relay.server import Relay, StreamHandler

#: The columns of the busiest table: all of them change with every price.
COLUMNS = (
    "last_price", "change", "percent", "bid_price", "ask_price", "open", "high", "low", "close", "average_traded_price",
    "day_range",
)  # fmt: skip
#: Real seconds between two changes of the market that no beat waits for, at random.
LEAST_S, MOST_S = 0.02, 0.2


class PageDesk:
    """As much of a desk as the Market page asks for: one list of every share."""

    source, simulated = "kite", False

    def __init__(self, shares: int, *, tiles: bool) -> None:
        self._document = {
            "version": 1, "revision": 0, "columns": list(COLUMNS), "density": "normal", "theme": "dark",
            "lists": [{"name": "Everything", "keys": [f"NSE:S{i}" for i in range(1, shares + 1)]}],
            "palette": "standard", "layout": {"context": tiles, "dock": tiles},
        }  # fmt: skip

    @property
    def workspace(self) -> PageDesk:
        """Itself: there is nothing else to ask."""
        return self

    def document(self) -> dict[str, Any]:
        """The workspace."""
        return dict(self._document)

    def search_examples(self) -> tuple[str, ...]:
        """None: nobody searches."""
        return ()


class Nothing(RequestHandler):
    """A route that knows nothing: no day lines."""

    def get(self) -> None:
        """An empty answer."""
        self.finish({"days": {}, "step_s": 180})


def market_page_server(line: Connection, shares: int, tiles: bool, steady: bool) -> None:
    """The Market page on a relay that beats as in the desk. First message: the port. Answers `mark`.

    `steady`: all shares change right before each beat; else at moments of their own. `tiles`: details and market beside
    the table.
    """
    import panel as pn

    from dashboards import app, client, theme

    clock = open_clock()
    hub: Hub = StampedHub(shares, clock) if steady else open_hub(shares, clock)
    # As in the desk: what the page's tiles ask for is answered, not refused and asked for again.
    overview = Overview(hub, NoUpstream())
    relay = Relay(hub, NoUpstream(), clock, topics={"overview": overview})
    stream = (PATH, StreamHandler, {"relay": relay, "allowed": lambda request: True})
    routes = [stream, ("/api/day", Nothing), client.ROUTE]

    def begin() -> None:
        relay.start(IOLoop.current())
        if not steady:
            _change_at_random(hub, shares)

    pages = app.build(PageDesk(shares, tiles=tiles))
    server = pn.io.server.get_server(
        dict(pages), port=0, address="127.0.0.1", start=False, show=False, verbose=False, extra_patterns=routes,
        static_dirs=theme.STATIC,
    )  # fmt: skip
    _serve(line, server, begin, {"mark": lambda: mark(relay.stats)})


def _change_at_random(hub: Hub, shares: int) -> None:
    clock, rng, loop = SystemClock(), np.random.default_rng(7), asyncio.get_running_loop()

    def change() -> None:
        publish(hub, shares, clock.monotonic())
        loop.call_later(rng.uniform(LEAST_S, MOST_S), change)

    change()


def tabulator_page_server(line: Connection, period_ms: int, steady: bool) -> None:
    """The usual way: every session's periodic callback patches its own Tabulator, cell by cell; the first is a stamp.

    `steady`: stamped when it is patched; else when the market changed last, at moments of its own.
    """
    import panel as pn

    pn.extension("tabulator")
    clock, rng = SystemClock(), np.random.default_rng(7)
    changed = [clock.monotonic()]

    def page() -> pn.viewable.Viewable:
        table = pn.widgets.Tabulator(numbers(rng), height=900)

        def update() -> None:
            frame = numbers(rng)
            frame.iloc[0, 0] = clock.monotonic() if steady else changed[0]
            update_table(table, "cells", frame)

        pn.state.add_periodic_callback(update, period=period_ms)
        return table

    def begin() -> None:
        loop = asyncio.get_running_loop()

        def change() -> None:
            changed[0] = clock.monotonic()
            loop.call_later(rng.uniform(LEAST_S, MOST_S), change)

        change()

    server = pn.io.server.get_server({"/": page}, port=0, address="127.0.0.1", start=False, show=False, verbose=False)
    _serve(line, server, begin, {"mark": mark})


def _serve(line: Connection, server: Any, begin: Callable[[], None], words: dict[str, Any]) -> None:
    logging.getLogger("bokeh").setLevel(logging.ERROR)  # viewers that leave at the end are no news
    server.start()
    loop: IOLoop = server.io_loop

    def ready() -> None:
        begin()
        _answer(line, words, loop.stop)
        line.send(server.port)

    loop.add_callback(ready)
    loop.start()
