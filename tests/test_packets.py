from __future__ import annotations

import array
import doctest
import struct
from pathlib import Path

import numpy as np
import pytest

from tapedeck import schema
from tapedeck.kite import packets
from tests.packet_frames import canonical, frame, golden_bodies, reading

GOLDEN = Path(__file__).parent / "data" / "mixed.packets"
SECOND = 1_000_000_000
NAN = np.nan
#: mode, token, prices (last, average, open, high, low, close), counts (last, volume, buy, sell, oi, high, low), times
EXPECTED = [
    (2, 408065, (1412.95, 1412.47, 1396.10, 1421.75, 1395.55, 1389.65), (5, 7360198, 2302, 1870000, 0, 0, 0),
     (1625461887, 1625461889)),
    (0, 408065, (1412.95, NAN, NAN, NAN, NAN, NAN), (-1,) * 7, (0, 0)),
    (1, 256265, (15717.25, NAN, 15702.40, 15762.20, 15693.40, 15722.70), (-1,) * 7, (0, 0)),
    (2, 260105, (35262.55, NAN, 35100.00, 35310.10, 35089.00, 35123.45), (-1,) * 7, (0, 1625461890)),
    (1, 738561, (42949672.95, 0.0, 0.09, 0.10, 0.11, 0.12), (1, 4294967295, 7, 8, -1, -1, -1), (0, 0)),
    (0, 65795, (74.4025, NAN, NAN, NAN, NAN, NAN), (-1,) * 7, (0, 0)),
    (0, 66054, (74.4025, NAN, NAN, NAN, NAN, NAN), (-1,) * 7, (0, 0)),
    (0, 66316, (74.4025, NAN, NAN, NAN, NAN, NAN), (-1,) * 7, (0, 0)),
]  # fmt: skip
PRICES = ["last_price", "average_traded_price", "open", "high", "low", "close"]
COUNTS = [
    "last_traded_quantity", "volume_traded", "total_buy_quantity", "total_sell_quantity",
    "oi", "oi_day_high", "oi_day_low",
]  # fmt: skip
ltp, index_quote, quote = (golden_bodies()[i] for i in (1, 2, 4))
full = golden_bodies()[0]


def tick(**values: float) -> np.ndarray:
    row = schema.empty_ticks(1)
    for name, value in ({"instrument_token": 408065, "mode": 2} | values).items():
        row[name] = value
    return row


def book(token: int = 408065) -> np.ndarray:
    rows = np.zeros(1, schema.DEPTH)
    rows["instrument_token"] = token
    return rows


def test_golden_file_is_what_struct_writes():
    assert GOLDEN.read_bytes() == frame(*golden_bodies())


def test_golden_frame_is_read_value_by_value():
    batch = packets.parse(GOLDEN.read_bytes(), 77)
    assert batch.refused == 0
    assert len(batch.ticks) == len(EXPECTED)
    for row, (mode, token, prices, counts, times) in zip(batch.ticks, EXPECTED, strict=True):
        assert (row["mode"], row["instrument_token"], row["received_at"]) == (mode, token, 77)
        np.testing.assert_array_equal([row[name] for name in PRICES], prices)
        assert tuple(row[name] for name in COUNTS) == counts
        assert (row["last_trade_time"], row["exchange_timestamp"]) == tuple(t * SECOND for t in times)


def test_golden_book_has_best_level_first_on_both_sides():
    depth = packets.parse(GOLDEN.read_bytes()).depth
    assert depth["instrument_token"].tolist() == [408065]
    assert depth["buy"]["price"].tolist() == [[1412.90, 1412.85, 1412.80, 1412.75, 1412.70]]
    assert depth["buy"]["quantity"].tolist() == [[9, 120, 55, 1, 4000]]
    assert depth["buy"]["orders"].tolist() == [[1, 4, 2, 1, 31]]
    assert depth["sell"]["price"].tolist() == [[1413.00, 1413.05, 1413.10, 0.0, 1413.20]]
    assert depth["sell"]["quantity"].tolist() == [[310, 25, 77, 0, 65535]]
    assert depth["sell"]["orders"].tolist() == [[6, 1, 3, 0, 65535]]


def test_golden_frame_is_written_back():
    batch = packets.parse(GOLDEN.read_bytes())
    assert packets.encode(batch.ticks, batch.depth) == frame(*map(canonical, golden_bodies()))


def test_the_kernel_divides_as_the_schema_says_in_all_256_segments():
    for segment in range(256):
        row = packets.parse(frame(struct.pack(">2I", 1 << 8 | segment, 123456789))).ticks
        divisor = schema.SEGMENT_DIVISOR.get(segment, schema.DEFAULT_DIVISOR)
        assert row["last_price"].tolist() == [123456789 / divisor], segment


