"""The quoting cycle: what it sends, when, on which decision, and what it tells the desk of it afterwards."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal

import attrs
import pytest
import trio
import trio.testing

from maker.app import quoter as room
from maker.app.config import Halt
from maker.app.quoter import Quoter
from maker.app.watches import measure_lag
from maker.desk.deadman import Reason, Trip
from maker.desk.engine import Engine
from maker.desk.events import (
    AccountRead,
    Action,
    Event,
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnknown,
    LadderUnsent,
    OpenOrdersRead,
    OrderSeen,
    PlaceLadder,
    ReadEmpty,
    StreamLost,
)
from maker.desk.units import Side
from maker.edge.answer import Answer
from maker.edge.lane import Lane
from maker.edge.records import LadderIntent, LadderOutcome
from maker.errors import StreamFault, Unauthorized
from maker.wire import ocx
from tests.app.site import BALANCES, Behaviour, Stage, Witness, after, now, reset, saying, silent, staged
from tests.desk.scripted import BTC, Desk, resting, spec
from tests.support.wires import MemoryConnection

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

HALT = Halt(write_seconds_max=3.0, settle_seconds_max=1.0, tail_seconds_max=8.0, halt_seconds_max=14.0)
STREAM_LOST = StreamLost(BTC, StreamFault.CLOSED, "reset")


class Steps(trio.abc.Instrument):
    """Counts steps of tasks: two moments with the same count have no await between them."""

    def __init__(self) -> None:
        self.count = 0
        self.look: Callable[[], object] = lambda: None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1
        self.look()


@attrs.define
class ClockedEngine(Engine):
    """The real engine, noting when it decided."""

    steps: Steps = attrs.field(factory=Steps)
    decided: list[tuple[int, float, Action]] = attrs.field(factory=list)

    def decide(self, now: float) -> Action:
        action = Engine.decide(self, now)
        self.decided.append((self.steps.count, now, action))
        return action


@attrs.define(eq=False)
class Quoting:
    stage: Stage
    quoter: Quoter
    engine: ClockedEngine
    steps: Steps
    answers: list[Answer]
    clock_ahead: list[float]  # seconds added to our clock, one figure at a time
    sent_at: list[int] = attrs.field(factory=list)  # the step count at which a ladder's bytes left

    @property
    def inlet(self) -> Witness:
        inlet = self.quoter.inlet
        assert isinstance(inlet, Witness)
        return inlet

    @property
    def ladders_decided(self) -> list[tuple[int, float, Action]]:
        return [one for one in self.engine.decided if isinstance(one[2], PlaceLadder)]

    def watch_bytes(self) -> None:
        """From now on note when a ladder's bytes are handed over."""
        connection = self.quoter.lane.connection
        assert isinstance(connection, MemoryConnection)
        original = connection.send_nowait

        def send_nowait(data: bytes) -> int:
            self.sent_at.append(self.steps.count)
            return original(data)

        connection.send_nowait = send_nowait  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def quoting(*, connected: bool = True) -> AsyncIterator[Quoting]:
    ready = Desk.ready()
    steps = Steps()
    fields = {field.name: getattr(ready.engine, field.name) for field in attrs.fields(Engine) if field.init}
    engine = ClockedEngine(**fields, steps=steps)
    engine.margin = ready.engine.margin
    desk = Desk(engine, ready.now, ready.stream_ms)
    trio.lowlevel.add_instrument(steps)
    try:
        async with staged(desk) as stage:
            lane: Lane = stage.site.lane("quoting")
            if connected:
                await lane.connect()
            answers: list[Answer] = []
            ahead = [0.0]
            quoter = Quoter(
                engine,
                stage.switch,
                lane,
                stage.reader,
                stage.told.recorder,
                {BTC: spec()},
                HALT,
                random.Random(1),
                answers.append,
                lambda: now() + sum(ahead),
            )
            quoter.inlet = Witness(engine, stage.switch, stage.told.recorder, quoter.now, quoter.wake)
            yield Quoting(stage, quoter, engine, steps, answers, ahead)
            lane.close()
    finally:
        trio.lowlevel.remove_instrument(steps)


