"""Kite's binary market frames: `parse` bytes to TICK and DEPTH rows, `encode` rows to bytes.

A frame is big-endian: `uint16` number of packets, then for each `uint16` length and that many bytes. The
length is the packet's type and the token's low byte its segment; docs/wire.md has the tables.
A sample, one ltp packet of NSE:INFY at 1412.95 rupees:

    00 01  00 08  00 06 3a 01  00 02 27 ef
"""

from __future__ import annotations

import numpy as np

from tapedeck.kite import _packet_kernels as kernels
from tapedeck.schema import (
    DEFAULT_DIVISOR,
    DEPTH,
    DEPTH_LEVELS,
    MODE_FULL,
    MODES,
    SEGMENT_DIVISOR,
    TICK,
    Batch,
    empty_batch,
)

__all__ = ["MAX_PACKETS", "Batch", "encode", "parse", "warm_up"]

#: The frame's packet count is 16 bits.
MAX_PACKETS = 65_535

_SMALLEST = 2 + 8
_LARGEST = 2 + 184
_PRICES = ("last_price", "average_traded_price", "open", "high", "low", "close", "price")
_TIMES = ("exchange_timestamp", "last_trade_time")


def parse(payload: bytes, received_at: int = 0) -> Batch:
    """Ticks, book rows and the number of refused packets of one binary frame; never raises on bytes.

    Prices are `raw / divisor` in rupees, times UTC ns; what a packet does not carry is NaN, -1 or 0.
    `received_at` (UTC ns) is put into every row. A heartbeat (one byte) and an empty frame give an empty
    batch. A packet is refused when its length is unknown or does not suit its segment, or its token is 0;
    every packet announced but cut off is refused, and bytes after the last one count as one more.
    Once a packet was refused, what follows is believed only if the frame ends exactly where its
    lengths say.

    >>> batch = parse(bytes.fromhex("0001 0008 00063a01 000227ef"))
    >>> float(batch.ticks["last_price"][0]), batch.refused
    (1412.95, 0)
    """
    data = _octets(payload)
    if data.size < 2:
        return empty_batch()
    room = min(int(data[0]) << 8 | int(data[1]), (data.size - 2) // _SMALLEST)
    ticks = np.empty(room, TICK)
    depth = np.empty(min(room, (data.size - 2) // _LARGEST), DEPTH)
    if not kernels.decode.overloads:
        warm_up()
    rows, books, refused = kernels.decode(data, received_at, ticks, depth)
    return Batch(ticks[:rows], depth[:books], refused)


def encode(ticks: np.ndarray, depth: np.ndarray | None = None) -> bytes:
    """The frame that `parse` reads back as these rows: one packet per tick, in order.

    Mode and segment decide the packet: ltp 8 bytes, index 28 or 32, all others 44 or 184. Absent values
    (NaN, -1) become 0, prices are rounded half to even, times are cut to whole seconds. `depth` holds rows
    in the order of the full ticks they belong to, as `parse` returns them; a full tick whose token is not
    the next row's gets an empty book.

    Raises
    ------
    ValueError
        If there were more than 65,535 ticks, a value that a packet cannot hold, or a depth row without
        its tick.
    """
    rows = _rows(ticks, TICK, "ticks")
    books = _rows(depth if depth is not None else np.empty(0, DEPTH), DEPTH, "depth")
    if rows.size > MAX_PACKETS:
        raise ValueError(f"ticks had {rows.size} rows; one frame holds at most {MAX_PACKETS}: split them")
    out = np.empty(2 + rows.size * _LARGEST, np.uint8)
    if not kernels.encode.overloads:
        warm_up()
    written, used, bad = kernels.encode(rows, books, out)
    if bad >= 0:
        raise ValueError(_complaint(rows, books[:used], bad))
    if used != books.size:
        raise ValueError(
            f"depth[{used}] (token {books['instrument_token'][used]}) belongs to no full tick that is left; "
            "give depth rows in the order of their ticks"
        )
    return out[:written].tobytes()


def warm_up() -> None:
    """Load or compile both kernels now, so that the first live frame does not wait for them.

    Takes a second or two the first time on a machine, then about 0.3 s (docs/wire.md). A process that
    never calls it pays on its first frame.
    """
    kernels.load()


def _octets(payload: bytes) -> np.ndarray:
    """The payload's bytes without a copy, read-only so that all kinds of buffers share one kernel."""
    try:
        data = np.frombuffer(payload, np.uint8)
    except (ValueError, BufferError):  # empty, or a view with gaps
        data = np.array(bytearray(memoryview(payload).tobytes()), np.uint8)
    data.flags.writeable = False
    return data


def _rows(rows: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """One-dimensional contiguous read-only view (or copy) of structured rows."""
    rows = np.asarray(rows)
    if rows.dtype != dtype:
        raise ValueError(
            f"{name} was an array of {rows.dtype}; it must have the dtype schema.{name.rstrip('s').upper()}"
        )
    view = np.ascontiguousarray(rows).reshape(-1).view()
    view.flags.writeable = False
    return view


def _complaint(ticks: np.ndarray, depth: np.ndarray, bad: int) -> str:
    """What of tick `bad` no packet can hold; `depth` ends with the tick's book if it has one."""
    tick = ticks[bad]
    token, mode = int(tick["instrument_token"]), int(tick["mode"])
    where = f"ticks[{bad}] (token {token})"
    if token == 0:
        return f"{where}: instrument_token was 0, which no instrument has"
    if mode >= len(MODES):
        return f"{where}: mode was {mode}; allowed: 0 ltp, 1 quote, 2 full"
    divisor = SEGMENT_DIVISOR.get(token & 0xFF, DEFAULT_DIVISOR)
    named = [(name, tick[name]) for name in TICK.names or () if name not in ("instrument_token", "mode", "received_at")]
    if mode == MODE_FULL and depth.size:
        for side in ("buy", "sell"):
            for level in range(DEPTH_LEVELS):
                row = depth[-1][side][level]
                named += [(f"{side}[{level}].{name}", row[name]) for name in ("quantity", "price", "orders")]
    for name, value in named:
        problem = _problem(name.rpartition(".")[2], value.item(), divisor)
        if problem:
            return f"{where}: {name} was {value}; {problem}"
    return f"{where}: cannot be written"


def _problem(name: str, value: float, divisor: int) -> str:
    """Why a packet cannot hold the value; empty when it can."""
    if name in _PRICES:
        top = kernels.UINT32_MAX / divisor
        holds = value != value or (abs(value) <= 2 * top and 0 <= round(value * divisor) <= kernels.UINT32_MAX)
        return "" if holds else f"with divisor {divisor} a packet holds 0 to {top} rupees"
    if name in _TIMES:
        top = kernels.UINT32_MAX
        return "" if 0 <= value // kernels.SECOND_NS <= top else f"a packet holds 0 to {top} whole seconds as ns"
    top = kernels.UINT16_MAX if name == "orders" else kernels.UINT32_MAX
    return "" if -1 <= value <= top else f"a packet holds 0 to {top}, and -1 as 0"
