"""Users and their passwords: kept as hashes in a file of this user only, and checked slowly for everybody alike."""

from __future__ import annotations

import io
import json
import stat

import pytest

from tapedeck import cli, users
from tapedeck.errors import ConfigError
from tapedeck.users import OPERATOR, VIEWER, Principal, Users

PASSWORD = "correct horse battery"


@pytest.fixture
def known(tmp_path) -> Users:
    """A file with one operator and one viewer."""
    made = Users(tmp_path / "data")
    made.add("asha", PASSWORD)
    made.add("Bob", "another long one", role=VIEWER)
    return made


def test_a_user_who_was_added_may_log_in_and_nobody_else(known):
    assert known.names() == ["asha", "bob"]
    assert (known.role("asha"), known.role("bob"), known.role("eve")) == (OPERATOR, VIEWER, "")
    assert known.verify("asha", PASSWORD)
    assert known.verify("ASHA", PASSWORD)
    assert not known.verify("asha", PASSWORD + " ")
    assert not known.verify("bob", PASSWORD)
    assert not known.verify("eve", PASSWORD)
    assert not known.verify("asha", "x" * 1_000_000)


def test_the_file_is_of_this_user_only_and_holds_no_password(known):
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(known.path.parent.stat().st_mode) == 0o700
    text = known.path.read_text()
    assert PASSWORD not in text
    found = json.loads(text)["users"]
    assert found["asha"]["salt"] != found["bob"]["salt"]
    assert (found["asha"]["n"], found["asha"]["r"], found["asha"]["p"]) == (2**15, 8, 1)


def test_a_name_nobody_has_costs_as_much_as_one_that_exists(known, monkeypatch):
    costs = []
    monkeypatch.setattr(users, "_scrypt", lambda _password, _salt, cost: costs.append(cost) or b"")
    known.verify("asha", "x")
    known.verify("nobody", "x")
    assert costs[0] == costs[1]


def test_another_process_sees_what_one_changed_and_a_changed_user_has_another_fingerprint(known):
    other = Users(known.path.parent)
    before = other.fingerprint("asha")
    assert before
    assert before != other.fingerprint("bob")
    assert not other.load()
    known.set_password("asha", "a longer horse")
    assert other.load()
    assert other.fingerprint("asha") not in ("", before)
    assert other.verify("asha", "a longer horse")
    known.remove("ASHA", force=True)
    other.load()
    assert other.fingerprint("asha") == ""


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("", PASSWORD, "allowed: 1 to 32"),
        ("a b", PASSWORD, "allowed: 1 to 32"),
        ("../x", PASSWORD, "allowed: 1 to 32"),
        ("x" * 33, PASSWORD, "allowed: 1 to 32"),
        ("asha", PASSWORD, "tapedeck user passwd asha"),
        ("carol", "short", "had 5 characters"),
        ("carol", "abababababab", "repeats"),
        ("carol", "x" * 2000, "had 2000 characters"),
    ],
)
def test_what_is_not_allowed_is_told_and_changes_nothing(known, name, password, words):
    before = known.path.read_text()
    with pytest.raises(ConfigError, match=words) as wrong:
        known.add(name, password)
    assert password not in str(wrong.value)
    assert known.path.read_text() == before


def test_a_user_who_is_not_there_is_told_with_those_who_are(known):
    for change in (lambda: known.remove("eve"), lambda: known.set_password("eve", PASSWORD)):
        with pytest.raises(ConfigError, match="allowed: asha, bob"):
            change()
    with pytest.raises(ConfigError, match="role was 'admin'; allowed: operator, viewer"):
        known.add("eve", PASSWORD, role="admin")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"users": {"a": {}}}', '{"users": {"a": {"role": "root"}}}', '{"users": 3}']
)
def test_a_file_that_is_none_is_an_error_with_the_remedy_and_the_users_known_before_stay(known, text):
    known.path.write_text(text)
    with pytest.raises(ConfigError, match="add the users again"):
        known.load()
    assert known.names() == ["asha", "bob"]
    with pytest.raises(ConfigError, match="no users file"):
        Users(known.path.parent)


def test_a_link_in_its_place_is_not_followed(tmp_path, known):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "users.json").symlink_to(known.path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Users(tmp_path / "other")


def test_an_operator_may_go_while_another_stays_and_a_viewer_always(known):
    known.remove("bob")
    known.add("carol", PASSWORD)
    known.remove("asha")
    with pytest.raises(ConfigError, match="carol is the last operator"):
        known.remove("Carol")
    assert known.names() == ["carol"]


def test_a_folder_that_cannot_be_used_has_no_users_and_takes_none(tmp_path):
    (tmp_path / "data").write_text("")
    found = Users(tmp_path / "data")
    assert (found.names(), found.load()) == ([], False)
    with pytest.raises(ConfigError, match=r"users\.json cannot be written .* set TAPEDECK_DATA to a folder that can"):
        found.add("asha", PASSWORD)


def test_a_viewer_looks_and_an_operator_does_both():
    assert Principal("a", OPERATOR).may(OPERATOR)
    assert Principal("a", OPERATOR).may(VIEWER)
    assert Principal("b", VIEWER).may(VIEWER)
    assert not Principal("b", VIEWER).may(OPERATOR)
    assert "login:" not in repr(Principal("a", VIEWER, key="login:0123"))
    assert PASSWORD not in repr(Users.__repr__)


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """`tapedeck ...` on a data folder of its own; status, output and errors."""
    monkeypatch.setenv("TAPEDECK_DATA", str(tmp_path))

    def run_(*arguments: str, line: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(line))
        status = cli.main(list(arguments))
        return (status, *capsys.readouterr())

    return run_


def test_users_are_added_listed_changed_and_removed_at_the_command_line(run, tmp_path):
    status, said, _ = run("user", "add", "asha", "--password-stdin", line=PASSWORD + "\n")
    assert status == 0
    assert "operator" in said
    assert "started again" in said
    assert run("user", "add", "bob", "--role", "viewer", "--password-stdin", line="another long one\n")[0] == 0
    assert run("user", "list")[1] == "asha\toperator\nbob\tviewer\n"
    assert run("user", "passwd", "asha", "--password-stdin", line="a longer horse\n")[0] == 0
    assert Users(tmp_path).verify("asha", "a longer horse")
    assert run("user", "remove", "bob")[0] == 0
    assert run("user", "list")[1] == "asha\toperator\n"
    status, said, errors = run("user", "remove", "asha")
    assert (status, said) == (1, "")
    assert "asha is the last operator: nobody can log in to Kite then; add another first, or --force" in errors
    assert run("user", "list")[1] == "asha\toperator\n"
    assert run("user", "remove", "asha", "--force")[0] == 0
    assert run("user", "list")[1] == ""


def test_a_password_is_typed_twice_and_never_shown(run, tmp_path, monkeypatch):
    typed = [PASSWORD, PASSWORD, PASSWORD, "a different one"]
    monkeypatch.setattr("getpass.getpass", lambda _prompt: typed.pop(0))
    status, said, errors = run("user", "add", "asha")
    assert status == 0
    assert PASSWORD not in said + errors
    status, said, errors = run("user", "add", "bob")
    assert status == 1
    assert "not the same" in errors
    assert Users(tmp_path).names() == ["asha"]


def test_what_went_wrong_is_told_without_the_password(run):
    status, said, errors = run("user", "add", "asha", "--password-stdin", line="tiny\n")
    assert status == 1
    assert "10 to 1024" in errors
    assert "tiny" not in said + errors
    assert "opens by the address it prints" in run("user", "list")[2]
