"""`check CONF [--key-file FILE] [--json]`: whether a start would go well. Nothing is placed, cancelled or latched.

    of this machine    configuration, key, state folder, journal, disk, descriptors, guard, latch, lock
    of the exchange    address, TLS, listing, key, clock, markets, fees, requests, margin, losses,
                       foreign orders, foreign positions
    of others          reference feeds, and the exchange once more by the guard's own means

One line each, as soon as it is known. The exit code is the one that `run` would be refused with, 77 or 78, by the first
check that says so; 1 when another one failed; 0 when a start may be tried.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from maker.app.causes import first_cause
from maker.app.config import load, own_key
from maker.errors import ExitCode
from maker.launch.key import Key
from maker.preflight import account, api_key, exchange, local, practice, references, rehearsal, standing
from maker.preflight.local import Configured
from maker.preflight.sequence import Sequence
from maker.preflight.setting import (
    CONFIGURATION,
    EXCHANGE,
    KEY,
    LISTING,
    MARGIN,
    NO_KEY,
    PRACTICE,
    THIS_WAY,
    TLS,
    Known,
    Ways,
)
from maker.preflight.verdict import Finding, Row, exit_code, summary

GUARD_ROUTE: Final = "guard's route"
AS_CTRL_C: Final = (signal.SIGTERM, signal.SIGHUP)  # what was started for the check is ended too


@attrs.define
class Words:
    """The command's words."""

    configuration: Path
    key_file: str = ""  # instead of the configuration's, which may be there only while a service runs
    json: bool = False


def main(argv: list[str], ways: Ways = THIS_WAY) -> int:
    """Check, and return the exit code; stdout gets a line a check, and last what it came to."""
    words = parse(argv)
    sequence = Sequence(lambda row: say(row.line))
    try:
        with interruptible():
            check_all(words, sequence, ways)
        reason, code = summary(sequence.rows), exit_code(sequence.rows)
    except BaseException as error:  # noqa: BLE001 - the top of this process: Ctrl-C or a bug of ours, and no pass
        cause, made = first_cause(error), len(sequence.rows)
        code = ExitCode.FAILURES_FOUND
        if isinstance(cause, KeyboardInterrupt):
            reason = f"Stopped after {made} checks."
        else:
            traceback.print_exc()
            reason = f"Failed after {made} checks, by a bug of ours: {type(cause).__name__}."
    say(json.dumps(fields(sequence.rows, reason, code), ensure_ascii=False) if words.json else reason)
    return code


def parse(argv: list[str]) -> Words:
    parser = argparse.ArgumentParser(prog="run.py check", description="whether a start would go well; places nothing")
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--key-file", default="", metavar="FILE", help="holds the key, instead of where CONF says")
    parser.add_argument("--json", action="store_true", help="the last line on stdout is one JSON object")
    given = parser.parse_args(argv)
    return Words(given.configuration, given.key_file, given.json)


