"""How often Kite may be asked: one quota for everything that asks with one API key.

State per kind of request: the times of the last minute's, who waits in which order, until when Kite's own
refusal holds the kind back, and counters.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tapedeck.clock import Clock
from tapedeck.errors import RateLimited

#: Requests a second and API key (docs of 2026-07-14). Orders have limits of their own; this desk places none.
LIMITS: Mapping[str, int] = {"quote": 1, "historical": 3, "other": 10}
#: Longer than Kite's second: two requests a second apart here may arrive closer together there.
WINDOW_S = 1.05
MINUTE_S = 60.0
#: Who may wait per kind; whoever comes then is turned away.
MOST_WAITING = 16
#: Nobody waits longer, so that nothing that asks is held for good.
PATIENCE_S = 15.0
#: How long a 429 holds its kind back when Kite does not say; doubled when the next one follows within a minute.
HOLD_S, LONGEST_HOLD_S = 2.0, 60.0


def _wait(turn: threading.Condition, seconds: float) -> None:
    turn.wait(seconds)


@dataclass(slots=True)
class _Lane:
    limit: int
    waiting: deque[object] = field(default_factory=deque)
    #: When each request of the last minute was let go, monotonic seconds.
    times: deque[float] = field(default_factory=deque)
    held_until: float = float("-inf")
    hold_s: float = 0.0
    total: int = 0
    waited: int = 0
    waited_s: float = 0.0
    turned_away: int = 0
    refusals: int = 0

    def free_at(self) -> float:
        """The first moment at which one more request is within the limit."""
        full = self.times[-self.limit] + WINDOW_S if len(self.times) >= self.limit else float("-inf")
        return max(full, self.held_until)

    def forget(self, now: float) -> None:
        while self.times and self.times[0] <= now - MINUTE_S:
            self.times.popleft()


class Quota:
    """The requests of one API key, let go one by one in the order they came; safe for any number of threads.

    `quota(kind)` returns when a request of that kind may be sent. `wait(turn, seconds)` waits on a held
    `threading.Condition`, at most that long.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        limits: Mapping[str, int] = LIMITS,
        most_waiting: int = MOST_WAITING,
        patience_s: float = PATIENCE_S,
        wait: Callable[[threading.Condition, float], object] = _wait,
    ) -> None:
        self._clock = clock
        self._most_waiting, self._patience_s, self._wait = most_waiting, patience_s, wait
        self._lanes = {kind: _Lane(limit) for kind, limit in limits.items()}
        self._turn = threading.Condition()
        self._closed = False

    def __call__(self, kind: str) -> None:
        """Wait until a request of this kind may be sent, and count it.

        Raises
        ------
        RateLimited
            If too many wait already, if it would have to wait too long, or if the quota was closed.
        """
        lane = self._lane(kind)
        ticket = object()
        with self._turn:
            came = self._clock.monotonic()
            self._admit(kind, lane, came)
            lane.waiting.append(ticket)
            try:
                had_to, now = self._stand(kind, lane, ticket, came)
                lane.times.append(now)
                lane.total += 1
                if had_to:
                    lane.waited += 1
                    lane.waited_s += now - came
            finally:
                lane.waiting.remove(ticket)
                self._turn.notify_all()

    def refused(self, kind: str, retry_after: float = 0.0) -> None:
        """Kite answered 429: hold this kind back, `retry_after` seconds where Kite said how long."""
        lane = self._lane(kind)
        with self._turn:
            now = self._clock.monotonic()
            lane.refusals += 1
            again = now - lane.held_until < MINUTE_S
            # What was on its way together is refused together: that is one refusal, not a reason to wait longer.
            if not again or now >= lane.held_until:
                lane.hold_s = min(lane.hold_s * 2, LONGEST_HOLD_S) if again else HOLD_S
            hold = min(retry_after, LONGEST_HOLD_S) if retry_after > 0 else lane.hold_s
            lane.held_until = max(lane.held_until, now + hold)
            self._turn.notify_all()

    def close(self) -> None:
        """Turn away whoever waits and whoever still comes."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def describe(self) -> dict[str, dict[str, Any]]:
        """Per kind: the limit a second, requests of the last second and minute, who waits, and what has been."""
        with self._turn:
            now = self._clock.monotonic()
            return {kind: self._lane_now(lane, now) for kind, lane in self._lanes.items()}

    def _lane_now(self, lane: _Lane, now: float) -> dict[str, Any]:
        lane.forget(now)
        return {
            "limit_per_s": lane.limit,
            "last_second": sum(at > now - 1.0 for at in lane.times),
            "last_minute": len(lane.times),
            "waiting": len(lane.waiting),
            "held_s": round(max(0.0, lane.held_until - now), 1),
            "total": lane.total,
            "waited": lane.waited,
            "waited_s": round(lane.waited_s, 1),
            "turned_away": lane.turned_away,
            "refusals": lane.refusals,
        }

    def _lane(self, kind: str) -> _Lane:
        try:
            return self._lanes[kind]
        except KeyError:
            raise ValueError(f"kind was {kind!r}; allowed: {', '.join(self._lanes)}") from None

    def _admit(self, kind: str, lane: _Lane, now: float) -> None:
        """Turn away at once who would wait in vain."""
        lane.forget(now)
        if self._closed:
            self._turn_away(lane, f"{kind} requests are not sent any more: the desk closes")
        if len(lane.waiting) >= self._most_waiting:
            self._turn_away(lane, f"{len(lane.waiting)} {kind} requests wait already; allowed: {self._most_waiting}")
        ahead = len(lane.waiting) // lane.limit * WINDOW_S
        self._patient(kind, lane, max(0.0, lane.free_at() - now) + ahead)

    def _stand(self, kind: str, lane: _Lane, ticket: object, came: float) -> tuple[bool, float]:
        """Wait for the ticket's turn; whether it had to wait, and when its turn came."""
        waited = False
        while True:
            now = self._clock.monotonic()
            pause = lane.free_at() - now
            first = lane.waiting[0] is ticket
            if first and pause <= 0:
                return waited, now
            if self._closed:
                self._turn_away(lane, f"{kind} requests are not sent any more: the desk closes")
            self._patient(kind, lane, now - came + (max(pause, 0.0) if first else 0.0))
            # Whoever is first wakes the next one; a second is only in case that it cannot.
            waited = True
            self._wait(self._turn, pause if first else max(pause, 1.0))

    def _patient(self, kind: str, lane: _Lane, seconds: float) -> None:
        if seconds > self._patience_s:
            held = lane.held_until - self._clock.monotonic()
            why = f"Kite refused some and they are held back for {held:.0f} s" if held > 0 else f"{lane.limit} a second"
            self._turn_away(lane, f"{kind} requests have to wait longer than {self._patience_s:g} s ({why})")

    def _turn_away(self, lane: _Lane, why: str) -> None:
        lane.turned_away += 1
        raise RateLimited(f"{why}; try again later")
