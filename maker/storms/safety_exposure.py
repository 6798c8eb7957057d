"""S7, the worst case as the exchange sees it: position, what rests, and every ladder that may still land, old and new.

Nothing but a ladder that leaves and a trade of somebody else's can make it worse: our own trades only turn what rested
into position. So it is judged whenever a ladder leaves. Reduce-only orders cannot open anything and do not count.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Final

import attrs

from maker.storms.case import Case, Verdict, each, is_ladder, seconds
from maker.storms.record import (
    Applied,
    Left,
    Lost,
    Order,
    Quote,
    Rearmed,
    Reloaded,
    Terms,
    Trade,
    Tripped,
)
from maker.storms.safety_orders import AMOUNT

SIDES: Final = ("buy", "sell")
SIGN: Final = {"buy": 1, "sell": -1}
ZERO: Final = Decimal(0)
VALUE_SLACK: Final = Decimal("1.01")  # fair value, by which the maker values, is near the index, by which we do


@attrs.define
class Exposure:
    """One market's."""

    position: Decimal = ZERO
    rests: dict[str, Decimal] = attrs.field(factory=lambda: dict.fromkeys(SIDES, ZERO))
    may_land: dict[str, Decimal] = attrs.field(factory=lambda: dict.fromkeys(SIDES, ZERO))
    foreign: dict[str, Decimal] = attrs.field(factory=lambda: dict.fromkeys(SIDES, ZERO))  # traded by others for us
    price: Decimal = ZERO

    def worst(self, side: str) -> Decimal:
        """How far the position may get on a side; negative: it stays on the other one."""
        return SIGN[side] * self.position + self.rests[side] + self.may_land[side]


def s7_worst_case(case: Case) -> Verdict:
    verdict = Verdict("S7")
    terms = case.terms
    markets = {market_id: Exposure() for market_id in terms.markets}
    reducing: set[str] = set()  # clientOrderIds
    resting: dict[str, Decimal] = {}
    waiting: deque[Left] = deque()  # ladders that may still land, oldest first; landed ones linger
    landed: set[int] = set()
    market_of: dict[str, str] = {}  # of resting orders
    pulling = False
    for _, entry in each(case, Left, Lost, Applied, Order, Trade, Tripped, Rearmed, Reloaded):
        match entry:
            case Tripped() | Rearmed():
                pulling = isinstance(entry, Tripped)
            case Reloaded() if entry.terms is not None:
                terms = entry.terms
                verdict.judged += 1
                beyond = None if pulling else resting_beyond(terms, markets, resting, market_of)
                if beyond:
                    verdict.broken(
                        entry.at, f"limits were lowered at {seconds(entry.at)}, and nothing pulled: {beyond}"
                    )
            case Order():
                if entry.client_order_id in reducing or entry.market_id not in markets:
                    continue
                before = resting.pop(entry.order_id, ZERO)
                after = ZERO if entry.action == "removed" else entry.remaining
                market_of[entry.order_id] = entry.market_id
                if after:
                    resting[entry.order_id] = after
                markets[entry.market_id].rests[entry.side] += after - before
            case Trade() if entry.market_id in markets:
                exposure = markets[entry.market_id]
                exposure.position += SIGN[entry.side] * entry.quantity
                if entry.foreign:
                    exposure.foreign[entry.side] += entry.quantity
            case Lost() | Applied() if entry.request in case.lives:
                land(markets, case.lives[entry.request].left, landed)
            case Left() if is_ladder(entry) and entry.market_id in markets:
                while waiting and entry.at - waiting[0].at > terms.write_delay_seconds_max:
                    land(markets, waiting.popleft(), landed)
                waiting.append(entry)
                exposure = markets[entry.market_id]
                count(exposure, entry.quotes, 1)
                reducing.update(quote.client_order_id for quote in entry.quotes if quote.reduce_only)
                if entry.sight is not None:
                    exposure.price = entry.sight.index or next(iter(entry.sight.reference_mids), exposure.price)
                verdict.judged += 1
                judge(case, terms, entry, markets, verdict)
    return verdict


def count(exposure: Exposure, quotes: tuple[Quote, ...], sign: int) -> None:
    """Add a ladder to what may land, or take it off."""
    for quote in quotes:
        if not quote.reduce_only and AMOUNT.fullmatch(quote.quantity):
            exposure.may_land[quote.side] += sign * Decimal(quote.quantity)


def land(markets: dict[str, Exposure], left: Left, landed: set[int]) -> None:
    """A ladder cannot land any more."""
    if is_ladder(left) and left.market_id in markets and left.request not in landed:
        landed.add(left.request)
        count(markets[left.market_id], left.quotes, -1)


def resting_beyond(
    terms: Terms, markets: dict[str, Exposure], resting: dict[str, Decimal], market_of: dict[str, str]
) -> str:
    """What rests, or may still land, that limits do not allow any more; empty when there is nothing of it."""
    for order_id, size in resting.items():
        if size > terms.markets[market_of[order_id]].order_size_max:
            return f"an order of {size} rests in {market_of[order_id]}"
    for market_id, exposure in markets.items():
        for side in SIDES:
            limit = terms.markets[market_id].position_limit + exposure.foreign[side]
            if exposure.rests[side] + exposure.may_land[side] and exposure.worst(side) > limit:
                return f"the position in {market_id} may come to {exposure.worst(side)} on the {side} side"
    return ""


def judge(case: Case, terms: Terms, left: Left, markets: dict[str, Exposure], verdict: Verdict) -> None:
    """Judge the worst case that a ladder makes, by the terms that hold when it leaves."""
    exposure = markets[left.market_id]
    adding = {quote.side for quote in left.quotes if not quote.reduce_only}
    life = case.lives[left.request]
    worst_value = excused = ZERO
    for side in SIDES:
        if side not in adding:
            continue
        worst, foreign = exposure.worst(side), exposure.foreign[side]
        limit = terms.markets[left.market_id].position_limit + foreign
        if worst > limit:
            verdict.broken(
                left.at,
                f"{life.name} left at {seconds(left.at)} with a worst case of {worst} on the {side} side (position "
                f"{exposure.position}, resting {exposure.rests[side]}, may land {exposure.may_land[side]}): "
                f"the limit is {limit}",
            )
        if worst > 0:
            worst_value = max(worst_value, worst * exposure.price)
    if not worst_value:
        return
    for other in markets.values():
        excused += max(other.foreign.values()) * other.price
        if other is not exposure:
            worst_value += max(ZERO, *(other.worst(side) for side in SIDES)) * other.price
    if worst_value > terms.value_max * VALUE_SLACK + excused:
        verdict.broken(
            left.at, f"{life.name} left with a worst case worth {worst_value:.2f}: {terms.value_max} is allowed"
        )
