"""The routes of the login to Kite, `/api/auth/*`. People enter and leave the desk itself by `/login` and `/logout`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tapedeck.auth import AuthStatus
from tapedeck.clock import to_ist
from tapedeck.errors import ConfigError, InputRefused, KiteError, RateLimited, TapedeckError
from tapedeck.kite.login import REQUEST_TOKEN, parse_request_token
from tapedeck.users import OPERATOR

from .answers import Answer, BadRequest, Deed, Json
from .kite_login import Journeys, outcome_page

if TYPE_CHECKING:
    from tapedeck.desk import Desk
    from tapedeck.kite.account import KiteAccount

    from .guard import Guarded

log = logging.getLogger("tapedeck.server")


class Validate(Answer):
    """`GET /api/auth/validate`: how the login to Kite stands; never the token."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, described(self.desk)


class _Travels(Json):
    """A route of the journey to Kite and back; both must know the same journeys."""

    def initialize(self, desk: Desk, journeys: Journeys) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().initialize(desk)
        self._journeys = journeys


class Login(_Travels, Deed):  # pyright: ignore[reportIncompatibleMethodOverride]
    """`POST /api/auth/login`: where to send the browser. The way back is open to this very login of the desk, once."""

    ROLE = OPERATOR

    async def answer(self) -> tuple[int, dict[str, Any]]:
        account = self.desk.exchange.account
        try:
            account.login_url()  # asked before a journey begins that could not end
            state = self._journeys.begin(_login_of(self))
            return 200, {"login_url": account.login_url({"state": state})}
        except ConfigError as wrong:
            return 409, {"error": "not_configured", "reason": str(wrong)}


class Outcome(NamedTuple):
    """How a way back from Kite ended: `problem` is empty when the desk is logged in.

    `request_token` is one that a terminal may wait for, empty in all other cases.
    """

    status: int
    problem: str = ""
    request_token: str = ""


class Callback(_Travels):
    """`GET /api/auth/callback`: Kite sends the browser here with a request token. Answers a page that closes itself.

    Parameters it does not know are ignored: Kite adds `action` and `type`, which are in no document of theirs.
    """

    ROLE = OPERATOR

    async def get(self) -> None:
        try:
            ended = await self._finish()
        except BadRequest as wrong:
            ended = Outcome(400, str(wrong))
        self.set_status(ended.status)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Referrer-Policy", "no-referrer")
        # The window was opened by a page of the desk and has been at Kite: it must still be able to close itself.
        self.set_header("Cross-Origin-Opener-Policy", "unsafe-none")
        page, policy = outcome_page(ended.problem, request_token=ended.request_token)
        self.set_header("Content-Security-Policy", policy)
        await self.finish(page)

    async def _finish(self) -> Outcome:
        state, status = self._text("state") or "", self._text("status") or ""
        refused = self._journeys.end(state, _login_of(self))
        if refused:
            log.warning("a way back from Kite's login was refused: %s", refused)
            return Outcome(403, refused, "" if state or status != "success" else self._for_a_terminal())
        if status != "success":
            ended = f"Kite ended the login with status {status[:20]!r}"
            await asyncio.to_thread(self.desk.exchange.account.login_ended, ended)
            return Outcome(200, f"{ended}. Nothing has changed; log in again.")
        try:
            token = parse_request_token(self._text("request_token") or "")
            await asyncio.to_thread(self.desk.exchange.account.exchange, token)
        except (InputRefused, ConfigError) as wrong:
            return Outcome(400, str(wrong))
        except RateLimited as wrong:
            return Outcome(429, str(wrong))
        except KiteError as wrong:
            return Outcome(502, str(wrong))
        return Outcome(200)

    def _for_a_terminal(self) -> str:
        """The request token of `tapedeck login`, whose way back has no state; empty when there is none."""
        token = self._text("request_token") or ""
        return token if REQUEST_TOKEN.fullmatch(token) else ""


class Logout(Deed):
    """`POST /api/auth/logout`: give the day's token up here, on disk and at Kite."""

    ROLE = OPERATOR

    async def answer(self) -> tuple[int, dict[str, Any]]:
        try:
            await asyncio.to_thread(self.desk.exchange.account.logout)
        except TapedeckError as wrong:
            return 409, {"error": "busy", "reason": str(wrong)}
        return 200, described(self.desk)


def routes(desk: Desk, journeys: Journeys) -> list[tuple[str, Any, dict[str, Any]]]:
    """The Tornado patterns of the login to Kite, but for the question how it stands."""
    both = {"desk": desk, "journeys": journeys}
    return [
        ("/api/auth/login", Login, both),
        ("/api/auth/callback", Callback, both),
        ("/api/auth/logout", Logout, {"desk": desk}),
    ]


def described(desk: Desk) -> dict[str, Any]:
    """How the login stands, as plain values; times in India, null when there is none."""
    account: KiteAccount = desk.exchange.account
    status: AuthStatus = account.status
    return {
        "state": status.state,
        "cause": status.cause,
        "since": _at(status.since),
        "user_id": status.user_id or None,
        "expires_at": _at(status.expires_at),
        "last_success": _at(status.last_success),
        "failures": status.failures,
        "last_failure": status.last_failure or None,
        "simulated": desk.simulated,
    }


def _at(ns: int) -> str | None:
    return to_ist(ns).isoformat() if ns else None


def _login_of(handler: Json) -> str:
    """What opened the desk to whoever asks: their browser's login, or a bearer."""
    principal = cast("Guarded", handler).principal
    assert principal is not None, "the guard lets nobody else in"
    return principal.key
