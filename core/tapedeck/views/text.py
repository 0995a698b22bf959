"""Numbers as the desk writes them: Indian grouping, true minus signs, lakh and crore.

`js/format.js` says the same in the browser; one table of examples is run through both.
"""

from __future__ import annotations

import math
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeGuard

#: Stands where a number may not be shown.
BLANK = "—"
MINUS = "−"
LAKH = 100_000
CRORE = 10_000_000
#: Rupee prices of a column stay aligned: at least paise, more only where the tick is finer.
MIN_DECIMALS = 2
MAX_DECIMALS = 6
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def decimals(tick_size: float) -> int:
    """Digits after the point of a price that moves in steps of `tick_size`: 2 to 6.

    A tick size that is zero, negative or not finite (indices have none) gives 2.
    """
    if not math.isfinite(tick_size) or tick_size <= 0:
        return MIN_DECIMALS
    for places in range(MIN_DECIMALS, MAX_DECIMALS):
        steps = tick_size * 10**places
        if abs(steps - math.floor(steps + 0.5)) < 1e-6:
            return places
    return MAX_DECIMALS


def fixed(value: float, places: int) -> str:
    """`value` with `places` digits after the point, grouped as 12,34,567; unsigned zero, true minus sign.

    Ties are rounded away from zero, as JavaScript's `toFixed` does.
    """
    exact = Decimal(value).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    whole, _, fraction = f"{abs(exact):f}".partition(".")
    sign = MINUS if exact < 0 else ""
    return sign + group(whole) + ("." + fraction if fraction else "")


def group(digits: str) -> str:
    """A string of digits in Indian groups: the last three, then pairs."""
    head, tail = digits[:-3], digits[-3:]
    parts = []
    while head:
        parts.append(head[-2:])
        head = head[:-2]
    return ",".join([*reversed(parts), tail])


def price(value: float | None, tick_size: float = 0.05) -> str:
    """A price in rupees to the tick; a dash when absent."""
    return fixed(value, decimals(tick_size)) if _present(value) else BLANK


def change(value: float | None, tick_size: float = 0.05) -> str:
    """A difference of prices with its sign; zero has none; a dash when absent."""
    return _signed(fixed(value, decimals(tick_size))) if _present(value) else BLANK


def percent(value: float | None, places: int = 2) -> str:
    """A signed percentage such as `+0.42%`; a dash when absent."""
    return _signed(fixed(value, places)) + "%" if _present(value) else BLANK


def quantity(value: float | None) -> str:
    """A whole number below a lakh, else lakhs (`12.35 L`) or crores (`1.24 Cr`); a dash when absent."""
    if not _present(value):
        return BLANK
    if abs(value) < LAKH:
        return fixed(value, 0)
    # 99,99,999 would round to 100.00 L.
    if abs(value) < CRORE - LAKH / 200:
        return fixed(value / LAKH, 2) + " L"
    return fixed(value / CRORE, 2) + " Cr"


def whole(value: float | None) -> str:
    """A whole number in full, grouped; a dash when absent."""
    return fixed(value, 0) if _present(value) else BLANK


def size(count: float | None) -> str:
    """Bytes in the unit they have most of: `512 B`, `3.4 MB`, `120 GB`; a dash when absent."""
    if not _present(count):
        return BLANK
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while len(units) > 1 and value >= 999.5:
        value /= 1000
        units.pop(0)
    return f"{fixed(value, 0 if units[0] == 'B' or value >= 99.95 else 1)} {units[0]}"


def elapsed(seconds: float | None) -> str:
    """How long ago, in one unit: `7s`, `12m`, `3h`, `2d`; a dash when absent, zero when negative."""
    if not _present(seconds):
        return BLANK
    n = max(0, math.floor(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if n >= size:
            return f"{n // size}{unit}"
    return f"{n}s"


def countdown(seconds: float | None) -> str:
    """Time left, rounded up to a second: `0:24`, `1:05:00`, `2d 3h`; a dash when absent, zero when over."""
    if not _present(seconds):
        return BLANK
    n = max(0, math.ceil(seconds))
    days, hours, minutes = n // 86_400, n // 3_600 % 24, n // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}:{minutes:02d}:{n % 60:02d}"
    return f"{minutes}:{n % 60:02d}"


def expiry(day: str | None, weekly: bool = False) -> str:
    """The day (ISO) a contract ends as `24 NOV 26`, with ` (W)` behind a weekly one; a dash when absent."""
    if not day:
        return BLANK
    at = date.fromisoformat(day)
    return f"{at.day} {MONTHS[at.month - 1].upper()} {at:%y}{' (W)' if weekly else ''}"


def _present(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _signed(text: str) -> str:
    """`text` with a plus when it is a positive number."""
    return text if text.startswith(MINUS) or not text.strip("0.,") else "+" + text
