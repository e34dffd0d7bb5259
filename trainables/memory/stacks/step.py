"""A training step of another stack under the tracer: transformers' model, the stack's loss, optimizer and order."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainables.memory.stacks.description import Adapters, StackRun
from trainables.memory.stacks.kernels import FLASH, fused_kernels, use_flash_attention
from trainables.memory.stacks.losses import LOSSES, chunked_loss
from trainables.memory.stacks.sharded import shard
from trainables.memory.tracing.cache import cache_key, load_trace, store_trace
from trainables.memory.tracing.fake_world import fake_world
from trainables.memory.tracing.layers import FEW_LAYERS, LayersDifferError
from trainables.memory.tracing.own_step import (
    EightBitStates,
    adapters_by_layer,
    decoder_layers,
    fake_model,
    with_layers,
)
from trainables.memory.tracing.recorder import CUBLAS_WORKSPACE_BYTES, Recorder, trace
from trainables.memory.tracing.timeline import MemoryTrace, Shapes

STEPS = 2  # the first makes the optimizer's states, the second is like all that follow
MICRO_BATCHES = 2  # more add nothing
SHORT_TOKENS = 128  # assumed of batches after one long one: a line of Alpaca has about a hundred tokens
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def stack_trace(run: StackRun) -> MemoryTrace:
    """The trace of a run, from the cache where it has been made before. Raises: ValueError, as `trace_stack`."""
    config = {name: value for name, value in run.config.to_dict().items() if name != "transformers_version"}
    parts = {f.name: getattr(run, f.name) for f in dataclasses.fields(run) if f.name != "config"}
    for name in ("adapters", "sharding"):
        parts[name] = None if parts[name] is None else dataclasses.asdict(parts[name])
    parts["accumulation"] = min(run.accumulation, MICRO_BATCHES)
    key = cache_key({"stack run": parts, "config": json.loads(json.dumps(config, default=str))})
    trace = load_trace(key)
    if trace is None:
        trace = trace_stack(run)
        store_trace(key, trace)
    return trace


def trace_stack(run: StackRun) -> MemoryTrace:
    """The memory events of one card's first two optimizer steps, model loading included.

    Layers of one kind are traced a few times and repeated; where they differ, all are traced.
    Raises: ValueError where transformers cannot build the model.
    """
    layers = run.config.num_hidden_layers
    if layers > FEW_LAYERS:
        with contextlib.suppress(LayersDifferError):
            return _trace(run, with_layers(run.config, FEW_LAYERS), layers)
    return _trace(run, run.config, None)


def _trace(run: StackRun, config: Any, layers: int | None) -> MemoryTrace:
    shapes = Shapes(
        vocabulary=config.vocab_size,
        tokens=run.micro_batch_size * run.sequence_length,
        sequence_length=run.sequence_length,
        width=config.hidden_size,
    )
    return trace(
        lambda recorder: _train(recorder, run, config),
        device="cuda",
        shapes=shapes,
        workspace_bytes=CUBLAS_WORKSPACE_BYTES,
        layers=layers,
    )


def _train(recorder: Recorder, run: StackRun, config: Any) -> None:
    if run.activation is not None:
        config = copy.deepcopy(config)
        name = "hidden_act" if hasattr(config, "hidden_act") else "activation_function"
        setattr(config, name, run.activation)
    model = _model(run, config)
    if run.adapters is not None and run.sharding is not None and run.stack != "litgpt":
        add_adapters(model, run.adapters)
    recorder.forget()
    layers = decoder_layers(model)
    world = contextlib.nullcontext() if run.sharding is None else fake_world(recorder, run.sharding.cards)
    with world, fused_kernels(model) if run.has_fused_kernels else contextlib.nullcontext():
        whole: nn.Module = LossOfModel(run, model)
        if run.sharding is None:
            recorder.watch(layers)
            with recorder.phase("load"):
                if run.adapters is not None and run.stack != "litgpt":
                    with adapters_by_layer(recorder):
                        add_adapters(model, run.adapters)
                _checkpoint_layers(run, model)
                recorder.place(model)
        else:
            with recorder.phase("load"):
                whole = shard(recorder, run, whole, model, layers)
        train_steps(recorder, run, whole, model)


def _model(run: StackRun, config: Any) -> Any:
    if run.stack == "litgpt":
        from trainables.memory.stacks.litgpt import LitModel

        return LitModel(config, run.adapters).to(DTYPES[run.weights]).train()
    attention = {"flash-attn": FLASH}.get(run.attention, run.attention)
    if attention == FLASH:
        use_flash_attention(run.repeats_keys)
    model: Any = fake_model(config, dtype=DTYPES[run.weights], attention=attention)
    model.config.use_cache = False
    return model


def _checkpoint_layers(run: StackRun, model: Any) -> None:
    if run.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": run.is_reentrant})
        if run.adapters is not None and run.is_reentrant:
            model.enable_input_require_grads()


class LossOfModel(nn.Module):
    """A model with a stack's loss, so that wrappers see one forward; gives the loss and what the forward gives out."""

    def __init__(self, run: StackRun, model: Any) -> None:
        super().__init__()
        self.run, self.model = run, model

    def forward(self, ids_BT: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
        """(loss, outputs) of one micro-batch, under autocast where the run has it."""
        cast = torch.autocast("cpu", dtype=torch.bfloat16) if self.run.autocast else contextlib.nullcontext()
        with cast:
            hidden = self.model.base_model(input_ids=ids_BT, use_cache=False)[0]
            return LOSSES[self.run.loss](self.model, hidden, labels_BT)


def train_steps(recorder: Recorder, run: StackRun, whole: nn.Module, model: Any) -> None:
    """Optimizer steps of a model that is on the device; the first makes the optimizer's states."""
    parameters = [p for p in whole.parameters() if p.requires_grad]
    optimizer = make_optimizer(run, parameters)
    lengths = [run.sequence_length] * min(run.accumulation, MICRO_BATCHES)
    if run.is_one_batch:
        lengths[1:] = [min(SHORT_TOKENS, run.sequence_length)] * len(lengths[1:])
    kept: Any = None
    projections = hold_projections(recorder, model) if run.keeps_projections else []
    for _ in range(1 if run.is_one_batch else STEPS):
        for number, length in enumerate(lengths):
            is_last = number == len(lengths) - 1 and (run.accumulation == 1 or not run.is_one_batch)
            late = run.sharding is not None and run.sharding.is_synced_late and not is_last
            with whole.no_sync() if late else contextlib.nullcontext():  # type: ignore[operator]
                with recorder.phase("input"):
                    batch = [torch.zeros((run.micro_batch_size, length), dtype=torch.long) for _ in range(2)]
                with recorder.phase("forward"):
                    loss, outputs = _loss(run, whole, *batch)
                    projections.clear()
                kept = outputs if run.keeps_outputs else None
                del outputs
                with recorder.phase("backward"):
                    loss.backward()
            del loss, batch
        if run.is_one_batch and run.accumulation > 1:
            break  # its gradients wait for others, and the step that they are for has shorter ones
        with recorder.phase("optimizer"):
            if run.clips and hasattr(whole, "clip_grad_norm_"):
                whole.clip_grad_norm_(1.0)  # pyright: ignore[reportCallIssue]
            elif run.clips:
                nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    del kept


def _loss(run: StackRun, whole: nn.Module, ids_BT: Tensor, labels_BT: Tensor) -> tuple[Tensor, Any]:
    loss, outputs = whole(ids_BT, labels_BT)
    if run.loss == "chunked-head":
        outputs = [chunk.float() for chunk in outputs]
        loss = chunked_loss(outputs, labels_BT)
    elif run.autocast and isinstance(outputs, Tensor):
        outputs = outputs.float()  # Source: convert_outputs_to_fp32, accelerate/utils/operations.py, 1.0
    return loss, outputs


def hold_projections(recorder: Recorder, model: Any) -> list[Tensor]:
    """What a GPTBigCode's layers give out as their cache: a view that holds all of `c_attn`'s output.

    Transformers fills the cache while it trains, with checkpointing too. Source: GPTBigCodeModel.forward
    (`presents.append`) and GPTBigCodeAttention.forward (`split`), transformers 4.45 and 4.48.
    """
    held: list[Tensor] = []

    def hold(module: nn.Module, args: Any, out: Tensor) -> None:
        if recorder.is_forward:
            held.append(out)

    for name, module in model.named_modules():
        if name.endswith(".c_attn"):
            module.register_forward_hook(hold)
    return held


def add_adapters(model: Any, adapters: Adapters) -> None:
    """Freeze a transformers model and give peft's adapters to the layers that `adapters` names."""
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(
        LoraConfig(
            r=adapters.rank,
            lora_alpha=2 * adapters.rank,
            lora_dropout=adapters.dropout,
            target_modules=list(adapters.targets) if adapters.targets != ("all-linear",) else "all-linear",
        ),
        model,
    )
    if adapters.is_fp32:
        for name, module in model.named_modules():
            if ".lora_" in name:
                nn.Module.to(module, torch.float32)


def make_optimizer(run: StackRun, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of a run; Hugging Face's Trainer leaves biases and norms to a group without weight decay.

    Source: Trainer.get_decay_parameter_names and create_optimizer, transformers 4.45.
    """
    if run.optimizer == "adamw-8bit":
        return EightBitStates(parameters, {"lr": 1e-4})
    groups = list(_groups(run, parameters))
    if run.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=1e-4, foreach=True)
    return torch.optim.AdamW(
        groups, lr=1e-4, foreach=run.implementation == "foreach", fused=run.implementation == "fused"
    )


def _groups(run: StackRun, parameters: list[nn.Parameter]) -> Iterator[dict[str, Any]]:
    if run.parameter_groups == 1:
        yield {"params": parameters}
        return
    for has_decay in (True, False):
        chosen = [p for p in parameters if (p.dim() > 1) == has_decay]
        if chosen:
            yield {"params": chosen}
