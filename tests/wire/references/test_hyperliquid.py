"""Hyperliquid: the documented messages, and nothing else, become facts."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.errors import StreamFault
from maker.wire.references.hyperliquid import Hyperliquid
from tests.wire.references.torture import NO_PRICE, NOT_STRINGS, broken_by, each_field_is_needed, survives_anything

# for-developers/api/websocket/subscriptions documents the types WsBbo and WsLevel; a message made after them
BBO = (
    '{"channel":"bbo","data":{"coin":"BTC","time":1708622398623,"bbo":[{"px":"51002.0","sz":"0.45","n":3},'
    '{"px":"51003.0","sz":"1.2","n":1}]}}'
)
ACK = '{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}}'
QUOTE = ReferenceQuote("main", "BTC", Decimal("51002.0"), Decimal("0.45"), Decimal("51003.0"), Decimal("1.2"))


def hyperliquid() -> Hyperliquid:
    return Hyperliquid("main", ("BTC", "ETH"))


def test_a_quote_is_exact() -> None:
    assert hyperliquid().parse(BBO) == (QUOTE,)


def test_what_we_ask_for() -> None:
    """One subscription a message."""
    assert hyperliquid().opening() == (
        '{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}',
        '{"method":"subscribe","subscription":{"type":"bbo","coin":"ETH"}}',
    )
    assert hyperliquid().ping == '{"method":"ping"}'


@pytest.mark.parametrize("message", ['{"channel":"pong"}', ACK])
def test_signs_of_life(message: str) -> None:
    assert hyperliquid().parse(message) == (ReferenceHeard("main"),)


@pytest.mark.parametrize(
    "message",
    [
        "Websocket connection established.",
        b"Websocket connection established.",
        '{"channel":"notification","data":{"notification":"x"}}',
    ],
)
def test_others_say_nothing_of_the_price(message: str | bytes) -> None:
    assert hyperliquid().parse(message) == ()


def test_a_refusal_is_told() -> None:
    refusal = {"channel": "error", "data": 'Invalid subscription {"type":"bbo","coin":"NOPE"}'}
    assert "NOPE" in broken_by(hyperliquid(), refusal, StreamFault.CLOSED)


def test_an_empty_side_is_no_price() -> None:
    tree = json.loads(BBO)
    tree["data"]["bbo"][1] = None
    read = hyperliquid().parse(json.dumps(tree))[0]
    assert isinstance(read, ReferenceQuote)
    assert (read.ask, read.ask_size) == NO_PRICE
    assert read.bid == QUOTE.bid


def test_each_field_is_needed() -> None:
    numbers: list[tuple[str | int, ...]] = [("data", "bbo", side, name) for side in (0, 1) for name in ("px", "sz")]
    each_field_is_needed(hyperliquid, BBO, numbers, NOT_STRINGS)
    others: list[tuple[str | int, ...]] = [("data", "coin"), ("data", "bbo"), ("data",)]
    each_field_is_needed(hyperliquid, BBO, others, [1, None, "", {}, []])
    broken_by(hyperliquid(), BBO.replace('"channel":"bbo",', ""))
    broken_by(hyperliquid(), BBO.replace("]}}", ",null]}}"))


def test_anything() -> None:
    survives_anything(hyperliquid, BBO)
