"""The saved workspace: whole or not at all, never two writers' mixture, and every problem told at once."""

from __future__ import annotations

import copy
import json
import os
import stat
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapedeck.errors import ConfigError, WorkspaceConflict
from tapedeck.instruments import Instruments
from tapedeck.schema import Instrument
from tapedeck.workspace import MAX_BYTES, Workspace, default_lists, parse_workspace

LISTS = [{"name": "Watchlist", "keys": ["NSE:NIFTY 50", "NSE:INFY"]}]


def made(**changed: Any) -> dict[str, Any]:
    """A valid document with something changed."""
    document = {
        "version": 1,
        "revision": 0,
        "lists": [{"name": "Mine", "keys": ["NSE:INFY", "NSE:M&M", "NSE:NIFTY 50"]}, {"name": "Empty", "keys": []}],
        "columns": ["last_price", "percent"],
        "density": "compact",
        "theme": "dark",
        "palette": "standard",
        "layout": {"context": True, "dock_height": 264, "share": 0.4, "tab": "depth"},
    }
    return copy.deepcopy(document) | changed


def open_workspace(folder: Path) -> Workspace:
    return Workspace(folder, lambda: copy.deepcopy(LISTS))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


def problems(document: Any) -> list[str]:
    with pytest.raises(ConfigError) as told:
        parse_workspace(document)
    return str(told.value).split("\n")


def test_a_new_desk_has_the_first_lists_and_revision_0_and_no_file(workspace):
    document = workspace.document()
    assert (document["lists"], document["revision"], workspace.revision) == (LISTS, 0, 0)
    assert not workspace.path.exists()
    assert parse_workspace(document) == document


def test_what_was_saved_is_there_again_with_the_next_revision_and_only_for_this_user(workspace, tmp_path):
    saved = workspace.save(made())
    assert saved == made(revision=1) == workspace.document()
    assert stat.S_IMODE(workspace.path.stat().st_mode) == 0o600
    assert open_workspace(tmp_path).document() == saved
    assert workspace.save(saved)["revision"] == 2
    assert [file.name for file in tmp_path.iterdir()] == ["workspace.json"]


def test_a_document_is_the_callers_to_change(workspace):
    workspace.save(made())
    taken = workspace.document()
    taken["lists"][0]["keys"].append("NSE:TCS")
    taken["layout"]["context"] = False
    taken["columns"].clear()
    assert workspace.document() == made(revision=1)


def test_a_document_made_from_an_older_one_is_a_conflict_that_carries_the_saved_one(workspace):
    workspace.save(made())
    with pytest.raises(WorkspaceConflict, match="revision was 0; the saved workspace is 1") as told:
        workspace.save(made(theme="light"))
    assert told.value.workspace == made(revision=1)
    assert workspace.document()["theme"] == "dark"


