from __future__ import annotations

import json
from datetime import date, datetime, time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck import sessions
from tapedeck.clock import IST, SECOND, ManualClock, ist_date, ist_ns, to_ist
from tapedeck.sim.clock import LOOP_NS, LoopClock, default_start_ns, later_days

pytestmark = pytest.mark.timezones

MONDAY = date(2026, 11, 23)
OPENING = ist_ns(MONDAY, "09:14:30")


def clock_at(start_ns: int, **options: object) -> tuple[LoopClock, ManualClock]:
    real = ManualClock(monotonic=500.0)
    return LoopClock(start_ns, real=real, **options), real  # type: ignore[arg-type]


def shown(clock: LoopClock) -> str:
    return to_ist(clock.now()).strftime("%Y-%m-%d %H:%M:%S")


def test_market_time_starts_where_told_and_runs_with_real_time() -> None:
    clock, real = clock_at(OPENING)
    assert clock.now() == OPENING
    real.advance(30.5)
    assert clock.now() == OPENING + 30_500_000_000
    assert clock.monotonic() == 530.5


def test_the_day_ends_at_16_01_and_the_next_begins_before_its_pre_open() -> None:
    clock, real = clock_at(ist_ns(MONDAY, "16:00:59"))
    assert shown(clock) == "2026-11-23 16:00:59"
    real.advance(1.0)
    assert shown(clock) == "2026-11-25 08:59:30", "the 24th is a holiday"
    real.advance(LOOP_NS / SECOND)
    assert shown(clock) == "2026-11-26 08:59:30"


def test_after_the_last_covered_day_it_goes_back_to_the_first() -> None:
    last = sessions.last_covered_trading_day(date.max)
    before = sessions.previous_trading_day(last)
    clock, real = clock_at(ist_ns(before, "09:14:30"), speed=60.0)
    seen = []
    for _ in range(4):
        real.advance(clock.to_jump()[0] + 1e-6)
        seen.append(ist_date(clock.now()))
    assert seen == [last, before, last, before]


@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0, 600.0])
def test_speed_changes_how_fast_market_time_runs_and_nothing_else(speed: float) -> None:
    slow, slow_real = clock_at(OPENING)
    fast, fast_real = clock_at(OPENING, speed=speed)
    for market_s in (0, 17, 3600, 30_000, 300_000):
        slow_real._monotonic = 500.0 + market_s
        fast_real._monotonic = 500.0 + market_s / speed
        assert abs(slow.now() - fast.now()) < 1000


def test_to_jump_says_when_and_where_to() -> None:
    clock, real = clock_at(ist_ns(MONDAY, "16:00:00"), speed=10.0)
    assert clock.to_jump() == (6.0, date(2026, 11, 25))
    real.advance(6.0)
    assert clock.to_jump() == (LOOP_NS / SECOND / 10, date(2026, 11, 26))


def test_a_weekend_runs_through_and_leads_to_monday() -> None:
    clock, real = clock_at(ist_ns(date(2026, 11, 21), "12:00"))
    real.advance(4 * 3600 + 61)
    assert shown(clock) == "2026-11-23 08:59:31"
    assert date(2026, 11, 21) not in later_days(date(2026, 11, 21))


def test_an_evening_start_is_not_cut_off_at_once() -> None:
    clock, real = clock_at(ist_ns(MONDAY, "18:00"))
    real.advance(3600)
    assert shown(clock) == "2026-11-23 19:00:00"


def test_a_start_beyond_the_calendar_goes_on_with_the_last_covered_day() -> None:
    last = sessions.last_covered_trading_day(date.max)
    clock, real = clock_at(ist_ns(date(2031, 5, 5), "16:00:59"))
    real.advance(1.0)
    assert ist_date(clock.now()) == last


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), 1e9])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed was"):
        LoopClock(OPENING, speed=speed)


def test_the_default_start_is_half_a_minute_before_the_opening_of_the_last_trading_day() -> None:
    assert to_ist(default_start_ns(date(2026, 11, 24))) == datetime(2026, 11, 23, 9, 14, 30, tzinfo=IST)


def test_the_document_is_small_json_and_names_the_source() -> None:
    clock, real = clock_at(OPENING, speed=2.0, seed=11)
    real.advance(5.0)
    document = json.loads(json.dumps(clock.document()))
    assert document == {
        "seed": 11,
        "source": "sim:11:2026-11-23",
        "market_ns": OPENING + 10 * SECOND,
        "start_ns": OPENING,
        "elapsed_s": 5.0,
        "speed": 2.0,
        "date": "2026-11-23",
    }
    assert len(json.dumps(document)) < 300


def test_a_clock_made_from_the_document_runs_in_step_though_its_monotonic_differs() -> None:
    clock, real = clock_at(OPENING, speed=600.0)
    real.advance(12.25)
    other = ManualClock(monotonic=9.0)
    copy = LoopClock.from_document(clock.document(), real=other)
    for seconds in (0.0, 3.0, 40.0, 1000.0):
        real.advance(seconds)
        other.advance(seconds)
        assert abs(copy.now() - clock.now()) <= 600 * 1000
    assert copy.document()["source"] == clock.document()["source"]


@settings(max_examples=150, deadline=None)
@given(
    start=st.integers(ist_ns(date(2024, 1, 2), "00:00"), ist_ns(date(2026, 12, 30), "23:59")),
    speed=st.floats(0.1, 600),
    elapsed=st.lists(st.floats(0, 400_000), min_size=2, max_size=6),
)
def test_time_only_jumps_forward_at_the_end_of_a_day_and_stays_in_its_hours(
    start: int, speed: float, elapsed: list[float]
) -> None:
    clock, _ = clock_at(start, speed=speed)
    for seconds in sorted(elapsed):
        now = clock.at(seconds)
        plain = clock.start_ns + int(seconds * speed * SECOND)
        if now != plain:
            at = to_ist(now)
            assert sessions.is_trading_day(at.date())
            assert time(8, 59, 30) <= at.time() < time(16, 1)
        else:
            assert now < clock.start_ns + 24 * 3600 * SECOND + SECOND
