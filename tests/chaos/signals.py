"""One to five stop signals at random moments, before and while quotes are pulled (H3, F44): verified every time."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from maker.drills.processes import now_ms, until
from tests.chaos.world import Tries, World, side_by_side, verified_by

NUMBERS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
SIGNALS_MAX: Final = 5
SPREAD_SECONDS_MAX: Final = 1.2  # a halt takes half a second, or a second where a ladder is late
DELAY_SECONDS_MAX: Final = 0.3  # of ladders: some are on their way when the first signal comes
FIRST_LADDER_SECONDS_MAX: Final = 30.0


@attrs.frozen
class Told:
    """One stop, as the record shows it."""

    number: int
    names: tuple[str, ...]  # of the signals sent
    seconds: float  # from the first one to the end
    exit_code: int
    verified: bool  # as the program says
    lacking: str  # what the record lacks for a verified exit; "" nothing
    log: str  # of an end that was not as it should be


async def tell(world: World, number: int, rng: random.Random) -> Told:
    """Start a maker, send it signals while it quotes and while it stops, and read how it ended."""
    with world.maker(rng) as maker:
        await maker.started()
        await until(lambda: bool(world.sent) or maker.process.ended, FIRST_LADDER_SECONDS_MAX, "a ladder")
        await trio.sleep(rng.uniform(0.0, SPREAD_SECONDS_MAX))
        moments = sorted(rng.uniform(0.0, SPREAD_SECONDS_MAX) for _ in range(rng.randint(0, SIGNALS_MAX - 1)))
        began, at = trio.current_time(), now_ms()
        names: list[str] = []
        for moment in (0.0, *moments):
            await trio.sleep_until(began + moment)  # the random moment: what this is about
            if not maker.process.ended:
                chosen = rng.choice(NUMBERS)
                maker.process.send(chosen)
                names.append(chosen.name)
        code = await maker.process.wait()
        seconds = (now_ms() - at) / 1000
        verified = bool(maker.result["verified_empty"])
        lacking = verified_by(maker.record, at)
        good = (code, verified, lacking) == (0, True, "")
        return Told(number, tuple(names), seconds, code, verified, lacking, "" if good else maker.log[-3000:])


async def stops(
    folder: Path, count: int, seed: int, *, lanes: int, progress: Callable[[object], None] = lambda _told: None
) -> Tries[Told]:
    """Stop so many makers, side by side."""
    return await side_by_side(
        folder,
        count,
        seed,
        tell,
        lanes=lanes,
        delay_seconds_max=DELAY_SECONDS_MAX,
        replace={},
        progress=progress,
    )


def figures(done: list[Told]) -> dict[str, Any]:
    """What the stops show."""
    return {
        "stops": len(done),
        "signals": sum(len(one.names) for one in done),
        "exit 0, verified by the record": sum(
            (one.exit_code, one.verified, one.lacking) == (0, True, "") for one in done
        ),
        "seconds, longest": round(max((one.seconds for one in done), default=0.0), 2),
    }


def broken(tries: Tries[Told]) -> list[str]:
    """What does not hold, a sentence each."""
    return tries.unmade + [
        f"stop {one.number} by {one.names}: exit {one.exit_code}, verified {one.verified}, {one.lacking}; {one.log}"
        for one in tries.done
        if (one.exit_code, one.verified, one.lacking) != (0, True, "")
    ]
