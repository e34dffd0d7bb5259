"""The sampler, on real Optuna studies."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution

from sweeps.sampler import DistinctSampler

SPACE = {
    "size": ("small", "large"),
    "batch": (8, 16, 32),
    "rate": (1e-4, 1e-3, 1e-2),
}
WIDE_SPACE = {
    "size": ("small", "large"),
    "batch": (1, 2, 4, 8, 16, 32),
    "rate": tuple(10.0**-power for power in range(1, 9)),
}


def proposals(
    count: int, *, seed: int, space: dict[str, tuple[Any, ...]] = SPACE, startup_trials: int = 4
) -> list[dict[str, Any]]:
    """Ask and tell `count` times; for each batch the rate 1e-3 is best, and small batches are cheap."""
    sampler = DistinctSampler(space, seed=seed, startup_trials=startup_trials)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(count):
        trial = study.ask({name: CategoricalDistribution(values) for name, values in space.items()})
        study.tell(trial, [trial.params["batch"] * (2 if trial.params["rate"] == 1e-3 else 1), trial.params["batch"]])
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("seed", range(5))
def test_a_space_of_eighteen_points_gives_eighteen_different_trials(seed: int) -> None:
    points = proposals(18, seed=seed)
    assert len({tuple(sorted(point.items())) for point in points}) == 2 * 3 * 3


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
