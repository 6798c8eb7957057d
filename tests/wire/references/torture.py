"""What every venue's room must survive: it answers with facts or raises StreamBroken, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maker.desk.events import ReferenceQuote
from maker.errors import StreamBroken, StreamFault
from maker.wire.references.adapter import Adapter, Fact

Make = Callable[[], Adapter]
NO_PRICE = (Decimal(0), Decimal(0))
NOT_NUMBERS: list[Any] = ["NaN", "inf", "-Infinity", "+1", "01", "1_0", " 1", "٣", "9" * 41, None, True, ["1"], {}]
NOT_STRINGS: list[Any] = [1, 0.5, "1e5", "", *NOT_NUMBERS]  # for venues that document strings without exponent
# Numbers of every size and kind, beside all that is no number; a float may come out as Infinity, which is no JSON.
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64, -(2**64), 10**40, 10**400])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "0", "1.5", "-1", "1e5", "pong", "heartbeat", "snapshot", "delta", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def facts_or_broken(adapter: Adapter, message: str | bytes) -> tuple[Fact, ...] | StreamBroken:
    """Parse; a price that comes out is a finite number of a symbol that was asked for."""
    try:
        facts = adapter.parse(message)
    except StreamBroken as broken:
        return broken
    for fact in facts:
        assert fact.source == adapter.source
        if isinstance(fact, ReferenceQuote):
            assert fact.symbol in adapter.symbols
            assert all(number.is_finite() for number in (fact.bid, fact.bid_size, fact.ask, fact.ask_size))
    return facts


def broken_by(adapter: Adapter, message: str | bytes | object, fault: StreamFault = StreamFault.MALFORMED) -> str:
    """What the error says; objects are written as JSON."""
    text = message if isinstance(message, str | bytes) else json.dumps(message)
    answer = facts_or_broken(adapter, text)
    assert isinstance(answer, StreamBroken), f"{text!r} gave {answer}"
    assert answer.fault is fault, answer
    assert len(answer.detail) < 600
    return answer.detail


def survives_anything(make: Make, quote: str) -> None:
    """Garbage, every truncation, deep nesting, mutations; and no prefix of a quote is one."""
    encoded = quote.encode()
    assert any(isinstance(fact, ReferenceQuote) for fact in make().parse(quote))
    assert make().parse(encoded) == make().parse(quote)
    for end in range(len(encoded)):
        broken_by(make(), encoded[:end])
        broken_by(make(), quote[:end])
    for garbage in ("", "null", "[]", "1", '"x"', "{}", b"\xff\xfe", "\ud800", "nonsense"):
        facts = facts_or_broken(make(), garbage)
        assert isinstance(facts, StreamBroken) or facts == ()
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        deep = opened * 9_000 + "1" + closed * 9_000
        facts_or_broken(make(), deep)
        facts_or_broken(make(), quote[:-1] + f',"deep":{deep}' + "}")

    @settings(max_examples=150, deadline=None, database=None)
    @given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
    def anything(message: str | bytes) -> None:
        facts_or_broken(make(), message)

    @settings(max_examples=150, deadline=None, database=None)
    @given(st.lists(st.tuples(st.integers(0, len(encoded)), st.integers(0, 6), st.binary(max_size=6)), max_size=3))
    def mutated(changes: list[tuple[int, int, bytes]]) -> None:
        message = bytearray(encoded)
        for at, gone, put in changes:
            message[at : at + gone] = put
        facts_or_broken(make(), bytes(message))

    anything()
    mutated()


def each_field_is_needed(make: Make, quote: str, paths: list[tuple[str | int, ...]], wrong: list[Any]) -> None:
    """Without any of these fields, or with a wrong value there, a quote breaks the stream and is never half read."""
    for path in paths:
        tree = json.loads(quote)
        parent = at(tree, path[:-1])
        if isinstance(parent, dict):
            value = parent.pop(path[-1])
            broken_by(make(), tree)
            parent[path[-1]] = value
        for value in wrong:
            parent[path[-1]] = value
            broken_by(make(), tree)


def survives_any_value(make: Make, messages: Sequence[str]) -> None:
    """Any JSON in place of any value of these messages, alone or two at once: facts or StreamBroken."""

    @settings(max_examples=150, deadline=None, database=None)
    @given(st.sampled_from(messages), st.data())
    def replaced(message: str, data: st.DataObject) -> None:
        tree = json.loads(message)
        for _ in range(data.draw(st.integers(1, 2))):
            *above, last = data.draw(st.sampled_from(list(places(tree))))
            at(tree, tuple(above))[last] = data.draw(ANY_JSON)
        facts_or_broken(make(), json.dumps(tree))

    replaced()


def places(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where something stands in a message, from the outside in."""
    if isinstance(tree, dict | list):
        for step in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield (*path, step)
            yield from places(tree[step], (*path, step))


def at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree
