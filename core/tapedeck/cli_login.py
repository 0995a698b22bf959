"""`tapedeck login`: log in to Kite from a terminal; a desk that runs takes the token up within a second."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tapedeck.auth import next_expiry
from tapedeck.clock import SystemClock, to_ist
from tapedeck.errors import ConfigError, InputRefused
from tapedeck.settings import Settings, load

if TYPE_CHECKING:
    from tapedeck.kite.login import Credentials, TokenFile

#: A wrong one of these would have the login done somewhere else, or its token saved there.
NEEDED = (
    "ZERODHA_API_KEY", "ZERODHA_API_SECRET", "TAPEDECK_KITE_REST", "TAPEDECK_KITE_LOGIN", "TAPEDECK_DATA"
)  # fmt: skip


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--request-token",
        metavar="TOKEN",
        help="the request token, or the whole address Kite sent the browser to; asked for when left out",
    )


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when the token was saved, 1 when Kite or the network refused, 2 when a setting is wrong."""
    from tapedeck.kite.login import TokenFile, exchange, parse_request_token  # `tapedeck --help` does without

    try:
        settings = load(os.environ, folder=Path.cwd())
        _need_settings(settings)
    except ConfigError as wrong:
        print(f"tapedeck login: {wrong}", file=sys.stderr)
        return 2
    request_token = parse_request_token(args.request_token or _ask(settings))
    credentials = exchange(settings.kite_rest, settings.api_key, settings.api_secret, request_token)
    file = TokenFile(settings.data / "token.json")
    try:
        file.save(credentials)
    except OSError as failed:
        why = failed.strerror or type(failed).__name__
        print(f"tapedeck login: {file.path} could not be written: {why} (TAPEDECK_DATA)", file=sys.stderr)
        return 1
    print(_success(credentials, file))
    return 0


def _need_settings(settings: Settings) -> None:
    given = {"ZERODHA_API_KEY": settings.api_key, "ZERODHA_API_SECRET": settings.api_secret}
    told = {problem.name: problem for problem in settings.problems if problem.level == "error"}
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} empty; take them from your app at "
            "https://developers.kite.trade and set them"
            + (f". {settings.kite_problem}" if settings.kite_problem and not settings.api_key else "")
        )
    wrong = [str(told[name]) for name in NEEDED if name in told] or [settings.kite_problem]
    if wrong != [""]:
        raise ConfigError("\n".join(wrong))


def _ask(settings: Settings) -> str:
    from tapedeck.kite.login import login_url

    print("Open this address and log in:\n")
    print(f"  {login_url(settings.api_key, root=settings.kite_login)}\n")
    print("Kite then sends the browser to an address with request_token=... in it; it works once, for a few minutes.")
    print("Paste that address, or the request token alone: ", end="", flush=True)
    # Not `input`: its prompt goes astray when the output is a pipe, and a line may come from one, too.
    answer = sys.stdin.readline()
    if not sys.stdin.isatty():
        print()
    if not answer.strip():
        raise InputRefused("nothing was pasted; run the command again, or give --request-token")
    return answer


def _success(credentials: Credentials, file: TokenFile) -> str:
    until = to_ist(next_expiry(credentials.issued_at or SystemClock().now()))
    who = f" as {credentials.user_id}" if credentials.user_id else ""
    return (
        f"Logged in{who}. The token is good until {until:%d %b %H:%M} IST and is saved in {file.path}; "
        "a desk that runs on this folder takes it up by itself."
    )
