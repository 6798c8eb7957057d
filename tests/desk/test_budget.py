"""The request budget: the reserve is for cancels, a 429 is obeyed, and a stated wait is long enough."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.budget import RESERVE_CALLS, WINDOW_SECONDS, Budget, BudgetSettings, Spend

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
    assert Budget(attrs.evolve(BUDGET, requests_per_minute=30)).reserve == RESERVE_CALLS == 24
    assert Budget(attrs.evolve(BUDGET, requests_per_minute=1200)).reserve == 240


def test_a_burst_then_the_even_pace() -> None:
    """Ten at once, then (120 - 24) a minute: one each 0.625 s."""
    budget = Budget(BUDGET)
    for _ in range(10):
        assert budget.wait_seconds(START) == 0
        budget.spend(START)
    assert budget.wait_seconds(START) == pytest.approx(0.625, abs=0.01)


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
    st.tuples(st.just("quote"), st.just(0.0)),
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
    reserve = max(24, round(limit * 0.2))
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
    budget = Budget(STEADY)
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
    for _ in range(20):
        budget.throttled(1.0, START)
    assert 0 < budget.pace <= 0.05
    assert after_waiting(budget, START) < START + 120


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
