"""The API key: refused inside a configuration, read by maker/launch/key from where it is kept, never shown (S18)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from maker.errors import ConfigError
from maker.launch import key
from maker.wire.ocx import KEY_PREFIX

WALLET_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")


def refuse_secrets(tree: Mapping[str, Any] | list[Any], path: str) -> None:
    """A key in a configuration file refuses to start; the message does not repeat it."""
    for name, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        if KEY_PREFIX in str(name):
            raise ConfigError(path or "a key", "holds an API key.", "Revoke it; give a new one by key_env or key_file.")
        where = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping | list):
            refuse_secrets(value, where)
        elif isinstance(value, str) and KEY_PREFIX in value:
            raise ConfigError(where, "holds an API key.", "Revoke it, and give the new one by key_env or key_file.")
        elif isinstance(value, str) and WALLET_KEY.fullmatch(value.strip()):
            raise ConfigError(
                where, "holds a wallet's private key.", "Take another wallet, and keep its key in a file."
            )


def read(key_env: str, key_file: str, environment: Mapping[str, str]) -> key.Key:
    """Return the API key from an environment variable or else a file. Raises ConfigError, never showing it."""
    try:
        return key.read(key_env, key_file, environment)
    except key.NoKey as problem:
        raise ConfigError(problem.field, problem.problem, problem.fix) from problem
