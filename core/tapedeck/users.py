"""Who may look at the desk and who may change it: names, roles and passwords in one file of the data folder.

State of `Users`: the users as last read, and what their file looked like then (`tapedeck user` may change it while a
desk runs). Passwords are kept as scrypt hashes, each with its own salt; a check takes a tenth of a second and 32 MB.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import threading
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tapedeck.errors import ConfigError
from tapedeck.kite.private import read_private, write_private

OPERATOR, VIEWER = "operator", "viewer"
#: What each role may do: a viewer looks, an operator changes and logs in to Kite as well.
ROLES = (OPERATOR, VIEWER)
FILE = "users.json"
MIN_PASSWORD, MAX_PASSWORD = 10, 1024
MAX_USERS = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
#: Cost of scrypt: 32 MB and about 80 ms; kept with each hash, so that it may grow.
COST = {"n": 2**15, "r": 8, "p": 1}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks, once that is known: name, role, and what ends it (a login, a token) when it is taken away."""

    user: str
    role: str
    key: str = field(default="", repr=False)
    #: Whether the request itself carried the proof. A cookie is sent by the browser whoever made it ask.
    bearer: bool = False

    def may(self, role: str) -> bool:
        """Whether this role is among what they may do."""
        return role == VIEWER or self.role == OPERATOR


@dataclass(frozen=True, slots=True)
class _User:
    role: str
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    cost: dict[str, int] = field(default_factory=lambda: dict(COST))


