"""A relay whose viewers are made of lists, and one behind a real server on a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application

from tapedeck.clock import SECOND, ManualClock, OffsetClock
from tapedeck.errors import SubscriptionLimit
from tapedeck.hub import Hub
from tapedeck.instruments import Instruments
from tapedeck.relay.board import Board
from tapedeck.relay.frames import Frame, parse_frame
from tapedeck.relay.listener import Listener
from tapedeck.relay.mirror import Mirror
from tapedeck.relay.server import Relay, StreamHandler
from tapedeck.relay.wire import Packet
from tapedeck.schema import DEPTH, MODE_FULL, Batch, Instrument, empty_ticks
from tests.hub_support import FRIDAY, at
from tests.support import wait_until

NOW = at(FRIDAY, "11:00")
HELLO = '{"a": "hello", "v": ["NSE:S1", "NSE:S2", 769], "rate": 10}'


def shares(count: int) -> list[Instrument]:
    """Cash shares named S1, S2, ..."""
    return [
        Instrument(256 * i + 1, f"S{i}", "NSE", name=f"SHARE {i}", session_class="cas") for i in range(1, count + 1)
    ]


def full(instruments: list[Instrument], prices: Iterable[float], stamp: int) -> Batch:
    """Full packets with a book."""
    ticks = empty_ticks(len(instruments))
    ticks["instrument_token"] = [one.instrument_token for one in instruments]
    ticks["mode"], ticks["exchange_timestamp"], ticks["last_trade_time"] = MODE_FULL, stamp, stamp - SECOND
    ticks["last_price"] = list(prices)
    ticks["close"], ticks["volume_traded"] = 100.0, 5
    depth = np.zeros(len(instruments), DEPTH)
    depth["instrument_token"] = ticks["instrument_token"]
    depth["buy"]["price"] = ticks["last_price"][:, None] - 0.05
    depth["buy"]["quantity"] = 3
    return Batch(ticks, depth)


class Wishes:
    """An upstream that remembers who wants what, and refuses more than `limit`."""

    def __init__(self, limit: int = 3000) -> None:
        self.limit = limit
        self.held: dict[str, set[int]] = {}

    def subscribe(self, listener: str, tokens: Iterable[int], mode: str = "full") -> None:
        wanted = set(tokens)
        if len(set().union(wanted, *self.held.values())) > self.limit:
            raise SubscriptionLimit(f"{self.limit} instruments are all one connection may carry")
        self.held.setdefault(listener, set()).update(wanted)

    def release(self, listener: str, tokens: Iterable[int] | None = None) -> None:
        if tokens is None:
            self.held.pop(listener, None)
        else:
            self.held[listener] -= set(tokens)


class Rumour:
    """A topic that says how many instruments the board has confirmed, and remembers how it was treated."""

    period_s = 1.0

    def __init__(self) -> None:
        self.heard: list[bool] = []
        self.built = 0
        self.wrong = False

    def listen(self, on: bool) -> None:
        self.heard.append(on)

    def build(self, board: Board) -> str:
        assert self.heard[-1], "nobody listens"
        self.built += 1
        if self.wrong:
            raise ValueError("the rumour was lost")
        prices = board.records["last_price"]
        return json.dumps({"type": "overview", "epoch": board.epoch, "best": float(np.nanmax([*prices, 0.0]))})


class Viewer:
    """A viewer in the same thread: what it is sent, whether it reads, and the mirror it keeps."""

    def __init__(self, relay: Relay, clock: Any) -> None:
        self._clock = clock
        self.messages: list[str | bytes] = []
        self.mirror = Mirror()
        self.stuck = False
        self.left = 0
        self.ended = ""
        self.pings = 0
        self.sends = 0
        self.relay = relay
        listener = relay.join(self)
        assert listener is not None
        self.listener: Listener = listener

    def send(self, packets: list[Packet]) -> None:
        assert not self.stuck, "a viewer that does not read is sent nothing more"
        self.sends += 1
        for packet in packets:
            self.messages.append(packet.content)
            self.mirror.apply(packet.content, self._clock.monotonic())

    def busy(self, now: float) -> bool:
        return self.stuck

    def drained(self) -> int:
        return self.left

    def ping(self) -> None:
        self.pings += 1

    def abort(self) -> None:
        self.ended = "aborted"

    def close(self, code: int, reason: str) -> None:
        self.ended = f"{code} {reason}"

    def say(self, text: str | bytes) -> None:
        self.relay.hear(self.listener, text)

    def take(self) -> list[str | bytes]:
        """What came since the last call."""
        messages, self.messages = self.messages, []
        return messages

    def frames(self) -> list[Frame]:
        """Frames that came since the last call."""
        return [parse_frame(m) for m in self.take() if isinstance(m, bytes)]


def texts(viewer: Viewer, kind: str) -> list[dict[str, Any]]:
    """Text messages of a kind that came since the last call; everything else is dropped."""
    said = [json.loads(m) for m in viewer.take() if isinstance(m, str)]
    return [one for one in said if one["type"] == kind]


def price(viewer: Viewer, token: int) -> float:
    """Last price in the viewer's row of that instrument."""
    row = viewer.mirror.row(token)
    assert row is not None
    return float(row["last_price"])


