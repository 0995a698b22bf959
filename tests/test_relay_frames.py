"""The stream's wire format: what is encoded is decoded, and garbage is refused with a reason."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.errors import FrameError
from tapedeck.feed import STATES
from tapedeck.relay.frames import (
    ACTIONS,
    CONFIRMED,
    DELTA,
    DEPTH_KNOWN,
    FIELDS,
    HEADER,
    HELD,
    MAX_ITEMS,
    RECORD,
    SNAPSHOT,
    Header,
    build_frame,
    empty_records,
    encode_records,
    parse_frame,
    parse_message,
)
from tapedeck.relay.mirror import Mirror
from tapedeck.schema import DEPTH, MODE_FULL, empty_ticks

numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=1e15)


def header(**given_fields) -> Header:
    return Header(**({"epoch": 3, "sequence": 17, "feed_state": "LIVE", "market_time_ms": 1.5e12, "feed_age_s": 0.25}
                     | given_fields))  # fmt: skip


def test_the_layout_is_the_documented_one():
    assert (HEADER.itemsize, RECORD.itemsize) == (64, 160)
    frame = build_frame(DELTA, empty_records(1), header(simulated=True, conflated=4))
    assert frame[:24] == b"TDK1" + struct.pack("<HHIIBBHI", 1, 1, 1, 160, 2, 1, 0, 0)
    assert struct.unpack_from("<5d", frame, 24) == (3, 17, 1.5e12, 0.25, 4)
    row = np.frombuffer(frame, HEADER, 1)[0]
    assert (row["epoch"], row["conflated"], row["feed_state"]) == (3, 4, STATES.index("LIVE"))


def test_what_is_absent_in_a_tick_is_nan_in_its_record():
    ticks = empty_ticks(2)
    ticks["instrument_token"], ticks["mode"] = [257, 513], MODE_FULL
    ticks["last_price"][0], ticks["volume_traded"][0], ticks["oi"][0] = 1400.5, 12, 0
    ticks["exchange_timestamp"][0] = 1_795_149_000_123_456_789
    depth = np.zeros(2, DEPTH)
    depth["buy"]["price"][:, 0], depth["buy"]["quantity"][:, 0] = 1400.0, 9
    records = encode_records(
        ticks, depth, confirmed=np.array([True, False]), depth_known=np.array([True, False]),
        phase=np.array([2, 0]), held=np.array([True, False]),
        official=(np.array([np.nan, 99.5]), np.array([np.nan, 20261119.0])),
    )  # fmt: skip
    first, second = records
    assert first["flags"] == CONFIRMED | HELD | DEPTH_KNOWN
    assert (first["last_price"], first["volume_traded"], first["oi"]) == (1400.5, 12, 0)
    assert (first["bid_price"], first["bid_quantity"]) == (1400.0, 9)
    assert math.isnan(first["ask_price"]), "an empty level is no offer at zero"
    assert first["exchange_timestamp_ms"] == pytest.approx(1_795_149_000_123.4568)
    assert second["flags"] == 0
    assert (second["official_close"], second["official_date"]) == (99.5, 20261119)
    absent = [name for name in FIELDS if not name.startswith("official")]
    assert all(math.isnan(second[name]) for name in absent)


@given(
    kind=st.sampled_from([DELTA, SNAPSHOT]),
    state=st.sampled_from(STATES),
    ages=st.one_of(numbers, st.just(math.inf)),
    sequence=st.integers(0, 2**50),
    rows=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 255), st.floats(width=64)), max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_a_frame_says_what_it_was_built_from(kind, state, ages, sequence, rows):
    records = empty_records(len(rows))
    for i, (token, flags, price) in enumerate(rows):
        records[i]["instrument_token"], records[i]["flags"], records[i]["last_price"] = token, flags, price
    frame = parse_frame(build_frame(kind, records, header(feed_state=state, feed_age_s=ages, sequence=sequence)))
    assert (frame.kind, frame.feed_state, frame.sequence, frame.epoch) == (kind, state, sequence, 3)
    assert frame.feed_age_s == ages
    assert frame.records.tobytes() == records.tobytes()


@given(data=st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_garbage_is_no_frame(data):
    with pytest.raises(FrameError):
        parse_frame(data)


@given(flips=st.lists(st.tuples(st.integers(0, 383), st.integers(0, 255)), min_size=1, max_size=6),
       cut=st.integers(0, 400))  # fmt: skip
@settings(max_examples=500, deadline=None)
def test_a_damaged_frame_is_refused_or_still_well_formed(flips, cut):
    data = bytearray(build_frame(DELTA, empty_records(2), header()))
    for place, value in flips:
        data[place] = value
    mirror = Mirror()
    try:
        frame = parse_frame(bytes(data[:cut]))
        mirror.apply(bytes(data[:cut]), 0.0)
    except FrameError:
        return
    assert len(frame.records) * 160 + 64 == cut
    assert math.isfinite(frame.epoch)


def test_a_message_is_read_once_and_in_order():
    said = parse_message('{"a": "hello", "v": ["NSE:INFY", 738561, "NSE:INFY"], "rate": 4.4}')
    assert said == ("hello", ("NSE:INFY", 738561), 4)
    assert parse_message('{"a": "pause"}').items == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("nonsense", "not JSON"),
        (b"\x00\x01", "binary"),
        ("[" * 50_000, "not JSON"),
        ("[1]", "a JSON list"),
        ("null", "a JSON null"),
        ("{}", "action was null; allowed: hello, subscribe"),
        ('{"a": "HELLO"}', 'action was "HELLO"'),
        ('{"a": ["hello"]}', 'action was ["hello"]'),
        ('{"a": "subscribe"}', "subscribe had no instruments"),
        ('{"a": "focus"}', "focus had no instruments; give them as 'v'"),
        ('{"a": "depth"}', "depth had no instruments"),
        ('{"a": "topics"}', "topics had no names"),
        ('{"a": "focus", "v": {"a": 1}}', "give a list"),
        ('{"a": "depth", "v": [1,2,3,4,5,6,7,8,9,10,11]}', "depth had 11 items; allowed: 10"),
        ('{"a": "topics", "v": [1.5]}', "v had 1.5"),
        ('{"a": "hello", "v": "NSE:INFY"}', "give a list"),
        ('{"a": "hello", "v": [1.5]}', "v had 1.5"),
        ('{"a": "hello", "v": [true]}', "v had true"),
        ('{"a": "hello", "v": [-1]}', "token -1"),
        ('{"a": "hello", "v": [4294967296]}', "token 4294967296"),
        ('{"a": "hello", "v": [""]}', "key of 0 characters"),
        (json.dumps({"a": "hello", "v": ["x" * 65]}), "key of 65 characters"),
        (json.dumps({"a": "hello", "v": list(range(MAX_ITEMS + 1))}), "v had 3001 instruments"),
        ('{"a": "hello", "rate": 0}', "rate was 0; allowed: 1 to 10"),
        ('{"a": "hello", "rate": NaN}', "rate was NaN"),
        ('{"a": "hello", "rate": "4"}', 'rate was "4"'),
        ('{"a": "' + "x" * 200_000 + '"}', "200009 characters"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused_with_the_reason(text, says):
    with pytest.raises(FrameError) as refused:
        parse_message(text)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(text=st.one_of(st.text(max_size=200), json_values.map(json.dumps)))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_message_or_refused(text):
    try:
        message = parse_message(text)
    except FrameError:
        return
    assert message.action in ACTIONS


@given(text=st.one_of(st.text(max_size=200), json_values.map(json.dumps)))
@settings(max_examples=300, deadline=None)
def test_a_client_refuses_texts_it_cannot_read_and_goes_on(text):
    mirror = Mirror()
    try:
        mirror.apply(text, 0.0)
    except FrameError:
        pass
    assert mirror.why_blank(0.0) == "connecting to the desk"
