"""A hub on a clock that the test moves, and ticks made in one line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np

from tapedeck.clock import SECOND, ManualClock, ist_ns
from tapedeck.hub import Hub
from tapedeck.instruments import Instruments
from tapedeck.schema import DEPTH, MODE_FULL, Batch, Instrument, empty_ticks

THURSDAY, FRIDAY, SATURDAY, MONDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 23)

INFY = Instrument(408065, "INFY", "NSE", name="INFOSYS", segment="NSE", session_class="cas")
SMALL = Instrument(512001, "SMALLCAP", "NSE", name="SMALL CAP", segment="NSE", session_class="other")
NIFTY = Instrument(256265, "NIFTY 50", "NSE", name="NIFTY 50", segment="INDICES", session_class="index")
OPTION = Instrument(
    12345602, "NIFTY26DEC26000CE", "NFO", name="NIFTY", expiry=date(2026, 12, 29), strike=26000.0,
    lot_size=65, instrument_type="CE", segment="NFO-OPT", session_class="option",
)  # fmt: skip
ALL = (INFY, SMALL, NIFTY, OPTION)


def at(day: date, hhmm: str) -> int:
    """UTC nanoseconds of a wall-clock time in India."""
    return ist_ns(day, hhmm)


def open_hub(now: int, *, instruments: Iterable[Instrument] = ALL, ring_size: int = 1 << 12) -> tuple[Hub, ManualClock]:
    """A hub with a live, connected feed on Kite, and its clock."""
    clock = ManualClock(now, monotonic=1000.0)
    hub = Hub(clock, ring_size=ring_size)
    hub.open_source("kite", Instruments(instruments))
    hub.connected()
    hub.feed_status("LIVE")
    hub.alive()
    return hub, clock


def tick(instrument: Instrument | int, price: float, stamp: int = 0, *, mode: int = MODE_FULL, **fields: Any) -> Batch:
    """One packet; a full one of a tradable instrument has a book around its price."""
    token = instrument if isinstance(instrument, int) else instrument.instrument_token
    ticks = empty_ticks(1)
    ticks["instrument_token"], ticks["mode"], ticks["last_price"] = token, mode, price
    ticks["exchange_timestamp"] = stamp
    if mode == MODE_FULL and token & 0xFF != 9:
        ticks["last_trade_time"] = stamp - SECOND if stamp else 0
    for name, value in fields.items():
        ticks[name] = value
    depth = np.zeros(int(mode == MODE_FULL and token & 0xFF != 9), DEPTH)
    depth["instrument_token"] = token
    depth["buy"]["price"], depth["sell"]["price"] = price - 0.05, price + 0.05
    depth["buy"]["quantity"], depth["sell"]["quantity"] = 10, 20
    return Batch(ticks, depth)


def joined(*batches: Batch) -> Batch:
    """Several packets in one frame."""
    return Batch(
        np.concatenate([b.ticks for b in batches]),
        np.concatenate([b.depth for b in batches]),
        sum(b[2] for b in batches),
    )


def marked(hub: Hub, instrument: Instrument) -> dict[str, Any]:
    """The instrument's row, fresh or not."""
    return hub.quote(instrument.key, stale="mark")
