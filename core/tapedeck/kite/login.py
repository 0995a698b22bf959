"""Kite's login: the address to log in at, the exchange of the request token, and the token file."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import watchfiles
from kiteconnect import KiteConnect

from tapedeck.clock import IST, to_ns
from tapedeck.errors import BadAnswer, InputRefused, LoginRequired

from .private import close_folder, read_private, write_private
from .rest import map_error

log = logging.getLogger("tapedeck.kite.login")

#: Where people log in, unless a simulated exchange stands in for Kite.
LOGIN_ROOT = "https://kite.zerodha.com/connect/login"

#: What a request token looks like; Kite's are 32 letters and digits.
REQUEST_TOKEN = re.compile(r"[A-Za-z0-9]{8,64}")

#: An access token goes into addresses and headers: nothing but printable ASCII may be in it.
ACCESS_TOKEN = re.compile(r"[!-~]{1,512}")

#: A changed token file is seen within these milliseconds where the system tells of changes; every half second the
#: file is looked at all the same, because a network disk or a folder that was replaced tells of none.
STEP_MS, LOOK_MS = 100, 500


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens Kite for one day, and for whom. `issued_at` is UTC ns, 0 when unknown; no repr shows the token."""

    api_key: str
    access_token: str = field(repr=False)
    issued_at: int = field(default=0, compare=False)
    user_id: str = field(default="", compare=False)

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


def parse_request_token(text: str) -> str:
    """The request token in what a person pasted: the address Kite sent the browser to, or the token by itself.

    Raises
    ------
    InputRefused
        If there is none in it, or the address says that the login failed; the text is not repeated.
    """
    text = text.strip()
    if "=" not in text and "/" not in text:
        token = text
    else:
        query = parse_qs(urlsplit(text).query or text.lstrip("?"))
        token = query.get("request_token", [""])[-1]
        status = query.get("status", ["success"])[-1]
        if status != "success":
            raise InputRefused(f"Kite ended the login with status {status[:20]!r}; log in again")
    if not REQUEST_TOKEN.fullmatch(token):
        raise InputRefused(
            "no request token was found in what was given; allowed: the whole address with request_token=... that "
            "Kite sent the browser to, or the 8 to 64 letters and digits of the token itself"
        )
    return token


def revoke(root: str, credentials: Credentials, *, timeout: float = 7.0) -> None:
    """Make Kite forget the token; nobody can use it any more, and open sockets may end.

    Raises
    ------
    KiteError
        Whatever Kite or the network said, without the token.
    """
    kite = KiteConnect(credentials.api_key, credentials.access_token, root=root, timeout=timeout)
    try:
        with _unlogged(credentials.access_token):
            kite.invalidate_access_token()
    except Exception as exc:  # noqa: BLE001  the client raises what `requests` and a broken answer make it raise
        raise map_error(exc, secrets=(credentials.access_token,)) from None
    finally:
        kite.reqsession.close()


@contextmanager
def _unlogged(secret: str) -> Iterator[None]:
    """Keep what holds the secret out of the log: this one request has the token in its address, as Kite wants it."""
    wire = logging.getLogger("urllib3.connectionpool")

    def clean(record: logging.LogRecord) -> bool:
        return secret not in record.getMessage()

    wire.addFilter(clean)
    try:
        yield
    finally:
        wire.removeFilter(clean)


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
    if not isinstance(token, str) or not ACCESS_TOKEN.fullmatch(token):
        raise BadAnswer("Kite's answer to the login held no access token; log in again")
    issued, user = answer.get("login_time"), answer.get("user_id")
    return Credentials(
        api_key,
        token,
        to_ns(issued.replace(tzinfo=IST)) if isinstance(issued, datetime) else 0,
        user if isinstance(user, str) else "",
    )


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
            user = document.get("user_id", "")
        except (ValueError, KeyError, TypeError, AttributeError):
            key = token = issued = user = None
        if not (isinstance(key, str) and isinstance(token, str) and isinstance(issued, int) and key and token):
            raise LoginRequired(f"{self.path} does not hold a token; remove it and log in again")
        return Credentials(key, token, issued, user if isinstance(user, str) else "")

    def save(self, credentials: Credentials) -> None:
        """Replace the file; a reader sees the old or the new one, whole. For `changed` here it is not a change.

        The folder is closed to other users.

        Raises
        ------
        OSError
            If it could not be written; the old one stays.
        """
        if not close_folder(self.path.parent):
            log.warning("%s is open to other users and cannot be closed; only the token file is private", self.folder)
        document = {
            "api_key": credentials.api_key,
            "access_token": credentials.access_token,
            "issued_at": credentials.issued_at,
            "user_id": credentials.user_id,
        }
        written = write_private(self.path, json.dumps(document))
        # Not a look at the path: another process may have replaced the file since, and that is a change.
        self._looked = (written.st_ino, written.st_mtime_ns, written.st_size)

    def clear(self) -> None:
        """Forget the credentials; no file is fine. For `changed` here it is not a change."""
        self.path.unlink(missing_ok=True)
        self._looked = None

    @property
    def folder(self) -> Path:
        """The folder to watch: the file itself is replaced, never written to."""
        return self.path.parent

    def written_at(self) -> int:
        """UTC ns of the machine's clock at which the file was written; 0 when there is none."""
        look = self._look()
        return look[1] if look else 0

    def watch(self, stop: threading.Event) -> Iterator[None]:
        """Yield soon after every change of the file, and at least twice a second, until `stop` is set.

        A yield says "look", not "changed". A folder that cannot be watched is only looked at; the log says so.
        """
        try:
            close_folder(self.folder)
            yield from self._notified(stop)
        except (OSError, RuntimeError) as failed:
            log.warning(
                "%s cannot be watched (%s); it is looked at twice a second instead", self.folder, type(failed).__name__
            )
        while not stop.wait(LOOK_MS / 1000):
            yield

    def _notified(self, stop: threading.Event) -> Iterator[None]:
        # It says "1 change detected" at every write to the folder, of whatever file.
        logging.getLogger("watchfiles.main").setLevel(logging.WARNING)
        changes = watchfiles.watch(
            self.folder,
            watch_filter=None,  # whoever is told looks at the file, which costs one `stat`
            stop_event=stop,
            debounce=STEP_MS,
            step=STEP_MS,
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
            debug=False,
        )
        for _ in changes:
            yield

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
