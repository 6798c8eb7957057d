"""The catalogue and the README's runbook are one table."""

from __future__ import annotations

import re
from pathlib import Path

from maker.monitor.catalogue import BY_LABEL, Alert, runbook

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
KNOWN = re.compile(r"`python3 run\.py ([a-z-]+)")


def test_the_runbook_is_the_catalogue_word_for_word() -> None:
    assert "\n".join(runbook()) in README


def test_every_alert_is_its_own() -> None:
    """Rows that are equal would be one member of the enumeration."""
    assert len(list(Alert)) == len(Alert.__members__) == len(BY_LABEL)


def test_what_hides_and_ends_exists() -> None:
    for alert in Alert:
        assert set(alert.value.hides) <= set(BY_LABEL), alert
        assert alert.label not in alert.value.hides
        assert alert.value.ends_as in ("resolved", Alert.RESUMED.label)


def test_nothing_hides_what_hides_it() -> None:
    """Else of two that hold, neither would be told."""

    def hidden_by(alert: Alert) -> set[str]:
        found: set[str] = set()
        due = [alert.label]
        while due:
            for name in BY_LABEL[due.pop()].value.hides:
                if name not in found:
                    found.add(name)
                    due.append(name)
        return found

    assert all(alert.label not in hidden_by(alert) for alert in Alert)


def test_every_command_that_is_named_exists() -> None:
    named = {name for alert in Alert for name in KNOWN.findall(alert.value.todo)}
    assert named
    assert all(f"| `python3 run.py {name} " in README for name in named)


def test_a_row_of_the_table_stays_a_row() -> None:
    assert not any("|" in alert.value.meaning + alert.value.todo for alert in Alert)
    assert not any("\n" in alert.value.meaning + alert.value.todo for alert in Alert)
