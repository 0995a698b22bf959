"""The pages by route and the shell around each of them."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn
import panel_material_ui as pmui
from panel.io.resources import LOCAL_DIST
from panel.viewable import Viewable

from dashboards import theme
from dashboards.live import Desk, page_bar, page_strip, relay_client
from dashboards.pages import market, system

#: Route -> page. A page is a function of the desk.
PAGES: dict[str, Callable[[Desk], Viewable]] = {"/": market.page, "/system": system.page}


def build(desk: Desk) -> dict[str, Callable[[], Viewable]]:
    """What the server serves: for each route a closure that makes one session's page.

    A closure, because Panel shows the repr of a `functools.partial` instead of calling it.
    """
    pn.extension("tabulator", notifications=False, disconnect_notification="", ready_notification="")
    sessions = {route: _session(desk, page) for route, page in PAGES.items()}
    for make in sessions.values():
        make()  # once for nobody: what is made only once is made before a viewer waits for it
    return sessions


def _session(desk: Desk, page: Callable[[Desk], Viewable]) -> Callable[[], Viewable]:
    def session() -> Viewable:
        _serve_styles_from_here()
        return shell(desk, page(desk))

    return session


def _serve_styles_from_here() -> None:
    """Let Panel's stylesheets come from this server also when the browser's websocket makes the session.

    That happens when the page took so long to start that its session had been given up; Panel 1.9 would then name
    its CDN (`Reactive._get_properties`).
    """
    if pn.state.curdoc is not None:
        pn.state.curdoc.template_variables.setdefault("dist_url", LOCAL_DIST)


def shell(desk: Desk, *content: Viewable) -> pmui.Page:
    """App bar, `content` and status strip, with the one relay client of the page."""
    page = pmui.Page(
        title="",
        meta_title="Tapedeck",
        meta_name="Tapedeck",
        favicon=theme.FAVICON,
        theme=desk.workspace.document()["theme"],
        theme_toggle=False,
        theme_config=theme.THEME_CONFIG,
        template=theme.TEMPLATE,
        busy_indicator=None,
        header=[*page_bar(desk), relay_client(desk)],
        main=[pn.Column(*content, page_strip(desk), sizing_mode="stretch_both", margin=0)],
        stylesheets=[theme.PAGE_CSS],
        sx=theme.PAGE_SX,
    )
    _forget_busy(page)
    return page


def begin_sweep() -> None:
    """Start Panel's process-wide sweep of busy counters here, on the loop and in no session.

    Panel 1.9 starts it with the first event of the first session, whose document it would then keep for ever
    (`state._schedule_busy_cleanup`: a task holds the context it was made in).
    """
    pn.state._schedule_busy_cleanup()


def _forget_busy(page: pmui.Page) -> None:
    """Take away the page's watcher on Panel's process-wide `state.busy`: it would keep every closed page alive.

    panel-material-ui sets it in `Page.__init__` (seen in 0.16.6); nothing here shows a busy indicator.
    """
    for watcher in list(pn.state.param.watchers.get("busy", {}).get("value", [])):
        if getattr(getattr(watcher.fn, "__self__", None), "self", None) is page:
            pn.state.param.unwatch(watcher)
