"""What one websocket client is subscribed to, and what its messages do to it; no IO."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tapedeck.schema import MODE_FULL, MODE_QUOTE, MODES, Batch

#: Instruments one connection may carry.
MAX_TOKENS = 3000
TOO_MANY = "Can't subscribe to more than 3000 instruments."


class Subscriptions:
    """Tokens and modes of one connection.

    `unsent` are the tokens that wait for their cached first packet: newly subscribed, or in a new mode.
    """

    def __init__(self) -> None:
        self.modes: dict[int, int] = {}
        self.unsent: set[int] = set()
        self._arrays: tuple[np.ndarray, np.ndarray] | None = None

    def handle(self, text: str) -> str | None:
        """Apply one client message; returns the text of an error frame, or None when all was well."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return "Invalid message: not JSON"
        if not isinstance(message, dict) or not isinstance(message.get("v"), list):
            return "Invalid message: expected an object with `a` and a list `v`"
        action, value = message.get("a"), message["v"]
        if action == "subscribe":
            return self._with_tokens(value, self._subscribe)
        if action == "unsubscribe":
            return self._with_tokens(value, self._unsubscribe)
        if action == "mode":
            if len(value) != 2 or value[0] not in MODES or not isinstance(value[1], list):
                return "Invalid message: expected [mode, [tokens]] with a mode of ltp, quote or full"
            mode = MODES.index(value[0])
            return self._with_tokens(value[1], lambda tokens: self._set_mode(tokens, mode))
        return f"Invalid message: unknown action {str(action)[:40]!r}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Subscribed tokens (u4, ascending) and their modes (u1)."""
        if self._arrays is None:
            tokens = np.array(sorted(self.modes), "u4")
            self._arrays = tokens, np.array([self.modes[token] for token in tokens.tolist()], "u1")
        return self._arrays

    def counts(self) -> dict[str, int]:
        """Number of tokens in each mode, and of all."""
        modes = list(self.modes.values())
        return {"tokens": len(modes)} | {name: modes.count(code) for code, name in enumerate(MODES)}

    def _with_tokens(self, value: list[Any], apply: Any) -> str | None:
        # Kite takes strings without a word and never sends anything for them.
        if not all(isinstance(v, (int, str)) and not isinstance(v, bool) for v in value):
            return "Invalid message: tokens must be numbers"
        self._arrays = None
        return apply([v for v in value if isinstance(v, int) and 0 < v < 1 << 32])

    def _subscribe(self, tokens: list[int]) -> str | None:
        for token in tokens:
            if token not in self.modes and len(self.modes) >= MAX_TOKENS:
                return TOO_MANY
            self.modes.setdefault(token, MODE_QUOTE)
            self.unsent.add(token)
        return None

    def _unsubscribe(self, tokens: list[int]) -> None:
        for token in tokens:
            self.modes.pop(token, None)
            self.unsent.discard(token)

    def _set_mode(self, tokens: list[int], mode: int) -> None:
        for token in tokens:
            if self.modes.get(token, mode) != mode:
                self.modes[token] = mode
                self.unsent.add(token)


def in_modes(batch: Batch, modes: np.ndarray) -> Batch:
    """`batch`, which is in full mode throughout, as it is sent in these modes, one per tick."""
    ticks = batch.ticks.copy()
    ticks["mode"] = modes
    tradable = (ticks["instrument_token"] & 0xFF) != 9
    return Batch(ticks, batch.depth[modes[tradable] == MODE_FULL])
