from __future__ import annotations

import struct
import warnings
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck import schema
from tapedeck.kite import packets
from tests.packet_frames import INDEX, LENGTHS, canonical, frame, reading

with warnings.catch_warnings():
    # twisted and autobahn, which the official client imports, use what newer Pythons deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kiteconnect import KiteTicker

SEGMENTS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 0)
MODES = {"ltp": 0, "quote": 1, "full": 2}
NOTHING = {name: schema.empty_ticks(1)[0][name] for name in schema.TICK.names or ()}
# _parse_binary uses nothing of the connection that the constructor would prepare.
oracle = KiteTicker.__new__(KiteTicker)


#: Every length with every segment that it suits.
KINDS = [
    (length, segment)
    for length in LENGTHS
    for segment in ((INDEX,) if length in (28, 32) else (*SEGMENTS, INDEX) if length == 8 else SEGMENTS)
]


def body(kind: tuple[int, int], number: int, words: bytes, ends: dict[int, int]) -> bytes:
    """A packet of that kind with these words as values, some of them replaced by an end of the range."""
    values = bytearray(words)
    for at, end in ends.items():
        values[4 * at : 4 * at + 4] = struct.pack(">I", end)
    return struct.pack(">I", number << 8 | kind[1]) + bytes(values[: kind[0] - 4])


bodies = st.builds(
    body,
    st.sampled_from(KINDS),
    st.integers(1, 2**24 - 1),
    st.binary(min_size=180, max_size=180),
    st.dictionaries(st.integers(0, 15), st.sampled_from((0, 1, 2**31, 2**32 - 1)), max_size=3),
)
frames = st.lists(bodies, max_size=8)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A frame that was cut, padded, or had bytes changed, inserted or removed."""
    payload = bytearray(frame(*draw(frames), announced=draw(st.none() | st.integers(0, 12))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(payload)))
        cut = draw(st.integers(0, 6))
        payload[at : at + cut] = draw(st.binary(max_size=6))
    return bytes(payload)


def seconds(naive: datetime | None) -> int:
    """Epoch seconds of the official client's naive local time, which only the same host can undo."""
    return int(naive.timestamp()) if naive is not None else 0


def expected_tick(d: dict) -> dict:
    """TICK values of one tick of the official client."""
    row = dict(NOTHING)
    row["mode"] = MODES[d["mode"]]
    row |= {name: d[name] for name in row if name in d and name != "mode"} | d.get("ohlc", {})
    for name in ("exchange_timestamp", "last_trade_time"):
        row[name] = seconds(d[name]) * 1_000_000_000 if name in d else 0
    return row


@settings(max_examples=5000, deadline=None)
@given(frames)
def test_every_field_equals_the_official_client(some: list[bytes]):
    compare_with_the_official_client(some)


@pytest.mark.timezones
@settings(max_examples=300, deadline=None)
@given(frames)
def test_times_are_those_of_the_official_client_wherever_the_machine_is(some: list[bytes]):
    compare_with_the_official_client(some)


def compare_with_the_official_client(some: list[bytes]) -> None:
    payload = frame(*some)
    theirs = oracle._parse_binary(payload)
    ours = packets.parse(payload)
    assert ours.refused == 0
    assert len(ours.ticks) == len(theirs) == len(some)
    for row, d in zip(ours.ticks, theirs, strict=True):
        for name, value in expected_tick(d).items():
            assert row[name] == value or (row[name] != row[name] and value != value), name
    books = [(d["instrument_token"], d["depth"]) for d in theirs if "depth" in d]
    assert ours.depth["instrument_token"].tolist() == [token for token, _ in books]
    for row, (_, book) in zip(ours.depth, books, strict=True):
        for side in ("buy", "sell"):
            for name in ("price", "quantity", "orders"):
                assert row[side][name].tolist() == [level[name] for level in book[side]]


@settings(max_examples=1000, deadline=None)
@given(frames)
def test_what_was_parsed_is_written_back_byte_for_byte(some: list[bytes]):
    batch = packets.parse(frame(*some))
    assert packets.encode(batch.ticks, batch.depth) == frame(*map(canonical, some))


@settings(max_examples=2500, deadline=None)
@given(damaged() | st.binary(max_size=400) | st.text(max_size=60).map(str.encode))
def test_no_tick_is_invented_and_no_refusal_hidden(payload: bytes):
    batch = packets.parse(payload)
    understood, refused = reading(payload)
    assert batch.refused == refused
    assert packets.encode(batch.ticks, batch.depth) == frame(*map(canonical, understood))
    for body in understood:
        assert body in payload


@settings(max_examples=500, deadline=None)
@given(frames, st.data())
def test_a_cut_frame_yields_the_beginning_of_the_whole_one(some: list[bytes], data: st.DataObject):
    payload = frame(*some)
    whole = packets.parse(payload)
    batch = packets.parse(payload[: data.draw(st.integers(2, len(payload)))])
    n, books = len(batch.ticks), len(batch.depth)
    assert n + batch.refused == len(some)
    assert batch.ticks.tobytes() == whole.ticks[:n].tobytes()
    assert batch.depth.tobytes() == whole.depth[:books].tobytes()


def test_prices_are_exactly_raw_over_divisor_over_the_whole_range():
    rng = np.random.default_rng(7)
    raw = np.concatenate([rng.integers(0, 2**32, 60_000), [0, 1, 2**32 - 1]])
    for segment, divisor in ((1, 100), (3, 10_000_000), (6, 10_000), (9, 100), (12, 10_000)):
        body = np.zeros((len(raw), 10), np.uint8)
        body[:, 1] = 8
        body[:, 2:6] = np.frombuffer(struct.pack(">I", 1 << 8 | segment), np.uint8)
        body[:, 6:] = raw.astype(">u4").view(np.uint8).reshape(-1, 4)
        payload = struct.pack(">H", len(raw)) + body.tobytes()
        batch = packets.parse(payload)
        assert batch.ticks["last_price"].tolist() == [r / divisor for r in raw.tolist()]
        assert packets.encode(batch.ticks) == payload
