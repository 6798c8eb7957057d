"""What is provoked in the scripted exchange, as changes of a scene, and the checks by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import attrs
import trio

from maker.app.budget_file import BUDGET_FILE, spell
from maker.app.feeds import Door
from maker.app.references import Venue
from maker.edge.lane import NotSent
from maker.errors import StreamBroken, StreamFault
from maker.launch.running import LOSSES_FILE
from maker.preflight.api_key import CREDENTIALS, EXPIRY, PINS, SCOPE
from maker.preflight.setting import LISTING, MARGIN
from maker.wire import ocx
from tests.app.site import Seen, saying, silent
from tests.app.whole import RESTED, WALL, http_date
from tests.desk.scripted import BTC
from tests.preflight.scripted import TIERS, Scene, a_price, an_order
from tests.support.wires import ServerEnd

MARKET, GRID, STREAM = f"market.{BTC}", f"grid.{BTC}", f"stream.{BTC}"
FEES, RATE, LOSSES, FOREIGN, CLOCK = "fees", "rate limit", "losses", "foreign orders", "clock"
ELSEWHERE: Final = "foreign positions"
ALPHA, BETA, GAMMA = "reference.alpha", "reference.beta", "reference.gamma"
OF_ACCOUNT: Final = {FEES, STREAM, RATE, MARGIN, LOSSES, FOREIGN, ELSEWHERE}  # built on the key
OF_EXCHANGE: Final = {CREDENTIALS, EXPIRY, PINS, SCOPE, CLOCK, LISTING, MARKET, GRID} | OF_ACCOUNT
DATED: Final = f"Date: {http_date(WALL)}"
FEEDS: Final = {ALPHA, BETA, GAMMA}


Change = Callable[[Scene], None]


def positions(*rows: dict[str, str]) -> Change:
    """Positions of the account, each long and open where its row does not say otherwise."""
    whole = {"id": "p1", "side": "buy", "entryPrice": "50000", "realizedPnl": "0", "status": "open"}
    return usual(ocx.POSITIONS, [{**whole, **row} for row in rows])


async def restless(seen: Seen, stream: ServerEnd) -> None:
    """Positions of a market of ours that are others whenever they are read."""
    await trio.sleep(0.1)
    quantity = f"{trio.current_time() * 10:.0f}"
    row = {"id": "p1", "marketId": BTC, "side": "buy", "quantity": quantity, "entryPrice": "50000", "status": "open"}
    await saying([row])(seen, stream)


def stating(*fields: str) -> Change:
    """An exchange whose answers to reads of fees state a rate limit."""

    def change(scene: Scene) -> None:
        scene.site.usual[ocx.FEES] = saying(TIERS, 200, *fields)

    return change


def usual(path: str, *words: Any) -> Change:
    def change(scene: Scene) -> None:
        scene.site.usual[path] = saying(*words)

    return change


def behaving(path: str, behaviour: Any) -> Change:
    def change(scene: Scene) -> None:
        scene.site.usual[path] = behaviour

    return change


def both(*changes: Change) -> Change:
    def change(scene: Scene) -> None:
        for one in changes:
            one(scene)

    return change


def set_to(**fields: Any) -> Change:
    def change(scene: Scene) -> None:
        for name, value in fields.items():
            setattr(scene, name, value)

    return change


def market_with(room: str, **fields: Any) -> Change:
    def change(scene: Scene) -> None:
        one = scene.config.markets[BTC]
        one = attrs.evolve(one, **{room: attrs.evolve(getattr(one, room), **fields)})
        scene.config = attrs.evolve(scene.config, markets={BTC: one})

    return change


def resting(name: str | None) -> Change:
    def change(scene: Scene) -> None:
        scene.site.resting = [an_order(name)]

    return change


def left_by_losses(fallen: str) -> Change:
    def change(scene: Scene) -> None:
        lost = {"equity": "10000", "fallen": fallen, "day": None, "today": "0"}
        (scene.config.state_folder / LOSSES_FILE).write_text(json.dumps(lost))
        paper = scene.config.paper
        assert paper is not None
        scene.config = attrs.evolve(scene.config, paper=attrs.evolve(paper, state="venue.json"))

    return change


async def no_such_name(*_words: object, **_more: object) -> Any:
    raise NotSent("no address for ocx.test: Name or service not known")


async def hung(*_words: object, **_more: object) -> Any:
    await trio.sleep_forever()


def thrice_silent(scene: Scene) -> None:
    scene.site.script(ocx.MARKET_STATS, silent, silent, silent)


def feed_that(behaves: Callable[[Venue, Door], Any]) -> Change:
    def change(scene: Scene) -> None:
        scene.feeds.otherwise["beta"] = behaves

    return change


async def refuses(_venue: Venue, _door: Door) -> None:
    raise StreamBroken(StreamFault.CLOSED, "beta: refused by the venue: 'no such symbol'")


async def only_one_side(venue: Venue, door: Door) -> None:
    door.deliver(a_price(venue.source, "BTC-USD", bid="0"))
    await trio.sleep_forever()


def telling(bid: str, ask: str) -> Callable[[Venue, Door], Any]:
    """A feed that tells this bid and ask of whatever it is asked for."""

    async def tells(venue: Venue, door: Door) -> None:
        for symbol in venue.symbols:
            door.deliver(attrs.evolve(a_price(venue.source, symbol, bid), ask=Decimal(ask)))
        await trio.sleep_forever()

    return tells


def priced_at(mark: str, index: str) -> dict[str, str]:
    """What the exchange says its market is worth."""
    return {"marketId": BTC, "markPrice": mark, "indexPrice": index, "fundingRate": "0"}


def dated(seconds: float) -> Change:
    return set_to(seconds_ahead=seconds)


def cancelling(scene: Scene) -> None:
    scene.site.resting = [an_order("other-1"), an_order("mk-old-1")]
    scene.config = attrs.evolve(scene.config, foreign_orders="cancel")


def last_run_counted(limit: int) -> Change:
    def change(scene: Scene) -> None:
        left = attrs.evolve(RESTED, limit=limit, remaining=limit)
        (scene.config.state_folder / BUDGET_FILE).write_text(spell(left))

    return change


def without_previews(scene: Scene) -> None:
    scene.config = attrs.evolve(scene.config, margin=attrs.evolve(scene.config.margin, preview_seconds=0.0))
    scene.site.usual.pop(ocx.PREVIEW)


def unused_feed(scene: Scene) -> None:
    market_with("fair", sources={n: s for n, s in scene.config.markets[BTC].fair.sources.items() if n != "gamma"})(
        scene
    )
