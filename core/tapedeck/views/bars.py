"""App bar and status strip: plain elements that the page's relay client fills in.

`data-key` marks a tile of one instrument, `data-field` a number inside it, `data-td` a status text, `data-act`
a button; `js/bars.js` writes and listens. What is not known yet is an empty element of its final size.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    ("ticks", "ticks/s", "ticks a second from the exchange", 7),
    ("frames", "frames/s", "frames a second from the desk to this page", 4),
    ("worst", "worst age", "longest silence of the feed within the last minute", 6),
    ("viewers", "viewers", "pages and programs that listen to this desk", 3),
    ("connections", "upstream", "connections to the exchange open now; never more than one", 1),
    ("refused", "refused", "packets that could not be read", 3),
    ("cpu", "CPU", "of one core, used by the desk's server process", 5),
)

#: Buttons of the app bar: action, label with its key, sign.
_BUTTONS = (
    ("density", "Row height (S)", '<path d="M3 4.5h12M3 9h12M3 13.5h12"/>'),
    ("palette", "Colours for colour-blind eyes", '<circle cx="7" cy="9" r="4.2"/><circle cx="11" cy="9" r="4.2"/>'),
    ("theme", "Dark or light (T)", '<circle cx="9" cy="9" r="5.5"/>'
     '<path d="M9 3.5a5.5 5.5 0 0 0 0 11z" fill="currentColor"/>'),
    ("help", "Keyboard (?)", '<path d="M6.6 7a2.4 2.4 0 1 1 3.4 2.2c-.7.3-1 .8-1 1.6M9 13.4v.2"/>'),
)  # fmt: skip


def brand() -> pn.pane.HTML:
    """Name and sign at the left of the app bar."""
    return _bar(f'<a class="brand" href="./">{LOGO}<h1>Tapedeck</h1></a>', stretch=False)


def app_bar(tape: Mapping[str, str], segments: Mapping[str, str], *, source: str, simulated: bool) -> pn.pane.HTML:
    """Index tape, SIMULATED badge, phase with every segment's countdown, feed, login, clock and buttons.

    `tape` maps `EXCHANGE:TRADINGSYMBOL`, `segments` the market's segments to the name shown.
    """
    on = ' data-state="on"' if simulated else ""
    return _bar(
        f'<div class="top"><div class="tape">{"".join(_tile(key, name) for key, name in tape.items())}</div>'
        f'<div class="right"><span class="badge simulated" data-td="simulated"{on} title="{escape(source)}">'
        "<span>SIMULATED</span></span>"
        '<span class="badge replay" data-td="replay"><span>REPLAY</span></span>'
        '<button class="badge phase" data-opens-phases aria-expanded="false">'
        '<span data-td="phase">—</span><span data-td="phase-next"></span><span data-td="phase-left"></span></button>'
        '<span class="badge feed"><i></i><span data-td="feed">CONNECTING</span>'
        '<span data-td="feed-age"></span></span>'
        '<button class="login" data-td="login" data-act="login"></button>'
        '<span class="clock" data-td="clock">--:--:--</span><span class="clock-date" data-td="date"></span>'
        f'<span class="icons">{"".join(_button(*one) for one in _BUTTONS)}</span></div></div>'
        f"{_phases(segments)}"
        '<div class="watermark" data-td="watermark" aria-hidden="true"></div>'
    )


def status_strip(segments: Mapping[str, str], *, source: str) -> pn.pane.HTML:
    """The 24 px strip at the foot: how busy and how healthy the desk is, and each segment's market status."""
    counts = "".join(
        f'<span title="{hint}">{label} <b data-td="{name}" style="min-width:{width}ch"></b></span>'
        for name, label, hint, width in COUNTS
    )
    phases = "".join(
        f'<span>{escape(label)} <b data-td="segment-{escape(name)}"></b></span>' for name, label in segments.items()
    )
    return _bar(
        f'<div class="strip" role="group" aria-label="Status">{counts}'
        '<span class="source" title="where the numbers come from">source '
        f'<b data-td="source">{escape(source)}</b></span>'
        '<span class="saved" data-td="saved" role="status"></span>'
        '<button class="reload" data-td="reload" data-act="reload" '
        'title="numbers stay live; menus and layouts need a new session">session ended · reload</button>'
        '<span class="notice" data-td="notice" role="status"></span>'
        f'<div class="segments">{phases}</div>'
        '<a class="way" href="./system" title="settings, login, feed, sessions, quota ( , )">System</a></div>'
    )


def _tile(key: str, name: str) -> str:
    kind = ' class="vix"' if key.endswith("VIX") else ""
    return (
        f'<button{kind} data-key="{escape(key)}" data-mode="loading"><b>{escape(name)}</b>'
        '<span data-field="last_price"></span><span data-field="percent"></span></button>'
    )


def _button(act: str, label: str, sign: str) -> str:
    return (
        f'<button class="icon" data-act="{act}" title="{label}" aria-label="{label}"><svg viewBox="0 0 18 18" '
        'fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" aria-hidden="true">'
        f"{sign}</svg></button>"
    )


def _phases(segments: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td data-td="segment-{name}"></td>'
        f'<td data-td="phase-name-{name}"></td><td data-td="phase-left-{name}"></td>'
        f'<td data-td="phase-next-{name}"></td></tr>'
        for name, label in segments.items()
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Market", "Status", "Phase", "Ends in", "Next"))
    return (
        '<div class="phases" data-phases popover role="region" aria-label="Market phases">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _bar(html: str, *, stretch: bool = True) -> pn.pane.HTML:
    sizing = {"sizing_mode": "stretch_width"} if stretch else {}
    return pn.pane.HTML(html, tags=[target_tag("bar")], stylesheets=[BAR_CSS], margin=0, **sizing)
