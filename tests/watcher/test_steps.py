"""What a watcher does, step by step, against an exchange in memory and in no time."""

from __future__ import annotations

from typing import Any

import pytest

from maker.guard.exchange import ASKED_SECONDS_MAX, BULK, CANCEL_ALL, ORDERS, Call, NoAnswer
from maker.launch.account import Stopped
from maker.watcher.bounds import Bounds
from maker.watcher.steps import (
    DENIED_MAX,
    DENIED_SECONDS,
    PROVE_SECONDS,
    TELL_SECONDS,
    TROUBLE_SECONDS_MAX,
)
from tests.watcher.scripted import BOUNDS, Fault, World, lost, saying

LIMIT = BOUNDS.age_seconds_max
OLD = LIMIT + 10


def only(method: str, path: str, fault: Fault, times: int = 1_000_000) -> Fault:
    """A fault of one kind of call, so many times; the proof of the key is left alone."""
    left = [times]

    def refuse(call: Call) -> Exception | None:
        scoped = call.body and "clientOrderId" in call.body
        if (call.method, call.path) != (method, path) or scoped or not left[0]:
            return None
        left[0] -= 1
        return fault(call)

    return refuse


# -- pulling


def test_orders_that_were_left_are_cancelled_and_read_back() -> None:
    """Unscoped, then two reads a moment apart; one line each says why and what came of it."""
    world = World()
    world.place("mk-a-1", "mk-a-2", age=OLD)
    assert world.run(3.0) is None
    assert world.resting == {}
    methods = [(call.method, call.path, call.body) for _, call in world.calls]
    assert methods[:4] == [
        ("GET", ORDERS, None),
        ("POST", CANCEL_ALL, {}),
        ("GET", ORDERS, None),
        ("GET", ORDERS, None),
    ]
    assert world.reads[2] - world.reads[1] >= 0.25
    assert world.watcher.pulls == 1
    assert world.events() == ["reading", "pulling", "pulled"]
    assert f"older than {LIMIT:g} s (the oldest {OLD:.0f} s: mk-a-1 on BTC-PERP)" in world.sentence("pulling")
    assert "nothing rests" in world.sentence("pulled")


@pytest.mark.parametrize("stamps", [True, False])
@pytest.mark.parametrize("dates", [True, False])
def test_within_the_promised_time(stamps: bool, dates: bool) -> None:
    """With the exchange's clock or without: a maker dies, and its orders are pulled in time and not before."""
    world = World(stamps=stamps, dates=dates)
    world.run(33.0)
    placed = world.now
    world.place("mk-a-1")
    world.run(BOUNDS.pulled_seconds_max + 20)
    assert len(world.unscoped) == 1
    assert LIMIT < world.unscoped[0] - placed <= BOUNDS.pulled_seconds_max


def test_an_order_that_was_there_before_the_watcher_is_aged_by_the_exchange() -> None:
    """A watcher that comes up after the power loss need not wait anew, where the exchange tells times."""
    world = World()
    world.place("mk-a-1", age=LIMIT - 7)
    began = world.now
    world.run(20.0)
    assert world.unscoped
    assert world.unscoped[0] - began < 15


def test_foreign_orders_never_trigger_and_are_named_when_they_go_too() -> None:
    world = World()
    world.place("zz-a-1", "mkx-1", age=10 * OLD)
    world.resting["no-name"] = (0.0, "BTC-PERP")
    world.run(200.0)
    assert world.cancels == []
    world.place("mk-a-1")
    world.run(OLD)
    assert "3 orders that are not ours with them" in world.sentence("pulling")
    assert world.resting == {}


