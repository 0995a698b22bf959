"""What Kite's REST really answers where its documents say nothing: read-only questions within its limits.

Each is asked by itself and fails by itself. Nothing seen contains a token.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import requests

from tapedeck.clock import MINUTE, SECOND, Clock, to_ist
from tapedeck.errors import BadAnswer, NetworkFailed, RateLimited, TapedeckError

from .login import Credentials
from .rest import KiteRest, ist_text

#: A share that trades every second of a session, and an index.
SHARE, INDEX = "NSE:INFY", "NSE:NIFTY 50"
#: More days of minutes than one request may have.
TOO_MANY_DAYS = 61
#: Characters of an answer that are shown.
SHOWN = 300
#: How often a question is asked that Kite refuses with 429: a desk that runs asks with the same key.
TRIES = 4
REFUSED = "not seen: Kite said 429 (the running desk asks too); run it again"
WRONG_TOKEN = "not-a-token"
TIMEOUT_S = 10.0


class Seen(NamedTuple):
    """One question and what was seen; `failed` when there was no answer to look at, `seen` is then the reason."""

    question: str
    seen: str
    failed: bool = False


@dataclass(frozen=True)
class Kite:
    """What the questions are asked with: `clock` is market time, `machine` this machine's; `pace` is the quota.

    `on_refused` hears of a 429, so that `pace` waits longer before the next request of that kind.
    """

    rest: KiteRest
    credentials: Credentials
    clock: Clock
    machine: Clock
    pace: Callable[[str], object]
    on_refused: Callable[[str, float], object]
    session: requests.Session = field(default_factory=requests.Session)
    #: Instrument token by key, from the dump.
    tokens: dict[str, int] = field(default_factory=dict)


def ask_rest(kite: Kite) -> Iterator[Seen]:
    """The answers to every question that REST can answer, in their order."""
    questions: tuple[tuple[str, Callable[[Kite], str]], ...] = (
        ("Is the token accepted, and for what?", profile),
        ("How far is this machine's clock from Kite's?", clock_skew),
        ("How many rows has the instruments dump?", instruments),
        ("What does a quote carry?", quote),
        ("How fresh is the minute that has just closed?", newest_minutes),
        ("What answers a historical range over the limit?", too_long_a_range),
        ("What answers a wrong token?", wrong_token),
    )
    for question, ask in questions:
        yield attempt(question, lambda ask=ask: ask(kite), kite.credentials)


def attempt(question: str, ask: Callable[[], str], credentials: Credentials) -> Seen:
    """What `ask` saw, or why it saw nothing; never with the token in it. A 429 is no answer: it is asked again."""
    try:
        seen, failed = _patiently(ask), False
    except RateLimited:
        seen, failed = REFUSED, True
    except TapedeckError as exc:
        seen, failed = f"{type(exc).__name__}: {exc}", True
    except Exception as exc:  # noqa: BLE001  one question that stumbles leaves the others; its text may hold an address
        seen, failed = f"the probe itself failed ({type(exc).__name__})", True
    return Seen(question, scrub(seen, credentials), failed)


def _patiently(ask: Callable[[], str]) -> str:
    for _ in range(TRIES - 1):
        try:
            return ask()
        except RateLimited:
            continue  # the quota knows of it, and waits before the next request
    return ask()


def scrub(text: str, credentials: Credentials) -> str:
    """`text` on one line and without token and key."""
    for secret in (credentials.access_token, credentials.api_key):
        text = text.replace(secret, "***") if secret else text
    return " ".join(text.split())


def profile(kite: Kite) -> str:
    """Whose token it is, the identity all but hidden, and what the account may do."""
    said = kite.rest.fetch_profile()
    user = str(said.get("user_id", ""))
    lists = "; ".join(f"{name} {', '.join(map(str, said.get(name) or ['none']))}" for name in ("exchanges", "products"))
    return f"accepted for {user[:2]}{'*' * max(0, len(user) - 2)}, {said.get('user_type', 'no user_type')}; {lists}"


def clock_skew(kite: Kite) -> str:
    """Seconds between this machine's clock and the Date of an answer, which has whole seconds."""
    answer = _get(kite, "/user/profile", kind="other")
    date = answer.headers.get("Date")
    if not date:
        return "the answer had no Date header"
    ours = to_ist(kite.machine.now())
    theirs = parsedate_to_datetime(date).astimezone(ours.tzinfo)
    return f"{(ours - theirs).total_seconds() - 0.5:+.1f} s, give or take half a second (ours {ours:%H:%M:%S} IST)"


