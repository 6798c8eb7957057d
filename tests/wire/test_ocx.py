"""OCX's spelling: what we write letter by letter, what we read of both sites, and what a refusal means."""

from __future__ import annotations

import contextlib
import json
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maker.desk import facts, market
from maker.desk.units import DECIMAL_TEXT
from maker.errors import OutcomeUnknown, Refused, Throttled, Unauthorized
from maker.wire import ocx

quick = settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

ON_THE_WIRE = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)  # S19


# -- what we write


def test_a_ladder_is_written_letter_by_letter() -> None:
    request = ocx.BulkRequest(
        market_id="BTC-PERP",
        quote_id="mk-1-q1",
        cancel_all=True,
        quotes=[
            ocx.Quote(
                side="buy",
                price="49975.0",
                quantity="0.010",
                client_order_id="mk-1-1",
                time_in_force="gtc",
                post_only=True,
                reduce_only=False,
            )
        ],
    )
    assert ocx.encode(request) == (
        b'{"marketId":"BTC-PERP","quoteId":"mk-1-q1","cancelAll":true,"quotes":[{"side":"buy","price":"49975.0",'
        b'"quantity":"0.010","clientOrderId":"mk-1-1","timeInForce":"gtc","postOnly":true,"reduceOnly":false}]}'
    )


def test_a_replace_always_says_whether_it_cancels() -> None:
    """`cancelAll` and an empty `quotes` are never left out: their absence would mean something else."""
    written = ocx.encode(ocx.BulkRequest(market_id="BTC-PERP", quote_id="q", quotes=[]))
    assert json.loads(written) == {"marketId": "BTC-PERP", "quoteId": "q", "cancelAll": False, "quotes": []}


def test_an_unscoped_cancel_all_is_the_empty_object() -> None:
    """Everything, all markets: one stray field would make it less."""
    assert ocx.encode(ocx.CancelAllRequest()) == b"{}"
    assert ocx.encode(ocx.CancelAllRequest(market_id="BTC-PERP")) == b'{"marketId":"BTC-PERP"}'
    assert ocx.encode(ocx.CancelAllRequest(quote_id="q", client_order_id="c", margin_mode="cross")) == (
        b'{"quoteId":"q","clientOrderId":"c","marginMode":"cross"}'
    )


def test_a_single_order_is_written_as_documented() -> None:
    request = ocx.OrderRequest(
        market_id="BTC-PERP",
        side="sell",
        quantity="0.5",
        price="1",
        client_order_id="c",
        time_in_force="ioc",
        post_only=False,
        reduce_only=True,
        margin_mode="isolated",
        stop_price="2",
        take_profit_price="3",
        stop_loss_price="4",
    )
    names = (
        "marketId side quantity price clientOrderId timeInForce postOnly reduceOnly marginMode stopPrice "
        "takeProfitPrice stopLossPrice"
    )
    assert set(json.loads(ocx.encode(request))) == set(names.split())  # type: a limit order is the default


def test_a_transfer_says_from() -> None:
    request = ocx.TransferRequest(from_="wallet", to="perps", amount="1.5")
    assert json.loads(ocx.encode(request)) == {"from": "wallet", "to": "perps", "amount": "1.5"}


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
@quick
def test_a_decimal_is_written_fixed_and_means_the_same(number: Decimal) -> None:
    """S19: no exponent, no negative zero, the value unchanged."""
    text = ocx.fixed(number)
    assert ON_THE_WIRE.fullmatch(text)
    assert Decimal(text) == number
    assert not text.startswith("-") or number < 0


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1E+3", "1000"),
        ("1E-7", "0.0000001"),
        ("-0", "0"),
        ("-0.00", "0.00"),
        ("0.10", "0.10"),
        ("-5", "-5"),
        ("0E+2", "0"),
    ],
)
def test_spellings_of_a_decimal(number: str, text: str) -> None:
    assert ocx.fixed(Decimal(number)) == text


