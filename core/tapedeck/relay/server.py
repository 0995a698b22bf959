"""How one desk is shared: every beat, changed instruments are encoded once and gathered per viewer.

State of a `Relay`: the listeners, the board of encoded records, the number of the newest content, what is left of
this beat's round, when beats and state messages were last made, `stats`. It lives on the server's IOLoop; only
`start` and `close` may be called from elsewhere. With many viewers a round is done in slices, between which the loop
has its turn. A viewer that does not read keeps at most the messages of one beat waiting: what comes meanwhile is
merged (newest value wins, counted as `conflated`), and after `drop_after_s` it is cut off (`dropped_slow`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tornado.ioloop import IOLoop, PeriodicCallback

from tapedeck.clock import Clock, to_ist
from tapedeck.errors import FrameError, TapedeckError
from tapedeck.hub import FeedView, Hub
from tapedeck.relay import messages
from tapedeck.relay.board import Board, Transition
from tapedeck.relay.frame_maker import HEARTBEAT_S, Beat, FrameMaker
from tapedeck.relay.frames import parse_message
from tapedeck.relay.handler import StreamHandler
from tapedeck.relay.listener import Listener, Outlet
from tapedeck.relay.topics import Topic, Topics
from tapedeck.relay.wire import Packet
from tapedeck.relay.wishes import Upstream, WishBook

__all__ = ["Relay", "StreamHandler", "Topic", "Upstream"]

log = logging.getLogger("tapedeck.relay")

PING_S = 10.0
#: A state message is made at least this often, in seconds: a little under the promised second.
STATE_S = 0.9
MAX_LISTENERS = 4096
#: How long the relay holds the loop before it lets others have their turn, in seconds. The loop's limit is 10 ms.
SLICE_S = 0.006
#: A viewer that goes on talking after so many refusals in a row is cut off.
MAX_REFUSED = 200


class Relay:
    """The stream of one hub.

    `counters` adds its items to those of the state message, `login` says in it how the login to Kite stands;
    `topics` are what else a viewer may ask for, by name.
    """

    def __init__(
        self,
        hub: Hub,
        upstream: Upstream,
        clock: Clock,
        *,
        beat_hz: int = 10,
        drop_after_s: float = 5.0,
        counters: Callable[[], Mapping[str, Any]] | None = None,
        login: Callable[[], Mapping[str, Any]] | None = None,
        topics: Mapping[str, Topic] | None = None,
    ) -> None:
        self._hub, self._clock = hub, clock
        self._beat_hz, self._drop_after_s = beat_hz, drop_after_s
        self._more_counters, self._login = counters or dict, login or dict
        self._board = Board(hub)
        self._topics = Topics(topics or {})
        self._wishes = WishBook(hub, upstream, self._board, self._topics)
        self._listeners: dict[str, Listener] = {}
        self._names = itertools.count(1)
        self._run = secrets.token_hex(8)
        self._sequence = 0
        self._beat = 0
        self._round: Iterator[None] | None = None
        self._state = Packet("")
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
            dropped_slow=0, refused_messages=0, encode_us=0, depth=0, depth_built=0, topics=0, topics_built=0,
            topic_failures=0, slices=0, slice_us=0, longest_slice_us=0, late_beats=0, failed=0,
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
        self._round = None
        for listener in list(self._listeners.values()):
            self.leave(listener)
            listener.outlet.close(1001, "the desk is closing")

    def join(self, outlet: Outlet) -> Listener | None:
        """A new viewer; None when there are too many or the desk is closing."""
        if self._closed or len(self._listeners) >= MAX_LISTENERS:
            return None
        name = f"stream-{next(self._names)}"
        listener = Listener(name, outlet, self._wishes.nothing, self._clock.monotonic())
        listener.beat, listener.turn = self._beat, self.stats["viewers_total"] % self._beat_hz
        self._listeners[name] = listener
        self.stats["viewers_total"] += 1
        self.stats["viewers"] = len(self._listeners)
        return listener

    def leave(self, listener: Listener) -> None:
        """The viewer is gone: forget it and what it wanted."""
        if self._listeners.pop(listener.name, None) is not None:
            self._wishes.forget(listener)
            self.stats["viewers"] = len(self._listeners)

    # -- what viewers say ----------------------------------------------------------------------------------------

    def hear(self, listener: Listener, text: str | bytes) -> None:
        """Do what a viewer's message asks; whatever is wrong with it is answered, never raised."""
        if listener.name not in self._listeners:
            return  # cut off, while this was on its way: nobody would take back what it asks for
        try:
            if not listener.may_speak(self._clock.monotonic()):
                raise FrameError("too many messages; wait a second")
            self._wishes.obey(listener, parse_message(text))
        except TapedeckError as wrong:
            self.stats["refused_messages"] += 1
            listener.errors.append(str(wrong))
            if listener.refused_in_a_row > MAX_REFUSED:
                self._cut_off(listener, "it does not stop talking")

    # -- the beat ------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Encode what changed and give every listener that is due what it has not seen.

        When that takes long, it goes on after the loop has had its turn; a beat that comes before the end of the
        last one's round is counted as `late_beats`, and the next round brings what it would have brought.
        """
        self._beat += 1
        self.stats["beats"] += 1
        if self._round is not None:
            self.stats["late_beats"] += 1
            return
        self.stats["beat_us"] = self.stats["slice_us"] = 0
        self._round = self._steps()
        self._go_on()

    def _go_on(self) -> None:
        """Do as much of the round as one slice holds; all of it while no loop is waiting."""
        if self._round is None:
            return
        started, unfinished = self._clock.monotonic(), False
        try:
            for _ in self._round:
                if self._loop is not None and self._clock.monotonic() - started > SLICE_S:
                    unfinished = True
                    self._loop.add_callback(self._go_on)
                    return
        finally:
            if not unfinished:
                self._round = None
            self._count_slice(round((self._clock.monotonic() - started) * 1e6))

    def _count_slice(self, took_us: int) -> None:
        stats = self.stats
        stats["slices"] += 1
        stats["beat_us"] += took_us
        stats["slice_us"] = max(took_us, stats["slice_us"])
        stats["longest_slice_us"] = max(took_us, stats["longest_slice_us"])
        stats["depth_built"] = self._wishes.books.built
        stats["topics_built"], stats["topic_failures"] = self._topics.built, self._topics.failures

    def _steps(self) -> Iterator[None]:
        """One round, with a pause wherever the loop may have its turn."""
        now = self._clock.monotonic()
        beat_number = self._beat
        self._follow_hub()
        transitions = self._board.look_at_markets(self._clock.now())
        self._report(transitions)
        if not self._listeners:
            return
        yield from self._settle()
        count = self._board.refresh(self._sequence + 1)
        self._sequence += 1 if count else 0
        self.stats["records"] += count
        self.stats["encode_us"] = round((self._clock.monotonic() - now) * 1e6)
        yield
        if self._hub.epoch == self._board.epoch:
            yield from self._topics.refresh(self._board, now)
        feed = self._hub.feed()
        if feed.epoch != self._board.epoch:
            return  # the source has just changed: the next beat starts over
        now = self._clock.monotonic()
        urgent = self._update_state(feed, now, bool(transitions))
        beat = Beat(beat_number, beat_number // self._beat_hz, now, self._sequence, feed, urgent)
        yield from self._serve_all(beat)

    def _settle(self) -> Iterator[None]:
        """Look up what viewers have asked for since the last beat."""
        for listener in list(self._listeners.values()):
            if listener.needs:
                try:
                    yield from self._wishes.settle(listener)
                except Exception:
                    log.exception("the wishes of viewer %s could not be looked up", listener.name)
                    self.stats["failed"] += 1
                    self._cut_off(listener, "its wishes could not be looked up")
                yield

    def _serve_all(self, beat: Beat) -> Iterator[None]:
        """Everybody who was here at the beginning once, beginning with another one each time."""
        maker = FrameMaker(self._board, self._clock, beat, self.stats)
        everybody = list(self._listeners.values())
        # Steps of the golden ratio: in the long run everyone is as often among the first as among the last.
        first = int(beat.number * 0.618034 % 1 * len(everybody))
        for listener in everybody[first:] + everybody[:first]:
            # Who has left meanwhile, or asked for something else, has nothing to get in this round.
            if listener.name in self._listeners and not listener.needs:
                try:
                    self._serve(listener, beat, maker)
                except Exception:
                    log.exception("viewer %s could not be served", listener.name)
                    self.stats["failed"] += 1
                    self._cut_off(listener, "it could not be served")
                yield

    def _follow_hub(self) -> None:
        """After a change of source or of the day's instruments, everybody's wishes are looked up again."""
        restarted = self._board.follow_source()
        if restarted or self._wishes.is_of_another_day():
            self._wishes.start_over(self._listeners.values())
            self._topics.start_over()

    def _report(self, transitions: list[Transition]) -> None:
        at = to_ist(self._clock.now()) if transitions else None
        for t in transitions:
            log.info("%s IST: %s %s went from %s to %s", f"{at:%d %b %H:%M:%S}", t.segment, t.session_class,
                     messages.phase_words(t.before), messages.phase_words(t.after))  # fmt: skip

    def _update_state(self, feed: FeedView, now: float, transition: bool) -> bool:
        """Make a new state message when something in it changed or a second has passed; whether it is news."""
        login = self._login()
        mark = (feed.state, feed.reason, feed.source, feed.epoch, feed.why_blank() == "", login.get("state"))
        news = transition or mark != self._mark
        if news or now - self._state_at >= STATE_S:
            self._mark, self._state_at = mark, now
            self._state_number += 1
            counters = {"viewers": self.client_count, "ticks_per_s": self._rate(now), **self._more_counters()}
            since_s = now - self._hub.feed_since
            self._state = Packet(
                messages.state(
                    feed,
                    market_ns=self._clock.now(),
                    since_s=since_s,
                    phases=self._board.markets,
                    counters=counters,
                    login=login,
                )
            )
        return news

    def _rate(self, now: float) -> float:
        before, count = self._ticks_at
        if now - before >= 1.0:
            ticks = self._hub.counters.get("ticks", 0)
            self._ticks_per_s = round((ticks - count) / (now - before), 1)
            self._ticks_at = (now, ticks)
        return self._ticks_per_s

    def _serve(self, listener: Listener, beat: Beat, maker: FrameMaker) -> None:
        due = listener.take_due(beat.number, self._beat_hz)
        if not (due or beat.urgent or listener.is_owed(beat.now - HEARTBEAT_S)):
            return  # a quarter of all work with 2,000 viewers was to find that out later
        if listener.outlet.busy(beat.now):
            self._wait_for(listener, beat, maker, due)
            return
        out = self._texts(listener, beat.feed)
        if listener.paused or not listener.said_hello:
            if not out and beat.now - listener.sent_at >= PING_S:
                listener.ping(beat.now)
        else:
            self._add_numbers(out, listener, maker, due)
        if out:
            self.stats["bytes"] += sum(len(packet.content) for packet in out)
            listener.send(out, beat.now)

    def _add_numbers(self, out: list[Packet], listener: Listener, maker: FrameMaker, due: bool) -> None:
        """Frame, books and topics; a book or topic that is owed after a snapshot follows it."""
        due = due or listener.owes_snapshot
        if frame := maker.frame(listener, due):
            # Before the state, unless names or a reason come first: a page that begins to draw with whatever it
            # hears first shows new prices then.
            out.insert(len(out) - (len(out) == 1 and out[0] is self._state), frame)
            self.stats["frames"] += 1
        if listener.depth and due:
            books = self._wishes.books.news(listener.depth, self._wishes.instruments)
            self.stats["depth"] += len(books)
            out += books
        if listener.topics:
            texts = self._topics.news(listener.topics)
            self.stats["topics"] += len(texts)
            out += texts

    def _wait_for(self, listener: Listener, beat: Beat, maker: FrameMaker, due: bool) -> None:
        """Merge this beat into a later one for a viewer whose last message has not left; or give it up."""
        if listener.is_stalled(beat.now, self._drop_after_s):
            self.stats["dropped_slow"] += 1
            self._cut_off(listener, f"it read nothing for {self._drop_after_s:g} s")
            return
        if (due or beat.urgent) and not listener.paused and maker.has_news(listener):
            listener.merged_to = beat.sequence
            listener.conflated += 1
            self.stats["conflated"] += 1

    def _texts(self, listener: Listener, feed: FeedView) -> list[Packet]:
        out = [Packet(messages.error(text)) for text in listener.errors]
        listener.errors.clear()
        if listener.owes_welcome:
            listener.owes_welcome = False
            tokens = self._board.take(listener.subscription.slots)["instrument_token"].tolist()
            names = self._wishes.names.joined(tokens)
            out.append(Packet(messages.welcome(feed, self._run, self._board.epoch, names, listener.unknown)))
        if listener.conflated > listener.conflated_told:
            told = listener.conflated_told
            out.append(Packet(messages.notice(listener.conflated - told, listener.conflated)))
            listener.conflated_told = listener.conflated
        if listener.said_hello and not listener.paused and listener.state_number != self._state_number:
            listener.state_number = self._state_number
            out.append(self._state)
        return out

    def _cut_off(self, listener: Listener, why: str) -> None:
        log.warning("viewer %s was cut off: %s", listener.name, why)
        self.leave(listener)
        listener.outlet.abort()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
