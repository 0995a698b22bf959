from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from kiteconnect import KiteConnect
from kiteconnect import exceptions as kite_errors

from tapedeck.cli import COMMANDS, main, parse_start
from tapedeck.clock import IST, MINUTE, ist_ns, to_ns
from tapedeck.errors import ConfigError, NetworkFailed
from tapedeck.schema import CANDLE
from tapedeck.sim.faults import LASTING, ONCE
from tapedeck.sim.login import Account, redirect_location
from tapedeck.sim.rest import candles_json, parse_time
from tapedeck.sim.server import ROUTES, is_loopback
from tapedeck.sim.today import MAX_WAITING, Workers
from tests.sim_support import INFY, NIFTY, TCS, Sim

DAY = date(2026, 11, 23)


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    """A server at 10:00 without rate limits."""
    with Sim(rate_limits=False) as sim:
        yield sim


@pytest.fixture(scope="module")
def kite(sim: Sim) -> KiteConnect:
    return sim.kite()


# Login


def test_the_login_page_says_that_it_is_simulated_and_its_button_leads_to_the_desk(sim: Sim) -> None:
    page = sim.get("/connect/login", params={"v": 3, "api_key": "simkey", "redirect_params": 'state="<x>"'})
    assert "SIMULATED" in page.text
    assert '"<x>"' not in page.text, "what comes from the address must be escaped"
    answer = requests.post(
        f"{sim.address}/connect/login",
        data={"api_key": "simkey", "redirect_params": "state=abc&page=2"},
        allow_redirects=False,
        timeout=10,
    )
    assert answer.status_code == 302
    target = urlsplit(answer.headers["Location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == "http://127.0.0.1:5006/api/auth/callback"
    query = parse_qs(target.query)
    assert len(query.pop("request_token")[0]) == 32
    assert query == {
        "action": ["login"],
        "type": ["login"],
        "status": ["success"],
        "state": ["abc"],
        "page": ["2"],
    }


def test_a_redirect_address_that_has_a_query_keeps_it() -> None:
    assert redirect_location("http://h/cb?a=1", "rt").startswith("http://h/cb?a=1&action=login&")


def test_login_with_a_foreign_key_is_refused(sim: Sim) -> None:
    assert sim.get("/connect/login", params={"api_key": "other", "auto": 1}).status_code == 400


def test_the_official_client_logs_in_and_sees_its_profile(sim: Sim) -> None:
    kite = sim.kite(login=False)
    session = kite.generate_session(sim.request_token(), "simsecret")
    assert session["user_id"] == kite.profile()["user_id"]
    assert isinstance(session["login_time"], datetime)
    assert session["login_time"].date() == DAY
    assert {"access_token", "public_token", "refresh_token", "enctoken", "meta", "silo", "api_key"} <= set(session)
    assert kite.margins()["equity"] == kite.margins("equity")


def test_a_request_token_works_once(sim: Sim) -> None:
    kite, token = sim.kite(login=False), sim.request_token()
    kite.generate_session(token, "simsecret")
    with pytest.raises(kite_errors.TokenException) as caught:
        kite.generate_session(token, "simsecret")
    assert caught.value.code == 403


def test_a_wrong_secret_is_refused_and_uses_nothing_up(sim: Sim) -> None:
    kite, token = sim.kite(login=False), sim.request_token()
    with pytest.raises(kite_errors.TokenException):
        kite.generate_session(token, "guess")
    assert kite.generate_session(token, "simsecret")["access_token"]


def test_a_request_token_is_too_old_after_five_minutes() -> None:
    with Sim() as sim:
        token = sim.request_token()
        sim.real.advance(301)  # type: ignore[attr-defined]
        with pytest.raises(kite_errors.TokenException):
            sim.kite(login=False).generate_session(token, "simsecret")


def test_request_tokens_that_nobody_fetches_do_not_pile_up(sim: Sim) -> None:
    account = Account(sim.clock)
    tokens = [account.approve() for _ in range(150)]

    def exchanged(token: str) -> bool:
        return account.exchange(token, hashlib.sha256(f"simkey{token}simsecret".encode()).hexdigest()) is not None

    assert not exchanged(tokens[0])
    assert exchanged(tokens[-1])


def test_a_missing_field_is_an_input_error(sim: Sim) -> None:
    answer = requests.post(f"{sim.address}/session/token", data={"api_key": "simkey"}, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error_type"] == "InputException"
    assert "request_token" in answer.json()["message"]


def test_logging_in_again_gives_the_same_token_until_logout() -> None:
    with Sim(rate_limits=False) as sim:
        first, second = sim.kite(), sim.kite()
        assert first.access_token == second.access_token
        assert first.invalidate_access_token() is True
        for kite in (first, second):
            with pytest.raises(kite_errors.TokenException):
                kite.profile()
        assert sim.kite().access_token != first.access_token


def test_secrets_are_in_no_repr(sim: Sim, kite: KiteConnect) -> None:
    assert "simsecret" not in repr(sim.server.exchange.account)
    assert kite.access_token not in repr(sim.server.exchange.account)


# Instruments


def test_the_official_client_reads_the_dump(sim: Sim, kite: KiteConnect) -> None:
    rows = kite.instruments()
    by_key = {f"{row['exchange']}:{row['tradingsymbol']}": row for row in rows}
    assert len(by_key) == len(rows)
    assert by_key[INFY]["instrument_token"] == sim.token(INFY)
    assert by_key[NIFTY]["segment"] == "INDICES"
    assert by_key[NIFTY]["instrument_type"] == "EQ"
    assert by_key[INFY]["expiry"] == ""
    futures = [row for row in rows if row["instrument_type"] == "FUT"]
    assert futures
    assert all(isinstance(row["expiry"], date) and row["expiry"] >= DAY for row in futures)
    assert {row["exchange"] for row in kite.instruments("NFO")} == {"NFO"}
    assert kite.instruments("MCX") == []


def test_the_dump_needs_no_token_and_is_gzipped_only_for_those_who_accept_it(sim: Sim) -> None:
    plain = sim.get("/instruments", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Content-Type"].startswith("text/csv")
    zipped = sim.get("/instruments", headers={"Accept-Encoding": "gzip"}, stream=True)
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.raw.read()) == plain.content


# Quotes


def test_a_quote_has_every_field_of_kites(kite: KiteConnect, sim: Sim) -> None:
    answer = kite.quote(INFY, NIFTY, "NSE:NO SUCH NAME")
    assert set(answer) == {INFY, NIFTY}
    quote = answer[INFY]
    assert set(quote) == {
        "instrument_token", "timestamp", "last_trade_time", "last_price", "last_quantity", "buy_quantity",
        "sell_quantity", "volume", "average_price", "oi", "oi_day_high", "oi_day_low", "net_change",
        "lower_circuit_limit", "upper_circuit_limit", "ohlc", "depth",
    }  # fmt: skip
    assert quote["timestamp"].date() == DAY
    assert quote["lower_circuit_limit"] < quote["last_price"] < quote["upper_circuit_limit"]
    assert [len(quote["depth"][side]) for side in ("buy", "sell")] == [5, 5]
    assert quote["depth"]["buy"][0]["price"] < quote["depth"]["sell"][0]["price"]
    assert quote["ohlc"]["low"] <= quote["last_price"] <= quote["ohlc"]["high"]
    assert answer[NIFTY]["volume"] == 0
    assert answer[NIFTY]["depth"]["buy"][0] == {"price": 0, "quantity": 0, "orders": 0}


def test_ohlc_and_ltp_agree_with_the_quote(kite: KiteConnect, sim: Sim) -> None:
    quote = kite.quote([TCS])[TCS]
    assert kite.ohlc(TCS) == {TCS: {key: quote[key] for key in ("instrument_token", "last_price", "ohlc")}}
    assert kite.ltp(TCS) == {TCS: {key: quote[key] for key in ("instrument_token", "last_price")}}
    assert kite.ltp(str(sim.token(TCS)), TCS)[str(sim.token(TCS))] == kite.ltp(TCS)[TCS]


def test_too_many_instruments_are_refused(kite: KiteConnect) -> None:
    names = [f"NSE:X{i}" for i in range(1000)]
    assert kite.ltp(names) == {}
    assert kite.quote(names[:500]) == {}
    with pytest.raises(kite_errors.InputException, match="501"):
        kite.quote(names[:501])


# Candles


def test_minute_candles_include_the_last_one_asked_for_and_carry_the_offset(kite: KiteConnect, sim: Sim) -> None:
    rows = kite.historical_data(sim.token(INFY), "2026-11-23 09:15:00", "2026-11-23 09:20:00", "minute")
    assert [row["date"].isoformat() for row in rows] == [f"2026-11-23T09:{m}:00+05:30" for m in range(15, 21)]
    assert all(row["low"] <= min(row["open"], row["close"]) <= row["high"] for row in rows)
    assert "oi" not in rows[0]
    raw = requests.get(
        f"{sim.address}/instruments/historical/{sim.token(INFY)}/minute",
        params={"from": "2026-11-23 09:15:00", "to": "2026-11-23 09:15:00", "oi": 1, "continuous": 1},
        headers={"Authorization": f"token simkey:{kite.access_token}"},
        timeout=10,
    ).json()
    assert raw["data"]["candles"][0][0] == "2026-11-23T09:15:00+0530"
    assert len(raw["data"]["candles"][0]) == 7


def test_the_forming_candle_is_the_last_one(kite: KiteConnect, sim: Sim) -> None:
    rows = kite.historical_data(sim.token(INFY), "2026-11-23 09:59:00", "2026-11-23 15:00:00", "minute")
    assert rows[-1]["date"] == datetime(2026, 11, 23, 10, 0, tzinfo=IST)


def test_daily_candles_of_a_year_arrive(kite: KiteConnect, sim: Sim) -> None:
    rows = kite.historical_data(sim.token(TCS), date(2025, 11, 24), date(2026, 11, 20), "day")
    assert 240 <= len(rows) <= 260
    assert rows[-1]["date"] == datetime(2026, 11, 20, tzinfo=IST)


@pytest.mark.parametrize(
    ("interval", "days"),
    [("minute", 60), ("3minute", 100), ("10minute", 100), ("15minute", 200), ("60minute", 400), ("day", 2000)],
)
def test_a_range_that_is_too_long_is_refused_in_kites_words(
    kite: KiteConnect, sim: Sim, interval: str, days: int
) -> None:
    with pytest.raises(kite_errors.InputException, match=f"interval exceeds max limit: {days} days"):
        kite.historical_data(sim.token(INFY), "2019-01-01", "2026-11-20", interval)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("1/minute", {"from": "2026-11-20", "to": "2026-11-20"}),
        ("{infy}/fortnight", {"from": "2026-11-20", "to": "2026-11-20"}),
        ("{infy}/minute", {"from": "yesterday", "to": "2026-11-20"}),
        ("{infy}/minute", {"from": "2026-11-20"}),
        ("{infy}/minute", {"from": "2026-11-21", "to": "2026-11-20"}),
        ("{infy}/minute", {"from": "2026-02-30", "to": "2026-11-20"}),
    ],
)
def test_impossible_candle_requests_are_input_errors(
    kite: KiteConnect, sim: Sim, path: str, params: dict[str, str]
) -> None:
    answer = sim.get(
        f"/instruments/historical/{path.format(infy=sim.token(INFY))}",
        params=params,
        headers={"Authorization": f"token simkey:{kite.access_token}"},
    )
    assert answer.status_code == 400
    assert answer.json()["error_type"] == "InputException"


@pytest.mark.timezones
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23 09:15:00", datetime(2026, 11, 23, 9, 15, tzinfo=IST)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=IST)),
        ("2026-11-23T09:15:00", datetime(2026, 11, 23, 9, 15, tzinfo=IST)),
        ("2026-11-23 09:15:00+05:30", datetime(2026, 11, 23, 9, 15, tzinfo=IST)),
        ("2026-11-23 09:15:00+0530", datetime(2026, 11, 23, 9, 15, tzinfo=IST)),
        ("2026-11-23 09:15:00 05:30", datetime(2026, 11, 23, 9, 15, tzinfo=IST)),
        ("2026-11-23T03:45:00Z", datetime(2026, 11, 23, 9, 15, tzinfo=IST)),
        ("2026-11-22 22:45:00-05:00", datetime(2026, 11, 23, 9, 15, tzinfo=IST)),
    ],
)
def test_request_times_are_indian_unless_they_say_otherwise(text: str, expected: datetime) -> None:
    assert parse_time(text) == to_ns(expected)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_no_request_time_breaks_the_parser(text: str) -> None:
    assert parse_time(text) is None or isinstance(parse_time(text), int)


