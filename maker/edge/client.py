"""Reads and event streams over httpx: the only file that imports it.

    client = Client(base_url, headers, ssl_context)
    answer = await client.get("/perps/positions")
    async with client.stream("/perps/stream/events", {"marketId": "BTC-PERP"}) as events:
        data = await events.receive_some()

No order goes this way (`lane` is for those), so an outcome unknown does no harm: read again. `ask` POSTs questions
that change nothing, `administer` signs in and manages keys. Where the exchange refuses a read to our headers, a
`Standby` may have others. Deadlines are the caller's and total; there is none inside, since a drip-fed answer
defeats a deadline per read.

What httpx and httpcore are kept from doing, each seen to go wrong: sharing a pool (a request cancelled while it waits
there, or between connecting and sending, blocks its slot for ever; encode/httpcore #1093), looking up names on Trio's
own threads, leaving the descriptor of a cancelled handshake to the collector, a TLS context per client (26 ms),
following redirects, keeping cookies, unpacking bodies, reading the environment. Hence one pool of one connection per
read under way, thrown away with its connection whenever a read does not end well; and `Dialled`, which makes the
lane's own connections, TLS included, httpcore's network.
"""

from __future__ import annotations

import contextlib
import http.cookiejar
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import attrs
import httpcore
import httpx
import trio

from maker.edge.answer import BODY_BYTES_MAX, Answer, joined
from maker.edge.endpoint import Endpoint, parse, resolve
from maker.edge.lane import Connection, NotSent, check_headers
from maker.errors import OutcomeUnknown, StreamBroken, StreamFault
from maker.wire import ocx

CONNECTIONS_MAX: Final = 8  # reads at once; the program has a handful of readers
IDLE_SECONDS_MAX: Final = 30.0  # an idle connection is kept for the next round of reads; servers allow 60 to 75

QUESTIONS: Final = frozenset({ocx.PREVIEW})  # POSTs without an effect
OFFICE: Final = frozenset({ocx.AUTH_NONCE, ocx.AUTH_SIWE, ocx.AUTH_LOGOUT, ocx.API_KEYS})  # has no orders
REFUSED: Final = (401, 403)

Dial = Callable[[], Awaitable[Connection]]

for chatty in ("httpcore", "httpx"):  # at DEBUG they quote the headers of answers, and a session comes as a cookie
    logging.getLogger(chatty).setLevel(logging.WARNING)


class Standby(Protocol):
    """Another credential, for reads that are refused to ours."""

    def headers(self, path: str) -> Mapping[str, str] | None:
        """Return what is sent for a path instead of the client's headers; None: the client's."""

    async def take_over(self, path: str, used: Mapping[str, str]) -> bool:
        """A path was refused to these headers: say whether asking again makes sense.

        Raises Unauthorized, OutcomeUnknown.
        """


