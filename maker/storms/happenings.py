"""What a storm does to the exchange itself, to the maker's machine and to its processes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn

import attrs
import trio

from maker.launch import latch
from maker.paper.marketplace import TAKERS
from maker.paper.orders import OrderRequest
from maker.paper.rejection import Rejection
from maker.paper.state import INSURANCE
from maker.storms import record as r
from maker.storms.virtual import storm_clock
from maker.storms.wires import Link

if TYPE_CHECKING:
    from maker.storms.weather import Active
    from maker.storms.world import World

# Faults of what a new connection hears: they begin by ending the old one.
RECONNECTING: Final = ("snapshot_lost", "snapshot_crossed", "snapshot_empty", "snapshot_stale", "stream_refused")
# Faults of dialling: whatever makes it fail has cut what was connected.
OUTAGES: Final = ("connect_refused", "connect_black_hole", "no_descriptors", "exchange_gone")
KEPT_BY_LIBRARY: Final = ("_reader_task",)  # of trio-websocket: any error there is a lost connection
AIM_SECONDS_MAX: Final = 1.0  # that a kill waits for a ladder to be on its way
AIM_SECONDS: Final = 0.004  # between two looks: less than a ladder takes
APART: Final = Decimal("0.002")  # of the price: what others quote further through the index is no market


class Planted(Exception):
    """A bug that a storm puts into a task."""


@attrs.define(eq=False)
class Happenings:
    """One storm's."""

    world: World
    maker: trio.lowlevel.Task = attrs.field(init=False)
    frozen_at: float | None = None  # the maker's process stands still for good
    planted: list[str] = attrs.field(factory=list)

    # -- faults as they come and go

    def begin(self, active: Active) -> None:
        """Do what a fault does at its beginning; one of wires and answers does nothing here."""
        if active.name in RECONNECTING:
            for link in self.world.site.stream_of.values():
                link.down.put(b"", 0.0)
                self.world.site.ended(link)
        if active.name in OUTAGES:
            for link in list(self.world.site.links.values()):
                open_now = link.client is not None and not link.client.closed
                if open_now and link.owner == r.MAKER and active.aims_at(link.port):
                    self.world.weather.reset(link)
        do = getattr(self, f"do_{active.name}", None)
        if do is not None:
            do(active)

    def finish(self, active: Active) -> None:
        """Undo what lasted."""
        if active.name == "maintenance":
            for market_id in self.world.config.markets:
                self.world.site.exchange.resume_market(market_id)

    # -- at the exchange

    def take(self, market_id: str, side: str, share: Decimal) -> bool:
        """A customer takes from our best quote; False where none rests."""
        site = self.world.site
        ours = [row for row in site.exchange.open_orders(site.user_id, market_id) if row.side != side and row.price]
        if not ours:
            return False
        best = (min if side == "buy" else max)(ours, key=lambda row: row.price or Decimal(0))
        step = next(spec.step_size for spec in site.exchange.settings.markets if spec.market_id == market_id)
        quantity = max(step, (best.remaining * share) // step * step)
        # What others quote before ours is taken first.
        bids, asks = site.exchange.book_levels(market_id, 50)
        assert best.price is not None
        before = [size for price, size in (asks if side == "buy" else bids) if (price < best.price) == (side == "buy")]
        self.trade(market_id, side, best.price, quantity + sum((size for size in before if size), Decimal(0)))
        return True

    def trade(self, market_id: str, side: str, price: Decimal | None, quantity: Decimal) -> None:
        """Somebody trades at once, at any price up to this one."""
        keeper = self.world.site.venue.keeper
        self.world.site.exchange.place_crowd_order(
            TAKERS, market_id, side, price, quantity, time_in_force="ioc", now_ms=keeper.now_ms()
        )

    def do_sweep(self, active: Active) -> None:
        """F34: our whole ladder is filled, on one side or both."""
        for market_id in self.world.config.markets:
            for side in ("buy", "sell"):
                if active.word("side") in (side, "both") and self.sweep(market_id, side):
                    self.world.weather.bite(active)

    def sweep(self, market_id: str, side: str) -> bool:
        """Somebody takes all of one side of ours; False where none rests."""
        site = self.world.site
        ours = [row for row in site.exchange.open_orders(site.user_id, market_id) if row.side != side and row.price]
        if not ours:
            return False
        prices = [row.price for row in ours if row.price is not None]
        limit = max(prices) if side == "buy" else min(prices)
        bids, asks = site.exchange.book_levels(market_id, 200)
        reach = asks if side == "buy" else bids
        within = [size for price, size in reach if (price <= limit if side == "buy" else price >= limit)]
        self.trade(market_id, side, limit, sum(within, Decimal(0)))
        return True

    def clear_the_books(self) -> None:
        """Somebody takes what others quote on the wrong side of the index.

        The practice exchange's own traders need a minute for a quarter of the price, and nobody can quote into that.
        A side on which we rest ourselves is left alone.
        """
        site = self.world.site
        for market_id in self.world.config.markets:
            index = site.exchange.index(market_id)
            ours = [row for row in site.exchange.open_orders(site.user_id, market_id) if row.price is not None]
            bids, asks = site.exchange.book_levels(market_id, 200)
            for side, levels, limit in (("sell", bids, index * (1 + APART)), ("buy", asks, index * (1 - APART))):
                wrong = [size for price, size in levels if (price > limit if side == "sell" else price < limit)]
                if wrong and not any(row.side != side for row in ours):
                    self.trade(market_id, side, None, sum(wrong, Decimal(0)))

    def do_jump(self, active: Active) -> None:
        """F33: the price jumps, everywhere at once."""
        for market_id, around in self.world.site.venue.keeper.place.surroundings.items():
            if market_id in self.world.config.markets:
                around.path.jump(active.number("bps"))
        self.world.weather.bite(active)

    def do_index_apart(self, active: Active) -> None:
        """F33: the exchange's index leaves the reference."""
        for market_id, around in self.world.site.venue.keeper.place.surroundings.items():
            if market_id in self.world.config.markets:
                around.path.jump(0.0, basis_bps=active.number("bps"))
        self.world.weather.bite(active)

    def do_foreign_position(self, active: Active) -> None:
        """F35: somebody else trades on the account."""
        site, market_id = self.world.site, next(iter(self.world.config.markets))
        bid, ask = site.exchange.best(market_id)
        side = active.word("side")
        price = ask if side == "buy" else bid
        if price is None:
            return
        least = next(spec.quantity_min for spec in site.exchange.settings.markets if spec.market_id == market_id)
        request = OrderRequest(
            market_id=market_id,
            side=side,
            type="limit",
            price=price,
            quantity=least * int(active.number("minima")),
            time_in_force="ioc",
        )
        self.place_for_somebody(active, request)

    def place_for_somebody(self, active: Active, request: OrderRequest) -> None:
        """Place an order on our account that is not the maker's; one that is refused changes nothing."""
        site = self.world.site
        try:
            site.exchange.place_order(site.user_id, request, site.venue.keeper.now_ms())
        except Rejection:
            return
        self.world.weather.bite(active)

    def do_taken_over(self, active: Active) -> None:
        """F35: a position passes to the exchange without a trade, as in a liquidation."""
        site = self.world.site
        state, now_ms = site.exchange.state, site.venue.keeper.now_ms()
        account = state.accounts[site.user_id]
        for market_id in self.world.config.markets:
            quantity = account.quantity(market_id)
            if not quantity:
                continue
            mark, size = state.market(market_id).mark(), abs(quantity)
            ours, theirs = ("sell", "buy") if quantity > 0 else ("buy", "sell")
            account.move(market_id, ours, mark, size, now_ms, state.ids)
            state.accounts[INSURANCE].move(market_id, theirs, mark, size, now_ms, state.ids)
            self.world.record.add(
                r.Trade(
                    at=trio.current_time(),
                    market_id=market_id,
                    trade_id="",
                    side=ours,
                    price=mark,
                    quantity=size,
                    foreign=True,
                    taken_over=True,
                )
            )
            self.world.weather.bite(active)
            return

    def do_foreign_order(self, active: Active) -> None:
        """F35, H28: an order of somebody else rests on the account."""
        site, market_id = self.world.site, next(iter(self.world.config.markets))
        bid, _ask = site.exchange.best(market_id)
        spec = next(spec for spec in site.exchange.settings.markets if spec.market_id == market_id)
        if bid is None:
            return
        price = (bid * Decimal("0.99")) // spec.tick_size * spec.tick_size
        request = OrderRequest(
            market_id=market_id,
            side="buy",
            type="limit",
            price=price,
            quantity=spec.quantity_min * 2,
            time_in_force="gtc",
            client_order_id="zz-1",
        )
        self.place_for_somebody(active, request)

    do_crash = do_jump  # the same, but large enough to cost money

    def do_maintenance(self, active: Active) -> None:
        """F32: the exchange halts its markets."""
        for market_id in self.world.config.markets:
            self.world.site.exchange.halt_market(market_id)
        self.world.weather.bite(active)

    def do_heartbeats_only(self, active: Active) -> None:
        """F18: nothing moves; feeds only say that they live."""
        place = self.world.site.venue.keeper.place
        place.shift(round(active.fault.seconds * 1000))
        self.world.weather.bite(active)

    def do_tokens_taken(self, active: Active) -> None:
        """F26: another program of the user spends the window."""
        site = self.world.site
        for _ in range(int(active.number("requests"))):
            try:
                site.exchange.charge(site.user_id, site.venue.keeper.now_ms())
            except Rejection:
                break
        self.world.weather.bite(active)

    # -- at the feeds

    def feeds(self, active: Active) -> list[Link]:
        """The open connections a fault of the feeds is about."""
        site = self.world.site
        links = list(site.stream_of.values()) if active.word("target") in ("stream", "any") else []
        if active.word("target") in ("reference", "any"):
            links.extend(site.feed_of.values())
        return [link for link in links if link.client is not None and not link.client.closed]

    def do_feed_ended(self, active: Active) -> None:
        """F16: feeds are reset, or end in an orderly way."""
        for link in self.feeds(active):
            self.world.weather.bite(active)
            if active.word("form") == "reset":
                self.world.weather.reset(link)
            else:
                link.down.put(b"", 0.0)
                self.world.site.ended(link)

    def do_feed_silent(self, active: Active) -> None:
        """F17: feeds stay open and say nothing, heartbeats neither."""
        for link in self.feeds(active):
            self.world.weather.bite(active)
            link.swallow()

    def do_stream_silent(self, active: Active) -> None:
        """F17: the event streams say nothing for as long as a maker bears, and longer; or bytes that mean nothing."""
        if active.word("form") != "mumble":
            self.do_feed_silent(active)
            return
        for link in self.feeds(active):
            self.world.weather.bite(active)
            link.mumbles = True

    # -- at the machine

    def jump_clock(self, seconds: float) -> None:
        storm_clock().jump(seconds)

    def do_pause(self, active: Active) -> None:
        """F37, F39: the maker's process stands still; for longer than its guard bears, for good."""
        if self.frozen_at is not None or self.world.over:
            return  # it stands still already; time that passes at once would pass its guard by
        seconds = active.number("still_seconds")
        self.world.weather.bite(active)
        if seconds < self.world.config.guard.hang_seconds_max - 0.5:
            self.jump_clock(seconds)
            self.world.record.add(r.StoodStill(at=trio.current_time(), seconds=seconds))
            return
        self.frozen_at = trio.current_time()
        self.world.dead = True
        self.world.machine.link.frozen = True
        self.world.site.maker_stands_still = True
        for link in self.world.site.links.values():
            if link.owner == r.MAKER and link.client is not None:
                link.client.is_ghost = True

    def do_suspend(self, active: Active) -> None:
        """F38: the machine sleeps; the exchange does not."""
        self.world.weather.bite(active)
        self.world.clocks.slept += active.number("sleep_seconds")
        self.world.weather.slept_seconds = self.world.clocks.slept
        seconds = active.number("sleep_seconds")
        self.world.record.add(r.StoodStill(at=trio.current_time(), seconds=seconds, asleep=True))

    def do_wall_jump(self, active: Active) -> None:
        """F36: the machine's wall clock is set."""
        self.world.weather.bite(active)
        self.world.clocks.set_wrong += active.number("jump_seconds")

    def do_journal_lost(self, active: Active) -> None:
        """F41: the disk is full."""
        self.world.weather.bite(active)
        self.world.journal.lost = "The journal is lost: no space left on device."
        self.world.note(r.JournalLost(at=trio.current_time()))

    def do_signals(self, active: Active) -> None:
        """F44: stop signals, one to five of them."""
        self.world.weather.bite(active)
        numbers = (15, 2, 1, 3)
        for count in range(int(active.number("count"))):
            self.world.warden.signals.append(numbers[(count + int(active.number("first"))) % len(numbers)])
        self.world.machine.guard_link.stir()

    def do_signals_unheard(self, active: Active) -> None:
        """F44: the maker is told to stop, and does not hear it."""
        self.world.weather.bite(active)
        self.world.deaf = True
        self.world.warden.signals.append(15)
        self.world.machine.guard_link.stir()

    def do_link_cut(self, active: Active) -> None:
        """F52: the link between guard and maker breaks, for both of them or for the guard alone; both live."""
        self.world.weather.bite(active)
        if active.word("form") == "both":
            self.world.machine.link.close()
        else:
            self.world.machine.link.shut = True
            self.world.machine.guard_link.stir()

    def do_reload(self, active: Active) -> None:
        """F51: somebody writes another configuration, or another key, and asks for a reload."""
        self.world.weather.bite(active)
        self.world.reloads.begin(active)

    def do_kill_maker(self, active: Active) -> None:
        """F45, F46: kill -9; under every other seed over the next ladder that is on its way."""
        if self.world.schedule.seed % 2:
            self.world.site.start_soon(self.kill_over_a_ladder, active)
            return
        self.world.weather.bite(active)
        self.world.killed("kill -9")

    async def kill_over_a_ladder(self, active: Active) -> None:
        with trio.move_on_after(AIM_SECONDS_MAX):
            while not self.world.site.in_flight:  # noqa: ASYNC110 - the site tells nobody, and no time is lost here
                await trio.sleep(AIM_SECONDS)
        if not self.world.dead:
            self.world.weather.bite(active)
            self.world.killed("kill -9")

    def do_kill_guard(self, active: Active) -> None:
        """F45: the guard is gone."""
        self.world.weather.bite(active)
        self.world.guard_gone()

    def do_kill_file(self, active: Active) -> None:
        """A person, or a monitor, says stop."""
        self.world.weather.bite(active)
        self.write_kill_file()

    def write_kill_file(self) -> None:
        said = {"reason": "by_hand", "sentence": "a person said stop", "at": "then"}  # no time of the real world
        (self.world.config.state_folder / latch.KILL_FILE).write_text(json.dumps(said), encoding="utf-8")
        self.world.record.add(r.KillFileWritten(at=trio.current_time(), by="somebody"))

    def maker_tasks(self) -> list[trio.lowlevel.Task]:
        """Every task of the maker's, oldest first."""
        found, due = [], [self.maker]
        while due:
            task = due.pop()
            found.append(task)
            for nursery in task.child_nurseries:
                due.extend(nursery.child_tasks)
        return sorted(found, key=lambda task: task._counter)

    def do_raised(self, active: Active) -> None:
        """F47: a bug, in any task, at whatever it awaits."""
        # A library's own task may make a lost connection of it, which is no bug of ours and no end of the run.
        ours = [task for task in self.maker_tasks()[1:] if task.name.startswith("maker.")]
        waiting = [task for task in ours if task._abort_func is not None]
        if not waiting:
            return
        task = waiting[int(active.number("which") * len(waiting))]
        if is_kept_by_library(task):
            return
        text = f"planted-{active.index}"

        def raise_planted() -> NoReturn:
            raise Planted(text)

        self.planted.append(text)
        self.world.note(r.Raised(at=trio.current_time(), where=task.name, text=text))
        self.world.weather.bite(active)
        task._attempt_abort(raise_planted)


def is_kept_by_library(task: trio.lowlevel.Task) -> bool:
    """Whether a task waits where a library makes of any error a lost connection, or nothing."""
    return any(frame.f_code.co_name in KEPT_BY_LIBRARY for frame, _line in task.iter_await_frames())
