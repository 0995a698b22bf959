"""A table of instruments that the page's relay client keeps live, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import panel as pn

from tapedeck.schema import Instrument
from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import TABLE_CSS

ROW_HEIGHT = 28


@dataclass(frozen=True)
class LiveColumn:
    """One column: the stream's field it shows, how it is written and from which table width on it is there.

    `shown_from` is a width in pixels, -1 when the column must be chosen; `fixed` columns are always there.
    """

    field: str
    title: str
    kind: str
    width: int
    shown_from: int = 0
    hint: str = ""
    fixed: bool = False


#: The watchlist's columns. `kind` names the writer in `js/columns.js`.
WATCHLIST: tuple[LiveColumn, ...] = (
    LiveColumn("symbol", "Symbol", "text", 160, fixed=True),
    LiveColumn("name", "Name", "text", 132, 1468, "company or underlying"),
    LiveColumn("last_price", "Last", "price", 88, hint="last traded price, rupees"),
    LiveColumn("change", "Chg", "change", 78, hint="last price less previous close"),
    LiveColumn("percent", "Chg %", "percent", 72, hint="change in per cent of the previous close"),
    LiveColumn("day_line", "Day", "spark", 112, 984, "last prices of the day; a gap is a gap"),
    LiveColumn("day_range", "Range", "range", 104, 872, "where the last price lies between the day's low and high"),
    LiveColumn("bid_quantity", "Bid qty", "quantity", 76, 1704, "quantity at the best bid"),
    LiveColumn("bid_price", "Bid", "price", 88, hint="best bid"),
    LiveColumn("ask_price", "Ask", "price", 88, hint="best ask"),
    LiveColumn("ask_quantity", "Ask qty", "quantity", 76, 1704, "quantity at the best ask"),
    LiveColumn("spread", "Spread", "price", 70, 1862, "best ask less best bid"),
    LiveColumn("open", "Open", "price", 88, 1248, "first price of the day"),
    LiveColumn("high", "High", "price", 88, 1160, "highest price of the day"),
    LiveColumn("low", "Low", "price", 88, 1160, "lowest price of the day"),
    LiveColumn("close", "Prev", "price", 88, 1336, "previous day's official close"),
    LiveColumn("volume_traded", "Volume", "quantity", 80, hint="traded today"),
    LiveColumn("average_traded_price", "Avg", "price", 84, 1552, "volume-weighted average price of the day"),
    LiveColumn("value", "Value ₹", "crore", 88, 1792, "volume times average price"),
    LiveColumn("oi", "OI", "quantity", 84, 1946, "open interest"),
    LiveColumn("oi_change", "OI chg", "signed", 84, 2030, "open interest less the previous day's closing one"),
    LiveColumn("oi_percent", "OI %", "growth", 76, -1, "change of open interest in per cent of the previous day's"),
    LiveColumn("last_traded_quantity", "LTQ", "quantity", 68, 2098, "size of the last trade"),
    LiveColumn("total_buy_quantity", "Buyers", "quantity", 84, 2182, "all pending buy orders"),
    LiveColumn("total_sell_quantity", "Sellers", "quantity", 84, 2266, "all pending sell orders"),
    LiveColumn("last_trade_time_ms", "Age", "age", 98, hint="time since the last trade; the date of an official close"),
)


def column_specs(columns: Iterable[LiveColumn]) -> list[dict[str, Any]]:
    """The columns as the browser reads them; it makes Tabulator's definitions of them (`js/columns.js`)."""
    return [asdict(column) | {"from": column.shown_from} for column in columns]


def live_table(
    instruments: Iterable[Instrument], *, columns: tuple[LiveColumn, ...] = WATCHLIST, **params: Any
) -> pn.widgets.Tabulator:
    """A Tabulator of `instruments`, one row each, empty until the page's relay client fills it.

    Its values never travel through Python: read numbers from the hub, not from the widget. `params` are
    Tabulator's own.
    """
    frame = _frame(list(instruments))
    spec = {"columns": column_specs(columns)}
    options: dict[str, Any] = {
        "show_index": False,
        "disabled": True,
        "selectable": False,  # rows are selected by key, in the browser (`js/selection.js`)
        "layout": "fit_columns",
        "theme_classes": ["td-live"],
        "hidden_columns": ["key", "search"],
        "configuration": {
            "rowHeight": ROW_HEIGHT,
            # Rows kept beyond the window, pixels: each of their cells costs the viewer as much as one in sight.
            "renderVerticalBuffer": 5 * ROW_HEIGHT,
            "movableRows": True,
            "placeholder": "This list is empty: search with / and Shift+Enter, or paste symbols from the ⋯ menu",
            "placeholderHeaderFilter": "Nothing in this list matches the filter",
        },
        "movable_columns": True,
        "sizing_mode": "stretch_both",
        "min_height": 120,
        "margin": 0,
    }
    return pn.widgets.Tabulator(
        frame, tags=[target_tag("table", spec)], stylesheets=[TABLE_CSS], **{**options, **params}
    )


def _frame(instruments: list[Instrument]) -> pd.DataFrame:
    """What Python knows of the rows. Columns of numbers live in the browser only: each would cost every session."""
    return pd.DataFrame(
        {
            "key": [i.key for i in instruments],
            "search": [f"{i.key} {i.name}".lower() for i in instruments],
            "symbol": [i.tradingsymbol for i in instruments],
            "name": [i.name for i in instruments],
        }
    )
