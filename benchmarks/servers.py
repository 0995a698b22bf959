"""The servers that are compared, each alone in a process: the relay, and a page whose sessions patch a Tabulator.

Both change their numbers by themselves, again and again, and answer over their line what the process has used, with
counts: of the relay its `stats`, of the page `updates`, each an update of one session's table.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application

from benchmarks.market import NoUpstream, StampedHub, open_clock
from benchmarks.processes import allow_many_files, mark
from benchmarks.viewers import PATH
from tapedeck.relay.server import Relay, StreamHandler

if TYPE_CHECKING:
    import pandas as pd

ROWS = 50
COLUMNS = ("last_price", "change", "open", "high", "low", "average_traded_price")
WAYS = ("cells", "slices", "value")


def relay_server(line: Connection, shares: int, send_buffer: int = 0) -> None:
    """The relay on a Tornado server, beating as in the desk; all shares change right before each beat.

    Every last price is the real time of that moment, so that a viewer can tell how long it was on its way. First
    message: the port. `send_buffer` bounds what the kernel holds per viewer. Answers `mark`.
    """
    allow_many_files()
    asyncio.run(_serve_relay(line, shares, send_buffer))


async def _serve_relay(line: Connection, shares: int, send_buffer: int) -> None:
    clock = open_clock()
    relay = Relay(StampedHub(shares, clock), NoUpstream(), clock)
    sock, port = bind_unused_port()
    if send_buffer:
        sock.setsockopt(1, 7, send_buffer)  # SOL_SOCKET, SO_SNDBUF: inherited by what it accepts
    server = HTTPServer(Application([(PATH, StreamHandler, {"relay": relay, "allowed": lambda request: True})]))
    server.add_sockets([sock])

    ended = asyncio.Event()
    _answer(line, {"mark": lambda: mark(relay.stats)}, ended.set)
    relay.start(IOLoop.current())
    line.send(port)
    await ended.wait()


def page_server(line: Connection, period_ms: int) -> None:
    """A Panel page in the usual way: every session has a Tabulator of its own and updates it in a periodic callback.

    First message: the port. Answers `mark` and `way`, which says how the tables are updated from then on:
    `cells` (`Tabulator.patch` with a value per cell), `slices` (`Tabulator.patch` with a slice per column) or
    `value` (another DataFrame).
    """
    import panel as pn

    for name in ("bokeh", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # viewers that leave at the end are no news
    pn.extension("tabulator")
    counts, rng, state = Counter(), np.random.default_rng(7), {"way": WAYS[0]}

    def page() -> pn.viewable.Viewable:
        table = pn.widgets.Tabulator(numbers(rng))

        def update() -> None:
            update_table(table, state["way"], numbers(rng))
            counts["updates"] += 1

        pn.state.add_periodic_callback(update, period=period_ms)
        return table

    server = pn.io.server.get_server({"/": page}, port=0, address="127.0.0.1", start=False, show=False, verbose=False)
    server.start()
    loop: IOLoop = server.io_loop

    def begin() -> None:
        _answer(line, {"mark": lambda: mark(counts), "way": lambda way: state.update(way=way)}, loop.stop)
        line.send(server.port)

    loop.add_callback(begin)
    loop.start()


def numbers(rng: np.random.Generator) -> pd.DataFrame:
    """A watchlist in which every number is another one than before."""
    import pandas as pd

    return pd.DataFrame({name: np.round(rng.uniform(100, 5000, ROWS), 2) for name in COLUMNS})


def update_table(table: Any, way: str, frame: pd.DataFrame) -> None:
    """Show other numbers in a Tabulator, in one of the `WAYS`."""
    if way == "value":
        table.value = frame
        return
    columns = {name: frame[name].tolist() for name in COLUMNS}
    if way == "slices":
        table.patch({name: [(slice(0, ROWS), values)] for name, values in columns.items()})
    else:
        table.patch({name: list(enumerate(values)) for name, values in columns.items()})


def _answer(line: Connection, words: dict[str, Any], end: Any) -> None:
    """Answer what comes over the line on the running loop; `end` is called when the line ends."""
    loop = asyncio.get_running_loop()

    def hear() -> None:
        try:
            word, *arguments = line.recv()
        except EOFError:
            loop.remove_reader(line.fileno())
            end()
            return
        line.send(words[word](*arguments))

    loop.add_reader(line.fileno(), hear)
