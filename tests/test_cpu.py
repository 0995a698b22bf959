"""CPU of the process as the status strip shows it."""

from __future__ import annotations

from tapedeck.clock import ManualClock, SystemClock
from tapedeck.cpu import CpuMeter


def test_cpu_is_per_cent_of_one_core_over_at_least_a_second():
    clock, used = ManualClock(), [10.0]
    meter = CpuMeter(clock, lambda: used[0])
    assert meter.pct() == 0
    clock.advance(0.5)
    used[0] += 0.5
    assert meter.pct() == 0, "half a second tells nothing"
    clock.advance(1.5)
    assert meter.pct() == 25.0
    clock.advance(0.5)
    assert meter.pct() == 25.0
    clock.advance(0.5)
    used[0] += 2.0
    assert meter.pct() == 200.0, "two busy cores"


def test_the_process_itself_is_measured():
    clock = SystemClock()
    meter = CpuMeter(clock)
    until = clock.monotonic() + 1.05
    while clock.monotonic() < until:
        pass
    assert meter.pct() > 0
