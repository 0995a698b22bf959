"""Everything about the selected instrument: price, day chart, book, statistics of the day, facts.

Elements and an empty chart of their final size. The page's relay client fills the elements (`js/detail.js`,
`js/ladder.js`) and the chart (`js/source.js`, `js/daychart.js`); no number passes through Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import panel as pn
from bokeh.models import ColumnDataSource, GlyphRenderer, Line, Plot, Range1d, Toolbar

from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import DETAIL_CSS, TILE_CSS
from tapedeck.views.tile import tile

LEVELS = 5
#: Height of the day chart on a low screen; `css/detail.css` keeps its room free and makes it higher on a high one.
CHART_PX = 124

#: Name of the writer in `js/detail.js`, label, what it is.
Field = tuple[str, str, str]

#: Statistics of the day beside the range bar.
STATISTICS: tuple[Field, ...] = (
    ("open", "Open", "first price of the day, rupees"),
    ("close", "Prev close", "official close of the previous day, rupees"),
    ("average", "Avg price", "value traded by volume traded of the day (VWAP), rupees"),
    ("volume", "Volume", "units traded today"),
    ("value", "Value", "value traded today: volume x average price, rupees"),
    ("ltq", "Last qty", "size of the last trade, units"),
    ("gap", "Gap", "open against the previous close, per cent of the previous close"),
    ("range", "Range", "high less low, per cent of the previous close"),
)
#: More of them, for derivatives.
OPEN_INTEREST: tuple[Field, ...] = (
    ("oi", "OI", "open interest, units"),
    ("oi_change", "OI chg", "open interest less that at the end of the previous trading day"),
    ("oi_high", "OI high", "highest open interest of the day, units"),
    ("oi_low", "OI low", "lowest open interest of the day, units"),
)
FACTS: tuple[Field, ...] = (
    ("segment", "Segment", "segment of the exchange"),
    ("type", "Type", "what kind of instrument it is"),
    ("tick", "Tick size", "smallest step of the price, rupees"),
    ("lot", "Lot size", "units in a lot"),
    ("lot_value", "Lot value", "lot size x last price, rupees"),
    ("token", "Token", "instrument_token"),
)
CONTRACT: tuple[Field, ...] = (
    ("expiry", "Expiry", "last day of trading; (W) a weekly contract"),
    ("left", "Ends", "days until then"),
    ("strike", "Strike", "exercise price, rupees"),
    ("underlying", "Underlying", "what the contract is on"),
)
#: What the feed does not change.
FIXED = frozenset(name for name, _, _ in (*FACTS, *CONTRACT)) - {"lot_value"}

_COPY = (
    '<svg viewBox="0 0 14 14" fill="none" stroke="currentColor" stroke-width="1.2" aria-hidden="true">'
    '<rect x="4.6" y="4.6" width="7.4" height="7.4" rx="1"/><path d="M9.4 4.4V2H2v7.4h2.4"/></svg>'
)
_KEYS = "Select a row: <kbd>↑</kbd> <kbd>↓</kbd>, a click, or search with <kbd>/</kbd>"


def detail_panel() -> pn.Column:
    """The panel as a column that fills its place: one pane of text and a day chart over the room it leaves.

    288 px wide or more; below a height of 760 px the part under the chart scrolls.
    """
    plot = _day_chart()
    controls = (
        f'<button class="copy" data-copy aria-label="Copy the instrument\'s key" disabled>{_COPY}</button>'
        '<span class="said" data-said role="status"></span>'
    )
    text = pn.pane.HTML(
        tile("detail", "Instrument", _body(), controls=controls, detail=" "),
        tags=[target_tag("detail", {"chart": plot.id})], stylesheets=[TILE_CSS, DETAIL_CSS], margin=0,
        sizing_mode="stretch_both",
    )  # fmt: skip
    chart = pn.pane.Bokeh(plot, sizing_mode="stretch_both", margin=0)
    return pn.Column(
        text, chart, css_classes=["td-context"], stylesheets=[DETAIL_CSS], sizing_mode="stretch_both", margin=0
    )


def _day_chart() -> Plot:
    """An empty plot of one line. Axes and colours come in the browser: that halves what a session pays for it.

    `syncable=False`: whatever the browser does to these models stays there.
    """
    tag = target_tag("source", {"follow": "selected", "step": 60, "pace": 1000})
    source = ColumnDataSource(data={"x": [], "y": []}, tags=[tag], syncable=False)
    line = GlyphRenderer(
        data_source=source, glyph=Line(x="x", y="y", line_width=1.4, syncable=False), nonselection_glyph=None,
        muted_glyph=None, syncable=False,
    )  # fmt: skip
    return Plot(
        x_range=Range1d(start=0, end=1, syncable=False), y_range=Range1d(start=0, end=1, syncable=False),
        renderers=[line], title=None, toolbar=Toolbar(syncable=False), toolbar_location=None,
        background_fill_color=None, border_fill_color=None, outline_line_color=None,
        min_border_top=6, min_border_right=62, min_border_bottom=18, min_border_left=12, height=CHART_PX,
        sizing_mode="stretch_both", css_classes=["td-day"], syncable=False,
    )  # fmt: skip


def _body() -> str:
    return (
        '<div class="price"><div class="line quiet"><span class="name" data-fact="name"></span>'
        '<span class="age" data-field="age"></span></div><div class="line">'
        '<b data-field="last" data-number></b><span data-field="change" data-number></span>'
        '<span data-field="percent" data-number></span></div></div>'
        '<div class="day" data-day><span data-day-word></span><b class="pill" data-pill aria-hidden="true"></b></div>'
        '<div class="scroll" tabindex="0" role="group" aria-label="Book, day and facts">'
        f'<div class="parts">{_ladder()}{_statistics()}{_facts()}</div></div>'
        f'<div class="empty"><p>Nothing selected</p><p>{_KEYS}</p></div>'
    )


def _ladder() -> str:
    orders = '<th scope="col"><abbr title="Orders">Ord</abbr></th>'
    quantity = '<th scope="col"><abbr title="Quantity">Qty</abbr></th>'
    sides = '<th scope="col" class="buy">Buy</th><th scope="col" class="sell">Sell</th>'
    rows = "".join(f'<tr data-level="{n}">{_level("buy")}{_level("sell")}</tr>' for n in range(LEVELS))
    total = f'{_total("buy")}<th scope="row" colspan="2">five levels</th>{_total("sell")}'
    return (
        '<section class="part ladder" data-ladder aria-label="Order book">'
        '<h3>Depth <span data-book="spread"></span></h3>'
        "<table><caption>Five best levels to buy and to sell</caption>"
        f"<thead><tr>{orders}{quantity}{sides}{quantity}{orders}</tr></thead>"
        f"<tbody>{rows}</tbody><tfoot><tr>{total}</tr></tfoot></table>"
        '<div class="balance" data-balance><span data-book="buy" data-number></span>'
        '<i role="img" data-book="bar"><i></i></i><span data-book="sell" data-number></span></div>'
        '<p class="why" data-book="why" role="status"></p></section>'
    )


def _level(side: str) -> str:
    names = ("orders", "quantity", "price") if side == "buy" else ("price", "quantity", "orders")
    bar = f'<i class="{side}" aria-hidden="true"></i>'
    return "".join(
        f'<td data-side="{side}" data-cell="{name}">{bar if name == "price" else ""}<span data-number></span></td>'
        for name in names
    )


def _total(side: str) -> str:
    names = ("orders", "quantity") if side == "buy" else ("quantity", "orders")
    return "".join(f'<td data-total="{side}-{name}" data-number></td>' for name in names)


def _statistics() -> str:
    return (
        '<section class="part" aria-label="Statistics of the day"><h3>Day <span data-field="dated"></span></h3>'
        '<div class="span" data-span><span data-field="low" data-number title="lowest price of the day, rupees"></span>'
        '<i role="img" data-span-bar><i data-mark="average"></i><i data-mark="last"></i></i>'
        '<span data-field="high" data-number title="highest price of the day, rupees"></span></div>'
        f'{_grid(STATISTICS)}<div class="only-contract">{_grid(OPEN_INTEREST)}</div></section>'
    )


def _facts() -> str:
    return (
        f'<section class="part" aria-label="Facts"><h3>Facts</h3><div class="only-contract">{_grid(CONTRACT)}</div>'
        f'{_grid(FACTS)}<p class="from" data-fact="hours"></p><p class="from" data-fact="source"></p>'
        '<p class="from" data-fact="times"></p></section>'
    )


def _grid(fields: Iterable[Field]) -> str:
    return "<dl>{}</dl>".format("".join(_pair(*field) for field in fields))


def _pair(name: str, label: str, hint: str) -> str:
    """Label and value; a fact is what the feed cannot change."""
    mark = f'data-fact="{name}"' if name in FIXED else f'data-field="{name}" data-number'
    return f'<div title="{escape(hint)}"><dt data-label="{name}">{escape(label)}</dt><dd {mark}></dd></div>'
