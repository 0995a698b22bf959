"""The documents of the stream and of freshness say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from tapedeck._hub_quote import CLOSED_REASONS, STATE_REASONS
from tapedeck.feed import STATES
from tapedeck.relay.frames import ACTIONS, HEADER, MAX_TEXT, RECORD
from tapedeck.relay.handler import StreamHandler
from tapedeck.sessions import PHASES
from tests.relay_support import Rumour, served

DOCS = Path(__file__).resolve().parents[1] / "docs"
STREAM = (DOCS / "stream.md").read_text(encoding="utf-8")
FRESHNESS = (DOCS / "freshness.md").read_text(encoding="utf-8")


def snippets(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.S)


def test_the_snippets_run():
    for snippet in (snippets(STREAM)[1], *snippets(FRESHNESS)):
        exec(snippet, {})


def test_the_client_example_runs_against_a_server():
    script = snippets(STREAM)[0]
    with served(2, topics={"overview": Rumour()}) as server:
        server.publish(1.0, 2.0)
        script = script.replace("ws://127.0.0.1:5006/api/stream", server.url)
        script = script.replace("NSE:INFY", "NSE:S1").replace("NSE:NIFTY 50", "NSE:S2")
        names: dict = {}
        for question in ('quote("NSE:S1")', 'depth("NSE:S1")', 'topic("overview")'):
            script = script.replace(f"    stream.{question}", f"    {question[:5]} = stream.{question}")
        exec(script, names)
        assert names["quote"]["last_price"] == 1.0
        assert names["depth"]["buy"][0] == (0.95, 3, 0)
        assert names["topic"]["topic"] == "overview"


def test_the_tables_of_the_stream_are_those_of_the_code():
    rows = dict(re.findall(r"^\| (\d+) \| \S+(?: bytes)? \| (\w+) \|", STREAM.split("A record:")[0], re.M))
    fields = HEADER.fields
    assert fields is not None
    assert {int(at): name for at, name in rows.items()} == {
        offset: name for name, (_, offset) in fields.items() if not name.startswith("pad")
    }
    for code, name in [*enumerate(STATES), *enumerate(PHASES)]:
        assert f"{code} {name}" in STREAM
    assert f"record_size | {RECORD.itemsize} |" in STREAM
    assert f"{MAX_TEXT:,} characters" in STREAM
    assert f"{2 * MAX_TEXT:,} bytes" in STREAM
    assert StreamHandler.max_message_size.fget(None) == 2 * MAX_TEXT
    assert {action for action in ACTIONS if f'"a":"{action}"' in STREAM} == set(ACTIONS)


def test_the_reasons_are_those_of_the_code():
    for words in (STATE_REASONS["LOGIN_REQUIRED"], STATE_REASONS["STANDBY"], *CLOSED_REASONS.values()):
        assert f"`{words}" in FRESHNESS, words
