"""Which keys of a configuration may change while the maker runs, and in which direction: one table, every key spelled.

What shapes quotes may be anything that a start would take too. A limit may only be made tighter: whoever wants a looser
one stops the maker and starts it, for which a person has to be there. Everything else is fixed for a run: markets,
account, exchange, feeds, files, the guard's times, and what a start alone reads. A key that the table does not know is
fixed, so that one that is added must be thought about before it can change.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from maker.errors import ConfigError


class Rule(enum.Enum):
    """What a reload may do with a key."""

    FREE = "free"
    LOWER = "lower"  # a smaller number is the tighter one
    HIGHER = "higher"  # a larger number is the tighter one
    FIXED = "fixed"


FREE, LOWER, HIGHER, FIXED = Rule.FREE, Rule.LOWER, Rule.HIGHER, Rule.FIXED

CYCLE: Final = {"requote_bps": FREE, "requote_seconds_min": FREE, "quote_age_seconds_max": LOWER}
BUDGET: Final = {"requests_per_minute": FIXED, "reserve_ratio": HIGHER, "burst": LOWER, "reduce_ratio": FREE}
LIMITS: Final = {
    "value_max": LOWER,
    "drawdown_max": LOWER,
    "daily_loss_max": LOWER,
    "ramp_seconds": FIXED,  # of a start
    "ramp_ratio": FIXED,
    "headroom_warn_ratio": HIGHER,
    "headroom_shrink_ratio": HIGHER,
    "headroom_reduce_only_ratio": HIGHER,
    "headroom_flatten_ratio": HIGHER,
    "margin_reserve_ratio": HIGHER,
    "margin_ratio": HIGHER,
    "balance_stale_seconds_max": LOWER,
    "preview_seconds": FIXED,  # 0 is never: no direction is the tighter one
    "flatten": FIXED,
}
SOURCE: Final = {"symbol": FIXED, "stale_seconds_max": LOWER, "unchanged_seconds_max": FIXED, "weight": FIXED}
MARKET: Final = {
    "model": FREE,
    # fair value
    "sources_min": HIGHER,
    "combine": FIXED,
    "outlier_bps_max": LOWER,
    "price_from": FIXED,
    "index_weight": FIXED,
    "index_stale_seconds_max": LOWER,
    "basis_half_life_seconds": FREE,
    "basis_bps_max": LOWER,
    "mark_index_bps_max": LOWER,
    # volatility, A and k
    "volatility_grid_seconds": FIXED,  # of the returns that were averaged so far
    "volatility_half_life_seconds": FREE,
    "volatility_samples_min": FREE,
    "volatility_bps_min": FREE,
    "fill_rate_per_second": FREE,
    "fill_decay_per_bp": FREE,
    "fill_prior_count": FREE,
    "fill_memory_count": FREE,
    # the ladder
    "levels": FREE,
    "level_step_bps": FREE,
    "step_growth": FREE,
    "level_size": FREE,
    "size_growth": FREE,
    "edge_bps_min": FREE,
    "position_soft_ratio": FREE,
    "widen_bps": FREE,
    "funding_lean_ratio": FREE,
    "funding_rate_min": FREE,
    # hard limits
    "position_limit": LOWER,
    "order_size_max": LOWER,
    "order_value_max": LOWER,
    "open_size_max": LOWER,
    "position_value_max": LOWER,
    "collar_bps": LOWER,
    "index_collar_bps": LOWER,
    "window_collar_bps": LOWER,
    "window_seconds": FIXED,  # of the prices that are remembered
    "jump_bps": LOWER,
    "jump_seconds": FIXED,
    "jump_confirm_seconds": HIGHER,
    "burst_size_max": LOWER,
    "burst_value_max": LOWER,
    "burst_seconds": HIGHER,
    "burst_freeze_seconds": HIGHER,  # 0, until a person clears it, is the longest
    "burst_fills_max": LOWER,
}
UNTIL_CLEARED: Final = ("burst_freeze_seconds",)  # 0 means for ever
TABLES: Final[Mapping[str, Mapping[str, Rule]]] = {"cycle": CYCLE, "budget": BUDGET, "limits": LIMITS}
RESTART: Final = "Stop the maker and start it to take this; or put the old value back, and reload the rest."


@attrs.frozen
class Change:
    """One key with its values as texts, for journal and people; None: it is not there."""

    key: str
    old: str | None
    new: str | None


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return what differs between two parsed files, in the order of the old one. Raises ConfigError for what may not.

    Only what the files say is compared: two spellings of one number (`1` and `1.0`) are no change.
    """
    for market_id in sorted(old["market"].keys() ^ new["market"].keys()):  # also one with nothing but free keys
        how = "would be added" if market_id in new["market"] else "would be gone"
        raise ConfigError(f"market.{market_id}", f"{how}, which a running maker does not take.", RESTART)
    before, after = dict(leaves(old)), dict(leaves(new))
    found: list[Change] = []
    for path in dict.fromkeys([*before, *after]):
        was, will_be = before.get(path), after.get(path)
        if (was == will_be and type(was) is type(will_be)) or numbers_agree(was, will_be):
            continue
        allow(path, was, will_be)
        found.append(Change(".".join(path), spelled(was), spelled(will_be)))
    return tuple(found)


def numbers_agree(was: object, will_be: object) -> bool:
    """Whether both are the same number; a truth is none."""
    return is_number(was) and is_number(will_be) and was == will_be


def is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every key that holds no table, with its path; an empty table counts as a key."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def rule_of(path: tuple[str, ...]) -> Rule:
    """Return what may be done with the key at a path."""
    match path:
        case (table, name) if table in TABLES:
            return TABLES[table].get(name, FIXED)
        case ("market", _, "models", *_):
            return FREE
        case ("market", _, "sources", _, name):
            return SOURCE.get(name, FIXED)
        case ("market", _, name):
            return MARKET.get(name, FIXED)
        case _:
            return FIXED


def allow(path: tuple[str, ...], was: object, will_be: object) -> None:
    """Let a change pass. Raises ConfigError for one that is looser, or that needs another start."""
    rule, key = rule_of(path), ".".join(path)
    if rule is FREE:
        return
    if rule is FIXED or was is None or will_be is None:
        how = f"would change from {spelled(was) or 'nothing'} to {spelled(will_be) or 'nothing'}"
        raise ConfigError(key, f"{how}, which a running maker does not take.", RESTART)
    before, after = strictness(path[-1], was), strictness(path[-1], will_be)
    if (after > before) if rule is LOWER else (after < before):
        problem = f"would be loosened from {spelled(was)} to {spelled(will_be)}: while it runs it is only tightened."
        raise ConfigError(key, problem, RESTART)


def strictness(name: str, value: Any) -> Decimal | float:
    """Return the number by which two values of a limit are compared."""
    return math.inf if name in UNTIL_CLEARED and value == 0 else Decimal(value)


def spelled(value: object) -> str | None:
    """Return a value as the file might have it, on one line; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
