"""One market as the desk sees it: book, account, fair value, what was quoted, and why it may not be quoted now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import attrs

from maker.desk.account import MarketAccount
from maker.desk.allocation import Looked, Shape
from maker.desk.book import Book
from maker.desk.breakers import Burst
from maker.desk.deadman import Reason
from maker.desk.events import FeesRead, Fill, LadderPlaced, Liquidity, MarketSpec, PreviewRead
from maker.desk.fair import FairSettings, FairValue, FairValueEstimator, NoFair
from maker.desk.funding import NO_LEAN, FundingSettings, target_lots
from maker.desk.intensity import IntensitySettings
from maker.desk.jumps import Jumps
from maker.desk.ladder import Ladder, LadderSettings
from maker.desk.margin import worst_lots
from maker.desk.pricing import Pricing
from maker.desk.profit import BookedFill
from maker.desk.risk import Limits, beyond_limit
from maker.desk.setbacks import Setbacks
from maker.desk.spread import SpreadModel
from maker.desk.terms import Terms
from maker.desk.units import SUBTICKS, ticks_down
from maker.desk.volatility import VolatilitySettings
from maker.desk.worth import Worth
from maker.errors import MakerError

MARGIN_CODE = "INSUFFICIENT_MARGIN"
DUPLICATE_CODE = "DUPLICATE_CLIENT_ORDER_ID"
CROSS_CODE = "POST_ONLY_WOULD_CROSS"
NOT_OF_SIZE = (MARGIN_CODE, DUPLICATE_CODE, CROSS_CODE)  # the documented ones; how it names the others is not


class GridChanged(MakerError):
    """The grid under our integers is another one now."""


@attrs.frozen
class CycleSettings:
    """When a ladder is replaced."""

    requote_bps: Decimal  # the wanted innermost quote has moved this far from the resting one
    requote_seconds_min: float  # a market, between two replaces
    quote_age_seconds_max: float
    stream_silent_seconds_max: float  # 1.5 heartbeats
    stream_fresh_seconds_max: float  # no new ladder on a stream unheard for this long


@attrs.frozen
class MarketSettings:
    """All of one market's parameters."""

    account: MarketAccount
    fair: FairSettings
    volatility: VolatilitySettings
    ladder: LadderSettings
    limits: Limits
    model: SpreadModel
    model_name: str
    intensity: IntensitySettings
    funding: FundingSettings = NO_LEAN


