"""HTTP: one table of routes, JSON answers, nothing cached, wrong parameters answered with the reason."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from tornado.escape import json_encode
from tornado.web import RequestHandler

from tapedeck import sessions
from tapedeck.clock import to_ist
from tapedeck.errors import SubscriptionLimit, UnknownInstrument
from tapedeck.relay.server import StreamHandler

from .access import Gate

if TYPE_CHECKING:
    from tapedeck.desk import Desk

MAX_QUOTES = 500
MAX_FOUND = 500
#: How long an answer waits for the first packets of instruments nobody watched before.
QUOTE_WAIT_S = 1.5
EXCHANGES = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO")
#: Kinds of instruments whose hours differ within a market: shares with derivatives close by auction.
CLASSES: dict[str, tuple[str, ...]] = dict.fromkeys(("NSE_EQ", "BSE_EQ"), ("cas", "index"))


class BadRequest(ValueError):
    """A parameter was wrong; the message says which, what it was and what is allowed."""


class NotReady(RuntimeError):
    """The desk cannot answer this yet; the message says what it waits for."""


class Json(RequestHandler):
    """A handler that answers JSON, its errors too, and is never cached."""

    def initialize(self, desk: Desk) -> None:
        self.desk = desk

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def send(self, status: int, body: dict[str, Any]) -> None:
        """Finish with this body."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(json_encode(plain(body)))

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        self.send(status_code, {"error": self._reason.lower().replace(" ", "_"), "reason": self._reason})


class Answer(Json, ABC):
    """A GET route: `parameters` are the names it knows, `answer` makes the body."""

    parameters: frozenset[str] = frozenset()

    async def get(self) -> None:
        try:
            self._check_names()
            status, body = await self.answer()
        except BadRequest as wrong:
            status, body = 400, {"error": "bad_request", "reason": str(wrong)}
        except UnknownInstrument as unknown:
            status, body = 404, {"error": "unknown_instrument", "reason": str(unknown)}
        except SubscriptionLimit as full:
            status, body = 409, {"error": "subscription_limit", "reason": str(full)}
        except NotReady as early:
            status, body = 503, {"error": "not_ready", "reason": str(early)}
        self.send(status, body)

    async def head(self) -> None:
        await self.get()

    @abstractmethod
    async def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""

    def _need_instruments(self) -> None:
        if not len(self.desk.instruments):
            raise NotReady("; ".join(self.desk.not_ready()) or "instruments are being fetched")

    def _check_names(self) -> None:
        unknown = sorted(set(self.request.query_arguments) - self.parameters)
        if unknown:
            allowed = ", ".join(sorted(self.parameters)) or "none"
            raise BadRequest(f"parameter {unknown[0]!r} is not known here; allowed: {allowed}")

    def _text(self, name: str, *, most: int = 200) -> str | None:
        values = self._texts(name, most=most)
        if len(values) > 1:
            raise BadRequest(f"{name} was given {len(values)} times; allowed: once")
        return values[0] if values else None

    def _texts(self, name: str, *, most: int = 200) -> list[str]:
        values = []
        for raw in self.request.query_arguments.get(name, []):
            try:
                value = raw.decode("utf-8")
            except UnicodeDecodeError:
                raise BadRequest(f"{name} was not UTF-8 text") from None
            if len(value) > most or not value.isprintable():
                raise BadRequest(f"{name} had {len(value)} characters; allowed: {most} printable ones")
            values.append(value)
        return values

    def _number(self, name: str, default: int, low: int, high: int) -> int:
        text = self._text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise BadRequest(f"{name} was {text!r}; allowed: a whole number from {low} to {high}")
        return int(text)


class Health(Answer):
    """`/healthz`: the process serves; says nothing of the feed."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, {"status": "ok"}


class Ready(Answer):
    """`/readyz`: 200 when numbers can be trusted, else 503 with every reason."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        reasons = self.desk.not_ready()
        return (503 if reasons else 200), {"ready": not reasons, "reasons": reasons}


class MarketStatus(Answer):
    """`/api/system/market-status`: every segment now, computed for this answer."""

    parameters = frozenset({"segment"})

    async def answer(self) -> tuple[int, dict[str, Any]]:
        wanted = self._text("segment")
        if wanted is not None and wanted not in sessions.SEGMENTS and wanted not in EXCHANGES:
            allowed = ", ".join([*sessions.SEGMENTS, *EXCHANGES])
            raise BadRequest(f"segment was {wanted!r}; allowed: {allowed}")
        now = self.desk.clock.now()
        names = [wanted] if wanted is not None else list(sessions.SEGMENTS)
        return 200, {
            "at": to_ist(now).isoformat(),
            "source": self.desk.source,
            "simulated": self.desk.simulated,
            "segments": {name: market_status(name, now) for name in names},
        }


