"""How busy this process is.

State: CPU and real time at the last mark, and what was found between it and the one before.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

from tapedeck.clock import Clock

PERIOD_S = 1.0


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class CpuMeter:
    """CPU of this process, all its threads together, measured over at least a second."""

    def __init__(self, clock: Clock, used_s: Callable[[], float] = _used_s) -> None:
        self._clock, self._used_s = clock, used_s
        self._at, self._used = clock.monotonic(), used_s()
        self._pct = 0.0

    def pct(self) -> float:
        """Per cent of one core since about a second ago; 0 in the first second."""
        now = self._clock.monotonic()
        if now - self._at >= PERIOD_S:
            used = self._used_s()
            self._pct = round(100 * (used - self._used) / (now - self._at), 1)
            self._at, self._used = now, used
        return self._pct
