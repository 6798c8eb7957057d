"""The stream room: bytes to exact facts, every break of the sequence, and garbage in any chunking."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.book import Book
from maker.desk.events import (
    Event,
    Fill,
    Liquidity,
    MarketSpec,
    PositionSeen,
    StreamDelta,
    StreamHeard,
    StreamSnapshot,
)
from maker.desk.units import Grid, Side
from maker.errors import StreamBroken, StreamFault
from maker.wire import ocx, sse
from maker.wire.stream import EVENTS_REMEMBERED_MAX, MarketStream, StreamState, unix_ms

BTC = "BTC-PERP"
SPEC = MarketSpec(
    market_id=BTC,
    grid=Grid.of(Decimal("0.1"), Decimal("0.001")),
    lots_min=1,
    band_low_ticks=None,
    band_high_ticks=None,
    maker_fee_bps=Decimal("-0.5"),
    taker_fee_bps=Decimal(5),
)
HEARD = StreamHeard(BTC)
NO_ID = "no id line"
Change = Callable[[dict[str, Any]], None]


# -- what the exchange sends --------------------------------------------------------------------------------------


def book(bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]], market_id: str = BTC) -> ocx.StreamBook:
    def levels(side: Sequence[tuple[str, str]]) -> list[ocx.Level]:
        return [ocx.Level(price=price, size=size) for price, size in side]

    return ocx.StreamBook(market_id=market_id, sequence=7, bids=levels(bids), asks=levels(asks))


def trade(trade_id: str = "T1", market_id: str = BTC, **fields: Any) -> ocx.OwnTrade:
    given_or_usual = {
        "side": "buy",
        "price": "50000.1",
        "quantity": "0.02",
        "liquidity": "maker",
        "created_at": "2026-11-22T10:00:00.123Z",
        "order_id": "O1",
        "client_order_id": "mk-1",
        **fields,
    }
    return ocx.OwnTrade(id=trade_id, market_id=market_id, **given_or_usual)


def held(position_id: str = "P1", market_id: str = BTC, **fields: Any) -> ocx.Position:
    given_or_usual = {
        "side": "sell",
        "quantity": "0.05",
        "entry_price": "50000.123456",
        "realized_pnl": "-1.5",
        "status": "open",
        **fields,
    }
    return ocx.Position(id=position_id, market_id=market_id, **given_or_usual)


WHOLE = ocx.StreamPayload(
    market_id=BTC,
    book=book([("50000.1", "0.02"), ("50000", "1")], [("50000.3", "0.001")]),
    trades=[trade()],
    positions=[held()],
)
QUIET = ocx.StreamPayload(book=book([], []))
FIRST_ONLY = ocx.StreamPayload(book=book([("50000.1", "0.02")], [("50000.3", "1")]))


def event(kind: str, sequence: int, payload: ocx.StreamPayload = QUIET, event_id: str = "", line_id: str = "") -> bytes:
    """One event; its ids follow its number unless given."""
    envelope = ocx.Envelope(
        event_id=event_id or f"E{sequence}",
        event_type=f"perp.{kind}",
        event_seq=sequence,
        engine_ts=1_700_000_000_000 + sequence,
        payload=payload,
    )
    shown = None if line_id == NO_ID else (line_id or str(sequence))
    return sse.encode(kind, ocx.encode(envelope).decode(), shown)


def changed(kind: str, sequence: int, payload: ocx.StreamPayload, change: Change) -> bytes:
    """One event whose JSON was changed in a way the structs cannot express."""
    envelope = ocx.Envelope(event_id=f"E{sequence}", event_type=kind, event_seq=sequence, engine_ts=1, payload=payload)
    tree = json.loads(ocx.encode(envelope))
    change(tree)
    return sse.encode(kind, json.dumps(tree), str(sequence))


def live(sequence: int = 5) -> MarketStream:
    """A connection whose snapshot has come."""
    stream = MarketStream(SPEC)
    assert len(stream.feed(event("snapshot", sequence, FIRST_ONLY))) == 1
    return stream


def breaks(stream: MarketStream, data: bytes, fault: StreamFault) -> StreamBroken:
    """Feed what must break the stream; afterwards it stays broken, whatever comes."""
    with pytest.raises(StreamBroken) as caught:
        stream.feed(data)
    assert caught.value.fault is fault, caught.value
    assert stream.state is StreamState.BROKEN
    for later in (event("snapshot", 1, FIRST_ONLY), event("delta", stream.sequence + 1), b":heartbeat\n\n", b""):
        with pytest.raises(StreamBroken):
            stream.feed(later)
    assert stream.state is StreamState.BROKEN
    return caught.value


# -- facts --------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_exact() -> None:
    """Ticks, lots, signs, times and texts: all as sent, none rounded."""
    assert MarketStream(SPEC).feed(event("snapshot", 41, WHOLE)) == [
        StreamSnapshot(
            market_id=BTC,
            engine_ms=1_700_000_000_041,
            bids=((500_001, 20), (500_000, 1000)),
            asks=((500_003, 1),),
            fills=(Fill(BTC, "T1", Side.BUY, 500_001, 20, Liquidity.MAKER, 1_795_341_600_123, "O1", "mk-1"),),
            positions=(PositionSeen(BTC, "P1", -50, Decimal("50000.123456"), Decimal("-1.5")),),
        )
    ]


def test_a_delta_is_exact() -> None:
    """Removals, a fill without its order's ids, a closed position and removed ids."""
    payload = ocx.StreamPayload(
        book=book([("50000.1", "0")], [("50000.3", "0.500"), ("50001.0", "2")]),
        trades=[trade("T2", side="sell", liquidity="taker", order_id=None, client_order_id=None)],
        positions=[held("P2", status="closed", quantity="0.05"), held("P3", side="buy", quantity="0.001")],
        removed_ids=["P1"],
    )
    assert live().feed(event("delta", 6, payload)) == [
        StreamDelta(
            market_id=BTC,
            engine_ms=1_700_000_000_006,
            bids=((500_001, 0),),
            asks=((500_003, 500), (500_010, 2000)),
            fills=(Fill(BTC, "T2", Side.SELL, 500_001, 20, Liquidity.TAKER, 1_795_341_600_123),),
            positions=(
                PositionSeen(BTC, "P2", 0, Decimal(0), Decimal("-1.5")),
                PositionSeen(BTC, "P3", 1, Decimal("50000.123456"), Decimal("-1.5")),
            ),
            removed_position_ids=("P1",),
        )
    ]


