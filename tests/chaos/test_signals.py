"""Stop signals at random moments; `tests/bench/campaign.py signals` plays more. Ctrl-C comes by a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trio

from maker.drills.processes import MakerRun, Process, cleaned, now_ms, until
from maker.drills.record import Record
from maker.launch import settings
from tests.chaos import signals
from tests.chaos.conftest import Show
from tests.chaos.world import verified_by
from tests.live.stage import paper_conf

STOPS: Final = 6
LANES: Final = 4
CTRL_C: Final = b"\x03"
TWICE_SECONDS: Final = 0.1  # between two Ctrl-C of somebody impatient: the halt is under way
ECHO_BYTES: Final = 1 << 16


async def test_signals_at_random_moments_change_nothing(tmp_path: Path, seed: int, show: Show) -> None:
    """S3, H3, F44: one to five of them, before and during the halt: exit 0, and the record proves it."""
    tries = await signals.stops(tmp_path, STOPS, seed, lanes=LANES)
    show("stop signals", signals.figures(tries.done))
    assert signals.broken(tries) == []


@contextlib.contextmanager
def at_terminal(folder: Path) -> Iterator[tuple[MakerRun, int]]:
    """Run at a terminal of its own, as a person would; the other end of it is a keyboard and a screen."""
    keyboard, terminal = pty.openpty()
    out, err = folder / "terminal.out", folder / "terminal.err"

    def own_terminal() -> None:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        os.tcsetpgrp(terminal, os.getpgrp())

    conf = paper_conf(folder)
    with out.open("wb") as results, err.open("wb"):
        popen = subprocess.Popen(
            [sys.executable, "-m", "maker", "run", str(conf), "--json"],
            cwd=settings.PROJECT_FOLDER,
            stdin=terminal,
            stdout=results,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=own_terminal,  # noqa: PLW1509 - it only makes two system calls, and nothing else starts here
        )
    os.close(terminal)
    os.set_blocking(keyboard, False)
    try:
        run = MakerRun(Process(popen, out, err), folder, conf, Record(folder / "venue-record.jsonl"))
        with cleaned(run):
            yield run, keyboard
    finally:
        os.close(keyboard)


async def show_screen(keyboard: int, screen: Path) -> None:
    """Read what appears on the screen: a terminal that nobody reads holds up whoever writes to it."""
    with contextlib.suppress(OSError):  # the last process has let go of the terminal
        while True:
            await trio.lowlevel.wait_readable(keyboard)
            with screen.open("ab") as file:
                file.write(os.read(keyboard, ECHO_BYTES))


@pytest.mark.parametrize("times", [1, 2])
async def test_ctrl_c_at_a_real_terminal(tmp_path: Path, times: int) -> None:
    """H3: the terminal signals its whole foreground process group, once or twice: exit 0, and the record proves it."""
    with at_terminal(tmp_path) as (maker, keyboard):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show_screen, keyboard, maker.process.err)
            await maker.quoting()
            group = os.tcgetpgrp(keyboard)
            assert group == maker.process.popen.pid, "the run is what the terminal's keys go to"
            at = now_ms()
            for _ in range(times):
                os.write(keyboard, CTRL_C)
                await trio.sleep(TWICE_SECONDS)  # the rhythm of the keys: part of the scene
            code = await maker.process.wait()
            await until(lambda: maker.has_ended("maker_pid"), 5.0, "the maker's end")
            nursery.cancel_scope.cancel(reason="the scene is over")
        assert (code, maker.result["verified_empty"]) == (0, True), maker.log[-3000:]
        assert "SIGINT" in maker.result["reason"]
        assert verified_by(maker.record, at) == ""
