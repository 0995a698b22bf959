"""What the browser may show: the rules of freshness as its own code has them, frame by frame."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from tests.fake_relay import CONFIRMED, DELTA, HEARTBEAT, HELD, PHASES, SNAPSHOT, FakeDesk, FakeRelay, make_instruments

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

PLAY = """async (script) => {
  const {Market, numbers} = await import("http://js.test/market.js")
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer
  const market = new Market(0)
  const seen = []
  for (const [at, what, value] of script) {
    if (what === "connected") market.connected = value
    else if (what === "welcome") market.welcome(value)
    else if (what === "state") market.state(value, at * 1000)
    else if (what === "gap") market.gap(at * 1000)
    else if (what === "frame") {
      const result = market.frame(bytes(value), at * 1000)
      const {changed, snapshot, restarted, lost} = result ?? {}
      seen.push(result ? {changed: changed.length, snapshot, restarted, lost} : "refused")
    } else if (what === "look") {
      const verdict = market.verdict(at * 1000)
      const view = market.view(value, verdict)
      const shown = numbers(market.byKey.get(value), view.mode)
      seen.push({state: verdict.state, reason: verdict.reason, mode: view.mode, why: view.reason,
                 last: shown.last_price ?? null, bid: shown.bid_price ?? null, high: shown.high ?? null,
                 change: Number.isFinite(shown.change) ? shown.change : null, untraded: shown.untraded ?? null})
    }
  }
  return seen
}"""  # fmt: skip


class Script:
    """A list of what happens when, and the answer of the browser's code to it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.relay = FakeRelay(FakeDesk(make_instruments(4)))
        self.keys = list(self.relay.desk.by_key)
        self.steps: list[list[Any]] = [[0, "connected", True], [0, "welcome", self.relay.welcome(self.keys)]]

    def frame(self, at: float, kind: int = HEARTBEAT, rows: np.ndarray | None = None, **header: Any) -> Script:
        for name, value in header.items():
            setattr(self.relay, name, value)
        records = self.relay.rows if rows is None and kind == SNAPSHOT else rows
        return self.add(at, "frame", base64.b64encode(self.relay.frame(kind, records)).decode())

    def add(self, at: float, what: str, value: Any = None) -> Script:
        self.steps.append([at, what, value])
        return self

    def look(self, at: float, key: str = "NSE:INFY") -> Script:
        return self.add(at, "look", key)

    def play(self) -> list[Any]:
        return self.page.evaluate(PLAY, self.steps)


@pytest.fixture
def script(javascript: Any) -> Script:
    return Script(javascript)


def test_a_number_is_live_then_late_then_blank_as_the_feed_ages(script: Script) -> None:
    script.frame(1, SNAPSHOT, feed_age=0.5)
    for at in (1.0, 3.4, 3.6, 5.4, 5.6, 60):
        script.look(at)
    _, *looks = script.play()
    assert [look["state"] for look in looks] == ["live", "live", "late", "late", "blank", "blank"]
    assert [look["last"] for look in looks] == [1525.0] * 4 + [None] * 2
    assert looks[4]["why"] == "no heartbeat 5 s"


def test_a_heartbeat_alone_keeps_a_quiet_market_live(script: Script) -> None:
    script.frame(1, SNAPSHOT)
    for at in range(2, 60):
        script.frame(at)
    assert script.look(59.5).play()[-1]["mode"] == "live"


def test_the_desk_heard_does_not_make_a_dead_feed_fresh(script: Script) -> None:
    script.frame(1, SNAPSHOT)
    for at in range(2, 9):
        script.frame(at, feed_age=float(at - 1))
    assert script.look(8).play()[-1] == {
        "state": "blank", "reason": "no heartbeat 7 s", "mode": "blank", "why": "no heartbeat 7 s", "last": None,
        "bid": None, "high": None, "change": None, "untraded": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("LOGIN_REQUIRED", "login required"),
        ("STALE", "feed silent"),
        ("BACKOFF", "feed lost, reconnecting"),
        ("CONNECTING", "connecting to the exchange"),
        ("STANDBY", "another desk owns the feed"),
        ("IDLE", "feed not started"),
    ],
)
def test_a_feed_that_is_not_live_blanks_at_once_and_says_why(script: Script, state: str, reason: str) -> None:
    script.frame(1, SNAPSHOT).frame(1.1, feed_state=state)
    look = script.look(1.1).play()[-1]
    assert (look["mode"], look["why"], look["last"]) == ("blank", reason, None)


