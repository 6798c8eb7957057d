"""The venue over in-memory streams and one real socket: what the literal transcripts cannot show."""

from __future__ import annotations

import contextlib
import itertools
import json
import ssl
from decimal import Decimal
from functools import partial
from pathlib import Path

import attrs
import httpx
import pytest
import trio
import trio.testing
import trio_websocket

from maker.paper.reference_venues import ReferenceVenue
from maker.paper.switches import RATE_LIMIT_RESETS, Switches
from maker.paper.venue import VenuePorts, VenueSettings, log_failure, open_venue, run_venue
from tests.golden.transcript import START_MS
from tests.paper.venue_kit import READ, TRADE, ladder, read_answer, record_lines, request_bytes, running_venue

BID = ("buy", "59990", "0.01")
ASK = ("sell", "60010", "0.01")


# -- requests -----------------------------------------------------------------------------------------------------


async def test_one_connection_carries_many_requests(autojump_clock: trio.testing.MockClock) -> None:
    """Requests sent ahead on one connection are answered in order, dated by the venue's clock."""
    async with running_venue() as client, client.connect() as connection:
        await connection.send_all(
            request_bytes("GET", "/perps/orders", READ, b"")
            + request_bytes("POST", "/perps/quotes/bulk", TRADE, json.dumps(ladder("q1", BID, ASK)).encode())
            + request_bytes("GET", "/perps/orders", {**READ, "Connection": "close"}, b"")
        )
        data = b""
        while piece := bytes(await connection.receive_some(65536)):
            data += piece
        answers = data.split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert len(answers) == 3
        assert all(answer.startswith(b"Date: Sun, 22 Nov 2026 06:58:39 GMT\r\n") for answer in answers)
        assert answers[0].endswith(b'{"orders":[]}')
        assert answers[2].count(b'"status":"open"') == 2


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "MALFORMED_REQUEST"),
        (b"GET /perps/markets HTTP/1.1\r\n\r\n", 400, "MALFORMED_REQUEST"),
        (b"POST /perps/orders HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n", 413, "BODY_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431, "HEAD_TOO_LARGE"),
        (b"GET /perps/mark", 408, "REQUEST_TIMEOUT"),
        (b"", 408, "REQUEST_TIMEOUT"),
    ],
)
async def test_malformed_requests_end_their_own_connection(
    data: bytes, status: int, code: str, autojump_clock: trio.testing.MockClock
) -> None:
    """What is no request is refused in the exchange's own form, and the next connection is served."""
    async with running_venue() as client:
        async with client.connect() as connection:
            if data:
                await connection.send_all(data)
            answer = await read_answer(connection)
            assert (answer.status, answer.code) == (status, code)
            assert await connection.receive_some() == b""
        assert (await client.get("/perps/markets")).status == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "BREW"])
