"""Fair value: every reason for having none, the basis, and how a price is read off a quote."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.consensus import Combine
from maker.desk.events import MarketStats, ReferenceQuote
from maker.desk.fair import (
    FairSettings,
    FairValue,
    FairValueEstimator,
    NoFair,
    PriceFrom,
    Source,
    SourceSettings,
    beyond,
)
from maker.desk.units import BPS, SUBTICKS

from .scripted import BTC, FAIR, FLAT, START, VENUE, VOLATILITY, dec, quick, spec, thorough

GRID = spec().grid


def quote(bid: str, ask: str, bid_size: str = "1", ask_size: str = "1") -> ReferenceQuote:
    return ReferenceQuote(VENUE, "BTC", dec(bid), dec(bid_size), dec(ask), dec(ask_size))


def stats(index: str, mark: str | None = None) -> MarketStats:
    return MarketStats(BTC, dec(mark or index), dec(index), dec("0"))


def estimator(settings: FairSettings = FAIR) -> FairValueEstimator:
    fair = FairValueEstimator(GRID, settings, VOLATILITY)
    assert fair.volatility.warm_up(FLAT, FLAT[-1][0])
    return fair


def source(fair: FairValueEstimator) -> Source:
    return fair.sources[VENUE]


def follow(fair: FairValueEstimator, index: str, now: float) -> None:
    """The reference stands at 50000, the index is read."""
    fair.quote(quote("49999", "50001"), now)
    fair.stats(stats(index), now)


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
    sigma = fair.volatility.sigma
    assert fair.value(START + 0.5) == FairValue(500_000 * SUBTICKS, 15 * SUBTICKS, 0.5, sigma)
    assert source(fair).price_subticks == 500_005 * SUBTICKS
    assert source(fair).basis_subticks == -5 * SUBTICKS


def test_the_micro_price_leans_to_the_thin_side() -> None:
    """(bid * ask_size + ask * bid_size) / (bid_size + ask_size): three times the size bid, so the ask is near."""
    fair = estimator(attrs.evolve(FAIR, price_from=PriceFrom.MICRO))
    fair.quote(quote("100", "104", bid_size="3", ask_size="1"), START)
    assert source(fair).price_subticks == 1030 * SUBTICKS


def test_the_micro_price_without_sizes_is_the_mid() -> None:
    fair = estimator(attrs.evolve(FAIR, price_from=PriceFrom.MICRO))
    fair.quote(quote("100", "104", bid_size="0", ask_size="0"), START)
    assert source(fair).price_subticks == 1020 * SUBTICKS


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
    numbers = (Decimal(bid), Decimal(bid_size), Decimal(bid + spread), Decimal(ask_size))
    fair.quote(ReferenceQuote(VENUE, "BTC", *numbers), START)
    price_subticks = source(fair).price_subticks
    assert price_subticks is not None
    assert bid * 10 * SUBTICKS <= price_subticks <= (bid + spread) * 10 * SUBTICKS


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
    fair.heard(VENUE, START + 2)
    assert "no price" in why_not(fair, START + 2)
    fair.quote(quote("49999", "50001"), START + 3)
    assert price(fair, START + 3) == 50_000


def test_there_is_no_fair_value_before_the_first_quote() -> None:
    fair = estimator()
    fair.stats(stats("50000"), START)
    assert "no price for BTC" in why_not(fair)
    fair.heard(VENUE, START)
    assert "no price for BTC" in why_not(fair), "a heartbeat before any quote is no price"


def test_a_reference_alone_is_never_a_fair_value() -> None:
    fair = estimator()
    fair.quote(quote("49999", "50001"), START)
    assert "index" in why_not(fair)


def test_a_lost_feed_has_no_price_until_it_quotes_again() -> None:
    fair = ready()
    fair.lost(VENUE)
    assert "no price" in why_not(fair)
    fair.heard(VENUE, START + 1)
    assert "no price" in why_not(fair, START + 1)


def test_a_silent_reference_is_stale_and_a_heartbeat_keeps_it_fresh() -> None:
    """S4: 2 s; a quiet book that only heartbeats is fresh, a silent one is not."""
    fair = ready()
    assert price(fair, START + 2.0) == 50_000
    assert "silent for 2.1 s" in why_not(fair, START + 2.1)
    fair.heard(VENUE, START + 2.1)
    assert price(fair, START + 4.0) == 50_000


def test_an_old_index_is_stale() -> None:
    fair = ready()
    fair.heard(VENUE, START + 10.5)
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
    assert "venue and index" in why_not(fair)


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
    """Once it has been followed for long; within a half-life every second, and at one look after it."""
    for steps in (1, 300):
        fair = ready()
        for second in range(5_000):
            follow(fair, "50000", START + second)
        for step in range(1, steps + 1):
            follow(fair, "50100", START + 4_999 + step * 300 / steps)
        assert abs(price(fair, START + 5_299) - 50_050) <= Fraction(1, 100)


def test_a_basis_is_at_first_a_plain_mean() -> None:
    """The n-th sample weighs (1 - decay) / (1 - decay^n): of a hundred, each about as much as any other."""
    fair = ready()
    for second in range(1, 100):
        follow(fair, str(50_000 + second), START + second)
    decay = 0.5 ** (1 / FAIR.basis_half_life_seconds)
    weights = [decay ** (99 - second) for second in range(100)]
    mean = sum(second * weight for second, weight in enumerate(weights)) / sum(weights)
    assert float(price(fair, START + 99)) == pytest.approx(50_000 + mean, abs=1e-4)
    assert mean == pytest.approx(49.5, abs=2.0)


@pytest.mark.parametrize("before", [0, 3600], ids=["at a start", "after an outage"])
def test_a_first_sample_of_a_second_in_which_one_had_moved_is_soon_one_of_many(before: int) -> None:
    """References are 20 bp up, the index says so at its next read: not a part of a basis point after a minute."""
    fair = ready() if before else estimator()
    start = START + before
    fair.stats(stats("50000"), start)
    fair.quote(quote("50099", "50101"), start + 0.2)
    assert price(fair, start + 0.2) == 50_000, "the reference has no basis yet but this"
    for second in range(1, 61):
        fair.quote(quote("50099", "50101"), start + second)
        fair.stats(stats("50100"), start + second)
    assert 50_098 < price(fair, start + 60) <= 50_100


def test_a_half_life_without_end_is_no_division_by_nothing() -> None:
    fair = ready(attrs.evolve(FAIR, basis_half_life_seconds=1e18))
    for second in range(1, 4):
        follow(fair, "50040", START + second)
    assert abs(price(fair, START + 3) - 50_030) < Fraction(1, 1000)


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
    basis_subticks = source(fair).basis_subticks
    assert basis_subticks is not None
    seen = [0, *((index - 50_000) * 10 * SUBTICKS for _, index in samples)]
    assert min(seen) - 1 <= basis_subticks <= max(seen) + 1


def test_a_jump_that_the_index_follows_a_second_later_does_not_spoil_the_basis() -> None:
    """Storm seed 1676: one sample of a quarter of the price kept the market unquoted for minutes after both agreed."""
    fair = ready()
    fair.quote(quote("62249", "62251"), START + 0.5)
    fair.stats(stats("50000"), START + 1)  # the reference is 24.5 % away
    assert "plus its basis and index" in why_not(fair, START + 1)
    for second in range(2, 5):
        fair.quote(quote("62249", "62251"), START + second)
        fair.stats(stats("62250"), START + second)
        assert price(fair, START + second) == 62_250


def test_a_basis_that_began_impossible_is_replaced_by_the_next_sample() -> None:
    """50 bp of 50000 is 250: the first sample of all is 1000, and an average of it would be wrong for minutes."""
    fair = estimator()
    fair.stats(stats("50000"), START)
    fair.quote(quote("48999", "49001"), START)
    assert "venue and index" in why_not(fair)
    fair.quote(quote("49989", "49991"), START + 1)
    fair.stats(stats("50000"), START + 1)
    assert price(fair, START + 1) == 50_000
    assert source(fair).basis_subticks == 10 * 10 * SUBTICKS


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


@pytest.mark.parametrize("is_index_first", [True, False])
def test_after_an_outage_of_hours_the_basis_of_before_counts_for_nothing(*, is_index_first: bool) -> None:
    """Index and references moved 30 bp apart meanwhile: taken from the old basis it would be wrong for half-lives.

    Whether the index was read all the time, or again before the first quote or after it, makes no difference.
    """
    fair = ready()
    fair.lost(VENUE)
    back = START + 4 * 3600
    for second in range(-5, 0):
        fair.stats(stats("50150"), back + second)
    if is_index_first:
        fair.stats(stats("50150"), back)
    fair.quote(quote("49999", "50001"), back + 0.2)
    assert abs(price(fair, back + 0.2) - 50_150) < 1
    fair.stats(stats("50150"), back + 1)
    fair.quote(quote("50009", "50011"), back + 1)
    assert abs(price(fair, back + 1) - 50_160) < 1


# -- a feed that lives and says what is old


def stated(bid: str, ask: str, at: float) -> ReferenceQuote:
    """The venue's clock runs a thousand seconds ahead of ours."""
    return attrs.evolve(quote(bid, ask), stated_at=at + 1000)


