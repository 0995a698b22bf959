"""However many look, the exchange sees one connection."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapedeck.relay.client import connect
from tests.running import Program, last_price, roots_of, start_desk, start_sim
from tests.support import wait_until

START = "2026-11-23T10:00:00"
KEYS = ["NSE:INFY", "NSE:TCS", "NSE:NIFTY 50", "NSE:RELIANCE"]


@pytest.fixture
def sim() -> Iterator[Program]:
    program = start_sim("--start", START)
    yield program
    program.stop()


@pytest.fixture
def desk(sim: Program, tmp_path: Path) -> Iterator[Program]:
    program = start_desk(data=tmp_path, environment=roots_of(sim))
    yield program
    program.stop()


def test_eleven_stream_clients_and_the_http_interface_cost_one_connection(sim, desk):
    clients = [connect(desk.stream, KEYS, headers=desk.headers) for _ in range(11)]
    try:
        wait_until(lambda: all(last_price(client, "NSE:INFY") is not None for client in clients))
        answer = desk.json("/api/quotes?i=NSE:INFY&i=NSE:SBIN")
        assert all(row["fresh"] for row in answer["quotes"].values()), answer
        connections = sim.json("/sim/connections")
        assert (connections["max_simultaneous"], connections["total"], connections["refused"]) == (1, 1, 0)
        assert desk.json("/api/system/health")["relay"]["viewers"] == 11
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: desk.json("/api/system/health")["relay"]["viewers"] == 0)


def test_a_second_desk_on_the_host_is_refused_and_told_where_the_first_listens(sim, desk, tmp_path):
    with pytest.raises(AssertionError) as ended:
        start_desk(data=tmp_path, environment=roots_of(sim))
    assert "ended with 3" in str(ended.value)
    assert desk.address in str(ended.value)
    assert sim.json("/sim/connections")["total"] == 1


def test_the_lock_of_a_desk_that_was_killed_is_free_again(sim, desk, tmp_path):
    desk.signal(signal.SIGKILL)
    desk.process.wait(5)
    second = start_desk(data=tmp_path, environment=roots_of(sim))
    try:
        wait_until(lambda: second.get("/readyz").status_code == 200)
        assert sim.json("/sim/connections")["max_simultaneous"] == 1
    finally:
        second.stop()


def test_a_desk_ends_cleanly_and_takes_its_own_simulator_with_it(tmp_path):
    program = start_desk("--sim", "--start", START, data=tmp_path)
    child = program.json("/api/system/health")["exchange"]["pid"]
    assert program.stop() == 0
    wait_until(lambda: not Path(f"/proc/{child}").exists())
