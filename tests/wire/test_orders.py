"""Ladders out as literal bytes, and every answer the exchange may give to one."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import (
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnknown,
    LevelOrder,
    MarketSpec,
    PlacedOrder,
    PlaceLadder,
    PreviewOrder,
)
from maker.desk.units import Grid, Side
from maker.errors import Unauthorized
from maker.wire.orders import LadderOutcome, ladder_body, ladder_outcome, levels_json, preview_body

NUMBER = re.compile(r"^-?(0|[1-9]\d*)(\.\d+)?$", re.ASCII)  # S19
WAIT_SECONDS = 7.5  # what the headers asked for; counts for 429 only


def spec(tick: str = "0.1", lot: str = "0.001") -> MarketSpec:
    return MarketSpec("BTC-PERP", Grid.of(Decimal(tick), Decimal(lot)), 1, None, None, Decimal(0), Decimal(0))


LADDER = PlaceLadder(
    "BTC-PERP",
    "mk-e-q1",
    (
        LevelOrder("mk-e-1", Side.BUY, 500_001, 20, reduce_only=False),
        LevelOrder("mk-e-2", Side.SELL, 500_010, 1000, reduce_only=True),
    ),
    "age",
)
EMPTY = PlaceLadder("BTC-PERP", "mk-e-q2", (), "age")


def outcome(status: int, body: bytes, ladder: PlaceLadder = LADDER) -> LadderOutcome:
    return ladder_outcome(ladder, status, body, WAIT_SECONDS)


# -- out ----------------------------------------------------------------------------------------------------------

LEVELS = (
    b'[{"side":"buy","price":"50000.1","quantity":"0.020","clientOrderId":"mk-e-1","timeInForce":"gtc",'
    b'"postOnly":true,"reduceOnly":false},'
    b'{"side":"sell","price":"50001.0","quantity":"1.000","clientOrderId":"mk-e-2","timeInForce":"gtc",'
    b'"postOnly":true,"reduceOnly":true}]'
)


def test_the_body_of_a_ladder() -> None:
    """Byte for byte: numbers are texts, the replace is atomic, every level is post-only and named."""
    assert ladder_body(spec(), LADDER) == (
        b'{"marketId":"BTC-PERP","quoteId":"mk-e-q1","cancelAll":true,"quotes":' + LEVELS + b"}"
    )
    assert levels_json(spec(), LADDER) == LEVELS


def test_the_body_of_a_preview() -> None:
    """The documented five fields, every number a text; no id and no flag: nothing is placed."""
    assert preview_body(spec(), PreviewOrder("BTC-PERP", Side.SELL, 500_010, 20)) == (
        b'{"marketId":"BTC-PERP","side":"sell","type":"limit","price":"50001.0","quantity":"0.020"}'
    )


def test_the_body_of_an_empty_ladder() -> None:
    """Removes what rests, places nothing."""
    assert ladder_body(spec(), EMPTY) == (b'{"marketId":"BTC-PERP","quoteId":"mk-e-q2","cancelAll":true,"quotes":[]}')


STEPS = ["0.1", "0.01", "0.5", "0.25", "1", "5", "10", "1E+1", "0.000001", "1E-8", "0.10", "100"]


@given(
    st.sampled_from(STEPS),
    st.sampled_from(STEPS),
    st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 10**12), st.integers(1, 10**12)), max_size=6),
)
def test_numbers_on_the_wire_are_fixed_decimals_and_exact(
    tick: str, lot: str, levels: list[tuple[Side, int, int]]
) -> None:
    """S19: no exponent, no leading zero, and the value is the one meant."""
    orders = tuple(LevelOrder(f"mk-{n}", side, ticks, lots, False) for n, (side, ticks, lots) in enumerate(levels))
    ladder = PlaceLadder("BTC-PERP", "q", orders, "")
    quotes = json.loads(ladder_body(spec(tick, lot), ladder))["quotes"]
    assert len(quotes) == len(levels)
    for quote, (side, ticks, lots) in zip(quotes, levels, strict=True):
        assert NUMBER.fullmatch(quote["price"])
        assert NUMBER.fullmatch(quote["quantity"])
        assert Decimal(quote["price"]) == Decimal(tick) * ticks
        assert Decimal(quote["quantity"]) == Decimal(lot) * lots
        assert quote["side"] == side.value


# -- 2xx ----------------------------------------------------------------------------------------------------------


def state(client_order_id: str, status: str, order_id: str | None = "O", **fields: Any) -> dict[str, Any]:
    """One level as the answer lists it."""
    return {
        "id": order_id,
        "marketId": "BTC-PERP",
        "clientOrderId": client_order_id,
        "quoteId": "mk-e-q1",
        "side": "buy",
        "type": "limit",
        "price": "50000.1",
        "quantity": "0.020",
        "filledQuantity": "0",
        "remainingQuantity": "0.020",
        "status": status,
        **fields,
    }


def applied(*orders: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"marketId": "BTC-PERP", "quoteId": "mk-e-q1", "orders": list(orders), **fields}).encode()


def test_a_ladder_that_rests() -> None:
    body = applied(state("mk-e-1", "open", "A"), state("mk-e-2", "partially_filled", "B"), engineTs=17, cancelled=2)
    assert outcome(200, body) == LadderPlaced(
        "BTC-PERP",
        "mk-e-q1",
        (PlacedOrder("mk-e-1", "A", resting=True), PlacedOrder("mk-e-2", "B", resting=True)),
        17,
    )


def test_the_answer_as_bytes() -> None:
    """Literal, so that no helper of ours can share its mistake; unknown fields pass."""
    body = (
        b'{"marketId":"BTC-PERP","quoteId":"mk-e-q1","cancelled":0,"engineTs":1700000000123,"note":{"x":[]},'
        b'"orders":[{"id":"01A","marketId":"BTC-PERP","clientOrderId":"mk-e-1","side":"buy","quantity":"0.020",'
        b'"status":"open"},{"marketId":"BTC-PERP","clientOrderId":"mk-e-2","side":"sell","quantity":"1.000",'
        b'"status":"rejected","code":"POST_ONLY_WOULD_CROSS"}]}'
    )
    assert outcome(201, body) == LadderPlaced(
        "BTC-PERP",
        "mk-e-q1",
        (PlacedOrder("mk-e-1", "01A", True), PlacedOrder("mk-e-2", None, False, "POST_ONLY_WOULD_CROSS")),
        1_700_000_000_123,
    )


@pytest.mark.parametrize(
    ("level", "fate"),
    [
        (state("x", "open", "A"), PlacedOrder("x", "A", True)),
        (state("x", "partially_filled", "A"), PlacedOrder("x", "A", True)),
        (state("x", "filled", "A"), PlacedOrder("x", "A", False, None)),  # its fill has yet to be reported
        (
            state("x", "rejected", None, code="INSUFFICIENT_MARGIN"),
            PlacedOrder("x", None, False, "INSUFFICIENT_MARGIN"),
        ),
        (
            state("x", "rejected", None, reason="INSUFFICIENT_MARGIN"),
            PlacedOrder("x", None, False, "INSUFFICIENT_MARGIN"),
        ),
        (state("x", "rejected", None, code="A", reason="a sentence"), PlacedOrder("x", None, False, "A")),
        (state("x", "rejected", None, code=None, reason=None), PlacedOrder("x", None, False, "rejected")),
        (state("x", "open", "A", reason=""), PlacedOrder("x", "A", True)),
        ({"clientOrderId": "x", "status": "open"}, PlacedOrder("x", None, True)),
        ({"clientOrderId": "x", "status": "rejected", "code": "A"}, PlacedOrder("x", None, False, "A")),
        (state("x", "rejected", None), PlacedOrder("x", None, False, "rejected")),
        (state("x", "cancelled", "A", code="SELF_TRADE"), PlacedOrder("x", "A", False, "SELF_TRADE")),
        (state("x", "canceled", "A"), PlacedOrder("x", "A", False, "canceled")),
        (state("x", "CANCELED", "A", code="SELF_TRADE"), PlacedOrder("x", "A", False, "SELF_TRADE")),
        (state("x", "expired", "A"), PlacedOrder("x", "A", False, "expired")),
    ],
    ids=lambda value: value["status"] if isinstance(value, dict) else "",
)
def test_the_fates_of_a_level(level: dict[str, Any], fate: PlacedOrder) -> None:
    assert outcome(200, applied(level)) == LadderPlaced("BTC-PERP", "mk-e-q1", (fate,), None)


@pytest.mark.parametrize("status", ["new", "accepted", "pending", "OPEN", "working", ""])
def test_a_level_of_unknown_status_may_rest(status: str) -> None:
    """S7: the statuses are our guess. What is not known to be over must go on counting, never be taken as filled."""
    placed = outcome(200, applied(state("mk-e-1", status, "A"), state("mk-e-2", "open", "B")))
    if isinstance(placed, LadderPlaced):
        assert placed.orders is not None
        named = {order.client_order_id: order for order in placed.orders}
        assert "mk-e-1" not in named or named["mk-e-1"].resting
    else:
        assert isinstance(placed, LadderUnknown)


def test_partial_rejections_name_each_level() -> None:
    """F30: accepted some of them."""
    placed = outcome(
        200, applied(state("mk-e-1", "open", "A"), state("mk-e-2", "rejected", None, code="INSUFFICIENT_MARGIN"))
    )
    assert isinstance(placed, LadderPlaced)
    assert placed.orders == (
        PlacedOrder("mk-e-1", "A", True),
        PlacedOrder("mk-e-2", None, False, "INSUFFICIENT_MARGIN"),
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"marketId":"BTC-PERP"}',
        b'{"marketId":"BTC-PERP","quoteId":"mk-e-q1"}',
        b'{"marketId":"BTC-PERP","orders":null}',
        b'{"quoteId":"mk-e-q1"}',
        b'{"quoteId":"mk-e-q1","accepted":2,"cancelled":["A","B"],"error":null}',
    ],
)
def test_a_bare_acknowledgement_names_no_orders(body: bytes) -> None:
    """None says that what rests must be read; an empty list would say that nothing does."""
    assert outcome(200, body) == LadderPlaced("BTC-PERP", "mk-e-q1", None, None)


@pytest.mark.parametrize("body", [b"[%s]", b'{"orders":[%s]}'])
def test_levels_that_name_an_order_of_ours_are_this_ladders(body: bytes) -> None:
    """An order's id is never used twice, so whatever names one answers the ladder that has it."""
    levels = json.dumps(state("mk-e-1", "open", "A")) + "," + json.dumps(state("mk-d-9", "cancelled", "B"))
    assert outcome(200, body % levels.encode()) == LadderPlaced(
        "BTC-PERP", "mk-e-q1", (PlacedOrder("mk-e-1", "A", True), PlacedOrder("mk-d-9", "B", False, "cancelled")), None
    )
    assert isinstance(outcome(200, body % json.dumps(state("mk-d-9", "open")).encode()), LadderUnknown)


