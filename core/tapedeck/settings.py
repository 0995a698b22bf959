"""Settings, declared once: name, kind, default and one sentence; read from every source, all problems at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from tapedeck import settings_rules as rules
from tapedeck import settings_values as values
from tapedeck.errors import ConfigError
from tapedeck.settings_files import Files, Layer, load_files
from tapedeck.settings_values import Found, Problem, parse_start

__all__ = ["SETTINGS", "Found", "Problem", "Setting", "Settings", "load", "parse_start"]

KITE_REST = "https://api.kite.trade"
KITE_WS = "wss://ws.kite.trade"
KITE_LOGIN = "https://kite.zerodha.com/connect/login"


class Setting(NamedTuple):
    """One declared setting. `allowed` says in words what `read` takes; `show` is how a value is shown."""

    name: str
    attribute: str
    kind: str
    default: str
    read: Callable[[str], Any]
    allowed: str
    doc: str
    secret: bool = False
    show: Callable[[str], str] = values.show_plain


_ADDRESS, _SECRET, _KEY = values.show_address, values.show_secret, values.show_key
_ROOT, _WS_ROOT = values.read_root("https", "http"), values.read_root("wss", "ws")
_WEB = "https://host[:port], or http:// on this machine"

SETTINGS: tuple[Setting, ...] = (
    Setting("ZERODHA_API_KEY", "api_key", "text", "", values.read_text, "the key Kite gave your app",
            "Kite Connect API key; empty runs the simulated exchange", show=_KEY),
    Setting("ZERODHA_API_SECRET", "api_secret", "text", "", values.read_text, "the secret Kite gave your app",
            "Kite Connect API secret, for the login", secret=True, show=_SECRET),
    Setting("JWT_SECRET", "jwt_secret", "text", "", values.read_text, "32 random characters or more",
            "signs the desk's bearer tokens; empty on a loopback desk: made once and kept in the data folder",
            secret=True, show=_SECRET),
    Setting("REDIS_URL", "redis_url", "address", "", values.read_redis,
            "redis://host[:port][/number], rediss://... or unix:///path", "Redis that desks on several machines share; "
            "may hold a password", secret=True, show=_ADDRESS),
    Setting("FRONTEND_URL", "frontend_url", "address", "", values.read_origin, _WEB,
            "address people open; empty: the one the desk listens on", show=_ADDRESS),
    Setting("REDIRECT_URL", "redirect_url", "address", "", values.read_address, f"{_WEB}, then {rules.CALLBACK}",
            "redirect URL registered with Kite; empty: that of the address people open", show=_ADDRESS),
    Setting("TAPEDECK_KITE_REST", "kite_rest", "address", KITE_REST, _ROOT, "https://host[:port] or http://host[:port]",
            "root of Kite's REST interface", show=_ADDRESS),
    Setting("TAPEDECK_KITE_WS", "kite_ws", "address", KITE_WS, _WS_ROOT, "wss://host[:port] or ws://host[:port]",
            "root of Kite's market-data websocket", show=_ADDRESS),
    Setting("TAPEDECK_KITE_LOGIN", "kite_login", "address", KITE_LOGIN, _ROOT, "https://host[:port]/path or http://...",
            "Kite's login page", show=_ADDRESS),
    Setting("TAPEDECK_DATA", "data", "folder", "data", values.read_folder, "a folder this user may write to",
            "folder for everything the desk writes"),
    Setting("TAPEDECK_HOST", "host", "text", "127.0.0.1", values.read_text, "127.0.0.1, ::1, localhost or an address "
            "of this machine", "address the desk listens on; anything but loopback needs users"),
    Setting("TAPEDECK_PORT", "port", "whole number", "5006", values.read_port, "0 to 65535 (0 = any free port)",
            "port the desk listens on"),
    Setting("TAPEDECK_URL", "url", "address", "", values.read_address, "http://host[:port] or https://host[:port]",
            "a running desk to attach to, for notebooks", show=_ADDRESS),
    Setting("TAPEDECK_SEED", "seed", "whole number", "7", int, "a whole number", "seed of the simulated exchange"),
    Setting("TAPEDECK_SIM_SPEED", "sim_speed", "number", "1", values.read_speed, "a number from 0.1 to 600",
            "how many times faster simulated market time runs"),
    Setting("TAPEDECK_SIM_START", "sim_start", "time", "", values.read_start, "an ISO time such as 2026-11-23T09:14:30",
            "simulated market time to start at, ISO; empty: 09:14:30"),
    Setting("TAPEDECK_SESSIONS", "sessions", "file", "", values.read_text, "a YAML file",
            "YAML file laid over the packaged market hours and holidays"),
)  # fmt: skip

#: Read elsewhere, by the tests.
_ALSO_OURS = ("TAPEDECK_TEST_DATA", "TAPEDECK_SHOTS")


@dataclass(frozen=True)
class Settings:
    """What the desk was told. Secrets, and addresses that may hold one, are left out of the repr.

    `found` has for every setting its value as shown and its source, `problems` everything that was wrong.
    `kite_problem` says why Kite may not be contacted although a key was given, or meant; empty when it may.
    """

    api_key: str = ""
    api_secret: str = field(default="", repr=False)
    jwt_secret: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    frontend_url: str = ""
    redirect_url: str = field(default="", repr=False)
    kite_rest: str = KITE_REST
    kite_ws: str = KITE_WS
    kite_login: str = KITE_LOGIN
    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 5006
    url: str = field(default="", repr=False)
    seed: int = 7
    sim_speed: float = 1.0
    sim_start: int | None = None
    sessions: str = ""
    simulate: bool = False
    found: Mapping[str, Found] = field(default_factory=dict, repr=False, compare=False)
    problems: tuple[Problem, ...] = field(default=(), repr=False, compare=False)
    kite_problem: str = ""

    @property
    def has_credentials(self) -> bool:
        """Whether an API key is given, be it a placeholder."""
        return bool(self.api_key)

    @property
    def wants_kite(self) -> bool:
        """Whether the desk is one for Kite: by a key, or by one that was meant and could not be read.

        Only without either may the simulated exchange run by itself.
        """
        return not self.simulate and (self.has_credentials or bool(self.kite_problem))

    @property
    def own_exchange(self) -> bool:
        """Whether Kite's roots were pointed somewhere else, such as at a running simulator."""
        return self.kite_rest != KITE_REST

    @property
    def address(self) -> str:
        """Where people open the desk: FRONTEND_URL, else the address it listens on. No slash at its end."""
        return self.frontend_url or f"http://{values.in_address(self.host)}:{self.port}"

    @property
    def callback(self) -> str:
        """Where Kite leads a person back to: REDIRECT_URL, else the callback under `address`."""
        return self.redirect_url or self.address + rules.CALLBACK


