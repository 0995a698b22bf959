"""Secrets that the tests use, and whether one of them got into what the tests produced.

Every program's output is searched when it ends (`tests.running`), and every test's captured output and log after it
(`tests/conftest.py`): a secret that is logged anywhere fails the test that logged it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tapedeck.clock import ManualClock
from tapedeck.settings import SETTINGS
from tapedeck.sim.login import Account

#: Shorter ones are words.
SHORTEST = 9


def tokens_of_the_simulator() -> frozenset[str]:
    """The access tokens that its default account gives out first, second and third."""
    account, found = Account(ManualClock()), set()
    for _ in range(3):
        found.add(account._access_token())
        account.expire()
    return frozenset(found)


def secrets_of(environment: Mapping[str, str]) -> frozenset[str]:
    """What a program with this environment knows that nobody may read: settings, and what is in its data folder."""
    found = {environment.get(setting.name, "") for setting in SETTINGS if setting.secret}
    data = environment.get("TAPEDECK_DATA")
    if data:
        try:
            found.add(str(json.loads((Path(data) / "token.json").read_text(encoding="utf-8"))["access_token"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none was saved, or a test put something else in its place
        secret = Path(data) / "jwt_secret"
        if secret.is_file():
            found.add(secret.read_text(encoding="utf-8").strip())
    return frozenset(secret for secret in found if len(secret) >= SHORTEST)


def leaked(texts: Iterable[str], secrets: Iterable[str]) -> list[str]:
    """The beginnings of the secrets that are in one of the texts."""
    texts = list(texts)
    return sorted(f"{secret[:4]}..." for secret in secrets if any(secret in text for text in texts))
