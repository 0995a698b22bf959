"""Settings that can each be read and still do not go together: the exact complaint and the exact remedy."""

from __future__ import annotations

import pytest

from tapedeck.settings import Settings, load
from tapedeck.settings_rules import in_container

KITE = {"ZERODHA_API_KEY": "kq8v3x1m5t7z9w2b", "ZERODHA_API_SECRET": "n4j6h8f0d2s1a3p5o7i9u1y2t4r6e8w0"}
STRONG = {"JWT_SECRET": "kQ9xV2mT7zW4bN6cR8yPkJ3hG5fD1sA0"}
CALLBACK = "/api/auth/callback"
CONSOLE = "https://developers.kite.trade/apps"
OUTSIDE = {"TAPEDECK_HOST": "192.168.1.5", "FRONTEND_URL": "https://desk.test"} | STRONG


def told(environment: dict[str, str]) -> list[tuple[str, str, str, str]]:
    """Level, name, message and remedy of everything that is wrong."""
    return [(p.level, p.name, p.message, p.remedy) for p in load(environment).problems]


@pytest.mark.parametrize(
    "fine",
    [
        KITE,
        KITE | {"REDIRECT_URL": f"http://127.0.0.1:5006{CALLBACK}"},
        KITE | {"TAPEDECK_HOST": "::1", "REDIRECT_URL": f"http://[::1]:5006{CALLBACK}"},
        KITE | {"TAPEDECK_HOST": "localhost", "TAPEDECK_PORT": "80", "REDIRECT_URL": f"http://localhost{CALLBACK}"},
        KITE | {"TAPEDECK_PORT": "0", "REDIRECT_URL": f"http://127.0.0.1:5006{CALLBACK}"},
        KITE | OUTSIDE,
        KITE | OUTSIDE | {"REDIRECT_URL": f"https://desk.test:443{CALLBACK}"},
        KITE | OUTSIDE | {"TAPEDECK_HOST": "0.0.0.0"},
        KITE
        | {"TAPEDECK_KITE_REST": "http://127.0.0.1:1", "TAPEDECK_KITE_WS": "ws://127.0.0.1:1"}
        | {"TAPEDECK_KITE_LOGIN": "http://127.0.0.1:1/connect/login"},
        {"REDIS_URL": "redis://127.0.0.1"},
        {"REDIS_URL": "rediss://user:pass@db.test:6379/3"},
        {"REDIS_URL": "unix:///run/redis.sock"},
        {"TAPEDECK_URL": "http://127.0.0.1:5006/?token=abc"},
    ],
)
def test_settings_that_go_together_are_left_alone(fine):
    assert told(fine) == []


def test_a_key_without_its_secret_cannot_log_in():
    assert told({"ZERODHA_API_KEY": KITE["ZERODHA_API_KEY"]}) == [
        ("error", "ZERODHA_API_SECRET", "is not set, so nobody can log in to Kite",
         f"Set ZERODHA_API_SECRET to that of your app at {CONSOLE}"),
    ]  # fmt: skip


