"""Whether a secret got out: into a file, a process's words or environment, or what somebody said.

A secret is looked for as it is and in every form in which it may travel: other letters, base64 at any place within a
longer text, URL-encoded, hexadecimal, as JSON or Python spell it; whole, and each half of it where that is long enough
to be no chance. Of a database also its rows are read: there a long text is kept in pieces.

What is found is named by the secret's name and the place, never by the secret itself.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

HALF_CHARACTERS_MIN: Final = 12  # less of a secret may be in something else by chance
SQLITE: Final = b"SQLite format 3\0"
WORDS, ENVIRONMENT = "cmdline", "environ"

Secrets = Iterable[str] | Mapping[str, str]  # a mapping names them; else they have numbers


@cache
def spellings(secret: str) -> tuple[bytes, ...]:
    """A secret as it may turn up, whole or in halves."""
    half = len(secret) // 2
    parts = [secret] + ([secret[:half], secret[half:]] if half >= HALF_CHARACTERS_MIN else [])
    found = {spelled for part in parts for spelled in text_spellings(part)}
    with contextlib.suppress(ValueError):  # a number: a wallet's key
        raw = bytes.fromhex(secret)
        found |= {raw, *base64_spellings(raw), repr(raw)[2:-1].encode(), str(int(secret, 16)).encode()}
    return tuple(sorted(found))


def text_spellings(text: str) -> set[bytes]:
    """A text in every form; `text` is ASCII."""
    data = text.encode("ascii")
    forms = {text, text.upper(), text.lower(), quote(text, safe=""), quote(text, safe="").lower()}
    forms |= {text.replace("/", "\\/"), text.replace(".", "%2E"), repr(text)[1:-1]}
    forms |= {"".join(f"%{byte:02{case}}" for byte in data) for case in "xX"}
    forms |= {"".join(f"\\{mark}{byte:0{size}x}" for byte in data) for mark, size in (("x", 2), ("u", 4))}
    forms |= {data.hex(), data.hex().upper(), data.hex(" "), text[::-1]}
    return {form.encode() for form in forms} | base64_spellings(data) | {text.encode("utf-16-le")}


def base64_spellings(data: bytes) -> set[bytes]:
    """What is the same in base64 wherever `data` stands in a longer text, in both alphabets."""
    found = set[bytes]()
    for before in range(3):
        first = -(-before * 8 // 6)  # the first letter that is made of `data` alone
        after = (before + len(data)) * 8 // 6  # and the first one that is not any more
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(alphabet(bytes(before) + data)[first:after])
    return found


def named(secrets: Secrets) -> dict[str, str]:
    """Secrets by what they are called in a finding."""
    if isinstance(secrets, Mapping):
        return dict(secrets)
    return {f"secret {number}": secret for number, secret in enumerate(secrets)}


def leaks_in(name: str, content: bytes, secrets: Secrets) -> list[str]:
    """Name each secret that is somewhere in a content, and where it is."""
    return [
        f"{called} is in {name}"
        for called, secret in named(secrets).items()
        if any(spelling in content for spelling in spellings(secret))
    ]


def leaks_under(folder: Path, secrets: Secrets, *, but: Iterable[Path] = ()) -> list[str]:
    """Look through every file of a folder and its name, except where the secrets belong."""
    spared = {path.resolve() for path in but}
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        found += leaks_in(f"the name {path.parent}/…", path.name.encode(), secrets)
        if path.is_file() and path.resolve() not in spared:
            content = path.read_bytes()
            leaks = leaks_in(str(path), content, secrets)
            if not leaks and content.startswith(SQLITE):
                leaks = leaks_in(str(path), b"\n".join(rows_of(path)), secrets)
            found += leaks
    return found


def rows_of(path: Path) -> Iterator[bytes]:
    """Yield every value of a database, with what only its write-ahead log holds. It is read in a copy."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("-wal", ""):  # a page that is moved between the two copies is in the second
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{path}{suffix}", Path(folder, f"copy{suffix}"))
        with contextlib.closing(sqlite3.connect(Path(folder, "copy"))) as database:
            database.text_factory = bytes
            tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            for (table,) in tables:
                for row in database.execute(f'SELECT * FROM "{table.decode()}"'):
                    yield from (value if isinstance(value, bytes) else str(value).encode() for value in row)


def leaks_of_process(pid: int, secrets: Secrets, *, where: Iterable[str] = (WORDS, ENVIRONMENT)) -> list[str]:
    """Look at a running process's words and environment; one that has ended shows nothing."""
    found: list[str] = []
    for name in where:
        with contextlib.suppress(OSError):  # ended, or somebody else's
            found += leaks_in(f"{name} of {pid}", Path(f"/proc/{pid}/{name}").read_bytes(), secrets)
    return found


def leaks_in_words(secrets: Secrets) -> list[str]:
    """Look at the words of every process of this machine, whoever started it."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [leak for pid in pids for leak in leaks_of_process(pid, secrets, where=[WORDS])]
