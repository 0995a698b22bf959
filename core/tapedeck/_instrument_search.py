"""Ranked search over instruments: what a person types, forgiving, with words that narrow the result."""

from __future__ import annotations

import difflib
import heapq
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from datetime import date
from functools import cached_property
from typing import NamedTuple

from tapedeck.schema import Instrument

#: Underlying as the derivatives call it -> tradingsymbol of the index.
ALIASES = {
    "NIFTY": "NIFTY 50",
    "BANKNIFTY": "NIFTY BANK",
    "FINNIFTY": "NIFTY FIN SERVICE",
    "MIDCPNIFTY": "NIFTY MID SELECT",
    "NIFTYNXT50": "NIFTY NEXT 50",
    "SENSEX": "SENSEX",
    "BANKEX": "BANKEX",
}
_ALIAS_OF = {symbol: name for name, symbol in ALIASES.items()}

_KINDS = {
    "CE": {"CE"}, "CALL": {"CE"}, "CALLS": {"CE"},
    "PE": {"PE"}, "PUT": {"PE"}, "PUTS": {"PE"},
    "FUT": {"FUT"}, "FUTURE": {"FUT"}, "FUTURES": {"FUT"},
    "OPT": {"CE", "PE"}, "OPTION": {"CE", "PE"}, "OPTIONS": {"CE", "PE"},
    "EQ": {"EQ"},
}  # fmt: skip
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_EXPIRY = re.compile(rf"(?P<day>\d{{1,2}})?({'|'.join(_MONTH_NAMES)})[A-Z]*(?P<year>\d{{4}}|\d{{2}})?")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_STRIKE_AND_KIND = re.compile(r"(\d+(?:\.\d+)?)(CE|PE)")
_WORD = re.compile(r"[A-Z0-9&]+")

# Ranks of how a query meets a symbol or a name; smaller is better.
_EXACT, _WHOLE_WORDS, _PREFIX, _NAME, _INSIDE, _FUZZY = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0
#: Below this likeness (0 to 1) two words are different words.
_ALIKE = 0.7
_SIMILAR_WORDS = 8
#: Contracts of one month that are looked through for the expiry nearest to a day.
_WHOLE_MONTH = 2000
#: Nobody types more; comparing spellings costs the product of the lengths.
_LONGEST = 60


class Filters(NamedTuple):
    """What a row must be, whatever was typed; None where it does not matter."""

    exchange: str | None = None
    kind: str | None = None
    expiry: date | None = None
    strike: float | None = None

    @property
    def narrow(self) -> bool:
        """Whether only contracts can be meant."""
        return self.kind in ("FUT", "CE", "PE") or self.expiry is not None or self.strike is not None

    def let(self, row: Instrument) -> bool:
        """Whether they let this row through."""
        if self.strike is not None and (self.strike != row.strike or row.instrument_type not in ("CE", "PE")):
            return False
        if self.expiry not in (None, row.expiry) or self.exchange not in (None, row.exchange):
            return False
        return self.kind is None or self.kind == kind_of(row)


ANY = Filters()


def kind_of(row: Instrument) -> str:
    """`EQ`, `INDEX`, `FUT`, `CE` or `PE`: Kite's instrument type, but that it calls indices `EQ`, too."""
    kind = row.instrument_type
    return "INDEX" if kind == "EQ" and (row.segment == "INDICES" or row.is_index) else kind


class Query(NamedTuple):
    """What was typed: the words to look for, and what narrows the result."""

    words: tuple[str, ...]
    numbers: tuple[float, ...]
    kinds: frozenset[str]
    expiry: tuple[int | None, int | None, int | None]
    exchange: str | None
    filters: Filters = ANY

    @property
    def narrowed(self) -> bool:
        """Whether only derivatives can be meant."""
        return bool(self.kinds - {"EQ"}) or self.expiry != (None, None, None) or self.filters.narrow


class _Entry(NamedTuple):
    """One thing to find: a share, an index, or all futures, or all options, on one underlying at one exchange."""

    symbol: str
    names: tuple[str, ...]
    words: frozenset[str]
    rows: list[Instrument]
    contracts: bool

    @property
    def options(self) -> bool:
        """Whether it is options: of 100,000 instruments 80,000 are."""
        return self.contracts and self.rows[0].instrument_type in ("CE", "PE")


