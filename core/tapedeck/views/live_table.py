"""A table of instruments that the page's relay client keeps live, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import panel as pn
from panel.io.model import JSCode

from tapedeck.schema import Instrument
from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import TABLE_CSS

ROW_HEIGHT = 28


class LiveColumn(NamedTuple):
    """One column: the stream's field it shows, how it is written and from which table width on it is there."""

    field: str
    title: str
    kind: str
    width: int
    shown_from: int = 0
    hint: str = ""


#: The watchlist's columns. `kind` names the writer in `js/table.js`.
WATCHLIST: tuple[LiveColumn, ...] = (
    LiveColumn("symbol", "Symbol", "text", 124),
    LiveColumn("name", "Name", "text", 100),
    LiveColumn("last_price", "Last", "price", 92, hint="last traded price, rupees"),
    LiveColumn("change", "Chg", "change", 80, hint="last price less previous close"),
    LiveColumn("percent", "Chg %", "percent", 74, hint="change in per cent of the previous close"),
    LiveColumn("bid_quantity", "Bid qty", "quantity", 80, 1560, "quantity at the best bid"),
    LiveColumn("bid_price", "Bid", "price", 88, hint="best bid"),
    LiveColumn("ask_price", "Ask", "price", 88, hint="best ask"),
    LiveColumn("ask_quantity", "Ask qty", "quantity", 80, 1560, "quantity at the best ask"),
    LiveColumn("open", "Open", "price", 88),
    LiveColumn("high", "High", "price", 88),
    LiveColumn("low", "Low", "price", 88),
    LiveColumn("close", "Prev", "price", 88, hint="previous day's official close"),
    LiveColumn("volume_traded", "Volume", "quantity", 84, hint="traded today"),
    LiveColumn("average_traded_price", "Avg", "price", 84, hint="volume-weighted average price of the day"),
    LiveColumn("last_traded_quantity", "LTQ", "quantity", 76, 1760, "size of the last trade"),
    LiveColumn("total_buy_quantity", "Buyers", "quantity", 84, 1760, "all pending buy orders"),
    LiveColumn("total_sell_quantity", "Sellers", "quantity", 84, 1760, "all pending sell orders"),
    LiveColumn("last_trade_time_ms", "Age", "age", 98, hint="time since the last trade; the date of an official close"),
)

#: Asked by Tabulator whenever it makes a cell anew; the client then knows what to show.
_CELL_TEXT = JSCode("(cell) => cell.getTable().tapedeck?.cellText(cell) ?? ''")
#: An element, not a string: Tabulator would take a string as HTML, and names come from outside.
_TOOLTIP = JSCode("(event, cell) => cell.getTable().tapedeck?.tooltipElement(cell) ?? false")


def live_table(
    instruments: Iterable[Instrument], *, columns: tuple[LiveColumn, ...] = WATCHLIST, **params: Any
) -> pn.widgets.Tabulator:
    """A Tabulator of `instruments`, one row each, empty until the page's relay client fills it.

    Its values never travel through Python: read numbers from the hub, not from the widget. `params` are
    Tabulator's own.
    """
    frame = _frame(list(instruments), columns)
    spec = {"columns": [{"field": c.field, "kind": c.kind, "from": c.shown_from} for c in columns]}
    options: dict[str, Any] = {
        "show_index": False,
        "disabled": True,
        "selectable": 1,
        "layout": "fit_columns",
        "theme_classes": ["td-live"],
        "hidden_columns": ["key", "search"],
        "titles": {c.field: c.title for c in columns},
        "text_align": {c.field: "left" if c.kind == "text" else "right" for c in columns},
        "configuration": {"rowHeight": ROW_HEIGHT, "columnDefaults": {}, "columns": _definitions(columns)},
        "sizing_mode": "stretch_both",
        "min_height": 120,
        "margin": 0,
    }
    return pn.widgets.Tabulator(
        frame, tags=[target_tag("table", spec)], stylesheets=[TABLE_CSS], **{**options, **params}
    )


def _frame(instruments: list[Instrument], columns: tuple[LiveColumn, ...]) -> pd.DataFrame:
    texts = {
        "key": [i.key for i in instruments],
        "search": [f"{i.key} {i.name}".lower() for i in instruments],
        "symbol": [i.tradingsymbol for i in instruments],
        "name": [i.name for i in instruments],
    }
    numbers = {c.field: np.full(len(instruments), np.nan) for c in columns if c.kind != "text"}
    ordered = {c.field: numbers[c.field] if c.kind != "text" else texts[c.field] for c in columns}
    return pd.DataFrame({"key": texts["key"], "search": texts["search"], **ordered})


def _definitions(columns: tuple[LiveColumn, ...]) -> list[dict[str, Any]]:
    """Tabulator's column definitions: fixed widths that grow together, sorters that keep blanks last."""
    definitions: list[dict[str, Any]] = []
    for column in columns:
        text = column.kind == "text"
        definition: dict[str, Any] = {
            "field": column.field,
            "headerTooltip": column.hint or column.title,
            "headerHozAlign": "left" if text else "right",
            "minWidth": column.width,
            "widthGrow": 3 if column.field == "name" else 1,
            "tooltip": _TOOLTIP,
            "resizable": False,
        }
        if text:
            definition |= {"formatter": "plaintext"}
        else:
            definition |= {"formatter": _CELL_TEXT, "sorter": "number", "headerSortStartingDir": "desc"}
            definition["sorterParams"] = {"alignEmptyValues": "bottom"}
        definitions.append(definition)
    return definitions
