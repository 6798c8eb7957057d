"""Sign-in and keys over HTTP: everything that a session does and a key can never do."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

import attrs

from maker.edge.http_messages import Request
from maker.paper import deeds, spelling
from maker.paper.deeds import Deed
from maker.paper.keeper import Keeper
from maker.paper.keys import SCOPES, digest
from maker.paper.order_path import JSON, Outcome
from maker.paper.sign_in import SessionRecord, SignInDesk
from maker.paper.spelling import Refused, read_body
from maker.wire import ocx

SECRET_BYTES: Final = 24  # of a key's secret, twice as many characters
NAME_LENGTH_MAX: Final = 64
ADDRESSES_MAX: Final = 50  # pinned to one key
DAYS_MAX: Final = 3_650
DAY_MS: Final = 86_400_000


@attrs.define
class Office:
    """The desk where wallets sign in and keys are made."""

    keeper: Keeper
    desk: SignInDesk
    is_secure: bool  # served over TLS: the cookie says so

    def find(self, method: str, path: str) -> Callable[[Request, str, int], Outcome] | None:
        """Return what answers a call, given its request, the end of its path and the time; None: not an office call."""
        return {
            ("POST", ocx.AUTH_NONCE): self.nonce,
            ("POST", ocx.AUTH_SIWE): self.sign_in,
            ("POST", ocx.AUTH_LOGOUT): self.log_out,
            ("POST", ocx.API_KEYS): self.create,
            ("GET", ocx.API_KEYS): self.list,
            ("DELETE", ocx.API_KEYS): self.revoke,
        }.get((method, path))

    # -- sessions

    def nonce(self, request: Request, _: str, now_ms: int) -> Outcome:
        """auth/nonce."""
        wanted = read_body(request.body, ocx.NonceRequest)
        return answer(ocx.NonceAnswer(nonce=self.desk.issue(wanted.wallet_address, now_ms)))

    def sign_in(self, request: Request, _: str, now_ms: int) -> Outcome:
        """auth/siwe: a wallet that was never here gets an account of its own, with the usual deposits."""
        said = read_body(request.body, ocx.SignInRequest)
        host = request.headers.get("host", "")
        address = self.desk.check(said.message, said.signature, host, now_ms)
        user_id = self.keeper.place.exchange.wallet_user(address)
        if user_id is None:
            user_id = self.do(Deed(deeds.WALLET, now_ms, {"address": address}))
        token = self.desk.open(user_id, address, now_ms)
        return answer(
            ocx.SignInAnswer(user_id=user_id, wallet_address=address),
            self.cookie(token, self.desk.session_seconds),
        )

    def log_out(self, request: Request, _: str, now_ms: int) -> Outcome:
        """auth/logout: ends the session at once. ASSUMED: an empty object."""
        self.signed_in(request, now_ms)
        self.desk.close(token_of(request) or "")
        return answer({}, self.cookie("", 0))

    def cookie(self, token: str, seconds: int) -> tuple[str, str]:
        """Return the header that sets the session's cookie, or with no token takes it away."""
        secure = "; Secure" if self.is_secure else ""
        value = f"{ocx.SESSION_COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        return ("Set-Cookie", value)

    def signed_in(self, request: Request, now_ms: int) -> SessionRecord:
        """Return the session that a request came with. Raises Refused 401: a key, none, or one that has ended."""
        token = token_of(request)
        if token is None:
            raise Refused(401, "SESSION_REQUIRED", "only a signed-in session may do this, never an API key")
        found = self.desk.find(token, now_ms)
        if found is None:
            raise Refused(401, "SESSION_ENDED", "there is no such session, or it has ended: sign in again")
        return found

    # -- keys

    def create(self, request: Request, _: str, now_ms: int) -> Outcome:
        """POST api-keys: the secret is told here and never again."""
        user_id = self.signed_in(request, now_ms).user_id
        wanted = read_body(request.body, ocx.ApiKeyRequest)
        if not (0 < len(wanted.name) <= NAME_LENGTH_MAX and wanted.name.isprintable()):
            raise Refused(400, "INVALID_NAME", f"name must have 1 to {NAME_LENGTH_MAX} printable characters")
        if wanted.scope not in SCOPES:
            raise Refused(400, "INVALID_SCOPE", f"must be one of {', '.join(SCOPES)}")
        days = wanted.expires_in_days
        if days is not None and not 1 <= days <= DAYS_MAX:
            raise Refused(400, "INVALID_EXPIRY", f"expiresInDays must be 1 to {DAYS_MAX}, or null")
        secret = ocx.KEY_PREFIX + self.desk.entropy(SECRET_BYTES).hex()
        fields = {
            "user_id": user_id,
            "digest": digest(secret),
            "name": wanted.name,
            "scope": wanted.scope,
            "allowed_addresses": pinned(wanted.allowed_ips),
            "expires_ms": None if days is None else now_ms + days * DAY_MS,
        }
        key_id = self.do(Deed(deeds.KEY, now_ms, fields))
        return answer(ocx.ApiKeyCreated(id=key_id, secret=secret, message="Keep the secret: it is not shown again."))

    def list(self, request: Request, _: str, now_ms: int) -> Outcome:
        """GET api-keys: of the whole account, revoked and expired ones too."""
        rows = self.keeper.place.exchange.keys(self.signed_in(request, now_ms).user_id)
        return answer(ocx.ApiKeys(keys=[spelling.api_key(row, now_ms) for row in rows]))

    def revoke(self, request: Request, key_id: str, now_ms: int) -> Outcome:
        """DELETE api-keys/{id}: at once; a key that is revoked already stays so. ASSUMED: answers the key."""
        user_id = self.signed_in(request, now_ms).user_id
        if key_id not in {row.key_id for row in self.keeper.place.exchange.keys(user_id)}:
            raise Refused(404, "KEY_NOT_FOUND", "no such API key")
        self.do(Deed(deeds.REVOKE, now_ms, {"key_id": key_id}))
        rows = self.keeper.place.exchange.keys(user_id)
        return answer(spelling.api_key(next(row for row in rows if row.key_id == key_id), now_ms))

    def do(self, deed: Deed) -> str:
        """Do a deed so that it survives the process. Raises Refused 503 where there is no room for it."""
        try:
            return self.keeper.do(deed)
        except ValueError as problem:
            raise Refused(503, "NO_ROOM", str(problem)) from None


