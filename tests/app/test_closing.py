"""Flattening against a scripted exchange in virtual time: everything cancelled first, then closed, then said truly.

Judged from the exchange's own log: what was asked, in which order, when.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from maker.app import closing
from maker.app.closing import Flattening, Outcome, Stopped, collared_ticks
from maker.app.config import Config, load
from maker.app.reading import AccountReader
from maker.edge.lane import Lane
from maker.errors import ExitCode, OutcomeUnknown
from maker.launch.settings import PROJECT_FOLDER
from maker.wire import ocx
from tests.app.site import KEY, Behaviour, Seen, Site, Stage, reset, saying, staged
from tests.desk.scripted import BTC, spec
from tests.support.wires import ServerEnd

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

ORDERBOOK = f"{ocx.ORDERBOOK}/{BTC}"
DOGE = "DOGE-PERP"  # the exchange does not list it


def config() -> Config:
    return load(PROJECT_FOLDER / "conf" / "paper.toml", "http://ocx.test", "ws://reference.test")


@attrs.define
class Account:
    """Positions that can be closed as far as the book reaches."""

    site: Site
    held: dict[str, Decimal]
    taken_by_close: Decimal = Decimal(1000)  # in all, of a side; then the band is empty for positions/close
    taken_by_order: Decimal = Decimal(1000)
    bids: list[tuple[str, str]] = attrs.field(factory=lambda: [("50000.0", "1")])
    asks: list[tuple[str, str]] = attrs.field(factory=lambda: [("50010.0", "1")])

    def __attrs_post_init__(self) -> None:
        self.site.usual[ocx.POSITIONS] = self.positions
        self.site.usual[ocx.POSITIONS_CLOSE] = self.close
        self.site.usual[ocx.ORDERS] = self.orders
        self.site.usual[ORDERBOOK] = self.book

    async def positions(self, seen: Seen, stream: ServerEnd) -> None:
        rows = [
            {
                "id": f"p-{market_id}",
                "marketId": market_id,
                "side": "buy" if amount > 0 else "sell",
                "quantity": str(abs(amount)),
                "entryPrice": "50000",
                "realizedPnl": "0",
                "status": "open" if amount else "closed",
            }
            for market_id, amount in self.held.items()
        ]
        await saying(rows)(seen, stream)

    async def close(self, seen: Seen, stream: ServerEnd) -> None:
        market_id = json.loads(seen.body)["marketId"]
        self.taken_by_close -= self.reduce(market_id, self.taken_by_close)
        await saying({"status": "filled"})(seen, stream)

    async def orders(self, seen: Seen, stream: ServerEnd) -> None:
        if seen.method == "GET":
            await saying({"orders": self.site.resting})(seen, stream)
            return
        asked = json.loads(seen.body)
        assert asked["reduceOnly"] is True, "anything else could open a position"
        assert asked["timeInForce"] == "ioc", "anything else could rest"
        assert asked["side"] == ("sell" if self.held[asked["marketId"]] > 0 else "buy")
        self.taken_by_order -= self.reduce(asked["marketId"], self.taken_by_order)
        await saying({"status": "filled"})(seen, stream)

    def reduce(self, market_id: str, most: Decimal) -> Decimal:
        amount = self.held[market_id]
        taken = min(abs(amount), most)
        self.held[market_id] = amount - taken.copy_sign(amount)
        return taken

    async def book(self, seen: Seen, stream: ServerEnd) -> None:
        await saying({"marketId": BTC, "sequence": 1, "bids": self.bids, "asks": self.asks, "timestamp": "now"})(
            seen, stream
        )


async def flatten(
    stage: Stage, *wanted: str, told: list[str] | None = None, by_session: Callable[[], Awaitable[Lane]] | None = None
) -> Outcome:
    tell: Callable[[str], None] = (told if told is not None else []).append
    reader = AccountReader(stage.client, {}, tell)
    lane = stage.site.lane("closing")
    run = Flattening(config(), frozenset(wanted), reader, lane, stage.switch, tell, Outcome(), by_session=by_session)
    try:
        await run.run()
    finally:
        run.lane.close()
    return run.outcome


def bodies(site: Site, path: str) -> list[Any]:
    return [json.loads(one.body) for one in site.seen(path) if one.method == "POST"]


async def test_a_flat_account_is_cancelled_and_watched_through_the_tail(autojump_clock: Clock) -> None:
    """S1, F6: a ladder that a dead maker had on its way may land late, so the cancel-alls go on for the tail."""
    async with staged() as stage:
        Account(stage.site, {})
        stage.site.resting = [order_row("mk-e-1")]
        outcome = await flatten(stage)
        assert outcome.exit_code is ExitCode.CLEAN
        assert (outcome.verified_empty, outcome.open_orders, outcome.position, outcome.closed) == (True, 0, {}, {})
        assert stage.site.paths[0] == ocx.CANCEL_ALL, "nothing comes before the cancel-all"
        assert stage.site.times(ocx.CANCEL_ALL)[-1] == pytest.approx(config().guard.tail_seconds, abs=0.1)
        assert len(stage.site.times(ocx.CANCEL_ALL)) >= 6
        assert stage.site.seen(ocx.POSITIONS_CLOSE) == []


async def test_a_position_is_closed_after_the_quotes_are_gone(autojump_clock: Clock) -> None:
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.5"), DOGE: Decimal(-7)})
        stage.site.resting = [order_row("mk-e-1")]
        outcome = await flatten(stage)
        assert outcome.exit_code is ExitCode.CLEAN, outcome
        assert account.held == {BTC: 0, DOGE: 0}, "one that nobody lists is a position all the same"
        assert outcome.closed == {BTC: "0.5", DOGE: "-7"}
        assert bodies(stage.site, ocx.POSITIONS_CLOSE) == [{"marketId": BTC}, {"marketId": DOGE}]
        assert bodies(stage.site, ocx.ORDERS) == [], "nothing was left to reduce"
        verified = [one.at for one in stage.site.seen(ocx.ORDERS)][1]
        assert stage.site.seen(ocx.POSITIONS_CLOSE)[0].at >= verified, "closed before the quotes were read back gone"


@pytest.mark.parametrize(
    ("held", "price", "side"), [("0.5", "49700", "sell"), ("-0.5", "50310", "buy")], ids=["long", "short"]
)
async def test_what_is_left_goes_by_a_collared_order_that_only_reduces(
    held: str, price: str, side: str, autojump_clock: Clock
) -> None:
    """positions/close takes what is in its band; the rest goes at the book's best less the collar (60 bps)."""
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal(held)}, taken_by_close=Decimal("0.3"))
        outcome = await flatten(stage)
        assert outcome.exit_code is ExitCode.CLEAN
        assert account.held[BTC] == 0
        (order,) = bodies(stage.site, ocx.ORDERS)
        assert (order["side"], Decimal(order["quantity"]), order["marketId"]) == (side, Decimal("0.2"), BTC)
        expected = Decimal(price)
        assert abs(Decimal(order["price"]) - expected) <= Decimal("0.1") + expected * Decimal("0.00001")
        assert order["clientOrderId"].startswith("mk-")
        assert len(order["clientOrderId"]) <= 32


