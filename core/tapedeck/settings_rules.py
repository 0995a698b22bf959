"""What settings that can each be read may still not be, alone and together: pure rules, each with its remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tapedeck.settings_files import ENV_FILE, TOML_FILE, Layer
from tapedeck.settings_values import (
    HIDDEN,
    Problem,
    in_address,
    is_loopback,
    placeholder,
    placeholder_host,
    show_address,
    show_plain,
    weakness,
)

if TYPE_CHECKING:
    from tapedeck.settings import Settings

#: Path Kite leads a person back to.
CALLBACK = "/api/auth/callback"
CONSOLE = "https://developers.kite.trade/apps"
MAKE_SECRET = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'
REDIS_IN_CONTAINER = "REDIS_URL=redis://redis:6379/0"
#: How the names of our own settings begin.
OURS = "TAPEDECK_"
ROOTS = ("TAPEDECK_KITE_REST", "TAPEDECK_KITE_WS", "TAPEDECK_KITE_LOGIN")
_KEYS = ("ZERODHA_API_KEY", "ZERODHA_API_SECRET")
#: Settings without a beginning of ours that a near miss is told of in the environment, too.
_PLAIN = ("JWT_SECRET", "REDIS_URL", "FRONTEND_URL", "REDIRECT_URL")
#: Addresses to listen on that are none to open.
EVERYWHERE = ("0.0.0.0", "::", "[::]")
#: Hosts that are Kite's own.
_KITE_HOSTS = ("api.kite.trade", "ws.kite.trade", "kite.zerodha.com", "kite.trade")


def judge(settings: Settings) -> list[Problem]:
    """Every rule the settings break, in the order of the settings."""
    return [
        *_unusable(settings),
        *_incomplete(settings),
        *_jwt_secret(settings),
        *_addresses(settings),
        *_redirect(settings),
        *_mixed_roots(settings),
        *_mixed_login(settings),
        *_open_roots(settings),
    ]


def kite_problem(settings: Settings, wrong: Iterable[Problem]) -> str:
    """Why Kite may not be contacted with the key that was given or meant; empty when it may.

    `wrong` could not be read. A root that could not be read must not send the key to another place than was meant,
    and a key that is none, or may be the secret, must not be sent at all. A key that went astray in a file must not
    leave simulated prices in the place of real ones.
    """
    if settings.has_credentials:
        roots = (problem for problem in wrong if problem.name in ROOTS)
        reason = next(chain(roots, _unusable(settings), _mixed_roots(settings)), None)
    else:
        reason = next((problem for problem in wrong if _astray(settings, problem)), None)
    if reason is None:
        return ""
    name = reason.source if reason.name in (ENV_FILE, TOML_FILE) else reason.name
    return f"{name} {reason.message}; {reason.remedy}"


def away_from_kite(problem: Problem) -> Problem:
    """A root of Kite that could not be read, with what it comes to for a desk with a key; others as they are."""
    if problem.name not in ROOTS:
        return problem
    return problem._replace(remedy=f"{problem.remedy}; until then Kite is not contacted")


def meant_kite(settings: Settings, problems: Iterable[Problem]) -> list[Problem]:
    """The problems; those that may have cost the desk its key are errors, with the other way out in the remedy."""
    told = []
    for problem in problems:
        if _astray(settings, problem):
            remedy = problem.remedy + (" Correct the name" if problem.remedy.endswith("?") else "")
            problem = problem._replace(level="error", remedy=f"{remedy}, or start with --sim")
        told.append(problem)
    return told


def _astray(settings: Settings, problem: Problem) -> bool:
    """Whether a key of Kite may have been lost here: part of a file was not read, or a name is nearly the key's."""
    if settings.has_credentials or settings.simulate:
        return False
    if problem.name in (ENV_FILE, TOML_FILE):
        return problem.level == "error"
    return problem.name in _KEYS or _nearest(problem.name, _KEYS, bare=True) in _KEYS


def in_container(settings: Settings) -> list[Problem]:
    """What is wrong only inside a container: `localhost` there is the container itself."""
    parts = urlsplit(settings.redis_url)
    if parts.scheme == "unix" or not is_loopback(parts.hostname or ""):
        return []
    why = f"names {parts.hostname}, which inside a container is the container itself"
    return [_problem(settings, "error", "REDIS_URL", why, REDIS_IN_CONTAINER)]


