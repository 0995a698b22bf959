"""Routes of the System page: how the whole desk is, and how it is set up."""

from __future__ import annotations

import asyncio
from typing import Any

from tapedeck.system_report import config_report, system_report
from tapedeck.system_text import system_text
from tapedeck.users import Principal

from .answers import Answer, Deed


def _report(handler: Answer) -> dict[str, Any]:
    """The report for whoever asks."""
    principal: Principal | None = getattr(handler, "principal", None)
    access = {"user": principal.user, "role": principal.role} if principal is not None else None
    report = system_report(handler.desk, access=access)
    return report | {"text": system_text(report)}


class SystemReport(Answer):
    """`/api/system/report`: everything of the System page, and under `text` the same to copy."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, await asyncio.to_thread(_report, self)


class Recheck(Deed):
    """`POST /api/system/recheck`: check the settings once more, ask Kite about the token, and answer the report."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        await asyncio.to_thread(self.desk.recheck)
        return 200, await asyncio.to_thread(_report, self)


class SystemConfig(Answer):
    """`/api/system/config`: the settings, each with its source and what is wrong with it; secrets masked."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, await asyncio.to_thread(config_report, self.desk)
