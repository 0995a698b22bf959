"""What the simulated exchange lists, read from `rules/universe.yaml`: names, members, lots, ticks and expiries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

#: Segment bytes of the tokens made here.
NSE, NFO, INDICES = 1, 2, 9


@dataclass(frozen=True, slots=True)
class Stock:
    """A share: its approximate price (rupees), shares traded a day, beta and yearly volatility (fraction)."""

    tradingsymbol: str
    name: str
    sector: str
    price: float
    volume: float
    beta: float
    volatility: float
    lot: int
    exchange_token: int

    @property
    def instrument_token(self) -> int:
        """Kite's token of the share at NSE."""
        return self.exchange_token * 256 + NSE


@dataclass(frozen=True, slots=True)
class Index:
    """An index: `members` are positions in `Universe.stocks`, `quantity` how often each price counts."""

    tradingsymbol: str
    exchange: str
    instrument_token: int
    level: float
    underlying: str
    lots_a_day: float
    members: tuple[int, ...]
    quantity: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Which options an underlying has: strike step, strikes to either side, weekly and monthly expiries."""

    underlying: str
    step: float
    wings: int
    weeklies: int
    monthlies: int


@dataclass(frozen=True)
class Universe:
    """Everything listed, and the dated rules of its contracts."""

    as_of: date
    history_from: date
    stocks: tuple[Stock, ...]
    indices: tuple[Index, ...]
    chains: tuple[Chain, ...]
    vix_token: int
    vix_name: str
    vix_mean: float
    rules: dict[str, Any]

    @cached_property
    def underlyings(self) -> dict[str, int]:
        """Names that have futures, and the numbers their contracts are made with: indices first."""
        names = [i.underlying for i in self.indices if i.underlying]
        names += [s.tradingsymbol for s in self.stocks if s.lot]
        return {name: n for n, name in enumerate(names)}

    @cached_property
    def place(self) -> dict[str, int]:
        """Position of every share by trading symbol."""
        return {s.tradingsymbol: n for n, s in enumerate(self.stocks)}

    @cached_property
    def index_by_underlying(self) -> dict[str, Index]:
        """Indices that have derivatives, by the name of these."""
        return {i.underlying: i for i in self.indices if i.underlying}

    def tick(self, kind: str, price: float | np.ndarray[Any, Any], day: date) -> np.ndarray[Any, Any]:
        """Tick size of prices on a day; `kind` is a key of `ticks` in the rules."""
        steps = _in_force(self.rules["ticks"][kind], "from", day)["steps"]
        bounds = np.array([float(step[0]) for step in steps])
        return np.array([float(step[1]) for step in steps])[np.searchsorted(bounds, np.asarray(price, float))]

    def index_lot(self, underlying: str, expiry: date) -> int:
        """Lot of an index contract that expires on a date."""
        return int(_in_force(self.rules["lots"][underlying], "expiry_from", expiry)["lot"])

    def expiry_weekday(self, kind: str, underlying: str, day: date) -> int | None:
        """Weekday (Monday 0) of `weekly` or `monthly` expiries around a date; None when there are none."""
        table = self.rules["expiries"][kind]
        rows = table.get(underlying, table.get("default"))
        return None if rows is None else int(_in_force(rows, "from", day)["weekday"])


def _in_force(rows: list[dict[str, Any]], since: str, day: date) -> dict[str, Any]:
    found = rows[0]
    for row in rows:
        if row[since] <= day:
            found = row
    return found


def load_universe() -> Universe:
    """The listed universe of `rules/universe.yaml`."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load((files("tapedeck") / "rules" / "universe.yaml").read_text("utf-8"), loader)
    stocks = tuple(_stock(dict(zip(data["columns"], row, strict=True))) for row in data["stocks"])
    place = {stock.tradingsymbol: n for n, stock in enumerate(stocks)}
    vix = data["volatility_index"]
    return Universe(
        as_of=data["as_of"],
        history_from=data["history_from"],
        stocks=stocks,
        indices=tuple(_index(row, stocks, place) for row in data["indices"]),
        chains=tuple(Chain(name, **(row | {"step": float(row["step"])})) for name, row in data["chains"].items()),
        vix_token=vix["instrument_token"],
        vix_name=vix["tradingsymbol"],
        vix_mean=float(vix["mean"]),
        rules={name: data[name] for name in ("ticks", "lots", "expiries")},
    )


def _stock(row: dict[str, Any]) -> Stock:
    return Stock(
        tradingsymbol=row["tradingsymbol"],
        name=row["name"],
        sector=row["sector"],
        price=float(row["price"]),
        volume=row["volume_millions"] * 1e6,
        beta=float(row["beta"]),
        volatility=row["volatility_pct"] / 100.0,
        lot=int(row["lot"]),
        exchange_token=int(row["exchange_token"]),
    )


def _index(row: dict[str, Any], stocks: tuple[Stock, ...], place: dict[str, int]) -> Index:
    members = tuple(place[name] for name in row["members"])
    total = sum(row["members"].values())
    weights = [value / total for value in row["members"].values()]
    futures = row.get("futures") or {}
    return Index(
        tradingsymbol=row["tradingsymbol"],
        exchange=row["exchange"],
        instrument_token=row["instrument_token"],
        level=float(row["level"]),
        underlying=futures.get("name", ""),
        lots_a_day=float(futures.get("lots_a_day", 0)),
        members=members,
        quantity=tuple(row["level"] * w / stocks[m].price for m, w in zip(members, weights, strict=True)),
    )


def index_value(index: Index, prices: np.ndarray[Any, Any]) -> float:
    """Value of an index when the shares cost `prices`."""
    return float(np.cumsum(prices[list(index.members)] * np.array(index.quantity))[-1])
