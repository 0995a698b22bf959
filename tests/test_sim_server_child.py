from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from kiteconnect import KiteConnect

from tapedeck.clock import ist_ns, to_ist
from tapedeck.errors import SimulatorError
from tapedeck.sim.child import SimChild
from tests.sim_support import INFY
from tests.support import wait_until

START = "2026-11-23T09:14:30+05:30"


@pytest.fixture(scope="module")
def child() -> Iterator[SimChild]:
    """A running child. Tests may kill it: it comes back."""
    with SimChild(start=START, speed=2.0) as child:
        yield child


def clock_of(child: SimChild) -> dict[str, object]:
    return requests.get(f"{child.address}/sim/clock", timeout=10).json()


def accepts(address: str) -> bool:
    parts = urlsplit(address)
    try:
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), 5).close()
    except OSError:
        return False
    return True


def test_the_child_serves_at_the_start_and_speed_asked_for(child: SimChild) -> None:
    document = clock_of(child)
    assert document["start_ns"] == ist_ns(to_ist(int(str(document["start_ns"]))).date(), "09:14:30")
    assert (document["speed"], document["date"], document["seed"]) == (2.0, "2026-11-23", 7)
    assert child.ws_address == child.address.replace("http", "ws")
    assert child.running


def test_login_gives_a_token_that_works_and_appears_in_no_repr(child: SimChild) -> None:
    token = child.login()
    kite = KiteConnect("simkey", access_token=token, root=child.address)
    with kite.reqsession:
        assert kite.ltp(INFY)[INFY]["last_price"] > 0
    assert token not in repr(child)
    assert "simsecret" not in repr(child)


def test_the_secret_is_not_on_the_command_line(child: SimChild) -> None:
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(child.pid)], capture_output=True, text=True, check=True)
    assert "tapedeck" in shown.stdout
    assert "simsecret" not in shown.stdout


def test_a_killed_child_comes_back_on_its_port_with_its_tokens_and_its_time(child: SimChild) -> None:
    address, token, pid, before = child.address, child.login(), child.pid, clock_of(child)
    restarts = child.restarts
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: child.restarts > restarts, timeout=60)
    assert child.address == address
    assert child.pid != pid
    assert child.login() == token
    after = clock_of(child)
    assert after["start_ns"] == before["start_ns"]
    assert int(str(after["market_ns"])) > int(str(before["market_ns"]))
    assert "-9" in child.last_error


def test_a_start_that_fails_says_why() -> None:
    with pytest.raises(SimulatorError, match="--start was 'soon'"):
        SimChild(start="soon")


def test_a_port_that_is_taken_is_named(child: SimChild) -> None:
    port = urlsplit(child.address).port
    with pytest.raises(SimulatorError, match=f"cannot listen on 127.0.0.1:{port}"):
        SimChild(start=START, port=int(port or 0))


def test_a_child_that_never_gets_ready_is_given_up() -> None:
    command = (sys.executable, "-c", "import sys, threading; sys.stderr.write('hm\\n'); threading.Event().wait()")
    with pytest.raises(SimulatorError, match=r"was not ready in 0\.5 s.*\n.*hm"):
        SimChild(command=command, ready_timeout_s=0.5)


def test_a_stopped_child_can_be_closed_and_stays_closed() -> None:
    child = SimChild(start=START)
    address = child.address
    os.kill(child.pid, signal.SIGSTOP)
    child.close()
    child.close()
    assert child._process.returncode == 0, "it did not have to be killed"
    assert not child.running
    assert not accepts(address)


def test_the_simulator_ends_with_the_process_that_started_it() -> None:
    """The parent here ends without a word to its child, as one that is killed does."""
    script = (
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-m', 'tapedeck.cli', 'sim', '--start', sys.argv[1]]\n"
        "command += [f'--die-with-parent={os.getpid()}']\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)\n"
        "print(child.stdout.readline(), flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, START], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    address = done.stdout.split()[-1]
    assert address.startswith("http://127.0.0.1:")
    wait_until(lambda: not accepts(address), timeout=20)
