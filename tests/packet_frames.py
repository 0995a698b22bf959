"""Frames of Kite's wire written field by field with `struct`, and a slow reading of them, for the tests.

Nothing here uses `tapedeck.kite`: these are the second opinion that it is compared with.
"""

from __future__ import annotations

import struct

LENGTHS = (8, 28, 32, 44, 184)
INDEX = 9
PRICE_CHANGE = slice(24, 28)


def frame(*bodies: bytes, announced: int | None = None) -> bytes:
    """One binary frame of these packet bodies; `announced` overrides the packet count it states."""
    count = len(bodies) if announced is None else announced
    return struct.pack(">H", count) + b"".join(struct.pack(">H", len(body)) + body for body in bodies)


def suits(length: int, token: int) -> bool:
    """Whether a packet of that length may carry that token."""
    if token == 0 or length not in LENGTHS:
        return False
    return length == 8 or (length in (28, 32)) == (token & 0xFF == INDEX)


def reading(payload: bytes) -> tuple[list[bytes], int]:
    """Bodies of the packets that a careful reader understands, and how many it refuses."""
    if len(payload) < 2:
        return [], 0
    announced = struct.unpack_from(">H", payload)[0]
    bodies: list[bytes] = []
    believed: int | None = None
    at = 2
    for walked in range(announced + 1):
        if walked == announced:
            break
        length = int.from_bytes(payload[at : at + 2], "big")
        body = payload[at + 2 : at + 2 + length]
        if at + 2 > len(payload) or len(body) < length:
            break
        at += 2 + length
        if suits(length, int.from_bytes(body[:4], "big") if length >= 4 else 0):
            bodies.append(body)
        elif believed is None:
            believed = len(bodies)
    else:
        raise AssertionError("unreachable")
    complete = walked == announced
    if believed is not None and not (complete and at == len(payload)):
        bodies = bodies[:believed]
    return bodies, announced - len(bodies) + (complete and at < len(payload))


def canonical(body: bytes) -> bytes:
    """The body with the bytes zeroed that carry nothing: price change of an index, padding of a level."""
    out = bytearray(body)
    if len(out) in (28, 32):
        out[PRICE_CHANGE] = bytes(4)
    if len(out) == 184:
        for at in range(64, 184, 12):
            out[at + 10 : at + 12] = bytes(2)
    return bytes(out)


def golden_bodies() -> list[bytes]:
    """One packet of every length, and of every divisor, with known values (EXPECTED in the tests)."""
    book = b"".join(
        struct.pack(">IIHH", quantity, price, orders, 0)
        for quantity, price, orders in (
            (9, 141290, 1), (120, 141285, 4), (55, 141280, 2), (1, 141275, 1), (4000, 141270, 31),
            (310, 141300, 6), (25, 141305, 1), (77, 141310, 3), (0, 0, 0), (65535, 141320, 65535),
        )
    )  # fmt: skip
    infy_full = struct.pack(
        ">11I5I",
        408065, 141295, 5, 141247, 7360198, 2302, 1870000, 139610, 142175, 139555, 138965,
        1625461887, 0, 0, 0, 1625461889,
    )  # fmt: skip
    return [
        infy_full + book,
        struct.pack(">2I", 408065, 141295),
        struct.pack(">7I", 256265, 1571725, 1576220, 1569340, 1570240, 1572270, 0),
        struct.pack(">8I", 260105, 3526255, 3531010, 3508900, 3510000, 3512345, 13910, 1625461890),
        struct.pack(">11I", 738561, 4294967295, 1, 0, 4294967295, 7, 8, 9, 10, 11, 12),
        struct.pack(">2I", 257 * 256 + 3, 744025000),
        struct.pack(">2I", 258 * 256 + 6, 744025),
        struct.pack(">2I", 259 * 256 + 12, 744025),
    ]
