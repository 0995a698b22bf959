"""Kite over HTTP: our words, our times, our errors."""

from __future__ import annotations

import inspect
import math
import socket as net
import traceback
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
import requests
from kiteconnect import exceptions as kite_errors

from tapedeck.clock import IST, to_ns
from tapedeck.errors import (
    BadAnswer,
    InputRefused,
    KiteError,
    LoginRequired,
    NetworkFailed,
    OrderRefused,
    PermissionDenied,
    RateLimited,
)
from tapedeck.kite.rest import KiteRest, ist_text, map_error, parse_candles
from tests.rest_exchange import Answer, RestExchange, refusal, success

TOKEN = "the-access-token"


@pytest.fixture
def exchange():
    server = RestExchange()
    yield server
    server.close()


@pytest.fixture
def rest(exchange):
    rest = KiteRest("kitekey", lambda: TOKEN, exchange.root)
    yield rest
    rest.close()


# -- errors --------------------------------------------------------------------------------------------------

THEIRS = [cls for _, cls in inspect.getmembers(kite_errors, inspect.isclass) if issubclass(cls, Exception)]

EXPECTED = {
    "KiteException": NetworkFailed,
    "GeneralException": NetworkFailed,
    "TokenException": LoginRequired,
    "PermissionException": PermissionDenied,
    "OrderException": OrderRefused,
    "InputException": InputRefused,
    "DataException": BadAnswer,
    "NetworkException": NetworkFailed,
}


@pytest.mark.parametrize("theirs", THEIRS, ids=lambda cls: cls.__name__)
def test_every_exception_of_the_client_has_one_of_ours(theirs):
    ours = map_error(theirs("something happened"))
    assert type(ours) is EXPECTED[theirs.__name__]
    assert "something happened" in str(ours)


@pytest.mark.parametrize("theirs", THEIRS, ids=lambda cls: cls.__name__)
def test_too_many_requests_is_known_by_its_status(theirs):
    assert type(map_error(theirs("Too many requests", code=429))) is RateLimited


@pytest.mark.parametrize(("code", "ours"), [(400, InputRefused), (403, PermissionDenied), (500, NetworkFailed)])
def test_a_general_exception_is_known_by_its_status(code, ours):
    assert type(map_error(kite_errors.GeneralException("no", code=code))) is ours


REQUESTS = [
    cls
    for _, cls in inspect.getmembers(requests.exceptions, inspect.isclass)
    if issubclass(cls, requests.exceptions.RequestException) and cls is not requests.exceptions.JSONDecodeError
]


@pytest.mark.parametrize("theirs", REQUESTS, ids=lambda cls: cls.__name__)
def test_every_exception_of_the_transport_has_one_of_ours_and_loses_its_text(theirs):
    ours = map_error(theirs("GET /session/token?access_token=the-access-token failed"))
    assert type(ours) in (NetworkFailed, BadAnswer)
    assert TOKEN not in str(ours)


@pytest.mark.parametrize("theirs", [KeyError("content-type"), KeyError("data"), ValueError("x"), TypeError("x")])
def test_an_answer_the_client_stumbles_over_is_a_bad_answer(theirs):
    assert type(map_error(theirs)) is BadAnswer


def test_ours_stays_what_it_is():
    error = LoginRequired("log in")
    assert map_error(error) is error


def test_a_page_of_html_is_cut_short_and_secrets_are_struck_out():
    error = map_error(kite_errors.DataException(f"Unknown Content-Type\n {TOKEN} " + "<p>" * 1000), secrets=(TOKEN, ""))
    assert len(str(error)) < 230
    assert TOKEN not in str(error)
    assert "***" in str(error)


ANSWERS = [
    (refusal(403, "TokenException", "Incorrect `api_key` or `access_token`."), LoginRequired),
    (refusal(403, "PermissionException", "Insufficient permission for that call."), PermissionDenied),
    (refusal(429, "NetworkException", "Too many requests"), RateLimited),
    (refusal(400, "InputException", "invalid token"), InputRefused),
    (refusal(400, "MarginException", "not enough"), InputRefused),
    (refusal(503, "NetworkException", "backend down"), NetworkFailed),
    (refusal(500, "GeneralException", "oops"), NetworkFailed),
    (Answer(502, b"<html>Bad gateway</html>", "text/html"), BadAnswer),
    (Answer(200, b"{", "application/json"), BadAnswer),
    (Answer(200, b"[]", "application/json"), BadAnswer),
    (Answer(200, b"{}", "application/json"), BadAnswer),
    (Answer(200, b'{"status":"error"}', "application/json"), BadAnswer),
    (Answer(200, b'{"status":"success","data":7}', "application/json"), BadAnswer),
    (Answer(200, b"hello", None), BadAnswer),
    (Answer(200, b"{}", "application/json", {"Content-Encoding": "gzip"}), BadAnswer),
]


