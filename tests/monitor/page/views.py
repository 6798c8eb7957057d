"""Views as the monitor tells them, made up: a market that walks, quotes around it, and everything that may go wrong.

States are built from `maker.wire.live` itself, so that a field it does not have cannot be played.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
import msgspec

from maker.wire import live

View = dict[str, Any]  # what one event carries

ACCOUNT: Final = "paper"
LEVELS: Final = 4
POINTS: Final = 400  # of all markets' series together: they are made anew for each reading
WHY_STALE: Final = "too few reference feeds are fresh to price by"
LONG: Final = "BTC-USDC-2026-12-25-QUARTERLY-INVERSE-SETTLED-IN-KIND"
MARKUP: Final = "<img src=x onerror=\"document.title='taken'\"><b>bold</b>"
MORE_MARKETS: Final = (
    "SOL", "XRP", "DOGE", "ADA", "AVAX", "LINK", "DOT", "LTC", "BCH", "UNI", "ATOM", "NEAR", "APT", "ARB", "OP", "SUI",
    "TIA", "SEI",
)  # fmt: skip


@attrs.frozen
class Listed:
    """One market as it is played: fair value, tick and the size of a level are decimal text, as on the wire."""

    market_id: str
    fair: str
    tick: str
    size: str
    limit: str


BTC: Final = Listed("BTC-PERP", "60000.0", "0.5", "0.020", "0.400")
ETH: Final = Listed("ETH-PERP", "3012.40", "0.05", "0.50", "8.00")
HUGE: Final = Listed("IDX-PERP", "123456789.5", "0.5", "0.00010", "0.00100")
TINY: Final = Listed("PEPE-PERP", "0.0000123456", "0.0000000001", "25000000", "400000000")

BOTH_STALE: Final = {BTC.market_id: WHY_STALE, ETH.market_id: WHY_STALE}


def twenty() -> list[Listed]:
    """BTC, ETH and eighteen more."""
    return [
        BTC,
        ETH,
        *(Listed(f"{name}-PERP", f"{3 + at * 7}.250", "0.005", "12", "240") for at, name in enumerate(MORE_MARKETS)),
    ]


def decimal(value: float, tick: str) -> str:
    """A price on its grid, as text with the tick's own decimals."""
    return str((Decimal(value) / Decimal(tick)).quantize(Decimal(1)) * Decimal(tick))


def walk(listed: Listed, at: float) -> float:
    """Fair value at a moment (unix seconds): slow and quick waves, the same for whoever asks."""
    seed = sum(map(ord, listed.market_id))
    waves = ((1310.0, 8.0), (173.0, 3.0), (31.0, 1.2), (7.0, 0.4))
    return float(listed.fair) * (
        1 + sum(size * math.sin((at + seed * 37) / period * 2 * math.pi) for period, size in waves) / 1e4
    )


