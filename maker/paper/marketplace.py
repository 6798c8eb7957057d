"""The practice exchange with the world around it: reference paths, index, other traders, funding, step by step.

Pure. Step n happens at `start_ms + n * STEP_MS`: the reference moves, the index follows, the crowd trades, funding and
liquidations are looked after. What users do comes in between, at times of its own that never run backwards. One seed
and the same calls at the same times are one history; `snapshot` and `restore` continue it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from maker.paper.exchange import Exchange
from maker.paper.market import MarketSpec
from maker.paper.orders import CancelScope
from maker.paper.prices import LOOKAHEAD_STEPS, STEP_MS, ReferencePath, ReferenceQuote, prehistory
from maker.paper.reference_venues import ReferenceVenue
from maker.paper.state import ChangeSink, ExchangeSettings
from maker.paper.traders import Crowd, CrowdOrder, CrowdView

SNAPSHOT_VERSION: Final = 1
STILL: Final = "still"  # a preset without other traders and with an index that stands: for transcripts and tests
MAKERS: Final = "crowd-makers"  # two accounts, or self-trade prevention would keep the crowd from trading with itself
TAKERS: Final = "crowd-takers"

# Steps between the answer and the effect of a cancel-all under the switch cancel_all_answer="before". Two whole steps
# at least, so that the answer has left and a read right after it still shows the orders.
CANCEL_ALL_DELAY_STEPS: Final = 3


@attrs.define(eq=False)
class Surroundings:
    """What moves one market besides its users."""

    path: ReferencePath
    crowd: Crowd
    resting: dict[str, str] = attrs.field(factory=dict)  # order id by tag: the crowd's quotes, a few dozen


@attrs.frozen
class DelayedCancel:
    """A cancel-all that was answered and has its effect at a later step."""

    step: int
    user_id: str
    scope: CancelScope


def reference_symbol(spec: MarketSpec) -> str:
    """Name the reference venue's symbol for a market's underlying."""
    return f"{spec.base}-USD"


class Marketplace:
    """An exchange and its surroundings at one moment."""

    def __init__(
        self,
        settings: ExchangeSettings,
        *,
        preset: str,
        start_ms: int,
        on_change: ChangeSink | None = None,
        step_ms: int = STEP_MS,
    ) -> None:
        """Open at `start_ms` and make the first step; raises ValueError for an unknown preset (prices.PATH_PRESETS).

        With a longer `step_ms` the same history takes longer: a slow market.
        """
        self.preset = preset
        self.step_ms = step_ms
        self.start_ms = start_ms
        self.now_ms = start_ms  # the time of the last thing that happened
        self.steps = 0  # made so far
        self.delayed: list[DelayedCancel] = []
        self.exchange = Exchange(settings, now_ms=start_ms, on_change=on_change)
        self.surroundings: dict[str, Surroundings] = {}
        for spec in settings.markets:
            if spec.tradable and preset != STILL:
                path = ReferencePath(reference_symbol(spec), spec.index_start, preset, settings.seed)
                crowd = Crowd(
                    spec.market_id,
                    preset,
                    settings.seed,
                    tick=spec.tick_size,
                    step=spec.step_size,
                    minimum=spec.quantity_min,
                )
                self.surroundings[spec.market_id] = Surroundings(path, crowd)
                closes = prehistory(path.symbol, spec.index_start, preset, settings.seed)
                self.exchange.state.market(spec.market_id).candles.before(closes, start_ms)
        self._open_crowd()
        self.step()

    def _open_crowd(self) -> None:
        self.exchange.open_crowd(MAKERS)
        self.exchange.open_crowd(TAKERS)

    @property
    def due_ms(self) -> int:
        """Return when the next step is due, unix milliseconds."""
        return self.start_ms + self.steps * self.step_ms

    @property
    def seconds(self) -> float:
        """Return how much history there is, up to the last step."""
        return (self.steps - 1) * self.step_ms / 1000

    def at(self, now_ms: int) -> int:
        """Note that something happens now and return the time it happens at, never before what already happened."""
        self.now_ms = max(self.now_ms, now_ms)
        return self.now_ms

    def shift(self, later_ms: int) -> None:
        """Put off all steps to come: the world stood still meanwhile."""
        assert later_ms >= 0
        self.start_ms += later_ms

    def step(self) -> None:
        """Make the next step."""
        number = self.steps
        now_ms = self.at(self.due_ms)
        self.steps += 1
        for due in [each for each in self.delayed if each.step <= number]:
            self.delayed.remove(due)
            self.exchange.cancel_all(due.user_id, due.scope, now_ms)
        for market_id, around in self.surroundings.items():
            if number:
                around.path.advance()
            self.exchange.set_index(market_id, around.path.index(number))
            best_bid, best_ask = self.exchange.best(market_id)
            view = CrowdView(
                best_bid,
                best_ask,
                around.path.index(number),
                around.path.price(number),
                around.path.price(number + LOOKAHEAD_STEPS),
            )
            for order in around.crowd.step(number, view):
                self._crowd_order(market_id, around, order, now_ms)
        self.exchange.advance(now_ms)

    def _crowd_order(self, market_id: str, around: Surroundings, order: CrowdOrder, now_ms: int) -> None:
        """Do what one trader of the crowd wants; a refusal is that trader's loss."""
        if order.kind == "cancel":
            order_id = around.resting.pop(order.tag, None)
            if order_id is not None:
                self.exchange.cancel_crowd_order(MAKERS, order_id, now_ms)
            return
        quotes = order.kind == "quote"
        placed = self.exchange.place_crowd_order(
            MAKERS if quotes else TAKERS,
            market_id,
            order.side,
            order.price,
            order.quantity,
            time_in_force="gtc" if quotes else "ioc",
            post_only=quotes,
            now_ms=now_ms,
        )
        if quotes and placed is not None:
            around.resting[order.tag] = placed.order_id

    def delay_cancel_all(self, user_id: str, scope: CancelScope) -> None:
        """Let a cancel-all have its effect CANCEL_ALL_DELAY_STEPS from now."""
        self.delayed.append(DelayedCancel(self.steps - 1 + CANCEL_ALL_DELAY_STEPS, user_id, scope))

    def reference_quotes(self, venue: ReferenceVenue | None = None) -> dict[str, ReferenceQuote]:
        """Return best bid and ask by symbol as of the last step: the path's own, or what a venue makes of them."""
        paths = [around.path for around in self.surroundings.values()]
        if venue is None:
            return {path.symbol: path.quote(path.step) for path in paths}
        seed, seconds, lag_steps = self.exchange.settings.seed, self.seconds, venue.lag_steps(self.step_ms)
        return {
            path.symbol: path.quote(max(0, path.step - lag_steps), venue.shift_bps(path.symbol, seed, seconds))
            for path in paths
        }

    def is_dead(self, venue: ReferenceVenue) -> bool:
        """Say whether a reference venue is dead as of the last step."""
        return venue.is_dead(self.exchange.settings.seed, self.seconds)

    def snapshot(self) -> dict[str, object]:
        """Return everything as JSON-able values."""
        return {
            "version": SNAPSHOT_VERSION,
            "preset": self.preset,
            "startMs": self.start_ms,
            "nowMs": self.now_ms,
            "steps": self.steps,
            "delayed": [[each.step, each.user_id, attrs.asdict(each.scope)] for each in self.delayed],
            "surroundings": {
                market_id: {
                    "path": around.path.snapshot(),
                    "crowd": around.crowd.snapshot(),
                    "resting": around.resting,
                }
                for market_id, around in self.surroundings.items()
            },
            "exchange": self.exchange.dump(),
        }

    @classmethod
    def restore(
        cls,
        settings: ExchangeSettings,
        snapshot: Mapping[str, Any],
        *,
        preset: str,
        on_change: ChangeSink | None = None,
    ) -> Marketplace:
        """Go on from a snapshot; raises ValueError where it is of another version, preset, seed or list of markets."""
        if snapshot.get("version") != SNAPSHOT_VERSION:
            raise ValueError(f"a marketplace of version {snapshot.get('version')}, this one reads {SNAPSHOT_VERSION}")
        if snapshot["preset"] != preset:
            raise ValueError(f"a marketplace of preset {snapshot['preset']}, this one has {preset}")
        place = cls.__new__(cls)
        place.preset = preset
        place.step_ms = STEP_MS
        place.start_ms = snapshot["startMs"]
        place.now_ms = snapshot["nowMs"]
        place.steps = snapshot["steps"]
        place.delayed = [
            DelayedCancel(step, user_id, CancelScope(**scope)) for step, user_id, scope in snapshot["delayed"]
        ]
        place.exchange = Exchange.load(settings, snapshot["exchange"], on_change=on_change)
        place.surroundings = {
            market_id: Surroundings(
                ReferencePath.restore(around["path"]), Crowd.restore(around["crowd"]), dict(around["resting"])
            )
            for market_id, around in snapshot["surroundings"].items()
        }
        place._open_crowd()
        return place


def best_mid(bid: Decimal | None, ask: Decimal | None) -> Decimal | None:
    """Return the middle of a two-sided book."""
    return None if bid is None or ask is None else (bid + ask) * Decimal("0.5")
