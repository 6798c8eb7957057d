"""A JSON feed that the configuration describes: what to send, and where in a message its five values stand.

A *path* is dotted: keys of objects, and numbers for places in lists, such as `data.bids.0.1`. A message that has any of
the four numbers is a quote, and must then have all of them and the symbol; null, or a place beyond a list's end, is an
empty side. Numbers may be JSON numbers or strings, and are read digit by digit (`exact`).

`stated_at` may lead to when the quote was made: unix seconds or milliseconds, as a number or its text, or ISO 8601 text
with a zone ("2026-01-05T12:00:00.5Z"). A number below SECONDS_BELOW is of seconds, one from there on of milliseconds.
Whatever else stands there, or nothing, is no time and no error.

Any other message says nothing of our price, unless it is the one that `alive` describes: a whole message ("pong"), or
a path and a value ("channel=heartbeat"). Where `error` leads to anything but null, false, 0 or an empty text, the venue
has refused us.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import attrs

from maker.wire.references.adapter import ZERO, Adapter, Fact, moment, written
from maker.wire.references.exact import decoder, exact_value

SYMBOL: Final = "{symbol}"
MISSING: Final = object()
SECONDS_BELOW: Final = 1e11  # as seconds the year 5138, as milliseconds 1973
PATHS: Final = ("symbol", "bid", "bid_size", "ask", "ask_size")  # fields of `Described` that must be paths


@attrs.frozen
class Described:
    """As the configuration writes it."""

    subscribe: str  # sent once a symbol with {symbol} replaced, or once as it stands; "": nothing is sent
    symbol: str  # this and the next four are paths
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    alive: str = ""
    error: str = ""  # a path
    ping: str = ""  # sent every PING_SECONDS; "": nothing is
    stated_at: str = ""  # a path; "": the venue states no time


@attrs.define
class DescribedFeed(Adapter):
    """Any venue that speaks JSON. Its address may have {symbol} in it: the symbols, with commas between."""

    described: Described

    @property
    def ping(self) -> str | None:
        return self.described.ping or None

    def address(self, url: str) -> str:
        return url.replace(SYMBOL, ",".join(quote(symbol, safe="") for symbol in self.symbols))

    def opening(self) -> tuple[str, ...]:
        template = self.described.subscribe
        if not template:
            return ()
        if SYMBOL not in template:
            return (template,)
        return tuple(template.replace(SYMBOL, written(symbol)[1:-1]) for symbol in self.symbols)

    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        described = self.described
        if described.alive and message in {described.alive, described.alive.encode()}:
            return self.heard
        tree = decoder.decode(message)
        if described.error:
            said = found(tree, described.error)
            if said is not MISSING and said:
                raise self.refused(said)
        paths = (described.bid, described.bid_size, described.ask, described.ask_size)
        numbers = [found(tree, path) for path in paths]
        if all(number is MISSING for number in numbers):
            path, equals, value = described.alive.partition("=")
            return self.heard if equals and shown(found(tree, path)) == value else ()
        symbol = found(tree, described.symbol)
        if not isinstance(symbol, str):
            raise ValueError(f"no symbol at {described.symbol}")  # noqa: TRY004 - what came is wrong, not the call
        for path, number in zip(paths, numbers, strict=True):
            if number is MISSING:
                raise ValueError(f"nothing at {path}")
        bid, bid_size, ask, ask_size = numbers
        stated_at = moment(found(tree, described.stated_at), SECONDS_BELOW) if described.stated_at else None
        return (self.quote(symbol, *best(bid, bid_size), *best(ask, ask_size), stated_at),)


def best(price: Any, size: Any) -> tuple[Decimal, Decimal]:
    """Read price and size; both 0 where either is null."""
    if price is None or size is None:
        return ZERO, ZERO
    return exact_value(price), exact_value(size)


def found(tree: Any, path: str) -> Any:
    """What stands at a path: None for null and for a place beyond a list's end, MISSING for a key that is not there."""
    for step in path.split("."):
        if isinstance(tree, dict) and step in tree:
            tree = tree[step]
        elif isinstance(tree, list) and step.isdecimal():
            if int(step) >= len(tree):
                return None
            tree = tree[int(step)]
        else:
            return MISSING
    return tree


def shown(value: Any) -> str | None:
    """A text as it is, any other single value as JSON; None for MISSING, and for an object or a list."""
    if value is MISSING or isinstance(value, dict | list):
        return None
    return value if isinstance(value, str) else written(value)
