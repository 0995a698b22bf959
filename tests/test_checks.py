"""Every check, broken by itself: what it says and the exact remedy; and nothing secret is in any of it."""

from __future__ import annotations

import errno
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tapedeck import checks
from tapedeck.check_probes import ProbeFailed, Probes, RedisAnswer, ahead_s, ask_redis, inside_container
from tapedeck.check_report import ALL_VALID, Report, Row, build_report
from tapedeck.checks import check
from tapedeck.clock import SECOND, ManualClock, SystemClock, ist_ns
from tapedeck.errors import ConfigError, KiteError, LoginRequired, NetworkFailed, PermissionDenied
from tapedeck.kite.login import Credentials, TokenFile
from tapedeck.settings import SETTINGS, Settings, load
from tests.redis_server import RedisServer, free_port
from tests.sim_support import Sim

KEY, SECRET = "kq8v3x1m5t7z9w2b", "n4j6h8f0d2s1a3p5o7i9u1y2t4r6e8w0"
KITE = {"ZERODHA_API_KEY": KEY, "ZERODHA_API_SECRET": SECRET}
NOON = ManualClock(ist_ns(date(2026, 11, 23), "12:00"))
LOG_IN = "Log in: LOGIN in the app bar, or `tapedeck login`"
HOURS = "Install a newer Tapedeck, or name a file with the coming year in TAPEDECK_SESSIONS (docs/sessions.md)"


def fails(error: Exception) -> Callable[..., Any]:
    """A probe that raises it."""

    def probe(*_: object) -> Any:
        raise error

    return probe


def gives(value: Any) -> Callable[..., Any]:
    """A probe that answers it."""
    return lambda *_: value


def healthy(**changed: Callable[..., Any]) -> Probes:
    """A world in which all is well, but for what is named."""
    well: dict[str, Callable[..., Any]] = {
        "ask_redis": gives(RedisAnswer("7.2.4", "", 0.0)),
        "fetch_kite_ahead": gives(0.0),
        "fetch_profile": gives(None),
        "try_writing": gives(None),
        "try_listening": gives(None),
        "load_users": gives([]),
        "find_broken": gives([]),
        "inside_container": gives(False),
        "load_token": gives(Credentials(KEY, "token")),
        "coverage": gives((date(2024, 1, 1), date(2026, 12, 31))),
    }
    return Probes(**(well | changed))


def checked(environment: dict[str, str], *, ask_kite: bool = False, **changed: Callable[..., Any]) -> Report:
    """The report of these settings in a healthy world, but for what is named."""
    return check(load(environment), clock=NOON, ask_kite=ask_kite, probes=healthy(**changed))


def only(report: Report) -> Row:
    """The one row that is not ok."""
    wrong = [row for row in report.rows if row.level != "ok"]
    assert len(wrong) == 1, wrong
    return wrong[0]


def row(report: Report, name: str) -> Row:
    return next(row for row in report.rows if row.name == name)


# -- the report --------------------------------------------------------------------------------------------------------


def test_a_healthy_desk_has_a_row_for_every_setting_and_every_check():
    report = checked(KITE | {"REDIS_URL": "redis://db.test:6379/0"}, ask_kite=True)
    assert (report.worst, report.errors, report.warnings, report.counts) == ("ok", (), (), "")
    names = [row.name for row in report.rows]
    assert names[: len(SETTINGS)] == [setting.name for setting in SETTINGS]
    assert names[len(SETTINGS) :] == [
        "container", "data folder", "address", "access", "Redis", "clock", "calendar", "Kite token", "Kite",
    ]  # fmt: skip
    assert report.summary == ALL_VALID
    assert row(report, "Kite").message == "accepts the saved token"


