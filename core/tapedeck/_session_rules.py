"""The session facts: effective-dated YAML, read, checked and indexed."""

from __future__ import annotations

import calendar as months
import os
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tapedeck.clock import MINUTE
from tapedeck.errors import ConfigError

CLOSED, PRE_OPEN, LIVE, CLOSING_AUCTION, POST_CLOSE, HOLIDAY, WEEKEND = PHASES = (
    "CLOSED", "PRE_OPEN", "LIVE", "CLOSING_AUCTION", "POST_CLOSE", "HOLIDAY", "WEEKEND",
)  # fmt: skip

#: Phase names of the document -> ours, with the sub-phase. `buffer` belongs to whatever it follows.
MEANING: dict[str, tuple[str, str]] = {
    "pre_open": (PRE_OPEN, ""),
    "order_entry": (PRE_OPEN, "order_entry"),
    "order_entry_limit_only": (PRE_OPEN, "order_entry_limit_only"),
    "matching": (PRE_OPEN, "matching"),
    "buffer": ("", "buffer"),
    "continuous": (LIVE, ""),
    "live": (LIVE, ""),
    "morning": (LIVE, ""),
    "evening": (LIVE, ""),
    "cas_reference": (CLOSING_AUCTION, "reference"),
    "cas_order_entry": (CLOSING_AUCTION, "order_entry"),
    "cas_order_entry_limit_only": (CLOSING_AUCTION, "order_entry_limit_only"),
    "cas_matching": (CLOSING_AUCTION, "matching"),
    "stale": (CLOSING_AUCTION, "stale"),
    "closing_value": (CLOSING_AUCTION, "closing_value"),
    "close_calculation": (POST_CLOSE, "close_calculation"),
    "post_close": (POST_CLOSE, "post_close"),
}
#: Facts that open no market: negotiated blocks outside the order book, and cancelling orders.
IGNORED = {"block_morning", "block_afternoon", "order_cancel_only"}


class Tile(NamedTuple):
    """A stretch of a day, in ns after midnight in India; the tiles of a day cover it without gap or overlap."""

    start: int
    end: int
    name: str
    sub: str
    reason: str


class Segment(NamedTuple):
    """One market: its exchange, Kite's names for it, its holiday calendar, its classes (the default first)."""

    name: str
    exchange: str
    kite: tuple[str, ...]
    calendar: str
    classes: tuple[str, ...]


class Rule(NamedTuple):
    """Phases of one part of the day, in force from `first` to `last`."""

    id: str
    segments: tuple[str, ...]
    session_class: str
    part: str
    first: date
    last: date
    spans: tuple[Tile, ...]


class Special(NamedTuple):
    """A day that keeps its own hours in some segments; without spans the normal rules hold (or it is closed)."""

    reason: str
    closed: bool
    use_rules: bool
    spans: tuple[Tile, ...]


class Holiday(NamedTuple):
    """A closed day; with `open_half` ("morning" or "evening") only the other half is closed."""

    reason: str
    open_half: str


