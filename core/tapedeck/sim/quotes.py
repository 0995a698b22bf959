"""The last state of instruments as Kite's three quote answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapedeck.clock import SECOND, to_ist
from tapedeck.schema import DEPTH_LEVELS, Batch, Instrument
from tapedeck.sim.exchange import Exchange
from tapedeck.sim.today import Loaded

Wanted = Mapping[str, Instrument]
_PRICES = ("last_price", "average_traded_price", "open", "high", "low", "close")


def timestamp(ns: int) -> str | None:
    """`YYYY-MM-DD HH:MM:SS` in India, as all of Kite's times but those of candles; None for 0."""
    return to_ist(ns // SECOND * SECOND).strftime("%Y-%m-%d %H:%M:%S") if ns > 0 else None


def quote_document(exchange: Exchange, loaded: Loaded, wanted: Wanted) -> dict[str, Any]:
    """`/quote`: everything about each instrument, by the name it was asked for."""
    batch, rows = _rows(exchange, loaded, wanted)
    books = _books(batch)
    out = {}
    for (key, instrument), row in zip(wanted.items(), rows, strict=True):
        low, high = exchange.market.circuit_limits(instrument.instrument_token, loaded.day.date)
        out[key] = {
            "instrument_token": instrument.instrument_token,
            "timestamp": timestamp(row["exchange_timestamp"]),
            "last_trade_time": timestamp(row["last_trade_time"]),
            "last_price": row["last_price"],
            "last_quantity": row["last_traded_quantity"],
            "buy_quantity": row["total_buy_quantity"],
            "sell_quantity": row["total_sell_quantity"],
            "volume": row["volume_traded"],
            "average_price": row["average_traded_price"],
            "oi": row["oi"],
            "oi_day_high": row["oi_day_high"],
            "oi_day_low": row["oi_day_low"],
            "net_change": round(row["last_price"] - row["close"], 4) if row["last_price"] and row["close"] else 0,
            "lower_circuit_limit": _price(low),
            "upper_circuit_limit": _price(high),
            "ohlc": _ohlc(row),
            "depth": books.get(instrument.instrument_token) or _book(None),
        }
    return out


def ohlc_document(exchange: Exchange, loaded: Loaded, wanted: Wanted) -> dict[str, Any]:
    """`/quote/ohlc`: last price and the day's open, high, low and previous close."""
    _, rows = _rows(exchange, loaded, wanted)
    return {
        key: {
            "instrument_token": instrument.instrument_token,
            "last_price": row["last_price"],
            "ohlc": _ohlc(row),
        }
        for (key, instrument), row in zip(wanted.items(), rows, strict=True)
    }


def ltp_document(exchange: Exchange, loaded: Loaded, wanted: Wanted) -> dict[str, Any]:
    """`/quote/ltp`: last price."""
    _, rows = _rows(exchange, loaded, wanted)
    return {
        key: {"instrument_token": instrument.instrument_token, "last_price": row["last_price"]}
        for (key, instrument), row in zip(wanted.items(), rows, strict=True)
    }


def _rows(exchange: Exchange, loaded: Loaded, wanted: Wanted) -> tuple[Batch, list[dict[str, Any]]]:
    """The state now, one row of plain numbers per wanted instrument, absent = 0 as in Kite's answers."""
    # The same instrument may be asked for by name and by number.
    tokens, where = np.unique(np.array([i.instrument_token for i in wanted.values()], "u4"), return_inverse=True)
    batch = loaded.day.snapshot(tokens, exchange.clock.now())
    columns = {}
    for name in batch.ticks.dtype.names or ():
        values = batch.ticks[name][where]
        columns[name] = (np.nan_to_num(values) if name in _PRICES else np.maximum(values, 0)).tolist()
    return batch, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _ohlc(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: row[name] for name in ("open", "high", "low", "close")}


def _price(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def _books(batch: Batch) -> dict[int, dict[str, Any]]:
    return {int(row["instrument_token"]): _book(row) for row in batch.depth}


def _book(row: Any) -> dict[str, list[dict[str, Any]]]:
    """Five levels a side; all zero when there is no book, as Kite shows an index."""
    names = ("price", "quantity", "orders")
    if row is None:
        return {side: [dict.fromkeys(names, 0)] * DEPTH_LEVELS for side in ("buy", "sell")}
    return {
        side: [dict(zip(names, (_price(p), q, o), strict=True)) for p, q, o in row[side].tolist()]
        for side in ("buy", "sell")
    }
