"""Journals for tests: by hand, of any schema, in memory or in a file; and those that the maker's own recorder writes
while its engine quotes a simulated market."""

from __future__ import annotations

import io
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import pytest
import structlog
from hypothesis import strategies as st

from maker.app import record, record_quotes
from maker.app.halt import HaltReport
from maker.app.record import Recorder
from maker.compare.history import arrivals, draw_path
from maker.compare.ledger import Ledger
from maker.compare.match import DEPOSIT, Match
from maker.compare.seat import Seat
from maker.compare.street import Street
from maker.desk.deadman import Reason, Trip
from maker.desk.events import BudgetSeen, Event, PlaceLadder, StreamDelta, StreamHeard, StreamSnapshot
from maker.edge import journal, records
from maker.edge.journal import MemoryJournal
from maker.edge.records import MIGRATIONS, Row
from maker.paper.exchange import Exchange
from maker.paper.prices import prehistory
from maker.paper.state import ExchangeSettings
from maker.report.fills import Fill
from maker.report.reading import Reader, reader_of
from maker.report.whole import Report, gather
from maker.storms.core_heap import START_MS, Heap

SINCE_SCHEMA: Final = {  # tables that an older journal lacks
    records.FillDetail: 2,
    records.Markout: 2,
    records.Attribution: 2,
    records.QuotesSeen: 3,
    records.RequestsSpent: 3,
    records.Reload: 4,
    records.ReloadChange: 4,
}
DAY: Final = 86_400_000
NOON: Final = 1_795_867_200_000  # 2026-11-28 12:00 UTC


@attrs.frozen
class Told:
    """A run and its rows in the order of writing."""

    run: records.Run
    rows: Sequence[Row] = ()


def a_run(run_id: str = "run-1", started_ms: int = NOON) -> records.Run:
    return records.Run(run_id, started_ms, "paper", "practice", "ab" * 32, "0.1.0")


