"""Routes of the System page: how the whole desk is, and how it is set up."""

from __future__ import annotations

import asyncio
from typing import Any

from tapedeck.system_report import config_report, system_report
from tapedeck.system_text import system_text

from .answers import Answer


class SystemReport(Answer):
    """`/api/system/report`: everything of the System page, and under `text` the same to copy."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, await asyncio.to_thread(self._make)

    def _make(self) -> dict[str, Any]:
        report = system_report(self.desk)
        return report | {"text": system_text(report)}


class SystemConfig(Answer):
    """`/api/system/config`: the settings, each with its source and what is wrong with it; secrets masked."""

    async def answer(self) -> tuple[int, dict[str, Any]]:
        return 200, await asyncio.to_thread(config_report, self.desk)
