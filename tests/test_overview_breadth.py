"""What of the market may be counted and how it is ranked, against a slow twin that looks at one row at a time."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.relay.breadth import BUILD_UPS, breadth, build_up, judge, oi_change, top
from tapedeck.relay.frames import CONFIRMED, FIELDS, HELD, empty_records
from tests.hub_support import FRIDAY, THURSDAY, at

NAN = math.nan
LIVE = CONFIRMED | HELD
TODAY, BEFORE = at(FRIDAY, "11:00") / 1e6, at(THURSDAY, "15:29") / 1e6
AFTER_MIDNIGHT = at(FRIDAY, "00:10") / 1e6  # still Thursday in UTC
IST = timezone(timedelta(hours=5, minutes=30))


def row(**fields: float) -> dict[str, float]:
    """A share that was 100 yesterday and is live now, unless said otherwise."""
    usual = {"last_price": 101.0, "close": 100.0, "average_traded_price": 100.5, "volume_traded": 10.0, "oi": 50.0}
    times = {"last_trade_time_ms": TODAY, "exchange_timestamp_ms": TODAY}
    absent = {"official_close": NAN, "official_date": NAN}
    return usual | times | absent | {"flags": LIVE} | fields


def official(close: float = 101.0, date: int = 20261120, **fields: float) -> dict[str, float]:
    """A share of a market that is closed, with an official price."""
    return row(flags=CONFIRMED, official_close=close, official_date=date, **fields)


def records(*rows: dict[str, float]) -> np.ndarray:
    table = empty_records(len(rows))
    for n, one in enumerate(rows):
        for name, value in one.items():
            table[n][name] = value
    return table


# -- the slow twin: numbers() of views/js/market.js, row by row --------------------------------------------------------


def day_of(ms: float) -> int | None:
    if math.isnan(ms):
        return None
    day = datetime.fromtimestamp(ms / 1000, IST).date()
    return day.year * 10_000 + day.month * 100 + day.day


def twin_date(rows: list[dict[str, float]]) -> int | None:
    return max((int(r["official_date"]) for r in rows if twin_is_dated(r)), default=None)


def twin_is_dated(r: dict[str, float]) -> bool:
    return (
        not r["flags"] & HELD and r["official_close"] > 0 and day_of(r["exchange_timestamp_ms"]) == r["official_date"]
    )


def twin_row(r: dict[str, float], held: bool, date: int | None, alive: bool) -> dict[str, Any]:
    """Whether the row is current, and its numbers; no numbers where nothing may be shown."""
    if held:
        current = alive and r["flags"] & LIVE == LIVE and r["last_price"] > 0
        traded, stamp = day_of(r["last_trade_time_ms"]), day_of(r["exchange_timestamp_ms"])
        if not current or (traded is not None and stamp is not None and traded < stamp):
            return {"current": current}
        last = r["last_price"]
    else:
        current = twin_is_dated(r) and r["official_date"] == date
        if not current:
            return {"current": False}
        last = r["official_close"]
    out = {"current": current, "last_price": last, "volume_traded": r["volume_traded"]}
    out["value"] = float(np.round(r["volume_traded"] * r["average_traded_price"]))
    out["oi"] = r["oi"] if held else NAN
    if r["close"] > 0:
        out["change"] = last - r["close"]
        out["percent"] = float(np.round((last - r["close"]) / r["close"] * 100, 4))
    return out


def twin_top(values: list[float], count: int) -> list[int]:
    known = [n for n, value in enumerate(values) if not math.isnan(value)]
    return sorted(known, key=lambda n: (-values[n], n))[:count]


PRICES = st.sampled_from([NAN, 0.0, 99.0, 99.95, 100.0, 100.05, 101.0, 33.35])
ROWS = st.builds(
    row,
    flags=st.sampled_from([LIVE, LIVE, LIVE, CONFIRMED, HELD, 0]),
    last_price=PRICES,
    close=PRICES,
    average_traded_price=PRICES,
    volume_traded=st.sampled_from([NAN, 0.0, 5.0, 10.0, 1e9]),
    oi=st.sampled_from([NAN, 0.0, 100.0, 110.0, 90.0, 1e7]),
    last_trade_time_ms=st.sampled_from([NAN, BEFORE, AFTER_MIDNIGHT, TODAY]),
    exchange_timestamp_ms=st.sampled_from([NAN, BEFORE, AFTER_MIDNIGHT, TODAY]),
    official_close=PRICES,
    official_date=st.sampled_from([NAN, 20261119.0, 20261120.0, 20261120.0]),
)
CLOSED_ROWS = ROWS.map(lambda r: r | {"flags": int(r["flags"]) & CONFIRMED})


@settings(max_examples=300, deadline=None)
@given(
    rows=st.one_of(st.lists(ROWS, max_size=12), st.lists(CLOSED_ROWS, max_size=12)),
    data=st.data(),
    alive=st.booleans(),
)
def test_arrays_say_what_the_slow_twin_says(rows, data, alive):
    decides = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    deciding = [r for r, yes in zip(rows, decides, strict=True) if yes]
    held = any(r["flags"] & HELD for r in deciding)
    date = None if held else twin_date(deciding)
    expected = [twin_row(r, held, date, alive) for r in rows]

    shown = judge(records(*rows), np.array(decides, bool), alive=alive)
    assert (shown.held, shown.date) == (held, date)
    assert shown.current.tolist() == [bool(one["current"]) for one in expected]
    for name in ("last_price", "percent", "volume_traded", "value", "oi"):
        np.testing.assert_array_equal(getattr(shown, name), [one.get(name, NAN) for one in expected], err_msg=name)

    changes = [one["change"] for one, yes in zip(expected, decides, strict=True) if yes and "change" in one]
    up, down = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
    unknown = sum(decides) - sum(not math.isnan(c) for c in changes)
    assert breadth(shown, np.array(decides, bool)) == (up, down, sum(c == 0 for c in changes), unknown)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(ROWS, max_size=12),
    data=st.data(),
    count=st.integers(1, 6),
)
def test_build_ups_are_those_of_the_slow_twin(rows, data, count):
    previous = data.draw(
        st.lists(st.sampled_from([NAN, 0.0, 100.0, 105.0, 1e7]), min_size=len(rows), max_size=len(rows))
    )
    held = any(r["flags"] & HELD for r in rows)
    expected = [twin_row(r, held, twin_date(rows), True) for r in rows]
    shown = judge(records(*rows))
    classes = build_up(shown, np.array(previous, float), count)
    for name, (price, oi) in BUILD_UPS.items():
        sizes = []
        for one, before in zip(expected, previous, strict=True):
            change, now = one.get("change", NAN), one.get("oi", NAN)
            fits = before > 0 and change * price > 0 and (now - before) * oi > 0
            sizes.append(abs(float(np.round((now - before) / before * 100, 4))) if fits else NAN)
        assert classes[name].tolist() == twin_top(sizes, count), name


@given(values=st.lists(st.sampled_from([NAN, -1.0, 0.0, 2.0, 2.0, 3.0]), max_size=20), count=st.integers(1, 10))
def test_rankings_are_largest_first_and_ties_in_the_order_given(values, count):
    among = np.ones(len(values), bool)
    assert top(np.array(values, float), among, count).tolist() == twin_top(values, count)


# -- the rules, one by one ---------------------------------------------------------------------------------------------


def test_a_row_counts_only_when_it_is_confirmed_and_held():
    shown = judge(records(row(), row(flags=HELD), row(flags=CONFIRMED), row(flags=0)))
    assert shown.held
    assert shown.current.tolist() == [True, False, False, False]
    assert breadth(shown, np.ones(4, bool)) == (1, 0, 0, 3)


def test_a_dead_feed_leaves_no_live_number_and_every_official_one():
    live = judge(records(row(), row()), alive=False)
    assert live.held
    assert not live.current.any()
    assert np.isnan(live.percent).all()
    closed = judge(records(official(), official(99.0)), alive=False)
    assert closed.percent.tolist() == [1.0, -1.0]


def test_an_official_close_is_never_ranked_among_live_numbers():
    shown = judge(records(row(), official(150.0)))
    assert shown.held
    assert shown.percent.tolist()[0] == 1.0
    assert math.isnan(shown.percent[1])


def test_official_prices_of_an_older_day_are_not_ranked_among_those_of_the_newest():
    older = official(150.0, 20261119, exchange_timestamp_ms=BEFORE, last_trade_time_ms=BEFORE)
    shown = judge(records(official(), older))
    assert (shown.held, shown.date) == (False, 20261120)
    assert shown.current.tolist() == [True, False]


def test_an_official_price_of_another_day_than_its_packet_makes_no_change():
    """The packet's close is then that official price itself."""
    shown = judge(records(official(100.0, 20261119)))
    assert shown.date is None
    assert not shown.current.any()


