"""The feeds: when they reconnect, what they deliver and in which order, and what they make of garbage."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import trio
import trio.testing

from maker.app import feeds
from maker.app.feeds import Backoff, follow_market, poll, run_market_stream, run_polls
from maker.desk import balances
from maker.desk.deadman import Reason
from maker.desk.events import (
    BalanceRead,
    Event,
    FeesRead,
    MarketStats,
    ReferenceLost,
    SpecRead,
    StreamDelta,
    StreamHeard,
    StreamLost,
    StreamSnapshot,
)
from maker.desk.market import GridChanged
from maker.errors import StreamBroken, StreamFault, Unauthorized
from maker.wire import ocx, reads, sse
from maker.wire.stream import MarketStream
from tests.app.site import BALANCES, MARKET, STATS, Behaviour, Seen, Stage, after, reset, saying, silent, staged
from tests.desk.scripted import BTC, VENUE, Desk, market, spec
from tests.support.wires import ServerEnd

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

SILENT_SECONDS_MAX = 22.5
CONNECTS_MAX = 12  # in any minute
MINUTE = 60.0
BOOK = {"marketId": BTC, "sequence": 1, "bids": [{"price": "49998", "size": "1"}], "asks": [{"price": "50002", "size": "1"}]}  # fmt: skip  # noqa: E501


def test_a_poll_is_no_longer_on_its_way_than_the_desk_believes() -> None:
    """A balance may be as old as that when its answer comes: what was traded since is not taken for funding."""
    assert feeds.READ_SECONDS_MAX <= balances.READ_SECONDS


def stream_event(kind: str, sequence: int, **payload: Any) -> bytes:
    data = {
        "eventId": f"E{sequence}",
        "eventType": kind,
        "eventSeq": sequence,
        "engineTs": 1_700_000_001_000 + sequence,
        "payload": payload,
    }
    return sse.encode(kind, json.dumps(data), str(sequence))


SNAPSHOT = stream_event("snapshot", 1, marketId=BTC, book=BOOK, trades=[], positions=[])
HEARTBEAT = b":heartbeat\n\n"
Step = bytes | float  # what the exchange says, and how long it then says nothing


def streaming(*steps: Step, end: Behaviour = silent) -> Behaviour:
    """An event stream that says and waits; then `end`."""

    async def behave(seen: Seen, stream: ServerEnd) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for step in steps:
            if isinstance(step, bytes):
                await stream.send_all(step)
            else:
                await trio.sleep(step)
        await end(seen, stream)

    return behave


async def ended(_seen: Seen, stream: ServerEnd) -> None:
    await stream.aclose()
    await trio.sleep_forever()


async def follow(stage: Stage) -> StreamBroken:
    """One connection to its end."""
    with pytest.raises(StreamBroken) as caught:
        await follow_market(stage.client, {"marketId": BTC}, MarketStream(spec()), stage.inlet, SILENT_SECONDS_MAX)
    return caught.value


def exposed() -> Desk:
    """A desk with quotes resting."""
    desk = Desk.ready()
    desk.quote()
    return desk


# -- pauses between connections


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(at <= other < at + MINUTE for other in times) for at in times)


def connects(seed: int, lives: Callable[[int], float], count: int = 60) -> list[float]:
    """When a stream connects whose connections live so long."""
    backoff, at, times = Backoff(random.Random(seed)), 0.0, []
    for number in range(count):
        times.append(at)
        lived = lives(number)
        at += lived + backoff.next_pause(lived)
    return times


def test_connections_that_fail_at_once_are_few() -> None:
    """L5: at most twelve in any minute, whatever the jitter."""
    assert max(most_in_a_minute(connects(seed, lambda _: 0.0)) for seed in range(200)) <= CONNECTS_MAX


def test_connections_that_sometimes_live_are_few() -> None:
    """L5: a stream that comes up for a moment now and then, and flaps between, gets no more of them."""
    worst = {
        failures: max(
            most_in_a_minute(
                connects(seed, lambda n, each=failures: feeds.BACKOFF_RESET_SECONDS if n % each == 0 else 0.0)  # type: ignore[misc]
            )
            for seed in range(20)
        )
        for failures in range(1, 9)
    }
    assert max(worst.values()) <= CONNECTS_MAX, f"connections in a minute by connections from one good one to the next: {worst}"  # fmt: skip  # noqa: E501


def test_pauses_grow_to_a_bound_and_are_jittered() -> None:
    """Each pause is between half and the whole of a figure that doubles up to the bound."""
    drawn = [[backoff.next_pause(0.0) for _ in range(10)] for backoff in (Backoff(random.Random(s)) for s in range(50))]
    whole = [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0, 15.0]
    for pauses in drawn:
        assert all(figure / 2 <= pause <= figure for figure, pause in zip(whole, pauses, strict=True))
    for column in zip(*drawn, strict=True):
        assert len({round(pause, 6) for pause in column}) > 40  # not all clients at the same moment


@pytest.mark.parametrize(("lived", "whole"), [(59.9, 15.0), (60.0, 0.5), (3600.0, 0.5)])
def test_a_good_connection_makes_the_next_pause_short(lived: float, whole: float) -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(8):
        backoff.next_pause(0.0)
    assert whole / 2 <= backoff.next_pause(lived) <= whole


async def test_a_stream_that_is_refused_reconnects_within_bounds(autojump_clock: Clock) -> None:
    """L5, seen by the exchange; and the desk is told each time."""
    async with staged() as stage:
        stage.site.usual[ocx.STREAM_EVENTS] = saying({"error": "DOWN"}, 503)
        rng = random.Random(3)
        with trio.move_on_after(300):
            await run_market_stream(stage.client, spec(), stage.inlet, rng, SILENT_SECONDS_MAX)
        times = stage.site.times(ocx.STREAM_EVENTS)
        assert 20 < len(times) < 45
        assert most_in_a_minute(times) <= CONNECTS_MAX
        lost = stage.inlet.of(StreamLost)
        assert len(lost) == len(times)
        assert {event.fault for event in lost if isinstance(event, StreamLost)} == {StreamFault.CLOSED}


# -- one connection to a market's stream


async def test_facts_reach_the_desk_in_their_order(autojump_clock: Clock) -> None:
    """S5: each once, in the order of the stream; a duplicate only says that the stream lives."""
    first = stream_event("delta", 2, marketId=BTC, book={**BOOK, "bids": [{"price": "49999", "size": "2"}], "asks": []})
    second = stream_event("delta", 3, marketId=BTC, book={**BOOK, "bids": [{"price": "49999", "size": "0"}], "asks": []})  # fmt: skip  # noqa: E501
    async with staged() as stage:
        stage.site.script(
            ocx.STREAM_EVENTS, streaming(SNAPSHOT + first[:9], 0.5, first[9:] + HEARTBEAT + first, second)
        )
        broken = await follow(stage)
        assert broken.fault is StreamFault.SILENT
        kinds = [type(event) for _, event in stage.inlet.facts]
        assert kinds == [StreamSnapshot, StreamDelta, StreamHeard, StreamHeard, StreamDelta]
        deltas = [event.bids for event in stage.inlet.of(StreamDelta) if isinstance(event, StreamDelta)]
        assert deltas == [((499990, 2000),), ((499990, 0),)]
        assert stage.desk.market().live


async def test_what_is_asked_of_the_stream(autojump_clock: Clock) -> None:
    async with staged() as stage:
        with trio.move_on_after(1):
            await run_market_stream(stage.client, spec(), stage.inlet, random.Random(0), SILENT_SECONDS_MAX)
        assert stage.site.log[0].query == f"marketId={BTC}&depth=25&intervalMs={ocx.EVENTS_INTERVAL_MS_MIN}"


GAP = stream_event("delta", 3, marketId=BTC, book=BOOK)
CROSSED = stream_event("delta", 2, marketId=BTC, book={**BOOK, "bids": [{"price": "50003", "size": "1"}]})


@pytest.mark.parametrize(
    ("says", "end", "fault"),
    [
        (SNAPSHOT + GAP, silent, StreamFault.GAP),
        (stream_event("delta", 1, marketId=BTC, book=BOOK), silent, StreamFault.GAP),
        (SNAPSHOT + b"event: delta\ndata: {\n\n", silent, StreamFault.MALFORMED),
        (SNAPSHOT + CROSSED, silent, StreamFault.MALFORMED),
        (SNAPSHOT + b'event: error\ndata: {"code":"X","message":"no"}\n\n', silent, StreamFault.CLOSED),
        (SNAPSHOT, ended, StreamFault.CLOSED),
        (SNAPSHOT, reset, StreamFault.CLOSED),
    ],
    ids=["gap", "delta first", "malformed", "crossed", "error", "end", "reset"],
)
async def test_quotes_are_pulled_before_the_broken_connection_is_closed(
    says: bytes, end: Behaviour, fault: StreamFault, autojump_clock: Clock
) -> None:
    """S5, L1: lost, latched and cancel-all on the wire in one step, before the broken connection is closed."""
    async with staged(exposed()) as stage:
        stage.site.script(ocx.STREAM_EVENTS, streaming(says, end=end))
        at_loss: list[tuple[bool, bool, bool]] = []

        def look(event: Event) -> None:
            if isinstance(event, StreamLost):
                stream = stage.site.seen(ocx.STREAM_EVENTS)[0].connection
                at_loss.append((stage.switch.latched, b"cancel-all" in stage.panic_sent, stream.closed))

        stage.inlet.look = look
        broken = await follow(stage)
        assert broken.fault is fault, broken
        peer_gone = end is not silent  # then there is nothing left to wait for
        assert at_loss == [(True, True, peer_gone)]
        assert stage.switch.tripped is not None
        assert stage.switch.tripped.reason is Reason.STREAM_BROKEN
        assert stage.site.seen(ocx.STREAM_EVENTS)[0].connection.closed
        assert not stage.desk.market().live


@pytest.mark.parametrize("status", [401, 403])
async def test_a_stream_that_is_forbidden_is_not_tried_again(status: int, autojump_clock: Clock) -> None:
    """Credentials never spin."""
    async with staged() as stage:
        stage.site.usual[ocx.STREAM_EVENTS] = saying({"error": "NO"}, status)
        with pytest.raises(Unauthorized) as caught:
            await run_market_stream(stage.client, spec(), stage.inlet, random.Random(0), SILENT_SECONDS_MAX)
        assert caught.value.status == status
        assert len(stage.site.log) == 1
        assert stage.site.log[0].connection.closed


@pytest.mark.parametrize("status", [204, 301, 404, 429, 500, 503])
async def test_any_other_answer_is_a_closed_stream(status: int, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.script(ocx.STREAM_EVENTS, saying(b"" if status == 204 else {"error": "X"}, status))
        broken = await follow(stage)
        assert broken.fault is StreamFault.CLOSED
        assert str(status) in broken.detail


async def test_a_connection_refused_is_a_closed_stream(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.refusals = 1
        assert (await follow(stage)).fault is StreamFault.CLOSED


@pytest.mark.parametrize("where", ["dialling", "head", "snapshot"])
async def test_a_connection_that_never_begins_is_given_up(where: str, autojump_clock: Clock) -> None:
    """From dialling to the first byte there is one deadline."""
    async with staged() as stage:
        stage.site.dial_seconds = 600.0 if where == "dialling" else 0.0
        stage.site.script(ocx.STREAM_EVENTS, silent if where == "head" else streaming())
        assert (await follow(stage)).fault is StreamFault.SILENT
        assert trio.current_time() == pytest.approx(feeds.CONNECT_SECONDS_MAX)


async def test_each_whole_event_moves_the_deadline(autojump_clock: Clock) -> None:
    """L1: heartbeats keep a quiet stream; silence ends it after 1.5 heartbeats and no sooner."""
    async with staged() as stage:
        steps = (SNAPSHOT, 22.0, HEARTBEAT, 22.0, b":heart", 0.1, b"beat\n\n")
        stage.site.script(ocx.STREAM_EVENTS, streaming(*steps))
        broken = await follow(stage)
        assert broken.fault is StreamFault.SILENT
        assert trio.current_time() == pytest.approx(44.1 + SILENT_SECONDS_MAX)


async def test_bytes_that_never_make_an_event_are_no_sign_of_life(autojump_clock: Clock) -> None:
    """F17: each byte kept the connection, and a market whose stream mumbled was never quoted again."""
    async with staged() as stage:
        stage.site.script(ocx.STREAM_EVENTS, streaming(SNAPSHOT, *(step for _ in range(100) for step in (1.0, b"x"))))
        broken = await follow(stage)
        assert broken.fault is StreamFault.SILENT
        assert trio.current_time() == pytest.approx(SILENT_SECONDS_MAX)


async def test_after_a_break_a_new_connection_starts_from_its_own_snapshot(autojump_clock: Clock) -> None:
    """S5: nothing of the last connection's sequence survives; numbers may start again."""
    async with staged() as stage:
        stage.site.script(ocx.STREAM_EVENTS, streaming(SNAPSHOT, 0.1, GAP), streaming(SNAPSHOT))
        with trio.move_on_after(4):
            await run_market_stream(stage.client, spec(), stage.inlet, random.Random(0), SILENT_SECONDS_MAX)
        kinds = [type(event) for _, event in stage.inlet.facts]
        assert kinds == [StreamSnapshot, StreamLost, StreamLost, StreamSnapshot]
        assert stage.desk.market().live
        assert [seen.connection.closed for seen in stage.site.seen(ocx.STREAM_EVENTS)] == [True, True]  # once cancelled


