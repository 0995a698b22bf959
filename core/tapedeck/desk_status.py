"""How a desk is, in one line: for a notebook's cell and for a log."""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class DeskStatus:
    """How the desk is, at a glance."""

    source: str
    simulated: bool
    market: str
    feed: str
    reason: str
    age_s: float
    at: datetime

    def __str__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        why = f" ({self.reason})" if self.reason else f", {self.age_s:.1f} s old"
        return f"{mark}{self.source}: market {self.market} at {self.at:%d %b %H:%M:%S} IST, feed {self.feed}{why}"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(str(self))}</code>"
