"""The stream's text messages, server to client, as JSON (docs/stream.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tapedeck import sessions
from tapedeck.clock import to_ns
from tapedeck.hub import FeedView
from tapedeck.relay.frames import FIELDS, RECORD, VERSION
from tapedeck.schema import Instrument
from tapedeck.sessions import Phase

_INSTRUMENT = (
    "instrument_token", "key", "tradingsymbol", "exchange", "name", "expiry", "strike", "tick_size", "lot_size",
    "segment", "instrument_type",
)  # fmt: skip


def welcome(feed: FeedView, run: str, epoch: int, instruments: str, unknown: list[str | int]) -> str:
    """What the following records are about. `instruments` are texts made by `instrument`, joined.

    `run` is of this desk's run alone: another one begins with the same epoch.
    """
    head = _json(
        {
            "type": "welcome",
            "version": VERSION,
            "run": run,
            "epoch": epoch,
            "source": feed.source,
            "simulated": feed.simulated,
            "fields": FIELDS,
            "record_size": RECORD.itemsize,
            "unknown": unknown,
        }
    )
    return f'{head[:-1]},"instruments":[{instruments}]}}'


def instrument(one: Instrument) -> str:
    """One instrument of a welcome as JSON text."""
    return _json({name: _finite(getattr(one, name)) for name in _INSTRUMENT})


def state(
    feed: FeedView,
    *,
    market_ns: int,
    since_s: float,
    phases: Mapping[str, Phase],
    counters: Mapping[str, Any],
    login: Mapping[str, Any],
) -> str:
    """How feed, login and markets are; `reason` is empty while the feed is live."""
    return _json(
        {
            "type": "state",
            "source": feed.source,
            "simulated": feed.simulated,
            "market_time_ms": market_ns / 1e6,
            "feed": {
                "state": feed.state,
                "reason": feed.why_blank(),
                "age_s": round(feed.age, 3) if math.isfinite(feed.age) else None,
                "since_s": round(since_s, 3),
            },
            "phases": {name: _phase(phase) for name, phase in phases.items()},
            "login": dict(login),
            "counters": dict(counters),
        }
    )


def notice(new: int, total: int) -> str:
    """Tell a slow listener that updates were merged for it."""
    text = f"{new} updates were merged into newer ones: this connection reads slowly"
    return _json({"type": "notice", "message": text, "conflated": total})


def error(text: str) -> str:
    """Why a message was refused."""
    return _json({"type": "error", "message": text})


def phase_words(phase: Phase) -> str:
    """A phase with its sub-phase, for a log line."""
    return f"{phase.name} ({phase.sub})" if phase.sub else phase.name


def _phase(phase: Phase) -> dict[str, Any]:
    # From the phase's own start: whatever the instant within it, the coarse status changes at the same time.
    then, coarse = sessions.next_transition(phase.since, phase.segment)
    return {
        "name": phase.name,
        "sub": phase.sub,
        "coarse": phase.coarse,
        "until_ms": to_ns(phase.until) // 1_000_000,
        "next": phase.next,
        "coarse_until_ms": to_ns(then) // 1_000_000,
        "coarse_next": coarse,
        "reason": phase.reason,
    }


def _finite(value: Any) -> Any:
    """The value, or None for a number that JSON cannot say."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=str).encode