def test_the_documented_spelling_itself() -> None:
    """Not through our own structs: literal bytes, fields we do not know included, U+2028 inside the data."""
    data = (
        b":heartbeat\n\nid: 9\nevent: snapshot\ndata: "
        b'{"eventId":"01J","eventType":"PerpStreamSnapshot","eventSeq":3,"engineTs":1700000000000,"sourceTs":null,'
        b'"correlationId":"c","causationId":null,"note":"a\xe2\x80\xa8b","payload":{"book":{"marketId":"BTC-PERP",'
        b'"sequence":12,"bids":[{"price":"50000.1","size":"0.02","total":"0.02"}],"asks":[]},"extra":{"x":[1]}}}\n\n'
        b"id: 10\r\nevent: update\r\ndata: "
        b'{"eventId":"01K","eventType":"PerpStreamDelta","eventSeq":4,"engineTs":1700000000100,"sourceTs":17,'
        b'"payload":{"trades":[],"positions":[],"removedIds":["P9"]}}\r\n\r\n: keepalive\n'
    )
    assert MarketStream(SPEC).feed(data) == [
        HEARD,
        StreamSnapshot(BTC, 1_700_000_000_000, ((500_001, 20),), (), (), ()),
        StreamDelta(BTC, 1_700_000_000_100, (), (), (), (), ("P9",)),
        HEARD,
    ]


