"""One desk, looked into: viewers leave nothing behind, and a busy server loop does not hold up the feed."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import requests
from bokeh.document import Document
from panel.viewable import Viewable

from tapedeck.relay.client import connect
from tapedeck.relay.listener import Listener
from tapedeck.relay.server import StreamHandler
from tapedeck.settings import parse_start
from tests.inside import Inside
from tests.running import last_price
from tests.support import wait_until

START = parse_start("2026-11-23T10:00:00")


@pytest.fixture
def inside(tmp_path, monkeypatch) -> Iterator[Inside]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    running = Inside(tmp_path, sim_start=START)
    yield running
    running.close()


def alive(*kinds: type) -> list[object]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, kinds)]


def our_threads() -> set[str]:
    """Names of the desk's own threads."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("tapedeck")}


def test_viewers_that_leave_leave_nothing_behind(inside):
    desk = inside.desk
    documents, viewables = len(alive(Document)), len(alive(Viewable))
    threads, tasks = our_threads(), inside.tasks()
    sessions = inside.open_sessions(10)
    clients = [connect(inside.stream, desk.watchlist(), headers=inside.headers) for _ in range(10)]
    wait_until(lambda: all(last_price(one, "NSE:INFY") is not None for one in clients))
    assert desk.relay.client_count == 10
    assert desk.socket.status.subscribed == 50
    while clients:
        clients.pop().close()
    sessions.close()
    wait_until(lambda: desk.relay.client_count == 0)
    wait_until(lambda: desk.socket.status.subscribed == 0)
    assert desk.socket.listeners == {}
    wait_until(lambda: not inside.serving.server.get_sessions(), timeout=30)
    wait_until(lambda: not alive(Listener, StreamHandler))
    wait_until(lambda: len(alive(Document)) <= documents)
    wait_until(lambda: len(alive(Viewable)) <= viewables)
    wait_until(lambda: inside.tasks() == tasks)
    assert our_threads() == threads
    assert desk.socket.status.connections == 1


def sent_by(root: str) -> int:
    """Ticks the simulator has sent on its one connection."""
    log = requests.get(f"{root}/sim/connections", timeout=5).json()
    assert (log["total"], log["skipped"]) == (1, 0)
    return log["ticks_sent"]


KEEP = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_desk_that_lost_its_lock_stands_by_and_returns_when_it_is_free(inside, tmp_path):
    desk = inside.desk
    wait_until(lambda: desk.hub.feed_state == "LIVE")
    theirs = tmp_path / "theirs.lock"
    command = [sys.executable, "-c", KEEP, str(theirs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        theirs.replace(desk._lock.path)
        wait_until(lambda: desk.hub.feed_state == "STANDBY")
        assert "another process" in desk.not_ready()[0]
        other.stdin.write("\n")
    wait_until(lambda: desk.hub.feed_state == "LIVE")
    address = desk._lock.read_address()
    assert address is not None
    assert address.url == inside.serving.address


def test_a_loop_held_for_two_seconds_loses_no_tick_and_does_not_delay_the_feed(inside):
    desk = inside.desk
    with connect(inside.stream, desk.watchlist(), headers=inside.headers) as client:
        wait_until(lambda: last_price(client, "NSE:INFY") is not None)
        _, cursor = desk.hub.join()
        begun, done = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            threading.Event().wait(2)
            done.set()

        inside.serving.loop.add_callback(hold)
        assert begun.wait(5)
        at, frames = desk.clock.monotonic(), desk.socket.counters["frames"]
        worst = 0.0
        while not done.is_set():
            worst = max(worst, desk.hub.age())
            done.wait(0.01)
        held = desk.clock.monotonic() - at
        assert held > 1.5
        # The exchange sends every 250 ms: the feed's thread has gone on reading all the while.
        assert worst < 1.5
        assert desk.socket.counters["frames"] - frames >= 4
        rows, _, lost = desk.hub.since(cursor)
        assert lost == 0
        # Everything the exchange sent on this connection has arrived, tick for tick.
        wait_until(lambda: sent_by(str(desk.exchange.describe()["rest"])) == desk.hub.counters["ticks"], every=0.001)
        stamps = np.unique(rows["received_at"])
        assert np.diff(stamps).max() < 1.5e9
        wait_until(lambda: last_price(client, "NSE:INFY") is not None)
    assert inside.json("/api/system/health")["loop"]["worst_s"] > 1.5
