"""The connection and subscription state machine of the one upstream feed: events in, actions out, no IO.

State of a `Feed`:

- whether it runs, stands by, and which token (as a fingerprint, never itself) it has and which was refused
- the line: down, opening, open or closing; never a second one before the first is known to be down
- when the line last proved alive, how often it failed in a row, and when the next attempt may start
- what every listener wants (`Subscriptions`), what this connection was told, which first packets are awaited
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from enum import Enum

from .errors import SubscriptionLimit
from .feed_events import (
    DEFAULT_TIMINGS,
    Action,
    Closed,
    Connect,
    Connected,
    ConnectFailed,
    Disconnect,
    Event,
    FeedStatus,
    FrameArrived,
    PacketsSeen,
    Release,
    Report,
    Send,
    SessionChanged,
    Standby,
    Start,
    Stop,
    Subscribe,
    Subscribed,
    Timer,
    Timings,
    TokenChanged,
    Unsubscribed,
    WakeAt,
)
from .schema import MODES

#: The words come with the machine: `from tapedeck import feed` is enough for whoever drives it.
__all__ = [
    "CHUNK",
    "DEFAULT_TIMINGS",
    "STATES",
    "SUBSCRIPTION_LIMIT",
    "Action",
    "Closed",
    "Connect",
    "ConnectFailed",
    "Connected",
    "Disconnect",
    "Event",
    "Feed",
    "FeedStatus",
    "FrameArrived",
    "PacketsSeen",
    "Release",
    "Report",
    "Send",
    "SessionChanged",
    "Standby",
    "Start",
    "Stop",
    "Subscribe",
    "Subscribed",
    "Subscriptions",
    "Timer",
    "Timings",
    "TokenChanged",
    "Unsubscribed",
    "WakeAt",
    "messages",
]  # fmt: skip

#: The order is the code used on the wire of the stream.
STATES = ("IDLE", "CONNECTING", "LIVE", "STALE", "BACKOFF", "LOGIN_REQUIRED", "STANDBY")

#: Kite's limit of instruments on one connection (three connections are allowed; the desk uses one).
SUBSCRIPTION_LIMIT = 3000

#: Tokens in one message: 500 make about 5 kB of JSON.
CHUNK = 500


class Subscriptions:
    """What all listeners together want, reference-counted; the highest mode of any of them wins.

    State: per listener its instruments and modes; per instrument how many listeners want each mode.
    """

    def __init__(self, limit: int = SUBSCRIPTION_LIMIT) -> None:
        self.limit = limit
        self._listeners: dict[str, dict[int, int]] = {}
        self._counts: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def subscribe(self, listener: str, tokens: Iterable[int], mode: str = "full") -> None:
        """Add instruments for a listener; what it had already takes the new mode.

        Raises
        ------
        SubscriptionLimit
            If the union of all listeners would exceed the limit; nothing has changed then.
        ValueError
            If the mode or a token was not one.
        """
        if mode not in MODES:
            raise ValueError(f"mode was {mode!r}; allowed: {', '.join(MODES)}")
        wanted = dict.fromkeys(int(token) for token in tokens)
        for token in wanted:
            if not 0 < token < 1 << 32:
                raise ValueError(f"instrument_token was {token}; allowed: 1 to 4294967295")
        total = len(self._counts) + sum(token not in self._counts for token in wanted)
        if total > self.limit:
            raise SubscriptionLimit(
                f"{listener} asked for {len(wanted)} instruments, which would make {total} on the one connection; "
                f"Kite allows {self.limit}. {len(self._counts)} are subscribed already: release some first."
            )
        held = self._listeners.setdefault(listener, {}) if wanted else {}
        rank = MODES.index(mode)
        for token in wanted:
            if token in held:
                self._counts[token][held[token]] -= 1
            held[token] = rank
            self._counts.setdefault(token, [0] * len(MODES))[rank] += 1

    def release(self, listener: str, tokens: Iterable[int] | None = None) -> None:
        """Drop instruments of a listener, or all of them; what it never had is ignored."""
        held = self._listeners.get(listener, {})
        for token in list(held) if tokens is None else [int(token) for token in tokens]:
            rank = held.pop(token, None)
            if rank is None:
                continue
            counts = self._counts[token]
            counts[rank] -= 1
            if not any(counts):
                del self._counts[token]
        if not held:
            self._listeners.pop(listener, None)

    def modes(self) -> dict[int, str]:
        """Every wanted instrument and its mode."""
        return {token: MODES[max(rank for rank, n in enumerate(counts) if n)] for token, counts in self._counts.items()}

    def listeners(self) -> dict[str, int]:
        """Every listener and how many instruments it wants."""
        return {listener: len(held) for listener, held in self._listeners.items()}


def messages(action: str, tokens: Iterable[int], mode: str = "") -> list[str]:
    """Kite's JSON for `subscribe`, `unsubscribe` or `mode`, in chunks; tokens are numbers.

    Tokens sent as strings are accepted by Kite and then only heartbeats arrive.
    """
    tokens = list(tokens)
    texts = []
    for i in range(0, len(tokens), CHUNK):
        numbers = "[" + ",".join(str(int(token)) for token in tokens[i : i + CHUNK]) + "]"
        texts.append(f'{{"a":"{action}","v":' + (f'["{mode}",{numbers}]}}' if action == "mode" else f"{numbers}}}"))
    return texts


class _Line(Enum):
    DOWN = 0
    OPENING = 1
    OPEN = 2
    CLOSING = 3


class Feed:
    """Decides when to connect, what to subscribe and when the feed is dead."""

    def __init__(
        self, *, rng: random.Random, timings: Timings = DEFAULT_TIMINGS, limit: int = SUBSCRIPTION_LIMIT
    ) -> None:
        self.timings = timings
        self.subscriptions = Subscriptions(limit)
        self.status = FeedStatus()
        #: Instruments whose first packet on this connection is awaited, and since when.
        self.awaiting: dict[int, float] = {}
        #: Grows with every change of `awaiting`.
        self.awaiting_version = 0
        self._rng = rng
        self._running = False
        self._standby = ""
        self._token = ""
        self._refused: str | None = None
        self._in_session = False
        self._session_since = 0.0
        self._line = _Line.DOWN
        self._line_token = ""
        self._login = ""
        self._line_since = 0.0
        self._proven = False
        self._fault = False
        self._stale = False
        self._alive_by = 0.0
        self._excused = False
        self._failures = 0
        self._retry_at = 0.0
        self._not_before = 0.0
        self._why = ""
        self._attempts = 0
        self._connections = 0
        self._wire: dict[int, str] = {}
        self._dirty = False
        self._silent: tuple[int, ...] = ()
        self._wake: float | None = None

    # -- the one door --------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about `event`, in order; `now` is monotonic seconds and never goes back.

        `Subscribe` and `Release` only note what is wanted and ask for a timer: many changes become one
        message, and they may be handled on another thread than everything else (under one lock).
        """
        if isinstance(event, FrameArrived):
            if self._line is not _Line.OPEN:
                return []
            self._alive_by = now + self.timings.fresh_ttl
            self._excused = False
            if self._proven and not self._failures:
                return []  # the hot path: an ordinary frame changes nothing else
            self._prove(now)
        elif isinstance(event, Subscribe | Release):
            return self._change_book(event, now)
        else:
            self._take(event, now)
        actions: list[Action] = []
        if isinstance(event, Timer):
            self._wake = None
            self._watch(now, actions)
        elif isinstance(event, Connected) and self._line is not _Line.OPEN:
            actions.append(Disconnect("not wanted any more"))
        self._settle(now, actions)
        self._reconcile(now, actions)
        self._find_silent(now)
        self._report(now, actions)
        self._plan(now, actions)
        return actions

    def _take(self, event: Event, now: float) -> None:
        match event:
            case Start():
                self._start(event, now)
            case Stop():
                self._running, self._standby, self._why = False, "", "stopped"
            case Standby():
                self._running, self._standby = False, event.reason
            case Connected():
                self._connected(event, now)
            case ConnectFailed():
                self._connect_failed(event, now)
            case Closed() if self._line is not _Line.DOWN:
                code = f" ({event.code})" if event.code else ""
                said = f": {event.reason}" if event.reason else ""
                self._lost(f"connection closed{code}{said}", now)
            case TokenChanged():
                self._token_changed(event, now)
            case SessionChanged():
                self._session_changed(event.in_session, now)
            case PacketsSeen():
                self._forget(event.tokens)
            case _:
                pass

    # -- wishes --------------------------------------------------------------------------------------------

    @property
    def _wanted(self) -> bool:
        return self._running and bool(self._token) and self._token != self._refused

    def _start(self, event: Start, now: float) -> None:
        if self._running:
            return
        self._running, self._standby, self._why = True, "", ""
        self._in_session, self._session_since = event.in_session, now
        self._token, self._login = event.token, event.why
        self._retry_at = max(now, self._not_before)

    def _token_changed(self, event: TokenChanged, now: float) -> None:
        token = event.token
        again = event.renewed and token == self._refused
        if token == self._token and not again:
            self._login = event.why or self._login
            return  # a re-login with the same token is a no-op, unless it is the very one that was refused
        self._token, self._login = token, event.why
        if token and (again or token != self._refused):
            self._refused = None
            self._failures = 0
            self._retry_at = self._not_before = now

    def _session_changed(self, in_session: bool, now: float) -> None:
        if in_session == self._in_session:
            return
        self._in_session, self._session_since = in_session, now
        if in_session and self._retry_at > now:
            self._retry_at = max(self._not_before, min(self._retry_at, now + self._wait()))

    def _change_book(self, event: Subscribe | Release, now: float) -> list[Action]:
        if isinstance(event, Subscribe):
            self.subscriptions.subscribe(event.listener, event.tokens, event.mode)
        else:
            self.subscriptions.release(event.listener, event.tokens)
        self._dirty = True
        return [WakeAt(now)]

    # -- the line ------------------------------------------------------------------------------------------

    def _connected(self, event: Connected, now: float) -> None:
        if self._line is not _Line.OPENING:
            # The handshake won a race against our Disconnect: `handle` asks for it again.
            if self._line is _Line.DOWN:
                self._line, self._line_since, self._fault = _Line.CLOSING, now, False
            return
        self._line, self._line_since = _Line.OPEN, now
        self._line_token = self._token = event.token
        self._connections += 1
        self._proven = self._excused = False
        self._alive_by = now + self.timings.fresh_ttl
        self._wire = {}
        self._dirty = True

    def _connect_failed(self, event: ConnectFailed, now: float) -> None:
        if self._line is _Line.DOWN:
            return
        if not event.token:
            self._attempts -= 1  # nothing reached the network
            self._login = event.error
            self._token = "" if self._token == self._line_token else self._token
        elif event.status == 403:
            self._refused = event.token
            if self._token == self._line_token:
                self._token = event.token
        if event.status:
            self._lost(f"Kite answered {event.status}", now)
        else:
            self._lost(event.error or "connection failed", now)
        if event.retry_after > 0:
            self._not_before = now + min(event.retry_after, self.timings.wait_outside)
            self._retry_at = max(self._retry_at, self._not_before)

    def _lost(self, why: str, now: float) -> None:
        closed_by_us = self._line is _Line.CLOSING
        self._line = _Line.DOWN
        self._wire = {}
        self._forget(tuple(self.awaiting))
        if closed_by_us and not self._fault:
            self._retry_at = max(now, self._not_before)  # no failure: whatever is wanted next may start at once
            return
        if not closed_by_us:
            self._why = why
        self._failures += 1
        self._retry_at = now + self._wait()

    def _wait(self) -> float:
        longest = self.timings.wait_in_session if self._in_session else self.timings.wait_outside
        ceiling = min(longest, self.timings.first_wait * 2 ** min(max(self._failures - 1, 0), 16))
        return ceiling * self._rng.uniform(0.5, 1.0)

    def _prove(self, now: float) -> None:
        self._proven = True
        self._why = ""
        if now - self._line_since >= self.timings.stable_after:
            self._failures = 0

    def _watch(self, now: float, actions: list[Action]) -> None:
        if self._line is _Line.OPENING and now >= self._line_since + self.timings.handshake:
            self._why = f"no answer to the handshake for {self.timings.handshake:g} s"
            self._hang_up(self._why, now, actions)
        elif self._line is _Line.CLOSING and now >= self._line_since + self.timings.closing:
            self._line_since = now
            actions.append(Disconnect("the closing handshake took too long"))
        elif self._line is _Line.OPEN and now >= self._alive_by:
            if now >= self._alive_by + self.timings.late and not self._excused:
                # This process slept (stopped, suspended, blocked): what came meanwhile waits in the socket.
                self._excused, self._alive_by = True, now + self.timings.late
                return
            self._stale = True
            self._why = f"no heartbeat for {self.timings.fresh_ttl:g} s"
            self._hang_up(self._why, now, actions)

    def _hang_up(self, reason: str, now: float, actions: list[Action], *, force: bool = True) -> None:
        self._line, self._line_since, self._fault = _Line.CLOSING, now, force
        actions.append(Disconnect(reason, force))

    def _settle(self, now: float, actions: list[Action]) -> None:
        if self._line in (_Line.OPENING, _Line.OPEN):
            if not self._wanted:
                self._hang_up(self._standby or self._why or "not wanted any more", now, actions, force=False)
            elif self._line_token != self._token:
                self._hang_up("the token changed", now, actions, force=False)
        elif self._line is _Line.DOWN and self._wanted and now >= self._retry_at:
            self._line, self._line_since, self._line_token = _Line.OPENING, now, self._token
            self._stale = False
            self._attempts += 1
            actions.append(Connect(self._failures + 1))

    # -- subscriptions -------------------------------------------------------------------------------------

    def _reconcile(self, now: float, actions: list[Action]) -> None:
        if not self._dirty or self._line is not _Line.OPEN:
            return
        self._dirty = False
        wanted = self.subscriptions.modes()
        gone = [token for token in self._wire if token not in wanted]
        if gone:  # first, so that the wire never carries more than the limit
            self._forget(gone)
            actions.append(Unsubscribed(tuple(gone)))
            actions += [Send(text) for text in messages("unsubscribe", gone)]
        new = [token for token in wanted if token not in self._wire]
        if new:
            actions.append(Subscribed(tuple(new)))
            actions += [Send(text) for text in messages("subscribe", new)]
            self.awaiting.update(dict.fromkeys(new, now))
            self.awaiting_version += 1
        for mode in MODES:
            changed = [token for token, m in wanted.items() if m == mode and self._wire.get(token) != mode]
            actions += [Send(text) for text in messages("mode", changed, mode)]
        self._wire = wanted

    def _forget(self, tokens: Iterable[int]) -> None:
        found = [token for token in tokens if self.awaiting.pop(token, None) is not None]
        if found:
            self.awaiting_version += 1

    def _find_silent(self, now: float) -> None:
        if not self._in_session or now < self._session_since + self.timings.first_packet:
            self._silent = ()
            return
        due = now - self.timings.first_packet
        self._silent = tuple(sorted(token for token, since in self.awaiting.items() if since <= due))

    # -- answers -------------------------------------------------------------------------------------------

    def _state(self) -> tuple[str, str]:
        if self._standby:
            return "STANDBY", self._standby
        if not self._running:
            return "IDLE", self._why or "not started"
        if not self._wanted:
            if self._token:
                return "LOGIN_REQUIRED", "login required: Kite refused the token (403)"
            return "LOGIN_REQUIRED", self._login or "login required: there is no access token"
        if self._line is _Line.OPEN:
            return ("LIVE", "") if self._proven else ("CONNECTING", "connected, waiting for the first frame")
        if self._stale:
            return "STALE", self._why
        if self._line is _Line.OPENING:
            return "CONNECTING", self._why or "connecting"
        return ("BACKOFF", self._why) if self._failures else ("CONNECTING", "connecting")

    def _report(self, now: float, actions: list[Action]) -> None:
        state, reason = self._state()
        old = self.status
        waiting = self._line is _Line.DOWN and self._wanted
        new = FeedStatus(
            state=state,
            reason=reason,
            since=old.since if state == old.state else now,
            attempts=self._attempts,
            connections=self._connections,
            subscribed=len(self._wire),
            silent=self._silent,
            retry_at=self._retry_at if waiting else None,
        )
        if new != old:
            self.status = new
            actions.append(Report(new))

    def _plan(self, now: float, actions: list[Action]) -> None:
        times: list[float] = []
        match self._line:
            case _Line.OPENING:
                times.append(self._line_since + self.timings.handshake)
            case _Line.CLOSING:
                times.append(self._line_since + self.timings.closing)
            case _Line.OPEN:
                times.append(self._alive_by)
            case _Line.DOWN if self._wanted:
                times.append(self._retry_at)
        if self._in_session and len(self.awaiting) > len(self._silent):
            reported = set(self._silent)
            since = min(since for token, since in self.awaiting.items() if token not in reported)
            times.append(max(since, self._session_since) + self.timings.first_packet)
        if times and (self._wake is None or min(times) < self._wake):
            self._wake = max(min(times), now)
            actions.append(WakeAt(self._wake))
