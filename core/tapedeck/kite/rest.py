"""Kite over HTTP: the instruments dump, quotes, candles and the profile, in our words and with our errors."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import requests
from kiteconnect import KiteConnect
from kiteconnect import exceptions as kite_errors

from tapedeck.clock import IST, IST_OFFSET_NS, SECOND, to_ist, to_ns
from tapedeck.errors import (
    BadAnswer,
    InputRefused,
    KiteError,
    LoginRequired,
    NetworkFailed,
    OrderRefused,
    PermissionDenied,
    RateLimited,
)
from tapedeck.schema import CANDLE, INTERVALS

#: Most instruments of one `/quote` request.
QUOTE_CHUNK = 500
#: Characters of Kite's own text that an error repeats; a proxy's error page would fill the screen.
TEXT_KEPT = 200

#: REST's spellings -> the words of the stream, which are ours.
_WORDS = {
    "volume": "volume_traded",
    "last_quantity": "last_traded_quantity",
    "average_price": "average_traded_price",
    "buy_quantity": "total_buy_quantity",
    "sell_quantity": "total_sell_quantity",
    "timestamp": "exchange_timestamp",
}

_KINDS: tuple[tuple[type[Exception], type[KiteError]], ...] = (
    (kite_errors.TokenException, LoginRequired),
    (kite_errors.PermissionException, PermissionDenied),
    (kite_errors.OrderException, OrderRefused),
    (kite_errors.InputException, InputRefused),
    (kite_errors.DataException, BadAnswer),
    (kite_errors.NetworkException, NetworkFailed),
)

T = TypeVar("T")


def map_error(exc: BaseException, *, secrets: Iterable[str] = ()) -> KiteError:
    """Our error for what the client raised; never contains one of `secrets`, an address or a page of HTML."""
    if isinstance(exc, KiteError):
        return exc
    if isinstance(exc, kite_errors.KiteException):
        return _kite_error(exc, secrets)
    if isinstance(exc, requests.exceptions.SSLError):
        return NetworkFailed("Kite's certificate was not accepted; check the address and this machine's clock")
    if isinstance(exc, requests.exceptions.JSONDecodeError | requests.exceptions.ContentDecodingError):
        return BadAnswer("Kite's answer could not be decoded")
    if isinstance(exc, requests.exceptions.Timeout):
        return NetworkFailed("Kite did not answer in time")
    if isinstance(exc, requests.exceptions.RequestException | OSError):
        # Its text may hold the whole address, and so a token: only the kind is repeated.
        return NetworkFailed(f"Kite could not be reached ({type(exc).__name__})")
    if isinstance(exc, KeyError) and exc.args == ("content-type",):
        return BadAnswer("Kite's answer had no content type")
    return BadAnswer(f"Kite's answer could not be read ({type(exc).__name__})")


def _kite_error(exc: kite_errors.KiteException, secrets: Iterable[str]) -> KiteError:
    code = getattr(exc, "code", 0)
    said = _clean(str(exc), secrets) or type(exc).__name__
    if code == 429:
        return RateLimited(f"Kite says: {said}")
    for theirs, ours in _KINDS:
        if isinstance(exc, theirs):
            return ours(f"Kite says: {said}")
    # Margin, holding and user errors arrive as a general one: the client does not know them by name.
    if code == 403:
        return PermissionDenied(f"Kite says: {said}")
    if 400 <= code < 500:
        return InputRefused(f"Kite says: {said}")
    return NetworkFailed(f"Kite failed ({code}): {said}")


def _clean(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = " ".join(text.split())
    return text if len(text) <= TEXT_KEPT else text[: TEXT_KEPT - 1] + "…"


class KiteRest:
    """Kite's REST interface; one request at a time per call, safe to use from several threads.

    State: the client with its pool of connections. The token is asked of `access_token` for every request.
    `pace(kind)` is called before each one with `quote`, `historical` or `other`, and may wait or refuse;
    `on_refused(kind, seconds)` after each one that was answered with 429, 0 where not said for how long.
    `kite.quota.Quota` is made for both.
    `on_answer(access_token, error)` hears how each request that needed the token ended; None when it went well.
    """

    def __init__(
        self,
        api_key: str,
        access_token: Callable[[], str | None],
        root: str,
        *,
        timeout: float = 7.0,
        pace: Callable[[str], object] | None = None,
        on_refused: Callable[[str, float], object] | None = None,
        on_answer: Callable[[str, KiteError | None], object] | None = None,
    ) -> None:
        self.root = root
        self._on_answer = on_answer
        self._api_key = api_key
        self._access_token = access_token
        self._timeout = timeout
        self._pace, self._on_refused = pace, on_refused
        self._session = requests.Session()
        self._session.hooks["response"].append(self._hear)
        self._heard = threading.local()

    def __repr__(self) -> str:
        return f"KiteRest(host={urlsplit(self.root).netloc!r})"

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def fetch_instruments(self, exchange: str | None = None) -> bytes:
        """The instruments dump as Kite's CSV; all exchanges, or one. Needs no token."""

        def get(kite: Any) -> bytes:
            # The client's own `instruments()` takes seconds to make 100,000 dictionaries of it.
            if exchange is None:
                return kite._get("market.instruments.all")
            return kite._get("market.instruments", url_args={"exchange": exchange})

        data = self._ask("other", get, needs_token=False)
        if not isinstance(data, bytes) or not data.startswith(b"instrument_token"):
            raise BadAnswer("Kite's answer was not an instruments dump")
        return data

    def fetch_profile(self) -> dict[str, Any]:
        """The user's profile: the cheapest proof that the token is valid."""
        return self._ask("other", lambda kite: dict(kite.profile()))

    def fetch_quote(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Per `EXCHANGE:TRADINGSYMBOL` the full quote in the words of the stream; times are UTC ns, 0 = none.

        An instrument Kite does not know is absent from the answer.
        """
        answer: dict[str, dict[str, Any]] = {}
        for i in range(0, len(keys), QUOTE_CHUNK):
            part = list(keys[i : i + QUOTE_CHUNK])
            answer.update(
                self._ask("quote", lambda kite, part=part: _quotes(kite._get("market.quote", params={"i": part})))
            )
        return answer

    def fetch_candles(
        self,
        instrument_token: int,
        interval: str,
        start: int | datetime,
        end: int | datetime,
        *,
        continuous: bool = False,
        oi: bool = False,
    ) -> np.ndarray:
        """CANDLE array from `start` to `end`, both inclusive, UTC ns or tz-aware; `oi` -1 when not asked for.

        The last bar is still forming when `end` has not passed.

        Raises
        ------
        InputRefused
            If the interval is not one of Kite's, or Kite finds the range too long.
        """
        if interval not in INTERVALS:
            raise InputRefused(f"interval was {interval!r}; allowed: {', '.join(INTERVALS)}")
        params = {
            "from": ist_text(start),
            "to": ist_text(end),
            "interval": interval,
            "continuous": int(continuous),
            "oi": int(oi),
        }
        where = {"instrument_token": int(instrument_token), "interval": interval}
        return self._ask(
            "historical",
            lambda kite: parse_candles(kite._get("market.historical", url_args=where, params=params)["candles"]),
        )

    def _ask(self, kind: str, request: Callable[[Any], T], *, needs_token: bool = True) -> T:
        if self._pace is not None:
            self._pace(kind)
        token = self._access_token()
        if needs_token and not token:
            raise LoginRequired("there is no access token; log in to Kite first")
        # A client per request: it holds nothing but settings, and the token may change between two calls.
        kite = KiteConnect(self._api_key, access_token=token, root=self.root, timeout=self._timeout)
        kite.reqsession = self._session
        self._heard.refused, self._heard.seconds = False, 0.0
        try:
            answer = request(kite)
        except Exception as exc:  # noqa: BLE001  the client raises what `requests` and a broken answer make it raise
            failed = map_error(exc, secrets=(token or "",))
            if self._heard.refused and not isinstance(failed, RateLimited):
                # What stands in front of Kite refuses with a page, of which the client makes an error without status.
                failed = RateLimited("too many requests: 429, and not in Kite's own words")
            if self._on_refused is not None and isinstance(failed, RateLimited):
                self._on_refused(kind, self._heard.seconds)
            if self._on_answer is not None and needs_token and token:
                self._on_answer(token, failed)
            raise failed from None
        if self._on_answer is not None and needs_token and token:
            self._on_answer(token, None)
        return answer

    def _hear(self, response: requests.Response, **_options: Any) -> None:
        """Note what the client does not pass on: that it was a 429, and for how long."""
        self._heard.refused = response.status_code == 429
        said = response.headers.get("Retry-After", "")
        self._heard.seconds = float(said) if said.isascii() and said.isdigit() else 0.0


def ist_text(at: int | datetime) -> str:
    """`YYYY-MM-DD HH:MM:SS` in India, the only form Kite reads without guessing a zone."""
    return to_ist(to_ns(at)).strftime("%Y-%m-%d %H:%M:%S")


def parse_candles(rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """CANDLE array of Kite's rows `[stamp, open, high, low, close, volume(, oi)]`; `oi` -1 when absent."""
    candles = np.zeros(len(rows), CANDLE)
    if not rows:
        return candles
    columns = list(zip(*rows, strict=True))
    candles["date"] = _stamps(columns[0])
    for name, column in zip(("open", "high", "low", "close", "volume"), columns[1:6], strict=True):
        candles[name] = column
    candles["oi"] = columns[6] if len(columns) > 6 else -1
    return candles


def _stamps(texts: Sequence[str]) -> np.ndarray:
    if all(len(text) == 24 and text.endswith("+0530") for text in texts):
        # 22,000 minutes of one request in 10 ms; parsing them one by one takes a second.
        local = np.array([text[:19] for text in texts], dtype="datetime64[s]").astype(np.int64)
        return local * SECOND - IST_OFFSET_NS
    return np.array([to_ns(datetime.fromisoformat(text)) for text in texts], np.int64)


def _quotes(data: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: _quote(fields) for key, fields in data.items()}


def _quote(fields: dict[str, Any]) -> dict[str, Any]:
    quote = {_WORDS.get(name, name): value for name, value in fields.items()}
    for name in ("exchange_timestamp", "last_trade_time"):
        quote[name] = _wall_ns(quote.get(name))
    for name, value in (quote.pop("ohlc", None) or {}).items():
        quote[name] = value
    quote["last_price"] = float(quote.get("last_price", math.nan))
    return quote


def _wall_ns(text: str | None) -> int:
    # Kite writes wall-clock time in India without a zone, and "" or null before the first trade.
    return to_ns(datetime.fromisoformat(text).replace(tzinfo=IST)) if text else 0
