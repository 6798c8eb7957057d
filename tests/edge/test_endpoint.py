"""Dialling over real sockets on loopback: addresses, TLS, and descriptors that never stay behind."""

from __future__ import annotations

import contextlib
import pathlib
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from maker.edge import endpoint as endpoint_room
from maker.edge.client import Client
from maker.edge.endpoint import Endpoint, SocketConnection, TlsConnection, resolve
from maker.edge.lane import Connection, Lane, LaneState, NotSent
from maker.errors import ConfigError, OutcomeUnknown
from tests.support.wires import (
    LoopbackExchange,
    MemoryConnection,
    Script,
    answer_bytes,
    answering,
    cancelled_at_wait,
    echo_path,
    loopback,
    play,
    read_request,
    same_descriptors,
)

LOOPBACK = socket.AF_INET


def at(port: int, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(host, port, tls, "", ((LOOPBACK, ("127.0.0.1", port)),))


def lane_at(endpoint: Endpoint) -> Lane:
    return Lane("test", endpoint.dial, endpoint.host_header, {"x-api-key": "ocx_sk_canary"})


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


async def reset(stream: trio.abc.Stream) -> None:
    """End a TCP connection with RST."""
    assert isinstance(stream, trio.SocketStream)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


# -- resolving ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "host", "port", "base_path", "host_header"),
    [
        ("http://127.0.0.1:8787", "127.0.0.1", 8787, "", "127.0.0.1:8787"),
        ("http://127.0.0.1/v1/", "127.0.0.1", 80, "/v1", "127.0.0.1"),
        ("https://127.0.0.1", "127.0.0.1", 443, "", "127.0.0.1"),
        ("https://127.0.0.1:80/a/b", "127.0.0.1", 80, "/a/b", "127.0.0.1:80"),
        ("http://[::1]:9", "::1", 9, "", "[::1]:9"),
    ],
)
async def test_a_literal_address_needs_no_look_up(
    base_url: str, host: str, port: int, base_path: str, host_header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio.to_thread, "run_sync", None)
    found = await resolve(base_url)
    assert (found.host, found.port, found.base_path, found.host_header) == (host, port, base_path, host_header)
    assert found.addresses[0][1][:2] == (host, port)
    assert (found.tls is not None) == base_url.startswith("https")


