"""How long a report of a large journal takes, what it needs of memory, and for how long it ever holds the file.

    .venv/bin/python -m tests.bench.report [--rows 1000000] [--keep FILE]

The journal is made by repeating what the maker's own recorder wrote in ten simulated minutes, hour after hour, as one
run. Printed are its rows and bytes, processor seconds for the whole of it and for its last day, the most memory, and
of all statements the median and the longest: for that long a checkpoint may have to leave a piece to the next one.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from maker.edge import journal, records
from maker.edge.records import Row
from maker.report.page import page
from maker.report.reading import Reader, reading
from maker.report.text import text
from maker.report.whole import gather
from tests.compare.scenes import match
from tests.report.journals import a_run, played, schema

SECONDS = 600
DAY_MS = 86_400_000
SUMS = {
    records.Profit: ("cash_quote", "fees_quote", "funding_quote", "equity_quote"),
    records.Attribution: ("spread_quote", "inventory_quote", "fees_quote", "funding_quote", "equity_quote"),
    records.RequestsSpent: ("spent", "throttles"),
}


def repeated(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows again and again, each time later, under new names, and with sums that go on growing."""
    ends = {kind: [row for row in rows if isinstance(row, kind)][-1] for kind in SUMS}
    for turn in itertools.count():
        for row in rows:
            changes: dict[str, Any] = {"at_unix_ms": row.at_unix_ms + turn * SECONDS * 1000}
            for name in ("trade_id", "quote_id"):
                if hasattr(row, name):
                    changes[name] = f"{getattr(row, name)}-{turn}"
            for name in SUMS.get(type(row), ()):
                changes[name] = getattr(row, name) + turn * getattr(ends[type(row)], name)
            yield attrs.evolve(row, **changes)


def made(path: Path, rows_max: int) -> int:
    """Make the journal; return its rows."""
    told = played(match("glft", seed=3, seconds=SECONDS)).told[0]
    rows = [row for row in told.rows if not isinstance(row, records.RunEnd)]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        schema(connection)
        run = attrs.evolve(a_run(), started_at_unix_ms=told.run.started_at_unix_ms)
        journal.insert(connection, "runs", [field.name for field in attrs.fields(records.Run)], [attrs.astuple(run)])
        stream = itertools.islice(repeated(rows), rows_max)
        while batch := list(itertools.islice(stream, 10_000)):
            journal.write_batch(connection, run.run_id, batch)
    return rows_max


@attrs.define
class Clocked:
    """How long each statement took."""

    seconds: list[float] = attrs.field(factory=list)  # of the processor: the machine may have more to do

    def watch(self) -> None:
        original = Reader.all

        def all_clocked(reader: Reader, query: str, parameters: Mapping[str, object] | None = None) -> list[Any]:
            began = time.thread_time()
            found = original(reader, query, parameters)
            self.seconds.append(time.thread_time() - began)
            return found

        Reader.all = all_clocked  # type: ignore[method-assign,assignment]


def reported(path: Path, since_ms: int | None, clocked: Clocked) -> tuple[float, Decimal, int]:
    """Processor seconds, profit and bytes of the page of one report, written as text and as a page."""
    began = time.process_time()
    with reading(path) as reader:
        found = gather(reader, since_ms, time.time_ns() // 1_000_000)
    text(found)
    size = len(page(found))
    return time.process_time() - began, found.profit.total.profit, size


def main() -> int:
    words = argparse.ArgumentParser(description="report on a large journal")
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--keep", type=Path, help="a journal to make, or to use where it is there")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = given.keep or Path(temporary) / "journal.sqlite"
        if not path.exists():
            made(path, given.rows)
        clocked = Clocked()
        clocked.watch()
        with reading(path) as reader:
            newest = reader.last_at_ms()
        say(f"{given.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB")
        for name, since in (("whole", None), ("last day", newest - DAY_MS)):
            clocked.seconds.clear()
            seconds, profit, size = reported(path, since, clocked)
            ordered = sorted(clocked.seconds)
            say(
                f"{name}: {seconds:.1f} s, profit {profit:+.2f}, page {size / 1e3:.0f} kB; {len(ordered)} statements, "
                f"median {ordered[len(ordered) // 2] * 1000:.1f} ms, longest {ordered[-1] * 1000:.0f} ms"
            )
        say(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
    return 0


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
