"""The relay: what one update of 50 rows costs the server per viewer, over real sockets."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable
from typing import Any

import websockets
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from benchmarks.harness import Result, against, limit, seconds
from benchmarks.market import NoUpstream, open_clock, open_hub, publish, tokens
from tapedeck.relay.board import Board
from tapedeck.relay.frames import FIELDS
from tapedeck.relay.server import Relay, StreamHandler

VIEWERS = 50
ROWS = 50
UPDATES = 60
EVERY_S = 0.05


class Plain(WebSocketHandler):
    """The peer: a viewer that is sent its rows as JSON, made for it alone."""

    def initialize(self, viewers: set[Plain]) -> None:
        """Take the set of everybody."""
        self.viewers = viewers

    def open(self, *args: str, **kwargs: str) -> None:
        """Join."""
        self.viewers.add(self)

    def on_message(self, message: str | bytes) -> None:
        """Hear hello."""

    def on_close(self) -> None:
        """Leave."""
        self.viewers.discard(self)


def watch(url: str, viewers: int, ready: Any, done: Any) -> None:
    """Hold that many connections that read and throw away; runs in a process of its own."""

    async def one() -> None:
        async with websockets.connect(url, compression=None, proxy=None) as ws:
            await ws.send(json.dumps({"a": "hello", "v": tokens(ROWS), "rate": 10}))
            await ws.recv()
            ready.release()
            async for _ in ws:
                pass

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(one()) for _ in range(viewers)]
        while not done.is_set():
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()

    asyncio.run(all_of_them())


async def cpu_per_update(routes: list, path: str, update: Callable[[int], None], greet: Callable[[], None]) -> float:
    """CPU seconds of this process per viewer and update, with real viewers in another process."""
    sock, port = bind_unused_port()
    server = HTTPServer(Application(routes))
    server.add_sockets([sock])
    context = multiprocessing.get_context("spawn")
    ready, done = context.Semaphore(0), context.Event()
    child = context.Process(target=watch, args=(f"ws://127.0.0.1:{port}{path}", VIEWERS, ready, done))
    child.start()
    try:
        joined = 0
        while joined < VIEWERS:
            greet()
            await asyncio.sleep(0.02)
            joined += ready.acquire(block=False)
        used = time.process_time()
        for i in range(UPDATES):
            update(i)
            await asyncio.sleep(EVERY_S)
        return (time.process_time() - used) / (VIEWERS * UPDATES)
    finally:
        done.set()
        child.join(10)
        server.stop()
        await server.close_all_connections()


def through_relay() -> float:
    """The relay: one beat per update."""
    hub = open_hub(ROWS)
    relay = Relay(hub, NoUpstream(), open_clock())

    def update(i: int) -> None:
        publish(hub, ROWS, 100.0 + i)
        relay.beat()

    routes = [("/s", StreamHandler, {"relay": relay, "allowed": lambda request: True})]
    return asyncio.run(cpu_per_update(routes, "/s", update, relay.beat))


def as_json() -> float:
    """The peer: the same rows dumped for every viewer."""
    hub = open_hub(ROWS)
    board = Board(hub)
    viewers: set[Plain] = set()

    def update(i: int) -> None:
        publish(hub, ROWS, 100.0 + i)
        board.refresh(i + 1)
        names = ("instrument_token", *FIELDS)
        rows = [{name: float(row[name]) for name in names} for row in board.records]
        for viewer in list(viewers):
            viewer.write_message(json.dumps({"rows": rows}))

    def greet() -> None:
        for viewer in list(viewers):
            viewer.write_message("{}")

    return asyncio.run(cpu_per_update([("/s", Plain, {"viewers": viewers})], "/s", update, greet))


def beat_of_everything() -> Result:
    """How long one beat holds the server's loop when 3,000 instruments changed at once."""
    count = 3000
    hub = open_hub(count)
    board, number = Board(hub), iter(range(1, 1 << 30))

    def beat() -> None:
        publish(hub, count, float(next(number)))
        board.refresh(next(number))

    both_s, publish_s = seconds(beat, lambda: publish(hub, count, float(next(number))))
    return limit(f"encode {count:,} changed instruments", (both_s - publish_s) * 1e3, "ms", at_most=10)


def run() -> list[Result]:
    """Microseconds of CPU per viewer and update, against a JSON dump per viewer; milliseconds of a full beat."""
    ours_s, peer_s = through_relay(), as_json()
    name = f"{ROWS} rows to each of {VIEWERS} viewers, per viewer"
    return [against(name, ours_s, peer="json.dumps per viewer", peer_s=peer_s, goal=5.0), beat_of_everything()]