# -- one ladder


async def test_a_ladder_leaves_in_the_step_that_decided_it(autojump_clock: Clock) -> None:
    """S4, H21: no await between decision and bytes: the freshness checked is the freshness sent."""
    async with quoting() as one:
        one.watch_bytes()
        await one.quoter.step()
        [(decided_at_step, decided_at, action)] = one.ladders_decided
        assert one.sent_at == [decided_at_step]
        [seen] = one.stage.site.seen(ocx.QUOTES_BULK)
        assert decided_at == pytest.approx(now() - trio.current_time() + seen.at)
        assert isinstance(action, PlaceLadder)
        asked = json.loads(seen.body)
        assert (asked["quoteId"], asked["cancelAll"]) == (action.quote_id, True)
        assert [quote["clientOrderId"] for quote in asked["quotes"]] == [o.client_order_id for o in action.orders]


async def test_the_instrument_sees_an_await(autojump_clock: Clock) -> None:
    """The test above can fail: an await anywhere between is another step."""
    async with quoting() as one:
        before = one.steps.count
        await trio.lowlevel.checkpoint()
        assert one.steps.count > before


async def test_an_applied_ladder_is_booked_and_written_down(autojump_clock: Clock) -> None:
    """S16: the intent is put before its outcome; the answer's headers go to the budget."""
    async with quoting() as one:
        await one.quoter.step()
        [placed] = one.inlet.of(LadderPlaced)
        assert isinstance(placed, LadderPlaced)
        assert len(one.engine.markets[BTC].account.resting) == len(placed.orders or ())
        rows = [row for row in one.stage.told.journal.rows if isinstance(row, LadderIntent | LadderOutcome)]
        assert [type(row) for row in rows] == [LadderIntent, LadderOutcome]
        assert isinstance(rows[1], LadderOutcome)
        assert rows[1].outcome == "applied"
        assert len(one.answers) == 1
        assert not one.stage.switch.latched
        assert one.stage.switch.write_scope is None


async def test_the_intent_is_written_before_the_bytes(autojump_clock: Clock) -> None:
    """S16: at the moment the bytes leave, the intent is in the journal."""
    async with quoting() as one:
        connection = one.quoter.lane.connection
        assert isinstance(connection, MemoryConnection)
        intents: list[int] = []
        original = connection.send_nowait

        def send_nowait(data: bytes) -> int:
            intents.append(len(one.stage.told.rows(LadderIntent)))
            return original(data)

        connection.send_nowait = send_nowait  # type: ignore[method-assign]
        await one.quoter.step()
        assert intents == [1]


@pytest.mark.parametrize(
    ("answer", "fact", "word"),
    [
        (saying({"error": "TOO_SMALL", "message": "no"}, 422), LadderRefused, "refused"),
        (saying({"error": "INSUFFICIENT_MARGIN", "message": "no"}, 422), LadderRefused, "refused"),
        (saying({"error": "RATE"}, 429, "Retry-After: 2"), LadderThrottled, "throttled"),
    ],
)
async def test_a_refusal_is_never_booked_as_success(
    answer: Behaviour, fact: type[Event], word: str, autojump_clock: Clock
) -> None:
    """S11: and nothing is pulled for it, since nothing is unknown."""
    async with quoting() as one:
        one.stage.site.script(ocx.QUOTES_BULK, answer)
        await one.quoter.step()
        assert len(one.inlet.of(fact)) == 1
        assert one.inlet.of(LadderPlaced) == []
        assert [row.outcome for row in one.stage.told.rows(LadderOutcome)] == [word]
        assert not one.stage.switch.latched
        assert one.stage.switch.unknown_write_at is None


