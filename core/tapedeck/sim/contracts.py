"""Which derivatives exist on a day: expiries by the effective rules, strikes, lots, symbols and stable tokens.

A token spells its contract out, so that it is the same on every day and can be read back:
`number * 256 + 2` with `number` = future: 1 << 17 | underlying << 8 | week; option: 1 << 22 | chain << 19 |
week << 11 | strike / step << 1 | put. `week` counts from `_EPOCH` to the expiry as scheduled, before holidays.
"""

from __future__ import annotations

import calendar
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache

from tapedeck import sessions
from tapedeck.clock import MINUTE
from tapedeck.errors import CoverageWarning
from tapedeck.sim.universe import NFO, Chain, Universe

_EPOCH = date(2023, 11, 6)
_WEEKS = 256
#: A session at least this long (minutes) counts for expiries; a Muhurat hour does not.
_FULL_SESSION = 120
_MONTH_CODES = "123456789OND"


@dataclass(frozen=True, slots=True)
class Contract:
    """A future (`kind` FUT) or option (CE, PE). `order` counts the expiries of its series from 0, on the day asked."""

    token: int
    underlying: str
    kind: str
    expiry: date
    strike: float
    tradingsymbol: str
    lot: int
    monthly: bool
    chain: int
    scheduled: date
    order: int = 0


@lru_cache(maxsize=4096)
def moved_expiry(scheduled: date) -> date:
    """The expiry of contracts scheduled for a date: that day, or the last full trading day before it."""
    day = scheduled
    while not _full(day):
        day -= timedelta(1)
    return day


def last_trade_ns(contract: Contract) -> int:
    """When a contract stops trading for good, UTC nanoseconds."""
    cls = "index_contract_expiring_today" if on_index(contract.underlying) else "option"
    return _last_live(contract.expiry, cls)


def on_index(underlying: str) -> bool:
    """Whether derivatives of that name are on an index."""
    return underlying.endswith("NIFTY")


@lru_cache(maxsize=512)
def _last_live(day: date, cls: str) -> int:
    return _live(day, cls)[-1].end_ns


def _live(day: date, cls: str) -> list[sessions.Span]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)
        return [s for s in sessions.spans(day, "NFO", cls) if s.name == "LIVE"]


def _full(day: date) -> bool:
    live = _live(day, "option")
    return sum(s.end_ns - s.start_ns for s in live) >= _FULL_SESSION * MINUTE


def monthly_schedule(universe: Universe, underlying: str, year: int, month: int) -> date:
    """Scheduled expiry of a month's contracts: the last such weekday, holidays not yet considered."""
    last = date(year, month, calendar.monthrange(year, month)[1])
    weekday = universe.expiry_weekday("monthly", underlying, last)
    return last - timedelta((last.weekday() - (weekday or 0)) % 7)


def monthlies(universe: Universe, underlying: str, day: date, count: int) -> list[date]:
    """Scheduled dates of the next `count` monthly expiries, one that expires on `day` included."""
    found: list[date] = []
    year, month = day.year, day.month
    while len(found) < count:
        scheduled = monthly_schedule(universe, underlying, year, month)
        if moved_expiry(scheduled) >= day:
            found.append(scheduled)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return found


def weeklies(universe: Universe, underlying: str, day: date, count: int) -> list[date]:
    """Scheduled dates of the next `count` weekly expiries; the last of a month is its monthly one."""
    found: list[date] = []
    week = day - timedelta(day.weekday())
    while len(found) < count:
        weekday = universe.expiry_weekday("weekly", underlying, week + timedelta(3))
        if weekday is None:
            return []
        scheduled = week + timedelta(weekday)
        if moved_expiry(scheduled) >= day:
            found.append(scheduled)
        week += timedelta(7)
    return found


def futures(universe: Universe, day: date) -> list[Contract]:
    """Three monthly futures of every underlying."""
    found = []
    for underlying in universe.underlyings:
        for order, scheduled in enumerate(monthlies(universe, underlying, day, 3)):
            found.append(future(universe, underlying, scheduled, order))
    return found


def future(universe: Universe, underlying: str, scheduled: date, order: int = 0) -> Contract:
    """The future of an underlying scheduled for a date."""
    expiry = moved_expiry(scheduled)
    number = 1 << 17 | universe.underlyings[underlying] << 8 | _week(scheduled)
    symbol = f"{underlying}{scheduled:%y}{scheduled:%b}FUT".upper()
    return Contract(
        number * 256 + NFO, underlying, "FUT", expiry, 0.0, symbol, lot_size(universe, underlying, expiry), True, -1,
        scheduled, order,
    )  # fmt: skip


