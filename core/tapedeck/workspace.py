"""The saved workspace of this machine's user: watchlists, columns and looks, in one file of the data folder.

State: the document as last saved, what its file looked like then (another desk may use the same folder, and a
person an editor), and what was wrong with a file that had to be set aside.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tapedeck._workspace_document import copied, default_document, default_lists, parse_workspace
from tapedeck.errors import WorkspaceConflict
from tapedeck.kite.private import read_private, write_private

__all__ = ["MAX_BYTES", "Workspace", "default_lists", "parse_workspace"]

log = logging.getLogger("tapedeck.workspace")

FILE = "workspace.json"
#: A document is at most so large, on disk and on the wire: 3,000 keys are 60 kB.
MAX_BYTES = 256 * 1024


class Workspace:
    """The document and its file. `lists` makes the first lists, asked anew while nothing has been saved.

    Safe to use from several threads. `load` and `save` touch the disk: not for a server's loop.
    """

    def __init__(self, folder: Path, lists: Callable[[], list[dict[str, Any]]]) -> None:
        self.path = folder / FILE
        self._lists = lists
        self._lock = threading.Lock()
        self._saved: dict[str, Any] | None = None
        self._looked: tuple[int, ...] | None = None
        #: Why the saved workspace is not shown; empty when it is, or when there was none.
        self.warning = ""
        self.load()

    @property
    def revision(self) -> int:
        """Number of the saved document, one more with every save; 0 while nothing has been saved."""
        saved = self._saved
        return saved["revision"] if saved else 0

    def document(self) -> dict[str, Any]:
        """The document, the caller's to change; the default one while nothing has been saved."""
        saved = self._saved
        return copied(saved) if saved else default_document(self._lists())

    def load(self) -> None:
        """Take in the file if it has changed since it was last looked at; otherwise one `stat`.

        A file that cannot be read is set aside as `workspace.json.bad`, with a `warning`.
        """
        with self._lock:
            self._load()

    def save(self, document: Any) -> dict[str, Any]:
        """Save a document that was made from the current one; what is now current, with its new revision.

        Raises
        ------
        ConfigError
            Naming every problem of the document.
        WorkspaceConflict
            If another one was saved since; it carries that one.
        OSError
            If it could not be written; the old one stays.
        """
        wanted = parse_workspace(document)
        with self._lock:
            self._load()
            if wanted["revision"] != self.revision:
                raise WorkspaceConflict(
                    f"revision was {wanted['revision']}; the saved workspace is {self.revision}, changed in another "
                    "window: take it and make the change again",
                    self.document(),
                )
            wanted["revision"] += 1
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path, json.dumps(wanted, indent=1, ensure_ascii=False))
            self._saved, self._looked, self.warning = wanted, self._look(), ""
            return copied(wanted)

    def describe(self) -> dict[str, Any]:
        """For the health answer: which revision is current and what was wrong with its file."""
        return {"revision": self.revision, "saved": self._saved is not None, "warning": self.warning}

    def _load(self) -> None:
        looked = self._look()
        if looked == self._looked:
            return
        self._looked, self._saved = looked, None
        if looked is None:
            return
        try:
            if looked[-1] > MAX_BYTES:
                raise ValueError(f"it has {looked[-1]} bytes; allowed: {MAX_BYTES}")
            content = json.loads(read_private(self.path))
            # A file of before a field was added has the usual value for it.
            whole = default_document([]) | content if isinstance(content, dict) else content
            self._saved, self.warning = parse_workspace(whole), ""
        except OSError as failed:
            self._set_aside(failed.strerror or type(failed).__name__)
        except (ValueError, RecursionError) as wrong:
            self._set_aside(str(wrong).partition("\n")[0])

    def _set_aside(self, why: str) -> None:
        bad = self.path.with_name(FILE + ".bad")
        said = f"{self.path.name} could not be used ({why})"
        try:
            os.replace(self.path, bad)
            self._looked = None
            self.warning = f"{said}; it is kept as {bad.name} and the first lists are shown instead"
        except OSError as failed:
            self.warning = f"{said} nor moved away ({failed.strerror}); the first lists are shown instead"
        log.warning("%s", self.warning)

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        size = found.st_size if stat.S_ISREG(found.st_mode) else 0
        return found.st_ino, found.st_mtime_ns, found.st_mode, size
