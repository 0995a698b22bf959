"""What all handlers of the simulated exchange share, and its rate limits.

State: the times of each API key's recent requests.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapedeck.sim.clock import LoopClock
from tapedeck.sim.faults import Faults
from tapedeck.sim.log import ConnectionLog
from tapedeck.sim.login import Account
from tapedeck.sim.today import Today, Workers

if TYPE_CHECKING:
    from tapedeck.clock import Clock
    from tapedeck.sim.market import Market
    from tapedeck.sim.stream import Streamer

#: Requests a second and API key, by class of endpoint.
RATE_LIMITS = {"quote": 1, "historical": 3, "other": 10}
#: Callers remembered by the rate limiter; beyond it all are forgotten, which only lets more through.
MAX_CALLERS = 1000


class RateLimits:
    """Counts requests in sliding seconds of real time."""

    def __init__(self, clock: Clock, limits: dict[str, int] | None = None) -> None:
        self._clock = clock
        self._limits = RATE_LIMITS if limits is None else limits
        self._recent: dict[tuple[str, str], deque[float]] = {}

    def allow(self, caller: str, kind: str) -> bool:
        """Whether this request may pass; one that may not is not counted."""
        limit = self._limits.get(kind)
        if limit is None:
            return True
        if len(self._recent) >= MAX_CALLERS:
            self._recent.clear()
        recent = self._recent.setdefault((caller, kind), deque(maxlen=limit))
        now = self._clock.monotonic()
        if len(recent) == limit and now - recent[0] < 1.0:
            return False
        recent.append(now)
        return True


@dataclass(slots=True)
class Exchange:
    """The parts of one running simulated exchange."""

    market: Market
    clock: LoopClock
    account: Account
    today: Today
    workers: Workers
    faults: Faults
    limits: RateLimits
    log: ConnectionLog
    streamer: Streamer
