"""Default deny: every handler of the server, Bokeh's own included, asks the door before it does anything.

Panel's own access control checks a page, but neither its autoload script nor its websocket, and nothing at all on
plain handlers (Panel 1.9, Bokeh 3.9). So not the handlers are trusted: each is replaced by a subclass whose `prepare`
comes first. What cannot be replaced is not served.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from typing import Any, cast
from urllib.parse import urlencode

from bokeh.server.auth_provider import AuthProvider
from bokeh.server.views.ico_handler import IcoHandler
from bokeh.server.views.session_handler import SessionHandler
from panel.io.server import ComponentResourceHandler
from tornado.httputil import url_concat
from tornado.routing import Rule, RuleRouter
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from tapedeck.errors import AccessRefused
from tapedeck.users import OPERATOR, VIEWER, Principal

from .components import Components
from .door import LOGGED_OUT, Door

log = logging.getLogger("tapedeck.access")
requests = logging.getLogger("tornado.access")

LOGIN = "/login"
XSRF_COOKIE = "tapedeck-xsrf"
#: Of others' handlers, those that answer anybody. Our own say so themselves (`PUBLIC`).
PUBLIC: frozenset[type[RequestHandler]] = frozenset({IcoHandler})
#: Handlers of others that are not served as they are.
INSTEAD: dict[type[RequestHandler], type[RequestHandler]] = {ComponentResourceHandler: Components}
#: May be asked without changing anything.
READING = frozenset({"GET", "HEAD"})
#: No Cross-Origin-Opener-Policy: the page would lose sight of the window in which one logs in to Kite.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guarded(RequestHandler):
    """What every handler of the server is besides what it was. `ROLE` of the handler below: who may use it."""

    door: Door
    public: bool
    principal: Principal | None = None

    def set_default_headers(self) -> None:
        super().set_default_headers()
        for name, value in HEADERS.items():
            self.set_header(name, value)
        # Bokeh's autoload script offers itself to every origin.
        for name in list(dict(self._headers.get_all())):
            if name.startswith("Access-Control-"):
                self.clear_header(name)
        if isinstance(self, SessionHandler):
            self.set_header("Cache-Control", "no-store")

    def check_xsrf_cookie(self) -> None:
        """Nothing yet: `prepare` checks, once it is known who asks."""

    async def prepare(self) -> None:
        if refusal := self.door.gate.refusal(self.request):
            return self.refuse(refusal.status, refusal.reason)
        if self.request.method == "OPTIONS":
            return self.refuse(405, "pages of other origins are not answered, so there is nothing to agree on first")
        if isinstance(self, SessionHandler) and "token" in self.request.query_arguments:
            return await self._enter()
        try:
            self.principal = self.door.find(self.request)
        except AccessRefused as refused:
            return self.refuse(401, str(refused))
        if not self.public:
            if self.principal is None:
                return self._ask_to_log_in()
            if not self.principal.may(needed(self)):
                return self.refuse(403, f"view only: {self.principal.user} is a viewer; this is for operators")
        if self.principal is not None:
            self.current_user = self.principal.user
        if not self._is_own_form():
            return self.refuse(403, "the request did not come from a page of this desk (XSRF); reload the page")
        prepared = cast(Any, super().prepare())
        if inspect.isawaitable(prepared):
            await prepared
        if isinstance(self, SessionHandler) and self.request.method == "GET" and not self._finished:
            _ = self.xsrf_token  # puts its cookie beside the page: the page needs it to save
        return None

    def refuse(self, status: int, reason: str) -> None:
        """Finish with the status and the reason as JSON."""
        names = {401: "not_logged_in", 403: "forbidden", 421: "misdirected"}
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        if getattr(self, "_stream_request_body", False):
            # Its body is not waited for: Tornado closes the connection, and the client should know.
            self.set_header("Connection", "close")
        if status == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="tapedeck"')
        self.finish(json.dumps({"error": names.get(status, "refused"), "reason": reason}))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """An error that the handler itself left unanswered, as JSON like all others."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps({"error": self._reason.lower().replace(" ", "_"), "reason": self._reason}))

    def _ask_to_log_in(self) -> None:
        if not wants_page(self):
            return self.refuse(401, "not logged in: open the desk's address, or send Authorization: Bearer TOKEN")
        self.set_header("Cache-Control", "no-store")
        return self.redirect(f"{LOGIN}?{urlencode({'next': self.request.uri or '/'})}", status=303)

    async def _enter(self) -> None:
        """The printed address was opened: give the browser its cookie, and take the token out of the address."""
        arguments = [
            (name, value.decode("utf-8", "replace"))
            for name, values in self.request.query_arguments.items()
            for value in values
            if name != "token"
        ]
        here = url_concat(self.request.path, arguments)
        self.set_header("Cache-Control", "no-store")
        given = self.request.query_arguments["token"][-1].decode("utf-8", "replace")
        if self.door.is_token(given):
            await give_cookie(self, self.door, self.door.enter(given, self.request.remote_ip or ""))
            return self.redirect(here, status=303)
        try:
            known = self.door.find(self.request)
        except AccessRefused:
            known = None
        if known is not None:
            return self.redirect(here, status=303)
        return self.redirect(f"{LOGIN}?{urlencode({'next': here, 'old': '1'})}", status=303)

    def _is_own_form(self) -> bool:
        """Whether the request may change something: a browser adds its cookies whoever made it ask."""
        if self.request.method in READING or (self.principal is not None and self.principal.bearer):
            return True
        try:
            RequestHandler.check_xsrf_cookie(self)
        except HTTPError:
            return False
        return True


