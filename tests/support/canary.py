"""Whether a secret got out: into a file, a process's words or environment, or what it said."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path


def spellings(secret: str) -> list[bytes]:
    """A secret as it may turn up: as it is, in other letters, in base64, as bytes."""
    found = {secret.encode(), secret.upper().encode(), secret.lower().encode(), base64.b64encode(secret.encode())}
    try:
        raw = bytes.fromhex(secret)
    except ValueError:
        return sorted(found)
    return sorted(found | {raw, base64.b64encode(raw), repr(raw).encode(), str(int(secret, 16)).encode()})


def leaks_in(name: str, content: bytes, secrets: Iterable[str]) -> list[str]:
    """Name each secret that is somewhere in a content, by where it is and its number; never by itself."""
    return [
        f"secret {number} is in {name}"
        for number, secret in enumerate(secrets)
        if any(spelling in content for spelling in spellings(secret))
    ]


def leaks_under(folder: Path, secrets: list[str], *, but: Iterable[Path] = ()) -> list[str]:
    """Look through every file of a folder, except where the secrets belong."""
    spared = {path.resolve() for path in but}
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.resolve() not in spared:
            found += leaks_in(str(path), path.read_bytes(), secrets)
    return found


def leaks_of_process(pid: int, secrets: list[str]) -> list[str]:
    """Look at a running process's words and environment; one that has ended shows nothing."""
    found: list[str] = []
    for name in ("cmdline", "environ"):
        try:
            content = Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:
            continue
        found += leaks_in(f"{name} of {pid}", content, secrets)
    return found
