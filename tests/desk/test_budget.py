"""The request budget: the reserve is for cancels, a 429 is obeyed, and a stated wait is long enough."""

from __future__ import annotations

import itertools
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.budget import (
    JITTER_SECONDS_MAX,
    LIMIT_MAX,
    RESERVE_CALLS,
    WINDOW_SECONDS,
    Budget,
    BudgetSettings,
    Left,
    Spend,
)

from .scripted import BUDGET, START, quick, thorough

STEADY = attrs.evolve(BUDGET, burst=5)
WAITS_MAX = 5  # one for each thing that may be in the way, and one over


def seconds(most: float) -> st.SearchStrategy[float]:
    """Times as clocks give them: no round binary fractions, or rounding never shows."""
    return st.integers(1, 10**9).map(lambda share: share / 1_000_000_007 * most)


def after_waiting(budget: Budget, now: float) -> float:
    """Sleep as told until a request may go; each wait must move the clock."""
    for _ in range(WAITS_MAX):
        wait = budget.wait_seconds(now)
        if wait == 0:
            return now
        assert wait > 0
        assert now + wait > now, f"a wait of {wait} s at {now} never ends in a clock of floats"
        now += wait
    raise AssertionError(f"{WAITS_MAX} waits were not enough: {budget!r}")


def test_the_reserve_is_a_share_of_the_limit_but_never_less_than_a_tail_and_scoped_calls() -> None:
    """H26: max(20 %, the calls of one full tail and of a market's round of scoped routes), however many markets."""
    assert Budget(BUDGET).reserve == 24
    assert Budget(attrs.evolve(BUDGET, requests_per_minute=49)).reserve == RESERVE_CALLS == 24
    assert Budget(attrs.evolve(BUDGET, requests_per_minute=1200)).reserve == 240
    assert [BUDGET.reserve(limit) for limit in (0, 1, 2, 20, 25, 47)] == [0, 1, 1, 10, 13, 24], "half of a small one"
    assert BudgetSettings(120, 0.6, 6).reserve(20) == 12, "what the configuration asks for it gets"


def test_a_burst_then_the_even_pace() -> None:
    """Ten at once, then the 86 that are left of 120 - 24 over the minute that is left: none may run out before it."""
    budget = Budget(BUDGET)
    for _ in range(10):
        assert budget.wait_seconds(START) == 0
        budget.spend(START)
    assert budget.wait_seconds(START) == pytest.approx(60 / 86, abs=0.01)


def test_quoting_lasts_to_the_end_of_a_window() -> None:
    """Whoever asks all the time is never without a request for longer than the pace asks, whatever the burst."""
    budget, now, ends_at, left, sent = Budget(BUDGET), START, START + 60, 120, [START]
    budget.seen(120, 120, 60.0, START)
    while now < START + 300:
        while budget.wait_seconds(now) == 0:
            if now >= ends_at:
                ends_at, left = now + 60, 120
            budget.spend(now)
            left -= 1
            budget.seen(120, left, ends_at - now, now)
            sent.append(now)
        now += 0.05
    assert max(after - before for before, after in itertools.pairwise(sent)) < 1.0
    assert len(sent) > 5 * 96 * 0.97


def test_at_the_reserve_quoting_waits_for_the_window_and_cancels_go_on() -> None:
    """S9: the exchange's own count decides."""
    budget = Budget(BUDGET)
    budget.seen(120, 27, 17.0, START)
    assert budget.wait_seconds(START) == 0
    budget.spend(START)
    budget.spend(START)
    budget.spend(START)
    for spend in (Spend.REDUCE, Spend.REPRICE, Spend.ADD):
        assert budget.wait_seconds(START, spend) == pytest.approx(17.0, abs=0.01)
    for left in range(23, -1, -1):
        budget.cancel_spent(START)
        assert budget.remaining == left
    assert budget.wait_seconds(START + 17.0) == 0


