"""`tapedeck login`: the address, the answer, the saved token, and what it never prints."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tapedeck.cli import main
from tapedeck.errors import InputRefused
from tapedeck.kite.login import TokenFile, parse_request_token
from tests.rest_exchange import RestExchange, refusal, success
from tests.running import ROOT
from tests.sim_support import Sim

TOKEN, REQUEST_TOKEN, SECRET = "theaccesstoken", "therequesttoken", "the-api-secret"
GRANTED = {"access_token": TOKEN, "login_time": "2026-11-23 08:50:00", "user_id": "AB1234"}


@pytest.fixture
def kite():
    server = RestExchange()
    server.answer = success(GRANTED)
    yield server
    server.close()


@pytest.fixture
def environment(monkeypatch, tmp_path, kite):
    for name in [name for name in os.environ if name.startswith(("TAPEDECK_", "ZERODHA_"))]:
        monkeypatch.delenv(name)
    settings = {
        "ZERODHA_API_KEY": "kitekey", "ZERODHA_API_SECRET": SECRET, "TAPEDECK_DATA": str(tmp_path / "data"),
        "TAPEDECK_KITE_REST": kite.root, "TAPEDECK_KITE_WS": kite.root.replace("http", "ws"),
        "TAPEDECK_KITE_LOGIN": f"{kite.root}/connect/login",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.timezones
def test_the_token_is_saved_and_never_printed(environment, kite, tmp_path, capfd):
    assert main(["login", "--request-token", REQUEST_TOKEN]) == 0
    saved = TokenFile(tmp_path / "data" / "token.json").load()
    assert (saved.access_token, saved.user_id) == (TOKEN, "AB1234")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert kite.requests[0].form["request_token"] == [REQUEST_TOKEN]
    out, err = capfd.readouterr()
    assert "Logged in as AB1234" in out
    assert "good until 24 Nov 06:00 IST" in out
    assert not any(secret in out + err for secret in (TOKEN, SECRET, REQUEST_TOKEN))


def test_the_address_is_shown_and_what_the_browser_was_sent_to_is_taken(environment, kite, capfd):
    address = f"http://127.0.0.1:5006/api/auth/callback?action=login&status=success&request_token={REQUEST_TOKEN}\n"
    environment.setattr(sys, "stdin", io.StringIO(address))
    assert main(["login"]) == 0
    assert kite.requests[0].form["request_token"] == [REQUEST_TOKEN]
    out = capfd.readouterr().out
    assert f"  {kite.root}/connect/login?v=3&api_key=kitekey\n" in out
    assert REQUEST_TOKEN not in out


@pytest.mark.parametrize(
    ("typed", "says"),
    [("", "nothing was pasted"), ("\n", "nothing was pasted"), ("http://x/?a=1\n", "no request token")],
)
def test_an_answer_that_is_none_ends_with_a_reason(environment, kite, capfd, typed, says):
    environment.setattr(sys, "stdin", io.StringIO(typed))
    assert main(["login"]) == 1
    assert says in capfd.readouterr().err
    assert kite.requests == []


@pytest.mark.parametrize(
    ("empty", "says"),
    [
        (["ZERODHA_API_KEY"], "ZERODHA_API_KEY is empty"),
        (["ZERODHA_API_SECRET"], "ZERODHA_API_SECRET is empty"),
        (["ZERODHA_API_KEY", "ZERODHA_API_SECRET"], "ZERODHA_API_KEY and ZERODHA_API_SECRET are empty"),
    ],
)
def test_a_missing_key_or_secret_is_said_before_anybody_logs_in(environment, kite, capfd, empty, says):
    for name in empty:
        environment.setenv(name, "")
    assert main(["login", "--request-token", REQUEST_TOKEN]) == 2
    assert says in capfd.readouterr().err
    assert kite.requests == []


def test_a_wrong_setting_sends_the_token_nowhere(environment, kite, capfd):
    for name in ("TAPEDECK_KITE_REST", "TAPEDECK_KITE_WS", "TAPEDECK_KITE_LOGIN"):
        with environment.context() as only:
            only.setenv(name, "nowhere")
            assert main(["login", "--request-token", REQUEST_TOKEN]) == 2
        assert name in capfd.readouterr().err
    environment.setenv("ZERODHA_API_KEY", "your_api_key")
    assert main(["login", "--request-token", REQUEST_TOKEN]) == 2
    assert "ZERODHA_API_KEY" in capfd.readouterr().err
    assert kite.requests == []


def test_settings_in_the_files_of_the_folder_are_read(environment, kite, tmp_path):
    environment.chdir(tmp_path)
    environment.delenv("ZERODHA_API_SECRET")
    (tmp_path / ".env").write_text(f"ZERODHA_API_SECRET={SECRET}\n")
    assert main(["login", "--request-token", REQUEST_TOKEN]) == 0
    assert len(kite.requests) == 1


def test_a_refusal_of_kite_ends_with_1_and_saves_nothing(environment, kite, tmp_path, capfd):
    kite.answer = refusal(403, "TokenException", f"Token is invalid: {REQUEST_TOKEN} {SECRET}")
    assert main(["login", "--request-token", REQUEST_TOKEN]) == 1
    err = capfd.readouterr().err
    assert "Token is invalid" in err
    assert not any(secret in err for secret in (SECRET, REQUEST_TOKEN))
    assert not (tmp_path / "data" / "token.json").exists()


def test_a_folder_that_cannot_be_written_ends_with_1(environment, tmp_path, capfd):
    (tmp_path / "data").write_text("a file in its place")
    assert main(["login", "--request-token", REQUEST_TOKEN]) == 1
    assert "could not be written" in capfd.readouterr().err


def test_a_person_at_a_terminal_with_the_simulated_exchange(tmp_path):
    with Sim(rate_limits=False) as sim:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TAPEDECK_", "ZERODHA_"))}
        own = {
            "ZERODHA_API_KEY": "simkey", "ZERODHA_API_SECRET": "simsecret", "TAPEDECK_DATA": str(tmp_path),
            "TAPEDECK_KITE_REST": sim.address, "TAPEDECK_KITE_WS": sim.address.replace("http", "ws", 1),
            "TAPEDECK_KITE_LOGIN": f"{sim.address}/connect/login",
            "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "tapedeck.cli", "login"], cwd=ROOT, env=clean | own, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            shown = ""
            while not (address := re.search(r"^  (http\S+)$", shown, re.M)):
                line = process.stdout.readline()
                assert line, process.stderr.read()
                shown += line
            back = requests.get(address[1] + "&auto=1", allow_redirects=False, timeout=10).headers["Location"]
            out, err = process.communicate(back + "\n", timeout=60)
        finally:
            process.kill()
            process.communicate()
        assert (process.returncode, err) == (0, "")
        assert "Logged in as SIM001" in out
        saved = TokenFile(tmp_path / "token.json").load()
        assert sim.call(sim.server.exchange.account.knows, "simkey", saved.access_token)
        assert saved.access_token not in shown + out
        assert parse_qs(urlsplit(back).query)["request_token"][0] not in shown + out


# -- what a person pastes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        REQUEST_TOKEN,
        f"  {REQUEST_TOKEN}\n",
        f"http://127.0.0.1:5006/api/auth/callback?action=login&status=success&request_token={REQUEST_TOKEN}&state=x",
        f"127.0.0.1:5006/cb?request_token={REQUEST_TOKEN}",
        f"?request_token={REQUEST_TOKEN}&status=success",
        f"request_token={REQUEST_TOKEN}",
    ],
)
def test_the_request_token_is_found_in_whatever_is_pasted(text):
    assert parse_request_token(text) == REQUEST_TOKEN


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 65, "not a token", "http://x/?request_token=", "http://x/?request_token=%27%22", "/x?y"]
)
def test_what_holds_no_request_token_is_refused_without_repeating_it(text):
    with pytest.raises(InputRefused, match="no request token") as caught:
        parse_request_token(text)
    assert not text or text not in str(caught.value)


def test_a_login_that_kite_ended_is_said_so():
    with pytest.raises(InputRefused, match="status 'cancelled'"):
        parse_request_token("http://127.0.0.1/?status=cancelled&request_token=" + REQUEST_TOKEN)
