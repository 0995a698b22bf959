"""The one owner of Kite's token on this desk: logs in and out, watches the token file, knows how things stand.

State of a `KiteAccount`:

- the state machine of `tapedeck.auth`, and the credentials it says to use
- the timeline of its transitions, and what observers have not been told yet
- the token file, and the thread that watches it
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping

from tapedeck import auth
from tapedeck.auth import AuthStatus, Transition, next_expiry
from tapedeck.clock import DAY, Clock, SystemClock
from tapedeck.errors import ConfigError, InputRefused, KiteError, LoginRequired, NetworkFailed, RateLimited

from .login import Credentials, TokenFile, exchange, login_url, revoke
from .rest import KiteRest, map_error

log = logging.getLogger("tapedeck.kite.account")

#: Transitions kept; a day has four or five.
TIMELINE = 200

Observer = Callable[[AuthStatus], None]


class KiteAccount:
    """Kite's token and everything that happens to it. Safe to use from several threads.

    `clock` is market time and decides when it is 06:00; it is asked anew every time, since it may be switched.
    `problem` says what is wrong with key or secret: then there is no logging in. `pace` and
    `on_refused` are `KiteRest`'s.
    """

    def __init__(
        self,
        api_key: str,
        api_secret: str,
        *,
        rest_root: str,
        login_root: str,
        tokens: TokenFile | None,
        clock: Clock,
        problem: str = "",
        timeout: float = 7.0,
        pace: Callable[[str], object] | None = None,
        on_refused: Callable[[str, float], object] | None = None,
    ) -> None:
        self.api_key = api_key
        self._api_secret = api_secret
        self._rest_root, self._login_root = rest_root, login_root
        self._tokens = tokens
        self._clock = clock
        self._problem = problem or ("" if api_key else "ZERODHA_API_KEY is empty; set it to log in to Kite")
        self._timeout, self._pace, self._on_refused = timeout, pace, on_refused
        # Four locks, each for one thing, taken in this order: a login, a check, a look at the file, the state.
        self._exchanging = threading.Lock()
        self._checking = threading.Lock()
        self._looking = threading.Lock()
        self._lock = threading.Lock()
        self._auth = auth.Auth()
        self._begun = self._looked = False
        self._credentials: Credentials | None = None
        self._timeline: deque[Transition] = deque(maxlen=TIMELINE)
        self._observers: list[Observer] = []
        self._untold: deque[AuthStatus] = deque(maxlen=TIMELINE)
        self._telling = False
        self._check_wanted = threading.Event()
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"KiteAccount({self.api_key!r}, {self.status.state})"

    # -- how things stand ------------------------------------------------------------------------------------

    def credentials(self) -> Credentials | None:
        """What to connect with now; None when a login is needed.

        A login under way does not take the token before it away: it is still good.
        """
        with self._lock:
            due = self._auth.due
            return self._credentials if due is not None and self._clock.now() < due else None

    @property
    def status(self) -> AuthStatus:
        """Where the login stands; never the token."""
        with self._lock:
            return self._auth.status

    @property
    def timeline(self) -> list[Transition]:
        """The newest transitions, oldest first."""
        with self._lock:
            return list(self._timeline)

    def observe(self, callback: Observer) -> Callable[[], None]:
        """Call `callback` with the status after every transition, in their order; what is returned ends it.

        It is called without a lock held, on the thread that brought the change about.
        """
        with self._lock:
            self._observers.append(callback)

        def unobserve() -> None:
            with self._lock:
                if callback in self._observers:
                    self._observers.remove(callback)

        return unobserve

    # -- logging in and out ----------------------------------------------------------------------------------

    def login_url(self, redirect_params: Mapping[str, str] | None = None) -> str:
        """The address to log in at; Kite hands `redirect_params` back unchanged.

        Raises
        ------
        ConfigError
            If key or secret is missing: the login could not be finished.
        """
        self._need_secret()
        return login_url(self.api_key, root=self._login_root, redirect_params=redirect_params)

    def exchange(self, request_token: str) -> AuthStatus:
        """Log in with a request token, save the day's token, and say how things stand. Blocks.

        Raises
        ------
        ConfigError
            If key or secret is missing.
        InputRefused
            If another login is being exchanged at this moment.
        KiteError
            Whatever Kite or the network said, without any of the secrets. A token that was valid before still is.
        """
        self._need_secret()
        if not self._exchanging.acquire(blocking=False):
            raise InputRefused("another login to Kite is being finished at this moment; wait for it")
        try:
            self._give(auth.LoginStarted())
            self._offer(self._granted(request_token), source="login")
        except BaseException as exc:
            # Whatever it was: an exchange that has begun has to end.
            self._handle(auth.LoginFailed(str(exc) if isinstance(exc, KiteError) else type(exc).__name__))
            raise
        finally:
            self._exchanging.release()
            self._tell()
        return self.status

    def login_ended(self, reason: str) -> AuthStatus:
        """A login was given up or refused at Kite: everybody hears why; a token that is valid stays."""
        self._give(auth.LoginEnded(reason))
        return self.status

    def update_token(self, credentials: Credentials) -> AuthStatus:
        """Use a token that a program has, and save it; the one in use already changes nothing.

        Raises
        ------
        InputRefused
            If it belongs to another API key.
        """
        if credentials.api_key != self.api_key:
            raise InputRefused(f"the token belongs to API key {credentials.api_key!r}; this desk has {self.api_key!r}")
        if self.credentials() != credentials:
            self._offer(credentials, source="update")
            self._tell()
        return self.status

    def logout(self) -> AuthStatus:
        """Give the token up here, on disk and at Kite. Blocks; a Kite that cannot be reached does not stop it.

        Raises
        ------
        InputRefused
            If a login is being exchanged at this moment.
        """
        if not self._exchanging.acquire(blocking=False):
            raise InputRefused("a login to Kite is being finished at this moment; wait for it, then log out")
        try:
            given_up = self.credentials()
            with self._looking:
                self._handle(auth.LoggedOut())
                self._clear()
            self._tell()
            if given_up is not None:
                revoke(self._rest_root, given_up, timeout=self._timeout)
        except KiteError as exc:
            log.warning("logged out here, but Kite did not confirm it: %s", exc)
        finally:
            self._exchanging.release()
        return self.status

    # -- what Kite says of the token ---------------------------------------------------------------------------

    def mark_api_success(self, fingerprint: str) -> None:
        """Kite answered a request made with this token."""
        self._give(auth.ApiSucceeded(fingerprint))

    def mark_api_failure(self, error: Exception, fingerprint: str) -> None:
        """A request made with this token failed. Only a refusal of the token ends it; a failed network never does."""
        with self._lock:
            known = self._credentials.access_token if self._credentials else ""
        mapped = map_error(error, secrets=(known, self._api_secret))
        self._give(auth.ApiFailed(_kind(mapped), fingerprint, str(mapped)))

    def recheck_soon(self) -> None:
        """Have Kite asked for the profile within half a second, on this account's own thread. Does not block."""
        self._give(auth.Recheck())

    def force_recheck(self) -> AuthStatus:
        """Ask Kite for the profile, and say how things stand then; without a token nothing is asked. Blocks."""
        with self._checking:
            self._check_wanted.clear()
            asked = self.credentials()
            if asked is None:
                return self.status
            rest = KiteRest(
                asked.api_key,
                lambda: asked.access_token,
                self._rest_root,
                timeout=self._timeout,
                pace=self._pace,
                on_refused=self._on_refused,
            )
            try:
                user_id = rest.fetch_profile().get("user_id")
                self._handle(auth.ApiSucceeded(asked.fingerprint, user_id if isinstance(user_id, str) else ""))
            except KiteError as exc:
                self._handle(auth.ApiFailed(_kind(exc), asked.fingerprint, str(exc)))
            finally:
                rest.close()
        self._tell()
        return self.status

    # -- time, the file and the thread ---------------------------------------------------------------------------

    def start(self) -> None:
        """Take the saved token up, and begin to watch for another."""
        if self._watcher is not None:
            return
        self._give(auth.Timer())  # key and secret are judged before the file is
        self._look()
        self._watcher = threading.Thread(target=self._watch, name="tapedeck-token-watch", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """End the watching. May be called twice, and without a start."""
        self._stop.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()

    def tick(self) -> None:
        """Look at the clock and the file; call it twice a second. Costs one `stat`, asks Kite nothing."""
        with self._lock:
            due = self._auth.due
        if due is not None and self._clock.now() >= due:
            self._give(auth.Timer())
        self._look()

    def _watch(self) -> None:
        rounds = (
            self._tokens.watch(self._stop) if self._tokens is not None else iter(lambda: self._stop.wait(0.5), True)
        )
        for _ in rounds:
            self._look()
            if self._check_wanted.is_set():
                self.force_recheck()

    def _look(self) -> None:
        """Take up what the file holds, if this is the first look or it is another one than at the last."""
        with self._looking:
            event, saved = self._read_file(first=not self._looked)
            self._looked = True
            if event is not None:
                self._handle(event, saved)
        self._tell()

    def _read_file(self, *, first: bool) -> tuple[auth.Event | None, Credentials | None]:
        if self._tokens is None or not (self._tokens.changed() or first):
            return None, None
        try:
            saved = self._tokens.load()
        except LoginRequired as exc:
            log.warning("%s", exc)
            return auth.FileFailed(str(exc)), None
        if saved is None:
            return None if first else auth.TokenGone(), None
        if saved.api_key != self.api_key:
            return auth.FileFailed(f"{self._tokens.path} holds the token of another API key; log in again"), None
        return self._found(saved, "file", renewed=not first), saved

    def _found(self, credentials: Credentials, source: str, *, renewed: bool) -> auth.TokenFound:
        issued_at, certain = credentials.issued_at, True
        if issued_at <= 0:
            issued_at, certain = self._file_time() if source == "file" else self._clock.now(), False
        return auth.TokenFound(
            credentials.fingerprint, issued_at, credentials.user_id, source=source, renewed=renewed, certain=certain
        )

    def _file_time(self) -> int:
        """Market time at which the file was written: as long ago as it is old by the machine's clock."""
        written = self._tokens.written_at() if self._tokens is not None else 0
        age = max(0, SystemClock().now() - written) if written else 0
        return self._clock.now() - age

    # -- the steps -----------------------------------------------------------------------------------------------

    def _need_secret(self) -> None:
        missing = (
            "" if self._api_secret else "ZERODHA_API_SECRET is empty; a login to Kite cannot be finished without it"
        )
        if self._problem or missing:
            raise ConfigError(self._problem or missing)

    def _granted(self, request_token: str) -> Credentials:
        granted = exchange(self._rest_root, self.api_key, self._api_secret, request_token, timeout=self._timeout)
        now = self._clock.now()
        if now - DAY < granted.issued_at < now + DAY and next_expiry(granted.issued_at) > now:
            return granted
        # What was granted this instant is good, even if one of the two clocks is wrong.
        return Credentials(granted.api_key, granted.access_token, now, granted.user_id)

    def _offer(self, credentials: Credentials, *, source: str) -> None:
        """Save a token and take it up, in this order: whoever is told finds the file."""
        failed = ""
        with self._looking:
            if self._tokens is not None:
                try:
                    self._tokens.save(credentials)
                except OSError as exc:
                    failed = (
                        f"the token could not be saved in {self._tokens.path}: {exc.strerror or type(exc).__name__}"
                    )
            self._handle(self._found(credentials, source, renewed=True), credentials)
            if failed:
                log.warning("%s; it is used until this desk ends", failed)
                self._handle(auth.FileFailed(failed))

    def _clear(self) -> None:
        if self._tokens is None:
            return
        try:
            self._tokens.clear()
        except OSError as exc:
            log.warning("%s could not be removed: %s", self._tokens.path, exc.strerror)

    def _give(self, event: auth.Event) -> None:
        self._handle(event)
        self._tell()

    def _handle(self, event: auth.Event, offered: Credentials | None = None) -> None:
        """One event to the state machine, and what it answers; observers are told later, by `_tell`."""
        with self._lock:
            now = self._clock.now()
            actions = [] if self._begun else self._auth.handle(auth.Configured(self._problem), now)
            self._begun = True
            actions += self._auth.handle(event, now)
            for action in actions:
                match action:
                    case auth.UseToken() if offered is not None:
                        self._credentials = offered
                    case auth.DropToken():
                        self._credentials = None
                    case auth.CheckProfile():
                        self._check_wanted.set()
                    case auth.Announce():
                        self._timeline.append(action.transition)
                        self._untold.append(action.status)

    def _tell(self) -> None:
        """Tell observers what they have not heard, in order; whoever is at it already tells the rest, too."""
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return
                self._telling = True
                status, observers = self._untold.popleft(), list(self._observers)
            try:
                log.info("Kite login: %s (%s)", status.state, status.cause)
                for observer in observers:
                    try:
                        observer(status)
                    except Exception:
                        # One that fails must not keep the others from hearing it.
                        log.exception("an observer of the login failed")
            finally:
                with self._lock:
                    self._telling = False


def _kind(error: KiteError) -> str:
    if isinstance(error, LoginRequired):
        return "token"
    if isinstance(error, NetworkFailed):
        return "network"
    return "rate" if isinstance(error, RateLimited) else "answer"
