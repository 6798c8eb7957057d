"""Whoever looks on: a run's monitor found and asked, pages opened by the hundred, and its kill button pressed."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from maker.drills.processes import MakerRun, NotSeen, until

READY_SECONDS_MAX: Final = 120.0  # of a monitor that gives way to everybody, on a busy machine
SLOW_BYTES: Final = 512  # what somebody who reads slowly takes at once: a view has a few kilobytes
SLOW_SECONDS: Final = 1.0  # ... and how often
AGAIN_SECONDS: Final = 2.0  # after which a page that lost the monitor comes back, as `retry:` tells it to


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


async def press(url: str, folder: Path) -> tuple[int, bytes]:
    """The kill button, with its token and the account's name."""
    token = (folder / "monitor.token").read_text().strip()
    body = b'{"confirm": "paper"}'
    head = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return await answered(url, head.encode() + body, "POST /kill")


async def monitored(maker: MakerRun, *, since: int | None = None) -> str:
    """Wait for the monitor's address; `since`: not that of the one with this number."""

    def there() -> str | None:
        if maker.process.ended:
            raise NotSeen(f"it ended: {maker.result} {maker.log[-2000:]}")
        with contextlib.suppress(OSError, ValueError):
            maker.status = json.loads((maker.folder / "run.json").read_text())
        return maker.status.get("monitor_url") if maker.status.get("monitor_pid") != since else None

    return await until(there, READY_SECONDS_MAX, f"the monitor; the log: {maker.log[-2000:]}")


async def quoting(maker: MakerRun) -> str:
    """Wait until it quotes and is looked at; return where."""
    url = await monitored(maker)
    await maker.quoting(seconds=READY_SECONDS_MAX)
    return url


async def healthy(url: str) -> None:
    """Wait until the monitor has heard the maker, and says that it quotes."""
    with trio.fail_after(READY_SECONDS_MAX):
        while (await look(url, "/healthz"))[0] != 200:
            await trio.sleep(0.1)


@contextlib.asynccontextmanager
async def open_pages(url: str, count: int, *, slow: int = 0) -> AsyncIterator[list[int]]:
    """So many pages that follow the events, and besides some that read slowly; the bytes that each has received.

    On entering, each of the former has a view. Who reads slowly is told to go after a while, and comes back.
    """
    parts = urlsplit(url)
    address = (str(parts.hostname), parts.port or 80)
    received = [0] * (count + slow)

    async def follow(number: int) -> None:
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream(*address) as stream:
                await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                async for piece in stream:
                    received[number] += len(piece)

    async def crawl(number: int) -> None:
        while True:
            with contextlib.suppress(OSError, trio.BrokenResourceError), trio.socket.socket() as connection:
                # So small that what is on its way waits at the monitor, and not in the kernel.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BYTES)
                await connection.connect(address)
                await connection.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while piece := await connection.recv(SLOW_BYTES):
                    received[number] += len(piece)
                    await trio.sleep(SLOW_SECONDS)
            await trio.sleep(AGAIN_SECONDS)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(follow, number)
        for number in range(count, count + slow):
            nursery.start_soon(crawl, number)
        await until(lambda: min(received[:count], default=501) > 500, READY_SECONDS_MAX, "every page has a view")
        yield received
        nursery.cancel_scope.cancel(reason="the scene is over")
