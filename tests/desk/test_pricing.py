"""A spread model at work: what it is shown, in whole subticks what it answers, and what fills teach."""

from __future__ import annotations

import math
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.account import OwnOrder
from maker.desk.avellaneda_stoikov import AvellanedaStoikov
from maker.desk.fair import FairValue
from maker.desk.pricing import REST_SECONDS_MAX, Pricing, asked
from maker.desk.spread import Situation, Spread
from maker.desk.units import SUBTICKS, Side

from .scripted import FAIR_TICKS, INTENSITY, MODEL, START, START_MS, Desk, a_fill, market, quick, quoted, spec

FAIR = FairValue(FAIR_TICKS * SUBTICKS, 0, 0.0, sigma=0.0001)


@attrs.define
class Seen:
    """A model that keeps what it was shown."""

    answer: Spread
    horizon_seconds: float = 100.0
    shown: list[Situation] = attrs.field(factory=list)

    def spread(self, situation: Situation) -> Spread:
        self.shown.append(situation)
        return self.answer


def pricing(model: Seen) -> Pricing:
    return Pricing(spec().grid, "seen", model, INTENSITY)


def test_what_a_model_is_shown() -> None:
    """Prices in quote currency, sizes in base: 50000, -0.03, sigma of 1 bp a root second, k of one a basis point."""
    model = Seen(Spread(50_000.0, 1.0, 1.0))
    pricing(model).quote(FAIR, -30, 10, 200, 1_030_000)
    (shown,) = model.shown
    assert attrs.astuple(shown) == pytest.approx(
        (50_000.0, -0.03, 5.0, 0.01, 0.2, 70.0, INTENSITY.fill_rate_per_second, 0.2)
    )


def test_half_spreads_are_rounded_outward_and_a_missing_side_stays_missing() -> None:
    """A tenth of a tick is 100000 subticks; a third of one is no whole number of them."""
    quoted_ = pricing(Seen(Spread(49_999.99, 1 / 3, None))).quote(FAIR, 0, 10, 200, 0)
    assert quoted_.reservation_subticks == FAIR_TICKS * SUBTICKS - SUBTICKS // 10
    assert quoted_.half_bid_subticks == math.ceil(SUBTICKS * 10 / 3)
    assert quoted_.half_ask_subticks is None


def test_a_model_that_asks_to_end_the_program_is_an_error_as_any_other() -> None:
    """H6: SystemExit is no Exception, and would pass by what says how a run ended; Ctrl-C is nobody's bug."""

    class Raises:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def spread(self, situation: Situation) -> Spread:
            raise self.error

    shown = Situation(50_000.0, 0.0, 0.0, 0.01, 0.2, 1.0, 0.1, 0.2)
    with pytest.raises(RuntimeError, match=r"^it asks to end the program: SystemExit\(3\)$"):
        asked(Raises(SystemExit(3)), shown)
    for error in (KeyboardInterrupt(), ZeroDivisionError()):
        with pytest.raises(type(error)):
            asked(Raises(error), shown)


@given(st.integers(1, 10**7), st.floats(1.0, 10**6))
@quick
def test_a_finite_horizon_never_ends(exchange_seconds: int, horizon: float) -> None:
    """It begins anew, by the exchange's clock: what is left is above nothing and at most the whole of it."""
    model = Seen(Spread(50_000.0, 1.0, 1.0), horizon_seconds=horizon)
    pricing(model).quote(FAIR, 0, 10, 200, exchange_seconds * 1000)
    assert 0 < model.shown[0].seconds_left <= horizon


# -- what fills teach


def order(name: str, side: Side, bps: int) -> OwnOrder:
    return OwnOrder(name, side, FAIR_TICKS - side.sign * bps * 50, 10, reduce_only=False, quote_id="q")


def test_exposure_is_counted_by_the_second_and_not_across_a_pause() -> None:
    one = pricing(Seen(Spread(50_000.0, 1.0, 1.0)))
    resting = [order("a", Side.BUY, 5), order("b", Side.SELL, 7)]
    one.rested(FAIR, resting, START)
    one.rested(FAIR, resting, START + 0.4)
    assert one.intensity.seconds_total == 0
    one.rested(FAIR, resting, START + 1.5)
    assert one.intensity.seconds_total == pytest.approx(3.0), "two quotes for a second and a half"
    one.rested(FAIR, resting, START + 2 + REST_SECONDS_MAX)
    assert one.intensity.seconds_total == pytest.approx(3.0)


