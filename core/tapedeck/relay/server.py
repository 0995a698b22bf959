"""How one desk is shared: every beat, changed instruments are encoded once and gathered per viewer.

State of a `Relay`: the listeners, the board of encoded records, the number of the newest content, when beats and
state messages were last made, `stats`. It lives on the server's IOLoop; only `start` and `close` may be called
from elsewhere. A viewer that does not read keeps at most the messages of one beat waiting: what comes meanwhile is
merged (newest value wins, counted as `conflated`), and after `drop_after_s` it is cut off (`dropped_slow`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from tornado.ioloop import IOLoop, PeriodicCallback

from tapedeck.clock import Clock, to_ist
from tapedeck.errors import FrameError, TapedeckError
from tapedeck.hub import FeedView, Hub
from tapedeck.relay import messages
from tapedeck.relay.board import Board, Transition
from tapedeck.relay.frames import (
    DELTA,
    HEARTBEAT,
    MAX_ITEMS,
    SNAPSHOT,
    Header,
    Message,
    build_frame,
    parse_message,
)
from tapedeck.relay.handler import StreamHandler
from tapedeck.relay.listener import Listener, Outlet, Subscription, Subscriptions

__all__ = ["Relay", "StreamHandler", "Upstream"]

log = logging.getLogger("tapedeck.relay")

#: Every listener hears something at least this often, in seconds: a little under the promised second.
HEARTBEAT_S = 0.9
PING_S = 10.0
MAX_LISTENERS = 4096
#: A viewer that goes on talking after so many refusals in a row is cut off.
MAX_REFUSED = 200


class Upstream(Protocol):
    """Where instruments are subscribed on behalf of listeners."""

    def subscribe(self, listener: str, tokens: Iterable[int], mode: str = "full") -> None:
        """Add instruments to what the listener wants."""
        ...

    def release(self, listener: str, tokens: Iterable[int] | None = None) -> None:
        """Take instruments, or all of them, from what the listener wants."""
        ...


class Relay:
    """The stream of one hub. `counters` adds its items to those of the state message."""

    def __init__(
        self,
        hub: Hub,
        upstream: Upstream,
        clock: Clock,
        *,
        beat_hz: int = 10,
        drop_after_s: float = 5.0,
        counters: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._hub, self._upstream, self._clock = hub, upstream, clock
        self._beat_hz, self._drop_after_s = beat_hz, drop_after_s
        self._more_counters = counters or dict
        self._board = Board(hub)
        self._instruments = hub.instruments
        self._subscriptions = Subscriptions()
        self._nothing = self._subscriptions.of(np.zeros(0, np.intp))
        self._listeners: dict[str, Listener] = {}
        self._names = itertools.count(1)
        self._sequence = 0
        self._beat = 0
        self._state = ""
        self._state_number = 0
        self._state_at = -1e9
        self._mark: tuple = ()
        self._ticks_at = (clock.monotonic(), 0)
        self._ticks_per_s = 0.0
        self._loop: IOLoop | None = None
        self._ticker: PeriodicCallback | None = None
        self._closed = False
        self.stats: Counter[str] = Counter(
            viewers=0, viewers_total=0, beats=0, frames=0, built=0, bytes=0, records=0, conflated=0,
            dropped_slow=0, refused_messages=0, encode_us=0,
        )  # fmt: skip

    # -- life ----------------------------------------------------------------------------------------------------

    @property
    def client_count(self) -> int:
        """Viewers connected now."""
        return len(self._listeners)

    def start(self, loop: IOLoop) -> None:
        """Beat on this loop from now on."""
        self._loop = loop
        loop.add_callback(self._begin)

    def _begin(self) -> None:
        if not self._closed and self._ticker is None:
            self._ticker = PeriodicCallback(self.beat, 1000 / self._beat_hz)
            self._ticker.start()

    def close(self) -> None:
        """Stop beating and let every viewer go. May be called twice, and from any thread."""
        if self._closed:
            return
        self._closed = True
        aio = getattr(self._loop, "asyncio_loop", None)
        if aio is not None and aio.is_running() and aio is not _running_loop():
            aio.call_soon_threadsafe(self._end)
        else:
            self._end()

    def _end(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None
        for listener in list(self._listeners.values()):
            self.leave(listener)
            listener.outlet.close(1001, "the desk is closing")

    def join(self, outlet: Outlet) -> Listener | None:
        """A new viewer; None when there are too many or the desk is closing."""
        if self._closed or len(self._listeners) >= MAX_LISTENERS:
            return None
        name = f"stream-{next(self._names)}"
        listener = Listener(name, outlet, self._nothing, self._clock.monotonic())
        self._listeners[name] = listener
        self.stats["viewers_total"] += 1
        self.stats["viewers"] = len(self._listeners)
        return listener

    def leave(self, listener: Listener) -> None:
        """The viewer is gone: forget it and what it wanted."""
        if self._listeners.pop(listener.name, None) is not None:
            self._upstream.release(listener.name)
            self.stats["viewers"] = len(self._listeners)

    # -- what viewers say ----------------------------------------------------------------------------------------

    def hear(self, listener: Listener, text: str | bytes) -> None:
        """Do what a viewer's message asks; whatever is wrong with it is answered, never raised."""
        try:
            if not listener.may_speak(self._clock.monotonic()):
                raise FrameError("too many messages; wait a second")
            self._obey(listener, parse_message(text))
        except TapedeckError as wrong:
            self.stats["refused_messages"] += 1
            listener.errors.append(str(wrong))
            if listener.refused_in_a_row > MAX_REFUSED:
                self._cut_off(listener, "it does not stop talking")

    def _obey(self, listener: Listener, message: Message) -> None:
        if message.action == "pause":
            listener.paused = True
        elif message.action in ("resume", "snapshot"):
            listener.paused = listener.paused and message.action != "resume"
            listener.owes_snapshot = True
        else:
            self._resubscribe(listener, self._wanted(listener, message))
            listener.said_hello = True
            if message.action == "hello":
                listener.rate, listener.paused = message.rate, False

    def _wanted(self, listener: Listener, message: Message) -> tuple[str | int, ...]:
        if message.action == "hello":
            return message.items
        if message.action == "subscribe":
            return tuple(dict.fromkeys(listener.asked + message.items))
        gone = set(message.items) | {self._token(item) for item in message.items} - {None}
        return tuple(item for item in listener.asked if item not in gone and self._token(item) not in gone)

    def _token(self, item: str | int) -> int | None:
        found = self._hub.instruments.find(item)
        return None if found is None else found.instrument_token

    def _resubscribe(self, listener: Listener, asked: tuple[str | int, ...]) -> None:
        """Make the upstream and the cursor those of what is wanted now; nothing changes if that is refused."""
        if len(asked) > MAX_ITEMS:
            raise FrameError(f"{len(asked)} instruments were wanted; one viewer may have {MAX_ITEMS}")
        resolved = {item: self._token(item) for item in asked}
        tokens = frozenset(token for token in resolved.values() if token is not None)
        added, removed = tokens - listener.tokens, listener.tokens - tokens
        if added:
            self._upstream.subscribe(listener.name, sorted(added), "full")
        if removed:
            self._upstream.release(listener.name, sorted(removed))
        slots = self._hub.slots(sorted(tokens))
        listener.asked, listener.tokens = asked, tokens
        listener.unknown = [item for item, token in resolved.items() if token is None]
        listener.subscription = self._subscriptions.of(slots[slots >= 0])
        listener.owes_welcome = listener.owes_snapshot = True

    # -- the beat ------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Encode what changed and give every listener that is due what it has not seen."""
        now = self._clock.monotonic()
        self._beat += 1
        self.stats["beats"] += 1
        self._follow_hub()
        transitions = self._board.look_at_markets(self._clock.now())
        self._report(transitions)
        if not self._listeners:
            return
        count = self._board.refresh(self._sequence + 1)
        self._sequence += 1 if count else 0
        self.stats["records"] += count
        self.stats["encode_us"] = round((self._clock.monotonic() - now) * 1e6)
        feed = self._hub.feed()
        if feed.epoch != self._board.epoch:
            return  # the source has just changed: the next beat starts over
        urgent = self._update_state(feed, now, bool(transitions))
        built: dict[tuple, bytes | None] = {}
        for listener in list(self._listeners.values()):
            self._serve(listener, feed, now, urgent, built)
        self.stats["beat_us"] = round((self._clock.monotonic() - now) * 1e6)

    def _follow_hub(self) -> None:
        """After a change of source or of the day's instruments, everybody's wishes are looked up again."""
        restarted = self._board.follow_source()
        if not restarted and self._instruments is self._hub.instruments:
            return
        self._instruments = self._hub.instruments
        # Slots mean other instruments now, and texts about them are out of date.
        self._subscriptions = Subscriptions()
        for listener in list(self._listeners.values()):
            if not listener.said_hello:
                continue
            try:
                self._resubscribe(listener, listener.asked)
            except TapedeckError as refused:
                listener.errors.append(str(refused))
                self._resubscribe(listener, ())

    def _report(self, transitions: list[Transition]) -> None:
        at = to_ist(self._clock.now()) if transitions else None
        for t in transitions:
            log.info("%s IST: %s %s went from %s to %s", f"{at:%d %b %H:%M:%S}", t.segment, t.session_class,
                     messages.phase_words(t.before), messages.phase_words(t.after))  # fmt: skip

    def _update_state(self, feed: FeedView, now: float, transition: bool) -> bool:
        """Make a new state message when something in it changed or a second has passed; whether it is news."""
        mark = (feed.state, feed.reason, feed.source, feed.epoch, feed.why_blank() == "")
        news = transition or mark != self._mark
        if news or now - self._state_at >= HEARTBEAT_S:
            self._mark, self._state_at = mark, now
            self._state_number += 1
            self._state = messages.state(
                feed,
                market_ns=self._clock.now(),
                since_s=now - self._hub.feed_since,
                phases=self._board.markets,
                counters={"viewers": self.client_count, "ticks_per_s": self._rate(now), **self._more_counters()},
            )
        return news

    def _rate(self, now: float) -> float:
        before, count = self._ticks_at
        if now - before >= 1.0:
            ticks = self._hub.counters.get("ticks", 0)
            self._ticks_per_s = round((ticks - count) / (now - before), 1)
            self._ticks_at = (now, ticks)
        return self._ticks_per_s

    def _serve(
        self, listener: Listener, feed: FeedView, now: float, urgent: bool, built: dict[tuple, bytes | None]
    ) -> None:
        if listener.outlet.busy():
            self._wait_for(listener, now, urgent)
            return
        out: list[str | bytes] = self._texts(listener, feed)
        if listener.paused or not listener.said_hello:
            if not out and now - listener.sent_at >= PING_S:
                listener.outlet.ping()
                listener.sent_at = now
        elif frame := self._frame(listener, feed, now, urgent, built):
            out.append(frame)
            listener.frame_at = now
            self.stats["frames"] += 1
        if out:
            listener.sent_at = now
            self.stats["bytes"] += sum(map(len, out))
            listener.outlet.send(out)

    def _wait_for(self, listener: Listener, now: float, urgent: bool) -> None:
        """Merge this beat into a later one for a viewer whose last message has not left; or give it up."""
        if now - listener.sent_at > self._drop_after_s:
            self.stats["dropped_slow"] += 1
            self._cut_off(listener, f"it read nothing for {self._drop_after_s:g} s")
            return
        due = urgent or listener.is_due(self._beat, self._beat_hz)
        if due and not listener.paused and self._board.has_news(listener.subscription.slots, listener.merged_to):
            listener.merged_to = self._sequence
            listener.conflated += 1
            self.stats["conflated"] += 1

    def _texts(self, listener: Listener, feed: FeedView) -> list[str | bytes]:
        out: list[str | bytes] = [messages.error(text) for text in listener.errors]
        listener.errors.clear()
        if listener.owes_welcome:
            listener.owes_welcome = False
            instruments = self._instruments_of(listener.subscription)
            out.append(messages.welcome(feed, self._board.epoch, instruments, listener.unknown))
        if listener.conflated > listener.conflated_told:
            out.append(messages.notice(listener.conflated - listener.conflated_told, listener.conflated))
            listener.conflated_told = listener.conflated
        if listener.said_hello and not listener.paused and listener.state_number != self._state_number:
            listener.state_number = self._state_number
            out.append(self._state)
        return out

    def _instruments_of(self, subscription: Subscription) -> str:
        if not subscription.instruments:
            tokens = self._board.take(subscription.slots)["instrument_token"].tolist()
            found = [self._instruments.find(token) for token in tokens]
            subscription.instruments = messages.instruments_json([one for one in found if one is not None])
        return subscription.instruments

    def _frame(
        self, listener: Listener, feed: FeedView, now: float, urgent: bool, built: dict[tuple, bytes | None]
    ) -> bytes | None:
        """The frame a listener gets now; those with the same wishes and the same past share one."""
        alive = urgent or now - listener.frame_at >= HEARTBEAT_S
        snapshot = listener.owes_snapshot
        if not (alive or snapshot or listener.is_due(self._beat, self._beat_hz)):
            return None
        cursor = -1 if snapshot else listener.cursor
        key = (id(listener.subscription), cursor, listener.conflated, alive)
        if key not in built:
            built[key] = self._build(listener, feed, cursor, alive)
        listener.owes_snapshot = False
        listener.cursor = listener.merged_to = self._sequence
        return built[key]

    def _build(self, listener: Listener, feed: FeedView, cursor: int, alive: bool) -> bytes | None:
        """A frame of everything after `cursor`; None when that is nothing and no sign of life is due."""
        records = self._board.gather(listener.subscription.slots, cursor)
        kind = SNAPSHOT if cursor < 0 else DELTA if len(records) else HEARTBEAT
        if kind == HEARTBEAT and not alive:
            return None
        self.stats["built"] += 1
        header = Header(
            epoch=self._board.epoch,
            sequence=self._sequence,
            feed_state=feed.state,
            market_time_ms=self._clock.now() / 1e6,
            feed_age_s=feed.age,
            simulated=feed.simulated,
            replay=feed.source.startswith("tape"),
            conflated=listener.conflated,
        )
        return build_frame(kind, records, header)

    def _cut_off(self, listener: Listener, why: str) -> None:
        log.warning("viewer %s was cut off: %s", listener.name, why)
        self.leave(listener)
        listener.outlet.abort()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