def test_the_desks_own_reason_is_shown_when_it_gives_one(script: Script) -> None:
    script.frame(1, SNAPSHOT).frame(1.1, feed_state="BACKOFF")
    script.relay.reason = "exchange answered 503"
    assert script.add(1.2, "state", script.relay.state()).look(1.2).play()[-1]["why"] == "exchange answered 503"


def test_what_is_not_confirmed_shows_its_dated_close_alone_while_its_neighbour_is_live(script: Script) -> None:
    script.relay.rows["flags"][0] = HELD
    script.relay.rows["official_close"][0] = 1530.0
    script.frame(1, SNAPSHOT).look(1).look(1, "NSE:TCS")
    _, infy, tcs = script.play()
    assert (infy["mode"], infy["last"], infy["high"], tcs["mode"]) == ("closed", 1530.0, None, "live")
    assert infy["why"] == "not confirmed: last known value is of 23 Nov 09:59:59"


def test_what_is_not_confirmed_and_has_no_official_close_is_blank(script: Script) -> None:
    script.relay.rows["flags"][0] = HELD
    script.relay.rows["official_close"][0] = float("nan")
    infy = script.frame(1, SNAPSHOT).look(1).play()[-1]
    assert (infy["mode"], infy["last"]) == ("blank", None)
    assert infy["why"] == "not confirmed: last known value is of 23 Nov 09:59:59"


def test_before_the_first_trade_of_the_day_no_change_is_made_of_yesterdays_price(script: Script) -> None:
    script.relay.rows["last_trade_time_ms"][0] -= 24 * 3_600_000
    infy = script.frame(1, SNAPSHOT).look(1).play()[-1]
    assert (infy["mode"], infy["last"], infy["change"], infy["untraded"]) == ("live", 1525.0, None, True)
    tcs = Script(script.page).frame(1, SNAPSHOT).look(1, "NSE:TCS").play()[-1]
    assert tcs["untraded"] is None
    assert tcs["change"] is not None


def test_outside_the_session_only_the_official_price_is_shown(script: Script) -> None:
    script.relay.rows["flags"] = CONFIRMED
    script.relay.rows["phase"] = PHASES.index("CLOSED")
    script.relay.rows["official_close"][0] = 1530.0
    look = script.frame(1, SNAPSHOT).look(1).play()[-1]
    assert (look["mode"], look["last"], look["bid"]) == ("closed", 1530.0, None)
    assert look["high"] == pytest.approx(1525 * 1.005)


def test_the_days_range_is_not_shown_beside_an_official_price_of_another_day(script: Script) -> None:
    script.relay.rows["flags"] = CONFIRMED
    script.relay.rows["official_date"] = 20261120
    look = script.frame(1, SNAPSHOT).look(1).play()[-1]
    assert (look["mode"], look["high"]) == ("closed", None)


def test_an_official_price_outlives_the_feed_but_not_the_desk(script: Script) -> None:
    script.relay.rows["flags"] = CONFIRMED
    script.frame(1, SNAPSHOT).frame(2, feed_state="BACKOFF", feed_age=60.0).look(2).look(7.1)
    _, _, feed_gone, desk_gone = script.play()
    assert (feed_gone["mode"], desk_gone["mode"]) == ("closed", "blank")


