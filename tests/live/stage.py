"""Configurations, the stage that scenes play on, and scenes side by side."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.live.proxy import Chooser, Proxy
from tests.live.record import Record
from tests.live.support import KEY_ENV, PROJECT, TRADE_KEY, MakerRun, VenueProcess, start_maker, start_venue

PAPER_CONF: Final = PROJECT / "conf" / "paper.toml"
SIDE_BY_SIDE: Final = 4  # scenes at once on two cores

# -- configurations


def paper_conf(folder: Path, *, replace: Mapping[str, str] = {}, extra: str = "") -> Path:
    """Write the project's practice configuration with its state in the folder; `replace` by regular expression."""
    text = PAPER_CONF.read_text()
    wanted = {r"^state_folder = .*$": f'state_folder = "{folder}"', **replace}
    for pattern, line in wanted.items():
        text, count = re.subn(pattern, lambda _match, line=line: line, text, flags=re.MULTILINE)  # type: ignore[misc]
        assert count, f"conf/paper.toml has nothing like {pattern}"
    path = folder / "run.toml"
    path.write_text(text + extra)
    return path


def live_conf(folder: Path, http_port: int, reference_port: int, *, replace: Mapping[str, str] = {}) -> Path:
    """Write a configuration for an exchange that runs elsewhere: what a user of OCX writes, with local addresses."""
    live = {
        r'^mode = "paper".*$': 'mode = "live"',
        r"^\[paper\](.|\n)*?(?=^\[reference\])": f'[exchange]\nbase_url = "http://127.0.0.1:{http_port}"\n'
        f'key_env = "{KEY_ENV}"\n\n',
        r"^\[reference\].*$": f'[reference]\nurl = "ws://127.0.0.1:{reference_port}"',
    }
    return paper_conf(folder, replace={**live, **replace})


@attrs.define(eq=False)
class Stage:
    """A venue of our own, two proxies in front of it, and a maker that knows only the proxies."""

    folder: Path
    venue: VenueProcess
    exchange: Proxy
    reference: Proxy
    maker: MakerRun

    @property
    def record(self) -> Record:
        return self.venue.record


@contextlib.asynccontextmanager
async def staged(folder: Path, *venue_words: str, hold: Chooser | None = None) -> AsyncIterator[Stage]:
    """Set a stage; on leaving, everything on it is ended."""
    venue = await start_venue(folder, *venue_words)
    try:
        async with trio.open_nursery() as nursery:
            exchange, reference = Proxy(venue.port, chosen=hold), Proxy(venue.reference_port)
            await nursery.start(exchange.run)
            await nursery.start(reference.run)
            conf = live_conf(folder, exchange.port, reference.port)
            environment = {KEY_ENV: TRADE_KEY}
            maker = start_maker(folder, conf, record=venue.record, environment=environment)
            stage = Stage(folder, venue, exchange, reference, maker)
            try:
                yield stage
            finally:
                maker.clean_up()
                stage.venue.process.kill()
            nursery.cancel_scope.cancel(reason="the scene is over")
    finally:
        venue.process.kill()


# -- scenes side by side


def first_of(failure: Exception) -> Exception:
    """The one failure inside a nursery's group."""
    while isinstance(failure, ExceptionGroup):
        failure = failure.exceptions[0]
    return failure


Scene = Callable[[], Awaitable[None]]


def play(scenes: Mapping[str, Scene], side_by_side: int = SIDE_BY_SIDE) -> dict[str, Exception | None]:
    """Run scenes side by side, and return what each ended with: its failure, or None."""
    outcomes: dict[str, Exception | None] = {}
    places = trio.Semaphore(side_by_side)

    async def one(name: str, scene: Scene) -> None:
        try:
            await scene()
        except Exception as failure:
            outcomes[name] = first_of(failure)
        else:
            outcomes[name] = None
        finally:
            places.release()

    async def everything() -> None:
        async with trio.open_nursery() as nursery:
            for name, scene in scenes.items():
                await places.acquire()  # here, so that they begin in their order
                nursery.start_soon(partial(one, name, scene))

    trio.run(everything)
    return outcomes