def test_a_backlog_makes_quotes_old_that_have_just_arrived() -> None:
    """Each comes 50 ms later than the one before: after a second that is the age, at the limit there is no price."""
    fair = ready()
    for tenth in range(100):
        now = START + 0.1 * tenth
        fair.stats(stats("50000"), now)
        fair.quote(stated("49999", "50001", now - 0.05 * tenth), now)
        late, value = 0.05 * tenth, fair.value(now)
        if late < 1.99:
            assert isinstance(value, FairValue)
            assert value.age_seconds == pytest.approx(late, abs=1e-6)
        elif late > 2.01:
            assert "later than usual (limit 2.0 s)" in why_not(fair, now)
            assert isinstance(value, NoFair)
            assert value.stale


def test_where_nothing_waits_any_more_nothing_is_late() -> None:
    """The last quote came late, and then heartbeats alone: its price stands."""
    fair = ready()
    fair.quote(stated("49999", "50001", START), START)
    fair.quote(stated("49999", "50001", START + 1), START + 4)
    assert "later than usual" in why_not(fair, START + 4)
    fair.heard(VENUE, START + 8.9)
    assert "later than usual" in why_not(fair, START + 8.9)
    fair.heard(VENUE, START + 9.1)
    assert price(fair, START + 9.1) == 50_000


