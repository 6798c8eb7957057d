"""The scripted exchange as the checks find it: healthy unless a test says otherwise, in memory and in virtual time."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from maker.app.config import Config
from maker.app.feeds import Door
from maker.app.references import Venue
from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.edge.endpoint import Endpoint
from maker.edge.lane import Connection, NotSent
from maker.launch.key import Key
from maker.launch.settings import PROJECT_FOLDER
from maker.preflight import command
from maker.preflight.sequence import Sequence
from maker.preflight.setting import CONFIGURATION, KEY, PRACTICE, Known, Ways
from maker.preflight.verdict import Finding, Row, Verdict, ok
from maker.wire import ocx
from tests.app.site import BALANCES, MARKET, Site, saying
from tests.app.site import KEY as SECRET
from tests.app.test_feeds import SNAPSHOT, streaming
from tests.app.whole import LOADED, WALL, http_date
from tests.desk.scripted import BTC

MARK: Final = "50000.0"
LISTED: Final = {**MARKET, "markPrice": MARK}
OWN_KEY: Final = {
    "id": "ocx_kid_1",
    "name": "maker",
    "scope": "trade",
    "allowedIps": ["192.0.2.9"],
    "createdAt": "2023-11-01T00:00:00.000Z",
    "expiresAt": "2024-06-01T00:00:00.000Z",
    "lastUsedAt": "2023-11-14T22:13:19.000Z",
    "lastUsedIp": "192.0.2.9",
    "status": "active",
}
TIERS: Final = {"tiers": [{"tier": "t2", "minVolume30d": "0", "makerFeeBps": "-0.5", "takerFeeBps": "3"}], "current": "t2"}  # fmt: skip  # noqa: E501


def a_key(**fields: Any) -> dict[str, Any]:
    return {"keys": [{**OWN_KEY, **fields}]}


def balances(**fields: str) -> dict[str, Any]:
    return {"balances": [{**BALANCES["balances"][0], **fields}]}


def an_order(name: str | None) -> dict[str, Any]:
    return {"id": "o1", "marketId": BTC, "clientOrderId": name, "side": "buy", "price": "1", "quantity": "1", "status": "open"}  # fmt: skip  # noqa: E501


def live_example(folder: Path, url: str, *pairs: tuple[str, str]) -> Path:
    """The live example at another address, its key in MAKER_TEST_KEY, its state in a folder of the test's."""
    text = (PROJECT_FOLDER / "conf" / "live.example.toml").read_text()
    addressed = (
        ('base_url = "https://api.ocx.global"', f'base_url = "{url}"'),
        ('key_env = "OCX_API_KEY"', 'key_env = "MAKER_TEST_KEY"'),
        ('state_folder = "state-live"', f'state_folder = "{folder / "state"}"'),
    )
    for old, new in (*addressed, *pairs):
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "live.toml"
    path.write_text(text)
    return path


@attrs.frozen
class Place(Endpoint):
    """Where the scripted exchange is; `refuses` and `shakes` fail a connection and its handshake."""

    site: Site = attrs.field(kw_only=True)
    refuses: str = attrs.field(default="", kw_only=True)
    distrusts: str = attrs.field(default="", kw_only=True)

    async def dial(self) -> Connection:
        if self.refuses or (self.tls is not None and self.distrusts):
            raise NotSent(self.refuses or self.distrusts)
        return await self.site.dial()


@attrs.define
class Feeds:
    """The reference feeds of a test: each tells a price at once, but for those that a test makes behave otherwise."""

    otherwise: dict[str, Callable[[Venue, Door], Any]] = attrs.field(factory=dict)

    async def follow(self, venue: Venue, door: Door) -> None:
        if venue.source in self.otherwise:
            await self.otherwise[venue.source](venue, door)
        for symbol in venue.symbols:
            door.deliver(ReferenceHeard(venue.source))
            door.deliver(a_price(venue.source, symbol))
        await trio.sleep_forever()


def a_price(source: str, symbol: str, bid: str = "49999") -> ReferenceQuote:
    one = Decimal(1)
    return ReferenceQuote(source, symbol, Decimal(bid), one, Decimal("50001"), one)


@attrs.define
class Scene:
    """What a test may change before the checks are made, and their rows afterwards."""

    site: Site
    config: Config
    key: Key = attrs.field(factory=partial(Key, SECRET))
    seconds_ahead: float = 0.0  # of our wall clock
    place: dict[str, Any] = attrs.field(factory=dict)
    feeds: Feeds = attrs.field(factory=Feeds)
    resolve: Callable[..., Any] | None = None
    before: dict[str, Finding] = attrs.field(factory=dict)  # of this machine's checks: instead of ok
    rows: dict[str, Row] = attrs.field(factory=dict)

    def verdict(self, name: str) -> Verdict:
        return self.rows[name].finding.verdict

    def text(self, name: str) -> str:
        found = self.rows[name].finding
        return f"{found.said} {found.fix}"


def a_scene(nursery: trio.Nursery, folder: Path) -> Scene:
    """A healthy exchange, one market, the practice configuration's three feeds."""
    site = Site(nursery)
    dated = f"Date: {http_date(WALL)}"
    site.usual |= {
        ocx.MARKETS: saying([LISTED]),
        ocx.FEES: saying(TIERS),
        ocx.API_KEYS: saying(a_key()),
        ocx.MARKET_STATS: saying(
            {"marketId": BTC, "markPrice": MARK, "indexPrice": MARK, "fundingRate": "0"}, 200, dated
        ),
        ocx.STREAM_EVENTS: streaming(SNAPSHOT),
    }
    config = attrs.evolve(LOADED, markets={BTC: LOADED.markets[BTC]}, state_folder=folder)
    return Scene(site, config)


async def examined(scene: Scene) -> dict[str, Row]:
    """Make the checks that need others, as the command does after those of this machine."""
    sequence = Sequence(lambda _row: None, clock=trio.current_time, secret=scene.key.secret)
    for name in (CONFIGURATION, KEY, PRACTICE):
        sequence.note(name, scene.before.get(name) or ok("As scripted."))
    place = Place("ocx.test", 80, None, "", ((socket.AF_INET, ("192.0.2.1", 80)),), site=scene.site)
    place = attrs.evolve(place, **scene.place)

    async def resolve(*_words: object, **_more: object) -> Endpoint:
        return place

    ways = Ways(
        resolve=scene.resolve or resolve,
        follow_reference=scene.feeds.follow,
        wall=lambda: WALL + scene.seconds_ahead,
    )
    known = Known(scene.config, scene.key, ways)
    await command.of_the_others(known, sequence)
    scene.rows = {row.name: row for row in sequence.rows}
    assert len(scene.rows) == len(sequence.rows), "each check has one row"
    text = json.dumps([row.fields for row in sequence.rows]) + "".join(row.line for row in sequence.rows)
    assert not scene.key.secret or scene.key.secret not in text
    return scene.rows
