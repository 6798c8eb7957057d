"""The reference venues by name, as the configuration writes them."""

from __future__ import annotations

from typing import Final

from maker.wire.references.adapter import Adapter
from maker.wire.references.binance import Binance, BinanceUsdm
from maker.wire.references.bybit import Bybit
from maker.wire.references.coinbase import Coinbase
from maker.wire.references.described import Described, DescribedFeed
from maker.wire.references.hyperliquid import Hyperliquid
from maker.wire.references.kraken import Kraken
from maker.wire.references.okx import Okx
from maker.wire.references.practice import Practice

PRACTICE: Final = "practice"
JSON: Final = "json"
BUILT: Final[dict[str, type[Adapter]]] = {
    PRACTICE: Practice,
    "binance": Binance,
    "binance-usdm": BinanceUsdm,
    "bybit": Bybit,
    "coinbase": Coinbase,
    "hyperliquid": Hyperliquid,
    "kraken": Kraken,
    "okx": Okx,
}
VENUES: Final = (*BUILT, JSON)


def adapter(venue: str, source: str, symbols: tuple[str, ...], described: Described | None = None) -> Adapter:
    """Make what one connection needs; make a new one for the next. `described` only for the venue "json"."""
    assert venue in VENUES, venue
    assert (described is not None) == (venue == JSON), venue
    if described is not None:
        return DescribedFeed(source, symbols, described)
    return BUILT[venue](source, symbols)


def default_url(venue: str) -> str:
    """Return the venue's public address; empty where the configuration must give one."""
    return BUILT[venue].url if venue in BUILT else ""
