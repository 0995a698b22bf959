"""The websocket half of the simulated exchange: handshake, cached first tick, changes, heartbeats.

State: the open connections, the market time the stream has reached, and when each socket was last written to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapedeck.clock import SECOND
from tapedeck.kite import packets
from tapedeck.schema import Batch
from tapedeck.sim.clock import LoopClock
from tapedeck.sim.faults import Faults, garbage_frame
from tapedeck.sim.load import LoadSource
from tapedeck.sim.log import ConnectionLog, Entry, hung_up
from tapedeck.sim.rest import BAD_TOKEN, KiteHandler
from tapedeck.sim.subscriptions import Subscriptions, in_modes
from tapedeck.sim.today import Today
from tapedeck.sim.websocket import TEXT, WebSocket, accept_key

#: The market moves in steps of this length.
STEP_NS = SECOND // 4
BEAT_S = 0.25
#: While the load fault is in force the stream runs in shorter beats, so that its rate is steady.
LOAD_BEAT_S = 0.05
HEARTBEAT = b"\x00"
HEARTBEAT_S = 1.0
#: Connections of one API key; what Kite does with a fourth is not documented, 429 is our guess.
MAX_CONNECTIONS = 3


@dataclass(eq=False, slots=True)
class Connection:
    """One open websocket: what it wants, how far it has been served, its line in the log."""

    socket: WebSocket
    entry: Entry
    cursor_ns: int
    last_sent: float
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    load: LoadSource | None = None


class Streamer:
    """Sends every connection what changed, every 250 ms of real time.

    A slow reader is skipped, not queued for: its cursor stays where it is and it gets the newest values once
    it has caught up; `skipped` counts the beats it missed.
    """

    def __init__(
        self,
        today: Today,
        faults: Faults,
        log: ConnectionLog,
        clock: LoopClock,
        *,
        token_died: Callable[[], bool] = lambda: False,
    ) -> None:
        self._today = today
        self._faults = faults
        self._log = log
        self._clock = clock
        self._token_died = token_died
        self._connections: list[Connection] = []
        self.step_ns = clock.now() // STEP_NS * STEP_NS
        self.skipped = 0
        self.ticks_sent = 0

    async def run(self) -> None:
        """Beat until cancelled; a late beat is not made up for."""
        loop = asyncio.get_running_loop()
        # Just after a step of the market, or beats and steps would pass each other by now and then.
        due = loop.time() + (STEP_NS - self._clock.now() % STEP_NS) / SECOND / self._clock.speed + 0.002
        await asyncio.sleep(due - loop.time())
        beats = 0
        while True:
            loading = self._faults.active("load") is not None
            beats += 1
            if loading:
                self.beat_load()
            if not loading or beats % round(BEAT_S / LOAD_BEAT_S) == 0:
                self.beat()
            due = max(due + (LOAD_BEAT_S if loading else BEAT_S), loop.time())
            await asyncio.sleep(due - loop.time())

    def beat(self) -> None:
        """One step: follow the clock, notice the dead, send changes and heartbeats."""
        if self._today.follow():
            self.drop(1001, "the simulated day has ended")
        if self._token_died():
            self.drop(None, "token expired")
        self.step_ns = self._clock.now() // STEP_NS * STEP_NS
        self.sweep()
        for connection in list(self._connections):
            self._serve(connection)

    def beat_load(self) -> None:
        """Synthetic ticks for everybody, at the rate the load fault asks for."""
        fault, loaded = self._faults.active("load"), self._today.loaded
        if fault is None or loaded is None:
            return
        for connection in list(self._connections):
            tokens, _ = connection.subscriptions.arrays()
            tokens = tokens[np.isin(tokens, loaded.day.tokens)]
            if connection.load is None or not np.array_equal(connection.load.tokens, tokens):
                connection.load = LoadSource(loaded.day.snapshot(tokens, self.step_ns), tokens, fault.rng, self._clock)
            for payload, ticks in connection.load.frames(fault.args["ticks_per_s"], self.step_ns):
                self._send(connection, payload, ticks)

    def join(self, connection: Connection) -> None:
        """Serve this connection from the next beat on."""
        self._connections.append(connection)

    def leave(self, connection: Connection) -> None:
        """Forget a connection and note why it ended."""
        if connection in self._connections:
            self._connections.remove(connection)
        connection.entry.subscribed = connection.subscriptions.counts()
        self._log.closed(connection.entry, connection.socket.reason or "closed")

    def handle(self, connection: Connection, text: str) -> None:
        """One message of a client, answered at once: with its cached ticks or with an error frame."""
        error = connection.subscriptions.handle(text)
        connection.entry.subscribed = connection.subscriptions.counts()
        if error is not None:
            connection.socket.send(json.dumps({"type": "error", "data": error}).encode(), TEXT)
        if not self._mute():
            self._send_unsent(connection)

    def send_text(self, document: dict[str, Any]) -> int:
        """Send a text frame to everybody; returns to how many."""
        data = json.dumps(document).encode()
        return sum(connection.socket.send(data, TEXT) for connection in self._connections)

    def drop(self, code: int | None, reason: str) -> list[WebSocket]:
        """Close all connections, without a close frame when `code` is None, and return their sockets."""
        dropped = list(self._connections)
        for connection in dropped:
            # For us they are over now: a client may be back before it has answered our close frame.
            connection.socket.close(code, reason)
            self.leave(connection)
        return [connection.socket for connection in dropped]

    def sweep(self) -> None:
        """Close the connections whose peer is gone, even those nobody reads from."""
        gone = set(map(id, self._log.sweep()))
        for connection in [c for c in self._connections if id(c.entry) in gone]:
            connection.socket.abort("peer closed the connection")
            self.leave(connection)

    def _mute(self) -> bool:
        return self._faults.silent() or self._faults.active("heartbeat_only") is not None

    def _serve(self, connection: Connection) -> None:
        if not self._mute():
            self._send_unsent(connection)
            if self._faults.active("load") is None:
                self._send_changes(connection)
        now = self._clock.monotonic()
        # Half a beat of tolerance: else a heartbeat would come every 1.25 s.
        if now - connection.last_sent >= HEARTBEAT_S - BEAT_S / 2 and connection.socket.send(HEARTBEAT):
            connection.last_sent = now

    def _send_unsent(self, connection: Connection) -> None:
        loaded, unsent = self._today.loaded, connection.subscriptions.unsent
        if loaded is None or not unsent:
            return
        tokens, modes = connection.subscriptions.arrays()
        wanted = np.isin(tokens, np.fromiter(unsent, "u4", len(unsent))) & np.isin(tokens, loaded.day.tokens)
        if wanted.any():
            batch = loaded.day.snapshot(tokens[wanted], self.step_ns)
            if not self._deliver(connection, batch, modes[wanted]):
                return
        unsent.clear()

    def _send_changes(self, connection: Connection) -> None:
        loaded = self._today.loaded
        if loaded is None or connection.cursor_ns >= self.step_ns:
            return
        tokens, modes = connection.subscriptions.arrays()
        known = np.isin(tokens, loaded.day.tokens)
        tokens, modes = tokens[known], modes[known]
        changed = loaded.day.changed(tokens, connection.cursor_ns, self.step_ns) if len(tokens) else np.zeros(0, bool)
        if not changed.any() or self._deliver(
            connection, loaded.day.snapshot(tokens[changed], self.step_ns), modes[changed]
        ):
            connection.cursor_ns = self.step_ns
            return
        connection.entry.skipped += 1
        self.skipped += 1

    def _deliver(self, connection: Connection, batch: Batch, modes: np.ndarray) -> bool:
        """Send a batch with what the active faults make of it; False when the reader is too far behind."""
        shown = in_modes(batch, modes)
        payload = packets.encode(shown.ticks, shown.depth)
        self._send_garbage(connection, payload)
        if not self._send(connection, payload, len(modes)):
            return False
        if self._faults.active("duplicate") is not None:
            self._send(connection, payload, len(modes))
        late, loaded = self._faults.active("out_of_order"), self._today.loaded
        if late is not None and loaded is not None:
            older_ns = self.step_ns - int(late.args["lag_s"] * SECOND) // STEP_NS * STEP_NS
            older = in_modes(loaded.day.snapshot(batch.ticks["instrument_token"], older_ns), modes)
            self._send(connection, packets.encode(older.ticks, older.depth), len(modes))
        return True

    def _send_garbage(self, connection: Connection, payload: bytes) -> None:
        fault = self._faults.active("garbage")
        if fault is None:
            return
        fault.count += 1
        if fault.count % int(fault.args["every"]):
            return
        broken, raw = garbage_frame(fault.args["kind"], payload, fault.rng)
        if raw:
            connection.socket.send_raw(broken)
        else:
            connection.socket.send(broken, TEXT if fault.args["kind"] == "text" else 2)

    def _send(self, connection: Connection, payload: bytes, ticks: int) -> bool:
        if not connection.socket.send(payload):
            return False
        connection.last_sent = self._clock.monotonic()
        connection.entry.sent += ticks
        self.ticks_sent += ticks
        return True


class StreamHandler(KiteHandler):
    """`/`: upgrades to a websocket when asked to; a page for people otherwise."""

    needs_token = False
    limit = "handshake"

    async def prepare(self) -> None:
        pass  # a handshake has its own order of checks, and every outcome is logged

    async def get(self) -> None:
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(FRONT_PAGE)
            return
        self.api_key = self.get_query_argument("api_key", "")
        exchange = self.exchange
        while exchange.faults.hangs("handshakes"):
            if self._gone:
                exchange.log.refuse(self.api_key, 0, "left unanswered")
                return
            await asyncio.sleep(0.05)
        # What an older socket sent before this one was opened must be seen first: its close frame needs up
        # to two turns of the loop, its end is asked of the kernel.
        for _ in range(3):
            await asyncio.sleep(0)
        exchange.streamer.sweep()
        self._check()
        await self._upgrade()

    def _check(self) -> None:
        exchange, key = self.exchange, self.api_key
        if "Sec-Websocket-Key" not in self.request.headers or self.request.version != "HTTP/1.1":
            self._refuse_handshake(400, "Invalid websocket handshake")
        if exchange.faults.active("http_429") is not None:
            self._refuse_handshake(429, "Too many requests")
        denied = exchange.faults.active("http_403") is not None
        if denied or not exchange.account.knows(key, self.get_query_argument("access_token", "")):
            exchange.log.refuse_token("handshake")
            self._refuse_handshake(403, BAD_TOKEN)
        if exchange.log.open_of(key) >= MAX_CONNECTIONS:
            self._refuse_handshake(429, "Too many requests")

    def _refuse_handshake(self, status: int, message: str) -> None:
        self.exchange.log.refuse(self.api_key, status, message)
        self.refuse(status, message)

    async def _upgrade(self) -> None:
        exchange = self.exchange
        document = json.dumps(exchange.clock.document(), separators=(",", ":"))
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(self.request.headers['Sec-Websocket-Key'])}\r\n"
            f"X-Tapedeck-Sim: {document}\r\n\r\n"
        )
        stream = self.detach()
        if stream.socket is None or hung_up(stream.socket):
            exchange.log.refuse(self.api_key, 0, "peer left before the answer")
            stream.close()
            return
        stream.set_nodelay(True)
        faults = exchange.faults
        socket = WebSocket(stream, silent=faults.silent, deaf=faults.deaf, delay=faults.delay)
        entry = exchange.log.opened(self.api_key, stream.socket)
        # With no socket to send to yet there is no first heartbeat either: it comes a second from now.
        connection = Connection(socket, entry, exchange.streamer.step_ns, exchange.clock.monotonic())
        exchange.streamer.join(connection)
        try:
            stream.write(answer.encode())
            async for text in socket.messages():
                exchange.streamer.handle(connection, text)
        finally:
            exchange.streamer.leave(connection)
            socket.abort()


FRONT_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SIMULATED exchange</title></head>
<body style="font:16px/1.5 system-ui,sans-serif;margin:3rem"><p><b>SIMULATED</b></p>
<p>This is Tapedeck's simulated exchange. It speaks Kite Connect on this address, REST and websocket.</p>
<ul><li><a href="/sim/clock">clock</a></li><li><a href="/sim/connections">connections</a></li>
<li><a href="/sim/faults">faults</a></li></ul></body></html>"""
