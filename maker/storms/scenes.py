"""What happens in a storm besides its faults: their order, the quiet after them, customers, and prices that move."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import trio

from maker.storms import audit
from maker.storms import record as r
from maker.storms.weather import Active

if TYPE_CHECKING:
    from maker.storms.world import World

LOOK_SECONDS: Final = 0.2  # of the world at itself
SIMULATED_SECONDS_MIN: Final = 20.0  # of every world, even where the maker ended early
QUIET_SECONDS_MIN: Final = 2.0  # quoting again, before it is told to stop
QUIET_SECONDS_MAX: Final = 62.0  # L2 gives it sixty
COMPARE_SECONDS: Final = 0.5
CLEARED_SECONDS: Final = 3.0  # of quiet: by then nobody else quotes what was right before the storm
SWELL_SECONDS: Final = (0.4, 0.8)  # between two small moves of the price; three times as long after some ladders
SWELL_BPS: Final = (0.8, 2.0)
PULLING: Final = ("cancel_all", "orders")  # requests that are made when quotes are pulled
MOMENT_SECONDS: Final = 0.01  # between two things that a storm does: each is felt before the next
PROVOKE_SECONDS: Final = 2.0  # a fault of theirs waits so long for a pull to come by itself
RESTING_SECONDS_MAX: Final = 1.5  # a fault waits so long for quotes that it may meet
ONCE_SECONDS_MAX: Final = 6.0  # a fault that waits for its moment waits no longer
CUSTOMER_SECONDS: Final = (1.0, 3.0)  # between two customers who take from us
ONE_WAY_SECONDS: Final = (0.4, 1.0)  # ... while all of them take the same side


async def storm(world: World) -> None:
    """Let each fault begin and end at its time."""
    began = trio.current_time()
    moments: list[tuple[float, int, str]] = []
    for index, fault in enumerate(world.schedule.faults):
        moments.append((fault.at, index, "begin"))
        moments.append((fault.ends_at if fault.seconds else fault.at + ONCE_SECONDS_MAX, index, "end"))
        if not fault.seconds and fault.words.get("target") in PULLING:
            moments.append((fault.at + PROVOKE_SECONDS, index, "provoke"))
    if world.schedule.stop_at is not None:
        moments.append((world.schedule.stop_at, -1, "stop"))
    in_force: dict[int, Active] = {}
    for at, index, what in sorted(moments):
        await trio.sleep_until(max(trio.current_time() + MOMENT_SECONDS, began + at))
        if world.over and not world.weather.active:
            break
        if what == "stop":
            world.tell_to_end()
        elif what == "provoke":
            waits = in_force.get(index) in world.weather.active
            if waits and not world.pulling:
                for feed in world.site.feed_of.values():
                    world.weather.reset(feed)  # something must be pulled, or this fault has no chance
        elif what == "begin" and not world.over:
            await world.until(lambda: bool(world.site.orders), RESTING_SECONDS_MAX)
            in_force[index] = world.weather.begin(index, world.schedule.faults[index])
            world.happenings.begin(in_force[index])
        elif index in in_force:
            world.happenings.finish(in_force[index])
            world.weather.end(in_force[index])
        if not world.weather.active and all(one in in_force for one in range(len(world.schedule.faults))):
            break  # the last one has bitten
    for active in in_force.values():
        if active in world.weather.active:
            world.happenings.finish(active)
            world.weather.end(active)
    world.record.add(r.QuietBegan(at=trio.current_time()))


async def quiet(world: World) -> None:
    """Wait until it quotes again everywhere, comparing both sides meanwhile."""
    began = trio.current_time()
    before = dict(world.site.ladders)
    quoted_at: float | None = None
    compare_at = began
    while trio.current_time() < began + QUIET_SECONDS_MAX and not world.over:
        await trio.sleep(LOOK_SECONDS)
        now = trio.current_time()
        if now >= compare_at:
            compare_at = now + COMPARE_SECONDS
            audit.compare(world)
            if quoted_at is None and now >= began + CLEARED_SECONDS:
                world.happenings.clear_the_books()
            if quoted_at is not None and now >= quoted_at + 1.0:
                audit.count(world)
        again = all(world.site.ladders.get(one, 0) > before.get(one, 0) for one in world.config.markets)
        if quoted_at is None and again and world.site.orders:
            quoted_at = now
        heard = all((link.heard_at or 0.0) >= began for link in world.site.stream_of.values())  # or connected anew
        enough = heard and now >= SIMULATED_SECONDS_MIN - 1.0 and sum(world.site.ladders.values()) >= audit.LADDERS_MIN
        if quoted_at is not None and now >= quoted_at + QUIET_SECONDS_MIN and enough:
            break
    audit.compare(world)


async def customers(world: World) -> None:
    """Somebody takes from our quotes now and then, so that fills happen in every storm."""
    rng = random.Random(f"customers:{world.schedule.seed}")
    await world.quoted.wait()
    while not world.over:
        one_way = next((active for active in world.weather.active if active.name == "one_way"), None)
        await trio.sleep(rng.uniform(*(CUSTOMER_SECONDS if one_way is None else ONE_WAY_SECONDS)))
        market_id = rng.choice(list(world.config.markets))
        if one_way is not None and one_way in world.weather.active:  # F34: everybody wants the same, and all of it
            if world.happenings.sweep(market_id, one_way.word("side")):
                world.weather.bite(one_way)
            continue
        side = rng.choice(("buy", "sell"))
        world.happenings.take(market_id, side, Decimal(rng.choice(("0.3", "0.5", "1"))))


async def swell(world: World) -> None:
    """Prices move a little all the time, so that there is always something to replace."""
    rng = random.Random(f"swell:{world.schedule.seed}")
    await world.quoted.wait()
    while not world.over:
        enough = sum(world.site.ladders.values()) >= audit.LADDERS_MIN
        await trio.sleep(rng.uniform(*SWELL_SECONDS) * (1 + 2 * enough))
        for around in world.site.venue.keeper.place.surroundings.values():
            around.path.jump(rng.choice((-1.0, 1.0)) * rng.uniform(*SWELL_BPS))
