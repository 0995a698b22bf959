"""`tapedeck check` and the start of a desk as a person meets them: what is printed, and the exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from dashboards import __main__ as program
from tapedeck import session_file
from tapedeck._session_rules import facts
from tapedeck.check_report import ALL_VALID
from tapedeck.errors import ConfigError
from tapedeck.session_file import use_session_file
from tapedeck.sessions import coverage
from tapedeck.settings import load
from tests.redis_server import RedisServer, free_port
from tests.running import clean_environment, start_desk

KITE = {"ZERODHA_API_KEY": "kq8v3x1m5t7z9w2b", "ZERODHA_API_SECRET": "n4j6h8f0d2s1a3p5o7i9u1y2t4r6e8w0"}


#: Hours for long enough that the day the tests run on does not decide: the calendar's end is a warning of its own.
LONG = """\
covers: {from: 2024-01-01, to: 2099-12-31}
rules:
  - {id: later, segments: [MCX, NCO], class: nonagri, part: day, effective_from: 2027-03-13, effective_to: null,
     phases: [{name: morning, start: "09:00", end: "17:00"}], source: [mcx_hours]}
"""


def run(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`tapedeck check` in a folder."""
    hours = folder / "hours.yaml"
    hours.write_text(LONG)
    return subprocess.run(
        [sys.executable, "-m", "tapedeck.cli", "check", *arguments],
        cwd=folder,
        env=clean_environment() | {"TAPEDECK_SESSIONS": str(hours)} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_with_nothing_set_all_is_valid(tmp_path):
    done = run(tmp_path, "--strict")
    assert done.returncode == 0, done.stdout
    assert ALL_VALID in done.stdout.splitlines()
    assert done.stderr == ""


def test_a_warning_is_one_only_when_strict(tmp_path):
    (tmp_path / "desk.toml").write_text("TAPEDECK_PROT = 6000\n")
    done = run(tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [ALL_VALID, "1 warning"]
    assert "-> Did you mean TAPEDECK_PORT?" in done.stdout
    done = run(tmp_path, "--strict")
    assert done.returncode == 1
    assert ALL_VALID not in done.stdout
    assert done.stdout.splitlines()[-1] == "1 warning"


def test_an_error_ends_with_2_and_every_one_is_in_the_table(tmp_path):
    (tmp_path / ".env").write_text("TAPEDECK_PORT=eighty\nZERODHA_API_KEY=your_api_key\n")
    (tmp_path / ".env").chmod(0o600)
    done = run(tmp_path, environment={"REDIS_URL": f"redis://:hunter2@127.0.0.1:{free_port()}"})
    assert done.returncode == 2
    for text in ("'eighty'", ".env line 1", "is a placeholder", "Redis ", "could not be reached"):
        assert text in done.stdout
    assert ALL_VALID not in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_a_program_can_read_it(tmp_path):
    done = run(tmp_path, "--json", environment=KITE | {"TAPEDECK_SPEED": "1"})
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert document["worst"] == "warning"
    rows = {row["name"]: row for row in document["rows"]}
    assert rows["ZERODHA_API_SECRET"]["value"] == "***"
    assert rows["TAPEDECK_SPEED"]["level"] == "warning"
    assert KITE["ZERODHA_API_SECRET"] not in done.stdout


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    for options in ("--json", ""):
        command = f"{sys.executable} -m tapedeck.cli check {options} | true"
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.stderr == ""


def test_a_real_redis_is_named_in_the_table(tmp_path):
    server = RedisServer(tmp_path)
    try:
        done = run(tmp_path, "--strict", environment={"REDIS_URL": f"unix://{server.socket}"})
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout
    assert "is Valkey " in done.stdout
    assert "is within 2 s of Redis" in done.stdout


# -- the start of a desk -----------------------------------------------------------------------------------------------


def test_a_wrong_setting_does_not_stop_a_desk_and_is_printed_with_its_remedy(tmp_path):
    environment = {"TAPEDECK_SEED": "seven", "JWT_SECRET": "hunter2", "TAPEDECK_SESSIONS": str(tmp_path / "none.yaml")}
    desk = start_desk(data=tmp_path, environment=environment)
    try:
        assert desk.get("/healthz").status_code == 200
        output = desk.output
    finally:
        desk.stop()
    assert "-> Correct TAPEDECK_SEED or remove it; until then 7 is used" in output
    assert "has 7 characters; allowed: 32 or more, so it is not used" in output
    assert "until then the packaged hours and holidays are used" in output
    assert "Settings and checks: 3 errors" in output
    assert output.index("Correct TAPEDECK_SEED") < output.index("Desk READY")
    assert "hunter2" not in output


def test_a_wrong_command_line_stops_at_once_with_2(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert program.main(["--port", "eighty"]) == 2
    assert "TAPEDECK_PORT was 'eighty'; allowed: 0 to 65535" in capsys.readouterr().err


def test_the_desk_reads_the_files_of_the_folder_it_is_started_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("TAPEDECK_", "ZERODHA_"))]:
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text("TAPEDECK_PORT=6000\nTAPEDECK_SEED=9\n")
    settings = program.settings_from(program.arguments(["--port", "7000", "--sim"]))
    assert (settings.port, settings.seed, settings.simulate) == (7000, 9, True)
    assert settings.found["TAPEDECK_PORT"].source == "command line"
    with pytest.raises(ConfigError):
        program.settings_from(program.arguments(["--host", "0.0.0.0"]))


# -- the session file --------------------------------------------------------------------------------------------------


@pytest.fixture
def hours(monkeypatch, tmp_path):
    """A folder whose session file may be put in force; afterwards the packaged one is again."""
    monkeypatch.setenv(session_file.NAME, "")
    facts.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    facts.cache_clear()


def test_a_session_file_named_in_a_settings_file_holds_for_this_process_and_those_it_starts(hours):
    (hours / "own.yaml").write_text(LONG)
    (hours / "desk.toml").write_text(f'TAPEDECK_SESSIONS = "{hours / "own.yaml"}"\n')
    settings = use_session_file(load({}, folder=hours))
    assert settings.problems == ()
    assert coverage() == (date(2024, 1, 1), date(2099, 12, 31))
    assert os.environ[session_file.NAME] == str(hours / "own.yaml")


def test_a_session_file_that_cannot_be_used_is_a_problem_and_the_packaged_one_holds(hours):
    (hours / "own.yaml").write_text("colour: red\n")
    packaged = coverage()
    settings = use_session_file(load({"TAPEDECK_SESSIONS": str(hours / "own.yaml")}))
    (problem,) = settings.problems
    assert problem.message.startswith("is not used: session facts had colour; allowed keys:")
    assert problem.remedy == (
        f"Correct {hours / 'own.yaml'} or remove TAPEDECK_SESSIONS; until then the packaged hours and holidays are used"
    )
    assert settings.sessions == os.environ[session_file.NAME] == ""
    assert coverage() == packaged
