"""The monitor beside a real run: whatever becomes of it, the maker quotes on and stops as if nobody looked.

It is killed, stopped, kept from writing, and looked at by two hundred pages; and its kill button is pressed. What the
maker does is told by the exchange's record.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from maker.drills.processes import MakerRun, cleaned, now_ms, start_maker, until
from maker.launch import latch
from tests.live.looking import healthy, look, monitored, open_pages, press, quoting
from tests.live.stage import paper_conf
from tests.live.support import measure
from tests.live.test_stop import check_order, check_result

PAGES: Final = 200
QUOTES_ON_SECONDS_MAX: Final = 30.0  # a ladder is replaced every 20 s at the latest
EMPTY_MS_MAX: Final = 3_000.0  # as without pages, in tests/live/test_stop.py
BUTTON_MS_MAX: Final = 2_000.0  # the maker looks for the kill file five times a second
HUNG_MS_MAX: Final = 10_000.0  # a monitor that hangs is given three seconds, when all else is over
SIDE_BY_SIDE: Final = 1  # they are measured, and two hundred pages need a processor themselves


async def quotes_on(maker: MakerRun) -> None:
    """A further ladder comes. (A machine so busy that the maker stands still has it pull first, as it must.)"""
    at = now_ms()

    def placed() -> bool:
        maker.record.refresh()
        return bool(maker.record.ladders(at))

    await until(placed, QUOTES_ON_SECONDS_MAX, f"a further ladder; the log: {maker.log[-2000:]}")


async def stopped(maker: MakerRun, what: str, empty_ms_max: float = EMPTY_MS_MAX) -> None:
    """SIGTERM: cancel-all first, nothing rests in time, exit 0."""
    at = now_ms()
    maker.process.send(signal.SIGTERM)
    await maker.process.wait()
    check_order(maker.record, at)
    check_result(maker, maker.record, 0)
    gone_at = maker.record.emptied_at(at)
    assert gone_at is not None
    assert measure(f"SIGTERM {what} -> nothing rests", gone_at - at) <= empty_ms_max
    measure(f"SIGTERM {what} -> parent ended", now_ms() - at)


async def drill(folder: Path, pages: int) -> None:
    """The drill of SIGTERM, with and without two hundred pages open."""
    with cleaned(start_maker(folder, paper_conf(folder, monitored=True))) as maker:
        url = await quoting(maker)
        async with open_pages(url, pages) if pages else contextlib.nullcontext():
            await quotes_on(maker)
            await healthy(url)
            await stopped(maker, f"with {pages} pages")


async def killed(folder: Path) -> None:
    """kill -9 of the monitor: the maker quotes on, another monitor comes."""
    with cleaned(start_maker(folder, paper_conf(folder, monitored=True))) as maker:
        await quoting(maker)
        pid = maker.status["monitor_pid"]
        os.kill(pid, signal.SIGKILL)
        await quotes_on(maker)
        url = await monitored(maker, since=pid)
        await healthy(url)
        await stopped(maker, "after the monitor was killed")


async def hung(folder: Path) -> None:
    """A monitor that stands still for good: the maker quotes on and pulls in time, and the run ends all the same."""
    with cleaned(start_maker(folder, paper_conf(folder, monitored=True))) as maker:
        await quoting(maker)
        os.kill(maker.status["monitor_pid"], signal.SIGSTOP)
        await quotes_on(maker)
        at = now_ms()
        await stopped(maker, "with a hung monitor")
        assert now_ms() - at <= HUNG_MS_MAX


async def kept_from_writing(folder: Path) -> None:
    """No byte can be written by the monitor: it serves on, its kill button says that it is off, the maker quotes on."""
    with cleaned(start_maker(folder, paper_conf(folder, monitored=True))) as maker:
        url = await quoting(maker)
        resource.prlimit(maker.status["monitor_pid"], resource.RLIMIT_FSIZE, (0, 0))
        status, body = await press(url, folder)
        assert status == 500, body
        assert "cancel-all" in json.loads(body)["sentence"]
        assert latch.read(folder) is None
        await quotes_on(maker)
        assert (await look(url, "/"))[0] == 200
        await stopped(maker, "with a monitor that cannot write")


async def pressed(folder: Path) -> None:
    """The kill button: quotes are pulled at once, the run ends, nothing starts before `clear`."""
    with cleaned(start_maker(folder, paper_conf(folder, monitored=True))) as maker:
        url = await quoting(maker)
        at = now_ms()
        status, body = await press(url, folder)
        assert status == 200, body
        await maker.process.wait()
        check_order(maker.record, at)
        result: dict[str, Any] = check_result(maker, maker.record, 0)
        assert "the kill button of the status page was pressed, from 127.0.0.1" in result["reason"]
        gone_at = maker.record.emptied_at(at)
        assert gone_at is not None
        assert measure("kill button -> nothing rests", gone_at - at) <= BUTTON_MS_MAX
        with cleaned(start_maker(folder, maker.conf)) as again:
            assert await again.process.wait() == 78
            assert "clear" in again.result["reason"]


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "no page": partial(drill, pages=0),
    "two hundred pages": partial(drill, pages=PAGES),
    "killed": killed,
    "hung": hung,
    "kept from writing": kept_from_writing,
    "kill button": pressed,
}


@pytest.mark.parametrize("scene", SCENES)
def test_nobody_who_looks_on_is_in_the_way(scene: str, played: Callable[[str], None]) -> None:
    """The maker quotes on and stops in the same times, by the exchange's record."""
    played(scene)
