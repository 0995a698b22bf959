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

ENTRY = "relay"
TAG = "tapedeck:"
#: Where a page's head puts the promise of the module (`window[GLOBAL]`).
GLOBAL = "tapedeckClient"
_FOLDER = Path(__file__).parent / "js"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js"$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:const|class|function) (\w+)", re.MULTILINE)


def build_module() -> str:
    """Source of the whole relay client as one JavaScript module that exports `render`.

    Each file keeps a scope of its own: it becomes a function that returns what it exports, after those it imports.
    """
    return "\n".join(_scoped(name) for name in modules())


def modules(entry: str = ENTRY) -> list[str]:
    """Names of the files in `js/` that the entry needs, each after those it imports, the entry last."""
    found: dict[str, None] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"modules import each other in a circle: {' -> '.join((*path, name))}")
        for _, needed in _IMPORT.findall(_source(name)):
            add(needed, (*path, name))
        found.setdefault(name)

    add(entry, ())
    return list(found)


def _source(name: str) -> str:
    return (_FOLDER / f"{name}.js").read_text(encoding="utf-8")


def _scoped(name: str) -> str:
    source = _source(name)
    scope = _IMPORT.sub(lambda found: f"const {{{found[1].replace(' as ', ': ')}}} = {found[2]}_js", source)
    if name == ENTRY:
        return scope
    exported = ", ".join(_EXPORT.findall(source))
    body = re.sub(r"^export ", "", scope, flags=re.MULTILINE)
    return f"const {name}_js = (() => {{\n{body}\nreturn {{{exported}}}\n}})()"


def target_tag(kind: str, spec: Mapping[str, object] | None = None) -> str:
    """Tag that makes a Panel object a target of the page's relay client: kind `table` or `bar`."""
    return TAG + json.dumps({"kind": kind, **(spec or {})})


class RelayClient(pn.custom.JSComponent):
    """Opens the stream of the desk and hands its numbers to every tagged object of the page.

    Invisible but for the keyboard sheet. Python sees no tick: nothing is sent back.
    """

    tape = param.List(default=[], item_type=str, doc="Always subscribed, as EXCHANGE:TRADINGSYMBOL.")
    workspace = param.Dict(
        default={}, doc="The saved workspace (lists, columns, theme, layout) when the page was made."
    )
    rate = param.Number(default=4, bounds=(0.1, 10), doc="Frames a second at most.")
    url = param.String(default="api/stream", doc="Address of the stream, relative to the page or absolute.")
    source = param.String(default="", doc="Source of the data when the page was made.")
    simulated = param.Boolean(default=False, doc="Whether that source is a simulation.")

    _esm = build_module()
    _stylesheets: ClassVar[list[str]] = [RELAY_CSS]


class ServedRelayClient(RelayClient):
    """The same in a page whose head has fetched the module already, as a file of the server.

    A document then carries two lines instead of the module, the browser keeps the file, and Panel does not
    translate it from TypeScript anew at every start (a quarter of a second).
    """

    _esm = f"export const render = async (props) => (await window.{GLOBAL}).render(props)"
