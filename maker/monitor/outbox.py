"""What one target has yet to be told: what is next, when, and what came of it. Pure; times are seconds that only grow.

The worst goes first, among equals the oldest. A target that fails is tried again after a pause that doubles, with
jitter, the whole target and not each notice; what is critical shortens the pause, but never one that the target asked
for. A notice that the target refuses for itself, or that grew too old, is given up, and that shows. So does a queue
that overflows: then the least severe goes, of those the oldest.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from maker.app.alert_config import Severity
from maker.edge.notice import Reply
from maker.monitor.standing import Notice

WAITING_MAX: Final = 64  # an incident makes a dozen
RESULTS_MAX: Final = 512  # remembered, for the page
PAUSE_SECONDS: Final = 1.0  # after the first failure; doubles ...
PAUSE_SECONDS_MAX: Final = 300.0  # ... up to this ...
PAUSE_SECONDS_CRITICAL: Final = 30.0  # ... or this, while something critical waits
ASKED_SECONDS_MAX: Final = 3_600.0  # a target that asks for a longer pause is tried after this
FAILURES_TOLD: Final = 3  # in a row, some seconds: the target is in trouble
DOUBLINGS_MAX: Final = 16
LIFE_SECONDS: Final = {Severity.CRITICAL: 21_600.0, Severity.WARNING: 7_200.0, Severity.INFO: 7_200.0}
REFUSED: Final = (400, 413, 422)  # this message, not this sender: it would be refused again
SENTENCES: Final = {
    401: "it does not know our token",
    403: "it does not let us write there",
    404: "there is nothing at its address any more",
    410: "there is nothing at its address any more",
    429: "it is told too much at once",
}


@attrs.define(eq=False)
class Waiting:
    """One notice that has not been told."""

    notice: Notice
    order: int
    not_before: float
    until: float  # given up after this


@attrs.define(eq=False)
class Outbox:
    """One target's queue."""

    waiting: list[Waiting] = attrs.field(factory=list)
    results: dict[str, bool | None] = attrs.field(factory=dict)  # notice id -> told; None: not yet
    failures: int = 0  # in a row
    failed_at: float = -math.inf
    pause_seconds: float = 0.0  # from then on
    asked_until: float = -math.inf  # the target's own wish
    problem: str = ""  # why the last try failed; empty: it did not
    given_up: int = 0  # since the last success
    put_count: int = 0

    def put(self, notice: Notice, now: float, not_before: float = -math.inf) -> None:
        """Queue a notice, not to be told before a moment."""
        self.put_count += 1
        born = max(now, not_before)
        self.waiting.append(Waiting(notice, self.put_count, not_before, born + LIFE_SECONDS[notice.severity]))
        self.note(notice.notice_id, None)
        if len(self.waiting) > WAITING_MAX:
            least = min(self.waiting, key=lambda one: (one.notice.severity.rank, one.order))
            self.give_up(least, "too much waits to be told")

    def due(self, now: float) -> Waiting | None:
        """The notice to try now, if any."""
        for one in [one for one in self.waiting if now > one.until]:
            self.give_up(one, self.problem or "it was not told in time")
        ready = [one for one in self.waiting if one.not_before <= now]
        if not ready or now < self.opens_at(ready):
            return None
        return min(ready, key=urgency)

    def wakes_at(self, now: float) -> float:
        """When to ask `due` again, if nothing is put meanwhile; infinity: never."""
        if not self.waiting:
            return math.inf
        ready = [one for one in self.waiting if one.not_before <= now]
        at = self.opens_at(ready) if ready else math.inf
        later = min((one.not_before for one in self.waiting if one.not_before > now), default=math.inf)
        return min(at, later)

    def opens_at(self, ready: list[Waiting]) -> float:
        is_critical = any(one.notice.severity is Severity.CRITICAL for one in ready)
        pause = min(self.pause_seconds, PAUSE_SECONDS_CRITICAL) if is_critical else self.pause_seconds
        return max(self.asked_until, self.failed_at + pause)

    def answered(self, one: Waiting, reply: Reply, now: float, jitter: float) -> None:
        """Take up an answer; `jitter` is from 0 to below 1."""
        if reply.is_taken:
            self.waiting.remove(one)
            self.note(one.notice.notice_id, True)
            self.failures, self.given_up, self.pause_seconds, self.problem = 0, 0, 0.0, ""
            return
        problem = f"answers {reply.status}: {SENTENCES.get(reply.status, 'it does not take the message')}"
        if reply.status in REFUSED:
            self.give_up(one, problem)
        self.failed(problem, now, jitter)
        if reply.wait_seconds is not None:
            self.asked_until = now + min(reply.wait_seconds, ASKED_SECONDS_MAX)

    def failed(self, problem: str, now: float, jitter: float) -> None:
        """Take up that no answer came."""
        self.problem = problem
        pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2.0 ** min(self.failures, DOUBLINGS_MAX))
        self.failures, self.failed_at = self.failures + 1, now
        self.pause_seconds = pause * (0.5 + jitter / 2)

    def give_up(self, one: Waiting, problem: str) -> None:
        self.waiting.remove(one)
        self.note(one.notice.notice_id, False)
        self.problem, self.given_up = problem, self.given_up + 1

    def note(self, notice_id: str, told: bool | None) -> None:
        self.results[notice_id] = told
        while len(self.results) > RESULTS_MAX:
            del self.results[next(iter(self.results))]

    @property
    def trouble(self) -> str:
        """Why nobody can be told here; empty while all is well, or may be in a moment."""
        if self.given_up:
            return f"{self.problem}; {self.given_up} given up"
        return self.problem if self.failures >= FAILURES_TOLD else ""


def urgency(one: Waiting) -> tuple[int, int]:
    return -one.notice.severity.rank, one.order
