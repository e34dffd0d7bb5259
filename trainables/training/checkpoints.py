"""Everything a trial needs to continue bit for bit, in safetensors and JSON: no pickle is written or read.

A checkpoint is a folder: `model.safetensors`, `optimizer.safetensors`, `progress.json`, and for
each worker `random-<rank>.safetensors`.
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
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from trainables.model.parallel import gathered_weights, is_sharded, part_like, put_weights, whole
from trainables.records.record import CurvePoint, PhaseMemory


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far training had come: steps done, tokens seen, the loss curve, and the timed seconds and tokens."""

    step: int = 0
    tokens: int = 0
    train_seconds: float = 0.0
    timed_seconds: float = 0.0
    timed_tokens: int = 0
    curve: tuple[CurvePoint, ...] = ()
    memory_phases: tuple[PhaseMemory, ...] = ()
    memory_components: dict[str, int] | None = None


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler,
    progress: Progress,
    *,
    scaler: torch.amp.GradScaler | None = None,
    rank: int = 0,
) -> None:
    """Write a checkpoint into `folder`, which must exist: the first worker all of it, others their random state.

    Where the model is sharded, all workers must call it together: the first gathers the whole tensors that it writes.
    """
    save_file(_random_state(), folder / _random_file(rank))
    weights = gathered_weights(model, is_kept=rank == 0) if is_sharded(model) else None
    tensors, numbers = _optimizer_state(optimizer, is_kept=rank == 0)
    if rank > 0:
        return
    if weights is None:
        save_model(model, str(folder / "model.safetensors"))
    else:
        save_file(weights, folder / "model.safetensors")
    save_file(tensors, folder / "optimizer.safetensors")
    document = dataclasses.asdict(progress) | {
        "schedule_step": schedule.last_epoch,
        "optimizer_numbers": numbers,
        "loss_scale": None if scaler is None else scaler.state_dict(),
    }
    (folder / "progress.json").write_text(json.dumps(document), encoding="utf-8")


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: LambdaLR,
    *,
    scaler: torch.amp.GradScaler | None = None,
    rank: int = 0,
) -> Progress:
    """Put model, optimizer, schedule, loss scale and this worker's random state back as they were saved.

    Raises: FileNotFoundError or safetensors' SafetensorError when a file is missing or cut short.
    """
    document = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    if is_sharded(model):
        put_weights(model, load_file(folder / "model.safetensors"))
    else:
        load_model(model, folder / "model.safetensors")
    states = load_file(folder / "optimizer.safetensors") | document.pop("optimizer_numbers")
    _restore_optimizer(optimizer, states)
    loss_scale = document.pop("loss_scale")
    if scaler is not None:
        scaler.load_state_dict(loss_scale)
    schedule_step = document.pop("schedule_step")
    rates = [base * factor(schedule_step) for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
    counters = {"last_epoch": schedule_step, "_step_count": schedule_step + 1, "_last_lr": rates}
    schedule.load_state_dict(schedule.state_dict() | counters)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    _restore_random_state(load_file(folder / _random_file(rank)))
    curve = tuple(CurvePoint(**point) for point in document.pop("curve"))
    phases = tuple(PhaseMemory(**phase) for phase in document.pop("memory_phases"))
    return Progress(curve=curve, memory_phases=phases, **document)


def _random_file(rank: int) -> str:
    return f"random-{rank}.safetensors"


def _optimizer_state(
    optimizer: torch.optim.Optimizer, *, is_kept: bool
) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """States as tensors and as plain numbers, of which bitsandbytes keeps one. A tensor that is shared is copied.

    Shards are gathered by all workers, and returned where `is_kept` is true.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = enumerate(optimizer.state.get(parameter, {}) for parameter in parameters)
    flat = {f"{index}.{name}": value for index, values in states for name, value in values.items()}
    tensors: dict[str, torch.Tensor] = {}
    places: set[int] = set()
    for key, state in flat.items():
        if isinstance(state, torch.Tensor):
            value = whole(state)
            if value is not state:
                value = value.cpu()
            if not is_kept:
                continue
            tensors[key] = value.clone() if value.data_ptr() in places else value
            places.add(value.data_ptr())
    return tensors, {key: value for key, value in flat.items() if key not in tensors}


def _restore_optimizer(optimizer: torch.optim.Optimizer, states: dict[str, torch.Tensor | int]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor | int]] = {}
    for key, value in states.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
            value = part_like(value, parameter)
        state.setdefault(int(index), {})[name] = value
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
