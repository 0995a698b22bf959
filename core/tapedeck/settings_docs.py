"""`docs/settings.md` and `.env.example`, made from the declared settings: `python -m tapedeck.settings_docs`."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tapedeck.settings import SETTINGS, Setting
from tapedeck.settings_rules import MAKE_SECRET

_PAGE = """\
# Settings

<!-- Made by `make settings-docs` from core/tapedeck/settings.py; edit that. -->

Each is looked for in these places, and the first that names it decides, right or wrong:

1. the command line (`python -m dashboards --help`),
2. the environment,
3. `.env` in the folder the desk is started in: `NAME=value` lines, nothing in them is replaced,
4. `desk.toml` there: `NAME = value` lines, at the top or under `[desk]`,
5. the default.

An empty value stands for the default. `.env.example` is a `.env` to begin with: copy it, and `chmod 600 .env`.

| name | default | what it is for | allowed |
|---|---|---|---|
{rows}

## What is checked

Every start looks at all of it at once and prints what is wrong, where it came from, what is allowed and what to do.
A wrong value does not stop the desk: the default takes its place, and the part concerned says that it is off. Only a
wrong command line stops it, and a desk that others could reach without logging in. A key or an address of Kite that
is wrong keeps the desk away from Kite altogether: a key never goes to another place than was meant, and simulated
prices never stand in for real ones. The same holds for a key that may have been meant: when a line or a file could
not be read, or a name is nearly `ZERODHA_API_KEY`, a desk without a key says so and stays blank until that is
corrected, or it is started with `--sim`.

```
tapedeck check            # the same by hand: a table; ends with `All critical settings are valid`
tapedeck check --strict   # warnings count too
tapedeck check --kite     # also asks Kite whether it takes the saved token, and what time it is
tapedeck check --json     # for programs
```

It exits with 0 when all is well, 1 for warnings under `--strict`, 2 for errors. Beside the settings it looks at the
data folder (can it be written to), the address to listen on (is it this machine's), access (are there users where
others reach the desk, can the files of those who may enter be read), Redis (does it answer, is it 7.0 or newer), the
clock (within 2 s of Redis, or of Kite when it is asked), the calendar (does it know the coming 30 days), the saved
token, and whether the desk runs inside a container, where `localhost` is the container itself.

## Secrets

{secrets} are secrets: no table, log, error or page shows
them, and addresses are shown without their password. Keep them in the environment or in a `.env` with mode 0600,
never in a `desk.toml` under version control and never on a command line, which every user of the machine can read.
This prints a good `JWT_SECRET`:

```
{make_secret}
```

It must have 32 characters or more that nobody could think up. On a desk that listens on loopback it may be left out:
the desk makes one and keeps it in its data folder with mode 0600; where it cannot, the secret is good for one run,
and open pages do not survive a restart. Whoever changes it ends every bearer token.
"""

_EXAMPLE = """\
# Settings of Tapedeck. Copy to .env, then: chmod 600 .env
# Made by `make settings-docs` from core/tapedeck/settings.py.
# Everything may stay as it is: then the market is simulated.
# The environment and the command line are stronger; what each means: docs/settings.md
"""


def settings_page() -> str:
    """Text of `docs/settings.md`."""
    rows = "\n".join(_row(setting) for setting in SETTINGS)
    names = [f"`{setting.name}`" for setting in SETTINGS if setting.secret]
    secrets = ", ".join(names[:-1]) + " and " + names[-1]
    return _PAGE.format(rows=rows, secrets=secrets, make_secret=MAKE_SECRET)


def example_file() -> str:
    """Text of `.env.example`: every setting, commented out, with its default."""
    parts = [_EXAMPLE]
    for setting in SETTINGS:
        note = f"{_sentence(setting.doc)} Allowed: {setting.allowed}."
        comment = textwrap.fill(note, 116, initial_indent="# ", subsequent_indent="# ")
        parts.append(f"{comment}\n#{setting.name}={setting.default}\n")
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default else "empty"
    secret = " (secret)" if setting.secret else ""
    allowed = setting.allowed if setting.kind in setting.allowed else f"{setting.kind}: {setting.allowed}"
    return f"| `{setting.name}` | {default} | {setting.doc}{secret} | {allowed} |"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def main(argv: Sequence[str] | None = None) -> int:
    """Say which of the two files is stale; with `--write` write them. Exit status 1 when one was stale."""
    parser = argparse.ArgumentParser(prog="python -m tapedeck.settings_docs", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write what is stale")
    parser.add_argument("--folder", type=Path, default=Path(), help="the project's folder (default: this one)")
    args = parser.parse_args(argv)
    stale = 0
    for name, text in (("docs/settings.md", settings_page()), (".env.example", example_file())):
        path = args.folder / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if args.write:
            path.write_text(text, encoding="utf-8")
        else:
            stale = 1
        sys.stdout.write(f"{path}: {'written' if args.write else 'stale; run make settings-docs'}\n")
    return stale


if __name__ == "__main__":
    raise SystemExit(main())