def test_a_venue_whose_clock_was_set_back_is_late_for_ten_minutes_at_most() -> None:
    fair, late = ready(), 0
    for second in range(1200):
        now, wrong = START + second, 30 if second > 100 else 0
        fair.stats(stats("50000"), now)
        fair.quote(stated("49999", "50001", now - wrong), now)
        late += isinstance(fair.value(now), NoFair)
    assert 250 < late <= 600
    assert price(fair, START + 1199) == 50_000


@pytest.mark.parametrize("again", ["heard", "quote", "lost"])
def test_a_price_is_vouched_for_as_long_as_the_configuration_says(again: str) -> None:
    """The gateway answers while the market stands still, and the basis would follow the index all the way.

    Whether it sends heartbeats, the same quote again and again, or the same at the beginning of every connection.
    """
    sources = {VENUE: attrs.evolve(FAIR.sources[VENUE], unchanged_seconds_max=30.0)}
    for settings, lasts in ((FAIR, 90), (attrs.evolve(FAIR, sources=sources), 30)):
        fair = ready(settings)
        for second in range(1, 90):
            now = START + second
            if again == "lost":
                fair.lost(VENUE)
            if again == "heard":
                fair.heard(VENUE, now)
            else:
                fair.quote(stated("49999.0", "50001.0", now), now)
            fair.stats(stats("50000"), now)
            value = fair.value(now)
            assert isinstance(value, FairValue if second <= lasts else NoFair)
            if isinstance(value, NoFair):
                assert "its market may stand still" in value.reason
                assert value.stale
        fair.quote(quote("49999", "50001", ask_size="1.1"), START + 90)
        assert price(fair, START + 90) == 50_000, "a size is another: it lives"


# -- several sources

ONE, TWO, THREE, FOUR = "one", "two", "three", "four"


def several(*weights: int, sources_min: int = 2, combine: Combine = Combine.MEDIAN, index: str = "0") -> FairSettings:
    """Sources of these weights, 20 bp apart at the most."""
    named = zip((ONE, TWO, THREE, FOUR), weights, strict=False)
    sources = {name: SourceSettings("BTC", 2.0, Decimal(weight)) for name, weight in named}
    return attrs.evolve(FAIR, sources=sources, sources_min=sources_min, combine=combine, index_weight=dec(index))


def told(settings: FairSettings, *mids: str | None, now: float = START) -> FairValueEstimator:
    """Every source at 50000, so that none has a basis; then each at its own price, None: silent for three seconds."""
    fair = estimator(settings)
    fair.stats(stats("50000"), START - 3)
    for name in settings.sources:
        fair.quote(at(name, "50000"), START - 3)
    for name, mid in zip(settings.sources, mids, strict=True):
        if mid is not None:
            fair.quote(at(name, mid), now)
    return fair


