"""TOML -> each room's own frozen parameters. An unknown key, a wrong unit or a broken relation refuses to start."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import attrs

from maker.app import credentials, own_model
from maker.app import spread_models as spread_model_rooms
from maker.app.credentials import refuse_secrets
from maker.app.relations import relations
from maker.app.values import build, known, positive, require, section, table, text
from maker.desk.budget import BudgetSettings
from maker.desk.fair import FairSettings, SourceSettings
from maker.desk.funding import FundingSettings
from maker.desk.identity import PREFIX_PATTERN
from maker.desk.intensity import IntensitySettings
from maker.desk.ladder import LadderSettings
from maker.desk.margin import MarginSettings
from maker.desk.market import CycleSettings
from maker.desk.risk import AccountLimits, Limits
from maker.desk.spread import SpreadModel
from maker.desk.volatility import VolatilitySettings
from maker.errors import ConfigError
from maker.launch import key, settings
from maker.paper.reference_venues import ReferenceVenue
from maker.paper.switches import Switches
from maker.wire.ocx import HEARTBEAT_SECONDS
from maker.wire.references import venues
from maker.wire.references.described import PATHS, Described

STREAM_SILENT_SECONDS: Final = 1.5 * HEARTBEAT_SECONDS
STREAM_FRESH_SECONDS: Final = 20.0  # below the above: no new ladder on a stream this long unheard
FOREIGN_ORDERS: Final = ("refuse", "cancel")


@attrs.frozen
class Exchange:
    """Where the exchange is and where the key is kept; never the key itself."""

    base_url: str
    key_env: str = ""  # name of an environment variable
    key_file: str = ""  # path of a file with mode 0600
    ca_file: str = ""  # path of PEM certificates to trust instead of the machine's store


@attrs.frozen
class Reference:
    """One reference venue's feed."""

    silent_seconds_max: float  # no message of any kind for so long: connect anew
    url: str = ""  # empty: the venue's public one
    ca_file: str = ""  # path of PEM certificates to trust instead of the machine's store
    venue: str = venues.PRACTICE  # one of VENUES: whose messages it speaks
    described: Described | None = None  # how, for the venue "json"


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
class Guard:
    """The parent process, which reads these keys for itself (`maker.launch.settings`); seconds."""

    hang_seconds_max: float
    write_delay_seconds_max: float
    tail_seconds: float
    give_up_seconds: float
    crashes_max: int
    crash_window_seconds: float


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
    references: tuple[ReferenceVenue, ...] = ()  # those that do not tell the reference path as it is


@attrs.frozen
class Market:
    """One market's parameters, by room."""

    fair: FairSettings
    volatility: VolatilitySettings
    intensity: IntensitySettings
    ladder: LadderSettings
    limits: Limits
    funding: FundingSettings
    model: str  # the name of the one that quotes
    models: Mapping[str, SpreadModel]  # all that are configured, so that one line switches

    @property
    def spread_model(self) -> SpreadModel:
        return self.models[self.model]


@attrs.frozen
class Config:
    """A configuration that passed every check."""

    mode: str
    account: str
    order_prefix: str
    foreign_orders: str  # "refuse" or "cancel": what becomes of orders that are not ours
    state_folder: Path
    exchange: Exchange
    references: Mapping[str, Reference]
    cycle: CycleSettings
    budget: BudgetSettings
    limits: AccountLimits
    margin: MarginSettings  # in [limits] too
    halt: Halt
    guard: Guard
    markets: Mapping[str, Market]
    paper: Paper | None


TABLES_OF: Final = {"markets": "market", "references": "reference", "margin": "limits"}  # a field -> the table it is in
TOP_KEYS: Final = [TABLES_OF.get(field.name, field.name) for field in attrs.fields(Config)]


def load(path: Path, venue_url: str = "", reference_url: str = "") -> Config:
    """Read and check a configuration; the two addresses are those of a practice exchange. Raises ConfigError."""
    return check(read(path), venue_url, reference_url, path.parent)


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


