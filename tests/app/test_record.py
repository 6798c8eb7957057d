"""What is told: each state once, each fact as a row, and figures that add up."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest

from maker.app.halt import HaltReport
from maker.app.record import PROFIT_SECONDS, in_words
from maker.desk.deadman import Reason, Trip
from maker.desk.events import (
    AccountRead,
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnknown,
    LadderUnsent,
    PlaceLadder,
    ReferenceLost,
    ReferenceQuote,
    StreamHeard,
)
from maker.desk.units import Side
from maker.edge import records
from maker.wire import orders
from tests.app.site import Told, a_recorder
from tests.desk.scripted import BTC, ETH, START, VENUE, Desk, a_fill, at_position, dec, market

ACTION = PlaceLadder(BTC, "q1", (), "price moved")


def recording() -> tuple[Desk, Told]:
    desk, told = Desk.ready(), a_recorder()
    told.recorder.engine = desk.engine
    return desk, told


def test_a_state_is_told_once_until_it_is_another() -> None:
    """Figures do not make it another one; its words, its name and its scope do."""
    _, told = recording()
    for sentence in ("wait 1.5 s", "wait 0.25 s", "wait 17 s"):
        told.recorder.state(BTC, "waiting", sentence)
    told.recorder.state("ETH-PERP", "waiting", "wait 1 s")
    told.recorder.state(BTC, "resting", "wait 1 s")
    told.recorder.state(BTC, "waiting", "wait 2 s")
    told.recorder.state(BTC, "waiting", "pause 2 s")
    rows = told.rows(records.StateChange)
    assert [(row.scope, row.state, row.sentence) for row in rows] == [
        (BTC, "waiting", "wait 1.5 s"),
        ("ETH-PERP", "waiting", "wait 1 s"),
        (BTC, "resting", "wait 1 s"),
        (BTC, "waiting", "wait 2 s"),
        (BTC, "waiting", "pause 2 s"),
    ]
    assert [line["sentence"] for line in told.lines] == [row.sentence for row in rows]


def test_each_loss_of_a_reference_feed_is_told() -> None:
    """A second loss with the words of the first is another one, for it was back in between."""
    desk, told = recording()
    for _ in range(2):
        lost = ReferenceLost(VENUE, "reset")
        told.recorder.after(lost, desk.apply(lost))
        quote = ReferenceQuote(VENUE, "BTC", dec("49999"), dec("1"), dec("50001"), dec("1"))
        told.recorder.after(quote, desk.apply(quote))
    assert [row.state for row in told.rows(records.StateChange) if row.scope == f"reference {VENUE}"] == [
        "down",
        "up",
        "down",
        "up",
    ]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (LadderPlaced(BTC, "q1", None, None), ("applied", "price moved")),
        (LadderRefused(BTC, "q1", 422, "TOO_SMALL", "no"), ("refused", "422 TOO_SMALL no")),
        (LadderThrottled(BTC, "q1", 1.5), ("throttled", "wait 1.500 s")),
        (LadderUnsent(BTC, "q1", "not ready"), ("unsent", "not ready")),
        (LadderUnknown(BTC, "q1", "reset"), ("unknown", "reset")),
    ],
)
def test_each_outcome_in_words(outcome: orders.LadderOutcome | LadderUnsent, words: tuple[str, str]) -> None:
    """Only those that were answered have a time of answer; only those not applied are worth a line."""
    assert in_words(ACTION, outcome) == words
    _, told = recording()
    told.recorder.ladder_ended(ACTION, outcome, 0.125)
    [row] = told.rows(records.LadderOutcome)
    assert (row.quote_id, row.outcome, row.detail) == ("q1", *words)
    assert row.answer_seconds == (None if words[0] in ("unsent", "unknown") else 0.125)
    assert len(told.lines) == (words[0] != "applied")


def test_why_this_market_now_is_in_the_journal() -> None:
    """Value, age and tokens beside what made the ladder due."""
    desk, told = recording()
    action = desk.quote()
    told.recorder.ladder_ended(action, LadderPlaced(BTC, action.quote_id, None, None), 0.125)
    [row] = told.rows(records.LadderOutcome)
    assert row.detail == "nothing rests; add: 0.0 s old, at risk 0, worth 0, price 1, 10.0 tokens"


def test_an_intent_has_the_levels_as_they_go_out() -> None:
    desk, told = recording()
    action = desk.place()
    told.recorder.ladder_intended(action)
    [row] = told.rows(records.LadderIntent)
    assert row.levels_json == orders.levels_json(desk.market().account.spec, action)
    assert (row.quote_id, row.fair_price_quote, row.position_base) == (action.quote_id, Decimal(50000), Decimal(0))


def test_fills_and_positions_are_rows_once() -> None:
    desk, told = recording()
    fill = a_fill("t1", Side.BUY, 10, order_id="o1")
    read = AccountRead((at_position(10),), (fill,), dec("10000"), dec("9000"))
    for _ in range(2):
        desk.apply(read)
        told.recorder.after(read, None)
    [row] = told.rows(records.Fill)
    assert (row.trade_id, row.side, row.price_quote, row.size_base) == ("t1", "buy", dec("50000"), dec("0.010"))
    assert row.fee_quote == dec("50000") * dec("0.010") * dec("0.0001")
    assert [(row.position_base, row.source) for row in told.rows(records.PositionSeen)] == [(dec("0.010"), "read")]


def test_a_fill_has_its_details_and_its_markouts() -> None:
    """Ladder, level, fair value and mark as they were; each horizon a row, empty where there was no fair value."""
    desk, told = recording()
    action = desk.quote()
    order = action.orders[1]
    fill = a_fill("t1", Side.BUY, 10, ticks=order.ticks, client_order_id=order.client_order_id)
    desk.delta(fills=(fill,), positions=(at_position(10),))
    told.recorder.after(StreamHeard(BTC), None)
    [row] = told.rows(records.FillDetail)
    assert (row.trade_id, row.quote_id, row.level, row.liquidity) == ("t1", action.quote_id, 2, "maker")
    assert (row.fair_price_quote, row.mark_price_quote) == (dec("50000"), dec("50000"))
    desk.later(1.0)
    told.recorder.after(StreamHeard(BTC), None)
    desk.later(62.0)
    told.recorder.after(StreamHeard(BTC), None)
    rows = told.rows(records.Markout)
    assert [(row.market, row.trade_id, row.horizon_seconds) for row in rows] == [
        (BTC, "t1", seconds) for seconds in (1.0, 5.0, 30.0, 60.0)
    ]
    assert (rows[0].markout_quote, rows[0].markout_bps) == (dec("0.351"), dec("7.0249"))
    assert [(row.markout_quote, row.markout_bps) for row in rows[1:]] == [(None, None)] * 3


def test_a_fill_without_a_fair_value_says_so() -> None:
    desk, told = Desk.of(), a_recorder()
    told.recorder.engine = desk.engine
    desk.baseline()
    desk.snapshot(fills=(a_fill("t1", Side.BUY, 10),), positions=(at_position(10),))
    told.recorder.after(StreamHeard(BTC), None)
    [row] = told.rows(records.FillDetail)
    assert (row.quote_id, row.level, row.fair_price_quote, row.mark_price_quote) == ("", 0, None, None)


def test_a_profit_that_does_not_add_up_is_told_once_and_loudly() -> None:
    """A warning in the log and a state in the journal with the figures, however often states are told."""
    desk, told = recording()
    desk.market().account.cash += dec("0.25")
    desk.stats()
    for _ in range(2):
        told.recorder.states(desk.now)
    [line] = [line for line in told.lines if line["event"] == "does not add up"]
    [row] = [row for row in told.rows(records.StateChange) if row.state == "does not add up"]
    assert line["log_level"] == "warning"
    assert row.scope == f"profit {BTC}"
    assert row.sentence == line["sentence"]
    assert "0.25" in row.sentence


def test_what_somebody_does_beside_us_is_told_once_and_loudly() -> None:
    desk, told = recording()
    desk.engine.beside["positions elsewhere"] = "positions in markets that are not configured (ETH-PERP 2)"
    for _ in range(2):
        told.recorder.states(desk.now)
    [line] = [line for line in told.lines if line["event"] == "not accounted for"]
    [row] = [row for row in told.rows(records.StateChange) if row.state == "not accounted for"]
    assert (line["log_level"], row.scope) == ("warning", "positions elsewhere")
    assert row.sentence == line["sentence"] == desk.engine.beside["positions elsewhere"]


@pytest.mark.parametrize("start_lots", [0, -30])
@pytest.mark.parametrize("mark", ["50000", "51234.5", "48000"])
def test_the_profit_adds_up(start_lots: int, mark: str) -> None:
    """S6: equity = cash + position x mark - fees - funding, exactly, and it is the engine's own figure."""
    desk, told = Desk.of(), a_recorder()
    told.recorder.engine = desk.engine
    desk.baseline(positions=(at_position(start_lots),) if start_lots else ())
    desk.snapshot(positions=(at_position(start_lots),) if start_lots else ())
    desk.stats()
    fills = (a_fill("t1", Side.BUY, 10), a_fill("t2", Side.SELL, 3, ticks=500_100))
    # What our fills explain: -fees, and profit realised; one unit more is funding.
    desk.apply(AccountRead((at_position(start_lots + 7),), fills, dec("9990"), dec("9000")))
    desk.stats("50000", mark=mark)
    told.recorder.sample(START)
    told.recorder.sample(START + PROFIT_SECONDS - 0.01)
    [row] = told.rows(records.Profit)
    value = row.position_base * row.mark_price_quote
    assert row.equity_quote == row.cash_quote + value - row.fees_quote - row.funding_quote
    assert row.equity_quote == desk.engine.equity_change()
    assert row.funding_quote == desk.engine.funding_paid()
    assert row.fees_quote == sum(dec(value) * dec("0.0001") for value in ("500", "150.03"))
    assert row.mark_price_quote == dec(mark)
    [made] = told.rows(records.Attribution)
    assert made.spread_quote + made.inventory_quote + made.fees_quote + made.funding_quote == made.equity_quote
    assert (made.equity_quote, made.residual_quote, made.at_unix_ms) == (row.equity_quote, 0, row.at_unix_ms)
    assert (made.fees_quote, made.funding_quote) == (-row.fees_quote, -row.funding_quote)
    assert made.fills_at_mark == 2  # no reference price was told
    told.recorder.sample(START + PROFIT_SECONDS)
    assert len(told.rows(records.Profit)) == len(told.rows(records.Attribution)) == 2


