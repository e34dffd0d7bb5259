"""Levers as parts of the space, and other sweeps' records as a beginning."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import changed_by, make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.space import space_of, space_size, starting_points, to_settings
from sweeps.search.warm_start import earlier_trials, load_earlier, store_earlier
from tests.support.record_factory import MIB, make_facts, make_record, write_sweep
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import load_facts, store_facts

CPU = Device(gpus=0, gpu_bytes=None, cpus=2)
GPU = Device(gpus=1, gpu_bytes=24 * 2**30, cpus=8)
PLAN = make_plan(SweepOptions(), CPU, BATCH_MEMORY)
FINGERPRINT = "sha256:5c1e"  # the factory's


def test_levers_join_the_space_and_reach_the_settings() -> None:
    plan = make_plan(SweepOptions(search_levers=True), CPU, BATCH_MEMORY)
    assert space_size(plan) == 108 * 2 * 2 * 2 * 2 * 2 * (1 + 2 * 2)  # of rank 0 there is one kind of adapters
    point = starting_points(plan)[0]
    told = to_settings(plan, point | {"precision": "bf16-amp", "attention": "eager", "lora_rank": 8})
    assert (told.precision, told.attention, told.lora_rank) == ("bf16-amp", "eager", 8)


@pytest.mark.parametrize(("device", "precision", "loss"), [(CPU, "fp32", "hf"), (GPU, "bf16-amp", "fused")])
def test_the_first_trial_has_levers_that_are_known_to_be_good(device: Device, precision: str, loss: str) -> None:
    plan = make_plan(SweepOptions(search_levers=True), device, BATCH_MEMORY)
    points = starting_points(plan)
    first = {name: points[0][name] for name in plan.levers}
    assert first == {
        "precision": precision,
        "attention": "sdpa",
        "loss": loss,
        "gradient_checkpointing": False,
        "optimizer": "adamw",
        "lora_rank": 0,
        "lora_targets": "default",
    }
    assert len({tuple(point.items()) for point in points}) == 12
    assert {point["lora_rank"] for point in points} == {0, 8, 32}
    assert all(point["lora_rank"] or point["lora_targets"] == "default" for point in points)


def test_a_lever_that_is_given_is_not_searched() -> None:
    plan = make_plan(SweepOptions(search_levers=True, precision="bf16", lora_rank=4), GPU, BATCH_MEMORY)
    assert "precision" not in plan.space
    assert to_settings(plan, starting_points(plan)[0]).precision == "bf16"
    assert to_settings(plan, starting_points(plan)[0]).lora_rank == 4


def test_a_plan_with_levers_comes_back_from_its_file(tmp_path: Path) -> None:
    plan = make_plan(SweepOptions(search_levers=True), CPU, BATCH_MEMORY)
    facts = make_facts(plan)
    store_facts(open_storage(str(tmp_path)), facts)
    loaded = load_facts(open_storage(str(tmp_path))).plan
    assert loaded.space == plan.space
    assert starting_points(loaded) == starting_points(plan)
    assert changed_by(SweepOptions(search_levers=True), loaded) is None
    assert changed_by(SweepOptions(search_levers=True), PLAN) == "--search-levers"


def record_of(number: int, settings: dict[str, Any] | None = None, **given: Any) -> TrialRecord:
    point = {"model": "nano-1m", "batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3} | (settings or {})
    return make_record(number, settings=dataclasses.replace(PLAN.settings(**point), seed=5), **given)


def test_records_of_the_same_space_are_a_beginning_and_are_kept_with_the_sweep(tmp_path: Path) -> None:
    uri = write_sweep(
        tmp_path / "old",
        [
            record_of(0, quality=0.25, peak_mib=50, speed=900.0),
            record_of(1, {"learning_rate": 3e-3}, outcome=Outcome.OUT_OF_MEMORY, predicted_mib=150, capacity_mib=100),
            make_record(2),  # another token budget
            record_of(3, outcome=Outcome.FAILED, error="a fault"),
        ],
    )
    told = earlier_trials([uri], PLAN, FINGERPRINT)
    assert [one.point["learning_rate"] for one in told] == [1e-3, 3e-3]
    assert told[0].values == (0.25, 50 * MIB, 900.0)
    assert [max(one.constraints.values()) for one in told] == [0.0, 0.5]
    storage = open_storage(str(tmp_path / "new"))
    assert load_earlier(storage) == []
    store_earlier(storage, told)
    assert load_earlier(storage) == told


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([make_record(0), make_record(1)], "token_budget is 40000, this sweep's 48000 (2)"),
        ([record_of(0, outcome=Outcome.FAILED)], "it failed (1)"),
        ([], "there are none"),
    ],
)
def test_nothing_of_use_is_one_line_that_says_why(records: list[TrialRecord], said: str, tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "old", records)
    with pytest.raises(UserError) as caught:
        earlier_trials([uri], PLAN, FINGERPRINT)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_data_is_no_beginning_and_no_sweep_is_named(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "old", [record_of(0)])
    with pytest.raises(UserError, match=r"other data \(1\)"):
        earlier_trials([uri], PLAN, "sha256:other")
    with pytest.raises(UserError, match=r"--warm-start: .*nowhere"):
        earlier_trials([str(tmp_path / "nowhere")], PLAN, FINGERPRINT)


def test_every_valid_point_of_the_default_space_is_a_trial() -> None:
    space = space_of(PLAN)
    assert space.combinations == 108 == space_size(PLAN)
    assert json.loads(json.dumps(space.values)) == {name: list(values) for name, values in PLAN.space.items()}
