"""The sampler, on real Optuna studies."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from sweeps.planning.finite_space import FiniteSpace, ScoredPoint
from sweeps.search.sampler import REMEMBERED, DistinctSampler, Kind

pytestmark = pytest.mark.usefixtures("quiet_optuna")
DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
KINDS: tuple[Kind, ...] = ("tpe", "nsga2", "random")
SPACE = FiniteSpace({"size": ("small", "large"), "batch": (8, 16, 32), "rate": (1e-4, 1e-3, 1e-2)})
WIDE_SPACE = FiniteSpace(
    {
        "size": ("small", "large"),
        "batch": (1, 2, 4, 8, 16, 32),
        "rate": tuple(10.0**-power for power in range(1, 9)),
    }
)
SPACE_OF_FOUR = FiniteSpace(WIDE_SPACE.values | {"batch": (4,)})
DIVIDING = FiniteSpace(
    {"batch": (8, 12, 16), "micro": (2, 4, 6, 8), "rate": (1e-4, 1e-3)},
    lambda point: point["batch"] % point["micro"] == 0,
)


def proposals(
    count: int,
    *,
    seed: int,
    space: FiniteSpace = SPACE,
    startup_trials: int = 4,
    objectives: int = 2,
    **given: Any,
) -> list[dict[str, Any]]:
    """Ask and tell `count` times; for each batch the rate 1e-3 is best, and small batches are cheap."""
    sampler = DistinctSampler(space, seed=seed, startup_trials=startup_trials, **given)
    study = optuna.create_study(directions=DIRECTIONS[:objectives], sampler=sampler)
    for _ in range(count):
        trial = ask(study, space)
        trial.set_constraint("small", trial.params["batch"] / 32 - 1)
        study.tell(
            trial,
            [trial.params["batch"] * (2 if trial.params["rate"] == 1e-3 else 1), trial.params["batch"]][:objectives],
        )
    return [trial.params for trial in study.trials]


def ask(study: optuna.Study, space: FiniteSpace) -> optuna.Trial:
    return study.ask({name: CategoricalDistribution(values) for name, values in space.values.items()})


def different(points: Sequence[Mapping[str, Any]]) -> int:
    return len({tuple(sorted(point.items())) for point in points})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objectives", [1, 2])
def test_a_space_of_eighteen_points_gives_eighteen_different_trials(kind: Kind, objectives: int) -> None:
    assert different(proposals(18, seed=0, kind=kind, objectives=objectives)) == 2 * 3 * 3


def test_a_gaussian_process_gives_eighteen_different_trials_too() -> None:
    # Seconds a draw: it draws the last two only.
    assert different(proposals(18, seed=0, kind="gp", objectives=1, startup_trials=16)) == 2 * 3 * 3


@pytest.mark.parametrize("seed", range(4))
def test_no_seed_gives_a_point_twice(seed: int) -> None:
    assert different(proposals(18, seed=seed)) == 2 * 3 * 3


@pytest.mark.parametrize("kind", KINDS)
def test_only_valid_points_are_proposed_until_none_is_left(kind: Kind) -> None:
    # 8 goes with 2, 4 and 8; 12 with 2, 4 and 6; 16 with 2, 4 and 8: nine pairs, two rates.
    points = proposals(18, seed=1, space=DIVIDING, kind=kind)
    assert different(points) == 9 * 2
    assert all(point["batch"] % point["micro"] == 0 for point in points)


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_proposed_only_when_nothing_else_is_left(kind: Kind) -> None:
    points = proposals(15, seed=2, kind=kind, fits=lambda point: point["batch"] < 32)
    assert [point["batch"] for point in points[:12]].count(32) == 0  # 2 sizes x 2 batches x 3 rates fit
    assert [point["batch"] for point in points[12:]] == [32, 32, 32]


def test_the_same_seed_and_history_give_the_same_proposals() -> None:
    assert proposals(12, seed=3) == proposals(12, seed=3)
    assert proposals(12, seed=3) != proposals(12, seed=4)


def test_a_space_with_nothing_free_still_gets_a_proposal() -> None:
    assert len(proposals(19, seed=0)) == 19


def test_after_its_start_it_prefers_what_did_well() -> None:
    good = 0
    for seed in range(8):
        points = proposals(30, seed=seed, space=WIDE_SPACE, startup_trials=12)
        good += sum(point["rate"] == 1e-3 for point in points[12:])
    # By chance an eighth of 8 x 18 draws would have the good rate: 18, with a standard deviation of about 4.
    assert good > 30


def test_what_earlier_sweeps_found_spares_the_start() -> None:
    """Every point with batch 4 is known: rate 1e-3 is good. The first proposals have it far oftener than by chance."""
    earlier = [
        ScoredPoint(point=point, values=(8.0 if point["rate"] == 1e-3 else 4.0, 4.0), constraints={"small": -0.9})
        for point in (SPACE_OF_FOUR.point(key) for key in SPACE_OF_FOUR.walk(random.Random(0)))
    ]
    good = 0
    for seed in range(8):
        points = proposals(6, seed=seed, space=WIDE_SPACE, startup_trials=12, earlier=earlier)
        good += sum(point["rate"] == 1e-3 for point in points)
    assert good >= 13  # by chance 48 / 8 = 6, with a standard deviation of 2.3


def test_a_queued_point_is_never_drawn_for_another_trial() -> None:
    study = optuna.create_study(sampler=DistinctSampler(SPACE, seed=0, startup_trials=4))
    queued = {"size": "large", "batch": 16, "rate": 1e-3}
    drawn = [ask(study, SPACE) for _ in range(3)]
    study.enqueue_trial(queued)
    last = [ask(study, SPACE) for _ in range(15)]
    assert last[0].params == queued or queued in [trial.params for trial in drawn]
    assert different([trial.params for trial in (*drawn, *last)]) >= 17


def test_a_study_that_was_begun_by_another_process_goes_on_without_repeats() -> None:
    study = optuna.create_study(sampler=DistinctSampler(SPACE, seed=0, startup_trials=4))
    for number in range(9):
        study.tell(ask(study, SPACE), number)
    study.sampler = DistinctSampler(SPACE, seed=9, startup_trials=4)
    for number in range(9):
        study.tell(ask(study, SPACE), number)
    assert different([trial.params for trial in study.trials]) == 18


def test_a_failed_trial_is_not_proposed_again() -> None:
    study = optuna.create_study(sampler=DistinctSampler(SPACE, seed=0, startup_trials=4))
    for _ in range(18):
        study.tell(ask(study, SPACE), state=TrialState.FAIL)
    assert different([trial.params for trial in study.trials]) == 18


@pytest.mark.parametrize("kind", ["tpe", "nsga2"])
def test_a_long_study_still_knows_its_best_and_every_point_it_took(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REMEMBERED, kind, 10)
    points = proposals(90, seed=0, space=WIDE_SPACE, kind=kind)
    assert different(points) == 90  # of 96


def test_neighbours_of_a_key_come_near_first_and_reach_all() -> None:
    keys = list(WIDE_SPACE.neighbours((0, 2, 3), random.Random(0)))
    assert all(sum(a != b for a, b in zip(key, (0, 2, 3), strict=True)) == 1 for key in keys[:13])  # 1 + 5 + 7
    assert {keys[i][1:] for i in range(5)} >= {(2, 2), (2, 4), (1, 3), (3, 3)}  # places beside it, and the other size
    assert set(keys) >= set(itertools.product(range(2), range(6), range(8))) - {(0, 2, 3)}


def test_a_walk_meets_every_combination_once() -> None:
    for seed in range(5):
        assert sorted(SPACE.walk(random.Random(seed))) == sorted(itertools.product(range(2), range(3), range(3)))


def test_keys_follow_the_order_of_size_however_values_are_listed() -> None:
    space = FiniteSpace({"batch": (32, 8, 16), "size": ("small", "large"), "on": (True, False)})
    assert space.key({"batch": 16, "size": "large", "on": True}) == (1, 1, 0)
    assert space.point((0, 0, 1)) == {"batch": 8, "size": "small", "on": False}
    assert space.key({"batch": 9, "size": "large", "on": True}) is None
    assert space.key({"batch": 8}) is None
