"""Drills of the processes themselves: told to stop, failing, stopped, killed, and short of what a machine gives."""

from __future__ import annotations

import os
import resource
import signal
from typing import Final

import trio

from maker.drills.processes import POLL_SECONDS, cleaned, now_ms, start_maker, until
from maker.drills.scene import FAILED_EMPTY, RUN_WORDS, DrillFailed, Finding, Scene

STOP_MS: Final = 2_000.0  # a signal → nothing rests, verified, exit 0
KILLED_MS: Final = 100.0  # kill -9 → a cancel-all is at the exchange
HUNG_MARGIN_MS: Final = 100.0  # beyond hang_seconds_max: killed, and nothing rests
WOKEN_MS: Final = 500.0  # awake again with an old book → nothing rests
RESTART_MS: Final = 10_000.0  # the command → what an earlier run left is swept
AGAIN_SECONDS: Final = 0.05  # between two Ctrl-C
STALE_MARGIN_SECONDS: Final = 0.3  # older than it may be by so much
STARVED_SECONDS: Final = 1.5  # a round of polls without a descriptor to open


async def sigterm(scene: Scene) -> Finding:
    """SIGTERM: what `kill`, systemd and a container's stop send."""
    return await told(scene, signal.SIGTERM)


async def double_sigint(scene: Scene) -> Finding:
    """Ctrl-C, and again while it is stopping."""
    return await told(scene, signal.SIGINT, signal.SIGINT)


async def sighup(scene: Scene) -> Finding:
    """The terminal is closed."""
    return await told(scene, signal.SIGHUP)


async def told(scene: Scene, *numbers: int) -> Finding:
    scene.must_rest()
    at = now_ms()
    scene.maker.process.send(numbers[0])
    for number in numbers[1:]:
        await trio.sleep(AGAIN_SECONDS)
        scene.maker.process.send(number)
    return await scene.left(at, STOP_MS)


async def unhandled_error(scene: Scene) -> Finding:
    """A bug: an exception nobody expected, in a feed's task."""
    scene.must_rest()
    scene.trigger.touch()
    raised_at = await until(lambda: float(scene.trigger.read_text() or 0), 10.0, "the planted error")
    return await scene.left(raised_at, STOP_MS, FAILED_EMPTY)


async def kill_9(scene: Scene) -> Finding:
    """The maker is killed: kill -9, or the kernel for want of memory."""
    scene.must_rest()
    at = now_ms()
    scene.maker.signal_maker(signal.SIGKILL)
    first = await scene.first_cancel(at, KILLED_MS / 1000)
    rested = await scene.no_quotes(at, scene.settings.tail_seconds)
    return Finding(rested, first.begin - at, KILLED_MS, "first cancel-all", ends_with=FAILED_EMPTY)


async def hang(scene: Scene) -> Finding:
    """The maker stands still and does not come back."""
    scene.must_rest()
    at = now_ms()
    scene.maker.signal_maker(signal.SIGSTOP)
    limit_ms = scene.settings.hang_seconds_max * 1000 + HUNG_MARGIN_MS
    return await scene.pulled(at, limit_ms, ends_with=FAILED_EMPTY)


async def resume_stale(scene: Scene) -> Finding:
    """The maker stands still until its book is old, and goes on: the first thing to leave is a cancel-all."""
    scene.must_rest()
    stopped_at = now_ms()
    scene.maker.signal_maker(signal.SIGSTOP)
    await trio.sleep(scene.settings.stale_seconds_max + STALE_MARGIN_SECONDS)
    at = now_ms()
    scene.maker.signal_maker(signal.SIGCONT)
    rested = await scene.no_quotes(at, WOKEN_MS / 1000)
    first = await scene.first_cancel(stopped_at, WOKEN_MS / 1000)
    early = [call for call in scene.record.ladders(stopped_at) if at < call.begin < first.begin]
    if early:
        raise DrillFailed("a ladder priced from the old book left before the cancel-all")
    gone = scene.maker.process.ended or scene.maker.has_ended("maker_pid")  # the guard found it silent for too long
    return Finding(rested, rested, WOKEN_MS, ends_with=FAILED_EMPTY if gone else None)


async def guard_killed(scene: Scene) -> Finding:
    """The parent is killed: the maker pulls by itself, for nobody would pull if it died too."""
    scene.must_rest()
    at = now_ms()
    scene.maker.process.popen.kill()
    return await scene.pulled(at, STOP_MS, ends_with=-signal.SIGKILL)


async def both_killed_then_restart(scene: Scene) -> Finding:
    """Both are killed at once, and nothing of ours is left to pull: the next start sweeps before it quotes."""
    scene.must_rest()
    scene.maker.process.send(signal.SIGSTOP)  # so that neither sees the other die
    scene.maker.signal_maker(signal.SIGKILL)
    scene.maker.process.popen.kill()
    await scene.maker.process.wait()
    await until(lambda: scene.maker.has_ended("maker_pid"), 5.0, "the end of the maker")
    scene.must_rest()
    orphans = set(scene.record.resting())
    at = now_ms()
    folder, conf = scene.stage.folder, scene.maker.conf
    with cleaned(start_maker(folder, conf, *RUN_WORDS, record=scene.record, environment=scene.environment)) as again:
        rested = await scene.no_quotes(at, RESTART_MS / 1000)
        await again.quoting(since=at)
        first = scene.record.placed(at)[0]["t"]
        if any(order in scene.record.resting(first) for order in orphans):
            raise DrillFailed("a new quote was placed while the killed run's quotes rested")
        again.process.send(signal.SIGTERM)
        code = await again.process.wait()
    if code != 0:
        raise DrillFailed(f"the second run ended with {code} instead of 0")
    return Finding(rested, rested, RESTART_MS, "swept by the next start", ends_with=-signal.SIGKILL)


async def blocked_stdout(scene: Scene) -> Finding:
    """Nobody reads what we print: stdout and stderr are full pipes. The result comes once somebody reads."""
    assert scene.pipes is not None
    stdout, stderr = scene.pipes
    scene.must_rest()
    stdout.fill()
    stderr.fill()
    at = now_ms()
    scene.maker.process.send(signal.SIGTERM)
    rested = await scene.no_quotes(at, STOP_MS / 1000)

    def proved() -> float | None:
        scene.record.refresh()
        reads = [call for call in scene.record.calls() if call.reads_orders and call.ack and call.begin >= at + rested]
        return reads[1].ack if len(reads) > 1 else None

    proved_at = await until(proved, STOP_MS / 1000 + 10.0, "two reads of open orders after it")
    said = b""
    while not scene.maker.process.ended:
        said += stdout.drain()
        stderr.drain()
        await trio.sleep(POLL_SECONDS)
    scene.maker.process.out.write_bytes((said + stdout.drain()).strip())
    return Finding(rested, proved_at - at, STOP_MS, "read back empty", ends_with=0)


async def journal_disk_full(scene: Scene) -> Finding:
    """The journal's disk takes no more: files of the maker may not grow by a byte."""
    scene.must_rest()
    at = now_ms()
    resource.prlimit(scene.maker.status["maker_pid"], resource.RLIMIT_FSIZE, (1, 1))
    return await scene.left(at, STOP_MS, FAILED_EMPTY)


async def no_free_descriptors(scene: Scene) -> Finding:
    """Not one more descriptor is to be had: no file, no connection. Then SIGTERM."""
    scene.must_rest()
    pid = scene.maker.status["maker_pid"]
    taken = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (taken + 1, taken + 1))
    await trio.sleep(STARVED_SECONDS)
    return await told(scene, signal.SIGTERM)
