"""What Kite's websocket really sends: heartbeats, first packets, and the bytes of an index packet nobody documents.

State of a watch: the frames of one short connection, with when each came.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed, InvalidStatus

from tapedeck.clock import Clock
from tapedeck.errors import BadAnswer, NetworkFailed

from .handshake import failure, open_line
from .login import Credentials
from .probe import WRONG_TOKEN, Seen, attempt

#: A connection that is not open by then will not be.
OPEN_S = 10.0
#: Kept of a connection that sends more than expected.
MOST_FRAMES = 5000
INDEX_SEGMENT = 9


@dataclass
class Watch:
    """What came on one connection: (seconds since it was subscribed, frame)."""

    frames: list[tuple[float, bytes | str]] = field(default_factory=list)
    opened_s: float = 0.0
    lasted_s: float = 0.0
    closed: str = ""

    def heartbeats(self) -> list[tuple[float, bytes]]:
        return [(at, frame) for at, frame in self.frames if isinstance(frame, bytes) and len(frame) == 1]

    def market(self) -> list[tuple[float, bytes]]:
        return [(at, frame) for at, frame in self.frames if isinstance(frame, bytes) and len(frame) > 1]

    def texts(self) -> list[str]:
        return [frame for _, frame in self.frames if isinstance(frame, str)]


def ask_feed(
    root: str, credentials: Credentials, tokens: Sequence[int], clock: Clock, *, seconds: float
) -> Iterator[Seen]:
    """The answers to every question that the websocket can answer. The caller holds the right to connect."""
    wrong = Credentials(credentials.api_key, WRONG_TOKEN)
    yield attempt(
        "What answers a websocket with a wrong token?", lambda: asyncio.run(_refusal(root, wrong)), credentials
    )
    watch = Watch()

    def connect() -> str:
        asyncio.run(_watch(root, credentials, tokens, clock, seconds, watch))
        end = f", then closed ({watch.closed})" if watch.closed else ""
        return f"open after {watch.opened_s:.2f} s, {len(watch.frames)} frames in {watch.lasted_s:.0f} s{end}"

    opened = attempt("Does the websocket open?", connect, credentials)
    yield opened
    if opened.failed:
        return
    yield attempt("What is the heartbeat, and how often does it come?", lambda: heartbeats(watch), credentials)
    yield attempt("What are the first packets?", lambda: first_packets(watch), credentials)
    yield attempt("What are bytes 24-27 of an index packet?", lambda: index_change(watch), credentials)
    yield attempt("Which text messages come?", lambda: text_messages(watch), credentials)


def heartbeats(watch: Watch) -> str:
    """Content and pace of the one-byte frames."""
    beats = watch.heartbeats()
    if not beats:
        return f"none in {watch.lasted_s:.0f} s; {len(watch.market())} market frames came"
    kinds = ", ".join(f"0x{byte.hex()} {count} times" for byte, count in Counter(beat for _, beat in beats).items())
    gaps = [later - at for (at, _), (later, _) in itertools.pairwise(beats)]
    every = f"{min(gaps):.2f} to {max(gaps):.2f} s apart, mostly {statistics.median(gaps):.2f}" if gaps else "only one"
    return f"{kinds}; {every}; longest silence of any kind {longest_silence(watch):.2f} s"


def longest_silence(watch: Watch) -> float:
    """Seconds between two frames that were furthest apart, the end of the watch included."""
    times = [at for at, _ in watch.frames]
    return max((b - a for a, b in zip([0.0, *times], [*times, watch.lasted_s], strict=True)), default=0.0)


def first_packets(watch: Watch) -> str:
    """Delay, lengths and tokens of the first frame after subscribing."""
    market = watch.market()
    if not market:
        return f"none in {watch.lasted_s:.0f} s"
    at, frame = market[0]
    said = ", ".join(f"token {_number(body[:4])} {len(body)} bytes" for body in bodies(frame))
    return f"after {at:.2f} s: {said}; {len(market)} market frames in all"


def index_change(watch: Watch) -> str:
    """The undocumented four bytes beside last price less close, both in paise."""
    for _, frame in reversed(watch.market()):
        for body in bodies(frame):
            if len(body) in (28, 32) and body[3] == INDEX_SEGMENT:
                last, close = _number(body[4:8]), _number(body[20:24])
                raw = int.from_bytes(body[24:28], "big", signed=True)
                return f"0x{body[24:28].hex()} = {raw} signed; last price less close is {last - close} (hundredths)"
    return f"no index packet in {watch.lasted_s:.0f} s"


def text_messages(watch: Watch) -> str:
    """Types of the text messages; their content may be an account's own."""
    kinds: Counter[str] = Counter()
    for text in watch.texts():
        try:
            kinds[str(json.loads(text)["type"])[:40]] += 1
        except (ValueError, KeyError, TypeError):
            kinds["not JSON with a type"] += 1
    return ", ".join(f"{kind} {count} times" for kind, count in kinds.items()) or "none"


def bodies(frame: bytes) -> Iterable[bytes]:
    """The packets of a market frame as bytes; those cut off are left out."""
    count, place = int.from_bytes(frame[:2], "big"), 2
    for _ in range(count):
        size = int.from_bytes(frame[place : place + 2], "big")
        body = frame[place + 2 : place + 2 + size]
        if size < 8 or len(body) < size:
            return
        yield body
        place += 2 + size


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _tls(root: str) -> ssl.SSLContext | None:
    return ssl.create_default_context() if root.startswith("wss:") else None


async def _refusal(root: str, credentials: Credentials) -> str:
    try:
        async with asyncio.timeout(OPEN_S):
            line = await open_line(root, credentials, tls=_tls(root), close_timeout=1.0)
    except InvalidStatus as exc:
        body = (exc.response.body or b"").decode("utf-8", "replace")[:200]
        return f"HTTP {exc.response.status_code}, {body or 'an empty body'}"
    except TimeoutError:
        raise NetworkFailed(f"no answer to the handshake in {OPEN_S:g} s") from None
    except Exception as exc:  # noqa: BLE001  the library raises many kinds; their texts may hold the address
        raise NetworkFailed(failure(exc, "").error or "the handshake failed") from None
    await line.close()
    return "accepted, which it must not be"


async def _watch(
    root: str, credentials: Credentials, tokens: Sequence[int], clock: Clock, seconds: float, watch: Watch
) -> None:
    begun = clock.monotonic()
    try:
        async with asyncio.timeout(OPEN_S):
            line = await open_line(root, credentials, tls=_tls(root), close_timeout=1.0)
    except TimeoutError:
        raise NetworkFailed(f"no answer to the handshake in {OPEN_S:g} s") from None
    except Exception as exc:  # noqa: BLE001  the library raises many kinds; their texts may hold the address
        failed = failure(exc, "")
        raise BadAnswer(f"Kite answered {failed.status}" if failed.status else failed.error) from None
    try:
        watch.opened_s = clock.monotonic() - begun
        for message in ({"a": "subscribe", "v": list(tokens)}, {"a": "mode", "v": ["full", list(tokens)]}):
            await line.send(json.dumps(message))
        subscribed = clock.monotonic()
        try:
            async with asyncio.timeout(seconds):
                while len(watch.frames) < MOST_FRAMES:
                    frame = await line.recv()
                    watch.frames.append((clock.monotonic() - subscribed, frame))
        except TimeoutError:
            pass  # the watch is over
        except ConnectionClosed as exc:
            watch.closed = str(exc.rcvd.code) if exc.rcvd else "without a close frame"
        watch.lasted_s = clock.monotonic() - subscribed
    finally:
        await line.close()