def schema(connection: sqlite3.Connection, version: int = len(MIGRATIONS)) -> None:
    """Make an empty journal of a schema version."""
    for statements in MIGRATIONS[:version]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {journal.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")


def fill_in(connection: sqlite3.Connection, runs: Sequence[Told], version: int = len(MIGRATIONS)) -> None:
    """Write runs; tables and columns that the schema lacks are left out, as a maker of that time would have."""
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(runs)")]
    for told in runs:
        journal.insert(connection, "runs", columns, [tuple(getattr(told.run, name) for name in columns)])
        known = [row for row in told.rows if SINCE_SCHEMA.get(type(row), 1) <= version]
        journal.write_batch(connection, told.run.run_id, known)


def in_memory(runs: Sequence[Told], version: int = len(MIGRATIONS)) -> Reader:
    """A reader of a journal that is in no file."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema(connection, version)
    fill_in(connection, runs, version)
    return reader_of(Path("journal.sqlite"), connection)


def in_file(path: Path, runs: Sequence[Told], version: int = len(MIGRATIONS)) -> Path:
    """A journal that was closed in peace."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        schema(connection, version)
        fill_in(connection, runs, version)
    return path


def reported(
    runs: Sequence[Told],
    since_ms: int | None = None,
    version: int = len(MIGRATIONS),
    now_ms: int = NOON + DAY,
    fills: list[Fill] | None = None,
) -> Report:
    """What is reported of a journal in memory."""
    reader = in_memory(runs, version)
    try:
        kept: list[Fill] = [] if fills is None else fills
        return gather(reader, since_ms, now_ms, kept.append)
    finally:
        reader.connection.close()


def windows(told: Sequence[Told]) -> st.SearchStrategy[int | None]:
    """Windows that begin anywhere, most of them beside a row: within the bucket of rows before it."""
    times = sorted({row.at_unix_ms for one in told for row in one.rows}) or [NOON]
    beside = st.tuples(st.sampled_from(times), st.sampled_from([-1, 0, 1])).map(sum)
    return st.none() | beside | st.integers(NOON - DAY, NOON + 12 * DAY)


# -- the maker's own rows ------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class RecordedSeat(Seat):
    """The maker's seat in a simulated market, with the maker's own recorder at its side."""

    written: list[Told] = attrs.field(factory=list)
    recorder: Recorder = attrs.field(init=False)
    journal: MemoryJournal = attrs.field(init=False)
    sent: tuple[PlaceLadder, float] | None = None
    pulled_at: float = 0.0

    def begin(self) -> None:
        run = a_run(f"run-{len(self.written) + 1}", self.heap.unix_ms)
        self.journal = MemoryJournal(run)
        self.written.append(Told(run, self.journal.rows))
        log = structlog.wrap_logger(structlog.PrintLogger(io.StringIO()), processors=[drop])
        self.recorder = Recorder(log, self.journal)
        Seat.begin(self)
        self.recorder.engine = self.engine

    def deliver(self, event: Event) -> None:
        trip = self.engine.apply(event, self.heap.now)
        if trip is not None:
            Seat.pull(self, trip)
            self.pulled_at = self.heap.now
        self.recorder.after(event, trip)
        if self.heap.now >= self.recorder.profit_at:
            self.recorder.states(self.heap.now)
        self.recorder.sample(self.heap.now)

    def streamed(self, run: int, event: StreamDelta | StreamSnapshot | StreamHeard) -> None:
        Seat.streamed(self, run, event)
        if isinstance(event, StreamDelta) and event.fills:  # the recorder has taken what the seat looks for
            self.think()

    def pull(self, trip: Trip) -> None:
        Seat.pull(self, trip)
        self.pulled_at = self.heap.now
        self.recorder.tripped(trip)

    def place(self, action: PlaceLadder) -> None:
        self.recorder.ladder_intended(action)
        self.sent = action, self.heap.now
        Seat.place(self, action)

    def answered(self, seen: BudgetSeen, outcome: Event) -> None:
        assert self.sent is not None
        action, began = self.sent
        self.recorder.ladder_ended(action, outcome, self.heap.now - began)  # type: ignore[arg-type]
        Seat.answered(self, seen, outcome)

    def emptied(self) -> None:
        report = HaltReport(verified_empty=True, open_orders=0, cancels_sent=1, seconds=self.heap.now - self.pulled_at)
        self.recorder.halted(report)
        Seat.emptied(self)
        if self.final:  # a person must come: this run is over
            self.end("it asked for a person")

    def end(self, reason: str, exit_code: int = 0) -> None:
        """Read the account once more, as the supervisor does, for the last rows of a run."""
        read = self.account()
        Seat.deliver(self, read)
        self.recorder.after(read, None)
        self.recorder.profit()
        self.journal.put(records.RunEnd(self.heap.unix_ms, reason, exit_code, verified_empty=True))


def drop(_logger: object, _level: str, _fields: object) -> str:
    raise structlog.DropEvent


@contextmanager
def told_in(heap: Heap) -> Iterator[None]:
    """Rows carry the simulated time."""
    with pytest.MonkeyPatch.context() as patch:
        for room in (record, record_quotes):
            patch.setattr(room, "unix_ms", lambda: heap.unix_ms)
        yield


@attrs.frozen
class Played:
    """A simulated market when it is over: the maker's seat with all that was told, and the exchange's own judge."""

    seat: RecordedSeat
    ledger: Ledger

    @property
    def told(self) -> list[Told]:
        return self.seat.written


def played(match: Match) -> Played:
    """Play a match as `maker.compare.match` does, recorded."""
    spec, seed = match.spec, match.seed
    market_id = spec.market_id
    path = draw_path(market_id, spec.index_start, match.preset, seed, match.seconds)
    heap = Heap()
    requests = match.config.budget.requests_per_minute
    settings = ExchangeSettings(seed=seed, markets=(spec,), rate_limit_per_minute=requests, perps_deposit=DEPOSIT)
    exchange = Exchange(settings, now_ms=START_MS)
    before = prehistory(market_id, spec.index_start, match.preset, seed)
    exchange.state.market(market_id).candles.before(before, START_MS)
    exchange.set_index(market_id, path.index[0] * path.grid)
    ledger = Ledger(exchange, market_id, path, DEPOSIT)
    takers = arrivals(market_id, match.preset, seed)
    street = Street(heap, exchange, spec, match.preset, path, takers, ledger, seed)
    net, rng = (random.Random(f"compare {name} {seed}") for name in ("net", "maker"))
    symbols = {name: source.symbol for name, source in match.config.markets[market_id].fair.sources.items()}
    with told_in(heap):
        seat = RecordedSeat(match.config, heap, exchange, ledger, market_id, symbols, net, rng)
        street.on_reference, street.on_change = seat.referenced, seat.stir
        heap.after(match.seconds / 2, partial(seat.pull, Trip(Reason.CLOCK_JUMPED, "by +1.5 s")))
        street.begin()
        seat.referenced(street.quote())
        seat.begin()
        while heap.step(match.seconds * 1000):
            pass
        seat.recorder.tripped(Trip(Reason.STOP_ASKED, "SIGTERM"))
        seat.end("stopped as asked: SIGTERM")
    return Played(seat, ledger)
