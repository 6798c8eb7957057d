"""Small defects of the maker, planted in place, and the checker of the core world that must find each."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import attrs
import msgspec
import pytest

from maker.desk import account, book, budget, facts, fair, identity, jumps, market, risk, setbacks, wanting
from maker.desk.deadman import Trip
from maker.desk.events import (
    AccountRead,
    Fill,
    LadderPlaced,
    LadderRefused,
    LadderUnknown,
    LadderUnsent,
    Liquidity,
    MarketSpec,
    PlaceLadder,
    StreamLost,
    StreamSnapshot,
)
from maker.desk.fair import FairValue, FairValueEstimator, NoFair
from maker.desk.state import DeskState
from maker.wire import ocx, orders, stream

Patch = pytest.MonkeyPatch


@attrs.frozen
class Plant:
    """One defect, and the invariant by whose name it must be found."""

    name: str
    found_by: str
    put: Callable[[Patch], None]


def accept_a_gap(patch: Patch) -> None:
    """Whatever comes after the snapshot is taken for the next event."""
    real = stream.MarketStream.in_order

    def in_order(self: stream.MarketStream, item: Any, envelope: Any) -> bool:
        if self.state is stream.StreamState.LIVE and item.event in stream.CHANGES:
            self.sequence, self.line_id = envelope.event_seq - 1, None
        return real(self, item, envelope)

    patch.setattr(stream.MarketStream, "in_order", in_order)


def off_by_one_in_sequence(patch: Patch) -> None:
    """One lost event is overlooked."""
    real = stream.MarketStream.in_order

    def in_order(self: stream.MarketStream, item: Any, envelope: Any) -> bool:
        if self.state is stream.StreamState.LIVE and envelope.event_seq == self.sequence + 2:
            self.sequence, self.line_id = self.sequence + 1, None
        return real(self, item, envelope)

    patch.setattr(stream.MarketStream, "in_order", in_order)


def apply_a_repeated_event(patch: Patch) -> None:
    """An event that was applied before is applied again."""
    real = stream.MarketStream.in_order

    def in_order(self: stream.MarketStream, item: Any, envelope: Any) -> bool:
        if (envelope.event_seq, envelope.event_id) in self.remembered:
            return True
        return real(self, item, envelope)

    patch.setattr(stream.MarketStream, "in_order", in_order)


def apply_a_fill_twice(patch: Patch) -> None:
    patch.setattr(account.TradeIds, "is_new", lambda self, trade_id: True)


def keep_quoting_without_a_stream(patch: Patch) -> None:
    """A stream that broke is no reason to pull."""

    def stream_lost(desk: DeskState, market_desk: market.MarketDesk, event: StreamLost) -> Trip | None:
        market_desk.live, market_desk.lost = False, True
        return None

    patch.setattr(facts, "stream_lost", stream_lost)


def believe_a_crossed_book(patch: Patch) -> None:
    patch.setattr(book.Book, "check", lambda self: None)


def forget_what_was_missed(patch: Patch) -> None:
    """Trades told again after a break, by a snapshot or a read, are not booked; the position is taken as it is."""
    read_real, stream_real = facts.account_read, facts.stream_event

    def explain(one: market.MarketDesk) -> None:
        one.account.position_summed_lots = one.account.position_lots

    def account_read(desk: DeskState, read: AccountRead, now: float) -> Trip | None:
        for one in desk.markets.values():
            one.account.positions_whole(read.positions)
            explain(one)
        return read_real(desk, attrs.evolve(read, fills=()), now)

    def stream_event(desk: DeskState, one: market.MarketDesk, event: Any, now: float) -> Trip | None:
        if not isinstance(event, StreamSnapshot):
            return stream_real(desk, one, event, now)
        trip = stream_real(desk, one, attrs.evolve(event, fills=()), now)
        explain(one)
        return trip

    patch.setattr(facts, "account_read", account_read)
    patch.setattr(facts, "stream_event", stream_event)


def ignore_removed_ids(patch: Patch) -> None:
    patch.setattr(account.MarketAccount, "positions_removed", lambda self, position_ids: None)


def book_the_wrong_fee(patch: Patch) -> None:
    patch.setattr(MarketSpec, "fee_bps", lambda self, liquidity: self.taker_fee_bps)


def forget_the_fee_of_a_taker(patch: Patch) -> None:
    patch.setattr(
        MarketSpec,
        "fee_bps",
        lambda self, liquidity: Decimal(0) if liquidity is Liquidity.TAKER else self.maker_fee_bps,
    )


def keep_the_replaced_ladder(patch: Patch) -> None:
    """What a replace took away is taken to rest on."""

    def supersede(self: account.MarketAccount, gone: Any, engine_ms: int | None, now: float) -> None:
        if gone is not self.resting:
            gone.clear()

    patch.setattr(account.MarketAccount, "supersede", supersede)


def count_only_what_rests(patch: Patch) -> None:
    """Room is what the position leaves, and worst case is the new ladder alone."""

    def room_lots(one: account.MarketAccount, _limits: risk.Limits, side: Any, cap: int) -> int:
        return max(0, cap - int(side.sign * one.position_lots))

    patch.setattr(wanting, "room_lots", room_lots)
    patch.setattr(account.MarketAccount, "may_fill_lots", lambda self, side: 0)


def write_sizes_too_large(patch: Patch) -> None:
    """Sizes are written ten times too large."""
    real = orders.ladder_quotes

    def ladder_quotes(spec: MarketSpec, action: PlaceLadder) -> list[ocx.Quote]:
        return real(spec, attrs.evolve(action, orders=tuple(attrs.evolve(o, lots=o.lots * 10) for o in action.orders)))

    patch.setattr(orders, "ladder_quotes", ladder_quotes)


def follow_a_reference_that_jumped(patch: Patch) -> None:
    """The slow basis is all that is compared with the index: no collar is around that, and no jump freezes."""

    def value(self: FairValueEstimator, now: float) -> FairValue | NoFair:
        for one in self.sources.values():
            if one.heard_at is None or one.price_subticks is None or one.basis_subticks is None or not one.fresh(now):
                continue
            fair_subticks = one.price_subticks + one.basis_subticks
            return FairValue(fair_subticks, one.half_spread_subticks, now - one.heard_at, self.volatility.sigma)
        return NoFair("none", stale=True)

    real = risk.approve

    def approve(ladder: Any, one: Any, price: Any, limits: risk.Limits, *rest: Any) -> Any:
        wide = attrs.evolve(limits, index_collar_bps=Decimal(10**6), window_collar_bps=Decimal(10**6))
        return real(ladder, one, price, wide, *rest)

    patch.setattr(fair.FairValueEstimator, "value", value)
    patch.setattr(wanting, "approve", approve)
    patch.setattr(wanting, "acceptable", lambda ladder, *_: ladder)
    patch.setattr(jumps.Jumps, "seen", lambda _self, _price, _now: "")


def look_through_the_book(patch: Patch) -> None:
    """Other people's best prices are not looked at."""
    patch.setattr(book.Book, "best_of_others", lambda self, own_bids, own_asks: (None, None))


