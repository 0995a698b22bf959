"""The session facts: complete, free of contradictions, replaceable; and which class an instrument has."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck import sessions
from tapedeck._session_days import day_tiles, monthly_expiry
from tapedeck._session_rules import Facts, facts, overlaid
from tapedeck.clock import DAY, ist_midnight, ist_ns, to_ns
from tapedeck.errors import ConfigError
from tapedeck.schema import Instrument
from tests.test_sessions import DAYS

pytestmark = pytest.mark.timezones

FIRST, LAST = date(2024, 1, 1), date(2026, 12, 31)
MARKETS = [(name, cls) for name, segment in facts().segments.items() for cls in segment.classes]


@cache
def document() -> dict[str, Any]:
    return yaml.safe_load((files("tapedeck") / "rules" / "sessions.yaml").read_text("utf-8"))


@pytest.fixture
def own_facts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A file of one's own that TAPEDECK_SESSIONS names."""
    path = tmp_path / "sessions.yaml"
    path.write_text("")
    monkeypatch.setenv("TAPEDECK_SESSIONS", str(path))
    facts.cache_clear()
    yield path
    monkeypatch.undo()
    facts.cache_clear()


def future(name: str, expiry: date, exchange: str = "NFO", kind: str = "FUT") -> Instrument:
    return Instrument(1, f"{name}X{kind}", exchange, name=name, expiry=expiry, instrument_type=kind)


@pytest.mark.parametrize(("segment", "session_class"), MARKETS)
def test_every_instant_is_in_exactly_one_phase(segment: str, session_class: str):
    found = sessions.phase(segment, ist_midnight(FIRST), session_class=session_class)
    end = ist_midnight(LAST + timedelta(1))
    while to_ns(found.until) < end:
        assert found.since < found.until
        following = sessions.phase(segment, found.until, session_class=session_class)
        assert following.since == found.until
        assert following.name == found.next
        assert (following.name, following.sub, following.reason) != (found.name, found.sub, found.reason)
        found = following


@pytest.mark.parametrize(("segment", "session_class"), MARKETS)
def test_the_phases_of_every_day_fill_it_without_gap_or_overlap(segment: str, session_class: str):
    for n in range((LAST - FIRST).days + 1):
        tiles = day_tiles(facts(), segment, session_class, FIRST + timedelta(n))
        assert tiles[0].start == 0
        assert tiles[-1].end == DAY
        assert all(a.end == b.start for a, b in pairwise(tiles))
        assert all(t.name in sessions.PHASES and t.start < t.end for t in tiles)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MARKETS), st.integers(ist_midnight(FIRST), ist_midnight(LAST + timedelta(1)) - 1))
def test_a_phase_holds_the_instant_it_was_asked_for(market: tuple[str, str], ns: int):
    found = sessions.phase(market[0], ns, session_class=market[1])
    assert to_ns(found.since) <= ns < to_ns(found.until)
    assert sessions.phase(market[0], found.since, session_class=market[1]) == found
    assert sessions.phase(market[0], to_ns(found.until) - 1, session_class=market[1]) == found
    assert found.coarse == sessions.phase(market[0], ns, session_class=market[1]).coarse


@pytest.mark.parametrize("year", [2024, 2025, 2026])
@pytest.mark.parametrize(
    ("segment", "calendar"),
    [("NSE", "equity"), ("BFO", "equity"), ("CDS", "currency"), ("MCX", "commodity"), ("NCO", "commodity")],
)
def test_the_number_of_sessions_is_the_one_counted_elsewhere(year: int, segment: str, calendar: str):
    days = sessions.trading_days(date(year, 1, 1), date(year, 12, 31), segment)
    assert len(days) == document()["expected_counts"][year][calendar]


def test_no_holiday_falls_on_a_weekend_and_every_fact_has_a_source():
    assert not [day for _, day in facts().holidays if day.weekday() >= 5]
    assert all(rule["source"] for rule in document()["rules"])
    assert all(entry["source"] for entry in document()["special_sessions"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d["rules"][0]["phases"][0].update(start="09:30"), "ends at or before its start"),
        (lambda d: d["rules"][0]["phases"][0].update(name="opening"), "unknown phase 'opening'"),
        (lambda d: d["rules"][0]["phases"][0].update(start=540), "in quotes"),
        (lambda d: d["rules"][0].update(segments=["NSEEQ"]), "names NSEEQ"),
        (lambda d: d["rules"][0].update({"class": "large"}), "names large"),
        (lambda d: d["rules"][0].update(source=["a friend"]), "names a friend"),
        (lambda d: d["rules"][2].update(effective_to=date(2026, 7, 1)), "needs one rule for the day from 2026-07-02"),
        (lambda d: d["rules"][2].update(effective_to=date(2000, 1, 1)), "ends before it begins"),
        (lambda d: d["special_sessions"][1].pop("use_rules"), "says nothing about NSE_EQ"),
        (lambda d: d["special_sessions"][1].update(segments=["LSE"]), "names LSE"),
        (lambda d: d.pop("holidays"), "holidays"),
    ],
)
def test_unusable_facts_are_refused_with_every_problem(change: Any, complaint: str):
    broken = copy.deepcopy(document())
    change(broken)
    with pytest.raises(ConfigError, match=complaint):
        Facts(broken, source="a test")


