"""Whether whoever looks on is in the maker's way: drills with nobody there, and with the worst that a monitor can be.

    .venv/bin/python -m tests.bench.onlookers [CONF] [--rounds 5] [--only DRILL …] [--arms ARM …]

alone    no monitor at all: what the others are held against
pages    two hundred pages follow the events, and one more reads so slowly that it is always behind
killed   the monitor was killed a moment ago, and another one is being started
full     the monitor cannot write a byte: its disk is full

The drills are those of `drill`: real processes on the practice exchange, timed by the exchange's record from the fault
until nothing rests. A round is every drill with every arm, one after the other and in the opposite order the next time,
so that what else a machine does meets all of them alike; a ratio is taken within its round, and its median is shown.
`late` counts tries beyond the drill's own limit, which is for a quiet machine. Ends with 1 where a try cannot be made.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from maker.drills.configuration import DrillConfiguration, prepare
from maker.drills.processes import Process, until
from maker.drills.scene import Drill, DrillFailed, Scene, set_scene
from maker.drills.stage import first_of
from maker.drills.table import BY_NAME
from maker.errors import MakerError
from tests.live.looking import READY_SECONDS_MAX, healthy, look, monitored, open_pages
from tests.live.support import PROJECT, READ_KEY

PAGES: Final = 200
DRILLS: Final = ("sigterm", "kill_9", "feed_cut")
READ_KEY_ENV: Final = "MAKER_DRILL_READ_KEY"
MONITOR: Final[Mapping[str, Any]] = {"enabled": True, "status": False, "key_env": READ_KEY_ENV}
STARTING_SECONDS: Final = 1.2  # after a kill: the run waits one second, then another monitor loads its modules
QUOTES_SECONDS_MAX: Final = 60.0  # until every market is quoted (again: on a busy machine a maker may have to pull)
FOLLOWING: Final = re.compile(rb"^maker_monitor_clients (\S+)$", re.MULTILINE)
TRIES_MAX: Final = 3  # of one drill in one round: a maker that had pulled at the moment of the fault proves nothing


# -- who looks on


@contextlib.asynccontextmanager
async def nobody(_scene: Scene) -> AsyncIterator[None]:
    yield


@contextlib.asynccontextmanager
async def pages(scene: Scene) -> AsyncIterator[None]:
    """In a process of their own that gives way to all others: browsers run on other machines."""
    url = await monitored(scene.maker)
    held = Process.start(["-m", "tests.bench.onlookers", "--hold", url], scene.stage.folder, "pages")
    try:
        await until(lambda: held.ended or held.out.read_text(), READY_SECONDS_MAX, "a view on every page")
        told = FOLLOWING.search((await look(url, "/metrics"))[1])
        if told is None or float(told[1]) < PAGES:
            raise DrillFailed(f"the monitor has fewer pages than {PAGES}: {told and told[1]!r}; {held.log()[-300:]}")
        yield
    finally:
        held.kill()


@contextlib.asynccontextmanager
async def killed(scene: Scene) -> AsyncIterator[None]:
    await healthy(await monitored(scene.maker))
    os.kill(scene.maker.status["monitor_pid"], signal.SIGKILL)
    await trio.sleep(STARTING_SECONDS)
    yield


@contextlib.asynccontextmanager
async def full(scene: Scene) -> AsyncIterator[None]:
    await healthy(await monitored(scene.maker))
    resource.prlimit(scene.maker.status["monitor_pid"], resource.RLIMIT_FSIZE, (1, 1))
    yield


ALONE: Final = "alone"
ARMS: Final[Mapping[str, Callable[[Scene], AbstractAsyncContextManager[None]]]] = {
    ALONE: nobody,
    "pages": pages,
    "killed": killed,
    "full": full,
}


def hold(url: str) -> None:
    """Keep the pages open until killed; say so once each has a view."""
    os.nice(19)

    async def stay() -> None:
        async with open_pages(url, PAGES, slow=1):
            say("open")
            await trio.sleep_forever()

    trio.run(stay)


# -- one try


@attrs.frozen
class Tried:
    """Milliseconds from the fault until nothing rested."""

    round: int
    drill: str
    arm: str
    no_quotes_ms: float
    passed: bool  # within the drill's own limit


async def quoted(scene: Scene) -> None:
    """Wait until every market is quoted on both sides, so that the fault meets what it is about."""
    sides = 2 * len(scene.settings.tree["market"])

    def rests() -> bool:
        scene.record.refresh()
        return len({(one["marketId"], one["side"]) for one in scene.record.resting().values()}) == sides

    await until(rests, QUOTES_SECONDS_MAX, "every market quoted on both sides")


async def tried(folder: Path, drill: Drill, arm: str, settings: DrillConfiguration) -> tuple[float, bool]:
    """Do one drill: milliseconds until nothing rested, and whether it passed. Raises MakerError: not done."""
    looked_at = settings if arm == ALONE else attrs.evolve(settings, monitor=MONITOR)
    async with set_scene(folder, drill, looked_at) as scene:
        async with ARMS[arm](scene):
            await quoted(scene)
            finding = await drill.fault(scene)
        await scene.end(finding)
    return finding.no_quotes_ms, finding.value_ms <= finding.limit_ms


async def measured(
    folder: Path, drills: Sequence[str], arms: Sequence[str], rounds: int, settings: DrillConfiguration
) -> list[Tried]:
    """All rounds; what cannot be done is said and left out."""
    done: list[Tried] = []
    for number in range(rounds):
        for name in drills:
            for arm in arms if number % 2 == 0 else tuple(reversed(arms)):
                for again in range(TRIES_MAX):
                    own = folder / f"{number}-{name}-{arm}-{again}"
                    own.mkdir()
                    try:
                        milliseconds, passed = await tried(own, BY_NAME[name], arm, settings)
                    except (MakerError, ExceptionGroup) as error:
                        sys.stderr.write(f"{own.name}: not done: {str(first_of(error))[:300]}\n")
                        continue
                    done.append(Tried(number, name, arm, milliseconds, passed))
                    say(f"{own.name:32} {milliseconds:9.1f} ms{'' if passed else '  NOT within its limit'}")
                    shutil.rmtree(own, ignore_errors=True)
                    break
    return done


# -- what comes of it


def table(done: Sequence[Tried]) -> list[str]:
    """A line for each drill and arm, and for each arm over all drills."""
    columns = f"{'tries':>5} {'late':>4} {'median':>9} {'least':>9} {'most':>9} {'ratio':>6}"
    lines = [f"{'until nothing rests, ms':24} {'arm':8} {columns}"]
    for drill in dict.fromkeys(one.drill for one in done):
        for arm, some in by_arm([one for one in done if one.drill == drill]):
            times = [one.no_quotes_ms for one in some]
            figures = f"{statistics.median(times):9.1f} {min(times):9.1f} {max(times):9.1f}"
            lines.append(f"{drill:24} {arm:8} {counts(some)} {figures} {ratio(some, done)}")
    lines += [f"{'all':24} {arm:8} {counts(some)} {'':29} {ratio(some, done)}" for arm, some in by_arm(done)]
    return [line.rstrip() for line in lines]


def by_arm(done: Sequence[Tried]) -> list[tuple[str, list[Tried]]]:
    """Tries of each arm, in the order of the arms."""
    return [(arm, some) for arm in ARMS if (some := [one for one in done if one.arm == arm])]


def counts(some: Sequence[Tried]) -> str:
    return f"{len(some):5} {sum(not one.passed for one in some):4}"


def ratio(some: Sequence[Tried], done: Sequence[Tried]) -> str:
    """The median of each try's time over that of the same drill and round with nobody there."""
    alone = {(one.round, one.drill): one.no_quotes_ms for one in done if one.arm == ALONE}
    ratios = [one.no_quotes_ms / at for one in some if one.arm != ALONE and (at := alone.get((one.round, one.drill)))]
    return f"{statistics.median(ratios):6.2f}" if ratios else ""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    words = argparse.ArgumentParser(description="whether whoever looks on is in the maker's way")
    words.add_argument("configuration", type=Path, nargs="?", default=PROJECT / "conf" / "paper.toml")
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--only", nargs="+", choices=sorted(BY_NAME), default=DRILLS, metavar="DRILL")
    words.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    words.add_argument("--hold", metavar="URL", help=argparse.SUPPRESS)  # the process of the pages
    given = words.parse_args()
    if given.hold:
        hold(given.hold)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends with us
    os.environ[READ_KEY_ENV] = READ_KEY
    arms = [ALONE, *(arm for arm in given.arms if arm != ALONE)]
    with tempfile.TemporaryDirectory(prefix="onlookers-", ignore_cleanup_errors=True) as folder:
        done = trio.run(measured, Path(folder), given.only, arms, given.rounds, prepare(given.configuration))
    for line in table(done):
        say(line)
    say(f"{PAGES} pages; load at the end {os.getloadavg()[0]:.1f}")
    wanted = given.rounds * len(given.only) * len(arms)
    return 0 if len(done) == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
