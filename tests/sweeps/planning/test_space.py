"""Where a sweep begins: points that differ, are even over every parameter, and depend on nothing but the seed."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.space import distributions, space_size, starting_points, to_settings
from trainables.records.plan import SweepPlan

CPU = Device(gpus=0, gpu_bytes=None, cpus=2)
DEFAULT = make_plan(SweepOptions(), CPU, BATCH_MEMORY)  # 3 models x 3 x 3 batches x 4 rates
SEEDS = range(8)


def sized(models: int, batches: int, micros: int, rates: int, *, trials: int = 12, seed: int = 0) -> SweepPlan:
    """A plan whose parameters have this many values."""
    return dataclasses.replace(
        DEFAULT,
        models=tuple(f"owner/model-{i}" for i in range(models)),
        batch_sizes=tuple(64 * (i + 1) for i in range(batches)),
        micro_batch_sizes=(1, 2, 4, 8, 16)[:micros],
        learning_rates=tuple(1e-3 * (i + 1) for i in range(rates)),
        trials=trials,
        seed=seed,
    )


def seeded(seed: int, trials: int = 12) -> SweepPlan:
    return dataclasses.replace(DEFAULT, seed=seed, trials=trials)


def uses(points: list[dict[str, Any]], name: str, values: tuple[Any, ...]) -> list[int]:
    counted = Counter(point[name] for point in points)
    return [counted[value] for value in values]


def test_the_default_space_is_every_combination() -> None:
    assert space_size(DEFAULT) == 3 * 3 * 3 * 4
    assert list(DEFAULT.space) == ["model", "batch_size", "micro_batch_size", "learning_rate"]
    assert distributions(DEFAULT) == {name: CategoricalDistribution(values) for name, values in DEFAULT.space.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_starting_points_are_different_points_of_the_space(seed: int) -> None:
    points = starting_points(seeded(seed))
    assert len(points) == 12
    assert len({tuple(point.items()) for point in points}) == 12
    for point in points:
        assert all(point[name] in values for name, values in DEFAULT.space.items())


def test_the_seed_alone_decides_the_starting_points() -> None:
    assert starting_points(seeded(3)) == starting_points(seeded(3))
    assert len({str(starting_points(seeded(seed))) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_default_run_uses_every_value_equally_often(seed: int) -> None:
    # 12 trials: 4 for each of 3 models, batches and micro-batches, 3 for each of 4 rates.
    points = starting_points(seeded(seed))
    assert uses(points, "model", DEFAULT.models) == [4, 4, 4]
    assert uses(points, "batch_size", DEFAULT.batch_sizes) == [4, 4, 4]
    assert uses(points, "micro_batch_size", DEFAULT.micro_batch_sizes) == [4, 4, 4]
    assert uses(points, "learning_rate", DEFAULT.learning_rates) == [3, 3, 3, 3]


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 5)] * 4), trials=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_any_number_of_points_uses_values_evenly(shape: tuple[int, int, int, int], trials: int, seed: int) -> None:
    """With n points and k values, each value stands in floor(n/k) to ceil(n/k) of them, give or take one.

    The one: a point adds to all four parameters at once. While combinations remain in plenty, the least used value of
    each parameter can be taken together. Near the end of a small space the combination that would be even may be gone:
    then one parameter takes a value that leads already. A space that is used up is exactly even again.
    """
    plan = sized(*shape, trials=trials, seed=seed)
    points = starting_points(plan)
    assert len(points) == min(trials, 12, space_size(plan)) == len({tuple(point.items()) for point in points})
    slack = 0 if len(points) == space_size(plan) else 1
    for name, values in plan.space.items():
        counted = uses(points, name, values)
        floor, ceiling = len(points) // len(values), -(-len(points) // len(values))
        assert floor - slack <= min(counted) <= max(counted) <= ceiling + slack, (name, counted)


@pytest.mark.parametrize("seed", SEEDS)
def test_fewer_trials_are_the_first_of_more(seed: int) -> None:
    twelve = starting_points(seeded(seed))
    for trials in range(1, 12):
        assert starting_points(seeded(seed, trials)) == twelve[:trials]
    assert starting_points(seeded(seed, 100)) == twelve  # from the thirteenth on, the sampler proposes


def test_the_first_points_already_see_every_value() -> None:
    first = starting_points(seeded(0, 4))
    assert {point["learning_rate"] for point in first} == set(DEFAULT.learning_rates)
    assert {point["model"] for point in first} == set(DEFAULT.models)


def test_a_small_space_is_used_up_without_repeats() -> None:
    points = starting_points(sized(1, 2, 1, 3))
    assert sorted((point["batch_size"], point["learning_rate"]) for point in points) == [
        (64, 1e-3),
        (64, 2e-3),
        (64, 3e-3),
        (128, 1e-3),
        (128, 2e-3),
        (128, 3e-3),
    ]
    assert len(starting_points(sized(1, 1, 1, 1))) == 1


def test_a_proposal_becomes_settings() -> None:
    told = to_settings(DEFAULT, {"model": "nano-1m", "batch_size": 16, "micro_batch_size": 4, "learning_rate": 3e-3})
    assert (told.model, told.batch_size, told.micro_batch_size, told.learning_rate) == ("nano-1m", 16, 4, 3e-3)
    assert (told.token_budget, told.sequence_length) == (DEFAULT.token_budget, DEFAULT.sequence_length)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"warmup": 5}, "unknown ['warmup']"), ({"model": None}, "lacks ['model']"), ({"lr": 1, "model": None}, "['lr']")],
)
def test_a_proposal_with_other_names_is_refused_and_told_the_known_ones(changes: dict[str, Any], said: str) -> None:
    proposal = {"model": "nano-1m", "batch_size": 16, "micro_batch_size": 4, "learning_rate": 3e-3} | changes
    proposal = {name: value for name, value in proposal.items() if value is not None}
    with pytest.raises(ValueError, match="the space has") as caught:
        to_settings(DEFAULT, proposal)
    message = str(caught.value)
    assert said in message
    assert "['batch_size', 'learning_rate', 'micro_batch_size', 'model']" in message
    assert "\n" not in message
