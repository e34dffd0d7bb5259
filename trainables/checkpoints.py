"""Everything a trial needs to go on bit for bit, in safetensors and JSON: no pickle is written or read.

A checkpoint is a folder: `model.safetensors`, `optimizer.safetensors`, `random.safetensors`, `progress.json`.
The data position is the step number alone, since the order of rows is a function of the seed.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from trainables.records import CurvePoint


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far training had come: steps done, tokens seen, the loss curve, and the timed seconds and tokens."""

    step: int
    tokens: int
    train_seconds: float
    timed_seconds: float
    timed_tokens: int
    curve: tuple[CurvePoint, ...]


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: LRScheduler, progress: Progress
) -> None:
    """Write model, optimizer, schedule, random state and progress into `folder`, which must exist."""
    save_model(model, str(folder / "model.safetensors"))
    save_file(_optimizer_tensors(optimizer), folder / "optimizer.safetensors")
    save_file(_random_state(), folder / "random.safetensors")
    document = dataclasses.asdict(progress) | {"schedule_step": schedule.last_epoch}
    (folder / "progress.json").write_text(json.dumps(document), encoding="utf-8")


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: LRScheduler
) -> Progress:
    """Put model, optimizer, schedule and random state back as they were saved.

    Raises: FileNotFoundError or safetensors' SafetensorError when a file is missing or cut short.
    """
    document = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    load_model(model, folder / "model.safetensors")
    _restore_optimizer(optimizer, load_file(folder / "optimizer.safetensors"))
    schedule_step = document.pop("schedule_step")
    schedule.load_state_dict(schedule.state_dict() | {"last_epoch": schedule_step, "_step_count": schedule_step + 1})
    for group, base, factor in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):  # type: ignore[attr-defined]
        group["lr"] = base * factor(schedule_step)
    _restore_random_state(load_file(folder / "random.safetensors"))
    curve = tuple(CurvePoint(**point) for point in document.pop("curve"))
    return Progress(curve=curve, **document)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, values in state.items() for name, tensor in values.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _random_state() -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random_state(state: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
