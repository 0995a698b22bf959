"""What the HTTP interface keeps subscribed: each instrument for a while after it was last asked for.

State: when each token was last asked for, real seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from tapedeck.clock import Clock

#: How long an answer keeps its instruments subscribed after it was last asked for.
KEEP_S = 60.0
#: Instruments that may be kept subscribed at once; the longest unasked go first.
MOST = 1000
_LISTENER = "http"


class Upstream(Protocol):
    """Where instruments are subscribed."""

    def subscribe(self, listener: str, tokens: Sequence[int]) -> object: ...
    def release(self, listener: str, tokens: Sequence[int]) -> object: ...


class Asked:
    """The wishes of everybody who asks once, as one listener of the feed. Safe to use from several threads."""

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream, self._clock = upstream, clock
        self._at: dict[int, float] = {}
        self._lock = threading.Lock()

    def ask(self, tokens: Sequence[int]) -> None:
        """Subscribe the tokens for the next minute.

        Raises
        ------
        SubscriptionLimit
            If the connection would carry more than Kite allows; nothing changed then.
        """
        now = self._clock.monotonic()
        # Held through the calls: a release and a new wish for the same instrument must not pass each other.
        with self._lock:
            known = [token for token in tokens if token in self._at]
            self._at.update(dict.fromkeys(known, now))
            fresh = [token for token in tokens if token not in self._at]
            room = MOST - len(self._at) - len(fresh)
            self._drop(sorted(self._at, key=self._at.__getitem__)[: max(0, -room)])
            if fresh:
                self._upstream.subscribe(_LISTENER, fresh)
                self._at.update(dict.fromkeys(fresh, now))

    def forget_unasked(self) -> None:
        """Let go of what nobody has asked for lately."""
        now = self._clock.monotonic()
        with self._lock:
            self._drop([token for token, asked in self._at.items() if now - asked > KEEP_S])

    def _drop(self, tokens: list[int]) -> None:
        for token in tokens:
            del self._at[token]
        if tokens:
            self._upstream.release(_LISTENER, tokens)
