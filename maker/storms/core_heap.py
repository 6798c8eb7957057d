"""Virtual time for the core world: an event heap, and tasks that are generators. Nothing waits for a clock.

A task yields a `Nap`: how long it sleeps, and what may wake it before. Times are whole milliseconds, so that they add
up exactly; of two things due at the same one, the first planned comes first.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator
from typing import Final

import attrs

START_SECONDS: Final = 1000.0  # of our own clock, when the world begins: it does not begin at zero in life either
START_MS: Final = 1_700_000_000_000  # of the exchange's clock, unix


@attrs.frozen
class Nap:
    """Sleep so long, or until woken for this reason."""

    seconds: float
    until: str = ""  # "news" | "answer"; empty: nothing wakes it


Steps = Generator[Nap, None, None]


@attrs.define(eq=False)
class Heap:
    """What is to happen, and when."""

    ms: int = 0  # since the world's start
    planned: int = 0
    waiting: list[tuple[int, int, Callable[[], None]]] = attrs.field(factory=list)

    @property
    def now(self) -> float:
        """The maker's clock, seconds."""
        return START_SECONDS + self.ms / 1000

    @property
    def unix_ms(self) -> int:
        """The exchange's clock."""
        return START_MS + self.ms

    def after(self, seconds: float, do: Callable[[], None]) -> int:
        """Plan something, a millisecond from now at the earliest. Returns when, in milliseconds."""
        due = self.ms + max(1, math.ceil(seconds * 1000))
        self.planned += 1
        heapq.heappush(self.waiting, (due, self.planned, do))
        return due

    def at(self, due_ms: int, do: Callable[[], None]) -> None:
        """Plan something for a millisecond since the world's start; what is past happens next."""
        self.planned += 1
        heapq.heappush(self.waiting, (max(self.ms, due_ms), self.planned, do))

    def step(self, until_ms: int) -> bool:
        """Let the next thing happen; False when none is due by then."""
        if not self.waiting or self.waiting[0][0] > until_ms:
            self.ms = until_ms
            return False
        self.ms, _, do = heapq.heappop(self.waiting)
        do()
        return True


@attrs.define(eq=False)
class Task:
    """One generator, resumed when its nap is over or somebody wakes it."""

    heap: Heap
    steps: Steps
    nap: Nap | None = None
    turn: int = 0  # of the nap: one that was woken must not end twice

    def start(self) -> None:
        self.heap.after(0.0, lambda: self.resume(0))

    def wake(self, reason: str, seconds: float = 0.0) -> None:
        """End a nap that waits for this, in a moment of its own; what else comes by then changes nothing."""
        if self.nap is not None and self.nap.until == reason:
            self.nap = None
            self.turn += 1
            turn = self.turn
            self.heap.after(seconds, lambda: self.resume(turn))

    def resume(self, turn: int) -> None:
        if turn != self.turn:
            return  # woken before, or asleep again
        self.turn += 1
        self.nap = next(self.steps, None)
        if self.nap is not None:
            turn = self.turn
            self.heap.after(self.nap.seconds, lambda: self.resume(turn))
