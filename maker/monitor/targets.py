"""Where the targets' secrets are kept, and the doors that are made of them. Nothing of a secret is ever shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from maker.app.addresses import trusted
from maker.app.alert_config import Alerts, Kind, Target
from maker.edge.notice import Post, address
from maker.errors import ConfigError
from maker.launch import key
from maker.monitor.delivery import Told

SECRET_CHARACTERS_MAX: Final = 2_000
TELEGRAM_TOKEN: Final = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")


def targets(alerts: Alerts, environment: Mapping[str, str]) -> tuple[Told, ...]:
    """Make every target of a configuration reachable. Raises ConfigError, naming the field and never the secret."""
    return tuple(Told(one, door(one, environment)) for one in alerts.targets.values())


def reachable(alerts: Alerts, environment: Mapping[str, str]) -> tuple[tuple[Told, ...], dict[str, str]]:
    """Make reachable what can be; return it, and why each of the others cannot.

    A target that is not to be reached must cost neither the page nor the other targets.
    """
    told, broken = list[Told](), dict[str, str]()
    for one in alerts.targets.values():
        try:
            told.append(Told(one, door(one, environment)))
        except ConfigError as wrong:
            broken[one.name] = str(wrong)
    return tuple(told), broken


def door(target: Target, environment: Mapping[str, str]) -> Post:
    """Make one target's door. Raises ConfigError."""
    path = f"alerts.targets.{target.name}"
    trust = trusted(f"{path}.ca_file", target.ca_file)
    token = secret(f"{path}.token", target.token_env, target.token_file, environment)
    if target.kind is Kind.TELEGRAM:
        if not TELEGRAM_TOKEN.fullmatch(token):  # it becomes part of a path
            raise ConfigError(f"{path}.token", "is no bot's token.", "It looks like 123456:ABC…, as BotFather gave it.")
        url, field = f"{target.api_url.rstrip('/')}/bot{token}/sendMessage", f"{path}.token"
    else:
        url, field = secret(f"{path}.url", target.url_env, target.url_file, environment), f"{path}.url"
    headers = {"authorization": f"Bearer {token}"} if token and target.kind is Kind.WEBHOOK else {}
    try:
        where = address(url)
    except ConfigError as wrong:
        raise ConfigError(field, wrong.problem, wrong.fix) from None
    try:
        return Post(where, trust, headers)
    except ConfigError as wrong:
        raise ConfigError(f"{path}.token", wrong.problem, wrong.fix) from None


def secret(field: str, variable: str, file: str, environment: Mapping[str, str]) -> str:
    """Read a secret from where it is kept; empty where no place is named. Raises ConfigError."""
    if not variable and not file:
        return ""
    if variable:
        found = environment.get(variable, "")
        field, fix = f"{field}_env", f"Set the environment variable {variable}."
    else:
        field, fix = f"{field}_file", "Write one line into it."
        try:
            found = key.read_private(Path(file), field)
        except key.NoKey as problem:
            raise ConfigError(problem.field, problem.problem, problem.fix) from problem
    found = found.strip()
    if not found or len(found) > SECRET_CHARACTERS_MAX or not found.isascii() or not found.isprintable():
        raise ConfigError(field, "names a place that holds nothing, or more than one line of ASCII.", fix)
    return found
