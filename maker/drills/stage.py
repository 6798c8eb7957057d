"""The stage that scenes play on: a practice exchange, a proxy before each of its ports, a maker that knows only these.

Scenes may play side by side; each has a folder, and processes, of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.drills.processes import Environment, MakerRun, VenueProcess, start_maker, start_venue
from maker.drills.proxy import Chooser, Proxy
from maker.drills.record import Record
from maker.launch import lock
from maker.launch.settings import parent_settings

SIDE_BY_SIDE: Final = 4  # scenes at once on two cores

Configure = Callable[[int, int], Path]  # writes a configuration for these two ports and returns its path


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
async def staged(
    folder: Path,
    configure: Configure,
    *venue_words: str,
    environment: Environment,
    maker_words: Sequence[str] = (),
    hold: Chooser | None = None,
    entry: Sequence[str] = ("-m", "maker"),
    stdout: int | None = None,
    stderr: int | None = None,
) -> AsyncIterator[Stage]:
    """Set a stage; on leaving, everything on it is ended."""
    venue = await start_venue(folder, *venue_words, environment=environment)
    try:
        async with trio.open_nursery() as nursery:
            shown, trusting = venue.tls()
            exchange, reference = (
                Proxy(port, shown=shown, trusting=trusting) for port in (venue.port, venue.reference_port)
            )
            exchange.chosen = hold
            await nursery.start(exchange.run)
            await nursery.start(reference.run)
            conf = configure(exchange.port, reference.port)
            maker = start_maker(
                folder,
                conf,
                *maker_words,
                record=venue.record,
                environment=environment,
                entry=entry,
                stdout=stdout,
                stderr=stderr,
            )
            stage = Stage(folder, venue, exchange, reference, maker)
            try:
                yield stage
            finally:
                maker.clean_up()
                stage.venue.process.kill()
                forget_account(conf)
            nursery.cancel_scope.cancel(reason="the scene is over")
    finally:
        venue.process.kill()


def forget_account(conf: Path) -> None:
    """Remove the file by which this machine knows the stage's account: no other stage will ever have that one."""
    held = lock.account_lock(parent_settings(conf))
    os.close(held.descriptor)
    held.path.unlink()


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
        except Exception as failure:  # noqa: BLE001 - the top of one scene: it ends here, the others go on
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
