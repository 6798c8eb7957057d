"""One short line for a terminal: what a person wants to see without opening a page. Pure: a state in, a text out.

    quoting · BTC-PERP 87345.12 · 87341.4/87349.0 · pos +0.12 · profit +12.34 (+1.20)

Markets that do not fit side by side take turns; what does not fit at all is left off from the end.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from maker.monitor.observation import Life, Observation
from maker.wire import live

TURN_SECONDS: Final = 4.0  # for which a market is shown before the next has its turn
COLUMNS_MIN: Final = 20
MARKET_COLUMNS: Final = 60  # that a market wants
BETWEEN: Final = " · "
STALE_SECONDS: Final = 3.0
MONEY: Final = Decimal("0.01")


def status_line(seen: Observation, columns: int, seconds: float) -> str:
    """The line at a moment (`seconds` of any clock that runs on), shorter than the terminal is wide."""
    parts = [headline(seen)]
    state = seen.state
    if state is not None and state.markets:
        total = state.account.profit
        places = max(1, (columns - 30) // MARKET_COLUMNS)
        parts += [market(one) for one in shown(state.markets, places, seconds)]
        if len(state.markets) > places:
            quoted = sum(one.state == "quoting" for one in state.markets)
            parts.append(f"{quoted}/{len(state.markets)} quoted")
        if total is not None and len(state.markets) > 1:
            parts.append(f"all {signed(total.total)}")
    return cut(BETWEEN.join(parts), max(COLUMNS_MIN, columns) - 1)


def headline(seen: Observation) -> str:
    """The state, or what is wrong with knowing it."""
    if seen.maker is Life.GONE:
        return "maker gone"
    if seen.state is None or seen.state_age_seconds is None:
        return "starting"
    if seen.state_age_seconds > STALE_SECONDS:
        return f"silent for {seen.state_age_seconds:.0f} s"
    return "latched" if seen.latched else seen.state.state


def shown(markets: tuple[live.Market, ...], places: int, seconds: float) -> tuple[live.Market, ...]:
    """The markets whose turn it is, in their order."""
    if len(markets) <= places:
        return markets
    first = int(seconds // TURN_SECONDS) * places % len(markets)
    return tuple(markets[(first + number) % len(markets)] for number in range(places))


def market(one: live.Market) -> str:
    """One market: fair value, our innermost quotes, position, profit; or that it is not quoted."""
    bid = next((quote.price for quote in one.quotes if quote.side == "buy"), "-")
    ask = next((quote.price for quote in one.quotes if quote.side == "sell"), "-")
    words = [one.market_id, one.fair or "no fair value", f"{bid}/{ask}", f"pos {signed(one.position, None)}"]
    if one.profit is not None:
        words.append(signed(one.profit.total))
    return " ".join(words)


def signed(amount: str, step: Decimal | None = MONEY) -> str:
    """An amount with its sign; 0 has none."""
    exact = Decimal(amount) if step is None else Decimal(amount).quantize(step)
    return f"{exact:+f}" if exact else f"{abs(exact):f}"


def cut(line: str, columns: int) -> str:
    """A line of printable characters that fits."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in line)
    return plain if len(plain) <= columns else f"{plain[: columns - 1]}…"
