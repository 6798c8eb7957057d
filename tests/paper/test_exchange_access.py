"""Keys with their scopes, the rate limit, ids, and what the witness is told."""

from __future__ import annotations

import pytest

from maker.paper.exchange import Exchange
from maker.paper.identifiers import UlidSource
from maker.paper.keys import PAPER_READ_SECRET, PAPER_TRADE_SECRET
from maker.paper.ratelimit import WINDOW_MS, RateState, reset_header
from maker.paper.registry import IdMemory
from maker.paper.rejection import STATUS_OF_CODE, Rejection
from maker.paper.state import USERS_MAX, ExchangeSettings
from tests.paper.exchange_kit import BTC, NOW, TAKERS, D, bulk, crowd, level, make, place, refused

HOME = "127.0.0.1"


def test_the_two_practice_keys_belong_to_one_user() -> None:
    """Both exist from the start, with their scopes; an unknown secret finds nothing."""
    exchange = make()
    trade, read = (exchange.lookup(secret) for secret in (PAPER_TRADE_SECRET, PAPER_READ_SECRET))
    assert trade is not None
    assert read is not None
    assert (trade.scope, read.scope) == ("trade", "read")
    assert trade.user_id == read.user_id == exchange.user_id
    assert trade.key_id.startswith("ocx_kid_")
    assert trade.key_id != read.key_id
    assert exchange.lookup("ocx_sk_other") is None
    assert exchange.keys(exchange.user_id) == (trade, read)
    assert PAPER_TRADE_SECRET not in repr(exchange.state.keys)
    assert PAPER_TRADE_SECRET not in str(exchange.dump())


def test_authorize_each_refusal() -> None:
    """Unknown and expired 401, revoked 409, foreign address and short scope 403; a trade key may read."""
    exchange = make()

    def ask(secret: str, scope: str = "read", address: str = HOME, now_ms: int = NOW) -> str:
        return exchange.authorize(secret, scope=scope, address=address, now_ms=now_ms).user_id

    assert ask(PAPER_TRADE_SECRET) == ask(PAPER_TRADE_SECRET, "trade") == ask(PAPER_READ_SECRET) == exchange.user_id
    refused("INSUFFICIENT_SCOPE", 403, lambda: ask(PAPER_READ_SECRET, "trade"))
    refused("KEY_UNKNOWN", 401, lambda: ask("ocx_sk_other"))
    pinned = exchange.add_key(
        exchange.user_id,
        "ocx_sk_pinned",
        name="pinned",
        scope="trade",
        now_ms=NOW,
        allowed_addresses=("10.0.0.1",),
        expires_ms=NOW + 1000,
    )
    refused("IP_NOT_ALLOWED", 403, lambda: ask("ocx_sk_pinned", "trade"))
    assert ask("ocx_sk_pinned", "trade", "10.0.0.1", NOW + 999) == exchange.user_id
    assert exchange.keys(exchange.user_id)[-1].last_used_address == "10.0.0.1"
    assert exchange.keys(exchange.user_id)[-1].last_used_ms == NOW + 999
    refused("KEY_EXPIRED", 401, lambda: ask("ocx_sk_pinned", "trade", "10.0.0.1", NOW + 1000))
    assert pinned.status(NOW + 1000) == "expired"
    assert exchange.revoke_key(pinned.key_id, NOW + 2) is True
    assert exchange.revoke_key("ocx_kid_nothing", NOW) is False
    refused("KEY_REVOKED", 409, lambda: ask("ocx_sk_pinned", "trade", "10.0.0.1", NOW + 3))
    assert exchange.keys(exchange.user_id)[-1].status(NOW) == "revoked"
    with pytest.raises(ValueError, match="taken"):
        exchange.add_key(exchange.user_id, "ocx_sk_pinned", name="again", scope="read", now_ms=NOW)
    with pytest.raises(ValueError, match="scope"):
        exchange.add_key(exchange.user_id, "ocx_sk_new", name="odd", scope="admin", now_ms=NOW)


def test_rate_limit_is_a_fixed_window_per_user() -> None:
    """The limit falls with each request, refuses at zero with the time to wait, and starts anew after a minute."""
    exchange = make(limit=3)
    user = exchange.user_id
    other = exchange.open_user(perps_deposit=D(0), now_ms=NOW)
    assert exchange.rate_state(user, NOW) == RateState(limit=3, remaining=3, reset_ms=NOW + WINDOW_MS)
    left = [exchange.charge(user, NOW + at).remaining for at in (0, 10_000, 59_998)]
    assert left == [2, 1, 0]
    refusal = refused("RATE_LIMITED", 429, lambda: exchange.charge(user, NOW + 59_999))
    assert refusal.retry_after_ms == 1
    assert exchange.rate_state(user, NOW + 59_999) == RateState(limit=3, remaining=0, reset_ms=NOW + WINDOW_MS)
    assert exchange.charge(other, NOW + 59_999).remaining == 2
    assert exchange.charge(user, NOW + 60_000) == RateState(limit=3, remaining=2, reset_ms=NOW + 2 * WINDOW_MS)


def test_the_window_opens_with_the_first_request_after_the_last() -> None:
    """A pause does not leave a window half spent."""
    exchange = make(limit=3)
    exchange.charge(exchange.user_id, NOW)
    assert exchange.charge(exchange.user_id, NOW + 200_000).reset_ms == NOW + 260_000


