"""TOML -> each room's own frozen parameters. An unknown key, a wrong unit or a broken relation refuses to start."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs

from maker.app import alert_config, credentials, own_model, wallets
from maker.app.addresses import trusted, url_scheme
from maker.app.credentials import refuse_secrets
from maker.app.market_config import Market, market
from maker.app.monitor_config import Monitor, monitor, monitor_relations
from maker.app.reference_config import Reference, reference
from maker.app.relations import relations
from maker.app.values import build, known, require, section, shared, table, text
from maker.desk.budget import BudgetSettings
from maker.desk.identity import PREFIX_PATTERN
from maker.desk.margin import MarginSettings
from maker.desk.market import CycleSettings
from maker.desk.risk import AccountLimits
from maker.edge.session import Terms
from maker.errors import ConfigError
from maker.launch import key, settings
from maker.paper.reference_venues import ReferenceVenue
from maker.paper.switches import Switches
from maker.watcher import bounds
from maker.wire import ocx

STREAM_SILENT_SECONDS: Final = 1.5 * ocx.HEARTBEAT_SECONDS
STREAM_FRESH_SECONDS: Final = 20.0  # below the above: no new ladder on a stream this long unheard
FOREIGN_ORDERS: Final = ("refuse", "cancel")


@attrs.frozen
class Exchange:
    """Where the exchange is and where the key is kept; never the key itself."""

    base_url: str
    key_env: str = ""  # name of an environment variable
    key_file: str = ""  # path of a file with mode 0600
    ca_file: str = ""  # path of PEM certificates to trust instead of the machine's store
    sign_in_domain: str = ""  # that a wallet signs for (EIP-4361); "": the authority of base_url
    sign_in_uri: str = ""  # "": base_url
    chain_id: int = ocx.CHAIN_ID
    wallet_file: str = ""  # path of a file with mode 0600: a session stands by where reads are refused to the key

    def terms(self) -> Terms:
        """What a wallet signs for at this exchange. Raises ConfigError."""
        return wallets.terms(self.base_url, self.sign_in_domain, self.sign_in_uri, self.chain_id)

    def wallet(self) -> wallets.FileWallet | None:
        """The wallet that stands by; None: there is none."""
        return wallets.FileWallet(Path(self.wallet_file), "exchange.wallet_file") if self.wallet_file else None


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
class WatchSettings:
    """A second host's watcher, which reads these keys for itself (`maker.watcher.bounds`); where its key is kept."""

    margin_seconds: float
    poll_seconds: float
    key_env: str = ""
    key_file: str = ""


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
    monitor: Monitor = attrs.field(factory=Monitor)
    alerts: alert_config.Alerts = attrs.field(factory=alert_config.Alerts)
    watch: WatchSettings | None = None  # not given: as `maker.watcher.bounds` says

    @property
    def recoverable_halt(self) -> Halt:
        """How quotes are pulled when others will follow: not before a ladder of unknown outcome can land no more.

        On the way out `halt` is enough, for there the guard's tail follows.
        """
        longer = max(0.0, self.guard.write_delay_seconds_max - self.halt.tail_seconds_max)
        return attrs.evolve(
            self.halt,
            tail_seconds_max=self.halt.tail_seconds_max + longer,
            halt_seconds_max=self.halt.halt_seconds_max + longer,
        )


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
    return parsed(content_of(path), path)


def content_of(path: Path) -> bytes:
    """Return what a file holds. Raises ConfigError."""
    try:
        return settings.content_of(path)
    except settings.SettingsError as error:
        raise ConfigError(str(path), str(error), "Give the path of a TOML file.") from error


def parsed(content: bytes, path: Path) -> dict[str, Any]:
    """Return what a file's content means, with exact decimals. Raises ConfigError."""
    try:
        return settings.parse(content, path, parse_float=Decimal)
    except settings.SettingsError as error:
        fix = "Mend that line." if "(at line " in str(error) else "Mend it: TOML, in UTF-8."
        raise ConfigError(str(path), str(error), fix) from error


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
        monitor=monitor(tree),
        alerts=alert_config.alerts(tree),
        watch=section(WatchSettings, tree, "watch") if "watch" in tree else None,
    )
    relations(config)
    monitor_relations(config)
    if config.watch is not None:
        watch_relations(config.watch, tree)
    return config


def watch_relations(watch: WatchSettings, tree: Mapping[str, Any]) -> None:
    """What must hold for a watcher, by its own reading of the file. Raises ConfigError."""
    if watch.key_env and watch.key_file:
        raise ConfigError("watch", "has two places to find the key.", "Give either key_env or key_file.")
    try:
        bounds.bounds(dict(tree))
    except settings.SettingsError as error:
        field, _, problem = str(error).partition(" ")
        raise ConfigError(field, problem, "") from error


def exchange(tree: Mapping[str, Any], mode: str, venue_url: str) -> Exchange:
    if mode == "paper":
        return Exchange(base_url=venue_url)
    found = section(Exchange, tree, "exchange")
    url_scheme("exchange.base_url", found.base_url, ("https", "http"))
    if bool(found.key_env) == bool(found.key_file):
        raise ConfigError("exchange", "needs one place to find the key.", "Give either key_env or key_file.")
    trusted("exchange.ca_file", found.ca_file)
    found.terms()
    return found


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


def own_key(config: Config, environment: Mapping[str, str]) -> key.Key:
    """The API key of a configuration, with what is noted beside it. Raises ConfigError, never showing it."""
    if config.mode == "paper":
        return key.Key(key.PAPER_KEY)
    return credentials.read(config.exchange.key_env, config.exchange.key_file, environment)


def api_key(config: Config, environment: Mapping[str, str]) -> str:
    """The API key's secret. Raises ConfigError, never showing it."""
    return own_key(config, environment).secret
