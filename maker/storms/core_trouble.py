"""Faults that are the exchange's own: they do something when they begin, and something when they are over."""

from __future__ import annotations

from contextlib import suppress

from maker.paper.orders import OrderRequest
from maker.paper.rejection import Rejection
from maker.paper.state import INSURANCE
from maker.storms.core_faults import InForce
from maker.storms.core_market import CROWD
from maker.storms.core_venue import Venue


def begin(venue: Venue, one: InForce) -> None:
    """A fault that does something when it begins."""
    market_id = venue.faults.market(one)
    side = "buy" if one.number("side") > 0 else "sell"
    match one.fault.name:
        case (
            "stream_closed"
            | "delta_first"
            | "snapshot_crossed"
            | "snapshot_old"
            | "old_events"
            | "cancel_all_fails"
            | "reads_fail"
        ):  # what bites only when something is pulled, or connects anew
            conn = venue.streams.get(market_id)
            if conn is not None and conn.is_open:
                venue.close(conn)
                if one.fault.name == "stream_closed":
                    venue.faults.count(one)
                else:
                    venue.faults.on_bite(one)  # the cut itself is felt; the fault counts once it has bitten
        case "stream_silent" | "stream_heartbeats" | "reference_silent":
            venue.faults.count(one)
        case "tokens_taken":
            window = venue.exchange.state.windows[venue.user]
            with suppress(Rejection):  # a window that is over begins anew; one that is used up stays so
                venue.exchange.charge(venue.user, venue.heap.unix_ms)
            window.used = min(window.limit, window.used + 5 + int(115 * one.size))
            venue.faults.count(one)
        case "market_halted":
            venue.exchange.halt_market(market_id)
            venue.judge.about[market_id].halted = True
            venue.faults.count(one)
        case "index_jump":
            jump = (0.004 + 0.03 * one.size) * one.number("side")
            venue.set_index(market_id, venue.index_ticks[market_id] * (1 + jump))
            venue.requote(market_id)
            venue.exchange.advance(venue.heap.unix_ms)
            venue.faults.count(one)
        case "fill_burst":
            swept = venue.take(market_id, side, 10.0, levels=4)
            if one.fault.words["way"] == "first":
                swept = venue.take(market_id, "sell" if side == "buy" else "buy", 10.0, levels=4) or swept
            if swept:
                venue.faults.count(one)
        case "foreign_trade" | "foreign_position":
            if not venue.faults.holds("stream_heartbeats", market_id):
                foreign(venue, one, market_id, side)
        case _:
            pass  # it waits for something to bite
    venue.stir()


def foreign(venue: Venue, one: InForce, market_id: str, side: str) -> None:
    """Somebody else changes our position: by a trade of the account's, or without one."""
    spec, now_ms = venue.spec(market_id), venue.heap.unix_ms
    quantity = spec.quantity_min * (1 + int(40 * one.size))
    if one.fault.name == "foreign_trade":
        # Our own best is the best, and nobody trades with himself: somebody quotes inside it, and is taken.
        best = venue.exchange.best(market_id)[1 if side == "buy" else 0]
        price = (venue.index(market_id) if best is None else best) + spec.tick_size * (-1 if side == "buy" else 1)
        opposite = "sell" if side == "buy" else "buy"
        venue.exchange.place_crowd_order(CROWD, market_id, opposite, price, quantity, post_only=True, now_ms=now_ms)
        request = OrderRequest(
            market_id=market_id, side=side, type="limit", price=price, quantity=quantity, time_in_force="ioc"
        )
        before = venue.exchange.own_trade_count(venue.user)
        try:
            venue.exchange.place_order(venue.user, request, now_ms)
        except Rejection:
            return
        if venue.exchange.own_trade_count(venue.user) == before:
            return
    else:
        state, mark = venue.exchange.state, venue.index(market_id)
        opposite = "sell" if side == "buy" else "buy"
        state.accounts[venue.user].move(market_id, side, mark, quantity, now_ms, state.ids)
        state.accounts[INSURANCE].move(market_id, opposite, mark, quantity, now_ms, state.ids)
        venue.judge.moved_without_trade()
    venue.judge.displaced(market_id)
    venue.faults.count(one)


def end(venue: Venue, one: InForce) -> None:
    """A fault is over."""
    venue.faults.end(one)
    market_id = venue.faults.market(one)
    if one.fault.name == "market_halted" and not venue.faults.holds("market_halted", market_id):
        venue.exchange.resume_market(market_id)
    if one.fault.name == "reference_silent":
        for each in venue.market_ids:
            venue.reference(each)
    venue.stir()
