"""Starts of the maker and how they ended, and the window of time that a report looks at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from maker.report.reading import Reader, damaged, text, whole
from maker.report.since import DAY_MS

BUCKETS_MS: Final = (5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 4 * 3_600_000, DAY_MS)  # each divides a day
BUCKETS_MAX: Final = 288  # drawn side by side, while a bucket need not be more than a day


@attrs.frozen
class Window:
    """The time reported on, in milliseconds of UTC, cut into buckets that no midnight divides."""

    since_ms: int
    until_ms: int  # the newest row; exclusive
    bucket_ms: int

    @classmethod
    def of(cls, since_ms: int, until_ms: int) -> Window:
        length = until_ms - since_ms
        bucket = next((one for one in BUCKETS_MS if length <= one * BUCKETS_MAX), DAY_MS)
        return cls(since_ms, until_ms, bucket)

    def bucket(self, at_ms: int) -> int:
        """The begin of the bucket that a moment lies in."""
        return at_ms // self.bucket_ms * self.bucket_ms

    def pieces(self, begin_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """What of an interval lies in the window: buckets, and milliseconds in each."""
        begin, end = max(begin_ms, self.since_ms), min(end_ms, self.until_ms)
        while begin < end:
            bucket = self.bucket(begin)
            piece_end = min(end, bucket + self.bucket_ms)
            yield bucket, piece_end - begin
            begin = piece_end


@attrs.define
class Run:
    """One start."""

    run_id: str
    started_ms: int
    mode: str
    account: str
    version: str
    config_sha256: str  # of the configuration that holds, or held last
    ended_ms: int | None = None  # None: no end was recorded
    reason: str = ""
    exit_code: int | None = None
    verified_empty: bool | None = None
    seen_ms: int = 0  # its newest row that was looked at
    rows: dict[str, int] = attrs.field(factory=dict)  # in the window, of tables that not every schema has

    @property
    def last_ms(self) -> int:
        """Its end, or where none was recorded its last sign of life."""
        return max(self.started_ms, self.seen_ms if self.ended_ms is None else self.ended_ms)


@attrs.define
class Runs:
    """All runs by id, oldest first."""

    by_id: dict[str, Run]

    @classmethod
    def read(cls, reader: Reader) -> Runs:
        """Read all of them, those before the window too: a report begins in the midst of one. Raises Unreadable."""
        found: dict[str, Run] = {}
        if reader.has("runs"):
            query = (
                "SELECT run_id, started_at_unix_ms, mode, account, version, config_sha256 FROM runs "
                "WHERE rowid <= :last ORDER BY rowid"
            )
            for run_id, started, *words in reader.all(query, {"last": reader.last["runs"]}):
                name, (mode, account, version, sha256) = text(run_id, "runs"), (text(word, "runs") for word in words)
                found[name] = Run(name, whole(started, "runs"), mode, account, version, sha256)
            runs = cls(found)
            query = (
                "SELECT run_id, at_unix_ms, reason, exit_code, verified_empty FROM run_ends "
                "WHERE rowid <= :last ORDER BY rowid"
            )
            for run_id, at_ms, reason, exit_code, verified in reader.all(query, {"last": reader.last["run_ends"]}):
                run = runs.of(run_id, "run_ends")
                run.ended_ms, run.reason = whole(at_ms, "run_ends"), text(reason, "run_ends")
                run.exit_code, run.verified_empty = whole(exit_code, "run_ends"), bool(verified)
            runs.take_reloads(reader)
        return cls(found)

    def take_reloads(self, reader: Reader) -> None:
        """Take which configuration each run had last: a schema before the fourth knows of no reload."""
        if not reader.has("reloads"):
            return
        query = "SELECT run_id, config_sha256 FROM reloads WHERE applied AND rowid <= :last ORDER BY rowid"
        for run_id, sha256 in reader.all(query, {"last": reader.last["reloads"]}):
            run = self.of(run_id, "reloads")
            run.config_sha256 = text(sha256, "reloads")

    def of(self, run_id: object, table: str) -> Run:
        """The run that a row names. Raises Unreadable."""
        run = self.by_id.get(run_id) if isinstance(run_id, str) else None
        if run is None:
            raise damaged(table, run_id)
        return run

    def seen(self, run_id: object, at_ms: object, table: str) -> Run:
        """Take a row as a sign of life. Raises Unreadable."""
        run = self.of(run_id, table)
        run.seen_ms = max(run.seen_ms, whole(at_ms, table))
        return run

    def within(self, window: Window) -> list[Run]:
        """Those of which any part lies in the window. To be asked when all tables have been read."""
        return [one for one in self.by_id.values() if one.last_ms >= window.since_ms]
