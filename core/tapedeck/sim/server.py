"""The simulated exchange put together: one port that speaks Kite's REST and websocket."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tornado import httputil
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from tapedeck.errors import InputRefused, SimulatorError
from tapedeck.sim import rest
from tapedeck.sim.clock import LoopClock
from tapedeck.sim.exchange import Exchange, RateLimits
from tapedeck.sim.faults import Faults
from tapedeck.sim.log import ConnectionLog
from tapedeck.sim.login import DEFAULT_REDIRECT, Account
from tapedeck.sim.messages import text_message
from tapedeck.sim.stream import Streamer, StreamHandler
from tapedeck.sim.today import Today, Workers

if TYPE_CHECKING:
    from tapedeck.sim.market import Market


class AdminHandler(rest.KiteHandler):
    """Base of the simulator's own addresses: no token, no limit, no fault touches them."""

    needs_token = False

    async def prepare(self) -> None:
        if self.request.method == "GET":
            return
        # A page in somebody's browser can reach loopback too, but it cannot leave out Origin.
        if not is_loopback(str(self.request.remote_ip)) or "Origin" in self.request.headers:
            self.refuse(403, "only programs on this machine may do that", "PermissionException")

    def body(self) -> dict[str, Any]:
        """The request's JSON object."""
        try:
            document = json.loads(self.request.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            self.refuse(400, "the body must be a JSON object")
        return document or {}


class ClockHandler(AdminHandler):
    """`/sim/clock`: what a desk needs to run the same market time."""

    async def get(self) -> None:
        self.answer_json(json.dumps(self.exchange.clock.document()))


class ConnectionsHandler(AdminHandler):
    """`/sim/connections`: the connection log."""

    async def get(self) -> None:
        self.exchange.streamer.sweep()
        streamer = self.exchange.streamer
        counters = {"skipped": streamer.skipped, "ticks_sent": streamer.ticks_sent}
        self.answer_json(json.dumps(self.exchange.log.document() | counters))


class FaultsHandler(AdminHandler):
    """`/sim/faults`: what is in force; POST switches one on or off."""

    async def get(self) -> None:
        self.answer_json(json.dumps(self.exchange.faults.document()))

    async def post(self) -> None:
        exchange = self.exchange
        try:
            name, args = exchange.faults.start(self.body())
        except InputRefused as exc:
            self.refuse(400, str(exc))
            return
        if name == "expire":
            exchange.account.expire()
        if name in ("drop", "expire"):
            exchange.streamer.drop(args["code"], "dropped" if name == "drop" else "token expired")
        self.answer_json(json.dumps(exchange.faults.document()))


class MessageHandler(AdminHandler):
    """`/sim/message`: POST sends a text frame (an order update, an error, a broker's message) to everybody."""

    async def post(self) -> None:
        try:
            document = text_message(self.body(), self.exchange.clock.now(), self.exchange.account.api_key)
        except InputRefused as exc:
            self.refuse(400, str(exc))
            return
        self.answer_json(json.dumps({"sent": self.exchange.streamer.send_text(document)}))


ROUTES: tuple[tuple[str, type[rest.KiteHandler]], ...] = (
    (r"/", StreamHandler),
    (r"/connect/login", rest.Login),
    (r"/session/token", rest.SessionToken),
    (r"/user/profile", rest.Profile),
    (r"/user/margins", rest.Margins),
    (r"/user/margins/([a-z]+)", rest.Margins),
    (r"/instruments", rest.Dump),
    (r"/instruments/historical/(\d{1,12})/(\w+)", rest.Historical),
    (r"/instruments/(\w+)", rest.Dump),
    (r"/quote", rest.Quote),
    (r"/quote/(ohlc|ltp)", rest.Quote),
    (r"/sim/clock", ClockHandler),
    (r"/sim/connections", ConnectionsHandler),
    (r"/sim/faults", FaultsHandler),
    (r"/sim/message", MessageHandler),
)


class SimServer:
    """One simulated exchange, to be started and stopped inside a running event loop.

    With `daily_tokens` the access token dies at 06:00 IST of market time, and so do the sockets opened with it.
    With `beating=False` nothing moves by itself: tests call `exchange.streamer.beat()`.
    """

    def __init__(
        self,
        market: Market,
        clock: LoopClock,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "simkey",
        api_secret: str = "simsecret",
        redirect_url: str = DEFAULT_REDIRECT,
        rate_limits: bool = True,
        daily_tokens: bool = False,
        beating: bool = True,
    ) -> None:
        self._host, self.port, self._beating = host, port, beating
        workers = Workers()
        today = Today(market, clock, workers)
        faults = Faults(clock, seed=clock.seed)
        log = ConnectionLog(clock)
        account = Account(
            clock, api_key=api_key, api_secret=api_secret, redirect_url=redirect_url, daily_tokens=daily_tokens
        )
        self.exchange = Exchange(
            market=market,
            clock=clock,
            account=account,
            today=today,
            workers=workers,
            faults=faults,
            limits=RateLimits(clock, None if rate_limits else {}),
            log=log,
            streamer=Streamer(today, faults, log, clock, token_died=account.died),
        )
        self._http: HTTPServer | None = None
        self._beat: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`http://host:port`, known once started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    @property
    def beat_error(self) -> BaseException | None:
        """Why the stream stopped by itself; None while it runs."""
        ended = self._beat is not None and self._beat.done() and not self._beat.cancelled()
        return self._beat.exception() if ended and self._beat is not None else None

    async def start(self) -> None:
        """Build the first day, then serve.

        Raises
        ------
        SimulatorError
            If the address cannot be bound.
        """
        # Nobody is let in before the day is built: to a client that is a refused connection, not a hung one.
        await self.exchange.today.open()
        try:
            sockets = bind_sockets(self.port, self._host)
        except OSError as exc:
            raise SimulatorError(f"cannot listen on {self._host}:{self.port}: {exc.strerror or exc}") from exc
        self.port = sockets[0].getsockname()[1]
        application = Application(
            [(path, handler, {"exchange": self.exchange}) for path, handler in ROUTES],
            default_handler_class=rest.NotFound,
            default_handler_args={"exchange": self.exchange},
            compress_response=True,
            # Tornado's access log prints whole addresses, and the websocket's carries the access token.
            log_function=lambda handler: None,
        )
        http = self._http = HTTPServer(application)
        http.add_sockets(sockets)
        if self._beating:
            self._beat = asyncio.ensure_future(self.exchange.streamer.run())

    async def stop(self) -> None:
        """Close every connection and stop serving."""
        if self._http is not None:
            self._http.stop()
        if self._beat is not None:
            self._beat.cancel()
        dropped = self.exchange.streamer.drop(1001, "the simulator is stopping")
        await asyncio.gather(*(socket.wait_closed() for socket in dropped))
        if self._http is not None:
            await self._http.close_all_connections()
        self.exchange.today.close()
        self.exchange.workers.close()


async def serve(server: SimServer, ready: Callable[[str], None], orphaned: Callable[[], bool]) -> None:
    """Serve until SIGINT or SIGTERM, or until `orphaned()`, asked four times a second, says so.

    `ready` is called with the address once requests are answered.
    """
    _raise_argument_limit()
    # While a worker thread computes candles, the stream gets its turn at the interpreter sooner than in 5 ms.
    sys.setswitchinterval(0.001)
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    await server.start()
    try:
        ready(server.address)
        while not done.is_set() and not orphaned():
            try:
                await asyncio.wait_for(done.wait(), 0.25)
            except TimeoutError:
                pass  # time to look after the parent
            if server.beat_error is not None:
                raise SimulatorError("the simulator's stream has failed") from server.beat_error
    finally:
        await server.stop()


def _raise_argument_limit() -> None:
    """Read requests for more than 1000 instruments, to refuse them with a reason.

    Tornado's own limit happens to be Kite's, but it answers without a body, and can only be set for the
    whole process.
    """
    if hasattr(httputil, "ParseUrlEncodedConfig"):
        urlencoded = httputil.ParseUrlEncodedConfig(max_arguments=5000)
        httputil.set_parse_body_config(httputil.ParseBodyConfig(urlencoded=urlencoded))


def is_loopback(address: str) -> bool:
    """Whether a peer address is this machine's own."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
