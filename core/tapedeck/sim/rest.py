"""The REST half of the simulated exchange: Kite Connect's addresses, answers, limits and errors."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import datetime
from typing import Any

import numpy as np
from tornado.web import HTTPError, RequestHandler

from tapedeck.clock import DAY, IST, IST_OFFSET_NS, to_ns
from tapedeck.errors import NetworkFailed
from tapedeck.schema import INTERVALS
from tapedeck.sim.exchange import Exchange
from tapedeck.sim.login import login_page, margins_document, profile_document, redirect_location, session_document
from tapedeck.sim.quotes import ltp_document, ohlc_document, quote_document, timestamp

log = logging.getLogger(__name__)

#: Days one request for candles may span. The numbers are those of Kite's own error message.
MAX_DAYS = {
    "minute": 60,
    "3minute": 100,
    "5minute": 100,
    "10minute": 100,
    "15minute": 200,
    "30minute": 200,
    "60minute": 400,
    "day": 2000,
}
#: How each quote address answers, and for how many instruments at most.
QUOTE_SHAPES = {"": (quote_document, 500), "ohlc": (ohlc_document, 1000), "ltp": (ltp_document, 1000)}
BAD_TOKEN = "Incorrect `api_key` or `access_token`."
_ERROR_TYPES = {403: "TokenException", 400: "InputException", 429: "NetworkException", 503: "NetworkException"}
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?)?\s*(Z|[+-]?\d\d:?\d\d)?")


class KiteHandler(RequestHandler):
    """Base of all REST handlers: faults, rate limit, authentication, the JSON envelope."""

    limit = "other"
    needs_token = True

    def initialize(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.api_key = ""
        self._gone = False

    async def prepare(self) -> None:
        faults = self.exchange.faults
        while faults.hangs("rest") and not self._gone:
            await asyncio.sleep(0.05)
        if str(self.request.method).lower() not in vars(type(self)):
            raise HTTPError(405)
        if faults.active("http_429") is not None:
            self.refuse(429, "Too many requests")
        self.api_key, access_token = self.credentials()
        if not self.exchange.limits.allow(self.api_key or str(self.request.remote_ip), self.limit):
            self.refuse(429, "Too many requests")
        denied = faults.active("http_403") is not None or not self.exchange.account.knows(self.api_key, access_token)
        if self.needs_token and denied:
            self.exchange.log.refuse_token("request")
            self.refuse(403, BAD_TOKEN)

    def credentials(self) -> tuple[str, str]:
        """API key and access token of the Authorization header, empty where absent."""
        scheme, _, rest = self.request.headers.get("Authorization", "").partition(" ")
        key, _, token = rest.strip().partition(":")
        return (key, token) if scheme.lower() == "token" else ("", "")

    def refuse(self, status: int, message: str, error_type: str = "") -> None:
        """Answer with Kite's error envelope; raises, so nothing after it runs."""
        raise Refusal(status, message, error_type or _ERROR_TYPES.get(status, "GeneralException"))

    def answer(self, data: Any) -> None:
        """Answer with Kite's success envelope."""
        self.answer_json(json.dumps({"status": "success", "data": data}, separators=(",", ":"), allow_nan=False))

    def answer_json(self, body: str | bytes) -> None:
        """Answer with a body that is JSON already."""
        self.set_header("Content-Type", "application/json")
        self.finish(body)

    def argument(self, name: str) -> str:
        """One required argument, from the query or the form."""
        value = self.get_argument(name, "")
        if not value:
            self.refuse(400, f"Missing or empty field `{name}`")
        return value

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, Refusal):
            message, error_type = error.text, error.error_type
        elif isinstance(error, NetworkFailed):
            self.set_status(503)
            message, error_type = str(error), "NetworkException"
        else:
            message = {404: "Route not found", 405: "Method not allowed", 400: "Invalid request"}.get(
                status_code, "Something went wrong"
            )
            error_type = "InputException" if status_code == 400 else "GeneralException"
        body = {"status": "error", "message": message, "data": None, "error_type": error_type}
        self.answer_json(json.dumps(body))

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        # Refusals are answers, not faults of ours. Tornado would print the whole address, tokens included.
        if not isinstance(value, (HTTPError, NetworkFailed)):
            log.error("%s %s failed", self.request.method, self.request.path, exc_info=value)

    def on_connection_close(self) -> None:
        self._gone = True


class Refusal(HTTPError):
    """An error that the client is meant to read."""

    def __init__(self, status: int, message: str, error_type: str) -> None:
        super().__init__(status)
        self.text = message
        self.error_type = error_type


class NotFound(KiteHandler):
    """Every address that does not exist."""

    needs_token = False

    async def prepare(self) -> None:
        raise HTTPError(404)


class Login(KiteHandler):
    """`/connect/login`: the page, and what its button does."""

    needs_token = False
    limit = "login"

    async def get(self) -> None:
        self._check()
        if self.get_query_argument("auto", "") == "1":
            self._approve()
            return
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(login_page(self.api_key, self.get_query_argument("redirect_params", "")))

    async def post(self) -> None:
        self._check()
        self._approve()

    def _check(self) -> None:
        self.api_key = self.argument("api_key")
        if self.api_key != self.exchange.account.api_key:
            self.refuse(400, "Invalid `api_key`.")

    def _approve(self) -> None:
        account = self.exchange.account
        params = self.get_argument("redirect_params", "")
        self.redirect(redirect_location(account.redirect_url, account.approve(), params))


