"""The exchange a desk is connected to: Kite itself, a simulator it started, or a simulator it was pointed at."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import numpy as np

from tapedeck.auth import AT_SIX
from tapedeck.clock import Clock
from tapedeck.errors import ConfigError, KiteError, LoginRequired, SimulatorError
from tapedeck.kite.account import KiteAccount
from tapedeck.kite.login import Credentials, TokenFile
from tapedeck.kite.quota import Quota
from tapedeck.kite.rest import KiteRest
from tapedeck.settings import Settings
from tapedeck.sim.child import SimChild, log_in
from tapedeck.sim.login import DEFAULT_API_KEY, DEFAULT_API_SECRET

log = logging.getLogger("tapedeck.upstream")

#: Days of instrument files kept, some 8 MB each.
KEPT_FILES = 5


class Exchange(Protocol):
    """What a desk needs to know of the place its numbers come from."""

    ws_root: str
    api_key: str
    source: str
    #: The one owner of the token, and the one quota of all requests.
    account: KiteAccount
    quota: Quota

    def credentials(self) -> Credentials | None:
        """Key and token to connect with, asked before every attempt; None when a login is needed."""
        ...

    def answered(self, status: int, fingerprint: str) -> None:
        """What the websocket's handshake with these credentials was answered."""
        ...

    def probe(self) -> dict[str, Any] | None:
        """The simulator's clock document, or None when this is Kite."""
        ...

    def fetch_instruments(self, day: date) -> tuple[bytes, date]:
        """The instrument file as CSV and the day it is of.

        Raises
        ------
        KiteError
            If there was none to be had.
        """
        ...

    def fetch_candles(
        self, instrument_token: int, interval: str, start: int, end: int, *, oi: bool = False
    ) -> np.ndarray:
        """CANDLE array from `start` to `end`, both inclusive, UTC ns; `oi` -1 when not asked for.

        Raises
        ------
        TapedeckError
            If there were none to be had.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What it is, for the health answer; no secrets."""
        ...

    def close(self) -> None:
        """End what was started for it."""
        ...


def open_exchange(settings: Settings, clock: Clock) -> Exchange:
    """The exchange the settings ask for.

    With a Kite key, or one that was meant and could not be read: Kite (or wherever its roots were pointed). Without
    one, or when asked to simulate: the simulator the roots point at, or one started as a child of this process.
    `clock` is market time.

    Raises
    ------
    SimulatorError
        If a simulator was wanted and could not be reached or started.
    """
    if settings.wants_kite:
        return KiteExchange(settings, clock)
    if not settings.own_exchange:
        child = SimChild(
            seed=settings.seed, start=settings.sim_start, speed=settings.sim_speed, redirect_url=settings.callback
        )
        return SimulatedExchange(child.address, child.ws_address, clock, child=child)
    exchange = SimulatedExchange(settings.kite_rest, settings.kite_ws, clock)
    if exchange.probe() is None:
        raise SimulatorError(
            f"TAPEDECK_KITE_REST was {settings.kite_rest!r} and no simulator answers there; "
            "start one with `tapedeck sim`, or unset it to let the desk start its own"
        )
    return exchange


class KiteExchange:
    """Kite, with the token of its account. Instrument files are kept, so that a bad morning has yesterday's."""

    source = "kite"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.ws_root = settings.kite_ws
        self.api_key = settings.api_key
        self._root = settings.kite_rest
        self._elsewhere = settings.own_exchange
        self._problem = settings.kite_problem
        self.quota = Quota(clock)
        self.account = KiteAccount(
            settings.api_key,
            settings.api_secret,
            rest_root=settings.kite_rest,
            login_root=settings.kite_login,
            tokens=TokenFile(settings.data / "token.json"),
            clock=clock,
            problem=settings.kite_problem,
            pace=self.quota,
            on_refused=self.quota.refused,
        )
        self._folder = settings.data / "instruments"
        self._rest = _rest(self.account, self.quota, settings.kite_rest)

    def credentials(self) -> Credentials | None:
        return self.account.credentials()

    def answered(self, status: int, fingerprint: str) -> None:
        _mark(self.account, status, fingerprint)

    def probe(self) -> dict[str, Any] | None:
        # Kite itself is never asked: only roots that were pointed elsewhere can be a simulator's.
        return fetch_clock(self._root) if self._elsewhere else None

    def fetch_instruments(self, day: date) -> tuple[bytes, date]:
        if self._problem:
            # Needs no token, but it would tell the key to an address that nobody meant.
            raise ConfigError(self._problem)
        try:
            data = self._rest.fetch_instruments()
        except KiteError:
            kept = self._newest_kept()
            if kept is None:
                raise
            log.warning("instruments of %s are used: today's could not be fetched", kept.stem)
            return kept.read_bytes(), date.fromisoformat(kept.stem)
        self._keep(day, data)
        return data, day

    def fetch_candles(
        self, instrument_token: int, interval: str, start: int, end: int, *, oi: bool = False
    ) -> np.ndarray:
        return self._rest.fetch_candles(instrument_token, interval, start, end, oi=oi)

    def describe(self) -> dict[str, Any]:
        return {"kind": "kite", "rest": self._root, "websocket": self.ws_root}

    def close(self) -> None:
        self.quota.close()
        self.account.close()
        self._rest.close()

    def _keep(self, day: date, data: bytes) -> None:
        # What another exchange lists is never kept as Kite's: a simulator's tokens are not real ones.
        if self._elsewhere:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f".{day.isoformat()}.part"
            part.write_bytes(data)
            part.replace(self._folder / f"{day.isoformat()}.csv")
            for old in self._kept()[:-KEPT_FILES]:
                old.unlink()
        except OSError as failed:
            # A full or read-only disk costs the fallback of a bad morning, not the desk.
            log.warning("instruments are not kept in %s: %s", self._folder, failed.strerror)

    def _kept(self) -> list[Path]:
        return sorted(self._folder.glob("????-??-??.csv"))

    def _newest_kept(self) -> Path | None:
        return None if self._elsewhere else next(reversed(self._kept()), None)


