"""The way by which quotes are pulled: two warm lanes that share nothing with quoting, and what is tried on them.

The unscoped cancel-all comes first in every round: one request, everything. Only after it was refused or lost several
times, or was acknowledged while orders went on resting, do the other routes follow. None of them is spent on a 429:
there only waiting helps, and each further request makes the wait longer.

Every request has a total deadline and a hedge: without an answer in half a second, or with a bad one, the same goes out
on the other lane. Nothing here needs a pool, a limiter, a name look-up, a thread, a log or a journal.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import attrs
import trio

from maker.app.routes import Request, Routes
from maker.desk.budget import Budget
from maker.desk.events import OrderSeen
from maker.edge.answer import Answer
from maker.edge.lane import Lane, NotSent, boot_seconds
from maker.errors import OutcomeUnknown
from maker.wire import limits, ocx
from maker.wire.reads import open_orders

HEDGE_SECONDS: Final = 0.5  # no answer: the same on the other lane
ATTEMPT_SECONDS_MAX: Final = 3.0  # one call, connecting included
SCOPED_SECONDS_MAX: Final = 1.5  # one scoped call, hedge included: three routes must fit into a halt
RETRY_SECONDS_MIN: Final = 0.1  # between failed attempts, doubled up to the next
RETRY_SECONDS_MAX: Final = 2.0
UNSCOPED_ROUNDS: Final = 2  # of two attempts each: before the other routes are tried, and again between two tries
LAST_TRY_SECONDS: Final = 1.0  # before the deadline, whatever a 429 asks: a cancel-all and two reads fit in
READ_GAP_SECONDS: Final = 0.25  # between the two empty reads
WARM_SECONDS: Final = 5.0  # between two authenticated reads that keep the panic lanes warm, alternating
WARM_READ_SECONDS_MAX: Final = 1.0  # for one of them: the lane is not idle meanwhile
# Without a proof of key and route while orders rest that nobody pulls: a window of the rate limit (60 s), and some
# reads after it. In an outage they are being pulled.
PROOF_SECONDS_MAX: Final = 90.0
PULL_SECONDS_MAX: Final = 900.0  # in vain; then the guard tries, from a process of its own
EMPTY_BODY: Final = b"{}"


class Said(enum.IntEnum):
    """What came of a request. Of several attempts at the same one the greatest counts."""

    UNSENT = 0  # not a byte of it left
    LOST = 1  # no answer, or none that is HTTP
    FAILED = 2  # a server error, a redirect
    REFUSED = 3  # this request; the next may fare better
    FORBIDDEN = 4  # another connection or another call may fare better
    THROTTLED = 5  # only waiting helps
    DONE = 6


def verdict(status: int) -> Said:
    """Read an answer to a cancel-all: by its status alone, for what it did is read back."""
    if 200 <= status < 300:
        return Said.DONE
    if status == 429:
        return Said.THROTTLED
    if status in (401, 403):
        return Said.FORBIDDEN
    if status == 408:
        return Said.LOST  # to a connection that was idle for too long: no answer to what crossed with it
    return Said.REFUSED if 400 <= status < 500 else Said.FAILED


@attrs.define
class Panic:
    """Two lanes that carry nothing but cancels and the reads that prove them. They share nothing with quoting."""

    lanes: tuple[Lane, Lane]
    on_answer: Callable[[Answer], None] = lambda _answer: None  # rate-limit headers are seen here too
    on_warmed: Callable[[], None] = lambda: None  # `keep_warm` turns, and what may rest can be pulled
    on_orders: Callable[[tuple[OrderSeen, ...]], None] = lambda _orders: None  # what rests, as these reads show it
    budget: Budget | None = None  # told of what leaves, before any answer; None: nobody quotes beside us
    clock: Callable[[], float] = boot_seconds  # of the budget
    wall: Callable[[], float] = time.time  # for answers that state a date
    routes: Routes = attrs.field()
    request: bytes = attrs.field(init=False, repr=False)  # the prebuilt cancel-all: it carries the key
    fired: Lane | None = None  # the lane whose answer to a fired cancel-all is still to be read
    fired_at: float = 0.0  # the loop's clock
    cancels_sent: int = 0
    warming: trio.CancelScope | None = None  # of the read under way that keeps a lane warm
    resting: int | None = None  # orders seen by the last read back that was answered
    seen: tuple[OrderSeen, ...] | None = None  # by the last read back; None: it got no answer
    proved_at: float = -math.inf  # the loop's clock: when these lanes last were answered with a success, or pulled
    pulling_since: float | None = None  # the loop's clock: since then nothing was read back empty; None: it was
    emptied_at: float | None = None  # `wall`: when the exchange was last verified empty
    failed_rounds: int = 0  # unscoped, in a row
    throttled_seconds: float = 0.0  # what the last 429 asked for
    trouble: Exception | None = None  # the first error of our own bookkeeping: told once the exchange reads empty

    @routes.default
    def unknown_account(self) -> Routes:
        """Whose markets nobody told: what a read back names is all there is to scope by."""
        return Routes(self.lanes[0].build)

    def __attrs_post_init__(self) -> None:
        self.request = self.lanes[0].build("POST", ocx.CANCEL_ALL, EMPTY_BODY)

    def use(self, headers: Mapping[str, str]) -> None:
        """Send these headers on both lanes from now on, the prebuilt cancel-all included."""
        for lane in self.lanes:
            lane.use(headers)
        self.request = self.lanes[0].build("POST", ocx.CANCEL_ALL, EMPTY_BODY)

    # -- one request --------------------------------------------------------------------------------------------------

    def fire(self) -> bool:
        """Send cancel-all without waiting, on whichever lane is warm and idle; False when none is."""
        for lane in self.lanes:
            if self.send(lane, self.request):
                self.fired, self.fired_at = lane, trio.current_time()
                return True
        return False

    def send(self, lane: Lane, request: bytes) -> bool:
        """Send without waiting, and count it; False when not a byte left."""
        if not lane.send_bytes_nowait(request):
            return False
        self.cancels_sent += 1
        if self.budget is not None:
            self.budget.cancel_spent(self.clock())
        return True

    async def call(self, lane: Lane, request: bytes) -> Answer:
        """Send on a lane and return the answer. Raises what `Lane.call` raises."""
        await self.put(lane, request)
        return await self.take(lane)

    async def put(self, lane: Lane, request: bytes) -> None:
        """Send on a lane, unless it was fired there before. Raises NotSent."""
        if self.fired is lane and request is self.request:
            self.fired = None
            return
        await lane.connect()
        if not self.send(lane, request):
            raise NotSent(f"lane {lane.name}: the connection took no byte")

    async def take(self, lane: Lane) -> Answer:
        """The answer to what was put there. Raises what `Lane.answer` raises."""
        answer = await lane.answer()
        self.prove(answer)
        try:
            self.learn(answer)
        except Exception as error:  # noqa: BLE001 - figures, and no reason to leave quotes resting: `halt` raises it
            self.trouble = self.trouble or error
        return answer

    def prove(self, answer: Answer) -> None:
        """A success proves key and route."""
        if verdict(answer.status) is Said.DONE:
            self.proved_at = trio.current_time()

    def learn(self, answer: Answer) -> None:
        """Note what an answer says of the rate limit."""
        if answer.status == 429:
            self.throttled_seconds = limits.wait_seconds(answer.headers, answer.body, self.wall())
            if self.budget is not None:
                self.budget.throttled(self.throttled_seconds, self.clock())
        self.on_answer(answer)

    async def ask(self, request: Request, lane: Lane) -> Said:
        """One attempt at one request on one lane, within its time."""
        said = Said.UNSENT
        with trio.move_on_after(ATTEMPT_SECONDS_MAX):
            try:
                await self.put(lane, request())
                said = Said.LOST
                said = verdict((await self.take(lane)).status)
            except (NotSent, OutcomeUnknown, trio.BusyResourceError):
                return said
            if said is Said.FORBIDDEN:
                lane.close()  # the next attempt comes by a connection that nobody has an opinion of
        return said

    async def hedged(self, attempt_on: Callable[[Lane], Awaitable[Said]], *, insist: bool = True) -> Said:
        """Attempt on one lane, after a moment on the other too; at once where the first failed.

        What was answered badly is attempted on the other lane only if we `insist`; what was throttled, never.
        """
        first, second = self.lanes
        if self.fired is second:
            first, second = second, first
        said = [Said.UNSENT]
        failed = trio.Event()

        async def attempt(lane: Lane, after_seconds: float) -> None:
            with trio.move_on_after(after_seconds):
                await failed.wait()
            if Said.THROTTLED in said:
                return
            one = await attempt_on(lane)
            said.append(one)
            if one is Said.DONE or not (insist or one <= Said.LOST):
                nursery.cancel_scope.cancel(reason="one attempt was answered")
            failed.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt, first, 0.0)
            nursery.start_soon(attempt, second, HEDGE_SECONDS)
        return max(said)

    # -- pulling ------------------------------------------------------------------------------------------------------

    async def cancel_all(self, *, in_vain: bool = False) -> float:
        """Return once everything is acknowledged as cancelled: when that request began, on the loop's clock.

        `in_vain`: it was acknowledged before, and orders rest; so the other routes follow. Bounded by the caller.
        """
        if self.warming is not None:
            self.warming.cancel(reason="the lane is needed")
        pause = RETRY_SECONDS_MIN
        self.pulling_since = trio.current_time() if self.pulling_since is None else self.pulling_since
        while True:
            if trio.current_time() - self.pulling_since < PULL_SECONDS_MAX:
                self.proved_at = trio.current_time()  # a pull that goes on says by itself whether it can
            began = trio.current_time() if self.fired is None else self.fired_at
            said = await self.hedged(partial(self.ask, lambda: self.request))
            if said is Said.DONE:
                self.failed_rounds = 0
                if in_vain:
                    await self.other_routes()
                return began
            if said not in (Said.THROTTLED, Said.UNSENT):  # other requests would leave no sooner than this one
                self.failed_rounds += 1
                if self.failed_rounds % UNSCOPED_ROUNDS == 0:
                    said = await self.other_routes()
                    if said is Said.DONE:
                        self.failed_rounds = UNSCOPED_ROUNDS - 1  # one more that fails, and what worked is next
                        return began
            await self.wait(pause, said)
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    async def wait(self, seconds: float, said: Said) -> None:
        """Wait before the next round: as a 429 asks, yet with time for one last try, for it may have asked too much."""
        if said is Said.THROTTLED:
            seconds = max(seconds, self.throttled_seconds)
            left = trio.current_effective_deadline() - trio.current_time() - LAST_TRY_SECONDS
            if RETRY_SECONDS_MIN < left < seconds:
                seconds = left
        await trio.sleep(seconds)

    async def other_routes(self) -> Said:
        """One round of them, read back after each, until nothing is left. DONE: one was acknowledged whole."""
        best = Said.LOST
        for route in self.routes.rounds():
            requests, whole = route(self.seen)
            said = await self.each(requests)
            if said is Said.THROTTLED:
                return said
            resting = await self.read_back()
            if said is Said.DONE and whole:
                best = said
                if not resting:
                    break
            await trio.sleep(RETRY_SECONDS_MIN)
        return best

    async def each(self, requests: list[Request]) -> Said:
        """One after the other; DONE when all are, and given up where the rest would fare no better."""
        worst = Said.DONE if requests else Said.LOST
        for request in requests:
            said = Said.LOST
            with trio.move_on_after(SCOPED_SECONDS_MAX):
                said = await self.hedged(partial(self.ask, request), insist=False)
            if said not in (Said.DONE, Said.REFUSED):
                return said
            worst = min(worst, said)
        return worst

    # -- reading back -------------------------------------------------------------------------------------------------

    async def read_back(self) -> int | None:
        """Count the account's open orders; None when there was no answer to believe."""
        lists: list[tuple[OrderSeen, ...]] = []

        async def read(lane: Lane) -> Said:
            with trio.move_on_after(ATTEMPT_SECONDS_MAX), suppress(*UNBELIEVABLE):
                answer = await lane.call("GET", ocx.ORDERS)
                self.prove(answer)
                if answer.status == 200:
                    lists.append(open_orders(answer.body))
                    return Said.DONE
            return Said.LOST

        self.seen = None
        await self.hedged(read)
        if not lists:
            return None
        self.seen = max(lists, key=len)  # two answers in the same instant: what only one shows may rest
        self.resting = len(self.seen)
        return self.resting

    async def verified_empty(self) -> bool:
        """Whether two reads, a moment apart, both show nothing resting."""
        if await self.read_back() != 0:
            return False
        await trio.sleep(READ_GAP_SECONDS)
        if await self.read_back() != 0:
            return False
        self.emptied_at, self.pulling_since = self.wall(), None
        return True

    def forget(self) -> None:
        """What an earlier halt read says nothing about now."""
        self.resting = self.seen = None

    # -- between halts ------------------------------------------------------------------------------------------------

    async def keep_warm(self) -> None:
        """Prove key and route again and again, one lane after the other, so that one is always idle."""
        self.proved_at = max(self.proved_at, trio.current_time())  # the start has a deadline of its own
        while True:
            for lane in self.lanes:
                with (
                    trio.move_on_after(WARM_READ_SECONDS_MAX) as self.warming,
                    suppress(NotSent, OutcomeUnknown, trio.BusyResourceError),
                ):
                    answer = await lane.call("GET", ocx.ORDERS)  # a lane that fails closes itself and is dialled anew
                    self.prove(answer)
                    if answer.status == 200:
                        with suppress(ValueError):
                            self.on_orders(open_orders(answer.body))
                self.warming = None
                if trio.current_time() - self.proved_at < PROOF_SECONDS_MAX or not any(self.routes.may_rest()):
                    self.on_warmed()
                await trio.sleep(WARM_SECONDS / len(self.lanes))

    def close(self) -> None:
        for lane in self.lanes:
            lane.close()


UNBELIEVABLE: Final = (NotSent, OutcomeUnknown, trio.BusyResourceError, ValueError)  # of a read: no answer to count
