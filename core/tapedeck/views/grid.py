"""The layout of a live page: a table, details at its side, the market below; tabs on a narrow screen."""

from __future__ import annotations

import panel as pn
from panel.viewable import Viewable

from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import GRID_CSS, LISTS_CSS, TILE_CSS

_TABS = (("watch", "Watchlist"), ("context", "Details"), ("dock", "Market"))


def market_grid(*, lists: Viewable, table: Viewable, context: Viewable, dock: Viewable) -> pn.Column:
    """The parts of the Market page in their places; `js/grid.js` opens, shuts and sizes them."""
    for part, name in ((lists, "lists"), (table, "table"), (context, "context"), (dock, "dock")):
        part.css_classes = [*(part.css_classes or []), f"td-{name}"]
    return pn.Column(
        _tabs(), lists, table, context, _splitter(), dock,
        tags=[target_tag("grid")], stylesheets=[GRID_CSS], css_classes=["td-grid"], margin=0,
        sizing_mode="stretch_both",
    )  # fmt: skip


def _tabs() -> pn.pane.HTML:
    buttons = "".join(f'<button role="tab" data-tab="{name}">{title}</button>' for name, title in _TABS)
    tabs = f'<div class="tabs" role="tablist" aria-label="Parts of the page">{buttons}</div>'
    return _html(f'<div class="lists narrow">{tabs}</div>', "td-tabs")


def _splitter() -> pn.pane.HTML:
    html = (
        '<div class="splitter" data-splitter role="separator" tabindex="0" aria-orientation="horizontal" '
        'aria-label="Height of the market panel: arrow keys" aria-valuenow="50"></div>'
    )
    return _html(html, "td-splitter")


def _html(html: str, name: str) -> pn.pane.HTML:
    return pn.pane.HTML(
        html, tags=[target_tag("part")], stylesheets=[TILE_CSS, LISTS_CSS], margin=0, css_classes=[name],
        sizing_mode="stretch_width",
    )  # fmt: skip
