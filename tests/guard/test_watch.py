"""The judge of one maker, without the maker: a clock in numbers, heartbeats in bytes."""

from __future__ import annotations

import json
import signal

import pytest

from maker.guard import watch as room
from maker.guard.watch import Judge

HANG_SECONDS_MAX = 3.0
T = 1000.0  # when its life begins
MOMENT = 0.001


def beat(epoch: str = "e1", *, ending: bool = False) -> bytes:
    return json.dumps({"epoch": epoch, "in_flight": 1, "last_write": 999.5, "ending": ending}).encode()


def armed() -> Judge:
    judge = Judge(HANG_SECONDS_MAX, T)
    assert json.loads(judge.heard(beat(), T)) == {"armed": "e1"}
    return judge


def test_before_the_first_heartbeat_it_has_its_time_to_start() -> None:
    judge = Judge(HANG_SECONDS_MAX, T)
    assert judge.trouble(T + room.START_SECONDS_MAX, 0.0) == ""
    assert judge.trouble(T + room.START_SECONDS_MAX + MOMENT, 0.0) == "no heartbeat came in time"
    assert not judge.ended(b"", "no heartbeat came in time").armed


def test_each_heartbeat_is_answered_and_silence_is_its_end() -> None:
    """S20, F37: a maker that hangs sends none."""
    judge = armed()
    assert judge.trouble(T + HANG_SECONDS_MAX, 0.0) == ""
    assert json.loads(judge.heard(beat(), T + 2.0)) == {"armed": "e1"}
    assert judge.trouble(T + 2.0 + HANG_SECONDS_MAX, 0.0) == ""
    assert judge.trouble(T + 2.0 + HANG_SECONDS_MAX + MOMENT, 0.0) == "no heartbeat came in time"


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 4096,
        beat().replace(b"1,", b"Infinity,"),
        beat().replace(b"999.5", b"1" + b"0" * 400),
    ],
    ids=range(7),
)
def test_babble_is_not_answered_and_is_its_end(data: bytes) -> None:
    judge = armed()
    assert judge.heard(data, T + 1.0) == b""
    assert judge.trouble(T + 1.0, 0.0) == "it sent a heartbeat that is none"


def test_another_epoch_is_never_armed_nor_forgiven() -> None:
    """S13, S20: whoever that is, it is not the run that was armed; going back to the first helps nothing."""
    judge = armed()
    for epoch in ("e2", "e2", "e1"):
        assert judge.heard(beat(epoch), T + 1.0) == b""
        assert judge.trouble(T + 1.0, 0.0) == "it sent a heartbeat that is none"


def test_a_maker_that_hangs_up_must_end_at_once() -> None:
    judge = armed()
    judge.hung_up(T + 1.0)
    assert judge.trouble(T + 1.0 + room.HANG_UP_SECONDS_MAX - MOMENT, 0.0) == ""
    assert judge.trouble(T + 1.0 + room.HANG_UP_SECONDS_MAX, 0.0) == "it hung up and did not end"


def test_one_that_is_ending_may_be_silent_for_longer() -> None:
    """Its quotes are gone: what is left are the last read and the journal."""
    judge = armed()
    assert judge.heard(beat(ending=True), T + 1.0)
    assert judge.trouble(T + 1.0 + room.ENDING_SECONDS_MAX, 0.0) == ""
    assert judge.trouble(T + 1.0 + room.ENDING_SECONDS_MAX + MOMENT, 0.0) == "no heartbeat came in time"


def test_a_machine_that_slept_is_its_end() -> None:
    """F38: what it was about to write is old."""
    judge = armed()
    assert judge.trouble(T, room.SUSPEND_SECONDS_MAX) == ""
    assert judge.trouble(T, room.SUSPEND_SECONDS_MAX + MOMENT) == "the machine slept"


def test_stop_signals_are_passed_on_as_they_came_and_give_it_its_time() -> None:
    """H3, F44: one to five; alarms of the guard's own are none, and a second signal buys no more time."""
    judge = armed()
    assert judge.told([signal.SIGALRM, signal.SIGCHLD], False, T) == []
    assert judge.told([signal.SIGINT, signal.SIGALRM, signal.SIGTERM], False, T) == [signal.SIGINT, signal.SIGTERM]
    assert judge.told([signal.SIGINT], False, T + 5.0) == [signal.SIGINT]
    judge.heard(beat(), T + room.STOP_SECONDS_MAX)
    assert judge.trouble(T + room.STOP_SECONDS_MAX - MOMENT, 0.0) == ""
    assert judge.trouble(T + room.STOP_SECONDS_MAX, 0.0) == "it was told to stop and did not end"


def test_the_earlier_demand_stands() -> None:
    judge = armed()
    judge.told([signal.SIGTERM], False, T)
    judge.hung_up(T + 1.0)
    judge.told([signal.SIGTERM], False, T + 1.5)
    assert judge.trouble(T + 1.0 + room.HANG_UP_SECONDS_MAX, 0.0) == "it hung up and did not end"


def test_the_kill_file_stops_it_once_unless_it_obeyed_before() -> None:
    """S21: the maker sees the file too, and gets a moment to say so itself."""
    judge = armed()
    assert judge.told([], True, T) == []
    assert judge.told([], True, T + room.KILL_FILE_SECONDS - MOMENT) == []
    assert judge.told([], False, T + room.KILL_FILE_SECONDS) == [signal.SIGTERM]
    assert judge.told([], True, T + room.KILL_FILE_SECONDS + 1.0) == []


def test_when_its_time_is_up_it_is_told_once() -> None:
    judge = armed()
    judge.stop_at = T + 10.0
    assert judge.told([], False, T + 10.0 - MOMENT) == []
    assert judge.told([], False, T + 10.0) == [signal.SIGTERM]
    assert judge.told([], False, T + 11.0) == []


def test_what_a_killed_maker_wrote_does_not_count() -> None:
    judge = armed()
    assert judge.ended(b"{}", "") == (b"{}", "", True, judge.beat)
    assert judge.ended(b"{}", "the machine slept") == (b"", "the machine slept", True, judge.beat)
    assert judge.beat == {"epoch": "e1", "in_flight": 1, "last_write": 999.5, "ending": False}