@pytest.mark.parametrize(("answer", "ours"), ANSWERS)
@pytest.mark.parametrize("what", ["profile", "quote", "candles", "instruments"])
def test_whatever_kite_answers_ends_in_one_of_our_errors(exchange, rest, answer, ours, what):
    exchange.answer = answer
    calls = {
        "profile": rest.fetch_profile,
        "quote": lambda: rest.fetch_quote(["NSE:INFY"]),
        "candles": lambda: rest.fetch_candles(408065, "minute", 0, 1),
        "instruments": rest.fetch_instruments,
    }
    with pytest.raises(ours) as caught:
        calls[what]()
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_nobody_listening_is_a_failed_network_without_the_address():
    with net.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        rest = KiteRest("kitekey", lambda: TOKEN, f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(NetworkFailed, match="could not be reached") as caught:
            rest.fetch_profile()
        rest.close()
    assert "profile" not in str(caught.value)


def test_a_server_that_never_answers_is_a_failed_network():
    with net.create_server(("127.0.0.1", 0)) as server:
        rest = KiteRest("kitekey", lambda: TOKEN, f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.1)
        with pytest.raises(NetworkFailed, match="in time"):
            rest.fetch_profile()
        rest.close()


# -- requests ------------------------------------------------------------------------------------------------


def test_without_a_token_nothing_is_asked(exchange):
    rest = KiteRest("kitekey", lambda: None, exchange.root)
    with pytest.raises(LoginRequired, match="log in"):
        rest.fetch_profile()
    assert exchange.requests == []
    rest.close()


def test_the_token_is_asked_for_every_request(exchange):
    tokens = iter(["one", "two"])
    rest = KiteRest("kitekey", lambda: next(tokens), exchange.root)
    exchange.answer = success({"user_id": "AB1234"})
    assert rest.fetch_profile() == {"user_id": "AB1234"}
    rest.fetch_profile()
    assert [request.headers["Authorization"] for request in exchange.requests] == [
        "token kitekey:one", "token kitekey:two",
    ]  # fmt: skip
    assert exchange.requests[0].headers["X-Kite-Version"] == "3"
    rest.close()


def test_every_request_is_paced_by_its_kind(exchange):
    kinds = []
    rest = KiteRest("kitekey", lambda: TOKEN, exchange.root, pace=kinds.append)
    exchange.answer = success({})
    rest.fetch_profile()
    rest.fetch_quote([f"NSE:S{i}" for i in range(501)])
    exchange.answer = success({"candles": []})
    rest.fetch_candles(408065, "day", 0, 1)
    assert kinds == ["other", "quote", "quote", "historical"]
    rest.close()


def test_the_instruments_come_as_they_are_and_need_no_token(exchange):
    exchange.answer = Answer(200, b"instrument_token,exchange_token\n408065,1594\n", "text/csv")
    rest = KiteRest("kitekey", lambda: None, exchange.root)
    assert rest.fetch_instruments() == exchange.answer.body
    rest.fetch_instruments("NSE")
    assert [request.path for request in exchange.requests] == ["/instruments", "/instruments/NSE"]
    rest.close()


def test_a_dump_that_is_none_is_refused(exchange, rest):
    exchange.answer = Answer(200, b"maintenance,until\n", "text/csv")
    with pytest.raises(BadAnswer, match="not an instruments dump"):
        rest.fetch_instruments()


@pytest.mark.timezones
def test_a_quote_speaks_the_words_of_the_stream(exchange, rest):
    exchange.answer = success(
        {
            "NSE:INFY": {
                "instrument_token": 408065, "timestamp": "2026-11-23 10:00:01", "last_trade_time": None,
                "last_price": 1500, "last_quantity": 3, "average_price": 1499.5, "volume": 1000, "buy_quantity": 7,
                "sell_quantity": 8, "oi": 0, "ohlc": {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5},
                "depth": {"buy": [], "sell": []}, "lower_circuit_limit": 1.0,
            },
            "NSE:NIFTY 50": {"instrument_token": 256265, "last_price": 24000.5},
        }
    )  # fmt: skip
    quotes = rest.fetch_quote(["NSE:INFY", "NSE:NIFTY 50", "NSE:GONE"])
    infy = quotes["NSE:INFY"]
    assert infy["exchange_timestamp"] == to_ns(datetime(2026, 11, 23, 10, 0, 1, tzinfo=IST))
    assert infy["last_trade_time"] == 0
    assert (infy["volume_traded"], infy["last_traded_quantity"], infy["average_traded_price"]) == (1000, 3, 1499.5)
    assert (infy["total_buy_quantity"], infy["total_sell_quantity"]) == (7, 8)
    assert (infy["open"], infy["close"], infy["last_price"]) == (1.0, 1.5, 1500.0)
    assert "volume" not in infy
    assert "ohlc" not in infy
    assert quotes["NSE:NIFTY 50"]["exchange_timestamp"] == 0
    assert "NSE:GONE" not in quotes
    assert exchange.requests[0].query == {"i": ["NSE:INFY", "NSE:NIFTY 50", "NSE:GONE"]}


@pytest.mark.timezones
@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 23, 9, 15, tzinfo=IST),
        datetime(2026, 11, 23, 3, 45, tzinfo=timezone.utc),
        datetime(2026, 11, 22, 22, 45, tzinfo=timezone(timedelta(hours=-5))),
        to_ns(datetime(2026, 11, 23, 9, 15, tzinfo=IST)),
    ],
)
def test_kite_is_asked_in_the_time_of_india_wherever_we_are(exchange, rest, at):
    exchange.answer = success({"candles": [["2026-11-23T09:15:00+0530", 1, 2.5, 0.5, 2, 100]]})
    candles = rest.fetch_candles(408065, "minute", at, at)
    request = exchange.requests[0]
    assert request.path == "/instruments/historical/408065/minute"
    assert request.query["from"] == request.query["to"] == ["2026-11-23 09:15:00"]
    assert (request.query["continuous"], request.query["oi"]) == (["0"], ["0"])
    assert candles["date"].tolist() == [to_ns(datetime(2026, 11, 23, 9, 15, tzinfo=IST))]
    assert candles[0].tolist()[1:] == (1.0, 2.5, 0.5, 2.0, 100, -1)
    assert ist_text(at) == "2026-11-23 09:15:00"


