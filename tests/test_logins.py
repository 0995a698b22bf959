"""Logins end when nobody uses them, when they are old and when their user is gone; they outlive a restart."""

from __future__ import annotations

import json
import stat

import pytest

from dashboards.logins import ABSOLUTE_S, IDLE_S, MAX_LOGINS, WRITE_EVERY_S, Login, Logins
from tapedeck.clock import SECOND, ManualClock
from tapedeck.users import OPERATOR, VIEWER

pytestmark = pytest.mark.timezones
PORT = 5006


class Desk:
    """A folder, a clock and the fingerprints of the users there are."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.clock = ManualClock(1_795_668_000 * SECOND)
        self.users = {"asha": "one", "bob": "two"}

    def start(self, port: int = PORT) -> Logins:
        return Logins(self.folder, port, self.clock, self._current)

    def _current(self, login: Login) -> bool:
        return self.users.get(login.user) == login.fingerprint


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path / "data")


def test_a_cookie_says_who_is_logged_in_until_they_log_out(desk):
    logins = desk.start()
    first, second = logins.begin("asha", OPERATOR, "one"), logins.begin("bob", VIEWER, "two")
    assert first != second
    asha = logins.find(first)
    assert asha is not None
    assert (asha.user, asha.role, asha.bearer) == ("asha", OPERATOR, False)
    assert logins.find("another") is None
    assert logins.valid(asha.key)
    logins.end(asha.key)
    assert logins.find(first) is None
    assert not logins.valid(asha.key)
    assert logins.find(second) is not None


def test_a_login_ends_when_nobody_uses_it_and_goes_on_while_a_page_is_open(desk):
    logins = desk.start()
    used, unused = logins.begin("asha", OPERATOR, "one"), logins.begin("asha", OPERATOR, "one")
    desk.clock.advance(IDLE_S - 1)
    found = logins.find(used)
    assert found is not None
    desk.clock.advance(1)
    assert logins.find(unused) is None
    desk.clock.advance(IDLE_S - 2)
    logins.touch(found.key)
    desk.clock.advance(IDLE_S - 1)
    assert logins.find(used) is not None


def test_after_a_week_everybody_logs_in_again(desk):
    logins = desk.start()
    number = logins.begin("asha", OPERATOR, "one")
    for _ in range(ABSOLUTE_S // 3600 - 1):
        desk.clock.advance(3600)
        assert logins.find(number) is not None
    desk.clock.advance(3600)
    assert logins.find(number) is None


def test_a_user_who_is_gone_or_changed_is_logged_out(desk):
    logins = desk.start()
    asha, bob = logins.begin("asha", OPERATOR, "one"), logins.begin("bob", VIEWER, "two")
    desk.users["asha"] = "changed"
    del desk.users["bob"]
    logins.expire()
    assert len(logins) == 0
    assert logins.find(asha) is None
    assert logins.find(bob) is None


def test_a_restarted_desk_knows_who_was_logged_in_and_the_file_opens_nothing(desk):
    logins = desk.start()
    stays, leaves = logins.begin("asha", OPERATOR, "one"), logins.begin("bob", VIEWER, "two")
    logins.save(at_once=True)
    file = desk.folder / "logins.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(number in file.read_text() for number in (stays, leaves))
    bob = logins.find(leaves)
    assert bob is not None
    logins.end(bob.key)
    logins.save()
    again = desk.start()
    assert again.find(stays) is not None
    assert again.find(leaves) is None
    desk.clock.advance(IDLE_S)
    assert desk.start().find(stays) is None


def test_desks_on_other_ports_of_the_same_folder_keep_theirs(desk):
    here, there = desk.start(), desk.start(5007)
    ours, theirs = here.begin("asha", OPERATOR, "one"), there.begin("asha", OPERATOR, "one")
    here.save()
    there.save()
    assert desk.start().find(ours) is not None
    assert desk.start().find(theirs) is None
    assert desk.start(5007).find(theirs) is not None


def test_the_time_of_the_last_request_is_not_written_with_every_request(desk):
    logins = desk.start()
    number = logins.begin("asha", OPERATOR, "one")
    logins.save()
    before = (desk.folder / "logins.json").stat().st_ino
    desk.clock.advance(WRITE_EVERY_S)
    logins.find(number)
    logins.save()
    assert (desk.folder / "logins.json").stat().st_ino == before
    desk.clock.advance(1)
    logins.find(number)
    logins.save()
    assert (desk.folder / "logins.json").stat().st_ino != before


def test_of_too_many_logins_the_one_unused_longest_ends(desk):
    logins = desk.start()
    first = logins.begin("asha", OPERATOR, "one")
    for _ in range(MAX_LOGINS):
        desk.clock.advance(1)
        last = logins.begin("asha", OPERATOR, "one")
    assert len(logins) == MAX_LOGINS
    assert logins.find(first) is None
    assert logins.find(last) is not None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"logins": 3}', '{"logins": {"a": {}}}', '{"logins": {"a": {"user": "asha", "role": "root", '
     '"fingerprint": "one", "since": 1, "seen": 1, "port": 5006}}}'],
)  # fmt: skip
def test_a_spoilt_file_logs_everybody_out_and_is_written_anew(desk, text):
    desk.folder.mkdir()
    (desk.folder / "logins.json").write_text(text)
    logins = desk.start()
    assert len(logins) == 0
    number = logins.begin("asha", OPERATOR, "one")
    logins.save()
    assert len(json.loads((desk.folder / "logins.json").read_text())["logins"]) == 1
    assert desk.start().find(number) is not None


def test_a_disk_that_refuses_is_logged_and_the_desk_goes_on(desk, monkeypatch, caplog):
    def full(*_unused: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dashboards.logins.write_private", full)
    logins = desk.start()
    number = logins.begin("asha", OPERATOR, "one")
    logins.save(at_once=True)
    logins.save()
    logins.save()
    assert caplog.text.count("the logins could not be written (No space left on device)") == 1, "once is enough"
    assert logins.find(number) is not None
