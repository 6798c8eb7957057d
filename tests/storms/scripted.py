"""Jobs and storms that end as a test wants, by their number: all at the top, so that a worker process finds them."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import attrs

from maker.storms import record as kinds
from maker.storms.campaign import Performers
from maker.storms.outcome import Outcome, Violation
from maker.storms.record import MAKER, Entry, Record, Terms
from maker.storms.requirements import Needs
from maker.storms.schedule import Fault, Schedule

HANGS = 5
DIES = 9
RAISES = 13

# -- jobs of workers ----------------------------------------------------------------------------------------------


def squares() -> Callable[[int], int]:
    """Squares, but that three numbers end otherwise."""

    def perform(number: int) -> int:
        if number == HANGS:
            time.sleep(60)
        if number == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == RAISES:
            raise ValueError("unlucky")
        return number * number

    return perform


def broken() -> Callable[[int], int]:
    raise RuntimeError("no such world")


def gone() -> Callable[[int], int]:
    os._exit(3)


def stopped() -> Callable[[int], int]:
    def perform(_number: int) -> int:
        os.kill(os.getpid(), signal.SIGSTOP)
        return 0

    return perform


def process_ids() -> Callable[[int], int]:
    return lambda _number: os.getpid()


# -- storms -------------------------------------------------------------------------------------------------------

FAULTS = {"refuse": "F1", "reset": "F5", "gap": "F20"}
NEEDS = Needs(
    invariants={"S1": "no orphan", "S2": "latched", "S22": "the same"}, faults=FAULTS, marks={"exit_75": "75"}
)
SMALL = attrs.evolve(NEEDS, required_from=1)  # requires everything of any campaign


def schedule(seed: int, *names: str) -> Schedule:
    faults = tuple(
        Fault(row=FAULTS[name], name=name, at=4.0 + index, seconds=8.0) for index, name in enumerate(names or FAULTS)
    )
    return Schedule(seed=seed, markets=1, step_ms=100, faults=faults)


def outcome(given: Schedule, **changes: object) -> Outcome:
    """A sound storm in which everything was met; its digest depends on the schedule alone."""
    usual = Outcome(
        schedule=given,
        digest=hashlib.sha256(repr(given).encode()).hexdigest(),
        violations=(),
        void="",
        simulated_seconds=36.0,
        ladders=20,
        fills=2,
        faults={fault.name: 1 for fault in given.faults},
        reached=frozenset({"exit_75"}),
        checked={"S1": 3, "S2": 1},
    )
    return attrs.evolve(usual, **changes)  # type: ignore[arg-type]


def breaks(given: Schedule) -> Outcome:
    """S2 breaks where both a reset and a gap come, the reset for a second or longer."""
    names = {fault.name for fault in given.faults if fault.name != "reset" or fault.seconds >= 1.0}
    found = (Violation("S2", 7.5, "a ladder left after the trip"),) if {"reset", "gap"} <= names else ()
    return outcome(given, violations=found)


def entries() -> list[Entry]:
    """A short history with a violation at 7.5 s."""
    order = partial(kinds.Order, market_id="BTC-PERP", side="buy", price=Decimal(99), action="placed")
    ladder = kinds.Quote(client_order_id="mk1", side="buy", price="99", quantity="1", reduce_only=False, post_only=True)
    left = partial(kinds.Left, connection=1, owner=MAKER, method="POST")
    return [
        kinds.Quoting(at=1.0),
        left(at=2.0, request=1, path="/perps/quotes/bulk", market_id="BTC-PERP", quote_id="q1", quotes=(ladder,)),
        kinds.Applied(at=2.1, request=1, status=200),
        *(
            order(at=2.1, order_id=f"o{number}", client_order_id=f"mk{number}", remaining=Decimal(1))
            for number in (1, 2)
        ),
        kinds.Got(at=2.2, request=1, status=200),
        kinds.FaultBegan(at=5.0, index=0, row="F5", name="reset", resting=2),
        kinds.Trade(at=6.0, market_id="BTC-PERP", trade_id="t", side="buy", price=Decimal(99), quantity=Decimal("0.5")),
        kinds.Tripped(at=7.0, reason="KILLED", detail="it", recoverable=True, latched=False),
        kinds.WorldEnded(at=8.0),
    ]


def record() -> Record:
    terms = Terms(
        markets={}, value_max=Decimal(1), tail_seconds=4, give_up_seconds=600, hang_seconds_max=3,
        reference_stale_seconds_max=2, stream_fresh_seconds_max=20, stream_silent_seconds_max=22, halt_seconds_max=14,
        write_delay_seconds_max=4, reserve=22,
    )  # fmt: skip
    return Record(terms, entries())


def performers(perform: Callable[[Schedule], Outcome], *names: str) -> Performers:
    return Performers(lambda seed: perform(schedule(seed, *names)), lambda given: (perform(given), record()))


def sound() -> Performers:
    """Nothing is ever wrong."""
    return performers(outcome)


def breaking() -> Performers:
    """S2 breaks in every storm."""
    return performers(breaks)


def core() -> Performers:
    """Storms without a schedule or a record."""
    return Performers(breaking().storm)


def forgetful() -> Performers:
    """A history that depends on the process."""
    return performers(lambda given: outcome(given, digest=str(os.getpid())))


def void() -> Performers:
    """Every tenth does not count, and what it says it met does not either."""
    return Performers(lambda seed: outcome(schedule(seed), void="" if seed % 10 else "no fill"))


def mishaps() -> Performers:
    """Three storms end otherwise than by an outcome, and one says itself that it crashed."""
    odd = squares()

    def storm(seed: int) -> Outcome:
        odd(seed)
        return outcome(schedule(seed), crashed="Traceback …\nKeyError: 'x'" if seed == 2 else "")

    return Performers(storm)


def endless() -> Performers:
    """Slow storms, so that somebody can lose patience; the first breaks."""

    def storm(seed: int) -> Outcome:
        if seed:
            time.sleep(0.05)
        return breaks(schedule(seed)) if seed == 0 else outcome(schedule(seed))

    return Performers(storm, sound().again)


def quiet() -> Performers:
    """Storms that do not count."""
    return performers(lambda given: outcome(given, void="no fill"))
