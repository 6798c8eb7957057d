"""Tells whoever looks on what the maker does: about twice a second, and soon after each change of state.

In a task of its own, between the others' turns: markets are put together one a turn, so that no decision waits longer
than for one of them. Nothing awaits it, nothing reads it, and it can fail only itself: it then says so once and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

from maker.app import live_state
from maker.app.wiring import Run
from maker.desk.fair import SourceState
from maker.launch.key import Key
from maker.wire import live

TELL_SECONDS: Final = 0.5  # between two states while nothing happens
CHANGE_SECONDS: Final = 0.05  # between two of them at least: a burst of changes is told once


@attrs.define
class Teller:
    """One run's voice; `send` takes a datagram, now or never."""

    run_id: str
    started_at: float  # unix seconds
    key: Key  # in use now
    send: Callable[[bytes], object]
    sequence: int = 0
    state: str = ""  # as last told
    state_at: float = 0.0  # unix seconds
    woken: trio.Event = attrs.field(factory=trio.Event)

    def use(self, another: Key) -> None:
        """Tell of another key from now on."""
        self.key = another

    def wake(self) -> None:
        """Something happened that should be told soon. From the loop's own thread."""
        self.woken.set()

    async def run(self, run: Run) -> None:
        """Tell until cancelled, and once more then. Raises nothing but cancellation: its own error ends it alone."""
        run.recorder.live.changed = self.wake
        try:
            await self.tell_on(run)
        except Exception as error:  # noqa: BLE001 - whoever looks on may go blind, the maker must not notice
            run.recorder.warning("telling ended", f"nothing more is told to the monitor: {error!r}")
        finally:
            run.recorder.live.changed = nothing

    async def tell_on(self, run: Run) -> None:
        try:
            while True:
                self.woken = trio.Event()
                await self.tell(run)
                await trio.sleep(CHANGE_SECONDS)
                with trio.move_on_after(TELL_SECONDS - CHANGE_SECONDS):
                    await self.woken.wait()
        finally:
            self.tell_last(run)

    async def tell(self, run: Run) -> None:
        """Put a state together, a market a turn of the loop, and send it; not one that a pull has overtaken."""
        pulled_for = live_state.pulled_for(run)
        markets, sources, quoted = list[live.Market](), list[SourceState](), dict[str, str]()
        attributions = run.engine.attributions()
        for market in list(run.engine.markets.values()):
            now = run.pulse.boot()
            quoted[market.market_id] = live_state.why_not(run, market, now)
            made = attributions.get(market.market_id)
            markets.append(live_state.market(run, market, quoted[market.market_id], made, now))
            sources += market.fair.states(now)
            await trio.lowlevel.checkpoint()
        if live_state.pulled_for(run) == pulled_for:
            self.send_state(run, markets, sources, quoted, ended=False)
        else:
            self.wake()

    def tell_last(self, run: Run) -> None:
        """Say how it ends; in one piece, for there is nothing left to decide."""
        now, attributions = run.pulse.boot(), run.engine.attributions()
        quoted = {one.market_id: live_state.why_not(run, one, now) for one in run.engine.markets.values()}
        markets = [
            live_state.market(run, one, quoted[one.market_id], attributions.get(one.market_id), now)
            for one in run.engine.markets.values()
        ]
        sources = [source for one in run.engine.markets.values() for source in one.fair.states(now)]
        self.send_state(run, markets, sources, quoted, ended=True)

    def send_state(
        self,
        run: Run,
        markets: list[live.Market],
        sources: list[SourceState],
        quoted: dict[str, str],
        *,
        ended: bool,
    ) -> None:
        """Send what was put together. Raises ValueError for a state that no datagram carries."""
        now, wall, recorder = run.pulse.boot(), run.pulse.wall(), run.recorder
        state, sentence = live_state.state_and_sentence(run, ended=ended, quoted=quoted)
        if state != self.state:
            self.state, self.state_at = state, wall
        self.sequence += 1
        p50, p99 = recorder.live.percentiles()
        whole = live.State(
            sequence=self.sequence,
            sent_at=wall,
            boot_seconds=now,
            run_id=self.run_id,
            started_at=self.started_at,
            mode=run.config.mode,
            account_name=run.config.account,
            state=state,
            sentence=sentence,
            reason=recorder.live.pulled_for,
            state_at=self.state_at,
            pulled_at=recorder.live.pulled_at,
            verified_empty_at=run.switch.panic.emptied_at,
            loop_lag_seconds=run.pulse.take_largest(),
            answer_seconds_p50=p50,
            answer_seconds_p99=p99,
            markets=tuple(markets),
            feeds=live_state.feeds(run, recorder, sources),
            budget=live_state.budget(run, now),
            account=live_state.account(run),
            key=live.Key(
                key_id=self.key.key_id, scope=self.key.scope, expires_at=live_state.expiry(self.key.expires_at)
            ),
        )
        self.send(live.encode(whole))


def nothing() -> None:
    """Nobody is told of changes."""
