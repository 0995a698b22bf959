"""What must not be read in a log: tokens, secrets and passwords, taken out of a text wherever they stand.

Tornado logs whole addresses, so a one-time token in a query would stay on disk for good; libraries put headers and
answers into their errors. A handler with a `RedactingFilter` writes none of them.
"""

from __future__ import annotations

import logging
import re

#: What stands where something was taken out.
HIDDEN = "(hidden)"
_formatter = logging.Formatter()

_NAMES = r"(?!instrument_token)\w*token|jwt_secret|\w*api_secret|\w*password|_xsrf|sid|checksum|enctoken"
#: Each keeps its first group.
_PATTERNS: tuple[re.Pattern[str], ...] = (
    # A header, as it is sent and as a dict shows it.
    re.compile(r"(?i)((?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic|token)\s+)?[^\s'\",;}]+"),
    re.compile(r"(?i)((?:set-)?cookie['\"]?\s*[:=]\s*['\"]?)[^\r\n'\"}]+"),
    re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]{8,}"),
    # A query or a form, also one that was put into another address; `state` is a word of its own elsewhere.
    re.compile(rf"(?i)(\b(?:{_NAMES})(?:=|%3D))[^\s&'\"<>]+"),
    re.compile(r"(?i)((?:[?&]|%3F|%26|redirect_params=)state(?:=|%3D))[^\s&'\"<>]+"),
    # JSON, and the repr of a dict.
    re.compile(rf"(?i)(['\"](?:{_NAMES})['\"]\s*:\s*)(?:\"[^\"]*\"|'[^']*')"),
    re.compile(r"(\btapedeck-session-\d+=)[\w-]+"),
    # A signed token, wherever it came from.
    re.compile(r"()\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"),
)


def redact(text: str) -> str:
    """The text with every secret in it replaced by `(hidden)`; a text without any comes back unchanged."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


class RedactingFilter(logging.Filter):
    """Takes the secrets out of a record's message and of the error that goes with it; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            said = record.getMessage()
        except (TypeError, ValueError):
            return True  # its arguments do not fit: the handler reports that
        shown = redact(said)
        if shown != said:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0] is not None:
            # The formatter takes this text instead of writing the error itself.
            record.exc_text = redact(record.exc_text or _formatter.formatException(record.exc_info))
        return True


def install(logger: logging.Logger | None = None) -> None:
    """Have every handler of the root logger, or of `logger`, redact what it writes; again is harmless.

    On the handlers, because a logger's own filters do not see what comes from the loggers below it.
    """
    for handler in (logger or logging.getLogger()).handlers:
        if not any(isinstance(one, RedactingFilter) for one in handler.filters):
            handler.addFilter(RedactingFilter())
