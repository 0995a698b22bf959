"""Who is logged in: one entry per browser, found by the hash of the random number in its cookie.

State: the entries, and what of them is on disk (`logins.json`), so that a page stays open over a restart of the desk.
Neither holds a number that would open anything. Times are those of the machine's clock.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tapedeck.clock import SECOND, Clock
from tapedeck.kite.private import read_private, write_private
from tapedeck.users import ROLES, Principal

log = logging.getLogger("tapedeck.access")

FILE = "logins.json"
#: A browser that does not ask for so long is logged out, and every one after so long.
IDLE_S = 12 * 3600
ABSOLUTE_S = 7 * 24 * 3600
MAX_LOGINS = 1000
#: The time of the last request is written down so often at most.
WRITE_EVERY_S = 600


@dataclass(frozen=True, slots=True)
class Login:
    """One browser: whose, with which role, since when and last when (UTC seconds), on which port of this machine."""

    user: str
    role: str
    #: What was true of the user then; when it is not any more (`Users.fingerprint`), the login has ended.
    fingerprint: str
    since: int
    seen: int
    port: int


class Logins:
    """The logins of the desk on one port. `save` touches the disk: not for a server's loop."""

    def __init__(self, folder: Path, port: int, clock: Clock, current: Callable[[Login], bool]) -> None:
        self.path = folder / FILE
        self._port = port
        self._clock = clock
        #: Whether the user of a login is still there as they were.
        self._current = current
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._logins: dict[str, Login] = {key: one for key, one in self._read().items() if one.port == port}
        self._saved = dict(self._logins)
        #: Why the last writing failed; told once, and again when another follows.
        self._failure = ""
        self.expire()

    def __len__(self) -> int:
        return len(self._logins)

    def begin(self, user: str, role: str, fingerprint: str) -> str:
        """A new login; the number for its cookie, which is kept nowhere here."""
        number = secrets.token_urlsafe(32)
        now = self._now()
        with self._lock:
            if len(self._logins) >= MAX_LOGINS:
                oldest = min(self._logins, key=lambda key: self._logins[key].seen)
                del self._logins[oldest]
            self._logins[digest(number)] = Login(user, role, fingerprint, now, now, self._port)
        return number

    def find(self, number: str) -> Principal | None:
        """Who is logged in with that cookie; None when nobody is, or not any more."""
        key = digest(number)
        with self._lock:
            login = self._logins.get(key)
            if login is None:
                return None
            if self._ended(login):
                del self._logins[key]
                return None
            self._logins[key] = replace(login, seen=self._now())
        return Principal(login.user, login.role, key=f"login:{key}")

    def valid(self, key: str) -> bool:
        """Whether a login that was found (`Principal.key`) still is one."""
        login = self._logins.get(key.removeprefix("login:"))
        return login is not None and not self._ended(login)

    def touch(self, key: str) -> None:
        """An open page of that login is a sign of life, though it asks nothing."""
        key = key.removeprefix("login:")
        with self._lock:
            login = self._logins.get(key)
            if login is not None:
                self._logins[key] = replace(login, seen=self._now())

    def end(self, key: str) -> None:
        """Log out."""
        with self._lock:
            self._logins.pop(key.removeprefix("login:"), None)

    def expire(self) -> None:
        """Forget the logins that have ended."""
        with self._lock:
            self._logins = {key: one for key, one in self._logins.items() if not self._ended(one)}

    def save(self, *, at_once: bool = False) -> None:
        """Write the logins down if others came or went, or were seen long after what is written; `at_once` always.

        A disk that refuses is logged: the desk goes on, and asks for the login again after a restart.
        """
        with self._saving:
            with self._lock:
                logins = dict(self._logins)
            if not at_once and not self._differs(logins):
                return
            others = {key: one for key, one in self._read().items() if one.port != self._port}
            document = {key: asdict(one) for key, one in (others | logins).items() if self._young(one)}
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_private(self.path, json.dumps({"version": 1, "logins": document}, indent=1))
                self._saved, self._failure = logins, ""
            except OSError as failed:
                why = failed.strerror or type(failed).__name__
                if why != self._failure:
                    log.warning("the logins could not be written (%s) and end with this desk", why)
                self._failure = why

    def _differs(self, logins: dict[str, Login]) -> bool:
        if logins.keys() != self._saved.keys():
            return True
        return any(one.seen - self._saved[key].seen > WRITE_EVERY_S for key, one in logins.items())

    def _ended(self, login: Login) -> bool:
        return not self._young(login) or not self._current(login)

    def _young(self, login: Login) -> bool:
        now = self._now()
        return now - login.since < ABSOLUTE_S and now - login.seen < IDLE_S

    def _now(self) -> int:
        return self._clock.now() // SECOND

    def _read(self) -> dict[str, Login]:
        try:
            document = json.loads(read_private(self.path))["logins"]
            found = {str(key): _login(about) for key, about in document.items()}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            log.warning("%s could not be read: everybody logs in again", self.path)
            return {}
        return dict(list(found.items())[:MAX_LOGINS])


def digest(number: str) -> str:
    """What is kept of a cookie's number."""
    return hashlib.sha256(number.encode("utf-8", "replace")).hexdigest()


def _login(about: dict[str, Any]) -> Login:
    login = Login(**about)
    words = all(isinstance(one, str) for one in (login.user, login.role, login.fingerprint))
    numbers = all(type(one) is int for one in (login.since, login.seen, login.port))
    if not words or not numbers or login.role not in ROLES:
        raise ValueError("no login")
    return login
