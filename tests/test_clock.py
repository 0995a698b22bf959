"""Clocks and the conversions between UTC nanoseconds and Indian time."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.clock import (
    DAY,
    IST,
    SECOND,
    ManualClock,
    OffsetClock,
    SwitchableClock,
    SystemClock,
    ist_date,
    ist_midnight,
    ist_ns,
    to_ist,
    to_ns,
)

pytestmark = pytest.mark.timezones

# 1970 to 2100: far beyond what Kite ever sends.
INSTANTS = st.integers(0, 4_102_444_800 * SECOND)


@settings(max_examples=200, deadline=None)
@given(INSTANTS)
def test_nanoseconds_survive_the_way_to_indian_time_and_back(ns: int):
    there = to_ist(ns)
    assert there.utcoffset() == timedelta(hours=5, minutes=30)
    assert to_ns(there) == ns // 1000 * 1000


@settings(max_examples=200, deadline=None)
@given(INSTANTS)
def test_the_indian_date_is_that_of_the_indian_clock(ns: int):
    assert ist_date(ns) == to_ist(ns).date()
    assert ist_midnight(ist_date(ns)) <= ns < ist_midnight(ist_date(ns)) + DAY


def test_the_indian_day_turns_at_half_past_six_in_the_evening_utc():
    turn = to_ns(datetime(2026, 11, 22, 18, 30, tzinfo=timezone.utc))
    assert ist_date(turn - 1) == date(2026, 11, 22)
    assert ist_date(turn) == date(2026, 11, 23)
    assert ist_midnight(date(2026, 11, 23)) == turn


@pytest.mark.parametrize(
    ("hhmm", "utc"),
    [
        ("00:00", datetime(2026, 11, 22, 18, 30, tzinfo=timezone.utc)),
        ("09:15", datetime(2026, 11, 23, 3, 45, tzinfo=timezone.utc)),
        ("09:14:30", datetime(2026, 11, 23, 3, 44, 30, tzinfo=timezone.utc)),
        ("23:55", datetime(2026, 11, 23, 18, 25, tzinfo=timezone.utc)),
    ],
)
def test_a_time_on_the_wall_in_india(hhmm: str, utc: datetime):
    assert ist_ns(date(2026, 11, 23), hhmm) == to_ns(utc)
    assert to_ist(ist_ns(date(2026, 11, 23), hhmm)) == utc


def test_the_same_instant_in_any_zone_is_the_same_number():
    utc = datetime(2026, 3, 8, 6, 59, 59, 123456, tzinfo=timezone.utc)
    assert to_ns(utc) == to_ns(utc.astimezone(IST)) == to_ns(utc.astimezone(timezone(timedelta(hours=-5))))
    assert to_ns(utc) % SECOND == 123_456_000


def test_a_pandas_timestamp_keeps_its_nanoseconds():
    stamp = pd.Timestamp("2026-11-23 09:15:00.123456789", tz="Asia/Kolkata")
    assert to_ns(stamp) == stamp.value


def test_an_integer_is_nanoseconds_already():
    assert to_ns(17) == 17


def test_a_naive_time_is_refused():
    naive = datetime(2026, 11, 23, 9, 15)  # noqa: DTZ001 - the very mistake
    with pytest.raises(ValueError, match=r"naive.*zone"):
        to_ns(naive)


def test_the_system_clock_moves_and_real_time_never_goes_back():
    clock = SystemClock()
    first, second = clock.monotonic(), clock.monotonic()
    assert second >= first
    assert ist_date(clock.now()) > date(2025, 1, 1)


def test_an_offset_clock_runs_from_its_start_at_its_speed():
    start = ist_ns(date(2026, 11, 23), "09:14:30")
    real = SystemClock()
    clock = OffsetClock(start, speed=60.0, origin=real.monotonic() - 30)  # 30 s ago
    before = real.monotonic()
    now = clock.now()
    elapsed = (now - start) / SECOND
    assert 30 * 60 <= elapsed <= (30 + real.monotonic() - before + 60) * 60
    assert clock.monotonic() >= before


def test_an_offset_clock_starts_now_unless_told_otherwise():
    clock = OffsetClock(5 * DAY, speed=0.0)
    assert clock.now() == 5 * DAY
    assert clock.origin <= clock.monotonic()


def test_a_manual_clock_stands_still_until_told():
    clock = ManualClock(1000, monotonic=5.0)
    assert (clock.now(), clock.monotonic()) == (1000, 5.0)
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic()) == (1000 + 1_500_000_000, 6.5)
    clock.advance(1, speed=60)
    assert (clock.now(), clock.monotonic()) == (1000 + 61_500_000_000, 7.5)
    clock.set(42)
    assert (clock.now(), clock.monotonic()) == (42, 7.5)


def test_a_switchable_clock_follows_another_from_then_on():
    first, second = ManualClock(1, monotonic=1.0), ManualClock(2, monotonic=2.0)
    clock = SwitchableClock(first)
    assert (clock.now(), clock.monotonic()) == (1, 1.0)
    clock.switch(second)
    assert (clock.now(), clock.monotonic()) == (2, 2.0)
    first.advance(10)
    assert clock.now() == 2
