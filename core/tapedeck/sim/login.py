"""The simulated exchange's one registered application: its login page, its tokens.

State: the request tokens handed out and not yet used, which access token is the valid one, and of which day.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import secrets
from urllib.parse import parse_qsl, urlencode

from tapedeck.clock import MINUTE, Clock, ist_date

#: Real seconds a request token can be exchanged.
REQUEST_TOKEN_S = 300.0
#: Access tokens die at this time of day in India, if they are made to.
DIES_AT_NS = 6 * 60 * MINUTE
#: Request tokens that may be waiting for their exchange; the oldest is dropped.
MAX_REQUEST_TOKENS = 100
DEFAULT_REDIRECT = "http://127.0.0.1:5006/api/auth/callback"

#: What a simulator accepts unless told otherwise; not a secret, it guards made-up numbers.
DEFAULT_API_KEY, DEFAULT_API_SECRET = "simkey", "simsecret"


class Account:
    """One API key with its secret, as registered with the exchange.

    The access token is derived from the secret and a generation number, so that a simulator that was
    restarted still knows the tokens of its clients, as a real exchange would. A new login returns the same
    token until it is logged out or expired, and with `daily_tokens` until 06:00 IST of market time.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        api_key: str = DEFAULT_API_KEY,
        api_secret: str = DEFAULT_API_SECRET,
        redirect_url: str = DEFAULT_REDIRECT,
        daily_tokens: bool = False,
    ) -> None:
        self._clock = clock
        self.api_key = api_key
        self._api_secret = api_secret
        self.redirect_url = redirect_url
        self._daily_tokens = daily_tokens
        self._generation = 0
        self._day = self._token_day()
        self._request_tokens: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Account({self.api_key!r})"

    def approve(self) -> str:
        """A fresh request token: what a person gets by logging in."""
        while len(self._request_tokens) >= MAX_REQUEST_TOKENS:
            del self._request_tokens[next(iter(self._request_tokens))]
        token = secrets.token_hex(16)
        self._request_tokens[token] = self._clock.monotonic()
        return token

    def signed(self, request_token: str, checksum: str) -> bool:
        """Whether the checksum was made with the API secret; says nothing of the request token."""
        expected = hashlib.sha256((self.api_key + request_token + self._api_secret).encode()).hexdigest()
        return hmac.compare_digest(expected.encode(), checksum.encode())

    def exchange(self, request_token: str, checksum: str) -> str | None:
        """The access token for a request token, which is used up; None when it or the checksum is wrong."""
        if not self.signed(request_token, checksum):
            return None
        issued = self._request_tokens.pop(request_token, None)
        if issued is None or self._clock.monotonic() - issued > REQUEST_TOKEN_S:
            return None
        return self._access_token()

    def knows(self, api_key: str, access_token: str) -> bool:
        """Whether these credentials are valid now."""
        return api_key == self.api_key and hmac.compare_digest(access_token.encode(), self._access_token().encode())

    def expire(self) -> None:
        """From now on the access token is invalid; the next login gives another one."""
        self._generation += 1

    def died(self) -> bool:
        """Whether the access token has died of its age since this was last asked."""
        before, self._day = self._day, self._token_day()
        return self._day != before

    def _token_day(self) -> str:
        # Of the market's date and of nothing else, so that a simulator that was restarted agrees.
        return ist_date(self._clock.now() - DIES_AT_NS).isoformat() if self._daily_tokens else ""

    def _access_token(self) -> str:
        day = self._token_day()
        text = f"{self.api_key}:{self._generation}{day and ':'}{day}".encode()
        return hmac.new(self._api_secret.encode(), text, hashlib.sha256).hexdigest()[:32]


def redirect_location(redirect_url: str, request_token: str, redirect_params: str = "") -> str:
    """Where the browser goes after a login: the registered address with what Kite adds to it."""
    query = [("action", "login"), ("type", "login"), ("status", "success"), ("request_token", request_token)]
    query += parse_qsl(redirect_params, keep_blank_values=True)
    return f"{redirect_url}{'&' if '?' in redirect_url else '?'}{urlencode(query)}"


def login_page(api_key: str, redirect_params: str) -> str:
    """The page a person sees: no password, one button, and plainly not the real thing."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>SIMULATED login</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0;
  background: #f4f5f7; color: #1c2330 }}
main {{ background: #fff; border: 1px solid #d9dde5; border-radius: 8px; padding: 2rem 2.5rem; max-width: 24rem }}
b {{ background: #b45309; color: #fff; padding: .1rem .5rem; border-radius: 4px; letter-spacing: .06em }}
button {{ font: inherit; padding: .5rem 1.5rem; border: 0; border-radius: 6px; background: #1d4ed8; color: #fff;
  cursor: pointer }}
</style></head><body><main><p><b>SIMULATED</b></p><h1>Log in</h1>
<p>This is the simulated exchange. No account is needed and no real order can be placed.</p>
<form method="post" action="/connect/login">
<input type="hidden" name="api_key" value="{html.escape(api_key)}">
<input type="hidden" name="redirect_params" value="{html.escape(redirect_params)}">
<button type="submit" autofocus>Login</button></form>
</main></body></html>"""


def session_document(api_key: str, access_token: str, login_time: str) -> dict[str, object]:
    """What `POST /session/token` answers."""
    return {
        **profile_document(),
        "api_key": api_key,
        "access_token": access_token,
        "public_token": hashlib.sha256(access_token.encode()).hexdigest()[:32],
        "enctoken": "",
        "refresh_token": "",
        "silo": "",
        "login_time": login_time,
    }


def profile_document() -> dict[str, object]:
    """What `GET /user/profile` answers."""
    return {
        "user_id": "SIM001",
        "user_type": "individual",
        "email": "trader@sim.invalid",
        "user_name": "Simulated Trader",
        "user_shortname": "Simulated",
        "broker": "ZERODHA",
        "exchanges": ["NSE", "NFO"],
        "products": ["CNC", "NRML", "MIS"],
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "avatar_url": None,
        "meta": {"demat_consent": "consent"},
    }


def margins_document() -> dict[str, dict[str, object]]:
    """What `GET /user/margins` answers, by segment."""
    available = {"adhoc_margin": 0, "cash": 1_000_000, "opening_balance": 1_000_000, "live_balance": 1_000_000}
    available |= {"collateral": 0, "intraday_payin": 0}
    used = dict.fromkeys(
        ("debits", "exposure", "m2m_realised", "m2m_unrealised", "option_premium", "payout", "span", "holding_sales",
         "turnover", "liquid_collateral", "stock_collateral", "delivery"), 0
    )  # fmt: skip
    segment = {"enabled": True, "net": 1_000_000, "available": available, "utilised": used}
    return {"equity": segment, "commodity": segment}
