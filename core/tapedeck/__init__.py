"""A live, recorded, replayable market desk for Indian markets on Kite Connect.

`import tapedeck as td; desk = td.open()` is all a notebook needs. Names are loaded when they are first used, so
that the import is instant and a command line that needs little loads little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapedeck.clock import IST
    from tapedeck.desk import Desk, open
    from tapedeck.errors import ConfigError, FeedOwned, StaleData, TapedeckError, UnknownInstrument
    from tapedeck.instruments import Instruments
    from tapedeck.schema import Instrument
    from tapedeck.sessions import Phase, market_status, phase
    from tapedeck.settings import Settings

__version__ = "0.1.0"

_HOME = {
    "ConfigError": "errors",
    "Desk": "desk",
    "FeedOwned": "errors",
    "IST": "clock",
    "Instrument": "schema",
    "Instruments": "instruments",
    "Phase": "sessions",
    "Settings": "settings",
    "StaleData": "errors",
    "TapedeckError": "errors",
    "UnknownInstrument": "errors",
    "market_status": "sessions",
    "open": "desk",
    "phase": "sessions",
}

__all__ = [
    "IST",
    "ConfigError",
    "Desk",
    "FeedOwned",
    "Instrument",
    "Instruments",
    "Phase",
    "Settings",
    "StaleData",
    "TapedeckError",
    "UnknownInstrument",
    "market_status",
    "open",
    "phase",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'tapedeck' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"tapedeck.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