@pytest.mark.parametrize("payload", [b"", b"\0", b"\xff", b"\0\0"])
def test_heartbeats_and_empty_frames_carry_nothing(payload: bytes):
    batch = packets.parse(payload)
    assert (len(batch.ticks), len(batch.depth), batch.refused) == (0, 0, 0)
    assert (batch.ticks.dtype, batch.depth.dtype) == (schema.TICK, schema.DEPTH)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0" * 4,
        ltp + b"\0",
        quote[:43],
        full + b"\0" * 12,
        struct.pack(">2I", 0, 5),
        struct.pack(">I", 408065) + index_quote[4:],
        struct.pack(">I", 408065) + index_quote[4:] + b"\0" * 4,
        struct.pack(">I", 256265) + quote[4:],
        struct.pack(">I", 256265) + full[4:],
    ],
    ids=[
        "nothing", "too short", "9 bytes", "43 bytes", "196 bytes", "token 0", "index quote of a share",
        "index full of a share", "quote of an index", "full of an index",
    ],
)  # fmt: skip
def test_an_impossible_packet_is_refused_and_its_neighbours_are_read(body: bytes):
    batch = packets.parse(frame(ltp, body, full))
    assert (batch.ticks["mode"].tolist(), len(batch.depth), batch.refused) == ([0, 2], 1, 1)


def test_an_announced_packet_that_is_missing_is_refused():
    batch = packets.parse(frame(ltp, full, announced=5))
    assert (len(batch.ticks), len(batch.depth), batch.refused) == (2, 1, 3)


def test_bytes_after_the_announced_packets_are_refused_once():
    batch = packets.parse(frame(ltp, full, quote, announced=2))
    assert (batch.ticks["mode"].tolist(), batch.refused) == ([0, 2], 1)
    assert packets.parse(b"\0\0\0").refused == 1


def test_nothing_after_a_refused_packet_is_believed_when_the_lengths_do_not_add_up():
    damaged = frame(ltp, b"\0" * 7, full, quote)
    assert packets.parse(damaged).ticks["mode"].tolist() == [0, 2, 1]
    for payload in (damaged + b"\0", damaged[:-1]):
        batch = packets.parse(payload)
        assert (batch.ticks["mode"].tolist(), len(batch.depth)) == ([0], 0)


def test_a_frame_cut_at_any_byte_yields_only_its_complete_packets():
    payload = GOLDEN.read_bytes()
    whole = packets.parse(payload)
    for end in range(2, len(payload)):
        batch = packets.parse(payload[:end])
        n = len(batch.ticks)
        assert n == len(reading(payload[:end])[0])
        assert batch.ticks.tobytes() == whole.ticks[:n].tobytes()
        assert batch.depth.tobytes() == whole.depth[: len(batch.depth)].tobytes()
        assert n + batch.refused == len(EXPECTED)


def test_every_kind_of_buffer_is_read_alike():
    payload = GOLDEN.read_bytes()
    spaced = bytes(byte for pair in zip(payload, payload, strict=True) for byte in pair)
    for same in (
        bytearray(payload), memoryview(payload), array.array("B", payload), np.frombuffer(payload, np.uint8),
        memoryview(spaced)[::2],
    ):  # fmt: skip
        assert packets.parse(same).ticks.tobytes() == packets.parse(payload).ticks.tobytes()
    assert packets.parse(memoryview(b"")).refused == 0


def test_a_parsed_batch_does_not_change_with_the_buffer_it_came_from():
    payload = bytearray(GOLDEN.read_bytes())
    batch = packets.parse(payload)
    payload[:] = bytes(len(payload))
    assert batch.ticks["last_price"][0] == 1412.95


def test_mode_and_segment_decide_the_packet_length():
    def length(token: int, mode: int) -> int:
        return struct.unpack_from(">H", packets.encode(tick(instrument_token=token, mode=mode)), 2)[0]

    assert [length(408065, mode) for mode in (0, 1, 2)] == [8, 44, 184]
    assert [length(256265, mode) for mode in (0, 1, 2)] == [8, 28, 32]


def test_absent_values_are_written_as_zero():
    assert packets.encode(tick()) == frame(struct.pack(">I", 408065) + bytes(180))
    empty_book = book()
    empty_book["buy"]["price"], empty_book["buy"]["quantity"], empty_book["buy"]["orders"] = NAN, -1, -1
    assert packets.encode(tick(), empty_book) == frame(struct.pack(">I", 408065) + bytes(180))


@pytest.mark.parametrize(
    ("token", "price", "raw"),
    [
        (408065, 0.125, 12), (408065, 0.375, 38), (408065, 1412.949999, 141295), (408065, 42949672.95, 2**32 - 1),
        (65795, 74.4025, 744025000), (66054, 74.4025, 744025), (66316, 74.4025, 744025), (408065, -0.004, 0),
    ],
)  # fmt: skip
def test_prices_are_rounded_half_to_even(token: int, price: float, raw: int):
    payload = packets.encode(tick(instrument_token=token, mode=0, last_price=price))
    assert struct.unpack(">HHII", payload) == (1, 8, token, raw)


