"""JSON numbers -> Decimal, digit by digit: never by way of a float.

Most venues write prices as strings. Some write JSON numbers, which every ready-made reader turns into floats: 0.1 would
become a price of 55 digits, and 10.00 the size 1E+1. So a number is kept as the text that came, and read from that.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

import msgspec

from maker.desk.units import DECIMAL_TEXT_CHARACTERS_MAX, decimal_exact

EXPONENT_TEXT: Final = re.compile(r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,2})", re.ASCII)


class NumberText(str):
    """A JSON number with a point or an exponent, as it was written."""

    __slots__ = ()


def exact_text(text: str) -> Decimal:
    """Read a number with or without exponent (1.5e-7); ValueError for anything else, or if too long when unfolded."""
    if len(text) <= DECIMAL_TEXT_CHARACTERS_MAX and EXPONENT_TEXT.fullmatch(text) is not None:
        text = f"{Decimal(text):f}"
    return decimal_exact(text)


def exact_raw(raw: msgspec.Raw) -> Decimal:
    """Read one field that is a JSON number, or a number in a JSON string; ValueError for anything else."""
    text = bytes(raw).decode()
    return exact_text(msgspec.json.decode(text, type=str) if text.startswith('"') else text)


def exact_value(value: Any) -> Decimal:
    """Read one value of `decoder`'s; ValueError for anything but a number or a number in a string."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return exact_text(str(value))
    raise ValueError(f"not a number: {value!r:.40}")


decoder: Final = msgspec.json.Decoder(float_hook=NumberText)  # of any JSON at all
