"""TOML -> each room's own frozen parameters. An unknown key, a wrong unit or a broken relation refuses to start."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from maker.app import credentials
from maker.app.credentials import refuse_secrets
from maker.app.values import build, known, positive, require, section, table, text
from maker.desk.budget import BudgetSettings, reserve_calls
from maker.desk.fair import FairSettings
from maker.desk.identity import PREFIX_PATTERN
from maker.desk.ladder import LadderSettings
from maker.desk.market import CycleSettings
from maker.desk.risk import AccountLimits, Limits
from maker.errors import ConfigError
from maker.guard import settings
from maker.paper.switches import Switches
from maker.wire.ocx import HEARTBEAT_SECONDS

PAPER_KEY: Final = "ocx_sk_paper_trade"  # every practice exchange knows it: it is no secret
STREAM_SILENT_SECONDS: Final = 1.5 * HEARTBEAT_SECONDS
STREAM_FRESH_SECONDS: Final = 20.0  # below the above: no new ladder on a stream this long unheard
LEVELS_MAX: Final = 20  # a side
GROWTH_MAX: Final = 10  # of sizes from level to level
STALE_SECONDS_MAX: Final = 10.0  # a reference price older than this is no price, whatever the configuration says


@attrs.frozen
class Exchange:
    """Where the exchange is and where the key is kept; never the key itself."""

    base_url: str
    key_env: str = ""  # name of an environment variable
    key_file: str = ""  # path of a file with mode 0600


@attrs.frozen
class Reference:
    """The reference feed."""

    silent_seconds_max: float
    url: str = ""


@attrs.frozen
class Cycle:
    """As written in the configuration; see `CycleSettings`."""

    requote_bps: Decimal
    requote_seconds_min: float
    quote_age_seconds_max: float


@attrs.frozen
class Halt:
    """How quotes are pulled; seconds."""

    write_seconds_max: float
    settle_seconds_max: float
    tail_seconds_max: float
    halt_seconds_max: float


@attrs.frozen
class Paper:
    """The practice exchange."""

    seed: int
    preset: str
    port: int = 0
    reference_port: int = 0
    requests_per_minute: int = 120
    record: str = ""  # the witness's file, in the state folder
    state: str = ""  # survives a restart by this file, in the state folder


@attrs.frozen
class Market:
    """One market's parameters, by room."""

    fair: FairSettings
    ladder: LadderSettings
    limits: Limits


@attrs.frozen
class Config:
    """A configuration that passed every check."""

    mode: str
    account: str
    order_prefix: str
    state_folder: Path
    exchange: Exchange
    reference: Reference
    cycle: CycleSettings
    budget: BudgetSettings
    limits: AccountLimits
    halt: Halt
    markets: Mapping[str, Market]
    paper: Paper | None


TOP_KEYS: Final = [*(field.name for field in attrs.fields(Config) if field.name != "markets"), "market"]


def load(path: Path, venue_url: str = "", reference_url: str = "") -> Config:
    """Read and check a configuration; the two addresses are those of a practice exchange. Raises ConfigError."""
    return check(read(path), venue_url, reference_url)


def load_paper(path: Path) -> tuple[Paper, dict[str, Any], Path]:
    """Read what the practice exchange needs of a configuration: its table, its switches, the state folder."""
    tree = read(path)
    return *paper(tree), state_folder(tree)


def read(path: Path) -> dict[str, Any]:
    """Read a TOML file with exact decimals. Raises ConfigError."""
    try:
        return settings.load(path, parse_float=Decimal)
    except settings.SettingsError as error:
        raise ConfigError(str(path), str(error), "Give the path of a TOML file.") from error


def state_folder(tree: Mapping[str, Any]) -> Path:
    """The state folder, absolute. Raises ConfigError."""
    try:
        return settings.state_folder(dict(tree))
    except settings.SettingsError as error:
        raise ConfigError("state_folder", str(error), 'For example "state".') from error