def test_levels_without_our_id_are_not_taken_for_ours() -> None:
    """What cannot be matched is left out, so that the answer counts as incomplete."""
    assert outcome(200, applied(state("", "open"), {**state("x", "open"), "clientOrderId": None})) == LadderPlaced(
        "BTC-PERP", "mk-e-q1", (), None
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"OK",
        b"<html>fine</html>",
        b'{"ok":true}',
        b'{"success":false}',
        b'{"error":"INSUFFICIENT_MARGIN","message":"no"}',
        b'{"error":{"code":"X"},"marketId":"BTC-PERP"}',
        b'{"error":"X","marketId":"BTC-PERP","quoteId":"mk-e-q1","orders":[]}',
        b'{"marketId":null,"quoteId":null,"orders":[]}',
        b'[{"clientOrderId":"mk-e-1"}]',
        b'[{"status":"open"}]',
        b'{"quoteId":"mk-e-q0"}',
        b'{"marketId":"ETH-PERP","quoteId":"mk-e-q1"}',
        b'{"marketId":"BTC-PERP","orders":[{}]}',
        b'{"marketId":"BTC-PERP","orders":{}}',
        b'{"marketId":"BTC-PERP","engineTs":"soon"}',
        b'{"marketId":"ETH-PERP","quoteId":"mk-e-q1","orders":[]}',  # of another market
        b'{"marketId":"BTC-PERP","quoteId":"mk-e-q0","orders":[]}',  # of another ladder
        b'{"marketId":"BTC-PERP"',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status", [200, 202])
def test_a_success_that_cannot_be_read_is_unknown(status: int, body: bytes) -> None:
    """S11: never booked as success, nor as refusal."""
    result = outcome(status, body)
    assert isinstance(result, LadderUnknown)
    assert (result.market_id, result.quote_id) == ("BTC-PERP", "mk-e-q1")


# -- the rest -----------------------------------------------------------------------------------------------------


def current(code: str, message: str = "said so") -> bytes:
    return json.dumps({"error": code, "message": message}).encode()


def older(code: str, message: str = "said so") -> bytes:
    return json.dumps({"error": "SomeFamily", "code": code, "message": message, "details": {"a": [1]}}).encode()


SPELLINGS = pytest.mark.parametrize("spelled", [current, older])


@SPELLINGS
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ENUM"),
        (400, "INSUFFICIENT_BUCKET"),
        (404, "UNKNOWN_MARKET"),
        (409, "MARKET_HALTED"),
        (409, "CONFLICT"),
        (422, "INSUFFICIENT_MARGIN"),
        (422, "POST_ONLY_WOULD_CROSS"),
        (422, "NOBODY_KNOWS_THIS_CODE"),
    ],
)
def test_refusals(spelled: Any, status: int, code: str) -> None:
    """Known not applied; the code is what the desk decides by."""
    assert outcome(status, spelled(code)) == LadderRefused("BTC-PERP", "mk-e-q1", status, code, "said so")


