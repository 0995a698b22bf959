"""`tapedeck probe` against the simulated exchange: each question by itself, no token shown, no second connection."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tapedeck.cli import main
from tapedeck.clock import SystemClock
from tapedeck.errors import RateLimited
from tapedeck.kite.login import Credentials, TokenFile
from tapedeck.kite.owner import OwnerLock
from tapedeck.kite.probe import REFUSED, TRIES, Kite, attempt, wrong_token
from tapedeck.kite.probe_feed import Watch, first_packets, heartbeats, index_change, text_messages
from tests.sim_support import INFY, NIFTY, Sim
from tests.support import wait_until

CREDENTIALS = Credentials("simkey", "the-days-token")


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with Sim(start="2026-11-23T10:00:20", real=SystemClock()) as sim:
        yield sim


@pytest.fixture
def desk(sim: Sim, tmp_path, monkeypatch) -> str:
    """The settings of a desk on that exchange, logged in; the token."""
    for name, value in {
        "TAPEDECK_DATA": tmp_path, "XDG_RUNTIME_DIR": tmp_path, "ZERODHA_API_KEY": "simkey",
        "TAPEDECK_KITE_REST": sim.address, "TAPEDECK_KITE_WS": sim.address.replace("http", "ws", 1),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    tmp_path.chmod(0o700)
    sim.call(sim.server.exchange.limits._recent.clear)  # each test is another minute
    token = sim.kite().access_token
    TokenFile(tmp_path / "token.json").save(Credentials("simkey", token))
    return token


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, object]], str]:
    """Exit status, what was seen by question, and everything printed."""
    status = main(["probe", "--json", *arguments])
    printed = capsys.readouterr()
    rows = json.loads(printed.out)["seen"] if printed.out else []
    return status, {row["question"]: row for row in rows}, printed.out + printed.err


def test_every_question_is_answered_and_no_token_is_printed(desk, sim, capsys):
    # Whoever subscribes first waits until the exchange has made its first minutes.
    with sim.stream(NIFTY, INFY):
        pass
    before = sim.connections()["total"]
    status, seen, printed = asked(capsys, "--seconds", "6")
    assert status == 0, printed
    assert desk not in printed
    said = {question: str(row["seen"]) for question, row in seen.items()}
    assert said["Is the token accepted, and for what?"].startswith("accepted for SI****, individual; exchanges NSE")
    assert "give or take half a second" in said["How far is this machine's clock from Kite's?"]
    assert "INDICES 7" in said["How many rows has the instruments dump?"]
    assert said["What does a quote carry?"].startswith("NSE:INFY at ")
    assert "the one just closed there, volume" in said["How fresh is the minute that has just closed?"]
    assert "interval exceeds max limit: 60 days" in said["What answers a historical range over the limit?"]
    assert said["What answers a wrong token?"].startswith("HTTP 403, application/json")
    assert said["What answers a websocket with a wrong token?"].startswith("HTTP 403")
    assert said["Does the websocket open?"].startswith("open after 0.")
    assert "token 256265" in said["What are the first packets?"]
    assert said["What are bytes 24-27 of an index packet?"].startswith(
        "0x00000000 = 0 signed; last price less close is "
    )
    assert len(seen) == 13
    assert sim.connections()["total"] == before + 1, "one connection, and it is ended"
    wait_until(lambda: sim.connections()["open"] == 0)


def test_lines_for_people_mark_what_was_not_answered(desk, capsys):
    TokenFile.save(TokenFile(_file()), Credentials("simkey", "an-old-token"))
    assert main(["probe", "--no-feed"]) == 1
    printed = capsys.readouterr().out
    assert "! Is the token accepted, and for what?\n    LoginRequired: Kite says: Incorrect" in printed
    assert "  How many rows has the instruments dump?\n    " in printed, "one that fails leaves the others"
    assert "an-old-token" not in printed
    assert "websocket" not in printed


def test_a_desk_that_owns_the_connection_keeps_it(desk, sim, capsys):
    before = sim.connections()["total"]
    with OwnerLock(sim.address.replace("http", "ws", 1), "simkey"):
        status, seen, _ = asked(capsys, "--seconds", "1.5")
    assert status == 0
    assert str(seen["What does the websocket send?"]["seen"]).startswith("not asked: the feed is owned by")
    assert sim.connections()["total"] == before


def test_without_key_or_token_it_says_what_to_do(desk, monkeypatch, capsys):
    _file().unlink()
    assert asked(capsys)[0] == 1
    assert main(["probe"]) == 1
    assert "log in first: LOGIN on the desk, or `tapedeck login`" in capsys.readouterr().err
    monkeypatch.setenv("TAPEDECK_KITE_REST", "htp://api.kite.trade")
    assert main(["probe"]) == 1
    assert "Kite may not be asked: TAPEDECK_KITE_REST" in capsys.readouterr().err
    monkeypatch.delenv("ZERODHA_API_KEY")
    assert main(["probe"]) == 1
    assert "ZERODHA_API_KEY is not set" in capsys.readouterr().err


def _file() -> Path:
    return Path(os.environ["TAPEDECK_DATA"]) / "token.json"


# -- what is read from frames ------------------------------------------------------------------------------------


def frame(*bodies: bytes) -> bytes:
    return len(bodies).to_bytes(2, "big") + b"".join(len(body).to_bytes(2, "big") + body for body in bodies)


def index(last: int, close: int, raw: int) -> bytes:
    numbers = (256265, last, 0, 0, 0, close)
    return b"".join(n.to_bytes(4, "big") for n in numbers) + raw.to_bytes(4, "big", signed=True) + b"\0\0\0\1"


def test_the_heartbeats_content_and_pace_are_told():
    watch = Watch([(0.5, b"\x00"), (1.5, b"\x00"), (2.75, b"\x00"), (3.0, frame(b"\0" * 8))], lasted_s=6.0)
    assert heartbeats(watch) == ("0x00 3 times; 1.00 to 1.25 s apart, mostly 1.12; longest silence of any kind 3.00 s")
    assert heartbeats(Watch(lasted_s=6.0)) == "none in 6 s; 0 market frames came"
    assert heartbeats(Watch([(0.5, b"\x41")], lasted_s=1.0)).startswith("0x41 1 times; only one;")


def test_an_index_packets_last_bytes_stand_beside_the_change_they_may_be():
    watch = Watch([(0.1, frame(index(2_500_000, 2_510_000, -10_000))), (0.2, b"\0\2\0\x20only half of it")])
    assert index_change(watch) == "0xffffd8f0 = -10000 signed; last price less close is -10000 (hundredths)"
    assert first_packets(watch) == "after 0.10 s: token 256265 32 bytes; 2 market frames in all"
    assert index_change(Watch(lasted_s=2.0)) == "no index packet in 2 s"
    assert first_packets(Watch(lasted_s=2.0)) == "none in 2 s"


def test_of_text_messages_only_the_type_is_told():
    texts = ['{"type":"order","data":{"order_id":"1"}}', '{"type":"message","data":"x"}', "broken", "[]"]
    watch = Watch([(0.1, text) for text in texts])
    assert text_messages(watch) == "order 1 times, message 1 times, not JSON with a type 2 times"
    assert text_messages(Watch()) == "none"


def test_a_probe_that_stumbles_says_so_without_the_text_of_the_error():
    def stumble() -> str:
        raise RuntimeError("https://kite?access_token=the-days-token")

    seen = attempt("Why?", stumble, CREDENTIALS)
    assert seen == ("Why?", "the probe itself failed (RuntimeError)", True)
    assert attempt("What?", lambda: "it was\n the-days-token", CREDENTIALS).seen == "it was ***"


# -- beside a desk that asks with the same key ---------------------------------------------------------------------


@pytest.mark.parametrize(("refusals", "seen"), [(TRIES - 1, ("at last", False)), (TRIES, (REFUSED, True))])
def test_a_429_is_no_answer_and_is_asked_again_a_few_times(refusals, seen):
    left = [RateLimited("Kite says: Too many requests")] * refusals

    def ask() -> str:
        if left:
            raise left.pop()
        return "at last"

    assert attempt("What?", ask, CREDENTIALS)[1:] == seen
    assert not left


def test_each_429_is_told_to_the_quota_before_the_next_request():
    order: list[Any] = []
    answers = [(429, {"Retry-After": "2"}), (429, {}), (403, {"Content-Type": "application/json"})]

    class Session:
        def get(self, *_args: Any, **_options: Any) -> Any:
            status, headers = answers.pop(0)
            order.append(status)
            return SimpleNamespace(status_code=status, headers=headers, text='{"error_type": "TokenException"}')

    kite = Kite(
        SimpleNamespace(root="http://kite.test"), CREDENTIALS, SystemClock(), SystemClock(),
        pace=lambda kind: order.append(kind), on_refused=lambda *refusal: order.append(refusal), session=Session(),
    )  # type: ignore[arg-type]  # fmt: skip
    seen = attempt("What answers a wrong token?", lambda: wrong_token(kite), CREDENTIALS)
    assert seen.seen == 'HTTP 403, application/json, {"error_type": "TokenException"}'
    assert order == ["other", 429, ("other", 2.0), "other", 429, ("other", 0.0), "other", 403]
