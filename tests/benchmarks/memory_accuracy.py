"""Predicted against measured peaks on this machine: python tests/benchmarks/memory_accuracy.py [--minutes 20].

On a CPU: real steps of nano models and 125m, peaks by torch's profiler, a quarter of an hour. With a CUDA GPU: 125m,
1.3b and two of 6.7b over micro-batch, length, precision, attention, checkpointing, loss and LoRA, random weights;
allocated and reserved peaks, and who fits under caps of 24, 40 and 80 GB. One process a run; while one is on the GPU
the next ones trace and draw weights. What FILE already holds is not repeated, and `--minutes` begins no run after so
many: each slice of the grid is met early. Not run on a GPU yet.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from accuracy_grid import VARIED, every_slice_early, grid
from accuracy_table import table
from measured_steps import measure, turn_on_the_device

from trainables.records.settings import TrialSettings

RUN_SECONDS = 300
AT_ONCE = {"cpu": 1, "cuda": 4}  # one of them on the GPU


def machine() -> dict[str, Any]:
    """What was measured on."""
    import torch
    import transformers

    device: dict[str, Any] = {"device": platform.machine() + " CPU"}
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        half = torch.empty(1, 1, 128, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        kernel = torch._fused_sdp_choice(half, half, half, is_causal=True)  # pyright: ignore[reportPrivateImportUsage]
        device = {
            "device": card.name,
            "capability": f"{card.major}.{card.minor}",
            "device_bytes": card.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "allocator": torch.cuda.get_allocator_backend(),
            "allocator_settings": os.environ.get("PYTORCH_ALLOC_CONF", os.environ.get("PYTORCH_CUDA_ALLOC_CONF")),
            "half_precision_attention": {1: "flash", 2: "efficient", 3: "cudnn"}.get(kernel, "math"),
        }
    return device | {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def compare(settings: TrialSettings, on_cuda: bool, hopper: bool) -> dict[str, Any]:
    """The prediction for the run, in bytes, and whether it fits its cap."""
    from trainables.memory.cards import Card
    from trainables.memory.predict import predict

    name = "h100" if hopper else "a10"
    made = predict(settings, Card(name=name, capacity_bytes=settings.memory_cap_bytes, on_cuda=on_cuda))
    return {
        "allocated_bytes": made.allocated_bytes,
        "reserved_bytes": made.reserved_bytes if on_cuda else None,
        "components": made.components,
        "fits": made.fits,
        "version": made.version,
    }


def run_here(settings: TrialSettings, lock: Path, capability: str) -> dict[str, Any]:
    """One row: the prediction first, which touches no GPU, then the real steps when it is this process's turn."""
    predicted = compare(settings, capability != "none", capability.startswith("9."))
    with turn_on_the_device(lock) as wait:
        measured = measure(settings, wait)
    return {"settings": dataclasses.asdict(settings), "measured": measured, "predicted": predicted}


def main() -> None:
    """Run what FILE lacks and print the table."""
    parser = argparse.ArgumentParser(description="Measure peaks and compare them with predictions.")
    parser.add_argument("--out", type=Path, help="rows, one a line [memory_accuracy_cpu.jsonl or _cuda.jsonl here]")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no run after as many [no bound]")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--machine", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fields, lock, capability = options.one
        print(json.dumps(run_here(TrialSettings(**json.loads(fields)), Path(lock), capability)))
        return
    if options.machine:
        print(json.dumps(machine()))
        return
    end = time.monotonic() + 60 * options.minutes
    here = json.loads(subprocess.check_output([sys.executable, __file__, "--machine"]))  # no context is left of it
    kind = "cuda" if "capability" in here else "cpu"
    out = options.out or Path(__file__).with_name(f"memory_accuracy_{kind}.jsonl")
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    known = [TrialSettings(**row["settings"]) for row in done]  # settings that came later have their defaults
    left = every_slice_early(list(grid(kind == "cuda")), known)
    with tempfile.NamedTemporaryFile() as lock, ThreadPoolExecutor(AT_ONCE[kind]) as pool:
        run = _runner(Path(lock.name), here.get("capability", "none"), end)
        running = {pool.submit(run, settings): settings for settings in left}
        for future in as_completed(running):
            row = future.result()
            if isinstance(row, dict):
                done.append(row | {"machine": here})
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[-1]) + "\n")
            if row is not None:
                _tell(running[future], row)
    print(table(done, VARIED))


def _runner(lock: Path, capability: str, end: float) -> Callable[[TrialSettings], dict[str, Any] | str | None]:
    """Runs settings in a process of their own. Returns: the row, or why there is none; None after the `end`."""

    def run(settings: TrialSettings) -> dict[str, Any] | str | None:
        if time.monotonic() > end:
            return None
        fields = json.dumps(dataclasses.asdict(settings))
        command = [sys.executable, __file__, "--one", fields, str(lock), capability]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"not done after {RUN_SECONDS} s"
        if ran.returncode:
            return (ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"])[-1]
        return json.loads(ran.stdout.strip().splitlines()[-1])

    return run


def _tell(settings: TrialSettings, row: dict[str, Any] | str) -> None:
    told = [f"{settings.model} {settings.micro_batch_size} x {settings.sequence_length}:"]
    if isinstance(row, str):
        told.append(row)
    elif row["measured"]["out_of_memory"]:
        told.append("out of memory")
    else:
        names = ("allocated_bytes", "reserved_bytes")
        told += [
            f"{name} {row['measured'][name]} ({row['predicted'][name]})" for name in names if row["predicted"][name]
        ]
    print(*told, flush=True)


if __name__ == "__main__":
    main()
