"""How the pages look: panel-material-ui's theme from the tokens, and the page's template with its skeleton."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from dashboards import client
from tapedeck.views.bars import LOGO
from tapedeck.views.style import FONT, FONTS, SCHEME_CSS, TOKENS, variables

APP_BAR_PX = 40
STRIP_PX = 24
ROW_PX = 28
#: Served beside the pages: the typeface, so that widths and figures are the same on every machine.
STATIC = {"assets": str(FONTS)}

FAVICON = "data:image/svg+xml," + quote(
    LOGO.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ').replace("currentColor", TOKENS["dark"]["accent"])
)


def _palette(scheme: str) -> dict[str, Any]:
    token = TOKENS[scheme]
    return {
        "palette": {
            "primary": {"main": token["accent"]},
            "background": {"default": token["background"], "paper": token["background"]},
            "text": {"primary": token["text"], "secondary": token["muted"]},
            "divider": token["line"],
            "warning": {"main": token["warning"]},
        },
        "typography": {"fontFamily": FONT, "fontSize": 13},
        "shape": {"borderRadius": 3},
    }


#: panel-material-ui reads the scheme it shows from here.
THEME_CONFIG = {"dark": _palette("dark"), "light": _palette("light")}

#: One 40 px bar without shadow; the same height again is what the page reserves below it.
PAGE_SX = {
    "& .MuiToolbar-root": {
        "minHeight": f"{APP_BAR_PX - 1}px !important",
        "height": f"{APP_BAR_PX - 1}px",
        "padding": "0 8px !important",
        "margin": "0 !important",
    },
    "& .MuiAppBar-root": {
        "backgroundColor": "var(--td-panel)",
        "backgroundImage": "none",
        "color": "var(--td-muted)",
        "boxShadow": "none",
        "borderBottom": "1px solid var(--td-line)",
    },
    "& .MuiAppBar-root .MuiIconButton-root": {"padding": "4px", "marginLeft": "8px"},
    "& .MuiAppBar-root .MuiSvgIcon-root": {"fontSize": "18px"},
    # busy_indicator=None does not reach the browser; the page is never busy: Python has nothing to do.
    "& .MuiLinearProgress-root": {"display": "none"},
    "& main.main": {"backgroundColor": "var(--td-background)", "paddingTop": "1px", "boxSizing": "border-box"},
}

PAGE_CSS = SCHEME_CSS

_SKELETON_ROWS = "".join("<div><i></i>" + "<b></b>" * 12 + "</div>" for _ in range(60))

#: The first thing painted: bar, rows and strip in their final places, before any script has run. The relay
#: client takes it away when the table stands; without scripts' help it says so.
TEMPLATE = (
    """{% extends "base.html" %}
{% block preamble %}{{ super() }}
    """
    + client.HEAD
    + """
{% endblock %}
{% block loader_css %}
  @font-face { font-family: "Inter"; font-style: normal; font-weight: 100 900; font-display: block;
    src: url("assets/inter-latin.woff2") format("woff2"); }
  html { """
    + variables("dark")
    + """ background: var(--td-background); }
  html[data-scheme=light] { """
    + variables("light")
    + """ }
  body, html body { background-color: var(--td-background); overflow: hidden; }
  #skeleton { position: fixed; inset: 0; z-index: 2000; background: var(--td-background); overflow: hidden;
    font: 13px/1 var(--td-font); color: var(--td-muted); }
  #skeleton header { height: 39px; border-bottom: 1px solid var(--td-line); background: var(--td-panel);
    display: flex; align-items: center; gap: 8px; padding: 0 8px; color: var(--td-text); font-weight: 700; }
  #skeleton header svg { width: 18px; height: 18px; }
  #skeleton nav { height: 28px; border-bottom: 1px solid var(--td-line); background: var(--td-panel); }
  #skeleton section { height: 24px; border-bottom: 1px solid var(--td-line); }
  #skeleton main div { height: 27px; border-bottom: 1px solid var(--td-hairline); display: flex;
    align-items: center; gap: 24px; padding: 0 8px; }
  #skeleton i, #skeleton b { height: 8px; border-radius: 2px; background: var(--td-raised); flex: 1; }
  #skeleton i { flex: 2; }
  #skeleton footer { position: absolute; bottom: 0; left: 0; right: 0; height: 23px; background: var(--td-panel);
    border-top: 1px solid var(--td-line); }
  #skeleton p { position: absolute; bottom: 40px; left: 0; right: 0; text-align: center; color: var(--td-warning);
    visibility: hidden; }
{% endblock %}
{% block loader %}
<div id="skeleton" aria-hidden="true"><header>"""
    + LOGO
    + """Tapedeck</header><nav></nav><section></section><main>"""
    + _SKELETON_ROWS
    + """</main><footer></footer><p>The page is taking long to start. Is the desk still running?</p></div>
<script>
  try { document.documentElement.dataset.scheme = localStorage.getItem("tapedeck.theme") || "dark" } catch {}
  setTimeout(() => {
    const words = document.querySelector("#skeleton p")
    if (words) words.style.visibility = "visible"
  }, 8000)
</script>
{% endblock %}
{% block loader_script %}{% endblock %}
"""
)