def parse_query(text: str, exchanges: frozenset[str]) -> Query:
    """The query of what was typed. The first word is always one to look for, unless an exchange leads."""
    exchange = None
    typed = re.split(r"[\s,]+", text.strip().upper())
    if ":" in typed[0]:
        lead, _, rest = typed[0].partition(":")
        exchange, typed = lead, [rest, *typed[1:]]
    typed = [word for word in typed if word]
    if exchange is None and len(typed) > 1 and typed[0] in exchanges:
        exchange, typed = typed[0], typed[1:]
    words, numbers, kinds = typed[:1], [], set()
    expiry: tuple[int | None, int | None, int | None] = (None, None, None)
    for word in typed[1:]:
        if joined := _STRIKE_AND_KIND.fullmatch(word):
            numbers.append(float(joined[1]))
            kinds |= _KINDS[joined[2]]
        elif word in _KINDS:
            kinds |= _KINDS[word]
        elif word in exchanges:
            exchange = exchange or word
        elif found := _expiry(word):
            day, month, year = found
            if day is None and numbers and numbers[-1] in range(1, 32):  # "24 nov"
                day = int(numbers.pop())
            expiry = day, month, year
        elif _NUMBER.fullmatch(word):
            numbers.append(float(word))
        else:
            words.append(word)
    return Query(tuple(words), tuple(numbers), frozenset(kinds), expiry, exchange)


def _expiry(word: str) -> tuple[int | None, int | None, int | None] | None:
    """Day, month, year of an expiry word, each None when not said; None when it is no such word."""
    try:
        given = date.fromisoformat(word)
        return given.day, given.month, given.year
    except ValueError:
        pass
    match = _EXPIRY.fullmatch(word)
    if match is None:
        return None
    day, month, year = match["day"], _MONTHS[match[2]], match["year"]
    return int(day) if day else None, month, int(year) % 100 + 2000 if year else None


