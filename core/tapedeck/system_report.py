"""How the whole desk is, as plain JSON: settings, login, feed, phases, quota, storage, versions.

`system_report` gathers it from a desk; what a desk does not have is empty. `tapedeck.system_text` writes it out.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from tapedeck import sessions
from tapedeck.auth import HANDED_OVER, VALID
from tapedeck.clock import to_ist
from tapedeck.settings import SETTINGS

#: Parts of the desk's health that depend on their version.
PACKAGES = (
    "tapedeck", "panel", "panel-material-ui", "bokeh", "holoviews", "tornado", "websockets", "kiteconnect", "pandas",
    "numpy", "numba", "redis",
)  # fmt: skip
#: Fields of a row of the settings table.
ROW = ("level", "name", "value", "source", "message", "remedy")
_ORDER = {"error": 0, "warning": 1, "ok": 2}
#: Shorter ones would strike ordinary words out of a report.
SHORTEST_SECRET = 6
#: Entries of a timeline that a report carries.
NEWEST = 50


def system_report(desk: Any, *, access: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The report of a desk: times in ISO with India's offset, null where there is none.

    `access` says for whom it is (user, role). Reads the disk at times, so call it on a thread. No secret of the
    settings is in it, wherever somebody may have written one.
    """
    now = desk.clock.now()
    quota = getattr(getattr(desk, "exchange", None), "quota", None)
    storage = getattr(desk, "storage", None)
    auth = auth_section(_called(desk, "auth_status"), _called(desk, "auth_timeline") or ())
    may_act = (access or {}).get("role") != "viewer"  # who would be refused
    report = {
        "at": iso(now),
        "source": desk.source,
        "simulated": desk.simulated,
        "not_ready": list(desk.not_ready()),
        "settings": config_report(desk)["settings"],
        "auth": auth,
        "feed": feed_section(desk),
        "phases": phase_rows(now),
        "quota": quota.describe() if quota is not None else {},
        "storage": storage.describe() if storage is not None else {},
        "versions": dict(versions()),
        "access": {"user": "", "role": ""} | dict(access or {}),
        "can_recheck": callable(getattr(desk, "recheck", None)) and may_act,
        "can_log_out": auth["state"] == VALID and may_act and (not desk.simulated or _by_a_person(auth)),
    }
    return _scrubbed(report, secrets_of(getattr(desk, "settings", None)))


def _by_a_person(auth: Mapping[str, Any]) -> bool:
    # A desk logs in to its own simulator by itself, every time anew: there is nothing to log out of.
    return bool(auth["user_id"]) and auth["cause"] != HANDED_OVER


def config_report(desk: Any) -> dict[str, Any]:
    """The settings alone, problems first: `checked` and rows of level, name, value, source, message, remedy."""
    report = getattr(desk, "check_report", None)
    rows = sorted(
        (setting_row(row) for row in getattr(report, "rows", None) or ()), key=lambda row: _ORDER.get(row["level"], 0)
    )
    found = {"checked": report is not None, "settings": rows}
    return _scrubbed(found, secrets_of(getattr(desk, "settings", None)))


def setting_row(row: Any) -> dict[str, str]:
    """A row of a check, an object or a mapping, as a mapping of texts."""
    get = row.get if isinstance(row, Mapping) else lambda name: getattr(row, name, None)
    return {name: "" if get(name) is None else str(get(name)) for name in ROW}


def auth_section(status: Any, timeline: Iterable[Any]) -> dict[str, Any]:
    """State of the login and its changes, newest first; state null where the desk has no login to Kite."""
    # What happened in one instant stays in its order, too.
    newest_first = list(timeline)[::-1]
    changes = [
        {"at": iso(one.at), "from": one.from_state, "to": one.to_state, "cause": one.cause} for one in newest_first
    ]

    def said(name: str, empty: Any) -> Any:
        return getattr(status, name, empty) or empty

    return {
        "state": said("state", None),
        "since": iso(said("since", 0)),
        "cause": said("cause", ""),
        "user_id": said("user_id", ""),
        "expires_at": iso(said("expires_at", 0)),
        "last_success": iso(said("last_success", 0)),
        "failures": said("failures", 0),
        "last_failure": said("last_failure", ""),
        "timeline": changes[:NEWEST],
    }


def feed_section(desk: Any) -> dict[str, Any]:
    """State of the feed, its age in seconds, and its changes, newest first."""
    changes = [
        {"at": iso(at), "state": state, "reason": reason} for at, state, reason in _called(desk, "feed_timeline") or ()
    ]
    status = getattr(getattr(desk, "socket", None), "status", None)
    return {
        "state": desk.hub.feed_state,
        "reason": desk.hub.feed_reason,
        "age_s": round(age, 1) if (age := desk.hub.age()) < float("inf") else None,
        "connections": getattr(status, "connections", 0),
        "attempts": getattr(status, "attempts", 0),
        "subscribed": getattr(status, "subscribed", 0),
        "timeline": changes[:NEWEST],
    }


def phase_rows(now: int) -> list[dict[str, Any]]:
    """One row per segment and hours: classes of a segment that do the same now share a row."""
    rows: list[dict[str, Any]] = []
    for name, segment in sessions.SEGMENTS.items():
        alike: dict[tuple[Any, ...], dict[str, Any]] = {}
        for kind in segment.classes:
            row = _phase_row(name, kind, now)
            known = alike.setdefault(tuple(value for key, value in row.items() if key != "classes"), row)
            if known is not row:
                known["classes"] += row["classes"]
        for row in alike.values():
            row["all_classes"] = len(row["classes"]) == len(segment.classes)
        rows += alike.values()
    return rows


def _phase_row(segment: str, kind: str, now: int) -> dict[str, Any]:
    phase = sessions.phase(segment, now, session_class=kind)
    at, then = sessions.next_transition(now, segment, session_class=kind)
    return {
        "segment": segment,
        "classes": [kind],
        "status": phase.coarse,
        "phase": phase.name,
        "sub_phase": phase.sub,
        "since": iso(phase.since),
        "until": iso(phase.until),
        "next_phase": phase.next,
        "next_transition": iso(at),
        "next_status": then,
        "reason": phase.reason,
        "covered": phase.covered,
    }


@lru_cache(maxsize=1)
def versions() -> tuple[tuple[str, str], ...]:
    """Name and version of this program, Python, the machine and the packages that matter; `-` what is not there."""
    found = [("python", platform.python_version()), ("platform", platform.platform(aliased=True, terse=False))]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "-"))
    return tuple(sorted(found, key=lambda one: one[0] not in ("tapedeck", "python", "platform")))


def iso(at: int | datetime | None) -> str | None:
    """A time in ISO with India's offset, to the second; None for none."""
    if not at:
        return None
    return (at if isinstance(at, datetime) else to_ist(int(at))).isoformat(timespec="seconds")


def secrets_of(settings: Any) -> frozenset[str]:
    """Every secret that the settings hold, passwords inside addresses among them."""
    values = {str(getattr(settings, one.attribute, "") or "") for one in SETTINGS if one.secret}
    for one in SETTINGS:
        value = getattr(settings, one.attribute, "")
        if isinstance(value, str) and "://" in value and (password := urlsplit(value).password):
            values.add(password)
    return frozenset(value for value in values if len(value) >= SHORTEST_SECRET)


def _called(desk: Any, name: str) -> Any:
    method = getattr(desk, name, None)
    return method() if callable(method) else None


def _scrubbed(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _scrubbed(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrubbed(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
    return value
