"""The API key: read from where the configuration says it is kept, and never shown.

`keys create` writes what is known of a key beside its secret, as comments of the same file, so that both are replaced
together and travel together (a systemd credential, a container's secret):

    ocx_sk_…
    # id: ocx_kid_…
    # name: bot on host 7
    # scope: trade
    # allowed-ips: 203.0.113.7 2001:db8::7          or: any
    # expires: 2026-12-22T06:58:39Z                 or: never

A key from elsewhere has none of these lines, and nothing is known of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

KEY_PREFIX = "ocx_sk_"
PAPER_KEY = "ocx_sk_paper_trade"  # every practice exchange knows it: it is no secret
PAPER_READ_KEY = "ocx_sk_paper_read"  # the same, for whoever only looks
KEY_FILE_MODE = 0o600
CREDENTIAL_MODE = 0o440  # of systemd's credentials, owned by root: group bits are the mask of the service user's ACL
KEY_BYTES_MAX = 8192  # a secret, and notes with fifty pinned addresses
ANY_ADDRESS = "any"
SPARE_SECONDS = 60.0  # of a key's life beside what the guard may need: for the halt, and for clocks that differ


class NoKey(Exception):
    """There is no key to use: `field` is the dotted name in the configuration, `problem` and `fix` are sentences."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field}: {problem} {fix}")
        self.field, self.problem, self.fix = field, problem, fix


class Key:
    """A key as it is kept; its secret is never shown."""

    __slots__ = ("allowed_ips", "expires_at", "key_id", "scope", "secret")

    def __init__(
        self,
        secret: str,
        key_id: str = "",
        scope: str = "",
        expires_at: float | None = None,
        allowed_ips: tuple[str, ...] | None = None,
    ) -> None:
        self.secret = secret
        self.key_id = key_id  # ocx_kid_…, safe to log; "" where it is not known
        self.scope = scope  # read or trade; "" where it is not known
        self.expires_at = expires_at  # unix seconds, infinity for never; None where it is not known
        self.allowed_ips = allowed_ips  # it may be used from these, none: from anywhere; None where it is not known

    def __repr__(self) -> str:
        return f"Key(key_id={self.key_id!r}, scope={self.scope!r}, expires_at={self.expires_at!r})"


def read_key(key_env: str, key_file: str, environment: Mapping[str, str], *, even_open: bool = False) -> str:
    """Return the API key's secret from an environment variable or else a file. Raises NoKey."""
    return read(key_env, key_file, environment, even_open=even_open).secret


def read(key_env: str, key_file: str, environment: Mapping[str, str], *, even_open: bool = False) -> Key:
    """Return the API key, with what is noted beside it, from an environment variable or else a file. Raises NoKey.

    `even_open`: of a file, too, that others may read.
    """
    if key_env:
        found, where, field = environment.get(key_env, ""), f"the environment variable {key_env}", "exchange.key_env"
    else:
        field = "exchange.key_file"
        found, where = read_private(Path(key_file), field, even_open=even_open), "the key file"
    secret, *rest = [line.strip() for line in found.strip().split("\n")]
    notes = {name.strip(): value.strip() for name, _, value in (line[1:].partition(":") for line in rest if line)}
    fits = secret.startswith(KEY_PREFIX) and secret.isascii() and not any(letter.isspace() for letter in secret)
    if not fits or not all(line.startswith("#") for line in rest if line):
        fix = f"A key starts with {KEY_PREFIX} and is one word; only lines that begin with # may follow it."
        raise NoKey(field, f"{where} holds no API key.", fix)
    pinned = notes.get("allowed-ips")
    allowed_ips = None if pinned is None else () if pinned == ANY_ADDRESS else tuple(pinned.split())
    expires_at = unix_seconds(notes.get("expires", ""))
    return Key(secret, notes.get("id", ""), notes.get("scope", ""), expires_at, allowed_ips)


