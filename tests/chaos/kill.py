"""kill -9 at a random moment while ladders are late on their way (H24, H25, F6, F45): nothing rests after the tail.

The control arm is the same world, but its guard cancels once and looks no further: there the late ladder rests. An
orphan is an order that rests once the guard has ended and nothing can be on its way any more.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from maker.drills.processes import now_ms, until
from tests.chaos.world import CONTROL, Tries, World, side_by_side

DELAY_SECONDS_MAX: Final = 1.0
TAIL_SECONDS: Final = 1.5  # longer than the delay by what a loaded machine adds to it
LANDED_RATIO: Final = 1.5  # of the largest delay after the kill: nothing is on its way any more
KILL_RATIO: Final = 1.5  # of the largest delay, after the first ladder left: until then comes the random moment
KILL_SECONDS_MIN: Final = 0.3  # ... and at least until then
IN_FLIGHT_RATIO_MIN: Final = 0.3  # of the kills must have caught a ladder on its way, or they prove little
CANCELLED_MS_MAX: Final = 100.0  # kill -9 to the first byte of cancel-all at the exchange, run alone (L4)
CONTROL_EVERY: Final = 4  # every so many kills one of the control arm
FIRST_LADDER_SECONDS_MAX: Final = 30.0  # the start of a maker beside others
SHORT: Final = {
    r"^write_delay_seconds_max = .*$": f"write_delay_seconds_max = {DELAY_SECONDS_MAX}",
    r"^tail_seconds = .*$": f"tail_seconds = {TAIL_SECONDS}",
}
SHORTEST: Final = {  # where only the first cancel-all is timed
    r"^write_delay_seconds_max = .*$": "write_delay_seconds_max = 0.1",
    r"^tail_seconds = .*$": "tail_seconds = 0.1",
}


@attrs.frozen
class Kill:
    """One kill, as the record shows it."""

    number: int
    control: bool
    in_flight: bool  # a ladder that left before the kill had its effect at the exchange after it
    orphans: int
    cancelled_ms: float | None  # from the kill to the first byte of a cancel-all; None: it never came
    cancels: int
    exit_code: int
    log: str  # of a guard that ended otherwise than with 70, or left orphans


async def kill(world: World, number: int, rng: random.Random, *, control_every: int) -> Kill:
    """Start a maker, kill it at a random moment, let its guard finish, and read what rests."""
    control = control_every > 0 and number % control_every == control_every - 1
    with world.maker(rng, (*CONTROL, "one cancel-all") if control else ("-m", "maker")) as maker:
        await maker.started()
        await until(
            lambda: bool(world.sent) or maker.process.ended,
            FIRST_LADDER_SECONDS_MAX,
            f"a ladder; the log: {maker.log[-2000:]}",
        )
        # the random moment: what this is about
        await trio.sleep(rng.uniform(0.0, max(KILL_SECONDS_MIN, KILL_RATIO * world.delay_seconds_max)))
        at = now_ms()
        os.killpg(os.getpgid(maker.status["maker_pid"]), signal.SIGKILL)  # whoever is of its group dies with it
        code = await maker.process.wait()
        landed_at = at + world.delay_seconds_max * LANDED_RATIO * 1000
        await until(lambda: now_ms() >= landed_at, TAIL_SECONDS * 2, "time passes")
        record = maker.record
        record.refresh()
        cancels = record.cancels(at)
        orphans = len(record.resting())
        return Kill(
            number,
            control,
            in_flight=any((call.apply or 0.0) >= at for call in record.ladders()),
            orphans=orphans,
            cancelled_ms=cancels[0].begin - at if cancels else None,
            cancels=len(cancels),
            exit_code=code,
            log="" if code == 70 and not orphans else maker.log[-2000:],
        )


async def kills(
    folder: Path,
    count: int,
    seed: int,
    *,
    lanes: int,
    control_every: int = CONTROL_EVERY,
    progress: Callable[[object], None] = lambda _kill: None,
) -> Tries[Kill]:
    """Kill so many makers side by side, some of them of the control arm."""
    return await side_by_side(
        folder,
        count,
        seed,
        partial(kill, control_every=control_every),
        lanes=lanes,
        delay_seconds_max=DELAY_SECONDS_MAX,
        replace=SHORT,
        progress=progress,
    )


async def timed_kills(
    folder: Path, count: int, seed: int, progress: Callable[[object], None] = lambda _kill: None
) -> Tries[Kill]:
    """Kill one after the other, with nothing late, for the time to the cancel-all."""
    return await side_by_side(
        folder,
        count,
        seed,
        partial(kill, control_every=0),
        lanes=1,
        delay_seconds_max=0.0,
        replace=SHORTEST,
        progress=progress,
    )


def figures(done: list[Kill]) -> dict[str, Any]:
    """What the kills show, by arm."""
    guarded, control = ([one for one in done if one.control is arm] for arm in (False, True))
    return {
        "kills": len(guarded),
        "in flight": round(sum(one.in_flight for one in guarded) / max(1, len(guarded)), 3),
        "kills with orphans": sum(one.orphans > 0 for one in guarded),
        "control kills": len(control),
        "control in flight": round(sum(one.in_flight for one in control) / max(1, len(control)), 3),
        "control kills with orphans": sum(one.orphans > 0 for one in control),
        "numbers with orphans": [one.number for one in guarded if one.orphans],
        **latencies(guarded),
    }


def latencies(done: list[Kill]) -> dict[str, float]:
    """p50, p99 and the longest from the kill to the cancel-all, ms."""
    found = sorted(one.cancelled_ms for one in done if one.cancelled_ms is not None)
    if len(found) < 2:
        return {}
    cuts = statistics.quantiles(found, n=100, method="inclusive")
    return {"p50 ms": round(cuts[49], 1), "p99 ms": round(cuts[98], 1), "longest ms": round(found[-1], 1)}


def unsafe(tries: Tries[Kill]) -> list[str]:
    """Kills that could not be judged, that left orphans, or whose guard ended otherwise than it should."""
    return tries.unmade + [
        f"kill {one.number}: {one.orphans} orphans, exit {one.exit_code}; the log: {one.log}"
        for one in tries.done
        if not one.control and (one.orphans or one.exit_code != 70 or one.cancelled_ms is None)
    ]


def broken(tries: Tries[Kill]) -> list[str]:
    """What does not hold, a sentence each."""
    seen, problems = figures(tries.done), unsafe(tries)
    if seen["in flight"] < IN_FLIGHT_RATIO_MIN:
        problems.append(f"only {seen['in flight']:.0%} of the kills caught a ladder on its way: nothing is proved")
    if seen["control kills"] and not seen["control kills with orphans"]:
        problems.append("one cancel-all and no tail left no orphans either: nothing is proved")
    return problems


def slow(tries: Tries[Kill]) -> list[str]:
    """What does not hold of kills that were only timed."""
    problems, p99_ms = unsafe(tries), latencies(tries.done).get("p99 ms", CANCELLED_MS_MAX)
    if p99_ms > CANCELLED_MS_MAX:
        problems.append(f"p99 of {p99_ms:.0f} ms from the kill to the cancel-all: at most {CANCELLED_MS_MAX:.0f}")
    return problems
