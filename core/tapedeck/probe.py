"""Kite asked about what its documents leave open: which token, which clock, and whether the websocket is free.

The questions themselves are in `kite/probe.py` and `kite/probe_feed.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tapedeck.clock import Clock, SystemClock
from tapedeck.errors import ConfigError, FeedOwned, LoginRequired
from tapedeck.kite.login import Credentials, TokenFile
from tapedeck.kite.owner import OwnerLock
from tapedeck.kite.probe import INDEX, SHARE, Kite, Seen, ask_rest
from tapedeck.kite.probe_feed import ask_feed
from tapedeck.kite.quota import Quota
from tapedeck.kite.rest import KiteRest
from tapedeck.settings import Settings
from tapedeck.sim.clock import LoopClock
from tapedeck.upstream import fetch_clock

WATCHED = "What does the websocket send?"


def saved_credentials(settings: Settings) -> Credentials:
    """The day's token from the token file.

    Raises
    ------
    ConfigError
        If there is no API key, or a setting that concerns Kite is wrong.
    LoginRequired
        If no token was saved for this key.
    """
    if not settings.has_credentials:
        raise ConfigError("ZERODHA_API_KEY is not set; the probe asks Kite itself, so it needs your key and a login")
    if settings.kite_problem:
        raise ConfigError(f"Kite may not be asked: {settings.kite_problem}")
    file = settings.data / "token.json"
    saved = TokenFile(file).load()
    if saved is None or saved.api_key != settings.api_key:
        raise LoginRequired(
            f"{file} has no token of this API key; log in first: LOGIN on the desk, or `tapedeck login`"
        )
    return saved


def market_clock(settings: Settings) -> Clock:
    """The machine's clock, or the simulator's where the roots point at one."""
    document = fetch_clock(settings.kite_rest) if settings.own_exchange else None
    return LoopClock.from_document(document) if document else SystemClock()


def probe(settings: Settings, credentials: Credentials, clock: Clock, *, seconds: float) -> Iterator[Seen]:
    """Every question with its answer, one after the other; with 0 `seconds` none of the websocket's."""
    quota = Quota(clock)
    rest = KiteRest(
        settings.api_key, lambda: credentials.access_token, settings.kite_rest, pace=quota, on_refused=quota.refused
    )
    kite = Kite(rest, credentials, clock, SystemClock(), quota, quota.refused)
    try:
        yield from ask_rest(kite)
        if seconds > 0:
            yield from _watched(settings, kite, seconds)
    finally:
        rest.close()
        kite.session.close()


def _watched(settings: Settings, kite: Kite, seconds: float) -> Iterator[Seen]:
    """The websocket's questions, unless a desk of this machine has the one connection."""
    tokens = [kite.tokens[key] for key in (INDEX, SHARE) if key in kite.tokens]
    try:
        with OwnerLock(settings.kite_ws, settings.api_key):
            yield from ask_feed(settings.kite_ws, kite.credentials, tokens, kite.clock, seconds=seconds)
    except FeedOwned as owned:
        # The promise of one connection holds for the probe too.
        yield Seen(WATCHED, f"not asked: {owned}. Stop that desk first, or look at its System page")
