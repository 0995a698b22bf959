"""What is fetched about a day beside the stream: paced, bounded, first for pages, and never of another source."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import numpy as np
import pytest

from tapedeck import day_references
from tapedeck.clock import MINUTE, SECOND, ist_midnight
from tapedeck.day_lines import DayLines
from tapedeck.day_references import PACE_S, PAUSE_S, RETRY_S, DayReferences
from tapedeck.errors import InputRefused, LoginRequired, NetworkFailed
from tapedeck.instruments import Instruments
from tapedeck.schema import CANDLE, Instrument
from tests.hub_support import ALL, FRIDAY, INFY, MONDAY, NIFTY, OPTION, SMALL, at, open_hub, tick
from tests.support import wait_until

TEN = at(MONDAY, "10:00")
FUTURES = tuple(
    Instrument(
        n << 8 | 2, f"S{n}26NOVFUT", "NFO", name=f"S{n}", expiry=date(2026, 11, 24), instrument_type="FUT",
        segment="NFO-FUT", session_class="future",
    )
    for n in range(900, 906)
)  # fmt: skip


def made(stamps: list[int], *, close: float = 100.0, oi: int = -1) -> np.ndarray:
    candles = np.zeros(len(stamps), CANDLE)
    candles["date"], candles["close"], candles["oi"] = stamps, close, oi
    return candles


class Bench:
    """References on a hub and a clock that stand still; the exchange answers every minute, and 5,000 of OI."""

    def __init__(self) -> None:
        self.hub, self.clock = open_hub(TEN, instruments=(*ALL, *FUTURES))
        self.lines = DayLines(self.hub, self.clock)
        self.requests: list[tuple[int, str]] = []
        self.said: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.newest = TEN  # no candle after it
        self.connection = 1
        self.instruments = Instruments((*ALL, *FUTURES))
        self.references = DayReferences(
            self.fetch,
            self.lines,
            self.clock,
            instruments=lambda: self.instruments,
            connection=lambda: self.connection,
        )

    def fetch(self, token: int, interval: str, start: int, end: int, *, oi: bool = False) -> np.ndarray:
        self.requests.append((token, interval))
        self.said.append({"start": start, "end": end, "oi": oi})
        if self.failure is not None:
            raise self.failure
        if interval == "day":
            return made([at(FRIDAY, "00:00")], oi=5000)
        opened = at(MONDAY, "09:15")
        return made([opened + n * MINUTE for n in range((min(end, self.newest) - opened) // MINUTE + 1)])

    def work(self, most: int = 50) -> int:
        """Let the thread's work be done until nothing waits; how many requests were made."""
        before = len(self.requests)
        for _ in range(most):
            wait = self.references.work()
            if wait is None:
                break
            self.clock.advance(wait)
        return len(self.requests) - before

    def day(self, instrument: Instrument) -> dict[str, Any]:
        return self.references.days([instrument], 60)[0]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.timezones
def test_a_line_that_misses_minutes_is_filled_with_those_that_are_complete(bench):
    assert set(bench.day(INFY)["prices"]) == {None}
    assert bench.work() == 1
    assert bench.said == [{"start": ist_midnight(MONDAY), "end": TEN, "oi": False}]
    assert bench.day(INFY)["prices"] == [None] * 15 + [100.0] * 45 + [None]
    assert bench.references.waiting == 0


def test_what_the_desk_saw_whole_is_not_fetched(bench):
    bench.clock.set(at(MONDAY, "09:15"))
    bench.hub.publish(tick(INFY, 1500.0, bench.clock.now()))
    for _ in range(120):
        bench.clock.advance(1)
        bench.hub.alive()
        bench.lines.sample()
    bench.day(INFY)
    assert bench.references.waiting == 0


def test_minutes_that_nobody_watched_are_fetched_when_somebody_asks_again(bench):
    bench.day(INFY)
    bench.work()
    bench.newest = bench.clock.now() + 600 * SECOND
    bench.clock.advance(600)
    bench.day(INFY)
    assert bench.work() == 1
    assert bench.lines.missing(INFY) == 0


