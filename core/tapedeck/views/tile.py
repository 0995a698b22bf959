"""The frame every tile has: a 28 px header with its name, room for controls and a chip, and a body."""

from __future__ import annotations

from html import escape


def tile(name: str, title: str, body: str, *, controls: str = "", detail: str = "") -> str:
    """HTML of a tile, loading until the page's relay client says otherwise.

    `body` and `controls` are HTML; the client paints state, chip and replay clock (`js/tiles.js`).
    """
    small = f"<small>{escape(detail)}</small>" if detail else ""
    return (
        f'<section class="tile" data-tile="{escape(name)}" data-mode="loading" aria-label="{escape(title)}">'
        f'<header><h2>{escape(title)}</h2>{small}{controls}<span class="chip" data-chip></span></header>'
        f'<div class="body">{body}</div><div class="watermark" data-watermark aria-hidden="true"></div></section>'
    )
