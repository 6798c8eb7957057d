"""Reloads of a whole run in virtual time: parameters between two turns, keys while nothing rests, or nothing at all."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing

from maker.app.key_expiry import KeyExpiry
from maker.app.reload import APPLY_SECONDS_MAX, PREPARE_SECONDS_MAX
from maker.desk.deadman import Reason
from maker.edge import records
from maker.errors import ConfigError
from maker.launch import key
from maker.wire import ocx
from tests.app.site import KEY, Seen, saying, silent
from tests.app.whole import WALL, World, config, running
from tests.desk.scripted import BTC, dec

Clock = trio.testing.MockClock

START_SECONDS_MAX: Final = 15.0
SECRET: Final = "ocx_sk_canary_another"
ANOTHER: Final = key.Key(SECRET, "ocx_kid_2", "trade", math.inf)
SPREAD: Final = f"market.{BTC}.edge_bps_min"


async def quoting(world: World) -> None:
    with trio.fail_after(START_SECONDS_MAX):
        await world.until_quoted()


def wider(world: World, bps: str) -> None:
    """Quote further out: ten basis points at least."""
    world.shelf.put(SPREAD, dec(bps), ladder={"edge_bps_min": dec(bps)})


def nearest_bps(ladder: Seen) -> float:
    """How far the innermost bid of a ladder is from where everything stands, basis points."""
    prices = [float(quote["price"]) for quote in ocx_quotes(ladder) if quote["side"] == "buy"]
    return (50_000 - max(prices)) / 50_000 * 10_000


def ocx_quotes(ladder: Seen) -> list[dict[str, Any]]:
    quotes: list[dict[str, Any]] = json.loads(ladder.body)["quotes"]
    return quotes


async def test_other_parameters_hold_from_the_next_ladder_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """No pull, no pause: the next ladder is another one, soon. Log and journal say what changed, from what to what."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        wider(world, "9")
        answer = await world.reload()
        at = trio.current_time()
        assert (answer["ok"], answer["sha256"]) == (True, "c0ffee")
        assert answer["sentence"] == f"changed: {SPREAD} from 1.0 to 9"
        with trio.fail_after(3.0):
            await world.until_quoted(since=at)
        assert nearest_bps(world.ladders()[-1]) >= 9
        assert nearest_bps(world.ladders()[0]) < 9
        assert world.switch.seen == []
        (row,) = world.told.rows(records.Reload)
        assert (row.applied, row.config_sha256, row.sentence) == (True, "c0ffee", answer["sentence"])
        (changed,) = world.told.rows(records.ReloadChange)
        assert (changed.at_unix_ms, changed.key, changed.old, changed.new) == (row.at_unix_ms, SPREAD, "1.0", "9")
        assert [line for line in world.told.lines if line["event"] == "reloaded"]
        again = await world.reload()
        assert again["sentence"] == "the configuration says what is in force"


async def test_nothing_of_a_turn_is_seen_half_old_half_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """A ladder that waits for its answer is booked by what it was built with: the change waits for it."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        held = trio.Event()

        async def late(seen: Seen, stream: Any) -> None:
            await held.wait()
            await world.site.bulk(seen, stream)

        world.site.script(ocx.QUOTES_BULK, late)
        world.wild = True
        sent = len(world.ladders())
        while len(world.ladders()) == sent:
            await trio.sleep(0.01)
        wider(world, "9")
        world.ask()
        await trio.sleep(0.5)
        assert world.switch.write_scope is not None
        assert world.run.engine.markets[BTC].ladder_settings.edge_bps_min == dec("1.0")
        assert world.answers == []
        held.set()
        while not world.answers:
            await trio.sleep(0.01)
        assert world.answers[0]["ok"]
        assert world.run.engine.markets[BTC].ladder_settings.edge_bps_min == dec("9")


@pytest.mark.parametrize("how", ["broken", "looser", "small", "digest"])
async def test_what_is_refused_changes_nothing(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """Whatever else the file says: one sentence with field and fix, a row in the journal, and quoting as before."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        before = world.run.engine.markets[BTC].ladder_settings
        wider(world, "9")
        match how:
            case "broken":
                world.shelf.problem = ConfigError("cycle.requote_bsp", "is not known.", "Did you mean requote_bps?")
                expected = "cycle.requote_bsp: is not known. Did you mean requote_bps?"
            case "looser":
                more = {"position_limit": dec("0.5")}
                world.shelf.put(f"market.{BTC}.position_limit", dec("0.5"), limits=more, ladder=more)
                expected = f"market.{BTC}.position_limit: would be loosened from 0.4 to 0.5"
            case "small":
                small = dec("0.0001")
                world.shelf.put(f"market.{BTC}.level_size", small, ladder={"level_size": small})
                expected = f"market.{BTC}.level_size is 0.0001, below the exchange's minimum"
            case _:
                expected = "the key's file was changed while it was read"
        answer = await world.reload("0" * 64 if how == "digest" else None)
        assert not answer["ok"]
        assert answer["sentence"].startswith(f"nothing was changed: {expected}")
        assert world.run.engine.markets[BTC].ladder_settings is before
        assert [(row.applied, row.sentence) for row in world.told.rows(records.Reload)] == [(False, answer["sentence"])]
        assert world.told.rows(records.ReloadChange) == []
        world.wild = True
        since = trio.current_time()
        with trio.fail_after(START_SECONDS_MAX):
            await world.until_quoted(since=since)
        assert world.switch.seen == []


