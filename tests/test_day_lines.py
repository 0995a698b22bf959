"""The line of a day: what the desk saw live, minute by minute, and official candles where it did not."""

from __future__ import annotations

import numpy as np
import pytest

from tapedeck import day_lines
from tapedeck.clock import MINUTE, ManualClock
from tapedeck.day_lines import DayLines
from tapedeck.hub import Hub
from tapedeck.instruments import Instruments
from tapedeck.schema import CANDLE, Instrument
from tests.hub_support import ALL, FRIDAY, INFY, MONDAY, NIFTY, OPTION, SATURDAY, at, joined, open_hub, tick

TEN = at(MONDAY, "10:00")


class Bench:
    """A hub, its lines and a clock that the test moves; a price given is held as long as the feed lives."""

    def __init__(self, now: int = TEN, instruments: tuple[Instrument, ...] = ALL) -> None:
        self.hub, self.clock = open_hub(now, instruments=instruments)
        self.lines = DayLines(self.hub, self.clock)

    def price(self, instrument: Instrument, price: float) -> None:
        self.hub.publish(tick(instrument, price, self.clock.now()))

    def run(self, seconds: float, *, alive: bool = True, step: float = 0.5) -> None:
        """Let time pass as the keeper does: a sample every half second."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            if alive:
                self.hub.alive()
            self.lines.sample()

    def prices(self, instrument: Instrument, step_s: int = 60) -> list[float | None]:
        return self.lines.line(instrument, step_s).prices

    def since(self, hhmm: str, instrument: Instrument = INFY) -> list[float | None]:
        """Minutes from a wall-clock time on."""
        line = self.lines.line(instrument, 60)
        assert line.start_ms is not None
        return line.prices[(at(MONDAY, hhmm) // 1_000_000 - line.start_ms) // 60_000 :]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def candles(day_minute: str, closes: list[float | None], day=MONDAY) -> np.ndarray:
    """Minute candles from a time on; None is a minute without a trade, which Kite leaves out."""
    rows = [(n, close) for n, close in enumerate(closes) if close is not None]
    made = np.zeros(len(rows), CANDLE)
    made["date"] = [at(day, day_minute) + n * MINUTE for n, _ in rows]
    made["close"] = [close for _, close in rows]
    return made


@pytest.mark.timezones
def test_a_line_has_the_last_price_of_every_minute_the_desk_saw(bench):
    bench.price(INFY, 1500.05)
    bench.run(59)
    bench.price(INFY, 1501.25)
    bench.run(2)
    line = bench.lines.line(INFY, 60)
    assert line.start_ms == at(MONDAY, "09:00") // 1_000_000
    assert line.end_ms == at(MONDAY, "15:35") // 1_000_000
    assert line.prices == [None] * 60 + [1501.25, 1501.25]
    assert bench.prices(NIFTY) == [None] * 62


def test_a_step_has_the_price_at_its_end_and_the_newest_the_price_of_now(bench):
    for minute in range(7):
        bench.price(INFY, 1500.0 + minute)
        bench.run(60)
    bench.price(INFY, 1600.0)
    bench.run(1)
    assert bench.since("10:00") == [1500.0, 1501.0, 1502.0, 1503.0, 1504.0, 1505.0, 1506.0, 1600.0]
    assert bench.prices(INFY, 180)[20:] == [1502.0, 1505.0, 1600.0]
    assert bench.prices(INFY, 3600) == [None, 1600.0]


def test_a_minute_that_ends_on_a_dead_feed_is_not_known_although_it_began_well(bench):
    bench.price(INFY, 1500.0)
    bench.run(70)
    bench.run(50, alive=False)
    assert bench.since("10:00") == [1500.0, None, None]
    bench.run(80)
    assert bench.since("10:00") == [1500.0, None, 1500.0, 1500.0]


def test_what_is_not_confirmed_on_this_connection_is_not_in_the_line(bench):
    bench.price(INFY, 1500.0)
    bench.run(60)
    bench.hub.connected()
    bench.run(60)
    assert bench.since("10:00")[:2] == [1500.0, None]
    bench.hub.publish(tick(INFY, 1400.0, at(FRIDAY, "15:29")))
    bench.run(60)
    assert bench.since("10:00")[:3] == [1500.0, None, None]


def test_an_instrument_nobody_subscribes_any_more_is_not_known(bench):
    bench.price(INFY, 1500.0)
    bench.run(60)
    bench.hub.unsubscribed([INFY.instrument_token])
    bench.run(61)
    assert bench.since("10:00")[:2] == [1500.0, None]


def test_after_the_session_the_line_stays_and_grows_no_more():
    bench = Bench(at(MONDAY, "15:39"), (OPTION,))
    bench.price(OPTION, 100.0)
    bench.run(180)
    before = bench.prices(OPTION)
    assert before[-1] == 100.0
    assert len(before) == (15 * 60 + 40) - (9 * 60 + 15), "derivatives trade from 09:15 to 15:40"
    bench.run(600, step=5)
    assert bench.prices(OPTION) == before


def test_fast_market_time_leaves_no_holes_between_two_samples_of_a_live_feed(bench):
    bench.price(INFY, 1500.0)
    bench.lines.sample()
    bench.clock.advance(0.5, speed=600)
    bench.price(INFY, 1510.0)
    bench.lines.sample()
    assert bench.since("10:00") == [1500.0] * 5 + [1510.0]
    bench.clock.advance(6, speed=60)
    bench.price(INFY, 1520.0)
    bench.lines.sample()
    assert bench.since("10:05") == [1510.0, None, None, None, None, None, 1520.0], "the feed may have stood still"


def test_a_new_day_and_a_new_source_begin_with_nothing(bench):
    bench.price(INFY, 1500.0)
    bench.run(60)
    bench.hub.open_source("sim:7:2026-11-23", Instruments(ALL))
    bench.run(1)
    assert set(bench.prices(INFY)) == {None}
    bench = Bench(at(FRIDAY, "12:00"))
    bench.price(INFY, 1500.0)
    bench.run(60)
    bench.clock.set(at(MONDAY, "09:30"))
    bench.lines.sample()
    assert bench.prices(INFY) == [None] * 31


def test_without_a_session_there_is_no_line_and_before_it_no_price():
    assert Bench(at(SATURDAY, "12:00")).lines.line(INFY, 60) == (None, None, [])
    early = Bench(at(MONDAY, "08:00")).lines.line(INFY, 60)
    assert early.start_ms == at(MONDAY, "09:00") // 1_000_000
    assert early.prices == []
    unknown = Instrument(77, "X", "NOWHERE")
    assert Bench().lines.line(unknown, 60) == (None, None, [])


# -- official candles ------------------------------------------------------------------------------------------------


def test_official_minutes_fill_what_was_missed_and_never_what_was_seen(bench):
    bench.price(INFY, 1500.0)
    bench.run(119)
    bench.lines.fill(INFY, candles("09:57", [1.0, 2.0, 3.0, 4.0, 5.0]), of=bench.lines.of, until=bench.clock.now())
    assert bench.since("09:56") == [None, 1.0, 2.0, 3.0, 1500.0, 1500.0]


def test_a_minute_that_is_not_complete_is_not_taken(bench):
    bench.lines.fill(INFY, candles("09:58", [1.0, 2.0, 3.0]), of=bench.lines.of, until=TEN)
    bench.clock.advance(180)
    assert bench.since("09:58") == [1.0, 2.0, None, None, None, None]


def test_between_two_candles_the_price_stood_and_after_the_last_nothing_is_known(bench):
    bench.lines.fill(INFY, candles("09:54", [1.0, None, None, 2.0]), of=bench.lines.of, until=TEN)
    assert bench.since("09:53") == [None, 1.0, 1.0, 1.0, 2.0, None, None, None]


def test_candles_of_another_day_or_asked_for_under_another_source_are_not_taken(bench):
    of = bench.lines.of
    bench.lines.fill(INFY, candles("15:00", [1.0], FRIDAY), of=of, until=TEN)
    bench.lines.fill(INFY, candles("09:30", []), of=of, until=TEN)
    bench.hub.open_source("sim:7:2026-11-23", Instruments(ALL))
    bench.lines.fill(INFY, candles("09:30", [1.0]), of=of, until=TEN)
    assert set(bench.prices(INFY)) == {None}


def test_minutes_missed_are_those_of_continuous_trading_before_this_one(bench):
    assert bench.lines.missing(INFY) == 45
    bench.lines.fill(INFY, candles("09:15", [1.0] * 45), of=bench.lines.of, until=TEN)
    assert bench.lines.missing(INFY) == 0
    assert Bench(at(MONDAY, "09:14")).lines.missing(INFY) == 0
    assert Bench(at(SATURDAY, "12:00")).lines.missing(INFY) == 0


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_memory_is_bounded_and_what_found_no_room_is_counted(monkeypatch):
    monkeypatch.setattr(day_lines, "MOST", 300)
    many = tuple(Instrument(n << 8 | 1, f"S{n}", "NSE", session_class="other") for n in range(1, 402))
    bench = Bench(instruments=many)
    bench.hub.publish(joined(*(tick(one, 10.0, TEN) for one in many)))
    bench.run(1)
    assert bench.lines.describe() == {"instruments": 300, "most": 300, "unrecorded": 101}
    assert bench.prices(many[0])[-1] == 10.0
    assert bench.prices(many[400])[-1] is None
    bench.lines.fill(many[400], candles("09:30", [1.0]), of=bench.lines.of, until=TEN)
    assert bench.prices(many[400])[-1] is None


@pytest.mark.parametrize("price", [0.0025, 84.1275, 999.95, 1000.05, 26141.7, 85123.45, 130_000.05])
def test_prices_come_back_as_they_were(bench, price):
    bench.price(INFY, price)
    bench.run(1)
    assert bench.since("10:00") == [price]


def test_live_prices_of_the_hub_are_those_a_quote_would_show():
    hub, clock = open_hub(TEN)
    assert isinstance(hub, Hub)
    assert isinstance(clock, ManualClock)
    hub.publish(joined(tick(INFY, 1500.0, TEN), tick(NIFTY, 26000.0, at(FRIDAY, "15:29"))))
    live = hub.live_prices()
    assert dict(zip(live.tokens.tolist(), np.isnan(live.prices).tolist(), strict=True)) == {
        INFY.instrument_token: False,
        NIFTY.instrument_token: True,
    }
    assert (live.now, live.epoch) == (TEN, 1)
    clock.advance(6)
    assert np.isnan(hub.live_prices().prices).all(), "no heartbeat"
    hub.alive()
    hub.feed_status("STALE", "no heartbeat 6 s")
    assert np.isnan(hub.live_prices().prices).all()
    assert len(Hub(clock).live_prices().prices) == 0
