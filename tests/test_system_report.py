"""The report of a desk: every section, empty where a desk has nothing to say, never a secret."""

from __future__ import annotations

import json
import os

import pytest

from tapedeck import sessions
from tapedeck.clock import SECOND, ManualClock, ist_ns, to_ist
from tapedeck.feed import FeedStatus
from tapedeck.feed_log import FeedLog
from tapedeck.settings import Settings
from tapedeck.storage import KEEP_S, Storage, shown
from tapedeck.system_report import config_report, iso, phase_rows, secrets_of, system_report, versions
from tapedeck.system_text import system_text
from tests.system_support import NOW, SECRET, StubDesk, row, stub_report

pytestmark = pytest.mark.timezones


def test_every_section_is_there_and_is_json():
    report = json.loads(json.dumps(system_report(StubDesk(), access={"user": "meera", "role": "operator"})))
    assert report["at"] == "2026-11-23T10:00:00+05:30"
    assert report["access"] == {"user": "meera", "role": "operator"}
    assert report["auth"] | {"timeline": []} == {
        "state": "VALID", "since": "2026-11-23T09:00:00+05:30", "cause": "logged in", "user_id": "AB1234",
        "expires_at": "2026-11-24T06:00:00+05:30", "last_success": "2026-11-23T09:59:55+05:30", "failures": 0,
        "last_failure": "", "timeline": [],
    }  # fmt: skip
    assert [one["to"] for one in report["auth"]["timeline"]] == ["VALID", "EXCHANGING", "LOGIN_REQUIRED"]
    assert report["auth"]["timeline"][2] == {
        "at": "2026-11-23T05:00:00+05:30", "from": "EXPIRED", "to": "LOGIN_REQUIRED", "cause": "expired at 06:00 IST",
    }  # fmt: skip
    assert [one["state"] for one in report["feed"]["timeline"]] == ["LIVE", "CONNECTING", "STALE"]
    assert report["quota"]["historical"]["last_second"] == 2
    assert report["quota"]["quote"]["held_s"] == 40
    assert report["versions"]["python"].startswith("3.")


def test_settings_come_with_problems_first_and_where_they_are_from():
    rows = config_report(StubDesk())["settings"]
    assert [(one["level"], one["name"]) for one in rows] == [
        ("error", "ZERODHA_API_SECRET"), ("warning", "REDIS_URL"), ("ok", "ZERODHA_API_KEY"), ("ok", "TAPEDECK_PORT"),
    ]  # fmt: skip
    assert rows[1]["remedy"] == "REDIS_URL=redis://redis:6379/0"
    assert config_report(StubDesk())["checked"]


def test_only_who_may_act_is_offered_to_check_again_and_to_log_out():
    desk = StubDesk()
    assert not system_report(desk)["can_recheck"]
    desk.recheck = lambda: None  # type: ignore[attr-defined]
    reports = [system_report(desk, access={"role": role}) for role in ("operator", "viewer", "")]
    assert [one["can_recheck"] for one in reports] == [True, False, True]
    assert [one["can_log_out"] for one in reports] == [True, False, True]


@pytest.mark.parametrize(
    ("cause", "user", "offered"),
    [
        ("logged in", "SIM001", True),
        ("found in the token file", "SIM001", True),
        ("handed over by a program", "", False),
        ("handed over by a program", "SIM001", False),
    ],
)
def test_of_a_simulator_one_logs_out_if_a_person_has_logged_in(cause: str, user: str, offered: bool):
    desk = StubDesk()
    desk.simulated = True
    status = desk.auth_status()
    status.cause, status.user_id = cause, user
    desk.auth_status = lambda: status  # type: ignore[method-assign]
    assert system_report(desk)["can_log_out"] is offered
    assert not system_report(desk, access={"role": "viewer"})["can_log_out"]
    status.state = "LOGIN_REQUIRED"
    assert not system_report(desk)["can_log_out"]