class SimulatedExchange:
    """A simulator at `root`, logged in to by itself; `child` is the process when this one started it, and ends it.

    What it refused it is not logged in to again by itself: that has to be seen, and the LOGIN button works here, too.
    """

    source = "sim"
    # A real key is never sent to a simulator: it is logged in to with the simulator's own.
    api_key = DEFAULT_API_KEY

    def __init__(self, root: str, ws_root: str, clock: Clock, *, child: SimChild | None = None) -> None:
        self.ws_root = ws_root
        self._root = root
        self._clock = clock
        self._child = child
        self.quota = Quota(clock)
        self.account = KiteAccount(
            self.api_key,
            DEFAULT_API_SECRET,
            rest_root=root,
            login_root=f"{root}/connect/login",
            tokens=None,
            clock=clock,
            pace=self.quota,
            on_refused=self.quota.refused,
        )
        self._rest = _rest(self.account, self.quota, root)

    def credentials(self) -> Credentials | None:
        found = self.account.credentials()
        # Once a day is enough: a simulator that was started again knows the tokens of the one before.
        if found is None and self.account.status.cause in ("not started", "no token yet", AT_SIX):
            self.account.update_token(Credentials(self.api_key, log_in(self._root), self._clock.now()))
            found = self.account.credentials()
        return found

    def answered(self, status: int, fingerprint: str) -> None:
        _mark(self.account, status, fingerprint)

    def probe(self) -> dict[str, Any] | None:
        return fetch_clock(self._root)

    def fetch_instruments(self, day: date) -> tuple[bytes, date]:
        return self._rest.fetch_instruments(), day

    def fetch_candles(
        self, instrument_token: int, interval: str, start: int, end: int, *, oi: bool = False
    ) -> np.ndarray:
        self.credentials()
        return self._rest.fetch_candles(instrument_token, interval, start, end, oi=oi)

    def describe(self) -> dict[str, Any]:
        about: dict[str, Any] = {"kind": "simulator", "rest": self._root, "websocket": self.ws_root}
        if self._child is not None:
            about |= {"pid": self._child.pid, "restarts": self._child.restarts}
        return about

    def close(self) -> None:
        self.quota.close()
        self.account.close()
        self._rest.close()
        if self._child is not None:
            self._child.close()


def _rest(account: KiteAccount, quota: Quota, root: str) -> KiteRest:
    """Kite's REST interface for this account, within its quota; how Kite answers is told to both."""

    def token() -> str | None:
        found = account.credentials()
        return found.access_token if found else None

    return KiteRest(
        account.api_key, token, root=root, pace=quota, on_refused=quota.refused, on_answer=_listener(account)
    )


def _listener(account: KiteAccount) -> Callable[[str, KiteError | None], None]:
    """Tells the account how Kite answered a request made with a token."""

    def heard(access_token: str, error: KiteError | None) -> None:
        fingerprint = Credentials(account.api_key, access_token).fingerprint
        if error is None:
            account.mark_api_success(fingerprint)
        else:
            account.mark_api_failure(error, fingerprint)

    return heard


def _mark(account: KiteAccount, status: int, fingerprint: str) -> None:
    if status == 101:
        account.mark_api_success(fingerprint)
    elif status == 403:
        account.mark_api_failure(LoginRequired("the websocket's handshake was answered 403"), fingerprint)


def fetch_clock(root: str, timeout: float = 3.0) -> dict[str, Any] | None:
    """The clock document of the simulator at `root`; None when nobody or somebody else answers there."""
    # No proxy: the simulator is on this machine or beside it.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(f"{root}/sim/clock", timeout=timeout) as answer:
            document = json.loads(answer.read(65_536))
    except (URLError, OSError, ValueError):
        return None
    return document if isinstance(document, dict) and "source" in document else None
