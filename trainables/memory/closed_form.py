"""Peak memory of a training step as a formula: instant, and every term has a name.

For pre-LayerNorm decoders of OPT's shape trained with AdamW on one device, in steady state (optimizer states exist),
gradients set to None between steps, outputs dropped before the backward pass, attention by a fused kernel or eager.
Coefficients are bytes that autograd keeps for each token of each layer: counted operator by operator.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.records import TrialSettings


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What the formula needs of an architecture; `parameters` counts tied weights once."""

    layers: int
    width: int
    heads: int
    ffn_width: int
    vocabulary: int
    parameters: int
    has_dropout: bool


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes by component at the peak, and the phase in which the peak falls."""

    components: dict[str, int]
    phase: str

    @property
    def allocated_bytes(self) -> int:
        """All components together."""
        return sum(self.components.values())


def step_memory(settings: TrialSettings, shape: ModelShape) -> StepMemory:
    """Allocated bytes of one worker at the highest of three moments: loss, late backward, end of backward."""
    weight_size = 2 if settings.precision == "bf16" else 4
    weights = shape.parameters * weight_size
    always = {"weights": weights, "optimizer_states": 2 * weights}
    autocast = _autocast_bytes(settings, shape)
    activations, attention = _kept_bytes(settings, shape)
    head_gradient = shape.vocabulary * shape.width * weight_size
    at_loss = always | {
        "activations": activations,
        "attention_matrices": attention,
        "loss": _loss_bytes(settings, shape),
        "autocast_copies": autocast,
    }
    last_layer = _layer_bytes(settings, shape) if settings.gradient_checkpointing else (0, 0)
    in_backward = always | {
        "activations": activations + last_layer[0],
        "attention_matrices": attention + last_layer[1],
        "gradients": head_gradient,
        "autocast_copies": autocast,
    }
    after_backward = always | {"gradients": weights + 2 * head_gradient}
    moments = (
        StepMemory(components=at_loss, phase="backward"),
        StepMemory(components=in_backward, phase="backward"),
        StepMemory(components=after_backward, phase="backward"),
    )
    return max(moments, key=lambda moment: moment.allocated_bytes)


def _sizes(settings: TrialSettings) -> tuple[int, int]:
    """Bytes of a matmul's activation and of the residual stream."""
    return {"fp32": (4, 4), "bf16-amp": (2, 4), "bf16": (2, 2)}[settings.precision]


def _layer_bytes(settings: TrialSettings, shape: ModelShape) -> tuple[int, int]:
    """Bytes that one layer keeps for its backward pass: (activations, attention matrices)."""
    activation, residual = _sizes(settings)
    tokens = settings.micro_batch_size * settings.sequence_length
    normed_copies = 3 if settings.precision == "bf16-amp" else 1
    per_token = (
        2 * residual * shape.width  # inputs of the two layer norms
        + (normed_copies + 1) * activation * shape.width  # their outputs
        + 4 * activation * shape.width  # query, key, value, attention output
        + 2 * activation * shape.ffn_width  # before and after the activation function
        + (2 * shape.width if shape.has_dropout else 0)  # one-byte dropout masks
        + 16  # layer norm statistics
    )
    heads = settings.micro_batch_size * shape.heads
    if settings.attention == "sdpa":
        return tokens * per_token, 4 * heads * _round_up(settings.sequence_length, 32)  # log-sum-exp rows
    kept_size = 4 + (1 + activation if shape.has_dropout else 0)
    return tokens * per_token, kept_size * heads * settings.sequence_length**2


def _kept_bytes(settings: TrialSettings, shape: ModelShape) -> tuple[int, int]:
    activation, residual = _sizes(settings)
    tokens = settings.micro_batch_size * settings.sequence_length
    edges = tokens * (residual * shape.width + activation * shape.width + 24)
    if settings.gradient_checkpointing:
        return edges + shape.layers * tokens * residual * shape.width, 0
    layer_activations, layer_attention = _layer_bytes(settings, shape)
    return edges + shape.layers * layer_activations, shape.layers * layer_attention


def _loss_bytes(settings: TrialSettings, shape: ModelShape) -> int:
    """Transformers' loss holds three fp32 tensors of [tokens, vocabulary] at once; the fused one holds a chunk."""
    tokens = settings.micro_batch_size * settings.sequence_length
    if settings.loss == "fused":
        return 0
    return 12 * tokens * shape.vocabulary


def _autocast_bytes(settings: TrialSettings, shape: ModelShape) -> int:
    if settings.precision != "bf16-amp":
        return 0
    head = 2 * shape.vocabulary * shape.width
    return head if settings.gradient_checkpointing else 2 * shape.parameters


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
