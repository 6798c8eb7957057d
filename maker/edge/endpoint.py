"""Where the exchange is, found out once and ahead, and how to get a byte stream to it.

    endpoint = await resolve("https://api.example.com/v1", ssl_context)
    connection = await endpoint.dial()

A name is looked up here and never on the way of a request: a hung resolver must not hold up a cancel-all. Dialling
uses the addresses found, with the name in TLS (SNI and certificate) and in `Host`. Each connection owns a non-blocking
socket, so that sending needs no await; TLS goes through memory buffers (`ssl.MemoryBIO`) for the same reason. Whatever
fails or is cancelled closes its descriptor at once, not when the collector comes round.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import trio

from maker.edge.lane import Connection, NotSent
from maker.errors import ConfigError

RECEIVE_BYTES_MAX: Final = 16 * 1024  # one read; a TLS record is no larger, an answer of ours rarely
ADDRESSES_MAX: Final = 8  # of one name; every further one would only lengthen a failing dial
ADDRESS_SECONDS_MAX: Final = 1.0  # for one address while others are left; the last has what the caller allows
LOOKUP_SECONDS_MAX: Final = 2.0  # before the last good addresses are taken instead
IDLE_READS_MAX: Final = 4  # of an idle TLS connection: session tickets are two small records, then silence

# Look-ups that hang keep their thread. They must not use up the threads of the rest of the program (Trio's own
# limiter), nor grow without bound: with four hung, a fifth waits, and whoever has addresses goes on with those.
LOOKUPS: Final = trio.CapacityLimiter(4)

HOST: Final = re.compile(r"[A-Za-z0-9._:-]+")
BASE_PATH: Final = re.compile(r"(/[!-~]*)?")
PORTS: Final = {"http": 80, "https": 443}

Address = tuple[int, tuple[Any, ...]]  # family and socket address, as getaddrinfo gives them


@attrs.define(eq=False)
class Turn:
    """Which address the next dial tries first: the last that worked, else the one after the last that did not.

    One that takes connections and answers nothing does not work: without this every lane would stay with it for good.
    """

    first: int = 0
    answered: Address | None = None  # the last that answered a request: over TLS, the exchange and nobody else


@attrs.frozen
class Endpoint:
    """The exchange's place: a value, but for the memory of which address works."""

    host: str
    port: int
    tls: ssl.SSLContext | None = attrs.field(repr=False)  # None: plain HTTP
    base_path: str  # no slash at its end
    addresses: tuple[Address, ...]  # at least one, in the order of preference
    turn: Turn = attrs.field(factory=Turn, eq=False, repr=False, kw_only=True)

    @property
    def host_header(self) -> str:
        """Return what `Host` says: the name, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS["http" if self.tls is None else "https"] else f"{host}:{self.port}"

    async def dial(self) -> Connection:
        """Connect to the first address that answers, TLS included; raise `NotSent` when none does."""
        failures: list[str] = []
        first, count = self.turn.first, len(self.addresses)
        for step in range(count):
            index = (first + step) % count
            family, address = self.addresses[index]
            self.turn.first = (index + 1) % count  # should we be cancelled here, the next dial begins with another
            with trio.move_on_after(math.inf if step == count - 1 else ADDRESS_SECONDS_MAX):
                try:
                    connection = await dial_address(family, address, self.tls, self.host)
                except OSError as error:
                    failures.append(f"{address[0]}: {error}")
                    continue
                self.turn.first = index
                connection.on_settled = partial(self.learn, index)
                return connection
            failures.append(f"{address[0]}: no connection within {ADDRESS_SECONDS_MAX} s")
        raise NotSent(f"cannot connect to {self.host} port {self.port}: {'; '.join(failures)}")

    def learn(self, index: int, is_answered: bool) -> None:
        """A request there was answered or not; if not, the next dial begins after it, unless it does so by now."""
        if is_answered:
            self.turn.answered = self.addresses[index]
        elif self.turn.first == index:
            self.turn.first = (index + 1) % len(self.addresses)


async def resolve(
    base_url: str, ssl_context: ssl.SSLContext | None = None, *, last_good: Endpoint | None = None
) -> Endpoint:
    """Look up the host of `base_url`; for https without a context, trust the machine's certificate store.

    With `last_good` (of the same URL) its addresses are kept when the look-up fails or takes over LOOKUP_SECONDS_MAX;
    else the one that answered last stays behind what was found, which may be a captive portal's.
    Raises `ConfigError` for what is no base URL, `NotSent` when there is no address.
    """
    scheme, host, port, base_path = parse(base_url)
    tls = None
    if scheme == "https":
        tls = ssl_context or (last_good.tls if last_good else None) or ssl.create_default_context()
    try:
        with trio.fail_after(math.inf if last_good is None else LOOKUP_SECONDS_MAX):
            addresses = await look_up(host, port)
    except (OSError, UnicodeError, trio.TooSlowError) as error:  # Unicode: a label over 63 characters, or empty
        if last_good is None:
            raise NotSent(f"no address for {host}: {error}") from error
        addresses = last_good.addresses
    else:
        answered = last_good.turn.answered if last_good else None
        if answered is not None and answered not in addresses:
            addresses = (*addresses, answered)
    if last_good is not None and last_good.addresses == addresses:
        return attrs.evolve(last_good, tls=tls, base_path=base_path, turn=last_good.turn)
    turn = Turn(answered=last_good.turn.answered) if last_good else Turn()
    return Endpoint(host, port, tls, base_path, addresses, turn=turn)


def parse(base_url: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and path (no slash at its end); raise `ConfigError` for what is no base URL."""
    try:
        parts = urlsplit(base_url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        scheme, host, port, parts = "", "", None, urlsplit("")
    odd = parts.username is not None or parts.password is not None or parts.query or parts.fragment
    if scheme not in PORTS or odd or not HOST.fullmatch(host) or not BASE_PATH.fullmatch(parts.path):
        # the text itself is not shown: a password may have been put into it
        raise ConfigError("base_url", "is not a base URL.", "Write http(s)://host[:port][/path], nothing else.")
    return scheme, host, PORTS[scheme] if port is None else port, parts.path.rstrip("/")


async def look_up(host: str, port: int) -> tuple[Address, ...]:
    """Return a host's addresses; a literal address needs no thread. Raise `OSError` when there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await trio.to_thread.run_sync(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), abandon_on_cancel=True, limiter=LOOKUPS
        )
    return tuple((family, address) for family, _, _, _, address in found[:ADDRESSES_MAX])


async def dial_address(
    family: int, address: tuple[Any, ...], tls: ssl.SSLContext | None, host: str
) -> SocketConnection | TlsConnection:
    """Connect to one address; raise `OSError` (which includes `ssl.SSLError`). Leaves no descriptor behind."""
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain = SocketConnection(raw, trio.socket.from_stdlib_socket(raw))
        await plain.waiting.connect(address)
        if tls is None:
            return plain
        secure = TlsConnection.over(plain, tls, host)
        await secure.handshake()
        return secure
    except BaseException:
        raw.close()
        raise


@attrs.define(eq=False, repr=False)
class Asked:
    """A connection that tells whether what was sent got an answer, be it a byte, or was still waiting at the close."""

    awaits: bool = attrs.field(init=False, default=False)  # something was sent, and nothing received since
    on_settled: Callable[[bool], None] = attrs.field(init=False, default=lambda _is_answered: None)

    def settle(self, *, is_answered: bool) -> None:
        """Tell, once for what was sent."""
        if self.awaits:
            self.awaits = False
            self.on_settled(is_answered)


@attrs.define(eq=False, repr=False)
class SocketConnection(Asked):
    """A TCP connection: sends without waiting on the plain socket, waits through Trio's view of the same one."""

    raw: socket.socket
    waiting: trio.socket.SocketType
    rest: bytes = b""  # taken, not yet handed to the kernel

    def send_nowait(self, data: bytes) -> int:
        kept = len(self.rest)
        try:
            sent = self.raw.send(self.rest + data if kept else data)
        except OSError:  # the buffer is full, the peer is gone, or we have closed
            return 0
        self.rest = (self.rest + data)[sent:]
        self.awaits = True
        return max(0, sent - kept)

    async def send_rest(self) -> None:
        while self.rest:
            sent = await self.waiting.send(self.rest)
            self.rest = self.rest[sent:]

    async def receive_some(self) -> bytes:
        received = await self.waiting.recv(RECEIVE_BYTES_MAX)
        if received:
            self.settle(is_answered=True)
        return received

    def receive_nowait(self) -> bytes:
        """Return what is there, b"" at the end; raise `BlockingIOError` when nothing is, `OSError` when broken."""
        return self.raw.recv(RECEIVE_BYTES_MAX)

    def peer_closed(self) -> bool:
        try:
            self.raw.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True  # an end, or bytes nobody asked for

    def close(self) -> None:
        self.settle(is_answered=False)
        self.rest = b""
        self.waiting.close()


@attrs.define(eq=False, repr=False)
class TlsConnection(Asked):
    """TLS over a `SocketConnection` through memory buffers: encrypting waits for nobody."""

    plain: SocketConnection
    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO

    @classmethod
    def over(cls, plain: SocketConnection, context: ssl.SSLContext, host: str) -> TlsConnection:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return cls(plain, context.wrap_bio(incoming, outgoing, server_hostname=host), incoming, outgoing)

    async def handshake(self) -> None:
        """Agree on keys and check the certificate; raise `OSError` (`ssl.SSLError` among them)."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.receive_records()
            except ssl.SSLError:
                self.plain.send_nowait(self.outgoing.read())  # the alert tells the peer why
                raise
            else:
                await self.flush()
                return

    def send_nowait(self, data: bytes) -> int:
        try:
            for start in range(0, len(data), RECEIVE_BYTES_MAX):
                self.tls.write(data[start : start + RECEIVE_BYTES_MAX])  # at most one record: always whole
        except ssl.SSLError:
            return 0  # nothing is taken from `outgoing` any more: the lane closes what takes no byte
        self.awaits = True
        return self.plain.send_nowait(self.outgoing.read())

    async def send_rest(self) -> None:
        await self.plain.send_rest()

    async def receive_some(self) -> bytes:
        while True:
            try:
                received = self.tls.read(RECEIVE_BYTES_MAX)  # b"": the peer's signed end; a bare one is SSLEOFError
                if received:
                    self.settle(is_answered=True)
                return received
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                await self.receive_records()

    def peer_closed(self) -> bool:
        # Session tickets and key updates come unasked and are no data: they must pass through TLS to be told apart.
        for _ in range(IDLE_READS_MAX):
            try:
                received = self.plain.receive_nowait()
            except BlockingIOError:
                return False
            except OSError:
                return True
            if not received:
                return True
            self.incoming.write(received)
            try:
                self.tls.read(1)
            except ssl.SSLWantReadError:
                reply = self.outgoing.read()
                if reply and not self.plain.send_nowait(reply):
                    return True
            except OSError:
                return True
            else:
                return True
        return True

    def close(self) -> None:
        self.settle(is_answered=False)
        self.plain.close()

    async def receive_records(self) -> None:
        await self.flush()
        received = await self.plain.receive_some()
        if received:
            self.incoming.write(received)
        else:
            self.incoming.write_eof()

    async def flush(self) -> None:
        """Send what TLS itself has to say: handshake, alerts, key updates."""
        self.plain.rest += self.outgoing.read()
        await self.plain.send_rest()