def position(listed: Listed, at: float) -> Decimal:
    """A position that steps every few seconds, signed, within its limit."""
    seed = sum(map(ord, listed.market_id))
    steps = round(9 * math.sin((at // 20 * 20 + seed * 11) / 700) + 3 * math.sin((at // 20 * 20 + seed) / 90))
    return Decimal(listed.size) * steps


def profit(listed: Listed, at: float, began: float) -> live.Profit:
    """Profit with its parts, which add up."""
    minutes = (at - began) / 60
    parts = {
        "spread": Decimal(round(minutes * 0.82 + math.sin(at / 40), 4)),
        "inventory": Decimal(round(-minutes * 0.31 + 6 * math.sin(at / 260), 4)),
        "fees": Decimal(round(-minutes * 0.09, 4)),
        "funding": Decimal(round(minutes * 0.021, 4)),
    }
    told = {name: str(round(part, 4)) for name, part in parts.items()}
    return live.Profit(total=str(sum(map(Decimal, told.values()))), **told)


def market(
    listed: Listed, at: float, began: float, *, quoting: bool = True, why: str = "both sides rest"
) -> live.Market:
    """One market at a moment."""
    fair = walk(listed, at)
    held = position(listed, at)
    mark = decimal(fair * 1.00003, listed.tick)
    half = [fair * (2.2 + 1.9 * level) / 1e4 for level in range(LEVELS)]
    sizes = [str(Decimal(listed.size) * (level + 2) / 2) for level in range(LEVELS)]
    rest = [
        live.Quote(side=side, price=decimal(fair + sign * half[level], listed.tick), size=sizes[level])
        for side, sign in (("buy", -1), ("sell", 1))
        for level in range(LEVELS)
    ]
    return live.Market(
        market_id=listed.market_id,
        state="quoting" if quoting else "not quoting",
        sentence=why,
        tick=listed.tick,
        fair=str(Decimal(fair).quantize(Decimal(listed.tick) / 10)),
        fair_half_width_bps=0.4,
        mark=mark,
        best_bid=rest[0].price if quoting else decimal(fair * 0.9997, listed.tick),
        best_ask=decimal(fair + half[0] * 0.8, listed.tick),
        quotes=tuple(rest) if quoting else (),
        quotes_age_seconds=at % 2.7 if quoting else None,
        position=str(held),
        position_max=listed.limit,
        position_value=str(round(abs(held) * Decimal(mark), 2)),
        position_value_max=str(round(Decimal(listed.limit) * Decimal(listed.fair), 2)),
        entry=decimal(fair * 0.9998, listed.tick) if held else None,
        unrealized=str(round(held * Decimal(fair) * Decimal("0.0002"), 4)),
        profit=profit(listed, at, began),
        fills=int((at - began) // 20),
        stream="live",
        stream_age_seconds=0.2,
    )


def state(
    listed: Sequence[Listed] = (BTC, ETH),
    at: float = 0.0,
    *,
    began: float | None = None,
    idle: dict[str, str] | None = None,
    **changes: Any,
) -> live.State:
    """The maker's word at a moment; `idle` names markets that are not quoted, and why. `changes` are fields of it."""
    start = at - 7260 if began is None else began
    idle = idle or {}
    markets = tuple(
        market(one, at, start, quoting=one.market_id not in idle, why=idle.get(one.market_id, "both sides rest"))
        for one in listed
    )
    made = [one.profit for one in markets if one.profit]
    total = {
        name: str(sum((Decimal(getattr(one, name)) for one in made), Decimal(0)))
        for name in live.Profit.__struct_fields__
    }
    said: dict[str, Any] = {
        "sequence": int((at - start) * 10),
        "sent_at": at,
        "run_id": "01KB5V7W2Q8N",
        "started_at": start,
        "mode": "paper",
        "account_name": ACCOUNT,
        "state": "quoting",
        "sentence": f"quoting {len(listed) - len(idle)} of {len(listed)} markets",
        "state_at": start + 1200,
        "pulled_at": start + 1180,
        "verified_empty_at": start + 1181.2,
        "loop_lag_seconds": 0.002,
        "answer_seconds_p50": 0.0121,
        "answer_seconds_p99": 0.0484,
        "markets": markets,
        "feeds": (
            live.Feed(name="binance", state="live", age_seconds=0.12),
            live.Feed(name="kraken", state="live", age_seconds=1.31),
            live.Feed(name="coinbase", state="stale", sentence="4.2 s old, 3 s are allowed", age_seconds=4.2),
        ),
        "budget": live.Budget(
            limit=120, left=71.4 + 20 * math.sin(at / 9), reserve=24, spent=int(at - start), throttled=0
        ),
        "account": live.Account(
            balance="100000.00", equity=str(100000 + Decimal(total["total"])), available="81250.10", headroom=0.8125,
            margin_step="ample", profit=live.Profit(**total), drawdown="18.40", drawdown_max="500", loss_today="0",
            loss_day_max="250",
        ),
        "key": live.Key(key_id="ocx_kid_7f3a", scope="trade", expires_at=at + 41 * 86400),
    }  # fmt: skip
    return live.State(**(said | changes))


def view(told: live.State | None, at: float, **changes: Any) -> View:
    """An event's data. `changes` are fields of it."""
    said: View = {
        "state": None if told is None else msgspec.to_builtins(told),
        "state_age_seconds": 0.0 if told is None else max(0.0, at - told.sent_at),
        "maker": "alive",
        "guard": "alive",
        "latched": "",
        "audit": {"agrees": True, "sentence": "16 orders and 2 positions agree with the exchange", "at": at - 2},
        "alerts": [],
        "exchange": {"open_orders": 16, "read_at": at - 2, "why_not": ""},
        "monitor": {"version": "0.1.0", "key": "read", "started_at": at - 9000},
    }
    return said | changes


def alert(
    at: float, severity: str, name: str, sentence: str, *, delivered: bool | None = True, what_to_do: str = ""
) -> View:
    """One alert that stands; `delivered` None: it is on its way, or has nowhere to go."""
    told = {"at": at, "severity": severity, "name": name, "sentence": sentence, "delivered": delivered}
    return told | ({"what_to_do": what_to_do} if what_to_do else {})


def history(told: live.State | None, listed: Sequence[Listed], now: float, seconds: float) -> View:
    """What the monitor answers for `/history`: fills now and then, one pull in between."""
    if told is None:
        return {"markets": {}, "answers": [], "states": []}
    began = told.started_at
    since = max(began, now - seconds)
    points = POINTS // len(listed)
    times = [since + (now - since) * at / points for at in range(points + 1)]
    pull = since + (now - since) * 0.62, since + (now - since) * 0.66
    chance = random.Random(7)
    markets = {}
    for one, known in zip(listed, told.markets, strict=True):
        rows = [(at, market(one, at, began)) for at in times]
        within = [(at, row, not pull[0] < at < pull[1]) for at, row in rows]
        fills = []
        for at, row, quoting in within:
            if quoting and row.quotes and chance.random() < 0.09:
                quote = row.quotes[0 if chance.random() < 0.5 else LEVELS]
                fills.append([at, quote.side, quote.price, quote.size, round(chance.gauss(0.4, 1.5), 2)])
        markets[known.market_id] = {
            "fair": [[at, row.fair] for at, row, _ in within],
            "quotes": [
                [at, row.quotes[0].price, row.quotes[LEVELS].price] if quoting else [at, None, None]
                for at, row, quoting in within
            ],
            "fills": fills,
            "position": [[at, row.position] for at, row, _ in within],
            "profit": [[at, *msgspec.structs.astuple(row.profit)] for at, row, _ in within if row.profit],
        }
    answers = [[at, round(chance.lognormvariate(-4.4, 0.4), 5)] for at in times]
    states = [
        [began, "maker", "starting", "reading the account"],
        [began + 4, "maker", "quoting", "quoting 2 of 2 markets"],
        [pull[0], "maker", "pulling", WHY_STALE],
        [pull[0] + 1, "maker", "not quoting", "read back empty; waiting until two sources are fresh"],
        [pull[1], "maker", "quoting", "quoting 2 of 2 markets"],
    ]
    return {"markets": markets, "answers": answers, "states": states}


def fills(told: live.State | None, market_id: str, now: float, limit: int) -> View:
    """What the monitor answers for `/fills`: the newest first, markouts unknown where they are not due."""
    known = next((one for one in told.markets if one.market_id == market_id), None) if told else None
    if known is None or not known.quotes:
        return {"fills": []}
    chance = random.Random(3)
    rows = []
    for at in range(min(limit, 30)):
        age = 4 + at * 23 + chance.random() * 9
        quote = chance.choice(known.quotes)
        worth = Decimal(quote.size) * Decimal(quote.price)
        rows.append({
            "at": now - age, "market": market_id, "side": quote.side, "price": quote.price, "size": quote.size,
            "liquidity": "maker", "level": known.quotes.index(quote) % LEVELS,
            "fee": str(round(worth * Decimal("0.0001"), 6)),
            "markouts": {
                str(due): None if age < due else {"quote": "0.1", "bps": round(chance.gauss(0.5, 2), 2)}
                for due in (1, 5, 30, 60)
            },
        })  # fmt: skip
    return {"fills": rows}
