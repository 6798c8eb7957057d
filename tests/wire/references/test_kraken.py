"""Kraken v2: the documented messages, and nothing else, become facts; JSON numbers are read digit by digit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.errors import StreamFault
from maker.wire.references.kraken import Kraken
from tests.wire.references.torture import NO_PRICE, NOT_NUMBERS, broken_by, each_field_is_needed, survives_anything

# spot-websocket-v2/ticker, snapshot
TICKER = (
    '{"channel":"ticker","type":"snapshot","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,'
    '"ask_qty":1361.44813783,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,'
    '"change":-0.00017,"change_pct":-0.17}]}'
)
ACK = (
    '{"method":"subscribe","result":{"channel":"ticker","event_trigger":"bbo","snapshot":true,"symbol":"ALGO/USD"},'
    '"success":true,"time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z"}'
)
REFUSAL = (
    '{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD",'
    '"time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z"}'
)
PONG = (  # spot-websocket-v2/ping, without the id that we do not send
    '{"method":"pong","time_in":"2023-09-24T14:10:23.799685Z","time_out":"2023-09-24T14:10:23.799703Z"}'
)
STATUS = (  # spot-websocket-v2/status
    '{"channel":"status","data":[{"api_version":"v2","connection_id":13834774380200032777,"system":"online",'
    '"version":"2.0.0"}],"type":"update"}'
)
QUOTE = ReferenceQuote(
    "main", "ALGO/USD", Decimal("0.10025"), Decimal("740.0"), Decimal("0.10036"), Decimal("1361.44813783")
)
TOP: tuple[str | int, ...] = ("data", 0)


def kraken() -> Kraken:
    return Kraken("main", ("ALGO/USD",))


def test_a_quote_is_exact() -> None:
    """0.10025 as a float would be 0.100250000000000005…; trailing zeros stay."""
    assert kraken().parse(TICKER) == (QUOTE,)
    read = kraken().parse(TICKER.replace('"snapshot"', '"update"'))[0]
    assert isinstance(read, ReferenceQuote)
    assert [str(number) for number in (read.bid, read.bid_size, read.ask)] == ["0.10025", "740.0", "0.10036"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1.5e-7", "0.00000015"), ("2E3", "2000"), ("0.12345678901234567890", "0.12345678901234567890"), ('"0.1"', "0.1")],
)
def test_however_a_number_is_written(written: str, meant: str) -> None:
    read = kraken().parse(TICKER.replace("0.10025", written))[0]
    assert isinstance(read, ReferenceQuote)
    assert read.bid == Decimal(meant)


@pytest.mark.parametrize("written", ["1e99", "1e-50", "1e9999999", "1" * 41])
def test_a_number_of_absurd_length_breaks(written: str) -> None:
    broken_by(kraken(), TICKER.replace("0.10025", written))


def test_what_we_ask_for() -> None:
    assert kraken().opening() == (
        '{"method":"subscribe","params":{"channel":"ticker","symbol":["ALGO/USD"],"event_trigger":"bbo",'
        '"snapshot":true}}',
    )


def test_a_quiet_symbol_beside_a_busy_one_is_asked_for() -> None:
    """Heartbeats come only where the connection is silent: the busy one's prices kept them from the quiet one."""
    assert kraken().ping == '{"method":"ping"}'
    assert kraken().parse(PONG) == (ReferenceHeard("main"),)


@pytest.mark.parametrize("message", ['{"channel":"heartbeat"}', ACK, '{"method":"pong","req_id":101}'])
def test_signs_of_life(message: str) -> None:
    assert kraken().parse(message) == (ReferenceHeard("main"),)


def test_a_refusal_is_told() -> None:
    assert "Currency pair not supported XBT/USD" in broken_by(kraken(), REFUSAL, StreamFault.CLOSED)


@pytest.mark.parametrize("system", ["maintenance", "cancel_only", "post_only"])
def test_prices_of_a_venue_that_does_not_match_are_none(system: str) -> None:
    assert kraken().parse(STATUS) == ()
    assert system in broken_by(kraken(), STATUS.replace("online", system), StreamFault.CLOSED)


def test_a_side_of_size_0_is_no_price() -> None:
    read = kraken().parse(TICKER.replace("1361.44813783", "0.0"))[0]
    assert isinstance(read, ReferenceQuote)
    assert (read.ask, read.ask_size) == NO_PRICE


def test_each_field_is_needed() -> None:
    numbers = [(*TOP, name) for name in ("bid", "bid_qty", "ask", "ask_qty")]
    each_field_is_needed(kraken, TICKER, numbers, ["", *NOT_NUMBERS])
    each_field_is_needed(kraken, TICKER, [(*TOP, "symbol"), ("data",)], [1, None, "", {}])
    broken_by(kraken(), {"data": []})


def test_anything() -> None:
    survives_anything(kraken, TICKER)
