"""The server of a desk: Panel's pages, the HTTP routes and the stream on one port, behind one door."""

from __future__ import annotations

import logging
from typing import Any

import panel as pn
from bokeh.server.server import Server
from tornado.ioloop import IOLoop, PeriodicCallback

from tapedeck.clock import Clock
from tapedeck.desk import Desk
from tapedeck.settings import Settings
from tapedeck.settings_values import in_address

from . import api, app, theme
from .access import EVERYWHERE, find_port
from .door import Door
from .guard import DeskAuth, guard

log = logging.getLogger("tapedeck.server")

WATCHDOG_PERIOD_S = 0.25
#: A loop held longer than this is logged: viewers would feel it.
WATCHDOG_LOG_S = 0.1
#: Bytes a request may bring: more than any route takes, and nothing that fills the memory.
MAX_BODY = 8 << 20


class Serving:
    """A desk on a port: bound when made, serving once started on the current thread's loop."""

    def __init__(self, desk: Desk, settings: Settings) -> None:
        # Known before the server is made: Bokeh is told then which origins to accept.
        port = find_port(settings.host, settings.port)
        self.desk = desk
        self.door = Door(settings, port=port)
        gate = self.door.gate
        pages: dict[str, Any] = dict(app.build(desk))
        # get_server, not serve: with start=False both make a Server, and this one says so.
        self.server: Server = pn.io.server.get_server(
            pages,
            port=port,
            address=settings.host,
            # Bokeh cannot read an IPv6 address here; a page opened under one gets its numbers all the same.
            websocket_origin=sorted(host for host in gate.hosts if "[" not in host),
            extra_patterns=api.routes(desk, gate),
            static_dirs=theme.STATIC,
            start=False,
            show=False,
            verbose=False,
            title="Tapedeck",
            auth_provider=DeskAuth(),
            xsrf_cookies=True,
            sign_sessions=True,
            secret_key=self.door.page_key.encode(),
            # Into the token that a page carries go none of the request's headers and cookies: scripts could read it.
            include_headers=[],
            include_cookies=[],
            http_server_kwargs={"max_body_size": MAX_BODY},
            # A closed tab is let go of soon: each costs memory and a place in every sweep.
            check_unused_sessions_milliseconds=3_000,
            unused_session_lifetime_milliseconds=10_000,
        )
        guard(self.server._tornado, self.door)
        self.loop: IOLoop = self.server.io_loop
        self.watchdog = LoopWatchdog(desk.clock)
        desk.loop_lag = self.watchdog.lag
        # Programs on this machine cannot ask for "every address of it"; they are told its loopback one.
        self.address = f"http://{in_address(EVERYWHERE.get(settings.host, settings.host))}:{port}/"
        #: What is printed for whoever starts the desk: on one without users it opens the door.
        self.way_in = f"{self.address}?token={self.door.token}" if self.door.token else self.address

    def start(self) -> None:
        """Accept connections and let the relay beat; the caller runs the loop."""
        self.server.start()
        self.watchdog.start()
        self.loop.add_callback(app.begin_sweep)
        self.door.start(self.loop)
        self.desk.serving(self.address, self.loop, self.door.bearer)

    def close(self) -> None:
        """Stop serving and close the desk."""
        self.watchdog.stop()
        self.door.close()
        self.desk.close()
        self.server.stop(wait=False)


class LoopWatchdog:
    """Measures how late the loop runs what is due, and logs when something held it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = 0.0
        self._last = 0.0
        self._worst = 0.0
        self._beat = PeriodicCallback(self._check, WATCHDOG_PERIOD_S * 1000)

    def start(self) -> None:
        """Begin on the current loop."""
        self._due = self._clock.monotonic() + WATCHDOG_PERIOD_S
        self._beat.start()

    def stop(self) -> None:
        """End."""
        self._beat.stop()

    def lag(self) -> dict[str, float]:
        """Seconds: the newest lateness of the loop and the worst since the start."""
        return {"last_s": self._last, "worst_s": self._worst}

    def _check(self) -> None:
        now = self._clock.monotonic()
        self._last = max(0.0, now - self._due)
        self._worst = max(self._worst, self._last)
        if self._last > WATCHDOG_LOG_S:
            log.warning("the server's loop was held for %.2f s", self._last)
        self._due = now + WATCHDOG_PERIOD_S
