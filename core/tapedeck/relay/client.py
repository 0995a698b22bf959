"""A listener of the stream for notebooks and programs: one thread, one socket, rows that are kept up to date.

State of a `StreamClient`: its thread and socket, the mirror of the desk's rows (guarded by one condition), what it
wants to be told (after a reconnect it is said again, `hello` first), how often it connected.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

from tapedeck.clock import Clock, SystemClock
from tapedeck.errors import FrameError
from tapedeck.relay.frames import DEFAULT_RATE, MAX_BOOKS, Frame
from tapedeck.relay.mirror import Mirror

log = logging.getLogger("tapedeck.relay.client")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 2.0
#: A desk that says nothing for so long is given up: it promised a sign of life every second.
SILENCE_S = 6.0
HANDSHAKE_S = 5.0
#: A snapshot of 3,000 instruments is 0.5 MB, their welcome as much again.
MAX_MESSAGE = 8 << 20


def connect(
    url: str,
    keys: Iterable[str | int] = (),
    *,
    rate: int = DEFAULT_RATE,
    headers: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> StreamClient:
    """A client of the stream at `url` (`ws://127.0.0.1:5006/api/stream`), connecting; use it in `with`.

    `headers` go with the handshake, an Authorization for instance. It reconnects by itself until it is closed.
    """
    client = StreamClient(url, keys, rate=rate, headers=headers, clock=clock or SystemClock())
    client.start()
    return client


class StreamClient:
    """Keeps a table of live rows. Every method may be called from any thread."""

    def __init__(
        self, url: str, keys: Iterable[str | int], *, rate: int, headers: Mapping[str, str] | None, clock: Clock
    ) -> None:
        self._url, self._rate, self._headers, self._clock = url, rate, dict(headers or {}), clock
        self._keys = dict.fromkeys(keys)
        self._focus: tuple[str | int, ...] | None = None
        self._books: tuple[str | int, ...] = ()
        self._topics: tuple[str, ...] = ()
        #: Held while something is said: nothing may come before the hello of a connection.
        self._saying = threading.Lock()
        self._mirror = Mirror()
        self._mirror.watch(())
        self._mirror.listen(())
        self._news = threading.Condition()
        self._socket: ClientConnection | None = None
        self._paused = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tapedeck-stream", daemon=True)
        self._shown_url = url.split("?")[0]
        self.connects = 0
        self.refused = 0
        self.problem = ""

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def close(self) -> None:
        """Close the connection and end the thread. May be called twice."""
        self._ending.set()
        with self._news:
            socket = self._socket
        if socket is not None:
            socket.close()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def __enter__(self) -> StreamClient:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def __repr__(self) -> str:
        # Without the query of the address, which may carry a token.
        with self._news:
            why = self._mirror.why_blank(self._clock.monotonic()) or "live"
            return f"<StreamClient {self._shown_url}: {len(self._mirror.table)} instruments, {why}>"

    def _run(self) -> None:
        wait = FIRST_WAIT_S
        while not self._ending.is_set():
            before = self._mirror.frames
            try:
                self._listen()
            except (OSError, WebSocketException, FrameError) as lost:
                # The address may carry a token: it is shown without its query.
                self.problem = f"{type(lost).__name__}: {lost}".replace(self._url, self._shown_url)
                log.info("stream lost: %s", self.problem)
            finally:
                with self._news:
                    self._socket, self._mirror.connected = None, False
                    self._news.notify_all()
            wait = FIRST_WAIT_S if self._mirror.frames > before else min(2 * wait, LONGEST_WAIT_S)
            self._ending.wait(wait)

    def _listen(self) -> None:
        with open_socket(
            self._url,
            additional_headers=self._headers,
            compression=None,
            max_size=MAX_MESSAGE,
            open_timeout=HANDSHAKE_S,
            close_timeout=1,
            proxy=None,
        ) as socket:
            with self._news:
                self._mirror.connected = True
                # What this connection will say starts anew, with a snapshot.
                self._mirror.forget()
                self.connects += 1
            with self._saying:
                for message in self._wishes():
                    socket.send(json.dumps(message))
                with self._news:
                    self._socket = socket
            while not self._ending.is_set():
                try:
                    self._take(socket.recv(timeout=SILENCE_S))
                except TimeoutError:
                    if not self._paused:
                        raise

    def _take(self, message: str | bytes) -> None:
        with self._news:
            try:
                self._mirror.apply(message, self._clock.monotonic())
            except FrameError as wrong:
                self.refused += 1
                self.problem = str(wrong)
            self._news.notify_all()

    # -- wishes --------------------------------------------------------------------------------------------------

    def _wishes(self) -> list[dict[str, Any]]:
        """Everything that is wanted, as a desk that knows nothing of it must be told."""
        with self._news:
            said: list[dict[str, Any]] = [{"a": "hello", "v": list(self._keys), "rate": self._rate}]
            if self._focus is not None:
                said.append({"a": "focus", "v": list(self._focus)})
            if self._books:
                said.append({"a": "depth", "v": list(self._books)})
            if self._topics:
                said.append({"a": "topics", "v": list(self._topics)})
            if self._paused:
                said.append({"a": "pause"})
            return said

    def subscribe(self, *keys: str | int) -> None:
        """Add instruments, by key or token; they stay after a reconnect."""
        with self._news:
            self._keys.update(dict.fromkeys(keys))
        self._say({"a": "subscribe", "v": list(keys)})

    def unsubscribe(self, *keys: str | int) -> None:
        """Take instruments away, named as they were subscribed."""
        with self._news:
            for key in keys:
                self._keys.pop(key, None)
        self._say({"a": "unsubscribe", "v": list(keys)})

    def focus(self, *keys: str | int) -> None:
        """Of what is subscribed, have these at the full rate and all others once a second; no key: all of them so."""
        with self._news:
            self._focus = keys
        self._say({"a": "focus", "v": list(keys)})

    def unfocus(self) -> None:
        """Have everything at the full rate again."""
        with self._news:
            self._focus = None
        self._say(*self._wishes())

    def watch_books(self, *keys: str | int) -> None:
        """Have the order books of these subscribed instruments, at most 10, and no others; `depth` shows them.

        Raises
        ------
        FrameError
            If there were more.
        """
        if len(keys) > MAX_BOOKS:
            raise FrameError(f"{len(keys)} books were wanted; one listener may have {MAX_BOOKS}")
        with self._news:
            self._books = keys
            self._mirror.watch(keys)
        self._say({"a": "depth", "v": list(keys)})

    def listen(self, *topics: str) -> None:
        """Hear of these topics, such as `overview`, and no others; `topic` shows what was said."""
        with self._news:
            self._topics = topics
            self._mirror.listen(topics)
        self._say({"a": "topics", "v": list(topics)})

    def pause(self) -> None:
        """Be sent nothing until `resume`; meanwhile every number grows old and blank."""
        self._paused = True
        self._say({"a": "pause"})

    def resume(self) -> None:
        """Be sent a snapshot, and what follows."""
        self._paused = False
        self._say({"a": "resume"})

    def _say(self, *messages: dict[str, Any]) -> None:
        with self._saying:
            with self._news:
                socket = self._socket
            if socket is None:
                return  # the hello of the next connection says what is wanted
            try:
                for message in messages:
                    socket.send(json.dumps(message))
            except (OSError, WebSocketException):
                pass  # lost just now: as above

    # -- questions -----------------------------------------------------------------------------------------------

    def wait(self, predicate: Callable[[Mirror], Any], timeout: float = 10.0) -> bool:
        """Whether `predicate(mirror)` became true within `timeout` seconds; it is asked after every message."""
        with self._news:
            return self._news.wait_for(lambda: bool(predicate(self._mirror)), timeout)

    def ask(self, question: Callable[[Mirror], Any]) -> Any:
        """`question(mirror)`, asked while nothing changes."""
        with self._news:
            return question(self._mirror)

    @property
    def table(self) -> np.ndarray:
        """All rows as a RECORD array, live or not: `quote` says which may be shown."""
        return self.ask(lambda mirror: mirror.table)

    @property
    def header(self) -> Frame | None:
        """Header of the newest frame, without its records; None before the first."""
        return self.ask(lambda mirror: mirror.header)

    def quote(self, key_or_token: str | int) -> dict[str, Any]:
        """Numbers of one instrument: live, or None with a `reason`.

        Raises
        ------
        UnknownInstrument
            If it is not subscribed.
        """
        return self.ask(lambda mirror: mirror.quote(key_or_token, self._clock.monotonic()))

    def depth(self, key_or_token: str | int) -> dict[str, Any]:
        """Order book of one instrument that is watched: live, or empty with a `reason`.

        Raises
        ------
        UnknownInstrument
            If it is not subscribed.
        """
        return self.ask(lambda mirror: mirror.depth(key_or_token, self._clock.monotonic()))

    def topic(self, name: str) -> dict[str, Any]:
        """What was last said of a topic, as `message`; None with a `reason` when it may not be shown."""
        return self.ask(lambda mirror: mirror.topic(name, self._clock.monotonic()))

    def feed_age(self) -> float:
        """Seconds since the feed has last proven alive, the way of its news to here included; infinite if unknown."""
        return self.ask(lambda mirror: mirror.feed_age(self._clock.monotonic()))

    def why_blank(self) -> str:
        """Why no number may be shown as live; empty when they may."""
        return self.ask(lambda mirror: mirror.why_blank(self._clock.monotonic()))
