"""The market day the simulated exchange is showing, built and followed without stalling the stream.

State: the loaded day, the builds under way, and how many requests wait for the executor.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from tapedeck import sessions
from tapedeck.clock import ist_date
from tapedeck.errors import NetworkFailed
from tapedeck.schema import Instrument
from tapedeck.sim.clock import LoopClock

if TYPE_CHECKING:
    from tapedeck.sim.market import Market, MarketDay

T = TypeVar("T")

#: Requests that may wait for the two worker threads; more are refused with 503.
MAX_WAITING = 32
#: Real seconds before a jump at which the next day's prices are built.
BUILD_AHEAD_S = 120.0
CSV_COLUMNS = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry",
    "strike", "tick_size", "lot_size", "instrument_type", "segment", "exchange",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """One trading day: its prices, its instruments and their dumps as `exchange -> (CSV, gzipped CSV)`."""

    day: MarketDay
    instruments: list[Instrument]
    by_key: dict[str, Instrument]
    by_token: dict[int, Instrument]
    dumps: dict[str, tuple[bytes, bytes]] = field(repr=False)


class Workers:
    """Two threads for what takes longer than the loop may wait."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="sim-worker")
        self.waiting = 0
        self.refused = 0

    async def run(self, work: Callable[[], T], *, needed: bool = False) -> T:
        """What `work` returns, computed on a worker thread.

        Raises
        ------
        NetworkFailed
            If `MAX_WAITING` are waiting already, unless it is `needed` by the server itself.
        """
        if self.waiting >= MAX_WAITING and not needed:
            self.refused += 1
            raise NetworkFailed("the simulator is busy; try again")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Stop the threads; what waits is dropped, what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Today:
    """Follows `clock` through the trading days of `market`."""

    def __init__(self, market: Market, clock: LoopClock, workers: Workers) -> None:
        self._market = market
        self._clock = clock
        self._workers = workers
        self._building: dict[date, asyncio.Task[Loaded]] = {}
        self.loaded: Loaded | None = None
        self.calendar_date = ist_date(clock.now())
        self.date = session_date(self.calendar_date)

    async def open(self) -> None:
        """Build the first day; nothing can be served before."""
        self.loaded = await self._build(self.date)

    def follow(self) -> bool:
        """Keep up with the clock; True when the calendar date has changed since the last call.

        The next day is built ahead of the jump. Until a day is there `loaded` is None.
        """
        left_s, coming = self._clock.to_jump()
        if left_s < BUILD_AHEAD_S:
            self._build(coming)
        today = ist_date(self._clock.now())
        changed, self.calendar_date = today != self.calendar_date, today
        if changed and session_date(today) != self.date:
            self.date, self.loaded = session_date(today), None
        if self.loaded is None:
            self._take(self._build(self.date))
        return changed

    async def current(self) -> Loaded:
        """The day the clock is in, waiting for it if it is being built."""
        while self.loaded is None:
            wanted = self.date
            loaded = await asyncio.shield(self._build(wanted))
            if wanted == self.date:
                self.loaded = loaded
        return self.loaded

    def close(self) -> None:
        """Forget what is under way."""
        for task in self._building.values():
            task.cancel()
        self._building.clear()

    def _take(self, task: asyncio.Task[Loaded]) -> None:
        if task.done():
            self.loaded = task.result()  # raises what went wrong: an exchange without a day cannot go on
            self._building = {day: task for day, task in self._building.items() if day == self.date}

    def _build(self, day: date) -> asyncio.Task[Loaded]:
        if day not in self._building:
            work = self._workers.run(lambda: load_day(self._market, day), needed=True)
            self._building[day] = asyncio.ensure_future(work)
        return self._building[day]


def session_date(day: date) -> date:
    """`day` if it is a trading day, else the one before: a weekend shows Friday's last state."""
    return day if sessions.is_trading_day(day) else sessions.previous_trading_day(day)


def load_day(market: Market, day: date) -> Loaded:
    """Everything the server needs of one trading day; takes as long as the market takes."""
    instruments = list(market.instruments(day))
    exchanges = sorted({instrument.exchange for instrument in instruments})
    dumps = {name: [i for i in instruments if i.exchange == name] for name in exchanges} | {"": instruments}
    prices = market.day(day)
    # Here, on a worker: the first subscriber would have to wait for the option chains on the stream's own loop.
    prices.warm()
    return Loaded(
        prices,
        instruments,
        {instrument.key: instrument for instrument in instruments},
        {instrument.instrument_token: instrument for instrument in instruments},
        {name: zipped(instruments_csv(rows)) for name, rows in dumps.items()},
    )


def zipped(data: bytes) -> tuple[bytes, bytes]:
    """`data` and its gzip, the same bytes every time."""
    return data, gzip.compress(data, 6, mtime=0)


def instruments_csv(instruments: list[Instrument]) -> bytes:
    """Kite's instruments dump of these rows."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([_cell(getattr(row, name)) for name in CSV_COLUMNS] for row in instruments)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else value
