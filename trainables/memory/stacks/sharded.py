"""How other stacks spread a model over cards: which units FSDP gathers, in which types, and what checkpoints them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainables.memory.stacks.description import StackRun
from trainables.memory.tracing.recorder import Recorder


def shard(recorder: Recorder, run: StackRun, whole: nn.Module, model: Any, layers: list[nn.Module]) -> nn.Module:
    """`whole`, around `model`, with its layers in FSDP1's units, watched by the recorder.

    transformers checkpoints around a unit (`decoder_layer.__call__`, to 4.52); others within it.
    Source: fsdp_auto_wrap_policy, peft/utils/other.py, 0.13; prepare_model, accelerate/accelerator.py, 1.0: trained
    weights are kept in fp32 where FSDP computes in half precision.
    """
    from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision

    sharding = run.sharding
    assert sharding is not None
    dtype = torch.bfloat16 if sharding.precision == "bf16" else None
    options: dict[str, Any] = {
        "device_id": torch.device("cpu"),
        "use_orig_params": sharding.originals,
        "mixed_precision": MixedPrecision(param_dtype=dtype, reduce_dtype=dtype, buffer_dtype=dtype) if dtype else None,
    }
    stack = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == len(layers))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, layer in enumerate(layers):
            with recorder.working_on(number):
                if sharding.wraps_adapters:
                    for parent, name, leaf in list(_trained_leaves(layer)):
                        parent.register_module(name, FullyShardedDataParallel(leaf, **options))
                stack[number] = FullyShardedDataParallel(layer, **options)
        wrapped = FullyShardedDataParallel(whole, **options)
    recorder.watch(list(stack))
    if sharding.upcasts_trained:
        for unit in FullyShardedDataParallel.fsdp_modules(wrapped):
            handle = unit._handle
            if handle is not None and handle.flat_param.requires_grad:
                with recorder.working_on(unit):
                    handle.flat_param.data = handle.flat_param.data.to(torch.float32)
                handle._orig_param_dtype = torch.float32
    if run.gradient_checkpointing:
        for number, unit in enumerate(stack):
            if sharding.checkpoints_around:
                stack[number] = Checkpointed(unit, run.is_reentrant)
            else:
                assert isinstance(unit, FullyShardedDataParallel)
                unit._fsdp_wrapped_module = Checkpointed(unit._fsdp_wrapped_module, run.is_reentrant)
        if run.adapters is not None and run.is_reentrant:
            model.enable_input_require_grads()
    return wrapped


def _trained_leaves(layer: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """(parent, name, module) of what has a trained weight and no parts."""
    for parent in layer.modules():
        for name, child in parent.named_children():
            weight = getattr(child, "weight", None)
            if not list(child.children()) and isinstance(weight, Tensor) and weight.requires_grad:
                yield parent, name, child


class Checkpointed(nn.Module):
    """A layer whose forward pass is repeated in the backward one."""

    def __init__(self, layer: nn.Module, is_reentrant: bool) -> None:
        super().__init__()
        self.layer, self.is_reentrant = layer, is_reentrant

    def forward(self, hidden: Tensor, *args: Any, **options: Any) -> Any:
        """The layer's output; only `hidden` is kept."""
        run = functools.partial(self.layer.__call__, **options)
        return checkpoint(run, hidden, *args, use_reentrant=self.is_reentrant)
