"""One day as it was decided beforehand: the latent price of every share at each minute, pinned to open and close.

State: the day's random draws and the latent paths worked out so far (they never change).

A price inside a minute is the straight line between its two ends, plus a bridge of the share's own and one of the
whole market's (`noise.Bank.bridge`), so that any second can be worked out without the ones before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tapedeck.sim.noise import BRIDGES, SECONDS, Bank, bell, generator, key, mixed
from tapedeck.sim.prices import Daily, sectors
from tapedeck.sim.timeline import Hours, Timeline, build_timeline
from tapedeck.sim.universe import Index, Universe

Array = np.ndarray[Any, Any]

#: Seconds before the end of the session over which the closing price of a share without auction is averaged.
VWAP_SECONDS = 1800
#: Standard deviation, as a share of a day's, of the move between a closing auction and the end of derivatives.
_AFTER_CLOSE = 0.06
_FRACTION = (np.arange(SECONDS) + 1) / SECONDS
_PER_ROW = ("base", "slope", "own", "market", "own_bridge")


@dataclass(frozen=True)
class Course:
    """Latent prices of some rows by minute, rupees: the value at each minute's end is the next one's `base`.

    At second `s` of minute `m` it is `base + slope * (s + 1) / 60 + own * bridge[own_bridge] + market *
    bridge[market_bridge]`, the market's bridge being the same for every row.
    """

    base: Array
    slope: Array
    own: Array
    market: Array
    own_bridge: Array
    market_bridge: Array
    bridge: Array

    def prices(self, row: Array, minute: Array, second: Array) -> Array:
        """Latent prices in rupees; all arguments are equally long."""
        price = self.base[row, minute] + self.slope[row, minute] * _FRACTION[second]
        price = price + self.own[row, minute] * self.bridge[self.own_bridge[row, minute], second]
        return price + self.market[row, minute] * self.bridge[self.market_bridge[minute], second]

    def whole_minutes(self, row: int, minute: Array) -> Array:
        """Latent prices in rupees of every second of some minutes of a row, (minutes, 60)."""
        at = minute[:, None]
        price = self.base[row, at] + self.slope[row, at] * _FRACTION
        price = price + self.own[row, at] * self.bridge[self.own_bridge[row, minute]]
        return price + self.market[row, at] * self.bridge[self.market_bridge[minute]]

    def scaled(self, factor: Array) -> Course:
        """The course times a factor per row."""
        f = factor[:, None]
        return replace(self, base=self.base * f, slope=self.slope * f, own=self.own * f, market=self.market * f)


def stacked(courses: list[Course]) -> Course:
    """Several courses of one day as one, row after row."""
    parts = {name: np.concatenate([getattr(c, name) for c in courses]) for name in _PER_ROW}
    return replace(courses[0], **parts)


class DayPlan:
    """Everything about a day that does not depend on who asks."""

    def __init__(self, universe: Universe, daily: Daily, bank: Bank, seed: int, number: int) -> None:
        self.universe, self.daily, self.bank, self.seed = universe, daily, bank, seed
        self.number = number
        self.date = daily.days[number]
        self.ordinal = self.date.toordinal()
        self.timeline: Timeline = build_timeline(self.date)
        minutes = self.timeline.minutes
        _, self._sector = sectors(universe)
        count = 1 + int(self._sector.max()) + 1 + len(universe.stocks)
        self._draws = generator(seed, 4, self.ordinal).standard_normal((count, minutes + 2))
        self.market_bridge = self.bridges(0)[0]
        self._prepare()

    def _prepare(self) -> None:
        """The shape of the day: how variance and volume are spread over its minutes."""
        minutes, shares = self.timeline.minutes, self.timeline.hours["cas"]
        after = self.timeline.hours["option"].last
        self.pin = (shares.closing[0] if shares.closing else shares.last) // 60
        self.end = max(after // 60, self.pin)
        self.variance = np.zeros(minutes)
        shape = smile(shares, minutes, 1.6, 0.5)
        if shares.closing:  # prices go on moving, unseen, while the shares are in their auction
            hidden = slice(shares.last // 60, self.pin)
            shape[hidden] = 0.6
        shape[self.pin :] = 0.0
        self.variance[:] = shape / shape.cumsum()[-1]
        self.clock = np.concatenate([[0.0], np.cumsum(self.variance)])
        self.late = np.zeros(minutes)
        self.late[self.pin : self.end] = 1.0 / max(self.end - self.pin, 1)

    def bridges(self, name: int | Array) -> Array:
        """Which bridge each minute of a row uses, (rows, minutes); `name` is the row's number or token."""
        names = np.atleast_1d(np.asarray(name))[:, None]
        found = mixed(key(self.seed, 5, self.ordinal), names, np.arange(self.timeline.minutes)[None, :])
        return (found % np.uint64(BRIDGES)).astype(np.int16)

    def latent(self, rows: Array) -> Array:
        """Latent price of shares at every minute's start and at the end of the last, (rows, minutes + 1) rupees."""
        daily, n, minutes = self.daily, self.number, self.timeline.minutes
        beta = np.array([self.universe.stocks[r].beta for r in rows])[:, None]
        first = 1 + int(self._sector.max()) + 1
        draws = self._draws[:, :minutes]
        sector = self._sector[rows]
        moves = beta * daily.sigma_market[n] * draws[:1]
        moves = moves + daily.sigma_sector[n][sector][:, None] * draws[1 + sector]
        moves = moves + daily.sigma_own[n][rows][:, None] * draws[first + rows]
        walk = np.zeros((len(rows), minutes + 1))
        np.cumsum(moves * np.sqrt(self.variance), axis=1, out=walk[:, 1:])
        opened, closed = daily.open[n][rows][:, None], daily.close[n][rows][:, None]
        pull = np.log(closed / opened) - walk[:, -1:]
        path = opened * np.exp(walk + self.clock * pull)
        tokens = np.array([self.universe.stocks[r].instrument_token for r in rows])
        auction = np.array([self.universe.stocks[r].lot > 0 for r in rows])
        for cls, mine in (("cas", auction), ("other", ~auction)):
            if mine.any():
                path[mine] = self._settled(path[mine], closed[mine], self.timeline.hours[cls], tokens[mine])
        wander = np.zeros((len(rows), minutes + 1))
        np.cumsum(moves * np.sqrt(self.late), axis=1, out=wander[:, 1:])
        done = np.concatenate([[0.0], np.cumsum(self.late)])
        path *= np.exp(_AFTER_CLOSE * (wander - done * wander[:, -1:]))
        return self._before(path, daily.previous[n][rows][:, None], opened)

    def _settled(self, path: Array, closed: Array, shares: Hours, tokens: Array) -> Array:
        """The path moved so that the close is the average of the last half hour, where there is no auction."""
        if shares.closing:
            return path
        last = shares.last // 60
        window = min(VWAP_SECONDS // 60, max((last - shares.first // 60) // 3, 1))
        weight = self.volume_weights(shares, tokens)[:, last - window : last]
        middle = 0.5 * (path[:, last - window : last] + path[:, last - window + 1 : last + 1])
        average = np.cumsum(middle * weight, axis=1)[:, -1:] / np.cumsum(weight, axis=1)[:, -1:]
        ramp = np.clip((np.arange(path.shape[1]) - (last - 2 * window)) / window, 0.0, 1.0)
        path = path * (1.0 + (closed / average - 1.0) * ramp)
        path[:, last + 1 :] = closed
        return path

    def _before(self, path: Array, previous: Array, opened: Array) -> Array:
        """The path with the indicative price of the pre-open, from the previous close to the open."""
        first = self.timeline.hours["cas"].first // 60
        if first:
            path[:, : first + 1] = opened
            entry = self.timeline.hours["cas"].entry
            begin, end = entry[0][0] // 60, max(max(e[2] for e in entry if e[2] <= first * 60) // 60, 1)
            progress = np.clip((np.arange(first) - begin) / max(end - begin, 1), 0.0, 1.0) ** 0.5
            path[:, :first] = previous + (opened - previous) * progress
        return path

    def share_course(self, rows: Array) -> Course:
        """Course of shares, given their positions in the universe."""
        daily, n = self.daily, self.number
        path = self.latent(rows)
        base = np.ascontiguousarray(path[:, :-1])
        spread = np.sqrt(self.variance + _AFTER_CLOSE**2 * self.late)
        beta = np.array([self.universe.stocks[r].beta for r in rows])[:, None]
        sector = daily.sigma_sector[n][self._sector[rows]][:, None]
        own = np.sqrt(sector**2 + daily.sigma_own[n][rows][:, None] ** 2)
        tokens = np.array([self.universe.stocks[r].instrument_token for r in rows])
        return Course(
            base=base,
            slope=np.diff(path, axis=1),
            own=base * own * spread,
            market=base * beta * daily.sigma_market[n] * spread,
            own_bridge=self.bridges(tokens),
            market_bridge=self.market_bridge,
            bridge=self.bank.bridge,
        )

    def vix(self) -> Array:
        """Volatility index at every minute's start and at the end of the last, per cent; up when the market falls."""
        daily, n = self.daily, self.number
        begin, end = np.log(daily.vix_open[n]), np.log(daily.vix_close[n])
        steps = np.sqrt(self.variance) * (
            -3.0 * daily.sigma_market[n] * self._draws[0, :-2] + 0.012 * self._draws[1, :-2]
        )
        walk = np.concatenate([[0.0], np.cumsum(steps)])
        return np.exp(begin + walk + self.clock * (end - begin - walk[-1]))

    def index_course(self, index: Index) -> Course:
        """Course of an index as its derivatives see it: its members' latent prices, without their own bridges."""
        parts = self.share_course(np.array(index.members))
        quantity = np.array(index.quantity)[:, None]
        base, slope, market = (
            np.cumsum(part * quantity, axis=0)[-1:] for part in (parts.base, parts.slope, parts.market)
        )
        none = np.zeros(base.shape, np.int16)
        return replace(parts, base=base, slope=slope, own=np.zeros_like(base), market=market, own_bridge=none)

    def volume_shape(self, hours: Hours) -> Array:
        """Relative volume of each minute of a class's continuous trading; zero elsewhere."""
        return smile(hours, self.timeline.minutes, 2.2, 1.4)

    def volume_weights(self, hours: Hours, token: Array) -> Array:
        """The same for each instrument, with its own ups and downs, (rows, minutes)."""
        shape = self.volume_shape(hours)
        noise = mixed(key(self.seed, 7, self.ordinal), token[:, None], np.arange(len(shape))[None, :])
        return shape * np.exp(0.45 * bell(noise))


def smile(hours: Hours, minutes: int, at_open: float, at_close: float) -> Array:
    """U-shape over the continuous minutes of a class: 1 in the middle of the day, more at both ends, 0 outside."""
    inside = np.zeros(minutes, bool)
    for begin, end in hours.continuous:
        inside[begin // 60 : -(-end // 60)] = True
    done = (np.cumsum(inside) - 0.5) / max(inside.sum(), 1)
    shape = 1.0 + at_open * np.exp(-done / 0.06) + at_close * np.exp(-(1.0 - done) / 0.09)
    return np.where(inside, shape, 0.0)