def check(tree: Mapping[str, Any], venue_url: str = "", reference_url: str = "", folder: Path | None = None) -> Config:
    """Turn a parsed file into a Config; `folder` is where a model of the user's own is looked for.

    Raises ConfigError naming the field and the fix.
    """
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
    foreign = text(tree, "foreign_orders", "")
    require(foreign in FOREIGN_ORDERS, "foreign_orders", f"is {foreign!r}.", 'Write "refuse" or "cancel".')
    cycle = section(Cycle, tree, "cycle")
    whole = shared(table(tree, "limits", ""), "limits", AccountLimits, MarginSettings)
    config = Config(
        mode=mode,
        account=text(tree, "account", ""),
        order_prefix=prefix,
        foreign_orders=foreign,
        state_folder=state_folder(tree),
        exchange=exchange(tree, mode, venue_url),
        references={name: reference(tree, name, reference_url) for name in table(tree, "reference", "")},
        cycle=CycleSettings(
            requote_bps=cycle.requote_bps,
            requote_seconds_min=cycle.requote_seconds_min,
            quote_age_seconds_max=cycle.quote_age_seconds_max,
            stream_silent_seconds_max=STREAM_SILENT_SECONDS,
            stream_fresh_seconds_max=STREAM_FRESH_SECONDS,
        ),
        budget=section(BudgetSettings, tree, "budget"),
        limits=build(AccountLimits, whole[AccountLimits], "limits"),
        margin=build(MarginSettings, whole[MarginSettings], "limits"),
        halt=section(Halt, tree, "halt"),
        guard=section(Guard, tree, "guard"),
        markets={name: market(tree["market"], name, folder or Path()) for name in table(tree, "market", "")},
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
    trusted("exchange.ca_file", found.ca_file)
    return found


def reference(tree: Mapping[str, Any], name: str, reference_url: str) -> Reference:
    """One [reference.NAME] table; `reference_url` is the practice exchange's, whose venues are told by their path.

    With that address the feed is the practice exchange's own, whatever venue is written. Raises ConfigError.
    """
    path = f"reference.{name}"
    given = table(tree["reference"], name, "reference")
    known(given, [field.name for field in attrs.fields(Reference)], path)
    words = {"described": described(given, path)} if "described" in given else {}
    found = build(Reference, {**given, **words}, path)
    positive(found, path)
    spoken = f"One of {', '.join(venues.VENUES)}."
    require(found.venue in venues.VENUES, f"{path}.venue", f"is {found.venue!r}, which is not known.", spoken)
    needed = found.venue == venues.JSON
    require(
        needed == (found.described is not None),
        f"{path}.described",
        "is missing." if needed else f"is not read for the venue {found.venue!r}.",
        f'It goes with venue = "{venues.JSON}"; conf/paper.toml explains it.',
    )
    speaks = venues.adapter(found.venue, name, (), found.described)
    require(
        speaks.ping is None or found.silent_seconds_max > speaks.ping_seconds,
        f"{path}.silent_seconds_max",
        f"must be above {speaks.ping_seconds:g}: a quiet venue is asked for a sign of life so often.",
        "Try 5.",
    )
    if reference_url:
        return attrs.evolve(found, url=practice_url(reference_url, name), venue=venues.PRACTICE, described=None)
    found = attrs.evolve(found, url=found.url or venues.default_url(found.venue))
    if tree.get("mode") == "live":
        url_scheme(f"{path}.url", found.url, ("wss", "ws"))
    trusted(f"{path}.ca_file", found.ca_file)
    return found


def described(given: Mapping[str, Any], path: str) -> Described:
    """The table that describes a JSON feed. Raises ConfigError."""
    words = table(given, "described", path)
    known(words, [field.name for field in attrs.fields(Described)], f"{path}.described")
    found = build(Described, words, f"{path}.described")
    for name in PATHS:
        require(
            all(getattr(found, name).split(".")),
            f"{path}.described.{name}",
            f"is {getattr(found, name)!r}, which is no path.",
            'Write keys with dots between, for example "data.bids.0.1".',
        )
    return found


def trusted(field: str, ca_file: str) -> ssl.SSLContext | None:
    """What a TLS client trusts; None: the machine's own store. Raises ConfigError."""
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=Path(ca_file).expanduser())
    except (OSError, RuntimeError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "strerror", None) or str(error)
        problem, fix = f"is not a file of PEM certificates: {why}.", "Without it the machine's own store is trusted."
        raise ConfigError(field, problem, fix) from error


