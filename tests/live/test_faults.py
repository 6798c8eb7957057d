"""What the exchange may answer that no practice exchange does by itself, and what the machine may do to us."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio

from maker.drills.processes import cleaned, now_ms, start_maker, start_venue, until
from maker.drills.proxy import SWALLOW, answer, lying
from maker.drills.record import BULK, CANCEL_ALL
from tests.live.stage import paper_conf, staged
from tests.live.support import PROJECT, measure
from tests.live.test_cut import finish
from tests.live.test_stop import check_order

BACK_SECONDS_MAX: Final = 60.0
TAIL_SECONDS: Final = 8.0  # conf/paper.toml, tail_seconds_max
WRITE_SECONDS_MAX: Final = 3.0  # conf/paper.toml
STOP_SECONDS_MAX: Final = 15.0
PULLED_AWAKE_MS_MAX: Final = 1_000.0  # 10 on an idle machine; a busy one is that late to wake three processes
HTML: Final = answer(200, b"<html>we are sorry</html>", kind="text/html")
BROKEN: Final = answer(503, b"<html>upstream</html>", kind="text/html")
THROTTLED: Final = answer(429, b'{"error":"RATE_LIMITED","message":"slow down","retryAfterMs":600}', "Retry-After: 1")
DENIED: Final = answer(401, b'{"error":"UNAUTHENTICATED","message":"revoked"}')


async def cancel_all_answered(folder: Path, lie: bytes) -> None:
    """Cancel-all itself is answered with trouble for a while: repeated until it is acknowledged, then read back."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        stage.exchange.lie = lying(f"POST {CANCEL_ALL}".encode(), lie, lie, lie)
        at = now_ms()
        stage.maker.process.send(signal.SIGTERM)
        code = await stage.maker.process.wait()
        stage.record.refresh()
        assert stage.exchange.lies_told == 3
        assert (code, stage.maker.result["verified_empty"]) == (0, True), stage.maker.result
        assert measure("cancel-all in trouble three times -> ended", now_ms() - at) <= STOP_SECONDS_MAX * 1000
        check_order(stage.record, at)


async def ladder_unanswered(folder: Path, lie: bytes, *, is_applied: bool) -> None:
    """A ladder's outcome is unknown: pulled through the whole tail, read back, a new ladder under a new name."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        stage.exchange.lie = lying(f"POST {BULK}".encode(), lie)
        await until(lambda: stage.exchange.lies_told or None, 25.0, "a further ladder")
        at = now_ms()
        back_at = await stage.maker.quoting(since=at + 1.0, seconds=BACK_SECONDS_MAX)
        record = stage.record
        cancels = record.cancels(at)
        assert cancels[0].begin - at <= WRITE_SECONDS_MAX * 1000 + 500
        tail_began = cancels[0].begin
        in_tail = [call for call in cancels if call.begin < back_at]
        assert len(in_tail) >= 5, "the tail repeats the cancel-all"
        assert in_tail[-1].begin - at >= TAIL_SECONDS * 1000 - 500, "the tail is measured from the write"
        next_ladder = record.ladders(tail_began)[0]
        assert next_ladder.begin > in_tail[-1].begin, "a ladder before the tail had ended"
        quote_ids = [json.loads(call.body)["quoteId"] for call in record.ladders()]
        assert len(set(quote_ids)) == len(quote_ids)
        assert is_applied == (lie == SWALLOW)
        await finish(stage)


async def denied(folder: Path, request: str) -> None:
    """The key is refused in the middle of things: pulled, read back empty, 77, and no second try."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        stage.exchange.lie = lying(request.encode(), DENIED)
        at = now_ms()
        code = await stage.maker.process.wait(45.0)
        stage.record.refresh()
        result = stage.maker.result
        assert (code, result["verified_empty"]) == (77, True), (result, stage.maker.log[-2000:])
        assert stage.exchange.lies_told == 1
        check_order(stage.record, at)


