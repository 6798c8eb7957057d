"""ULIDs that a seed decides: 48 bits of time, 40 bits from the seed, 40 bits of a counter.

They sort by time, then by order of making, and never repeat on one exchange.
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, as the ULID specification has it
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_COUNTER_MAX: Final = 2**40


def _spell(number: int, pairs: int) -> str:
    """Spell a number as two base-32 digits a pair, most significant first."""
    return "".join(_PAIRS[(number >> shift) & 1023] for shift in range(10 * (pairs - 1), -1, -10))


@attrs.define
class UlidSource:
    """Make ids; `counter` is the whole of its state besides the seed."""

    seed: int
    counter: int = 0
    _seed_text: str = attrs.field(init=False)
    _time: tuple[int, str] = attrs.field(init=False, default=(0, _spell(0, 5)))  # the last time and its spelling

    def __attrs_post_init__(self) -> None:
        entropy = hashlib.sha256(f"ulid {self.seed}".encode()).digest()
        self._seed_text = _spell(int.from_bytes(entropy[:5], "big"), 4)

    def make(self, now_ms: int) -> str:
        """Make the next id, 26 characters."""
        self.counter += 1
        assert 0 <= now_ms < 2**48
        assert self.counter < _COUNTER_MAX
        if self._time[0] != now_ms:
            self._time = (now_ms, _spell(now_ms, 5))
        return self._time[1] + self._seed_text + _spell(self.counter, 4)