def test_times_are_cut_to_whole_seconds():
    payload = packets.encode(tick(exchange_timestamp=1625461889_999_999_999))
    assert packets.parse(payload).ticks["exchange_timestamp"].tolist() == [1625461889 * SECOND]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"instrument_token": 0}, "instrument_token was 0"),
        ({"mode": 3}, r"mode was 3; allowed: 0 ltp, 1 quote, 2 full"),
        ({"last_price": -0.01}, r"last_price was -0.01; with divisor 100 a packet holds 0 to 42949672.95 rupees"),
        ({"last_price": np.inf}, "last_price was inf"),
        ({"last_price": 429.4967296, "instrument_token": 65795}, r"last_price was .* with divisor 10000000"),
        ({"low": 42949673.0}, "low was 42949673.0"),
        ({"volume_traded": 2**32}, "volume_traded was 4294967296; a packet holds 0 to 4294967295, and -1 as 0"),
        ({"oi": -2}, "oi was -2"),
        ({"last_trade_time": -1}, "last_trade_time was -1"),
        ({"exchange_timestamp": 2**32 * SECOND}, "exchange_timestamp was 4294967296000000000"),
        ({"instrument_token": 256265, "high": 1e9}, "high was 1000000000.0"),
    ],
)
def test_a_tick_that_no_packet_can_hold_is_named(values: dict[str, float], message: str):
    ticks = np.concatenate([tick(), tick(**values)])
    with pytest.raises(ValueError, match=r"ticks\[1\] .*" + message):
        packets.encode(ticks)


@pytest.mark.parametrize(
    ("side", "field", "value"),
    [("buy", "quantity", 2**32), ("sell", "price", -1.0), ("sell", "orders", 65536), ("buy", "orders", -2)],
)
def test_a_book_level_that_no_packet_can_hold_is_named(side: str, field: str, value: float):
    row = book()
    row[side][field][0, 3] = value
    with pytest.raises(ValueError, match=rf"ticks\[0\] .*{side}\[3\].{field} was {value}"):
        packets.encode(tick(), row)


def test_a_full_tick_without_its_book_row_gets_an_empty_book():
    ticks = np.concatenate([tick(), tick(instrument_token=256265), tick(instrument_token=738561)])
    row = book(738561)
    row["buy"]["quantity"] = 5
    batch = packets.parse(packets.encode(ticks, row))
    assert batch.depth["instrument_token"].tolist() == [408065, 738561]
    assert batch.depth["buy"]["quantity"].tolist() == [[0] * 5, [5] * 5]


def test_a_book_row_without_its_tick_is_an_error():
    with pytest.raises(ValueError, match=r"depth\[0\] \(token 738561\) belongs to no full tick"):
        packets.encode(tick(), book(738561))


def test_one_frame_holds_65535_packets_and_no_more():
    ticks = np.repeat(tick(mode=0), packets.MAX_PACKETS + 1)
    assert len(packets.parse(packets.encode(ticks[:-1])).ticks) == packets.MAX_PACKETS
    with pytest.raises(ValueError, match="65536 rows; one frame holds at most 65535"):
        packets.encode(ticks)


def test_rows_of_another_layout_are_an_error():
    with pytest.raises(ValueError, match=r"ticks was .*schema\.TICK"):
        packets.encode(np.zeros(3))
    with pytest.raises(ValueError, match=r"depth was .*schema\.DEPTH"):
        packets.encode(tick(), tick())


def test_read_only_strided_and_single_rows_are_written_alike():
    ticks = packets.parse(GOLDEN.read_bytes()).ticks
    spaced = np.repeat(ticks, 2)
    frozen = ticks.copy()
    frozen.flags.writeable = False
    assert packets.encode(spaced[::2]) == packets.encode(frozen) == packets.encode(ticks)
    assert packets.encode(ticks[1]) == packets.encode(ticks[1:2])
    assert packets.encode(ticks[:0]) == b"\0\0"


def test_both_kernels_are_compiled_for_one_kind_of_argument():
    test_every_kind_of_buffer_is_read_alike()
    test_read_only_strided_and_single_rows_are_written_alike()
    assert [len(kernel.signatures) for kernel in (packets.kernels.decode, packets.kernels.encode)] == [1, 1]


def test_the_documented_examples_are_true():
    outcome = doctest.testmod(packets)
    assert (outcome.attempted, outcome.failed) == (2, 0)
    page = (Path(__file__).parents[1] / "docs" / "wire.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(page.split("```python")[1].split("```")[0], names)
    assert names["batch"].ticks["last_price"].tolist() == [1412.95]
