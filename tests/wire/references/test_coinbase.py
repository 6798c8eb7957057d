"""Coinbase Advanced Trade: the documented messages, and nothing else, become facts."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from maker.desk.events import ReferenceQuote
from maker.errors import StreamFault
from maker.wire.references.coinbase import Coinbase
from tests.wire.references.torture import NO_PRICE, NOT_STRINGS, broken_by, each_field_is_needed, survives_anything

# advanced-trade-apis/websocket/websocket-channels, Ticker Channel
TICKER = (
    '{"channel":"ticker","client_id":"","timestamp":"2023-02-09T20:30:37.167359596Z","sequence_num":0,"events":'
    '[{"type":"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"21932.98",'
    '"volume_24_h":"16038.28770938","low_24_h":"21835.29","high_24_h":"23011.18","low_52_w":"15460",'
    '"high_52_w":"48240","price_percent_chg_24_h":"-4.15775596190603","best_bid":"21931.98",'
    '"best_bid_quantity":"8000.21","best_ask":"21933.98","best_ask_quantity":"8038.07770938"}]}]}'
)
# the same page, Heartbeats Channel
HEARTBEAT = (
    '{"channel":"heartbeats","client_id":"","timestamp":"2023-06-23T20:31:26.122969572Z","sequence_num":0,"events":'
    '[{"current_time":"2023-06-23 20:31:56.121961769 +0000 UTC m=+91717.525857105","heartbeat_counter":"3049"}]}'
)
QUOTE = ReferenceQuote(
    "main", "BTC-USD", Decimal("21931.98"), Decimal("8000.21"), Decimal("21933.98"), Decimal("8038.07770938")
)
TOP: tuple[str | int, ...] = ("events", 0, "tickers", 0)


def coinbase() -> Coinbase:
    return Coinbase("main", ("BTC-USD", "ETH-USD"))


def test_a_quote_is_exact() -> None:
    assert coinbase().parse(TICKER) == (QUOTE,)


def test_what_we_ask_for() -> None:
    assert coinbase().opening() == (
        '{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":"ticker"}',
        '{"type":"subscribe","channel":"heartbeats"}',
    )
    assert coinbase().ping is None


@pytest.mark.parametrize(
    "message", [HEARTBEAT, '{"channel":"subscriptions","events":[{"subscriptions":{"ticker":["BTC-USD"]}}]}']
)
def test_a_heartbeat_does_not_confirm_a_price(message: str) -> None:
    """The book may have moved since the last match: an old price must grow old."""
    assert coinbase().parse(message) == ()


def test_a_refusal_is_told() -> None:
    assert "no such" in broken_by(coinbase(), {"type": "error", "message": "no such channel"}, StreamFault.CLOSED)


@pytest.mark.parametrize(("field", "value"), [("best_bid", ""), ("best_bid_quantity", ""), ("best_bid_quantity", "0")])
def test_an_empty_side_is_no_price(field: str, value: str) -> None:
    tree = json.loads(TICKER)
    tree["events"][0]["tickers"][0][field] = value
    read = coinbase().parse(json.dumps(tree))[0]
    assert isinstance(read, ReferenceQuote)
    assert (read.bid, read.bid_size) == NO_PRICE
    assert read.ask == QUOTE.ask


def test_several_at_once() -> None:
    """Events and tickers come in lists."""
    tree = json.loads(TICKER)
    tree["events"].append(tree["events"][0])
    assert coinbase().parse(json.dumps(tree)) == (QUOTE, QUOTE)


def test_a_product_in_usdc_is_told() -> None:
    """It is answered as its twin in USD: the sentence names both."""
    told = broken_by(Coinbase("main", ("BTC-USDC",)), TICKER)
    assert "'BTC-USD'" in told
    assert "BTC-USDC" in told


def test_each_field_is_needed() -> None:
    numbers = [(*TOP, name) for name in ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")]
    each_field_is_needed(coinbase, TICKER, numbers, [value for value in NOT_STRINGS if value != ""])
    each_field_is_needed(coinbase, TICKER, [(*TOP, "product_id"), ("events",), TOP[:3]], [1, None, "", {}])
    broken_by(coinbase(), {"events": []})


def test_anything() -> None:
    survives_anything(coinbase, TICKER)
