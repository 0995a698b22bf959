from __future__ import annotations

import threading
from datetime import date
from typing import Any

import numpy as np
import pytest

from tapedeck.sim.today import instruments_csv, session_date
from tests.sim_support import INFY, Sim, shared_market
from tests.support import wait_until


class SlowMarket:
    """The real market, whose expensive calls wait until they are let through."""

    def __init__(self) -> None:
        self._market = shared_market()
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[date] = []

    def day(self, day: date) -> Any:
        self.asked.append(day)
        self.gate.wait(30)
        return self._market.day(day)

    def candles(self, *args: Any, **options: Any) -> np.ndarray:
        self.gate.wait(30)
        return self._market.candles(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._market, name)


def test_the_stream_goes_on_while_candles_are_being_made() -> None:
    market = SlowMarket()
    with Sim(market=market, rate_limits=False) as sim, sim.stream(INFY, mode="full") as stream:  # type: ignore[arg-type]
        market.gate.clear()
        kite, infy, rows = sim.kite(), sim.token(INFY), []
        asker = threading.Thread(
            target=lambda: rows.extend(kite.historical_data(infy, "2026-11-20", "2026-11-23", "day"))
        )
        asker.start()
        wait_until(lambda: sim.server.exchange.workers.waiting)
        sim.beat(20)
        assert len(stream.batch().ticks) == 1
        assert kite.ltp(INFY)
        assert not rows
        market.gate.set()
        asker.join(30)
        assert len(rows) == 2


def test_the_next_day_is_built_before_it_begins_and_without_holding_up_the_stream() -> None:
    market = SlowMarket()
    with Sim(start="2026-11-23T15:58:00", market=market) as sim, sim.stream() as stream:  # type: ignore[arg-type]
        assert market.asked == [date(2026, 11, 23)]
        market.gate.clear()
        sim.beat(seconds=70)
        wait_until(lambda: len(market.asked) == 2)
        assert market.asked[-1] == date(2026, 11, 25)
        assert stream.frame() == b"\x00"
        # Not ready at the jump: connected clients get heartbeats, no ticks, until it is.
        sim.beat(seconds=120)
        with sim.stream() as early:
            early.send({"a": "subscribe", "v": [sim_token(INFY)]})
            early.connection.ping().wait(10)
            sim.beat(8)
            assert [early.frame(), early.frame()] == [b"\x00"] * 2
            market.gate.set()
            wait_until(lambda: (sim.beat(), sim.server.exchange.today.loaded)[1], timeout=60)
            sim.beat()
            assert early.batch().ticks["instrument_token"].tolist() == [sim_token(INFY)]


def sim_token(key: str) -> int:
    return next(row.instrument_token for row in shared_market().instruments(date(2026, 11, 23)) if row.key == key)


def test_a_request_during_the_change_of_day_waits_for_the_new_day() -> None:
    market = SlowMarket()
    with Sim(start="2026-11-23T16:00:59", market=market) as sim:  # type: ignore[arg-type]
        kite, answers = sim.kite(), []
        market.gate.clear()
        sim.beat(seconds=2)
        asker = threading.Thread(target=lambda: answers.append(kite.quote(INFY)))
        asker.start()
        wait_until(lambda: len(market.asked) == 2)
        assert not answers
        market.gate.set()
        asker.join(60)
        assert answers[0][INFY]["last_price"] > 0
        assert sim.server.exchange.today.date == date(2026, 11, 25)


@pytest.mark.timezones
def test_a_day_without_trading_shows_the_last_one() -> None:
    assert session_date(date(2026, 11, 22)) == date(2026, 11, 20)
    assert session_date(date(2026, 11, 24)) == date(2026, 11, 23), "a holiday"
    assert session_date(date(2026, 11, 25)) == date(2026, 11, 25)
    with Sim(start="2026-11-22T12:00:00", rate_limits=False) as sim:
        quote = sim.kite().quote(INFY)[INFY]
        assert quote["timestamp"].date() == date(2026, 11, 20)
        assert sim.clock.document()["source"] == "sim:7:2026-11-22"


def test_the_dump_has_kites_columns_and_one_line_a_row() -> None:
    rows = list(shared_market().instruments(date(2026, 11, 23)))[:50]
    lines = instruments_csv(rows).decode().splitlines()
    assert lines[0] == (
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
        "instrument_type,segment,exchange"
    )
    assert len(lines) == 51
