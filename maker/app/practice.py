"""`venue`: the practice exchange as a command of its own, for the maker or for anyone's client.

Its one line on stdout says where it listens and, with --tls, which authority a client must trust. In paper mode the
maker's parent starts it in a session of its own, so that it outlives a killed maker just as the real exchange would; it
ends ORPHAN_SECONDS after its owner is gone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import attrs
import structlog
import trio

from maker.app import authority, config, logs
from maker.errors import ConfigError, ExitCode, MakerError
from maker.paper.reference_venues import ReferenceVenue
from maker.paper.switches import Switches
from maker.paper.venue import VenueSettings, run_venue
from maker.wire import ocx

ORPHAN_SECONDS: Final = 90.0  # longer than the tail of any halt: late cancel-alls still find an exchange
PORT_MAX: Final = 65_535
SESSION_SECONDS_MAX: Final = 31_536_000  # a year
FLUSH_SECONDS_MAX: Final = 1.0
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(argv: list[str]) -> int:
    """Serve until told to stop; return the exit code. With --json the last line on stdout says how it ended."""
    words = parser().parse_args(argv)
    writer = logs.configure("venue")
    try:
        wanted = venue_settings(words)
        with contextlib.ExitStack() as stack:
            ca_file = ""
            if words.tls or words.tls_folder is not None:
                folder = words.tls_folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maker-tls-")))
                wanted = attrs.evolve(wanted, ssl_context=authority.server_context(folder, wanted.host))
                ca_file = str((folder / authority.CA_FILE).resolve())
            code, reason = trio.run(run, wanted, words.owner_pid, ca_file)
    except ConfigError as wrong:
        code, reason = ExitCode.REFUSED_TO_START, str(wrong)
    if code is not ExitCode.CLEAN:
        structlog.get_logger().error("refused", sentence=reason)
    if words.json:
        sys.stdout.write(json.dumps({"reason": reason, "exit_code": int(code)}) + "\n")
        sys.stdout.flush()
    writer.flush(FLUSH_SECONDS_MAX)
    return code


def parser() -> argparse.ArgumentParser:
    """The command's words."""
    words = argparse.ArgumentParser(prog="run.py venue", description="serve the practice exchange on this machine")
    words.add_argument("--conf", type=Path, help="take [paper] of this configuration; the words below win over it")
    words.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    words.add_argument("--port", type=int, help="of the HTTP side; 0: any free one (default 8787)")
    words.add_argument(
        "--reference-port", type=int, help="of the reference feed's WebSocket; 0: any free one (default)"
    )
    words.add_argument("--seed", type=int, help="one seed, one history (default 1)")
    words.add_argument("--preset", choices=("quiet", "normal", "busy"), help="other traders (default busy)")
    words.add_argument("--requests-per-minute", type=int, help="order-path limit of a user (default 120)")
    words.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE,…",
        help="let the reference feed's URL path /NAME disagree, lag or die: "
        + ", ".join(field.name for field in attrs.fields(ReferenceVenue) if field.name != "name")
        + "; repeatable",
    )
    words.add_argument("--session-seconds", type=int, help="life of a wallet's session (default 604800: seven days)")
    words.add_argument("--record", type=Path, help="write every request and every change of a resting order here")
    words.add_argument("--state", type=Path, help="survive a restart by this file")
    words.add_argument("--tls", action="store_true", help="HTTPS and WSS, by an authority made for it; needs openssl")
    words.add_argument("--tls-folder", type=Path, help="keep authority and certificate here, or go on with those here")
    words.add_argument("--owner-pid", type=int, help="end some time after this process is gone")
    words.add_argument("--json", action="store_true", help="end with a JSON line too; the ready line always is one")
    for field in attrs.fields(Switches):
        default = field.default
        flag = "--" + field.name.replace("_", "-")
        if isinstance(default, bool):
            told = str(default).lower()
            words.add_argument(flag, choices=("true", "false"), help=f"undocumented behaviour (default {told})")
        else:  # no choices: a wrong one is refused by the switches, in a sentence
            known = "{" + ",".join(field.validator.options) + "}"  # type: ignore[union-attr]  # of `in_`
            words.add_argument(flag, metavar=known, help=f"undocumented behaviour (default {default})")
    return words


