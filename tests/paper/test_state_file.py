"""The state file: whatever moment the venue dies at, nothing that was answered is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import httpx
import msgspec
import pytest
import trio
import trio.testing

from maker.errors import StartRefused
from maker.paper.keeper import STALL_MS_MAX
from maker.paper.marketplace import Marketplace
from maker.paper.order_path import Call, perform
from maker.paper.state import ExchangeSettings
from maker.paper.state_file import StateFile, StateUnusable
from maker.paper.switches import Switches
from maker.paper.venue import Venue, VenueSettings, open_venue
from tests.golden.transcript import START_MS
from tests.paper.venue_kit import READ, TRADE, ladder, record_lines, running_venue, virtual_clock

SETTINGS = ExchangeSettings(seed=3)


def snapshot(place: Marketplace) -> Any:
    return msgspec.json.decode(msgspec.json.encode(place.snapshot()))


def call(place: Marketplace, number: int) -> Call:
    """Make a call whose outcome depends on all before it: ladders, some refused, cancels, closes."""
    index = place.exchange.index("BTC-PERP") // 1
    body: dict[str, object]
    match number % 4:
        case 0:
            levels = (("buy", str(index - 6), "0.5"), ("sell", str(index + 6), "0.5"))
            path, body = "/perps/quotes/bulk", ladder(f"q{number}", *levels)
        case 1:
            path, body = "/perps/quotes/bulk", ladder(f"q{number}", ("buy", str(index - 8), "90"))
        case 2:
            path, body = "/perps/positions/close", {"marketId": "BTC-PERP"}
        case _:
            path, body = "/perps/orders/cancel-all", {"quoteId": "q0"}
    return Call(place.exchange.user_id, path, json.dumps(body).encode(), place.due_ms - 1)


def live(state: StateFile, place: Marketplace, rounds: int, first: int = 0) -> None:
    """Let some time pass, with a call now and then."""
    for number in range(first, first + rounds):
        for _ in range(40):
            state.note_step(place.steps)
            place.step()
        one = call(place, number)
        state.note_call(one)
        perform(place, one)


def opened(path: Path, settings: ExchangeSettings = SETTINGS) -> tuple[StateFile, Marketplace]:
    state = StateFile(path)
    place = state.load(settings, "busy")
    if place is None:
        place = Marketplace(settings, preset="busy", start_ms=START_MS)
        state.begin(place)()
    return state, place


def test_everything_since_the_checkpoint_is_done_again(tmp_path: Path) -> None:
    """Loaded after a death, the marketplace is in exactly the state it died in, and so again after another."""
    state, place = opened(tmp_path / "state")
    first = 0
    for _ in range(3):
        live(state, place, 7, first)
        first += 7
        state.close()  # as death would: no checkpoint
        state, again = opened(tmp_path / "state")
        assert snapshot(again) == snapshot(place)
        place = again
        state.begin(place)()
    assert len(place.exchange.own_trades(place.exchange.user_id)) > 3
    state.close()


def test_death_between_log_and_checkpoint(tmp_path: Path) -> None:
    """A new log without its checkpoint goes on where the old log ends, however often that happens."""
    state, place = opened(tmp_path / "state")
    live(state, place, 3)
    state.begin(place)  # the log is begun; the checkpoint never written
    live(state, place, 3, 3)
    state.begin(place)
    live(state, place, 3, 6)
    state.close()
    state, again = opened(tmp_path / "state")
    assert snapshot(again) == snapshot(place)
    state.begin(again)  # once more, now after a load
    live(state, again, 3, 9)
    state.close()
    state, last = opened(tmp_path / "state")
    assert snapshot(last) == snapshot(again)
    state.begin(last)()
    state.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "state.5.log", "state.lock"]


def test_checkpoint_written_while_life_goes_on(tmp_path: Path) -> None:
    """What happens between taking a checkpoint and its reaching the disk is in the new log."""
    state, place = opened(tmp_path / "state")
    write = state.begin(place)
    live(state, place, 3)
    write()
    live(state, place, 2, 3)
    state.close()
    state, again = opened(tmp_path / "state")
    assert snapshot(again) == snapshot(place)
    state.close()


def test_line_cut_short(tmp_path: Path) -> None:
    """Half a last line is of something that had no effect yet: it is dropped."""
    state, place = opened(tmp_path / "state")
    live(state, place, 2)
    before = snapshot(place)
    state.note_call(call(place, 0))
    state.close()
    log = tmp_path / "state.1.log"
    log.write_bytes(log.read_bytes()[:-10])
    state, again = opened(tmp_path / "state")
    assert snapshot(again) == before
    state.close()


def test_orderly_end_takes_other_settings(tmp_path: Path) -> None:
    """After a checkpoint at the end, other switches and limits may go on from it; after a death they may not."""
    other = attrs.evolve(SETTINGS, switches=Switches(error_body="older"), rate_limit_per_minute=5)
    state, place = opened(tmp_path / "state")
    live(state, place, 2)
    state.close()
    with pytest.raises(StateUnusable, match="other settings"):
        opened(tmp_path / "state", other)
    state, place = opened(tmp_path / "state")
    state.begin(place)()
    state.close()
    state, place = opened(tmp_path / "state", other)
    assert place.exchange.settings.rate_limit_per_minute == 5
    state.close()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}", b"[1]", b'{"generation":1,"marketplace":{}}'])
def test_no_state(tmp_path: Path, content: bytes) -> None:
    """A file that is no state is refused with a sentence, and left as it is."""
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(StateUnusable, match="move it away") as caught:
        StateFile(path).load(SETTINGS, "busy")
    assert isinstance(caught.value, StartRefused)
    assert path.read_bytes() == content


def test_log_that_does_not_fit(tmp_path: Path) -> None:
    """A log of something else is refused."""
    for number, line in enumerate(['{"step":17}', '{"dance":1}']):
        state, _ = opened(tmp_path / f"state{number}")
        state.close()
        (tmp_path / f"state{number}.1.log").write_text(line + "\n", encoding="utf-8")
        with pytest.raises(StateUnusable, match="log"):
            opened(tmp_path / f"state{number}")


def test_stale_logs_of_a_state_moved_away(tmp_path: Path) -> None:
    """A new state is not continued by the logs of one that was moved away."""
    state, place = opened(tmp_path / "state")
    live(state, place, 2)
    state.begin(place)
    state.close()
    (tmp_path / "state").unlink()
    state, place = opened(tmp_path / "state")
    fresh = snapshot(place)
    state.close()
    state, again = opened(tmp_path / "state")
    assert snapshot(again) == fresh
    state.close()


def test_only_one_venue_has_it(tmp_path: Path) -> None:
    """A second venue on the same file is refused while the first lives."""
    state, _ = opened(tmp_path / "state")
    with pytest.raises(StateUnusable, match="in use"):
        StateFile(tmp_path / "state").load(SETTINGS, "busy")
    state.close()
    state, _ = opened(tmp_path / "state")
    state.close()


def test_file_is_private(tmp_path: Path) -> None:
    """Digests of keys are nobody else's business."""
    state, place = opened(tmp_path / "state")
    live(state, place, 1)
    state.close()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


