"""`drill CONF [--only NAME …] [--json]`: what a configuration does when things go wrong, on the practice exchange.

Each drill starts the exchange and the bot as real processes and does one thing to them. Time to no quotes comes from
the exchange's record, never from what the bot says. Those with a tight limit have the machine to themselves until they
are measured, and their tails overlap the next; the slow ones run side by side afterwards.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.drills.configuration import DrillConfiguration, prepare
from maker.drills.scene import Drill, Finding, NotQuoting, set_scene
from maker.drills.stage import SIDE_BY_SIDE, first_of
from maker.drills.table import BY_NAME
from maker.errors import ConfigError, ExitCode, MakerError

SENTENCE_CHARACTERS_MAX: Final = 300  # of what is shown of an error: it may quote a log
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # what was started is ended first


@attrs.frozen
class Row:
    """What became of one drill."""

    name: str
    passed: bool = False
    skipped: str = ""  # why it was not done
    no_quotes_ms: float | None = None  # from the fault until nothing rested, by the exchange's record
    what: str = ""  # what the limit is for
    value_ms: float | None = None
    limit_ms: float | None = None
    sentence: str = ""  # what is wrong
    cannot_quote: bool = False  # the configuration never quoted: no drill says anything

    def line(self) -> str:
        """One line for people."""
        if self.skipped:
            return f"{self.name:27} skip  {self.skipped}"
        if self.no_quotes_ms is None:
            return f"{self.name:27} FAIL  {self.sentence}"
        verdict = "pass" if self.passed else "FAIL"
        figures = f"no quotes after {self.no_quotes_ms:8.1f} ms; {self.what} {self.value_ms:.1f} ms"
        wrong = f": {self.sentence}" if self.sentence else ""
        return f"{self.name:27} {verdict}  {figures}, limit {self.limit_ms:g} ms{wrong}"


def main(argv: list[str]) -> int:
    """Do the drills; return 0 when all pass, 1 when one fails, 2 for wrong words, 78 for what cannot be drilled."""
    words = parser().parse_args(argv)
    rows: list[Row] = []
    notes: Sequence[str] = ()

    def ended(reason: str, code: ExitCode) -> int:
        say(reason)
        if words.json:
            table = [attrs.asdict(row, filter=lambda field, _value: field.name != "cannot_quote") for row in rows]
            say(json.dumps({"reason": reason, "exit_code": int(code), "notes": list(notes), "drills": table}))
        return code

    def done(row: Row) -> None:
        rows.append(row)
        say(row.line())

    unknown = [name for name in words.only if name not in BY_NAME]
    if unknown:
        return ended(f"there is no drill {unknown[0]}; there are: {', '.join(BY_NAME)}", ExitCode.USAGE)
    try:
        settings = prepare(words.configuration)
    except ConfigError as wrong:
        return ended(f"configuration: {wrong}", ExitCode.REFUSED_TO_START)
    notes = settings.notes
    for note in notes:
        say(f"note: {note}")
    wanted = [drill for name, drill in BY_NAME.items() if not words.only or name in words.only]
    folder = Path(tempfile.mkdtemp(prefix="maker-drill-"))
    if trio.run(interruptible, partial(perform_all, wanted, settings, folder, done)):
        shutil.rmtree(folder, ignore_errors=True)  # one that was just killed may still be at it
        return ended(f"stopped after {len(rows)} of {len(wanted)} drills", ExitCode.FAILURES_FOUND)
    failed = [row for row in rows if not row.passed and not row.skipped]
    if any(row.cannot_quote for row in rows):
        return ended(f"the configuration does not quote here; see {folder}", ExitCode.REFUSED_TO_START)
    skipped = sum(bool(row.skipped) for row in rows)
    counts = f"{len(rows) - skipped} drills done, {len(failed)} failed, {skipped} skipped"
    if failed:
        return ended(f"{counts}; what the processes said is in {folder}", ExitCode.FAILURES_FOUND)
    shutil.rmtree(folder)
    return ended(counts, ExitCode.CLEAN)


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(prog="run.py drill", description="fire drills with your configuration")
    words.add_argument("configuration", type=Path, help="of either mode; whom it speaks to is replaced")
    words.add_argument("--only", nargs="+", default=[], metavar="NAME", help=", ".join(BY_NAME))
    words.add_argument("--json", action="store_true", help="end with one JSON object that has a row a drill")
    return words


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def interruptible(service: Callable[[], Awaitable[None]]) -> bool:
    """Perform, and return whether a signal ended it: then everything that was started has been ended too."""
    heeded = [number for number in INTERRUPTS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup stays in force
    told = False
    with trio.open_signal_receiver(*heeded) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal told
                async for _number in signals:
                    told = True
                    nursery.cancel_scope.cancel(reason="told to stop")

            nursery.start_soon(watch)
            await service()
            nursery.cancel_scope.cancel(reason="all drills are done")
    return told


async def perform_all(
    drills: Sequence[Drill], settings: DrillConfiguration, folder: Path, done: Callable[[Row], None]
) -> None:
    """Do the timed ones one by one, then the others side by side; begin no further one if nothing can be quoted."""
    places = trio.Semaphore(SIDE_BY_SIDE)
    cannot_quote = False

    async def one(drill: Drill, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        nonlocal cannot_quote
        is_measured = False

        def measured() -> None:
            nonlocal is_measured
            if not is_measured:
                is_measured = True
                task_status.started()

        row = await perform(drill, settings, folder, measured)
        cannot_quote = cannot_quote or row.cannot_quote
        measured()
        done(row)
        places.release()

    for timed in (True, False):
        async with trio.open_nursery() as nursery:
            for drill in drills:
                if drill.alone is not timed:
                    continue
                await places.acquire()  # here, so that they begin in their order
                if cannot_quote:
                    return  # once those under way are done
                if timed:
                    await nursery.start(one, drill)
                else:
                    nursery.start_soon(partial(one, drill))


async def perform(drill: Drill, settings: DrillConfiguration, folder: Path, measured: Callable[[], None]) -> Row:
    """Do one drill from its start to its end; `measured` is called when it needs the machine no longer to itself."""
    row = Row(drill.name)
    skipped = drill.needs()
    if skipped:
        return attrs.evolve(row, skipped=skipped)
    own = folder / drill.name
    own.mkdir()
    try:
        async with set_scene(own, drill, settings) as scene:
            finding = await drill.fault(scene)
            measured()
            row = judged(row, finding)
            await scene.end(finding)
    except Exception as error:  # noqa: BLE001 - the top of one drill: it has failed, the others go on
        cause = first_of(error)
        sentence = str(cause) if isinstance(cause, MakerError) else f"{type(cause).__name__}: {cause}"
        return attrs.evolve(
            row, passed=False, sentence=sentence[:SENTENCE_CHARACTERS_MAX], cannot_quote=isinstance(cause, NotQuoting)
        )
    return row


def judged(row: Row, finding: Finding) -> Row:
    """The row with what was measured, passed where the limit was kept."""
    passed = finding.value_ms <= finding.limit_ms
    return attrs.evolve(
        row,
        passed=passed,
        no_quotes_ms=round(finding.no_quotes_ms, 3),
        what=finding.what,
        value_ms=round(finding.value_ms, 3),
        limit_ms=finding.limit_ms,
        sentence="" if passed else f"{finding.what} took longer than the limit",
    )