@pytest.mark.parametrize(
    "answer",
    [
        saying({"error": "X"}, 500),
        saying({"error": "X"}, 302),
        saying(b"<html>", 200),
        saying({"marketId": "ETH-PERP"}, 200),
        saying({"error": "DUPLICATE_CLIENT_ORDER_ID", "message": ""}, 409),
        reset,
        silent,
    ],
    ids=["500", "302", "html", "another market", "duplicate", "reset", "silent"],
)
async def test_an_answer_not_to_be_trusted_is_an_unknown_outcome(answer: Behaviour, autojump_clock: Clock) -> None:
    """S11, S12: noted for the halt's tail, delivered, pulled; also when the deadline cut the wait."""
    async with quoting() as one:
        one.stage.site.script(ocx.QUOTES_BULK, answer)
        await one.quoter.step()
        assert len(one.inlet.of(LadderUnknown)) == 1
        assert one.stage.switch.unknown_write_at is not None
        assert one.stage.switch.tripped is not None
        assert one.stage.switch.tripped.reason is Reason.OUTCOME_UNKNOWN
        assert b"cancel-all" in one.stage.panic_sent
        assert [row.outcome for row in one.stage.told.rows(LadderOutcome)] == ["unknown"]
        if answer is silent:
            assert trio.current_time() == pytest.approx(HALT.write_seconds_max)
            assert not one.quoter.lane.ready
        quote_ids = [json.loads(seen.body)["quoteId"] for seen in one.stage.site.seen(ocx.QUOTES_BULK)]
        assert len(set(quote_ids)) == len(quote_ids) == 1


async def test_a_write_is_not_abandoned_when_the_cycle_is_cancelled(autojump_clock: Clock) -> None:
    """H1: its answer is awaited behind the shield, and booked."""
    async with quoting() as one:
        one.stage.site.script(ocx.QUOTES_BULK, after(0.5, one.stage.site.bulk))
        with trio.move_on_after(0.1) as scope:
            await one.quoter.run()
        assert scope.cancelled_caught
        assert trio.current_time() == pytest.approx(0.5)
        assert len(one.inlet.of(LadderPlaced)) == 1
        assert one.stage.switch.unknown_write_at is None


@pytest.mark.parametrize(("status", "code"), [(401, "NO"), (403, "NO"), (409, "KEY_REVOKED")])
async def test_a_forbidden_ladder_leaves_the_cycle(status: int, code: str, autojump_clock: Clock) -> None:
    async with quoting() as one:
        one.stage.site.script(ocx.QUOTES_BULK, saying({"error": code}, status))
        with trio.move_on_after(60.0), pytest.raises(Unauthorized) as caught:
            await one.quoter.run()
        assert caught.value.status == status
        assert one.stage.switch.write_scope is None
        assert len(one.stage.site.seen(ocx.QUOTES_BULK)) == 1


# -- a pause of this process


