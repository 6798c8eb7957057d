"""The parent process with real children: what it starts, what it passes on, and what it says when they end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maker.launch import start
from maker.launch.key import Key, spell
from maker.launch.reloading import RELOAD_SIGNAL
from maker.launch.running import keys_in_use
from tests.launch.scripted import KEY, WAIT_SECONDS_MAX, Scripted, ScriptedRun, finish, is_alive
from tests.support.venue_script import Request, Say, ScriptedExchange, order

DOCUMENTED = {
    "reason", "exit_code", "verified_empty", "open_orders", "quotes_sent", "fills", "position", "pnl", "halts",
    "attribution",
}  # fmt: skip


def test_the_makers_result_is_the_last_line_and_the_exit_code(scripted: Scripted) -> None:
    """A run prints what the maker reported, with every documented key, and ends with its code."""
    run = scripted("reports")
    code, result = finish(run.start("--for", "1.5m"))
    assert code == 0
    assert set(result) >= DOCUMENTED
    assert (result["quotes_sent"], result["position"], result["verified_empty"]) == (7, {"BTC-PERP": "0.5"}, True)
    words = result["argv"]
    assert words[words.index("--for") + 1] == "90.000s"
    assert words[words.index("--venue-url") + 1] == run.exchange.url
    assert words[words.index("--reference-url") + 1] == "ws://127.0.0.1:2"
    assert os.path.isabs(words[2])


def test_paper_mode_starts_the_venue_and_stops_it(scripted: Scripted) -> None:
    """The practice exchange learns whose it is, and is told to stop after the maker has ended."""
    run = scripted("waits")
    process = run.start()
    status = run.status()
    words = json.loads((run.folder / "venue_argv").read_text())
    assert words[words.index("--owner-pid") + 1] == str(process.pid)
    assert words[words.index("--port") + 1] == "0"
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0
    assert (run.folder / "venue_stopped").exists()
    assert not is_alive(status["venue_pid"])


def test_live_mode_starts_no_venue(scripted: Scripted) -> None:
    run = scripted("reports", mode="live")
    code, result = finish(run.start())
    assert code == 0
    assert "--venue-url" not in result["argv"]
    assert not (run.folder / "venue_argv").exists()


def test_run_json_names_the_processes_and_goes_away(scripted: Scripted) -> None:
    """While it runs, state/run.json holds the documented fields; afterwards it is gone."""
    run = scripted("waits")
    process = run.start()
    status = run.status()
    processes = {"guard_pid", "maker_pid", "venue_pid", "monitor_pid"}
    assert set(status) == {
        *processes,
        "venue_url",
        "reference_url",
        "monitor_url",
        "key_id",
        "config_sha256",
        "started_at",
    }
    assert status["monitor_pid"] is None, "this configuration wants none"
    assert status["guard_pid"] == process.pid
    assert is_alive(status["maker_pid"])
    assert is_alive(status["venue_pid"])
    assert (status["venue_url"], status["monitor_url"], status["key_id"]) == (run.exchange.url, None, None)
    assert status["reference_url"] == "ws://127.0.0.1:2", "as the practice exchange said"
    assert status["started_at"].endswith("+00:00")
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert not (run.folder / "state" / "run.json").exists()


def test_children_have_sessions_of_their_own(scripted: Scripted) -> None:
    """A terminal's Ctrl-C reaches the parent alone: neither child is in its session."""
    run = scripted("waits")
    process = run.start()
    status = run.status()
    assert os.getsid(status["maker_pid"]) == status["maker_pid"]
    assert os.getsid(status["venue_pid"]) == status["venue_pid"]
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_each_stop_signal_is_passed_on_as_it_came(scripted: Scripted, number: signal.Signals) -> None:
    run = scripted("waits")
    process = run.start()
    run.status()
    process.send_signal(number)
    code, result = finish(process)
    assert (code, result["signal"]) == (0, number)


