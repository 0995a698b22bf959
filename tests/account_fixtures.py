"""An account of Kite under test: its own server, a clock moved by hand, and a token file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tapedeck.clock import ManualClock
from tapedeck.kite.account import KiteAccount
from tapedeck.kite.login import TokenFile
from tests.account_support import KEY, NOW, SECRET
from tests.rest_exchange import RestExchange


@pytest.fixture
def kite_server() -> Iterator[RestExchange]:
    """A server that answers what it is told to."""
    server = RestExchange()
    yield server
    server.close()


@pytest.fixture
def hand_clock() -> ManualClock:
    """Ten in the morning, until it is moved."""
    return ManualClock(NOW)


@pytest.fixture
def token_file(tmp_path: Path) -> TokenFile:
    """The token file as another process sees it."""
    return TokenFile(tmp_path / "data" / "token.json")


@pytest.fixture
def make_account(
    kite_server: RestExchange, hand_clock: ManualClock, token_file: TokenFile
) -> Iterator[Callable[..., KiteAccount]]:
    """Makes accounts on this server, clock and file; options are laid over. They are closed at the end."""
    made: list[KiteAccount] = []

    def make(**options: Any) -> KiteAccount:
        usual = {
            "api_key": KEY,
            "api_secret": SECRET,
            "rest_root": kite_server.root,
            "login_root": "http://127.0.0.1:1/connect/login",
            "tokens": TokenFile(token_file.path),
            "clock": hand_clock,
        }
        made.append(KiteAccount(**usual | options))
        return made[-1]

    yield make
    for account in made:
        account.close()
