"""`watch`: its words, its configuration and key, its signals, and what it ends with.

It needs the standard library alone, as the red button does: neither `.venv` nor packages. Of the configuration it
reads mode, order_prefix, [exchange] (base_url, ca_file), [watch], and the few times that bound an order's age; what is
wrong elsewhere keeps nobody from watching. With packages it tells people too (`teller`); without, its log alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from maker.guard.exchange import Exchange
from maker.launch import key, parent, running, settings
from maker.launch.account import REFUSED, Stopped, table
from maker.launch.buttons import PracticeExchange
from maker.watcher.bounds import Bounds, bounds
from maker.watcher.host import Host, Wanted, say
from maker.watcher.notify import STOPPING, notify, status
from maker.watcher.steps import CLEAN, CREDENTIALS, Ended
from maker.watcher.teller import Teller, a_teller

USAGE = 2  # as maker.errors.ExitCode
USAGE_LINE = "usage: watch CONF [--key-file FILE] [--json]"


class Words(NamedTuple):
    """The command's words."""

    configuration: Path
    key_file: str  # instead of the configuration's; "" for that one


def main(argv: list[str]) -> int:
    """Run `watch` and return the exit code; stdout gets what it came to, last."""
    if "--help" in argv or "-h" in argv:
        sys.stdout.write(USAGE_LINE + "\n")
        return CLEAN
    host: Host | None = None
    teller = Teller(say, None)
    with contextlib.ExitStack() as stack:
        signals = parent.catch_signals(stack)
        try:
            words = parse(argv)
            teller = a_teller(words.configuration, os.environ, say)
            host = Host(wanted(words), partial(parent.told, signals), os.environ, say=teller.say, beside=teller)
            ended = host.watch()
        except Stopped as stopped:
            ended = Ended(stopped.exit_code, stopped.sentence)
            teller.refused(ended)
        say("stopped", ended.sentence, level="error" if ended.exit_code else "info")
        notify(os.environ, STOPPING, status(ended.sentence))
        text = json.dumps(fields(ended, host), ensure_ascii=False) if "--json" in argv else ended.sentence
        with contextlib.suppress(OSError):  # nobody reads our stdout any more: the exit code still tells
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        teller.end()
    return ended.exit_code


def fields(ended: Ended, host: Host | None) -> dict[str, Any]:
    """Return the result as JSON's object; `orders_of_ours` is null when none was read."""
    watcher = host.watcher if host else None
    return {
        "reason": ended.sentence,
        "exit_code": ended.exit_code,
        "pulls": watcher.pulls if watcher else 0,
        "reads": watcher.reads if watcher else 0,
        "orders_of_ours": len(watcher.ages.orders) if watcher and watcher.reads else None,
    }


def parse(words: list[str]) -> Words:
    """Read the command's words. Raises Stopped."""
    configurations: list[str] = []
    key_file = ""
    rest = iter(words)
    for word in rest:
        if word == "--json":
            continue
        if word == "--key-file":
            key_file = next(rest, "")
            if not key_file or key_file.startswith("-"):
                raise Stopped(USAGE, f"--key-file needs a path. {USAGE_LINE}")
        elif word.startswith("-"):
            raise Stopped(USAGE, f"unknown option {word}. {USAGE_LINE}")
        else:
            configurations.append(word)
    if len(configurations) != 1:
        raise Stopped(USAGE, f"one configuration is needed, not {len(configurations)}. {USAGE_LINE}")
    return Words(Path(configurations[0]), key_file)


def wanted(words: Words) -> Wanted:
    """Read what is to be watched. Raises Stopped: nobody watches."""
    try:
        tree = settings.load(words.configuration)
        found = bounds(tree)
        prefix = settings.text(tree, "order_prefix", words.configuration)
        if tree.get("mode") not in settings.MODES:
            raise settings.SettingsError(f"mode must be one of {', '.join(settings.MODES)}.")
        return (practice if tree["mode"] == "paper" else live)(tree, words, found, prefix)
    except key.Unfit as problem:
        raise Stopped(CREDENTIALS, f"NOBODY WATCHES: {problem}") from None
    except (settings.SettingsError, key.NoKey) as problem:
        raise Stopped(REFUSED, f"NOBODY WATCHES: {problem}") from None


def practice(tree: dict[str, Any], _words: Words, found: Bounds, prefix: str) -> Wanted:
    """The practice exchange of a run on this machine. Raises Stopped, SettingsError."""
    folder = settings.state_folder(tree)
    there = running.practice(folder)
    if there is None:
        raise Stopped(REFUSED, running.none_runs(folder))
    exchange = PracticeExchange(there.url, key.PAPER_KEY)
    exchange.practice = there
    return Wanted(found, prefix, exchange, lambda: key.Key(key.PAPER_KEY))


def live(tree: dict[str, Any], words: Words, found: Bounds, prefix: str) -> Wanted:
    """The real one. Its key: --key-file, or [watch]'s, or [exchange]'s. Raises Stopped, SettingsError, NoKey, Unfit."""
    exchange, watch = table(tree, "exchange"), table(tree, "watch")
    kept = watch if watch.get("key_env") or watch.get("key_file") else exchange
    key_env, key_file = str(kept.get("key_env", "")), str(kept.get("key_file", ""))
    if words.key_file:
        key_env, key_file = "", words.key_file
    read_key = partial(key.read, key_env, key_file, os.environ)
    try:
        ours = read_key()
    except key.NoKey as problem:
        if kept is watch and not words.key_file:
            raise key.NoKey(problem.field.replace("exchange.", "watch."), problem.problem, problem.fix) from None
        raise
    key.refuse_scope(ours, words.configuration)
    base_url = settings.base_url(exchange.get("base_url"))
    ca_file = os.path.expanduser(str(exchange.get("ca_file", "")))
    try:
        return Wanted(found, prefix, Exchange(base_url, ours.secret, ca_file), read_key)
    except OSError as problem:  # ssl.SSLError among it
        raise Stopped(REFUSED, f"NOBODY WATCHES: exchange.ca_file: {problem}.") from None