async def test_what_cannot_be_closed_is_listed(autojump_clock: Clock) -> None:
    """Nobody is there to trade with: it tries for a while, says what is left, and calls it no success."""
    async with staged() as stage:
        Account(stage.site, {BTC: Decimal("0.5")}, Decimal("0.1"), Decimal(0), bids=[])
        told: list[str] = []
        outcome = await flatten(stage, told=told)
        assert outcome.exit_code is ExitCode.FAILED_EMPTY
        assert (outcome.position, outcome.closed) == ({BTC: "0.4"}, {BTC: "0.5"})
        assert (outcome.verified_empty, outcome.flat) == (True, False)
        assert f"{BTC} 0.4" in outcome.reason
        assert any("nobody is in the book" in sentence for sentence in told)
        assert trio.current_time() <= 2 * closing.CLOSE_SECONDS_MAX + config().guard.tail_seconds + 5
        assert len(stage.site.seen(ocx.POSITIONS_CLOSE)) <= 45, "a failing close must not eat the budget of cancel-all"


async def test_a_close_without_an_answer_is_looked_at_and_sent_again(autojump_clock: Clock) -> None:
    """F4, F5: it only reduces, so the second one can do no harm; positions say whether it is needed."""

    async def applied_and_reset(seen: Seen, stream: ServerEnd) -> None:
        account.held[BTC] = Decimal(0)
        await reset(seen, stream)

    for first, closes in ((reset, 2), (applied_and_reset, 1)):
        async with staged() as stage:
            account = Account(stage.site, {BTC: Decimal("0.5")}, taken_by_order=Decimal(0))
            stage.site.script(ocx.POSITIONS_CLOSE, first)
            outcome = await flatten(stage)
            assert outcome.exit_code is ExitCode.CLEAN
            assert len(stage.site.seen(ocx.POSITIONS_CLOSE)) == closes


async def test_a_rate_limit_is_waited_for(autojump_clock: Clock) -> None:
    async with staged() as stage:
        Account(stage.site, {BTC: Decimal("0.5")}, taken_by_order=Decimal(0))
        stage.site.script(ocx.POSITIONS_CLOSE, saying({"error": "RATE_LIMITED"}, 429, "retry-after: 5"))
        assert (await flatten(stage)).exit_code is ExitCode.CLEAN
        first, second = stage.site.times(ocx.POSITIONS_CLOSE)
        assert 5.0 <= second - first <= 6.0


