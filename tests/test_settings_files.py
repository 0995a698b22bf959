"""`.env` and `desk.toml`: read to the line, and a broken one is a problem that names file and line, not a crash."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from tapedeck.settings import Problem, Settings, load
from tapedeck.settings_files import parse_env, parse_toml


def only(settings: Settings) -> Problem:
    """The one problem there is."""
    assert len(settings.problems) == 1, settings.problems
    return settings.problems[0]


def write(path: Path, text: str | bytes, mode: int = 0o600) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "desk.toml"


def test_no_files_is_no_problem(tmp_path):
    assert load({}, folder=tmp_path) == load({})
    assert load({}, folder=tmp_path / "nowhere").problems == ()


def test_an_env_file_is_read_as_people_write_it(env):
    write(
        env, "\ufeff# desk\r\nexport TAPEDECK_PORT=6000\r\n\r\nTAPEDECK_DATA='/srv/my data'  # here\r\nTAPEDECK_SEED=9"
    )
    settings = load({}, folder=env.parent)
    assert (settings.port, settings.data, settings.seed) == (6000, Path("/srv/my data"), 9)
    assert settings.found["TAPEDECK_DATA"].source == ".env line 4"
    assert settings.found["TAPEDECK_SEED"].source == ".env line 5"


def test_nothing_in_an_env_file_is_replaced(env):
    write(env, "TAPEDECK_HOST=h$HOME${HOME}\n")
    assert load({}, folder=env.parent).host == "h$HOME${HOME}"


@pytest.mark.parametrize("line", ["hunter2 is no line", "JWT_SECRET", "export hunter2"])
def test_a_line_that_is_none_is_named_and_the_others_count(env, line):
    write(env, f"TAPEDECK_PORT=6000\n\n\n{line}\nTAPEDECK_SEED=9\n")
    settings = load({}, folder=env.parent)
    assert (settings.port, settings.seed) == (6000, 9)
    assert only(settings) == (
        "error", ".env", "", ".env line 4", "is not NAME=value",
        "Correct line 4 of .env, or put # before it, or start with --sim",
    )  # fmt: skip


def test_a_wrong_value_in_a_file_names_its_line(env, toml):
    write(env, "\n\nTAPEDECK_PORT=eighty\n")
    write(toml, '[desk]\n\nTAPEDECK_SEED = "seven"\n')
    sources = {problem.name: problem.source for problem in load({}, folder=env.parent).problems}
    assert sources == {"TAPEDECK_PORT": ".env line 3", "TAPEDECK_SEED": "desk.toml line 3"}


def test_desk_toml_takes_every_plain_kind_of_value(toml):
    write(
        toml,
        "TAPEDECK_PORT = 6000\nTAPEDECK_SIM_SPEED = 2.5\nTAPEDECK_SIM_START = 2026-11-23T09:14:30\n"
        "TAPEDECK_SEED = 1\n[desk]\nTAPEDECK_SEED = 2\n",
    )
    settings = load({}, folder=toml.parent)
    assert settings.problems == ()
    assert (settings.port, settings.sim_speed, settings.seed) == (6000, 2.5, 2)
    assert settings.sim_start == load({"TAPEDECK_SIM_START": "2026-11-23T09:14:30"}).sim_start


def test_a_broken_desk_toml_is_named_with_its_line_and_nothing_of_it_is_used(toml):
    write(toml, "TAPEDECK_PORT = 6000\nTAPEDECK_SEED = \n")
    settings = load({}, folder=toml.parent)
    assert settings.port == 5006
    assert only(settings) == (
        "error", "desk.toml", "", "desk.toml line 2", "is not TOML, so nothing of the file is used",
        "Correct line 2 of desk.toml, or start with --sim",
    )  # fmt: skip


def test_a_list_in_desk_toml_is_no_setting(toml):
    write(toml, "TAPEDECK_PORT = [6000]\n")
    problem = only(load({}, folder=toml.parent))
    assert problem.message == "was a list; allowed: text, a number, true, false or a time"
    assert problem.remedy == "Remove TAPEDECK_PORT from desk.toml"


def test_a_file_that_is_not_text_is_named_with_its_line(env):
    write(env, b"TAPEDECK_PORT=6000\nTAPEDECK_HOST=\xff\xfe\n")
    problem = only(load({}, folder=env.parent))
    assert (problem.source, problem.message) == (".env line 2", "is not UTF-8 text")
    assert problem.remedy == "Save it as UTF-8, or start with --sim"


def test_a_folder_or_a_pipe_in_the_place_of_a_file_is_a_problem_and_holds_nothing_up(env, toml):
    env.mkdir()
    os.mkfifo(toml)
    problems = load({}, folder=env.parent).problems
    assert [problem.name for problem in problems] == [".env", "desk.toml"]
    assert all(problem.message.startswith("cannot be read") for problem in problems)
    assert problems[0].remedy == "Make .env a file that this user may read, or remove it, or start with --sim"


def test_a_secret_in_a_file_that_others_may_read_is_a_problem(env):
    write(env, "JWT_SECRET=kQ9xV2mT7zW4bN6cR8yPkJ3hG5fD1sA0\n", 0o644)
    problem = only(load({}, folder=env.parent))
    assert problem.message == "holds a secret and may be read by others (mode 0644)"
    assert problem.remedy == "chmod 600 .env"
    write(env, "TAPEDECK_PORT=6000\n", 0o644)
    assert load({}, folder=env.parent).problems == ()


# -- names that are none -----------------------------------------------------------------------------------------------


def test_every_unknown_name_in_desk_toml_is_told_with_the_one_that_was_meant(toml):
    write(toml, "TAPEDECK_PROT = 6000\nport = 1\nshoe_size = 43\n[tool]\nx = 1\n")
    found = {problem.name: problem for problem in load({}, folder=toml.parent).problems}
    assert found["TAPEDECK_PROT"].remedy == found["port"].remedy == "Did you mean TAPEDECK_PORT?"
    assert found["shoe_size"].remedy == "Remove shoe_size; docs/settings.md lists what can be set"
    assert {problem.level for problem in found.values()} == {"warning"}
    assert "tool" in found


def test_an_env_file_may_hold_names_of_others_but_no_near_misses(env):
    write(env, "POSTGRES_PASSWORD=x\nPORT=1\nJWT_SECERT=hunter2\nTAPEDECK_COLOUR=red\nAPI_KEY=hunter2\n")
    problems = {problem.name: problem for problem in load({}, folder=env.parent).problems}
    assert set(problems) == {"JWT_SECERT", "TAPEDECK_COLOUR", "API_KEY"}
    assert problems["JWT_SECERT"].source == ".env line 3"
    assert problems["JWT_SECERT"].remedy == "Did you mean JWT_SECRET?"
    assert problems["API_KEY"].remedy == "Did you mean ZERODHA_API_KEY? Correct the name, or start with --sim"
    assert "hunter2" not in str(problems)


def test_in_the_environment_only_our_own_names_and_near_misses_of_settings_are_told():
    others = {"PATH": "/bin", "API_KEY": "x", "REDIS_HOST": "x", "ZERODHA_USER": "x", "BACKEND_URL": "x"}
    settings = load(others | {"JWT_SECERT": "x", "TAPEDECK_PROT": "1", "KITE_API_KEY": "x"})
    assert [(p.name, p.remedy, p.level) for p in settings.problems] == [
        ("JWT_SECERT", "Did you mean JWT_SECRET?", "warning"),
        ("KITE_API_KEY", "Did you mean ZERODHA_API_KEY? Correct the name, or start with --sim", "error"),
        ("TAPEDECK_PROT", "Did you mean TAPEDECK_PORT?", "warning"),
    ]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("JWT_SERCRET", "JWT_SECRET"), ("JWT_SECERT", "JWT_SECRET"), ("REDIRECT_URI", "REDIRECT_URL"),
     ("REDIS_URI", "REDIS_URL"), ("FRONTEND_URI", "FRONTEND_URL")],
)  # fmt: skip
def test_a_near_miss_in_the_environment_is_told_like_one_in_a_file(wrong, meant):
    problem = only(load({wrong: "hunter2"}))
    assert (problem.name, problem.level, problem.remedy) == (wrong, "warning", f"Did you mean {meant}?")
    assert load({wrong: "hunter2", meant: ""}).problems == (), "of another program"
    assert "hunter2" not in str(problem)


def test_a_near_miss_of_a_name_that_is_given_belongs_to_another_program():
    names = {"ZERODHA_API_KEY": "kq8v3x1m5t7z9w2b", "ZERODHA_API_SECRET": "n4j6h8f0d2s1a3p5"}
    assert load(names | {"KITE_API_KEY": "x", "KITE_API_SECRET": "y"}).problems == ()


def test_a_name_that_is_there_twice_is_told_with_both_lines(env):
    write(env, "TAPEDECK_PORT=6000\n\nTAPEDECK_PORT=6001\n")
    settings = load({}, folder=env.parent)
    assert settings.port == 6001
    assert only(settings) == (
        "warning", "TAPEDECK_PORT", "***", ".env line 3",
        "is in line 1 and in line 3 of .env, of which the last counts", "Remove one of the two lines of TAPEDECK_PORT",
    )  # fmt: skip


# -- a key that went astray -------------------------------------------------------------------------------------------

ASTRAY = {
    "a colon": (".env", "ZERODHA_API_KEY: kq8v3x1m5t7z9w2b\n", ".env line 1 is not NAME=value"),
    "bytes": (".env", b"ZERODHA_API_KEY=\xff\xfe\n", ".env line 1 is not UTF-8 text"),
    "two bytes a letter": (".env", "ZERODHA_API_KEY=kq8v\n".encode("utf-16-le"), ".env line 1 is not UTF-8 text"),
    "no TOML": ("desk.toml", "ZERODHA_API_KEY = kq8v\n", "desk.toml line 1 is not TOML"),
    "a list": ("desk.toml", "ZERODHA_API_KEY = ['kq8v']\n", "ZERODHA_API_KEY was a list"),
    "nearly": (".env", "ZERODHA_APIKEY=kq8v3x1m5t7z9w2b\n", "ZERODHA_APIKEY is not a setting"),
    "nearly and empty": (".env", "ZERODHA_APIKEY=\n", "ZERODHA_APIKEY is not a setting"),
    "another beginning": (".env", "TAPEDECK_API_KEY=kq8v3x1m5t7z9w2b\n", "TAPEDECK_API_KEY is not a setting"),
    "small": ("desk.toml", 'api_key = "kq8v3x1m5t7z9w2b"\n', "api_key is not a setting"),
    "emptied below": (".env", "ZERODHA_API_KEY=kq8v\nZERODHA_API_KEY=\n", "ZERODHA_API_KEY is in line 1 and in line 2"),
}


@pytest.mark.parametrize(("name", "text", "why"), ASTRAY.values(), ids=ASTRAY)
def test_a_key_that_went_astray_makes_no_desk_for_the_simulator(tmp_path, name, text, why):
    write(tmp_path / name, text)
    settings = load({}, folder=tmp_path)
    assert (settings.api_key, settings.has_credentials, settings.wants_kite) == ("", False, True)
    assert settings.kite_problem.startswith(why)
    assert settings.kite_problem.endswith(", or start with --sim")
    assert only(settings).level == "error"
    assert "kq8v" not in settings.kite_problem + str(settings.problems)


@pytest.mark.parametrize(("name", "text", "why"), ASTRAY.values(), ids=ASTRAY)
def test_with_a_key_or_when_told_to_simulate_nothing_is_astray(tmp_path, name, text, why):
    write(tmp_path / name, text)
    told = load({}, folder=tmp_path, simulate=True)
    assert (told.wants_kite, told.kite_problem) == (False, "")
    names = {"ZERODHA_API_KEY": "kq8v3x1m5t7z9w2b", "ZERODHA_API_SECRET": "n4j6h8f0d2s1a3p5"}
    given = load(names, folder=tmp_path)
    assert (given.wants_kite, given.kite_problem) == (True, "")
    assert not any("--sim" in problem.remedy for problem in (*told.problems, *given.problems))


def test_a_secret_beside_a_key_that_went_astray_is_not_said_to_be_simulated(env):
    write(env, "ZERODHA_API_KEY: kq8v3x1m5t7z9w2b\nZERODHA_API_SECRET=n4j6h8f0d2s1a3p5\n")
    found = {problem.name: problem for problem in load({}, folder=env.parent).problems}
    assert found["ZERODHA_API_KEY"].message == "is not set, so the secret is of no use"


def test_what_costs_no_key_leaves_the_simulator_alone(env):
    write(env, "TAPEDECK_PROT=1\nTAPEDECK_PORT=eighty\nTAPEDECK_SEED=1\nTAPEDECK_SEED=2\n", 0o644)
    settings = load({}, folder=env.parent)
    assert (settings.wants_kite, settings.kite_problem) == (False, "")


# -- properties --------------------------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("AB_='\"# \\$\n\rx1é"), max_size=60))
@example("=\r\n1=")
def test_an_env_file_means_to_us_what_it_means_to_its_library(text):
    layer, problems = parse_env(text)
    theirs = dotenv_values(stream=io.StringIO(text), interpolate=False)
    # A name without a value undoes an earlier one there; here it is a problem.
    valued = {name: value for name, value in theirs.items() if value is not None}
    assert valued.items() <= dict(layer.values).items()
    assert layer.values.keys() <= theirs.keys()
    assert problems or None not in theirs.values()
    starts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for name, line in layer.lines.items():
        assert name in starts[line - 1]


@given(st.text(max_size=200))
def test_no_text_at_all_makes_a_reader_of_files_fail(text):
    for parse in (parse_env, parse_toml):
        layer, problems = parse(text)
        assert all(isinstance(value, str) for value in layer.values.values())
        assert all(problem.remedy for problem in problems)
