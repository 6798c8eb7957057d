"""Targets that answer as they are told, in virtual time: in memory, and as a real HTTP server behind a real door."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import trio

from maker.app.alert_config import Kind, Severity, Target
from maker.edge.notice import Reply
from maker.errors import OutcomeUnknown
from maker.monitor.delivery import Delivery, Quiet, Told
from maker.monitor.messages import Sender
from maker.monitor.standing import Notice

T0: Final = 1_800_000_000.0  # 08:00 UTC
WHO: Final = Sender("desk-1", "host7", "paper")
OK: Final = Reply(200, None)
LOST: Final = OutcomeUnknown("the connection was lost before the answer")

Answer = Reply | Exception | float  # a float: no answer for so many seconds, then 200


def wall() -> float:
    return T0 + trio.current_time()


@attrs.define
class Door:
    """Plays its answers in turn, the last for ever; keeps what it was told, with when."""

    answers: list[Answer] = attrs.field(factory=lambda: [OK])
    told: list[tuple[float, dict[str, Any]]] = attrs.field(factory=list)

    async def send(self, body: bytes, now_unix: float) -> Reply:
        assert now_unix == wall()
        self.told.append((trio.current_time(), json.loads(body)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await trio.sleep(answer if isinstance(answer, float) else 0)
        if isinstance(answer, Exception):
            raise answer
        return OK if isinstance(answer, float) else answer

    @property
    def names(self) -> list[str]:
        return [message["name"] for _, message in self.told]


def told(name: str, door: Door, severity_min: Severity = Severity.INFO) -> Told:
    return Told(Target(name, Kind.WEBHOOK, severity_min, url_env="X"), door)


def delivery(*targets: Told, quiet: Quiet | None = None, jitter: Callable[[], float] = lambda: 1.0) -> Delivery:
    return Delivery(tuple(targets), WHO, wall, quiet, jitter)


def notice(number: int = 1, name: str = "halted", severity: Severity = Severity.CRITICAL, **more: Any) -> Notice:
    usual: dict[str, Any] = {
        "subject": "",
        "phase": "begins",
        "sentence": "so it is",
        "todo": "",
        "at": T0,
        "since": T0,
    }
    return Notice(notice_id=str(number), name=name, severity=severity, **{**usual, **more})


async def run_for(made: Delivery, seconds: float, notices: Sequence[Notice] = ()) -> None:
    """Deliver for so long, and cancel then."""
    for one in notices:
        made.put(one)
    with trio.move_on_after(seconds):
        await made.run(trio.Event())