async def test_one_loss_pulls_once_though_it_is_said_twice(autojump_clock: Clock) -> None:
    async with staged(exposed()) as stage:
        stage.site.script(ocx.STREAM_EVENTS, streaming(SNAPSHOT + GAP), streaming(SNAPSHOT))
        with trio.move_on_after(5):
            await run_market_stream(stage.client, spec(), stage.inlet, random.Random(0), SILENT_SECONDS_MAX)
        assert stage.switch.trips == 1
        assert len(stage.site.seen(ocx.CANCEL_ALL)) == 1


# -- the door


async def test_a_fact_that_trips_fires_before_deliver_returns(autojump_clock: Clock) -> None:
    """S10: engine, latch and cancel-all are one synchronous step; the quoter is woken by it."""
    async with staged(exposed()) as stage:
        assert stage.panic_sent == b""
        stage.inlet.deliver(ReferenceLost(VENUE, "gone"))
        assert b"POST /perps/orders/cancel-all" in stage.panic_sent
        assert stage.switch.latched
        assert stage.wakes
        assert [line["event"] for line in stage.told.lines] == ["down", "pulling"]


async def test_a_heartbeat_wakes_nobody(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.inlet.deliver(StreamHeard(BTC))
        assert stage.wakes == []
        stage.inlet.deliver(BalanceRead(*(stage.desk.engine.balance or 0,) * 2))  # type: ignore[arg-type]
        assert len(stage.wakes) == 1


async def test_the_watch_pulls_for_time_alone(autojump_clock: Clock) -> None:
    """S4: nothing more is heard, and the reference's age alone pulls what rests."""
    async with staged(exposed()) as stage:
        assert stage.inlet.watch() is False
        await trio.sleep(2.1)
        assert stage.inlet.watch() is True
        assert b"cancel-all" in stage.panic_sent
        assert stage.switch.tripped is not None
        assert stage.switch.tripped.reason is Reason.REFERENCE_STALE
        assert stage.inlet.watch() is False  # once
        assert stage.switch.trips == 1


# -- the polls


async def test_polls_come_at_their_turns(autojump_clock: Clock) -> None:
    async with staged() as stage:
        with trio.move_on_after(61.5):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert stage.site.times(ocx.MARKET_STATS) == [float(second) for second in range(62)]
        assert stage.site.times(ocx.BALANCES) == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
        assert stage.site.times(ocx.MARKETS) == [60.0]
        assert stage.inlet.of(SpecRead) == [SpecRead(spec())]
        assert {seen.query for seen in stage.site.seen(ocx.MARKET_STATS)} == {f"marketId={BTC}"}


async def test_a_market_that_its_band_keeps_unquoted_has_its_listing_read_every_few_seconds(
    autojump_clock: Clock,
) -> None:
    """Storm seed 1676: bands follow the index, and after a crash the listing that says so came a minute later."""
    async with staged() as stage:
        stage.inlet.engine.markets[BTC].outside_band = True
        with trio.move_on_after(16.5):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert stage.site.times(ocx.MARKETS) == [5.0, 10.0, 15.0]


@pytest.mark.parametrize(
    "failure",
    [
        saying({"error": "X"}, 404),
        saying({"error": "X"}, 429),
        saying({"error": "X"}, 500),
        saying(b"<html>", 200),
        saying({"marketId": BTC, "markPrice": "1e3", "indexPrice": "1", "fundingRate": "0"}),
        reset,
        silent,
    ],
    ids=["404", "429", "500", "html", "not a decimal", "reset", "silent"],
)
async def test_a_failed_poll_is_tried_at_its_next_turn(failure: Behaviour, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.script(ocx.MARKET_STATS, failure)
        with trio.move_on_after(5.5):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert 3 <= len(stage.site.seen(ocx.MARKET_STATS)) <= 6
        assert len(stage.inlet.of(MarketStats)) == len(stage.site.seen(ocx.MARKET_STATS)) - 1
        assert len(stage.inlet.of(BalanceRead)) == 1


def said_of_reads(stage: Stage) -> list[str]:
    return [line["sentence"] for line in stage.told.lines if line["event"] == "read failed"]


async def test_an_odd_row_of_another_market_hides_nothing(autojump_clock: Clock) -> None:
    """A market without a price yet, first of the list, kept the index of all from us for ever."""
    async with staged() as stage:
        odd = {**STATS, "marketId": "NEW-PERP", "markPrice": None, "indexPrice": None}
        dated = {name: value for name, value in STATS.items() if name != "fundingRate"}
        stage.site.usual[ocx.MARKET_STATS] = saying([odd, dated])
        with trio.move_on_after(2.5):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert [event.funding_rate for event in stage.inlet.of(MarketStats) if isinstance(event, MarketStats)] == [
            None
        ] * 3
        assert said_of_reads(stage) == []


async def test_why_a_read_failed_is_told_once(autojump_clock: Clock) -> None:
    """The first of each kind and each other reason; the same a second later is not, nor one of other figures."""
    async with staged() as stage:
        bad = {**STATS, "indexPrice": None}
        lasting = [saying([bad])] * 5 + [saying({"error": "X"}, 500)] * 5 + [saying(STATS), saying({"error": "X"}, 500)]
        stage.site.script(ocx.MARKET_STATS, *lasting)
        stage.site.usual[ocx.BALANCES] = saying({"balances": []})
        with trio.move_on_after(45.0):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert len(stage.site.seen(ocx.BALANCES)) > 2
        first, second, third = said_of_reads(stage)
        assert "/perps/market-stats of BTC-PERP" in first
        assert "indexPrice" in first
        assert "/perps/balances cannot be read: the exchange states no perps balance" in second
        assert "answer 500" in third


async def test_a_failure_that_comes_back_much_later_is_told_again(autojump_clock: Clock) -> None:
    async with staged() as stage:
        good, fails = saying(STATS), saying({"error": "X"}, 503)
        seconds = int(feeds.FAILURE_AGAIN_SECONDS)
        stage.site.script(ocx.MARKET_STATS, fails, *[good] * (seconds - 10), fails, *[good] * (seconds + 1), fails)
        with trio.move_on_after(2.5 * seconds):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert not stage.site.scripts[ocx.MARKET_STATS]
        first, second = said_of_reads(stage)
        assert "answer 503" in first
        assert first == second


async def test_a_read_that_is_never_answered_is_told(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.usual[ocx.MARKET_STATS] = silent
        with trio.move_on_after(20.0):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        (said,) = said_of_reads(stage)
        assert "no answer within 3 s" in said


async def test_rows_of_other_markets_are_ignored(autojump_clock: Clock) -> None:
    """A site that ignores the parameter answers all markets."""
    async with staged() as stage:
        stage.site.usual[ocx.MARKET_STATS] = saying([{**STATS, "marketId": "DOGE-PERP"}, STATS])
        stage.site.usual[ocx.MARKETS] = saying([{**MARKET, "id": "DOGE-PERP"}, {**MARKET, "priceBandLow": "40000"}])
        with trio.move_on_after(60.5):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert {event.market_id for event in stage.inlet.of(MarketStats) if isinstance(event, MarketStats)} == {BTC}
        assert stage.inlet.of(SpecRead) == [SpecRead(spec(band=(400_000, None)))]
        assert stage.desk.market().account.spec.band_low_ticks == 400_000


OURS = {"current": "two", "tiers": [
    {"tier": "one", "minVolume30d": "0", "makerFeeBps": "2", "takerFeeBps": "6"},
    {"tier": "two", "minVolume30d": "1000", "makerFeeBps": "-0.5", "takerFeeBps": "4"},
]}  # fmt: skip
LISTED = {**MARKET, "makerFeeBps": "3", "takerFeeBps": "7"}


@pytest.mark.parametrize(
    ("answer", "row", "fees"),
    [
        (saying(OURS), LISTED, ("-0.5", "4")),
        (saying({"tiers": []}), LISTED, ("3", "7")),
        (saying({"tiers": []}), {**MARKET, "makerFeeBps": None}, None),
        (saying({"error": "NO"}, 403), LISTED, None),
        (saying({"error": "NO"}, 503), LISTED, None),
        (saying({"current": "two", "tiers": 7}), LISTED, None),
    ],
    ids=["our tier", "the listing's", "neither", "forbidden", "down", "nonsense"],
)
async def test_fees_are_read_again_with_the_listing(
    answer: Behaviour, row: dict[str, Any], fees: tuple[str, str] | None, autojump_clock: Clock
) -> None:
    """A worse tier of the next day must not be quoted at the start's edge; and what cannot be read changes nothing."""
    async with staged() as stage:
        stage.site.usual |= {ocx.FEES: answer, ocx.MARKETS: saying([row])}
        with trio.move_on_after(60.5):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        told = [FeesRead(BTC, Decimal(fees[0]), Decimal(fees[1]))] if fees else []
        assert stage.inlet.of(FeesRead) == told
        assert len(stage.inlet.of(SpecRead)) == 1
        now = stage.desk.market().account.spec
        assert (now.maker_fee_bps, now.taker_fee_bps) == tuple(map(Decimal, fees or ("1", "5")))


async def test_an_order_refused_with_400_has_listing_and_fees_read_within_seconds(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.inlet.engine.listing_due = True
        with trio.move_on_after(16.5):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert stage.site.times(ocx.MARKETS) == stage.site.times(ocx.FEES) == [5.0], "once"


@pytest.mark.parametrize("path", [ocx.MARKET_STATS, ocx.BALANCES, ocx.MARKETS])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_poll_that_is_forbidden_ends_the_polls(path: str, status: int, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.usual[path] = saying({"error": "NO"}, status)
        with pytest.raises(Unauthorized) as caught:
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert caught.value.status == status


@pytest.mark.parametrize("path", [ocx.MARKET_STATS, ocx.BALANCES, ocx.MARKETS])
async def test_a_poll_with_a_revoked_key_ends_the_polls(path: str, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.usual[path] = saying({"error": "KEY_REVOKED"}, 409)
        with trio.move_on_after(300.0), pytest.raises(Unauthorized, match="409 KEY_REVOKED"):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)
        assert len(stage.site.seen(path)) == 1


async def test_a_market_with_another_grid_ends_the_polls(autojump_clock: Clock) -> None:
    """Every integer we hold would mean another price."""
    async with staged() as stage:
        stage.site.usual[ocx.MARKETS] = saying([{**MARKET, "tickSize": "0.5"}])
        with pytest.raises(GridChanged):
            await run_polls(stage.client, {BTC: spec()}, stage.inlet)


async def test_a_slow_poll_is_given_up(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.script(ocx.BALANCES, after(feeds.READ_SECONDS_MAX + 0.1, saying(BALANCES)))
        assert await poll(stage.client, ocx.BALANCES, None, feeds.balances) == ()
        assert trio.current_time() == pytest.approx(feeds.READ_SECONDS_MAX)
        assert await poll(stage.client, ocx.BALANCES, None, feeds.balances) == (reads.balance(json.dumps(BALANCES).encode()),)  # fmt: skip  # noqa: E501


# -- the reference feed, on a loopback socket


def test_a_market_of_the_desk_is_what_these_tests_believe() -> None:
    assert market().account.spec == reads.market_spec(BTC, ocx.decode(json.dumps(MARKET).encode(), ocx.Market), None, None)  # fmt: skip  # noqa: E501
