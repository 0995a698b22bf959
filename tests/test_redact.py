"""No log shows a secret, whoever wrote it and however it came in."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapedeck.redact import HIDDEN, RedactingFilter, install, redact

SECRET = "s3cr3tS3CR3T-_aB"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /?token={SECRET} (127.0.0.1)",
        f"GET /api/auth/callback?action=login&request_token={SECRET}&state=9f{SECRET}&status=success",
        f"303 /login?next=%2F%3Ftoken%3D{SECRET}%26a%3Db",
        f"wss://ws.kite.trade?api_key=k&access_token={SECRET}",
        f"redirect_params=state%3D{SECRET}",
        f"body api_secret={SECRET}&checksum={SECRET}",
        f"password={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"Authorization: token api_key:{SECRET}",
        f"{{'Authorization': 'token key:{SECRET}', 'X-Kite-Version': '3'}}",
        f"{{'Authorization': 'Bearer {SECRET}'}}",
        f'{{"access_token": "{SECRET}", "user_id": "AB1234"}}',
        f"{{'request_token': '{SECRET}'}}",
        f"Cookie: tapedeck-session-5006={SECRET}; a=b",
        f"headers={{'Cookie': 'tapedeck-session-5006={SECRET}'}}",
        f"tapedeck-session-5006={SECRET}",
        f"bearer {SECRET} was refused",
        f"ZERODHA_API_SECRET={SECRET} JWT_SECRET={SECRET}",
        f"TOKEN={SECRET}",
    ],
)
def test_a_secret_is_taken_out_wherever_it_stands(text):
    shown = redact(text)
    assert SECRET not in shown
    assert HIDDEN in shown
    assert redact(shown) == shown


def test_a_signed_token_is_taken_out_though_nothing_says_so():
    assert redact(f"what is {JWT} for") == f"what is {HIDDEN} for"


@pytest.mark.parametrize(
    "text",
    [
        "feed state=LIVE, 3 tokens, token 738561 confirmed", "instrument_tokens=50",
        "instrument_token=738561", '{"instrument_token": "738561"}', "GET /api/quotes?i=NSE:INFY&state",
        "the token has expired", "password was too short", "NIFTY 26,000.50", "",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


@pytest.fixture
def logged():
    """A logger of its own and what it has written."""
    written = io.StringIO()
    logger = logging.getLogger("test-redact")
    logger.propagate = False
    handler = logging.StreamHandler(written)
    logger.addHandler(handler)
    install(logger)
    install(logger)
    assert len(handler.filters) == 1
    yield logger, written
    logger.removeHandler(handler)


def test_a_handler_writes_neither_arguments_nor_errors_with_secrets(logged):
    logger, written = logged
    logger.warning("403 GET %s in %d ms", f"/?token={SECRET}", 3)
    try:
        raise ValueError(f"no answer from wss://x?access_token={SECRET}")
    except ValueError:
        logger.exception("lost %s", "it")
    assert SECRET not in written.getvalue()
    assert f"/?token={HIDDEN} in 3 ms" in written.getvalue()
    assert "ValueError: no answer from wss://x?access_token=" in written.getvalue()


def test_a_record_whose_arguments_do_not_fit_is_left_to_the_handler():
    record = logging.LogRecord("x", logging.INFO, "", 0, "%d", ("no number",), None)
    assert RedactingFilter().filter(record)


@given(st.text(max_size=200))
def test_any_text_may_be_given(text):
    assert redact(redact(text)) == redact(text)
