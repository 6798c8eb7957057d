"""Pulls with their causes and how long each took; and why a market was not quoted."""

from __future__ import annotations

import pytest

from maker.desk.deadman import Reason, Trip
from maker.edge import records
from maker.report.halts import Halt, cause_of
from tests.report.journals import DAY, NOON, Told, a_run, reported


def said(at: float, state: str, sentence: str, scope: str = "maker") -> records.StateChange:
    return records.StateChange(NOON + round(at * 1000), scope, state, sentence)


def pulling(at: float, sentence: str) -> records.StateChange:
    return said(at, "pulling", sentence)


def pulled(at: float) -> records.StateChange:
    return said(at, "pulled", "quotes pulled in 0.300 s with 1 cancel-alls so far: read back empty")


def ladder(at: float, outcome: str = "applied") -> records.LadderOutcome:
    return records.LadderOutcome(NOON + round(at * 1000), f"q{at}", "A", outcome, "", 0.01)


def end(at: float, *, verified: bool = True) -> records.RunEnd:
    return records.RunEnd(NOON + round(at * 1000), "stopped as asked", 0, verified_empty=verified)


def halts_of(*rows: records.Row, since: float | None = None) -> list[Halt]:
    since_ms = None if since is None else NOON + round(since * 1000)
    return reported([Told(a_run(), rows)], since_ms).halts.halts


SILENT = Trip(Reason.STREAM_SILENT, "A").sentence


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_every_reason_of_the_table_is_its_own_cause(reason: Reason) -> None:
    """With and without what was seen, colons in it included."""
    assert cause_of(Trip(reason, "").sentence) == reason.sentence
    assert cause_of(Trip(reason, "A: b: c").sentence) == reason.sentence


def test_a_reason_of_another_time_is_told_up_to_its_colon() -> None:
    assert cause_of("the moon was full: 100 %") == "the moon was full"
    assert cause_of("the moon was full") == "the moon was full"


def test_a_pull_lasts_until_the_next_ladder_that_was_applied() -> None:
    """Neither an answer that was late nor a ladder that was refused ends it."""
    [one] = halts_of(
        ladder(0), pulling(1, SILENT), ladder(1.1), pulled(1.3), ladder(2, "refused"), ladder(3), ladder(4), end(9)
    )
    assert (one.cause, one.sentence) == (Reason.STREAM_SILENT.sentence, SILENT)
    assert (one.empty_seconds, one.without_seconds) == (0.3, 2.0)
    assert not one.asked


def test_the_last_pull_lasts_to_the_end_of_its_run() -> None:
    [one] = halts_of(ladder(0), pulling(1, "stopped as asked: SIGTERM"), end(1.5))
    assert (one.empty_seconds, one.without_seconds, one.asked) == (0.5, 0.5, True)


def test_a_pull_that_was_not_verified_is_not_over() -> None:
    unverified = said(1.3, "pulled", "quotes pulled in 0.300 s with 9 cancel-alls so far: NOT verified, 3 orders seen")
    [one] = halts_of(ladder(0), pulling(1, SILENT), unverified, ladder(1.4), end(9, verified=False))
    assert (one.empty_seconds, one.without_seconds) == (None, 8.0)


def test_an_end_that_was_not_verified_claims_no_empty_exchange() -> None:
    [one] = halts_of(ladder(0), pulling(1, "an unexpected error"), end(16, verified=False))
    assert (one.empty_seconds, one.without_seconds) == (None, 15.0)


def test_of_a_torn_run_no_end_is_invented() -> None:
    [one] = halts_of(ladder(0), pulling(1, SILENT), said(5, "note", "something"))
    assert (one.empty_seconds, one.without_seconds) == (None, None)
    [one] = halts_of(ladder(0), pulling(1, SILENT), pulled(1.25), said(5, "note", "something"))
    assert (one.empty_seconds, one.without_seconds) == (0.25, None)


def test_a_pull_during_a_pull_ends_the_first_and_time_is_counted_once() -> None:
    """A recoverable reason, then one that ends the run before the first was over."""
    first, second = halts_of(ladder(0), pulling(1, SILENT), pulling(1.2, "stopped as asked: SIGTERM"), end(2))
    assert (first.without_seconds, second.without_seconds) == (0.2, 0.8)
    assert (first.empty_seconds, second.empty_seconds) == (None, 0.8)


def test_pulls_in_a_row_without_a_ladder_between_are_counted_once() -> None:
    first, second = halts_of(
        ladder(0), pulling(1, SILENT), pulled(1.5), pulling(3, SILENT), pulled(3.5), ladder(5), ladder(6), end(9)
    )
    assert (first.without_seconds, second.without_seconds) == (2.0, 2.0)


def test_by_cause_they_are_added() -> None:
    rows: list[records.Row] = [ladder(0)]
    for at in (10, 20, 30):
        rows += [pulling(at, f"{SILENT}"), pulled(at + 0.5), ladder(at + 1 + at / 10)]
    rows += [pulling(40, "stopped as asked: SIGTERM"), end(41)]
    causes = reported([Told(a_run(), rows)]).halts.by_cause()
    assert [(one.cause, len(one.halts), one.without_seconds) for one in causes] == [
        (Reason.STREAM_SILENT.sentence, 3, 9.0),
        (Reason.STOP_ASKED.sentence, 1, 1.0),
    ]


def test_a_pull_before_the_window_is_not_in_it_but_ends_where_it_should() -> None:
    rows: list[records.Row] = [
        ladder(0),
        pulling(1, SILENT),
        pulled(2),
        pulling(5, SILENT),
        pulled(6),
        ladder(8),
        end(9),
    ]
    [one] = halts_of(*rows, since=4)
    assert (one.at_ms, one.without_seconds) == (NOON + 5000, 3.0)
    assert halts_of(*rows, since=5.001) == []


def test_pulls_of_one_run_do_not_end_those_of_another() -> None:
    """The run before was killed while it pulled."""
    runs = [
        Told(a_run("torn"), [ladder(0), pulling(1, SILENT), pulled(1.1)]),
        Told(a_run("next", NOON + 60_000), [ladder(70), end(80)]),
    ]
    [one] = reported(runs).halts.halts
    assert one.without_seconds is None


def test_why_a_market_was_not_quoted_is_added_by_reason() -> None:
    """Figures do not make another reason; a snapshot in between does not end one; a day and a window cut it."""
    rows: list[records.Row] = [
        said(0, "not quoting", "2 reference feeds are needed: a is 1.5 s old", "A"),
        said(1, "snapshot", "its stream is live again from a new snapshot", "A"),
        said(4, "quoting", "both sides are quoted", "A"),
        said(10, "not quoting", "2 reference feeds are needed: a is 9.0 s old", "A"),
        said(12, "not quoting", "the market is halted", "A"),
        said(13, "not quoting", "the market is halted", "B"),
        end(20),
    ]
    needed = "… reference feeds are needed: a is … s old"
    assert reported([Told(a_run(), rows)]).halts.reasons == {
        ("A", needed): 6000,
        ("A", "the market is halted"): 8000,
        ("B", "the market is halted"): 7000,
    }
    assert reported([Told(a_run(), rows)], NOON + 11_000).halts.reasons[("A", needed)] == 1000
    longer = [*rows[:-1], end(3 * DAY / 1000)]
    assert reported([Told(a_run(), longer)]).halts.reasons[("B", "the market is halted")] == 3 * DAY - 13_000
