"""The reference feed: exact quotes, signs of life, and StreamBroken for everything else."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.errors import StreamBroken, StreamFault
from maker.wire.reference import parse, subscription

BBO = (
    b'{"type":"bbo","symbol":"BTC-USD","bid":"50000.123456789","bidSize":"0.1","ask":"50000.20","askSize":"3",'
    b'"ts":1700000000000,"seq":4,"venue":"x"}'
)
QUOTE = ReferenceQuote("alpha", "BTC-USD", Decimal("50000.123456789"), Decimal("0.1"), Decimal("50000.20"), Decimal(3))


@pytest.mark.parametrize("message", [BBO, BBO.decode()], ids=["bytes", "text"])
def test_a_quote_is_exact(message: str | bytes) -> None:
    """As sent, no tick of ours applied; unknown fields pass."""
    read = parse("alpha", message)
    assert read == QUOTE
    assert isinstance(read, ReferenceQuote)
    assert str(read.ask) == "50000.20"
    assert read.stated_at == 1_700_000_000.0


@pytest.mark.parametrize(
    "message", ['{"type":"heartbeat"}', '{"type":"heartbeat","ts":1,"seq":9}', '{"type":"status"}']
)
def test_other_kinds_are_signs_of_life(message: str) -> None:
    assert parse("alpha", message) == ReferenceHeard("alpha")


def test_what_we_ask_for() -> None:
    assert subscription(["BTC-USD", "ETH-USD"]) == '{"op":"subscribe","symbols":["BTC-USD","ETH-USD"]}'
    assert subscription([]) == '{"op":"subscribe","symbols":[]}'


GARBAGE: list[str | bytes] = [
    "",
    "null",
    "[]",
    "1",
    '"bbo"',
    "{}",
    '{"symbol":"BTC-USD"}',
    '{"type":7}',
    '{"type":"bbo"}',
    '{"type":"bbo","symbol":"BTC-USD","bid":"1","bidSize":"1","ask":"2"}',
    BBO[:-1],
    b"\xff\xfe",
    b"",
    "\ud800",
]


@pytest.mark.parametrize("message", GARBAGE, ids=lambda message: repr(message)[:30])
def test_garbage_breaks(message: str | bytes) -> None:
    with pytest.raises(StreamBroken) as caught:
        parse("alpha", message)
    assert caught.value.fault is StreamFault.MALFORMED


@pytest.mark.parametrize("field", ["bid", "bidSize", "ask", "askSize"])
@pytest.mark.parametrize(
    "value", ["", "NaN", "inf", "-Infinity", "1e5", "+1", "01", "1_0", " 1", "٣", "9" * 41, 1, 0.5, None, True, ["1"]]
)
def test_what_is_no_fixed_decimal_breaks(field: str, value: object) -> None:
    """No float ever becomes a price."""
    message = json.dumps({**json.loads(BBO), field: value})
    with pytest.raises(StreamBroken) as caught:
        parse("alpha", message)
    assert caught.value.fault is StreamFault.MALFORMED


def test_deep_nesting_breaks() -> None:
    """Within the size a message may have, and deeper than the JSON reader goes."""
    with pytest.raises(StreamBroken):
        parse("alpha", '{"type":"heartbeat","x":' + "[" * 30_000 + "]" * 30_000 + "}")


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_message(message: str | bytes) -> None:
    read_or_broken(message)


@given(st.data())
def test_mutations(data: st.DataObject) -> None:
    mutated = bytearray(BBO)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutated)))
        mutated[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    read_or_broken(bytes(mutated))


def read_or_broken(message: str | bytes) -> None:
    """A fact or StreamBroken, nothing else; a price that comes out is a finite number."""
    try:
        read = parse("alpha", message)
    except StreamBroken:
        return
    if isinstance(read, ReferenceQuote):
        assert all(number.is_finite() for number in (read.bid, read.bid_size, read.ask, read.ask_size))
