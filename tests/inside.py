"""A whole desk served inside the test process, so that a test can look into it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from benchmarks.page_viewers import MAX_MESSAGE, token_of
from dashboards.serving import Serving
from tapedeck.desk import open_desk
from tapedeck.settings import Settings


class Inside:
    """A desk on the simulated exchange and its server, the loop on a thread of its own."""

    def __init__(self, data: Path, *, kind: type[Settings] = Settings, **settings: Any) -> None:
        self.settings = kind(data=data, port=0, simulate=True, **settings)
        self.desk = open_desk(self.settings)
        self._ready: Future[Serving] = Future()
        self._thread = threading.Thread(target=self._serve, name="served-inside")
        self._thread.start()
        self.serving = self._ready.result(30)
        self.address = self.serving.address.rstrip("/")
        #: What this machine's other processes send, and what a browser opens.
        self.headers = {"Authorization": f"Bearer {self.serving.door.bearer}"}
        self.page = self.serving.way_in

    def _serve(self) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        try:
            serving = Serving(self.desk, self.settings)
            serving.start()
        except BaseException as failed:
            self.desk.close()
            self._ready.set_exception(failed)
            raise
        self._ready.set_result(serving)
        serving.loop.start()
        serving.close()
        serving.loop.close(all_fds=True)

    @property
    def stream(self) -> str:
        """Address of the websocket."""
        return self.address.replace("http", "ws", 1) + "/api/stream"

    def get(self, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> requests.Response:
        """GET a path of it, as one of this machine's other processes."""
        return requests.get(self.address + path, timeout=10, headers=self.headers | (headers or {}), **options)

    def json(self, path: str) -> Any:
        """Body of a GET, decoded."""
        return self.get(path).json()

    def open_sessions(self, count: int) -> ExitStack:
        """So many sessions of the page, each with its document; they end with the stack."""
        opened = ExitStack()
        for _ in range(count):
            spoken = [Subprotocol("bokeh"), Subprotocol(token_of(self.get("/").text))]
            url = self.address.replace("http", "ws", 1) + "/ws"
            ws = opened.enter_context(
                connect(url, subprotocols=spoken, additional_headers=self.headers, max_size=MAX_MESSAGE, proxy=None)
            )
            while "ACK" not in str(ws.recv(30)):
                pass  # whoever speaks before is cut off
            for part in ('{"msgid": "1", "msgtype": "PULL-DOC-REQ"}', "{}", "{}"):
                ws.send(part)
            while "PULL-DOC-REPLY" not in str(ws.recv(30)):
                pass
        return opened

    def tasks(self) -> int:
        """Number of tasks on the server's loop."""
        counted: Future[int] = Future()
        self.serving.loop.add_callback(lambda: counted.set_result(len(asyncio.all_tasks())))
        return counted.result(10)

    def close(self) -> None:
        """Stop the loop, the server and the desk."""
        self.serving.loop.add_callback(self.serving.loop.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()
