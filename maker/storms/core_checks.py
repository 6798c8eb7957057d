"""The checkers of the core world: each invariant by its name, judged by what the exchange and the wires saw.

The maker's books are read for one thing only: to be compared with the exchange's (S6, and what it says it booked). What
was owed when (a pull, a read, a wait, a smaller ladder) is worked out here from bytes sent and bytes that arrived.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import attrs

from maker.desk.events import Fill, MarketStats
from maker.storms.core_orders import READ_SECONDS, RESTARTED, Line, OrderChecks, Told
from maker.wire import reference

__all__ = ["RESTARTED", "Judge", "Told"]


@attrs.define(eq=False)
class Judge(OrderChecks):
    """The oracle of one schedule."""

    # -- streams

    def expect(self, connection: int, told: Told, data: bytes) -> str:
        """What an event that arrives on a connection must lead to: "apply", "ignore" or "break"."""
        self.note(f"event {connection} {data!r}")
        line = self.lines.setdefault(connection, Line())
        if line.broken:
            return "break"
        if (told.sequence, told.event_id) in line.seen:
            return "ignore"
        first = line.sequence == 0
        in_order = told.name == "snapshot" if first else told.name != "snapshot" and told.sequence == line.sequence + 1
        if not in_order or not told.sound:
            line.broken = True
            return "break"
        line.sequence = told.sequence
        line.seen.append((told.sequence, told.event_id))
        return "apply"

    def came(self, told: Told, verdict: str, applied: int, broken: str) -> None:
        """S5: what came of it."""
        about = self.about[told.market_id]
        restarted = broken.startswith(RESTARTED)
        if verdict == "apply" and not broken:
            about.sound = True
            about.halted = about.halted and told.name != "snapshot"
            about.best_bid, about.best_ask = told.best_bid, told.best_ask
        if not restarted:
            holds = (verdict == "break") == bool(broken) and applied == (verdict == "apply")
            sentence = f"{told.name} {told.sequence} ({told.event_id}) must {verdict}: applied {applied} {broken}"
            self.hold("S5", holds, "" if holds else sentence)
        if verdict == "break" or broken:
            self.gone(told.market_id, restarted=restarted)

    def gone(self, market_id: str, *, restarted: bool = False) -> None:
        """S5: a stream broke or ended: in this step its market's quotes were pulled, and all others with them.

        Nothing is owed for one that was void already while others are quoted.
        """
        about = self.about[market_id]
        resting = self.exchange.state.registries[self.exchange.user_id].open.values()
        everything = about.sound and not restarted and not about.halted
        about.sound = False
        if (everything and resting) or any(order.market_id == market_id for order in resting):
            pulled = self.last_cancel_ms >= self.last_ladder_ms
            self.hold("S5", pulled, f"the stream of {market_id} broke, and no cancel-all left for it")

    def booked(self, fills: Iterable[Fill]) -> None:
        """S5: fills are unique by trade id, whatever repeats them."""
        for fill in fills:
            self.hold("S5", fill.trade_id not in self.trades_booked, f"trade {fill.trade_id} was booked twice")
            self.trades_booked.add(fill.trade_id)

    def polled(self, row: object) -> None:
        if isinstance(row, MarketStats):
            self.about[row.market_id].index = row.index

    def reference(self, message: bytes) -> None:
        quote = reference.parse("", message)
        symbol = getattr(quote, "symbol", "")
        for market_id, about in self.about.items():
            if market_id.partition("-")[0] == symbol.partition("-")[0]:
                about.reference = (quote.bid + quote.ask) / 2  # type: ignore[union-attr]

    # -- agreement

    def displaced(self, market_id: str) -> None:
        self.about[market_id].displaced = True

    def moved_without_trade(self) -> None:
        self.moved = True

    def stamp(self) -> tuple[int, ...]:
        """What changes with everything that is compared."""
        account = self.exchange.state.accounts[self.exchange.user_id]
        return account.trade_count, account.positions_version, self.ladders, self.last_cancel_ms

    @property
    def due(self) -> bool:
        """Whether something changed since both sides were compared."""
        return not self.moved and self.stamp() != self.compared_at

    def compare(self) -> None:
        """S6: nothing is on its way, and nothing changed since the last look: both sides' books, exactly."""
        assert self.engine is not None
        user = self.exchange.user_id
        account = self.exchange.state.accounts[user]
        engine = self.engine
        self.compared_at = self.stamp()
        cash = sum((market.account.cash for market in engine.markets.values()), Decimal(0))
        meant = account.traded - account.fees_paid - self.cash_before
        self.hold("S6", cash == meant, f"cash is {cash}, the exchange's {meant}")
        trades = account.trade_count - self.trades_before
        self.hold("S5", len(self.trades_booked) == trades, f"{len(self.trades_booked)} of {trades} trades are booked")
        for market_id, market in engine.markets.items():
            grid, quantity = market.account.spec.grid, account.quantity(market_id)
            for lots in (market.account.position_lots, market.account.position_summed_lots):
                position = grid.size.value(lots)
                self.hold("S6", position == quantity, f"{market_id}: position {position}, the exchange's {quantity}")
            theirs = {
                o.client_order_id: (o.price, o.remaining)
                for o in self.exchange.state.registries[user].open.values()
                if o.market_id == market_id
            }
            ours = {
                o.client_order_id: (grid.price.value(o.ticks), grid.size.value(o.lots))
                for o in market.account.resting.values()
            }
            settled = self.heap.ms - self.read_ms > READ_SECONDS * 1000 and market.heard_at is not None
            settled = settled and self.exchange.settings.switches.trades_name_orders
            settled = (
                settled and (market.heard_at or 0.0) * 1000 - self.heap.now * 1000 + self.heap.ms - self.read_ms > 1000
            )
            if settled or not theirs:
                self.hold("S6", ours == theirs, f"{market_id}: open orders {ours}, the exchange's {theirs}")
            else:  # what was read may still be reduced by fills told later; never the other way
                counted = all(
                    one in ours and ours[one][0] == price and ours[one][1] >= left
                    for one, (price, left) in theirs.items()
                )
                self.hold("S6", counted, f"{market_id}: open orders {ours}, the exchange's {theirs}")
            self.about[market_id].displaced = False
