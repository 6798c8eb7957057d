"""What Prometheus scrapes: names by its conventions, a base unit at the end of each (`_seconds`, `_ratio`), and of ours
`_quote` (an amount or price in quote currency) and `_base` (a size). What is not known has no sample, never a 0.

Counters begin anew with each run of the maker, as its figures do: Prometheus knows how to read that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from maker.monitor.health import health
from maker.monitor.observation import Life, Observation
from maker.wire import live

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
STATES: Final = ("starting", "quoting", "not quoting", "pulling", "ending")
Value = str | float | int | None


class Snapshot(Collector):
    """One observation as metrics."""

    def __init__(self, seen: Observation, clients: int, alerts: int) -> None:
        self.seen, self.clients, self.alerts = seen, clients, alerts

    def collect(self) -> Iterator[Metric]:
        yield from processes(self.seen)
        yield gauge("maker_monitor_clients", "Pages that follow the monitor's events.", self.clients)
        yield gauge("maker_alerts_standing", "Alerts that stand now.", self.alerts)
        yield from exchange(self.seen)
        if self.seen.state is not None:
            yield from run(self.seen.state)
            yield from account(self.seen.state)
            yield from markets(self.seen.state.markets)
            yield from feeds(self.seen.state.feeds)


def text(seen: Observation, *, clients: int, alerts: int) -> bytes:
    """Everything, in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Snapshot(seen, clients, alerts))
    return generate_latest(registry)


def gauge(name: str, help_text: str, value: Value) -> GaugeMetricFamily:
    """One figure; None: it has no sample."""
    family = GaugeMetricFamily(name, help_text)
    if value is not None:
        family.add_metric([], float(value))
    return family


def by_label(
    name: str, help_text: str, labels: list[str], samples: Iterable[tuple[list[str], Value]]
) -> GaugeMetricFamily:
    """A figure for each of several."""
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, float(value))
    return family


def counter(name: str, help_text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, help_text, value=value)


def life(value: Life) -> Value:
    return None if value is Life.UNKNOWN else int(value is Life.ALIVE)


def processes(seen: Observation) -> Iterator[Metric]:
    """What is seen from outside."""
    yield gauge("maker_up", "Whether the maker's process is there.", life(seen.maker))
    yield gauge("maker_guard_up", "Whether the guard's process is there.", life(seen.guard))
    yield gauge("maker_healthy", "Whether /healthz says 200: quoting, or stopped as asked.", int(health(seen)[0]))
    yield gauge("maker_latched", "Whether the kill file is there.", int(bool(seen.latched)))
    help_text = "Since the maker last told its state."
    yield gauge("maker_state_age_seconds", help_text, seen.state_age_seconds)


def exchange(seen: Observation) -> Iterator[Metric]:
    """What the exchange itself says."""
    said = seen.exchange
    orders = None if said.orders is None else len(said.orders)
    yield gauge("maker_exchange_open_orders", "Orders that rest on the account, by the exchange.", orders)
    age = None if said.orders_at is None else max(0.0, seen.now - said.orders_at)
    yield gauge("maker_exchange_read_age_seconds", "Since the exchange was last asked what rests.", age)
    yield gauge("maker_exchange_readable", "Whether the last read of the exchange went well.", int(not said.why_not))
    help_text = "Position by the exchange, signed."
    held: dict[str, float] = {}
    for one in said.positions or ():
        held[one.market_id] = held.get(one.market_id, 0.0) + float(one.base)
    yield by_label(
        "maker_exchange_position_base", help_text, ["market"], (([name], size) for name, size in held.items())
    )


def run(state: live.State) -> Iterator[Metric]:
    """The run, and its requests."""
    samples = (([name], int(state.state == name)) for name in STATES)
    yield by_label("maker_state", "1 for the state that the run is in.", ["state"], samples)
    yield gauge("maker_quoting", "Whether at least one market is quoted.", int(state.state == "quoting"))
    yield gauge("maker_run_start_timestamp_seconds", "When the run began.", state.started_at)
    yield gauge("maker_pulled_timestamp_seconds", "When quotes were last pulled.", state.pulled_at)
    help_text = "When the exchange was last read back empty."
    yield gauge("maker_verified_empty_timestamp_seconds", help_text, state.verified_empty_at)
    yield gauge(
        "maker_loop_lag_seconds", "Largest lag of the maker's loop within half a second.", state.loop_lag_seconds
    )
    yield gauge("maker_answer_median_seconds", "Ladders, first byte to answer, median.", state.answer_seconds_p50)
    help_text = "Ladders, first byte to answer, 99th percentile."
    yield gauge("maker_answer_p99_seconds", help_text, state.answer_seconds_p99)
    yield gauge("maker_key_expiry_timestamp_seconds", "When the bot's API key expires.", state.key.expires_at)
    if state.budget is not None:
        budget = state.budget
        yield counter("maker_requests", "Requests of the order path since the run began.", budget.spent)
        yield counter("maker_throttles", "Answers 429 since the run began.", budget.throttled)
        yield gauge(
            "maker_requests_limit", "Requests of the order path a minute, as the exchange states.", budget.limit
        )
        yield gauge("maker_requests_left", "Requests left of this minute.", budget.left)
        yield gauge("maker_requests_reserve", "Of them kept for cancel-all.", budget.reserve)


def account(state: live.State) -> Iterator[Metric]:
    """Money of the whole account."""
    one = state.account
    yield gauge("maker_balance_quote", "Balance of the account.", one.balance)
    yield gauge("maker_equity_quote", "Equity of the account.", one.equity)
    yield gauge("maker_available_quote", "What is free of it.", one.available)
    yield gauge("maker_margin_headroom_ratio", "Share of equity that is free without our quotes.", one.headroom)
    yield gauge("maker_drawdown_quote", "Lost since the best moment.", one.drawdown)
    yield gauge("maker_drawdown_limit_quote", "The limit of that.", one.drawdown_max)
    yield gauge("maker_loss_today_quote", "Lost since the exchange's day began.", one.loss_today)
    yield gauge("maker_loss_today_limit_quote", "The limit of that.", one.loss_day_max)


def markets(listed: tuple[live.Market, ...]) -> Iterator[Metric]:
    """Each market."""

    def each(name: str, help_text: str, values: Iterable[Value]) -> GaugeMetricFamily:
        samples = (([one.market_id], value) for one, value in zip(listed, values, strict=True))
        return by_label(name, help_text, ["market"], samples)

    yield each("maker_market_quoting", "Whether it is quoted.", (int(one.state == "quoting") for one in listed))
    yield each("maker_fair_value_quote", "Fair value.", (one.fair for one in listed))
    yield each("maker_fair_half_width_bps", "How unsure fair value is.", (one.fair_half_width_bps for one in listed))
    yield each("maker_mark_price_quote", "The exchange's mark.", (one.mark for one in listed))
    yield each("maker_book_bid_quote", "Best bid of the whole book.", (one.best_bid for one in listed))
    yield each("maker_book_ask_quote", "Best ask of the whole book.", (one.best_ask for one in listed))
    yield each("maker_own_bid_quote", "Our innermost bid.", (innermost(one, "buy") for one in listed))
    yield each("maker_own_ask_quote", "Our innermost ask.", (innermost(one, "sell") for one in listed))
    yield each("maker_own_orders", "Orders of ours that rest.", (len(one.quotes) for one in listed))
    yield each("maker_quotes_age_seconds", "Since the ladder was accepted.", (one.quotes_age_seconds for one in listed))
    yield each("maker_position_base", "Position, signed.", (one.position for one in listed))
    yield each("maker_position_limit_base", "Its limit.", (one.position_max for one in listed))
    yield each("maker_position_value_quote", "Its value at the mark.", (one.position_value for one in listed))
    yield each("maker_position_value_limit_quote", "The limit of that.", (one.position_value_max for one in listed))
    yield each("maker_stream_up", "Whether the event stream is live.", (int(one.stream == "live") for one in listed))
    yield each("maker_stream_age_seconds", "Since it was heard.", (one.stream_age_seconds for one in listed))
    fills = CounterMetricFamily("maker_fills", "Fills since the run began.", labels=["market"])
    for one in listed:
        fills.add_metric([one.market_id], one.fills)
    yield fills
    parts = ("spread", "inventory", "fees", "funding")
    yield by_label(
        "maker_profit_quote",
        "What changed equity since the run began, by what made it; they add up to the profit.",
        ["market", "part"],
        (
            ([one.market_id, part], getattr(one.profit, part))
            for one in listed
            if one.profit is not None
            for part in parts
        ),
    )


def innermost(one: live.Market, side: str) -> Value:
    """Our best price of a side; quotes come innermost first."""
    return next((quote.price for quote in one.quotes if quote.side == side), None)


def feeds(listed: tuple[live.Feed, ...]) -> Iterator[Metric]:
    """Each reference feed."""
    samples = (([one.name], int(one.state == "live")) for one in listed)
    yield by_label("maker_feed_up", "Whether the reference feed counts.", ["feed"], samples)
    ages = (([one.name], one.age_seconds) for one in listed)
    yield by_label("maker_feed_age_seconds", "Since it told a price, or that none had changed.", ["feed"], ages)
