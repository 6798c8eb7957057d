"""Telling: the worst first, again until it arrives, as the target wishes, and nobody held up by another."""

from __future__ import annotations

import itertools
import math

import pytest
import trio
import trio.testing

from maker.app.alert_config import Alerts, Severity
from maker.edge.lane import NotSent
from maker.edge.notice import Reply
from maker.monitor.delivery import SEND_SECONDS_MAX, Quiet
from maker.monitor.outbox import (
    ASKED_SECONDS_MAX,
    LIFE_SECONDS,
    PAUSE_SECONDS_CRITICAL,
    PAUSE_SECONDS_MAX,
    WAITING_MAX,
    Outbox,
)
from tests.monitor.doors import LOST, OK, Door, delivery, notice, run_for, told

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL


async def test_everybody_who_wants_to_know_is_told(autojump_clock: trio.testing.MockClock) -> None:
    all_of_it, worst_only = Door(), Door()
    made = delivery(told("ops", all_of_it), told("phone", worst_only, CRITICAL))
    await run_for(made, 5, [notice(1, "feed_down", WARNING), notice(2)])
    assert all_of_it.names == ["halted", "feed_down"]
    assert worst_only.names == ["halted"]
    assert made.results("2") == {"ops": True, "phone": True}
    assert made.is_delivered("1") is True


async def test_a_failure_is_tried_again_ever_more_rarely(autojump_clock: trio.testing.MockClock) -> None:
    """And with what does not change: the notice, and its id."""
    door = Door([LOST, NotSent("cannot connect"), Reply(503, None), Reply(500, None), OK])
    made = delivery(told("ops", door))
    await run_for(made, 60, [notice(1, severity=WARNING)])
    assert [at for at, _ in door.told] == [0, 1, 3, 7, 15]
    assert {message["id"] for _, message in door.told} == {"1"}
    assert made.is_delivered("1") is True
    assert made.failing() == {}


async def test_jitter_shortens_a_pause_by_up_to_half(autojump_clock: trio.testing.MockClock) -> None:
    door = Door([LOST, LOST, OK])
    await run_for(delivery(told("ops", door), jitter=lambda: 0.0), 60, [notice()])
    assert [at for at, _ in door.told] == [0, 0.5, 1.5]


async def test_pauses_are_bounded_and_shorter_for_what_is_critical(autojump_clock: trio.testing.MockClock) -> None:
    for severity, longest in ((WARNING, PAUSE_SECONDS_MAX), (CRITICAL, PAUSE_SECONDS_CRITICAL)):
        door = Door([LOST])
        await run_for(delivery(told("ops", door)), 3_000, [notice(severity=severity)])
        times = [at for at, _ in door.told]
        assert max(later - sooner for sooner, later in itertools.pairwise(times)) == longest


async def test_a_target_that_asks_to_wait_is_not_asked_sooner(autojump_clock: trio.testing.MockClock) -> None:
    """Not even for something critical that comes meanwhile; and it is critical that goes first then."""
    door = Door([Reply(429, 100.0), OK])
    made = delivery(told("ops", door))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, made, 300, [notice(1, "feed_down", WARNING)])
        await trio.sleep(10)
        made.put(notice(2))
    assert [at for at, _ in door.told] == [0, 100, 100]
    assert door.names == ["feed_down", "halted", "feed_down"]


async def test_a_wish_is_granted_within_reason(autojump_clock: trio.testing.MockClock) -> None:
    door = Door([Reply(429, 86_400.0), OK])
    await run_for(delivery(told("ops", door)), 5_000, [notice()])
    assert [at for at, _ in door.told] == [0, ASKED_SECONDS_MAX]


async def test_a_target_that_hangs_holds_up_no_other(autojump_clock: trio.testing.MockClock) -> None:
    """And is given up after the whole time for one try, then tried again."""
    hung, well = Door([1e6]), Door()
    made = delivery(told("hung", hung), told("well", well))
    await run_for(made, 2 * SEND_SECONDS_MAX, [notice(1), notice(2)])
    assert [at for at, _ in well.told] == [0, 0]
    assert [at for at, _ in hung.told] == [0, SEND_SECONDS_MAX + 1]
    assert made.is_delivered("1") is True
    assert made.results("1") == {"hung": None, "well": True}


