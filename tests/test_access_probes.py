"""Everything a stranger, a viewer or a thief would try at a real desk: all refused, and no secret told to anybody."""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import jwt
import pytest
from bokeh.util.token import generate_jwt_token
from tornado.web import Application
from websockets.exceptions import ConnectionClosed

from benchmarks.page_viewers import token_of
from dashboards.api import ROUTES
from dashboards.guard import Guarded, guarded, rules_of
from dashboards.lockout import TRIES
from tapedeck.bearers import AUDIENCE
from tapedeck.clock import SECOND, SystemClock
from tapedeck.settings import parse_start
from tapedeck.users import OPERATOR, VIEWER, Users
from tests.inside import Inside
from tests.support import wait_until
from tests.visitor import PAGE, Visitor

START = parse_start("2026-11-23T10:00:00")
PASSWORDS = {
    "asha": "canary-Of-The-Operator",
    "bob": "canary-Of-The-Viewer",
    "carol": "canary-Of-Carol",
    "dev": "canary-Of-Dev",
}
#: Answer anybody; everything else asks who one is.
PUBLIC = {"/favicon.ico", "/healthz", "/login", "/logout", "/login/inter.woff2"}
SOCKETS = {"/ws", "/api/stream"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
JWT_CANARY = "canary-Jwt-Secret-0123456789-abcdefghijkl"


#: Loggers of the clients in this process: what they write is what the tests send.
CLIENTS = ("urllib3", "websockets.client")


class Heard:
    """What the desk said: answers, and every line any logger wrote, as it was before anything was taken out."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.lines: list[str] = []
        self.handler = logging.Handler(logging.DEBUG)
        self.handler.emit = self._keep  # type: ignore[method-assign]

    def _keep(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(CLIENTS):
            self.lines.append(logging.Formatter().format(record))


@pytest.fixture(scope="module")
def heard() -> Iterator[Heard]:
    kept, root = Heard(), logging.getLogger()
    before = root.level
    root.addHandler(kept.handler)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(kept.handler)
    root.setLevel(before)


@pytest.fixture(scope="module")
def desk(tmp_path_factory, heard) -> Iterator[Inside]:
    """A desk with users: two operators' and two viewers' names."""
    folder = tmp_path_factory.mktemp("desk")
    users = Users(folder)
    for name, password in PASSWORDS.items():
        users.add(name, password, role=OPERATOR if name == "asha" else VIEWER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        (folder / "jwt_secret").write_text(JWT_CANARY)
        running = Inside(folder, sim_start=START)
        wait_until(lambda: running.get("/readyz").status_code == 200)
        yield running
        running.close()


@pytest.fixture
def visit(desk, heard) -> Callable[..., Visitor]:
    """A new browser at the desk, logged in when a name is given."""

    def visit_(name: str = "") -> Visitor:
        visitor = Visitor(desk.address, heard.answers)
        if name:
            assert visitor.log_in(name, PASSWORDS[name]).status_code == 303
            assert visitor.cookie
        return visitor

    return visit_


def application(desk: Inside) -> Application:
    return desk.serving.server._tornado


def paths(desk: Inside) -> list[str]:
    """One path for every rule of the server."""
    found = []
    for rule in rules_of(application(desk).default_router):
        pattern = getattr(rule.matcher, "regex", re.compile("/nothing/here$")).pattern
        plain = pattern.removesuffix("$").replace("/?", "/").replace("(?!extensions/)", "").replace("/.*", "/x")
        found.append(plain.replace("(.*)", "x"))
    return list(dict.fromkeys([*found, "/nothing/here"]))


# -- default deny ------------------------------------------------------------------------------------------------------


def test_every_rule_of_the_server_leads_to_a_handler_that_asks_the_door(desk):
    targets = [rule.target for rule in rules_of(application(desk).default_router)]
    targets.append(application(desk).settings["default_handler_class"])
    assert len(targets) > 20
    for target in targets:
        assert issubclass(target, Guarded), f"{target} answers without asking who it is"
        # First in line: what the handler below does on its own comes after.
        assert target.prepare is Guarded.prepare
        assert target.door is desk.serving.door
    public = {target.__name__.removeprefix("Guarded") for target in targets if target.public}
    assert public == {"IcoHandler", "Health", "LoginPage", "Logout", "Typeface"}


def test_what_is_no_handler_cannot_be_served(desk):
    with pytest.raises(TypeError, match="behind the door"):
        guarded(lambda request: None, desk.serving.door)


def test_the_paths_tried_here_are_those_the_desk_has(desk):
    assert set(paths(desk)) >= {path for path, _ in ROUTES} | PUBLIC | SOCKETS
    assert {"/", "/metadata", "/autoload.js", "/components/x", "/static/extensions/x", "/assets/x"} <= set(paths(desk))


def test_a_stranger_gets_nothing_from_any_route_by_any_method(desk, visit):
    stranger = visit()
    for path in set(paths(desk)) - PUBLIC:
        for method in METHODS:
            answer = stranger.ask(method, path, headers={"Accept": "*/*"})
            expected = 405 if method == "OPTIONS" else 401
            assert answer.status_code == expected, (method, path, answer.status_code)
            assert answer.headers["Content-Type"].startswith("application/json")
            if method not in ("HEAD", "OPTIONS"):
                assert "not logged in" in answer.json()["reason"]
    for path in SOCKETS:
        assert stranger.refused_socket(path, spoken=["bokeh", "x"]) == 401


def test_a_person_is_led_to_the_login_and_back(desk, visit):
    visitor = visit()
    answer = visitor.navigate("/?list=Banks")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2F%3Flist%3DBanks")
    page = visitor.navigate(answer.headers["Location"])
    assert page.status_code == 200
    assert 'name="next" value="/?list=Banks"' in page.text
    assert "script" not in page.text
    assert visitor.log_in("asha", PASSWORDS["asha"], next="/?list=Banks").headers["Location"] == "/?list=Banks"
    assert visitor.navigate("/?list=Banks").status_code == 200
    assert "Log out" in visitor.navigate("/login").text


def test_what_everybody_may_see_is_the_way_in_and_that_the_desk_is_there(visit):
    stranger = visit()
    assert stranger.get("/healthz").json() == {"status": "ok"}
    assert stranger.get("/login/inter.woff2").content[:4] == b"wOF2"
    assert stranger.get("/login").status_code == 200


def test_every_answer_says_that_it_is_not_to_be_framed_sniffed_or_kept(desk, visit):
    operator = visit("asha")
    for path in paths(desk):
        headers = operator.get(path, headers=PAGE).headers if path not in SOCKETS else visit().get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY", path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert "Access-Control-Allow-Origin" not in headers, path
        if path in ("/", "/login", "/metadata", "/autoload.js") or path.startswith("/api"):
            assert headers["Cache-Control"] == "no-store", path


# -- roles -------------------------------------------------------------------------------------------------------------


def test_a_viewer_sees_everything_and_changes_nothing(desk, visit):
    viewer = visit("bob")
    assert viewer.get("/api/access/me").json() == {"user": "bob", "role": "viewer", "mode": "password"}
    assert viewer.navigate("/").status_code == 200
    document = viewer.get("/api/workspace").json()
    refused = viewer.ask("PUT", "/api/workspace", json=document, headers={"X-XSRFToken": viewer.xsrf()})
    assert refused.status_code == 403
    assert "view only: bob is a viewer" in refused.json()["reason"]
    assert viewer.get("/api/workspace").json() == document
    for path in paths(desk):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            if path not in ("/login", "/logout"):
                answer = viewer.ask(method, path, headers={"X-XSRFToken": viewer.xsrf()})
                assert answer.status_code in (403, 405), (method, path)
    with viewer.open_socket("/api/stream") as stream:
        stream.send(json.dumps({"a": "hello", "v": ["NSE:INFY"], "rate": 4}))
        assert json.loads(str(stream.recv(10)))["type"] == "welcome"


def test_an_operator_changes_what_a_viewer_sees(visit):
    operator = visit("asha")
    document = operator.get("/api/workspace").json()
    saved = operator.ask("PUT", "/api/workspace", json=document, headers={"X-XSRFToken": operator.xsrf()})
    assert saved.status_code == 200
    assert visit("bob").get("/api/workspace").json() == saved.json()


# -- forged ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["", "x", "A" * 43, "0" * 64, "../users.json", "%00", "é"])
def test_an_invented_cookie_opens_nothing(desk, visit, number):
    visitor = visit()
    cookie = f"{desk.serving.door.cookie}={number}".encode()
    assert visitor.get("/api/quotes", headers={"Cookie": cookie}).status_code == 401
    # Nor what is kept of a good one.
    visit("asha")
    for digest in json.loads((desk.settings.data / "logins.json").read_text())["logins"]:
        kept = f"{desk.serving.door.cookie}={digest}"
        assert visitor.get("/api/quotes", headers={"Cookie": kept}).status_code == 401


def test_a_page_token_that_the_desk_did_not_sign_opens_no_session(desk, visit):
    operator = visit("asha")
    before = len(desk.serving.server.get_sessions())
    for forged in (
        generate_jwt_token("A" * 44, signed=False),
        generate_jwt_token("A" * 44, signed=True, secret_key=b"another"),
        "x",
    ):
        assert visit().refused_socket("/ws", spoken=["bokeh", forged]) == 401
        with operator.open_socket("/ws", spoken=["bokeh", forged]) as ws, pytest.raises(ConnectionClosed):
            ws.recv(10)
        for path in ("/", "/autoload.js?bokeh-autoload-element=1"):
            asked = path + ("&" if "?" in path else "?") + f"bokeh-token={forged}"
            assert operator.get(asked).status_code in (403, 500), path
        assert operator.get("/?bokeh-session-id=" + "A" * 44).status_code == 403
    assert len(desk.serving.server.get_sessions()) == before


def test_another_host_name_and_another_origin_are_refused_whoever_asks(desk, visit):
    operator = visit("asha")
    for path in paths(desk):
        for headers, status in (({"Host": "evil.example"}, 421), ({"Origin": "http://evil.example"}, 403)):
            assert operator.get(path, headers=headers).status_code == status, path
    for path in SOCKETS:
        assert operator.refused_socket(path, spoken=["bokeh", "x"], Origin="http://evil.example") == 403
        assert operator.refused_socket(path, spoken=["bokeh", "x"], Origin="null") == 403


def test_who_was_refused_the_page_gets_no_session_by_the_script_and_its_websocket(desk, visit):
    page = visit("asha").navigate("/").text
    token = token_of(page)
    stranger = visit()
    for path in ("/autoload.js?bokeh-autoload-element=1", "/metadata", "/?bokeh-token=" + token):
        assert stranger.get(path).status_code == 401
    assert stranger.refused_socket("/ws", spoken=["bokeh", token]) == 401
    assert stranger.refused_socket("/ws", spoken=["bokeh", token], Authorization="Bearer x") == 401


def test_no_module_is_imported_because_an_address_names_it(desk, visit):
    wanted = [
        "this/a/b/c",
        "pandas.tests.frame.common/x/_css/y",
        "antigravity/a/_js/b",
        "panel.config/panel_extension/_js/x",
    ]
    for module in ("this", "antigravity", "pandas.tests.frame.common"):
        sys.modules.pop(module, None)
    for path in wanted:
        assert visit().get("/components/" + path).status_code == 401
        assert visit("asha").get("/components/" + path).status_code == 404
    assert not {"this", "antigravity", "pandas.tests.frame.common"} & set(sys.modules)
    for path in ("/liveness?endpoint=/", "/rest/session_info", "/admin"):
        assert visit().get(path).status_code == 401
        assert visit("asha").get(path).status_code == 404


# -- passwords ---------------------------------------------------------------------------------------------------------


def test_a_password_is_guessed_five_times_and_then_not_even_the_right_one_is_taken(visit):
    visitor = visit()
    for _ in range(TRIES):
        answer = visitor.log_in("dev", "a wrong guess of it")
        assert answer.status_code == 401
        assert "User or password were wrong." in answer.text
        assert visitor.cookie == ""
    for password in ("a wrong guess of it", PASSWORDS["dev"]):
        answer = visitor.log_in("DEV", password)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 31
        assert "again in" in answer.text
    assert visit("bob").cookie, "others are not kept out by it"


def test_many_guesses_at_once_are_no_way_around_the_wait(desk, visit):
    visitor = visit()
    xsrf, cookies = visitor.xsrf(), dict(visitor.session.cookies)
    answers: list[int] = []

    def guess(n: int) -> None:
        one = Visitor(desk.address)
        fields = {"user": "nobody", "password": f"guess number {n}", "_xsrf": xsrf}
        answers.append(one.ask("POST", "/login", data=fields, cookies=cookies).status_code)

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == [401] * TRIES + [429] * (12 - TRIES)


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "/login", "/x\r\nA: b"]
)
def test_a_login_does_not_lead_away_from_the_desk(visit, wanted):
    assert visit().log_in("bob", PASSWORDS["bob"], next=wanted).headers["Location"] == "/"


def test_a_wrong_name_is_shown_as_text_and_not_as_a_page(visit):
    answer = visit().log_in('"><script>alert(1)</script>', "a wrong guess of it")
    assert answer.status_code == 401
    assert "<script" not in answer.text
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


# -- forms of other sites ----------------------------------------------------------------------------------------------


def test_a_request_that_no_page_of_the_desk_made_changes_nothing(desk, visit):
    operator = visit("asha")
    before = operator.get("/api/workspace").json()
    others = visit().xsrf()
    for headers in ({}, {"X-XSRFToken": "x"}, {"X-XSRFToken": others}):
        answer = operator.ask("PUT", "/api/workspace", json=before, headers=headers)
        assert answer.status_code == 403
        assert "XSRF" in answer.json()["reason"]
        assert operator.ask("POST", "/logout", headers=headers).status_code == 403
        fields = {"user": "asha", "password": PASSWORDS["asha"]}
        assert visit().ask("POST", "/login", data=fields, headers=headers).status_code == 403
    assert operator.get("/api/workspace").json() == before


def test_logging_out_by_a_link_is_not_possible(visit):
    operator = visit("asha")
    assert operator.get("/logout").status_code == 405
    assert operator.get("/api/access/me").status_code == 200
    assert visit().get("/logout").status_code == 405


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


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


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


@pytest.fixture(scope="module")
def single(tmp_path_factory, heard) -> Iterator[Inside]:
    """A desk without users."""
    folder = tmp_path_factory.mktemp("single")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        running = Inside(folder, sim_start=START)
        yield running
        running.close()


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
    assert "earlier start" in page
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


# -- no secret -----------------------------------------------------------------------------------------------------


def test_what_a_page_carries_holds_no_header_and_no_cookie(visit):
    token = token_of(visit("asha").navigate("/").text)
    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert "__bk__zlib_" in payload or not {"headers", "cookies"} & set(payload)
    from bokeh.util.token import get_token_payload

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
    secrets = {
        "cookie": operator.cookie, "bearer": desk.serving.door.bearer, "made": made, "jwt": JWT_CANARY,
        "start token": single.serving.door.token, "single's bearer": single.serving.door.bearer,
        "page key": desk.serving.door.page_key, "single's secret": (single.settings.data / "jwt_secret").read_text(),
    } | PASSWORDS  # fmt: skip
    doors = f"{desk.serving.door!r} {single.serving.door!r} {desk.serving.door.users!r} {desk.serving.door.bearers!r}"
    said = {"a log": "\n".join(heard.lines), "an answer": "\n".join(heard.answers), "a repr": doors}
    assert len(said["a log"]) > 1000
    assert len(said["an answer"]) > 10_000
    found = [(name, where) for name, secret in secrets.items() for where, text in said.items() if secret in text]
    assert found == []
