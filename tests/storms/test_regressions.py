"""What storms have found: each as the storm that showed it, named by the seed of its time, made small."""

from __future__ import annotations

from pathlib import Path

import pytest

from maker.app.config import Config, load
from maker.edge.records import StateChange
from maker.storms import audit
from maker.storms import record as r
from maker.storms.schedule import Fault, Schedule
from maker.storms.terms import narrowed
from maker.storms.virtual import run_virtual
from maker.storms.world import World, perform, state_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config() -> Config:
    return load(ROOT / "conf" / "paper.toml", "http://ocx.test", "ws://ocx.test")


@pytest.mark.parametrize("which", [0.01, 0.2, 0.3])  # none of the tasks that make the heartbeat
def test_seed_62_a_watchers_error_does_not_end_heartbeats_in_the_middle_of_the_halt(
    config: Config, which: float
) -> None:
    """H6: the error of a watcher ended its nursery, heartbeat included; the guard killed a maker that was halting.

    Cancel-all is refused for longer than the guard waits for a heartbeat, so the halt takes longer than that too.
    """
    faults = (
        Fault(row="F32", name="maintenance_refuses", at=0.5, seconds=6.0, words={"target": "cancel_all"}),
        Fault(row="F47", name="raised", at=1.0, numbers={"which": which}),
    )
    outcome, record = perform(config, Schedule(seed=62, markets=1, step_ms=200, faults=faults))
    assert outcome.violations == ()
    assert list(record.of(r.Raised)), "no error came up"
    assert list(record.of(r.Died)) == []
    (ended,) = record.of(r.Ended)
    assert ended.code == 70
    assert ended.verified_empty
    assert ended.causes == ("planted-1",)


def test_seed_89_a_feeds_error_does_not_withhold_heartbeats_in_the_middle_of_the_halt(config: Config) -> None:
    """The watch had ended with it, and counted as late: no heartbeat was earned any more."""
    refused = Fault(row="F32", name="maintenance_refuses", at=0.5, seconds=6.0, words={"target": "cancel_all"})
    killed = []
    for tenth in range(4, 10):
        raised = Fault(row="F47", name="raised", at=1.0, numbers={"which": tenth / 10})
        schedule = Schedule(seed=89, markets=1, step_ms=200, faults=(refused, raised))
        outcome, record = perform(config, schedule)
        assert outcome.violations == ()
        (error,) = record.of(r.Raised)
        if error.where.endswith("Run.guarded"):
            killed.append(bool(list(record.of(r.Died))))
    assert len(killed) >= 3
    assert not any(killed)


@pytest.mark.parametrize("at", [1.0, 1.06, 1.12, 1.18, 1.24])
def test_seed_52_a_maker_that_hangs_is_killed_within_three_seconds_wherever_between_two_looks(
    config: Config, at: float
) -> None:
    """L4: the guard looked every quarter of a second, and so up to a quarter of a second late."""
    fault = Fault(row="F37", name="pause", at=at, numbers={"still_seconds": 60.0})
    outcome, record = perform(config, Schedule(seed=52, markets=1, step_ms=200, faults=(fault,)))
    assert outcome.violations == ()
    (died,) = record.of(r.Died)
    assert died.hang_began_at is not None
    assert died.at - died.hang_began_at <= config.guard.hang_seconds_max + 0.1


def test_a_snapshot_from_a_site_that_is_behind_is_refused(config: Config) -> None:
    """F24: it would have been believed, and its book and position with it."""
    fault = Fault(row="F24", name="snapshot_stale", at=2.0)
    outcome, record = perform(config, Schedule(seed=3, markets=1, step_ms=200, faults=(fault,)))
    assert outcome.violations == ()
    assert outcome.faults == {"snapshot_stale": 1}
    assert len(list(record.of(r.SnapshotRead))) >= 2, "the true one that followed was not read"


def test_seed_411_an_order_of_somebody_else_is_seen_within_seconds(config: Config) -> None:
    """H28: the account's orders were read every 2.5 s to keep connections warm, and nobody looked at them."""
    fault = Fault(row="F35", name="foreign_order", at=1.0)
    outcome, record = perform(config, Schedule(seed=411, markets=1, step_ms=200, faults=(fault,)))
    assert outcome.violations == ()
    (began,) = record.of(r.FaultBegan)
    (pulled,) = (entry for entry in record.of(r.Tripped) if entry.reason == "ORDERS_DISAGREE")
    assert pulled.detail == "BTC-PERP zz-1"
    assert pulled.at - began.at <= 2.6
    assert list(record.of(r.Rearmed)), "it did not go on afterwards"


