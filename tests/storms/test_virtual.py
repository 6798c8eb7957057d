"""The clock of a storm and its waits: what they share with Trio's own, and where they are cheaper."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
import trio
import trio.testing

from maker.storms.virtual import Alarm, StormClock, run_virtual, storm_clock

Value = TypeVar("Value")

ORIGINAL_SLEEP = trio.sleep


def virtually(main: Callable[[], Awaitable[Value]], seed: int = 1) -> Value:
    return run_virtual(main, seed)


def test_time_stands_while_anything_can_run_and_then_is_exactly_at_what_is_due() -> None:
    async def main() -> list[float]:
        seen = []
        for seconds in (0.1, 0.2, 1e-9, 86_400.0):
            for _ in range(50):
                await trio.lowlevel.checkpoint()
            before = trio.current_time()
            await trio.sleep(seconds)
            seen.append(trio.current_time())
            assert trio.current_time() == before + seconds
        return seen

    assert virtually(main) == [0.1, 0.1 + 0.2, 0.1 + 0.2 + 1e-9, 0.1 + 0.2 + 1e-9 + 86_400.0]


def test_sleeps_and_deadlines_come_in_the_order_of_their_times() -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def sleeper(seconds: float) -> None:
            await trio.sleep(seconds)
            order.append(f"sleep {trio.current_time():g}")

        async def bounded(seconds: float) -> None:
            with trio.move_on_after(seconds):
                await trio.sleep_forever()
            order.append(f"deadline {trio.current_time():g}")

        async with trio.open_nursery() as nursery:
            for tenths in (5, 1, 3):
                nursery.start_soon(sleeper, tenths / 10)
                nursery.start_soon(bounded, tenths / 10 + 0.05)
        return order

    assert virtually(main) == [
        f"{what} {at:g}" for at in (0.1, 0.3, 0.5) for what, at in (("sleep", at), ("deadline", at + 0.05))
    ]


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_sleep_that_makes_no_sense_is_refused_as_trio_refuses_it(seconds: float) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=r"non-negative|NaN"):
            await trio.sleep(seconds)

    virtually(main)
    with pytest.raises(ValueError, match=r"non-negative|NaN"):
        trio.run(ORIGINAL_SLEEP, seconds)


def test_a_sleep_is_a_checkpoint_and_ends_when_cancelled() -> None:
    async def main() -> list[float]:
        ended = []
        for seconds in (0.0, 5.0):
            with trio.CancelScope() as scope:
                scope.cancel()
                await trio.sleep(seconds)
                ended.append(-1.0)  # it was no checkpoint
            assert scope.cancelled_caught
        with trio.move_on_after(2):
            await trio.sleep(5)
        ended.append(trio.current_time())
        await trio.sleep(10)  # the alarm of the one before rings nobody
        ended.append(trio.current_time())
        return ended

    assert virtually(main) == [2.0, 12.0]


def test_an_alarm_can_be_moved_rung_and_set_again() -> None:
    async def main() -> list[float]:
        alarm, woken = Alarm(), []

        async def stand() -> None:
            for at in (10.0, float("inf"), 30.0):
                await alarm.wait(at)
                woken.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stand)
            await trio.sleep(1)
            alarm.move(4.0)  # earlier than it was
            await trio.sleep(5)  # it is 6: the first wait is over, the second stands without an end
            assert woken == [4.0]
            alarm.ring()
            alarm.ring()  # nobody stands there any more
            await trio.sleep(1)
            assert woken == [4.0, 6.0]
            alarm.move(50.0)  # later
        return woken

    assert virtually(main) == [4.0, 6.0, 50.0]


def test_a_jump_makes_due_what_lies_in_between() -> None:
    """A process that stands still wakes to everything at once."""

    async def main() -> tuple[list[float], float]:
        woken: list[float] = []

        async def sleeper(seconds: float) -> None:
            await trio.sleep(seconds)
            woken.append(seconds)

        async with trio.open_nursery() as nursery:
            for seconds in (1.0, 2.0, 40.0):
                nursery.start_soon(sleeper, seconds)
            await trio.sleep(0.5)
            storm_clock().jump(30.0)
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            assert sorted(woken) == [1.0, 2.0]
            assert trio.current_time() == 30.5
        return sorted(woken), trio.current_time()

    assert virtually(main) == ([1.0, 2.0, 40.0], 40.0)


def test_a_jump_wakes_nobody_whose_alarm_was_moved_beyond_it() -> None:
    async def main() -> float:
        alarm = Alarm()

        async def mover() -> None:
            await trio.sleep(1)
            alarm.move(60.0)
            storm_clock().jump(30.0)  # over the ten seconds that it was set to before

        async with trio.open_nursery() as nursery:
            nursery.start_soon(mover)
            await alarm.wait(10.0)
        return trio.current_time()

    assert virtually(main) == 60.0


def test_time_does_not_pass_before_a_forgotten_generator_is_ended() -> None:
    """Trio ends it from its entry queue, which no clock knows of."""

    async def main() -> list[float]:
        ended: list[float] = []

        async def forgotten() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                ended.append(trio.current_time())

        async for _ in forgotten():
            break
        gc.collect()
        await trio.sleep(5)
        return ended

    with pytest.warns(ResourceWarning):
        assert virtually(main) == [0.0]


def test_a_wait_for_all_tasks_blocked_comes_before_the_next_jump() -> None:
    async def main() -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 3)
            await trio.testing.wait_all_tasks_blocked()
            return trio.current_time()  # the nursery then waits for the sleeper

    assert virtually(main) == 0.0


def test_outside_a_storm_there_is_no_such_clock() -> None:
    async def main() -> None:
        with pytest.raises(AssertionError, match="no storm"):
            storm_clock()

    trio.run(main)
    assert issubclass(StormClock, trio.abc.Clock)
