"""Where the desk may listen, and under which names it answers.

A desk on loopback is still asked by every web page that is open in the same browser (DNS rebinding, cross-site
requests). So every request, Bokeh's own included, must name a host the desk is served under, and a request that
carries an Origin must come from one of its pages.
"""

from __future__ import annotations

import errno
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from bokeh.server.util import bind_sockets
from tornado.httputil import HTTPServerRequest

from tapedeck.bearers import jwt_secret
from tapedeck.errors import ConfigError
from tapedeck.settings import Settings
from tapedeck.settings_values import in_address, is_loopback
from tapedeck.users import Users

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
#: Addresses that mean every one of this machine, which no browser names, and the one that programs here may use.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_USUAL_PORTS = {"http": 80, "https": 443}


def require_access(settings: Settings) -> str:
    """The host to listen on, without brackets, once it is certain that not everybody gets in there.

    Raises
    ------
    ConfigError
        If it is wider than loopback and the desk has no users, no secret of its own or no name to answer to;
        all that is missing in one message, each with its remedy.
    """
    host = settings.host.strip().removeprefix("[").removesuffix("]")
    if is_loopback(host):
        return host
    missing = []
    if not host:
        missing.append("TAPEDECK_HOST (or --host) was empty; allowed: an address of this machine, such as 127.0.0.1")
    if not Users(settings.data).names():
        missing.append(
            f"TAPEDECK_HOST (or --host) was {settings.host!r}, which others can reach, and {settings.data} has no "
            "users: add one with `tapedeck user add NAME`. Without users a desk listens on 127.0.0.1, ::1 or "
            "localhost; an SSH tunnel reaches it: ssh -L 5006:127.0.0.1:5006 this-machine"
        )
    try:
        jwt_secret(settings.jwt_secret, settings.data, loopback=False)
    except ConfigError as weak:
        missing.append(str(weak))
    if host in EVERYWHERE and not settings.frontend_url:
        missing.append(
            f"FRONTEND_URL was empty; a desk on {host} must know the address people open, such as "
            "FRONTEND_URL=https://desk.example: requests for any other host are refused"
        )
    if missing:
        raise ConfigError("\n".join(missing))
    return host


def find_port(host: str, port: int) -> int:
    """The port to listen on: `port` itself, or a free one for 0.

    Raises
    ------
    OSError, UnicodeError
        If it cannot be listened on; `why_not` has the words.
    """
    sockets, found = bind_sockets(host, port)
    for one in sockets:
        one.close()
    return found


def why_not(host: str, port: int, failed: OSError | UnicodeError) -> str:
    """Why `find_port` failed, by the setting that has to be changed."""
    why = getattr(failed, "strerror", None) or "no name of a host"
    if isinstance(failed, UnicodeError | socket.gaierror) or failed.errno == errno.EADDRNOTAVAIL:
        allowed = "allowed: 127.0.0.1, ::1, localhost or an address of this machine"
        return f"TAPEDECK_HOST (or --host) was {host!r}, which is no address of this machine ({why}); {allowed}"
    return f"port {port} of {host} cannot be opened ({why}); choose another: make serve PORT=5007"


class Refusal(NamedTuple):
    """Why a request is not answered: HTTP status and the reason in words."""

    status: int
    reason: str


class Gate:
    """The hosts and origins that may talk to the desk served on `port` of `host`, and at `frontend` if that is set."""

    def __init__(self, port: int, host: str = "127.0.0.1", frontend: str = "") -> None:
        names = {*LOOPBACK_NAMES, *([] if host in EVERYWHERE else [in_address(host)])}
        # A browser leaves the usual port out.
        hosts = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
        origins = {f"http://{one}" for one in hosts}
        parts = urlsplit(frontend)
        self.frontend_host = _netloc(frontend)
        #: Whether the address people open is encrypted: a cookie of it is then never sent in the clear.
        self.frontend_secure = parts.scheme == "https"
        if self.frontend_host:
            hosts.add(self.frontend_host)
            origins.add(f"{parts.scheme}://{self.frontend_host}")
        self.hosts = frozenset(hosts)
        self.origins = frozenset(origins)

    def refusal(self, request: HTTPServerRequest) -> Refusal | None:
        """Why the request is refused; None when it is welcome. 421: not our name; 403: not our page."""
        host = request.headers.get("Host", "").lower()
        if host not in self.hosts:
            return Refusal(421, f"Host was {host[:200]!r}; this desk answers to {', '.join(sorted(self.hosts))}")
        # A picture or a script of another site carries no Origin, but a browser says where it is from.
        if (
            request.headers.get("Sec-Fetch-Site") == "cross-site"
            and request.headers.get("Sec-Fetch-Mode") != "navigate"
        ):
            return Refusal(403, "only pages of this desk may ask; open it in a tab of its own")
        origin = request.headers.get("Origin", request.headers.get("Sec-Websocket-Origin"))
        if origin is not None and origin.lower() not in self.origins:
            return Refusal(403, f"Origin was {origin[:200]!r}; only pages of this desk may ask")
        return None

    def allowed(self, request: HTTPServerRequest) -> bool:
        """Whether the request is welcome."""
        return self.refusal(request) is None

    def secure(self, request: HTTPServerRequest) -> bool:
        """Whether the browser that asks is on an encrypted connection, to this server or to the proxy before it."""
        at_proxy = self.frontend_secure and request.headers.get("Host", "").lower() == self.frontend_host
        return request.protocol == "https" or at_proxy


def _netloc(address: str) -> str:
    """Host and port of an address as a browser names them: lower case, the usual port left out."""
    parts = urlsplit(address)
    if not parts.hostname:
        return ""
    usual = parts.port is None or parts.port == _USUAL_PORTS.get(parts.scheme)
    return in_address(parts.hostname) + ("" if usual else f":{parts.port}")
