"""Binance: the documented messages, and nothing else, become facts."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.errors import StreamFault
from maker.wire.references.binance import Binance, BinanceUsdm
from tests.wire.references.torture import NO_PRICE, NOT_STRINGS, broken_by, each_field_is_needed, survives_anything

# web-socket-streams.md, Individual Symbol Book Ticker Streams
SPOT = '{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'  # as is
# usds-margined-futures, Individual Symbol Book Ticker Streams
USDM = (
    '{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT",'
    '"b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'
)
QUOTE = ReferenceQuote("main", "BNBUSDT", Decimal("25.3519"), Decimal("31.21"), Decimal("25.3652"), Decimal("40.66"))
HEARD = (ReferenceHeard("main"),)
FIELDS: list[tuple[str | int, ...]] = [("b",), ("B",), ("a",), ("A",)]


def spot() -> Binance:
    return Binance("main", ("BNBUSDT", "BTCUSDT"))


def usdm() -> BinanceUsdm:
    return BinanceUsdm("main", ("BNBUSDT", "BTCUSDT"))


def test_a_quote_is_exact() -> None:
    assert spot().parse(SPOT) == usdm().parse(USDM) == (QUOTE,)
    read = spot().parse(SPOT)[0]
    assert isinstance(read, ReferenceQuote)
    assert str(read.bid) == "25.35190000"


def test_what_we_ask_for() -> None:
    """Stream names are lower case."""
    assert spot().opening() == ('{"method":"SUBSCRIBE","params":["bnbusdt@bookTicker","btcusdt@bookTicker"],"id":1}',)
    assert spot().ping == '{"method":"LIST_SUBSCRIPTIONS","id":2}'
    assert spot().url == "wss://stream.binance.com:9443/ws"
    assert usdm().url == "wss://fstream.binance.com/public/ws"  # the unrouted address retires
    assert usdm().opening() == spot().opening()


@pytest.mark.parametrize(
    "message", ['{"result":null,"id":1}', '{"result":["bnbusdt@bookTicker","btcusdt@bookTicker"],"id":2}']
)
def test_answers_are_signs_of_life(message: str) -> None:
    assert spot().parse(message) == HEARD


@pytest.mark.parametrize("result", [["bnbusdt@bookTicker"], [], None])
def test_a_subscription_that_is_gone_breaks(result: list[str] | None) -> None:
    """A symbol that is no longer sent must not live on by the signs of life of the others."""
    assert "btcusdt@bookTicker" in broken_by(spot(), {"result": result, "id": 2}, StreamFault.CLOSED)


@pytest.mark.parametrize(
    "message",
    [
        '{"code": 2, "msg": "Invalid request: too many parameters","id": 1}',
        '{"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":1}',
    ],
)
def test_a_refusal_is_told(message: str) -> None:
    assert "Invalid request: too many parameters" in broken_by(spot(), message, StreamFault.CLOSED)


def test_other_events_say_nothing_of_the_price() -> None:
    assert spot().parse('{"e":"serverShutdown","E":1770123456789}') == ()


def test_a_side_of_size_0_is_no_price() -> None:
    """A listed symbol that nobody trades has zeros."""
    read = spot().parse(SPOT.replace("31.21000000", "0.00000000"))[0]
    assert isinstance(read, ReferenceQuote)
    assert (read.bid, read.bid_size) == NO_PRICE
    assert read.ask == QUOTE.ask


def test_a_price_of_another_symbol_breaks() -> None:
    assert "'DOGEUSDT'" in broken_by(spot(), SPOT.replace("BNBUSDT", "DOGEUSDT"))
    assert "'bnbusdt'" in broken_by(spot(), SPOT.replace("BNBUSDT", "bnbusdt"))


def test_each_field_is_needed() -> None:
    each_field_is_needed(spot, SPOT, FIELDS, NOT_STRINGS)
    each_field_is_needed(usdm, USDM, FIELDS, NOT_STRINGS)
    each_field_is_needed(spot, SPOT, [("s",)], [1, None, "", {}])


def test_anything() -> None:
    survives_anything(spot, SPOT)
    survives_anything(usdm, USDM)
    assert json.loads(SPOT)["s"] in spot().symbols
