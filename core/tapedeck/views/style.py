"""Colours, type and the stylesheets of the live components, in a dark and a light scheme.

Every text colour has a contrast of at least 4.5 on its background. Green and red mean price direction only;
health is accent, amber or grey; the two sides of a book, like calls and puts, are accent and violet.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "css"

#: Folder of the typeface that a server of pages offers to them.
FONTS = Path(__file__).parent / "fonts"
FONT = "Inter, 'Inter Variable', system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"

#: Design tokens by scheme; in a stylesheet `--td-<name>`.
TOKENS: dict[str, dict[str, str]] = {
    "dark": {
        "background": "#0F1318",
        "panel": "#151A21",
        "raised": "#1B212B",
        "line": "#252D38",
        "hairline": "#1A2028",
        "text": "#E6EDF3",
        "muted": "#8B98A9",
        "faint": "#7A8798",
        "up": "#3DBE8B",
        "down": "#FF6B6B",
        "accent": "#58A6FF",
        "warning": "#FFB454",
        "hover": "#171D25",
        "selected": "#16273C",
        "flash-up": "rgba(61, 190, 139, 0.15)",
        "flash-down": "rgba(255, 107, 107, 0.15)",
        "violet": "#B39DFF",
        "replay": "#E879F9",
    },
    "light": {
        "background": "#FFFFFF",
        "panel": "#F7F8FA",
        "raised": "#EEF1F5",
        "line": "#D9DFE7",
        "hairline": "#EDF0F4",
        "text": "#1F2933",
        "muted": "#5B6775",
        "faint": "#667282",
        "up": "#0B7A53",
        "down": "#C62F3B",
        "accent": "#2962FF",
        "warning": "#B45309",
        "hover": "#F4F6F9",
        "selected": "#F0F4FF",
        "flash-up": "rgba(11, 122, 83, 0.15)",
        "flash-down": "rgba(198, 47, 59, 0.15)",
        "violet": "#6D3FC0",
        "replay": "#A21CAF",
    },
}


def variables(scheme: str) -> str:
    """The tokens of `dark` or `light` as CSS declarations."""
    lines = [f"--td-{name}: {_value(scheme, name)};" for name in TOKENS[scheme]]
    return " ".join([*lines, f"--td-font: {FONT};", f"color-scheme: {scheme};"])


def _value(scheme: str, name: str) -> str:
    """A token; up and down give way to the viewer's palette (`js/shell.js`) where that is set."""
    value = TOKENS[scheme][name]
    if name in ("up", "down"):
        return f"var(--td-alt-{scheme}-{name}, {value})"
    if name in ("flash-up", "flash-down"):
        return f"color-mix(in srgb, var(--td-{name.removeprefix('flash-')}) 15%, transparent)"
    return value


#: Put on whatever encloses the live components: the scheme follows panel-material-ui's own class.
SCHEME_CSS = f"""
:host {{ {variables("dark")} }}
.mui-dark {{ {variables("dark")} }}
.mui-light {{ {variables("light")} }}
"""

TABLE_CSS = (_FOLDER / "table.css").read_text(encoding="utf-8")
BAR_CSS = (_FOLDER / "bars.css").read_text(encoding="utf-8")
SEARCH_CSS = (_FOLDER / "search.css").read_text(encoding="utf-8")
RELAY_CSS = (_FOLDER / "relay.css").read_text(encoding="utf-8")
TILE_CSS = (_FOLDER / "tile.css").read_text(encoding="utf-8")
DETAIL_CSS = (_FOLDER / "detail.css").read_text(encoding="utf-8")
OVERVIEW_CSS = (_FOLDER / "overview.css").read_text(encoding="utf-8")
LISTS_CSS = (_FOLDER / "lists.css").read_text(encoding="utf-8")
GRID_CSS = (_FOLDER / "grid.css").read_text(encoding="utf-8")
SYSTEM_CSS = (_FOLDER / "system.css").read_text(encoding="utf-8")