@pytest.mark.parametrize(("paused_seconds", "leaves"), [(0.04, True), (0.06, False), (60.0, False)])
async def test_a_pause_between_decision_and_bytes_keeps_the_ladder(
    paused_seconds: float, leaves: bool, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H21: a stopped process, a suspended machine: what was decided before is not sent after."""
    async with quoting() as one:
        original = one.stage.told.recorder.ladder_intended

        def stopped(_self: object, action: PlaceLadder) -> None:
            original(action)
            one.clock_ahead.append(paused_seconds)

        monkeypatch.setattr(type(one.stage.told.recorder), "ladder_intended", stopped)
        await one.quoter.step()
        await trio.testing.wait_all_tasks_blocked()
        assert len(one.stage.site.seen(ocx.QUOTES_BULK)) == leaves
        assert len(one.inlet.of(LadderUnsent)) == (not leaves)
        assert one.stage.switch.unknown_write_at is None
        if not leaves:
            assert not one.engine.exposed
            [row] = one.stage.told.rows(LadderOutcome)
            assert (row.outcome, row.answer_seconds) == ("unsent", None)
            assert "stood still" in row.detail


# -- the lane


async def test_no_decision_before_the_lane_is_ready(autojump_clock: Clock) -> None:
    """Dialling between decision and bytes would send a stale ladder."""
    async with quoting(connected=False) as one:
        one.stage.site.dial_seconds = 1.0
        with trio.move_on_after(0.9):
            await one.quoter.step()
        assert one.engine.decided == []
        await one.quoter.step()
        assert [isinstance(action, PlaceLadder) for _, _, action in one.engine.decided] == [True]
        assert one.ladders_decided[0][1] == pytest.approx(now())


async def test_the_latch_is_looked_at_again_after_connecting(autojump_clock: Clock) -> None:
    """S2: a trip while we were connecting: no decision, no ladder."""
    async with quoting(connected=False) as one:
        one.stage.site.dial_seconds = 1.0

        async def trip_meanwhile() -> None:
            await trio.sleep(0.5)
            one.stage.switch.trip(Trip(Reason.STOP_ASKED, "SIGTERM"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trip_meanwhile)
            await one.quoter.step()
        assert one.engine.decided == []
        assert one.stage.site.seen(ocx.QUOTES_BULK) == []


@pytest.mark.parametrize("how", ["refused", "slow"])
async def test_a_lane_that_cannot_connect_pulls_at_the_third_time(how: str, autojump_clock: Clock) -> None:
    """Quotes that cannot be moved are not left alone; no decision is taken meanwhile."""
    async with quoting() as one:
        await one.quoter.step()
        decided = len(one.engine.decided)
        one.quoter.lane.close()
        if how == "refused":
            one.stage.site.refusals = 3
        else:
            one.stage.site.dial_seconds = 60.0
        began = trio.current_time()
        await one.quoter.step()
        each = room.RETRY_SECONDS + (room.CONNECT_SECONDS_MAX if how == "slow" else 0.0)
        assert trio.current_time() - began == pytest.approx(each)
        await one.quoter.step()
        assert not one.stage.switch.latched
        await one.quoter.step()
        assert one.stage.switch.tripped is not None
        assert one.stage.switch.tripped.reason is Reason.ORDERS_FAILING
        assert len(one.engine.decided) == decided


async def test_failures_far_apart_are_not_failures_in_a_row(autojump_clock: Clock) -> None:
    """A lane that once in a while cannot connect at the first attempt, and then can, pulls nothing."""
    async with quoting() as one:
        await one.quoter.step()
        for _ in range(room.FAILURES_MAX + 1):
            one.quoter.lane.close()
            one.stage.site.refusals = 1
            await one.quoter.step()  # refused
            await one.quoter.step()  # connected
            assert one.quoter.lane.ready
        assert not one.stage.switch.latched


# -- reading the orders


async def test_what_rests_is_read_when_it_is_not_known(autojump_clock: Clock) -> None:
    """S11: refused ladder, then a read, then the next ladder under another name."""
    async with quoting() as one:
        one.stage.site.script(ocx.QUOTES_BULK, saying({"error": "TOO_SMALL", "message": "no"}, 422))
        await one.quoter.step()
        await one.quoter.step()
        assert one.stage.site.paths == [ocx.QUOTES_BULK, ocx.ORDERS]
        assert len(one.inlet.of(OpenOrdersRead)) == 1
        assert one.engine.markets[BTC].orders_known


@pytest.mark.parametrize("answer", [saying({"error": "X"}, 500), saying(b"{"), reset])
async def test_orders_that_cannot_be_read_pull_at_the_third_time(answer: Behaviour, autojump_clock: Clock) -> None:
    async with quoting() as one:
        await one.quoter.step()
        one.engine.markets[BTC].orders_known = False
        one.stage.site.usual[ocx.ORDERS] = answer
        for reads in range(room.FAILURES_MAX):
            assert not one.stage.switch.latched, reads
            one.stage.desk.now = now()
            one.stage.desk.later(0.0)
            one.stage.desk.reference()
            await one.quoter.step()
        assert one.stage.switch.tripped is not None
        assert one.stage.switch.tripped.reason is Reason.ORDERS_FAILING


@pytest.mark.parametrize("status", [401, 403])
async def test_a_forbidden_read_leaves_the_cycle(status: int, autojump_clock: Clock) -> None:
    async with quoting() as one:
        one.engine.markets[BTC].orders_known = False
        one.stage.site.usual[ocx.ORDERS] = saying({"error": "NO"}, status)
        with pytest.raises(Unauthorized):
            await one.quoter.run()


# -- after a trip


async def test_recovering_goes_in_its_order(autojump_clock: Clock) -> None:
    """Cancel-all, read back empty, the account, a pause; only then, and in one step, quoting and writing."""
    async with quoting() as one:
        await one.quoter.step()
        one.inlet.deliver(STREAM_LOST)
        assert one.stage.switch.latched
        one.stage.site.log.clear()
        seen: set[tuple[bool, bool]] = set()
        one.steps.look = lambda: seen.add((one.stage.switch.latched, one.engine.holding is not None))
        began = trio.current_time()
        await one.quoter.step()
        await trio.lowlevel.checkpoint()
        assert seen == {(True, True), (False, False)}  # never the one without the other
        assert one.stage.site.paths == [
            ocx.CANCEL_ALL,
            ocx.ORDERS,
            ocx.ORDERS,
            ocx.POSITIONS,
            ocx.TRADES,
            ocx.BALANCES,
            ocx.POSITIONS,
        ]
        kinds = [type(event) for _, event in one.inlet.facts[-2:]]
        assert kinds == [ReadEmpty, AccountRead]
        pause = trio.current_time() - one.stage.site.log[-1].at
        assert room.RESUME_SECONDS_MIN <= pause <= room.RESUME_SECONDS_MAX
        assert trio.current_time() - began >= 0.25 + room.RESUME_SECONDS_MIN
        assert (one.stage.switch.latched, one.engine.holding) == (False, None)


async def test_pauses_before_quoting_again_are_drawn(autojump_clock: Clock) -> None:
    """Not at the same moment as everybody else who was cut off."""
    pauses = set()
    async with quoting() as one:
        for _ in range(8):
            one.stage.switch.trip(Trip(Reason.STREAM_BROKEN, BTC))
            await one.quoter.step()
            pauses.add(round(trio.current_time() - one.stage.site.log[-1].at, 4))
    assert len(pauses) == 8
    assert all(room.RESUME_SECONDS_MIN <= pause <= room.RESUME_SECONDS_MAX for pause in pauses)


async def test_what_flaps_is_waited_out_longer_and_longer_up_to_half_a_minute(autojump_clock: Clock) -> None:
    """More than five pulls within a minute: each further one doubles the pause, jittered; a quiet minute forgives."""

    async def pull_and_time(one: Quoting) -> float:
        began = trio.current_time()
        one.stage.switch.trip(Trip(Reason.STREAM_BROKEN, BTC))
        await one.quoter.step()
        return trio.current_time() - began

    usual = 0.25 + room.RESUME_SECONDS_MAX + 0.1
    async with quoting() as one:
        quick = [await pull_and_time(one) for _ in range(room.FLAP_PULLS_MAX)]
        assert max(quick) <= usual
        slow = [await pull_and_time(one) for _ in range(4)]
        for number, seconds in enumerate(slow, 1):
            longest = min(room.FLAP_PAUSE_SECONDS_MAX, room.RESUME_SECONDS_MAX * 2**number)
            assert longest / 2 < seconds < longest + usual
        for _ in range(20):
            assert await pull_and_time(one) < room.FLAP_PAUSE_SECONDS_MAX + usual
        await trio.sleep(room.FLAP_SECONDS)
        assert await pull_and_time(one) <= usual
        assert [line for line in one.stage.told.lines if line["event"] == "flapping"]


async def test_an_exchange_that_is_away_is_no_hung_cycle(autojump_clock: Clock) -> None:
    """Five minutes without a good answer to the cancel-all: heartbeats stay earned, and it comes back by itself."""
    async with quoting() as one:
        pulse = one.quoter.pulse
        pulse.boot = one.quoter.now
        one.stage.nursery.start_soon(measure_lag, pulse)
        one.stage.site.usual[ocx.CANCEL_ALL] = saying({"error": "X"}, 503)
        one.stage.switch.trip(Trip(Reason.STREAM_BROKEN, BTC))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.quoter.step)
            for _ in range(3000):
                await trio.sleep(0.1)
                assert pulse.healthy(one.quoter.now()) is None
            one.stage.site.usual[ocx.CANCEL_ALL] = one.stage.site.cancel_all
        assert not one.stage.switch.latched


async def test_a_cycle_that_hangs_earns_no_heartbeat(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop turns and the cycle does not, in an await that nobody bounded."""
    async with quoting() as one:
        pulse = one.quoter.pulse
        pulse.boot = one.quoter.now

        async def hangs(_self: object) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(Quoter, "read_orders", hangs)
        one.engine.markets[BTC].orders_known = False
        one.stage.nursery.start_soon(measure_lag, pulse)
        one.stage.nursery.start_soon(one.quoter.run)
        await trio.sleep(4.9)
        assert pulse.healthy(one.quoter.now()) is None
        await trio.sleep(0.2)
        said = pulse.healthy(one.quoter.now())
        assert said is not None
        assert said.startswith("the quoting cycle is")


async def test_a_stream_that_breaks_during_the_recovery_is_read_back_too(autojump_clock: Clock) -> None:
    """S5: then the read before was not the last word."""
    async with quoting() as one:
        await one.quoter.step()
        one.inlet.deliver(STREAM_LOST)
        broke_again = False

        def breaks(event: Event) -> None:
            nonlocal broke_again
            if isinstance(event, AccountRead) and not broke_again:
                broke_again = True
                one.engine.markets[BTC].lost = False  # a snapshot had come meanwhile
                one.inlet.deliver(STREAM_LOST)

        one.inlet.look = breaks
        await one.quoter.step()
        assert len(one.inlet.of(AccountRead)) == 2
        assert not one.engine.account_read_due
        assert not one.stage.switch.latched


async def test_an_order_seen_during_the_recovery_is_pulled_before_quoting_again(autojump_clock: Clock) -> None:
    """S3, S24, seed 7014: read back empty, then a lane's warming read showed an order; quotes followed beside it."""
    async with quoting() as one:
        await one.quoter.step()
        one.inlet.deliver(STREAM_LOST)
        one.stage.site.log.clear()
        shown = [resting([("not-ours", Side.BUY, 500_000, 1)]).orders, resting([]).orders]

        def warmed(event: Event) -> None:
            if isinstance(event, AccountRead):
                one.quoter.look_for_strangers(shown.pop(0))

        one.inlet.look = warmed
        await one.quoter.step()
        assert shown == []
        assert not one.stage.switch.latched
        once = [ocx.CANCEL_ALL, ocx.ORDERS, ocx.ORDERS, ocx.POSITIONS, ocx.TRADES, ocx.BALANCES, ocx.POSITIONS]
        assert one.stage.site.paths == [*once, *once]


def shown(one: Quoting, *names: str) -> tuple[OrderSeen, ...]:
    """What rests as the desk has it, and orders of these names."""
    own = one.engine.markets[BTC].account.resting.values()
    known = [(order.client_order_id, order.side, order.ticks, order.lots) for order in own]
    return resting([*known, *((name, Side.BUY, 490_000, 1) for name in names)]).orders


@pytest.mark.parametrize("market_id", [BTC, "DOGE-PERP"])
async def test_an_order_of_our_prefix_that_nobody_knows_is_pulled_when_two_reads_show_it(
    market_id: str, autojump_clock: Clock
) -> None:
    """S6, S12: a replace left an order resting, or an earlier run's ladder landed late: its name says it is ours."""
    async with quoting() as one:
        await one.quoter.step()
        stray = {"id": "id-stray", "marketId": market_id, "clientOrderId": "mk-earlier-1", "side": "buy"}
        one.stage.site.resting.append({**stray, "price": "49000", "quantity": "0.1", "status": "open"})
        orders = tuple(
            attrs.evolve(order, market_id=market_id) for order in resting([("mk-earlier-1", Side.BUY, 1, 1)]).orders
        )
        one.quoter.look_for_strangers(orders)
        await one.quoter.step()
        assert one.inlet.of(OpenOrdersRead) == []
        one.quoter.look_for_strangers(orders)
        await one.quoter.step()
        assert one.stage.switch.tripped is not None
        assert one.stage.switch.tripped.reason is Reason.ORDERS_DISAGREE
        assert "mk-earlier-1" in one.stage.switch.tripped.detail


async def test_reads_that_are_older_than_what_became_of_an_order_read_nothing_back(autojump_clock: Clock) -> None:
    """A replace and a fill, each while such a read was on its way: what one shows alone is no stray."""
    async with quoting() as one:
        await one.quoter.step()
        account = one.engine.markets[BTC].account
        first, second, *_ = list(account.resting)
        for step in range(6):
            one.quoter.look_for_strangers(shown(one, *(["mk-7-late"] if step % 2 else [])))
        account.superseded[first] = account.resting.pop(first)
        account.finished.is_new(account.resting.pop(second).client_order_id)
        for _ in range(3):
            one.quoter.look_for_strangers(shown(one, first, second))
        one.quoter.look_for_strangers(shown(one, "mk-7-late"))
        assert one.engine.markets[BTC].orders_known


async def test_a_forbidden_read_during_the_recovery_leaves_it_latched(autojump_clock: Clock) -> None:
    async with quoting() as one:
        await one.quoter.step()
        one.inlet.deliver(STREAM_LOST)
        one.stage.site.usual[ocx.POSITIONS] = saying({"error": "NO"}, 401)
        with pytest.raises(Unauthorized):
            await one.quoter.run()
        assert one.stage.switch.latched
        assert one.engine.holding is not None


async def test_a_final_trip_during_the_recovery_stays_latched(autojump_clock: Clock) -> None:
    """S2: whoever leaves meanwhile is not undone by the recovery's end."""
    async with quoting() as one:
        await one.quoter.step()
        one.inlet.deliver(STREAM_LOST)
        one.inlet.look = lambda event: (
            one.stage.switch.trip(Trip(Reason.STOP_ASKED, "SIGTERM")) if isinstance(event, AccountRead) else None
        )
        await one.quoter.step()
        assert one.stage.switch.latched
        assert [seen.at for seen in one.stage.site.seen(ocx.QUOTES_BULK)] == [0.0]


async def test_after_an_unknown_outcome_a_new_ladder_has_a_new_name(autojump_clock: Clock) -> None:
    """S12: pulled through the tail, read back, and never the same quoteId or clientOrderId again."""
    async with quoting() as one:
        one.stage.site.script(ocx.QUOTES_BULK, reset)
        await one.quoter.step()
        await one.quoter.step()
        assert not one.stage.switch.latched
        assert trio.current_time() >= HALT.tail_seconds_max
        one.stage.desk.now = now()
        one.stage.desk.snapshot()
        one.stage.desk.stats()
        one.stage.desk.reference()
        await one.quoter.step()
        first, second = (json.loads(seen.body) for seen in one.stage.site.seen(ocx.QUOTES_BULK))
        assert first["quoteId"] != second["quoteId"]
        names = [quote["clientOrderId"] for asked in (first, second) for quote in asked["quotes"]]
        assert len(set(names)) == len(names)


# -- waiting


async def test_a_fact_wakes_the_cycle(autojump_clock: Clock) -> None:
    """Waiting ends at once when something was delivered."""
    async with quoting() as one:
        await one.quoter.step()

        async def later() -> None:
            await trio.sleep(0.01)
            one.stage.desk.now = now()
            one.quoter.wake()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(later)
            await one.quoter.step()
        assert trio.current_time() == pytest.approx(0.01)


async def test_a_due_account_read_is_made(autojump_clock: Clock) -> None:
    async with quoting() as one:
        one.engine.account_read_due = "a test asks for it"
        await one.quoter.step()
        [read] = one.inlet.of(AccountRead)
        assert isinstance(read, AccountRead)
        assert str(read.balance) == BALANCES["balances"][0]["balance"]
        assert read.available == Decimal(9000)
        assert not one.engine.account_read_due
