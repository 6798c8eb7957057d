"""The event-stream room: the standard's cases in every chunking, limits, garbage, and the way back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.errors import StreamBroken, StreamFault
from maker.wire import sse
from maker.wire.sse import Comment, EventStreamParser, ServerSentEvent

VECTORS = Path(__file__).parents[2] / ".." / "shared" / "vectors" / "sse.json"


def parse(*chunks: bytes) -> list[ServerSentEvent | Comment]:
    """Feed chunks to a fresh parser and return everything it found."""
    parser = EventStreamParser()
    return [found for chunk in chunks for found in parser.feed(chunk)]


def byte_by_byte(data: bytes) -> list[ServerSentEvent | Comment]:
    return parse(*(data[index : index + 1] for index in range(len(data))))


def event(data: str, name: str = "message", last_event_id: str = "", retry: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(name, data, last_event_id, retry)


OWN_CASES: list[tuple[str, bytes, list[ServerSentEvent | Comment]]] = [
    ("lines join", b"data: a\ndata: b\n\n", [event("a\nb")]),
    ("name and id", b"id: 7\nevent: delta\ndata: {}\n\n", [event("{}", "delta", "7")]),
    (
        "id stays in force",
        b"id: 7\ndata: a\n\ndata: b\n\n",
        [event("a", last_event_id="7"), event("b", last_event_id="7")],
    ),
    (
        "id with NUL is ignored",
        b"id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n",
        [event("a", last_event_id="1"), event("b", last_event_id="1")],
    ),
    ("empty id resets", b"id: 1\ndata: a\n\nid\ndata: b\n\n", [event("a", last_event_id="1"), event("b")]),
    ("no data, no event", b"event: delta\nid: 3\n\ndata: a\n\n", [event("a", last_event_id="3")]),
    ("no final blank line, no event", b"data: a\n\ndata: b\n", [event("a")]),
    ("empty data counts", b"data\n\ndata:\ndata:\n\n", [event(""), event("\n")]),
    ("one space only", b"data:  a \n\n", [event(" a ")]),
    ("CR", b"data: a\rdata: b\r\r", [event("a\nb")]),
    ("CRLF", b"data: a\r\ndata: b\r\n\r\n", [event("a\nb")]),
    ("CR then LF lines", b"data: a\r\r\ndata: b\n\n", [event("a"), event("b")]),
    ("comments", b":heartbeat\n\n: keepalive\n\n:\n", [Comment("heartbeat"), Comment("keepalive"), Comment("")]),
    ("comment inside an event", b"data: a\n:x\ndata: b\n\n", [Comment("x"), event("a\nb")]),
    ("leading BOM once", b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", [event("a"), event("c")]),
    ("BOM alone on a line", b"\xef\xbb\xbf\ndata: a\n\n", [event("a")]),
    (
        "U+2028, U+2029, U+0085, VT, FF stay",
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\n\n".encode(),
        [event("a\u2028b\u2029c\u0085d\x0be\x0cf")],
    ),
    ("invalid UTF-8 is replaced", b"data: a\xffb\n\n", [event("a\ufffdb")]),
    (
        "retry in force",
        b"retry: 500\ndata: a\n\nretry: 5x\ndata: b\n\n",
        [event("a", retry=500), event("b", retry=500)],
    ),
    ("retry of other digits", "retry: \u0663\ndata: a\n\n".encode(), [event("a")]),
    ("retry of absurd length", b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [event("a")]),
    ("unknown fields", b"datas: x\nDATA: y\n data: z\ndata: a\n\n", [event("a")]),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in OWN_CASES], ids=[case[0] for case in OWN_CASES])
def test_own_cases(text: bytes, expected: list[ServerSentEvent | Comment]) -> None:
    """Each case gives the same whole, byte by byte and cut in two at every place."""
    assert parse(text) == expected
    assert byte_by_byte(text) == expected
    for cut in range(min(len(text), 80)):
        assert parse(text[:cut], text[cut:]) == expected


def vector_cases() -> list[dict[str, Any]]:
    """Return the shared cases, or none where the folder is absent."""
    return json.loads(VECTORS.read_text(encoding="utf-8"))["cases"] if VECTORS.exists() else []


def test_vectors() -> None:
    """Every shared case holds with its chunks as given, whole, and byte by byte."""
    cases = vector_cases()
    if not cases:
        pytest.skip("no ../shared/vectors/sse.json beside this checkout: the literal cases above still hold")
    for case in cases:
        chunks = [bytes.fromhex(chunk) for chunk in case["chunks_hex"]]
        expected = [
            event(wanted["data"], wanted["event"], wanted["lastEventId"], wanted["retry"])
            for wanted in case["expected"]
        ]
        whole = b"".join(chunks)
        for found in (parse(*chunks), parse(whole), byte_by_byte(whole)):
            assert [item for item in found if isinstance(item, ServerSentEvent)] == expected, case["name"]
            if "comments" in case:
                assert sum(isinstance(item, Comment) for item in found) == case["comments"], case["name"]


SOUP = st.lists(
    st.sampled_from(
        [
            b"data",
            b"event",
            b"id",
            b"retry",
            b":",
            b" ",
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n",
            b"7",
            b"\xe2\x80\xa8",
            b"\xef\xbb\xbf",
            b"\0",
            b"\xc3",
            b"x",
        ]
    ),
    max_size=60,
).map(b"".join)


@given(st.one_of(SOUP, st.binary(max_size=200)), st.lists(st.integers(0, 400), max_size=12))
def test_chunking_never_matters(data: bytes, cuts: list[int]) -> None:
    """Any bytes parse without an error, and to the same in any chunking."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    chunks = [data[start:end] for start, end in itertools.pairwise(places)]
    assert parse(*chunks) == parse(data) == byte_by_byte(data)


