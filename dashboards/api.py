"""HTTP: one table of routes, and those that say how desk and market are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tapedeck import sessions
from tapedeck.clock import to_ist
from tapedeck.relay.server import StreamHandler

from . import api_auth
from .access import Gate
from .answers import EXCHANGES, Answer, BadRequest, NotFound
from .api_market import Days, InstrumentSearch, Listed, Quotes
from .api_system import Recheck, SystemConfig, SystemReport
from .api_workspace import SavedWorkspace
from .client import ROUTE as CLIENT
from .kite_login import Journeys
from .login import ROUTES as LOGIN
from .login import WhoAmI

if TYPE_CHECKING:
    from tapedeck.desk import Desk

#: Kinds of instruments whose hours differ within a market: shares with derivatives close by auction.
CLASSES: dict[str, tuple[str, ...]] = dict.fromkeys(("NSE_EQ", "BSE_EQ"), ("cas", "index"))


class Health(Answer):
    """`/healthz`: the process serves; says nothing of the feed, and that to anybody."""

    PUBLIC = True

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, {"status": "ok"}


class Ready(Answer):
    """`/readyz`: 200 when numbers can be trusted, else 503 with every reason."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        reasons = self.desk.not_ready()
        return (503 if reasons else 200), {"ready": not reasons, "reasons": reasons}


class MarketStatus(Answer):
    """`/api/system/market-status`: every segment now, computed for this answer."""

    parameters = frozenset({"segment"})

    async def answer(self) -> tuple[int, dict[str, Any]]:
        wanted = self._text("segment")
        if wanted is not None and wanted not in sessions.SEGMENTS and wanted not in EXCHANGES:
            allowed = ", ".join([*sessions.SEGMENTS, *EXCHANGES])
            raise BadRequest(f"segment was {wanted!r}; allowed: {allowed}")
        now = self.desk.clock.now()
        names = [wanted] if wanted is not None else list(sessions.SEGMENTS)
        return 200, {
            "at": to_ist(now).isoformat(),
            "source": self.desk.source,
            "simulated": self.desk.simulated,
            "segments": {name: market_status(name, now) for name in names},
        }


class SystemHealth(Answer):
    """`/api/system/health`: feed, ages, counters and what is wrong, in one answer."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, self.desk.health()


#: Every HTTP route: pattern and handler. The websocket joins them in `routes`.
ROUTES: tuple[tuple[str, type[Answer]], ...] = (
    ("/healthz", Health),
    ("/readyz", Ready),
    ("/api/access/me", WhoAmI),
    ("/api/auth/validate", api_auth.Validate),
    ("/api/system/market-status", MarketStatus),
    ("/api/system/health", SystemHealth),
    ("/api/system/report", SystemReport),
    ("/api/system/config", SystemConfig),
    ("/api/quotes", Quotes),
    ("/api/day", Days),
    ("/api/instruments", InstrumentSearch),
    ("/api/instruments/listed", Listed),
    ("/api/workspace", SavedWorkspace),
)


def routes(desk: Desk, gate: Gate) -> list[tuple[str, Any, dict[str, Any]]]:
    """The Tornado patterns of the application's own routes, the stream, the client and the 404 included."""
    table: list[tuple[str, Any, dict[str, Any]]] = [(path, handler, {"desk": desk}) for path, handler in ROUTES]
    allowed: Callable[[Any], bool] = gate.allowed
    table.append(("/api/stream", StreamHandler, {"relay": desk.relay, "allowed": allowed}))
    table.append(("/api/system/recheck", Recheck, {"desk": desk}))
    table += [*LOGIN, *api_auth.routes(desk, Journeys(desk.clock)), CLIENT]
    table.append(("/api/.*", NotFound, {"desk": desk}))
    return table


def market_status(segment: str, now: int) -> dict[str, Any]:
    """Coarse status, phase and next transition of a segment at an instant."""
    phase = sessions.phase(segment, now)
    classes = {name: sessions.phase(segment, now, session_class=name) for name in CLASSES.get(phase.segment, ())}
    at, then = sessions.next_transition(now, segment)
    return {
        "status": phase.coarse,
        "phase": phase.name,
        "sub_phase": phase.sub or None,
        "since": phase.since,
        "until": phase.until,
        "next_phase": phase.next,
        "next_transition": at,
        "next_status": then,
        "reason": phase.reason or None,
        "covered": phase.covered,
        "classes": {
            name: {"status": one.coarse, "phase": one.name, "until": one.until} for name, one in classes.items()
        },
    }
