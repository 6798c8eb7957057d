"""What is worth a word and stands against no start: warnings, and what nobody tells. All in virtual time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing

from maker.errors import ExitCode
from maker.preflight.api_key import EXPIRY, PINS, SCOPE
from maker.preflight.setting import MARGIN
from maker.preflight.verdict import Verdict, exit_code
from maker.wire import ocx
from tests.app.site import silent
from tests.desk.scripted import BTC
from tests.preflight.provoked import (
    BETA,
    CLOCK,
    DATED,
    ELSEWHERE,
    FEES,
    FOREIGN,
    GAMMA,
    GRID,
    LOSSES,
    RATE,
    Change,
    behaving,
    both,
    cancelling,
    dated,
    feed_that,
    last_run_counted,
    left_by_losses,
    market_with,
    positions,
    priced_at,
    resting,
    stating,
    telling,
    unused_feed,
    usual,
    without_previews,
)
from tests.preflight.scripted import LISTED, TIERS, a_key, a_scene, balances, examined

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real


OTHERS: Final[dict[str, tuple[str, Change, Verdict, str]]] = {
    "keys for sessions only": (
        SCOPE,
        usual(ocx.API_KEYS, {"error": "SESSION_REQUIRED"}, 401),
        Verdict.UNKNOWN,
        "signed-in sessions only (401)",
    ),
    "and when it expires": (
        EXPIRY,
        usual(ocx.API_KEYS, {"error": "NO"}, 403),
        Verdict.UNKNOWN,
        "until when it lasts is not told",
    ),
    "and where it is pinned": (
        PINS,
        usual(ocx.API_KEYS, {"error": "NOT_FOUND"}, 404),
        Verdict.UNKNOWN,
        "from where else is not told",
    ),
    "a list of keys in another form": (SCOPE, usual(ocx.API_KEYS, b"[]"), Verdict.UNKNOWN, "cannot be read"),
    "the list of keys hangs": (SCOPE, behaving(ocx.API_KEYS, silent), Verdict.UNKNOWN, "signed-in sessions only"),
    "another scope": (SCOPE, usual(ocx.API_KEYS, a_key(scope="admin")), Verdict.UNKNOWN, "calls it 'admin'"),
    "a key that expires soon": (
        EXPIRY,
        usual(ocx.API_KEYS, a_key(expiresAt="2023-11-20T00:00:00.000Z")),
        Verdict.WARNING,
        "in 5.1 days",
    ),
    "a key that never expires": (EXPIRY, usual(ocx.API_KEYS, a_key(expiresAt=None)), Verdict.WARNING, "never expires"),
    "a key without pins": (
        PINS,
        usual(ocx.API_KEYS, a_key(allowedIps=[])),
        Verdict.WARNING,
        "may be used from anywhere",
    ),
    "our clock is a little off": (CLOCK, dated(4.0), Verdict.WARNING, "differs from the exchange's by +3.5 s"),
    "answers without a date": (
        CLOCK,
        usual(ocx.MARKET_STATS, {"marketId": BTC, "markPrice": "50000", "indexPrice": "50000", "fundingRate": "0"}),
        Verdict.UNKNOWN,
        "carry no date",
    ),
    "a tier that is not told": (
        FEES,
        usual(ocx.FEES, {**TIERS, "current": None}),
        Verdict.UNKNOWN,
        "BTC-PERP maker 1 bp, taker 5 bp",
    ),
    "no page of fees": (FEES, usual(ocx.FEES, {"error": "NOT_FOUND"}, 404), Verdict.UNKNOWN, "the listing's fees"),
    "a size between two steps": (
        GRID,
        market_with("ladder", level_size=Decimal("0.0205")),
        Verdict.WARNING,
        "0.020 is quoted. Write a multiple of 0.001.",
    ),
    "levels worth too much today": (
        GRID,
        market_with("limits", order_value_max=Decimal(1300)),
        Verdict.WARNING,
        "worth 1953 at the mark, order_value_max is 1300: of each level that is larger 0.026 is quoted. Lower",
    ),
    "a burst that is worth a ladder": (
        GRID,
        market_with("limits", burst_value_max=Decimal(11500)),
        Verdict.OK,
        "level_step_bps is",
    ),
    "a burst that is worth all that may be held": (
        GRID,
        market_with("limits", burst_value_max=Decimal(10000), position_value_max=Decimal(10000)),
        Verdict.OK,
        "level_step_bps is",
    ),
    "a burst of levels that are cut": (
        GRID,
        market_with("limits", burst_value_max=Decimal(8900), order_value_max=Decimal(1100)),
        Verdict.WARNING,
        "0.022 is quoted",
    ),
    "steps below a tick": (
        GRID,
        market_with("ladder", level_step_bps=Decimal("0.01")),
        Verdict.WARNING,
        "is 0.50 of a tick",
    ),
    "a listing without marks": (
        GRID,
        usual(ocx.MARKETS, [{**LISTED, "markPrice": None}]),
        Verdict.OK,
        "at least 0.001.",
    ),
    "a listing without a minimum": (
        GRID,
        usual(ocx.MARKETS, [{**LISTED, "minQuantity": None}]),
        Verdict.OK,
        "size step 0.001, no minimum stated. level_step_bps",
    ),
    "a listing without steps": (
        GRID,
        usual(ocx.MARKETS, [{**LISTED, "tickSize": None, "priceDecimals": 1}]),
        Verdict.OK,
        "Tick 0.1, size step 0.001, by its decimals: no step is stated, at least 0.001.",
    ),
    "a larger tier than configured": (
        RATE,
        stating("X-RateLimit-Limit: 1200", "X-RateLimit-Remaining: 1200"),
        Verdict.WARNING,
        "Write 1200",
    ),
    "a limit that nobody states": (RATE, stating(), Verdict.UNKNOWN, "No answer to a read states a limit"),
    "as the last run counted": (RATE, last_run_counted(120), Verdict.OK, "0.2 h ago, counted with 120"),
    "the last run counted less": (RATE, last_run_counted(60), Verdict.WARNING, "Write 60, unless a larger tier"),
    "headroom to be warned of": (
        MARGIN,
        usual(ocx.BALANCES, balances(available="4500")),
        Verdict.WARNING,
        "45.0 % are free (below headroom_warn_ratio)",
    ),
    "limits that shrink sizes": (
        MARGIN,
        usual(ocx.BALANCES, balances(balance="1800", equity="1800", available="1800")),
        Verdict.WARNING,
        "33.3 % would be (sizes shrink)",
    ),
    "previews are refused": (
        MARGIN,
        usual(ocx.PREVIEW, {"error": "NO"}, 403),
        Verdict.WARNING,
        "answered 403. Set preview_seconds = 0",
    ),
    "previews hang": (MARGIN, behaving(ocx.PREVIEW, silent), Verdict.WARNING, "is not answered"),
    "previews make no sense": (MARGIN, usual(ocx.PREVIEW, b"{}"), Verdict.WARNING, "no answer that makes sense"),
    "previews that are not asked": (MARGIN, without_previews, Verdict.OK, "with every market at its limit 80.0 %"),
    "half a loss limit is used up": (LOSSES, left_by_losses("1500"), Verdict.WARNING, "1500.00 of drawdown_max 2000"),
    "some of a loss limit is used up": (LOSSES, left_by_losses("15"), Verdict.OK, "15.00 of drawdown_max 2000"),
    "orders that a start would cancel": (
        FOREIGN,
        cancelling,
        Verdict.WARNING,
        "that are not ours: 1. A start cancels them",
    ),
    "orders of our own": (FOREIGN, resting("mk-old-1"), Verdict.OK, "orders of ours that rest: 1"),
    "a position elsewhere that was closed": (
        ELSEWHERE,
        positions({"marketId": "ETH-PERP", "quantity": "100", "status": "closed"}),
        Verdict.OK,
        "None in a market that is not configured.",
    ),
    "a feed that is far from the mark and near the index": (
        BETA,
        both(feed_that(telling("50300", "50301")), usual(ocx.MARKET_STATS, priced_at("49990", "50010"), 200, DATED)),
        Verdict.OK,
        "tells BTC-USD 50300.5",
    ),
    "a feed that there is nothing to compare with": (
        BETA,
        both(
            feed_that(telling("1", "2")),
            usual(ocx.MARKETS, [{**LISTED, "markPrice": None}]),
            usual(ocx.MARKET_STATS, priced_at("50000", "0"), 200, DATED),
        ),
        Verdict.OK,
        "tells BTC-USD 1.5.",
    ),
    "a feed that no market uses": (GAMMA, unused_feed, Verdict.WARNING, "Use or remove [reference.gamma]"),
}


@pytest.mark.parametrize("what", OTHERS)
async def test_what_is_worth_a_word_stands_against_no_start(what: str, autojump_clock: Clock, tmp_path: Path) -> None:
    """It is said with what to do, everything else is checked all the same, and the exit code is 0."""
    name, provoke, verdict, words = OTHERS[what]
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        provoke(scene)
        rows = await examined(scene)
        assert (scene.verdict(name), words in scene.text(name)) == (verdict, True), rows[name].line
        assert verdict is Verdict.OK or rows[name].finding.fix
        assert [row.line for row in rows.values() if not row.finding.verdict.passes] == []
        assert exit_code(rows.values()) == ExitCode.CLEAN
        nursery.cancel_scope.cancel()
