"""Words of the tests of Kite's account: the keys, the tokens and the times."""

from __future__ import annotations

from datetime import date

from tapedeck.clock import ist_ns
from tapedeck.kite.account import KiteAccount

KEY, SECRET, TOKEN, OTHER = "kitekey", "the-api-secret", "the-access-token", "the-other-token"
REQUEST_TOKEN = "therequesttoken"
NOW = ist_ns(date(2026, 11, 23), "10:00")
SIX = ist_ns(date(2026, 11, 24), "06:00")
#: What Kite answers to a login.
GRANTED = {"access_token": TOKEN, "login_time": "2026-11-23 10:00:00", "user_id": "AB1234"}


def states(account: KiteAccount) -> list[str]:
    """The states an account has gone through."""
    return [step.to_state for step in account.timeline]
