"""The hub under load: parse and publish at 30,000 ticks a second, and the join of a late listener."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from datetime import date

import numpy as np

from benchmarks.harness import Result, against, limit, seconds
from tapedeck.clock import SECOND, OffsetClock, ist_ns
from tapedeck.hub import Hub
from tapedeck.instruments import Instruments
from tapedeck.kite import packets
from tapedeck.schema import DEPTH, MODE_FULL, Instrument, empty_ticks

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # what twisted and autobahn use of newer Pythons
    from kiteconnect import KiteTicker

INSTRUMENTS = 3000
TICKS_PER_S = 30_000
SECONDS = 3.0
GOAL_CORES = 1 / 3
START = ist_ns(date(2026, 11, 20), "11:00")
PEER = "KiteTicker._parse_binary + dict"


def instruments() -> list[Instrument]:
    """As many shares as one connection carries."""
    return [Instrument(256 * i + 1, f"S{i}", "NSE", session_class="cas") for i in range(1, INSTRUMENTS + 1)]


def frames(packets_each: int, count: int) -> list[bytes]:
    """Different frames of full packets with books; prices move, times do not go back."""
    rng = np.random.default_rng(7)
    tokens = np.array([one.instrument_token for one in instruments()], np.uint32)
    made = []
    for i in range(count):
        ticks = empty_ticks(packets_each)
        ticks["instrument_token"] = rng.choice(tokens, packets_each, replace=False)
        ticks["mode"] = MODE_FULL
        ticks["exchange_timestamp"], ticks["last_trade_time"] = START + i * SECOND, START
        for name in ("last_price", "average_traded_price", "open", "high", "low", "close"):
            ticks[name] = np.round(rng.uniform(100, 5000, packets_each), 2)
        for name in ("last_traded_quantity", "volume_traded", "total_buy_quantity", "total_sell_quantity", "oi"):
            ticks[name] = rng.integers(1, 1_000_000, packets_each)
        ticks["oi_day_high"] = ticks["oi_day_low"] = ticks["oi"]
        depth = np.zeros(packets_each, DEPTH)
        depth["instrument_token"] = ticks["instrument_token"]
        for side in ("buy", "sell"):
            depth[side]["price"] = np.round(rng.uniform(100, 5000, (packets_each, 5)), 2)
            depth[side]["quantity"] = rng.integers(1, 9999, (packets_each, 5))
        made.append(packets.encode(ticks, depth))
    return made


def open_hub() -> Hub:
    """A hub with a live feed of all instruments."""
    hub = Hub(OffsetClock(START + 60 * SECOND))
    hub.open_source("kite", Instruments(instruments()))
    hub.connected()
    hub.feed_status("LIVE")
    return hub


def cores(take: Callable[[bytes], object], frames_: list[bytes], per_s: float) -> float:
    """CPU seconds per second of load while a frame is taken in every `1 / per_s` seconds; 1.0 is a whole core.

    Frames that come while another is taken in wait, as they would in a socket: over 1.0 they wait for ever.
    """
    for frame in frames_:
        take(frame)
    began, used = time.perf_counter(), time.process_time()
    for i in range(int(SECONDS * per_s)):
        wait = began + i / per_s - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        take(frames_[i % len(frames_)])
    return (time.process_time() - used) / SECONDS


def sustained(packets_each: int) -> Result:
    """Parse and publish against what the official client and a dict of rows need for the same frames."""
    made = frames(packets_each, 40)
    hub = open_hub()
    per_s = TICKS_PER_S / packets_each
    ours = cores(lambda payload: hub.publish(packets.parse(payload, START)), made, per_s)
    parser, last = KiteTicker.__new__(KiteTicker), {}

    def peer(payload: bytes) -> None:
        for row in parser._parse_binary(payload):
            last[row["instrument_token"]] = row

    theirs = cores(peer, made, per_s)
    name = f"{TICKS_PER_S:,} ticks/s in frames of {packets_each}"
    return Result(name, ours, "core", PEER, theirs, theirs / ours, f"<= {GOAL_CORES:.3f} core", ours <= GOAL_CORES)


def late_join() -> list[Result]:
    """What a newcomer with every instrument costs, against copying a dict of rows."""
    hub = open_hub()
    parser, last = KiteTicker.__new__(KiteTicker), {}
    for payload in frames(INSTRUMENTS, 3):
        hub.publish(packets.parse(payload))
        last.update({row["instrument_token"]: row for row in parser._parse_binary(payload)})
    ours_s, peer_s = seconds(hub.join, lambda: {token: dict(row) for token, row in last.items()}, repeats=5)
    _, cursor = hub.join()
    (since_s,) = seconds(lambda: hub.since(cursor - 1250))
    name = f"join with {INSTRUMENTS:,} instruments"
    return [
        against(name, ours_s, peer="copy of a dict of rows", peer_s=peer_s),
        limit("since: 1,250 rows", since_s * 1e6, "us", at_most=200),
    ]


def run() -> list[Result]:
    """Cores at 30,000 ticks a second in frames of three sizes; microseconds of a late join."""
    packets.warm_up()
    return [*(sustained(size) for size in (50, 500, 3000)), *late_join()]
