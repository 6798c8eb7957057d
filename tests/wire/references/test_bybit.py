"""Bybit v5: snapshots and deltas of depth 1 become the best bid and ask; what is out of order breaks."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.errors import StreamFault
from maker.wire.references.bybit import Bybit
from tests.wire.references.torture import NOT_STRINGS, broken_by, each_field_is_needed, survives_anything

# v5/websocket/public/orderbook, cut to depth 1
SNAPSHOT = (
    '{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT",'
    '"b":[["16493.50","0.006"]],"a":[["16611.00","0.029"]],"u":18521288,"seq":7961638724},"cts":1672304484976}'
)
# v5/ws/connect
ACK = '{"success":true,"ret_msg":"subscribe","conn_id":"2324d924-aa4d-45b0","req_id":"","op":"subscribe"}'
PONG = '{"success":true,"ret_msg":"pong","conn_id":"0970e817-426e-429a-a679-ff7f55e0b16a","op":"ping"}'


def bybit() -> Bybit:
    return Bybit("main", ("BTCUSDT", "ETHUSDT"))


def update(kind: str, bids: Any, asks: Any, number: int, symbol: str = "BTCUSDT") -> str:
    data = {"s": symbol, "b": bids, "a": asks, "u": number, "seq": number}
    return json.dumps({"topic": f"orderbook.1.{symbol}", "type": kind, "ts": 1, "data": data})


def best(adapter: Bybit, message: str) -> tuple[str, str, str, str]:
    (read,) = adapter.parse(message)
    assert isinstance(read, ReferenceQuote)
    return str(read.bid), str(read.bid_size), str(read.ask), str(read.ask_size)


def started() -> Bybit:
    adapter = bybit()
    adapter.parse(SNAPSHOT)
    return adapter


def test_a_snapshot_is_exact() -> None:
    assert bybit().parse(SNAPSHOT) == (
        ReferenceQuote("main", "BTCUSDT", Decimal("16493.50"), Decimal("0.006"), Decimal("16611.00"), Decimal("0.029")),
    )


def test_a_snapshot_comes_again() -> None:
    """After 3 s without a change, under the same number; after a restart of theirs under number 1."""
    adapter = started()
    assert best(adapter, SNAPSHOT) == ("16493.50", "0.006", "16611.00", "0.029")
    assert best(adapter, update("snapshot", [["5", "1"]], [["6", "2"]], 1)) == ("5", "1", "6", "2")
    assert best(adapter, update("delta", [["5", "3"]], [], 2)) == ("5", "3", "6", "2")


def test_deltas() -> None:
    """An update, a better price, the old one taken away for a worse one, and one side untouched throughout."""
    adapter = started()
    ask = ("16611.00", "0.029")
    assert best(adapter, update("delta", [["16493.50", "9"]], [], 18521289)) == ("16493.50", "9", *ask)
    assert best(adapter, update("delta", [["16494.00", "1"]], [], 18521290)) == ("16494.00", "1", *ask)
    taken = [["16494.00", "0"], ["16490.00", "2"]]
    assert best(adapter, update("delta", taken, [], 18521291)) == ("16490.00", "2", *ask)
    assert best(adapter, update("delta", [], [], 18521292)) == ("16490.00", "2", *ask)


def test_a_side_that_is_taken_away_is_no_price() -> None:
    adapter = started()
    assert best(adapter, update("delta", [["16493.5", "0"]], [], 18521289))[:2] == ("0", "0")
    assert best(adapter, update("delta", [["16493.00", "4"]], [], 18521290))[:2] == ("16493.00", "4")
    assert best(adapter, update("delta", [["1.00", "0"]], [], 18521291))[:2] == ("16493.00", "4")  # not ours
    assert best(adapter, update("snapshot", [], [["6", "2"]], 18521292)) == ("0", "0", "6", "2")


def test_a_delta_before_its_snapshot_is_a_gap() -> None:
    """Also where another symbol has one, and again on a new connection."""
    broken_by(bybit(), update("delta", [["1", "1"]], [], 2), StreamFault.GAP)
    broken_by(started(), update("delta", [["1", "1"]], [], 18521289, "ETHUSDT"), StreamFault.GAP)


@pytest.mark.parametrize("number", [18521288, 18521287, 0, -1])
def test_a_delta_out_of_order_is_a_gap(number: int) -> None:
    broken_by(started(), update("delta", [["1", "1"]], [], number), StreamFault.GAP)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 3)), max_size=30))
def test_any_deltas(changes: list[tuple[bool, int, int]]) -> None:
    """Each side is the last level put there, until that very price is taken away."""
    adapter = started()
    sides = [(Decimal("16493.50"), Decimal("0.006")), (Decimal("16611.00"), Decimal("0.029"))]
    for number, (bid, price, size) in enumerate(changes, 18521289):
        level = [[str(price), str(size)]]
        (read,) = adapter.parse(update("delta", level if bid else [], [] if bid else level, number))
        index = 0 if bid else 1
        if size:
            sides[index] = Decimal(price), Decimal(size)
        elif sides[index][0] == price:
            sides[index] = Decimal(0), Decimal(0)
        assert isinstance(read, ReferenceQuote)
        assert [(read.bid, read.bid_size), (read.ask, read.ask_size)] == sides


def test_what_we_ask_for() -> None:
    assert bybit().opening() == ('{"op":"subscribe","args":["orderbook.1.BTCUSDT","orderbook.1.ETHUSDT"]}',)
    assert bybit().ping == '{"op":"ping"}'


@pytest.mark.parametrize("message", [ACK, PONG])
def test_signs_of_life(message: str) -> None:
    assert bybit().parse(message) == (ReferenceHeard("main"),)


def test_a_refusal_is_told() -> None:
    refusal = {"success": False, "ret_msg": "error:handler not found,topic:orderbook.1.X", "op": "subscribe"}
    assert "handler not found" in broken_by(bybit(), refusal, StreamFault.CLOSED)


def test_what_makes_no_sense_breaks() -> None:
    broken_by(bybit(), update("sketch", [["1", "1"]], [["2", "1"]], 1))
    broken_by(bybit(), update("snapshot", [["1", "1"], ["0.5", "1"]], [["2", "1"]], 1))
    broken_by(bybit(), update("snapshot", [["1"]], [["2", "1"]], 1))
    broken_by(bybit(), update("snapshot", [["1", "1"]], [["2", "1"]], 1, "DOGEUSDT"))
    assert bybit().parse('{"topic":"publicTrade.BTCUSDT","type":"snapshot","data":[]}') == ()


def test_each_field_is_needed() -> None:
    numbers: list[tuple[str | int, ...]] = [("data", side, 0, place) for side in "ba" for place in (0, 1)]
    each_field_is_needed(bybit, SNAPSHOT, numbers, NOT_STRINGS)
    others: list[tuple[str | int, ...]] = [("data", "b"), ("data", "a"), ("data", "s"), ("data",), ("type",)]
    each_field_is_needed(bybit, SNAPSHOT, others, [1, None, "", {}])
    each_field_is_needed(bybit, SNAPSHOT, [("data", "u")], ["1", None, 1.5])


def test_anything() -> None:
    survives_anything(bybit, SNAPSHOT)
