"""`report CONF`: what happened, from the journal; on the terminal, as one HTML file, as CSV, as JSON.

It reads and nothing else: a maker that is running does not feel it. Of the configuration only the state folder counts,
so that a file which no longer starts a maker can still be reported on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from maker.errors import ExitCode
from maker.launch.settings import SettingsError, load, state_folder
from maker.report.files import CannotWrite, FillFile, as_object, folder_made, replacing, write_tables
from maker.report.page import page
from maker.report.reading import ATTEMPTS_MAX, Moved, Reader, Unreadable, reading
from maker.report.since import FORMS, WrongSince, since_ms
from maker.report.text import text
from maker.report.whole import Report, gather

JOURNAL_FILE: Final = "journal.sqlite"
FILLS_FILE: Final = "fills.csv"

EPILOG: Final = """
Profit by day and market with what made it, fills, markouts by side and level, uptime of two-sided quotes, time at each
spread, requests used, halts with causes and durations, latencies, runs. Days are days of UTC. What a journal cannot
tell is said. The journal may be in use: it is read in short pieces and never held.

exit codes: 0 reported; 1 the journal is missing or cannot be read, or a file cannot be written; 2 usage; 78 the
configuration names no state folder.
"""


def main(argv: list[str], now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> int:
    """Report; return 0, 1 where the journal or a file cannot be used, 2 for wrong words, 78 for no state folder."""
    words = parser().parse_args(argv)
    now = now_ms()

    def ended(reason: str, code: ExitCode, **more: Any) -> int:
        if words.json:
            say(json.dumps({"reason": reason, "exit_code": int(code), **more}, ensure_ascii=False))
        elif code != ExitCode.CLEAN:
            sys.stderr.write(f"report: {reason}\n")
        return code

    try:
        since = None if words.since is None else since_ms(words.since, now)
    except WrongSince as wrong:
        return ended(str(wrong), ExitCode.USAGE)
    try:
        journal = state_folder(load(words.configuration)) / JOURNAL_FILE
    except SettingsError as wrong:
        return ended(f"configuration: {wrong}", ExitCode.REFUSED_TO_START)
    try:
        report = read(journal, since, now, words.csv)
        written = files(report, words.html, words.csv)
    except (Unreadable, CannotWrite) as problem:
        return ended(str(problem), ExitCode.FAILURES_FOUND)
    if not words.json:
        say("\n".join([report.sentence, *report.notes, *written]) if written else text(report))
    return ended(report.sentence, ExitCode.CLEAN, **as_object(report)) if words.json else ExitCode.CLEAN


def read(journal: Path, since: int | None, now: int, csv_folder: Path | None) -> Report:
    """Read the journal, again where a maker began to write meanwhile. Raises Unreadable, CannotWrite."""
    for _ in range(ATTEMPTS_MAX):
        try:
            with reading(journal) as reader:
                return read_once(reader, since, now, csv_folder)
        except Moved:
            continue
    raise Unreadable(f"The journal {journal} was replaced or begun {ATTEMPTS_MAX} times while it was read: try again.")


def read_once(reader: Reader, since: int | None, now: int, csv_folder: Path | None) -> Report:
    """Read it once; fills go into their file as they are read."""
    with ExitStack() as stack:
        if csv_folder is None:
            return gather(reader, since, now)
        file = stack.enter_context(replacing(folder_made(csv_folder) / FILLS_FILE))
        return gather(reader, since, now, FillFile(file).add)


def files(report: Report, html: Path | None, csv_folder: Path | None) -> list[str]:
    """Write what was asked for; say where it is. Raises CannotWrite."""
    said = []
    if html is not None:
        with replacing(html) as file:
            file.write(page(report))
        said.append(f"Written: {html}")
    if csv_folder is not None:
        paths = [csv_folder / FILLS_FILE, *write_tables(report, csv_folder)]
        said.append(f"Written: {len(paths)} files in {csv_folder}: {', '.join(path.name for path in paths)}")
    return said


def say(words: str) -> None:
    """Print on stdout; a reader that has gone is no failure."""
    with suppress(BrokenPipeError):
        sys.stdout.write(words + "\n")
        sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="run.py report",
        description="What happened, from the journal of your runs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("configuration", type=Path, help="whose state folder holds the journal; no key is read")
    words.add_argument("--since", metavar="WHEN", help=f"{FORMS}; the whole journal without it")
    words.add_argument("--html", type=Path, metavar="FILE", help="write one file with charts, for any browser")
    words.add_argument("--csv", type=Path, metavar="FOLDER", help="write every table and every fill, exact")
    words.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return words
