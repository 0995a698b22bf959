"""What the tests of access know: who may log in, what answers anybody, and where no secret may be."""

from __future__ import annotations

import logging
import re

from tornado.web import Application

from dashboards.guard import rules_of
from tapedeck.settings import Settings, parse_start
from tests.inside import Inside

START = parse_start("2026-11-23T10:00:00")
PASSWORDS = {
    "asha": "canary-Of-The-Operator",
    "bob": "canary-Of-The-Viewer",
    "carol": "canary-Of-Carol",
    "dev": "canary-Of-Dev",
}
#: Answer anybody; everything else asks who one is.
PUBLIC = {"/favicon.ico", "/healthz", "/login", "/logout", "/login/inter.woff2"}
SOCKETS = {"/ws", "/api/stream"}
JWT_CANARY = "canary-Jwt-Secret-0123456789-abcdefghijkl"


#: Loggers of the clients in this process: what they write is what the tests send.
CLIENTS = ("urllib3", "websockets.client")


SECRET = "a-secret-of-forty-characters-0123456789-abc"


class Told(Settings):
    """Settings with those that access asks for besides."""

    def __init__(self, *, jwt_secret: str = "", frontend_url: str = "", **words: object) -> None:
        super().__init__(**words)  # type: ignore[arg-type]
        object.__setattr__(self, "jwt_secret", jwt_secret)
        object.__setattr__(self, "frontend_url", frontend_url)


class Heard:
    """What the desk said: answers, and every line any logger wrote, as it was before anything was taken out."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.lines: list[str] = []
        self.handler = logging.Handler(logging.DEBUG)
        self.handler.emit = self._keep  # type: ignore[method-assign]

    def _keep(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(CLIENTS):
            self.lines.append(logging.Formatter().format(record))


def application(desk: Inside) -> Application:
    return desk.serving.server._tornado


def paths(desk: Inside) -> list[str]:
    """One path for every rule of the server."""
    found = []
    for rule in rules_of(application(desk).default_router):
        pattern = getattr(rule.matcher, "regex", re.compile("/nothing/here$")).pattern
        plain = pattern.removesuffix("$").replace("/?", "/").replace("(?!extensions/)", "").replace("/.*", "/x")
        found.append(plain.replace("(.*)", "x"))
    return list(dict.fromkeys([*found, "/nothing/here"]))


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def find_secrets(heard: Heard, *desks: Inside, **more: str) -> list[tuple[str, str]]:
    """Which secret of the desks, and of `more`, was written where it must not be: in a log, an answer or a repr."""
    secrets = PASSWORDS | more
    doors = [desk.serving.door for desk in desks]
    for n, door in enumerate(doors):
        kept = (desks[n].settings.data / "jwt_secret").read_text()
        secrets |= {f"bearer {n}": door.bearer, f"page key {n}": door.page_key, f"jwt secret {n}": kept}
        secrets |= {f"start token {n}": door.token} if door.token else {}
    said = {
        "a log": "\n".join(heard.lines),
        "an answer": "\n".join(heard.answers),
        "a repr": " ".join(repr(one) for door in doors for one in (door, door.users, door.bearers)),
    }
    assert len(said["a log"]) > 1000
    assert len(said["an answer"]) > 10_000
    return [(name, where) for name, secret in secrets.items() for where, text in said.items() if secret in text]
