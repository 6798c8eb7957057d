"""A key made, its secret kept, and the result looked at.

The file is there before the secret is, so that no secret exists that could not be kept. Whatever goes wrong afterwards,
the sentence says which key is good and where its secret is; a key whose secret is lost is named, to be revoked.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from maker.app import key_proof
from maker.app.key_telling import DAY_SECONDS, Outcome, Undone, day, described, say, told
from maker.edge import api_keys
from maker.edge.client import Client
from maker.edge.session import Session
from maker.errors import ConfigError, OcxError, OutcomeUnknown
from maker.launch import key
from maker.wire import ocx
from maker.wire.access import KeySeen, NewKey

FOLDER_MODE: Final = 0o700
EXPIRY_SLACK_SECONDS: Final = 3600.0  # by which the exchange's expiry may differ from the one asked for


@attrs.define
class NewFile:
    """A file that was not there, which only we can read; gone again unless it was written."""

    path: Path
    descriptor: int
    written: bool = False

    @classmethod
    @contextlib.contextmanager
    def made(cls, path: str) -> Iterator[NewFile]:
        """Make it before a secret exists that would need it, its folder too if need be. Raises ConfigError."""
        where = Path(path).expanduser()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            where.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            descriptor = os.open(where, flags, key.KEY_FILE_MODE)
        except OSError as problem:
            fix = "Name one that is not there yet."
            raise ConfigError("--out", f"{where} cannot be made: {problem.strerror}.", fix) from None
        made = cls(where, descriptor)
        try:
            yield made
        finally:
            os.close(descriptor)
            if not made.written:
                where.unlink(missing_ok=True)

    def write(self, text: str) -> None:
        """Write it down to the disk, its name in the folder too, in place of what it held. Raises OSError."""
        data = text.encode()
        self.written = False
        os.fchmod(self.descriptor, key.KEY_FILE_MODE)  # whatever the umask made of it
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.ftruncate(self.descriptor, len(data))
        while data:
            data = data[os.write(self.descriptor, data) :]
        os.fsync(self.descriptor)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.written = True


async def create(
    session: Session, wanted: ocx.ApiKeyRequest, file: NewFile | None, show: Callable[[str], None]
) -> Outcome:
    """Make a key, keep its secret in the file or else `show` it at once, and look at what the exchange made of it.

    Raises OcxError, Undone.
    """
    before = {row.key_id for row in await api_keys.listed(session)}
    try:
        made = await api_keys.created(session, wanted)
    except (OutcomeUnknown, ValueError) as error:
        raise await half_made(session, wanted, before, error) from None
    now = session.wall()
    expires_at = math.inf if wanted.expires_in_days is None else now + wanted.expires_in_days * DAY_SECONDS
    if file is None:
        show(made.secret)
    else:
        await keep(session, made, file, notes(made, wanted.name, wanted.scope, wanted.allowed_ips, expires_at))
    row = await own_row(session, made.key_id)
    found = [] if row is None else differences(wanted, expires_at, row)
    for sentence in found:
        say(f"WARNING: {sentence}")
    if found and row is not None and file is not None:  # the notes say what it is, not what was asked for
        theirs = math.inf if row.expires_at is None else row.expires_at
        await keep(session, made, file, notes(made, row.name, row.scope, row.allowed_ips, theirs))
    proof = await proved(session, made)
    about = "" if row is None else f" ({described(row, now)})"
    fields: dict[str, Any] = {"key": {"id": made.key_id} if row is None else told(row, now), "proved": proof.good}
    if file is None:
        where, fields["secret"] = "", made.secret
    else:
        where, fields["file"] = f" Its secret is in {file.path}, which only you can read.", str(file.path)
    return Outcome(f"Made the key {made.key_id}{about}; {proof.sentence}.{where}", fields=fields)


def notes(made: NewKey, name: str, scope: str, allowed_ips: Iterable[str], expires_at: float) -> str:
    """What the file of a new key holds."""
    return key.spell(key.Key(made.secret, made.key_id, scope, expires_at, tuple(allowed_ips)), name)


async def half_made(session: Session, wanted: ocx.ApiKeyRequest, before: set[str], error: Exception) -> Undone:
    """Find the key that may have been made although nobody was told its secret, and say what to do about it."""
    try:
        rows = await api_keys.listed(session)
    except (OcxError, ValueError):
        return Undone(f"it is not known whether a key was made ({error}): `keys list`, and revoke what you do not know")
    new = [row.key_id for row in rows if row.key_id not in before and row.name == wanted.name]
    if new:
        return Undone(f"a key was made, and its secret is lost ({error}): `keys revoke` {' '.join(new)}")
    return Undone(f"no key was made: {error}")


async def keep(session: Session, made: NewKey, file: NewFile, text: str) -> None:
    """Write the file; a key whose secret cannot be kept is revoked. Raises Undone."""
    try:
        file.write(text)
    except OSError as problem:
        try:
            await api_keys.revoked(session, made.key_id)
        except (OcxError, ValueError) as error:
            rest = f"and it could not be revoked ({error}): `keys revoke` {made.key_id}"
        else:
            rest = "and it was revoked again"
        raise Undone(f"the key {made.key_id} was made, but {file.path} not ({problem.strerror}), {rest}") from None


async def own_row(session: Session, key_id: str) -> KeySeen | None:
    """Return the row of a key; None where the list cannot be read, or lacks it."""
    try:
        return next((row for row in await api_keys.listed(session) if row.key_id == key_id), None)
    except (OcxError, ValueError):
        return None


def differences(wanted: ocx.ApiKeyRequest, expires_at: float, row: KeySeen) -> list[str]:
    """Say in what the key is another one than was asked for."""
    found = []
    if row.scope != wanted.scope:
        found.append(f"the exchange made it a key of scope {row.scope!r}, not {wanted.scope!r}.")
    if set(row.allowed_ips) != set(wanted.allowed_ips):
        found.append(f"the exchange pinned it to {' '.join(row.allowed_ips) or 'no address'}.")
    theirs = math.inf if row.expires_at is None else row.expires_at
    if theirs != expires_at and not abs(theirs - expires_at) < EXPIRY_SLACK_SECONDS:
        found.append(f"the exchange lets it expire {day(row.expires_at)}.")
    return found


async def proved(session: Session, made: NewKey) -> key_proof.Proof:
    """Prove a new key by a read from here, which one that is pinned elsewhere cannot make."""
    client = Client(
        session.client.base_url, {ocx.KEY_HEADER: made.secret}, session.client.ssl_context, dial=session.client.dial
    )
    try:
        return await key_proof.by_read(client)
    finally:
        await client.aclose()
