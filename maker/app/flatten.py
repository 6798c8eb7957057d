"""The command `flatten`: latch, cancel everything, close positions, and say plainly what is left.

It needs nobody's help: the maker may run, hang or be dead. The kill file comes first, so that a running maker and its
guard stop and nothing starts; `closing` does the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.app.addresses import trusted
from maker.app.causes import describe, first_cause
from maker.app.closing import Flattening, Outcome, Stopped
from maker.app.config import Config, api_key, check, read, state_folder
from maker.app.halt import Switch
from maker.app.panic import Panic
from maker.app.reading import AccountReader
from maker.app.wiring import lane_by_session, stand_by
from maker.edge.client import Client
from maker.edge.endpoint import resolve
from maker.edge.lane import Connection, Lane, NotSent
from maker.edge.session import Standby
from maker.errors import ConfigError, ExitCode
from maker.launch import latch, running
from maker.wire import ocx

RESOLVE_SECONDS_MAX: Final = 10.0
CLOSE_SECONDS_MAX: Final = 2.0  # at the end, for connections


class VenueEnded(Exception):
    """The practice exchange has ended with its run: nobody need be asked in vain."""


def main(argv: list[str]) -> int:
    """Run `flatten` and return its exit code; stdout gets what it came to, last."""
    parser = argparse.ArgumentParser(prog="flatten", description="latch, cancel everything, close positions")
    parser.add_argument("configuration", type=Path)
    parser.add_argument("markets", nargs="*", metavar="MARKET", help="close only these; everything is cancelled anyway")
    parser.add_argument("--json", action="store_true", help="the last line on stdout is one JSON object")
    parser.add_argument("--key-file", default="", metavar="FILE", help="holds the key, instead of where CONF says")
    words = parser.parse_args(argv)
    outcome = Outcome()
    try:
        tree = read(words.configuration)
        folder = state_folder(tree)
        unlatched = write_latch(folder)
        is_paper = tree.get("mode") == "paper"
        practice = running.practice(folder) if is_paper else None
        if is_paper and practice is None:
            raise Stopped(ExitCode.REFUSED_TO_START, running.none_runs(folder))
        config = check(tree, practice.url if practice is not None else "")
        if words.key_file:
            config = attrs.evolve(config, exchange=attrs.evolve(config.exchange, key_env="", key_file=words.key_file))
        trio.run(flatten, config, api_key(config, os.environ), frozenset(words.markets), practice, outcome)
        if unlatched and outcome.exit_code is ExitCode.CLEAN:
            outcome.reason += f" BUT NOT LATCHED, a running maker may quote again: {unlatched}."
            outcome.exit_code = ExitCode.UNVERIFIED
    except ConfigError as wrong:
        outcome.reason = f"NOTHING WAS CANCELLED OR CLOSED (`cancel-all` needs less of a configuration): {wrong}"
        outcome.exit_code = ExitCode.REFUSED_TO_START
    except Stopped as stopped:
        outcome.reason, outcome.exit_code = stopped.sentence, stopped.exit_code
    except BaseException as error:  # noqa: BLE001 - the top of this process: Ctrl-C or a bug of ours, no clean end
        cause = first_cause(error)
        if isinstance(cause, VenueEnded):
            after_the_venue(outcome)
        else:
            interrupted = isinstance(cause, KeyboardInterrupt)
            why = "interrupted before it was verified" if interrupted else f"failed ({describe(error)})"
            outcome.reason, outcome.exit_code = f"{why}: QUOTES MAY REST AND POSITIONS BE OPEN", ExitCode.UNVERIFIED
    with contextlib.suppress(ConfigError, OSError):
        outcome.latched = latch.read(state_folder(read(words.configuration))) is not None
    text = json.dumps(attrs.asdict(outcome)) if words.json else outcome.reason
    with contextlib.suppress(OSError):  # nobody reads our stdout any more: the exit code still tells
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    return outcome.exit_code


def after_the_venue(outcome: Outcome) -> None:
    """Say how far it came before the practice exchange ended with its run, which the kill file ends."""
    outcome.open_orders = None
    if outcome.flat:
        outcome.reason = "Nothing rested and it was flat; the practice exchange has ended with its run."
        outcome.exit_code = ExitCode.CLEAN
    else:
        outcome.reason = "The practice exchange ended with its run BEFORE IT WAS FLAT; what rested has gone with it."
        outcome.exit_code = ExitCode.FAILED_EMPTY


async def flatten(
    config: Config, key: str, wanted: frozenset[str], practice: running.Practice | None, outcome: Outcome
) -> None:
    """Wire the parts and run them; `outcome` gets what it came to. `practice`: None for the real exchange."""
    try:
        with trio.fail_after(RESOLVE_SECONDS_MAX):
            endpoint = await resolve(config.exchange.base_url, trusted("exchange.ca_file", config.exchange.ca_file))
    except (NotSent, trio.TooSlowError) as problem:
        why = str(problem) or "the look-up was not answered"
        sentence = f"QUOTES MAY REST AND POSITIONS BE OPEN: the exchange cannot be found ({why})"
        raise Stopped(ExitCode.UNVERIFIED, sentence) from problem
    headers = {ocx.KEY_HEADER: key}

    async def dial() -> Connection:
        if practice is not None and practice.has_ended:
            raise VenueEnded
        return await endpoint.dial()

    def lane(name: str) -> Lane:
        return Lane(name, dial, endpoint.host_header, headers, base_path=endpoint.base_path)

    switch = Switch(Panic((lane("panic-1"), lane("panic-2"))), config.halt.settle_seconds_max)
    session = stand_by(config, endpoint.tls, dial)
    standby = None if session is None else Standby(session, say)
    client = Client(config.exchange.base_url, headers, endpoint.tls, dial=dial, standby=standby)
    run = Flattening(config, wanted, AccountReader(client, {}, say), lane("closing"), switch, say, outcome)
    if session is not None:
        run.by_session = partial(lane_by_session, session, endpoint, dial)
    try:
        await run.run()
    finally:
        run.lane.close()
        switch.panic.close()
        if session is not None:
            await session.end()
        with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            await client.aclose()


def write_latch(folder: Path) -> str:
    """Write the kill file, and return why that was not possible; "" when it was. Pulling goes on either way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        latch.write(folder, "command", "flatten was asked for by command")
    except OSError as problem:
        why = f"the kill file cannot be written in {folder} ({problem.strerror})"
        say(f"NOT LATCHED: {why}.")
        return why
    return ""


def say(sentence: str) -> None:
    """Tell progress on stderr; stdout is for the result."""
    with contextlib.suppress(OSError):
        sys.stderr.write(sentence + "\n")
        sys.stderr.flush()
