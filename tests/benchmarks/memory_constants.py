"""Fit what no trace sees of this machine's card: python tests/benchmarks/memory_constants.py --card a10.

Five small runs, one process each, on an otherwise idle CUDA GPU: NVML's figure against the allocator's, and the
allocator's against the replay. Writes trainables/memory/constants.json. Not run yet: no GPU was at hand.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from measured_steps import measure
from memory_accuracy import RUN_SECONDS

from trainables.memory.cards import KNOWN_CARDS, UNNAMED_GPU
from trainables.memory.constants import FILE, ConstantsRun, fit_constants, store_constants
from trainables.memory.tracing.allocator import replay
from trainables.memory.tracing.trial_trace import trial_trace, with_workspace
from trainables.records.settings import TrialSettings

RUNS = [
    {"sequence_length": 128, "precision": "fp32"},
    {"sequence_length": 512, "precision": "fp32", "attention": "eager"},
    {"sequence_length": 512, "precision": "bf16-amp"},
    {"sequence_length": 512, "precision": "bf16", "loss": "fused"},
    {"sequence_length": 256, "precision": "bf16", "gradient_checkpointing": True},
]
PRODUCT_SIDE = 1024  # its fp32 square is 4 MiB, a whole number of blocks


def main() -> None:
    """Fit this machine's card and keep the fit."""
    parser = argparse.ArgumentParser(description="Fit context, workspace and kernel temporaries of this CUDA card.")
    parser.add_argument("--card", choices=KNOWN_CARDS, help="the card's short name")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(TrialSettings(**json.loads(options.one)))))
        return
    import torch

    if not torch.cuda.is_available():
        _refuse("no CUDA GPU here; constants are fitted on the card that they describe. Run this there.")
    if options.card is None:
        _refuse(f"--card is missing; name the card that is fitted: {', '.join(KNOWN_CARDS)}.")
    import pynvml

    pynvml.nvmlInit()
    runs = [_run(_settings(fields)) for fields in RUNS]
    fitted = fit_constants(
        runs,
        card=options.card,
        gpu=torch.cuda.get_device_name(),
        torch=torch.__version__,
        driver=str(pynvml.nvmlSystemGetDriverVersion()),
        date=time.strftime("%Y-%m-%d"),
    )
    store_constants(fitted, options.out)
    print(json.dumps(dataclasses.asdict(fitted)))


def measured(settings: TrialSettings) -> dict[str, int]:
    """Bytes of one run in this process: context, workspace of a thread, and the allocator's peak."""
    import pynvml
    import torch

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    before_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    square = torch.ones(PRODUCT_SIDE, PRODUCT_SIDE, device="cuda")
    alone_bytes = torch.cuda.memory_allocated()
    product = square @ square
    workspace_bytes = torch.cuda.memory_allocated() - alone_bytes - product.nbytes
    del square, product
    torch.cuda.empty_cache()
    reserved_bytes = measure(settings)["reserved_bytes"]
    used_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used) - before_bytes
    return {
        "context_bytes": used_bytes - torch.cuda.memory_reserved(),
        "reserved_bytes": reserved_bytes,
        "workspace_bytes": workspace_bytes,
    }


def _run(settings: TrialSettings) -> ConstantsRun:
    command = [sys.executable, __file__, "--one", json.dumps(dataclasses.asdict(settings))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    if ran.returncode:
        _refuse(f"a run failed, nothing was fitted: {ran.stderr.strip().splitlines()[-1]}")
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    trace = with_workspace(trial_trace(settings, UNNAMED_GPU), found["workspace_bytes"])
    return ConstantsRun(**found, replayed_bytes=replay(trace).reserved_bytes)


def _settings(fields: dict[str, object]) -> TrialSettings:
    sizes = {"batch_size": 4, "micro_batch_size": 4, "learning_rate": 1e-4, "token_budget": 1}
    return TrialSettings(model="nano-4m", **(sizes | fields))  # pyright: ignore[reportArgumentType]


def _refuse(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
