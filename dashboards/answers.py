"""JSON answers: nothing cached, parameters checked by name, what is wrong answered with the reason."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from tornado.escape import json_encode
from tornado.web import RequestHandler

from tapedeck.errors import SubscriptionLimit, UnknownInstrument

if TYPE_CHECKING:
    from tapedeck.desk import Desk

#: Kite's exchanges.
EXCHANGES = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO")


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

    def send(self, status: int, body: dict[str, Any] | bytes) -> None:
        """Finish with this body; bytes are JSON already."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(body if isinstance(body, bytes) else json_encode(plain(body)))

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        self.send(status_code, {"error": self._reason.lower().replace(" ", "_"), "reason": self._reason})

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


class Answer(Json, ABC):
    """A GET route: `parameters` are the names it knows, `answer` makes the body."""

    parameters: frozenset[str] = frozenset()

    async def get(self) -> None:
        await self.respond(self.answer)

    async def respond(self, answer: Callable[[], Awaitable[tuple[int, dict[str, Any] | bytes]]]) -> None:
        """Finish with what `answer` gives, or with the reason why there is none."""
        try:
            self._check_names()
            status, body = await answer()
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
    async def answer(self) -> tuple[int, dict[str, Any] | bytes]:
        """Status and body of the answer; what takes long to write as JSON is written by its route, on a thread."""

    def _need_instruments(self) -> None:
        if not len(self.desk.instruments):
            raise NotReady("; ".join(self.desk.not_ready()) or "instruments are being fetched")

    def _check_names(self) -> None:
        unknown = sorted(set(self.request.query_arguments) - self.parameters)
        if unknown:
            allowed = ", ".join(sorted(self.parameters)) or "none"
            raise BadRequest(f"parameter {unknown[0]!r} is not known here; allowed: {allowed}")


class Deed(Answer):
    """A POST route: `answer` does what is asked and makes the body. Anything else is answered 405, behind the door."""

    async def post(self) -> None:
        await self.respond(self.answer)

    async def get(self) -> None:
        self.set_header("Allow", "POST")
        self.send(405, {"error": "method_not_allowed", "reason": f"{self.request.path} is asked with POST"})


class NotFound(Json):
    """404 for anything else under `/api/`, whatever the method."""

    def prepare(self) -> None:
        self.send(404, {"error": "not_found", "reason": f"no route {self.request.path}"})


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