def test_seed_78_a_reference_feed_that_is_reset_leaves_no_connection_open(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S23: trio-websocket does not close the stream of a connection that broke; each reset left a descriptor."""
    faults = tuple(
        Fault(row="F16", name="feed_ended", at=float(at), words={"target": "reference", "form": "reset"})
        for at in (0.5, 2.5, 4.5, 6.5)
    )
    open_feeds: list[int] = []
    dialled: list[int] = []

    count = audit.count

    def counting(world: World) -> None:
        count(world)
        links = [link for link in world.site.links.values() if link.port == "reference"]
        dialled.append(len(links))
        open_feeds.append(sum(link.client is not None and not link.client.closed for link in links))

    monkeypatch.setattr(audit, "count", counting)
    schedule = Schedule(seed=78, markets=1, step_ms=200, faults=faults)
    world = World(narrowed(config, 1, tmp_path), schedule)
    run_virtual(world.run, 78, world.connect)
    assert dialled[-1] >= 4 * len(config.references)
    assert set(open_feeds) == {len(config.references)}


def test_seed_1081_a_process_that_stands_still_reads_nothing_of_its_streams(config: Config) -> None:
    """S5 said that a frozen maker had read the end of a stream and not pulled: a verdict that was wrong."""
    faults = (
        Fault(row="F37", name="pause", at=0.5, numbers={"still_seconds": 49.2}),
        Fault(row="F13", name="stream_truncated", at=0.6, words={"target": "stream"}),
    )
    outcome, record = perform(config, Schedule(seed=1081, markets=1, step_ms=200, faults=faults))
    assert outcome.faults == {"pause": 1, "stream_truncated": 1}
    assert outcome.violations == ()
    assert list(record.of(r.BrokenRead)) == []
    assert len(list(record.of(r.Died))) == 1


def test_seed_1676_a_price_that_crashed_is_quoted_again_once_index_and_reference_agree(config: Config) -> None:
    """L2, S8: one sample of the basis in between kept the market unquoted for as long as an average remembers."""
    for bps in (-2400.0, 2450.0):
        fault = Fault(row="F33", name="crash", at=1.0, numbers={"bps": bps})
        outcome, record = perform(config, Schedule(seed=1676, markets=1, step_ms=200, faults=(fault,)))
        assert outcome.faults == {"crash": 1}
        assert outcome.violations == ()
        (quiet,) = record.of(r.QuietBegan)
        again = next(entry.at for entry in record.of(r.Left) if entry.quotes and entry.at > quiet.at)
        assert again - quiet.at < 30  # the window's collar holds for 20 s after a move that stays


def test_seed_904_a_second_pause_does_not_hold_up_the_guard_of_a_maker_that_hangs(config: Config) -> None:
    """L4 said that its guard was late: time had jumped past it, for a maker that stood still anyway."""
    faults = (
        Fault(row="F37", name="pause", at=0.5, numbers={"still_seconds": 60.0}),
        Fault(row="F37", name="pause", at=3.2, numbers={"still_seconds": 1.1}),
    )
    outcome, record = perform(config, Schedule(seed=904, markets=1, step_ms=200, faults=faults))
    assert outcome.faults == {"pause": 1}
    assert outcome.violations == ()
    (died,) = record.of(r.Died)
    assert died.hang_began_at is not None
    assert died.at - died.hang_began_at <= config.guard.hang_seconds_max + 0.1


def test_seed_7209_an_error_where_a_library_makes_a_lost_connection_of_it_is_no_error_of_ours(config: Config) -> None:
    """S14 said that an error was swallowed: it came up in trio-websocket's handshake, which is then a failed one."""
    silent = Fault(row="F17", name="feed_silent", at=0.05625, seconds=6.3, words={"target": "reference"})
    for hundredth in range(70, 100, 2):
        raised = Fault(row="F47", name="raised", at=7.55625, numbers={"which": hundredth / 100})
        schedule = Schedule(seed=7209, markets=1, step_ms=400, faults=(silent, raised), ending="kill_file")
        outcome, _record = perform(config, schedule)
        assert outcome.violations == (), hundredth


def test_seed_1762_cancels_that_are_throttled_one_after_another_do_not_slow_quoting_down_for_minutes(
    config: Config,
) -> None:
    """L2: somebody else spent the account's requests; each refusal of the pull that followed halved our pace."""
    fault = Fault(row="F26", name="tokens_taken", at=3.4, numbers={"times": 1.0, "requests": 109.5})
    outcome, record = perform(config, Schedule(seed=1762, markets=2, step_ms=200, faults=(fault,)))
    assert outcome.faults == {"tokens_taken": 1}
    assert outcome.violations == ()
    (quiet,) = record.of(r.QuietBegan)
    (back,) = (entry.at for entry in record.of(r.Rearmed) if entry.at > quiet.at)
    again = {entry.market_id for entry in record.of(r.Left) if entry.quotes and back < entry.at <= back + 5}
    assert len(again) == 2, "both markets within seconds of the first request that may be spent"


def test_seed_7014_an_order_seen_after_a_pull_was_read_back_is_pulled_before_quoting_again(config: Config) -> None:
    """S3: somebody placed one between the reads and the re-arm; a lane's read showed it, and nobody looked."""
    faults = (
        Fault(row="F11", name="drip", at=1.1, seconds=0.2, numbers={"gap_seconds": 0.20689976582949046}),
        Fault(
            row="F24",
            name="stream_refused",
            at=1.9,
            seconds=0.1,
            numbers={"status": 503},
            words={"form": "html", "target": "stream"},
        ),
        Fault(row="F21", name="duplicate", at=4.6, numbers={"times": 4.0}),
        Fault(row="F37", name="pause", at=4.8, numbers={"still_seconds": 0.16739558480208822}),
        Fault(row="F35", name="foreign_order", at=4.9, numbers={"times": 1.0}),
    )
    with state_folder() as folder:
        world = World(narrowed(config, 2, folder), Schedule(seed=7014, markets=2, step_ms=500, faults=faults))
        run_virtual(world.run, 7014, world.connect)
        assert audit.outcome(world).violations == ()
    states = [row.state for row in world.journal.rows if isinstance(row, StateChange)]
    assert "not empty" in states, "the storm no longer meets what it was kept for"
