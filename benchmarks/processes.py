"""Servers and clients of a benchmark in processes of their own, and what a process has used.

A child runs `target(line, *arguments)`, a function of a module, and answers what it is asked over its line: a
message is a tuple of a word and its arguments. When a child dies the question is answered by an error, not waited for.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tapedeck.clock import SystemClock

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0
#: Files a process with 2,000 sockets may need.
MANY_FILES = 8192


class Mark(NamedTuple):
    """What a process had used at a moment: `at` real seconds, CPU seconds, resident megabytes, and its own counts."""

    at: float
    cpu_s: float
    rss_mb: float
    counts: dict[str, int]


def mark(counts: Mapping[str, int] | None = None) -> Mark:
    """What this process has used so far, user and system time of all threads."""
    return Mark(SystemClock().monotonic(), time.process_time(), rss_mb(os.getpid()), dict(counts or {}))


def mark_of(pid: int) -> Mark:
    """What another process has used; its CPU seconds in steps of 0.01."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Mark(SystemClock().monotonic(), used, rss_mb(pid), {})


def rss_mb(pid: int) -> float:
    """Resident memory of a process in megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def allow_many_files() -> None:
    """Let this process open as many sockets as a benchmark needs.

    Raises
    ------
    RuntimeError
        If the machine does not permit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= MANY_FILES or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < MANY_FILES:
        raise RuntimeError(f"a process may open {hard} files here; the benchmark needs {MANY_FILES} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (MANY_FILES, hard))


class Child:
    """A process of this benchmark and the line to it; use it in `with`. `ready` is its first message."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()  # so that the line ends with the child
        try:
            self.ready = self.answer()
        except BaseException:
            self.close()
            raise

    def say(self, word: str, *arguments: Any) -> None:
        """Send a message."""
        self._line.send((word, *arguments))

    def answer(self, timeout: float = PATIENCE_S) -> Any:
        """The next message of the child.

        Raises
        ------
        RuntimeError
            If it said nothing in time, or ended.
        """
        name = f"{self._process.name} (pid {self._process.pid})"
        if not self._line.poll(timeout):
            raise RuntimeError(f"{name} said nothing for {timeout:g} s")
        try:
            return self._line.recv()
        except EOFError:
            self._process.join(5)
            raise RuntimeError(f"{name} ended with {self._process.exitcode}") from None

    def ask(self, word: str, *arguments: Any, timeout: float = PATIENCE_S) -> Any:
        """What the child answers to a message."""
        self.say(word, *arguments)
        return self.answer(timeout)

    def close(self) -> None:
        """End the process."""
        self._line.close()  # a child whose line ended ends itself
        self._process.join(3)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()


class RunningDesk:
    """The real program on the simulated exchange, on a free port and with a folder of its own; use it in `with`."""

    def __init__(self, *arguments: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tapedeck-bench-")
        folder = Path(self._folder.name)
        self._log = folder / "desk.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TAPEDECK_", "ZERODHA_"))}
        own = {"TAPEDECK_DATA": str(folder), "XDG_RUNTIME_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
        # Started in its own folder: a developer's .env is not the benchmark's.
        own["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [clean.get("PYTHONPATH", "")])])
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dashboards", "--sim", "--port", "0", *arguments],
                cwd=folder, env=clean | own, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            #: What a browser opens, and what everything else sends to get in.
            self.page = self._wait()
            address, _, query = self.page.partition("?token=")
            self.port = int(address.rstrip("/").rpartition(":")[2])
            self.headers = {"Authorization": f"Bearer {query}"}
        except BaseException:
            self.close()
            raise

    def _wait(self) -> str:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            text = self._log.read_text(errors="replace")
            _, found, rest = text.partition("Desk READY ")
            if found and "\n" in rest:
                return rest.split("\n")[0]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the desk was not ready:\n{self._log.read_text(errors='replace')[-2000:]}")

    def mark(self) -> Mark:
        """What the desk's own process has used, without the simulated exchange."""
        return mark_of(self.process.pid)

    def close(self) -> None:
        """End it; its folder goes with it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self._folder.cleanup()

    def __enter__(self) -> RunningDesk:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()