async def test_a_file_that_cannot_be_read_in_time_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """A disk that hangs holds neither loop nor the next reload."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        world.shelf.seconds = math.inf
        began = trio.current_time()
        answer = await world.reload()
        assert not answer["ok"]
        assert "could not be read and proved in 30 s" in answer["sentence"]
        assert trio.current_time() - began == pytest.approx(PREPARE_SECONDS_MAX, abs=1.0)
        world.shelf.seconds = 0.0
        assert (await world.reload())["ok"]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), SystemExit(3)], ids=repr)
async def test_an_error_of_our_own_before_anything_changes_ends_the_reload_and_not_the_run(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """A thread that is not to be had, a bug in a check that only a start was ever asked for, a user's `sys.exit()`."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        monkeypatch.setattr(world.shelf, "problem", error)
        answer = await world.reload()
        kind = type(error).__name__
        assert answer["sentence"] == f"nothing was changed: an error of our own in reading or proving it ({kind})."
        assert world.switch.seen == []
        world.shelf.problem = None
        assert (await world.reload())["ok"]


async def test_lowered_below_what_rests_it_is_pulled_before_anybody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """The cancel-all leaves in the call that lowers the limit, and no ladder beyond it follows."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        size, most = dec("0.002"), dec("0.004")
        assert max(dec(quote["quantity"]) for quote in ocx_quotes(world.ladders()[-1])) > most
        world.shelf.put(f"market.{BTC}.level_size", size, ladder={"level_size": size})
        world.shelf.put(f"market.{BTC}.order_size_max", most, limits={"order_size_max": most})
        answer = await world.reload()
        at = trio.current_time()
        assert answer["ok"]
        assert "quotes were pulled: a limit was lowered below what rests" in answer["sentence"]
        (pulled,) = world.switch.seen
        assert pulled.trip.reason is Reason.LIMITS_LOWERED
        assert pulled.bytes_left
        world.heal()
        with trio.fail_after(START_SECONDS_MAX):
            await world.until_quoted(since=at)
        for ladder in world.ladders(since=at):
            assert all(dec(quote["quantity"]) <= most for quote in ocx_quotes(ladder))


async def test_another_key_is_proved_and_then_used_by_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """A read and a cancel that finds nothing come first; until then everything goes by the old key, afterwards nothing.

    Pulled with the old one, swapped while nothing rests, verified with the new one; what is fired afterwards is its
    own cancel-all, prebuilt with the new key; and the watch on the key's life follows the new one.
    """
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        world.site.key = ""
        world.run.expiry = None
        world.shelf.kept = ANOTHER
        begin = len(world.site.log)
        answer = await world.reload()
        assert (answer["ok"], answer["key_id"]) == (True, "ocx_kid_2")
        assert "in use is the key ocx_kid_2" in answer["sentence"]
        log = world.site.log[begin:]
        proofs = [seen for seen in log if seen.key == SECRET][:2]
        assert [(seen.method, seen.path) for seen in proofs] == [("GET", ocx.ORDERS), ("POST", ocx.CANCEL_ALL)]
        assert b'"clientOrderId":"mk-' in proofs[1].body
        (pulled,) = world.switch.seen
        assert pulled.trip.reason is Reason.KEY_CHANGED
        assert pulled.request > world.site.log.index(proofs[1]), "proved before anything is pulled"
        since = trio.current_time()
        world.heal()
        with trio.fail_after(START_SECONDS_MAX):
            await world.until_quoted(since=since)
        after = [seen for seen in world.site.log if seen.at > since]
        assert {seen.key for seen in after} == {SECRET}
        assert {ocx.QUOTES_BULK, ocx.ORDERS, ocx.POSITIONS} <= {
            seen.path for seen in world.site.log if seen.key == SECRET
        }
        at = len(world.site.log)
        await world.signals.send(15)
        with trio.fail_after(START_SECONDS_MAX):
            await world.ended.wait()
        fired = [seen for seen in world.site.log[at:] if seen.path == ocx.CANCEL_ALL]
        assert fired
        assert {seen.key for seen in world.site.log[at:]} == {SECRET}
        assert SECRET not in repr(world.told.lines) + repr(world.told.journal.rows) + repr(world.run.reloader)


async def test_the_watch_on_the_keys_life_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """The old one ends in a minute; the run goes on beyond that with the new one."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        world.site.key = ""
        run = world.run
        run.expiry = KeyExpiry(WALL + 700.0 + 60.0, 700.0, run.recorder, run.pulse.wall, run.leave)
        world.shelf.kept = key.Key(SECRET, "ocx_kid_2", "trade", WALL + 90 * 86_400.0)
        assert (await world.reload())["ok"]
        world.heal()
        await trio.sleep(120.0)
        assert run.stop is None
        assert run.expiry.expires_at == WALL + 90 * 86_400.0


