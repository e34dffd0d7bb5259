"""What one trial is told: everything that decides what it computes. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """Everything that decides what one trial computes.

    `batch_size` is sequences per optimizer step; `micro_batch_size` is sequences on one device at once.
    `token_budget` is the number of real (not padding) tokens trained on. `replay_ratio` is how many documents of base
    text stand beside each quote. `parallel` says what several workers hold: copies (DDP) or shards (FSDP) of the model.
    `epochs` is how often each document is then read, where the budget was made from it.
    `lora_rank` 0 trains every weight.
    """

    model: str
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    sequence_length: int
    token_budget: int
    seed: int = 0
    data: str = "shipped"
    weights: Literal["pretrained", "random"] = "pretrained"
    layout: Literal["packed", "padded"] = "packed"
    precision: Literal["fp32", "bf16-amp", "fp16-amp", "bf16"] = "fp32"
    attention: Literal["sdpa", "eager"] = "sdpa"
    loss: Literal["hf", "fused"] = "hf"
    gradient_checkpointing: bool = False
    optimizer: Literal["adamw", "adamw-8bit", "sgd"] = "adamw"
    lora_rank: int = 0
    workers: int = 1
    parallel: Literal["ddp", "fsdp"] = "ddp"
    memory_cap_bytes: int | None = None
    replay_ratio: float = 0.0
    epochs: float | None = None
    samples_per_prompt: int = 20
    temperature: float = 0.8
    top_p: float = 0.95
    greedy: bool = False

    def __post_init__(self) -> None:
        for name in (
            "batch_size",
            "micro_batch_size",
            "sequence_length",
            "token_budget",
            "workers",
            "samples_per_prompt",
        ):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}={value}; it must be at least 1.")
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank={self.lora_rank}; it must be at least 1, or 0 to train every weight.")
        if self.memory_cap_bytes is not None and self.memory_cap_bytes < 1:
            raise ValueError(f"memory_cap_bytes={self.memory_cap_bytes}; it must be at least 1, or None for no cap.")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise ValueError(f"learning_rate={self.learning_rate}; it must be a positive number, such as 1e-3.")
        if not (self.replay_ratio >= 0 and math.isfinite(self.replay_ratio)):
            raise ValueError(f"replay_ratio={self.replay_ratio}; it must be 0 (no base text) or more, such as 1.")
        if self.epochs is not None and not (self.epochs > 0 and math.isfinite(self.epochs)):
            raise ValueError(f"epochs={self.epochs}; it must be a positive number, such as 2.")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature={self.temperature}; it must be a positive number, or set greedy.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}; it must be above 0 and at most 1.")
        if self.parallel == "fsdp" and self.workers == 1:
            raise ValueError("parallel='fsdp' shards over several workers, and workers=1; take two or more, or ddp.")
        if self.parallel == "fsdp" and self.optimizer == "adamw-8bit":
            raise ValueError("optimizer='adamw-8bit' cannot be sharded; take adamw or sgd, or parallel='ddp'.")
        if self.batch_size % (self.micro_batch_size * self.workers):
            raise ValueError(
                f"batch_size={self.batch_size} is not divisible by micro_batch_size={self.micro_batch_size}"
                f" x workers={self.workers}; choose a micro-batch that divides the batch."
            )

    @property
    def accumulation_steps(self) -> int:
        """Micro-batches that one worker accumulates before an optimizer step."""
        return self.batch_size // (self.micro_batch_size * self.workers)