def at(name: str, mid: str) -> ReferenceQuote:
    return ReferenceQuote(name, "BTC", dec(mid) - 1, dec("1"), dec(mid) + 1, dec("1"))


def left_out(fair: FairValueEstimator, name: str) -> str:
    return next(state.left_out for state in fair.states(START) if state.name == name)


def test_the_weighted_median_and_the_weighted_mean() -> None:
    """Half of the weight on either side; with exactly half below, the middle of two."""
    assert price(told(several(1, 1, 1), "50000", "50010", "50016")) == 50_010
    assert price(told(several(3, 1, 1), "50000", "50010", "50016")) == 50_000
    assert price(told(several(2, 1, 1), "50000", "50010", "50016")) == 50_005
    assert price(told(several(2, 1, 1, combine=Combine.MEAN), "50000", "50010", "50030")) == 50_010


def test_weights_may_be_fractions() -> None:
    settings = several(1, 1, 1, combine=Combine.MEAN)
    sources = {
        name: attrs.evolve(one, weight=dec(weight))
        for (name, one), weight in zip(settings.sources.items(), ("0.5", "0.25", "0.25"), strict=True)
    }
    assert price(told(attrs.evolve(settings, sources=sources), "50000", "50010", "50030")) == 50_010


def test_a_stale_source_is_left_out_by_its_own_limit() -> None:
    """It still has a price; the others go on without it."""
    fair = told(several(5, 1, 1), None, "50010", "50010")
    assert price(fair) == 50_010
    assert "silent for 3.0 s" in left_out(fair, ONE)
    assert not left_out(fair, TWO)


def test_an_outlier_is_left_out_and_comes_back() -> None:
    """20 bp of 50000 is 100. The heaviest source is off, and its weight counts for nothing."""
    fair = told(several(5, 1, 1), "50101", "50000", "50000")
    assert price(fair) == 50_000
    assert "20 bp from the other sources" in left_out(fair, ONE)
    fair.quote(at(ONE, "50100"), START)
    assert price(fair) == 50_100


def test_of_two_that_disagree_nobody_knows_which_is_right() -> None:
    fair = told(several(1, 1, sources_min=1), "50000", "50101")
    assert why_not(fair) == "no majority of 2 sources agrees within 20 bp"


def test_the_index_decides_between_two_that_disagree() -> None:
    fair = told(several(1, 1, sources_min=1, index="0.5"), "50000", "50101")
    fair.stats(stats("50000"), START)
    assert price(fair) == 50_000


def test_the_index_is_no_reference_venue() -> None:
    """It may weigh, but it does not count towards the least number of sources."""
    fair = told(several(1, 1, sources_min=2, index="1"), "50000", None)
    assert "2 reference feeds are needed" in why_not(fair)
    value = fair.value(START)
    assert isinstance(value, NoFair)
    assert value.stale, "for want of news: quotes are pulled for a stale reference"


def test_fewer_than_the_least_number_is_no_price() -> None:
    fair = told(several(1, 1, 1, sources_min=3), "50000", "50000", "50000")
    assert price(fair) == 50_000
    fair.lost(THREE)
    assert "3 reference feeds are needed: three has no price" in why_not(fair)


def test_each_source_has_its_own_basis() -> None:
    """Two venues that always differ by 40 bp say the same once that is known."""
    fair = estimator(several(1, 1))
    fair.stats(stats("50000"), START)
    fair.quote(at(ONE, "50000"), START)
    fair.quote(at(TWO, "50200"), START)
    assert price(fair) == 50_000
    assert [state.price_subticks for state in fair.states(START)] == [500_000 * SUBTICKS] * 2


def test_disagreement_widens_the_fair_value() -> None:
    """As far as the one that is furthest away; the narrowest own spread is 2, half of it 1."""
    value = told(several(1, 1, 1), "49980", "50000", "50020").value(START)
    assert isinstance(value, FairValue)
    assert value.half_width_subticks == 200 * SUBTICKS
    value = told(several(1, 1, 1), "50000", "50000", "50000").value(START)
    assert isinstance(value, FairValue)
    assert value.half_width_subticks == 10 * SUBTICKS
    value = told(several(2, 1), "50000", "50070").value(START)
    assert isinstance(value, FairValue)
    assert value == attrs.evolve(value, subticks=500_000 * SUBTICKS, half_width_subticks=700 * SUBTICKS), "the heavier"


