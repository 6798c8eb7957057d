"""The oracle: a clean record passes every checker; each has records that turn it, and nothing else, red."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest

from maker.storms.case import Case
from maker.storms.invariants import INVARIANTS, PAIRED, VIOLATIONS_MAX, judge
from maker.storms.record import (
    GUARD,
    MAKER,
    Answered,
    Applied,
    Armed,
    Compared,
    Counted,
    DialFailed,
    Died,
    FaultBegan,
    FaultBit,
    FeedSilent,
    GuardGone,
    GuardPulled,
    JournalLost,
    KillFileWritten,
    Left,
    MarketTerms,
    QuietBegan,
    Raised,
    Rearmed,
    Record,
    ReferenceBroken,
    SecretSeen,
    Signalled,
    SnapshotRead,
    StoodStill,
    WorldEnded,
)
from maker.wire import ocx
from tests.storms.story import BTC, ETH, SIGHT, TERMS, Story, clean, quotes

RED: list[tuple[str, str, Callable[[Story], Record]]] = []  # invariant, what happens, the record
GREEN: list[tuple[str, str, Callable[[Story], Record]]] = []
Told = Callable[[Story], Record]


def red(name: str) -> Callable[[Told], Told]:
    """The record of this story turns exactly this checker red. The story has begun: both markets are quoted."""

    def enter(told: Told) -> Told:
        RED.append((name, told.__name__, told))
        return told

    return enter


def green(name: str) -> Callable[[Told], Told]:
    """The record of this story is a near miss: this checker has something to judge, and none is red."""

    def enter(told: Told) -> Told:
        GREEN.append((name, told.__name__, told))
        return told

    return enter


def closes(story: Story) -> Record:
    """A clean end."""
    return story.told().ends()


def dies(story: Story) -> None:
    story.add(Died, why="killed")


def guard_pulls(story: Story) -> None:
    """The guard's whole work after a death."""
    story.wait(0.02)
    began = story.now
    while True:
        story.cancel_all(owner=GUARD, connection=91)
        if story.now >= began + TERMS.tail_seconds:
            break
        story.wait(2.0)
    for _ in range(2):
        story.read(owner=GUARD, connection=92)
        story.wait(0.3)
    story.add(GuardPulled, verified_empty=True)


# -- S1


def unreachable(story: Story, guard_seconds: float, *, incident: bool) -> Record:
    """The exchange is out of reach from a signal on, for maker and guard; a ladder of theirs goes on resting."""
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    request = story.left("POST", ocx.CANCEL_ALL, connection=2, body=b"{}")
    story.lost(request)
    story.wait(14.0)
    story.end(75, verified_empty=False)
    story.wait(guard_seconds)
    story.add(GuardPulled, verified_empty=False)
    return story.over(75, incident=incident)


@red("S1")
def orders_rest_after_a_claim_of_empty(story: Story) -> Record:
    """The reads lied, or something landed behind them."""
    story.told()
    story.resting_again(BTC)
    return story.ends()


@red("S1")
def exit_75_without_an_incident(story: Story) -> Record:
    return unreachable(story, 600.0, incident=False)


@red("S1")
def the_guard_gave_up_early(story: Story) -> Record:
    return unreachable(story, 60.0, incident=True)


@green("S1")
def exit_75_after_all_the_guards_time(story: Story) -> Record:
    return unreachable(story, 600.0, incident=True)


@green("S1")
def a_ladder_lands_late_and_the_tail_takes_it(story: Story) -> Record:
    late = story.ladder_leaves()
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.wait(3.0)
    story.ladder_lands(late)
    story.wait(5.1)
    story.cancel_all()
    story.proven_empty()
    return story.ends()


@green("S1")
def a_ladder_later_than_anybody_promised(story: Story) -> Record:
    late = story.ladder_leaves()
    story.trip("OUTCOME_UNKNOWN")
    story.cancel_all()
    story.wait(TERMS.tail_seconds)
    story.cancel_all()
    story.proven_empty()
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    story.end(0)
    story.wait()
    story.ladder_lands(late)
    return story.over(0)


@green("L7")
def both_maker_and_guard_are_killed(story: Story) -> Record:
    """Nobody is left to pull: the next start sweeps."""
    story.add(GuardGone)
    dies(story)
    story.wait(100.0)
    story.add(WorldEnded)
    return story.record


# -- S2


