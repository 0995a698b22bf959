"""The words of the project: array layouts, instruments, intervals and the meaning of every column."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

#: One row per packet. Absent = NaN for prices, -1 for integers, 0 for times.
#: Prices are rupees exactly as raw / divisor; times are UTC nanoseconds since the epoch.
TICK = np.dtype(
    [
        ("instrument_token", "<u4"),
        ("mode", "u1"),
        ("exchange_timestamp", "<i8"),
        ("last_trade_time", "<i8"),
        ("received_at", "<i8"),
        ("last_price", "<f8"),
        ("last_traded_quantity", "<i8"),
        ("average_traded_price", "<f8"),
        ("volume_traded", "<i8"),
        ("total_buy_quantity", "<i8"),
        ("total_sell_quantity", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("oi", "<i8"),
        ("oi_day_high", "<i8"),
        ("oi_day_low", "<i8"),
    ]
)

#: Order of the levels of one side of the book: best price first.
DEPTH_LEVELS = 5

#: One row per full packet, in the order the packets came.
DEPTH = np.dtype(
    [
        ("instrument_token", "<u4"),
        ("buy", [("price", "<f8"), ("quantity", "<i8"), ("orders", "<i4")], (DEPTH_LEVELS,)),
        ("sell", [("price", "<f8"), ("quantity", "<i8"), ("orders", "<i4")], (DEPTH_LEVELS,)),
    ]
)

#: One bar. `date` is the start of the bar, UTC nanoseconds.
CANDLE = np.dtype(
    [
        ("date", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<i8"),
        ("oi", "<i8"),
    ]
)

#: Kite sends 0 in these before the first trade of the day: there is no such price yet.
UNTRADED_PRICES = ("average_traded_price", "open", "high", "low")

MODE_LTP, MODE_QUOTE, MODE_FULL = 0, 1, 2

#: Kite's names of the modes, in rank order: a listener who wants more wins.
MODES = ("ltp", "quote", "full")

#: Kite's candle intervals and their length in seconds (`day` by the session calendar).
INTERVALS = {
    "minute": 60,
    "3minute": 180,
    "5minute": 300,
    "10minute": 600,
    "15minute": 900,
    "30minute": 1800,
    "60minute": 3600,
    "day": 86400,
}

#: Low byte of an instrument token -> Kite's exchange name.
#: 12 (NCO) is known to the official client since 5.2.2 (2026-09-15).
SEGMENT_EXCHANGE = {
    1: "NSE",
    2: "NFO",
    3: "CDS",
    4: "BSE",
    5: "BFO",
    6: "BCD",
    7: "MCX",
    8: "MCXSX",
    9: "INDICES",
    12: "NCO",
}

#: Low byte of an instrument token -> what a raw price is divided by to get rupees; 100 elsewhere.
SEGMENT_DIVISOR = {3: 10_000_000, 6: 10_000, 12: 10_000}
DEFAULT_DIVISOR = 100


class Column(NamedTuple):
    """One word: its unit and what it means."""

    name: str
    unit: str
    meaning: str


#: Every column of a tick, a book level and a candle.
COLUMNS: tuple[Column, ...] = (
    Column("instrument_token", "", "Kite's number of the instrument; the low byte is its segment"),
    Column("mode", "", "how much the packet carried: 0 ltp, 1 quote, 2 full"),
    Column("exchange_timestamp", "ns UTC", "when the exchange sent this state; 0 when the packet has no time"),
    Column("last_trade_time", "ns UTC", "when the last trade happened; 0 before the first one or when absent"),
    Column("received_at", "ns UTC", "market time at which the frame reached this machine"),
    Column("last_price", "rupees", "price of the last trade; for an index its value"),
    Column("last_traded_quantity", "units", "size of the last trade"),
    Column("average_traded_price", "rupees", "volume-weighted average price of the day"),
    Column("volume_traded", "units", "traded since the start of the day (cumulative)"),
    Column("total_buy_quantity", "units", "all pending buy orders"),
    Column("total_sell_quantity", "units", "all pending sell orders"),
    Column("open", "rupees", "first price: of the day in a tick, of the bar in a candle"),
    Column("high", "rupees", "highest price: of the day in a tick, of the bar in a candle"),
    Column("low", "rupees", "lowest price: of the day in a tick, of the bar in a candle"),
    Column("close", "rupees", "in a tick the previous day's close, in a candle the last price"),
    Column("oi", "units", "open interest"),
    Column("oi_day_high", "units", "highest open interest of the day"),
    Column("oi_day_low", "units", "lowest open interest of the day"),
    Column("price", "rupees", "price of a book level"),
    Column("quantity", "units", "quantity waiting at a book level"),
    Column("orders", "", "number of orders at a book level"),
    Column("date", "ns UTC", "start of the bar"),
    Column("volume", "units", "traded within the bar"),
)


class Batch(NamedTuple):
    """What one frame carried.

    `ticks` has one TICK row per packet that was understood, `depth` one DEPTH row per full packet of a
    tradable instrument, in the same order; `refused` counts packets that were not understood.
    """

    ticks: np.ndarray
    depth: np.ndarray
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Instrument:
    """One line of Kite's instruments dump.

    `session_class` is the class of `rules/sessions.yaml` its trading hours follow; empty when the
    instrument was made without the day's whole dump, from which it is derived.
    """

    instrument_token: int
    tradingsymbol: str
    exchange: str
    exchange_token: int = 0
    name: str = ""
    last_price: float = 0.0
    expiry: date | None = None
    strike: float = 0.0
    tick_size: float = 0.05
    lot_size: int = 1
    instrument_type: str = "EQ"
    segment: str = ""
    session_class: str = ""

    @property
    def key(self) -> str:
        """`EXCHANGE:TRADINGSYMBOL`, the name used everywhere."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def is_index(self) -> bool:
        """Whether it is an index value: no depth, volume or open interest."""
        return self.instrument_token & 0xFF == 9


def empty_ticks(n: int = 0) -> np.ndarray:
    """TICK array of `n` rows in which everything is absent."""
    ticks = np.zeros(n, TICK)
    for name in ("last_price", "average_traded_price", "open", "high", "low", "close"):
        ticks[name] = np.nan
    for name in (
        "last_traded_quantity", "volume_traded", "total_buy_quantity", "total_sell_quantity",
        "oi", "oi_day_high", "oi_day_low",
    ):  # fmt: skip
        ticks[name] = -1
    return ticks


def empty_batch() -> Batch:
    """A frame that carried nothing, such as a heartbeat."""
    return Batch(np.zeros(0, TICK), np.zeros(0, DEPTH), 0)
