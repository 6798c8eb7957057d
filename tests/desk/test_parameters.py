"""Other parameters while the desk runs: no copy is forgotten; what rests beyond a lowered limit is pulled at once."""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import Any

import attrs
import pytest

from maker.desk.deadman import Reason, Trip
from maker.desk.engine import Engine
from maker.desk.events import PlaceLadder
from maker.desk.margin import Step
from maker.desk.parameters import MarketParameters, Parameters, take
from maker.desk.spread import Fixed
from maker.desk.units import Side
from tests.desk.scripted import BTC, ETH, Desk, at_position, dec, holding, lots_of, market, quoted, spec


def in_force(engine: Engine) -> Parameters:
    """What the desk has now."""
    return Parameters(
        cycle=engine.cycle,
        budget=engine.budget.settings,
        limits=engine.account_limits,
        margin=engine.margin_settings,
        markets={
            market_id: MarketParameters(
                fair=one.fair.settings,
                volatility=one.fair.volatility_settings,
                intensity=one.pricing.intensity_settings,
                ladder=one.ladder_settings,
                limits=one.limits,
                funding=one.funding,
                model=one.pricing.model,
                model_name=one.pricing.name,
            )
            for market_id, one in engine.markets.items()
        },
    )


def with_market(parameters: Parameters, market_id: str = BTC, **rooms: Any) -> Parameters:
    """Other values in the rooms of one market: `limits={"collar_bps": …}`, or a whole one."""
    one = parameters.markets[market_id]
    made = {
        name: attrs.evolve(getattr(one, name), **value) if isinstance(value, dict) else value
        for name, value in rooms.items()
    }
    return attrs.evolve(parameters, markets={**parameters.markets, market_id: attrs.evolve(one, **made)})


def change(desk: Desk, **rooms: Any) -> Trip | None:
    """Take other values in rooms of the first market."""
    return take(desk.engine, with_market(in_force(desk.engine), **rooms), desk.now)


def everything_another(parameters: Parameters) -> Parameters:
    """Equal values in new objects everywhere: whoever still holds an old one has a copy of their own."""

    def again(value: Any) -> Any:
        made = attrs.evolve(value)
        if hasattr(made, "sources"):
            made = attrs.evolve(made, sources={name: attrs.evolve(one) for name, one in value.sources.items()})
        return made

    def market_again(one: MarketParameters) -> MarketParameters:
        fields = {field.name: getattr(one, field.name) for field in attrs.fields(MarketParameters)}
        made: dict[str, Any] = {name: again(value) for name, value in fields.items() if name != "model_name"}
        return MarketParameters(**made, model_name="other")

    rooms: dict[str, Any] = {name: again(getattr(parameters, name)) for name in ("cycle", "budget", "limits", "margin")}
    markets = {market_id: market_again(one) for market_id, one in parameters.markets.items()}
    return Parameters(**rooms, markets=markets)


def reachable(start: object) -> dict[int, object]:
    """Everything that the desk's own objects hold, however deep."""
    found: dict[int, object] = {}
    due = [start]
    while due:
        one = due.pop()
        if id(one) in found or isinstance(one, type):
            continue
        if not (type(one).__module__.startswith("maker.") or isinstance(one, dict | list | tuple | set)):
            continue
        found[id(one)] = one
        due.extend(gc.get_referents(one))
    return found


def test_no_copy_is_forgotten() -> None:
    """After a change nothing that the engine holds, in any room of it, leads to a parameter of before."""
    desk = Desk.ready(market(), market(ETH, market_spec=spec(ETH)))
    desk.quote()
    old = in_force(desk.engine)
    new = everything_another(old)
    assert take(desk.engine, new, desk.now) is None
    before = [old.cycle, old.budget, old.limits, old.margin]
    for one in old.markets.values():
        before += [one.fair, *one.fair.sources.values(), one.volatility, one.intensity, one.ladder, one.limits]
        before += [one.funding, one.model]
    held = reachable(desk.engine)
    assert id(new.markets[BTC].limits) in held
    assert [one for one in before if id(one) in held] == []
    assert {one.pricing.name for one in desk.engine.markets.values()} == {"other"}


