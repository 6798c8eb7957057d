"""The monitor as a whole, on real sockets in this process: it hears, shows, follows runs, and ends in time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio
import trio.testing

from maker.app.config import load
from maker.edge.datagrams import Receiver, Sender
from maker.edge.lane import boot_seconds
from maker.launch import latch
from maker.launch.key import Key
from maker.launch.running import MONITOR_SOCKET, RUN_FILE
from maker.monitor import process
from maker.monitor.alerting import STATE_FILE
from maker.monitor.command import Words, a_monitor
from maker.monitor.kill import TOKEN_FILE
from maker.monitor.observation import Findings, Observation
from maker.monitor.process import Monitor
from maker.wire import live
from tests.monitor.observed import a_market, a_state

PROJECT = Path(__file__).parents[2]
WAIT_SECONDS_MAX = 120.0  # nothing takes a second; a machine that is busy with other things far longer
LOG = structlog.wrap_logger(
    None, processors=[lambda *_words: ""], wrapper_class=structlog.make_filtering_bound_logger(50)
)


def monitor_in(folder: Path, **changes: Any) -> Monitor:
    config = attrs.evolve(load(PROJECT / "conf" / "paper.toml"), state_folder=folder)
    config = attrs.evolve(config, monitor=attrs.evolve(config.monitor, **changes))
    words = Words(folder / "conf.toml", json=False, owner_pid=None, status=False)
    monitor = a_monitor(config, Key(""), words, LOG)
    monitor.server.killer.make_token()
    return monitor


@attrs.define
class Watched:
    """A monitor that runs, and a maker's voice."""

    monitor: Monitor
    folder: Path
    port: int
    signals: trio.MemorySendChannel[int]
    sender: Sender
    ended: trio.Event = attrs.field(factory=trio.Event)

    def tell(self, **changes: Any) -> None:
        self.sender.send_nowait(live.encode(a_state(boot_seconds=boot_seconds(), **changes)))

    async def get(self, path: str) -> bytes:
        """A whole answer, head and body."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return b"".join([bytes(piece) async for piece in stream])


class Page:
    """A page that follows the events."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream, self.text = stream, b""

    async def view(self, condition: Callable[[dict[str, Any]], Any] = bool) -> dict[str, Any]:
        """The next view that is as wanted."""
        while True:
            event, end, rest = self.text.partition(b"\n\n")
            if not end:
                piece = bytes(await self.stream.receive_some(1 << 16))
                assert piece, f"the stream ended after {self.text!r}"
                self.text += piece
                continue
            self.text = rest
            _, data, line = event.partition(b"data: ")
            if data:
                view: dict[str, Any] = json.loads(line)
                if condition(view):
                    return view


@contextlib.asynccontextmanager
async def page_of(one: Watched) -> AsyncIterator[Page]:
    async with await trio.open_tcp_stream("127.0.0.1", one.port) as stream:
        await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield Page(stream)


