"""Kite's login: the address to log in at, the exchange of the request token, and the token file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kiteconnect import KiteConnect

from tapedeck.clock import IST, to_ns
from tapedeck.errors import BadAnswer, InputRefused, LoginRequired

from .private import read_private, write_private
from .rest import map_error

#: Where people log in, unless a simulated exchange stands in for Kite.
LOGIN_ROOT = "https://kite.zerodha.com/connect/login"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens Kite for one day. `issued_at` is UTC ns, 0 when unknown; no repr shows the token."""

    api_key: str
    access_token: str = field(repr=False)
    issued_at: int = field(default=0, compare=False)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell two credentials apart and give neither away."""
        return hashlib.sha256(f"{self.api_key}\0{self.access_token}".encode()).hexdigest()[:16]


def login_url(api_key: str, *, root: str = LOGIN_ROOT, redirect_params: Mapping[str, str] | None = None) -> str:
    """The address a person logs in at; Kite hands `redirect_params` back to the callback unchanged."""
    query = {"v": "3", "api_key": api_key}
    if redirect_params:
        query["redirect_params"] = urlencode(redirect_params)
    return f"{root}?{urlencode(query)}"


def exchange(root: str, api_key: str, api_secret: str, request_token: str, *, timeout: float = 7.0) -> Credentials:
    """The day's credentials for a request token, which works once and for a few minutes.

    Raises
    ------
    KiteError
        Whatever Kite or the network said, without any of the secrets.
    """
    if not request_token or not api_secret:
        missing = "request_token" if not request_token else "api_secret (ZERODHA_API_SECRET)"
        raise InputRefused(f"{missing} was empty; it is needed to log in")
    kite = KiteConnect(api_key, root=root, timeout=timeout)
    try:
        answer: Any = kite.generate_session(request_token, api_secret)
    except Exception as exc:  # noqa: BLE001  the client raises what `requests` and a broken answer make it raise
        raise map_error(exc, secrets=(api_secret, request_token)) from None
    finally:
        kite.reqsession.close()
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise BadAnswer("Kite's answer to the login held no access token; log in again")
    issued = answer.get("login_time")
    return Credentials(api_key, token, to_ns(issued.replace(tzinfo=IST)) if isinstance(issued, datetime) else 0)


class TokenFile:
    """The day's credentials on disk: 0600, replaced atomically, noticed by other processes.

    State: the path, and what the file looked like when `changed` was last asked.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._looked = self._look()

    def load(self) -> Credentials | None:
        """The saved credentials; None when there is no file.

        Raises
        ------
        LoginRequired
            If there is a file that is not ours, not readable or not a token.
        """
        try:
            content = read_private(self.path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise LoginRequired(f"{self.path} cannot be read ({exc.strerror}); remove it and log in again") from None
        try:
            document = json.loads(content)
            key, token, issued = document["api_key"], document["access_token"], document.get("issued_at", 0)
        except (ValueError, KeyError, TypeError, AttributeError):
            key = token = issued = None
        if not (isinstance(key, str) and isinstance(token, str) and isinstance(issued, int) and key and token):
            raise LoginRequired(f"{self.path} does not hold a token; remove it and log in again")
        return Credentials(key, token, issued)

    def save(self, credentials: Credentials) -> None:
        """Replace the file; a reader sees the old or the new one, whole."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {
            "api_key": credentials.api_key,
            "access_token": credentials.access_token,
            "issued_at": credentials.issued_at,
        }
        write_private(self.path, json.dumps(document))

    def clear(self) -> None:
        """Forget the credentials; no file is fine."""
        self.path.unlink(missing_ok=True)

    def changed(self) -> bool:
        """Whether the file is another one than when this was last asked; one `stat`."""
        now = self._look()
        before, self._looked = self._looked, now
        return now != before

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