class Client:
    """Reads and streams of one exchange, with one set of headers that is never shown."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        ssl_context: ssl.SSLContext | None,
        *,
        connections_max: int = CONNECTIONS_MAX,
        dial: Dial | None = None,
        standby: Standby | None = None,
    ) -> None:
        """Connect with `dial` where given (`Endpoint.dial`: no look-ups at all), else look `base_url` up as needed.

        Raises `ConfigError` for what is no base URL or no header.
        """
        check_headers(headers)
        parse(base_url)
        self.base_url = base_url
        self.headers = headers
        self.standby = standby
        self.ssl_context = ssl_context
        self.dial = self.resolve_and_dial if dial is None else dial
        self.endpoint: Endpoint | None = None  # the last good one, where we look it up
        self.reads = trio.CapacityLimiter(connections_max)
        self.idle: list[httpx.AsyncClient] = []  # at most `connections_max`, the last used at the end

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Read one answer of any status, queueing for a free read; raise `OutcomeUnknown` if none came whole.

        With a standby also raises Unauthorized.
        """
        used = self.credential(path)
        answer = await self.exchange("GET", path, params, b"", used)
        if await self.is_taken_over(path, answer.status, used):
            answer = await self.exchange("GET", path, params, b"", self.credential(path))
        return answer

    async def ask(self, path: str, question: bytes) -> Answer:
        """As `get`, for a question that is put as a JSON body and changes nothing: a preview, never an order.

        It is asked with our own headers alone: an answer is worth less than a sign-in may cost.
        """
        assert path in QUESTIONS, f"{path} may change something: that goes by a lane"
        return await self.exchange("POST", path, None, question, self.headers)

    async def administer(self, method: str, path: str, body: bytes, token: str) -> Answer:
        """As `get`, for sign-in and keys, with nothing but a session's token as a credential, or with none."""
        parent = path.rpartition("/")[0]
        assert path in OFFICE or parent == ocx.API_KEYS, f"{path} is no business of a session's: orders go by a lane"
        return await self.exchange(method, path, None, body, {"authorization": f"Bearer {token}"} if token else {})

    def credential(self, path: str) -> Mapping[str, str]:
        """Return the headers for a path: ours, or those that stand by for it."""
        other = None if self.standby is None else self.standby.headers(path)
        return self.headers if other is None else other

    async def is_taken_over(self, path: str, status: int, used: Mapping[str, str]) -> bool:
        """Say whether an answer of this status is to be asked for again, by another credential than was used."""
        return status in REFUSED and self.standby is not None and await self.standby.take_over(path, used)

    async def exchange(
        self, method: str, path: str, params: Mapping[str, str] | None, content: bytes, headers: Mapping[str, str]
    ) -> Answer:
        """Send one request and return its whole answer; raise `OutcomeUnknown` if none came whole."""
        what = f"{method} {path}"
        async with self.reads:
            own = self.idle.pop() if self.idle else self.open_http()
            body = bytearray()
            try:
                async with answered(own, method, path, params, headers, content) as (response, chunks):
                    async for chunk in chunks:
                        if len(body) + len(chunk) > BODY_BYTES_MAX:
                            raise OutcomeUnknown(f"{what}: the body is over {BODY_BYTES_MAX} bytes")
                        body += chunk
            except httpx.HTTPError as error:
                raise OutcomeUnknown(f"{what}: {what_happened(error)}") from None
            self.idle.append(own)
            return Answer(response.status_code, joined(response.headers.raw), bytes(body))

    @contextlib.asynccontextmanager
    async def stream(self, path: str, params: Mapping[str, str] | None = None) -> AsyncIterator[EventStream]:
        """Open an event stream on a connection of its own, closed at the end; raise `StreamBroken`.

        Yields once the head of the answer is there, whatever its status. With a standby also raises Unauthorized.
        """
        accept = {"accept": "text/event-stream", "cache-control": "no-store"}
        for again in (False, True):
            own, used = self.open_http(), self.credential(path)
            try:
                async with answered(own, "GET", path, params, {**accept, **used}, b"") as (response, chunks):
                    if not again and await self.is_taken_over(path, response.status_code, used):
                        continue
                    yield EventStream(response.status_code, joined(response.headers.raw), path, chunks)
                    return
            except httpx.HTTPError as error:
                raise StreamBroken(StreamFault.CLOSED, f"GET {path}: {what_happened(error)}") from None
            except OutcomeUnknown as error:  # of the sign-in
                raise StreamBroken(StreamFault.CLOSED, f"GET {path}: {error}") from None
            finally:
                await closed(own)

    async def aclose(self) -> None:
        """Close the idle connections; what is under way closes its own."""
        while self.idle:
            await closed(self.idle.pop())

    def open_http(self) -> httpx.AsyncClient:
        opened = httpx.AsyncClient(
            base_url=self.base_url,
            headers={"accept-encoding": "identity"},
            transport=OneConnection(Dialled(self.dial)),
            timeout=None,  # noqa: S113 - deadlines are the caller's, and total
            trust_env=False,
            follow_redirects=False,
        )
        opened.cookies.jar.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))
        return opened

    async def resolve_and_dial(self) -> Connection:
        self.endpoint = await resolve(self.base_url, self.ssl_context, last_good=self.endpoint)
        return await self.endpoint.dial()