def spend_the_reserve(patch: Patch) -> None:
    patch.setattr(budget.Budget, "reserve", property(lambda self: 0))


def forget_the_retry_time(patch: Patch) -> None:
    patch.setattr(budget.Budget, "throttled", lambda self, seconds, now: None)


def repeat_a_refused_ladder(patch: Patch) -> None:
    real = market.MarketDesk.ladder_refused

    def ladder_refused(self: market.MarketDesk) -> None:
        real(self)
        self.refused = None

    patch.setattr(market.MarketDesk, "ladder_refused", ladder_refused)


def trust_the_old_ladder_after_a_refusal(patch: Patch) -> None:
    real = market.MarketDesk.ladder_refused

    def ladder_refused(self: market.MarketDesk) -> None:
        real(self)
        self.orders_known = True

    patch.setattr(market.MarketDesk, "ladder_refused", ladder_refused)


def keep_the_size_after_a_margin_refusal(patch: Patch) -> None:
    patch.setattr(setbacks, "MARGIN_STEP", 1)


def book_a_refusal_as_success(patch: Patch) -> None:
    real = facts.refusal

    def refusal(desk: DeskState, one: market.MarketDesk, event: LadderRefused, now: float) -> Trip | None:
        desk.ladders_placed += 1
        return real(desk, one, event, now)

    patch.setattr(facts, "refusal", refusal)


