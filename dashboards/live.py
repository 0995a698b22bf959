"""How a page stays live: one relay client, and bars that it fills.

A session's Python makes the page and is then done: numbers, ages and the clock reach the browser over the
relay's websocket, also when the session itself has ended.
"""

from __future__ import annotations

from typing import Any, Protocol

import panel as pn
from panel.viewable import Viewable

from tapedeck.views.bars import app_bar, brand, status_strip
from tapedeck.views.relay_client import ServedRelayClient
from tapedeck.views.search_box import search_box

#: Frames a second that a page asks for.
RATE_HZ = 4
STREAM_PATH = "api/stream"
#: Index tape of the app bar: what is subscribed and how it is called there.
TAPE = {"NSE:NIFTY 50": "NIFTY", "NSE:NIFTY BANK": "BANKNIFTY", "NSE:INDIA VIX": "VIX"}
#: Segments whose market status the page shows, and how they are called there.
SEGMENTS = {
    "NSE_EQ": "NSE", "NFO": "NFO", "BSE_EQ": "BSE", "BFO": "BFO", "CDS": "CDS", "MCX": "MCX",
}  # fmt: skip
STRIP_SEGMENTS = ("NSE_EQ", "NFO", "CDS", "MCX")


class _Workspace(Protocol):
    def document(self) -> dict[str, Any]: ...


class Desk(Protocol):
    """What a page needs of a desk."""

    @property
    def source(self) -> str: ...
    @property
    def simulated(self) -> bool: ...
    @property
    def workspace(self) -> _Workspace: ...
    def search_examples(self) -> tuple[str, ...]: ...


def relay_client(desk: Desk) -> ServedRelayClient:
    """The page's one live component, subscribed to the index tape and whatever the viewer looks at."""
    up = f"{pn.state.rel_path}/" if pn.state.rel_path else ""
    return ServedRelayClient(
        tape=list(TAPE),
        workspace=desk.workspace.document(),
        rate=RATE_HZ,
        url=up + STREAM_PATH,
        source=desk.source,
        simulated=desk.simulated,
        margin=0,
    )


def page_bar(desk: Desk) -> list[Viewable]:
    """Content of the app bar, from left to right."""
    search = search_box(desk.search_examples())
    return [brand(), search, app_bar(TAPE, SEGMENTS, source=desk.source, simulated=desk.simulated)]


def page_strip(desk: Desk) -> pn.pane.HTML:
    """The strip at the foot of the page."""
    return status_strip({name: SEGMENTS[name] for name in STRIP_SEGMENTS}, source=desk.source)