def chain_expiries(universe: Universe, chain: Chain, day: date) -> list[date]:
    """Scheduled dates of a chain's expiries on a day, in order."""
    near = weeklies(universe, chain.underlying, day, chain.weeklies) if chain.weeklies else []
    return sorted({*near, *monthlies(universe, chain.underlying, day, chain.monthlies)})


def options(universe: Universe, chain: Chain, scheduled: date, centre: float, order: int) -> list[Contract]:
    """Calls and puts of one expiry around a price, by rising strike."""
    middle = round(centre / chain.step)
    found = []
    for n in range(max(middle - chain.wings, 1), middle + chain.wings + 1):
        found += [option(universe, chain, scheduled, n, kind, order) for kind in ("CE", "PE")]
    return found


def option(universe: Universe, chain: Chain, scheduled: date, steps: int, kind: str, order: int = 0) -> Contract:
    """The option whose strike is `steps` strike steps."""
    position = universe.chains.index(chain)
    number = 1 << 22 | position << 19 | _week(scheduled) << 11 | steps << 1 | (kind == "PE")
    expiry, strike = moved_expiry(scheduled), steps * chain.step
    monthly = scheduled == monthly_schedule(universe, chain.underlying, scheduled.year, scheduled.month)
    stem = f"{expiry:%y}{expiry:%b}" if monthly else f"{expiry:%y}{_MONTH_CODES[expiry.month - 1]}{expiry:%d}"
    return Contract(
        number * 256 + NFO, chain.underlying, kind, expiry, strike, f"{chain.underlying}{stem}{strike:g}{kind}".upper(),
        lot_size(universe, chain.underlying, expiry), monthly, position, scheduled, order,
    )  # fmt: skip


def lot_size(universe: Universe, underlying: str, expiry: date) -> int:
    """Lot of the contracts of an underlying that expire on a date."""
    place = universe.place.get(underlying)
    return universe.index_lot(underlying, expiry) if place is None else universe.stocks[place].lot


def contract_of(universe: Universe, token: int) -> Contract | None:
    """The contract a token spells out; None when it spells none."""
    number, segment = token >> 8, token & 0xFF
    if segment != NFO:
        return None
    if number >> 22 == 1:
        position, week, steps = number >> 19 & 7, number >> 11 & 0xFF, number >> 1 & 0x3FF
        if position >= len(universe.chains) or not steps:
            return None
        chain = universe.chains[position]
        scheduled = _scheduled(universe, chain.underlying, week)
        return option(universe, chain, scheduled, steps, "PE" if number & 1 else "CE") if scheduled else None
    names = list(universe.underlyings)
    if number >> 17 == 1 and (number >> 8 & 0x1FF) < len(names):
        name = names[number >> 8 & 0x1FF]
        scheduled = _scheduled(universe, name, number & 0xFF)
        if scheduled and scheduled == monthly_schedule(universe, name, scheduled.year, scheduled.month):
            return future(universe, name, scheduled)
    return None


def with_orders(universe: Universe, chosen: Sequence[Contract], day: date) -> list[Contract]:
    """The contracts with the `order` they have on a day; one that is not listed comes after all others."""
    known: dict[tuple[str, int], list[date]] = {}
    found = []
    for c in chosen:
        name = (c.underlying, c.chain)
        if name not in known:
            chain = universe.chains[c.chain] if c.chain >= 0 else None
            known[name] = chain_expiries(universe, chain, day) if chain else monthlies(universe, c.underlying, day, 3)
        series = known[name]
        found.append(replace(c, order=series.index(c.scheduled) if c.scheduled in series else len(series)))
    return found


def listed_from(universe: Universe, contract: Contract) -> date:
    """First date on which a contract exists: weeklies five weeks, monthlies three months before they expire."""
    return contract.expiry - timedelta(91 if contract.monthly else 35)


def _week(scheduled: date) -> int:
    return (scheduled - _EPOCH).days // 7 % _WEEKS


def _scheduled(universe: Universe, underlying: str, week: int) -> date | None:
    monday = _EPOCH + timedelta(7 * week)
    friday = monday + timedelta(4)
    monthly = {
        monthly_schedule(universe, underlying, day.year, day.month) for day in (monday, friday)
    }  # fmt: skip
    for day in monthly:
        if monday <= day <= friday:
            return day
    weekday = universe.expiry_weekday("weekly", underlying, monday + timedelta(3))
    has_weeklies = underlying in universe.rules["expiries"]["weekly"]
    return monday + timedelta(weekday) if weekday is not None and has_weeklies else None
