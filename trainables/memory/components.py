"""Which component of a step's memory a new tensor belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """The sizes by which tensors are recognised; 0 where there is none to look for."""

    vocabulary: int = 0
    tokens: int = 0
    sequence_length: int = 0
    width: int = 0


def component_of(shapes: Shapes, phase: str, operation: str, tensor: Tensor, position: int) -> str:
    """The component of a tensor that `operation` made as its output number `position` in `phase`.

    A forward pass repeated for checkpointing counts as forward. Gradients and optimizer states are recognised later,
    by what holds them.
    """
    if phase in ("load", "input"):
        return {"load": "weights", "input": "inputs"}[phase]
    shape = tensor.shape
    if phase in ("forward", "backward"):
        if shapes.vocabulary and len(shape) >= 2 and shape[-1] == shapes.vocabulary:
            return "loss"
        if _is_attention_matrix(shapes, shape, operation) or (
            "attention" in operation and phase == "forward" and position > 0
        ):
            return "attention_matrices"
    return "activations" if phase == "forward" else "temporaries"


def _is_attention_matrix(shapes: Shapes, shape: tuple[int, ...], operation: str) -> bool:
    length = shapes.sequence_length
    if length == 0 or len(shape) < 3 or shape[-1] != length or shape[-2] != length:
        return False
    return len(shape) > 3 or length != shapes.width or operation == "bmm"