def test_a_row_may_be_a_mapping_too():
    desk = StubDesk()
    desk.check_report.rows = [{"name": "X", "level": "ok", "value": None, "source": "default"}]
    assert config_report(desk)["settings"] == [
        {"level": "ok", "name": "X", "value": "", "source": "default", "message": "", "remedy": ""}
    ]


def test_a_desk_that_lacks_a_part_has_an_empty_section():
    parts = ("check_report", "exchange", "storage", "auth_status", "auth_timeline", "feed_timeline", "socket")
    report = system_report(StubDesk(without=parts))
    assert (report["settings"], report["quota"], report["storage"]) == ([], {}, {})
    assert report["auth"]["state"] is None
    assert report["auth"]["timeline"] == report["feed"]["timeline"] == []
    assert not report["can_recheck"]
    text = system_text(report)
    assert text.count("nothing known") == 3
    assert not config_report(StubDesk(without=parts))["checked"]


def test_no_secret_is_in_the_report_or_its_text_wherever_it_was_written():
    desk = StubDesk()
    desk.check_report.rows = [row("error", "ZERODHA_API_SECRET", SECRET, message=f"{SECRET} was wrong")]
    desk.hub.feed_reason = f"Kite says: {SECRET}"
    report = system_report(desk)
    assert SECRET not in json.dumps(report) + system_text(report) + json.dumps(config_report(desk))
    assert report["feed"]["reason"] == "Kite says: ***"


def test_a_password_inside_an_address_is_a_secret_and_a_short_word_is_none():
    settings = Settings(api_secret="abc", kite_rest="https://someone:pass-of-proxy@kite.example")
    assert secrets_of(settings) == {"pass-of-proxy"}
    assert secrets_of(None) == frozenset()


def test_every_segment_has_its_hours_and_classes_that_do_the_same_share_a_row():
    rows = phase_rows(NOW)
    assert {one["segment"] for one in rows} == set(sessions.SEGMENTS)
    for name, segment in sessions.SEGMENTS.items():
        kinds = [kind for one in rows if one["segment"] == name for kind in one["classes"]]
        assert sorted(kinds) == sorted(segment.classes)
    shares = {tuple(one["classes"]): one for one in rows if one["segment"] == "NSE_EQ"}
    # The closing auction is LIVE too: shares without one are CLOSED five minutes earlier.
    assert {key: one["next_transition"] for key, one in shares.items()} == {
        ("other",): "2026-11-23T15:30:00+05:30", ("cas", "index"): "2026-11-23T15:35:00+05:30",
    }  # fmt: skip
    assert not any(one["all_classes"] for one in shares.values())
    assert [one["all_classes"] for one in rows if one["segment"] == "CDS"] == [True]
    for one in rows:
        assert one["until"] <= one["next_transition"]


@pytest.mark.parametrize("hour", ["00:30", "05:59", "09:05", "15:20", "20:00", "23:54"])
def test_the_rows_say_what_the_calendar_says(hour):
    now = ist_ns(to_ist(NOW).date(), hour)
    for one in phase_rows(now):
        for kind in one["classes"]:
            phase = sessions.phase(one["segment"], now, session_class=kind)
            assert (one["status"], one["phase"], one["sub_phase"]) == (phase.coarse, phase.name, phase.sub)
            at, then = sessions.next_transition(now, one["segment"], session_class=kind)
            assert (one["next_transition"], one["next_status"]) == (iso(at), then)
            assert at > to_ist(now)


def test_the_text_has_every_section_and_nothing_of_two_lines_in_a_cell():
    desk = StubDesk()
    desk.hub.feed_reason = "first\nsecond"
    text = system_text(system_report(desk))
    heads = [line for line in text.splitlines() if line.startswith("==")]
    assert heads == [
        "== Tapedeck", "== Settings", "== Kite login", "== Feed", "== Sessions", "== REST quota", "== Storage",
        "== Versions",
    ]  # fmt: skip
    assert "first second" in text
    assert "ZERODHA_API_SECRET: a key is set without its secret; set ZERODHA_API_SECRET" in text
    assert "2026-11-23T09:00:00+05:30  EXCHANGING      VALID           logged in" in text
    assert "tape     5.3 GB" in text
    assert text == stub_report(desk)["text"]


