"""What has reached the maker by now: the last book and reference price it read, and what broke in its hands."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import attrs
import trio

from maker.storms import record as r
from maker.storms.weather import DELTA, DUPLICATE, EMPTY, ENDED, HEARTBEAT, SNAPSHOT
from maker.storms.wires import Link

if TYPE_CHECKING:
    from maker.storms.site import Site

REFERENCE: Final = "reference"  # the port of the reference feed
LOOK_LEVELS: Final = 12  # of the book, to find the best level that is not ours: a ladder is half as deep


@attrs.define(eq=False)
class Seen:
    """One maker's."""

    site: Site
    book: dict[str, tuple[Decimal | None, Decimal | None]] = attrs.field(factory=dict)  # others' best, by market
    mids: dict[str, dict[str, Decimal]] = attrs.field(factory=dict)  # by market, of each reference feed
    silences: dict[str, float] = attrs.field(factory=dict)  # by market: since when its references said too little

    def sight(self, market_id: str) -> r.Sight:
        """What had reached the maker by now."""
        now = trio.current_time() + self.site.weather.slept_seconds
        stream = self.site.stream_of.get(market_id)
        is_open = stream is not None and stream.client is not None and not stream.client.closed
        bid, ask = self.book.get(market_id, (None, None))
        return r.Sight(
            stream_connection=stream.number if stream is not None and is_open else None,
            stream_age=now - stream.heard_at if stream is not None and stream.heard_at is not None else float("inf"),
            stream_sound=stream is not None and stream.sound,
            reference_age=now - self.references_heard_at(market_id),
            best_bid=bid,
            best_ask=ask,
            index=self.site.exchange.index(market_id),
            reference_mids=tuple(self.mids.get(market_id, {}).values()),
        )

    def cut(self, link: Link) -> None:
        """The maker has read the end of a connection, or that it is broken."""
        if link.client is None or link.client.is_ghost or link.client.closed:
            return
        if link.market_id:
            self.broken(link, link.market_id, ENDED)
        elif link.source:
            markets = [one for one in self.site.record.terms.markets if self.too_few(one, without=link)]
            exposed = self.site.exposed and any(self.site.exposed_on(one) for one in markets)
            self.site.record.add(r.ReferenceBroken(at=trio.current_time(), exposed=exposed))

    def heard(self, link: Link) -> None:
        """The maker is about to read a byte, or closes: note a silence that was too long."""
        now, terms = trio.current_time(), self.site.record.terms
        if link.heard_at is None or link.owner != r.MAKER or not (link.market_id or link.source):
            return
        if not link.market_id:
            self.heard_reference(now)
        elif now - link.heard_at > terms.stream_silent_seconds_max:
            self.site.record.add(r.FeedSilent(at=now, feed="stream", market_id=link.market_id, since=link.heard_at))

    def heard_reference(self, now: float) -> None:
        """Note that too few feeds of a market had said anything for too long; once for each such silence."""
        limit = self.site.record.terms.reference_stale_seconds_max
        for market_id in self.site.record.terms.markets:
            since = self.references_heard_at(market_id)
            if now - since > limit and since > 0.0 and self.silences.get(market_id) != since:
                self.silences[market_id] = since
                self.site.record.add(r.FeedSilent(at=now, feed="reference", market_id=market_id, since=since))

    def references_heard_at(self, market_id: str) -> float:
        """When the last of as many feeds as a market needs was heard, freshest first; -inf: too few are open."""
        terms = self.site.record.terms.markets[market_id]
        heard = sorted((self.feed_heard_at(name) for name in terms.sources), reverse=True)
        return heard[terms.sources_min - 1]

    def feed_heard_at(self, name: str) -> float:
        feed = self.site.feed_of.get(name)
        if feed is None or feed.heard_at is None or feed.client is None or feed.client.closed:
            return float("-inf")
        return feed.heard_at

    def too_few(self, market_id: str, *, without: Link) -> bool:
        """Whether a market has too few feeds once one is gone; one that may just have gone stale still counts."""
        terms, now = self.site.record.terms, trio.current_time()
        one = terms.markets[market_id]
        others = [name for name in one.sources if self.site.feed_of.get(name) is not without]
        fresh = [name for name in others if now - self.feed_heard_at(name) <= terms.reference_stale_seconds_max]
        return len(others) < len(one.sources) and len(fresh) < one.sources_min

    def read_mids(self, source: str, mids: dict[str, Decimal]) -> None:
        """The maker has read what a reference feed says, by market."""
        for market_id, mid in mids.items():
            self.mids.setdefault(market_id, {})[source] = mid

    def read_event(
        self, link: Link, market_id: str, meaning: str, seen: tuple[Decimal | None, Decimal | None] | None
    ) -> None:
        """The maker has read an event of a stream."""
        at = trio.current_time()
        if link.client is None or link.client.is_ghost:
            return
        if meaning == DELTA and link.sound:
            self.site.weather.later.add(market_id)
        if meaning in (SNAPSHOT, EMPTY):
            link.sound = True
            if meaning == EMPTY:
                self.book.pop(market_id, None)
            self.site.record.add(r.SnapshotRead(at=at, market_id=market_id, connection=link.number))
        elif meaning == DUPLICATE:
            self.site.record.add(r.DuplicateRead(at=at, market_id=market_id, connection=link.number))
        elif meaning not in (DELTA, HEARTBEAT):
            self.broken(link, market_id, meaning)
        if seen is not None:
            self.book[market_id] = seen

    def broken(self, link: Link, market_id: str, what: str) -> None:
        """The maker has read what breaks a stream; one whose process stands still has not."""
        if link.sound and link.client is not None and not link.client.is_ghost:
            link.sound = False
            self.site.record.add(
                r.BrokenRead(
                    at=trio.current_time(),
                    market_id=market_id,
                    connection=link.number,
                    what=what,
                    exposed=self.site.exposed,
                )
            )

    def others_best(self, market_id: str) -> tuple[Decimal | None, Decimal | None]:
        """The best bid and ask that are not ours."""
        ours: dict[Decimal, Decimal] = {}
        if self.site.orders:
            for order in self.site.exchange.open_orders(self.site.user_id, market_id):
                if order.price is not None:
                    ours[order.price] = ours.get(order.price, Decimal(0)) + order.remaining
        bids, asks = self.site.exchange.book_levels(market_id, LOOK_LEVELS)
        return first_of_others(bids, ours), first_of_others(asks, ours)


def first_of_others(levels: list[tuple[Decimal, Decimal]], ours: dict[Decimal, Decimal]) -> Decimal | None:
    return next((price for price, size in levels if size > ours.get(price, 0)), None)
