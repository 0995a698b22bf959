"""The day's instruments: token <-> `EXCHANGE:TRADINGSYMBOL`, search, expiries and option chains."""

from __future__ import annotations

import csv
import difflib
import operator
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple, SupportsIndex

from tapedeck._instrument_search import ALIASES, Filters, SearchIndex
from tapedeck.errors import BadAnswer, UnknownInstrument
from tapedeck.schema import Instrument
from tapedeck.sessions import class_of

#: Columns of Kite's dump, in the order of `Instrument`'s fields.
COLUMNS = (
    "instrument_token", "tradingsymbol", "exchange", "exchange_token", "name", "last_price",
    "expiry", "strike", "tick_size", "lot_size", "instrument_type", "segment",
)  # fmt: skip

#: What an instrument may be for a search: Kite's instrument types, and the indices apart.
KINDS = ("EQ", "INDEX", "FUT", "CE", "PE")

_EQUITY_DERIVATIVES = {"NFO", "BFO"}
_CASH = {"NSE", "BSE"}


class ChainRow(NamedTuple):
    """One strike: its call and its put, None where the exchange has not listed one."""

    strike: float
    call: Instrument | None
    put: Instrument | None


class Chain(NamedTuple):
    """All options of one underlying and expiry by rising strike, and the future of that expiry if there is one."""

    name: str
    exchange: str
    expiry: date
    rows: tuple[ChainRow, ...]
    future: Instrument | None


