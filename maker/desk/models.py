"""The spread models by the name under which a configuration asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from maker.desk.avellaneda_stoikov import AvellanedaStoikov
from maker.desk.glft import GlftClosed, GlftExact
from maker.desk.spread import Fixed, Volatility


@attrs.frozen
class Kind:
    """One model: the class, whose fields are its parameters, and the fields of a `Situation` that it looks at."""

    make: type[Any]  # a SpreadModel; its constructor is its own
    reads: tuple[str, ...]


INVENTORY: Final = ("fair", "inventory", "inventory_max")

MODELS: Final[Mapping[str, Kind]] = {
    "fixed": Kind(Fixed, INVENTORY),
    "volatility": Kind(Volatility, (*INVENTORY, "volatility")),
    "avellaneda_stoikov": Kind(
        AvellanedaStoikov, ("fair", "inventory", "volatility", "size", "seconds_left", "fill_decay")
    ),
    "glft": Kind(GlftExact, (*INVENTORY, "volatility", "size", "seconds_left", "fill_rate", "fill_decay")),
    "glft_closed": Kind(GlftClosed, (*INVENTORY, "volatility", "size", "fill_rate", "fill_decay")),
}