def retry_an_unknown_outcome(patch: Patch) -> None:
    """No answer is taken for not sent."""
    real = facts.outcome

    def outcome(desk: DeskState, event: Any, now: float) -> Trip | None:
        if isinstance(event, LadderUnknown):
            event = LadderUnsent(event.market_id, event.quote_id, event.detail)
        return real(desk, event, now)

    patch.setattr(facts, "outcome", outcome)


def take_an_unknown_outcome_for_success(patch: Patch) -> None:
    real = facts.outcome

    def outcome(desk: DeskState, event: Any, now: float) -> Trip | None:
        if isinstance(event, LadderUnknown):
            event = LadderPlaced(event.market_id, event.quote_id, None, None)
        return real(desk, event, now)

    patch.setattr(facts, "outcome", outcome)


def send_a_quote_id_twice(patch: Patch) -> None:
    def quote_id(self: identity.Identity) -> str:
        self.quotes += 1
        return f"{self.prefix}-{self.epoch}-q{self.quotes // 2}"

    patch.setattr(identity.Identity, "quote_id", quote_id)


def float_a_price(patch: Patch) -> None:
    real = orders.ladder_quotes

    def ladder_quotes(spec: MarketSpec, action: PlaceLadder) -> list[ocx.Quote]:
        step = float(spec.grid.price.step)
        quotes = real(spec, action)
        return [
            msgspec.structs.replace(quote, price=repr(order.ticks * step))
            for quote, order in zip(quotes, action.orders, strict=True)
        ]

    patch.setattr(orders, "ladder_quotes", ladder_quotes)


def write_a_size_with_an_exponent(patch: Patch) -> None:
    real = orders.ladder_quotes

    def ladder_quotes(spec: MarketSpec, action: PlaceLadder) -> list[ocx.Quote]:
        return [msgspec.structs.replace(quote, quantity=f"{Decimal(quote.quantity):E}") for quote in real(spec, action)]

    patch.setattr(orders, "ladder_quotes", ladder_quotes)


def count_a_value_twice(patch: Patch) -> None:
    """The size of a fill is counted twice in cash."""
    real = account.MarketAccount.fill

    def fill(self: account.MarketAccount, one: Fill) -> bool:
        new = real(self, one)
        if new:
            self.cash -= one.side.sign * self.spec.grid.notional(one.ticks, one.lots)
        return new

    patch.setattr(account.MarketAccount, "fill", fill)


PLANTS: Final = (
    Plant("accept a gap", "S5", accept_a_gap),
    Plant("off by one in eventSeq", "S5", off_by_one_in_sequence),
    Plant("apply a repeated event", "S5", apply_a_repeated_event),
    Plant("apply a fill twice", "S5", apply_a_fill_twice),
    Plant("keep quoting without a stream", "S5", keep_quoting_without_a_stream),
    Plant("believe a crossed book", "S5", believe_a_crossed_book),
    Plant("forget what was missed", "S5", forget_what_was_missed),
    Plant("ignore removedIds", "S6", ignore_removed_ids),
    Plant("book the wrong fee", "S6", book_the_wrong_fee),
    Plant("forget the fee of a taker", "S6", forget_the_fee_of_a_taker),
    Plant("keep the replaced ladder", "S6", keep_the_replaced_ladder),
    Plant("count a fill's value twice", "S6", count_a_value_twice),
    Plant("count only the new ladder", "S7", count_only_what_rests),
    Plant("write sizes ten times too large", "S8", write_sizes_too_large),
    Plant("follow a reference that jumped", "S8", follow_a_reference_that_jumped),
    Plant("look through the book", "S8", look_through_the_book),
    Plant("spend the reserve", "S9", spend_the_reserve),
    Plant("forget the retry time", "S9", forget_the_retry_time),
    Plant("repeat a refused ladder", "S11", repeat_a_refused_ladder),
    Plant("trust the old ladder after a refusal", "S11", trust_the_old_ladder_after_a_refusal),
    Plant("keep the size after a margin refusal", "S11", keep_the_size_after_a_margin_refusal),
    Plant("book a refusal as success", "S11", book_a_refusal_as_success),
    Plant("retry an unknown outcome", "S12", retry_an_unknown_outcome),
    Plant("take an unknown outcome for success", "S12", take_an_unknown_outcome_for_success),
    Plant("send a quoteId twice", "S12", send_a_quote_id_twice),
    Plant("float a price", "S19", float_a_price),
    Plant("write a size with an exponent", "S19", write_a_size_with_an_exponent),
)
