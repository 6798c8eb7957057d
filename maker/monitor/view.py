"""One view of a run, as the page gets it: the maker's word and all that is known beside it, as one JSON object."""

from __future__ import annotations

from typing import Any, Final

import attrs
import msgspec

from maker.monitor.health import health
from maker.monitor.observation import Findings, Observation

encoder: Final = msgspec.json.Encoder(enc_hook=str)


@attrs.frozen
class About:
    """What the monitor says of itself."""

    version: str
    key: str  # read | none; trade where that is allowed
    started_at: float  # unix seconds


def view(seen: Observation, findings: Findings, about: About, clients: int, *, ends: bool = False) -> bytes:
    """Return one line of JSON; `ends`: the monitor's last, so that a page can tell its end from its loss."""
    is_well, sentence = health(seen)
    orders = seen.exchange.orders
    said: dict[str, Any] = {
        "state": seen.state,
        "state_age_seconds": seen.state_age_seconds,
        "maker": seen.maker.value,
        "guard": seen.guard.value,
        "latched": seen.latched,
        "audit": findings.audit,
        "alerts": list(findings.alerts),
        "monitor": {**attrs.asdict(about), "clients": clients, "ends": ends},
        "health": {"is_well": is_well, "sentence": sentence},
        "exchange": {
            "open_orders": None if orders is None else len(orders),
            "read_at": seen.exchange.orders_at,
            "why_not": seen.exchange.why_not,
        },
    }
    return encoder.encode(said)
