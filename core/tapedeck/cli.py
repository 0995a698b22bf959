"""The command line: `tapedeck COMMAND`, one table of commands, each with its arguments and its function."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tapedeck import cli_check, cli_login, cli_probe, cli_user, redact, sessions, settings
from tapedeck.clock import SystemClock, ist_date
from tapedeck.errors import ConfigError, TapedeckError


class Command(NamedTuple):
    """One subcommand: what it is for, how its arguments are declared, what runs it (exit status)."""

    help: str
    declare: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0 when it did what was asked, 1 when not, 2 for a wrong command line."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    redact.install()
    try:
        status = COMMANDS[args.command].run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has enough. Python would write the rest once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except TapedeckError as exc:
        print(f"tapedeck {args.command}: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="tapedeck", description="A market desk for Indian markets on Kite Connect.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.declare(subparsers.add_parser(name, help=command.help, description=command.help))
    return parser


def parse_start(text: str) -> int:
    """UTC nanoseconds of an ISO date and time; without an offset it is Indian time.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    try:
        return settings.parse_start(text)
    except ValueError as wrong:
        raise ConfigError(f"--start was {text!r}; give {wrong}") from None


def _declare_sim(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default: %(default)s)")
    add("--seed", type=int, default=7, help="the same seed gives the same market (default: %(default)s)")
    add(
        "--start", help="market time to start at, ISO, IST unless it has an offset; by default 09:14:30 of the last day"
    )
    add("--speed", type=float, default=1.0, help="market seconds per real second (default: %(default)s)")
    add("--elapsed", type=float, default=0.0, help="pretend to have started this many real seconds ago")
    add("--api-key", default="simkey", help="API key it accepts (default: %(default)s)")
    add("--api-secret", help="its secret (default: $SIM_API_SECRET, else simsecret)")
    add("--redirect-url", help="where a login leads (default: the desk's callback on port 5006)")
    add(
        "--daily-tokens",
        action="store_true",
        help="let the access token die at 06:00 IST of market time, as Kite's does",
    )
    add("--no-rate-limits", action="store_true", help="answer any number of requests")
    add("--load", type=float, metavar="TICKS", help="send this many synthetic ticks a second to every connection")
    add(
        "--die-with-parent",
        type=int,
        nargs="?",
        const=0,
        metavar="PID",
        help="end when the process that started it ends; with PID also when that is not its parent any more",
    )


def _run_sim(args: argparse.Namespace) -> int:
    from tapedeck.sim.clock import LoopClock, default_start_ns
    from tapedeck.sim.login import DEFAULT_REDIRECT
    from tapedeck.sim.market import Market
    from tapedeck.sim.server import SimServer, serve

    real = SystemClock()
    start_ns = parse_start(args.start) if args.start else default_start_ns(ist_date(real.now()))
    if not sessions.covered(ist_date(start_ns)):
        raise ConfigError(f"--start was {args.start}; the session calendar does not know that day")
    try:
        origin = real.monotonic() - args.elapsed
        clock = LoopClock(start_ns, speed=args.speed, origin=origin, seed=args.seed, real=real)
    except ValueError as exc:
        raise ConfigError(str(exc)) from None
    parent = args.die_with_parent or os.getppid()

    def orphaned() -> bool:
        return args.die_with_parent is not None and os.getppid() != parent

    async def run() -> None:
        server = SimServer(
            Market(seed=args.seed),
            clock,
            host=args.host,
            port=args.port,
            api_key=args.api_key,
            api_secret=args.api_secret or os.environ.get("SIM_API_SECRET") or "simsecret",
            redirect_url=args.redirect_url or DEFAULT_REDIRECT,
            rate_limits=not args.no_rate_limits,
            daily_tokens=args.daily_tokens,
        )
        if args.load:
            server.exchange.faults.start({"fault": "load", "ticks_per_s": args.load})
        await serve(server, lambda address: print(f"SIM READY {address}", flush=True), orphaned)

    asyncio.run(run())
    return 0


COMMANDS: dict[str, Command] = {
    "check": Command(cli_check.HELP, cli_check.declare, cli_check.run),
    "sim": Command("run the simulated exchange", _declare_sim, _run_sim),
    "login": Command("log in to Kite and save the day's token", cli_login.declare, cli_login.run),
    "user": Command("say who may log in to the desk", cli_user.declare_user, cli_user.run_user),
    "token": Command("make and take away bearer tokens", cli_user.declare_token, cli_user.run_token),
    "probe": Command("ask Kite what its documents leave open", cli_probe.declare, cli_probe.run),
}

if __name__ == "__main__":
    sys.exit(main())
