"""A trace can be read: what rested, the position and the state before and after each event, and never too much."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs
import pytest

from maker.storms import record as kinds
from maker.storms.outcome import Violation
from maker.storms.record import Entry
from maker.storms.trace import AFTER_MAX, BEFORE_MAX, LANDMARKS_MAX, trace
from tests.storms import scripted

HERE = Violation("S2", 7.5, "a ladder left after the trip")
LINES_MAX = 60


def traced(entries: list[Entry], violation: Violation | None = HERE) -> list[str]:
    return trace(attrs.evolve(scripted.record(), entries=entries), violation).splitlines()


def test_a_trace() -> None:
    """The whole of one, as a person sees it."""
    assert [line.split() for line in traced(scripted.entries())] == [
        line.split()
        for line in """
seconds what happened                                          rests    position          maker
  1.000 QUOTING                                                0        flat              starting > quoting
  2.000 #1 maker sends ladder BTC-PERP, adds: buy 1 from 99    0 > 0+1  flat              quoting
  2.100 #1 applied: 200                                        0+1      flat              quoting
  2.100 2 orders placed BTC-PERP: 2 buy                        0+1 > 2+1 flat             quoting
  2.200 #1 answer read: 200                                    2+1 > 2  flat              quoting
  5.000 FAULT 0 begins: F5 reset                               2        flat              quoting
  6.000 trade BTC-PERP: buy 0.5 at 99                          2        flat > BTC +0.5   quoting
  7.000 TRIPPED: reason KILLED, detail it, recoverable True, latched False  2   BTC +0.5   quoting > pulled KILLED
  7.500 >>> S2: a ladder left after the trip
  8.000 WORLD ENDED                                            2        BTC +0.5          pulled KILLED
""".strip().splitlines()
    ]


@pytest.mark.parametrize("violation", [HERE, attrs.evolve(HERE, at=900.0), None])
def test_it_fits_a_screen(violation: Violation | None) -> None:
    """However long the storm was, it has at most sixty lines, the violation among them, and the landmarks before."""
    entries: list[Entry] = []
    for second in range(1_000):
        at = float(second)
        entries.append(kinds.FaultBegan(at=at, index=second, row="F5", name="reset", resting=0))
        entries += [kinds.Got(at=at, request=number, status=200) for number in range(10)]
    lines = traced(entries, violation)
    assert len(lines) <= LINES_MAX
    until = violation.at if violation else 999.0
    shown = [line for line in lines if "FAULT" in line and float(line.split()[0]) <= until]
    assert len(shown) >= min(LANDMARKS_MAX, int(until) - BEFORE_MAX // 11 - 1)
    assert len([line for line in lines if ">>>" in line]) == (violation is not None)
    assert any("not shown" in line for line in lines)
    if violation:
        after = lines[next(index for index, line in enumerate(lines) if ">>>" in line) + 1 :]
        assert len(after) == AFTER_MAX
        assert all(float(line.split()[0]) > violation.at for line in after)


def test_reads_of_untroubled_times_are_left_out() -> None:
    """While it quotes nobody needs them; with a fault in its answer, or while quotes are pulled, a read is there."""

    def read(at: float, request: int, fault: str = "") -> list[Entry]:
        path = "/perps/orders"
        left = kinds.Left(at=at, request=request, connection=1, owner="maker", method="GET", path=path)
        return [
            left,
            kinds.Applied(at=at, request=request, status=200),
            kinds.Answered(at=at, request=request, status=200, fault=fault, open_orders=0),
            kinds.Got(at=at, request=request, status=200),
        ]

    tripped = kinds.Tripped(at=5.0, reason="KILLED", detail="", recoverable=False, latched=True)
    entries = [kinds.Quoting(at=1.0), *read(2.0, 1), *read(3.0, 2, "html"), tripped, *read(6.0, 3)]
    text = "\n".join(traced(entries))
    assert "#1" not in text
    assert text.count("#2") == 1
    assert "by html" in text
    assert text.count("#3") == 4
    assert "shows 0 open" in text


def test_every_kind_of_entry_has_words() -> None:
    """Whatever a record may hold can be told, with its time and in one line."""
    made = 0
    for kind in kinds.Entry.__subclasses__():
        values: dict[str, Any] = {
            field.name: value_of(field) for field in attrs.fields(kind) if field.default is attrs.NOTHING
        }
        lines = traced([kind(**values)], None)
        assert len(lines) in (1, 2)
        assert all("\n" not in line and len(line) < 200 for line in lines)
        made += len(lines) == 2
    assert made > 25


def value_of(field: attrs.Attribute[object]) -> object:
    """Something of the field's type."""
    if field.name in ("market_id", "reason", "side"):
        return "x"
    types = {"float": 1.0, "int": 1, "bool": True, "Decimal": Decimal(1), "tuple[str, ...]": ("x",), "int | None": 1}
    return types.get(str(field.type), "many\nlines " * 50)
