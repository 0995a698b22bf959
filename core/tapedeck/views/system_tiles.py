"""The System page: settings, Kite login, feed, sessions, REST quota, storage and versions, a tile each.

Elements of their final size; the page's relay client asks the desk for its report and fills them (`js/system.js`).
"""

from __future__ import annotations

import panel as pn

from tapedeck.views.relay_client import target_tag
from tapedeck.views.style import SYSTEM_CSS, TILE_CSS
from tapedeck.views.tile import tile

#: Fact of the report, its label, what it means.
Fact = tuple[str, str, str]

LOGIN: tuple[Fact, ...] = (
    ("auth.state", "State", "where the login to Kite stands"),
    ("auth.since", "Since", "when it became so, Indian time"),
    ("auth.cause", "Cause", "why it became so"),
    ("auth.user_id", "Kite user", "whose login it is"),
    ("auth.expires_at", "Expires in", "a Kite token ends at 06:00 IST"),
    ("auth.last_success", "Last success", "when Kite last answered with this token"),
    ("auth.failures", "Failures since", "requests that failed since the last success"),
)
FEED: tuple[Fact, ...] = (
    ("feed.state", "State", "what the connection to the exchange does"),
    ("feed.age_s", "Age", "seconds since the exchange was last heard; numbers go blank over 5"),
    ("feed.reason", "Reason", "why it is not live"),
    ("feed.connections", "Connections", "made since the start of the desk; open is never more than one"),
    ("feed.subscribed", "Instruments", "subscribed on the connection, of at most 3,000"),
)
SESSIONS = (
    ("Market", "the segment, and whose hours: classes that do the same now share a row"),
    ("Status", "what may be traded now"),
    ("Phase", "where in its day the market is"),
    ("Left", "time until the status changes"),
    ("To", "what the status becomes, and when (Indian time)"),
)
_QUOTA_NOTE = "requests to Kite in the last second of how many are allowed; 1 a second for quotes, 3 history, 10 other"
#: In the header of the login's tile; the client shows it while there is a login to give up.
_LOGOUT = '<button data-logout hidden title="Give the day\'s Kite token up, here and at Kite">Log out of Kite</button>'


def system_tiles() -> pn.pane.HTML:
    """The whole page as one object that fills its place."""
    left = _settings() + tile("versions", "Versions", '<dl class="facts many" data-rows="versions"></dl>')
    middle = (
        tile("login", "Kite login", _facts(LOGIN) + _timeline("auth"), controls=_LOGOUT)
        + tile("quota", "REST quota", f'<div data-rows="quota" title="{_QUOTA_NOTE}"></div>')
        + tile("storage", "Storage", '<dl class="facts" data-rows="storage"></dl>')
    )
    right = tile("feed", "Feed", _facts(FEED) + _timeline("feed")) + tile(
        "sessions", "Sessions", _table("phases", SESSIONS)
    )
    columns = "".join(f'<div class="column">{column}</div>' for column in (left, middle, right))
    return pn.pane.HTML(
        f'<div class="system">{_head()}<div class="columns">{columns}</div>{_dialog()}</div>',
        tags=[target_tag("system")],
        stylesheets=[TILE_CSS, SYSTEM_CSS],
        sizing_mode="stretch_both",
        margin=0,
    )


def _head() -> str:
    return (
        '<div class="head"><h2>System</h2><span class="age" data-age></span>'
        '<span class="stale" data-stale role="status"></span>'
        '<span class="reasons" data-rows="not_ready"></span>'
        '<button data-recheck hidden title="Check every setting and the login again">Recheck</button>'
        '<button data-copy title="The whole page as text, for a bug report; no secrets are in it">Copy as text</button>'
        '<a class="button" data-account hidden href="login" title="Who is logged in to the desk here; log out"></a>'
        '<a class="button" href="./">Market</a></div>'
    )


def _settings() -> str:
    heads = (
        ("Level", "ok, warning or error; problems come first"),
        ("Setting", "its name in the environment and the files"),
        ("Value", "as it is used; secrets are hidden"),
        ("Source", "where the value is from"),
    )
    return tile("settings", "Settings", _table("settings", heads))


def _facts(facts: tuple[Fact, ...]) -> str:
    rows = "".join(
        f'<div title="{meaning}"><dt>{label}</dt><dd data-number data-fact="{name}"></dd></div>'
        for name, label, meaning in facts
    )
    return f'<dl class="facts">{rows}</dl>'


def _timeline(name: str) -> str:
    return (
        f'<h3>Newest changes</h3><ol class="timeline" data-rows="{name}.timeline" tabindex="0" '
        f'aria-label="Changes of the {"login" if name == "auth" else name}, newest first"></ol>'
    )


def _table(rows: str, heads: tuple[tuple[str, str], ...]) -> str:
    columns = "".join(f'<th scope="col" title="{meaning}">{title}</th>' for title, meaning in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{rows}"><table class="{rows}">'
        f'<thead><tr>{columns}</tr></thead><tbody data-rows="{rows}"></tbody></table></div>'
    )


def _dialog() -> str:
    """Shown where the browser does not let the page write to the clipboard."""
    return (
        '<dialog data-text-dialog aria-label="The page as text"><p>Press Ctrl+C (⌘C) to copy.</p>'
        '<textarea readonly spellcheck="false" aria-label="The page as text"></textarea>'
        "<button data-close>Close</button></dialog>"
    )
