"""Memory of each GPU when weights, gradients and optimizer states are sharded over N of them (FSDP, full shard).

By the closed form: what belongs to a micro-batch stays whole, what belongs to a weight is divided, and around the layer
at work whole weights are gathered. Not measured; the trainable itself does not shard yet.
Source: torch.distributed.fsdp.fully_shard, one unit a layer and one for the rest, resharding after forward.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.memory.closed_form import ModelShape, step_moments
from trainables.memory.predict import CONTEXT_BYTES, SLACK_FRACTION
from trainables.settings import TrialSettings

GATHERED_LAYERS = 2  # the one at work and the one that is fetched ahead
MOST_CARDS = 4096


@dataclass(frozen=True, kw_only=True)
class ShardedMemory:
    """Bytes on each of `gpus` cards at the peak; `components` sums to `allocated_bytes`."""

    gpus: int
    allocated_bytes: int
    reserved_bytes: int
    device_bytes: int
    components: dict[str, int]


def sharded_memory(settings: TrialSettings, shape: ModelShape, gpus: int) -> ShardedMemory:
    """Peak memory of each of `gpus` cards, each with a micro-batch of its own."""
    weight = 2 if settings.precision == "bf16" else 4
    layer = (4 * shape.width**2 + 2 * shape.width * shape.ffn_width) * weight
    rest = shape.parameters * weight - shape.layers * layer
    is_alone = gpus == 1

    def sharded(moment: dict[str, int]) -> dict[str, int]:
        whole = 0 if is_alone else GATHERED_LAYERS * layer + rest
        divided = {name: -(-moment[name] // gpus) for name in ("weights", "optimizer_states", "gradients")}
        divided["gathered"] = whole + (0 if is_alone or settings.lora_rank else layer)  # and one layer's gradient
        return moment | divided

    components = max(
        (sharded(moment.components) for moment in step_moments(settings, shape)),
        key=lambda moment: sum(moment.values()),
    )
    allocated_bytes = sum(components.values())
    reserved_bytes = round(allocated_bytes * (1 + SLACK_FRACTION))
    return ShardedMemory(
        gpus=gpus,
        allocated_bytes=allocated_bytes,
        reserved_bytes=reserved_bytes,
        device_bytes=reserved_bytes + CONTEXT_BYTES,
        components={name: size for name, size in components.items() if size},
    )


def cards_needed(settings: TrialSettings, shape: ModelShape, capacity_bytes: int) -> int | None:
    """The fewest cards of this capacity that hold the sharded step; None where no number does."""
    if sharded_memory(settings, shape, MOST_CARDS).device_bytes > capacity_bytes:
        return None
    low, high = 0, MOST_CARDS
    while high - low > 1:
        middle = (low + high) // 2
        fits = sharded_memory(settings, shape, middle).device_bytes <= capacity_bytes
        low, high = (low, middle) if fits else (middle, high)
    return high