def test_a_host_that_slept_in_a_read_takes_nothing_for_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rested before it slept is as old as its sleep by our clock; a maker at work has replaced it long since."""
    world = World(dates=False)
    world.place("mk-a-1")
    world.run(12.0)
    listed = world.rows

    def sleeping() -> list[dict[str, Any]]:
        rows = listed()
        monkeypatch.setattr(World, "rows", lambda _world: listed())
        world.now += 10 * OLD
        world.requote("mk-a")
        return rows

    monkeypatch.setattr(World, "rows", lambda _world: sleeping())
    world.run(20.0)
    assert world.cancels == []
    assert "stood still" in world.sentence("cannot look")
    world.run(OLD)
    assert len(world.unscoped) == 1, "and it watches on"


def test_it_goes_on_while_that_stays_true() -> None:
    """Late ladders of a dead maker, again and again: each is pulled in its time."""
    world = World()
    for number in range(3):
        world.place(f"mk-a-{number}")
        world.run(LIMIT + 20)
        assert world.resting == {}
    assert world.watcher.pulls == 3
    assert world.events().count("pulling") == world.events().count("pulled") == 3


def test_a_maker_that_works_by_another_configuration_is_named() -> None:
    """Pulled again and again: the sentence says what to look at."""
    world = World()
    world.place("mk-a-1", age=OLD)
    world.run(10.0)
    assert "maker is at work" not in world.sentence("pulling")
    world.place("mk-a-2")
    world.run(LIMIT + 10)
    assert world.sentence("pulling").endswith(
        "does its configuration let orders rest longer than this host's copy of it?"
    )


def test_newer_orders_are_no_failure() -> None:
    """Old orders go, and a maker that is back has placed others meanwhile: pulled, and not pulled again."""
    world = World()
    world.place("mk-a-1", age=OLD)
    world.fault = lambda call: world.place("mk-b-1") if call.method == "GET" and world.cancels else None
    world.run(20.0)
    assert len(world.unscoped) == 1
    assert list(world.resting) == ["mk-b-1"]
    assert "1 orders rest that were not old" in world.sentence("pulled")


@pytest.mark.parametrize("fault", [lost, saying(503), saying(500)], ids=["lost", "503", "500"])
def test_a_cancel_all_in_trouble_is_repeated(fault: Fault) -> None:
    """Never given up, never more than six a minute, and one line about it."""
    world = World()
    world.place("mk-a-1", age=OLD)
    world.fault = lambda call: fault(call) if call.method == "POST" else None
    world.run(600.0)
    assert world.watcher.pulls == 0
    assert 30 < len(world.unscoped) <= 65
    assert world.events().count("NOT VERIFIED") == 600 // TELL_SECONDS
    assert ("NOT VERIFIED", "error") in {(event, level) for event, _, level in world.lines}
    world.fault = lambda _call: None
    world.run(60.0)
    assert (world.watcher.pulls, world.resting) == (1, {})


def test_at_429_it_waits_as_told_but_not_for_ever() -> None:
    """The first host needs requests too; and no exchange may send the watcher to sleep."""
    world = World()
    world.place("mk-a-1", age=OLD)
    world.fault = only("POST", CANCEL_ALL, saying(429, 20.0), 2)
    world.run(100.0)
    first, second, third = world.unscoped
    assert second - first >= 20
    assert third - second >= 20
    assert world.resting == {}
    assert not [call for _, call in world.calls if call.path == BULK], "at 429 nothing but waiting helps"
    world = World()
    world.place("mk-a-1", age=OLD)
    world.fault = only("POST", CANCEL_ALL, saying(429, 86_400.0), 1)
    world.run(ASKED_SECONDS_MAX + 10)
    assert world.resting == {}


@pytest.mark.parametrize("status", [403, 404, 501])
def test_an_unscoped_one_that_is_refused_has_other_routes(status: int) -> None:
    world = World()
    world.place("mk-a-1", age=OLD)
    world.place("mk-a-2", age=OLD, market="ETH-PERP")
    world.fault = lambda call: saying(status)(call) if call.body == {} else None
    world.run(10.0)
    assert world.resting == {}
    assert {(call.body or {}).get("marketId") for _, call in world.cancels} >= {"BTC-PERP", "ETH-PERP"}
    assert world.watcher.pulls == 1


def test_an_acknowledged_one_without_effect_has_other_routes() -> None:
    """Acknowledged is not gone: it is read back, and empty ladders take what no cancel-all does."""
    world = World(deaf=True)
    world.place("mk-a-1", age=OLD)
    world.run(10.0)
    assert world.resting == {}
    assert [call.body["cancelAll"] for _, call in world.calls if call.path == BULK and call.body] == [True]
    assert "pulled" in world.events()


def test_nothing_helps_and_it_says_so() -> None:
    world = World(deaf=True)
    world.place("mk-a-1", age=OLD)
    world.fault = lambda call: saying(503)(call) if call.path == BULK else None
    world.run(100.0)
    assert "cancel-all was acknowledged and old orders rest" in world.sentence("NOT VERIFIED")
    assert len(world.unscoped) > 5


def test_a_cancel_all_is_owed_although_reads_fail_meanwhile() -> None:
    """Old orders were seen; the cancel-all was lost; now nothing can be read: it is sent until acknowledged, once."""
    world = World()
    world.place("mk-a-1", age=OLD)

    def trouble(call: Call) -> Exception | None:
        if call.method == "GET":
            return lost(call) if world.cancels else None
        return lost(call) if len(world.unscoped) <= 3 else None

    world.fault = trouble
    world.run(200.0)
    assert world.resting == {}
    assert len(world.unscoped) == 4, "three lost, one acknowledged, and none after it without a look"
    assert world.watcher.pulls == 0, "not read back: not claimed"
    world.fault = lambda _call: None
    world.run(30.0)
    assert len(world.unscoped) == 4


def test_nothing_is_cancelled_blindly() -> None:
    """What was young when last seen may have been replaced since: without a read nothing is known."""
    world = World()
    world.place("mk-a-1")
    world.run(20.0)
    world.fault = only("GET", ORDERS, lost)
    world.run(500.0)
    assert world.cancels == []
    assert world.sentence("cannot look").startswith("NOBODY WATCHES meanwhile")


# -- looking


def test_it_reads_at_its_pace_and_says_now_and_then_that_it_lives() -> None:
    """A healthy hour: a read each five seconds, no order request but the one proof, a line every five minutes."""
    world = World()
    world.during = lambda: world.requote("mk-a", "zz")
    world.run(3600.0)
    assert 3600 / 5 - 25 < len(world.reads) <= 3600 / 5
    assert [call.path for _, call in world.calls if call.method == "POST"] == [CANCEL_ALL]
    assert 11 <= world.events().count("alive") <= 13
    assert "1 orders of ours rest, the oldest" in world.sentence("alive")
    assert "1 not ours" in world.sentence("alive")
    assert set(world.events()) == {"reading", "alive"}


def test_trouble_is_backed_off_with_jitter_and_told_once() -> None:
    gaps = {}
    for chance in (0.0, 1.0):
        world = World(random=chance)
        world.run(1.0)
        world.fault = only("GET", ORDERS, lost)
        world.run(200.0)
        gaps[chance] = [later - earlier for earlier, later in zip(world.reads[1:], world.reads[2:], strict=False)]
        assert world.events().count("cannot look") == 1
        world.fault = lambda _call: None
        world.run(TROUBLE_SECONDS_MAX + 1)
        assert world.events()[-1] in ("reading", "alive")
    assert [round(gap) for gap in gaps[1.0][:4]] == [5, 10, 15, 15]
    assert [round(2 * gap) for gap in gaps[0.0][:4]] == [5, 10, 15, 15]


def test_an_exchange_that_asks_readers_to_wait_is_obeyed() -> None:
    world = World()
    world.fault = only("GET", ORDERS, saying(429, 30.0), 1)
    world.run(40.0)
    assert 30 <= world.reads[1] - world.reads[0] < 32


def test_garbage_is_no_empty_account() -> None:
    """An answer that is no list of orders is trouble, and nothing was seen."""
    world = World()
    world.watcher.accepted = True
    steps = world.watcher.turn()
    assert next(steps) == Call("GET", ORDERS)
    with pytest.raises(StopIteration):
        steps.send(b"{}")
    assert (world.watcher.reads, world.watcher.failures) == (0, 1)


def test_clocks_of_the_exchange_that_disagree_are_told() -> None:
    world = World(skew=500.0)
    world.run(6.0)
    world.during = lambda: world.requote("mk-a")
    world.run(300.0)
    assert world.cancels == []
    assert "s ahead of its createdAt" in world.sentence("clocks")


# -- the key


@pytest.mark.parametrize("status", [401, 403, 409])
def test_a_key_that_is_refused_at_the_start_ends_it(status: int) -> None:
    world = World()
    world.fault = saying(status)
    with pytest.raises(Stopped) as stopped:
        world.run(100.0)
    assert stopped.value.exit_code == 77
    assert f"answered {status}" in stopped.value.sentence
    assert len(world.reads) == DENIED_MAX


def test_a_key_that_is_refused_later_is_loud_and_tried_slowly() -> None:
    """It never ends by itself; another key in its place is used at once."""
    world = World()
    world.run(20.0)
    before = len(world.reads)
    world.fault = saying(401)
    world.run(1200.0)
    assert 1200 / DENIED_SECONDS - 2 <= len(world.reads) - before <= 1200 / DENIED_SECONDS + 2
    assert world.events().count("KEY REFUSED") == 1200 // TELL_SECONDS
    assert ("KEY REFUSED", "error") in {(event, level) for event, _, level in world.lines}
    world.renews = True
    world.fault = only("GET", ORDERS, saying(401), 1)
    world.run(DENIED_SECONDS + 10)
    assert [event for event in world.events() if event != "alive"][-2:] == ["key", "reading"]
    assert world.reads[-1] - world.reads[-2] <= BOUNDS.poll_seconds + 1


def test_a_key_that_may_read_and_not_cancel_ends_it() -> None:
    """At the start, by a cancel-all of what does not exist; not when it would be needed."""
    world = World()
    world.place("mk-a-1", "zz-1")
    world.fault = lambda call: saying(403)(call) if call.method == "POST" else None
    with pytest.raises(Stopped, match="it has the scope 'read', it seems") as stopped:
        world.run(100.0)
    assert stopped.value.exit_code == 77
    assert set(world.resting) == {"mk-a-1", "zz-1"}


@pytest.mark.parametrize("fault", [lost, saying(429), saying(503)], ids=["lost", "429", "503"])
def test_a_proof_in_trouble_is_made_later(fault: Fault) -> None:
    world = World()
    world.fault = lambda call: fault(call) if call.method == "POST" and world.now < 1100 else None
    world.run(400.0)
    probes = [at for at, call in world.calls if call.method == "POST"]
    assert len(probes) == 3
    assert probes[1] - probes[0] >= PROVE_SECONDS
    assert "not known yet" in world.sentence("not proven")
    assert world.watcher.may_cancel


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_no_such_order_is_a_proof_too(status: int) -> None:
    world = World()
    world.fault = lambda call: saying(status)(call) if call.method == "POST" else None
    world.run(200.0)
    assert world.watcher.may_cancel
    assert len([call for _, call in world.calls if call.method == "POST"]) == 1


def test_a_pull_proves_the_key() -> None:
    world = World()
    world.place("mk-a-1", age=OLD)
    world.run(60.0)
    assert [call.body for _, call in world.calls if call.method == "POST"] == [{}]


# -- being told to stop


def stopped_after(world: World, seconds: float) -> tuple[int, str]:
    """Tell it to stop after so long."""
    ends_at = world.now + seconds
    world.during = lambda: setattr(world, "told", world.now >= ends_at)
    ended = world.run(seconds + 60)
    assert ended is not None, "told to stop, it goes on"
    return ended


def test_told_to_stop_it_looks_once_more() -> None:
    world = World()
    world.place("mk-a-1")
    code, sentence = stopped_after(world, 20.0)
    assert code == 0
    assert "1 orders of ours rest, and this host watches them no more" in sentence
    assert world.now - world.reads[-1] < 1
    world = World()
    assert "none of ours rests" in stopped_after(world, 20.0)[1]


@pytest.mark.parametrize("fault", [lost, saying(401), saying(503)], ids=["lost", "401", "503"])
def test_told_to_stop_while_it_cannot_look_is_75(fault: Fault) -> None:
    world = World()
    world.run(20.0)
    world.fault = only("GET", ORDERS, fault)
    code, sentence = stopped_after(world, 30.0)
    assert code == 75
    assert "QUOTES MAY REST" in sentence


def test_told_to_stop_before_anything_was_read_is_75() -> None:
    world = World()
    world.fault = lost
    assert stopped_after(world, 3.0)[0] == 75
    world = World(told=True)
    world.fault = saying(401)
    ended = world.run(60.0)
    assert ended is not None
    assert ended.exit_code == 75


def test_told_to_stop_while_old_orders_rest_it_pulls_once_more() -> None:
    world = World()
    world.place("mk-a-1", age=OLD)
    world.told = True
    ended = world.run(10.0)
    assert ended is not None
    assert (ended.exit_code, world.resting) == (0, {})
    world = World(deaf=True)
    world.place("mk-a-1", age=OLD)
    world.fault = lambda call: saying(503)(call) if call.path == BULK else None
    code, sentence = stopped_after(world, 30.0)
    assert code == 75
    assert "too old may rest" in sentence


def test_a_slow_poll_is_no_faster_in_trouble() -> None:
    world = World(bounds=Bounds(65.0, 70.0, 60.0), random=0.0)
    world.run(1.0)
    world.fault = only("GET", ORDERS, lost)
    world.run(400.0)
    assert min(b - a for a, b in zip(world.reads[1:], world.reads[2:], strict=False)) >= 30


def test_every_error_of_a_call_is_the_exchanges() -> None:
    """Steps meet nothing but NoAnswer: any other error is a bug of ours, and is not swallowed here."""
    world = World()
    world.fault = lambda _call: KeyError("planted")
    with pytest.raises(KeyError):
        world.run(10.0)
    assert issubclass(NoAnswer, Exception)
