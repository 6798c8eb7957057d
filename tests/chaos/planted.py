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

            vars(parent)["pull"] = pull_once
        case _:
            return  # it is the maker's


def plant_maker(what: str) -> None:
    """Take something out of the maker."""
    match what:
        case "watchdog only":
            trust_the_watchdog()
        case _:
            return  # it is the guard's


def trust_the_watchdog() -> None:
    """Leave freshness to the watching task: the quoter neither looks at the clock nor asks how old its data is."""
    from maker.app.feeds import Inlet
    from maker.app.quoter import Quoter
    from maker.desk.engine import Engine

    step, decide = Quoter.step, Engine.decide

    class Unwatched:
        """The quoter's inlet, which never looks at the clock."""

        def __init__(self, inlet: Inlet) -> None:
            self.deliver = inlet.deliver

        def watch(self) -> bool:
            return False

    async def stepping(self: Quoter) -> None:
        if not isinstance(self.inlet, Unwatched):
            self.inlet = Unwatched(self.inlet)  # type: ignore[assignment]
        await step(self)

    def deciding(self: Engine, now: float) -> Any:
        before: list[tuple[Any, str, float | None]] = []
        for market in self.markets.values():
            before += [(market, "heard_at", market.heard_at), (market.fair, "index_at", market.fair.index_at)]
            before += [(source, "heard_at", source.heard_at) for source in market.fair.sources.values()]
        for owner, name, at in before:
            setattr(owner, name, None if at is None else now)
        try:
            return decide(self, now)
        finally:
            for owner, name, at in before:
                setattr(owner, name, at)

    Quoter.step = stepping  # type: ignore[method-assign]
    Engine.decide = deciding  # type: ignore[method-assign]


if __name__ == "__main__":
    if sys.argv[2] != "maker-process":
        plant_guard(sys.argv[1])
    raise SystemExit(enter("tests.chaos.planted", 1, plant_maker, sys.argv[1:]))