def test_what_is_not_set_says_what_it_comes_to():
    report = checked({"TAPEDECK_PORT": "6000"})
    assert row(report, "ZERODHA_API_KEY").message == "is not set: the market is simulated"
    assert row(report, "JWT_SECRET").message == "is made by the desk itself and kept in its data folder"
    assert row(report, "FRONTEND_URL").message == "is http://127.0.0.1:6000"
    assert row(report, "REDIRECT_URL").message == (
        "is http://127.0.0.1:6000/api/auth/callback: register that with Kite"
    )
    assert row(report, "Redis").message == "is not used: desks of this machine share without it"


def test_every_problem_is_in_one_report():
    report = checked(
        {"TAPEDECK_PORT": "eighty", "TAPEDECK_PROT": "1", "JWT_SECRET": "short", "REDIS_URL": "redis://db.test"},
        try_writing=fails(PermissionError(errno.EACCES, "Permission denied")),
        ask_redis=fails(ProbeFailed("could not be reached")),
    )
    assert [row.name for row in report.errors] == ["JWT_SECRET", "TAPEDECK_PORT", "data folder", "Redis"]
    assert [row.name for row in report.warnings] == ["TAPEDECK_PROT"]
    assert report.worst == "error"
    assert report.summary == "Settings and checks: 4 errors, 1 warning"


def test_the_table_has_a_line_for_every_row_and_one_for_every_remedy():
    report = checked({"TAPEDECK_PORT": "eighty"})
    lines = report.table().splitlines()
    assert len(lines) == len(report.rows) + 1
    assert len({line.index(" default ") for line in lines if " default " in line}) == 1
    short = report.table(every=False).splitlines()
    words = "error TAPEDECK_PORT 'eighty' environment was 'eighty'; allowed: 0 to 65535 (0 = any free port)"
    assert " ".join(short[0].split()) == words
    assert short[1] == "       -> Correct TAPEDECK_PORT or remove it; until then 5006 is used"
    assert len(short) == 2


def test_a_report_is_text_a_terminal_cannot_be_led_astray_by():
    report = build_report([Row("ok", "X", "a\nb", "s", "two\nlines \x1b[31m")])
    assert report.table() == "ok  X  a b  s  two lines ?[31m"
    found = load({"TAPEDECK_DATA": "data\x1b[31m"}).found["TAPEDECK_DATA"]
    assert "\x1b" not in found.value


def test_the_document_says_the_same_as_the_table():
    report = checked({"TAPEDECK_PROT": "1"})
    document = json.loads(json.dumps(report.document()))
    assert document["worst"] == "warning"
    assert document["summary"] == f"{ALL_VALID}; 1 warning"
    assert [Row(**row) for row in document["rows"]] == list(report.rows)


def test_settings_made_in_code_are_checked_as_well():
    report = check(Settings(api_key=KEY, api_secret=SECRET), clock=NOON, probes=healthy())
    assert report.worst == "ok"
    assert row(report, "ZERODHA_API_SECRET")[:4] == ("ok", "ZERODHA_API_SECRET", "***", "argument")


# -- the data folder ---------------------------------------------------------------------------------------------------


def test_a_folder_that_may_not_be_written_to(tmp_path):
    found = only(
        checked({"TAPEDECK_DATA": "/srv/desk"}, try_writing=fails(PermissionError(errno.EACCES, "Permission denied")))
    )
    assert (found.level, found.message) == ("error", "cannot be written to: Permission denied")
    assert found.remedy == (
        f"Make /srv/desk a folder that user {os.geteuid()} may write to, or set TAPEDECK_DATA to one"
    )


def test_a_full_disk():
    found = only(checked({}, try_writing=fails(OSError(errno.ENOSPC, "No space left on device"))))
    assert found.message == "cannot be written to: No space left on device"
    assert found.remedy == "Free space on the disk of data, or set TAPEDECK_DATA to a folder on another"


def test_a_file_in_the_place_of_the_folder_is_found_out_by_writing(tmp_path):
    (tmp_path / "data").write_text("")
    probes = healthy(try_writing=Probes().try_writing)
    found = only(check(load({"TAPEDECK_DATA": str(tmp_path / "data")}), clock=NOON, probes=probes))
    assert (found.name, found.message) == ("data folder", "cannot be written to: Not a directory")


