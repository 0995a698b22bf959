"""Candles of the simulated market: they are the sums of what was streamed, and the days join without a seam."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck import sessions
from tapedeck.clock import DAY, MINUTE, SECOND, ist_date, ist_midnight, ist_ns, to_ist
from tapedeck.errors import InputRefused, UnknownInstrument
from tapedeck.schema import CANDLE, INTERVALS
from tests.sim_market_support import DRILL, PLAIN, TODAY, built, day_minutes, listed, market, streamed, tick, token

pytestmark = pytest.mark.timezones

RELIANCE, NIFTY, MRF = 738561, 256265, token("NSE:MRF")
KINDS = ["NSE:RELIANCE", "NSE:MRF", "NSE:NIFTY 50", "NSE:INDIA VIX", "NFO:NIFTY26NOVFUT", "NFO:NIFTY27JANFUT",
         "NFO:NIFTY26NOV26000CE", "NFO:RELIANCE26DEC1540CE"]  # fmt: skip


def fetched(name: int, interval: str, first: str, last: str, now: str | None = None, **options: bool) -> np.ndarray:
    """Bars between two moments written as `2026-11-23 09:15`."""
    ns = [ist_ns(date.fromisoformat(t[:10]), t[11:] or "00:00") for t in (first, last, now or last)]
    return market().candles(name, interval, ns[0], ns[1], now_ns=ns[2], **options)


@pytest.mark.parametrize("key", KINDS)
def test_minute_bars_are_what_was_streamed(key: str) -> None:
    name = token(key)
    bars = day_minutes(name, TODAY)
    for begin, end in (
        ("09:15", "09:19"),
        ("12:00", "12:03"),
        ("15:12", "15:17"),
        ("15:29", "15:33"),
        ("15:50", "15:52"),
    ):
        ticks = streamed(market().day(TODAY), name, ist_ns(TODAY, begin), ist_ns(TODAY, end) + SECOND - 1)
        mine = built(ticks)
        mine = mine[mine["date"] < ist_ns(TODAY, end)]
        asked = bars[(bars["date"] >= ist_ns(TODAY, begin)) & (bars["date"] < ist_ns(TODAY, end))].copy()
        if begin == "09:15":  # the auction belongs to the first bar, and was over before the stream began
            early = ticks[0]
            if early["open"] > 0:
                mine["open"][0] = early["open"]
                mine["high"][0] = max(mine["high"][0], early["high"])
                mine["low"][0] = min(mine["low"][0], early["low"])
                mine["volume"][0] += max(int(early["volume_traded"]), 0)
        assert mine.tolist() == asked.tolist(), (key, begin)


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize("day", [TODAY, date(2026, 11, 20)])
def test_a_days_minutes_add_up_to_its_last_tick(key: str, day: date) -> None:
    if key.split(":")[1] not in {i.tradingsymbol for i in listed(day).values()}:
        pytest.fail(f"{key} is not listed on {day}")
    name = token(key)
    bars, last = day_minutes(name, day, oi=True), tick(market().day(day), name, ist_ns(day, "16:00"))
    assert bars["volume"].sum() == max(int(last["volume_traded"]), 0)
    assert (bars["open"][0], bars["close"][-1]) == (last["open"], last["last_price"])
    assert (bars["high"].max(), bars["low"].min()) == (last["high"], last["low"])
    assert bars["oi"][-1] == max(int(last["oi"]), 0)
    assert (np.diff(bars["date"]) > 0).all()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()


@settings(max_examples=40, deadline=None)
@given(pick=st.integers(0, 10**6), second=st.integers(9 * 3600, 16 * 3600 - 1), part=st.integers(0, 3))
def test_the_forming_bar_is_known_to_the_quarter_second(pick: int, second: int, part: int) -> None:
    # Until 16:00: then the day is finished, and its bar ends with the official close (a future's settlement price).
    live = market().day(TODAY)
    name = int(live.tokens[pick % len(live.tokens)])
    now = ist_midnight(TODAY) + second * SECOND + part * (SECOND // 4)
    bars = market().candles(name, "minute", ist_midnight(TODAY), now, now_ns=now)
    row = tick(live, name, now)
    if now < ist_ns(TODAY, "09:15"):
        assert not len(bars)
        return
    traded = row["open"] > 0
    assert bool(len(bars)) == bool(traded)
    if traded:
        assert bars["volume"].sum() == max(int(row["volume_traded"]), 0)
        assert bars["close"][-1] == row["last_price"]
        assert (bars["high"].max(), bars["low"].min()) == (row["high"], row["low"])
        day = market().candles(name, "day", ist_midnight(TODAY), now, now_ns=now)
        assert (day["open"][0], day["close"][0]) == (row["open"], row["last_price"])
        assert (day["high"][0], day["low"][0]) == (row["high"], row["low"])


def test_asking_early_or_late_gives_the_same_finished_bars() -> None:
    noon = fetched(RELIANCE, "minute", "2026-11-23 09:00", "2026-11-23 12:00")
    evening = fetched(RELIANCE, "minute", "2026-11-23 09:00", "2026-11-23 12:00", "2026-11-23 16:00")
    tomorrow = fetched(RELIANCE, "minute", "2026-11-23 09:00", "2026-11-23 12:00", "2026-11-25 11:00")
    assert noon[:160].tolist() == evening[:160].tolist()
    assert evening.tolist() == tomorrow.tolist()
    assert len(evening) == 166


@pytest.mark.parametrize("name", [RELIANCE, MRF, NIFTY, 264969])
def test_each_day_opens_where_the_last_one_closed(name: int) -> None:
    bars = fetched(name, "day", "2026-11-09 00:00", "2026-11-23 16:30")
    days = [ist_date(int(t)) for t in bars["date"]]
    assert days == sessions.trading_days(date(2026, 11, 9), TODAY)
    for bar, day in list(zip(bars, days[1:], strict=False))[-3:]:
        assert tick(market().day(day), name, ist_ns(day, "11:00"))["close"] == bar["close"]


@pytest.mark.parametrize("key", ["NSE:RELIANCE", "NSE:NIFTY 50", "NFO:NIFTY26DECFUT"])
def test_day_bars_join_the_minutes(key: str) -> None:
    name, day = token(key), date(2026, 11, 20)
    minutes, bar = day_minutes(name, day), fetched(name, "day", "2026-11-20 00:00", "2026-11-20 23:00")[0]
    assert bar["volume"] == minutes["volume"].sum()
    assert bar["open"] == minutes["open"][0]
    assert bar["high"] == pytest.approx(minutes["high"].max(), rel=2e-4)
    assert bar["low"] == pytest.approx(minutes["low"].min(), rel=2e-4)
    if key.startswith("NSE"):
        assert (bar["close"], bar["high"], bar["low"]) == (
            minutes["close"][-1], minutes["high"].max(), minutes["low"].min(),
        )  # fmt: skip


def test_five_years_of_days_are_served_for_a_share_and_an_index() -> None:
    for name in (RELIANCE, 260105):
        bars = fetched(name, "day", "2021-11-23 00:00", "2025-08-29 00:00", "2026-11-23 10:00")
        days = [ist_date(int(t)) for t in bars["date"]]
        assert days[-1] == date(2025, 8, 29)
        assert len(days) > 0.97 * 247 * 3.77
        assert all(to_ist(int(t)).time().isoformat() == "00:00:00" for t in bars["date"])
        assert (bars["low"] > 0).all()
        assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
        assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
        gap = np.abs(np.log(bars["open"][1:] / bars["close"][:-1]))
        assert np.median(gap) < 0.01
        assert gap.max() < 0.11


def test_estimated_day_bars_look_like_summed_ones() -> None:
    def reach(bars: np.ndarray) -> float:
        return float(np.median(np.log(bars["high"] / bars["low"])))

    old = fetched(RELIANCE, "day", "2025-01-01 00:00", "2025-08-25 00:00", "2026-11-23 10:00")
    new = fetched(RELIANCE, "day", "2025-12-01 00:00", "2026-04-30 00:00", "2026-11-23 10:00")
    assert 0.6 < reach(old) / reach(new) < 1.7
    assert 0.5 < np.median(old["volume"]) / np.median(new["volume"]) < 2.0


def test_minutes_reach_back_250_trading_days_and_no_further() -> None:
    now = ist_ns(TODAY, "12:00")
    first = market()._days.daily.days[market()._days.daily.position[TODAY] - 250]
    bars = market().candles(
        RELIANCE, "minute", ist_midnight(first - timedelta(9)), ist_midnight(first) + DAY, now_ns=now
    )
    assert {ist_date(int(t)) for t in bars["date"]} == {first}


@pytest.mark.parametrize("interval", [i for i in INTERVALS if i not in ("minute", "day")])
def test_longer_intervals_are_counted_from_the_open_and_add_up(interval: str) -> None:
    size = INTERVALS[interval] * SECOND
    minutes = day_minutes(RELIANCE, TODAY)
    end = ist_midnight(TODAY) + DAY
    bars = market().candles(RELIANCE, interval, ist_midnight(TODAY), end, now_ns=end)
    first = ist_ns(TODAY, "09:15")
    assert bars["date"][0] == first
    assert not ((bars["date"] - first) % size).any()
    assert bars["volume"].sum() == minutes["volume"].sum()
    for bar in bars:
        mine = minutes[(minutes["date"] >= bar["date"]) & (minutes["date"] < bar["date"] + size)]
        assert (bar["open"], bar["close"]) == (mine["open"][0], mine["close"][-1])
        assert (bar["high"], bar["low"]) == (mine["high"].max(), mine["low"].min())
        assert bar["volume"] == mine["volume"].sum()


def test_the_range_includes_both_of_its_ends() -> None:
    bars = fetched(RELIANCE, "minute", "2026-11-23 09:15", "2026-11-23 09:20", "2026-11-23 15:00")
    assert [to_ist(int(t)).strftime("%H:%M") for t in bars["date"]] == [f"09:{m}" for m in range(15, 21)]
    assert not len(fetched(RELIANCE, "minute", "2026-11-22 09:15", "2026-11-22 15:20"))
    assert not len(fetched(RELIANCE, "minute", "2026-11-23 10:00", "2026-11-23 09:00"))
    assert fetched(RELIANCE, "day", "2026-11-23 00:00", "2026-11-23 08:00").dtype == CANDLE
    assert not len(fetched(RELIANCE, "day", "2026-11-23 00:00", "2026-11-23 09:05"))
    assert not len(fetched(RELIANCE, "minute", "2026-11-23 09:00", "2026-11-25 15:00", "2026-11-23 08:00"))


def test_open_interest_is_given_only_when_asked_for() -> None:
    name = token("NFO:NIFTY26NOVFUT")
    plain = fetched(name, "5minute", "2026-11-23 09:15", "2026-11-23 10:00")
    asked = fetched(name, "5minute", "2026-11-23 09:15", "2026-11-23 10:00", oi=True)
    assert set(plain["oi"].tolist()) == {-1}
    assert (asked["oi"] > 0).all()
    assert len(set(asked["oi"].tolist())) > 3


def test_a_contract_has_history_only_while_it_exists() -> None:
    weekly, future = token("NFO:NIFTY26D0126000CE"), token("NFO:NIFTY27JANFUT")
    bars = fetched(weekly, "day", "2026-01-01 00:00", "2026-11-23 12:00")
    assert date(2026, 10, 26) <= ist_date(int(bars["date"][0])) <= date(2026, 10, 30)
    bars = fetched(future, "day", "2026-01-01 00:00", "2026-11-23 12:00")
    assert date(2026, 10, 25) <= ist_date(int(bars["date"][0])) <= date(2026, 10, 30)
    expired = token("NFO:NIFTY26NOVFUT")
    bars = fetched(expired, "day", "2026-11-20 00:00", "2026-11-30 12:00")
    assert [ist_date(int(t)) for t in bars["date"]] == [date(2026, 11, 20), TODAY]


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(UnknownInstrument):
        fetched(12345, "minute", "2026-11-23 09:15", "2026-11-23 10:00")
    with pytest.raises(InputRefused, match="2minute"):
        fetched(RELIANCE, "2minute", "2026-11-23 09:15", "2026-11-23 10:00")


def test_a_day_in_two_parts_has_no_bar_in_between() -> None:
    bars = day_minutes(RELIANCE, DRILL)
    times = [to_ist(int(t)).strftime("%H:%M") for t in bars["date"]]
    assert times[0] == "09:15"
    assert not [t for t in times if "10:00" <= t < "11:30"]
    assert "11:30" in times
    # Bars of continuous trading fall into LIVE phases; what follows is trading at the closing price.
    for when in bars["date"]:
        assert sessions.phase("NSE_EQ", int(when)).name in ("LIVE", "POST_CLOSE")


def test_there_are_no_bars_between_the_end_of_trading_and_the_auction() -> None:
    for name in (RELIANCE, NIFTY):
        times = [to_ist(int(t)).strftime("%H:%M") for t in day_minutes(name, TODAY)["date"]]
        assert times[0] == "09:15"
        assert not [t for t in times if "15:15" <= t < "15:30"]
        assert any("15:30" <= t < "15:35" for t in times)
    plain = [to_ist(int(t)).strftime("%H:%M") for t in day_minutes(RELIANCE, PLAIN)["date"]]
    assert len([t for t in plain if t < "15:30"]) == 375


def test_volume_is_u_shaped() -> None:
    bars = day_minutes(RELIANCE, PLAIN)
    minute = (bars["date"] - ist_ns(PLAIN, "09:15")) // MINUTE
    parts = [bars["volume"][(minute >= a) & (minute < b)].mean() for a, b in ((1, 16), (150, 210), (355, 375))]
    assert parts[0] > 1.7 * parts[1]
    assert parts[2] > 1.3 * parts[1]


def test_shares_move_together_and_sectors_more_so() -> None:
    daily, universe = market()._days.daily, market().universe
    returns = np.diff(np.log(daily.close), axis=0)
    correlation = np.corrcoef(returns.T)
    place = universe.place
    assert 0.15 < np.median(correlation[np.triu_indices_from(correlation, 1)]) < 0.6
    banks = correlation[place["HDFCBANK"], place["ICICIBANK"]]
    assert banks > correlation[place["HDFCBANK"], place["SUNPHARMA"]]
    minutes = [
        np.diff(np.log(day_minutes(t, PLAIN)["close"][:375])) for t in (token("NSE:HDFCBANK"), token("NSE:ICICIBANK"))
    ]
    assert np.corrcoef(*minutes)[0, 1] > 0.2


def test_volatility_clusters_and_has_fat_tails() -> None:
    daily = market()._days.daily
    returns = np.diff(np.log(daily.close), axis=0)
    size = np.abs(returns)
    clustering = [np.corrcoef(size[1:, n], size[:-1, n])[0, 1] for n in range(size.shape[1])]
    assert np.mean(clustering) > 0.05
    centred = returns - returns.mean(axis=0)
    kurtosis = (centred**4).mean(axis=0) / (centred**2).mean(axis=0) ** 2
    assert np.median(kurtosis) > 3.5
    yearly = returns.std(axis=0) * np.sqrt(252)
    assert 0.12 < np.median(yearly) < 0.45


def test_the_volatility_index_rises_when_the_market_falls() -> None:
    daily, universe = market()._days.daily, market().universe
    nifty = sum(
        daily.close[:, m] * q for m, q in zip(universe.indices[0].members, universe.indices[0].quantity, strict=True)
    )
    moves = np.diff(np.log(nifty)), np.diff(np.log(daily.vix_close))
    assert np.corrcoef(*moves)[0, 1] < -0.4
    assert 8.0 < daily.vix_close.min() < daily.vix_close.mean() < 25.0
