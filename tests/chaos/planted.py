"""`python -m tests.chaos.planted WHAT run CONF …`: the real command, made unsafe on purpose: a control arm.

A test that finds no orphan proves something only if the same world shows orphans once the protection is gone. As
`maker.drills.planted`, but the guard can be planted too. Production code has no switch for any of this.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from maker.drills.planted import enter


def plant_guard(what: str) -> None:
    """Take something out of the parent process."""
    from maker.guard import exchange
    from maker.launch import parent

    match what:
        case "one cancel-all":  # no tail, and believed without a read

            def pull_once(
                there: exchange.Exchange, _tail: float, _give_up: float, first: Callable[[], object]
            ) -> exchange.Pulled:
                there.cancel_all()
                first()
                return exchange.Pulled(True, 0, 1, "")

            parent.pull = pull_once


def plant_maker(what: str) -> None:
    """Take something out of the maker."""
    match what:
        case "watchdog only":
            trust_the_watchdog()


def trust_the_watchdog() -> None:
    """Decide by the freshness that the watching task saw at its last look; nothing is looked at on the way out."""
    from maker.app import supervisor
    from maker.app.feeds import Inlet
    from maker.app.quoter import Quoter
    from maker.desk.engine import Engine

    looked_at: list[float] = []
    watch, step, decide = Inlet.watch, Quoter.step, Engine.decide
    inside_step = False

    def watching(self: Inlet) -> bool:
        if inside_step:
            return False
        looked_at[:] = [self.now()]
        return watch(self)

    async def stepping(self: Quoter) -> None:
        self.inlet = Unwatched(self.inlet)  # type: ignore[assignment]
        await step(self)

    class Unwatched:
        """The quoter's inlet, which never looks at the clock."""

        def __init__(self, inlet: Any) -> None:
            self.inner = getattr(inlet, "inner", inlet)
            self.deliver = self.inner.deliver

        def watch(self) -> bool:
            return False

    def deciding(self: Engine, now: float) -> Any:
        return decide(self, min(now, *looked_at) if looked_at else now)

    Inlet.watch = watching  # type: ignore[method-assign]
    Quoter.step = stepping  # type: ignore[method-assign]
    Engine.decide = deciding  # type: ignore[method-assign]
    _ = supervisor


if __name__ == "__main__":
    if sys.argv[2] != "maker-process":
        plant_guard(sys.argv[1])
    raise SystemExit(enter("tests.chaos.planted", 1, plant_maker, sys.argv[1:]))
