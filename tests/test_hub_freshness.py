"""Fresh or blank: what is shown as live, what is not, and the words that say why."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tapedeck.clock import MINUTE, SECOND, to_ist
from tapedeck.errors import StaleData, UnknownInstrument
from tapedeck.instruments import Instruments
from tapedeck.schema import MODE_LTP, MODE_QUOTE
from tests.hub_support import (
    ALL,
    FRIDAY,
    INFY,
    MONDAY,
    NIFTY,
    OPTION,
    SATURDAY,
    SMALL,
    THURSDAY,
    at,
    joined,
    marked,
    open_hub,
    tick,
)

pytestmark = pytest.mark.timezones
NOW = at(FRIDAY, "11:00")
NUMBERS = ("last_price", "average_traded_price", "open", "high", "low", "close", "last_traded_quantity",
           "volume_traded", "total_buy_quantity", "total_sell_quantity", "oi", "depth")  # fmt: skip


def assert_blank(row, reason: str) -> None:
    assert not row["fresh"]
    assert [row[name] for name in NUMBERS] == [None] * len(NUMBERS)
    assert row["reason"] == reason


def test_a_fresh_row_has_its_numbers_and_both_ages():
    hub, clock = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW, volume_traded=5, close=1390.0, last_trade_time=NOW - 600 * SECOND))
    clock.advance(2)
    row = hub.quote("NSE:INFY")
    assert row["fresh"]
    assert row["reason"] == ""
    assert (row["last_price"], row["volume_traded"], row["close"]) == (1400.0, 5, 1390.0)
    assert row["feed_age_s"] == 2.0
    assert row["last_trade_age_s"] == 602.0, "an illiquid strike is current though its last trade is old"
    assert row["exchange_timestamp"] == to_ist(NOW)
    assert (row["source"], row["simulated"]) == ("kite", False)
    assert row["official_close"] is None
    assert hub.quote(INFY.instrument_token)["last_price"] == 1400.0


def test_five_seconds_without_a_frame_blank_every_number_and_a_heartbeat_keeps_it():
    hub, clock = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW))
    clock.advance(4)
    hub.alive()
    clock.advance(5)
    assert marked(hub, INFY)["fresh"]
    clock.advance(1.5)
    assert_blank(marked(hub, INFY), "no heartbeat 6 s")
    with pytest.raises(StaleData, match="NSE:INFY has no live numbers: no heartbeat 6 s") as caught:
        hub.quote("NSE:INFY")
    assert caught.value.reason == "no heartbeat 6 s"
    hub.alive()
    assert marked(hub, INFY)["fresh"], "a quiet instrument on a healthy feed is current"


@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [
        ("LOGIN_REQUIRED", "", "login required"),
        ("LOGIN_REQUIRED", "token refused: log in again", "token refused: log in again"),
        ("STANDBY", "", "owner lost"),
        ("BACKOFF", "connection refused", "connection refused"),
        ("IDLE", "", "feed not started"),
        ("CONNECTING", "", "connecting"),
    ],
)
def test_a_feed_that_is_not_live_blanks_with_its_reason(state, reason, shown):
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW))
    hub.feed_status(state, reason)
    assert_blank(marked(hub, INFY), shown)


def test_a_stale_feed_says_how_long_it_is_silent():
    hub, clock = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW))
    clock.advance(7.9)
    hub.feed_status("STALE", "silent")
    assert_blank(marked(hub, INFY), "no heartbeat 7 s")


def test_nothing_is_live_before_the_first_packet():
    hub, _ = open_hub(NOW)
    assert_blank(marked(hub, INFY), "no packet yet")
    with pytest.raises(UnknownInstrument):
        hub.quote("NSE:INFI")
    with pytest.raises(UnknownInstrument):
        hub.quotes(["NSE:INFY", "NSE:NOPE"])


def test_quotes_mark_instead_of_raising_and_keep_the_order():
    hub, _ = open_hub(NOW)
    hub.publish(tick(SMALL, 10.0, NOW))
    assert [(row["key"], row["fresh"]) for row in hub.quotes(["NSE:INFY", "NSE:SMALLCAP"])] == [
        ("NSE:INFY", False),
        ("NSE:SMALLCAP", True),
    ]


# -- confirmation --------------------------------------------------------------------------------------------------


def test_the_cached_packet_of_an_earlier_day_is_dated_and_one_of_today_is_live():
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1399.0, at(THURSDAY, "15:29:30")))
    assert_blank(marked(hub, INFY), "not confirmed: last known value is of 19 Nov 15:29")
    hub.publish(tick(INFY, 1400.0, NOW - MINUTE))
    assert hub.quote("NSE:INFY")["last_price"] == 1400.0


def test_an_unconfirmed_value_is_given_as_the_dated_old_close_on_a_living_feed_only():
    hub, clock = open_hub(NOW)
    hub.publish(tick(INFY, 1399.0, at(THURSDAY, "15:29:30"), close=1390.0))
    row = marked(hub, INFY)
    assert (row["last_price"], row["official_close"], str(row["official_date"])) == (None, 1399.0, "2026-11-19")
    clock.advance(6)
    row = marked(hub, INFY)
    assert (row["last_price"], row["official_close"], row["official_date"]) == (None, None, None)


def test_a_day_without_a_trade_yet_has_no_open_high_low_or_average():
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1399.0, NOW, open=0.0, high=0.0, low=0.0, average_traded_price=0.0, volume_traded=0))
    row = hub.quote("NSE:INFY")
    assert [row[name] for name in ("open", "high", "low", "average_traded_price")] == [None] * 4
    assert (row["last_price"], row["volume_traded"]) == (1399.0, 0)


def test_a_fresh_price_of_an_earlier_day_is_called_untraded():
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1399.0, NOW, last_trade_time=at(THURSDAY, "15:29:30")))
    row = hub.quote("NSE:INFY")
    assert (row["fresh"], row["untraded"]) == (True, True)
    hub.publish(tick(INFY, 1400.0, NOW, last_trade_time=NOW))
    assert hub.quote("NSE:INFY")["untraded"] is False


@pytest.mark.parametrize(
    ("instrument", "stamp", "live"),
    [
        (INFY, "08:59:59", False),
        (INFY, "09:00:00", True),
        (OPTION, "09:14:59", False),
        (OPTION, "09:15:00", True),
        (NIFTY, "09:00:00", True),
    ],
)
def test_a_packet_confirms_from_the_first_second_of_its_own_session(instrument, stamp, live):
    hub, _ = open_hub(NOW)
    hub.publish(tick(instrument, 100.0, at(FRIDAY, stamp)))
    assert marked(hub, instrument)["fresh"] is live


def test_a_new_connection_has_proven_nothing_until_a_packet_of_today():
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW))
    hub.connected()
    assert_blank(marked(hub, INFY), "not confirmed: last known value is of 20 Nov 10:59")
    hub.publish(tick(INFY, 1400.0, NOW))
    assert marked(hub, INFY)["fresh"], "the cached packet carries a time of today's session"


def test_a_late_packet_of_today_proves_that_the_newer_value_is_subscribed():
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW))
    hub.connected()
    hub.publish(tick(INFY, 1390.0, NOW - MINUTE))
    assert hub.quote("NSE:INFY")["last_price"] == 1400.0


@pytest.mark.parametrize("mode", [MODE_LTP, MODE_QUOTE])
def test_without_times_the_first_packet_after_subscribing_is_the_cached_one(mode):
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1399.0, mode=mode))
    assert not marked(hub, INFY)["fresh"]
    hub.publish(tick(INFY, 1399.0, mode=mode))
    assert not marked(hub, INFY)["fresh"], "the same packet again is the cached one again"
    hub.publish(tick(INFY, 1400.0, mode=mode))
    assert hub.quote("NSE:INFY")["last_price"] == 1400.0
    hub.connected()
    hub.publish(tick(INFY, 1401.0, mode=mode))
    assert not marked(hub, INFY)["fresh"], "the first one of a new connection is a cached one as well"


def test_a_cached_full_packet_of_yesterday_ends_the_life_of_a_confirmed_price():
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1399.0, mode=MODE_LTP))
    hub.publish(tick(INFY, 1400.0, mode=MODE_LTP))
    assert marked(hub, INFY)["fresh"]
    hub.publish(tick(INFY, 1300.0, at(THURSDAY, "15:29")))
    assert_blank(marked(hub, INFY), "not confirmed: last known value is of 19 Nov 15:28")


def test_yesterdays_volume_never_stands_beside_todays_price():
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1399.0, at(THURSDAY, "15:29"), volume_traded=123, oi=9))
    hub.publish(tick(INFY, 1400.0, mode=MODE_LTP))
    row = hub.quote("NSE:INFY")
    assert row["last_price"] == 1400.0
    assert (row["volume_traded"], row["oi"], row["last_trade_time"]) == (None, None, None)


def test_a_full_packet_without_a_time_proves_nothing():
    hub, _ = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0))
    assert not marked(hub, INFY)["fresh"]


def test_a_packet_stamped_after_midnight_does_not_confirm_the_day_before():
    hub, _ = open_hub(at(FRIDAY, "23:59:30"))
    hub.publish(tick(INFY, 1400.0, at(SATURDAY, "00:00:10")))
    assert not hub.confirmed().any()


def test_what_is_no_longer_subscribed_is_no_longer_current():
    hub, _ = open_hub(NOW)
    hub.subscribed([INFY.instrument_token])
    hub.publish(tick(INFY, 1400.0, NOW))
    hub.subscribed([INFY.instrument_token])
    assert marked(hub, INFY)["fresh"], "a second listener changes nothing"
    hub.unsubscribed([INFY.instrument_token, 999])
    assert not marked(hub, INFY)["fresh"]
    hub.publish(tick(INFY, 1400.5, NOW))
    assert not marked(hub, INFY)["fresh"], "a packet that was still under way proves nothing for later"
    hub.subscribed([INFY.instrument_token])
    hub.publish(tick(INFY, 1401.0, NOW))
    assert marked(hub, INFY)["fresh"]


# -- over the night ------------------------------------------------------------------------------------------------


def heartbeats_until(hub, clock, moment: int) -> None:
    """The night passes: market time moves on, the socket stays up and its heartbeats arrive."""
    clock.set(moment)
    clock.advance(1, speed=0)
    hub.alive()


@pytest.mark.parametrize("mode", [MODE_LTP, MODE_QUOTE, 2])
@pytest.mark.parametrize(("evening", "morning"), [(THURSDAY, FRIDAY), (FRIDAY, MONDAY)])
def test_a_socket_that_stays_up_over_the_night_shows_nothing_of_yesterday_as_live(mode, evening, morning):
    hub, clock = open_hub(at(evening, "15:14"))
    hub.publish(joined(*(tick(i, 100.0, at(evening, "15:13") if mode == 2 else 0, mode=mode) for i in ALL)))
    hub.publish(joined(*(tick(i, 101.0, at(evening, "15:14") if mode == 2 else 0, mode=mode) for i in ALL)))
    assert all(marked(hub, i)["fresh"] for i in ALL)
    for hhmm in ("15:14:59", "15:15", "15:35", "16:30", "23:59:59"):
        heartbeats_until(hub, clock, at(evening, hhmm))
        assert all(row["last_price"] is None for row in hub.quotes([i.key for i in ALL]) if not row["held"])
    for hhmm in ("00:00", "08:59:59", "09:00", "09:07", "09:14:59", "09:15", "12:00"):
        heartbeats_until(hub, clock, at(morning, hhmm))
        rows = hub.quotes([i.key for i in ALL])
        assert not any(row["fresh"] for row in rows), hhmm
        assert all(row["last_price"] is None for row in rows), hhmm
        assert not hub.confirmed().any()
    heartbeats_until(hub, clock, at(morning, "12:01"))
    hub.publish(tick(INFY, 102.0, at(morning, "12:01") if mode == 2 else 0, mode=mode))
    assert [row["fresh"] for row in hub.quotes([i.key for i in ALL])] == [True, False, False, False]


@pytest.mark.parametrize("stamp", [0, 1])
def test_packets_before_the_session_do_not_confirm_the_morning(stamp):
    hub, clock = open_hub(at(THURSDAY, "15:00"))
    mode = 2 if stamp else MODE_QUOTE
    hub.publish(tick(INFY, 99.0, stamp and at(THURSDAY, "15:00"), mode=mode))
    hub.publish(tick(INFY, 100.0, stamp and at(THURSDAY, "15:00"), mode=mode))
    heartbeats_until(hub, clock, at(FRIDAY, "08:50"))
    # Kite sends a packet when it rolls `close` over in the morning: a change, but not one of this session.
    hub.publish(tick(INFY, 100.0, stamp and at(FRIDAY, "08:50"), mode=mode, close=100.0))
    heartbeats_until(hub, clock, at(FRIDAY, "09:00"))
    assert marked(hub, INFY)["phase"] == "PRE_OPEN"
    assert not marked(hub, INFY)["fresh"]
    hub.publish(tick(INFY, 101.0, stamp and at(FRIDAY, "09:00"), mode=mode))
    assert marked(hub, INFY)["fresh"]


def test_classes_change_overnight_with_the_day():
    future = OPTION.__class__(
        77777922, "NIFTY26DECFUT", "NFO", name="NIFTY", expiry=date(2026, 12, 29), instrument_type="FUT",
        segment="NFO-FUT", session_class="future",
    )  # fmt: skip
    hub, clock = open_hub(at(FRIDAY, "15:00"), instruments=[future])
    hub.publish(tick(future, 26000.0, at(FRIDAY, "15:00")))
    heartbeats_until(hub, clock, at(MONDAY, "09:16"))
    hub.publish(tick(future, 26010.0, at(MONDAY, "09:16")))
    assert hub.quote(future.key)["last_price"] == 26010.0


def test_a_market_clock_that_jumps_back_a_day_shows_nothing_as_live():
    hub, clock = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW))
    clock.set(at(THURSDAY, "11:00"))
    assert not marked(hub, INFY)["fresh"]
    hub.publish(tick(INFY, 1350.0, at(THURSDAY, "11:00")))
    assert hub.quote("NSE:INFY")["last_price"] == 1350.0


# -- outside the session -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instrument", "stamp", "traded", "asked", "official", "dated"),
    [
        # The uncrossing of the closing auction is the official close of a share with derivatives.
        (INFY, "15:32:10", "15:32:05", (FRIDAY, "15:40"), 1400.0, FRIDAY),
        (INFY, "15:52:00", "15:51:00", (FRIDAY, "17:00"), 1400.0, FRIDAY),
        (INFY, "15:32:10", "15:32:05", (SATURDAY, "12:00"), 1400.0, FRIDAY),
        # A trade at 15:14 is not: what is official is the close before.
        (INFY, "15:20:00", "15:14:58", (FRIDAY, "15:40"), 1390.0, THURSDAY),
        # The close of other shares is an average of the last half hour, which no trade shows.
        (SMALL, "15:29:59", "15:29:58", (FRIDAY, "15:40"), 1390.0, THURSDAY),
        (SMALL, "15:55:00", "15:54:58", (FRIDAY, "17:00"), 1400.0, FRIDAY),
        (OPTION, "15:39:59", "15:39:58", (FRIDAY, "15:45"), 1390.0, THURSDAY),
        (NIFTY, "15:33:00", "", (FRIDAY, "17:00"), 1400.0, FRIDAY),
        (NIFTY, "15:10:00", "", (FRIDAY, "17:00"), 1390.0, THURSDAY),
    ],
)
def test_outside_the_session_the_official_price_is_shown_with_its_date(
    instrument, stamp, traded, asked, official, dated
):
    hub, clock = open_hub(at(FRIDAY, "15:00"))
    clock.set(at(FRIDAY, stamp))
    last_trade = at(FRIDAY, traded) if traded else 0
    hub.publish(tick(instrument, 1400.0, at(FRIDAY, stamp), close=1390.0, last_trade_time=last_trade))
    clock.set(at(*asked))
    row = marked(hub, instrument)
    assert not row["held"]
    assert row["last_price"] is None
    assert (row["official_close"], row["official_date"]) == (official, dated)


def test_an_official_price_that_cannot_be_dated_is_not_shown():
    hub, clock = open_hub(at(FRIDAY, "15:00"))
    hub.publish(tick(INFY, 1400.0, mode=MODE_QUOTE, close=1390.0))
    clock.set(at(FRIDAY, "17:00"))
    row = marked(hub, INFY)
    assert (row["official_close"], row["official_date"]) == (None, None)


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (at(FRIDAY, "17:00"), "market closed"),
        (at(FRIDAY, "15:40"), "after the close"),
        (at(SATURDAY, "11:00"), "weekend"),
    ],
)
def test_the_reason_outside_the_session_names_the_phase(moment, reason):
    hub, _ = open_hub(moment)
    hub.publish(tick(INFY, 1400.0, at(FRIDAY, "15:32")))
    assert_blank(marked(hub, INFY), reason)
    with pytest.raises(StaleData):
        hub.quote("NSE:INFY")


def test_a_holiday_is_named():
    hub, _ = open_hub(at(date(2026, 11, 24), "11:00"))
    assert marked(hub, INFY)["reason"].startswith("holiday: ")


def test_in_the_closing_auction_an_index_that_stands_still_stays_live():
    hub, clock = open_hub(at(FRIDAY, "15:14"))
    hub.publish(tick(NIFTY, 26000.0, at(FRIDAY, "15:14")))
    for minute in range(15, 30):
        clock.set(at(FRIDAY, f"15:{minute}"))
        clock.advance(4, speed=0)
        hub.alive()
        assert hub.quote("NSE:NIFTY 50")["last_price"] == 26000.0


def test_a_token_without_a_calendar_is_kept_and_never_live():
    hub, _ = open_hub(NOW)
    hub.publish(tick(256 * 5 + 200, 7.0, NOW))
    assert hub.last["last_price"].tolist() == [7.0]
    assert [phase.covered for phase in hub.phases()[1]] == [False]
    assert not hub.confirmed().any()


def test_ages_use_real_time_whatever_the_market_clock_does():
    hub, clock = open_hub(NOW)
    hub.publish(tick(INFY, 1400.0, NOW))
    clock.advance(4, speed=60)
    assert hub.quote("NSE:INFY")["feed_age_s"] == 4.0
    assert np.isclose(hub.quote("NSE:INFY")["last_trade_age_s"], 241.0)


def test_a_hub_that_never_heard_a_frame_is_infinitely_old():
    hub, _ = open_hub(NOW)
    hub.open_source("sim:7:2026-11-20", Instruments(ALL))
    assert hub.age() == float("inf")
    assert marked(hub, INFY)["feed_age_s"] is None