class Facts:
    """What the document says, indexed; nothing in it changes after construction.

    Raises
    ------
    ConfigError
        With every problem found, if the document was not usable.
    """

    def __init__(self, document: Mapping[str, Any], *, source: str) -> None:
        self._problems: list[str] = []
        try:
            self._read(document)
            self._check_coverage()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._problems.append(f"{type(error).__name__}: {error}")
        if self._problems:
            raise ConfigError(f"session facts ({source}): " + "; ".join(self._problems))

    def _read(self, document: Mapping[str, Any]) -> None:
        covers = document["covers"]
        self.first: date = covers["from"]
        self.last: date = covers["to"]
        self.boundary = _minutes(document["half_day_boundary"])
        self.segments = {
            name: Segment(name, s["exchange"], tuple(s["kite"]), s["calendar"], tuple(s["classes"]))
            for name, s in document["segments"].items()
        }
        self.by_name = {kite: s for s in self.segments.values() for kite in (s.name, *s.kite)}
        self.classes = frozenset(document["classes"])
        self.inherits = {name: (name, *parents) for name, parents in document["inherits"].items()}
        self.index_underlyings = frozenset(document["index_underlyings"])
        self.cas_excluded = {segment: frozenset(names) for segment, names in document["cas_excluded"].items()}
        self.class_of_commodity = {n: c for c, names in document["commodity_names"].items() for n in names}
        self.next_month_days = int(document["next_month_preopen_days"])
        self.expiry_weekdays = [
            (tuple(e["segments"]), _WEEKDAYS.index(e["weekday"]), e["effective_from"], e["effective_to"] or date.max)
            for e in document["monthly_expiry"]
        ]
        self.rules = [rule for r in document["rules"] if (rule := self._rule(r, set(document["sources"])))]
        self.holidays = {
            (calendar, day["date"]): _holiday(day)
            for year in document["holidays"].values()
            for calendar, entry in year.items()
            for day in entry["days"]
        }
        self.specials: dict[tuple[str, date], Special] = {}
        for entry in document["special_sessions"]:
            self._add_special(entry)

    def _rule(self, entry: Mapping[str, Any], sources: set[str]) -> Rule | None:
        where = f"rule {entry['id']}"
        unknown = [s for s in entry["segments"] if s not in self.segments]
        unknown += [s for s in entry["source"] if s not in sources]
        if entry["class"] != "*" and entry["class"] not in self.classes:
            unknown.append(entry["class"])
        if unknown:
            self._problems.append(f"{where} names {', '.join(unknown)}, which is not declared")
        first, last = entry["effective_from"], entry["effective_to"] or date.max
        if first > last:
            self._problems.append(f"{where} ends before it begins")
        spans = self._spans(entry["phases"], where)
        if not spans:  # block deals
            return None
        return Rule(entry["id"], tuple(entry["segments"]), entry["class"], entry["part"], first, last, spans)

    def _add_special(self, entry: Mapping[str, Any]) -> None:
        where = f"special session {entry['date']}"
        use_rules, closed = bool(entry.get("use_rules")), entry.get("status") == "closed"
        phases = entry.get("phases", [])
        named = entry.get("segments") or [s for p in phases for s in p["segments"]]
        if unknown := sorted(set(named) - set(self.segments)):
            self._problems.append(f"{where} names {', '.join(unknown)}, which is not declared")
        for segment in dict.fromkeys(named):
            spans = self._spans([p for p in phases if segment in p.get("segments", named)], where)
            if spans or use_rules or closed:
                reason = entry.get("reason") or entry.get("kind", "special session")
                self.specials[segment, entry["date"]] = Special(reason, closed, use_rules, spans)
            else:
                self._problems.append(f"{where} says nothing about {segment}: give phases, use_rules or status: closed")

    def _spans(self, phases: Iterable[Mapping[str, Any]], where: str) -> tuple[Tile, ...]:
        tiles = []
        for p in phases:
            if p["name"] in IGNORED:
                continue
            if p["name"] not in MEANING:
                self._problems.append(
                    f"{where} has an unknown phase {p['name']!r}; known: {', '.join(sorted(MEANING))}"
                )
                continue
            start, end = _minutes(p["start"]), _minutes(p["end"])
            if start >= end:
                self._problems.append(f"{where}: {p['name']} ends at or before its start")
            tiles.append(Tile(start, end, *MEANING[p["name"]], ""))
        return tuple(tiles)

    def _check_coverage(self) -> None:
        """Every class of every segment has trading hours on every covered day, and no day has two."""
        for segment in self.segments.values():
            for cls in segment.classes:
                names = (*self.inherits.get(cls, (cls,)), "*")
                days = [
                    r for r in self.rules if segment.name in r.segments and r.part == "day" and r.session_class in names
                ]
                edges = {
                    self.first,
                    *(r.first for r in days),
                    *(r.last + timedelta(1) for r in days if r.last < date.max),
                }
                for day in sorted(e for e in edges if self.first <= e <= self.last):
                    found = self.active(segment.name, cls, day)
                    if [r.part for r in found].count("day") != 1:
                        ids = ", ".join(r.id for r in found) or "none"
                        self._problems.append(f"{segment.name} {cls} needs one rule for the day from {day}, has {ids}")

    def covers(self, day: date) -> bool:
        """Whether holidays and hours of that date are known."""
        return self.first <= day <= self.last

    def active(self, segment: str, cls: str, day: date) -> list[Rule]:
        """Rules in force: per part those naming the class (or what it inherits), else those for every class."""
        mine = [r for r in self.rules if segment in r.segments]
        current = [r for r in mine if r.first <= day <= r.last]
        if not self.covers(day):
            current += _nearest(mine, current, cls, day)
        chosen: list[Rule] = []
        for part in dict.fromkeys(r.part for r in current):
            for name in (*self.inherits.get(cls, (cls,)), "*"):
                if found := [r for r in current if r.part == part and r.session_class == name]:
                    chosen += found
                    break
        return chosen


