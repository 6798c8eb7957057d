"""Previews: what the innermost orders would take and pay, asked beside quoting. Nothing ever waits for an answer.

They go by the read client, one at a time, never by a lane: they delay no ladder and no cancel-all. OCX limits the order
path and does not name preview there, so its answers teach the budget nothing: a limit they stated might be another one.
An exchange that refuses a preview (scope, unknown path, a limit) is asked ever more seldom, and quoting goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

import trio

from maker.app.feeds import Inlet
from maker.desk.events import MarketSpec, PreviewOrder
from maker.edge.client import Client
from maker.errors import OutcomeUnknown
from maker.wire import ocx, orders, reads

LOOK_SECONDS: Final = 1.0  # between two looks at what is due
PREVIEW_SECONDS_MAX: Final = 3.0  # one answer, connecting included
REFUSED_SECONDS_MIN: Final = 60.0  # after a refusal nothing is asked for so long, doubled with each in a row ...
REFUSED_SECONDS_MAX: Final = 3600.0  # ... up to this


async def run_previews(client: Client, specs: Mapping[str, MarketSpec], inlet: Inlet) -> NoReturn:
    """Ask what is due, and tell the desk."""
    pause = 0.0
    while True:
        await trio.sleep(LOOK_SECONDS)
        for asked in inlet.engine.previews_due(inlet.now()):
            refused = await preview(client, specs[asked.market_id], asked, inlet)
            if refused:
                pause = min(max(REFUSED_SECONDS_MIN, pause * 2), REFUSED_SECONDS_MAX)
                inlet.recorder.state("previews", "refused", f"{refused}; asking again in {pause:.0f} s")
                await trio.sleep(pause)
                break
            pause = 0.0


async def preview(client: Client, spec: MarketSpec, asked: PreviewOrder, inlet: Inlet) -> str:
    """Ask once, and tell the desk what it says. Returns why the exchange refused to say; empty when it did not."""
    with trio.move_on_after(PREVIEW_SECONDS_MAX):
        try:
            answer = await client.ask(ocx.PREVIEW, orders.preview_body(spec, asked))
            if answer.status == 200:
                inlet.deliver(reads.preview(asked, answer.body))
            elif 400 <= answer.status < 500:
                return f"a preview was answered {answer.status}"
        except (OutcomeUnknown, ValueError):
            return ""  # lost or unreadable: the next one is asked in its time
    return ""
