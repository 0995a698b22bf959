"""Bearer tokens for the API and the stream: signed, expiring, revocable; and the secret that signs them.

A token is a JWT (HS256) that says `sub` (whose it is), `role`, `scope`, `iat`, `exp`, `jti` (its number) and `aud`,
which is `tapedeck`. State of `Bearers`: the numbers that were revoked, as last read from `revoked.json`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Any

import jwt

from tapedeck.clock import SECOND, Clock
from tapedeck.errors import AccessRefused, ConfigError
from tapedeck.kite.private import read_private, write_private
from tapedeck.settings_values import weakness
from tapedeck.users import OPERATOR, ROLES, VIEWER, Principal

log = logging.getLogger("tapedeck.access")

AUDIENCE = "tapedeck"
ALGORITHM = "HS256"
#: What a token is good for; an operator's role counts only in a token that may operate.
SCOPES = {OPERATOR: "operate", VIEWER: "read"}
CLAIMS = ["sub", "role", "scope", "iat", "exp", "jti", "aud"]
MAX_DAYS = 366
#: Longer than any of ours: not worth the time of reading.
MAX_TOKEN = 4096
#: A token made on a machine whose clock is ahead by so much is taken.
LEEWAY_S = 60
_NUMBER = re.compile(r"[0-9A-Za-z]{1,32}")
REVOKED, ISSUED, SECRET = "revoked.json", "tokens.json", "jwt_secret"


def jwt_secret(given: str, data: Path, *, loopback: bool) -> str:
    """The secret that signs tokens: JWT_SECRET as `given`, else on loopback one made once and kept in the folder.

    Raises
    ------
    ConfigError
        If the desk is open to a network and JWT_SECRET is missing or weak.
    """
    why = weakness(given) if given else "is missing, or was refused by the checks of the settings"
    if not why:
        return given
    if not loopback:
        raise ConfigError(
            f"JWT_SECRET {why}; a desk that others can reach needs one. Make it with: "
            'python -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    if given:
        log.warning(
            "JWT_SECRET %s and is not used: tokens are signed with a secret made here, in %s", why, data / SECRET
        )
    return _kept_secret(data / SECRET)


def desk_secret(given: str, data: Path, *, loopback: bool) -> str:
    """`jwt_secret` for a desk that starts: on loopback, where none can be kept, one for this run alone, and a warning.

    Raises
    ------
    ConfigError
        If the desk is open to a network and JWT_SECRET is missing or weak.
    """
    try:
        return jwt_secret(given, data, loopback=loopback)
    except ConfigError as wrong:
        if not loopback:
            raise
        log.warning(
            "%s. Until then the secret is one of this run: pages that are open, logins and tokens end with it", wrong
        )
        return secrets.token_urlsafe(48)


def _kept_secret(path: Path) -> str:
    made = secrets.token_urlsafe(48)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only one of two that start at once makes it.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as failed:
        # A file in the place of the folder exists, too.
        if not isinstance(failed, FileExistsError) or not path.parent.is_dir():
            why = failed.strerror or type(failed).__name__
            raise ConfigError(f"{path} cannot be written ({why}); set TAPEDECK_DATA to a folder that can") from None
    else:
        with open(fd, "w", encoding="ascii") as file:
            file.write(made)
        return made
    try:
        kept = read_private(path).decode("ascii").strip()
    except (OSError, ValueError) as failed:
        raise ConfigError(f"{path} cannot be read ({failed}); remove it: another is made") from None
    if not weakness(kept):
        return kept
    try:
        write_private(path, made)
    except OSError as failed:
        raise ConfigError(f"{path} cannot be written ({failed.strerror}); remove it: another is made") from None
    return made


class Bearers:
    """Issues and checks tokens. `verify` asks no disk; `refresh` looks whether more were revoked."""

    def __init__(self, secret: str, folder: Path, clock: Clock) -> None:
        self._secret = secret
        self._folder = folder
        self._clock = clock
        self._revoked: dict[str, int] = {}
        self._looked: tuple[int, int] | None = None
        #: Why no token is taken; empty when they are.
        self._closed = ""
        self.refresh()

    def __repr__(self) -> str:
        return f"Bearers({len(self._revoked)} revoked)"

    def issue(self, name: str, *, role: str = VIEWER, days: int = 30) -> str:
        """A new token, and a line about it (never the token) in `tokens.json`.

        Raises
        ------
        ConfigError
            If the role or the days are not allowed.
        """
        if role not in ROLES:
            raise ConfigError(f"role was {role!r}; allowed: {', '.join(ROLES)}")
        if not 1 <= days <= MAX_DAYS:
            raise ConfigError(f"days was {days}; allowed: 1 to {MAX_DAYS}")
        if not (name.isprintable() and 1 <= len(name) <= 64):
            raise ConfigError(f"name had {len(name)} characters; allowed: 1 to 64 printable ones")
        now = self._now()
        claims = {
            "sub": name, "role": role, "scope": SCOPES[role], "iat": now, "exp": now + days * 86_400,
            "jti": secrets.token_hex(8), "aud": AUDIENCE,
        }  # fmt: skip
        issued = {jti: about for jti, about in self._read(ISSUED).items() if about["exp"] > now}
        issued[claims["jti"]] = {one: claims[one] for one in ("sub", "role", "iat", "exp")}
        self._write(ISSUED, issued)
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def verify(self, token: str) -> Principal:
        """Whose token it is.

        Raises
        ------
        AccessRefused
            Saying what is wrong with it, never the token.
        """
        if self._closed:
            raise AccessRefused(self._closed)
        if len(token) > MAX_TOKEN:
            raise AccessRefused("the token is longer than any of this desk")
        try:
            # Times are compared with the desk's clock below, and pinned to one algorithm: `none` is not one.
            options: Any = {"require": CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
            claims = jwt.decode(token, self._secret, algorithms=[ALGORITHM], audience=AUDIENCE, options=options)
        except jwt.InvalidTokenError as wrong:
            raise AccessRefused(f"the token is not one of this desk ({type(wrong).__name__})") from None
        return self._principal(claims)

    def _principal(self, claims: dict[str, Any]) -> Principal:
        name, role, jti, issued, expires = (claims[one] for one in ("sub", "role", "jti", "iat", "exp"))
        whole = all(isinstance(one, int) and not isinstance(one, bool) for one in (issued, expires))
        if not whole or not all(isinstance(one, str) and one for one in (name, jti)) or role not in ROLES:
            raise AccessRefused("the token says something this desk does not know")
        if expires <= self._now():
            raise AccessRefused("the token has expired; make another with: tapedeck token create")
        if issued > self._now() + LEEWAY_S:
            raise AccessRefused("the token is from the future; compare the clocks of the two machines")
        if jti in self._revoked:
            raise AccessRefused("the token was revoked")
        may = OPERATOR if role == OPERATOR and claims["scope"] == SCOPES[OPERATOR] else VIEWER
        return Principal(name, may, key=f"token:{jti}:{expires}", bearer=True)

    def valid(self, key: str) -> bool:
        """Whether a token that was taken (`Principal.key`) still is."""
        _, jti, expires = key.split(":")
        return not self._closed and jti not in self._revoked and int(expires) > self._now()

    def revoke(self, jti: str) -> None:
        """Take a token away for good, by its number; a running desk notices within a second or two.

        Raises
        ------
        ConfigError
            If no token of that number was issued here.
        """
        now, revoked = self._now(), self._read(REVOKED)
        known = self._read(ISSUED).get(jti, {"exp": revoked.get(jti)})
        if known["exp"] is None:
            # What is no number may be a whole token, which is not repeated.
            shown = jti if _NUMBER.fullmatch(jti) else "of that number"
            raise ConfigError(f"no token {shown} was issued here; `tapedeck token list` shows those that were")
        self._write(REVOKED, {one: exp for one, exp in revoked.items() if exp > now} | {jti: known["exp"]})
        self.refresh()

    def issued(self) -> list[dict[str, Any]]:
        """The tokens issued here and not expired, newest first: number, `sub`, `role`, `iat`, `exp`, `revoked`."""
        rows = self._read(ISSUED).items()
        found = [{"jti": jti, **about, "revoked": jti in self._revoked} for jti, about in rows]
        return sorted((row for row in found if row["exp"] > self._now()), key=lambda row: -row["iat"])

    def refresh(self) -> None:
        """Take in the list of revoked tokens if it has changed. A list that cannot be read closes the door to all."""
        looked = self._look()
        if looked == self._looked:
            return
        self._looked = looked
        try:
            self._revoked, self._closed = self._read(REVOKED), ""
        except ConfigError as wrong:
            self._closed = "no token is taken while the list of revoked ones cannot be read"
            log.error("%s", wrong)

    def _now(self) -> int:
        return self._clock.now() // SECOND

    def _look(self) -> tuple[int, int] | None:
        try:
            stat = os.stat(self._folder / REVOKED, follow_symlinks=False)
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def _read(self, name: str) -> dict[str, Any]:
        return load_numbers(self._folder / name)

    def _write(self, name: str, document: dict[str, Any]) -> None:
        path = self._folder / name
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, json.dumps(document, indent=1))
        except OSError as failed:
            why = failed.strerror or type(failed).__name__
            raise ConfigError(f"{path} cannot be written ({why}); set TAPEDECK_DATA to a folder that can") from None


def load_numbers(path: Path) -> dict[str, Any]:
    """What `revoked.json` or `tokens.json` says by a token's number; nothing when the file is not there.

    Raises
    ------
    ConfigError
        If it cannot be read, or says something else.
    """
    try:
        document = json.loads(read_private(path))
        expiries = [about if path.name == REVOKED else about["exp"] for about in document.values()]
        if not all(type(expires) is int for expires in expiries):
            raise ValueError("no times")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        raise ConfigError(f"{path} cannot be read; restore it, or remove it and take another JWT_SECRET") from None
    return document
