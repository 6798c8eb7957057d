"""A maker that stands still while prices move, and wakes (F37, H21): nothing it sends is built on what it knew before.

It wakes with the old book in its hands and every timer due at once. What must come first is a cancel-all, or a ladder
that fits the price of that moment. In the control arm freshness is a watching task's business alone, and now and then
the quoting task comes before it.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from maker.drills.processes import MakerRun, now_ms, until
from maker.drills.record import BPS, Call, Record
from tests.chaos.world import CONTROL, Tries, World, side_by_side
from tests.live.support import MARKETS

STALE_SECONDS_MAX: Final = 1.5  # the reference says something every second at the least
HANG_SECONDS_MAX: Final = 8.0
PAUSE_SECONDS_MIN: Final = 1.6  # longer than data may be old
PAUSE_SECONDS_MAX: Final = 5.0  # well before the guard calls it a hang
REQUOTE_BPS: Final = Decimal("0.05")  # ten ticks of three times it are moved through in two seconds
MOVED: Final = 3 * REQUOTE_BPS  # what the reference must move by while the maker stands still
PAUSES_EACH: Final = 5  # of one maker, before the next is started
CONTROL_EACH_MAX: Final = 16  # one in three is stale: sixteen in a row that are not come once in a thousand
SETTLED_SECONDS_MAX: Final = 20.0  # to quote again after a pause
NEXT_SECONDS_MAX: Final = 10.0  # to the first request after waking
OVERTAKE_MS: Final = 200.0  # two connections: a ladder and the cancel-all after it may come in either order
CONTROL_EVERY: Final = 4  # every so many makers one of the control arm
PATIENT: Final = {
    r"stale_seconds_max = 2.0 }$": f"stale_seconds_max = {STALE_SECONDS_MAX} }}",
    r"^hang_seconds_max = .*$": f"hang_seconds_max = {HANG_SECONDS_MAX}",
    r"^requote_bps = .*$": f"requote_bps = {REQUOTE_BPS}",
    r"^requote_seconds_min = .*$": "requote_seconds_min = 0.3",  # mostly waiting, not for an answer but for the time
    r"^skew_bps = .*$": "skew_bps = 0",  # so that the middle of a ladder tells the price it was built on
    r"^quote_age_seconds_max = .*$": "quote_age_seconds_max = 1.5",  # due on waking, and pulled for its age only later
    r"^write_delay_seconds_max = .*$": "write_delay_seconds_max = 0.1",
    r"^tail_seconds = .*$": "tail_seconds = 0.1",
}


@attrs.frozen
class Pause:
    """One pause in which the reference moved far enough, as the record shows it."""

    number: int  # of the maker
    control: bool
    seconds: float
    moved_bps: float
    first: str  # what came after waking: "cancel-all" alone, or the market of a ladder
    stale: bool  # a ladder nearer to the price before the pause than to the one after it
    old_bps: float  # the ladder's distance from what the price before asks for, and from what the price after asks for
    new_bps: float


def index_at(record: Record, market: str, at: float) -> Decimal | None:
    """The index the exchange showed last before a time."""
    seen = [line["index"] for line in record.kind("sample") if line["marketId"] == market and line["t"] <= at]
    return Decimal(seen[-1]) if seen and seen[-1] else None


def middle(call: Call) -> tuple[str, Decimal] | None:
    """A ladder's market and the middle between its innermost levels; None for a one-sided one."""
    body = json.loads(call.body)
    sides = [[Decimal(level["price"]) for level in body["quotes"] if level["side"] == side] for side in ("buy", "sell")]
    if not all(sides):
        return None
    return body["marketId"], (max(sides[0]) + min(sides[1])) / 2


def last_ladder(record: Record, market: str, before: float) -> tuple[Decimal, float] | None:
    """How far the last ladder before a time stood from the index, and when it began."""
    for call in reversed(record.ladders()):
        found = middle(call) if call.begin < before and call.body else None
        if found is not None and found[0] == market and (index := index_at(record, market, call.begin)) is not None:
            return found[1] - index, call.begin
    return None


@attrs.frozen
class Basis:
    """What is known of a market as the maker is stopped: its index, and how far the last ladder stood from it."""

    index: Decimal
    offset: Decimal

    def distances(self, middle: Decimal, index_now: Decimal) -> tuple[float, float]:
        """How far a ladder is from what the index of then asks for, and from what the index of now asks for; bps."""
        return tuple(  # type: ignore[return-value]
            round(float(abs(middle - index - self.offset) * BPS / index), 3) for index in (self.index, index_now)
        )