async def test_a_ladder_that_lands_and_fills_during_the_tail_is_closed_too(autojump_clock: Clock) -> None:
    """H24, S1: cancelled by the tail; what it filled meanwhile is closed after it."""
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.5")})

        async def late() -> None:
            await trio.sleep(3.0)
            stage.site.resting.append(order_row("mk-e-9"))
            account.held[BTC] = Decimal("-0.1")

        stage.nursery.start_soon(late)
        outcome = await flatten(stage)
        assert outcome.exit_code is ExitCode.CLEAN
        assert account.held[BTC] == 0
        assert stage.site.resting == []
        assert len(stage.site.seen(ocx.POSITIONS_CLOSE)) == 2


@pytest.mark.parametrize("cancelled", [True, False])
async def test_s3_what_is_sent_after_the_tail_is_read_back_too(cancelled: bool, autojump_clock: Clock) -> None:
    """S3: how positions/close works is not documented: what it leaves resting is pulled before "nothing rests"."""
    async with staged() as stage:
        account = Account(stage.site, {})

        async def rests(seen: Seen, stream: ServerEnd) -> None:
            stage.site.resting.append(order_row("theirs"))
            if not cancelled:
                stage.site.usual[ocx.CANCEL_ALL] = saying({"error": "X"}, 503)
            await account.close(seen, stream)

        async def late() -> None:
            await trio.sleep(3.0)
            account.held[BTC] = Decimal("-0.1")

        stage.site.usual[ocx.POSITIONS_CLOSE] = rests
        stage.nursery.start_soon(late)
        if cancelled:
            assert (await flatten(stage)).exit_code is ExitCode.CLEAN
            assert stage.site.resting == []
            return
        with pytest.raises(Stopped, match="QUOTES MAY REST") as stopped:
            await flatten(stage)
        assert stopped.value.exit_code is ExitCode.UNVERIFIED


@pytest.mark.parametrize("path", [ocx.CANCEL_ALL, ocx.POSITIONS_CLOSE, ocx.POSITIONS])
async def test_a_key_that_is_not_accepted_ends_it_soon(path: str, autojump_clock: Clock) -> None:
    """F27: nothing but a better key helps, and whoever pressed the button must know at once."""
    async with staged() as stage:
        Account(stage.site, {BTC: Decimal("0.5")})
        stage.site.usual[path] = saying({"error": "FORBIDDEN"}, 403)
        with pytest.raises(Stopped) as stopped:
            await flatten(stage)
        assert stopped.value.exit_code is ExitCode.CREDENTIALS
        assert "quotes may rest" in stopped.value.sentence
        assert trio.current_time() <= 2.0


BY_SESSION = {"authorization": "Bearer token", "x-api-key": KEY}  # the key only because the site wants it everywhere


def for_sessions(then: Behaviour) -> Behaviour:
    """Refuse what does not come by a session."""

    async def behave(seen: Seen, stream: ServerEnd) -> None:
        by_session = b"authorization: Bearer token" in bytes(seen.connection.sent)
        await (then if by_session else saying({"error": "SESSION_REQUIRED"}, 403))(seen, stream)

    return behave


async def test_single_orders_that_the_key_is_refused_go_by_the_session(autojump_clock: Clock) -> None:
    """Signed in once, for as long as it takes; what was refused is sent again, since it is known not to be applied."""
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.5"), DOGE: Decimal(-7)})
        stage.site.usual[ocx.POSITIONS_CLOSE] = for_sessions(account.close)
        made: list[Lane] = []

        async def by_session() -> Lane:
            made.append(Lane("session", stage.site.dial, "ocx.test", BY_SESSION))
            return made[0]

        told: list[str] = []
        outcome = await flatten(stage, told=told, by_session=by_session)
        assert outcome.exit_code is ExitCode.CLEAN
        assert account.held == {BTC: 0, DOGE: 0}
        assert len(made) == 1
        assert [one.body for one in stage.site.seen(ocx.POSITIONS_CLOSE)] == [
            b'{"marketId":"BTC-PERP"}', b'{"marketId":"BTC-PERP"}', b'{"marketId":"DOGE-PERP"}'
        ]  # fmt: skip
        assert sum("by a session from here on" in one for one in told) == 1
        assert not any(b"Bearer" in bytes(one.connection.sent) for one in stage.site.seen(ocx.CANCEL_ALL))