def test_two_problems_are_reported_at_once():
    broken = copy.deepcopy(document())
    broken["rules"][0]["segments"] = ["NSEEQ"]
    broken["special_sessions"][1]["segments"] = ["LSE"]
    with pytest.raises(ConfigError, match=r"a test.*NSEEQ.*LSE"):
        Facts(broken, source="a test")


def test_one_day_can_be_overridden(own_facts: Path):
    own_facts.write_text(
        """
        special_sessions:
          - {date: 2026-11-25, segments: [NSE_EQ, NFO], status: closed, reason: Cyclone}
          - {date: 2026-11-24, segments: [NSE_EQ], use_rules: true, reason: Holiday withdrawn}
          - date: 2026-11-08
            reason: Muhurat session
            phases: [{name: continuous, start: "18:00", end: "19:00", segments: [NSE_EQ]}]
        """
    )
    closed = sessions.phase("NSE", ist_ns(date(2026, 11, 25), "10:00"))
    assert (closed.name, closed.reason) == ("HOLIDAY", "Cyclone")
    assert sessions.market_status(ist_ns(date(2026, 11, 25), "10:00"), "BSE") == "LIVE"
    assert sessions.market_status(ist_ns(date(2026, 11, 24), "10:00"), "NSE") == "LIVE"
    assert sessions.market_status(ist_ns(date(2026, 11, 8), "18:05"), "NSE") == "LIVE"
    assert sessions.market_status(ist_ns(date(2026, 11, 8), "18:05"), "BSE") == "CLOSED"


def test_the_next_year_can_be_added(own_facts: Path):
    own_facts.write_text(
        """
        covers: {from: 2024-01-01, to: 2027-12-31}
        rules:
          - {id: com_2027, segments: [MCX, NCO], class: nonagri, part: day, effective_from: 2027-03-13,
             effective_to: null, source: [mcx_hours],
             phases: [{name: morning, start: "09:00", end: "23:30", trades: true}]}
        holidays:
          2027: {equity: {days: [{date: 2027-01-26, reason: Republic Day}]}}
        """
    )
    found = sessions.phase("NSE", ist_ns(date(2027, 1, 26), "10:00"))
    assert (found.name, found.reason, found.covered) == ("HOLIDAY", "Republic Day", True)


def test_an_override_that_cannot_be_read_is_refused(own_facts: Path):
    own_facts.write_text("special_session: []")
    with pytest.raises(ConfigError, match="special_session; allowed keys"):
        sessions.phase("NSE", 0)
    own_facts.write_text("[1, 2")
    with pytest.raises(ConfigError, match="could not be read"):
        sessions.phase("NSE", 0)
    own_facts.unlink()
    with pytest.raises(ConfigError, match="TAPEDECK_SESSIONS"):
        sessions.phase("NSE", 0)


def test_an_overlay_leaves_the_document_as_it_was():
    before = copy.deepcopy(document())
    merged = overlaid(document(), {"holidays": {2026: {"equity": {"days": [{"date": date(2026, 12, 1)}]}}}})
    assert document() == before
    assert len(merged["holidays"][2026]["equity"]["days"]) == len(before["holidays"][2026]["equity"]["days"]) + 1


@pytest.mark.parametrize(
    ("segment", "year", "month", "expiry"),
    [
        ("NFO", 2026, 3, date(2026, 3, 30)),  # the 31st is a holiday
        ("NFO", 2026, 10, date(2026, 10, 27)),
        ("NFO", 2026, 11, date(2026, 11, 23)),  # Monday: Tuesday the 24th is a holiday
        ("NFO", 2026, 12, date(2026, 12, 29)),
        ("BFO", 2026, 11, date(2026, 11, 26)),
        ("BFO", 2026, 12, date(2026, 12, 31)),
        ("NFO", 2025, 6, None),
    ],
)
def test_the_monthly_expiry_moves_back_from_a_holiday(segment: str, year: int, month: int, expiry: date | None):
    assert monthly_expiry(facts(), segment, year, month) == expiry


