"""One ordinary run, and a second one after it, by the command that users type."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from maker.drills.processes import cleaned, now_ms, start_maker, until
from maker.drills.record import Record
from tests.live.stage import paper_conf
from tests.live.support import MARKETS, SIZE_MIN

RUN_SECONDS = 25
SECOND_RUN_SECONDS = 5
RESULT_KEYS = {
    "reason": str,
    "exit_code": int,
    "verified_empty": bool,
    "open_orders": int,
    "quotes_sent": int,
    "fills": int,
    "position": dict,
    "pnl": str,
    "attribution": dict,
    "halts": int,
}
STATUS_KEYS = {
    "guard_pid",
    "maker_pid",
    "venue_pid",
    "monitor_pid",
    "venue_url",
    "reference_url",
    "monitor_url",
    "key_id",
    "config_sha256",
    "started_at",
}
COVERED_MIN = 0.90
WITHIN_BPS = Decimal(10)
FIRST_QUOTE_SECONDS_MAX = 5.0
MONITOR_SECONDS_MAX = 15.0  # it imports and gives way to everybody else
STOP_SECONDS_MAX = 2.0  # verified empty, in a healthy world


@attrs.frozen
class Played:
    """An ordinary run and one after it: what they left."""

    folder: Path
    code: int
    result: dict[str, Any]
    status: dict[str, Any]
    first: Record
    second: Record
    second_result: dict[str, Any]
    commanded_at: float  # unix milliseconds of the first command
    first_quote_at: float


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("run")
    found: list[Played] = []

    async def play() -> None:
        conf = paper_conf(folder, monitored=True)
        commanded_at = now_ms()
        with cleaned(start_maker(folder, conf, "--for", f"{RUN_SECONDS}s")) as maker:
            first_quote_at = await maker.quoting()

            def looked_at() -> bool:
                maker.status = json.loads((folder / "run.json").read_text())
                return maker.status["monitor_url"] is not None

            await until(looked_at, MONITOR_SECONDS_MAX, "the monitor's address in run.json")
            status = maker.status
            code = await maker.process.wait()
            result = maker.result
        assert not (folder / "run.json").exists(), "run.json stays behind"
        with cleaned(start_maker(folder, conf, "--for", f"{SECOND_RUN_SECONDS}s")) as again:
            assert await again.process.wait() == 0, again.log
            second_result = again.result
        # A new history begins a new record and keeps the last one beside it.
        first, second = Record(folder / "venue-record.jsonl.before"), Record(folder / "venue-record.jsonl")
        first.refresh()
        second.refresh()
        found.append(Played(folder, code, result, status, first, second, second_result, commanded_at, first_quote_at))

    trio.run(play)
    return found[0]


def test_result_is_clean_and_complete(played: Played) -> None:
    """Exit 0, read back empty, and the last line on stdout is one object with the documented keys."""
    assert played.code == played.result["exit_code"] == 0
    assert played.result["verified_empty"] is True
    assert played.result["open_orders"] == 0
    for key, kind in RESULT_KEYS.items():
        assert isinstance(played.result[key], kind), (key, played.result[key])
    assert set(played.result["position"]) == set(MARKETS)
    Decimal(played.result["pnl"])


def test_status_file_names_the_processes(played: Played) -> None:
    """run.json has the documented keys while it runs; the fixture saw it gone afterwards."""
    assert set(played.status) == STATUS_KEYS
    assert played.status["monitor_url"].startswith("http://127.0.0.1:")
    assert played.status["key_id"] is None, "the practice key is nobody's"
    assert len({played.status[name] for name in ("guard_pid", "maker_pid", "venue_pid", "monitor_pid")}) == 4
    assert played.status["venue_url"].startswith("http://127.0.0.1:")


def test_quotes_soon(played: Played) -> None:
    """Both markets have both sides within seconds of the command."""
    assert (played.first_quote_at - played.commanded_at) / 1000 < FIRST_QUOTE_SECONDS_MAX


def test_nothing_rests_at_the_end(played: Played) -> None:
    """By the record nothing of ours rests when the run is over, either run."""
    assert played.first.resting() == {}
    assert played.second.resting() == {}
    assert played.first.placed(), "a run that never quoted proves nothing"


def test_never_throttled(played: Played) -> None:
    """No answer was a 429, and none was an error of any kind."""
    calls = played.first.calls() + played.second.calls()
    assert len(calls) > 100
    assert [call for call in calls if call.status is not None and call.status >= 400] == []


def test_both_sides_rest_nearly_always(played: Played) -> None:
    """Each market has both sides within 10 bp of mid for more than 90 % of the time from the first quote on."""
    ladders = played.first.ladders()
    pulled_at = played.first.cancels(ladders[0].begin)[0].begin
    shares = {
        market: played.first.covered(market, Decimal(SIZE_MIN[market]), WITHIN_BPS, played.first_quote_at, pulled_at)
        for market in MARKETS
    }
    assert min(shares.values()) > COVERED_MIN, shares


def test_fills_and_position_are_those_of_the_record(played: Played) -> None:
    """The result counts the record's trades and ends at their sum; a second run's practice exchange begins anew."""
    for record, result in ((played.first, played.result), (played.second, played.second_result)):
        trades = record.own_trades()
        assert result["fills"] == len(trades)
        assert {m: Decimal(p) for m, p in result["position"].items()} == {
            market: record.positions().get(market, Decimal(0)) for market in MARKETS
        }
    assert played.result["fills"] >= 1


def test_stops_within_two_seconds(played: Played) -> None:
    """From the first cancel-all of the halt to the second empty read at most two seconds, in this healthy world."""
    last_ladder = played.first.ladders()[-1]
    cancel = played.first.cancels(last_ladder.begin)[0]
    reads = [c for c in played.first.calls() if c.path == "/perps/orders" and c.method == "GET" and c.ack]
    last_read = max(c.ack or 0.0 for c in reads)
    assert cancel.begin < last_read <= cancel.begin + STOP_SECONDS_MAX * 1000


def test_journal_agrees_with_the_record(played: Played) -> None:
    """Fills by trade id with side, price, size and fee; ladders by quoteId, one outcome each; two runs appended."""
    with sqlite3.connect(played.folder / "journal.sqlite") as journal:
        fills = {
            row[0]: row[1:]
            for row in journal.execute("SELECT trade_id, market, side, price_quote, size_base, fee_quote FROM fills")
        }
        fill_rows = journal.execute("SELECT count(*) FROM fills").fetchone()[0]
        ladders = [row[0] for row in journal.execute("SELECT quote_id FROM ladders")]
        outcomes = journal.execute("SELECT quote_id, outcome FROM ladder_outcomes").fetchall()
        runs = journal.execute("SELECT run_id FROM runs ORDER BY started_at_unix_ms").fetchall()
        ends = journal.execute("SELECT run_id, exit_code, verified_empty FROM run_ends").fetchall()
        units = {
            row[1] for table in ("fills", "ladders", "profit") for row in journal.execute(f"PRAGMA table_info({table})")
        }
    journal.close()
    trades = played.first.own_trades() + played.second.own_trades()
    assert fill_rows == len(fills) == len(trades)
    for trade in trades:
        market, side, price, size, fee = fills[trade["tradeId"]]
        maker_side = "sell" if trade["takerSide"] == "buy" else "buy"
        assert (market, side) == (trade["marketId"], maker_side)
        assert (Decimal(price), Decimal(size)) == (Decimal(trade["price"]), Decimal(trade["quantity"]))
        assert Decimal(fee) == Decimal(trade["makerFee"])
    sent = [json.loads(c.body)["quoteId"] for c in played.first.ladders() + played.second.ladders()]
    assert sorted(ladders) == sorted(sent)
    assert len(set(sent)) == len(sent), "a quoteId was sent twice"
    assert sorted(outcomes) == sorted((quote_id, "applied") for quote_id in sent)
    assert len(runs) == 2
    assert ends == [(run, 0, 1) for (run,) in runs]
    assert {"price_quote", "size_base", "at_unix_ms", "position_base"} <= units


def test_order_ids_are_never_repeated(played: Played) -> None:
    """No clientOrderId comes twice, not even across the two runs."""
    ids = [line["clientOrderId"] for record in (played.first, played.second) for line in record.placed()]
    assert len(set(ids)) == len(ids) > 0


async def test_one_maker_for_one_state_folder(tmp_path: Path) -> None:
    """A second start in the same folder is refused with a sentence, and the first goes on quoting."""
    conf = paper_conf(tmp_path)
    with cleaned(start_maker(tmp_path, conf)) as maker:
        await maker.quoting()
        with cleaned(start_maker(tmp_path, conf)) as second:
            assert await second.process.wait(10.0) == 78
            assert "another maker is running" in second.result["reason"]
        seen = len(maker.record.placed())

        def more() -> bool:
            maker.record.refresh()
            return len(maker.record.placed()) > seen

        await until(more, 25.0, "a further ladder of the first maker")
        assert (tmp_path / "run.json").exists(), "the refused one took the other's run.json away"
