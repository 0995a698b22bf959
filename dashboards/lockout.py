"""How often a password may be guessed: five times, then a wait that doubles each time.

State: by name and address, how often in a row it was wrong and until when nothing is tried. Pure, with the time given.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

TRIES = 5
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 15 * 60.0
#: After so long without a try everything is forgotten.
FORGET_S = 60 * 60.0
MAX_KEPT = 10_000


@dataclass(slots=True)
class _Record:
    wrong: int = 0
    until: float = 0.0
    last: float = 0.0


class Lockout:
    """Counts wrong answers by whoever gives them. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def wait(self, who: tuple[str, str], now: float) -> float:
        """Seconds until `who` may try again; 0 when they may now."""
        record = self._records.get(who)
        return 0.0 if record is None else max(0.0, record.until - now)

    def begin(self, who: tuple[str, str], now: float) -> float:
        """Count a try before it is checked, so that many at once are no way around; seconds to wait, 0 to go on."""
        waiting = self.wait(who, now)
        if waiting:
            return waiting
        record = self._records.pop(who, None)
        if record is None or now - record.last > FORGET_S:
            record = _Record()
        self._records[who] = record  # the one used last is forgotten last
        record.wrong += 1
        record.last = now
        if record.wrong >= TRIES:
            record.until = now + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (record.wrong - TRIES))
        while len(self._records) > MAX_KEPT:
            self._records.popitem(last=False)
        return 0.0

    def forget(self, who: tuple[str, str]) -> None:
        """The answer was right: begin anew."""
        self._records.pop(who, None)
