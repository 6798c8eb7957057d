"""/metrics, read by the official client's own parser, and judged by the rules that `promtool check metrics` has."""

from __future__ import annotations

import re
from decimal import Decimal

import attrs
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from maker.desk.events import OrderSeen
from maker.desk.units import Side
from maker.monitor import metrics
from maker.monitor.observation import ExchangeSeen, Life, Observation, PositionHeld
from tests.monitor.observed import NOW, a_market, a_state, an_observation

NAME = re.compile(r"maker_[a-z0-9_]+")
# promtool's linter: what a name must not hold, and units that are not the base ones.
NOT_BASE = ("milliseconds", "microseconds", "minutes", "hours", "days", "kilobytes", "megabytes", "percent", "ms")
TYPES_IN_NAMES = ("gauge", "counter", "summary", "histogram", "untyped")


def parsed(seen: Observation) -> dict[str, Metric]:
    text = metrics.text(seen, clients=3, alerts=2).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    family = families[name.removesuffix("_total")]
    (found,) = [one.value for one in family.samples if one.name == name and one.labels == labels]
    return float(found)


def test_figures_arrive_as_they_are() -> None:
    families = parsed(an_observation())
    assert value(families, "maker_up") == 1
    assert value(families, "maker_healthy") == 1
    assert value(families, "maker_quoting") == 1
    assert value(families, "maker_state", state="quoting") == 1
    assert value(families, "maker_state", state="pulling") == 0
    assert value(families, "maker_state_age_seconds") == 0.2
    assert value(families, "maker_fair_value_quote", market="BTC-PERP") == 50000.05
    assert value(families, "maker_own_bid_quote", market="BTC-PERP") == 49995.0
    assert value(families, "maker_own_orders", market="BTC-PERP") == 3
    assert value(families, "maker_position_base", market="BTC-PERP") == -0.12
    assert value(families, "maker_profit_quote", market="BTC-PERP", part="fees") == -0.659
    assert value(families, "maker_fills_total", market="BTC-PERP") == 7
    assert value(families, "maker_requests_total") == 41
    assert value(families, "maker_throttles_total") == 1
    assert value(families, "maker_monitor_clients") == 3
    assert value(families, "maker_alerts_standing") == 2
    assert value(families, "maker_feed_up", feed="beta") == 0
    assert value(families, "maker_verified_empty_timestamp_seconds") == NOW - 59


def test_what_is_not_known_has_no_sample() -> None:
    """Never a 0: an alert on `maker_position_base == 0` must not be fooled."""
    seen = an_observation(
        state=None, state_age_seconds=None, maker=Life.UNKNOWN, exchange=ExchangeSeen(why_not="no key")
    )
    families = parsed(seen)
    assert families["maker_up"].samples == []
    assert families["maker_state_age_seconds"].samples == []
    assert families["maker_exchange_open_orders"].samples == []
    assert value(families, "maker_healthy") == 0
    assert "maker_position_base" not in families
    quiet = parsed(an_observation(state=a_state(markets=(a_market(fair=None, quotes=(), profit=None),), budget=None)))
    assert quiet["maker_fair_value_quote"].samples == []
    assert quiet["maker_own_bid_quote"].samples == []
    assert value(quiet, "maker_own_orders", market="BTC-PERP") == 0
    assert "maker_requests" not in quiet


def test_the_exchanges_own_word() -> None:
    order = OrderSeen("BTC-PERP", "o1", "mk-1", Side.BUY, Decimal(1), Decimal(1))
    held = (PositionHeld("BTC-PERP", Decimal("0.5"), None), PositionHeld("BTC-PERP", Decimal("-0.2"), None))
    families = parsed(an_observation(exchange=ExchangeSeen((order, order), NOW - 4, held, NOW - 4)))
    assert value(families, "maker_exchange_open_orders") == 2
    assert value(families, "maker_exchange_read_age_seconds") == 4
    assert value(families, "maker_exchange_position_base", market="BTC-PERP") == pytest.approx(0.3)


def lint(text: str) -> list[str]:
    """What promtool's linter would say, and what Prometheus' naming guide asks of us besides."""
    found: list[str] = []
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    order = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
    found += [f"{name}: twice" for name in order if order.count(name) > 1]
    for line in text.splitlines():
        name = re.split(r"[{ ]", line, maxsplit=1)[0]
        if not line.startswith("#") and name not in types:
            found.append(f"{name}: a sample without HELP and TYPE")
    for name, kind in types.items():
        words = name.split("_")
        if not NAME.fullmatch(name):
            found.append(f"{name}: not maker_ and lower case")
        if not helps.get(name, "").strip():
            found.append(f"{name}: no help")
        if (kind == "counter") != name.endswith("_total"):
            found.append(f"{name}: counters, and they alone, end in _total")
        if name.endswith(("_sum", "_count", "_bucket", "_info")):
            found.append(f"{name}: an ending of another type")
        found += [f"{name}: {word} is no base unit" for word in words if word in NOT_BASE]
        found += [f"{name}: the type in its name" for word in words if word in TYPES_IN_NAMES]
        if "timestamp" in words and not name.endswith("_timestamp_seconds"):
            found.append(f"{name}: a time ends in _timestamp_seconds")
    return found


def test_names_keep_to_the_conventions() -> None:
    """Of everything that can be told at all."""
    state = a_state(key=attrs_key(), pulled_at=NOW - 1)
    held = ExchangeSeen((), NOW, (PositionHeld("X", Decimal(1), None),), NOW)
    text = metrics.text(an_observation(state=state, exchange=held), clients=0, alerts=0).decode()
    assert lint(text) == []
    assert len(re.findall("^# TYPE", text, re.MULTILINE)) > 50


def attrs_key() -> object:
    from maker.wire import live

    return live.Key(key_id="k", scope="trade", expires_at=NOW + 1)


@pytest.mark.parametrize(
    "wrong",
    [
        "# HELP maker_fills Fills.\n# TYPE maker_fills counter\nmaker_fills 1\n",
        "# HELP maker_x_total X.\n# TYPE maker_x_total gauge\nmaker_x_total 1\n",
        "# HELP maker_answer_ms Answers.\n# TYPE maker_answer_ms gauge\nmaker_answer_ms 1\n",
        "# HELP makerX X.\n# TYPE makerX gauge\nmakerX 1\n",
        "# TYPE maker_x gauge\nmaker_x 1\n",
        "maker_x 1\n",
        "# HELP maker_pulled_timestamp When.\n# TYPE maker_pulled_timestamp gauge\nmaker_pulled_timestamp 1\n",
    ],
)
def test_the_rules_find_what_breaks_them(wrong: str) -> None:
    assert lint(wrong)


def test_hostile_names_are_escaped() -> None:
    """A market or feed may be called anything: the text is parsed back to the same label."""
    name = 'a"b\\c\nd{}'
    families = parsed(an_observation(state=a_state(markets=(a_market(name),))))
    assert value(families, "maker_own_orders", market=name) == 3


def test_a_snapshot_is_of_one_moment() -> None:
    """Two scrapes of one observation are the same text: nothing is kept between them."""
    seen = an_observation()
    assert metrics.text(seen, clients=1, alerts=0) == metrics.text(attrs.evolve(seen), clients=1, alerts=0)