def test_a_time_without_a_zone_is_refused(rest, exchange):
    with pytest.raises(ValueError, match="naive"):
        rest.fetch_candles(408065, "minute", datetime(2026, 11, 23, 9, 15), 0)  # noqa: DTZ001  the very point
    assert exchange.requests == []


def test_an_interval_kite_does_not_have_is_refused_before_it_is_asked(rest, exchange):
    with pytest.raises(InputRefused, match="interval was '7minute'; allowed: minute, 3minute"):
        rest.fetch_candles(408065, "7minute", 0, 1)
    assert exchange.requests == []


def test_candles_with_open_interest_and_other_stamps_are_read():
    rows = [["2026-11-23T09:15:00+0530", 1, 1, 1, 1, 10, 500], ["2026-11-23T09:16:00+05:30", 1, 1, 1, 1, 10, 501]]
    candles = parse_candles(rows)
    assert np.diff(candles["date"]).tolist() == [60_000_000_000]
    assert candles["oi"].tolist() == [500, 501]
    assert parse_candles(rows[:1])["date"][0] == candles["date"][0]
    assert len(parse_candles([])) == 0


@pytest.mark.parametrize("rows", [[["2026-11-23T09:15:00+0530", 1]], [["yesterday", 1, 1, 1, 1, 1]], [[]], [7], None])
def test_candles_that_are_none_are_a_bad_answer(exchange, rest, rows):
    exchange.answer = success({"candles": rows})
    with pytest.raises(BadAnswer):
        rest.fetch_candles(408065, "minute", 0, 1)


def test_a_price_that_is_missing_is_nan(exchange, rest):
    exchange.answer = success({"NSE:X": {}})
    assert math.isnan(rest.fetch_quote(["NSE:X"])["NSE:X"]["last_price"])


def test_no_repr_shows_the_token(rest):
    assert TOKEN not in repr(rest)
    assert "127.0.0.1" in repr(rest)


def test_every_error_of_kite_is_one_of_the_tree():
    assert all(issubclass(cls, KiteError) for cls in EXPECTED.values())
