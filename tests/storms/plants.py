"""Small defects, each put into a copy of the maker: a green campaign means something if every one of them is found.

Each is what a tired programmer might write, on any floor. It must apply exactly once, and be found by an invariant that
is named for it: by what the exchange saw, not by a crash. `found.json` holds for each the storm that shows it, with the
seed it was drawn from and how many seeds the search took; `python -m tests.bench.plants` makes that file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.storms.plant_runner import TOO_LONG

PROJECT: Final = Path(__file__).parents[2]
FOUND: Final = Path(__file__).with_name("found.json")
RUNNER: Final = Path(__file__).with_name("plant_runner.py")
CONF: Final = PROJECT / "conf" / "paper.toml"


class Edit(NamedTuple):
    """One change of one file."""

    file: str
    before: str
    after: str


class Plant(NamedTuple):
    """One defect. `finders`: the invariants one of which must see it. `provoked_by`: faults it takes; empty: any storm."""

    finders: tuple[str, ...]
    edits: tuple[Edit, ...]
    provoked_by: tuple[str, ...] = ()


def planted(folder: Path, edits: Iterable[Edit], of: Path = PROJECT) -> Path:
    """Copy the maker of a folder into another and change it; each text must stand there exactly once."""
    shutil.copytree(of / "maker", folder / "maker", ignore=shutil.ignore_patterns("__pycache__"))
    for edit in edits:
        path = folder / edit.file
        text = path.read_text(encoding="utf-8")
        assert text.count(edit.before) == 1, f"{edit.file} no longer says this once: {edit.before!r}"
        path.write_text(text.replace(edit.before, edit.after), encoding="utf-8")
    return folder


def performed(folder: Path, storms: Iterable[Any], finders: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Perform storms with the maker in a folder, in processes of their own, until a finder fires or they are over."""
    left = list(storms)
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
    while left:
        asked = json.dumps({"conf": str(CONF), "storms": left, "finders": list(finders)})
        with subprocess.Popen(
            [sys.executable, str(RUNNER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(asked)
                process.stdin.close()
                for line in process.stdout:
                    left.pop(0)
                    yield json.loads(line)
                process.wait()
            finally:
                process.kill()
        if process.returncode == 0:
            return
        assert process.returncode == TOO_LONG, f"the runner ended with code {process.returncode}"
        given_up = left.pop(0)
        seed = given_up if isinstance(given_up, int) else given_up["seed"]
        yield {"seed": seed, "violations": [], "void": "", "crashed": "it spins without end"}


HALT: Final = "maker/app/halt.py"
PANIC: Final = "maker/app/panic.py"
QUOTER: Final = "maker/app/quoter.py"
FEEDS: Final = "maker/app/feeds.py"
REFERENCES: Final = "maker/app/references.py"
WATCHES: Final = "maker/app/watches.py"
WIRING: Final = "maker/app/wiring.py"
SUPERVISOR: Final = "maker/app/supervisor.py"
RESULT: Final = "maker/app/result.py"
LINK: Final = "maker/app/link.py"
ACCOUNT: Final = "maker/desk/account.py"
BOOK: Final = "maker/desk/book.py"
BUDGET: Final = "maker/desk/budget.py"
ENGINE: Final = "maker/desk/engine.py"
FACTS: Final = "maker/desk/facts.py"
FAIR: Final = "maker/desk/fair.py"
IDENTITY: Final = "maker/desk/identity.py"
LADDER: Final = "maker/desk/ladder.py"
MARKET: Final = "maker/desk/market.py"
RISK: Final = "maker/desk/risk.py"
SETBACKS: Final = "maker/desk/setbacks.py"
UNITS: Final = "maker/desk/units.py"
STREAM: Final = "maker/wire/stream.py"
ORDERS: Final = "maker/wire/orders.py"
LANE: Final = "maker/edge/lane.py"
CLIENT: Final = "maker/edge/client.py"
GUARD: Final = "maker/guard/exchange.py"
WATCH: Final = "maker/guard/watch.py"
REPORT: Final = "maker/launch/report.py"

STOP: Final = "stop"  # it is told to stop in the middle of the storm: a fault, in `provoked_by`
UNKNOWN: Final = (
    "reset_after",
    "half_open",
    "unanswered",
    "truncated",
    "corrupted",
    "server_error_after",
    "odd_answer_after",
    "server_error",
    "slow_close",
    "odd_answer",
    "drip",
)
LATE: Final = ("slow_requests", "late_connection")

PLANTS: Final = {
    # -- how quotes are pulled
    "the last halt has no shield": Plant(
        ("L3",),
        (
            Edit(
                HALT,
                "with trio.move_on_after(halt_seconds_max, shield=True):",
                "with trio.move_on_after(halt_seconds_max):",
            ),
        ),
    ),
    "a signal cancels the root": Plant(
        ("L4",),
        (
            Edit(
                SUPERVISOR,
                "        run.leave(Trip(Reason.STOP_ASKED, signal.Signals(number).name))\n",
                "        run.leave(Trip(Reason.STOP_ASKED, signal.Signals(number).name))\n"
                '        trio.lowlevel.current_task().parent_nursery.cancel_scope.cancel(reason="a signal")\n',
            ),
        ),
        ("signals", STOP),
    ),
    "the trip does not latch": Plant(("S2", "L2", "S10"), (Edit(HALT, "        self.tripped = trip\n", ""),)),
    "cancel-all queues behind a ladder": Plant(
        ("S10",),
        (
            Edit(
                HALT,
                "        self.panic.fire()\n        self.trips",
                "        if self.write_scope is None:\n            self.panic.fire()\n        self.trips",
            ),
        ),
        LATE,
    ),
    "one cancel-all over a write in flight": Plant(
        ("S3", "S12"),
        (Edit(HALT, "        if switch.write_over_trip:\n", "        if False:\n"),),
        ("late_answers", "narrow", "sliced", *LATE),
    ),
    "no tail after an unknown outcome": Plant(
        ("S3", "S1"),
        (Edit(HALT, "        self.unknown_write_at = self.write_began_at\n", "        return\n"),),
        UNKNOWN,
    ),
    "verified by one read": Plant(
        ("S3",),
        (
            Edit(
                PANIC,
                "        await trio.sleep(READ_GAP_SECONDS)\n"
                "        if await self.read_back() != 0:\n            return False\n",
                "",
            ),
        ),
    ),
    "verified by no read": Plant(
        ("S3",), (Edit(HALT, "        while not await panic.verified_empty():\n", "        while False:\n"),)
    ),
    "a cancel-all that failed counts as done": Plant(
        ("S3", "S12"),
        (
            Edit(
                PANIC,
                "    return Said.REFUSED if 400 <= status < 500 else Said.FAILED\n",
                "    return Said.REFUSED if 400 <= status < 500 else Said.DONE\n",
            ),
        ),
        ("server_error", "server_error_after", "maintenance_refuses", "odd_answer"),
    ),
    "a signal is not heard": Plant(
        ("S2", "L3"),
        (
            Edit(
                SUPERVISOR,
                "        run.leave(Trip(Reason.STOP_ASKED, signal.Signals(number).name))\n",
                "        if number != signal.SIGTERM:\n"
                "            run.leave(Trip(Reason.STOP_ASKED, signal.Signals(number).name))\n",
            ),
        ),
    ),
    "the kill file is not obeyed": Plant(
        ("S2",),
        (
            Edit(WATCHES, "        if killed is not None:\n", "        if False:\n"),
            Edit(WATCH, "        if latched:\n", "        if False:\n"),
        ),
        ("kill_file",),
    ),
    "a latched reason leaves no kill file": Plant(
        ("S21",),
        (Edit(WIRING, "        if self.armed and trip.reason.latched:\n", "        if False:\n"),),
        ("taken_over", "crash"),
    ),
    "an error ends with code 0": Plant(
        ("S14",),
        (
            Edit(
                RESULT,
                "        code = run.stop.reason.value.exit_code\n",
                "        code = ExitCode.CLEAN\n",
            ),
            Edit(
                RESULT,
                "        if error is not None and result.exit_code == ExitCode.CLEAN:\n",
                "        if False:\n",
            ),
        ),
        ("raised",),
    ),
    "a task's error is swallowed": Plant(
        ("S10", "S14", "S2"),
        (
            Edit(
                WIRING,
                "                leaving = self.stop is not None\n",
                "                return\n                leaving = self.stop is not None\n",
            ),
        ),
        ("raised",),
    ),
    "a crash of its own": Plant(
        ("S14",),
        (
            Edit(
                FACTS,
                "    market.ladder_refused()\n    if event.code == MARGIN_CODE:\n",
                '    assert event.status != 409, "no such answer"\n'
                "    market.ladder_refused()\n    if event.code == MARGIN_CODE:\n",
            ),
        ),
        ("refused",),
    ),
    "the loss of the journal is not seen": Plant(
        ("S16",), (Edit(WATCHES, "        if self.recorder.journal_lost:\n", "        if False:\n"),), ("journal_lost",)
    ),
    "the guard's death is not seen": Plant(
        ("S20",), (Edit(SUPERVISOR, '    run.leave(Trip(Reason.OWNER_GONE, ""))\n', ""),), ("kill_guard",)
    ),
    # -- what may be sent
    "the intent is written after the send": Plant(
        ("S16",),
        (
            Edit(QUOTER, "        self.recorder.ladder_intended(action)\n", ""),
            Edit(
                QUOTER,
                "                answer = await self.lane.answer()\n",
                "                self.recorder.ladder_intended(action)\n                answer = await self.lane.answer()\n",
            ),
        ),
    ),
    "an unknown outcome is sent again": Plant(
        ("S12",),
        (
            Edit(
                QUOTER,
                "                outcome = LadderUnknown(action.market_id, action.quote_id, str(error))\n"
                "            except Unauthorized",
                "                outcome = LadderUnknown(action.market_id, action.quote_id, str(error))\n"
                "                with contextlib.suppress(OutcomeUnknown, NotSent):\n"
                "                    await self.lane.connect()\n"
                "                    self.lane.send_bytes_nowait(request)\n"
                "                    outcome = self.outcome(action, await self.lane.answer())\n"
                "            except Unauthorized",
            ),
            Edit(QUOTER, "import random\nfrom collections", "import contextlib\nimport random\nfrom collections"),
        ),
        UNKNOWN,
    ),
    "an unknown outcome counts as not applied": Plant(
        ("S12", "S6"),
        (
            Edit(
                FACTS,
                '            market.orders_known = False\n            desk.account_read_due = f"the outcome',
                '            return market.ladder_unsent()\n            desk.account_read_due = f"the outcome',
            ),
        ),
        UNKNOWN,
    ),
    "names are used again": Plant(("S12",), (Edit(IDENTITY, 'base36(self.orders)}"', 'base36(self.orders % 64)}"'),)),
    "a refused ladder counts as placed": Plant(
        ("S11", "S6"),
        (
            Edit(
                ORDERS,
                "                return LadderRefused(action.market_id, action.quote_id, error.status, error.code, "
                "error.message)\n",
                "                rests = tuple(PlacedOrder(one.client_order_id, None, True, None) for one in action.orders)\n"
                "                return LadderPlaced(action.market_id, action.quote_id, rests, None)\n",
            ),
        ),
        ("margin_refused", "refused", "margin_refused_after_cancel"),
    ),
    "refused margin is asked for again": Plant(
        ("S11",),
        (  # either alone makes the next ladder smaller
            Edit(SETBACKS, "        self.size_factor *= MARGIN_STEP\n", ""),
            Edit(SETBACKS, "        self.lots = {side: ladder.lots(side) for side in Side}\n", ""),
        ),
        ("margin_refused",),
    ),
    "what rests after a refusal is not read": Plant(
        ("S11",),
        (
            Edit(
                MARKET,
                "        self.account.not_placed()\n        self.orders_known = False\n",
                "        self.account.not_placed()\n",
            ),
        ),
        ("margin_refused", "refused", "margin_refused_after_cancel"),
    ),
    "a 429 is not waited for": Plant(
        ("S9",),
        (Edit(FACTS, "            desk.budget.throttled(event.seconds, now)\n", ""),),
        ("throttled",),
    ),
    "the reserve is spent": Plant(
        ("S9",),
        (
            Edit(
                BUDGET,
                "        return self.settings.reserve(self.limit)\n",
                "        return 0\n",
            ),
        ),
        ("tokens_taken",),
    ),
    "prices are floats": Plant(
        ("S8", "S19"),
        (
            Edit(
                UNITS,
                "        scaled = count * self.mantissa\n        if self.decimals == 0:\n            written = str(scaled)\n",
                "        scaled = count * self.mantissa\n        if True:\n            written = str(count * float(self.step))\n",
            ),
        ),
    ),
    "orders may take": Plant(
        ("S8",), (Edit(ORDERS, "            post_only=True,\n", "            post_only=False,\n"),)
    ),
    "the book is crossed": Plant(
        ("S8",),
        (
            Edit(LADDER, "    if others is not None:\n", "    if False:\n"),
            Edit(RISK, "ladder.bids[0].ticks >= around.best_ask_of_others:\n", "False:\n"),
            Edit(RISK, "ladder.asks[0].ticks <= around.best_bid_of_others:\n", "False:\n"),
        ),
        ("jump", "sweep"),
    ),
    "what may still fill does not count": Plant(
        ("S7",),
        (
            Edit(
                ACCOUNT,
                "        return pick(self.position_lots, self.position_summed_lots) + side.sign * "
                "self.may_fill_lots(side)\n",
                "        return pick(self.position_lots, self.position_summed_lots)\n",
            ),
            Edit(
                RISK,
                "    return max(0, min(left - may_fill, left // 2, open_max - may_fill, open_max // 2))\n",
                "    return max(0, left)\n",
            ),
        ),
        ("one_way",),
    ),
    # -- what is believed
    "a fill is booked twice": Plant(
        ("S6",),
        (
            Edit(
                ACCOUNT,
                "            self.duplicate_fills += 1\n            return False\n",
                "            self.duplicate_fills += 1\n",
            ),
        ),
    ),
    "missed fills are never booked": Plant(
        ("S6",),
        (
            Edit(
                FACTS,
                "    for fill in read.fills:\n        if fill.market_id in desk.markets:\n",
                "    for fill in read.fills:\n        if False:\n",
            ),
            Edit(
                FACTS,
                "    for fill in event.fills:\n        book_fill(desk, market, fill, now)\n",
                "    for fill in event.fills if isinstance(event, StreamDelta) else ():\n        book_fill(desk, market, fill, now)\n",
            ),
        ),
        ("gap", "sweep", "one_way"),
    ),
    "a gap is accepted": Plant(
        ("S5",),
        (
            Edit(STREAM, "        elif sequence != self.sequence + 1:\n", "        elif sequence <= self.sequence:\n"),
            Edit(
                STREAM,
                "        elif self.line_id is not None and line_id != self.line_id + 1:\n",
                "        elif self.line_id is not None and (line_id or 0) <= self.line_id:\n",
            ),
        ),
        ("gap",),
    ),
    "eventSeq is off by one": Plant(
        ("S5",),
        (
            Edit(
                STREAM,
                "        elif sequence != self.sequence + 1:\n",
                "        elif not self.sequence < sequence <= self.sequence + 2:\n",
            ),
            Edit(
                STREAM,
                "        elif self.line_id is not None and line_id != self.line_id + 1:\n",
                "        elif self.line_id is not None and (line_id or 0) > self.line_id + 2:\n",
            ),
        ),
        ("gap",),
    ),
    "an earlier number is a duplicate": Plant(
        ("S5",),
        (
            Edit(
                STREAM,
                "        if (sequence, envelope.event_id) in self.remembered:\n",
                "        if self.state is StreamState.LIVE and sequence <= self.sequence:\n",
            ),
        ),
        ("regress",),
    ),
    "an event is applied twice": Plant(
        ("S6",),
        (
            Edit(
                STREAM,
                "        if (sequence, envelope.event_id) in self.remembered:\n            return False\n",
                "        if (sequence, envelope.event_id) in self.remembered:\n            return True\n",
            ),
            Edit(
                ACCOUNT,
                "        if not self.trade_ids.is_new(fill.trade_id):\n",
                "        if not self.trade_ids.is_new(fill.trade_id) and fill.client_order_id not in self.asked:\n",
            ),
        ),
        ("duplicate",),
    ),
    "changes are taken before a snapshot": Plant(
        ("S5", "S4"),
        (
            Edit(STREAM, "            if item.event != SNAPSHOT:\n", "            if False:\n"),
            Edit(FACTS, "    if isinstance(event, StreamDelta) and not market.live:\n", "    if False:\n"),
            Edit(
                FACTS,
                "    if isinstance(event, StreamSnapshot):\n        account.positions_whole(event.positions)\n",
                "    market.live, market.lost = True, False\n"
                "    if isinstance(event, StreamSnapshot):\n        account.positions_whole(event.positions)\n",
            ),
        ),
        ("snapshot_lost",),
    ),
    "a crossed book is believed": Plant(
        ("S5",),
        (
            Edit(
                BOOK,
                "        if self.best_bid is not None and self.best_ask is not None and self.best_bid >= self.best_ask:\n",
                "        if False:\n",
            ),
        ),
        ("snapshot_crossed", "bad_delta"),
    ),
    "what the old connection said is trusted": Plant(
        ("S4", "S5"),
        (
            Edit(
                FACTS,
                '    market.live, market.lost_detail = False, f"its stream broke',
                '    market.lost_detail = f"its stream broke',
            ),
        ),
        ("gap", "feed_ended", "stream_refused", "connect_refused"),
    ),
    "closed positions are kept": Plant(
        ("S6",),
        (
            Edit(STREAM, "        removed = tuple(payload.removed_ids or [])\n", "        removed = ()\n"),
            Edit(
                ACCOUNT,
                "            self.held.pop(seen.position_id, None)\n        self.sum_positions()\n",
                "            pass\n        self.sum_positions()\n",
            ),
        ),
    ),
    "a position nobody explains is believed": Plant(
        ("S6",),
        (
            Edit(
                ACCOUNT,
                "        return self.position_lots == self.position_summed_lots\n",
                "        return True\n",
            ),
        ),
        ("taken_over",),
    ),
    "the account is not read after a pull": Plant(
        ("S5",),
        (
            Edit(
                QUOTER,
                '        self.engine.account_read_due = self.engine.account_read_due or "quotes were pulled"\n'
                "        self.inlet.deliver(ReadEmpty())\n",
                '        self.inlet.deliver(ReadEmpty())\n        self.engine.account_read_due = ""\n',
            ),
        ),
        ("gap", "sweep"),
    ),
    "a stale reference is a price": Plant(
        ("S4", "L1"),
        (Edit(FAIR, "self.age(now) <= self.settings.stale_seconds_max", "True"),),
        ("feed_silent",),
    ),
    "only a watchdog looks at the clock": Plant(
        ("S4",),
        (
            Edit(
                QUOTER,
                "        if self.inlet.watch() or self.switch.latched:  # it may",
                "        if self.switch.latched:  # it may",
            ),
        ),
        ("pause",),
    ),
    "standing still is not noticed": Plant(
        ("S4",),
        (
            Edit(
                WATCHES,
                "        if lag > LAG_SECONDS_MAX:\n            return Reason.LOOP_LAG",
                "        if False:\n            return Reason.LOOP_LAG",
            ),
        ),
        ("pause",),
    ),
    "a silent stream is not noticed": Plant(
        ("L1", "L2", "S4"),
        (
            Edit(
                ENGINE,
                "            if watched and market.heard_at is not None and now - market.heard_at > "
                "self.cycle.stream_silent_seconds_max:\n",
                "            if False:\n",
            ),
            Edit(
                FEEDS,
                "                        scope.deadline = trio.current_time() + silent_seconds_max\n",
                "                        scope.deadline = trio.current_time() + 1e9\n",
            ),
        ),
        ("feed_silent",),
    ),
    "the end of a stream is waited out": Plant(
        ("S5", "L1"),
        (
            Edit(
                CLIENT,
                '            return await anext(self.chunks, b"")\n        except httpx.HTTPError as error:\n',
                '            return await anext(self.chunks, b"")\n        except httpx.HTTPError as error:\n'
                "            await trio.sleep_forever()\n",
            ),
        ),
        ("feed_ended", "stream_truncated"),
    ),
    "the end of the reference feed pulls nothing": Plant(
        ("L1",),
        (
            Edit(
                FACTS,
                "            return reference_lost(desk, event, now)\n",
                "            return None\n",
            ),
        ),
        ("feed_ended",),
    ),
    "the reference feed is not connected again": Plant(
        ("L2",),
        (
            Edit(
                REFERENCES,
                "            inlet.deliver(ReferenceLost(venue.source, str(broken)))\n        await trio.sleep(",
                "            inlet.deliver(ReferenceLost(venue.source, str(broken)))\n            await trio.sleep_forever()\n"
                "        await trio.sleep(",
            ),
        ),
        ("feed_ended", "feed_silent"),
    ),
    "no back-off": Plant(
        ("L5",),
        (
            Edit(
                FEEDS,
                "        return self.pause_seconds * (0.5 + self.random.random() / 2)\n",
                "        return 0.0\n",
            ),
        ),
        ("server_error", "maintenance_refuses", "stream_refused"),
    ),
    # -- what is kept
    "the key is in the log": Plant(
        ("S18",),
        (
            Edit(
                LANE,
                '            raise OutcomeUnknown(f"lane {self.name}: connection lost before the answer: {error}") from error\n',
                '            raise OutcomeUnknown(f"lane {self.name}: lost: {error}; {self.fixed_head!r}") from error\n',
            ),
        ),
        ("reset_after", "reset_before"),
    ),
    "a connection is left open": Plant(
        ("S23",),
        (
            Edit(
                LANE,
                "                return self.connection\n            self.close()\n        self.state",
                "                return self.connection\n            self.connection = None\n        self.state",
            ),
        ),
        ("keep_alive_closed", "slow_close"),
    ),
    "a read's connection is left open": Plant(
        ("S23",),
        (
            Edit(
                CLIENT,
                '                raise StreamBroken(StreamFault.CLOSED, f"GET {path}: {error}") from None\n'
                "            finally:\n                await closed(own)\n",
                '                raise StreamBroken(StreamFault.CLOSED, f"GET {path}: {error}") from None\n'
                "            finally:\n                pass\n",
            ),
            Edit(
                CLIENT,
                "        if response is None or not response.is_closed:\n            await closed(own)\n"
                "            if chunks is not None:\n                await run_out(chunks)\n",
                "        pass\n",
            ),
        ),
        ("gap", "regress", "stream_refused"),
    ),
    "a hung call, and heartbeats from a timer": Plant(
        ("L2",),
        (
            Edit(LINK, '            self.withheld = self.why_not() or ""\n', '            self.withheld = ""\n'),
            Edit(QUOTER, "        with trio.move_on_after(ACCOUNT_SECONDS_MAX):\n", "        if True:\n"),
            Edit(QUOTER, "        with trio.move_on_after(CONNECT_SECONDS_MAX):\n", "        if True:\n"),
            Edit("maker/app/reading.py", "        with trio.move_on_after(READ_SECONDS_MAX):\n", "        if True:\n"),
        ),
        ("unanswered", "half_open", "connect_black_hole"),
    ),
    # -- the guard
    "the guard does not pull after a death": Plant(
        ("L4", "S1"),
        (
            Edit(
                REPORT,
                "        return Verdict(without_maker(UNVERIFIED, told), True, tail_seconds, FAILED_EMPTY, True)\n",
                "        return Verdict(without_maker(UNVERIFIED, told), False, tail_seconds, FAILED_EMPTY, True)\n",
            ),
        ),
        ("kill_maker", "suspend"),
    ),
    "the guard has no tail": Plant(
        ("S3", "S1"),
        (
            Edit(
                GUARD,
                "    due = [at for at in TAIL_SECONDS if at < tail_seconds] + [tail_seconds]\n",
                "    due = [0.0]\n",
            ),
        ),
        ("kill_maker", "pause", "suspend", STOP),
    ),
    "the guard believes one read": Plant(
        ("S3",),
        (
            Edit(
                GUARD,
                "        yield READ_GAP_SECONDS\n        left = len((yield from reading()))\n    return left\n",
                "        return 0\n    return left\n",
            ),
        ),
        ("kill_maker", "suspend", "pause"),
    ),
    "the guard lets a hung maker hang": Plant(
        ("L4",), (Edit(WATCH, "        if now > self.beat_due:\n", "        if False:\n"),), ("pause",)
    ),
}