def test_no_candles_are_an_empty_list() -> None:
    assert candles_json(np.zeros(0, CANDLE)) == b'{"status":"success","data":{"candles":[]}}'


# Errors and limits


def test_without_a_token_every_protected_address_answers_403(sim: Sim) -> None:
    kite = sim.kite(login=False)
    for ask in (kite.profile, kite.margins, lambda: kite.ltp(INFY)):
        with pytest.raises(kite_errors.TokenException) as caught:
            ask()
        assert caught.value.code == 403


def test_unknown_addresses_and_methods_answer_json(sim: Sim) -> None:
    assert sim.get("/no/such/thing").status_code == 404
    assert sim.get("/no/such/thing").json()["status"] == "error"
    answer = requests.put(f"{sim.address}/quote", timeout=10)
    assert (answer.status_code, answer.json()["error_type"]) == (405, "GeneralException")


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from(["/quote", "/quote/ltp", "/connect/login", "/instruments/historical/408065/day", "/"]),
    params=st.dictionaries(
        st.sampled_from(["i", "from", "to", "api_key", "oi", "zz"]), st.text(max_size=30), max_size=4
    ),
)
def test_no_parameters_crash_a_handler(sim: Sim, kite: KiteConnect, path: str, params: dict[str, str]) -> None:
    headers = {"Authorization": f"token simkey:{kite.access_token}"}
    assert sim.get(path, params=params, headers=headers, allow_redirects=False).status_code in (200, 302, 400)


