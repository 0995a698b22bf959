"""The stream's wire format, version 1: what a desk sends to browsers, notebooks and programs (docs/stream.md).

A binary frame is a 64-byte header and records of 160 bytes, all little-endian:

    54444b31 0100 0100 01000000 a0000000 02 01 ...    "TDK1", version 1, delta, 1 record of 160 bytes, LIVE, simulated
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapedeck.errors import FrameError
from tapedeck.feed import STATES
from tapedeck.schema import UNTRADED_PRICES
from tapedeck.sessions import PHASES, Phase

MAGIC = b"TDK1"
VERSION = 1
HEARTBEAT, DELTA, SNAPSHOT = 0, 1, 2
KINDS = (HEARTBEAT, DELTA, SNAPSHOT)
#: Bits of the header's flags.
SIMULATED, REPLAY = 1, 2
#: Bits of a record's flags.
CONFIRMED, HELD, DEPTH_KNOWN = 1, 2, 4

#: The numbers of a record, in order; NaN where absent. Times are UTC milliseconds, the date is yyyymmdd.
FIELDS = (
    "last_price", "close", "open", "high", "low", "average_traded_price", "volume_traded", "oi",
    "last_traded_quantity", "total_buy_quantity", "total_sell_quantity", "last_trade_time_ms",
    "exchange_timestamp_ms", "official_close", "official_date", "bid_price", "bid_quantity",
    "ask_price", "ask_quantity",
)  # fmt: skip

HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("version", "<u2"),
        ("kind", "<u2"),
        ("record_count", "<u4"),
        ("record_size", "<u4"),
        ("feed_state", "u1"),
        ("flags", "u1"),
        ("pad1", "<u2"),
        ("pad2", "<u4"),
        ("epoch", "<f8"),
        ("sequence", "<f8"),
        ("market_time_ms", "<f8"),
        ("feed_age_s", "<f8"),
        ("conflated", "<f8"),
    ]
)
RECORD = np.dtype(
    [("instrument_token", "<u4"), ("flags", "u1"), ("phase", "u1"), ("mode", "u1"), ("pad", "u1")]
    + [(name, "<f8") for name in FIELDS]
)

ACTIONS = ("hello", "subscribe", "unsubscribe", "focus", "depth", "topics", "snapshot", "pause", "resume")
#: Actions that mean nothing without their list.
_NEED_ITEMS = {"subscribe": "instruments", "unsubscribe": "instruments", "focus": "instruments",
               "depth": "instruments", "topics": "names"}  # fmt: skip
MAX_ITEMS = 3000
#: Books, and topics, that one listener may have.
MAX_BOOKS = 10
#: Room for 3,000 keys of options.
MAX_TEXT = 128 * 1024
MAX_KEY = 64
#: Frames a second a listener may ask for, and what it gets when it does not say.
MIN_RATE, MAX_RATE, DEFAULT_RATE = 1, 10, 4

_MS = 1_000_000
_PRICES = ("last_price", "close", "open", "high", "low", "average_traded_price")
_WHOLE = ("volume_traded", "oi", "last_traded_quantity", "total_buy_quantity", "total_sell_quantity")
_PHASE_CODE = {name: code for code, name in enumerate(PHASES)}
_HEADER_SIZE = HEADER.itemsize
_HEADER = struct.Struct("<4sHHIIBBHI5d")  # HEADER again: packing it this way takes 1 us instead of 15


class Frame(NamedTuple):
    """A decoded frame: its header fields by name (`feed_state` as its name) and its RECORD rows."""

    kind: int
    feed_state: str
    simulated: bool
    replay: bool
    epoch: int
    sequence: int
    market_time_ms: float
    feed_age_s: float
    conflated: int
    records: np.ndarray


class Header(NamedTuple):
    """What the header of a frame says besides its kind and size."""

    epoch: int
    sequence: int
    feed_state: str
    market_time_ms: float
    feed_age_s: float
    simulated: bool = False
    replay: bool = False
    conflated: int = 0


class Message(NamedTuple):
    """A listener's wish: what to do, with which keys or tokens, and how often."""

    action: str
    items: tuple[str | int, ...] = ()
    rate: int = DEFAULT_RATE


