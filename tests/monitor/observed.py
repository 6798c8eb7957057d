"""Observations to judge and to show: a run that is well, and what may be wrong with one."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from maker.edge.http_messages import Moment, Request
from maker.monitor.observation import ExchangeSeen, Life, Observation
from maker.wire import live

NOW = 1_795_867_200.0
MOMENT = Moment(NOW, 1000.0)


def a_market(market_id: str = "BTC-PERP", **changes: Any) -> live.Market:
    one = live.Market(
        market_id=market_id,
        state="quoting",
        sentence="both sides are quoted",
        tick="0.1",
        fair="50000.05",
        fair_half_width_bps=0.4,
        mark="50001.0",
        best_bid="49995.0",
        best_ask="50005.0",
        quotes=(
            live.Quote(side="buy", price="49995.0", size="0.02"),
            live.Quote(side="buy", price="49990.0", size="0.03"),
            live.Quote(side="sell", price="50005.0", size="0.02"),
        ),
        quotes_age_seconds=1.5,
        position="-0.12",
        position_max="0.4",
        position_value="6000.12",
        position_value_max="40000",
        entry="50010",
        unrealized="1.2",
        profit=live.Profit(total="12.341", spread="10", inventory="3", fees="-0.659", funding="0"),
        fills=7,
        stream="live",
        stream_age_seconds=0.1,
    )
    return msgspec.structs.replace(one, **changes)


def a_state(**changes: Any) -> live.State:
    one = live.State(
        sequence=5,
        sent_at=NOW - 0.2,
        boot_seconds=999.8,
        run_id="run-1",
        started_at=NOW - 60,
        mode="paper",
        account_name="practice",
        state="quoting",
        sentence="BTC-PERP is quoted",
        state_at=NOW - 50,
        verified_empty_at=NOW - 59,
        answer_seconds_p50=0.004,
        answer_seconds_p99=0.02,
        markets=(a_market(),),
        feeds=(live.Feed(name="alpha", state="live", age_seconds=0.1), live.Feed(name="beta", state="down")),
        budget=live.Budget(limit=120, left=80.0, reserve=24.0, spent=41, throttled=1),
        account=live.Account(
            balance="1000", equity="1012.3", available="900", headroom=0.9, drawdown="0", drawdown_max="100",
            profit=live.Profit(total="12.341", spread="10", inventory="3", fees="-0.659", funding="0"),
        ),
    )  # fmt: skip
    return msgspec.structs.replace(one, **changes)


def an_observation(**changes: Any) -> Observation:
    one = Observation(
        now=NOW,
        state=a_state(),
        state_age_seconds=0.2,
        maker=Life.ALIVE,
        guard=Life.ALIVE,
        latched="",
        run_id="run-1",
        exchange=ExchangeSeen(orders=(), orders_at=NOW - 2, positions=(), positions_at=NOW - 2),
        key_scope="read",
    )
    return attrs.evolve(one, **changes)


def asked(path: str, method: str = "GET", *, body: bytes = b"", peer: str = "127.0.0.1", **headers: str) -> Request:
    """A request as the HTTP server hands it on; `headers` with underscores, the Host given unless it is."""
    bare, _, query = path.partition("?")
    fields = dict(one.split("=", 1) for one in query.split("&")) if query else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, bare, fields, {"host": "127.0.0.1:8790", **named}, body, peer, MOMENT, MOMENT)
