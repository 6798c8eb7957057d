"""The reference feeds: each is connected to as while quoting, until it has told a price of all that it is asked for.

They are tried side by side: seven dead ones take no longer than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import partial

import attrs
import trio

from maker.app.config import Config
from maker.app.references import Venue
from maker.app.supervisor import reference_venues
from maker.desk.events import Event, ReferenceQuote
from maker.errors import ExitCode, StreamBroken
from maker.preflight.sequence import Sequence, bounded
from maker.preflight.setting import Ways
from maker.preflight.verdict import Finding, failed, ok, warning


def name_of(reference: str) -> str:
    return f"reference.{reference}"


async def all_feeds(sequence: Sequence, config: Config, ways: Ways, *needs: str) -> None:
    """Try every feed, and note each in the order of the configuration. Raises ConfigError."""
    names = [name_of(reference) for reference in config.references]
    if why := sequence.barred(needs):
        sequence.not_made(why, *names)
        return
    venues = {venue.source: venue for venue in reference_venues(config)}
    found: dict[str, Finding] = {}
    seconds = sequence.seconds()

    async def one(venue: Venue) -> None:
        found[venue.source] = await bounded(partial(feed, venue, ways, seconds), seconds + 1.0)

    async with trio.open_nursery() as nursery:
        for venue in venues.values():
            nursery.start_soon(one, venue)
    for reference in config.references:
        sequence.note(name_of(reference), found.get(reference) or unused(reference))


def unused(reference: str) -> Finding:
    return warning(
        "No market has it among its sources: it is never connected to.", f"Use or remove [reference.{reference}]."
    )


async def feed(venue: Venue, ways: Ways, seconds: float) -> Finding:
    """Listen until each symbol has a price, for at most so many seconds."""
    listener = Listener(frozenset(venue.symbols))
    trouble = ""
    with trio.move_on_after(seconds), listener.scope:
        try:
            await ways.follow_reference(venue, listener)
        except StreamBroken as broken:
            trouble = str(broken)
    if not listener.missing:
        return ok(f"{venue.url} tells {in_words(listener.mids)}.")
    missing = ", ".join(sorted(listener.missing))
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

    @property
    def missing(self) -> frozenset[str]:
        return self.symbols - frozenset(self.mids)

    def deliver(self, event: Event) -> None:
        if isinstance(event, ReferenceQuote) and event.bid > 0 and event.ask > 0:
            self.mids[event.symbol] = (event.bid + event.ask) / 2
            if not self.missing:
                self.scope.cancel(reason="every symbol has a price")