def test_a_line_that_no_fetch_completes_is_fetched_less_and_less_often_until_the_connection_is_another(bench):
    bench.day(INFY)
    bench.work()
    made = 0
    for _ in range(60):  # an hour without a price or a candle
        bench.clock.advance(60)
        bench.day(INFY)
        made += bench.work()
    assert made == 7, "after 1, 2, 4, 8, 16, 32 and 48 minutes"
    bench.connection = 2
    bench.newest = bench.clock.now()
    bench.day(INFY)
    assert bench.work() == 1
    assert bench.lines.missing(INFY) == 0


def test_a_line_that_lacks_the_newest_minute_is_fetched_once_more(bench):
    bench.newest = TEN - 5 * MINUTE
    bench.day(INFY)
    assert bench.work() == 1
    bench.day(INFY)
    assert bench.work() == 0, "not at once"
    bench.clock.advance(RETRY_S)
    bench.day(INFY)
    assert bench.work() == 1
    bench.clock.advance(RETRY_S)
    bench.day(INFY)
    assert bench.work() == 0, "an instrument that does not trade is not asked for again and again"


def test_what_a_contract_had_open_is_that_of_the_day_before_with_its_date(bench):
    assert bench.day(OPTION)["previous_oi"] is None
    bench.work()
    row = bench.day(OPTION)
    assert (row["previous_oi"], row["previous_oi_date"]) == (5000, 20261120)
    asked = bench.said[bench.requests.index((OPTION.instrument_token, "day"))]
    assert asked["oi"]
    assert asked["end"] == ist_midnight(date(2026, 11, 21)) - SECOND, "today's own candle is not asked for"
    assert bench.references.previous_oi(np.array([OPTION.instrument_token, INFY.instrument_token])).tolist()[0] == 5000
    bench.day(OPTION)
    assert bench.work() == 0


def test_a_contract_of_today_has_no_open_interest_of_yesterday_and_is_not_asked_for_again(bench, monkeypatch):
    monkeypatch.setattr(bench, "fetch", lambda *_a, **_k: made([]))
    bench.references._fetch_candles = bench.fetch
    tokens = np.array([FUTURES[0].instrument_token])
    assert np.isnan(bench.references.previous_oi(tokens)).all()
    bench.work()
    assert np.isnan(bench.references.previous_oi(tokens)).all()
    assert bench.references.waiting == 0


def test_nothing_is_asked_about_what_has_no_open_interest_or_is_not_listed(bench):
    tokens = np.array([INFY.instrument_token, NIFTY.instrument_token, 123])
    assert np.isnan(bench.references.previous_oi(tokens)).all()
    assert bench.work() == 0
    assert np.isnan(bench.references.previous_oi(tokens)).all()
    assert bench.references.previous_oi(np.zeros(0, np.uint32)).tolist() == []
    assert bench.references.days([SMALL], 60)[0]["previous_oi"] is None


def test_what_a_page_asked_for_goes_before_what_the_desk_wants(bench):
    tokens = np.array([one.instrument_token for one in FUTURES], np.uint32)
    bench.references.previous_oi(tokens)
    bench.references.days([INFY, FUTURES[4]], 60)
    bench.work()
    assert bench.requests[:3] == [
        (INFY.instrument_token, "minute"),
        (FUTURES[4].instrument_token, "minute"),
        (FUTURES[4].instrument_token, "day"),
    ]
    assert [token for token, _ in bench.requests[3:]] == [token for token in tokens.tolist() if token != tokens[4]]
    assert (bench.references.previous_oi(tokens) == 5000).all()


def test_two_requests_a_second_are_made_and_no_more(bench):
    bench.references.previous_oi(np.array([one.instrument_token for one in FUTURES]))
    assert bench.references.work() == PACE_S
    assert len(bench.requests) == 1
    bench.clock.advance(PACE_S / 2)
    assert bench.references.work() == pytest.approx(PACE_S / 2)
    assert len(bench.requests) == 1
    bench.clock.advance(PACE_S / 2)
    bench.references.work()
    assert len(bench.requests) == 2


