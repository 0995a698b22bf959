"""The simulated market at any instant: what is listed, what it quotes, and what never happens."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.clock import MINUTE, SECOND, ist_ns, to_ist
from tapedeck.errors import UnknownInstrument
from tapedeck.sim.book import build_depth
from tapedeck.sim.market import Market, MarketDay
from tapedeck.sim.universe import load_universe
from tests.sim_market_support import DRILL, PLAIN, STEP, TODAY, listed, market, streamed, tick, token

pytestmark = pytest.mark.timezones

DAYS = (TODAY, PLAIN)
FINGERPRINT = """
import hashlib
from datetime import date
from tapedeck.clock import ist_ns
from tapedeck.sim.market import Market
day = date(2026, 11, 23)
market = Market(7)
found = market.day(day).snapshot(market.day(day).tokens, ist_ns(day, "11:22:33"))
bars = market.candles(738561, "minute", ist_ns(day, "09:00"), ist_ns(day, "11:00"), now_ns=ist_ns(day, "11:00"))
print(hashlib.sha256(found.ticks.tobytes() + found.depth.tobytes() + bars.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def today() -> MarketDay:
    return market().day(TODAY)


def at(hhmm: str, day: date = TODAY) -> int:
    return ist_ns(day, hhmm)


@pytest.mark.once
def test_the_same_seed_gives_the_same_day_in_every_process_and_place() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone}, capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed, zone in (("1", "UTC"), ("2024", "America/New_York"))
    ]  # fmt: skip
    day = Market(7).day(TODAY)
    day.snapshot([token("NFO:NIFTY26NOVFUT"), 738561], at("10:00"))  # another order of questions
    batch = day.snapshot(day.tokens, at("11:22:33"))
    bars = market().candles(738561, "minute", at("09:00"), at("11:00"), now_ns=at("11:00"))
    mine = hashlib.sha256(batch.ticks.tobytes() + batch.depth.tobytes() + bars.tobytes()).hexdigest()
    assert found == [mine, mine]


def test_another_seed_gives_another_day_with_the_same_instruments() -> None:
    other = Market(8)
    keys = [i.key for i in other.instruments(TODAY) if i.exchange == "NSE"]
    assert keys == [i.key for i in market().instruments(TODAY) if i.exchange == "NSE"]
    assert (
        other.day(TODAY).snapshot([408065], at("11:00")).ticks
        != market().day(TODAY).snapshot([408065], at("11:00")).ticks
    )


def test_more_than_three_thousand_instruments_are_listed_once_each() -> None:
    found = market().instruments(TODAY)
    assert len(found) > 3000
    assert max(Counter(i.instrument_token for i in found).values()) == 1
    assert max(Counter(i.key for i in found).values()) == 1
    assert {i.instrument_token for i in found} == set(market().day(TODAY).tokens.tolist())
    for i in found:
        segment = {"NSE": 1, "NFO": 2}.get(i.exchange, 1) if i.segment != "INDICES" else 9
        assert i.instrument_token == i.exchange_token * 256 + segment
    kinds = Counter(i.segment for i in found)
    assert kinds["NSE"] >= 200
    assert kinds["INDICES"] >= 6
    assert kinds["NFO-FUT"] >= 300
    assert kinds["NFO-OPT"] > 2000


def test_well_known_tokens_are_the_real_ones() -> None:
    known = {
        "NSE:NIFTY 50": 256265, "NSE:NIFTY BANK": 260105, "NSE:INDIA VIX": 264969, "NSE:RELIANCE": 738561,
        "NSE:INFY": 408065, "NSE:TCS": 2953217, "NSE:HDFCBANK": 341249, "BSE:SENSEX": 265,
    }  # fmt: skip
    assert {key: token(key) for key in known} == known


def test_the_universe_is_consistent() -> None:
    universe = load_universe()
    assert len({s.exchange_token for s in universe.stocks}) == len(universe.stocks)
    assert len(next(i for i in universe.indices if i.tradingsymbol == "NIFTY 50").members) == 50
    for index in universe.indices:
        prices = np.array([s.price for s in universe.stocks])
        level = sum(prices[m] * q for m, q in zip(index.members, index.quantity, strict=True))
        assert level == pytest.approx(index.level)