_WEEKDAYS = [name.lower() for name in months.day_name]


def _nearest(mine: list[Rule], current: list[Rule], cls: str, day: date) -> list[Rule]:
    """The rule of the day nearest in time, where a date outside the coverage has none of its own."""
    if any(r.part == "day" and r.session_class in (cls, "*") for r in current):
        return []
    candidates = [r for r in mine if r.part == "day" and r.session_class in (cls, "*")]
    later = [r for r in candidates if r.first > day]
    earlier = [r for r in candidates if r.last < day]
    if later and day < min(r.first for r in later) and not earlier:
        return [min(later, key=lambda r: r.first)]
    return [max(earlier, key=lambda r: r.last)] if earlier else []


def _minutes(text: str) -> int:
    """Nanoseconds after midnight of "HH:MM"."""
    if not isinstance(text, str):  # YAML 1.1 reads a bare 09:15 as the number 555
        raise ValueError(f'time was {text!r}; write it in quotes, such as "09:15"')
    hours, _, minutes = text.partition(":")
    return (int(hours) * 60 + int(minutes)) * MINUTE


def _holiday(day: Mapping[str, Any]) -> Holiday:
    halves = [half for half in ("morning", "evening") if day.get(half) == "open"]
    return Holiday(day["reason"], halves[0] if halves else "")


@lru_cache(maxsize=1)
def facts() -> Facts:
    """The facts in force: the packaged rules, and over them the file named by TAPEDECK_SESSIONS.

    Raises
    ------
    ConfigError
        If either was not usable.
    """
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 7 ms instead of 55 ms
    document = yaml.load((files("tapedeck") / "rules" / "sessions.yaml").read_text("utf-8"), loader)
    source, own = "rules/sessions.yaml", os.environ.get("TAPEDECK_SESSIONS", "").strip()
    if own:
        try:
            overlay = yaml.load(Path(own).read_text("utf-8"), loader) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"TAPEDECK_SESSIONS was {own}, which could not be read: {error}") from error
        document, source = overlaid(document, overlay), own
    return Facts(document, source=source)


def overlaid(document: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """The document with another laid over it.

    Special sessions and rules are added (a rule of the same id is replaced, a special session of the same date
    and segment wins); holidays are added by year and calendar; every other key is replaced.

    Raises
    ------
    ConfigError
        If the overlay had a key that the document has not.
    """
    unknown = sorted(map(str, set(overlay) - set(document))) if isinstance(overlay, Mapping) else ["no keys at all"]
    if unknown:
        raise ConfigError(f"session facts had {', '.join(unknown)}; allowed keys: {', '.join(sorted(document))}")
    merged = {**document, **overlay}
    replaced = {rule.get("id") for rule in overlay.get("rules", ())}
    merged["rules"] = [r for r in document["rules"] if r["id"] not in replaced] + list(overlay.get("rules", ()))
    merged["special_sessions"] = [*document["special_sessions"], *overlay.get("special_sessions", ())]
    merged["sources"] = {**document["sources"], **overlay.get("sources", {})}
    years = {year: {c: dict(entry) for c, entry in cals.items()} for year, cals in document["holidays"].items()}
    for year, calendars in overlay.get("holidays", {}).items():
        for calendar, entry in calendars.items():
            there = years.setdefault(year, {}).setdefault(calendar, {"days": []})
            there["days"] = [*there["days"], *entry["days"]]
    merged["holidays"] = years
    return merged