def test_an_order_hit_in_parts_is_one_hit() -> None:
    one = pricing(Seen(Spread(50_000.0, 1.0, 1.0)))
    for trade in ("t1", "t2"):
        one.filled(FAIR, a_fill(trade, Side.BUY, ticks=FAIR_TICKS - 250, client_order_id="a"))
    assert one.intensity.fills[Side.BUY] == 1
    one.filled(FAIR, a_fill("t3", Side.BUY, ticks=FAIR_TICKS - 250))
    assert one.intensity.fills[Side.BUY] == 2, "without a name nobody knows"


def test_a_desk_learns_from_its_own_fills_and_says_what_it_uses() -> None:
    desk = quoted()
    one = desk.market().pricing
    assert "A 0.1 a second, k 1 a bp" in one.sentence
    for second in range(1, 400):
        desk.later(1.0)
        desk.reference()
        desk.decide()
        if second % 4 == 0:
            desk.delta(fills=(a_fill(f"t{second}", ticks=FAIR_TICKS - 50),))
        desk.delta()
        if desk.engine.holding is not None:
            break
    known = one.intensity.statistics()
    assert known.seconds > 0
    assert known.fills_bought > 0
    assert known.prior_ratio < 1
    assert "fixed" in one.sentence


# -- in the ladder


def test_switching_the_model_is_one_word_and_the_ladder_follows() -> None:
    """Avellaneda-Stoikov without volatility quotes 1/k away: a basis point here, clamped to edge and fee of two."""
    bold = AvellanedaStoikov(risk_aversion=1e-9, horizon_seconds=60.0)
    fixed, other = Desk.ready(), Desk.ready(attrs.evolve(market(), model=bold, model_name="avellaneda_stoikov"))
    assert MODEL.half_spread_bps == 5
    assert (fixed.place().orders[0].ticks, other.place().orders[0].ticks) == (FAIR_TICKS - 251, FAIR_TICKS - 100)


def test_a_model_that_fails_is_an_error_like_any_other() -> None:
    """Quotes are pulled for it and the run ends: see the row UNHANDLED_ERROR."""

    class Broken:
        def spread(self, situation: Situation) -> Spread:
            raise ZeroDivisionError(situation.fair)

    desk = Desk.ready(attrs.evolve(market(), model=Broken(), model_name="mine"))
    with pytest.raises(ZeroDivisionError):
        desk.decide()


def test_the_exchanges_clock_counts_a_horizon_down() -> None:
    model = Seen(Spread(50_000.0, 25.0, 25.0), horizon_seconds=1000.0)
    desk = Desk.ready(attrs.evolve(market(), model=model, model_name="seen"))
    desk.decide()
    first = model.shown[-1].seconds_left
    assert first == pytest.approx(1000 - START_MS / 1000 % 1000, abs=1)


@pytest.mark.parametrize(
    ("horizon_seconds", "answer", "problem"),
    [
        (0.0, Spread(50_000.0, 1.0, 1.0), "its horizon_seconds is 0.0, and must be a number above 0"),
        (math.inf, Spread(50_000.0, 1.0, 1.0), "its horizon_seconds is inf"),
        (100.0, Spread(Decimal(50_000), 1.0, 1.0), "its reservation is a Decimal, and must be a float"),  # type: ignore[arg-type]  # of a user's own
        (100.0, Spread(50_000.0, None, Decimal(1)), "its ask is a Decimal"),  # type: ignore[arg-type]  # likewise
    ],
)
def test_a_model_that_cannot_be_asked_or_read_says_what_it_is(
    horizon_seconds: float, answer: Spread, problem: str
) -> None:
    """Not a modulo by nothing, nor a division that Decimals do not know: a sentence that its author understands."""
    with pytest.raises((ValueError, TypeError), match=problem):
        pricing(Seen(answer, horizon_seconds)).quote(FAIR, 0, 10, 200, 1_000)
