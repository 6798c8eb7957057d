"""What the maker tells whoever looks on, through the whole supervisor in virtual time: all of it true, none in the way.

A run is told from its start to its end; each state is compared with what the rooms know, or the exchange itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import outcome
import pytest
import trio
import trio.testing

from maker.app import live_state
from maker.app.live_record import ANSWERS_MAX, LiveRecord
from maker.app.live_teller import CHANGE_SECONDS, TELL_SECONDS, Teller
from maker.desk.deadman import Reason, Trip
from maker.desk.events import ReferenceLost
from maker.desk.units import Side
from maker.launch.key import Key
from maker.wire import live
from tests.app.runs import ASKED, a_run
from tests.app.site import staged
from tests.app.whole import config, running
from tests.bench.telling import measured
from tests.desk.scripted import BTC, START, Desk, a_fill, at_position, dec, market

Clock = trio.testing.MockClock

TURN_SECONDS_MAX = 0.005  # 0.1 ms on an idle machine
KEY = Key("ocx_sk_canary_told", "ocx_kid_1", "trade", 1_900_000_000.0)


@attrs.define
class Heard:
    """A teller, and whoever hears it."""

    states: list[live.State] = attrs.field(factory=list)
    at: list[float] = attrs.field(factory=list)
    bytes_told: list[bytes] = attrs.field(factory=list)
    teller: Teller = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.teller = Teller("run-1", 1_700_000_000.0, KEY, self.hear)

    def hear(self, data: bytes) -> None:
        self.bytes_told.append(data)
        self.states.append(live.decode(data))
        self.at.append(trio.current_time())

    @property
    def last(self) -> live.State:
        return self.states[-1]

    @property
    def kinds(self) -> list[str]:
        """States as told, each once."""
        return [one.state for before, one in zip([None, *self.states], self.states, strict=False)
                if before is None or before.state != one.state]  # fmt: skip

    async def until(self, condition: Callable[[live.State], bool]) -> live.State:
        with trio.fail_after(60.0):
            while not self.states or not condition(self.last):
                await trio.sleep(0.01)
        return self.last


async def test_a_run_is_told_from_its_start_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """Starting, quoting, ending; numbered, with the run's name, and never much less often than twice a second."""
    heard = Heard()
    async with running(config(tmp_path), monkeypatch, teller=heard.teller) as world:
        await world.until_quoted()
        await trio.sleep(3.0)
        world.signals.send_nowait(15)
        await world.ended.wait()
    assert [kind for kind in heard.kinds if kind != "not quoting"] == ["starting", "quoting", "ending"]
    assert [one.sequence for one in heard.states] == list(range(1, len(heard.states) + 1))
    assert {(one.run_id, one.mode, one.account_name) for one in heard.states} == {("run-1", "paper", "paper")}
    gaps = [after - before for before, after in zip(heard.at, heard.at[1:], strict=False)]
    assert max(gaps) <= TELL_SECONDS + CHANGE_SECONDS + 0.01, "one that a pull overtakes is put together again"
    assert min(gaps[:-1]) >= CHANGE_SECONDS - 0.001, "but the last, which waits for nothing"
    last = heard.last
    assert last.sentence == "stopped as asked: SIGTERM; read back empty"
    assert (last.reason, last.pulled_at is not None) == ("stop_asked", True)
    assert last.verified_empty_at is not None
    assert [one.quotes for one in last.markets] == [()]
    assert last.markets[0].state == "not quoting"
    assert last.key == live.Key(key_id="ocx_kid_1", scope="trade", expires_at=1_900_000_000.0)
    assert all(b"ocx_sk_" not in data for data in heard.bytes_told)