@pytest.mark.parametrize("helps", ["refused too", "cannot sign in"])
async def test_a_session_that_does_not_help_ends_it(helps: str, autojump_clock: Clock) -> None:
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.5")})
        stage.site.usual[ocx.POSITIONS_CLOSE] = saying({"error": "FORBIDDEN"}, 403)

        async def by_session() -> Lane:
            if helps == "cannot sign in":
                raise OutcomeUnknown("sign-in was not answered")
            return Lane("session", stage.site.dial, "ocx.test", BY_SESSION)

        with pytest.raises(Stopped) as stopped:
            await flatten(stage, by_session=by_session)
        assert stopped.value.exit_code is ExitCode.CREDENTIALS
        assert ("sign-in was not answered" in stopped.value.sentence) == (helps == "cannot sign in")
        assert account.held == {BTC: Decimal("0.5")}
        assert trio.current_time() <= 2.0


async def test_only_the_markets_asked_for_are_closed(autojump_clock: Clock) -> None:
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.5"), DOGE: Decimal(7)})
        outcome = await flatten(stage, BTC)
        assert outcome.exit_code is ExitCode.CLEAN
        assert account.held == {BTC: 0, DOGE: 7}
        assert outcome.closed == {BTC: "0.5"}


async def test_an_unknown_market_is_named_after_the_quotes_are_gone(autojump_clock: Clock) -> None:
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.5")})
        stage.site.resting = [order_row("mk-e-1")]
        with pytest.raises(Stopped, match="lists no market BTCPERP; it lists BTC-PERP") as stopped:
            await flatten(stage, "BTCPERP")
        assert stopped.value.exit_code is ExitCode.REFUSED_TO_START
        assert stage.site.resting == []
        assert account.held[BTC] == Decimal("0.5")


@pytest.mark.parametrize("answer", [saying(b"<html>", 200), saying({}, 503)], ids=["garbage", "503"])
async def test_positions_that_cannot_be_read_are_not_taken_for_none(answer: Behaviour, autojump_clock: Clock) -> None:
    async with staged() as stage:
        Account(stage.site, {BTC: Decimal("0.5")})
        stage.site.usual[ocx.POSITIONS] = answer
        with pytest.raises(Stopped, match="THEY MAY BE OPEN") as stopped:
            await flatten(stage)
        assert stopped.value.exit_code is ExitCode.UNVERIFIED


def test_what_is_flat_or_closed_is_no_position_whatever_else_it_says() -> None:
    row = {"id": "p", "marketId": BTC, "side": "sell", "quantity": "0.5", "status": "open"}
    flat = {**row, "side": None, "quantity": "0"}
    rows = [row, {**row, "quantity": "0.25"}, flat, {**row, "side": "flat", "status": "CLOSED"}]
    assert closing.open_positions(json.dumps(rows).encode()) == {BTC: Decimal("-0.75")}
    with pytest.raises(ValueError, match="None"):
        closing.open_positions(json.dumps([{**row, "side": None}]).encode())
    with pytest.raises(ValueError, match=r"has quantity -0\.5"):
        closing.open_positions(json.dumps([{**row, "quantity": "-0.5"}]).encode())


async def test_a_listing_that_cannot_be_read_does_not_stop_it(autojump_clock: Clock) -> None:
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.5")})
        stage.site.usual[ocx.MARKETS] = saying({}, 503)
        assert (await flatten(stage)).exit_code is ExitCode.CLEAN
        assert account.held[BTC] == 0


@pytest.mark.parametrize(
    ("amount", "bids", "asks", "ticks"),
    [
        ("1", [("50000", "1")], [], 495_000),  # 1 % below
        ("-1", [], [("50000", "1")], 505_000),
        ("1", [], [("50000", "1")], None),
        ("-1", [("50000", "1")], [], None),
        ("1", [("50000.1", "1")], [], 495_001),  # rounded towards the book
        ("-1", [], [("50000.1", "1")], 505_001),
    ],
)
def test_the_price_is_the_books_best_less_the_collar(
    amount: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]], ticks: int | None
) -> None:
    book = ocx.OrderBook(market_id=BTC, sequence=1, bids=bids, asks=asks, timestamp="")
    assert collared_ticks(spec(), book, Decimal(amount), Decimal(100)) == ticks


def test_the_price_stays_inside_the_band() -> None:
    inside = attrs.evolve(spec(), band_low_ticks=499_000, band_high_ticks=501_000)
    book = ocx.OrderBook(market_id=BTC, sequence=1, bids=[("50000", "1")], asks=[("50000", "1")], timestamp="")
    assert collared_ticks(inside, book, Decimal(1), Decimal(100)) == 499_000
    assert collared_ticks(inside, book, Decimal(-1), Decimal(100)) == 501_000


def order_row(client_order_id: str) -> dict[str, str]:
    return {
        "id": f"id-{client_order_id}",
        "marketId": BTC,
        "clientOrderId": client_order_id,
        "side": "buy",
        "price": "49000",
        "quantity": "0.1",
        "status": "open",
    }
