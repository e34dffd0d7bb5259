"""Kernels that other stacks put in place of torch's operations: the buffers that they take, and no arithmetic."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

FLASH = "one_kernel_attention"  # the name under which transformers finds the attention below


class _FlashAttention(torch.autograd.Function):
    """Attention of the package flash-attn 2: keys and values with heads of their own, gradients by query head.

    Source: FlashAttnFunc, flash_attn/flash_attn_interface.py; mha_bwd, csrc/flash_attn/flash_api.cpp, 2.6: the gradient
    of the queries is gathered in fp32, lengths rounded to 128 and head sizes to 32; those of grouped keys and values
    are made for each query head and then summed.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        batch, length, heads, _ = query.shape
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        sums = query.new_empty((batch, heads, length), dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, _, _ = ctx.saved_tensors
        batch, length, heads, head_size = query.shape
        contiguous = torch.contiguous_format
        grads = [torch.empty_like(t, memory_format=contiguous) for t in (query, key, value)]
        rows = -(-length // 128) * 128
        sums = query.new_empty((batch, heads, rows), dtype=torch.float32)
        gathered = query.new_empty((batch, rows, heads, -(-head_size // 32) * 32), dtype=torch.float32)
        if key.shape[2] != heads:
            expanded = [query.new_empty((batch, key.shape[1], heads, head_size)) for _ in range(2)]
            del expanded
        del gathered, sums
        return tuple(grads)


def use_flash_attention(repeats_keys: bool) -> None:
    """Let transformers know `FLASH`, which takes no mask; `repeats_keys` as its models did to 4.47 (`repeat_kv`)."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
        groups = query.shape[1] // key.shape[1]
        if repeats_keys and groups > 1:
            key, value = (_repeated(t, groups) for t in (key, value))
        return _FlashAttention.apply(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)), None

    AttentionInterface.register(FLASH, attend)
    AttentionMaskInterface.register(FLASH, lambda *_, **__: None)


def _repeated(states: Tensor, groups: int) -> Tensor:
    batch, heads, length, size = states.shape
    return states[:, :, None].expand(batch, heads, groups, length, size).reshape(batch, heads * groups, length, size)


class _FusedNorm(torch.autograd.Function):
    """An RMSNorm in one kernel, whose gradient is written over the incoming one.

    Source: Fast_RMS_Layernorm, kernels/unsloth/rms_layernorm.py of fms-acceleration.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        flat = hidden.view(-1, hidden.shape[-1])
        out = torch.empty_like(flat)
        ctx.save_for_backward(flat, weight, flat.new_empty(flat.shape[0], dtype=torch.float32))
        return out.view(*hidden.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad, None


class _FusedRotation(torch.autograd.Function):
    """Rotary embedding in place. Source: Fast_RoPE_Embedding, kernels/unsloth/rope_embedding.py of fms-acceleration."""

    @staticmethod
    def forward(ctx: Any, states: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        batch, length, heads, size = states.shape
        return states.view(batch * length, heads * size).view(batch, length, heads, size)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        batch, length, heads, size = grad.shape
        return grad.reshape(batch * length, heads * size).view(batch, length, heads, size)


@contextlib.contextmanager
def fused_kernels(model: nn.Module) -> Iterator[None]:
    """RMSNorm and rotary embedding of a transformers model in one kernel each, while the context lasts."""

    def rotate(query: Tensor, key: Tensor, *_: Any, **__: Any) -> tuple[Any, Any]:
        return tuple(_FusedRotation.apply(t.transpose(1, 2)).transpose(1, 2) for t in (query, key))  # type: ignore[return-value]

    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = lambda hidden, norm=module: _FusedNorm.apply(hidden, norm.weight)  # type: ignore[method-assign]
    file = sys.modules[type(model).__module__]
    with (
        mock.patch.object(file, "apply_rotary_pos_emb", rotate)
        if hasattr(file, "apply_rotary_pos_emb")
        else (contextlib.nullcontext())
    ):
        yield
