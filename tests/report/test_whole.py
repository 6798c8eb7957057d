"""The whole report of what the maker itself wrote: it agrees with the maker's books and with the exchange."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from maker.app import record, record_quotes
from maker.app.config import load
from maker.desk.profit import HORIZONS_SECONDS
from maker.desk.units import exact
from maker.edge import records
from maker.edge.records import MIGRATIONS
from maker.report import reading
from maker.report.fills import Fill
from maker.report.runs import Window
from maker.report.whole import LACKS, Report
from maker.storms import record as r
from maker.storms.machine import UNIX_SECONDS
from maker.storms.schedule import Schedule
from maker.storms.terms import narrowed
from maker.storms.virtual import run_virtual
from maker.storms.world import World
from tests.compare.scenes import CONFIGURATION, MARKET, match
from tests.report.journals import DAY, NOON, Played, Told, a_run, played, reported

SECONDS: Final = 600


@cache
def market() -> Played:
    """Ten minutes of simulated market, with one pull in its middle."""
    return played(match("glft", seed=3, seconds=SECONDS))


@cache
def report() -> Report:
    return reported(market().told)


# -- the maker's and the exchange's books -------------------------------------------------------------------------


def test_the_profit_and_its_parts_are_the_engine_s_to_the_last_digit() -> None:
    engine, total = market().seat.engine, report().profit.total
    made = engine.attribution()
    assert total.profit == engine.equity_change()
    assert (total.spread, total.inventory, total.fees, total.funding) == (
        made.spread,
        made.inventory,
        made.fees,
        made.funding,
    )
    assert total.residual == total.untold == 0
    assert total.profit != 0


def test_the_profit_is_the_exchange_s_own() -> None:
    """Equity less the deposit, by the judge that never asks the maker; but for what is held at a mark we polled.

    To 1E-18: the exchange divides for its entry price, in 28 digits.
    """
    judge, seat = market().ledger, market().seat
    money = judge.money()
    position = seat.account().positions
    held = sum((one.lots * seat.spec.grid.size.step for one in position), Decimal(0))
    polled = seat.engine.markets[MARKET].worth.mark
    assert polled is not None
    with exact():
        expected = money.profit + held * (polled - seat.exchange.mark(MARKET))
        assert abs(report().profit.total.profit - expected) < Decimal("1E-18")
        assert -report().profit.total.fees == money.fees


def test_fills_are_those_of_the_exchange() -> None:
    trades = market().seat.exchange.own_trades(market().seat.ledger.user, since_index=0)
    fills: list[Fill] = []
    again = reported(market().told, fills=fills)
    assert {(one.trade_id, one.price, one.size, one.fee, one.side.value) for one in fills} == {
        (one.trade_id, one.price, one.quantity, one.fee, one.side) for one in trades
    }
    assert again.fills.markets[MARKET].fills == len(trades) > 50
    assert all(one.level and one.quote_id and one.fair is not None for one in fills)


def test_markouts_are_those_the_maker_kept() -> None:
    """By side, level and horizon, as the desk's own statistics have them."""
    kept = market().seat.engine.markets[MARKET].worth.markouts.statistics()
    assert {one.horizon_seconds for one in kept} == set(HORIZONS_SECONDS)
    for one in kept:
        tally = report().fills.markouts[MARKET, one.side, one.level, one.horizon_seconds]
        assert (tally.count, tally.missing, tally.quote, tally.bps_mean) == (
            one.count,
            one.missing,
            one.quote,
            one.bps_mean,
        )
    assert {(key[1], key[2]) for key in report().fills.markouts} == {(one.side, one.level) for one in kept}


def test_uptime_and_spread_are_what_the_exchange_saw_resting() -> None:
    """Its judge looks once a second, and a ladder's answer is on its way for some hundredths of one."""
    judge, uptime = market().ledger, report().quoting.of_market(MARKET)
    assert uptime.told == SECONDS * 1000 - whole_begin_ms()
    assert abs(uptime.both / 1000 - judge.two_sided_seconds) <= 3
    assert uptime.nothing > 0, "before the first ladder, and for the pull"
    mean = judge.half_spread_sum_bps / judge.two_sided_seconds * 2
    assert report().quoting.spread_bps(MARKET) == pytest.approx(mean, rel=0.02)


