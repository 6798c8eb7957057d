"""What the world knows of a storm: both sides compared, what must not grow counted, secrets sought, the outcome."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import trio

from maker.paper.accounts import Account
from maker.paper.keys import PAPER_TRADE_SECRET
from maker.storms import record as r
from maker.storms.invariants import judge
from maker.storms.outcome import Outcome
from maker.storms.reached import reached
from maker.storms.weather import READ

if TYPE_CHECKING:
    from maker.storms.world import World

SETTLED_SECONDS: Final = 0.8  # nothing happened on our account for so long: all news of it has arrived
LADDERS_MIN: Final = 10  # of a storm that counts


def compare(world: World) -> None:
    """Compare the maker's books with the exchange's where nothing is on its way (S6)."""
    site, engine, now = world.site, world.recorder.engine, trio.current_time()
    settled = now - site.touched_at >= SETTLED_SECONDS and not site.is_under_way()
    if (
        world.over
        or world.pulling
        or world.weather.active
        or engine.holding is not None
        or engine.account_read_due
        or not settled
    ):
        return
    account: Account = site.exchange.state.accounts[site.user_id]
    for market_id, market in engine.markets.items():
        stream = site.stream_of.get(market_id)
        if not market.live or stream is None or not stream.sound or stream.down.swallows or stream.mumbles:
            continue  # the news is still on its way, or will never come
        if market.account.pending:
            continue  # a ladder was performed, and its answer is on its way
        grid, ours = market.account.spec.grid, market.account
        differences = []
        position = grid.size.value(ours.position_lots)
        if position != account.quantity(market_id):
            differences.append(f"position {position}, the exchange has {account.quantity(market_id)}")
        resting = {
            str(row.client_order_id): (row.price, row.remaining)
            for row in site.exchange.open_orders(site.user_id, market_id)
            if str(row.client_order_id).startswith(world.weather.prefix)
        }
        believed = {
            order.client_order_id: (grid.price.value(order.ticks), grid.size.value(order.lots))
            for order in ours.resting.values()
        }
        if market.orders_known and believed != resting:
            differences.append(f"orders {believed}, the exchange has {resting}")
        world.record.add(r.Compared(at=now, market_id=market_id, differences=tuple(differences)))


def count(world: World) -> None:
    """Count what must not grow, once everything is connected again (S23)."""
    site, now = world.site, trio.current_time()
    if world.over or world.pulling:
        return  # its tasks are ending, or its feeds begin anew
    if any(site.seen.feed_heard_at(name) < 0 for one in world.record.terms.markets.values() for name in one.sources):
        return  # a reference feed is not connected again yet: others carry the price meanwhile
    cycles = sum(site.ladders.values())
    # Idle connections of reads are kept for the next ones: as many as there were reads at once, and bounded.
    kept = [link for link in site.links.values() if link.target != READ]
    open_links = sum(link.client is not None and not link.client.closed for link in kept)
    tasks = len(world.happenings.maker_tasks())
    world.record.add(r.Counted(at=now, tasks=tasks, connections=open_links, cycles=cycles))


def look_for_secrets(world: World) -> None:
    """The key's text must stand nowhere (S18)."""
    secrets = (PAPER_TRADE_SECRET, *world.reloads.secrets)
    at = trio.current_time()
    for where, texts in (("log", world.recorder.lines), ("journal", [repr(row) for row in world.journal.rows])):
        if any(secret in text for text in texts for secret in secrets):
            world.record.add(r.SecretSeen(at=at, where=where))


def outcome(world: World) -> Outcome:
    """What came of it."""
    violations, checked = judge(world.record)
    ladders = sum(world.site.ladders.values())
    bites: dict[str, int] = {}
    while_resting = False
    for entry in world.record.entries:
        if isinstance(entry, r.FaultBit):
            bites[entry.name] = bites.get(entry.name, 0) + 1
        while_resting = while_resting or (isinstance(entry, r.FaultBegan) and entry.resting > 0)
    void = world.void
    if not void and ladders < LADDERS_MIN:
        void = f"only {ladders} ladders"
    if not void and not world.site.trades:
        void = "no fill"
    if not void and world.schedule.faults and not (while_resting and bites):
        void = "no fault met resting quotes"
    return Outcome(
        schedule=world.schedule,
        digest=digest(world.record),
        violations=tuple(violations),
        void=void,
        simulated_seconds=world.ended_at,
        ladders=ladders,
        fills=world.site.trades,
        faults=bites,
        reached=reached(world.record),
        checked=checked,
        crashed="\n".join(world.weather.troubles),
    )


def digest(record: r.Record) -> str:
    """A hash of everything that happened, in order."""
    hashed = hashlib.blake2b(digest_size=16)
    for entry in record.entries:
        hashed.update(repr(entry).encode())
    return hashed.hexdigest()
