"""Numbers as text: the same in Python and in the browser."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.views import text

pytest_plugins = ["tests.page_fixtures"]

#: Function, arguments, what both languages write.
EXAMPLES: list[tuple[str, list[Any], str]] = [
    ("price", [1234567.5, 0.05], "12,34,567.50"),
    ("price", [0, 0.05], "0.00"),
    ("price", [-0.001, 0.05], "0.00"),
    ("price", [99999.996, 0.05], "1,00,000.00"),
    ("price", [0.125, 0.05], "0.13"),
    ("price", [84.2375, 0.0025], "84.2375"),
    ("price", [84.2375, 0.01], "84.24"),
    ("price", [123456, 1], "1,23,456.00"),
    ("price", [12.3, 0], "12.30"),
    ("price", [12.3, -1], "12.30"),
    ("price", [None, 0.05], "—"),
    ("change", [1.25, 0.05], "+1.25"),
    ("change", [-1234.5, 0.05], "−1,234.50"),
    ("change", [-0.125, 0.05], "−0.13"),
    ("change", [0, 0.05], "0.00"),
    ("change", [-0.004, 0.05], "0.00"),
    ("change", [0.004, 0.05], "0.00"),
    ("change", [None, 0.05], "—"),
    ("percent", [0.42], "+0.42%"),
    ("percent", [-10], "−10.00%"),
    ("percent", [0], "0.00%"),
    ("percent", [None], "—"),
    ("quantity", [0], "0"),
    ("quantity", [99999], "99,999"),
    ("quantity", [100000], "1.00 L"),
    ("quantity", [1234567], "12.35 L"),
    ("quantity", [9999499], "99.99 L"),
    ("quantity", [9999500], "1.00 Cr"),
    ("quantity", [10000000], "1.00 Cr"),
    ("quantity", [123456789012], "12,345.68 Cr"),
    ("quantity", [-250000], "−2.50 L"),
    ("quantity", [None], "—"),
    ("whole", [123456789], "12,34,56,789"),
    ("whole", [100], "100"),
    ("whole", [1000], "1,000"),
    ("size", [0], "0 B"),
    ("size", [999], "999 B"),
    ("size", [1000], "1.0 kB"),
    ("size", [999_499], "999 kB"),
    ("size", [999_500], "1.0 MB"),
    ("size", [99_949_000], "99.9 MB"),
    ("size", [99_950_000], "100 MB"),
    ("size", [83_000_000_000], "83.0 GB"),
    ("size", [4.2e15], "4,200 TB"),
    ("size", [None], "—"),
    ("elapsed", [0], "0s"),
    ("elapsed", [-5], "0s"),
    ("elapsed", [59.9], "59s"),
    ("elapsed", [60], "1m"),
    ("elapsed", [719], "11m"),
    ("elapsed", [7200], "2h"),
    ("elapsed", [200000], "2d"),
    ("elapsed", [None], "—"),
    ("countdown", [0], "0:00"),
    ("countdown", [-3], "0:00"),
    ("countdown", [23.2], "0:24"),
    ("countdown", [60], "1:00"),
    ("countdown", [3900], "1:05:00"),
    ("countdown", [86400 * 2 + 3 * 3600 + 59], "2d 3h"),
    ("countdown", [None], "—"),
    ("expiry", ["2026-11-24", True], "24 NOV 26 (W)"),
    ("expiry", ["2026-12-01", False], "1 DEC 26"),
    ("expiry", ["2030-01-31"], "31 JAN 30"),
    ("expiry", [None], "—"),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), EXAMPLES)
def test_python_writes_the_examples(name: str, arguments: list[Any], expected: str) -> None:
    assert getattr(text, name)(*arguments) == expected


@pytest.mark.browser
def test_the_browser_writes_the_same(javascript: Any) -> None:
    calls = [[name, arguments] for name, arguments, _ in EXAMPLES]
    draw = random.Random(20261123)
    ticks = (0.05, 0.01, 0.0025, 1, 0)
    for _ in range(3000):
        value = draw.choice((draw.uniform(-2e5, 2e5), draw.uniform(-1, 1), draw.randrange(-(10**6), 10**6) / 200))
        calls.append([draw.choice(("price", "change")), [value, draw.choice(ticks)]])
        calls.append(["percent", [value]])
        calls.append([draw.choice(("quantity", "whole")), [draw.randrange(0, 10 ** draw.randrange(1, 12))]])
        calls.append([draw.choice(("elapsed", "countdown")), [draw.uniform(-100, 10 ** draw.randrange(1, 7))]])
    written = javascript.evaluate(
        """async (calls) => {
          const module = await import("http://js.test/format.js")
          return calls.map(([name, args]) => module[name](...args))
        }""",
        calls,
    )
    ours = [getattr(text, name)(*arguments) for name, arguments in calls]
    assert [(c, w, o) for c, w, o in zip(calls, written, ours, strict=True) if w != o] == []
    assert written[: len(EXAMPLES)] == [expected for *_, expected in EXAMPLES]


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e9, 1e9), st.sampled_from([0.05, 0.01, 0.0025, 1.0]))
def test_a_price_reads_back_to_half_a_unit_of_its_last_digit(value: float, tick: float) -> None:
    written = text.price(value, tick).replace(",", "").replace(text.MINUS, "-")
    assert math.isclose(float(written), value, rel_tol=1e-12, abs_tol=0.5001 * 10 ** -text.decimals(tick))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**14))
def test_groups_are_three_digits_and_then_pairs(number: int) -> None:
    *pairs, last = text.group(str(number)).split(",")
    assert "".join([*pairs, last]) == str(number)
    assert len(last) == min(3, len(str(number)))
    assert all(len(pair) == 2 for pair in pairs[1:])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), None])
def test_what_is_no_number_is_a_dash(value: float | None) -> None:
    for name in ("price", "change", "percent", "quantity", "whole", "elapsed", "countdown"):
        assert getattr(text, name)(value) == "—"
