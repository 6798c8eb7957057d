"""Cancel-all comes before everything else, and by no road that anything else may block (S10, H6, H7, H17)."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
import trio
import trio.testing

from maker.app.feeds import Inlet
from maker.app.record import Recorder
from maker.app.wiring import Route, Run, wire
from maker.desk.deadman import Reason, Trip
from maker.desk.events import ReferenceLost
from maker.edge.endpoint import resolve
from maker.wire import ocx
from tests.app.runs import CONFIG, a_run
from tests.app.site import KEY, Stage, a_recorder, staged
from tests.desk.scripted import VENUE, Desk

ASKED: Final = Trip(Reason.STOP_ASKED, "SIGTERM")
ARRIVAL_SECONDS_MAX: Final = 2.0  # on loopback it takes less than a millisecond
STALE_SECONDS: Final = 60.0


async def leave(stage: Stage) -> None:
    a_run(stage, armed=True).leave(ASKED)


async def lost(stage: Stage) -> None:
    stage.inlet.deliver(ReferenceLost(VENUE, "closed"))


async def stale(stage: Stage) -> None:
    await trio.sleep(STALE_SECONDS)
    Inlet.watch(stage.inlet)


@pytest.mark.parametrize("trip", [leave, lost, stale])
async def test_no_disk_is_needed_to_pull(
    trip: Callable[[Stage], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """H6, H17: journal and log come after the cancel-all, so that a full disk costs lines and never quotes."""

    def full(*_words: Any, **_named: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    desk = Desk.ready()
    desk.quote()
    async with staged(desk) as stage:
        for name in ("tripped", "after"):
            monkeypatch.setattr(Recorder, name, full)
        with pytest.raises(OSError, match="No space left"):
            await trip(stage)
        assert stage.switch.latched
        assert stage.panic_sent.count(ocx.CANCEL_ALL.encode()) == 1


async def test_a_ladder_on_its_way_holds_up_no_cancel_all() -> None:
    """S10, H7: the wired program pulls by a connection of its own while the quoting one waits for an answer."""
    heard: list[bytes] = []

    async def hear(stream: trio.SocketStream) -> None:
        place = len(heard)
        heard.append(b"")
        async for piece in stream:
            heard[place] += piece

    async with trio.open_nursery() as nursery:
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        nursery.start_soon(trio.serve_listeners, hear, [listener])
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        run: Run = wire(CONFIG, KEY, Route(url, await resolve(url)), a_recorder().recorder)
        run.armed = True
        for lane in {run.quoting_lane, *run.switch.panic.lanes}:
            await lane.connect()
        assert run.quoting_lane.send_nowait("POST", ocx.QUOTES_BULK, b"{}")
        run.leave(ASKED)
        with trio.fail_after(ARRIVAL_SECONDS_MAX):
            while not any(ocx.CANCEL_ALL.encode() in data for data in heard):
                await trio.sleep(0.001)
        assert not any(ocx.CANCEL_ALL.encode() in data and ocx.QUOTES_BULK.encode() in data for data in heard)
        run.quoting_lane.close()
        run.switch.panic.close()
        await run.client.aclose()
        nursery.cancel_scope.cancel(reason="the test is over")