def test_what_is_of_other_markets_is_left_out() -> None:
    """The stream of one market may carry the account's news of others: another stream tells those."""
    news = ocx.StreamPayload(
        book=book([], []), trades=[trade("T1", "ETH-PERP", price="3000.01")], positions=[held("P1", "ETH-PERP")]
    )
    (fact,) = live().feed(event("delta", 6, news))
    assert isinstance(fact, StreamDelta)
    assert (fact.fills, fact.positions) == ((), ())


def test_heartbeats_and_unknown_kinds_are_heard() -> None:
    """A comment in any spelling, an event without a name and one of a kind we do not know: a sign of life, no more."""
    stream = MarketStream(SPEC)
    assert stream.feed(b":heartbeat\n\n: keepalive\n:\n") == [HEARD] * 3
    assert stream.feed(b"event: weather\ndata: {nonsense\n\ndata: hello\n\n") == [HEARD] * 2
    assert stream.state is StreamState.EXPECT_SNAPSHOT
    stream.feed(event("snapshot", 5, FIRST_ONLY))
    assert stream.feed(b":heartbeat\r\n\r\n" + event("delta", 6))[0] == HEARD
    assert (stream.sequence, stream.duplicates) == (6, 0)


# -- the sequence -------------------------------------------------------------------------------------------------

FLOWS: list[tuple[str, list[bytes]]] = [
    ("numbers from anywhere", [event("snapshot", 1000, FIRST_ONLY), event("delta", 1001), event("update", 1002)]),
    ("from zero", [event("snapshot", 0, FIRST_ONLY), event("delta", 1)]),
    (
        "ids count by themselves",
        [
            event("snapshot", 5, FIRST_ONLY, line_id="90"),
            event("delta", 6, line_id="91"),
            event("delta", 7, line_id="92"),
        ],
    ),
    (
        "no ids at all",
        [event("snapshot", 5, FIRST_ONLY, line_id=NO_ID), event("delta", 6, line_id=NO_ID)],
    ),
    (
        "ids that are no numbers",
        [event("snapshot", 5, FIRST_ONLY, line_id="01JX"), event("delta", 6, line_id="01JY")],
    ),
]


@pytest.mark.parametrize("data", [flow for _, flow in FLOWS], ids=[name for name, _ in FLOWS])
def test_flows_in_order(data: list[bytes]) -> None:
    stream = MarketStream(SPEC)
    facts = [fact for piece in data for fact in stream.feed(piece)]
    assert [type(fact) for fact in facts] == [StreamSnapshot] + [StreamDelta] * (len(data) - 1)
    assert stream.state is StreamState.LIVE


GAPS: list[tuple[str, bytes]] = [
    ("gap of one", event("delta", 7)),
    ("gap of one, id in line", event("delta", 7, line_id="6")),
    ("gap of a thousand", event("delta", 1005)),
    ("regress", event("delta", 4)),
    ("reset to zero", event("delta", 0)),
    ("negative", event("delta", -1)),
    ("same number, another event", event("delta", 5, event_id="other")),
    ("same event, another number", event("delta", 7, event_id="E5")),
    ("id jumps", event("delta", 6, line_id="7")),
    ("id repeats", event("delta", 6, line_id="5")),
    ("id goes back", event("delta", 6, line_id="1")),
    ("id missing", event("delta", 6, line_id=NO_ID)),
    ("id no number", event("delta", 6, line_id="x6")),
    ("id not ASCII", event("delta", 6, line_id="٦")),
    ("id negative", event("delta", 6, line_id="-6")),
    ("second snapshot", event("snapshot", 6, FIRST_ONLY)),
    ("second snapshot, far away", event("snapshot", 600, FIRST_ONLY)),
]


@pytest.mark.parametrize("data", [data for _, data in GAPS], ids=[name for name, _ in GAPS])
def test_out_of_line_is_a_gap_for_good(data: bytes) -> None:
    """F20, F22: whatever number is not the next one breaks the stream."""
    breaks(live(5), data, StreamFault.GAP)