@pytest.mark.parametrize(
    ("day", "expiry", "expected"),
    [
        (date(2026, 11, 2), date(2026, 11, 23), "future_m1"),
        (date(2026, 11, 2), date(2026, 12, 29), "future_far"),
        (date(2026, 11, 16), date(2026, 12, 29), "future_far"),  # the sixth last trading day
        (date(2026, 11, 17), date(2026, 12, 29), "future_m1"),  # the fifth last, the expiry counted
        (date(2026, 11, 20), date(2027, 1, 25), "future_far"),
        (date(2026, 11, 25), date(2026, 12, 29), "future_m1"),  # November has expired
        (date(2026, 11, 25), date(2027, 1, 25), "future_far"),
        (date(2026, 12, 30), date(2027, 1, 25), "future_m1"),
    ],
)
def test_the_class_of_a_future_depends_on_the_date(day: date, expiry: date, expected: str):
    share_future = future("INFY", expiry)
    assert sessions.class_of(share_future, day) == expected
    assert sessions.class_of(share_future) == "future"
    assert sessions.resolve(share_future, ist_ns(day, "09:05")) == ("NFO", expected)
    status = sessions.phase(share_future, ist_ns(day, "09:05")).coarse
    assert status == ("PRE_OPEN" if expected == "future_m1" else "CLOSED")


def test_index_contracts_stop_early_on_their_last_day():
    expiry = date(2026, 12, 29)
    option, index_future = future("NIFTY", expiry, kind="CE"), future("NIFTY", expiry)
    assert sessions.class_of(option, expiry) == "index_contract_expiring_today"
    assert sessions.class_of(option, date(2026, 12, 28)) == "option"
    assert sessions.class_of(index_future, expiry) == "index_future_expiring_today"
    assert sessions.class_of(future("INFY", expiry, kind="PE"), expiry) == "option"
    for contract, status in ((option, "CLOSED"), (index_future, "PRE_OPEN")):
        assert sessions.phase(contract, ist_ns(expiry, "09:05")).coarse == status
        assert sessions.phase(contract, ist_ns(expiry, "15:35")).coarse == "CLOSED"
        assert sessions.phase(contract, ist_ns(date(2026, 12, 28), "15:35")).coarse == "LIVE"
    assert sessions.phase(future("INFY", expiry), ist_ns(expiry, "15:35")).coarse == "LIVE"


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [
        (Instrument(408065, "INFY", "NSE"), ("NSE_EQ", "other")),
        (Instrument(408065, "INFY", "NSE", session_class="cas"), ("NSE_EQ", "cas")),
        (Instrument(256265, "NIFTY 50", "NSE", segment="INDICES"), ("NSE_EQ", "index")),
        (Instrument(265, "SENSEX", "BSE", segment="INDICES"), ("BSE_EQ", "index")),
        (Instrument(1284, "CDSL", "BSE", session_class="cas"), ("BSE_EQ", "other")),
        (Instrument(257, "CDSL", "NSE", session_class="cas"), ("NSE_EQ", "cas")),
        (Instrument(2, "NIFTY26DECFUT", "NFO", instrument_type="FUT"), ("NFO", "future")),
        (Instrument(2, "NIFTY24500CE", "NFO", instrument_type="CE"), ("NFO", "option")),
        (Instrument(3, "USDINR26NOVFUT", "CDS", instrument_type="FUT"), ("CDS", "currency")),
        (Instrument(7, "GOLD26DECFUT", "MCX", name="GOLD", instrument_type="FUT"), ("MCX", "nonagri")),
        (Instrument(7, "KAPAS26DECFUT", "MCX", name="KAPAS", instrument_type="FUT"), ("MCX", "agri_select")),
        (Instrument(7, "MENTHA26DECFUT", "MCX", name="MENTHAOIL", instrument_type="FUT"), ("MCX", "agri_other")),
        (Instrument(265, "MCXBULLDEX", "MCX", segment="INDICES", session_class="index"), ("MCX", "nonagri")),
        (Instrument(265, "GIFT NIFTY", "NSEIX", segment="INDICES"), ("NSEIX", "")),
    ],
)
def test_an_instrument_follows_the_hours_of_this_class(instrument: Instrument, expected: tuple[str, str]):
    ns = ist_ns(date(2026, 11, 23), "12:00")
    assert sessions.resolve(instrument, ns) == expected
    if expected[1]:
        segment, cls = expected
        assert sessions.phase(instrument, ns) == sessions.phase(segment, ns, session_class=cls)


def test_every_special_session_is_in_the_table_of_days():
    special = {(segment, day.isoformat()) for segment, day in facts().specials if facts().covers(day)}
    assert {day for _, day in special} == {day for day, segment, *_ in DAYS if (segment, day) in special}


def test_the_examples_of_the_document_are_true(own_facts: Path):
    text = (Path(__file__).parent.parent / "docs" / "sessions.md").read_text("utf-8")
    overlay = text.split("```yaml")[1].split("```")[0]
    example = text.split("```python")[1].split("```")[0]
    scope: dict[str, Any] = {}
    results = []
    for line in filter(None, map(str.strip, example.splitlines())):
        code, _, comment = line.partition("  # ")
        if comment:
            results.append((repr(eval(code, scope)), comment.strip()))
        else:
            exec(code, scope)
    assert len(results) == 2
    assert all(got == said for got, said in results)
    own_facts.write_text(overlay)
    facts.cache_clear()
    assert sessions.phase("NSE", ist_ns(date(2026, 11, 25), "10:00")).reason == "Cyclone"
