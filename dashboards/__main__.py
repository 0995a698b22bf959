"""Run the desk and serve it: settings -> desk -> server, and all of it down again on Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from tapedeck.errors import FeedOwned, TapedeckError
from tapedeck.settings import Settings, load, parse_start

from .access import Gate, require_loopback

if TYPE_CHECKING:
    from bokeh.server.server import Server

    from tapedeck.desk import Desk

log = logging.getLogger("tapedeck.server")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards",
        description="Run the desk. Without ZERODHA_API_KEY it runs on the simulated exchange.",
    )
    parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (default 5006)")
    parser.add_argument("--host", help="loopback address to listen on (default 127.0.0.1)")
    parser.add_argument("--sim", action="store_true", default=None, help="simulated exchange even with a Kite key")
    parser.add_argument("--seed", type=int, help="seed of the simulated exchange (default 7)")
    parser.add_argument("--speed", type=float, help="how many times faster simulated market time runs, 0.1 to 600")
    parser.add_argument("--start", help="simulated market time to start at, such as 2026-11-23T09:14:30 (IST)")
    parser.add_argument("--verbose", action="store_true", help="log more")
    return parser.parse_args(given)


def settings_from(options: argparse.Namespace) -> Settings:
    """Settings of the environment with the command line on top; every problem in one ConfigError."""
    given = {
        "port": options.port,
        "host": options.host,
        "simulate": options.sim,
        "seed": options.seed,
        "sim_speed": options.speed,
        "sim_start": parse_start(options.start) if options.start else None,
    }
    settings = load(os.environ, **given)
    require_loopback(settings.host)
    return settings


def build_server(desk: Desk, settings: Settings) -> tuple[Server, Gate, int]:
    """A server bound to its port and not yet started, its gate, and the port it got."""
    # Imported late: a wrong setting is told in a tenth of a second, not after Panel has loaded.
    import panel as pn
    from bokeh.server.util import bind_sockets

    from . import api, app

    # Bound here so that port 0 is known before Bokeh is told which origins to accept.
    sockets, port = bind_sockets(settings.host, settings.port)
    for one in sockets:
        one.close()
    gate = Gate(port)
    server = pn.serve(
        app.build(desk),
        port=port,
        address=settings.host,
        websocket_origin=sorted(gate.hosts),
        extra_patterns=api.routes(desk, gate),
        start=False,
        show=False,
        verbose=False,
        title="Tapedeck",
        index=None,
    )
    gate.guard(server._tornado)
    return server, gate, port


def serve(settings: Settings) -> int:
    """Open the desk, serve it until a signal comes, close everything. Exit status."""
    from tapedeck.desk import open_desk

    desk = open_desk(settings)
    try:
        server, _gate, port = build_server(desk, settings)
    except OSError as taken:
        desk.close()
        log.error("port %s cannot be opened (%s); choose another: make serve PORT=5007", settings.port, taken.strerror)
        return 2
    except BaseException:
        desk.close()
        raise
    loop = server.io_loop
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{port}/"

    def stop(_signal: int, _frame: Any) -> None:
        loop.add_callback_from_signal(loop.stop)

    def ready() -> None:
        print(f"Desk READY {address}", flush=True)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        server.start()
        desk.serving(address, loop)
        loop.add_callback(ready)
        loop.start()
    finally:
        desk.close()
        server.stop(wait=False)
    return 0


def main(given: list[str] | None = None) -> int:
    """The program; its exit status: 0 ended, 2 wrong settings, 3 the feed belongs to another process."""
    options = arguments(given)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("bokeh", "tornado.access", "numba", "asyncio", "urllib3", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return serve(settings_from(options))
    except FeedOwned as owned:
        print(f"Tapedeck: {owned}", file=sys.stderr)
        return 3
    except (TapedeckError, ValueError) as wrong:
        print(f"Tapedeck: {wrong}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
