"""What each fact changes: streams, reads, and what became of our own ladders.

A fact is booked whole before anything is judged by it. The functions here return a Trip only where the fact itself is
the reason to pull, whatever the limits say; those are looked at afterwards, by the engine.
"""

from __future__ import annotations

from decimal import Decimal

from maker.desk.deadman import Reason, Trip
from maker.desk.events import (
    AccountRead,
    BalanceRead,
    BudgetSeen,
    Event,
    FeesRead,
    Fill,
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnknown,
    LadderUnsent,
    MarketStats,
    OpenOrdersRead,
    PreviewRead,
    ReadEmpty,
    ReferenceHeard,
    ReferenceLost,
    ReferenceQuote,
    SpecRead,
    StreamDelta,
    StreamHeard,
    StreamLost,
    StreamSnapshot,
)
from maker.desk.fair import NoFair
from maker.desk.market import MARGIN_CODE, NOT_OF_SIZE, MarketDesk
from maker.desk.state import DeskState
from maker.desk.units import exact
from maker.errors import StreamBroken, StreamFault

BAD_REQUEST = 400  # grid, band or fees may be others by now
BY_CONTENT = (BAD_REQUEST, 422)  # what was asked is refused, whoever asks and whenever
HALTED_CODE = "MARKET_HALTED"
POSITION_READ_SECONDS = 2.0  # a fill and its position may come in different reads: until then it is read again
# A snapshot older than what was heard is refused for so long; then the exchange set its clock back. An event further
# ahead than that of what it can be is none at all.
OLD_SECONDS = 60.0
POSITION_REREAD_SECONDS = 0.5  # between two of those reads


def book(desk: DeskState, event: Event, now: float) -> Trip | None:
    match event:
        case StreamDelta() | StreamSnapshot():
            return stream_event(desk, desk.markets[event.market_id], event, now)
        case StreamHeard():
            market = desk.markets[event.market_id]
            start_again(market)
            market.heard_at = now
            market.account.heard(None, now)
        case StreamLost():
            return stream_lost(desk, desk.markets[event.market_id], event)
        case ReferenceQuote():
            for market in desk.markets.values():
                market.fair.quote(event, now)
        case ReferenceHeard():
            for market in desk.markets.values():
                market.fair.heard(event.source, now)
        case ReferenceLost():
            return reference_lost(desk, event, now)
        case MarketStats():
            market = desk.markets[event.market_id]
            market.fair.stats(event, now)
            market.worth.marked(event.mark)
            market.funding_rate = event.funding_rate
        case SpecRead():
            return listed(desk, event, now)
        case FeesRead():
            note = desk.markets[event.market_id].fees_read(event, desk.margin_settings.preview_seconds, now)
            desk.notes.extend([note] if note else [])
        case BudgetSeen():
            desk.budget.seen(event.limit, event.remaining, event.reset_seconds, now)
        case OpenOrdersRead():
            return orders_read(desk, event, now)
        case AccountRead():
            return account_read(desk, event, now)
        case BalanceRead():
            desk.money_read(event, now)
            desk.balances.read(event.balance, now)
            return margin_lost(desk)
        case PreviewRead():
            note = desk.markets[event.market_id].previewed(event, now)
            desk.notes.extend([note] if note else [])
        case ReadEmpty():
            desk.read_empty()
        case _:
            return outcome(desk, event, now)
    return None


def reference_lost(desk: DeskState, event: ReferenceLost, now: float) -> Trip | None:
    """Pull where too few sources are left to price what rests by."""
    for market in desk.markets.values():
        market.fair.lost(event.source)
    for market in desk.markets.values():
        if market.account.exposed and isinstance(market.fair.value(now), NoFair):
            return desk.trip(Reason.REFERENCE_STALE, f"{event.source}: {event.detail}")
    return None


