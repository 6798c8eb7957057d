"""`monitor CONF [--json]`: look on at whatever run this configuration's state folder has, now and later.

`run` starts one beside each maker; by hand it is for a run that was told not to (`[monitor] enabled = false`). One a
state folder: the maker tells one socket. Exit codes: 0 stopped as asked · 2 usage · 77 its key may trade · 78 refused.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

from maker.app import logs
from maker.app.addresses import trusted
from maker.app.causes import first_cause
from maker.app.config import Config, load
from maker.errors import ConfigError, ExitCode, StartRefused
from maker.launch import key, running
from maker.launch.lock import Lock
from maker.launch.reloading import RELOAD_SIGNAL
from maker.launch.settings import VERSION
from maker.launch.terminal import can_draw
from maker.monitor import manners, pages
from maker.monitor.behind import stay_behind
from maker.monitor.board import Board
from maker.monitor.exchange import ExchangeReader, connector
from maker.monitor.kill import TOKEN_FILE, Killer
from maker.monitor.lookout import lookout
from maker.monitor.process import Monitor
from maker.monitor.processes import Processes
from maker.monitor.server import SPARE_CONNECTIONS, Server
from maker.monitor.terminal_line import TerminalLine
from maker.monitor.view import About

LOCK_FILE: Final = "monitor.lock"
LOCK_SECONDS_MAX: Final = 10.0  # for the monitor of a run that has just ended: it sees the next one within a second
LOCK_POLL_SECONDS: Final = 0.2
SPARE_DESCRIPTORS: Final = 64
FLUSH_SECONDS_MAX: Final = 0.5
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
NO_KEY: Final = key.Key("")


@attrs.frozen
class Words:
    """The command's words."""

    configuration: Path
    json: bool
    owner_pid: int | None  # of the run that starts it
    status: bool  # keep a line with the state on stderr


def main(argv: list[str]) -> int:
    """Look on until told to stop, and return the exit code; stdout gets where the page is, then what it ended with."""
    # A run starts us with all of them blocked. One stays so: whoever sends it to a whole service means the run alone.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals() - {RELOAD_SIGNAL})
    words = parse(argv)
    stay_behind()
    writer = logs.configure("monitor")
    log = structlog.get_logger()
    code, reason = ExitCode.CLEAN, "stopped as asked"
    try:
        with contextlib.ExitStack() as stack:
            look_on(words, log, stack)
    except key.Unfit as unfit:
        code, reason = ExitCode.CREDENTIALS, str(unfit)
    except ConfigError as wrong:
        code, reason = ExitCode.REFUSED_TO_START, f"configuration: {wrong}"
    except StartRefused as refused:
        code, reason = refused.exit_code, refused.sentence
    log.info("ended", sentence=reason, exit_code=int(code))
    writer.flush(FLUSH_SECONDS_MAX)
    if words.owner_pid is None:
        say(json.dumps({"reason": reason, "exit_code": int(code)}) if words.json else reason)
    return code