class GuardedSocket(Guarded, WebSocketHandler):
    """A websocket that ends with the login or the token that opened it."""

    def open(self, *args: str, **kwargs: str) -> Any:
        if self.principal is None or not self.door.opened(self, self.principal):
            return self.close(LOGGED_OUT, "logged out")
        try:
            return super().open(*args, **kwargs)
        except BaseException:
            # Tornado does not call `on_close` for one that could not be opened, such as with a forged page token.
            self.door.closed(self, self.principal)
            raise

    def on_close(self) -> None:
        if self.principal is not None:
            self.door.closed(self, self.principal)
        super().on_close()


class Nothing(RequestHandler):
    """404 for every path that no rule knows."""

    def prepare(self) -> None:
        self.set_status(404)
        self.finish({"error": "not_found", "reason": f"nothing at {self.request.path[:200]}"})


class DeskAuth(AuthProvider):
    """A second lock on Bokeh's own handlers: one that was not guarded has no user, and asks for a login."""

    @property
    def get_user(self) -> Any:
        return lambda handler: getattr(getattr(handler, "principal", None), "user", None)

    @property
    def login_url(self) -> str:
        return LOGIN


def guard(application: Application, door: Door) -> None:
    """Put every handler of the application behind the door, also those of rules within rules.

    Raises
    ------
    TypeError
        If a rule leads to something that cannot be guarded.
    """
    settings = application.settings
    settings["xsrf_cookie_name"] = XSRF_COOKIE
    settings["xsrf_cookie_kwargs"] = {"samesite": "Lax", "expires_days": 30, "secure": door.gate.frontend_secure}
    settings["log_function"] = log_request
    settings["default_handler_class"] = guarded(Nothing, door)
    for rule in rules_of(application.default_router):
        rule.target = guarded(rule.target, door)


def rules_of(router: RuleRouter) -> list[Rule]:
    """The rules that lead to a handler, in order, those of rules within rules included."""
    found: list[Rule] = []
    for rule in router.rules:
        found += rules_of(rule.target) if isinstance(rule.target, RuleRouter) else [rule]
    return found


def guarded(handler: Any, door: Door) -> type[Guarded]:
    """A handler class that asks the door first; one that does already comes back as it is."""
    if not (isinstance(handler, type) and issubclass(handler, RequestHandler)):
        raise TypeError(f"{handler!r} is no handler class; it cannot be put behind the door")
    if issubclass(handler, Guarded):
        return handler
    served = INSTEAD.get(handler, handler)
    first = GuardedSocket if issubclass(served, WebSocketHandler) else Guarded
    public = served in PUBLIC or bool(getattr(served, "PUBLIC", False))
    words = {"door": door, "public": public, "__module__": served.__module__, "__doc__": served.__doc__}
    # Of the class's own kind: an abstract one is made by another metaclass.
    make: Any = type(served)
    return make(f"Guarded{served.__name__}", (first, served), words)


def needed(handler: RequestHandler) -> str:
    """The role a request needs: the handler's `ROLE`, else a viewer's to read and an operator's for all else."""
    return getattr(handler, "ROLE", "") or (VIEWER if handler.request.method in READING else OPERATOR)


def wants_page(handler: RequestHandler) -> bool:
    """Whether a person waits for a page, who can be shown the login instead."""
    request = handler.request
    if request.method != "GET" or isinstance(handler, WebSocketHandler) or request.path.startswith("/api/"):
        return False
    navigates = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    return navigates and "text/html" in request.headers.get("Accept", "")


async def give_cookie(handler: RequestHandler, door: Door, number: str) -> None:
    """Log the browser in: the number goes into its cookie, and what is kept of it to the disk."""
    await asyncio.to_thread(door.logins.save, at_once=True)
    secure = door.gate.secure(handler.request)
    handler.set_cookie(door.cookie, number, expires_days=7, httponly=True, samesite="Lax", secure=secure, path="/")


def log_request(handler: RequestHandler) -> None:
    """What Tornado logs of a request, without the query of its address: that may hold a token."""
    status, request = handler.get_status(), handler.request
    # A page that was left open asks on after its login has ended: that is no reason to warn every few seconds.
    level = logging.INFO if status < 400 or status == 401 else logging.WARNING if status < 500 else logging.ERROR
    took_ms = 1000.0 * request.request_time()
    requests.log(level, "%d %s %s (%s) %.2fms", status, request.method, request.path, request.remote_ip, took_ms)
