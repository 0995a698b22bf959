"""The order book of an instrument as one text message, made once per content number, whoever listens.

{"type":"depth","instrument_token":408065,"key":"NSE:INFY","known":true,"buy":[[1400.0,12,3]],"sell":[],...}

State of `Books`: one `Book` per slot that somebody watches; of a `Book`: its newest text and that text's number.
"""

from __future__ import annotations

import json
import math
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from tapedeck.instruments import Instruments
from tapedeck.relay.board import Board
from tapedeck.relay.frames import CONFIRMED, DEPTH_KNOWN, HELD
from tapedeck.relay.wire import Packet

_TOTALS = ("total_buy_quantity", "total_sell_quantity")


class Book:
    """One instrument's book; everybody who watches it shares it, and with it every message."""

    __slots__ = ("__weakref__", "number", "packet", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.number = -1
        self.packet = Packet("")


class Books:
    """Every book that some listener watches."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._known: WeakValueDictionary[int, Book] = WeakValueDictionary()
        self.built = 0

    def __len__(self) -> int:
        return len(self._known)

    def of(self, slot: int) -> Book:
        """The shared book of a slot."""
        found = self._known.get(slot)
        if found is None:
            found = self._known[slot] = Book(slot)
        return found

    def start_over(self) -> None:
        """Slots mean other instruments now: who watches asks again."""
        self._known = WeakValueDictionary()

    def news(self, seen: dict[Book, int], instruments: Instruments) -> list[Packet]:
        """Messages of the books that changed, given the numbers a listener has seen, which are brought up to date."""
        out = []
        for book, number in seen.items():
            newest = int(self._board.version[book.slot])
            if newest > number:
                if book.number != newest:
                    book.packet = Packet(depth_message(self._board, book.slot, instruments))
                    book.number = newest
                    self.built += 1
                seen[book] = newest
                out.append(book.packet)
        return out


def depth_message(board: Board, slot: int, instruments: Instruments) -> str:
    """The book of a slot as JSON text; empty sides and null totals unless its record may be shown live."""
    record, extra = board.records[slot], board.extras[slot]
    token, flags = int(record["instrument_token"]), int(record["flags"])
    shown = bool(flags & CONFIRMED and flags & HELD)
    known = bool(shown and flags & DEPTH_KNOWN)
    instrument = instruments.find(token)
    said: dict[str, Any] = {
        "type": "depth",
        "instrument_token": token,
        "key": instrument.key if instrument is not None else str(token),
        "known": known,
        "buy": _levels(extra["depth"]["buy"]) if known else [],
        "sell": _levels(extra["depth"]["sell"]) if known else [],
    }
    for name in _TOTALS:
        value = float(record[name])
        said[name] = int(value) if shown and not math.isnan(value) else None
    for name in ("oi_day_high", "oi_day_low"):
        said[name] = int(extra[name]) if shown and extra[name] >= 0 else None
    return json.dumps(said, separators=(",", ":"), allow_nan=False)


def _levels(side: np.ndarray) -> list[list[float | int]]:
    """Price, quantity and orders of each level that has any, best first."""
    return [list(level) for level in side.tolist() if level[0] or level[1]]
