"""A venue's time: read where it is one, and never a reason to break."""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.desk.events import ReferenceQuote
from maker.wire.references import venues
from maker.wire.references.adapter import TIME_CHARACTERS_MAX, TIME_SECONDS_MAX, moment
from maker.wire.references.described import SECONDS_BELOW
from maker.wire.references.exact import NumberText
from tests.wire.references import (
    test_binance,
    test_bybit,
    test_coinbase,
    test_described,
    test_hyperliquid,
    test_kraken,
    test_okx,
)
from tests.wire.references.torture import ANY_JSON, at

PRACTICE = (
    '{"type":"bbo","symbol":"BTC-USD","bid":"50000.1","bidSize":"0.1","ask":"50000.2","askSize":"3",'
    '"ts":1700000000250,"seq":4}'
)
TIMED_DEEP = attrs.evolve(test_described.DEEP, stated_at="data.time")
DEEP_QUOTE = test_described.DEEP_QUOTE.replace('"data":{', '"data":{"time":1700000000250,')
KRAKEN = test_kraken.TICKER.replace(
    '"change_pct":-0.17', '"change_pct":-0.17,"timestamp":"2023-09-25T09:04:31.742648Z"'
)

# Where each venue's message states its time, and what it states there; spot Binance states none, and Kraken one without
# saying what it times.
Place = tuple[str | int, ...]
STATED: dict[str, tuple[str, str, Place, float]] = {
    venues.PRACTICE: ("BTC-USD", PRACTICE, ("ts",), 1_700_000_000.25),
    "binance-usdm": ("BNBUSDT", test_binance.USDM, ("E",), 1_568_014_460.893),
    "bybit": ("BTCUSDT", test_bybit.SNAPSHOT, ("ts",), 1_672_304_484.978),
    "coinbase": ("BTC-USD", test_coinbase.TICKER, ("timestamp",), 1_675_974_637.167359),
    "hyperliquid": ("BTC", test_hyperliquid.BBO, ("data", "time"), 1_708_622_398.623),
    "okx": ("BCH-USDT-SWAP", test_okx.BBO, ("data", 0, "ts"), 1_670_324_386.802),
    venues.JSON: ("BTC-USD", DEEP_QUOTE, ("data", "time"), 1_700_000_000.25),
}
NO_TIMES: list[Any] = [None, True, False, -1, 0, "0", "", "now", [], {}, "NaN", "Infinity", 10**16, 10**400, "1e999"]


def only_quote(venue: str, message: str | object) -> ReferenceQuote:
    symbol = STATED[venue][0] if venue in STATED else {"binance": "BNBUSDT", "kraken": "ALGO/USD"}[venue]
    adapter = venues.adapter(venue, "main", (symbol,), TIMED_DEEP if venue == venues.JSON else None)
    (read,) = adapter.parse(message if isinstance(message, str) else json.dumps(message))
    assert isinstance(read, ReferenceQuote)
    return read


def test_every_venue_states_its_time_or_is_known_not_to() -> None:
    assert {*STATED, "binance", "kraken"} == set(venues.VENUES)
    assert only_quote("binance", test_binance.SPOT).stated_at is None
    assert only_quote("kraken", KRAKEN).stated_at is None


@pytest.mark.parametrize("venue", STATED)
def test_the_time_that_a_venue_states(venue: str) -> None:
    _, message, _, seconds = STATED[venue]
    assert only_quote(venue, message).stated_at == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("venue", STATED)
@pytest.mark.parametrize("odd", ["gone", *NO_TIMES], ids=lambda odd: repr(odd)[:20])
def test_a_quote_needs_no_time(venue: str, odd: Any) -> None:
    """Missing or absurd: the price is as good as it was."""
    _, message, place, _ = STATED[venue]
    tree = json.loads(message)
    parent = at(tree, place[:-1])
    if odd == "gone":
        del parent[place[-1]]
    else:
        parent[place[-1]] = odd
    read = only_quote(venue, tree)
    assert read.stated_at is None
    assert read == only_quote(venue, message)


