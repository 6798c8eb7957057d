"""Signed in with a wallet: nonce, message, signature, session; renewed at half its life, revoked at the end.

    session = Session(client, wallet, terms)
    await session.sign_in()
    keys = await api_keys.listed(session)
    await session.end()

`client` carries no credential of its own. The wallet is asked for its address and for one signature each time, and
keeps its key to itself. Times inside the message are the exchange's, by the `Date` of its nonce, so that a clock of
ours that is wrong by minutes still signs in (H23).

`Standby` lets a client's reads go by the session where the exchange refuses them to the API key: OCX's pages disagree
on which reads want one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NoReturn, Protocol

import attrs
import trio

from maker.edge.answer import Answer
from maker.edge.client import Client
from maker.errors import ConfigError, OcxError, OutcomeUnknown, Refused, Throttled, Unauthorized
from maker.wire import access, limits, ocx
from maker.wire.siwe import SignIn

CALL_SECONDS_MAX: Final = 5.0  # one call, connecting included
MESSAGE_SECONDS: Final = 300.0  # what is signed is good for so long: a nonce is short-lived too
RENEW_AT: Final = 0.5  # of a session's life ...
RENEW_SECONDS_MIN: Final = 3.0  # ... but no sooner, whatever the exchange says of it
LOOK_SECONDS: Final = 1.0  # between two looks at whether it is time: by the wall clock, which counts suspension
END_SECONDS_MAX: Final = 2.0  # for signing out while a run unwinds: a session ends by age too
AGAIN_SECONDS_MIN: Final = 30.0  # between two sign-ins for one refused read: never spin on a 401


class Wallet(Protocol):
    """What signs. Neither call may keep or show the key; both may raise ConfigError."""

    def address(self) -> str:
        """Return the address, with EIP-55's capitals."""

    def sign(self, text: str) -> str:
        """Return the personal_sign of a text."""


@attrs.frozen
class Terms:
    """What the signature is for."""

    domain: str  # RFC 3986 authority
    uri: str
    chain_id: int


