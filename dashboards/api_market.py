"""Routes about instruments: their numbers now and which there are."""

from __future__ import annotations

import asyncio
from typing import Any

from tapedeck.clock import to_ist

from .answers import EXCHANGES, Answer, BadRequest

MAX_QUOTES = 500
MAX_FOUND = 500
#: How long an answer waits for the first packets of instruments nobody watched before.
QUOTE_WAIT_S = 1.5


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
