"""Who owns the upstream connection on this machine: a record lock, and beside it where the owner listens.

State of an `OwnerLock`: the open lock file while it is held. `OwnerLock._held` lists the lock files this
process holds, because POSIX would let it lock the same file twice.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from tapedeck.errors import ConfigError, FeedError, FeedOwned

from .private import private_folder, read_private, runtime_folder, write_private


@dataclass(frozen=True, slots=True)
class OwnerAddress:
    """Where the owner listens, and what opens it; no repr shows the bearer."""

    url: str
    bearer: str = field(repr=False)
    pid: int = 0


_USUAL_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


class OwnerLock:
    """The right to hold the one connection to `upstream` with `api_key`; ends with the process, however it ends."""

    #: (pid, device, inode) of every lock file held. A record lock belongs to the process, not to an object:
    #: a second one would be granted, and closing its file would drop the first.
    _held: ClassVar[set[tuple[int, int, int]]] = set()
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, upstream: str, api_key: str, *, folder: Path | str | None = None) -> None:
        parts = urlsplit(upstream)
        # One exchange, one lock, however its address is spelt.
        port = parts.port or _USUAL_PORTS.get(parts.scheme, "")
        where = f"{parts.scheme}://{parts.hostname}:{port}".lower()
        digest = hashlib.sha256(f"{where}\0{api_key}".encode()).hexdigest()[:32]  # the key cannot be read off the name
        self.folder = runtime_folder() if folder is None else private_folder(Path(folder))
        self.path = self.folder / f"feed-{digest}.lock"
        self.address_path = self.folder / f"feed-{digest}.json"
        self._fd: int | None = None
        self._mark: tuple[int, int, int] | None = None

    def __repr__(self) -> str:
        return f"OwnerLock({str(self.path)!r}, held={self.held})"

    def __enter__(self) -> OwnerLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def held(self) -> bool:
        """Whether this process holds it through this object; a forked child does not."""
        return self._mark is not None and self._mark[0] == os.getpid()

    def acquire(self) -> None:
        """Take the lock at once or not at all.

        Raises
        ------
        FeedOwned
            If another process holds it, or this one through another object; `address` says where it
            listens, empty when it has not said so yet.
        """
        with OwnerLock._guard:
            if self.held:
                return
            if self._mark_of_path() in OwnerLock._held:  # asked before opening: closing again would drop the lock
                raise self._owned("this process")
            fd = self._open()
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                os.close(fd)
                if exc.errno in (errno.EACCES, errno.EAGAIN):
                    raise self._owned("another process on this machine") from None
                raise FeedError(f"{self.path} cannot be locked: {exc.strerror}") from None
            info = os.fstat(fd)
            self._fd, self._mark = fd, (os.getpid(), info.st_dev, info.st_ino)
            OwnerLock._held.add(self._mark)
            self.address_path.unlink(missing_ok=True)  # it was the last owner's

    def renew(self) -> None:
        """Make sure that the lock held is still the one others would meet; call it every second or so.

        A lock file may be removed under its owner, by a cleaner of old files or at the end of a login session;
        the next process would then be given a lock on a new one.

        Raises
        ------
        FeedOwned
            If another process has taken it meanwhile.
        """
        if self._fd is not None and self._mark_of_path() == self._mark:
            os.utime(self._fd)
            return
        self.release()
        private_folder(self.folder)
        self.acquire()

    def publish_address(self, url: str, bearer: str) -> None:
        """Tell the other processes of this user where the owner listens and what opens it."""
        if not self.held:
            raise FeedError("only the owner of the feed can publish its address; acquire the lock first")
        write_private(self.address_path, json.dumps({"url": url, "bearer": bearer, "pid": os.getpid()}))

    def read_address(self) -> OwnerAddress | None:
        """Where the owner listens; None when it has not said so. Only a held lock makes it true."""
        try:
            document = json.loads(read_private(self.address_path))
            url, bearer, pid = document["url"], document["bearer"], document["pid"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not (isinstance(url, str) and isinstance(bearer, str) and isinstance(pid, int)):
            return None
        return OwnerAddress(url, bearer, pid)

    def release(self) -> None:
        """Give the lock back; the address goes first. Harmless when it is not held."""
        with OwnerLock._guard:
            if self._fd is None or self._mark is None:
                return
            if self.held:
                self.address_path.unlink(missing_ok=True)
            OwnerLock._held.discard(self._mark)
            os.close(self._fd)  # in a forked child this drops nothing: the lock is the parent's
            self._fd = self._mark = None

    def _mark_of_path(self) -> tuple[int, int, int] | None:
        try:
            info = os.lstat(self.path)
        except FileNotFoundError:
            return None
        return os.getpid(), info.st_dev, info.st_ino

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags, 0o600)
        except OSError as exc:
            raise ConfigError(f"{self.path} cannot be opened as the feed's lock: {exc.strerror}; remove it") from None
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            os.close(fd)
            raise ConfigError(f"{self.path} is not a file of this user; remove it")
        os.fchmod(fd, 0o600)
        return fd

    def _owned(self, who: str) -> FeedOwned:
        address = self.read_address()
        where = f", which listens at {address.url}" if address else ", which has not said yet where it listens"
        return FeedOwned(f"the feed is owned by {who}{where}", address=address.url if address else "")
