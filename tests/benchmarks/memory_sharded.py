"""A worker's traced step against real processes that exchange by Gloo: python -m tests.benchmarks.memory_sharded.

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

from tests.support.probed_training import probed_third_step
from trainables.memory.cards import Card
from trainables.memory.tracing.trial_trace import trial_trace
from trainables.model.models import apply_levers, find_model, load_model, weight_type
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
    probed = probed_third_step(model, settings)
    if rank == 0:
        queue.put(probed.peak_bytes)
    distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
