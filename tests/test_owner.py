"""One process on a machine owns the connection; the lock ends with it, however it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from tapedeck.errors import ConfigError, FeedError, FeedOwned
from tapedeck.kite.owner import OwnerLock
from tapedeck.kite.private import private_folder, runtime_folder
from tests.support import wait_until

UPSTREAM = "wss://ws.kite.trade"
KEY = "abcdefgh12345678"

HOLDER = """
import sys
from tapedeck.kite.owner import OwnerLock
lock = OwnerLock(sys.argv[1], sys.argv[2], folder=sys.argv[3])
lock.acquire()
if len(sys.argv) > 4:
    lock.publish_address(sys.argv[4], "bearer-of-the-holder")
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.readline()
"""

FORKER = """
import os, subprocess, sys
from tapedeck.errors import FeedOwned
from tapedeck.kite.owner import OwnerLock
upstream, key, folder = sys.argv[1:]
lock = OwnerLock(upstream, key, folder=folder)
lock.acquire()
child = os.fork()
if child == 0:
    try:
        OwnerLock(upstream, key, folder=folder).acquire()
    except FeedOwned:
        held = lock.held
        lock.release()
        os._exit(2 if held else 0)
    os._exit(1)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("held", lock.held)
other = "import sys; from tapedeck.kite.owner import OwnerLock; OwnerLock(*sys.argv[1:3], folder=sys.argv[3]).acquire()"
print("elsewhere", subprocess.run([sys.executable, "-c", other, upstream, key, folder], capture_output=True).returncode)
"""


def another_process(folder) -> str:
    """What another process that wants the connection is told, empty when it got it."""
    command = [sys.executable, "-c", HOLDER, UPSTREAM, KEY, str(folder)]
    return subprocess.run(command, input="", capture_output=True, text=True, check=False).stderr


@pytest.fixture
def folder(tmp_path):
    return private_folder(tmp_path / "locks")


@pytest.fixture
def lock(folder):
    lock = OwnerLock(UPSTREAM, KEY, folder=folder)
    yield lock
    lock.release()


@pytest.fixture
def holder(folder):
    """Start another process that owns the connection."""
    processes = []

    def start(*more: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, UPSTREAM, KEY, str(folder), *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def takes(lock: OwnerLock) -> bool:
    try:
        lock.acquire()
    except FeedOwned:
        return False
    return True


def test_a_second_process_is_refused_and_told_where_the_first_one_listens(lock, holder):
    holder("http://127.0.0.1:5006/")
    with pytest.raises(FeedOwned, match=r"another process.*listens at http://127\.0\.0\.1:5006/") as caught:
        lock.acquire()
    assert caught.value.address == "http://127.0.0.1:5006/"
    assert "bearer-of" not in str(caught.value)
    address = lock.read_address()
    assert (address.url, address.bearer) == ("http://127.0.0.1:5006/", "bearer-of-the-holder")
    assert "bearer-of" not in repr(address)


def test_an_owner_that_has_not_said_where_it_listens_owns_all_the_same(lock, holder):
    holder()
    with pytest.raises(FeedOwned, match="not said yet") as caught:
        lock.acquire()
    assert caught.value.address == ""


def test_a_killed_owner_leaves_the_lock_and_its_address_is_forgotten(lock, holder):
    process = holder("http://127.0.0.1:5006/")
    assert not takes(lock)
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: takes(lock), timeout=5)
    assert lock.read_address() is None


def test_a_stopped_owner_keeps_the_lock(lock, holder):
    process = holder()
    process.send_signal(signal.SIGSTOP)
    assert not takes(lock)
    process.send_signal(signal.SIGCONT)


def test_a_released_lock_can_be_taken_at_once(lock, holder):
    process = holder("http://127.0.0.1:5006/")
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "released\n"
    lock.acquire()
    assert lock.held
    assert lock.read_address() is None


def test_the_same_process_is_refused_too_and_keeps_what_it_has(lock, folder, holder):
    lock.acquire()
    for _ in range(3):
        with pytest.raises(FeedOwned, match="this process"):
            OwnerLock(UPSTREAM, KEY, folder=folder).acquire()
    assert lock.held
    # Had any of them closed the lock file, another process could take it now.
    assert "FeedOwned" in another_process(folder)


def test_reading_the_address_does_not_lose_the_lock(lock, folder, holder):
    lock.acquire()
    lock.publish_address("http://127.0.0.1:5006/", "secret")
    assert lock.read_address().bearer == "secret"
    said = another_process(folder)
    assert "listens at http://127.0.0.1:5006/" in said
    assert "secret" not in said


def test_taking_it_twice_through_one_object_is_harmless(lock):
    lock.acquire()
    lock.acquire()
    lock.release()
    lock.release()
    assert not lock.held
    assert takes(lock)


def test_threads_that_race_for_it_find_one_winner(folder):
    locks = [OwnerLock(UPSTREAM, KEY, folder=folder) for _ in range(16)]
    won = []
    gate = threading.Barrier(len(locks))

    def race(lock):
        gate.wait(5)
        if takes(lock):
            won.append(lock)

    threads = [threading.Thread(target=race, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].release()


def test_a_forked_child_neither_holds_nor_drops_it(folder):
    # In a process of its own: forking one that has threads is a warning, and pytest's timeout is a thread.
    command = [sys.executable, "-c", FORKER, UPSTREAM, KEY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "child 0\nheld True\nelsewhere 1\n", "")


def test_other_upstreams_and_other_keys_have_their_own_locks(folder):
    with (
        OwnerLock(UPSTREAM, KEY, folder=folder) as first,
        OwnerLock("ws://127.0.0.1:9000", KEY, folder=folder) as second,
        OwnerLock(UPSTREAM, KEY[::-1], folder=folder) as third,
    ):
        assert len({first.path, second.path, third.path}) == 3
    assert OwnerLock("WSS://WS.kite.trade/", KEY, folder=folder).path == first.path


def test_the_files_are_private_and_do_not_name_the_key(lock, folder):
    lock.acquire()
    lock.publish_address("http://127.0.0.1:5006/", "bearer")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert KEY not in path.name
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".lock"]
    assert KEY not in repr(lock)


def test_only_the_owner_can_publish(lock):
    with pytest.raises(FeedError, match="only the owner"):
        lock.publish_address("http://127.0.0.1:5006/", "bearer")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}', "\x00"])
def test_an_address_that_cannot_be_read_is_none(lock, content):
    lock.address_path.write_text(content)
    assert lock.read_address() is None


def test_links_in_place_of_the_files_are_refused(lock, folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('{"url": "http://evil", "bearer": "b", "pid": 1}')
    lock.address_path.symlink_to(elsewhere)
    assert lock.read_address() is None
    lock.path.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="cannot be opened"):
        lock.acquire()


def test_a_folder_others_can_write_to_is_refused(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    with pytest.raises(ConfigError, match="0700"):
        OwnerLock(UPSTREAM, KEY, folder=shared)
    link = tmp_path / "link"
    link.symlink_to(private_folder(tmp_path / "mine"))
    with pytest.raises(ConfigError, match="0700"):
        OwnerLock(UPSTREAM, KEY, folder=link)
    with pytest.raises(ConfigError, match="cannot be made"):
        OwnerLock(UPSTREAM, KEY, folder=tmp_path / "missing" / "deep")


def test_the_folder_is_in_the_runtime_directory_or_in_a_private_one(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "tapedeck"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nothing here"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert runtime_folder() == tmp_path / f"tapedeck-{os.geteuid()}"
    assert stat.S_IMODE(runtime_folder().stat().st_mode) == 0o700


def test_a_lock_file_that_was_removed_is_taken_again_and_one_that_is_there_is_kept(tmp_path):
    lock = OwnerLock(UPSTREAM, KEY, folder=tmp_path)
    lock.acquire()
    lock.renew()
    lock.path.unlink()
    lock.renew()
    assert lock.held
    assert another_process(tmp_path)
    lock.release()


def test_an_owner_whose_lock_file_was_removed_learns_that_another_process_has_it(tmp_path):
    lock = OwnerLock(UPSTREAM, KEY, folder=tmp_path)
    lock.acquire()
    lock.path.unlink()
    command = [sys.executable, "-c", HOLDER, UPSTREAM, KEY, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FeedOwned):
            lock.renew()
        assert not lock.held
        holder.stdin.write("\n\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "released\n"
    lock.renew()
    assert lock.held
    lock.release()


def test_the_usual_port_spelt_out_is_the_same_lock(tmp_path):
    assert OwnerLock(UPSTREAM + ":443", KEY, folder=tmp_path).path == OwnerLock(UPSTREAM, KEY, folder=tmp_path).path
