"""The red buttons over real processes: whatever state the maker is in, nothing rests, and what is left is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from maker.drills.processes import (
    TRADE_KEY,
    MakerRun,
    Process,
    VenueProcess,
    cleaned,
    now_ms,
    start_maker,
    start_venue,
    until,
)
from maker.drills.record import Record
from tests.live.stage import live_conf, paper_conf, staged
from tests.live.support import KEY_ENV, PROJECT, READ_KEY, measure

PRESSED_SECONDS_MAX = 20.0  # a tail of one second and closing two positions
GONE_MS_MAX = 3000.0  # from the command to nothing resting, starting Python included
SHORT = {  # the tail of the practice configuration is eight seconds: nothing is on its way that long here
    r"^write_delay_seconds_max = .*$": "write_delay_seconds_max = 1.0",
    r"^tail_seconds = .*$": "tail_seconds = 1.0",
    r"^give_up_seconds = .*$": "give_up_seconds = 6.0",
}

Played = Callable[[str], None]


def press(folder: Path, words: list[str], environment: dict[str, str] | None = None) -> Process:
    return Process.start(["-m", "maker", *words, "--json"], folder, f"{words[0]}", environment)


async def pressed(folder: Path, words: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Press a button and return its result; the exit code is the one that the process ended with."""
    process = press(folder, words, environment)
    code = await process.wait(PRESSED_SECONDS_MAX)
    said: dict[str, Any] = json.loads(process.out.read_text().splitlines()[-1])
    assert said["exit_code"] == code, (said, process.log())
    return said


async def stopped(maker: MakerRun) -> None:
    """SIGSTOP for maker and guard: neither can help, and neither can get in the way."""
    maker.process.send(signal.SIGSTOP)
    maker.signal_maker(signal.SIGSTOP)


async def killed(maker: MakerRun) -> None:
    """SIGKILL for guard and maker, in this order: nobody is left to pull anything."""
    maker.process.send(signal.SIGSTOP)
    maker.signal_maker(signal.SIGSTOP)
    maker.process.kill()
    maker.signal_maker(signal.SIGKILL)
    await until(lambda: maker.has_ended("maker_pid"), 5.0, "the maker's end")


async def bought(maker: MakerRun, market_id: str, quantity: str) -> None:
    """Open a position for the account; our own quotes there go first, since the exchange keeps us from them."""
    url = maker.status["venue_url"]
    post(url, "/perps/orders/cancel-all", {"marketId": market_id})

    def once() -> bool:
        post(
            url,
            "/perps/orders",
            {"marketId": market_id, "side": "buy", "type": "market", "quantity": quantity, "timeInForce": "ioc"},
        )
        return position(maker.record, market_id) > 0

    await until(once, 5.0, f"a position in {market_id}")


def post(url: str, path: str, body: dict[str, str]) -> None:
    headers = {"content-type": "application/json", "x-api-key": TRADE_KEY}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        answer.read()


def position(record: Record, market_id: str) -> Decimal:
    record.refresh()
    return record.positions().get(market_id, Decimal(0))


async def cancelled(folder: Path, before: Callable[[MakerRun], Awaitable[None]]) -> None:
    """cancel-all beside a maker that cannot help."""
    conf = paper_conf(folder, replace=SHORT)
    with cleaned(start_maker(folder, conf)) as maker:
        await maker.quoting()
        await before(maker)
        maker.record.refresh()
        assert maker.record.resting(), "a stopped maker leaves its quotes"
        at = now_ms()
        said = await pressed(folder, ["cancel-all", str(conf)])
        assert (said["exit_code"], said["verified_empty"], said["open_orders"]) == (0, True, 0), said
        maker.record.refresh()
        assert maker.record.resting() == {}
        gone_at = maker.record.emptied_at(at)
        assert gone_at is not None
        assert measure("cancel-all by command -> nothing rests", gone_at - at) <= GONE_MS_MAX
        assert (folder / "kill").exists()
        assert said["latched"] is True
        assert len(maker.record.cancels(at)) >= 3, "the tail must be walked: a late ladder could land after the first"


