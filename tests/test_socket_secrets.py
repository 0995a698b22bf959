"""The token opens the account: it may reach Kite's own server and nothing else."""

from __future__ import annotations

import datetime
import ipaddress
import json
import logging
import ssl
from urllib.parse import quote, quote_plus

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tapedeck.clock import SystemClock, to_ist
from tapedeck.kite.login import Credentials
from tests.socket_exchange import TOKEN, Desk, Exchange
from tests.support import wait_until

SPELLINGS = (TOKEN, quote(TOKEN, safe=""), quote_plus(TOKEN), json.dumps(TOKEN)[1:-1])


@pytest.fixture
def spoken(caplog, capfd):
    """Everything that was logged at any level or printed, as one text."""
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "asyncio", "tapedeck"):
        caplog.set_level(logging.DEBUG, logger=name)

    def text() -> str:
        formatter = logging.Formatter("%(name)s %(message)s")
        printed = capfd.readouterr()
        return "\n".join([formatter.format(record) for record in caplog.records] + [printed.out, printed.err])

    return text


def assert_silent(text: str) -> None:
    for spelling in SPELLINGS:
        assert spelling not in text


def run_into_everything(exchange: Exchange) -> Desk:
    """A desk that met refusal, drops, echoes of its own token, garbage and a failing sink."""
    desk = Desk(exchange)
    exchange.answer = 503
    desk.socket.start()
    wait_until(lambda: len(exchange.requests) == 2)
    exchange.answer = 101
    desk.wait_for("LIVE")
    desk.fail_sink = True
    desk.socket.subscribe("page", [1])
    exchange.send(b"\x00\x00")
    exchange.send(json.dumps({"type": "error", "data": f"invalid token {TOKEN}"}))
    exchange.send(json.dumps({"type": "message", "data": {"url": f"/?access_token={quote(TOKEN, safe='')}"}}))
    wait_until(lambda: desk.socket.counters["text"] == 2)
    exchange.drop(code=1011, reason=f"go away {TOKEN}")
    wait_until(lambda: desk.socket.status.connections == 2)
    exchange.drop()
    wait_until(lambda: desk.socket.status.connections == 3)
    exchange.mute = True
    desk.wait_for("STALE")
    exchange.answer = 403
    desk.wait_for("LOGIN_REQUIRED")
    desk.socket.close()
    return desk


@pytest.mark.parametrize("debug", ["", "1"])
def test_the_token_is_in_no_log_no_status_and_no_repr(monkeypatch, spoken, debug):
    monkeypatch.setenv("PYTHONASYNCIODEBUG", debug)
    exchange = Exchange()
    try:
        desk = run_into_everything(exchange)
    finally:
        exchange.stop()
    text = spoken()
    assert "LOGIN_REQUIRED" in text  # the log was really captured
    assert_silent(text)
    assert_silent(repr(desk.statuses) + repr(desk.socket) + repr(desk.socket.last_message) + repr(desk.socket.counters))
    assert desk.socket.last_message is not None


def test_what_a_credentials_provider_raises_is_not_repeated(spoken):
    exchange = Exchange()
    desk = Desk(exchange)

    def fail():
        raise RuntimeError(f"could not parse {TOKEN}")

    desk.socket._credentials = fail
    desk.socket.start()
    desk.wait_for("LOGIN_REQUIRED")
    desk.socket.close()
    exchange.stop()
    text = spoken()
    assert "RuntimeError" in text
    assert_silent(text + repr(desk.statuses))


def test_credentials_show_neither_token_nor_a_way_back_to_it():
    credentials = Credentials("kitekey", TOKEN)
    assert_silent(repr(credentials) + str(credentials) + credentials.fingerprint)
    assert credentials.fingerprint != Credentials("other", TOKEN).fingerprint != Credentials("other", "x").fingerprint
    assert len(credentials.fingerprint) == 16


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1: path of the certificate and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "exchange.test")])
    now = to_ist(SystemClock().now())
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def tls_exchange(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    exchange = Exchange(context)
    yield exchange
    exchange.stop()


def test_a_server_that_cannot_prove_its_name_is_never_told_the_token(tls_exchange):
    desk = Desk(tls_exchange)
    desk.socket.start()
    wait_until(lambda: desk.socket.counters["attempts"] >= 2)
    desk.socket.close()
    assert tls_exchange.requests == []
    assert any("certificate is not trusted" in status.reason for status in desk.statuses)


def test_a_server_that_can_is_connected_over_tls(tls_exchange, certificate):
    desk = Desk(tls_exchange, ssl_context=ssl.create_default_context(cafile=str(certificate[0])))
    desk.socket.start()
    desk.wait_for("LIVE")
    tls_exchange.mute = True
    desk.wait_for("STALE")
    tls_exchange.mute = False
    desk.wait_for("LIVE")
    desk.socket.close()
    assert tls_exchange.most_open == 1