class Stage:
    """A hub with a live feed, a relay that beats when the test says so, and its viewers."""

    def __init__(self, count: int = 5, *, limit: int = 3000, **options: Any) -> None:
        self.clock = ManualClock(NOW, monotonic=1000.0)
        self.instruments = shares(count)
        self.hub = Hub(self.clock)
        self.hub.open_source("kite", Instruments(self.instruments))
        self.hub.connected()
        self.hub.feed_status("LIVE")
        self.wishes = Wishes(limit)
        self.relay = Relay(self.hub, self.wishes, self.clock, **options)

    def publish(self, *prices: float, first: int = 0) -> None:
        """Full packets for the instruments from `first` on."""
        chosen = self.instruments[first : first + len(prices)]
        self.hub.publish(full(chosen, prices, self.clock.now()))

    def beat(self, times: int = 1, *, alive: bool = True) -> None:
        """Let tenths of a second pass, with a beat of the relay after each."""
        for _ in range(times):
            self.clock.advance(0.1)
            if alive:
                self.hub.alive()
            self.relay.beat()
        assert self.relay.stats["failed"] == 0

    def viewer(self, hello: str = "") -> Viewer:
        """A new viewer; one that has said hello is sent its first messages with the next beat."""
        viewer = Viewer(self.relay, self.clock)
        if hello:
            viewer.say(hello)
        return viewer


class HeldClock(OffsetClock):
    """The machine's clock, until a test holds it still; then real time goes on as the test says."""

    held_at: float | None = None

    def monotonic(self) -> float:
        return super().monotonic() if self.held_at is None else self.held_at

    def hold(self) -> None:
        self.held_at = super().monotonic()

    def push(self, seconds: float) -> None:
        assert self.held_at is not None, "hold it first"
        self.held_at += seconds


class Served:
    """A stage behind a real server: the relay beats on the server's loop, on a thread of its own."""

    def __init__(
        self, count: int, *, allowed: Callable[[Any], bool], sndbuf: int = 0, ring_size: int = 1 << 18, **options: Any
    ) -> None:
        self.clock = HeldClock(NOW)
        self.instruments = shares(count)
        self.hub = Hub(self.clock, ring_size=ring_size)
        self.hub.open_source("sim:7:2026-11-20", Instruments(self.instruments))
        self.hub.connected()
        self.hub.feed_status("LIVE")
        self.hub.alive()
        self.wishes = Wishes()
        self.relay = Relay(self.hub, self.wishes, self.clock, **options)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._allowed, self._sndbuf = allowed, sndbuf
        self.port = 0
        self._server: HTTPServer | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        wait_until(lambda: self.port)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        routes = [("/api/stream", StreamHandler, {"relay": self.relay, "allowed": self._allowed})]
        sock, port = bind_unused_port()
        if self._sndbuf:
            sock.setsockopt(1, 7, self._sndbuf)  # SOL_SOCKET, SO_SNDBUF: inherited by what it accepts
        self._server = HTTPServer(Application(routes))
        self._server.add_sockets([sock])
        self.relay.start(IOLoop.current())
        self.port = port
        await self._stop.wait()
        self._server.stop()
        await self._server.close_all_connections()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/stream"

    def publish(self, *prices: float, first: int = 0) -> None:
        """Full packets for the instruments from `first` on."""
        self.hub.publish(full(self.instruments[first : first + len(prices)], prices, self.clock.now()))

    def on_loop(self, call: Callable[[], Any]) -> Any:
        """What `call` returns when the server's loop runs it."""

        async def run() -> Any:
            return call()

        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def close(self) -> None:
        self.relay.close()
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


@contextmanager
def served(
    count: int = 5, *, allowed: Callable[[Any], bool] = lambda request: True, **options: Any
) -> Iterator[Served]:
    """A relay behind a server on a free port."""
    server = Served(count, allowed=allowed, **options)
    try:
        yield server
    finally:
        server.close()
