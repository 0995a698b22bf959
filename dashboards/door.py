"""The door of a desk: the one place that knows who asks, whether by cookie or by bearer, and lets them out again.

State: the mode of this run, the users, tokens and logins, the two random secrets of this run, and by what opened
them the websockets that are open, so that they end with it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import threading
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketHandler

from tapedeck.bearers import Bearers, desk_secret
from tapedeck.clock import Clock, SystemClock
from tapedeck.errors import AccessRefused, ConfigError
from tapedeck.settings import Settings
from tapedeck.settings_values import is_loopback
from tapedeck.users import OPERATOR, Principal, Users

from .access import Gate
from .lockout import Lockout
from .logins import Login, Logins

log = logging.getLogger("tapedeck.access")

TOKEN, PASSWORD = "token", "password"
#: The single user of a desk without users.
LOCAL = "local"
LOGGED_OUT = 4401
SWEEP_S = 1.0
#: Passwords checked at a time, 32 MB each, and how many may wait for it.
CHECKS, MAX_WAITING = 2, 16


class Busy(RuntimeError):
    """Too many passwords are being checked."""


class TryLater(RuntimeError):
    """Too many wrong passwords: `seconds` to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong tries; try again in {seconds:.0f} s")
        self.seconds = seconds


class Door:
    """Who may enter the desk served on `port`. `clock` is the machine's: market time may be a simulator's."""

    def __init__(self, settings: Settings, *, port: int, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.gate = Gate(port, settings.host, settings.frontend_url)
        self.users = Users(settings.data)
        self.mode = PASSWORD if self.users.names() else TOKEN
        secret = desk_secret(settings.jwt_secret, settings.data, loopback=is_loopback(settings.host))
        self.bearers = Bearers(secret, settings.data, self._clock)
        self.logins = Logins(settings.data, port, self._clock, self._current)
        self.lockout = Lockout()
        #: In the printed address, when there are no users.
        self.token = secrets.token_urlsafe(32) if self.mode == TOKEN else ""
        #: For the other processes of this machine's user, in the address file beside the feed's lock.
        self.bearer = secrets.token_urlsafe(32)
        #: Signs the tokens in pages. The same after a restart, so that a page that was open goes on.
        self.page_key = hmac.digest(secret.encode(), b"page tokens", "sha256").hex()
        self.cookie = f"tapedeck-session-{port}"
        self._open: dict[str, set[WebSocketHandler]] = {}
        self._checking = asyncio.Semaphore(CHECKS)
        self._waiting = 0
        self._ending = threading.Event()
        self._sweeper: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Door: {self.mode}, {len(self.logins)} logins>"

    # -- who asks --------------------------------------------------------------------------------------------------

    def find(self, request: HTTPServerRequest) -> Principal | None:
        """Who asks; None when nobody said. An Authorization decides alone: a wrong one is not made good by a cookie.

        Raises
        ------
        AccessRefused
            If a bearer was shown that is not taken.
        """
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(given.strip())
        morsel = request.cookies.get(self.cookie)
        return self.logins.find(morsel.value) if morsel is not None and morsel.value else None

    def _bearer(self, given: str) -> Principal:
        if self.is_token(given) or same(given, self.bearer):
            return Principal(LOCAL, OPERATOR, key="run", bearer=True)
        return self.bearers.verify(given)

    def is_token(self, given: str) -> bool:
        """Whether it is the token of the printed address; never when people log in with passwords."""
        return bool(self.token) and same(given, self.token)

    def valid(self, key: str) -> bool:
        """Whether what opened something (`Principal.key`) still opens it."""
        kind = key.partition(":")[0]
        if kind == "login":
            return self.logins.valid(key)
        return key == "run" or (kind == "token" and self.bearers.valid(key))

    def _current(self, login: Login) -> bool:
        if self.mode == TOKEN:
            return login.user == LOCAL and login.fingerprint == TOKEN
        return bool(login.fingerprint) and self.users.fingerprint(login.user) == login.fingerprint

    # -- in and out ------------------------------------------------------------------------------------------------

    async def log_in(self, user: str, password: str, address: str) -> str:
        """The number for the cookie of a user whose password was right.

        Raises
        ------
        AccessRefused
            If user or password were wrong; which of them is not said.
        TryLater
            If it was wrong too often.
        Busy
            If too many are being checked.
        """
        user = user.casefold()
        who = (user[:64], address)
        if self._waiting >= MAX_WAITING:
            raise Busy("too many are logging in; try again in a few seconds")
        self._count(who)
        self._waiting += 1
        try:
            async with self._checking:
                right = await asyncio.to_thread(self.users.verify, user, password)
        finally:
            self._waiting -= 1
        if not right or self.mode != PASSWORD:
            # A name nobody has is not written down: it may be a password, typed into the wrong field.
            shown = user if self.users.role(user) else "an unknown user"
            log.warning("a login as %s from %s was refused", shown, address)
            raise AccessRefused("user or password were wrong")
        self.lockout.forget(who)
        log.info("%s logged in from %s", user, address)
        return self.logins.begin(user, self.users.role(user), self.users.fingerprint(user))

    def enter(self, token: str, address: str) -> str:
        """The number for the cookie of whoever has the token of the printed address.

        Raises
        ------
        AccessRefused
            If it is not that token.
        TryLater
            If it was wrong too often.
        """
        who = ("", address)
        if self.is_token(token):
            self.lockout.forget(who)
            return self.logins.begin(LOCAL, OPERATOR, TOKEN)
        self._count(who)
        raise AccessRefused("that is not the token this desk printed when it started")

    def _count(self, who: tuple[str, str]) -> None:
        waiting = self.lockout.begin(who, self._clock.monotonic())
        if waiting:
            raise TryLater(waiting)

    def log_out(self, key: str) -> None:
        """End a login and everything that is open under it. On the server's loop."""
        self.logins.end(key)
        self._close(key)

    # -- websockets --------------------------------------------------------------------------------------------------

    def opened(self, handler: WebSocketHandler, principal: Principal) -> bool:
        """Remember an open websocket; False when what opened it has ended meanwhile."""
        if not self.valid(principal.key):
            return False
        self._open.setdefault(principal.key, set()).add(handler)
        return True

    def closed(self, handler: WebSocketHandler, principal: Principal) -> None:
        """Forget a websocket."""
        handlers = self._open.get(principal.key, set())
        handlers.discard(handler)
        if not handlers:
            self._open.pop(principal.key, None)

    @property
    def open_sockets(self) -> int:
        """Number of websockets that are open."""
        return sum(len(handlers) for handlers in self._open.values())

    def _close(self, key: str) -> None:
        for handler in list(self._open.get(key, ())):
            handler.close(LOGGED_OUT, "logged out")

    def _close_ended(self) -> None:
        for key in list(self._open):
            if not self.valid(key):
                self._close(key)
            elif key.startswith("login:"):
                self.logins.touch(key)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self, loop: IOLoop) -> None:
        """Begin to look every second whether a user, a token or a login has ended; on a thread: it asks the disk."""
        self._sweeper = threading.Thread(target=self._sweep, args=(loop,), name="tapedeck-door", daemon=True)
        self._sweeper.start()

    def close(self) -> None:
        """Stop looking, and write down who is logged in. May be called twice."""
        self._ending.set()
        if self._sweeper is not None:
            self._sweeper.join(10)
            self._sweeper = None
            self.logins.save()

    def _sweep(self, loop: Any) -> None:
        while not self._ending.wait(SWEEP_S):
            try:
                self.users.load()
                self.bearers.refresh()
                self.logins.expire()
                self.logins.save()
                loop.add_callback(self._close_ended)
            except ConfigError as wrong:
                log.error("%s", wrong)
            except Exception:  # the sweeper must outlive whatever went wrong once
                log.exception("the door's sweeper met an error and goes on")


def same(given: str, secret: str) -> bool:
    """Whether the two are equal, in a time that does not say how far."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
