"""Fixtures: a desk with users and one without, browsers at it, and everything they were told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from tapedeck.users import OPERATOR, VIEWER, Users
from tests.access_support import JWT_CANARY, PASSWORDS, START, Heard
from tests.inside import Inside
from tests.support import wait_until
from tests.visitor import Visitor


@pytest.fixture(scope="module")
def heard() -> Iterator[Heard]:
    kept, root = Heard(), logging.getLogger()
    before = root.level
    root.addHandler(kept.handler)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(kept.handler)
    root.setLevel(before)


@pytest.fixture(scope="module")
def desk(tmp_path_factory, heard) -> Iterator[Inside]:
    """A desk with users: two operators' and two viewers' names."""
    folder = tmp_path_factory.mktemp("desk")
    users = Users(folder)
    for name, password in PASSWORDS.items():
        users.add(name, password, role=OPERATOR if name == "asha" else VIEWER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        (folder / "jwt_secret").write_text(JWT_CANARY)
        running = Inside(folder, sim_start=START)
        wait_until(lambda: running.get("/readyz").status_code == 200)
        yield running
        running.close()


@pytest.fixture
def visit(desk, heard) -> Callable[..., Visitor]:
    """A new browser at the desk, logged in when a name is given."""

    def visit_(name: str = "") -> Visitor:
        visitor = Visitor(desk.address, heard.answers)
        if name:
            assert visitor.log_in(name, PASSWORDS[name]).status_code == 303
            assert visitor.cookie
        return visitor

    return visit_


@pytest.fixture(scope="module")
def single(tmp_path_factory, heard) -> Iterator[Inside]:
    """A desk without users."""
    folder = tmp_path_factory.mktemp("single")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        running = Inside(folder, sim_start=START)
        yield running
        running.close()