def spell(key: Key, name: str) -> str:
    """Return what a key file holds, as `read` reads it."""
    expires = "never"
    if key.expires_at is not None and math.isfinite(key.expires_at):
        expires = datetime.fromtimestamp(key.expires_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    lines = [key.secret, f"# id: {key.key_id}", f"# name: {name}", f"# scope: {key.scope}"]
    pinned = [] if key.allowed_ips is None else [f"# allowed-ips: {' '.join(key.allowed_ips) or ANY_ADDRESS}"]
    return "\n".join([*lines, *pinned, f"# expires: {expires}", ""])


def unix_seconds(text: str) -> float | None:
    """Return the moment that a note tells, infinity for `never`; None for what is none."""
    if text == "never":
        return math.inf
    with contextlib.suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo is not None else None
    return None


def digest(secret: str) -> str:
    """Return what tells one key from another without showing it: two processes compare what they have read."""
    return hashlib.sha256(secret.encode()).hexdigest()


def seconds_needed(give_up_seconds: float, tail_seconds: float) -> float:
    """Return how long a key must still be good for while anything may rest: so long the guard may need to pull it."""
    return give_up_seconds + tail_seconds + SPARE_SECONDS


class Unfit(Exception):
    """A key that is not for quoting; `problem` and `fix` are sentences, and the words are both."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem} {fix}")
        self.problem, self.fix = problem, fix


def refuse_scope(key: Key, configuration: object) -> None:
    """Refuse a key that may not quote at all, as far as is known. Raises Unfit."""
    if key.scope in ("", "trade"):
        return
    raise Unfit(
        f"the key {key.key_id} has the scope {key.scope!r}: it may look at the account, but neither quote nor cancel.",
        f"Quoting needs one with the scope 'trade': {how_to_make(configuration)}",
    )


def refuse_short_life(key: Key, needed_seconds: float, now: float, configuration: object) -> None:
    """Refuse a key that is not good for long enough at `now` (unix seconds). Raises Unfit."""
    if key.expires_at is None or key.expires_at - now >= needed_seconds:
        return
    left_seconds = key.expires_at - now
    when = f"expires in {left_seconds / 60:.0f} min" if left_seconds > 0 else "has expired"
    raise Unfit(
        f"the key {key.key_id} {when}, and nobody could pull what rests after that: the guard may need "
        f"{needed_seconds / 60:.0f} min.",
        f"Put a new one in its place: {how_to_make(configuration)}",
    )


def how_to_make(configuration: object) -> str:
    """Return the command that makes a key to quote with."""
    return f"python3 run.py keys create {configuration} --scope trade"


def denied_sentence(status: int, *, read_before: bool, configuration: object) -> str:
    """Say what a refusal for the key's sake means, with what to do. `read_before`: the same key was just read with.

    401 and 403 as documented; 409 is how a revoked key is answered.
    """
    how = f"python3 run.py keys list {configuration} shows what there is, {how_to_make(configuration)} makes one"
    if status == 409:
        return f"the exchange answers 409 to a read: the key was revoked, it seems. Use another one: {how}."
    if read_before:
        return (
            f"the exchange lets the key read and answers {status} to cancel-all: it has the scope 'read', it seems. "
            f"Quoting needs a key of scope 'trade': {how}."
        )
    return (
        f"the exchange answers {status}: the key must have the scope 'trade', be used from a pinned address and not be "
        f"expired or revoked: {how}."
    )


def read_private(path: Path, field: str, *, even_open: bool = False) -> str:
    """Return what a file holds that nobody else can read, or `even_open`; `field` names it in errors. Raises NoKey."""
    try:
        path = path.expanduser()
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            mode, of_root = stat.S_IMODE(status.st_mode), status.st_uid == status.st_gid == 0
            private = even_open or not mode & ~KEY_FILE_MODE or (of_root and mode == CREDENTIAL_MODE)
            if not stat.S_ISREG(status.st_mode) or not private:
                raise NoKey(field, "others may read it.", f"Run chmod 600 {path}")
            content = file.read(KEY_BYTES_MAX + 1)
            if len(content) > KEY_BYTES_MAX:
                raise NoKey(field, f"is longer than {KEY_BYTES_MAX} bytes.", f"Check {path}.")
            return content.decode("ascii", "replace")
    except (OSError, RuntimeError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise NoKey(field, f"cannot be read: {why}.", f"Check {path}.") from problem
