"""The reference feeds: each is connected to as while quoting, until it has told a price of all that it is asked for.

They are tried side by side: seven dead ones take no longer than one. A price that is not near the exchange's own index
would be left out by a run: most often it is another market's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from decimal import Decimal
from functools import partial

import attrs
import trio

from maker.app.config import Config
from maker.app.references import Venue
from maker.app.startup import mark_of
from maker.app.supervisor import reference_venues
from maker.desk.events import Event, ReferenceQuote
from maker.desk.units import BPS
from maker.errors import ExitCode, OcxError, StreamBroken
from maker.preflight.sequence import Sequence, bounded
from maker.preflight.setting import Known, Ways
from maker.preflight.verdict import Finding, Verdict, failed, ok, warning
from maker.wire import ocx, reads


def name_of(reference: str) -> str:
    return f"reference.{reference}"


async def all_feeds(sequence: Sequence, known: Known, *needs: str) -> None:
    """Try every feed, and note each in the order of the configuration. Raises ConfigError."""
    config = known.config
    names = [name_of(reference) for reference in config.references]
    if why := sequence.barred(needs):
        sequence.not_made(why, *names)
        return
    listeners = {venue.source: (venue, Listener(frozenset(venue.symbols))) for venue in reference_venues(config)}
    found: dict[str, Finding] = {}
    prices: dict[str, tuple[str, Decimal]] = {}
    seconds = sequence.seconds()

    async def one(venue: Venue, listener: Listener) -> None:
        found[venue.source] = await bounded(partial(feed, venue, listener, known.ways, seconds), seconds + 1.0)

    async def price(market_id: str) -> None:
        with trio.move_on_after(seconds):
            if told := await price_of(known, market_id):
                prices[market_id] = told

    async with trio.open_nursery() as nursery:
        for venue, listener in listeners.values():
            nursery.start_soon(one, venue, listener)
        for market_id in config.markets.keys() & known.listing.keys():
            nursery.start_soon(price, market_id)
    for reference in config.references:
        finding = found.get(reference) or unused(reference)
        if finding.verdict is Verdict.OK:
            finding = far_off(config, reference, listeners[reference][1].mids, prices) or finding
        sequence.note(name_of(reference), finding)


async def price_of(known: Known, market_id: str) -> tuple[str, Decimal] | None:
    """What the exchange says a listed market is worth, and what that is: its index, else its mark; None: neither."""
    read = partial(reads.market_stats, market_id=market_id)
    with contextlib.suppress(OcxError, ValueError):
        for row in await known.reads.get_once(ocx.MARKET_STATS, read, {"marketId": market_id}):
            if row.market_id == market_id and row.index > 0:
                return "index", row.index
    mark = mark_of(known.listing[market_id])
    return None if mark is None else ("mark", mark)


def far_off(
    config: Config, reference: str, mids: Mapping[str, Decimal], prices: Mapping[str, tuple[str, Decimal]]
) -> Finding | None:
    """Fail a source that a run would leave out for its price; None: it is near enough, or nothing is known of it."""
    for market_id, one in config.markets.items():
        source = one.fair.sources.get(reference)
        if source is None or market_id not in prices:
            continue
        what, price = prices[market_id]
        mid, most = mids[source.symbol], one.fair.basis_bps_max
        bps = abs(mid - price) / price * BPS
        if bps > most:
            apart = f"{bps:.1f} bp apart, basis_bps_max is {most:f}"
            said = f"{source.symbol} is {mid:f}, the {what} of {market_id} {price:f}: {apart}."
            fix = f"Check symbol in market.{market_id}.sources.{reference}: so far off it is left out."
            return failed(said, fix, ExitCode.FAILURES_FOUND)
    return None


def unused(reference: str) -> Finding:
    return warning(
        "No market has it among its sources: it is never connected to.", f"Use or remove [reference.{reference}]."
    )


async def feed(venue: Venue, listener: Listener, ways: Ways, seconds: float) -> Finding:
    """Listen until each symbol has a price, for at most so many seconds."""
    trouble = ""
    with trio.move_on_after(seconds), listener.scope:
        try:
            await ways.follow_reference(venue, listener)
        except StreamBroken as broken:
            trouble = str(broken)
    if not listener.missing:
        return ok(f"{venue.url} tells {in_words(listener.mids)}.")
    missing = ", ".join(sorted(listener.missing))
    crossed = ", ".join(sorted(listener.missing & listener.crossed))
    if crossed and not trouble:
        fix = f"See what is wrong at the venue, or leave {venue.source} out."
        if venue.described is not None:
            fix = "Are described.bid and described.ask swapped?"
        return failed(f"No price of {crossed} from {venue.url}: bid is above ask.", fix, ExitCode.FAILURES_FOUND)
    why = trouble or f"nothing of it within {seconds:.3g} s"
    fix = f"Check url, venue and the symbols in sources.{venue.source}, and whether this machine reaches the venue."
    return failed(f"No price of {missing} from {venue.url}: {why}.", fix, ExitCode.FAILURES_FOUND)


def in_words(mids: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{symbol} {mid:f}" for symbol, mid in sorted(mids.items()))


@attrs.define
class Listener:
    """A door that closes behind the last symbol's first price with two sides."""

    symbols: frozenset[str]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    mids: dict[str, Decimal] = attrs.field(factory=dict)
    crossed: set[str] = attrs.field(factory=set)  # those that had a bid above their ask

    @property
    def missing(self) -> frozenset[str]:
        return self.symbols - frozenset(self.mids)

    def deliver(self, event: Event) -> None:
        if isinstance(event, ReferenceQuote) and event.bid > event.ask > 0:
            self.crossed.add(event.symbol)
        elif isinstance(event, ReferenceQuote) and 0 < event.bid < event.ask:
            self.mids[event.symbol] = (event.bid + event.ask) / 2
            if not self.missing:
                self.scope.cancel(reason="every symbol has a price")
