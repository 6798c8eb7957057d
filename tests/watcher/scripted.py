"""An exchange in memory with a clock of its own, and a watcher whose steps are carried out against it in no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import attrs

from maker.guard.exchange import CANCEL_ALL, ORDERS, Call, NoAnswer, Refused
from maker.watcher.bounds import Bounds
from maker.watcher.steps import Ended, Watcher

BOUNDS = Bounds(rest_seconds_max=65.0, margin_seconds=15.0, poll_seconds=5.0)
CALL_SECONDS = 0.01  # on either way
EXCHANGE_UNIX = 1_800_000_000.0  # the exchange's clock when ours, since some boot, is 0

Fault = Callable[[Call], Exception | None]


def lost(_call: Call) -> NoAnswer:
    """No answer at all."""
    return NoAnswer("TimeoutError: timed out")


def saying(status: int, wait_seconds: float = 0.0) -> Fault:
    """An answer that is no acknowledgement."""
    return lambda call: Refused(f"{call.method} {call.path}", status, wait_seconds)


@attrs.define(eq=False)
class World:
    """One exchange and one watcher. `now` is this host's clock, seconds; `fault` may refuse a call, or return None."""

    bounds: Bounds = BOUNDS
    prefix: str = "mk"
    now: float = 1000.0
    skew: float = 0.0  # seconds by which the exchange's HTTP server is ahead of its engine
    stamps: bool = True  # rows say when they were made
    dates: bool = True  # answers say when they were sent
    deaf: bool = False  # a cancel-all is acknowledged and has no effect
    random: float = 0.5
    fault: Fault = lambda _call: None
    resting: dict[str, tuple[float, str]] = attrs.field(factory=dict)  # name -> made when on our clock, market
    calls: list[tuple[float, Call]] = attrs.field(factory=list)
    lines: list[tuple[str, str, str]] = attrs.field(factory=list)  # event, sentence, level
    told: bool = False
    renews: bool = False
    during: Callable[[], None] = lambda: None  # whatever happens elsewhere, looked at in each step of a second
    date: str = ""
    watcher: Watcher = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.watcher = Watcher(
            self.bounds,
            self.prefix,
            now=lambda: self.now,
            random=lambda: self.random,
            random_bytes=lambda count: b"r" * count,
            date=lambda: self.date,
            told=lambda: self.told,
            say=self.say,
            renew=lambda: self.renews,
        )

    def say(self, event: str, sentence: str, *, level: str = "info") -> None:
        self.lines.append((event, sentence, level))

    def place(self, *names: str, age: float = 0.0, market: str = "BTC-PERP") -> None:
        """Let orders rest that are so old."""
        for name in names:
            self.resting[name] = (self.now - age, market)

    def requote(self, *names: str) -> None:
        """Replace all that rests by new orders of these names, a number of their own added."""
        self.resting = {}
        self.place(*(f"{name}-{self.now}" for name in names))

    def unix(self, at: float) -> float:
        """The engine's clock."""
        return EXCHANGE_UNIX + at

    def rows(self) -> list[dict[str, Any]]:
        """What rests, as the exchange lists it."""
        listed = []
        for name, (made, market) in self.resting.items():
            row = {"id": f"01{name}", "clientOrderId": name, "marketId": market, "status": "open"}
            if self.stamps:
                moment = datetime.fromtimestamp(self.unix(made), UTC)
                row["createdAt"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            listed.append(row)
        return listed

    def call(self, call: Call) -> bytes:
        """Answer one call. Raises NoAnswer."""
        self.now += CALL_SECONDS
        self.calls.append((self.now, call))
        refused = self.fault(call)
        if refused is not None:
            self.now += CALL_SECONDS
            raise refused
        if (call.method, call.path) == ("GET", ORDERS):
            content = json.dumps(self.rows()).encode()
        else:
            content = b"{}"
            scope = dict(call.body or {}) if call.path == CANCEL_ALL else {"marketId": (call.body or {})["marketId"]}
            if not (self.deaf and call.path == CANCEL_ALL):
                fits = {row["clientOrderId"] for row in self.rows() if all(row[key] == scope[key] for key in scope)}
                self.resting = {name: one for name, one in self.resting.items() if name not in fits}
        self.now += CALL_SECONDS
        self.date = formatdate(int(self.unix(self.now) + self.skew), usegmt=True) if self.dates else ""
        return content

    def run(self, seconds: float) -> Ended | None:
        """Watch for so long, told to stop after it only if `told` is set meanwhile; how it ended, None: it goes on."""
        ends_at = self.now + seconds
        steps = self.watcher.run()
        step = next(steps)
        try:
            while True:
                if isinstance(step, Call):
                    try:
                        content = self.call(step)
                    except NoAnswer as problem:
                        step = steps.throw(problem)
                    else:
                        step = steps.send(content)
                    continue
                until = self.now + step
                while self.now < until and not self.told:
                    self.now = min(until, self.now + 1.0)
                    self.during()
                    if self.now >= ends_at:
                        steps.close()
                        return None
                step = next(steps)
        except StopIteration as end:
            ended: Ended = end.value
            return ended

    @property
    def cancels(self) -> list[tuple[float, Call]]:
        """Every cancel-all that was not the proof of the key."""
        probe = f"{self.prefix}-watch-"
        return [
            (at, call)
            for at, call in self.calls
            if call.path == CANCEL_ALL and not str((call.body or {}).get("clientOrderId", "")).startswith(probe)
        ]

    @property
    def unscoped(self) -> list[float]:
        """When everything was cancelled."""
        return [at for at, call in self.cancels if call.body == {}]

    @property
    def reads(self) -> list[float]:
        """When it was looked."""
        return [at for at, call in self.calls if call.method == "GET"]

    def events(self) -> list[str]:
        """What kinds of line were told, in order."""
        return [event for event, _, _ in self.lines]

    def sentence(self, event: str) -> str:
        """The last line of a kind."""
        return [text for kind, text, _ in self.lines if kind == event][-1]