@attrs.define
class MarketDesk:
    """What the desk knows of one market."""

    account: MarketAccount
    fair: FairValueEstimator
    ladder_settings: LadderSettings
    limits: Limits
    pricing: Pricing
    book: Book = attrs.field(factory=Book)
    live: bool = False  # a snapshot came and nothing has broken the stream since
    lost: bool = False  # since the last snapshot the stream was said to be lost, and what follows from it was done
    lost_detail: str = "its stream has not sent a snapshot yet"
    heard_at: float | None = None  # last byte of the stream, our clock
    engine_ms: int = 0  # the exchange's time of the last event of the stream ...
    engine_at: float = 0.0  # ... and ours
    halted: bool = False  # the exchange says so; over when its listing says that it trades
    resnapshot_due: bool = False  # it was halted: what its stream said before is void
    orders_known: bool = True
    quoted: Ladder | None = None  # what the last applied replace asked for
    quoted_at: float = 0.0
    quoted_as: Shape | None = None
    sent: Ladder | None = None  # in flight
    sent_as: Shape | None = None
    looked: Looked | None = None  # since the last ladder was placed
    waits_since: float | None = None  # a request is due for another reason than price and age, since this decision
    refused: Ladder | None = None  # never sent again unchanged
    nothing: str = ""  # why the last decision found no ladder to send, though this market may be quoted
    outside_band: bool = False  # ... for its fair value is outside the exchange's price band
    unvalued_since: float | None = None  # what its position is worth has not been known since, our clock
    disturbed: str = ""  # why the resting ladder, or the one in flight, is not what we want, besides price and age
    disturbed_before: str = ""  # ... what rests beside the one in flight, which puts that right if it is placed
    setbacks: Setbacks = attrs.field(factory=Setbacks)  # of its ladders
    terms: Terms = attrs.field(factory=Terms)
    funding: FundingSettings = NO_LEAN
    funding_rate: Decimal | None = None  # as last polled, with the mark
    unexplained_since: float | None = None
    unexplained_read_at: float | None = None  # the first account read that did not explain the position
    burst: Burst = attrs.field(init=False)
    jumps: Jumps = attrs.field(init=False)
    worth: Worth = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.burst = Burst(self.account.spec.grid, self.limits)
        self.jumps = Jumps(self.limits)
        self.worth = Worth(self.account)

    @property
    def limit_lots(self) -> int:
        """The largest position, either side; from there on only exits are quoted."""
        return self.account.spec.grid.size.count_down(self.limits.position_limit)

    @property
    def whole_lots(self) -> int:
        """What is configured for the innermost level, the smallest of them."""
        return self.account.spec.grid.size.count_down(self.ladder_settings.level_size)

    @property
    def market_id(self) -> str:
        return self.account.spec.market_id

    @property
    def position_text(self) -> str:
        """The position in base units, signed."""
        return self.account.spec.grid.size.text(self.account.position_lots)

    def exchange_ms(self, now: float) -> int | None:
        """The exchange's time now, by what its stream told last; None before that."""
        return self.engine_ms + int((now - self.engine_at) * 1000) if self.engine_ms else None

    # -- fills

    def filled(self, fill: Fill, now: float) -> BookedFill | None:
        """Book a fill once, in every book; None for one that is known already."""
        origin = self.account.origin(fill)
        if not self.account.fill(fill):
            return None
        self.disturbed = "filled"
        self.burst.add(fill, self.exchange_ms(now), now)
        fair = self.fair.value(now)
        if isinstance(fair, FairValue):
            self.pricing.filled(fair, fill)
        booked = BookedFill(fill, now, origin.quote_id, origin.level, self.fair_subticks(now), self.worth.mark)
        self.worth.filled(booked)
        return booked

    def fair_subticks(self, now: float) -> int | None:
        """The fair value in subticks; None where there is none."""
        fair = self.fair.value(now)
        return fair.subticks if isinstance(fair, FairValue) else None

    def broken(self, now: float) -> Iterator[tuple[Reason, str]]:
        """Its limits that are broken, and by what; the position's may be, and the fills that made it so too."""
        if self.account.overfilled:
            yield Reason.OVERFILLED, self.account.overfilled
        burst = self.burst.exceeded(now)
        if burst is not None:
            yield burst
        beyond = beyond_limit(self.account, self.limits)
        if beyond:
            yield Reason.POSITION_LIMIT, beyond

    # -- its listing

    def relisted(self, spec: MarketSpec) -> None:
        """Take new bands and fees. Raises GridChanged: every integer we hold would mean another price."""
        if spec.grid != self.account.spec.grid:
            raise GridChanged(f"{spec.market_id}: the exchange changed its tick or step size; start again to take it")
        self.account.spec = self.at_previewed_fees(spec)
        self.looked = None

    def at_previewed_fees(self, spec: MarketSpec) -> MarketSpec:
        """A listing at the fees that a preview has told since: a listing states those of the start."""
        maker, taker = Liquidity.MAKER, Liquidity.TAKER
        return attrs.evolve(
            spec,
            maker_fee_bps=self.terms.fee_bps(maker, spec.maker_fee_bps),
            taker_fee_bps=self.terms.fee_bps(taker, spec.taker_fee_bps),
        )

    def previewed(self, read: PreviewRead, now: float) -> str:
        """Take what an order of ours would take. Returns a sentence for the log when a fee is another one."""
        note = self.terms.learn(read, self.account.spec.fee_bps(read.liquidity), now)
        self.account.spec = self.at_previewed_fees(self.account.spec)
        return note

    def fees_read(self, read: FeesRead, preview_seconds: float, now: float) -> str:
        """Take fees read with the listing. Returns a sentence for the log when one is another."""
        note = self.terms.read(read, {one: self.account.spec.fee_bps(one) for one in Liquidity}, preview_seconds, now)
        self.account.spec = self.at_previewed_fees(self.account.spec)
        if note:
            self.looked = None
        return note

    # -- margin and funding

    def lot_margin(self, ratio: Decimal, preview_seconds: float, now: float) -> Decimal:
        """Initial margin of one lot in quote currency; `ratio` of its value until previews taught another one."""
        return self.price(now) * self.account.spec.grid.size.step * self.terms.margin_ratio(ratio, preview_seconds, now)

    def target_lots(self) -> int:
        """The position to lean towards for its funding, signed; 0 where that is not configured."""
        return target_lots(self.funding_rate, self.limit_lots, self.funding)

    # -- holding back

    def passed(self, fair: FairValue) -> str:
        """Say which of our orders fair value has passed; empty: none.

        What rests stays while nothing may replace it, for that is short and a pull is everybody's; not at such a price.
        """
        for order in self.account.resting.values():
            if order.side.sign * (order.ticks * SUBTICKS - fair.subticks) >= 0:
                price = self.account.spec.grid.price.text
                passed = f"a {order.side.value} at {price(order.ticks)} rests, fair value is"
                return f"{passed} {price(ticks_down(fair.subticks))}"
        return ""

    def margin_refused(self, now: float) -> str:
        """The next ladder is smaller, the same one is never sent again. Returns the sentence for the log."""
        assert self.refused is not None, "what was refused is noted first"
        self.setbacks.margin_refused(self.refused, now)
        self.terms.asked_again = True
        factor = self.setbacks.refusals.size_factor
        return f"{self.market_id}: margin refused, the next ladder is at {factor} of its size"

    @property
    def frozen_until(self) -> float:
        """When the last freeze ends, our clock."""
        return max(self.jumps.frozen_until, self.burst.frozen_until)

    def follow_fair(self, now: float) -> str:
        """Look at the fair value after a fact that may have moved it. The sentence of a jump, empty without one."""
        fair = self.fair.value(now)
        return "" if isinstance(fair, NoFair) else self.jumps.seen(fair.subticks, now)

    def halt(self, now: float) -> None:
        """The exchange does not trade this market: no order error, and nothing to try before its listing changes."""
        self.halted = True
        self.setbacks.hold(now, "the exchange had halted this market")

    def trading_again(self) -> None:
        """The listing says that it trades: start again from a new snapshot."""
        if self.halted:
            self.halted, self.resnapshot_due = False, True
            self.live, self.lost, self.lost_detail = False, True, "it was halted"

    def not_quoting(self, cycle: CycleSettings, now: float) -> str:
        """Why this market is not quoted now, as a sentence; empty when it may be."""
        if self.halted:
            return "the exchange has halted this market; waiting for its listing to say that it trades"
        if not self.live:
            return f"{self.lost_detail}; waiting for a new snapshot"
        if self.heard_at is None or now - self.heard_at > cycle.stream_fresh_seconds_max:
            return "its stream has not been heard lately"
        if not self.orders_known:
            return "what rests there is not known; reading it back"
        fair = self.fair.value(now)
        if isinstance(fair, NoFair):
            return fair.reason
        frozen = self.jumps.frozen(now) or self.burst.frozen(now)
        if frozen:
            return frozen
        held = self.setbacks.held(now)
        if held:
            return held
        if self.unexplained_since is not None:
            return "its position and our fills disagree; waiting for the rest of the news"
        return ""

    # -- what became of a ladder

    def ladder_begun(self, ladder: Ladder, shape: Shape) -> None:
        """It is about to leave. What goes wrong from here on it cannot put right: it was built before."""
        self.sent, self.sent_as = ladder, shape
        self.disturbed_before, self.disturbed = self.disturbed, ""

    def ladder_placed(self, event: LadderPlaced, now: float) -> list[str]:
        """The replace was applied, whole or in part. Returns sentences for the log."""
        self.orders_known = self.account.placed(event.orders, event.engine_ms, now)
        self.quoted, self.sent = self.sent, None
        self.quoted_as, self.sent_as = self.sent_as, None
        self.looked = self.waits_since = None
        self.quoted_at = now
        self.setbacks.failures = 0
        codes = set(event.codes.values())
        if codes:
            # Once: what rests is what the exchange takes of it, and the next ladder may have the same fault.
            self.disturbed = self.disturbed if self.setbacks.partly else "levels were refused"
            self.setbacks.levels_refused(codes, now, nothing_rests=not self.account.resting)
        elif event.orders is not None:
            self.setbacks.partly = 0
        self.refused = self.quoted if codes else None
        if DUPLICATE_CODE in codes:
            self.orders_known = False  # it was applied before, so it may rest
        if MARGIN_CODE in codes:
            return [self.margin_refused(now)]
        self.setbacks.refusals.accepted(now)
        return []

    def sizes_answered(self, event: LadderPlaced, now: float) -> list[str]:
        """Learn which sizes are accepted, while the ladder is in flight. Returns sentences for the log."""
        codes = event.codes
        if event.orders is not None and not codes and self.sent is not None:
            self.setbacks.least.placed(self.sent)
        odd = [named for named, code in codes.items() if code not in NOT_OF_SIZE and named in self.account.pending]
        return self.too_small([self.account.pending[named].lots for named in odd], now)

    def too_small(self, sizes: Sequence[int], now: float) -> list[str]:
        """Orders of so many lots were refused for a reason we do not know. Returns sentences for the log.

        Where the listing states no minimum, a size that was never accepted may be why: none as small is sent for now.
        """
        least, text = self.setbacks.least, self.account.spec.grid.size.text
        if self.account.spec.lots_min or not sizes or not least.refused(min(sizes), self.whole_lots, now):
            return []
        told = f"the exchange states no minimum size, and refused an order of {text(min(sizes))}"
        return [f"{self.market_id}: {told}: none below {text(least.learned)} is sent for {least.until - now:.0f} s"]

    def lots_min(self, now: float) -> int:
        """The least size of an order: the listing's, or what was learned; but a whole level is always tried."""
        return self.account.spec.lots_min or min(self.setbacks.least.lots(now), self.whole_lots)

    def ladder_refused(self) -> None:
        """Nothing of it was placed; whether the old one still rests is not known."""
        self.refused, self.sent, self.looked = self.sent, None, None
        self.account.not_placed()
        self.orders_known = False
        self.disturbed = "the last ladder was refused"

    def ladder_unsent(self) -> None:
        """Nothing was applied: what rested rests."""
        self.account.not_placed()
        self.sent = self.looked = None
        self.disturbed = self.disturbed or self.disturbed_before

    # -- prices

    def worst_value(self, now: float) -> Decimal:
        """Value of the worst-case position in quote currency, at fair value or else at mark."""
        return self.account.spec.grid.size.value(worst_lots(self.account)) * self.price(now)

    def price(self, now: float) -> Decimal:
        """Fair value, or else the mark, or else what the position was entered at; quote per base."""
        fair = self.fair.value(now)
        if isinstance(fair, FairValue):
            return self.account.spec.grid.subticks_price(fair.subticks)
        return self.worth.mark if self.worth.mark is not None else self.account.entry_price