@pytest.mark.parametrize("where", [b"event: delta", b'"eventId"', b'"payload"', b'"eventSeq":6'])
def test_bytes_that_are_no_text_break_the_stream(where: bytes) -> None:
    """F14: in a name they made an event one of an unknown kind, which was passed over until the next number came."""
    data = event("delta", 6)
    assert where in data
    at = data.index(where) + len(where) - 2
    spoilt = data[:at] + bytes([data[at] | 0x80]) + data[at + 1 :]
    breaks(live(5), spoilt, StreamFault.MALFORMED)


@pytest.mark.parametrize("kind", ["delta", "update"])
def test_a_change_before_the_snapshot_is_a_gap(kind: str) -> None:
    breaks(MarketStream(SPEC), event(kind, 1), StreamFault.GAP)


def test_a_gap_within_one_read() -> None:
    """What came whole before the gap, in the same bytes, is void too: the stream is broken."""
    breaks(MarketStream(SPEC), event("snapshot", 5, FIRST_ONLY) + event("delta", 7), StreamFault.GAP)


def test_a_replay_is_counted_and_ignored() -> None:
    """F21, S5: the same number and eventId again change nothing, whatever they carry; the next in line goes on."""
    stream = live(5)
    news = ocx.StreamPayload(trades=[trade("T7")])
    assert isinstance(stream.feed(event("delta", 6, news))[0], StreamDelta)
    for sequence in (6, 5, 6):
        assert stream.feed(event("delta", sequence, ocx.StreamPayload(trades=[trade(f"T{sequence}x")]))) == [HEARD]
    assert stream.feed(event("snapshot", 5, FIRST_ONLY)) == [HEARD]
    assert (stream.duplicates, stream.sequence, stream.state) == (4, 6, StreamState.LIVE)
    (fact,) = stream.feed(event("delta", 7))
    assert isinstance(fact, StreamDelta)


def test_a_replay_from_too_far_back_is_a_gap() -> None:
    """What we no longer remember cannot be told from a reset; the last remembered one still can."""
    stream = live(0)
    for sequence in range(1, EVENTS_REMEMBERED_MAX + 1):
        stream.feed(event("delta", sequence))
    assert stream.feed(event("delta", 1)) == [HEARD]
    breaks(stream, event("snapshot", 0, FIRST_ONLY), StreamFault.GAP)


# -- what the exchange says is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{"code":"UPSTREAM","message":"engine lost","retryable":true}', "UPSTREAM engine lost"),
        ('{"code":"X","message":"y"}', "X y"),
        ("not json", "not json"),
        ("", ""),
        ("z" * 5000, "z" * 200),
    ],
)
def test_event_error_closes(data: str, said: str) -> None:
    """`event: error`, readable or not, ends the connection; its words reach the log, bounded."""
    broken = breaks(live(), sse.encode("error", data), StreamFault.CLOSED)
    assert broken.detail.endswith(said)
    assert len(broken.detail) < 300


# -- what makes no sense ------------------------------------------------------------------------------------------


def without(*path: str) -> Change:
    def change(tree: dict[str, Any]) -> None:
        for name in path[:-1]:
            tree = tree[name][0] if isinstance(tree[name], list) else tree[name]
        del tree[path[-1]]

    return change


def putting(value: Any, *path: str) -> Change:
    def change(tree: dict[str, Any]) -> None:
        for name in path[:-1]:
            tree = tree[name][0] if isinstance(tree[name], list) else tree[name]
        assert path[-1] in tree
        tree[path[-1]] = value

    return change


REQUIRED = [
    ("eventId",),
    ("eventType",),
    ("eventSeq",),
    ("engineTs",),
    ("payload",),
    ("payload", "book", "marketId"),
    ("payload", "book", "sequence"),
    ("payload", "book", "bids"),
    ("payload", "book", "asks"),
    ("payload", "book", "bids", "price"),
    ("payload", "book", "bids", "size"),
    ("payload", "trades", "id"),
    ("payload", "trades", "marketId"),
    ("payload", "trades", "side"),
    ("payload", "trades", "price"),
    ("payload", "trades", "quantity"),
    ("payload", "trades", "liquidity"),
    ("payload", "trades", "createdAt"),
    ("payload", "positions", "id"),
    ("payload", "positions", "marketId"),
    ("payload", "positions", "side"),
    ("payload", "positions", "quantity"),
    ("payload", "positions", "entryPrice"),
    ("payload", "positions", "status"),
]


