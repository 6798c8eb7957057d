"""What a run ends with, and what it may claim.

0 is claimed only for a run that stopped as asked and then read the exchange back empty; whenever quotes may rest it is
75, whatever else happened. What the guard needs to finish the work travels with it.
"""

from __future__ import annotations

from typing import Final

import attrs

from maker.app.causes import describe, first_cause
from maker.app.wiring import Run
from maker.errors import ExitCode, StartRefused, Unauthorized
from maker.wire import ocx

PNL_DECIMALS: Final = 8  # in the result; entry prices carry 28 digits, and nobody wants to read them


@attrs.define
class Result:
    """What a run ends with; the README explains the fields."""

    reason: str = "not started"
    exit_code: int = ExitCode.REFUSED_TO_START
    verified_empty: bool = False
    open_orders: int | None = None  # None: never read back, or no longer as it was then
    quotes_sent: int = 0
    fills: int = 0
    position: dict[str, str] = attrs.field(factory=dict)  # market -> signed base units
    pnl: str = "0"  # quote: change of equity at mark, fees and funding included
    attribution: dict[str, str] = attrs.field(factory=dict)  # quote: what made it; costs are negative
    halts: int = 0
    # For the guard, which takes them out of the result:
    may_have_placed: bool = False
    unknown_write_at: float | None = None  # the begin of the last write of unknown outcome; seconds of BOOTTIME
    exit_code_if_empty: int = ExitCode.FAILED_EMPTY  # instead of 75, should it read the exchange back empty after all


def conclude(run: Run, error: BaseException | None) -> Result:
    """The result: 0 only when stopped as asked AND read back empty; 75 whenever quotes may rest."""
    engine, report = run.engine, run.report
    made = engine.attribution()
    seen = engine.seen_resting if engine.seen_after == run.switch.panic.emptied_at else ""  # since the last read back
    result = Result(
        verified_empty=report.verified_empty and not seen,
        open_orders=None if seen else report.open_orders,
        quotes_sent=engine.ladders_placed,
        fills=sum(market.account.fills for market in engine.markets.values()),
        position={market_id: market.position_text for market_id, market in engine.markets.items()},
        pnl=ocx.fixed(round(engine.equity_change(), PNL_DECIMALS)),
        attribution={
            name: ocx.fixed(round(amount, PNL_DECIMALS))
            for name, amount in (
                ("spread", made.spread),
                ("inventory", made.inventory),
                ("fees", made.fees),
                ("funding", made.funding),
            )
        },
        halts=run.switch.trips,
        may_have_placed=run.armed,
        unknown_write_at=report.unknown_write_at,
    )
    if run.stop is not None:
        result.reason = run.stop.sentence + (f"; {run.closed}" if run.closed else "")
        code = run.stop.reason.value.exit_code
    else:
        result.reason = describe(error) if error is not None else "ended without a reason"
        code = None
    cause = first_cause(error) if error is not None else None
    if not run.armed:
        result.exit_code = ExitCode.REFUSED_TO_START
        if isinstance(cause, StartRefused):
            result.exit_code = cause.exit_code
        elif isinstance(cause, Unauthorized):
            result.exit_code = ExitCode.CREDENTIALS
        if cause is None:
            result.reason += " before anything was placed"
    elif not result.verified_empty:
        result.exit_code = ExitCode.UNVERIFIED
        failed = code is None or (error is not None and code == ExitCode.CLEAN)
        result.exit_code_if_empty = ExitCode.FAILED_EMPTY if failed or code is None else code
        why = f"{seen} was seen after the exchange was read back empty" if report.verified_empty else ""
        result.reason += f"; {why or 'the exchange could not be read back empty'}: quotes may rest"
    else:
        result.exit_code = ExitCode.FAILED_EMPTY if code is None else code
        if error is not None and result.exit_code == ExitCode.CLEAN:
            result.exit_code = ExitCode.FAILED_EMPTY  # it was stopping as asked when it failed
            result.reason += f"; then {describe(error)}"
        if isinstance(cause, StartRefused):
            result.reason, result.exit_code = cause.sentence, cause.exit_code
        result.exit_code_if_empty = result.exit_code  # the guard may still have a tail to finish
    return result
