"""Real training steps of given settings in this process, and the peaks that they reached."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainables.records.settings import TrialSettings

STEPS = {"cpu": 2, "cuda": 4}  # the first makes the optimizer's states, the last is probed


@contextlib.contextmanager
def turn_on_the_device(lock: Path) -> Iterator[Callable[[], None]]:
    """What waits until no other process that shares `lock` is on the device; this one is until the block ends."""
    with lock.open("a") as file:
        yield lambda: fcntl.flock(file, fcntl.LOCK_EX)


def measure(settings: TrialSettings, wait_for_turn: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Peaks of real steps in this process, in bytes; or out_of_memory, with the moment.

    `wait_for_turn` is called once the weights are drawn, before the device is touched.
    """
    import torch

    from data.batches import Batch
    from trainables.memory.measuring.meter import MemoryMeter
    from trainables.memory.measuring.out_of_memory import cuda_moment, is_out_of_memory
    from trainables.memory.measuring.recognise import recogniser
    from trainables.model.models import apply_levers, find_model, load_model, weight_type
    from trainables.model.step import CausalLoss, make_optimizer, make_scaler, make_schedule, training_step

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source, dtype = find_model(settings.model), weight_type(settings)
    model = load_model(source, weights=settings.weights, dtype=dtype, attention=settings.attention, seed=0)
    wait_for_turn()
    meter = MemoryMeter(device, settings.memory_cap_bytes)
    try:
        with meter.phase("load"):
            model.to(device)  # pyright: ignore[reportArgumentType]
            apply_levers(model, settings)
        loss_module = CausalLoss(model, settings.loss)
        optimizer = make_optimizer(model.parameters(), settings.learning_rate, settings.optimizer)
        schedule = make_schedule(optimizer, STEPS[device.type])
        scaler = make_scaler(settings.precision, device)
        shape_BT = (settings.micro_batch_size, settings.sequence_length)
        ids_BT = [torch.randint(5, 1000, shape_BT) for _ in range(settings.accumulation_steps)]
        batches = [Batch(input_ids_BT=ids.to(device), labels_BT=ids.to(device, copy=True)) for ids in ids_BT]

        def step() -> None:
            training_step(
                loss_module,
                batches,
                optimizer,
                schedule,
                target_tokens=float(ids_BT[0].numel()),
                precision=settings.precision,
                phase=meter.phase,
                scaler=scaler,
            )

        for _ in range(STEPS[device.type] - 1):
            step()
        seen = recogniser(model, settings, optimizer, batches)
        end_watch = seen.watch(optimizer)
        with meter.probe(seen.live_tensors, seen):
            step()
        end_watch()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        moment = dataclasses.asdict(cuda_moment(error, meter.last_phase))
        return {"out_of_memory": True, "capacity_bytes": meter.report().capacity_bytes, "moment": moment}
    report = meter.report()
    return {
        "out_of_memory": False,
        "allocated_bytes": report.peak_cuda_allocated_bytes or report.peak_bytes,
        "reserved_bytes": report.peak_cuda_reserved_bytes,
        "capacity_bytes": report.capacity_bytes,
        "components": report.components,
        "phases": {phase.phase: phase.peak_allocated_bytes for phase in report.phases},
    }
