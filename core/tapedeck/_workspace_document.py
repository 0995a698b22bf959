"""What a workspace document may hold, every problem of one in a sentence each, and the one a new desk begins with.

{"version": 1, "revision": 3,
 "lists": [{"name": "Watchlist", "keys": ["NSE:NIFTY 50", "NSE:INFY"]}],
 "columns": ["last_price", "percent"], "density": "compact", "theme": "dark", "palette": "standard",
 "layout": {"context": true, "dock_height": 264}}
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from tapedeck.errors import ConfigError
from tapedeck.instruments import Instruments

VERSION = 1
DENSITIES = ("compact", "normal", "relaxed")
THEMES = ("dark", "light")
PALETTES = ("standard", "colour-blind")
MAX_LISTS, MAX_KEYS, MAX_ALL_KEYS = 40, 1000, 3000
MAX_NAME, MAX_KEY, MAX_COLUMNS, MAX_LAYOUT, MAX_TEXT = 40, 64, 60, 60, 80
#: A number of the layout is at most so far from 0: pixels and shares, not data.
MAX_NUMBER = 1e9
#: A document that is wrong all over is told this many problems, and how many there were.
MAX_PROBLEMS = 50

_KEY = re.compile(r"[A-Z]{2,8}:[!-9;-~]([ !-9;-~]*[!-9;-~])?")  # printable ASCII, one colon, no space at the ends
_WORD = re.compile(r"[a-z][a-z0-9_]*")


def parse_workspace(document: Any) -> dict[str, Any]:
    """The document again, checked and copied, its fields in their usual order.

    Raises
    ------
    ConfigError
        Naming every problem, a line each.
    """
    if problems := _problems(document):
        more = len(problems) - MAX_PROBLEMS
        shown = problems[:MAX_PROBLEMS] + ([f"and {more} more problems"] if more > 0 else [])
        raise ConfigError("\n".join(shown))
    return copied(document)


def copied(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of a valid document that shares no list with it."""
    columns = document["columns"]
    lists = [{"name": one["name"], "keys": list(one["keys"])} for one in document["lists"]]
    changed = {"lists": lists, "columns": columns and list(columns), "layout": dict(document["layout"])}
    return {name: changed.get(name, document[name]) for name in _CHECKS}


def default_document(lists: list[dict[str, Any]]) -> dict[str, Any]:
    """What a new desk begins with, around these lists; its revision is 0, since it was never saved."""
    return {
        "version": VERSION,
        "revision": 0,
        "lists": lists,
        "columns": None,
        "density": "normal",
        "theme": THEMES[0],
        "palette": PALETTES[0],
        "layout": {},
    }


def default_lists(instruments: Instruments, day: date) -> list[dict[str, Any]]:
    """The lists of `rules/watchlist.yaml`: shares, indices, and of some underlyings the future that expires next.

    Keys that the day's instruments lack are left out; while there are no instruments at all, so are the futures.
    """
    rules = _rules()
    known = [[key for key in rules[part] if not len(instruments) or key in instruments] for part in ("keys", "indices")]
    futures = [instruments.near_future(name, day) for name in rules["futures"]]
    lists = zip(("Watchlist", "Indices", "Futures"), (*known, [one.key for one in futures if one]), strict=True)
    return [{"name": name, "keys": keys} for name, keys in lists]


@lru_cache(maxsize=1)
def _rules() -> dict[str, list[str]]:
    """`rules/watchlist.yaml`; read once, since every page asks for it."""
    text = resources.files("tapedeck.rules").joinpath("watchlist.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def _problems(document: Any) -> list[str]:
    if not isinstance(document, dict):
        return [f"workspace was {_shown(document)}; allowed: an object with {', '.join(_CHECKS)}"]
    found = [f"{name} is missing; a workspace has {', '.join(_CHECKS)}" for name in _CHECKS if name not in document]
    found += [
        f"{_shown(name)} is not a field; allowed: {', '.join(_CHECKS)}" for name in document if name not in _CHECKS
    ]
    for name, check in _CHECKS.items():
        if name in document:
            found += check(document[name])
    return found


def _check_version(value: Any) -> Iterator[str]:
    if type(value) is not int or value != VERSION:
        yield f"version was {_shown(value)}; allowed: {VERSION}"


def _check_revision(value: Any) -> Iterator[str]:
    if type(value) is not int or not 0 <= value < 1 << 53:
        yield f"revision was {_shown(value)}; allowed: the revision this document was based on, a whole number from 0"


def _check_lists(value: Any) -> Iterator[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LISTS:
        yield f"lists was {_shown(value)}; allowed: 1 to {MAX_LISTS} lists"
        return
    names: list[str] = []
    total = 0
    for n, one in enumerate(value):
        where = f"lists[{n}]"
        if not isinstance(one, dict) or set(one) != {"name", "keys"}:
            yield f"{where} was {_shown(one)}; allowed: an object with name and keys"
            continue
        yield from _check_name(f"{where}.name", one["name"], names)
        yield from _check_keys(f"{where}.keys", one["keys"])
        total += len(one["keys"]) if isinstance(one["keys"], list) else 0
    if total > MAX_ALL_KEYS:
        yield f"lists had {total} keys together; allowed: {MAX_ALL_KEYS}"


def _check_name(where: str, name: Any, taken: list[str]) -> Iterator[str]:
    if not _is_text(name, MAX_NAME) or not name or name != name.strip():
        yield f"{where} was {_shown(name)}; allowed: 1 to {MAX_NAME} printable characters, no space at the ends"
        return
    if name.casefold() in taken:
        yield f"{where} was {_shown(name)}; another list has that name"
    taken.append(name.casefold())


def _check_keys(where: str, keys: Any) -> Iterator[str]:
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        size = f"{len(keys)} keys" if isinstance(keys, list) else _shown(keys)
        yield f"{where} was {size}; allowed: a list of at most {MAX_KEYS}"
        return
    for n, key in enumerate(keys):
        if not isinstance(key, str) or len(key) > MAX_KEY or not _KEY.fullmatch(key):
            yield f"{where}[{n}] was {_shown(key)}; allowed: EXCHANGE:TRADINGSYMBOL, at most {MAX_KEY} characters"
    twice = [key for key, times in Counter(key for key in keys if isinstance(key, str)).items() if times > 1]
    for key in twice:
        yield f"{where} had {_shown(key)} more than once"


def _check_columns(value: Any) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_COLUMNS:
        yield f"columns was {_shown(value)}; allowed: null, or 1 to {MAX_COLUMNS} names"
        return
    for n, name in enumerate(value):
        if not _is_word(name):
            yield f"columns[{n}] was {_shown(name)}; allowed: a column's name, such as last_price"
        elif name in value[:n]:
            yield f"columns[{n}] was {_shown(name)}, which is among them already"


def _one_of(field: str, allowed: Iterable[str]) -> Callable[[Any], Iterator[str]]:
    words = tuple(allowed)

    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, str) or value not in words:
            yield f"{field} was {_shown(value)}; allowed: {', '.join(words)}"

    return check


def _check_layout(value: Any) -> Iterator[str]:
    if not isinstance(value, dict) or len(value) > MAX_LAYOUT:
        yield f"layout was {_shown(value)}; allowed: an object of at most {MAX_LAYOUT} entries"
        return
    for name, entry in value.items():
        if not _is_word(name):
            yield f"layout had {_shown(name)}; allowed: names of small letters, digits and _, such as dock_height"
        if isinstance(entry, str):
            fits = _is_text(entry, MAX_TEXT)
        else:
            # NaN and infinity compare false, and so does an integer that no float can hold.
            fits = isinstance(entry, (bool, int, float)) and -MAX_NUMBER <= entry <= MAX_NUMBER
        if not fits:
            allowed = f"true, false, a number up to {MAX_NUMBER:,.0f} or a text of at most {MAX_TEXT} characters"
            yield f"layout[{_shown(name)}] was {_shown(entry)}; allowed: {allowed}"


#: Field -> what is wrong with a value of it. All fields are required.
_CHECKS: dict[str, Callable[[Any], Iterable[str]]] = {
    "version": _check_version,
    "revision": _check_revision,
    "lists": _check_lists,
    "columns": _check_columns,
    "density": _one_of("density", DENSITIES),
    "theme": _one_of("theme", THEMES),
    "palette": _one_of("palette", PALETTES),
    "layout": _check_layout,
}


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and value.isprintable()


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME and _WORD.fullmatch(value) is not None


def _shown(value: Any) -> str:
    """The value as a sentence quotes it: one line, short, whatever it was."""
    if isinstance(value, (list, dict)):
        kind = "list" if isinstance(value, list) else "object"
        return f"{'an' if kind == 'object' else 'a'} {kind} of {len(value)}"
    if type(value) is int and value.bit_length() > 200:
        return "a very large number"  # thousands of digits are refused by `repr`
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 70 else f"{text[:67]}..."