@contextlib.asynccontextmanager
async def watched(monitor: Monitor) -> AsyncIterator[Watched]:
    folder = monitor.config.state_folder
    send, receive = trio.open_memory_channel[int](4)
    ports: list[int] = []
    ready = trio.Event()
    sender = Sender(folder / MONITOR_SOCKET)

    def at(port: int) -> None:
        ports.append(port)
        ready.set()

    with trio.fail_after(WAIT_SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            one = Watched(monitor, folder, 0, send, sender)

            async def run() -> None:
                await monitor.run(receive, at)
                one.ended.set()

            nursery.start_soon(run)
            await ready.wait()
            one.port = ports[0]
            yield one
            nursery.cancel_scope.cancel(reason="the test is over")
    sender.close()
    monitor.close()


def a_run_of(folder: Path, pid: int) -> None:
    (folder / RUN_FILE).write_text(json.dumps({"guard_pid": pid, "maker_pid": pid}))


async def test_what_the_maker_tells_is_on_every_page(tmp_path: Path) -> None:
    """From nothing known to quoting, to a pull at once, to the latch, to the maker's end."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    async with watched(monitor_in(tmp_path)) as one, page_of(one) as page:
        view = await page.view()
        assert (view["state"], view["maker"], view["monitor"]["key"]) == (None, "unknown", "none")
        while not (tmp_path / MONITOR_SOCKET).exists():
            await trio.sleep(0.01)
        a_run_of(tmp_path, other.pid)
        one.tell()
        view = await page.view(lambda view: view["state"] is not None)
        assert view["state"]["markets"][0]["fair"] == "50000.05"
        assert view["state_age_seconds"] < WAIT_SECONDS_MAX
        await page.view(lambda view: view["maker"] == "alive")
        one.tell(state="pulling", sentence="a stream broke", reason="stream_broken")
        await page.view(lambda view: view["state"]["state"] == "pulling")
        latch.write(tmp_path, "monitor", "pressed")
        view = await page.view(lambda view: view["latched"])
        assert view["latched"].startswith("pressed")
        other.kill()
        other.communicate()
        view = await page.view(lambda view: view["maker"] == "gone")
        assert view["state"]["state"] == "pulling", "its last word stays"
        assert view["health"] == {"is_well": False, "sentence": "the maker is gone"}


async def test_its_last_view_says_that_it_ends_and_reaches_every_page(tmp_path: Path) -> None:
    """With the maker's last word in it: a page can tell that from a monitor that broke."""
    async with watched(monitor_in(tmp_path)) as one, page_of(one) as page, page_of(one) as other:
        assert not (await page.view())["monitor"]["ends"]
        await other.view()
        one.monitor.heard(live.encode(a_state(state="ending", sentence="stopped; read back empty")))
        one.signals.send_nowait(15)
        for each in (page, other):
            view = await each.view(lambda view: view["monitor"]["ends"])
            assert view["state"]["sentence"] == "stopped; read back empty"
        await one.ended.wait()


async def test_a_state_grows_old_while_nothing_is_told(tmp_path: Path) -> None:
    """By the clock of the machine and the moment of sending: an old datagram is old when it comes."""
    monitor = monitor_in(tmp_path)
    monitor.heard(live.encode(a_state(boot_seconds=boot_seconds() - 40.0)))
    seen = monitor.observe()
    assert seen.state_age_seconds is not None
    assert 40.0 <= seen.state_age_seconds < 50.0
    monitor.close()


async def test_what_is_no_state_is_said_once_and_counts_for_nothing(tmp_path: Path) -> None:
    monitor = monitor_in(tmp_path)
    monitor.heard(live.encode(a_state()))
    for data in (b"", b"{}", b"\xff", b'{"sequence": "x"}', b"[" * 10_000):
        monitor.heard(data)
    assert monitor.state == a_state()
    monitor.close()


async def test_the_outline_wakes_and_figures_do_not(tmp_path: Path) -> None:
    monitor = monitor_in(tmp_path)
    monitor.heard(live.encode(a_state()))
    monitor.woken = trio.Event()
    monitor.heard(live.encode(a_state(sequence=6, markets=(a_market(fair="1", position="9"),))))
    assert not monitor.woken.is_set()
    monitor.heard(live.encode(a_state(markets=(a_market(state="not quoting"),))))
    assert monitor.woken.is_set()
    monitor.woken = trio.Event()
    monitor.heard(live.encode(a_state(markets=(a_market(state="not quoting"),), verified_empty_at=5.0)))
    assert monitor.woken.is_set(), "read back empty: the run may be over a moment later"
    monitor.close()


async def test_two_hundred_pages_and_one_more(tmp_path: Path) -> None:
    """All get the view; the one beyond the configured number is told to come back; who leaves makes room."""
    async with watched(monitor_in(tmp_path, clients_max=200)) as one:
        seen = 0
        all_seen = trio.Event()
        async with trio.open_nursery() as nursery:

            async def open_page() -> None:
                nonlocal seen
                async with page_of(one) as page:
                    await page.view()
                    seen += 1
                    if seen == 200:
                        all_seen.set()
                    await trio.sleep_forever()

            for _ in range(200):
                nursery.start_soon(open_page)
            await all_seen.wait()
            assert one.monitor.server.board.clients == 200
            assert (await one.get("/events")).startswith(b"HTTP/1.1 503 ")
            assert (await one.get("/healthz")).endswith(b"no run is known: nothing quotes\n")
            nursery.cancel_scope.cancel(reason="seen")
        while one.monitor.server.board.clients:
            await trio.sleep(0.01)


async def test_rules_see_each_look_and_services_finish_their_work(tmp_path: Path) -> None:
    """What they find is shown; at the end a service has a moment, and the last observation was looked at before."""
    monitor = monitor_in(tmp_path)
    seen: list[Observation] = []
    done: list[str] = []

    def rule(one: Observation) -> Findings:
        seen.append(one)
        return Findings({"looks": len(seen)}, ({"name": "standing"},))

    async def service(ending: trio.Event) -> None:
        await ending.wait()
        done.append("delivering")
        await trio.sleep(0.05)
        done.append("delivered")

    async def hangs(_ending: trio.Event) -> None:
        try:
            await trio.sleep_forever()
        finally:
            done.append("given up")

    monitor.lookout.rules.append(rule)
    monitor.lookout.services = (service, hangs)
    async with watched(monitor) as one:
        async with page_of(one) as page:
            view = await page.view(lambda view: view["audit"])
            assert view["alerts"] == [{"name": "standing"}]
        looks = len(seen)
        one.signals.send_nowait(15)
        await one.ended.wait()
        assert len(seen) > looks
    assert done == ["delivering", "delivered", "given up"]


async def test_a_folder_that_takes_no_socket_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: it serves, says so, and hears again once there is room."""
    monkeypatch.setattr(process, "LISTEN_AGAIN_SECONDS", 0.05)
    original = Receiver
    full = [True]

    def receiver(path: Path) -> Any:
        if full[0]:
            raise OSError(28, "No space left on device")
        return original(path)

    monkeypatch.setattr(process, "Receiver", receiver)
    async with watched(monitor_in(tmp_path)) as one:
        assert (await one.get("/")).startswith(b"HTTP/1.1 200 ")
        assert "No space left" in one.monitor.said["hearing"]
        full[0] = False
        while one.monitor.state is None:
            one.tell()
            await trio.sleep(0.02)


async def test_a_monitor_outlives_its_guard_and_not_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard was killed: somebody has to tell of it, for a minute; a new run has a monitor of its own."""
    now = [1000.0]
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monitor = monitor_in(tmp_path)
    monitor.owner_pid, monitor.boot = owner.pid, lambda: now[0]
    assert not monitor.is_orphaned()
    owner.kill()
    owner.communicate()
    assert not monitor.is_orphaned()
    now[0] += process.OWNER_GONE_SECONDS - 1
    assert not monitor.is_orphaned()
    a_run_of(tmp_path, os.getpid())
    assert monitor.is_orphaned(), "another run is there"
    (tmp_path / RUN_FILE).unlink()
    assert not monitor.is_orphaned()
    now[0] += 1
    assert monitor.is_orphaned()
    monitor.close()
    assert not monitor_in(tmp_path).is_orphaned(), "one that a person started belongs to no run"


async def test_what_it_leaves_is_what_it_told(tmp_path: Path) -> None:
    """Socket and token go with it; what was told stays, so that the next one does not repeat it."""
    async with watched(monitor_in(tmp_path)) as one:
        while not (tmp_path / MONITOR_SOCKET).exists():
            await trio.sleep(0.01)
        assert (tmp_path / TOKEN_FILE).exists()
        one.signals.send_nowait(15)
        await one.ended.wait()
    assert os.listdir(tmp_path) == [STATE_FILE]
