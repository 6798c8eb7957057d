"""Reloads in a storm: other parameters, lower limits, another key, and what must be refused, in the midst of faults.

Drawn from a random stream of their own and added to the storms of seeds from `RELOADS_FROM` on: what an earlier seed
draws, and its history, stays what it was.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from maker.app.config import Config
from maker.app.market_config import Market
from maker.app.source import Reading
from maker.desk.spread import Fixed
from maker.errors import ConfigError
from maker.launch.key import Key
from maker.launch.reloading import Report
from maker.paper.keys import KeyRecord, digest
from maker.storms.schedule import Fault

if TYPE_CHECKING:
    from maker.storms.weather import Active
    from maker.storms.world import World

RELOADS_FROM: Final = 1_000_000  # seeds below have none
RELOADS_MAX: Final = 3  # in one storm
BEGIN_SECONDS: Final = (0.5, 12.0)
FACTORS: Final = ("0.8", "0.5", "0.25")  # of every size, with every limit on sizes and values
SPREADS_BPS: Final = ("0.5", "2.5", "6")
ROW: Final = "F51"
WHATS: Final = ("spread", "limits", "looser", "broken", "key", "key", "key_revoking", "key_for_reading")
LIMITS: Final = ("position_limit", "order_size_max", "order_value_max", "open_size_max", "position_value_max")


def with_reloads(seed: int, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """A storm's faults with its reloads among them, in the order of time."""
    if seed < RELOADS_FROM:
        return faults
    rng = random.Random(f"reloads:{seed}")
    more = [
        Fault(
            row=ROW,
            name="reload",
            at=round(rng.uniform(*BEGIN_SECONDS), 4),
            words={"what": rng.choice(WHATS), "factor": rng.choice(FACTORS), "bps": rng.choice(SPREADS_BPS)},
        )
        for _ in range(rng.randint(1, RELOADS_MAX))
    ]
    return tuple(sorted((*faults, *more), key=lambda fault: fault.at))


@attrs.define(eq=False)
class Shelf:
    """What the maker and its guard find when they read their files again."""

    config: Config
    kept: Key
    tree: dict[str, Any] = attrs.field(factory=dict)
    problem: str = ""  # why the configuration does not pass; empty: it does
    read_last: Config = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.read_last = self.config
        self.tree = tree_of(self.config)

    async def read(self) -> Reading:
        """As `maker.app.source.Source`."""
        await trio.lowlevel.checkpoint()
        if self.problem:
            raise ConfigError("cycle.requote_bsp", self.problem, "Did you mean requote_bps?")
        self.read_last = self.config
        return Reading(self.tree, self.config, "0")

    async def key(self, _config: Config) -> Key:
        await trio.lowlevel.checkpoint()
        return self.kept

    def write(self, config: Config) -> None:
        """Put another configuration there."""
        self.config, self.tree = config, tree_of(config)


@attrs.define(eq=False)
class Reloads:
    """What somebody does in one storm: writes files, asks for reloads, reads what came of them."""

    world: World
    asked: list[str] = attrs.field(factory=list)  # kinds of reload
    before: Config | None = None  # what was there before one that is to be refused
    secrets: list[str] = attrs.field(factory=list, repr=False)  # of keys that were made

    def begin(self, active: Active) -> None:
        """Write another configuration, or another key, and ask for a reload."""
        world, shelf = self.world, self.world.shelf
        assert shelf is not None, "the world has one where it is reloaded"
        what, factor = active.word("what"), Decimal(active.word("factor"))
        steps = {spec.market_id: spec.step_size for spec in world.site.exchange.settings.markets}
        shelf.problem = ""
        match what:
            case "spread":
                shelf.write(other_spread(shelf.config, Decimal(active.word("bps"))))
            case "limits":
                shelf.write(scaled(shelf.config, factor, steps))
            case "looser":
                self.before = shelf.config
                shelf.write(scaled(shelf.config, 1 / factor, steps))
            case "broken":
                shelf.problem = "is not known."
            case _:
                shelf.kept = self.make_key(active, "read" if what == "key_for_reading" else "trade")
        self.asked.append(what)
        world.warden.reload_asked = True
        world.machine.guard_link.stir()

    def make_key(self, active: Active, scope: str) -> Key:
        """Make another key of the account."""
        site = self.world.site
        name = f"storm_{active.index + 1}"
        kept = Key(f"ocx_sk_canary_{name}", f"ocx_kid_{name}", scope, math.inf)
        now_ms = site.venue.keeper.now_ms()
        record = KeyRecord(key_id=kept.key_id, user_id=site.user_id, name=name, scope=scope, created_ms=now_ms)
        site.exchange.state.keys.add(digest(kept.secret), record)
        self.secrets.append(kept.secret)
        return kept

    def reported(self, report: Report) -> None:
        """Read what came of a reload, and do what it says: the old key is revoked at once, or stays."""
        site, shelf, keys = self.world.site, self.world.shelf, self.world.warden.keys
        assert shelf is not None, "it was reloaded"
        if not report.ok:
            shelf.problem = ""
            shelf.write(shelf.config if self.before is None else self.before)
            shelf.kept = keys.first
        elif "may be revoked now" in report.sentence and "key_revoking" in self.asked:
            ring = site.exchange.state.keys
            old = ring.lookup(keys.held[1].secret)
            assert old is not None, "every key of the storm is the exchange's"
            ring.revoke(old.key_id, site.venue.keeper.now_ms())
        self.before = None


def tree_of(config: Config) -> dict[str, Any]:
    """The keys that a storm's reload may change, as their file would have them."""
    return {
        "limits": {"value_max": config.limits.value_max},
        "market": {
            market_id: {
                "level_size": one.ladder.level_size,
                "models": {"storm": repr(one.spread_model)},
                **{name: getattr(one.limits, name) for name in LIMITS},
            }
            for market_id, one in config.markets.items()
        },
    }


def other_spread(config: Config, bps: Decimal) -> Config:
    """The same with a fixed half-spread in every market."""
    return with_markets(config, lambda _id, one: attrs.evolve(one, models={one.model: Fixed(bps, Decimal(0))}))


def scaled(config: Config, factor: Decimal, steps: Mapping[str, Decimal]) -> Config:
    """The same with all sizes, and all limits on sizes and values, times a factor; `steps` of sizes, by market."""

    def smaller(market_id: str, one: Market) -> Market:
        step = steps[market_id]
        size = max(step, (one.ladder.level_size * factor).quantize(step, ROUND_DOWN))
        position = one.limits.position_limit * factor
        ladder = attrs.evolve(one.ladder, level_size=size, position_limit=position)
        limits = attrs.evolve(one.limits, **{name: getattr(one.limits, name) * factor for name in LIMITS})
        return attrs.evolve(one, ladder=ladder, limits=limits)

    return attrs.evolve(
        with_markets(config, smaller), limits=attrs.evolve(config.limits, value_max=config.limits.value_max * factor)
    )


def with_markets(config: Config, change: Callable[[str, Market], Market]) -> Config:
    return attrs.evolve(config, markets={name: change(name, one) for name, one in config.markets.items()})
