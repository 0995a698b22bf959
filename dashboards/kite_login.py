"""The journey to Kite's login page and back: who set out, once and not long ago; and the page at its end.

State of `Journeys`: of every one under way the hash of its random state, whose it is and when it began.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from html import escape

from tapedeck.clock import Clock
from tapedeck.views.bars import LOGO
from tapedeck.views.style import variables

#: A login with password and second factor takes a minute or two; Kite's request token lives about as long.
JOURNEY_S = 300.0
#: Journeys under way; the oldest is given up.
MAX_JOURNEYS = 32


class Journeys:
    """The one-time states of logins under way. On one loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._under_way: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, owner: str) -> str:
        """A new state for `owner`, the login of the desk that sets out."""
        self._forget_old()
        while len(self._under_way) >= MAX_JOURNEYS:
            del self._under_way[next(iter(self._under_way))]
        state = secrets.token_urlsafe(24)
        self._under_way[_digest(state)] = (owner, self._clock.monotonic())
        return state

    def end(self, state: str, owner: str) -> str:
        """Why this way back is refused; empty when it is the end of a journey of `owner`, which is used up."""
        self._forget_old()
        if not state:
            return "the address had no state: begin with LOGIN on the desk's page"
        found = self._under_way.get(_digest(state))
        if found is None:
            return "this login was not begun here, took over five minutes or was used before: click LOGIN again"
        if found[0] != owner:
            # It stays: whoever began it may still come back.
            return "this login was begun in another browser: click LOGIN in this one"
        del self._under_way[_digest(state)]
        return ""

    def _forget_old(self) -> None:
        oldest = self._clock.monotonic() - JOURNEY_S
        self._under_way = {key: one for key, one in self._under_way.items() if one[1] > oldest}


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


#: Takes the request token out of the window's address and history before anything else, then closes the window.
_SCRIPT = 'history.replaceState(null, "", "/"); if (document.body.dataset.done) window.close()'
#: The terminal wants the token, so it stays in the address too: nothing but to make it easy to copy.
_SELECT_SCRIPT = 'document.getElementById("token").select()'
_STYLE = (
    f":root {{ {variables('dark')} }}"
    f"@media (prefers-color-scheme: light) {{ :root {{ {variables('light')} }} }}"
    "body { margin: 0; padding: 24px; background: var(--td-background); color: var(--td-text); font: 14px/1.5 "
    "var(--td-font); } svg { width: 18px; height: 18px; color: var(--td-accent); vertical-align: -3px; }"
    "h1 { font-size: 16px; margin: 0 0 8px; } p { margin: 0 0 8px; color: var(--td-muted); max-width: 60ch; }"
    "a { color: var(--td-accent); } label { display: block; margin: 0 0 4px; } input { width: 100%; max-width: 44ch; "
    "height: 32px; margin: 0 0 12px; padding: 0 8px; color: var(--td-text); background: var(--td-panel); "
    "border: 1px solid var(--td-faint); border-radius: 3px; font: 13px ui-monospace, monospace; }"
)


def outcome_page(problem: str, *, request_token: str = "") -> tuple[str, str]:
    """The page at the end and its content security policy; `problem` is what went wrong, empty when nothing did.

    `request_token` is shown to be taken to a terminal that waits for it: it works once, and only with the API secret.
    """
    if request_token:
        said = (
            f"<h1>Not logged in from here</h1><p role='alert'>{escape(problem)}</p>"
            "<label for='token'>If you began with <code>tapedeck login</code>, paste this into the terminal:</label>"
            f"<input id='token' readonly value='{escape(request_token)}'>"
        )
    elif problem:
        said = f"<h1>Not logged in to Kite</h1><p role='alert'>{escape(problem)}</p>"
    else:
        said = "<h1>Logged in to Kite</h1><p>The desk goes on by itself. You can close this window.</p>"
    done = "" if problem else ' data-done="1"'
    script = _SELECT_SCRIPT if request_token else _SCRIPT
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tapedeck</title>'
        f"<style>{_STYLE}</style></head><body{done}>{LOGO} Tapedeck{said}"
        f'<p><a href="/">Open the desk</a></p><script>{script}</script></body></html>'
    )
    policy = (
        f"default-src 'none'; style-src 'sha256-{_hash(_STYLE)}'; script-src 'sha256-{_hash(script)}'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return page, policy


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