def test_session_classes_follow_the_derivatives() -> None:
    found = listed(TODAY)
    futures = {i.name for i in found.values() if i.instrument_type == "FUT"}
    for i in found.values():
        if i.segment == "NSE":
            assert i.session_class == ("cas" if i.tradingsymbol in futures else "other")
    assert found["NSE:NIFTY 50"].session_class == "index"
    assert found["NFO:NIFTY26NOVFUT"].session_class == "index_future_expiring_today"
    assert found["NFO:RELIANCE26NOVFUT"].session_class == "future_m1"
    assert found["NFO:RELIANCE27JANFUT"].session_class == "future_far"
    assert found["NFO:NIFTY26D0126000CE"].session_class == "option"


@pytest.mark.once
@settings(max_examples=60, deadline=None)
@given(
    day=st.sampled_from(DAYS),
    pick=st.integers(0, 10**6),
    second=st.integers(9 * 3600 - 120, 16 * 3600 + 120),
    step=st.integers(0, 3),
)
def test_no_book_ever_crosses_and_no_price_leaves_its_bounds(day: date, pick: int, second: int, step: int) -> None:
    live, when = market().day(day), at("00:00", day) + second * SECOND + step * STEP
    chosen = live.tokens[pick % 7 :: 7]
    batch = live.snapshot(chosen, when)
    assert (batch.ticks["instrument_token"] == chosen).all()
    trading = batch.ticks[(chosen & 0xFF) != 9]
    depth = batch.depth
    assert (depth["instrument_token"] == trading["instrument_token"]).all()
    buy, sell = depth["buy"], depth["sell"]
    both = (buy["price"][:, 0] > 0) & (sell["price"][:, 0] > 0)
    assert (buy["price"][both, 0] < sell["price"][both, 0]).all()
    for side, sign in ((buy, -1), (sell, 1)):
        there = side["price"] > 0
        assert (there == (side["quantity"] > 0)).all()
        assert (there == (side["orders"] >= 1)).all()
        assert (side["quantity"] >= side["orders"]).all()
        steps = np.diff(side["price"], axis=1) * sign
        assert (steps[there[:, 1:]] > 0).all()
        assert (there[:, :-1] >= there[:, 1:]).all()
    traded = trading["volume_traded"] > 0
    assert (trading["open"][~traded] == 0).all()
    seen = trading[traded]
    for name in ("open", "last_price", "average_traded_price"):
        assert (seen["low"] <= seen[name] + 0.005).all()
        assert (seen[name] <= seen["high"] + 0.005).all()
    assert (seen["last_traded_quantity"] >= 1).all()
    assert (seen["last_traded_quantity"] <= seen["volume_traded"]).all()
    assert (seen["last_trade_time"] <= seen["exchange_timestamp"]).all()
    assert (trading["exchange_timestamp"] <= when).all()
    assert (trading["last_price"][~traded] == trading["close"][~traded]).all()
    assert (trading["oi"] >= 0).all()
    assert ((trading["oi_day_low"] <= trading["oi"]) & (trading["oi"] <= trading["oi_day_high"])).all()


@settings(max_examples=25, deadline=None)
@given(pick=st.integers(0, 10**6), second=st.integers(9 * 3600 - 60, 16 * 3600), span=st.integers(1, 400))
def test_a_token_changes_exactly_when_its_tick_or_book_does(pick: int, second: int, span: int) -> None:
    live = market().day(TODAY)
    chosen = live.tokens[pick % 11 :: 11]
    begin = at("00:00") + second * SECOND
    end = begin + span * STEP
    before, after = live.snapshot(chosen, begin), live.snapshot(chosen, end)
    rows = np.flatnonzero((chosen & 0xFF) != 9)
    differs = before.ticks != after.ticks
    differs[rows] |= before.depth != after.depth
    # NaN fields of an index never equal themselves.
    index = (chosen & 0xFF) == 9
    for n in np.flatnonzero(index):
        differs[n] = before.ticks[n].tobytes() != after.ticks[n].tobytes()
    assert (live.changed(chosen, begin, end) == differs).all()
    volume = after.ticks["volume_traded"] - before.ticks["volume_traded"]
    assert (volume >= 0).all()
    assert (after.ticks["high"] >= before.ticks["high"]).all()
    assert (volume[~live.changed(chosen, begin, end)] == 0).all()


