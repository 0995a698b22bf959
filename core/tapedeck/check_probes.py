"""The questions a check asks of the world, each with a short time limit of its own: Redis, Kite, disk, container."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

import requests

from tapedeck import sessions
from tapedeck.bearers import ISSUED, REVOKED, load_numbers
from tapedeck.clock import SECOND, Clock, to_ns
from tapedeck.errors import ConfigError
from tapedeck.kite.login import Credentials, TokenFile
from tapedeck.kite.private import read_private
from tapedeck.kite.rest import KiteRest
from tapedeck.users import Users

#: Where a desk writes down who is logged in.
LOGINS = "logins.json"
REDIS_TIMEOUT_S = 1.0
KITE_TIMEOUT_S = 3.0
#: What a container's control groups are called.
_CONTAINERS = ("docker", "kubepods", "containerd", "libpod", "lxc")


class ProbeFailed(Exception):
    """A question was answered by a failure: what happened, in words that hold no secret."""


class Broken(NamedTuple):
    """A file that cannot be read: its name, what comes of it, the remedy, and whether a part does not work then."""

    name: str
    message: str
    remedy: str
    critical: bool


class RedisAnswer(NamedTuple):
    """What Redis said of itself, and `server` what else it is.

    `ahead_s` is how far this machine's clock is certainly ahead of its, in seconds.
    """

    version: str
    server: str
    ahead_s: float


def ask_redis(url: str, clock: Clock) -> RedisAnswer:
    """Version and time of the Redis at `url`.

    Raises
    ------
    ProbeFailed
        If it did not answer, or not to us.
    """
    # Imported late: a desk without Redis does not pay for it.
    import redis
    from redis import exceptions
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        client = redis.Redis.from_url(
            url,
            # The third version of the protocol costs 2.7 ms for a message of 200 kB (redis-py 8.1).
            protocol=2,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            # By itself the client tries ten times, which takes seconds.
            retry=Retry(NoBackoff(), 0),
        )
        with client:
            about = client.info("server")
            sent = clock.now()
            seconds, micros = client.time()
            received = clock.now()
    except exceptions.AuthenticationError:
        raise ProbeFailed("refused the user or the password") from None
    except exceptions.TimeoutError:
        raise ProbeFailed(f"did not answer within {REDIS_TIMEOUT_S:g} s") from None
    except exceptions.ConnectionError:
        raise ProbeFailed("could not be reached") from None
    except exceptions.RedisError as failed:
        # Its text may repeat what was sent.
        raise ProbeFailed(f"answered with an error ({type(failed).__name__})") from None
    theirs = int(seconds) * SECOND + int(micros) * 1000
    version = str(about.get("redis_version", ""))
    server = f"Valkey {about['valkey_version']}, as Redis {version}" if "valkey_version" in about else ""
    return RedisAnswer(version, server, ahead_s(sent, received, theirs, 0))


def fetch_kite_ahead(root: str, clock: Clock) -> float:
    """Seconds by which this machine's clock is certainly ahead of Kite's; needs no key.

    Raises
    ------
    ProbeFailed
        If nobody answered, or without a time.
    """
    sent = clock.now()
    try:
        with requests.get(root, timeout=KITE_TIMEOUT_S, allow_redirects=False, stream=True) as answer:
            received = clock.now()
            theirs = to_ns(parsedate_to_datetime(answer.headers["Date"]))
    except requests.exceptions.RequestException as failed:
        raise ProbeFailed(f"could not be reached ({type(failed).__name__})") from None
    except (KeyError, ValueError):
        raise ProbeFailed("answered without a time") from None
    # The header has whole seconds, rounded down.
    return ahead_s(sent, received, theirs, SECOND)


def ahead_s(sent: int, received: int, theirs: int, resolution: int) -> float:
    """Seconds by which our clock is ahead of theirs, less what the way there and back and their rounding may hide."""
    difference = (sent + received) / 2 - (theirs + resolution / 2)
    unsure = (received - sent) / 2 + resolution / 2
    certain = max(abs(difference) - unsure, 0.0)
    return (certain if difference > 0 else -certain) / SECOND


def fetch_profile(api_key: str, token: str, root: str) -> None:
    """Nothing, when Kite accepts the token.

    Raises
    ------
    KiteError
        Whatever Kite or the network said.
    """
    rest = KiteRest(api_key, lambda: token, root, timeout=KITE_TIMEOUT_S)
    try:
        rest.fetch_profile()
    finally:
        rest.close()


def try_writing(folder: Path) -> None:
    """Nothing, when a file could be made, written and removed in the folder; if there is none, in the one above.

    Raises
    ------
    OSError
        If it could not.
    """
    place = folder
    # Not made here: whoever opens a desk at this moment may find it gone again.
    while not place.exists() and place != place.parent:
        place = place.parent
    handle, name = tempfile.mkstemp(dir=place, prefix=".tapedeck-check-")
    try:
        with open(handle, "wb") as file:
            file.write(b"x" * 4096)
    finally:
        os.unlink(name)


def try_listening(host: str) -> None:
    """Nothing, when a server could listen on the host, on some port.

    Raises
    ------
    OSError
        If it could not.
    ProbeFailed
        If it is no host at all.
    """
    try:
        places = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        raise ProbeFailed("is no name of a host") from None
    failures = []
    for family, kind, protocol, _, address in places:
        try:
            with socket.socket(family, kind, protocol) as one:
                one.bind(address)
        except OSError as failed:
            failures.append(failed)
    # On a machine without IPv6 localhost is its other address alone.
    if failures and (host != "localhost" or len(failures) == len(places)):
        raise failures[0]


def load_users(folder: Path) -> list[str]:
    """The names of the desk's users.

    Raises
    ------
    ConfigError
        If their file cannot be read.
    """
    return Users(folder).names()


def find_broken(folder: Path) -> list[Broken]:
    """The files beside the users that say who may enter, as far as they cannot be read."""
    found = []
    for name in (REVOKED, ISSUED):
        try:
            load_numbers(folder / name)
        except ConfigError as wrong:
            why, _, remedy = str(wrong).removeprefix(f"{folder / name} ").partition("; ")
            comes_to = "no token is taken" if name == REVOKED else "no token can be made, listed or revoked"
            found.append(Broken(name, f"{why}, so {comes_to}", remedy, critical=True))
    try:
        json.loads(read_private(folder / LOGINS))["logins"].items()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        why = "cannot be read, so everybody logs in again"
        found.append(Broken(LOGINS, why, f"remove {folder / LOGINS}", critical=False))
    return found


def inside_container(root: Path = Path("/")) -> bool:
    """Whether this process runs in a container, as far as can be seen from inside."""
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return True
    try:
        groups = (root / "proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(name in groups for name in _CONTAINERS)


def load_token(path: Path) -> Credentials | None:
    """The saved token; None when there is none.

    Raises
    ------
    LoginRequired
        If the file is not usable.
    """
    return TokenFile(path).load()


@dataclass(frozen=True)
class Probes:
    """The questions, replaceable one by one."""

    ask_redis: Callable[[str, Clock], RedisAnswer] = ask_redis
    fetch_kite_ahead: Callable[[str, Clock], float] = fetch_kite_ahead
    fetch_profile: Callable[[str, str, str], None] = fetch_profile
    try_writing: Callable[[Path], None] = try_writing
    try_listening: Callable[[str], None] = try_listening
    load_users: Callable[[Path], list[str]] = load_users
    find_broken: Callable[[Path], list[Broken]] = find_broken
    inside_container: Callable[[], bool] = inside_container
    load_token: Callable[[Path], Credentials | None] = load_token
    coverage: Callable[[], tuple[date, date]] = sessions.coverage
