"""The market at a glance: breadth bar, movers, and a heat-map of an index by sector and approximate weight.

The page's relay client fills it from the desk's topic `overview` (`js/overview.js`, `js/movers.js`, `js/heatmap.js`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import Protocol

import panel as pn

from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import OVERVIEW_CSS, TILE_CSS
from tapedeck.views.tile import tile

#: Part of the breadth bar, its sign, what it counts.
_PARTS = (
    ("advances", "▲", "shares above their previous close"),
    ("unchanged", "=", "shares at their previous close"),
    ("declines", "▼", "shares below their previous close"),
    ("unknown", "?", "shares whose change is not known now, or that have not traded today"),
)
_DIRECTIONS = {"advances": "up", "declines": "down"}
#: Full colour is reached at this change, per cent; `js/heatmap.js` has the same.
DOMAIN_PCT = 3
_LEGEND_STEPS = 6


class _Member(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def sector(self) -> str: ...
    @property
    def weight(self) -> float: ...


class Members(Protocol):
    """An index: its name, the day its weights are of, whether they are approximate, and its members."""

    @property
    def name(self) -> str: ...
    @property
    def as_of(self) -> date: ...
    @property
    def approximate(self) -> bool: ...
    @property
    def members(self) -> Sequence[_Member]: ...


def overview_tiles(members: Members) -> pn.pane.HTML:
    """The overview as one object that fills its place; `members` are those of the heat-map's index."""
    spec = {
        "approximate": members.approximate,
        "members": [
            {"key": one.key, "symbol": one.symbol, "sector": one.sector, "weight": one.weight}
            for one in members.members
        ],
    }
    body = f'<div class="movers" data-movers></div>{_heat_map(members)}'
    return pn.pane.HTML(
        tile("overview", "Overview", body, controls=_breadth()),
        tags=[target_tag("overview", spec)],
        stylesheets=[TILE_CSS, OVERVIEW_CSS],
        sizing_mode="stretch_both",
        margin=0,
    )


def _breadth() -> str:
    segments = "".join(f'<i data-segment="{name}"></i>' for name, _, _ in _PARTS)
    bar = f'<div class="bar" data-breadth-bar role="img" aria-label="Breadth: no numbers">{segments}</div>'
    up, same, down, unknown = (_count(*part) for part in _PARTS)
    return (
        '<small class="universe"><b data-universe-size></b> <span data-universe></span></small>'
        f'<div class="breadth">{up}{bar}{down}{same}{unknown}</div>'
    )


def _count(name: str, sign: str, hint: str) -> str:
    """One count beside the bar; hidden from screen readers, to whom the bar says them all."""
    direction = _DIRECTIONS.get(name, "")
    return (
        f'<span class="count" data-direction="{direction}" title="{name}: {hint}" aria-hidden="true"><i>{sign}</i>'
        f'<b data-number data-direction="{direction}" data-count="{name}"></b>'
        f'<small data-share="{name}"></small></span>'
    )


def _heat_map(index: Members) -> str:
    by = "by approximate weight" if index.approximate else "by weight"
    long = f"{index.name} {by}, as of {index.as_of.day} {index.as_of:%b %Y}"
    short = f"{index.name} {by}"
    info = "".join(f'<span data-info="{name}"></span>' for name in ("symbol", "price", "percent", "rest"))
    return (
        f'<section class="heat" data-heat aria-label="{escape(long)}"><div class="heat-head">'
        f'<h3 title="{escape(long)}: colour by change since the previous close">{escape(short)}'
        f"<span>, as of {index.as_of.day} {index.as_of:%b %Y}</span></h3></div>"
        f'<div class="map" data-map role="group" aria-label="{escape(index.name)} heat-map"></div>'
        f'<div class="heat-foot"><div class="info" data-info-line>{info}</div>{_legend()}</div></section>'
    )


def _legend() -> str:
    """The scale of the colours, in equal steps from full to grey and on to full."""
    shares = [100 * step / _LEGEND_STEPS for step in range(_LEGEND_STEPS, 0, -1)]
    down = "".join(f'<i data-direction="down" style="--heat: {share:.0f}%"></i>' for share in shares)
    up = "".join(f'<i data-direction="up" style="--heat: {share:.0f}%"></i>' for share in reversed(shares))
    label = f"Colours from −{DOMAIN_PCT}% over grey at 0 to +{DOMAIN_PCT}%"
    return (
        f'<div class="legend" role="img" aria-label="{label}" title="{label}; stronger changes look the same">'
        f'<span>−{DOMAIN_PCT}%</span>{down}<i data-direction="">0</i>{up}<span>+{DOMAIN_PCT}%</span></div>'
    )