def test_requests_are_those_the_exchange_counted() -> None:
    assert report().requests.total == market().seat.engine.budget.spent == market().ledger.requests
    assert report().ladders.count("applied") == market().ledger.ladders
    assert report().requests.limit_per_minute == 120


def test_the_pull_is_there_with_its_cause() -> None:
    clock, stop = report().halts.halts
    assert clock.sentence == "this machine's clock was set to another time: by +1.5 s"
    assert clock.empty_seconds is not None
    assert clock.without_seconds is not None
    assert 0.05 < clock.empty_seconds < clock.without_seconds < 5
    assert stop.asked


# -- the real program ----------------------------------------------------------------------------------------------


def test_a_whole_run_of_the_real_program_is_reported_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervisor, lanes, streams and halt in virtual time: both sides quoted as the exchange saw it, every fill,
    every request, and a profit that is the engine's.
    """
    config = narrowed(load(CONFIGURATION, "http://ocx.test", "ws://ocx.test"), 2, tmp_path)
    world = World(config, Schedule(seed=5, markets=2, step_ms=200, faults=()))

    def unix_ms() -> int:
        return round(world.clocks.wall() * 1000)

    for room in (record, record_quotes):
        monkeypatch.setattr(room, "unix_ms", unix_ms)
    run_virtual(world.run, 5, world.connect)
    ended = next(iter(world.record.of(r.Ended)))
    rows: list[records.Row] = [
        *world.journal.rows,
        records.RunEnd(round((UNIX_SECONDS + ended.at) * 1000), ended.reason, 0, True),
    ]
    found = reported([Told(a_run(started_ms=round(UNIX_SECONDS * 1000)), rows)])
    engine = world.recorder.engine
    assert found.profit.total.profit == engine.equity_change()
    assert (
        sum(one.fills for one in found.fills.markets.values())
        == sum(one.account.fills for one in engine.markets.values())
        > 0
    )
    assert found.requests.total == engine.budget.spent
    assert found.ladders.count("applied") == engine.ladders_placed
    [halt] = found.halts.halts
    assert halt.asked
    assert halt.without_seconds is not None
    assert 0.25 <= halt.without_seconds < 2
    for name in engine.markets:
        assert found.quoting.of_market(name).both / 1000 == pytest.approx(seconds_both(world, name), abs=0.5)
    assert found.notes == []


def seconds_both(world: World, market_id: str) -> float:
    """For how long both sides of a market rested at the exchange, by the world's own record."""
    resting: dict[str, str] = {}
    both, since = 0.0, None
    for entry in world.record.of(r.Order):
        if entry.market_id != market_id:
            continue
        if entry.action == "removed":
            resting.pop(entry.order_id, None)
        else:
            resting[entry.order_id] = entry.side
        if {"buy", "sell"} <= set(resting.values()):
            since = entry.at if since is None else since
        elif since is not None:
            both, since = both + entry.at - since, None
    assert since is None, "all was cancelled in the end"
    return both


