"""When instruments of each class trade in a day, and how much in every minute: bank patterns and whole lots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tapedeck.sim.noise import PATTERNS, Bank, Rows, key, level_of, mixed, uniform
from tapedeck.sim.plan import Course, DayPlan
from tapedeck.sim.timeline import MATCHED_WITHIN, Hours

Array = np.ndarray[Any, Any]

#: Share of a day's volume in the opening auction, the closing auction and each print of the post-close session.
OPENING_SHARE, CLOSING_SHARE, POST_SHARE = (0.006, 0.016), (0.04, 0.09), 0.0008
#: Minutes after its start in which the post-close session prints.
POST_PRINTS = (0, 1, 3)
#: Seconds from the start of matching before the first instrument is matched.
_FIRST_MATCH = 3


class Ends(NamedTuple):
    """Prices of the auctions in rupees, by row."""

    open: Array
    close: Array


class Decided(NamedTuple):
    """Bank row and lots of every (row, minute), and the course with the auctions put in."""

    pattern: Array
    volume: Array
    course: Course | None


def decide(
    plan: DayPlan, classes: list[str], token: Array, rate: Array, volume: Array, *,
    course: Course | None = None, ends: Ends | None = None,
) -> Decided:  # fmt: skip
    """What rows of mixed classes do: `rate` in trades a second at noon, `volume` in lots for the day.

    Every trade is at least one lot, so that a day may come out above its `volume`.
    """
    shape = (len(token), plan.timeline.minutes)
    pattern, weight = np.zeros(shape, np.int16), np.zeros(shape)
    base = course.base.copy() if course else None
    still = np.ones(shape, bool)
    for cls in dict.fromkeys(classes):
        mine = np.array([c == cls for c in classes])
        hours = plan.timeline.hours[cls]
        pattern[mine], weight[mine] = _continuous(plan, hours, token[mine], rate[mine])
        _entry(plan, hours, token, rate, pattern, mine)
        for at, price in _auctions(plan, hours, token, pattern, weight, mine):
            if base is not None and ends is not None:
                base[mine, at] = getattr(ends, price)[mine]
                still[mine, at] = False
    lots = allocate(plan.bank, pattern, weight, volume)
    if course is None or base is None:
        return Decided(pattern, lots, None)
    course = replace(
        course, base=base, slope=course.slope * still, own=course.own * still, market=course.market * still
    )
    return Decided(pattern, lots, course)


def _chosen(plan: DayPlan, topic: int, token: Array) -> Array:
    """Which pattern of a level each (row, minute) uses."""
    minutes = np.arange(plan.timeline.minutes)
    found = mixed(key(plan.seed, topic, plan.ordinal), token[:, None], minutes[None, :])
    return (found % np.uint64(PATTERNS)).astype(np.int64)


def _continuous(plan: DayPlan, hours: Hours, token: Array, rate: Array) -> tuple[Array, Array]:
    shape = plan.volume_shape(hours)
    inside = shape > 0
    level = level_of(np.minimum(rate[:, None] * np.sqrt(shape), 0.97))
    pattern = np.where(inside, Rows.ACTIVE + level * PATTERNS + _chosen(plan, 6, token), Rows.SILENT)
    return pattern, plan.volume_weights(hours, token)


def _entry(plan: DayPlan, hours: Hours, token: Array, rate: Array, pattern: Array, mine: Array) -> None:
    """Moving quotes while orders are entered, up to the second at which that stops at random."""
    for begin, earliest, latest in hours.entry:
        room = max(latest - earliest, 1)
        end = earliest + int(mixed(key(plan.seed, 8, plan.ordinal), np.array([begin]))[0] % np.uint64(room))
        end = latest if latest == earliest else end
        first, last = begin // 60, end // 60
        level = level_of(np.minimum(0.4 * rate[mine], 0.3))[:, None]
        some = _chosen(plan, 9, token[mine])[:, first:last]
        pattern[mine, first:last] = Rows.ENTRY + level * PATTERNS + some
        if end % 60:
            pattern[mine, last] = Rows.CUT + end % 60 - 1


def _auctions(
    plan: DayPlan, hours: Hours, token: Array, pattern: Array, weight: Array, mine: Array
) -> list[tuple[Array, str]]:
    """Puts single prints at the opening, the uncrossing and after the close; returns where and at which price."""
    rows = np.flatnonzero(mine)
    total = weight[rows].cumsum(axis=1)[:, -1]
    luck = uniform(mixed(key(plan.seed, 10, plan.ordinal), token[rows][:, None], np.arange(2)[None, :]))
    found: list[tuple[Array, str]] = []
    prints = [(hours.opening, OPENING_SHARE, "open"), (hours.closing, CLOSING_SHARE, "close")]
    for n, (window, share, price) in enumerate(prints):
        if window is not None:
            second = window[0] + match_second(plan.seed, plan.ordinal, n, token[rows])
            pattern[rows, second // 60] = Rows.EXACT + second % 60
            weight[rows, second // 60] = total * (share[0] + (share[1] - share[0]) * luck[:, n])
            found.append((second // 60, price))
    if hours.post is not None:
        for n in POST_PRINTS:
            second = post_second(plan.seed, plan.ordinal, hours, n, token[rows])
            pattern[rows, second // 60] = Rows.EXACT + second % 60
            weight[rows, second // 60] = total * POST_SHARE
            found.append((second // 60, "close"))
    return found


def match_second(seed: int, ordinal: int, auction: int, token: Array) -> Array:
    """Seconds from the start of an auction's matching to each instrument's own print."""
    found = mixed(key(seed, 11, ordinal, auction), token) % np.uint64(MATCHED_WITHIN - _FIRST_MATCH)
    return _FIRST_MATCH + found.astype(np.int64)


def post_second(seed: int, ordinal: int, hours: Hours, number: int, token: Array) -> Array:
    """Second of the day of a print in the post-close session, one in its `number`-th minute."""
    begin, end = hours.post or (0, 60)
    minute = min(begin // 60 + number, end // 60 - 1)
    return minute * 60 + 3 + (mixed(key(seed, 12, ordinal, number), token) % np.uint64(54)).astype(np.int64)


def last_seconds(seed: int, ordinal: int, hours: Hours, token: Array) -> tuple[Array, Array]:
    """Seconds of the day of the last update and of the last trade, without working the day out."""
    if hours.close_print is not None:
        last = np.full(len(token), hours.close_print)
    elif hours.post is not None:
        last = post_second(seed, ordinal, hours, POST_PRINTS[-1], token)
    else:
        last = np.full(len(token), hours.last - 1)
    return last, last


def allocate(bank: Bank, pattern: Array, weight: Array, volume: Array) -> Array:
    """Whole lots of every minute: one per trade, the rest of the day's volume by weight, none where nothing trades."""
    trades = bank.trades[pattern]
    weight = np.where(trades > 0, weight, 0.0)
    running = np.cumsum(weight, axis=1)
    spare = np.maximum(volume - trades.sum(axis=1), 0)[:, None]
    share = running / np.maximum(running[:, -1:], 1e-300)
    done = np.floor(spare * np.minimum(share, 1.0) + 1e-6).astype(np.int64)
    return (trades + np.diff(done, axis=1, prepend=0)).astype(np.uint32)
