"""A practice exchange and a delaying proxy that stay, and makers that come and go before them.

Starting a maker costs a second, so a lane keeps everything else. What a maker did is read from the exchange's record,
from where the run began; every random choice comes from a seed and the number of the try, and both are printed.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import attrs
import trio

from maker.drills.processes import (
    TRADE_KEY,
    MakerRun,
    NotSeen,
    VenueProcess,
    cleaned,
    now_ms,
    start_maker,
    start_venue,
)
from maker.drills.proxy import Proxy
from maker.drills.record import BULK, ORDERS, Record
from tests.live.stage import live_conf
from tests.live.support import KEY_ENV

READ_GAP_MS: Final = 250.0  # between the two empty reads of a verified exit
LADDER: Final = f"POST {BULK} ".encode()
CONTROL: Final = ("-m", "tests.chaos.planted")
EAGER_WORDS: Final = ("--preset", "normal", "--requests-per-minute", "6000")  # of its practice exchange
EAGER: Final = {  # a ladder is on its way most of the time
    r"^requote_bps = .*$": "requote_bps = 0.05",
    r"^requote_seconds_min = .*$": "requote_seconds_min = 0.05",
    r"^quote_age_seconds_max = .*$": "quote_age_seconds_max = 3.0",
    r"^requests_per_minute = .*$": "requests_per_minute = 6000",
    r"^burst = .*$": "burst = 100",
    r"^crashes_max = .*$": "crashes_max = 1000000",
    r"^crash_window_seconds = .*$": "crash_window_seconds = 0.001",  # the next start does not wait for this death
}

T = TypeVar("T")


@attrs.define(eq=False)
class World:
    """One lane: a venue of its own, a proxy on the way to it, a configuration that knows only the proxy."""

    folder: Path
    venue: VenueProcess
    proxy: Proxy
    conf: Path
    sent: list[float] = attrs.field(factory=list)  # when a ladder came to the proxy, unix milliseconds
    rng: random.Random = attrs.field(factory=random.Random)  # of the try under way
    delay_seconds_max: float = 0.0  # how long a ladder may be on its way

    def delay(self, request: bytes) -> float:
        """Delay ladders only: cancels and reads of the maker come by other connections and are not late."""
        if not request.startswith(LADDER):
            return 0.0
        self.sent.append(now_ms())
        return self.rng.uniform(0.0, self.delay_seconds_max)

    @contextlib.contextmanager
    def maker(self, rng: random.Random, entry: Sequence[str] = ("-m", "maker")) -> Iterator[MakerRun]:
        """Start a maker whose record begins here: nothing runs and nothing is on its way any more."""
        self.rng = rng
        self.sent.clear()
        record = Record(self.venue.record.path)
        record.offset = record.path.stat().st_size
        run = start_maker(self.folder, self.conf, record=record, entry=entry, environment={KEY_ENV: TRADE_KEY})
        with cleaned(run):
            yield run


@contextlib.asynccontextmanager
async def opened(folder: Path, delay_seconds_max: float, replace: Mapping[str, str]) -> AsyncIterator[World]:
    """Open a lane; on leaving, everything in it is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    venue = await start_venue(folder, *EAGER_WORDS)
    try:
        async with trio.open_nursery() as nursery:
            proxy = Proxy(venue.port)
            await nursery.start(proxy.run)
            conf = live_conf(folder, proxy.port, venue.reference_port, replace={**EAGER, **replace})
            world = World(folder, venue, proxy, conf, delay_seconds_max=delay_seconds_max)
            proxy.delay_seconds = world.delay
            yield world
            nursery.cancel_scope.cancel(reason="the lane is over")
    finally:
        venue.process.kill()


Attempt = Callable[[World, int, random.Random], Awaitable[T]]


@attrs.define
class Tries(Generic[T]):
    """What came of a campaign: `unmade` says why a try could not be judged, which is never taken for a good one."""

    done: list[T] = attrs.field(factory=list)
    unmade: list[str] = attrs.field(factory=list)


async def side_by_side(
    folder: Path,
    count: int,
    seed: int,
    attempt: Attempt[T],
    *,
    lanes: int,
    delay_seconds_max: float,
    replace: Mapping[str, str],
    progress: Callable[[object], None] = lambda _result: None,
) -> Tries[T]:
    """Make so many tries, each by the seed and its number, in lanes side by side."""
    tries: Tries[T] = Tries()
    numbers = iter(range(count))

    async def lane(name: str) -> None:
        async with opened(folder / name, delay_seconds_max, replace) as world:
            for number in numbers:
                try:
                    result = await attempt(world, number, random.Random(f"{seed}/{number}"))
                except NotSeen as problem:  # an overloaded machine, or a maker that does not start: say which
                    tries.unmade.append(f"try {number}: {problem}")
                    progress(tries.unmade[-1])
                else:
                    tries.done.append(result)
                    progress(result)

    async with trio.open_nursery() as nursery:
        for index in range(min(lanes, count)):
            nursery.start_soon(lane, f"lane-{index}")
    return tries


def verified_by(record: Record, since: float) -> str:
    """What an exit that claims to be verified lacks (S3): "" when the record proves it."""
    record.refresh()
    calls = record.calls()
    last_write = max((call.ack or call.apply or call.begin for call in calls if call.creates), default=0.0)
    cancelled = [call for call in calls if call.cancels and call.ack and call.begin >= max(since, last_write)]
    if not cancelled:
        return "no cancel-all was begun after the last ladder's answer"
    after = cancelled[0].apply or 0.0
    reads = [call for call in calls if (call.method, call.path) == ("GET", ORDERS) and call.begin >= after and call.ack]
    if len(reads) < 2 or reads[-1].begin - reads[0].begin < READ_GAP_MS:
        return "it was not read back twice, 250 ms apart, after that cancel-all"
    return f"{len(left)} orders rest" if (left := record.resting()) else ""
