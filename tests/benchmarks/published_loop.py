"""The published runs' training loop, and what transformers 4.51 did in it that 5.23 does otherwise.

The loop pads each batch of wikitext-2 to its longest line, cut at 128 tokens, and passes the mask: so attention gets a
mask of floats, made once a step. It is written here from what those programs do, as a step that can be traced.
Source: exp/trainer/ of Stone-ResearchLife/xMem; modeling_opt.py, sdpa_attention.py and cache_utils.py of transformers
4.51.3.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel

from trainables.memory.tracing.own_step import fake_model
from trainables.memory.tracing.recorder import Recorder

LEARNING_RATE = 1e-3
# Those of torch.optim that need neither a closure nor sparse gradients, and whose kernels no value decides.
OPTIMIZERS = ("SGD", "Adam", "AdamW", "Adafactor", "RMSprop", "Adagrad", "Adamax", "Adadelta", "ASGD", "Rprop")


def published_loop(
    recorder: Recorder,
    config: PretrainedConfig,
    *,
    dtype: torch.dtype,
    attention: str,
    optimizer_name: str,
    batch_size: int,
    lengths: Sequence[int],
    zero_grad_mode: int = 0,
) -> None:
    """One step for each of `lengths`; outputs and batch are kept until the next ones are there.

    `zero_grad_mode` says where gradients are dropped: 0 first, 1 before the backward pass, 2 last.
    """
    model = fake_model(config, dtype=dtype, attention=attention)
    recorder.forget()  # it is made on the CPU; the head's own weights, which tying drops, never reach the device
    _add_causal_buffers(model)
    recorder.place(model)
    optimizer = make_optimizer(model, optimizer_name)
    batch: dict[str, Tensor] = {}
    outputs = None
    with _as_transformers_4_51(model):
        for length in lengths:
            if zero_grad_mode == 0:
                optimizer.zero_grad()
            with recorder.phase("input"):
                batch = {
                    name: torch.zeros((batch_size, length), dtype=torch.long)
                    for name in ("input_ids", "attention_mask", "labels")
                }
            with recorder.phase("forward"):
                outputs = model(**batch)
            if zero_grad_mode == 1:
                optimizer.zero_grad()
            with recorder.phase("backward"):
                outputs.loss.backward()
            with recorder.phase("optimizer"):
                optimizer.step()
            if zero_grad_mode == 2:
                optimizer.zero_grad()


def make_optimizer(model: nn.Module, name: str) -> torch.optim.Optimizer:
    """The optimizer of a run by its name in `OPTIMIZERS`; Adafactor is transformers' own."""
    if name == "Adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(model.parameters(), lr=LEARNING_RATE, relative_step=False)
    return getattr(torch.optim, name)(model.parameters(), lr=LEARNING_RATE)


def _add_causal_buffers(model: PreTrainedModel) -> None:
    """A triangle of bytes in every layer, used or not. Source: GPT2Attention, CodeGenAttention, transformers 4.51.3."""
    if model.config.model_type in ("gpt2", "codegen"):
        positions = model.config.max_position_embeddings
        for name, module in model.named_modules():
            if name.endswith(".attn"):
                module.register_buffer("triangle", torch.ones((1, 1, positions, positions), dtype=torch.bool))


@contextlib.contextmanager
def _as_transformers_4_51(model: PreTrainedModel) -> Iterator[None]:
    """The first keys and values are cached as they are; masks are floats; OPT copies and scales nothing for SDPA."""
    from transformers.cache_utils import DynamicLayer
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.opt import modeling_opt

    module = sys.modules[type(model).__module__]
    attention = ALL_ATTENTION_FUNCTIONS["sdpa"]
    is_sdpa = model.config._attn_implementation == "sdpa"

    def contiguous_attention(module: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return attention(module, query.contiguous(), key.contiguous(), value.contiguous(), *args, **kwargs)

    ALL_ATTENTION_FUNCTIONS["sdpa"] = contiguous_attention
    try:
        with contextlib.ExitStack() as patches:
            patches.enter_context(mock.patch.object(DynamicLayer, "update", _keep_first))
            if hasattr(module, "create_causal_mask"):
                patches.enter_context(mock.patch.object(module, "create_causal_mask", _float_mask))
            if is_sdpa:
                patches.enter_context(mock.patch.object(modeling_opt.OPTAttention, "forward", _opt_attention))
            yield
    finally:
        ALL_ATTENTION_FUNCTIONS["sdpa"] = attention


def _keep_first(self: Any, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
    self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
    self.keys, self.values = keys, values
    return keys, values


def _float_mask(config: PretrainedConfig, inputs_embeds: Tensor, attention_mask: Tensor, **_: Any) -> Tensor:
    """A mask [batch, 1, length, length] in the weights' type, with the copies that its making passes through."""
    batch_size, length = attention_mask.shape
    causal_TT = torch.full((length, length), -1.0, dtype=inputs_embeds.dtype).triu(1)
    mask_B1TT = causal_TT.expand(batch_size, 1, length, length).clone()
    hidden_B1TT = mask_B1TT + attention_mask[:, None, None, :]
    hidden_B1TT = hidden_B1TT == 0
    mask_B1TT.copy_(mask_B1TT.masked_fill(hidden_B1TT, -1.0))
    if config._attn_implementation != "sdpa":
        return mask_B1TT
    # On CUDA, rows that see nothing are opened, for memory-efficient attention's sake.
    return mask_B1TT * ~torch.all(mask_B1TT == -1.0, dim=-1, keepdim=True)


def _opt_attention(
    self: Any, hidden_states: Tensor, past_key_values: Any = None, attention_mask: Tensor | None = None, **_: Any
) -> tuple[Tensor, None]:
    batch_size, length, _width = hidden_states.shape

    def heads(projected: Tensor) -> Tensor:
        return projected.view(batch_size, length, self.num_heads, self.head_dim).transpose(1, 2)

    query, key, value = (heads(p(hidden_states)) for p in (self.q_proj, self.k_proj, self.v_proj))
    if past_key_values is not None:
        key, value = past_key_values.update(key, value, self.layer_idx)
    attended = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=self.dropout if self.training else 0.0
    )
    return self.out_proj(attended.transpose(1, 2).reshape(batch_size, length, -1)), None
