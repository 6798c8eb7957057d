"""One OCX book: integer ticks and lots, a dict a side with a cached, walking best price."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import attrs

from maker.desk.events import Levels
from maker.errors import StreamBroken, StreamFault

LEVELS_MAX = 2_000  # a side; eight times the deepest stream, so only a runaway feed meets it


def malformed(detail: str) -> StreamBroken:
    return StreamBroken(StreamFault.MALFORMED, detail)


@attrs.define
class Book:
    """Bids and asks of one market. Anything impossible raises StreamBroken, after which the book must be reloaded."""

    bids: dict[int, int] = attrs.field(factory=dict)  # ticks -> lots, lots > 0
    asks: dict[int, int] = attrs.field(factory=dict)
    best_bid: int | None = None  # ticks
    best_ask: int | None = None

    def load(self, bids: Levels, asks: Levels) -> None:
        """Start again from a snapshot: best first, strictly sorted, positive sizes, not crossed."""
        for name, levels, direction in (("bids", bids, -1), ("asks", asks, 1)):
            for (ticks, lots), (after, _) in pairwise(levels):
                if (after - ticks) * direction <= 0:
                    raise malformed(f"snapshot {name} are not sorted at tick {ticks}")
                if lots <= 0:
                    raise malformed(f"snapshot has size {lots} in {name} at tick {ticks}")
            if levels and levels[-1][1] <= 0:
                raise malformed(f"snapshot has size {levels[-1][1]} in {name}")
            if levels and min(levels[0][0], levels[-1][0]) <= 0:
                raise malformed(f"snapshot has a price that is not positive in {name}")
        self.bids = dict(bids)
        self.asks = dict(asks)
        self.best_bid = bids[0][0] if bids else None
        self.best_ask = asks[0][0] if asks else None
        self.check()

    def apply(self, bids: Levels, asks: Levels) -> None:
        """Apply changed levels; size 0 removes one. A removal of a level we do not have is harmless."""
        for ticks, lots in bids:
            if lots > 0:
                if ticks <= 0:
                    raise malformed(f"price tick {ticks} is not positive")
                self.bids[ticks] = lots
                if self.best_bid is None or ticks > self.best_bid:
                    self.best_bid = ticks
            elif lots == 0:
                if self.bids.pop(ticks, None) is not None and ticks == self.best_bid:
                    self.best_bid = max(self.bids, default=None)
            else:
                raise malformed(f"negative size at bid tick {ticks}")
        for ticks, lots in asks:
            if lots > 0:
                if ticks <= 0:
                    raise malformed(f"price tick {ticks} is not positive")
                self.asks[ticks] = lots
                if self.best_ask is None or ticks < self.best_ask:
                    self.best_ask = ticks
            elif lots == 0:
                if self.asks.pop(ticks, None) is not None and ticks == self.best_ask:
                    self.best_ask = min(self.asks, default=None)
            else:
                raise malformed(f"negative size at ask tick {ticks}")
        self.check()

    def check(self) -> None:
        """Raise StreamBroken unless the book can be true: not crossed, bounded."""
        if self.best_bid is not None and self.best_ask is not None and self.best_bid >= self.best_ask:
            raise malformed(f"crossed book: bid tick {self.best_bid}, ask tick {self.best_ask}")
        if len(self.bids) > LEVELS_MAX or len(self.asks) > LEVELS_MAX:
            raise malformed(f"more than {LEVELS_MAX} levels a side")

    def best_of_others(self, own_bids: Mapping[int, int], own_asks: Mapping[int, int]) -> tuple[int | None, int | None]:
        """Best bid and ask ticks once our own resting lots (ticks -> lots) are taken out.

        The replace removes our quotes before it places new ones, so only other people's can be crossed.
        """
        bid, ask = self.best_bid, self.best_ask
        if bid in own_bids:
            bid = max((ticks for ticks, lots in self.bids.items() if lots > own_bids.get(ticks, 0)), default=None)
        if ask in own_asks:
            ask = min((ticks for ticks, lots in self.asks.items() if lots > own_asks.get(ticks, 0)), default=None)
        return bid, ask