async def account_read_in_garbage(folder: Path, request: str, lie: bytes) -> None:
    """An account read after a pull is answered in garbage once: read again, and quoting again."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        stage.exchange.lie = lying(request.encode(), lie)
        stage.reference.cut()
        stage.reference.mend()
        await until(lambda: stage.exchange.lies_told or None, 10.0, "the read back")
        at = now_ms()
        await stage.maker.quoting(since=at, seconds=BACK_SECONDS_MAX)
        await finish(stage)


async def poll_in_garbage(folder: Path, request: str, lie: bytes) -> None:
    """A poll is answered in garbage, or with more than was asked for: quoting goes on."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        stage.exchange.lie = lying(request.encode(), lie)
        await until(lambda: stage.exchange.lies_told or None, 15.0, "the poll")
        at = now_ms()

        def further() -> bool:
            stage.record.refresh()
            return bool(stage.record.ladders(at))

        await until(further, 25.0, f"a further ladder; {stage.maker.log[-3000:]}")
        await finish(stage)


async def paused(folder: Path) -> None:
    """The machine stands still for seconds: what the maker does first, awake again, is to pull."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        took_ms = []
        for _ in range(2):
            since = now_ms()
            stage.maker.signal_maker(signal.SIGSTOP)
            await trio.sleep(
                2.3
            )  # longer than the reference may be silent, shorter than the guard bears: part of the scene
            at = now_ms()
            stage.maker.signal_maker(signal.SIGCONT)
            await stage.maker.quoting(since=at, seconds=BACK_SECONDS_MAX)
            path = [
                call for call in stage.record.calls() if call.begin >= since + 500 and (call.creates or call.cancels)
            ]
            assert path[0].cancels, "a ladder left before the cancel-all"
            took_ms.append(measure("awake after a pause -> cancel-all at the venue", path[0].begin - at))
        assert max(took_ms) <= PULLED_AWAKE_MS_MAX
        await finish(stage)


async def journal_cannot_be_written(folder: Path) -> None:
    """The journal's file system takes no more: pulled, read back empty, 70; the file stays a true prefix."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        at = now_ms()
        resource.prlimit(stage.maker.status["maker_pid"], resource.RLIMIT_FSIZE, (1, 1))
        code = await stage.maker.process.wait(30.0)
        result = stage.maker.result
        assert (code, result["verified_empty"]) == (70, True), result
        assert "journal" in result["reason"]
        check_order(stage.record, at)
        with contextlib.closing(sqlite3.connect(stage.folder / "journal.sqlite")) as journal:
            assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            kept = {row[0] for row in journal.execute("SELECT quote_id FROM ladders")}
        sent = [json.loads(call.body)["quoteId"] for call in stage.record.ladders()]
        assert kept <= set(sent)


async def no_descriptor_left(folder: Path) -> None:
    """Not one more descriptor is to be had: the warm lanes still pull and prove it."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        pid = stage.maker.status["maker_pid"]
        taken = [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(taken) + 1, max(taken) + 1))
        await trio.sleep(1.5)  # a round of polls without a descriptor to open
        at = now_ms()
        stage.maker.process.send(signal.SIGTERM)
        code = await stage.maker.process.wait()
        assert (code, stage.maker.result["verified_empty"]) == (0, True), stage.maker.result
        first = check_order(stage.record, at)
        assert measure("signal, no descriptor left -> cancel-all at the venue", first.begin - at) <= 100.0


async def told_itself(folder: Path) -> None:
    """The maker, not its parent, is told to stop: the same clean end, reported by the parent."""
    with cleaned(start_maker(folder, paper_conf(folder))) as maker:
        await maker.quoting()
        at = now_ms()
        maker.signal_maker(signal.SIGTERM)
        assert await maker.process.wait() == 0
        assert maker.result["verified_empty"] is True
        check_order(maker.record, at)


async def told_while_the_venue_starts(folder: Path) -> None:
    """Ctrl-C before there is a maker: 78, a sentence, and no practice exchange left behind."""
    with cleaned(start_maker(folder, paper_conf(folder))) as maker:
        await until(lambda: maker.record.path.exists() or None, 10.0, "the venue begins its record")
        maker.process.send(signal.SIGINT)
        code = await maker.process.wait(10.0)
        assert code == maker.result["exit_code"]
        assert code in (78, 0)  # 0: the maker was quicker
        maker.record.refresh()
        assert maker.record.lines[-1]["kind"] == "stop", "the venue was not ended in an orderly way"
        assert not (folder / "run.json").exists()


async def nobody_reads_the_log(folder: Path) -> None:
    """stderr is a full pipe: told to stop, it is pulled at once all the same, and ends."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    conf = paper_conf(folder)
    maker = start_maker(folder, conf, stderr=writer)
    try:
        with cleaned(maker):
            await maker.quoting()
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writer, b"x")
            os.set_blocking(writer, True)
            await trio.sleep(2.0)  # fills go into the log's queue meanwhile
            at = now_ms()
            maker.process.send(signal.SIGTERM)
            code = await maker.process.wait()
            assert (code, maker.result["verified_empty"]) == (0, True)
            first = check_order(maker.record, at)
            assert measure("signal, log pipe full -> cancel-all at the venue", first.begin - at) <= 100.0
            assert measure("signal, log pipe full -> parent ended", now_ms() - at) <= 10_000.0
    finally:
        os.close(reader)
        os.close(writer)


