"""Fair value: every reason for having none, the basis, and how a price is read off a quote."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import MarketStats, ReferenceQuote
from maker.desk.fair import FairSettings, FairValue, FairValueEstimator, NoFair, PriceFrom, beyond
from maker.desk.units import BPS, SUBTICKS

from .scripted import BTC, FAIR, START, dec, quick, spec, thorough

GRID = spec().grid


def quote(bid: str, ask: str, bid_size: str = "1", ask_size: str = "1") -> ReferenceQuote:
    return ReferenceQuote("BTC", dec(bid), dec(bid_size), dec(ask), dec(ask_size))


def stats(index: str, mark: str | None = None) -> MarketStats:
    return MarketStats(BTC, dec(mark or index), dec(index), dec("0"))


def estimator(settings: FairSettings = FAIR) -> FairValueEstimator:
    return FairValueEstimator(GRID, settings)


def ready(settings: FairSettings = FAIR) -> FairValueEstimator:
    fair = estimator(settings)
    fair.stats(stats("50000"), START)
    fair.quote(quote("49999", "50001"), START)
    return fair


def price(fair: FairValueEstimator, now: float = START) -> Fraction:
    """The fair value in quote currency; it must exist."""
    value = fair.value(now)
    assert isinstance(value, FairValue), value
    return Fraction(value.subticks) * Fraction(GRID.price.step) / SUBTICKS


def why_not(fair: FairValueEstimator, now: float = START) -> str:
    value = fair.value(now)
    assert isinstance(value, NoFair), value
    return value.reason


# -- reading a price


def test_the_mid_and_half_the_spread() -> None:
    fair = estimator()
    fair.stats(stats("50000"), START)
    fair.quote(quote("49999", "50002"), START)
    assert fair.value(START + 0.5) == FairValue(500_000 * SUBTICKS, 15 * SUBTICKS, 0.5)
    assert fair.reference_subticks == 500_005 * SUBTICKS
    assert fair.basis_subticks == -5 * SUBTICKS


def test_the_micro_price_leans_to_the_thin_side() -> None:
    """(bid * ask_size + ask * bid_size) / (bid_size + ask_size): three times the size bid, so the ask is near."""
    fair = estimator(attrs.evolve(FAIR, price_from=PriceFrom.MICRO))
    fair.quote(quote("100", "104", bid_size="3", ask_size="1"), START)
    assert fair.reference_subticks == 1030 * SUBTICKS


def test_the_micro_price_without_sizes_is_the_mid() -> None:
    fair = estimator(attrs.evolve(FAIR, price_from=PriceFrom.MICRO))
    fair.quote(quote("100", "104", bid_size="0", ask_size="0"), START)
    assert fair.reference_subticks == 1020 * SUBTICKS


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**4),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from(PriceFrom),
)
@quick
def test_a_price_lies_within_its_quote(
    bid: int, spread: int, bid_size: int, ask_size: int, price_from: PriceFrom
) -> None:
    fair = estimator(attrs.evolve(FAIR, price_from=price_from))
    fair.quote(ReferenceQuote("BTC", Decimal(bid), Decimal(bid_size), Decimal(bid + spread), Decimal(ask_size)), START)
    assert fair.reference_subticks is not None
    assert bid * 10 * SUBTICKS <= fair.reference_subticks <= (bid + spread) * 10 * SUBTICKS


# -- no price is better than a wrong price


@pytest.mark.parametrize(
    "bad",
    [
        quote("50001", "49999"),
        quote("50000", "50000"),
        quote("0", "50000"),
        quote("-1", "1"),
        quote("49999", "50001", bid_size="-1"),
        quote("49999", "50001", ask_size="-1"),
    ],
    ids=["crossed", "locked", "zero", "negative", "negative bid size", "negative ask size"],
)
def test_an_impossible_reference_is_no_price(bad: ReferenceQuote) -> None:
    """The last good price does not stand in for it, and a heartbeat does not bring it back."""
    fair = ready()
    fair.quote(bad, START + 1)
    assert "no price" in why_not(fair, START + 1)
    fair.heard(START + 2)
    assert "no price" in why_not(fair, START + 2)
    fair.quote(quote("49999", "50001"), START + 3)
    assert price(fair, START + 3) == 50_000


def test_there_is_no_fair_value_before_the_first_quote() -> None:
    fair = estimator()
    fair.stats(stats("50000"), START)
    assert "no price for BTC" in why_not(fair)
    fair.heard(START)
    assert "no price for BTC" in why_not(fair), "a heartbeat before any quote is no price"


def test_a_reference_alone_is_never_a_fair_value() -> None:
    fair = estimator()
    fair.quote(quote("49999", "50001"), START)
    assert "index" in why_not(fair)


def test_a_lost_feed_has_no_price_until_it_quotes_again() -> None:
    fair = ready()
    fair.lost()
    assert "no price" in why_not(fair)
    fair.heard(START + 1)
    assert "no price" in why_not(fair, START + 1)


def test_a_silent_reference_is_stale_and_a_heartbeat_keeps_it_fresh() -> None:
    """S4: 2 s; a quiet book that only heartbeats is fresh, a silent one is not."""
    fair = ready()
    assert price(fair, START + 2.0) == 50_000
    assert "silent for 2.1 s" in why_not(fair, START + 2.1)
    fair.heard(START + 2.1)
    assert price(fair, START + 4.0) == 50_000


def test_an_old_index_is_stale() -> None:
    fair = ready()
    fair.heard(START + 10.5)
    assert "the index is 10.5 s old" in why_not(fair, START + 10.5)
    fair.stats(stats("50000"), START + 10.5)
    assert price(fair, START + 10.5) == 50_000


def test_mark_and_index_apart_are_no_price() -> None:
    """100 bp of 50000 is 500: at it there is a price, beyond it none. The mark itself never moves the price."""
    fair = ready()
    fair.stats(stats("50000", mark="50500"), START)
    assert price(fair) == 50_000
    fair.stats(stats("50000", mark="50500.1"), START)
    assert "mark and index" in why_not(fair)
    fair.stats(stats("50000", mark="49499.9"), START)
    assert "mark and index" in why_not(fair)


def test_index_and_reference_apart_are_no_price() -> None:
    """50 bp of 50000 is 250: the basis may be that and no more."""
    fair = estimator()
    fair.stats(stats("50000"), START)
    fair.quote(quote("49749", "49751"), START)
    assert price(fair) == 50_000
    fair = estimator()
    fair.stats(stats("50000"), START)
    fair.quote(quote("49748", "49750"), START)
    assert "index and reference" in why_not(fair)


@pytest.mark.parametrize(("index", "mark"), [("0", "0"), ("0", "50000"), ("-50000", "-50000"), ("50000", "0")])
def test_an_index_or_mark_that_cannot_be_is_no_price(index: str, mark: str) -> None:
    fair = estimator()
    fair.stats(stats(index, mark), START)
    fair.quote(quote("49999", "50001"), START)
    assert why_not(fair)


# -- basis


def test_the_basis_is_added_and_the_reference_leads() -> None:
    """Index 50100, reference 50000: fair is 50100; the reference moves 7, fair moves 7 at once."""
    fair = estimator()
    fair.quote(quote("49999", "50001"), START)
    fair.stats(stats("50100"), START)
    assert price(fair) == 50_100
    fair.quote(quote("50006", "50008"), START + 0.1)
    assert price(fair, START + 0.1) == 50_107


def test_the_basis_closes_half_of_the_difference_in_a_half_life() -> None:
    fair = ready()
    fair.heard(START + 300)
    fair.quote(quote("49999", "50001"), START + 300)
    fair.stats(stats("50100"), START + 300)
    assert abs(price(fair, START + 300) - 50_050) <= Fraction(1, 1000)


@given(st.lists(st.tuples(st.floats(0, 400), st.integers(49_800, 50_200)), min_size=1, max_size=15))
@quick
def test_the_basis_stays_between_what_was_seen(samples: list[tuple[float, int]]) -> None:
    """An average never leaves its samples."""
    fair = ready()
    now = START
    for elapsed, index in samples:
        now += elapsed
        fair.quote(quote("49999", "50001"), now)
        fair.stats(stats(str(index)), now)
    assert fair.basis_subticks is not None
    seen = [0, *((index - 50_000) * 10 * SUBTICKS for _, index in samples)]
    assert min(seen) - 1 <= fair.basis_subticks <= max(seen) + 1


def test_a_jump_that_the_index_follows_a_second_later_does_not_spoil_the_basis() -> None:
    """Storm seed 1676: one sample of a quarter of the price kept the market unquoted for minutes after both agreed."""
    fair = ready()
    fair.quote(quote("62249", "62251"), START + 0.5)
    fair.stats(stats("50000"), START + 1)  # the reference is 24.5 % away
    assert "fair value and index" in why_not(fair, START + 1)
    for second in range(2, 5):
        fair.quote(quote("62249", "62251"), START + second)
        fair.stats(stats("62250"), START + second)
        assert price(fair, START + second) == 62_250


def test_a_basis_that_began_impossible_is_replaced_by_the_next_sample() -> None:
    """50 bp of 50000 is 250: the first sample of all is 1000, and an average of it would be wrong for minutes."""
    fair = estimator()
    fair.stats(stats("50000"), START)
    fair.quote(quote("48999", "49001"), START)
    assert "index and reference" in why_not(fair)
    fair.quote(quote("49989", "49991"), START + 1)
    fair.stats(stats("50000"), START + 1)
    assert price(fair, START + 1) == 50_000
    assert fair.basis_subticks == 10 * 10 * SUBTICKS


def test_a_stale_reference_does_not_teach_the_basis() -> None:
    """The feed is silent for a minute without being down, the index moves 40 bp meanwhile. Both come back: no basis."""
    fair = ready()
    for second in range(5, 65, 5):
        fair.stats(stats("50200"), START + second)
    fair.quote(quote("50199", "50201"), START + 64.9)
    assert abs(price(fair, START + 64.9) - 50_200) < 1


def test_a_stale_index_does_not_teach_the_basis() -> None:
    """The index was read once, minutes before the reference came: their difference is age, not basis."""
    fair = estimator()
    fair.stats(stats("50000"), START)
    fair.quote(quote("50199", "50201"), START + 240)
    fair.stats(stats("50200"), START + 240)
    assert abs(price(fair, START + 240) - 50_200) < 1


# -- freshness


@given(
    st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["quote", "heard", "stats", "lost", "crossed"])), max_size=12),
    st.floats(0, 15),
)
@thorough
def test_a_value_is_never_older_than_its_inputs_may_be(script: list[tuple[float, str]], after: float) -> None:
    """S4: whatever happened before, a value at `now` means both inputs were heard within their limits."""
    fair = estimator()
    now = START
    heard_at = index_at = priced_at = None
    for elapsed, what in script:
        now += elapsed
        match what:
            case "quote":
                fair.quote(quote("49999", "50001"), now)
                heard_at = priced_at = now
            case "heard":
                fair.heard(now)
                heard_at = now if heard_at is not None else None
            case "stats":
                fair.stats(stats("50000"), now)
                index_at = now
            case "lost":
                fair.lost()
                priced_at = None
            case "crossed":
                fair.quote(quote("50001", "49999"), now)
                heard_at, priced_at = now, None
            case _:
                raise AssertionError(what)
    now += after
    value = fair.value(now)
    if isinstance(value, FairValue):
        assert priced_at is not None
        assert heard_at is not None
        assert now - heard_at <= FAIR.stale_seconds_max
        assert index_at is not None
        assert now - index_at <= FAIR.index_stale_seconds_max
        assert fair.fresh_for_seconds(now) >= 0
    elif heard_at is not None and index_at is not None and priced_at is not None:
        assert fair.fresh_for_seconds(now) < 0, "all inputs there and fresh, and yet no value"


def test_nothing_heard_is_not_fresh() -> None:
    assert estimator().fresh_for_seconds(START) < 0


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.decimals(0, 10_000, places=4))
@quick
def test_beyond_is_exact(one: int, base: int, bps: Decimal) -> None:
    assert beyond(one, base, bps) == (Fraction(abs(one - base), base) > Fraction(bps) / BPS)


def test_a_reference_that_jumped_is_not_followed_until_the_index_says_so_too() -> None:
    """S8: the basis is slow, so it hides a jump; fair value itself must stay near the index."""
    fair = ready()
    far = 50_000 * (1 + FAIR.basis_bps_max / BPS) + 2
    fair.quote(quote(str(far - 1), str(far + 1)), START + 0.5)
    assert "fair value and index" in why_not(fair, START + 0.5)
    fair.stats(stats(str(far)), START + 1)
    assert isinstance(fair.value(START + 1), FairValue)
