"""App bar, tile header and status strip: plain elements that the page's relay client fills in.

`data-key` marks a tile of one instrument, `data-field` a number inside it, `data-td` a status text; the
writers are in `js/bars.js`. What is not known yet is an empty element of its final size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import panel as pn

from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import BAR_CSS

LOGO = (
    '<svg viewBox="0 0 18 18" fill="none" stroke="currentColor" aria-hidden="true">'
    '<rect x="1" y="3.5" width="16" height="11" rx="2" stroke-width="1.4"/>'
    '<circle cx="5.7" cy="9" r="2" stroke-width="1.4"/><circle cx="12.3" cy="9" r="2" stroke-width="1.4"/>'
    '<path d="M5.7 11h6.6" stroke-width="1.4"/></svg>'
)

#: What the strip counts: status text, label, meaning, reserved width in characters.
COUNTS = (
    ("messages", "msgs/s", "frames a second from the exchange", 4),
    ("ticks", "ticks/s", "ticks a second from the exchange", 6),
    ("frames", "frames/s", "frames a second from the desk to this page", 4),
    ("worst", "worst age", "longest silence of the feed within the last minute", 6),
    ("viewers", "viewers", "pages and programs that listen to this desk", 4),
    ("connections", "upstream", "connections to the exchange open now; never more than one", 2),
    ("refused", "refused", "packets that could not be read", 4),
    ("sequence", "seq", "number of the newest frame", 8),
)


def app_bar(tape: Mapping[str, str], *, source: str, simulated: bool) -> pn.pane.HTML:
    """The bar's content: name, index tape, clock, phase, feed and the SIMULATED badge.

    `tape` maps `EXCHANGE:TRADINGSYMBOL` to the short name shown.
    """
    on = ' data-state="on"' if simulated else ""
    return _bar(
        f'<div class="top"><a class="brand" href="./">{LOGO}Tapedeck</a>'
        f'<div class="tape">{"".join(_tile(key, name) for key, name in tape.items())}</div>'
        f'<div class="right"><span class="badge simulated" data-td="simulated"{on} title="{escape(source)}">'
        "<span>SIMULATED</span></span>"
        '<span class="badge replay" data-td="replay"><span>REPLAY</span></span>'
        '<span class="badge phase" role="status"><span data-td="phase">—</span>'
        '<span data-td="phase-next"></span><span data-td="phase-left"></span></span>'
        '<span class="badge feed" role="status"><i></i><span data-td="feed">CONNECTING</span>'
        '<span data-td="feed-age"></span></span>'
        '<span class="clock" data-td="clock">--:--:--</span><span class="clock-date" data-td="date"></span></div></div>'
    )


def tile_header(title: str, detail: str = "") -> pn.pane.HTML:
    """A tile's 28 px header: its name, a filter box, and on the right why it looks as it does."""
    return _bar(
        f'<div class="tile"><h1>{escape(title)}</h1><small>{escape(detail)}</small>'
        '<input data-td-filter type="search" placeholder="Filter  /" aria-label="Filter the watchlist" '
        'autocomplete="off" spellcheck="false">'
        '<button class="help" data-td-help title="Keyboard (?)" aria-label="Keyboard">?</button>'
        '<span class="chip" data-td="paused" title="the order is kept while the pointer is in the table">'
        "order paused</span>"
        '<span class="notice" data-td="notice" role="status"></span>'
        '<button class="reload" data-td="reload" data-td-reload '
        'title="numbers stay live; menus and layouts need a new session">session ended · reload</button></div>'
    )


def status_strip(segments: Sequence[str], *, source: str) -> pn.pane.HTML:
    """The 24 px strip at the foot: how busy and how healthy the desk is, and each segment's market status."""
    counts = "".join(
        f'<span title="{hint}">{label} <b data-td="{name}" style="min-width:{width}ch"></b></span>'
        for name, label, hint, width in COUNTS
    )
    phases = "".join(
        f'<span>{escape(name.replace("_", " "))} <b data-td="segment-{escape(name)}"></b></span>' for name in segments
    )
    return _bar(
        f'<div class="strip">{counts}<span title="where the numbers come from">source '
        f'<b data-td="source">{escape(source)}</b></span><div class="segments">{phases}</div></div>'
    )


def _tile(key: str, name: str) -> str:
    kind = ' class="vix"' if key.endswith("VIX") else ""
    return (
        f'<div{kind} data-key="{escape(key)}" data-mode="loading"><b>{escape(name)}</b>'
        '<span data-field="last_price"></span><span data-field="percent"></span></div>'
    )


def _bar(html: str) -> pn.pane.HTML:
    return pn.pane.HTML(html, tags=[target_tag("bar")], stylesheets=[BAR_CSS], sizing_mode="stretch_width", margin=0)
