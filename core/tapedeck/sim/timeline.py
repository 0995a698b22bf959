"""What each class of instrument does in each second of a day, from the session calendar.

Times are whole seconds from the timeline's start. No hour is written down here: half days, evening sessions and
days in two parts follow the calendar.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from tapedeck import sessions
from tapedeck.clock import MINUTE, SECOND
from tapedeck.errors import CoverageWarning
from tapedeck.sessions import Span

#: Seconds before the end of order entry within which it stops at random.
RANDOM_LONG, RANDOM_SHORT = 120, 60
#: Seconds within which all instruments are matched once matching has begun.
MATCHED_WITHIN = 100

Window = tuple[int, int]


class Hours(NamedTuple):
    """The day of one class: windows in seconds, half-open.

    `entry` has (start, earliest end, latest end) of every order-entry phase; `opening` and `closing` are the
    windows in which the two auctions are matched, `post` trading at the closing price. None: does not happen.
    `open_print` and `close_print` are the seconds at which an index is published from its members' auctions.
    """

    entry: tuple[tuple[int, int, int], ...]
    opening: Window | None
    continuous: tuple[Window, ...]
    closing: Window | None
    post: Window | None
    open_print: int | None
    close_print: int | None

    @property
    def first(self) -> int:
        """Second in which continuous trading begins."""
        return self.continuous[0][0]

    @property
    def last(self) -> int:
        """Second at which continuous trading has ended."""
        return self.continuous[-1][1]


@dataclass(frozen=True)
class Timeline:
    """One day's grid of whole minutes and the hours of every class on it."""

    day: date
    start_ns: int
    minutes: int
    hours: dict[str, Hours]

    def second(self, ns: int) -> int:
        """Whole seconds from the start of the grid, never outside it."""
        return min(max((ns - self.start_ns) // SECOND, -1), self.minutes * 60 - 1)


#: The classes that are simulated, and the segment they belong to.
CLASSES = {
    "cas": "NSE_EQ",
    "other": "NSE_EQ",
    "index": "NSE_EQ",
    "future_m1": "NFO",
    "future_far": "NFO",
    "option": "NFO",
    "index_contract_expiring_today": "NFO",
    "index_future_expiring_today": "NFO",
}


def build_timeline(day: date) -> Timeline:
    """The grid and hours of a trading day.

    Raises
    ------
    ValueError
        If the day had no session.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)
        spans = {cls: sessions.spans(day, segment, cls) for cls, segment in CLASSES.items()}
    if not any(span.name == "LIVE" for span in spans["other"]):
        raise ValueError(f"{day} was not a trading day; choose one of sessions.trading_days(...)")
    start = min(s[0].start_ns for s in spans.values() if s) // MINUTE * MINUTE
    end = max(s[-1].end_ns for s in spans.values() if s)
    known = {cls: _hours(found, start) for cls, found in spans.items()}
    # An index stands still while the shares it is made of are in their auction, and is published after it.
    shares = known["cas"]
    close_print = (shares.closing[0] if shares.closing else shares.last) + MATCHED_WITHIN + 15
    open_print = shares.opening[0] + MATCHED_WITHIN + 10 if shares.opening else None
    known["index"] = shares._replace(post=None, open_print=open_print, close_print=close_print)
    minutes = -(-(end - start) // MINUTE)
    minutes = max(minutes, close_print // 60 + 1)
    return Timeline(day=day, start_ns=start, minutes=int(minutes), hours=known)


def _hours(spans: tuple[Span, ...], start: int) -> Hours:
    def window(span: Span) -> Window:
        return (span.start_ns - start) // SECOND, (span.end_ns - start) // SECOND

    live = _joined([window(s) for s in spans if s.name == "LIVE"])
    entry: list[tuple[int, int, int]] = []
    opening = closing = post = None
    for n, span in enumerate(spans):
        begin, end = window(span)
        if span.name == "POST_CLOSE" and span.sub == "post_close":
            post = (begin, end)
        if span.name not in ("PRE_OPEN", "CLOSING_AUCTION"):
            continue
        if span.sub == "" or "order_entry" in span.sub:
            more = n + 1 < len(spans) and "order_entry" in spans[n + 1].sub
            whole = span.sub == ""  # a pre-open without parts: its last two minutes are the matching
            stop = end - RANDOM_LONG if whole else end
            latest = 0 if more else RANDOM_LONG if "limit_only" in span.sub else RANDOM_SHORT
            entry.append((begin, stop - latest, stop))
            if not more:
                match = (stop, stop + MATCHED_WITHIN + 12)
                opening = opening or (match if span.name == "PRE_OPEN" else None)
                closing = match if span.name == "CLOSING_AUCTION" else closing
    return Hours(tuple(entry), opening, live, closing, post, None, None)


def _joined(windows: list[Window]) -> tuple[Window, ...]:
    out: list[Window] = []
    for begin, end in windows:
        if out and out[-1][1] == begin:
            out[-1] = (out[-1][0], end)
        else:
            out.append((begin, end))
    return tuple(out)
