"""[alerts] of the configuration: what is worth an alert, and to whom it goes; never an address or a token itself.

Whoever knows a webhook's URL or a bot's token can write there, so both are kept as the API key is: in an environment
variable or a file of mode 0600, which the configuration names.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from maker.app.addresses import trusted, url_scheme
from maker.app.values import build, known, require, table
from maker.errors import ConfigError

TARGETS_MAX: Final = 8
NAME: Final = re.compile(r"[a-z0-9_-]{1,24}")
CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TOKEN: Final = re.compile(r"[0-9]{5,}:[A-Za-z0-9_-]{20,}")  # of a Telegram bot
TELEGRAM: Final = "https://api.telegram.org"


class Severity(enum.Enum):
    """How bad it is; `rank` orders them."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Kind(enum.Enum):
    """Whose messages a target takes."""

    WEBHOOK = "webhook"  # JSON of ours
    SLACK = "slack"
    DISCORD = "discord"
    TELEGRAM = "telegram"


@attrs.frozen
class Target:
    """Somebody who is told; names of where the secrets are kept, never the secrets."""

    name: str
    kind: Kind
    severity_min: Severity = Severity.INFO
    url_env: str = ""  # name of an environment variable that holds the webhook's URL
    url_file: str = ""  # ... or path of a file with mode 0600
    token_env: str = ""  # the same for a token: a Telegram bot's, or a bearer token for a webhook that wants one
    token_file: str = ""
    chat: str = ""  # Telegram: id of a chat, or @name of a channel
    api_url: str = TELEGRAM  # Telegram: a server of one's own speaks the same
    ca_file: str = ""  # PEM certificates to trust instead of the machine's store

    def takes(self, severity: Severity) -> bool:
        return severity.rank >= self.severity_min.rank


@attrs.frozen
class Alerts:
    """As written in the configuration. Without the table: these, and nobody is told."""

    daily_summary_at: str = "06:00"  # UTC, hh:mm; "": none
    quiet_from: str = ""  # UTC, hh:mm: from then on what only informs is held back ...
    quiet_to: str = ""  # ... until then; both "": never
    not_quoting_seconds: float = 120.0
    feed_down_seconds: float = 60.0
    loss_near_ratio: float = 0.7  # of a loss limit
    disk_free_gib_min: float = 2.0  # of the state folder's disk, GiB
    targets: Mapping[str, Target] = attrs.field(factory=dict)


def alerts(tree: Mapping[str, Any]) -> Alerts:
    """Read [alerts]; without one, nobody is told. Raises ConfigError, which never shows what may be a secret."""
    given = dict(table(tree, "alerts", "")) if "alerts" in tree else {}
    known(given, [field.name for field in attrs.fields(Alerts)], "alerts")
    if "targets" in given:
        tables = table(given, "targets", "alerts")
        given["targets"] = {name: target(name, table(tables, name, "alerts.targets")) for name in tables}
    found = build(Alerts, given, "alerts")
    for name in ("daily_summary_at", "quiet_from", "quiet_to"):
        clock = getattr(found, name)
        require(
            not clock or bool(CLOCK.fullmatch(clock)), f"alerts.{name}", "is no time of day.", 'Write "06:30", UTC.'
        )
    require(
        bool(found.quiet_from) == bool(found.quiet_to) and (not found.quiet_from or found.quiet_from != found.quiet_to),
        "alerts.quiet_to",
        "makes no span of time with alerts.quiet_from.",
        'Give two different times, or "" for both.',
    )
    for name in ("not_quoting_seconds", "feed_down_seconds"):
        require(getattr(found, name) >= 1, f"alerts.{name}", "must be 1 or more.", "Try 60.")
    require(0 < found.loss_near_ratio < 1, "alerts.loss_near_ratio", "must be above 0 and below 1.", "Try 0.7.")
    require(found.disk_free_gib_min >= 0, "alerts.disk_free_gib_min", "must not be negative.", "0: never.")
    require(len(found.targets) <= TARGETS_MAX, "alerts.targets", f"has more than {TARGETS_MAX}.", "Take some out.")
    return found


def target(name: str, given: Mapping[str, Any]) -> Target:
    """Read one target. Raises ConfigError."""
    path = f"alerts.targets.{name}"
    require(bool(NAME.fullmatch(name)), "alerts.targets", "has a name that is none.", "Use a-z, 0-9, _ and -.")
    known(given, [field.name for field in attrs.fields(Target) if field.name != "name"], path)
    found = build(Target, {**given, "name": name}, path)
    for what in ("url", "token"):
        refuse_secret(path, what, getattr(found, f"{what}_env"), getattr(found, f"{what}_file"))
    telegram = found.kind is Kind.TELEGRAM
    has_url, has_token = bool(found.url_env or found.url_file), bool(found.token_env or found.token_file)
    if telegram:
        require(not has_url, f"{path}.url_env", "is not for a telegram.", "It takes token_env or token_file, and chat.")
        require(has_token, f"{path}.token_env", "is missing.", "Name where the bot's token is kept, or token_file.")
        require(bool(found.chat), f"{path}.chat", "is missing.", 'Write the chat\'s id in quotes, like "-1001234".')
        url_scheme(f"{path}.api_url", found.api_url, ("https", "http"))
    else:
        require(has_url, f"{path}.url_env", "is missing.", "Name where the webhook's URL is kept, or url_file.")
        only = found.kind is Kind.WEBHOOK or not has_token
        require(only, f"{path}.token_env", "is not for this kind.", "The URL alone lets us write there.")
        alone = not found.chat and found.api_url == TELEGRAM
        require(alone, f"{path}.chat", "and api_url are for a telegram alone.", "Take them out.")
    trusted(f"{path}.ca_file", found.ca_file)
    return found


def refuse_secret(path: str, what: str, variable: str, file: str) -> None:
    """Refuse a secret where the name of its place belongs, without repeating it. Raises ConfigError."""
    if variable and not VARIABLE.fullmatch(variable):
        problem = "is no name of an environment variable: it may be the secret itself."
        raise ConfigError(f"{path}.{what}_env", problem, "Keep it out of this file; if it was in it, replace it.")
    if "://" in file or TOKEN.search(file):
        problem = "is no path of a file: it may be the secret itself."
        raise ConfigError(f"{path}.{what}_file", problem, "Keep it out of this file; if it was in it, replace it.")
    if variable and file:
        raise ConfigError(f"{path}.{what}_env", "and the file are both given.", f"Give {what}_env or {what}_file.")
