"""The shares an index is made of, with sector and approximate weight, from `rules/nifty50.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Member:
    """A share of an index: `EXCHANGE:TRADINGSYMBOL`, its symbol, its sector in plain words, its weight in per cent."""

    key: str
    symbol: str
    sector: str
    weight: float


@dataclass(frozen=True, slots=True)
class IndexMembers:
    """The members of an index in the order of the rules file; `approximate` says that weights are not to be trusted.

    `source` says in one sentence where they are from, `sectors` lists the sectors' labels in the file's order.
    """

    name: str
    as_of: date
    approximate: bool
    source: str
    sectors: tuple[str, ...]
    members: tuple[Member, ...]


@lru_cache(maxsize=1)
def nifty50() -> IndexMembers:
    """The members of the NIFTY 50 with approximate weights, per cent."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load((files("tapedeck") / "rules" / "nifty50.yaml").read_text("utf-8"), loader)
    labels, exchange = document["sectors"], document["exchange"]
    return IndexMembers(
        name=document["name"],
        as_of=document["as_of"],
        approximate=document["level"] == "approximate",
        source=document["source"],
        sectors=tuple(labels.values()),
        members=tuple(
            Member(f"{exchange}:{symbol}", symbol, labels[sector], float(weight))
            for symbol, sector, weight in document["members"]
        ),
    )
