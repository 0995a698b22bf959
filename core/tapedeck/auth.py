"""The one authentication state machine for Kite: events in, actions out, no IO.

State of an `Auth`:

- where it is, since when and why
- the token in use, as a fingerprint and never itself: when it dies, and whose it is
- the tokens that died here, which are not believed again, and of what
- what Kite's answers have said of the token in use
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .clock import DAY, MINUTE, ist_date, ist_midnight

UNCONFIGURED = "UNCONFIGURED"
LOGIN_REQUIRED = "LOGIN_REQUIRED"
EXCHANGING = "EXCHANGING"
VALID = "VALID"
EXPIRED = "EXPIRED"
REVOKED = "REVOKED"
STATES = (UNCONFIGURED, LOGIN_REQUIRED, EXCHANGING, VALID, EXPIRED, REVOKED)

#: Every token of Kite dies at this time of day in India, whenever it was issued (a rule of the regulator).
DIES_AT_NS = 6 * 60 * MINUTE
AT_SIX = "expired at 06:00 IST"
REFUSED = "Kite refused the token (403)"

#: Dead tokens remembered; beyond it the oldest is forgotten, which costs one refused request.
DEAD_KEPT = 16

#: How the cause of a login that came to nothing begins.
FAILED = "login failed: "

#: The cause of a login that no person made.
HANDED_OVER = "handed over by a program"

_CAUSES = {"login": "logged in", "file": "found in the token file", "update": HANDED_OVER}


def next_expiry(issued_at_ns: int) -> int:
    """UTC ns of the first 06:00 in India strictly after `issued_at_ns`: when a token issued then dies."""
    six = ist_midnight(ist_date(issued_at_ns)) + DIES_AT_NS
    return six if six > issued_at_ns else six + DAY


# -- events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Configured:
    """Key and secret were looked at: `problem` is empty when both are there, else what is wrong with them."""

    problem: str = ""


@dataclass(frozen=True, slots=True)
class TokenFound:
    """There is a token; `issued_at` is UTC ns, `source` is `login`, `file` or `update`.

    `renewed` says that somebody saved it just now, which makes a dead one worth one more attempt. A token
    that is not `certain` (nobody knows when it was issued) is used and checked.
    """

    fingerprint: str
    issued_at: int
    user_id: str = ""
    source: str = "file"
    renewed: bool = False
    certain: bool = True


@dataclass(frozen=True, slots=True)
class TokenGone:
    """The token was taken away, by another process for instance."""

    why: str = "the token file was removed"


@dataclass(frozen=True, slots=True)
class FileFailed:
    """The token file could not be read or saved. It is told; what works goes on working."""

    reason: str


@dataclass(frozen=True, slots=True)
class LoginStarted:
    """A request token is being exchanged. `LoginFailed` or a `TokenFound` of source `login` must follow."""


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """The exchange of the request token failed."""

    reason: str


@dataclass(frozen=True, slots=True)
class LoginEnded:
    """A login came to its end at Kite, before there was anything to exchange."""

    reason: str


@dataclass(frozen=True, slots=True)
class ApiSucceeded:
    """Kite answered a request that was made with this token."""

    fingerprint: str
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class ApiFailed:
    """Kite did not; `kind` is `token` when it refused the token, and anything else never ends one."""

    kind: str
    fingerprint: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Timer:
    """Time has passed; see `Auth.due`."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """Somebody wants to know whether Kite still takes the token."""


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The operator gave the token up."""

    why: str = "logged out"


Event = (
    Configured
    | TokenFound
    | TokenGone
    | FileFailed
    | LoginStarted
    | LoginFailed
    | LoginEnded
    | ApiSucceeded
    | ApiFailed
    | Timer
    | Recheck
    | LoggedOut
)