async def test_what_rests_is_what_the_exchange_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """Prices and sizes of both sides, innermost first; fair value, book, mark, limits, stream, budget, account."""
    heard = Heard()
    async with running(config(tmp_path), monkeypatch, teller=heard.teller) as world:
        await world.until_quoted()
        state = await heard.until(lambda one: one.state == "quoting" and bool(one.markets[0].quotes))
        (one,) = state.markets
        resting = world.site.resting
        assert sorted(one.quotes, key=str) == sorted(
            (live.Quote(side=row["side"], price=row["price"], size=row["quantity"]) for row in as_rows(resting)),
            key=str,
        )
        bids = [float(quote.price) for quote in one.quotes if quote.side == "buy"]
        asks = [float(quote.price) for quote in one.quotes if quote.side == "sell"]
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < float(one.fair or "0") < asks[0]
        assert one.best_bid is not None
        assert one.best_ask is not None
        assert (one.mark, one.no_fair, one.stream, one.tick) == ("50000.0", "", "live", "0.1")
        assert (one.position, one.position_max, one.entry) == ("0.000", "0.4", None)
        assert dec(one.position_value or "") == 0
        spec = world.run.engine.markets[BTC].account.spec
        assert (dec(one.maker_fee_bps or ""), dec(one.taker_fee_bps or "")) == (spec.maker_fee_bps, spec.taker_fee_bps)
        assert one.quotes_age_seconds is not None
        assert 0 <= one.quotes_age_seconds < 5
        engine = world.run.engine
        assert state.budget is not None
        assert state.budget.limit == engine.budget.limit
        assert state.budget.reserve == float(engine.budget.reserve)
        assert state.budget.spent == engine.budget.spent > 0
        assert state.account.balance == live_state.money(engine.balance or dec("0"))
        assert state.account.margin_step == "ample"
        assert state.account.drawdown_max == "2000"
        assert [feed.name for feed in state.feeds] == ["alpha", "beta", "gamma"]
        assert {feed.state for feed in state.feeds} == {"live"}
        assert state.answer_seconds_p50 is not None


def as_rows(resting: Any) -> list[dict[str, Any]]:
    return list(resting.values()) if isinstance(resting, dict) else list(resting)


async def test_a_pull_is_told_at_once_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """Well before the next turn of half a second; nothing counts as quoted; and quoting again is told too."""
    heard = Heard()
    async with running(config(tmp_path), monkeypatch, teller=heard.teller) as world:
        await world.until_quoted()
        await heard.until(lambda one: one.state == "quoting")
        pulled_at = trio.current_time()
        world.lose_stream()
        state = await heard.until(lambda one: one.state == "pulling")
        assert heard.at[-1] - pulled_at <= CHANGE_SECONDS + 0.02
        assert state.reason == "stream_broken"
        assert state.sentence.startswith("a market's event stream broke")
        assert state.markets[0].state == "not quoting"
        assert state.markets[0].sentence == f"quotes are pulled: {state.sentence}"
        assert state.markets[0].best_bid is None, "a book that is not followed is not known"
        assert state.markets[0].stream == "down"
        world.heal()
        state = await heard.until(lambda one: one.state == "quoting")
        assert state.reason == "stream_broken", "of the last pull"
        assert state.verified_empty_at is not None
        assert state.pulled_at is not None


async def test_a_feed_that_is_lost_or_silent_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    heard = Heard()
    async with running(config(tmp_path), monkeypatch, teller=heard.teller) as world:
        await world.until_quoted()
        world.reference_on = False
        world.door.deliver(ReferenceLost("beta", "reset"))
        state = await heard.until(lambda one: bool(one.feeds) and one.feeds[0].state == "stale")
        by_name = {feed.name: feed for feed in state.feeds}
        assert by_name["beta"].state == "down"
        assert "no price" in by_name["beta"].sentence
        assert "silent for" in by_name["alpha"].sentence
        assert (by_name["alpha"].age_seconds or 0) > 1.9
        assert state.state in ("pulling", "not quoting")


