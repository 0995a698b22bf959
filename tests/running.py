"""Real processes for end-to-end tests: the simulated exchange and the desk, started, watched and ended.

A desk prints an address with a token, which a browser opens (`page`); everything else sends it as a bearer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests

from tapedeck.errors import UnknownInstrument
from tapedeck.relay.client import StreamClient
from tapedeck.settings import SETTINGS
from tests.canary import leaked, secrets_of
from tests.support import wait_until

ROOT = Path(__file__).resolve().parents[1]


def clean_environment() -> dict[str, str]:
    """This environment without any setting of a desk, and with the project's folder to import from."""
    ours = {setting.name for setting in SETTINGS}
    clean = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith(("TAPEDECK_", "ZERODHA_"))}
    places = [str(ROOT), *filter(None, [clean.get("PYTHONPATH", "")])]
    return clean | {"PYTHONPATH": os.pathsep.join(places)}


class Program:
    """A child process that says `READY` with its address; its output is kept for the assertion that fails."""

    def __init__(self, *command: str, environment: dict[str, str] | None = None, ready: str = "READY") -> None:
        # A folder of its own: a developer's .env is not the tests'.
        self._folder = Path(tempfile.mkdtemp(prefix="tapedeck-test-"))
        self._log = self._folder / "output.log"
        self._environment = environment or {}
        self.headers: dict[str, str] = {}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self._folder,
                env=clean_environment() | {"PYTHONUNBUFFERED": "1"} | (environment or {}),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            found = wait_until(lambda: self._find(rf"{ready} (http://\S+)"), timeout=60)
        except BaseException:
            self.stop()
            raise
        #: What a browser opens; without its query it is the address of everything else.
        self.page = found
        self.address, _, query = found.partition("?")
        self.address = self.address.rstrip("/")
        token = query.removeprefix("token=")
        if token:
            self.headers = {"Authorization": f"Bearer {token}"}
        self.port = int(self.address.rsplit(":", 1)[1])

    @property
    def output(self) -> str:
        """Everything it has printed so far; gone once it was stopped."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _find(self, pattern: str) -> str:
        match = re.search(pattern, self.output)
        if match:
            return match[1]
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode} before it was ready:\n{self.output[-3000:]}")
        return ""

    @property
    def stream(self) -> str:
        """Address of a desk's websocket."""
        return self.address.replace("http", "ws", 1) + "/api/stream"

    def get(self, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> requests.Response:
        """GET a path of it, as whoever started it."""
        return requests.get(self.address + path, timeout=10, headers=self.headers | (headers or {}), **options)

    def json(self, path: str) -> Any:
        """Body of a GET, decoded."""
        return self.get(path).json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST JSON to a path of it."""
        answer = requests.post(self.address + path, data=json.dumps(body), headers=self.headers, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it, and make sure of it; what it printed and logged may hold none of its secrets. Its exit status."""
        if not self._log.exists():
            return self.process.wait(5)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait(5)
        said = "\n".join(line for line in self.output.splitlines() if " READY " not in line)
        tokens = [self.headers["Authorization"].removeprefix("Bearer ")] if self.headers else []
        assert leaked([said], {*secrets_of(self._environment), *tokens}) == [], "a secret was logged"
        shutil.rmtree(self._folder, ignore_errors=True)
        return code


def start_sim(*arguments: str, port: int = 0) -> Program:
    """A simulated exchange of its own."""
    return Program("-m", "tapedeck.cli", "sim", "--port", str(port), *arguments)


def start_desk(*arguments: str, data: Path, environment: dict[str, str] | None = None) -> Program:
    """A desk on a free port, with its own data folder."""
    own = {"TAPEDECK_DATA": str(data), "XDG_RUNTIME_DIR": str(data)} | (environment or {})
    return Program("-m", "dashboards", "--port", "0", *arguments, environment=own)


def roots_of(sim: Program) -> dict[str, str]:
    """Settings that point a desk at a simulator."""
    return {"TAPEDECK_KITE_REST": sim.address, "TAPEDECK_KITE_WS": sim.address.replace("http", "ws", 1)}


def last_price(client: StreamClient, key: str) -> float | None:
    """What a stream client may show of an instrument now; None while it has not been told of it."""
    try:
        return client.quote(key)["last_price"]
    except UnknownInstrument:
        return None
