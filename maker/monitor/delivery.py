"""Telling the targets: a worker each, so that one which hangs holds up no other.

    delivery = Delivery(targets, sender, wall)
    delivery.put(notice)            # never waits, never raises
    await delivery.run(ending)      # until told to end, and nothing is on its way any more

A try has one deadline for everything, from the look-up of the name to the answer. What is not known to have arrived is
sent again, so that a notice may arrive twice and is not lost; its id is the same each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NoReturn, Protocol

import attrs
import trio

from maker.app import alert_config
from maker.app.alert_config import Severity
from maker.edge.lane import NotSent
from maker.edge.notice import Reply
from maker.errors import OutcomeUnknown
from maker.monitor.messages import Sender, body
from maker.monitor.outbox import Outbox
from maker.monitor.standing import Notice

SEND_SECONDS_MAX: Final = 10.0  # one try: name, connection, TLS, answer
SETTLE_SECONDS: Final = 0.05  # between two looks whether all is told, at the end
DAY_MINUTES: Final = 24 * 60


class Door(Protocol):
    """What sends: `maker.edge.notice.Post`, or a test's."""

    async def send(self, body: bytes, now_unix: float) -> Reply:
        """Send a JSON body. Raises NotSent, OutcomeUnknown."""


@attrs.frozen
class Quiet:
    """When what only informs is held back: minutes of the day, UTC; it may go over midnight."""

    begin: int
    end: int

    @classmethod
    def of(cls, alerts: alert_config.Alerts) -> Quiet | None:
        """Take it from the configuration; None: never."""
        if not alerts.quiet_from:
            return None
        return cls(minute_of(alerts.quiet_from), minute_of(alerts.quiet_to))

    def seconds_left(self, now_unix: float) -> float:
        """For how long it is still quiet; 0: it is not."""
        moment = datetime.fromtimestamp(now_unix, UTC)
        minute = moment.hour * 60 + moment.minute + (moment.second + moment.microsecond / 1e6) / 60
        since, lasts = (minute - self.begin) % DAY_MINUTES, (self.end - self.begin) % DAY_MINUTES
        return (lasts - since) * 60 if since < lasts else 0.0


def minute_of(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


@attrs.define(eq=False)
class Told:
    """One target: what it wants, how to reach it, and what waits."""

    wants: alert_config.Target
    door: Door = attrs.field(repr=False)
    outbox: Outbox = attrs.field(factory=Outbox)
    stirred: trio.Event = attrs.field(factory=trio.Event)
    is_sending: bool = False

    def has_work(self, now: float) -> bool:
        """Whether a notice is on its way, or may leave at once; one that must wait is no work."""
        return self.is_sending or self.outbox.wakes_at(now) <= now


@attrs.define(eq=False)
class Delivery:
    """All targets."""

    targets: tuple[Told, ...]
    sender: Sender
    wall: Callable[[], float]  # unix seconds
    quiet: Quiet | None = None
    jitter: Callable[[], float] = random.random
    broken: Mapping[str, str] = attrs.field(factory=dict)  # targets that are not to be reached at all, and why

    def put(self, notice: Notice) -> None:
        """Tell everybody who wants to know, but for a target that it says cannot be told."""
        now = trio.current_time()
        held = 0.0
        if self.quiet is not None and notice.severity is Severity.INFO and notice.phase != "test":
            held = self.quiet.seconds_left(self.wall())
        for one in self.targets:
            about_itself = notice.name == "alert_path_fails" and notice.subject == one.wants.name
            if one.wants.takes(notice.severity) and not about_itself:
                one.outbox.put(notice, now, now + held)
                one.stirred.set()

    def results(self, notice_id: str) -> Mapping[str, bool | None]:
        """What came of a notice: target -> told, None where it is not known yet."""
        return {
            one.wants.name: one.outbox.results[notice_id] for one in self.targets if notice_id in one.outbox.results
        }

    def is_delivered(self, notice_id: str) -> bool | None:
        """True: somebody was told. False: nobody was, and it was given up. None: not known yet, or nobody is asked."""
        results = set(self.results(notice_id).values())
        return True if True in results else False if results == {False} else None

    def failing(self) -> dict[str, str]:
        """The targets in trouble, and why."""
        return {**self.broken, **{one.wants.name: one.outbox.trouble for one in self.targets if one.outbox.trouble}}

    async def run(self, ending: trio.Event) -> None:
        """Tell until `ending`, and then until nothing is left that could be told now."""
        async with trio.open_nursery() as nursery:
            for one in self.targets:
                nursery.start_soon(self.tell, one)
            await ending.wait()
            while any(one.has_work(trio.current_time()) for one in self.targets):  # noqa: ASYNC110 - a moment, at the end
                await trio.sleep(SETTLE_SECONDS)
            nursery.cancel_scope.cancel(reason="everything is told")

    async def tell(self, one: Told) -> NoReturn:
        """Tell one target, one notice at a time."""
        while True:
            now = trio.current_time()
            waiting = one.outbox.due(now)
            if waiting is None:
                one.stirred = trio.Event()
                with trio.move_on_at(one.outbox.wakes_at(now)):
                    await one.stirred.wait()
                continue
            message = body(waiting.notice, self.sender, one.wants.kind, one.wants.chat)
            problem, reply = f"no answer within {SEND_SECONDS_MAX:.0f} s", None
            one.is_sending = True
            with trio.move_on_after(SEND_SECONDS_MAX):
                try:
                    reply = await one.door.send(message, self.wall())
                except (NotSent, OutcomeUnknown) as error:
                    problem = str(error)
            one.is_sending, now = False, trio.current_time()
            if reply is None:
                one.outbox.failed(problem, now, self.jitter())
            elif waiting in one.outbox.waiting:  # else it was given up meanwhile, for want of room
                one.outbox.answered(waiting, reply, now, self.jitter())
