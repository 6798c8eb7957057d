"""Sign-in with a wallet: nonces handed out, messages and signatures checked, sessions kept.

Pure but for chance, which comes as `entropy`. Nothing of it is written down: a restart forgets nonces and sessions, and
a client signs in again. Only digests of tokens are kept, as of keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import attrs
import msgspec

from maker.paper import ethereum
from maker.paper.spelling import Refused
from maker.wire import siwe

NONCE_SECONDS: Final = 300  # "short lived" (ASSUMED: five minutes)
NONCE_BYTES: Final = 12  # 24 characters of hexadecimal; EIP-4361 asks for eight
NONCES_MAX: Final = 1_000  # not used yet; the oldest is forgotten beyond
SESSIONS_MAX: Final = 1_000  # not ended yet; the oldest ends beyond
CLOCK_SECONDS_MAX: Final = 60  # by which a client's clock may be ahead in "Issued At"

Entropy = Callable[[int], bytes]  # so many bytes that nobody can guess


@attrs.frozen
class Issued:
    """A nonce that waits for its signature."""

    address: str  # as it was asked for, lower case
    ends_ms: int


@attrs.frozen
class SessionRecord:
    """One session, without its token."""

    user_id: str
    address: str
    ends_ms: int


@attrs.define
class SignInDesk:
    """All nonces and sessions of one exchange."""

    entropy: Entropy
    session_seconds: int
    chain_id: int
    nonces: dict[str, Issued] = attrs.field(factory=dict)
    sessions: dict[str, SessionRecord] = attrs.field(factory=dict)  # by the digest of the token
    secret: bytes = attrs.field(init=False, repr=False)  # signs tokens

    def __attrs_post_init__(self) -> None:
        self.secret = self.entropy(32)

    def issue(self, address: str, now_ms: int) -> str:
        """Hand out a nonce for an address. Raises Refused 400 for what is no address."""
        if siwe.ADDRESS.fullmatch(address) is None:
            raise Refused(400, "INVALID_ADDRESS", "walletAddress must be 0x and 40 hexadecimal digits")
        self.forget_ended(now_ms)
        nonce = self.entropy(NONCE_BYTES).hex()
        self.nonces[nonce] = Issued(address.lower(), now_ms + NONCE_SECONDS * 1000)
        if len(self.nonces) > NONCES_MAX:
            del self.nonces[next(iter(self.nonces))]
        return nonce

    def check(self, text: str, signature: str, host: str, now_ms: int) -> str:
        """Return the address that a message and its signature prove, with EIP-55's capitals.

        `host` is the authority that the client asked (its Host header): the message must be for it. Raises Refused:
        400 for what is no message, 401 for one that is not good now, here, or signed by whom it says.
        """
        try:
            message = siwe.parse(text)
        except ValueError as problem:
            raise Refused(400, "INVALID_MESSAGE", str(problem)) from None
        issued = self.nonces.pop(message.nonce, None)  # used, whatever comes of it
        if issued is None or now_ms >= issued.ends_ms or issued.address != message.address.lower():
            raise Refused(401, "INVALID_NONCE", "this nonce was not issued for this address, was used, or is too old")
        authority = message.uri.partition("://")[2].partition("/")[0]
        for code, fits, what in (
            ("INVALID_DOMAIN", message.domain == host, f"the domain must be {host}"),
            ("INVALID_URI", authority == host, f"the URI must be of {host}"),
            ("INVALID_CHAIN", message.chain_id == self.chain_id, f"the chain must be {self.chain_id}"),
            ("MESSAGE_EXPIRED", is_current(message, now_ms), "the message is not good at this time, or does not end"),
        ):
            if not fits:
                raise Refused(401, code, what)
        if ethereum.signer(text, signature) != message.address:
            raise Refused(401, "INVALID_SIGNATURE", "the signature is not of this message by this address")
        return message.address

    def open(self, user_id: str, address: str, now_ms: int) -> str:
        """Begin a session and return its token, a JWT (HS256)."""
        self.forget_ended(now_ms)
        ends_ms = now_ms + self.session_seconds * 1000
        claims = {
            "sub": user_id,
            "iat": now_ms // 1000,
            "exp": ends_ms // 1000,
            "jti": self.entropy(8).hex(),
        }
        head = ".".join(base64url(msgspec.json.encode(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        token = f"{head}.{base64url(hmac.digest(self.secret, head.encode(), 'sha256'))}"
        self.sessions[digest(token)] = SessionRecord(user_id, address, ends_ms)
        if len(self.sessions) > SESSIONS_MAX:
            del self.sessions[next(iter(self.sessions))]
        return token

    def find(self, token: str, now_ms: int) -> SessionRecord | None:
        """Return the session of a token while it lasts."""
        found = self.sessions.get(digest(token))
        return None if found is None or now_ms >= found.ends_ms else found

    def close(self, token: str) -> None:
        """End a session; what is none is none afterwards too."""
        self.sessions.pop(digest(token), None)

    def forget_ended(self, now_ms: int) -> None:
        """Drop what has ended by age."""
        for kept in (self.nonces, self.sessions):
            for name in [name for name, one in kept.items() if now_ms >= one.ends_ms]:
                del kept[name]


def is_current(message: siwe.SignIn, now_ms: int) -> bool:
    """Whether a message may be used now: begun, not expired, and with an expiry at all."""
    begins = [siwe.moment_ms(message.issued_at) - CLOCK_SECONDS_MAX * 1000]
    begins += [siwe.moment_ms(message.not_before)] if message.not_before is not None else []
    return (
        max(begins) <= now_ms
        and message.expiration_time is not None
        and now_ms < siwe.moment_ms(message.expiration_time)
    )


def digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def base64url(data: bytes) -> str:
    """Return base64url without padding, as a JWT has it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