def fields(rows: list[Row], reason: str, code: ExitCode) -> dict[str, Any]:
    """The JSON object."""
    return {"reason": reason, "exit_code": int(code), "checks": [row.fields for row in rows]}


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads our stdout any more: the exit code still tells
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let other stop signals do as Ctrl-C does, which Trio knows how to take; where that one is ignored, they kill."""
    heeded = [number for number in AS_CTRL_C if signal.getsignal(number) is not signal.SIG_IGN]  # nohup stays in force
    before = {}
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        before = {number: signal.signal(number, as_ctrl_c) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def as_ctrl_c(_number: int, _frame: object) -> None:
    signal.raise_signal(signal.SIGINT)


# -- the order of all checks --------------------------------------------------------------------------------------


def check_all(words: Words, sequence: Sequence, ways: Ways = THIS_WAY) -> None:
    """Make every check, in the order in which a start would meet what it is about."""
    found: list[Configured] = []

    def configuration() -> Finding:
        found.append(with_key_file(local.configured(words.configuration), words.key_file))
        return local.configuration(found[0])

    if not sequence.make(CONFIGURATION, configuration):
        sequence.not_made(f"{CONFIGURATION} did not pass", *FOLLOWING)
        return
    with contextlib.ExitStack() as stack:
        config, key = found[0].config, of_this_machine(found[0], sequence, ways)
        if config.mode == "paper":
            venue = practice.Venue()

            def practice_exchange() -> Finding:
                nonlocal config
                finding = venue.find(config, found[0].parent, stack)
                config = load(words.configuration, venue.url, venue.reference_url)
                return finding

            sequence.make(PRACTICE, practice_exchange, CONFIGURATION)
        known = Known(config, key, ways)
        trio.run(of_the_others, known, sequence)
        route = partial(rehearsal.route, found[0].parent, config.exchange.base_url, key.secret)
        sequence.make(GUARD_ROUTE, route, *api_key.ACCEPTED)


def with_key_file(found: Configured, key_file: str) -> Configured:
    if not key_file:
        return found
    config = found.config
    where = attrs.evolve(config.exchange, key_env="", key_file=key_file)
    return Configured(attrs.evolve(config, exchange=where), found.parent)


def of_this_machine(found: Configured, sequence: Sequence, ways: Ways) -> Key:
    """What needs no network. Returns the key; an empty one where there is none."""
    config, parent = found.config, found.parent
    key = NO_KEY

    def read_key() -> Finding:
        nonlocal key
        key = own_key(config, os.environ)
        sequence.secret = key.secret
        return local.fit_key(found, key, ways.wall())

    sequence.make(KEY, read_key, CONFIGURATION)
    sequence.make("state folder", partial(local.state_folder, config.state_folder), CONFIGURATION)
    sequence.make("journal", partial(local.journal, config.state_folder), "state folder")
    sequence.make("disk", partial(local.disk, config.state_folder), CONFIGURATION)
    sequence.make("descriptors", partial(local.descriptors, config), CONFIGURATION)
    sequence.make("guard", rehearsal.guard, CONFIGURATION)
    sequence.make("latch", partial(standing.latch, parent), "state folder")
    sequence.make("lock", partial(standing.lock, parent), "state folder")
    return key


async def of_the_others(known: Known, sequence: Sequence) -> None:
    """What the exchange and the reference feeds say."""
    wait, config = sequence.wait, known.config
    there = (PRACTICE,) if config.mode == "paper" else (CONFIGURATION,)
    accepted = api_key.ACCEPTED
    try:
        await wait(EXCHANGE, partial(exchange.find, known), *there)
        await wait(TLS, partial(exchange.encrypt, known), EXCHANGE)
        await wait(LISTING, partial(exchange.listing, known), TLS)
        await wait(api_key.CREDENTIALS, partial(account.credentials, known), KEY, TLS)
        for name in (api_key.EXPIRY, api_key.PINS, api_key.SCOPE):
            await wait(name, partial(account.about_key, known, name), api_key.CREDENTIALS)
        await wait("clock", partial(exchange.clock, known), TLS, refuses=False)
        for market_id in config.markets:
            await wait(f"market.{market_id}", partial(exchange.market, known, market_id), LISTING)
        listed = tuple(f"market.{market_id}" for market_id in config.markets)
        await wait("fees", partial(account.fees, known), *accepted, *listed)
        for market_id in config.markets:
            await wait(f"grid.{market_id}", partial(exchange.grid, known, market_id), f"market.{market_id}")
        for market_id in config.markets:
            needs = (*accepted, f"grid.{market_id}")
            await wait(f"stream.{market_id}", partial(exchange.stream, known, market_id), *needs, refuses=False)
        grids = tuple(f"grid.{market_id}" for market_id in config.markets)
        await wait("rate limit", partial(account.rate_limit, known), *accepted)
        await wait(MARGIN, partial(account.margin, known), *accepted, *grids)
        await wait("losses", partial(account.losses, known), MARGIN)
        await wait("foreign orders", partial(account.foreign_orders, known), *accepted)
        await wait("foreign positions", partial(account.foreign_positions, known), *accepted)
        await references.all_feeds(sequence, known, *there)
    finally:
        with trio.CancelScope(shield=True):  # closing our connections waits for nothing
            await known.aclose()


FOLLOWING: Final = (  # every check but the first; markets and feeds are not known by name without a configuration
    *(KEY, "state folder", "journal", "disk", "descriptors", "guard", "latch", "lock"),
    *(EXCHANGE, TLS, LISTING, *api_key.ACCEPTED, "clock", "market", "fees", "grid", "stream"),
    *("rate limit", MARGIN, "losses", "foreign orders", "foreign positions", "reference", GUARD_ROUTE),
)
