"""The Market page: one watchlist, live."""

from __future__ import annotations

import panel as pn
from panel.viewable import Viewable

from dashboards.live import Desk, find_instruments
from tapedeck.views.bars import tile_header
from tapedeck.views.live_table import live_table


def page(desk: Desk) -> Viewable:
    """The watchlist of `desk` as one table that fills the page."""
    instruments = find_instruments(desk, desk.watchlist())
    return pn.Column(
        tile_header("Watchlist", f"{len(instruments)} instruments"),
        live_table(instruments),
        sizing_mode="stretch_both",
        margin=0,
    )