def test_of_many_windows_that_save_at_once_one_wins_each_time(workspace):
    told: list[str] = []

    def save(n: int) -> None:
        try:
            workspace.save(made(layout={"window": n}))
            told.append("saved")
        except WorkspaceConflict:
            told.append("conflict")

    threads = [threading.Thread(target=save, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["conflict"] * 7 + ["saved"]
    assert workspace.revision == 1


def test_two_desks_with_one_folder_see_what_the_other_saved(tmp_path):
    ours, theirs = open_workspace(tmp_path), open_workspace(tmp_path)
    ours.save(made())
    with pytest.raises(WorkspaceConflict):
        theirs.save(made())
    assert theirs.revision == 1
    theirs.save(made(revision=1, theme="light"))
    ours.load()
    assert ours.document() == made(revision=2, theme="light")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"version": 2}',
        b"[" * 100_000,
        b'{"version": 1, "revision": 0, "lists": [{"name": "", "keys": []}]}',
        b" " * (MAX_BYTES + 1),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside_and_said_so(tmp_path, content):
    (tmp_path / "workspace.json").write_bytes(content)
    workspace = open_workspace(tmp_path)
    assert workspace.document()["lists"] == LISTS
    assert "workspace.json.bad" in workspace.warning
    assert (tmp_path / "workspace.json.bad").read_bytes() == content
    assert not workspace.path.exists()
    workspace.load()
    assert workspace.warning
    workspace.save(made())
    assert workspace.describe() == {"revision": 1, "saved": True, "warning": ""}
    assert (tmp_path / "workspace.json.bad").exists()


def test_a_link_in_its_place_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(json.dumps(made()))
    (tmp_path / "workspace.json").symlink_to(elsewhere)
    workspace = open_workspace(tmp_path)
    assert workspace.warning
    workspace.save(made())
    assert json.loads(elsewhere.read_text()) == made()


def test_a_file_written_before_a_field_was_added_has_the_usual_value_for_it(tmp_path):
    older = made(revision=4)
    del older["palette"]
    (tmp_path / "workspace.json").write_text(json.dumps(older))
    assert open_workspace(tmp_path).document() == made(revision=4)


def test_an_edit_by_hand_is_taken_up(workspace):
    workspace.save(made())
    workspace.path.write_text(json.dumps(made(revision=9, theme="light")) + "\n")
    workspace.load()
    assert (workspace.revision, workspace.document()["theme"]) == (9, "light")


def test_a_write_that_fails_half_way_keeps_the_old_document(workspace, monkeypatch, tmp_path):
    workspace.save(made())

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        workspace.save(made(revision=1, theme="light"))
    assert open_workspace(tmp_path).document() == workspace.document() == made(revision=1)
    assert [file.name for file in tmp_path.iterdir()] == ["workspace.json"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": 2}, "version was 2; allowed: 1"),
        ({"version": True}, "version was True"),
        ({"revision": -1}, "revision was -1"),
        ({"revision": 1.0}, "revision was 1.0"),
        ({"revision": 10**5000}, "a very large number"),
        ({"lists": []}, "allowed: 1 to 40 lists"),
        ({"lists": [{"name": str(n), "keys": []} for n in range(41)]}, "lists was a list of 41"),
        ({"lists": ["x"]}, "lists[0] was 'x'; allowed: an object with name and keys"),
        ({"lists": [{"name": "a", "keys": [], "x": 1}]}, "allowed: an object with name and keys"),
        ({"lists": [{"name": "a" * 41, "keys": []}]}, "1 to 40 printable characters"),
        ({"lists": [{"name": " a", "keys": []}]}, "no space at the ends"),
        ({"lists": [{"name": "a\nb", "keys": []}]}, r"lists[0].name was 'a\nb'"),
        ({"lists": [{"name": "\ud800", "keys": []}]}, "printable"),
        ({"lists": [{"name": "IT", "keys": []}, {"name": "it", "keys": []}]}, "another list has that name"),
        ({"lists": [{"name": "a", "keys": ["INFY"]}]}, "lists[0].keys[0] was 'INFY'; allowed: EXCHANGE:TRADINGSYMBOL"),
        ({"lists": [{"name": "a", "keys": ["NSE:A:B"]}]}, "EXCHANGE:TRADINGSYMBOL"),
        ({"lists": [{"name": "a", "keys": ["NSE:" + "A" * 61]}]}, "at most 64"),
        ({"lists": [{"name": "a", "keys": [7]}]}, "lists[0].keys[0] was 7"),
        ({"lists": [{"name": "a", "keys": ["NSE:A", "NSE:A"]}]}, "more than once"),
        ({"lists": [{"name": "a", "keys": [f"NSE:S{n}" for n in range(1001)]}]}, "1001 keys; allowed: a list of"),
        ({"lists": [{"name": f"l{m}", "keys": [f"NSE:S{n}" for n in range(1000)]} for m in range(4)]}, "allowed: 3000"),
        ({"columns": []}, "allowed: null, or 1 to 60 names"),
        ({"columns": ["Last"]}, "columns[0] was 'Last'"),
        ({"columns": ["oi", "oi"]}, "among them already"),
        ({"density": "tiny"}, "density was 'tiny'; allowed: compact, normal, relaxed"),
        ({"theme": None}, "theme was None; allowed: dark, light"),
        ({"palette": ["standard"]}, "palette was a list of 1; allowed: standard, colour-blind"),
        ({"layout": []}, "layout was a list of 0"),
        ({"layout": {"A": 1}}, "layout had 'A'"),
        ({"layout": {"a": float("nan")}}, "layout['a'] was nan"),
        ({"layout": {"a": 1e300}}, "a number up to 1,000,000,000"),
        ({"layout": {"a": 10**400}}, "a very large number"),
        ({"layout": {"a": {}}}, "layout['a'] was an object of 0"),
        ({"layout": {"a": "x" * 81}}, "a text of at most 80"),
        ({"surprise": 1}, "'surprise' is not a field; allowed: version, revision, lists"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_allowed(changed, words):
    told = problems(made(**changed))
    assert len(told) == 1
    assert words in told[0]


def test_every_problem_is_told_at_once_and_a_document_of_nothing_but_problems_is_cut_short():
    told = problems({"version": 1, "theme": "blue", "lists": [{"name": "", "keys": ["x", "y"]}]})
    assert len(told) == 5 + 1 + 1 + 2
    told = problems(made(lists=[{"name": "a", "keys": [f"k{n}" for n in range(1000)]}]))
    assert len(told) == 51
    assert told[-1] == "and 950 more problems"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
texts = st.text(max_size=45)
symbols = st.from_regex(r"[A-Z]{3}:[A-Z0-9&\- ]{1,20}", fullmatch=True)
near_lists = st.lists(
    st.fixed_dictionaries({"name": texts, "keys": st.lists(symbols | texts, max_size=5)}) | json_values, max_size=4
)
near_documents = st.fixed_dictionaries(
    {
        "version": st.just(1) | json_values,
        "revision": st.integers() | json_values,
        "lists": near_lists | json_values,
        "columns": st.none() | st.lists(st.sampled_from(["last_price", "oi", "Oi"]), max_size=4) | json_values,
        "density": st.sampled_from(["compact", "normal"]) | json_values,
        "theme": st.sampled_from(["dark", "light"]) | json_values,
        "palette": st.just("standard") | json_values,
        "layout": st.dictionaries(texts, json_values, max_size=4) | json_values,
    }
)


@given(json_values | near_documents)
def test_any_value_is_either_accepted_as_it_is_or_refused_in_single_lines(value):
    try:
        accepted = parse_workspace(value)
    except ConfigError as wrong:
        for line in str(wrong).split("\n"):
            assert line.isprintable()
            assert len(line) < 500
        return
    assert accepted == value
    assert parse_workspace(json.loads(json.dumps(accepted, allow_nan=False))) == accepted


def test_the_largest_document_there_can_be_fits_the_limit_of_its_size(workspace):
    keys = [[f"NSE:{m}{n:03}".ljust(64, "A") for n in range(1000)] for m in range(3)]
    lists = [{"name": f"{m}".ljust(40, "é"), "keys": keys[m] if m < 3 else []} for m in range(40)]
    columns = [f"c{n}".ljust(40, "c") for n in range(60)]
    layout = {f"l{n}".ljust(40, "l"): "é" * 80 for n in range(60)}
    saved = workspace.save(made(lists=lists, columns=columns, layout=layout))
    assert workspace.path.stat().st_size <= MAX_BYTES
    workspace.load()
    assert open_workspace(workspace.path.parent).document() == saved


def contract(token: int, name: str, expiry: date, kind: str = "FUT") -> Instrument:
    symbol = f"{name}{expiry:%y%b}{kind}".upper()
    return Instrument(token, symbol, "NFO", name=name, expiry=expiry, instrument_type=kind, segment=f"NFO-{kind}")


@pytest.fixture
def listed() -> Callable[..., Instruments]:
    def make(*more: Instrument) -> Instruments:
        shares = [Instrument(408065, "INFY", "NSE"), Instrument(256265, "NIFTY 50", "NSE", segment="INDICES")]
        return Instruments.from_instruments([*shares, *more])

    return make


def test_the_first_lists_are_shares_indices_and_the_nearest_futures_of_the_day(listed):
    november, december = date(2026, 11, 24), date(2026, 12, 29)
    instruments = listed(
        contract(1, "NIFTY", december),
        contract(2, "NIFTY", november),
        contract(3, "NIFTY", november, "CE"),
        contract(4, "INFY", december),
    )
    lists = {one["name"]: one["keys"] for one in default_lists(instruments, november)}
    assert lists["Watchlist"] == ["NSE:NIFTY 50", "NSE:INFY"]
    assert lists["Indices"] == ["NSE:NIFTY 50"]
    assert lists["Futures"] == ["NFO:NIFTY26NOVFUT", "NFO:INFY26DECFUT"]
    later = {one["name"]: one["keys"] for one in default_lists(instruments, date(2026, 11, 25))}
    assert later["Futures"] == ["NFO:NIFTY26DECFUT", "NFO:INFY26DECFUT"]


def test_before_there_are_instruments_the_first_lists_are_whole_but_without_futures():
    lists = default_lists(Instruments(), date(2026, 11, 24))
    assert [len(one["keys"]) for one in lists] == [50, 16, 0]
    parse_workspace(made(lists=lists))