@pytest.mark.parametrize(
    ("path", "answers", "why", "tries"),
    [
        (ocx.ORDERS, (401,), "401", 1),
        (ocx.ORDERS, (409,), "409", 1),
        (ocx.CANCEL_ALL, (403,), "403", 1),
        (ocx.ORDERS, (503, 503, 503), "503", 3),
    ],
)
async def test_a_key_that_is_not_proved_is_not_used(
    path: str,
    answers: tuple[int, ...],
    why: str,
    tries: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: Clock,
) -> None:
    """Refused to read or to cancel: at once; not answered: after three tries. Nothing changes, parameters neither."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        world.site.key = ""
        world.shelf.kept = ANOTHER
        wider(world, "9")
        usual = world.site.usual[path]
        left = list(answers)

        async def refuse(seen: Seen, stream: Any) -> None:
            new = seen.key == SECRET
            await (saying({"error": "NO"}, left.pop(0))(seen, stream) if new and left else usual(seen, stream))

        world.site.usual[path] = refuse
        answer = await world.reload()
        assert not answer["ok"]
        assert "the key ocx_kid_2 is not proved" in answer["sentence"]
        assert why in answer["sentence"]
        assert "The one in use stays: do not revoke it." in answer["sentence"]
        assert len([seen for seen in world.site.log if seen.key == SECRET and seen.path == path]) == tries
        assert world.run.engine.markets[BTC].ladder_settings.edge_bps_min == dec("1.0")
        assert world.switch.seen == []
        await trio.sleep(6.0)  # the panic lanes have been warmed again
        assert {seen.key for seen in world.site.log if seen.at > trio.current_time() - 6.0} == {KEY}


async def test_a_key_of_another_account_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """It reads, and may cancel, and what rests is none of what is ours: with it nobody could pull that any more.

    The same name of a bot is no proof either: another run of it may have an account of its own.
    """
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        world.site.key = ""
        world.shelf.kept = ANOTHER
        usual = world.site.list_orders

        async def elsewhere(seen: Seen, stream: Any) -> None:
            others = [
                {**one, "clientOrderId": f"mk-otherrun-{number}"} for number, one in enumerate(world.site.resting)
            ]
            await (saying({"orders": others})(seen, stream) if seen.key == SECRET else usual(seen, stream))

        world.site.usual[ocx.ORDERS] = elsewhere
        answer = await world.reload()
        assert not answer["ok"]
        assert "a key of another account, it seems. The one in use stays" in answer["sentence"]
        assert world.switch.seen == []
        assert not [seen for seen in world.site.log if seen.key == SECRET and seen.path == ocx.CANCEL_ALL]


async def test_a_change_that_finds_no_turn_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """The exchange does not answer the pull that goes on: it is not applied later, behind the back of who was told."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        world.site.usual[ocx.CANCEL_ALL] = silent
        world.lose_stream()
        wider(world, "9")
        began = trio.current_time()
        answer = await world.reload()
        assert not answer["ok"]
        assert "reload again later" in answer["sentence"]
        assert trio.current_time() - began == pytest.approx(APPLY_SECONDS_MAX, abs=1.0)
        world.site.usual[ocx.CANCEL_ALL] = world.site.cancel_all
        world.heal()
        since = trio.current_time()
        with trio.fail_after(60.0):
            await world.until_quoted(since=since)
        assert world.run.engine.markets[BTC].ladder_settings.edge_bps_min == dec("1.0")


async def test_during_a_pull_it_is_applied_once_that_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """Parameters and a key both: nothing rests then."""
    async with running(config(tmp_path), monkeypatch) as world:
        await quoting(world)
        world.site.key = ""
        world.shelf.kept = ANOTHER
        wider(world, "9")
        until = trio.current_time() + 4.0

        async def late(seen: Seen, stream: Any) -> None:
            """The proof is answered; what pulls is not, for a while."""
            if seen.body == b"{}":
                await trio.sleep_until(max(trio.current_time(), until))
            await world.site.cancel_all(seen, stream)

        world.site.usual[ocx.CANCEL_ALL] = late
        world.lose_stream()
        answer = await world.reload()
        assert answer["ok"], answer
        assert trio.current_time() > until
        assert [one.trip.reason for one in world.switch.seen] == [Reason.STREAM_BROKEN]
        since = trio.current_time()
        world.heal()
        with trio.fail_after(60.0):
            await world.until_quoted(since=since)
        assert {seen.key for seen in world.site.log if seen.at > since} == {SECRET}
