"""The marketplace: one seed one history, snapshots that continue it, and what the crowd leaves behind."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from maker.paper.marketplace import CANCEL_ALL_DELAY_STEPS, MAKERS, STILL, TAKERS, Marketplace, best_mid
from maker.paper.orders import BulkRequest, CancelScope, QuoteLevel
from maker.paper.state import ExchangeSettings
from tests.golden.transcript import START_MS


def opened(preset: str = "busy", seed: int = 1) -> Marketplace:
    return Marketplace(ExchangeSettings(seed=seed), preset=preset, start_ms=START_MS)


def stepped(place: Marketplace, steps: int) -> Marketplace:
    for _ in range(steps):
        place.step()
    return place


def written(place: Marketplace) -> Any:
    return msgspec.json.decode(msgspec.json.encode(place.snapshot()))


def quote(place: Marketplace, name: str) -> None:
    """Rest a ladder of one bid and one ask next to the index."""
    index = place.exchange.index("BTC-PERP")
    levels = tuple(
        QuoteLevel(side=side, price=(index * share // 1), quantity=Decimal("0.5"), client_order_id=f"{name}{side}")
        for side, share in (("buy", Decimal("0.9998")), ("sell", Decimal("1.0002")))
    )
    request = BulkRequest(market_id="BTC-PERP", quote_id=name, cancel_all=True, quotes=levels)
    place.exchange.place_bulk(place.exchange.user_id, request, place.at(place.due_ms - 1))


def test_first_step_makes_a_market() -> None:
    """A marketplace opens with both sides of each traded market quoted around the index."""
    place = opened()
    for market_id in ("BTC-PERP", "ETH-PERP", "SOL-PERP"):
        bid, ask = place.exchange.best(market_id)
        assert bid is not None
        assert ask is not None
        assert bid < place.exchange.index(market_id) < ask
    assert place.steps == 1
    assert place.due_ms == START_MS + 50


def test_same_seed_same_history() -> None:
    """The whole state is the same after the same steps and calls, and another one under another seed."""
    states = []
    for seed in (1, 1, 2):
        place = opened(seed=seed)
        for number in range(5):
            stepped(place, 100)
            quote(place, f"q{number}")
        states.append(written(place))
    assert states[0] == states[1]
    assert states[0]["surroundings"] != states[2]["surroundings"]


@pytest.mark.parametrize("steps", [0, 1, 333])
def test_snapshot_continues(steps: int) -> None:
    """Restored from JSON, the marketplace has the same future, calls included."""
    place = stepped(opened(), steps)
    quote(place, "before")
    copy = Marketplace.restore(ExchangeSettings(), written(place), preset="busy")
    for each in (place, copy):
        stepped(each, 200)
        quote(each, "after")
        stepped(each, 200)
    assert written(place) == written(copy)


def test_snapshot_keeps_a_delayed_cancel() -> None:
    """A cancel-all that was answered before the snapshot has its effect after it, at its step."""
    place = opened(STILL)
    quote(place, "q")
    place.delay_cancel_all(place.exchange.user_id, CancelScope(market_id="BTC-PERP"))
    copy = Marketplace.restore(ExchangeSettings(), written(place), preset=STILL)
    for each in (place, copy):
        stepped(each, CANCEL_ALL_DELAY_STEPS - 1)
        assert len(each.exchange.open_orders(each.exchange.user_id)) == 2
        each.step()
        assert each.exchange.open_orders(each.exchange.user_id) == ()
        assert each.delayed == []


@pytest.mark.parametrize(
    ("change", "preset"), [({"version": 99}, "busy"), ({}, "quiet"), ({"exchange": {"version": 99}}, "busy")]
)
def test_foreign_snapshots(change: dict[str, object], preset: str) -> None:
    """A snapshot of another form or preset is refused."""
    with pytest.raises(ValueError, match=r"version|preset"):
        Marketplace.restore(ExchangeSettings(), written(opened()) | change, preset=preset)


def test_shift_puts_off() -> None:
    """After a shift the next step is due later, at its own time, and time has not run backwards."""
    place = stepped(opened(), 10)
    place.shift(3_600_000)
    assert place.due_ms == START_MS + 3_600_000 + 11 * 50
    place.step()
    assert place.now_ms == START_MS + 3_600_000 + 11 * 50
    assert place.at(START_MS) == place.now_ms


def test_crowd_trades_with_us_and_leaves_no_litter() -> None:
    """Quotes near the index get filled; what the crowd remembers of its own orders does not grow."""
    place = opened()
    for number in range(60):
        quote(place, f"q{number}")
        stepped(place, 40)
    trades = place.exchange.own_trades(place.exchange.user_id)
    assert len(trades) > 5
    assert {trade.liquidity for trade in trades} == {"maker"}
    for around in place.surroundings.values():
        assert len(around.resting) <= 16
    takers = place.exchange.state.registries[TAKERS]
    assert takers.open == {}
    assert len(place.exchange.state.registries[MAKERS].open) <= 3 * 16


def test_still_stands_still() -> None:
    """The preset for transcripts has no crowd, no reference and a standing index."""
    place = stepped(opened(STILL), 100)
    assert place.exchange.best("BTC-PERP") == (None, None)
    assert place.exchange.index("BTC-PERP") == Decimal(60000)
    assert place.reference_quotes() == {}


def test_reference_and_index_stay_together() -> None:
    """The reference's bid and ask surround a price within a few basis points of the index."""
    place = stepped(opened(), 400)
    quotes = place.reference_quotes()
    assert set(quotes) == {"BTC-USD", "ETH-USD", "SOL-USD"}
    assert quotes["BTC-USD"].bid < quotes["BTC-USD"].ask
    assert abs(quotes["BTC-USD"].bid / place.exchange.index("BTC-PERP") - 1) < Decimal("0.001")


def test_mid_of_one_side_is_none() -> None:
    """A middle needs two sides."""
    assert best_mid(Decimal(1), None) is None
    assert best_mid(None, Decimal(1)) is None
    assert best_mid(Decimal("1.1"), Decimal("1.2")) == Decimal("1.15")
