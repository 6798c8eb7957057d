"""Whatever is done to it, in whatever order, the exchange keeps its invariants, and a dump keeps its future."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.paper.accounts import CLOSED_POSITIONS_MAX
from maker.paper.exchange import Exchange
from maker.paper.money import ZERO, exactly
from maker.paper.orders import BulkRequest, CancelScope, OrderRequest, QuoteLevel
from maker.paper.rejection import Rejection
from tests.paper.exchange_kit import (
    BTC,
    ETH,
    FUTURE,
    MAKERS,
    NOW,
    TAKERS,
    D,
    bulk,
    crowd,
    level,
    make,
    place,
    refused,
)

MARKET_IDS = (BTC, ETH, FUTURE)
MIDDLE = {BTC: D("60000"), ETH: D("3000"), FUTURE: D("60000")}

sides = st.sampled_from(("buy", "sell"))
offsets = st.integers(-6, 6).map(lambda ticks: D("0.5") * ticks)
sizes = st.sampled_from((1, 20, 50, 100, 100, 200, 250, 500, 3000)).map(lambda lots: D("0.001") * lots)
times = st.sampled_from(("gtc", "gtc", "gtc", "ioc", "fok"))
markets = st.sampled_from((BTC, BTC, BTC, ETH, FUTURE))
seldom = st.sampled_from((False, False, False, True))

levels = st.tuples(sides, offsets, sizes, seldom, seldom, times)
order = st.tuples(st.just("order"), markets, sides, offsets, sizes, times, seldom, seldom, seldom)
ladder = st.tuples(st.just("bulk"), markets, st.lists(levels, max_size=6), st.booleans())
other = st.tuples(st.just("crowd"), markets, st.sampled_from((MAKERS, TAKERS)), sides, offsets, sizes, times)
# Weighted by name: one_of would count equal strategies once.
STEPS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "order": order,
    "ladder": ladder,
    "other": other,
    "index": st.tuples(st.just("index"), markets, st.integers(-40, 40)),
    "advance": st.tuples(st.just("advance"), st.integers(0, 200_000)),
    "modify": st.tuples(st.just("modify"), st.integers(0, 2), offsets, sizes),
    "cancel": st.tuples(st.just("cancel"), st.integers(0, 2)),
    "cancel_all": st.tuples(st.just("cancel_all"), markets, st.booleans()),
    "close": st.tuples(st.just("close"), markets, st.one_of(st.none(), sizes)),
    "charge": st.tuples(st.just("charge")),
    "transfer": st.tuples(st.just("transfer"), sizes),
}
OFTEN = ["order"] * 5 + ["ladder"] * 4 + ["other"] * 10 + ["modify", "index", "advance"] * 2
steps = st.sampled_from([*OFTEN, *STEPS]).flatmap(STEPS.__getitem__)
switches = st.fixed_dictionaries(
    {
        "margin_refusal": st.sampled_from(("atomic", "cancels_first", "partial")),
        "level_refusal": st.sampled_from(("whole", "level")),
        "repeated_quote_id": st.sampled_from(("refuse", "replay", "accept")),
    }
)


@attrs.define
class Driver:
    """Turn generated steps into calls; what is answered or refused is its history."""

    exchange: Exchange
    now_ms: int = NOW
    number: int = 0

    @classmethod
    def begin(cls, opening: str, **choices: Any) -> Driver:
        """Start with a book on both sides and a position, so that most steps have something to meet."""
        exchange = make(**choices)
        for ticks in range(1, 5):
            crowd(exchange, "buy", str(60000 - ticks), "1")
            crowd(exchange, "sell", str(60000 + ticks), "1")
        driver = cls(exchange)
        driver.act(("order", BTC, opening, D(6) if opening == "buy" else D(-6), D("0.5"), "ioc", False, False, False))
        assert exchange.own_trade_count(exchange.user_id) == 1
        return driver

    def act(self, step: tuple[Any, ...]) -> object:
        try:
            return self._act(*step)
        except Rejection as refusal:
            return refusal.code

    def _act(self, kind: str, *rest: Any) -> object:
        exchange, user = self.exchange, self.exchange.user_id
        self.number += 1
        if kind == "order":
            market_id, side, offset, size, time, post, reduce, market = rest
            return exchange.place_order(
                user,
                OrderRequest(
                    market_id=market_id,
                    side=side,
                    type="market" if market else "limit",
                    price=MIDDLE[market_id] + offset,
                    quantity=size,
                    time_in_force=time,
                    post_only=post and not market and time == "gtc",
                    reduce_only=reduce,
                    client_order_id=f"o{self.number}",
                ),
                self.now_ms,
            )
        if kind == "bulk":
            market_id, wanted, cancel_all = rest
            quotes = tuple(
                QuoteLevel(
                    side=side,
                    price=MIDDLE[market_id] + offset,
                    quantity=size,
                    post_only=post and time == "gtc",
                    reduce_only=reduce,
                    time_in_force=time,
                    client_order_id=f"b{self.number}-{place}",
                )
                for place, (side, offset, size, post, reduce, time) in enumerate(wanted)
            )
            name = f"q{self.number - self.number % 2}"  # now and then the same one twice
            ladder = BulkRequest(market_id=market_id, quote_id=name, cancel_all=cancel_all, quotes=quotes)
            return exchange.place_bulk(user, ladder, self.now_ms)
        if kind == "crowd":
            market_id, account, side, offset, size, time = rest
            return exchange.place_crowd_order(
                account, market_id, side, MIDDLE[market_id] + offset, size, time_in_force=time, now_ms=self.now_ms
            )
        if kind == "advance":
            self.now_ms += rest[0]
            return exchange.advance(self.now_ms)
        if kind == "index":
            return exchange.set_index(rest[0], MIDDLE[rest[0]] * (1 + D(rest[1]) / 1000))
        if kind == "charge":
            return exchange.charge(user, self.now_ms)
        if kind == "transfer":
            return exchange.transfer(user, "perps", "wallet", rest[0], self.now_ms)
        if kind == "close":
            return exchange.close_position(user, rest[0], rest[1], self.now_ms)
        if kind == "cancel_all":
            return exchange.cancel_all(user, CancelScope(market_id=rest[0] if rest[1] else None), self.now_ms)
        resting = exchange.open_orders(user)
        order_id = resting[rest[0]].order_id if rest[0] < len(resting) else "nothing"
        if kind == "cancel":
            return exchange.cancel_order(user, order_id, self.now_ms)
        price = MIDDLE[resting[rest[0]].market_id] + rest[1] if rest[0] < len(resting) else D(1)
        return exchange.modify_order(user, order_id, price=price, quantity=rest[2], now_ms=self.now_ms)


@exactly
def check(exchange: Exchange) -> None:
    """Every invariant that must hold between two calls."""
    state = exchange.state
    accounts = state.accounts.values()
    assert sum(account.traded for account in accounts) == 0
    assert sum(account.funding_paid for account in accounts) == 0
    for market_id, market in state.markets.items():
        assert sum(account.quantity(market_id) for account in accounts) == 0
        bid, ask = exchange.best(market_id)
        assert bid is None or ask is None or bid < ask
        for half in (market.book.bids, market.book.asks):
            assert half.prices == sorted(half.levels)
            for price, there in half.levels.items():
                assert there.total == sum(order.remaining for order in there.orders.values()) > 0
                for order in there.orders.values():
                    assert order.remaining > 0
                    assert order.remaining + order.filled == order.quantity
                    assert (order.price, order.side, order.status) == (price, half.side, "open")
                    assert state.registries[order.user_id].open[order.order_id] is order
    resting = sum(len(there.orders) for m in state.markets.values() for half in (m.book.bids, m.book.asks)
                  for there in half.levels.values())  # fmt: skip
    assert resting == sum(len(registry.open) for registry in state.registries.values())
    for user_id, registry in state.registries.items():
        for market_id, orders in registry.reduce_only.items():
            position = state.accounts[user_id].quantity(market_id)
            assert {order.side for order in orders.values()} == {"sell" if position > 0 else "buy"}
            assert sum(order.remaining for order in orders.values()) <= abs(position)
    user = state.accounts[exchange.user_id]
    perps = exchange.balances(exchange.user_id)[1]
    flows = user.deposited + user.traded - user.fees_paid - user.funding_paid
    value = sum((position.quantity * exchange.mark(name) for name, position in user.positions.items()), ZERO)
    assert perps.equity == perps.balance + perps.unrealized_pnl == flows + value
    assert perps.available >= 0
    if len(user.closed) < CLOSED_POSITIONS_MAX:  # all of them are remembered
        realized = sum((each.realized_pnl for each in user.closed), ZERO)
        realized += sum((each.realized_pnl for each in user.positions.values()), ZERO)
        assert user.traded == realized - sum((position.cost for position in user.positions.values()), ZERO)


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, min_size=20, max_size=40), sides, switches, st.sampled_from(("1900", "100000")))
def test_invariants_hold_after_every_call(
    script: list[tuple[Any, ...]], opening: str, positions: dict[str, Any], deposit: str
) -> None:
    """No negative sizes, no crossed book, money and positions conserve exactly, reduce-only never overclaims."""
    driver = Driver.begin(opening, deposit=deposit, **positions)
    for step in script:
        driver.act(step)
        check(driver.exchange)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=10, max_size=30), st.lists(steps, min_size=5, max_size=15), sides, switches)
def test_a_loaded_dump_has_the_same_future(
    past: list[tuple[Any, ...]], future: list[tuple[Any, ...]], opening: str, positions: dict[str, Any]
) -> None:
    """Through JSON and back: the same state, and every later answer, id and refusal the same."""
    driver = Driver.begin(opening, **positions)
    for step in past:
        driver.act(step)
    text = json.dumps(driver.exchange.dump())
    copy = Driver(Exchange.load(driver.exchange.settings, json.loads(text)), driver.now_ms, driver.number)
    assert copy.exchange.dump() == json.loads(text)
    for step in future:
        assert copy.act(step) == driver.act(step)
    assert copy.exchange.dump() == driver.exchange.dump()


@settings(max_examples=80, deadline=None)
@given(st.lists(steps, min_size=10, max_size=20), sides)
def test_a_refused_call_changes_nothing(script: list[tuple[Any, ...]], opening: str) -> None:
    """With the atomic switches a refusal leaves no trace: a bulk is all or nothing."""
    driver = Driver.begin(opening, deposit="6000")
    for step in script:
        before = driver.exchange.dump()
        if isinstance(driver.act(step), str):
            assert driver.exchange.dump() == before


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(sides, offsets, sizes), min_size=1, max_size=12), sides, st.integers(1, 20_000))
def test_price_time_priority_against_a_naive_book(
    orders: list[tuple[str, Decimal, Decimal]], side: str, lots: int
) -> None:
    """A sweep fills resting orders in the order that sorting by price, then by arrival, gives."""
    exchange = make()
    naive: list[tuple[Decimal, int, Decimal]] = []
    other = "sell" if side == "buy" else "buy"
    for number, (_, offset, size) in enumerate(orders):
        crowd(exchange, other, str(60000 + offset), str(size))
        naive.append((offset if other == "sell" else -offset, number, size))
    quantity = D("0.001") * lots
    expected = []
    left = quantity
    for signed, _, size in sorted(naive, key=lambda each: (each[0], each[1])):
        part = min(left, size)
        if part:
            expected.append((60000 + (signed if other == "sell" else -signed), part))
        left -= part
    crowd(exchange, side, None, str(quantity), account=TAKERS)
    assert [(trade.price, trade.quantity) for trade in exchange.market_trades(BTC)] == expected


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(offsets, sizes), min_size=1, max_size=5),
    st.lists(st.tuples(sides, offsets, sizes), max_size=10),
    sides,
)
def test_reduce_only_never_increases(
    exits: list[tuple[Decimal, Decimal]], flow: list[tuple[str, Decimal, Decimal]], opening: str
) -> None:
    """With nothing but reduce-only orders of ours, the position only ever moves towards zero."""
    exchange = make(deposit="10000000")
    closing = "sell" if opening == "buy" else "buy"
    crowd(exchange, closing, "60000", "2")
    place(exchange, opening, "60000", "2")
    for offset, size in exits:
        try:
            place(exchange, closing, str(60000 + offset), str(size), reduce_only=True)
        except Rejection as refusal:
            assert refusal.code == "REDUCE_ONLY_WOULD_INCREASE"  # noqa: PT017  # most are accepted
    account = exchange.state.accounts[exchange.user_id]
    last = account.quantity(BTC)
    for side, offset, size in flow:
        crowd(exchange, side, str(60000 + offset), str(size), account=TAKERS)
        now = account.quantity(BTC)
        assert abs(now) <= abs(last)
        assert now * last >= 0
        last = now
        check(exchange)


def test_what_a_dump_refuses() -> None:
    """Another version, seed or list of markets is not loaded."""
    exchange = make()
    dump = exchange.dump()
    wrong: list[Callable[[], object]] = [
        lambda: Exchange.load(exchange.settings, {**dump, "version": 0}),
        lambda: Exchange.load(attrs.evolve(exchange.settings, seed=8), dump),
        lambda: Exchange.load(attrs.evolve(exchange.settings, markets=exchange.settings.markets[:2]), dump),
    ]
    for call in wrong:
        with pytest.raises(ValueError, match="state of"):
            call()


def test_a_dump_carries_limits_ids_and_halts() -> None:
    """Rate windows, used ids, kept answers, halts and keys survive."""
    exchange = make(limit=5, repeated_quote_id="replay")
    user = exchange.user_id
    ladder = bulk("q", level("buy", "59900", "0.1", "a"))
    first = exchange.place_bulk(user, ladder, NOW)
    exchange.charge(user, NOW)
    crowd(exchange, "sell", "60060", "1")
    place(exchange, "buy", "60060", "1")
    crowd(exchange, "buy", "60059.5", "1")
    crowd(exchange, "sell", "60060.5", "1")
    exchange.advance(NOW + 300_000)
    exchange.halt_market(ETH)
    exchange.authorize("ocx_sk_paper_read", scope="read", address="127.0.0.1", now_ms=NOW)
    told: list[dict[str, object]] = []
    copy = Exchange.load(exchange.settings, json.loads(json.dumps(exchange.dump())), on_change=told.append)
    assert exchange.funding_history(user)[0].paid > 0
    assert copy.funding_history(user) == exchange.funding_history(user)
    assert copy.equity(user) == exchange.equity(user)
    assert copy.rate_state(user, NOW).remaining == 4
    assert copy.listing(ETH).trading_status == "halted"
    assert copy.place_bulk(user, ladder, NOW).orders == first.orders
    assert copy.keys(user) == exchange.keys(user)
    refused(
        "DUPLICATE_CLIENT_ORDER_ID",
        409,
        lambda: copy.place_bulk(user, bulk("q9", level("buy", "59900", "0.1", "a")), NOW),
    )
    copy.cancel_all(user, CancelScope(), NOW)
    assert [each["action"] for each in told] == ["removed"]
