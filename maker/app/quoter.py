"""The one quoting cycle: ask the engine, do what it says, tell it what came of it. The only writer of ladders.

Between the engine's decision and the bytes on the wire nothing is awaited: the freshness that `decide` checked is the
freshness of what is sent. After a trip the cycle performs the halt, reads the account back, waits a random moment and
lets the engine quote again.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

import attrs
import trio

from maker.app.config import Halt
from maker.app.feeds import Inlet
from maker.app.halt import HaltReport, Switch, halt
from maker.app.reading import AccountReader
from maker.app.record import Recorder
from maker.app.reload import Prepared
from maker.app.watches import QUOTING, Pulse
from maker.desk.deadman import Reason, Trip
from maker.desk.engine import Engine
from maker.desk.events import (
    LadderRefused,
    LadderUnknown,
    LadderUnsent,
    MarketSpec,
    OrderSeen,
    PlaceLadder,
    ReadAccount,
    ReadEmpty,
    ReadOrders,
    Wait,
)
from maker.edge.answer import Answer
from maker.edge.lane import Lane, NotSent, boot_seconds
from maker.errors import OcxError, OutcomeUnknown, Unauthorized
from maker.wire import limits, ocx, orders

RETRY_SECONDS: Final = 0.25  # after a failed read or connection
FAILURES_MAX: Final = 3  # in a row: pull
PAUSE_SECONDS_MAX: Final = 0.05  # between decision and bytes; more means that this process was stopped in between (H21)
CONNECT_SECONDS_MAX: Final = 3.0
RESUME_SECONDS_MIN: Final = 0.2  # after a pull, before quoting again
RESUME_SECONDS_MAX: Final = 1.0
FLAP_SECONDS: Final = 60.0  # more pulls than this many within this time: something flaps, and each pull costs a token
FLAP_PULLS_MAX: Final = 5
FLAP_PAUSE_SECONDS_MAX: Final = 30.0  # doubled with each further pull, to this: we are back within a minute (L2)
ACCOUNT_SECONDS_MAX: Final = 15.0  # four reads, each within 3 s; then from the beginning
SLACK_SECONDS: Final = 1.0  # on top of a bounded piece of work, before the cycle counts as hung


@attrs.define
class Quoter:
    """What the quoting cycle holds."""

    engine: Engine
    switch: Switch
    lane: Lane
    reader: AccountReader
    recorder: Recorder
    specs: Mapping[str, MarketSpec]
    halt_settings: Halt
    random: random.Random
    on_answer: Callable[[Answer], None]
    now: Callable[[], float] = boot_seconds  # seconds of CLOCK_BOOTTIME
    inlet: Inlet = attrs.field(init=False)
    woken: trio.Event = attrs.field(factory=trio.Event)
    failures: int = 0  # in a row, of calls beside the ladders
    pulse: Pulse = attrs.field(factory=Pulse)
    leave: Callable[[Trip], None] = lambda _trip: None
    pulled_at: deque[float] = attrs.field(factory=deque)  # the loop's clock: pulls of the last minute
    strays: set[str] = attrs.field(factory=set)  # orders of our prefix that the last such read showed and nobody knows
    change: Prepared | None = None  # of parameters or key, to be applied between two turns
    apply: Callable[[Prepared], Trip | None] = lambda _change: None

    def __attrs_post_init__(self) -> None:
        self.inlet = Inlet(
            self.engine, self.switch, self.recorder, self.now, self.wake, self.leave, self.pulse.unsteady
        )
        self.switch.wake = self.wake

    def wake(self) -> None:
        """Something happened: look again."""
        self.woken.set()

    def look_for_strangers(self, orders: tuple[OrderSeen, ...]) -> None:
        """Pull for orders that are not ours (H28): the reads that keep the panic lanes warm show all that rests.

        After a pull whatever rests is strange: `recover` pulls again before it quotes, and no end calls that empty.
        Orders of our prefix that the desk does not know, of a run before or by an answer that was not true, are read
        back when two of these reads in a row show them. A name comes up before its ladder leaves and is given up only
        once the order is gone, and never comes up again: one read may be older than that. The next was asked for after
        the first was looked at, when the name was given up already: what it shows is there.
        """
        latched, is_ours = self.switch.latched, self.engine.identity.is_ours
        strays = set[str]() if latched else self.engine.strays(orders)
        again, self.strays = strays & self.strays, strays
        if again:
            for market in self.engine.markets.values():
                market.orders_known = False
            self.wake()
        strange = [one for one in orders if latched or not is_ours(one.client_order_id)]
        if not strange:
            return
        names = ", ".join(f"{one.market_id} {one.client_order_id or one.order_id}" for one in strange[:3])
        if latched:
            self.engine.seen_resting, self.engine.seen_after = names, self.switch.panic.emptied_at
            return
        trip = self.engine.trip(Reason.ORDERS_DISAGREE, names, exposed=True)
        if trip is not None:
            self.inlet.pull(trip)
            self.recorder.tripped(trip)

    async def run(self) -> NoReturn:
        """Quote until cancelled. Raises Unauthorized; everything else the exchange may do is handled."""
        while True:
            # A ladder's answer is awaited behind a shield: once we are cancelled, no other ladder may follow it.
            await trio.lowlevel.checkpoint_if_cancelled()
            await self.step()

    async def step(self) -> None:
        """One turn of the cycle."""
        self.pulse.check_in(QUOTING)
        if self.change is not None and not self.switch.latched:
            self.begin_change(self.change)
        if self.switch.latched:
            await self.recover()
            return
        if not self.lane.ready and not await self.connected():
            return
        self.woken = trio.Event()
        if self.inlet.watch() or self.switch.latched:  # it may have tripped while we were connecting
            return
        decided_at = self.now()
        action = self.engine.decide(decided_at)
        match action:
            case PlaceLadder():
                await self.place(action, decided_at)
            case ReadOrders():
                await self.read_orders()
            case ReadAccount():
                self.recorder.states(self.now())
                await self.read_account()
            case Wait(seconds=seconds):
                self.recorder.states(self.now())
                with trio.move_on_after(seconds):
                    await self.woken.wait()

    # -- other parameters, another key

    def hand_over(self, change: Prepared) -> None:
        """Take a change, to be applied as soon as no turn is under way."""
        self.change = change
        self.wake()

    def withdraw(self, change: Prepared) -> bool:
        """Take a change back; False: it was applied, or never came here."""
        if self.change is not change:
            return False
        self.change = None
        return True

    def begin_change(self, change: Prepared) -> None:
        """Apply a change now, or pull for it: a key is changed while nothing rests."""
        if change.new_key is None:
            self.perform_change(change)
            return
        trip = self.engine.trip(Reason.KEY_CHANGED, "", exposed=True)
        if trip is not None:
            self.inlet.pull(trip)
            self.recorder.tripped(trip)

    def perform_change(self, change: Prepared) -> None:
        """Apply a change, all of it in this one call, and pull what its limits do not allow to rest."""
        self.change = None
        trip = self.apply(change)
        if trip is not None:
            self.inlet.pull(trip)
            change.pulled = f"quotes were pulled: {trip.sentence}"
            self.recorder.tripped(trip)
        self.recorder.reloaded(change.reading.sha256, change.changes, change.sentence)
        change.done.set()

    async def connected(self) -> bool:
        """Have the lane warm before deciding: dialling between decision and bytes would send a stale ladder."""
        with trio.move_on_after(CONNECT_SECONDS_MAX):
            try:
                await self.lane.connect()
            except NotSent as error:
                await self.failing(f"the quoting lane cannot connect: {error}")
                return False
            self.failures = 0
            return True
        await self.failing("the quoting lane cannot connect in time")
        return False

    async def failing(self, detail: str) -> None:
        """A call beside the ladders failed: pause; repeatedly, pull, for quotes that cannot be moved are left alone."""
        self.failures += 1
        if self.failures >= FAILURES_MAX:
            self.failures = 0
            self.inlet.pull_for(Reason.ORDERS_FAILING, detail)
        await trio.sleep(RETRY_SECONDS)

    async def place(self, action: PlaceLadder, decided_at: float) -> None:
        """Send one ladder and book its outcome. No await before the bytes are handed to the kernel."""
        spec = self.specs[action.market_id]
        request = self.lane.build("POST", ocx.QUOTES_BULK, orders.ladder_body(spec, action))
        self.recorder.ladder_intended(action)
        self.pulse.check_in(QUOTING, self.halt_settings.write_seconds_max + SLACK_SECONDS)
        began = self.now()
        with self.switch.writing(self.halt_settings.write_seconds_max):
            outcome: orders.LadderOutcome = LadderUnknown(action.market_id, action.quote_id, "no answer in time")
            if began - decided_at > PAUSE_SECONDS_MAX or not self.lane.send_bytes_nowait(request):
                paused = began - decided_at > PAUSE_SECONDS_MAX
                why = "this process stood still after deciding" if paused else "the quoting lane was not ready"
                unsent = LadderUnsent(action.market_id, action.quote_id, why)
                self.inlet.deliver(unsent)
                self.recorder.ladder_ended(action, unsent, 0.0)
                return
            try:
                answer = await self.lane.answer()
                outcome = self.outcome(action, answer)
            except OutcomeUnknown as error:
                outcome = LadderUnknown(action.market_id, action.quote_id, str(error))
            except Unauthorized as error:  # known not applied: the way out needs no tail
                outcome = LadderRefused(action.market_id, action.quote_id, error.status, error.code, error.message)
                raise
            finally:
                # Also when the deadline cut the wait short: the lane has closed itself, the outcome is unknown.
                if isinstance(outcome, LadderUnknown):
                    self.switch.answer_lost()
                self.inlet.deliver(outcome)
        self.recorder.ladder_ended(action, outcome, self.now() - began)

    async def read_orders(self) -> None:
        """Read what rests; failing repeatedly, pull: quotes we know nothing of must not be left alone."""
        try:
            read = await self.reader.open_orders()
        except Unauthorized:
            raise
        except (OcxError, ValueError) as error:
            await self.failing(f"open orders cannot be read: {error}")
            return
        self.failures = 0
        self.inlet.deliver(read)

    async def read_account(self) -> None:
        """Read positions, trades and balance together; give up after a while, for whoever asked to ask again."""
        self.pulse.check_in(QUOTING, ACCOUNT_SECONDS_MAX + SLACK_SECONDS)
        with trio.move_on_after(ACCOUNT_SECONDS_MAX):
            self.inlet.deliver(await self.reader.whole())

    async def recover(self) -> None:
        """After a recoverable trip: halt, read back, wait a random moment, quote again.

        From the beginning when an order was seen meanwhile: then the exchange is no longer as it was read back.
        """
        await self.pulled()
        while self.engine.seen_resting and not self.switch.final:
            seen = self.engine.seen_resting
            sentence = f"seen after the exchange was read back empty: {seen}: everything is pulled again"
            self.recorder.state("maker", "not empty", sentence, alarming=True)
            await self.pulled()
        if self.switch.final:
            return
        self.engine.resume()
        self.switch.rearm()
        self.recorder.info("resumed", "quotes may be placed again once every input is consistent")

    async def pulled(self) -> None:
        """Halt, read back empty, read the account.

        Each piece is bounded and tried again, so that a hung one is told from an exchange that is away.
        """
        report = HaltReport()
        while not report.verified_empty:
            self.pulse.check_in(QUOTING, self.halt_settings.halt_seconds_max + SLACK_SECONDS)
            with trio.move_on_after(self.halt_settings.halt_seconds_max):
                await halt(self.switch, self.halt_settings.tail_seconds_max, report)
        self.engine.seen_resting = ""
        self.recorder.halted(report)
        self.engine.account_read_due = self.engine.account_read_due or "quotes were pulled"
        self.inlet.deliver(ReadEmpty())
        if self.change is not None:
            self.perform_change(self.change)
        await self.pause_if_flapping()
        # Again when a stream broke meanwhile, or when a position is not explained yet: the read was not the last word.
        while self.engine.account_read_due and not self.switch.final:
            await self.read_account()
            self.pulse.check_in(QUOTING)
            await trio.sleep(self.random.uniform(RESUME_SECONDS_MIN, RESUME_SECONDS_MAX))

    async def pause_if_flapping(self) -> None:
        """Wait longer with each pull too many within a minute, jittered."""
        now = trio.current_time()
        self.pulled_at.append(now)
        while self.pulled_at[0] < now - FLAP_SECONDS:
            self.pulled_at.popleft()
        too_many = len(self.pulled_at) - FLAP_PULLS_MAX
        if too_many <= 0:
            return
        longest = min(FLAP_PAUSE_SECONDS_MAX, RESUME_SECONDS_MAX * 2**too_many)
        seconds = self.random.uniform(longest / 2, longest)
        sentence = f"{len(self.pulled_at)} pulls within {FLAP_SECONDS:.0f} s: pausing for {seconds:.1f} s"
        self.recorder.state("maker", "flapping", sentence)
        self.pulse.check_in(QUOTING, seconds + SLACK_SECONDS)
        await trio.sleep(seconds)

    def outcome(self, action: PlaceLadder, answer: Answer) -> orders.LadderOutcome:
        """Read an answer to a ladder. Raises Unauthorized."""
        self.on_answer(answer)
        wait_seconds = limits.wait_seconds(answer.headers, answer.body, self.pulse.wall())
        return orders.ladder_outcome(action, answer.status, answer.body, wait_seconds)
