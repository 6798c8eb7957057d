"""From what the monitor sees to who is told: the rule that the monitor calls, and the service that delivers.

alerting = open_alerting(config, "conf/live.toml", os.environ, LastingFile(config.state_folder / STATE_FILE))
findings = alerting(observation)    # about once a second; returns at once
await alerting.run()                # deliveries and the daily summary, until cancelled
"""

from __future__ import annotations

import json
import math
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
import trio

from maker.edge.lasting import Lasting
from maker.monitor import summary
from maker.monitor.audit import Audit, Terms
from maker.monitor.catalogue import Alert
from maker.monitor.changes import Changes
from maker.monitor.conditions import Bounds, Surroundings, conditions, fresh_state
from maker.monitor.delivery import Delivery, Quiet
from maker.monitor.messages import Sender
from maker.monitor.observation import Findings, Observation
from maker.monitor.standing import Standing
from maker.monitor.surroundings import Surveyor
from maker.monitor.targets import reachable

if TYPE_CHECKING:
    from maker.app.config import Config

STATE_FILE: Final = "alerts.json"  # in the state folder: what has been told
STATE_BYTES_MAX: Final = 1 << 20  # two hundred records have 200 kB
VERSION: Final = 1
SUMMARY_LOOK_SECONDS: Final = 20.0  # between two looks at the clock
CLOSE_SECONDS_MAX: Final = 0.5  # for the disk, at the end
KEEP_SECONDS: Final = 10.0  # between two writes of what merely goes on; what was told is kept at once


@attrs.define(eq=False)
class Alerting:
    """A monitor's rule (`Observation` -> `Findings`), and what delivers."""

    audit: Audit
    bounds: Bounds
    standing: Standing
    delivery: Delivery
    kept: Lasting
    look_around: Callable[[], Surroundings]
    summary_at: str  # hh:mm, UTC; empty: never
    summarize: summary.Summarize
    wall: Callable[[], float]  # unix seconds
    changes: Changes = attrs.field(factory=Changes)
    summary_told_at: float = 0.0
    kept_text: str = ""
    kept_at: float = -math.inf

    def __call__(self, seen: Observation) -> Findings:
        """Take an observation up: audit it, tell what is to be told, and say what stands."""
        audited = self.audit.look(seen)
        failing = self.delivery.failing()
        if self.kept.failed:
            failing[STATE_FILE] = self.kept.failed
        around = attrs.evolve(self.look_around(), targets_failing=failing)
        matter = conditions(seen, audited, around, self.bounds)
        notices = self.standing.step(matter, seen.now)
        for alert, sentence, severity in self.changes.look(seen.state, fresh_state(seen, self.bounds), seen.now):
            notices.append(self.standing.happened(alert, sentence, seen.now, severity))
        for notice in notices:
            self.delivery.put(notice)
        self.mark()
        if notices or not 0 <= seen.now - self.kept_at < KEEP_SECONDS:
            self.kept_at = seen.now
            self.keep()
        return Findings(audited.as_json(), self.rows())

    def mark(self) -> None:
        """Take up what came of the notices."""
        for record in self.standing.records.values():
            if record.is_delivered is None:
                record.is_delivered = self.delivery.is_delivered(record.notice_id)

    def rows(self) -> tuple[Mapping[str, object], ...]:
        """What stands, the worst first."""
        standing = [one for one in self.standing.records.values() if one.is_standing]
        standing.sort(key=lambda one: (-one.severity.rank, one.alert.place, one.subject))
        return tuple(
            {
                "name": one.alert.label,
                "subject": one.subject,
                "severity": one.severity.value,
                "sentence": one.sentence,
                "what_to_do": one.alert.value.todo.replace("CONF", self.standing.configuration),
                "since": one.since,
                "at": one.told_at,
                "delivered": one.is_delivered,
                "targets": dict(self.delivery.results(one.notice_id)),
            }
            for one in standing
        )

    async def run(self, ending: trio.Event) -> None:
        """Deliver, and tell the daily summary, until `ending`; then what is on its way, as long as the caller lets it.

        What has not arrived by then is told by the next start.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.summarize_daily)
                await self.delivery.run(ending)
                nursery.cancel_scope.cancel(reason="the monitor ends")
        finally:
            self.mark()
            self.keep()
            self.kept.close(CLOSE_SECONDS_MAX)

    async def summarize_daily(self) -> NoReturn:
        while True:
            now = self.wall()
            if not self.summary_told_at:  # the first start: there is no day to look back on
                self.summary_told_at = now
            moment = summary.due(self.summary_at, self.summary_told_at, now)
            if moment is not None:
                sentence = await self.summarize(moment)
                self.summary_told_at = moment
                self.delivery.put(self.standing.happened(Alert.DAILY_SUMMARY, sentence, self.wall()))
                self.keep()
            await trio.sleep(SUMMARY_LOOK_SECONDS)

    # -- over a restart --------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Keep what was told, if it has changed."""
        kept: dict[str, Any] = {
            "version": VERSION,
            "standing": self.standing.dump(),
            "changes": attrs.asdict(self.changes),
            "summary_told_at": self.summary_told_at,
        }
        text = json.dumps(kept)
        if text != self.kept_text:
            self.kept_text = text
            self.kept.put(text)

    def restore(self, text: str, now: float) -> None:
        """Take up what an earlier start has kept; what is none of it is left out, and everything told anew."""
        try:
            kept = json.loads(text)
            if kept["version"] != VERSION:
                return
            changes, told_at = Changes.of(kept["changes"]), min(now, float(kept["summary_told_at"]))
            self.standing.load(kept["standing"], now)
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        self.changes, self.summary_told_at = changes, told_at


def open_alerting(
    config: Config,
    configuration: str,
    environment: Mapping[str, str],
    kept: Lasting,
    wall: Callable[[], float] = time.time,
) -> Alerting:
    """Make a run's alerting; `configuration` is its file, as the alerts name it.

    A target whose secret cannot be read is an alert itself; the others are told.
    """
    told = config.alerts
    targets, broken = reachable(told, environment)
    alerting = Alerting(
        audit=Audit(Terms.of(config)),
        bounds=Bounds.of(config),
        standing=Standing(
            configuration,
            secrets.token_hex(4),
            {Alert.NOT_QUOTING: told.not_quoting_seconds, Alert.FEED_DOWN: told.feed_down_seconds},
        ),
        delivery=Delivery(targets, sender(config), wall, Quiet.of(told), broken=broken),
        kept=kept,
        look_around=Surveyor(config.state_folder, wall).look,
        summary_at=told.daily_summary_at,
        summarize=summary.of_journal(config.state_folder),
        wall=wall,
    )
    alerting.restore(read_kept(config.state_folder / STATE_FILE), wall())
    return alerting


def sender(config: Config) -> Sender:
    """Who tells, by account and host."""
    return Sender(config.account, socket.gethostname(), config.mode)


def read_kept(path: Path) -> str:
    """What an earlier start has kept; empty where there is nothing, or nothing that can be read."""
    try:
        with path.open("rb") as file:
            return file.read(STATE_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""
