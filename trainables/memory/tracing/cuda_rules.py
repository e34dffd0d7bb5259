"""What CUDA would do where a CPU does otherwise, so that CPU fake tensors can stand for CUDA's.

Four things differ between the devices above the kernels: which operation dropout and attention become, which
operations autocast casts, and which optimizers use multi-tensor kernels. They are registered on torch's dispatcher for
the CPU's keys while a trace runs, and taken back afterwards. Sources are torch 2.13's files, named at each rule.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils import _foreach_utils

aten = torch.ops.aten

# Operations that CUDA autocast runs in fp32 and CPU autocast does not; those that a language model may meet.
# Source: AT_FORALL_FP32 against the CPU's own list, ATen/autocast_mode.h.
FP32_OPERATIONS = [
    "acos",
    "asin",
    "cosh",
    "erfinv",
    "exp",
    "expm1",
    "log",
    "log10",
    "log2",
    "log1p",
    "reciprocal",
    "rsqrt",
    "sinh",
    "tan",
    "pow.Tensor_Scalar",
    "pow.Tensor_Tensor",
    "pow.Scalar",
    "softplus",
    "layer_norm",
    "native_layer_norm",
    "group_norm",
    "norm.Scalar",
    "logsumexp",
    "cosine_similarity",
    "kl_div",
    "l1_loss",
    "smooth_l1_loss",
    "nll_loss",
    "nll_loss2d",
    "nll_loss_nd",
]
# Operations that CUDA autocast runs in fp32 by asking for an fp32 result.
# Source: AT_FORALL_FP32_SET_OPT_DTYPE, ATen/autocast_mode.h.
FP32_RESULT_OPERATIONS = ("softmax.int", "log_softmax.int", "sum", "sum.dim_IntList", "cumsum", "prod")
ARITHMETIC = ("add", "sub", "mul", "div")
_LOW = (torch.float16, torch.bfloat16)
PASSES = 2  # of the fused loss over its chunks: each takes and gives back the same blocks, so that two stand for all


@contextlib.contextmanager
def cuda_rules() -> Iterator[None]:
    """Let operations on CPU tensors choose as CUDA does, while the context lasts."""
    library = torch.library.Library("aten", "IMPL")
    library.impl("dropout", _dropout, "AutogradCPU")
    library.impl("scaled_dot_product_attention", _attention, "AutogradCPU")
    for name in filter(_has_no_cast, FP32_OPERATIONS):
        library.impl(name, _in_fp32(_overload(name)), "AutocastCPU")
    for name in filter(_has_no_cast, FP32_RESULT_OPERATIONS):
        library.impl(name, _with_fp32_result(_overload(name), "softmax" in name), "AutocastCPU")
    devices = ["cpu", *_foreach_utils._get_foreach_kernels_supported_devices()]
    try:
        with (
            mock.patch.object(
                sys.modules["torch.optim.optimizer"], "_get_foreach_kernels_supported_devices", return_value=devices
            ),
            _fused_loss_defaults(),
        ):
            yield
    finally:
        library._destroy()


def _has_no_cast(name: str) -> bool:
    """Whether CPU autocast leaves the operation alone; those that it too runs in fp32 need no rule."""
    return not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "AutocastCPU")


def _overload(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(aten, packet), overload or "default")


def _dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """CUDA's dropout is one kernel that keeps a byte a element; the CPU's keeps a mask in the input's type.

    Source: is_fused_kernel_acceptable, ATen/native/Dropout.cpp.
    """
    if not train or p == 0 or input.numel() == 0:
        return input
    return aten.native_dropout(input, p, True)[0]


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Flash attention for half precision without a mask, memory-efficient attention for the rest.

    Under autocast the inputs have been cast before this is asked. Source: sdp_utils.cpp, order of priority.
    """
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    if query.dtype in _LOW and attn_mask is None and query.shape[-1] <= 256:
        return aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(attn_mask.logical_not(), -math.inf)
    if attn_mask is not None:
        attn_mask = attn_mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    keep_sums = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, keep_sums, dropout_p, is_causal, scale=scale
    )[0]


def _in_fp32(operation: Any) -> Callable[..., Any]:
    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._DisableAutocast():
            args = tuple(_to_fp32(a) for a in args)
            return operation(*args, **{name: _to_fp32(a) for name, a in kwargs.items()})

    return kernel


