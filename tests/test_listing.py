"""The day's instruments: fetched when due, yesterday's on a bad morning, and never another exchange's."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tapedeck.clock import ManualClock, ist_ns
from tapedeck.errors import ConfigError, NetworkFailed
from tapedeck.listing import Listing
from tapedeck.settings import Settings
from tapedeck.upstream import KiteExchange

MONDAY, WEDNESDAY = date(2026, 11, 23), date(2026, 11, 25)
HEAD = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange\n"
)


def dump(symbol: str) -> bytes:
    return f"{HEAD}408065,1594,{symbol},INFOSYS,0,,0,0.05,1,EQ,NSE,NSE\n".encode()


class Shelf:
    """An exchange whose instrument file the test lays out."""

    def __init__(self) -> None:
        self.asked: list[date] = []
        self.answer: tuple[bytes, date] | Exception = NetworkFailed("no route")

    def fetch_instruments(self, day: date) -> tuple[bytes, date]:
        self.asked.append(day)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def make(shelf: Shelf, at: str, day: date = MONDAY) -> tuple[Listing, ManualClock]:
    clock = ManualClock(ist_ns(day, at), monotonic=100.0)
    return Listing(shelf, clock), clock  # type: ignore[arg-type]


@pytest.mark.timezones
def test_before_half_past_eight_the_newest_file_is_yesterdays_and_the_days_is_fetched_then(shelf):
    listing, clock = make(shelf, "07:00")
    shelf.answer = (dump("INFY"), date(2026, 11, 22))
    assert listing.refresh()
    assert listing.day == date(2026, 11, 22)
    assert not listing.refresh()
    clock.set(ist_ns(MONDAY, "08:30"))
    clock.advance(61)
    shelf.answer = (dump("INFYNEW"), MONDAY)
    assert listing.refresh()
    assert (listing.day, listing.instruments.find("NSE:INFYNEW") is not None) == (MONDAY, True)
    assert not listing.refresh()
    assert shelf.asked == [date(2026, 11, 22), MONDAY]


def test_without_any_file_it_says_why_and_tries_again_after_five_seconds(shelf):
    listing, clock = make(shelf, "10:00")
    assert not listing.refresh()
    assert "no route" in listing.problem
    clock.advance(4)
    assert not listing.refresh()
    assert len(shelf.asked) == 1
    clock.advance(2)
    shelf.answer = (dump("INFY"), MONDAY)
    assert listing.refresh()
    assert (listing.problem, listing.warning) == ("", "")


def test_yesterdays_file_is_adopted_once_with_a_warning_and_asked_for_again_each_minute(shelf):
    listing, clock = make(shelf, "09:00", WEDNESDAY)
    shelf.answer = (dump("INFY"), MONDAY)
    assert listing.refresh()
    assert "2026-11-23" in listing.warning
    assert not listing.problem
    clock.advance(61)
    assert not listing.refresh(), "the same file again is not news"
    assert len(shelf.asked) == 2


@pytest.fixture
def kite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a Kite exchange whose REST answers what the test says."""

    def make_one(answer: bytes | Exception, **settings: str) -> KiteExchange:
        exchange = KiteExchange(
            Settings(api_key="key", data=tmp_path, **settings), ManualClock(ist_ns(MONDAY, "09:00"))
        )  # type: ignore[arg-type]

        def fetch() -> bytes:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(exchange._rest, "fetch_instruments", fetch)
        return exchange

    return make_one


def test_a_bad_morning_has_the_newest_file_that_was_kept(kite):
    kite(dump("INFY")).fetch_instruments(MONDAY)
    assert kite(NetworkFailed("down")).fetch_instruments(WEDNESDAY) == (dump("INFY"), MONDAY)


def test_files_of_a_simulator_and_of_kite_never_meet(kite, tmp_path):
    elsewhere = {"kite_rest": "http://127.0.0.1:9"}
    kite(dump("SIMULATED"), **elsewhere).fetch_instruments(MONDAY)
    with pytest.raises(NetworkFailed):
        kite(NetworkFailed("down")).fetch_instruments(MONDAY)
    kite(dump("INFY")).fetch_instruments(MONDAY)
    with pytest.raises(NetworkFailed):
        kite(NetworkFailed("down"), **elsewhere).fetch_instruments(MONDAY)


def test_only_the_newest_files_are_kept_and_a_disk_that_refuses_costs_nothing_else(kite, tmp_path):
    for number in range(1, 9):
        kite(dump("INFY")).fetch_instruments(date(2026, 11, number))
    kept = sorted((tmp_path / "instruments").glob("*.csv"))
    assert [file.stem for file in kept] == [f"2026-11-0{number}" for number in range(4, 9)]
    for file in kept:
        file.unlink()
    (tmp_path / "instruments").rmdir()
    (tmp_path / "instruments").write_text("in the way")
    assert kite(dump("INFY")).fetch_instruments(MONDAY) == (dump("INFY"), MONDAY)


def test_where_kite_may_not_be_contacted_nothing_is_asked(kite):
    asked = []
    exchange = kite(dump("INFY"), kite_problem="TAPEDECK_KITE_REST was 'htps://x'; allowed: https://host[:port]")
    exchange._rest.fetch_instruments = lambda: asked.append(1)  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="TAPEDECK_KITE_REST"):
        exchange.fetch_instruments(date(2026, 11, 23))
    assert exchange.account.status.state == "UNCONFIGURED" or exchange.credentials() is None
    assert not asked


def test_the_same_failure_is_logged_once_and_another_again(shelf, caplog):
    caplog.set_level("WARNING", "tapedeck.listing")
    listing, clock = make(shelf, "09:00")
    for _ in range(3):
        assert not listing.refresh()
        clock.advance(61)
    shelf.answer = NetworkFailed("no name")
    assert not listing.refresh()
    assert [record.message for record in caplog.records] == [
        "instruments could not be fetched: no route; trying again",
        "instruments could not be fetched: no name; trying again",
    ]