@pytest.mark.parametrize("path", REQUIRED, ids=".".join)
def test_a_missing_field_breaks(path: tuple[str, ...]) -> None:
    breaks(live(5), changed("delta", 6, WHOLE, without(*path)), StreamFault.MALFORMED)


def test_the_changed_event_itself_is_sound() -> None:
    """The counterpart of the tests around: without a change it passes."""
    assert isinstance(live(5).feed(changed("delta", 6, WHOLE, lambda _tree: None))[0], StreamDelta)


@pytest.mark.parametrize("engine_ts", [10**400, -(10**400), 2**63, True, 1.5, "1"], ids=lambda value: str(value)[:9])
def test_a_time_beyond_any_counter_breaks(engine_ts: object) -> None:
    """Divided by a thousand it would be an OverflowError of ours."""
    breaks(live(5), changed("delta", 6, WHOLE, putting(engine_ts, "engineTs")), StreamFault.MALFORMED)


def test_a_snapshot_without_a_book_breaks() -> None:
    breaks(MarketStream(SPEC), event("snapshot", 5, ocx.StreamPayload(trades=[trade()])), StreamFault.MALFORMED)


@pytest.mark.parametrize("path", [("payload", "marketId"), ("payload", "book", "marketId")], ids=".".join)
@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_an_event_of_another_market_breaks(path: tuple[str, ...], kind: str) -> None:
    stream, sequence = (MarketStream(SPEC), 5) if kind == "snapshot" else (live(5), 6)
    breaks(stream, changed(kind, sequence, WHOLE, putting("ETH-PERP", *path)), StreamFault.MALFORMED)


NOT_NUMBERS = [
    "",
    " 1",
    "1 ",
    "+1",
    "01",
    ".5",
    "1.",
    "1e3",
    "1E-1",
    "1_000",
    "1,000",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "0x10",
    "٣",
    "1\n",
    "--1",
    "9" * 41,
    "9" * 100_000,
]
NUMBER_FIELDS = [
    ("payload", "book", "bids", "price"),
    ("payload", "book", "asks", "size"),
    ("payload", "trades", "price"),
    ("payload", "trades", "quantity"),
    ("payload", "positions", "quantity"),
    ("payload", "positions", "entryPrice"),
    ("payload", "positions", "realizedPnl"),
]


@pytest.mark.parametrize("path", NUMBER_FIELDS, ids=".".join)
@pytest.mark.parametrize("text", NOT_NUMBERS, ids=lambda text: repr(text)[:12])
def test_what_is_no_fixed_decimal_breaks(path: tuple[str, ...], text: str) -> None:
    """S19: nothing but fixed decimals is read as money."""
    breaks(live(5), changed("delta", 6, WHOLE, putting(text, *path)), StreamFault.MALFORMED)


@pytest.mark.parametrize("path", NUMBER_FIELDS, ids=".".join)
@pytest.mark.parametrize("value", [1, 0.5, True, ["1"], {"price": "1"}], ids=repr)
def test_what_is_no_text_breaks(path: tuple[str, ...], value: object) -> None:
    breaks(live(5), changed("delta", 6, WHOLE, putting(value, *path)), StreamFault.MALFORMED)


@pytest.mark.parametrize("path", [path for path in NUMBER_FIELDS if path[-1] != "realizedPnl"], ids=".".join)
def test_a_number_that_is_null_breaks(path: tuple[str, ...]) -> None:
    """All but a position's profit, which the desk does not use."""
    breaks(live(5), changed("delta", 6, WHOLE, putting(None, *path)), StreamFault.MALFORMED)