class SystemHealth(Answer):
    """`/api/system/health`: feed, ages, counters and what is wrong, in one answer."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, self.desk.health()


class Quotes(Answer):
    """`/api/quotes?i=NSE:INFY&i=...`: fresh numbers, or null with the reason.

    What nobody watches yet is subscribed for a minute, and its first packet is waited for a moment.
    """

    parameters = frozenset({"i"})

    async def answer(self) -> tuple[int, dict[str, Any]]:
        keys = self._keys()
        self._need_instruments()
        self.desk.ask(keys)
        await self._first_packets(keys)
        return 200, {
            "at": to_ist(self.desk.clock.now()).isoformat(),
            "source": self.desk.source,
            "simulated": self.desk.simulated,
            "quotes": dict(zip(keys, self.desk.quote_rows(keys), strict=True)),
        }

    async def _first_packets(self, keys: list[str]) -> None:
        deadline = self.desk.clock.monotonic() + QUOTE_WAIT_S
        while keys := self.desk.awaited(keys):
            if self.desk.not_ready() or self.desk.clock.monotonic() >= deadline:
                return
            await asyncio.sleep(0.05)

    def _keys(self) -> list[str]:
        keys = self._texts("i")
        if not 1 <= len(keys) <= MAX_QUOTES:
            raise BadRequest(f"i was given {len(keys)} times; allowed: 1 to {MAX_QUOTES}, each EXCHANGE:TRADINGSYMBOL")
        for key in keys:
            if ":" not in key:
                raise BadRequest(f"i was {key!r}; allowed: EXCHANGE:TRADINGSYMBOL, such as NSE:INFY")
        return keys


class InstrumentSearch(Answer):
    """`/api/instruments?q=...&exchange=...&limit=...`: instruments that match, best first."""

    parameters = frozenset({"q", "exchange", "limit"})

    async def answer(self) -> tuple[int, dict[str, Any]]:
        query = self._text("q", most=80) or ""
        exchange = self._text("exchange")
        if exchange is not None and exchange not in EXCHANGES:
            raise BadRequest(f"exchange was {exchange!r}; allowed: {', '.join(EXCHANGES)}")
        limit = self._number("limit", 20, 1, MAX_FOUND)
        self._need_instruments()
        # On a thread: a vague question of 100,000 instruments may take a tenth of a second.
        found = await asyncio.to_thread(self.desk.find_instruments, query, limit=limit, exchange=exchange)
        return 200, {"query": query, "listed": len(self.desk.instruments), "instruments": found}


class NotFound(Json):
    """404 for anything else under `/api/`, whatever the method."""

    def prepare(self) -> None:
        self.send(404, {"error": "not_found", "reason": f"no route {self.request.path}"})


#: Every HTTP route: pattern and handler. The websocket joins them in `routes`.
ROUTES: tuple[tuple[str, type[Answer]], ...] = (
    ("/healthz", Health),
    ("/readyz", Ready),
    ("/api/system/market-status", MarketStatus),
    ("/api/system/health", SystemHealth),
    ("/api/quotes", Quotes),
    ("/api/instruments", InstrumentSearch),
)


def routes(desk: Desk, gate: Gate) -> list[tuple[str, Any, dict[str, Any]]]:
    """The Tornado patterns of the application's own routes, the stream and the 404 included."""
    table: list[tuple[str, Any, dict[str, Any]]] = [(path, handler, {"desk": desk}) for path, handler in ROUTES]
    allowed: Callable[[Any], bool] = gate.allowed
    table.append(("/api/stream", StreamHandler, {"relay": desk.relay, "allowed": allowed}))
    table.append(("/api/.*", NotFound, {"desk": desk}))
    return table


def market_status(segment: str, now: int) -> dict[str, Any]:
    """Coarse status, phase and next transition of a segment at an instant."""
    phase = sessions.phase(segment, now)
    classes = {name: sessions.phase(segment, now, session_class=name) for name in CLASSES.get(phase.segment, ())}
    at, then = sessions.next_transition(now, segment)
    return {
        "status": phase.coarse,
        "phase": phase.name,
        "sub_phase": phase.sub or None,
        "since": phase.since,
        "until": phase.until,
        "next_phase": phase.next,
        "next_transition": at,
        "next_status": then,
        "reason": phase.reason or None,
        "covered": phase.covered,
        "classes": {
            name: {"status": one.coarse, "phase": one.name, "until": one.until} for name, one in classes.items()
        },
    }


def plain(value: Any) -> Any:
    """`value` with NaN as null, times as ISO strings and NumPy scalars as Python's."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
