"""One instrument's numbers as a plain dict: live and fresh, or null with the reason in words."""

from __future__ import annotations

import math
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from tapedeck._hub_table import FRESH_TTL
from tapedeck.clock import SECOND, to_ist
from tapedeck.schema import UNTRADED_PRICES, Instrument
from tapedeck.sessions import Phase

#: What a state of the feed means for a reader, where the feed gave no reason of its own.
STATE_REASONS = {
    "IDLE": "feed not started",
    "CONNECTING": "connecting",
    "STALE": "no heartbeat",
    "BACKOFF": "not connected, trying again",
    "LOGIN_REQUIRED": "login required",
    "STANDBY": "owner lost",
}
#: Why there are no live numbers outside the session.
CLOSED_REASONS = {
    "CLOSED": "market closed",
    "POST_CLOSE": "after the close",
    "HOLIDAY": "holiday",
    "WEEKEND": "weekend",
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PRICES = ("last_price", "average_traded_price", "open", "high", "low", "close")
_WHOLE = (
    "last_traded_quantity", "volume_traded", "total_buy_quantity", "total_sell_quantity",
    "oi", "oi_day_high", "oi_day_low",
)  # fmt: skip


class FeedView(NamedTuple):
    """What is known of the feed at the moment of a question."""

    state: str
    reason: str
    age: float
    source: str
    simulated: bool
    epoch: int

    def why_blank(self) -> str:
        """Why no number may be shown as live, in words; empty when the feed is live."""
        if self.state not in ("LIVE", "STALE"):
            return self.reason or STATE_REASONS.get(self.state, self.state)
        if self.age <= FRESH_TTL:
            return "" if self.state == "LIVE" else self.reason or STATE_REASONS[self.state]
        return "no heartbeat yet" if math.isinf(self.age) else f"no heartbeat {math.floor(self.age)} s"


def short_time(ns: int) -> str:
    """An instant in India as `20 Nov 15:29`, in English whatever the machine's language."""
    at = to_ist(ns)
    return f"{at.day} {_MONTHS[at.month - 1]} {at:%H:%M}"


def why_unconfirmed(tick: np.void | None) -> str:
    """Why a value that is held is not known to be current."""
    if tick is None:
        return "no packet yet"
    at = int(tick["last_trade_time"]) or int(tick["exchange_timestamp"])
    if at <= 0:
        return "not confirmed: the first packet after subscribing may be an old one"
    return f"not confirmed: last known value is of {short_time(at)}"


def quote_row(
    instrument: Instrument,
    tick: np.void | None,
    depth: np.void | None,
    *,
    feed: FeedView,
    phase: Phase,
    confirmed: bool,
    official: tuple[float, float],
    now: int,
) -> dict[str, Any]:
    """Everything about one instrument; `fresh` says whether its numbers are live, else they are None."""
    reason = _reason(tick, feed, phase, confirmed)
    fresh = not reason
    traded = 0 if tick is None else int(tick["last_trade_time"])
    stamp = 0 if tick is None else int(tick["exchange_timestamp"])
    row: dict[str, Any] = {
        "key": instrument.key,
        "instrument_token": instrument.instrument_token,
        "tradingsymbol": instrument.tradingsymbol,
        "exchange": instrument.exchange,
        "source": feed.source,
        "simulated": feed.simulated,
        "epoch": feed.epoch,
        "fresh": fresh,
        "reason": reason,
        "phase": phase.name,
        "held": phase.held,
        "feed_state": feed.state,
        "feed_age_s": None if math.isinf(feed.age) else feed.age,
        "last_trade_age_s": max(0.0, (now - traded) / SECOND) if traded > 0 else None,
        "last_trade_time": to_ist(traded) if traded > 0 else None,
        "exchange_timestamp": to_ist(stamp) if stamp > 0 else None,
    }
    # Fresh, and yet of another day: nobody has traded it since.
    row["untraded"] = fresh and traded > 0 and to_ist(traded).date() < to_ist(stamp).date()
    shown = tick if fresh else None
    row |= {name: _price(shown, name) for name in _PRICES}
    row |= {name: _whole(shown, name) for name in _WHOLE}
    row["depth"] = _book(depth) if fresh and depth is not None else None
    # On a living feed a value that is not known to be of today is shown as what it is: an old close, with its date.
    dated = not phase.held or (tick is not None and not confirmed and not feed.why_blank())
    row |= _official(official) if dated else {"official_close": None, "official_date": None}
    return row


def _reason(tick: np.void | None, feed: FeedView, phase: Phase, confirmed: bool) -> str:
    if not phase.held:
        words = CLOSED_REASONS.get(phase.name, "market closed")
        return f"{words}: {phase.reason}" if phase.reason else words
    if blank := feed.why_blank():
        return blank
    if tick is None or not confirmed:
        return why_unconfirmed(tick)
    return "no price yet" if math.isnan(tick["last_price"]) else ""


def _price(tick: np.void | None, name: str) -> float | None:
    if tick is None or math.isnan(tick[name]) or (name in UNTRADED_PRICES and tick[name] == 0):
        return None
    return float(tick[name])


def _whole(tick: np.void | None, name: str) -> int | None:
    return None if tick is None or tick[name] < 0 else int(tick[name])


def _book(depth: np.void) -> dict[str, list[dict[str, Any]]]:
    return {
        side: [
            {"price": float(level["price"]), "quantity": int(level["quantity"]), "orders": int(level["orders"])}
            for level in depth[side]
        ]
        for side in ("buy", "sell")
    }


def _official(official: tuple[float, float]) -> dict[str, Any]:
    price, when = official
    if math.isnan(price):
        return {"official_close": None, "official_date": None}
    number = int(when)
    return {
        "official_close": float(price),
        "official_date": date(number // 10_000, number // 100 % 100, number % 100),
    }