def stream_event(desk: DeskState, market: MarketDesk, event: StreamSnapshot | StreamDelta, now: float) -> Trip | None:
    market.heard_at = now
    account = market.account
    if isinstance(event, StreamDelta):
        start_again(market)
    latest_ms = latest(desk, market, now)
    if latest_ms is not None and event.engine_ms > latest_ms:
        market.live = False
        raise StreamBroken(StreamFault.MALFORMED, f"an event of {event.engine_ms}, when it cannot be past {latest_ms}")
    if isinstance(event, StreamDelta) and not market.live:
        raise StreamBroken(StreamFault.GAP, "a change came while a snapshot is due")
    is_old = isinstance(event, StreamSnapshot) and event.engine_ms < market.engine_ms
    if is_old and now < market.engine_at + OLD_SECONDS:
        raise StreamBroken(
            StreamFault.GAP, f"a snapshot of {event.engine_ms}, older than {market.engine_ms}, heard before"
        )
    try:
        if isinstance(event, StreamSnapshot):
            market.book.load(event.bids, event.asks)
        else:
            market.book.apply(event.bids, event.asks)
    except Exception:
        market.live = False  # in the same step as the discovery; whoever feeds us then says StreamLost
        raise
    market.engine_ms, market.engine_at = event.engine_ms, now
    for fill in event.fills:
        book_fill(desk, market, fill, now)
    if isinstance(event, StreamSnapshot):
        account.positions_whole(event.positions)
        market.live, market.lost, market.resnapshot_due = True, False, False
    else:
        for seen in event.positions:
            account.position(seen)
        account.positions_removed(event.removed_position_ids)
    if event.fills or event.positions or isinstance(event, StreamSnapshot) or event.removed_position_ids:
        desk.explain(now)
    account.heard(event.engine_ms, now)
    desk.exchange_ms = max(desk.exchange_ms or 0, event.engine_ms)
    if account.explained:
        market.unexplained_since = market.unexplained_read_at = None
    elif market.unexplained_since is None:
        market.unexplained_since = now
    return None


def latest(desk: DeskState, market: MarketDesk, now: float) -> int | None:
    """The latest exchange time that an event may bear now; None where nothing is known of it.

    By what the stream told last or by this machine's clock, whichever allows more: ours stands still while a virtual
    machine does. What was believed would end the day whose losses are counted, and no day would begin for a long time.
    """
    told_ms, unix_ahead = market.exchange_ms(now), desk.unix_ahead_seconds
    known = [told_ms] if told_ms is not None else []
    if unix_ahead is not None:
        known.append(int((now + unix_ahead) * 1000))
    return max(known) + int(OLD_SECONDS * 1000) if known else None


def stream_lost(desk: DeskState, market: MarketDesk, event: StreamLost) -> Trip | None:
    """Pull for a stream that broke; not again for each vain reconnection, while others are quoted."""
    market.live, market.lost_detail = False, f"its stream broke ({event.fault.value}: {event.detail})"
    if market.lost and not market.account.exposed:
        return None
    market.lost = True
    desk.account_read_due = f"the stream of {event.market_id} broke"
    return desk.trip(Reason.STREAM_BROKEN, f"{event.market_id} {event.fault.value}: {event.detail}")


def book_fill(desk: DeskState, market: MarketDesk, fill: Fill, now: float) -> None:
    booked = market.filled(fill, now)
    if booked is None:
        return
    desk.new_fills.append(booked)
    if fill.client_order_id and not desk.identity.is_ours(fill.client_order_id):
        # A liquidation or somebody else, told as a trade: it explains its position, so nothing else would notice it.
        size = market.account.spec.grid.size.text(fill.lots)
        stranger = f"{size} of order {fill.client_order_id}, which is not ours, trade {fill.trade_id}"
        market.account.overfilled = market.account.overfilled or stranger


def orders_read(desk: DeskState, read: OpenOrdersRead, now: float) -> Trip | None:
    """Believe what rests. An order we do not know is pulled with everything else."""
    strange = [order for order in read.orders if order.market_id not in desk.markets]
    strangers = [f"{order.market_id} {order.client_order_id or order.order_id}" for order in strange]
    for market in desk.markets.values():
        before = set(market.account.resting)
        unknown = market.account.orders_read(read, now)
        strangers.extend(f"{order.market_id} {order.client_order_id or order.order_id}" for order in unknown)
        market.orders_known = True
        if set(market.account.resting) != before:
            market.disturbed = "what rests is not the ladder we placed"
    if strangers:
        return desk.trip(Reason.ORDERS_DISAGREE, ", ".join(strangers[:3]), exposed=True)
    return None


def account_read(desk: DeskState, read: AccountRead, now: float) -> Trip | None:
    """Take a complete read of positions, trades and balance, made while nothing of ours rested.

    A position that it does not explain is read again, for trades may be told later than positions; one that stays
    unexplained was changed by a liquidation or by somebody else, and a person must look.
    """
    for fill in read.fills:
        if fill.market_id in desk.markets:
            book_fill(desk, desk.markets[fill.market_id], fill, now)
    desk.account_read_due = ""
    desk.look_elsewhere(read)
    trip: Trip | None = None
    for market in desk.markets.values():
        account = market.account
        account.positions_whole(read.positions)
        if account.explained:
            market.unexplained_since = market.unexplained_read_at = None
            continue
        size = account.spec.grid.size
        detail = f"{market.market_id}: position {size.text(account.position_lots)}, our fills say "
        detail += size.text(account.position_summed_lots)
        if market.unexplained_read_at is None:
            market.unexplained_read_at = now
        elif now - market.unexplained_read_at >= POSITION_READ_SECONDS:
            trip = trip or desk.trip(Reason.POSITION_UNEXPLAINED, detail)
        desk.account_read_due = f"{detail}; reading it again"
        desk.account_read_after = now + POSITION_REREAD_SECONDS
    desk.money_read(read, now)
    desk.explain(now)
    with exact():
        explained = sum((market.worth.balance_change for market in desk.markets.values()), Decimal(0))
    desk.book_balance(read.balance, explained, now)
    desk.balances.read_whole(desk.funding.received)
    return trip or margin_lost(desk)


