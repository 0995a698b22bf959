"""Turns a day's plan into rows: every share, future and option with its course, activity and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from tapedeck import sessions
from tapedeck.clock import SECOND
from tapedeck.schema import Instrument
from tapedeck.sim import activity
from tapedeck.sim.contracts import Contract, last_trade_ns, with_orders
from tapedeck.sim.decide import Ends, decide, last_seconds
from tapedeck.sim.noise import Bank, bell, key, mixed
from tapedeck.sim.options import RATE, YEAR_NS, OptionLevels, fair_value
from tapedeck.sim.plan import Course, DayPlan, stacked
from tapedeck.sim.prices import BAND, Daily, circuit
from tapedeck.sim.tape import Linear, Rows
from tapedeck.sim.timeline import Timeline
from tapedeck.sim.universe import Universe, index_value

Array = np.ndarray[Any, Any]

#: How far a future strays from its fair value, as a share of the price, one standard deviation.
_BASIS = 2.0e-4
#: Minutes over which the basis wanders from one value to the next.
_BASIS_STEP = 7


@dataclass(frozen=True)
class Lister:
    """Makes rows for a day; `before` is the timeline of the trading day before it."""

    universe: Universe
    daily: Daily
    bank: Bank
    plan: DayPlan
    before: Timeline
    course_of: Callable[[str], Course]

    def shares(self, chosen: Array) -> Rows:
        """Rows of shares, given their positions in the universe."""
        n, stocks = self.plan.number, [self.universe.stocks[i] for i in chosen]
        daily, token = self.daily, np.array([s.instrument_token for s in stocks])
        tick = daily.tick[n][chosen]
        low, high = circuit(daily.previous[n][chosen], tick)
        rate = activity.share_rates(stocks)
        course, classes = self.plan.share_course(chosen), ["cas" if s.lot else "other" for s in stocks]
        ends = Ends(daily.open[n][chosen], daily.close[n][chosen])
        decided = decide(self.plan, classes, token, rate, daily.volume[n][chosen], course=course, ends=ends)
        none = np.full(len(stocks), -1, np.int64)
        return self._rows(
            classes, token, tick=tick, lot=np.ones(len(stocks), np.int64), low=low, high=high,
            previous=np.rint(daily.previous[n][chosen] / tick).astype(np.int64),
            half=5e-6 + 4e-4 * (1.0 - rate) ** 3, pattern=decided.pattern, volume=decided.volume,
            oi_start=none, oi_end=none, levels=Linear(_known(decided.course), tick),
        )  # fmt: skip

    def futures(self, chosen: Sequence[Contract]) -> Rows:
        """Rows of futures."""
        n, day, token = self.plan.number, self.plan.date, np.array([c.token for c in chosen])
        carry = np.array([carry_to(c.expiry, day) for c in chosen])
        tick = self.future_ticks(chosen)
        names = list(dict.fromkeys(c.underlying for c in chosen))
        place = np.array([names.index(c.underlying) for c in chosen])
        course = self._with_basis(stacked([self.course_of(name) for name in names]), place, carry, chosen)
        previous = np.rint(self.future_closes(chosen, n - 1) / tick)
        low, high, _ = self.contract_limits(chosen)
        opened = self._spots(chosen, self.daily.open[n]) * carry
        ends = Ends(np.clip(np.rint(opened / tick), low, high) * tick, self.future_closes(chosen, n))
        rate, lots = activity.futures(self.universe, chosen)
        lots = self._noisy(lots, token)
        classes = [sessions.class_of(bare(c), day) for c in chosen]
        decided = decide(self.plan, classes, token, rate, lots, course=course, ends=ends)
        return self._rows(
            ["future_far"] * len(chosen), token, tick=tick, lot=np.array([c.lot for c in chosen]), low=low, high=high,
            previous=previous.astype(np.int64), half=5e-6 + 8e-4 * (1.0 - np.minimum(rate, 1.0)) ** 4,
            pattern=decided.pattern, volume=decided.volume, oi_start=self._oi(chosen, n),
            oi_end=self._oi(chosen, n + 1), levels=Linear(_known(decided.course), tick),
        )  # fmt: skip

    def options(self, chosen: Sequence[Contract]) -> Rows:
        """Rows of options."""
        n, day, token = self.plan.number, self.plan.date, np.array([c.token for c in chosen])
        tick = self.option_ticks(chosen)
        names = list(dict.fromkeys(c.underlying for c in chosen))
        previous_close = self.option_closes(chosen, n - 1)
        previous = np.maximum(np.rint(previous_close / tick), 1.0)
        low, high, _ = self.contract_limits(chosen)
        spot = self._spots(chosen, self.daily.open[n])
        rate, lots = activity.options(self.universe, chosen, spot, day)
        decided = decide(
            self.plan, [sessions.class_of(bare(c), day) for c in chosen], token, rate, self._noisy(lots, token)
        )
        levels = OptionLevels(
            underlying=np.array([names.index(c.underlying) for c in chosen]),
            spot=stacked([self.course_of(name) for name in names]),
            strike=np.array([c.strike for c in chosen]),
            call=np.array([c.kind == "CE" for c in chosen]),
            carry=np.array([carry_to(c.expiry, day) for c in chosen]),
            expiry=np.array([last_trade_ns(c) for c in chosen], np.int64),
            scale=np.array([activity.volatility_scale(self.universe, c.underlying) for c in chosen]),
            vix=self.plan.vix(),
            tick=tick,
            start_ns=self.plan.timeline.start_ns,
        )
        return self._rows(
            ["option"] * len(chosen), token, tick=tick, lot=np.array([c.lot for c in chosen]),
            low=low, high=high, previous=previous.astype(np.int64),
            # The spread of a costly option is that of its time value, not of what it is worth anyway.
            half=(1e-3 + 0.03 * (1.0 - np.minimum(rate, 1.0)) ** 6) * np.minimum(1.0, 0.004 * spot / previous_close),
            pattern=decided.pattern, volume=decided.volume, oi_start=self._oi(chosen, n),
            oi_end=self._oi(chosen, n + 1), levels=levels,
        )  # fmt: skip

    def spot(self, underlying: str, prices: Array) -> float:
        """Price of an underlying when the shares cost `prices`."""
        return spot_of(self.universe, underlying, prices)

    def future_ticks(self, chosen: Sequence[Contract]) -> Array:
        """Tick sizes: a stock future has its share's, an index future one by the index's level."""
        level = self._spots(chosen, self.daily.previous[self.plan.number])
        place = np.array([self.universe.place.get(c.underlying, -1) for c in chosen])
        own = self.daily.tick[self.plan.number][place]
        return np.where(place >= 0, own, self.universe.tick("index_future", level, self.plan.date))

    def option_ticks(self, chosen: Sequence[Contract]) -> Array:
        """Tick sizes of options, those on cheap shares finer."""
        spot = self._spots(chosen, self.daily.previous[self.plan.number])
        share = np.array([c.underlying in self.universe.place for c in chosen])
        ticks = [self.universe.tick(kind, spot, self.plan.date) for kind in ("stock_option", "option")]
        return np.where(share, *ticks)

    def contract_limits(self, chosen: Sequence[Contract]) -> tuple[Array, Array, Array]:
        """Lowest and highest permitted price of contracts of one kind in ticks, and their tick sizes."""
        number = self.plan.number
        if chosen[0].kind == "FUT":
            tick = self.future_ticks(chosen)
            low, high = circuit(self.future_closes(chosen, number - 1), tick)
            return low, high, tick
        tick, close = self.option_ticks(chosen), self.option_closes(chosen, number - 1)
        reach = self._spots(chosen, self.daily.previous[number]) * BAND * 1.25
        low = np.maximum(np.ceil((close - reach) / tick), 1.0).astype(np.int64)
        return low, np.floor((close + reach) / tick).astype(np.int64), tick

    def future_closes(self, chosen: Sequence[Contract], number: int) -> Array:
        """Official closes of futures on a day, rupees: the underlying's close and its carry, in today's ticks."""
        day = self.daily.days[max(number, 0)]
        prices = self.daily.close[number] if number >= 0 else self.daily.previous[0]
        tick = self.future_ticks(chosen)
        closes = self._spots(chosen, prices) * np.array([carry_to(c.expiry, day) for c in chosen])
        return np.round(np.rint(closes / tick) * tick, 2)

    def option_closes(self, chosen: Sequence[Contract], number: int) -> Array:
        """Official closes of options on a day, rupees: fair value at the close, intrinsic value at expiry."""
        day = self.daily.days[max(number, 0)]
        prices = self.daily.close[number] if number >= 0 else self.daily.previous[0]
        forward = self._spots(chosen, prices) * np.array([carry_to(c.expiry, day) for c in chosen])
        timeline = self.plan.timeline if number == self.plan.number else self.before
        end = timeline.start_ns + timeline.hours["option"].last * SECOND
        years = np.array([(last_trade_ns(c) - end) / YEAR_NS for c in chosen])
        scale = np.array([activity.volatility_scale(self.universe, c.underlying) for c in chosen])
        value = fair_value(
            forward, np.array([c.strike for c in chosen]), years, self.daily.vix_close[max(number, 0)] * scale,
            np.array([c.kind == "CE" for c in chosen]),
        )  # fmt: skip
        tick = self.option_ticks(chosen)
        return np.round(np.maximum(np.rint(value / tick), 1.0) * tick, 2)

    def _spots(self, chosen: Sequence[Contract], prices: Array) -> Array:
        known = {name: self.spot(name, prices) for name in {c.underlying for c in chosen}}
        return np.array([known[c.underlying] for c in chosen])

    def _with_basis(self, under: Course, place: Array, carry: Array, chosen: Sequence[Contract]) -> Course:
        """Each future's course: its underlying's at its carry, straying a little in between."""
        minutes = self.plan.timeline.minutes
        knots = np.arange(minutes // _BASIS_STEP + 2)
        token = np.array([c.token for c in chosen])
        values = bell(mixed(key(self.plan.seed, 13, self.plan.ordinal), token[:, None], knots[None, :]))
        days = np.array([(c.expiry - self.plan.date).days for c in chosen])
        size = _BASIS * np.minimum(1.0, days / 4.0) * np.sqrt(1.0 + days / 30.0)
        whole, part = np.divmod(np.arange(minutes), _BASIS_STEP)
        part = part / _BASIS_STEP
        course = replace(
            under, base=under.base[place], slope=under.slope[place], own=under.own[place],
            market=under.market[place], own_bridge=under.own_bridge[place],
        ).scaled(carry)  # fmt: skip
        quiet = np.sin(np.pi * self.plan.clock[:-1])
        stray = size[:, None] * (values[:, whole] * (1.0 - part) + values[:, whole + 1] * part) * quiet
        end = course.base[:, -1:] + course.slope[:, -1:]
        base = course.base * (1.0 + stray)
        return replace(course, base=base, slope=np.diff(base, axis=1, append=end))

    def _noisy(self, lots: Array, token: Array) -> Array:
        usual = self.daily.minutes[self.plan.number] / 375.0
        noise = bell(mixed(key(self.plan.seed, 14, self.plan.ordinal), token))
        return np.rint(lots * usual * np.exp(0.3 * noise)).astype(np.int64)

    def _oi(self, chosen: Sequence[Contract], number: int) -> Array:
        """Open interest in units at the start of a day, from what was known at the close before it."""
        days = self.daily.days
        day = days[number] if number < len(days) else self.plan.date
        prices = self.daily.close[number - 1] if number else self.daily.previous[0]
        chosen = with_orders(self.universe, chosen, day)
        lots = activity.open_interest(self.universe, chosen, self._spots(chosen, prices), day)
        noise = bell(mixed(key(self.plan.seed, 15, day.toordinal()), np.array([c.token for c in chosen])))
        return np.rint(lots * np.exp(0.06 * noise)).astype(np.int64) * np.array([c.lot for c in chosen])

    def _rows(self, classes: list[str], token: Array, **fields: Any) -> Rows:
        """Rows with the times of yesterday's last update and trade."""
        updated, traded = np.zeros(len(token), np.int64), np.zeros(len(token), np.int64)
        for cls in dict.fromkeys(classes):
            mine = np.array([c == cls for c in classes])
            hours = self.before.hours[cls]
            updated[mine], traded[mine] = last_seconds(self.plan.seed, self.before.day.toordinal(), hours, token[mine])
        start = self.before.start_ns
        return Rows(token=token, before=start + updated * SECOND, traded_before=start + traded * SECOND, **fields)


def spot_of(universe: Universe, underlying: str, prices: Array) -> float:
    """Price of an underlying when the shares cost `prices`."""
    index = universe.index_by_underlying.get(underlying)
    if index is None:
        return float(prices[universe.place[underlying]])
    return index_value(index, prices)


def carry_to(expiry: date, day: date) -> float:
    """What a future costs against its underlying on a day."""
    return float(np.exp(RATE * max((expiry - day).days, 0) / 365.0))


def bare(contract: Contract) -> Instrument:
    """The contract as an Instrument without prices, enough for the session calendar."""
    return Instrument(
        instrument_token=contract.token, tradingsymbol=contract.tradingsymbol, exchange="NFO",
        exchange_token=contract.token >> 8, name=contract.underlying, expiry=contract.expiry, strike=contract.strike,
        lot_size=contract.lot, instrument_type=contract.kind,
        segment="NFO-FUT" if contract.kind == "FUT" else "NFO-OPT",
    )  # fmt: skip


def _known(course: Course | None) -> Course:
    assert course is not None
    return course
