"""The API key: read from where the configuration says it is kept, refused inside it, and never shown (S18)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from maker.errors import ConfigError
from maker.wire.ocx import KEY_PREFIX

KEY_FILE_MODE: Final = 0o600
KEY_BYTES_MAX: Final = 512


def refuse_secrets(tree: Mapping[str, Any] | list[Any], path: str) -> None:
    """A key in a configuration file refuses to start; the message does not repeat it."""
    for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        if KEY_PREFIX in str(key):
            raise ConfigError(path or "a key", "holds an API key.", "Revoke it; give a new one by key_env or key_file.")
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping | list):
            refuse_secrets(value, where)
        elif isinstance(value, str) and KEY_PREFIX in value:
            raise ConfigError(where, "holds an API key.", "Revoke it, and give the new one by key_env or key_file.")


def read_key(key_env: str, key_file: str, environment: Mapping[str, str]) -> str:
    """The API key from an environment variable or else a file. Raises ConfigError, never showing it."""
    if key_env:
        found, where, field = environment.get(key_env, ""), f"the environment variable {key_env}", "exchange.key_env"
    else:
        found, where, field = read_key_file(Path(key_file)), "the key file", "exchange.key_file"
    found = found.strip()
    if not found.startswith(KEY_PREFIX) or not found.isascii() or any(character.isspace() for character in found):
        raise ConfigError(field, f"{where} holds no API key.", f"A key starts with {KEY_PREFIX} and is one word.")
    return found


def read_key_file(path: Path) -> str:
    """Read a key file that nobody else can read."""
    try:
        path = path.expanduser()
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & ~KEY_FILE_MODE:
                raise ConfigError("exchange.key_file", "others may read it.", f"Run chmod 600 {path}")
            return file.read(KEY_BYTES_MAX).decode("ascii", "replace")
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError("exchange.key_file", f"cannot be read: {why}.", f"Check {path}.") from error
