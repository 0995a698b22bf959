"""Routes about instruments: their numbers now and which there are."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tapedeck.clock import to_ist

from .answers import EXCHANGES, Answer, BadRequest

MAX_KEYS = 500
MAX_FOUND = 500
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
