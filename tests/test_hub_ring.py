"""The ring: a late joiner misses nothing and repeats nothing, a slow reader learns what it lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapedeck.schema import DEPTH, Batch, Instrument, empty_ticks
from tests.hub_support import FRIDAY, at, open_hub
from tests.support import wait_until

NOW = at(FRIDAY, "11:00")
TOKENS = [256 * i + 1 for i in range(1, 9)]
INSTRUMENTS = [Instrument(token, f"S{token}", "NSE", session_class="other") for token in TOKENS]


def numbered(first: int, tokens: list[int]) -> Batch:
    """Ltp packets whose price is their number in the market's life."""
    ticks = empty_ticks(len(tokens))
    ticks["instrument_token"] = tokens
    ticks["last_price"] = np.arange(first, first + len(tokens))
    return Batch(ticks, np.zeros(0, DEPTH))


frames = st.lists(st.lists(st.sampled_from(TOKENS), max_size=12), max_size=12)


@given(before=frames, after=frames, ring=st.integers(1, 40), reads=st.lists(st.booleans(), min_size=12, max_size=12))
@settings(max_examples=150, deadline=None)
def test_late_joiner_misses_nothing_and_repeats_nothing(before, after, ring, reads):
    hub, _ = open_hub(NOW, instruments=INSTRUMENTS, ring_size=ring)
    published: list[int] = []

    def publish(tokens: list[int]) -> None:
        hub.publish(numbered(len(published), tokens))
        published.extend(tokens)

    for tokens in before:
        publish(tokens)
    snapshot, cursor = hub.join()
    assert cursor == len(published)
    newest = {token: i for i, token in enumerate(published)}
    assert {int(r["instrument_token"]): int(r["last_price"]) for r in snapshot} == newest

    expected = cursor
    for tokens, read in zip(after, reads, strict=False):
        publish(tokens)
        if read:
            rows, cursor, lost = hub.since(cursor)
            assert lost == max(0, len(published) - ring - expected)
            assert rows["last_price"].astype(int).tolist() == list(range(expected + lost, len(published)))
            assert rows["instrument_token"].tolist() == published[expected + lost :]
            expected = cursor
    assert hub.head == len(published)


@given(frames=frames)
@settings(max_examples=100, deadline=None)
def test_changed_names_exactly_the_slots_published_since(frames):
    hub, _ = open_hub(NOW, instruments=INSTRUMENTS)
    cursor = count = 0
    for tokens in frames:
        hub.publish(numbered(count, tokens))
        count += len(tokens)
        slots, cursor = hub.changed(cursor)
        assert set(hub.view(slots).ticks["instrument_token"].tolist()) == set(tokens)
        assert hub.changed(cursor)[0].tolist() == []


@pytest.mark.parametrize("readers", [4])
def test_readers_on_other_threads_see_every_row_once_and_in_order(readers):
    hub, _ = open_hub(NOW, instruments=INSTRUMENTS, ring_size=1 << 16)
    total = 20_000
    wrong: list[str] = []

    def read() -> None:
        snapshot, cursor = hub.join()
        if len(snapshot) and int(snapshot["last_price"].max()) != cursor - 1:
            wrong.append(f"snapshot ends at {snapshot['last_price'].max()}, cursor is {cursor}")
        expected = cursor
        while expected < total and not wrong:
            rows, cursor, lost = hub.since(cursor)
            if lost or rows["last_price"].astype(int).tolist() != list(range(expected, cursor)):
                wrong.append(f"after {expected}: lost {lost}, then {rows['last_price'][:3]}")
            expected = cursor

    threads = [threading.Thread(target=read, daemon=True) for _ in range(readers)]
    rng = np.random.default_rng(7)
    for i, thread in enumerate(threads):
        thread.start()
        # Readers join at different moments of the market's life.
        while hub.head < (i + 1) * total // (readers + 1):
            tokens = rng.choice(TOKENS, min(int(rng.integers(1, 40)), total - hub.head)).tolist()
            hub.publish(numbered(hub.head, tokens))
    while hub.head < total:
        hub.publish(numbered(hub.head, TOKENS[: min(8, total - hub.head)]))
    wait_until(lambda: wrong or not any(t.is_alive() for t in threads), 20)
    assert wrong == []
