"""The browser's end of the relay: one small component per page, placed once.

The JavaScript lies in `js/`, one module per concern. A page needs it as a single module, both when a server
sends it and when a notebook embeds it, so the modules are joined here; `relay.js` is the entry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import panel as pn
import param

from tapedeck.views.style import RELAY_CSS

#: Joined in this order: each module uses only those before it.
MODULES = ("format", "wire", "market", "stream", "table", "bars", "keys", "relay")
TAG = "tapedeck:"
_FOLDER = Path(__file__).parent / "js"


def build_module() -> str:
    """Source of the whole relay client as one JavaScript module that exports `render`."""
    parts = []
    for name in MODULES:
        source = (_FOLDER / f"{name}.js").read_text(encoding="utf-8")
        source = re.sub(r'^import .* from "\./\w+\.js"\n', "", source, flags=re.MULTILINE)
        if name != MODULES[-1]:
            source = re.sub(r"^export ", "", source, flags=re.MULTILINE)
        parts.append(source)
    return "\n".join(parts)


def target_tag(kind: str, spec: Mapping[str, object] | None = None) -> str:
    """Tag that makes a Panel object a target of the page's relay client: kind `table` or `bar`."""
    return TAG + json.dumps({"kind": kind, **(spec or {})})


class RelayClient(pn.custom.JSComponent):
    """Opens the stream of the desk and hands its numbers to every tagged object of the page.

    Invisible but for the keyboard sheet. Python sees no tick: nothing is sent back.
    """

    keys = param.List(default=[], item_type=str, doc="What to subscribe to, as EXCHANGE:TRADINGSYMBOL.")
    rate = param.Number(default=4, bounds=(0.1, 10), doc="Frames a second at most.")
    url = param.String(default="api/stream", doc="Address of the stream, relative to the page or absolute.")
    source = param.String(default="", doc="Source of the data when the page was made.")
    simulated = param.Boolean(default=False, doc="Whether that source is a simulation.")

    _esm = build_module()
    _stylesheets: ClassVar[list[str]] = [RELAY_CSS]
