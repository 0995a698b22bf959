"""Messages as websocket frames: the bytes of the wire made once, whoever is sent them.

A frame from a server is two to ten bytes and the message (RFC 6455, section 5.2):

    82 7e 1f 80 ...    final, binary; the length is in the next two bytes: 8,064
"""

from __future__ import annotations

import struct

_FINAL, _TEXT, _BINARY = 0x80, 0x1, 0x2


class Packet:
    """One message on its way: its content, and the frame that carries it."""

    __slots__ = ("_wire", "content")

    def __init__(self, content: str | bytes) -> None:
        self.content = content
        self._wire: bytes | None = None

    @property
    def wire(self) -> bytes:
        """The whole websocket frame; the very same object every time."""
        if self._wire is None:
            self._wire = seal(self.content)
        return self._wire


def seal(content: str | bytes) -> bytes:
    """One unmasked, unfragmented, uncompressed frame: text of a string, binary of bytes."""
    data = content if isinstance(content, bytes) else content.encode()
    first, size = _FINAL | (_BINARY if isinstance(content, bytes) else _TEXT), len(data)
    if size < 126:
        return struct.pack("!BB", first, size) + data
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + data
    return struct.pack("!BBQ", first, 127, size) + data
