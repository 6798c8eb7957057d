"""The exchange as anybody finds it: address, TLS, listing, clock, our markets and their grids; and event streams."""

from __future__ import annotations

import contextlib
import ssl
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs
import trio

from maker.app.addresses import trusted
from maker.app.feeds import follow_market, stream_params
from maker.app.market_config import Market
from maker.app.startup import mark_of, refuse_narrow, refuse_small, spec_of, tradable
from maker.app.watches import SKEW_ANSWERS, SKEW_SECONDS_MAX, Skew
from maker.desk.events import Event, MarketSpec, StreamSnapshot
from maker.desk.ladder import whole_sizes
from maker.desk.units import BPS
from maker.edge.endpoint import TlsConnection
from maker.edge.lane import NotSent
from maker.errors import ExitCode, OcxError
from maker.preflight.setting import Known
from maker.preflight.verdict import Finding, failed, ok, sentence, unknown, warning
from maker.wire import ocx, reads
from maker.wire.stream import MarketStream

CERTIFICATE_WARN_DAYS: Final = 14.0  # somebody has forgotten to renew it by then
DAY_SECONDS: Final = 86_400.0
NO_FEES: Final = (Decimal(0), Decimal(0))  # for a grid alone: fees have a check of their own
ADDRESS_FIX: Final = "Check exchange.base_url, this machine's name service, and its way out."
TLS_FIX: Final = (
    "The certificate must be for the name in exchange.base_url and of an authority that this machine trusts, or of one "
    "in exchange.ca_file."
)
TIME_FIX: Final = "Let a time service (chrony, systemd-timesyncd) keep this machine's clock."


async def find(known: Known) -> Finding:
    """Look the exchange up and connect to it, without TLS."""
    exchange = known.config.exchange
    try:
        known.place = await known.ways.resolve(exchange.base_url, trusted("exchange.ca_file", exchange.ca_file))
        connection = await attrs.evolve(known.place, tls=None).dial()
    except NotSent as error:
        return failed(sentence(f"{exchange.base_url}: {error}"), ADDRESS_FIX, ExitCode.REFUSED_TO_START)
    connection.close()
    addresses = ", ".join(dict.fromkeys(str(address[0]) for _, address in known.place.addresses))
    return ok(f"{exchange.base_url} takes connections ({addresses}).")


async def encrypt(known: Known) -> Finding:
    """Shake hands and check the certificate."""
    if known.endpoint.tls is None:
        return ok("None: the exchange is on this machine.")
    try:
        connection = await known.endpoint.dial()
    except NotSent as error:
        return failed(sentence(error), TLS_FIX, ExitCode.REFUSED_TO_START)
    try:
        if not isinstance(connection, TlsConnection):
            return ok("The certificate is trusted.")
        return certificate(connection.tls, known.ways.wall())
    finally:
        connection.close()


def certificate(tls: ssl.SSLObject, unix_seconds: float) -> Finding:
    """How long a certificate that was accepted is good for."""
    shown = tls.getpeercert() or {}
    until = str(shown.get("notAfter", ""))
    with contextlib.suppress(ValueError):
        days = (ssl.cert_time_to_seconds(until) - unix_seconds) / DAY_SECONDS
        said = f"{tls.version()}; the certificate is trusted, for another {days:.0f} days."
        if days > CERTIFICATE_WARN_DAYS:
            return ok(said)
        return warning(said, "See that it is renewed: without it nothing is quoted, and nothing can be cancelled.")
    return ok(f"{tls.version()}; the certificate is trusted.")


async def listing(known: Known) -> Finding:
    """Read the markets, as anybody may: an OCX answers at this address."""
    known.listing = await known.read(ocx.MARKETS, reads.markets)
    return ok(f"Markets listed: {len(known.listing)}.")


async def clock(known: Known) -> Finding:
    """Compare our clock with the `Date` of a few answers, of whatever status."""
    query = {"marketId": next(iter(known.config.markets))}
    known.skew, known.answers = Skew(), 0
    trouble: OcxError | None = None
    for _ in range(SKEW_ANSWERS):
        try:
            await known.reads.get_once(ocx.MARKET_STATS, bytes, query)
        except OcxError as error:
            trouble = error
    if not known.answers:
        assert trouble is not None, "each read was answered, or raised"
        raise trouble
    if known.skew.seconds is None:
        fix = f"{TIME_FIX} Nothing can watch it here."
        return unknown("The exchange's answers carry no date to compare with.", fix)
    if known.skewed is not None:
        return failed(sentence(f"{known.skewed.sentence}; a run ends at {SKEW_SECONDS_MAX:g} s"), TIME_FIX)
    if known.skew.warning:
        return warning(sentence(known.skew.warning), TIME_FIX)
    return ok(f"This machine's clock differs from the exchange's by {known.skew.seconds:+.1f} s (to half a second).")