@attrs.define(eq=False)
class Session:
    """One wallet's session with one exchange. Its token is never shown."""

    client: Client = attrs.field(repr=False)
    wallet: Wallet = attrs.field(repr=False)
    terms: Terms
    wall: Callable[[], float] = time.time  # unix seconds
    current: access.Session | None = None
    begun: list[access.Session] = attrs.field(factory=list)  # not ended yet, the current one last: two or three
    address: str = ""  # of the wallet that is signed in
    renew_at: float = math.inf  # unix seconds
    signing: trio.Lock = attrs.field(factory=trio.Lock, repr=False)

    async def sign_in(self) -> None:
        """Sign in. A session that is there already stays good, for what was begun with it, until `sign_out`.

        Raises Unauthorized (the exchange does not take this wallet or message), Refused, Throttled, OutcomeUnknown (no
        answer: sign in again), ConfigError (the wallet).
        """
        address = self.wallet.address()
        asked = await self.ask("POST", ocx.AUTH_NONCE, ocx.encode(ocx.NonceRequest(wallet_address=address)))
        try:
            message = self.message(address, access.nonce(asked.body), limits.answered_at(asked.headers, self.wall()))
            body = ocx.encode(ocx.SignInRequest(message=message, signature=self.wallet.sign(message)))
            answer = await self.ask("POST", ocx.AUTH_SIWE, body)
            now = self.wall()
            theirs = limits.answered_at(answer.headers, now)
            said = access.session(answer.headers, theirs)
        except ValueError as error:
            raise OutcomeUnknown(f"sign-in: {error}") from None
        life_seconds = said.ends_at - theirs  # by their clock, so that a wrong one of ours neither spins nor sleeps on
        self.current, self.address = attrs.evolve(said, ends_at=now + life_seconds), address
        self.renew_at = now + max(RENEW_SECONDS_MIN, life_seconds * RENEW_AT)
        self.begun = [*(one for one in self.begun if one.ends_at > now), self.current]

    def message(self, address: str, nonce: str, now: float) -> str:
        """Return the text to sign at `now`, unix seconds. Raises ValueError for terms that EIP-4361 does not allow."""
        return SignIn(
            domain=self.terms.domain,
            address=address,
            uri=self.terms.uri,
            chain_id=self.terms.chain_id,
            nonce=nonce,
            issued_at=iso(now),
            expiration_time=iso(now + MESSAGE_SECONDS),
        ).text()

    async def ready(self) -> Mapping[str, str]:
        """Sign in if nobody is, and return the headers that say so. Raises as `sign_in`."""
        async with self.signing:
            if self.current is None:
                await self.sign_in()
        return self.headers()

    def headers(self) -> Mapping[str, str]:
        """Return the headers of whoever is signed in."""
        assert self.current is not None, "nobody is signed in"
        return {"authorization": f"Bearer {self.current.token}"}

    async def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Make a call that only a session may make. Raises as `sign_in`, and Unauthorized without a session."""
        if self.current is None:
            raise Unauthorized(401, "", "nobody is signed in")
        return await self.ask(method, path, body, self.current.token)

    async def ask(self, method: str, path: str, body: bytes = b"", token: str = "") -> Answer:
        """Make one call, once, and return its 2xx. Raises OcxError."""
        answer = None
        with trio.move_on_after(CALL_SECONDS_MAX):
            answer = await self.client.administer(method, path, body, token)
        if answer is None:
            raise OutcomeUnknown(f"{method} {path} was not answered within {CALL_SECONDS_MAX:g} s")
        if 200 <= answer.status < 300:
            return answer
        raise ocx.refusal(answer.status, answer.body, limits.wait_seconds(answer.headers, answer.body, self.wall()))

    async def keep(self, tell: Callable[[str], None]) -> NoReturn:
        """Renew the session at half its life, for as long as there is one; `tell` hears of a renewal that failed."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            if self.current is None or self.wall() < self.renew_at:
                continue
            try:
                async with self.signing:
                    await self.sign_in()
            except (OcxError, ConfigError) as error:
                left = self.current.ends_at - self.wall()
                self.renew_at = self.wall() + max(AGAIN_SECONDS_MIN, left * RENEW_AT)
                tell(f"the session could not be renewed, {left / 3600:.1f} h are left of it: {error}")

    async def sign_out(self) -> bool:
        """Revoke every session that was begun here; say whether the exchange confirmed it. The others end by age."""
        begun, self.begun, self.current, self.renew_at = self.begun, [], None, math.inf
        confirmed = True
        for one in reversed(begun):
            try:
                await self.ask("POST", ocx.AUTH_LOGOUT, token=one.token)
            except OcxError:
                confirmed = False
        return confirmed

    async def end(self, seconds_max: float = END_SECONDS_MAX) -> bool:
        """Sign out and close the client, whatever is being unwound, within so long; return as `sign_out`."""
        confirmed = False
        with trio.move_on_after(seconds_max, shield=True):
            confirmed = await self.sign_out()
            await self.client.aclose()
        return confirmed


@attrs.define(eq=False)
class Standby:
    """Which reads go by the session: those that the API key was refused. See `maker.edge.client.Standby`."""

    session: Session
    tell: Callable[[str], None] = lambda _sentence: None
    paths: set[str] = attrs.field(factory=set)
    signed_in_at: float = -math.inf  # when it was last tried and answered, by the loop's clock
    not_now: str = ""  # why that failed, where it is no verdict on the wallet: reads are without an answer meanwhile

    def headers(self, path: str) -> Mapping[str, str] | None:
        """Return what to send instead of the key; None: the key."""
        if path not in self.paths or self.session.current is None:
            return None
        return self.session.headers()

    async def take_over(self, path: str, used: Mapping[str, str]) -> bool:
        """Make the session ready for a path that was refused; False: it was refused to the session as well.

        Raises Unauthorized, OutcomeUnknown.
        """
        async with self.session.signing:
            ready = self.headers(path)
            by_session = ready is not None
            if by_session and ready != used:
                return True  # somebody else's read has seen to it meanwhile
            if by_session or self.session.current is None:
                if trio.current_time() - self.signed_in_at < AGAIN_SECONDS_MIN:
                    if self.not_now:
                        raise OutcomeUnknown(f"sign-in: {self.not_now}")
                    return False
                self.signed_in_at, self.not_now = trio.current_time(), ""
                try:
                    await self.session.sign_in()
                except (OutcomeUnknown, trio.Cancelled):  # no answer is no refusal: the next read asks again
                    self.signed_in_at = -math.inf
                    raise
                except (Refused, Throttled) as error:
                    self.not_now = str(error)
                    raise OutcomeUnknown(f"sign-in: {error}") from None
                except ConfigError as error:
                    raise Unauthorized(401, "", f"sign-in: {error}") from None
        if not by_session:
            self.tell(f"the API key is refused for {path}: read by a session from now on")
            self.paths.add(path)
        return True


def iso(unix_seconds: float) -> str:
    """Spell a moment as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