# -- what it answers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuthStatus:
    """Where the login to Kite stands; times are UTC ns, 0 when there is none.

    `failures` counts Kite's failed answers since the last good one, `last_failure` is what the newest said.
    `fingerprint` tells two tokens apart and gives neither away.
    """

    state: str = UNCONFIGURED
    since: int = 0
    cause: str = ""
    user_id: str = ""
    expires_at: int = 0
    last_success: int = 0
    failures: int = 0
    last_failure: str = ""
    fingerprint: str = ""

    @property
    def why_blank(self) -> str:
        """The words beside a number that is not there for want of a token: what would help, and the cause."""
        # A login would not help a desk without a usable key, and there is none to be had.
        return f"{'not set up' if self.state == UNCONFIGURED else 'login required'}: {self.cause.removeprefix(FAILED)}"


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of the timeline; `at` is UTC ns."""

    at: int
    from_state: str
    to_state: str
    cause: str


@dataclass(frozen=True, slots=True)
class UseToken:
    """Use the token with this fingerprint from now on."""

    fingerprint: str


@dataclass(frozen=True, slots=True)
class DropToken:
    """Use no token any more."""


@dataclass(frozen=True, slots=True)
class CheckProfile:
    """Ask Kite for the profile with this token, and tell how it went."""

    fingerprint: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell everybody; `status` is how things stood right after the transition."""

    transition: Transition
    status: AuthStatus


Action = UseToken | DropToken | CheckProfile | Announce


@dataclass(frozen=True, slots=True)
class _Held:
    fingerprint: str
    expires_at: int
    user_id: str


