"""A simulated exchange inside the test process, whose time stands still until the test lets it pass."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import requests
from kiteconnect import KiteConnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tapedeck.cli import parse_start
from tapedeck.clock import Clock, ManualClock
from tapedeck.kite import packets
from tapedeck.schema import Batch
from tapedeck.sim.clock import LoopClock
from tapedeck.sim.market import Market
from tapedeck.sim.server import SimServer

INFY, TCS, NIFTY = "NSE:INFY", "NSE:TCS", "NSE:NIFTY 50"


@cache
def shared_market(seed: int = 7) -> Market:
    """One market for all tests: its days are expensive and never change."""
    return Market(seed=seed)


class Sim:
    """A SimServer on its own thread and loop. `real` is a ManualClock unless another clock is given."""

    def __init__(
        self,
        *,
        start: str = "2026-11-23T10:00:00",
        speed: float = 1.0,
        real: Clock | None = None,
        market: Market | None = None,
        **options: Any,
    ) -> None:
        self.real = real or ManualClock(monotonic=1000.0)
        self.clock = LoopClock(parse_start(start), speed=speed, real=self.real)
        options.setdefault("beating", real is not None)
        self.server = SimServer(market or shared_market(), self.clock, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sim-under-test")
        self._thread.start()
        self._sessions: list[requests.Session] = []
        try:
            self.run(self.server.start())
        except BaseException:
            self._end_loop()
            raise

    def __enter__(self) -> Sim:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions:
            session.close()
        self.run(self.server.stop())
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        return self.server.address

    def run(self, work: Any) -> Any:
        """Result of a coroutine, run on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Result of a function, called on the server's loop."""

        async def work() -> Any:
            return function(*args)

        return self.run(work())

    def beat(self, times: int = 1, seconds: float = 0.25) -> None:
        """Let time pass and the stream beat."""
        for _ in range(times):
            assert isinstance(self.real, ManualClock)
            self.real.advance(seconds)
            self.call(self.server.exchange.streamer.beat)

    def token(self, key: str) -> int:
        """Instrument token of a key."""
        return self.server.exchange.today.loaded.by_key[key].instrument_token

    def kite(self, *, login: bool = True) -> KiteConnect:
        """The official client on this server, logged in unless told otherwise."""
        # On a busy machine the first day of a market takes longer to make than the client waits by itself.
        kite = KiteConnect("simkey", root=self.address, timeout=60)
        self._sessions.append(kite.reqsession)
        if login:
            kite.generate_session(self.request_token(), "simsecret")
        return kite

    def request_token(self, **params: Any) -> str:
        """What the browser would carry to the redirect address."""
        params = {"v": 3, "api_key": "simkey", "auto": 1} | params
        answer = self.get("/connect/login", params=params, allow_redirects=False)
        return parse_qs(urlsplit(answer.headers["Location"]).query)["request_token"][0]

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.address + path, timeout=10, **options)

    def fault(self, name: str, **args: Any) -> requests.Response:
        """Switch a fault on."""
        return requests.post(f"{self.address}/sim/faults", json={"fault": name, **args}, timeout=10)

    def connections(self) -> dict[str, Any]:
        """The connection log."""
        return self.get("/sim/connections").json()

    def ws_url(self, access_token: str | None = None) -> str:
        token = access_token or self.kite().access_token
        return f"{self.address.replace('http', 'ws', 1)}/?api_key=simkey&access_token={token}"

    def stream(self, *keys: str, mode: str = "") -> Stream:
        """An open websocket, subscribed to these instruments."""
        stream = Stream(self.ws_url())
        tokens = [self.token(key) for key in keys]
        if tokens:
            stream.send({"a": "subscribe", "v": tokens})
            stream.batch()
            if mode:
                stream.send({"a": "mode", "v": [mode, tokens]})
                stream.batch()
        return stream


class Stream:
    """The client's end of a websocket."""

    def __init__(self, url: str) -> None:
        self._open = ExitStack()
        opening = connect(url, compression=None, proxy=None, max_size=None, max_queue=None)
        self.connection: ClientConnection = self._open.enter_context(opening)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def send(self, message: Any) -> None:
        self.connection.send(message if isinstance(message, str) else json.dumps(message))

    def frame(self, timeout: float = 10.0) -> bytes | str:
        """The next frame of any kind."""
        return self.connection.recv(timeout)

    def batch(self) -> Batch:
        """The next market frame."""
        while True:
            frame = self.frame()
            if isinstance(frame, bytes) and len(frame) > 1:
                return packets.parse(frame)

    def until_closed(self) -> tuple[list[bytes | str], int | None]:
        """All frames to the end, and the code of the server's close frame, None when there was none."""
        frames = []
        try:
            while True:
                frames.append(self.frame())
        except ConnectionClosed as exc:
            return frames, exc.rcvd.code if exc.rcvd else None

    def ticks_until_closed(self) -> np.ndarray:
        """The ticks of all frames to the end."""
        frames = [frame for frame in self.until_closed()[0] if isinstance(frame, bytes)]
        return np.concatenate([packets.parse(frame).ticks for frame in frames])

    def silent(self, timeout: float = 0.15) -> bool:
        """Whether nothing at all comes."""
        try:
            self.connection.recv(timeout)
        except TimeoutError:
            return True
        return False
