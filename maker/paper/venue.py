"""The practice exchange as one program: HTTP and event streams on one port, the reference feed on another.

    async with trio.open_nursery() as nursery:
        ports = await nursery.start(run_venue, VenueSettings(port=8787))

It runs until cancelled. `open_venue` gives the same without sockets: its `routes.handle` and `serve_reference_stream`
work on any stream, and its clock may be a virtual one.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NoReturn

import attrs
import trio

from maker.edge.http_listener import serve_tcp
from maker.edge.http_messages import Moment, Report, moment_now
from maker.paper.keeper import Keeper, VenueClock
from maker.paper.market import MarketSpec, default_markets
from maker.paper.marketplace import Marketplace
from maker.paper.money import plain
from maker.paper.office import Office
from maker.paper.prices import STEP_MS
from maker.paper.ratelimit import LIMIT_DEFAULT
from maker.paper.reference_feed import serve_reference_tcp
from maker.paper.reference_venues import ReferenceVenue
from maker.paper.routes import Routes
from maker.paper.sign_in import Entropy, SignInDesk
from maker.paper.state import ExchangeSettings
from maker.paper.state_file import StateFile
from maker.paper.streams import Streams
from maker.paper.switches import Switches
from maker.paper.witness import Witness
from maker.wire import ocx


@attrs.frozen(kw_only=True)
class VenueSettings:
    """What a venue is started with."""

    host: str = "127.0.0.1"
    port: int = 8787  # 0: any free one
    reference_port: int = 0
    references: tuple[ReferenceVenue, ...] = ()  # those that do not tell the reference path as it is
    seed: int = 1
    preset: str = "busy"  # quiet, normal, busy: of the reference path and the other traders; still: neither
    record: Path | None = None  # the witness's record
    state: Path | None = None  # survives a restart
    switches: Switches = attrs.field(factory=Switches)
    rate_limit_per_minute: int = LIMIT_DEFAULT
    markets: tuple[MarketSpec, ...] = attrs.field(factory=default_markets)
    perps_deposit: Decimal = Decimal(100_000)  # quote units
    session_seconds: int = ocx.SESSION_SECONDS  # life of a wallet's session
    ssl_context: ssl.SSLContext | None = None  # both ports speak TLS where there is one
    step_ms: int = STEP_MS  # of the reference path and the other traders; a state file goes on at the usual one

    def exchange(self) -> ExchangeSettings:
        """Return the part that the exchange is made with."""
        return ExchangeSettings(
            seed=self.seed,
            markets=self.markets,
            switches=self.switches,
            rate_limit_per_minute=self.rate_limit_per_minute,
            perps_deposit=self.perps_deposit,
        )


@attrs.frozen
class VenuePorts:
    """Where a venue listens."""

    http: int
    reference: int


@attrs.define
class Venue:
    """An open venue: its marketplace kept in time, and its HTTP handler."""

    keeper: Keeper
    routes: Routes


def open_venue(
    settings: VenueSettings,
    *,
    clock: Callable[[], Moment] = moment_now,
    witness: Witness | None = None,
    entropy: Entropy = os.urandom,
) -> Venue:
    """Open a venue, going on from its state file if there is one; `venue.keeper.close` must be called at the end.

    Nonces, tokens and secrets are made of `entropy`, and nothing else is.
    Raises ValueError for a wrong preset, StateUnusable, OSError.
    """
    venue_clock = VenueClock(clock)
    with ExitStack() as undo:
        state = None if settings.state is None else StateFile(settings.state)
        place = None if state is None else state.load(settings.exchange(), settings.preset)
        if state is not None:
            undo.callback(state.close)
        resumed = place is not None
        if place is None:
            start_ms, step_ms = venue_clock.unix_ms(), settings.step_ms
            place = Marketplace(settings.exchange(), preset=settings.preset, start_ms=start_ms, step_ms=step_ms)
        witness = witness or Witness(settings.record, clock)
        undo.callback(witness.close)
        if state is not None:
            state.begin(place)()
        place.exchange.state.on_change = witness.change if witness.is_writing else None
        witness.write("start", seed=settings.seed, preset=settings.preset, resumed=resumed, resting=resting(place))
        witness.flush()
        undo.pop_all()
    keeper = Keeper(place, venue_clock, witness, state)
    desk = SignInDesk(entropy, settings.session_seconds, ocx.CHAIN_ID)
    office = Office(keeper, desk, is_secure=settings.ssl_context is not None)
    return Venue(keeper, Routes(keeper, Streams(keeper, run=0 if state is None else state.generation), office))


def resting(place: Marketplace) -> list[dict[str, str]]:
    """List the users' resting orders for the record's first line."""
    return [
        {"orderId": row.order_id, "marketId": row.market_id, "side": row.side, "remaining": plain(row.remaining)}
        for user_id in place.exchange.user_ids()
        for row in place.exchange.open_orders(user_id)
    ]


def log_failure(message: str, error: BaseException) -> None:
    """Say that a connection failed, with its traceback, on the standard library's log: stderr unless configured."""
    logging.getLogger(__name__).error(message, exc_info=error)


async def run_venue(
    settings: VenueSettings,
    *,
    report: Report = log_failure,
    clock: Callable[[], Moment] = moment_now,
    task_status: trio.TaskStatus[VenuePorts] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Run a venue until cancelled; the started value tells its ports. Raises what `open_venue` raises."""
    venue = open_venue(settings, clock=clock)
    keeper = venue.keeper
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.run_steps)
            nursery.start_soon(keeper.run_checkpoints)
            http_port = await nursery.start(
                partial(
                    serve_tcp,
                    settings.port,
                    venue.routes.handle,
                    report=report,
                    host=settings.host,
                    ssl_context=settings.ssl_context,
                    clock=clock,
                    refusal=venue.routes.refuse,
                )
            )
            reference_port = await nursery.start(
                partial(
                    serve_reference_tcp,
                    settings.reference_port,
                    keeper,
                    report=report,
                    venues={each.name: each for each in settings.references},
                    host=settings.host,
                    ssl_context=settings.ssl_context,
                )
            )
            task_status.started(VenuePorts(http_port, reference_port))
    finally:
        keeper.close()
    raise AssertionError("a venue runs until cancelled")