def test_a_secret_without_its_key_is_of_no_use():
    assert told({"ZERODHA_API_SECRET": KITE["ZERODHA_API_SECRET"]}) == [
        ("error", "ZERODHA_API_KEY", "is not set, so the secret is of no use and the market is simulated",
         f"Set ZERODHA_API_KEY to that of your app at {CONSOLE} or remove ZERODHA_API_SECRET"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["ZERODHA_API_KEY", "ZERODHA_API_SECRET"])
def test_a_placeholder_for_a_key_or_a_secret(name):
    assert told(KITE | {name: "your_value_here"}) == [
        ("error", name, "is a placeholder", f"Set {name} to that of your app at {CONSOLE}"),
    ]


def test_a_desk_beyond_loopback_needs_a_jwt_secret_of_its_own():
    outside = {name: value for name, value in OUTSIDE.items() if name != "JWT_SECRET"}
    remedy = 'Set JWT_SECRET to what this prints: python -c "import secrets; print(secrets.token_urlsafe(48))"'
    assert told(outside) == [("error", "JWT_SECRET", "is not set and the desk listens on 192.168.1.5", remedy)]
    assert told(KITE | {"JWT_SECRET": KITE["ZERODHA_API_SECRET"]}) == [
        ("error", "JWT_SECRET", "is the same as ZERODHA_API_SECRET", remedy)
    ]


def test_the_callback_has_one_path():
    right = f"http://127.0.0.1:5006{CALLBACK}"
    assert told(KITE | {"REDIRECT_URL": "http://127.0.0.1:5006/callback"}) == [
        ("error", "REDIRECT_URL", f"leads to /callback; allowed: {CALLBACK}",
         f"Register {right} at {CONSOLE} and set REDIRECT_URL={right}"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("redirect", "environment", "why", "right"),
    [
        ("http://localhost:5006", {}, "people log in on http://127.0.0.1:5006; a browser keeps their cookies apart",
         "http://127.0.0.1:5006"),
        ("http://127.0.0.1:5007", {}, "people log in on http://127.0.0.1:5006; a browser keeps their cookies apart",
         "http://127.0.0.1:5006"),
        ("https://other.test:443", OUTSIDE, "people log in on https://desk.test:443", "https://desk.test"),
        ("http://127.0.0.1:5006", OUTSIDE, "people log in on https://desk.test:443", "https://desk.test"),
    ],
)  # fmt: skip
def test_the_callback_is_on_the_host_people_log_in_on(redirect, environment, why, right):
    assert told(KITE | environment | {"REDIRECT_URL": redirect + CALLBACK}) == [
        ("error", "REDIRECT_URL", f"is on {redirect}, but {why}",
         f"Register {right}{CALLBACK} at {CONSOLE} and set REDIRECT_URL={right}{CALLBACK}"),
    ]  # fmt: skip


def test_kite_takes_http_for_this_machine_only():
    plain = OUTSIDE | {"FRONTEND_URL": "http://desk.test:5006"}
    https = "https://desk.test:5006"
    assert told(KITE | plain) == [
        ("warning", "FRONTEND_URL",
         "is http outside this machine: passwords and cookies cross the network in the clear",
         f"Put the desk behind https and set FRONTEND_URL={https}"),
        ("error", "REDIRECT_URL", "is http on desk.test; Kite accepts http only for 127.0.0.1 and localhost",
         f"Set FRONTEND_URL={https} and REDIRECT_URL={https}{CALLBACK}, and register that at {CONSOLE}"),
    ]  # fmt: skip


def test_an_address_to_listen_on_is_none_to_open():
    assert told(STRONG | {"TAPEDECK_HOST": "0.0.0.0"}) == [
        ("error", "FRONTEND_URL", "is not set and the desk listens on 0.0.0.0, which is no address to open",
         "Set FRONTEND_URL to the address people open, such as https://desk.example.com"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["FRONTEND_URL", "REDIS_URL"])
def test_a_placeholder_in_an_address(name):
    scheme = "redis" if name == "REDIS_URL" else "https"
    assert told({name: f"{scheme}://your-host.test"}) == [
        ("error", name, "names a placeholder", f"Set {name} to the real address"),
    ]


@pytest.mark.parametrize("host", ["desk.example.com", "example.org", "desk.example", "your-host.test"])
def test_the_host_of_an_example_is_a_placeholder_wherever_it_stands(host):
    callback = f"https://{host}{CALLBACK}"
    assert told({"FRONTEND_URL": f"https://{host}"}) == [
        ("error", "FRONTEND_URL", "names a placeholder", "Set FRONTEND_URL to the real address"),
    ]
    assert told(KITE | {"REDIRECT_URL": callback}) == [
        ("error", "REDIRECT_URL", "names a placeholder",
         f"Register http://127.0.0.1:5006{CALLBACK} at {CONSOLE} and set REDIRECT_URL=http://127.0.0.1:5006{CALLBACK}"),
    ]  # fmt: skip
    assert told(KITE | {"REDIRECT_URL": callback, "FRONTEND_URL": f"https://{host}"})[1] == (
        "error", "REDIRECT_URL", "names a placeholder",
        f"Set FRONTEND_URL to the real address and REDIRECT_URL to the same with {CALLBACK} after it",
    )  # fmt: skip


def test_a_redirect_url_that_is_wrong_in_two_ways_has_one_row_with_one_remedy():
    right = f"https://desk.test{CALLBACK}"
    assert told(KITE | OUTSIDE | {"REDIRECT_URL": "http://other.test/callback"}) == [
        ("error", "REDIRECT_URL",
         f"leads to /callback; allowed: {CALLBACK}, and is http on other.test; Kite accepts http only for 127.0.0.1 "
         "and localhost", f"Register {right} at {CONSOLE} and set REDIRECT_URL={right}"),
    ]  # fmt: skip


def test_half_of_kites_addresses_pointed_elsewhere():
    assert told(KITE | {"TAPEDECK_KITE_WS": "ws://127.0.0.1:8000"}) == [
        ("error", "TAPEDECK_KITE_WS",
         "is ws://127.0.0.1:8000 but TAPEDECK_KITE_REST is https://api.kite.trade: only one of the two is Kite",
         "Set both TAPEDECK_KITE_REST and TAPEDECK_KITE_WS, or neither"),
    ]  # fmt: skip


def test_kites_own_login_page_beside_another_exchange():
    roots = {"TAPEDECK_KITE_REST": "http://127.0.0.1:1", "TAPEDECK_KITE_WS": "ws://127.0.0.1:1"}
    assert told(KITE | roots) == [
        ("warning", "TAPEDECK_KITE_LOGIN",
         "is Kite's own but TAPEDECK_KITE_REST is http://127.0.0.1:1: a login there is good for nothing here",
         "Set TAPEDECK_KITE_LOGIN=http://127.0.0.1:1/connect/login"),
    ]  # fmt: skip


def test_a_key_that_would_cross_the_network_in_the_clear():
    roots = {"TAPEDECK_KITE_REST": "https://sim.test", "TAPEDECK_KITE_WS": "ws://sim.test"}
    assert told(KITE | roots | {"TAPEDECK_KITE_LOGIN": "https://sim.test/connect/login"}) == [
        ("warning", "TAPEDECK_KITE_WS", "is ws outside this machine: key and token cross the network in the clear",
         "Use wss://sim.test unless that is a simulated exchange of yours"),
    ]  # fmt: skip


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_inside_a_container_localhost_is_the_container(host):
    settings = load({"REDIS_URL": f"redis://:hunter2@{host}:6379/0"})
    assert settings.problems == ()
    (problem,) = in_container(settings)
    assert problem.level == "error"
    assert problem.message == f"names {host.strip('[]')}, which inside a container is the container itself"
    assert problem.remedy == "REDIS_URL=redis://redis:6379/0"
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize("url", ["", "redis://redis:6379/0", "unix:///run/redis.sock"])
def test_inside_a_container_another_host_is_fine(url):
    assert in_container(Settings(redis_url=url)) == []


def test_the_addresses_people_open_and_kite_leads_to_follow_from_each_other():
    assert load({}).address == "http://127.0.0.1:5006"
    assert load({"TAPEDECK_HOST": "::1"}).callback == f"http://[::1]:5006{CALLBACK}"
    assert load({"FRONTEND_URL": "https://Desk.test/"}).callback == f"https://desk.test{CALLBACK}"
