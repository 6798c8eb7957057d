"""What may be seen of a maker, one name each: a view for a moment in unix seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import msgspec

from maker.wire import live
from tests.monitor.page.views import (
    ACCOUNT,
    BOTH_STALE,
    BTC,
    ETH,
    HUGE,
    LONG,
    MARKUP,
    TINY,
    WHY_STALE,
    View,
    alert,
    state,
    twenty,
    view,
)


def losing(at: float) -> live.State:
    """Everything that can be red is."""
    red = live.Profit(total="-1234.5678", spread="-12.0001", inventory="-1100.25", fees="-120.3177", funding="-2")
    account = live.Account(
        balance="90000", equity="88765.43", available="4438.27", headroom=0.05, margin_step="reduce only", profit=red,
        drawdown="1234.57", drawdown_max="1200", loss_today="240", loss_day_max="250",
    )  # fmt: skip
    told = state(
        (BTC, ETH), at, account=account, key=live.Key(key_id="ocx_kid_7f3a", scope="trade", expires_at=at + 7200)
    )
    over = msgspec.structs.replace(
        told.markets[0], position="-0.410", unrealized="-310.2", profit=red, best_bid=None, stream="down", fair=None,
        no_fair="the sources disagree by 14 bps", mark=None, position_value=None, fair_half_width_bps=None,
    )  # fmt: skip
    feeds = (live.Feed(name="binance", state="down", sentence="connection refused; trying again in 4 s"), *told.feeds)
    budget = live.Budget(limit=120, left=20.0, reserve=24, spent=912, throttled=3)
    return msgspec.structs.replace(told, markets=(over, told.markets[1]), feeds=feeds, budget=budget)


def empty(at: float) -> live.State:
    """A maker that has only begun: nothing is known of anything."""
    return live.State(
        sequence=0, sent_at=at, run_id="01KB5V7W2Q8N", started_at=at - 0.4, mode="live", account_name=ACCOUNT,
        state="starting", sentence="reading the account", state_at=at - 0.4,
        markets=(live.Market(market_id="BTC-PERP", state="not quoting", sentence="no snapshot yet", tick="0.5"),),
    )  # fmt: skip


def pulled(at: float) -> live.State:
    return state(
        (BTC, ETH), at, idle=BOTH_STALE, state="pulling", sentence=WHY_STALE,
        reason="REFERENCE_STALE", state_at=at - 1.4, pulled_at=at - 1.4,
    )  # fmt: skip


def dead(at: float) -> live.State:
    return state((BTC, ETH), at - 47)


SCENARIOS: Final[dict[str, Callable[[float], View]]] = {
    "quoting": lambda at: view(state((BTC, ETH), at), at),
    "one_market": lambda at: view(state((BTC,), at), at),
    "twenty_markets": lambda at: view(
        state(twenty(), at, idle={"SOL-PERP": "the fair value jumped, and the new level is not confirmed yet"}), at
    ),
    "not_quoting": lambda at: view(
        state((BTC, ETH), at, idle=BOTH_STALE, state="not quoting", sentence=WHY_STALE), at
    ),
    "pulling": lambda at: view(pulled(at), at),
    "starting": lambda at: view(empty(at), at, audit=None),
    "no_data": lambda at: view(None, at, maker="unknown", guard="unknown", audit=None),
    "maker_silent": lambda at: view(dead(at), at),
    "maker_gone": lambda at: view(
        dead(at), at, maker="gone", audit={"agrees": True, "sentence": "nothing of ours rests", "at": at - 2},
        exchange={"open_orders": 0, "read_at": at - 2, "why_not": ""},
    ),
    "quotes_unattended": lambda at: view(
        dead(at), at, maker="gone", guard="gone", exchange={"open_orders": 8, "read_at": at - 3, "why_not": ""},
        audit={"agrees": False, "sentence": "8 orders of ours rest on the exchange: no maker is alive", "at": at - 3},
        alerts=[
            alert(at - 40, "critical", "quotes unattended", "8 orders rest unwatched: say cancel-all", delivered=False)
        ],
    ),
    "latched": lambda at: view(pulled(at), at, latched="the kill button, by 127.0.0.1"),
    "alerts": lambda at: view(
        state((BTC, ETH), at), at, monitor={"version": "0.1.0", "key": "none", "started_at": at - 60}, audit=None,
        alerts=[
            alert(
                at - 125, "warning", "key expires", "the key expires in 6 days", delivered=False,
                what_to_do="make a new one: python3 run.py keys create conf/live.toml",
            ),
            alert(at - 7, "info", "resumed", "quoting again after 14 s", delivered=None),
        ],
    ),
    "losing": lambda at: view(losing(at), at),
    "huge_and_tiny": lambda at: view(state((HUGE, TINY), at), at),
    "long_names": lambda at: view(
        state((attrs.evolve(BTC, market_id=LONG), ETH), at, account_name="desk-of-the-second-team-in-singapore-" * 2,
              sentence="quoting, while " + "a-word-without-any-space-in-it-" * 5), at,
    ),
    "hostile": lambda at: view(
        state((attrs.evolve(BTC, market_id=MARKUP),), at, account_name=MARKUP, sentence=MARKUP), at, latched=MARKUP,
        audit={"agrees": False, "sentence": MARKUP, "at": at}, alerts=[alert(at, "critical", MARKUP, MARKUP)],
    ),
}  # fmt: skip
