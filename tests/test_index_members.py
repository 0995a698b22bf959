"""The members of the NIFTY 50: as many as the name says, each with sector and weight, all of them listed."""

from __future__ import annotations

from collections import Counter

import pytest

from tapedeck.index_members import nifty50
from tapedeck.sim.universe import load_universe


def test_the_nifty_50_has_fifty_members_and_none_twice():
    symbols = [member.symbol for member in nifty50().members]
    assert len(symbols) == 50
    assert Counter(symbols).most_common(1)[0][1] == 1
    assert [member.key for member in nifty50().members] == [f"NSE:{symbol}" for symbol in symbols]


def test_weights_are_approximate_say_so_and_add_up_to_the_whole():
    index = nifty50()
    assert (index.name, index.approximate) == ("NIFTY 50", True)
    assert index.as_of.isoformat() == "2025-10-31"
    assert "remembered" in index.source
    assert sum(member.weight for member in index.members) == pytest.approx(100, abs=2)
    assert all(member.weight > 0 for member in index.members)


def test_every_sector_has_a_label_and_every_label_has_members():
    index = nifty50()
    assert {member.sector for member in index.members} == set(index.sectors)
    assert len(index.sectors) == len(set(index.sectors))
    assert all(label.strip() and len(label) <= 12 for label in index.sectors)


def test_all_members_are_listed_by_the_simulated_exchange_and_are_those_of_its_index():
    universe = load_universe()
    index = next(one for one in universe.indices if one.tradingsymbol == "NIFTY 50")
    assert {member.symbol for member in nifty50().members} == {
        universe.stocks[place].tradingsymbol for place in index.members
    }


def test_the_file_is_read_once():
    assert nifty50() is nifty50()
