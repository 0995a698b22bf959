"""The one upstream websocket: a thread with its own event loop that executes the actions of `feed.Feed`.

State of a `FeedSocket`:

- the `Feed`, under a lock: listeners may come and go on any thread, all else happens on the feed thread
- at most one line: the task that holds the connection from the first byte to the closed socket
- texts waiting to be sent on that line (bounded: when full the line is dropped and reconciled afresh)
- counters and the last text message
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tapedeck import feed
from tapedeck.clock import Clock
from tapedeck.errors import FeedError

from .handshake import check_root, failure, open_line, response_headers, scrub
from .login import Credentials

log = logging.getLogger(__name__)

#: Texts waiting to be sent: a whole reconciliation has at most 12.
OUTBOX = 256
#: Real seconds between two complaints of one kind in the log.
COMPLAIN_EVERY = 10.0

#: Characters of a text message that are kept.
TEXT_KEPT = 500

_FRAME = feed.FrameArrived()
T = TypeVar("T")


def _ignore(*_: object) -> None:
    return None


class FeedSocket:
    """Owner of the connection; every callback is called on the feed thread and may not block it for long.

    `sink(payload, received_at)` gets every binary frame of more than one byte, `on_alive()` hears of every
    frame first, `on_connect(headers)` sees the handshake's answer before the first frame, `on_subscribed`
    and `on_unsubscribed` the tokens before the message leaves. `on_answer(status, fingerprint)` hears what the
    handshake with these credentials was answered: 101, or 403 when they were refused. `why_login` is asked for the
    words when there are no credentials. What a callback raises is counted and logged.
    """

    def __init__(
        self,
        *,
        root: str,
        credentials: Callable[[], Credentials | None],
        sink: Callable[[bytes, int], object],
        clock: Clock,
        in_session: Callable[[], bool],
        on_alive: Callable[[], object] = _ignore,
        on_status: Callable[[feed.FeedStatus], object] = _ignore,
        on_connect: Callable[[Mapping[str, str]], object] = _ignore,
        on_subscribed: Callable[[tuple[int, ...]], object] = _ignore,
        on_unsubscribed: Callable[[tuple[int, ...]], object] = _ignore,
        on_answer: Callable[[int, str], object] = _ignore,
        why_login: Callable[[], str] = str,
        timings: feed.Timings = feed.DEFAULT_TIMINGS,
        limit: int = feed.SUBSCRIPTION_LIMIT,
        rng: random.Random | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.root = check_root(root)
        self.timings = timings
        self._credentials = credentials
        self._sink, self._on_alive, self._on_status, self._on_connect = sink, on_alive, on_status, on_connect
        self._on_subscribed, self._on_unsubscribed = on_subscribed, on_unsubscribed
        self._on_answer, self._why_login = on_answer, why_login
        self._clock, self._in_session = clock, in_session
        self._feed = feed.Feed(rng=rng or random.Random(), timings=timings, limit=limit)
        self._lock = threading.RLock()
        self._tls = (ssl_context or ssl.create_default_context()) if self.root.startswith("wss:") else None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._wake_pending = False
        self._wake_at = 0.0
        self._resting = False
        self._wish: feed.Standby | feed.Start | None = None
        self._token_check = False
        self._said = ""
        self._stopping = False
        self._session = False
        self._line: asyncio.Task[feed.Event] | None = None
        self._connection: ClientConnection | None = None
        self._closer: asyncio.Task[None] | None = None
        self._hung_up = False
        self._outbox: deque[str] = deque()
        self._outbox_filled = asyncio.Event()
        self._awaiting = np.zeros(0, np.uint32)
        self._awaiting_version = -1
        self._complained: dict[str, float] = {}
        self._counters: dict[str, int] = dict.fromkeys(
            ("attempts", "connects", "closes", "frames", "bytes", "heartbeats", "text", "malformed", "sink_errors",
             "callback_errors", "outbox_overflows"), 0,
        )  # fmt: skip
        self.last_message: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"FeedSocket(root={self.root!r}, state={self.status.state!r})"

    # -- for any thread ------------------------------------------------------------------------------------

    @property
    def status(self) -> feed.FeedStatus:
        """What the feed is doing now."""
        return self._feed.status

    @property
    def counters(self) -> dict[str, int]:
        """A copy of the counters."""
        return dict(self._counters)

    @property
    def listeners(self) -> dict[str, int]:
        """Every listener and how many instruments it wants."""
        with self._lock:
            return self._feed.subscriptions.listeners()

    def start(self) -> None:
        """Start the thread and hold a connection from now on; a second call does nothing."""
        with self._lock:
            if self._stopping:
                raise FeedError("the feed was closed; make a new one")
            if self._thread is not None:
                return
            self._loop = asyncio.new_event_loop()
            # Not a daemon: a daemon thread dies in the middle of a write. `_main` ends with the interpreter.
            self._thread = threading.Thread(target=self._run, name="tapedeck-feed", daemon=False)
            self._thread.start()

    def close(self) -> None:
        """End the connection and the thread; callable from any thread, any number of times."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        self._poke()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def subscribe(self, listener: str, tokens: Iterable[int], mode: str = "full") -> None:
        """Add instruments for a listener.

        Raises
        ------
        SubscriptionLimit
            If all listeners together would want more than one connection may carry; nothing changes then.
        """
        self._change(feed.Subscribe(listener, tuple(int(token) for token in tokens), mode))

    def release(self, listener: str, tokens: Iterable[int] | None = None) -> None:
        """Drop instruments of a listener, or all of them."""
        self._change(feed.Release(listener, None if tokens is None else tuple(int(token) for token in tokens)))

    def token_changed(self) -> None:
        """Somebody logged in or out: ask the credentials provider again, on the feed thread.

        A token that was refused is tried once more when the new login returned the same one.
        """
        self._token_check = True
        self._poke()

    def stand_by(self, reason: str) -> None:
        """Hold no connection because another process does; `resume` ends it."""
        self._wish = feed.Standby(reason)
        self._poke()

    def resume(self) -> None:
        """Hold the connection again."""
        self._wish = feed.Start()
        self._poke()

    def _change(self, event: feed.Subscribe | feed.Release) -> None:
        with self._lock:
            self._feed.handle(event, self._clock.monotonic())
        self._poke()

    def _poke(self) -> None:
        # One pending wake-up at most, however many callers there are: the loop's queue stays bounded.
        with self._lock:
            loop = self._loop
            if loop is None or self._wake_pending or loop.is_closed():
                return
            self._wake_pending = True
            loop.call_soon_threadsafe(self._wake.set)

    # -- for the sink, on the feed thread ------------------------------------------------------------------

    def seen(self, tokens: np.ndarray) -> None:
        """Note that these instruments sent a packet; costs nothing unless a first packet is awaited."""
        awaiting, version = self._feed.awaiting, self._feed.awaiting_version
        if not awaiting:
            return
        if self._awaiting_version != version:
            self._awaiting, self._awaiting_version = np.fromiter(awaiting, np.uint32, len(awaiting)), version
        hits = self._awaiting[np.isin(self._awaiting, tokens)]
        if hits.size:
            self._dispatch(feed.PacketsSeen(tuple(hits.tolist())))

    # -- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            for task in asyncio.all_tasks(self._loop):  # none, unless `_main` itself failed
                task.cancel()
                self._loop.run_until_complete(asyncio.wait([task]))
            with self._lock:
                self._loop.close()
            asyncio.set_event_loop(None)

    async def _main(self) -> None:
        self._session = bool(self._call(self._in_session))
        self._dispatch(self._start())
        stopped = False
        while not stopped or self._line is not None:
            # When nobody closed us, the end of the main thread does: else the interpreter could never exit.
            if not stopped and (self._stopping or not threading.main_thread().is_alive()):
                stopped = True
                self._dispatch(feed.Stop())
                continue
            await self._rest()
            if not stopped:
                self._poll()
            self._wake_at = float("inf")
            self._dispatch(feed.Timer())

    async def _rest(self) -> None:
        seconds = min(self._wake_at - self._clock.monotonic(), self.timings.beat)
        self._resting = True
        try:
            await asyncio.wait_for(self._wake.wait(), max(seconds, 0.0))
        except TimeoutError:
            pass  # that is the timer
        self._resting = False
        with self._lock:
            self._wake_pending = False
            self._wake.clear()

    def _poll(self) -> None:
        self._poll_session()
        wish, self._wish = self._wish, None
        if isinstance(wish, feed.Start):
            wish = self._start()
        if wish is not None:
            self._dispatch(wish)
        if self._token_check or self.status.state == "LOGIN_REQUIRED":
            renewed, self._token_check = self._token_check, False
            token, why = self._fingerprint()
            self._dispatch(feed.TokenChanged(token, renewed, why))

    def _poll_session(self) -> None:
        session = self._call(self._in_session)
        if session is not None and bool(session) != self._session:
            self._session = bool(session)
            self._dispatch(feed.SessionChanged(self._session))

    def _provide(self) -> Credentials | None:
        # Asked before every attempt: a token kept from the start would be yesterday's tomorrow.
        return self._call(self._credentials)

    def _fingerprint(self) -> tuple[str, str]:
        """Of the credentials there are now; empty, and why, when there are none."""
        credentials = self._provide()
        return (credentials.fingerprint, "") if credentials else ("", self._call(self._why_login) or "")

    def _start(self) -> feed.Start:
        token, why = self._fingerprint()
        return feed.Start(token=token, in_session=self._session, why=why)

    def _call(self, callback: Callable[..., T], *args: object) -> T | None:
        try:
            return callback(*args)
        except Exception as exc:  # noqa: BLE001  nothing that a callback raises may end the feed
            self._counters["callback_errors"] += 1
            self._complain("callback", "a callback of the feed failed", exc)
            return None

    def _complain(self, kind: str, message: str, exc: BaseException | None = None) -> None:
        now = self._clock.monotonic()
        if now - self._complained.get(kind, float("-inf")) >= COMPLAIN_EVERY:
            self._complained[kind] = now
            # Where, not what: the text of a provider's or server's error may hold the token.
            place = traceback.extract_tb(exc.__traceback__)[-1] if exc is not None and exc.__traceback__ else None
            where = f": {type(exc).__name__} at {place.filename}:{place.lineno}" if place else ""
            log.error("%s%s", message, where)

    # -- events and actions --------------------------------------------------------------------------------

    def _dispatch(self, event: feed.Event) -> None:
        with self._lock:
            actions = self._feed.handle(event, self._clock.monotonic())
        for action in actions:
            self._execute(action)

    def _execute(self, action: feed.Action) -> None:
        match action:
            case feed.WakeAt():
                if action.when < self._wake_at:
                    self._wake_at = action.when
                    if self._resting:
                        self._poke()
            case feed.Send():
                self._post(action.text)
            case feed.Connect():
                assert self._loop is not None
                self._hung_up = False
                self._line = self._loop.create_task(self._attempt(), name="tapedeck-line")
                self._line.add_done_callback(self._line_ended)
            case feed.Disconnect():
                self._hang_up(force=action.force)
            case feed.Report():
                self._say(action.status)
            case feed.Subscribed():
                self._call(self._on_subscribed, action.tokens)
            case feed.Unsubscribed():
                self._call(self._on_unsubscribed, action.tokens)

    def _say(self, status: feed.FeedStatus) -> None:
        # A night of retries is one line per reason, not two per attempt.
        news = status.reason if status.state in ("CONNECTING", "BACKOFF") else status.state
        if news != self._said:
            self._said = news
            log.info("feed %s%s", status.state, f": {status.reason}" if status.reason else "")
        self._call(self._on_status, status)

    def _post(self, text: str) -> None:
        if len(self._outbox) < OUTBOX:
            self._outbox.append(text)
            self._outbox_filled.set()
            return
        # The server does not read. Nothing is lost: the next connection is told everything again.
        self._counters["outbox_overflows"] += 1
        self._outbox.clear()
        self._hang_up(force=True)

    def _hang_up(self, *, force: bool) -> None:
        self._hung_up = True
        connection = self._connection
        if connection is None:
            if self._line is not None:
                self._line.cancel()
        elif force:
            connection.transport.abort()  # a hung server never answers a closing handshake
        elif self._closer is None:
            assert self._loop is not None
            self._closer = self._loop.create_task(connection.close(), name="tapedeck-closer")

    # -- the line ------------------------------------------------------------------------------------------

    def _line_ended(self, line: asyncio.Task[feed.Event]) -> None:
        # A callback of the task, not its last lines: a task may be cancelled before its first one.
        event: feed.Event
        if line.cancelled():
            event = feed.Closed(reason="given up")  # by `_hang_up`, before there was a connection
        elif (exc := line.exception()) is not None:
            self._complain("line", "the feed's line failed", exc)
            event = feed.Closed(reason=f"internal error ({type(exc).__name__})")
        else:
            event = line.result()
        self._connection = self._line = self._closer = None
        self._dispatch(event)
        self._poke()

    async def _attempt(self) -> feed.Event:
        credentials = self._provide()
        if credentials is None:
            return feed.ConnectFailed(error=self._call(self._why_login) or "")
        token = credentials.fingerprint
        self._counters["attempts"] += 1
        try:
            connection = await open_line(self.root, credentials, tls=self._tls, close_timeout=self.timings.closing)
        except Exception as exc:  # noqa: BLE001  the library raises many kinds; all of them are one failed attempt
            failed = failure(exc, token)
            if failed.status:
                self._call(self._on_answer, failed.status, token)
            return failed
        self._counters["connects"] += 1
        self._call(self._on_answer, 101, token)
        self._connection = connection
        try:
            self._outbox.clear()
            self._call(self._on_connect, response_headers(connection))
            self._poll_session()  # what the desk learned from the headers may have changed the clock
            self._dispatch(feed.Connected(token))
            return await self._receive(connection, credentials)
        finally:
            connection.transport.abort()
            await connection.wait_closed()
            self._counters["closes"] += 1

    async def _receive(self, connection: ClientConnection, credentials: Credentials) -> feed.Closed:
        sender = asyncio.create_task(self._send_out(connection), name="tapedeck-sender")
        try:
            while True:
                message = await connection.recv()
                if not self._hung_up:
                    self._frame(message, credentials)
        except ConnectionClosed as exc:
            if exc.rcvd is None:
                return feed.Closed()
            return feed.Closed(exc.rcvd.code, scrub(exc.rcvd.reason, credentials))
        finally:
            sender.cancel()
            await asyncio.gather(sender, *([self._closer] if self._closer else []), return_exceptions=True)

    async def _send_out(self, connection: ClientConnection) -> None:
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled.clear()
            while self._outbox:
                try:
                    await connection.send(self._outbox.popleft())
                except ConnectionClosed:
                    return  # `_receive` sees it too, and says so

    def _frame(self, message: str | bytes, credentials: Credentials) -> None:
        received_at = self._clock.now()
        counters = self._counters
        counters["frames"] += 1
        counters["bytes"] += len(message)
        self._dispatch(_FRAME)
        self._call(self._on_alive)
        if isinstance(message, str):
            self._text(message, credentials)
        elif len(message) > 1:
            try:
                self._sink(message, received_at)
            except Exception as exc:  # noqa: BLE001  a sink that fails may not cost the others the feed
                counters["sink_errors"] += 1
                self._complain("sink", "the feed's sink failed", exc)
        elif message:
            counters["heartbeats"] += 1
        else:
            counters["malformed"] += 1

    def _text(self, text: str, credentials: Credentials) -> None:
        self._counters["text"] += 1
        try:
            document = json.loads(text)
            kind, data = str(document["type"]), document.get("data")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._counters["malformed"] += 1
            return
        said = data if isinstance(data, str) else json.dumps(data)
        self.last_message = (kind, scrub(said[:TEXT_KEPT], credentials))
        if kind == "error":
            self._complain("said", f"Kite says: {self.last_message[1]}")
