"""Kite's limits are kept whatever comes, nobody waits for ever, and a refusal is heeded."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapedeck.clock import ManualClock
from tapedeck.errors import LoginRequired, RateLimited
from tapedeck.kite.quota import LIMITS, LONGEST_HOLD_S, PATIENCE_S, WINDOW_S, Quota
from tapedeck.kite.rest import KiteRest
from tests.rest_exchange import Answer, RestExchange, refusal
from tests.support import wait_until

#: A float's last digit: time that moves less than this stands still.
GRAIN = 1e-6


def by_hand(clock: ManualClock, **options: Any) -> Quota:
    """A quota whose waiting lets the hand clock's time pass."""
    return Quota(clock, wait=lambda _turn, seconds: clock.advance(seconds + GRAIN), **options)


def test_what_is_within_the_limit_goes_at_once_and_the_next_waits_its_second():
    clock = ManualClock(monotonic=50.0)
    quota = by_hand(clock)
    for _ in range(3):
        quota("historical")
    assert clock.monotonic() == 50.0
    quota("historical")
    assert clock.monotonic() == pytest.approx(50.0 + WINDOW_S, abs=0.001)
    quota("other")
    quota("quote")
    assert clock.monotonic() == pytest.approx(50.0 + WINDOW_S, abs=0.001), "each kind has a limit of its own"


def test_the_numbers_of_a_kind_are_told():
    clock = ManualClock(monotonic=50.0)
    quota = by_hand(clock)
    for _ in range(5):
        quota("historical")
    said = quota.describe()
    assert list(said) == list(LIMITS)
    assert said["historical"] == {
        "limit_per_s": 3, "last_second": 2, "last_minute": 5, "waiting": 0, "held_s": 0.0, "total": 5, "waited": 1,
        "waited_s": pytest.approx(1.1, abs=0.1), "turned_away": 0, "refusals": 0,
    }  # fmt: skip
    clock.advance(61.0)
    assert quota.describe()["historical"]["last_minute"] == 0
    assert quota.describe()["historical"]["total"] == 5


arrivals = st.lists(
    st.tuples(
        st.sampled_from(list(LIMITS)),
        st.floats(0, 3) | st.sampled_from([0.0, 0.0, 1.0]),
        st.sampled_from(["", "", "", "", "refused", "retry after"]),
    ),
    max_size=60,
)


@given(arrivals=arrivals)
def test_no_second_ever_holds_more_than_the_limit_and_nobody_waits_too_long(arrivals):
    clock = ManualClock(monotonic=1e6)
    quota = by_hand(clock)
    let_go: dict[str, list[float]] = {kind: [] for kind in LIMITS}
    held = dict.fromkeys(LIMITS, 0.0)
    for kind, gap, what in arrivals:
        clock.advance(gap)
        if what:
            quota.refused(kind, 4.0 if what == "retry after" else 0.0)
            held[kind] = quota.describe()[kind]["held_s"] + clock.monotonic()
            continue
        came = clock.monotonic()
        try:
            quota(kind)
        except RateLimited:
            assert held[kind] - came > PATIENCE_S - 1, "only a refusal of Kite's can make one wait too long"
            continue
        now = clock.monotonic()
        assert now - came <= PATIENCE_S + 0.01
        assert now >= held[kind] - 0.1
        let_go[kind].append(now)
    for kind, times in let_go.items():
        for i, at in enumerate(times):
            assert sum(at <= other < at + 1.0 for other in times[i:]) <= LIMITS[kind]


def test_many_threads_are_let_go_within_the_limit_and_in_the_order_they_came():
    clock = ManualClock(monotonic=50.0)
    times: list[tuple[int, float]] = []

    def wait(turn: threading.Condition, seconds: float) -> None:
        clock.advance(min(seconds, 0.01))
        turn.wait(0.0005)

    quota = Quota(clock, wait=wait)

    def ask(n: int) -> None:
        quota("historical")
        times.append((n, clock.monotonic()))

    # The first three go at once; then each stands in line before the next one comes.
    quota.refused("historical", 2.0)
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for n, thread in enumerate(threads):
        thread.start()
        wait_until(lambda n=n: quota.describe()["historical"]["waiting"] + len(times) > n)
    for thread in threads:
        thread.join(20)
    assert sorted(n for n, _ in times) == list(range(12))
    said = quota.describe()["historical"]
    assert (said["total"], said["waiting"]) == (12, 0)
    stamps = list(quota._lanes["historical"].times)
    assert all(stamps[i + 3] - stamps[i] >= 1.0 for i in range(9))


