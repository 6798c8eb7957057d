"""OKX v5: the documented messages, and nothing else, become facts."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.errors import StreamFault
from maker.wire.references.okx import Okx
from tests.wire.references.torture import NO_PRICE, NOT_STRINGS, broken_by, each_field_is_needed, survives_anything

# docs-v5, Order book channel, push data example of bbo-tbt
BBO = (
    '{"arg":{"channel":"bbo-tbt","instId":"BCH-USDT-SWAP"},"data":[{"asks":[["111.06","55154","0","2"]],'
    '"bids":[["111.05","57745","0","2"]],"ts":"1670324386802","seqId":363996337}]}'
)
ACK = '{"event":"subscribe","arg":{"channel":"bbo-tbt","instId":"BCH-USDT-SWAP"},"connId":"a4d3ae55"}'
REFUSAL = '{"event":"error","code":"60012","msg":"Invalid request: {\\"op\\": \\"subscribe\\"}","connId":"a4d3ae55"}'
NOTICE = '{"event":"notice","code":"64008","msg":"The connection will soon be closed.","connId":"a4d3ae55"}'
QUOTE = ReferenceQuote("main", "BCH-USDT-SWAP", Decimal("111.05"), Decimal(57745), Decimal("111.06"), Decimal(55154))


def okx() -> Okx:
    return Okx("main", ("BCH-USDT-SWAP",))


def test_a_quote_is_exact() -> None:
    assert okx().parse(BBO) == (QUOTE,)


def test_what_we_ask_for() -> None:
    assert okx().opening() == ('{"op":"subscribe","args":[{"channel":"bbo-tbt","instId":"BCH-USDT-SWAP"}]}',)
    assert okx().ping == "ping"


@pytest.mark.parametrize("message", ["pong", b"pong", ACK])
def test_signs_of_life(message: str | bytes) -> None:
    assert okx().parse(message) == (ReferenceHeard("main"),)


@pytest.mark.parametrize("message", [NOTICE, '{"arg":{"channel":"tickers","instId":"X"},"data":[]}'])
def test_others_say_nothing_of_the_price(message: str) -> None:
    assert okx().parse(message) == ()


def test_a_refusal_is_told() -> None:
    told = broken_by(okx(), REFUSAL, StreamFault.CLOSED)
    assert "60012 Invalid request" in told


@pytest.mark.parametrize("bids", [[], [["111.05", "0", "0", "0"]]])
def test_an_empty_side_is_no_price(bids: list[list[str]]) -> None:
    tree = json.loads(BBO)
    tree["data"][0]["bids"] = bids
    read = okx().parse(json.dumps(tree))[0]
    assert isinstance(read, ReferenceQuote)
    assert (read.bid, read.bid_size) == NO_PRICE
    assert read.ask == QUOTE.ask


def test_a_level_too_short_breaks() -> None:
    broken_by(okx(), BBO.replace('"111.05","57745","0","2"', '"111.05"'))


def test_each_field_is_needed() -> None:
    numbers: list[tuple[str | int, ...]] = [
        ("data", 0, side, 0, place) for side in ("bids", "asks") for place in (0, 1)
    ]
    each_field_is_needed(okx, BBO, numbers, NOT_STRINGS)
    others: list[tuple[str | int, ...]] = [("data", 0, "bids"), ("data", 0, "asks"), ("data",), ("arg", "instId")]
    each_field_is_needed(okx, BBO, others, [1, None, "", {}])
    each_field_is_needed(okx, BBO, [("arg",)], [1, None, ""])


def test_anything() -> None:
    survives_anything(okx, BBO)
