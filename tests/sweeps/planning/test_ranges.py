"""Ranges beside lists: log-uniform, laid out evenly at first, and of use to warm starts."""

from __future__ import annotations

import itertools

import optuna
import pytest

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import changed_by, make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import OptionsError, SweepOptions
from sweeps.planning.ranges import batches_within, divided, nearest, rates_within
from sweeps.planning.space import space_of, starting_points
from sweeps.search.sampler import DistinctSampler

CPU = Device(gpus=0, gpu_bytes=None, cpus=2)


def plan_of(**options: object):
    return make_plan(SweepOptions(**options), CPU, BATCH_MEMORY)  # pyright: ignore[reportArgumentType]


def test_rates_lie_between_the_ends_a_twentieth_apart() -> None:
    rates = rates_within(1e-5, 1e-3)
    assert (rates[0], rates[-1]) == (1e-5, 1e-3)
    assert len(rates) == 95  # ln 100 / ln 1.05 is 94.4 steps
    ratios = [high / low for low, high in itertools.pairwise(rates)]
    assert all(1.03 < ratio < 1.07 for ratio in ratios)
    assert all(rate == float(f"{rate:.3g}") for rate in rates)
    assert rates_within(1e-3, 1.01e-3) == (1e-3, 1.01e-3)


def test_batches_are_few_to_an_octave_and_shared_by_the_workers() -> None:
    assert batches_within(3, 40, 1) == (3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40)
    assert batches_within(8, 64, 4) == (8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64)
    assert divided((3, 4, 5, 6, 8), 1, (2, 4)) == (4, 6, 8)
    assert divided((3, 4, 5), 1, ("auto",)) == (3, 4, 5)
    with pytest.raises(OptionsError, match="no batch that micro-batches of 2 or 4 divide"):
        divided((3, 5), 1, (2, 4))


def test_a_value_stands_for_those_beside_it_and_none_outside() -> None:
    assert nearest(2.4e-4, (1e-4, 2e-4, 3e-4)) == 2e-4  # by the logarithm the middle is 2.45e-4
    assert nearest(2.5e-4, (1e-4, 2e-4, 3e-4)) == 3e-4
    assert nearest(9e-5, (1e-4, 2e-4)) is None


def test_a_plan_holds_the_values_of_a_range_and_its_name() -> None:
    plan = plan_of(learning_rate_range=(1e-5, 1e-3), batch_size_range=(4, 32))
    assert plan.ranges == ("learning_rate", "batch_size")
    assert plan.learning_rates == rates_within(1e-5, 1e-3)
    assert plan.batch_sizes == (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32)  # what micro-batches of 2, 4 or 8 divide
    assert plan_of().ranges == ()


def test_the_first_trials_are_even_over_a_range() -> None:
    plan = plan_of(learning_rate_range=(1e-5, 1e-3), trials=12)
    places = [plan.learning_rates.index(point["learning_rate"]) for point in starting_points(plan)]
    assert sorted(12 * place // 95 for place in places) == list(range(12))  # each twelfth of the 95 rates once


def test_a_range_is_drawn_evenly_by_its_logarithm_and_no_point_twice() -> None:
    plan = plan_of(learning_rate_range=(1e-5, 1e-3), model_sizes=("nano-1m",), batch_sizes=(8,), micro_batch_sizes=(4,))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=DistinctSampler(space_of(plan), seed=0, startup_trials=5, kind="random"))
    rates = []
    for _ in range(90):
        trial = study.ask()
        rates.append(trial.suggest_categorical("learning_rate", plan.learning_rates))
        for name in ("model", "batch_size", "micro_batch_size"):
            trial.suggest_categorical(name, plan.space[name])
        study.tell(trial, 0.0)
    assert len(set(rates)) == 90
    assert sum(rate < 1e-4 for rate in rates) == pytest.approx(45, abs=3)  # 1e-4 is the middle of the logarithms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate_range": (1e-3, 1e-5)}, "--learning-rate-range 0.001 1e-05; give the lower end first"),
        ({"learning_rate_range": (0.0, 1e-5)}, "both above 0"),
        ({"batch_size_range": (8, 8)}, "give the lower end first"),
        ({"learning_rate_range": (1e-5, 1e-3), "learning_rates": (1e-4,)}, "and --learning-rates: give one of the two"),
        ({"batch_size_range": (9, 9 + 2), "micro_batch_sizes": (4,)}, "no batch that micro-batches of 4 divide"),
    ],
)
def test_a_range_that_is_none_is_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        plan_of(**options)
    assert message in str(caught.value)


def test_a_resumed_sweep_keeps_its_range() -> None:
    given = {"learning_rate_range": (1e-5, 1e-3), "batch_size_range": (4, 32)}
    stored = plan_of(**given)
    assert changed_by(SweepOptions(**given), stored) is None  # pyright: ignore[reportArgumentType]
    assert changed_by(SweepOptions(learning_rate_range=(1e-5, 1e-2)), stored) == "--learning-rate-range"
