"""The one TOML loader, and the few keys that the parent process reads for itself.

Everything else in the file is the application's, which loads it through `load` too and refuses what it does not know.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

VERSION = "0.1.0"  # of the program, as pyproject.toml has it
PROJECT_FOLDER = Path(__file__).resolve().parents[2]
CONFIGURATION_BYTES_MAX = 1 << 20  # a page is 5 kB; a device or a log given by mistake is not read to its end
MODES = ("paper", "live")
LOCAL = ("127.0.0.1", "localhost", "::1")
NUMBER_MAX = 1e9  # no time or count of a configuration is as large; not NaN, not infinite


class SettingsError(Exception):
    """A configuration that cannot be read or must not run; the message is one sentence with the file's name."""


class GuardSettings(NamedTuple):
    """The [guard] table; the file's comments explain it."""

    hang_seconds_max: float
    tail_seconds: float
    give_up_seconds: float
    crashes_max: float  # a whole number
    crash_window_seconds: float


class MonitorSettings(NamedTuple):
    """What the parent reads of the [monitor] table."""

    enabled: bool  # start it beside the maker
    status: bool  # on a terminal it keeps a line with the state
    key_env: str  # of its own key, which it may see; "": there is none


class ParentSettings(NamedTuple):
    """What the parent needs to know before it starts anything."""

    configuration: Path  # absolute
    state_folder: Path  # absolute; lock, kill file, run.json and journal live here
    is_paper: bool  # start the practice exchange too
    venue_port: int  # 0: any free one
    account: str
    order_prefix: str
    cancels_foreign: bool  # orders that are not ours are cancelled at the start instead of refusing it
    base_url: str  # of the exchange; "" in paper mode
    ca_file: str  # trusted instead of the machine's store; "" for the latter
    key_env: str
    key_file: str
    guard: GuardSettings
    monitor: MonitorSettings


def load(path: Path, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Read one TOML file; `parse_float` as tomllib's, for whoever needs exact decimals.

    Raises SettingsError with a sentence that names the file, and the line where there is one.
    """
    return parse(content_of(path), path, parse_float=parse_float)


def content_of(path: Path) -> bytes:
    """Return what a configuration file holds. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            content = file.read(CONFIGURATION_BYTES_MAX + 1)
    except OSError as problem:
        raise SettingsError(f"cannot read the configuration {path}: {problem.strerror or problem}.") from None
    if len(content) > CONFIGURATION_BYTES_MAX:
        raise SettingsError(f"the configuration {path} is larger than {CONFIGURATION_BYTES_MAX} bytes.")
    return content


def parse(content: bytes, path: Path, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Return what a file's content means; see `load`. Raises SettingsError."""
    try:
        return tomllib.loads(content.decode("utf-8"), parse_float=parse_float)
    except UnicodeDecodeError:
        raise SettingsError(f"the configuration {path} is not UTF-8 text.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise SettingsError(f"the configuration {path} is not valid TOML: {problem}.") from None


def state_folder(tree: dict[str, Any]) -> Path:
    """Return the state folder that a loaded configuration names, absolute.

    A relative one starts at the project's folder, not at the current directory: the same configuration always meets
    the same lock. Raises SettingsError.
    """
    text = tree.get("state_folder")
    if not isinstance(text, str) or not text:
        raise SettingsError('state_folder must be a path, for example state_folder = "state".')
    try:
        return (PROJECT_FOLDER / Path(text).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as problem:  # no such user, a NUL, a loop of links
        raise SettingsError(f"state_folder {text!r} is no usable path: {problem}.") from None


def parent_settings(path: Path) -> ParentSettings:
    """Load what the parent needs. Raises SettingsError."""
    tree = load(path)
    mode = tree.get("mode")
    if mode not in MODES:
        raise SettingsError(f"in {path}, mode must be one of {', '.join(MODES)}; it is {mode!r}.")
    paper = tree.get("paper", {})
    port = paper.get("port", 0) if isinstance(paper, dict) else None
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise SettingsError(f"in {path}, paper.port must be a port number, 0 for any free one; it is {port!r}.")
    exchange = tree.get("exchange", {}) if mode == "live" else {}
    exchange = exchange if isinstance(exchange, dict) else {}
    return ParentSettings(
        path.resolve(),
        state_folder(tree),
        is_paper=mode == "paper",
        venue_port=port,
        account=text(tree, "account", path),
        order_prefix=text(tree, "order_prefix", path),
        cancels_foreign=text(tree, "foreign_orders", path) == "cancel",
        base_url=base_url(exchange.get("base_url")) if mode == "live" else "",
        ca_file=os.path.expanduser(str(exchange.get("ca_file", ""))),
        key_env=str(exchange.get("key_env", "")),
        key_file=str(exchange.get("key_file", "")),
        guard=guard(tree.get("guard"), path),
        monitor=monitor(tree.get("monitor", {}), path),
    )


def text(tree: dict[str, Any], name: str, path: Path) -> str:
    """Return a text that must be there. Raises SettingsError."""
    found = tree.get(name)
    if not isinstance(found, str) or not found:
        raise SettingsError(f"in {path}, {name} is missing or no text in quotes: conf/paper.toml explains every key.")
    return found


def base_url(url: object) -> str:
    """Return the exchange's address: a key is never sent unencrypted, but on this machine. Raises SettingsError."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        fits = bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        parts, fits = urlsplit(""), False
    if not fits or parts.scheme not in ("https", "http") or (parts.scheme == "http" and parts.hostname not in LOCAL):
        raise SettingsError("exchange.base_url is no https://host; only this machine may do without encryption.")
    return str(url)


def guard(table: Any, path: Path) -> GuardSettings:
    """Return the [guard] table's numbers; the application checks their relations too. Raises SettingsError."""
    values = []
    for name in GuardSettings._fields:
        found = table.get(name) if isinstance(table, dict) else None
        if not isinstance(found, int | float) or isinstance(found, bool) or not 0 < found < NUMBER_MAX:
            raise SettingsError(
                f"in {path}, guard.{name} must be a number above 0: conf/paper.toml explains every key."
            )
        values.append(found)
    return GuardSettings(*values)


def monitor(table: Any, path: Path) -> MonitorSettings:
    """Return the [monitor] table's switches, which are on where nothing is said. Raises SettingsError."""
    if not isinstance(table, dict):
        raise SettingsError(f"in {path}, monitor is no table: conf/paper.toml explains its keys.")
    enabled, status = table.get("enabled", True), table.get("status", True)
    for name, found in (("enabled", enabled), ("status", status)):
        if not isinstance(found, bool):
            raise SettingsError(f"in {path}, monitor.{name} must be true or false; it is {found!r}.")
    return MonitorSettings(enabled, status, str(table.get("key_env", "")))
