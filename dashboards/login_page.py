"""The page people log in on: no script, nothing from anywhere else, the desk's colours in the browser's scheme."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from tapedeck.views.bars import LOGO
from tapedeck.views.style import FONTS, variables

from .theme import FAVICON

#: The typeface, beside the page: what is behind the door cannot be asked for before it.
FONT_PATH = "/login/inter.woff2"
FONT_FILE = FONTS / "inter-latin.woff2"

_CSS = (
    '@font-face { font-family: "Inter"; font-style: normal; font-weight: 100 900; font-display: swap;'
    f' src: url("{FONT_PATH}") format("woff2"); }}'
    f":root {{ {variables('dark')} }}"
    f"@media (prefers-color-scheme: light) {{ :root {{ {variables('light')} }} }}"
    """
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--td-background); color: var(--td-text);
  font: 13px/1.5 var(--td-font); display: flex; flex-direction: column; }
header { height: 40px; border-bottom: 1px solid var(--td-line); background: var(--td-panel); display: flex;
  align-items: center; gap: 8px; padding: 0 8px; font-weight: 700; }
header svg { width: 18px; height: 18px; color: var(--td-accent); }
main { flex: 1; display: flex; align-items: flex-start; justify-content: center; padding: 12vh 16px 32px; }
section { width: 100%; max-width: 360px; padding: 20px; background: var(--td-panel);
  border: 1px solid var(--td-line); border-radius: 3px; }
h1 { margin: 0 0 4px; font-size: 16px; font-weight: 600; }
p { margin: 0 0 12px; color: var(--td-muted); }
p.problem { color: var(--td-warning); }
code { font-family: ui-monospace, monospace; font-size: 12px; color: var(--td-text); overflow-wrap: anywhere; }
label { display: block; margin: 0 0 4px; color: var(--td-muted); }
input { width: 100%; height: 32px; margin: 0 0 12px; padding: 0 8px; color: var(--td-text); font: inherit;
  background: var(--td-background); border: 1px solid var(--td-faint); border-radius: 3px; }
button, a.button { display: block; width: 100%; height: 32px; padding: 0 12px; font: inherit; font-weight: 600;
  line-height: 30px; text-align: center; text-decoration: none; cursor: pointer; border-radius: 3px;
  color: var(--td-background); background: var(--td-accent); border: 1px solid var(--td-accent); }
button.quiet { margin-top: 8px; color: var(--td-text); background: transparent; border-color: var(--td-faint); }
input:focus-visible, button:focus-visible, a:focus-visible { outline: 2px solid var(--td-accent); outline-offset: 2px; }
"""
)
_HASH = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()
#: Nothing but the page itself: a script that got into it would not run.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; font-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def password_page(*, xsrf: str, next_path: str, user: str = "", problem: str = "") -> str:
    """The form for name and password; `xsrf` is the hidden field that proves where it came from."""
    focus_user, focus_password = ("", " autofocus") if user else (" autofocus", "")
    return _page(
        f"""<h1>Log in</h1>
<p>This desk is open to its users only.</p>{_problem(problem)}
<form method="post" action="/login">{xsrf}{_hidden("next", next_path)}
<label for="user">User</label>
<input id="user" name="user" value="{escape(user)}" autocomplete="username" autocapitalize="none" spellcheck="false"
 maxlength="64" required{focus_user}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024"
 required{focus_password}>
<button>Log in</button>
</form>"""
    )


def token_page(*, xsrf: str, next_path: str, problem: str = "") -> str:
    """Where the token is, and a field to paste it into."""
    return _page(
        f"""<h1>Open the desk</h1>
<p>When the desk started it printed an address in its terminal:</p>
<p><code>Desk READY http://…/?token=…</code></p>
<p>Open that address, or paste it, or the token alone, here.</p>{_problem(problem)}
<form method="post" action="/login">{xsrf}{_hidden("next", next_path)}
<label for="token">Address or token</label>
<input id="token" name="token" type="password" autocomplete="off" spellcheck="false" maxlength="400" required autofocus>
<button>Open</button>
</form>"""
    )


def account_page(*, xsrf: str, user: str, role: str) -> str:
    """Who is logged in here, and the way out."""
    return _page(
        f"""<h1>{escape(user)}</h1>
<p>You are logged in as {escape(role)}.</p>
<a class="button" href="/">Open the desk</a>
<form method="post" action="/logout">{xsrf}<button class="quiet">Log out</button></form>"""
    )


def _problem(problem: str) -> str:
    return f'\n<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def _page(content: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Tapedeck</title>
<link rel="icon" href="{FAVICON}">
<style>{_CSS}</style>
</head>
<body>
<header>{LOGO}Tapedeck</header>
<main><section>
{content}
</section></main>
</body>
</html>
"""
