"""What a sweep learns of its own predictions, and which points it then takes for ones that fit."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.placement import Placement
from sweeps.planning.space import space_of, starting_points
from sweeps.search.memory_guard import MemoryGuard, PointsThatFit
from tests.support.record_factory import MIB, make_memory, make_record
from trainables.memory.correction import corrected
from trainables.records.record import MemoryPrediction, Outcome
from trainables.records.settings import TrialSettings

PLAN = make_plan(SweepOptions(memory_cap="100MiB"), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY)


def prediction(need_mib: float, capacity_mib: int = 100) -> MemoryPrediction:
    return MemoryPrediction(
        allocated_bytes=int(need_mib * MIB),
        reserved_bytes=int(need_mib * MIB),
        device_bytes=int(need_mib * MIB),
        capacity_bytes=capacity_mib * MIB,
        fits=need_mib <= capacity_mib,
        peak_phase="backward",
        components={},
        method="trace",
    )


def ended(outcome: Outcome, predicted_mib: float, measured_mib: float | None = None) -> Any:
    record = make_record(outcome=outcome, prediction=prediction(predicted_mib))
    memory = None if measured_mib is None else make_memory(int(measured_mib * MIB))
    assert record.report is not None
    return dataclasses.replace(record, report=dataclasses.replace(record.report, memory=memory))


def has_room(guard: MemoryGuard, need_mib: float) -> bool:
    return corrected(prediction(need_mib), guard.correction).fits


def test_predictions_are_believed_until_a_measurement_says_otherwise() -> None:
    guard = MemoryGuard(100 * MIB)
    assert has_room(guard, 100)
    guard.learn(ended(Outcome.FINISHED, 50, measured_mib=45))  # less than predicted: nothing to fear
    assert has_room(guard, 100)
    guard.learn(ended(Outcome.FINISHED, 50, measured_mib=60))  # a fifth more: 83.3 MiB at most may be predicted
    assert has_room(guard, 83)
    assert not has_room(guard, 84)


def test_a_trial_that_ran_out_of_memory_is_not_repeated_nor_one_that_needs_more() -> None:
    guard = MemoryGuard(100 * MIB)
    guard.learn(ended(Outcome.OUT_OF_MEMORY, 80))
    assert has_room(guard, 79)
    assert not has_room(guard, 80)
    assert not has_room(guard, 90)


def test_without_a_bound_everything_has_room() -> None:
    guard = MemoryGuard(None)
    guard.learn(ended(Outcome.OUT_OF_MEMORY, 80))
    unbounded = dataclasses.replace(prediction(2**40), capacity_bytes=None, fits=True)
    assert corrected(unbounded, guard.correction).fits


def test_each_kind_of_step_is_predicted_once_and_starting_points_fit() -> None:
    asked: list[TrialSettings] = []

    def predict(settings: TrialSettings) -> Placement:
        asked.append(settings)
        return Placement(prediction=prediction(20 * settings.micro_batch_size))  # 40, 80 and 160 MiB

    fits = PointsThatFit(PLAN, MemoryGuard(100 * MIB), predict)
    points = starting_points(PLAN, fits)
    assert {point["micro_batch_size"] for point in points} == {2, 4}
    assert len(points) == 12
    # 3 sizes x 3 micro-batches, each whole in one go or accumulated: 8 of 8, the others never whole.
    assert len(asked) <= 3 * (3 + 1)
    for key in space_of(PLAN).walk(random.Random(0)):
        fits(space_of(PLAN).point(key))
    assert len(asked) == 3 * (3 + 1)


def test_what_is_learned_moves_the_sampler_but_not_the_start() -> None:
    guard = MemoryGuard(100 * MIB)
    fits = PointsThatFit(PLAN, guard, lambda settings: Placement(prediction=prediction(20 * settings.micro_batch_size)))
    point = {"model": "nano-1m", "batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3}
    assert fits(point)
    guard.learn(ended(Outcome.OUT_OF_MEMORY, 80))
    assert (fits(point), fits.as_predicted(point)) == (False, True)


def test_where_nothing_fits_the_starting_points_are_still_twelve() -> None:
    assert len(starting_points(PLAN, lambda point: False)) == 12


@pytest.mark.parametrize(("sizes", "wanted"), [((2, 4), 4), ((8,), 8)])
def test_what_fits_comes_before_what_does_not(sizes: tuple[int, ...], wanted: int) -> None:
    plan = dataclasses.replace(PLAN, models=("nano-1m",), batch_sizes=(8,), micro_batch_sizes=(2, 4, 8), trials=12)
    points = starting_points(plan, lambda point: point["micro_batch_size"] in sizes)
    first = points[: 4 * len(sizes)]  # four rates each
    assert {point["micro_batch_size"] for point in first} == set(sizes)
    assert len(points) == 12
