"""The maker's state as it is now, for whoever looks on: one datagram, and only the latest counts.

The maker sends, the monitor reads; nothing is ever sent back. Prices, sizes and money are decimal text, as on the
exchange's wire; `_at` are unix seconds, for people; `_age_seconds` were reckoned by the maker's own clock when it sent.
Positions and skews are signed, + long. What is not known is None, never 0.
"""

from __future__ import annotations

from typing import Final

import msgspec

DATAGRAM_BYTES_MAX: Final = 196_608  # Linux carries 208 kB by default; a market of 2 x 10 quotes takes 2 kB


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts have in common."""


class Quote(Live, frozen=True, kw_only=True):
    """One order of ours that rests, as far as we know."""

    side: str  # buy | sell
    price: str
    size: str


class Profit(Live, frozen=True, kw_only=True):
    """What changed equity since the run began, in quote currency: gains positive, costs negative; they add."""

    total: str
    spread: str
    inventory: str
    fees: str
    funding: str


class Market(Live, frozen=True, kw_only=True):
    """One market."""

    market_id: str
    state: str  # quoting | not quoting
    sentence: str  # why, for people
    tick: str  # price step
    fair: str | None = None  # quote per base
    fair_half_width_bps: float | None = None  # of what is known, not of our spread
    no_fair: str = ""  # why there is none
    mark: str | None = None
    best_bid: str | None = None  # of the whole book, ours included
    best_ask: str | None = None
    quotes: tuple[Quote, ...] = ()  # innermost first on either side
    quotes_age_seconds: float | None = None  # since the ladder that rests was accepted
    position: str = "0"  # base
    position_max: str = "0"  # base, unsigned: the configured limit
    position_value: str | None = None  # quote, unsigned, at the mark
    position_value_max: str = "0"
    entry: str | None = None  # average price of the position
    unrealized: str | None = None  # quote
    profit: Profit | None = None
    fills: int = 0  # since the run began
    maker_fee_bps: str | None = None  # as the exchange states it; negative: a rebate
    taker_fee_bps: str | None = None
    stream: str = "down"  # live | down
    stream_age_seconds: float | None = None  # since anything was heard, heartbeats included


class Feed(Live, frozen=True, kw_only=True):
    """One reference feed."""

    name: str
    state: str  # live | stale | down
    sentence: str = ""  # why it is left out, or down
    age_seconds: float | None = None  # since it last told a price, or that none had changed


class Budget(Live, frozen=True, kw_only=True):
    """Requests of the order path."""

    limit: int  # tokens a minute, as the exchange last stated it
    left: float  # tokens of this minute that are left, as far as we know
    reserve: float  # ... of them kept for cancel-all: quoting never spends these
    spent: int  # since the run began
    throttled: int  # answers 429


class Account(Live, frozen=True, kw_only=True):
    """Money, of the whole account, in quote currency."""

    balance: str | None = None
    equity: str | None = None
    available: str | None = None
    headroom: float | None = None  # available / equity
    margin_step: str = "ample"  # ample | warn | shrink | reduce only | flatten
    profit: Profit | None = None
    drawdown: str | None = None  # unsigned, from the best equity since the losses were last cleared
    drawdown_max: str | None = None
    loss_today: str | None = None  # unsigned
    loss_day_max: str | None = None


class Key(Live, frozen=True, kw_only=True):
    """The API key in use, by what is noted beside it."""

    key_id: str = ""
    scope: str = ""
    expires_at: float | None = None  # None: not known, or never


class State(Live, frozen=True, kw_only=True):
    """All of it."""

    sequence: int  # counts datagrams of one run
    sent_at: float
    boot_seconds: float = 0.0  # the same moment on CLOCK_BOOTTIME: on this machine a state's age is told by it
    run_id: str
    started_at: float
    mode: str  # paper | live
    account_name: str
    state: str  # starting | quoting | not quoting | pulling | ending
    sentence: str  # why, for people
    reason: str = ""  # of the last pull: a row of the dead-man table
    state_at: float  # since when
    pulled_at: float | None = None  # when quotes were last pulled
    verified_empty_at: float | None = None  # when the exchange was last read back empty
    loop_lag_seconds: float = 0.0  # largest since the last datagram
    answer_seconds_p50: float | None = None  # of recent ladders, first byte to answer
    answer_seconds_p99: float | None = None
    markets: tuple[Market, ...] = ()
    feeds: tuple[Feed, ...] = ()
    budget: Budget | None = None
    account: Account = Account()
    key: Key = Key()


encoder: Final = msgspec.json.Encoder()
decoder: Final = msgspec.json.Decoder(State)


def encode(state: State) -> bytes:
    """Return a state's datagram. Raises ValueError for one that no datagram can carry."""
    data = encoder.encode(state)
    if len(data) > DATAGRAM_BYTES_MAX:
        raise ValueError(f"a state of {len(data)} bytes: a datagram carries {DATAGRAM_BYTES_MAX}")
    return data


def decode(data: bytes) -> State:
    """Read a datagram. Raises ValueError for what is none."""
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"no state: {error}") from error