def check(tree: Mapping[str, Any], venue_url: str = "", reference_url: str = "") -> Config:
    """Turn a parsed file into a Config. Raises ConfigError naming the field and the fix."""
    refuse_secrets(tree, "")
    known(tree, TOP_KEYS, "")
    mode = text(tree, "mode", "")
    if mode not in settings.MODES:
        raise ConfigError("mode", f"is {mode!r}.", 'Write "paper" or "live".')
    other = "exchange" if mode == "paper" else "paper"
    if other in tree:
        raise ConfigError(other, f"is not read in mode {mode!r}.", "Remove the table, or change the mode.")
    prefix = text(tree, "order_prefix", "")
    if PREFIX_PATTERN.fullmatch(prefix) is None:
        raise ConfigError("order_prefix", f"is {prefix!r}.", "Write 2 to 8 characters of a-z and 0-9.")
    cycle = section(Cycle, tree, "cycle")
    config = Config(
        mode=mode,
        account=text(tree, "account", ""),
        order_prefix=prefix,
        state_folder=state_folder(tree),
        exchange=exchange(tree, mode, venue_url),
        reference=reference(tree, reference_url),
        cycle=CycleSettings(
            requote_bps=cycle.requote_bps,
            requote_seconds_min=cycle.requote_seconds_min,
            quote_age_seconds_max=cycle.quote_age_seconds_max,
            stream_silent_seconds_max=STREAM_SILENT_SECONDS,
            stream_fresh_seconds_max=STREAM_FRESH_SECONDS,
        ),
        budget=section(BudgetSettings, tree, "budget"),
        limits=section(AccountLimits, tree, "limits"),
        halt=section(Halt, tree, "halt"),
        markets={name: market(tree["market"], name) for name in table(tree, "market", "")},
        paper=paper(tree)[0] if mode == "paper" else None,
    )
    relations(config)
    return config


def exchange(tree: Mapping[str, Any], mode: str, venue_url: str) -> Exchange:
    if mode == "paper":
        return Exchange(base_url=venue_url)
    found = section(Exchange, tree, "exchange")
    url_scheme("exchange.base_url", found.base_url, ("https", "http"))
    if bool(found.key_env) == bool(found.key_file):
        raise ConfigError("exchange", "needs one place to find the key.", "Give either key_env or key_file.")
    return found


def reference(tree: Mapping[str, Any], reference_url: str) -> Reference:
    found = section(Reference, tree, "reference")
    if reference_url:
        return attrs.evolve(found, url=reference_url)
    if tree.get("mode") == "live":
        url_scheme("reference.url", found.url, ("wss", "ws"))
    return found


def paper(tree: Mapping[str, Any]) -> tuple[Paper, dict[str, Any]]:
    """The practice exchange's table, and its [paper.switches] as they stand. Raises ConfigError."""
    given = dict(table(tree, "paper", ""))
    switches = dict(table(given, "switches", "paper")) if "switches" in given else {}
    given.pop("switches", None)
    known(switches, [field.name for field in attrs.fields(Switches)], "paper.switches")
    return section(Paper, {"paper": given}, "paper"), switches


