"""What can happen to the connection: hang, death, a refused token. Numbers are fresh or blank, never old."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tapedeck.kite.login import Credentials, TokenFile
from tapedeck.relay.client import connect
from tapedeck.sim.child import log_in
from tests.running import Program, last_price, roots_of, start_desk, start_sim
from tests.support import wait_until

START = "2026-11-23T10:00:00"
KEY = "NSE:INFY"


@pytest.fixture
def sim() -> Iterator[Program]:
    program = start_sim("--start", START)
    yield program
    program.stop()


def quote(desk: Program) -> dict[str, Any]:
    return desk.json(f"/api/quotes?i={KEY}")["quotes"][KEY]


def fresh(desk: Program) -> bool:
    return bool(quote(desk)["fresh"])


def test_a_hung_exchange_blanks_every_number_with_the_reason_and_they_return_by_themselves(sim, tmp_path):
    desk = start_desk(data=tmp_path, environment=roots_of(sim))
    try:
        with connect(desk.stream, [KEY], headers=desk.headers) as client:
            wait_until(lambda: last_price(client, KEY) is not None)
            sim.signal(signal.SIGSTOP)
            wait_until(lambda: last_price(client, KEY) is None, timeout=6)
            blank = quote(desk)
            assert (blank["last_price"], blank["fresh"]) == (None, False)
            assert blank["reason"]
            sim.signal(signal.SIGCONT)
            wait_until(lambda: last_price(client, KEY) is not None, timeout=6)
        log = sim.json("/sim/connections")
        assert log["max_simultaneous"] == 1
    finally:
        desk.stop()


def test_numbers_return_when_a_killed_exchange_listens_again(sim, tmp_path):
    desk = start_desk(data=tmp_path, environment=roots_of(sim))
    second = None
    try:
        wait_until(lambda: fresh(desk))
        sim.signal(signal.SIGKILL)
        wait_until(lambda: not fresh(desk), timeout=6)
        assert quote(desk)["last_price"] is None
        second = start_sim("--start", START, port=sim.port)
        wait_until(lambda: fresh(desk), timeout=5)
        assert second.json("/sim/connections")["total"] == 1
    finally:
        desk.stop()
        if second is not None:
            second.stop()


def test_a_simulator_of_its_own_that_died_is_started_again(tmp_path):
    desk = start_desk("--sim", "--start", START, data=tmp_path)
    try:
        wait_until(lambda: fresh(desk))
        before = desk.json("/api/system/health")["exchange"]
        os.kill(before["pid"], signal.SIGKILL)
        wait_until(lambda: desk.json("/api/system/health")["exchange"]["restarts"] == 1)
        wait_until(lambda: desk.get("/readyz").status_code == 200 and fresh(desk), timeout=20)
        assert desk.json("/api/system/health")["exchange"]["pid"] != before["pid"]
    finally:
        desk.stop()


def test_a_refused_token_is_tried_once_and_a_new_one_goes_live_without_a_restart(sim, tmp_path):
    tokens = TokenFile(tmp_path / "token.json")
    tokens.save(Credentials("simkey", "stale-token"))
    desk = start_desk(data=tmp_path, environment=roots_of(sim) | {"ZERODHA_API_KEY": "simkey"})
    try:
        wait_until(lambda: desk.json("/api/system/health")["feed"]["state"] == "LOGIN_REQUIRED")
        answer = desk.json("/api/system/health")
        assert answer["simulated"]
        assert quote(desk)["last_price"] is None
        assert "login" in quote(desk)["reason"]
        refused = sim.json("/sim/connections")
        assert (refused["refused"], refused["total"]) == (1, 0)
        tokens.save(Credentials("simkey", log_in(sim.address)))
        wait_until(lambda: desk.json("/api/system/health")["feed"]["state"] == "LIVE", timeout=2)
        wait_until(lambda: fresh(desk))
        after = sim.json("/sim/connections")
        assert (after["refused"], after["total"]) == (1, 1)
        assert "stale-token" not in desk.output
    finally:
        desk.stop()


def test_a_token_that_expires_in_use_needs_a_login_and_shows_no_old_number(sim, tmp_path):
    tokens = TokenFile(tmp_path / "token.json")
    tokens.save(Credentials("simkey", log_in(sim.address)))
    desk = start_desk(data=tmp_path, environment=roots_of(sim) | {"ZERODHA_API_KEY": "simkey"})
    try:
        wait_until(lambda: fresh(desk))
        sim.post("/sim/faults", {"fault": "expire"})
        wait_until(lambda: desk.json("/api/system/health")["feed"]["state"] == "LOGIN_REQUIRED", timeout=6)
        assert quote(desk)["last_price"] is None
        tokens.save(Credentials("simkey", log_in(sim.address)))
        wait_until(lambda: fresh(desk), timeout=6)
    finally:
        desk.stop()


def test_a_desk_with_a_key_and_no_token_asks_for_a_login_and_never_simulates(sim, tmp_path):
    desk = start_desk(data=tmp_path, environment=roots_of(sim) | {"ZERODHA_API_KEY": "simkey"})
    try:
        health = desk.json("/api/system/health")
        assert health["feed"]["state"] == "LOGIN_REQUIRED"
        assert health["exchange"]["kind"] == "kite"
        assert sim.json("/sim/connections")["refused"] == 0
    finally:
        desk.stop()
