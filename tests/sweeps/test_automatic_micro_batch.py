"""The micro-batch that nobody gave: the largest that is predicted to fit, and no part of what is searched."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.node_kinds import NodeKind
from sweeps.planning.options import SweepOptions
from sweeps.planning.placement import Placement, place_trial
from sweeps.search.memory_guard import MemoryGuard, PointsThatFit
from tests.support.record_factory import MIB, make_memory, make_record
from tests.trainables.memory.tracing.test_recorder import measured_peak
from trainables.memory.cards import Card, find_card
from trainables.memory.formula.sharding import ShardedStep
from trainables.model.models import find_model, load_config, model_shape
from trainables.records.plan import SweepPlan
from trainables.records.record import MemoryPrediction, Outcome, TrialRecord
from trainables.records.settings import TrialSettings

CPU = Device(gpus=0, gpu_bytes=None, cpus=4)
GPU = Device(gpus=4, gpu_bytes=100 * MIB, cpus=8)
POINT = {"model": "nano-1m", "batch_size": 32, "learning_rate": 1e-3}


def plan(device: Device = CPU, **options: Any) -> SweepPlan:
    return make_plan(
        SweepOptions(**{"micro_batch_sizes": ("auto",), "memory_cap": "100MiB"} | options), device, BATCH_MEMORY
    )


def prediction(need_mib: float, method: str = "trace") -> MemoryPrediction:
    """A card's prediction has an interval of 2%, a CPU's none."""
    margin = 0.02 if method == "trace_and_replay" else 0.0
    need = round(need_mib * MIB)
    return MemoryPrediction(
        allocated_bytes=need,
        reserved_bytes=need,
        device_bytes=need,
        low_bytes=round(need * (1 - margin)),
        high_bytes=round(need * (1 + margin)),
        capacity_bytes=100 * MIB,
        fits=need_mib <= 100,
        peak_phase="backward",
        components={},
        method=method,
    )


@pytest.fixture(autouse=True)
def traces_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def chooser(made: SweepPlan, method: str = "trace", each_mib: float = 10) -> PointsThatFit:
    """Predicts 20 MiB and so many for each sequence at once, of 100 MiB that there are."""
    guard = MemoryGuard(made.capacity_bytes if made.on_cuda else made.memory_cap_bytes)

    def place(told: TrialSettings) -> Placement:
        return Placement(prediction=prediction(20 + each_mib * told.micro_batch_size, method))

    return PointsThatFit(made, guard, place)


def chosen(made: SweepPlan, batch_size: int, **given: Any) -> int:
    return chooser(made, **given).proposal(POINT | {"batch_size": batch_size})["micro_batch_size"]


def ended(outcome: Outcome, predicted_mib: float, measured_mib: float | None = None) -> TrialRecord:
    record = make_record(outcome=outcome, prediction=prediction(predicted_mib))
    assert record.report is not None
    memory = None if measured_mib is None else make_memory(round(measured_mib * MIB))
    return dataclasses.replace(record, report=dataclasses.replace(record.report, memory=memory))


@pytest.mark.parametrize(
    ("batch_size", "workers", "wanted"),
    [
        (32, 1, 8),  # 8 need 20 + 80 MiB, which is all there is; 16 would need 180
        (4, 1, 4),  # the whole batch
        (12, 1, 6),  # 8 would fit and do not divide 12
        (12, 2, 6),  # all of a worker's share
        (32, 4, 8),
        (14, 1, 7),
        (26, 1, 2),  # 13 need 150
        (11, 1, 1),  # 11 need 130
    ],
)
def test_the_largest_divisor_of_a_workers_share_that_fits_is_taken(batch_size: int, workers: int, wanted: int) -> None:
    made = plan(workers_per_trial=workers, batch_sizes=(batch_size,))
    assert chosen(made, batch_size) == wanted


def test_on_a_card_the_upper_end_of_the_interval_must_fit_too() -> None:
    assert chosen(plan(), 32, method="trace_and_replay") == 4  # 8 may need 102 MiB
    assert chosen(plan(), 32, method="trace_and_replay", each_mib=9.75) == 8  # 98 MiB, at most 99.96
    assert chosen(plan(), 32, method="trace") == 8  # a CPU's tensors are counted


def test_what_trials_measured_makes_the_next_one_smaller() -> None:
    fits = chooser(plan())
    fits.guard.learn(ended(Outcome.FINISHED, 50, measured_mib=50))
    assert fits.proposal(POINT)["micro_batch_size"] == 8
    fits.guard.learn(ended(Outcome.FINISHED, 50, measured_mib=60))  # a fifth more: 8 would need up to 120
    assert fits.proposal(POINT)["micro_batch_size"] == 4


def test_after_an_out_of_memory_the_same_micro_batch_is_not_chosen_again() -> None:
    fits = chooser(plan())
    fits.guard.learn(ended(Outcome.OUT_OF_MEMORY, 60))  # 4 sequences; 2 need 40, and 40 x 101 / 60 have room
    assert fits.proposal(POINT)["micro_batch_size"] == 2
    assert fits(POINT)
    fits.guard.learn(ended(Outcome.OUT_OF_MEMORY, 30))  # one sequence: nothing has room now
    assert fits.proposal(POINT)["micro_batch_size"] == 1
    assert not fits(POINT)
    assert fits.as_predicted(POINT)  # where a sweep begins does not hang on what was measured


def test_where_not_even_one_sequence_fits_the_trial_has_one() -> None:
    fits = chooser(plan(), each_mib=90)
    assert (fits.proposal(POINT)["micro_batch_size"], fits(POINT), fits.as_predicted(POINT)) == (1, False, False)


def test_without_a_bound_the_whole_batch_is_taken_and_nothing_is_predicted() -> None:
    def predict(told: TrialSettings) -> Placement:
        raise AssertionError(told)

    made = plan(memory_cap=None)
    assert PointsThatFit(made, MemoryGuard(None), predict).proposal(POINT) == POINT | {"micro_batch_size": 32}


def test_given_micro_batches_are_left_alone() -> None:
    point = POINT | {"micro_batch_size": 2}
    assert chooser(plan(micro_batch_sizes=(2, 4))).proposal(point) == point


def test_a_sweep_on_a_cpu_takes_what_real_steps_have_room_for() -> None:
    """The cap lies midway between what the profiler counts of real steps with 4 and with 8 sequences."""
    config = load_config(find_model("nano-0.3m"), "pretrained")
    made = plan()

    def at(size: int) -> TrialSettings:
        return made.settings(model="nano-0.3m", batch_size=16, micro_batch_size=size, learning_rate=1e-3)

    cap_bytes = (measured_peak(at(4), config) + measured_peak(at(8), config)) // 2
    made = dataclasses.replace(made, memory_cap_bytes=cap_bytes)
    shapes = {"nano-0.3m": model_shape(config)}
    fits = PointsThatFit(made, MemoryGuard(cap_bytes), lambda told: place_trial(told, made, shapes, ()))
    point = POINT | {"model": "nano-0.3m", "batch_size": 16}
    assert fits.proposal(point)["micro_batch_size"] == 4


def test_shards_are_judged_by_what_a_shard_needs() -> None:
    shape = model_shape(load_config(find_model("125m"), "random"))
    flags: dict[str, Any] = {"model_sizes": ("125m",), "parallel": "fsdp", "workers_per_trial": 4, "weights": "random"}
    made = plan(GPU, **flags, optimizer="sgd", memory_cap=None)

    def needed(size: int, workers: int = 4) -> int:
        told = made.settings(model="125m", batch_size=32, micro_batch_size=size, learning_rate=1e-4)
        return ShardedStep(told, shape).on(Card(name=made.gpu), workers).device_bytes

    capacity_bytes = (needed(2) + needed(4)) // 2
    assert needed(2, workers=1) > capacity_bytes  # which no card without the others holds
    made = dataclasses.replace(made, capacity_bytes=capacity_bytes)
    fits = PointsThatFit(made, MemoryGuard(capacity_bytes), lambda told: place_trial(told, made, {"125m": shape}, ()))
    assert fits.proposal(POINT | {"model": "125m"})["micro_batch_size"] == 2  # of 1, 2, 4 and 8


def test_the_node_is_the_one_that_a_single_sequence_would_get() -> None:
    """Two cards: the cheap one holds few sequences, the dear one all; that is no reason to pay for it."""
    kinds = [
        NodeKind(name="small", gpus=1, card=find_card("t4"), cpus=4, most_nodes=1, price_per_hour=1.0),
        NodeKind(name="large", gpus=1, card=find_card("a100-80"), cpus=4, most_nodes=1, price_per_hour=9.0),
    ]
    made = plan(Device(gpus=2, gpu_bytes=80 * 2**30, cpus=8, kinds=tuple(kinds)), memory_cap=None, weights="random")
    shape = model_shape(load_config(find_model("125m"), "random"))
    told = made.settings(model="125m", batch_size=64, micro_batch_size=64, learning_rate=1e-4)
    expected = place_trial(told, made, {"125m": shape}, kinds).prediction
    assert (expected.gpu, expected.fits) == ("t4", False)
