"""The words of `keys`, and the questions for those that were not given. No secret is ever one of them."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import attrs

from maker.errors import MakerError
from maker.wire import ocx

SCOPES: Final = ("read", "trade")
DAYS_MAX: Final = 3650
NAME_LENGTH_MAX: Final = 64
QUESTIONS_MAX: Final = 3  # of one kind, before giving up on answers that make no sense

SECRET: Final = re.compile(rf"(0x)?[0-9a-fA-F]{{64}}|.*{ocx.KEY_PREFIX}.*")

Ask = Callable[[str], str]  # a question -> the answer, as one line
Value = TypeVar("Value")


class UsageError(MakerError):
    """Words that the command does not know, or too few; the message is one sentence."""


@attrs.frozen(kw_only=True)
class Words:
    """One command, with everything that it needs to know but the wallet's key."""

    action: str  # create, list or revoke
    configuration: Path
    wallet_file: str = ""  # "": ask at the terminal
    as_json: bool = False
    wanted: ocx.ApiKeyRequest | None = None  # for create
    out: str = ""  # where the secret goes; "": it is shown
    key_id: str = ""  # for revoke
    anyway: bool = False


def parser() -> argparse.ArgumentParser:
    """What is understood."""
    top = argparse.ArgumentParser(
        prog="run.py keys", description="make, list and revoke API keys, signed in with the account's wallet"
    )
    actions = top.add_subparsers(dest="action", required=True, metavar="create|list|revoke")
    about = {
        "create": "make a key; what is not said is asked for at a terminal",
        "list": "show every key of the account, and how many days each is still good for",
        "revoke": "revoke a key, at once",
    }
    for name, help_text in about.items():
        one = actions.add_parser(name, help=help_text, description=help_text)
        one.add_argument("configuration", type=Path, metavar="CONF")
        if name == "revoke":
            one.add_argument("key_id", metavar="KEY_ID", help="ocx_kid_…, as `list` shows it")
            one.add_argument("--anyway", action="store_true", help="although something seems to run with it")
        if name == "create":
            one.add_argument("--scope", choices=SCOPES, help="read: look. trade: quote and cancel too")
            pins = one.add_mutually_exclusive_group()
            pins.add_argument("--ip", action="append", metavar="ADDRESS", help="may be used from here; repeatable")
            pins.add_argument("--any-ip", action="store_true", help="may be used from anywhere")
            life = one.add_mutually_exclusive_group()
            life.add_argument("--days", metavar="N", help=f"until it expires, 1 to {DAYS_MAX}")
            life.add_argument("--no-expiry", action="store_true", help="it never expires")
            one.add_argument("--name", default="maker", help="for people (default maker)")
            one.add_argument("--out", metavar="FILE", help="write it to this new file, mode 0600, and do not show it")
        one.add_argument("--wallet-file", default="", metavar="FILE", help="holds the wallet's private key, mode 0600")
        one.add_argument("--json", action="store_true", help="the last line on stdout is one JSON object")
    return top


def parse(argv: list[str], ask: Ask | None) -> Words:
    """Read the words, and ask for what is missing where there is somebody to ask. Raises UsageError."""
    if any(SECRET.fullmatch(word.rpartition("=")[2]) for word in argv):
        raise UsageError(
            "a secret stands among the words, where the process list and your shell's history keep it: replace it. "
            "The wallet's key comes from a file (--wallet-file) or is asked for."
        )
    said = parser().parse_args(argv)
    common = {"configuration": said.configuration, "wallet_file": said.wallet_file, "as_json": said.json}
    if said.action != "create":
        more = {"key_id": said.key_id, "anyway": said.anyway} if said.action == "revoke" else {}
        return Words(action=said.action, **common, **more)
    if not (0 < len(said.name) <= NAME_LENGTH_MAX and said.name.isprintable()):
        raise UsageError(f"--name must have 1 to {NAME_LENGTH_MAX} printable characters.")
    if said.scope is None and ask is None:
        raise UsageError("--scope is missing: read or trade.")
    wanted = ocx.ApiKeyRequest(
        name=said.name,
        scope=said.scope or answered(ask, "Scope (read: look; trade: quote and cancel too): ", scope),
        allowed_ips=pins_of(said, ask),
        expires_in_days=days_of(said, ask),
    )
    out = said.out
    if out is None:
        out = ask("Write the secret to a new file (empty: show it, once): ").strip() if ask is not None else ""
    return Words(action="create", **common, wanted=wanted, out=out)


def pins_of(said: argparse.Namespace, ask: Ask | None) -> list[str]:
    """The addresses a key may be used from; none: any. Raises UsageError."""
    if said.any_ip or (said.ip is None and ask is None):
        return []
    if said.ip is not None:
        return addresses(" ".join(said.ip))
    return answered(ask, "Addresses it may be used from, with spaces between (empty: any): ", addresses)


def days_of(said: argparse.Namespace, ask: Ask | None) -> int | None:
    """The days a key is good for; None: for ever. Raises UsageError."""
    if said.no_expiry or (said.days is None and ask is None):
        return None
    if said.days is not None:
        return days(said.days or "none")
    return answered(ask, "Days until it expires (empty: never): ", days)


def answered(ask: Ask | None, question: str, read: Callable[[str], Value]) -> Value:
    """Ask until an answer makes sense, a few times. Raises UsageError."""
    assert ask is not None, "whoever asks has somebody to ask"
    for left in reversed(range(QUESTIONS_MAX)):
        try:
            return read(ask(question).strip())
        except UsageError as wrong:
            if not left:
                raise
            sys.stderr.write(f"{wrong}\n")
    raise AssertionError("the last answer either makes sense or raises")


def scope(text: str) -> str:
    """Read a scope. Raises UsageError."""
    if text not in SCOPES:
        raise UsageError("The scope is read or trade.")
    return text


def addresses(text: str) -> list[str]:
    """Read addresses, each once and in its one spelling. Raises UsageError."""
    found: list[str] = []
    for word in text.replace(",", " ").split():
        try:
            found.append(str(ipaddress.ip_address(word)))
        except ValueError:
            raise UsageError("Write single addresses, such as 203.0.113.7, with spaces between.") from None
    return list(dict.fromkeys(found))


def days(text: str) -> int | None:
    """Read a number of days; empty is never. Raises UsageError."""
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= DAYS_MAX:
        return int(text)
    raise UsageError(f"Days are a whole number from 1 to {DAYS_MAX}.")


def warnings(wanted: ocx.ApiKeyRequest, *, is_local: bool) -> list[str]:
    """What somebody should know before a key is made; `is_local`: the exchange is on this machine."""
    found = []
    if not wanted.allowed_ips:
        found.append("no pinned address: whoever gets hold of the secret can use it from anywhere (--ip).")
    for address in wanted.allowed_ips:
        with contextlib.suppress(ValueError):
            if not is_local and not ipaddress.ip_address(address).is_global:
                found.append(f"{address} is no public address: the exchange sees the one your network goes out by.")
    if wanted.expires_in_days is None:
        found.append("no expiry: a secret that is lost stays good until somebody revokes it (--days).")
    return found


def terminal() -> Ask | None:
    """Return what asks the person at the terminal; None where nobody is there."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> str:
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise UsageError("nobody answers.")
        return line

    return ask
