"""What the checks learn from configuration and exchange, one from another, and how they reach out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import attrs
import trio

from maker.app import references
from maker.app.config import Config
from maker.app.reading import AccountReader
from maker.app.watches import Skew
from maker.app.wiring import stand_by
from maker.desk.deadman import Trip
from maker.desk.engine import Engine
from maker.desk.events import BudgetSeen, MarketSpec
from maker.edge import endpoint
from maker.edge.answer import Answer
from maker.edge.client import Client
from maker.edge.endpoint import Endpoint
from maker.edge.lane import Connection
from maker.edge.session import Session, Standby
from maker.errors import OutcomeUnknown, Throttled
from maker.launch.key import Key
from maker.preflight.api_key import KeyTold
from maker.wire import limits, ocx

# Checks by name; those of one market or feed carry its name behind a dot. What others build on stands here.
CONFIGURATION: Final = "configuration"
KEY: Final = "key"
PRACTICE: Final = "practice exchange"
EXCHANGE: Final = "exchange"
TLS: Final = "tls"
LISTING: Final = "listing"
MARGIN: Final = "margin"

NO_KEY: Final = Key("")
PAUSES: Final = (0.25, 0.5)  # before a read is tried again: three that time out are one check's time

Read = TypeVar("Read")


@attrs.frozen(kw_only=True)
class Ways:
    """How the checks reach out; a test has others."""

    resolve: Callable[..., Awaitable[Endpoint]] = endpoint.resolve
    follow_reference: Callable[..., Awaitable[Any]] = references.follow_reference
    wall: Callable[[], float] = time.time


THIS_WAY: Final = Ways()


@attrs.define
class Known:
    """What is known so far. A check that needs a part of it comes after the one that finds it."""

    config: Config
    key: Key = NO_KEY  # without one only what is public is asked
    ways: Ways = THIS_WAY
    place: Endpoint | None = None
    client: Client | None = None
    session: Session | None = None  # of the wallet that stands by where reads are refused to the key
    reader: AccountReader | None = None
    listing: Mapping[str, ocx.Market] = attrs.field(factory=dict)
    tier: tuple[Decimal, Decimal] | None = None  # our maker and taker fee, basis points; None: not told
    specs: dict[str, MarketSpec] = attrs.field(factory=dict)
    key_told: KeyTold | None = None
    engine: Engine | None = None  # with the account as read, once the margin was checked
    skew: Skew = attrs.field(factory=Skew)
    skewed: Trip | None = None  # by the last answer
    answers: int = 0  # heard
    stated: BudgetSeen | None = None  # by the last answer that states a rate limit

    async def dial(self) -> Connection:
        """Connect to where the exchange is. Raises NotSent."""
        return await self.endpoint.dial()

    @property
    def endpoint(self) -> Endpoint:
        assert self.place is not None, "the exchange is found first"
        return self.place

    @property
    def reads(self) -> AccountReader:
        """The one way to ask the exchange: it reads, and nothing else."""
        if self.reader is None:
            secret, tls = self.key.secret, self.endpoint.tls
            headers = {ocx.KEY_HEADER: secret} if secret else {}
            if secret:
                self.session = stand_by(self.config, tls, self.dial, self.ways.wall)
            standby = None if self.session is None else Standby(self.session)
            self.client = Client(self.config.exchange.base_url, headers, tls, dial=self.dial, standby=standby)
            self.reader = AccountReader(self.client, {}, on_answer=self.heard)
        return self.reader

    async def read(self, path: str, parse: Callable[[bytes], Read], params: Mapping[str, str] | None = None) -> Read:
        """One read, tried again a few times. Raises OcxError, or ValueError for what makes no sense."""
        for pause in PAUSES:
            with contextlib.suppress(Throttled, OutcomeUnknown, ValueError):
                return await self.reads.get_once(path, parse, params)
            await trio.sleep(pause)
        return await self.reads.get_once(path, parse, params)

    def heard(self, answer: Answer) -> None:
        """Learn clock and rate limit from any answer."""
        wall = self.ways.wall()
        self.answers += 1
        self.skewed = self.skew.seen(answer.headers, wall)
        self.stated = limits.seen(answer.headers, wall) or self.stated

    async def aclose(self) -> None:
        if self.session is not None:
            await self.session.end()
        if self.client is not None:
            await self.client.aclose()
