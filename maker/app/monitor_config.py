"""The [monitor] table: where the status page is, and the key that the monitor reads the account with."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from maker.app.values import require, section

if TYPE_CHECKING:
    from maker.app.config import Config

PORT_MAX: Final = 65_535
CLIENTS_MAX: Final = 900  # descriptors that 1,024, the usual limit of a process, leaves beside everything else


@attrs.frozen
class Monitor:
    """Of one bot; the file's comments explain it. Without the table all of it is as here."""

    enabled: bool = True  # `run` starts it
    status: bool = True  # on a terminal, `run` keeps a line with the state
    address: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    host_name: str = ""  # by which a browser may ask for it, beside the address and this machine's own names
    clients_max: int = 256  # pages open at once
    key_env: str = ""  # name of an environment variable
    key_file: str = ""  # path of a file with mode 0600
    trade_key_allowed: bool = False

    @property
    def is_local(self) -> bool:
        """Whether nobody outside this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def has_key(self) -> bool:
        """Whether a key is configured for it; in mode paper there is one anyway."""
        return bool(self.key_env or self.key_file)


def monitor(tree: Mapping[str, Any]) -> Monitor:
    """The table, or what holds without one. Raises ConfigError."""
    return section(Monitor, tree, "monitor") if "monitor" in tree else Monitor()


def monitor_relations(config: Config) -> None:
    """What must hold for it. Raises ConfigError."""
    one = config.monitor
    try:
        ipaddress.ip_address(one.address)
        is_address = True
    except ValueError:
        is_address = False
    require(is_address, "monitor.address", f"is {one.address!r}.", "Write an IP address of this machine: 127.0.0.1.")
    require(0 <= one.port <= PORT_MAX, "monitor.port", f"is {one.port}.", "Write a port number, 0 for any free one.")
    require(1 <= one.clients_max <= CLIENTS_MAX, "monitor.clients_max", f"must be 1 to {CLIENTS_MAX}.", "Try 256.")
    plain = all(letter.isalnum() or letter in "-." for letter in one.host_name)
    fix = "Write a name alone, without scheme and port: bot.example."
    require(plain, "monitor.host_name", f"is {one.host_name!r}.", fix)
    require(not (one.key_env and one.key_file), "monitor", "has two places to find a key.", "Give key_env or key_file.")
    for name in ("key_env", "key_file"):
        ours = getattr(one, name)
        require(
            one.trade_key_allowed or not ours or ours != getattr(config.exchange, name),
            f"monitor.{name}",
            "names the bot's own key, which may trade.",
            "Whoever only looks needs one of scope 'read': `keys create CONF --scope read` makes it.",
        )
