"""The way in: what refuses to start, in which words, and the sweep."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from maker.app.config import Config, load
from maker.app.startup import own_fee_tier, read_markets, refuse_foreign, sweep, warm_up
from maker.desk.identity import Identity
from maker.desk.volatility import Volatility
from maker.errors import ExitCode, StartRefused, Unauthorized
from maker.wire import ocx
from tests.app.site import MARKET, Stage, reset, saying, silent, staged

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

LOADED = load(Path(__file__).parents[2] / "conf" / "paper.toml", "http://ocx.test", "ws://ocx.test")
CONFIG = attrs.evolve(LOADED, markets={"BTC-PERP": LOADED.markets["BTC-PERP"]})
TIERS = {"tiers": [{"tier": "t2", "minVolume30d": "0", "makerFeeBps": "-0.5", "takerFeeBps": "3"}], "current": "t2"}
WITHOUT_FEES = {key: value for key, value in MARKET.items() if not key.endswith("FeeBps")}


def order(name: str | None) -> dict[str, Any]:
    return {"id": "o1", "marketId": "BTC-PERP", "clientOrderId": name, "side": "buy", "price": "1", "quantity": "1", "status": "open"}  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ([{**MARKET, "id": "ETH-PERP"}], "market.BTC-PERP: the exchange lists no such market. It lists ETH-PERP."),
        ([], "market.BTC-PERP: the exchange lists no such market."),
        ([{**MARKET, "marketType": "spot"}], "is of type 'spot': only perpetuals are quoted"),
        ([{**MARKET, "tradingStatus": "halted"}], "the exchange says it is halted. Try again later."),
        ([{**MARKET, "minQuantity": "0.5"}], "level_size is 0.02, below the exchange's minimum of 0.500"),
        (
            [{**MARKET, "minQuantity": None, "stepSize": "0.5"}],
            "level_size is 0.02, below the exchange's minimum of 0.5",
        ),
        ([WITHOUT_FEES], "states no fees"),
        ([{**MARKET, "tickSize": None}], "neither tickSize nor decimals"),
    ],
)
async def test_each_refusal_is_a_sentence(listing: object, words: str, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.usual[ocx.MARKETS] = saying(listing)
        with pytest.raises(StartRefused) as caught, trio.fail_after(30):
            await read_markets(stage.reader, CONFIG)
        assert words in caught.value.sentence
        assert caught.value.exit_code == ExitCode.REFUSED_TO_START
        assert ocx.CANCEL_ALL not in stage.site.paths


SMALL = Decimal("0.005")  # times the ramp's tenth: half a lot of 0.001


def limited(*, ramp_seconds: float = 5.0, value_max: str = "60000", **changes: Any) -> Config:
    """The configuration with other limits, of its market and of the account."""
    one = CONFIG.markets["BTC-PERP"]
    of_account = attrs.evolve(CONFIG.limits, ramp_seconds=ramp_seconds, value_max=Decimal(value_max))
    markets = {"BTC-PERP": attrs.evolve(one, limits=attrs.evolve(one.limits, **changes))}
    return attrs.evolve(CONFIG, markets=markets, limits=of_account)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            limited(position_limit=SMALL),
            "market.BTC-PERP.position_limit 0.005 times limits.ramp_ratio 0.1 is below 0.002, two levels of the "
            "exchange's minimum: nothing could ever be quoted. Raise it or the ratio.",
        ),
        (
            limited(position_value_max=Decimal(999)),
            "market.BTC-PERP.position_value_max 999 times limits.ramp_ratio 0.1",
        ),
        (limited(value_max="999"), "limits.value_max 999 times limits.ramp_ratio 0.1 is below 100,"),
        (limited(value_max="99", ramp_seconds=0.0), "limits.value_max 99 is below 100, two levels"),
    ],
)
async def test_caps_without_room_for_a_first_ladder_refuse(config: Config, words: str, autojump_clock: Clock) -> None:
    """The ramp begins with a ladder: one that holds none would last for ever. A lot of 0.001 is worth 50."""
    async with staged() as stage:
        stage.site.usual[ocx.MARKETS] = saying([{**MARKET, "markPrice": "50000"}])
        with pytest.raises(StartRefused) as caught, trio.fail_after(30):
            await read_markets(stage.reader, config)
        assert words in str(caught.value)
        assert caught.value.exit_code == ExitCode.REFUSED_TO_START


@pytest.mark.parametrize("mark", [{"markPrice": "50000"}, {"markPrice": "0"}, {"markPrice": "x"}, {}])
@pytest.mark.parametrize(
    "config",
    [
        limited(position_limit=Decimal("0.02"), position_value_max=Decimal(1000), value_max="1000"),
        limited(position_limit=Decimal("0.002"), value_max="100", ramp_seconds=0.0),
    ],
)
async def test_caps_that_hold_the_least_ladder_start(
    config: Config, mark: dict[str, str], autojump_clock: Clock
) -> None:
    """Two of the least levels exactly; a value is judged where there is a mark to judge it by."""
    async with staged() as stage:
        stage.site.usual[ocx.MARKETS] = saying([{**MARKET, **mark}])
        with trio.fail_after(30):
            assert "BTC-PERP" in await read_markets(stage.reader, config)


@pytest.mark.parametrize(
    ("fees", "maker"),
    [
        (saying(TIERS), "-0.5"),
        (saying({**TIERS, "current": "t9"}), "1"),
        (saying({"error": "X"}, 404), "1"),
        (saying(b"{"), "1"),
    ],
)
async def test_fees_that_are_not_known_are_the_markets_own(fees: Any, maker: str, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.script(ocx.FEES, saying({"error": "X"}, 503), saying({"error": "X"}, 429), fees)
        specs = await read_markets(stage.reader, CONFIG)
        assert specs["BTC-PERP"].maker_fee_bps == Decimal(maker)
        assert len(stage.site.seen(ocx.FEES)) == 3


async def test_forbidden_fees_refuse(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.usual[ocx.FEES] = saying({"error": "NO"}, 403)
        with pytest.raises(Unauthorized):
            await own_fee_tier(stage.reader)


@pytest.mark.parametrize("name", ["other-1", None, "mkx-1", "MK-1"])
async def test_foreign_orders_refuse_and_nothing_is_cancelled(name: str | None, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.resting = [order("mk-old-1"), order(name)]
        with pytest.raises(StartRefused) as caught:
            await refuse_foreign(stage.reader, Identity.of("mk", 7))
        assert caught.value.sentence.startswith("1 orders on the account are not ours")
        assert (name or "o1") in caught.value.sentence
        assert ocx.CANCEL_ALL not in stage.site.paths


async def test_orders_of_an_earlier_run_are_no_reason(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.resting = [order("mk-old-1")]
        await refuse_foreign(stage.reader, Identity.of("mk", 7))


# -- the sweep


async def swept(stage: Stage) -> list[float]:
    with trio.fail_after(30):
        await sweep(stage.switch.panic)
    return stage.site.times(ocx.CANCEL_ALL)


async def test_a_sweep_cancels_and_reads_back_twice(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.resting = [order("mk-old-1")]
        assert await swept(stage) == [0.0]
        assert stage.site.resting == []
        assert stage.site.times(ocx.ORDERS) == [0.0, 0.25]


@pytest.mark.parametrize("lanes", [1, 2])
async def test_a_sweep_beside_dead_lanes(lanes: int, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.script(ocx.CANCEL_ALL, *[reset] * lanes)
        assert len(await swept(stage)) == lanes + 1


async def test_a_sweep_beside_a_busy_lane(autojump_clock: Clock) -> None:
    async with staged() as stage:
        first, second = stage.switch.panic.lanes
        stage.site.script(ocx.BALANCES, silent)
        assert first.send_nowait("GET", ocx.BALANCES)
        await trio.testing.wait_all_tasks_blocked()
        assert await swept(stage) == [0.0]
        assert stage.site.seen(ocx.CANCEL_ALL)[0].connection is second.connection


@pytest.mark.parametrize("status", [401, 403])
async def test_a_sweep_with_a_key_that_may_not_trade(status: int, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.usual[ocx.CANCEL_ALL] = saying({"error": "SCOPE"}, status)
        with pytest.raises(StartRefused) as caught:
            await swept(stage)
        assert caught.value.exit_code == ExitCode.CREDENTIALS
        assert f"answers {status} to cancel-all" in caught.value.sentence
        assert len(stage.site.log) == 1


async def test_a_sweep_of_orders_that_stay_goes_on(autojump_clock: Clock) -> None:
    """A cancel-all that says yes and does nothing is not believed."""
    async with staged() as stage:
        stage.site.resting = [order("mk-old-1")]
        stage.site.script(ocx.CANCEL_ALL, *[saying({"cancelled": 1})] * 3)
        assert len(await swept(stage)) == 4
        assert stage.site.resting == []


async def test_candles_of_an_hour_ago_leave_volatility_to_be_learnt(autojump_clock: Clock) -> None:
    """Twenty minutes of a moving market, read right after them, and an hour and a minute later."""
    async with staged() as stage:
        closes = [str(50_000 + 10 * (minute % 2)) for minute in range(20)]
        rows = [
            {"time": f"2026-01-05T00:{minute:02d}:00.000Z", "open": close, "high": close, "low": close, "close": close}
            | {"volume": "1"}
            for minute, close in enumerate(closes)
        ]
        stage.site.usual[ocx.OHLC] = saying(rows)
        end = datetime(2026, 1, 5, 0, 20, tzinfo=UTC).timestamp()
        for seconds_ago, is_warm in ((0.0, True), (3660.0 + 20 * 60, False)):
            volatility = Volatility(CONFIG.markets["BTC-PERP"].volatility)
            stage.desk.market().fair.volatility = volatility
            await warm_up(stage.reader, stage.desk.engine, end + seconds_ago)
            assert (not volatility.waiting) is is_warm
