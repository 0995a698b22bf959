"""The simulated exchange as a child process of a desk, started again when it dies.

State: the process now running, the last lines of its stderr, how often it had to be started again, and
whether it has been closed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from kiteconnect import KiteConnect
from kiteconnect.exceptions import KiteException

from tapedeck.clock import Clock, SystemClock, ist_date, to_ist, wall_to_ns
from tapedeck.errors import SimulatorError
from tapedeck.sim.clock import default_start_ns
from tapedeck.sim.login import DEFAULT_API_KEY, DEFAULT_API_SECRET

READY = "SIM READY "
#: Real seconds a child has to build its first day and say that it serves.
READY_TIMEOUT_S = 60.0
#: Real seconds before the first and, doubling, at most before any further start of a child that died.
BACKOFF_S, MAX_BACKOFF_S = 0.2, 5.0
#: A child that lived this long is well: the back-off begins anew.
WELL_AFTER_S = 10.0
STDERR_LINES = 20


class SimChild:
    """A simulated exchange that lives and ends with this process.

    Market time goes on while a child that died is replaced, and the new one listens on the same port and
    knows the same access tokens. Listens on `127.0.0.1`; `port` 0 takes a free one.

    Raises
    ------
    SimulatorError
        If the child does not serve within `ready_timeout_s`; with its last words.
    """

    def __init__(
        self,
        *,
        seed: int = 7,
        start: int | str | datetime | None = None,
        speed: float = 1.0,
        port: int = 0,
        api_key: str = DEFAULT_API_KEY,
        api_secret: str = DEFAULT_API_SECRET,
        redirect_url: str = "",
        clock: Clock | None = None,
        ready_timeout_s: float = READY_TIMEOUT_S,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "tapedeck.cli", "sim"),
    ) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._api_key, self._api_secret, self._redirect_url = api_key, api_secret, redirect_url
        self._seed, self._speed, self._port = seed, speed, port
        self._start = self._iso(start)
        self._command, self._ready_timeout_s = command, ready_timeout_s
        self._origin = self._clock.monotonic()
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._readers: list[threading.Thread] = []
        self.restarts = 0
        self.last_error = ""
        self.address = ""
        self._launch()
        self._keeper = threading.Thread(target=self._keep, name="sim-child", daemon=True)
        self._keeper.start()

    def __repr__(self) -> str:
        return f"SimChild({self.address!r}, pid={self.pid}, restarts={self.restarts})"

    def __enter__(self) -> SimChild:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process number of the child now running."""
        return self._process.pid

    @property
    def ws_address(self) -> str:
        """Root of the websocket, `ws://host:port`."""
        return self.address.replace("http://", "ws://", 1)

    @property
    def running(self) -> bool:
        """Whether a child is alive now; False between a death and the next start."""
        return self._process.poll() is None

    def login(self) -> str:
        """A valid access token, obtained as a person with the official client would.

        Raises
        ------
        SimulatorError
            If the simulator did not let us in.
        """
        return log_in(self.address, self._api_key, self._api_secret)

    def close(self) -> None:
        """End the child, at the latest by force after 3 s; may be called twice."""
        with self._lock:
            self._closed.set()
            process = self._process
        if process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a stopped process cannot end
        try:
            process.wait(3.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._keeper.join()
        for reader in self._readers:
            reader.join()

    def _iso(self, start: int | str | datetime | None) -> str:
        if isinstance(start, str):
            return start
        if start is None:
            ns = default_start_ns(ist_date(self._clock.now()))
        elif isinstance(start, datetime):
            ns = wall_to_ns(start)
        else:
            ns = start
        return to_ist(ns).isoformat()

    def _arguments(self) -> list[str]:
        elapsed = self._clock.monotonic() - self._origin
        options = {
            "--port": self._port,
            "--seed": self._seed,
            "--start": self._start,
            "--speed": self._speed,
            "--elapsed": f"{elapsed:.6f}",
            "--api-key": self._api_key,
            "--die-with-parent": os.getpid(),
        }
        if self._redirect_url:
            options["--redirect-url"] = self._redirect_url
        return [*self._command, *(f"{name}={value}" for name, value in options.items())]

    def _launch(self) -> None:
        """Start a child and wait until it serves; from the start on it is the one that `close` ends."""
        self._stderr.clear()
        with self._lock:
            if self._closed.is_set():
                raise SimulatorError("the simulated exchange has been closed")
            # A session of its own: Ctrl-C in the terminal or an interrupted notebook cell is not meant for it.
            # The secret goes through the environment, because everybody on the machine can read a command line.
            process = self._process = subprocess.Popen(
                self._arguments(),
                env={**os.environ, "SIM_API_SECRET": self._api_secret},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        told, ready = threading.Event(), threading.Event()
        self._readers = [
            threading.Thread(target=self._read_stdout, args=(process, told, ready), name="sim-stdout", daemon=True),
            threading.Thread(target=self._read_stderr, args=(process,), name="sim-stderr", daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        told.wait(self._ready_timeout_s)
        if not ready.is_set():
            self._give_up(process, in_time=told.is_set())

    def _give_up(self, process: subprocess.Popen[str], *, in_time: bool) -> None:
        """End a child that does not serve, and raise with what it said last."""
        if not in_time:
            process.kill()
        process.wait()
        for reader in self._readers:
            reader.join()
        words = "\n".join(self._stderr).strip() or "it said nothing"
        why = f"ended with status {process.returncode}"
        if not in_time:
            why = f"was not ready in {self._ready_timeout_s:g} s"
        raise SimulatorError(f"the simulated exchange {why}; its last words:\n{words}")

    def _read_stdout(self, process: subprocess.Popen[str], told: threading.Event, ready: threading.Event) -> None:
        """Wait for the READY line, then drain; `told` is set by either the line or the end."""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.startswith(READY):
                    self.address = line[len(READY) :].strip()
                    self._port = urlsplit(self.address).port or 0
                    ready.set()
                    told.set()
        told.set()

    def _read_stderr(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._stderr.append(line.rstrip())

    def _keep(self) -> None:
        """Start the child again whenever it dies, until closed."""
        backoff = BACKOFF_S
        while True:
            born = self._clock.monotonic()
            self._process.wait()
            if self._clock.monotonic() - born > WELL_AFTER_S:
                backoff = BACKOFF_S
            if self._closed.wait(backoff):
                return
            self.last_error = f"ended with status {self._process.returncode}: {' | '.join(self._stderr)}"
            backoff = min(backoff * 2, MAX_BACKOFF_S)
            try:
                self._launch()
                self.restarts += 1
            except SimulatorError as exc:
                self.last_error = str(exc)


def log_in(root: str, api_key: str = DEFAULT_API_KEY, api_secret: str = DEFAULT_API_SECRET) -> str:
    """A valid access token of the simulator at `root`, obtained as a person with the official client would.

    Raises
    ------
    SimulatorError
        If the simulator did not let us in.
    """
    kite = KiteConnect(api_key, root=root)
    with kite.reqsession as session:
        session.trust_env = False  # a proxy of the environment cannot reach this machine's loopback
        try:
            page = f"{root}/connect/login"
            answer = session.post(page, data={"api_key": api_key}, allow_redirects=False, timeout=10)
            request_token = parse_qs(urlsplit(answer.headers["Location"]).query)["request_token"][0]
            granted: Any = kite.generate_session(request_token, api_secret)
            return granted["access_token"]
        except (requests.RequestException, KiteException, KeyError) as exc:
            # The cause is left out: its address holds the request token.
            raise SimulatorError(f"login at the simulator failed: {type(exc).__name__}") from None
