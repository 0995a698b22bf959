"""Opening Kite's websocket: one verified request, and a reason without secrets when it fails."""

from __future__ import annotations

import logging
import socket
import ssl
from urllib.parse import quote, urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidStatus

from tapedeck.errors import ConfigError
from tapedeck.feed import ConnectFailed

from .login import Credentials

#: A frame of 3000 full packets has 558 kB; more than this is not market data.
MAX_FRAME = 4 << 20
#: Frames read ahead of the sink; beyond it the kernel, and then the sender, has to wait.
MAX_QUEUE = 16

USER_AGENT = "Tapedeck/0.1"


class _Connect(connect):
    """One attempt is one request: a redirect would carry the token to another address."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def check_root(root: str) -> str:
    """The websocket's address without a trailing slash.

    Raises
    ------
    ConfigError
        If it was not `ws://HOST` or `wss://HOST`; what followed the host is not repeated, it may be a token.
    """
    parts = urlsplit(root)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.query or parts.username:
        raise ConfigError(
            f"the feed's address was {parts.scheme or '(no scheme)'}://{parts.hostname or ''}...; "
            "allowed: wss://HOST[:PORT], ws://HOST[:PORT], without a query (TAPEDECK_KITE_WS)"
        )
    return root.rstrip("/")


def quiet_logger() -> logging.Logger:
    """A logger that says nothing: the library writes the request line, and the token is in it."""
    logger = logging.Logger("tapedeck.kite.wire")
    logger.disabled = True
    return logger


async def open_line(
    root: str, credentials: Credentials, *, tls: ssl.SSLContext | None, close_timeout: float
) -> ClientConnection:
    """An open connection. It never times out by itself: the state machine does, and cancels."""
    query = urlencode({"api_key": credentials.api_key, "access_token": credentials.access_token}, quote_via=quote)
    return await _Connect(
        f"{root}/?{query}",
        ssl=tls,
        proxy=None,
        compression=None,
        additional_headers={"X-Kite-Version": "3"},
        user_agent_header=USER_AGENT,
        open_timeout=None,
        ping_interval=None,  # liveness is judged by frames, Kite's heartbeat among them
        close_timeout=close_timeout,
        max_size=MAX_FRAME,
        max_queue=MAX_QUEUE,
        logger=quiet_logger(),
    )


def response_headers(connection: ClientConnection) -> Headers:
    """Headers of the handshake's answer; names in any case, repeated ones joined by a comma."""
    answer = Headers()
    if connection.response is not None:
        for name in dict.fromkeys(name.lower() for name in connection.response.headers):
            answer[name] = ", ".join(connection.response.headers.get_all(name))
    return answer


def failure(exc: Exception, token: str) -> ConnectFailed:
    """Why the attempt failed. The text of `exc` is never used: the library's may hold the address."""
    if isinstance(exc, InvalidStatus):
        return ConnectFailed(
            status=exc.response.status_code, token=token, retry_after=_seconds(exc.response.headers.get("Retry-After"))
        )
    if isinstance(exc, ssl.SSLCertVerificationError):
        return ConnectFailed(error=f"the server's certificate is not trusted: {exc.verify_message}", token=token)
    if isinstance(exc, ssl.SSLError):
        return ConnectFailed(error="TLS failed", token=token)
    if isinstance(exc, socket.gaierror):
        return ConnectFailed(error="the server's name cannot be resolved", token=token)
    if isinstance(exc, ConnectionRefusedError):
        return ConnectFailed(error="connection refused", token=token)
    if isinstance(exc, OSError):
        return ConnectFailed(error=f"connection failed: {exc.strerror or type(exc).__name__}", token=token)
    if isinstance(exc, InvalidHandshake):
        return ConnectFailed(error="the answer was not a websocket handshake", token=token)
    return ConnectFailed(error=f"connection failed: {type(exc).__name__}", token=token)


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isascii() and text.isdigit() else 0.0


def scrub(text: str, credentials: Credentials) -> str:
    """`text` without the token, plain or encoded: a server may echo what it was sent."""
    for secret in (credentials.access_token, quote(credentials.access_token, safe="")):
        if secret:
            text = text.replace(secret, "***")
    return text