@pytest.mark.parametrize("side", ["flat", "", None], ids=repr)
def test_a_position_of_nothing_needs_no_side(side: object) -> None:
    def flatten(tree: Any) -> None:
        tree["payload"]["positions"][0] |= {"side": side, "quantity": "0", "entryPrice": None, "realizedPnl": None}

    (fact,) = live(5).feed(changed("delta", 6, WHOLE, flatten))
    assert isinstance(fact, StreamDelta)
    assert fact.positions == (PositionSeen(BTC, "P1", 0, Decimal(0), Decimal(0)),)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("payload", "book", "bids", "price"), "50000.15"),  # half a tick
        (("payload", "book", "bids", "size"), "0.0005"),  # half a lot
        (("payload", "trades", "price"), "50000.01"),
        (("payload", "trades", "price"), "0"),
        (("payload", "trades", "price"), "-50000"),
        (("payload", "trades", "quantity"), "0.0001"),
        (("payload", "trades", "quantity"), "0"),
        (("payload", "trades", "quantity"), "-0.02"),
        (("payload", "trades", "side"), "long"),
        (("payload", "trades", "liquidity"), "none"),
        (("payload", "trades", "createdAt"), "yesterday"),
        (("payload", "trades", "createdAt"), "2026-11-22T10:00:00"),  # of no zone
        (("payload", "trades", "createdAt"), "1700000000000"),
        (("payload", "positions", "quantity"), "0.0001"),
        (("payload", "positions", "quantity"), "-0.05"),
        (("payload", "positions", "side"), "short"),
        (("eventSeq",), "6"),
        (("eventSeq",), 6.5),
        (("eventSeq",), True),
        (("engineTs",), None),
        (("payload",), []),
        (("payload", "trades"), None),
        (("payload", "removedIds"), [1]),
    ],
)
def test_what_cannot_be_breaks(path: tuple[str, ...], text: object) -> None:
    """F25: off the grid, of a wrong sign, of no known word."""
    payload = ocx.StreamPayload(book=WHOLE.book, trades=[trade()], positions=[held()], removed_ids=["P7"])
    breaks(live(5), changed("delta", 6, payload, putting(text, *path)), StreamFault.MALFORMED)


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
@pytest.mark.parametrize("size", ["-0.001", "-5"])
def test_a_negative_size_never_reaches_a_book(kind: str, size: str) -> None:
    """Refused by the stream or, at the latest, by the book: either way StreamBroken, before anything is decided."""
    stream, sequence = (MarketStream(SPEC), 5) if kind == "snapshot" else (live(5), 6)
    sent = event(kind, sequence, ocx.StreamPayload(book=book([("50000", size)], [])))
    with pytest.raises(StreamBroken):
        booked(stream.feed(sent))


def booked(facts: Sequence[Event]) -> None:
    """Put facts into a book, as the desk does."""
    for fact in facts:
        if isinstance(fact, StreamSnapshot):
            Book().load(fact.bids, fact.asks)
        elif isinstance(fact, StreamDelta):
            Book().apply(fact.bids, fact.asks)


@pytest.mark.parametrize(
    "data",
    ["", "null", "[]", "1", '"x"', "{", "{}", '{"eventSeq":6}', "\ufffd", "[" * 5000, '{"eventSeq":1e400}'],
    ids=lambda data: data[:20],
)
def test_what_is_no_envelope_breaks(data: str) -> None:
    breaks(live(5), sse.encode("delta", data, "6"), StreamFault.MALFORMED)


def test_deep_nesting_breaks() -> None:
    """The JSON reader gives up on deep nesting in its own way: still our error, still broken for good."""
    nested = '{"x":' + "[" * 5000 + "]" * 5000 + "}"
    breaks(live(5), sse.encode("delta", nested, "6"), StreamFault.MALFORMED)


def test_deep_nesting_in_an_error_event_closes() -> None:
    nested = '{"x":' + "[" * 5000 + "]" * 5000 + "}"
    breaks(live(5), sse.encode("error", nested), StreamFault.CLOSED)


def test_an_endless_id_breaks() -> None:
    """Python refuses to read thousands of digits as a number: an id of that length is out of line all the same."""
    breaks(live(5), event("delta", 6, line_id="9" * 5000), StreamFault.GAP)