def load(
    environment: Mapping[str, str],
    command_line: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
    **given: Any,
) -> Settings:
    """Settings from, the strongest first: command line, environment, `.env` and `desk.toml` of `folder`, defaults.

    An empty value stands for the default. `given` are values by attribute, taken as they are unless None. A wrong
    value is replaced by the default and told in `Settings.problems`. Without a folder no file is read.

    Raises
    ------
    ConfigError
        Naming every wrong value of the command line: there a person can correct it at once.
    """
    secrets = frozenset(setting.name for setting in SETTINGS if setting.secret)
    files = load_files(folder, secrets) if folder is not None else Files()
    said = Layer("command line", command_line or {})
    layers = (said, Layer("environment", environment), *files.layers)
    read: dict[str, Any] = {}
    found: dict[str, Found] = {}
    wrong: list[Problem] = []
    for setting in SETTINGS:
        read[setting.attribute], found[setting.name], problem = _settle(setting, layers)
        wrong += [problem] if problem else []
    if refused := [problem for problem in wrong if problem.source == said.name]:
        raise ConfigError("\n".join(f"{p.name} {p.message} (from the command line)" for p in refused))
    for setting in SETTINGS:
        if given.get(setting.attribute) is not None:
            found[setting.name] = Found(setting.show(str(given[setting.attribute])), "argument")
            wrong = [problem for problem in wrong if problem.name != setting.name]
    read.update({name: value for name, value in given.items() if value is not None})
    known = [setting.name for setting in SETTINGS]
    unknown = rules.unknown_names(layers[1:], known, also=_ALSO_OURS)
    return _judged(Settings(**read, found=found), wrong, [*files.problems, *unknown])


def _settle(setting: Setting, layers: Sequence[Layer]) -> tuple[Any, Found, Problem | None]:
    """Value, source and problem of one setting: the strongest source that names it decides, right or wrong."""
    default = setting.read(setting.default)
    layer = next((layer for layer in layers if setting.name in layer.values), None)
    raw = layer.values[setting.name].strip() if layer is not None else ""
    if layer is None or not raw:
        return default, Found(setting.show(setting.default), "default"), None
    source = layer.source(setting.name)
    try:
        return setting.read(raw), Found(setting.show(raw), source), None
    except (ValueError, OverflowError):
        # What is no address may be a password that went astray.
        hide = setting.secret or (setting.kind == "address" and "@" in raw)
        shown = values.HIDDEN if hide else repr(raw if len(raw) <= 60 else raw[:59] + "…")
        # Of a root of Kite nothing is: with a key the desk keeps away from Kite, without one it needs none.
        until = f"; until then {setting.default} is used" if setting.default and setting.name not in rules.ROOTS else ""
        remedy = f"Correct {setting.name} or remove it{until}"
        problem = Problem("error", setting.name, shown, source, f"was {shown}; allowed: {setting.allowed}", remedy)
        return default, Found(shown, source), problem


def _judged(settings: Settings, wrong: list[Problem], rest: Sequence[Problem]) -> Settings:
    """The settings with every problem, and without a secret too weak to be used."""
    if settings.api_key and settings.api_key == settings.api_secret:
        # Even the beginning of what may be the secret is not shown.
        hidden = settings.found["ZERODHA_API_KEY"]._replace(value=values.HIDDEN)
        settings = replace(settings, found={**settings.found, "ZERODHA_API_KEY": hidden})
    wrong = [rules.away_from_kite(problem) if settings.has_credentials else problem for problem in wrong]
    rest = rules.meant_kite(settings, rest)
    settings = replace(settings, kite_problem=rules.kite_problem(settings, [*wrong, *rest]))
    broken = {problem.name for problem in wrong}
    judged = [problem for problem in rules.judge(settings) if problem.name not in broken]
    if any(problem.name == "JWT_SECRET" and problem.level == "error" for problem in judged):
        settings = replace(settings, jwt_secret="")
    return replace(settings, problems=(*wrong, *judged, *rest))