@attrs.define(eq=False)
class EventStream:
    """An answer whose body is still coming."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)  # names lowercased
    path: str
    chunks: AsyncIterator[bytes] = attrs.field(repr=False)

    async def receive_some(self) -> bytes:
        """Return the next bytes, b"" at an orderly end and ever after; raise `StreamBroken` at any other."""
        try:
            return await anext(self.chunks, b"")
        except httpx.HTTPError as error:
            raise StreamBroken(StreamFault.CLOSED, f"GET {self.path}: {what_happened(error)}") from None


@contextlib.asynccontextmanager
async def answered(
    own: httpx.AsyncClient,
    method: str,
    path: str,
    params: Mapping[str, str] | None,
    headers: Mapping[str, str],
    content: bytes,
) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[bytes]]]:
    """Ask, and yield the head of the answer with the chunks of its body; unless those are read to the end, close `own`.

    Content is JSON. Raises `httpx.HTTPError`.
    """
    assert path[:1] == "/" != path[1:2], "a path must not name another host, which would get our key"
    response: httpx.Response | None = None
    chunks: AsyncIterator[bytes] | None = None
    try:
        kind = {"content-type": "application/json"} if content else {}
        request = own.build_request(method, path, params=params, headers={**headers, **kind}, content=content or None)
        response = await own.send(request, stream=True)
        chunks = response.aiter_raw()
        yield response, chunks
    finally:
        if response is None or not response.is_closed:
            await closed(own)
            if chunks is not None:
                await run_out(chunks)


async def closed(own: httpx.AsyncClient) -> None:
    """Close a client and its connection; without a deadline, since closing our connections waits for nothing."""
    with trio.CancelScope(shield=True):
        await own.aclose()


async def run_out(chunks: AsyncIterator[bytes]) -> None:
    """End httpx's nested generators now, not in the collector, which Trio would warn of: their connection is closed."""
    with trio.CancelScope(shield=True), contextlib.suppress(httpx.HTTPError):
        async for _ in chunks:
            pass


def what_happened(error: httpx.HTTPError) -> str:
    """Describe an error without quoting what the other side sent, which may echo our headers."""
    if isinstance(error, httpx.ProtocolError):
        return "the answer is cut short, or not HTTP/1.1"
    return f"{type(error).__name__} {error}".rstrip()


# -- our connections as httpcore's network ------------------------------------------------------------------------


NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusted by this one: our connections do their own TLS


class OneConnection(httpx.AsyncHTTPTransport):
    """httpx's own transport over a pool of ours: httpx has no parameter for the network, hence its private name."""

    def __init__(self, network: Dialled) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=NOBODY,  # never used; without it one is built
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=IDLE_SECONDS_MAX,
            http1=True,
            http2=False,
            network_backend=network,
        )


@attrs.define(eq=False)
class Dialled(httpcore.AsyncNetworkBackend):
    """A network that knows one place."""

    dial: Dial

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            return DialledStream(await self.dial())
        except (NotSent, OSError) as error:
            raise httpcore.ConnectError(str(error)) from error


@attrs.define(eq=False, repr=False)
class DialledStream(httpcore.AsyncNetworkStream):
    """A lane's connection as httpcore wants it."""

    connection: Connection

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self.connection.receive_some()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            if buffer and not self.connection.send_nowait(buffer):
                raise httpcore.WriteError("the connection took no byte")
            await self.connection.send_rest()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self.connection.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return self  # the dial has done it, with the context and the name of its endpoint

    def get_extra_info(self, info: str) -> Any:
        return self.connection.peer_closed() if info == "is_readable" else None
