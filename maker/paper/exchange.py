"""The practice exchange, whole: its front door. Its reads are in `views`.

Pure: no clock, no I/O, no global randomness. Every call takes `now_ms` (unix milliseconds, never decreasing) and is
decided by the state and its arguments alone, so the same calls in the same order give the same history, ids
included. `dump` and `load` carry the whole state; calls repeated on a loaded state continue it exactly, so a keeper
of state may write a dump now and then and a log of the calls since.

Every refusal is a `Rejection` with the documented HTTP status. A call that raises one has changed nothing, with one
exception that a switch asks for: `margin_refusal="cancels_first"`.

Money is exact: each public method runs under a decimal context that raises instead of rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from maker.paper import singles, upkeep
from maker.paper.accounts import BUCKETS
from maker.paper.admission import check_amount
from maker.paper.bulk import place_bulk
from maker.paper.execution import remove
from maker.paper.identifiers import UlidSource
from maker.paper.keys import KEY_ID_PREFIX, PAPER_READ_SECRET, PAPER_TRADE_SECRET, KeyRecord, digest
from maker.paper.money import ZERO, exactly, is_ordinary
from maker.paper.orders import (
    BalanceRecord,
    BulkRequest,
    BulkResult,
    CancelAllResult,
    CancelScope,
    OrderRecord,
    OrderRequest,
    PreviewResult,
    QuoteLevel,
)
from maker.paper.persistence import dump_state, load_state
from maker.paper.ratelimit import RateState
from maker.paper.rejection import Rejection
from maker.paper.state import INSURANCE, ChangeSink, ExchangeSettings, ExchangeState, Market
from maker.paper.views import ExchangeViews

PAPER_USER_KEYS: Final = ((PAPER_TRADE_SECRET, "trade"), (PAPER_READ_SECRET, "read"))


class Exchange(ExchangeViews):
    """One exchange: markets, accounts, orders."""

    def __init__(self, settings: ExchangeSettings, *, now_ms: int, on_change: ChangeSink | None = None) -> None:
        """Open an exchange with one user who holds the practice keys and deposits; see `load` for going on.

        `on_change` hears every change of a user's resting order, every trade with a user in it, funding,
        liquidation and transfers, as flat dictionaries: `kind` (order, trade, funding, liquidation, transfer),
        `nowMs`, and amounts as strings. It must not call back.
        """
        state = ExchangeState(settings=settings, ids=UlidSource(seed=settings.seed), on_change=on_change)
        self.state = state
        for spec in settings.markets:
            next_funding_ms = upkeep.next_boundary(now_ms, spec.funding_interval_ms)
            state.markets[spec.market_id] = Market(spec=spec, index=spec.index_start, next_funding_ms=next_funding_ms)
        state.open_account(INSURANCE, "insurance")
        state.user_id = self.open_user(
            perps_deposit=settings.perps_deposit, wallet_deposit=settings.wallet_deposit, now_ms=now_ms
        )
        for secret, scope in PAPER_USER_KEYS:
            self.add_key(state.user_id, secret, name=f"paper {scope}", scope=scope, now_ms=now_ms)

    @property
    def settings(self) -> ExchangeSettings:
        """What the exchange was made with."""
        return self.state.settings

    @property
    def user_id(self) -> str:
        """The paper user: owner of the two practice keys."""
        return self.state.user_id

    # Accounts, keys and the rate limit.

    def open_user(self, *, perps_deposit: Decimal, wallet_deposit: Decimal = ZERO, now_ms: int) -> str:
        """Add a user with money in these buckets and return the user's ULID; raises ValueError when full."""
        user_id = self.state.ids.make(now_ms)
        account = self.state.open_account(user_id, "user")
        account.deposited, account.buckets["wallet"] = perps_deposit, wallet_deposit
        return user_id

    def open_wallet(self, address: str, now_ms: int) -> str:
        """Return the user a wallet signs in as, added with the usual deposits if new; raises ValueError when full."""
        if address not in self.state.wallets:
            settings = self.settings
            self.state.wallets[address] = self.open_user(
                perps_deposit=settings.perps_deposit, wallet_deposit=settings.wallet_deposit, now_ms=now_ms
            )
        return self.state.wallets[address]

    def wallet_user(self, address: str) -> str | None:
        """Return the user a wallet signs in as, if it ever did."""
        return self.state.wallets.get(address)

    def user_ids(self) -> tuple[str, ...]:
        """List the users, the paper user first."""
        return tuple(self.state.windows)

    def open_crowd(self, name: str) -> str:
        """Make sure of an account without margin or limits for other traders, and return its name."""
        if name not in self.state.accounts:
            self.state.open_account(name, "crowd")
        elif self.state.accounts[name].kind != "crowd":
            raise ValueError(f"{name} is not an account of the crowd")
        return name

    def add_key(
        self,
        user_id: str,
        secret: str,
        *,
        name: str,
        scope: str,
        now_ms: int,
        allowed_addresses: tuple[str, ...] = (),
        expires_ms: int | None = None,
    ) -> KeyRecord:
        """Give a user a key; raises ValueError when the secret is taken, the scope unknown, or the ring full."""
        return self.add_digest(
            user_id,
            digest(secret),
            name=name,
            scope=scope,
            now_ms=now_ms,
            allowed_addresses=allowed_addresses,
            expires_ms=expires_ms,
        )

    def add_digest(
        self,
        user_id: str,
        key_digest: str,
        *,
        name: str,
        scope: str,
        now_ms: int,
        allowed_addresses: tuple[str, ...],
        expires_ms: int | None,
    ) -> KeyRecord:
        """As `add_key`, for a secret that is known by its digest alone."""
        record = KeyRecord(
            key_id=KEY_ID_PREFIX + self.state.ids.make(now_ms),
            user_id=self._user(user_id).user_id,
            name=name,
            scope=scope,
            created_ms=now_ms,
            allowed_addresses=allowed_addresses,
            expires_ms=expires_ms,
        )
        self.state.keys.add(key_digest, record)
        return record

    def revoke_key(self, key_id: str, now_ms: int) -> bool:
        """Revoke a key at once; False when there is none."""
        return self.state.keys.revoke(key_id, now_ms)

    def lookup(self, secret: str) -> KeyRecord | None:
        """Find a key by its secret, whatever its status."""
        return self.state.keys.lookup(secret)

    def authorize(self, secret: str, *, scope: str, address: str, now_ms: int) -> KeyRecord:
        """Return the key if it may make a call that needs `scope` (read: either key), and note its use.

        Raises Rejection: 401 KEY_UNKNOWN or KEY_EXPIRED, 409 KEY_REVOKED, 403 IP_NOT_ALLOWED or INSUFFICIENT_SCOPE.
        """
        return self.state.keys.authorize(secret, scope=scope, address=address, now_ms=now_ms)

    def keys(self, user_id: str) -> tuple[KeyRecord, ...]:
        """List a user's keys, oldest first."""
        return self.state.keys.of_user(user_id)

    def charge(self, user_id: str, now_ms: int) -> RateState:
        """Count one order-path request; raises Rejection 429 with `retry_after_ms` when the window is used up.

        To be called once a request, whatever its length, before it is looked at.
        """
        self._user(user_id)
        return self.state.windows[user_id].charge(now_ms)

    def rate_state(self, user_id: str, now_ms: int) -> RateState:
        """Tell what the rate-limit headers say now; `ratelimit.reset_header` spells the reset."""
        self._user(user_id)
        return self.state.windows[user_id].state(now_ms)

    # The order path. Each raises Rejection as documented for its status.

    @exactly
    def place_order(self, user_id: str, request: OrderRequest, now_ms: int) -> OrderRecord:
        """Place one order and return it as it then stands."""
        self._user(user_id)
        return singles.place(self.state, user_id, request, now_ms).record()

    @exactly
    def place_bulk(self, user_id: str, request: BulkRequest, now_ms: int) -> BulkResult:
        """Place a ladder, replacing our resting quotes on that market where it says `cancel_all`."""
        self._user(user_id)
        return place_bulk(self.state, user_id, request, now_ms)

    def place_quotes(
        self,
        user_id: str,
        market_id: str,
        quote_id: str,
        bid: QuoteLevel,
        ask: QuoteLevel,
        *,
        cancel_all: bool = True,
        now_ms: int,
    ) -> BulkResult:
        """Place one bid and one ask: a bulk of two, with everything that holds for a bulk."""
        if (bid.side, ask.side) != ("buy", "sell"):
            raise Rejection("INVALID_SIDE", "a quote is one buy and one sell")
        request = BulkRequest(market_id=market_id, quote_id=quote_id, cancel_all=cancel_all, quotes=(bid, ask))
        return self.place_bulk(user_id, request, now_ms)

    @exactly
    def modify_order(
        self, user_id: str, order_id: str, *, price: Decimal | None, quantity: Decimal | None, now_ms: int
    ) -> OrderRecord:
        """Change a resting order's price or total quantity; only smaller at the same price keeps its queue place."""
        self._user(user_id)
        return singles.modify(self.state, user_id, order_id, price, quantity, now_ms).record()

    @exactly
    def cancel_order(self, user_id: str, order_id: str, now_ms: int) -> OrderRecord:
        """Cancel one order, in a halted market too."""
        self._user(user_id)
        return singles.cancel(self.state, user_id, order_id, now_ms).record()

    @exactly
    def cancel_all(self, user_id: str, scope: CancelScope, now_ms: int) -> CancelAllResult:
        """Cancel everything a scope names, in halted markets too; nothing found is a success."""
        self._user(user_id)
        orders = singles.find_cancel_all(self.state, user_id, scope)
        for order in orders:
            remove(self.state, order, "cancelled", now_ms)
        return CancelAllResult(orders=tuple(order.record() for order in orders))

    @exactly
    def find_cancel_all(self, user_id: str, scope: CancelScope) -> CancelAllResult:
        """List what `cancel_all` would take now, with its refusals and without its effect.

        For the switch `cancel_all_answer="before"`: answer this, and call `cancel_all` once the answer has left.
        """
        self._user(user_id)
        orders = singles.find_cancel_all(self.state, user_id, scope)
        return CancelAllResult(orders=tuple(order.record() for order in orders))

    @exactly
    def close_position(self, user_id: str, market_id: str, quantity: Decimal | None, now_ms: int) -> OrderRecord:
        """Close a position or part of it with a reduce-only market order; what the book cannot fill expires."""
        self._user(user_id)
        return singles.close_position(self.state, user_id, market_id, quantity, now_ms).record()

    @exactly
    def preview(self, user_id: str, request: OrderRequest, now_ms: int) -> PreviewResult:
        """Tell what an order would cost; not on the order path, and nothing changes."""
        self._user(user_id)
        return singles.preview(self.state, user_id, request, now_ms)

    @exactly
    def transfer(
        self, user_id: str, source: str, target: str, amount: Decimal, now_ms: int
    ) -> tuple[BalanceRecord, ...]:
        """Move money between two buckets and return all of them.

        Raises Rejection 400: INVALID_BUCKET, INVALID_AMOUNT, or INSUFFICIENT_BUCKET where `available` is less.
        """
        account = self._user(user_id)
        if source not in BUCKETS or target not in BUCKETS or source == target:
            raise Rejection("INVALID_BUCKET", f"two different ones of {', '.join(BUCKETS)}")
        check_amount(amount, "INVALID_AMOUNT")
        available = next(each.available for each in self.balances(user_id) if each.bucket == source)
        if amount > available:
            raise Rejection("INSUFFICIENT_BUCKET", f"{source} has less than that available")
        for bucket, change in ((source, -amount), (target, amount)):
            if bucket == "perps":
                account.deposited += change
            else:
                account.buckets[bucket] += change
        self.state.report("transfer", now_ms, userId=user_id, source=source, target=target, amount=amount)
        return self.balances(user_id)

    # Other traders: never refused with an exception for business reasons.

    @exactly
    def place_crowd_order(
        self,
        account: str,
        market_id: str,
        side: str,
        price: Decimal | None,
        quantity: Decimal,
        *,
        time_in_force: str = "gtc",
        post_only: bool = False,
        now_ms: int,
    ) -> OrderRecord | None:
        """Place an order for an account of the crowd (`price` None: market); None where it was refused."""
        if self.state.accounts[account].kind != "crowd":
            raise ValueError(f"{account} is not an account of the crowd")
        request = OrderRequest(
            market_id=market_id,
            side=side,
            type="market" if price is None else "limit",
            price=price,
            quantity=quantity,
            time_in_force=time_in_force,
            post_only=post_only,
        )
        order = singles.place_crowd(self.state, account, request, now_ms)
        return None if order is None else order.record()

    @exactly
    def cancel_crowd_order(self, account: str, order_id: str, now_ms: int) -> bool:
        """Cancel an order of the crowd; False when it no longer rests."""
        order = self.state.registries[account].open.get(order_id)
        if order is None:
            return False
        remove(self.state, order, "cancelled", now_ms)
        return True

    # The world moves.

    @exactly
    def set_index(self, market_id: str, price: Decimal) -> None:
        """Move a market's index, and with it the price band; raises ValueError unless it is a sane price."""
        if not is_ordinary(price) or price <= 0:
            raise ValueError(f"an index cannot be {price}")
        self.state.market(market_id).set_index(price)

    @exactly
    def advance(self, now_ms: int) -> None:
        """Exchange funding where it is due, then liquidate: to be called once a step."""
        upkeep.exchange_funding(self.state, now_ms)
        upkeep.liquidate(self.state, now_ms)

    def halt_market(self, market_id: str) -> None:
        """Refuse new orders with 409; resting ones stay and may be cancelled."""
        self.state.market(market_id).halted = True

    def resume_market(self, market_id: str) -> None:
        """Take orders again."""
        self.state.market(market_id).halted = False

    # State.

    def dump(self) -> dict[str, object]:
        """Return the whole state as JSON-able values, decimals as strings."""
        return dump_state(self.state)

    @classmethod
    @exactly
    def load(
        cls, settings: ExchangeSettings, dump: Mapping[str, Any], *, on_change: ChangeSink | None = None
    ) -> Exchange:
        """Go on from a dump; raises ValueError when it is of another version, seed or list of markets.

        Switches, limits and market fees are those of `settings`, not of the dump.
        """
        exchange = cls.__new__(cls)
        exchange.state = load_state(settings, dump, on_change)
        return exchange