class SessionToken(KiteHandler):
    """`/session/token`: a request token for an access token, and logout."""

    needs_token = False

    async def post(self) -> None:
        api_key, request_token, checksum = map(self.argument, ("api_key", "request_token", "checksum"))
        account = self.exchange.account
        if api_key != account.api_key:
            self.refuse(403, "Invalid `api_key`.")
        if not account.signed(request_token, checksum):
            # Kite looks at the checksum first: a wrong secret is told from a token that was used.
            self.exchange.log.refuse_token("login")
            self.refuse(403, "Invalid `checksum`.")
        access_token = account.exchange(request_token, checksum)
        if access_token is None:
            self.exchange.log.refuse_token("login")
            self.refuse(403, "Token is invalid or has expired.")
            return
        self.answer(session_document(api_key, access_token, timestamp(self.exchange.clock.now()) or ""))

    async def delete(self) -> None:
        if not self.exchange.account.knows(self.argument("api_key"), self.argument("access_token")):
            self.exchange.log.refuse_token("request")
            self.refuse(403, BAD_TOKEN)
        self.exchange.account.expire()
        self.exchange.streamer.drop(None, "token invalidated")
        self.answer(True)


class Profile(KiteHandler):
    """`/user/profile`"""

    async def get(self) -> None:
        self.answer(profile_document())


class Margins(KiteHandler):
    """`/user/margins` and `/user/margins/{segment}`"""

    async def get(self, segment: str = "") -> None:
        margins = margins_document()
        if segment and segment not in margins:
            self.refuse(400, "Invalid segment")
        self.answer(margins[segment] if segment else margins)


class Dump(KiteHandler):
    """`/instruments` and `/instruments/{exchange}`: CSV, served without a token as Kite does."""

    needs_token = False

    async def get(self, exchange: str = "") -> None:
        dumps = (await self.exchange.today.current()).dumps
        plain, zipped = dumps.get(exchange, dumps[""])
        if exchange and exchange not in dumps:
            plain = zipped = plain.split(b"\n", 1)[0] + b"\n"
        self.set_header("Content-Type", "text/csv")
        if plain is not zipped and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            plain = zipped
        self.finish(plain)


class Quote(KiteHandler):
    """`/quote`, `/quote/ohlc`, `/quote/ltp`: the last state; unknown instruments are left out silently."""

    limit = "quote"

    async def get(self, shape: str = "") -> None:
        document, most = QUOTE_SHAPES[shape]
        keys = list(dict.fromkeys(self.get_query_arguments("i")))
        if not keys:
            self.refuse(400, "Missing or empty field `i`")
        if len(keys) > most:
            self.refuse(400, f"Maximum instruments limit exceeded: {len(keys)}; at most {most} are allowed.")
        loaded = await self.exchange.today.current()
        found = {key: loaded.by_key.get(key) for key in keys}
        found |= {key: loaded.by_token.get(int(key)) for key in keys if key.isdecimal()}
        known = {key: instrument for key, instrument in found.items() if instrument is not None}
        self.answer(document(self.exchange, loaded, known) if known else {})


class Historical(KiteHandler):
    """`/instruments/historical/{token}/{interval}`"""

    limit = "historical"

    async def get(self, token: str, interval: str) -> None:
        if interval not in INTERVALS:
            self.refuse(400, "invalid interval")
        start_ns, end_ns = self._time("from"), self._time("to")
        if end_ns < start_ns:
            self.refuse(400, "`from` date should be before the `to` date")
        if end_ns - start_ns > MAX_DAYS[interval] * DAY:
            self.refuse(400, f"interval exceeds max limit: {MAX_DAYS[interval]} days")
        loaded = await self.exchange.today.current()
        if int(token) not in loaded.by_token:
            self.refuse(400, "invalid token")
        oi = self.get_query_argument("oi", "0") == "1"
        market, now_ns = self.exchange.market, self.exchange.clock.now()

        def work() -> bytes:
            return candles_json(
                market.candles(int(token), interval, start_ns, end_ns, now_ns=now_ns, oi=oi), with_oi=oi
            )

        self.answer_json(await self.exchange.workers.run(work))

    def _time(self, name: str) -> int:
        ns = parse_time(self.argument(name))
        if ns is None:
            self.refuse(400, f"invalid {name} date")
            return 0
        return ns


def parse_time(text: str) -> int | None:
    """UTC nanoseconds of a Kite request time; a time without offset is IST, a date its midnight.

    None when it cannot be read. The `+` of an offset may have become a space on its way through a URL.
    """
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    day, clock, offset = match.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{clock or '00:00'}")
        if offset:
            sign = "" if offset[0] in "+-Z" else "+"
            return to_ns(datetime.fromisoformat(f"{at.isoformat()}{sign}{offset}"))
        return to_ns(at.replace(tzinfo=IST))
    except ValueError:
        return None


def candles_json(candles: np.ndarray, *, with_oi: bool = False) -> bytes:
    """The answer of the historical endpoint for CANDLE rows, times as `2026-11-23T09:15:00+0530`."""
    local = (candles["date"] + IST_OFFSET_NS).astype("datetime64[ns]")
    stamps = np.char.add(np.datetime_as_string(local, "s"), "+0530") if len(candles) else np.zeros(0, "U1")
    names = ("open", "high", "low", "close", "volume", "oi") if with_oi else ("open", "high", "low", "close", "volume")
    columns = [stamps.tolist(), *(np.maximum(candles[name], 0).tolist() for name in names)]
    rows = list(zip(*columns, strict=True))
    return json.dumps({"status": "success", "data": {"candles": rows}}, separators=(",", ":")).encode()
