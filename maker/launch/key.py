"""The API key: read from where the configuration says it is kept, and never shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

KEY_PREFIX = "ocx_sk_"
PAPER_KEY = "ocx_sk_paper_trade"  # every practice exchange knows it: it is no secret
KEY_FILE_MODE = 0o600
CREDENTIAL_MODE = 0o440  # of systemd's credentials, owned by root: group bits are the mask of the service user's ACL
KEY_BYTES_MAX = 512


class NoKey(Exception):
    """There is no key to use: `field` is the dotted name in the configuration, `problem` and `fix` are sentences."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field}: {problem} {fix}")
        self.field, self.problem, self.fix = field, problem, fix


def read_key(key_env: str, key_file: str, environment: Mapping[str, str]) -> str:
    """Return the API key from an environment variable or else a file. Raises NoKey."""
    if key_env:
        found, where, field = environment.get(key_env, ""), f"the environment variable {key_env}", "exchange.key_env"
    else:
        found, where, field = read_key_file(Path(key_file)), "the key file", "exchange.key_file"
    found = found.strip()
    if not found.startswith(KEY_PREFIX) or not found.isascii() or any(character.isspace() for character in found):
        raise NoKey(field, f"{where} holds no API key.", f"A key starts with {KEY_PREFIX} and is one word.")
    return found


def read_key_file(path: Path) -> str:
    """Return what a key file holds that nobody else can read. Raises NoKey."""
    try:
        path = path.expanduser()
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            mode, of_root = stat.S_IMODE(status.st_mode), status.st_uid == status.st_gid == 0
            private = not mode & ~KEY_FILE_MODE or (of_root and mode == CREDENTIAL_MODE)
            if not stat.S_ISREG(status.st_mode) or not private:
                raise NoKey("exchange.key_file", "others may read it.", f"Run chmod 600 {path}")
            return file.read(KEY_BYTES_MAX).decode("ascii", "replace")
    except (OSError, RuntimeError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise NoKey("exchange.key_file", f"cannot be read: {why}.", f"Check {path}.") from problem
