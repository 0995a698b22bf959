"""A night in fast-forward: the token dies at 06:00, one login at 08:50 brings the feed back before the market opens."""

from __future__ import annotations

from datetime import datetime, time

import pytest

from tests.support import wait_until
from tests.test_login_journey import Pair, log_in


@pytest.mark.timeout(200)
def test_a_token_that_dies_at_six_is_asked_for_once_and_renewed_without_a_restart(tmp_path) -> None:
    # Market time runs 200 times as fast: the night is a minute, and from 08:50 to the pre-open session are 3 s.
    pair = Pair(tmp_path, "--start", "2026-11-25T04:00:00", "--speed", "200", "--daily-tokens")
    try:
        visitor = pair.visitor()
        log_in(visitor)
        wait_until(lambda: pair.feed() == "LIVE")
        pid, connected = pair.desk.process.pid, pair.connections()
        wait_until(lambda: pair.auth()["state"] == "LOGIN_REQUIRED", timeout=60, every=0.2)
        assert pair.auth()["cause"] == "expired at 06:00 IST"
        wait_until(lambda: pair.feed() == "LOGIN_REQUIRED")
        wait_until(lambda: clock(pair) >= time(8, 50), timeout=90, every=0.1)
        night = pair.connections()
        assert night["refused"] == connected["refused"] == 0, "nothing is asked with a dead token"
        assert night["total"] - connected["total"] == 0
        log_in(visitor)
        wait_until(lambda: pair.feed() == "LIVE")
        report = pair.desk.json("/api/system/report")
        asked = [one for one in report["auth"]["timeline"] if one["cause"] == "expired at 06:00 IST"]
        assert [(one["from"], one["to"]) for one in asked] == [("EXPIRED", "LOGIN_REQUIRED"), ("VALID", "EXPIRED")]
        assert all(time(6, 0) <= at(one).time() < time(6, 10) for one in asked)
        live = next(one for one in report["feed"]["timeline"] if one["state"] == "LIVE")
        assert time(8, 50) <= at(live).time() < time(9, 0), "back before PRE_OPEN"
        assert pair.connections()["total"] - connected["total"] == 1
        assert pair.desk.process.pid == pid
        visitor.session.close()
    finally:
        pair.stop()


def at(entry: dict[str, str]) -> datetime:
    return datetime.fromisoformat(entry["at"])


def clock(pair: Pair) -> time:
    """Market time of day, as the desk has it."""
    return datetime.fromisoformat(pair.desk.json("/api/system/market-status")["at"]).time()
