"""What a reference venue's room offers whoever holds the connection. One object a connection: some keep state.

A venue's message becomes facts:

    a best bid and ask                     ReferenceQuote; a side that is empty or of size 0 has price 0: no price
    nothing has changed (pong, heartbeat)  ReferenceHeard: our last price still stands
    anything else that is well formed      nothing: the connection lives, but it says nothing of our price
    garbage, a field missing, out of order, a subscription refused, a symbol nobody asked for: StreamBroken
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Final

import attrs
import msgspec

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.desk.units import decimal_exact
from maker.errors import StreamBroken, StreamFault
from maker.wire.references.exact import decoder

Fact = ReferenceQuote | ReferenceHeard

MESSAGE_BYTES_MAX: Final = 65_536  # a best bid and ask is 200 bytes, a list of all subscriptions some thousand
PING_SECONDS: Final = (
    2.0  # between two pings: two within the 5 s of silence that we allow, far below every venue's limit
)
REASON_CHARACTERS_MAX: Final = 200  # of what a venue says: it goes to logs and screens
ZERO: Final = Decimal(0)
NOTHING: Final = msgspec.Raw(b"null")  # a time that a message does not state

MILLISECONDS: Final = 1_000  # a second
TIME_SECONDS_MAX: Final = 1e12  # no clock counts so many: the year 33,658
TIME_CHARACTERS_MAX: Final = 40  # of a text; nanoseconds and a zone are 35
TIME_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


@attrs.define
class Adapter(abc.ABC):
    """One connection to one venue: what to send, and what its messages mean."""

    url: ClassVar[str] = ""  # the public production endpoint; no key is needed
    ping_seconds: ClassVar[float] = PING_SECONDS

    source: str  # the name of its [reference.NAME]
    symbols: tuple[str, ...]  # as the venue spells them

    def address(self, url: str) -> str:
        """Where to connect, given the configured address: the same, unless the venue wants symbols in it."""
        return url

    @property
    def ping(self) -> str | None:
        """A message whose answer is a sign of life, to be sent every `ping_seconds`; None: the venue speaks unasked."""
        return None

    @abc.abstractmethod
    def opening(self) -> tuple[str, ...]:
        """Return the messages to send after connecting, in this order."""

    @abc.abstractmethod
    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        """Turn a message into facts; raise ValueError, RecursionError or StreamBroken."""

    def parse(self, message: str | bytes) -> tuple[Fact, ...]:
        """Turn a message into facts, none where it says nothing of a price. Raise StreamBroken, nothing else."""
        try:
            return self.read(message)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            said = str(error)[:REASON_CHARACTERS_MAX]
            raise StreamBroken(StreamFault.MALFORMED, f"{self.source}: {said}") from error

    @property
    def heard(self) -> tuple[ReferenceHeard]:
        return (ReferenceHeard(self.source),)

    def quote(
        self,
        symbol: str,
        bid: Decimal,
        bid_size: Decimal,
        ask: Decimal,
        ask_size: Decimal,
        stated_at: float | None = None,
    ) -> ReferenceQuote:
        """Make the fact; raise ValueError for a symbol that was not asked for. `stated_at` is what `moment` read."""
        if symbol not in self.symbols:
            asked = ", ".join(self.symbols)
            raise ValueError(
                f"a price of {symbol[:REASON_CHARACTERS_MAX]!r}, which is not what was asked for ({asked})"
            )
        if bid_size <= 0:
            bid = bid_size = ZERO
        if ask_size <= 0:
            ask = ask_size = ZERO
        return ReferenceQuote(self.source, symbol, bid, bid_size, ask, ask_size, stated_at)

    def refused(self, reason: object) -> StreamBroken:
        """Return the error for a venue that will not serve us, with its own words."""
        said = str(reason)[:REASON_CHARACTERS_MAX]
        return StreamBroken(StreamFault.CLOSED, f"{self.source}: refused by the venue: {said!r}")


def side(levels: Iterable[Iterable[str]]) -> tuple[Decimal, Decimal]:
    """Read price and size of the first of some levels (price, size, more); no level: both 0."""
    for price, size, *_ in levels:
        return decimal_exact(price), decimal_exact(size)
    return ZERO, ZERO


def moment(stated: object, seconds_below: float = 0.0) -> float | None:
    """Read a venue's time as unix seconds; None for anything else whatever: a time helps, and no quote needs it.

    `stated` is a JSON value, read or raw: milliseconds, as a number or its text, or ISO 8601 text with a zone. A number
    below `seconds_below` is one of seconds. What is beyond TIME_SECONDS_MAX, or not after 1970 began, is no time: a
    clock that was never set says 0.
    """
    if isinstance(stated, msgspec.Raw):
        try:
            stated = decoder.decode(stated)
        except (ValueError, RecursionError):
            return None
    if isinstance(stated, bool) or not isinstance(stated, str | int | float):
        return None
    if isinstance(stated, str) and len(stated) > TIME_CHARACTERS_MAX:
        return None
    if isinstance(stated, str) and TIME_NUMBER.fullmatch(stated) is None:
        seconds = calendar_seconds(stated)
    elif isinstance(stated, int) and not 0 <= stated <= TIME_SECONDS_MAX * MILLISECONDS:
        return None  # before it is a float, which has no room for every int
    else:
        number = float(stated)
        seconds = number if number < seconds_below else number / MILLISECONDS
    return seconds if 0 < seconds <= TIME_SECONDS_MAX else None  # NaN is neither


def calendar_seconds(text: str) -> float:
    """Unix seconds of ISO 8601 text; 0 where it is none, or states no zone."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return read.timestamp() if read.tzinfo is not None else 0.0


def written(message: object) -> str:
    """Write what we send."""
    return msgspec.json.encode(message).decode()
