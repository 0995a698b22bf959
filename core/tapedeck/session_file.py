"""The session file of the settings put in force, for this process and those it starts."""

from __future__ import annotations

import os
from dataclasses import replace

from tapedeck._session_rules import facts
from tapedeck.errors import ConfigError
from tapedeck.settings import Problem, Settings

NAME = "TAPEDECK_SESSIONS"


def use_session_file(settings: Settings) -> Settings:
    """The settings, with their session file in force; when it is not usable, without it and with the problem.

    Market hours are read where the environment says, in the simulator's process too: so a name that stood in a file
    or was given in code is put there.
    """
    if settings.sessions != os.environ.get(NAME, "").strip():
        os.environ[NAME] = settings.sessions
        facts.cache_clear()
    try:
        facts()
    except ConfigError as wrong:
        os.environ[NAME] = ""
        facts.cache_clear()
        found = settings.found.get(NAME)
        why = f"is not used: {' '.join(str(wrong).split())}"
        remedy = f"Correct {settings.sessions} or remove {NAME}; until then the packaged hours and holidays are used"
        source = found.source if found else "argument"
        problem = Problem("error", NAME, found.value if found else settings.sessions, source, why, remedy)
        return replace(settings, sessions="", problems=(*settings.problems, problem))
    return settings