def url_scheme(field: str, url: str, schemes: tuple[str, ...]) -> None:
    """Refuse what is no URL of these schemes; plain text only to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(field, f"is {url!r}.", f"Write {schemes[0]}://host.")
    if parts.scheme == schemes[1] and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigError(
            field, f"is {url!r}, not encrypted.", f"Write {schemes[0]}://; only this machine may do without."
        )


def market(tables: Mapping[str, Any], name: str) -> Market:
    """One [market.NAME] table, its keys shared out among the rooms."""
    path = f"market.{name}"
    given = table(tables, name, "market")
    parts: dict[type[Any], dict[str, Any]] = {FairSettings: {}, LadderSettings: {}, Limits: {}}
    owners: dict[str, list[type[Any]]] = {}
    for room in parts:
        for field in attrs.fields(room):
            owners.setdefault(field.name, []).append(room)
    known(given, list(owners), path)
    for key, value in given.items():
        for room in owners[key]:  # position_limit belongs to the ladder and to risk: one key, so they cannot differ
            parts[room][key] = value
    return Market(
        fair=build(FairSettings, parts[FairSettings], path),
        ladder=build(LadderSettings, parts[LadderSettings], path),
        limits=build(Limits, parts[Limits], path),
    )


# -- relations ----------------------------------------------------------------------------------------------------


def relations(config: Config) -> None:
    """What must hold between the values. Raises ConfigError."""
    if not config.markets:
        raise ConfigError("market", "no market is configured.", "Add a [market.NAME] table.")
    for section_name in ("reference", "halt"):
        positive(getattr(config, section_name), section_name)
    require(config.cycle.requote_bps > 0, "cycle.requote_bps", "must be above 0.", "Try 1.0.")
    require(config.cycle.requote_seconds_min > 0, "cycle.requote_seconds_min", "must be above 0.", "Try 0.3.")
    require(
        config.cycle.quote_age_seconds_max > config.cycle.requote_seconds_min,
        "cycle.quote_age_seconds_max",
        "must be above cycle.requote_seconds_min.",
        "Try 20.",
    )
    budget = config.budget
    require(0 < budget.reserve_ratio < 1, "budget.reserve_ratio", "must be between 0 and 1.", "Try 0.2.")
    require(
        budget.requests_per_minute > 2 * (reserve := reserve_calls(len(config.markets))),
        "budget.requests_per_minute",
        f"must be above {2 * reserve}: a reserve of {reserve} is kept for cancels, more with each market.",
        "OCX's standard tier is 120.",
    )
    require(budget.burst >= 1, "budget.burst", "must be 1 or more.", "Try 6.")
    require(config.limits.value_max > 0, "limits.value_max", "must be above 0.", "Give it in quote currency.")
    halt = config.halt
    require(
        halt.halt_seconds_max > halt.tail_seconds_max + halt.settle_seconds_max,
        "halt.halt_seconds_max",
        "must be above halt.tail_seconds_max plus halt.settle_seconds_max, or the tail cannot be finished.",
        "Try 15 with a tail of 8.",
    )
    if config.paper is not None:
        presets = ("quiet", "normal", "busy")
        require(config.paper.preset in presets, "paper.preset", "is not known.", f"One of {', '.join(presets)}.")
    for name, one in config.markets.items():
        market_relations(f"market.{name}", one)


def market_relations(path: str, one: Market) -> None:
    ladder, limits = one.ladder, one.limits
    require(1 <= ladder.levels <= LEVELS_MAX, f"{path}.levels", f"must be 1 to {LEVELS_MAX}.", "Try 4.")
    for name in ("half_spread_bps", "level_step_bps", "level_size", "position_limit"):
        require(getattr(ladder, name) > 0, f"{path}.{name}", "must be above 0.", "")
    for name in ("edge_bps_min", "skew_bps"):
        require(getattr(ladder, name) >= 0, f"{path}.{name}", "must not be negative.", "")
    growth_fits = 1 <= ladder.size_growth <= GROWTH_MAX
    require(growth_fits, f"{path}.size_growth", f"must be 1 to {GROWTH_MAX}.", "1 keeps sizes flat.")
    require(
        0 <= ladder.position_soft_ratio < 1, f"{path}.position_soft_ratio", "must be from 0 to below 1.", "Try 0.5."
    )
    largest = ladder.level_size * ladder.size_growth ** (ladder.levels - 1)
    require(
        largest <= limits.order_size_max,
        f"{path}.order_size_max",
        f"is below the outermost level's size of {largest.normalize():f}.",
        "Raise it, or lower level_size, size_growth or levels.",
    )
    require(
        ladder.level_size <= ladder.position_limit / 2,
        f"{path}.position_limit",
        "must be at least twice level_size: a ladder and the one that replaces it must both fit.",
        "Raise it or lower level_size.",
    )
    require(limits.order_value_max > 0, f"{path}.order_value_max", "must be above 0.", "Give it in quote currency.")
    reach = ladder.half_spread_bps + ladder.level_step_bps * ladder.levels + ladder.skew_bps
    require(
        reach < limits.collar_bps,
        f"{path}.collar_bps",
        f"is below {reach} bp, as far as the skewed ladder itself may reach.",
        "Raise the collar or narrow the ladder.",
    )
    positive(one.fair, path)
    stale = one.fair.stale_seconds_max
    require(stale <= STALE_SECONDS_MAX, f"{path}.stale_seconds_max", f"must be at most {STALE_SECONDS_MAX}.", "Try 2.")


def api_key(config: Config, environment: Mapping[str, str]) -> str:
    """The API key of a configuration. Raises ConfigError, never showing it."""
    if config.mode == "paper":
        return PAPER_KEY
    return credentials.read_key(config.exchange.key_env, config.exchange.key_file, environment)
