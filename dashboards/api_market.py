"""Routes about instruments: their numbers now and which there are."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import date
from typing import Any

from tapedeck.clock import to_ist
from tapedeck.instruments import KINDS

from .answers import EXCHANGES, Answer, BadRequest

MAX_KEYS = 500
MAX_FOUND = 500
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STRIKE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,4})?")
DAY_STEP_S = 180
#: How long an answer waits for the first packets of instruments nobody watched before.
QUOTE_WAIT_S = 1.5


class _OfKeys(Answer):
    """A route that is asked about instruments, `?i=NSE:INFY&i=...`."""

    def keys(self) -> list[str]:
        """The instruments asked for, each once, in their order."""
        keys = self._texts("i")
        if not 1 <= len(keys) <= MAX_KEYS:
            raise BadRequest(f"i was given {len(keys)} times; allowed: 1 to {MAX_KEYS}, each EXCHANGE:TRADINGSYMBOL")
        for key in keys:
            if ":" not in key:
                raise BadRequest(f"i was {key!r}; allowed: EXCHANGE:TRADINGSYMBOL, such as NSE:INFY")
        return list(dict.fromkeys(keys))

    def head_of_answer(self) -> dict[str, Any]:
        """When and of which source the answer is."""
        desk = self.desk
        return {"at": to_ist(desk.clock.now()).isoformat(), "source": desk.source, "simulated": desk.simulated}


class Quotes(_OfKeys):
    """`/api/quotes?i=NSE:INFY&i=...`: fresh numbers, or null with the reason.

    What nobody watches yet is subscribed for a minute, and its first packet is waited for a moment.
    """

    parameters = frozenset({"i"})

    async def answer(self) -> tuple[int, dict[str, Any]]:
        keys = self.keys()
        self._need_instruments()
        self.desk.ask(keys)
        await self._first_packets(keys)
        rows = self.desk.quote_rows(keys)
        return 200, self.head_of_answer() | {"quotes": dict(zip(keys, rows, strict=True))}

    async def _first_packets(self, keys: list[str]) -> None:
        deadline = self.desk.clock.monotonic() + QUOTE_WAIT_S
        while keys := self.desk.awaited(keys):
            if self.desk.not_ready() or self.desk.clock.monotonic() >= deadline:
                return
            await asyncio.sleep(0.05)


class Days(_OfKeys):
    """`/api/day?i=NSE:INFY&i=...&step=180`: the day so far, null where it was not known live."""

    parameters = frozenset({"i", "step"})

    async def answer(self) -> tuple[int, dict[str, Any] | bytes]:
        keys = self.keys()
        step_s = self._number("step", DAY_STEP_S, 60, 3600)
        if step_s % 60:
            raise BadRequest(f"step was {step_s}; allowed: whole minutes, 60 to 3600 seconds")
        self._need_instruments()
        # On a thread: a whole day of 500 instruments is 60,000 prices.
        return 200, await asyncio.to_thread(self._days, keys, step_s)

    def _days(self, keys: list[str], step_s: int) -> bytes:
        epoch = self.desk.hub.epoch
        days = dict(zip(keys, self.desk.days(keys, step_s), strict=True))
        # While something waits, it is worth asking again soon.
        head = self.head_of_answer() | {"epoch": epoch, "step_s": step_s, "waiting": self.desk.references.waiting}
        return json.dumps(head | {"days": days}, separators=(",", ":"), allow_nan=False).encode()


class Listed(_OfKeys):
    """`/api/instruments/listed?i=NSE:INFY&i=...`: which of them are in today's list."""

    parameters = frozenset({"i"})

    async def answer(self) -> tuple[int, dict[str, Any]]:
        keys = self.keys()
        self._need_instruments()
        return 200, {"listed": {key: self.desk.instruments.find(key) is not None for key in keys}}


class InstrumentSearch(Answer):
    """`/api/instruments?q=...&exchange=...&type=...&expiry=...&strike=...&limit=...`: those that match, best first.

    Without `q` everything the filters let through. `note` says when nothing expires on the day that was asked for.
    """

    parameters = frozenset({"q", "exchange", "type", "expiry", "strike", "limit"})

    async def answer(self) -> tuple[int, dict[str, Any]]:
        query = self._text("q", most=80) or ""
        kind = self._word("type", KINDS)
        filters = {
            "exchange": self._word("exchange", EXCHANGES),
            "kind": kind,
            "expiry": self._expiry(kind),
            "strike": self._strike(kind),
        }
        limit = self._number("limit", 20, 1, MAX_FOUND)
        self._need_instruments()
        # On a thread: a vague question of 100,000 instruments may take a tenth of a second.
        found = await asyncio.to_thread(self.desk.find_instruments, query, limit=limit, **filters)
        note = await asyncio.to_thread(self.desk.expiry_note, query, **filters)
        return 200, {"query": query, "listed": len(self.desk.instruments), "note": note, "instruments": found}

    def _word(self, name: str, allowed: tuple[str, ...]) -> str | None:
        word = self._text(name) or None
        if word is not None and word not in allowed:
            raise BadRequest(f"{name} was {word!r}; allowed: {', '.join(allowed)}")
        return word

    def _expiry(self, kind: str | None) -> date | None:
        text = self._text("expiry")
        if not text:
            return None
        try:
            # Exactly so: Python reads other forms of ISO 8601, too.
            expiry = date.fromisoformat(text) if _DATE.fullmatch(text) else None
        except ValueError:
            expiry = None
        if expiry is None:
            raise BadRequest(f"expiry was {text!r}; allowed: a date such as 2026-11-24")
        if kind in ("EQ", "INDEX"):
            raise BadRequest(f"expiry was {text!r} with type {kind}; allowed: with FUT, CE or PE, or without a type")
        return expiry

    def _strike(self, kind: str | None) -> float | None:
        text = self._text("strike")
        if not text:
            return None
        if not _STRIKE.fullmatch(text):
            raise BadRequest(f"strike was {text!r}; allowed: rupees such as 24500 or 102.5")
        if kind not in (None, "CE", "PE"):
            raise BadRequest(f"strike was {text!r} with type {kind}; allowed: with CE or PE, or without a type")
        return float(text)
