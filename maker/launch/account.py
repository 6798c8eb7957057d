"""Which account at which address a configuration speaks for, for a button that must work when little else does.

Only what is needed is looked at: a mistake in a market's spread must not keep anybody from cancelling.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from maker.launch import key, running, settings

REFUSED = 78  # as maker.errors.ExitCode
TAIL_SECONDS, GIVE_UP_SECONDS = 60.0, 600.0  # for a configuration whose [guard] table is broken: pull all the same


class Stopped(Exception):
    """The command cannot do its work: exit code and sentence."""

    def __init__(self, exit_code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_code, self.sentence = exit_code, sentence


class Account(NamedTuple):
    """The account that a configuration speaks for. Its key is never shown."""

    base_url: str
    key: str
    ca_file: str
    tail_seconds: float
    give_up_seconds: float
    practice: running.Practice | None = None  # None: it is the real one
    warning: str = ""  # what a person must mend about the key's file; it is used all the same


def load(configuration: Path) -> tuple[dict[str, Any], Path]:
    """Return a configuration as it stands, and its state folder. Raises Stopped: nothing was done."""
    try:
        tree = settings.load(configuration)
        return tree, settings.state_folder(tree)
    except settings.SettingsError as problem:
        raise Stopped(REFUSED, f"Nothing was done: {problem}") from None


def account(tree: dict[str, Any], folder: Path, key_file: str) -> Account:
    """Return which account at which address, with its key; `key_file`, where given, is used instead. Raises Stopped.

    A key that others may read is used, with a warning: no start takes it, and what rests must be pulled all the same.
    """
    guard = table(tree, "guard")
    tail, give_up = (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else default
        for value, default in (
            (guard.get("tail_seconds"), TAIL_SECONDS),
            (guard.get("give_up_seconds"), GIVE_UP_SECONDS),
        )
    )
    if tree.get("mode") == "paper":
        practice = running.practice(folder)
        if practice is None:
            raise Stopped(REFUSED, running.none_runs(folder))
        return Account(practice.url, key.PAPER_KEY, "", tail, give_up, practice)
    exchange = table(tree, "exchange")
    try:
        base_url = settings.base_url(exchange.get("base_url"))
        kept = ("", key_file) if key_file else (str(exchange.get("key_env", "")), str(exchange.get("key_file", "")))
        warning = ""
        try:
            secret = key.read_key(*kept, os.environ)
        except key.NoKey as problem:
            secret, warning = key.read_key(*kept, os.environ, even_open=True), str(problem)
    except (key.NoKey, settings.SettingsError) as problem:
        raise Stopped(REFUSED, f"NOTHING WAS CANCELLED, quotes may rest: {problem}") from None
    return Account(base_url, secret, str(exchange.get("ca_file", "")), tail, give_up, warning=warning)


def table(tree: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a sub-table, or an empty one for what is none."""
    value = tree.get(name)
    return value if isinstance(value, dict) else {}
