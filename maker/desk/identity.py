"""Names of our orders: unique for ever, and recognisable as ours.

clientOrderId = instance prefix + random boot epoch + counter; a quoteId is the same with a `q`. The epoch is drawn anew
at each start, so no journal is needed to never repeat one, and an order found resting tells which run placed it.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

EPOCH_CHARACTERS: Final = 8  # base 36: 41 bits, so that two starts in a lifetime do not meet
PREFIX_PATTERN: Final = re.compile(r"[a-z0-9]{2,8}", re.ASCII)
ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    """Write a non-negative integer in base 36."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = ALPHABET[digit] + digits
        if not number:
            return digits


@attrs.define
class Identity:
    """One run's names."""

    prefix: str  # of the instance, from the configuration
    epoch: str  # of this run
    orders: int = 0
    quotes: int = 0

    @classmethod
    def of(cls, prefix: str, random_bits: int) -> Identity:
        """Make a run's identity; `random_bits` is any large random integer. Raises ValueError for a bad prefix."""
        if PREFIX_PATTERN.fullmatch(prefix) is None:
            raise ValueError("an order prefix is 2 to 8 of a-z and 0-9")
        return cls(prefix, base36(random_bits % 36**EPOCH_CHARACTERS).rjust(EPOCH_CHARACTERS, "0"))

    def client_order_id(self) -> str:
        """The next order's id: at most 32 ASCII characters, never given twice."""
        self.orders += 1
        return f"{self.prefix}-{self.epoch}-{base36(self.orders)}"

    def quote_id(self) -> str:
        """The next ladder's id, never given twice."""
        self.quotes += 1
        return f"{self.prefix}-{self.epoch}-q{base36(self.quotes)}"

    def is_ours(self, client_order_id: str | None) -> bool:
        """Whether an order was placed by this instance, in this run or an earlier one."""
        return client_order_id is not None and client_order_id.startswith(f"{self.prefix}-")
