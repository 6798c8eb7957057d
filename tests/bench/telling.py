"""How long the maker's loop is held by telling its state: `.venv/bin/python -m tests.bench.telling`.

A state is put together a market a turn of the loop. What a decision may have to wait for is the longest of these turns;
what it costs at all is their sum, twice a second. Seconds of the processor: what runs beside does not count.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from typing import Any

import attrs
import outcome
import trio

from maker.app.live_teller import Teller
from maker.launch.key import Key
from tests.app.runs import a_run
from tests.app.site import staged
from tests.desk.scripted import START, Desk, market


@attrs.frozen
class Held:
    """Seconds for which the loop was held, for one state."""

    turns: int
    turn_median: float  # of the longest turn of each state
    turn_longest: float
    whole_median: float
    bytes_told: int


async def measured(markets: int, rounds: int) -> Held:
    """Tell so many times, of so many markets with ladders of three levels a side."""
    desk = Desk.ready(*(market(f"M{number}-PERP") for number in range(markets)))
    action = desk.quote()
    for one in desk.engine.markets.values():
        if not one.account.resting:
            one.account.begin("q", action.orders)
            one.account.placed(None, None, START)
    sizes: list[int] = []
    async with staged(desk) as stage:
        teller = Teller("run-1", 0.0, Key(""), lambda data: sizes.append(len(data)))
        run = a_run(stage, armed=True)
        states = [await turns_of(teller, run) for _ in range(rounds)]
    longest = [max(turns) for turns in states]
    whole = statistics.median(sum(turns) for turns in states)
    return Held(len(states[0]), statistics.median(longest), max(longest), whole, sizes[-1])


async def turns_of(teller: Teller, run: Any) -> list[float]:
    """One state: for how long each of its turns held the loop."""
    told = teller.tell(run)
    turns: list[float] = []
    gc.disable()
    try:
        resumed: Any = None
        while True:  # by hand, in the place of Trio, so that nothing else is in a turn
            began = time.thread_time()
            try:
                told.send(resumed)
            except StopIteration:
                turns.append(time.thread_time() - began)
                return turns
            turns.append(time.thread_time() - began)
            resumed = outcome.Value(None)
    finally:
        gc.enable()
        told.close()


async def main() -> None:
    for markets in (2, 20):
        held = await measured(markets, 500)
        sys.stdout.write(
            f"{markets:3} markets: {held.turns} turns, the longest {held.turn_median * 1e6:.0f} us (median; most "
            f"{held.turn_longest * 1e6:.0f}), together {held.whole_median * 1e6:.0f} us, {held.bytes_told} bytes\n"
        )


if __name__ == "__main__":
    trio.run(main)