class Auth:
    """Decides whether there is a valid token, and which."""

    def __init__(self) -> None:
        self._state = UNCONFIGURED
        self._since = 0
        self._cause = "not started"
        self._held: _Held | None = None
        self._dead: dict[str, str] = {}
        self._last_success = 0
        self._failures = 0
        self._last_failure = ""

    @property
    def status(self) -> AuthStatus:
        """Where it stands, as of the last event."""
        held = self._held
        return AuthStatus(
            state=self._state,
            since=self._since,
            cause=self._cause,
            user_id=held.user_id if held else "",
            expires_at=held.expires_at if held else 0,
            last_success=self._last_success,
            failures=self._failures,
            last_failure=self._last_failure,
            fingerprint=held.fingerprint if held else "",
        )

    @property
    def due(self) -> int | None:
        """UTC ns at which a `Timer` will have something to do; None when there is nothing to wait for."""
        return self._held.expires_at if self._held else None

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        """What to do about `event`, in order; `now_ns` is market time, which decides when it is 06:00."""
        actions: list[Action] = []
        if self._held is not None and now_ns >= self._held.expires_at:
            self._lose(EXPIRED, AT_SIX, now_ns, actions)
        match event:
            case Configured():
                self._configured(event.problem, now_ns, actions)
            case _ if self._state == UNCONFIGURED:
                pass  # without a key there is nothing to log in to
            case TokenFound():
                self._found(event, now_ns, actions)
            case LoginStarted() if self._state != EXCHANGING:
                self._go(EXCHANGING, "a request token is being exchanged", now_ns, actions)
            case LoginFailed():
                self._failed(event.reason)
                self._end_exchange(f"{FAILED}{event.reason}", now_ns, actions)
            case LoginEnded() if self._state == LOGIN_REQUIRED:
                self._go(LOGIN_REQUIRED, f"{FAILED}{event.reason}", now_ns, actions)
            case ApiSucceeded() | ApiFailed():
                self._answered(event, now_ns, actions)
            case FileFailed():
                self._last_failure = event.reason
            case TokenGone() | LoggedOut() if self._held is not None:
                self._lose(LOGIN_REQUIRED, event.why, now_ns, actions)
            case Recheck() if self._held is not None:
                actions.append(CheckProfile(self._held.fingerprint))
            case _:
                pass  # a `Timer` too: what it has to do was done above
        return actions

    # -- the events ------------------------------------------------------------------------------------------

    def _configured(self, problem: str, now: int, actions: list[Action]) -> None:
        if not problem:
            if self._state == UNCONFIGURED:
                self._go(LOGIN_REQUIRED, "no token yet", now, actions)
            return
        if self._held is not None:
            self._held = None
            actions.append(DropToken())
        if self._state != UNCONFIGURED:
            self._go(UNCONFIGURED, problem, now, actions)
        self._cause, self._since = problem, self._since or now

    def _found(self, event: TokenFound, now: int, actions: list[Action]) -> None:
        login = event.source == "login"
        expires_at = next_expiry(event.issued_at)
        held = self._held
        if held is not None and event.fingerprint == held.fingerprint:
            # A re-login with the same token changes nothing, but it ends the exchange that brought it.
            self._held = replace(
                held, expires_at=max(held.expires_at, expires_at), user_id=event.user_id or held.user_id
            )
            if login:
                self._end_exchange("logged in again with the same token", now, actions)
        elif now >= expires_at:
            self._found_expired(event.fingerprint, login, now, actions)
        elif login or event.renewed or event.fingerprint not in self._dead:
            self._hold(event, expires_at, now, actions)

    def _found_expired(self, fingerprint: str, login: bool, now: int, actions: list[Action]) -> None:
        known = fingerprint in self._dead
        self._remember(fingerprint, AT_SIX)
        if login and self._held is not None:
            self._end_exchange("the login gave a token that had expired", now, actions)
        elif (login and self._state == EXCHANGING) or (self._state == LOGIN_REQUIRED and not known):
            self._pass_through(EXPIRED, AT_SIX, now, actions)

    def _hold(self, event: TokenFound, expires_at: int, now: int, actions: list[Action]) -> None:
        self._held = _Held(event.fingerprint, expires_at, event.user_id)
        self._dead.pop(event.fingerprint, None)
        self._last_success, self._failures, self._last_failure = 0, 0, ""
        actions.append(UseToken(event.fingerprint))
        # A token of somebody else's login does not end our own: whatever that brings comes after it.
        if self._state != EXCHANGING or event.source == "login":
            self._go(VALID, _CAUSES.get(event.source, f"from {event.source}"), now, actions)
        if not event.certain:
            actions.append(CheckProfile(event.fingerprint))

    def _answered(self, event: ApiSucceeded | ApiFailed, now: int, actions: list[Action]) -> None:
        held = self._held
        if held is None or event.fingerprint != held.fingerprint:
            return  # an answer about another token says nothing about this one
        if isinstance(event, ApiSucceeded):
            self._last_success, self._failures, self._last_failure = now, 0, ""
            self._held = replace(held, user_id=event.user_id or held.user_id)
            return
        self._failed(event.reason or event.kind)
        if event.kind == "token":
            self._lose(REVOKED, REFUSED, now, actions)

    # -- the steps they have in common -------------------------------------------------------------------------

    def _failed(self, reason: str) -> None:
        self._failures += 1
        self._last_failure = reason

    def _end_exchange(self, cause: str, now: int, actions: list[Action]) -> None:
        if self._state == EXCHANGING:
            self._go(VALID if self._held is not None else LOGIN_REQUIRED, cause, now, actions)

    def _lose(self, state: str, cause: str, now: int, actions: list[Action]) -> None:
        """Give up the token in use; an exchange under way goes on, and its end says how things stand."""
        if self._held is not None:
            self._remember(self._held.fingerprint, cause)
        self._held = None
        actions.append(DropToken())
        if self._state == VALID:
            self._pass_through(state, cause, now, actions)

    def _pass_through(self, state: str, cause: str, now: int, actions: list[Action]) -> None:
        """Through EXPIRED or REVOKED to LOGIN_REQUIRED at once; the cause stays."""
        for step in dict.fromkeys((state, LOGIN_REQUIRED)):
            self._go(step, cause, now, actions)

    def _go(self, state: str, cause: str, now: int, actions: list[Action]) -> None:
        transition = Transition(now, self._state, state, cause)
        self._state, self._since, self._cause = state, now, cause
        actions.append(Announce(transition, self.status))

    def _remember(self, fingerprint: str, cause: str) -> None:
        self._dead.pop(fingerprint, None)
        self._dead[fingerprint] = cause
        while len(self._dead) > DEAD_KEPT:
            del self._dead[next(iter(self._dead))]