async def test_an_error_of_the_teller_ends_the_teller_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """A bug in what is told: a line in the log, and the maker quotes on and stops as asked."""
    heard = Heard()

    def broken(*_words: object) -> live.Account:
        raise ZeroDivisionError

    async with running(config(tmp_path), monkeypatch, teller=heard.teller) as world:
        await world.until_quoted()
        monkeypatch.setattr(live_state, "account", broken)
        told = len(heard.states)
        since = trio.current_time()
        await world.until_quoted(since)
        assert len(heard.states) <= told + 1
        assert not world.switch.seen
        world.signals.send_nowait(15)
        await world.ended.wait()
    assert world.result is not None
    assert world.result.exit_code == 0
    lines = [line for line in world.told.lines if line["event"] == "telling ended"]
    assert len(lines) == 1
    assert "ZeroDivisionError" in lines[0]["sentence"]


async def test_position_and_profit_are_told(autojump_clock: Clock) -> None:
    """Signed, with entry, value at the mark and what made the profit; parts add up to the total."""
    desk = Desk.ready()
    action = desk.quote()
    order = next(one for one in action.orders if one.side is Side.BUY)
    fill = a_fill("t1", Side.BUY, 4, ticks=order.ticks, client_order_id=order.client_order_id)
    desk.delta(fills=(fill,), positions=(at_position(4),))
    async with staged(desk) as stage:
        run = a_run(stage, armed=True)
        one = desk.market()
        made = desk.engine.attributions()[BTC]
        told = live_state.market(run, one, live_state.why_not(run, one, START), made, START)
        assert told.position == "0.004"
        assert told.entry is not None
        assert told.position_value == live_state.money(dec("0.004") * (one.worth.mark or dec("0")))
        assert told.fills == 1
        assert told.profit is not None
        parts = (told.profit.spread, told.profit.inventory, told.profit.fees, told.profit.funding)
        assert sum(map(dec, parts)) == dec(told.profit.total)
        assert dec(told.profit.total) == one.worth.equity_change
        assert next(quote.size for quote in told.quotes if quote.side == "buy") == "0.006", "what is left of it"
        run.stop = ASKED
        assert live_state.why_not(run, one, START) == "quotes are pulled: stopped as asked: SIGTERM"
        assert live_state.market(run, one, "x", made, START).quotes, "they rest until read back empty"
        run.report.verified_empty = True
        assert live_state.market(run, one, "x", made, START).quotes == ()


async def test_a_pull_between_two_markets_is_not_told_half(autojump_clock: Clock) -> None:
    """What was put together before it says what is no more: that state is not sent, and the next one comes soon."""
    desk = Desk.ready(market(BTC), market("ETH-PERP"))
    desk.quote()
    heard = Heard()
    async with staged(desk) as stage:
        run = a_run(stage, armed=True)
        telling = heard.teller.tell(run)
        telling.send(None)  # by hand, in the place of Trio, to the turn after the first market
        run.leave(ASKED)
        with contextlib.suppress(StopIteration):
            while True:
                telling.send(outcome.Value(None))
        assert heard.states == []
        assert heard.teller.woken.is_set()
        await heard.teller.tell(run)
    assert heard.last.state == "ending"
    assert {one.state for one in heard.last.markets} == {"not quoting"}


def test_recent_answers_are_ranked() -> None:
    """Nearest rank, of the latest alone."""
    record = LiveRecord()
    assert record.percentiles() == (None, None)
    record.answered(0.5)
    assert record.percentiles() == (0.5, 0.5)
    for number in range(ANSWERS_MAX):
        record.answered(float(number))
    assert record.percentiles() == (127.0, 253.0)


def test_a_pull_is_remembered_and_told_on() -> None:
    called: list[bool] = []
    record = LiveRecord(changed=lambda: called.append(True))
    record.pulled(Trip(Reason.DRAWDOWN, "3 below"))
    assert (record.pulled_for, len(called)) == ("drawdown", 1)
    assert record.pulled_at is not None


@pytest.mark.parametrize("markets", [2, 20])
async def test_no_turn_of_the_loop_is_long(markets: int) -> None:
    """A decision waits for one market's part at most, with two markets and with twenty alike; a generous bound."""
    held = await measured(markets, rounds=10)
    assert held.bytes_told < live.DATAGRAM_BYTES_MAX / 2
    assert held.turn_median < TURN_SECONDS_MAX
    assert held.turns >= markets, "in one piece"
