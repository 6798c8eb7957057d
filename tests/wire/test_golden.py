"""The maker's readers on the same literal transcripts that the venue is held to.

Both sides share `maker.wire.ocx`, so a spelling that is wrong in both would go unseen between them; the transcripts are
text, and here each answer is read twice: by the maker's reader, and naively from the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from maker.desk.book import Book
from maker.desk.events import LadderPlaced, LadderRefused, LevelOrder, PlaceLadder, StreamDelta, StreamSnapshot
from maker.desk.units import Grid, Side
from maker.errors import OutcomeUnknown, Refused, Throttled, Unauthorized
from maker.wire import limits, ocx, orders, reads
from maker.wire.stream import MarketStream
from tests.golden import transcript
from tests.golden.transcript import Message

GRIDS = {
    "BTC-PERP": Grid.of(Decimal("0.1"), Decimal("0.0001")),
    "ETH-PERP": Grid.of(Decimal("0.01"), Decimal("0.001")),
    "SOL-PERP": Grid.of(Decimal("0.001"), Decimal("0.01")),
}
FILES = sorted(transcript.FOLDER.glob("*.txt"))


def all_exchanges() -> Iterator[tuple[Message, Message]]:
    for path in FILES:
        yield from transcript.exchanges(path)


def answers(method: str, path: str, status: int = 200) -> list[tuple[Message, Message]]:
    """Requests of this method and path (any query) that were answered so."""
    found = []
    for request, answer in all_exchanges():
        words = request.first.split()
        if words[0] == method and words[1].split("?")[0] == path and answer.first.split()[0] == str(status):
            found.append((request, answer))
    return found


def bodies(method: str, path: str, *, with_key: bool | None = None) -> list[bytes]:
    found = [
        answer.body.encode()
        for request, answer in answers(method, path)
        if with_key is None or with_key == (request.header("x-api-key") is not None)
    ]
    assert found, f"no transcript has {method} {path}"
    return found


def test_the_listing_in_both_forms() -> None:
    """Grid, minimum, band and fees; without the older fields the grid comes from the decimals and is the same."""
    listings = [reads.markets(body) for body in bodies("GET", ocx.MARKETS)]
    assert any(rows["BTC-PERP"].tick_size is None for rows in listings)
    assert any(rows["BTC-PERP"].tick_size is not None for rows in listings)
    for rows in listings:
        assert {name: reads.market_type(row) for name, row in rows.items()} == {
            "BTC-PERP": "perp",
            "ETH-PERP": "perp",
            "SOL-PERP": "perp",
            "BTC-USDC-2027-06-25": "future",
            "BTC-USDC-SPOT": "spot",
        }
        for market_id, grid in GRIDS.items():
            spec = reads.market_spec(market_id, rows[market_id], Decimal("-0.5"), Decimal(5))
            assert spec.grid == grid


def test_fees_statistics_and_candles() -> None:
    assert (Decimal("-0.5"), Decimal(5)) in [reads.fee_tier(body) for body in bodies("GET", ocx.FEES)]
    assert None in [reads.fee_tier(body) for body in bodies("GET", ocx.FEES)]
    for body in bodies("GET", ocx.MARKET_STATS):
        rows = json.loads(body)
        naive = [rows] if isinstance(rows, dict) else rows
        read = reads.market_stats(body)
        assert [(str(row.mark), str(row.index)) for row in read] == [
            (row["markPrice"], row["indexPrice"]) for row in naive
        ]
    for body in bodies("GET", ocx.OHLC):
        assert ocx.decode(body, list[ocx.Candle])
    for body in bodies("GET", f"{ocx.ORDERBOOK}/BTC-PERP"):
        assert ocx.decode(body, ocx.OrderBook).market_id == "BTC-PERP"
    for body in bodies("GET", ocx.TRADES, with_key=False):
        assert isinstance(ocx.decode(body, list[ocx.PublicTrade]), list)


def test_account_reads() -> None:
    """Positions signed, trades oldest first, open orders with what remains, the perps balance."""
    for body in bodies("GET", ocx.POSITIONS):
        naive = {row["id"]: row for row in json.loads(body)}
        for seen in reads.positions(body, GRIDS):
            row = naive[seen.position_id]
            size = Decimal(row["quantity"]) * (1 if row["side"] == "buy" else -1) * (row["status"] == "open")
            assert GRIDS[seen.market_id].size.value(seen.lots) == size
    for body in bodies("GET", ocx.TRADES, with_key=True):
        fills = reads.own_trades(body, GRIDS)
        assert {fill.trade_id for fill in fills} == {row["id"] for row in json.loads(body)}
        assert [fill.at_ms for fill in fills] == sorted(fill.at_ms for fill in fills)
    for body in bodies("GET", ocx.ORDERS):
        naive_orders = {row["id"]: row for row in json.loads(body)["orders"]}
        assert {
            order.order_id: (order.client_order_id, str(order.price), str(order.remaining))
            for order in reads.open_orders(body)
        } == {
            name: (row["clientOrderId"], row["price"], row["remainingQuantity"]) for name, row in naive_orders.items()
        }
    for body in bodies("GET", ocx.BALANCES):
        (perps,) = (row for row in json.loads(body)["balances"] if row["bucket"] == "perps")
        assert str(reads.balance(body).balance) == perps["balance"]


@pytest.mark.parametrize("index", range(len(answers("POST", ocx.QUOTES_BULK))))
def test_ladder_answers(index: int) -> None:
    """Every level of every answered ladder: resting, refused with its code, or filled."""
    request, answer = answers("POST", ocx.QUOTES_BULK)[index]
    asked = json.loads(request.body)
    action = PlaceLadder(asked["marketId"], asked["quoteId"], (), "transcript")
    outcome = orders.ladder_outcome(action, 200, answer.body.encode(), 0.0)
    assert isinstance(outcome, LadderPlaced)
    stated = json.loads(answer.body).get("orders")
    if stated is None:
        assert outcome.orders is None
        return
    assert outcome.orders is not None
    assert {order.client_order_id: (order.resting, order.code) for order in outcome.orders} == {
        row["clientOrderId"]: (
            row["status"] in ("open", "partially_filled"),
            (row["code"] or row["status"]) if row["status"] in ("rejected", "cancelled") else None,
        )
        for row in stated
    }


def test_a_ladder_of_ours_is_the_request_of_a_transcript() -> None:
    """The first bulk of bulk.txt, written by the maker, is the same JSON but for what it need not say."""
    request, _ = transcript.exchanges(transcript.FOLDER / "bulk.txt")[0]
    asked = json.loads(request.body)
    grid = GRIDS["BTC-PERP"]
    levels = tuple(
        LevelOrder(
            row["clientOrderId"],
            Side(row["side"]),
            grid.price.count(row["price"]),
            grid.size.count(row["quantity"]),
            False,
        )
        for row in asked["quotes"]
    )
    spec = reads.market_spec(
        "BTC-PERP", reads.markets(bodies("GET", ocx.MARKETS)[0])["BTC-PERP"], Decimal(0), Decimal(5)
    )
    written = json.loads(orders.ladder_body(spec, PlaceLadder("BTC-PERP", asked["quoteId"], levels, "transcript")))
    assert written["cancelAll"] is True
    assert set(written) == set(asked)
    for ours, theirs in zip(written["quotes"], asked["quotes"], strict=True):
        for name in ("side", "clientOrderId"):
            assert ours[name] == theirs[name]
        for name in ("price", "quantity"):
            assert Decimal(ours[name]) == Decimal(theirs[name])


def test_every_refusal_is_the_right_error() -> None:
    """By status first: 401, 403 are credentials, 429 says how long, other 4xx are not applied, 5xx are unknown."""
    met: set[type[Any]] = set()
    for _, answer in all_exchanges():
        status = int(answer.first.split()[0])
        if status < 400:
            continue
        body = answer.body.encode()
        headers = {name.lower(): value for name, value in answer.headers}
        error = ocx.refusal(status, body, limits.wait_seconds(headers, body, transcript.START_MS / 1000))
        met.add(type(error))
        stated = json.loads(body)
        if isinstance(error, Throttled):
            assert error.seconds * 1000 >= stated["retryAfterMs"]
            continue
        if status >= 500:
            assert isinstance(error, OutcomeUnknown)
            continue
        assert isinstance(error, Refused | Unauthorized)
        assert error.status == status
        assert error.code == stated.get("code", stated["error"])
    assert met >= {Refused, Throttled, Unauthorized}


def test_a_refused_ladder_is_known_not_placed() -> None:
    refused = [
        orders.ladder_outcome(PlaceLadder("BTC-PERP", "q", (), ""), 422, answer.body.encode(), 0.0)
        for _, answer in answers("POST", ocx.QUOTES_BULK, 422)
    ]
    assert refused
    assert all(isinstance(outcome, LadderRefused) for outcome in refused)


def test_the_event_stream_rebuilds_the_book() -> None:
    """Every event stream of one market: the book rebuilt by the desk is the one rebuilt naively from the JSON."""
    spec = reads.market_spec(
        "BTC-PERP", reads.markets(bodies("GET", ocx.MARKETS)[0])["BTC-PERP"], Decimal(0), Decimal(5)
    )
    events = 0
    for path in FILES:
        for said in transcript.streams(path):
            if b"event: snapshot" not in said or b'"book"' not in said or b"event: delta" not in said:
                continue
            book = Book()
            naive: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
            for line in said.splitlines():
                if line.startswith(b"data: "):
                    stated = json.loads(line[6:])["payload"].get("book")
                    for side in naive if stated else ():
                        for level in stated[side]:
                            if level["size"] == "0":
                                naive[side].pop(level["price"], None)
                            else:
                                naive[side][level["price"]] = level["size"]
            for fact in MarketStream(spec).feed(said):
                if isinstance(fact, StreamSnapshot):
                    book.load(fact.bids, fact.asks)
                elif isinstance(fact, StreamDelta):
                    book.apply(fact.bids, fact.asks)
                events += 1
            for side, levels in (("bids", book.bids), ("asks", book.asks)):
                texts = {spec.grid.price.text(ticks): spec.grid.size.text(lots) for ticks, lots in levels.items()}
                assert texts == naive[side]
    assert events >= 3