def test_row_3_the_share_of_what_reduces_is_spent_by_nothing_else_and_given_back() -> None:
    """S9: of 30 requests left 24 are the reserve and 6 are kept for ladders that reduce, fewer as the window ends."""
    budget = Budget(BUDGET)
    budget.seen(120, 30, 60.0, START)
    assert budget.reduce_share == 6
    assert budget.wait_seconds(START, Spend.REDUCE) == 0
    for spend in (Spend.REPRICE, Spend.ADD):
        assert budget.wait_seconds(START, spend) == pytest.approx(0.0, abs=0.01)
    budget.seen(120, 27, 60.0, START)
    assert budget.wait_seconds(START, Spend.REDUCE) == 0
    assert budget.wait_seconds(START) == pytest.approx(30.0, abs=0.01), "3 of 6 are given back after half of it"
    for left in (26, 25, 24):
        budget.spend(START)
        assert budget.remaining == left
    assert budget.wait_seconds(START, Spend.REDUCE) == pytest.approx(60.0, abs=0.01), "the reserve is for cancels"


def test_what_reduces_may_run_ahead_of_the_bucket() -> None:
    """By its share and no more, and the others wait for it."""
    budget = Budget(STEADY)
    for _ in range(5):
        budget.spend(START)
    assert budget.wait_seconds(START) > 0
    for _ in range(6):
        assert budget.wait_seconds(START, Spend.REDUCE) == 0
        budget.spend(START)
    pace = (96 - 11) / 60  # of what the window has left
    assert budget.wait_seconds(START, Spend.REDUCE) == pytest.approx(1 / pace, abs=0.01)
    assert budget.wait_seconds(START) == pytest.approx(7 / pace, abs=0.01)


def test_without_a_share_nothing_is_kept_for_it() -> None:
    budget = Budget(attrs.evolve(BUDGET, reduce_ratio=0.0))
    budget.seen(120, 25, 60.0, START)
    assert budget.wait_seconds(START) == 0
    budget.seen(120, 24, 60.0, START)
    assert budget.wait_seconds(START) == pytest.approx(60.0, abs=0.01)


def test_how_many_may_leave_until_then() -> None:
    """The pace, within what the window has left before it ends; nothing before a 429's time is over."""
    budget = Budget(BUDGET)
    budget.seen(120, 30, 20.0, START)
    budget.refill(START)
    assert budget.capacity(START, START) == 6
    assert budget.capacity(START + 19, START) == 6
    assert budget.capacity(START + 20, START) == pytest.approx(10 + 6)
    assert budget.capacity(START + 30, START) == pytest.approx(10 + 6 + 10 * 1.6)
    budget.throttled(5.0, START)
    assert budget.capacity(START + 4, START) == 0
    assert budget.capacity(START + 30, START) == pytest.approx(10 * 0.8), "nothing is left of this window"


def test_a_cancel_counts_in_the_window_it_is_sent_in() -> None:
    """S9: the first request after a window's end is of the new one, whether or not anybody asked meanwhile."""
    budget = Budget(BUDGET)
    budget.seen(120, 30, 10.0, START)
    budget.cancel_spent(START + 10.0)
    assert budget.remaining == 119
    assert budget.wait_seconds(START + 10.0) == 0
    assert budget.remaining == 119


steps_of_time = st.tuples(st.just("wait"), st.floats(0, 20))
facts = st.one_of(
    steps_of_time,
    steps_of_time,
    st.tuples(st.just("quote"), st.just(0.0)),
    st.tuples(st.just("quote"), st.just(0.0)),
    st.tuples(st.just("reduce"), st.just(0.0)),
    st.tuples(st.just("cancel"), st.just(0.0)),
    st.tuples(st.just("answer"), st.just(0.0)),
    st.tuples(st.just("throttle"), st.floats(0, 40)),
)


