"""A whole desk served inside the test process, so that a test can look into it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import requests

from dashboards.serving import Serving
from tapedeck.desk import open_desk
from tapedeck.settings import Settings


class Inside:
    """A desk on the simulated exchange and its server, the loop on a thread of its own."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.settings = Settings(data=data, port=0, simulate=True, **settings)
        self.desk = open_desk(self.settings)
        self._ready: Future[Serving] = Future()
        self._thread = threading.Thread(target=self._serve, name="served-inside")
        self._thread.start()
        self.serving = self._ready.result(30)
        self.address = self.serving.address.rstrip("/")

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

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET a path of it."""
        return requests.get(self.address + path, timeout=10, **options)

    def json(self, path: str) -> Any:
        """Body of a GET, decoded."""
        return self.get(path).json()

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
