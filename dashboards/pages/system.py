"""The System page: how the desk is set up and how it does, for whoever has to find out what is wrong."""

from __future__ import annotations

from panel.viewable import Viewable

from dashboards.live import Desk
from tapedeck.views.system_tiles import system_tiles


def page(_desk: Desk) -> Viewable:
    """The tiles of the page. The browser asks the desk for its report."""
    return system_tiles()
