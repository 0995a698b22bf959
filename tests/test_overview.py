"""The market overview of a desk: what it is of, what it subscribes, and what its message says when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np
import pytest

from tapedeck.clock import SECOND
from tapedeck.index_members import nifty50
from tapedeck.instruments import Instruments
from tapedeck.relay.board import Board
from tapedeck.relay.overview import NO_SETTLEMENT, Overview, build_universe
from tapedeck.relay.server import Relay
from tapedeck.schema import Instrument
from tests.hub_support import FRIDAY, MONDAY, NIFTY, THURSDAY, at, joined, open_hub, tick
from tests.relay_support import Stage, Viewer, Wishes, texts

NOVEMBER, DECEMBER = date(2026, 11, 24), date(2026, 12, 29)
NAMES = ("AAA", "BBB", "CCC", "INFY")


def share(number: int, symbol: str, session_class: str = "cas") -> Instrument:
    return Instrument(256 * number + 1, symbol, "NSE", name=symbol, session_class=session_class, segment="NSE")


def future(number: int, symbol: str, expiry: date, exchange: str = "NFO") -> Instrument:
    return Instrument(
        256 * number + 2, f"{symbol}{expiry:%y%b}FUT".upper(), exchange, name=symbol, expiry=expiry,
        instrument_type="FUT", segment="NFO-FUT", session_class="future",
    )  # fmt: skip


SHARES = [share(n, symbol) for n, symbol in enumerate(NAMES, 1)]
NEAR = [future(n, symbol, NOVEMBER) for n, symbol in enumerate(NAMES, 11)]
FAR = [future(n, symbol, DECEMBER) for n, symbol in enumerate(NAMES, 21)]
TCS = share(31, "TCS", "other")  # a member of the index without derivatives
SMALL = share(32, "ZZZ", "other")
OF_INDEX = future(33, "NIFTY", NOVEMBER)
LISTED = [SMALL, *reversed(FAR), *NEAR, *reversed(SHARES), TCS, NIFTY, OF_INDEX]


class Scene:
    """A hub, a board and an overview that is asked when the test says so."""

    def __init__(self, now: int, instruments: Iterable[Instrument] = LISTED, *, limit: int = 3000) -> None:
        self.hub, self.clock = open_hub(now, instruments=instruments)
        self.wishes = Wishes(limit)
        self.previous: dict[int, float] = {}
        self.overview = Overview(self.hub, self.wishes, previous_oi=self._previous)
        self.board = Board(self.hub)
        self._number = 0
        self.overview.listen(True)

    def _previous(self, tokens: np.ndarray) -> np.ndarray:
        return np.array([self.previous.get(token, np.nan) for token in tokens.tolist()])

    def publish(
        self, instruments: Iterable[Instrument], prices: Iterable[float], stamp: int = 0, **fields: Any
    ) -> None:
        """Full packets of shares that were 100 the day before."""
        usual = {"close": 100.0, "volume_traded": 10, "average_traded_price": 100.0} | fields
        when = stamp or self.clock.now()
        batches = [tick(one, price, when, **usual) for one, price in zip(instruments, prices, strict=True)]
        self.hub.publish(joined(*batches))

    def text(self) -> str:
        self._number += 1
        self.board.follow_source()
        self.board.refresh(self._number)
        return self.overview.build(self.board)

    def say(self) -> dict[str, Any]:
        return json.loads(self.text())


@pytest.fixture
def scene() -> Scene:
    return Scene(at(FRIDAY, "11:00"))


def symbols(rows: list[dict[str, Any]]) -> list[str]:
    return [row["symbol"] for row in rows]


# -- what it is of -----------------------------------------------------------------------------------------------------


def test_the_universe_is_shares_with_a_future_their_nearest_futures_and_the_index(scene: Scene):
    universe = build_universe(Instruments(LISTED), FRIDAY)
    assert [one.tradingsymbol for one in universe.shares] == [*NAMES, "TCS"]
    assert universe.counted.tolist() == [True] * 4 + [False]
    assert universe.futures == NEAR
    assert len(universe.members) == 50
    assert sorted(universe.members)[-2:] == [3, 4]
    assert scene.wishes.held == {"overview": {one.instrument_token for one in [*SHARES, *NEAR, TCS]}}


def test_on_the_expiry_day_its_future_counts_and_on_the_next_day_the_following_one():
    assert build_universe(Instruments(LISTED), NOVEMBER).futures == NEAR
    assert build_universe(Instruments(LISTED), date(2026, 11, 25)).futures == FAR


def test_futures_of_another_exchange_or_of_nothing_that_is_listed_are_left_out():
    listed = [*SHARES, future(41, "AAA", NOVEMBER, "BFO"), future(42, "GONE", NOVEMBER), OF_INDEX]
    assert build_universe(Instruments(listed), FRIDAY).futures == []


def test_a_new_day_moves_on_to_the_next_future_by_itself(scene: Scene):
    scene.say()
    scene.clock.advance(5 * 24 * 3600.0)  # Wednesday, the day after the expiry
    scene.say()
    assert scene.wishes.held["overview"] == {one.instrument_token for one in [*SHARES, *FAR, TCS]}


def test_a_new_instrument_file_changes_universe_and_subscription(scene: Scene):
    assert scene.say()["universe"]["count"] == 4
    fresh = share(51, "ABB")
    scene.hub.adopt_instruments(Instruments([*SHARES[1:], fresh, *NEAR[1:]]))
    assert scene.say()["universe"]["count"] == 4
    assert scene.wishes.held["overview"] == {one.instrument_token for one in [*SHARES[1:], fresh, *NEAR[1:]]}


def test_another_source_starts_with_nothing(scene: Scene):
    scene.publish(SHARES, [101.0] * 4)
    assert scene.say()["universe"]["current"] == 4
    scene.hub.open_source("sim:7:2026-11-20", Instruments(LISTED))
    said = scene.say()
    assert (said["epoch"], said["universe"]["current"], said["breadth"]["unknown"]) == (2, 0, 4)


def test_numbers_of_the_old_source_are_not_said_with_the_new_ones_instruments(scene: Scene):
    scene.publish(SHARES, [101.0] * 4)
    scene.say()
    swapped = [share(61 + n, one.tradingsymbol) for n, one in enumerate(SHARES)]
    scene.hub.open_source("sim:7:2026-11-20", Instruments(swapped))
    said = json.loads(scene.overview.build(scene.board))  # the board has not begun the new epoch yet
    assert said["universe"]["current"] == 0


# -- what it subscribes ------------------------------------------------------------------------------------------------


def test_nothing_is_subscribed_while_nobody_listens():
    scene = Scene(at(FRIDAY, "11:00"))
    scene.overview.listen(False)
    assert scene.wishes.held == {}
    scene.say()
    assert scene.wishes.held == {}
    scene.overview.listen(True)
    assert len(scene.wishes.held["overview"]) == 9


def test_a_refused_subscription_is_said_and_asked_for_again():
    scene = Scene(at(FRIDAY, "11:00"), limit=5)
    scene.publish(SHARES[:1], [101.0])  # somebody else's
    said = scene.say()
    assert "5 instruments are all one connection may carry" in said["problem"]
    assert (said["universe"]["current"], symbols(said["gainers"])) == (1, ["AAA"])
    scene.wishes.limit = 3000
    assert scene.say()["problem"] == ""
    assert len(scene.wishes.held["overview"]) == 9
    scene.overview.listen(False)
    assert scene.wishes.held == {}


def test_before_the_instrument_file_is_there_the_message_says_so_and_then_subscribes():
    scene = Scene(at(FRIDAY, "11:00"), instruments=[])
    said = scene.say()
    assert said["problem"] == "no instruments: the day's file is not there yet"
    assert (said["universe"]["count"], said["gainers"], said["oi_known"]) == (0, [], 0)
    assert [one[1:] for one in said["heatmap"]] == [[None, None]] * 50
    scene.hub.adopt_instruments(Instruments(LISTED))
    assert scene.say()["problem"] == ""
    assert len(scene.wishes.held["overview"]) == 9


# -- what it says ------------------------------------------------------------------------------------------------------


def test_breadth_and_rankings_of_a_live_market(scene: Scene):
    scene.publish(SHARES, [103.0, 99.0, 100.0, 101.5])
    scene.publish([TCS], [150.0])
    said = scene.say()
    assert said["type"] == "overview"
    assert said["universe"] == {"name": "NSE shares with derivatives", "count": 4, "current": 4}
    assert (said["held"], said["date"], said["problem"]) == (True, None, "")
    assert said["breadth"] == {"advances": 2, "declines": 1, "unchanged": 1, "unknown": 0}
    assert symbols(said["gainers"]) == ["AAA", "INFY"]
    assert symbols(said["losers"]) == ["BBB"]
    assert said["gainers"][1] == {
        "key": "NSE:INFY", "symbol": "INFY", "last_price": 101.5, "percent": 1.5, "volume_traded": 10, "value": 1000,
        "oi": None, "oi_percent": None,
    }  # fmt: skip
    by_key = {key: (percent, last) for key, percent, last in said["heatmap"]}
    assert [key for key, *_ in said["heatmap"]] == [member.key for member in nifty50().members]
    assert by_key["NSE:INFY"] == (1.5, 101.5)
    assert by_key["NSE:TCS"] == (50.0, 150.0)  # in the picture, though not among what is counted
    assert by_key["NSE:RELIANCE"] == (None, None)


def test_the_most_active_are_ranked_by_value_and_ties_by_symbol(scene: Scene):
    scene.publish(SHARES[:3], [100.0] * 3)
    scene.publish(SHARES[3:], [100.0], volume_traded=11)
    assert symbols(scene.say()["active"]) == ["INFY", "AAA", "BBB", "CCC"]


def test_equal_input_gives_equal_text(scene: Scene):
    scene.publish(SHARES, [101.0] * 4)
    first = scene.text()
    assert symbols(json.loads(first)["gainers"]) == list(NAMES)
    scene.clock.advance(1.0)
    scene.hub.alive()
    assert scene.text() == first


def test_a_ranking_has_ten_rows_at_most():
    many = [share(n, f"S{n:02}") for n in range(1, 31)]
    scene = Scene(at(FRIDAY, "11:00"), instruments=many)
    scene.publish(many, [100.0 + n for n in range(-15, 15)])
    said = scene.say()
    assert symbols(said["gainers"]) == [f"S{n}" for n in range(30, 20, -1)]
    assert [len(said[name]) for name in ("losers", "active")] == [10, 10]


def test_build_up_counts_only_where_both_days_are_known(scene: Scene):
    scene.publish(NEAR, [101.0, 99.0, 101.0, 99.0], oi=1200)
    scene.previous = {NEAR[0].instrument_token: 1000.0, NEAR[1].instrument_token: 800.0}
    said = scene.say()
    assert said["oi_known"] == 2
    assert said["oi_universe"] == {"name": "their near-month futures", "count": 4, "current": 4}
    assert (said["oi_held"], said["oi_reason"]) == (True, "")
    assert {name: symbols(rows) for name, rows in said["oi"].items()} == {
        "long_buildup": ["AAA"], "short_buildup": ["BBB"], "short_covering": [], "long_unwinding": [],
    }  # fmt: skip
    row = said["oi"]["short_buildup"][0]
    assert (row["key"], row["oi"], row["oi_percent"], row["percent"]) == ("NFO:BBB26NOVFUT", 1200, 50.0, -1.0)


def test_nobody_knows_the_previous_open_interest_unless_told():
    hub, _clock = open_hub(at(FRIDAY, "11:00"), instruments=LISTED)
    overview, board = Overview(hub, Wishes()), Board(hub)
    overview.listen(True)
    hub.publish(tick(NEAR[0], 101.0, at(FRIDAY, "11:00"), close=100.0, oi=5))
    board.refresh(1)
    said = json.loads(overview.build(board))
    assert (said["oi_known"], said["oi_universe"]["current"]) == (0, 1)
    assert not any(said["oi"].values())


# -- fresh or blank ----------------------------------------------------------------------------------------------------


def test_a_silent_feed_blanks_everything_and_says_why(scene: Scene):
    scene.publish(SHARES, [101.0] * 4)
    scene.publish(NEAR, [101.0] * 4, oi=10)
    scene.previous = {one.instrument_token: 5.0 for one in NEAR}
    scene.clock.advance(6.0)
    said = scene.say()
    assert said["problem"] == "no heartbeat 6 s"
    assert (said["universe"]["current"], said["oi_universe"]["current"]) == (0, 0)
    assert said["breadth"]["unknown"] == 4
    assert said["gainers"] == said["active"] == said["oi"]["long_buildup"] == []
    scene.hub.alive()
    assert scene.say()["universe"]["current"] == 4


def test_a_new_connection_counts_nothing_until_each_is_confirmed_again(scene: Scene):
    scene.publish(SHARES, [101.0] * 4)
    scene.hub.connected()
    assert scene.say()["universe"]["current"] == 0
    scene.publish(SHARES[:1], [101.0])
    assert symbols(scene.say()["gainers"]) == ["AAA"]


def test_before_the_first_trade_of_the_day_nothing_is_up_or_down():
    scene = Scene(at(FRIDAY, "09:03"))
    scene.publish(SHARES, [101.0] * 4, last_trade_time=at(THURSDAY, "15:29"))
    said = scene.say()
    assert (said["held"], said["universe"]["current"], said["breadth"]["unknown"]) == (True, 4, 4)
    assert said["gainers"] == said["active"] == []


def test_between_half_past_three_and_twenty_to_four_shares_are_official_and_futures_live():
    scene = Scene(at(FRIDAY, "15:36"))
    auction, early = at(FRIDAY, "15:31"), at(FRIDAY, "15:14")
    scene.publish(SHARES[:3], [101.0, 99.0, 98.0], last_trade_time=auction)
    scene.publish(SHARES[3:], [150.0], last_trade_time=early)  # not traded in the auction: no official price of today
    scene.publish(NEAR, [102.0] * 4, oi=120)
    scene.previous = {one.instrument_token: 100.0 for one in NEAR}
    said = scene.say()
    assert (said["held"], said["date"], said["oi_held"]) == (False, 20261120, True)
    assert said["universe"]["current"] == 3
    assert symbols(said["gainers"]) == ["AAA"]
    assert symbols(said["losers"]) == ["CCC", "BBB"]
    assert symbols(said["oi"]["long_buildup"]) == list(NAMES)


def test_at_night_official_prices_are_said_with_their_day_even_while_the_feed_is_silent():
    scene = Scene(at(MONDAY, "07:00"))
    traded = at(FRIDAY, "15:31")
    scene.publish(SHARES, [101.0] * 4, traded + SECOND, last_trade_time=traded)
    scene.publish(NEAR, [102.0] * 4, at(FRIDAY, "15:39"), oi=120)
    scene.previous = {one.instrument_token: 100.0 for one in NEAR}
    scene.clock.advance(60.0)
    said = scene.say()
    assert (said["held"], said["date"], said["problem"]) == (False, 20261120, "")
    assert said["breadth"] == {"advances": 4, "declines": 0, "unchanged": 0, "unknown": 0}
    assert (said["oi_held"], said["oi_reason"]) == (False, NO_SETTLEMENT)
    assert not any(said["oi"].values())


def test_in_the_closing_auction_shares_are_live_still():
    scene = Scene(at(FRIDAY, "15:22"))
    scene.publish(SHARES, [101.0] * 4, last_trade_time=at(FRIDAY, "15:14"))
    said = scene.say()
    assert (said["held"], said["universe"]["current"]) == (True, 4)


# -- on the stream -----------------------------------------------------------------------------------------------------


def test_viewers_of_the_stream_share_one_subscription_and_one_text():
    stage = Stage(1)
    stage.hub.adopt_instruments(Instruments(LISTED))
    overview = Overview(stage.hub, stage.wishes)
    relay = Relay(stage.hub, stage.wishes, stage.clock, topics={"overview": overview})
    viewers = [Viewer(relay, stage.clock) for _ in range(3)]
    for viewer in viewers:
        viewer.say('{"a": "hello", "v": []}')
        viewer.say('{"a": "topics", "v": ["overview"]}')
    assert len(stage.wishes.held["overview"]) == 9
    stage.hub.publish(tick(SHARES[0], 101.0, stage.clock.now(), close=100.0))
    relay.beat()
    said = [texts(viewer, "overview") for viewer in viewers]
    assert symbols(said[0][0]["gainers"]) == ["AAA"]
    assert said[0] == said[1] == said[2]
    assert relay.stats["topics_built"] == 1
    for viewer in viewers:
        relay.leave(viewer.listener)
    assert "overview" not in stage.wishes.held