BEARER: Final = "bearer "


def bearer(request: Request) -> str | None:
    """Return the bearer token of an Authorization header, "" for another kind of it, None without the header."""
    authorization = request.headers.get("authorization")
    if authorization is None:
        return None
    if authorization[: len(BEARER)].lower() != BEARER:
        return ""
    return authorization[len(BEARER) :].strip()


def key_of(request: Request) -> str | None:
    """Return the API key of a request: an Authorization header wins, and what is no bearer token is no key."""
    said = bearer(request)
    if said is None:
        return request.headers.get(ocx.KEY_HEADER)
    return said if token_of(request) is None else None


def token_of(request: Request) -> str | None:
    """Return the session's token of a request: a bearer token that is no key, else the cookie, unless a key came."""
    said = bearer(request)
    if said is not None:
        return said if said and not said.startswith(ocx.KEY_PREFIX) else None
    if ocx.KEY_HEADER in request.headers:
        return None  # ASSUMED: a key wins over a cookie
    for part in request.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == ocx.SESSION_COOKIE:
            return value.strip('"')
    return None


def pinned(addresses: list[str]) -> list[str]:
    """Return addresses in their one spelling. Raises Refused 400: a name, a network, or too many."""
    if len(addresses) > ADDRESSES_MAX:
        raise Refused(400, "INVALID_ADDRESS", f"at most {ADDRESSES_MAX} addresses")
    try:
        return [str(ipaddress.ip_address(address)) for address in addresses]
    except ValueError:
        raise Refused(400, "INVALID_ADDRESS", "allowedIps must be single addresses") from None


def answer(body: object, *headers: tuple[str, str]) -> Outcome:
    """Return a 200."""
    return Outcome(200, ocx.encode(body), JSON + headers)
