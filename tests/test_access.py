"""Where a desk may listen, the names it answers to, and how often a password may be guessed."""

from __future__ import annotations

import errno
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from dashboards.access import Gate, require_access, why_not
from dashboards.lockout import FIRST_WAIT_S, FORGET_S, LONGEST_WAIT_S, MAX_KEPT, TRIES, Lockout
from dashboards.login import local_path, pasted
from tapedeck.errors import ConfigError
from tapedeck.settings import Settings
from tapedeck.users import Users
from tests.access_support import SECRET, Told

PORT = 5006


def request(**headers: str) -> HTTPServerRequest:
    """A request to this desk; of a header's name the underscores are dashes."""
    given = {"Host": f"127.0.0.1:{PORT}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=HTTPHeaders(given))


def status(gate: Gate, **headers: str) -> int:
    refused = gate.refusal(request(**headers))
    return refused.status if refused else 200


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_the_names_of_this_machine_are_welcome(name):
    assert status(Gate(PORT), Host=f"{name}:{PORT}") == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5006", "127.0.0.1", "127.0.0.1:1", "localhost.evil:5006", "", "0.0.0.0:5006"]
)
def test_another_host_name_is_refused_so_that_rebinding_a_name_gains_nothing(host):
    refused = Gate(PORT).refusal(request(Host=host))
    assert refused is not None
    assert refused.status == 421
    assert "answers to" in refused.reason


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://127.0.0.1:5006.evil.example",
        "https://127.0.0.1:5006", "http://u@127.0.0.1:5006", "",
    ],
)  # fmt: skip
def test_a_page_of_another_origin_is_refused(origin):
    refused = Gate(PORT).refusal(request(Origin=origin))
    assert refused is not None
    assert refused.status == 403
    assert "Origin was" in refused.reason


def test_a_picture_on_a_page_of_another_site_is_refused_and_a_link_to_the_desk_is_not():
    words = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
    assert status(Gate(PORT), **words) == 403
    assert status(Gate(PORT), **words | {"Sec_Fetch_Mode": "navigate"}) == 200


def test_a_page_of_this_desk_is_welcome():
    assert status(Gate(PORT), Origin=f"http://localhost:{PORT}") == 200


def test_the_address_a_desk_was_bound_to_is_one_of_its_names():
    assert "127.0.0.2:5006" in Gate(5006, "127.0.0.2").hosts
    assert "[fe80::1]:5006" in Gate(5006, "fe80::1").hosts
    assert "127.0.0.1" in Gate(80).hosts
    assert not any("0.0.0.0" in name for name in Gate(5006, "0.0.0.0").hosts)


def test_the_address_people_open_is_one_of_its_names_and_says_whether_cookies_must_be_encrypted():
    gate = Gate(PORT, "0.0.0.0", "https://Desk.Example:443/")
    assert status(gate, Host="desk.example", Origin="https://desk.example") == 200
    assert status(gate, Host="desk.example", Origin="http://desk.example") == 403
    assert status(gate, Host="desk.example:443") == 421, "a browser leaves the usual port out"
    assert gate.secure(request(Host="desk.example"))
    assert not gate.secure(request())
    assert not Gate(PORT, "0.0.0.0", "http://desk.example:8080").secure(request(Host="desk.example:8080"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2", "[::1]"])
def test_loopback_addresses_may_be_listened_on(host, tmp_path):
    assert require_access(Settings(host=host, data=tmp_path)) == host.strip("[]")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "desk.example", ""])
def test_anything_wider_than_loopback_is_refused_with_every_remedy_at_once(host, tmp_path):
    with pytest.raises(ConfigError, match="tapedeck user add NAME") as refused:
        require_access(Settings(host=host, data=tmp_path))
    assert "JWT_SECRET" in str(refused.value)
    assert "SSH tunnel" in str(refused.value) or "ssh" in str(refused.value)
    assert ("FRONTEND_URL" in str(refused.value)) == (host in ("0.0.0.0", "::"))
    assert list(tmp_path.iterdir()) == [], "a secret of its own is for loopback"


