"""The route of the workspace: what was saved comes back, and what must not be saved is told why."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapedeck.settings import parse_start
from tapedeck.workspace import MAX_BYTES
from tests.inside import Inside
from tests.support import wait_until

PATH = "/api/workspace"


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Inside]:
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        running = Inside(folder, sim_start=parse_start("2026-11-23T10:00:00"))
        wait_until(lambda: len(running.desk.instruments))
        yield running
        running.close()


def put(desk: Inside, document: Any, **headers: str) -> requests.Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    given = desk.headers | {"Content-Type": "application/json"} | headers
    return requests.put(desk.address + PATH, data=body, headers=given, timeout=10)


def test_a_page_takes_the_workspace_changes_it_and_everybody_has_the_change(desk):
    document = desk.json(PATH)
    assert [one["name"] for one in document["lists"]][:1] == ["Watchlist"] or document["revision"]
    document["lists"] = [{"name": "Banks", "keys": ["NSE:SBIN", "NSE:NOTLISTED"]}, *document["lists"][:30]]
    document["lists"] = list({one["name"]: one for one in document["lists"]}.values())
    answer = put(desk, document, **{"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    saved = answer.json()
    assert saved == document | {"revision": document["revision"] + 1} == desk.json(PATH)
    assert json.loads((desk.settings.data / "workspace.json").read_text()) == saved
    assert desk.desk.watchlist() == ["NSE:SBIN"], "the day's instruments decide what can be shown"
    assert desk.json("/api/system/health")["workspace"]["revision"] == saved["revision"]
    assert desk.desk._counters()["workspace"] == saved["revision"]


def test_a_page_that_was_overtaken_is_given_what_is_saved(desk):
    document = desk.json(PATH)
    assert put(desk, document | {"theme": "light"}).status_code == 200
    answer = put(desk, document | {"theme": "dark"})
    assert answer.status_code == 409
    body = answer.json()
    assert body["error"] == "conflict"
    assert "another window" in body["reason"]
    assert body["workspace"] == desk.json(PATH)
    assert body["workspace"]["theme"] == "light"


def test_every_problem_of_a_document_is_named(desk):
    answer = put(desk, desk.json(PATH) | {"theme": "blue", "density": 3, "lists": []})
    assert answer.status_code == 400
    body = answer.json()
    assert len(body["problems"]) == 3
    assert all(problem in body["reason"] for problem in body["problems"])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN", b"null", b'{"warning": 1}'])
def test_a_body_that_is_no_workspace_is_told_so(desk, body):
    answer = put(desk, body)
    assert answer.status_code == 400
    assert answer.json()["reason"]


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; x"])
def test_only_json_is_taken_because_a_form_of_another_site_cannot_send_it(desk, kind):
    before = desk.json(PATH)
    answer = put(desk, before, **{"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["reason"]
    assert desk.json(PATH) == before


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_a_stranger_saves_nothing(desk, headers):
    before = desk.json(PATH)
    assert put(desk, before, **headers).status_code == (421 if "Host" in headers else 403)
    assert desk.json(PATH) == before


def test_a_parameter_is_refused(desk):
    answer = requests.put(
        desk.address + PATH + "?x=1",
        data=b"{}",
        headers=desk.headers | {"Content-Type": "application/json"},
        timeout=10,
    )
    assert answer.status_code == 400
    assert "allowed: none" in answer.json()["reason"]


def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(desk):
    with requests.Session() as session:
        url = desk.address + PATH
        session.headers.update(desk.headers)
        headers = {"Content-Type": "application/json"}
        answer = session.put(url, data=b" " * (MAX_BYTES + 1), headers=headers, timeout=10)
        assert answer.status_code == 413
        assert str(MAX_BYTES) in answer.json()["reason"]
        pieces = (b" " * 65_536 for _ in range(40))  # chunked: no length is said beforehand
        assert session.put(url, data=pieces, headers=headers, timeout=10).status_code == 413
        assert session.get(url, timeout=10).status_code == 200


def test_a_sender_that_stops_half_way_holds_up_nobody(desk):
    head = f"PUT {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{desk.address.rsplit(':', 1)[1]}\r\n"
    head += f"Authorization: {desk.headers['Authorization']}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    before = desk.json(PATH)
    with socket.create_connection(("127.0.0.1", int(desk.address.rsplit(":", 1)[1]))) as one:
        one.sendall(head.encode())
        assert put(desk, before).status_code == 200


def test_a_disk_that_refuses_is_told_and_the_old_workspace_stays(desk, monkeypatch):
    from tapedeck import workspace

    def full(*_unused: object) -> None:
        raise OSError(28, "No space left on device")

    before = desk.json(PATH)
    monkeypatch.setattr(workspace, "write_private", full)
    answer = put(desk, before)
    assert answer.status_code == 507
    assert "No space left" in answer.json()["reason"]
    assert desk.json(PATH) == before


def test_a_file_that_was_spoilt_by_hand_is_set_aside_and_the_page_is_told(desk):
    put(desk, desk.json(PATH))
    file = desk.settings.data / "workspace.json"
    file.write_text("not json")
    document = desk.json(PATH)
    assert "workspace.json.bad" in document["warning"]
    assert document["revision"] == 0
    assert [one["name"] for one in document["lists"]] == ["Watchlist", "Indices", "Futures"]
    assert "NFO:NIFTY26NOVFUT" in document["lists"][2]["keys"]
    assert len(document["lists"][2]["keys"]) == 16
    assert "workspace.json.bad" in desk.json("/api/system/health")["workspace"]["warning"]
    answer = put(desk, document)
    assert answer.status_code == 200
    assert "warning" not in answer.json()
    assert "warning" not in desk.json(PATH)


SESSION = requests.Session()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=80)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["version", "lists"]), inner),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_body_breaks_the_route(desk, body):
    headers = desk.headers | {"Content-Type": "application/json"}
    answer = SESSION.put(desk.address + PATH, data=body, headers=headers, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["reason"]