def test_the_residual_is_the_worth_of_a_position_told_before_its_fills() -> None:
    desk, told = recording()
    desk.delta(positions=(at_position(10),))
    told.recorder.profit()
    [row] = told.rows(records.Attribution)
    assert (row.equity_quote, row.residual_quote) == (dec("500"), dec("500"))


def test_the_funding_of_the_account_is_shown_once() -> None:
    """With the first market, in both tables, so that the rows of one moment add up to the account."""
    desk, told = Desk.ready(market(BTC), market(ETH)), a_recorder()
    told.recorder.engine = desk.engine
    desk.apply(AccountRead((), (), dec("9999"), dec("9000")))
    told.recorder.profit()
    assert [row.funding_quote for row in told.rows(records.Profit)] == [1, 0]
    assert [row.funding_quote for row in told.rows(records.Attribution)] == [-1, 0]
    assert sum(row.equity_quote for row in told.rows(records.Attribution)) == desk.engine.equity_change() == -1


def test_a_halt_that_was_not_verified_says_so() -> None:
    _, told = recording()
    told.recorder.tripped(Trip(Reason.STOP_ASKED, "SIGTERM"))
    told.recorder.halted(HaltReport(open_orders=3, cancels_sent=2, seconds=1.0))
    told.recorder.halted(HaltReport(verified_empty=True, open_orders=0))
    sentences = [line["sentence"] for line in told.lines]
    assert sentences[0] == "stopped as asked: SIGTERM"
    assert "NOT verified, 3 orders seen" in sentences[1]
    assert sentences[2].endswith("read back empty")


def test_a_lost_journal_is_seen() -> None:
    _, told = recording()
    assert told.recorder.journal_lost == ""
    told.journal.lost = "The journal is lost: disk full."
    assert told.recorder.journal_lost == "The journal is lost: disk full."
    assert attrs.has(records.Profit)


def test_waiting_for_a_request_is_one_line_however_long_it_lasts() -> None:
    """Its seconds count down on the page; in the log and the journal only the reason changes it."""
    desk, told = recording()
    assert desk.apply(LadderThrottled(BTC, desk.place().quote_id, 60.0)) is None
    for _ in range(50):
        desk.later(1.0)
        desk.decide()
        told.recorder.states(desk.now)
    waiting = [line["sentence"] for line in told.lines if "for the request budget" in str(line.get("sentence"))]
    assert waiting == ["waiting 61 s for the request budget: a 429 is obeyed"]
