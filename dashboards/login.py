"""The ways in and out of the desk: `/login`, `/logout`, and who one is. `/api/auth/*` is about Kite, not about this."""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from tornado.web import RequestHandler

from tapedeck.errors import AccessRefused
from tapedeck.users import VIEWER

from .answers import Answer
from .door import PASSWORD, Busy, TryLater
from .guard import LOGIN, Guarded, give_cookie
from .login_page import FONT_FILE, FONT_PATH, POLICY, account_page, password_page, token_page

LOGOUT = "/logout"
#: A way back is a path of this desk: no other host, no character that a browser reads as another one.
_LOCAL_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
MAX_NEXT = 2000


class LoginPage(RequestHandler):
    """GET shows the form, or who is logged in; POST logs in and goes on to `next`."""

    PUBLIC = True

    def prepare(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", POLICY)

    def get(self) -> None:
        principal = _guarded(self).principal
        if principal is None:
            wrong = self.get_query_argument("old", "")
            self._form(200, "That is not the token of this start of the desk." if wrong else "")
        elif self.get_query_argument("next", ""):
            self.redirect(self._next(), status=303)
        else:
            self.finish(account_page(xsrf=self._xsrf(), user=principal.user, role=principal.role))

    async def post(self) -> None:
        door = _guarded(self).door
        address = self.request.remote_ip or ""
        try:
            if door.mode == PASSWORD:
                given = [self.get_body_argument(name, "", strip=False) for name in ("user", "password")]
                number = await door.log_in(given[0].strip(), given[1], address)
            else:
                number = door.enter(pasted(self.get_body_argument("token", "")), address)
        except AccessRefused as refused:
            return self._form(401, f"{str(refused)[:1].upper()}{str(refused)[1:]}.")
        except TryLater as later:
            self.set_header("Retry-After", str(int(later.seconds) + 1))
            return self._form(429, f"T{str(later)[1:]}.")
        except Busy as busy:
            self.set_header("Retry-After", "5")
            return self._form(503, f"T{str(busy)[1:]}.")
        principal = _guarded(self).principal
        if principal is not None:
            door.log_out(principal.key)  # another number for another login
        await give_cookie(self, door, number)
        return self.redirect(self._next(), status=303)

    def _form(self, status: int, problem: str) -> None:
        self.set_status(status)
        if _guarded(self).door.mode == PASSWORD:
            user = self.get_body_argument("user", "")[:64]
            self.finish(password_page(xsrf=self._xsrf(), next_path=self._next(), user=user, problem=problem))
        else:
            self.finish(token_page(xsrf=self._xsrf(), next_path=self._next(), problem=problem))

    def _next(self) -> str:
        return local_path(self.get_argument("next", "/", strip=False))

    def _xsrf(self) -> str:
        return self.xsrf_form_html()


class Logout(RequestHandler):
    """POST ends the login here and on the server, and closes what is open under it. There is no GET."""

    PUBLIC = True
    ROLE = VIEWER

    async def post(self) -> None:
        guarded = _guarded(self)
        if guarded.principal is not None and not guarded.principal.bearer:
            guarded.door.log_out(guarded.principal.key)
            await asyncio.to_thread(guarded.door.logins.save, at_once=True)
        self.clear_cookie(guarded.door.cookie, path="/")
        self.set_header("Cache-Control", "no-store")
        self.redirect(LOGIN, status=303)


class Typeface(RequestHandler):
    """The typeface of the login page."""

    PUBLIC = True

    async def get(self) -> None:
        self.set_header("Content-Type", "font/woff2")
        self.set_header("Cache-Control", "public, max-age=86400")
        self.finish(await asyncio.to_thread(FONT_FILE.read_bytes))


class WhoAmI(Answer):
    """`/api/access/me`: user and role of whoever asks, and how people log in to this desk."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        guarded = _guarded(self)
        principal = guarded.principal
        assert principal is not None, "the guard lets nobody else in"
        return 200, {"user": principal.user, "role": principal.role, "mode": guarded.door.mode}


#: For a server's `extra_patterns`.
ROUTES: tuple[tuple[str, Any, dict[str, Any]], ...] = (
    (LOGIN, LoginPage, {}),
    (LOGOUT, Logout, {}),
    (FONT_PATH, Typeface, {}),
)


def local_path(wanted: str) -> str:
    """`wanted` when it is a path of this desk that may be gone to after a login, else `/`."""
    if len(wanted) > MAX_NEXT or not _LOCAL_PATH.fullmatch(wanted):
        return "/"
    return "/" if urlsplit(wanted).path.rstrip("/") in (LOGIN, LOGOUT) else wanted


def pasted(text: str) -> str:
    """The token of what was pasted: the token itself, or the printed address or line with it."""
    address = text.strip().rpartition(" ")[2]
    return parse_qs(urlsplit(address).query).get("token", [address])[0] if "?" in address else address


def _guarded(handler: RequestHandler) -> Guarded:
    """The handler as what it is once it is served."""
    return cast(Guarded, handler)
