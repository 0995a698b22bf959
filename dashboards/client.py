"""The relay client as a file of the server: fetched by the page's head while everything else still loads."""

from __future__ import annotations

import hashlib

from tornado.web import RequestHandler

from tapedeck.views.relay_client import GLOBAL, build_module

_MODULE = build_module().encode()
#: Named after what it holds: what a browser kept under this name is never out of date.
PATH = f"client/{hashlib.sha256(_MODULE).hexdigest()[:16]}.js"
#: For the page's head; it must run before the component that waits for it.
HEAD = f'<script>window.{GLOBAL} = import("./{PATH}")</script>'


class ClientModule(RequestHandler):
    """The module, to be kept for good by whoever asked."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/javascript; charset=UTF-8")
        self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(_MODULE)


#: For a server's `extra_patterns`.
ROUTE = (f"/{PATH}", ClientModule, {})
