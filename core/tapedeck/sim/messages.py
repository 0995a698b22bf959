"""Text frames of the stream: order updates, errors and messages of the broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tapedeck.errors import InputRefused
from tapedeck.sim.quotes import timestamp

TYPES = ("order", "error", "message")


def text_message(document: Mapping[str, Any], now_ns: int, api_key: str) -> dict[str, Any]:
    """The frame for `{"type": "order" | "error" | "message", "data": ...}`.

    The data of an order are laid over a complete order update.

    Raises
    ------
    InputRefused
        If the type is unknown or the data do not suit it.
    """
    kind = document.get("type", "order")
    data = document.get("data", {} if kind == "order" else "")
    if kind not in TYPES:
        raise InputRefused(f"type was {kind!r}; allowed: {', '.join(TYPES)}")
    if kind == "order" and isinstance(data, dict):
        data = order_update(now_ns, api_key) | data
    elif kind == "order" or not isinstance(data, str):
        raise InputRefused(f"data of {kind!r} must be {'an object' if kind == 'order' else 'a string'}")
    return {"type": kind, "data": data}


def order_update(now_ns: int, api_key: str) -> dict[str, Any]:
    """A complete order, bought and filled, in the shape of Kite's postback. Times in India, without zone."""
    at = timestamp(now_ns)
    return {
        "user_id": "SIM001",
        "unfilled_quantity": 0,
        "app_id": 1,
        "checksum": "",
        "placed_by": "SIM001",
        "order_id": "260000000000001",
        "exchange_order_id": "1000000000000001",
        "parent_order_id": None,
        "status": "COMPLETE",
        "status_message": None,
        "status_message_raw": None,
        "order_timestamp": at,
        "exchange_update_timestamp": at,
        "exchange_timestamp": at,
        "variety": "regular",
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "instrument_token": 408065,
        "order_type": "MARKET",
        "transaction_type": "BUY",
        "validity": "DAY",
        "product": "CNC",
        "quantity": 1,
        "disclosed_quantity": 0,
        "price": 0,
        "trigger_price": 0,
        "average_price": 1500.0,
        "filled_quantity": 1,
        "pending_quantity": 0,
        "cancelled_quantity": 0,
        "market_protection": 0,
        "meta": {},
        "tag": None,
        "guid": f"01{api_key}",
    }
