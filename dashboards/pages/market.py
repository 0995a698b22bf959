"""The Market page: watchlists, the selected instrument and the whole market, live."""

from __future__ import annotations

from panel.viewable import Viewable

from dashboards.live import Desk
from tapedeck.index_members import nifty50
from tapedeck.views.detail import detail_panel
from tapedeck.views.grid import market_grid
from tapedeck.views.list_bar import list_bar
from tapedeck.views.live_table import live_table
from tapedeck.views.overview_tiles import overview_tiles


def page(_desk: Desk) -> Viewable:
    """The watchlists of the desk with what belongs to them. The browser makes the rows of whichever list it shows."""
    return market_grid(
        lists=list_bar(),
        table=live_table(()),
        context=detail_panel(),
        dock=overview_tiles(nifty50()),
    )
