"""What one run leaves of the request budget for the next: read back exactly, or not at all; no restart exceeds it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.app.budget_file import BUDGET_FILE, BudgetKeeper, read, recall, spell
from maker.app.record import Recorder
from maker.desk.budget import WINDOW_SECONDS, Budget, Left
from maker.edge.lasting import DirectFile
from maker.paper.ratelimit import RateWindow
from maker.paper.rejection import Rejection
from tests.app.site import a_recorder
from tests.app.whole import config, running
from tests.desk.scripted import BUDGET, START, quick

UNIX = 1_700_000_000.0
LEFT = Left(UNIX, 120, 80, UNIX + 30, UNIX - 5, 0.75, 2.5, closed=False, learned=120, configured=120)
STEP = 0.1  # seconds
TAIL = (0.0, 0.25, 1.0, 2.0, 4.0, 8.0)  # of the guard, after a death


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    for left in (LEFT, attrs.evolve(LEFT, closed=True, learned=None), attrs.evolve(LEFT, limit=0, remaining=0)):
        DirectFile(tmp_path / BUDGET_FILE).put(spell(left))
        assert read(tmp_path / BUDGET_FILE) == left


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / BUDGET_FILE) is None
    assert read(tmp_path / "nowhere" / BUDGET_FILE) is None
    assert read(tmp_path) is None, "a folder"


BAD = [
    ("remaining", 121), ("remaining", -1), ("remaining", 1.5), ("remaining", True), ("limit", 0), ("limit", "120"),
    ("pace", 0), ("pace", 2), ("pace", float("nan")), ("at", float("inf")), ("at", 1e300), ("tokens", None),
    ("closed", 1), ("window_ends_at", []), ("limit", 10**11), ("learned", 10**11), ("learned", "120"), ("learned", -1),
    ("configured", None), ("configured", 1e300),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD, ids=repr)
def test_a_figure_that_cannot_be_says_nothing(tmp_path: Path, field: str, value: object) -> None:
    (tmp_path / BUDGET_FILE).write_text(json.dumps({**attrs.asdict(LEFT), field: value}))
    assert read(tmp_path / BUDGET_FILE) is None


@given(st.one_of(st.binary(max_size=300), st.integers(0, 200).map(lambda cut: json.dumps(attrs.asdict(LEFT))[:cut])))
@quick
def test_garbage_and_half_a_file_say_nothing(tmp_path_factory: pytest.TempPathFactory, text: bytes | str) -> None:
    folder = tmp_path_factory.mktemp("state")
    (folder / BUDGET_FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    found = read(folder / BUDGET_FILE)
    assert found is None or found == LEFT


def test_a_file_of_an_earlier_program_says_nothing(tmp_path: Path) -> None:
    """It does not tell whether its limit was learned, so a whole window is assumed to be spent."""
    earlier = {name: value for name, value in attrs.asdict(LEFT).items() if name not in {"learned", "configured"}}
    (tmp_path / BUDGET_FILE).write_text(json.dumps({**earlier, "limit": 10, "remaining": 9}))
    told, budget = a_recorder(), Budget(BUDGET)
    recall(tmp_path, budget, told.recorder, 5.0, UNIX + 1)
    assert (budget.limit, budget.remaining, budget.assumed) == (120, 0, True)
    assert any("nobody knows what was spent" in str(line) for line in told.lines)


def test_it_is_put_down_once_a_second_and_a_last_time(tmp_path: Path) -> None:
    """A kill -9 loses what was spent within a second, and the next start assumes as much."""
    path, budget, now = tmp_path / BUDGET_FILE, Budget(BUDGET), START
    keeper = BudgetKeeper(budget, DirectFile(path), a_recorder().recorder, lambda: UNIX + now - START)
    written: list[float] = []
    for step in range(50):
        now = START + step / 10
        keeper.look(now)
        left = read(path)
        assert left is not None
        if left.at not in written:
            written.append(left.at)
    assert [round(at - UNIX, 1) for at in written] == [0, 1, 2, 3, 4]
    keeper.close(now)
    last = read(path)
    assert last is not None
    assert last.closed


def test_a_disk_that_refuses_is_said_and_stops_nothing(tmp_path: Path) -> None:
    told = a_recorder()
    keeper = BudgetKeeper(Budget(BUDGET), DirectFile(tmp_path / "gone" / BUDGET_FILE), told.recorder, lambda: UNIX)
    keeper.look(START)
    assert any("cannot be written" in str(line) for line in told.lines)


@attrs.define
class Restarts:
    """One maker after the other on one account, each killed without a word; the exchange's own limiter judges."""

    folder: Path
    headers: bool
    told: Recorder = attrs.field(factory=lambda: a_recorder().recorder)
    limiter: RateWindow = attrs.field(factory=lambda: RateWindow(120))
    seconds: float = 0.0
    quotes: int = 0
    quotes_refused: int = 0
    left_min: int = 120

    @property
    def ms(self) -> int:
        return round((UNIX + self.seconds) * 1000)

    def charge(self, budget: Budget | None, boot: float) -> bool:
        """One request; its answer tells the budget where the exchange has headers at all."""
        try:
            state = self.limiter.charge(self.ms)
        except Rejection as refused:
            if budget is not None:
                budget.throttled((refused.retry_after_ms or 0) / 1000, boot)
            return False
        if budget is not None and self.headers:
            budget.seen(state.limit, state.remaining, (state.reset_ms - self.ms) / 1000, boot)
        return True

    def live(self, life_seconds: float, boot: float) -> None:
        """The guard's sweep, the maker's, then quoting as fast as the budget allows, until it is killed."""
        self.charge(None, boot)
        budget = Budget(BUDGET)
        recall(self.folder, budget, self.told, boot, UNIX + self.seconds)
        file = DirectFile(self.folder / BUDGET_FILE)
        keeper = BudgetKeeper(budget, file, self.told, lambda: UNIX + self.seconds)
        budget.cancel_spent(boot)
        self.charge(budget, boot)
        steps = round(life_seconds / STEP)
        for _ in range(steps):
            keeper.look(boot)
            while budget.wait_seconds(boot) == 0:
                budget.spend(boot)
                if not self.charge(budget, boot):
                    self.quotes_refused += 1
                    break
                self.quotes += 1
                self.left_min = min(self.left_min, self.limiter.state(self.ms).remaining)
            self.seconds += STEP
            boot += STEP

    def die(self) -> None:
        """The guard cancels through its tail."""
        began = self.seconds
        for at in TAIL:
            self.seconds = began + at
            self.charge(None, 0.0)


