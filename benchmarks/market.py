"""A market for benchmarks: shares of a live feed that change exactly when the benchmark says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np

from tapedeck.clock import SECOND, Clock, OffsetClock, ist_ns
from tapedeck.hub import Hub
from tapedeck.instruments import Instruments
from tapedeck.schema import DEPTH, MODE_FULL, Batch, Instrument, empty_ticks

START = ist_ns(date(2026, 11, 20), "11:00")


class NoUpstream:
    """Everything is subscribed already."""

    def subscribe(self, listener: str, tokens: Iterable[int], mode: str = "full") -> None:
        """Do nothing."""

    def release(self, listener: str, tokens: Iterable[int] | None = None) -> None:
        """Do nothing."""


def open_clock() -> OffsetClock:
    """Market time from 11:01 of a trading Friday on."""
    return OffsetClock(START + 60 * SECOND)


def tokens(count: int) -> list[int]:
    """Tokens of the first `count` shares."""
    return [256 * i + 1 for i in range(1, count + 1)]


def open_hub(count: int, clock: Clock | None = None) -> Hub:
    """A hub with a live feed of `count` shares."""
    return _live(Hub(clock or open_clock()), count)


class StampedHub(Hub):
    """A hub whose shares all change in the moment a reader asks what changed.

    Every last price is the real time of that moment, so that whoever reads it knows how long it was on its way. The
    ring is short and soon full: it does not grow any more then.
    """

    def __init__(self, count: int, clock: Clock) -> None:
        super().__init__(clock, ring_size=1 << 12)
        self._count = count
        _live(self, count)

    def changed(self, cursor: int) -> tuple[np.ndarray, int]:
        """All slots, with prices of now, and the cursor after them."""
        publish(self, self._count, self._clock.monotonic())
        return super().changed(cursor)


def _live(hub: Hub, count: int) -> Hub:
    shares = [Instrument(token, f"S{i}", "NSE", session_class="cas") for i, token in enumerate(tokens(count), 1)]
    hub.open_source("kite", Instruments(shares))
    hub.connected()
    hub.feed_status("LIVE")
    publish(hub, count, 1.0)
    return hub


def publish(hub: Hub, count: int, price: float) -> None:
    """The first `count` shares at another price, in one frame of full packets."""
    ticks = empty_ticks(count)
    ticks["instrument_token"] = np.arange(1, count + 1) * 256 + 1
    ticks["mode"], ticks["exchange_timestamp"], ticks["last_price"] = MODE_FULL, START, price
    for name in ("open", "high", "low", "close", "average_traded_price"):
        ticks[name] = price + 0.05
    ticks["volume_traded"] = 12_345
    depth = np.zeros(count, DEPTH)
    depth["instrument_token"] = ticks["instrument_token"]
    depth["buy"]["price"] = depth["sell"]["price"] = price
    hub.publish(Batch(ticks, depth))
