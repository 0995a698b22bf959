"""The benchmarks' own viewers and processes: they count what really came, and say when something did not."""

from __future__ import annotations

import json
import os
from contextlib import closing
from multiprocessing.connection import Connection

import pytest
from websockets.frames import Frame, Opcode

from benchmarks import document, harness
from benchmarks.page_viewers import token_of
from benchmarks.processes import Child, mark, mark_of
from benchmarks.viewers import BINARY, TEXT, Crowd, Messages, frame_of
from tests.relay_support import served


def echoes(line: Connection) -> None:
    line.send(os.getpid())
    while True:
        try:
            line.send(line.recv())
        except EOFError:
            return


def dies(line: Connection) -> None:
    line.send("ready")
    line.recv()
    os._exit(3)


@pytest.mark.parametrize("step", [1, 2, 7, 1000, 20_000])
def test_messages_are_the_same_however_the_bytes_are_cut(step: int):
    said = [(TEXT, b"{}"), (BINARY, b""), (BINARY, bytes(range(256)) * 3), (TEXT, b"x" * 70_000), (BINARY, b"end")]
    data = b"".join(Frame(Opcode(kind), content).serialize(mask=False) for kind, content in said)
    messages, heard = Messages(), []
    while data:
        room = messages.room()
        count = min(step, len(room), len(data))
        room[:count] = data[:count]
        data = data[count:]
        heard += [(kind, bytes(content)) for kind, content in messages.received(count)]
    assert heard == said


@pytest.mark.parametrize("size", [5, 200])
def test_what_a_viewer_says_is_a_masked_frame(size: int):
    frame = frame_of(TEXT, b"y" * size)
    assert frame[1] & 0x80
    assert frame.endswith(bytes(4) + b"y" * size)


def test_a_viewer_notes_each_change_once_with_its_age():
    with served(3) as server, closing(Crowd(server.port, 10)) as crowd:
        server.publish(1.0, 1.0, 1.0)
        assert crowd.join([[257, 513]] * 4) == 4
        changed = server.clock.monotonic()
        server.publish(changed, changed, changed)
        ages: list[float] = []
        while len(ages) < 4:
            crowd.read(5.0)
            listening, seen = crowd.seen()
            assert listening == 4
            ages += seen.between(changed, seen.at.max(initial=0) + 1).age.tolist()
        assert len(ages) == 4
        assert 0 < min(ages) <= max(ages) <= server.clock.monotonic() - changed


def test_a_viewer_that_was_cut_off_is_not_counted_any_more():
    with served(3) as server, closing(Crowd(server.port, 10)) as crowd:
        crowd.join([[257]] * 2)
        server.on_loop(lambda: next(iter(server.relay._listeners.values())).outlet.abort())
        while crowd.seen()[0] == 2:
            crowd.read(5.0)
        assert crowd.seen()[0] == 1


def test_a_child_answers_and_ends_with_its_line():
    with Child(echoes) as child:
        assert child.ask("one", 2) == ("one", 2)
        pid = child.ready
        assert mark_of(pid).rss_mb > 1
    with pytest.raises(OSError, match=str(pid)):
        mark_of(pid)
    assert mark({"updates": 3}).counts == {"updates": 3}


def test_a_child_that_died_is_told_at_once():
    with Child(dies) as child, pytest.raises(RuntimeError, match="ended with 3"):
        child.ask("anything")


def test_a_page_without_a_session_is_refused():
    assert token_of('{"roots": {}, "token":"abc.def"}') == "abc.def"
    with pytest.raises(RuntimeError, match="no session token"):
        token_of("<html>")


def test_the_newest_run_replaces_the_one_before_in_the_document(tmp_path):
    results = {"fanout": [harness.against("rows", 5e-5, peer="Tabulator", peer_s=0.035, goal=500)]}
    run = json.loads(harness.save(results, {}, harness.circumstances(), tmp_path).read_text())
    text = document.markdown(run)
    assert "| rows | 50 us | Tabulator: 35,000 us | 700 x | >= 500 x, met |" in text
    page = document.DOCUMENT.read_text(encoding="utf-8")
    once = document.replaced(page, text)
    assert once != page
    assert document.replaced(once, text) == once
    with pytest.raises(ValueError, match="once each"):
        document.replaced("no marks", text)


def test_the_document_explains_every_benchmark():
    page = document.DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in harness.modules() if f"| `{name}` |" not in page] == []
