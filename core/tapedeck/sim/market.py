"""The market behind the simulated exchange: what is listed on a day, its live day, and its history.

State of a Market: the daily prices of all days (worked out at once), and bounded caches of live days, plans and
history. Everything is a function of the seed, the date and the market time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import date
from typing import Any

import numpy as np

from tapedeck import sessions
from tapedeck.errors import UnknownInstrument
from tapedeck.schema import Instrument
from tapedeck.sim import contracts
from tapedeck.sim.contracts import Contract
from tapedeck.sim.days import Days
from tapedeck.sim.history import History
from tapedeck.sim.listing import bare
from tapedeck.sim.live import MarketDay
from tapedeck.sim.noise import build_bank
from tapedeck.sim.prices import build_daily
from tapedeck.sim.universe import load_universe

__all__ = ["Market", "MarketDay"]

Array = np.ndarray[Any, Any]

#: Live days kept: today's, the next one (built ahead) and one more.
_LIVE_DAYS = 3


class Market:
    """A seeded market. Thread-safe."""

    def __init__(self, seed: int = 7) -> None:
        self.seed = seed
        self.universe = load_universe()
        bank = build_bank(seed)
        daily = build_daily(self.universe, seed)
        self._days = Days(self.universe, daily, bank, seed)
        self._history = History(self._days)
        self._lock = threading.Lock()
        self._live: OrderedDict[date, MarketDay] = OrderedDict()
        self._tokens = {s.instrument_token for s in self.universe.stocks}
        self._tokens |= {i.instrument_token for i in self.universe.indices} | {self.universe.vix_token}

    def instruments(self, day: date) -> list[Instrument]:
        """Everything listed on a trading day: shares, indices, futures, options, in this order.

        Raises
        ------
        ValueError
            If the day was not a trading day of the calendar's coverage.
        """
        lister = self._days.lister(day)
        found = _cash(self, lister)
        futures = contracts.futures(self.universe, day)
        options = self._options(day)
        for chosen, ticks in ((futures, lister.future_ticks), (options, lister.option_ticks)):
            for contract, tick in zip(chosen, ticks(chosen), strict=True):
                found.append(_derivative(contract, float(tick), day))
        return found

    def day(self, day: date) -> MarketDay:
        """The live day; takes up to a second the first time, kept afterwards.

        Raises
        ------
        ValueError
            If the day was not a trading day of the calendar's coverage.
        """
        with self._lock:
            found = self._live.pop(day, None)
            if found is None:
                futures, options = contracts.futures(self.universe, day), self._options(day)
                found = MarketDay(self._days, day, futures, options)
            self._live[day] = found
            while len(self._live) > _LIVE_DAYS:
                self._live.popitem(last=False)
            return found

    def candles(
        self, instrument_token: int, interval: str, start_ns: int, end_ns: int, *, now_ns: int, oi: bool = False
    ) -> Array:
        """CANDLE rows whose bars start within [start_ns, end_ns], as known at `now_ns`, the forming bar included.

        A minute in which nothing traded has no bar. `oi` is -1 unless asked for. Minutes reach back 250 trading
        days, days to the first day simulated, derivatives as far as their contract.

        Raises
        ------
        UnknownInstrument
            If there is no such token.
        """
        contract = self._checked(instrument_token)
        return self._history.candles(instrument_token, contract, interval, start_ns, end_ns, now_ns=now_ns, oi=oi)

    def circuit_limits(self, instrument_token: int, day: date) -> tuple[float, float]:
        """Lowest and highest permitted price of a day in rupees; (0, 0) for an index.

        Raises
        ------
        UnknownInstrument
            If there is no such token.
        """
        contract = self._checked(instrument_token)
        return self._days.limits(instrument_token, contract, day)

    def _checked(self, token: int) -> Contract | None:
        """The contract of a token, None for a share or index."""
        if token in self._tokens:
            return None
        contract = contracts.contract_of(self.universe, token)
        if contract is None:
            raise UnknownInstrument(f"instrument_token was {token}, which is not listed in the simulated market")
        return contract

    def _options(self, day: date) -> list[Contract]:
        prices = self._days.daily.open[self._days.number(day)]
        lister = self._days.lister(day)
        found: list[Contract] = []
        for chain in self.universe.chains:
            centre = lister.spot(chain.underlying, prices)
            for order, scheduled in enumerate(contracts.chain_expiries(self.universe, chain, day)):
                found += contracts.options(self.universe, chain, scheduled, centre, order)
        return found


def _cash(market: Market, lister: Any) -> list[Instrument]:
    universe, number = market.universe, lister.plan.number
    previous, tick = lister.daily.previous[number], lister.daily.tick[number]
    found = [
        Instrument(
            stock.instrument_token, stock.tradingsymbol, "NSE", stock.exchange_token, stock.name.upper(),
            float(previous[n]), None, 0.0, float(tick[n]), 1, "EQ", "NSE", "cas" if stock.lot else "other",
        )
        for n, stock in enumerate(universe.stocks)
    ]  # fmt: skip
    names = [(i.instrument_token, i.tradingsymbol, i.exchange) for i in universe.indices]
    for token, symbol, exchange in [*names, (universe.vix_token, universe.vix_name, "NSE")]:
        found.append(
            Instrument(token, symbol, exchange, token >> 8, symbol, 0.0, None, 0.0, 0.0, 0, "EQ", "INDICES", "index")
        )
    return found


def _derivative(contract: Contract, tick: float, day: date) -> Instrument:
    plain = bare(contract)
    return Instrument(
        plain.instrument_token, plain.tradingsymbol, plain.exchange, plain.exchange_token, plain.name, 0.0,
        plain.expiry, plain.strike, tick, plain.lot_size, plain.instrument_type, plain.segment,
        sessions.class_of(plain, day),
    )  # fmt: skip