async def beside_a_running_maker(folder: Path, command: str) -> None:
    """A maker at work: latched first, so that guard and maker stop; everything gone at once, and for good."""
    async with staged(folder, replace=SHORT) as stage:
        maker, record = stage.maker, stage.record
        await maker.quoting()
        at = now_ms()
        said = await pressed(folder, [command, str(folder / "run.toml")], {KEY_ENV: TRADE_KEY})
        assert (said["exit_code"], said["verified_empty"], said["latched"]) == (0, True, True), said
        await maker.process.wait()
        record.refresh()
        assert record.resting() == {}
        gone_at = record.emptied_at(at)
        assert gone_at is not None
        latched_at = (folder / "kill").stat().st_mtime * 1000  # what came before is Python's own start
        assert (
            measure(f"{command} latched beside a running maker -> nothing rests", gone_at - latched_at) <= GONE_MS_MAX
        )
        assert f"{command} was asked for by command" in (folder / "kill").read_text()
        if command == "flatten":
            assert {market: held for market, held in record.positions().items() if held} == {}


async def beside_its_own_practice_exchange(folder: Path, command: str) -> None:
    """The practice exchange ends with the run that the kill file ends: nobody is asked in vain for ten minutes."""
    conf = paper_conf(folder, replace={**SHORT, r"^give_up_seconds = .*$": "give_up_seconds = 600.0"})
    with cleaned(start_maker(folder, conf)) as maker:
        await maker.quoting()
        said = await pressed(folder, [command, str(conf)])
        if said["exit_code"] != 0:  # it may be gone before the last position is closed, and then that is said
            assert (command, said["exit_code"]) == ("flatten", 70), said
            assert "BEFORE IT WAS FLAT" in said["reason"]
        await maker.process.wait()
        maker.record.refresh()
        assert maker.record.resting() == {}


async def flattened(folder: Path, before: Callable[[MakerRun], Awaitable[None]]) -> None:
    """flatten beside a maker that cannot help: nothing rests, and every position is closed."""
    conf = paper_conf(folder, replace=SHORT)
    with cleaned(start_maker(folder, conf)) as maker:
        await maker.quoting()
        await before(maker)
        await bought(maker, "BTC-PERP", "0.05")
        maker.record.refresh()
        assert maker.record.resting(), "the quotes on the other market must still rest"
        at = now_ms()
        said = await pressed(folder, ["flatten", str(conf)])
        assert (said["exit_code"], said["verified_empty"], said["open_orders"]) == (0, True, 0), said
        assert said["position"] == {}
        assert Decimal(said["closed"]["BTC-PERP"]) > 0
        assert position(maker.record, "BTC-PERP") == position(maker.record, "ETH-PERP") == 0
        assert maker.record.resting() == {}
        assert maker.record.cancels(at)[0].begin <= min(
            call.begin for call in maker.record.calls() if call.path == "/perps/positions/close" and call.begin >= at
        ), "quotes first: one that rests could fill again"
        assert (folder / "kill").exists()


async def flattened_in_part(folder: Path) -> None:
    """flatten for one market: every quote is pulled, only that position is closed."""
    conf = paper_conf(folder, replace=SHORT)
    with cleaned(start_maker(folder, conf)) as maker:
        await maker.quoting()
        await stopped(maker)
        await bought(maker, "BTC-PERP", "0.05")
        await bought(maker, "ETH-PERP", "0.5")
        said = await pressed(folder, ["flatten", str(conf), "ETH-PERP"])
        assert said["exit_code"] == 0, said
        assert position(maker.record, "ETH-PERP") == 0
        assert position(maker.record, "BTC-PERP") > 0
        assert maker.record.resting() == {}
        said = await pressed(folder, ["flatten", str(conf), "DOGE-PERP"])
        assert said["exit_code"] == 78
        assert "DOGE-PERP" in said["reason"]
        assert position(maker.record, "BTC-PERP") > 0


async def denied(folder: Path) -> None:
    """A key that may not trade: 77, soon, and never a claim."""
    venue = await start_venue(folder)
    try:
        conf = live_conf(folder, venue.port, venue.reference_port, replace=SHORT)
        for command in ("cancel-all", "flatten"):
            said = await pressed(folder, [command, str(conf)], {KEY_ENV: READ_KEY})
            assert said["exit_code"] == 77, said
            assert said["verified_empty"] is False
            assert "scope 'trade'" in said["reason"]
    finally:
        venue.process.kill()


