"""Predicted against measured peaks on this machine: python tests/benchmarks/memory_accuracy.py [--minutes 20].

On a CPU: real steps of nano models and 125m, peaks by torch's profiler, some minutes. With a CUDA GPU: 125m, 1.3b
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
from measured_steps import measure

from trainables.settings import TrialSettings

RUN_SECONDS = 600


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
    return {
        "allocated_bytes": made.allocated_bytes,
        "reserved_bytes": made.reserved_bytes if on_cuda else None,
        "components": made.components,
    }


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
