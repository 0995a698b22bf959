"""A desk and a relay that do what a test tells them: the browser's view of the stream, frame by frame.

Written from the wire format alone, so that the page is tested against the format and not against its writer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from tapedeck.index_members import nifty50
from tapedeck.schema import Instrument
from tests.fake_routes import FakeWorkspace, fake_routes

STATES = ("IDLE", "CONNECTING", "LIVE", "STALE", "BACKOFF", "LOGIN_REQUIRED", "STANDBY")
PHASES = ("CLOSED", "PRE_OPEN", "LIVE", "CLOSING_AUCTION", "POST_CLOSE", "HOLIDAY", "WEEKEND")
FIELDS = (
    "last_price", "close", "open", "high", "low", "average_traded_price", "volume_traded", "oi",
    "last_traded_quantity", "total_buy_quantity", "total_sell_quantity", "last_trade_time_ms",
    "exchange_timestamp_ms", "official_close", "official_date", "bid_price", "bid_quantity",
    "ask_price", "ask_quantity",
)  # fmt: skip
HEADER = np.dtype(
    [
        ("magic", "S4"), ("version", "<u2"), ("kind", "<u2"), ("record_count", "<u4"), ("record_size", "<u4"),
        ("feed_state", "u1"), ("flags", "u1"), ("pad2", "<u2"), ("pad4", "<u4"), ("epoch", "<f8"),
        ("sequence", "<f8"), ("market_time_ms", "<f8"), ("feed_age_s", "<f8"), ("conflated", "<f8"),
    ]
)  # fmt: skip
RECORD = np.dtype(
    [("instrument_token", "<u4"), ("flags", "u1"), ("phase", "u1"), ("mode", "u1"), ("pad", "u1")]
    + [(name, "<f8") for name in FIELDS]
)
HEARTBEAT, DELTA, SNAPSHOT = 0, 1, 2
CONFIRMED, HELD = 1, 2
#: 2026-11-23 10:00:00 IST
MARKET_MS = 1_795_408_200_000.0
NAMES = {
    "INFY": "INFOSYS",
    "TCS": "TATA CONSULTANCY SERV LT",
    "RELIANCE": "RELIANCE INDUSTRIES",
    "SBIN": "STATE BANK OF INDIA",
}
INDICES = ("NIFTY 50", "NIFTY BANK", "INDIA VIX")


def make_instruments(count: int = 50) -> list[Instrument]:
    """`count` shares (four with real names first) and the three indices of the tape."""
    symbols = [*NAMES, *(f"SHARE{i:02d}" for i in range(count))][:count]
    shares = [
        Instrument(256 * (i + 1) + 1, symbol, "NSE", name=NAMES.get(symbol, f"SHARE NUMBER {i}"), segment="NSE")
        for i, symbol in enumerate(symbols)
    ]
    indices = [
        Instrument(256 * (1000 + i) + 9, name, "NSE", tick_size=0.0, segment="INDICES")
        for i, name in enumerate(INDICES)
    ]
    return shares + indices


class FakeDesk:
    """As much of a desk as a page asks for."""

    def __init__(self, instruments: list[Instrument], *, source: str = "sim:7:2026-11-23", simulated: bool = True):
        self.by_key = {instrument.key: instrument for instrument in instruments}
        self.instruments = self
        self.source = source
        self.simulated = simulated
        self.workspace = FakeWorkspace(self.watchlist())
        self.days: dict[str, dict[str, Any]] = {}
        #: What the System page is told, and how often it asked.
        self.report: dict[str, Any] | None = None
        self.reports = 0
        self.posted: list[str] = []
        self.role = "operator"
        #: 09:15 of the day of MARKET_MS.
        self.open_ms = MARKET_MS - 45 * 60_000

    def find(self, key_or_token: str | int) -> Instrument | None:
        return self.by_key.get(str(key_or_token))

    def search_examples(self) -> tuple[str, ...]:
        return ("nifty 26000 ce", "infy fut", "state bank")

    def watchlist(self) -> list[str]:
        return [key for key, instrument in self.by_key.items() if not instrument.is_index]


class FakeRelay:
    """Rows, header and state of a stream, changed by the test's thread and sent by the server's.

    State: `rows` (RECORD), the header's values, `listeners`, `received` (every client message). `beating`
    sends a heartbeat five times a second and the state once a second; `refusing` answers handshakes with 503.
    """

    def __init__(self, desk: FakeDesk) -> None:
        self.desk = desk
        self.rows = np.zeros(len(desk.by_key), RECORD)
        self.slot = {key: i for i, key in enumerate(desk.by_key)}
        for i, instrument in enumerate(desk.by_key.values()):
            self.rows[i] = _opening_row(instrument)
        self.epoch, self.sequence, self.feed_state, self.feed_age, self.reason = 1.0, 1.0, "LIVE", 0.2, ""
        self.market_ms = MARKET_MS
        self.coarse, self.replay = "LIVE", False
        self.overview: dict[str, Any] | None = None
        self.books: dict[str, dict[str, Any]] = {}
        self.until_ms, self.next_phase, self.phase_reason = MARKET_MS + 5 * 3_600_000.0, "CLOSED", ""
        self.counters = {
            "viewers": 1, "ticks_per_s": 240.0, "frames": 100, "connections": 1, "subscribed": 53, "refused": 0,
            "cpu_pct": 3.2,
        }  # fmt: skip
        self.login = {"state": "VALID", "cause": "logged in", "user_id": ""}
        self.beating, self.refusing = True, False
        self.run = "run-1"
        self.listeners: list[StreamHandler] = []
        self.received: list[dict[str, Any]] = []
        self.loop: IOLoop | None = None
        self._beats: list[PeriodicCallback] = []

    def routes(self) -> list[tuple[str, type, dict[str, Any]]]:
        """For a server's `extra_patterns`."""
        return [(r"/api/stream", StreamHandler, {"relay": self}), *fake_routes(self.desk)]

    def start(self) -> None:
        """Begin to beat; on the server's loop."""
        self.loop = IOLoop.current()
        self._beats = [PeriodicCallback(self._heartbeat, 200), PeriodicCallback(self._tell, 1000)]
        for beat in self._beats:
            beat.start()

    def stop(self) -> None:
        """Stop beating and hang up; on the server's loop."""
        for beat in self._beats:
            beat.stop()
        for listener in list(self.listeners):
            listener.close()

    def do(self, action: Callable[[], Any]) -> Any:
        """Run `action` on the server's loop and wait for its result."""
        done, box = threading.Event(), []
        assert self.loop is not None, "the relay was not started"
        self.loop.add_callback(lambda: (box.append(action()), done.set()))
        assert done.wait(10), "the server's loop is stuck"
        return box[0]

    def publish(self, key: str, **values: float) -> None:
        """Change fields of one instrument and send the change to everybody."""
        slot = self.slot[key]
        for name, value in values.items():
            self.rows[name][slot] = value
        self.sequence += 1
        frame = self.frame(DELTA, self.rows[slot : slot + 1].copy())
        self.do(lambda: self.broadcast(frame))

    def mark(self, *, confirmed: bool = True, held: bool = True, phase: str = "LIVE") -> None:
        """Give every instrument these flags and this phase, and send everything."""
        self.rows["flags"] = confirmed * CONFIRMED + held * HELD
        self.rows["phase"] = PHASES.index(phase)
        self.sequence += 1
        frame = self.frame(DELTA, self.rows)
        self.do(lambda: self.broadcast(frame))

    def tell(self) -> None:
        """Send the state message and a heartbeat at once."""
        self.do(lambda: (self._tell(), self.broadcast(self.frame(HEARTBEAT))))

    def show_overview(self, **fields: Any) -> None:
        """Send an overview of the market; `fields` over a plausible one."""
        self.overview = _overview(self.desk, self.rows) | fields
        self.do(lambda: self.broadcast(self.overview or {}))

    def show_book(self, key: str, **fields: Any) -> None:
        """Send the book of one instrument; `fields` over a plausible one."""
        row, token = self.rows[self.slot[key]], self.desk.by_key[key].instrument_token
        self.books[key] = _book(key, token, float(row["last_price"])) | fields
        self.do(lambda: self.broadcast(self.books[key]))

    def hang_up(self) -> None:
        """Close every connection."""
        self.do(lambda: [listener.close() for listener in list(self.listeners)])

    def frame(self, kind: int, records: np.ndarray | None = None) -> bytes:
        """One binary frame of what the relay holds now."""
        header = np.zeros((), HEADER)
        count = 0 if records is None else len(records)
        header["magic"], header["version"], header["kind"] = b"TDK1", 1, kind
        header["record_count"], header["record_size"] = count, RECORD.itemsize
        header["feed_state"] = STATES.index(self.feed_state)
        header["flags"] = (1 if self.desk.simulated else 0) | (2 if self.replay else 0)
        header["epoch"], header["sequence"], header["market_time_ms"] = self.epoch, self.sequence, self.market_ms
        header["feed_age_s"] = self.feed_age
        return header.tobytes() + (b"" if records is None else records.tobytes())

    def welcome(self, keys: list[str]) -> dict[str, Any]:
        known = [self.desk.by_key[key] for key in keys if key in self.desk.by_key]
        return {
            "type": "welcome", "version": 1, "run": self.run, "epoch": self.epoch, "source": self.desk.source,
            "simulated": self.desk.simulated, "fields": list(FIELDS), "record_size": RECORD.itemsize,
            "instruments": [
                {"instrument_token": i.instrument_token, "key": i.key, "name": i.name, "tick_size": i.tick_size,
                 "lot_size": i.lot_size, "segment": i.segment, "instrument_type": i.instrument_type,
                 "exchange": i.exchange, "tradingsymbol": i.tradingsymbol, "strike": i.strike,
                 "expiry": i.expiry.isoformat() if i.expiry else None}
                for i in known
            ],
            "unknown": [key for key in keys if key not in self.desk.by_key],
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        phase = {
            "name": self.coarse, "sub": "", "coarse": self.coarse, "until_ms": self.until_ms,
            "next": self.next_phase, "reason": self.phase_reason,
        }  # fmt: skip
        return {
            "type": "state", "source": self.desk.source, "simulated": self.desk.simulated,
            "market_time_ms": self.market_ms,
            "feed": {"state": self.feed_state, "reason": self.reason, "age_s": self.feed_age, "since_s": 10.0},
            "login": self.login,
            "phases": dict.fromkeys(("NSE_EQ", "BSE_EQ", "NFO", "BFO", "CDS", "MCX"), phase),
            "counters": self.counters | {"workspace": self.desk.workspace.revision},
        }  # fmt: skip

    def broadcast(self, data: bytes | dict[str, Any]) -> None:
        for listener in list(self.listeners):
            listener.tell(data)

    def _heartbeat(self) -> None:
        if self.beating:
            self.market_ms += 200
            self.broadcast(self.frame(HEARTBEAT))

    def _tell(self) -> None:
        if self.beating:
            self.counters["frames"] += 4
            self.broadcast(self.state())


class StreamHandler(WebSocketHandler):
    """One listener."""

    def initialize(self, relay: FakeRelay) -> None:
        self.relay = relay
        self.paused = False

    def prepare(self) -> None:
        if self.relay.refusing:
            self.send_error(503)

    def open(self, *args: str, **kwargs: str) -> None:
        self.keys: list[str] = []

    def on_message(self, message: str | bytes) -> None:
        order = json.loads(message)
        self.relay.received.append(order)
        if order["a"] == "hello":
            self.keys = order["v"]
            self.on_close()
            self.relay.listeners.append(self)
            self.tell(self.relay.welcome(self.keys))
            self.tell(self.relay.state())
            self.tell(self.relay.frame(SNAPSHOT, self.relay.rows))
        elif order["a"] == "snapshot":
            self.tell(self.relay.frame(SNAPSHOT, self.relay.rows))
        elif order["a"] == "topics" and "overview" in order["v"] and self.relay.overview is not None:
            self.tell(self.relay.overview)
        elif order["a"] == "depth":
            for key in order["v"]:
                if key in self.relay.books:
                    self.tell(self.relay.books[key])
        elif order["a"] in ("pause", "resume"):
            self.paused = order["a"] == "pause"

    def tell(self, data: bytes | dict[str, Any]) -> None:
        if self.paused:
            return
        try:
            if isinstance(data, bytes):
                self.write_message(data, binary=True)
            else:
                self.write_message(json.dumps(data))
        except WebSocketClosedError:
            self.on_close()

    def on_close(self) -> None:
        if self in self.relay.listeners:
            self.relay.listeners.remove(self)


def _opening_row(instrument: Instrument) -> np.void:
    """A live, confirmed row with plausible numbers; an index has neither book nor volume."""
    row = np.zeros((), RECORD)
    for name in FIELDS:
        row[name] = np.nan
    base = {"INFY": 1525.0, "NIFTY 50": 25_123.45, "NIFTY BANK": 54_321.0, "INDIA VIX": 12.34}.get(
        instrument.tradingsymbol, 100.0 + (instrument.instrument_token % 977) * 3
    )
    row["instrument_token"], row["flags"], row["phase"], row["mode"] = instrument.instrument_token, 3, 2, 2
    row["last_price"], row["close"] = base, base * 0.99
    row["open"], row["high"], row["low"] = base * 0.995, base * 1.005, base * 0.985
    row["exchange_timestamp_ms"] = MARKET_MS
    row["official_close"], row["official_date"] = base, 20261123
    if not instrument.is_index:
        row["average_traded_price"], row["volume_traded"] = base - 1, 1_234_567
        row["last_traded_quantity"], row["last_trade_time_ms"] = 25, MARKET_MS - 1000
        row["total_buy_quantity"], row["total_sell_quantity"] = 456_789, 345_678
        row["bid_price"], row["bid_quantity"] = base - 0.05, 120
        row["ask_price"], row["ask_quantity"] = base + 0.05, 340
    return row[()]


def _book(key: str, token: int, price: float) -> dict[str, Any]:
    return {
        "type": "depth", "instrument_token": token, "key": key, "known": True,
        "buy": [[round(price - 0.05 * (i + 1), 2), 120 + 35 * i, 3 + i] for i in range(5)],
        "sell": [[round(price + 0.05 * (i + 1), 2), 340 - 25 * i, 4 + i] for i in range(5)],
        "total_buy_quantity": 456_789, "total_sell_quantity": 345_678, "oi_day_high": None, "oi_day_low": None,
    }  # fmt: skip


def _overview(desk: FakeDesk, rows: np.ndarray) -> dict[str, Any]:
    def row(key: str, symbol: str, percent: float, i: int) -> dict[str, Any]:
        return {
            "key": key, "symbol": symbol, "last_price": 100.0 + 37 * i, "percent": percent,
            "volume_traded": 250_000 + 90_000 * i, "value": 4.2e7 + 3.1e7 * i, "oi": 1_200_000 + 1_000 * i,
            "oi_percent": round(6.5 - i, 2),
        }  # fmt: skip

    members = nifty50().members
    some = [(m.key, m.symbol) for m in members[:10]]
    up = [row(key, symbol, round(3.4 - 0.3 * i, 2), i) for i, (key, symbol) in enumerate(some)]
    down = [row(key, symbol, round(-3.1 + 0.3 * i, 2), i) for i, (key, symbol) in enumerate(reversed(some))]
    return {
        "type": "overview", "epoch": 1, "held": True, "date": None, "problem": "",
        "universe": {"name": "NSE shares with derivatives", "count": 200, "current": 200},
        "oi_universe": {"name": "near-month futures of NSE shares", "count": 200, "current": 200},
        "oi_held": True, "oi_reason": "", "oi_known": 200,
        "breadth": {"advances": 117, "declines": 78, "unchanged": 5, "unknown": 0},
        "gainers": up, "losers": down, "active": up[::-1],
        "oi": {
            "long_buildup": up[:8], "short_buildup": down[:8], "short_covering": up[2:10], "long_unwinding": down[2:10],
        },
        "heatmap": [[m.key, round(((i * 37) % 61 - 30) / 10, 2), 100.0 + 13 * i] for i, m in enumerate(members)],
    }  # fmt: skip
