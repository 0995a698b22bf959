"""The calendar against recorded candles: minute for minute in 2024 Q1, day for day until August 2025."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from tapedeck import sessions
from tapedeck.clock import MINUTE, ist_ns, to_ist

pytestmark = pytest.mark.timezones

FIRST, LAST = date(2024, 1, 1), date(2024, 3, 31)
#: The recorder ran on after the close of this Saturday, repeating the last value.
FLAT_TAIL_DAY, FLAT_TAIL_FROM = date(2024, 1, 20), "15:30"
#: Trading days that the minute recording has not; the daily candles have them.
NOT_RECORDED = {date(2024, 2, 1), date(2024, 3, 4)}
DAILY_UNTIL = date(2025, 8, 12)


def minutes_of(path: Path) -> dict[date, list[int]]:
    """Starts of the recorded minutes, UTC ns, by Indian date."""
    dates = pd.read_parquet(path, columns=["date"])["date"]
    by_day: dict[date, list[int]] = {}
    for stamp in dates:
        by_day.setdefault(stamp.date(), []).append(stamp.value)
    return by_day


def live_minutes(day: date) -> list[int]:
    """Starts of the minutes in which an index is LIVE, UTC ns."""
    return [
        ns
        for span in sessions.spans(day, "NSE", "index")
        if span.name == "LIVE"
        for ns in range(span.start_ns, span.end_ns, MINUTE)
    ]


@pytest.fixture(params=["NIFTY_50", "NIFTY_BANK"])
def recorded(request: pytest.FixtureRequest, real_data: Path) -> dict[date, list[int]]:
    return minutes_of(real_data / f"{request.param}_minute_2024Q1.parquet")


def test_the_recorded_days_are_trading_days(recorded: dict[date, list[int]]):
    assert set(sessions.trading_days(FIRST, LAST)) - set(recorded) == NOT_RECORDED
    assert set(recorded) <= set(sessions.trading_days(FIRST, LAST))


def test_every_recorded_minute_is_live_but_for_the_flat_tail(recorded: dict[date, list[int]]):
    tail = ist_ns(FLAT_TAIL_DAY, FLAT_TAIL_FROM)
    for day, minutes in recorded.items():
        for ns in minutes:
            for instant in (ns, ns + MINUTE - 1):
                found = sessions.phase("NSE", instant, session_class="index")
                if day == FLAT_TAIL_DAY and ns >= tail:
                    assert found.coarse == "CLOSED", to_ist(ns)
                else:
                    assert found.name == "LIVE", to_ist(ns)


def test_every_live_minute_of_a_recorded_day_has_its_bar(recorded: dict[date, list[int]]):
    for day, minutes in recorded.items():
        assert set(live_minutes(day)) <= set(minutes), day
        assert len(minutes) == len(set(minutes)), day


def test_the_flat_tail_is_outside_the_session_and_flat(real_data: Path):
    bars = pd.read_parquet(real_data / "NIFTY_50_minute_2024Q1.parquet").set_index("date")
    tail = bars.loc["2024-01-20 15:30":"2024-01-20 23:59"]
    assert len(tail) == 167
    # One late correction at 15:33, the published close, and nothing after it.
    settled = tail.loc["2024-01-20 15:34":, ["open", "high", "low", "close"]]
    assert settled.to_numpy().min() == settled.to_numpy().max()
    inside = [stamp for stamp in tail.index if sessions.phase("NSE", stamp, session_class="index").coarse != "CLOSED"]
    assert inside == []


def test_the_drill_of_march_has_its_two_parts_to_the_minute(recorded: dict[date, list[int]]):
    drill = date(2024, 3, 2)
    first = range(ist_ns(drill, "09:15"), ist_ns(drill, "10:00"), MINUTE)
    second = range(ist_ns(drill, "11:30"), ist_ns(drill, "12:30"), MINUTE)
    assert sorted(recorded[drill]) == [*first, *second] == live_minutes(drill)


@pytest.mark.parametrize("symbol", ["RELIANCE", "HDFCBANK", "TCS"])
def test_the_daily_candles_are_those_of_the_trading_days(symbol: str, real_data: Path):
    dates = {stamp.date() for stamp in pd.read_parquet(real_data / f"{symbol}_day.parquet", columns=["date"])["date"]}
    known = sorted(day for day in dates if sessions.covered(day))
    assert known == sessions.trading_days(FIRST, DAILY_UNTIL)
    assert len([day for day in known if day.year == 2024]) == 249
    assert dates >= NOT_RECORDED
