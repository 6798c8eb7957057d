"""What happened, told twice: one line with one sentence in the log, one row in the journal. Neither ever waits."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

from maker.app.halt import HaltReport
from maker.app.live_record import LiveRecord
from maker.app.record_quotes import QuoteRecord
from maker.app.reload_rules import Change
from maker.desk.deadman import Trip
from maker.desk.engine import Engine
from maker.desk.events import (
    AccountRead,
    Event,
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnknown,
    LadderUnsent,
    PlaceLadder,
    ReferenceLost,
    ReferenceQuote,
    StreamLost,
    StreamSnapshot,
)
from maker.desk.profit import BookedFill, Markout
from maker.desk.units import BPS, exact
from maker.edge import journal, records
from maker.edge.records import unix_ms
from maker.wire import orders

PROFIT_SECONDS: Final = 5.0  # between two rows of the profit table, a market
VITALS_SECONDS: Final = 60.0  # between two lines of what this process uses
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
NUMBERS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")  # a sentence that differs only in its figures is no change of state
QUOTING: Final = "quoting"
NOT_QUOTING: Final = "not quoting"


def in_words(action: PlaceLadder, outcome: orders.LadderOutcome | LadderUnsent) -> tuple[str, str]:
    """An outcome's name in the journal, and its detail."""
    match outcome:
        case LadderPlaced():
            return "applied", action.why if action.quote_value is None else f"{action.why}; {action.quote_value}"
        case LadderRefused():
            return "refused", f"{outcome.status} {outcome.code} {outcome.message}"
        case LadderThrottled():
            return "throttled", f"wait {outcome.seconds:.3f} s"
        case LadderUnsent():
            return "unsent", outcome.detail
        case LadderUnknown():
            return "unknown", outcome.detail