async def market(known: Known, market_id: str) -> Finding:
    """Whether a market of ours is there and trades. Raises StartRefused."""
    row = tradable(market_id, known.listing)
    mark = f"; its mark is {row.mark_price}" if row.mark_price else ""
    return ok(f"A perpetual, {row.trading_status or 'listed'}{mark}.")


async def grid(known: Known, market_id: str) -> Finding:
    """Whether our sizes and steps fit the market's. Raises StartRefused."""
    row = tradable(market_id, known.listing)
    spec = spec_of(market_id, row, known.tier or NO_FEES)
    one = known.config.markets[market_id]
    mark = mark_of(row)
    refuse_small(spec, one.ladder.level_size)
    refuse_narrow(spec, one.limits, known.config.limits, mark)
    known.specs[market_id] = spec
    tick, step = spec.grid.price.step, spec.grid.size.step
    least = f"at least {spec.grid.size.text(spec.lots_min)}" if spec.lots_min else "no minimum stated"
    guessed = "" if row.tick_size and row.step_size else ", by its decimals: no step is stated"
    said = f"Tick {tick:f}, size step {step:f}{guessed}, {least}."
    if mark is not None and (trouble := too_little_value(said, spec, one, mark)):
        return trouble
    if one.ladder.level_size % step:
        kept = spec.grid.size.text(spec.grid.size.count_down(one.ladder.level_size))
        what = f"level_size {one.ladder.level_size:f} is between two steps: {kept} is quoted."
        return warning(f"{said} {what}", f"Write a multiple of {step:f}.")
    if mark is None:
        return ok(said)
    largest = one.ladder.level_size * one.ladder.size_growth ** (one.ladder.levels - 1)
    if largest * mark > one.limits.order_value_max:
        kept = spec.grid.size.text(order_lots(spec, one, mark))
        what = f"The outermost level is worth {largest * mark:.0f} at the mark, order_value_max is "
        fix = "Lower level_size or size_growth, or raise order_value_max."
        return warning(
            f"{said} {what}{one.limits.order_value_max:f}: of each level that is larger {kept} is quoted.", fix
        )
    ticks = one.ladder.level_step_bps * mark / BPS / tick
    if ticks < 1:
        what = (
            f"level_step_bps {one.ladder.level_step_bps:f} is {ticks:.2f} of a tick: levels stand a whole tick apart."
        )
        return warning(f"{said} {what}", f"Write at least {BPS * tick / mark:.3f}.")
    return ok(f"{said} level_step_bps is {ticks:.1f} ticks.")


def order_lots(spec: MarketSpec, one: Market, mark: Decimal) -> int:
    """Lots that one order may have by its value at the mark: a larger level is cut to so many."""
    return spec.grid.size.count_down(one.limits.order_value_max / mark)


def too_little_value(said: str, spec: MarketSpec, one: Market, mark: Decimal) -> Finding | None:
    """Fail limits on values that leave no quotes, or none after a first trade; None: they leave some."""
    ladder, limits, most = one.ladder, one.limits, order_lots(spec, one, mark)
    if most < max(1, spec.lots_min):
        least = spec.grid.size.value(max(1, spec.lots_min)) * mark
        what = f"The least order is worth {least:.2f} at the mark, order_value_max is {limits.order_value_max:f}"
        return failed(f"{said} {what}: nothing is ever sent.", "Raise it.")
    wanted = whole_sizes(ladder.level_size, ladder.size_growth, ladder.levels, spec.grid.size.step, Fraction(1))
    values = [spec.grid.size.value(min(lots, most)) * mark for lots in wanted]
    swept = min(2 * sum(values), limits.position_value_max)  # as much at most: a ladder leaves room for the next
    if swept <= limits.burst_value_max:
        return None
    freeze = limits.burst_freeze_seconds
    what = f"A ladder, both sides, is worth {swept:.0f} at the mark, burst_value_max is {limits.burst_value_max:f}"
    trade = "fills one level" if max(values) > limits.burst_value_max else "sweeps it once"
    then = f"stop its quotes for {freeze:g} s" if freeze else "stop us for a person"
    return failed(f"{said} {what}: a market that {trade} would {then}.", "Raise it to several ladders.")


async def stream(known: Known, market_id: str) -> Finding:
    """Whether the key opens a market's event stream, and it begins. Raises StreamBroken, Unauthorized."""
    params, machine = stream_params(market_id), MarketStream(known.specs[market_id])
    silent_seconds_max = known.config.cycle.stream_silent_seconds_max
    first = FirstSnapshot()
    assert known.client is not None, "the listing was read with it"
    with first.scope:
        await follow_market(known.client, params, machine, first, silent_seconds_max)
    return ok("Its event stream begins with a snapshot of the book.")


@attrs.define
class FirstSnapshot:
    """A door that closes behind the first snapshot."""

    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def deliver(self, event: Event) -> None:
        if isinstance(event, StreamSnapshot):
            self.scope.cancel(reason="the stream has begun")
