"""Run the official KiteTicker against an address, in a process of its own: its reactor cannot start twice.

Arguments: websocket root, access token, then `MODE:TOKEN` for each subscription. Prints one JSON document:
the last tick of every token in its mode and the number of ticks, or why the connection failed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from kiteconnect import KiteTicker
from twisted.internet import reactor


def main(root: str, access_token: str, *wanted: str) -> None:
    modes = {int(token): mode for mode, token in (item.split(":") for item in wanted)}
    ticker = KiteTicker("simkey", access_token, root=root)
    seen: dict[int, Any] = {}
    counts = dict.fromkeys(modes, 0)

    def finish(document: dict[str, Any]) -> None:
        print(json.dumps(document, default=str), flush=True)  # noqa: T201 - its whole purpose
        ticker.stop_retry()
        reactor.callLater(0, reactor.stop)  # type: ignore[attr-defined]

    def on_connect(ws: Any, response: Any) -> None:
        ws.subscribe(list(modes))
        for mode in ("ltp", "full"):
            ws.set_mode(mode, [token for token, its in modes.items() if its == mode])

    def on_ticks(ws: Any, ticks: list[dict[str, Any]]) -> None:
        for tick in ticks:
            token = tick["instrument_token"]
            if tick["mode"] == modes[token]:
                seen[token] = tick
                counts[token] += 1
        if all(count >= 3 for count in counts.values()):
            finish({"ticks": seen, "counts": counts})

    def on_close(ws: Any, code: int | None, reason: str | None) -> None:
        if reason:
            finish({"closed": reason})

    ticker.on_connect, ticker.on_ticks, ticker.on_close = on_connect, on_ticks, on_close
    ticker.on_error = lambda ws, code, reason: None
    ticker.connect()


if __name__ == "__main__":
    main(*sys.argv[1:])
