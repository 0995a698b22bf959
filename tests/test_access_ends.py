"""Logins and tokens of a real desk: each opens it until it ends, nothing else does, and no secret is told."""

from __future__ import annotations

import base64
import json
import re
from contextlib import ExitStack, suppress
from typing import Any

import jwt
import pytest
from bokeh.util.token import get_token_payload
from websockets.exceptions import ConnectionClosed

from benchmarks.page_viewers import token_of
from dashboards.lockout import TRIES
from tapedeck.bearers import AUDIENCE
from tapedeck.clock import SECOND, SystemClock
from tapedeck.users import OPERATOR, Users
from tests.access_support import JWT_CANARY, PASSWORDS, PUBLIC, SECRET, START, Told, bearer, find_secrets, paths
from tests.inside import Inside
from tests.support import wait_until
from tests.visitor import Visitor

pytest_plugins = ["tests.access_fixtures"]


# -- out again ---------------------------------------------------------------------------------------------------------


def closed_with(connection: Any) -> int:
    """Code with which the desk closes a websocket."""
    with suppress(ConnectionClosed):
        for _ in connection:
            pass  # what came before
    assert connection.close_code is not None
    return connection.close_code


def test_after_the_logout_the_cookie_is_worth_nothing_and_what_was_open_is_closed(desk, visit):
    first, second = visit("asha"), visit("asha")
    number, token = first.cookie, token_of(first.navigate("/").text)
    opened = ExitStack()
    stream = opened.enter_context(first.open_socket("/api/stream"))
    session = opened.enter_context(first.open_socket("/ws", spoken=["bokeh", token]))
    others = opened.enter_context(second.open_socket("/api/stream"))
    answer = first.form("/logout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert first.cookie == ""
    assert closed_with(stream) == 4401
    assert closed_with(session) == 4401
    thief = visit()
    thief.session.cookies.set(desk.serving.door.cookie, number)
    assert thief.get("/api/quotes?i=NSE:INFY").status_code == 401
    assert thief.refused_socket("/api/stream") == 401
    assert thief.refused_socket("/ws", spoken=["bokeh", token]) == 401
    # Another browser of the same user goes on.
    assert second.get("/api/access/me").status_code == 200
    others.send(json.dumps({"a": "hello", "v": [], "rate": 4}))
    assert json.loads(str(others.recv(10)))["type"] == "welcome"
    opened.close()
    wait_until(lambda: not desk.serving.door.open_sockets)


def test_a_login_gets_a_number_of_its_own_and_the_old_one_ends(desk, visit):
    visitor = visit("bob")
    first = visitor.cookie
    visitor.log_in("asha", PASSWORDS["asha"])
    assert visitor.cookie != first
    thief = visit()
    thief.session.cookies.set(desk.serving.door.cookie, first)
    assert thief.get("/api/access/me").status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(desk, visit):
    answer = visit().log_in("bob", PASSWORDS["bob"])
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert desk.serving.door.cookie.endswith(desk.address.rpartition(":")[2])


def test_a_user_who_is_removed_or_gets_another_password_is_out_within_seconds(desk, visit):
    users = Users(desk.settings.data)
    visitor = visit("carol")
    with visitor.open_socket("/api/stream") as stream:
        users.set_password("carol", "canary-Of-Carol-again")
        assert closed_with(stream) == 4401
    assert visitor.get("/api/access/me").status_code == 401
    again = Visitor(desk.address)
    assert again.log_in("carol", "canary-Of-Carol-again").status_code == 303
    users.remove("carol")
    wait_until(lambda: again.get("/api/access/me").status_code == 401)
    assert again.log_in("carol", "canary-Of-Carol-again").status_code == 401


# -- bearers -----------------------------------------------------------------------------------------------------------


def test_a_bearer_opens_the_api_and_the_stream_until_it_is_revoked(desk, visit):
    bearers = desk.serving.door.bearers
    token = bearers.issue("notebook")
    program = visit()
    assert program.get("/api/access/me", headers=bearer(token)).json()["user"] == "notebook"
    assert program.ask("PUT", "/api/workspace", json={}, headers=bearer(token)).status_code == 403
    number = next(row["jti"] for row in bearers.issued() if row["sub"] == "notebook")
    with program.open_socket("/api/stream", **bearer(token)) as stream:
        # As another process does.
        type(bearers)(JWT_CANARY, desk.settings.data, SystemClock()).revoke(number)
        assert closed_with(stream) == 4401
    answer = program.get("/api/access/me", headers=bearer(token))
    assert answer.status_code == 401
    assert "revoked" in answer.json()["reason"]
    assert program.refused_socket("/api/stream", **bearer(token)) == 401


def test_an_operators_bearer_saves_without_a_form(desk, visit):
    token = desk.serving.door.bearers.issue("script", role=OPERATOR)
    program = visit()
    document = program.get("/api/workspace", headers=bearer(token)).json()
    assert program.ask("PUT", "/api/workspace", json=document, headers=bearer(token)).status_code == 200


@pytest.mark.parametrize("how", ["none", "expired", "audience", "secret", "empty", "basic in bearer", "two"])
def test_a_bearer_that_this_desk_did_not_make_is_refused_even_with_a_good_cookie(desk, visit, how):
    now = SystemClock().now() // SECOND
    claims = {
        "sub": "n", "role": OPERATOR, "scope": "operate", "iat": now, "exp": now + 600, "jti": "1", "aud": AUDIENCE,
    }  # fmt: skip
    part = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    good = jwt.encode(claims, JWT_CANARY, algorithm="HS256")
    token = {
        "none": f"{part}.{good.split('.')[1]}.",
        "expired": jwt.encode(claims | {"exp": now - 1}, JWT_CANARY, algorithm="HS256"),
        "audience": jwt.encode(claims | {"aud": "other"}, JWT_CANARY, algorithm="HS256"),
        "secret": jwt.encode(claims, JWT_CANARY[::-1], algorithm="HS256"),
        "empty": "",
        "basic in bearer": "YXNoYTpjYW5hcnk=",
        "two": f"{good} {good}",
    }[how]
    for visitor in (visit(), visit("asha")):
        answer = visitor.get("/api/access/me", headers=bearer(token))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert visitor.ask("PUT", "/api/workspace", json={}, headers=bearer(token)).status_code == 401
        assert visitor.refused_socket("/api/stream", **bearer(token)) == 401


def test_the_other_processes_of_this_user_get_in_by_the_bearer_in_the_address_file(desk, visit):
    address = desk.desk._lock.read_address()
    assert address is not None
    assert address.bearer
    assert address.bearer not in repr(address)
    assert desk.desk._lock.address_path.stat().st_mode & 0o777 == 0o600
    me = visit().get("/api/access/me", headers=bearer(address.bearer)).json()
    assert me == {"user": "local", "role": "operator", "mode": "password"}


# -- the single user's token -------------------------------------------------------------------------------------------


def test_the_printed_address_lets_its_browser_in_and_loses_its_token(single, heard):
    visitor = Visitor(single.address, heard.answers)
    token = single.serving.door.token
    assert single.page == f"{single.address}/?token={token}"
    answer = visitor.navigate(f"/?list=Banks&token={token}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?list=Banks")
    assert visitor.navigate("/?list=Banks").status_code == 200
    assert visitor.get("/api/access/me").json() == {"user": "local", "role": "operator", "mode": "token"}
    # Opened once more: the address is cleaned all the same, also with a token of an earlier start.
    assert visitor.navigate(f"/?token={token}").headers["Location"] == "/"
    assert visitor.navigate("/?token=old").headers["Location"] == "/"
    assert Visitor(single.address).get("/api/access/me", headers=bearer(token)).status_code == 200


def test_without_the_token_the_page_says_where_it_is_and_takes_it(single, heard):
    visitor = Visitor(single.address, heard.answers)
    answer = visitor.navigate("/?token=of-yesterday&list=Banks")
    assert answer.headers["Location"] == "/login?next=%2F%3Flist%3DBanks&old=1"
    page = visitor.navigate(answer.headers["Location"]).text
    assert "That is not the token of this start of the desk." in page
    assert "terminal" in page
    assert single.serving.door.token not in page
    for _ in range(TRIES):
        assert visitor.form("/login", token="of-yesterday").status_code == 401
    assert visitor.form("/login", token="of-yesterday").status_code == 429
    answer = visitor.form("/login", token=single.page, next="/?list=Banks")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?list=Banks")
    assert visitor.get("/api/access/me").status_code == 200


def test_a_stranger_on_this_machine_gets_as_little(single):
    stranger = Visitor(single.address)
    for path in paths(single):
        if path not in PUBLIC:
            assert stranger.get(path).status_code == 401, path
    for name in ("", "token", "x"):
        assert stranger.get("/api/access/me", headers=bearer(name)).status_code == 401


# -- on a network ------------------------------------------------------------------------------------------------------


def test_a_desk_for_a_network_answers_to_the_name_people_open_and_keeps_its_cookie_encrypted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    Users(tmp_path).add("asha", PASSWORDS["asha"])
    given = {"host": "0.0.0.0", "jwt_secret": SECRET, "frontend_url": "https://desk.example/"}
    desk = Inside(tmp_path, kind=Told, sim_start=START, **given)
    try:
        assert desk.page == f"http://127.0.0.1:{desk.address.rpartition(':')[2]}/"
        proxied = {"Host": "desk.example", "Origin": "https://desk.example"}
        visitor = Visitor(desk.address)
        page = visitor.get("/login", headers=proxied)
        found = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert found
        fields = {"user": "asha", "password": PASSWORDS["asha"], "_xsrf": found[1]}
        sent = proxied | {"Cookie": page.headers["Set-Cookie"].partition(";")[0]}
        answer = visitor.ask("POST", "/login", data=fields, headers=sent)
        assert answer.status_code == 303
        assert "Secure" in answer.headers["Set-Cookie"]
        assert "Secure" in page.headers["Set-Cookie"]
        cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
        assert visitor.get("/api/access/me", headers=proxied | cookie).status_code == 200
        assert visitor.get("/api/access/me", headers=cookie | {"Host": "0.0.0.0:5006"}).status_code == 421
        assert visitor.get("/api/access/me", headers=cookie | {"Host": "192.168.1.4"}).status_code == 421
        assert not (tmp_path / "jwt_secret").exists()
    finally:
        desk.close()


# -- no secret -----------------------------------------------------------------------------------------------------


def test_what_a_page_carries_holds_no_header_and_no_cookie(visit):
    token = token_of(visit("asha").navigate("/").text)
    said = get_token_payload(token)
    assert said["headers"] == {}
    assert said["cookies"] == {}
    assert said["arguments"] == {}


def test_no_secret_of_this_run_is_in_a_log_an_answer_or_a_repr(desk, single, heard, visit):
    operator = visit("asha")
    operator.navigate("/")
    made = desk.serving.door.bearers.issue("canary")
    operator.get("/api/quotes?i=NSE:INFY", headers=bearer(made))
    operator.get("/api/quotes?token=" + made)
    operator.get("/api/system/health")
    assert find_secrets(heard, desk, single, cookie=operator.cookie, made=made) == []
