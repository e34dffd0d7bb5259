"""The sizes that the closed form is written in: what a model and a micro-batch come to, in bytes and elements."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.model.models import ModelShape
from trainables.records.settings import TrialSettings

WORKSPACE_BYTES = 2 * (2 * 4096 + 8 * 16) * 1024  # cuBLAS, forward and backward thread; see trace.py
ADAPTED = {  # of a layer's linear layers, by `lora_targets`. Source of the first: peft's default for OPT
    "default": ("query", "value"),
    "attention": ("query", "key", "value", "output"),
    "all-linear": ("query", "key", "value", "output", "up", "down"),
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Bytes by component at one moment of a step, and its phase: forward, backward or optimizer.

    `place` tells what is at work: "loss", "last_layer", "first_layer", "embedding" or "optimizer"; a layer's backward
    pass has two halves, in this order. `whole_gradients` of the gradients belong to what is at work or to the head.
    """

    phase: str
    components: dict[str, int]
    place: str = "loss"
    whole_gradients: int = 0

    @property
    def allocated_bytes(self) -> int:
        """All components together."""
        return sum(self.components.values())


class StepSizes:
    """Sizes of one step; N is tokens of a micro-batch, d the width, f the width of the feed-forward part."""

    def __init__(self, settings: TrialSettings, shape: ModelShape) -> None:
        self.settings, self.shape = settings, shape
        self.is_amp = settings.precision.endswith("-amp")
        self.weight = 2 if settings.precision == "bf16" else 4  # bytes of a weight and of the residual stream
        self.activation = 4 if settings.precision == "fp32" else 2  # bytes of a matrix product's result
        self.tokens = settings.micro_batch_size * settings.sequence_length
        self.Nd = self.tokens * shape.width
        self.Nf = self.tokens * shape.ffn_width
        self.head = shape.vocabulary * shape.width
        self.scores = settings.micro_batch_size * shape.heads * settings.sequence_length**2
        self.layer_weights = 4 * shape.width**2 + 2 * shape.width * shape.ffn_width
        self.adapted = ADAPTED[settings.lora_targets]
        wide = [shape.ffn_width for name in self.adapted if name in ("up", "down")]  # one of the two sides is
        sides = sum(wide) + (2 * len(self.adapted) - len(wide)) * shape.width
        self.adapter_weights = settings.lora_rank * sides  # of a layer
        adapters = shape.layers * self.adapter_weights
        is_lora = settings.lora_rank > 0
        trained = adapters if is_lora else shape.parameters
        trained_size = 4 if is_lora else self.weight  # adapters are kept in fp32
        state_size = {"adamw": 2 * trained_size, "adamw-8bit": 2 + 8 / 256, "sgd": 0}[settings.optimizer]
        self.gradients = trained * trained_size
        self.accumulated = self.gradients if settings.accumulation_steps > 1 else 0
        self.causal_mask = settings.micro_batch_size * settings.sequence_length**2 * self.weight
        self.log_sums = 4 * settings.micro_batch_size * shape.heads * _round_up(settings.sequence_length, 32)
        self.always = {
            "weights": shape.parameters * self.weight + 4 * adapters,
            "optimizer_states": round(trained * state_size),
            "workspaces": WORKSPACE_BYTES,
        }

    def chunk_of_logits(self) -> int:
        """What the fused loss holds of the logits at once, with its downcast in half precision."""
        chunk = chunk_tokens(self.tokens, self.shape)
        return chunk * self.shape.vocabulary * (4 if self.settings.precision == "fp32" else 6)


def chunk_tokens(tokens: int, shape: ModelShape) -> int:
    """Tokens of a chunk of torch's fused loss, which works through all `tokens` of a micro-batch.

    Source: chunking "aspect_ratio:2", torch/nn/modules/linear_cross_entropy_options.py, torch 2.13.
    """
    ratio = -(-shape.vocabulary // shape.width)
    return min(tokens, (1 << (-(-tokens // ratio) - 1).bit_length()) // 2)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


SLACK_FRACTION = 0.08  # reserved over allocated where only the formula is at hand; median of allocator replays
