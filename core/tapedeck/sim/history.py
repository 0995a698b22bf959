"""Candles of the simulated market (being built)."""

from __future__ import annotations

from typing import Any


class History:
    def __init__(self, days: Any) -> None:
        self._days = days

    def candles(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError
