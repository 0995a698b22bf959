"""Settings are declared once, read at the edge from every source, and a wrong one is told, never fatal."""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
import string
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapedeck import settings_docs
from tapedeck.clock import ist_ns
from tapedeck.errors import ConfigError
from tapedeck.settings import KITE_REST, SETTINGS, Problem, Settings, load, parse_start
from tapedeck.settings_values import placeholder, show_address, weakness

ROOT = Path(__file__).resolve().parents[1]
KEY, SECRET = "kq8v3x1m5t7z9w2b", "n4j6h8f0d2s1a3p5o7i9u1y2t4r6e8w0"
KITE = {"ZERODHA_API_KEY": KEY, "ZERODHA_API_SECRET": SECRET}


def only(settings: Settings, name: str) -> Problem:
    """The one problem there is, which is about `name`."""
    assert [problem.name for problem in settings.problems] == [name], settings.problems
    return settings.problems[0]


# -- sources -----------------------------------------------------------------------------------------------------------


def test_an_empty_environment_runs_the_simulated_exchange_on_loopback():
    settings = load({})
    assert not settings.has_credentials
    assert settings.host == "127.0.0.1"
    assert settings.port == 5006
    assert settings.problems == ()
    assert settings.kite_problem == ""


def test_each_source_is_stronger_than_the_next_and_is_named(tmp_path):
    def port(*sources: str) -> tuple[int, str]:
        (tmp_path / ".env").write_text("# mine\nTAPEDECK_PORT=6002\n" if ".env" in sources else "")
        (tmp_path / "desk.toml").write_text("[desk]\nTAPEDECK_PORT = 6001\n" if "desk.toml" in sources else "")
        environment = {"TAPEDECK_PORT": "6003"} if "environment" in sources else {}
        said = {"TAPEDECK_PORT": "6004"} if "command line" in sources else {}
        settings = load(environment, said, folder=tmp_path)
        assert settings.problems == ()
        return settings.port, settings.found["TAPEDECK_PORT"].source

    sources = ["desk.toml", ".env", "environment", "command line"]
    assert port() == (5006, "default")
    assert port(*sources[:1]) == (6001, "desk.toml line 2")
    assert port(*sources[:2]) == (6002, ".env line 2")
    assert port(*sources[:3]) == (6003, "environment")
    assert port(*sources) == (6004, "command line")


def test_without_a_folder_no_file_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TAPEDECK_PORT=6002\n")
    assert load({}).port == 5006
    assert load({}, folder=Path.cwd()).port == 6002


def test_an_empty_value_stands_for_the_default_and_hides_weaker_sources(tmp_path):
    (tmp_path / ".env").write_text(f"ZERODHA_API_KEY={KEY}\nTAPEDECK_PORT=6000\n")
    settings = load({"ZERODHA_API_KEY": "", "TAPEDECK_PORT": " "}, folder=tmp_path)
    assert (settings.api_key, settings.port) == ("", 5006)
    assert settings.found["TAPEDECK_PORT"] == ("5006", "default")
    assert settings.problems == ()


def test_a_value_given_in_code_is_the_strongest_and_takes_its_problem_away(tmp_path):
    settings = load({"TAPEDECK_PORT": "eighty"}, port=7000, data=tmp_path, seed=None)
    assert (settings.port, settings.data, settings.seed) == (7000, tmp_path, 7)
    assert settings.found["TAPEDECK_PORT"] == ("7000", "argument")
    assert settings.problems == ()


# -- wrong values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wrong", "allowed"),
    [
        ("TAPEDECK_PORT", "eighty", "0 to 65535 (0 = any free port)"),
        ("TAPEDECK_PORT", "99999", "0 to 65535 (0 = any free port)"),
        ("TAPEDECK_SEED", "7.5", "a whole number"),
        ("TAPEDECK_SIM_SPEED", "9999", "a number from 0.1 to 600"),
        ("TAPEDECK_SIM_SPEED", "nan", "a number from 0.1 to 600"),
        ("TAPEDECK_SIM_START", "soon", "an ISO time such as 2026-11-23T09:14:30"),
        ("TAPEDECK_KITE_REST", "api.kite.trade", "https://host[:port] or http://host[:port]"),
        ("TAPEDECK_KITE_WS", "http://x", "wss://host[:port] or ws://host[:port]"),
        ("TAPEDECK_KITE_LOGIN", "https://x:port/", "https://host[:port]/path or http://..."),
        ("TAPEDECK_URL", "5006", "http://host[:port] or https://host[:port]"),
        ("FRONTEND_URL", "https://desk.test/page", "https://host[:port], or http:// on this machine"),
        ("REDIRECT_URL", "desk", "https://host[:port], or http:// on this machine, then /api/auth/callback"),
    ],
)
def test_a_wrong_value_gives_way_to_the_default_and_says_what_is_allowed(name, wrong, allowed):
    settings = load({name: wrong})
    problem = only(settings, name)
    setting = next(setting for setting in SETTINGS if setting.name == name)
    assert getattr(settings, setting.attribute) == setting.read(setting.default)
    assert problem.level == "error"
    assert problem.message == f"was {wrong!r}; allowed: {allowed}"
    assert problem.source == settings.found[name].source == "environment"
    until = f"; until then {setting.default} is used" if setting.default and "_KITE_" not in name else ""
    assert problem.remedy == f"Correct {name} or remove it{until}"


def test_every_problem_is_told_at_once():
    settings = load({"TAPEDECK_PORT": "eighty", "TAPEDECK_SIM_SPEED": "9999", "TAPEDECK_PROT": "1"})
    assert {problem.name for problem in settings.problems} == {"TAPEDECK_PORT", "TAPEDECK_SIM_SPEED", "TAPEDECK_PROT"}


def test_a_wrong_command_line_is_refused_at_once_and_names_every_value():
    with pytest.raises(ConfigError) as raised:
        load({"TAPEDECK_SEED": "x"}, {"TAPEDECK_PORT": "99999", "TAPEDECK_SIM_START": "soon"})
    message = str(raised.value)
    assert "TAPEDECK_PORT was '99999'; allowed: 0 to 65535" in message
    assert "TAPEDECK_SIM_START was 'soon'; allowed: an ISO time" in message
    assert "(from the command line)" in message
    assert "TAPEDECK_SEED" not in message


@pytest.mark.parametrize("raw", ["redis//:hunter2@host", "http://:hunter2@host", "redis://:hun/ter2@host", "hunter2"])
def test_a_wrong_address_that_may_hold_a_password_is_not_shown(raw):
    settings = load({"REDIS_URL": raw})
    problem = only(settings, "REDIS_URL")
    assert problem.message == "was ***; allowed: redis://host[:port][/number], rediss://... or unix:///path"
    assert "hun" not in repr(settings) + str(settings.problems) + str(settings.found)


# -- what keeps a key away from Kite -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"TAPEDECK_KITE_REST": "localhost:8000"}, "TAPEDECK_KITE_REST was 'localhost:8000'"),
        ({"TAPEDECK_KITE_WS": "http://127.0.0.1:1"}, "TAPEDECK_KITE_WS was 'http://127.0.0.1:1'"),
        ({"TAPEDECK_KITE_LOGIN": "kite"}, "TAPEDECK_KITE_LOGIN was 'kite'"),
        (
            {"TAPEDECK_KITE_REST": "http://127.0.0.1:1"},
            "TAPEDECK_KITE_WS is wss://ws.kite.trade but",
        ),
        ({"ZERODHA_API_KEY": "your_api_key"}, "ZERODHA_API_KEY is a placeholder"),
        ({"ZERODHA_API_SECRET": "xxxxxxxx"}, "ZERODHA_API_SECRET is a placeholder"),
        ({"ZERODHA_API_KEY": "two words"}, "ZERODHA_API_KEY has characters other than letters and digits"),
        ({"ZERODHA_API_KEY": f'"{KEY}"'}, "ZERODHA_API_KEY has quotes around it"),
        ({"ZERODHA_API_KEY": SECRET}, "ZERODHA_API_KEY is the same as ZERODHA_API_SECRET"),
    ],
)
def test_what_could_send_a_key_to_the_wrong_place_keeps_the_desk_from_kite_and_from_the_simulator(wrong, why):
    settings = load(KITE | wrong)
    assert settings.has_credentials
    assert settings.kite_problem.startswith(why)
    assert any(problem.level == "error" for problem in settings.problems)


@pytest.mark.parametrize("name", ["TAPEDECK_KITE_REST", "TAPEDECK_KITE_WS", "TAPEDECK_KITE_LOGIN"])
def test_with_a_key_a_wrong_root_is_not_said_to_be_replaced_by_kites(name):
    problem = only(load(KITE | {name: "nowhere"}), name)
    assert problem.remedy == f"Correct {name} or remove it; until then Kite is not contacted"


def test_a_secret_that_stands_where_the_key_should_is_not_shown_even_in_part():
    settings = load({"ZERODHA_API_KEY": SECRET, "ZERODHA_API_SECRET": SECRET})
    assert settings.found["ZERODHA_API_KEY"].value == "***"
    assert SECRET[:4] not in str(settings.problems) + str(settings.found)


def test_a_key_with_its_secret_may_be_used_and_a_wrong_port_changes_nothing_about_that():
    assert load(KITE | {"TAPEDECK_PORT": "x"}).kite_problem == ""


def test_without_a_key_a_wrong_root_concerns_the_simulator_alone():
    settings = load({"TAPEDECK_KITE_REST": "nowhere"})
    assert settings.kite_problem == ""
    assert settings.kite_rest == KITE_REST


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_a_secret_is_in_no_repr_and_nowhere_among_what_is_shown():
    hidden = [secrets.token_urlsafe(48) for _ in range(3)]
    settings = load(
        {
            "ZERODHA_API_SECRET": hidden[0],
            "JWT_SECRET": hidden[1],
            "REDIS_URL": f"redis://me:{hidden[2]}@db.test:6379/0",
        }
        | {"ZERODHA_API_KEY": KEY}
    )
    assert (settings.api_secret, settings.jwt_secret) == (hidden[0], hidden[1])
    shown = repr(settings) + str(settings.problems) + json.dumps(settings.found)
    assert not any(secret in shown for secret in hidden)
    assert settings.found["REDIS_URL"].value == "redis://***@db.test:6379/0"
    assert settings.found["ZERODHA_API_KEY"].value == "kq8v…"
    assert settings.found["JWT_SECRET"].value == "***"