class Instruments:
    """All instruments of a day; nothing in it changes after construction.

    Iterating gives them in the order of the dump. `refused` counts rows that could not be read or repeated a
    token. Each has its `session_class`: a cash share is `cas` when a stock future bears its symbol, else `other`.
    """

    def __init__(self, instruments: Iterable[Instrument] = (), *, refused: int = 0) -> None:
        self._by_token: dict[int, Instrument] = {}
        self._by_key: dict[str, Instrument] = {}
        self.refused = refused
        for instrument in instruments:
            if instrument.instrument_token in self._by_token:
                self.refused += 1
                continue
            self._by_token[instrument.instrument_token] = instrument
            self._by_key.setdefault(instrument.key, instrument)

    @classmethod
    def from_csv(cls, data: bytes | str) -> Instruments:
        """The instruments of Kite's dump; rows that cannot be read are left out and counted.

        Raises
        ------
        BadAnswer
            If it was not a dump at all: a column is missing.
        """
        text = data.decode("utf-8-sig", "replace") if isinstance(data, bytes) else data
        rows = [_fields(line) for line in text.splitlines() if line.strip()]
        header = [word.strip() for word in rows[0]] if rows else []
        if missing := [name for name in COLUMNS if name not in header]:
            start = text[:60].replace("\n", " ")
            raise BadAnswer(f"instruments dump began with {start!r}; it lacks the columns {', '.join(missing)}")
        places = [header.index(name) for name in COLUMNS]
        found, refused = _parse_rows(rows[1:], places, len(header))
        return cls(found, refused=refused)

    @classmethod
    def from_instruments(cls, instruments: Iterable[Instrument]) -> Instruments:
        """The same from instruments made elsewhere; an empty `session_class` is filled in."""
        given = list(instruments)
        classes = _Classes((i.exchange, i.instrument_type, i.name) for i in given)
        return cls(i if i.session_class else replace(i, session_class=classes.of(i)) for i in given)

    def __len__(self) -> int:
        return len(self._by_token)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_token.values())

    def __contains__(self, key_or_token: object) -> bool:
        return isinstance(key_or_token, (str, SupportsIndex)) and self.find(key_or_token) is not None

    def __repr__(self) -> str:
        return f"Instruments({len(self)})"

    def find(self, key_or_token: str | SupportsIndex) -> Instrument | None:
        """The instrument of a token (also numpy's integers, or digits) or an `EXCHANGE:TRADINGSYMBOL`, or None."""
        if not isinstance(key_or_token, str):
            return self._by_token.get(operator.index(key_or_token))
        key = key_or_token.strip()
        if key.isascii() and key.isdigit() and len(key) <= 10:  # tokens have 32 bits
            return self._by_token.get(int(key))
        return self._by_key.get(key) or self._by_key.get(key.upper())

    def get(self, key_or_token: str | SupportsIndex) -> Instrument:
        """The instrument of a token or an `EXCHANGE:TRADINGSYMBOL`.

        Raises
        ------
        UnknownInstrument
            If there was none; the message names the nearest ones.
        """
        found = self.find(key_or_token)
        if found is None:
            raise UnknownInstrument(self._not_found(key_or_token))
        return found

    def search(
        self,
        query: str,
        limit: int = 20,
        *,
        exchange: str | None = None,
        kind: str | None = None,
        expiry: date | None = None,
        strike: float | None = None,
    ) -> list[Instrument]:
        """Instruments that a person may mean, best first; empty when nothing comes near.

        Symbols and names are searched, forgiving typing errors. Words such as `fut`, `ce`, `24500`, `nov`,
        `24 nov` or `nfo` narrow the result: `"nifty 24500 ce"`, `"infy fut"`, `"mcx gold dec"`.

        The filters hold whatever was typed; `kind` is one of `KINDS`, a strike lets options of it through. With
        a filter the query may be empty: everything that fits comes, indices and shares by symbol length,
        contracts by expiry.
        """
        filters = Filters(exchange.upper() if exchange else None, kind, expiry, strike)
        return self._index.search(query, limit=limit, filters=filters)

    def expiry_note(
        self,
        query: str,
        *,
        exchange: str | None = None,
        kind: str | None = None,
        expiry: date | None = None,
        strike: float | None = None,
    ) -> str:
        """What `search` could not keep of a query's day: `"no expiry on 12 Nov; nearest 23 Nov"`, else empty.

        Contracts of that month are found all the same, the expiry nearest to the day first.
        """
        filters = Filters(exchange.upper() if exchange else None, kind, expiry, strike)
        return self._index.expiry_note(query, filters)

    def search_examples(self, day: date) -> tuple[str, ...]:
        """Questions that show how words narrow a search, each with an answer in this list; none in an empty one."""
        examples = []
        nifty = [i for i in self._contracts.get(("NFO", "NIFTY"), ()) if i.instrument_type == "CE"]
        first = min((i.expiry for i in nifty if i.expiry and i.expiry >= day), default=None)
        if strikes := sorted(i.strike for i in nifty if i.expiry == first):
            examples.append(f"nifty {strikes[len(strikes) // 2]:g} ce")
        if self.near_future("INFY", day):
            examples.append("infy fut")
        if gold := self.near_future("GOLD", day, "MCX"):
            examples.append(f"mcx gold {gold.expiry:%b}".lower())
        if "NSE:SBIN" in self:
            examples.append("state bank")
        return tuple(examples)

    def names(self, exchange: str | None = None) -> list[str]:
        """Underlyings that have derivatives, sorted; of every exchange unless one is named."""
        return sorted({name for where, name in self._contracts if exchange in (None, where)})

    def expiries(self, name: str, exchange: str | None = None) -> list[date]:
        """Expiry dates of an underlying's futures and options, rising.

        Raises
        ------
        UnknownInstrument
            If nothing is derived from that name.
        """
        return sorted({i.expiry for i in self._derivatives(name, exchange) if i.expiry})

    def chain(self, name: str, expiry: date, exchange: str | None = None) -> Chain:
        """The option chain of an underlying for one expiry; without rows when only a future expires then.

        Raises
        ------
        UnknownInstrument
            If nothing is derived from that name, or nothing of it expires on that date.
        """
        contracts = [i for i in self._derivatives(name, exchange) if i.expiry == expiry]
        if not contracts:
            known = ", ".join(map(str, self.expiries(name, exchange)))
            raise UnknownInstrument(f"expiry of {name} was {expiry}; there are: {known}")
        sides = {(i.strike, i.instrument_type): i for i in contracts}
        strikes = sorted({i.strike for i in contracts if i.instrument_type in ("CE", "PE")})
        rows = tuple(ChainRow(s, sides.get((s, "CE")), sides.get((s, "PE"))) for s in strikes)
        future = next((i for i in contracts if i.instrument_type == "FUT"), None)
        return Chain(contracts[0].name, contracts[0].exchange, expiry, rows, future)

    def near_future(self, name: str, day: date, exchange: str = "NFO") -> Instrument | None:
        """The future of an underlying that expires first, on that day or later; None when there is none."""
        futures = (i for i in self._contracts.get((exchange, name), ()) if i.instrument_type == "FUT")
        later = ((i.expiry, i) for i in futures if i.expiry is not None and i.expiry >= day)
        return min(later, key=lambda found: found[0], default=(None, None))[1]

    def underlying(self, instrument: Instrument) -> Instrument | None:
        """The share or index that an equity derivative is derived from; None for any other instrument."""
        if instrument.exchange not in _EQUITY_DERIVATIVES:
            return None
        cash = "NSE" if instrument.exchange == "NFO" else "BSE"
        symbol = ALIASES.get(instrument.name, instrument.name)
        return self._by_key.get(f"{cash}:{symbol}") or self._by_key.get(f"NSE:{symbol}")

    @cached_property
    def _index(self) -> SearchIndex:
        return SearchIndex(self._by_token.values())

    @cached_property
    def _contracts(self) -> dict[tuple[str, str], list[Instrument]]:
        """(exchange, name of the underlying) -> its futures and options."""
        contracts: dict[tuple[str, str], list[Instrument]] = {}
        for i in self._by_token.values():
            if i.expiry is not None and i.name:
                contracts.setdefault((i.exchange, i.name), []).append(i)
        return contracts

    def _derivatives(self, name: str, exchange: str | None) -> list[Instrument]:
        wanted = name.strip().upper()
        if exchange is None and ":" in wanted:
            exchange, wanted = wanted.split(":", 1)
        here = [c for (where, n), c in self._contracts.items() if n == wanted and exchange in (None, where)]
        if not here:
            names = self.names(exchange)
            close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(close)}?" if close else f"{len(names)} names have derivatives"
            raise UnknownInstrument(f"underlying was {name!r}; {hint}")
        return max(here, key=len)  # the exchange where most of it is listed

    def _not_found(self, key_or_token: Any) -> str:
        if not isinstance(key_or_token, str) or key_or_token.strip().isdigit():
            return (
                f"instrument token was {_short(key_or_token)}; it is not among the {len(self)} instruments of the day"
            )
        close = [i.key for i in self._index.nearest(key_or_token, 3) or self.search(key_or_token, limit=3)]
        hint = f"did you mean {', '.join(close)}?" if close else "write it as EXCHANGE:TRADINGSYMBOL, such as NSE:INFY"
        return f"instrument was {_short(key_or_token)!r}; {hint}"


