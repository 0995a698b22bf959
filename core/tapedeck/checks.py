"""The checks of a start: every setting and everything around the desk looked at, every problem told at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Thread
from typing import Any

from tapedeck.check_probes import ProbeFailed, Probes, RedisAnswer
from tapedeck.check_report import ERROR, OK, WARNING, Report, Row, build_report
from tapedeck.clock import Clock, ist_date
from tapedeck.errors import ConfigError, KiteError, LoginRequired, NetworkFailed
from tapedeck.kite.login import Credentials
from tapedeck.settings import SETTINGS, Found, Settings
from tapedeck.settings_rules import REDIS_IN_CONTAINER, in_container
from tapedeck.settings_values import is_loopback, show_address

#: Real seconds all questions together may take; one that hangs longer is reported and left behind.
LIMIT_S = 5.0
OLDEST_REDIS = 7
#: Seconds the clock may be off, and days the calendar should know ahead.
CLOCK_LIMIT_S = 2.0
DAYS_AHEAD = 30
TOKEN_FILE = "token.json"
LOG_IN = "Log in: LOGIN in the app bar, or `tapedeck login`"

_Answers = dict[str, Future[Any]]


def check(settings: Settings, *, clock: Clock, ask_kite: bool = False, probes: Probes | None = None) -> Report:
    """A row for every setting and every check. Takes some milliseconds, at most `LIMIT_S` seconds; never raises.

    `clock` is the machine's own. Kite is asked, for its time and whether it takes the saved token, with `ask_kite`.
    """
    probes = probes or Probes()
    answers = _ask_all(_questions(settings, clock, ask_kite, probes))
    container = bool(_value(answers["container"]))
    if container:
        settings = _with_container(settings, redis_answers=bool(_value(answers.get("Redis"))))
    return build_report(
        [
            *_settings_rows(settings, kept=_failure(answers["data folder"]) is None),
            Row(OK, "container", "yes" if container else "no", "this machine"),
            _data_row(settings.data, answers["data folder"]),
            _address_row(settings.host, answers["address"]),
            _access_row(settings, answers["users"]),
            *_broken_rows(settings.data, answers["files"]),
            _redis_row(settings, answers.get("Redis"), container=container),
            _clock_row(answers, ask_kite=ask_kite),
            _calendar_row(ist_date(clock.now()), answers["calendar"]),
            *_kite_rows(settings, answers, ask_kite=ask_kite),
        ]
    )


def _with_container(settings: Settings, *, redis_answers: bool) -> Settings:
    # On the host's own network, or beside Redis in one pod, localhost is right: then Redis answers.
    level = WARNING if redis_answers else ERROR
    found = tuple(problem._replace(level=level) for problem in in_container(settings))
    return replace(settings, problems=(*settings.problems, *found))


def _questions(settings: Settings, clock: Clock, ask_kite: bool, probes: Probes) -> dict[str, Callable[[], Any]]:
    questions: dict[str, Callable[[], Any]] = {
        "container": probes.inside_container,
        "data folder": lambda: probes.try_writing(settings.data),
        "address": lambda: probes.try_listening(settings.host.removeprefix("[").removesuffix("]")),
        "users": lambda: probes.load_users(settings.data),
        "files": lambda: probes.find_broken(settings.data),
        "calendar": probes.coverage,
        "token": lambda: probes.load_token(settings.data / TOKEN_FILE),
    }
    if settings.redis_url:
        questions["Redis"] = lambda: probes.ask_redis(settings.redis_url, clock)
    if ask_kite:
        questions["Kite's time"] = lambda: probes.fetch_kite_ahead(settings.kite_rest, clock)
        if settings.has_credentials and not settings.simulate and not settings.kite_problem:
            questions["Kite"] = lambda: _ask_kite(settings, probes)
    return questions


def _ask_kite(settings: Settings, probes: Probes) -> bool:
    """Whether there was a token to ask with; KiteError when Kite did not take it."""
    saved = probes.load_token(settings.data / TOKEN_FILE)
    if saved is None or saved.api_key != settings.api_key:
        return False
    probes.fetch_profile(saved.api_key, saved.access_token, settings.kite_rest)
    return True


def _ask_all(questions: dict[str, Callable[[], Any]]) -> _Answers:
    """Every question asked at the same time, and what was answered within the limit."""
    answers: _Answers = {}
    for name, question in questions.items():
        answers[name] = Future()
        # A name server or a network disk can hang for minutes. Nobody can end such a thread; it must not hold up
        # the end of the process either.
        Thread(target=_answer, args=(question, answers[name]), name=f"check-{name}", daemon=True).start()
    wait(answers.values(), timeout=LIMIT_S)
    return answers


def _answer(question: Callable[[], Any], answer: Future[Any]) -> None:
    try:
        answer.set_result(question())
    except BaseException as failed:  # noqa: BLE001  told as the answer
        answer.set_exception(failed)


def _failure(answer: Future[Any] | None) -> BaseException | None:
    """What went wrong with a question; None when it was answered or not asked."""
    if answer is None:
        return None
    if not answer.done():
        return ProbeFailed(f"did not answer within {LIMIT_S:g} s")
    return answer.exception()


def _value(answer: Future[Any] | None) -> Any:
    """What was answered; None when nothing was."""
    return None if answer is None or _failure(answer) else answer.result()


def _words(failed: BaseException) -> str:
    """A failure in a few words, none of them a secret: of an unforeseen one only the kind is told."""
    if isinstance(failed, ProbeFailed | KiteError | ConfigError):
        return str(failed)
    if isinstance(failed, OSError) and failed.strerror:
        return failed.strerror
    return f"failed ({type(failed).__name__})"


# -- rows --------------------------------------------------------------------------------------------------------------


def _settings_rows(settings: Settings, *, kept: bool) -> Iterator[Row]:
    names = {setting.name for setting in SETTINGS}
    notes = _notes(settings, kept=kept)
    for setting in SETTINGS:
        found = settings.found.get(setting.name)
        if found is None:
            found = Found(setting.show(str(getattr(settings, setting.attribute) or "")), "argument")
        wrong = [problem for problem in settings.problems if problem.name == setting.name]
        if not wrong:
            yield Row(OK, setting.name, found.value, found.source, notes.get(setting.name, ""))
        yield from (Row(*problem) for problem in wrong)
    yield from (Row(*problem) for problem in settings.problems if problem.name not in names)


def _notes(settings: Settings, *, kept: bool) -> dict[str, str]:
    """What an unset setting comes to; `kept` says whether anything can be kept in the data folder."""
    notes = {}
    if not settings.wants_kite:
        why = "used" if settings.simulate else "set"
        notes["ZERODHA_API_KEY"] = f"is not {why}: the market is simulated"
    elif not settings.has_credentials:
        notes["ZERODHA_API_KEY"] = "is not set, but was meant: see below; the market is not simulated"
    if not settings.jwt_secret and is_loopback(settings.host):
        where = "kept in its data folder" if kept else "good for one run: the data folder cannot be written to"
        notes["JWT_SECRET"] = f"is made by the desk itself and {where}"
    if not settings.frontend_url:
        notes["FRONTEND_URL"] = f"is {settings.address}"
    if not settings.redirect_url:
        notes["REDIRECT_URL"] = f"is {settings.callback}: register that with Kite"
    return notes


def _data_row(folder: Path, answer: Future[Any]) -> Row:
    failed = _failure(answer)
    if failed is None:
        return Row(OK, "data folder", str(folder), "TAPEDECK_DATA", "can be written to")
    remedy = f"Make {folder} a folder that user {os.geteuid()} may write to, or set TAPEDECK_DATA to one"
    if isinstance(failed, OSError) and failed.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = f"Free space on the disk of {folder}, or set TAPEDECK_DATA to a folder on another"
    return Row(ERROR, "data folder", str(folder), "TAPEDECK_DATA", f"cannot be written to: {_words(failed)}", remedy)


def _address_row(host: str, answer: Future[Any]) -> Row:
    failed = _failure(answer)
    if failed is None:
        return Row(OK, "address", host, "TAPEDECK_HOST", "can be listened on")
    remedy = "Set TAPEDECK_HOST to an address of this machine, such as 127.0.0.1"
    return Row(ERROR, "address", host, "TAPEDECK_HOST", f"cannot be listened on: {_words(failed)}", remedy)


def _access_row(settings: Settings, answer: Future[Any]) -> Row:
    """Who is asked for what; a desk that would not start because anybody could reach it is foreseen."""
    path = settings.data / "users.json"
    failed = _failure(answer)
    if failed is not None:
        why, _, remedy = _words(failed).removeprefix(f"{path} ").partition("; ")
        remedy = f"{remedy[:1].upper()}{remedy[1:]}" or f"Look at {path}"
        return Row(ERROR, "access", "", str(path), f"cannot be decided: {path.name} {why}", remedy)
    names = answer.result()
    if names:
        count = f"{len(names)} user{'' if len(names) == 1 else 's'}"
        return Row(OK, "access", count, str(path), "is by name and password")
    if is_loopback(settings.host):
        return Row(OK, "access", "no users", str(path), "is by the address that the start prints")
    why = f"is open to all who reach {settings.host}, so the start is refused"
    return Row(ERROR, "access", "no users", str(path), why, "Add a user: `tapedeck user add NAME`")


def _broken_rows(folder: Path, answer: Future[Any]) -> Iterator[Row]:
    if failed := _failure(answer):
        why = f"cannot be looked at: {_words(failed)}"
        yield Row(WARNING, "access files", "", str(folder), why, f"Look at the files of {folder}")
    for name, message, remedy, critical in _value(answer) or ():
        level = ERROR if critical else WARNING
        yield Row(level, name, "", str(folder / name), message, f"{remedy[:1].upper()}{remedy[1:]}")


def _redis_row(settings: Settings, answer: Future[Any] | None, *, container: bool) -> Row:
    if answer is None:
        return Row(OK, "Redis", "", "REDIS_URL", "is not used: desks of this machine share without it")
    shown = show_address(settings.redis_url)
    if failed := _failure(answer):
        remedy = "Start Redis or correct REDIS_URL; without it this desk shares with its own machine only"
        if container and in_container(settings):
            remedy = REDIS_IN_CONTAINER
        return Row(ERROR, "Redis", shown, "REDIS_URL", _words(failed), remedy)
    about: RedisAnswer = answer.result()
    said = f"is {about.server or f'Redis {about.version}'}"
    if _major(about.version) < OLDEST_REDIS:
        remedy = "Install Redis 7.0 or newer, such as the image redis:7"
        return Row(ERROR, "Redis", shown, "REDIS_URL", f"{said}; allowed: {OLDEST_REDIS}.0 or newer", remedy)
    return Row(OK, "Redis", shown, "REDIS_URL", said)


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _clock_row(answers: _Answers, *, ask_kite: bool) -> Row:
    """How far the clock is off, by whoever could be asked; the worst counts."""
    ahead: dict[str, float] = {}
    if (answer := _value(answers.get("Redis"))) is not None:
        ahead["Redis"] = answer.ahead_s
    if ask_kite:
        failed = _failure(answers["Kite's time"])
        if failed is not None:
            why = f"could not be compared with Kite, which {_words(failed)}"
            return Row(WARNING, "clock", "", "Kite", why, "Check the network and TAPEDECK_KITE_REST")
        ahead["Kite"] = answers["Kite's time"].result()
    if not ahead:
        return Row(OK, "clock", "", "this machine", "was not compared; `tapedeck check --kite` asks Kite")
    worst = max(ahead, key=lambda name: abs(ahead[name]))
    seconds = ahead[worst]
    if abs(seconds) <= CLOCK_LIMIT_S:
        return Row(OK, "clock", "", worst, f"is within {CLOCK_LIMIT_S:g} s of {' and '.join(ahead)}")
    side = "ahead of" if seconds > 0 else "behind"
    why = f"is {abs(seconds):.1f} s {side} {worst}; allowed: {CLOCK_LIMIT_S:g} s"
    return Row(WARNING, "clock", f"{seconds:+.1f} s", worst, why, "Set the clock: sudo timedatectl set-ntp true")


def _calendar_row(today: date, answer: Future[Any]) -> Row:
    failed = _failure(answer)
    remedy = "Install a newer Tapedeck, or name a file with the coming year in TAPEDECK_SESSIONS (docs/sessions.md)"
    if failed is not None:
        return Row(ERROR, "calendar", "", "rules/sessions.yaml", f"cannot be read: {_words(failed)}", remedy)
    first, last = answer.result()
    value = f"{first} to {last}"
    left = (last - today).days
    if not first <= today <= last:
        why = f"does not know {today}: every weekday counts as a plain trading day"
        return Row(WARNING, "calendar", value, "rules/sessions.yaml", why, remedy)
    if left < DAYS_AHEAD:
        why = f"ends in {left} days; allowed: {DAYS_AHEAD} or more"
        return Row(WARNING, "calendar", value, "rules/sessions.yaml", why, remedy)
    return Row(OK, "calendar", value, "rules/sessions.yaml", f"knows the next {left} days")


def _kite_rows(settings: Settings, answers: _Answers, *, ask_kite: bool) -> Iterator[Row]:
    path = settings.data / TOKEN_FILE
    if not settings.wants_kite:
        yield Row(OK, "Kite", "", "", "is not used: the market is simulated")
        return
    if not settings.has_credentials:
        yield Row(OK, "Kite", "", "", "is not contacted while the key that was meant cannot be read")
        return
    failed = _failure(answers["token"])
    if failed is not None:
        remedy = f"Remove {path} and log in again"
        yield Row(ERROR, "Kite token", "", str(path), f"cannot be used: {_words(failed)}", remedy)
    else:
        yield _token_row(settings, answers["token"].result(), path, ask_kite=ask_kite)
    if not ask_kite:
        yield Row(OK, "Kite", show_address(settings.kite_rest), "TAPEDECK_KITE_REST", "was not asked; --kite does")
    elif settings.kite_problem:
        remedy = "Correct that setting first"
        yield Row(ERROR, "Kite", "", "", f"is not contacted: {settings.kite_problem}", remedy)
    elif failed is None:
        yield from _asked_row(show_address(settings.kite_rest), answers["Kite"])


def _token_row(settings: Settings, saved: Credentials | None, path: Path, *, ask_kite: bool) -> Row:
    if saved is None and not ask_kite:
        return Row(OK, "Kite token", "", str(path), "is not there yet: nobody has logged in")
    if saved is None:
        return Row(WARNING, "Kite token", "", str(path), "is not there, so Kite was not asked", LOG_IN)
    if saved.api_key != settings.api_key:
        return Row(WARNING, "Kite token", "", str(path), "is of another API key", LOG_IN)
    return Row(OK, "Kite token", "***", str(path), "is there")


def _asked_row(root: str, answer: Future[Any]) -> Iterator[Row]:
    failed = _failure(answer)
    if failed is None:
        if answer.result():
            yield Row(OK, "Kite", root, "TAPEDECK_KITE_REST", "accepts the saved token")
    elif isinstance(failed, LoginRequired):
        yield Row(ERROR, "Kite", root, "TAPEDECK_KITE_REST", f"refused the saved token: {_words(failed)}", LOG_IN)
    else:
        remedy = "Check what the app may do at https://developers.kite.trade/apps"
        if isinstance(failed, NetworkFailed | ProbeFailed):
            remedy = "Check the network and TAPEDECK_KITE_REST"
        yield Row(ERROR, "Kite", root, "TAPEDECK_KITE_REST", f"did not accept a request: {_words(failed)}", remedy)