async def test_a_name_is_looked_up() -> None:
    found = await resolve("http://localhost:1234")
    assert found.host_header == "localhost:1234"
    assert ("127.0.0.1", 1234) in [address for _, address in found.addresses]


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.ocx.test",
        "ftp://ocx.test",
        "http://",
        "http://user:secret@ocx.test",
        "http://ocx.test?a=b",
        "http://ocx.test#a",
        "http://ocx.test:port",
        "http://ocx.test:99999",
        "http://öcx.test",
        "http://ocx.test/a b",
        "http://[::1",
    ],
)
async def test_what_is_no_base_url_is_refused_without_showing_it(base_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await resolve(base_url)
    assert "secret" not in str(caught.value)


async def test_a_failed_look_up_keeps_the_last_good_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """NXDOMAIN or a name no resolver takes: NotSent at first, later the addresses of before."""
    good = await resolve("http://localhost:1234")

    def fail(host: str, port: int, **_: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(NotSent):
        await resolve("http://localhost:1234")
    assert await resolve("http://localhost:1234", last_good=good) == good
    monkeypatch.undo()
    with pytest.raises(NotSent):
        await resolve(f"http://{'x' * 70}.test")


async def test_a_hung_look_up_ends_with_its_deadline_and_leaves_trios_threads_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """H12: ten hung look-ups hold four threads of their own limiter, and whoever has addresses goes on with them."""
    good = await resolve("http://localhost:1234")
    hung = threading.Event()
    real = socket.getaddrinfo

    def hang(host: str, port: int, type: int = 0, flags: int = 0) -> list[Any]:  # noqa: A002
        if flags & socket.AI_NUMERICHOST:
            return list(real(host, port, type=type, flags=flags))
        hung.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "at last")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(endpoint_room, "LOOKUP_SECONDS_MAX", 0.02)
    before = trio.to_thread.current_default_thread_limiter().borrowed_tokens
    try:
        for _ in range(10):
            assert await resolve("http://localhost:1234", last_good=good) == good
        with trio.move_on_after(0.02) as scope:
            await resolve("http://localhost:1234")
        assert scope.cancelled_caught
        assert endpoint_room.LOOKUPS.borrowed_tokens == 4
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == before
    finally:
        hung.set()
        while endpoint_room.LOOKUPS.borrowed_tokens:
            await trio.sleep(0.001)


async def test_the_address_that_answered_last_stays_behind_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A captive portal or a split name service answers too. What it names is tried, and what is proven is not lost."""
    found = ["good", "other"]

    async def look_up(_host: str, port: int) -> tuple[tuple[int, tuple[Any, ...]], ...]:
        return tuple((LOOPBACK, (name, port)) for name in found)

    async def dial_address(family: int, address: tuple[Any, ...], tls: object, host: str) -> Connection:
        if address[0] == "portal":
            raise OSError("the certificate is another name's")
        return await connect(LOOPBACK, ("127.0.0.1", exchange.port), None, host)

    connect = endpoint_room.dial_address
    monkeypatch.setattr(endpoint_room, "look_up", look_up)
    monkeypatch.setattr(endpoint_room, "dial_address", dial_address)

    async def again(endpoint: Endpoint) -> Endpoint:
        """Look up once more; a call must be answered."""
        endpoint = await resolve("http://ocx.test:1", last_good=endpoint)
        lane = lane_at(endpoint)
        assert (await lane.call("GET", "/1")).status == 200
        lane.close()
        return endpoint

    def names(endpoint: Endpoint) -> list[str]:
        return [address[0] for _, address in endpoint.addresses]

    async with loopback(echo_path) as exchange:
        endpoint = await resolve("http://ocx.test:1")
        found[:] = ["third"]
        endpoint = await resolve("http://ocx.test:1", last_good=endpoint)
        assert names(endpoint) == ["third"], "nothing is proven yet"
        found[:] = ["good", "other"]
        endpoint = await again(endpoint)
        assert names(endpoint) == ["good", "other"]
        found[:] = ["portal"]
        for _ in range(3):
            endpoint = await again(endpoint)
            assert names(endpoint) == ["portal", "good"]
        assert endpoint.turn.first == 1
        found[:] = ["moved"]
        endpoint = await again(endpoint)
        assert names(endpoint) == ["moved", "good"], "a name that leads elsewhere is followed"
        endpoint = await again(endpoint)
        assert names(endpoint) == ["moved"], "and what is proven there takes the place of the old"


# -- dialling -----------------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_not_sent() -> None:
    async with same_descriptors():
        with pytest.raises(NotSent) as caught:
            await lane_at(at(unused_port())).call("POST", "/")
        assert "refused" in str(caught.value)


async def test_every_address_is_tried_and_the_good_one_remembered() -> None:
    async with loopback(echo_path) as exchange:
        addresses = [(LOOPBACK, ("127.0.0.1", port)) for port in (unused_port(), exchange.port, unused_port())]
        endpoint = Endpoint("ocx.test", exchange.port, None, "", tuple(addresses))
        async with same_descriptors():
            (await endpoint.dial()).close()
            assert endpoint.turn.first == 1
            (await endpoint.dial()).close()
            assert endpoint.turn.first == 1


async def test_an_address_that_does_not_answer_is_passed_over(autojump_clock: trio.testing.MockClock) -> None:
    """F2: a black hole costs ADDRESS_SECONDS_MAX once; cancelled in it, the next dial begins elsewhere."""
    calls: list[str] = []
    good = MemoryConnection()

    async def dial_address(family: int, address: tuple[Any, ...], tls: object, host: str) -> MemoryConnection:
        calls.append(address[0])
        if address[0] == "hole":
            await trio.sleep_forever()
        return good

    endpoint = Endpoint("ocx.test", 1, None, "", ((LOOPBACK, ("hole", 1)), (LOOPBACK, ("good", 1))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoint_room, "dial_address", dial_address)
        start = trio.current_time()
        assert await endpoint.dial() is good
        assert trio.current_time() - start == pytest.approx(endpoint_room.ADDRESS_SECONDS_MAX)
        assert await endpoint.dial() is good
        assert calls == ["hole", "good", "good"]
        endpoint.turn.first = 0
        with trio.move_on_after(0.5):
            await endpoint.dial()
        assert await endpoint.dial() is good
        assert calls == ["hole", "good", "good", "hole", "good"]


@pytest.mark.parametrize("end", ["ends it", "is given up"])
@pytest.mark.parametrize("way", ["lane", "lane over TLS", "read"])
async def test_an_address_that_connects_and_leaves_a_request_unanswered_is_not_tried_first_again(
    way: str, end: str, certificates: Certificates
) -> None:
    """To be connected is not to be answered. Session tickets of TLS are no answer; an only address stays the first."""
    asked = trio.Event()

    async def mute(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        asked.set()
        if end == "is given up":
            await trio.sleep_forever()

    encrypted = way == "lane over TLS"
    serve = partial(tls_loopback, certificates) if encrypted else loopback
    tls = certificates.client if encrypted else None
    async with serve(mute) as silent, serve(echo_path) as good:
        addresses = tuple((LOOPBACK, ("127.0.0.1", one.port)) for one in (silent, good))

        async def ask(endpoint: Endpoint) -> bytes:
            nonlocal asked
            asked, body = trio.Event(), b""
            lane, client = lane_at(endpoint), Client("http://ocx.test", {}, None, dial=endpoint.dial)

            async def give_up() -> None:
                await asked.wait()
                if end == "is given up":
                    nursery.cancel_scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(give_up)
                with contextlib.suppress(OutcomeUnknown):
                    body = (await (client.get("/1") if way == "read" else lane.call("GET", "/1"))).body
                nursery.cancel_scope.cancel()
            lane.close()
            await client.aclose()
            return body

        endpoint = Endpoint("ocx.test", good.port, tls, "", addresses)
        assert [await ask(endpoint) for _ in range(3)] == [b"", b"/1", b"/1"]
        assert silent.accepted == 1
        alone = Endpoint("ocx.test", silent.port, tls, "", addresses[:1])
        assert [await ask(alone) for _ in range(2)] == [b"", b""]
        assert alone.turn.first == 0


async def test_an_address_is_left_for_its_own_silence_alone() -> None:
    """Unused, answered, or closed after another dial has moved on: none of these says anything against the first."""
    async with loopback(echo_path) as exchange:
        endpoint = Endpoint("ocx.test", 1, None, "", ((LOOPBACK, ("127.0.0.1", exchange.port)),) * 2)
        lane = lane_at(endpoint)
        await lane.connect()
        lane.close()
        await lane.call("GET", "/1")
        lane.close()
        assert endpoint.turn.first == 0
        await lane.connect()
        other = lane_at(endpoint)
        await other.connect()
        for one in (lane, other):
            assert one.send_nowait("GET", "/2")
        for one in (lane, other):
            one.close()
            assert endpoint.turn.first == 1


async def test_a_full_descriptor_table_stops_new_connections_but_not_a_warm_one() -> None:
    """H14: EMFILE is NotSent; a lane that is connected already does not notice."""
    async with loopback(echo_path) as exchange:
        warm, cold = lane_at(at(exchange.port)), lane_at(at(exchange.port))
        await warm.call("GET", "/1")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = socket.socket()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno() + 1, hard))
            with pytest.raises(NotSent):
                await cold.call("GET", "/2")
            assert (await warm.call("GET", "/3")).body == b"/3"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            lowest_free.close()
            warm.close()


# -- plain sockets ------------------------------------------------------------------------------------------------


async def test_a_lane_over_a_real_socket() -> None:
    """Keep-alive, Nagle off, a body larger than the kernel takes at once, closed without a trace."""
    async with loopback(echo_path) as exchange:
        async with same_descriptors():
            lane = lane_at(at(exchange.port))
            for n in range(20):
                assert (await lane.call("POST", f"/{n}", b"x")).body == f"/{n}".encode()
            assert exchange.accepted == 1
            connection = lane.connection
            assert isinstance(connection, SocketConnection)
            assert connection.raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            request = lane.build("POST", "/large", b"x" * 200_000)
            assert lane.send_bytes_nowait(request)
            assert connection.rest
            assert (await lane.answer()).body == b"/large"
            lane.close()


@pytest.mark.parametrize("when", ["at once", "on the request", "in the head", "in the body"])
async def test_a_reset_leaves_the_outcome_unknown(when: str) -> None:
    """F4, F5: RST at any point, and the next call connects again. Before the request it may also be NotSent."""
    played = 0

    async def script(stream: trio.abc.Stream) -> None:
        nonlocal played
        played += 1
        if played > 1:
            return await echo_path(stream)
        if when != "at once":
            await read_request(stream)
        if when == "in the head":
            await stream.send_all(b"HTTP/1.1 200")
        if when == "in the body":
            await stream.send_all(answer_bytes(200, b"x" * 100)[:-50])
        return await reset(stream)

    async with loopback(script) as exchange:
        async with same_descriptors():
            lane = lane_at(at(exchange.port))
            with pytest.raises((OutcomeUnknown, NotSent) if when == "at once" else OutcomeUnknown):
                await lane.call("POST", "/")
            assert lane.state is LaneState.CLOSED
            assert (await lane.call("POST", "/again")).body == b"/again"
            lane.close()


@pytest.mark.parametrize("ends_with", ["FIN", "RST"])
async def test_an_end_on_the_idle_connection_is_seen_before_the_next_request(ends_with: str) -> None:
    """H9, F15 on real sockets: noticed without sending."""

    async def script(stream: trio.abc.Stream) -> None:
        request = await read_request(stream)
        await stream.send_all(answer_bytes(200, request.split(b" ", 2)[1]))
        if ends_with == "RST":
            await reset(stream)

    async with loopback(script) as exchange:
        lane = lane_at(at(exchange.port))
        for n in range(3):
            assert (await lane.call("GET", f"/{n}")).body == f"/{n}".encode()
            while exchange.open_connections or lane.ready:
                await trio.lowlevel.checkpoint()
        assert exchange.accepted == 3
        lane.close()


async def test_cancelled_at_every_step_over_a_real_socket() -> None:
    """Cold and warm: closed or at the start of a new answer, and no descriptor more."""
    async with loopback(echo_path) as exchange:
        async with same_descriptors():
            for warm in (False, True):
                step, cancelled = 0, True
                while cancelled:
                    lane = lane_at(at(exchange.port))
                    if warm:
                        await lane.call("GET", "/warm")
                    cancelled = await cancelled_at_wait(step, lambda: lane.call("POST", "/first"))  # noqa: B023
                    assert (await lane.call("POST", "/second")).body == b"/second"
                    lane.close()
                    step += 1
                assert step >= 2 + (not warm)


# -- TLS ----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Certificates:
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate authority of our own and a server's certificate for ocx.test."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command to make a certificate with")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    run("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=ocx.test")
    pathlib.Path(folder, "names").write_text("subjectAltName=DNS:ocx.test\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    run("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signed)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key")
    return Certificates(server, ssl.create_default_context(cafile=str(folder / "ca.pem")))


@asynccontextmanager
async def tls_loopback(certificates: Certificates, script: Script) -> AsyncIterator[LoopbackExchange]:
    async def over_tls(stream: trio.abc.Stream) -> None:
        await play(script, trio.SSLStream(stream, certificates.server, server_side=True, https_compatible=True))

    async with loopback(over_tls) as exchange:
        yield exchange


async def test_a_lane_over_tls(certificates: Certificates) -> None:
    """By address with the name checked, the synchronous door and a request larger than the kernel takes at once."""
    async with tls_loopback(certificates, echo_path) as exchange:
        async with same_descriptors():
            endpoint = at(exchange.port, certificates.client, "ocx.test")
            lane = lane_at(endpoint)
            await lane.connect()
            connection = lane.connection
            assert isinstance(connection, TlsConnection)
            assert lane.ready
            assert lane.send_nowait("POST", "/sync", b"{}")
            assert (await lane.answer()).body == b"/sync"
            for n in range(20):
                assert (await lane.call("POST", f"/{n}", b"x")).body == f"/{n}".encode()
            large = b"x" * 200_000
            assert (await lane.call("POST", "/large", large)).body == b"/large"
            connection.plain.raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            assert lane.send_nowait("POST", "/slowly", large)
            assert connection.plain.rest
            assert (await lane.answer()).body == b"/slowly"
            assert exchange.accepted == 1
            lane.close()


async def test_session_tickets_on_the_idle_connection_are_not_its_end(certificates: Certificates) -> None:
    """A server of OpenSSL's own sends two with the end of the handshake; Trio's holds them back."""

    def serve(listener: socket.socket) -> None:
        with listener, certificates.server.wrap_socket(listener.accept()[0], server_side=True) as stream:
            stream.recv(65536)
            stream.sendall(answer_bytes(200, b"x"))

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    lane = lane_at(at(listener.getsockname()[1], certificates.client, "ocx.test"))
    await lane.connect()
    connection = lane.connection
    assert isinstance(connection, TlsConnection)
    await trio.lowlevel.wait_readable(connection.plain.raw)
    assert lane.ready
    with pytest.raises(BlockingIOError):
        connection.plain.receive_nowait()  # they were there, and are read
    assert (await lane.call("GET", "/")).body == b"x"
    assert lane.statistics().connects == 1
    while lane.statistics().state is LaneState.IDLE and not connection.peer_closed():
        await trio.lowlevel.checkpoint()
    thread.join()
    lane.close()


async def test_a_tls_end_on_the_idle_connection_is_seen(certificates: Certificates) -> None:
    """With close_notify or without, tickets before it or not."""
    for script in (answering(answer_bytes(200, b"x")), unsigned_end):
        async with tls_loopback(certificates, script) as exchange:
            lane = lane_at(at(exchange.port, certificates.client, "ocx.test"))
            for _ in range(2):
                assert (await lane.call("GET", "/")).body == b"x"
                while lane.ready:
                    await trio.lowlevel.checkpoint()
            assert exchange.accepted == 2
            lane.close()


async def unsigned_end(stream: trio.abc.Stream) -> None:
    await read_request(stream)
    await stream.send_all(answer_bytes(200, b"x"))
    assert isinstance(stream, trio.SSLStream)
    await stream.transport_stream.aclose()


async def test_a_tls_stream_cut_in_the_answer_leaves_the_outcome_unknown(certificates: Certificates) -> None:
    async def script(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.send_all(answer_bytes(200, b"x" * 100)[:-50])
        assert isinstance(stream, trio.SSLStream)
        await stream.transport_stream.aclose()

    async with tls_loopback(certificates, script) as exchange:
        with pytest.raises(OutcomeUnknown):
            await lane_at(at(exchange.port, certificates.client, "ocx.test")).call("POST", "/")


@pytest.mark.parametrize("fault", ["unknown authority", "another name", "no TLS", "ends in the handshake"])
async def test_a_handshake_that_fails_sends_nothing(certificates: Certificates, fault: str) -> None:
    """F3: NotSent, and not a descriptor left."""
    context = ssl.create_default_context() if fault == "unknown authority" else certificates.client
    name = "evil.test" if fault == "another name" else "ocx.test"

    async def plain(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def ending(stream: trio.abc.Stream) -> None:
        await stream.receive_some()

    async def failing(stream: trio.abc.Stream) -> None:
        server = trio.SSLStream(stream, certificates.server, server_side=True)
        with pytest.raises(trio.BrokenResourceError):
            await server.do_handshake()

    script = {"no TLS": plain, "ends in the handshake": ending}.get(fault, failing)
    async with loopback(script) as exchange:
        async with same_descriptors():
            with pytest.raises(NotSent):
                await lane_at(at(exchange.port, context, name)).call("POST", "/")


async def test_cancelled_handshakes_leave_no_descriptor(certificates: Certificates) -> None:
    """H11: a silent server, 200 handshakes cancelled in the middle, then one at every step of a whole call."""

    async def silent(stream: trio.abc.Stream) -> None:
        while await stream.receive_some():
            pass

    async with loopback(silent) as exchange:
        lane = lane_at(at(exchange.port, certificates.client, "ocx.test"))
        async with same_descriptors():
            for n in range(200):
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(lane.connect)
                        while exchange.accepted <= n:
                            await trio.lowlevel.checkpoint()
                        scope.cancel()
                assert lane.state is LaneState.CLOSED

    async with tls_loopback(certificates, echo_path) as exchange:
        async with same_descriptors():
            step, cancelled = 0, True
            while cancelled:
                lane = lane_at(at(exchange.port, certificates.client, "ocx.test"))
                cancelled = await cancelled_at_wait(step, lambda: lane.call("POST", "/first"))  # noqa: B023
                assert (await lane.call("POST", "/second")).body == b"/second"
                lane.close()
                step += 1
            assert step > 5


async def test_reads_and_streams_go_over_the_same_tls(certificates: Certificates) -> None:
    """httpx asks for TLS on what is TLS already; a cancelled handshake of its own leaves no descriptor either."""
    async with tls_loopback(certificates, echo_path) as exchange:
        endpoint = at(exchange.port, certificates.client, "ocx.test")
        client = Client("https://ocx.test", {}, certificates.client, dial=endpoint.dial)
        async with same_descriptors():
            for n in range(5):
                assert (await client.get(f"/{n}")).body == f"/{n}".encode()
            assert exchange.accepted == 1
            async with client.stream("/stream") as events:
                assert await events.receive_some() == b"/stream"
            await client.aclose()
            wait, cancelled = 0, True
            while cancelled:
                cancelled = await cancelled_at_wait(wait, lambda: client.get("/first"))
                await client.aclose()
                wait += 1
            assert wait > 5


def test_the_connections_show_nothing(certificates: Certificates) -> None:
    """Their reprs are the plain ones of any object: what they hold back may be a request."""
    shown: list[Callable[[object], str]] = [SocketConnection.__repr__, TlsConnection.__repr__]
    assert all(show is object.__repr__ for show in shown)
    assert "SSLContext" not in repr(at(1, certificates.client))
