"""A feed without a socket, and a clock: events in, actions kept."""

from __future__ import annotations

import json
import random

import pytest

from tapedeck.feed import (
    Connect,
    Connected,
    Feed,
    FrameArrived,
    Send,
    Start,
    Timer,
)  # fmt: skip


class Bench:
    """A feed and what it answered, with a clock moved by hand."""

    def __init__(self, *, limit: int = 3000, seed: int = 7) -> None:
        self.feed = Feed(rng=random.Random(seed), limit=limit)
        self.now = 100.0
        self.actions: list = []

    def __call__(self, event, *, after: float = 0.0) -> list:
        self.now += after
        self.actions = self.feed.handle(event, self.now)
        return self.actions

    def of(self, kind) -> list:
        return [action for action in self.actions if isinstance(action, kind)]

    def texts(self) -> list:
        return [json.loads(action.text) for action in self.of(Send)]

    @property
    def state(self) -> str:
        return self.feed.status.state

    def live(self, *, token: str = "t1", in_session: bool = True) -> None:
        self(Start(token=token, in_session=in_session))
        self(Connected(token))
        self(FrameArrived())
        assert self.state == "LIVE"

    def waits(self, event) -> float:
        """Seconds the feed waits after a failure; the attempt that follows is started."""
        self(event)
        assert not self.of(Connect)
        retry_at = self.feed.status.retry_at
        assert retry_at is not None
        seconds = retry_at - self.now
        self.now = retry_at
        self(Timer())
        assert self.of(Connect)
        return seconds


@pytest.fixture
def bench() -> Bench:
    return Bench()
