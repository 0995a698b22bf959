"""Real starts with something that does not work: the desk is up all the same, or ends and names what to change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import clean_environment, start_desk
from tests.support import wait_until


@pytest.mark.parametrize("place", ["a file", "/proc/none"])
def test_a_desk_whose_data_folder_cannot_be_used_serves_and_says_so(tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    data = tmp_path / "file" if place == "a file" else Path(place)
    desk = start_desk(data=data, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    try:
        wait_until(lambda: desk.get("/readyz").status_code == 200, timeout=60)
        page = desk.get(desk.page.removeprefix(desk.address))
        assert page.status_code == 200
        rows = {row["name"]: row for row in desk.json("/api/system/config")["settings"]}
        output = desk.output
    finally:
        assert desk.stop() == 0
    assert "cannot be written to" in rows["data folder"]["message"]
    assert "good for one run" in rows["JWT_SECRET"]["message"]
    assert output.count("the secret is one of this run") == 1
    assert "Traceback" not in output
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_key_under_a_name_that_is_nearly_right_is_no_simulated_market(tmp_path):
    environment = {"ZERODHA_APIKEY": "kq8v3x1m5t7z9w2b"}
    desk = start_desk(data=tmp_path, environment=environment)
    try:
        health = desk.json("/api/system/health")
        assert (health["source"], health["simulated"]) == ("kite", False)
        assert health["feed"]["state"] == "LOGIN_REQUIRED"
        answer = desk.get("/readyz")
        validated = desk.json("/api/auth/validate")
        output = desk.output
    finally:
        desk.stop()
    cause = (
        "ZERODHA_APIKEY is not a setting; Did you mean ZERODHA_API_KEY? Correct the name, or start with --sim"
    )  # fmt: skip
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [f"not set up: {cause}"]
    assert (validated["state"], validated["cause"]) == ("UNCONFIGURED", cause)
    assert "-> Did you mean ZERODHA_API_KEY? Correct the name, or start with --sim" in output


def test_an_address_of_another_machine_ends_the_start_by_naming_its_setting(tmp_path):
    from tapedeck.users import Users

    Users(tmp_path).add("asha", "correct horse battery")
    given = {
        "TAPEDECK_DATA": str(tmp_path), "TAPEDECK_HOST": "192.0.2.7", "FRONTEND_URL": "https://desk.test",
        "JWT_SECRET": "kQ9xV2mT7zW4bN6cR8yPkJ3hG5fD1sA0",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "dashboards"], cwd=tmp_path, env=clean_environment() | given, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "TAPEDECK_HOST (or --host) was '192.0.2.7', which is no address of this machine" in done.stderr
    assert "choose another" not in done.stderr
