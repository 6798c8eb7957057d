"""How stale one market's quotes are: told from its fair value alone, or with the ladder that it should have at hand.

Building a ladder costs a hundred times more than comparing two numbers, and with twenty markets all but one or two
would be built in vain. So a market is judged by how far its fair value has moved; its ladder is built only where that
may have made a replace due, where something else is wrong with what rests, and once a second whatever happens: a
spread, other people's prices or the room below a limit may have changed though the fair value has not.
"""

from __future__ import annotations

import math

from maker.desk.allocation import Looked, Stale, worth_of
from maker.desk.budget import Spend
from maker.desk.fair import FairValue
from maker.desk.ladder import Ladder, moved_bps
from maker.desk.market import CycleSettings, MarketDesk
from maker.desk.units import BPS, SUBTICKS

LOOK_SECONDS = 1.0  # a ladder is built anew this often though the fair value stands still: the rest may have changed
LATE_SECONDS = 0.05  # between a decision and its bytes: a ladder due for its age is due so much sooner
DISTURBED_SECONDS_MAX = 2.0  # a ladder that is not what we want is replaced within this, as far as the budget allows


def judge(market: MarketDesk, cycle: CycleSettings, now: float) -> Stale:
    """Judge a market that may be quoted now. `worth` is 0 while nothing is seen to be due."""
    fair = market.fair.value(now)
    assert isinstance(fair, FairValue), "it may be quoted now"
    looked, quoted, as_quoted = market.looked, market.quoted, market.quoted_as
    fresh = looked is not None and now - looked.at < LOOK_SECONDS
    changed = looked is None or (looked.fair, looked.position_lots) != (fair.subticks, market.account.position_lots)
    blocked = looked is not None and looked.blocked and fresh and not changed
    beyond = abs(market.account.position_lots) >= market.limit_lots
    nothing_rests = quoted is None or as_quoted is None or not market.account.resting
    waits = nothing_rests or bool(market.disturbed)
    since = market.waits_since = (now if market.waits_since is None else market.waits_since) if waits else None
    if quoted is None or as_quoted is None or nothing_rests:
        assert since is not None
        return Stale(
            market.market_id,
            Spend.REDUCE if beyond else Spend.ADD,
            deadline=math.inf if blocked else since + cycle.quote_age_seconds_max,
            must=True,
            look=changed or not fresh,
            idle=looked is not None and looked.blocked,
        )
    due_at = market.quoted_at + max(cycle.requote_seconds_min, cycle.quote_age_seconds_max - LATE_SECONDS)
    moved = abs(fair.subticks - as_quoted.fair) / fair.subticks
    at_risk = as_quoted.ask_value if fair.subticks > as_quoted.fair else as_quoted.bid_value
    least = float(cycle.requote_bps) / BPS
    if looked is not None and looked.moved > moved:  # besides the fair value: a spread, a position, another's price
        moved = min(looked.moved, max(moved, 2 * least))
        at_risk = max(as_quoted.ask_value, as_quoted.bid_value)
    if since is not None:
        due_at = min(due_at, max(since + DISTURBED_SECONDS_MAX, market.quoted_at + cycle.requote_seconds_min))
        moved = max(moved, least)
    tick = SUBTICKS / fair.subticks  # by which rounding may move a ladder more than its fair value
    must = since is not None or now >= due_at or (looked is not None and looked.moved == math.inf and not changed)
    due = must or moved + tick >= least
    rate = moved * fair.subticks / as_quoted.half_spread * at_risk
    seconds_max = max(cycle.quote_age_seconds_max, now - market.quoted_at)
    return Stale(
        market.market_id,
        Spend.REDUCE if beyond or quoted.reduce_only is not None else Spend.REPRICE,
        deadline=math.inf if blocked else due_at,
        cost_rate=rate,
        worth=worth_of(rate, moved, fair.sigma, seconds_max) if due else 0.0,
        must=must,
        idle=looked is not None and looked.blocked,
        look=not blocked and (must or (due and (changed or (looked is not None and looked.moved >= least)))),
        look_due=now - (market.quoted_at if looked is None else looked.at) >= LOOK_SECONDS,
    )


def urgency(market: MarketDesk, wanted: Ladder, cycle: CycleSettings, now: float) -> tuple[float, str]:
    """How much a replace is due (1: due) and why."""
    if market.quoted is None or not market.account.resting:
        return 10.0, "nothing rests"
    scores = [
        (float(moved_bps(wanted, market.quoted) / cycle.requote_bps), "price moved"),
        ((now - market.quoted_at) / cycle.quote_age_seconds_max, "age"),
    ]
    if market.disturbed:
        scores.append((1.0 + now - market.quoted_at, market.disturbed))
    return max(scores)


def saw(market: MarketDesk, wanted: Ladder | None, now: float, *, blocked: bool = False) -> None:
    """Remember what was just built; None: no ladder at all. `blocked`: there is nothing to send until that changes."""
    fair = market.fair.value(now)
    if isinstance(fair, FairValue):
        moved = 0.0
        if wanted is not None and market.quoted is not None:
            moved = float(moved_bps(wanted, market.quoted)) / BPS
        market.looked = Looked(now, fair.subticks, market.account.position_lots, moved, blocked)