async def nobody_reads_the_result(folder: Path) -> None:
    """stdout is closed at its other end: the exit code still tells."""
    reader, writer = os.pipe()
    os.close(reader)
    with cleaned(start_maker(folder, paper_conf(folder), stdout=writer)) as maker:
        os.close(writer)
        await maker.quoting()
        at = now_ms()
        maker.process.send(signal.SIGTERM)
        assert await maker.process.wait() == 0
        check_order(maker.record, at)


async def venue_port_taken(folder: Path) -> None:
    """The practice exchange's port is in use: refused with a sentence, nothing left running."""
    venue = await start_venue(folder)
    try:
        conf = paper_conf(folder, replace={r"^port = .*$": f"port = {venue.port}"})
        with cleaned(start_maker(folder, conf)) as maker:
            assert await maker.process.wait(15.0) == 78
            assert "practice exchange" in maker.result["reason"]
            assert str(venue.port) in maker.log or "in use" in maker.log
    finally:
        venue.process.kill()


async def settled_by_the_summary(folder: Path) -> None:
    """Without --json stdout is a summary for people, of a few lines."""
    process = await trio.run_process(
        [sys.executable, "-m", "maker", "run", str(paper_conf(folder)), "--for", "3s"],
        cwd=PROJECT,
        capture_stdout=True,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    text = process.stdout.decode()
    assert process.returncode == 0
    assert "read back empty" in text
    assert "the time asked for is over" in text
    assert len(text.splitlines()) <= 5


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "ladder applied, no answer": partial(ladder_unanswered, lie=SWALLOW, is_applied=True),
    "ladder answered 503": partial(ladder_unanswered, lie=BROKEN, is_applied=False),
    "cancel-all answered 503": partial(cancel_all_answered, lie=BROKEN),
    "cancel-all answered 429": partial(cancel_all_answered, lie=THROTTLED),
    "cancel-all answered 401": partial(cancel_all_answered, lie=DENIED),
    "ladder answered 401": partial(denied, request=f"POST {BULK}"),
    "poll answered 401": partial(denied, request="GET /perps/balances"),
    "positions in HTML": partial(account_read_in_garbage, request="GET /perps/positions", lie=HTML),
    "own trades answered 404": partial(
        account_read_in_garbage, request="GET /perps/trades", lie=answer(404, b'{"error":"NOT_FOUND"}')
    ),
    "balances answered 503": partial(account_read_in_garbage, request="GET /perps/balances", lie=BROKEN),
    "index in HTML": partial(poll_in_garbage, request="GET /perps/market-stats", lie=HTML),
    "index of a stranger": partial(
        poll_in_garbage,
        request="GET /perps/market-stats",
        lie=answer(
            200,
            b'[{"marketId":"DOGE-PERP","markPrice":"1.0","indexPrice":"1.0","fundingRate":"0"}]',
        ),
    ),
    "paused": paused,
    "journal cannot be written": journal_cannot_be_written,
    "no descriptor left": no_descriptor_left,
    "the maker itself is told": told_itself,
    "told while the venue starts": told_while_the_venue_starts,
    "nobody reads the log": nobody_reads_the_log,
    "nobody reads the result": nobody_reads_the_result,
    "venue's port taken": venue_port_taken,
    "summary for people": settled_by_the_summary,
}


@pytest.mark.parametrize("scene", SCENES)
def test_faults(scene: str, played: Callable[[str], None]) -> None:
    """Pulled where it must be, never where it need not be, and the exit code is true."""
    played(scene)