def test_an_endless_first_id_is_our_error_or_none() -> None:
    stream = MarketStream(SPEC)
    try:
        facts = stream.feed(event("snapshot", 5, FIRST_ONLY, line_id="9" * 5000))
    except StreamBroken:
        assert stream.state is StreamState.BROKEN
    else:
        assert isinstance(facts[0], StreamSnapshot)


def test_an_endless_line_breaks() -> None:
    breaks(live(5), b"data: " + b"x" * (sse.LINE_BYTES_MAX + 1), StreamFault.MALFORMED)


# -- any chunking -------------------------------------------------------------------------------------------------

RECORDED = b"".join(
    [
        b":heartbeat\n\n",
        event("snapshot", 5, WHOLE),
        event("delta", 6, ocx.StreamPayload(book=book([("50000.1", "0")], [("50000.2", "3")]))),
        b": keepalive\r\n",
        event("delta", 6, event_id="E6"),
        b"event: weather\ndata: {\n\n",
        event("update", 7, ocx.StreamPayload(trades=[trade("T8")], removed_ids=["P1"])).replace(b"\n", b"\r\n"),
        event("delta", 8, ocx.StreamPayload(positions=[held("é\u2028", side="buy")])).replace(b"\n", b"\r"),
        b":x\n",
    ]
)


def fed(chunks: Sequence[bytes]) -> list[Event]:
    stream = MarketStream(SPEC)
    return [fact for chunk in chunks for fact in stream.feed(chunk)]


EXPECTED = fed([RECORDED])


def test_the_recording_is_what_it_is_meant_to_be() -> None:
    assert [type(fact).__name__.removeprefix("Stream") for fact in EXPECTED] == (
        ["Heard", "Snapshot", "Delta", "Heard", "Heard", "Heard", "Delta", "Delta", "Heard"]
    )


def test_byte_by_byte() -> None:
    """F10, F11."""
    assert fed([RECORDED[index : index + 1] for index in range(len(RECORDED))]) == EXPECTED


@given(st.lists(st.integers(0, len(RECORDED)), max_size=40))
def test_any_chunking_gives_the_same_facts(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(RECORDED)]
    assert fed([RECORDED[start:end] for start, end in itertools.pairwise(edges)]) == EXPECTED


# -- garbage ------------------------------------------------------------------------------------------------------


def survives(chunks: Sequence[bytes]) -> None:
    """Facts or StreamBroken, nothing else; once broken, always."""
    stream = MarketStream(SPEC)
    broken = False
    for chunk in chunks:
        try:
            facts = stream.feed(chunk)
        except StreamBroken:
            broken = True
        else:
            assert not broken
            assert all(isinstance(fact, StreamSnapshot | StreamDelta | StreamHeard) for fact in facts)
        assert (stream.state is StreamState.BROKEN) is broken


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_garbage(chunks: list[bytes]) -> None:
    survives(chunks)


@given(st.data())
def test_mutations(data: st.DataObject) -> None:
    """F13, F14: bytes of a real stream overwritten, cut out, put in."""
    mutated = bytearray(RECORDED)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(mutated)))
        length = data.draw(st.integers(0, 16))
        mutated[start : start + length] = data.draw(
            st.one_of(
                st.binary(max_size=16),
                st.sampled_from([b"NaN", b"1e9", b"-", b"null", b'"', b"\n", b"\r\n\r\n", b"{", b"9" * 5000, b"\0"]),
            )
        )
    cut = data.draw(st.integers(0, len(mutated)))
    survives([bytes(mutated[:cut]), bytes(mutated[cut:]), b":heartbeat\n\n"])


# -- times --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 4_102_444_800_000))
def test_milliseconds_are_exact(moment: int) -> None:
    """Every millisecond up to the year 2100 comes back as itself."""
    seconds, milliseconds = divmod(moment, 1000)

    text = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{milliseconds:03}Z"
    assert unix_ms(text) == moment


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_moment_outside_the_calendar_is_none(text: str) -> None:
    """In UTC it would be of the year 10000 or 0, which nothing here can spell for people."""
    with pytest.raises(ValueError, match="outside the calendar"):
        unix_ms(text)
