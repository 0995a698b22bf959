"""Plans of trading days, kept for as long as they are in use.

State: the daily prices, and a bounded cache of the days' listers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import date
from typing import Any

import numpy as np

from tapedeck import sessions
from tapedeck.sim.contracts import Contract
from tapedeck.sim.indices import index_open_close
from tapedeck.sim.listing import Lister, bare
from tapedeck.sim.noise import Bank
from tapedeck.sim.plan import Course, DayPlan
from tapedeck.sim.prices import Daily, circuit, previous_day
from tapedeck.sim.timeline import Timeline, build_timeline
from tapedeck.sim.universe import INDICES, Universe

Array = np.ndarray[Any, Any]

#: Plans kept: a plan is 1 MB and takes 2 ms, so that only neighbours are worth keeping.
_PLANS = 8


class Days:
    """Makes and keeps the plans of days. Thread-safe."""

    def __init__(self, universe: Universe, daily: Daily, bank: Bank, seed: int) -> None:
        self.universe, self.daily, self.bank, self.seed = universe, daily, bank, seed
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Lister] = OrderedDict()
        self._timelines: dict[date, Timeline] = {}

    def number(self, day: date) -> int:
        """Position of a trading day.

        Raises
        ------
        ValueError
            If it was not a trading day of the simulated range.
        """
        found = self.daily.position.get(day)
        if found is None:
            first, last = self.daily.days[0], self.daily.days[-1]
            raise ValueError(f"day was {day}, which is not a simulated trading day; these run from {first} to {last}")
        return found

    def lister(self, day: date) -> Lister:
        """What makes a day's rows."""
        number = self.number(day)
        with self._lock:
            found = self._kept.pop(number, None) or self._build(number)
            self._kept[number] = found
            while len(self._kept) > _PLANS:
                self._kept.popitem(last=False)
            return found

    def _build(self, number: int) -> Lister:
        plan = DayPlan(self.universe, self.daily, self.bank, self.seed, number)
        before = self.timeline(previous_day(self.daily, number)) if number else plan.timeline
        courses: dict[str, Course] = {}

        def course_of(name: str) -> Course:
            if name not in courses:
                index = self.universe.index_by_underlying.get(name)
                place = self.universe.place.get(name)
                courses[name] = plan.index_course(index) if index else plan.share_course(np.array([place]))
            return courses[name]

        return Lister(self.universe, self.daily, self.bank, plan, before, course_of)

    def timeline(self, day: date) -> Timeline:
        """Hours of a trading day."""
        if day not in self._timelines:
            self._timelines[day] = build_timeline(day)
        return self._timelines[day]

    def class_of(self, contract: Contract, day: date) -> str:
        """Session class of a contract on a day."""
        return sessions.class_of(bare(contract), day)

    def official_close(self, token: int, contract: Contract | None, number: int) -> float:
        """Official close of a day in rupees: the next day's previous close."""
        daily = self.daily
        if contract is not None:
            lister = self.lister(daily.days[number])
            closes = lister.future_closes if contract.kind == "FUT" else lister.option_closes
            return float(closes([contract], number)[0])
        if token == self.universe.vix_token:
            return float(daily.vix_close[number])
        for index in self.universe.indices:
            if index.instrument_token == token:
                return index_open_close(daily, index, number)[1]
        place = next(n for n, s in enumerate(self.universe.stocks) if s.instrument_token == token)
        return float(daily.close[number, place])

    def limits(self, token: int, contract: Contract | None, day: date) -> tuple[float, float]:
        """Circuit limits of a day in rupees; (0, 0) for an index."""
        if token & 0xFF == INDICES:
            return 0.0, 0.0
        lister = self.lister(day)
        if contract is None:
            place = next(n for n, s in enumerate(self.universe.stocks) if s.instrument_token == token)
            tick = self.daily.tick[lister.plan.number][place]
            low, high = circuit(self.daily.previous[lister.plan.number][place], tick)
            return round(float(low * tick), 2), round(float(high * tick), 2)
        low, high, tick = lister.contract_limits([contract])
        return round(float(low[0] * tick[0]), 2), round(float(high[0] * tick[0]), 2)
