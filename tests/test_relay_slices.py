"""With many viewers a beat is done in slices: nobody is left out, nobody is served twice, the loop has its turns."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.clock import ManualClock
from tapedeck.instruments import Instruments
from tapedeck.relay.frames import DELTA, SNAPSHOT
from tapedeck.relay.server import SLICE_S
from tests.relay_support import HELLO, Rumour, Stage, Viewer, price, texts


class BusyClock(ManualClock):
    """Every look at it takes a while: work without sleeping."""

    cost_s = 0.0

    def monotonic(self) -> float:
        self.advance(self.cost_s)
        return super().monotonic()


class Turns:
    """A loop whose turns the test gives."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def add_callback(self, callback: Any) -> None:
        self.waiting.append(callback)

    def turn(self) -> bool:
        """Run what waits; whether anything did."""
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()
        return bool(waiting)

    def finish(self) -> int:
        """Turns until nothing waits."""
        turns = 0
        while self.turn():
            turns += 1
        return turns


class SlicedStage(Stage):
    """A stage on which a slice holds about five viewers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.loop = Turns()
        clock = BusyClock(self.clock.now(), monotonic=self.clock.monotonic())
        self.clock = self.hub._clock = self.relay._clock = clock
        self.relay._loop = self.loop  # pyright: ignore

    def begin(self, cost_s: float = SLICE_S / 10) -> None:
        """The first slice of a beat."""
        self.clock.advance(0.1)
        self.hub.alive()
        self.clock.cost_s = cost_s
        self.relay.beat()

    def finish(self) -> int:
        """The other slices; how many."""
        turns = self.loop.finish()
        self.clock.cost_s = 0.0
        assert self.relay.stats["failed"] == 0
        return turns

    def beat(self, times: int = 1, *, alive: bool = True) -> None:
        for _ in range(times):
            self.begin()
            self.finish()


def crowd(stage: Stage, count: int = 40) -> list[Viewer]:
    viewers = [stage.viewer(HELLO) for _ in range(count)]
    stage.beat()
    for viewer in viewers:
        viewer.take()
    return viewers


def test_a_long_beat_gives_the_loop_its_turns_and_serves_everybody_once():
    stage = SlicedStage()
    viewers = crowd(stage)
    stage.publish(1.0, 2.0, 3.0)
    stage.begin()
    served = [viewer for viewer in viewers if viewer.messages]
    assert 0 < len(served) < 10
    assert len(stage.loop.waiting) == 1
    assert stage.finish() > 5
    for viewer in viewers:
        (frame,) = [one for one in viewer.frames() if one.kind == DELTA]
        assert frame.records["last_price"].tolist() == [1.0, 2.0, 3.0]
    assert stage.relay.stats["slices"] > 10
    assert stage.relay.stats["late_beats"] == 0


def test_without_a_loop_a_beat_is_done_when_it_returns():
    stage = SlicedStage()
    viewers = crowd(stage)
    stage.relay._loop = None
    stage.publish(1.0)
    stage.begin()
    assert all(price(viewer, 257) == 1.0 for viewer in viewers)


def test_everybody_is_among_the_first_as_often_as_the_others():
    stage = SlicedStage()
    viewers = crowd(stage)
    first: Counter[int] = Counter()
    for i in range(200):
        stage.publish(float(i))
        stage.begin()
        first.update(n for n, viewer in enumerate(viewers) if viewer.take())
        stage.finish()
        for viewer in viewers:
            viewer.take()
    assert len(first) == len(viewers)
    assert max(first.values()) < 2 * min(first.values())


def test_a_beat_that_comes_too_early_is_counted_and_loses_nothing():
    stage = SlicedStage()
    viewers = crowd(stage)
    stage.publish(1.0)
    stage.begin()
    stage.publish(2.0)
    stage.relay.beat()
    stage.relay.beat()
    assert stage.relay.stats["late_beats"] == 2
    stage.finish()
    assert {price(viewer, 257) for viewer in viewers} == {1.0}
    stage.beat()
    assert {price(viewer, 257) for viewer in viewers} == {2.0}


def test_a_rate_is_kept_when_beats_come_too_early():
    stage = SlicedStage()
    viewer = stage.viewer(HELLO.replace("10}", "1}"))
    crowd(stage)
    stage.beat(5)
    viewer.take()
    # The tenth beat, at which a rate of 1 is due, falls into the round of the ninth.
    stage.beat(2)
    stage.publish(5.0)
    stage.begin()
    stage.relay.beat()
    stage.finish()
    assert np.isnan(price(viewer, 257))
    stage.beat()
    assert price(viewer, 257) == 5.0


def test_who_leaves_joins_or_changes_its_mind_between_two_slices_gets_what_is_right():
    stage = SlicedStage()
    viewers = crowd(stage)
    stage.publish(1.0, 2.0, 3.0, 4.0)
    stage.begin()
    late = [viewer for viewer in viewers if not viewer.messages]
    leaver, changer, looker, talker = late[:4]
    stage.relay.leave(leaver.listener)
    changer.say('{"a": "hello", "v": ["NSE:S4"], "rate": 10}')
    looker.say('{"a": "focus", "v": ["NSE:S1"]}')
    talker.say('{"a": "snapshot"}')
    newcomer = stage.viewer(HELLO)
    stage.finish()
    assert leaver.messages == []
    assert changer.messages == []
    assert newcomer.messages == []
    assert [frame.kind for frame in talker.frames()] == [SNAPSHOT]
    stage.beat()
    assert changer.mirror.table["last_price"].tolist() == [4.0]
    assert price(looker, 257) == 1.0
    assert newcomer.mirror.table["last_price"].tolist() == [1.0, 2.0, 3.0]
    assert leaver.messages == []


def test_a_source_that_changes_between_two_slices_never_meets_the_old_one():
    stage = SlicedStage()
    viewers = crowd(stage)
    stage.publish(1.0, 2.0, 3.0)
    stage.begin()
    stage.hub.open_source("sim:7:2026-11-20", Instruments(stage.instruments[::-1]))
    stage.publish(4.0, 5.0, 6.0, 7.0, 8.0)
    viewers[20].say('{"a": "subscribe", "v": ["NSE:S5"]}')
    viewers[21].say('{"a": "hello", "v": ["NSE:S5"], "rate": 10}')
    stage.finish()
    for viewer in viewers:
        assert viewer.mirror.header is None or viewer.mirror.header.epoch == 1
        assert np.nanmax([0.0, *viewer.mirror.table["last_price"]]) <= 3.0
    stage.beat()
    for n, viewer in enumerate(viewers):
        assert viewer.mirror.header is not None
        assert viewer.mirror.header.epoch == 2
        want = {20: [4.0, 5.0, 6.0, 8.0], 21: [8.0]}.get(n, [4.0, 5.0, 6.0])
        assert viewer.mirror.table["last_price"].tolist() == want


def test_many_instruments_are_looked_up_and_welcomed_a_part_at_a_time():
    stage = SlicedStage(3000)
    viewer = stage.viewer(json.dumps({"a": "hello", "v": [one.key for one in stage.instruments], "rate": 10}))
    stage.begin(SLICE_S / 2)
    assert stage.finish() >= 10
    assert len(texts(viewer, "welcome")[0]["instruments"]) == 3000
    assert len(viewer.mirror.table) == 3000


def test_who_changes_its_mind_while_it_is_looked_up_gets_what_it_said_last():
    stage = SlicedStage(3000)
    viewer = stage.viewer(json.dumps({"a": "hello", "v": [one.key for one in stage.instruments], "rate": 10}))
    stage.begin(SLICE_S / 2)
    assert stage.loop.waiting
    viewer.say(HELLO)
    stage.finish()
    assert viewer.messages == []
    stage.beat()
    assert [one["key"] for one in texts(viewer, "welcome")[-1]["instruments"]] == ["NSE:S1", "NSE:S2", "NSE:S3"]


def test_frames_of_a_long_round_say_the_age_the_feed_has_when_they_are_sent():
    stage = SlicedStage()
    viewers = crowd(stage, 100)
    stage.begin()
    stage.clock.advance(0.5)
    stage.finish()
    ages = sorted({frame.feed_age_s for viewer in viewers for frame in viewer.frames()})
    assert ages == [] or ages[-1] > 0.5
    stage.publish(1.0)
    stage.begin()
    stage.clock.advance(0.5)
    stage.finish()
    headers = [viewer.mirror.header for viewer in viewers]
    ages = sorted({header.feed_age_s for header in headers if header is not None})
    assert ages[0] < 0.2
    assert ages[-1] > 0.5


def test_a_viewer_that_cannot_be_served_is_cut_off_and_the_others_go_on():
    stage = SlicedStage()
    viewers = crowd(stage)

    def refuse(messages: list) -> None:
        raise RuntimeError("a fault of ours")

    viewers[20].send = refuse
    stage.publish(1.0)
    stage.begin()
    stage.loop.finish()
    assert stage.relay.stats["failed"] == 1
    assert viewers[20].ended == "aborted"
    assert sum(price(viewer, 257) == 1.0 for viewer in viewers) == 39
    assert stage.relay.client_count == 39


def test_a_round_that_fails_does_not_stop_the_beats():
    stage = SlicedStage(topics={"overview": Rumour()})
    viewers = crowd(stage)

    def fail(number: int) -> int:
        raise RuntimeError("a fault of ours")

    good, stage.relay._board.refresh = stage.relay._board.refresh, fail
    with pytest.raises(RuntimeError):
        stage.begin()
    stage.relay._board.refresh = good
    stage.publish(1.0)
    stage.beat()
    assert {price(viewer, 257) for viewer in viewers} == {1.0}


def test_closing_between_two_slices_ends_the_round():
    stage = SlicedStage()
    viewers = crowd(stage)
    stage.publish(1.0)
    stage.begin()
    stage.relay.close()
    stage.finish()
    assert all(viewer.ended.startswith("1001") for viewer in viewers)
    assert sum(bool(viewer.messages) for viewer in viewers) < 10


@given(
    rounds=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["publish", "hello", "focus", "stick", "free", "turn", "beat", "source", "leave"]),
                st.integers(0, 14),
                st.sets(st.integers(1, 6), max_size=6),
            ),
            max_size=8,
        ),
        max_size=8,
    )
)
@settings(max_examples=100, deadline=None)
def test_whatever_happens_between_slices_everybody_ends_with_what_the_board_holds(rounds):
    stage = SlicedStage(6, drop_after_s=1e9)
    viewers = [stage.viewer(HELLO) for _ in range(15)]
    number = 0.0
    for steps in rounds:
        stage.begin()
        for step, who, keys in steps:
            viewer, number = viewers[who], number + 1
            names = [f"NSE:S{i}" for i in sorted(keys)]
            if step == "publish":
                stage.publish(number, number + 0.5, first=who % 5)
            elif step == "hello":
                viewer.say(json.dumps({"a": "hello", "v": names, "rate": 1 + who % 10}))
            elif step == "focus":
                viewer.say(json.dumps({"a": "focus", "v": names}))
            elif step in ("stick", "free"):
                viewer.stuck = step == "stick"
            elif step == "turn":
                stage.loop.turn()
            elif step == "beat":
                stage.relay.beat()
            elif step == "source":
                stage.hub.open_source(f"sim:{number}", Instruments(stage.instruments[:: 1 if who % 2 else -1]))
            else:
                stage.relay.leave(viewer.listener)
                viewers[who] = stage.viewer(HELLO)
            stage.clock.advance(1.0)
        stage.finish()
    for viewer in viewers:
        viewer.stuck = False
    stage.beat(12)
    board = stage.relay._board
    for viewer in viewers:
        held = board.take(viewer.listener.subscription.slots)
        want = {int(row["instrument_token"]): row.tobytes() for row in held}
        assert {int(row["instrument_token"]): row.tobytes() for row in viewer.mirror.table} == want
        assert viewer.mirror.header is not None
        assert viewer.mirror.header.epoch == stage.hub.epoch
