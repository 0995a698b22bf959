"""The wire: parsing against the official client, and what encoding costs the simulated exchange."""

from __future__ import annotations

import random
import struct
import warnings

from benchmarks.harness import Result, against, limit, seconds
from tapedeck.kite import packets

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # what twisted and autobahn use of newer Pythons
    from kiteconnect import KiteTicker

PACKETS = 500
LENGTHS = (8, 28, 32, 44, 184)
PEER = "KiteTicker._parse_binary"


def frame(lengths: list[int]) -> bytes:
    """A frame of random packets of these lengths, tokens of the segments they suit."""
    rng = random.Random(7)
    bodies = []
    for length in lengths:
        segment = 9 if length in (28, 32) else rng.choice((1, 2, 3, 4, 5, 6, 7, 12))
        token = rng.randrange(1, 1 << 24) << 8 | segment
        bodies.append(struct.pack(">HI", length, token) + rng.randbytes(length - 4))
    return struct.pack(">H", len(bodies)) + b"".join(bodies)


def run() -> list[Result]:
    """Ratios of a full, a mixed and a one-packet frame; microseconds per encoded full packet."""
    packets.warm_up()
    peer = KiteTicker.__new__(KiteTicker)
    rng = random.Random(11)
    frames = {
        f"parse {PACKETS} full packets": (frame([184] * PACKETS), 100.0),
        f"parse {PACKETS} mixed packets": (frame([rng.choice(LENGTHS) for _ in range(PACKETS)]), 60.0),
        "parse one full packet": (frame([184]), None),
    }
    results = []
    for name, (payload, goal) in frames.items():
        ours_s, peer_s = seconds(
            lambda payload=payload: packets.parse(payload), lambda payload=payload: peer._parse_binary(payload)
        )
        results.append(against(name, ours_s, peer=PEER, peer_s=peer_s, goal=goal))
    batch = packets.parse(frame([184] * PACKETS))
    (encode_s,) = seconds(lambda: packets.encode(batch.ticks, batch.depth))
    results.append(limit("encode one full packet of 500", encode_s / PACKETS * 1e6, "us", at_most=1.0))
    return results
