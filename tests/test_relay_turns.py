"""Viewers of one rate take turns: the work of a second is spread over its beats, and nobody gets less for it."""

from __future__ import annotations

import pytest

from tests.relay_support import HELLO, Stage, Viewer, texts


def beats_with_a_frame(stage: Stage, viewers: list[Viewer], beats: int) -> list[list[int]]:
    """For each viewer the beats in which it got a frame, while something changes before each."""
    got: list[list[int]] = [[] for _ in viewers]
    for beat in range(beats):
        stage.publish(float(beat), float(beat), float(beat))
        stage.beat()
        for mine, viewer in zip(got, viewers, strict=True):
            mine += [beat] * len(viewer.frames())
    return got


@pytest.mark.parametrize("rate", [2, 3, 4, 5, 7, 10])
def test_every_viewer_gets_its_rate_and_no_beat_serves_more_than_its_share(rate: int):
    stage = Stage()
    viewers = [stage.viewer(HELLO.replace("10}", f"{rate}}}")) for _ in range(20)]
    stage.beat(10)
    for viewer in viewers:
        viewer.take()
    got = beats_with_a_frame(stage, viewers, 50)
    assert {len(mine) for mine in got} == {5 * rate}
    assert {sum(mine.count(beat) for mine in got) for beat in range(50)} == {2 * rate}


def test_those_with_the_same_wishes_still_share_their_frames():
    stage = Stage()
    viewers = [stage.viewer(HELLO.replace("10}", "4}")) for _ in range(20)]
    stage.beat(10)
    before = stage.relay.stats["built"]
    beats_with_a_frame(stage, viewers, 50)
    assert stage.relay.stats["built"] - before <= 2 * 50


def test_what_is_no_news_travels_with_the_next_frame():
    stage = Stage()
    viewer = stage.viewer(HELLO.replace("10}", "2}"))
    stage.beat(10)
    sends, states = viewer.sends, len(texts(viewer, "state"))
    assert states
    for beat in range(50):
        stage.publish(float(beat))
        stage.beat()
    assert viewer.sends - sends == 10
    assert len(texts(viewer, "state")) >= 5


def test_news_for_all_comes_at_once_whoever_has_the_turn():
    stage = Stage()
    viewers = [stage.viewer(HELLO.replace("10}", "2}")) for _ in range(5)]
    stage.beat(10)
    for viewer in viewers:
        viewer.take()
    stage.hub.feed_status("STALE", "no heartbeat 6 s")
    stage.beat()
    assert [state["feed"]["state"] for viewer in viewers for state in texts(viewer, "state")] == ["STALE"] * 5