# -- through the venue --------------------------------------------------------------------------------------------


async def test_venue_goes_on(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Orders, positions, ids and the rate window survive a stop; the market went on meanwhile."""
    settings = VenueSettings(preset="busy", seed=3, state=tmp_path / "state")
    async with running_venue(settings) as client:
        index = client.venue.keeper.place.exchange.index("BTC-PERP") // 1
        levels = (("buy", str(index - 1500), "0.1"), ("sell", str(index + 1500), "0.1"))
        await client.post("/perps/quotes/bulk", ladder("q1", *levels))
        before = (await client.get("/perps/orders", READ)).json
        steps = client.venue.keeper.place.steps
    await trio.sleep(5)
    async with running_venue(settings) as client:
        assert (await client.get("/perps/orders", READ)).json == before
        repeated = await client.post("/perps/quotes/bulk", ladder("q1", *levels))
        assert (repeated.status, repeated.code) == (409, "DUPLICATE_QUOTE_ID")
        assert repeated.headers["x-ratelimit-remaining"] == "118"
        assert client.venue.keeper.place.steps >= steps + 100


async def test_no_event_id_is_used_again_after_a_restart(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Each run's streams count from 1, yet their events' ids differ from those of every run before."""
    settings = VenueSettings(preset="still", state=tmp_path / "state")
    told: list[str] = []
    for run in range(4):
        async with running_venue(settings) as client:
            state = client.venue.keeper.state
            assert state is not None
            if run == 2:
                state.begin(client.venue.keeper.place)()  # a checkpoint in between makes no difference
            for _ in range(2):
                stream = await client.stream("/perps/book-stream?marketId=BTC-PERP")
                told.append((await stream.next_json())["eventId"])
                client.crowd("buy", "BTC-PERP", "59990", "0.1")
                told.append((await stream.next_json())["eventId"])
                await stream.close()
    assert len(told) == len(set(told)) == 16


async def test_long_absence_is_not_made_up(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """After more than a minute the world has stood still, says the record, and time still runs forward."""
    record = tmp_path / "record.jsonl"
    settings = VenueSettings(preset="busy", state=tmp_path / "state", record=record)
    async with running_venue(settings) as client:
        await trio.sleep(1)
        steps = client.venue.keeper.place.steps
    await trio.sleep(STALL_MS_MAX / 1000 + 5)
    async with running_venue(settings) as client:
        assert (await client.get("/perps/orderbook/BTC-PERP")).json["timestamp"] == "2026-11-22T06:59:45.250Z"
        assert client.venue.keeper.place.steps <= steps + 2
    (shift,) = [line for line in record_lines(record) if line["kind"] == "shift"]
    assert shift["laterMs"] == pytest.approx(65_000, abs=100)


async def test_stall_is_made_up(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """A venue that could not run for a while makes all its steps before it answers."""
    venue: Venue = open_venue(VenueSettings(preset="busy"), clock=virtual_clock)
    await trio.sleep(30)
    assert venue.keeper.place.steps == 1
    assert venue.keeper.now_ms() == START_MS + 30_000
    assert venue.keeper.place.steps == 601
    venue.keeper.close()


class TestRealProcess:
    """A venue killed without warning, in wall time."""

    async def test_killed_venue(self, tmp_path: Path) -> None:
        """After kill -9 every answered order rests, under its id, and the port is free at once."""
        process, url = self.start(tmp_path, 0)
        port = int(url.rpartition(":")[2])
        answered = {}
        try:
            async with httpx.AsyncClient(base_url=url, headers=TRADE) as client:
                index = Decimal((await client.get("/perps/market-stats?marketId=BTC-PERP")).json()["indexPrice"])
                for number in range(20):
                    price = str(index * Decimal("0.97") // 1 + number)
                    body = ladder(f"q{number}", ("buy", price, "0.01"), cancelAll=False)
                    (order,) = (await client.post("/perps/quotes/bulk", json=body)).json()["orders"]
                    answered[order["id"]] = order["clientOrderId"]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        process, url = self.start(tmp_path, port)
        try:
            async with httpx.AsyncClient(base_url=url, headers=READ) as client:
                orders = (await client.get("/perps/orders")).json()["orders"]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert {order["id"]: order["clientOrderId"] for order in orders} == answered
        lines = record_lines(tmp_path / "record.jsonl")
        assert [line["kind"] for line in lines if line["kind"] in ("start", "stop")] == ["start", "start"]
        acks = [line for line in lines if line.get("phase") == "ack"]
        assert len(acks) >= 20  # of 22: a kill may come between an answer and the line that says so

    def start(self, folder: Path, port: int) -> tuple[subprocess.Popen[str], str]:
        code = (
            "import sys, trio\n"
            "from functools import partial\n"
            "from pathlib import Path\n"
            "from maker.paper.venue import VenueSettings, run_venue\n"
            "async def main():\n"
            "    folder = Path(sys.argv[1])\n"
            "    files = {'state': folder / 'state', 'record': folder / 'record.jsonl'}\n"
            "    settings = VenueSettings(port=int(sys.argv[2]), **files)\n"
            "    async with trio.open_nursery() as nursery:\n"
            "        ports = await nursery.start(partial(run_venue, settings))\n"
            "        print(f'http://127.0.0.1:{ports.http}', flush=True)\n"
            "trio.run(main)\n"
        )
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(port)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        process.stdout.close()
        assert url.startswith("http://"), "the venue did not start"
        assert time.monotonic() - began < 10
        return process, url
