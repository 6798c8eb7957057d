"""Outgoing notices: one POST to an address that is a secret itself, and what came of it.

    post = Post(address(url), ssl_context)
    with trio.fail_after(seconds):
        reply = await post.send(body, now_unix)

Whoever knows the URL of a webhook may write there, so that nothing of it may be shown: not its path, and not its host,
which some services make unique to a customer. Every error is one of our own sentences, picked by what happened.

It does not go over httpx. What a notice needs is one connection, one request and the head of one answer, and what it
must not do is most of what httpx offers: follow redirects (to another host, with the alert), keep cookies, read
proxies from the environment, unpack bodies, pool connections. The endpoint's own connections (TLS included) and h11 are
enough, and `client` stays the only room that imports httpx. Each notice has a connection of its own, which is closed
after it: alerts are few, and a connection kept for hours is one that has died unseen.

An answer counts from its head on: a notice is delivered when the status says so, whatever becomes of the body, since
sending it again would say it twice. Of refusals the body is read, as far as it is small and comes soon, for how long to
wait. Deadlines are the caller's and total.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import attrs
import h11
import trio

from maker.edge.answer import ANY_REQUEST, HEAD_BYTES_MAX, INFORMATIONAL_MAX, joined
from maker.edge.endpoint import Endpoint, parse, resolve
from maker.edge.lane import Connection, NotSent, check_headers
from maker.errors import ConfigError, OutcomeUnknown
from maker.wire import limits

BODY_BYTES_MAX: Final = 64 * 1024  # of a notice; the longest that any target takes is 40 kB
REPLY_BYTES_MAX: Final = 16 * 1024  # of a refusal's body; more is no explanation
REPLY_SECONDS_MAX: Final = 2.0  # ... and later is none
WAIT_SECONDS_MAX: Final = 86_400.0  # a refusal that asks for more means something else
URL_CHARACTERS_MAX: Final = 2_000
LOCAL: Final = ("127.0.0.1", "localhost", "::1")
TARGET: Final = re.compile(r"/[!\"$-~]*")  # path and query: printable ASCII without a fragment

# What went wrong on the way, by what the errors of sockets, TLS and look-ups have in common. Only our words are shown.
CAUSES: Final = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not accepted"),
    ("SSL", "TLS failed"),
    ("onnection refused", "the connection was refused"),
    ("unreachable", "the network is unreachable"),
    ("no address for", "its name has no address"),
    ("no connection within", "it did not answer in time"),
    ("timed out", "it did not answer in time"),
)

Dial = Callable[[], Awaitable[Connection]]


@attrs.frozen(repr=False)
class Address:
    """Where notices go."""

    base_url: str  # scheme, host and port
    target: str  # path and query


def address(url: str) -> Address:
    """Read a URL: https, or plain http on this machine. Raises ConfigError, which shows nothing of it."""
    with contextlib.suppress(ValueError, ConfigError):  # their words quote the host
        parts = urlsplit(url)
        base_url = f"{parts.scheme}://{parts.netloc}"
        parse(base_url)  # host and port; refuses a name and password before them
        fits = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if fits and len(url) <= URL_CHARACTERS_MAX and "#" not in url and TARGET.fullmatch(target):
            return Address(base_url, target)
    raise ConfigError("url", "is no address for notices.", "Write https://host/path, with nothing around it.")


@attrs.frozen
class Reply:
    """What a target answered."""

    status: int
    wait_seconds: float | None  # before the next try, where it says so

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300


@attrs.define(eq=False, repr=False)
class Post:
    """One target's address, with what is sent along; nothing of either is ever shown."""

    where: Address
    ssl_context: ssl.SSLContext | None  # None: the machine's own store of certificates
    headers: Mapping[str, str] = attrs.field(factory=dict)
    dial: Dial | None = None  # where given, nothing is looked up
    endpoint: Endpoint | None = None  # the last good one

    def __attrs_post_init__(self) -> None:
        check_headers(self.headers)

    async def send(self, body: bytes, now_unix: float) -> Reply:
        """Send a JSON body, and return what was answered; `now_unix` counts where an answer has no Date.

        Raises NotSent where not a byte has left, OutcomeUnknown where no answer came. Whoever tries again after the
        latter may say the same twice.
        """
        assert len(body) <= BODY_BYTES_MAX, "a notice is cut where it is written"
        connection: Connection | None = None
        reply: Reply | None = None
        problem = ""
        try:
            connection = await self.connect()
        except (NotSent, OSError) as error:
            problem = cause(error)
        if connection is None:  # raised here, so that the error's own words, which name the host, are not its context
            raise NotSent(f"cannot connect: {problem}")
        try:
            if not connection.send_nowait(self.request(body)):
                raise NotSent("the connection took no byte")
            try:
                await connection.send_rest()
                reply = await read_reply(connection.receive_some, now_unix)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                problem = "the connection was lost before the answer"
        finally:
            connection.close()
        if reply is None:
            raise OutcomeUnknown(problem)
        return reply

    async def connect(self) -> Connection:
        if self.dial is not None:
            return await self.dial()
        self.endpoint = await resolve(self.where.base_url, self.ssl_context, last_good=self.endpoint)
        return await self.endpoint.dial()

    def request(self, body: bytes) -> bytes:
        host = self.where.base_url.partition("://")[2]
        fields = {
            "host": host,
            "user-agent": "maker",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "accept-encoding": "identity",
            "connection": "close",
            **self.headers,
        }
        lines = [f"POST {self.where.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        return "\r\n".join(lines).encode("ascii") + body


def cause(error: Exception) -> str:
    """Say what happened in our own words."""
    text = str(error)
    return next((words for sign, words in CAUSES if sign in text), "no connection")


async def read_reply(receive_some: Callable[[], Awaitable[bytes]], now_unix: float) -> Reply:
    """Read an answer's head, and of a refusal what its body says. Raises OutcomeUnknown, and as `receive_some`."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    parser.send(ANY_REQUEST)
    parser.send(h11.EndOfMessage())
    head: h11.Response | None = None
    informational = 0
    while head is None:
        event = await next_event(parser, receive_some)
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.InformationalResponse) and informational < INFORMATIONAL_MAX:
            informational += 1
        else:
            raise OutcomeUnknown("the answer is not HTTP/1.1, or none came")
    headers = joined(head.headers)
    body = b""
    if not 200 <= head.status_code < 300:
        with trio.move_on_after(REPLY_SECONDS_MAX):
            body = await read_body(parser, receive_some)
    waits = [limits.retry_after(headers.get("retry-after", ""), limits.answered_at(headers, now_unix)), asked(body)]
    told = [min(max(0.0, one), WAIT_SECONDS_MAX) for one in waits if one is not None]
    return Reply(head.status_code, max(told, default=None))


async def next_event(parser: h11.Connection, receive_some: Callable[[], Awaitable[bytes]]) -> object:
    while True:
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError:
            event = None  # h11 quotes the bytes it disliked, and they may echo ours
        if event is None:
            raise OutcomeUnknown("the answer is not HTTP/1.1, or none came")
        if event is not h11.NEED_DATA:
            return event
        parser.receive_data(await receive_some())


async def read_body(parser: h11.Connection, receive_some: Callable[[], Awaitable[bytes]]) -> bytes:
    """Return what there is of a body, empty if it is broken or long: it only explains."""
    body = bytearray()
    with contextlib.suppress(OutcomeUnknown, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        while isinstance(event := await next_event(parser, receive_some), h11.Data):
            body += event.data
            if len(body) > REPLY_BYTES_MAX:
                return b""
    return bytes(body)


def asked(body: bytes) -> float | None:
    """The seconds a refusal's body asks to wait: Discord's `retry_after`, Telegram's `parameters.retry_after`."""
    try:
        said = json.loads(body, parse_int=float)  # a whole number too large for a float is infinite, no OverflowError
    except (ValueError, RecursionError):
        return None
    found = said.get("retry_after") if isinstance(said, dict) else None
    if found is None and isinstance(said, dict) and isinstance(said.get("parameters"), dict):
        found = said["parameters"].get("retry_after")
    return found if isinstance(found, float) and math.isfinite(found) else None
