"""Whoever asks a desk: a browser without a screen that keeps its cookies, and everything that was answered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

PAGE = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate"}


class Visitor:
    """One browser, or one program, at a desk. `heard` gets every answer, without the cookies it sets."""

    def __init__(self, address: str, heard: list[str] | None = None) -> None:
        self.address = address
        self.session = requests.Session()
        self.heard = heard if heard is not None else []

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request without following where it leads."""
        answer = self.session.request(method, self.address + path, timeout=10, allow_redirects=False, **options)
        shown = [f"{name}: {value}" for name, value in answer.headers.items() if name != "Set-Cookie"]
        self.heard.append("\n".join([*shown, answer.text]))
        return answer

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET, as a program does."""
        return self.ask("GET", path, **options)

    def navigate(self, path: str) -> requests.Response:
        """GET, as a person does who opens the address."""
        return self.ask("GET", path, headers=PAGE)

    def form(self, path: str, **fields: str) -> requests.Response:
        """Send a form of the desk, with the proof of where it came from."""
        return self.ask("POST", path, data=fields | {"_xsrf": self.xsrf()})

    def log_in(self, user: str, password: str, **fields: str) -> requests.Response:
        """Send the login form."""
        return self.form("/login", user=user, password=password, **fields)

    def xsrf(self) -> str:
        """What a form of this desk carries."""
        page = self.ask("GET", "/login").text
        found = re.search(r'name="_xsrf" value="([^"]+)"', page)
        # Logged in already, or sent on: then the cookie says the same.
        return found[1] if found else self.session.cookies["tapedeck-xsrf"]

    @property
    def cookie(self) -> str:
        """The number in this browser's cookie; empty when it is not logged in."""
        names = [name for name in self.session.cookies.keys() if name.startswith("tapedeck-session-")]  # noqa: SIM118
        return self.session.cookies[names[0]] if names else ""

    def open_socket(self, path: str, *, spoken: Iterable[str] = (), **headers: str) -> connect:
        """A websocket, as this browser opens it; use it in `with`.

        Raises
        ------
        InvalidStatus
            If the desk refuses.
        """
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.session.cookies)
        sent = ({"Cookie": cookies} if cookies else {}) | headers
        return connect(
            self.address.replace("http", "ws", 1) + path,
            subprotocols=[Subprotocol(one) for one in spoken] or None,
            additional_headers=sent,
            max_size=64 << 20,
            open_timeout=10,
            proxy=None,
        )

    def refused_socket(self, path: str, *, spoken: Iterable[str] = (), **headers: str) -> int:
        """HTTP status with which a websocket is refused; 101 when it was opened."""
        try:
            with self.open_socket(path, spoken=spoken, **headers):
                pass
        except InvalidStatus as refused:
            return refused.response.status_code
        return 101