def unknown_names(layers: Iterable[Layer], known: Sequence[str], *, also: Sequence[str] = ()) -> list[Problem]:
    """Names that are no setting: all of `desk.toml`, what begins TAPEDECK_, and what is nearly one of ours.

    The environment and `.env` hold names of other programs: a near miss of a setting that is given is one of them.
    """
    layers = tuple(layers)
    given = {name for layer in layers for name in layer.values}
    found = []
    for layer in layers:
        for name in sorted(set(layer.values) - set(known) - set(also)):
            near = _nearest(name, known, bare=layer.name == TOML_FILE)
            ours = name.upper().startswith(OURS) or layer.name == TOML_FILE
            kin = name.upper().startswith(("KITE_", "ZERODHA_")) or near in _PLAIN or layer.name == ENV_FILE
            if ours or (kin and near and near not in given):
                shown = show_plain(name)
                remedy = f"Did you mean {near}?" if near else f"Remove {shown}; docs/settings.md lists what can be set"
                # Its value is not shown: a misspelt secret is a secret.
                found.append(Problem("warning", shown, HIDDEN, layer.source(name), "is not a setting", remedy))
    return found


def _nearest(name: str, known: Sequence[str], *, bare: bool) -> str:
    """The setting that was probably meant, or nothing; with `bare`, `port` means TAPEDECK_PORT."""
    word = re.sub(r"^KITE_", "ZERODHA_", name.upper())
    if word.startswith(OURS):
        ours = {one.removeprefix(OURS): one for one in known if one.startswith(OURS)}
        bare_word = word.removeprefix(OURS)
        if f"ZERODHA_{bare_word}" in known:
            return f"ZERODHA_{bare_word}"
        return next((ours[near] for near in difflib.get_close_matches(bare_word, ours, n=1)), "")
    for prefix in ("ZERODHA_", *([OURS] if bare else [])):
        if prefix + word in known:
            return prefix + word
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.8)), "")


def _problem(settings: Settings, level: str, name: str, message: str, remedy: str) -> Problem:
    found = settings.found.get(name)
    value, source = (found.value, found.source) if found else ("", "argument")
    return Problem(level, name, value, source, message, remedy)


# -- Kite's key and secret ---------------------------------------------------------------------------------------------


def _unusable(settings: Settings) -> Iterator[Problem]:
    key, secret = settings.api_key, settings.api_secret
    for name, value in (("ZERODHA_API_KEY", key), ("ZERODHA_API_SECRET", secret)):
        remedy = f"Set {name} to that of your app at {CONSOLE}"
        if placeholder(value):
            yield _problem(settings, "error", name, "is a placeholder", remedy)
        elif value and not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            why = "has quotes around it" if value[0] in "'\"" else "has characters other than letters and digits"
            yield _problem(settings, "error", name, why, remedy)
    if key and key == secret:
        why, remedy = "is the same as ZERODHA_API_SECRET", f"Copy each from your app at {CONSOLE}"
        yield _problem(settings, "error", "ZERODHA_API_KEY", why, remedy)


def _incomplete(settings: Settings) -> Iterator[Problem]:
    if settings.api_key and not settings.api_secret:
        why, remedy = "is not set, so nobody can log in to Kite", "Set ZERODHA_API_SECRET to that of your app at"
        yield _problem(settings, "error", "ZERODHA_API_SECRET", why, f"{remedy} {CONSOLE}")
    if settings.api_secret and not settings.api_key:
        simulated = "" if settings.wants_kite else " and the market is simulated"
        why = f"is not set, so the secret is of no use{simulated}"
        remedy = f"Set ZERODHA_API_KEY to that of your app at {CONSOLE} or remove ZERODHA_API_SECRET"
        yield _problem(settings, "error", "ZERODHA_API_KEY", why, remedy)


# -- the desk's own secret ---------------------------------------------------------------------------------------------


def _jwt_secret(settings: Settings) -> Iterator[Problem]:
    secret, remedy = settings.jwt_secret, f"Set JWT_SECRET to what this prints: {MAKE_SECRET}"
    if not secret:
        if not is_loopback(settings.host):
            why = f"is not set and the desk listens on {settings.host}"
            yield _problem(settings, "error", "JWT_SECRET", why, remedy)
    elif secret == settings.api_secret:
        yield _problem(settings, "error", "JWT_SECRET", "is the same as ZERODHA_API_SECRET", remedy)
    elif why := weakness(secret):
        yield _problem(settings, "error", "JWT_SECRET", f"{why}, so it is not used", remedy)


# -- addresses ---------------------------------------------------------------------------------------------------------


def _addresses(settings: Settings) -> Iterator[Problem]:
    for name, value in (("FRONTEND_URL", settings.frontend_url), ("REDIS_URL", settings.redis_url)):
        if value and placeholder_host(urlsplit(value).hostname or ""):
            yield _problem(settings, "error", name, "names a placeholder", f"Set {name} to the real address")
    if settings.frontend_url and not _safe(settings.frontend_url):
        why = "is http outside this machine: passwords and cookies cross the network in the clear"
        remedy = f"Put the desk behind https and set FRONTEND_URL=https://{urlsplit(settings.frontend_url).netloc}"
        yield _problem(settings, "warning", "FRONTEND_URL", why, remedy)
    if not settings.frontend_url and settings.host in EVERYWHERE:
        why = f"is not set and the desk listens on {settings.host}, which is no address to open"
        remedy = "Set FRONTEND_URL to the address people open, such as https://desk.example.com"
        yield _problem(settings, "error", "FRONTEND_URL", why, remedy)