def test_more_than_may_wait_are_turned_away_at_once_and_told_so():
    clock = ManualClock(monotonic=50.0)
    quota = Quota(clock, most_waiting=2, patience_s=60.0)
    quota("quote")
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(RateLimited) as turned_away:
            quota("quote")
        told.append(str(turned_away.value))

    waiting = [threading.Thread(target=ask) for _ in range(2)]
    for thread in waiting:
        thread.start()
    wait_until(lambda: quota.describe()["quote"]["waiting"] == 2)
    with pytest.raises(RateLimited, match="2 quote requests wait already; allowed: 2"):
        quota("quote")
    quota("other")
    quota.close()
    for thread in waiting:
        thread.join(10)
        assert not thread.is_alive(), "closing lets nobody wait"
    assert ["the desk closes" in words for words in told] == [True, True]
    assert quota.describe()["quote"]["turned_away"] == 3
    with pytest.raises(RateLimited, match="the desk closes"):
        quota("other")


def test_a_429_holds_its_kind_back_longer_each_time_and_no_other_kind():
    clock = ManualClock(monotonic=50.0)
    quota = by_hand(clock)
    held = []
    for _ in range(7):
        quota.refused("quote")
        held.append(quota.describe()["quote"]["held_s"])
        clock.advance(held[-1])
    assert held == [2, 4, 8, 16, 32, LONGEST_HOLD_S, LONGEST_HOLD_S]
    quota.refused("quote")
    assert quota.describe()["other"]["held_s"] == 0
    with pytest.raises(RateLimited, match="Kite refused some and they are held back for 60 s"):
        quota("quote")
    clock.advance(200)
    quota.refused("quote")
    assert quota.describe()["quote"]["held_s"] == 2, "a minute without one begins anew"


def test_refusals_of_what_was_on_its_way_together_count_as_one_reason_to_wait():
    clock = ManualClock(monotonic=50.0)
    quota = by_hand(clock)
    for _ in range(3):
        quota.refused("historical")
    assert quota.describe()["historical"]["held_s"] == 2
    assert quota.describe()["historical"]["refusals"] == 3
    quota.refused("historical", 9.0)
    assert quota.describe()["historical"]["held_s"] == 9, "what Kite says counts"


def test_a_kind_that_is_none_is_told_what_there_is():
    with pytest.raises(ValueError, match="kind was 'order'; allowed: quote, historical, other"):
        Quota(ManualClock())("order")


PAGE = Answer(429, b"<html>Too many requests</html>", "text/html", {"Retry-After": "7"})


@pytest.mark.parametrize(
    ("answer", "words", "held_s"),
    [
        (refusal(429, "NetworkException", "Too many requests"), "Kite says: Too many requests", 2),
        # A proxy's page, of which the official client says neither the status nor for how long.
        (PAGE, "429, and not in Kite's own words", 7),
    ],
    ids=["kite", "proxy"],
)
def test_a_client_tells_the_quota_that_it_was_refused(answer, words, held_s):
    exchange = RestExchange()
    quota = by_hand(ManualClock(monotonic=50.0))
    rest = KiteRest("kitekey", lambda: "token", exchange.root, pace=quota, on_refused=quota.refused)
    try:
        exchange.answer = answer
        with pytest.raises(RateLimited, match=words):
            rest.fetch_quote(["NSE:INFY"])
        exchange.answer = refusal(403, "TokenException", "no")
        with pytest.raises(LoginRequired):
            rest.fetch_profile()
    finally:
        rest.close()
        exchange.close()
    said = quota.describe()
    assert (said["quote"]["refusals"], said["quote"]["total"], said["quote"]["held_s"]) == (1, 1, held_s)
    assert (said["other"]["refusals"], said["other"]["total"]) == (0, 1)
