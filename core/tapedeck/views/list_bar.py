"""Header of the watchlist: the named lists as tabs, what can be done with them, the filter and the order."""

from __future__ import annotations

from collections.abc import Sequence

import panel as pn

from tapedeck.views.live_table import WATCHLIST, LiveColumn, column_specs
from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import LISTS_CSS, TILE_CSS

#: The menu: action of `js/lists.js`, its words.
_MENU = (
    ("create", "New list…"),
    ("rename", "Rename…"),
    ("left", "Move left"),
    ("right", "Move right"),
    ("delete", "Delete list"),
    ("", ""),
    ("add", "Search and add…"),
    ("paste", "Paste symbols…"),
    ("import", "Import CSV…"),
    ("export", "Export CSV"),
    ("copy", "Copy as TSV"),
    ("", ""),
    ("columns", "Columns…"),
)


def list_bar(columns: Sequence[LiveColumn] = WATCHLIST) -> pn.pane.HTML:
    """The 28 px header above the live table; `columns` are those that can be chosen."""
    items = "".join(
        f'<button data-list-act="{act}">{words}</button>' if act else '<div class="rule"></div>' for act, words in _MENU
    )
    html = (
        '<div class="lists"><div class="tabs" data-tabs role="tablist" aria-label="Watchlists"></div>'
        '<button class="plus" data-list-act="create" title="New list" aria-label="New list">+</button>'
        '<button class="plus" data-menu-button aria-expanded="false" title="List: rename, paste, import, export" '
        'aria-label="List menu">⋯</button>'
        f'<div class="menu" data-menu popover>{items}<input type="file" accept=".csv,.tsv,.txt,text/csv" hidden '
        'tabindex="-1" aria-label="CSV file"></div>'
        '<button class="chip" data-clear-sort title="Click to clear the sort; the order is kept while the pointer is '
        'in the table"></button>'
        '<input data-td-filter type="search" placeholder="Filter  f" aria-label="Filter the watchlist" '
        'autocomplete="off" spellcheck="false">'
        '<button data-list-act="columns" title="Choose columns">Columns</button>'
        '<span class="panels" role="group" aria-label="Panels">'
        '<button data-panel="dock" aria-pressed="true" title="Market below the table (M)">Market</button>'
        '<button data-panel="context" aria-pressed="true" title="Details at the side (D)">Details</button></span></div>'
    )
    spec = {"columns": column_specs(columns)}
    return pn.pane.HTML(
        html, tags=[target_tag("lists", spec)], stylesheets=[TILE_CSS, LISTS_CSS], sizing_mode="stretch_width",
        height=28, margin=0, css_classes=["td-lists"],
    )  # fmt: skip