def _redirect(settings: Settings) -> Iterator[Problem]:
    """Kite leads back to the URL registered with it, and the browser must find its session there."""
    if not (settings.redirect_url or settings.has_credentials):
        return
    address, right = settings.address, settings.address + CALLBACK
    if why := ", and ".join(_astray_callback(settings)):
        remedy = f"Register {right} at {CONSOLE} and set REDIRECT_URL={right}"
        if settings.host in EVERYWHERE and not settings.frontend_url:
            # Nobody can say yet where people log in; FRONTEND_URL is reported as well.
            remedy = f"Set FRONTEND_URL first, then REDIRECT_URL to the same with {CALLBACK} after it"
        elif placeholder_host(urlsplit(address).hostname or ""):
            remedy = f"Set FRONTEND_URL to the real address and REDIRECT_URL to the same with {CALLBACK} after it"
        elif not _safe(address):
            https = f"https://{urlsplit(address).netloc}"
            remedy = f"Set FRONTEND_URL={https} and REDIRECT_URL={https}{CALLBACK}, and register that at {CONSOLE}"
        yield _problem(settings, "error", "REDIRECT_URL", why, remedy)


def _astray_callback(settings: Settings) -> Iterator[str]:
    """Everything that is wrong with the callback, in words."""
    callback, address = urlsplit(settings.callback), settings.address
    host = callback.hostname or ""
    if settings.redirect_url and placeholder_host(host):
        yield "names a placeholder"
        return
    if callback.path != CALLBACK or callback.query or callback.fragment:
        yield f"leads to {show_plain(callback.path) or '/'}; allowed: {CALLBACK}"
    if not settings.frontend_url and settings.host in EVERYWHERE:
        return
    if not _safe(settings.callback):
        yield f"is http on {host}; Kite accepts http only for 127.0.0.1 and localhost"
    elif not _same_origin(settings.callback, address, any_port=settings.port == 0 and not settings.frontend_url):
        why = f"is on {_origin(settings.callback)}, but people log in on {_origin(address)}"
        if is_loopback(host) and is_loopback(urlsplit(address).hostname or ""):
            why += "; a browser keeps their cookies apart"
        yield why


def _same_origin(one: str, other: str, *, any_port: bool) -> bool:
    first, second = _origin(one), _origin(other)
    return first.rpartition(":")[0] == second.rpartition(":")[0] if any_port else first == second


def _safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _origin(address: str) -> str:
    """`scheme://host:port`, the port always said."""
    parts = urlsplit(address)
    port = parts.port if parts.port is not None else {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{in_address(parts.hostname or '')}:{port}"


def _mixed_roots(settings: Settings) -> Iterator[Problem]:
    rest, ws = settings.kite_rest, settings.kite_ws
    if settings.has_credentials and _is_kite(rest) != _is_kite(ws):
        why = f"is {show_address(ws)} but TAPEDECK_KITE_REST is {show_address(rest)}: only one of the two is Kite"
        remedy = "Set both TAPEDECK_KITE_REST and TAPEDECK_KITE_WS, or neither"
        yield _problem(settings, "error", "TAPEDECK_KITE_WS", why, remedy)


def _mixed_login(settings: Settings) -> Iterator[Problem]:
    """A login page of Kite's own beside another exchange: what it hands back would be refused there."""
    if settings.has_credentials and not _is_kite(settings.kite_rest) and _is_kite(settings.kite_login):
        rest = show_address(settings.kite_rest)
        why = f"is Kite's own but TAPEDECK_KITE_REST is {rest}: a login there is good for nothing here"
        remedy = f"Set TAPEDECK_KITE_LOGIN={settings.kite_rest}/connect/login"
        yield _problem(settings, "warning", "TAPEDECK_KITE_LOGIN", why, remedy)


def _open_roots(settings: Settings) -> Iterator[Problem]:
    if not settings.has_credentials:
        return
    for name, root in (("TAPEDECK_KITE_REST", settings.kite_rest), ("TAPEDECK_KITE_WS", settings.kite_ws)):
        parts = urlsplit(root)
        if parts.scheme in ("http", "ws") and not is_loopback(parts.hostname or ""):
            why = f"is {parts.scheme} outside this machine: key and token cross the network in the clear"
            remedy = f"Use {parts.scheme}s://{parts.netloc} unless that is a simulated exchange of yours"
            yield _problem(settings, "warning", name, why, remedy)


def _is_kite(root: str) -> bool:
    host = urlsplit(root).hostname or ""
    return host in _KITE_HOSTS or host.endswith((".kite.trade", ".zerodha.com"))