@attrs.define
class Recorder:
    """Log and journal of one run."""

    log: structlog.typing.FilteringBoundLogger
    journal: journal.Journal
    engine: Engine = attrs.field(init=False)
    quotes: QuoteRecord = attrs.field(init=False)
    live: LiveRecord = attrs.field(factory=LiveRecord)
    told: dict[str, str] = attrs.field(factory=dict)  # scope -> the sentence last told, without figures
    positions: dict[str, int] = attrs.field(factory=dict)  # market -> lots last written
    down: set[str] = attrs.field(factory=set)  # reference feeds that are lost
    profit_at: float = 0.0
    vitals_at: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.quotes = QuoteRecord(self.journal)

    @property
    def journal_lost(self) -> str:
        """Why the journal is lost; empty while it is not."""
        return self.journal.lost or ""

    def info(self, event: str, sentence: str, **fields: object) -> None:
        self.log.info(event, sentence=sentence, **fields)

    def warning(self, event: str, sentence: str, **fields: object) -> None:
        self.log.warning(event, sentence=sentence, **fields)

    def crashed(self, error: BaseException) -> None:
        """The error that ended the run, with its traceback."""
        self.log.error("crashed", sentence=f"the run ends with an error: {error!r}", exc_info=error)

    # -- changes of state

    def state(self, scope: str, state: str, sentence: str, *, alarming: bool = False) -> None:
        """One change of state: said once, until it is another one."""
        key = NUMBERS.sub("#", f"{state}: {sentence}")
        if self.told.get(scope) == key:
            return
        self.told[scope] = key
        tell = self.log.warning if alarming else self.log.info
        tell(state, scope=scope, sentence=sentence)
        self.journal.put(records.StateChange(unix_ms(), scope, state, sentence))
        self.live.changed()

    def states(self, now: float) -> None:
        """Each market's state as it is now: quoting, or why not."""
        for note in self.engine.take_notes():
            self.state("maker", "note", note)
        for scope, alarm in self.engine.alarms.items():
            self.state(f"profit {scope}", "does not add up", alarm, alarming=True)
        for what, sentence in self.engine.beside.items():
            self.state(what, "not accounted for", sentence, alarming=True)
        for market_id, why_not in self.engine.states(now):
            market = self.engine.markets[market_id]
            if why_not:
                self.state(market_id, NOT_QUOTING, why_not)
            elif market.account.resting:
                self.state(market_id, QUOTING, "both sides are quoted, or as much as position and margin allow")

    def tripped(self, trip: Trip) -> None:
        self.live.pulled(trip)
        self.state("maker", "pulling", trip.sentence)
        self.quotes.pulled(self.engine)

    def halted(self, report: HaltReport) -> None:
        verified = "read back empty" if report.verified_empty else f"NOT verified, {report.open_orders} orders seen"
        sentence = f"quotes pulled in {report.seconds:.3f} s with {report.cancels_sent} cancel-alls so far: {verified}"
        self.state("maker", "pulled", sentence)
        self.quotes.pulling = self.quotes.pulling and not report.verified_empty

    # -- reloads

    def reloaded(self, sha256: str, changed: Sequence[Change], sentence: str) -> None:
        """Other parameters, or another key, hold from now on; every key with its old and its new value."""
        at_unix_ms = unix_ms()
        self.journal.put(records.Reload(at_unix_ms, True, sha256, sentence))
        for one in changed:
            self.journal.put(records.ReloadChange(at_unix_ms, one.key, one.old, one.new))
        self.info("reloaded", sentence, config_sha256=sha256)

    def not_reloaded(self, sentence: str) -> None:
        """A reload was refused, and nothing was changed."""
        self.journal.put(records.Reload(unix_ms(), False, "", sentence))
        self.warning("not reloaded", sentence)

    # -- facts

    def after(self, event: Event, trip: Trip | None) -> None:
        """Tell what a fact changed."""
        match event:
            case StreamLost():
                self.state(event.market_id, NOT_QUOTING, f"its stream broke ({event.fault.value}: {event.detail})")
            case ReferenceLost():
                self.down.add(event.source)
                self.state(f"reference {event.source}", "down", event.detail)
            case ReferenceQuote() if event.source in self.down:
                self.down.discard(event.source)
                self.state(f"reference {event.source}", "up", "it quotes again")
            case StreamSnapshot():
                self.state(event.market_id, "snapshot", "its stream is live again from a new snapshot")
            case _:
                pass
        if trip is not None:
            self.tripped(trip)
        for booked in self.engine.take_booked():
            self.filled(booked)
        for market in self.engine.markets.values():
            if market.worth.markouts.untaken:
                for markout in market.worth.markouts.take():
                    self.marked_out(markout)
        source = "read" if isinstance(event, AccountRead) else "stream"
        for market_id, market in self.engine.markets.items():
            lots = market.account.position_lots
            if self.positions.get(market_id) != lots:
                self.positions[market_id] = lots
                size = market.account.spec.grid.size
                self.journal.put(records.PositionSeen(unix_ms(), market_id, size.value(lots), source))
        self.quotes.after(event, self.engine)

    def filled(self, booked: BookedFill) -> None:
        fill = booked.fill
        spec = self.engine.markets[fill.market_id].account.spec
        rate = spec.fee_bps(fill.liquidity)
        with exact():
            fee = spec.grid.notional(fill.ticks, fill.lots) * rate / BPS
            fair = None if booked.fair_subticks is None else spec.grid.subticks_price(booked.fair_subticks)
        self.journal.put(
            records.Fill(
                fill.at_ms,
                fill.market_id,
                fill.trade_id,
                fill.order_id or "",
                fill.client_order_id or "",
                fill.side.value,
                spec.grid.price.value(fill.ticks),
                spec.grid.size.value(fill.lots),
                fee,
            )
        )
        self.journal.put(
            records.FillDetail(
                unix_ms(),
                fill.market_id,
                fill.trade_id,
                booked.quote_id,
                booked.level,
                fill.liquidity.value,
                fair,
                booked.mark,
            )
        )
        size, price = spec.grid.size.text(fill.lots), spec.grid.price.text(fill.ticks)
        self.info("fill", f"{fill.side.value} {size} at {price}", market=fill.market_id, trade_id=fill.trade_id)

    def marked_out(self, markout: Markout) -> None:
        fill = markout.booked.fill
        self.journal.put(
            records.Markout(
                unix_ms(), fill.market_id, fill.trade_id, markout.horizon_seconds, markout.quote, markout.bps
            )
        )

    # -- ladders

    def ladder_intended(self, action: PlaceLadder) -> None:
        """Before the first byte: what is about to be sent."""
        market = self.engine.markets[action.market_id]
        grid = market.account.spec.grid
        self.journal.put(
            records.LadderIntent(
                unix_ms(),
                action.quote_id,
                action.market_id,
                grid.subticks_price(action.fair_subticks),
                grid.size.value(market.account.position_lots),
                orders.levels_json(market.account.spec, action),
            )
        )

    def ladder_ended(self, action: PlaceLadder, outcome: orders.LadderOutcome | LadderUnsent, seconds: float) -> None:
        """What became of it. Every ladder that was not simply placed is also a line in the log."""
        word, detail = in_words(action, outcome)
        answered = None if isinstance(outcome, LadderUnknown | LadderUnsent) else seconds
        if answered is not None:
            self.live.answered(answered)
        self.journal.put(records.LadderOutcome(unix_ms(), action.quote_id, action.market_id, word, detail, answered))
        if word != "applied":
            self.warning(f"ladder {word}", detail, market=action.market_id, quote_id=action.quote_id)

    # -- figures

    def vitals(self, now: float) -> None:
        """Say what this process uses, now and then: over days all of it must stay flat (S23)."""
        if now < self.vitals_at:
            return
        self.vitals_at = now + VITALS_SECONDS
        try:
            resident_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
            descriptors = len(os.listdir("/proc/self/fd"))
        except OSError as error:  # no descriptor left to look with: worth a line, and nothing more
            self.warning("vitals", f"cannot be read: {error}")
            return
        tasks = trio.lowlevel.current_statistics().tasks_living
        sentence = f"{resident_bytes / 1e6:.1f} MB resident, {descriptors} descriptors, {tasks} tasks"
        self.info("vitals", sentence, resident_bytes=resident_bytes, descriptors=descriptors, tasks=tasks)
        self.pricing(now)

    def pricing(self, now: float) -> None:
        """Say what each market is priced with, with every line of vitals: model, volatility, A and k, sources."""
        for market_id, market in self.engine.markets.items():
            left_out = list(dict.fromkeys(one.left_out for one in market.fair.states(now) if one.left_out))
            sources = f"; left out: {', '.join(left_out)}" if left_out else "; all sources count"
            self.info("pricing", market.pricing.sentence + sources, market=market_id)

    def sample(self, now: float) -> None:
        """Write the profit, and what rests, now and then."""
        if now >= self.profit_at:
            self.profit_at = now + PROFIT_SECONDS
            self.profit()
        self.quotes.sample(self.engine, now)

    def profit(self) -> None:
        """Write the profit of each market, what made it, and the requests it took."""
        self.quotes.spent(self.engine)
        funding = self.engine.funding_paid()  # of the account; shown with the first market, so that rows still add up
        for market_id, made in self.engine.attributions().items():
            market = self.engine.markets[market_id]
            account, mark = market.account, market.worth.mark
            assert mark is not None, "without a mark nothing is attributed"
            at_unix_ms = unix_ms()
            with exact():
                profit = records.Profit(
                    at_unix_ms=at_unix_ms,
                    market=market_id,
                    position_base=account.spec.grid.size.value(account.position_lots),
                    mark_price_quote=mark,
                    cash_quote=market.worth.cash_from_flat + account.fees,
                    fees_quote=account.fees,
                    funding_quote=funding,
                    equity_quote=market.worth.equity_change - funding,
                )
                attribution = records.Attribution(
                    at_unix_ms=at_unix_ms,
                    market=market_id,
                    spread_quote=made.spread,
                    inventory_quote=made.inventory,
                    fees_quote=made.fees,
                    funding_quote=made.funding,
                    equity_quote=profit.equity_quote,
                    residual_quote=profit.equity_quote - made.total,
                    fills_at_mark=made.fills_at_mark,
                )
            self.journal.put(profit)
            self.journal.put(attribution)
            funding = Decimal(0)