def test_the_same_again_changes_nothing() -> None:
    desk = quoted()
    assert take(desk.engine, in_force(desk.engine), desk.now) is None
    assert not desk.market().disturbed
    assert desk.engine.holding is None


def test_a_wider_spread_is_quoted_at_the_next_turn() -> None:
    """What rests is not what is wanted any more: it is replaced as soon as a market may be, not when it is old."""
    desk = quoted()
    before = desk.market().quoted
    assert before is not None
    assert change(desk, model=Fixed(dec("9"), dec("0")), model_name="wide") is None
    desk.later(desk.engine.cycle.requote_seconds_min + 0.01)
    action = desk.place()
    after = desk.market().sent
    assert after is not None
    assert after.bids[0].ticks < before.bids[0].ticks
    assert action.why == "its parameters changed" or "price moved" in action.why


def test_other_sizes_within_the_limits_are_no_pull() -> None:
    desk = quoted()
    one = desk.market().ladder_settings
    assert change(desk, ladder={"level_size": one.level_size / 2}) is None
    desk.later(2.1)
    before = sum(order.lots for order in desk.market().account.resting.values())
    assert lots_of(desk.place()) < before


LOWERED = {
    "order_size_max": lambda desk: dec("0.001"),
    "order_value_max": lambda desk: dec("1"),
    "open_size_max": lambda desk: dec("0.001"),
    "position_limit": lambda desk: dec("0.001"),
    "position_value_max": lambda desk: dec("1"),
    "collar_bps": lambda desk: dec("0.1"),
    "index_collar_bps": lambda desk: dec("0.1"),
}


@pytest.mark.parametrize("name", LOWERED)
def test_what_rests_beyond_a_lowered_limit_is_pulled_at_once(name: str) -> None:
    """Not replaced when its turn comes: nothing may rest for a moment that no limit allows."""
    desk = quoted()
    trip = change(desk, limits={name: LOWERED[name](desk)})
    assert trip is not None
    assert trip.reason is Reason.LIMITS_LOWERED
    assert trip.reason.recoverable
    assert BTC in trip.detail
    assert desk.engine.holding is trip


@pytest.mark.parametrize("name", LOWERED)
def test_a_limit_that_what_rests_keeps_is_no_pull(name: str) -> None:
    desk = quoted()
    lower = getattr(desk.market().limits, name) * dec("0.999")
    assert change(desk, limits={name: lower}) is None
    assert desk.engine.holding is None


def test_a_ladder_on_its_way_counts_as_one_that_rests() -> None:
    desk = Desk.ready()
    desk.place()
    trip = change(desk, limits={"order_size_max": dec("0.001")})
    assert trip is not None
    assert trip.reason is Reason.LIMITS_LOWERED


def test_the_accounts_limit_counts_all_markets() -> None:
    """Each market alone keeps it; both together do not."""
    desk = Desk.ready(market(), market(ETH, market_spec=spec(ETH)))
    desk.quote()
    desk.later(0.01)
    desk.quote()
    worst = [one.worst_value(desk.now) for one in desk.engine.markets.values()]
    assert all(worst)
    parameters = in_force(desk.engine)
    between = attrs.evolve(parameters.limits, value_max=max(worst) * dec("1.01"))
    trip = take(desk.engine, attrs.evolve(parameters, limits=between), desk.now)
    assert trip is not None
    assert trip.reason is Reason.LIMITS_LOWERED
    assert "all markets" in trip.detail


def test_a_position_beyond_its_new_limit_is_worked_off_and_not_the_end_of_the_run() -> None:
    """What it is, or could come to by what rests, is found there; a lot more would end the run; only exits go out."""
    desk = holding(20)
    desk.market().account.position_start_lots = 0  # it was not found at the start, it came about
    size = desk.market().account.spec.grid.size
    assert change(desk, limits={"position_limit": size.value(10)}, ladder={"position_limit": size.value(10)}) is None
    assert desk.engine.broken(desk.now) is None
    action = desk.place()
    assert {order.side for order in action.orders} == {Side.SELL}
    assert all(order.reduce_only for order in action.orders)
    desk.market().account.position_lots = desk.market().account.position_summed_lots = 21
    grown = desk.engine.broken(desk.now)
    assert grown is not None
    assert grown.reason is Reason.POSITION_LIMIT


