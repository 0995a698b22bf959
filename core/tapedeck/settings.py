"""Settings, declared once: name, kind, default and one sentence; read from the environment, all problems at once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tapedeck.clock import wall_to_ns
from tapedeck.errors import ConfigError

KITE_REST = "https://api.kite.trade"
KITE_WS = "wss://ws.kite.trade"
KITE_LOGIN = "https://kite.zerodha.com/connect/login"


class Setting(NamedTuple):
    """One declared setting: environment name, attribute, default, reader and what it is for."""

    name: str
    attribute: str
    default: str
    read: Callable[[str], Any]
    doc: str
    secret: bool = False


def _text(value: str) -> str:
    return value.strip()


def _port(value: str) -> int:
    number = _whole(value)
    if not 0 <= number <= 65535:
        raise ValueError("0 to 65535 (0 = any free port)")
    return number


def _whole(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError("a whole number") from None


def _speed(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError("a number from 0.1 to 600") from None
    if not 0.1 <= number <= 600:
        raise ValueError("a number from 0.1 to 600")
    return number


def _root(*schemes: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.scheme not in schemes or not parts.netloc:
            raise ValueError(" or ".join(f"{s}://host[:port]" for s in schemes))
        return value.strip().rstrip("/")

    return read


def _start(value: str) -> int | None:
    return parse_start(value) if value.strip() else None


def parse_start(value: str) -> int:
    """UTC nanoseconds of an ISO date-time; without an offset it is taken as Indian time.

    Raises
    ------
    ValueError
        If it was not ISO 8601.
    """
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError("an ISO time such as 2026-11-23T09:14:30") from None
    return wall_to_ns(at)


SETTINGS: tuple[Setting, ...] = (
    Setting("ZERODHA_API_KEY", "api_key", "", _text, "Kite Connect API key; empty runs the simulated exchange"),
    Setting("ZERODHA_API_SECRET", "api_secret", "", _text, "Kite Connect API secret, for the login", secret=True),
    Setting("TAPEDECK_KITE_REST", "kite_rest", KITE_REST, _root("https", "http"), "root of Kite's REST interface"),
    Setting("TAPEDECK_KITE_WS", "kite_ws", KITE_WS, _root("wss", "ws"), "root of Kite's market-data websocket"),
    Setting("TAPEDECK_KITE_LOGIN", "kite_login", KITE_LOGIN, _root("https", "http"), "Kite's login page"),
    Setting("TAPEDECK_DATA", "data", "data", Path, "folder for everything the desk writes"),
    Setting("TAPEDECK_HOST", "host", "127.0.0.1", _text, "address the desk listens on; loopback only"),
    Setting("TAPEDECK_PORT", "port", "5006", _port, "port the desk listens on"),
    Setting("TAPEDECK_SEED", "seed", "7", _whole, "seed of the simulated exchange"),
    Setting("TAPEDECK_SIM_SPEED", "sim_speed", "1", _speed, "how many times faster simulated market time runs"),
    Setting("TAPEDECK_SESSIONS", "sessions", "", _text, "YAML file laid over the packaged market hours and holidays"),
    Setting("TAPEDECK_SIM_START", "sim_start", "", _start, "simulated market time to start at, ISO; empty: 09:14:30"),
)

#: Read elsewhere: the tests' data folder, and a desk for notebooks to attach to.
_ALSO_OURS = {"TAPEDECK_TEST_DATA", "TAPEDECK_URL"}


@dataclass(frozen=True)
class Settings:
    """What the desk was told. Secrets are left out of the repr."""

    api_key: str = ""
    api_secret: str = field(default="", repr=False)
    kite_rest: str = KITE_REST
    kite_ws: str = KITE_WS
    kite_login: str = KITE_LOGIN
    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 5006
    seed: int = 7
    sim_speed: float = 1.0
    sim_start: int | None = None
    sessions: str = ""
    simulate: bool = False
    #: Why Kite may not be contacted; empty when it may.
    kite_problem: str = ""

    @property
    def callback(self) -> str:
        """Where a login to Kite leads back to, when this process serves it on a known port; else empty."""
        return f"http://{self.host}:{self.port}/api/auth/callback" if self.port else ""

    @property
    def has_credentials(self) -> bool:
        """Whether an API key is set: without one only the simulated exchange can run."""
        return bool(self.api_key)

    @property
    def own_exchange(self) -> bool:
        """Whether Kite's roots were pointed somewhere else, such as at a running simulator."""
        return self.kite_rest != KITE_REST


def load(environment: Mapping[str, str], command_line: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Settings from the environment; `command_line` (by the same names) is stronger.

    `given` are values by attribute, taken as they are unless None.

    Raises
    ------
    ConfigError
        Naming every wrong value and every unknown `TAPEDECK_` variable in one message.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    said = command_line or {}
    for setting in SETTINGS:
        raw = said.get(setting.name, environment.get(setting.name, setting.default))
        source = "the command line" if setting.name in said else "the environment"
        try:
            values[setting.attribute] = setting.read(raw)
        except ValueError as wrong:
            shown = "(hidden)" if setting.secret else repr(raw)
            problems.append(f"{setting.name} was {shown} (from {source}); allowed: {wrong}")
    problems += _unknown(environment)
    if problems:
        raise ConfigError("\n".join(problems))
    values.update({name: value for name, value in given.items() if value is not None})
    return Settings(**values)


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = {s.name for s in SETTINGS} | _ALSO_OURS
    found = []
    for name in sorted(environment):
        if name.startswith("TAPEDECK_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            found.append(f"{name} (from the environment) is not a setting of Tapedeck{hint}")
    return found
