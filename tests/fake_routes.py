"""The HTTP routes a page asks a fake desk for: workspace, day lines, instrument search. In memory, no clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tornado.web import RequestHandler

if TYPE_CHECKING:
    from tests.fake_relay import FakeDesk


class FakeWorkspace:
    """One saved document. `saves` keeps what was sent; `refusing` answers 503."""

    def __init__(self, keys: list[str]) -> None:
        self.saved: dict[str, Any] = {
            "version": 1, "revision": 3, "lists": [{"name": "Watchlist", "keys": keys}], "columns": None,
            "density": "normal", "theme": "dark", "palette": "standard", "layout": {},
        }  # fmt: skip
        self.saves: list[dict[str, Any]] = []
        self.refusing = False

    @property
    def revision(self) -> int:
        return self.saved["revision"]

    def document(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.saved))

    def change(self, **fields: Any) -> None:
        """As another tab would."""
        self.saved |= fields | {"revision": self.revision + 1}


class WorkspaceHandler(RequestHandler):
    def initialize(self, desk: FakeDesk) -> None:
        self.desk = desk

    def get(self) -> None:
        self.finish(self.desk.workspace.document())

    def put(self) -> None:
        workspace, sent = self.desk.workspace, json.loads(self.request.body)
        workspace.saves.append(sent)
        if workspace.refusing:
            self.set_status(503)
            self.finish({"error": "not_ready", "reason": "not now"})
        elif sent["revision"] != workspace.revision:
            self.set_status(409)
            self.finish({"error": "conflict", "reason": "another page was faster", "workspace": workspace.document()})
        else:
            workspace.saved = sent | {"revision": sent["revision"] + 1}
            self.finish(workspace.document())


class DayHandler(RequestHandler):
    """`desk.days[key]` is what is known of a day; nothing by default."""

    def initialize(self, desk: FakeDesk) -> None:
        self.desk = desk

    def get(self) -> None:
        keys = self.get_arguments("i")
        step = int(self.get_argument("step", "180"))
        nothing = {
            "start_ms": self.desk.open_ms, "end_ms": self.desk.open_ms + 375 * 60_000, "prices": [],
            "previous_oi": None, "previous_oi_date": None,
        }  # fmt: skip
        days = {key: self.desk.days.get(key, nothing) for key in keys}
        self.finish({"source": self.desk.source, "simulated": True, "epoch": 1, "step_s": step, "days": days})


class InstrumentsHandler(RequestHandler):
    """Instruments whose key or name contains the words, the exact symbol first."""

    def initialize(self, desk: FakeDesk) -> None:
        self.desk = desk

    def get(self) -> None:
        words, limit = self.get_argument("q", "").lower(), int(self.get_argument("limit", "20"))
        found = [one for one in self.desk.by_key.values() if words in f"{one.key} {one.name}".lower()]
        found.sort(key=lambda one: one.tradingsymbol.lower() != words)
        names = ("key", "instrument_token", "tradingsymbol", "name", "exchange", "segment", "instrument_type", "expiry")
        rows = [{name: getattr(one, name) for name in (*names, "strike", "tick_size", "lot_size")} for one in found]
        self.finish({"query": words, "listed": len(self.desk.by_key), "instruments": rows[:limit]})


class ListedHandler(RequestHandler):
    """Which keys the desk has."""

    def initialize(self, desk: FakeDesk) -> None:
        self.desk = desk

    def get(self) -> None:
        self.finish({"listed": {key: key in self.desk.by_key for key in self.get_arguments("i")}})


class PostHandler(RequestHandler):
    """Notes what a page asked the desk to do."""

    def initialize(self, desk: FakeDesk) -> None:
        self.desk = desk

    def post(self) -> None:
        self.desk.posted.append(self.request.path)
        self.finish({})


class MeHandler(RequestHandler):
    """Who looks, in the role that a test gives them."""

    def initialize(self, desk: FakeDesk) -> None:
        self.desk = desk

    def get(self) -> None:
        self.finish({"user": "asha", "role": self.desk.role, "mode": "password"})


class LoginHandler(PostHandler):
    """Sends the window to an empty page, where a test closes it."""

    def post(self) -> None:
        self.desk.posted.append(self.request.path)
        self.finish({"login_url": "about:blank"})


class ReportHandler(RequestHandler):
    """`desk.report` as it is now; while there is none, 503."""

    def initialize(self, desk: FakeDesk) -> None:
        self.desk = desk

    def get(self) -> None:
        self.desk.reports += 1
        if self.desk.report is None:
            self.set_status(503)
            self.finish({"error": "not_ready", "reason": "the desk is closing"})
        else:
            self.finish(self.desk.report)


def fake_routes(desk: FakeDesk) -> list[tuple[str, type, dict[str, Any]]]:
    """For a server's `extra_patterns`."""
    handlers = {
        "workspace": WorkspaceHandler, "day": DayHandler, "instruments": InstrumentsHandler,
        "instruments/listed": ListedHandler, "system/report": ReportHandler,
        "system/recheck": PostHandler, "auth/logout": PostHandler, "auth/login": LoginHandler, "access/me": MeHandler,
    }  # fmt: skip
    return [(rf"/api/{name}", handler, {"desk": desk}) for name, handler in handlers.items()]