async def test_unknown_methods(method: str, autojump_clock: trio.testing.MockClock) -> None:
    """A method that a known path does not have is 405, and a HEAD answer has no body."""
    async with running_venue() as client:
        answer = await client.call(method, "/perps/markets")
        assert answer.status == 405
        assert answer.headers["allow"] == "GET"
        assert (answer.body == b"") is (method == "HEAD")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/perps/me/api-keys", "GET, POST"),
        ("GET", "/perps/me/api-keys/ocx_kid_1", "DELETE"),
        ("POST", "/perps/me/api-keys/ocx_kid_1", "DELETE"),
    ],
)
async def test_key_management_has_its_methods_with_and_without_an_id(
    method: str, path: str, allowed: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Keys are listed and made without an id and deleted by one; anything else is 405, whoever asks."""
    async with running_venue() as client:
        for headers in ({}, TRADE):
            answer = await client.call(method, path, headers=headers)
            assert (answer.status, answer.code, answer.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", allowed)
        for known in allowed.split(", "):
            answer = await client.call(known, path, headers=TRADE)
            assert (answer.status, answer.code) == (401, "SESSION_REQUIRED")


@pytest.mark.parametrize("path", ["/perps/positions", "/perps/orders", "/perps/trades"])
async def test_reads_of_an_account_know_their_markets(path: str, autojump_clock: trio.testing.MockClock) -> None:
    """A market that does not exist is 404, never an account with nothing in it; one that exists is answered."""
    async with running_venue() as client:
        answer = await client.get(f"{path}?marketId=NOPE", READ)
        assert (answer.status, answer.code) == (404, "MARKET_NOT_FOUND")
        assert (await client.get(f"{path}?marketId=BTC-PERP", READ)).status == 200


@pytest.mark.parametrize("market_id", ["BTC-PERP", "ETH-PERP", "SOL-PERP"])
async def test_minimum_that_the_listing_states(market_id: str, autojump_clock: trio.testing.MockClock) -> None:
    """One step under the minimum lies on the grid and is refused by name, alone and in a ladder; the minimum rests."""
    async with running_venue() as client:
        (row,) = [row for row in (await client.get("/perps/markets")).json if row["id"] == market_id]
        minimum, under = row["minQuantity"], str(Decimal(row["minQuantity"]) - Decimal(row["stepSize"]))
        order = {"marketId": market_id, "side": "buy", "type": "limit", "price": row["priceBandLow"]}
        for path, body in (
            ("/perps/orders", {**order, "quantity": under}),
            ("/perps/quotes/bulk", ladder("q1", ("buy", row["priceBandLow"], under), market_id=market_id)),
        ):
            refused = await client.post(path, body)
            assert (refused.status, refused.code) == (422, "BELOW_MINIMUM")
            assert refused.json["message"].endswith(f"is below {minimum}")
        assert (await client.get("/perps/orders", READ)).json["orders"] == []
        placed = await client.post("/perps/orders", {**order, "quantity": minimum})
        assert (placed.status, placed.json["remainingQuantity"]) == (200, minimum)


async def test_deeply_nested_body(autojump_clock: trio.testing.MockClock) -> None:
    """A body made to exhaust the parser is malformed, no more."""
    body = b'{"marketId":"BTC-PERP","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    async with running_venue() as client:
        answer = await client.post("/perps/orders", body)
        assert (answer.status, answer.code) == (400, "INVALID_BODY")


async def test_pinned_address(autojump_clock: trio.testing.MockClock) -> None:
    """A key pinned to other addresses is refused, and works from its own."""
    async with running_venue() as client:
        exchange = client.venue.keeper.place.exchange
        now_ms = client.venue.keeper.now_ms()
        exchange.add_key(
            exchange.user_id,
            "ocx_sk_pinned",
            name="pinned",
            scope="read",
            now_ms=now_ms,
            allowed_addresses=("192.0.2.7",),
            expires_ms=now_ms + 60_000,
        )
        pinned = {"x-api-key": "ocx_sk_pinned"}
        elsewhere = await client.call("GET", "/perps/positions", headers=pinned)
        assert (elsewhere.status, elsewhere.code) == (403, "IP_NOT_ALLOWED")
        assert (await client.call("GET", "/perps/positions", headers=pinned, peer="192.0.2.7")).status == 200
        await trio.sleep(60)
        late = await client.call("GET", "/perps/positions", headers=pinned, peer="192.0.2.7")
        assert (late.status, late.code) == (401, "KEY_EXPIRED")


# -- rate limit ---------------------------------------------------------------------------------------------------


async def test_every_order_path_call_counts_and_nothing_else(autojump_clock: trio.testing.MockClock) -> None:
    """Each call of the order path costs one; previews, reads and transfers cost nothing and carry no such header."""
    async with running_venue() as client:
        order_path = [
            "/perps/quotes/bulk",
            "/perps/quotes",
            "/perps/orders",
            "/perps/orders/01X/cancel",
            "/perps/orders/01X/modify",
            "/perps/orders/cancel-all",
            "/perps/positions/close",
        ]
        for number, path in enumerate(order_path, 1):
            answer = await client.post(path, {})
            assert answer.headers["x-ratelimit-remaining"] == str(120 - number), path
        for answer in (
            await client.post("/perps/orders/preview", {}),
            await client.post("/wallet/transfer", {}),
            await client.get("/perps/orders", READ),
        ):
            assert "x-ratelimit-limit" not in answer.headers
        refused = await client.post("/perps/orders/cancel-all", b"", READ)
        assert refused.status == 403
        assert "x-ratelimit-limit" not in refused.headers
        last = await client.post("/perps/orders/cancel-all")
        assert last.headers["x-ratelimit-remaining"] == "112"


@pytest.mark.parametrize("unit", RATE_LIMIT_RESETS)
async def test_reset_in_each_unit(unit: str, autojump_clock: trio.testing.MockClock) -> None:
    """The reset header says the same instant in whichever unit, never too early."""
    settings = VenueSettings(preset="still", switches=Switches(rate_limit_reset=unit), rate_limit_per_minute=1)
    async with running_venue(settings) as client:
        await client.post("/perps/orders/cancel-all")
        await trio.sleep(12.3)
        answer = await client.post("/perps/orders/cancel-all")
        end_ms = START_MS + 60_000
        expected = {"seconds": "48", "unix": str(-(-end_ms // 1000)), "unix_ms": str(end_ms)}
        assert answer.status == 429
        assert answer.headers["x-ratelimit-reset"] == expected[unit]
        assert answer.headers["retry-after"] == "48"
        assert answer.json["retryAfterMs"] == 47_700
        await trio.sleep(answer.json["retryAfterMs"] / 1000)
        assert (await client.post("/perps/orders/cancel-all")).status == 200


# -- switches that the venue itself carries out -------------------------------------------------------------------


@pytest.mark.parametrize("position", ["after", "before"])
async def test_cancel_all_answer(position: str, autojump_clock: trio.testing.MockClock) -> None:
    """With "before" the answer counts orders that a read right after it still shows, and that then go."""
    settings = VenueSettings(preset="still", switches=Switches(cancel_all_answer=position))
    async with running_venue(settings) as client:
        await client.post("/perps/quotes/bulk", ladder("q1", BID, ASK))
        assert (await client.post("/perps/orders/cancel-all")).json == {"cancelled": 2}
        resting = (await client.get("/perps/orders", READ)).json["orders"]
        assert len(resting) == (0 if position == "after" else 2)
        await client.post("/perps/quotes/bulk", ladder("q2", BID, cancelAll=False))
        await trio.sleep(0.2)
        resting = (await client.get("/perps/orders", READ)).json["orders"]
        # A delayed cancel-all takes what rests when it has its effect: a ladder sent after its answer goes too.
        assert len(resting) == (1 if position == "after" else 0)


async def test_delayed_cancel_all_keeps_its_scope(autojump_clock: trio.testing.MockClock) -> None:
    """A delayed cancel-all of one market leaves the others alone."""
    settings = VenueSettings(preset="still", switches=Switches(cancel_all_answer="before"))
    async with running_venue(settings) as client:
        await client.post("/perps/quotes/bulk", ladder("q1", BID))
        await client.post("/perps/quotes/bulk", ladder("q2", ("buy", "2999", "0.1"), market_id="ETH-PERP"))
        await client.post("/perps/orders/cancel-all", {"marketId": "ETH-PERP"})
        await trio.sleep(0.2)
        (resting,) = (await client.get("/perps/orders", READ)).json["orders"]
        assert resting["marketId"] == "BTC-PERP"


@pytest.mark.parametrize(
    ("position", "status", "statuses"),
    [("refuse", 409, None), ("replay", 200, ["open"]), ("accept", 200, ["open"])],
)
async def test_repeated_quote_id(
    position: str, status: int, statuses: list[str] | None, autojump_clock: trio.testing.MockClock
) -> None:
    """A quoteId sent twice is refused, answered again without effect, or taken as new."""
    settings = VenueSettings(preset="still", switches=Switches(repeated_quote_id=position))
    async with running_venue(settings) as client:
        first = (await client.post("/perps/quotes/bulk", ladder("q1", BID))).json
        body = ladder("q1", BID)
        body["quotes"][0]["clientOrderId"] = "another"
        second = await client.post("/perps/quotes/bulk", body)
        assert second.status == status
        if statuses is not None:
            assert [row["status"] for row in second.json["orders"]] == statuses
            same = second.json["orders"][0]["id"] == first["orders"][0]["id"]
            assert same is (position == "replay")
        (resting,) = (await client.get("/perps/orders", READ)).json["orders"]
        assert resting["clientOrderId"] == ("another" if position == "accept" else "q1-0")


@pytest.mark.parametrize(
    ("switches", "status", "statuses", "resting"),
    [
        (Switches(), 422, None, ["q1-0"]),
        (Switches(margin_refusal="cancels_first"), 422, None, []),
        (Switches(margin_refusal="partial"), 200, ["open", "rejected"], ["q2-0"]),
    ],
)
async def test_margin_refusals(
    switches: Switches,
    status: int,
    statuses: list[str] | None,
    resting: list[str],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A ladder the margin gate refuses: nothing changes, the old one is gone, or what fits is placed."""
    async with running_venue(VenueSettings(preset="still", switches=switches)) as client:
        await client.post("/perps/quotes/bulk", ladder("q1", BID))
        answer = await client.post("/perps/quotes/bulk", ladder("q2", BID, ("buy", "59980", "90")))
        assert answer.status == status
        if statuses is None:
            assert answer.code == "INSUFFICIENT_MARGIN"
        else:
            assert [row["status"] for row in answer.json["orders"]] == statuses
            assert answer.json["orders"][1]["code"] == "INSUFFICIENT_MARGIN"
            assert answer.json["orders"][1]["id"] is None
        found = (await client.get("/perps/orders", READ)).json["orders"]
        assert [row["clientOrderId"] for row in found] == resting


# -- the record ---------------------------------------------------------------------------------------------------


async def test_record_of_requests(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Each request is recorded when it began, had its effect and was answered, its changes between, never a secret."""
    path = tmp_path / "record.jsonl"
    async with running_venue(VenueSettings(preset="still", record=path)) as client:
        await client.post("/perps/quotes/bulk", ladder("q1", BID))
        await trio.sleep(1)
        client.crowd("sell", "BTC-PERP", "59990", "0.004", "ioc")
        await client.post("/perps/orders/cancel-all")
        await client.get("/perps/orders")
    lines = record_lines(path)
    told = [
        (line["kind"], line.get("phase") or line.get("action"), line.get("status") or line.get("reason"))
        for line in lines
        if line["kind"] != "sample"
    ]
    assert told == [
        ("start", None, None),
        ("request", "begin", None),
        ("order", "placed", None),
        ("request", "apply", 200),
        ("request", "ack", None),
        ("trade", None, None),
        ("order", "reduced", "filled"),
        ("request", "begin", None),
        ("order", "removed", "cancelled"),
        ("request", "apply", 200),
        ("request", "ack", None),
        ("request", "begin", None),
        ("request", "apply", 401),
        ("request", "ack", None),
        ("stop", None, None),
    ]
    assert all({"t", "mono", "kind"} <= set(line) for line in lines)
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)
    begin, placed, applied = (line for line in lines if line.get("request") == 1 and line.get("phase") != "ack")
    assert begin["path"] == "/perps/quotes/bulk"
    assert begin["request"] == placed["request"] == applied["request"] == 1
    assert json.loads(applied["body"]) == ladder("q1", BID)
    assert (placed["price"], placed["remaining"], placed["clientOrderId"]) == ("59990.0", "0.0100", "q1-0")
    trade = next(line for line in lines if line["kind"] == "trade")
    assert "request" not in trade
    assert "ocx_sk" not in path.read_text(encoding="utf-8")


async def test_record_of_samples(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Prices are sampled when they change, at most ten times a second, each traded market alone."""
    path = tmp_path / "record.jsonl"
    async with running_venue(VenueSettings(preset="busy", record=path)):
        await trio.sleep(10)
    samples = [line for line in record_lines(path) if line["kind"] == "sample"]
    assert {line["marketId"] for line in samples} == {"BTC-PERP", "ETH-PERP", "SOL-PERP"}
    for market_id in ("BTC-PERP", "ETH-PERP", "SOL-PERP"):
        own = [line for line in samples if line["marketId"] == market_id]
        assert 50 < len(own) <= 101
        prices = [{name: line[name] for name in ("bid", "ask", "mid", "mark", "index")} for line in own]
        assert all(before != after for before, after in itertools.pairwise(prices))
        assert all(isinstance(value, str) for each in prices for value in each.values())


async def test_unanswered_request_has_no_ack(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """A client that leaves before its answer: the order rests, and the record shows no acknowledgement."""
    path = tmp_path / "record.jsonl"
    async with running_venue(VenueSettings(preset="still", record=path)) as client:
        connection = client.connect()
        body = json.dumps(ladder("q1", BID)).encode()
        await connection.send_all(request_bytes("POST", "/perps/quotes/bulk", TRADE, body))
        await trio.aclose_forcefully(connection)
        await trio.sleep(1)
        assert len((await client.get("/perps/orders", READ)).json["orders"]) == 1
    first = [line["phase"] for line in record_lines(path) if line.get("request") == 1 and "phase" in line]
    assert first == ["begin", "apply"]


async def test_record_of_a_stream(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """An event stream begins, opens and ends in the record."""
    path = tmp_path / "record.jsonl"
    async with running_venue(VenueSettings(preset="still", record=path)) as client:
        stream = await client.stream("/perps/book-stream?marketId=BTC-PERP")
        await trio.sleep(3)
        await stream.close()
        await trio.sleep(1)
    phases = {line["phase"]: line["t"] for line in record_lines(path) if line["kind"] == "request"}
    assert list(phases) == ["begin", "apply", "end"]
    assert phases["end"] - phases["apply"] == pytest.approx(3000, abs=10)


# -- time ---------------------------------------------------------------------------------------------------------


async def test_steps_keep_time(autojump_clock: trio.testing.MockClock) -> None:
    """A step is made every 50 ms, whoever asks, and funding comes on its boundary."""
    async with running_venue(VenueSettings(preset="normal")) as client:
        await trio.sleep(10.01)
        assert client.venue.keeper.place.steps == 201
        stats = (await client.get("/perps/market-stats?marketId=BTC-PERP")).json
        assert stats["nextFundingAt"] == "2026-11-22T07:00:00.000Z"
        await trio.sleep(80)
        stats = (await client.get("/perps/market-stats?marketId=BTC-PERP")).json
        assert stats["nextFundingAt"] == "2026-11-22T07:05:00.000Z"


async def test_one_seed_one_history(autojump_clock: trio.testing.MockClock) -> None:
    """Two venues with one seed show the same market, whatever is read from them; another seed shows another."""
    shown = []
    for seed, reads in ((7, 0), (7, 5), (8, 0)):
        async with running_venue(VenueSettings(preset="busy", seed=seed)) as client:
            for _ in range(reads):
                await trio.sleep(1.234)
                await client.get("/perps/market-stats")
            await trio.sleep_until(60 + trio.current_time() - reads * 1.234)
            book = (await client.get("/perps/orderbook/BTC-PERP?depth=250")).json
            shown.append((book["bids"], book["asks"], client.venue.keeper.place.exchange.trade_count("BTC-PERP")))
    assert shown[0] == shown[1]
    assert shown[0] != shown[2]


# -- sockets ------------------------------------------------------------------------------------------------------


async def started(nursery: trio.Nursery, settings: VenueSettings) -> VenuePorts:
    ports: VenuePorts = await nursery.start(partial(run_venue, settings))
    return ports


class TestOverSockets:
    """The real thing, in wall time."""

    async def test_whole_venue(self, tmp_path: Path) -> None:
        """Calls, an event stream and the reference feed over sockets; a restart on the same ports goes on at once."""
        settings = VenueSettings(port=0, preset="busy", state=tmp_path / "state", record=tmp_path / "record.jsonl")
        settings = attrs.evolve(settings, references=(ReferenceVenue(name="beta", offset_bps=Decimal(100)),))
        with trio.fail_after(20):
            for run in range(2):
                async with trio.open_nursery() as nursery:
                    ports = await started(nursery, settings)
                    settings = attrs.evolve(settings, port=ports.http, reference_port=ports.reference)
                    base_url = f"http://127.0.0.1:{ports.http}"
                    async with httpx.AsyncClient(base_url=base_url, headers=TRADE) as client:
                        if run == 0:
                            index = (await client.get("/perps/market-stats?marketId=BTC-PERP")).json()["indexPrice"]
                            price = str(int(float(index) * 0.97))
                            placed = await client.post(
                                "/perps/quotes/bulk", json=ladder("q1", ("buy", price, "0.0100"))
                            )
                            assert placed.status_code == 200
                        (resting,) = (await client.get("/perps/orders")).json()["orders"]
                        assert resting["clientOrderId"] == "q1-0"
                    async with await trio.open_tcp_stream("127.0.0.1", ports.http) as stream:
                        await stream.send_all(request_bytes("GET", "/perps/stream/user", READ, b""))
                        said = b""
                        while b'"eventSeq":1' not in said:
                            piece = bytes(await stream.receive_some())
                            assert piece, said
                            said += piece
                    bids = []
                    for path in ("", "/beta"):
                        url = f"ws://127.0.0.1:{ports.reference}{path}"
                        async with trio_websocket.open_websocket_url(url) as feed:
                            await feed.send_message('{"op":"subscribe","symbols":["BTC-USD"]}')
                            quote = json.loads(await feed.get_message())
                            assert (quote["type"], quote["symbol"], quote["seq"]) == ("bbo", "BTC-USD", 1)
                            bids.append(Decimal(quote["bid"]))
                    assert bids[1] / bids[0] == pytest.approx(Decimal("1.01"), abs=Decimal("0.002"))
                    nursery.cancel_scope.cancel(reason="the test stops the venue")
        kinds = [line["kind"] for line in record_lines(tmp_path / "record.jsonl")]
        assert [kind for kind in kinds if kind in ("start", "stop")] == ["start", "stop"] * 2
        starts = [line for line in record_lines(tmp_path / "record.jsonl") if line["kind"] == "start"]
        assert [(start["resumed"], len(start["resting"])) for start in starts] == [(False, 0), (True, 1)]

    async def test_taken_port(self) -> None:
        """A port in use ends the start, and leaves nothing behind."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        taken = listener.socket.getsockname()[1]
        async with listener:
            with pytest.RaisesGroup(OSError, flatten_subgroups=True):
                async with trio.open_nursery() as nursery:
                    await started(nursery, VenueSettings(port=taken))

    async def test_tls_needs_tls(self) -> None:
        """With a TLS context both ports refuse plain text."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        async with trio.open_nursery() as nursery:
            ports = await started(nursery, VenueSettings(port=0, ssl_context=context))
            for port in (ports.http, ports.reference):
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    await stream.send_all(b"GET /perps/markets HTTP/1.1\r\nHost: h\r\n\r\n")
                    with contextlib.suppress(trio.BrokenResourceError):
                        assert not (await stream.receive_some()).startswith(b"HTTP")
            nursery.cancel_scope.cancel(reason="the test is over")


async def test_wrong_settings(autojump_clock: trio.testing.MockClock) -> None:
    """A preset nobody knows is an error at the start."""
    with pytest.raises(ValueError, match="unknown preset"):
        open_venue(VenueSettings(preset="frantic"))


def test_failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The default report names what failed and why."""
    log_failure("a connection ended", ValueError("boom"))
    assert "a connection ended" in caplog.text
    assert "boom" in caplog.text