@given(
    st.text(st.sampled_from(string.ascii_letters + string.digits + "-_:/#?@%&="), min_size=8, max_size=40),
    st.sampled_from(["redis", "rediss", "https", "unix"]),
)
def test_no_password_of_any_shape_survives_the_masking_of_an_address(password, scheme):
    shown = show_address(f"{scheme}://user:{password}@host.test:6379/0")
    assert password not in shown.replace("host.test:6379/0", "")


@pytest.mark.parametrize(
    "text",
    ["your_api_key", "YOUR-KEY-HERE", "xxx", "XXXX-XXXX", "changeme", "change_me", "<api key>", "{{ key }}",
     "REPLACE_ME", "dummy", "$ZERODHA_API_KEY", "${KEY}", "****", "...", "todo", "123456", "secret", "'your_key'",
     "example", "api_key"],
)  # fmt: skip
def test_placeholders_are_known(text):
    assert placeholder(text)


def test_no_key_as_kite_makes_them_is_taken_for_a_placeholder():
    dice = random.Random(7)
    for _ in range(2000):
        assert not placeholder("".join(dice.choices(string.ascii_lowercase + string.digits, k=16)))


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("changeme-changeme-changeme-changeme", "is a placeholder"),
        ("kQ9xV2mT7zW4bN6c", "has 16 characters; allowed: 32 or more"),
        ("q" * 64, "is one character over and over"),
        ("ab" * 30, "is made of 2 different characters over and over"),
        ("kQ9xV2mT7zW4bN6c" * 3, "repeats the same 16 characters"),
        ("kQ9xV2mT7zW4bN6cR8yP" * 2, "repeats the same 20 characters"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "is a row of neighbouring letters or digits"),
        ("a-string-secret-at-least-256-bits-long", "is made of well-known words"),
        ("this-is-my-super-secret-jwt-signing-key", "is made of well-known words"),
    ],
)
def test_a_weak_jwt_secret_is_not_used_and_the_remedy_makes_a_good_one(secret, why):
    settings = load({"JWT_SECRET": secret})
    problem = only(settings, "JWT_SECRET")
    assert (problem.level, problem.message) == ("error", f"{why}, so it is not used")
    assert settings.jwt_secret == ""
    assert secret not in str(problem)
    made = problem.remedy.partition('python -c "')[2].rstrip('"')
    done = subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True)
    assert load({"JWT_SECRET": done.stdout.strip()}).problems == ()


def test_no_secret_of_random_bytes_is_taken_for_a_weak_one():
    dice = random.Random(7)
    for _ in range(1000):
        assert weakness(dice.randbytes(16).hex()) == ""
        assert weakness(base64.urlsafe_b64encode(dice.randbytes(24)).decode()) == ""


@pytest.mark.timezones
def test_a_start_without_an_offset_is_indian_time():
    assert parse_start("2026-11-23T09:14:30") == ist_ns(date(2026, 11, 23), "09:14:30")
    assert parse_start("2026-11-23T03:44:30+00:00") == ist_ns(date(2026, 11, 23), "09:14:30")


# -- documents ---------------------------------------------------------------------------------------------------------


def test_the_documents_made_from_the_settings_are_not_stale():
    assert settings_docs.main(["--folder", str(ROOT)]) == 0


def test_a_stale_document_is_named_and_written_when_asked(tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "settings.md").write_text("old")
    assert settings_docs.main(["--folder", str(tmp_path)]) == 1
    assert "settings.md: stale; run make settings-docs" in capsys.readouterr().out
    assert settings_docs.main(["--folder", str(tmp_path), "--write"]) == 0
    assert settings_docs.main(["--folder", str(tmp_path)]) == 0


def test_the_settings_page_lists_every_setting_with_its_default():
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else "empty"
        assert f"| `{setting.name}` | {default} | {setting.doc}" in text


def test_the_example_file_is_a_working_one_with_every_line_taken_in(tmp_path):
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(example.replace("#TAPEDECK", "TAPEDECK").replace("#REDIS", "REDIS"))
    settings = load({}, folder=tmp_path)
    assert settings.problems == ()
    assert settings == load({})


def test_every_setting_is_declared_once_and_has_a_place_in_settings():
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names)
    settings = Settings()
    for setting in SETTINGS:
        assert getattr(settings, setting.attribute) == setting.read(setting.default)
        assert all((setting.doc, setting.allowed, setting.kind))
    assert set(load(dict(os.environ)).found) == set(names)
