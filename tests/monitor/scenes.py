"""What a monitor sees, in a few words."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from maker.app.config import load
from maker.desk.events import OrderSeen
from maker.desk.units import Side
from maker.monitor.observation import ExchangeSeen, Life, Observation
from maker.wire import live
from tests.monitor.histories import T0

CONFIG: Final = load(Path(__file__).parents[2] / "conf" / "paper.toml", "http://127.0.0.1:1", "ws://127.0.0.1:1")


def order(name: str = "1", market: str = "BTC-PERP", price: str = "99", client: str = "mk-e-1") -> OrderSeen:
    return OrderSeen(market, name, client, Side.BUY, Decimal(price), Decimal(1))


def market(market_id: str = "BTC-PERP", **more: Any) -> live.Market:
    usual = {"state": "quoting", "sentence": "", "tick": "0.1", "stream": "live"}
    return live.Market(market_id=market_id, **{**usual, **more})


def state(at: float, **more: Any) -> live.State:
    """A state of a maker that quotes, sent `at` seconds after T0."""
    usual: dict[str, Any] = {
        "sequence": 1,
        "sent_at": T0 + at,
        "run_id": "run",
        "started_at": T0,
        "mode": "paper",
        "account_name": "paper",
        "state": "quoting",
        "sentence": "all 2 markets are quoted",
        "state_at": T0 + at,
    }
    return live.State(**{**usual, **more})


def observation(now: float, **more: Any) -> Observation:
    """An observation `now` seconds after T0, of a run where all is well but for what is said."""
    said = more.get("state")
    usual: dict[str, Any] = {
        "now": T0 + now,
        "state": None,
        "state_age_seconds": None if said is None else max(0.0, T0 + now - said.sent_at),
        "maker": Life.ALIVE,
        "guard": Life.ALIVE,
        "latched": "",
        "run_id": "" if said is None else said.run_id,
        "exchange": ExchangeSeen(why_not="not yet"),
        "key_scope": "read",
    }
    return Observation(**{**usual, **more})
