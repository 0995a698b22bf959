"""The search for secrets in what tests produce finds one that is there."""

from __future__ import annotations

import json

import pytest

from tests.canary import leaked, secrets_of, tokens_of_the_simulator
from tests.running import Program

SECRET = "a-secret-that-nobody-may-read"


def test_a_secret_is_found_and_only_its_beginning_is_told(tmp_path):
    (tmp_path / "token.json").write_text(json.dumps({"access_token": "the-token-of-today"}), encoding="utf-8")
    secrets = secrets_of(
        {"ZERODHA_API_SECRET": SECRET, "ZERODHA_API_KEY": "not-a-secret", "TAPEDECK_DATA": str(tmp_path)}
    )
    assert secrets == {SECRET, "the-token-of-today"}
    assert leaked(["all is well"], secrets) == []
    assert leaked(["x", f"GET /?secret={SECRET}"], secrets) == ["a-se..."]


def test_a_program_that_logs_a_secret_fails_its_test():
    text = "import os; print('SIM READY http://127.0.0.1:1'); print('oh', os.environ['ZERODHA_API_SECRET'])"
    program = Program("-c", text, environment={"ZERODHA_API_SECRET": SECRET})
    program.process.wait(10)
    with pytest.raises(AssertionError, match="a secret was logged"):
        program.stop()


def test_the_tokens_of_the_simulator_are_three_and_differ():
    assert len(tokens_of_the_simulator()) == 3
