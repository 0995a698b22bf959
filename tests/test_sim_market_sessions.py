"""The phases of a simulated day: pre-open, auctions, closing prices, and what stands still when."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tapedeck import sessions
from tapedeck.clock import MINUTE, SECOND, ist_date, ist_ns
from tapedeck.schema import Instrument
from tapedeck.sim.market import MarketDay
from tapedeck.sim.timeline import build_timeline
from tests.sim_market_support import PLAIN, STEP, TODAY, day_minutes, listed, market, tick, token

pytestmark = pytest.mark.timezones

MUHURAT, REVISED = date(2024, 11, 1), date(2026, 12, 9)


def at(hhmm: str, day: date = TODAY) -> int:
    return ist_ns(day, hhmm)


def of_class(name: str, day: date = TODAY) -> list[Instrument]:
    return [i for i in listed(day).values() if i.session_class == name]


def tokens_of(name: str, day: date = TODAY) -> list[int]:
    return [i.instrument_token for i in of_class(name, day)]


@pytest.fixture(scope="module")
def today() -> MarketDay:
    return market().day(TODAY)


def test_before_the_day_every_tick_is_yesterdays(today: MarketDay) -> None:
    batch = today.snapshot(today.tokens, at("08:59:59"))
    ticks = batch.ticks
    assert {ist_date(int(t)) for t in ticks["exchange_timestamp"]} == {date(2026, 11, 20)}
    assert (ticks["last_price"] == ticks["close"]).all()
    assert set(ticks["volume_traded"].tolist()) == {0, -1}
    assert not ticks["high"].any()
    assert not batch.depth["buy"]["quantity"].any()


def test_yesterdays_tick_counts_as_an_official_close_and_is_dated_yesterday(today: MarketDay) -> None:
    for i in (listed(TODAY)["NSE:RELIANCE"], listed(TODAY)["NSE:MRF"]):
        row = tick(today, i.instrument_token, at("08:59:59"))
        assert sessions.is_official_close(i, int(row["last_trade_time"]))
        assert ist_date(int(row["last_trade_time"])) == date(2026, 11, 20)


def test_orders_gather_before_the_open_and_no_price_prints(today: MarketDay) -> None:
    shares = [*tokens_of("cas"), *tokens_of("other")]
    before = today.snapshot(shares, at("09:00"))
    later = today.snapshot(shares, at("09:09:59"))
    assert today.changed(shares, at("09:00"), at("09:10")).mean() > 0.9
    assert later.depth["buy"]["quantity"][:, 0].any()
    for name in ("last_price", "volume_traded", "open", "high", "low", "last_trade_time"):
        assert (before.ticks[name] == later.ticks[name]).all()
    # Order entry ends at a random second of its last two minutes; then nothing moves until the matching.
    ends = (later.ticks["exchange_timestamp"].max() - at("09:00")) / SECOND
    assert 470 <= ends < 600


def test_the_opening_auction_sets_the_open(today: MarketDay) -> None:
    shares = [*tokens_of("cas"), *tokens_of("other"), *tokens_of("future_m1")]
    ticks = today.snapshot(shares, at("09:12")).ticks
    for name in ("open", "high", "low"):
        assert (ticks["last_price"] == ticks[name]).all()
    assert (ticks["volume_traded"] > 0).all()
    seconds = (ticks["last_trade_time"] - at("09:10")) / SECOND
    assert (seconds >= 0).all()
    assert (seconds < 120).all()
    assert len(set(seconds.tolist())) > 20
    assert (today.snapshot(shares, at("14:00")).ticks["open"] == ticks["open"]).all()
    assert not today.changed(shares, at("09:12"), at("09:15") - STEP).any()
    daily = market()._days.daily
    opens = daily.open[daily.position[TODAY]]
    universe = market().universe
    assert {s.instrument_token: o for s, o in zip(universe.stocks, opens, strict=True)}[738561] == tick(
        today, 738561, at("09:12")
    )["open"]


def test_options_and_far_futures_open_with_continuous_trading(today: MarketDay) -> None:
    late = [*tokens_of("option"), *tokens_of("index_contract_expiring_today"), *tokens_of("future_far")]
    assert not today.changed(late, at("08:00"), at("09:15") - STEP).any()
    assert today.changed(late, at("09:15"), at("09:25")).mean() > 0.4


def test_an_index_opens_with_its_members_auction(today: MarketDay) -> None:
    row = tick(today, 256265, at("09:12"))
    assert row["open"] == row["last_price"] == row["high"] == row["low"]
    assert row["last_price"] != row["close"]
    assert tick(today, 256265, at("09:11"))["open"] == 0


def test_nothing_prints_between_the_end_of_trading_and_the_uncrossing(today: MarketDay) -> None:
    shares = tokens_of("cas")
    before, after = today.snapshot(shares, at("15:15:01")).ticks, today.snapshot(shares, at("15:30")).ticks
    for name in ("last_price", "volume_traded", "high", "low", "last_trade_time", "average_traded_price"):
        assert (before[name] == after[name]).all()
    assert not today.changed(shares, at("15:15:01"), at("15:20") - STEP).any()
    # In the auction's order entry only quotes move, until it ends at a random second.
    assert today.changed(shares, at("15:20"), at("15:29")).mean() > 0.9
    ends = (after["exchange_timestamp"].max() - at("15:25")) / SECOND
    assert 170 <= ends < 300


def test_the_uncrossing_prints_once_at_the_official_close(today: MarketDay) -> None:
    daily, shares = market()._days.daily, of_class("cas")
    names = [i.instrument_token for i in shares]
    before, after = today.snapshot(names, at("15:30")).ticks, today.snapshot(names, at("15:35")).ticks
    closes = dict(
        zip((s.instrument_token for s in market().universe.stocks), daily.close[daily.position[TODAY]], strict=True)
    )
    assert after["last_price"].tolist() == [closes[name] for name in names]
    traded = after["volume_traded"] - before["volume_traded"]
    assert (traded > 0).all()
    assert 0.02 < np.median(traded / after["volume_traded"]) < 0.12
    assert (np.abs(after["last_price"] / before["last_price"] - 1) < 0.03).all()
    for i, row in zip(shares[:20], after[:20], strict=True):
        assert sessions.is_official_close(i, int(row["last_trade_time"]))


def test_an_index_stands_still_in_the_auction_and_closes_on_the_official_prices(today: MarketDay) -> None:
    assert not today.changed([256265], at("15:15:01"), at("15:30")).any()
    final = tick(today, 256265, at("15:35"))
    universe, daily = market().universe, market()._days.daily
    closes = daily.close[daily.position[TODAY]]
    value = sum(closes[m] * q for m, q in zip(universe.indices[0].members, universe.indices[0].quantity, strict=True))
    assert float(final["last_price"]) == pytest.approx(value, abs=0.03)
    assert final["last_price"] != tick(today, 256265, at("15:29"))["last_price"]


def test_shares_without_derivatives_trade_on_to_half_past_three(today: MarketDay) -> None:
    shares = tokens_of("other")
    assert today.changed(shares, at("15:16"), at("15:26")).all()
    assert not today.changed(shares, at("15:30:01"), at("15:50") - STEP).any()
    assert today.changed(shares, at("15:50"), at("15:54")).all()


@pytest.mark.parametrize("day", [TODAY, PLAIN])
def test_without_an_auction_the_close_is_the_average_of_the_last_half_hour(day: date) -> None:
    live, daily = market().day(day), market()._days.daily
    for n, stock in enumerate(market().universe.stocks):
        if (day == TODAY and stock.lot) or n % 3:
            continue
        a, b = (tick(live, stock.instrument_token, at(t, day) + STEP * 3) for t in ("15:00", "15:30"))
        volumes = [int(row["volume_traded"]) for row in (a, b)]
        paid = [float(row["average_traded_price"]) * v for row, v in zip((a, b), volumes, strict=True)]
        average = (paid[1] - paid[0]) / (volumes[1] - volumes[0])
        close = daily.close[daily.position[day]][n]
        # Averages on the wire have two decimals, and a thin share has few trades to average.
        if close not in market().circuit_limits(stock.instrument_token, day):
            assert average == pytest.approx(close, abs=1.5 * daily.tick[daily.position[day]][n] + 4e-4 * close)


def test_after_the_close_shares_trade_at_the_closing_price_only(today: MarketDay) -> None:
    shares = [*tokens_of("cas"), *tokens_of("other")]
    before, after = today.snapshot(shares, at("15:49")).ticks, today.snapshot(shares, at("15:55")).ticks
    assert (after["volume_traded"] > before["volume_traded"]).all()
    daily = market()._days.daily
    assert after["last_price"].tolist() != before["last_price"].tolist()
    assert sorted(after["last_price"].tolist()) == sorted(daily.close[daily.position[TODAY]].tolist())
    assert not today.changed(today.tokens, at("16:00"), at("16:00") + 8 * 60 * MINUTE).any()


def test_derivatives_trade_through_the_auction_of_their_shares(today: MarketDay) -> None:
    near = [*tokens_of("future_m1"), token("NFO:NIFTY26NOVFUT"), token("NFO:NIFTY26D0126000CE")]
    assert today.changed(near, at("15:20"), at("15:39")).all()
    assert not today.changed(near, at("15:40:01"), at("16:00")).any()


def test_the_volatility_index_moves_on_while_the_index_stands_still(today: MarketDay) -> None:
    assert today.changed([264969], at("15:16"), at("15:29")).all()
    assert not today.changed([256265], at("15:16"), at("15:29")).any()


@pytest.mark.parametrize("day", [TODAY, PLAIN, MUHURAT, REVISED])
def test_every_trade_falls_into_a_phase_in_which_its_class_trades(day: date) -> None:
    allowed = {"LIVE", "CLOSING_AUCTION", "POST_CLOSE", "PRE_OPEN"}
    live = market().day(day)
    chosen = [i for n, i in enumerate(listed(day).values()) if not i.is_index and (n % 40 == 0 or n < 6)]
    times = {int(s.end_ns) for s in sessions.spans(day, "NSE_EQ", "cas")}
    times |= {build_timeline(day).start_ns + n * 17 * MINUTE + 11 * SECOND for n in range(25)}
    for when in times:
        for i, row in zip(chosen, live.snapshot([i.instrument_token for i in chosen], when).ticks, strict=True):
            if row["volume_traded"] > 0:
                phase = sessions.phase(i, int(row["last_trade_time"]))
                assert phase.name in allowed, (i.key, phase)
                if phase.name != "LIVE":
                    assert phase.sub in ("matching", "buffer", "post_close", "order_entry", ""), (i.key, phase)


def test_an_evening_session_has_its_own_hours() -> None:
    live = market().day(MUHURAT)
    shares = tokens_of("cas", MUHURAT)
    assert not live.changed(shares, at("09:00", MUHURAT), at("17:40", MUHURAT)).any()
    assert live.changed(shares, at("18:00", MUHURAT), at("19:00", MUHURAT)).all()
    assert day_minutes(738561, MUHURAT)["date"][0] == at("18:00", MUHURAT)


def test_from_december_2026_the_auction_follows_continuous_trading_to_half_past_three() -> None:
    live = market().day(REVISED)
    shares = tokens_of("cas", REVISED)
    assert live.changed(shares, at("15:16", REVISED), at("15:29", REVISED)).all()
    a, b = (live.snapshot(shares, at(t, REVISED)).ticks["volume_traded"] for t in ("15:30:01", "15:40"))
    assert (a == b).all()
    c = live.snapshot(shares, at("15:43", REVISED)).ticks["volume_traded"]
    assert (c > b).all()
