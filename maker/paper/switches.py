"""What OCX does not document, as named switches: a client must be right in every position."""

from __future__ import annotations

from typing import Final

import attrs

MARGIN_REFUSALS: Final = ("atomic", "cancels_first", "partial")
LEVEL_REFUSALS: Final = ("whole", "level")
REPEATED_QUOTE_IDS: Final = ("refuse", "replay", "accept")
CANCEL_ALL_ANSWERS: Final = ("after", "before")
BULK_ANSWERS: Final = ("orders", "ack")
ERROR_BODIES: Final = ("current", "older")
SESSION_WANTED: Final = ("never", "reads", "singles", "both")
RATE_LIMIT_RESETS: Final = ("seconds", "unix", "unix_ms")


@attrs.frozen(kw_only=True)
class Switches:
    """Choose one reading of each undocumented behaviour; raises ValueError on an unknown position."""

    # A bulk that the margin gate refuses. atomic: 422 and the old ladder stays. cancels_first: 422, the old ladder is
    # gone and nothing was placed. partial: 200, levels are placed in the given order while they fit, the rest is
    # answered as rejected.
    margin_refusal: str = attrs.field(default="atomic", validator=attrs.validators.in_(MARGIN_REFUSALS))
    # A bulk with one level off tick, off step, out of band, too small, crossing though post-only, or increasing though
    # reduce-only. whole: 422 and nothing changes. level: 200, that level alone is answered as rejected with its code.
    level_refusal: str = attrs.field(default="whole", validator=attrs.validators.in_(LEVEL_REFUSALS))
    # A quoteId that was used before. refuse: 409. replay: the first answer again, no effect. accept: as if new.
    repeated_quote_id: str = attrs.field(default="refuse", validator=attrs.validators.in_(REPEATED_QUOTE_IDS))
    # When cancel-all answers. after: the orders are gone when the answer leaves. before: the answer leaves first.
    cancel_all_answer: str = attrs.field(default="after", validator=attrs.validators.in_(CANCEL_ALL_ANSWERS))
    # Whether the listing of markets carries the older site's fields beside the current ones.
    older_market_fields: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    # Whether a user's own trades name the order and clientOrderId they filled.
    trades_name_orders: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    # What a bulk answers. orders: one record per level. ack: counts only.
    bulk_answer: str = attrs.field(default="orders", validator=attrs.validators.in_(BULK_ANSWERS))
    # Shape of error bodies. current: {error: CODE, message}. older: {error: family, code: CODE, message}.
    error_body: str = attrs.field(default="current", validator=attrs.validators.in_(ERROR_BODIES))
    # Which calls refuse an API key, 403, and want a session. reads: positions, balances, own trades, wallet balance and
    # the event streams of an account. singles: one order, its cancel and modify, positions/close.
    session_wanted: str = attrs.field(default="never", validator=attrs.validators.in_(SESSION_WANTED))
    # Unit of X-RateLimit-Reset. seconds: from now, rounded up. unix: epoch seconds, rounded up. unix_ms: epoch ms.
    rate_limit_reset: str = attrs.field(default="seconds", validator=attrs.validators.in_(RATE_LIMIT_RESETS))
