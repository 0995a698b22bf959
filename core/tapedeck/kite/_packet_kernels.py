"""Compiled walk through a Kite market frame: bytes to rows and rows to bytes.

All kernels of the wire live in this one file, so that a cached kernel can never outlive one it calls.
Offsets are unsigned and the error model is numpy's: with numba's defaults every byte costs a test for
a negative index and every price a test for division by zero (57 instead of 17 ns per full packet).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from tapedeck.schema import DEPTH, TICK, empty_ticks

SECOND_NS = 1_000_000_000
UINT32_MAX = 4_294_967_295
UINT16_MAX = 65_535
LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL = 8, 28, 32, 44, 184
BOOK_BUY, BOOK_SELL, LEVEL_BYTES = 64, 124, 12
LEVELS = 5
# Divisors and segments stand here again: numba sees only this file's date, not that of schema.py.
INDEX_SEGMENT, CDS, BCD, NCO = 9, 3, 6, 12
U1, U2, U3, U4, U8 = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(8)


#: A part of a kernel. LLVM left to itself calls some of them instead, which doubles the time of a frame.
_inlined = njit(error_model="numpy", forceinline=True)


def _kernel(function: Callable[..., Any]) -> Any:
    """Compiled `function`, cached on disk where a folder can be written, else compiled in every process."""
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package folder nor the user's cache folder can be written
        return njit(nogil=True, error_model="numpy")(function)


@_inlined
def _divisor(token):
    segment = token & 0xFF
    if segment == CDS:
        return 10_000_000.0
    if segment in (BCD, NCO):
        return 10_000.0
    return 100.0


@_inlined
def _understood(length, token):
    if token == 0:
        return False
    if token & 0xFF == INDEX_SEGMENT:
        return length in (LTP, INDEX_QUOTE, INDEX_FULL)
    return length in (LTP, QUOTE, FULL)


@_inlined
def _get2(data, offset):
    o = np.uint64(offset)
    return np.int64(data[o]) << 8 | np.int64(data[o + U1])


@_inlined
def _get4(data, offset):
    o = np.uint64(offset)
    return np.int64(data[o]) << 24 | np.int64(data[o + U1]) << 16 | np.int64(data[o + U2]) << 8 | np.int64(data[o + U3])


@_inlined
def _read_absent(tick):
    tick.exchange_timestamp = 0
    tick.last_trade_time = 0
    tick.last_traded_quantity = -1
    tick.average_traded_price = np.nan
    tick.volume_traded = -1
    tick.total_buy_quantity = -1
    tick.total_sell_quantity = -1
    tick.open = np.nan
    tick.high = np.nan
    tick.low = np.nan
    tick.close = np.nan
    tick.oi = -1
    tick.oi_day_high = -1
    tick.oi_day_low = -1


@_inlined
def _read_index(data, o, length, divisor, tick):
    tick.mode = 1
    tick.high = _get4(data, o + 8) / divisor
    tick.low = _get4(data, o + 12) / divisor
    tick.open = _get4(data, o + 16) / divisor
    tick.close = _get4(data, o + 20) / divisor
    # Bytes 24-27 are "price change": its sign and scale are documented nowhere.
    if length == INDEX_FULL:
        tick.mode = 2
        tick.exchange_timestamp = _get4(data, o + 28) * SECOND_NS


@_inlined
def _read_traded(data, o, length, divisor, tick):
    tick.mode = 1
    tick.last_traded_quantity = _get4(data, o + 8)
    tick.average_traded_price = _get4(data, o + 12) / divisor
    tick.volume_traded = _get4(data, o + 16)
    tick.total_buy_quantity = _get4(data, o + 20)
    tick.total_sell_quantity = _get4(data, o + 24)
    tick.open = _get4(data, o + 28) / divisor
    tick.high = _get4(data, o + 32) / divisor
    tick.low = _get4(data, o + 36) / divisor
    tick.close = _get4(data, o + 40) / divisor
    if length == FULL:
        tick.mode = 2
        tick.last_trade_time = _get4(data, o + 44) * SECOND_NS
        tick.oi = _get4(data, o + 48)
        tick.oi_day_high = _get4(data, o + 52)
        tick.oi_day_low = _get4(data, o + 56)
        tick.exchange_timestamp = _get4(data, o + 60) * SECOND_NS


@_inlined
def _read_side(data, o, divisor, side):
    for i in range(LEVELS):
        at = o + i * LEVEL_BYTES
        side[i].quantity = _get4(data, at)
        side[i].price = _get4(data, at + 4) / divisor
        side[i].orders = _get2(data, at + 8)


@_inlined
def _read_tick(data, o, length, token, received_at, tick):
    divisor = _divisor(token)
    tick.instrument_token = token
    tick.mode = 0
    tick.received_at = received_at
    tick.last_price = _get4(data, o + 4) / divisor
    _read_absent(tick)
    if length in (INDEX_QUOTE, INDEX_FULL):
        _read_index(data, o, length, divisor, tick)
    elif length != LTP:
        _read_traded(data, o, length, divisor, tick)


@_inlined
def _read_book(data, o, token, book):
    divisor = _divisor(token)
    book.instrument_token = token
    _read_side(data, o + BOOK_BUY, divisor, book.buy)
    _read_side(data, o + BOOK_SELL, divisor, book.sell)


@_kernel
def decode(data, received_at, ticks, depth):
    """Fill `ticks` and `depth` from one frame; rows filled of each, and packets refused.

    The caller provides at least 2 bytes, and room for as many packets as the bytes can hold.
    """
    size = data.size
    announced = _get2(data, 0)
    at, walked, rows, books = 2, 0, 0, 0
    believed_rows, believed_books, doubt = 0, 0, False
    while walked < announced and at + 2 <= size:
        length = _get2(data, at)
        o = at + 2
        if o + length > size:
            break
        at = o + length
        walked += 1
        token = _get4(data, o) if length >= LTP else 0
        if not _understood(length, token):
            if not doubt:
                doubt, believed_rows, believed_books = True, rows, books
            continue
        _read_tick(data, o, length, token, received_at, ticks[rows])
        rows += 1
        if length == FULL:
            _read_book(data, o, token, depth[books])
            books += 1
    exact = walked == announced and at == size
    if doubt and not exact:
        rows, books = believed_rows, believed_books
    left_over = 1 if walked == announced and at < size else 0
    return rows, books, announced - rows + left_over


@_inlined
def _put2(out, offset, value):
    o = np.uint64(offset)
    out[o] = value >> 8
    out[o + U1] = value
    return value


@_inlined
def _put4(out, offset, value):
    """Write -1 as 0; what was written, negative or too large when it does not fit."""
    if value == -1:
        value = 0
    o = np.uint64(offset)
    out[o] = value >> 24
    out[o + U1] = value >> 16
    out[o + U2] = value >> 8
    out[o + U3] = value
    return value


@_inlined
def _fits(value):
    return 0 <= value <= UINT32_MAX


@_inlined
def _put_count(out, offset, value):
    return _fits(_put4(out, offset, value))


@_inlined
def _put_price(out, offset, price, divisor):
    if price != price:  # NaN: absent
        _put4(out, offset, 0)
        return True
    raw = np.rint(price * divisor)
    if not 0.0 <= raw <= UINT32_MAX:
        return False
    _put4(out, offset, np.int64(raw))
    return True


@_inlined
def _put_time(out, offset, ns):
    return ns >= 0 and _put_count(out, offset, ns // SECOND_NS)


@_inlined
def _write_index(out, o, tick, divisor):
    ok = _put_price(out, o + 8, tick.high, divisor)
    ok &= _put_price(out, o + 12, tick.low, divisor)
    ok &= _put_price(out, o + 16, tick.open, divisor)
    ok &= _put_price(out, o + 20, tick.close, divisor)
    _put4(out, o + 24, 0)
    if tick.mode == 2:
        ok &= _put_time(out, o + 28, tick.exchange_timestamp)
    return ok


@_inlined
def _write_traded(out, o, tick, divisor):
    ok = _put_count(out, o + 8, tick.last_traded_quantity)
    ok &= _put_price(out, o + 12, tick.average_traded_price, divisor)
    ok &= _put_count(out, o + 16, tick.volume_traded)
    ok &= _put_count(out, o + 20, tick.total_buy_quantity)
    ok &= _put_count(out, o + 24, tick.total_sell_quantity)
    ok &= _put_price(out, o + 28, tick.open, divisor)
    ok &= _put_price(out, o + 32, tick.high, divisor)
    ok &= _put_price(out, o + 36, tick.low, divisor)
    ok &= _put_price(out, o + 40, tick.close, divisor)
    if tick.mode == 2:
        ok &= _put_time(out, o + 44, tick.last_trade_time)
        ok &= _put_count(out, o + 48, tick.oi)
        ok &= _put_count(out, o + 52, tick.oi_day_high)
        ok &= _put_count(out, o + 56, tick.oi_day_low)
        ok &= _put_time(out, o + 60, tick.exchange_timestamp)
    return ok


@_inlined
def _write_side(out, o, side, divisor):
    ok = True
    for i in range(LEVELS):
        at = o + i * LEVEL_BYTES
        ok &= _put_count(out, at, side[i].quantity)
        ok &= _put_price(out, at + 4, side[i].price, divisor)
        orders = np.int64(side[i].orders)
        orders = 0 if orders == -1 else orders
        ok &= 0 <= orders <= UINT16_MAX
        _put2(out, at + 8, orders)
        _put2(out, at + 10, 0)
    return ok


@_inlined
def _length(token, mode):
    if mode == 0:
        return LTP
    if token & 0xFF == INDEX_SEGMENT:
        return INDEX_QUOTE if mode == 1 else INDEX_FULL
    return QUOTE if mode == 1 else FULL


@_inlined
def _write_tick(out, o, length, token, tick):
    divisor = _divisor(token)
    _put4(out, o, token)
    ok = _put_price(out, o + 4, tick.last_price, divisor)
    if length in (INDEX_QUOTE, INDEX_FULL):
        ok &= _write_index(out, o, tick, divisor)
    elif length != LTP:
        ok &= _write_traded(out, o, tick, divisor)
    return ok


@_inlined
def _write_book(out, o, token, book):
    divisor = _divisor(token)
    ok = _write_side(out, o + BOOK_BUY, book.buy, divisor)
    ok &= _write_side(out, o + BOOK_SELL, book.sell, divisor)
    return ok


@_kernel
def encode(ticks, depth, out):
    """Write one frame into `out`; bytes written, depth rows used, and the row that cannot be written or -1.

    The caller provides at most 65,535 rows and 186 bytes of room for each, plus 2.
    """
    _put2(out, 0, ticks.size)
    o, books = 2, 0
    for row in range(ticks.size):
        tick = ticks[row]
        token = np.int64(tick.instrument_token)
        if token == 0 or tick.mode > 2:
            return o, books, row
        length = _length(token, tick.mode)
        _put2(out, o, length)
        o += 2
        ok = _write_tick(out, o, length, token, tick)
        if length == FULL:
            if books < depth.size and depth[books].instrument_token == token:
                ok &= _write_book(out, o, token, depth[books])
                books += 1
            else:
                out[o + BOOK_BUY : o + FULL] = 0
        if not ok:
            return o, books, row
        o += length
    return o, books, -1


def load() -> None:
    """Compile both kernels, or load them from the cache; a damaged cache is removed and made anew.

    numba writes its cache files without syncing them, so a power cut can leave one cut short, and numba
    then fails on it in every process from then on.
    """
    try:
        _run_both()
    except Exception:  # noqa: BLE001 - a damaged pickle raises almost anything, and the input here is known
        folders = {kernel.stats.cache_path for kernel in (decode, encode)} - {None}
        for folder in folders:
            for damaged in Path(folder).glob(f"{Path(__file__).stem}.*.nb?"):
                damaged.unlink(missing_ok=True)
        _run_both()


def _run_both() -> None:
    ticks, depth, frame = empty_ticks(1), np.empty(0, DEPTH), np.empty(2 + 2 + LTP, np.uint8)
    ticks["instrument_token"] = 1
    ticks.flags.writeable = depth.flags.writeable = False
    encode(ticks, depth, frame)
    frame.flags.writeable = False
    decode(frame, 0, np.empty(1, TICK), np.empty(0, DEPTH))