async def pause(world: World, maker: MakerRun, number: int, *, control: bool) -> Pause | None:
    """Stop the maker until every market has moved, wake it, and judge what it sends first; None: they did not move."""
    record = maker.record
    await maker.quoting(since=now_ms(), seconds=SETTLED_SECONDS_MAX)
    maker.signal_maker(signal.SIGSTOP)
    stopped = now_ms()
    record.refresh()
    known: dict[str, Basis] = {}
    for market in MARKETS:
        ladder, index = last_ladder(record, market, stopped), index_at(record, market, stopped)
        assert ladder is not None, "quoting"
        assert index is not None, "quoting"
        known[market] = Basis(index, ladder[0])

    def moved_bps() -> float:
        record.refresh()
        indices = {market: index_at(record, market, now_ms()) or basis.index for market, basis in known.items()}
        return min(float(abs(indices[market] - basis.index) * BPS / basis.index) for market, basis in known.items())

    await trio.sleep(PAUSE_SECONDS_MIN)  # the pause itself: longer than data may be old
    with trio.move_on_after(PAUSE_SECONDS_MAX - PAUSE_SECONDS_MIN):
        while moved_bps() < MOVED:
            await trio.sleep(0.05)
    moved = moved_bps()
    woken = now_ms()
    maker.signal_maker(signal.SIGCONT)

    def first_call() -> float | None:
        record.refresh()
        return min(
            (call.begin for call in record.calls() if call.begin >= woken and (call.creates or call.cancels)),
            default=None,
        )

    began = await until(first_call, NEXT_SECONDS_MAX, f"a request after waking; the log: {maker.log[-2000:]}")
    ends = began + OVERTAKE_MS
    await until(lambda: now_ms() >= ends, OVERTAKE_MS / 100, "time passes")
    if moved < MOVED:
        return None
    record.refresh()
    worst: tuple[str, float, float] | None = None
    for call in record.ladders(woken):
        found = middle(call) if call.begin <= ends and call.body else None
        if found is not None:
            market, price = found
            index = index_at(record, market, call.begin)
            assert index is not None, "shown before"
            old, new = known[market].distances(price, index)
            if worst is None or old - new < worst[1] - worst[2]:
                worst = (market, old, new)
    first, old, new = worst or ("cancel-all", 0.0, 0.0)
    stale = worst is not None and old < new
    return Pause(number, control, round((woken - stopped) / 1000, 3), round(moved, 3), first, stale, old, new)


async def pauses_of(
    world: World, number: int, rng: random.Random, *, control_every: int, each: int, until_shown: bool
) -> list[Pause]:
    """Several pauses of one maker; of a control arm that only has to show it, until it did."""
    control = control_every > 0 and number % control_every == control_every - 1
    done: list[Pause] = []
    with world.maker(rng, (*CONTROL, "watchdog only") if control else ("-m", "maker")) as maker:
        for _ in range(CONTROL_EACH_MAX if control and until_shown else each):
            if control and until_shown and any(one.stale for one in done):
                break
            seen = await pause(world, maker, number, control=control)
            done += [] if seen is None else [seen]
            await trio.sleep(rng.uniform(0.0, 0.5))  # so that the next one comes at no particular moment
    return done


async def pauses(
    folder: Path,
    count: int,
    seed: int,
    *,
    lanes: int,
    control_every: int = CONTROL_EVERY,
    until_shown: bool = False,
    progress: Callable[[object], None] = lambda _pause: None,
) -> Tries[Pause]:
    """Pause makers about so many times, side by side; pauses in which nothing moved do not count."""
    each = min(PAUSES_EACH, count)

    def each_of(seen: object) -> None:
        for one in seen if isinstance(seen, list) else [seen]:
            progress(one)

    makers = await side_by_side(
        folder,
        -(-count // each),
        seed,
        partial(pauses_of, control_every=control_every, each=each, until_shown=until_shown),
        lanes=lanes,
        delay_seconds_max=0.0,
        replace=PATIENT,
        progress=each_of,
    )
    return Tries([one for seen in makers.done for one in seen], makers.unmade)


def figures(done: list[Pause]) -> dict[str, Any]:
    """What the pauses show, by arm."""
    real, control = ([one for one in done if one.control is arm] for arm in (False, True))
    return {
        "pauses": len(real),
        "stale": sum(one.stale for one in real),
        "cancel-all first": sum(one.first == "cancel-all" for one in real),
        "control pauses": len(control),
        "control stale": sum(one.stale for one in control),
        "moved bps, least": min((one.moved_bps for one in done), default=0.0),
        "seconds, longest": max((one.seconds for one in done), default=0.0),
    }


def broken(tries: Tries[Pause]) -> list[str]:
    """What does not hold, a sentence each."""
    seen = figures(tries.done)
    problems = tries.unmade + [f"a stale ladder: {one}" for one in tries.done if one.stale and not one.control]
    if not seen["pauses"]:
        problems.append("in no pause the reference moved far enough: nothing is proved")
    if seen["control pauses"] and not seen["control stale"]:
        problems.append("a watchdog alone sent nothing stale either: nothing is proved")
    return problems