@pytest.mark.parametrize(("kind", "limit"), [("quote", 1), ("historical", 3), ("other", 10)])
def test_rate_limits_hold_in_real_time_and_let_go_after_a_second(kind: str, limit: int) -> None:
    with Sim(speed=60.0) as sim:
        kite, infy = sim.kite(), sim.token(INFY)
        sim.real.advance(5)  # type: ignore[attr-defined]
        ask = {
            "quote": lambda: kite.ltp(INFY),
            "historical": lambda: kite.historical_data(infy, "2026-11-20", "2026-11-20", "day"),
            "other": kite.profile,
        }[kind]
        for _ in range(2):
            for _ in range(limit):
                ask()
            with pytest.raises(kite_errors.NetworkException, match="Too many requests") as caught:
                ask()
            assert caught.value.code == 429
            sim.real.advance(1.0)  # type: ignore[attr-defined]


def test_a_flood_of_expensive_requests_is_refused_and_not_queued(sim: Sim) -> None:
    gate = threading.Event()
    workers = Workers()

    async def flood() -> list[object]:
        tasks = [asyncio.ensure_future(workers.run(gate.wait)) for _ in range(MAX_WAITING + 5)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = sim.run(flood())
    workers.close()
    assert sum(isinstance(result, NetworkFailed) for result in results) == workers.refused == 5


# The simulator's own addresses


def test_the_front_page_says_simulated(sim: Sim) -> None:
    assert "SIMULATED" in sim.get("/").text


def test_the_clock_document_is_served(sim: Sim) -> None:
    document = sim.get("/sim/clock").json()
    assert document["source"] == "sim:7:2026-11-23"
    assert document["market_ns"] == sim.clock.now()


def test_faults_are_for_programs_on_this_machine_only(sim: Sim) -> None:
    answer = requests.post(
        f"{sim.address}/sim/faults", json={"fault": "drop"}, headers={"Origin": "https://evil.example"}, timeout=10
    )
    assert answer.status_code == 403
    assert [is_loopback(a) for a in ("127.0.0.1", "127.9.9.9", "::1", "10.0.0.5", "", "fe80::1%eth0")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [{"fault": "hangs"}, {}, {"fault": "slow", "delay_ms": -1}, {"fault": "slow", "speed": 3},
     {"fault": "hang", "duration_s": "long"}, {"fault": "clear", "name": "drop"}, {"fault": ["hang"]}],
)  # fmt: skip
def test_an_impossible_fault_is_explained(sim: Sim, body: dict[str, object]) -> None:
    answer = requests.post(f"{sim.address}/sim/faults", json=body, timeout=10)
    assert answer.status_code == 400
    assert "allowed" in answer.json()["message"]
    assert sim.get("/sim/faults").json()["active"] == []


def test_the_document_of_the_simulator_names_every_address_option_and_fault() -> None:
    text = (Path(__file__).parent.parent / "docs" / "simulator.md").read_text()
    for path, _ in ROUTES:
        assert f"`{re.split(r'[(]', path)[0].rstrip('/') or '/'}" in text, path
    for fault, args in {**LASTING, **ONCE}.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{fault}` |"))
        assert all(f"`{arg}`" in row for arg in args), fault
    parser = argparse.ArgumentParser()
    COMMANDS["sim"].declare(parser)
    for action in parser._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or f"`{option}`" in text, option


# The command line


def test_the_start_is_indian_time_unless_it_has_an_offset() -> None:
    assert parse_start("2026-11-23T09:14:30") == ist_ns(DAY, "09:14:30")
    assert parse_start("2026-11-23T03:44:30+00:00") == ist_ns(DAY, "09:14:30")
    with pytest.raises(ConfigError, match="--start was"):
        parse_start("soon")


@pytest.mark.parametrize(
    "arguments", [["--start", "soon"], ["--start", "2031-01-06T10:00"], ["--speed", "0"], ["--seed", "x"]]
)
def test_wrong_arguments_end_with_a_reason(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["sim", *arguments])
    except SystemExit as exc:
        status = exc.code
    assert status
    assert arguments[0].lstrip("-") in capsys.readouterr().err


def test_tapedeck_sim_says_where_it_serves_and_ends_cleanly_on_sigterm() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tapedeck.cli", "sim", "--start", "2026-11-23T09:14:30"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        text=True,
    )
    assert isinstance(process.stdout, io.TextIOBase)
    try:
        line = process.stdout.readline()
        assert line.startswith("SIM READY http://127.0.0.1:")
        address = line.split()[-1]
        assert requests.get(f"{address}/sim/clock", timeout=10).json()["date"] == "2026-11-23"
        too_many = requests.get(f"{address}/quote/ltp", params={"i": list(range(1001))}, timeout=10)
        assert too_many.json()["error_type"] == "TokenException", "read in full, then refused for its missing token"
    finally:
        process.terminate()
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_market_time_is_in_step_with_candles(kite: KiteConnect, sim: Sim) -> None:
    """The quote's volume is what the minutes so far add up to, or the desk's candles will never agree."""
    rows = kite.historical_data(sim.token(INFY), "2026-11-23 09:00:00", "2026-11-23 10:00:00", "minute")
    assert sum(row["volume"] for row in rows) == kite.quote(INFY)[INFY]["volume"]
    assert sim.clock.now() % MINUTE == 0