# -- records -----------------------------------------------------------------------------------------------------


def encode_records(
    ticks: np.ndarray,
    depth: np.ndarray,
    *,
    confirmed: np.ndarray,
    depth_known: np.ndarray,
    phase: np.ndarray,
    held: np.ndarray,
    official: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """RECORD array of last values, one per row of `ticks`; `depth` has as many rows.

    `phase` holds codes of `sessions.PHASES`, `official` the official prices and their dates (yyyymmdd, NaN
    where unknown). What is absent in a tick is NaN in its record.
    """
    records = np.zeros(len(ticks), RECORD)
    records["instrument_token"] = ticks["instrument_token"]
    records["flags"] = confirmed * CONFIRMED | held * HELD | depth_known * DEPTH_KNOWN
    records["phase"] = phase
    records["mode"] = ticks["mode"]
    for name in _PRICES:
        records[name] = ticks[name]
    for name in UNTRADED_PRICES:
        records[name][records[name] == 0] = np.nan
    for name in _WHOLE:
        records[name] = np.where(ticks[name] < 0, np.nan, ticks[name])
    for name in ("last_trade_time", "exchange_timestamp"):
        records[f"{name}_ms"] = np.where(ticks[name] > 0, ticks[name] / _MS, np.nan)
    records["official_close"], records["official_date"] = official
    for side, ours in (("buy", "bid"), ("sell", "ask")):
        best = depth[side][:, 0]
        there = depth_known & (best["price"] > 0)
        records[f"{ours}_price"] = np.where(there, best["price"], np.nan)
        records[f"{ours}_quantity"] = np.where(there, best["quantity"], np.nan)
    return records


def phase_codes(phases: Sequence[Phase]) -> tuple[np.ndarray, np.ndarray]:
    """Wire code of each phase, and whether it holds numbers to the freshness limit."""
    codes = np.array([_PHASE_CODE[phase.name] for phase in phases], np.uint8)
    return codes, np.array([phase.held for phase in phases], bool)


# -- frames ------------------------------------------------------------------------------------------------------


def build_frame(kind: int, records: np.ndarray, header: Header) -> bytes:
    """One frame: the header and the records' bytes."""
    return build_header(kind, len(records), header) + records.tobytes()


def build_header(kind: int, count: int, header: Header) -> bytes:
    """The 64 bytes in front of `count` records. An infinite feed age is written as -1: never."""
    return _HEADER.pack(
        MAGIC,
        VERSION,
        kind,
        count,
        RECORD.itemsize,
        STATES.index(header.feed_state),
        header.simulated * SIMULATED | header.replay * REPLAY,
        0,
        0,
        header.epoch,
        header.sequence,
        header.market_time_ms,
        header.feed_age_s if math.isfinite(header.feed_age_s) else -1.0,
        header.conflated,
    )


def parse_frame(data: bytes) -> Frame:
    """What a frame says.

    Raises
    ------
    FrameError
        If it was not a whole, sound frame of this version.
    """
    if len(data) < _HEADER_SIZE:
        raise FrameError(f"frame had {len(data)} bytes; a header alone has {_HEADER_SIZE}")
    row = np.frombuffer(data, HEADER, 1)[0]
    if bytes(row["magic"]) != MAGIC:
        raise FrameError(f"frame began with {bytes(data[:4])!r} instead of {MAGIC!r}")
    if row["version"] != VERSION:
        raise FrameError(f"frame had version {row['version']}; this program reads version {VERSION}")
    if row["kind"] not in KINDS or row["feed_state"] >= len(STATES) or row["record_size"] != RECORD.itemsize:
        raise FrameError(
            f"frame had kind {row['kind']}, feed state {row['feed_state']} and records of {row['record_size']} bytes"
        )
    count = int(row["record_count"])
    if len(data) != _HEADER_SIZE + count * RECORD.itemsize:
        raise FrameError(f"frame had {len(data)} bytes; {count} records need {_HEADER_SIZE + count * RECORD.itemsize}")
    numbers = [float(row[name]) for name in ("epoch", "sequence", "market_time_ms", "feed_age_s", "conflated")]
    epoch, sequence, market_time_ms, feed_age_s, conflated = numbers
    if not all(map(math.isfinite, numbers)) or min(epoch, sequence, conflated) < 0:
        raise FrameError(f"frame had epoch {epoch}, sequence {sequence}, age {feed_age_s}, conflated {conflated}")
    return Frame(
        kind=int(row["kind"]),
        feed_state=STATES[row["feed_state"]],
        simulated=bool(row["flags"] & SIMULATED),
        replay=bool(row["flags"] & REPLAY),
        epoch=int(epoch),
        sequence=int(sequence),
        market_time_ms=market_time_ms,
        feed_age_s=math.inf if feed_age_s < 0 else feed_age_s,
        conflated=int(conflated),
        records=np.frombuffer(data, RECORD, count, _HEADER_SIZE),
    )


# -- messages ----------------------------------------------------------------------------------------------------


def parse_message(text: str | bytes) -> Message:
    """A listener's message, checked: `{"a": "hello", "v": ["NSE:INFY", 738561], "rate": 4}`.

    Raises
    ------
    FrameError
        Saying what was wrong and what is allowed; the text is fit to be sent back.
    """
    if isinstance(text, bytes):
        raise FrameError("message was binary; send JSON text")
    if len(text) > MAX_TEXT:
        raise FrameError(f"message had {len(text)} characters; allowed: {MAX_TEXT}")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError("message was not JSON") from error
    if not isinstance(said, dict):
        raise FrameError(
            f"message was a JSON {_kind(said)}; send an object such as {{'a': 'hello', 'v': ['NSE:INFY']}}"
        )
    action = said.get("a")
    if not isinstance(action, str) or action not in ACTIONS:
        raise FrameError(f"action was {_shown(action)}; allowed: {', '.join(ACTIONS)}")
    if action in _NEED_ITEMS and "v" not in said:
        raise FrameError(f"{action} had no {_NEED_ITEMS[action]}; give them as 'v'")
    items = _items(said.get("v", []))
    if action in ("depth", "topics") and len(items) > MAX_BOOKS:
        raise FrameError(f"{action} had {len(items)} items; allowed: {MAX_BOOKS}")
    return Message(action, items, _rate(said.get("rate", DEFAULT_RATE)))


def _items(value: Any) -> tuple[str | int, ...]:
    if not isinstance(value, list):
        raise FrameError(f"v was {_shown(value)}; give a list of keys such as 'NSE:INFY' or instrument tokens")
    if len(value) > MAX_ITEMS:
        raise FrameError(f"v had {len(value)} instruments; allowed: {MAX_ITEMS}")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise FrameError(f"v had {_shown(item)}; allowed: strings and whole numbers")
        if isinstance(item, str) and not 0 < len(item) <= MAX_KEY:
            raise FrameError(f"v had a key of {len(item)} characters; allowed: 1 to {MAX_KEY}")
        if isinstance(item, int) and not 0 <= item < 1 << 32:
            raise FrameError(f"v had the token {_shown(item)}; allowed: 0 to {(1 << 32) - 1}")
    return tuple(dict.fromkeys(value))


def _rate(value: Any) -> int:
    sound = not isinstance(value, bool) and isinstance(value, int | float) and MIN_RATE <= value <= MAX_RATE
    if not sound:
        raise FrameError(f"rate was {_shown(value)}; allowed: {MIN_RATE} to {MAX_RATE} frames a second")
    return round(value)


def _kind(value: Any) -> str:
    return {list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def _shown(value: Any) -> str:
    """A value as it stood in the message, cut short: it goes back to its sender."""
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def empty_records(count: int) -> np.ndarray:
    """RECORD rows that know nothing: every number NaN, no flag set."""
    records = np.zeros(count, RECORD)
    for name in FIELDS:
        records[name] = np.nan
    return records
