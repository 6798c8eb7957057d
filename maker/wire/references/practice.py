"""The practice exchange's own feed (`maker.wire.reference`), as one venue among others."""

from __future__ import annotations

import attrs

from maker.desk.events import ReferenceHeard
from maker.wire import reference
from maker.wire.references.adapter import Adapter, Fact


@attrs.define
class Practice(Adapter):
    """Best bid and ask as text, a heartbeat every second; its address is known only once it runs."""

    def opening(self) -> tuple[str, ...]:
        return (reference.subscription(list(self.symbols)),)

    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        fact = reference.parse(self.source, message)
        if isinstance(fact, ReferenceHeard):
            return (fact,)
        return (self.quote(fact.symbol, fact.bid, fact.bid_size, fact.ask, fact.ask_size, fact.stated_at),)