@given(st.lists(facts, max_size=150), st.integers(30, 400), st.integers(1, 12), st.floats(0, WINDOW_SECONDS))
@thorough
def test_quoting_never_spends_the_reserve(
    script: list[tuple[str, float]], limit: int, burst: int, window_seconds: float
) -> None:
    """S9: against the exchange's fixed windows, counted here, quoting never leaves fewer than the reserve.

    Only what the exchange told us counts: every answer states its window, as OCX documents.
    """
    settings = BudgetSettings(requests_per_minute=limit, reserve_ratio=0.2, burst=burst)
    budget = Budget(settings)
    reserve = max(min(24, (limit + 1) // 2), round(limit * 0.2))
    now, ends_at, left = START, START + window_seconds, limit
    budget.seen(limit, left, ends_at - now, now)
    barred_until = now
    for what, amount in script:
        now += amount if what == "wait" else 0.0
        if now >= ends_at:
            left, ends_at = limit, now + WINDOW_SECONDS
        match what:
            case "quote" if budget.wait_seconds(now) == 0:
                budget.spend(now)
                left -= 1
                assert left >= reserve, "quoting spent a request of the reserve"
                assert now >= barred_until, "quoting went on before a 429's time was over"
            case "reduce" if budget.wait_seconds(now, Spend.REDUCE) == 0:
                budget.spend(now)
                left -= 1
                assert left >= reserve, "a ladder that reduces spent a request of the reserve"
                assert now >= barred_until, "quoting went on before a 429's time was over"
            case "cancel" if left > 0:
                budget.cancel_spent(now)
                left -= 1
            case "answer":
                budget.seen(limit, left, ends_at - now, now)
            case "throttle":
                budget.throttled(amount, now)
                barred_until = max(barred_until, now + amount)
            case _:
                pass


@given(st.lists(facts, max_size=150), st.integers(2, 48), st.booleans())
@thorough
def test_a_limit_too_small_to_quote_with_is_kept_to_as_long_as_answers_state_it(
    script: list[tuple[str, float]], limit: int, sweep_states: bool
) -> None:
    """S9: configured for 120 where each answer states far less: only what follows a silence is not warned."""
    budget = Budget(BUDGET)
    reserve = BUDGET.reserve(limit)
    now, ends_at, left = START, START + WINDOW_SECONDS, limit
    told = sweep_states
    if told:
        budget.seen(limit, left, WINDOW_SECONDS, now)
    for what, amount in script:
        now += amount if what == "wait" else 0.0
        if now >= ends_at:
            left, ends_at = limit, now + WINDOW_SECONDS
        spends = {"quote": Spend.REPRICE, "reduce": Spend.REDUCE}
        if what in spends and budget.wait_seconds(now, spends[what]) == 0:
            budget.spend(now)
            left -= 1
            assert left >= reserve, "a ladder spent a request of the reserve"
            budget.seen(limit, left, ends_at - now, now)
        elif what == "cancel" and left > 0:
            budget.cancel_spent(now)
            left -= 1
            budget.seen(limit, left, ends_at - now, now)


@given(st.lists(st.floats(0, 5), max_size=120), st.integers(30, 300), st.integers(1, 12))
@quick
def test_without_headers_no_minute_sees_more_than_the_pace_and_one_burst(
    gaps: list[float], limit: int, burst: int
) -> None:
    """An exchange that states nothing: in any 60 s at most what the reserve leaves, plus one burst."""
    budget = Budget(BudgetSettings(requests_per_minute=limit, reserve_ratio=0.2, burst=burst))
    now, sent = START, list[float]()
    for gap in gaps:
        now += gap
        while budget.wait_seconds(now) == 0:
            budget.spend(now)
            sent.append(now)
    for start in sent:
        window = [moment for moment in sent if start <= moment < start + WINDOW_SECONDS]
        assert len(window) <= limit - budget.reserve + burst


@given(
    seconds(10**6),
    st.lists(st.one_of(seconds(1).map(lambda wait: ("wait", wait)), st.just(("spend", 0.0))), max_size=40),
    st.one_of(st.none(), seconds(90)),
    st.one_of(st.none(), st.tuples(st.integers(0, 120), seconds(60))),
)
@thorough
def test_a_stated_wait_is_long_enough(
    start: float, script: list[tuple[str, float]], throttle: float | None, window: tuple[int, float] | None
) -> None:
    """Whoever sleeps as told may send then, after few sleeps, each of which moves the clock."""
    budget = Budget(STEADY, jitter=random.Random(len(script)).random)
    now = start
    for what, amount in script:
        now += amount
        if what == "spend" and budget.wait_seconds(now) == 0:
            budget.spend(now)
    if window is not None:
        budget.seen(120, window[0], window[1], now)
    if throttle is not None:
        budget.throttled(throttle, now)
    budget.spend(after_waiting(budget, now))


def test_a_throttle_is_obeyed_then_the_pace_is_halved_and_recovers() -> None:
    """429: as told; then half the pace, whole again after a minute."""
    budget = Budget(BUDGET)
    budget.spend(START)
    whole = budget.tokens_per_second
    budget.throttled(5.0, START)
    assert budget.tokens_per_second == whole / 2
    assert budget.wait_seconds(START) >= 5.0
    assert budget.wait_seconds(START + 4.9) > 0
    budget.refill(START + 30)
    assert budget.tokens_per_second == pytest.approx(whole * 0.75)
    budget.refill(START + 61)
    assert budget.tokens_per_second == whole
    assert budget.throttles == 1


def test_throttles_in_a_row_slow_down_without_stopping_for_good() -> None:
    budget = Budget(BUDGET)
    for number in range(20):
        budget.throttled(1.0, START + number)
    assert 0 < budget.pace <= 0.06
    assert after_waiting(budget, START + 20) < START + 140


def test_cancels_that_are_throttled_while_we_wait_slow_down_no_further() -> None:
    """L2, seed 1762: who cancels does not wait as told, and hears of the same throttle again and again."""
    budget = Budget(BUDGET)
    budget.refill(START)
    for number in range(6):
        budget.throttled(10.0 - number, START + number)
    assert budget.throttles == 6
    assert budget.pace == 0.5
    budget.refill(START + 10)
    budget.throttled(1.0, START + 10)
    assert budget.pace == pytest.approx((0.5 + 10 / 60 * 0.5) / 2)


def test_a_shorter_second_throttle_does_not_cut_the_first_short() -> None:
    budget = Budget(BUDGET)
    budget.throttled(30.0, START)
    budget.throttled(1.0, START)
    assert budget.wait_seconds(START) >= 30.0


def test_the_limit_is_learned() -> None:
    """A market-maker tier: ten times the limit, ten times the pace and reserve."""
    budget = Budget(BUDGET)
    pace = budget.tokens_per_second
    budget.seen(1200, 1200, 60.0, START)
    assert budget.reserve == 240
    assert budget.tokens_per_second == pytest.approx(10 * pace)


# -- a limit too small to quote with


@pytest.mark.parametrize("limit", [0, 1, 10, 20, 24])
def test_a_limit_too_small_to_quote_with_is_believed_for_a_window_only(limit: int) -> None:
    """Nothing leaves, so no answer would ever correct it; it may have been a mistake, or a proxy's."""
    budget = Budget(BUDGET)
    budget.seen(limit, 0, 1.0, START)
    assert budget.limit == limit
    assert budget.wait_seconds(START, Spend.REDUCE) > 0
    budget.refill(START + 59)
    assert budget.limit == limit
    budget.refill(START + 60)
    assert (budget.limit, budget.reserve) == (120, 24)
    assert after_waiting(budget, START + 60) <= START + 62


def test_a_limit_of_nothing_is_waited_for_no_longer_than_it_is_believed() -> None:
    budget = Budget(BUDGET)
    budget.seen(0, 0, 30.0, START)
    budget.tokens = 0.0
    assert budget.wait_seconds(START, Spend.REDUCE) == pytest.approx(60.0, abs=0.01)
    assert after_waiting(budget, START) < START + 62


def test_what_is_tried_again_is_the_last_believable_limit() -> None:
    budget = Budget(BUDGET)
    budget.seen(1200, 1000, 60.0, START)
    budget.seen(20, 19, 60.0, START + 1)
    budget.refill(START + 61.5)
    assert budget.limit == 1200


def test_exits_and_slow_quotes_go_within_a_small_limit() -> None:
    """Each answer states it: believed again and again, and half of it goes to ladders each window."""
    budget, sent, left, ends_at = Budget(BUDGET), 0, 20, START + 60
    for tenth in range(3000):
        now = START + tenth / 10
        if now >= ends_at:
            left, ends_at = 20, now + 60
        if budget.wait_seconds(now, Spend.REDUCE) == 0:
            budget.spend(now)
            sent, left = sent + 1, left - 1
            budget.seen(20, left, ends_at - now, now)
    assert 48 <= sent <= 52


def test_a_small_limit_is_said_but_does_not_fill_the_log() -> None:
    """Not even where it comes and goes with each answer."""
    budget, notes = Budget(BUDGET), list[str]()
    for second in range(1200):
        budget.seen((20, 120)[second % 2], 20, 60.0, START + second)
        notes += budget.take_note()
    assert len(notes) == 2
    assert notes[0] == (
        "the exchange states 20 requests a minute, too few to quote with: believed for 60 s, then 120 is tried again"
    )


def test_no_limit_is_believed_beyond_what_can_be() -> None:
    budget = Budget(BUDGET)
    budget.seen(10**9 - 1, 10**9 - 1, 60.0, START)
    assert budget.limit == budget.remaining == LIMIT_MAX


# -- jitter


def late(share: float) -> Budget:
    return Budget(BUDGET, jitter=lambda: share)


def test_two_makers_that_wait_for_the_same_moment_do_not_wake_together() -> None:
    """At 0, stop, wait for the reset with jitter; after a 429 too. Never earlier than told."""
    for share in (0.0, 0.3, 0.99):
        extra = share * JITTER_SECONDS_MAX
        throttled = late(share)
        throttled.throttled(5.0, START)
        assert throttled.throttled_until == START + 5.0 + extra
        assert throttled.wait_seconds(START) >= 5.0 + extra
        assert throttled.wait_seconds(START + 5.0 + extra - 0.01) > 0
        stopped = late(share)
        stopped.refill(START)
        stopped.seen(120, 24, 50.0, START)
        assert stopped.wait_seconds(START, Spend.REDUCE) == pytest.approx(50.0 + extra, abs=0.01)
        for second in range(1, 50):
            assert stopped.wait_seconds(START + second) > 0
        assert extra == 0 or stopped.wait_seconds(START + 50.0 + extra / 2) == pytest.approx(extra / 2, abs=0.01)
        assert stopped.wait_seconds(START + 50.01 + extra) == 0


def test_a_start_that_waits_a_window_is_late_as_well() -> None:
    budget = late(0.8)
    budget.recall(None, 7.0, UNIX)
    assert budget.wait_seconds(7.0 + WINDOW_SECONDS) == pytest.approx(1 / 1.6, abs=0.01)
    assert budget.held_until == 7.0 + WINDOW_SECONDS + 0.4


def test_a_window_with_requests_left_ends_on_time() -> None:
    budget = late(0.9)
    budget.seen(120, 60, 10.0, START)
    assert budget.wait_seconds(START + 10.0) == 0


def test_a_window_that_ended_gives_its_requests_back() -> None:
    budget = Budget(BUDGET)
    budget.seen(120, 0, 10.0, START)
    assert budget.wait_seconds(START) == pytest.approx(10.0, abs=0.01)
    assert budget.wait_seconds(START + 10.0) == 0
    assert budget.remaining == 120


def test_a_clock_that_stands_still_gives_nothing() -> None:
    """Asking often is not waiting."""
    budget = Budget(STEADY)
    for _ in range(5):
        budget.spend(START)
    for _ in range(1_000):
        assert budget.wait_seconds(START) > 0


# -- from one run to the next

UNIX = 1_700_000_000.0


def after_restart(left: Left | None, seconds: float, boot: float = 7.0) -> Budget:
    """A budget that begins so long after the last was put down."""
    budget = Budget(BUDGET)
    budget.recall(left, boot, UNIX + seconds)
    return budget


def a_left(*, closed: bool = False) -> Left:
    """Half-way through a window, 80 requests and no token left."""
    budget = Budget(BUDGET)
    budget.seen(120, 80, 30.0, START)
    budget.tokens, budget.filled_at = 0.0, START
    return budget.left(START, UNIX, closed=closed)


def test_what_may_have_been_spent_since_counts_as_spent() -> None:
    """Two seconds of the even pace, the share of what reduces, and the guard's whole tail; no token is handed out."""
    budget = after_restart(a_left(), 2.0)
    assert budget.remaining == 80 - (12 + 6 + 4)
    assert budget.window_ends_at == pytest.approx(7.0 + 28.0)
    assert budget.tokens == 0
    assert budget.wait_seconds(7.0) == pytest.approx(28 / (58 - 24), abs=0.01)


def test_after_the_window_a_new_one_may_have_begun_at_any_time() -> None:
    budget = after_restart(a_left(), 40.0)
    assert budget.remaining == 120 - (12 + 6 + 64)
    assert budget.window_ends_at == 7.0 + WINDOW_SECONDS
    assert after_restart(a_left(), 3600.0).remaining == 0


def test_a_clean_end_leaves_nothing_to_assume_but_a_tail() -> None:
    assert after_restart(a_left(closed=True), 2.0).remaining == 80 - 12
    assert after_restart(a_left(closed=True), 3600.0).remaining == 120 - 12


def test_nothing_known_or_a_clock_set_back_is_a_window_spent_just_now() -> None:
    for budget in (after_restart(None, 0.0), after_restart(a_left(), -10.0)):
        assert budget.wait_seconds(7.0) == pytest.approx(WINDOW_SECONDS + 1 / 1.6, abs=0.01)
        assert budget.wait_seconds(7.0, Spend.REDUCE) > 59


def test_the_first_answer_ends_the_assuming() -> None:
    """The sweep's own answer: what the exchange says is left is left, and a burst of it may go at once."""
    budget = after_restart(None, 0.0)
    budget.seen(120, 118, 60.0, 8.0)
    assert budget.wait_seconds(8.0) == 0
    assert budget.tokens == BUDGET.burst
    budget = after_restart(None, 0.0)
    budget.seen(120, 26, 60.0, 8.0)
    assert budget.tokens == pytest.approx(2.0)


def test_a_throttle_its_pace_and_the_limit_outlive_a_restart() -> None:
    budget = Budget(BUDGET)
    budget.seen(600, 500, 60.0, START)
    budget.throttled(20.0, START)
    again = after_restart(budget.left(START, UNIX), 5.0)
    assert again.limit == 600
    assert again.wait_seconds(7.0) >= 15.0
    assert again.throttled_until == pytest.approx(7.0 + 15.0)
    assert again.pace == pytest.approx(0.5 + 5 / 60 * 0.5)


def test_a_limit_that_only_the_configuration_stated_is_not_handed_on() -> None:
    """A smaller or larger tier written into it must hold from the next start on."""
    for before, after in ((1200, 120), (120, 1200)):
        budget = Budget(attrs.evolve(BUDGET, requests_per_minute=before))
        again = Budget(attrs.evolve(BUDGET, requests_per_minute=after))
        again.recall(budget.left(START, UNIX, closed=True), 7.0, UNIX + 3600)
        assert again.limit == after
        assert again.remaining == after - 12


def test_a_learned_limit_says_nothing_of_another_configuration() -> None:
    budget = Budget(attrs.evolve(BUDGET, requests_per_minute=1200))
    budget.seen(600, 590, 60.0, START)
    left = budget.left(START, UNIX, closed=True)
    assert after_restart(left, 1.0).limit == 120
    same = Budget(budget.settings)
    same.recall(left, 7.0, UNIX + 1)
    assert same.limit == same.learned == 600


def test_of_the_same_window_what_was_used_is_used_whatever_the_limit() -> None:
    """5 of 1200 were used, so 115 of 120 are left; of a larger tier no more is known to be left than was."""
    budget = Budget(attrs.evolve(BUDGET, requests_per_minute=1200))
    budget.seen(1200, 1195, 60.0, START)
    assert after_restart(budget.left(START, UNIX, closed=True), 1.0).remaining == 115 - 12
    budget.tokens = 0.0
    killed = after_restart(budget.left(START, UNIX), 2.0)
    assert killed.remaining == 115 - (12 + 60 + 32), "it spent by the limit that it knew"
    larger = Budget(attrs.evolve(BUDGET, requests_per_minute=1200))
    larger.recall(a_left(closed=True), 7.0, UNIX + 1)
    assert larger.remaining == 80 - 12


def test_a_doubted_limit_is_not_handed_on() -> None:
    """One low figure stopped quoting through every restart."""
    budget = Budget(BUDGET)
    budget.seen(10, 9, 1.0, START)
    again = after_restart(budget.left(START + 1, UNIX, closed=True), 3600.0)
    assert again.limit == 120
    assert again.wait_seconds(8.0) == 0


def test_a_wait_from_another_clock_is_no_longer_than_two_windows() -> None:
    far = attrs.evolve(a_left(), throttled_until=UNIX + 1e9, window_ends_at=UNIX + 1e9)
    assert after_restart(far, 0.0).wait_seconds(7.0) <= 120.01
