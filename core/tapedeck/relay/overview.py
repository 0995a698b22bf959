"""The market overview, computed once for all viewers: breadth, rankings, open-interest build-up, NIFTY 50 heat map.

State of an `Overview`: whether somebody listens, the universe and what it was resolved from (epoch, instruments, day),
the slots of its rows, what is subscribed upstream on its behalf, and what the upstream refused. It lives on the
relay's loop; docs/overview.md says what is counted and by which rule.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from tapedeck.clock import ist_date
from tapedeck.errors import SubscriptionLimit
from tapedeck.hub import Hub
from tapedeck.index_members import nifty50
from tapedeck.instruments import Instruments
from tapedeck.relay.board import Board
from tapedeck.relay.breadth import Shown, breadth, build_up, judge, oi_change, top
from tapedeck.relay.frames import RECORD, empty_records
from tapedeck.relay.wishes import Upstream
from tapedeck.schema import Instrument

log = logging.getLogger("tapedeck.relay.overview")

#: Under this name the universe is subscribed upstream.
LISTENER = "overview"
SHARES, FUTURES = "NSE shares with derivatives", "their near-month futures"
#: Rows of a ranking, and of a class of the build-up.
RANKED, BUILT = 10, 8
NO_SETTLEMENT = "futures are not in session, and their official settlement prices are in no packet"
_RAW = np.dtype((np.void, RECORD.itemsize))


class Universe(NamedTuple):
    """What the overview is of: parallel lists, sorted by symbol.

    `shares` are the counted ones, then members of the index that are not among them; `futures` bear the symbol of
    their share. `members` gives the position among the shares of every member of the index, -1 where it is not listed.
    """

    shares: list[Instrument]
    futures: list[Instrument]
    counted: np.ndarray
    members: list[int]


class _Side(NamedTuple):
    """The shares or the futures of the universe on this hub: names and slots of the rows."""

    keys: list[str]
    symbols: list[str]
    tokens: np.ndarray
    slots: np.ndarray


def build_universe(instruments: Instruments, day: date) -> Universe:
    """NSE shares that have a future, the nearest future of each not yet expired on `day`, and the NIFTY 50."""
    # One pass over the day's file: it has 100,000 rows, and this runs on the relay's loop.
    chosen = [i for i in instruments if i.session_class == "cas" or i.instrument_type == "FUT"]
    shares = sorted((i for i in chosen if i.session_class == "cas" and i.exchange == "NSE"), key=_symbol)
    counted = len(shares)
    names = {i.tradingsymbol for i in shares}
    others = [instruments.find(member.key) for member in nifty50().members if member.symbol not in names]
    shares += sorted((i for i in others if i is not None), key=_symbol)
    near: dict[str, Instrument] = {}
    for one in sorted((i for i in chosen if i.expiry is not None and i.expiry >= day), key=_expiry):
        if one.exchange == "NFO" and one.name in names:
            near.setdefault(one.name, one)
    place = {i.key: n for n, i in enumerate(shares)}
    return Universe(
        shares,
        [near[name] for name in sorted(near)],
        np.arange(len(shares)) < counted,
        [place.get(member.key, -1) for member in nifty50().members],
    )


def _symbol(instrument: Instrument) -> str:
    return instrument.tradingsymbol


def _expiry(instrument: Instrument) -> date:
    return instrument.expiry or date.max


def unknown_oi(tokens: np.ndarray) -> np.ndarray:
    """Previous day's open interest where nobody knows any: NaN for every token."""
    return np.full(len(tokens), np.nan)


