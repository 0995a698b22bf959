"""How packets replace last values, and how many did not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tapedeck._hub_table import MAX_SLOTS
from tapedeck.clock import SECOND
from tapedeck.hub import Hub
from tapedeck.instruments import Instruments
from tapedeck.schema import DEPTH, MODE_LTP, MODE_QUOTE, Batch, empty_ticks
from tests.hub_support import ALL, FRIDAY, INFY, NIFTY, OPTION, SMALL, at, joined, marked, open_hub, tick

NOW = at(FRIDAY, "11:00")


@pytest.fixture
def hub() -> Hub:
    return open_hub(NOW)[0]


def last(hub: Hub, instrument=INFY) -> np.void:
    return hub.view(hub.slots([instrument.instrument_token])).ticks[0]


def test_the_newest_packet_is_the_last_value(hub):
    hub.publish(tick(INFY, 1400.0, NOW - SECOND))
    hub.publish(tick(INFY, 1401.0, NOW))
    assert last(hub)["last_price"] == 1401.0
    assert hub.head == 2


def test_an_older_packet_goes_into_the_ring_but_replaces_nothing(hub):
    hub.publish(tick(INFY, 1401.0, NOW))
    hub.publish(tick(INFY, 1400.0, NOW - 2 * SECOND))
    assert last(hub)["last_price"] == 1401.0
    assert hub.book["buy"]["price"][0][0] == 1401.0 - 0.05
    assert hub.counters["late"] == 1
    assert hub.since(0)[0]["last_price"].tolist() == [1401.0, 1400.0]


def test_an_older_packet_within_the_same_frame_replaces_nothing_either(hub):
    hub.publish(joined(tick(INFY, 1401.0, NOW), tick(INFY, 1400.0, NOW - 2 * SECOND), tick(SMALL, 10.0, NOW)))
    assert last(hub)["last_price"] == 1401.0
    assert last(hub, SMALL)["last_price"] == 10.0
    assert hub.counters["late"] == 1


def test_several_packets_of_one_instrument_in_a_frame_apply_in_order(hub):
    hub.publish(joined(*(tick(INFY, 1400.0 + i, NOW) for i in range(5)), tick(SMALL, 9.0, NOW)))
    assert last(hub)["last_price"] == 1404.0
    assert hub.book["buy"]["price"][0][0] == 1404.0 - 0.05


def test_a_repeated_packet_is_counted_and_changes_nothing(hub):
    hub.publish(tick(INFY, 1400.0, NOW))
    _, cursor = hub.changed(0)
    hub.publish(tick(INFY, 1400.0, NOW, received_at=NOW + 5))
    assert hub.counters["duplicates"] == 1
    assert hub.changed(cursor)[0].tolist() == []
    assert hub.head == 2


def test_a_repeated_packet_that_proves_the_value_on_a_new_connection_is_a_change(hub):
    hub.publish(tick(INFY, 1400.0, NOW))
    hub.connected()
    _, cursor = hub.changed(0)
    hub.publish(tick(INFY, 1400.0, NOW))
    assert hub.counters["duplicates"] == 1
    assert len(hub.changed(cursor)[0]) == 1


def test_a_packet_that_differs_in_its_book_alone_is_no_duplicate(hub):
    hub.publish(tick(INFY, 1400.0, NOW))
    again = tick(INFY, 1400.0, NOW)
    again.depth["sell"]["quantity"][0, 0] = 7
    _, cursor = hub.changed(0)
    hub.publish(again)
    assert hub.counters["duplicates"] == 0
    assert len(hub.changed(cursor)[0]) == 1
    assert hub.book["sell"]["quantity"][0][0] == 7


def test_a_narrower_packet_does_not_erase_what_it_does_not_carry(hub):
    hub.publish(tick(INFY, 1400.0, NOW, volume_traded=500, oi=7, close=1390.0, high=1410.0))
    hub.publish(tick(INFY, 1402.0, mode=MODE_QUOTE, volume_traded=600, close=1390.0, high=1411.0))
    row = last(hub)
    assert (row["last_price"], row["volume_traded"], row["high"]) == (1402.0, 600, 1411.0)
    assert (row["oi"], row["exchange_timestamp"]) == (7, NOW)
    hub.publish(tick(INFY, 1403.0, mode=MODE_LTP))
    row = last(hub)
    assert (row["last_price"], row["volume_traded"], row["oi"], row["close"]) == (1403.0, 600, 7, 1390.0)
    assert row["mode"] == MODE_LTP


def test_a_book_is_not_shown_once_packets_no_longer_carry_one(hub):
    hub.publish(tick(INFY, 1400.0, NOW))
    assert marked(hub, INFY)["depth"]["buy"][0]["quantity"] == 10
    hub.publish(tick(INFY, 1401.0, mode=MODE_QUOTE))
    row = marked(hub, INFY)
    assert row["fresh"]
    assert row["depth"] is None


def test_wider_fields_do_not_stay_live_for_ever_beside_a_narrower_price():
    hub, clock = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW, volume_traded=500, oi=7))
    clock.advance(6)
    hub.publish(tick(INFY, 1401.0, mode=MODE_LTP))
    row = marked(hub, INFY)
    assert row["last_price"] == 1401.0
    assert row["volume_traded"] is None
    assert row["oi"] is None


def test_books_belong_to_the_full_packets_of_tradable_instruments_in_order(hub):
    hub.publish(joined(tick(NIFTY, 26000.0, NOW), tick(INFY, 1400.0, NOW), tick(SMALL, 10.0, mode=MODE_LTP),
                       tick(OPTION, 55.0, NOW)))  # fmt: skip
    prices = {int(row["instrument_token"]): row["buy"]["price"][0] for row in hub.book}
    assert prices[INFY.instrument_token] == 1400.0 - 0.05
    assert prices[OPTION.instrument_token] == 55.0 - 0.05
    known = hub.view(hub.slots([i.instrument_token for i in (NIFTY, INFY, SMALL, OPTION)])).depth_known
    assert known.tolist() == [False, True, False, True]


def test_books_that_do_not_fit_their_packets_are_counted_and_not_used(hub):
    batch = tick(INFY, 1400.0, NOW)
    stray = np.zeros(2, DEPTH)
    hub.publish(Batch(batch.ticks, stray, 0))
    assert last(hub)["last_price"] == 1400.0
    assert not hub.view(np.array([0])).depth_known[0]
    assert hub.counters["stray_depth"] == 2


def test_a_packet_from_the_future_does_not_hold_back_those_after_it(hub):
    hub.publish(tick(INFY, 9999.0, at(FRIDAY, "15:00")))
    assert not marked(hub, INFY)["fresh"]
    assert hub.counters["ahead"] == 1
    hub.publish(tick(INFY, 1400.0, NOW))
    assert hub.quote("NSE:INFY")["last_price"] == 1400.0


def test_unknown_tokens_get_a_slot_until_the_table_is_full(hub):
    ticks = empty_ticks(MAX_SLOTS + 100)
    ticks["instrument_token"] = np.arange(len(ticks)) * 256 + 1
    hub.publish(Batch(ticks, np.zeros(0, DEPTH)))
    assert hub.size == MAX_SLOTS
    assert hub.counters["untracked"] == 100
    assert hub.slots([INFY.instrument_token])[0] in (*range(MAX_SLOTS), -1)


def test_refused_packets_and_empty_frames_are_counted(hub):
    hub.publish(Batch(np.zeros(0, empty_ticks().dtype), np.zeros(0, DEPTH), 3))
    assert hub.counters["refused"] == 3
    assert hub.counters["batches"] == 1
    assert hub.head == 0


def test_a_change_of_source_leaves_nothing_behind(hub):
    hub.publish(joined(tick(INFY, 1400.0, NOW), tick(SMALL, 10.0, NOW)))
    _, cursor = hub.join()
    hub.open_source("sim:7:2026-11-20", Instruments(ALL))
    assert hub.epoch == 2
    assert hub.size == 0
    assert len(hub.join()[0]) == 0
    assert marked(hub, INFY)["reason"] == "no heartbeat yet"
    assert marked(hub, INFY)["simulated"]
    rows, _, lost = hub.since(cursor)
    assert len(rows) == 0
    assert lost > 0, "a reader that had read everything must learn that the market is another"
    hub.publish(tick(INFY, 5.0, NOW))
    assert hub.since(cursor)[0]["last_price"].tolist() == [5.0]


def test_instruments_of_another_day_keep_the_values(hub):
    hub.publish(tick(INFY, 1400.0, NOW))
    hub.adopt_instruments(Instruments([INFY]))
    assert hub.quote("NSE:INFY")["last_price"] == 1400.0
    assert hub.epoch == 1


def test_a_token_that_means_another_contract_now_forgets_the_old_ones_numbers(hub):
    hub.publish(tick(INFY, 1400.0, NOW))
    hub.adopt_instruments(Instruments([replace(INFY, tradingsymbol="OTHER")]))
    row = marked(hub, replace(INFY, tradingsymbol="OTHER"))
    assert (row["last_price"], row["official_close"], row["reason"]) == (None, None, "no packet yet")
    assert len(hub.join()[0]) == 0


def test_a_connection_that_is_alive_but_mute_in_a_live_market_is_noticed():
    hub, clock = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW))
    clock.advance(20)
    hub.alive()
    assert hub.quiet() == 20
    assert hub.quote("NSE:INFY")["last_price"] == 1400.0, "a market may rightly stand still"
    clock.set(at(FRIDAY, "15:20"))
    hub.publish(tick(INFY, 1400.0, at(FRIDAY, "15:15")))
    clock.advance(20)
    assert hub.quiet() == 0, "in the closing auction nothing trades"
    hub.feed_status("STALE")
    assert hub.quiet() == 0


def test_arrays_handed_out_are_copies(hub):
    hub.publish(tick(INFY, 1400.0, NOW))
    snapshot, _ = hub.join()
    snapshot["last_price"] = 0
    hub.since(0)[0]["last_price"] = 0
    hub.last["last_price"] = 0
    hub.view(np.array([0])).ticks["last_price"] = 0
    assert last(hub)["last_price"] == 1400.0
    assert hub.since(0)[0]["last_price"].tolist() == [1400.0]


def test_the_hub_tells_what_it_refuses_to_be_asked(hub):
    with pytest.raises(ValueError, match="cursor was 5"):
        hub.since(5)
    with pytest.raises(ValueError, match="cursor was -1"):
        hub.changed(-1)
    with pytest.raises(ValueError, match="feed state was 'ALIVE'"):
        hub.feed_status("ALIVE")
    with pytest.raises(ValueError, match="stale was 'hide'"):
        hub.quote("NSE:INFY", stale="hide")
