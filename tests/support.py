"""Waiting for a condition instead of for time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from tapedeck.clock import SystemClock

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout: float = 30.0, every: float = 0.04) -> T:
    """First truthy value of `predicate`; AssertionError when there was none within `timeout` seconds."""
    clock = SystemClock()
    pause = threading.Event()
    deadline = clock.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if clock.monotonic() > deadline:
            raise AssertionError(f"not true within {timeout} s; last value was {value!r}")
        pause.wait(every)
