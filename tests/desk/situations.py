"""Situations for the tests of the spread models, and ranges wider than any market."""

from __future__ import annotations

from hypothesis import strategies as st

from maker.desk.spread import Situation, Spread, SpreadModel

SLACK = 1e-9  # of fair value: what two ways to the same float may differ by


def papers(inventory: float = 0.0) -> Situation:
    """Avellaneda and Stoikov's section 3.3 at t = 0."""
    return Situation(
        fair=100.0,
        inventory=inventory,
        volatility=2.0,
        size=1.0,
        inventory_max=1000.0,
        seconds_left=1.0,
        fill_rate=140.0,
        fill_decay=1.5,
    )


def glft_example(inventory: float = 0.0) -> Situation:
    """The market that Guéant, Lehalle and Fernandez-Tapia draw, ten minutes before the end."""
    return Situation(
        fair=100.0,
        inventory=inventory,
        volatility=0.3,
        size=1.0,
        inventory_max=30.0,
        seconds_left=600.0,
        fill_rate=0.9,
        fill_decay=0.3,
    )


def bitcoin(inventory: float = 0.0) -> Situation:
    """A lively perpetual: 60,000, 2 bp of volatility a minute's square root, a rate that falls by e each bp."""
    return Situation(
        fair=60_000.0,
        inventory=inventory,
        volatility=1.55,
        size=0.02,
        inventory_max=0.4,
        seconds_left=3600.0,
        fill_rate=0.08,
        fill_decay=1 / 6,
    )


def magnitudes(least: int, most: int) -> st.SearchStrategy[float]:
    """Numbers of every order of magnitude between two powers of ten."""
    return st.floats(least, most, allow_nan=False).map(lambda power: 10.0**power)


risk_aversions = magnitudes(-8, 2)
ratios = st.floats(-1.5, 1.5, allow_nan=False)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Anything from a coin at a millionth to an index at a million, dead or wild, far beyond the limit too."""
    fair = draw(magnitudes(-6, 6))
    size = draw(magnitudes(-4, 3))
    inventory_max = size * draw(st.floats(0.5, 90, allow_nan=False))
    return Situation(
        fair=fair,
        inventory=draw(ratios) * inventory_max,
        volatility=fair * draw(st.one_of(st.just(0.0), magnitudes(-7, -2))),
        size=size,
        inventory_max=inventory_max,
        seconds_left=draw(st.one_of(st.just(0.0), magnitudes(-3, 5))),
        fill_rate=draw(magnitudes(-5, 3)),
        fill_decay=draw(magnitudes(-2, 1)) * 10_000 / fair,
    )


def never_higher(model: SpreadModel, less: Situation, more: Situation) -> None:
    """Assert that the longer of two inventories raises neither quote."""
    assert less.inventory <= more.inventory
    shorter, longer = model.spread(less), model.spread(more)
    slack = SLACK * (less.fair + abs(shorter.reservation))
    for before, after in ((shorter.bid_price, longer.bid_price), (shorter.ask_price, longer.ask_price)):
        if before is not None and after is not None:
            assert after <= before + slack
    assert not (shorter.bid is None and longer.bid is not None)
    assert not (longer.ask is None and shorter.ask is not None)


def below_and_above(spread: Spread, fair: float) -> tuple[float, float]:
    """Distances of bid and ask from fair value, as the papers give them."""
    assert spread.bid_price is not None
    assert spread.ask_price is not None
    return fair - spread.bid_price, spread.ask_price - fair
