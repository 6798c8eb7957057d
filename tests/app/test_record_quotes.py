"""What of ours rests and what it took, as rows: each change once, nothing while pulled, and again every minute."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from maker.app.halt import HaltReport
from maker.app.record import PROFIT_SECONDS
from maker.app.record_quotes import QUOTES_SECONDS
from maker.desk.deadman import Reason, Trip
from maker.desk.events import OpenOrdersRead, ReadEmpty, StreamDelta, StreamHeard
from maker.desk.units import Side
from maker.edge import records
from tests.app.site import Told, a_recorder
from tests.desk.scripted import BTC, ETH, START, Desk, a_fill, at_position, dec, market

A_DELTA = StreamDelta(BTC, 0, (), (), (a_fill("any", Side.BUY, 1),), (), ())


def recording(desk: Desk | None = None) -> tuple[Desk, Told]:
    desk, told = desk or Desk.ready(), a_recorder()
    told.recorder.engine = desk.engine
    told.recorder.after(StreamHeard(BTC), None)
    return desk, told


def quotes(told: Told) -> list[tuple[Decimal | None, Decimal | None]]:
    return [(row.bid_price_quote, row.ask_price_quote) for row in told.rows(records.QuotesSeen)]


def test_a_run_begins_with_nothing_resting_in_any_market() -> None:
    _, told = recording(Desk.ready(market(BTC), market(ETH)))
    assert [row.market for row in told.rows(records.QuotesSeen)] == [BTC, ETH]
    assert quotes(told) == [(None, None)] * 2


def test_the_innermost_quotes_are_written_when_they_change() -> None:
    """A ladder, a fill of part of a level, of all of it, of a whole side: one row for each change of a best price."""
    desk, told = recording()
    action = desk.quote()
    told.recorder.after(OpenOrdersRead(()), None)
    best = (dec("49974.9"), dec("50025.1"))
    assert quotes(told)[1:] == [best]
    for number, (lots, expected) in enumerate([(4, None), (6, "49964.9"), (10, "49954.9"), (10, "none")]):
        order = [one for one in action.orders if one.side is Side.BUY][max(0, number - 1)]
        position = at_position(sum((4, 6, 10, 10)[: number + 1]))
        desk.delta(
            fills=(a_fill(f"t{number}", Side.BUY, lots, ticks=order.ticks, client_order_id=order.client_order_id),),
            positions=(position,),
        )
        told.recorder.after(A_DELTA, None)
        if expected is not None:
            assert quotes(told)[-1] == (None if expected == "none" else dec(expected), best[1])
    assert len(quotes(told)) == 5


def test_facts_that_change_no_quote_are_not_looked_at() -> None:
    """A delta without a fill comes many times a second."""
    desk, told = recording()
    desk.quote()
    told.recorder.after(StreamDelta(BTC, 0, (), (), (), (), ()), None)
    told.recorder.after(StreamHeard(BTC), None)
    assert len(quotes(told)) == 1
    told.recorder.after(OpenOrdersRead(()), None)
    assert len(quotes(told)) == 2


def pulled(desk: Desk, told: Told) -> None:
    """As the quoting cycle does it: told, read back empty, and told that."""
    told.recorder.tripped(Trip(Reason.STREAM_SILENT, BTC))
    assert quotes(told)[-1] == (None, None)
    told.recorder.after(A_DELTA, None)
    assert quotes(told)[-1] == (None, None), "what is being pulled is no quote, though it may still rest"
    told.recorder.halted(HaltReport(verified_empty=True, open_orders=0))
    desk.pulled()
    told.recorder.after(ReadEmpty(), None)


def left(_desk: Desk, told: Told) -> None:
    told.recorder.tripped(Trip(Reason.STOP_ASKED, "SIGTERM"))
    told.recorder.halted(HaltReport(verified_empty=False, open_orders=3))
    told.recorder.after(A_DELTA, None)
    told.recorder.sample(START + QUOTES_SECONDS)


@pytest.mark.parametrize("pull", [pulled, left])
def test_from_a_pull_on_nothing_is_quoted(pull: Callable[[Desk, Told], None]) -> None:
    desk, told = recording()
    desk.quote()
    told.recorder.after(OpenOrdersRead(()), None)
    assert None not in quotes(told)[-1]
    pull(desk, told)
    assert quotes(told)[-1] == (None, None)
    assert told.recorder.quotes.pulling == (pull is left), "only what was read back empty may be quoted again"


def test_after_a_pull_the_next_ladder_is_a_row_again() -> None:
    desk, told = recording()
    desk.quote()
    told.recorder.after(OpenOrdersRead(()), None)
    pulled(desk, told)
    desk.quote()
    told.recorder.after(OpenOrdersRead(()), None)
    assert quotes(told)[-1] == (dec("49974.9"), dec("50025.1"))


def test_what_has_not_changed_is_written_again_every_minute() -> None:
    _, told = recording()
    for seconds in (0.0, 1.0, QUOTES_SECONDS - 0.1, QUOTES_SECONDS, QUOTES_SECONDS + 1.0):
        told.recorder.sample(START + seconds)
    assert quotes(told) == [(None, None)] * 3


def test_requests_are_written_when_there_were_any() -> None:
    """Ladders and cancels alike, with the 429s and the limit as it was last stated."""
    desk, told = recording()
    told.recorder.sample(START)
    desk.engine.budget.spend(desk.now)
    desk.engine.budget.cancel_spent(desk.now)
    told.recorder.sample(START + PROFIT_SECONDS)
    told.recorder.sample(START + 2 * PROFIT_SECONDS)
    desk.engine.budget.throttled(1.0, desk.now)
    told.recorder.sample(START + 3 * PROFIT_SECONDS)
    rows = told.rows(records.RequestsSpent)
    limit = desk.engine.budget.limit
    assert [(row.spent, row.throttles, row.limit_per_minute) for row in rows] == [
        (0, 0, limit),
        (2, 0, limit),
        (2, 1, limit),
    ]
