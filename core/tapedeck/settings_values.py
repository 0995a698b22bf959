"""What a setting's text may be: readers, how a value is shown without its secret, placeholders, weak secrets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from tapedeck.clock import wall_to_ns

#: What stands where a value may not be shown at all.
HIDDEN = "***"
#: Shortest secret that signs tokens, in characters; a longer one that repeats a shorter one counts as that.
SECRET_LENGTH = 32
#: Fewest different characters of it: 32 random hexadecimal digits have 14.
SECRET_VARIETY = 8


class Problem(NamedTuple):
    """One thing that is wrong. `level` is `error` (a part does not work) or `warning`; `value` is as shown, masked.

    `name` and `message` read as one sentence.
    """

    level: str
    name: str
    value: str
    source: str
    message: str
    remedy: str

    def __str__(self) -> str:
        source = "" if self.source == "default" else f" (from {self.source})"
        return f"{self.name} {self.message}{source}; {self.remedy}"


class Found(NamedTuple):
    """Where a setting's value came from; `value` is as shown, masked."""

    value: str
    source: str


# -- readers: text -> value, ValueError when it is not allowed ---------------------------------------------------------


def read_text(value: str) -> str:
    """The text without the blanks around it."""
    return value.strip()


def read_folder(value: str) -> Path:
    """A path; `~` is the home folder."""
    return Path(value.strip()).expanduser() if value.strip().startswith("~") else Path(value.strip())


def read_port(value: str) -> int:
    """A port, 0 to 65535."""
    number = int(value)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


def read_speed(value: str) -> float:
    """Market seconds per real second, 0.1 to 600."""
    number = float(value)
    if not 0.1 <= number <= 600:
        raise ValueError
    return number


def read_root(*schemes: str) -> Callable[[str], str]:
    """A reader of `scheme://host[:port][/path]`, without the slash at its end."""

    def read(value: str) -> str:
        parts = _split(value)
        if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError
        return value.strip().rstrip("/")

    return read


def read_origin(value: str) -> str:
    """`http(s)://host[:port]` in small letters, nothing after it; empty stays empty."""
    if not value.strip():
        return ""
    root = read_root("http", "https")(value)
    if _split(root).path:
        raise ValueError
    return root.lower()


def read_address(value: str) -> str:
    """`http(s)://host[:port]/...`; empty stays empty."""
    parts = _split(value)
    if value.strip() and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError
    return value.strip()


def read_redis(value: str) -> str:
    """`redis://[user:password@]host[:port][/number]`, the same with `rediss`, or `unix://[...@]/path`; or empty."""
    parts = _split(value)
    if not value.strip():
        return ""
    local = parts.scheme == "unix" and parts.path.startswith("/")
    remote = parts.scheme in ("redis", "rediss") and parts.hostname and re.fullmatch(r"/?|/\d+", parts.path)
    if not (local or remote) or parts.fragment:
        raise ValueError
    return value.strip()


def read_start(value: str) -> int | None:
    """UTC nanoseconds of an ISO time; None when empty."""
    return parse_start(value) if value.strip() else None


def parse_start(value: str) -> int:
    """UTC nanoseconds of an ISO date-time; without an offset it is taken as Indian time.

    Raises
    ------
    ValueError
        If it was not ISO 8601.
    """
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError("an ISO time such as 2026-11-23T09:14:30") from None
    return wall_to_ns(at)


def _split(value: str) -> SplitResult:
    parts = urlsplit(value.strip())
    _ = parts.port  # raises for one that is no number
    return parts


# -- how a value is shown ----------------------------------------------------------------------------------------------


def show_plain(value: str) -> str:
    """The text as it is; quoted with escapes when it holds what a terminal would obey."""
    return value if value.isprintable() else repr(value)


def show_secret(value: str) -> str:
    """That there is one, and nothing else of it."""
    return HIDDEN if value else ""


def show_key(value: str) -> str:
    """The first four characters: enough to tell two keys apart."""
    return show_plain(value[:4]) + "…" if value else ""


def show_address(value: str) -> str:
    """The address without its password and without what follows a question mark."""
    if not value:
        return ""
    try:
        parts = _split(value)
    except ValueError:
        return HIDDEN
    # A password with a slash or a # in it ends up behind the host; then nothing is shown.
    if "@" in value.partition("://")[2].removeprefix(parts.netloc):
        return HIDDEN
    if not parts.hostname and not (parts.scheme == "unix" and parts.path):
        return HIDDEN
    before, at, host = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://{HIDDEN if before else ''}{at}{host}{parts.path}"
    return show_plain(shown + (f"?{HIDDEN}" if parts.query else ""))


# -- placeholders and weak secrets -------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"<.*>|\{.*\}|\[.*\]|\$\{?\w+\}?|%\w+%"  # <key>, {{ key }}, $KEY that nobody filled in
    r"|([x*.#?0_-])\1+|(x+[-_])+x+|123456\d*|abc123|abcdef\w?",
    re.IGNORECASE,
)
_BEGINNINGS = (
    "your", "changeme", "changethis", "replace", "insert", "enter", "placeholder", "dummy", "example", "todo",
    "fixme", "myapi", "mykite", "putyour", "addyour", "pasteyour",
)  # fmt: skip
_WORDS = frozenset((
    "apikey", "apisecret", "secret", "secretkey", "kiteapikey", "kiteapisecret", "zerodhaapikey", "zerodhaapisecret",
    "foo", "bar", "foobar", "none", "null", "undefined", "tbd", "na", "password", "redacted", "hidden", "jwtsecret",
))  # fmt: skip


def placeholder(value: str) -> bool:
    """Whether the text only holds the place of a value: `your_api_key`, `<key>`, `xxx`, `changeme`, `$KEY`."""
    text = value.strip().strip("'\"").strip()
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    return bool(text) and (_PLACEHOLDER.fullmatch(text) is not None or plain in _WORDS or plain.startswith(_BEGINNINGS))


#: Hosts of examples, with all below them: they are set aside for that and lead nowhere (RFC 2606).
_EXAMPLES = (".example", ".example.com", ".example.net", ".example.org")


def placeholder_host(host: str) -> bool:
    """Whether a host only holds the place of one: `your-host`, `desk.example.com`."""
    return placeholder(host) or f".{host}".lower().endswith(_EXAMPLES)


#: What secrets people think up are made of, longest first.
_COMMON = re.compile(
    "|".join(sorted((
        "secret", "jwt", "token", "password", "passwd", "change", "please", "production", "development", "default",
        "example", "super", "long", "random", "string", "least", "characters", "chars", "bits", "256", "key", "your",
        "this", "must", "should", "with", "that", "test", "dev", "tapedeck", "zerodha", "kite", "very", "strong",
        "secure", "safe", "private", "hash", "sign", "signing", "qwerty", "asdf", "letmein", "admin", "welcome",
        "keep", "dont", "not", "use", "for", "the", "and", "replace", "here", "insert", "more", "than",
    ), key=len, reverse=True))
)  # fmt: skip


def weakness(secret: str) -> str:
    """Why a secret is too weak to sign tokens with; empty when it is not. Repeats nothing of it."""
    if placeholder(secret):
        return "is a placeholder"
    if len(secret) < SECRET_LENGTH:
        return f"has {len(secret)} characters; allowed: {SECRET_LENGTH} or more"
    if len(set(secret)) == 1:
        return "is one character over and over"
    if len(set(secret)) < SECRET_VARIETY:
        return f"is made of {len(set(secret))} different characters over and over"
    period = _period(secret)
    if period < SECRET_LENGTH and period * 4 <= len(secret) * 3:
        return f"repeats the same {period} characters"
    if _in_a_row(secret) * 2 > len(secret):
        return "is a row of neighbouring letters or digits"
    left = re.sub(r"[^a-z0-9]", "", _COMMON.sub("", secret.lower()))
    if len(left) < SECRET_LENGTH // 2:
        return "is made of well-known words"
    return ""


def _period(text: str) -> int:
    """Length of the shortest beginning that, repeated, gives the text."""
    return next(n for n in range(1, len(text) + 1) if text.startswith(text[n:]))


def _in_a_row(text: str) -> int:
    return sum(abs(ord(b) - ord(a)) == 1 for a, b in pairwise(text))


# -- hosts -------------------------------------------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether the host is this machine and nobody else's: `localhost`, 127.x.x.x or ::1."""
    host = host.removeprefix("[").removesuffix("]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_address(host: str) -> str:
    """The host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
