"""litgpt's own model, as far as memory shows: one matrix for query, key and value, adapters padded with zeros.

Built from transformers' config of the same architecture. Source: lit_gpt/model.py, rmsnorm.py and lora.py of
Lightning-AI/litgpt, December 2023 (9a2065e5); `Config` of lit_gpt/config.py for which architecture takes which parts.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.memory.stacks.description import Adapters

PARALLEL = ("phi", "gpt_neox", "falcon")  # attention and feed-forward part side by side
SHARED_NORM = ("phi", "falcon")  # of one norm
QUERY_KEY_VALUE = ("q", "k", "v")


class LitModel(nn.Module):
    """The decoder of a config with litgpt's adapters; `base_model` and the head answer as transformers' models do."""

    def __init__(self, config: Any, adapters: Adapters | None) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.hidden_size)
        self.h = nn.ModuleList(_Block(config, adapters) for _ in range(config.num_hidden_layers))
        self.ln_f = _norm(config)
        has_bias = config.model_type == "phi"  # lm_head_bias
        self.lm_head = _linear(config.hidden_size, config.vocab_size, has_bias, adapters, "head")
        if adapters is not None:
            for name, parameter in self.named_parameters():
                parameter.requires_grad = "lora_" in name

    @property
    def base_model(self) -> Any:
        """The decoder without its head, called as transformers' is."""
        return self._hidden

    def get_output_embeddings(self) -> nn.Module:
        """The head, which is never tied: litgpt's checkpoints hold both matrices (scripts/convert_hf_checkpoint.py)."""
        return self.lm_head

    def _hidden(self, *, input_ids: Tensor, use_cache: bool) -> tuple[Tensor]:
        # The rotary table is made anew in fp32 when the longest line's length is set. Source: GPT.max_seq_length.
        rotated = _rotary_size(self.config)
        cos = torch.empty((input_ids.shape[1], rotated), dtype=torch.float32)
        sin = torch.empty_like(cos)
        hidden = self.wte(input_ids)
        if self.config.model_type.startswith("gemma"):
            hidden = hidden * (self.config.hidden_size**0.5)
        for block in self.h:
            hidden = block(hidden, cos, sin)
        return (self.ln_f(hidden),)


class _Block(nn.Module):
    def __init__(self, config: Any, adapters: Adapters | None) -> None:
        super().__init__()
        self.is_parallel, self.shares_norm = config.model_type in PARALLEL, config.model_type in SHARED_NORM
        self.norm_1 = _norm(config)
        self.attn = _Attention(config, adapters)
        self.norm_2 = None if self.shares_norm else _norm(config)
        self.mlp = _FeedForward(config, adapters)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        n_1 = self.norm_1(hidden)
        h = self.attn(n_1, cos, sin)
        if self.is_parallel:
            n_2 = n_1 if self.norm_2 is None else self.norm_2(hidden)
            return self.mlp(n_2) + h + hidden
        assert self.norm_2 is not None
        hidden = h + hidden
        return self.mlp(self.norm_2(hidden)) + hidden


class _Attention(nn.Module):
    def __init__(self, config: Any, adapters: Adapters | None) -> None:
        super().__init__()
        heads, groups = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
        self.heads, self.groups = heads, groups or heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // heads
        self.rotated = _rotary_size(config)
        has_bias = _has_bias(config)
        self.attn = _QueryKeyValue(config.hidden_size, self.heads, self.groups, self.size, has_bias, adapters)
        self.proj = _linear(heads * self.size, config.hidden_size, has_bias, adapters, "projection")

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = hidden.shape
        per_key = self.heads // self.groups
        qkv = self.attn(hidden)
        qkv = qkv.view(batch, length, self.groups, per_key + 2, self.size).permute(0, 2, 3, 1, 4)
        q, k, v = qkv.split((per_key, 1, 1), dim=2)
        if self.groups != self.heads:
            k = k.expand(batch, self.groups, per_key, length, self.size)
            v = v.expand(batch, self.groups, per_key, length, self.size)
        q = q.reshape(batch, -1, length, self.size)
        k = k.reshape(batch, -1, length, self.size)
        v = v.reshape(batch, -1, length, self.size)
        q_roped = _rotate(q[..., : self.rotated], cos, sin)
        k_roped = _rotate(k[..., : self.rotated], cos, sin)
        q = torch.cat((q_roped, q[..., self.rotated :]), dim=-1)
        k = torch.cat((k_roped, k[..., self.rotated :]), dim=-1)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / math.sqrt(self.size))
        y = y.transpose(1, 2).reshape(batch, length, self.heads * self.size)
        return self.proj(y)


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.size(-1) // 2
    rotated = torch.cat((-states[..., half:], states[..., :half]), dim=-1)
    roped = (states * cos) + (rotated * sin)
    return roped.to(dtype=states.dtype)