def test_last_prices_stay_within_the_circuit_and_on_the_tick() -> None:
    for day in DAYS:
        live = market().day(day)
        ticks = live.snapshot(live.tokens, at("15:39:30", day)).ticks
        by_token = {i.instrument_token: i for i in listed(day).values()}
        for row in ticks[::5]:
            i = by_token[int(row["instrument_token"])]
            low, high = market().circuit_limits(i.instrument_token, day)
            if i.is_index:
                assert (low, high) == (0.0, 0.0)
                continue
            assert low <= row["low"] <= row["high"] <= high or row["high"] == 0
            steps = row["last_price"] / i.tick_size
            assert steps == pytest.approx(round(steps), abs=1e-6)
            assert row["volume_traded"] % i.lot_size == 0


def test_at_a_circuit_limit_one_side_of_the_book_is_empty() -> None:
    daily = market()._days.daily
    universe = market().universe
    low, high = daily.previous * 0.9, daily.previous * 1.1
    days = slice(daily.position[date(2024, 1, 1)], None)
    locked = np.argwhere(np.abs(daily.close[days] - high[days]) <= daily.tick[days] * 0.5)
    assert len(locked)
    number, share = locked[-1] + [days.start, 0]
    day, stock = daily.days[number], universe.stocks[share]
    live = market().day(day)
    limit = market().circuit_limits(stock.instrument_token, day)[1]
    assert daily.close[number, share] == limit
    locked_at = ist_ns(day, "15:59:00")
    batch = live.snapshot([stock.instrument_token], locked_at)
    assert batch.ticks["last_price"][0] == limit
    assert batch.depth["buy"]["price"][0, 0] == limit
    assert not batch.depth["sell"]["price"].any()
    assert not batch.ticks["total_sell_quantity"][0]
    assert low[number, share] < limit


def test_a_book_at_its_lower_limit_has_no_buyers() -> None:
    one = np.array([1])
    depth, buy, sell = build_depth(
        seed=1, token=np.array([257]), level=np.array([90.0]), half=np.array([1e-5]), low=np.array([90]),
        high=np.array([110]), tick=np.array([0.5]), lot=one, minute_lots=np.array([100.0]), second=np.array([5]),
    )  # fmt: skip
    assert not depth["buy"]["price"].any()
    assert depth["sell"]["price"].tolist() == [[45.0, 45.5, 46.0, 46.5, 47.0]]
    assert buy[0] == 0
    assert sell[0] > 0


def test_an_index_is_made_of_its_members_last_prices(today: MarketDay) -> None:
    universe = market().universe
    for index in universe.indices:
        members = [universe.stocks[m].instrument_token for m in index.members]
        for hhmm in ("09:20:00", "11:45:13", "15:14:58"):
            when = at(hhmm) + 3 * STEP  # all instruments of that second have moved, the index last
            prices = today.snapshot(members, when).ticks["last_price"]
            value = float(tick(today, index.instrument_token, when)["last_price"])
            assert value == pytest.approx(float(prices @ np.array(index.quantity)), abs=0.03)


def test_an_index_has_no_volume_no_depth_and_no_open_interest(today: MarketDay) -> None:
    batch = today.snapshot([256265, 408065, 264969], at("11:00"))
    assert len(batch.depth) == 1
    nifty = batch.ticks[0]
    assert nifty["volume_traded"] == nifty["oi"] == nifty["total_buy_quantity"] == -1
    assert np.isnan(nifty["average_traded_price"])
    assert nifty["last_trade_time"] == 0
    assert nifty["low"] <= nifty["last_price"] <= nifty["high"]