# -- windows and notes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.501, 0.999])
def test_windows_side_by_side_add_up_to_the_whole(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happened until a cut is the whole less what happened since: profit, fills, requests, ladders, pulls."""
    monkeypatch.setattr(reading, "PAGE_ROWS", 150)
    whole, start = report(), market().told[0].run.started_at_unix_ms
    cut = start + round(share * SECONDS * 1000)
    since = reported(market().told, cut)
    until = reported([Told(one.run, [row for row in one.rows if row.at_unix_ms < cut]) for one in market().told])
    assert since.profit.total + until.profit.total == whole.profit.total
    assert since.requests.total + until.requests.total == whole.requests.total
    assert since.ladders.count("applied") + until.ladders.count("applied") == whole.ladders.count("applied")
    assert len(since.halts.halts) + len(until.halts.halts) == len(whole.halts.halts)
    fills = [sum(one.fills for one in each.fills.markets.values()) for each in (since, until, whole)]
    assert fills[0] + fills[1] == fills[2]
    assert since.quoting.of_market(MARKET).told == start + SECONDS * 1000 - max(cut, start + whole_begin_ms())


def whole_begin_ms() -> int:
    """From the start of the run until the maker first said what rested."""
    first = next(row for row in market().told[0].rows if isinstance(row, records.QuotesSeen))
    return first.at_unix_ms - market().told[0].run.started_at_unix_ms


def test_a_window_after_everything_is_empty_and_says_so() -> None:
    found = reported(market().told, market().told[0].run.started_at_unix_ms + DAY)
    assert found.sentence == "Nothing has happened: the journal tells of no run in this time."
    assert (found.runs, found.markets, found.notes) == ([], [], [])


def test_a_run_that_was_never_pulled_says_so() -> None:
    assert reported([Told(a_run())]).sentence == "0.0000 in 0.00 s of running; 0 fills; quotes never pulled."


def test_a_journal_without_a_run_says_so() -> None:
    for version in range(1, len(MIGRATIONS) + 1):
        found = reported([], version=version)
        assert found.sentence == "Nothing has happened: the journal tells of no run in this time."


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_schema_is_told_with_what_it_lacks(version: int) -> None:
    """The same run as older makers would have written it: the same profit, and no invented figure."""
    found = reported(market().told, version=version)
    assert found.notes[0] == f"The journal is of schema {version}: {LACKS[version]}; the next run brings it up to date."
    assert found.profit.total.profit == report().profit.total.profit
    assert found.quoting.markets == []
    assert (found.requests.total, found.requests.limit_per_minute) == (0, None)
    assert any("was not recorded in 1 run of before schema 3" in note for note in found.notes)
    assert ("Of runs of before schema 2, spread and inventory are told together." in found.notes) == (version == 1)
    assert [one.sentence for one in found.halts.halts] == [one.sentence for one in report().halts.halts]
    assert set(LACKS) == set(range(len(MIGRATIONS)))


def test_the_configuration_told_is_the_one_that_held_last() -> None:
    """By the reloads that were applied: one refused changed nothing. Before schema 4 it is that of the start."""
    taken = records.Reload(NOON + 1, True, "cd" * 32, "changed: cycle.requote_bps from 0.8 to 1.0")
    refused = records.Reload(NOON + 2, False, "", "nothing was changed: it is not TOML")
    told = [Told(a_run(), [taken, refused])]
    assert [run.config_sha256 for run in reported(told).runs] == ["cd" * 32]
    assert [run.config_sha256 for run in reported(told, version=3).runs] == ["ab" * 32]


def test_a_torn_run_is_told_and_so_is_one_that_may_run() -> None:
    """Only the newest may be running; of neither an end is invented."""
    row = records.StateChange(NOON + 5000, "maker", "note", "")
    later = records.StateChange(NOON + 95_000, "maker", "note", "")
    runs = [Told(a_run("first"), [row]), Told(a_run("second", NOON + 90_000), [later])]
    found = reported(runs, now_ms=NOON + 100_000)
    assert found.notes == [
        "Run first of 2026-11-28 12:00:00 has no end: it was killed. Its last row is of 2026-11-28 12:00:05, "
        "1 min 35 s ago.",
        "Run second of 2026-11-28 12:01:30 has no end: it is running, or was killed. Its last row is of "
        "2026-11-28 12:01:35, 5.00 s ago.",
    ]
    assert found.alive_ms == 10_000


def test_what_money_cannot_tell_is_said() -> None:
    zero = Decimal(0)
    rows: list[records.Row] = [
        records.Profit(NOON, "A", Decimal(1), Decimal(100), zero, zero, zero, Decimal(5)),
        records.Attribution(NOON, "A", zero, zero, zero, zero, Decimal(5), Decimal(5), 2),
    ]
    runs = [Told(a_run("one"), rows), Told(a_run("two", NOON + 1000), [])]
    notes = reported(runs).notes
    assert any(note.startswith("+5.0000 of the profit is the worth of positions") for note in notes)
    assert any(note.startswith("The spread of 2 fills was taken against the mark") for note in notes)
    assert any("between two runs, while no maker ran" in note for note in notes)


def test_the_buckets_of_a_window_meet_midnights_and_are_not_many() -> None:
    for length in (1, 60_000, DAY // 2, DAY, 30 * DAY, 280 * DAY):
        window = Window.of(NOON, NOON + length)
        assert DAY % window.bucket_ms == 0
        assert length / window.bucket_ms <= 289
    assert Window.of(NOON, NOON + 2000 * DAY).bucket_ms == DAY