def test_a_desk_with_users_a_secret_and_a_name_may_be_opened_to_the_network(tmp_path):
    Users(tmp_path).add("asha", "correct horse battery")
    settings = Told(host="0.0.0.0", data=tmp_path, jwt_secret=SECRET, frontend_url="https://desk.example")
    assert require_access(settings) == "0.0.0.0"
    with pytest.raises(ConfigError, match="FRONTEND_URL was empty"):
        require_access(Told(host="0.0.0.0", data=tmp_path, jwt_secret=SECRET))
    assert require_access(Told(host="192.168.1.4", data=tmp_path, jwt_secret=SECRET)) == "192.168.1.4"
    with pytest.raises(ConfigError, match="JWT_SECRET") as refused:
        require_access(Told(host="192.168.1.4", data=tmp_path, jwt_secret="short-one"))
    assert "short-one" not in str(refused.value)


@pytest.mark.parametrize(
    ("failed", "why"),
    [
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "Cannot assign requested address"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label empty or too long"), "no name of a host"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_told_by_its_setting(failed, why):
    assert why_not("192.0.2.7", 5006, failed) == (
        f"TAPEDECK_HOST (or --host) was '192.0.2.7', which is no address of this machine ({why}); "
        "allowed: 127.0.0.1, ::1, localhost or an address of this machine"
    )


def test_a_port_that_is_taken_is_told_by_its_number():
    assert why_not("127.0.0.1", 5006, OSError(errno.EADDRINUSE, "Address already in use")) == (
        "port 5006 of 127.0.0.1 cannot be opened (Address already in use); choose another: make serve PORT=5007"
    )


# -- guessing ---------------------------------------------------------------------------------------------------------


def test_after_five_wrong_answers_there_is_a_wait_that_doubles_up_to_a_quarter_of_an_hour():
    lockout, now, who = Lockout(), 1000.0, ("asha", "10.0.0.1")
    assert [lockout.begin(who, now) for _ in range(TRIES)] == [0.0] * TRIES
    assert lockout.begin(who, now) == FIRST_WAIT_S
    assert lockout.begin(("asha", "10.0.0.2"), now) == 0.0, "another address has its own tries"
    waits = []
    for _ in range(8):
        now += lockout.wait(who, now)
        assert lockout.begin(who, now) == 0.0
        waits.append(lockout.wait(who, now))
    assert waits == [60, 120, 240, 480, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_right_answer_or_an_hour_of_rest_begins_anew():
    lockout, who = Lockout(), ("asha", "10.0.0.1")
    for _ in range(TRIES - 1):
        lockout.begin(who, 0.0)
    lockout.forget(who)
    assert [lockout.begin(who, 1.0) for _ in range(TRIES)] == [0.0] * TRIES
    assert lockout.begin(who, 1.0 + LONGEST_WAIT_S + FORGET_S) == 0.0
    assert lockout.wait(who, 1.0 + LONGEST_WAIT_S + FORGET_S) == 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 2000)), max_size=60))
def test_nobody_has_more_than_five_tries_in_half_a_minute(steps):
    lockout, now = Lockout(), 0.0
    taken: dict[int, list[float]] = {}
    for name, passed in steps:
        now += passed
        if not lockout.begin((str(name), ""), now):
            taken.setdefault(name, []).append(now)
    for times in taken.values():
        assert all(later - first >= FIRST_WAIT_S for first, later in zip(times, times[TRIES:], strict=False))


def test_the_table_of_wrong_answers_does_not_grow_for_ever():
    lockout = Lockout()
    for n in range(MAX_KEPT + 10):
        lockout.begin((str(n), ""), 0.0)
    assert len(lockout) == MAX_KEPT


# -- the way on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/system", "/?list=Banks&selected=NSE%3AINFY", "/a/b?x=//y", "/./x"])
def test_a_login_goes_on_to_a_path_of_this_desk(path):
    assert local_path(path) == path


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "evil", "", " /",
        "/\t/evil.example", "/\n/evil.example", "/x\r\nSet-Cookie: a=b", "javascript:alert(1)", "/login",
        "/login/?next=/x", "/logout", "/" + "x" * 3000,
    ],
)  # fmt: skip
def test_and_to_nowhere_else(wanted):
    assert local_path(wanted) == "/"


@given(st.text(alphabet="/\\.:?#@ehvil \t\n%", max_size=12))
def test_no_way_on_leads_to_another_host(wanted):
    path = local_path(wanted)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert not set(path) & set("\\\t\n ")


@pytest.mark.parametrize(
    "text",
    ["abc_-1", " abc_-1 ", "http://127.0.0.1:5006/?token=abc_-1", "Desk READY http://127.0.0.1:5006/?token=abc_-1"],
)
def test_the_token_may_be_pasted_with_all_that_was_printed_around_it(text):
    assert pasted(text) == "abc_-1"