class Overview:
    """The topic `overview` of the stream.

    `previous_oi` tells the open interest of futures, by token, at the end of the previous trading day; NaN where it
    is not known.
    """

    period_s = 1.0

    def __init__(
        self, hub: Hub, upstream: Upstream, *, previous_oi: Callable[[np.ndarray], np.ndarray] = unknown_oi
    ) -> None:
        self._hub, self._upstream, self._previous_oi = hub, upstream, previous_oi
        self._members = nifty50().members  # read here, not on the loop
        self._listening = False
        self._subscribed: frozenset[int] = frozenset()
        self._refused = ""
        self._resolved: tuple[int, Instruments, date] | None = None
        self._universe = Universe([], [], np.zeros(0, bool), [])
        self._shares = self._futures = self._side([], [])

    # -- what is subscribed ----------------------------------------------------------------------------------------

    def listen(self, on: bool) -> None:
        """The first listener came, or the last one left: subscribe the universe upstream, or release it."""
        self._listening = on
        if on:
            self._resolve()
            self._subscribe()
            return
        if self._subscribed:
            self._upstream.release(LISTENER)
        self._subscribed, self._refused = frozenset(), ""

    def _resolve(self) -> None:
        """Make the universe that of the hub's instruments and of today; nothing happens while it is."""
        hub = self._hub
        now = (hub.epoch, hub.instruments, ist_date(hub.now()))
        before = self._resolved
        if before is not None and before[0] == now[0] and before[1] is now[1] and before[2] == now[2]:
            return
        self._resolved = now
        self._universe = u = build_universe(now[1], now[2])
        self._shares = self._side(u.shares, [i.tradingsymbol for i in u.shares])
        self._futures = self._side(u.futures, [i.name for i in u.futures])

    def _side(self, instruments: list[Instrument], symbols: list[str]) -> _Side:
        tokens = np.array([i.instrument_token for i in instruments], np.uint32)
        return _Side([i.key for i in instruments], symbols, tokens, self._hub.slots(tokens))

    def _subscribe(self) -> None:
        """Make what is subscribed the universe. What the upstream refuses is asked for again with the next message."""
        wanted = frozenset(self._shares.tokens.tolist()) | frozenset(self._futures.tokens.tolist())
        if wanted == self._subscribed:
            return
        gone, new = self._subscribed - wanted, wanted - self._subscribed
        if gone:
            self._upstream.release(LISTENER, sorted(gone))
            self._subscribed -= gone
        try:
            if new:
                self._upstream.subscribe(LISTENER, sorted(new), "full")
            self._subscribed, self._refused = wanted, ""
        except SubscriptionLimit as refused:
            if not self._refused:
                log.warning("the market overview is not subscribed: %s", refused)
            self._refused = str(refused)

    # -- the message -------------------------------------------------------------------------------------------------

    def build(self, board: Board) -> str:
        """The message of docs/overview.md as JSON text; equal text while nothing in it changes."""
        self._resolve()
        if self._listening:
            self._subscribe()
        feed = self._hub.feed()
        blank = feed.why_blank()
        u = self._universe
        decides = u.counted if u.counted.any() else np.ones(len(u.shares), bool)
        cash = judge(self._records(board, self._shares), decides, alive=not blank)
        futures = judge(self._records(board, self._futures), alive=not blank)
        message = {
            "type": "overview",
            "epoch": board.epoch,
            "universe": {"name": SHARES, **_count(cash, u.counted)},
            "held": cash.held,
            "date": cash.date,
            "problem": self._problem(blank if cash.held or futures.held else ""),
            "breadth": breadth(cash, u.counted)._asdict(),
            **self._rankings(cash),
            **self._build_ups(futures),
            "heatmap": self._heatmap(cash),
        }
        return json.dumps(message, separators=(",", ":"), allow_nan=False)

    def _problem(self, blank: str) -> str:
        """Why something is missing that should be there, in words; empty when nothing is."""
        empty = "" if self._universe.shares else "no instruments: the day's file is not there yet"
        return "; ".join(filter(None, (self._refused, empty, blank)))

    @staticmethod
    def _records(board: Board, side: _Side) -> np.ndarray:
        """The rows' records; those that the board has not encoded yet, or has of another instrument, know nothing."""
        records = empty_records(len(side.slots))
        there = np.flatnonzero((side.slots >= 0) & (side.slots < len(board.records)))
        taken = board.take(side.slots[there])
        same = taken["instrument_token"] == side.tokens[there]
        records.view(_RAW)[there[same]] = taken.view(_RAW)[same]
        return records

    def _rankings(self, cash: Shown) -> dict[str, Any]:
        among = self._universe.counted
        up, down = among & (cash.direction > 0), among & (cash.direction < 0)
        return {
            "gainers": _rows(self._shares, cash, top(cash.percent, up, RANKED)),
            "losers": _rows(self._shares, cash, top(-cash.percent, down, RANKED)),
            "active": _rows(self._shares, cash, top(cash.value, among & (cash.value > 0), RANKED)),
        }

    def _build_ups(self, futures: Shown) -> dict[str, Any]:
        previous = np.asarray(self._previous_oi(self._futures.tokens), float)
        percent = oi_change(futures, previous)
        classes = build_up(futures, previous, BUILT)
        return {
            "oi_universe": {"name": FUTURES, **_count(futures, np.ones(len(previous), bool))},
            "oi_held": futures.held,
            "oi_reason": "" if futures.held or not len(previous) else NO_SETTLEMENT,
            "oi": {name: _rows(self._futures, futures, rows, percent) for name, rows in classes.items()},
            "oi_known": int(np.isfinite(previous).sum()),
        }

    def _heatmap(self, cash: Shown) -> list[list[Any]]:
        percents, prices = cash.percent.tolist(), cash.last_price.tolist()
        return [
            [member.key, None, None] if at < 0 else [member.key, _number(percents[at]), _number(prices[at])]
            for member, at in zip(self._members, self._universe.members, strict=True)
        ]


def _count(shown: Shown, among: np.ndarray) -> dict[str, int]:
    return {"count": int(among.sum()), "current": int((shown.current & among).sum())}


def _rows(side: _Side, shown: Shown, at: np.ndarray, oi_percent: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Rows of the message at these positions, in their order; null where a number is not known."""
    grown = np.full(len(at), np.nan) if oi_percent is None else oi_percent[at]
    columns = zip(
        at.tolist(), shown.last_price[at].tolist(), shown.percent[at].tolist(), shown.volume_traded[at].tolist(),
        shown.value[at].tolist(), shown.oi[at].tolist(), grown.tolist(), strict=True,
    )  # fmt: skip
    return [
        {
            "key": side.keys[place],
            "symbol": side.symbols[place],
            "last_price": _number(last_price),
            "percent": _number(percent),
            "volume_traded": _whole(volume),
            "value": _whole(value),
            "oi": _whole(oi),
            "oi_percent": _number(change),
        }
        for place, last_price, percent, volume, value, oi, change in columns
    ]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)
