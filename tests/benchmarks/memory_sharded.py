"""A worker's traced step against real processes that exchange by Gloo: python tests/benchmarks/memory_sharded.py.

Shards by FSDP2, full and LoRA, 2 and 4 workers, with and without checkpointing and autocast: peak bytes
of live tensors in the first worker's third step, by torch's profiler, beside those of the trace. What Gloo copies to
exchange it is left out (`profiled_changes`). No GPU; a few minutes on two cores.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import tempfile
import warnings
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import distributed
from torch._C._distributed_c10d import FileStore

from data.batches import Batch
from trainables.memory.cards import Card
from trainables.memory.measuring.probe import PHASE, probed_step, profiled_changes
from trainables.memory.tracing.trial_trace import trial_trace
from trainables.model.models import apply_levers, find_model, load_model, weight_type
from trainables.model.parallel import held, spread
from trainables.model.step import CausalLoss, make_optimizer, make_schedule, training_step
from trainables.records.settings import TrialSettings

MODEL, SIZE_BT = "nano-4m", (8, 128)
PATIENCE_SECONDS = 300
ONE_PERCENT = 0.01


def main() -> int:
    """Print a line a run and a summary. Returns: 1 where a run is more than 1% off."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    errors: list[float] = []
    for workers, lora_rank, checkpointing, precision in itertools.product(
        (2, 4), (0, 8), (False, True), ("fp32", "bf16-amp")
    ):
        settings = TrialSettings(
            model=MODEL,
            batch_size=SIZE_BT[0] * workers,
            micro_batch_size=SIZE_BT[0],
            sequence_length=SIZE_BT[1],
            learning_rate=1e-4,
            token_budget=1,
            weights="random",
            workers=workers,
            parallel="fsdp",
            lora_rank=lora_rank,
            gradient_checkpointing=checkpointing,
            precision=precision,  # pyright: ignore[reportArgumentType]
        )
        told = trial_trace(settings, Card(on_cuda=False)).peak().allocated_bytes
        measured = measured_peak(settings)
        errors.append(abs(told / measured - 1))
        print(
            f"{workers} workers  LoRA {lora_rank}  {'checkpointing' if checkpointing else '':13s}"
            f"  {precision:8s}  measured {measured:>11,}  traced {told:>11,}  {told / measured - 1:+.3%}",
            flush=True,
        )
    print(f"{len(errors)} runs: median {median(errors):.3%}, worst {max(errors):.3%}")
    return int(max(errors) > ONE_PERCENT)


def measured_peak(settings: TrialSettings) -> int:
    """Peak bytes of the first of several workers that are processes of their own."""
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    with tempfile.TemporaryDirectory() as folder:
        work = partial(_one_worker, settings, f"{folder}/store", queue)
        processes = [fork.Process(target=work, args=(rank,), daemon=True) for rank in range(settings.workers)]
        for process in processes:
            process.start()
        peak_bytes = queue.get(timeout=PATIENCE_SECONDS)
        for process in processes:
            process.join()
    return peak_bytes


def _one_worker(settings: TrialSettings, store: str, queue: Any, rank: int) -> None:
    size = settings.workers
    distributed.init_process_group("gloo", store=FileStore(store, size), rank=rank, world_size=size)
    source, dtype = find_model(settings.model), weight_type(settings)
    model = load_model(source, weights="random", dtype=dtype, attention=settings.attention, seed=0)
    apply_levers(model, settings)
    loss_module = spread(CausalLoss(model, settings.loss), model, settings.parallel, torch.device("cpu"))
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
    if rank == 0:
        states = [value for state in optimizer.state.values() for value in state.values()]
        tensors = [*model.parameters(), *model.buffers(), *states, batch.input_ids_BT, batch.labels_BT]
        storages = [held(tensor).untyped_storage() for tensor in tensors]
        live = {storage.data_ptr(): storage.nbytes() for storage in storages}
        queue.put(probed_step(*profiled_changes(profile), live).peak_bytes)
    distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