def test_versions_name_what_is_installed_and_what_is_not(monkeypatch):
    assert dict(versions())["bokeh"].startswith("3.")
    monkeypatch.setattr("tapedeck.system_report.PACKAGES", ("no-such-package",))
    assert dict(versions.__wrapped__())["no-such-package"] == "-"


# -- the disk ---------------------------------------------------------------------------------------------------


def test_the_data_folder_is_counted_by_subfolder_and_not_too_often(tmp_path):
    (tmp_path / "tape" / "2026").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "tape" / "2026" / "a.bin").write_bytes(b"x" * 1000)
    (tmp_path / "token.json").write_bytes(b"x" * 10)
    clock = ManualClock(monotonic=50.0)
    storage = Storage(tmp_path, clock)
    said = storage.describe()
    assert said["bytes"] == {".": 10, "empty": 0, "tape": 1000}
    assert (said["total"], said["complete"], said["problem"]) == (1010, True, "")
    assert said["free"] > 0
    (tmp_path / "more").write_bytes(b"x" * 90)
    clock.advance(KEEP_S - 1)
    assert storage.describe()["total"] == 1010
    clock.advance(1)
    assert storage.describe()["total"] == 1100


def test_a_folder_that_is_not_there_yet_is_empty_and_its_disk_is_known(tmp_path):
    said = Storage(tmp_path / "not" / "yet", ManualClock()).describe()
    assert (said["bytes"], said["total"], said["problem"]) == ({}, 0, "")
    assert said["free"] > 0


def test_a_folder_that_cannot_be_read_says_so(tmp_path, monkeypatch):
    def refuse(_path: object) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    assert "cannot be read (Permission denied)" in Storage(tmp_path, ManualClock()).describe()["problem"]


def test_more_files_than_are_counted_are_not_passed_over_in_silence(tmp_path, monkeypatch):
    for n in range(5):
        (tmp_path / f"{n}").write_bytes(b"x")
    monkeypatch.setattr("tapedeck.storage.MOST_FILES", 3)
    said = Storage(tmp_path, ManualClock()).describe()
    assert (said["total"], said["complete"]) == (3, False)


def test_a_folder_is_shown_as_short_as_it_can_be_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert shown(tmp_path / "data") == "data"
    assert shown(tmp_path.parent / "desk" / "data") == "~/desk/data"
    monkeypatch.setenv("HOME", "/nobody")
    assert shown(tmp_path.parent / "a" / "b" / "data") == "…/b/data"


# -- the feed's own history -------------------------------------------------------------------------------------


def test_the_feeds_changes_are_kept_newest_first_and_a_night_of_retries_is_two_lines():
    log, clock = FeedLog(), ManualClock(NOW)

    def tell(state: str, reason: str = "") -> None:
        clock.advance(1)
        log.note(FeedStatus(state=state, reason=reason), now=clock.now(), monotonic=clock.monotonic())

    for _ in range(3):
        tell("LIVE")
    for _ in range(50):
        tell("BACKOFF", "connection refused")
        tell("CONNECTING", "connecting")
    tell("LIVE")
    tell("BACKOFF", "connection refused")
    assert [(state, reason) for _, state, reason in log.newest_first()] == [
        ("BACKOFF", "connection refused"), ("LIVE", ""), ("CONNECTING", "connecting"),
        ("BACKOFF", "connection refused"), ("LIVE", ""),
    ]  # fmt: skip
    assert log.newest_first()[-1][0] == NOW + SECOND


def test_a_feed_is_quiet_only_since_somebody_wants_numbers_of_it():
    log = FeedLog()
    assert log.wanted_for(50.0) == 0
    log.note(FeedStatus(state="LIVE", subscribed=3), now=NOW, monotonic=40.0)
    log.note(FeedStatus(state="LIVE", subscribed=53), now=NOW, monotonic=45.0)
    assert log.wanted_for(50.0) == 10
    log.note(FeedStatus(state="LIVE"), now=NOW, monotonic=60.0)
    assert log.wanted_for(70.0) == 0
