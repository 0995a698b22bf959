"""What a desk remembers of its feed: its changes, and since when somebody wants numbers of it.

State of a `FeedLog`: the newest changes, and the moment at which the first of those who now want numbers came.
"""

from __future__ import annotations

from collections import deque

from tapedeck.feed_events import FeedStatus

#: Changes that are remembered.
KEPT = 200


class FeedLog:
    """Told every status of the feed, on whichever thread; asked from any."""

    def __init__(self) -> None:
        self._changes: deque[tuple[int, str, str]] = deque(maxlen=KEPT)
        self._wanted_at: float | None = None

    def note(self, status: FeedStatus, *, now: int, monotonic: float) -> None:
        """Take a status in; `now` is market time in UTC ns. A night of retries is two lines, not two per attempt."""
        if not status.subscribed:
            self._wanted_at = None
        elif self._wanted_at is None:
            self._wanted_at = monotonic
        news, before = (status.state, status.reason), [one[1:] for one in list(self._changes)[-2:]]
        retrying = all(state in ("CONNECTING", "BACKOFF") for state, _ in before)
        if news not in (before if retrying else before[-1:]):
            self._changes.append((now, *news))

    def newest_first(self) -> list[tuple[int, str, str]]:
        """The last 200 changes: market time in UTC ns, state, reason."""
        return list(self._changes)[::-1]

    def wanted_for(self, monotonic: float) -> float:
        """Seconds since somebody began to want numbers; 0 while nobody does, since nothing can be missed then."""
        since = self._wanted_at
        return 0.0 if since is None else max(0.0, monotonic - since)