def _with_fp32_result(operation: Any, is_softmax: bool) -> Callable[..., Any]:
    def kernel(input: Tensor, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Any:
        with torch._C._DisableAutocast():
            if is_softmax and len(args) > 1:
                args, dtype = args[:1], args[1] or dtype
            if input.dtype not in _LOW:
                return operation(input, *args, dtype=dtype, **kwargs)
            if is_softmax and input.dtype == torch.float16 and dtype in (None, torch.float32):
                # CUDA reads fp16 and writes fp32 in one kernel. Source: softmax, ATen/native/SoftMax.cpp.
                fused = aten._log_softmax if "log" in operation.name() else aten._softmax
                return fused(input, *args, True)
            return operation(input, *args, dtype=dtype or torch.float32, **kwargs)

    return kernel


def _to_fp32(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in _LOW:
        return value.float()
    return value


@contextlib.contextmanager
def _fused_loss_defaults() -> Iterator[None]:
    """Torch's fused loss picks its chunks by device: let it pick CUDA's."""
    try:
        from torch.nn.modules import linear_cross_entropy_options as options
    except ImportError:  # torch before 2.13 has no fused loss
        yield
        return
    picks = {("cpu", dtype): options._AUTO_DEFAULTS["cuda", dtype] for dtype in _LOW}
    with mock.patch.dict(options._AUTO_DEFAULTS, picks):
        yield


def fused_loss_on_cuda(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None,
    weight: Tensor | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    batch_chunk_size: int,
    acc_policy: str,
    acc_dtype: torch.dtype,
    compute_input_grad: bool,
    compute_linear_weight_grad: bool,
    compute_linear_bias_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The buffers of torch's fused loss on CUDA in half precision, policy "compact"; the arithmetic is left out.

    Source: _ChunkContext.build and the loop after it, torch/nn/modules/linear_cross_entropy.py, torch 2.13.
    """
    (tokens, width), (vocabulary, _) = input.shape, linear_weight.shape
    logits_dtype = input.dtype if input.dtype == torch.float16 else acc_dtype
    logits_CV = input.new_empty((batch_chunk_size, vocabulary), dtype=logits_dtype)
    row_C = input.new_empty(batch_chunk_size, dtype=logits_dtype)
    chunk_CD = input.new_empty((batch_chunk_size, width), dtype=acc_dtype) if compute_linear_weight_grad else None
    grad_input = input.new_empty((tokens, width) if compute_input_grad else (0, 0))
    grad_weight = input.new_zeros((vocabulary, width) if compute_linear_weight_grad else (0, 0))
    grad_bias = input.new_zeros(vocabulary if compute_linear_bias_grad else 0)
    cast_weight = linear_weight.to(logits_dtype) if compute_input_grad and logits_dtype == input.dtype else None
    per_token_N = (~(target == ignore_index)).to(acc_dtype)
    for _ in range(min(PASSES, -(-tokens // batch_chunk_size))):
        downcast_CV = logits_CV.to(linear_weight.dtype) if logits_dtype != input.dtype else None
        if compute_input_grad:
            selected_CD = input.new_empty((batch_chunk_size, width))
            del selected_CD
        del downcast_CV
    del row_C, chunk_CD, cast_weight, per_token_N
    return input.new_empty(()), grad_input, grad_weight, grad_bias


def kernel_temporaries(device: str, name: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    """Bytes that a kernel takes and gives back inside one operation, where they are large enough to matter.

    Source: on CUDA mha_bwd, flash_attn/flash_api.cpp: the gradient of the queries is gathered in fp32, lengths rounded
    to 128 and head sizes to 32. _efficient_attention_backward, attention_backward.cu: in fp32 the product of the output
    and its gradient, summed, and the sums laid out anew. On a CPU _safe_softmax, transformers/attention.cpp: a mask of
    a byte each; and TensorIteratorBase::compute_types, TensorIterator.cpp: where operands differ in type, those not of
    the common one are copied, and so is a result in place; CUDA's kernels convert while they read and write.
    """
    if device == "cuda" and name == "_scaled_dot_product_flash_attention_backward":
        batch, heads, length, head_size = args[1].shape
        rows = batch * heads * (-(-length // 128) * 128)
        return (rows * (-(-head_size // 32) * 32) * 4, rows * 4)
    if device == "cuda" and name == "_scaled_dot_product_efficient_attention_backward":
        batch, heads, length, _ = args[1].shape
        sums = batch * heads * length * 4
        return (args[5].numel() * 4, sums, sums) if args[1].dtype == torch.float32 else (sums,)
    if device == "cpu" and name == "_safe_softmax":
        return (args[0].numel(),)
    if device == "cpu" and name.rstrip("_") in ARITHMETIC and isinstance(args[1], Tensor):
        common = torch.result_type(args[0], args[1])
        converted = (*args[:2], args[0]) if name.endswith("_") else args[:2]  # in place the result is converted too
        return tuple(t.numel() * common.itemsize for t in converted if t.dtype != common and t.dim())
    return ()
