"""The longest batch that the data holds, run before training: where there is no room, it shows in the first seconds.

Nothing is learned: the rate is zero, and optimizer states, loss scale and random state are afterwards as if it had not
been. The first of two steps makes the optimizer's states, the second is like all that follow, and is what is measured.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from data.batches import Batch, Rows, collate
from trainables.memory.measuring.meter import MemoryMeter
from trainables.memory.measuring.recognise import recogniser
from trainables.model.step import make_scaler, training_step
from trainables.records.settings import TrialSettings

MICRO_BATCHES = 2  # from the second on, the gradients of the first are there: more need no more


def longest_batches(rows: Rows, settings: TrialSettings) -> list[Batch]:
    """A worker's micro-batches of one step, every one of the longest rows, repeated where there are too few."""
    longest = rows.lengths.argsort(descending=True, stable=True)[: settings.micro_batch_size]
    longest = longest.repeat(-(-settings.micro_batch_size // len(longest)))[: settings.micro_batch_size]
    return [collate(rows, longest) for _ in range(settings.accumulation_steps)]


def rehearse(
    model: PreTrainedModel,
    loss_module: nn.Module,
    batches: list[Batch],
    optimizer: torch.optim.Optimizer,
    settings: TrialSettings,
    meter: MemoryMeter,
) -> None:
    """Run two steps on `batches`, already on the device, the second under the meter's probe.

    Raises: out-of-memory errors as they come; MemoryCapExceededError on a CPU.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    scaler = make_scaler(settings.precision, meter.device)

    def step() -> None:
        training_step(
            loss_module,
            batches[:MICRO_BATCHES],
            optimizer,
            LambdaLR(optimizer, lambda _: 0.0),
            target_tokens=float(batches[0].input_ids_BT.numel()),
            precision=settings.precision,
            phase=meter.phase,
            scaler=scaler,
        )

    devices = [meter.device] if meter.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        step()
        seen = recogniser(model, settings, optimizer, batches)
        end_watch = seen.watch(optimizer)
        try:
            with meter.probe(seen.live_tensors, seen):
                step()
        finally:
            end_watch()
    optimizer.state.clear()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
