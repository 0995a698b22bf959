"""Who may look: only this machine, and only pages this desk served itself.

Until the desk has accounts it listens on loopback. That alone does not keep a web page in the same browser out
(DNS rebinding, cross-site requests), so every request, Bokeh's own included, must name a host the desk is served
under, and a request that carries an Origin must come from one of them.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from bokeh.server.util import bind_sockets
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.web import Application, RequestHandler

from tapedeck.errors import ConfigError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def require_loopback(host: str) -> str:
    """`host` again, without brackets, when it is a loopback address.

    Raises
    ------
    ConfigError
        If it was anything wider: without access control that would show the desk to the network.
    """
    host = host.removeprefix("[").removesuffix("]")
    if host == "localhost":
        return host
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(
            f"TAPEDECK_HOST (or --host) was {host!r}; allowed: 127.0.0.1, ::1 or localhost. "
            "A desk without access control is not shown to the network; reach it through an SSH tunnel instead: "
            "ssh -L 5006:127.0.0.1:5006 this-machine"
        )
    return host


def find_port(host: str, port: int) -> int:
    """The port to listen on: `port` itself, or a free one for 0.

    Raises
    ------
    OSError
        If it cannot be listened on.
    """
    sockets, found = bind_sockets(host, port)
    for one in sockets:
        one.close()
    return found


def in_address(host: str) -> str:
    """`host` as an address has it: an IPv6 one in brackets."""
    return f"[{host}]" if ":" in host else host


class Gate:
    """The hosts and origins that may talk to the desk served on `port` of `host`."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        names = {*LOOPBACK_NAMES, in_address(host)}
        # A browser leaves the usual port out.
        self.hosts = frozenset({f"{name}:{port}" for name in names} | (names if port == 80 else set()))

    def refusal(self, request: HTTPServerRequest) -> str:
        """Why the request is refused, in words; empty when it is welcome."""
        host = request.headers.get("Host", "").lower()
        if host not in self.hosts:
            return f"Host was {host!r}; this desk answers to {', '.join(sorted(self.hosts))}"
        # A picture or a script of another site carries no Origin, but a browser says where it is from.
        if (
            request.headers.get("Sec-Fetch-Site") == "cross-site"
            and request.headers.get("Sec-Fetch-Mode") != "navigate"
        ):
            return "only pages of this desk may ask; open it in a tab of its own"
        origin = request.headers.get("Origin") or request.headers.get("Sec-Websocket-Origin")
        if origin is not None:
            parts = urlsplit(origin)
            if parts.scheme not in {"http", "https"} or parts.netloc.lower() not in self.hosts:
                return f"Origin was {origin!r}; only pages of this desk may ask"
        return ""

    def allowed(self, request: HTTPServerRequest) -> bool:
        """Whether the request is welcome."""
        return not self.refusal(request)

    def guard(self, application: Application) -> None:
        """Put the check before every rule of the application, Bokeh's routes and websockets included."""
        rule = Rule(_Refused(self), RefusedHandler, {"gate": self})
        application.default_router.rules.insert(0, rule)


class _Refused(Matcher):
    """Matches the requests the gate refuses."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def match(self, request: HTTPServerRequest) -> dict | None:
        return {} if self.gate.refusal(request) else None


class RefusedHandler(RequestHandler):
    """403 with the reason."""

    def initialize(self, gate: Gate) -> None:
        self.gate = gate

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Cache-Control", "no-store")
        self.finish({"error": "forbidden", "reason": self.gate.refusal(self.request)})
