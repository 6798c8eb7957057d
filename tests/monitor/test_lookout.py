"""Rules: what they find is put together, and one that fails takes nobody with it."""

from __future__ import annotations

from maker.monitor.lookout import Lookout
from maker.monitor.observation import Findings, Observation
from tests.monitor.observed import an_observation


def test_what_rules_find_is_put_together() -> None:
    """Alerts in the order of the rules; the audit of the one that audits."""
    lookout = Lookout(
        [
            lambda _seen: Findings(alerts=({"name": "a"},)),
            lambda seen: Findings(audit={"orders": len(seen.exchange.orders or ())}),
            lambda _seen: Findings(alerts=({"name": "b"},)),
        ]
    )
    found = lookout.judge(an_observation())
    assert found.audit == {"orders": 0}
    assert [one["name"] for one in found.alerts] == ["a", "b"]
    assert Lookout().judge(an_observation()) == Findings()


def test_a_rule_that_fails_is_an_alert_and_is_not_asked_again() -> None:
    asked: list[Observation] = []

    def broken(seen: Observation) -> Findings:
        asked.append(seen)
        raise ZeroDivisionError

    lookout = Lookout([broken, lambda _seen: Findings(alerts=({"name": "b"},))])
    for _ in range(3):
        alerts = lookout.judge(an_observation()).alerts
        assert [one["name"] for one in alerts] == ["b", "rule failed"]
        assert "broken" in str(alerts[1]["sentence"])
        assert "ZeroDivisionError" in str(alerts[1]["sentence"])
    assert len(asked) == 1
