"""Run the desk and serve it: settings -> desk -> server, and all of it down again on Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tapedeck.check_report import OK, Report
from tapedeck.clock import SystemClock
from tapedeck.errors import FeedOwned, TapedeckError
from tapedeck.redact import install as redact_logs
from tapedeck.session_file import use_session_file
from tapedeck.settings import Settings, load

from .access import find_port, require_access, why_not

log = logging.getLogger("tapedeck.server")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards",
        description="Run the desk. Without ZERODHA_API_KEY it runs on the simulated exchange.",
    )
    parser.add_argument("--port", help="port to listen on; 0 takes a free one (default 5006)")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1); others need users")
    parser.add_argument("--sim", action="store_true", default=None, help="simulated exchange even with a Kite key")
    parser.add_argument("--seed", help="seed of the simulated exchange (default 7)")
    parser.add_argument("--speed", help="how many times faster simulated market time runs, 0.1 to 600")
    parser.add_argument("--start", help="simulated market time to start at, such as 2026-11-23T09:14:30 (IST)")
    parser.add_argument("--verbose", action="store_true", help="log more")
    return parser.parse_args(given)


def settings_from(options: argparse.Namespace) -> Settings:
    """Settings of the environment and of this folder's files, with the command line on top.

    Raises
    ------
    ConfigError
        Naming every wrong value of the command line, or an address that may not be listened on.
    """
    words = {
        "TAPEDECK_PORT": options.port,
        "TAPEDECK_HOST": options.host,
        "TAPEDECK_SEED": options.seed,
        "TAPEDECK_SIM_SPEED": options.speed,
        "TAPEDECK_SIM_START": options.start,
    }
    said = {name: word for name, word in words.items() if word is not None}
    settings = use_session_file(load(os.environ, said, folder=Path.cwd(), simulate=options.sim))
    return replace(settings, host=require_access(settings))


def tell(report: Report) -> None:
    """Print what is wrong, if anything is, and log one line about it always."""
    if report.worst != OK:
        print(report.table(every=False), flush=True)
    log.log(logging.INFO if report.worst == OK else logging.WARNING, "%s", report.summary)


def serve(settings: Settings) -> int:
    """Open the desk, serve it until a signal comes, close everything. Exit status."""
    try:
        settings = replace(settings, port=find_port(settings.host, settings.port))  # before anything is started
    except (OSError, UnicodeError) as failed:
        log.error("%s", why_not(settings.host, settings.port, failed))
        return 2
    # Imported late: a wrong setting is told in a tenth of a second. The desk opens, which is mostly waiting for the
    # exchange, while Panel loads.
    from tapedeck.checks import check
    from tapedeck.desk import open_desk

    with ThreadPoolExecutor(2) as helper:
        opening = helper.submit(open_desk, settings)
        checking = helper.submit(check, settings, clock=SystemClock())
        try:
            from .serving import Serving
        except BaseException:
            opening.result().close()
            raise
    desk = opening.result()
    try:
        desk.check_report = checking.result()
        tell(desk.check_report)
        serving = Serving(desk, settings)
    except BaseException:
        desk.close()
        raise

    def stop(_signal: int, _frame: Any) -> None:
        serving.loop.add_callback_from_signal(serving.loop.stop)

    def ready() -> None:
        print(f"Desk READY {serving.way_in}", flush=True)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        serving.start()
        serving.loop.add_callback(ready)
        serving.loop.start()
    finally:
        serving.close()
    return 0


def main(given: list[str] | None = None) -> int:
    """The program; its exit status: 0 ended, 2 wrong settings, 3 the feed belongs to another process."""
    options = arguments(given)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    redact_logs()
    for noisy in ("bokeh", "tornado.access", "numba", "asyncio", "urllib3", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return serve(settings_from(options))
    except KeyboardInterrupt:
        return 130
    except FeedOwned as owned:
        print(f"Tapedeck: {owned}", file=sys.stderr)
        return 3
    except (TapedeckError, ValueError) as wrong:
        print(f"Tapedeck: {wrong}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
