"""The route of the day: lines and yesterday's open interest, the same for whoever asks, filled in as they come."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tapedeck.clock import MINUTE
from tapedeck.settings import parse_start
from tests.inside import Inside
from tests.support import wait_until

START = parse_start("2026-11-23T10:00:00")
FUTURE = "NFO:RELIANCE26NOVFUT"


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Inside]:
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        running = Inside(folder, sim_start=START)
        wait_until(lambda: running.get("/readyz").status_code == 200)
        yield running
        running.close()


def ask(desk: Inside, *keys: str, **more: object) -> dict:
    answer = desk.get("/api/day?" + urlencode([*(("i", key) for key in keys), *more.items()]))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    return answer.json()


def test_a_desk_that_started_late_has_the_morning_from_official_minutes(desk):
    # Seen whole by the desk: the minute it is in is the exchange's; those before it are had from candles.
    body = wait_until(lambda: complete(ask(desk, "NSE:INFY", "NSE:NIFTY 50", step=60)), timeout=30)
    assert body["simulated"]
    assert body["source"] == "sim:7:2026-11-23"
    assert (body["epoch"], body["step_s"]) == (desk.desk.hub.epoch, 60)
    for day in body["days"].values():
        assert day["start_ms"] == parse_start("2026-11-23T09:00:00") // 1_000_000
        assert day["end_ms"] == parse_start("2026-11-23T15:35:00") // 1_000_000
        assert len(day["prices"]) >= 60
        assert day["previous_oi"] is None
    token = desk.desk.instruments.get("NSE:INFY").instrument_token
    official = desk.desk.exchange.fetch_candles(token, "minute", START - 60 * MINUTE, START - MINUTE)
    assert body["days"]["NSE:INFY"]["prices"][15:60] == official["close"].tolist()


def complete(body: dict) -> dict | None:
    """The answer, once the minutes from 09:15 to 10:00 are known of everything."""
    known = all(None not in day["prices"][15:60] for day in body["days"].values())
    return body if known else None


def test_what_somebody_watches_grows_with_the_minutes(desk):
    wait_until(lambda: desk.desk.quotes("NSE:TCS")["fresh"].all())
    price = wait_until(lambda: ask(desk, "NSE:TCS")["days"]["NSE:TCS"]["prices"][-1], timeout=30)
    assert price > 0


def test_open_interest_of_the_day_before_is_that_of_the_official_candle(desk):
    row = wait_until(
        lambda: (day := ask(desk, FUTURE, "NSE:SBIN")["days"][FUTURE])["previous_oi"] is not None and day, timeout=30
    )
    token = desk.desk.instruments.get(FUTURE).instrument_token
    friday = parse_start("2026-11-20T00:00:00")
    official = desk.desk.exchange.fetch_candles(token, "day", friday, friday, oi=True)
    assert row["previous_oi"] == official["oi"][0]
    assert row["previous_oi_date"] == 20261120
    assert desk.desk.references.previous_oi(official["oi"][:0]).size == 0


def test_what_is_fetched_is_counted_where_an_operator_looks(desk):
    about = desk.json("/api/system/health")
    assert {"queue", "fetched", "failed", "dropped", "problem"} <= set(about["references"])
    assert about["references"]["failed"] == 0
    assert about["lines"]["unrecorded"] == 0


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "1 to 500"),
        ("i=INFY", 400, "EXCHANGE:TRADINGSYMBOL"),
        ("i=NSE:INFYY", 404, "INFY"),
        ("i=NSE:INFY&step=90", 400, "whole minutes"),
        ("i=NSE:INFY&step=0", 400, "60 to 3600"),
        ("i=NSE:INFY&step=7200", 400, "60 to 3600"),
        ("i=NSE:INFY&step=180&step=60", 400, "once"),
        ("i=NSE:INFY&days=2", 400, "allowed: i, step"),
        ("&".join(["i=NSE:INFY"] * 501), 400, "501 times"),
    ],
)
def test_a_wrong_question_for_the_day_is_told_why(desk, query, status, words):
    answer = desk.get("/api/day?" + query)
    assert answer.status_code == status
    assert words in answer.json()["reason"]


def test_500_instruments_at_once_are_answered(desk):
    keys = [one.key for one in desk.desk.instruments][:500]
    body = ask(desk, *keys)
    assert list(body["days"]) == keys
    assert body["waiting"] > 0
