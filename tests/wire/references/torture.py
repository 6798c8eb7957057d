"""What every venue's room must survive: it answers with facts or raises StreamBroken, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
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


def at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree
