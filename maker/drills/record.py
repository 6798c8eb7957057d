"""What really happened, read from the practice exchange's record. Imports nothing of the program it judges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs

BULK: Final = "/perps/quotes/bulk"
CANCEL_ALL: Final = "/perps/orders/cancel-all"
ORDERS: Final = "/perps/orders"
CREATING: Final = frozenset({BULK, "/perps/quotes", ORDERS, "/perps/positions/close"})  # POST: may make orders
SIDES: Final = ("buy", "sell")
BPS: Final = 10_000

Line = dict[str, Any]


@attrs.define
class Call:
    """One request's life; times in unix milliseconds, None: it has not come so far."""

    number: int
    venue: int  # which start of the venue: request numbers begin anew
    method: str
    path: str
    begin: float
    apply: float | None = None
    ack: float | None = None
    status: int | None = None
    body: str = ""

    @property
    def creates(self) -> bool:
        """Whether it can make orders."""
        return self.method == "POST" and self.path in CREATING

    @property
    def cancels(self) -> bool:
        return self.path == CANCEL_ALL

    @property
    def reads_orders(self) -> bool:
        return (self.method, self.path) == ("GET", ORDERS)


class Record:
    """A record file, read as far as it is written; `refresh` reads on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.lines: list[Line] = []

    def refresh(self) -> list[Line]:
        """Read what has been written since the last time, and return everything."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self.offset += len(whole)
            self.lines += [json.loads(line) for line in whole.splitlines()]
        return self.lines

    def kind(self, kind: str) -> Iterator[Line]:
        """Lines of one kind."""
        return (line for line in self.lines if line["kind"] == kind)

    def calls(self) -> list[Call]:
        """Every request, by the time of its first byte."""
        found: dict[tuple[int, int], Call] = {}
        venue = 0
        for line in self.lines:
            if line["kind"] == "start":
                venue += 1
            if line["kind"] != "request":
                continue
            key = (venue, line["request"])
            if line["phase"] == "begin":
                found[key] = Call(line["request"], venue, line["method"], line["path"], line["t"])
            elif line["phase"] == "apply":
                found[key].apply, found[key].status = line["t"], line["status"]
                found[key].body = line.get("body", "")
            elif line["phase"] == "ack":
                found[key].ack = line["t"]
        return sorted(found.values(), key=lambda call: call.begin)

    def ladders(self, since: float = 0.0) -> list[Call]:
        """Requests that can make orders, begun from then on."""
        return [call for call in self.calls() if call.creates and call.begin >= since]

    def cancels(self, since: float = 0.0) -> list[Call]:
        """Cancel-alls begun from then on."""
        return [call for call in self.calls() if call.cancels and call.begin >= since]

    # -- orders

    def resting(self, until: float = float("inf")) -> dict[str, Line]:
        """Users' orders that rest at a time, by order id."""
        orders: dict[str, Line] = {}
        for line in self.lines:
            if line["t"] > until:
                break
            follow(orders, line)
        return orders

    def empty_from(self, since: float) -> float | None:
        """The first time at or after `since` from which nothing rests until the end of the record; None: never."""
        orders: dict[str, Line] = {}
        empty_at: float | None = since
        for line in self.lines:
            follow(orders, line)
            if orders:
                empty_at = None
            elif empty_at is None:
                empty_at = max(since, line["t"])
        return empty_at

    def emptied_at(self, since: float) -> float | None:
        """The first time at or after `since` at which nothing rests; None: not so far.

        A ladder that replaces the only other one empties the book for no time: within one request nothing is over.
        """
        orders: dict[str, Line] = {}
        before = 0.0
        cause: int | None = None  # the request whose changes the lines above are
        for line in self.lines:
            goes_on = line["kind"] == "order" and cause is not None and line.get("request") == cause
            if line["t"] >= since and not orders and not goes_on:
                return max(since, before)
            follow(orders, line)
            before, cause = line["t"], line.get("request") if line["kind"] == "order" else None
        return None if orders else max(since, before)

    def pulled_at(self, since: float) -> float | None:
        """The first time at which nothing rests from the first cancel-all after `since` on; None: not so far.

        Quotes may all be filled before anything is noticed, and then be put anew: that is no pull.
        """
        first = next(iter(self.cancels(since)), None)
        return None if first is None else self.emptied_at(first.begin)

    def placed(self, since: float = 0.0) -> list[Line]:
        """Orders placed from then on."""
        return [line for line in self.kind("order") if line["action"] == "placed" and line["t"] >= since]

    # -- money

    def positions(self) -> dict[str, Decimal]:
        """What all users' trades of the record sum up to, by market."""
        sums: dict[str, Decimal] = {}
        for trade in self.own_trades():
            taker = not trade["takerUserId"].startswith("crowd")
            maker = not trade["makerUserId"].startswith("crowd")
            buys = trade["takerSide"] == "buy"
            quantity = Decimal(trade["quantity"])
            change = (quantity if taker else 0) - (quantity if maker else 0)
            sums[trade["marketId"]] = sums.get(trade["marketId"], Decimal(0)) + (change if buys else -change)
        return sums

    def own_trades(self) -> list[Line]:
        """Trades with a user in them."""
        return list(self.kind("trade"))

    # -- quality

    def covered(self, market: str, size_min: Decimal, within_bps: Decimal, since: float, until: float) -> float:
        """Share of the time in which both sides rest with at least `size_min` within so many basis points of mid."""
        orders: dict[str, Line] = {}
        mid: Decimal | None = None
        good_ms = 0.0
        good = False
        at = since
        for line in self.lines:
            now = min(max(line["t"], since), until)
            if good:
                good_ms += max(0.0, now - at)
            at = max(at, now)
            follow(orders, line)
            if line["kind"] == "sample" and line["marketId"] == market and line["mid"]:
                mid = Decimal(line["mid"])
            if line["kind"] in ("sample", "order"):
                good = mid is not None and both_sides(orders.values(), market, size_min, within_bps, mid)
        if good:
            good_ms += max(0.0, until - at)
        return good_ms / (until - since)


def follow(orders: dict[str, Line], line: Line) -> None:
    """Bring the resting orders up to date by one line."""
    if line["kind"] == "start":
        orders.clear()
        orders.update({order["orderId"]: order for order in line["resting"]})
    elif line["kind"] == "order":
        if line["action"] == "removed" or Decimal(line["remaining"]) == 0:
            orders.pop(line["orderId"], None)
        else:
            orders[line["orderId"]] = orders.get(line["orderId"], {}) | line


def both_sides(orders: Iterable[Line], market: str, size_min: Decimal, within_bps: Decimal, mid: Decimal) -> bool:
    """Whether both sides have enough near enough to mid."""
    sizes = dict.fromkeys(SIDES, Decimal(0))
    for order in orders:
        if order["marketId"] == market and abs(Decimal(order["price"]) - mid) * BPS <= within_bps * mid:
            sizes[order["side"]] += Decimal(order["remaining"])
    return all(size >= size_min for size in sizes.values())
