from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tapedeck.clock import SystemClock
from tests.sim_support import INFY, NIFTY, TCS, Sim

CLIENT = Path(__file__).with_name("kite_ticker_client.py")


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    """A server in the middle of the day that beats by itself, four times as fast as real time."""
    with Sim(start="2026-11-23T11:00:00", speed=4.0, real=SystemClock()) as sim:
        yield sim


def official_ticker(*arguments: str) -> dict[str, Any]:
    # Its old autobahn warns about everything; only what it prints counts.
    command = [sys.executable, "-W", "ignore", str(CLIENT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[0])


def test_the_official_ticker_streams_all_three_modes(sim: Sim) -> None:
    tokens = {key: str(sim.token(key)) for key in (INFY, TCS, NIFTY)}
    root = sim.address.replace("http", "ws", 1)
    access_token = str(sim.kite().access_token)
    modes = {INFY: "full", TCS: "quote", NIFTY: "ltp"}
    answer = official_ticker(root, access_token, *(f"{mode}:{tokens[key]}" for key, mode in modes.items()))
    ticks = answer["ticks"]
    assert set(ticks) == set(tokens.values())
    full, quote, ltp = (ticks[tokens[key]] for key in (INFY, TCS, NIFTY))
    assert full["tradable"] is True
    assert len(full["depth"]["buy"]) == len(full["depth"]["sell"]) == 5
    assert full["exchange_timestamp"].startswith("2026-11-23")
    assert full["depth"]["buy"][0]["price"] < full["depth"]["sell"][0]["price"]
    assert quote["ohlc"]["low"] <= quote["last_price"] <= quote["ohlc"]["high"]
    assert set(ltp) == {"tradable", "mode", "instrument_token", "last_price"}
    assert sim.connections()["max_simultaneous"] == 1


def test_the_official_ticker_reads_403_in_the_reason(sim: Sim) -> None:
    answer = official_ticker(sim.address.replace("http", "ws", 1), "wrong", f"full:{sim.token(INFY)}")
    assert "403" in answer["closed"]