def parse(argv: list[str]) -> Words:
    parser = argparse.ArgumentParser(
        prog="run.py monitor", description="the status page of a run, and what goes with it"
    )
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--json", action="store_true", help="lines on stdout are JSON objects")
    parser.add_argument("--owner-pid", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--status", action="store_true", help="keep a line with the state on the terminal")
    given = parser.parse_args(argv)
    return Words(given.configuration, given.json, given.owner_pid, given.status)


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads our stdout any more: the page is served all the same
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def look_on(words: Words, log: structlog.typing.FilteringBoundLogger, stack: contextlib.ExitStack) -> None:
    """Look on until told to stop. Raises ConfigError, StartRefused, Unfit."""
    config = load(words.configuration)
    read_key = own_key(config, os.environ, words.configuration)
    if config.mode == "live" and not read_key.secret:
        log.warning("no key", sentence="no read key is configured: the exchange is not asked, and nothing is compared")
    if not config.monitor.is_local:
        address = config.monitor.address
        log.warning("open", sentence=f"the page is served on {address}, in the clear, to whoever reaches it")
    hold_lock(config.state_folder, stack)
    allow_descriptors(config.monitor.clients_max)
    monitor = a_monitor(config, read_key, words, log)
    stack.callback(monitor.close)
    try:
        monitor.server.killer.make_token()
    except OSError as problem:
        log.warning("no kill button", sentence=f"no token can be written into {config.state_folder}: {problem}")
    try:
        trio.run(with_signals, monitor, partial(tell_ready, words, config))
    except BaseException as error:
        cause = first_cause(error)
        if isinstance(cause, OSError):
            own = config.monitor
            raise StartRefused(
                f"monitor.address {own.address} and port {own.port} cannot be used: {cause.strerror or cause}.",
                fix="Another bot's monitor may be there: give each a port of its own, or 0.",
            ) from error
        raise


async def with_signals(monitor: Monitor, ready: partial[None]) -> None:
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        await monitor.run(signals, ready)


def tell_ready(words: Words, config: Config, port: int) -> None:
    """Say where the page is: to the run that started us, or to a person."""
    url = manners.url(config.monitor.address, port)
    token_file = config.state_folder / TOKEN_FILE
    if words.json or words.owner_pid is not None:
        say(json.dumps({"monitor_url": url, "token_file": str(token_file)}))
    else:
        say(f"The status page is at {url} (the token of its kill button: {token_file}).")


def a_monitor(config: Config, read_key: key.Key, words: Words, log: structlog.typing.FilteringBoundLogger) -> Monitor:
    """Make the parts and put them together."""
    folder, own = config.state_folder, config.monitor
    server = Server(
        pages.load(),
        manners.names(own.address, own.host_name),
        Board(own.clients_max),
        Killer(folder, config.account, lambda event, sentence: log.warning(event, sentence=sentence)),
        folder / "journal.sqlite",
    )
    trusts = trusted("exchange.ca_file", config.exchange.ca_file)
    connect = connector(read_key.secret, trusts) if read_key.secret else None
    draws = words.status and can_draw(2)
    return Monitor(
        config=config,
        about=About(VERSION, (read_key.scope or "read") if read_key.secret else "none", time.time()),
        server=server,
        exchange=ExchangeReader(connect, partial(exchange_url, config)),
        lookout=lookout(config, words.configuration, os.environ),
        processes=Processes(folder),
        log=log,
        terminal=TerminalLine(2) if draws else None,
        owner_pid=words.owner_pid,
    )


def exchange_url(config: Config) -> str:
    """Where the exchange is now; empty while no run has a practice exchange."""
    if config.mode == "live":
        return config.exchange.base_url
    practice = running.practice(config.state_folder)
    return "" if practice is None else practice.url


def own_key(config: Config, environment: Mapping[str, str], configuration: Path) -> key.Key:
    """The monitor's own key; one without a secret where none is configured. Raises ConfigError, Unfit."""
    own = config.monitor
    if config.mode == "paper":
        return key.Key(key.PAPER_READ_KEY, scope="read")
    if not own.has_key:
        return NO_KEY
    try:
        found = key.read(own.key_env, own.key_file and str(Path(own.key_file).expanduser()), environment)
    except key.NoKey as problem:
        raise ConfigError(problem.field.replace("exchange.", "monitor."), problem.problem, problem.fix) from problem
    if found.scope not in ("", "read") and not own.trade_key_allowed:
        raise key.Unfit(
            f"the monitor's key {found.key_id} has the scope {found.scope!r}: whoever only looks must not be able to "
            "trade.",
            f"`keys create {configuration} --scope read` makes one, or say monitor.trade_key_allowed = true.",
        )
    return found


def hold_lock(folder: Path, stack: contextlib.ExitStack) -> None:
    """One monitor a state folder. Raises StartRefused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / LOCK_FILE)
    except OSError as problem:
        raise StartRefused(f"The state folder {folder} cannot be used: {problem.strerror}.") from problem
    stack.callback(os.close, lock.descriptor)
    gives_up_at = time.monotonic() + LOCK_SECONDS_MAX
    while not lock.attempt():
        if time.monotonic() >= gives_up_at:
            raise StartRefused(f"Another monitor looks on in {folder} (process {lock.holder().get('pid')}).")
        time.sleep(LOCK_POLL_SECONDS)
    lock.describe(ending=False)


def allow_descriptors(clients_max: int) -> None:
    """Make room for so many pages, where the machine allows more than it usually gives."""
    wanted = clients_max + SPARE_CONNECTIONS + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and soft != resource.RLIM_INFINITY:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