def test_a_failure_is_told_and_tried_again_after_a_minute_for_as_long_as_it_takes(bench):
    bench.failure = NetworkFailed("Kite did not answer in time")
    bench.day(INFY)
    for n in range(1, 5):
        assert bench.work() == 1
        about = bench.references.describe()
        assert (about["failed"], about["fetched"]) == (n, 0)
        assert about["problem"] == "minutes of NSE:INFY: Kite did not answer in time"
        bench.day(INFY)
        assert bench.references.waiting == 0
        bench.clock.advance(RETRY_S)
        bench.day(INFY)
    bench.failure = None
    assert bench.work() == 1
    assert bench.references.describe()["problem"] == ""


@pytest.mark.parametrize(("failure", "wait"), [(LoginRequired("log in"), PAUSE_S), (InputRefused("token"), PACE_S)])
def test_a_failure_that_is_not_of_one_instrument_halts_the_others_for_a_while(bench, failure, wait):
    bench.failure = failure
    bench.references.days([INFY, SMALL], 60)
    bench.references.work()
    bench.clock.advance(PACE_S)
    bench.references.work()
    assert len(bench.requests) == (2 if wait == PACE_S else 1)
    bench.clock.advance(PAUSE_S)
    bench.references.work()
    assert len(bench.requests) == 2


def test_the_queue_is_bounded_and_drops_the_newest(bench, monkeypatch):
    monkeypatch.setattr(day_references, "MOST_WAITING", 4)
    bench.references.previous_oi(np.array([one.instrument_token for one in FUTURES]))
    assert bench.references.describe()["queue"] == 4
    assert bench.references.describe()["dropped"] == 2
    bench.work()
    assert [token for token, _ in bench.requests] == [one.instrument_token for one in FUTURES[:4]]
    bench.references.previous_oi(np.array([one.instrument_token for one in FUTURES]))
    assert bench.work() == 2, "asked again, they find room"


def test_an_answer_of_a_source_that_is_gone_is_not_taken(bench):
    def switched(token: int, interval: str, *_unused: int, **_also: bool) -> np.ndarray:
        bench.hub.open_source("sim:7:2026-11-23", bench.instruments)
        return made([at(FRIDAY, "00:00")], oi=7)

    bench.references._fetch_candles = switched
    tokens = np.array([OPTION.instrument_token])
    bench.references.previous_oi(tokens)
    bench.references.work()
    assert np.isnan(bench.references.previous_oi(tokens)).all()


def test_a_new_day_knows_nothing_of_the_old_and_drops_what_waited_for_it(bench):
    bench.references.days([OPTION, INFY], 60)
    bench.work()
    bench.references.days([SMALL], 60)
    bench.clock.set(at(date(2026, 11, 25), "10:00"))
    assert bench.references.work() is None
    assert bench.day(OPTION)["previous_oi"] is None


def test_the_thread_works_when_asked_outlives_a_surprise_and_ends_when_told(bench):
    surprises = [ZeroDivisionError("surprise")]
    done = threading.Event()

    def fetch(*_unused: Any, **_also: Any) -> np.ndarray:
        if surprises:
            raise surprises.pop()
        done.set()
        return made([at(FRIDAY, "00:00")], oi=9)

    bench.references._fetch_candles = fetch
    bench.references.start()
    try:
        bench.references.previous_oi(np.array([OPTION.instrument_token]))
        wait_until(lambda: not surprises)
        bench.clock.advance(60)
        bench.references.previous_oi(np.array([FUTURES[0].instrument_token]))
        assert done.wait(10)
        wait_until(lambda: bench.references.previous_oi(np.array([FUTURES[0].instrument_token])).tolist() == [9.0])
    finally:
        bench.references.close()
    assert not bench.references._thread.is_alive()
    bench.references.close()