@pytest.mark.parametrize("venue", STATED)
def test_numbers_of_any_length_are_no_time(venue: str) -> None:
    """The JSON reader refuses a number of some thousand digits, if it is asked to read it."""
    _, message, place, _ = STATED[venue]
    stated = json.dumps(at(json.loads(message), place))
    if venue != venues.JSON:  # which reads the whole message, whatever stands where: as ever, that breaks the stream
        assert only_quote(venue, message.replace(stated, "9" * 9_000)).stated_at is None
    assert only_quote(venue, message.replace(stated, "9" * 400)).stated_at is None


def test_the_time_makes_no_other_quote() -> None:
    """The same prices a second later are no change of price."""
    read = only_quote("okx", test_okx.BBO)
    assert read == attrs.evolve(read, stated_at=None)
    assert hash(read) == hash(attrs.evolve(read, stated_at=1.0))


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        (1_700_000_000_250, 1_700_000_000.25),
        ("1700000000250", 1_700_000_000.25),
        (1_700_000_000_250.5, 1_700_000_000.2505),
        (NumberText("1.70000000025e12"), 1_700_000_000.25),
        ("2023-11-14T22:13:20.25Z", 1_700_000_000.25),
        ("2023-11-14T22:13:20.250000999Z", 1_700_000_000.25),
        ("2023-11-14T23:13:20.25+01:00", 1_700_000_000.25),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        (1_700_000_000, 1_700_000.0),  # milliseconds, where nothing says otherwise
    ],
)
def test_moments(stated: object, seconds: float) -> None:
    assert moment(stated) == seconds
    assert moment(msgspec.Raw(json.dumps(stated).encode())) == seconds


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        (1_700_000_000, 1_700_000_000.0),
        ("1700000000.25", 1_700_000_000.25),
        (NumberText("1700000000.25"), 1_700_000_000.25),
        (1_700_000_000_250, 1_700_000_000.25),
        (int(SECONDS_BELOW), SECONDS_BELOW / 1000),
        (int(SECONDS_BELOW) - 1, SECONDS_BELOW - 1),
        ("1971-01-01T00:00:00Z", 31_536_000.0),
    ],
)
def test_seconds_are_told_by_their_size_where_a_feed_is_described(stated: object, seconds: float) -> None:
    assert moment(stated, SECONDS_BELOW) == seconds


def test_a_described_feed_may_state_seconds() -> None:
    for stated in ("1700000000.25", '"1700000000.25"', '"2023-11-14T22:13:20.25Z"'):
        assert only_quote(venues.JSON, DEEP_QUOTE.replace("1700000000250", stated)).stated_at == 1_700_000_000.25
    (untimed,) = venues.adapter(venues.JSON, "main", ("BTC-USD",), test_described.DEEP).parse(DEEP_QUOTE)
    assert isinstance(untimed, ReferenceQuote)
    assert untimed.stated_at is None, "no path is written: no time is looked for"


@pytest.mark.parametrize(
    "stated",
    [
        *NO_TIMES,
        "2023-11-14T22:13:20",  # of which zone?
        "2023-11-14",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+23:59",
        "2023-13-14T22:13:20Z",
        "1_700_000_000_250",
        " 1700000000250",
        "+1700000000250",
        "١٧٠٠٠٠٠٠٠٠٢٥٠",
        "\ud800",
        "9" * (TIME_CHARACTERS_MAX + 1),
        float("nan"),
        float("inf"),
        float("-inf"),
        object(),
        b"1700000000250",
        msgspec.Raw(b""),
        msgspec.Raw(b"\xff"),
        msgspec.Raw(b'"'),
        msgspec.Raw(b"[" * 100_000),
    ],
    ids=lambda stated: ascii(stated)[:20],
)
def test_what_is_no_moment(stated: object) -> None:
    assert moment(stated) is None
    assert moment(stated, SECONDS_BELOW) is None


@settings(max_examples=500, deadline=None)
@given(
    ANY_JSON | st.datetimes().map(str) | st.binary(max_size=50).map(msgspec.Raw), st.sampled_from([0, SECONDS_BELOW])
)
def test_any_moment(stated: object, seconds_below: float) -> None:
    """Never an error, and never a number that is none."""
    read = moment(stated, seconds_below)
    assert read is None or 0 < read <= TIME_SECONDS_MAX