def paper(tree: Mapping[str, Any]) -> tuple[Paper, dict[str, Any]]:
    """The practice exchange's table, and its [paper.switches] as they stand. Raises ConfigError."""
    given = dict(table(tree, "paper", ""))
    switches = dict(table(given, "switches", "paper")) if "switches" in given else {}
    given.pop("switches", None)
    known(switches, [field.name for field in attrs.fields(Switches)], "paper.switches")
    if "references" in given:
        tables = table(given, "references", "paper")
        given["references"] = tuple(paper_reference(name, table(tables, name, "paper.references")) for name in tables)
    known(given, [field.name for field in attrs.fields(Paper)], "paper")
    return build(Paper, given, "paper"), switches


def paper_reference(name: str, given: Mapping[str, Any]) -> ReferenceVenue:
    """One reference venue of the practice exchange. Raises ConfigError."""
    path = f"paper.references.{name}"
    known(given, [field.name for field in attrs.fields(ReferenceVenue) if field.name != "name"], path)
    try:
        return build(ReferenceVenue, {**given, "name": name}, path)
    except ValueError as wrong:
        raise own_model.config_error(wrong, path) from wrong


def practice_url(reference_url: str, name: str) -> str:
    """Where the practice exchange serves the reference venue of a name: any name, configured there or not."""
    return f"{reference_url.rstrip('/')}/{quote(name, safe='')}"


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


def market(tables: Mapping[str, Any], name: str, folder: Path) -> Market:
    """One [market.NAME] table, its keys shared out among the rooms."""
    path = f"market.{name}"
    given = dict(table(tables, name, "market"))
    model = text(given, "model", path)
    models = spread_models(given, path, folder)
    if model not in models:
        there = ", ".join(models) or "none"
        raise ConfigError(f"{path}.model", f"{model!r} has no table.", f"Add [{path}.models.{model}]; there: {there}.")
    del given["model"], given["models"]
    rooms = (FairSettings, VolatilitySettings, IntensitySettings, LadderSettings, Limits, FundingSettings)
    parts = shared(given, path, *rooms)
    return Market(
        fair=fair(parts[FairSettings], path),
        volatility=build(VolatilitySettings, parts[VolatilitySettings], path),
        intensity=intensity(parts[IntensitySettings], path),
        ladder=build(LadderSettings, parts[LadderSettings], path),
        limits=build(Limits, parts[Limits], path),
        funding=build(FundingSettings, parts[FundingSettings], path),
        model=model,
        models=models,
    )


def spread_models(given: Mapping[str, Any], path: str, folder: Path) -> dict[str, SpreadModel]:
    """Every model of a market that has a table, whether it quotes or not. Raises ConfigError."""
    tables = table(given, "models", path)
    return {
        name: spread_model_rooms.make(
            name, table(tables, name, f"{path}.models"), folder, f"{path}.model", f"{path}.models.{name}"
        )
        for name in tables
    }


def intensity(given: dict[str, Any], path: str) -> IntensitySettings:
    """Build A and k with what learning them takes."""
    try:
        return build(IntensitySettings, given, path)
    except ValueError as wrong:
        raise own_model.config_error(wrong, path) from wrong


def shared(given: Mapping[str, Any], path: str, *rooms: type[Any]) -> dict[type[Any], dict[str, Any]]:
    """One table, its keys shared out among the rooms that want them. Raises ConfigError for one that nobody wants."""
    owners: dict[str, list[type[Any]]] = {}
    for room in rooms:
        for field in attrs.fields(room):
            owners.setdefault(field.name, []).append(room)
    known(given, list(owners), path)
    parts: dict[type[Any], dict[str, Any]] = {room: {} for room in rooms}
    for field_name, value in given.items():
        for room in owners[field_name]:  # position_limit is the ladder's and risk's: one key, so they cannot differ
            parts[room][field_name] = value
    return parts


def fair(given: dict[str, Any], path: str) -> FairSettings:
    """The keys of fair value, with a table for each source."""
    tables = table(given, "sources", path)
    names = [field.name for field in attrs.fields(SourceSettings)]
    sources: dict[str, SourceSettings] = {}
    for name in tables:
        one = table(tables, name, f"{path}.sources")
        known(one, names, f"{path}.sources.{name}")
        sources[name] = build(SourceSettings, one, f"{path}.sources.{name}")
    return build(FairSettings, {**given, "sources": sources}, path)


def api_key(config: Config, environment: Mapping[str, str]) -> str:
    """The API key of a configuration. Raises ConfigError, never showing it."""
    if config.mode == "paper":
        return key.PAPER_KEY
    return credentials.read_key(config.exchange.key_env, config.exchange.key_file, environment)