def test_what_has_not_traded_today_is_current_but_neither_up_nor_down():
    shown = judge(records(row(last_trade_time_ms=BEFORE), row(last_trade_time_ms=NAN)))
    assert shown.current.tolist() == [True, True]
    assert breadth(shown, np.ones(2, bool)) == (1, 0, 0, 1)
    assert math.isnan(shown.volume_traded[0])


def test_the_day_is_indias():
    shown = judge(records(row(last_trade_time_ms=AFTER_MIDNIGHT)))
    assert shown.percent.tolist() == [1.0]


def test_a_share_without_a_previous_close_is_in_no_direction_but_its_value_is_known():
    shown = judge(records(row(close=NAN), row(close=0.0)))
    assert breadth(shown, np.ones(2, bool)) == (0, 0, 0, 2)
    assert shown.value.tolist() == [1005.0, 1005.0]


def test_the_marked_rows_decide_and_the_others_follow():
    shown = judge(records(official(), row()), np.array([True, False]))
    assert not shown.held
    assert shown.current.tolist() == [True, False]


def test_there_is_no_open_interest_outside_the_session():
    assert np.isnan(judge(records(official(oi=5.0))).oi).all()


@pytest.mark.parametrize(
    ("last", "oi", "name"),
    [
        (101.0, 60.0, "long_buildup"),
        (99.0, 60.0, "short_buildup"),
        (101.0, 40.0, "short_covering"),
        (99.0, 40.0, "long_unwinding"),
    ],
)
def test_the_four_classes_of_the_build_up(last, oi, name):
    shown = judge(records(row(last_price=last, oi=oi)))
    classes = build_up(shown, np.array([50.0]), 8)
    assert {key: rows.tolist() for key, rows in classes.items()} == {key: [0] * (key == name) for key in BUILD_UPS}
    assert abs(oi_change(shown, np.array([50.0]))[0]) == 20.0


def test_a_price_or_an_open_interest_that_stood_still_is_in_no_class():
    shown = judge(records(row(last_price=100.0, oi=60.0), row(oi=50.0), row(oi=NAN), row(oi=60.0)))
    previous = np.array([50.0, 50.0, 50.0, NAN])
    assert all(not len(rows) for rows in build_up(shown, previous, 8).values())


def test_a_fall_too_small_to_read_is_written_as_zero_without_a_sign():
    shown = judge(records(row(last_price=1e7 - 0.01, close=1e7)))
    assert breadth(shown, np.ones(1, bool)).declines == 1
    assert math.copysign(1, shown.percent[0]) == 1


def test_no_rows_are_no_market():
    shown = judge(records())
    assert (shown.held, shown.date) == (False, None)
    assert breadth(shown, np.zeros(0, bool)) == (0, 0, 0, 0)


def test_the_input_is_left_as_it_was():
    table = records(row(), official())
    before = table.copy()
    build_up(judge(table), np.array([1.0, 2.0]), 8)
    assert table.tobytes() == before.tobytes()
    assert set(FIELDS) <= set(table.dtype.names or ())