class SearchIndex:
    """Everything findable, by word. Built once."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        rows = self._rows = list(instruments)
        self._exchanges = frozenset(i.exchange for i in rows)
        self._entries = _entries(rows)
        self._by_word: dict[str, list[int]] = {}
        for n, entry in enumerate(self._entries):
            for word in entry.words:
                self._by_word.setdefault(word, []).append(n)
        self._words = sorted(self._by_word)
        # Pair of letters -> words that have it: narrows the words worth comparing with one that was mistyped.
        self._by_pair: dict[str, list[int]] = {}
        for n, word in enumerate(self._words):
            for pair in _pairs(word):
                self._by_pair.setdefault(pair, []).append(n)

    def search(self, text: str, *, limit: int, filters: Filters = ANY) -> list[Instrument]:
        """Instruments best first, at most `limit`; without words everything the filters let through, in order."""
        text = text.strip()[:_LONGEST]
        if limit <= 0 or (not text and filters == ANY):
            return []
        if not text:
            return heapq.nsmallest(limit, filter(filters.let, self._rows), key=_order)
        query = self._parse(text, filters)
        if not query.words:
            return []
        # Not listed like that: any day of the month, the words in another order, every word one to look for.
        whole_month = query._replace(expiry=(None, *query.expiry[1:]))
        turned = self._parse(_turned(text), filters)
        plain = _plain(text, query)
        straight = turned == query
        attempts = {query: straight, whole_month: straight, turned: True, plain: True}
        for attempt, forgiving in attempts.items():
            if attempt is whole_month and whole_month != query:
                found = self._nearest_expiry_first(self._ranked(attempt, _WHOLE_MONTH, forgiving), query)[:limit]
            else:
                found = self._ranked(attempt, limit, forgiving)
            if found:
                return found
        return []

    @staticmethod
    def _nearest_expiry_first(rows: list[Instrument], query: Query) -> list[Instrument]:
        day = query.expiry[0] or 0
        return sorted(rows, key=lambda row: abs(row.expiry.day - day) if row.expiry else 0)

    def expiry_note(self, text: str, filters: Filters = ANY) -> str:
        """That nothing expires on the day that was typed, and what is found instead; empty when something does."""
        text = text.strip()[:_LONGEST]
        day, month, _ = self._parse(text, filters).expiry if text else (None, None, None)
        found = self.search(text, limit=1, filters=filters) if day and month else []
        expiry = found[0].expiry if found else None
        if not day or not month or expiry is None or (expiry.day, expiry.month) == (day, month):
            return ""
        nearest = f"{expiry.day} {_MONTH_NAMES[expiry.month - 1].title()}"
        return f"no expiry on {day} {_MONTH_NAMES[month - 1].title()}; nearest {nearest}"

    def _parse(self, text: str, filters: Filters) -> Query:
        query = parse_query(text, self._exchanges)._replace(filters=filters)
        return query if filters.exchange is None else query._replace(exchange=filters.exchange)

    def nearest(self, key: str, n: int) -> list[Instrument]:
        """Instruments whose symbol is spelled most like that of a key, best first."""
        exchange, _, symbol = key.strip()[:_LONGEST].upper().rpartition(":")
        entries = [self._entries[e] for e in self._similar(symbol)]
        rows = [row for entry in entries if not entry.contracts for row in entry.rows]
        symbols, contracts = self._symbols
        middle = bisect_left(symbols, symbol)
        rows += contracts[max(middle - 50, 0) : middle + 50]
        here = [row for row in rows if row.exchange == exchange] or rows
        alike = [(difflib.SequenceMatcher(None, row.tradingsymbol, symbol).ratio(), row) for row in here]
        # The first letter is rarely the wrong one.
        alike.sort(key=lambda hit: (-hit[0], hit[1].tradingsymbol[:1] != symbol[:1], *_order(hit[1])))
        return [row for likeness, row in alike if likeness >= _ALIKE][:n]

    def _ranked(self, query: Query, limit: int, forgiving: bool) -> list[Instrument]:
        found: dict[int, tuple[float, Instrument]] = {}
        ranked = [(self._entries[n], rank) for n, rank in self._matches(query, forgiving).items()]
        ranked.sort(key=lambda hit: hit[0].options)
        for entry, rank in ranked:
            if entry.options and len(found) >= limit and not (query.narrowed or query.numbers):
                break  # they come last, unless they were asked for
            for row in entry.rows:
                if _wanted(row, query):
                    found[row.instrument_token] = (rank + _demotion(row, query), row)
        for row in self._contracts_by_symbol(query):
            found.setdefault(row.instrument_token, (_EXACT if row.tradingsymbol == query.words[0] else _PREFIX, row))
        best = heapq.nsmallest(limit, found.values(), key=lambda hit: (hit[0], *_order(hit[1])))
        return [row for _, row in best]

    def _matches(self, query: Query, forgiving: bool) -> dict[int, float]:
        """Entry -> rank; forgiving, those that are spelled alike when nothing else is found."""
        sets = [self._with_prefix(word) for word in query.words]
        extra = [set(self._with_prefix(_text(number))) for number in query.numbers]
        hits = set.intersection(*map(set, sets))
        joined = "".join(query.words)
        hits |= set(self._by_word.get(joined, ()))
        ranks = {n: self._rank(n, query, extra) for n in hits}
        if len(joined) >= 3 and len(hits) < 50:
            for n, entry in enumerate(self._entries):
                if n not in ranks and joined in entry.symbol:
                    ranks[n] = _INSIDE
        return ranks or (self._fuzzy(query) if forgiving else {})

    def _with_prefix(self, word: str) -> list[int]:
        """Entries with a word beginning so."""
        start = bisect_left(self._words, word)
        end = bisect_left(self._words, word + "\uffff")
        return [n for w in self._words[start:end] for n in self._by_word[w]]

    def _rank(self, n: int, query: Query, extra: list[set[int]]) -> float:
        entry = self._entries[n]
        spelled = " ".join((*query.words, *map(_text, query.numbers))), " ".join(query.words), "".join(query.words)
        if entry.names and any(s in entry.names for s in spelled):
            # Of NIFTY 50 and NIFTY 500, "nifty 50" means the first: the longer spelling counts more.
            return _EXACT if spelled[0] in entry.names or not query.numbers or entry.contracts else _WHOLE_WORDS
        whole = all(word in entry.words for word in query.words)
        digits = sum(n not in found for found in extra) * 0.5
        if any(name.startswith((spelled[1], spelled[2])) for name in entry.names):
            # Of SBIN and SBICARD "sbi" means the first, as much as if it were a word of its name.
            near = len(spelled[2]) >= 3 and len(entry.symbol) == len(spelled[2]) + 1 and entry.rows[0].exchange == "NSE"
            return (_WHOLE_WORDS if whole or near else _PREFIX) + digits
        return _NAME + (0.0 if whole else 0.5) + digits

    def _fuzzy(self, query: Query) -> dict[int, float]:
        """Entries whose words are all like the words asked for, or whose symbol is like them joined."""
        per_word = [self._similar(word) for word in query.words]
        both = set.intersection(*(set(found) for found in per_word))
        ranks = {n: _FUZZY + 1 - min(found[n] for found in per_word) for n in both}
        if len(query.words) > 1:
            for n, likeness in self._similar("".join(query.words)).items():
                ranks[n] = min(ranks.get(n, 9.0), _FUZZY + 1 - likeness)
        return ranks

    def _similar(self, word: str) -> dict[int, float]:
        """Entry -> likeness of its most similar word."""
        found: dict[int, float] = dict.fromkeys(self._with_prefix(word), 1.0)
        if _NUMBER.fullmatch(word):  # a number is what it is
            return found
        pairs = Counter(w for pair in _pairs(word) for w in self._by_pair.get(pair, ()))
        likely = sorted(pairs, key=lambda w: -pairs[w] / (len(self._words[w]) + len(word)))[:80]
        close = difflib.get_close_matches(word, [self._words[w] for w in likely], n=_SIMILAR_WORDS, cutoff=_ALIKE)
        for other in close:
            likeness = difflib.SequenceMatcher(None, other, word).ratio()
            for n in self._by_word[other]:
                found[n] = max(found.get(n, 0.0), likeness)
        return found

    @cached_property
    def _symbols(self) -> tuple[list[str], list[Instrument]]:
        """Tradingsymbols of all contracts in order, and the contracts."""
        rows = sorted((r for e in self._entries if e.contracts for r in e.rows), key=lambda r: r.tradingsymbol)
        return [r.tradingsymbol for r in rows], rows

    def _contracts_by_symbol(self, query: Query) -> list[Instrument]:
        """Contracts whose own symbol was typed, or its beginning."""
        word = query.words[0]
        if len(query.words) > 1 or len(word) < 4 or not any(c.isdigit() for c in word):
            return []
        symbols, rows = self._symbols
        start, end = bisect_left(symbols, word), bisect_left(symbols, word + "\uffff")
        return [row for row in rows[start:end] if _wanted(row, query)]


def _entries(rows: list[Instrument]) -> list[_Entry]:
    cash: list[_Entry] = []
    groups: dict[tuple[str, str, bool], list[Instrument]] = {}
    company: dict[str, str] = {}
    for row in rows:
        if row.expiry is not None and row.name:
            is_option = row.instrument_type in ("CE", "PE")
            groups.setdefault((row.exchange, row.name, is_option), []).append(row)
            continue
        symbol = row.tradingsymbol.upper()
        alias = _ALIAS_OF.get(symbol, "")
        company.setdefault(symbol, row.name)
        cash.append(_entry(symbol, (alias,) if alias else (), row.name, [row], contracts=False))
    for (_, name, _), contracts in groups.items():
        # A contract's own name is only the symbol of its underlying; find it by the company's name, too.
        also = ALIASES.get(name, company.get(name, ""))
        cash.append(_entry(name.upper(), (), also, contracts, contracts=True))
    return cash


def _entry(symbol: str, aliases: tuple[str, ...], name: str, rows: list[Instrument], *, contracts: bool) -> _Entry:
    words = {*_WORD.findall(symbol), *_WORD.findall(name.upper()), symbol, "".join(_WORD.findall(symbol)), *aliases}
    names = dict.fromkeys((symbol, "".join(_WORD.findall(symbol)), *aliases, name.upper()))
    return _Entry(symbol, tuple(n for n in names if n), frozenset(w for w in words if w), rows, contracts)


def _plain(text: str, query: Query) -> Query:
    """The query without anything that narrows: every word is one to look for."""
    words = _WORD.findall(text.upper().rpartition(":")[2])
    return Query(tuple(words) or ("",), (), frozenset(), (None, None, None), query.exchange, query.filters)


def _turned(text: str) -> str:
    """The words with strikes and kinds that lead moved behind the name: "24500 ce nifty"."""
    words = text.upper().split()
    lead = 0
    while lead < len(words) and (words[lead] in _KINDS or _NUMBER.fullmatch(words[lead])):
        lead += 1
    return " ".join(words[lead:] + words[:lead])


def _text(number: float) -> str:
    return f"{number:g}"


def _pairs(word: str) -> set[str]:
    return {word[i : i + 2] for i in range(len(word) - 1)} or {word}


def _wanted(row: Instrument, query: Query) -> bool:
    """Whether what narrows the query lets this row through."""
    if query.filters is not ANY and not query.filters.let(row):
        return False
    if query.exchange and row.exchange != query.exchange:
        return False
    if query.kinds and row.instrument_type not in query.kinds:
        return False
    if any(query.expiry):
        day, month, year = query.expiry
        if row.expiry is None or row.expiry.month != month or day not in (None, row.expiry.day):
            return False
        if year not in (None, row.expiry.year):
            return False
    if query.numbers and row.instrument_type in ("CE", "PE"):
        return row.strike in query.numbers
    return not query.numbers or not query.narrowed


def _demotion(row: Instrument, query: Query) -> float:
    """Contracts come after the share, unless they were asked for."""
    if query.narrowed or row.expiry is None or (query.numbers and row.instrument_type in ("CE", "PE")):
        return 0.0
    return 0.5 if row.instrument_type == "FUT" else 6.0


def _order(row: Instrument) -> tuple:
    """Among equals: indices, NSE, other shares, futures, options; the nearest expiry; the shortest symbol."""
    if row.expiry is not None:
        place = 3 if row.instrument_type == "FUT" else 4
        exchange = 0 if row.exchange in ("NFO", "MCX", "CDS") else 1
        return place, row.expiry, exchange, row.strike, row.instrument_type, row.tradingsymbol
    place = 0 if row.segment == "INDICES" else 1 if row.exchange == "NSE" else 2
    return place, date.min, 0, float(len(row.tradingsymbol)), "", row.tradingsymbol
