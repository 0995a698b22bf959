"""Viewers of a Panel page that speak Bokeh's protocol: the page is fetched, its session opened and its patches read."""

from __future__ import annotations

import asyncio
import json
import re
from multiprocessing.connection import Connection
from typing import NamedTuple

import websockets
from tornado.httpclient import AsyncHTTPClient
from websockets.typing import Subprotocol

from benchmarks.processes import PATIENCE_S

#: A page of many models is sent whole.
MAX_MESSAGE = 64 << 20


class Patches(NamedTuple):
    """What all sessions of the process were sent so far."""

    sessions: int
    patches: int
    bytes: int


class Sessions:
    """Open sessions of one page. State: their tasks, what they were sent."""

    def __init__(self, port: int, path: str = "/", headers: dict[str, str] | None = None) -> None:
        self._headers = headers or {}
        self._page = f"http://127.0.0.1:{port}{path}"
        self._socket = f"ws://127.0.0.1:{port}{path.rstrip('/')}/ws"
        self._tasks: list[asyncio.Task] = []
        self._patches = self._bytes = 0

    async def open(self, count: int) -> Patches:
        """So many more, one after another; back when each has been sent its document."""
        for _ in range(count):
            page = await AsyncHTTPClient().fetch(self._page, headers=self._headers, request_timeout=PATIENCE_S)
            token = token_of(page.body.decode())
            drawn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._tasks.append(asyncio.create_task(self._listen(token, drawn)))
            await asyncio.wait_for(drawn, PATIENCE_S)
        return self.seen()

    async def _listen(self, token: str, drawn: asyncio.Future[None]) -> None:
        spoken = [Subprotocol("bokeh"), Subprotocol(token)]
        async with websockets.connect(
            self._socket,
            subprotocols=spoken,
            additional_headers=self._headers,
            compression=None,
            max_size=MAX_MESSAGE,
            proxy=None,
        ) as ws:
            kind = ""
            async for message in ws:
                if isinstance(message, str) and message.startswith('{"msgid"'):
                    kind = json.loads(message)["msgtype"]
                    if kind == "ACK":
                        for part in ({"msgid": "1", "msgtype": "PULL-DOC-REQ"}, {}, {}):
                            await ws.send(json.dumps(part))
                    elif kind == "PULL-DOC-REPLY" and not drawn.done():
                        drawn.set_result(None)
                    self._patches += kind == "PATCH-DOC"
                if kind == "PATCH-DOC":
                    self._bytes += len(message)

    def seen(self) -> Patches:
        """How many are open, and what they were sent since the first."""
        return Patches(sum(not task.done() for task in self._tasks), self._patches, self._bytes)


def token_of(page: str) -> str:
    """The session token in a page's HTML.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    found = re.search(r'"token":\s*"([^"]+)"', page)
    if found is None:
        raise RuntimeError(f"the page had no session token: {page[:200]!r}")
    return found[1]


def sessions_process(line: Connection, port: int, headers: dict[str, str] | None = None) -> None:
    """The process: answers `open` with how many, and `seen`, until its line ends. `headers` open a real desk."""
    asyncio.run(_serve(line, Sessions(port, headers=headers)))


async def _serve(line: Connection, sessions: Sessions) -> None:
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[tuple] = asyncio.Queue()

    def hear() -> None:
        try:
            asked.put_nowait(line.recv())
        except EOFError:
            loop.remove_reader(line.fileno())
            asked.put_nowait(("end",))

    loop.add_reader(line.fileno(), hear)
    line.send("ready")
    while (message := await asked.get())[0] != "end":
        line.send(await sessions.open(message[1]) if message[0] == "open" else sessions.seen())