@given(
    st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.none() | st.integers(0, 10**9).map(str),
)
def test_encode_reads_back(name: str, data: str, event_id: str | None) -> None:
    """What is encoded reads back as one event; a CR in its data comes back as a newline."""
    found = parse(sse.encode(name, data, event_id))
    lines = data.replace("\r\n", "\n").replace("\r", "\n")
    assert found == [event(lines, name, event_id or "")]


def test_encode_comment_reads_back() -> None:
    """A heartbeat is one comment and no event."""
    assert sse.encode_comment("heartbeat") == b":heartbeat\n\n"
    assert parse(sse.encode_comment("heartbeat")) == [Comment("heartbeat")]


@pytest.mark.parametrize("name", ["a\nb", "a\rb"])
def test_encode_refuses_forged_fields(name: str) -> None:
    """A line end in a name, an id or a comment never reaches the wire."""
    with pytest.raises(AssertionError):
        sse.encode(name, "x")
    with pytest.raises(AssertionError):
        sse.encode("x", "x", name)
    with pytest.raises(AssertionError):
        sse.encode_comment(name)


def test_data_that_looks_like_fields_stays_data() -> None:
    """Data with line ends cannot start a field of its own."""
    assert parse(sse.encode("delta", "a\r\nid: 9\n\nevent: x")) == [event("a\nid: 9\n\nevent: x", "delta")]


def assert_broken(parser: EventStreamParser, data: bytes) -> None:
    with pytest.raises(StreamBroken) as caught:
        parser.feed(data)
    assert caught.value.fault is StreamFault.MALFORMED
    with pytest.raises(StreamBroken):
        parser.feed(b"data: late\n\n")


def test_line_limit() -> None:
    """A line of the limit passes; one byte more breaks the stream for good, finished or not, whole or in pieces."""
    room = sse.LINE_BYTES_MAX - len(b"data:")
    longest = b"data:" + b"x" * room
    assert parse(longest + b"\n\n") == [event("x" * room)]
    assert_broken(EventStreamParser(), longest + b"x\n\n")
    assert_broken(EventStreamParser(), longest + b"x")
    parser = EventStreamParser()
    assert parser.feed(longest[:1000]) == []
    assert parser.feed(longest[1000:]) == []
    assert_broken(parser, b"x")
    second = EventStreamParser()
    assert second.feed(longest) == []
    assert_broken(second, b"x\n")


def test_event_limit() -> None:
    """Data lines add up to the limit and no further; comments between them do not count."""
    line = b"data:" + b"x" * (sse.LINE_BYTES_MAX // 2 - 1) + b"\n"
    count = 2 * sse.EVENT_BYTES_MAX // sse.LINE_BYTES_MAX
    parser = EventStreamParser()
    for _ in range(count):
        assert parser.feed(line + b":\n") == [Comment("")]
    (found,) = parser.feed(b"\n")
    assert isinstance(found, ServerSentEvent)
    assert len(found.data) == sse.EVENT_BYTES_MAX - 1
    for _ in range(count):
        parser.feed(line)
    assert_broken(parser, b"data\n")
