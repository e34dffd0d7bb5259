"""The longest batch comes first: it leaves no trace, is as long as the longest row, and fails before training."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.trainables.training.test_checkpoints import SETTINGS, new_loop, rows
from trainables.memory.measuring.meter import MemoryCapExceededError, MemoryMeter
from trainables.records.record import PhaseMemory
from trainables.training.loop import TrainingLoop
from trainables.training.rehearsal import longest_batches


@pytest.mark.parametrize("levers", [{}, {"precision": "fp16-amp"}, {"optimizer": "sgd"}, {"lora_rank": 2}], ids=str)
def test_training_goes_as_if_nothing_had_been_rehearsed(levers: dict[str, Any]) -> None:
    settings = dataclasses.replace(SETTINGS, **levers)
    rehearsed = new_loop(weight_seed=0, settings=settings)
    points = [rehearsed.step() for _ in range(3)]
    other = new_loop(weight_seed=0, settings=settings)
    other.meter.restore([PhaseMemory(phase="optimizer", peak_allocated_bytes=1)])  # measured already: no rehearsal
    assert [other.step() for _ in range(3)] == points
    assert rehearsed.meter.report().components is not None
    assert other.meter.report().components is None


def test_the_longest_rows_fill_every_micro_batch() -> None:
    made = rows()
    batches = longest_batches(made, dataclasses.replace(SETTINGS, batch_size=8, micro_batch_size=4))
    assert [tuple(batch.input_ids_BT.shape) for batch in batches] == [(4, 13)] * 2  # documents have 4 to 13 tokens
    few = longest_batches(made, dataclasses.replace(SETTINGS, batch_size=64, micro_batch_size=64))
    assert few[0].input_ids_BT.shape == (64, 13)  # of thirty rows


def test_no_room_shows_before_a_weight_has_moved() -> None:
    loop = new_loop(weight_seed=0)
    before = [p.detach().clone() for p in loop.model.parameters()]
    room = 80_000  # above weights and states of 5,000 parameters, below them and a step on 2 x 13 tokens
    capped = TrainingLoop(loop.model, rows(), SETTINGS, MemoryMeter(torch.device("cpu"), room))
    with pytest.raises(MemoryCapExceededError, match="the memory cap is 80000 bytes") as caught:
        capped.step()
    assert capped.progress.step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))
    moment = caught.value.moment
    assert moment is not None
    assert moment.requested_bytes is not None
    assert moment.allocated_bytes is not None
    assert moment.allocated_bytes <= room < moment.allocated_bytes + moment.requested_bytes