def venue_settings(words: argparse.Namespace) -> VenueSettings:
    """Put configuration and words together. Raises ConfigError."""
    paper = config.Paper(seed=1, preset="busy", port=8787)
    switches: dict[str, Any] = {}
    record, state = words.record, words.state
    if words.conf is not None:
        paper, switches, folder = config.load_paper(words.conf)
        record = record or (folder / paper.record if paper.record else None)
        state = state or (folder / paper.state if paper.state else None)
    for name in ("port", "reference_port", "seed", "preset", "requests_per_minute"):
        if getattr(words, name) is not None:
            paper = attrs.evolve(paper, **{name: getattr(words, name)})
    said_of = {each.name: each for each in (*paper.references, *map(reference, words.reference))}
    paper = attrs.evolve(paper, references=tuple(said_of.values()))
    session_seconds = ocx.SESSION_SECONDS if words.session_seconds is None else words.session_seconds
    if not 0 < session_seconds <= SESSION_SECONDS_MAX:
        raise ConfigError("--session-seconds", f"is {session_seconds}.", f"Write 1 to {SESSION_SECONDS_MAX}.")
    for name in ("port", "reference_port"):
        if not 0 <= getattr(paper, name) <= PORT_MAX:
            raise ConfigError(f"paper.{name}", f"is {getattr(paper, name)}.", f"Write 0 (any free one) to {PORT_MAX}.")
    for field in attrs.fields(Switches):
        said = getattr(words, field.name)
        if said is not None:
            switches[field.name] = said == "true" if isinstance(field.default, bool) else said
    try:
        return VenueSettings(
            host=words.host,
            port=paper.port,
            reference_port=paper.reference_port,
            references=paper.references,
            seed=paper.seed,
            preset=paper.preset,
            rate_limit_per_minute=paper.requests_per_minute,
            session_seconds=session_seconds,
            switches=Switches(**switches),
            record=record,
            state=state,
        )
    except (TypeError, ValueError) as error:
        raise ConfigError("paper", f"cannot be used: {error.args[0]}.", "See `run.py venue --help`.") from error


def reference(text: str) -> ReferenceVenue:
    """Read `NAME:key=value,…` as [paper.references.NAME] is read. Raises ConfigError."""
    name, colon, rest = text.partition(":")
    given: dict[str, Any] = {}
    pairs = [pair.partition("=") for pair in rest.split(",") if pair]
    if not name or not colon or not all(equals for _, equals, _ in pairs):  # `beta=…` would be a plain venue so named
        raise ConfigError("--reference", f"is {text!r}.", "Write NAME:KEY=VALUE,… such as beta:offset_bps=2.5.")
    for key, _, value in pairs:
        if key in given:
            raise ConfigError(f"paper.references.{name}.{key}", "is given twice.", "Write it once.")
        try:
            given[key] = Decimal(value)
        except InvalidOperation:
            given[key] = value
    return config.paper_reference(name, given)


async def run(wanted: VenueSettings, owner_pid: int | None, ca_file: str = "") -> tuple[ExitCode, str]:
    """Serve; return how it ended, in one sentence where that is the machine's fault."""
    cause: BaseException
    try:
        await serve(wanted, owner_pid, ca_file)
    except* (OSError, ValueError, MakerError) as group:
        cause = group
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        ended = ExitCode.REFUSED_TO_START, f"the practice exchange cannot run: {cause}"
    else:
        ended = ExitCode.CLEAN, "stopped as asked"
    return ended


async def serve(wanted: VenueSettings, owner_pid: int | None, ca_file: str = "") -> None:
    """Serve until a signal comes or the owner has long been gone. Raises what `run_venue` raises."""
    begin_record(wanted)
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(run_venue, wanted)
            secure = "s" if wanted.ssl_context is not None else ""
            ready = {
                "venue_url": f"http{secure}://{wanted.host}:{bound.http}",
                "reference_url": f"ws{secure}://{wanted.host}:{bound.reference}",
                "pid": os.getpid(),
            } | ({"ca_file": ca_file} if ca_file else {})
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            if owner_pid is not None:
                nursery.start_soon(end_when_orphaned, owner_pid, nursery.cancel_scope)
            async for _number in signals:
                break
            nursery.cancel_scope.cancel(reason="told to stop")


def begin_record(wanted: VenueSettings) -> None:
    """A new history begins a new record, the last one kept beside it; one that goes on goes on with its record."""
    goes_on = wanted.state is not None and wanted.state.exists()
    if wanted.record is not None and wanted.record.exists() and not goes_on:
        wanted.record.replace(wanted.record.with_name(wanted.record.name + ".before"))


async def end_when_orphaned(owner_pid: int, running: trio.CancelScope) -> None:
    """Wait for the owner's end, then some time more: its quotes still have to be pulled by someone."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(owner_pid)
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
    await trio.sleep(ORPHAN_SECONDS)
    running.cancel(reason="the owner is gone")
