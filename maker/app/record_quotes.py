"""What of ours rests, and how many requests it took: rows for the journal, out of which uptime and spreads are told.

A row is written when the innermost quotes of a market change, and again every minute, so that whoever reads may begin
anywhere. From a pull on nothing counts as quoted, though it may rest until the exchange was read back empty.
"""

from __future__ import annotations

from typing import Final

import attrs

from maker.desk.engine import Engine
from maker.desk.events import (
    AccountRead,
    Event,
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnknown,
    LadderUnsent,
    OpenOrdersRead,
    ReadEmpty,
    StreamDelta,
    StreamSnapshot,
)
from maker.desk.units import Side
from maker.edge import journal, records
from maker.edge.records import unix_ms

QUOTES_SECONDS: Final = 60.0  # between two rows of a market that tell nothing new
CHANGE_QUOTES: Final = (  # facts after which something else of ours may rest; of the frequent ones, those with a fill
    StreamSnapshot,
    OpenOrdersRead,
    AccountRead,
    ReadEmpty,
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnsent,
    LadderUnknown,
)


@attrs.define
class QuoteRecord:
    """Quotes and requests as last written."""

    journal: journal.Journal
    innermost: dict[str, tuple[int | None, int | None]] = attrs.field(factory=dict)  # market -> ticks of bid and ask
    pulling: bool = False  # cancel-all has left
    requests: tuple[int, int] | None = None  # spent, and answered 429
    again_at: float = 0.0  # our clock

    def after(self, event: Event, engine: Engine) -> None:
        """Write what a fact changed."""
        if not self.innermost or isinstance(event, CHANGE_QUOTES) or (isinstance(event, StreamDelta) and event.fills):
            self.write(engine)

    def pulled(self, engine: Engine) -> None:
        """Cancel-all has left."""
        self.pulling = True
        self.write(engine)

    def sample(self, engine: Engine, now: float) -> None:
        """Write what rests once more, now and then."""
        if now >= self.again_at:
            self.again_at = now + QUOTES_SECONDS
            self.write(engine, again=True)

    def write(self, engine: Engine, *, again: bool = False) -> None:
        """Write the innermost quotes of each market where they have changed, or `again`."""
        for market_id, market in engine.markets.items():
            account, price = market.account, market.account.spec.grid.price
            best = (None, None) if self.pulling else (account.innermost(Side.BUY), account.innermost(Side.SELL))
            if again or self.innermost.get(market_id) != best:
                self.innermost[market_id] = best
                bid, ask = (None if ticks is None else price.value(ticks) for ticks in best)
                self.journal.put(records.QuotesSeen(unix_ms(), market_id, bid, ask))

    def spent(self, engine: Engine) -> None:
        """Write the order-path requests spent, where there were any since."""
        budget = engine.budget
        if self.requests != (budget.spent, budget.throttles):
            self.requests = (budget.spent, budget.throttles)
            self.journal.put(records.RequestsSpent(unix_ms(), *self.requests, budget.limit))
