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
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import trio

from maker.drills.processes import MakerRun, NotSeen, cleaned, now_ms, start_maker, until
from maker.guard import latch
from tests.live.stage import paper_conf
from tests.live.support import measure
from tests.live.test_stop import check_order, check_result

PAGES: Final = 200
READY_SECONDS_MAX: Final = 120.0  # of a monitor that gives way to everybody, on a busy machine
QUOTES_ON_SECONDS_MAX: Final = 30.0  # a ladder is replaced every 20 s at the latest
EMPTY_MS_MAX: Final = 3_000.0  # as without pages, in tests/live/test_stop.py
BUTTON_MS_MAX: Final = 2_000.0  # the maker looks for the kill file five times a second
HUNG_MS_MAX: Final = 10_000.0  # a monitor that hangs is given three seconds, when all else is over
SIDE_BY_SIDE: Final = 1  # they are measured, and two hundred pages need a processor themselves


async def answered(url: str, request: bytes, path: str) -> tuple[int, bytes]:
    """One answer: status and body."""
    parts = urlsplit(url)
    async with await trio.open_tcp_stream(str(parts.hostname), parts.port or 80) as stream:
        head = b"%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % path.encode()
        await stream.send_all(head + request)
        whole = b"".join([bytes(piece) async for piece in stream])
    first, _, body = whole.partition(b"\r\n\r\n")
    return int(first.split()[1]), body


async def look(url: str, path: str) -> tuple[int, bytes]:
    return await answered(url, b"\r\n", f"GET {path}")


async def monitored(maker: MakerRun, *, since: int | None = None) -> str:
    """Wait for the monitor's address; `since`: not that of the one with this number."""

    def there() -> str | None:
        if maker.process.ended:
            raise NotSeen(f"it ended: {maker.result} {maker.log[-2000:]}")
        with contextlib.suppress(OSError, ValueError):
            maker.status = json.loads((maker.folder / "run.json").read_text())
        return maker.status.get("monitor_url") if maker.status.get("monitor_pid") != since else None

    return await until(there, READY_SECONDS_MAX, f"the monitor; the log: {maker.log[-2000:]}")


async def quotes_on(maker: MakerRun) -> None:
    """A further ladder comes. (A machine so busy that the maker stands still has it pull first, as it must.)"""
    at = now_ms()

    def placed() -> bool:
        maker.record.refresh()
        return bool(maker.record.ladders(at))

    await until(placed, QUOTES_ON_SECONDS_MAX, f"a further ladder; the log: {maker.log[-2000:]}")


async def healthy(url: str) -> None:
    """Wait until the monitor has heard the maker, and says that it quotes."""
    with trio.fail_after(READY_SECONDS_MAX):
        while (await look(url, "/healthz"))[0] != 200:
            await trio.sleep(0.1)


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


@contextlib.asynccontextmanager
async def open_pages(url: str, count: int) -> AsyncIterator[list[int]]:
    """So many pages that follow the events; the numbers of bytes each has received."""
    parts = urlsplit(url)
    received = [0] * count

    async def follow(number: int) -> None:
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream(str(parts.hostname), parts.port or 80) as stream:
                await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                async for piece in stream:
                    received[number] += len(piece)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(follow, number)
        await until(lambda: min(received) > 500, READY_SECONDS_MAX, "every page has a view")
        yield received
        nursery.cancel_scope.cancel(reason="the scene is over")


async def quoting(maker: MakerRun) -> str:
    """Wait until it quotes and is looked at; return where."""
    url = await monitored(maker)
    await maker.quoting(seconds=READY_SECONDS_MAX)
    return url


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


async def press(url: str, folder: Path) -> tuple[int, bytes]:
    """The kill button, with its token and the account's name."""
    token = (folder / "monitor.token").read_text().strip()
    body = b'{"confirm": "paper"}'
    head = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return await answered(url, head.encode() + body, "POST /kill")


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
