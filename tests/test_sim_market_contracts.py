"""Derivatives of the simulated market: expiries, symbols, lots, tokens and prices."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tapedeck import sessions
from tapedeck.clock import ist_ns
from tapedeck.sim import contracts
from tapedeck.sim.options import black76, normal_cdf
from tests.sim_market_support import PLAIN, TODAY, listed, market, tick, token

UNIVERSE = market().universe
NIFTY, BANKNIFTY = UNIVERSE.chains[0], UNIVERSE.chains[1]


@pytest.mark.parametrize(
    ("day", "underlying", "expiries"),
    [
        (date(2026, 11, 2), "NIFTY", ["2026-11-03", "2026-11-09", "2026-11-17", "2026-11-23", "2026-12-29"]),
        (date(2026, 11, 23), "BANKNIFTY", ["2026-11-23", "2026-12-29", "2027-01-26"]),
        (date(2026, 3, 2), "NIFTY", ["2026-03-02", "2026-03-10", "2026-03-17", "2026-03-24", "2026-03-30"]),
        (date(2026, 4, 6), "NIFTY", ["2026-04-07", "2026-04-13"]),
        (date(2025, 10, 13), "NIFTY", ["2025-10-14", "2025-10-20", "2025-10-28"]),
        (date(2025, 8, 20), "NIFTY", ["2025-08-21", "2025-08-28", "2025-09-02"]),
        (date(2025, 8, 20), "BANKNIFTY", ["2025-08-28", "2025-09-30", "2025-10-28"]),
        (date(2024, 6, 3), "BANKNIFTY", ["2024-06-26", "2024-07-31", "2024-08-28"]),
        (date(2026, 10, 1), "RELIANCE", ["2026-10-27", "2026-11-23", "2026-12-29"]),
    ],
)  # fmt: skip
def test_expiries_follow_the_rules_and_move_before_holidays(day: date, underlying: str, expiries: list[str]) -> None:
    chain = next(c for c in UNIVERSE.chains if c.underlying == underlying)
    found = [contracts.moved_expiry(d).isoformat() for d in contracts.chain_expiries(UNIVERSE, chain, day)]
    assert [e for e in expiries if e in found] == expiries
    assert found[: len(expiries)] == expiries or underlying == "NIFTY"


def test_the_november_2026_month_expires_on_monday_the_23rd() -> None:
    found = listed(TODAY)
    for name in ("NIFTY", "BANKNIFTY", "RELIANCE", "TCS"):
        assert found[f"NFO:{name}26NOVFUT"].expiry == date(2026, 11, 23)
    assert found["NFO:NIFTY26NOV26000CE"].expiry == date(2026, 11, 23)
    assert date(2026, 11, 24) not in {i.expiry for i in found.values()}


def test_symbols_are_written_as_kite_writes_them() -> None:
    near = {i.tradingsymbol for i in market().instruments(date(2026, 10, 27))}
    assert "NIFTY26N0326000CE" in near
    assert "NIFTY26N0926000PE" in near
    assert "NIFTY26O2726000CE" not in near  # the month's last one is the monthly contract
    assert "NIFTY26OCT26000CE" in near
    assert "BANKNIFTY26NOV58900PE" in near
    assert "NIFTY26NOVFUT" in near
    january = {i.tradingsymbol for i in market().instruments(date(2026, 1, 2))}
    assert any(s.startswith("NIFTY26106") and s.endswith("CE") for s in january)
    assert any(s.startswith("NIFTY26113") and s.endswith("PE") for s in january)


def test_every_underlying_has_three_monthly_futures() -> None:
    futures = [i for i in listed(TODAY).values() if i.instrument_type == "FUT"]
    assert {sum(f.name == name for f in futures) for name in UNIVERSE.underlyings} == {3}
    assert len(futures) == 3 * len(UNIVERSE.underlyings)


def test_chains_surround_the_open_with_calls_and_puts() -> None:
    found = listed(TODAY)
    opened = {
        "NIFTY": float(tick(market().day(TODAY), 256265, ist_ns(TODAY, "10:00"))["open"]),
        "RELIANCE": float(tick(market().day(TODAY), 738561, ist_ns(TODAY, "10:00"))["open"]),
    }
    for name, price in opened.items():
        strikes = {(i.expiry, i.strike, i.instrument_type) for i in found.values() if i.name == name and i.strike}
        calls = {(e, k) for e, k, kind in strikes if kind == "CE"}
        assert calls == {(e, k) for e, k, kind in strikes if kind == "PE"}
        near = sorted(k for e, k in calls if e == date(2026, 11, 23))
        assert near[0] < price < near[-1]
        assert len(set(np.diff(near))) == 1
        assert all(isinstance(k, float) for _, k in calls)


def test_tokens_stay_with_their_contract_and_spell_it_out() -> None:
    days = [listed(TODAY), {i.key: i for i in market().instruments(date(2026, 11, 20))}]
    shared = days[0].keys() & days[1].keys()
    assert len(shared) > 2500
    for key in shared:
        assert days[0][key].instrument_token == days[1][key].instrument_token
    for i in list(days[0].values())[232::17]:
        contract = contracts.contract_of(UNIVERSE, i.instrument_token)
        assert contract is not None
        assert (contract.tradingsymbol, contract.expiry, contract.strike, contract.lot) == (
            i.tradingsymbol, i.expiry, i.strike, i.lot_size,
        )  # fmt: skip


@pytest.mark.parametrize("number", [0, 1 << 17 | 300 << 8, 1 << 22, 7 << 19 | 1 << 22 | 2, 1 << 23, 99999])
def test_a_token_that_spells_nothing_is_no_contract(number: int) -> None:
    assert contracts.contract_of(UNIVERSE, number * 256 + 2) is None
    assert contracts.contract_of(UNIVERSE, number * 256 + 4) is None


@pytest.mark.parametrize(
    ("underlying", "scheduled", "lot"),
    [
        ("NIFTY", date(2024, 4, 25), 50), ("NIFTY", date(2024, 5, 2), 25), ("NIFTY", date(2025, 12, 30), 75),
        ("NIFTY", date(2026, 1, 27), 65), ("BANKNIFTY", date(2025, 6, 26), 30), ("BANKNIFTY", date(2025, 7, 31), 35),
        ("BANKNIFTY", date(2026, 1, 27), 30), ("FINNIFTY", date(2026, 11, 24), 60),
        ("MIDCPNIFTY", date(2026, 11, 24), 120), ("RELIANCE", date(2026, 11, 24), 500),
    ],
)  # fmt: skip
def test_a_lot_belongs_to_the_contract(underlying: str, scheduled: date, lot: int) -> None:
    assert contracts.lot_size(UNIVERSE, underlying, contracts.moved_expiry(scheduled)) == lot


def test_several_lots_trade_side_by_side_at_a_change() -> None:
    found = {i.tradingsymbol: i for i in market().instruments(date(2025, 12, 24))}
    assert found["NIFTY25DECFUT"].lot_size == 75
    assert found["NIFTY26JANFUT"].lot_size == 65


@pytest.mark.parametrize(
    ("kind", "price", "day", "size"),
    [
        ("cash", 240.0, date(2024, 5, 2), 0.05), ("cash", 240.0, date(2024, 7, 1), 0.01),
        ("cash", 1540.0, TODAY, 0.1), ("cash", 250.0, TODAY, 0.01), ("cash", 999.0, TODAY, 0.05),
        ("cash", 7000.0, TODAY, 0.5), ("cash", 15000.0, TODAY, 1.0), ("cash", 150000.0, TODAY, 5.0),
        ("index_future", 26000.0, TODAY, 0.1), ("index_future", 59000.0, TODAY, 0.2), ("option", 3.0, TODAY, 0.05),
    ],
)  # fmt: skip
def test_tick_sizes_follow_the_dated_buckets(kind: str, price: float, day: date, size: float) -> None:
    assert float(UNIVERSE.tick(kind, price, day)) == size


def test_a_tick_size_is_kept_for_the_whole_month() -> None:
    daily = market()._days.daily
    for n, day in enumerate(daily.days[1:], 1):
        if day.month == daily.days[n - 1].month and day.day not in (10, 15) and day != date(2024, 6, 10):
            changed = daily.tick[n] != daily.tick[n - 1]
            assert not changed.any() or day in (date(2025, 4, 15),), day


def test_futures_follow_their_underlying_and_its_carry() -> None:
    live, when = market().day(TODAY), ist_ns(TODAY, "12:30")
    spot = float(tick(live, 256265, when)["last_price"])
    prices = [float(tick(live, token(f"NFO:NIFTY26{m}FUT"), when)["last_price"]) for m in ("NOV", "DEC")]
    assert prices[0] == pytest.approx(spot, rel=5e-4)
    assert prices[1] == pytest.approx(spot * np.exp(0.065 * 36 / 365), rel=1e-3)
    assert prices[0] < prices[1]


def test_a_contract_expires_at_its_underlyings_close() -> None:
    live, when = market().day(TODAY), ist_ns(TODAY, "15:59")
    close = float(tick(live, 256265, when)["last_price"])
    assert float(tick(live, token("NFO:NIFTY26NOVFUT"), when)["last_price"]) == pytest.approx(close, rel=1e-4)
    call = float(tick(live, token("NFO:NIFTY26NOV25500CE"), when)["last_price"])
    assert call == pytest.approx(close - 25500, abs=6.0)
    assert float(tick(live, token("NFO:NIFTY26NOV26500CE"), when)["last_price"]) <= 0.1


def test_options_obey_the_bounds_of_no_arbitrage() -> None:
    live, when = market().day(PLAIN), ist_ns(PLAIN, "12:30")
    found = [i for i in listed(PLAIN).values() if i.name == "NIFTY" and i.strike]
    expiry = sorted({i.expiry for i in found if i.expiry})[1]
    book = {}
    for kind in ("CE", "PE"):
        chain = sorted((i for i in found if i.expiry == expiry and i.instrument_type == kind), key=lambda i: i.strike)
        depth = live.snapshot([i.instrument_token for i in chain], when).depth
        middle = 0.5 * (depth["buy"]["price"][:, 0] + depth["sell"]["price"][:, 0])
        book[kind] = middle
        strikes = np.array([i.strike for i in chain])
        inner = slice(15, -15)
        slope = np.diff(middle[inner]) / np.diff(strikes[inner])
        assert (slope < 0.02).all() if kind == "CE" else (slope > -0.02).all()
        assert (np.abs(slope) < 1.05).all()
    spot = float(tick(live, 256265, when)["last_price"])
    days = (expiry - PLAIN).days
    forward = spot * np.exp(0.065 * days / 365)
    inner = slice(20, -20)
    parity = book["CE"][inner] - book["PE"][inner] - (forward - strikes[inner]) * np.exp(-0.065 * days / 365)
    assert np.abs(parity).max() < 0.004 * spot


def test_an_option_loses_value_as_time_passes() -> None:
    forward, strike, call = np.array([100.0]), np.array([100.0]), np.array([True])
    values = [float(black76(forward, strike, np.array([t]), np.array([0.2]), call)[0]) for t in (0.2, 0.1, 0.01, 1e-6)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0.0, abs=0.02)


def test_premiums_agree_with_known_values() -> None:
    # Hull, Options, Futures and Other Derivatives: put on a future, F = K = 20, four months, 9 %, volatility 25 %.
    put = black76(np.array([20.0]), np.array([20.0]), np.array([4 / 12]), np.array([0.25]), np.array([False]))
    undiscounted = 1.1166 * np.exp(0.09 * 4 / 12)
    assert float(put[0]) * np.exp(0.065 * 4 / 12) == pytest.approx(undiscounted, abs=2e-4)
    assert normal_cdf(np.array([-9.0, 0.0, 1.0, 9.0])) == pytest.approx([0.0, 0.5, 0.8413447, 1.0], abs=1e-6)


def test_open_interest_is_in_lots_and_carries_over_to_the_next_day() -> None:
    days = [date(2026, 11, 19), date(2026, 11, 20)]
    names = [token(f"NFO:{key}") for key in ("NIFTY26DECFUT", "INFY26DECFUT", "NIFTY26D0126000CE", "TCS26DEC3100PE")]
    evening = market().day(days[0]).snapshot(names, ist_ns(days[0], "15:59")).ticks
    morning = market().day(days[1]).snapshot(names, ist_ns(days[1], "08:59")).ticks
    assert evening["oi"].tolist() == morning["oi"].tolist()
    for name, row in zip(names, evening, strict=True):
        contract = contracts.contract_of(UNIVERSE, name)
        assert contract is not None
        assert row["oi"] > 0
        assert row["oi"] % contract.lot == 0
        assert row["oi_day_low"] <= row["oi"] <= row["oi_day_high"]


def test_previous_closes_of_contracts_are_yesterdays_official_closes() -> None:
    day, before = date(2026, 11, 20), date(2026, 11, 19)
    end = ist_ns(before, "16:30")
    for key in ("NIFTY26NOVFUT", "INFY26DECFUT", "NIFTY26D0126000CE", "TCS26DEC3100PE"):
        name = token(f"NFO:{key}")
        bar = market().candles(name, "day", ist_ns(before, "00:00"), end, now_ns=end)
        assert bar["close"].tolist() == [float(tick(market().day(day), name, ist_ns(day, "11:00"))["close"])]


def test_the_calendar_agrees_about_the_front_month() -> None:
    for day in (date(2026, 11, 16), date(2026, 11, 17), date(2026, 11, 23), date(2026, 11, 25)):
        for i in market().instruments(day):
            if i.instrument_type == "FUT" and i.name in ("NIFTY", "INFY"):
                assert i.session_class == sessions.class_of(i, day)
