"""The error tree. Every message names the value, where it came from, what is allowed and the remedy.

TapedeckError
├── ConfigError            a setting is wrong (all problems in one message)
├── UnknownInstrument      no such EXCHANGE:TRADINGSYMBOL or token (also a KeyError)
├── StaleData              a number was asked for that cannot be shown as live
├── WorkspaceConflict      the workspace to save was made from an older one
├── AccessRefused          whoever asks may not: not logged in, a token that is not taken
├── FrameError             a stream frame of the desk itself that cannot be read
├── FeedError
│   ├── SubscriptionLimit  more instruments than one connection may carry
│   └── FeedOwned          another process on this host owns the connection
├── SimulatorError         the simulated exchange could not be started or has ended
└── KiteError              Kite refused or failed a request
    ├── LoginRequired      no valid token: log in again
    ├── PermissionDenied   the plan or the account may not do this
    ├── RateLimited        too many requests
    ├── InputRefused       Kite does not accept the arguments
    ├── OrderRefused       an order, its margin or its holding was refused
    ├── BadAnswer          Kite's answer could not be read
    └── NetworkFailed      Kite or its backend could not be reached

CoverageWarning (UserWarning): a date lies outside the session calendar's covered range.
"""

from __future__ import annotations

from typing import Any


class TapedeckError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(TapedeckError, ValueError):
    """A setting is wrong."""


class UnknownInstrument(TapedeckError, KeyError):
    """No such instrument."""

    def __str__(self) -> str:
        # KeyError prints the repr of its argument, which would quote a whole sentence.
        return str(self.args[0]) if self.args else ""


class StaleData(TapedeckError):
    """A number was asked for that cannot be shown as live; `reason` says why."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class WorkspaceConflict(TapedeckError):
    """The workspace to save was made from an older one; `workspace` is the one that is saved."""

    def __init__(self, message: str, workspace: dict[str, Any]) -> None:
        super().__init__(message)
        self.workspace = workspace


class AccessRefused(TapedeckError):
    """Whoever asks may not; the message says why and holds no secret."""


class FrameError(TapedeckError, ValueError):
    """A stream frame or stream message that cannot be read."""


class FeedError(TapedeckError):
    """The upstream connection cannot do what was asked."""


class SubscriptionLimit(FeedError):
    """More instruments than one connection may carry."""


class FeedOwned(FeedError):
    """Another process on this host owns the connection; `address` says where it listens."""

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class SimulatorError(TapedeckError):
    """The simulated exchange could not be started or has ended."""


class KiteError(TapedeckError):
    """Kite refused or failed a request."""


class LoginRequired(KiteError):
    """No valid token: log in again."""


class PermissionDenied(KiteError):
    """The plan or the account may not do this."""


class RateLimited(KiteError):
    """Too many requests."""


class InputRefused(KiteError):
    """Kite does not accept the arguments."""


class OrderRefused(KiteError):
    """An order, its margin or its holding was refused."""


class BadAnswer(KiteError):
    """Kite's answer could not be read."""


class NetworkFailed(KiteError):
    """Kite or its backend could not be reached."""


class CoverageWarning(UserWarning):
    """A date lies outside the session calendar's covered range."""
