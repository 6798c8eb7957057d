"""The kill button: whoever holds the token of this monitor's life may have every quote pulled, by the kill file.

Guard and maker obey that file, and nothing starts while it is there. The token is made at the start and stands in a
file of mode 0600 in the state folder: who can read it could make the kill file as well. It is never in an address, a
log or a page. A wrong one is answered late, and few at a time: there is no way to try many.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from maker.edge.http_messages import Request, Response
from maker.launch import latch

TOKEN_FILE: Final = "monitor.token"  # noqa: S105 - a file's name
TOKEN_BYTES: Final = 32
WRONG_SECONDS: Final = 1.0  # after which a wrong token is answered
WRONG_AT_ONCE_MAX: Final = 8  # waiting for that; more are turned away
WRITES_AT_ONCE_MAX: Final = 8  # of the kill file: somebody presses again while a disk hangs
REASON: Final = "monitor"
BEARER: Final = "bearer "


class Confirmation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request."""

    confirm: str  # the account's name


class Killer:
    """One monitor's kill button. `said` is told what was done, for the log."""

    def __init__(self, folder: Path, account: str, said: Callable[[str, str], object]) -> None:
        self.folder, self.account, self.said = folder, account, said
        self.token = ""  # while it could not be left in the folder: then nobody can have it, and the button is off
        self.hands = trio.CapacityLimiter(WRITES_AT_ONCE_MAX)  # its own: what hangs elsewhere has the others
        self.wrong_now = 0
        self.wrong = 0  # since the start

    def make_token(self) -> None:
        """Make a token and leave it in the folder; an older one is good for nothing from here on. Raises OSError."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        unfinished = self.folder / f"{TOKEN_FILE}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(token + "\n")
            unfinished.rename(self.folder / TOKEN_FILE)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self.token = token

    def remove_token(self) -> None:
        """Take the token back."""
        if self.token:
            self.token = ""
            with contextlib.suppress(OSError):
                (self.folder / TOKEN_FILE).unlink()

    async def answer(self, request: Request) -> Response:
        """Pull every quote, if that is allowed and confirmed."""
        if not self.token:
            return answer(503, f"no token could be written into {self.folder}: use `cancel-all`")
        if not self.is_known(request.headers.get("authorization", "")):
            return await self.refused(request.peer)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return answer(415, "the body must be application/json")
        try:
            confirmation = msgspec.json.decode(request.body, type=Confirmation)
        except msgspec.DecodeError:
            return answer(400, 'the body must be {"confirm": "ACCOUNT"}, with the account\'s name')
        if confirmation.confirm != self.account:
            return answer(409, "not confirmed: that is not this account's name, and nothing was done")
        return await self.kill(request.peer)

    def is_known(self, header: str) -> bool:
        """Whether an Authorization header holds our token; compared in constant time."""
        given = header[len(BEARER) :] if header[: len(BEARER)].lower() == BEARER else ""
        return hmac.compare_digest(given.strip().encode("latin-1", "replace"), self.token.encode())

    async def refused(self, peer: str) -> Response:
        """Answer a wrong token, late."""
        if self.wrong_now >= WRONG_AT_ONCE_MAX:
            return answer(429, "too many wrong tokens at once")
        self.wrong_now += 1
        self.wrong += 1
        try:
            self.said("wrong token", f"the kill button was pressed with a wrong token, or none, from {peer}")
            await trio.sleep(WRONG_SECONDS)
        finally:
            self.wrong_now -= 1
        challenge = (("WWW-Authenticate", "Bearer"),)
        return answer(401, f"the token is wrong: it stands in {TOKEN_FILE} in the state folder", challenge)

    async def kill(self, peer: str) -> Response:
        """Write the kill file; a browser that goes away meanwhile changes nothing."""
        sentence = f"the kill button of the status page was pressed, from {peer}"
        try:
            with trio.CancelScope(shield=True):
                write = partial(latch.write, self.folder, REASON, sentence)
                await trio.to_thread.run_sync(write, limiter=self.hands)
        except OSError as problem:
            self.said("not latched", f"the kill file cannot be written ({problem}): use `cancel-all`")
            return answer(500, f"NOT DONE, the kill file cannot be written ({problem.strerror}): use `cancel-all`")
        self.said("kill file", f"{sentence}: quotes are to be pulled")
        return answer(200, latch.read(self.folder) or sentence)


def answer(status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An answer as the page reads it."""
    kind = ("Content-Type", "application/json")
    return Response(status, (kind, *headers), msgspec.json.encode({"done": status == 200, "sentence": sentence}))
