"""A JSON feed that the configuration describes: exact whatever its shape, and never half read."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.errors import StreamFault
from maker.wire.references.described import Described, DescribedFeed
from tests.wire.references.torture import (
    NO_PRICE,
    NOT_NUMBERS,
    broken_by,
    each_field_is_needed,
    facts_or_broken,
    survives_anything,
)

FLAT = Described('{"op":"subscribe","topic":"book.{symbol}"}', "s", "b", "bs", "a", "as")
DEEP = Described(
    '{"sub":["{symbol}"]}',
    "data.instrument",
    "data.bids.0.0",
    "data.bids.0.1",
    "data.asks.0.0",
    "data.asks.0.1",
    alive="channel=heartbeat",
    error="error.message",
    ping='{"op":"ping"}',
)
FLAT_QUOTE = '{"s":"BTC-USD","b":50000.10,"bs":"0.5","a":5.00002e4,"as":3}'
DEEP_QUOTE = '{"data":{"instrument":"BTC-USD","bids":[["50000.10","0.5",7]],"asks":[["50000.2","3",1]]}}'
QUOTE = ReferenceQuote("main", "BTC-USD", Decimal("50000.10"), Decimal("0.5"), Decimal("50000.2"), Decimal(3))


def feed(described: Described, *symbols: str) -> DescribedFeed:
    return DescribedFeed("main", symbols or ("BTC-USD",), described)


def flat() -> DescribedFeed:
    return feed(FLAT)


def deep() -> DescribedFeed:
    return feed(DEEP)


@pytest.mark.parametrize(("adapter", "message"), [(flat(), FLAT_QUOTE), (deep(), DEEP_QUOTE)], ids=["flat", "deep"])
def test_a_quote_is_exact(adapter: DescribedFeed, message: str) -> None:
    """JSON numbers, with exponent or without, and strings."""
    assert adapter.parse(message) == adapter.parse(message.encode()) == (QUOTE,)
    read = adapter.parse(message)[0]
    assert isinstance(read, ReferenceQuote)
    assert str(read.bid) == "50000.10"


@given(st.decimals("0.000001", "1000000", places=8))
def test_any_number_is_exact(number: Decimal) -> None:
    """No float is ever between: digits beyond a float's survive."""
    for written in (f"{number:f}", f'"{number:f}"'):
        (read,) = flat().parse(f'{{"s":"BTC-USD","b":{written},"bs":1,"a":{written},"as":{written}}}')
        assert isinstance(read, ReferenceQuote)
        assert read.bid == read.ask == read.ask_size == number


def test_what_we_ask_for() -> None:
    """Once a symbol where the template has it, else once; a symbol cannot break out of its string."""
    assert feed(FLAT, "BTC-USD", "ETH-USD").opening() == (
        '{"op":"subscribe","topic":"book.BTC-USD"}',
        '{"op":"subscribe","topic":"book.ETH-USD"}',
    )
    assert feed(FLAT, 'B"},{"').opening() == ('{"op":"subscribe","topic":"book.B\\"},{\\""}',)
    assert feed(attrs.evolve(FLAT, subscribe="hello"), "A", "B").opening() == ("hello",)
    assert feed(attrs.evolve(FLAT, subscribe="")).opening() == ()
    assert flat().ping is None
    assert deep().ping == '{"op":"ping"}'


def test_symbols_in_the_address() -> None:
    adapter = feed(FLAT, "BTC/USD", "ETH-USD")
    assert adapter.address("wss://x.example/feed?of={symbol}") == "wss://x.example/feed?of=BTC%2FUSD,ETH-USD"
    assert adapter.address("wss://x.example/feed") == "wss://x.example/feed"


@pytest.mark.parametrize(
    ("alive", "message"),
    [
        ("channel=heartbeat", '{"channel":"heartbeat"}'),
        ("pong", "pong"),
        ("pong", b"pong"),
        ("data.alive=true", '{"data":{"alive":true}}'),
        ("kind=3", '{"kind":3}'),
    ],
)
def test_signs_of_life_are_as_described(alive: str, message: str | bytes) -> None:
    assert feed(attrs.evolve(FLAT, alive=alive)).parse(message) == (ReferenceHeard("main"),)


@pytest.mark.parametrize("data", ['{"rate":0.0001}', "[0.0001]", '{"deep":[{"rate":1e-4}]}', "0.0001", "[]", "{}"])
def test_a_value_that_is_no_single_one_is_no_sign_of_life(data: str) -> None:
    """A fraction in it ended the maker: numbers are kept as they came, and JSON cannot be made of those."""
    adapter = feed(attrs.evolve(FLAT, alive="data=pong"))
    assert adapter.parse(f'{{"data":{data}}}') == ()
    assert adapter.parse('{"data":"pong"}') == (ReferenceHeard("main"),)
    assert feed(attrs.evolve(FLAT, alive=f"data={data}")).parse(f'{{"data":{data}}}') == (
        (ReferenceHeard("main"),) if data == "0.0001" else ()
    )


@pytest.mark.parametrize("message", ['{"channel":"trades"}', '{"success":true,"s":"BTC-USD"}', "[]", "1", "null", "{}"])
def test_what_is_not_described_says_nothing_of_the_price(message: str) -> None:
    """Its meaning is not known: an old price must grow old."""
    assert flat().parse(message) == deep().parse(message) == ()


def test_a_refusal_is_told() -> None:
    assert "no such" in broken_by(deep(), {"error": {"message": "no such symbol"}}, StreamFault.CLOSED)
    assert deep().parse('{"error":{"message":null}}') == ()
    assert feed(attrs.evolve(FLAT, error="code")).parse('{"code":0}') == ()


@pytest.mark.parametrize(
    "change", [("bids", []), ("bids", [[None, None]]), ("bids", [["5"]]), ("bids", [["5", "0"]])], ids=str
)
def test_an_empty_side_is_no_price(change: tuple[str, Any]) -> None:
    tree = json.loads(DEEP_QUOTE)
    tree["data"][change[0]] = change[1]
    read = deep().parse(json.dumps(tree))[0]
    assert isinstance(read, ReferenceQuote)
    assert (read.bid, read.bid_size) == NO_PRICE
    assert read.ask == QUOTE.ask


def test_each_field_is_needed() -> None:
    wrong = [value for value in NOT_NUMBERS if value is not None]
    each_field_is_needed(flat, FLAT_QUOTE, [("b",), ("bs",), ("a",), ("as",)], ["", *wrong])
    assert "nothing at bs" in broken_by(flat(), FLAT_QUOTE.replace('"bs":"0.5",', ""))
    each_field_is_needed(flat, FLAT_QUOTE, [("s",)], ["", 1, None, [], "ETH-USD"])
    each_field_is_needed(deep, DEEP_QUOTE, [("data", "bids"), ("data", "asks")], ["", 1, None, {}])


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)))
def test_any_shape_at_a_path(shape: Any) -> None:
    for place in ("instrument", "bids", "asks"):
        tree = json.loads(DEEP_QUOTE)
        tree["data"][place] = shape
        facts_or_broken(deep(), json.dumps(tree))


def test_anything() -> None:
    survives_anything(flat, FLAT_QUOTE)
    survives_anything(deep, DEEP_QUOTE)
