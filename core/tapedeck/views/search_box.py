"""The symbol search of the app bar: any instrument of the day by a few letters, from the keyboard alone.

Elements only; what is typed is asked and shown by the page's relay client (`js/search.js`). A combobox with a
listbox (WAI-ARIA practices): the popup lies in the browser's top layer, so that no bar cuts it off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import panel as pn

from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import SEARCH_CSS

#: What the question's `type` may be, and its chip; "" asks for every type.
TYPES = {"": "All", "EQ": "Equity", "INDEX": "Index", "FUT": "Futures", "CE": "Calls", "PE": "Puts"}
#: What its `exchange` may be.
EXCHANGES = {"": "All", "NSE": "NSE", "BSE": "BSE", "NFO": "NFO", "BFO": "BFO", "MCX": "MCX", "CDS": "CDS"}
#: Headings of the result, in the order of its columns; the last one is the button's.
HEADINGS = ("Symbol", "Name", "Expiry", "Strike", "Lot", "Exchange", "Last", "Chg %", "")
#: As many characters as the desk accepts in a question.
LONGEST = 80

_GLASS = (
    '<svg viewBox="0 0 14 14" fill="none" stroke="currentColor" stroke-width="1.4" aria-hidden="true">'
    '<circle cx="6" cy="6" r="4.3"/><path d="M9.2 9.2 12.6 12.6"/></svg>'
)


def search_box(examples: Sequence[str] = ()) -> pn.pane.HTML:
    """The search field and its closed popup, for a bar 40 px high: 300 px wide, 220 below 1400 px of window.

    `examples` are questions to try, such as `infy fut`; the popup shows them while nothing is typed.
    """
    return pn.pane.HTML(
        f'<div class="search" data-search role="search">{_GLASS}'
        '<input data-search-input type="text" role="combobox" aria-label="Search instruments" '
        'aria-autocomplete="list" aria-expanded="false" aria-controls="search-list" '
        f'aria-describedby="search-help" aria-keyshortcuts="/" maxlength="{LONGEST}" autocomplete="off" '
        'placeholder="Search instruments" autocapitalize="off" spellcheck="false" enterkeyhint="go">'
        f'<kbd aria-hidden="true">/</kbd>{_popup(examples)}'
        '<span class="unseen" id="search-help">Enter opens, Shift and Enter adds to the current list, Tab reaches the '
        'filters by type and exchange.</span><span class="unseen" data-search-said role="status"></span></div>',
        tags=[target_tag("search", {"examples": list(examples)})],
        stylesheets=[SEARCH_CSS],
        align="center",
        margin=(0, 8),
    )


def _popup(examples: Sequence[str]) -> str:
    narrow = " · ".join(f"<q>{escape(words)}</q>" for words in examples[:3])
    head = "".join(f"<span>{name}</span>" for name in HEADINGS)
    return (
        '<div class="popup" data-search-popup popover="manual">'
        f'<div class="filters">{_chips("type", "Type", TYPES)}{_chips("exchange", "Exchange", EXCHANGES)}</div>'
        f'<div class="head" aria-hidden="true">{head}</div>'
        '<div class="remark" data-search-remark></div>'
        '<div class="body"><ul id="search-list" data-search-list role="listbox" aria-label="Instruments"></ul>'
        '<div class="note" data-search-note hidden><p></p><button type="button" hidden></button></div></div>'
        f'<div class="hint">{f"Narrow with words: {narrow}" if narrow else ""}</div>'
        '<div class="foot"><span data-search-count></span><span class="keys" aria-hidden="true">'
        "<span><kbd>↑</kbd> <kbd>↓</kbd> move</span><span><kbd>Enter</kbd> open</span>"
        "<span><kbd>Shift</kbd> <kbd>Enter</kbd> add to list</span><span><kbd>Esc</kbd> close</span></span></div></div>"
    )


def _chips(name: str, label: str, chips: Mapping[str, str]) -> str:
    buttons = "".join(
        f'<button type="button" role="radio" data-value="{value}" aria-checked="{str(not value).lower()}" '
        f'tabindex="{-1 if value else 0}">{text}</button>'
        for value, text in chips.items()
    )
    return (
        f'<div role="radiogroup" data-filter="{name}" aria-label="{label}">'
        f'<span aria-hidden="true">{label}</span>{buttons}</div>'
    )
