"""Positions on the way out: closed after a loss, where the configuration says so, once nothing of ours rests any more.

It comes after the last halt, and only after one that read the exchange back empty: nothing here delays a cancel-all.
The work is that of the command `flatten` (`maker.app.closing`): `positions/close`, then reduce-only orders that cannot
rest, at prices within the collar; none can open a position or turn one over. It ends with the time that the halt may
take altogether and keeps the requests that cancels may need; if it sent anything, the exchange is read back once more.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import trio

from maker.app.closing import Flattening, Outcome, Stopped, listed
from maker.app.halt import HaltReport, halt
from maker.app.reading import AccountReader
from maker.app.wiring import Run, lane_by_session
from maker.desk.margin import FlattenPolicy

CLOSE_SECONDS_MAX: Final = 8.0  # of the halt's whole time
READ_BACK_SECONDS: Final = 2.0  # ... of which so much is kept for a cancel-all and two reads


def wanted(run: Run) -> bool:
    """Whether positions are to be closed: by the reason's row, by the configuration, and by an empty exchange."""
    closes = run.stop is not None and run.stop.reason.value.closes
    return closes and run.config.margin.flatten is FlattenPolicy.HALT and run.report.verified_empty


async def close_positions(run: Run, ends_at: float) -> None:
    """Close what our markets hold, until `ends_at` on the loop's clock at the latest."""
    if not wanted(run):
        return
    tell = partial(run.recorder.state, "positions", "closing")
    specs = {market_id: market.account.spec for market_id, market in run.engine.markets.items()}
    work = Flattening(
        run.config,
        frozenset(specs),
        AccountReader(run.client, {}, tell),
        run.quoting_lane,
        run.switch,
        tell,
        Outcome(),
        dict(specs),
        budget=run.engine.budget,
        heard=run.on_answer,
    )
    if run.session is not None:
        work.by_session = partial(lane_by_session, run.session, run.route.endpoint, run.route.dial)
    now = trio.current_time()
    run.closed = "its positions could not be closed in time: THEY MAY BE OPEN"
    with trio.CancelScope(shield=True, deadline=min(now + CLOSE_SECONDS_MAX, ends_at - READ_BACK_SECONDS)):
        try:
            first = await work.close_all()
            left = await work.positions()
            run.closed = f"STILL OPEN: {listed(left)}" if left else f"closed {listed(first) or 'nothing, it was flat'}"
        except Stopped as stopped:
            run.closed = stopped.sentence
    if work.lane is not run.quoting_lane:
        work.lane.close()
    run.recorder.state("positions", "closed", run.closed)
    if work.sent:
        with trio.CancelScope(shield=True, deadline=ends_at):
            again = HaltReport(cancels_sent=run.report.cancels_sent, unknown_write_at=run.report.unknown_write_at)
            run.report = again
            await halt(run.switch, 0.0, again)
