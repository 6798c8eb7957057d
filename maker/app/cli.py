"""The commands behind `python run.py`, `run` and `test` excepted: their words, their results, their exit codes."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import attrs
import structlog
import trio

from maker.app import flatten, keys, logs, practice, price
from maker.app.config import Config, own_key
from maker.app.host import STOP_SIGNALS
from maker.app.live_teller import Teller
from maker.app.record import Recorder
from maker.app.result import Result
from maker.app.source import Files
from maker.app.supervisor import Options, run
from maker.edge import datagrams, journal, records
from maker.edge.records import unix_ms
from maker.errors import ConfigError, ExitCode, StartRefused
from maker.launch.key import Key
from maker.launch.running import MONITOR_SOCKET
from maker.launch.settings import VERSION

FLUSH_SECONDS_MAX: Final = 2.0  # for journal and log, once the exchange reads empty


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    commands: dict[str, Callable[[list[str]], int]] = {
        "maker-process": maker_process,
        "venue": practice.main,
        "flatten": flatten.main,
        "price": price.main,
        "keys": keys.main,
    }
    name = argv[0] if argv else ""
    if name not in commands:
        known = (
            "run, check, reload, monitor, venue, drill, simulate, compare, price, report, keys, alert-test, "
            "cancel-all, flatten, clear, watch, test"
        )
        reason = f"unknown command {name!r}. There are: {known}; each takes --help."
        sys.stderr.write(reason + "\n")
        if "--json" in argv:
            sys.stdout.write(json.dumps({"reason": reason, "exit_code": int(ExitCode.USAGE)}) + "\n")
        return ExitCode.USAGE
    return commands[name](argv[1:])


# -- the maker, started by its parent -----------------------------------------------------------------------------


def maker_process(argv: list[str]) -> NoReturn:
    """Quote until told to stop, write the result to the parent's pipe, and leave without waiting for anything."""
    parser = argparse.ArgumentParser(prog="maker-process", description="started by `run`, not by hand")
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--result-fd", type=int, required=True)
    parser.add_argument("--guard-fd", type=int, required=True)
    parser.add_argument("--for", dest="for_seconds", type=seconds, default=math.inf)
    parser.add_argument("--venue-url", default="")
    parser.add_argument("--reference-url", default="")
    words = parser.parse_args(argv)
    for number in STOP_SIGNALS:
        # Before and after `run` listens to them: one that comes late must not turn a verified end into a killed one.
        signal.signal(number, lambda _number, _frame: None)
    writer = logs.configure("maker")
    log = structlog.get_logger()
    kept: journal.SqliteJournal | None = None
    try:
        source = Files(words.configuration, words.venue_url, words.reference_url)
        started = source.now()
        config = started.config
        kept = open_journal(config, started.sha256)
        recorder = Recorder(log, kept)
        ours = own_key(config, os.environ)
        wallet = config.exchange.wallet()
        if wallet is not None:
            wallet.address()  # refused now, rather than when it is needed
        teller = a_teller(config, kept, ours, log)
        options = Options(words.for_seconds, words.guard_fd, ours.expires_at, teller, source, started.tree)
        result = trio.run(run, config, ours.secret, options, recorder)
    except StartRefused as refused:
        result = Result(reason=refused.sentence, exit_code=refused.exit_code)
    except ConfigError as wrong:
        result = Result(reason=f"configuration: {wrong}")
    log.info("ended", sentence=result.reason, exit_code=int(result.exit_code))
    if kept is not None:
        kept.put(records.RunEnd(unix_ms(), result.reason, int(result.exit_code), result.verified_empty))
    report(words.result_fd, result)
    if kept is not None:
        kept.close(FLUSH_SECONDS_MAX)
    writer.flush(FLUSH_SECONDS_MAX)
    os._exit(result.exit_code)  # H16: the interpreter's own shutdown can hang on a full pipe


def seconds(text: str) -> float:
    """`--for` as the parent passes it on: a number of seconds with its unit."""
    return float(text.removesuffix("s"))


def report(result_fd: int, result: Result) -> None:
    """Hand the result to the parent; a parent that is gone reads nothing."""
    with contextlib.suppress(OSError):
        os.write(result_fd, json.dumps(attrs.asdict(result)).encode())


def a_teller(
    config: Config, kept: journal.SqliteJournal, ours: Key, log: structlog.typing.FilteringBoundLogger
) -> Teller | None:
    """What tells the monitor; None where this machine gives us no socket for it, which is no reason not to quote."""
    try:
        sender = datagrams.Sender(config.state_folder / MONITOR_SOCKET)
    except OSError as problem:
        log.warning("not told", sentence=f"nothing can be told to the monitor: {problem}")
        return None
    return Teller(kept.run_id, unix_ms() / 1000, ours, sender.send_nowait)


def open_journal(config: Config, config_sha256: str) -> journal.SqliteJournal:
    """Open the journal in the state folder. Raises StartRefused."""
    started = records.Run(
        run_id=secrets.token_hex(8),
        started_at_unix_ms=unix_ms(),
        mode=config.mode,
        account=config.account,
        config_sha256=config_sha256,
        version=VERSION,
        order_prefix=config.order_prefix,
        models=", ".join(f"{market_id} {market.model}" for market_id, market in config.markets.items()),
    )
    try:
        config.state_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartRefused(f"The state folder {config.state_folder} cannot be made: {error.strerror}.") from error
    return journal.SqliteJournal(config.state_folder / "journal.sqlite", started)
