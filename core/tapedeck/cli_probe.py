"""`tapedeck probe`: ask Kite the questions its documents leave open, and print what was seen."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from tapedeck.clock import to_ist
from tapedeck.settings import load

WATCH_S = 15.0


def declare(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    parser.add_argument(
        "--seconds", type=float, default=WATCH_S, help="how long to watch the websocket (default: %(default)g)"
    )
    parser.add_argument("--no-feed", action="store_true", help="leave the websocket alone")


def run(args: argparse.Namespace) -> int:
    """Ask everything; 0 when every question was answered, 1 when one was not."""
    from tapedeck.probe import market_clock, probe, saved_credentials  # late: loads the official client

    settings = load(os.environ, folder=Path.cwd())
    credentials = saved_credentials(settings)
    clock = market_clock(settings)
    seen = []
    for one in probe(settings, credentials, clock, seconds=0.0 if args.no_feed else args.seconds):
        seen.append(one)
        if not args.json:
            print(f"{'!' if one.failed else ' '} {one.question}\n    {one.seen}", flush=True)
    if args.json:
        rows = [one._asdict() for one in seen]
        print(json.dumps({"at": to_ist(clock.now()).isoformat(), "seen": rows}, indent=2, ensure_ascii=False))
    return 1 if any(one.failed for one in seen) else 0
