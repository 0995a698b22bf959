"""How a page stays live: one relay client, and bars that it fills.

A session's Python makes the page and is then done: numbers, ages and the clock reach the browser over the
relay's websocket, also when the session itself has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import panel as pn

from tapedeck.schema import Instrument
from tapedeck.views.bars import app_bar, status_strip
from tapedeck.views.relay_client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Frames a second that a page asks for.
RATE_HZ = 4
STREAM_PATH = "api/stream"
#: Index tape of the app bar: what is subscribed and how it is called there.
TAPE = {"NSE:NIFTY 50": "NIFTY", "NSE:NIFTY BANK": "BANKNIFTY", "NSE:INDIA VIX": "VIX"}
#: Segments whose market status the strip shows.
SEGMENTS = ("NSE_EQ", "NFO", "CDS", "MCX")


class _Instruments(Protocol):
    def find(self, key_or_token: str | int) -> Instrument | None: ...


class Desk(Protocol):
    """What a page needs of a desk."""

    @property
    def instruments(self) -> _Instruments: ...
    @property
    def source(self) -> str: ...
    @property
    def simulated(self) -> bool: ...
    def watchlist(self) -> Sequence[str]: ...


def find_instruments(desk: Desk, keys: Iterable[str]) -> list[Instrument]:
    """The instruments of `keys` in their order.

    One that the desk does not know (yet: the day's list may still be on its way) has its key and no more; the
    page's relay client adds the rest when it is welcomed.
    """
    return [desk.instruments.find(key) or _named(key) for key in keys]


def _named(key: str) -> Instrument:
    exchange, _, tradingsymbol = key.partition(":")
    return Instrument(0, tradingsymbol, exchange)


def relay_client(desk: Desk, keys: Iterable[str]) -> RelayClient:
    """The page's one live component, subscribed to `keys` and the index tape."""
    wanted = list(dict.fromkeys([*TAPE, *keys]))
    up = f"{pn.state.rel_path}/" if pn.state.rel_path else ""
    return RelayClient(
        keys=wanted, rate=RATE_HZ, url=up + STREAM_PATH, source=desk.source, simulated=desk.simulated, margin=0
    )


def page_bar(desk: Desk) -> pn.pane.HTML:
    """Content of the app bar."""
    return app_bar(TAPE, source=desk.source, simulated=desk.simulated)


def page_strip(desk: Desk) -> pn.pane.HTML:
    """The strip at the foot of the page."""
    return status_strip(SEGMENTS, source=desk.source)
