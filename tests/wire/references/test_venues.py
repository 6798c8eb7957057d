"""Each venue by name: what it needs, and what all of them promise."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.wire.references import venues
from maker.wire.references.adapter import PING_SECONDS, REASON_CHARACTERS_MAX
from maker.wire.references.described import Described
from tests.wire.references import (
    test_binance,
    test_bybit,
    test_coinbase,
    test_described,
    test_hyperliquid,
    test_kraken,
    test_okx,
)
from tests.wire.references.torture import survives_any_value, survives_anything

DESCRIBED = Described("{symbol}", "s", "b", "bs", "a", "as")
LISTED = '{"result":["bnbusdt@bookTicker"],"id":2}'
REFUSED = '{"error":{"code":2,"msg":"Invalid request"},"code":2,"msg":"no","id":1}'
ROOMS = Path(venues.__file__).parent
BBO = '{"type":"bbo","symbol":"BTC-USD","bid":"50000.1","bidSize":"0.1","ask":"50000.2","askSize":"3"}'
# The messages that each documents, as its own tests have them: with what they must be asked for to be read.
DOCUMENTED: dict[str, tuple[str, list[str]]] = {
    venues.PRACTICE: ("BTC-USD", [BBO, '{"type":"heartbeat","ts":1700000000000,"seq":2}']),
    "binance": ("BNBUSDT", [test_binance.SPOT, LISTED, REFUSED]),
    "binance-usdm": ("BNBUSDT", [test_binance.USDM, LISTED, REFUSED]),
    "bybit": ("BTCUSDT", [test_bybit.SNAPSHOT, test_bybit.ACK, test_bybit.PONG]),
    "coinbase": ("BTC-USD", [test_coinbase.TICKER, test_coinbase.HEARTBEAT, '{"type":"error","message":"no"}']),
    "hyperliquid": ("BTC", [test_hyperliquid.BBO, test_hyperliquid.ACK, '{"channel":"error","data":"no"}']),
    "kraken": ("ALGO/USD", [test_kraken.TICKER, test_kraken.ACK, test_kraken.PONG, test_kraken.STATUS]),
    "okx": ("BCH-USDT-SWAP", [test_okx.BBO, test_okx.ACK, test_okx.REFUSAL, test_okx.NOTICE]),
    venues.JSON: ("BTC-USD", [test_described.DEEP_QUOTE, '{"channel":"heartbeat","error":{"message":null}}']),
}


@pytest.mark.parametrize("venue", venues.VENUES)
def test_any_value_in_any_documented_place(venue: str) -> None:
    """An error of another kind would end the maker, at a message of somebody else's."""
    symbol, messages = DOCUMENTED[venue]
    described = test_described.DEEP if venue == venues.JSON else None
    survives_any_value(lambda: venues.adapter(venue, "main", (symbol,), described), messages)


@pytest.mark.parametrize("venue", venues.VENUES)
def test_every_venue_can_be_made(venue: str) -> None:
    """A new one each time: what one connection learnt is void on the next."""
    described = DESCRIBED if venue == venues.JSON else None
    one, other = (venues.adapter(venue, "main", ("BTC",), described) for _ in range(2))
    assert one is not other
    assert one.source == "main"
    assert one.symbols == ("BTC",)
    assert one.opening()
    assert one.ping_seconds == PING_SECONDS
    assert one.address("wss://x.example") == "wss://x.example"


@pytest.mark.parametrize("venue", venues.VENUES)
def test_public_addresses_are_encrypted(venue: str) -> None:
    url = venues.default_url(venue)
    assert (url == "") == (venue in {venues.PRACTICE, venues.JSON})
    assert not url or urlsplit(url).scheme == "wss"


def test_every_room_is_reachable() -> None:
    """A venue's room that nobody can name would be dead."""
    rooms = {path.stem for path in ROOMS.glob("*.py")} - {"__init__", "adapter", "exact", "venues"}
    assert rooms == {kind.__module__.rpartition(".")[2] for kind in venues.BUILT.values()} | {"described"}


def test_the_practice_feed() -> None:
    """The same words as before, by the same interface."""
    adapter = venues.adapter(venues.PRACTICE, "alpha", ("BTC-USD",))
    assert adapter.opening() == ('{"op":"subscribe","symbols":["BTC-USD"]}',)
    quote = ReferenceQuote("alpha", "BTC-USD", Decimal("50000.1"), Decimal("0.1"), Decimal("50000.2"), Decimal(3))
    assert adapter.parse(BBO) == (quote,)
    assert adapter.parse('{"type":"heartbeat"}') == (ReferenceHeard("alpha"),)
    survives_anything(lambda: venues.adapter(venues.PRACTICE, "alpha", ("BTC-USD",)), BBO)


def test_a_venues_words_are_bounded_and_cannot_play_with_a_terminal() -> None:
    broken = venues.adapter("okx", "main", ("BTC",)).refused("\x1b[2J" + "x" * 10_000)
    assert "\x1b" not in str(broken)
    assert len(str(broken)) < 2 * REASON_CHARACTERS_MAX