def test_a_signal_while_the_maker_is_still_importing_waits(scripted: Scripted) -> None:
    """Stop signals reach the maker blocked, so an early one is delivered when it unblocks, and kills nothing."""
    run = scripted("slow_to_import")
    process = run.start()
    maker_pid = run.status()["maker_pid"]
    process.send_signal(signal.SIGTERM)
    pending = f"/proc/{maker_pid}/status"
    while int(next(line for line in Path(pending).read_text().splitlines() if line.startswith("ShdPnd"))[7:], 16) == 0:
        os.sched_yield()  # until the parent has passed it on
    (run.folder / "go").touch()
    code, result = finish(process)
    assert (code, result["signals"]) == (0, [signal.SIGTERM])


# -- the fire drill


def test_the_fire_drill_sweeps_before_the_maker_starts(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """S13, row 30: what an earlier run left is read, cancelled and read back empty twice, and only then."""
    exchange.resting = [order(number=1)]
    run = scripted("reports")
    assert finish(run.start())[0] == 0
    drill = [(one.method, one.is_unscoped) for one in exchange.requests]
    assert drill[:2] == [("GET", False), ("POST", True)]
    assert drill[-2:] == [("GET", False)] * 2
    assert exchange.resting == []


def test_orders_of_others_stop_the_start_and_ours_goes_by_name(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """H28: somebody else's orders are not ours to wipe; and ours, which an earlier run left, must not be left again."""
    theirs = order("ETH-PERP", 2, prefix="other")
    exchange.resting = [order(number=1), theirs]
    code, result = finish(scripted("reports").start())
    assert (code, result["exit_code"]) == (78, 78)
    assert "1 orders on the account are not ours (ETH-PERP other-e-2)" in result["reason"]
    assert "pulled by name" in result["reason"]
    assert [one.body for one in exchange.cancels] == [{"clientOrderId": "mk-e-1"}]
    assert exchange.resting == [theirs]


def test_beside_orders_of_others_alone_nothing_is_cancelled(scripted: Scripted, exchange: ScriptedExchange) -> None:
    exchange.resting = [order("ETH-PERP", 2, prefix="other")]
    assert finish(scripted("reports").start())[0] == 78
    assert exchange.cancels == []


def test_ours_that_cannot_be_pulled_beside_theirs_may_rest(scripted: Scripted, exchange: ScriptedExchange) -> None:
    exchange.resting = [order(number=1), order("ETH-PERP", 2, prefix="other")]
    exchange.script = lambda request: Say(500) if request.method == "POST" else None
    code, result = finish(scripted("reports").start(limits="fire_drill.DRILL_SECONDS_MAX = 1.0"))
    assert code == 75
    assert "may rest" in result["reason"]


def test_foreign_orders_are_cancelled_where_the_configuration_says_so(
    scripted: Scripted, exchange: ScriptedExchange
) -> None:
    exchange.resting = [order("ETH-PERP", 2, prefix="other")]
    assert finish(scripted("reports", changes={"foreign_orders": "cancel"}).start())[0] == 0
    assert exchange.resting == []


@pytest.mark.parametrize(("status", "code"), [(401, 77), (403, 77), (503, 75)])
def test_a_drill_that_fails_starts_nothing(
    scripted: Scripted, exchange: ScriptedExchange, status: int, code: int
) -> None:
    """A key that may not cancel must never quote; where nobody can be swept, an earlier run's quotes may rest."""
    exchange.script = lambda request: Say(status) if request.method == "POST" else None
    run = scripted("reports")
    ended, result = finish(run.start(limits="fire_drill.DRILL_SECONDS_MAX = 0.5"))
    assert (ended, result["exit_code"]) == (code, code)
    assert ("may rest" in result["reason"]) == (code == 75)
    assert not (run.folder / "maker_argv").exists()


def test_a_drill_waits_for_the_window_that_an_earlier_run_used_up(
    scripted: Scripted, exchange: ScriptedExchange
) -> None:
    """F26: once; an exchange that throttles for ever is none to start on."""
    exchange.resting = [order(number=1)]
    limits, throttled = "fire_drill.DRILL_SECONDS_MAX = 0.5", Say(429, b'{"retryAfterMs": 1000}')
    exchange.script = lambda request: throttled if request.method == "POST" and len(exchange.requests) < 3 else None
    run = scripted("reports")
    assert finish(run.start(limits=limits))[0] == 0
    assert exchange.resting == []
    exchange.script = lambda _request: throttled
    code, result = finish(run.start(limits=limits))
    assert code == 75
    assert "429" in result["reason"]


def test_what_cannot_be_swept_may_rest(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """F30: every cancel-all is acknowledged and an order of ours rests on; another start may help."""
    exchange.resting = [order(number=1)]
    exchange.script = lambda request: Say(200, b"{}") if request.method == "POST" else None
    run = scripted("reports")
    code, result = finish(run.start(limits="fire_drill.DRILL_SECONDS_MAX = 1.5"))
    assert code == 75
    assert "could not be swept" in result["reason"]
    assert "may rest" in result["reason"]
    assert not (run.folder / "maker_argv").exists()


def test_a_drill_without_answers_is_tried_on_and_can_be_stopped(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """The alarm that ends a call is no stop signal; a stop signal is one."""
    exchange.script = lambda _request: Say(hang=True)
    run = scripted("reports")
    limits = "from maker.guard import exchange; exchange.CALL_SECONDS_MAX = 0.2; fire_drill.DRILL_SECONDS_MAX = 1.5"
    code, result = finish(run.start(limits=limits))
    assert code == 75
    assert "within 1.5 s" in result["reason"]
    assert len(exchange.reads) >= 3
    process = run.start(limits="fire_drill.DRILL_SECONDS_MAX = 60.0")
    seen = len(exchange.reads)
    while len(exchange.reads) == seen:
        os.sched_yield()
    process.send_signal(signal.SIGTERM)
    code, result = finish(process)
    assert code == 75
    assert "stopped by a signal" in result["reason"]


# -- the key


def noted(scope: str, expires_in_seconds: float) -> str:
    """A key with the notes of its file, as a variable may hold the whole of one."""
    return spell(Key(KEY, "ocx_kid_1", scope, time.time() + expires_in_seconds), "bot")


def started_with(run: ScriptedRun, kept: str) -> tuple[int, dict[str, Any]]:
    run.key = kept
    return finish(run.start())


def test_a_key_noted_as_read_is_refused_before_anybody_is_asked(scripted: Scripted, exchange: ScriptedExchange) -> None:
    code, result = started_with(scripted("reports", mode="live"), noted("read", 1e6))
    assert code == 77
    assert "scope 'read'" in result["reason"]
    assert "keys create" in result["reason"]
    assert exchange.requests == []


def test_a_key_that_reads_and_may_not_cancel_is_told_its_scope(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """A key from elsewhere has no notes: what it was allowed a moment before tells the scope from an expiry."""
    exchange.script = lambda request: Say(403, b"{}") if request.method == "POST" else None
    code, result = started_with(scripted("reports", mode="live"), KEY)
    assert code == 77
    assert "lets the key read" in result["reason"]
    assert "scope 'read'" in result["reason"]
    assert "--scope trade" in result["reason"]


def test_a_revoked_key_is_told_at_once(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """A read that is answered 409 can only mean the key: half a minute of trying again would not help."""
    exchange.script = lambda _request: Say(409, b"{}")
    code, result = started_with(scripted("reports", mode="live"), KEY)
    assert code == 77
    assert "revoked" in result["reason"]
    assert len(exchange.requests) == 1


def test_a_key_in_its_last_minutes_sweeps_and_does_not_quote(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """What an earlier run left is pulled while anybody still can; nothing new is placed."""
    exchange.resting = [order(number=1)]
    run = scripted("reports", mode="live")
    code, result = started_with(run, noted("trade", 60.0))
    assert code == 77
    assert "expires in 1 min" in result["reason"]
    assert exchange.resting == []
    assert not (run.folder / "maker_argv").exists()


def test_a_key_that_lasts_quotes_and_is_named_while_it_does(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """Its id stands in run.json, so that `keys revoke` can spare it; its secret goes to the exchange and no further."""
    run = scripted("waits", mode="live")
    run.key = noted("trade", 3600.0)
    process = run.start()
    assert run.status()["key_id"] == "ocx_kid_1"
    assert keys_in_use(run.folder / "state") == ("ocx_kid_1",)
    assert {request.headers["x-api-key"] for request in exchange.requests} == {KEY}
    words = Path(f"/proc/{process.pid}/cmdline").read_bytes() + (run.folder / "maker_argv").read_bytes()
    assert KEY.encode() not in words + (run.folder / "state" / "run.json").read_bytes()
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0
    assert keys_in_use(run.folder / "state") is None


# -- armed, and watched


def test_the_maker_is_armed_with_its_own_epoch(scripted: Scripted) -> None:
    """S20: the answer to the first heartbeat, and to no other epoch."""
    run = scripted("armed:reports")
    assert finish(run.start())[0] == 0
    assert json.loads((run.folder / "armed").read_bytes()) == {"armed": "e1"}


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("armed:silent", "no heartbeat came in time"),
        ("armed:babbles", "it sent a heartbeat that is none"),
        ("armed:changes", "it sent a heartbeat that is none"),
        ("armed:hangs up", "it hung up and did not end"),
    ],
)
def test_a_maker_not_to_be_trusted_is_killed_and_pulled(
    scripted: Scripted, exchange: ScriptedExchange, behaviour: str, why: str
) -> None:
    """Silence, garbage, another epoch, a closed link: SIGKILL first, then cancel-all through the tail, then empty."""
    run = scripted(behaviour)
    process = run.start(limits="watch.HANG_UP_SECONDS_MAX = 0.2")
    run.wait_for("armed")
    maker_pid = json.loads((run.folder / "state" / "run.json").read_text())["maker_pid"]
    dead_at: list[bool] = []
    with contextlib.ExitStack() as opened:
        killed: int | None = None
        with contextlib.suppress(ProcessLookupError):  # on a busy machine it may be dead and gone before we look
            killed = os.pidfd_open(maker_pid)
            opened.callback(os.close, killed)

        def look(request: Request) -> Say | None:
            dead_at.append(killed is None or bool(select.select([killed], [], [], 0.0)[0]))
            return None

        exchange.script = look
        exchange.resting = [order(number=7)]
        code, result = finish(process)
    assert (code, result["verified_empty"], result["open_orders"]) == (70, True, 0)
    assert why in result["reason"]
    assert dead_at
    assert all(dead_at), "cancelled before the maker was dead: it could have placed again"
    assert exchange.resting == []
    assert len(exchange.cancels) >= 1 + 2  # the drill's; at 0, 0.25 and 0.6 s, unless held up between
    assert not is_alive(maker_pid)


def test_a_killed_maker_is_pulled_and_read_back(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """H25: no code of the maker runs; the guard's does. The incident is on file."""
    run = scripted("armed:waits")
    process = run.start()
    maker_pid = run.status()["maker_pid"]
    exchange.resting = [order(number=7)]
    os.kill(maker_pid, signal.SIGKILL)
    code, result = finish(process)
    assert (code, result["verified_empty"]) == (70, True)
    assert "was killed by signal 9" in result["reason"]
    assert exchange.resting == []
    incident = json.loads(next((run.folder / "state" / "incidents").glob("*.json")).read_text())
    assert (incident["maker_pid"], incident["epoch"], incident["exit_code"]) == (maker_pid, "e1", 70)
    assert "read back empty" in incident["outcome"]


NO_THREADS = """
import threading
started, begin = [], threading.Thread.start
def start_no_more(thread):
    started.append(thread)
    if len(started) > 1:  # the first looks the exchange's name up
        raise RuntimeError("can't start new thread")
    begin(thread)
threading.Thread.start = start_no_more
"""


def test_without_another_thread_it_watches_and_pulls_all_the_same(
    scripted: Scripted, exchange: ScriptedExchange
) -> None:
    """A limit of tasks that somebody beside us has used up: no monitor, no reload, no file; no quote is left either."""
    run = scripted("armed:waits", monitor="serves")
    process = run.start(limits=NO_THREADS)
    maker_pid = run.status()["maker_pid"]
    process.send_signal(RELOAD_SIGNAL)
    exchange.resting = [order(number=7)]
    os.kill(maker_pid, signal.SIGKILL)
    code, result = finish(process)
    assert (code, result["verified_empty"]) == (70, True)
    assert exchange.resting == []


def test_a_maker_that_died_before_it_was_armed_needs_no_tail(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """It could not have placed anything: one cancel-all and two empty reads say so."""
    code, result = finish(scripted("killed").start())
    assert (code, result["verified_empty"]) == (70, True)
    assert len(exchange.cancels) == 2


def test_an_exchange_out_of_reach_is_75_and_says_so_loudly(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """S1: tried until the time is up; quotes may rest."""
    run = scripted("armed:waits", changes={"give_up_seconds": 1.5})
    process = run.start()
    maker_pid = run.status()["maker_pid"]
    exchange.script = lambda _request: Say(503)
    os.kill(maker_pid, signal.SIGKILL)
    code, result = finish(process)
    assert (code, result["verified_empty"], result["open_orders"]) == (75, False, None)
    assert "QUOTES MAY REST" in result["reason"]
    assert len(exchange.cancels) >= 4


def test_a_maker_that_could_not_verify_is_verified_for(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """It was stopping as asked, and the exchange came back while the guard went on: 0 is earned after all."""
    exchange.resting = []
    code, result = finish(scripted("armed:unverified").start())
    assert (code, result["verified_empty"], result["open_orders"]) == (0, True, 0)
    assert "exit_code_if_empty" not in result


def test_a_write_without_answer_gets_its_whole_tail(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """S1: the maker ended in time, verified, with a write of unknown outcome: the guard finishes the tail."""
    code, result = finish(scripted("armed:unknown").start())
    assert (code, result["verified_empty"]) == (0, True)
    assert len(exchange.cancels) >= 1 + 2
    assert "unknown_write_at" not in result


def test_a_write_without_answer_long_ago_has_landed_or_never_will(
    scripted: Scripted, exchange: ScriptedExchange
) -> None:
    """What the maker verified after the tail needs no second pull."""
    assert finish(scripted("armed:unknown long ago").start())[0] == 0
    assert len(exchange.cancels) == 1


# -- latched


def test_the_kill_file_stops_a_run_and_refuses_the_next(scripted: Scripted) -> None:
    """Row 9: one action stops and blocks, by `touch`, until a person clears it."""
    run = scripted("armed:waits")
    process = run.start()
    run.status()
    (run.folder / "state" / "kill").touch()
    code, result = finish(process)
    assert (code, result["signal"]) == (0, signal.SIGTERM)
    code, result = finish(run.start())
    assert code == 78
    assert "put there by hand" in result["reason"]
    assert "clear" in result["reason"]


def test_a_latched_start_sweeps_what_an_earlier_run_left(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """S1, S21: whoever latched may have died before it could pull, and in a container nobody else comes."""
    exchange.resting = [order(number=1)]
    run = scripted("reports", mode="live")
    (run.folder / "state").mkdir()
    (run.folder / "state" / "kill").touch()
    code, result = finish(run.start())
    assert code == 78
    assert "put there by hand" in result["reason"]
    assert exchange.resting == []
    assert not (run.folder / "maker_argv").exists()
    exchange.script = lambda _request: Say(503)
    code, result = finish(run.start(limits="fire_drill.DRILL_SECONDS_MAX = 0.5"))
    assert code == 75
    assert "may rest" in result["reason"]


def test_a_crash_loop_is_latched(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """Three deaths within the window: the fourth start is refused until a person looks."""
    run = scripted("killed")
    limits = "lock.BACKOFF_SECONDS_MAX = 0.1"
    for _ in range(3):
        assert finish(run.start(limits=limits))[0] == 70
    code, result = finish(run.start(limits=limits))
    assert code == 78
    assert "the maker died 3 times" in result["reason"]


def test_a_run_that_is_ending_is_waited_for(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """A new run waits for the old tail, and then starts; it does not overlap it."""
    run = scripted("armed:waits", changes={"tail_seconds": 2.0})
    first = run.start()
    maker_pid = run.status()["maker_pid"]
    (run.folder / "maker_ready").unlink()
    os.kill(maker_pid, signal.SIGKILL)
    lock = run.folder / "state" / "maker.lock"
    while not json.loads(lock.read_text() or "{}").get("ending"):
        os.sched_yield()
    second = run.start()
    assert finish(first)[0] == 70
    last_of_the_first = exchange.requests[-1].at
    begun = len(exchange.requests)
    run.wait_for("maker_ready")
    assert exchange.requests[begun].at > last_of_the_first
    second.send_signal(signal.SIGTERM)
    assert finish(second)[0] == 0


def test_two_state_folders_of_one_account_exclude_each_other(scripted: Scripted) -> None:
    """S13: one writer per account on a machine."""
    run = scripted("waits", mode="live")
    process = run.start()
    run.status()
    conf = run.folder / "conf.toml"
    conf.write_text(conf.read_text().replace('state_folder = "state"', 'state_folder = "other"'))
    code, result = finish(run.start())
    assert code == 78
    assert "on the account 'scripted' on this machine" in result["reason"]
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


def test_without_a_key_nothing_starts(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """S18: and the sentence names where it was looked for, never what was found."""
    run = scripted("reports", mode="live")
    conf = run.folder / "conf.toml"
    conf.write_text(conf.read_text().replace("SCRIPTED_KEY", "NO_SUCH_KEY"))
    code, result = finish(run.start())
    assert code == 78
    assert "NO_SUCH_KEY" in result["reason"]
    assert KEY not in str(result)
    assert exchange.requests == []


# -- what the maker says of its end


def test_a_report_that_the_end_belies_is_not_believed(scripted: Scripted) -> None:
    """A maker that said 'clean' and was then killed did not finish what it said."""
    code, result = finish(scripted("killed_after_report").start())
    assert (code, result["exit_code"], result["verified_empty"]) == (70, 70, True)
    assert "reported exit code 0 but was killed by signal 9" in result["reason"]


def test_half_a_report_is_none(scripted: Scripted) -> None:
    code, result = finish(scripted("garbage").start())
    assert (code, result["verified_empty"]) == (70, True)
    assert "without a report" in result["reason"]


def test_the_makers_own_failure_code_is_kept(scripted: Scripted) -> None:
    code, result = finish(scripted("fails").start())
    assert (code, result["reason"]) == (70, "a task failed")


def test_a_report_larger_than_a_pipe_arrives_whole(scripted: Scripted) -> None:
    code, result = finish(scripted("large").start())
    assert (code, len(result["reason"])) == (0, 300_000)


def test_a_second_run_in_the_same_state_folder_is_refused(scripted: Scripted) -> None:
    run = scripted("waits")
    first = run.start()
    status = run.status()
    code, result = finish(run.start())
    assert (code, result["exit_code"]) == (78, 78)
    assert "another maker is running" in result["reason"]
    assert is_alive(status["maker_pid"])
    first.send_signal(signal.SIGTERM)
    assert finish(first)[0] == 0


def test_the_lock_outlives_a_killed_parent_while_the_maker_unwinds(scripted: Scripted) -> None:
    """kill -9 of the parent: the maker learns it by the end of file, and nobody else may start until it has ended."""
    run = scripted("orphan")
    process = run.start()
    maker_end = os.pidfd_open(run.status()["maker_pid"])
    process.kill()
    run.wait_for("owner_gone")
    assert finish(run.start())[0] == 78
    (run.folder / "go").touch()
    with (run.folder / "state" / "maker.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # granted once the maker has ended
    assert select.select([maker_end], [], [], 5.0)[0]  # it closes its files a moment before it is gone
    os.close(maker_end)


@pytest.mark.parametrize(
    ("venue", "words"),
    [("venue_ends", "did not start"), ("venue_babbles", "where it listens"), ("venue_silent", "not ready after 2 s")],
)
def test_without_a_venue_no_maker_starts(scripted: Scripted, venue: str, words: str) -> None:
    run = scripted("reports", venue=venue)
    code, result = finish(run.start(limits="start.VENUE_READY_SECONDS_MAX = 2.0"))
    assert code == 78
    assert words in result["reason"]
    assert not (run.folder / "maker_argv").exists()


def test_a_signal_while_the_venue_starts_ends_the_run(scripted: Scripted) -> None:
    run = scripted("reports", venue="venue_silent")
    process = run.start()
    run.wait_for("venue_argv")
    process.send_signal(signal.SIGTERM)
    code, result = finish(process)
    assert code == 78
    assert "before anything was placed" in result["reason"]
    assert not (run.folder / "maker_argv").exists()


def test_a_maker_that_does_not_end_is_killed(scripted: Scripted) -> None:
    run = scripted("armed:hangs")
    process = run.start(limits="watch.STOP_SECONDS_MAX = 0.3")
    maker_pid = run.status()["maker_pid"]
    process.send_signal(signal.SIGTERM)
    code, result = finish(process)
    assert (code, result["verified_empty"]) == (70, True)
    assert "told to stop and did not end" in result["reason"]
    assert not is_alive(maker_pid)


def test_a_maker_that_overstays_its_time_is_told_to_stop(scripted: Scripted) -> None:
    """`--for` is the maker's to keep; if it does not, the parent stops it as SIGTERM would."""
    run = scripted("waits")
    code, result = finish(run.start("--for", "0.1s", limits="parent.START_SECONDS_MAX = 0.3"))
    assert (code, result["signal"]) == (0, signal.SIGTERM)


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that nobody reads and that takes no more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 4096):
            pass
    os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


def test_a_full_stderr_does_not_hold_the_parent(scripted: Scripted) -> None:
    """Nobody reads our log: the run ends all the same, with its result."""
    with full_pipe() as writer:
        code, result = finish(scripted("reports").start(stderr=writer))
    assert (code, result["quotes_sent"]) == (0, 7)


def test_a_line_of_whatever_letters_ends_no_watch(capfd: pytest.CaptureFixture[str]) -> None:
    """A file's name, or a maker's own sentence, may hold what no encoding has."""
    start.log("not reloaded", "nothing was changed: \udc80.")
    assert json.loads(capfd.readouterr().err)["sentence"] == "nothing was changed: ?."


def test_a_full_stdout_does_not_hold_the_exit(scripted: Scripted) -> None:
    """H16: nobody ever reads our result: the exit code comes all the same."""
    with full_pipe() as writer:
        process = scripted("fails").start(stdout=writer, limits="command.PRINT_SECONDS_MAX = 0.3")
        assert process.wait(WAIT_SECONDS_MAX) == 70


def test_a_closed_stdout_changes_no_exit_code(scripted: Scripted) -> None:
    run = scripted("waits")
    process = run.start()
    run.status()
    assert process.stdout is not None
    process.stdout.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stderr is not None
    process.stderr.close()


def test_a_state_folder_that_cannot_be_is_refused(scripted: Scripted) -> None:
    run = scripted("reports")
    (run.folder / "state").write_text("a file")
    code, result = finish(run.start())
    assert code == 78
    assert "cannot use the state folder" in result["reason"]


def test_for_people_it_is_three_lines(scripted: Scripted) -> None:
    run = scripted("fails")
    ended = subprocess.run(
        [sys.executable, "-m", "maker", "run", "conf.toml"],
        cwd=run.folder,
        env=run.environment(),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 70
    assert ended.stdout.startswith("Stopped: a task failed. The exchange was NOT verified empty: quotes may rest")
    assert len(ended.stdout.splitlines()) == 3
