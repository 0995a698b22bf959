"""What a listener of the stream knows: messages in, rows and verdicts out, no IO.

State: the last welcome and state messages, the newest header and when it came, one RECORD row per instrument, the
newest book of each instrument that is watched, the newest message of each topic that is listened to, the error and
notice texts (the newest few).
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from tapedeck._hub_table import take
from tapedeck.errors import FrameError, UnknownInstrument
from tapedeck.hub import FRESH_TTL
from tapedeck.relay.frames import (
    CONFIRMED,
    DELTA,
    FIELDS,
    HELD,
    RECORD,
    SNAPSHOT,
    VERSION,
    Frame,
    parse_frame,
)
from tapedeck.sessions import PHASES

KEPT_TEXTS = 20
#: More topics than a desk has: whoever invents more is not remembered.
KEPT_TOPICS = 20
BOOK_TOTALS = ("total_buy_quantity", "total_sell_quantity", "oi_day_high", "oi_day_low")
_NO_BOOK: dict[str, Any] = {"known": False, "buy": [], "sell": [], **dict.fromkeys(BOOK_TOTALS)}
_RAW = np.dtype((np.void, RECORD.itemsize))


class Mirror:
    """A copy of the desk's rows, kept by applying its messages in order. All times are real seconds."""

    def __init__(self) -> None:
        self.source = ""
        self.state: dict[str, Any] = {}
        self.instruments: dict[str, dict[str, Any]] = {}
        self.unknown: list[str | int] = []
        self.texts: deque[dict[str, Any]] = deque(maxlen=KEPT_TEXTS)
        self.header: Frame | None = None
        self.arrived_at = -math.inf
        self.connected = False
        self.frames = 0
        self._run = ""
        self._tokens: dict[str | int, int] = {}
        self._books: dict[int, dict[str, Any]] = {}
        self._topics: dict[str, dict[str, Any]] = {}
        #: What was asked for; None is whatever comes.
        self._watched: frozenset[str | int] | None = None
        self._listened: frozenset[str] | None = None
        self._table = np.zeros(0, RECORD)
        self._has_snapshot = False

    def forget(self) -> None:
        """Drop every number: another epoch, a desk that started anew, or a lost connection."""
        self.header, self.arrived_at = None, -math.inf
        self._table, self._has_snapshot = np.zeros(0, RECORD), False
        self._books, self._topics = {}, {}

    def watch(self, items: Iterable[str | int]) -> None:
        """Keep the books of these instruments and no others: one that is not sent any more would grow old unseen."""
        self._watched = frozenset(items)
        self._books = {token: book for token, book in self._books.items() if self._is_watched(token)}

    def listen(self, names: Iterable[str]) -> None:
        """Keep the messages of these topics and no others."""
        self._listened = frozenset(names)
        self._topics = {name: said for name, said in self._topics.items() if name in self._listened}

    def _is_watched(self, token: int) -> bool:
        return self._watched is None or any(self._tokens.get(item) == token for item in self._watched)

    def apply(self, message: str | bytes, now: float) -> Frame | dict[str, Any]:
        """Take in one message; what it was, decoded.

        Raises
        ------
        FrameError
            If it could not be read; nothing changed then.
        """
        return self._apply_text(message) if isinstance(message, str) else self._apply_frame(message, now)

    def _apply_frame(self, data: bytes, now: float) -> Frame:
        frame = parse_frame(data)
        before = self.header
        if before is not None and (frame.epoch != before.epoch or frame.sequence < before.sequence):
            self.forget()
        if frame.kind == SNAPSHOT:
            self._table = take(frame.records, np.argsort(frame.records["instrument_token"], kind="stable"))
            self._has_snapshot = True
        elif frame.kind == DELTA:
            self._merge(frame.records)
        self.header, self.arrived_at = frame._replace(records=frame.records[:0].copy()), now
        self.frames += 1
        return frame

    def _merge(self, records: np.ndarray) -> None:
        if not self._has_snapshot:
            raise FrameError("the first frame was a delta; a snapshot must come first")
        at = self._table["instrument_token"].searchsorted(records["instrument_token"])
        # A record that no snapshot named belongs to a subscription that has just ended.
        known = at < len(self._table)
        known[known] = self._table["instrument_token"][at[known]] == records["instrument_token"][known]
        self._table.view(_RAW)[at[known]] = take(records, np.flatnonzero(known)).view(_RAW)

    def _apply_text(self, text: str) -> dict[str, Any]:
        try:
            said = json.loads(text)
            kind = said["type"]
            if kind == "welcome":
                self._welcome(said)
            elif kind == "state":
                self.state, self.source = said, str(said["source"])
            elif kind == "depth":
                self._take_book(said)
            elif kind in ("error", "notice"):
                self.texts.append(said)
            else:
                self._take_topic(str(kind), said)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise FrameError(f"stream message could not be read: {text[:80]!r}") from error
        return said

    def _welcome(self, said: dict[str, Any]) -> None:
        if said["version"] != VERSION or said["record_size"] != RECORD.itemsize or tuple(said["fields"]) != FIELDS:
            raise FrameError(f"the desk speaks stream version {said['version']}; this program reads version {VERSION}")
        instruments = {one["key"]: one for one in said["instruments"]}
        tokens: dict[str | int, int] = {key: int(one["instrument_token"]) for key, one in instruments.items()}
        another = self._run not in ("", said["run"])
        if another or (self.header is not None and said["epoch"] != self.header.epoch):
            self.forget()
        self._run = str(said["run"])
        self.source, self.unknown, self.instruments = str(said["source"]), list(said["unknown"]), instruments
        self._tokens = tokens | {token: token for token in tokens.values()}

        self._books = {token: book for token, book in self._books.items() if token in self._tokens}

    def _take_book(self, said: dict[str, Any]) -> None:
        token = int(said["instrument_token"])
        book = {"known": bool(said["known"])}
        book |= {side: [(float(p), int(q), int(n)) for p, q, n in said[side]] for side in ("buy", "sell")}
        book |= {name: None if said[name] is None else int(said[name]) for name in BOOK_TOTALS}
        if token in self._tokens and self._is_watched(token):
            self._books[token] = book

    def _take_topic(self, name: str, said: dict[str, Any]) -> None:
        wanted = self._listened is None or name in self._listened
        if wanted and (name in self._topics or len(self._topics) < KEPT_TOPICS):
            self._topics[name] = said

    # -- questions -----------------------------------------------------------------------------------------------

    @property
    def table(self) -> np.ndarray:
        """All rows, a RECORD array in order of their tokens, copied."""
        return self._table.copy()

    def row(self, token: int) -> np.void | None:
        """RECORD row of a token; None when there is none."""
        at = int(self._table["instrument_token"].searchsorted(np.uint32(token)))
        found = at < len(self._table) and self._table["instrument_token"][at] == token
        return self._table[at] if found else None

    def feed_age(self, now: float) -> float:
        """Seconds since the feed behind the desk has last proven alive; infinite when unknown."""
        if self.header is None:
            return math.inf
        return self.header.feed_age_s + (now - self.arrived_at)

    def why_blank(self, now: float) -> str:
        """Why no number may be shown as live; empty when they may."""
        if self.header is None:
            return "connecting to the desk" if not self.connected else "waiting for the first numbers"
        if now - self.arrived_at > FRESH_TTL:
            return "desk silent" if self.connected else "desk not reachable"
        age = self.feed_age(now)
        if self.header.feed_state != "LIVE":
            return self.state.get("feed", {}).get("reason") or f"feed is {self.header.feed_state}"
        if age > FRESH_TTL:
            return f"no heartbeat {math.floor(age)} s" if math.isfinite(age) else "no heartbeat yet"
        return ""

    def quote(self, key_or_token: str | int, now: float) -> dict[str, Any]:
        """Numbers of one instrument as a plain dict, as `Hub.quote` gives them: live, or None with a `reason`.

        Raises
        ------
        UnknownInstrument
            If it is not subscribed.
        """
        token = self._token(key_or_token)
        row = self.row(token)
        held = row is not None and bool(row["flags"] & HELD)
        reason = self._reason(row, held, now)
        numbers: dict[str, Any] = {
            name: None if row is None or math.isnan(row[name]) else float(row[name]) for name in FIELDS
        }
        dated = row is not None and (not held or not (row["flags"] & CONFIRMED or self.why_blank(now)))
        official = {name: numbers[name] for name in ("official_close", "official_date")} if dated else {}
        blank: dict[str, Any] = dict.fromkeys(FIELDS)
        return {
            "instrument_token": token,
            "source": self.source,
            "fresh": not reason,
            "reason": reason,
            "phase": "" if row is None else PHASES[row["phase"]],
            "held": held,
            "feed_age_s": self.feed_age(now),
            **(numbers if not reason else blank | official),
        }

    def _token(self, key_or_token: str | int) -> int:
        token = self._tokens.get(key_or_token)
        if token is None:
            raise UnknownInstrument(
                f"{key_or_token!r} is not subscribed on this stream; it has {len(self.instruments)}"
            )
        return token

    def depth(self, key_or_token: str | int, now: float) -> dict[str, Any]:
        """Order book of one instrument as a plain dict: live, or empty sides with a `reason`.

        `buy` and `sell` are lists of (price, quantity, orders), best first; totals are None where absent.

        Raises
        ------
        UnknownInstrument
            If it is not subscribed.
        """
        token = self._token(key_or_token)
        row, book = self.row(token), self._books.get(token)
        reason = self._reason(row, row is not None and bool(row["flags"] & HELD), now)
        if not reason and book is None:
            reason = "no book yet" if self._is_watched(token) else "its book is not watched"
        shown = book if book is not None and not reason else _NO_BOOK
        if not reason and not shown["known"]:
            reason = "the newest packet had no book"
        head = {"instrument_token": token, "source": self.source, "fresh": not reason, "reason": reason}
        return head | {name: list(value) if isinstance(value, list) else value for name, value in shown.items()}

    def topic(self, name: str, now: float) -> dict[str, Any]:
        """Newest message of a topic as `message`, with `fresh` and `reason`; None when it may not be shown.

        Outside the session (the message says `held` false) it is of official prices and stays, marked.
        """
        said = self._topics.get(name)
        held = said is None or bool(said.get("held", True))
        reason = self.why_blank(now) if held else "outside the session"
        if not reason and said is None:
            heard = self._listened is None or name in self._listened
            reason = "nothing heard yet" if heard else "it is not listened to"
        shown = None if reason and held else said
        return {"topic": name, "source": self.source, "fresh": not reason, "reason": reason, "message": shown}

    def _reason(self, row: np.void | None, held: bool, now: float) -> str:
        if row is not None and not held:
            return "outside the session"
        if blank := self.why_blank(now):
            return blank
        if row is None:
            return "no packet yet"
        return "" if row["flags"] & CONFIRMED else "not confirmed on this connection yet"
