"""Who judges what is seen, and who acts on it: the rules that each observation goes through, and their services.

A rule returns at once, and changes nothing. A service is a task beside the monitor's own: it gets an event that says
that the monitor is ending, and then has DELIVER_SECONDS_MAX to finish what it has on its way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.app.config import Config
from maker.edge.lasting import LastingFile
from maker.monitor.alerting import STATE_FILE, open_alerting
from maker.monitor.observation import Findings, Observation, Rule

DELIVER_SECONDS_MAX: Final = 2.0  # the parent waits a second longer

Service = Callable[[trio.Event], Awaitable[None]]


@attrs.define
class Lookout:
    """All rules and services of one monitor."""

    rules: list[Rule] = attrs.field(factory=list)
    services: tuple[Service, ...] = ()
    broken: dict[str, str] = attrs.field(factory=dict)  # a rule that failed -> with what: it is not asked again

    def judge(self, seen: Observation) -> Findings:
        """Ask every rule; one that fails is an alert from then on, and the others are asked all the same."""
        audit = None
        alerts = list[Mapping[str, object]]()
        for rule in list(self.rules):
            try:
                found = rule(seen)
            except Exception as error:  # noqa: BLE001 - the end of this rule: whoever watches must not go blind with it
                self.rules.remove(rule)
                self.broken[getattr(rule, "__qualname__", type(rule).__qualname__)] = repr(error)
                continue
            audit = found.audit if found.audit is not None else audit
            alerts += found.alerts
        for name, error_text in self.broken.items():
            sentence = f"the monitor's own rule {name} failed and is not asked any more: {error_text}"
            alerts.append({"name": "rule failed", "severity": "warning", "sentence": sentence})
        return Findings(audit, tuple(alerts))


def lookout(config: Config, configuration: Path, environment: Mapping[str, str]) -> Lookout:
    """The rules and services of a configuration, which was read from that file."""
    kept = LastingFile(config.state_folder / STATE_FILE)
    alerting = open_alerting(config, str(configuration), environment, kept)
    return Lookout([alerting], (alerting.run,))