@red("S2")
def a_ladder_leaves_after_the_trip(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.cancel_all()
    story.proven_empty()
    story.ladder()
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    return closes(story)


@red("S2")
def a_ladder_leaves_after_the_trip_in_the_same_instant(story: Story) -> Record:
    story.trip("LOOP_LAG")
    request = story.ladder_leaves()
    story.cancel_all()
    story.ladder_lands(request)
    story.answer(request)
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    return closes(story)


@red("S2")
def rearmed_after_a_trip_that_ends_the_run(story: Story) -> Record:
    story.told()
    story.rearm()
    story.ladder()
    story.cancel_all()
    story.proven_empty()
    return story.ends()


@red("S2")
def rearmed_after_a_limit_that_ends_the_run(story: Story) -> Record:
    story.trip("DRAWDOWN", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    story.ladder()
    story.cancel_all()
    story.proven_empty()
    return story.ends(70)


@red("S2")
def quoting_on_beside_the_kill_file(story: Story) -> Record:
    story.add(KillFileWritten, by="somebody")
    story.wait(1.5)
    story.ladder()
    return closes(story)


@green("S2")
def a_ladder_leaves_before_the_trip_in_the_same_instant(story: Story) -> Record:
    request = story.ladder_leaves()
    story.trip("LOOP_LAG")
    story.cancel_all()
    story.ladder_lands(request)
    story.answer(request)
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    story.ladder()
    return closes(story)


@green("S2")
def a_ladder_leaves_after_the_rearm_in_the_same_instant(story: Story) -> Record:
    story.pulls()
    story.rearm()
    story.ladder()
    return closes(story)


@green("S2")
def an_empty_ladder_after_the_trip_is_no_write(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.cancel_all()
    story.ladder(bid="", ask="", intend=False)
    story.proven_empty()
    story.rearm()
    return closes(story)


# -- S3


@red("S3")
def no_cancel_all_before_a_clean_exit(story: Story) -> Record:
    """Nothing rested, and still nobody may be sure."""
    story.fill(BTC)
    story.fill(BTC)
    story.fill(ETH)
    story.fill(ETH)
    story.add(Signalled, number=15, resting=0, healthy=True)
    story.trip("STOP_ASKED", recoverable=False)
    story.proven_empty()
    return story.ends()


@red("S3")
def verified_by_one_read(story: Story) -> Record:
    story.add(Signalled, number=15, resting=4, healthy=True)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.read()
    return story.ends()


@red("S3")
def two_reads_too_close(story: Story) -> Record:
    story.add(Signalled, number=15, resting=4, healthy=True)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.read()
    story.wait(0.2)
    story.read()
    return story.ends()


@red("S3")
def the_second_read_shows_an_order(story: Story) -> Record:
    story.add(Signalled, number=15, resting=4, healthy=True)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.read()
    story.wait(0.3)
    story.read(shown=1)
    return story.ends()


@red("S3")
def an_order_shows_between_two_empty_reads(story: Story) -> Record:
    story.add(Signalled, number=15, resting=4, healthy=True)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.read()
    story.wait(0.3)
    story.read(shown=1)
    story.read()
    return story.ends()


@red("S3")
def the_cancel_all_was_refused(story: Story) -> Record:
    """And everything went by itself."""
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all(status=503)
    for market_id in (BTC, ETH):
        story.remove(market_id, "expired")
    story.proven_empty()
    return story.ends()


def pulls_before_the_last_answer(story: Story) -> None:
    """A ladder is on its way when the only cancel-all of the halt leaves; both are answered."""
    request = story.ladder_leaves()
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.ladder_lands(request)
    story.cancel_all()
    story.answer(request)


@red("S3")
def the_cancel_all_left_before_the_last_ladder_was_answered(story: Story) -> Record:
    pulls_before_the_last_answer(story)
    story.proven_empty()
    return story.ends()


@red("S3")
def the_tail_is_cut_short(story: Story) -> Record:
    """The ladder was never heard of again, and might have landed."""
    story.ladder_leaves()
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.wait(TERMS.tail_seconds - 0.5)
    story.cancel_all()
    story.proven_empty()
    return story.ends()


@red("S3")
def exit_70_claims_it_too(story: Story) -> Record:
    story.trip("DRAWDOWN", recoverable=False)
    story.cancel_all()
    story.read()
    return story.ends(70)


@green("S3")
def two_reads_just_far_enough(story: Story) -> Record:
    return closes(story)


@green("S3")
def the_whole_tail(story: Story) -> Record:
    story.ladder_leaves()
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.wait(TERMS.tail_seconds)
    story.cancel_all()
    story.proven_empty()
    return story.ends()


@green("S3")
def a_lost_ladder_needs_no_tail(story: Story) -> Record:
    story.lost(story.ladder_leaves())
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    return story.ends()


@green("S3")
def pulled_market_by_market(story: Story) -> Record:
    """The unscoped cancel-all is refused again and again; each market's is not."""
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all(status=503)
    for market_id in (BTC, ETH):
        story.cancel_all(market_id=market_id)
    story.proven_empty()
    return story.ends()


@green("S3")
def pulled_order_by_order(story: Story) -> Record:
    """The unscoped cancel-all is refused, and so is each market's; what rests is cancelled by its name."""
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all(status=503)
    story.cancel_all(client_order_id="mk-abcdefgh-1b")
    story.proven_empty()
    return story.ends()


@red("S3")
def pulled_order_by_order_at_once(story: Story) -> Record:
    """After the last ladder nobody asked for everything: what is not known by name may rest on."""
    pulls_before_the_last_answer(story)
    story.cancel_all(client_order_id="mk-abcdefgh-1b")
    story.proven_empty()
    return story.ends()


@green("S3")
def the_guard_proves_it(story: Story) -> Record:
    story.ladder_leaves()
    dies(story)
    guard_pulls(story)
    return story.over(70)


# -- S4, S5, S6


@pytest.mark.parametrize(
    ("sight", "said"),
    [
        ({"stream_age": 20.2}, "last heard"),
        ({"reference_age": 2.2}, "reference price"),
        ({"stream_sound": False}, "not live"),
        ({"stream_connection": None}, "no stream"),
    ],
)
def test_a_ladder_on_what_is_not_fresh(sight: dict[str, Any], said: str) -> None:
    story = Story().start()
    story.ladder(sight=attrs.evolve(SIGHT, **sight))
    violations, _ = judge(closes(story))
    assert [one.name for one in violations] == ["S4"]
    assert said in violations[0].sentence


@red("S4")
def a_ladder_on_a_silent_stream(story: Story) -> Record:
    story.ladder(sight=attrs.evolve(SIGHT, stream_age=21.0))
    return closes(story)


@green("S4")
def a_ladder_on_inputs_just_fresh_enough(story: Story) -> Record:
    story.ladder(sight=attrs.evolve(SIGHT, stream_age=20.0, reference_age=2.0))
    return closes(story)


@green("S4")
def a_ladder_in_the_very_instant_in_which_the_feeds_are_gone(story: Story) -> Record:
    """Storm seed 70124: three feeds ended, and the cycle's turn came before those of their readers."""
    story.add(ReferenceBroken, exposed=False)
    story.ladder(sight=attrs.evolve(SIGHT, reference_age=math.inf))
    return closes(story)


@red("S4")
def a_ladder_a_moment_after_the_feeds_are_gone(story: Story) -> Record:
    story.add(ReferenceBroken, exposed=False)
    story.wait(0.001)
    story.ladder(sight=attrs.evolve(SIGHT, reference_age=math.inf))
    return closes(story)


@red("S5")
def a_ladder_on_a_broken_stream(story: Story) -> Record:
    """Nothing rested, so that nothing had to be pulled."""
    story.breaks(exposed=False)
    story.wait()
    story.ladder()
    return closes(story)


@red("S5")
def the_snapshot_is_of_the_old_connection(story: Story) -> Record:
    story.breaks(exposed=False)
    story.add(SnapshotRead, market_id=BTC, connection=story.stream - 1)
    story.wait()
    story.ladder()
    return closes(story)


@red("S5")
def a_gap_pulls_nothing(story: Story) -> Record:
    story.breaks()
    story.wait(0.2)
    story.remove(BTC, "expired")
    story.snapshots()
    return closes(story)


@red("S5")
def a_ladder_before_any_snapshot(story: Story) -> Record:
    story = Story()
    story.add(Armed)
    story.ladder()
    return closes(story)


@green("S5")
def the_other_market_is_quoted_on(story: Story) -> Record:
    story.breaks(exposed=False)
    story.ladder(ETH)
    story.snapshots()
    story.ladder(BTC)
    return closes(story)


@green("S5")
def a_break_while_quotes_are_pulled_already(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.breaks()
    story.cancel_all()
    story.proven_empty()
    story.snapshots()
    story.rearm()
    story.ladder()
    return closes(story)


@red("S6")
def the_books_differ(story: Story) -> Record:
    story.add(Compared, market_id=BTC, differences=("position: 1 here, 2 there",))
    return closes(story)


# -- S7


@red("S7")
def a_fill_was_not_counted(story: Story) -> Record:
    for _ in range(10):
        story.fill(BTC)
        story.ladder()
    return closes(story)


@red("S7")
def old_and_new_ladder_together_are_too_much(story: Story) -> Record:
    for _ in range(8):
        story.fill(BTC)
        story.ladder()
    story.ladder(size="1.5")
    return closes(story)


@red("S7")
def a_ladder_of_unknown_outcome_counts(story: Story) -> Record:
    """8 are held, 0.5 may land, and 2 are sent before it cannot any more."""
    for _ in range(8):
        story.fill(BTC)
        story.ladder()
    story.ladder_leaves(ask="", size="0.5")
    story.cancel_all()
    story.read()
    story.ladder(size="2")
    return closes_after_tail(story)


@red("S7")
def all_markets_together_are_worth_too_much(story: Story) -> Record:
    for market_id in (BTC, ETH):
        for _ in range(7):
            story.fill(market_id)
            story.ladder(market_id)
    return closes(story)


@red("S7")
def what_somebody_else_bought_excuses_no_more_than_that(story: Story) -> Record:
    for _ in range(8):
        story.fill(BTC)
        story.ladder()
    story.somebody_trades("buy", "2")
    story.ladder()
    story.fill(BTC)
    story.ladder()
    story.fill(BTC)
    story.ladder()
    return closes(story)


@green("S7")
def exactly_the_limit(story: Story) -> Record:
    for _ in range(8):
        story.fill(BTC)
        story.ladder()
    return closes(story)


@green("S7")
def somebody_else_bought_beyond_the_limit(story: Story) -> Record:
    story.somebody_trades("buy", "12")
    story.ladder()
    story.ladder(bid="", reduce_only=True, size="4")
    return closes(story)


@green("S7")
def a_lost_ladder_does_not_count(story: Story) -> Record:
    for _ in range(8):
        story.fill(BTC)
        story.ladder()
    story.lost(story.ladder_leaves(ask=""))
    story.cancel_all()
    story.read()
    story.ladder(ask="", size="2")
    return closes(story)


# -- S8, S9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"bid": "99.95"}, "tick"),
        ({"size": "1.25"}, "lot"),
        ({"size": "4.5"}, "larger"),
        ({"bid": "98.5"}, "bp from"),
        ({"bid": "100.1", "ask": "100.1"}, "not below"),
        ({"post_only": False}, "post-only"),
        ({"bid": "100.2", "ask": ""}, "crosses the ask"),
        ({"bid": "", "ask": "99.8"}, "crosses the bid"),
        ({"market_id": "DOGE-PERP"}, "not ours"),
    ],
)
def test_an_order_that_is_not_sane(words: dict[str, Any], said: str) -> None:
    story = Story().start()
    story.resting["DOGE-PERP"] = []
    market_id = str(words.get("market_id", BTC))
    request = story.ladder_leaves(**{"market_id": market_id} | words)
    story.add(Applied, request=request, status=400)
    story.answer(request, 400)
    story.read()
    violations, _ = judge(closes(story))
    assert said in next(one.sentence for one in violations if one.name == "S8")
    assert {one.name for one in violations} <= {"S8", "S5"}  # of another market no snapshot was read


@red("S8")
def off_the_tick(story: Story) -> Record:
    story.ladder(bid="99.95")
    return closes(story)


@red("S8")
def worth_too_much(story: Story) -> Record:
    record = Story(Record(attrs.evolve(TERMS, markets=with_value_max("99")))).start()
    return closes(record)


def with_value_max(value: str) -> dict[str, MarketTerms]:
    return {one: attrs.evolve(terms, order_value_max=Decimal(value)) for one, terms in TERMS.markets.items()}


@red("S8")
def traded_with_ourselves(story: Story) -> Record:
    story.fill(self_trade=True)
    story.fill(side="buy")
    return closes(story)


@green("S8")
def the_best_ask_was_our_own(story: Story) -> Record:
    story.ladder(bid="100.1", ask="100.2", sight=attrs.evolve(SIGHT, best_ask=Decimal("100.1")))
    return closes(story)


@red("S9")
def the_exchange_says_429_of_its_own(story: Story) -> Record:
    request = story.ladder_leaves()
    story.add(Applied, request=request, status=429)
    story.answer(request, 429)
    return closes(story)


@red("S9")
def an_answer_429_that_no_fault_made(story: Story) -> Record:
    request = story.ladder_leaves()
    story.answer(request, 429)
    story.lost(request)
    return closes(story)


@red("S9")
def a_ladder_leaves_before_the_wait_is_over(story: Story) -> Record:
    request = story.ladder_leaves()
    story.answer(request, 429, fault="throttle", retry_seconds=5.0)
    story.lost(request)
    story.wait(4.8)
    story.ladder()
    return closes(story)


@red("S9")
def the_reserve_is_spent_on_quoting(story: Story) -> Record:
    for _ in range(91):
        story.ladder()
    return closes(story)


@green("S9")
def the_wait_is_over(story: Story) -> Record:
    request = story.ladder_leaves()
    story.answer(request, 429, fault="throttle", retry_seconds=5.0)
    story.lost(request)
    story.cancel_all()
    story.wait(5.0)
    story.ladder()
    return closes(story)


@green("S9")
def all_but_the_reserve_and_a_new_window(story: Story) -> Record:
    for _ in range(90):
        story.ladder()
    story.wait(60.0)
    for _ in range(90):
        story.ladder()
    return closes(story)


@green("S9")
def a_fault_may_throttle(story: Story) -> Record:
    story = Story(Record(attrs.evolve(TERMS, throttle_faults=True))).start()
    request = story.ladder_leaves()
    story.add(Applied, request=request, status=429)
    story.answer(request, 429, retry_seconds=1.0)
    story.wait(1.0)
    story.ladder()
    return closes(story)


# -- S10


@red("S10")
def the_cancel_all_waits_behind_something(story: Story) -> Record:
    """The lane was warm."""
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.wait(0.06)
    story.cancel_all()
    story.proven_empty()
    return story.ends()


@red("S10")
def the_connection_takes_too_long(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.wait(TERMS.connect_seconds_max + 0.06)
    story.cancel_all(connection=77)
    story.proven_empty()
    story.rearm()
    return closes(story)


@red("S10")
def a_scoped_cancel_is_not_it(story: Story) -> Record:
    story.trip("LOOP_LAG")
    for market_id in (BTC, ETH):
        story.cancel_all(market_id=market_id)
    story.wait(0.1)
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    return closes(story)


@red("S10")
def an_end_without_a_cancel_all(story: Story) -> Record:
    story.add(Raised, where="the feeds", text="the feeds")
    story.wait()
    story.end(75, verified_empty=False, causes=("the feeds",))
    story.wait(0.02)
    guard_pulls(story)
    return story.over(70)


@green("S10")
def just_within_50_ms(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.wait(0.05)
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    return closes(story)


@green("S10")
def a_connection_is_made_first(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.wait(1.0)
    story.cancel_all(connection=77)
    story.proven_empty()
    story.rearm()
    return closes(story)


@green("S10")
def no_connection_can_be_made(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.wait(2.9)
    story.add(DialFailed, owner="maker", began_at=story.now - 2.9)
    story.wait(2.1)
    story.cancel_all(connection=77)
    story.proven_empty()
    story.rearm()
    return closes(story)


@green("S10")
def the_process_was_paused(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.wait(5.0)
    story.add(StoodStill, seconds=5.0)
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    return closes(story)


@green("S2")
def nothing_rests_and_nothing_is_due(story: Story) -> Record:
    story.pulls()
    story.rearm()
    story.trip("NO_FAIR_VALUE")
    story.wait(1.0)
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    return closes(story)


# -- S11, S12


def refused(story: Story, size: str = "4", status: int = 422, code: str = ocx.INSUFFICIENT_MARGIN) -> None:
    story.ladder(size=size, status=status, code=code)


@red("S11")
def no_read_after_a_refusal(story: Story) -> Record:
    refused(story)
    story.ladder(size="2")
    return closes(story)


@red("S11")
def the_read_left_before_the_refusal_came(story: Story) -> Record:
    read = story.left("GET", ocx.ORDERS)
    refused(story)
    story.answer(read, open_orders=4)
    story.ladder(size="2")
    return closes(story)


@red("S11")
def the_same_ladder_again(story: Story) -> Record:
    refused(story, status=400, code="INVALID_PRICE")
    story.read()
    story.ladder(size="4")
    return closes(story)


@red("S11")
def a_refused_margin_and_no_smaller_size(story: Story) -> Record:
    refused(story)
    story.read()
    story.ladder(bid="99.8", size="4")
    return closes(story)


@red("S11")
def a_fourth_try(story: Story) -> Record:
    for size in ("4", "3", "2"):
        refused(story, size)
        story.read()
    story.ladder(size="1")
    return closes(story)


@green("S11")
def read_back_and_made_smaller(story: Story) -> Record:
    refused(story)
    story.read()
    story.ladder(size="2")
    return closes(story)


@green("S11")
def another_price_after_another_refusal(story: Story) -> Record:
    refused(story, status=422, code=ocx.POST_ONLY_WOULD_CROSS)
    story.read()
    story.ladder(bid="99.8", size="4")
    return closes(story)


@green("S11")
def the_other_market_is_not_meant(story: Story) -> Record:
    refused(story)
    story.ladder(ETH)
    story.read()
    story.ladder(size="2")
    return closes(story)


@green("S11")
def a_fourth_try_after_the_hold(story: Story) -> Record:
    for size in ("4", "3", "2"):
        refused(story, size)
        story.read()
    story.wait(30.0)
    story.ladder(size="1")
    return closes(story)


@green("S11")
def an_exit_keeps_its_size(story: Story) -> Record:
    refused(story)
    story.read()
    story.ladder(bid="", size="4", reduce_only=True)
    return closes(story)


@red("S12")
def a_quote_id_again(story: Story) -> Record:
    story.ladder(quote_id="mk-abcdefgh-qq")
    story.ladder(quote_id="mk-abcdefgh-qq")
    return closes(story)


@red("S12")
def a_client_order_id_again(story: Story) -> Record:
    story.ladder(quotes=quotes(500))
    story.ladder(quotes=quotes(500))
    return closes(story)


@red("S12")
def quoting_on_after_an_unknown_outcome(story: Story) -> Record:
    request = story.ladder_leaves()
    story.ladder_lands(request)
    story.wait(3.0)
    story.ladder()
    return closes_after_tail(story)


@red("S12")
def pulled_and_not_read(story: Story) -> Record:
    story.lost(story.ladder_leaves())
    story.cancel_all()
    story.ladder()
    return closes(story)


@red("S12")
def a_server_error_is_taken_for_a_refusal(story: Story) -> Record:
    story.ladder(status=503)
    story.read()
    story.ladder(bid="99.8")
    return closes(story)


@red("S12")
def two_effects(story: Story) -> Record:
    request = story.ladder()
    story.ladder_lands(request)
    return closes(story)


@green("S12")
def pulled_and_read_after_an_unknown_outcome(story: Story) -> Record:
    story.lost(story.ladder_leaves())
    story.cancel_all()
    story.read()
    story.ladder()
    return closes(story)


def closes_after_tail(story: Story) -> Record:
    """A clean end where an outcome is unknown."""
    story.add(Signalled, number=15, resting=4, healthy=False)
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.wait(TERMS.tail_seconds)
    story.cancel_all()
    story.proven_empty()
    return story.ends()


# -- S13 … S16


@red("S13")
def a_dead_maker_sends(story: Story) -> Record:
    dies(story)
    story.left("GET", ocx.BALANCES)
    guard_pulls(story)
    return story.over(70)


@red("S13")
def two_epochs_write(story: Story) -> Record:
    story.ladder(quote_id="mk-zyxwvuts-q1")
    return closes(story)


@red("S14")
def a_task_goes_on(story: Story) -> Record:
    return story.told().ends(unwound_seconds=1.2)


@red("S14")
def an_error_is_named_nowhere(story: Story) -> Record:
    story.add(Raised, where="the watch", text="the watch")
    story.trip("UNHANDLED_ERROR", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    return story.ends(70, causes=("something else",))


@green("S14")
def an_error_is_named(story: Story) -> Record:
    story.add(Raised, where="the watch", text="the watch")
    story.trip("UNHANDLED_ERROR", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    return story.ends(70, causes=("the watch",))


def ends_slowly(story: Story, seconds: float) -> Record:
    story.told(healthy=False)
    story.wait(seconds)
    return story.ends()


@red("S15")
def the_maker_does_not_end(story: Story) -> Record:
    return ends_slowly(story, 15.0)


@green("S15")
def the_maker_ends_just_in_time(story: Story) -> Record:
    return ends_slowly(story, 14.6)


@red("S16")
def no_intent_in_the_journal(story: Story) -> Record:
    story.ladder(intend=False)
    return closes(story)


@red("S16")
def a_lost_journal_pulls_nothing(story: Story) -> Record:
    story.add(JournalLost)
    story.wait(1.5)
    return closes(story)


@green("S16")
def a_lost_journal_pulls(story: Story) -> Record:
    story.add(JournalLost)
    story.wait(0.2)
    story.trip("JOURNAL_LOST", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    return story.ends(70)


# -- S18 … S24


@red("S18")
def the_key_in_the_log(story: Story) -> Record:
    story.add(SecretSeen, where="the log")
    return closes(story)


@pytest.mark.parametrize("text", ["1e2", "1E+2", ".5", "1.", "+1", "01", "NaN", "1_0", "1 ", "٣", ""])
def test_what_is_no_amount(text: str) -> None:
    story = Story().start()
    request = story.ladder_leaves(size=text)
    story.add(Applied, request=request, status=400)
    story.answer(request, 400)
    story.read()
    violations, _ = judge(closes(story))
    assert {one.name for one in violations} == {"S19"}


@red("S19")
def a_float_on_the_wire(story: Story) -> Record:
    request = story.ladder_leaves(bid="9.99e1")
    story.add(Applied, request=request, status=400)
    story.answer(request, 400)
    story.read()
    return closes(story)


@red("S19")
def it_rests_at_another_price(story: Story) -> Record:
    story.ladder_leaves(bid="99.8", ask="")
    request = story.requests
    quote = next(reversed(list(story.record.of(Left)))).quotes[0]
    story.add(Applied, request=request, status=200)
    story.resting[BTC].append(("odd", attrs.evolve(quote, price="99.7")))
    story.order(BTC, "odd", attrs.evolve(quote, price="99.7"), Decimal(1), "placed")
    story.answer(request)
    return closes(story)


@red("S20")
def quoting_before_the_guard_is_armed(story: Story) -> Record:
    story = Story()
    story.snapshots()
    story.ladder()
    return closes(story)


@red("S20")
def a_lost_guard_pulls_nothing(story: Story) -> Record:
    story.add(GuardGone)
    story.wait(0.2)
    return closes(story)


@red("S20")
def a_lost_guard_and_then_nothing(story: Story) -> Record:
    story.add(GuardGone)
    story.wait(1.0)
    story.add(WorldEnded)
    return story.record


@green("S20")
def a_lost_guard_pulls(story: Story) -> Record:
    story.add(GuardGone)
    story.trip("OWNER_GONE", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    return story.ends(70)


@red("S21")
def no_word_for_the_next_start(story: Story) -> Record:
    story.trip("DRAWDOWN", recoverable=False, latched=True)
    story.cancel_all()
    story.proven_empty()
    return story.ends(70)


@green("S21")
def word_is_left(story: Story) -> Record:
    story.trip("DRAWDOWN", recoverable=False, latched=True)
    story.cancel_all()
    story.add(KillFileWritten, by="maker")
    story.proven_empty()
    return story.ends(70)


@green("S21")
def somebody_wrote_it(story: Story) -> Record:
    story.add(KillFileWritten, by="somebody")
    story.wait(0.2)
    story.trip("KILLED", recoverable=False, latched=True)
    story.cancel_all()
    story.proven_empty()
    return story.ends()


@red("S23")
def tasks_grow(story: Story) -> Record:
    story.add(Counted, tasks=12, connections=7, cycles=1)
    story.add(Counted, tasks=15, connections=9, cycles=50)
    return closes(story)


@green("S23")
def two_more_are_no_growth(story: Story) -> Record:
    story.add(Counted, tasks=12, connections=7, cycles=1)
    story.add(Counted, tasks=14, connections=5, cycles=50)
    return closes(story)


@red("S24")
def a_transfer_while_quotes_are_pulled(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.cancel_all()
    story.answer(story.left("POST", ocx.WALLET_TRANSFER))
    story.proven_empty()
    story.rearm()
    return closes(story)


@red("S24")
def an_order_is_modified_on_a_broken_stream(story: Story) -> Record:
    story.breaks(exposed=False)
    story.answer(story.left("POST", f"{ocx.ORDERS}/o1/modify"))
    story.snapshots()
    return closes(story)


@red("S24")
def an_order_is_modified_beside_an_unknown_outcome(story: Story) -> Record:
    story.lost(story.ladder_leaves())
    story.answer(story.left("POST", f"{ocx.ORDERS}/o1/modify"))
    return closes(story)


@green("S24")
def cancels_and_exits_are_allowed(story: Story) -> Record:
    story.pulls()
    story.answer(story.left("POST", ocx.POSITIONS_CLOSE))
    story.answer(story.left("POST", f"{ocx.ORDERS}/o1/cancel"))
    story.rearm()
    return closes(story)


# -- L1


@red("L1")
def pulled_and_yet_they_rest(story: Story) -> Record:
    """The cancel-all had its effect, but not on this market."""
    story.breaks()
    story.trip()
    story.cancel_all(effect=False)
    story.wait(1.0)
    story.cancel_all()
    story.proven_empty()
    story.snapshots()
    story.rearm()
    return closes(story)


def silence(story: Story, feed: str, seconds: float) -> Record:
    since = story.now
    story.wait(seconds)
    story.trip("STREAM_SILENT")
    story.cancel_all()
    story.proven_empty()
    story.wait(5.0)
    story.add(FeedSilent, feed=feed, market_id=BTC, since=since)
    story.snapshots()
    story.rearm()
    return closes(story)


@red("L1")
def a_silent_stream_is_not_noticed(story: Story) -> Record:
    return silence(story, "stream", 24.0)


@red("L1")
def a_silent_reference_is_not_noticed(story: Story) -> Record:
    return silence(story, "reference", 4.0)


@red("L1")
def a_broken_reference_is_not_noticed(story: Story) -> Record:
    story.add(ReferenceBroken, exposed=True)
    story.wait(1.0)
    return closes(story)


@green("L1")
def a_silent_stream_is_pulled_for(story: Story) -> Record:
    return silence(story, "stream", 22.7)


@green("L1")
def a_silent_reference_is_pulled_for(story: Story) -> Record:
    return silence(story, "reference", 2.2)


def slowly_pulled(story: Story, *, bitten: bool) -> Record:
    story.breaks()
    story.trip()
    request = story.left("POST", ocx.CANCEL_ALL, connection=2, body=b"{}")
    if bitten:
        story.add(Applied, request=request, status=200)
        story.add(FaultBit, index=0, name="partial", request=request)
    story.wait(0.7)
    if not bitten:
        story.add(Applied, request=request, status=200)
    for market_id in (BTC, ETH):
        story.remove(market_id, "cancelled")
    story.answer(request)
    story.proven_empty()
    story.snapshots()
    story.rearm()
    return closes(story)


@green("L1")
def the_cancel_all_was_long_on_its_way(story: Story) -> Record:
    return slowly_pulled(story, bitten=False)


@green("L1")
def the_cancel_all_met_a_fault(story: Story) -> Record:
    return slowly_pulled(story, bitten=True)


@green("L1")
def a_ladder_under_way_lands_behind_the_cancel_all(story: Story) -> Record:
    late = story.ladder_leaves()
    story.breaks()
    story.trip()
    story.cancel_all()
    story.wait(0.3)
    story.ladder_lands(late)
    story.wait(0.5)
    story.answer(late)
    story.cancel_all()
    story.proven_empty()
    story.snapshots()
    story.rearm()
    return closes(story)


@green("L1")
def a_break_while_a_429_is_waited_for(story: Story) -> Record:
    """They are being pulled already, and only waiting helps."""
    story.breaks()
    story.trip()
    request = story.left("POST", ocx.CANCEL_ALL, connection=2, body=b"{}")
    story.lost(request)
    story.answer(request, 429, fault="throttle", retry_seconds=4.0)
    story.wait(1.0)
    story.breaks(ETH)
    story.wait(3.0)
    story.cancel_all()
    story.proven_empty()
    story.snapshots()
    story.rearm()
    return closes(story)


# -- L2 … L7


@red("L2")
def a_market_is_not_quoted_again(story: Story) -> Record:
    story.add(QuietBegan)
    for _ in range(7):
        story.wait(10.0)
        story.ladder(BTC)
    return closes(story)


@green("L2")
def a_market_is_quoted_again_just_in_time(story: Story) -> Record:
    story.add(QuietBegan)
    story.wait(59.0)
    story.ladder(BTC)
    story.ladder(ETH)
    story.wait(10.0)
    return closes(story)


@red("L3")
def a_signal_takes_long(story: Story) -> Record:
    story.told()
    story.wait(2.0)
    return story.ends()


@red("L3")
def a_signal_ends_in_another_code(story: Story) -> Record:
    return story.told().ends(70)


@green("S3")
def a_fault_after_the_signal_is_no_healthy_world(story: Story) -> Record:
    story.told()
    story.add(FaultBegan, index=0, row="F2", name="black_hole", resting=0)
    story.wait(3.0)
    return story.ends()


@red("L4")
def the_guard_is_slow(story: Story) -> Record:
    dies(story)
    story.wait(TERMS.connect_seconds_max + 0.2)
    guard_pulls(story)
    return story.over(70)


@red("L4")
def the_guard_lets_it_hang(story: Story) -> Record:
    story.add(Died, why="hung", hang_began_at=story.now - 3.3)
    guard_pulls(story)
    return story.over(70)


@green("L4")
def the_guard_is_in_time(story: Story) -> Record:
    story.add(Died, why="hung", hang_began_at=story.now - 3.05)
    guard_pulls(story)
    return story.over(70)


def reconnects(story: Story, times: int) -> Record:
    for _ in range(times):
        story.wait(4.8)
        request = story.left(
            "GET", ocx.STREAM_EVENTS, connection=200 + story.requests, query=f"depth=25&marketId={BTC}"
        )
        story.add(Answered, request=request, status=503)
    return closes(story)


@red("L5")
def it_reconnects_without_a_pause(story: Story) -> Record:
    """The first connection counts as well."""
    return reconnects(story, 12)


@green("L5")
def it_reconnects_twelve_times_a_minute(story: Story) -> Record:
    return reconnects(story, 11)


@red("L6")
def a_trip_that_never_empties(story: Story) -> Record:
    story.quiet()
    story.trip("LOOP_LAG")
    story.cancel_all(effect=False)
    story.wait(20.0)
    return closes(story)


@green("L6")
def it_empties_in_the_end(story: Story) -> Record:
    story.quiet()
    story.trip("LOOP_LAG")
    story.cancel_all(effect=False)
    story.wait(17.0)
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    story.ladder()
    return closes(story)


@green("L2")
def both_are_killed_in_the_quiet(story: Story) -> Record:
    story.quiet()
    story.add(GuardGone)
    dies(story)
    story.wait(100.0)
    story.add(WorldEnded)
    return story.record


@red("L7")
def the_world_is_stuck(story: Story) -> Record:
    record = closes(story)
    record.entries[-1] = WorldEnded(at=record.entries[-1].at, stuck="the watch")
    return record


@red("L7")
def the_world_does_not_end(story: Story) -> Record:
    record = closes(story)
    del record.entries[-1]
    return record


# -- the tests


def ids(table: list[tuple[str, str, Told]]) -> list[str]:
    return [f"{name}-{what}" for name, what, _ in table]


# -- what planted defects have shown to be missing


@red("S3")
def rearmed_without_a_cancel_all_acknowledged(story: Story) -> Record:
    """Everything went by itself, and reads say so."""
    story.trip("LOOP_LAG")
    story.cancel_all(status=503)
    story.remove(BTC, "cancelled")
    story.remove(ETH, "cancelled")
    story.proven_empty()
    story.rearm()
    return closes(story)


@red("S3")
def rearmed_after_one_read(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.cancel_all()
    story.read()
    story.rearm()
    return closes(story)


@green("S3")
def rearmed_after_what_rested_was_cancelled_by_market(story: Story) -> Record:
    story.trip("LOOP_LAG")
    story.cancel_all(status=503)
    story.cancel_all(market_id=BTC)
    story.cancel_all(market_id=ETH)
    story.proven_empty()
    story.rearm()
    return closes(story)


@red("S4")
def a_ladder_after_standing_still(story: Story) -> Record:
    """What waited in the sockets looks fresh."""
    story.wait(1.0)
    story.add(StoodStill, seconds=0.7)
    story.ladder()
    return closes(story)


@green("S4")
def pulled_after_standing_still(story: Story) -> Record:
    story.wait(1.0)
    story.add(StoodStill, seconds=0.7)
    story.trip("LOOP_LAG")
    story.cancel_all()
    story.proven_empty()
    story.rearm()
    story.ladder()
    return closes(story)


@green("S4")
def a_ladder_after_a_pause_that_is_borne(story: Story) -> Record:
    story.wait(1.0)
    story.add(StoodStill, seconds=0.4)
    story.ladder()
    return closes(story)


@red("S5")
def rearmed_without_reading_trades_back(story: Story) -> Record:
    story.pulls()
    story.add(Rearmed)
    story.ladder()
    return closes(story)


@red("S6")
def the_maker_calls_its_own_fills_unexplained(story: Story) -> Record:
    story.fill()
    story.trip("POSITION_UNEXPLAINED", recoverable=False, latched=True)
    story.add(KillFileWritten, by=MAKER)
    story.cancel_all()
    story.proven_empty()
    return story.ends(70)


@green("S6")
def somebody_elses_trade_is_rightly_unexplained(story: Story) -> Record:
    story.somebody_trades("buy", "1")
    story.trip("POSITION_UNEXPLAINED", recoverable=False, latched=True)
    story.add(KillFileWritten, by=MAKER)
    story.cancel_all()
    story.proven_empty()
    return story.ends(70)


@red("S6")
def quoting_on_a_position_that_was_taken_over(story: Story) -> Record:
    story.somebody_trades("sell", "1", taken_over=True)
    story.wait(3.0)
    story.ladder()
    return closes(story)


@green("S6")
def a_ladder_before_the_stream_told_of_the_take_over(story: Story) -> Record:
    story.somebody_trades("sell", "1", taken_over=True)
    story.wait(1.0)
    story.ladder()
    return closes(story)


@red("S9")
def the_reserve_is_spent_that_an_answer_told_of(story: Story) -> Record:
    """Somebody else spends the same window: only the headers say so."""
    request = story.ladder_leaves()
    story.ladder_lands(request)
    story.answer(request, remaining=TERMS.reserve, reset_seconds=30.0)
    story.wait(1.0)
    story.ladder()
    return closes(story)


@green("S9")
def the_window_that_was_told_of_is_over(story: Story) -> Record:
    request = story.ladder_leaves()
    story.ladder_lands(request)
    story.answer(request, remaining=TERMS.reserve, reset_seconds=0.5)
    story.wait(1.0)
    story.ladder()
    return closes(story)


@red("S14")
def an_error_of_its_own_ends_it(story: Story) -> Record:
    story.trip("UNHANDLED_ERROR", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    return story.ends(70)


@red("S14")
def exit_0_after_losing_too_much(story: Story) -> Record:
    story.trip("DRAWDOWN", recoverable=False)
    story.cancel_all()
    story.proven_empty()
    return story.ends(0)


@red("L4")
def killed_for_silence_though_it_ran(story: Story) -> Record:
    """Something that must not end took its heartbeats away."""
    story.trip("STOP_ASKED", recoverable=False)
    story.cancel_all()
    story.wait(4.0)
    story.add(Died, why="no heartbeat came in time")
    guard_pulls(story)
    return story.over(70, incident=True)


@green("L4")
def killed_for_silence_after_standing_still(story: Story) -> Record:
    story.wait(4.0)
    story.add(StoodStill, seconds=2.9)
    story.wait(0.2)
    story.add(Died, why="no heartbeat came in time")
    guard_pulls(story)
    return story.over(70, incident=True)


def test_a_clean_record_passes_every_checker() -> None:
    violations, judged = judge(clean())
    assert violations == []
    idle = {name for name, count in judged.items() if not count}
    assert idle == {"S11", "S21", "L4"}  # refusals, latches and deaths do not belong to a clean run


@pytest.mark.parametrize(("name", "what", "told"), RED, ids=ids(RED))
def test_a_violation_turns_its_checker_red_and_no_other(name: str, what: str, told: Told) -> None:
    record = told(Story().start())
    violations, judged = judge(record)
    assert {one.name for one in violations} == {name}, violations
    assert judged[name] > 0
    for one in violations:
        assert 0 <= one.at <= record.entries[-1].at
        assert len(one.sentence) > len("something is wrong")


@pytest.mark.parametrize(("name", "what", "told"), GREEN, ids=ids(GREEN))
def test_a_near_miss_stays_green(name: str, what: str, told: Told) -> None:
    violations, judged = judge(told(Story().start()))
    assert violations == []
    assert judged[name] > 0


def test_every_checker_has_a_record_that_turns_it_red() -> None:
    assert {name for name, _, _ in RED} == set(INVARIANTS)


def test_every_invariant_is_in_the_table_once() -> None:
    promised = {f"S{number}" for number in range(1, 25)} | {f"L{number}" for number in range(1, 8)}
    assert set(INVARIANTS) | set(PAIRED) == promised
    assert not set(INVARIANTS) & set(PAIRED)
    assert len({one.checker for one in INVARIANTS.values()}) == len(INVARIANTS)


@pytest.mark.parametrize("name", ["S1", "S2", "S3", "S5", "S7", "S10", "S11", "L1"])
def test_the_subtle_ones_have_near_misses(name: str) -> None:
    assert sum(name == one for one, _, _ in GREEN) >= 2


def test_one_invariant_does_not_flood_an_outcome() -> None:
    story = Story().start()
    for _ in range(VIOLATIONS_MAX + 5):
        story.add(SecretSeen, where="the log")
    violations, _ = judge(closes(story))
    assert len(violations) == VIOLATIONS_MAX


def test_an_empty_record_only_lacks_its_end() -> None:
    violations, _ = judge(Record(TERMS))
    assert [one.name for one in violations] == ["L7"]


@pytest.mark.parametrize("seed", range(20))
def test_a_record_cut_off_anywhere_raises_nothing(seed: int) -> None:
    """A checker judges what is there; a request whose beginning is missing is nobody's."""
    record = clean()
    rng = random.Random(seed)
    kept = [one for one in record.entries if rng.random() < 0.9]
    judge(Record(TERMS, kept[: rng.randrange(len(kept))]))


def test_the_same_run_twice_is_the_same() -> None:
    assert PAIRED["S22"].compare(clean(), clean()).violations == []
    other = clean()
    other.entries[7] = attrs.evolve(other.entries[7], at=99.0)
    assert [one.name for one in PAIRED["S22"].compare(clean(), other).violations] == ["S22"]
    other = clean()
    del other.entries[-1]
    assert [one.name for one in PAIRED["S22"].compare(clean(), other).violations] == ["S22"]


def later(record: Record, seconds: float) -> Record:
    """The same, but the last request leaves later."""
    place = max(place for place, one in enumerate(record.entries) if isinstance(one, Left))
    record.entries[place] = attrs.evolve(record.entries[place], at=record.entries[place].at + seconds)
    return record


def test_a_blocked_log_moves_nothing() -> None:
    assert PAIRED["S17"].compare(clean(), later(clean(), 0.001)).violations == []
    assert [one.name for one in PAIRED["S17"].compare(clean(), later(clean(), 0.002)).violations] == ["S17"]
    shorter = clean()
    shorter.entries = [one for one in shorter.entries if not (isinstance(one, Left) and one.request > 20)]
    assert [one.name for one in PAIRED["S17"].compare(clean(), shorter).violations] == ["S17"]


def test_judging_is_linear() -> None:
    """Twice the entries take about twice the time."""

    def seconds(cycles: int) -> float:
        story = Story().start()
        for _ in range(cycles):
            story.recovers()
        record = closes(story)
        began = time.process_time()
        judge(record)
        return time.process_time() - began

    seconds(50)
    short, long = min(seconds(100) for _ in range(3)), min(seconds(800) for _ in range(3))
    assert long < 8 * short * 4


def test_a_case_knows_the_lives_of_requests() -> None:
    record = clean()
    case = Case.of_record(record)
    assert len(case.lives) == sum(isinstance(one, Left) for one in record.entries)
    assert all(
        life.got_place is None or record.entries[life.got_place].at == life.got.at
        for life in case.lives.values()
        if life.got
    )
    assert [one.place for one in case.sweeps] == sorted(one.place for one in case.sweeps)
