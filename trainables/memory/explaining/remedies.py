"""What would bring a trial's memory down, and by how much: each change alone, then the cheap ones together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainables.memory.cards import Card
from trainables.memory.formula.sharding import ShardedStep
from trainables.records.record import MemoryPrediction
from trainables.records.settings import TrialSettings

SUGGESTED_RANK = 8  # assumed: a common choice for low-rank adapters


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One change and the memory with it, in bytes. The formula's difference is subtracted from the trace's figure."""

    change: str
    allocated_bytes: int
    reserved_bytes: int
    fits: bool


def remedies(step: ShardedStep, prediction: MemoryPrediction, card: Card, gpus: int = 1) -> list[Remedy]:
    """Every change that lowers the peak of each of `gpus` that share the model, the largest saving first."""
    own_bytes = step.peak(gpus).allocated_bytes
    found = [
        _remedy(change, changed.peak(gpus).allocated_bytes - own_bytes, prediction, card)
        for change, fields in changes(step.settings, gpus)
        for changed in (ShardedStep(dataclasses.replace(step.settings, **fields), step.shape),)
    ]
    useful = [remedy for remedy in found if remedy.allocated_bytes < 0.99 * prediction.allocated_bytes]
    return sorted(useful, key=lambda remedy: remedy.allocated_bytes)


def changes(settings: TrialSettings, gpus: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What may bring a step's memory down: the change in words, and the fields of the settings that make it."""
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
        if together:
            names = [*_names(together), f"LoRA of rank {SUGGESTED_RANK}"]
            yield " + ".join(names), together | {"lora_rank": SUGGESTED_RANK}
    if settings.optimizer == "adamw" and gpus == 1 and settings.parallel == "ddp":  # its states cannot be sharded
        yield "8-bit AdamW", {"optimizer": "adamw-8bit"}


def _names(fields: dict[str, Any]) -> list[str]:
    known = {
        "loss": "fused loss",
        "gradient_checkpointing": "gradient checkpointing",
        "attention": "SDPA attention",
        "precision": "bf16 autocast",
    }
    return [known[name] for name in fields]


def more_gpus(step: ShardedStep, prediction: MemoryPrediction, card: Card, gpus: int) -> Remedy:
    """The model shared by twice as many GPUs, each with a micro-batch of its own."""
    own_bytes, halved_bytes = (step.peak(n).allocated_bytes for n in (gpus, 2 * gpus))
    return _remedy(f"shared by {2 * gpus} GPUs (FSDP)", halved_bytes - own_bytes, prediction, card)


def _remedy(change: str, difference_bytes: int, prediction: MemoryPrediction, card: Card) -> Remedy:
    allocated_bytes = max(0, prediction.allocated_bytes + difference_bytes)
    reserved_bytes = round(allocated_bytes * prediction.reserved_bytes / prediction.allocated_bytes)
    needed_bytes = reserved_bytes + card.constants.context_bytes if card.on_cuda else allocated_bytes
    fits = card.holds(needed_bytes)
    return Remedy(change=change, allocated_bytes=allocated_bytes, reserved_bytes=reserved_bytes, fits=fits)
