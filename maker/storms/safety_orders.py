"""The invariants of what is sent: sane orders, the budget of requests, the texts of amounts."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from maker.storms.case import (
    NOTICE_SECONDS,
    Case,
    Verdict,
    each,
    is_cancel,
    is_ladder,
    is_order_path,
    seconds,
)
from maker.storms.record import (
    MAKER,
    Answered,
    Applied,
    Got,
    Left,
    MarketTerms,
    Order,
    Quote,
    Reloaded,
    Trade,
)

AMOUNT: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
BPS: Final = Decimal(10_000)
SHOWN_SECONDS: Final = 5.0  # for which a book that the maker has read may still show an order of ours that is gone
WINDOW_SECONDS: Final = 60.0  # of the exchange's limiter
WAIT_SECONDS_MAX: Final = 120.0  # longer than this nobody needs to wait: then it may be asked again
UNCOUNTED: Final = (401, 403, 429)  # answers to requests that do not count for the limit
THROTTLED: Final = 429


def s8_sane_order(case: Case) -> Verdict:
    verdict = Verdict("S8")
    gone_at: dict[tuple[str, str, Decimal], float] = {}  # our prices: when the last order there went; inf: it rests
    counts: dict[tuple[str, str, Decimal], int] = {}
    at_key: dict[str, tuple[str, str, Decimal]] = {}
    all_terms = case.terms
    for _, entry in each(case, Left, Order, Trade, Reloaded):
        match entry:
            case Reloaded() if entry.terms is not None:
                all_terms = entry.terms
            case Order():
                key = at_key.setdefault(entry.order_id, (entry.market_id, entry.side, entry.price))
                if entry.action == "placed":
                    counts[key] = counts.get(key, 0) + 1
                elif entry.action == "removed":
                    counts[key] = counts.get(key, 0) - 1
                    gone_at[key] = entry.at
                    del at_key[entry.order_id]
            case Trade():
                verdict.judged += 1
                if entry.self_trade:
                    verdict.broken(entry.at, f"trade {entry.trade_id} on {entry.market_id} was with ourselves")
            case Left() if is_ladder(entry):
                verdict.judged += 1
                terms = all_terms.markets.get(entry.market_id)
                problem = "a market that is not ours" if terms is None else insane(entry, terms)
                ours = {
                    key[2]
                    for key in sight_keys(entry)
                    if counts.get(key, 0) > 0 or entry.at - gone_at.get(key, -SHOWN_SECONDS) < SHOWN_SECONDS
                }
                problem = problem or crossing(entry, ours)
                if problem:
                    verdict.broken(entry.at, f"{case.lives[entry.request].name}: {problem}")
    return verdict


def sight_keys(left: Left) -> list[tuple[str, str, Decimal]]:
    """The best prices the maker saw, as they would be those of our own orders."""
    if left.sight is None:
        return []
    seen = (("buy", left.sight.best_bid), ("sell", left.sight.best_ask))
    return [(left.market_id, side, price) for side, price in seen if price is not None]


def insane(left: Left, terms: MarketTerms) -> str:
    """What no order may be, whatever the book; empty when it is none of it."""
    for quote in left.quotes:
        if not (AMOUNT.fullmatch(quote.price) and AMOUNT.fullmatch(quote.quantity)):
            continue  # S19 has it
        price, quantity = Decimal(quote.price), Decimal(quote.quantity)
        order = f"{quote.side} {quote.quantity} at {quote.price}"
        if price <= 0 or price % terms.tick:
            return f"{order} is off the tick of {terms.tick}"
        if quantity <= 0 or quantity % terms.lot:
            return f"{order} is off the lot of {terms.lot}"
        if quantity > terms.order_size_max:
            return f"{order} is larger than {terms.order_size_max}"
        if price * quantity > terms.order_value_max:
            return f"{order} is worth {price * quantity}, more than {terms.order_value_max}"
        if not quote.post_only:
            return f"{order} is not post-only"
        if left.sight is not None:
            seen = (left.sight.index, *left.sight.reference_mids)
            away = min((away_bps(price, at) for at in seen if at), default=None)
            if away is not None and away > terms.collar_bps + terms.basis_bps_max:
                return f"{order} is {away:.1f} bp from the nearer of index and reference"
    bids = [Decimal(quote.price) for quote in left.quotes if quote.side == "buy" and AMOUNT.fullmatch(quote.price)]
    asks = [Decimal(quote.price) for quote in left.quotes if quote.side == "sell" and AMOUNT.fullmatch(quote.price)]
    if bids and asks and max(bids) >= min(asks):
        return f"its best bid {max(bids)} is not below its best ask {min(asks)}"
    return ""


def away_bps(price: Decimal, other: Decimal) -> Decimal:
    return abs(price - other) / other * BPS


def crossing(left: Left, ours: set[Decimal]) -> str:
    """Whether a bid or an ask goes through the book that the maker saw; what may be our own order there is no book."""
    if left.sight is None:
        return ""
    best_bid, best_ask = left.sight.best_bid, left.sight.best_ask
    for quote in left.quotes:
        if not AMOUNT.fullmatch(quote.price):
            continue
        price = Decimal(quote.price)
        if quote.side == "buy" and best_ask is not None and best_ask not in ours and price >= best_ask:
            return f"its bid at {price} crosses the ask at {best_ask} that it saw"
        if quote.side == "sell" and best_bid is not None and best_bid not in ours and price <= best_bid:
            return f"its ask at {price} crosses the bid at {best_bid} that it saw"
    return ""


def s9_budget(case: Case) -> Verdict:
    """What is left is counted here, from what the exchange performed: a minute's window opens with the first request
    after the last one ended. Tokens that a fault took away only make less of it.
    """
    verdict = Verdict("S9")
    limit, reserve = case.terms.requests_per_minute, case.terms.reserve
    window_at, used = -WINDOW_SECONDS, 0
    wait_until, waits_for = 0.0, ""
    told, told_until = 0, 0.0  # what an answer said is left, less what left since; until that window's end
    for _, entry in each(case, Left, Applied, Answered, Got):
        match entry:
            case Applied() | Answered() | Got() if entry.request not in case.lives:
                continue
            case Applied():
                left = case.lives[entry.request].left
                if entry.status == THROTTLED and not case.terms.throttle_faults:
                    verdict.broken(entry.at, f"{case.lives[entry.request].name} met the exchange's own limit (429)")
                if not is_order_path(left) or entry.status in UNCOUNTED:
                    continue
                if entry.at >= window_at + WINDOW_SECONDS:
                    window_at, used = entry.at, 0
                used += 1
            case Answered() if entry.status == THROTTLED and not entry.fault and not case.terms.throttle_faults:
                applied = case.lives[entry.request].applied
                if applied is None or applied.status != THROTTLED:
                    verdict.broken(entry.at, f"{case.lives[entry.request].name} was answered 429, and no fault said so")
            case Got() if entry.status != THROTTLED and (life := case.lives[entry.request]).left.owner == MAKER:
                if life.answered is not None and life.answered.remaining is not None:
                    told = life.answered.remaining
                    told_until = life.answered.at + life.answered.reset_seconds - NOTICE_SECONDS
            case Got() if entry.status == THROTTLED:
                life = case.lives[entry.request]
                asked = (life.answered.retry_seconds if life.answered is not None else None) or 0.0
                until = entry.at + min(asked, WAIT_SECONDS_MAX)
                if life.left.owner == MAKER and is_order_path(life.left) and until > wait_until:
                    wait_until, waits_for = until, f"{life.name} was told at {seconds(entry.at)} to wait {asked:g} s"
            case Left() if entry.owner == MAKER and is_order_path(entry) and not is_cancel(entry):
                verdict.judged += 1
                life = case.lives[entry.request]
                if entry.at < wait_until - NOTICE_SECONDS:
                    verdict.broken(entry.at, f"{life.name} left though {waits_for}")
                remaining = limit - used if entry.at < window_at + WINDOW_SECONDS else limit
                if entry.at < told_until:
                    remaining = min(remaining, told)
                told -= 1
                if limit and remaining <= reserve:
                    verdict.broken(
                        entry.at, f"{life.name} left with {remaining} requests left, of which {reserve} are kept"
                    )
    return verdict


def s19_exact_money(case: Case) -> Verdict:
    verdict = Verdict("S19")
    sent: dict[str, Quote] = {}
    for _, entry in each(case, Left, Order):
        match entry:
            case Left() if entry.quotes:
                for quote in entry.quotes:
                    verdict.judged += 1
                    sent[quote.client_order_id] = quote
                    for text in (quote.price, quote.quantity):
                        if AMOUNT.fullmatch(text) is None:
                            name = case.lives[entry.request].name
                            verdict.broken(entry.at, f"{name}: {text!r} is no plain decimal ({quote.client_order_id})")
            case Order() if entry.action == "placed" and entry.client_order_id in sent:
                quote = sent[entry.client_order_id]
                if AMOUNT.fullmatch(quote.price) is None or AMOUNT.fullmatch(quote.quantity) is None:
                    continue
                if Decimal(quote.price) != entry.price or Decimal(quote.quantity) < entry.remaining:
                    verdict.broken(
                        entry.at,
                        f"{entry.client_order_id} was sent as {quote.quantity} at {quote.price} and rests as "
                        f"{entry.remaining} at {entry.price}",
                    )
    return verdict