def test_unknown_tokens_are_refused(today: MarketDay) -> None:
    for ask in (today.snapshot, lambda t, n: today.changed(t, n, n)):
        with pytest.raises(UnknownInstrument):
            ask([738561, 12345], at("11:00"))
    with pytest.raises(UnknownInstrument):
        market().circuit_limits(12345, TODAY)
    assert len(today.snapshot([], at("11:00")).ticks) == 0
    assert today.changed(np.zeros(0, np.uint32), 0, 1).tolist() == []


def test_a_day_without_session_is_refused() -> None:
    for ask in (market().day, market().instruments):
        with pytest.raises(ValueError, match="not a simulated trading day"):
            ask(date(2026, 11, 22))


def test_liquid_names_move_every_second_and_thin_ones_every_few_minutes(today: MarketDay) -> None:
    begin, seconds = at("12:00"), 600
    busy = [token("NSE:RELIANCE"), token("NSE:HDFCBANK"), token("NFO:NIFTY26NOVFUT")]
    thin = [i.instrument_token for i in listed(TODAY).values() if i.name == "TCS" and i.strike >= 3380]
    moved = {
        name: sum(bool(today.changed([name], begin + s * SECOND, begin + (s + 1) * SECOND)[0]) for s in range(seconds))
        for name in [*busy, *thin[:3]]
    }
    assert min(moved[name] for name in busy) > 0.8 * seconds
    assert max(moved[name] for name in thin[:3]) < seconds / 20
    old = today.snapshot(thin, begin).ticks
    assert ((begin - old["last_trade_time"]) > 60 * SECOND).any()


def test_instruments_move_in_different_quarters_of_a_second(today: MarketDay) -> None:
    shares = [i.instrument_token for i in listed(TODAY).values() if i.segment == "NSE"]
    parts = [today.changed(shares, at("12:00") + n * STEP, at("12:00") + (n + 1) * STEP).mean() for n in range(4)]
    assert min(parts) > 0.05
    assert max(parts) < 0.5


def test_most_trades_are_at_the_best_bid_or_ask(today: MarketDay) -> None:
    ticks = streamed(today, token("NSE:INFY"), at("13:00"), at("13:02"))
    hits = 0
    for row in ticks[1:]:
        depth = today.snapshot([408065], int(row["exchange_timestamp"]) + 3 * STEP).depth[0]
        hits += row["last_price"] in (depth["buy"]["price"][0], depth["sell"]["price"][0])
    assert hits > 0.7 * (len(ticks) - 1)


def test_times_are_whole_seconds_of_the_day(today: MarketDay) -> None:
    ticks = today.snapshot(today.tokens[:300], at("11:00") + STEP).ticks
    assert not (ticks["exchange_timestamp"] % SECOND).any()
    assert {to_ist(int(t)).date() for t in ticks["exchange_timestamp"]} == {TODAY}
    assert (ticks["received_at"] == 0).all()
    assert (ticks["mode"] == 2).all()


def test_a_day_in_two_parts_is_silent_in_between() -> None:
    live = market().day(DRILL)
    shares = [i.instrument_token for i in listed(DRILL).values() if i.segment == "NSE"]
    assert live.changed(shares, at("09:15", DRILL), at("10:00", DRILL)).all()
    assert not live.changed(shares, at("10:00:01", DRILL), at("11:14:59", DRILL)).any()
    before, after = (live.snapshot(shares, at(t, DRILL)).ticks for t in ("10:00:01", "11:29:59"))
    assert (before["volume_traded"] == after["volume_traded"]).all()
    assert live.changed(shares, at("11:30", DRILL), at("12:30", DRILL)).all()
    later = live.snapshot(shares, at("12:59", DRILL)).ticks
    assert not live.changed(shares, at("12:59", DRILL), at("12:59", DRILL) + 60 * MINUTE).any()
    daily = market()._days.daily
    assert later["last_price"].tolist() == daily.close[daily.position[DRILL]].tolist()
