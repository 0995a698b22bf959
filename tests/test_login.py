"""Logging in to Kite, and the token file."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import traceback
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from tapedeck.clock import IST, to_ns
from tapedeck.errors import BadAnswer, InputRefused, LoginRequired, NetworkFailed
from tapedeck.kite.login import Credentials, TokenFile, exchange, login_url
from tests.rest_exchange import Answer, RestExchange, refusal, success

KEY, SECRET, REQUEST_TOKEN, TOKEN = "kitekey", "the-api-secret", "the-request-token", "the-access-token"


@pytest.fixture
def kite():
    server = RestExchange()
    yield server
    server.close()


@pytest.mark.timezones
def test_a_request_token_becomes_the_credentials_of_the_day(kite):
    kite.answer = success({"access_token": TOKEN, "login_time": "2026-11-23 08:30:00"})
    credentials = exchange(kite.root, KEY, SECRET, REQUEST_TOKEN)
    assert credentials == Credentials(KEY, TOKEN)
    assert credentials.issued_at == to_ns(datetime(2026, 11, 23, 8, 30, tzinfo=IST))
    [request] = kite.requests
    checksum = hashlib.sha256(f"{KEY}{REQUEST_TOKEN}{SECRET}".encode()).hexdigest()
    assert (request.method, request.path) == ("POST", "/session/token")
    assert request.form == {"api_key": [KEY], "request_token": [REQUEST_TOKEN], "checksum": [checksum]}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(403, "TokenException", f"Token is invalid: {REQUEST_TOKEN} {SECRET}"), LoginRequired),
        (success({"login_time": "2026-11-23 08:30:00"}), BadAnswer),
        (success({"access_token": "", "login_time": ""}), BadAnswer),
        (success({"access_token": "a\r\nb", "login_time": ""}), BadAnswer),
        (success({"access_token": "\ud800", "login_time": ""}), BadAnswer),
        (success({"access_token": TOKEN}), BadAnswer),
        (success([]), BadAnswer),
        (Answer(502, f"<html>{SECRET}</html>".encode(), "text/html"), BadAnswer),
        (Answer(503, b'{"status":"error","message":"down","error_type":"NetworkException"}'), NetworkFailed),
    ],
)
def test_a_login_that_fails_says_why_without_the_secrets(kite, answer, error):
    kite.answer = answer
    with pytest.raises(error) as caught:
        exchange(kite.root, KEY, SECRET, REQUEST_TOKEN)
    said = "".join(traceback.format_exception(caught.value))
    assert not any(secret in said.replace("test_login.py", "") for secret in (SECRET, REQUEST_TOKEN, TOKEN))


@pytest.mark.parametrize(("secret", "token", "missing"), [("", "x", "ZERODHA_API_SECRET"), ("x", "", "request_token")])
def test_a_login_with_nothing_to_show_is_refused_before_it_is_tried(kite, secret, token, missing):
    with pytest.raises(InputRefused, match=missing):
        exchange(kite.root, KEY, secret, token)
    assert kite.requests == []


def test_the_login_address_carries_the_parameters_back():
    url = login_url(KEY, redirect_params={"state": "a b&c"})
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://kite.zerodha.com/connect/login"
    query = parse_qs(parts.query)
    assert query["v"] == ["3"]
    assert query["api_key"] == [KEY]
    assert parse_qs(query["redirect_params"][0]) == {"state": ["a b&c"]}
    assert "redirect_params" not in login_url(KEY, root="http://127.0.0.1:9/connect/login")


# -- the token file ------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return TokenFile(tmp_path / "data" / "token.json")


def test_what_is_saved_is_loaded_and_private(file):
    assert file.load() is None
    file.save(Credentials(KEY, TOKEN, 5))
    loaded = file.load()
    assert loaded == Credentials(KEY, TOKEN)
    assert loaded.issued_at == 5
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.path.parent.iterdir()] == ["token.json"]


def test_saving_closes_the_folder_to_everybody_else(file):
    file.path.parent.mkdir(mode=0o755)
    file.path.parent.chmod(0o755)
    file.save(Credentials(KEY, TOKEN))
    assert stat.S_IMODE(file.folder.stat().st_mode) == 0o700


def test_a_folder_that_is_everybodys_is_left_as_it_is_and_it_is_said(file, caplog):
    file.path.parent.mkdir()
    file.path.parent.chmod(0o1777)
    file.save(Credentials(KEY, TOKEN))
    assert stat.S_IMODE(file.folder.stat().st_mode) == 0o1777
    assert "open to other users" in caplog.text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_the_user_is_saved_and_a_file_without_one_is_read(file):
    file.save(Credentials(KEY, TOKEN, 5, "AB1234"))
    assert file.load().user_id == "AB1234"
    document = json.loads(file.path.read_text())
    for other in (document | {"user_id": None}, {name: document[name] for name in document if name != "user_id"}):
        file.path.write_text(json.dumps(other))
        assert file.load().user_id == ""


def test_a_change_is_noticed_once_by_everybody(file):
    other = TokenFile(file.path)
    assert not file.changed()
    file.save(Credentials(KEY, TOKEN))
    assert not file.changed(), "its own doing is no news to it"
    assert other.changed()
    assert not other.changed()
    file.save(Credentials(KEY, TOKEN[::-1]))  # same size, perhaps the same clock tick: the inode tells
    assert other.changed()
    file.clear()
    file.clear()
    assert other.changed()
    assert other.load() is None
    assert not other.changed()
    assert not file.changed()
    other.save(Credentials(KEY, TOKEN))
    assert file.changed()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b'{"api_key": "k"}', b"\xff\xfe", b'{"api_key":null,"access_token":null}']
)
def test_a_broken_file_asks_for_a_login_without_repeating_it(file, content):
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    with pytest.raises(LoginRequired, match="does not hold a token"):
        file.load()


def test_a_link_or_a_folder_in_its_place_asks_for_a_login(file, tmp_path):
    file.path.parent.mkdir()
    real = tmp_path / "real.json"
    real.write_text(json.dumps({"api_key": KEY, "access_token": TOKEN}))
    file.path.symlink_to(real)
    with pytest.raises(LoginRequired, match="cannot be read"):
        file.load()
    file.path.unlink()
    file.path.mkdir()
    with pytest.raises(LoginRequired, match="not a file of this user"):
        file.load()
    file.path.rmdir()
    os.mkfifo(file.path)
    with pytest.raises(LoginRequired, match="not a file of this user"):
        file.load()


def test_a_reader_never_sees_half_a_file(file):
    file.save(Credentials(KEY, "0" * 1000))
    stop = threading.Event()

    def write():
        digit = 0
        while not stop.is_set():
            digit = (digit + 1) % 10
            file.save(Credentials(KEY, str(digit) * 1000))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            token = file.load().access_token
            assert len(token) == 1000
            assert len(set(token)) == 1
    finally:
        stop.set()
        writer.join()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(file, monkeypatch):
    file.save(Credentials(KEY, TOKEN))

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.save(Credentials(KEY, "another"))
    assert file.load().access_token == TOKEN
    assert len(list(file.path.parent.iterdir())) == 1