class _FeedForward(nn.Module):
    def __init__(self, config: Any, adapters: Adapters | None) -> None:
        super().__init__()
        has_bias, width, inner = _has_bias(config), config.hidden_size, config.intermediate_size
        self.is_gated = config.model_type not in PARALLEL
        self.gate = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}.get(config.hidden_act)
        self.fc_1 = _linear(width, inner, has_bias, adapters, "mlp")
        self.fc_2 = _linear(width, inner, has_bias, adapters, "mlp") if self.is_gated else None
        self.proj = _linear(inner, width, has_bias, adapters, "mlp")

    def forward(self, hidden: Tensor) -> Tensor:
        first = self.fc_1(hidden)
        second = None if self.fc_2 is None else self.fc_2(hidden)
        first = functional.silu(first) if self.gate is None else functional.gelu(first, approximate=self.gate)
        return self.proj(first if second is None else first * second)


class _Norm(nn.Module):
    """An RMSNorm all in fp32, the multiplication by its weight too."""

    def __init__(self, width: int, adds_one: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.adds_one = adds_one

    def forward(self, hidden: Tensor) -> Tensor:
        dtype = hidden.dtype
        hidden = hidden.float()
        mean = torch.mean(hidden * hidden, dim=-1, keepdim=True)
        normed = hidden * torch.rsqrt(mean + 1e-5)
        return (((1 + self.weight) if self.adds_one else self.weight) * normed).to(dtype=dtype)


def _norm(config: Any) -> nn.Module:
    if config.model_type in PARALLEL:
        return nn.LayerNorm(config.hidden_size)
    return _Norm(config.hidden_size, adds_one=config.model_type.startswith("gemma"))


class _Linear(nn.Module):
    """A linear layer with an adapter beside it."""

    def __init__(self, inner: int, outer: int, has_bias: bool, adapters: Adapters) -> None:
        super().__init__()
        self.linear = nn.Linear(inner, outer, bias=has_bias)
        self.lora_A = nn.Parameter(torch.zeros((adapters.rank, inner)))
        self.lora_B = nn.Parameter(torch.zeros((outer, adapters.rank)))
        self.dropout = nn.Dropout(adapters.dropout) if adapters.dropout else nn.Identity()

    @property
    def weight(self) -> Tensor:
        """The pretrained matrix."""
        return self.linear.weight

    def forward(self, hidden: Tensor) -> Tensor:
        pretrained = self.linear(hidden)
        lora = (self.dropout(hidden) @ self.lora_A.transpose(0, 1) @ self.lora_B.transpose(0, 1)) * 2.0
        return pretrained + lora


def _linear(inner: int, outer: int, has_bias: bool, adapters: Adapters | None, part: str) -> nn.Module:
    if adapters is not None and part in adapters.targets:
        return _Linear(inner, outer, has_bias, adapters)
    return nn.Linear(inner, outer, bias=has_bias)


class _QueryKeyValue(nn.Module):
    """Query, key and value in one matrix; adapters for some of them are padded with zeros to its width."""

    def __init__(
        self, width: int, heads: int, groups: int, size: int, has_bias: bool, adapters: Adapters | None
    ) -> None:
        super().__init__()
        outer = (heads + 2 * groups) * size
        self.linear = nn.Linear(width, outer, bias=has_bias)
        adapted = [] if adapters is None else [name for name in QUERY_KEY_VALUE if name in adapters.targets]
        self.is_adapted, self.is_padded, self.is_grouped = bool(adapted), len(adapted) < 3, groups != heads
        if not adapted or adapters is None:
            return
        widths = {"q": heads * size, "k": groups * size, "v": groups * size}
        self.widths = [widths[name] for name in adapted]
        self.lora_A = nn.Parameter(torch.zeros((adapters.rank * len(adapted), width)))
        self.lora_B = nn.Parameter(torch.zeros((sum(self.widths), adapters.rank)))
        self.dropout = nn.Dropout(adapters.dropout) if adapters.dropout else nn.Identity()

    def forward(self, hidden: Tensor) -> Tensor:
        pretrained = self.linear(hidden)
        if not self.is_adapted:
            return pretrained
        after_a = functional.linear(self.dropout(hidden), self.lora_A)
        after_b = self._convolve(after_a.transpose(-2, -1), self.lora_B.unsqueeze(-1)).transpose(-2, -1)
        return pretrained + self._pad(after_b) * 2.0

    def _convolve(self, states: Tensor, weight: Tensor) -> Tensor:
        if not self.is_grouped:
            return functional.conv1d(states, weight, groups=len(self.widths))
        parts = zip(states.chunk(len(self.widths), dim=1), weight.split(self.widths), strict=True)
        return torch.cat([functional.conv1d(a, b) for a, b in parts], dim=1)

    def _pad(self, adapted: Tensor) -> Tensor:
        if not self.is_padded:
            return adapted
        outer = self.linear.out_features
        adapted = adapted.transpose(0, 1)
        result = adapted.new_zeros((*adapted.shape[:-1], outer)).view(-1, outer)
        index = torch.empty(sum(self.widths), dtype=torch.long)
        result = result.index_copy(1, index, adapted.reshape(-1, sum(self.widths)))
        return result.view((*adapted.shape[:-1], outer)).transpose(0, 1)


def _has_bias(config: Any) -> bool:
    return config.model_type in ("phi", "gpt_neox")


def _rotary_size(config: Any) -> int:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    parameters = getattr(config, "rope_parameters", None) or {}
    return int(size * parameters.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", None) or 1))
