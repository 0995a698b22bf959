"""The day's instrument file: which one is due, fetching it, and what is wrong while there is none.

State: the newest instruments and the day they are of, and what kept them from being today's.
"""

from __future__ import annotations

import logging
import threading
from datetime import date, timedelta

from tapedeck.clock import Clock, ist_date, to_ist
from tapedeck.errors import TapedeckError
from tapedeck.instruments import Instruments
from tapedeck.upstream import Exchange

log = logging.getLogger("tapedeck.listing")

#: Kite makes the day's file between 07:30 and 08:30.
READY_AT = (8, 30)
RETRY_S = 5.0
#: With an older file at hand there is no hurry: each is some megabytes.
RETRY_WITH_ONE_S = 60.0


class Listing:
    """What the exchange lists, kept up to date by whoever calls `refresh`."""

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self._exchange, self._clock = exchange, clock
        self._lock = threading.Lock()
        self._retry_at = 0.0
        self.instruments = Instruments.from_instruments([])
        self.day: date | None = None
        #: Why there are no instruments at all; empty when there are.
        self.problem = "instruments are being fetched"
        #: Why the instruments are not those of today; empty when they are.
        self.warning = ""

    @property
    def due_day(self) -> date:
        """Day of the newest file there can be."""
        now = self._clock.now()
        at = to_ist(now)
        return ist_date(now) - timedelta(days=(at.hour, at.minute) < READY_AT)

    def refresh(self, *, source_changed: bool = False) -> bool:
        """Fetch the file when one is due and it is time to try; whether there are new instruments.

        The feed's thread (a new source) and the keeper's (a new day) take turns.
        """
        with self._lock:
            if not source_changed and (self.day == self.due_day or self._clock.monotonic() < self._retry_at):
                return False
            return self._fetch(source_changed)

    def _fetch(self, source_changed: bool) -> bool:
        due = self.due_day
        self._retry_at = self._clock.monotonic() + (RETRY_WITH_ONE_S if len(self.instruments) else RETRY_S)
        try:
            data, day = self._exchange.fetch_instruments(due)
            late = "" if day == due else f"instruments are of {day}: those of {due} could not be fetched"
            if day == self.day and not source_changed:
                self.warning = late
                return False
            instruments = Instruments.from_csv(data)
        except TapedeckError as failed:
            said = f"instruments could not be fetched: {failed}"
            # A night without a login is one line, not one every few seconds.
            level = logging.DEBUG if said in (self.problem, self.warning) else logging.WARNING
            self.problem, self.warning = ("", said) if len(self.instruments) else (said, "")
            log.log(level, "%s; trying again", said)
            return False
        # The first search builds an index: a tenth of a second that no viewer should wait for.
        instruments.search("nifty", limit=1)
        instruments.names()  # the contracts by underlying, for the same reason
        self.instruments, self.day, self.problem, self.warning = instruments, day, "", late
        log.info("%s instruments of %s", len(instruments), day)
        return True