def test_reset_header_units() -> None:
    """Each position of the switch rate_limit_reset, rounded so that a client never comes too early."""
    state = RateState(limit=1, remaining=0, reset_ms=NOW + 1_001)
    assert reset_header(state, NOW, "seconds") == "2"
    assert reset_header(state, NOW + 5_000, "seconds") == "0"
    assert reset_header(state, NOW, "unix") == str(NOW // 1000 + 2)
    assert reset_header(state, NOW, "unix_ms") == str(NOW + 1_001)
    with pytest.raises(ValueError, match="hours"):
        reset_header(state, NOW, "hours")


def test_ulids_are_decided_by_seed_counter_and_time() -> None:
    """26 characters of Crockford's alphabet, sorted by making, the same again from the same seed."""
    first, again, other = UlidSource(1), UlidSource(1), UlidSource(2)
    made = [first.make(NOW + number // 100) for number in range(3000)]
    assert made == [again.make(NOW + number // 100) for number in range(3000)]
    assert made == sorted(set(made))
    assert not set(made) & {other.make(NOW + number // 100) for number in range(3000)}
    assert {len(name) for name in made} == {26}
    assert set("".join(made)) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert UlidSource(1, counter=2999).make(NOW + 29) == made[-1]
    assert UlidSource(1).make(2**48 - 1).startswith("7ZZZZZZZZZ")  # the specification's largest time


def test_id_memory_forgets_the_oldest() -> None:
    """A bounded memory keeps the newest ids, and only them."""
    memory = IdMemory(3)
    for name in "abcd":
        memory.add(name)
    assert [name in memory for name in "abcd"] == [False, True, True, True]


def test_every_code_has_a_documented_status() -> None:
    """Statuses are those the documentation lists."""
    assert set(STATUS_OF_CODE.values()) == {400, 401, 403, 404, 409, 422, 429}
    assert str(Rejection("OFF_TICK", "words")) == "422 OFF_TICK: words"


def test_the_witness_hears_every_change_of_our_orders_and_trades() -> None:
    """Placed, reduced, removed with its reason; trades with both sides; numbers as strings; the crowd is not told."""
    told: list[dict[str, object]] = []
    exchange = make(on_change=told.append)
    user = exchange.user_id
    crowd(exchange, "sell", "60100", "1")
    assert told == []
    exchange.place_bulk(user, bulk("q1", level("buy", "59900", "0.3", "a")), NOW)
    crowd(exchange, "sell", "59900", "0.1", account=TAKERS, now_ms=NOW + 1)
    exchange.place_bulk(user, bulk("q2", level("buy", "59910", "0.2", "b")), NOW + 2)
    order = exchange.open_orders(user)[0]
    exchange.modify_order(user, order.order_id, price=None, quantity=D("0.1"), now_ms=NOW + 3)
    exchange.modify_order(user, order.order_id, price=D("59920"), quantity=None, now_ms=NOW + 4)
    crowd(exchange, "sell", "59920", "0.1", account=TAKERS, now_ms=NOW + 5)
    place(exchange, "buy", "60100", "0.1", client_order_id="t")
    assert [(each["kind"], each.get("action"), each.get("reason"), each.get("clientOrderId")) for each in told] == [
        ("order", "placed", None, "a"),
        ("trade", None, None, None),
        ("order", "reduced", "filled", "a"),
        ("order", "removed", "replaced", "a"),
        ("order", "placed", None, "b"),
        ("order", "reduced", "modified", "b"),
        ("order", "removed", "modified", "b"),
        ("order", "placed", "modified", "b"),
        ("trade", None, None, None),
        ("order", "removed", "filled", "b"),
        ("trade", None, None, None),
    ]
    assert told[0] == {
        "kind": "order",
        "nowMs": NOW,
        "action": "placed",
        "reason": None,
        "userId": user,
        "marketId": BTC,
        "orderId": exchange.own_trades(user)[0].order_id,
        "clientOrderId": "a",
        "quoteId": "q1",
        "side": "buy",
        "price": "59900.0",
        "quantity": "0.300",
        "remaining": "0.300",
        "reduceOnly": False,
    }
    trade = told[1]
    assert (trade["takerUserId"], trade["makerUserId"], trade["makerClientOrderId"]) == (TAKERS, user, "a")
    assert (trade["price"], trade["quantity"], trade["takerSide"]) == ("59900.0", "0.100", "sell")
    assert D(str(trade["makerFee"])) == D("-0.2995")
    assert told[2]["remaining"] == "0.200"
    assert told[-1]["takerClientOrderId"] == "t"
    assert not any(isinstance(value, float) for each in told for value in each.values())


def test_accounts_are_bounded_and_named_once() -> None:
    """Opening a crowd twice is one account; users have a limit; a name cannot change its kind."""
    exchange = make()
    assert exchange.open_crowd("makers") == "makers"
    with pytest.raises(ValueError, match="not an account of the crowd"):
        exchange.open_crowd(exchange.user_id)
    for _ in range(USERS_MAX - 1):
        exchange.open_user(perps_deposit=D(1), now_ms=NOW)
    with pytest.raises(ValueError, match="no room"):
        exchange.open_user(perps_deposit=D(1), now_ms=NOW)
    assert exchange.user_id != Exchange(ExchangeSettings(seed=8), now_ms=NOW).user_id
