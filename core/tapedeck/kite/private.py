"""Files and folders that only this user may read: tokens, locks and bearers."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from tapedeck.errors import ConfigError


def write_private(path: Path, text: str) -> os.stat_result:
    """Write a file only its owner may read, whole or not at all; its `stat`, which tells it from any later one."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
            written = os.fstat(fd)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return written


def read_private(path: Path) -> bytes:
    """Content of a file of this user.

    Raises
    ------
    OSError
        If there is none, or a link, a folder or another user's file is in its place.
    """
    # Not blocking: a pipe in its place would hold the reader for ever.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "not a file of this user", str(path))
        with open(fd, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(fd)


def runtime_folder() -> Path:
    """This user's folder for locks: in XDG_RUNTIME_DIR, else `tapedeck-UID` in the temporary folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.path.isdir(runtime) and os.stat(runtime).st_uid == os.geteuid():
        return private_folder(Path(runtime) / "tapedeck")
    return private_folder(Path(tempfile.gettempdir()) / f"tapedeck-{os.geteuid()}")


def close_folder(folder: Path) -> bool:
    """Make a folder of this user 0700, making it if need be; False when it is open to others and not ours to close."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = os.stat(folder)
    if not info.st_mode & 0o077:
        return info.st_uid == os.geteuid()
    # A sticky folder is everybody's, such as /tmp: to close it would lock the whole machine out.
    if info.st_uid != os.geteuid() or info.st_mode & stat.S_ISVTX:
        return False
    os.chmod(folder, 0o700)
    return True


def private_folder(folder: Path) -> Path:
    """The folder, made if need be, once it is certain that nobody else can write there.

    Raises
    ------
    ConfigError
        If it is a link, belongs to another user or is open to others.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{folder} cannot be made: {exc.strerror}") from None
    info = os.lstat(folder)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
        raise ConfigError(
            f"{folder} was {stat.filemode(info.st_mode)} of user {info.st_uid}; "
            f"allowed: a folder of user {os.geteuid()} with mode 0700. Remove it or set XDG_RUNTIME_DIR."
        )
    return folder
