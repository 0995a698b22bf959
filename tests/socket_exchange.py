"""A small real websocket server that misbehaves on demand, and a desk that notes what its socket does."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from tapedeck.clock import SystemClock
from tapedeck.feed import Timings
from tapedeck.kite.login import Credentials
from tapedeck.kite.socket import FeedSocket
from tests.support import wait_until

#: The feed's durations, ten to twenty times as fast.
FAST = Timings(
    fresh_ttl=0.5,
    late=0.25,
    handshake=0.4,
    first_wait=0.05,
    wait_in_session=0.1,
    wait_outside=0.1,
    stable_after=0.3,
    first_packet=0.3,
    closing=0.2,
    beat=0.05,
)

TOKEN = "tok/en with+secret=%41"


class Exchange:
    """A websocket server on its own thread.

    `answer` is the HTTP status of the handshake (101 accepts), `mute` stops its heartbeats, `hang` its
    handshakes; every connection's query, headers and texts are kept.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.answer = 101
        self.headers: dict[str, str] = {"X-Tapedeck-Sim": "{}"}
        self.mute = False
        self.hang = False
        self.on_open: list[bytes | str] = []
        self.requests: list = []
        self.texts: list[list[dict]] = []
        self.now_open = 0
        self.most_open = 0
        self.sockets: set = set()
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, name="test-exchange")
        self.thread.start()
        self.ready.wait(5)

    @property
    def root(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}"

    def _run(self) -> None:
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        self.end = asyncio.Event()
        logger = logging.Logger("test-exchange")
        logger.disabled = True
        async with serve(
            self._handle, "127.0.0.1", 0, process_request=self._request, process_response=self._response,
            ssl=self.tls,
            ping_interval=None, close_timeout=0.1, logger=logger,
        ) as server:  # fmt: skip
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.end.wait()

    async def _request(self, connection, request):
        self.requests.append(request)
        while self.hang:
            await asyncio.sleep(0.01)
        if self.answer != 101:
            return Response(self.answer, "no", Headers({"Content-Length": "0", **self.headers}), b"")
        return None

    def _response(self, connection, request, response):
        response.headers.update(self.headers)
        return response

    async def _handle(self, ws) -> None:
        self.now_open += 1
        self.most_open = max(self.most_open, self.now_open)
        self.sockets.add(ws)
        texts: list[dict] = []
        self.texts.append(texts)
        beat = asyncio.create_task(self._beat(ws))
        try:
            for message in self.on_open:
                await ws.send(message)
            async for text in ws:
                texts.append(json.loads(text))
        finally:
            beat.cancel()
            self.sockets.discard(ws)
            self.now_open -= 1

    async def _beat(self, ws) -> None:
        while True:
            if not self.mute:
                await ws.send(b"\x00")
            await asyncio.sleep(0.05)

    def send(self, message: bytes | str) -> None:
        """Send to every connection."""
        for ws in list(self.sockets):
            asyncio.run_coroutine_threadsafe(ws.send(message), self.loop).result(5)

    def drop(self, *, code: int | None = None, reason: str = "") -> None:
        """End every connection, with a closing handshake when there is a code."""

        async def end() -> None:
            for ws in list(self.sockets):
                if code is None:
                    ws.transport.abort()
                else:
                    await ws.close(code, reason)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(5)

    def stop(self) -> None:
        self.hang = False
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(10)


class Desk:
    """What a desk would hang on the socket."""

    def __init__(self, exchange: Exchange, **options) -> None:
        self.token: str | None = TOKEN
        self.payloads: list[bytes] = []
        self.stamps: list[int] = []
        self.statuses: list = []
        self.headers: list = []
        self.order: list[str] = []
        self.subscribed: set[int] = set()
        self.in_session = True
        self.alive = 0
        self.asked = 0
        self.read = 0
        self.fail_sink = False
        options = {"timings": FAST, **options}
        self.socket = FeedSocket(
            root=options.pop("root", exchange.root),
            credentials=self.credentials,
            sink=self.sink,
            clock=SystemClock(),
            in_session=lambda: self.in_session,
            on_alive=self.on_alive,
            on_status=self.on_status,
            on_connect=self.on_connect,
            on_subscribed=self.subscribed.update,
            on_unsubscribed=self.subscribed.difference_update,
            **options,
        )

    def credentials(self) -> Credentials | None:
        self.asked += 1
        return Credentials("kitekey", self.token) if self.token else None

    def sink(self, payload: bytes, received_at: int) -> None:
        self.order.append("frame")
        self.payloads.append(payload)
        self.stamps.append(received_at)
        if self.fail_sink:
            raise ValueError("the sink broke")

    def on_alive(self) -> None:
        self.alive += 1

    def on_status(self, status) -> None:
        self.statuses.append(status)

    def on_connect(self, headers) -> None:
        self.order.append("connect")
        self.headers.append(headers)

    @property
    def states(self) -> list[str]:
        return [status.state for status in self.statuses]

    def wait_for(self, state: str) -> None:
        """Wait until the state was reported, at or after the one last waited for; some last milliseconds only."""

        def reported() -> bool:
            for i in range(self.read, len(self.statuses)):
                if self.statuses[i].state == state:
                    self.read = i
                    return True
            return False

        wait_until(reported)
