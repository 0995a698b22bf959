"""The words of the feed's state machine: its durations, what happens to it and what it answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Every duration of the feed, in real seconds."""

    fresh_ttl: float = 5.0  # silence after which the line is stale
    late: float = 0.5  # a timer later than this means that this process slept, so look once more
    handshake: float = 2.0
    first_wait: float = 0.5  # longest wait after the first failure; doubles up to the next two
    wait_in_session: float = 2.0
    wait_outside: float = 30.0
    stable_after: float = 5.0  # a line that lived this long makes earlier failures forgotten
    first_packet: float = 5.0
    closing: float = 0.5  # patience with a closing handshake
    beat: float = 0.5  # how often the edge looks at the session and at a missing token


DEFAULT_TIMINGS = Timings()


# -- events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Hold a connection from now on; `token` is the fingerprint of the credentials, empty when there are none.

    `why` says then why there are none: `login required: no token yet`.
    """

    token: str = ""
    in_session: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Hold no connection any more."""


@dataclass(frozen=True, slots=True)
class Standby:
    """Another process owns the connection; until `Start` none is held here."""

    reason: str = "another process owns the connection"


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake succeeded with these credentials."""

    token: str


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """The attempt ended without a connection; an empty `token` means that there was none to try with, `error` why."""

    status: int | None = None
    error: str = ""
    token: str = ""
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class FrameArrived:
    """A frame of any kind, heartbeats too."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The line is down and its socket gone."""

    code: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Timer:
    """Time has passed: the answer to `WakeAt`, harmless at any other moment."""


@dataclass(frozen=True, slots=True)
class TokenChanged:
    """The credentials may have changed; `token` is their fingerprint, empty when there are none.

    `renewed`: somebody logged in again. A refused token that a new login returned is worth one more attempt.
    `why` says why there are none, as at the start.
    """

    token: str
    renewed: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """Whether any subscribed segment is in session."""

    in_session: bool


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A listener wants these instruments in this mode."""

    listener: str
    tokens: tuple[int, ...]
    mode: str = "full"


@dataclass(frozen=True, slots=True)
class Release:
    """A listener wants these instruments no more; `None` means all of its own."""

    listener: str
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class PacketsSeen:
    """These instruments sent a packet."""

    tokens: tuple[int, ...]


Event = (
    Start | Stop | Standby | Connected | ConnectFailed | FrameArrived | Closed | Timer
    | TokenChanged | SessionChanged | Subscribe | Release | PacketsSeen
)  # fmt: skip


# -- actions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connect:
    """Start one attempt; answer with `Connected`, `ConnectFailed` or `Closed`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame on the open line."""

    text: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End the line or the attempt; answer with `Closed`. `force` waits for no closing handshake."""

    reason: str
    force: bool = True


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send a `Timer` at this monotonic second, unless a later answer names an earlier one."""

    when: float


@dataclass(frozen=True, slots=True)
class Subscribed:
    """These instruments are about to be subscribed on the open line."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """These instruments are about to be unsubscribed on the open line."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """What the feed is doing. `since` and `retry_at` are monotonic seconds; `silent` sent no first packet."""

    state: str = "IDLE"
    reason: str = "not started"
    since: float = 0.0
    attempts: int = 0
    connections: int = 0
    subscribed: int = 0
    silent: tuple[int, ...] = ()
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The status changed."""

    status: FeedStatus


Action = Connect | Send | Disconnect | WakeAt | Subscribed | Unsubscribed | Report
