"""Phases of every kind of day, typed in by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest

from tapedeck import sessions
from tapedeck.clock import IST, MINUTE, ManualClock, ist_ns, to_ist, to_ns
from tapedeck.errors import ConfigError, CoverageWarning
from tapedeck.schema import Instrument

pytestmark = pytest.mark.timezones

OLD_PRE_OPEN = "09:00 PRE_OPEN/order_entry 09:08 PRE_OPEN/matching 09:12 PRE_OPEN/buffer 09:15 "
NEW_PRE_OPEN = (
    "09:00 PRE_OPEN/order_entry 09:05 PRE_OPEN/order_entry_limit_only "
    "09:10 PRE_OPEN/matching 09:12 PRE_OPEN/buffer 09:15 "
)
OLD_CLOSE = "LIVE 15:30 POST_CLOSE/close_calculation 15:40 POST_CLOSE/post_close 16:00"
OLD_DAY = OLD_PRE_OPEN + OLD_CLOSE
FIRST_AUCTION = (
    "LIVE 15:15 CLOSING_AUCTION/reference 15:20 CLOSING_AUCTION/order_entry "
    "15:25 CLOSING_AUCTION/order_entry_limit_only 15:30 CLOSING_AUCTION/matching "
    "15:35 POST_CLOSE/buffer 15:50 POST_CLOSE/post_close 16:00"
)
SECOND_AUCTION = (
    "LIVE 15:30 CLOSING_AUCTION/reference 15:31 CLOSING_AUCTION/order_entry "
    "15:36 CLOSING_AUCTION/order_entry_limit_only 15:40 POST_CLOSE/buffer 15:50 POST_CLOSE/post_close 16:00"
)
OTHER_CLOSE = "LIVE 15:30 POST_CLOSE/close_calculation 15:50 POST_CLOSE/post_close 16:00"
DRILL = (
    "09:00 PRE_OPEN/order_entry 09:08 PRE_OPEN/buffer 09:15 LIVE 10:00 CLOSED/break 11:15 PRE_OPEN/order_entry "
    "11:23 PRE_OPEN/buffer 11:30 LIVE 12:30 POST_CLOSE/close_calculation 12:40 POST_CLOSE/post_close 12:50"
)

#: date, segment, class, what happens from the day's first phase to its last.
DAYS = [
    # Ordinary days before, between and after the changes of 2025 and 2026.
    ("2026-07-31", "NSE_EQ", "other", OLD_DAY),
    ("2026-07-31", "BSE_EQ", "cas", OLD_DAY),
    ("2026-07-31", "NSE_EQ", "index", OLD_DAY),
    ("2026-07-31", "NFO", "option", "09:15 LIVE 15:30"),
    ("2026-08-03", "NSE_EQ", "cas", OLD_PRE_OPEN + FIRST_AUCTION),
    ("2026-08-03", "NSE_EQ", "other", OLD_PRE_OPEN + OTHER_CLOSE),
    (
        "2026-08-03",
        "NSE_EQ",
        "index",
        OLD_PRE_OPEN + "LIVE 15:15 CLOSING_AUCTION/stale 15:30 CLOSING_AUCTION/closing_value 15:35",
    ),
    ("2026-08-03", "NFO", "option", "09:15 LIVE 15:40"),
    ("2026-09-04", "NSE_EQ", "cas", OLD_PRE_OPEN + FIRST_AUCTION),
    ("2026-09-07", "NSE_EQ", "cas", NEW_PRE_OPEN + FIRST_AUCTION),
    ("2026-09-07", "NFO", "future_m1", NEW_PRE_OPEN + "LIVE 15:40"),
    ("2026-11-23", "BSE_EQ", "cas", NEW_PRE_OPEN + FIRST_AUCTION),
    ("2026-11-23", "BFO", "option", "09:15 LIVE 15:40"),
    ("2026-11-23", "NFO", "index_contract_expiring_today", "09:15 LIVE 15:40"),
    ("2026-12-04", "NFO", "option", "09:15 LIVE 15:40"),
    ("2026-12-07", "NSE_EQ", "cas", NEW_PRE_OPEN + SECOND_AUCTION),
    ("2026-12-07", "NSE_EQ", "other", NEW_PRE_OPEN + OTHER_CLOSE),
    (
        "2026-12-07",
        "NSE_EQ",
        "index",
        NEW_PRE_OPEN + "LIVE 15:30 CLOSING_AUCTION/stale 15:38 CLOSING_AUCTION/closing_value 15:45",
    ),
    ("2026-12-07", "NFO", "option", "09:15 LIVE 15:45"),
    ("2026-12-08", "NFO", "index_contract_expiring_today", "09:15 LIVE 15:30"),
    ("2026-12-29", "NFO", "index_future_expiring_today", NEW_PRE_OPEN + "LIVE 15:30"),
    # The opening auction of futures.
    ("2025-12-05", "NFO", "future_m1", "09:15 LIVE 15:30"),
    ("2025-12-08", "NFO", "future_m1", OLD_PRE_OPEN + "LIVE 15:30"),
    ("2025-12-08", "NFO", "future_far", "09:15 LIVE 15:30"),
    ("2025-12-08", "NFO", "future", "09:15 LIVE 15:30"),
    # Currency, and commodities by New York's clocks.
    ("2026-11-23", "CDS", "currency", "09:00 LIVE 17:00"),
    ("2024-03-07", "MCX", "nonagri", "09:00 LIVE 23:55"),
    ("2024-03-11", "MCX", "nonagri", "09:00 LIVE 23:30"),
    ("2024-11-04", "MCX", "nonagri", "09:00 LIVE 23:55"),
    ("2025-03-10", "NCO", "nonagri", "09:00 LIVE 23:30"),
    ("2025-11-03", "MCX", "nonagri", "09:00 LIVE 23:55"),
    ("2026-03-09", "MCX", "nonagri", "09:00 LIVE 23:30"),
    ("2026-10-30", "MCX", "nonagri", "09:00 LIVE 23:30"),
    ("2026-11-02", "MCX", "nonagri", "09:00 LIVE 23:55"),
    ("2026-11-02", "MCX", "agri_select", "09:00 LIVE 21:00"),
    ("2026-11-02", "MCX", "agri_other", "09:00 LIVE 17:00"),
    # Holidays: whole, and of half a day.
    ("2026-11-24", "NSE_EQ", "other", ""),
    ("2026-11-24", "CDS", "currency", ""),
    ("2026-11-24", "MCX", "nonagri", "17:00 LIVE 23:55"),
    ("2026-11-24", "MCX", "agri_select", "17:00 LIVE 21:00"),
    ("2026-11-24", "MCX", "agri_other", ""),
    ("2026-01-01", "NSE_EQ", "other", OLD_DAY),
    ("2026-01-01", "MCX", "nonagri", "09:00 LIVE 17:00"),
    ("2026-01-15", "NCO", "nonagri", "17:00 LIVE 23:55"),
    ("2026-08-26", "CDS", "currency", ""),
    ("2026-08-26", "NSE_EQ", "other", OLD_PRE_OPEN + OTHER_CLOSE),
    ("2025-09-08", "BCD", "currency", ""),
    ("2025-09-05", "BCD", "currency", "09:00 LIVE 17:00"),
    # Every special session.
    ("2024-01-20", "NSE_EQ", "other", OLD_DAY),
    ("2024-01-20", "BFO", "option", "09:15 LIVE 15:30"),
    ("2024-01-20", "CDS", "currency", ""),
    ("2024-01-20", "MCX", "nonagri", ""),
    ("2024-03-02", "NSE_EQ", "index", DRILL),
    ("2024-03-02", "NFO", "option", "09:15 LIVE 10:00 CLOSED/break 11:30 LIVE 12:30"),
    ("2024-03-02", "MCX", "nonagri", ""),
    ("2024-05-18", "BSE_EQ", "other", DRILL),
    ("2024-05-18", "BFO", "option", "09:15 LIVE 10:00 CLOSED/break 11:30 LIVE 12:30"),
    (
        "2024-11-01",
        "NSE_EQ",
        "other",
        "17:45 PRE_OPEN 18:00 LIVE 19:00 POST_CLOSE/close_calculation 19:10 POST_CLOSE/post_close 19:20",
    ),
    ("2024-11-01", "NFO", "option", "18:00 LIVE 19:00"),
    ("2024-11-01", "CDS", "currency", "18:00 LIVE 19:00"),
    ("2024-11-01", "MCX", "nonagri", "18:00 LIVE 19:00"),
    ("2025-02-01", "NSE_EQ", "other", OLD_DAY),
    ("2025-02-01", "CDS", "currency", ""),
    ("2025-02-01", "MCX", "nonagri", "09:00 LIVE 17:00"),
    (
        "2025-10-21",
        "BSE_EQ",
        "cas",
        "13:30 PRE_OPEN 13:45 LIVE 14:45 POST_CLOSE/close_calculation 14:55 POST_CLOSE/post_close 15:05",
    ),
    ("2025-10-21", "MCX", "nonagri", "13:45 LIVE 14:45"),
    ("2026-02-01", "NSE_EQ", "cas", OLD_DAY),
    ("2026-02-01", "NFO", "future_m1", OLD_PRE_OPEN + "LIVE 15:30"),
    ("2026-02-01", "CDS", "currency", ""),
    ("2026-02-01", "NCO", "nonagri", "09:00 LIVE 17:00"),
    ("2026-11-08", "NSE_EQ", "other", "18:15 LIVE 19:15"),
    ("2026-11-08", "MCX", "agri_other", "18:15 LIVE 19:15"),
]


def at(day: str, hhmm: str) -> int:
    return ist_ns(date.fromisoformat(day), hhmm)


def drawn(day: str, segment: str, session_class: str) -> str:
    """The spans of a day in the notation of the table."""
    spans = sessions.spans(date.fromisoformat(day), segment, session_class)
    assert all(a.end_ns == b.start_ns for a, b in pairwise(spans))
    words = [f"{to_ist(s.start_ns):%H:%M} {s.name}{'/' if s.sub else ''}{s.sub}" for s in spans]
    return " ".join([*words, f"{to_ist(spans[-1].end_ns):%H:%M}"]) if spans else ""


@pytest.mark.parametrize(("day", "segment", "session_class", "expected"), DAYS)
def test_a_day_looks_like_this(day: str, segment: str, session_class: str, expected: str):
    assert drawn(day, segment, session_class) == expected


@pytest.mark.parametrize(
    ("day", "hhmm", "segment", "name", "reason", "coarse"),
    [
        ("2026-11-23", "08:50", "NSE", "CLOSED", "", "CLOSED"),  # the morning block window opens nothing
        ("2026-11-23", "14:10", "NSE", "LIVE", "", "LIVE"),
        ("2026-11-23", "08:50", "MCX", "CLOSED", "", "CLOSED"),  # orders may only be cancelled
        ("2026-11-23", "09:00", "MCX", "LIVE", "", "LIVE"),
        ("2026-11-24", "12:00", "NSE", "HOLIDAY", "Guru Nanak Jayanti", "CLOSED"),
        ("2026-11-24", "12:00", "MCX", "HOLIDAY", "Guru Nanak Jayanti", "CLOSED"),
        ("2026-11-24", "17:00", "MCX", "LIVE", "", "LIVE"),
        ("2026-11-24", "23:55", "MCX", "CLOSED", "", "CLOSED"),
        ("2026-01-01", "08:00", "MCX", "CLOSED", "", "CLOSED"),
        ("2026-01-01", "17:00", "MCX", "HOLIDAY", "New Year", "CLOSED"),
        ("2026-11-21", "12:00", "NSE", "WEEKEND", "", "CLOSED"),
        ("2024-03-02", "10:30", "NSE", "CLOSED", "Disaster-recovery drill", "CLOSED"),
        ("2024-03-02", "09:30", "NSE", "LIVE", "Disaster-recovery drill", "LIVE"),
        ("2024-03-02", "10:30", "CDS", "WEEKEND", "", "CLOSED"),
        ("2025-10-21", "10:00", "NSE", "HOLIDAY", "Diwali Laxmi Pujan (Muhurat session)", "CLOSED"),
        ("2025-10-21", "14:00", "NSE", "LIVE", "Muhurat session", "LIVE"),
        ("2026-02-01", "08:00", "NSE", "CLOSED", "", "CLOSED"),
        ("2026-02-01", "12:00", "CDS", "WEEKEND", "", "CLOSED"),
    ],
)
def test_an_instant_is_in_this_phase(day: str, hhmm: str, segment: str, name: str, reason: str, coarse: str):
    found = sessions.phase(segment, at(day, hhmm))
    assert (found.name, found.reason, found.coarse) == (name, reason, coarse)
    assert sessions.market_status(at(day, hhmm), segment) == coarse


def test_phase_boundaries_are_half_open():
    opening = at("2026-11-23", "09:15")
    assert sessions.phase("NSE", opening - 1).name == "PRE_OPEN"
    assert sessions.phase("NSE", opening).name == "LIVE"
    assert sessions.phase("NSE", opening).since == to_ist(opening)


def test_numbers_are_held_only_while_orders_can_meet():
    minutes = [at("2026-11-23", "00:00") + n * MINUTE for n in range(24 * 60)]
    held = {(p.name, p.held) for p in (sessions.phase("NSE", ns, session_class="cas") for ns in minutes)}
    assert held == {
        ("CLOSED", False),
        ("PRE_OPEN", True),
        ("LIVE", True),
        ("CLOSING_AUCTION", True),
        ("POST_CLOSE", False),
    }
    assert not sessions.phase("NSE", at("2026-11-21", "12:00")).held
    assert not sessions.phase("NSE", at("2026-11-24", "12:00")).held
    assert not sessions.phase("NSE", at("2024-03-02", "10:30")).held


def test_a_phase_reaches_over_midnight():
    night = sessions.phase("NSE", at("2026-11-19", "23:00"))
    assert (night.since, night.until) == (to_ist(at("2026-11-19", "16:00")), to_ist(at("2026-11-20", "09:00")))
    assert night.next == "PRE_OPEN"
    assert sessions.phase("NSE", at("2026-11-20", "00:30")) == night
    friday = sessions.phase("NSE", at("2026-11-20", "20:00"))
    weekend = sessions.phase("NSE", to_ns(friday.until))
    assert (friday.next, weekend.name, weekend.next) == ("WEEKEND", "WEEKEND", "CLOSED")
    assert weekend.until - weekend.since == timedelta(days=2)


@pytest.mark.parametrize(
    ("day", "hhmm", "segment", "then_day", "then", "status"),
    [
        ("2026-11-23", "08:00", "NSE", "2026-11-23", "09:00", "PRE_OPEN"),
        ("2026-11-23", "09:14:30", "NSE", "2026-11-23", "09:15", "LIVE"),
        ("2026-11-23", "12:00", "NSE", "2026-11-23", "15:30", "CLOSED"),
        ("2026-11-23", "15:45", "NSE", "2026-11-25", "09:00", "PRE_OPEN"),  # over a holiday
        ("2026-11-20", "17:00", "NSE", "2026-11-23", "09:00", "PRE_OPEN"),  # over a weekend
        ("2026-11-23", "12:00", "NFO", "2026-11-23", "15:40", "CLOSED"),
        ("2026-11-23", "15:45", "NFO", "2026-11-25", "09:15", "LIVE"),
        ("2026-11-23", "23:56", "MCX", "2026-11-24", "17:00", "LIVE"),
        ("2024-03-02", "09:30", "NSE", "2024-03-02", "10:00", "CLOSED"),
        ("2024-03-02", "10:00", "NSE", "2024-03-02", "11:15", "PRE_OPEN"),
        ("2026-11-06", "23:00", "NSE", "2026-11-08", "18:15", "LIVE"),  # Muhurat on a Sunday
    ],
)
def test_the_coarse_status_changes_next(day: str, hhmm: str, segment: str, then_day: str, then: str, status: str):
    assert sessions.next_transition(at(day, hhmm), segment) == (to_ist(at(then_day, then)), status)


def test_the_status_does_not_freeze_at_the_open():
    clock = ManualClock(at("2026-11-23", "08:59:30"))
    seen = []
    while clock.now() < at("2026-11-23", "16:30"):
        found = sessions.phase("NSE", clock.now(), session_class="cas")
        if not seen or seen[-1][1:] != (found.name, found.sub):
            seen.append((f"{to_ist(clock.now()):%H:%M:%S}", found.name, found.sub))
        clock.advance(30)
    assert seen == [
        ("08:59:30", "CLOSED", ""),
        ("09:00:00", "PRE_OPEN", "order_entry"),
        ("09:05:00", "PRE_OPEN", "order_entry_limit_only"),
        ("09:10:00", "PRE_OPEN", "matching"),
        ("09:12:00", "PRE_OPEN", "buffer"),
        ("09:15:00", "LIVE", ""),
        ("15:15:00", "CLOSING_AUCTION", "reference"),
        ("15:20:00", "CLOSING_AUCTION", "order_entry"),
        ("15:25:00", "CLOSING_AUCTION", "order_entry_limit_only"),
        ("15:30:00", "CLOSING_AUCTION", "matching"),
        ("15:35:00", "POST_CLOSE", "buffer"),
        ("15:50:00", "POST_CLOSE", "post_close"),
        ("16:00:00", "CLOSED", ""),
    ]


def test_any_way_to_name_an_instant_gives_the_same_phase():
    ns = at("2026-11-23", "09:14:30")
    utc = datetime(2026, 11, 23, 3, 44, 30, tzinfo=timezone.utc)
    assert sessions.phase("NSE", ns) == sessions.phase("NSE", utc) == sessions.phase("NSE", utc.astimezone(IST))
    assert sessions.phase("NSE", np.int64(ns)) == sessions.phase("NSE_EQ", ns)
    with pytest.raises(ValueError, match="naive"):
        sessions.phase("NSE", utc.replace(tzinfo=None))


def test_unknown_names_are_refused_with_what_is_allowed():
    with pytest.raises(ConfigError, match=r"'NSEEQ'.*NSE_EQ.*Did you mean"):
        sessions.phase("NSEEQ", 0)
    with pytest.raises(ConfigError, match=r"'futures'.*allowed.*Did you mean 'future'"):
        sessions.phase("NFO", 0, session_class="futures")


def test_a_class_of_another_segment_means_the_default_one():
    assert sessions.phase("MCX", at("2026-11-23", "20:00"), session_class="index").session_class == "nonagri"
    assert sessions.phase("NSE", at("2026-11-23", "20:00"), session_class="").session_class == "other"


def test_outside_the_coverage_a_plain_weekday_is_assumed_with_a_warning():
    with pytest.warns(CoverageWarning, match="2027-01-26"):
        republic_day = sessions.phase("NSE", at("2027-01-26", "10:00"))
    assert (republic_day.name, republic_day.covered) == ("LIVE", False)
    assert "outside" in republic_day.reason
    with pytest.warns(CoverageWarning):
        assert sessions.phase("NSE", at("2023-06-04", "10:00")).name == "WEEKEND"
    with pytest.warns(CoverageWarning):
        assert sessions.phase("MCX", at("2027-06-01", "23:40")).name == "LIVE"  # the nearest hours known
    with pytest.warns(CoverageWarning):
        assert drawn("2022-06-01", "MCX", "nonagri") == "09:00 LIVE 23:55"
    assert sessions.covered(date(2026, 12, 31))
    assert not sessions.covered(date(2027, 1, 1))


def test_the_last_covered_evening_ends_at_midnight():
    last = sessions.phase("NSE", at("2026-12-31", "20:00"))
    assert last.covered
    assert last.until == to_ist(at("2027-01-01", "00:00"))


def test_an_exchange_without_a_calendar_is_closed_and_says_so():
    gift = Instrument(291849, "GIFT NIFTY", "NSEIX", segment="INDICES")
    with pytest.warns(CoverageWarning, match="NSEIX"):
        found = sessions.phase(gift, at("2026-11-23", "10:00"))
    assert (found.name, found.held, found.covered) == ("CLOSED", False, False)
    assert "NSEIX" in found.reason
    assert sessions.session_start_ns(gift, date(2026, 11, 23)) is None
    assert not sessions.is_official_close(gift, at("2026-11-23", "15:31"))


@pytest.mark.parametrize(
    ("day", "segment", "start"),
    [
        ("2026-11-23", "NSE", "09:00"),
        ("2026-11-23", "NFO", "09:15"),
        ("2026-11-24", "NSE", None),
        ("2026-11-24", "MCX", "17:00"),
        ("2025-10-21", "BSE", "13:30"),
        ("2026-11-08", "NSE", "18:15"),
    ],
)
def test_the_session_starts(day: str, segment: str, start: str | None):
    expected = at(day, start) if start else None
    assert sessions.session_start_ns(segment, date.fromisoformat(day)) == expected


@pytest.mark.parametrize(
    ("day", "hhmm", "session_class", "official"),
    [
        ("2026-11-23", "15:14:59", "cas", False),
        ("2026-11-23", "15:15:00", "cas", False),  # the last continuous trade may bear this second
        ("2026-11-23", "15:31:10", "cas", True),
        ("2026-11-23", "15:55:00", "cas", True),
        ("2026-11-23", "15:29:59", "other", False),
        ("2026-11-23", "15:30:00", "other", False),
        ("2026-11-23", "15:55:00", "other", True),
        ("2026-11-23", "15:20:00", "index", False),
        ("2026-11-23", "15:31:00", "index", True),
        ("2026-12-07", "15:29:00", "cas", False),
        ("2026-12-07", "15:39:30", "cas", True),
        ("2026-12-07", "15:40:05", "cas", True),
        ("2026-07-31", "15:45:00", "cas", True),
        ("2026-11-24", "15:45:00", "cas", False),
    ],
)
def test_a_trade_is_the_official_close(day: str, hhmm: str, session_class: str, official: bool):
    share = Instrument(408065, "INFY", "NSE", session_class=session_class)
    assert sessions.is_official_close(share, at(day, hhmm)) is official


def test_no_trade_at_all_is_no_official_close():
    assert not sessions.is_official_close("NSE", 0)


def test_trading_days_step_over_weekends_and_holidays_but_not_over_special_sessions():
    assert sessions.is_trading_day(date(2026, 2, 1))
    assert not sessions.is_trading_day(date(2026, 2, 1), "CDS")
    assert sessions.next_trading_day(date(2026, 11, 23)) == date(2026, 11, 25)
    assert sessions.previous_trading_day(date(2026, 11, 25)) == date(2026, 11, 23)
    assert sessions.next_trading_day(date(2024, 1, 19)) == date(2024, 1, 20)
    assert sessions.next_trading_day(date(2024, 1, 20)) == date(2024, 1, 23)
    assert sessions.next_trading_day(date(2026, 11, 23), "MCX") == date(2026, 11, 24)
    assert sessions.trading_days(date(2026, 11, 6), date(2026, 11, 12)) == [
        date(2026, 11, 6), date(2026, 11, 8), date(2026, 11, 9), date(2026, 11, 11), date(2026, 11, 12),
    ]  # fmt: skip
    assert sessions.trading_days(date(2026, 11, 6), date(2026, 11, 5)) == []


def test_the_last_covered_trading_day():
    assert sessions.last_covered_trading_day(date(2026, 11, 24)) == date(2026, 11, 23)
    assert sessions.last_covered_trading_day(date(2026, 11, 23)) == date(2026, 11, 23)
    assert sessions.last_covered_trading_day(date(2031, 5, 5)) == date(2026, 12, 31)
    with pytest.raises(ValueError, match="2024-01-01"):
        sessions.last_covered_trading_day(date(2023, 12, 31))


def test_a_date_may_be_given_as_an_aware_time():
    late_in_new_york = datetime(2026, 11, 22, 20, 0, tzinfo=timezone(timedelta(hours=-5)))  # 06:30 on the 23rd
    assert sessions.is_trading_day(late_in_new_york)
    assert sessions.next_trading_day(late_in_new_york) == date(2026, 11, 25)


def test_the_segments_are_listed():
    assert set(sessions.SEGMENTS) == {"NSE_EQ", "BSE_EQ", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO"}
    assert sessions.SEGMENTS["NSE_EQ"].classes[0] == "other"
    with pytest.raises(AttributeError):
        _ = sessions.SEGMENT  # pyright: ignore


def test_the_order_of_the_phase_names_is_kept():
    # Their places are codes on the wire.
    assert sessions.PHASES == ("CLOSED", "PRE_OPEN", "LIVE", "CLOSING_AUCTION", "POST_CLOSE", "HOLIDAY", "WEEKEND")
