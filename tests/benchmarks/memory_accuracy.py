"""Predicted against measured peaks on this machine: python tests/benchmarks/memory_accuracy.py [--minutes 20].

On a CPU: real fp32 steps of nano models and 125m, peaks by torch's profiler, some minutes. With a CUDA GPU: 125m, 1.3b
and two of 6.7b over micro-batch, length, precision, attention, checkpointing, loss and LoRA, random weights; allocated
and reserved peaks, and the fit under caps of 24, 40 and 80 GB. One process a run; what FILE already holds is not
repeated, and `--minutes` begins no run after so many: each slice of the grid is met early. Not run on a GPU yet.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from accuracy_grid import VARIED, every_slice_early, grid
from accuracy_table import table

from trainables.settings import TrialSettings

STEPS = 4
RUN_SECONDS = 600


def measure(settings: TrialSettings) -> dict[str, Any]:
    """Peaks of real steps in this process: bytes, or out_of_memory."""
    import torch

    from data.batches import Batch
    from trainables.memory.meter import MemoryMeter
    from trainables.models import apply_levers, find_model, load_model
    from trainables.training_step import CausalLoss, make_optimizer, make_schedule, training_step

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    meter = MemoryMeter(device)
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    model = load_model(
        find_model(settings.model), weights=settings.weights, dtype=dtype, attention=settings.attention, seed=0
    )
    try:
        with meter.phase("load"):
            model.to(device)  # pyright: ignore[reportArgumentType]
        apply_levers(model, settings)
        loss_module = CausalLoss(model, settings.loss)
        optimizer = make_optimizer(model.parameters(), settings.learning_rate, settings.optimizer)
        schedule = make_schedule(optimizer, STEPS)
        shape_BT = (settings.micro_batch_size, settings.sequence_length)
        ids_BT = torch.randint(5, 1000, shape_BT, device=device)
        batches = [Batch(input_ids_BT=ids_BT, labels_BT=ids_BT.clone())]
        for number in range(STEPS if device.type == "cuda" else 2):
            states = [value for state in optimizer.state.values() for value in state.values()]
            live = [*model.parameters(), *model.buffers(), *states, batches[0].input_ids_BT, batches[0].labels_BT]
            if number == 0 and device.type == "cpu":
                training_step(
                    loss_module, batches, optimizer, schedule, target_tokens=1, precision="fp32", phase=meter.phase
                )
                continue
            with meter.probe(live):
                training_step(
                    loss_module,
                    batches,
                    optimizer,
                    schedule,
                    target_tokens=1,
                    precision=settings.precision,
                    phase=meter.phase,
                )
    except torch.OutOfMemoryError:
        return {"out_of_memory": True, "capacity_bytes": torch.cuda.get_device_properties(device).total_memory}
    report = meter.report()
    return {
        "out_of_memory": False,
        "allocated_bytes": report.peak_cuda_allocated_bytes or report.peak_bytes,
        "reserved_bytes": report.peak_cuda_reserved_bytes,
        "capacity_bytes": report.capacity_bytes,
    }


def machine() -> dict[str, str]:
    """What was measured on."""
    import torch
    import transformers

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine() + " CPU"
    return {
        "device": device,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def compare(settings: TrialSettings, on_cuda: bool, hopper: bool) -> dict[str, Any]:
    """The prediction for the run, in bytes."""
    from trainables.memory.predict import predict

    made = predict(settings, gpu="h100" if hopper else "a10", capacity_bytes=None, on_cuda=on_cuda)
    return {"allocated_bytes": made.allocated_bytes, "reserved_bytes": made.reserved_bytes if on_cuda else None}


def main() -> None:
    """Run what FILE lacks and print the table."""
    parser = argparse.ArgumentParser(description="Measure peaks and compare them with predictions.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("memory_accuracy_cpu.jsonl"))
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no run after as many [no bound]")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(TrialSettings(**json.loads(options.one)))))
        return
    import torch

    started = time.monotonic()
    on_cuda = torch.cuda.is_available()
    hopper = on_cuda and torch.cuda.get_device_capability()[0] >= 9
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    known = [TrialSettings(**row["settings"]) for row in done]  # settings that came later have their defaults
    for settings in every_slice_early(list(grid(on_cuda)), known):
        if time.monotonic() - started > 60 * options.minutes:
            break
        document = dataclasses.asdict(settings)
        command = [sys.executable, __file__, "--one", json.dumps(document)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        if ran.returncode:
            print(f"{settings.model}: {ran.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        measured = json.loads(ran.stdout.strip().splitlines()[-1])
        row = {
            "settings": document,
            "measured": measured,
            "predicted": compare(settings, on_cuda, hopper),
            "machine": machine(),
        }
        done.append(row)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{settings.model} {settings.micro_batch_size} x {settings.sequence_length}",
            row["measured"],
            row["predicted"],
        )
    print(table(done, VARIED))


if __name__ == "__main__":
    main()
