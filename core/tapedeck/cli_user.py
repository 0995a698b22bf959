"""`tapedeck user` and `tapedeck token`: who may enter a desk, kept in its data folder. A running desk notices."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

from tapedeck.bearers import MAX_DAYS, Bearers, jwt_secret
from tapedeck.clock import SECOND, SystemClock, to_ist
from tapedeck.errors import ConfigError
from tapedeck.settings import Settings, load
from tapedeck.settings_values import is_loopback
from tapedeck.users import MIN_PASSWORD, OPERATOR, ROLES, VIEWER, Users, check_password, parse_name

_STDIN = "--password-stdin"


def declare_user(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tapedeck user`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="add a user; the desk then asks everybody for a name and a password")
    add.add_argument("name", help="1 to 32 of a-z, 0-9, '.', '_' and '-'")
    add.add_argument(
        "--role", choices=ROLES, default=OPERATOR, help="a viewer looks, an operator changes (default: %(default)s)"
    )
    passwd = actions.add_parser("passwd", help="give a user another password, and log them out")
    passwd.add_argument("name")
    for action in (add, passwd):
        action.add_argument(
            _STDIN, action="store_true", help=f"read the password, {MIN_PASSWORD} characters or more, from one line"
        )
    remove = actions.add_parser("remove", help="take a user away, and log them out")
    remove.add_argument("name")
    remove.add_argument("--force", action="store_true", help="also the last operator: nobody can log in to Kite then")
    actions.add_parser("list", help="show all users and their roles")


def run_user(args: argparse.Namespace) -> int:
    """Do what `tapedeck user` was asked; exit status."""
    folder = load(os.environ, folder=Path.cwd()).data
    users = Users(folder)
    if args.action == "list":
        for name in users.names():
            print(f"{name}\t{users.role(name)}")
        if not users.names():
            print(f"no users in {folder}: a desk on this machine opens by the address it prints", file=sys.stderr)
        return 0
    name = parse_name(args.name)
    if args.action == "add":
        first = not users.names()
        users.add(name, _ask_password(args), role=args.role)
        print(f"{name} may log in as {args.role}")
        if first:
            print("A desk that is running goes on without passwords until it is started again.")
    elif args.action == "passwd":
        users.set_password(name, _ask_password(args))
        print(f"{name} has another password and is logged out")
    else:
        users.remove(name, force=args.force)
        print(f"{name} was removed and is logged out")
    return 0


def declare_token(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tapedeck token`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="print a new bearer token for the API and the stream")
    create.add_argument(
        "--role", choices=ROLES, default=VIEWER, help="a viewer reads, an operator changes (default: %(default)s)"
    )
    create.add_argument("--days", type=int, default=30, help=f"days it is good for, 1 to {MAX_DAYS} (default: 30)")
    create.add_argument("--name", default="notebook", help="what it is for (default: %(default)s)")
    actions.add_parser("list", help="show the tokens made here that have not expired, without the tokens themselves")
    actions.add_parser("revoke", help="take a token away").add_argument("number", help="as `token list` shows it")


def run_token(args: argparse.Namespace) -> int:
    """Do what `tapedeck token` was asked; exit status."""
    bearers = _bearers(load(os.environ, folder=Path.cwd()))
    if args.action == "create":
        print(bearers.issue(args.name, role=args.role, days=args.days))
    elif args.action == "revoke":
        bearers.revoke(args.number)
        print(f"{args.number} is revoked")
    else:
        for row in bearers.issued():
            until = to_ist(row["exp"] * SECOND)
            state = "revoked" if row["revoked"] else f"until {until:%Y-%m-%d %H:%M} IST"
            print(f"{row['jti']}\t{row['role']}\t{state}\t{row['sub']}")
    return 0


def _bearers(settings: Settings) -> Bearers:
    secret = jwt_secret(settings.jwt_secret, settings.data, loopback=is_loopback(settings.host))
    return Bearers(secret, settings.data, SystemClock())


def _ask_password(args: argparse.Namespace) -> str:
    """The new password: one line of the standard input, or typed twice. Never an argument: others could read it."""
    if args.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("Password: ")
        check_password(password)
        if getpass.getpass("Again: ") != password:
            raise ConfigError("the two passwords were not the same; nothing was changed")
    check_password(password)
    return password