def _short(value: Any) -> str:
    """The value as an error message quotes it."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields(line: str) -> list[str]:
    # Line by line: a lost quote must cost one row, not the rest of the dump.
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return []


def _parse_rows(rows: list[list[str]], places: list[int], width: int) -> tuple[list[Instrument], int]:
    """Instruments of the rows in order, and how many rows were refused."""
    found: list[Instrument] = []
    dates: dict[str, date | None] = {"": None}
    whole = [[row[p] for p in places] for row in rows if len(row) == width]
    classes = _Classes((row[2], row[10], row[4]) for row in whole)
    known = classes.by_kind
    for token, symbol, exchange, number, name, price, expiry, strike, tick, lot, kind, segment in whole:
        try:
            if expiry not in dates:
                dates[expiry] = date.fromisoformat(expiry)
            instrument = Instrument(
                int(token), symbol, exchange, int(number or 0), name, float(price or 0), dates[expiry],
                float(strike or 0), float(tick or 0), int(float(lot or 0)), kind, segment,
                known.get((exchange, kind, name), ""),
            )  # fmt: skip
        except (ValueError, OverflowError):
            continue
        if 0 < instrument.instrument_token < 1 << 32 and symbol and exchange:
            given = instrument.session_class
            found.append(instrument if given else replace(instrument, session_class=classes.of(instrument)))
    return found, len(rows) - len(found)


class _Classes:
    """Session classes by what the whole dump says. State: which names have a future, answers for contracts."""

    def __init__(self, kinds: Iterable[tuple[str, str, str]]) -> None:
        """`kinds` are (exchange, instrument type, name) of everything in the dump."""
        self._with_future = {
            name for exchange, kind, name in kinds if kind == "FUT" and exchange in _EQUITY_DERIVATIVES
        }
        #: Contracts alone: of shares the symbol decides, and 80,000 of 100,000 rows are contracts.
        self.by_kind: dict[tuple[str, str, str], str] = {}

    def of(self, instrument: Instrument) -> str:
        """The session class of an instrument."""
        if instrument.segment == "INDICES" or instrument.is_index:
            return "index"
        if instrument.exchange in _CASH:
            with_future = instrument.tradingsymbol in self._with_future
            return class_of(replace(instrument, session_class="cas")) if with_future else "other"
        found = class_of(instrument)
        if instrument.expiry is not None:
            self.by_kind[instrument.exchange, instrument.instrument_type, instrument.name] = found
        return found
