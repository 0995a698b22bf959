"""What is asked for once stays subscribed for a while, and no longer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tapedeck import asked
from tapedeck.asked import KEEP_S, Asked
from tapedeck.clock import ManualClock
from tapedeck.errors import SubscriptionLimit


class Upstream:
    """Keeps what is subscribed; refuses when told to."""

    def __init__(self) -> None:
        self.tokens: set[int] = set()
        self.full = False

    def subscribe(self, listener: str, tokens: Sequence[int]) -> None:
        assert listener == "http"
        if self.full:
            raise SubscriptionLimit("full")
        self.tokens |= set(tokens)

    def release(self, listener: str, tokens: Sequence[int]) -> None:
        assert listener == "http"
        self.tokens -= set(tokens)


@pytest.fixture
def bench() -> tuple[Asked, Upstream, ManualClock]:
    upstream, clock = Upstream(), ManualClock()
    return Asked(upstream, clock), upstream, clock


def test_an_instrument_is_kept_for_a_minute_after_it_was_last_asked_for(bench):
    wishes, upstream, clock = bench
    wishes.ask([1, 2])
    clock.advance(KEEP_S)
    wishes.ask([2, 3])
    clock.advance(1)
    wishes.forget_unasked()
    assert upstream.tokens == {2, 3}
    clock.advance(KEEP_S)
    wishes.forget_unasked()
    assert upstream.tokens == set()


def test_the_longest_unasked_make_room(bench, monkeypatch):
    monkeypatch.setattr(asked, "MOST", 3)
    wishes, upstream, clock = bench
    for token in (1, 2, 3):
        wishes.ask([token])
        clock.advance(1)
    wishes.ask([1])
    wishes.ask([4])
    assert upstream.tokens == {1, 3, 4}


def test_what_was_refused_is_not_remembered(bench):
    wishes, upstream, _ = bench
    upstream.full = True
    with pytest.raises(SubscriptionLimit):
        wishes.ask([1])
    upstream.full = False
    wishes.ask([1])
    assert upstream.tokens == {1}
