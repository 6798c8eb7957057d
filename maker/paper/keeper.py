"""Keep a marketplace in step with the clock, and its record and state file in step with it.

Whoever asks for the time or makes a call first makes the steps that are due, so a call never comes before what should
have happened already. After a stall (a stopped process, a busy machine, a short restart) the steps are made up one by
one: a client that was away finds a market that went on. A longer absence is not made up: the world stood still.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NoReturn

import attrs
import trio

from maker.edge.http_messages import Moment
from maker.paper import deeds
from maker.paper.deeds import Deed
from maker.paper.marketplace import Marketplace, best_mid
from maker.paper.money import plain
from maker.paper.order_path import Call, Outcome, perform
from maker.paper.state_file import StateFile
from maker.paper.witness import SAMPLE_STEPS, Witness

STALL_MS_MAX: Final = 60_000  # made up in about 0.1 s; a lunch break would hold every answer up for seconds
CHECKPOINT_SECONDS: Final = 30.0  # between two; a restart makes up to so much again, in about 0.1 s
WAIT_SECONDS_MIN: Final = 0.001  # between two looks at the clock


class VenueClock:
    """Unix milliseconds that never run backwards: the machine's time at the start, and CLOCK_BOOTTIME since."""

    def __init__(self, clock: Callable[[], Moment]) -> None:
        self._clock = clock
        self._origin = clock()

    def unix_ms(self) -> int:
        """Return the time now."""
        return math.floor((self._origin.unix_seconds + self._clock().boot_seconds - self._origin.boot_seconds) * 1000)


@attrs.define
class Keeper:
    """One marketplace, live."""

    place: Marketplace
    clock: VenueClock
    witness: Witness
    state: StateFile | None = None

    def now_ms(self) -> int:
        """Return the time now, everything due until now done."""
        now_ms = self.clock.unix_ms()
        self.catch_up(now_ms)
        return max(self.place.now_ms, now_ms)

    def catch_up(self, now_ms: int) -> None:
        """Make the steps due until `now_ms`, or put them off where they are too many."""
        behind_ms = now_ms - self.place.due_ms
        if behind_ms > STALL_MS_MAX:
            if self.state is not None:
                self.state.note_shift(behind_ms)
            self.place.shift(behind_ms)
            self.witness.write("shift", laterMs=behind_ms)
        while self.place.due_ms <= now_ms:
            self.make_step()

    def make_step(self) -> None:
        """Log and make one step, and sample the prices it left."""
        if self.state is not None:
            self.state.note_step(self.place.steps)
        self.place.step()
        if self.place.steps % SAMPLE_STEPS == 0:
            self.sample()
        self.witness.flush()

    def sample(self) -> None:
        """Record each market's prices."""
        if not self.witness.is_writing:
            return
        exchange = self.place.exchange
        for market_id in (spec.market_id for spec in exchange.settings.markets if spec.tradable):
            bid, ask = exchange.best(market_id)
            mid = best_mid(bid, ask)
            self.witness.sample(
                market_id,
                bid=None if bid is None else plain(bid),
                ask=None if ask is None else plain(ask),
                mid=None if mid is None else plain(mid),
                mark=plain(exchange.mark(market_id)),
                index=plain(exchange.index(market_id)),
            )

    def perform(self, call: Call, request: int, key_id: str) -> Outcome:
        """Log, perform and record one call; when this returns, the call survives the process."""
        if self.state is not None:
            self.state.note_call(call)
        self.witness.cause(request)
        outcome = perform(self.place, call)
        self.witness.cause(None)
        body = call.body.decode("utf-8", "replace")
        self.witness.apply(request, outcome.status, keyId=key_id, userId=call.user_id, nowMs=call.now_ms, body=body)
        self.witness.flush()
        return outcome

    def do(self, deed: Deed) -> str:
        """Log and do one deed, and return whom it was done to; raises ValueError where there is no room for it."""
        if self.state is not None:
            self.state.note_deed(deed)
        return deeds.do(self.place, deed)

    async def run_steps(self) -> NoReturn:
        """Make each step when it is due."""
        while True:
            now_ms = self.clock.unix_ms()
            if self.place.due_ms <= now_ms:
                self.catch_up(now_ms)
            wait_seconds = (self.place.due_ms - self.clock.unix_ms()) / 1000
            await trio.sleep(max(wait_seconds, WAIT_SECONDS_MIN))

    async def run_checkpoints(self) -> None:
        """Write a checkpoint every CHECKPOINT_SECONDS; returns at once where there is no state file."""
        state = self.state
        while state is not None:
            await trio.sleep(CHECKPOINT_SECONDS)
            await trio.to_thread.run_sync(state.begin(self.place))

    def close(self) -> None:
        """Write the last checkpoint and the end of the record."""
        try:
            if self.state is not None:
                self.state.begin(self.place)()
                self.state.close()
        finally:
            self.witness.write("stop")
            self.witness.close()
