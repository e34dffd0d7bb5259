"""Shards over two workers: the same training as with copies, half the memory each, checkpoints that go on anywhere."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_model
from torch.multiprocessing.spawn import spawn

from data.batches import make_rows
from trainables.memory.cards import Card
from trainables.memory.measuring.meter import MemoryMeter
from trainables.memory.predict import predict_worker
from trainables.model.models import apply_levers, find_model, load_config, load_model, model_shape, weight_type
from trainables.records.settings import TrialSettings
from trainables.training.checkpoints import Progress
from trainables.training.loop import TrainingLoop

STEPS, SAVED_AT = 4, 2
# fp32 sums taken in another order differ by some 1e-7 of their size; a few steps of training make it at most tenfold
# each. Where autocast rounds weights and activations to half precision, one of its roundings (1e-3) may turn.
CASES: dict[str, tuple[dict[str, Any], float]] = {
    "adamw": ({}, 1e-5),
    # SGD's steps are as long as the clipped gradients.
    "fp16": ({"precision": "fp16-amp", "optimizer": "sgd", "learning_rate": 3e-2}, 1e-3),
    "levers": ({"precision": "bf16-amp", "gradient_checkpointing": True, "loss": "fused", "lora_rank": 4}, 4e-3),
}


def loop_of(case: str, parallel: str, rank: int, workers: int) -> TrainingLoop:
    levers, _ = CASES[case]
    fields: dict[str, Any] = {"learning_rate": 3e-3, "parallel": parallel, "workers": workers, **levers}
    settings = TrialSettings(
        model="nano-0.3m",
        batch_size=8,
        micro_batch_size=2,
        sequence_length=32,
        token_budget=STEPS * 8 * 32,
        **fields,
    )
    model = load_model(
        find_model(settings.model),
        weights=settings.weights,
        dtype=weight_type(settings),
        attention=settings.attention,
        seed=settings.seed,
    )
    torch.manual_seed(settings.seed)
    apply_levers(model, settings)
    documents = torch.randint(3, 500, (64, 32), generator=torch.Generator().manual_seed(1)).tolist()
    rows = make_rows(documents, layout="packed", sequence_length=32, pad_id=1, seed=0)
    return TrainingLoop(model, rows, settings, MemoryMeter(torch.device("cpu")), rank=rank, world_size=workers)


def train(loop: TrainingLoop, folder: Path | None = None) -> list[float]:
    losses = []
    while not loop.is_done:
        losses.append(loop.step().loss)
        if folder is not None and loop.progress.step == SAVED_AT:
            loop.save(folder)
    return losses


def one_worker(rank: int, folder: Path) -> None:
    """What each of two workers does; the first writes down what came out."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    told: dict[str, Any] = {}
    for case in CASES:
        copies = loop_of(case, "ddp", rank, 2)
        told[f"{case} ddp"] = train(copies)
        copies.progress = Progress()
        copies.step(asks_to_save=rank == 1)
        told[f"{case} heard"] = copies.is_asked_to_save
        copies.step()
        told[f"{case} heard later"] = copies.is_asked_to_save
        checkpoint = folder / case
        if rank == 0:
            checkpoint.mkdir()
        torch.distributed.barrier()
        shards = loop_of(case, "fsdp", rank, 2)
        told[f"{case} fsdp"] = train(shards, checkpoint)
        told[f"{case} components"] = shards.meter.report().components, copies.meter.report().components
        told[f"{case} copies' peak"] = copies.meter.report().peak_bytes
        weights = shards.end()
        torch.distributed.barrier()
        resumed = loop_of(case, "fsdp", rank, 2)
        resumed.resume(checkpoint)
        told[f"{case} resumed"] = train(resumed)
        told[f"{case} again"] = all(torch.equal(value, weights[name]) for name, value in resumed.end().items())
    if rank == 0:
        (folder / "told.json").write_text(json.dumps(told))
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("shards")
    spawn(partial(one_worker, folder=folder), nprocs=2)
    return json.loads((folder / "told.json").read_text()) | {"folder": folder}


@pytest.mark.parametrize("case", CASES)
def test_shards_train_as_copies_do(told: dict[str, Any], case: str) -> None:
    copies, shards = told[f"{case} ddp"], told[f"{case} fsdp"]
    assert len(shards) == STEPS
    assert max(copies) - min(copies) > 0.1  # it is not that nothing was learned
    assert shards == pytest.approx(copies, rel=CASES[case][1])


@pytest.mark.parametrize("case", CASES)
def test_shards_go_on_bit_for_bit_from_a_checkpoint(told: dict[str, Any], case: str) -> None:
    assert told[f"{case} resumed"] == told[f"{case} fsdp"][SAVED_AT:]
    assert told[f"{case} again"]


def test_each_worker_holds_half_of_weights_gradients_and_states(told: dict[str, Any]) -> None:
    shards, copies = told["adamw components"]
    for name in ("weights", "gradients", "optimizer_states"):
        assert shards[name] == pytest.approx(copies[name] / 2, rel=0.01), name  # odd rows go to the first


def test_what_a_worker_with_a_copy_needs_is_predicted_with_the_copy_of_its_gradients(told: dict[str, Any]) -> None:
    settings = dataclasses.replace(loop_of("adamw", "ddp", 0, 1).settings, workers=2)
    shape = model_shape(load_config(find_model(settings.model), settings.weights))
    predicted = predict_worker(settings, shape, Card(on_cuda=False))
    assert predicted.allocated_bytes == pytest.approx(told["adamw copies' peak"], rel=0.005)
    assert sum(predicted.components.values()) == predicted.allocated_bytes


def test_one_worker_that_asks_for_a_checkpoint_is_heard_by_the_others_at_that_step(told: dict[str, Any]) -> None:
    assert told["adamw heard"]
    assert not told["adamw heard later"]


@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_of_shards_is_one_of_a_single_worker(told: dict[str, Any], case: str, tmp_path: Path) -> None:
    saved = told["folder"] / case
    alone = loop_of(case, "ddp", 0, 1)
    save_model(alone.model, str(tmp_path / "model.safetensors"))
    as_alone, as_shards = (load_file(folder / "model.safetensors") for folder in (tmp_path, saved))
    assert {name: (value.shape, value.dtype) for name, value in as_shards.items()} == {
        name: (value.shape, value.dtype) for name, value in as_alone.items()
    }
    assert alone.resume(saved) == SAVED_AT
    assert train(alone)[0] == pytest.approx(told[f"{case} fsdp"][SAVED_AT], rel=0.05)  # its dropout is another
