"""Times from the record: what counts as nothing resting."""

from __future__ import annotations

import json
from pathlib import Path

from maker.drills.record import CANCEL_ALL, Record


def order(t: float, order_id: str, action: str, request: int | None) -> dict[str, object]:
    cause = {} if request is None else {"request": request}
    remaining = "1" if action == "placed" else "0"
    return {"t": t, "kind": "order", "orderId": order_id, "action": action, "remaining": remaining} | cause


def record_of(path: Path, *lines: dict[str, object]) -> Record:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = Record(path)
    record.refresh()
    return record


def test_a_replaced_ladder_is_no_empty_moment(tmp_path: Path) -> None:
    """One request takes the only ladder away and places the next: nothing was ever over."""
    replaced = [order(10.0, "a", "placed", 1), order(20.0, "a", "removed", 2), order(20.001, "b", "placed", 2)]
    gone = [order(30.0, "b", "removed", 3), {"t": 40.0, "kind": "sample", "marketId": "BTC-PERP", "mid": None}]
    record = record_of(tmp_path / "record", *replaced, *gone)
    assert record.emptied_at(15.0) == 30.0
    assert record_of(tmp_path / "record", *replaced).emptied_at(15.0) is None


def test_emptied_by_one_request_and_filled_by_another(tmp_path: Path) -> None:
    """Between two requests nothing rested, however short: the first cancel-all did pull."""
    lines = [order(10.0, "a", "placed", 1), order(20.0, "a", "removed", 2), order(21.0, "b", "placed", 3)]
    record = record_of(tmp_path / "record", *lines)
    assert record.emptied_at(15.0) == 20.0
    assert record.empty_from(15.0) is None


def test_nothing_rested_before(tmp_path: Path) -> None:
    record = record_of(tmp_path / "record", order(10.0, "a", "placed", 1), order(11.0, "a", "removed", None))
    assert record.emptied_at(12.0) == 12.0


def request(t: float, number: int, path: str) -> list[dict[str, object]]:
    made = {"kind": "request", "request": number, "method": "POST", "path": path}
    return [{"t": t, "phase": "begin", **made}, {"t": t + 0.1, "phase": "apply", "status": 200, "body": "{}", **made}]


def test_quotes_that_were_all_filled_were_not_pulled(tmp_path: Path) -> None:
    """A silent stream is noticed after 22 s: until then whatever is filled may be quoted anew."""
    filled = [order(10.0, "a", "placed", 1), order(20.0, "a", "filled", None), order(21.0, "b", "placed", 2)]
    record = record_of(tmp_path / "record", *filled)
    assert record.emptied_at(15.0) == 20.0
    assert record.pulled_at(15.0) is None
    cancel, *applied = request(30.0, 3, CANCEL_ALL)
    record = record_of(tmp_path / "record", *filled, cancel)
    assert record.pulled_at(15.0) is None
    record = record_of(tmp_path / "record", *filled, cancel, order(30.05, "b", "removed", 3), *applied)
    assert record.pulled_at(15.0) == 30.05