def instruments(kite: Kite) -> str:
    """Rows and size of the dump, its columns, rows by segment. Keeps the tokens that later questions need."""
    data = kite.rest.fetch_instruments()
    head, *rows = data.decode("utf-8", "replace").splitlines()
    names = head.split(",")
    if not {"instrument_token", "exchange", "tradingsymbol", "segment"} <= set(names):
        raise BadAnswer(f"the dump's columns are {head[:SHOWN]}")
    place = {name: i for i, name in enumerate(names)}
    segments: Counter[str] = Counter()
    for row in rows:
        # No field that is looked at holds a comma; a name may, so segment and exchange are counted from the end.
        cells = row.split(",")
        segments[cells[place["segment"] - len(names)]] += 1
        key = f"{cells[place['exchange'] - len(names)]}:{cells[place['tradingsymbol']]}"
        if key in (SHARE, INDEX):
            kite.tokens[key] = int(cells[place["instrument_token"]])
    by = ", ".join(f"{name} {count}" for name, count in segments.most_common())
    return f"{len(rows)} rows, {len(data) / 1e6:.1f} MB, {len(names)} columns; {by}"


def quote(kite: Kite) -> str:
    """Names of a full quote's fields and how old its stamp is."""
    said = kite.rest.fetch_quote([SHARE]).get(SHARE)
    if said is None:
        raise BadAnswer(f"{SHARE} was not in the answer")
    stamp = said.get("exchange_timestamp", 0)
    age = f"{(kite.clock.now() - stamp) / SECOND:.0f} s old" if stamp else "without a stamp"
    return f"{SHARE} at {said['last_price']}, {age}; fields {', '.join(sorted(said))}"


def newest_minutes(kite: Kite) -> str:
    """Whether the forming minute and the one before it are there, and how full the latter is."""
    now = kite.clock.now()
    found = kite.rest.fetch_candles(_token(kite, SHARE), "minute", now - 10 * MINUTE, now)
    asked = f"asked at {to_ist(now):%H:%M:%S} IST"
    if not len(found):
        return f"no minute of the last ten ({asked}): outside a session there is nothing to see"
    this = now // MINUTE * MINUTE
    there = {int(one["date"]): int(one["volume"]) for one in found}
    forming = f"there, volume {there[this]}" if this in there else "not there"
    closed = f"there, volume {there[this - MINUTE]}" if this - MINUTE in there else "not there"
    return f"forming minute {forming}; the one just closed {closed}; newest {to_ist(max(there)):%H:%M} ({asked})"


def too_long_a_range(kite: Kite) -> str:
    """Status, type and words of the refusal of more minutes than one request may have."""
    end = to_ist(kite.clock.now())
    params = {"from": ist_text(end - timedelta(days=TOO_MANY_DAYS)), "to": ist_text(end)}
    path = f"/instruments/historical/{_token(kite, SHARE)}/minute"
    answer = _get(kite, path, kind="historical", params=params)
    return f"{TOO_MANY_DAYS} days of minutes: {_envelope(answer)}"


def wrong_token(kite: Kite) -> str:
    """Status and body of the answer to a token that is none."""
    return _envelope(_get(kite, "/user/profile", kind="other", token=WRONG_TOKEN))


def _token(kite: Kite, key: str) -> int:
    if key not in kite.tokens:
        raise BadAnswer(f"the token of {key} is not known: the instruments dump did not have it")
    return kite.tokens[key]


def _get(
    kite: Kite, path: str, *, kind: str, params: dict[str, str] | None = None, token: str = ""
) -> requests.Response:
    """The answer as it is, without the client that turns it into exceptions; but for a 429, which answers nothing."""
    kite.pace(kind)
    key, access = kite.credentials.api_key, token or kite.credentials.access_token
    headers = {"X-Kite-Version": "3", "Authorization": f"token {key}:{access}"}
    try:
        answer = kite.session.get(
            kite.rest.root + path, headers=headers, params=params, timeout=TIMEOUT_S, allow_redirects=False
        )
    except requests.RequestException as exc:
        raise NetworkFailed(f"Kite could not be reached ({type(exc).__name__})") from None
    if answer.status_code == 429:
        said = answer.headers.get("Retry-After", "")
        kite.on_refused(kind, float(said) if said.isascii() and said.isdigit() else 0.0)
        raise RateLimited("Kite answered 429")
    return answer


def _envelope(answer: requests.Response) -> str:
    kind = answer.headers.get("Content-Type", "no content type").partition(";")[0]
    return f"HTTP {answer.status_code}, {kind}, {_shortened(answer.text)}"


def _shortened(text: str) -> str:
    try:
        document: Any = json.loads(text)
    except ValueError:
        return re.sub(r"\s+", " ", text)[:SHOWN] or "an empty body"
    # A success may be long and is no answer to look at.
    if isinstance(document, dict) and document.get("status") == "success":
        return f"a success with {len(text)} bytes"
    return json.dumps(document, ensure_ascii=False)[:SHOWN]