@pytest.mark.parametrize("headers", [True, False], ids=["with headers", "without headers"])
@given(seed=st.integers(0, 10**6), spoilt=st.sampled_from(["never", "damaged", "missing"]))
@settings(quick, max_examples=15)
def test_killed_and_started_again_and_again_it_keeps_within_the_limit(
    tmp_path_factory: pytest.TempPathFactory, headers: bool, seed: int, spoilt: str
) -> None:
    """S9: each life begins with CLOCK_BOOTTIME anew, and with a file, half a file or none."""
    rng = random.Random(seed)
    account = Restarts(tmp_path_factory.mktemp("state"), headers)
    lives, gaps = ([0.3, 1.0, 4.0, 20.0, 70.0], [0.0, 0.5, 10.0]) if seed % 2 else ([0.3, 1.0], [0.0])
    for _ in range(12):
        account.live(rng.choice(lives) * rng.random(), boot=rng.random() * 1e5)
        account.die()
        if spoilt == "damaged" and rng.random() < 0.5:
            (account.folder / BUDGET_FILE).write_text('{"at": 17')
        if spoilt == "missing" and rng.random() < 0.5:
            (account.folder / BUDGET_FILE).unlink(missing_ok=True)
        account.seconds += rng.choice(gaps)
    assert account.quotes_refused == 0
    if headers:
        assert account.left_min >= 24


def test_without_a_file_and_without_headers_a_window_is_waited_for(tmp_path: Path) -> None:
    """Whoever was killed just before may have spent all of one."""
    told, budget = a_recorder(), Budget(BUDGET)
    recall(tmp_path, budget, told.recorder, 5.0, UNIX)
    wait = budget.wait_seconds(5.0)
    assert WINDOW_SECONDS <= wait < WINDOW_SECONDS + 1
    assert budget.wait_seconds(5.0 + wait) == 0
    assert any("nobody knows what was spent" in str(line) for line in told.lines)


async def test_a_run_begins_with_what_is_known_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """The exchange here states no limit: after a clean end quotes come at once, with nothing known after a window."""
    path = tmp_path / BUDGET_FILE
    settled = config(tmp_path)
    async with running(settled, monkeypatch) as world:
        with trio.fail_after(5):
            await world.until_quoted()
        world.run.keep(world.run.pulse.boot() + 2)
        assert world.run.budget_keeper is not None
        world.run.budget_keeper.file.close(5.0)
        kept = read(path)
        assert kept is not None
        assert not kept.closed
        assert kept.remaining < 120
    path.unlink()
    async with running(settled, monkeypatch, left=None) as world:
        with trio.move_on_after(55):
            await world.until_quoted()
        assert world.ladders() == []
        with trio.fail_after(10):
            await world.until_quoted()


def test_after_a_clean_end_nothing_is_waited_for(tmp_path: Path) -> None:
    """Nothing was sent after it but what a guard may have cancelled."""
    DirectFile(tmp_path / BUDGET_FILE).put(spell(attrs.evolve(LEFT, closed=True)))
    budget = Budget(BUDGET)
    recall(tmp_path, budget, a_recorder().recorder, 5.0, UNIX + 1)
    assert budget.wait_seconds(5.0) == 0
    assert budget.remaining == LEFT.remaining - 12
