"""A desk with something to say in every section of its report."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tapedeck.clock import SECOND, ManualClock
from tapedeck.kite.quota import Quota
from tapedeck.settings import Settings, parse_start
from tapedeck.system_report import system_report
from tapedeck.system_text import system_text

NOW = parse_start("2026-11-23T10:00:00")
SECRET = "a-secret-of-the-operator"
HOUR = 3600 * SECOND


def row(level: str, name: str, value: str = "", source: str = "default", message: str = "", remedy: str = "") -> Any:
    return SimpleNamespace(level=level, name=name, value=value, source=source, message=message, remedy=remedy)


ROWS = (
    row("ok", "ZERODHA_API_KEY", "kite…key", "environment"),
    row("warning", "REDIS_URL", "redis://***@localhost:6379/0", ".env line 3", "localhost is this container itself",
        "REDIS_URL=redis://redis:6379/0"),
    row("ok", "TAPEDECK_PORT", "5006"),
    row("error", "ZERODHA_API_SECRET", "", "not set", "a key is set without its secret", "set ZERODHA_API_SECRET"),
)  # fmt: skip


class StubDesk:
    """As much of a desk as its report asks for; `without` leaves away what only some desks have."""

    def __init__(self, *, without: tuple[str, ...] = ()) -> None:
        self.clock = ManualClock(NOW, monotonic=100.0)
        self.source, self.simulated = "kite", False
        self.settings = Settings(api_key="kitekey", api_secret=SECRET)
        self.hub = SimpleNamespace(feed_state="LIVE", feed_reason="", age=lambda: 0.4)
        self.socket = SimpleNamespace(status=SimpleNamespace(connections=2, attempts=3, subscribed=53))
        quota = Quota(self.clock)
        for kind in ("historical", "historical", "other"):
            quota(kind)
        quota.refused("quote", 40)
        self.exchange = SimpleNamespace(quota=quota)
        self.check_report = SimpleNamespace(rows=ROWS)
        self.storage = SimpleNamespace(describe=lambda: {
            "folder": "data", "problem": "", "bytes": {".": 812, "tape": 5_300_000_000, "candles": 84_000_000},
            "total": 5_384_000_812, "free": 83_000_000_000, "complete": True,
        })  # fmt: skip
        for name in without:
            setattr(self, name, None)

    def not_ready(self) -> list[str]:
        return []

    def feed_timeline(self) -> list[tuple[int, str, str]]:
        return [
            (NOW - 60 * SECOND, "LIVE", ""), (NOW - 62 * SECOND, "CONNECTING", "connecting"),
            (NOW - 63 * SECOND, "STALE", "no heartbeat for 5 s"),
        ]  # fmt: skip

    def auth_status(self) -> Any:
        return SimpleNamespace(
            state="VALID", since=NOW - HOUR, cause="logged in", user_id="AB1234", expires_at=NOW + 20 * HOUR,
            last_success=NOW - 5 * SECOND, failures=0, last_failure="",
        )  # fmt: skip

    def auth_timeline(self) -> list[Any]:
        changes = (
            (NOW - 5 * HOUR, "EXPIRED", "LOGIN_REQUIRED", "expired at 06:00 IST"),
            (NOW - HOUR - SECOND, "LOGIN_REQUIRED", "EXCHANGING", "a login began"),
            (NOW - HOUR, "EXCHANGING", "VALID", "logged in"),
        )
        return [SimpleNamespace(at=at, from_state=a, to_state=b, cause=why) for at, a, b, why in changes]


def stub_report(desk: StubDesk | None = None, **changes: Any) -> dict[str, Any]:
    """What `/api/system/report` would answer, with `changes` on top."""
    report = system_report(desk or StubDesk())
    return report | {"text": system_text(report)} | changes
