"""Everything a stranger, a viewer or a guesser would try at a real desk: all refused."""

from __future__ import annotations

import json
import sys
import threading

import pytest
from bokeh.util.token import generate_jwt_token
from websockets.exceptions import ConnectionClosed

from benchmarks.page_viewers import token_of
from dashboards.api import ROUTES
from dashboards.guard import Guarded, guarded, rules_of
from dashboards.lockout import TRIES
from tests.access_support import PASSWORDS, PUBLIC, SOCKETS, application, bearer, find_secrets, paths
from tests.visitor import PAGE, Visitor

pytest_plugins = ["tests.access_fixtures"]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


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
        assert headers["Referrer-Policy"] in ("same-origin", "no-referrer"), path
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
        answer = visit("asha").get("/components/" + path)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
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
    answer = operator.get("/logout")
    assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")
    assert answer.headers["Cache-Control"] == "no-store"
    assert operator.get("/api/access/me").status_code == 200
    assert visit().get("/logout").status_code == 405


def test_no_secret_of_this_run_is_in_a_log_an_answer_or_a_repr(desk, heard, visit):
    operator = visit("asha")
    operator.navigate("/")
    made = desk.serving.door.bearers.issue("canary")
    operator.get("/api/quotes?i=NSE:INFY", headers=bearer(made))
    operator.get("/api/quotes?token=" + made)
    operator.get("/api/system/health")
    assert find_secrets(heard, desk, cookie=operator.cookie, made=made) == []
