"""The composition root: `open_desk(settings) -> Desk` chooses, wires, starts and stops everything.

State of a running desk: the exchange it is connected to (Kite or the simulator), the clock everybody was given,
the hub, the one socket, the relay, and the keeper thread that does the slow work.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tapedeck import sessions
from tapedeck.asked import Asked
from tapedeck.auth import UNCONFIGURED, AuthStatus, Transition
from tapedeck.check_report import Report
from tapedeck.checks import check
from tapedeck.clock import Clock, SwitchableClock, SystemClock, ist_date, to_ist
from tapedeck.cpu import CpuMeter
from tapedeck.day_lines import DayLines
from tapedeck.day_references import DayReferences
from tapedeck.desk_status import DeskStatus
from tapedeck.errors import FeedOwned
from tapedeck.feed import FeedStatus
from tapedeck.feed_log import FeedLog
from tapedeck.hub import Hub
from tapedeck.instruments import Instruments
from tapedeck.kite import packets
from tapedeck.kite.owner import OwnerLock
from tapedeck.kite.socket import FeedSocket
from tapedeck.listing import Listing
from tapedeck.relay.overview import Overview
from tapedeck.relay.server import Relay
from tapedeck.session_file import use_session_file
from tapedeck.settings import Settings, load
from tapedeck.sim.clock import LoopClock
from tapedeck.storage import Storage
from tapedeck.upstream import Exchange, open_exchange
from tapedeck.workspace import Workspace, default_lists

log = logging.getLogger("tapedeck.desk")

SIM_HEADER = "X-Tapedeck-Sim"
KEEPER_PERIOD_S = 0.5
#: Columns of a quotes frame; `quote_rows` has all there is.
FRAME = (
    "last_price", "close", "open", "high", "low", "average_traded_price", "volume_traded", "oi", "fresh", "reason",
    "last_trade_time", "official_close", "official_date",
)  # fmt: skip
#: How long a notebook waits for a desk of its own to be ready.
OPEN_WAIT_S = 5.0


def open_desk(settings: Settings) -> Desk:
    """A running desk: the exchange reached or started, the lock held, the feed connecting.

    Raises
    ------
    FeedOwned
        If another process on this host owns the connection; the message says where it listens.
    SimulatorError
        If the simulated exchange could not be started.
    """
    clock = SwitchableClock(SystemClock())
    packets.warm_up()
    exchange = open_exchange(settings, clock)
    try:
        lock = OwnerLock(exchange.ws_root, exchange.api_key)
        lock.acquire()
    except BaseException:
        exchange.close()
        raise
    try:
        desk = Desk(settings, clock=clock, exchange=exchange, lock=lock)
        desk.start()
    except BaseException:
        lock.release()
        exchange.close()
        raise
    return desk


def open(**given: Any) -> Desk:
    """A desk in this process, for a notebook: settings of the environment and of this folder's files, `given` on top.

    Without a Kite key it runs on a simulated exchange of its own. Returns when numbers flow, or after a few
    seconds without: `desk.status` then says why.

    A wrong setting is logged, and its default is used.

    Raises
    ------
    FeedOwned
        If another process on this host owns the connection; the message says where it listens.
    """
    settings = use_session_file(load(os.environ, folder=Path.cwd(), **given))
    for problem in settings.problems:
        log.log(logging.ERROR if problem.level == "error" else logging.WARNING, "%s", problem)
    desk = open_desk(settings)
    desk.wait_ready(OPEN_WAIT_S)
    return desk


class Desk:
    """One running desk. Everything a page, a route or a notebook needs hangs from here."""

    def __init__(self, settings: Settings, *, clock: SwitchableClock, exchange: Exchange, lock: OwnerLock) -> None:
        self.settings = settings
        self.clock: Clock = clock
        self.exchange = exchange
        self._switch = clock.switch
        self._lock = lock
        self.hub = Hub(clock)
        self.socket = FeedSocket(
            root=exchange.ws_root,
            credentials=exchange.credentials,
            sink=self._on_frame,
            on_alive=self.hub.alive,
            on_status=self._on_status,
            on_connect=self._on_connect,
            on_subscribed=self.hub.subscribed,
            on_unsubscribed=self.hub.unsubscribed,
            on_answer=exchange.answered,
            why_login=lambda: exchange.account.status.why_blank,
            clock=clock,
            in_session=self._in_session,
        )
        self.listing = Listing(exchange, clock)
        self.lines = DayLines(self.hub, clock)
        self.references = DayReferences(
            exchange.fetch_candles,
            self.lines,
            clock,
            instruments=lambda: self.instruments,
            connection=lambda: self.socket.status.connections,
        )
        overview = Overview(self.hub, self.socket, previous_oi=self.references.previous_oi)
        self.relay = Relay(
            self.hub, self.socket, clock, counters=self._counters, login=self._login, topics={"overview": overview}
        )
        self.workspace = Workspace(settings.data, self._default_lists)
        self.storage = Storage(settings.data, clock)
        self._feed_log = FeedLog()
        self._asked = Asked(self.socket, clock)
        self._cpu = CpuMeter(clock)
        self._address = self._bearer = ""
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="tapedeck-keeper", daemon=True)
        self._started = False
        #: What the checks of the settings found; whoever checks them says.
        self.check_report: Report | None = None
        self._unobserve: Callable[[], None] = lambda: None
        #: How late the server's loop runs; whoever serves the desk says.
        self.loop_lag: Callable[[], dict[str, float]] = dict

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """Where the numbers come from: `kite`, or `sim:seed:date`."""
        return self.hub.source or self.exchange.source

    @property
    def simulated(self) -> bool:
        """Whether the numbers are made up. Known before the first one arrives."""
        return self.source.startswith("sim")

    @property
    def instruments(self) -> Instruments:
        """Today's instruments; none while the file is being fetched."""
        return self.listing.instruments

    def watchlist(self) -> list[str]:
        """Keys of the workspace's first list that today's instruments know; all of them while these are fetched."""
        keys = self.workspace.document()["lists"][0]["keys"]
        return [key for key in keys if not len(self.instruments) or key in self.instruments]

    def _default_lists(self) -> list[dict[str, Any]]:
        return default_lists(self.instruments, ist_date(self.clock.now()))

    def find_instruments(self, query: str, *, limit: int, **filters: Any) -> list[dict[str, Any]]:
        """Instruments that match the words and the filters of `Instruments.search`, best first, as plain rows."""
        found = self.instruments.search(query, limit, **filters)
        names = ("instrument_token", "tradingsymbol", "name", "exchange", "segment", "instrument_type", "expiry")
        names += ("strike", "tick_size", "lot_size")
        return [{"key": one.key} | {name: getattr(one, name) for name in names} for one in found]

    def expiry_note(self, query: str, **filters: Any) -> str:
        """What of a query's expiry day could not be kept, in words; empty when all was."""
        return self.instruments.expiry_note(query, **filters)

    def search_examples(self) -> tuple[str, ...]:
        """Questions to try in the search, each with an answer among today's instruments."""
        return self.instruments.search_examples(ist_date(self.clock.now()))

    # -- numbers -------------------------------------------------------------------------------------------------

    def ask(self, keys: Iterable[str]) -> None:
        """Subscribe the keys for the next minute on behalf of whoever asked.

        Raises
        ------
        UnknownInstrument
            Naming the first key that today's instrument file does not have.
        SubscriptionLimit
            If the connection would carry more than Kite allows; nothing changed then.
        """
        self._asked.ask([self.instruments.get(key).instrument_token for key in keys])

    def awaited(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that are in session and have no fresh numbers yet."""
        return [row["key"] for row in self.quote_rows(keys) if row["held"] and not row["fresh"]]

    def quote_rows(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """One plain row per key: fresh numbers, or nulls with `fresh: false` and the reason."""
        return self.hub.quotes(list(keys))

    def days(self, keys: Iterable[str], step_s: int) -> list[dict[str, Any]]:
        """Per key the day so far: the price at the end of every step, and the previous day's open interest.

        Nulls where they are not known; what can be known is fetched in the background, so ask again later.

        Raises
        ------
        UnknownInstrument
            Naming the first key that today's instrument file does not have.
        """
        return self.references.days([self.instruments.get(key) for key in keys], step_s)

    def quotes(self, *keys: str, wait: float = 3.0) -> pd.DataFrame:
        """Quotes of the instruments, one row each: rupees and units, NaN with a `reason` where not fresh.

        Subscribes what is not yet on the feed and gives its first packets up to `wait` seconds. `attrs` carries
        the time the frame was made and the source.

        Raises
        ------
        UnknownInstrument
            If a key is not in today's instrument file.
        """
        self.wait_ready(wait)
        self.ask(keys)
        self._until(lambda: not self.awaited(keys), wait)
        frame = pd.DataFrame(self.quote_rows(keys), index=pd.Index(keys, name="instrument"), columns=list(FRAME))
        frame.attrs = {"at": to_ist(self.clock.now()), "source": self.source, "simulated": self.simulated}
        return frame

    def wait_ready(self, timeout: float = 10.0) -> bool:
        """Whether live numbers can be trusted, after waiting for it up to `timeout` seconds."""
        return self._until(lambda: not self.not_ready(), timeout)

    def _until(self, true: Callable[[], bool], timeout: float) -> bool:
        deadline = self.clock.monotonic() + timeout
        while not true():
            if self.clock.monotonic() >= deadline or self._ending.wait(0.02):
                return False
        return True

    @property
    def status(self) -> DeskStatus:
        """Source, market, feed and its age in one line; renders as text and as HTML."""
        return DeskStatus(
            source=self.source,
            simulated=self.simulated,
            market=sessions.market_status(self.clock.now()),
            feed=self.hub.feed_state,
            reason="; ".join(self.not_ready()),
            age_s=self.hub.age(),
            at=to_ist(self.clock.now()),
        )

    def __repr__(self) -> str:
        return f"<Desk {self.status}>"

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def not_ready(self) -> list[str]:
        """Every reason why live numbers cannot be trusted now; empty when they can."""
        reasons = []
        login = self.exchange.account.status
        feed = self.hub.feed()
        why = feed.why_blank()
        # Without a usable key nothing else can be had either: the cause is said once.
        if login.state == UNCONFIGURED and why == login.why_blank:
            return [why]
        if self.listing.problem:
            reasons.append(self.listing.problem)
        if why:
            reasons.append(why if feed.state == "LIVE" else f"feed is {feed.state}: {why}")
        return reasons

    def health(self) -> dict[str, Any]:
        """Everything an operator asks first, as plain values."""
        now = self.clock.now()
        status = self.socket.status
        return {
            "at": to_ist(now),
            "source": self.source,
            "simulated": self.simulated,
            "epoch": self.hub.epoch,
            "not_ready": self.not_ready(),
            "feed": {
                "state": self.hub.feed_state,
                "reason": self.hub.feed_reason,
                "age_s": self.hub.age(),
                "attempts": status.attempts,
                "connections": status.connections,
                "subscribed": status.subscribed,
                "silent": list(status.silent)[:50],
                "quiet_s": self._quiet(),
            },
            "socket": self.socket.counters,
            "hub": self.hub.counters,
            "relay": dict(self.relay.stats),
            "loop": self.loop_lag(),
            "exchange": self.exchange.describe(),
            "workspace": self.workspace.describe(),
            "lines": self.lines.describe(),
            "references": self.references.describe(),
            "instruments": {"count": len(self.instruments), "as_of": self.listing.day, "warning": self.listing.warning},
            "market": {name: sessions.market_status(now, name) for name in sessions.SEGMENTS},
        }

    def auth_status(self) -> AuthStatus:
        """How the login to Kite stands; never the token."""
        return self.exchange.account.status

    def auth_timeline(self) -> list[Transition]:
        """The login's last transitions, oldest first."""
        return self.exchange.account.timeline

    def recheck(self) -> None:
        """Check the settings again and ask Kite whether it takes the token. Blocks for some seconds at most."""
        self.exchange.account.force_recheck()
        self.check_report = check(self.settings, clock=SystemClock())

    def feed_timeline(self) -> list[tuple[int, str, str]]:
        """The feed's last 200 changes, newest first: market time in UTC ns, state, reason."""
        return self._feed_log.newest_first()

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to fetch instruments and to connect."""
        self._follow(self.exchange.probe())
        # After the probe: whether a saved token is still good is a question of market time.
        self._unobserve = self.exchange.account.observe(lambda _status: self.socket.token_changed())
        self.exchange.account.start()
        self._keeper.start()
        self.references.start()
        self._started = True
        # Not after the instruments: that a login is needed must be said also when the file cannot be had.
        self.socket.start()

    def serving(self, address: str, loop: Any, bearer: str = "") -> None:
        """The server listens: tell other processes where and what opens it, and let the relay beat on its loop."""
        self._address, self._bearer = address, bearer
        self._lock.publish_address(address, bearer)
        self.relay.start(loop)

    def close(self) -> None:
        """Stop everything that was started, newest first. May be called twice."""
        self._ending.set()
        self.relay.close()
        self.references.close()
        if self._started:
            self._keeper.join(timeout=10)
        self._unobserve()
        self.socket.close()
        self.exchange.close()
        self._lock.release()

    # -- the feed's thread -----------------------------------------------------------------------------------------

    def _on_frame(self, payload: bytes, received_at: int) -> None:
        batch = packets.parse(payload, received_at)
        self.hub.publish(batch)
        self.socket.seen(batch.ticks["instrument_token"])

    def _on_status(self, status: FeedStatus) -> None:
        self.hub.feed_status(status.state, status.reason)
        self._feed_log.note(status, now=self.clock.now(), monotonic=self.clock.monotonic())

    def _on_connect(self, headers: Mapping[str, str]) -> None:
        # First: whatever the rest meets, nothing is proven current on this connection yet.
        self.hub.connected()
        document = headers.get(SIM_HEADER)
        self._follow(json.loads(document) if document else None)

    def _follow(self, document: dict[str, Any] | None) -> None:
        """Take clock and source from a simulator's word, or be on Kite and the machine's clock."""
        if document is None:
            source = self.exchange.source
        else:
            self._switch(LoopClock.from_document(document))
            source = str(document["source"])
        if source != self.hub.source:
            # Before the first frame of the new source: its first packets must find their instruments.
            if self.hub.source:
                self.listing.refresh(source_changed=True)
            self.hub.open_source(source, self.instruments)

    def _in_session(self) -> bool:
        """Whether anything on the connection is in session; before the first wish, whether the share market is."""
        phases = self.hub.phases()[1] or [sessions.phase("NSE_EQ", self.clock.now())]
        return any(phase.held for phase in phases)

    # -- the keeper's thread ---------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Slow work off every loop: instruments, a new token, subscriptions nobody asks for any more."""
        while not self._ending.is_set():
            try:
                self._stay_owner()
                self.exchange.account.tick()
                if self.listing.refresh():
                    self.hub.adopt_instruments(self.instruments)
                self.lines.sample()
                self.workspace.load()
                self._asked.forget_unasked()
            except Exception:  # the keeper must outlive whatever went wrong once
                log.exception("the keeper met an error and goes on")
            self._ending.wait(KEEPER_PERIOD_S)

    def _stay_owner(self) -> None:
        """Give the connection up if another process got the lock, and take it back when that one has gone."""
        held = self._lock.held
        try:
            self._lock.renew()
        except FeedOwned as owned:
            if held:
                log.error("%s; this desk stands by", owned)
                self.socket.stand_by(str(owned))
            return
        if not held:
            self.socket.resume()
        if self._address and self._lock.read_address() is None:
            self._lock.publish_address(self._address, self._bearer)

    def _quiet(self) -> float:
        """Seconds without a tick in a live market while somebody wants some."""
        return min(self.hub.quiet(), self._feed_log.wanted_for(self.clock.monotonic()))

    def _login(self) -> dict[str, Any]:
        status = self.exchange.account.status
        return {"state": status.state, "cause": status.cause, "user_id": status.user_id}

    def _counters(self) -> dict[str, Any]:
        status = self.socket.status
        return {
            "connections": int(status.state in ("LIVE", "STALE")),
            "subscribed": status.subscribed,
            "quiet_s": round(self._quiet(), 1),
            "frames": self.socket.counters.get("frames", 0),
            "refused": self.hub.counters.get("refused", 0),
            "workspace": self.workspace.revision,
            "cpu_pct": self._cpu.pct(),
        }
