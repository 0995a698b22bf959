"""Settings are declared once, read at the edge, and every problem is told in one message."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tapedeck.clock import ist_ns
from tapedeck.errors import ConfigError
from tapedeck.settings import SETTINGS, load, parse_start

ROOT = Path(__file__).resolve().parents[1]


def test_an_empty_environment_runs_the_simulated_exchange_on_loopback():
    settings = load({})
    assert not settings.has_credentials
    assert settings.host == "127.0.0.1"
    assert settings.port == 5006


def test_every_problem_is_in_one_message_with_its_value_and_what_is_allowed():
    with pytest.raises(ConfigError) as raised:
        load({"TAPEDECK_PORT": "eighty", "TAPEDECK_SIM_SPEED": "9999", "TAPEDECK_KITE_WS": "http://x"})
    message = str(raised.value)
    assert "TAPEDECK_PORT was 'eighty'" in message
    assert "TAPEDECK_SIM_SPEED was '9999'" in message
    assert "0.1 to 600" in message
    assert "wss://host" in message


def test_an_unknown_name_of_ours_is_refused_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"TAPEDECK_PROT .* did you mean TAPEDECK_PORT\?"):
        load({"TAPEDECK_PROT": "1"})


def test_names_of_others_are_left_alone():
    assert load({"PATH": "/bin", "JWT_SECRET": "x"}).port == 5006


def test_the_command_line_is_stronger_than_the_environment_and_is_named_when_it_is_wrong():
    assert load({"TAPEDECK_PORT": "6000"}, {"TAPEDECK_PORT": "7000"}).port == 7000
    assert load({"TAPEDECK_PORT": "6000"}, {}, port=None).port == 6000
    with pytest.raises(ConfigError, match=r"TAPEDECK_PORT was '99999' \(from the command line\)"):
        load({"TAPEDECK_PORT": "6000"}, {"TAPEDECK_PORT": "99999"})


def test_a_secret_is_in_no_repr():
    settings = load({"ZERODHA_API_KEY": "key", "ZERODHA_API_SECRET": "very-secret"})
    assert "very-secret" not in repr(settings)


@pytest.mark.timezones
def test_a_start_without_an_offset_is_indian_time():
    assert parse_start("2026-11-23T09:14:30") == ist_ns(date(2026, 11, 23), "09:14:30")
    assert parse_start("2026-11-23T03:44:30+00:00") == ist_ns(date(2026, 11, 23), "09:14:30")


def test_a_start_that_is_no_time_says_what_is_allowed():
    with pytest.raises(ConfigError, match=r"TAPEDECK_SIM_START was 'soon'.*ISO time"):
        load({"TAPEDECK_SIM_START": "soon"})


def test_the_settings_page_lists_every_setting_with_its_default():
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else "empty"
        assert f"| `{setting.name}` | {default} | {setting.doc}" in text
