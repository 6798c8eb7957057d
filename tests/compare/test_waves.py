"""The two waves: everybody alone, then one counterpart for several, and what is said when any of it came to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
import pytest

from maker.compare import table, waves
from maker.compare.counterpart import Counterpart, Group
from maker.compare.match import Match
from maker.compare.result import Result
from maker.compare.waves import Played, play_all, problems
from maker.storms.workers import CannotWork, Failure, performed
from tests.compare.scenes import match, quoting

HOUR = 3600
HALF_SPREADS = {"fixed": 2.0, "volatility": 2.04, "avellaneda_stoikov": 3.0, "glft": 2.02}


def player() -> Callable[[Match], Result]:
    """A worker that knows every model's half-spread; `glft` cannot be played on seed 3."""
    return play


def play(one: Match) -> Result:
    if (one.model, one.seed) == ("glft", 3):
        raise ArithmeticError("no such luck")
    return quoting(one, HALF_SPREADS[one.model])


def finder() -> Callable[[Group], Counterpart]:
    """A worker that meets every middle by a run and a half; not on seed 4."""
    return find


def find(group: Group) -> Counterpart:
    if group.match.seed == 4:
        raise ArithmeticError("no such luck")
    result = quoting(attrs.evolve(group.match, model="unskewed"), group.middle)
    return Counterpart(result, 2, group.match.seconds * 3 // 2)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """No processes: jobs are performed here, in order, and noted."""
    noted: list[Any] = []

    def at_once(
        build: Callable[[], Callable[[Any], Any]],
        jobs: Iterable[Any],
        *,
        processes: int,
        seconds_max: float,
        done: Callable[[Any, Any], None],
        going_on: Callable[[], bool],
    ) -> None:
        assert processes == 2
        assert seconds_max >= waves.SECONDS_MIN
        work = build()
        for job in jobs:
            if not going_on():
                return
            noted.append(job)
            done(job, performed(work, job))

    monkeypatch.setattr(waves, "perform_all", at_once)
    monkeypatch.setattr(waves, "player", player)
    monkeypatch.setattr(waves, "finder", finder)
    return noted


def drawn_up(*seeds: int, models: Iterable[str] = HALF_SPREADS) -> list[Match]:
    return [match(name, seed=seed, seconds=2 * HOUR) for seed in seeds for name in models]


def stopping_after(jobs: int) -> Callable[[], bool]:
    """Go on for so many jobs."""
    left = iter([True] * jobs)
    return lambda: next(left, False)


def always() -> bool:
    return True


# -- what is played


def test_everybody_is_played_alone_and_then_one_counterpart_a_group(asked: list[Any]) -> None:
    """Four models on two seeds: eight runs, then two counterparts a seed: of three that quote as wide, and of one."""
    matches = drawn_up(0, 1)
    played = play_all(matches, 2, always)
    assert asked[:8] == matches
    groups = [("fixed", "glft", "volatility")] * 2 + [("avellaneda_stoikov",)] * 2
    assert [job.models for job in asked[8:]] == groups, "the widest first: it is the likeliest to be run again"
    assert sorted((job.match.seed, job.models) for job in asked[8:]) == sorted(
        (seed, models) for seed in (0, 1) for models in set(groups)
    )
    pairs = played.pairs
    assert [(pair.model.model, pair.model.seed) for pair in pairs] == [(one.model, one.seed) for one in matches]
    for pair in pairs:
        assert pair.fixed is not None
        assert pair.fixed.seed == pair.model.seed
        assert table.is_matched(pair)
        assert pair.runs == 2
    assert pairs[0].fixed is pairs[1].fixed is pairs[3].fixed
    assert pairs[0].fixed is not pairs[2].fixed
    assert problems(played) == []


def test_every_simulated_hour_is_counted_once(asked: list[Any]) -> None:
    """Four models of two hours, and two counterparts that took three hours each, whoever shares them."""
    played = play_all(drawn_up(0), 2, always)
    assert len(asked) == 6
    assert played.hours == 4 * 2 + 2 * 3
    assert attrs.evolve(played, seconds=120.0).pace == 7.0


def test_who_needs_no_counterpart_is_played_alone(asked: list[Any]) -> None:
    """A second wave of nobody."""
    plain = match(skew_bps=0)
    played = play_all([plain], 2, always)
    assert asked == [plain]
    [pair] = played.pairs
    assert (pair.fixed, pair.missing, pair.runs) == (None, False, 0)
    assert problems(played) == []


# -- what came to nothing


def test_told_to_stop_at_once_it_plays_nothing(asked: list[Any]) -> None:
    played = play_all(drawn_up(0, 1), 2, stopping_after(0))
    assert (played.pairs, asked) == ([], [])
    assert problems(played) == ["stopped before the end: 8 of 8 matches were not played"]


def test_stopped_in_the_first_wave_it_shows_the_models_it_has(asked: list[Any]) -> None:
    """Three of four are there, without their counterparts, and that is said of each."""
    played = play_all(drawn_up(0), 2, stopping_after(3))
    assert len(asked) == 3
    assert [(pair.model.model, pair.fixed, pair.missing) for pair in played.pairs] == [
        (name, None, True) for name in ("fixed", "volatility", "avellaneda_stoikov")
    ]
    assert problems(played) == [
        "stopped before the end: 1 of 4 matches were not played",
        "stopped before the end: no counterpart was played for fixed on seed 0, volatility on seed 0, "
        "avellaneda_stoikov on seed 0",
    ]
    assert played.hours == 6


def test_stopped_in_the_second_wave_it_shows_the_counterparts_it_has(asked: list[Any]) -> None:
    """The group of three has one, the model on its own has none."""
    played = play_all(drawn_up(0), 2, stopping_after(5))
    assert len(asked) == 5
    assert [pair.missing for pair in played.pairs] == [False, False, True, False]
    assert problems(played) == ["stopped before the end: no counterpart was played for avellaneda_stoikov on seed 0"]
    text = table.tables(played.pairs, "BTC", "USDC")
    assert "avellaneda_stoikov: a tighter band around zero than the fixed one on 0 of 0 seeds" in text
    assert "on 1 its counterpart is missing" in text


def test_a_model_that_failed_leaves_the_others_of_its_seed_their_counterpart(asked: list[Any]) -> None:
    played = play_all(drawn_up(3), 2, always)
    assert problems(played) == ["glft on seed 3: crashed: ArithmeticError: no such luck"]
    assert asked[4].models == ("fixed", "volatility")
    assert [pair.missing for pair in played.pairs] == [False] * 3


def test_a_counterpart_that_failed_is_said_once_for_all_who_share_it(asked: list[Any]) -> None:
    played = play_all(drawn_up(4), 2, always)
    luck = "on seed 4: crashed: ArithmeticError: no such luck"
    assert problems(played) == [
        f"the counterpart of fixed, glft, volatility {luck}",
        f"the counterpart of avellaneda_stoikov {luck}",
    ]
    assert [pair.missing for pair in played.pairs] == [True] * 4
    assert len(asked) == 6


def test_a_second_wave_that_cannot_begin_does_not_cost_the_first(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker can be started any more: the models are shown, and why they have no counterpart."""

    def cannot() -> Callable[[Group], Counterpart]:
        raise CannotWork("a worker ended with code 1 at its start")

    monkeypatch.setattr(waves, "finder", cannot)
    played = play_all(drawn_up(0), 2, always)
    assert len(played.pairs) == len(asked) == 4
    why = "on seed 0: a worker ended with code 1 at its start"
    assert problems(played) == [
        f"the counterpart of fixed, glft, volatility {why}",
        f"the counterpart of avellaneda_stoikov {why}",
    ]
    monkeypatch.setattr(waves, "player", cannot)
    with pytest.raises(CannotWork):
        play_all(drawn_up(0), 2, always)


def test_another_market_and_another_width_are_said(asked: list[Any]) -> None:
    """A counterpart of another market, and one whose half-spread met nobody's."""
    played = play_all(drawn_up(0, 1, models=["fixed", "glft"]), 2, always)
    assert len(asked) == 6
    for key, found in list(played.counterparts.items()):
        elsewhere = attrs.evolve(found.result, drawn="another market")
        quotes = attrs.evolve(found.result.quotes, half_spread_bps=2.2)
        wider = attrs.evolve(found.result, quotes=quotes)
        played.counterparts[key] = attrs.evolve(found, result=wider if key[1] else elsewhere)
    assert problems(played) == [
        "the models of seeds [0] did not meet the same market",
        "no fixed half-spread met that of fixed on seed 1, glft on seed 1",
    ]


def test_a_model_that_never_quoted_both_sides_is_said(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison of it is none, whatever the others came to; no counterpart is played for it."""
    shares = {"fixed": 0.0, "glft": 0.7}

    def play_silently(one: Match) -> Result:
        result = play(one)
        if one.model not in shares:
            return result
        silent = attrs.evolve(result.quotes, half_spread_bps=0.0, two_sided_share=0.0, quoted_share=shares[one.model])
        return attrs.evolve(result, quotes=silent)

    monkeypatch.setattr(waves, "player", lambda: play_silently)
    played = play_all(drawn_up(0, models=["fixed", "volatility", "glft"]), 2, always)
    assert [job.models for job in asked[3:]] == [("volatility",)]
    assert problems(played) == ["quoted nothing: fixed on seed 0", "never quoted on both sides: glft on seed 0"]


# -- how far it is


def test_a_line_of_progress(asked: list[Any]) -> None:
    """Of the second wave a job a seed is expected until the first is over."""
    begun = Played(drawn_up(0, 1))
    assert begun.line() == "[                    ] 0/8 models, 0/2 fixed  0 simulated h/min  ? left"
    played = play_all(drawn_up(3), 2, stopping_after(5))
    assert len(asked) == 5
    halfway = attrs.evolve(played, seconds=120.0)
    assert halfway.line() == ("[################    ] 4/4 models, 1/2 fixed  4 simulated h/min, 1 FAILED  24 s left")
    failures = [(job, Failure("hung")) for job in drawn_up(*range(25))]
    long = Played(drawn_up(*range(100)), failures=list(failures), simulated_seconds=10**6, seconds=36_000.0)
    assert len(long.line()) <= 100