async def test_what_the_target_will_never_take_is_given_up_at_once(autojump_clock: trio.testing.MockClock) -> None:
    door = Door([Reply(400, None), OK])
    made = delivery(told("ops", door))
    await run_for(made, 60, [notice(1)])
    assert len(door.told) == 1
    assert made.is_delivered("1") is False
    assert made.failing() == {"ops": "answers 400: it does not take the message; 1 given up"}
    await run_for(made, 60, [notice(2)])
    assert made.failing() == {}


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_dead_address_is_named_and_tried_on(status: int, autojump_clock: trio.testing.MockClock) -> None:
    door = Door([Reply(status, None)])
    made = delivery(told("ops", door))
    await run_for(made, 30, [notice(1)])
    assert made.failing()["ops"].startswith(f"answers {status}: ")
    assert made.is_delivered("1") is None


@pytest.mark.parametrize("severity", Severity)
async def test_what_is_too_old_is_given_up(severity: Severity, autojump_clock: trio.testing.MockClock) -> None:
    door = Door([LOST])
    made = delivery(told("ops", door))
    await run_for(made, LIFE_SECONDS[severity] + 2 * PAUSE_SECONDS_MAX, [notice(1, severity=severity)])
    assert made.is_delivered("1") is False
    assert max(at for at, _ in door.told) <= LIFE_SECONDS[severity] + 1
    assert made.failing() == {"ops": "the connection was lost before the answer; 1 given up"}


async def test_no_target_is_told_that_it_cannot_be_told(autojump_clock: trio.testing.MockClock) -> None:
    ops, phone = Door(), Door()
    made = delivery(told("ops", ops), told("phone", phone))
    await run_for(made, 5, [notice(1, "alert_path_fails", WARNING, subject="ops")])
    assert (ops.names, phone.names) == ([], ["alert_path_fails"])


async def test_what_only_informs_waits_for_the_morning(autojump_clock: trio.testing.MockClock) -> None:
    """Quiet until 08:30; it is 08:00. What warns does not wait."""
    door = Door()
    quiet = Quiet.of(Alerts(quiet_from="22:00", quiet_to="08:30"))
    made = delivery(told("ops", door), quiet=quiet)
    await run_for(made, 3_600, [notice(1, "daily_summary", INFO), notice(2, "feed_down", WARNING)])
    assert [(at, message["name"]) for at, message in door.told] == [(0, "feed_down"), (1_800, "daily_summary")]


def test_quiet_hours_go_over_midnight() -> None:
    day = 1_799_971_200.0  # 2027-01-15 00:00 UTC
    night = Quiet.of(Alerts(quiet_from="22:00", quiet_to="06:30"))
    assert night is not None
    assert night.seconds_left(day) == 6.5 * 3_600
    assert night.seconds_left(day + 23 * 3_600) == 7.5 * 3_600
    assert night.seconds_left(day + 6.5 * 3_600) == 0
    assert night.seconds_left(day + 12 * 3_600) == 0
    assert Quiet.of(Alerts()) is None


async def test_the_end_waits_for_what_can_be_told_now(autojump_clock: trio.testing.MockClock) -> None:
    """Not for what must wait anyway: the next start tells that."""
    slow, failing = Door([1.0]), Door([LOST])
    made = delivery(told("slow", slow), told("failing", failing))
    ending = trio.Event()
    ending.set()
    made.put(notice(1))
    made.put(notice(2))
    with trio.fail_after(3):
        await made.run(ending)
    assert made.results("2")["slow"] is True
    assert made.results("2")["failing"] is None


# -- the queue -----------------------------------------------------------------------------------------------------


def test_a_full_queue_loses_the_least_and_says_so() -> None:
    box = Outbox()
    for number in range(WAITING_MAX):
        box.put(notice(number, severity=WARNING), 0.0)
    box.put(notice(1_000), 0.0)
    assert (len(box.waiting), box.results["0"], box.results["1000"]) == (WAITING_MAX, False, None)
    box.put(notice(1_001, severity=INFO), 0.0)
    assert box.results["1001"] is False
    assert box.trouble == "too much waits to be told; 2 given up"


def test_the_order_is_the_worst_then_the_oldest() -> None:
    box = Outbox()
    for number, severity in enumerate((INFO, WARNING, CRITICAL, CRITICAL)):
        box.put(notice(number, severity=severity), 0.0)
    order = []
    while (one := box.due(0.0)) is not None:
        order.append(one.notice.notice_id)
        box.answered(one, OK, 0.0, 0.5)
    assert order == ["2", "3", "1", "0"]
    assert box.wakes_at(0.0) == math.inf


def test_results_are_bounded() -> None:
    box = Outbox()
    for number in range(2_000):
        box.put(notice(number), 0.0)
    assert len(box.results) <= 512


def test_nothing_to_tell_is_nothing_to_wake_for() -> None:
    box = Outbox()
    box.put(notice(1), 0.0, not_before=50.0)
    assert box.due(10.0) is None
    assert box.wakes_at(10.0) == 50.0
