"""A training step of one of several workers, really taken on a CPU under torch's profiler."""

from __future__ import annotations

import torch
from torch import nn

from data.batches import Batch
from trainables.memory.measuring.probe import PHASE, ProbedStep, probed_step, profiled_changes
from trainables.model.parallel import held, spread
from trainables.model.step import CausalLoss, make_optimizer, make_schedule, training_step
from trainables.records.settings import TrialSettings


def probed_third_step(model: nn.Module, settings: TrialSettings) -> ProbedStep:
    """What the third step of `model`, its levers applied, takes in the process group of this process; tokens are 0.

    The first makes the optimizer's states, the second is as all that follow.
    """
    loss_module = spread(CausalLoss(model, settings.loss), model, settings.parallel, torch.device("cpu"))  # pyright: ignore[reportArgumentType]
    optimizer = make_optimizer(loss_module.parameters(), settings.learning_rate)
    schedule = make_schedule(optimizer, total_steps=10)
    ids_BT = torch.zeros((settings.micro_batch_size, settings.sequence_length), dtype=torch.long)
    batch = Batch(input_ids_BT=ids_BT, labels_BT=ids_BT.clone())

    def step() -> None:
        training_step(
            loss_module,
            [batch],
            optimizer,
            schedule,
            target_tokens=1.0,
            precision=settings.precision,
            phase=lambda name: torch.profiler.record_function(PHASE + name),
        )

    step()
    step()
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=cpu, profile_memory=True, record_shapes=True) as profile:
        step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    tensors = [*model.parameters(), *model.buffers(), *states, batch.input_ids_BT, batch.labels_BT]
    storages = [held(tensor).untyped_storage() for tensor in tensors]
    return probed_step(*profiled_changes(profile), {storage.data_ptr(): storage.nbytes() for storage in storages})
