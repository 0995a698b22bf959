"""What Kite's candles tell of today that the stream does not: missed minutes, the previous day's open interest.

State: what is waiting to be fetched (what a page asked for goes first), how every request went, the open interest
found, all of one source and day; counters and the newest problem.

One thread, at most two requests a second: Kite allows three of these, and somebody else may want one.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapedeck import sessions
from tapedeck._hub_sessions import day_of, yyyymmdd
from tapedeck.clock import MINUTE, SECOND, Clock, ist_date, ist_midnight
from tapedeck.day_lines import DayLines
from tapedeck.errors import InputRefused, TapedeckError
from tapedeck.instruments import Instruments
from tapedeck.schema import Instrument

log = logging.getLogger("tapedeck.references")

PACE_S = 0.5
#: A request that failed is made again at the earliest then, and none is made for a while: most failures
#: (no login, no network, too many requests) are not about one instrument.
RETRY_S = 60.0
PAUSE_S = 5.0
#: A line that lacks minutes anew is fetched again at the earliest after RETRY_S, and after twice as long each time it
#: did not help, up to this: what is never confirmed lacks every minute, and its candles may lack them, too.
MOST_RETRY_S = 960.0
#: Requests that may wait, of pages and of the desk itself; what comes when as many wait is dropped.
MOST_WAITING = 1000
#: Kite may publish a minute some seconds late: a line that lacks the newest one is fetched once more.
TRIES = 2
#: How far back a contract's last day is looked for: it may not have traded on the day before.
DAYS_BACK = 10

LINE, OI = "line", "oi"


class FetchCandles(Protocol):
    """How candles are had; raises a TapedeckError when there are none to be had."""

    def __call__(
        self, instrument_token: int, interval: str, start: int, end: int, *, oi: bool = False
    ) -> np.ndarray: ...


class Job(NamedTuple):
    """One request: of what kind, for which instrument."""

    kind: str
    token: int


NONE_MISSING: Mapping[Job, int] = MappingProxyType({})


@dataclass(slots=True)
class _Record:
    """How the requests for one job went: on which connection, how often, when it may be made again.

    Of a line also how many minutes it lacked after the newest one, and the pause after one that does not help.
    """

    connection: int
    tries: int = 0
    again_at: float = -math.inf
    missing: int = 0
    pause_s: float = RETRY_S


class DayReferences:
    """Fetches in the background and answers at once with what is known. Safe to use from several threads.

    `connection` numbers the upstream connections: after a new one a line may have missed minutes again.
    """

    def __init__(
        self,
        fetch_candles: FetchCandles,
        lines: DayLines,
        clock: Clock,
        *,
        instruments: Callable[[], Instruments],
        connection: Callable[[], int] = lambda: 0,
    ) -> None:
        self._fetch_candles, self._lines, self._clock = fetch_candles, lines, clock
        self._instruments, self._connection = instruments, connection
        self._lock = threading.Lock()
        self._next_at = -math.inf
        self._counters: Counter[str] = Counter(fetched=0, failed=0, dropped=0)
        #: What Kite or the network said last; empty when the newest request went well.
        self.problem = ""
        self._of = (0, 0)
        self._clear()
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="tapedeck-references", daemon=True)

    def _clear(self) -> None:
        self._first: dict[Job, None] = {}
        self._later: dict[Job, None] = {}
        self._records: dict[Job, _Record] = {}
        self._oi: dict[int, tuple[float, int]] = {}

    def _open(self) -> None:
        """Start over when source or day have changed."""
        of = self._lines.of
        if of != self._of:
            self._clear()
            self._of = of

    # -- asking --------------------------------------------------------------------------------------------------

    def days(self, instruments: Sequence[Instrument], step_s: int) -> list[dict[str, Any]]:
        """Of each instrument the day so far, as a page is told it; what is not known yet is fetched.

        `start_ms`, `end_ms` and `prices` are a `Line`'s; `previous_oi` is None where there is none or it is not known.
        """
        self._want(instruments)
        rows = []
        for one in instruments:
            day = self._lines.line(one, step_s)
            oi, date = self._oi.get(one.instrument_token, (math.nan, 0))
            known = {"previous_oi": None, "previous_oi_date": None}
            if not math.isnan(oi):
                known = {"previous_oi": int(oi), "previous_oi_date": date}
            rows.append(day._asdict() | known)
        return rows

    def previous_oi(self, tokens: np.ndarray) -> np.ndarray:
        """Open interest of contracts at the end of the previous trading day, units, in the tokens' order.

        NaN where it is not known (yet: asking has it fetched, after everything a page asked for).
        """
        wanted = tokens.tolist()
        with self._lock:
            self._open()
            unknown = [token for token in wanted if token not in self._oi]
            self._queue((Job(OI, token) for token in unknown), self._later)
            return np.array([self._oi.get(token, (math.nan, 0))[0] for token in wanted], float)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._first) + len(self._later)

    def describe(self) -> dict[str, Any]:
        """For the health answer: requests waiting, made, failed and dropped, and what is wrong."""
        with self._lock:
            return {"queue": self.waiting, **self._counters, "previous_oi": len(self._oi), "problem": self.problem}

    def _want(self, instruments: Iterable[Instrument]) -> None:
        missing = {Job(LINE, one.instrument_token): self._lines.missing(one) for one in instruments}
        jobs = [job for job, minutes in missing.items() if minutes]
        with self._lock:
            self._open()
            contracts = [one.instrument_token for one in instruments if one.expiry is not None]
            jobs += [Job(OI, token) for token in contracts if token not in self._oi]
            self._queue(jobs, self._first, missing)

    def _queue(self, jobs: Iterable[Job], queue: dict[Job, None], missing: Mapping[Job, int] = NONE_MISSING) -> None:
        now, connection, empty = self._clock.monotonic(), self._connection(), not (self._first or self._later)
        for job in jobs:
            if job in self._first or (job in self._later and queue is self._later):
                continue
            record = self._records.get(job)
            if record is not None and not self._may_try(record, job, now, connection, missing.get(job, 0)):
                continue
            if len(queue) >= MOST_WAITING:
                self._counters["dropped"] += 1
                continue
            self._later.pop(job, None)
            queue[job] = None
        if empty and (self._first or self._later):
            self._wake.set()

    def _may_try(self, record: _Record, job: Job, now: float, connection: int, missing: int) -> bool:
        if job.kind == LINE and record.connection != connection:
            return True
        # What nobody watched for a while lacks those minutes, on the same connection.
        return now >= record.again_at and (record.tries < TRIES or missing > record.missing)

    # -- fetching ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to fetch, on a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop; waits for the request that is on its way."""
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                wait = self.work()
            except Exception:  # the thread must outlive whatever went wrong once
                log.exception("a reference could not be fetched; going on")
                wait = PAUSE_S
            if wait is None or wait > 0:
                self._wake.wait(wait)
                self._wake.clear()

    def work(self) -> float | None:
        """Make the next request if there is one and its time has come; seconds until the one after, None for no end.

        For the thread alone.
        """
        with self._lock:
            self._open()
            queue = self._first or self._later
            if not queue:
                return None
            now = self._clock.monotonic()
            if now < self._next_at:
                return self._next_at - now
            job = next(iter(queue))
            del queue[job]
            instrument = self._instruments().find(job.token)
            if instrument is None or (job.kind == OI and instrument.expiry is None):
                if instrument is not None:
                    self._oi[job.token] = math.nan, 0  # a share has none, whoever asks
                return 0.0
            self._next_at = now + PACE_S
            of, connection = self._of, self._connection()
        self._fetch(job, instrument, of, connection)
        return PACE_S

    def _fetch(self, job: Job, instrument: Instrument, of: tuple[int, int], connection: int) -> None:
        lacked = self._lines.missing(instrument)
        try:
            whole = self._fetch_line(instrument, of) if job.kind == LINE else self._fetch_oi(instrument, of)
            problem = None
        except TapedeckError as failed:
            whole, problem = False, failed
        lacks = self._lines.missing(instrument)
        with self._lock:
            if of != self._of:
                return  # of another source or day by now
            record = self._records.setdefault(job, _Record(connection))
            if record.connection != connection:
                record.connection, record.tries = connection, 0
            now = self._clock.monotonic()
            record.again_at = now + RETRY_S
            if problem is None:
                if job.kind == LINE:
                    record.missing = lacks
                    record.pause_s = RETRY_S if lacks < lacked else min(2 * record.pause_s, MOST_RETRY_S)
                    record.again_at = now + record.pause_s
                record.tries = TRIES if whole else record.tries + 1
                self._counters["fetched"] += 1
                self.problem = ""
                return
            self._counters["failed"] += 1
            if not isinstance(problem, InputRefused):
                self._next_at = now + PAUSE_S
            said = f"{'minutes' if job.kind == LINE else 'open interest'} of {instrument.key}: {problem}"
            if str(problem) not in self.problem:
                log.warning("%s; trying again later", said)
            self.problem = said

    def _fetch_line(self, instrument: Instrument, of: tuple[int, int]) -> bool:
        """Fill the line of today; whether the newest complete minute came, too."""
        now = self._clock.now()
        candles = self._fetch_candles(instrument.instrument_token, "minute", ist_midnight(day_of(of[1])), now)
        self._lines.fill(instrument, candles, of=of, until=now)
        newest = int(candles["date"][-1]) if len(candles) else 0
        return newest + 2 * MINUTE > now or not self._lines.missing(instrument)

    def _fetch_oi(self, instrument: Instrument, of: tuple[int, int]) -> bool:
        """Note the open interest of the newest day before today; a contract without one has none."""
        today = day_of(of[1])
        segment = sessions.resolve(instrument, ist_midnight(today))[0]
        last = sessions.previous_trading_day(today, segment if segment in sessions.SEGMENTS else "NSE")
        start, end = ist_midnight(last - timedelta(DAYS_BACK)), ist_midnight(last) + 24 * 60 * MINUTE - SECOND
        candles = self._fetch_candles(instrument.instrument_token, "day", start, end, oi=True)
        found = math.nan, 0
        if len(candles) and candles["oi"][-1] >= 0:
            found = float(candles["oi"][-1]), yyyymmdd(ist_date(int(candles["date"][-1])))
        with self._lock:
            if of == self._of:
                self._oi[instrument.instrument_token] = found
        return True