@pytest.mark.parametrize("number", ["NaN", "-NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_never_written(number: str) -> None:
    """S19: a division gone wrong upstream stops here."""
    with pytest.raises(ValueError, match="finite"):
        ocx.fixed(Decimal(number))


# -- what we read

CURRENT_MARKET: dict[str, Any] = {
    "id": "BTC-PERP",
    "symbol": "BTC-PERP",
    "marketType": "perp",
    "baseSymbol": "BTC",
    "quoteSymbol": "USDC",
    "markPrice": "50000.0",
    "priceDecimals": 1,
    "sizeDecimals": 3,
    "indexMarketId": "BTC-CME",
    "novelty": {"unknown": [1, 2]},
}
OLDER_MARKET: dict[str, Any] = {
    "marketId": "BTC-PERP",
    "base": "BTC",
    "quote": "USDC",
    "type": "perp",
    "tradingStatus": "active",
    "tickSize": "0.1",
    "stepSize": "0.001",
    "minQuantity": "0.001",
    "priceBandLow": "40000",
    "priceBandHigh": "60000",
    "takerFeeBps": "5",
    "makerFeeBps": "-0.5",
    "fundingIntervalMs": 300000,
    "fundingMaxRateBps": "25",
}


def test_both_sites_markets_are_read() -> None:
    both = ocx.decode(json.dumps([CURRENT_MARKET, OLDER_MARKET]).encode(), list[ocx.Market])
    assert (both[0].id, both[0].market_type, both[0].price_decimals, both[0].tick_size) == ("BTC-PERP", "perp", 1, None)
    assert (both[1].market_id, both[1].tick_size, both[1].maker_fee_bps) == ("BTC-PERP", "0.1", "-0.5")


def test_every_documented_field_of_a_market_has_a_place() -> None:
    """A renamed attribute would silently read as absent."""
    fields = {field.encode_name for field in msgspec.structs.fields(ocx.Market)}
    assert set(CURRENT_MARKET) - {"novelty"} <= fields
    assert set(OLDER_MARKET) <= fields


ENVELOPE: dict[str, Any] = {
    "eventId": "01J",
    "eventType": "PerpStreamDelta",
    "eventSeq": 7,
    "engineTs": 1_700_000_000_000,
    "sourceTs": None,
    "correlationId": "older site",
    "payload": {
        "marketId": "BTC-PERP",
        "book": {
            "marketId": "BTC-PERP",
            "sequence": 7,
            "bids": [{"price": "49999.9", "size": "0", "total": "0"}],
            "asks": [{"price": "50000.1", "size": "0.5"}],
        },
        "trades": [
            {
                "id": "t1",
                "marketId": "BTC-PERP",
                "side": "buy",
                "price": "49999.9",
                "quantity": "0.1",
                "liquidity": "maker",
                "createdAt": "2026-11-22T12:00:00.000Z",
            }
        ],
        "positions": [
            {
                "id": "p1",
                "marketId": "BTC-PERP",
                "side": "buy",
                "quantity": "0.1",
                "entryPrice": "49999.9",
                "realizedPnl": "0",
                "status": "open",
            }
        ],
        "removedIds": ["p0"],
    },
}


def test_a_stream_event_is_read_whole() -> None:
    event = ocx.decode(json.dumps(ENVELOPE).encode(), ocx.Envelope)
    assert (event.event_seq, event.engine_ts, event.source_ts) == (7, 1_700_000_000_000, None)
    assert event.payload.book
    assert event.payload.trades
    assert event.payload.positions
    assert event.payload.book.bids == [ocx.Level(price="49999.9", size="0", total="0")]
    assert event.payload.trades[0].order_id is None
    assert event.payload.positions[0].entry_price == "49999.9"
    assert event.payload.removed_ids == ["p0"]


def test_what_is_read_is_what_was_written() -> None:
    """The maker and the practice exchange share the structs: a round trip changes nothing."""
    event = ocx.decode(json.dumps(ENVELOPE).encode(), ocx.Envelope)
    assert ocx.decode(ocx.encode(event), ocx.Envelope) == event


def test_parts_left_out_are_unset_and_not_written() -> None:
    left_out = ocx.decode(b"{}", ocx.StreamPayload)
    assert not left_out.trades
    assert ocx.encode(left_out) == b"{}"


@pytest.mark.parametrize("missing", ["eventSeq", "engineTs", "eventId", "payload"])
def test_an_event_without_what_we_rely_on_is_not_one(missing: str) -> None:
    body = {name: value for name, value in ENVELOPE.items() if name != missing}
    with pytest.raises(ValueError, match=missing):
        ocx.decode(json.dumps(body).encode(), ocx.Envelope)


@pytest.mark.parametrize("number", [0.1, 1, True, None])
def test_a_price_that_is_no_text_is_refused(number: object) -> None:
    """Numbers are strings both ways, never a float."""
    with pytest.raises(ValueError, match="price"):
        ocx.decode(json.dumps({"price": number, "size": "1"}).encode(), ocx.Level)


def test_a_resting_order_is_never_read_as_less_than_it_may_be() -> None:
    """GET /perps/orders has no documented shape. An order whose remaining size is not stated is not of size zero."""
    row = {"id": "o1", "marketId": "BTC-PERP", "side": "buy", "price": "1", "quantity": "0.5", "status": "open"}
    order = ocx.decode(json.dumps(row).encode(), ocx.OrderState)
    assert order.remaining_quantity in (None, "0.5")


names = st.sampled_from(["error", "code", "message", "retryAfterMs", "orders"])
garbage = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=40).map(str.encode),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(names, inner),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)
SHAPES = [ocx.Envelope, ocx.BulkAnswer, ocx.OpenOrders, ocx.ErrorBody, ocx.Balances, ocx.MarketStats, ocx.StreamError]


@given(garbage, st.sampled_from(SHAPES))
@quick
def test_garbage_is_read_or_a_value_error(body: bytes, shape: type[object]) -> None:
    """It parses or raises our error, nothing else."""
    with contextlib.suppress(ValueError):
        assert isinstance(ocx.decode(body, shape), shape)


def test_garbage_nested_ten_thousand_deep_is_a_value_error() -> None:
    """In a field we do not even read."""
    body = b'{"error":"X","message":"m","novelty":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    with pytest.raises(ValueError):
        ocx.decode(body, ocx.ErrorBody)
    assert isinstance(ocx.refusal(422, body, 0.0), Refused)


# -- errors

MARGIN_CURRENT = b'{"error":"INSUFFICIENT_MARGIN","message":"not enough"}'
MARGIN_OLDER = (
    b'{"error":"BusinessRejection","code":"INSUFFICIENT_MARGIN","message":"not enough","details":{"free":"1"}}'
)


@pytest.mark.parametrize("body", [MARGIN_CURRENT, MARGIN_OLDER], ids=["current", "older"])
def test_both_sites_error_bodies_give_the_code(body: bytes) -> None:
    error = ocx.refusal(422, body, 0.0)
    assert isinstance(error, Refused)
    assert (error.status, error.code, error.message) == (422, "INSUFFICIENT_MARGIN", "not enough")


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"INSUFFICIENT_MARGIN"}',
        b'{"error":"INSUFFICIENT_MARGIN","message":null}',
        b'{"error":"INSUFFICIENT_MARGIN","message":"m","retryAfterMs":0.5}',
        b'{"error":"INSUFFICIENT_MARGIN","message":"m","code":null}',
    ],
)
def test_the_code_is_read_whatever_else_an_error_body_lacks(body: bytes) -> None:
    """Branch on the status first, then on the code: margin must be recognised, or we do not de-risk."""
    error = ocx.refusal(422, body, 0.0)
    assert isinstance(error, Refused)
    assert error.code == "INSUFFICIENT_MARGIN"


BODIES = [
    MARGIN_CURRENT,
    MARGIN_OLDER,
    b"",
    b"<html>502</html>",
    b"null",
    b"[]",
    b'"x"',
    b"\xff\xfe",
    b'{"error":1}',
    b"{}",
]


@pytest.mark.parametrize("body", BODIES, ids=[repr(body)[:24] for body in BODIES])
def test_the_status_decides_first(body: bytes) -> None:
    """Whatever the body is: F26 to F31."""
    for status in (400, 404, 409, 422):
        assert isinstance(ocx.refusal(status, body, 0.0), Refused)
    for status in (401, 403):
        error = ocx.refusal(status, body, 0.0)
        assert isinstance(error, Unauthorized)
        assert error.status == status
    throttled = ocx.refusal(429, body, 2.5)
    assert isinstance(throttled, Throttled)
    assert throttled.seconds == 2.5
    for status in (100, 301, 307, 500, 502, 503, 504, 599, 999):
        assert isinstance(ocx.refusal(status, body, 0.0), OutcomeUnknown), status


@pytest.mark.parametrize("body", [b'{"error":"KEY_REVOKED"}', b'{"error":"Conflict","code":"KEY_REVOKED"}'])
def test_a_revoked_key_is_no_credential(body: bytes) -> None:
    """Documented as a 409, which is otherwise a refusal of the one call."""
    error = ocx.refusal(409, body, 0.0)
    assert isinstance(error, Unauthorized)
    assert (error.status, error.code) == (409, "KEY_REVOKED")
    assert isinstance(ocx.refusal(409, b'{"error":"MARKET_HALTED"}', 0.0), Refused)
    assert isinstance(ocx.refusal(422, body, 0.0), Refused)


@given(st.integers(100, 599).filter(lambda status: not 200 <= status < 300), garbage)
@quick
def test_only_a_4xx_says_not_applied(status: int, body: bytes) -> None:
    """Refused and Throttled mean known not applied; everything else leaves the outcome open."""
    error = ocx.refusal(status, body, 1.0)
    known = isinstance(error, (Refused, Throttled, Unauthorized))
    assert known == (400 <= status < 500 and status != 408)  # 408 says that the request was not whole in time


def test_a_long_body_does_not_become_a_long_message() -> None:
    error = ocx.refusal(400, b"x" * 100_000, 0.0)
    assert len(str(error)) < 200


def test_the_desk_spells_the_codes_it_acts_on_as_the_wire_does() -> None:
    """The desk may not import the wire, so the two spellings are held together here."""
    assert market.MARGIN_CODE == ocx.INSUFFICIENT_MARGIN
    assert market.DUPLICATE_CODE == ocx.DUPLICATE_CLIENT_ORDER_ID
    assert facts.HALTED_CODE == ocx.MARKET_HALTED


def test_the_gate_for_decimals_is_the_documented_one() -> None:
    assert DECIMAL_TEXT.pattern.replace("?:", "").replace("[0-9]", r"\d") == ON_THE_WIRE.pattern
    assert DECIMAL_TEXT.flags & re.ASCII