def test_without_the_desk_everything_is_blank_and_the_page_says_so(script: Script) -> None:
    script.frame(1, SNAPSHOT).add(1.2, "connected", False).add(1.2, "gap").look(1.3).look(6.5)
    _, soon, later = script.play()
    assert (soon["mode"], later["mode"]) == ("live", "blank")
    assert later["why"] == "desk not reachable, retrying"


def test_a_page_that_has_never_heard_the_desk_is_loading_and_then_says_why(script: Script) -> None:
    script.steps = [[0, "connected", False]]
    loading, blank = script.look(1).look(5.5).play()
    assert (loading["mode"], blank["mode"], blank["why"]) == ("loading", "blank", "desk not reachable, retrying")


def test_what_may_have_been_missed_ages_until_a_snapshot_comes(script: Script) -> None:
    script.frame(1, SNAPSHOT).add(2, "gap")
    for at in range(2, 12):
        script.frame(at)
    script.look(6).look(8).frame(12, SNAPSHOT).look(12)
    *_, late, blank, _, live = script.play()
    assert (late["mode"], blank["mode"], live["mode"]) == ("late", "blank", "live")


def test_a_new_epoch_empties_everything(script: Script) -> None:
    script.frame(1, SNAPSHOT).frame(2, epoch=2.0).look(2)
    *_, heartbeat, look = script.play()
    assert heartbeat == {"changed": 0, "snapshot": False, "restarted": True, "lost": True}
    assert (look["mode"], look["last"]) == ("blank", None)


def test_a_sequence_that_goes_back_empties_everything(script: Script) -> None:
    script.frame(1, SNAPSHOT, sequence=50.0).frame(2, sequence=3.0).look(2)
    assert script.play()[-1]["mode"] == "blank"


def test_changes_before_the_first_snapshot_are_not_shown(script: Script) -> None:
    script.frame(1, DELTA, script.relay.rows).look(1)
    frame, look = script.play()
    assert frame == {"changed": 0, "snapshot": False, "restarted": False, "lost": True}
    assert look["last"] is None


def test_what_a_snapshot_leaves_out_is_gone(script: Script) -> None:
    script.frame(1, SNAPSHOT).frame(2, SNAPSHOT, script.relay.rows[1:]).look(2)
    look = script.play()[-1]
    assert (look["mode"], look["why"]) == ("blank", "waiting for the first tick")


@pytest.mark.parametrize("spoil", ["magic", "short", "empty", "size", "version"])
def test_a_frame_that_cannot_be_read_is_counted_and_changes_nothing(script: Script, spoil: str) -> None:
    frame = bytearray(script.relay.frame(SNAPSHOT, script.relay.rows))
    if spoil == "magic":
        frame[0] = 0
    elif spoil == "version":
        frame[4] = 2
    elif spoil == "size":
        frame[12] = 161
    broken = bytes(frame[:100] if spoil == "short" else b"" if spoil == "empty" else frame)
    script.frame(1, SNAPSHOT).add(1.5, "frame", base64.b64encode(broken).decode()).look(1.5)
    _, result, look = script.play()
    assert result == "refused"
    expected = ("blank", "the desk was updated: reload the page") if spoil == "version" else ("live", "")
    assert (look["mode"], look["why"]) == expected


def test_market_time_runs_on_between_frames_at_the_speed_it_has_shown(javascript: Any) -> None:
    relay = FakeRelay(FakeDesk(make_instruments(1)))
    frames = []
    for second in range(4):
        relay.market_ms += 60_000 if second else 0
        frames.append([second * 1000, base64.b64encode(relay.frame(SNAPSHOT, relay.rows)).decode()])
    ahead = javascript.evaluate(
        """async (frames) => {
          const {Market} = await import("http://js.test/market.js")
          const market = new Market(0)
          for (const [at, frame] of frames) {
            market.frame(Uint8Array.from(atob(frame), (c) => c.charCodeAt(0)).buffer, at)
          }
          return [market.marketNow(3500) - market.marketMs, market.marketNow(9000)]
        }""",
        frames,
    )
    assert ahead[0] == 30_000
    assert np.isnan(ahead[1])