async def unreachable(folder: Path) -> None:
    """Nobody answers: it tries as long as it may, then 75, and says that quotes may rest."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        conf = live_conf(
            folder, taken.getsockname()[1], 1, replace={**SHORT, r"^give_up_seconds.*$": "give_up_seconds = 2"}
        )
    for command in ("cancel-all", "flatten"):
        said = await pressed(folder, [command, str(conf)], {KEY_ENV: TRADE_KEY})
        assert said["exit_code"] == 75, said
        assert "QUOTES MAY REST" in said["reason"]
        assert said["open_orders"] is None
    assert (folder / "kill").exists(), "latched first, whatever comes of the rest"


async def nothing_runs(folder: Path) -> None:
    """No practice exchange: a sentence, 78, and latched all the same."""
    conf = paper_conf(folder, replace=SHORT)
    for command in ("cancel-all", "flatten"):
        said = await pressed(folder, [command, str(conf)])
        assert said["exit_code"] == 78
        assert "No practice exchange is running" in said["reason"]
    assert (folder / "kill").exists()


def low_price(venue: VenueProcess) -> str:
    """A bid inside the price band that nobody hits."""
    with urllib.request.urlopen(f"{venue.url}/perps/orderbook/BTC-PERP?depth=25", timeout=5) as answer:
        best = json.loads(answer.read())["bids"][0][0]
    return str(int(Decimal(best) * Decimal("0.98")))


async def without_packages(folder: Path) -> None:
    """A copy with neither `.venv` nor packages, started by a bare Python: the button works, and installs nothing."""
    venue = await start_venue(folder)
    try:
        copy = folder / "copy"
        copy.mkdir()
        shutil.copy(PROJECT / "run.py", copy)
        shutil.copytree(PROJECT / "maker", copy / "maker", ignore=shutil.ignore_patterns("__pycache__"))
        conf = live_conf(folder, venue.port, venue.reference_port, replace=SHORT)
        venue.post(
            "/perps/orders", {"marketId": "BTC-PERP", "side": "buy", "price": low_price(venue), "quantity": "0.1"}
        )
        venue.record.refresh()
        assert venue.record.resting(), "there must be something to cancel"
        bare = getattr(sys, "_base_executable", sys.executable)
        environment = {"PATH": os.environ["PATH"], KEY_ENV: TRADE_KEY}
        words = [bare, "-I", str(copy / "run.py"), "cancel-all", str(conf)]
        ended = await trio.to_thread.run_sync(
            partial(subprocess.run, words, env=environment, cwd=folder, capture_output=True, timeout=30)
        )
        assert ended.returncode == 0, ended.stderr
        venue.record.refresh()
        assert venue.record.resting() == {}
        assert sorted(path.name for path in copy.iterdir()) == ["maker", "run.py"]
        assert not list(copy.rglob("__pycache__"))
    finally:
        venue.process.kill()


async def latched_until_cleared(folder: Path) -> None:
    """After the button nothing starts, until a person says so."""
    conf = paper_conf(folder, replace=SHORT)
    assert (await pressed(folder, ["cancel-all", str(conf)]))["exit_code"] == 78
    refused = start_maker(folder, conf)
    with cleaned(refused):
        assert await refused.process.wait() == 78
        assert "cancel-all was asked for by command" in refused.result["reason"]
        assert refused.record.placed() == []
    said = await pressed(folder, ["clear", str(conf)])
    assert said["exit_code"] == 0
    assert "cancel-all was asked for by command" in said["reason"]
    with cleaned(start_maker(folder, conf)) as maker:
        await maker.quoting()


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "unreachable": unreachable,
    "cancel-all, maker and guard hang": partial(cancelled, before=stopped),
    "cancel-all, maker and guard dead": partial(cancelled, before=killed),
    "cancel-all, maker runs": partial(beside_a_running_maker, command="cancel-all"),
    "cancel-all, practice": partial(beside_its_own_practice_exchange, command="cancel-all"),
    "flatten, maker and guard hang": partial(flattened, before=stopped),
    "flatten, maker and guard dead": partial(flattened, before=killed),
    "flatten, maker runs": partial(beside_a_running_maker, command="flatten"),
    "flatten, practice": partial(beside_its_own_practice_exchange, command="flatten"),
    "flatten one market": flattened_in_part,
    "denied": denied,
    "nothing runs": nothing_runs,
    "without packages": without_packages,
    "latched until cleared": latched_until_cleared,
}


@pytest.mark.parametrize("scene", SCENES)
def test_the_buttons(scene: str, played: Played) -> None:
    """Nothing rests after the button, whatever state the maker is in; the exit code is true."""
    played(scene)
