"""Bearer tokens: signed by this desk, for this desk, until they expire or are revoked."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapedeck import cli
from tapedeck.bearers import AUDIENCE, MAX_DAYS, Bearers, desk_secret, jwt_secret
from tapedeck.clock import DAY, SECOND, ManualClock
from tapedeck.errors import AccessRefused, ConfigError
from tapedeck.settings_values import is_loopback
from tapedeck.users import OPERATOR, VIEWER

pytestmark = pytest.mark.timezones
SECRET = "a-secret-of-forty-characters-0123456789-abc"
NOW = 1_795_668_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW * SECOND)


@pytest.fixture
def bearers(tmp_path, clock) -> Bearers:
    return Bearers(SECRET, tmp_path, clock)


def claims(**changed: Any) -> dict[str, Any]:
    """What a good token says, with some of it changed, or left out when None."""
    said = {
        "sub": "n", "role": OPERATOR, "scope": "operate", "iat": NOW, "exp": NOW + 60, "jti": "1", "aud": AUDIENCE,
    } | changed  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def sign(said: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(said, secret, algorithm=algorithm)


def test_a_token_says_whose_it_is_until_it_expires(bearers, clock):
    token = bearers.issue("notebook", role=OPERATOR, days=2)
    principal = bearers.verify(token)
    assert (principal.user, principal.role, principal.bearer) == ("notebook", OPERATOR, True)
    assert bearers.verify(bearers.issue("screen")).role == VIEWER
    assert bearers.valid(principal.key)
    clock.set((NOW * SECOND) + 2 * DAY - SECOND)
    assert bearers.verify(token)
    clock.set((NOW * SECOND) + 2 * DAY)
    assert not bearers.valid(principal.key)
    with pytest.raises(AccessRefused, match="expired; make another"):
        bearers.verify(token)


def test_a_revoked_token_is_refused_here_and_in_other_processes_and_stays_so(bearers, tmp_path, clock):
    token, kept = bearers.issue("one"), bearers.issue("two")
    other = Bearers(SECRET, tmp_path, clock)
    key = other.verify(token).key
    number = next(row["jti"] for row in bearers.issued() if row["sub"] == "one")
    bearers.revoke(number)
    other.refresh()
    for desk in (bearers, other, Bearers(SECRET, tmp_path, clock)):
        with pytest.raises(AccessRefused, match="revoked"):
            desk.verify(token)
        assert not desk.valid(key)
        assert desk.verify(kept)
    clock.advance(31 * 86_400)
    bearers.issue("three")
    (later,) = [row["jti"] for row in bearers.issued()]
    bearers.revoke(later)
    bearers.revoke(later)
    assert list(json.loads((tmp_path / "revoked.json").read_text())) == [later], "the expired one is not kept"


def test_a_number_that_was_not_issued_here_is_not_said_to_be_revoked(bearers, tmp_path):
    token = bearers.issue("one")
    with pytest.raises(ConfigError, match=r"^no token 00ff was issued here; `tapedeck token list` shows"):
        bearers.revoke("00ff")
    for malformed in ("", "../x", "00 ff", token, "x" * 80):
        with pytest.raises(ConfigError, match=r"^no token of that number was issued here") as refused:
            bearers.revoke(malformed)
        assert not malformed or malformed[:20] not in str(refused.value)
    assert not (tmp_path / "revoked.json").exists()
    assert bearers.verify(token)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"aud": "another"}, "InvalidAudience"),
        ({"aud": None}, "MissingRequiredClaim"),
        ({"exp": None}, "MissingRequiredClaim"),
        ({"jti": None}, "MissingRequiredClaim"),
        ({"sub": None}, "MissingRequiredClaim"),
        ({"role": None}, "MissingRequiredClaim"),
        ({"exp": NOW}, "expired"),
        ({"exp": 1e300}, "does not know"),
        ({"exp": "9999999999"}, "does not know"),
        ({"exp": True}, "does not know"),
        ({"iat": NOW + 3600}, "future"),
        ({"role": "root"}, "does not know"),
        ({"role": ["operator"]}, "does not know"),
        ({"sub": ""}, "does not know"),
    ],
)
def test_a_token_that_says_something_else_is_refused(bearers, changed, why):
    with pytest.raises(AccessRefused, match=why):
        bearers.verify(sign(claims(**changed)))


def test_a_token_that_may_only_read_makes_an_operator_a_viewer(bearers):
    assert bearers.verify(sign(claims())).role == OPERATOR
    assert bearers.verify(sign(claims(scope="read"))).role == VIEWER
    assert bearers.verify(sign(claims(role=VIEWER))).role == VIEWER


def test_a_token_signed_by_another_or_by_nobody_is_refused_and_not_quoted(bearers):
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    good = sign(claims())
    head, body, signature = good.split(".")
    bad = [
        sign(claims(), "b" + SECRET[1:]),
        sign(claims(), SECRET * 2, "HS512"),
        sign(claims(), SECRET * 2, "HS384"),
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        f"{part({'alg': 'None'})}.{body}.{signature}",
        f"{part({'alg': 'HS256', 'b64': False, 'crit': ['b64']})}.{body}.{signature}",
        f"{head}.{part(claims(exp=NOW + 9_999_999))}.{signature}",
        f"{head}.{body}.",
        good[:-2],
        "", ".", "..", "a.b.c", "x" * 5000, "ü",
    ]  # fmt: skip
    for token in bad:
        with pytest.raises(AccessRefused) as refused:
            bearers.verify(token)
        assert not token or len(token) < 3 or token not in str(refused.value)
        assert refused.value.__cause__ is None
    assert bearers.verify(good)


@given(token=st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_no_text_opens_the_desk_or_breaks_it(token, tmp_path_factory):
    desk = Bearers(SECRET, tmp_path_factory.getbasetemp() / "none", ManualClock(NOW * SECOND))
    with pytest.raises(AccessRefused):
        desk.verify(token)


def test_a_list_of_revoked_tokens_that_cannot_be_read_closes_the_door(bearers, tmp_path, caplog):
    token = bearers.issue("one")
    (tmp_path / "revoked.json").write_text("not json")
    bearers.refresh()
    with pytest.raises(AccessRefused, match="cannot be read"):
        bearers.verify(token)
    (tmp_path / "revoked.json").write_text("{}")
    bearers.refresh()
    assert bearers.verify(token)


@pytest.mark.parametrize("days", [0, -1, MAX_DAYS + 1])
def test_days_and_names_have_bounds(bearers, days):
    with pytest.raises(ConfigError, match="allowed: 1 to 366"):
        bearers.issue("x", days=days)
    for name in ("", "x" * 65, "a\nb"):
        with pytest.raises(ConfigError, match="1 to 64"):
            bearers.issue(name)
    with pytest.raises(ConfigError, match="token list"):
        bearers.revoke("../x")
    with pytest.raises(ConfigError, match="allowed: operator, viewer"):
        bearers.issue("x", role="root")


def test_what_is_kept_of_a_token_opens_nothing(bearers, tmp_path):
    token = bearers.issue("one")
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert token.rsplit(".", 1)[1] not in file.read_text()
        assert SECRET not in file.read_text()
    assert SECRET not in repr(bearers) + repr(vars(bearers).keys())


@pytest.mark.parametrize("text", ["not json", "[]", "{", '{"00ff": "soon"}', '{"00ff": {}}', "3"])
def test_a_list_of_tokens_that_is_none_is_told_with_the_remedy(bearers, tmp_path, text):
    for name in ("tokens.json", "revoked.json"):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=f"{name} cannot be read; restore it, or remove it"):
            bearers.revoke("00ff")
        (tmp_path / name).unlink()


# -- the secret --------------------------------------------------------------------------------------------------------


def test_a_loopback_desk_makes_its_own_secret_once(tmp_path):
    made = jwt_secret("", tmp_path / "data", loopback=True)
    assert len(made) >= 48
    assert jwt_secret("", tmp_path / "data", loopback=True) == made
    assert stat.S_IMODE((tmp_path / "data" / "jwt_secret").stat().st_mode) == 0o600
    assert jwt_secret("", tmp_path / "other", loopback=True) != made
    assert jwt_secret(SECRET, tmp_path / "data", loopback=True) == SECRET
    (tmp_path / "data" / "jwt_secret").write_text("")
    assert len(jwt_secret("", tmp_path / "data", loopback=True)) >= 48


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/none"])
def test_a_desk_whose_folder_cannot_be_used_signs_with_a_secret_of_this_run(tmp_path, caplog, place):
    (tmp_path / "file").write_text("")
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "data"}.get(place, Path(place))
    with pytest.raises(ConfigError, match=r"jwt_secret cannot be written .* set TAPEDECK_DATA to a folder that can"):
        jwt_secret("", folder, loopback=True)
    made = desk_secret("", folder, loopback=True)
    assert len(made) >= 48
    assert made != desk_secret("", folder, loopback=True)
    assert "end with it" in caplog.text
    assert made not in caplog.text
    assert desk_secret(SECRET, folder, loopback=False) == SECRET
    with pytest.raises(ConfigError, match="JWT_SECRET"):
        desk_secret("", folder, loopback=False)
    desk = Bearers(made, folder, ManualClock(NOW * SECOND))
    with pytest.raises(ConfigError, match=r"tokens\.json cannot be written"):
        desk.issue("one")


def test_a_weak_secret_signs_nothing(tmp_path, caplog):
    for weak in ("changeme", "x" * 64, "abcabcabcabcabcabcabcabcabcabcabcabcabc"):
        assert jwt_secret(weak, tmp_path, loopback=True) != weak
        assert weak not in caplog.text
        with pytest.raises(ConfigError, match="token_urlsafe") as refused:
            jwt_secret(weak, tmp_path, loopback=False)
        assert weak not in str(refused.value)
    with pytest.raises(ConfigError, match="JWT_SECRET"):
        jwt_secret("", tmp_path, loopback=False)


def test_what_can_be_reached_from_this_machine_only():
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.evil", "", "127.1"))


# -- the command line --------------------------------------------------------------------------------------------------


def test_tokens_are_made_listed_and_revoked_at_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TAPEDECK_DATA", str(tmp_path))
    assert cli.main(["token", "create", "--role", "operator", "--days", "3", "--name", "my notebook"]) == 0
    token = capsys.readouterr().out.strip()
    assert cli.main(["token", "list"]) == 0
    listed = capsys.readouterr().out
    assert "operator" in listed
    assert "my notebook" in listed
    assert token not in listed
    number = listed.split("\t")[0]
    assert cli.main(["token", "revoke", number]) == 0
    capsys.readouterr()
    assert cli.main(["token", "list"]) == 0
    assert "revoked" in capsys.readouterr().out
    assert cli.main(["token", "revoke", "00ff"]) == 1
    said = capsys.readouterr()
    assert (said.out, "no token 00ff was issued here" in said.err) == ("", True)
    assert cli.main(["token", "create", "--days", "0"]) == 1
    assert "1 to 366" in capsys.readouterr().err
