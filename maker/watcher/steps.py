"""What a watcher does next: look; pull what has been left, and read back; wait. Generators: no socket, no clock here.

    start     a read proves key and route; a cancel-all whose scope fits no order proves that the key may cancel
    look      one read each `poll_seconds`; doubled pauses with jitter after trouble, a minute while the key is refused
    pull      an order of ours is older than any working maker lets one become: cancel-all, unscoped, then two reads
              that show none of the old ones; by market, by order, by empty ladders where that has no effect
    repeat    as long as that stays true; nothing but being told to stop ends it
    last look when told to: a read, and a pull if it must be

Whoever carries the steps out makes the calls, waits the pauses (being told to stop ends one), and tells the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from maker.guard.exchange import (
    ASKED_SECONDS_MAX,
    CALL_SECONDS_MAX,
    CANCEL_ALL,
    LOOK_UP_SECONDS_MAX,
    READ_GAP_SECONDS,
    Call,
    NoAnswer,
    Steps,
    other_routes,
    reading,
)
from maker.launch.account import Stopped
from maker.watcher.ages import AHEAD_TELL_SECONDS, Ages, Order
from maker.watcher.bounds import Bounds

CLEAN, UNVERIFIED, CREDENTIALS = 0, 75, 77  # as maker.errors.ExitCode
DENIALS = (401, 403, 409)  # for the key's sake; 409: it was revoked
DENIED_MAX = 3  # in a row, before the first read that was answered: the key is no good
PROVE_SECONDS = 60.0  # between two tries to find out whether the key may cancel
DENIED_SECONDS = 60.0  # between two tries of a key that was good once: never spin
TROUBLE_SECONDS_MAX = 15.0  # the longest pause after trouble, unless poll_seconds is longer
PULL_SECONDS_MIN = 1.0  # between two pulls in vain, doubled to the above: eight cancel-alls a minute at the most
READ_SECONDS_MAX = LOOK_UP_SECONDS_MAX + 2 * CALL_SECONDS_MAX  # a read that took longer says nothing of now
TELL_SECONDS = 300.0  # between two lines that say the same, "alive" among them
LAST_LOOKS = 2  # when told to stop


class Ended(NamedTuple):
    """How watching ended."""

    exit_code: int
    sentence: str


class Say(Protocol):
    """Tell one line of log."""

    def __call__(self, event: str, sentence: str, *, level: str = "info") -> None: ...


class Watcher:
    """One account's. `now` counts seconds of CLOCK_BOOTTIME, `random` gives 0 to 1, `date` the last answer's `Date`."""

    def __init__(
        self,
        bounds: Bounds,
        prefix: str,
        *,
        now: Callable[[], float],
        random: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        date: Callable[[], str],
        told: Callable[[], bool],
        say: Say,
        renew: Callable[[], bool] = lambda: False,
    ) -> None:
        self.bounds, self.prefix = bounds, prefix
        self.now, self.random, self.random_bytes, self.date = now, random, random_bytes, date
        self.told = told  # to stop
        self.say = say
        self.renew = renew  # read the key anew, and say whether it is another one
        self.ages = Ages(prefix)
        self.accepted = False  # the key read, once
        self.may_cancel = False  # the key is known to be allowed to
        self.denied = 0  # in a row
        self.failures = self.vain = 0  # in a row, of reads and of pulls
        self.asked_seconds = 0.0  # the wait that the exchange asked for at the last pull
        self.prove_at = 0.0  # when to try next whether the key may cancel
        self.blind = False  # old orders were seen, and no cancel-all has been acknowledged since
        self.left: list[Order] = []  # old orders not read back gone yet
        self.pulls = self.reads = 0  # pulls that were read back; reads that were answered
        self.pulled_at = 0.0  # the last such pull
        self.lines: dict[str, float] = {}  # when each kind of line was last told

    # -- the whole

    def run(self) -> Steps[Ended]:
        """Watch until told to stop. Raises Stopped, for a key that is refused at the start."""
        while not self.told():
            yield (yield from self.turn())
        return (yield from self.last_look())

    def turn(self) -> Steps[float]:
        """Look once, pull if it must be, and return how long to wait. Raises Stopped."""
        try:
            old = yield from self.look()
        except NoAnswer as problem:
            if self.blind:
                yield from self.pull()  # it was true when last seen: one acknowledged cancel-all is owed
            return self.pause_after(problem)
        if old:
            return self.bounds.poll_seconds if (yield from self.pull()) else self.pause_in_vain()
        if not self.may_cancel and self.now() >= self.prove_at:
            yield from self.prove()
        self.seldom("alive", self.sentence())
        return self.bounds.poll_seconds

    def last_look(self) -> Steps[Ended]:
        """Told to stop: say what is left, and whether that is known."""
        trouble = ""
        for _ in range(LAST_LOOKS):
            try:
                if (yield from self.look()) and not (yield from self.pull()):
                    trouble = "orders that are too old may rest"
                    continue
            except (NoAnswer, Stopped) as problem:
                trouble = f"nothing could be read ({problem})"
                continue
            ours = len(self.ages.orders)
            rest = f"{ours} orders of ours rest, and this host watches them no more" if ours else "none of ours rests"
            return Ended(CLEAN, f"Stopped as asked; by a last look no order of ours is too old: {rest}.")
        return Ended(UNVERIFIED, f"Stopped as asked, and QUOTES MAY REST that are too old: {trouble}.")

    # -- looking

    def look(self) -> Steps[bool]:
        """Read what rests, and say whether something of ours is too old. Raises NoAnswer, and Stopped at the start."""
        asked = self.now()
        try:
            rows = yield from reading()
        except NoAnswer as problem:
            if problem.status in DENIALS:
                self.refused(problem)
            raise
        if self.now() - asked > READ_SECONDS_MAX:  # asleep, or stopped: a maker has replaced since what was read before
            raise NoAnswer("this host stood still while it read")
        self.reads += 1
        complained = [self.lines.pop(event, None) for event in ("KEY REFUSED", "cannot look")]
        if complained != [None, None] or not self.accepted:
            self.say("reading", f"Open orders are read, every {self.bounds.poll_seconds:g} s.")
        self.accepted, self.denied, self.failures = True, 0, 0
        self.ages.saw(rows, asked, self.now(), self.date())
        if self.ages.ahead > AHEAD_TELL_SECONDS:
            self.seldom(
                "clocks",
                f"The exchange's Date runs {self.ages.ahead:.0f} s ahead of its createdAt: taken off every age.",
            )
        self.left = self.ages.older(self.bounds.age_seconds_max, self.now())
        self.blind = bool(self.left)
        return bool(self.left)

    def prove(self) -> Steps[None]:
        """Cancel what does not exist: whether the key may. Raises Stopped.

        ASSUMED: a cancel-all whose scope fits nothing cancels nothing. It costs one order request, once.
        """
        nobody = f"{self.prefix}-watch-{self.random_bytes(8).hex()}"
        try:
            yield Call("POST", CANCEL_ALL, {"clientOrderId": nobody})
        except NoAnswer as problem:
            if problem.status in (401, 403):
                sentence = (
                    f"the exchange lets the key read and answers {problem.status} to cancel-all: it has the scope "
                    "'read', it seems. A watcher needs one of scope 'trade', to pull with."
                )
                raise Stopped(CREDENTIALS, sentence) from None
            if problem.status in (0, 429) or problem.status >= 500:
                self.prove_at = self.now() + PROVE_SECONDS
                sentence = f"Whether the key may cancel is not known yet: {problem}."
                self.seldom("not proven", sentence, level="warning")
                return
        self.may_cancel = True  # also by a 4xx that only says that there is no such order

    def refused(self, problem: NoAnswer) -> None:
        """Take note of a key that is refused. Raises Stopped while it was never accepted."""
        self.denied += 1
        if self.renew():
            self.denied = 0
            self.say("key", "The key's place holds another key now: it is tried.")
        elif not self.accepted and self.denied >= DENIED_MAX:
            raise Stopped(
                CREDENTIALS,
                f"{problem}: the key must have the scope 'trade', be allowed from this host's address, and be neither "
                "expired nor revoked.",
            )

    # -- pulling

    def pull(self) -> Steps[bool]:
        """Cancel everything, once, and read back; say whether none of the old orders rests any more."""
        if self.left:
            self.tell_old()
            self.blind = True
        trouble, self.asked_seconds = "", 0.0
        try:
            yield Call("POST", CANCEL_ALL, {})
            self.blind, self.may_cancel = False, True
            rows = yield from self.rest_of_them()
            if rows is None:
                trouble = "cancel-all was acknowledged and old orders rest"
                self.blind = not (yield from other_routes(self.random_bytes))
                rows = yield from self.rest_of_them()
        except NoAnswer as problem:
            rows, trouble, self.asked_seconds = None, str(problem), problem.wait_seconds
            if problem.status not in (0, 429):  # it answers, but not to this; at 429 only waiting helps
                rows = yield from self.by_other_routes()
        if rows is None:
            self.seldom("NOT VERIFIED", f"QUOTES MAY REST: {trouble}. Trying again.", level="error")
            return False
        self.pulls, self.pulled_at, self.left, self.blind, self.vain = self.pulls + 1, self.now(), [], False, 0
        for event in ("pulling", "NOT VERIFIED"):
            self.lines.pop(event, None)
        what = f"{rows} orders rest that were not old" if rows else "nothing rests on the account"
        self.say("pulled", f"Cancelled and read back twice: {what}.")
        return True

    def by_other_routes(self) -> Steps[int | None]:
        """Cancel in all other ways; return as `rest_of_them`."""
        try:
            if (yield from other_routes(self.random_bytes)):
                self.blind = False
            return (yield from self.rest_of_them())
        except NoAnswer:
            return None

    def rest_of_them(self) -> Steps[int | None]:
        """Return how many orders rest; None unless two reads, a moment apart, show none of the old. Raises NoAnswer."""
        old = {one.name for one in self.left}
        rows = yield from reading()
        if not any(row.get("clientOrderId") in old for row in rows):
            yield READ_GAP_SECONDS
            rows = yield from reading()
        return None if any(row.get("clientOrderId") in old for row in rows) else len(rows)

    def tell_old(self) -> None:
        """Say what is about to be pulled, and why."""
        first, now = self.left[0], self.now()
        sentence = (
            f"{len(self.left)} orders of ours are older than {self.bounds.age_seconds_max:g} s (the oldest "
            f"{self.ages.age(first, now):.0f} s: {first.name} on {first.market_id}): their maker has left them. "
            "Cancelling everything on the account"
        )
        if self.ages.foreign:
            sentence += f", {self.ages.foreign} orders that are not ours with them"
        if self.pulls and all(one.unseen >= self.pulled_at for one in self.left):
            sentence += (
                ". They came after the last pull, so a maker is at work: does its configuration let orders rest longer "
                "than this host's copy of it?"
            )
        self.seldom("pulling", sentence.rstrip(".") + ("" if sentence.endswith("?") else "."), level="warning")

    # -- pauses and lines

    def pause_after(self, problem: NoAnswer) -> float:
        """Say what kept us from looking, and return how long to wait."""
        if problem.status in DENIALS:
            if not self.accepted or not self.denied:
                return self.bounds.poll_seconds  # the start, or another key to try
            self.seldom(
                "KEY REFUSED",
                f"NOBODY WATCHES: {problem}, so the key has expired, was revoked, or is used from an address it is not "
                f"pinned to. Put a good one in its place. Trying again every {DENIED_SECONDS:g} s.",
                level="error",
            )
            return DENIED_SECONDS
        self.failures += 1
        self.seldom("cannot look", f"NOBODY WATCHES meanwhile: {problem}.", level="warning")
        return self.back_off(self.bounds.poll_seconds, self.failures - 1, problem.wait_seconds)

    def pause_in_vain(self) -> float:
        """Return how long to wait after a pull that was not read back."""
        self.vain += 1
        return self.back_off(PULL_SECONDS_MIN, self.vain - 1, self.asked_seconds)

    def back_off(self, first_seconds: float, before: int, asked_seconds: float) -> float:
        """Return a pause that doubles with each failure in a row before this one, half of it by chance."""
        pause = min(first_seconds * 2.0 ** min(before, 16), max(TROUBLE_SECONDS_MAX, self.bounds.poll_seconds))
        return max(pause * (0.5 + self.random() / 2), min(asked_seconds, ASKED_SECONDS_MAX))

    def sentence(self) -> str:
        """What is seen, in one line."""
        ages, limit = self.ages, self.bounds.age_seconds_max
        if not self.accepted:
            return "Nothing was read yet."
        foreign = f"; {ages.foreign} not ours" if ages.foreign else ""
        oldest = f", the oldest {ages.oldest(self.now()):.0f} s of {limit:g} s" if ages.orders else ""
        return f"{len(ages.orders)} orders of ours rest{oldest}{foreign}; pulled {self.pulls} times."

    def seldom(self, event: str, sentence: str, *, level: str = "info") -> None:
        """Say it, unless the same kind of line was told a moment ago."""
        now = self.now()
        if now - self.lines.get(event, -TELL_SECONDS) >= TELL_SECONDS:
            self.lines[event] = now
            self.say(event, sentence, level=level)
