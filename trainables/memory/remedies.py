"""What would bring a trial's memory down, and by how much: each change alone, then the cheap ones together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainables.memory.closed_form import ModelShape, step_memory
from trainables.memory.constants import constants_for
from trainables.records import MemoryPrediction
from trainables.settings import TrialSettings

SUGGESTED_RANK = 8  # assumed: a common choice for low-rank adapters


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One change and the memory with it, in bytes. The formula's difference is taken off what the trace said."""

    change: str
    allocated_bytes: int
    reserved_bytes: int
    fits: bool


def remedies(
    settings: TrialSettings, shape: ModelShape, prediction: MemoryPrediction, *, on_cuda: bool
) -> list[Remedy]:
    """Every change that lowers the peak, the largest saving first."""
    found = [
        _remedy(change, dataclasses.replace(settings, **fields), settings, shape, prediction, on_cuda)
        for change, fields in _changes(settings)
    ]
    useful = [remedy for remedy in found if remedy.allocated_bytes < 0.99 * prediction.allocated_bytes]
    return sorted(useful, key=lambda remedy: remedy.allocated_bytes)


def _changes(settings: TrialSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    together: dict[str, Any] = {}
    if settings.loss == "hf":
        together["loss"] = "fused"
        yield "fused loss", {"loss": "fused"}
    if not settings.gradient_checkpointing:
        together["gradient_checkpointing"] = True
        yield "gradient checkpointing", {"gradient_checkpointing": True}
    if settings.attention == "eager":
        together["attention"] = "sdpa"
        yield "SDPA attention", {"attention": "sdpa"}
    if settings.precision == "fp32":
        together["precision"] = "bf16-amp"
        yield "bf16 autocast", {"precision": "bf16-amp"}
    if len(together) > 1:
        yield " + ".join(_names(together)), dict(together)
    if settings.precision != "bf16":
        yield "weights in bf16", {"precision": "bf16"}
    if settings.micro_batch_size > 1:
        half = settings.micro_batch_size // 2
        change = f"micro-batch {half}, accumulating twice as often"
        yield (
            change,
            {"micro_batch_size": half, "batch_size": 2 * half * settings.accumulation_steps * settings.workers},
        )
    if settings.lora_rank == 0:
        yield f"LoRA of rank {SUGGESTED_RANK}", {"lora_rank": SUGGESTED_RANK}
        yield (
            " + ".join([*_names(together), f"LoRA of rank {SUGGESTED_RANK}"]),
            together | {"lora_rank": SUGGESTED_RANK},
        )
    if settings.optimizer == "adamw":
        yield "8-bit AdamW", {"optimizer": "adamw-8bit"}


def _names(fields: dict[str, Any]) -> list[str]:
    known = {
        "loss": "fused loss",
        "gradient_checkpointing": "gradient checkpointing",
        "attention": "SDPA attention",
        "precision": "bf16 autocast",
    }
    return [known[name] for name in fields]


def _remedy(
    change: str,
    changed: TrialSettings,
    settings: TrialSettings,
    shape: ModelShape,
    prediction: MemoryPrediction,
    on_cuda: bool,
) -> Remedy:
    difference = step_memory(changed, shape).allocated_bytes - step_memory(settings, shape).allocated_bytes
    allocated_bytes = max(0, prediction.allocated_bytes + difference)
    reserved_bytes = round(allocated_bytes * prediction.reserved_bytes / prediction.allocated_bytes)
    needed_bytes = reserved_bytes + constants_for(prediction.gpu).context_bytes if on_cuda else allocated_bytes
    fits = prediction.capacity_bytes is None or needed_bytes <= prediction.capacity_bytes
    return Remedy(change=change, allocated_bytes=allocated_bytes, reserved_bytes=reserved_bytes, fits=fits)