def test_what_was_found_once_is_no_room_for_later() -> None:
    """Worked off below the limit, then the limit lowered again: the position of before allows nothing now."""
    desk = holding(20)
    desk.market().account.position_start_lots = 0  # it was not found at the start, it came about
    size = desk.market().account.spec.grid.size
    assert change(desk, limits={"position_limit": size.value(10)}, ladder={"position_limit": size.value(10)}) is None
    assert desk.market().account.position_found_lots[Side.BUY] == 20
    desk.delta(positions=(at_position(5),))
    desk.market().account.position_summed_lots = 5
    assert change(desk, limits={"position_limit": size.value(8)}, ladder={"position_limit": size.value(8)}) is None
    assert desk.market().account.position_found_lots == {Side.BUY: 0, Side.SELL: 0}


def test_a_loss_limit_lowered_below_what_is_lost_ends_the_run() -> None:
    """It is judged by what holds now, at once."""
    desk = quoted()
    desk.engine.losses.peak = dec("50")
    parameters = in_force(desk.engine)
    lower = attrs.evolve(parameters.limits, drawdown_max=dec("40"))
    assert take(desk.engine, attrs.evolve(parameters, limits=lower), desk.now) is None
    trip = desk.engine.broken(desk.now)
    assert trip is not None
    assert trip.reason is Reason.DRAWDOWN


def margins(desk: Desk, **ratios: Any) -> Trip | None:
    """Take other settings of margin."""
    parameters = in_force(desk.engine)
    return take(desk.engine, attrs.evolve(parameters, margin=attrs.evolve(parameters.margin, **ratios)), desk.now)


def test_margin_is_judged_by_the_new_ratios_at_once() -> None:
    """Not from the next balance on, which is ten seconds away: until then quotes would add to a position."""
    desk = holding(20)
    desk.balance(available="6000", equity="10000")
    steps = [desk.engine.margin.step]
    warn, most = dec("0.95"), dec("0.9")
    assert (
        margins(desk, headroom_warn_ratio=warn, headroom_shrink_ratio=most, headroom_reduce_only_ratio=dec("0.8"))
        is None
    )
    steps.append(desk.engine.margin.step)
    assert steps == [Step.AMPLE, Step.REDUCE_ONLY]
    desk.later(desk.engine.cycle.requote_seconds_min + 0.01, money=False)
    assert all(order.side is Side.SELL and order.reduce_only for order in desk.place().orders)
    assert any("headroom" in note for note in desk.engine.take_notes())


def test_one_low_reading_is_not_counted_twice() -> None:
    """The end of the run needs two of the exchange's; that the same one was judged again is none."""
    desk = quoted()
    desk.balance(available="500", equity="10000")
    before = desk.engine.margin.low_readings, desk.engine.margin.step
    assert before == (1, Step.REDUCE_ONLY)
    margins(desk, headroom_flatten_ratio=desk.engine.margin_settings.headroom_flatten_ratio * dec("1.01"))
    assert (desk.engine.margin.low_readings, desk.engine.margin.step) == before


def test_a_smaller_burst_takes_tokens_away() -> None:
    desk = Desk.ready()
    parameters = in_force(desk.engine)
    fewer = attrs.evolve(parameters.budget, burst=2)
    assert take(desk.engine, attrs.evolve(parameters, budget=fewer), desk.now) is None
    assert desk.engine.budget.tokens <= 2


def test_other_markets_are_another_start() -> None:
    desk = Desk.ready()
    parameters = in_force(desk.engine)
    with pytest.raises(AssertionError, match="another start"):
        take(desk.engine, attrs.evolve(parameters, markets={}), desk.now)


def test_while_quotes_are_being_pulled_a_change_pulls_nothing_more() -> None:
    desk = quoted()
    assert desk.engine.trip(Reason.STREAM_BROKEN, "as scripted") is not None
    assert change(desk, limits={"order_size_max": dec("0.001")}) is None
    desk.pulled()
    desk.snapshot()
    action = desk.decide()
    assert not isinstance(action, PlaceLadder) or all(
        desk.market().account.spec.grid.size.value(order.lots) <= Decimal("0.001") for order in action.orders
    )