def test_of_three_that_all_disagree_the_one_in_the_middle_is_no_more_right() -> None:
    fair = told(several(1, 1, 1, sources_min=1), "49850", "50000", "50150")
    assert why_not(fair) == "no majority of 3 sources agrees within 20 bp"
    assert all(state.left_out for state in fair.states(START))


@pytest.mark.parametrize("last", ["50149.5", "50150", "50150.5"])
def test_two_against_two_is_no_price(last: str) -> None:
    """Whichever two lie a hair closer together are no more right than the other two, 30 bp away."""
    fair = told(several(1, 1, 1, 1), "50000", "50000.2", "50150", last)
    assert why_not(fair) == "2 reference feeds are needed: no majority of 4 sources agrees within 20 bp"
    assert all(state.left_out for state in fair.states(START))


def test_three_of_four_are_a_majority() -> None:
    fair = told(several(1, 1, 1, 1), "50000", "50010", "50020", "50150")
    assert price(fair) == 50_010
    assert "20 bp from the other sources" in left_out(fair, FOUR)


def test_age_widens_the_fair_value_by_what_may_have_happened_since() -> None:
    """1 bp over a second's root: at four times the age twice as much, in tenths of a basis point."""
    fair = ready()
    fair.volatility.variance = 0.0001**2
    young, old = fair.value(START + 0.36), fair.value(START + 1.44)
    assert isinstance(young, FairValue)
    assert isinstance(old, FairValue)
    assert (young.half_width_subticks, old.half_width_subticks) == (40 * SUBTICKS, 70 * SUBTICKS)
    assert old.sigma == 0.0001


def test_there_is_no_fair_value_before_there_is_a_volatility() -> None:
    """The sentence counts down; a model must never divide by what is not known."""
    fair = FairValueEstimator(GRID, FAIR, VOLATILITY)
    fair.stats(stats("50000"), START)
    for second in range(VOLATILITY.volatility_samples_min):
        fair.quote(quote("49999", "50001"), START + second)
        assert f"{second} of 5 prices" in why_not(fair, START + second)
    fair.quote(quote("49999", "50001"), START + 5)
    assert price(fair, START + 5) == 50_000


@given(st.lists(st.tuples(st.integers(-400, 400), st.integers(1, 5)), min_size=1, max_size=3), st.sampled_from(Combine))
@thorough
def test_a_value_lies_within_the_sources_that_count(drawn: list[tuple[int, int]], combine: Combine) -> None:
    """... and its width reaches every one of them."""
    settings = several(*(weight for _, weight in drawn), sources_min=1, combine=combine)
    fair = told(settings, *(str(50_000 + away) for away, _ in drawn))
    value = fair.value(START)
    used = [one.price_subticks for one in fair.states(START) if not one.left_out and one.price_subticks is not None]
    if isinstance(value, FairValue):
        assert min(used) <= value.subticks <= max(used)
        assert max(abs(one - value.subticks) for one in used) <= value.half_width_subticks
    else:
        assert not used


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
                fair.heard(VENUE, now)
                heard_at = now if heard_at is not None else None
            case "stats":
                fair.stats(stats("50000"), now)
                index_at = now
            case "lost":
                fair.lost(VENUE)
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
        assert now - heard_at <= FAIR.sources[VENUE].stale_seconds_max
        assert index_at is not None
        assert now - index_at <= FAIR.index_stale_seconds_max
    elif heard_at is not None and index_at is not None and priced_at is not None:
        assert value.stale, "all inputs there and fresh, and yet no value"


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.decimals(0, 10_000, places=4))
@quick
def test_beyond_is_exact(one: int, base: int, bps: Decimal) -> None:
    assert beyond(one, base, bps) == (Fraction(abs(one - base), base) > Fraction(bps) / BPS)


def test_a_reference_that_jumped_is_not_followed_until_the_index_says_so_too() -> None:
    """S8: the basis is slow, so it hides a jump; fair value itself must stay near the index."""
    fair = ready()
    far = 50_000 * (1 + FAIR.basis_bps_max / BPS) + 2
    fair.quote(quote(str(far - 1), str(far + 1)), START + 0.5)
    assert "plus its basis and index" in why_not(fair, START + 0.5)
    fair.stats(stats(str(far)), START + 1)
    assert isinstance(fair.value(START + 1), FairValue)