@SPELLINGS
def test_a_duplicate_id_is_unknown(spelled: Any) -> None:
    """S12: somebody has applied a request with our id. It cannot have been us: cancel, read back."""
    result = outcome(409, spelled("DUPLICATE_CLIENT_ORDER_ID"))
    assert isinstance(result, LadderUnknown)
    assert "DUPLICATE_CLIENT_ORDER_ID" in result.detail


@SPELLINGS
@pytest.mark.parametrize("status", [401, 403, 409])
def test_credentials_are_raised(spelled: Any, status: int) -> None:
    with pytest.raises(Unauthorized) as caught:
        outcome(status, spelled("KEY_REVOKED"))
    assert (caught.value.status, caught.value.code) == (status, "KEY_REVOKED")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":"RATE_LIMITED","retryAfterMs":7500}', b"[1]"])
def test_throttled_waits_as_the_caller_was_told(body: bytes) -> None:
    assert outcome(429, body) == LadderThrottled("BTC-PERP", "mk-e-q1", WAIT_SECONDS)


@pytest.mark.parametrize("status", [100, 199, 300, 301, 304, 307, 408, 500, 502, 503, 504, 599, 600])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html><h1>502 Bad Gateway</h1></html>", current("INTERNAL"), older("INTERNAL"), applied(), b"\xff\xfe"],
)
def test_what_is_neither_is_unknown(status: int, body: bytes) -> None:
    """F29, F31: a server's error, a proxy's page, a redirect: applied or not, nobody can say.

    Storm seed 6213: nor of a 408, which was sent to an idle connection and crossed with the ladder.
    """
    assert isinstance(outcome(status, body), LadderUnknown)


@pytest.mark.parametrize("status", [400, 404, 409, 422])
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"{}", b"[]", b"null", b'{"error":{"code":"X"}}', b"\xff"])
def test_a_refusal_without_readable_words_is_still_one(status: int, body: bytes) -> None:
    """Branch on the status first."""
    result = outcome(status, body)
    assert isinstance(result, LadderRefused)
    assert (result.status, result.code) == (status, "")
    assert len(result.message) <= 80


@pytest.mark.parametrize("status", [200, 400, 422, 429, 500])
def test_deep_nesting_is_an_outcome_too(status: int) -> None:
    """A body the JSON reader gives up on is garbage like any other."""
    assert isinstance(
        outcome(status, b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"), LadderRefused | LadderThrottled | LadderUnknown
    )


GOOD_BODIES = [
    applied(state("mk-e-1", "open", "A"), state("mk-e-2", "rejected", None, code="X"), engineTs=17),
    current("INSUFFICIENT_MARGIN"),
    older("MARKET_HALTED"),
]


@given(st.integers(100, 599), st.sampled_from(GOOD_BODIES), st.data())
def test_any_answer_has_an_outcome(status: int, body: bytes, data: st.DataObject) -> None:
    """F14: whatever the bytes, one of the four outcomes or Unauthorized; and a 4xx never looks applied."""
    mutated = bytearray(body)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(mutated)))
        mutated[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    try:
        result = outcome(status, bytes(mutated))
    except Unauthorized:
        assert status in (401, 403)
        return
    assert (result.market_id, result.quote_id) == ("BTC-PERP", "mk-e-q1")
    assert isinstance(result, LadderPlaced) <= (200 <= status < 300)
    assert isinstance(result, LadderThrottled) is (status == 429)


def test_levels_as_the_journal_keeps_them_can_be_read() -> None:
    assert [level["clientOrderId"] for level in msgspec.json.decode(levels_json(spec(), LADDER))] == [
        "mk-e-1",
        "mk-e-2",
    ]