def test_trying_a_folder_leaves_nothing_behind_and_makes_none(tmp_path):
    Probes().try_writing(tmp_path)
    Probes().try_writing(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_the_secret_is_said_to_be_of_one_run():
    report = checked({}, try_writing=fails(PermissionError(errno.EACCES, "Permission denied")))
    assert row(report, "JWT_SECRET").message == (
        "is made by the desk itself and good for one run: the data folder cannot be written to"
    )


# -- who may enter, and where ------------------------------------------------------------------------------------------

OPEN = {
    "TAPEDECK_HOST": "192.0.2.7", "FRONTEND_URL": "https://desk.test", "JWT_SECRET": "kQ9xV2mT7zW4bN6cR8yPkJ3hG5fD1sA0",
}  # fmt: skip


def test_a_desk_open_to_others_without_users_would_not_start():
    found = only(checked(OPEN))
    assert (found.level, found.name) == ("error", "access")
    assert found.message == "is open to all who reach 192.0.2.7, so the start is refused"
    assert found.remedy == "Add a user: `tapedeck user add NAME`"
    assert row(checked(OPEN, load_users=gives(["asha"])), "access")[:3] == ("ok", "access", "1 user")
    assert row(checked({}), "access").message == "is by the address that the start prints"


def test_an_address_that_is_not_this_machines():
    probes = healthy(try_listening=Probes().try_listening, load_users=gives(["asha"]))
    found = only(check(load(OPEN), clock=NOON, probes=probes))
    assert (found.level, found.name, found.value) == ("error", "address", "192.0.2.7")
    assert found.message == "cannot be listened on: Cannot assign requested address"
    assert found.remedy == "Set TAPEDECK_HOST to an address of this machine, such as 127.0.0.1"
    for host in ("127.0.0.1", "localhost"):
        assert check(load({"TAPEDECK_HOST": host}), clock=NOON, probes=probes).worst == "ok"
    found = only(check(load(OPEN | {"TAPEDECK_HOST": "a..b"}), clock=NOON, probes=probes))
    assert found.message == "cannot be listened on: is no name of a host"


@pytest.mark.parametrize(
    ("name", "level", "message", "remedy"),
    [
        ("users.json", "error", "cannot be decided: users.json is no users file",
         "Remove it and add the users again"),
        ("revoked.json", "error", "cannot be read, so no token is taken",
         "Restore it, or remove it and take another JWT_SECRET"),
        ("tokens.json", "error", "cannot be read, so no token can be made, listed or revoked",
         "Restore it, or remove it and take another JWT_SECRET"),
        ("logins.json", "warning", "cannot be read, so everybody logs in again", "Remove {folder}/logins.json"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ["{", "[]", "3", "\xff"])
def test_a_broken_file_of_those_who_may_enter(tmp_path, name, level, message, remedy, text):
    (tmp_path / name).write_text(text, encoding="latin-1")
    probes = healthy(load_users=Probes().load_users, find_broken=Probes().find_broken)
    found = only(check(load({"TAPEDECK_DATA": str(tmp_path)}), clock=NOON, probes=probes))
    assert (found.level, found.name) == (level, "access" if name == "users.json" else name)
    assert (found.source, found.message) == (str(tmp_path / name), message)
    assert found.remedy == remedy.format(folder=tmp_path)


# -- Redis -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path_factory.mktemp("redis"))
    yield one
    one.stop()


@pytest.mark.parametrize("by", ["port", "socket"])
def test_a_real_server_says_its_version_and_time(server, by):
    url = server.url if by == "port" else f"unix://{server.socket}"
    answer = ask_redis(url, SystemClock())
    assert tuple(map(int, answer.version.split(".")[:2])) >= (7, 0)
    assert abs(answer.ahead_s) < 1
    report = check(load({"REDIS_URL": url}), clock=NOON, probes=healthy(ask_redis=gives(answer)))
    assert report.worst == "ok"
    assert row(report, "Redis").message.startswith("is Valkey ")
    assert row(report, "clock").message == "is within 2 s of Redis"


def test_nobody_listens():
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    found = only(check(load({"REDIS_URL": url}), clock=NOON, probes=healthy(ask_redis=ask_redis)))
    assert (found.level, found.name, found.message) == ("error", "Redis", "could not be reached")
    assert found.remedy == "Start Redis or correct REDIS_URL; without it this desk shares with its own machine only"
    assert "hunter2" not in str(found)


def test_a_password_that_is_wrong_or_missing(tmp_path):
    server = RedisServer(tmp_path, "--requirepass", "right")
    try:
        for url in (server.url, server.url.replace("redis://", "redis://:wrong@")):
            found = only(check(load({"REDIS_URL": url}), clock=NOON, probes=healthy(ask_redis=ask_redis)))
            assert found.message == "refused the user or the password"
            assert "wrong" not in str(found)
        url = server.url.replace("redis://", "redis://:right@")
        assert check(load({"REDIS_URL": url}), clock=NOON, probes=healthy(ask_redis=ask_redis)).errors == ()
    finally:
        server.stop()


def test_an_old_server():
    found = only(checked({"REDIS_URL": "redis://db.test"}, ask_redis=gives(RedisAnswer("6.2.14", "", 0.0))))
    assert (found.level, found.message) == ("error", "is Redis 6.2.14; allowed: 7.0 or newer")
    assert found.remedy == "Install Redis 7.0 or newer, such as the image redis:7"


@pytest.mark.parametrize("version", ["", "unknown", "6", "7", "10.0.1"])
def test_a_version_that_cannot_be_read_is_not_taken_for_a_new_one(version):
    report = checked({"REDIS_URL": "redis://db.test"}, ask_redis=gives(RedisAnswer(version, "", 0.0)))
    assert (report.worst == "ok") == (version in ("7", "10.0.1"))


def test_localhost_inside_a_container():
    report = checked(
        {"REDIS_URL": "redis://localhost:6379/0"},
        inside_container=gives(True),
        ask_redis=fails(ProbeFailed("could not be reached")),
    )
    assert [(row.name, row.remedy) for row in report.errors] == [
        ("REDIS_URL", "REDIS_URL=redis://redis:6379/0"),
        ("Redis", "REDIS_URL=redis://redis:6379/0"),
    ]
    assert report.errors[0].message == "names localhost, which inside a container is the container itself"


def test_localhost_inside_a_container_where_redis_answers_all_the_same_is_a_warning():
    found = only(checked({"REDIS_URL": "redis://localhost:6379/0"}, inside_container=gives(True)))
    assert (found.level, found.name, found.remedy) == ("warning", "REDIS_URL", "REDIS_URL=redis://redis:6379/0")


def test_a_container_is_known_by_what_it_leaves(tmp_path):
    assert not inside_container(tmp_path)
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/cgroup").write_text("0::/init.scope\n")
    assert not inside_container(tmp_path)
    (tmp_path / "proc/1/cgroup").write_text("12:memory:/kubepods/pod1\n")
    assert inside_container(tmp_path)
    (tmp_path / "proc/1/cgroup").unlink()
    (tmp_path / ".dockerenv").touch()
    assert inside_container(tmp_path)


# -- clock and calendar ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "words"), [(3.24, "is 3.2 s ahead of Redis"), (-4.0, "is 4.0 s behind Redis")])
def test_a_clock_that_is_off(ahead, words):
    found = only(checked({"REDIS_URL": "redis://db.test"}, ask_redis=gives(RedisAnswer("7.0.0", "", ahead))))
    assert (found.level, found.name, found.message) == ("warning", "clock", f"{words}; allowed: 2 s")
    assert found.remedy == "Set the clock: sudo timedatectl set-ntp true"


def test_a_clock_that_kite_finds_off_when_it_is_asked():
    assert only(checked({}, ask_kite=True, fetch_kite_ahead=gives(-2.5))).message == (
        "is 2.5 s behind Kite; allowed: 2 s"
    )
    assert checked({}, fetch_kite_ahead=fails(AssertionError())).worst == "ok"


def test_a_kite_that_nobody_is_at_has_no_time():
    environment = {"TAPEDECK_KITE_REST": f"http://127.0.0.1:{free_port()}"}
    probes = healthy(fetch_kite_ahead=Probes().fetch_kite_ahead)
    found = only(check(load(environment), clock=NOON, ask_kite=True, probes=probes))
    assert (found.level, found.name) == ("warning", "clock")
    assert found.message == "could not be compared with Kite, which could not be reached (ConnectionError)"
    assert found.remedy == "Check the network and TAPEDECK_KITE_REST"


def test_what_the_way_there_and_back_may_hide_is_not_held_against_the_clock():
    assert ahead_s(0, 4 * SECOND, 0, 0) == 0.0
    assert ahead_s(10 * SECOND, 10 * SECOND, 7 * SECOND, SECOND) == 2.0
    assert ahead_s(0, 2 * SECOND, 5 * SECOND, 0) == -3.0


@pytest.mark.timezones
@pytest.mark.parametrize(
    ("last", "message"),
    [
        (date(2026, 12, 23), None),
        (date(2026, 12, 22), "ends in 29 days; allowed: 30 or more"),
        (date(2026, 11, 23), "ends in 0 days; allowed: 30 or more"),
        (date(2026, 11, 22), "does not know 2026-11-23: every weekday counts as a plain trading day"),
    ],
)
def test_a_calendar_that_ends(last, message):
    # 23:59 in India is another date in New York.
    clock = ManualClock(ist_ns(date(2026, 11, 23), "23:59"))
    report = check(load({}), clock=clock, probes=healthy(coverage=gives((date(2024, 1, 1), last))))
    if message is None:
        assert row(report, "calendar").message == "knows the next 30 days"
    else:
        assert only(report)[4:] == (message, HOURS)


def test_a_calendar_that_cannot_be_read():
    found = only(checked({}, coverage=fails(ConfigError("session facts (own.yaml): bad"))))
    assert (found.level, found.message) == ("error", "cannot be read: session facts (own.yaml): bad")


# -- Kite --------------------------------------------------------------------------------------------------------------


def test_kite_is_asked_only_when_told_to_and_only_with_a_key():
    asked = fails(AssertionError("asked"))
    assert row(checked(KITE, fetch_profile=asked), "Kite").message == "was not asked; --kite does"
    assert row(checked({}, ask_kite=True, fetch_profile=asked), "Kite").message == (
        "is not used: the market is simulated"
    )


def test_a_key_that_may_not_be_sent_is_not_sent():
    report = checked(KITE | {"TAPEDECK_KITE_REST": "nowhere"}, ask_kite=True, fetch_profile=fails(AssertionError()))
    found = row(report, "Kite")
    assert (found.level, found.remedy) == ("error", "Correct that setting first")
    assert found.message.startswith("is not contacted: TAPEDECK_KITE_REST was 'nowhere'")


@pytest.mark.parametrize(
    ("error", "message", "remedy"),
    [
        (LoginRequired("Kite says: no"), "refused the saved token: Kite says: no", LOG_IN),
        (NetworkFailed("Kite did not answer in time"), "did not accept a request: Kite did not answer in time",
         "Check the network and TAPEDECK_KITE_REST"),
        (PermissionDenied("Kite says: plan"), "did not accept a request: Kite says: plan",
         "Check what the app may do at https://developers.kite.trade/apps"),
    ],
)  # fmt: skip
def test_a_token_that_kite_does_not_take(error: KiteError, message, remedy):
    found = only(checked(KITE, ask_kite=True, fetch_profile=fails(error)))
    assert (found.level, found.name, found.message, found.remedy) == ("error", "Kite", message, remedy)


def test_no_token_is_nothing_wrong_until_kite_is_to_be_asked():
    assert row(checked(KITE, load_token=gives(None)), "Kite token").message == "is not there yet: nobody has logged in"
    found = only(checked(KITE, ask_kite=True, load_token=gives(None)))
    assert found[0] == "warning"
    assert found[4:] == ("is not there, so Kite was not asked", LOG_IN)


def test_a_token_of_another_key():
    found = only(checked(KITE, load_token=gives(Credentials("other", "token"))))
    assert (found.level, found.message, found.remedy) == ("warning", "is of another API key", LOG_IN)


def test_a_token_file_that_is_none(tmp_path):
    (tmp_path / "token.json").write_text("{}")
    probes = healthy(load_token=Probes().load_token)
    found = only(check(load(KITE | {"TAPEDECK_DATA": str(tmp_path)}), clock=NOON, probes=probes))
    assert (found.level, found.name) == ("error", "Kite token")
    assert found.remedy == f"Remove {tmp_path / 'token.json'} and log in again"


def test_the_simulated_exchange_takes_its_own_token_and_no_other(tmp_path):
    with Sim(beating=True) as sim:
        websocket = sim.address.replace("http", "ws", 1)
        environment = {"ZERODHA_API_KEY": "simkey", "ZERODHA_API_SECRET": "simsecret", "TAPEDECK_DATA": str(tmp_path)}
        environment |= {"TAPEDECK_KITE_REST": sim.address, "TAPEDECK_KITE_WS": websocket}
        tokens = TokenFile(tmp_path / "token.json")
        tokens.save(Credentials("simkey", sim.kite().access_token))

        def kite() -> Row:
            return row(check(load(environment), clock=SystemClock(), ask_kite=True), "Kite")

        report = check(load(environment), clock=SystemClock(), ask_kite=True)
        assert row(report, "clock").message == "is within 2 s of Kite"
        assert kite().message == "accepts the saved token"
        tokens.save(Credentials("simkey", "forged"))
        assert kite().message.startswith("refused the saved token: Kite says:")
        assert "forged" not in str(kite())


# -- it holds up, whatever happens -------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", list(Probes.__dataclass_fields__))
def test_a_probe_that_fails_in_an_unforeseen_way_is_told_by_its_kind_alone(probe):
    broken = {probe: fails(RuntimeError("hunter2"))}
    report = checked(KITE | {"REDIS_URL": "redis://db.test"}, ask_kite=True, **broken)
    assert "hunter2" not in report.table()
    assert ("failed (RuntimeError)" in report.table()) == (probe != "inside_container")


def test_a_probe_that_hangs_is_reported_and_left_behind(monkeypatch):
    monkeypatch.setattr(checks, "LIMIT_S", 0.05)
    hold = threading.Event()
    try:
        found = only(checked({}, try_writing=lambda _: hold.wait()))
    finally:
        hold.set()
    assert found.message == "cannot be written to: did not answer within 0.05 s"


def test_no_secret_is_in_any_form_of_the_report(tmp_path):
    hidden = [secrets.token_urlsafe(40) for _ in range(4)]
    environment = {
        "ZERODHA_API_KEY": KEY,
        "ZERODHA_API_SECRET": hidden[0],
        "JWT_SECRET": hidden[1],
        "REDIS_URL": f"redis://me:{hidden[2]}@127.0.0.1:{free_port()}/0",
        "TAPEDECK_DATA": str(tmp_path),
    }
    TokenFile(tmp_path / "token.json").save(Credentials(KEY, hidden[3]))
    (tmp_path / ".env").write_text(f"ZERODHA_API_SECERT={hidden[0]}\n{hidden[1]}\n")
    settings = load(environment, folder=tmp_path)
    for container in (True, False):
        probes = Probes(inside_container=gives(container))
        report = check(settings, clock=SystemClock(), probes=probes)
        shown = report.table() + json.dumps(report.document()) + repr(report) + repr(settings) + str(settings.problems)
        assert not any(secret in shown for secret in hidden)


def test_a_check_writes_to_no_place_but_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(load({}), clock=SystemClock())
    assert list(Path().iterdir()) == []