def listed(desk: DeskState, event: SpecRead, now: float) -> Trip | None:
    """Take a listing read again: bands, fees, and whether the market trades."""
    market = desk.markets[event.spec.market_id]
    market.relisted(event.spec)
    if event.active:
        market.trading_again()
        return None
    return halt(desk, market, f"{market.market_id}, as its listing says", now)


# -- outcomes of our own ladders


def outcome(desk: DeskState, event: Event, now: float) -> Trip | None:
    match event:
        case LadderPlaced():
            desk.ladders_placed += 1
            market = desk.markets[event.market_id]
            desk.notes.extend(market.sizes_answered(event, now))
            trip = margin(desk, market, market.ladder_placed(event, now))
            if HALTED_CODE in event.codes.values():
                trip = halt(desk, market, market.market_id, now) or trip
            return trip
        case LadderRefused():
            return refusal(desk, desk.markets[event.market_id], event, now)
        case LadderThrottled():
            desk.budget.throttled(event.seconds, now)
            desk.markets[event.market_id].ladder_unsent()
            return None
        case LadderUnsent():
            market = desk.markets[event.market_id]
            market.ladder_unsent()
            return failure(desk, market, event.detail, now)
        case LadderUnknown():
            market = desk.markets[event.market_id]
            market.orders_known = False
            desk.account_read_due = f"the outcome of a ladder on {event.market_id} is unknown"
            # Also where fills seem to have used up all of it: which order a fill belongs to may be a guess.
            detail = f"{event.market_id} {event.quote_id}: {event.detail}"
            return desk.trip(Reason.OUTCOME_UNKNOWN, detail, exposed=True)
        case _:
            raise AssertionError(f"no such fact: {event!r}")


def refusal(desk: DeskState, market: MarketDesk, event: LadderRefused, now: float) -> Trip | None:
    """Refused whole. Whether the old ladder still rests is not documented: read it back."""
    market.ladder_refused()
    if event.code == MARGIN_CODE:
        return margin(desk, market, [market.margin_refused(now)])
    if event.code == HALTED_CODE:
        return halt(desk, market, market.market_id, now)
    desk.listing_due = desk.listing_due or event.status == BAD_REQUEST
    if event.status in BY_CONTENT and event.code not in NOT_OF_SIZE and market.refused is not None:
        notes = market.too_small(market.refused.sizes, now)
        desk.notes.extend(notes)
        if notes:
            return None  # no failure: the next ladder is another, and follows at once
    return failure(desk, market, f"{event.status} {event.code} {event.message}", now, refused=True)


def halt(desk: DeskState, market: MarketDesk, detail: str, now: float) -> Trip | None:
    """The exchange does not trade a market. Nothing is pulled where nothing of it rests: the others do trade."""
    market.halt(now)
    return desk.trip(Reason.MARKET_HALTED, detail, exposed=market.account.exposed)


def margin(desk: DeskState, market: MarketDesk, notes: list[str]) -> Trip | None:
    """Say that margin was refused; repeatedly: pull, for what rests stands on margin that is not there."""
    desk.notes.extend(notes)
    if notes:
        desk.margin.refused()
    if notes and not market.setbacks.refusals.in_row:  # it has just begun to be held
        return desk.trip(Reason.MARGIN_REFUSED, market.market_id)
    return None


def margin_lost(desk: DeskState) -> Trip | None:
    """Stop where positions leave too little margin; without one nothing can be lost, and quoting stands still."""
    if desk.margin.lost and any(market.account.position_lots for market in desk.markets.values()):
        return desk.trip(Reason.MARGIN_HEADROOM, desk.margin.lost)
    return None


def failure(desk: DeskState, market: MarketDesk, detail: str, now: float, *, refused: bool = False) -> Trip | None:
    """A ladder failed; repeatedly: pull. What is refused is one market's matter, a wire is everybody's."""
    if market.setbacks.failed(detail, now, refused=refused):
        exposed = market.account.exposed if refused else desk.exposed
        return desk.trip(Reason.ORDERS_FAILING, f"{market.market_id} {detail}", exposed=exposed)
    return None


def start_again(market: MarketDesk) -> None:
    """Raises StreamBroken where a market's stream goes on though what it said is void: its feed connects anew."""
    if market.resnapshot_due:
        market.resnapshot_due = False
        raise StreamBroken(StreamFault.CLOSED, "the market was halted: starting again from a snapshot")