class Users:
    """The users file. Safe to use from several threads; everything but `role`, `names` and `fingerprint` is slow."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.Lock()
        self._users: dict[str, _User] = {}
        self._looked: tuple[int, ...] | None = None
        #: Checked for a name nobody has, so that it takes as long as for one that exists.
        self._nobody = _User(VIEWER, secrets.token_bytes(16), secrets.token_bytes(32))
        self.load()

    def __repr__(self) -> str:
        return f"Users({str(self.path)!r}, {len(self._users)} users)"

    def load(self) -> bool:
        """Take the file in if it has changed since it was last looked at, and whether it had; otherwise one `stat`.

        Raises
        ------
        ConfigError
            If it cannot be read or is no users file; the users known before stay.
        """
        with self._lock:
            return self._load()

    def names(self) -> list[str]:
        """All names, sorted; empty when nobody was added."""
        return sorted(self._users)

    def role(self, name: str) -> str:
        """A user's role; empty when there is no such user."""
        user = self._users.get(name)
        return user.role if user else ""

    def fingerprint(self, name: str) -> str:
        """16 hex digits that change with a user's password and role; empty when there is no such user."""
        user = self._users.get(name)
        return hashlib.sha256(user.digest + user.role.encode()).hexdigest()[:16] if user else ""

    def verify(self, name: str, password: str) -> bool:
        """Whether that is the user's password. Slow, and as slow for a name nobody has: not for a server's loop."""
        user = self._users.get(name.casefold())
        checked = user or self._nobody
        right = hmac.compare_digest(_scrypt(password[:MAX_PASSWORD], checked.salt, checked.cost), checked.digest)
        return right and user is not None

    def add(self, name: str, password: str, *, role: str = OPERATOR) -> None:
        """Add a user.

        Raises
        ------
        ConfigError
            If the name, the role or the password is not allowed, or the user exists already.
        """
        name = parse_name(name)
        if role not in ROLES:
            raise ConfigError(f"role was {role!r}; allowed: {', '.join(ROLES)}")
        with self._lock:
            self._load()
            if name in self._users:
                raise ConfigError(
                    f"user {name!r} exists already; change the password with: tapedeck user passwd {name}"
                )
            if len(self._users) >= MAX_USERS:
                raise ConfigError(f"there are {MAX_USERS} users; allowed: no more. Remove some first")
            self._save(self._users | {name: _made(role, password)})

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password; who is logged in under that name is logged out.

        Raises
        ------
        ConfigError
            If there is no such user, or the password is not allowed.
        """
        with self._lock:
            self._load()
            user = self._existing(name)
            self._save(self._users | {name.casefold(): _made(user.role, password)})

    def remove(self, name: str, *, force: bool = False) -> None:
        """Take a user away; who is logged in under that name is logged out.

        Raises
        ------
        ConfigError
            If there is no such user, or, unless forced, no other is an operator.
        """
        with self._lock:
            self._load()
            self._existing(name)
            left = {one: user for one, user in self._users.items() if one != name.casefold()}
            operators = [user for user in left.values() if user.role == OPERATOR]
            if not (operators or force or self._users[name.casefold()].role == VIEWER):
                raise ConfigError(
                    f"{name.casefold()} is the last operator: nobody can log in to Kite then; add another first, "
                    "or --force"
                )
            self._save(left)

    def _existing(self, name: str) -> _User:
        user = self._users.get(name.casefold())
        if user is None:
            known = ", ".join(self.names()) or "none yet; add one with: tapedeck user add NAME"
            raise ConfigError(f"user was {name!r}; allowed: {known}")
        return user

    def _load(self) -> bool:
        looked = _look(self.path)
        if looked == self._looked:
            return False
        self._looked = looked
        if looked is None:
            self._users = {}
            return True
        try:
            document = json.loads(read_private(self.path))
            self._users = {str(name): _read(user) for name, user in document["users"].items()}
        except OSError as failed:
            raise ConfigError(f"{self.path} cannot be read ({failed.strerror}); make it a file of this user") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{self.path} is no users file; remove it and add the users again") from None
        return True

    def _save(self, users: dict[str, _User]) -> None:
        shown = {
            name: {"role": user.role, "salt": _text(user.salt), "scrypt": _text(user.digest), **user.cost}
            for name, user in sorted(users.items())
        }
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path, json.dumps({"version": 1, "users": shown}, indent=1))
        except OSError as failed:
            why = failed.strerror or type(failed).__name__
            raise ConfigError(
                f"{self.path} cannot be written ({why}); set TAPEDECK_DATA to a folder that can"
            ) from None
        self._users, self._looked = users, _look(self.path)


def parse_name(name: str) -> str:
    """A user's name in lower case.

    Raises
    ------
    ConfigError
        If it is none.
    """
    folded = name.casefold()
    if not _NAME.fullmatch(folded):
        raise ConfigError(f"user was {name[:80]!r}; allowed: 1 to 32 of a-z, 0-9, '.', '_' and '-'")
    return folded


def check_password(password: str) -> None:
    """Nothing, when the password may be used.

    Raises
    ------
    ConfigError
        Saying what is allowed, never the password.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise ConfigError(
            f"the password had {len(password)} characters; allowed: {MIN_PASSWORD} to {MAX_PASSWORD}. "
            "Several words that nobody would put together are easy to keep in mind"
        )
    if len(set(password)) < 4:
        raise ConfigError("the password repeats the same few characters; take one with at least 4 different ones")


def _made(role: str, password: str) -> _User:
    check_password(password)
    salt = secrets.token_bytes(16)
    return _User(role, salt, _scrypt(password, salt, COST))


def _scrypt(password: str, salt: bytes, cost: dict[str, int]) -> bytes:
    # Composed: the same word typed on another keyboard may be made of other code points.
    secret = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    needed = 128 * cost["n"] * cost["r"]
    return hashlib.scrypt(secret, salt=salt, **cost, maxmem=2 * needed, dklen=32)


def _read(user: dict[str, Any]) -> _User:
    if user["role"] not in ROLES:
        raise ValueError(user["role"])
    cost = {name: int(user[name]) for name in COST}
    return _User(user["role"], base64.b64decode(user["salt"]), base64.b64decode(user["scrypt"]), cost)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _look(path: Path) -> tuple[int, ...] | None:
    try:
        stat = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
