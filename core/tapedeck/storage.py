"""What the desk has on disk.

State: the newest count and when it was made; counting is work for a thread, so it is done at most twice a minute.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

from tapedeck.clock import Clock

KEEP_S = 30.0
#: Files counted at most: a folder with more is not ours alone.
MOST_FILES = 200_000


class Storage:
    """Bytes of the data folder by subfolder, and what is free beside it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        self._counted_at = float("-inf")

    def describe(self) -> dict[str, Any]:
        """`folder` (as short as it can be said), `bytes` by subfolder, `total`, `free`, `complete`, `problem`.

        Reads the disk when the last count is older than half a minute, so not on a server's loop. A folder that
        is not there is empty; one that cannot be read says so in `problem`.
        """
        with self._lock:
            now = self._clock.monotonic()
            if now - self._counted_at >= KEEP_S:
                self._known = self._count()
                self._counted_at = now
            return dict(self._known)

    def _count(self) -> dict[str, Any]:
        folder = self._folder.absolute()
        found: dict[str, Any] = {"folder": shown(folder), "problem": ""}
        sizes, complete = _sizes(folder)
        found |= {"bytes": dict(sorted(sizes.items())), "total": sum(sizes.values()), "complete": complete}
        try:
            found["free"] = shutil.disk_usage(_existing(folder)).free
            if folder.exists():
                os.listdir(folder)
        except OSError as failed:
            found |= {"free": found.get("free"), "problem": f"{found['folder']} cannot be read ({failed.strerror})"}
        return found


def shown(folder: Path) -> str:
    """The folder as a report may say it: below the working folder or the home, else its last two names."""
    for base, sign in ((Path.cwd(), ""), (Path.home(), "~/")):
        if folder != base and folder.is_relative_to(base):
            return f"{sign}{folder.relative_to(base)}"
    return str(folder) if len(folder.parts) <= 3 else f"…/{'/'.join(folder.parts[-2:])}"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))


def _sizes(folder: Path) -> tuple[dict[str, int], bool]:
    """Bytes by subfolder, files of the folder itself under `.`; and whether all were counted."""
    sizes: dict[str, int] = {}
    left = MOST_FILES
    for place, _, files in os.walk(folder):
        inside = Path(place).relative_to(folder).parts
        name = inside[0] if inside else "."
        for file in files:
            if left == 0:
                return sizes, False
            left -= 1
            try:
                size = os.lstat(os.path.join(place, file)).st_size
            except OSError:
                continue  # removed while we counted
            sizes[name] = sizes.get(name, 0) + size
        sizes.setdefault(name, 0)
    return sizes, True
