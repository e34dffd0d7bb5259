"""Where another stack's training step differs from this project's, as far as memory shows, and by which source.

A `StackRun` is one training run of somebody: model, batch, and each difference by name. Nothing here is fitted: each
value of a field stands for lines of a library, named where the value is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Optimizer = Literal["adamw", "adamw-8bit", "sgd"]
Implementation = Literal["foreach", "fused", "for-loop"]
Attention = Literal["flash-attn", "sdpa", "eager"]
# How the loss is made of the logits; `losses.py` says by whom, in which versions.
Loss = Literal[
    "hf", "hf-4.45", "plain", "shifted", "unsloth", "unsloth-4.45", "unsloth-shifted", "liger", "chunked-head"
]
STACKS = ("ours", "hf-trainer", "trl", "litgpt", "torchtune", "torchtitan", "loop")


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """Low-rank adapters: rank, the linear layers that have them by the end of their name, and their number format.

    `is_fp32` is peft's `autocast_adapter_dtype`, its default: adapters of half-precision models are kept in fp32.
    """

    rank: int
    targets: tuple[str, ...]
    dropout: float = 0.0
    is_fp32: bool = True


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How a model is spread over cards: FSDP1 or FSDP2 with full shards, or whole copies (DDP).

    `precision` is the type that FSDP gathers weights and reduces gradients in, None for their own. `is_synced_late` is
    accumulation under `no_sync`, which keeps whole gradients until the last micro-batch. `originals` is FSDP1's
    `use_orig_params`; `wraps_adapters` puts each adapter's matrix into a unit of its own, as peft's policy does.
    `upcasts_trained` keeps trained weights in fp32. `checkpoints_around` checkpoints a unit from outside.
    """

    kind: Literal["fsdp1", "fsdp2", "ddp"]
    cards: int
    precision: Literal["bf16"] | None = None
    is_synced_late: bool = False
    originals: bool = False
    wraps_adapters: bool = False
    upcasts_trained: bool = False
    checkpoints_around: bool = False


@dataclass(frozen=True, kw_only=True)
class StackRun:
    """One training run of a stack, by what decides its memory. `accumulation` is micro-batches a step.

    `repeats_keys` gives flash attention keys and values for every query head. `keeps_outputs` holds a forward pass's
    outputs until the next one's are there. `keeps_projections` holds each layer's query, key and value until the loss
    is there, as a cache that is a view of them does. `activation` stands in for the config's. With `is_one_batch` only
    the first micro-batch is as long as told; others are short, and the step that they are for is not reached.
    """

    stack: str
    config: PretrainedConfig
    micro_batch_size: int
    sequence_length: int
    accumulation: int = 1
    weights: Literal["bf16", "fp32"] = "bf16"
    autocast: bool = False
    attention: Attention = "sdpa"
    repeats_keys: bool = False
    has_fused_kernels: bool = False
    gradient_checkpointing: bool = False
    is_reentrant: bool = False
    optimizer: Optimizer = "adamw"
    implementation: Implementation = "foreach"
    parameter_groups: int = 1
    clips: bool = True
    loss: Loss = "hf"
    keeps_outputs: bool = False
    keeps_projections: bool = False
    activation: str | None = None
    is_one_batch: bool = False
    adapters: Adapters | None = None
    sharding: Sharding | None = None
