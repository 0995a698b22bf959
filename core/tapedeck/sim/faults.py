"""Faults on demand: what can go wrong at an exchange, switched on and off while it runs.

State: the faults active now and when each ends by itself. Everything random in a fault comes from a seed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapedeck.clock import Clock
from tapedeck.errors import InputRefused

GARBAGE_KINDS = ("truncated", "lengths", "random", "text", "websocket")


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument of a fault: its default and what it may be."""

    default: Any
    allowed: str
    accepts: Callable[[Any], bool]


def _flag(default: bool) -> Arg:
    return Arg(default, "true or false", lambda v: isinstance(v, bool))


def _number(default: float, low: float, high: float) -> Arg:
    def accepts(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high

    return Arg(default, f"a number from {low} to {high}", accepts)


#: Faults that last until cleared or until `duration_s` has passed, with their arguments.
LASTING: dict[str, dict[str, Arg]] = {
    "hang": {"handshakes": _flag(False), "rest": _flag(False)},
    "half_open": {},
    "slow": {"delay_ms": _number(500, 0, 60_000)},
    "garbage": {
        "kind": Arg("truncated", f"one of {', '.join(GARBAGE_KINDS)}", lambda v: v in GARBAGE_KINDS),
        "every": _number(1, 1, 1_000_000),
    },
    "http_403": {},
    "http_429": {},
    "duplicate": {},
    "out_of_order": {"lag_s": _number(3, 0.25, 3600)},
    "heartbeat_only": {},
    "load": {"ticks_per_s": _number(30_000, 1, 1_000_000)},
}

#: Faults that happen once.
ONCE: dict[str, dict[str, Arg]] = {
    "drop": {"code": Arg(None, "null (no close frame) or a close code", lambda v: v is None or v in range(1000, 5000))},
    "expire": {
        "code": Arg(None, "null (no close frame) or a close code", lambda v: v is None or v in range(1000, 5000))
    },
    "clear": {"name": Arg(None, "null (all) or the name of a fault", lambda v: v is None or v in LASTING)},
}


@dataclass(slots=True)
class Active:
    """One fault in force. `until` is real (monotonic) time, None = until cleared."""

    args: dict[str, Any]
    since: float
    until: float | None
    count: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


class Faults:
    """The faults in force, in real time of `clock`."""

    def __init__(self, clock: Clock, *, seed: int = 7) -> None:
        self._clock = clock
        self._seed = seed
        self._active: dict[str, Active] = {}
        self._started = 0

    def start(self, document: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Name and complete arguments of the fault that `document` asks for, now in force if it is a lasting one.

        Raises
        ------
        InputRefused
            If the fault or an argument is unknown or out of bounds.
        """
        name, args, duration_s = parse_fault(document)
        if name == "clear":
            for gone in [args["name"]] if args["name"] else list(self._active):
                self._active.pop(gone, None)
        elif name in LASTING:
            now = self._clock.monotonic()
            self._started += 1
            self._active[name] = Active(
                args,
                now,
                None if duration_s is None else now + duration_s,
                rng=np.random.default_rng([self._seed, self._started]),
            )
        return name, args

    def active(self, name: str) -> Active | None:
        """The fault if it is in force now."""
        fault = self._active.get(name)
        if fault is not None and fault.until is not None and self._clock.monotonic() >= fault.until:
            del self._active[name]
            return None
        return fault

    def silent(self) -> bool:
        """Whether open sockets get nothing at all, not even a heartbeat or a pong."""
        return self.active("hang") is not None or self.active("half_open") is not None

    def deaf(self) -> bool:
        """Whether open sockets are not read."""
        return self.active("half_open") is not None

    def delay(self) -> float:
        """Seconds every write to a websocket waits."""
        fault = self.active("slow")
        return fault.args["delay_ms"] / 1000 if fault else 0.0

    def hangs(self, what: str) -> bool:
        """Whether `handshakes` or `rest` are left unanswered now."""
        fault = self.active("hang")
        return fault is not None and fault.args[what]

    def document(self) -> dict[str, Any]:
        """What is in force, and every fault that could be, with its defaults."""
        now = self._clock.monotonic()
        rows = []
        for name in list(self._active):
            fault = self.active(name)
            if fault is not None:
                left = None if fault.until is None else round(fault.until - now, 3)
                rows.append({"fault": name, "args": fault.args, "for_s": round(now - fault.since, 3), "left_s": left})
        known = {name: {arg: spec.default for arg, spec in args.items()} for name, args in {**LASTING, **ONCE}.items()}
        return {"active": rows, "known": known}


def parse_fault(document: Mapping[str, Any]) -> tuple[str, dict[str, Any], float | None]:
    """Name, complete arguments and duration in seconds (None = until cleared) of a fault request."""
    known = {**LASTING, **ONCE}
    rest = dict(document)
    name = rest.pop("fault", None)
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputRefused(f"fault was {name!r}; allowed: {', '.join(sorted(known))}.{hint}")
    duration_s = rest.pop("duration_s", None)
    if duration_s is not None and not _number(0, 0, 86_400).accepts(duration_s):
        raise InputRefused(f"duration_s was {duration_s!r}; allowed: a number from 0 to 86400")
    args = {arg: spec.default for arg, spec in known[name].items()}
    for arg, value in rest.items():
        spec = known[name].get(arg)
        if spec is None:
            raise InputRefused(f"{name} has no argument {arg!r}; allowed: {', '.join(args) or 'none'}, duration_s")
        if not spec.accepts(value):
            raise InputRefused(f"{arg} of {name} was {value!r}; allowed: {spec.allowed}")
        args[arg] = value
    return name, args, duration_s


def garbage_frame(kind: str, good: bytes, rng: np.random.Generator) -> tuple[bytes, bool]:
    """A broken payload made from the market payload `good`, and whether it must be sent raw.

    `truncated` stops in the middle of a packet, `lengths` announces impossible sizes, `random` is noise,
    `text` is text that is not JSON, `websocket` (raw) breaks the framing itself.
    """
    if kind == "truncated":
        return good[: int(rng.integers(2, max(3, len(good) - 1)))], False
    if kind == "lengths":
        return b"\xff\xff" + rng.bytes(2) + good[2:40], False
    if kind == "random":
        return rng.bytes(int(rng.integers(2, 400))), False
    if kind == "text":
        return b'{"type":"order","data":', False
    return b"\xf3\x7f" + rng.bytes(12), True
