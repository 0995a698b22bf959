"""The route of the saved workspace: GET takes it, PUT saves one that was made from it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from tornado.web import stream_request_body

from tapedeck.errors import ConfigError, WorkspaceConflict
from tapedeck.workspace import MAX_BYTES

from .answers import Answer, BadRequest

if TYPE_CHECKING:
    from tapedeck.desk import Desk

log = logging.getLogger("tapedeck.server")


@stream_request_body
class SavedWorkspace(Answer):
    """`/api/workspace`: watchlists, columns and looks; docs/workspace.md has the document.

    The body of a PUT is read piece by piece: what is too large is never held.
    """

    def initialize(self, desk: Desk) -> None:
        super().initialize(desk)
        self._body = bytearray()
        self._size = 0

    def prepare(self) -> None:
        if self.request.method != "PUT":
            return
        # A form of another site can send text, but not this type, without the browser asking first.
        kind = self.request.headers.get("Content-Type", "")
        if kind.partition(";")[0].strip().lower() != "application/json":
            reason = f"Content-Type was {kind[:80]!r}; allowed: application/json"
            self.send(415, {"error": "unsupported_media_type", "reason": reason})

    def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= MAX_BYTES:
            self._body += chunk

    async def answer(self) -> tuple[int, dict[str, Any]]:
        await asyncio.to_thread(self.desk.workspace.load)
        document = self.desk.workspace.document()
        # What happened to a file that could not be used concerns whoever sees its lists gone.
        warning = self.desk.workspace.warning
        return 200, document | ({"warning": warning} if warning else {})

    async def put(self) -> None:
        await self.respond(self._save)

    async def _save(self) -> tuple[int, dict[str, Any]]:
        if self._size > MAX_BYTES:
            reason = f"the body had {self._size} bytes; allowed: {MAX_BYTES}"
            return 413, {"error": "too_large", "reason": reason}
        try:
            return 200, await asyncio.to_thread(self._parse_and_save, self._body)
        except ConfigError as wrong:
            problems = str(wrong).split("\n")
            return 400, {"error": "bad_request", "reason": "; ".join(problems), "problems": problems}
        except WorkspaceConflict as conflict:
            return 409, {"error": "conflict", "reason": str(conflict), "workspace": conflict.workspace}
        except OSError as failed:
            log.warning("the workspace could not be saved: %s", failed)
            return 507, {"error": "not_saved", "reason": f"the workspace could not be written: {failed.strerror}"}

    def _parse_and_save(self, body: bytearray) -> dict[str, Any]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise BadRequest(f"the body was {len(body)} bytes that are not JSON; allowed: a workspace") from None
        if isinstance(document, dict):
            document.pop("warning", None)  # part of what GET answers, not of what is saved
        return self.desk.workspace.save(document)
