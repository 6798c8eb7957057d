"""One market's worth: cash, position at mark, and what of it the exchange's balance shows."""

from __future__ import annotations

import attrs

from maker.desk.units import Side

from .scripted import Desk, a_fill, at_position, dec


def test_the_balance_change_of_fills_is_realised_profit_less_fees() -> None:
    """Bought 10 at 50000, sold 4 at 50500: 0.004 * 500 realised, less both fees; the rest is held at entry."""
    desk = Desk.ready()
    desk.delta(
        fills=(a_fill("t1", Side.BUY, 10), a_fill("t2", Side.SELL, 4, ticks=505_000)),
        positions=(attrs.evolve(at_position(6), entry_price=dec("50000")),),
    )
    fees = dec("0.05") + dec("0.0202")
    assert desk.market().worth.balance_change == 2 - fees
    assert desk.market().position_text == "0.006"
